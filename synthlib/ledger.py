"""The replication ledger: what the papers claim, what was measured here, whether it held.

Claims stand in ``data/ledger/claims.csv``, one row each, with the paper's value and the rule by
which a measured value is judged. Measurements come from two places and are kept apart:

* a chapter that runs calls `record`; its *live* records lie in ``data/ledger/live/`` (not tracked);
* ``make ledger`` runs the functions registered with `measure` over several seeds; their results
  lie in ``data/ledger/measured/`` (tracked), one JSON file a claim.

`paper_table` and `paper_numbers` read the papers' own tables and numbers (``data/papers/``).
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import html
import importlib
import importlib.metadata
import importlib.util
import json
import math
import os
import pkgutil
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import pandas as pd

from synthlib import commands, paths

PAPERS = ("multicsr", "art", "ranking-sentences")
CLAIMS = paths.DATA / "ledger" / "claims.csv"
MEASURED = paths.DATA / "ledger" / "measured"
# An installed wheel's data are not ours to write to.
LIVE = (paths.DATA if paths.ROOT else paths.BUILD) / "ledger" / "live"

NOT_YET = "not yet measured"
# What cannot change a measured value, so that editing it makes no measurement stale.
_IMMATERIAL = ("viz/", "checks/", "ledger.py", "__main__.py", "_data/")


# ------------------------------------------------------------------ the papers' own numbers
def paper_table(paper: str, table: int) -> pd.DataFrame:
    """One table of a paper as tidy data: one value a row.

    Parameters
    ----------
    paper : "multicsr", "art" or "ranking-sentences"
    table : int
        The table's number in the paper.

    Returns
    -------
    DataFrame
        Columns ``paper, table, group, row, column, metric, value, unit, mark, printed, note`` and
        the table's own settings; ``value`` is a float (NaN where the table holds text).

    Raises
    ------
    ValueError
        For an unknown paper or a table that it does not have.

    Examples
    --------
    >>> t = paper_table("multicsr", 3)
    >>> float(t.query("row == 'w/o stage 1' and column == 'STS-B dev'")["value"].iloc[0])
    84.06
    """
    _known_paper(paper)
    file = paths.DATA / "papers" / f"{paper}_table{int(table):02d}.csv"
    if not file.is_file():
        have = sorted(int(f.stem[-2:]) for f in file.parent.glob(f"{paper}_table*.csv"))
        raise ValueError(f"{paper} has no table {table}: its tables are {have}")
    text = ["group", "row", "column", "unit", "mark", "printed", "note", "text", "extra_data"]
    frame = pd.read_csv(file, dtype=dict.fromkeys(text, str))
    return frame.fillna({c: "" for c in text if c in frame})


def paper_numbers(paper: str) -> pd.DataFrame:
    """The numbers that a paper's running text states (settings, shares, counts, figures' values).

    Parameters
    ----------
    paper : "multicsr", "art" or "ranking-sentences"

    Returns
    -------
    DataFrame
        Columns ``paper, place, figure, quantity, value, unit, quote``.
    """
    _known_paper(paper)
    frame = pd.read_csv(paths.DATA / "papers" / f"{paper}_text.csv", dtype={"figure": str})
    return frame.fillna({"figure": ""})


def _known_paper(paper: str) -> None:
    if paper not in PAPERS:
        raise ValueError(f"unknown paper {paper!r}: the papers are {', '.join(PAPERS)}")


# ------------------------------------------------------------------ claims
def claims(chapter: int | None = None) -> pd.DataFrame:
    """The registry of claims.

    Parameters
    ----------
    chapter : int, optional
        Only this chapter's claims.

    Returns
    -------
    DataFrame
        Index ``id``; columns ``chapter, paper, where, statement, paper_value, unit, rule, bar``.
    """
    frame = _read_claims(CLAIMS, CLAIMS.stat().st_mtime_ns)
    return frame.copy() if chapter is None else frame[frame["chapter"] == int(chapter)].copy()


@lru_cache(maxsize=4)
def _read_claims(file: Path, _mtime: int) -> pd.DataFrame:
    frame = pd.read_csv(file, dtype={"paper_value": str, "bar": float})
    frame = frame.fillna({"paper_value": ""}).set_index("id")
    if not frame.index.is_unique:
        raise ValueError(f"{file}: claim {frame.index[frame.index.duplicated()][0]} stands twice")
    return frame


def _known_claim(claim: str) -> pd.Series:
    registry = claims()
    if claim not in registry.index:
        near = get_close_matches(str(claim), list(registry.index), n=3, cutoff=0.4)
        hint = f"did you mean {', '.join(near)}?" if near else "see data/ledger/claims.csv"
        raise ValueError(f"unknown claim {claim!r}: {hint}")
    return registry.loc[claim]


_RULE = re.compile(
    r"(?:(?P<low>-?[\d.]+|bar) (?P<first><=|<) )?value"
    r"(?: (?P<op><=|>=|<|>) (?P<high>-?[\d.]+|bar))?"
)
_OPERATORS = {
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
}


def judge(rule: str, value: float, bar: float = math.nan) -> bool | None:
    """Whether a value satisfies a claim's rule.

    Parameters
    ----------
    rule : str
        ``"report"`` (nothing is judged), ``"value >= bar"`` (also ``<=``, ``<``, ``>``, and a
        number in place of ``bar``) or a range, ``"0.2 <= value <= 0.4"``.
    value : float
    bar : float, optional

    Returns
    -------
    bool, or None for "report"

    Raises
    ------
    ValueError
        For a rule in another form, or one that needs a bar where there is none.
    """
    if rule == "report":
        return None
    match = _RULE.fullmatch(rule)
    if match is None or not (match["first"] or match["op"]):
        raise ValueError(f"rule {rule!r}: wanted 'report', 'value >= bar' or '0.2 <= value <= 0.4'")

    def bound(text: str) -> float:
        if text != "bar":
            return float(text)
        if not math.isfinite(bar):
            raise ValueError(f"rule {rule!r} needs a bar, and the claim has none")
        return bar

    holds = True
    if match["first"]:
        holds &= _OPERATORS[match["first"]](bound(match["low"]), value)
    if match["op"]:
        holds &= _OPERATORS[match["op"]](value, bound(match["high"]))
    return bool(holds)


# ------------------------------------------------------------------ records
def record(
    claim: str,
    value: float | Sequence[float],
    spread: float | None = None,
    seeds: Sequence[int] = (0,),
    *,
    tier: str = "pocket",
    device: str | None = None,
    minutes: float | None = None,
    note: str = "",
) -> dict:
    """Write down what a chapter measured.

    Parameters
    ----------
    claim : str
        A claim of ``data/ledger/claims.csv``.
    value : float, or one float a seed
        In the claim's unit. From several values the mean is kept, with each seed's value.
    spread : float, optional
        Sample standard deviation over the seeds; computed when `value` holds several.
    seeds : sequence of int
    tier : str
    device : str, optional
        Found through torch when not given.
    minutes : float, optional
        Time that the measurement took.
    note : str

    Returns
    -------
    dict
        The record as it was written, with device, commit, date and versions.

    Raises
    ------
    ValueError
        For an unknown claim, a value or spread that is not finite, or seeds that do not match.
    """
    return _write(
        LIVE, claim, value, spread, seeds, tier=tier, device=device, minutes=minutes, note=note
    )


def _write(folder, claim, value, spread, seeds, *, tier, device, minutes, note, source=None):
    from synthlib import models

    unit = _known_claim(claim)["unit"]
    seeds = [int(s) for s in seeds]
    values = [float(v) for v in value] if isinstance(value, Iterable) else [float(value)]
    if len(set(seeds)) != len(seeds) or not seeds:
        raise ValueError(f"{claim}: seeds {seeds} must be distinct, and at least one")
    if len(values) not in (1, len(seeds)):
        raise ValueError(f"{claim}: {len(values)} values for {len(seeds)} seeds; give one a seed")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{claim}: value {value!r} is not finite; nothing was recorded")
    if spread is None and len(values) > 1:
        spread = statistics.stdev(values)
    if spread is not None and not (math.isfinite(spread) and spread >= 0):
        raise ValueError(f"{claim}: spread {spread!r} must be a finite number, zero or more")
    if minutes is not None and not (math.isfinite(minutes) and minutes >= 0):
        raise ValueError(f"{claim}: minutes {minutes!r} must be a finite number, zero or more")
    by_seed = len(values) == len(seeds)
    entry = {
        "claim": claim,
        "value": round(statistics.fmean(values), 6),
        "spread": None if spread is None else round(float(spread), 6),
        "unit": unit,
        "seeds": seeds,
        "values": {str(s): round(v, 6) for s, v in zip(seeds, values, strict=True)}
        if by_seed
        else None,
        "tier": tier,
        "device": device or _device(),
        "precision": models.training_precision(),  # of what was trained for it, if anything
        "minutes": None if minutes is None else round(float(minutes), 3),
        "note": note,
        "date": datetime.date.today().isoformat(),
        **_commit(),
        "source": source or source_hash(),
        "versions": _versions(),
    }
    # A unique temporary name, then one rename: notebooks that run side by side never clash, and
    # an interrupted write leaves the old record whole.
    _replace(folder / f"{claim}.json", json.dumps(entry, indent=1, ensure_ascii=False) + "\n")
    return entry


def _replace(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with open(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        os.chmod(temporary, 0o644)  # mkstemp's files are for their owner only
        os.replace(temporary, file)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _read(folder: Path, claim: str) -> dict | None:
    file = folder / f"{claim}.json"
    try:
        return json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError as error:
        raise ValueError(f"{file} is damaged ({error}); delete it and measure again") from None


@lru_cache(maxsize=1)
def _device() -> str:
    try:
        import torch
    except ImportError:
        return "unknown"
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    if torch.backends.mps.is_available():
        return "mps"
    return f"cpu, {os.cpu_count()} cores"


def _commit() -> dict:
    """Commit and whether tracked files were changed; empty outside a git checkout."""
    nothing = {"commit": None, "dirty": None}
    if paths.ROOT is None or not (paths.ROOT / ".git").exists():
        return nothing

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(paths.ROOT), *arguments],
            capture_output=True, text=True, timeout=20, check=True,
        ).stdout.strip()  # fmt: skip

    try:
        # The measurements themselves do not count as a change of what was measured.
        changed = git("status", "--porcelain", "--untracked-files=no", ":!data/ledger")
        return {"commit": git("rev-parse", "--short=10", "HEAD"), "dirty": bool(changed)}
    except (OSError, subprocess.SubprocessError):
        return nothing


@lru_cache(maxsize=1)
def _versions() -> dict:
    found = {"python": sys.version.split()[0]}
    for package in ("torch", "transformers", "sentence-transformers", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found


def source_hash(uses: Sequence[str] = ("synthlib", "data/pocket")) -> str:
    """Fingerprint of the code and weights that a measurement depends on.

    Parameters
    ----------
    uses : sequence of str
        Beginnings of paths: modules as ``"synthlib/losses.py"`` or ``"synthlib/world"``, small
        models as ``"data/pocket/nli"``. Figures, checks and the ledger itself never count.

    Returns
    -------
    str
        Twelve hexadecimal digits.
    """
    package = Path(__file__).parent
    files = {
        f"synthlib/{name}": file
        for file in package.rglob("*.py")
        if not (name := file.relative_to(package).as_posix()).startswith(_IMMATERIAL)
    }
    for file in paths.POCKET.rglob("*"):
        if file.is_file():
            files[f"data/pocket/{file.relative_to(paths.POCKET).as_posix()}"] = file
    digest = hashlib.sha256()
    for name in sorted(files):
        if name.startswith(tuple(uses)):
            digest.update(name.encode() + b"\0" + files[name].read_bytes())
    return digest.hexdigest()[:12]


# ------------------------------------------------------------------ rows behind the claims
def keep_rows(name: str, seed: int, rows: pd.DataFrame) -> None:
    """Store what a measuring function found for one seed: a curve, or the rows of a table.

    A claim is one number; the figure or the table that it summarises is kept here, in
    ``data/ledger/measured/rows/<name>.csv``, with its origin in ``<name>.json`` beside it. Rows of
    the same seed from an earlier run are replaced, and all rows where their columns differ.

    Parameters
    ----------
    name : str
        Chapter in two digits, then words in lower case: ``"03-omega"``.
    seed : int
    rows : DataFrame
        Tidy: one measured value or one sentence a row. A column "seed" is added.

    Raises
    ------
    ValueError
        For a name of another form, no rows, or a column named "seed".
    """
    if not re.fullmatch(r"\d\d(-[a-z0-9]+)+", name):
        raise ValueError(f"rows are named like 03-omega or 06-table3, got {name!r}")
    if rows.empty or "seed" in rows:
        raise ValueError(f"{name}: rows must not be empty, nor have a column seed of their own")
    rows = rows.assign(seed=seed)
    file = MEASURED / "rows" / f"{name}.csv"
    if file.is_file():
        before = pd.read_csv(file, keep_default_na=False, na_values=[""])
        if set(before) == set(rows):
            rows = pd.concat([before[before["seed"] != seed], rows])
    rows = rows.sort_values("seed", kind="stable")
    about = {
        "rows": name,
        "seeds": sorted(int(s) for s in rows["seed"].unique()),
        "device": _device(),
        "date": datetime.date.today().isoformat(),
        **_commit(),
        "versions": _versions(),
    }
    _replace(file, rows.to_csv(index=False, float_format="%.6g"))
    _replace(file.with_suffix(".json"), json.dumps(about, indent=1) + "\n")


def rows(name: str) -> pd.DataFrame:
    """The rows that `keep_rows` stored, with the column seed; ``.attrs`` says their origin.

    Parameters
    ----------
    name : str

    Returns
    -------
    DataFrame
        ``attrs``: rows, seeds, device, date, commit, dirty, versions.

    Raises
    ------
    ValueError
        For a name that was never measured, with those that were.
    """
    file = MEASURED / "rows" / f"{name}.csv"
    if not file.is_file():
        known = sorted(f.stem for f in file.parent.glob("*.csv"))
        raise ValueError(f"no rows {name!r} were measured; there are: {', '.join(known) or 'none'}")
    frame = pd.read_csv(file, keep_default_na=False, na_values=[""])
    frame.attrs = json.loads(file.with_suffix(".json").read_text("utf-8"))
    return frame


# ------------------------------------------------------------------ reading the ledger
def table(chapter: int | None = None) -> pd.DataFrame:
    """The ledger: every claim beside what was measured.

    Parameters
    ----------
    chapter : int, optional

    Returns
    -------
    DataFrame
        Index ``id``; the claims' columns, then ``value, spread, seeds, minutes, tier, device,
        precision, commit, date`` of the committed measurement, ``live`` (the value of this build's
        run; NaN when the chapter has not run on the present sources) and ``holds``: "yes", "no",
        "on k of n seeds", "reported" or "not yet measured". Committed measurements are judged
        before live ones; "(live)" marks a judgement that rests on the live value alone.
    """
    now = source_hash()
    rows = []
    for claim, about in claims(chapter).iterrows():
        measured, live = _read(MEASURED, claim), _read(LIVE, claim)
        if live is not None and live["source"] != now:
            live = None  # left over from a run of other code
        entry = measured or {}
        judged = _verdict(about, measured or live)
        rows.append({
            "id": claim,
            **about,
            **{k: entry.get(k) for k in ("value", "spread")},
            "seeds": len(entry.get("seeds", ())),
            **{
                k: entry.get(k)
                for k in ("minutes", "tier", "device", "precision", "commit", "date")
            },
            "live": live["value"] if live else None,
            "holds": judged + (" (live)" if live and not measured else ""),
        })  # fmt: skip
    frame = pd.DataFrame(rows).set_index("id") if rows else claims(chapter)
    numeric = [c for c in ("value", "spread", "minutes", "live") if c in frame]
    frame[numeric] = frame[numeric].astype(float)
    return frame


def _verdict(about: pd.Series, entry: dict | None) -> str:
    if entry is None:
        return NOT_YET
    # The mean alone hides a claim that held on one seed of three.
    values = list((entry["values"] or {"": entry["value"]}).values())
    verdicts = [judge(about["rule"], v, about["bar"]) for v in values]
    if verdicts[0] is None:
        return "reported"
    held = sum(verdicts)
    if 0 < held < len(verdicts):
        return f"on {held} of {len(verdicts)} seeds"
    return "yes" if held else "no"


_DECIMALS = {
    "points": 1, "percent": 1, "cosine": 3, "fraction": 3, "x": 2, "seconds": 1, "count": 0,
}  # fmt: skip
_SIGNS = {"percent": " %", "x": " ×", "seconds": " s", "minutes": " min"}


def number(value: float, unit: str, spread: float | None = None) -> str:
    """A value with its spread, in the digits and the sign of its unit.

    Examples
    --------
    >>> number(85.25, "percent", 0.3)
    '85.2 ± 0.3 %'
    """
    if value is None or math.isnan(value):
        return ""
    digits = _DECIMALS.get(unit, 2)
    text = f"{value:.{digits}f}"
    if spread is not None and not math.isnan(spread):
        text += f" ± {spread:.{max(digits, 1)}f}"
    # A true minus: a hyphen can part from its number at a line's end.
    return text.replace("-", "−") + _SIGNS.get(unit, "")


def summary(*ids: str, chapter: int | None = None) -> pd.DataFrame:
    """The three columns that a chapter shows: the paper says, we measured, holds here?

    Parameters
    ----------
    *ids : str
        Claims, in the order to show; all of the chapter's when none is given.
    chapter : int, optional

    Returns
    -------
    DataFrame
        Text columns "claim", "the paper says", "we measured", "holds here?".
    """
    for claim in ids:
        _known_claim(claim)
    full = table(chapter)
    if ids:
        full = full.loc[list(ids)]
    rows = []
    for _, row in full.iterrows():
        parts = []
        if not math.isnan(row["value"]):
            count = f"{row['seeds']} seed" + ("s" if row["seeds"] != 1 else "")
            parts.append(f"{number(row['value'], row['unit'], row['spread'])} ({count})")
        if not math.isnan(row["live"]):
            parts.append(f"{number(row['live'], row['unit'])} (live)")
        rows.append((row["statement"], source(row), " · ".join(parts) or NOT_YET, row["holds"]))
    return pd.DataFrame(rows, columns=["claim", "the paper says", "we measured", "holds here?"])


def source(row: pd.Series) -> str:
    """Where a claim stands, with the paper's value: "Table 3: 85.82 → 84.06"."""
    if row["paper"] == "book":
        return "a claim of this book"
    return f"{row['where']}: {row['paper_value']}" if row["paper_value"] else row["where"]


