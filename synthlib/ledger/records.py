"""What was measured: one JSON file a claim, and the rows behind the claims.

``data/ledger/live/`` (not tracked) holds what a chapter measured as it ran, ``measured/``
(tracked) what ``make ledger`` measured over several seeds. Each record says when, at which
commit, with which fingerprint of the code (see `closure`), in which precision and on which
processor.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import io
import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from functools import lru_cache
from pathlib import Path

import pandas as pd

from synthlib import paths

from . import closure, registry

MEASURED = paths.DATA / "ledger" / "measured"
# An installed wheel's data are not ours to write to.
LIVE = (paths.DATA if paths.ROOT else paths.BUILD) / "ledger" / "live"

#: Names of the rows that this process has read: what a notebook's figures are drawn from.
READ: set[str] = set()
# What `keep_rows` writes down: the claim that is being measured; in a verification, where to.
_MEASURING: ContextVar[dict | None] = ContextVar("measuring", default=None)

#: Made by the present code; made before, and one seed run again with the same figures; neither.
FRESH, VERIFIED, OLDER = "fresh", "verified at one seed", "older code"


def record(
    claim: str,
    value: float | Sequence[float],
    seeds: Sequence[int] = (0,),
    *,
    tier: str = "pocket",
    minutes: float | None = None,
) -> dict:
    """Write down what a chapter measured.

    Parameters
    ----------
    claim : str
        A claim of ``data/ledger/claims.csv``.
    value : float, or one float a seed
        In the claim's unit. From several values the mean is kept with their sample standard
        deviation, and each seed's value.
    seeds : sequence of int
    tier : str
    minutes : float, optional
        Time that the measurement took.

    Returns
    -------
    dict
        The record as it was written, with device, commit, date and versions.

    Raises
    ------
    ValueError
        For an unknown claim, a value that is not finite, or seeds that do not match.
    """
    values = value if isinstance(value, Iterable) else [value]
    return write(
        LIVE, claim, values, seeds, tier=tier, minutes=minutes, fingerprint=closure.whole()
    )


def write(folder, claim, values, seeds, *, fingerprint, tier="pocket", minutes=None) -> dict:
    """`record` into a folder, with the fingerprint of what measured it."""
    unit = registry.known(claim)["unit"]
    seeds, values = [int(s) for s in seeds], [float(v) for v in values]
    if len(set(seeds)) != len(seeds) or not seeds:
        raise ValueError(f"{claim}: seeds {seeds} must be distinct, and at least one")
    if len(values) != len(seeds):
        raise ValueError(f"{claim}: {len(values)} values for {len(seeds)} seeds; give one a seed")
    if not all(map(math.isfinite, values)):
        raise ValueError(f"{claim}: {values} are not finite numbers; nothing was recorded")
    if minutes is not None and not (math.isfinite(minutes) and minutes >= 0):
        raise ValueError(f"{claim}: minutes {minutes!r} must be a finite number, zero or more")
    entry = {
        "claim": claim,
        "value": round(statistics.fmean(values), 6),
        "spread": round(statistics.stdev(values), 6) if len(values) > 1 else None,
        "unit": unit,
        "seeds": seeds,
        "values": {str(s): round(v, 6) for s, v in zip(seeds, values, strict=True)},
        "tier": tier,
        "minutes": None if minutes is None else round(float(minutes), 3),
        **origin(fingerprint),
    }
    store(folder, entry)
    return entry


def store(folder: Path, entry: dict) -> None:
    """Write a record as it is."""
    text = json.dumps(entry, indent=1, ensure_ascii=False) + "\n"
    replace(folder / f"{entry['claim']}.json", text)


def origin(fingerprint: str) -> dict:
    """Where and when something is measured: what a record says of its own making."""
    from synthlib import models

    return {
        "date": datetime.date.today().isoformat(),
        **_commit(),
        "fingerprint": fingerprint,
        "precision": models.training_precision(),  # of what was trained for it, if anything
        "device": _device(),
        "processor": processor(),
        "vectors": _vectors(),  # figures may differ in their last digits between two kinds
        "versions": _versions(),
    }


def replace(file: Path, text: str) -> None:
    """Write a file whole or not at all: notebooks that run side by side never clash."""
    file.parent.mkdir(parents=True, exist_ok=True)
    paths.write_bytes(file, text.encode())


def read(folder: Path, claim: str) -> dict | None:
    """A claim's record in a folder, or None."""
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


