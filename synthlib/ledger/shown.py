"""The ledger as tables: each claim beside what was measured, how old that is, whether it holds."""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from scipy import stats

from synthlib import paths

from . import closure, records
from .registry import DECIMALS, NOT_TESTABLE, SIGNS, claims, judge, known, source

NOT_YET = "not yet measured"
# What a table shows of a record, as it stands there.
RECORDED = (
    "value", "spread", "seeds", "minutes", "tier", "device", "processor", "precision", "commit",
    "date", "fingerprint",
)  # fmt: skip


def table(chapter: int | None = None) -> pd.DataFrame:
    """The ledger: every claim beside what was measured.

    Parameters
    ----------
    chapter : int, optional

    Returns
    -------
    DataFrame
        Index ``id``; the claims' columns, then ``value, spread, seeds, minutes, tier, device,
        processor, precision, commit, date, fingerprint`` of the committed measurement, ``low`` and
        ``high`` (`interval`; NaN with one seed, or where all gave one value), ``state``
        ("fresh", "verified at one seed" or "older code"), ``verified`` and ``differs`` (what came
        out when one seed was run again: in words, or empty), ``again`` (how it is to be measured
        again, where the way it was is in doubt), ``recorded`` (minutes that its recordings took
        together; NaN where it is measured on none), ``live`` (the value of this build's
        run; NaN when the chapter has not run on the present sources) and ``holds``: "yes", "no",
        "on k of n seeds", "reported", "not testable here" or "not yet measured". Committed
        measurements are judged before live ones; "(live)" marks a judgement that rests on the live
        value alone.
    """
    now = closure.whole()
    rows = []
    for claim, about in claims(chapter).iterrows():
        measured, live = records.read(records.MEASURED, claim), records.read(records.LIVE, claim)
        if live is not None and live.get("fingerprint") != now:
            live = None  # left over from a run of other code
        entry = {"seeds": ()} | (measured or {})
        judged = _verdict(about, measured or live)
        rows.append({
            "id": claim,
            **about,
            **{k: entry.get(k) for k in RECORDED},
            "seeds": len(entry["seeds"]),
            **dict(zip(("low", "high"), interval(entry), strict=True)),
            "state": records.state(measured, claim) if measured else NOT_YET,
            **_run_again(measured, claim),
            "again": entry.get("again", ""),
            "recorded": _recorded(claim) if measured else None,
            "live": live["value"] if live else None,
            "holds": judged + (" (live)" if live and not measured else ""),
        })  # fmt: skip
    frame = pd.DataFrame(rows).set_index("id") if rows else claims(chapter)
    numeric = ("value", "spread", "low", "high", "minutes", "recorded", "live")
    numeric = [c for c in numeric if c in frame]
    frame[numeric] = frame[numeric].astype(float)
    return frame


def interval(entry: dict, level: float = 0.95) -> tuple[float | None, float | None]:
    """Confidence interval of a claim's mean over seeds, by Student's t.

    A claim that compares two things has their difference under one seed for a value, so it is the
    interval of the paired difference. It speaks of other seeds, not of other test sets.

    Parameters
    ----------
    entry : dict
        A record: ``value``, ``spread`` (sample standard deviation) and ``seeds``.
    level : float in (0, 1)

    Returns
    -------
    (low, high)
        In the claim's unit; (None, None) with fewer than two seeds or without spread.
    """
    count, spread = len(entry["seeds"]), entry.get("spread")
    if count < 2 or not spread:
        return None, None
    reach = stats.t.ppf((1 + level) / 2, count - 1) * spread / math.sqrt(count)
    return entry["value"] - reach, entry["value"] + reach


def mean_and_interval(values: Sequence[float], digits: int = 1) -> str:
    """A mean over seeds with its 95 % interval (`interval`), in words.

    Parameters
    ----------
    values : sequence of float
        One a seed: a paired difference, where two things are compared.
    digits : int
        Behind the decimal point.

    Returns
    -------
    str
        As "+4.1 (+0.9 to +7.3)", which breaks into two lines at most; of one value, or of values
        that are all the same, the mean alone.
    """
    values = pd.Series(values, dtype=float)
    about = {"value": values.mean(), "spread": values.std(), "seeds": list(values.index)}

    def signed(number: float) -> str:
        return f"{round(number, digits) + 0.0:+.{digits}f}".replace("-", "−")  # no −0.0

    low, high = interval(about)
    text = signed(about["value"])
    return text if low is None else f"{text} ({signed(low)}\u00a0to\u00a0{signed(high)})"