def condition(row: pd.Series) -> str:
    """When a claim holds, in words: "≥ 94 %", "0.2 to 0.4", or empty when nothing is judged."""
    if row["rule"] == "report":
        return ""
    text = row["rule"].replace("bar", f"{row['bar']:g}").replace("-", "−")
    text = text.replace(" <= value <= ", " to ").removeprefix("value ")
    return text.replace(">=", "≥").replace("<=", "≤") + _SIGNS.get(row["unit"], "")


class _Shown:
    """A small table that a notebook shows as HTML and a terminal as text."""

    def __init__(self, frame: pd.DataFrame):
        self.frame = frame

    def __repr__(self) -> str:
        return "\n".join(
            f"- {claim}\n    the paper says {says}; we measured {ours}; holds here? {holds}"
            for claim, says, ours, holds in self.frame.itertuples(index=False)
        )

    def _repr_html_(self) -> str:
        def cells(tag, values):
            inner = "".join(f"<{tag}>{html.escape(str(v))}</{tag}>" for v in values)
            return f"<tr>{inner}</tr>"

        head = cells("th", self.frame.columns)
        body = "".join(cells("td", row) for row in self.frame.itertuples(index=False))
        return f'<table class="dataframe ledger"><thead>{head}</thead><tbody>{body}</tbody></table>'


