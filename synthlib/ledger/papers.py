"""The papers' own tables and numbers (``data/papers/``)."""

from __future__ import annotations

import pandas as pd

from synthlib import paths

PAPERS = ("multicsr", "art", "ranking-sentences")


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