def _recorded(claim: str) -> float | None:
    """Minutes of the recordings that a claim is measured on, a processor's where these were
    counted; None where there is none."""
    reads = closure.here().measures.get(claim, (None,) * 4)[3] or ()
    files = [
        paths.DATA / Path(name).relative_to("data").with_suffix(".json")
        for name in reads if name.startswith("data/field/recorded/")
    ]  # fmt: skip
    about = [json.loads(file.read_text("utf-8")) for file in files if file.is_file()]
    runs = [run for one in about for run in one["seeds"].values()]
    spent = [run.get("processor_minutes", run["minutes"]) for run in runs]
    return sum(spent) if spent else None


def _run_again(entry: dict | None, claim: str) -> dict[str, str]:
    """What came of running one seed again with the present code, in words; empty where it was not.
    """
    said = {"verified": "", "differs": ""}
    now = closure.present(claim)
    for key in said:
        stamp = (entry or {}).get(key)
        if stamp and stamp["fingerprint"] == now:
            said[key] = f"seed {stamp['seed']} on {stamp['date']}"
            said[key] += f": {stamp['why']}" if key == "differs" else ""
            said[key] += f", {stamp['off']:.1g} off" if "off" in stamp else ""
    return said


def _verdict(about: pd.Series, entry: dict | None) -> str:
    if entry is None:
        return NOT_YET
    if about["rule"] == NOT_TESTABLE:
        return f"{NOT_TESTABLE} here"
    # The mean alone hides a claim that held on one seed of three.
    verdicts = [judge(about["rule"], v, about["bar"]) for v in entry["values"].values()]
    if verdicts[0] is None:
        return "reported"
    held = sum(verdicts)
    if 0 < held < len(verdicts):
        return f"on {held} of {len(verdicts)} seeds"
    return "yes" if held else "no"


def number(value: float, unit: str, spread: float | None = None) -> str:
    """A value with its spread, in the digits and the sign of its unit.

    Examples
    --------
    >>> number(85.25, "percent", 0.3)
    '85.2 ± 0.3 %'
    >>> number(1.3, "x", 0.04)
    '1.30 ± 0.04×'
    """
    if value is None or math.isnan(value):
        return ""
    digits = DECIMALS.get(unit, 2)
    text = f"{value:.{digits}f}"
    if spread is not None and not math.isnan(spread):
        text += f" ± {spread:.{max(digits, 1)}f}"
    # A true minus: a hyphen can part from its number at a line's end.
    return text.replace("-", "−") + SIGNS.get(unit, "")


def between(low: float, high: float, unit: str) -> str:
    """A range in words, with its unit once.

    Examples
    --------
    >>> between(1.2, 1.4, "x")
    '1.20 to 1.40×'
    """
    return f"{number(low, unit).removesuffix(SIGNS.get(unit, ''))} to {number(high, unit)}"


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
        Text columns "claim", "the paper says", "we measured", "holds here?"; of claims on real
        language "in the pocket world", too, where one of them asks another again.
    """
    for claim in ids:
        known(claim)
    full = table(chapter)
    if ids:
        full = full.loc[list(ids)]
    rows = [
        (row["statement"], source(row), measured(row, tier=True), row["holds"])
        for _, row in full.iterrows()
    ]
    frame = pd.DataFrame(rows, columns=["claim", "the paper says", "we measured", "holds here?"])
    if full["field_of"].any():
        whole = table()
        answered = [in_the_pocket_world(row, whole) for _, row in full.iterrows()]
        frame.insert(2, "in the pocket world", answered)
    return frame


def measured(row: pd.Series, *, tier: bool = False) -> str:
    """What was measured of a claim, a row of `table`: value, seeds, age; and, where that is wanted
    and it is not the pocket one, the tier."""
    parts = []
    if not math.isnan(row["value"]):
        count = f"{row['seeds']} seed" + ("s" if row["seeds"] != 1 else "")
        if tier and row["tier"] != "pocket":
            count = f"{row['tier']}, {count}"
        if row["state"] == records.OLDER:
            count += f", {records.OLDER}"
        parts.append(f"{number(row['value'], row['unit'], row['spread'])} ({count})")
    if not math.isnan(row["live"]):
        parts.append(f"{number(row['live'], row['unit'])} (live)")
    return " · ".join(parts) or NOT_YET


def in_the_pocket_world(row: pd.Series, whole: pd.DataFrame) -> str:
    """What the claims that one on real language asks again came to; rows of `table`."""
    of = whole.loc[row["field_of"].split()]
    return "; ".join(outcome(other) for _, other in of.iterrows())


def outcome(row: pd.Series) -> str:
    """A claim's figure and verdict, of a row of `table`: "59.0 (laptop, 3 seeds): no"."""
    if row["holds"] == NOT_YET:
        return NOT_YET
    return f"{measured(row, tier=True)}: {row['holds']}"