def show(*ids: str, chapter: int | None = None) -> _Shown:
    """Show claims beside what was measured, as the last line of a notebook's cell.

    Parameters
    ----------
    *ids : str
        Claims, in the order to show.
    chapter : int, optional
        All claims of a chapter.

    Returns
    -------
    object with an HTML and a text form; its ``frame`` is `summary`'s DataFrame
    """
    if not ids and chapter is None:
        raise ValueError("show what? give claim ids, or chapter=1")
    return _Shown(summary(*ids, chapter=chapter))


# ------------------------------------------------------------------ measuring over seeds
_REGISTRY: dict[str, tuple[Callable, tuple[str, ...], tuple[str, ...], str]] = {}


def measure(*ids: str, uses: Sequence[str] = ("synthlib", "data/pocket"), tier: str = "pocket"):
    """Register a function that measures claims for one seed.

    Parameters
    ----------
    *ids : str
        The claims that it measures.
    uses : sequence of str
        What its result depends on, as for `source_hash`; when that changes it is measured again.
    tier : str

    Returns
    -------
    decorator
        For a function ``f(seed: int)`` that returns a float (one claim) or a mapping
        ``{claim: float}`` over all of `ids`.

    Raises
    ------
    ValueError
        For an unknown claim, or one that another function measures already.
    """
    if not ids:
        raise ValueError("measure which claims? give at least one id")
    for claim in ids:
        _known_claim(claim)

    def register(function: Callable) -> Callable:
        for claim in ids:
            other = _REGISTRY.get(claim)
            if other and (other[0].__module__, other[0].__qualname__) != (
                function.__module__, function.__qualname__,
            ):  # fmt: skip
                raise ValueError(f"{claim} is already measured by {other[0].__qualname__}")
            _REGISTRY[claim] = (function, tuple(ids), tuple(uses), tier)
        return function

    return register


