"""A long run, watched from outside (``benchmarks/soak.py``): its samples and their summary.

Samples are in ``data/soak/soak.csv``, one a row: seconds (since the beginning), call (1 until the
run was killed, 2 from then on), stage, done (rows on the disk; steps of a training), memory (MB,
resident, of the process and its children), files (open ones), processor (seconds of it in this
call).
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from synthlib import paths

FILE = paths.DATA / "soak" / "soak.csv"
_FEWEST = 8  # moments at which something more was done, for a quarter to have a rate


def samples() -> pd.DataFrame:
    """The committed ones."""
    return pd.read_csv(FILE)


def summary(found: pd.DataFrame) -> pd.DataFrame:
    """Memory by a least-squares line, and the rate early and late, of each stage and call.

    Parameters
    ----------
    found : DataFrame
        As `samples` gives it.

    Returns
    -------
    DataFrame
        stage, call, from, to (done), peak (MB), growth (MB for a thousand done), first and last
        (done a processor second in the first and the last quarter of what was done), first_wall
        and last_wall (the same a second by the clock), files (the most). What came before the first
        rows of a call is left out: models are loaded then. So is a stage with too few moments.
    """
    rows = []
    for (stage, call), part in found.groupby(["stage", "call"], sort=False):
        part = part[part["done"] > part["done"].min()]
        moved = part.drop_duplicates("done")  # the first look at what had been done
        if len(moved) < _FEWEST:
            continue
        quarter = len(moved) // 4
        ends = {"first": moved[: quarter + 1], "last": moved[-quarter - 1 :]}
        row = {
            "stage": stage, "call": call, "from": moved["done"].iloc[0],
            "to": moved["done"].iloc[-1], "peak": part["memory"].max(),
            "growth": np.polyfit(part["done"] / 1000, part["memory"], 1)[0],
        }  # fmt: skip
        for name, some in ends.items():
            done, spent, clock = (np.ptp(some[c]) for c in ("done", "processor", "seconds"))
            row |= {name: done / spent, f"{name}_wall": done / clock}
        rows.append(row | {"files": part["files"].max()})
    return pd.DataFrame(rows)


def pace(found: pd.DataFrame, pieces: int = 8) -> pd.DataFrame:
    """How fast each stage and call was from piece to piece, against its own mean.

    Parameters
    ----------
    found : DataFrame
        As `samples` gives it.
    pieces : int

    Returns
    -------
    DataFrame
        stage, call, done (at the middle of a piece), percent (of the mean rate by processor
        seconds; 100 everywhere is steady).
    """
    rows = []
    for (stage, call), part in found.groupby(["stage", "call"], sort=False):
        moved = part[part["done"] > part["done"].min()].drop_duplicates("done")
        if len(moved) < _FEWEST:
            continue
        ends = np.linspace(0, len(moved) - 1, min(pieces, len(moved) - 1) + 1)
        at = moved.iloc[ends.round().astype(int)]
        done, spent = at["done"].to_numpy(), at["processor"].to_numpy()
        mean = (done[-1] - done[0]) / (spent[-1] - spent[0])
        percent = 100 * np.diff(done) / np.diff(spent) / mean
        middle = (done[1:] + done[:-1]) / 2
        rows += [(stage, call, *row) for row in zip(middle, percent, strict=True)]
    return pd.DataFrame(rows, columns=["stage", "call", "done", "percent"])