@lru_cache(maxsize=1)
def processor() -> str:
    """The processor's name."""
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text("utf-8"))
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def _vectors() -> str:
    """The instructions that torch's own kernels use on this processor, as "AVX2"."""
    import torch

    return torch.backends.cpu.get_cpu_capability()


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


# ------------------------------------------------------------------ rows behind the claims
@contextlib.contextmanager
def measuring(claim: str, fingerprint: str, aside: list | None = None):
    """While a function measures: its rows carry its claim and fingerprint.

    Parameters
    ----------
    claim, fingerprint : str
    aside : list, optional
        Takes (name, seed, rows) in place of the tracked files.
    """
    token = _MEASURING.set({"claim": claim, "fingerprint": fingerprint, "aside": aside})
    try:
        yield
    finally:
        _MEASURING.reset(token)


def keep_rows(name: str, seed: int, rows: pd.DataFrame) -> None:
    """Store what a measuring function found for one seed: a curve, or the rows of a table.

    A claim is one number; the figure or the table that it summarises is kept here, in
    ``data/ledger/measured/rows/<name>.csv``, with its origin in ``<name>.json`` beside it. Rows of
    the same seed from an earlier run are replaced, and all rows where their columns or the code
    that made them differ.

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
    by = _MEASURING.get() or {"claim": None, "fingerprint": None, "aside": None}
    if by["aside"] is not None:
        by["aside"].append((name, seed, rows))
        return
    rows = rows.assign(seed=seed)
    file = MEASURED / "rows" / f"{name}.csv"
    if file.is_file() and _about(file).get("fingerprint") == by["fingerprint"]:
        before = pd.read_csv(file, keep_default_na=False, na_values=[""])
        if set(before) == set(rows):
            rows = pd.concat([before[before["seed"] != seed], rows])
    rows = rows.sort_values("seed", kind="stable")
    about = {
        "rows": name,
        "seeds": sorted(int(s) for s in rows["seed"].unique()),
        "claim": by["claim"],
        **origin(by["fingerprint"]),
    }
    replace(file, rows.to_csv(index=False, float_format="%.6g"))
    replace(file.with_suffix(".json"), json.dumps(about, indent=1) + "\n")


def rows(name: str) -> pd.DataFrame:
    """The rows that `keep_rows` stored, with the column seed; ``.attrs`` says their origin.

    Parameters
    ----------
    name : str

    Returns
    -------
    DataFrame
        ``attrs``: rows, seeds, claim, date, commit, dirty, fingerprint, precision, device,
        processor, versions, and verified where one seed was (see `verify`).

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
    READ.add(name)
    frame.attrs = _about(file)
    return frame


def _about(file: Path) -> dict:
    return json.loads(file.with_suffix(".json").read_text("utf-8"))


# ------------------------------------------------------------------ state
def state(about: dict, claim: str | None) -> str:
    """Whether a record, or the origin of rows, belongs to the present code.

    Parameters
    ----------
    about : dict
    claim : str or None
        Whose measuring function made it; None where that is not known.

    Returns
    -------
    str
        `FRESH`, `VERIFIED` or `OLDER`.
    """
    now = closure.present(claim) if claim else None
    if now is not None and about.get("fingerprint") == now:
        return FRESH
    if now is not None and about.get("verified", {}).get("fingerprint") == now:
        return VERIFIED
    return OLDER


def state_of_rows(name: str) -> str:
    """`state` of the rows of a name."""
    about = _about(MEASURED / "rows" / f"{name}.csv")
    return state(about, about.get("claim") or about.get("verified", {}).get("claim"))


def same_rows(name: str, seed: int, rows: pd.DataFrame) -> bool:
    """Whether rows are those that are kept for the seed, to the last digit that is kept."""
    file = MEASURED / "rows" / f"{name}.csv"
    if not file.is_file():
        return False
    kept = pd.read_csv(file, dtype=str, keep_default_na=False)
    kept = kept[kept["seed"] == str(seed)].drop(columns="seed")
    text = rows.to_csv(index=False, float_format="%.6g")
    fresh = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    return set(kept) == set(fresh) and bool((kept[fresh.columns].values == fresh.values).all())


def verify_rows(name: str, stamp: dict) -> None:
    """Write down that a seed of these rows came out the same."""
    file = MEASURED / "rows" / f"{name}.csv"
    about = _about(file) | {"verified": stamp}
    replace(file.with_suffix(".json"), json.dumps(about, indent=1) + "\n")