def run(
    ids: Sequence[str] | None = None, seeds: Sequence[int] = (0, 1, 2), *, force: bool = False
) -> list[str]:
    """Measure registered claims and write ``data/ledger/measured/``.

    Every seed is stored as soon as it is done: an interrupted run goes on where it stopped, and
    what was measured with the present code is not measured again.

    Parameters
    ----------
    ids : sequence of str, optional
        All registered claims by default.
    seeds : sequence of int
    force : bool
        Measure again even where the present code was measured already.

    Returns
    -------
    list of str
        Messages of functions that failed (the others are measured all the same).

    Raises
    ------
    ValueError
        For a claim that is unknown or has no measuring function.
    """
    if paths.ROOT is None:
        raise ValueError("the ledger is measured in a checkout of the repository, not in a wheel")
    _import_measures()
    for claim in ids or ():
        _known_claim(claim)
        if claim not in _REGISTRY:
            raise ValueError(f"{claim} has no measuring function yet; see --list")
    wanted = list(ids) if ids else list(_REGISTRY)
    functions = list(dict.fromkeys(_REGISTRY[c] for c in wanted))
    failures = []
    for position, (function, members, uses, tier) in enumerate(functions, 1):
        source = source_hash(uses)
        title = f"[{position}/{len(functions)}] {function.__module__}.{function.__qualname__}"
        for seed in seeds:
            if not force and all(seed in _seeds_at(c, source) for c in members):
                print(f"{title} seed {seed}: already measured", flush=True)
                continue
            start = time.perf_counter()
            try:
                result = function(seed)
                values = result if isinstance(result, Mapping) else {members[0]: result}
                if set(values) != set(members):
                    raise ValueError(f"returned {sorted(values)}, registered for {sorted(members)}")
                minutes = (time.perf_counter() - start) / 60
                for claim, value in values.items():
                    fresh = force and seed == seeds[0]
                    _add_seed(claim, seed, value, source, minutes, tier, fresh)
            except Exception as error:  # one claim's failure must not lose the others' minutes
                failures.append(f"{title} seed {seed}: {type(error).__name__}: {error}")
                print(failures[-1], file=sys.stderr, flush=True)
                break
            print(f"{title} seed {seed}: {minutes:.1f} min", flush=True)
    return failures


