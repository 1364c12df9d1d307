"""Retrieval: average precision, discounted gain, and finding translations.

The kernels return fractions between 0 and 1, as their peers in other libraries do; the tables of
the ``evaluate_*`` functions are in percent, as the papers' tables are.
"""

import csv
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from synthlib import reading
from synthlib.evaluation.embedding import (
    as_embeddings,
    cosine_of_rows,
    embed,
    embed_each,
    unit_rows,
)

__all__ = [
    "bitext_accuracy",
    "evaluate_bitext",
    "evaluate_reranking",
    "load_bitext",
    "load_reranking",
    "mean_average_precision",
    "mean_reciprocal_rank",
    "ndcg_at_k",
    "score_bitext",
    "score_reranking",
]


def mean_average_precision(scores: Sequence, relevance: Sequence) -> float:
    """Mean over the queries of the average precision of their ranked candidates.

    Parameters
    ----------
    scores : sequence of 1-d arrays
        For each query the scores of its candidates, higher is better; lengths may differ.
    relevance : sequence of 1-d arrays
        For each candidate whether it is an answer: above 0 is.

    Returns
    -------
    float
        In [0, 1]. Queries without an answer say nothing about a ranking: they are left out, and
        a warning counts them.

    Raises
    ------
    ValueError
        If the two do not match in shape, hold NaN, or no query has an answer.

    Notes
    -----
    Candidates with equal scores form one group and precision is taken at its end, so that the
    order in which candidates are stored has no influence (as
    ``sklearn.metrics.average_precision_score``).
    """
    return float(np.mean(_per_query(_average_precision, scores, relevance)))


def ndcg_at_k(scores: Sequence, relevance: Sequence, k: int = 10) -> float:
    """Normalised discounted cumulative gain of the first ``k`` candidates, mean over queries.

    Parameters
    ----------
    scores : sequence of 1-d arrays
        For each query the scores of its candidates, higher is better; lengths may differ.
    relevance : sequence of 1-d arrays
        Grade of each candidate, 0 or more; the gain is the grade itself (Järvelin and Kekäläinen
        2002; trec_eval and BEIR), not a power of two.
    k : int
        Depth, at least 1.

    Returns
    -------
    float
        In [0, 1]. Queries without a relevant candidate are left out, and a warning counts them.

    Raises
    ------
    ValueError
        If shapes do not match, a value is NaN, a grade is negative, or no query has a relevant
        candidate.

    Notes
    -----
    Candidates with equal scores share the mean discount of the ranks that they occupy: the
    expected value over all orders of them (as ``sklearn.metrics.ndcg_score``).
    """
    if k != int(k) or k < 1:
        raise ValueError(f"k must be a whole number of at least 1, given {k}")

    def ndcg(score, grade):
        discount = np.where(np.arange(len(grade)) < k, 1 / np.log2(np.arange(len(grade)) + 2), 0)
        _, group, count = np.unique(-score, return_inverse=True, return_counts=True)
        shared = np.bincount(np.repeat(np.arange(len(count)), count), discount) / count
        return (shared[group] @ grade) / (discount @ np.sort(grade)[::-1])

    return float(np.mean(_per_query(ndcg, scores, relevance)))


def mean_reciprocal_rank(scores: Sequence, relevance: Sequence) -> float:
    """Mean over the queries of one over the rank of the first answer.

    Parameters
    ----------
    scores, relevance
        As of :func:`mean_average_precision`, which leaves out the same queries.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        As :func:`mean_average_precision`.

    Notes
    -----
    Among candidates with equal scores it is the expected value over all orders of them: one that
    gives everything the same score is not rewarded for answers that stand first in the file.
    """
    return float(np.mean(_per_query(_reciprocal_rank, scores, relevance)))


