"""What is found in a run's folder, before it is a page: the same shape for every method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from synthlib import viz
from synthlib.reporting.texts import Sample, Texts
from synthlib.runs.folder import Run, Step

EXAMPLES = 3  # of each reason of loss
EXAMINATION = (
    "STS, Spearman",
    "the examination: do the encoder's similarities put pairs of sentences in the order in which "
    "people put them? 100 is perfect, 0 is chance",
)


@dataclass
class Loss:
    """Why something was left out, how often, and where for example."""

    reason: str
    count: int = 0
    examples: Sample = None

    def add(self, number, place, text) -> None:
        """One more; `place` names a file and a line or row."""
        self.count += 1
        self.examples.offer(number, (place, text))


class Losses:
    """Reasons in the order in which they came up, each with a few examples drawn by the seed."""

    def __init__(self, seed):
        self.seed, self.held = seed, {}

    def add(self, reason, number, place, text) -> None:
        """One more of a reason."""
        if reason not in self.held:
            self.held[reason] = Loss(reason, examples=Sample(EXAMPLES, self.seed))
        self.held[reason].add(number, place, text)

    def most(self) -> list[Loss]:
        """The most frequent first."""
        return sorted(self.held.values(), key=lambda loss: -loss.count)


@dataclass
class Table:
    """A table to be shown under a heading."""

    caption: str
    headers: list
    rows: list
    note: str = ""


@dataclass
class Findings:
    """Of one run.

    Attributes
    ----------
    title, purpose : str
        What the method is called, and what it does, in plain words.
    steps : list of Step
    models : list of (str, str)
        Role in words, name.
    settings : list of (str, object)
        Those that decide what is kept and how long is trained.
    key : list of (str, str)
        A few figures and what they are.
    look : list of str
        What stands out, by the rules that the words name.
    funnel : list of (str, int)
        Stages from the sentences to what was trained on.
    unread, left : list of Loss
        Of lines that could not be used, and of what was written and left out.
    left_note, sample_note, left_title : str
    kept_cards, left_cards : list of lists of (str, value)
    texts : Texts
    kinds : dict of str to str
        Kind of text to its name in words.
    tables, examination : list of Table
    pictures : list of viz.Figure
        What decided; `curves` are those of the training.
    words : list of (str, str)
        Terms and what they mean here.
    """

    title: str
    purpose: str
    steps: list[Step]
    models: list
    settings: list
    texts: Texts
    kinds: dict
    key: list = field(default_factory=list)
    look: list = field(default_factory=list)
    funnel: list = field(default_factory=list)
    unread: list = field(default_factory=list)
    left: list = field(default_factory=list)
    left_note: str = ""
    sample_note: str = ""
    left_title: str = "Left out"
    kept_cards: list = field(default_factory=list)
    left_cards: list = field(default_factory=list)
    tables: list = field(default_factory=list)
    examination: list = field(default_factory=list)
    pictures: list = field(default_factory=list)
    curves: list = field(default_factory=list)
    words: list = field(default_factory=list)


def unread(run: Run, seed, wanted: Callable = lambda reject: True) -> list[Loss]:
    """Of ``rejects.jsonl``: the reasons, with file and line."""
    losses = Losses(seed)
    for number, reject in enumerate(run.rejects()):
        if wanted(reject):
            place = f"{reject.get('file') or 'the sentences'}, line {reject.get('line')}"
            losses.add(str(reject.get("reason")), number, place, reject.get("text", ""))
    return losses.most()


def histogram(values, series, *, xlabel, ylabel, marks, caption, what) -> viz.Figure | None:
    """Where values lie, of each series, with bounds marked.

    Parameters
    ----------
    values : dict of str to list of float
        By the name of a series.
    marks : dict of str to float
        Label to a bound; None is left out.
    what : str
        Of the values, for those who do not see the picture.
    """
    parts = {name: np.asarray(values[name], dtype=np.float32) for name in series}
    parts = {name: part[np.isfinite(part)] for name, part in parts.items()}
    table = pd.DataFrame({
        "value": np.concatenate(list(parts.values())),
        "which": [name for name, part in parts.items() for _ in range(len(part))],
    })  # fmt: skip
    if not len(table):
        return None
    marks = {label: at for label, at in marks.items() if at is not None}
    said = [
        f"{name}: {len(part):,} values, median {np.median(part):.2f}, from {part.min():.2f} to "
        f"{part.max():.2f}"
        for name, part in parts.items() if len(part)
    ]  # fmt: skip
    bounds = "; ".join(f"{label} marked" for label in marks)
    return viz.Figure(
        table,
        {
            "kind": "histogram", "x": "value", "series": "which", "bins": 25, "xlabel": xlabel,
            "ylabel": ylabel, "colors": dict(zip(parts, ("blue", "orange"), strict=False)),
            "vlines": [{"at": float(at), "label": label} for label, at in marks.items()],
        },
        alt=f"Histogram of {what}. {'; '.join(said)}. {bounds}",
        caption=caption,
    )  # fmt: skip


def lines(table, x, y, *, series=None, xlabel, ylabel, caption, what) -> viz.Figure | None:
    """A line over the rows of a table, thinned to a few hundred points."""
    table = table.dropna(subset=[y])
    if not len(table):
        return None
    few = table.iloc[:: max(1, len(table) // 300)]
    ends = []
    for name, part in table.groupby(series, sort=False) if series else [("", table)]:
        first, last = part[y].iloc[0], part[y].iloc[-1]
        ends.append(f"{name}{': ' if name else ''}from {first:.3g} to {last:.3g}")
    spec = {"kind": "lines", "x": x, "y": y, "xlabel": xlabel, "ylabel": ylabel, "markers": False}
    if series:
        spec["series"] = series
        few = few.assign(**{series: few[series].astype(str)})
    return viz.Figure(few, spec, alt=f"Curve of {what}, {'; '.join(ends)}.", caption=caption)


def training_curves(run: Run, names) -> list[viz.Figure]:
    """Loss, and mark on the development pairs, of the encoders that were trained.

    Parameters
    ----------
    names : dict of str to str
        Folder of the encoder ("" for the run's own) to what it is called.
    """
    logs = [
        log.assign(encoder=said)
        for name, said in names.items() if (log := run.curve(name)) is not None
    ]  # fmt: skip
    if not logs:
        return []
    table, made = pd.concat(logs, ignore_index=True), []
    series = "encoder" if len(logs) > 1 else None
    for column, said, caption in (
        ("loss", "loss", "The loss of the training: a curve that falls and levels off has learned; "
         "one that stays where it began has not."),
        ("dev", "mark on the development pairs", "How the encoder did on pairs that it was not "
         "trained on, while it was trained."),
    ):  # fmt: skip
        if column in table:
            made.append(lines(
                table, "step", column, series=series, xlabel="step", ylabel=said, caption=caption,
                what=f"the {said} by step",
            ))  # fmt: skip
    return [one for one in made if one is not None]
