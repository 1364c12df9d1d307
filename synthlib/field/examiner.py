"""How far an NLI model can be trusted: its accuracy on labels of people, beside every figure.

``python -m synthlib examiner`` gives the shares of pairs that a model labels as people did, by set
and label; and, for a table of outputs that were labelled by hand, agreement and Cohen's κ. Hand
labels follow the rule in ``data/field/labelling.md``.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
from scipy.stats import binomtest
from sklearn.metrics import cohen_kappa_score

from synthlib import commands, judging, models, paths, reading, weights
from synthlib.field import pairs
from synthlib.models import NLI_LABELS

RECORD = "accuracy.csv"  # of a judge's folder: what `examine` gave when it was trained
NONE = "none"  # a hand label: there is nothing to judge
_WANTED = ("premise", "hypothesis", "label")


def held_out(data=None) -> dict[str, pd.DataFrame]:
    """The pairs that no judge of this book has learnt from, by set.

    Parameters
    ----------
    data : path, optional
        Folder of `pairs.sets`: of SNLI and MultiNLI the tenth that is for tests, SICK whole.

    Returns
    -------
    dict of str to DataFrame
        As `pairs.load` gives them; "field", the book's own, is always there.
    """
    found = {}
    for name, frame in (pairs.sets(data) if data is not None else {}).items():
        found[name] = frame if name == "SICK" else pairs.part(frame, "test")
    return found | {"field": pairs.written_for_the_book()}


def examine(judge, frames, *, batch_size=64, progress=False) -> pd.DataFrame:
    """Share of pairs that an NLI model labels as people did.

    Parameters
    ----------
    judge : (model, tokenizer)
        As `models.load_nli` gives them.
    frames : dict of str to DataFrame
        By name of the set; with premise, hypothesis and label.
    batch_size : int
    progress : bool

    Returns
    -------
    DataFrame
        set, label ("all", and each of the three), pairs, accuracy, low, high: percent, with the
        ends of Wilson's interval of 95 %, which takes pairs for independent (those of one premise
        are not quite). Pairs that do not fit the model's window count as wrong.
    """
    rows = []
    for name, frame in frames.items():
        found = labels_of(judge, frame, batch_size=batch_size, progress=progress)
        right = found == frame["label"].to_numpy()
        for label in ("all", *NLI_LABELS):
            of = right if label == "all" else right[(frame["label"] == label).to_numpy()]
            rows.append((name, label, len(of), *_share(of)))
    return pd.DataFrame(rows, columns=["set", "label", "pairs", "accuracy", "low", "high"])


def recorded(name="laptop/examiner") -> pd.DataFrame:
    """The accuracy that was measured when a judge of this book was trained, as `examine` gives it.

    Parameters
    ----------
    name : "laptop/judge" or "laptop/examiner"

    Raises
    ------
    FileNotFoundError, ValueError
        Where it is not there yet, or is no such judge.
    """
    if name not in weights.JUDGES:
        raise ValueError(f"there is no judge {name!r}: there are {', '.join(weights.JUDGES)}")
    file = weights.JUDGES[name] / RECORD
    if not file.is_file():
        raise FileNotFoundError(f"the accuracy of {name} is not at {file}: `make field-judges`")
    return pd.read_csv(file)


def labels_of(judge, frame, **options) -> np.ndarray:
    """An NLI model's label of each pair; "" where a pair does not fit its window.

    Parameters
    ----------
    judge : (model, tokenizer)
    frame : DataFrame
        premise, hypothesis.
    **options
        Of `judging.nli_probabilities`.
    """
    rows = list(zip(frame["premise"], frame["hypothesis"], strict=True))
    p = judging.nli_probabilities(*judge, rows, long="skip", **options)
    return np.where(p.any(axis=1), np.array(NLI_LABELS)[p.argmax(axis=1)], "")


def _share(right) -> tuple[float, float, float]:
    """Percent that is true, and the ends of its interval."""
    if not len(right):
        return (float("nan"),) * 3
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    return tuple(100 * float(x) for x in (right.mean(), interval.low, interval.high))


# ------------------------------------------------------------------ labels by hand
def load_labels(path) -> pd.DataFrame:
    """Outputs of methods with the labels that a reader gave them.

    Parameters
    ----------
    path : path
        A table with the columns premise, hypothesis, label, and perhaps method. A label is one of
        the three or "none": nothing that could be judged (``data/field/labelling.md``).

    Returns
    -------
    DataFrame
        method ("" where none is given), premise, hypothesis, label.

    Raises
    ------
    FileNotFoundError, ValueError
        Where the file is absent, lacks a column, or has another label; names file and line.
    """
    found = reading.read_records(path, (*_WANTED, "method"))
    columns = {} if isinstance(found, list) else found.columns
    missing = [name for name in _WANTED if name not in columns]
    if missing:
        raise ValueError(f"{path} lacks the column {missing[0]}; labels have {', '.join(_WANTED)}")
    rows = []
    for i, line in enumerate(found.lines):
        row = {key: value or "" for key, value in found.row(i).items()}
        label = str(row["label"]).strip().lower()
        if label not in (*NLI_LABELS, NONE):
            raise ValueError(
                f"{path}, line {line}: the label is {row['label']!r}; labels are "
                f"{', '.join(NLI_LABELS)} or {NONE}"
            )
        why = reading.fault(row["premise"]) or reading.fault(row["hypothesis"])
        if why and label != NONE:
            raise ValueError(f"{path}, line {line}: a text is {why}, so its label must be {NONE}")
        rows.append((str(row.get("method", "")), row["premise"], row["hypothesis"], label))
    if not rows:
        raise ValueError(f"{path} holds no label")
    return pd.DataFrame(rows, columns=["method", *_WANTED])


def agreement(judge, labelled, **options) -> pd.DataFrame:
    """How often an NLI model agrees with a reader, by method and over all.

    Parameters
    ----------
    judge : (model, tokenizer)
    labelled : DataFrame
        From `load_labels`.
    **options
        Of `judging.nli_probabilities`.

    Returns
    -------
    DataFrame
        method, pairs, none (outputs that the reader could not judge, which are not counted as
        pairs), agreement, low, high (percent, as in `examine`), kappa (Cohen's κ of the three
        labels; NaN where it is undefined).
    """
    some = labelled[labelled["label"] != NONE]
    found = labels_of(judge, some, **options)
    rows = []
    methods = list(dict.fromkeys(labelled["method"]))
    for method in methods + ["all"] * (len(methods) > 1):
        of = np.ones(len(some), bool) if method == "all" else (some["method"] == method).to_numpy()
        here = labelled if method == "all" else labelled[labelled["method"] == method]
        human, machine = some["label"].to_numpy()[of], found[of]
        kappa = cohen_kappa_score(human, machine) if of.any() else float("nan")
        none = int((here["label"] == NONE).sum())
        rows.append((method or "all", len(human), none, *_share(human == machine), float(kappa)))
    names = ["method", "pairs", "none", "agreement", "low", "high", "kappa"]
    return pd.DataFrame(rows, columns=names)


# ------------------------------------------------------------------ the command line
def said(table) -> str:
    """A table of `examine` or `agreement` to be printed."""
    return table.to_string(index=False, float_format=lambda value: f"{value:.2f}")


def main(argv=None) -> int:
    """Entry of ``python -m synthlib examiner``."""
    given = commands.examiner().parse_args(argv)
    # All files are read before the model is loaded: a damaged one costs seconds.
    frames = held_out(given.data)
    labelled = None if given.labels is None else load_labels(given.labels)
    judge = models.load_nli(given.model, device=given.device)
    options = dict(batch_size=given.batch_size, progress=not given.quiet)
    table = examine(judge, frames, **options)
    print(f"{given.model}: percent labelled as people did\n{said(table)}")
    if given.out is not None:
        paths.write_bytes(given.out, table.to_csv(index=False).encode())
    if labelled is not None:
        print(f"\n{given.labels}: agreement with the labels by hand")
        print(said(agreement(judge, labelled, **options)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