#: What the mark of a stale row means, for the foot of a table that shows one.
OLDER_MEANS = (
    f"{records.OLDER}: the code behind the figure has changed since it was measured, and the "
    "figure has not been confirmed with the present code."
)


class _Shown:
    """A small table that a notebook shows as HTML and a terminal as text, with its notes."""

    def __init__(self, frame: pd.DataFrame, notes: Sequence[str] = ()):
        self.frame, self.notes = frame, notes

    def __repr__(self) -> str:
        lines = []
        for claim, *cells in self.frame.itertuples(index=False):
            said = zip(self.frame.columns[1:], cells, strict=True)
            lines.append(f"- {claim}\n    " + "; ".join(f"{k} {v}" for k, v in said if v))
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        def cells(tag, values):
            inner = "".join(f"<{tag}>{html.escape(str(v))}</{tag}>" for v in values)
            return f"<tr>{inner}</tr>"

        head = cells("th", self.frame.columns)
        body = "".join(cells("td", row) for row in self.frame.itertuples(index=False))
        table = f"<thead>{head}</thead><tbody>{body}</tbody>"
        if self.notes:
            notes = "<br>".join(map(html.escape, self.notes))
            table += f'<tfoot><tr><td colspan="{len(self.frame.columns)}">{notes}</td></tr></tfoot>'
        return f'<table class="dataframe ledger">{table}</table>'


def show(*ids: str, chapter: int | None = None) -> _Shown:
    """Show claims beside what was measured, as the last line of a notebook's cell.

    A figure of older code says so in its row, and the foot says what that means. With a chapter's
    table the foot also names the rows that the notebook has drawn figures from (`rows`) and that
    are of older code.

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
    frame = summary(*ids, chapter=chapter)
    notes = []
    if frame["we measured"].str.contains(records.OLDER, regex=False).any():
        notes.append(OLDER_MEANS)
    if chapter is not None:
        read = sorted(records.READ)
        older = [name for name in read if records.state_of_rows(name) == records.OLDER]
        if older:
            notes.append(f"Figures above drawn from rows of {records.OLDER}: {', '.join(older)}.")
    return _Shown(frame, notes)


def count_states(full: pd.DataFrame) -> str:
    """How many measured claims are in which state, in words: "5 fresh, 198 older code"."""
    counts = full.loc[full["state"] != NOT_YET, "state"].value_counts()
    order = (records.FRESH, records.VERIFIED, records.OLDER)
    return ", ".join(f"{counts[state]} {state}" for state in order if counts.get(state))


SHOWN_ORIGIN = ("date", "commit", "precision", "processor")


def status(*ids: str) -> str:
    """One line a claim: state, date, commit, precision, processor; then how many are in which.

    Parameters
    ----------
    *ids : str
        Claims; all when none is given.
    """
    for claim in ids:
        known(claim)
    full = table().loc[list(ids)] if ids else table()
    lines = []
    for claim, row in full.iterrows():
        about = [row[k] if isinstance(row[k], str) else "not noted" for k in SHOWN_ORIGIN]
        if row["state"] == NOT_YET:
            about = []
        elif row["verified"] or row["differs"]:
            about.append(
                f"same at {row['verified']}" if row["verified"] else f"differs at {row['differs']}"
            )
        if row["again"]:
            about.append(f"to be measured again {row['again']}")
        lines.append(f"{claim:32} {row['state']:22} {'  '.join(about)}".rstrip())
    return "\n".join([*lines, "", f"{len(lines)} claims: {count_states(full)}"])


def export(file: str | os.PathLike) -> Path:
    """Write the whole ledger as one CSV (for the book's download).

    Parameters
    ----------
    file : path

    Returns
    -------
    Path
    """
    records.replace(Path(file), table().to_csv())
    return Path(file)