def _reciprocal_rank(score, grade) -> float:
    best = score[grade > 0].max()
    before, level = int((score > best).sum()), score == best
    n, answers = int(level.sum()), int((level & (grade > 0)).sum())
    # that the first j of the n on this level hold no answer, for j = 0 … n - answers
    place = np.arange(n - answers)
    none = np.cumprod(np.append(1.0, (n - answers - place) / (n - place)))
    first = none - np.append(none[1:], 0.0)
    return float(first @ (1 / (before + 1 + np.arange(len(first)))))


def _average_precision(score, grade) -> float:
    _, group, count = np.unique(-score, return_inverse=True, return_counts=True)
    answers = np.bincount(group, grade > 0)
    precision = np.cumsum(answers) / np.cumsum(count)  # at the end of each group of equal scores
    return float(precision @ answers / answers.sum())


def _per_query(measure, scores, relevance) -> list[float]:
    scores, relevance = list(scores), list(relevance)
    if len(scores) != len(relevance):
        raise ValueError(
            f"one list of scores and one of relevance a query are wanted, given {len(scores)} "
            f"and {len(relevance)}"
        )
    if not scores:
        raise ValueError("no query given")
    values, skipped = [], 0
    for query, pair in enumerate(zip(scores, relevance, strict=True)):
        score, grade = (_vector(v, query) for v in pair)
        if score.shape != grade.shape:
            raise ValueError(
                f"query {query}: {len(score)} scores and {len(grade)} relevance values; one of "
                "each a candidate is wanted"
            )
        if (grade < 0).any():
            raise ValueError(f"query {query}: relevance must not be negative")
        if not (grade > 0).any():
            skipped += 1
            continue
        values.append(measure(score, grade))
    if not values:
        raise ValueError("no query has a relevant candidate: there is nothing to measure")
    if skipped:
        warnings.warn(
            f"{skipped} of {len(scores)} queries have no relevant candidate and are left out",
            stacklevel=3,
        )
    return values


def _vector(values, query) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().double().cpu().numpy()
    try:
        vector = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        vector = np.empty((0, 0))
    if vector.ndim != 1:
        raise ValueError(f"query {query}: a list of numbers, one a candidate, is wanted")
    if np.isnan(vector).any():
        raise ValueError(f"query {query}: a score or relevance value is NaN")
    return vector


def bitext_accuracy(source, target, *, target_texts: Sequence | None = None) -> float:
    """Share of source sentences whose most similar target sentence is their translation.

    Parameters
    ----------
    source, target : array or tensor, shape (n, d)
        Row i of both is a pair of translations. The search goes from source to target; swap the
        arguments for the other direction.
    target_texts : sequence of n str, optional
        The sentences behind ``target``: with them, any copy of the right sentence counts.

    Returns
    -------
    float
        In [0, 1]. Where the right target ties with k - 1 others the sentence counts 1/k (the
        expectation if one of them is drawn): an encoder that gives one vector for every sentence
        gets 1/n, not 1.

    Raises
    ------
    ValueError
        If shapes do not match, there is no pair, or a value is NaN.
    """
    source, target = as_embeddings(source, "source"), as_embeddings(target, "target")
    if source.shape != target.shape:
        raise ValueError(
            f"source and target must be paired row by row, given {source.shape} and {target.shape}"
        )
    n = len(source)
    if not n:
        raise ValueError("there is no sentence pair")
    texts = list(range(n)) if target_texts is None else list(target_texts)
    if len(texts) != n:
        raise ValueError(f"{n} target texts are wanted, one a row, given {len(texts)}")
    first_seen = {}
    text = np.array([first_seen.setdefault(t, i) for i, t in enumerate(texts)])

    decimals = 10 if np.float64 == source.dtype == target.dtype else 7
    source, target = unit_rows(source), unit_rows(target)
    credit = 0.0
    for start in range(0, n, 1024):
        cosine = (source[start : start + 1024] @ target.T).round(decimals)
        rows = np.arange(start, start + len(cosine))
        best = cosine == cosine.max(axis=1, keepdims=True)
        right = best & (text[rows, None] == text)
        credit += (right.sum(axis=1) / best.sum(axis=1)).sum()
    return float(credit / n)


