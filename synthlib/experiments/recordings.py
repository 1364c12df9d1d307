"""``make field``: run what takes real models minutes, once a seed, and keep what came out.

A *recorder* is a function of a seed that gives a table: what a real model wrote, or what a
training came to. Its table is committed in ``data/field/recorded``, as CSV with the seed in its
first column, and beside it as JSON of which seeds it is, with which models, on which processor and
with which code. Chapters show the recording and run a small piece of it live; the ledger measures
claims on recordings in seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import pkgutil
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

import synthlib
from synthlib import commands, experiments, models, paths, weights
from synthlib.ledger import closure, records

FOLDER = paths.DATA / "field" / "recorded"
FIRST = 13  # the first chapter of the part "In the field"


@dataclass(frozen=True)
class Recorder:
    """A function that records a table for one seed."""

    name: str
    function: Callable
    needs: tuple[str, ...]  # models, by name
    data: bool  # whether it reads a folder of labelled data

    def fingerprint(self) -> str | None:
        """Of the present code that it depends on; None for a function outside of the package."""
        with contextlib.suppress(ValueError):
            return closure.here().fingerprint(self.function.__module__, self.function.__qualname__)
        return None

    def missing(self) -> str:
        """The first model that is not there, with what brings it; empty where all are."""
        for name in self.needs:
            folder, where = models.place(name)
            if folder is None:
                return f"{name} is {where}" if "not on" in where else f"{name} is absent: {where}"
        return ""

    def __call__(self, seed: int, data: str | None) -> pd.DataFrame:
        table = self.function(seed, data) if self.data else self.function(seed)
        if not isinstance(table, pd.DataFrame) or table.empty or "seed" in table:
            raise ValueError("a recorder gives a table with rows, and no column seed of its own")
        return table


#: The recorders of the modules that are imported, by name.
RECORDERS: dict[str, Recorder] = {}


def recorder(name: str, *, needs: Sequence[str] = (), data: bool = False):
    """Register a function that records what real models said for one seed.

    Parameters
    ----------
    name : str
        Chapter in two digits, then words in lower case: ``"15-lists"``.
    needs : sequence of str
        The models that it loads, as ``"laptop/smollm2-135m-instruct"``.
    data : bool
        Whether it reads a folder of labelled data (`examination`, `pairs.sets`).

    Returns
    -------
    decorator
        For a function ``f(seed)``, or ``f(seed, data)``, that returns a tidy DataFrame without a
        column "seed". Texts are kept as they are, numbers with six digits.

    Raises
    ------
    ValueError
        For a name of another form, or one that another function records already.
    """
    if not re.fullmatch(r"\d\d(-[a-z0-9]+)+", name):
        raise ValueError(f"a recording is named like 13-omega or 15-lists, got {name!r}")

    def register(function: Callable) -> Callable:
        other = RECORDERS.get(name)
        where = (function.__module__, function.__qualname__)
        if other and (other.function.__module__, other.function.__qualname__) != where:
            raise ValueError(f"{name} is already recorded by {other.function.__qualname__}")
        RECORDERS[name] = Recorder(name, function, tuple(needs), data)
        return function

    return register


# ------------------------------------------------------------------ what is recorded
def recorded(name: str, seed: int | None = None) -> pd.DataFrame:
    """A recording.

    Parameters
    ----------
    name : str
    seed : int, optional
        Only this seed's rows.

    Returns
    -------
    DataFrame
        As the recorder gave it for each seed, with the column seed first. An empty text is "".

    Raises
    ------
    ValueError
        For a name or a seed that was never recorded, with those that were.
    """
    frame = pd.read_csv(io.StringIO(_text(name)), keep_default_na=False, na_values=[""])
    texts = frame.select_dtypes(exclude=["number", "bool"])
    frame = frame.fillna(dict.fromkeys(texts, ""))
    if seed is None:
        return frame
    if seed not in set(frame["seed"]):
        there = ", ".join(map(str, sorted(set(frame["seed"]))))
        raise ValueError(f"seed {seed} of {name} is not recorded; there are: {there}")
    return frame[frame["seed"] == seed].reset_index(drop=True)


def about(name: str) -> dict:
    """How a recording was made.

    Parameters
    ----------
    name : str

    Returns
    -------
    dict
        recording, seeds, minutes and processor_minutes (of each seed; a busy neighbour lengthens
        the former), and what the seeds have in common of: models (by name, with source and
        SHA-256), version, date, commit, dirty, fingerprint (of the code), precision, device,
        processor, vectors, versions. Where seeds differ in one of these there is a dict by seed in
        its place.

    Raises
    ------
    ValueError
        For a name that was never recorded, with those that were.
    """
    _text(name)
    runs = _origins(name)
    common = {}
    for key in dict.fromkeys(key for run in runs.values() for key in run):
        values = {seed: run.get(key) for seed, run in runs.items()}
        same = len({json.dumps(value, sort_keys=True) for value in values.values()}) == 1
        timed = key.endswith("minutes")
        common[key] = values if timed or not same else next(iter(values.values()))
    return {"recording": name, "seeds": list(runs), **common}


def _text(name) -> str:
    file = FOLDER / f"{name}.csv"
    if not file.is_file():
        there = ", ".join(sorted(f.stem for f in FOLDER.glob("*.csv"))) or "none"
        raise ValueError(
            f"nothing is recorded as {name!r}; there are: {there} (python -m synthlib field)"
        )
    return file.read_bytes().decode()  # with the line ends that texts have


def _origins(name) -> dict[int, dict]:
    """Of each seed whose recording is whole: how it was made."""
    file = FOLDER / f"{name}.json"
    if not (file.is_file() and file.with_suffix(".csv").is_file()):
        return {}
    try:
        found = json.loads(file.read_text("utf-8"))["seeds"]
        return {int(seed): found[seed] for seed in sorted(found, key=int)}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{file} is damaged ({error}): bring it back (git checkout), or delete it and record "
            "again"
        ) from None


# ------------------------------------------------------------------ recording
def import_recorders() -> None:
    """Import the experiments of the chapters on real language."""
    for module in pkgutil.iter_modules(experiments.__path__):
        if re.fullmatch(r"ch\d\d", module.name) and int(module.name[2:]) >= FIRST:
            importlib.import_module(f"{experiments.__name__}.{module.name}")


def run(
    names: Sequence[str] = (), seeds: Sequence[int] = (0, 1, 2), *, data: str | None = None,
    force: bool = False,
) -> list[str]:  # fmt: skip
    """Run recorders and write ``data/field/recorded``.

    Every seed is stored as soon as it is done: an interrupted run goes on where it stopped, and
    what is recorded is not recorded again.

    Parameters
    ----------
    names : sequence of str
        All recorders by default.
    seeds : sequence of int
    data : path, optional
        Folder of labelled data, for the recorders that read one.
    force : bool
        Record again what is recorded.

    Returns
    -------
    list of str
        What could not be recorded, and why (the others are recorded all the same).

    Raises
    ------
    ValueError, FileNotFoundError
        For a name that is no recorder's, a seed out of range, an absent folder of data.
    """
    if paths.ROOT is None:
        raise ValueError("recordings are made in a checkout of the repository, not in a wheel")
    for seed in seeds:
        if not 0 <= seed < 2**31:
            raise ValueError(f"a seed lies between 0 and {2**31 - 1}, got {seed}")
    if data is not None and not Path(data).is_dir():
        raise FileNotFoundError(f"data folder not found: {data}")
    chosen, failures = _chosen(names), []
    for position, one in enumerate(chosen, 1):
        title = f"[{position}/{len(chosen)}] {one.name}"
        there = {} if force else _origins(one.name)
        if present := [str(seed) for seed in seeds if seed in there]:
            print(f"{title}: seed {', '.join(present)} already recorded", flush=True)
        due = [seed for seed in dict.fromkeys(seeds) if seed not in there]
        why = one.missing() if due else ""
        if due and not why and one.data and data is None:
            why = "reads labelled data: give --data FOLDER"
        if why:
            failures.append(f"{title}: {why}")
            print(failures[-1], file=sys.stderr, flush=True)
            continue
        fingerprint = one.fingerprint()  # sources may be edited while it runs
        for seed in due:
            start, spent = time.perf_counter(), time.process_time()
            try:
                table = one(seed, data)
                minutes = (time.perf_counter() - start) / 60
                spent = (time.process_time() - spent) / 60
                _store(one, seed, table, (minutes, spent), fingerprint, force)
            except Exception as error:  # one failure must not lose the others' minutes
                failures.append(f"{title} seed {seed}: {type(error).__name__}: {error}")
                print(failures[-1], file=sys.stderr, flush=True)
                break
            took = f"{minutes:.1f} min, {spent:.1f} of a processor"
            print(f"{title} seed {seed}: {len(table):,} rows, {took}", flush=True)
    return failures


def _chosen(names) -> list[Recorder]:
    import_recorders()
    for name in names:
        if name not in RECORDERS:
            near = commands.near(name, RECORDERS)
            known = ", ".join(sorted(RECORDERS)) or "none"
            raise ValueError(f"there is no recorder {name}{near or f': there are {known}'}")
    return [RECORDERS[name] for name in dict.fromkeys(names or sorted(RECORDERS))]


def _store(one: Recorder, seed, table, minutes, fingerprint, force) -> None:
    """Put a seed's table among the others', whole: first the table, then that it is there."""
    fresh = _as_text(table.assign(seed=seed)[["seed", *table.columns]])
    _reads_back(fresh, table)
    file = FOLDER / f"{one.name}.csv"
    origins = _origins(one.name)
    if file.is_file():
        before = _as_read(_text(one.name))
        kept = before[before["seed"].astype(int).isin(set(origins) - {seed})]
        if list(before) == list(fresh):
            fresh = pd.concat([kept, fresh], ignore_index=True)
        elif not force and len(kept):
            raise ValueError(
                f"columns {', '.join(fresh)} are not those of the other seeds, "
                f"{', '.join(before)}: --force records anew, and drops those"
            )
        else:
            origins = {}
    fresh = fresh.sort_values("seed", key=lambda seeds: seeds.astype(int), kind="stable")
    made = {
        "minutes": round(minutes[0], 3), "processor_minutes": round(minutes[1], 3),
        "version": synthlib.__version__,
        "models": {name: _bytes_of(name) for name in one.needs},
        **records.origin(fingerprint),
    }  # fmt: skip
    origins = {str(s): origins[s] if s != seed else made for s in sorted({*origins, seed})}
    said = {"recording": one.name, "seeds": origins}
    records.replace(file, fresh.to_csv(index=False, lineterminator="\n"))
    records.replace(file.with_suffix(".json"), json.dumps(said, indent=1) + "\n")


def _as_text(table) -> pd.DataFrame:
    """Every cell as it will stand in the file."""
    return _as_read(table.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def _as_read(text) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)


def _reads_back(fresh, table) -> None:
    """Raise where a text of the table would not come back from a file as it is."""
    if len(fresh) != len(table):
        raise ValueError(f"{len(table)} rows become {len(fresh)} in a CSV file: a line break?")
    for column in table:
        for found, given in zip(fresh[column], table[column], strict=True):
            if isinstance(given, str) and found != given:
                raise ValueError(
                    f"column {column} holds a text that a CSV file does not keep: {given!r}"
                )


def _bytes_of(name) -> dict:
    """Which weights a name stands for here."""
    if name in {entry.name for entry in weights.LAPTOP}:
        made = weights.origin(name)
        return {"source": made["source"], "sha256": made["sha256"]}
    folder, _ = models.place(name)
    digest = hashlib.sha256()
    for file in sorted(Path(folder).rglob("*.safetensors")):
        digest.update(file.read_bytes())
    return {"sha256": digest.hexdigest()}


# ------------------------------------------------------------------ command line
def listing() -> str:
    """One line a recorder: its seeds, minutes, and whether code has changed since."""
    import_recorders()
    lines = []
    for name in sorted(RECORDERS):
        one, runs = RECORDERS[name], _origins(name)
        if not runs:
            state = "not recorded yet"
        else:
            older = [s for s, run in runs.items() if run.get("fingerprint") != one.fingerprint()]
            state = f"seeds {', '.join(map(str, runs))}"
            state += f", {sum(run['minutes'] for run in runs.values()):.1f} min"
            state += f", {records.OLDER if older else records.FRESH}"
        needs = [*one.needs, *["labelled data"] * one.data]
        lines.append(f"{name:24} {state:44} {'needs ' + ', '.join(needs) if needs else ''}")
    return "\n".join(line.rstrip() for line in lines) or "there are no recorders"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: ``python -m synthlib field``; see its ``--help``.

    Returns
    -------
    int
        0, or 1 where something could not be recorded.
    """
    given = commands.field().parse_args(argv)
    if given.list:
        print(listing())
        return 0
    failures = run(given.names, given.seeds, data=given.data, force=given.force)
    if failures:
        print(f"{len(failures)} not recorded:", *failures, sep="\n", file=sys.stderr)
    return int(bool(failures))
