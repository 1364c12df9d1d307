"""Semantic textual similarity: seven tasks, three ways to aggregate them.

The tasks, their files and the aggregations *mean* and *wmean* are those of SentEval (Conneau and
Kiela 2018); *all* is the concatenation that SimCSE (Gao et al. 2021, appendix B) and most papers
since report.
"""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from synthlib.evaluation.embedding import cosine_of_rows, embed_each
from synthlib.evaluation.files import STS_TASKS, data_folder, pick_tasks
from synthlib.reading import read_lines, read_table

__all__ = ["evaluate_sts", "load_sts", "score_sts"]

AGGREGATIONS = ("all", "mean", "wmean")

_YEARS = STS_TASKS[:5]
_FILES = {
    ("STS-B", "dev"): "STS/STSBenchmark/sts-dev.csv",
    ("STS-B", "test"): "STS/STSBenchmark/sts-test.csv",
    ("SICK-R", "dev"): "SICK/SICK_trial.txt",
    ("SICK-R", "test"): "SICK/SICK_test_annotated.txt",
}
_INPUT = re.compile(r"STS(\d{4})?\.input\.(.+)\.txt")


def evaluate_sts(
    encode: Callable,
    data_dir,
    tasks=None,
    *,
    split: str = "test",
    aggregation: str = "all",
    batch_size: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Spearman correlation between cosine similarities and human scores, in percent.

    Parameters
    ----------
    encode : callable
        Takes a list of n strings, returns an (n, d) array or tensor. Each distinct sentence of
        all tasks together is encoded once.
    data_dir : path
        SentEval's ``downstream`` folder: ``STS/STS12-en-test/STS.input.*.txt`` with
        ``STS.gs.*.txt`` (``STS2016.*`` too), ``STS/STSBenchmark/sts-{dev,test}.csv``,
        ``SICK/SICK_{trial,test_annotated}.txt``.
    tasks : list of str, optional
        From :data:`STS_TASKS` (case and hyphen are free); by default those present, and a
        warning names the absent ones.
    split : {"test", "dev"}
        "dev" is the development half of STS-B and the trial half of SICK; other tasks have none.
    aggregation : {"all", "mean", "wmean"}
        What the column ``spearman`` repeats. A task of several subsets gets one correlation over
        all its pairs ("all"), or the mean of the subsets' correlations, plain ("mean") or
        weighted by their numbers of pairs ("wmean").
    batch_size : int, optional
        Sentences in one call of ``encode``; all at once by default.
    progress : bool
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        A row a task: ``task``, ``pairs`` (those with a human score), ``spearman``, ``all``,
        ``mean``, ``wmean`` (percent, not rounded). Where all similarities or all human scores
        are equal the correlation is undefined: NaN, with a warning.

    Raises
    ------
    FileNotFoundError
        If a task asked for is absent, naming the file.
    ValueError
        For an unknown task, split or aggregation, a damaged file (with its line), or embeddings
        that are NaN or of a wrong shape.
    """
    _choose("aggregation", aggregation, AGGREGATIONS)  # before minutes are spent on encoding
    frames = load_sts(data_dir, tasks, split=split)
    return score_sts(
        encode, frames, aggregation=aggregation, batch_size=batch_size, progress=progress
    )


def score_sts(
    encode: Callable,
    frames: dict[str, pd.DataFrame],
    *,
    aggregation: str = "all",
    batch_size: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """The table of :func:`evaluate_sts` for pairs that are in memory.

    Parameters
    ----------
    frames : dict
        Task to DataFrame with columns ``sentence1``, ``sentence2``, ``score`` and, where the task
        has parts, ``subset``.
    encode, aggregation, batch_size, progress
        As in :func:`evaluate_sts`.
    """
    _choose("aggregation", aggregation, AGGREGATIONS)
    if not frames:
        raise ValueError("no task to score: frames is empty")
    for task, frame in frames.items():
        absent = [c for c in ("sentence1", "sentence2", "score") if c not in frame]
        if absent or not len(frame):
            what = f"lacks the column {absent[0]}" if absent else "holds no pair"
            raise ValueError(f"{task} {what}; sentence1, sentence2 and score are wanted")
        if not np.isfinite(frame["score"].to_numpy(dtype=float)).all():
            raise ValueError(f"{task}: a human score is not a number; drop such rows")
    columns = [frame[c] for frame in frames.values() for c in ("sentence1", "sentence2")]
    embeddings, row, square = embed_each(
        encode, pd.concat(columns, ignore_index=True), batch_size=batch_size, progress=progress
    )
    of = np.split(row, np.cumsum([len(column) for column in columns])[:-1])
    first, second = np.concatenate(of[::2]), np.concatenate(of[1::2])
    similarity = np.split(
        cosine_of_rows(embeddings, first, second, square),
        np.cumsum([len(part) for part in of[::2]])[:-1],
    )

    rows = []
    for (task, frame), cosines in zip(frames.items(), similarity, strict=True):
        gold, subset = frame["score"].to_numpy(dtype=float), frame.get("subset")
        result = aggregate(task, cosines, gold, subset)
        rows.append({"task": task, "pairs": len(frame), "spearman": result[aggregation]} | result)
    return pd.DataFrame(rows)


def aggregate(task, similarity, gold, subset=None) -> dict[str, float]:
    """Spearman × 100 of one task, its parts put together in three ways.

    Parameters
    ----------
    task : str
    similarity, gold : arrays [n]
    subset : sequence of n names, optional
        The part that each pair belongs to.

    Returns
    -------
    dict
        As a row of `score_sts`.
    """
    whole = _spearman(similarity, gold)
    names, each, pairs = [task], np.array([whole]), [len(gold)]
    of, found = (None, ()) if subset is None else pd.factorize(subset, use_na_sentinel=False)
    if len(found) > 1:
        names, parts = found, [of == number for number in range(len(found))]
        each = np.array([_spearman(similarity[part], gold[part]) for part in parts])
        pairs = [part.sum() for part in parts]
    for name, value in zip(names, each, strict=True):
        if np.isnan(value):
            where = task if len(names) == 1 else f"{task} {name}"
            warnings.warn(
                f"{where}: Spearman is undefined (NaN), all similarities or all human scores "
                "are equal; an encoder that gives one vector for every sentence has collapsed",
                stacklevel=4,
            )
    return {
        "all": 100 * whole,
        "mean": 100 * float(each.mean()),
        "wmean": 100 * float(np.average(each, weights=pairs)),
    }


def _spearman(x, y) -> float:
    if len(x) < 2 or (x == x[0]).all() or (y == y[0]).all():
        return float("nan")
    # scipy's spearmanr, without the p-value and the general cases that take most of its time
    x, y = np.array([_ranks(x), _ranks(y)]) - (len(x) + 1) / 2
    return float(np.clip(x @ y / np.sqrt((x @ x) * (y @ y)), -1.0, 1.0))


def _ranks(x) -> np.ndarray:
    """Places from 1 up in ascending order; equal values share the mean of theirs."""
    _, value, count = np.unique(x, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count - 1) / 2)[value]


def load_sts(data_dir, tasks=None, *, split: str = "test") -> dict[str, pd.DataFrame]:
    """Sentence pairs with their human scores, from the files named in :func:`evaluate_sts`.

    Returns
    -------
    dict
        Task to DataFrame with columns ``subset``, ``sentence1``, ``sentence2``, ``score``;
        sentences as in the file, pairs without a score left out.
    """
    _choose("split", split, ("test", "dev"))
    offered = STS_TASKS if split == "test" else STS_TASKS[5:]
    asked = None if tasks is None else pick_tasks(tasks, STS_TASKS)
    if asked and split == "dev":
        without = [task for task in asked if task not in offered]
        if without:
            raise ValueError(f"{', '.join(without)}: no dev split; {' and '.join(offered)} have")
    folder = data_folder(data_dir, ("STS", "SICK"))
    absent = {task: why for task in offered if (why := _absent(folder, task, split))}
    if asked is None:
        if len(absent) == len(offered):
            raise FileNotFoundError(f"no STS task in {folder}; " + "; ".join(absent.values()))
        if absent:
            warnings.warn(
                f"left out, absent from {folder}: {', '.join(absent)}",
                stacklevel=3,
            )
        asked = [task for task in offered if task not in absent]
    for task in asked:
        if task in absent:
            raise FileNotFoundError(f"{task}: {absent[task]}")
    return {task: _load(folder, task, split) for task in asked}


def _choose(what, given, choices):
    if given not in choices:
        raise ValueError(f"unknown {what} {given!r}; choose from {', '.join(choices)}")


def _absent(folder: Path, task: str, split: str) -> str | None:
    """Why a task cannot be read from here, or None."""
    if task not in _YEARS:
        path = folder / _FILES[task, split]
        return None if path.is_file() else f"file not found: {path}"
    year = folder / "STS" / f"{task}-en-test"
    return None if _inputs(year) else f"files not found: {year / 'STS.input.*.txt'}"


def _inputs(folder: Path) -> dict[str, Path]:
    """Input files by subset; a subset that is there under both names counts once."""
    found = {}
    for path in sorted(folder.glob("STS*.input.*.txt"), reverse=True):  # STS. before STS2016.
        match = _INPUT.fullmatch(path.name)
        if match and match[2] != "ALL":
            found[match[2]] = path
    return dict(sorted(found.items()))


def _load(folder: Path, task: str, split: str) -> pd.DataFrame:
    if task in _YEARS:
        rows = _read_year(folder / "STS" / f"{task}-en-test")
    elif task == "STS-B":
        rows = _read_scored(folder / _FILES[task, split], task, 4, 5, 6)
    else:
        path = folder / _FILES[task, split]
        wanted = ("relatedness_score", "sentence_A", "sentence_B")
        header = read_lines(path)[0].split("\t")
        missing = [name for name in wanted if name not in header]
        if missing:
            raise ValueError(f"{path}, line 1: the header lacks the column {', '.join(missing)}")
        rows = _read_scored(path, task, *map(header.index, wanted), header=True)
    if not rows:
        raise ValueError(f"{task}: no pair with a human score in {folder}")
    return pd.DataFrame(rows, columns=["subset", "sentence1", "sentence2", "score"])


def _read_year(folder: Path) -> list[tuple]:
    rows = []
    for subset, path in _inputs(folder).items():
        gold_path = folder / path.name.replace(".input.", ".gs.", 1)
        if not gold_path.is_file():
            raise FileNotFoundError(f"file not found: {gold_path} (the scores of {path.name})")
        pairs, gold = read_lines(path), _read_gold(gold_path)
        while not pairs[-1].strip():
            pairs.pop()
        if len(gold) < len(pairs) or any(g is not None for g in gold[len(pairs) :]):
            raise ValueError(
                f"{gold_path} has {len(gold):,} lines, {path.name} has {len(pairs):,}: from line "
                f"{min(len(gold), len(pairs)) + 1} on they do not match; one of them is damaged "
                "or cut"
            )
        for number, (pair, score) in enumerate(zip(pairs, gold, strict=False), start=1):
            if score is not None:
                first, second, *_ = [*pair.split("\t"), "", ""]
                rows.append((subset, *_sentences(path, number, first, second), score))
    return rows


def _read_gold(path: Path) -> list[float | None]:
    lines = enumerate(read_lines(path), start=1)
    return [_number(path, number, line.split("\t")[0]) for number, line in lines]


def _read_scored(path, task, score, first, second, *, header=False) -> list[tuple]:
    rows = []
    for number, cells in read_table(path, 1 + max(score, first, second)):
        if header and number == 1:
            continue
        value = _number(path, number, cells[score])
        if value is not None:
            rows.append((task, *_sentences(path, number, cells[first], cells[second]), value))
    return rows


def _sentences(path, number, first, second) -> tuple[str, str]:
    if not (first.strip() and second.strip()):
        raise ValueError(
            f"{path}, line {number}: two sentences, separated by a tab, are wanted; the file is "
            "damaged or cut"
        )
    return first, second


def _number(path, number, text) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not np.isfinite(value):
        raise ValueError(f"{path}, line {number}: a score is wanted, found {text.strip()!r}")
    return value