def load_bitext(source_file, target_file) -> dict[str, list[str]]:
    """Two text files, line i of one a translation of line i of the other (Tatoeba's layout).

    A file of another format (CSV, JSON Lines, Parquet, …) has one column with text.

    Returns
    -------
    dict
        The two file names to their lines.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is absent, a line is blank, or the numbers of lines differ.
    """
    paths = [Path(file).expanduser() for file in (source_file, target_file)]
    texts = [_texts(path) for path in paths]
    if len(texts[0]) != len(texts[1]):
        raise ValueError(
            f"{paths[0]} has {len(texts[0]):,} lines, {paths[1]} has {len(texts[1]):,}: line i "
            "of one must translate line i of the other"
        )
    for path, lines in zip(paths, texts, strict=True):
        for number, line in enumerate(lines, start=1):
            why = reading.fault(line)
            if why:
                why = "the line is blank" if why == "blank" else why
                raise ValueError(f"{path}, line {number}: a sentence is wanted, {why}")
    names = [path.name for path in paths]
    if names[0] == names[1]:
        names = [str(path) for path in paths]
    return dict(zip(names, texts, strict=True))


def _texts(path) -> list[str]:
    found = reading.read_records(path)
    if isinstance(found, list):
        return found
    if found.rejects:
        line, reason, _ = found.rejects[0]
        raise ValueError(f"{path}, line {line}: {reason}")
    if not found.columns:
        raise ValueError(f"{path} is empty")
    return found.columns[reading.text_column(list(found.columns), found.texts, None, path)]


def evaluate_bitext(
    encode: Callable, source_file, target_file, *, batch_size=None, progress=False
) -> pd.DataFrame:
    """Accuracy of finding translations by cosine, in both directions, in percent.

    Parameters
    ----------
    encode : callable
        Takes a list of n strings, returns an (n, d) array or tensor.
    source_file, target_file : path
        As :func:`load_bitext` reads them.

    Returns
    -------
    pandas.DataFrame
        A row a direction: ``task`` ("source → target"), ``pairs``, ``accuracy``.
    """
    texts = load_bitext(source_file, target_file)
    return score_bitext(encode, texts, batch_size=batch_size, progress=progress)


def score_bitext(
    encode: Callable, texts: dict[str, list[str]], *, batch_size=None, progress=False
) -> pd.DataFrame:
    """The table of :func:`evaluate_bitext` for sentences that are in memory.

    ``texts`` holds two lists of sentences under the names of their languages, line i of one a
    translation of line i of the other.
    """
    if len(texts) != 2:
        raise ValueError(f"two languages are wanted, given {', '.join(texts) or 'none'}")
    sentences = [s for lines in texts.values() for s in lines]
    embeddings, row = embed(encode, sentences, batch_size=batch_size, progress=progress)
    result = []
    for source, target in (tuple(texts), tuple(texts)[::-1]):
        first, second = (embeddings[[row[s] for s in texts[name]]] for name in (source, target))
        accuracy = 100 * bitext_accuracy(first, second, target_texts=texts[target])
        result.append({"task": f"{source} → {target}", "pairs": len(first), "accuracy": accuracy})
    return pd.DataFrame(result)


_COLUMNS = {
    "query": ("question", "query"),
    "candidate": ("candidate", "answer", "sentence", "passage", "document"),
    "relevance": ("label", "relevance"),
}


