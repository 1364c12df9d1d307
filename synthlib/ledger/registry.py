"""The registry of claims (``data/ledger/claims.csv``), and how a claim is judged."""

from __future__ import annotations

import math
import re
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path

import pandas as pd

from synthlib import paths

CLAIMS = paths.DATA / "ledger" / "claims.csv"
FIELD = range(13, 17)  # the chapters on real language


def claims(chapter: int | None = None) -> pd.DataFrame:
    """The registry of claims.

    Parameters
    ----------
    chapter : int, optional
        Only this chapter's claims.

    Returns
    -------
    DataFrame
        Index ``id``; columns ``chapter, paper, where, statement, paper_value, unit, rule, bar,
        field_of`` (of a claim on real language: the ids of the claims, with blanks between, that it
        asks again in the field; else empty).

    Raises
    ------
    ValueError
        Where a claim stands twice, or `field_of` names what is no claim of the pocket world.
    """
    frame = _read_claims(CLAIMS, CLAIMS.stat().st_mtime_ns)
    return frame.copy() if chapter is None else frame[frame["chapter"] == int(chapter)].copy()


@lru_cache(maxsize=4)
def _read_claims(file: Path, _mtime: int) -> pd.DataFrame:
    frame = pd.read_csv(file, dtype={"paper_value": str, "bar": float, "field_of": str})
    frame = frame.fillna({"paper_value": "", "field_of": ""}).set_index("id")
    if not frame.index.is_unique:
        raise ValueError(f"{file}: claim {frame.index[frame.index.duplicated()][0]} stands twice")
    pocket = set(frame.index[~frame["chapter"].isin(FIELD)])
    for claim, of in frame["field_of"].items():
        if of and claim in pocket:
            raise ValueError(f"{file}: {claim} is no claim on real language, its field_of is {of}")
        for other in of.split():
            if other not in pocket:
                raise ValueError(
                    f"{file}: field_of of {claim} names {other}, no claim of the pocket world"
                )
    return frame


def known(claim: str) -> pd.Series:
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


NOT_TESTABLE = "not testable"
UNJUDGED = ("report", NOT_TESTABLE)


def judge(rule: str, value: float, bar: float = math.nan) -> bool | None:
    """Whether a value satisfies a claim's rule.

    Parameters
    ----------
    rule : str
        ``"report"`` (nothing is judged), ``"not testable"`` (nor can it be: what it compares with
        has its value by convention, and the statement says why), ``"value >= bar"``
        (also ``<=``, ``<``, ``>``, and a number in place of ``bar``) or a range,
        ``"0.2 <= value <= 0.4"``.
    value : float
    bar : float, optional

    Returns
    -------
    bool, or None for "report" and "not testable"

    Raises
    ------
    ValueError
        For a rule in another form, or one that needs a bar where there is none.
    """
    if rule in UNJUDGED:
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


# Close to its number: with a blank before it, "×" multiplies by what follows, "0.06 × (3 seeds)".
SIGNS = {"percent": " %", "x": "×", "times as long": "×", "seconds": " s", "minutes": " min"}
DECIMALS = {
    "points": 1, "percent": 1, "cosine": 3, "fraction": 3, "x": 2, "times as long": 2, "seconds": 1,
    "count": 0,
}  # fmt: skip
# No clock gives a figure twice; a change of code that matters to it moves it by more than this.
CLOCK, OF_A_CLOCK = ("times as long", "seconds", "minutes"), 0.05


def tolerance(unit: str, value: float) -> float:
    """By how much two measurements of one thing may differ: a hundredth of the last digit shown,
    and a twentieth of a figure that a clock gives.

    Processors add in different orders, and pairs of nearly equal cosines change places: the
    Spearman correlation of an encoder as it is differs by 0.0001 points between ATen's kernels
    with and without AVX2 (not with the number of threads). What is trained differs by more.
    """
    return OF_A_CLOCK * abs(value) if unit in CLOCK else 10.0 ** -(DECIMALS.get(unit, 2) + 2)


def source(row: pd.Series) -> str:
    """Where a claim stands, with the paper's value: "Table 3: 85.82 → 84.06"."""
    if row["paper"] == "book":
        return "a claim of this book"
    return f"{row['where']}: {row['paper_value']}" if row["paper_value"] else row["where"]


def condition(row: pd.Series) -> str:
    """When a claim holds, in words: "≥ 94 %", "0.2 to 0.4", or empty when nothing is judged."""
    if row["rule"] in UNJUDGED:
        return ""
    text = row["rule"].replace("bar", f"{row['bar']:g}").replace("-", "−")
    text = text.replace(" <= value <= ", " to ").removeprefix("value ")
    return text.replace(">=", "≥").replace("<=", "≤") + SIGNS.get(row["unit"], "")
