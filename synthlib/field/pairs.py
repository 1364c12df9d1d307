"""Labelled pairs of real sentences, and which of them a judge may learn from.

Pairs come as people have them (`load`), and a premise alone decides on which side of the split its
pairs stand (`part_of`): so it stays there whatever else is in the data.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from synthlib import paths, reading
from synthlib.models import NLI_LABELS

COLUMNS = ("premise", "hypothesis", "label")
PARTS = ("judge", "examiner", "test")

# As the public sets name the three: MultiNLI and this book, SNLI, SICK.
_NAMES = (
    COLUMNS,
    ("sentence1", "sentence2", "gold_label"),
    ("sentence_A", "sentence_B", "entailment_judgment"),
)
_SETS = {"SNLI": "nli/snli", "MultiNLI": "nli/mnli", "SICK": "SICK"}
_TRAINED_ON = ("SNLI", "MultiNLI")
_TEST_SHARE = 0.1  # of the premises


def load(path) -> pd.DataFrame:
    """Labelled pairs of a file or folder.

    Parameters
    ----------
    path : path
        A table of any format that `reading.read_records` knows, with the columns premise,
        hypothesis, label (or as SNLI and SICK name them), or anchor and a text of each label, three
        pairs a row; or a folder of such tables, or of SentEval's ``s1.*``, ``s2.*``, ``labels.*``.

    Returns
    -------
    DataFrame
        premise, hypothesis, label (in lower case), tidied; rows without a label ("-") and repeated
        ones are left out.

    Raises
    ------
    FileNotFoundError, ValueError
        Where there is no such file, or it holds something else; names the file, and the line.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        rows = _table(path)
    elif parts := sorted(path.glob("s1.*")):
        rows = [row for first in parts for row in _line_by_line(first)]
    else:
        kinds = ("csv", "tsv", "json", "jsonl", "parquet")
        tables = [
            file for file in sorted(path.iterdir())
            if file.is_file() and (reading.format_of(file) in kinds or _is_table(file))
        ]  # fmt: skip
        if not tables:
            raise FileNotFoundError(
                f"{path} holds no labelled pairs: a table of {', '.join(COLUMNS)}, or s1.*, s2.*, "
                "labels.*, is wanted"
            )
        rows = [row for file in tables for row in _table(file)]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.drop_duplicates(ignore_index=True)


def sets(folder, names=tuple(_SETS)) -> dict[str, pd.DataFrame]:
    """The public sets in a data folder, by name.

    Parameters
    ----------
    folder : path
        With ``nli/snli``, ``nli/mnli`` or ``SICK`` in it.
    names : sequence of str
        Of the sets that are wanted; those that are absent are left out.

    Returns
    -------
    dict of str to DataFrame
        As `load` gives them.

    Raises
    ------
    FileNotFoundError
        Where the folder, or every set in it, is absent.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"data folder not found: {folder}")
    found = {name: folder / _SETS[name] for name in names if (folder / _SETS[name]).is_dir()}
    if not found:
        wanted = ", ".join(_SETS[name] for name in names)
        raise FileNotFoundError(
            f"{folder} holds no labelled pairs: a folder with {wanted} in it is wanted"
        )
    return {name: load(place) for name, place in found.items()}


def written_for_the_book() -> pd.DataFrame:
    """The pairs of ``data/field/triplets.csv`` that stand in no prompt, 390 of them."""
    return load(paths.DATA / "field" / "triplets.csv")


def part_of(premise: str) -> str:
    """On which side of the split the pairs of a premise stand: one of `PARTS`.

    A tenth of all premises are for tests; the two judges learn from a half of the others each.

    Parameters
    ----------
    premise : str

    Returns
    -------
    str
    """
    words = " ".join(reading.tidy(premise).lower().split())
    digest = hashlib.blake2b(words.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    if place < _TEST_SHARE:
        return "test"
    return "judge" if place < (1 + _TEST_SHARE) / 2 else "examiner"


def part(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """The pairs of one side of the split.

    Parameters
    ----------
    frame : DataFrame
        From `load`.
    name : one of `PARTS`
    """
    if name not in PARTS:
        raise ValueError(f"a part is one of {', '.join(PARTS)}, got {name!r}")
    return frame[[part_of(premise) == name for premise in frame["premise"]]].reset_index(drop=True)


def to_learn_from(folder, name: str) -> pd.DataFrame:
    """The pairs of SNLI and MultiNLI that one of the judges learns from.

    Parameters
    ----------
    folder : path
        Of `sets`.
    name : "judge" or "examiner"
    """
    found = sets(folder, _TRAINED_ON)
    return part(pd.concat(found.values(), ignore_index=True), name)


# ------------------------------------------------------------------ files
def _line_by_line(first):
    """Rows of SentEval's three files, of which this is the first."""
    ending = first.name.removeprefix("s1")
    files = [first, first.with_name(f"s2{ending}"), first.with_name(f"labels{ending}")]
    columns = [reading.read_lines(file) for file in files]
    if len(set(map(len, columns))) > 1:
        said = ", ".join(f"{f.name} {len(c):,}" for f, c in zip(files, columns, strict=True))
        raise ValueError(f"{first.parent}: the files must have as many lines each, got {said}")
    for line, row in enumerate(zip(*columns, strict=True), start=1):
        yield from _row(first, line, row)


def _is_table(file) -> bool:
    """Whether a text file begins with the names of the columns, as SICK's does."""
    with file.open("rb") as stream:
        head = stream.readline(4096).decode("utf-8", "replace")
    return any(set(names) <= set(head.rstrip("\r\n").split("\t")) for names in _NAMES)


def _table(path):
    wanted = {name for names in _NAMES for name in names} | {"anchor", *NLI_LABELS, "example"}
    found = reading.read_records(path, tuple(sorted(wanted)), table=True)
    columns = {} if isinstance(found, list) else found.columns
    if {"anchor", *NLI_LABELS} <= set(columns):
        yield from _of_triplets(path, found)
        return
    names = next((names for names in _NAMES if set(names) <= set(columns)), None)
    if names is None:
        has = f"has the columns {', '.join(columns)}" if columns else "has no columns"
        raise ValueError(f"{path} {has}; labelled pairs have {', '.join(COLUMNS)}")
    if found.rejects:
        line, why, _ = found.rejects[0]
        raise ValueError(f"{path}, line {line}: {why}")
    for line, row in zip(
        found.lines, zip(*(columns[name] for name in names), strict=True), strict=True
    ):
        yield from _row(path, line, row)


def _of_triplets(path, found):
    """Three pairs of each row; a row that serves as an example in prompts is no test."""
    for i, line in enumerate(found.lines):
        record = found.row(i)
        if record.get("example") == "yes":
            continue
        for label in NLI_LABELS:
            yield from _row(path, line, (record["anchor"], record[label], label))


def _row(path, line, row):
    """The row as it is to be used, or nothing where the annotators did not agree."""
    premise, hypothesis, label = row
    label = str(label or "").strip().lower()
    if label in ("-", ""):
        return
    if label not in NLI_LABELS:
        raise ValueError(
            f"{path}, line {line}: the label is {row[2]!r}; labels are {', '.join(NLI_LABELS)}"
        )
    for text in (premise, hypothesis):
        if why := reading.fault(text):
            raise ValueError(f"{path}, line {line}: a text is {why}")
    yield reading.tidy(premise), reading.tidy(hypothesis), label