def load_reranking(path) -> dict[str, pd.DataFrame]:
    """Questions with their candidate answers from CSV files in the layout of TREC-QA.

    Three columns: question, label (1 answers it, 0 does not), candidate; in this order, or as a
    header row names them. A first row whose second cell is a label is a row and no header. Files
    of other formats (JSON Lines, Parquet, …) have columns of these names.

    Parameters
    ----------
    path : path
        A file, or a folder: then every CSV and TSV file in it but ``train.csv``.

    Returns
    -------
    dict
        File name without suffix to DataFrame with columns ``query``, ``candidate``,
        ``relevance``.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is absent, or a row is damaged, naming its line.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        return {_stem(path): _read_candidates(path)}
    files = [
        file for file in sorted(path.iterdir())
        if reading.format_of(file) in ("csv", "tsv") and _stem(file) != "train"
    ]  # fmt: skip
    if not files:
        raise FileNotFoundError(f"no CSV file but train.csv in {path}")
    return {_stem(file): _read_candidates(file) for file in files}


def _stem(path) -> str:
    """The file's name without its suffix, and without that of a packed file."""
    return path.stem if reading.format_of(path.stem) is None else Path(path.stem).stem


def _read_candidates(path: Path) -> pd.DataFrame:
    kind = reading.format_of(path)
    found = _by_name(path) if kind not in (None, "text", "csv", "tsv") else _by_cell(path)
    rows = []
    for number, (query, label, candidate) in found:
        why = reading.fault(query) or reading.fault(candidate)
        if why:
            raise ValueError(
                f"{path}, line {number}: three columns are wanted (question, label, candidate), a "
                f"text of them is missing ({why})"
            )
        grade = label.strip() if isinstance(label, str) else label
        if isinstance(grade, bool) or grade not in ("0", "1", 0, 1):
            raise ValueError(
                f"{path}, line {number}: a label of 0 or 1 is wanted, found {label!r}"
            )
        rows.append((query, candidate, int(grade)))
    if not rows:
        raise ValueError(f"{path}: no question below the header row")
    return pd.DataFrame(rows, columns=["query", "candidate", "relevance"])


def _by_name(path):
    """(line, (question, label, candidate)) of a file whose columns have names."""
    names = [name for known in _COLUMNS.values() for name in known]
    found = reading.read_records(path, names)
    if found.rejects:
        line, reason, _ = found.rejects[0]
        raise ValueError(f"{path}, line {line}: {reason}")
    places = _places(list(found.columns))
    if places is None:
        raise ValueError(
            f"{path} has the columns {', '.join(found.columns) or 'of an empty file'}; question, "
            "label and candidate are wanted"
        )
    values = [found.columns[list(found.columns)[place]] for place in places]
    return list(zip(found.lines, zip(*values, strict=True), strict=True))


def _by_cell(path):
    """(line, (question, label, candidate)) of a CSV file, with a header row or without."""
    lines = reading.read_lines(path)
    start = next(line for line in lines if line.strip())
    cut = (d for d in ",;\t" if len(next(csv.reader([start], delimiter=d))) == 3)
    rows = list(reading.csv_rows(path, lines, delimiter=next(cut, ",")))
    blank = [number for number, cells in rows if not cells]
    if blank:
        warnings.warn(
            f"{path}, line {blank[0]}: {len(blank)} blank lines are left out", stacklevel=4
        )
    rows = [(number, cells) for number, cells in rows if cells]
    number, first = rows[0]
    places = _places(first) or (0, 1, 2)
    if len(first) != 3 or first[1].strip() not in ("0", "1"):
        if len(first) == 3 and not reading.is_header(first):
            raise ValueError(
                f"{path}, line {number}: the header question,label,candidate is wanted, or a label "
                f"of 0 or 1; found {first[1]!r}"
            )
        del rows[0]
    for number, cells in rows:
        if len(cells) != len(first) or len(cells) <= max(places):
            raise ValueError(
                f"{path}, line {number}: three columns are wanted (question, label, candidate), "
                f"found {len(cells)}"
            )
    return [(number, [cells[place] for place in places]) for number, cells in rows]


def _places(names) -> tuple[int, int, int] | None:
    """Where question, label and candidate stand among named columns; None where one is absent."""
    lower = [str(name).strip().lower() for name in names]
    found = [
        next((lower.index(name) for name in _COLUMNS[what] if name in lower), None)
        for what in ("query", "relevance", "candidate")
    ]
    return None if None in found else tuple(found)