def _seeds_at(claim: str, source: str) -> dict[int, float]:
    """Seeds of a claim's committed measurement, if it was made from these sources."""
    entry = _read(MEASURED, claim)
    if entry is None or entry["source"] != source or not entry["values"]:
        return {}
    return {int(s): v for s, v in entry["values"].items()}


def _add_seed(claim, seed, value, source, minutes, tier, fresh):
    before = {} if fresh else _seeds_at(claim, source)
    spent = (_read(MEASURED, claim) or {}).get("minutes") if before else None
    values = dict(sorted({**before, seed: float(value)}.items()))
    _write(
        MEASURED, claim, list(values.values()), None, list(values),
        tier=tier, device=None, minutes=(spent or 0) + minutes, note="", source=source,
    )  # fmt: skip


def _import_measures() -> None:
    """Import the modules that register measuring functions: the world's report, the experiments."""
    names = ["synthlib.world.report"] if importlib.util.find_spec("synthlib.world.report") else []
    experiments = importlib.util.find_spec("synthlib.experiments")
    if experiments:
        found = pkgutil.iter_modules(
            experiments.submodule_search_locations, "synthlib.experiments."
        )
        names += [module.name for module in found]
    for name in names:
        importlib.import_module(name)


def _listing() -> str:
    _import_measures()
    lines = []
    for claim, row in table().iterrows():
        state = row["holds"]
        if claim in _REGISTRY and state == NOT_YET:
            state += ", ready to be"
        elif claim in _REGISTRY and not _seeds_at(claim, source_hash(_REGISTRY[claim][2])):
            state += ", with older code"
        lines.append(f"{claim:32} {number(row['value'], row['unit'], row['spread']):>18}  {state}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: ``python -m synthlib ledger [--claims …] [--seeds …] [--list] [--force]``.

    Returns
    -------
    int
        0, or 1 when a measuring function failed. A claim that does not hold is no failure.
    """
    parser = commands.ledger()
    options = parser.parse_args(argv)
    if options.list:
        print(_listing())
        return 0
    try:
        failures = run(options.claims, options.seeds, force=options.force)
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\nstopped; what is done is kept, the same command goes on from here")
        return 130
    full = table()
    for claim in options.claims or [c for c in full.index if c in _REGISTRY]:
        row = full.loc[claim]
        print(f"{claim:32} {number(row['value'], row['unit'], row['spread']):>18}  {row['holds']}")
    if failures:
        print(f"{len(failures)} failed:", *failures, sep="\n", file=sys.stderr)
    return int(bool(failures))


def export(file: str | os.PathLike) -> Path:
    """Write the whole ledger as one CSV (for the book's download).

    Parameters
    ----------
    file : path

    Returns
    -------
    Path
    """
    _replace(Path(file), table().to_csv())
    return Path(file)