def evaluate_reranking(encode: Callable, path, *, batch_size=None, progress=False) -> pd.DataFrame:
    """Rank each question's candidates by cosine and measure the ranking, in percent.

    Parameters
    ----------
    encode : callable
        Takes a list of n strings, returns an (n, d) array or tensor.
    path : path
        A CSV file or a folder of such, as :func:`load_reranking` reads them.

    Returns
    -------
    pandas.DataFrame
        As :func:`score_reranking`, a row a file.
    """
    frames = load_reranking(path)
    return score_reranking(encode, frames, batch_size=batch_size, progress=progress)


def score_reranking(
    encode: Callable, frames: dict[str, pd.DataFrame], *, batch_size=None, progress=False
) -> pd.DataFrame:
    """The table of :func:`evaluate_reranking` for questions that are in memory.

    Parameters
    ----------
    encode : callable
        Takes a list of n strings, returns an (n, d) array or tensor; each distinct sentence is
        encoded once.
    frames : dict
        Task to DataFrame with columns ``query``, ``candidate``, ``relevance`` and, where two
        queries may have the same words, ``query_id``.

    Returns
    -------
    pandas.DataFrame
        A row a task: ``task``, ``queries`` (with an answer among their candidates), ``skipped``
        (without), ``all_positive`` (those of the queries whose candidates are all answers),
        ``candidates``, ``map``, ``mrr``, ``ndcg@10`` and, without the all-positive queries,
        ``map_clean``, ``mrr_clean`` (percent; NaN where no other query is left).

    Notes
    -----
    Every ranking of an all-positive query is perfect. The literature on TREC-QA knows both
    conventions: *raw* counts such queries, *clean* does not (65 of the 78 questions of its
    development part are left), and papers often do not say which they took. The tables of the
    three papers are not concerned: Table 2 of the ranking paper has four reranking sets of MTEB
    (AskUbuntu, MIND, SciDocs, Stack Overflow) and no TREC-QA.
    """
    for task, frame in frames.items():
        absent = [c for c in ("query", "candidate", "relevance") if c not in frame]
        if absent or not len(frame):
            what = f"lacks the column {absent[0]}" if absent else "holds no question"
            raise ValueError(f"{task} {what}; query, candidate and relevance are wanted")
    columns = [frame[c] for frame in frames.values() for c in ("query", "candidate")]
    embeddings, row, square = embed_each(
        encode, pd.concat(columns, ignore_index=True), batch_size=batch_size, progress=progress
    )
    of = iter(np.split(row, np.cumsum([len(column) for column in columns])[:-1]))
    result = []
    for task, frame in frames.items():
        cosine = cosine_of_rows(embeddings, next(of), next(of), square)
        by = "query_id" if "query_id" in frame else "query"
        groups = frame.groupby(by, sort=False).indices.values()
        grades = frame["relevance"].to_numpy(dtype=float)
        relevance = [grades[g] for g in groups]
        scores = [cosine[g] for g in groups]
        used = [i for i, grade in enumerate(relevance) if (grade > 0).any()]
        if not used:
            raise ValueError(f"{task}: no question has an answer among its candidates")
        mixed = [i for i in used if not (relevance[i] > 0).all()]
        kept, clean = (
            ([scores[i] for i in some], [relevance[i] for i in some]) for some in (used, mixed)
        )
        result.append(
            {
                "task": task,
                "queries": len(used),
                "skipped": len(relevance) - len(used),
                "all_positive": len(used) - len(mixed),
                "candidates": len(frame),
                "map": 100 * mean_average_precision(*kept),
                "mrr": 100 * mean_reciprocal_rank(*kept),
                "ndcg@10": 100 * ndcg_at_k(*kept),
                "map_clean": 100 * mean_average_precision(*clean) if mixed else np.nan,
                "mrr_clean": 100 * mean_reciprocal_rank(*clean) if mixed else np.nan,
            }
        )
    return pd.DataFrame(result)
