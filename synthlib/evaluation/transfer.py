"""Transfer: a logistic regression on frozen embeddings, for seven classification tasks.

The tasks, their files, the splits and the search for the strength of regularisation are those of
SentEval (Conneau and Kiela 2018) with scikit-learn's logistic regression and ten folds:

========================  ==========================================================
MR, CR, SUBJ, MPQA        ten folds; inside each, ten folds choose the strength
SST2                      given training, dev and test part; dev chooses the strength
TREC, MRPC                given training and test part; ten folds of training choose
========================  ==========================================================

MRPC classifies a pair by ``[|u - v|, u * v]``.
"""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from synthlib.evaluation.embedding import as_embeddings, embed
from synthlib.evaluation.files import TRANSFER_TASKS, data_folder, pick_tasks
from synthlib.reading import read_lines, read_table, tidy

__all__ = ["classify", "evaluate_transfer", "load_transfer", "score_transfer"]

# positive class first, as SentEval lists them (SUBJ: objective first)
_TWO_FILES = {
    "MR": ("rt-polarity.pos", "rt-polarity.neg"),
    "CR": ("custrev.pos", "custrev.neg"),
    "SUBJ": ("subj.objective", "subj.subjective"),
    "MPQA": ("mpqa.pos", "mpqa.neg"),
}
_SPLIT_FILES = {
    "SST2": {part: f"SST/binary/sentiment-{part}" for part in ("train", "dev", "test")},
    "TREC": {"train": "TREC/train_5500.label", "test": "TREC/TREC_10.label"},
    "MRPC": {part: f"MRPC/msr_paraphrase_{part}.txt" for part in ("train", "test")},
}
_TREC_LABELS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")

FOLDS = 10
_SEED = 1111
# SentEval's grids of C, the inverse strength, for its scikit-learn classifier
_GRID = tuple(2.0**t for t in range(-2, 4))
_GRID_GIVEN_TEST = tuple(2.0**t for t in range(-1, 6))


def evaluate_transfer(
    encode: Callable,
    data_dir,
    tasks=None,
    *,
    batch_size: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Accuracy of a linear classifier on frozen embeddings, by SentEval's protocol.

    Parameters
    ----------
    encode : callable
        Takes a list of n strings, returns an (n, d) array or tensor. Each distinct sentence of
        all tasks together is encoded once.
    data_dir : path
        SentEval's ``downstream`` folder with ``MR/ CR/ SUBJ/ MPQA/ SST/binary/ TREC/ MRPC/``.
    tasks : list of str, optional
        From :data:`TRANSFER_TASKS`; by default those present, and a warning names the absent.
    batch_size : int, optional
        Sentences in one call of ``encode``; all at once by default.
    progress : bool
        Show a progress bar.

    Returns
    -------
    pandas.DataFrame
        A row a task: ``task``, ``examples`` (on which accuracy is measured), ``accuracy``
        (percent), ``dev_accuracy`` (percent, of the chosen strength where it was chosen),
        ``f1`` (percent, MRPC's paraphrases; NaN for the other tasks).

    Raises
    ------
    FileNotFoundError
        If a task asked for is absent, naming the file.
    ValueError
        For an unknown task, a damaged file (with its line), a set with one class only, or
        embeddings that are NaN or of a wrong shape.
    """
    data = load_transfer(data_dir, tasks)
    return score_transfer(encode, data, batch_size=batch_size, progress=progress)


def score_transfer(
    encode: Callable,
    data: dict[str, dict[str, pd.DataFrame]],
    *,
    batch_size: int | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """The table of :func:`evaluate_transfer` for examples that are in memory.

    Parameters
    ----------
    data : dict
        Task to its parts, "train" and where there are such "dev" and "test": DataFrames with
        columns ``sentence``, ``label`` and, where pairs are classified, ``sentence2``.
    encode, batch_size, progress
        As in :func:`evaluate_transfer`.
    """
    if not data:
        raise ValueError("no task to score: data is empty")
    for task, parts in data.items():
        for part, frame in parts.items():
            absent = [c for c in ("sentence", "label") if c not in frame]
            if absent or not len(frame):
                what = f"lacks the column {absent[0]}" if absent else "holds no example"
                raise ValueError(f"{task}: {part} {what}; sentence and label are wanted")
    frames = [frame for parts in data.values() for frame in parts.values()]
    sentences = [s for f in frames for c in ("sentence", "sentence2") if c in f for s in f[c]]
    embeddings, row = embed(encode, sentences, batch_size=batch_size, progress=progress)

    names = data
    if progress:
        from tqdm.auto import tqdm

        names = tqdm(data, desc="classifying", unit="task", leave=False)
    rows = []
    for task in names:
        parts = {
            part: (_features(frame, embeddings, row), frame["label"].to_numpy())
            for part, frame in data[task].items()
        }
        try:
            result = {"task": task} | classify(**parts)
        except ValueError as error:
            raise ValueError(f"{task}: {error}") from None
        if "sentence2" not in data[task]["train"]:
            result["f1"] = float("nan")
        rows.append(result)
    return pd.DataFrame(rows)


def _features(frame, embeddings, row) -> np.ndarray:
    u = embeddings[[row[s] for s in frame["sentence"]]]
    if "sentence2" not in frame:
        return u
    v = embeddings[[row[s] for s in frame["sentence2"]]]
    return np.hstack([np.abs(u - v), u * v])


def classify(*, train, test=None, dev=None) -> dict[str, float]:
    """Accuracy of a logistic regression whose regularisation is chosen by validation.

    Parameters
    ----------
    train, test, dev : (features, labels)
        Array of shape (n, d) and n labels each. Without ``test``: nested ten-fold
        cross-validation of ``train``. With ``test`` and without ``dev``: ten folds of ``train``
        choose the strength. Fewer folds where a class has fewer examples.

    Returns
    -------
    dict
        ``examples``, ``accuracy``, ``dev_accuracy``, ``f1`` (of class 1 of two; else NaN), in
        percent.

    Raises
    ------
    ValueError
        If a part is empty or has one class only, or shapes do not match.
    """
    from sklearn.metrics import f1_score
    from sklearn.model_selection import StratifiedKFold

    (x, y), dev, test = _checked("train", train), _checked("dev", dev), _checked("test", test)
    for part in (dev, test):
        if part is not None and part[0].shape[1] != x.shape[1]:
            raise ValueError(
                f"training features have {x.shape[1]} columns, the others {part[0].shape[1]}"
            )

    def folds(labels):
        smallest = np.unique(labels, return_counts=True)[1].min()
        if smallest < 2 and len(np.unique(labels)) == 2:
            raise ValueError(
                "too few examples to cross-validate: at least three of each class are wanted"
            )
        count = int(np.clip(smallest, 2, FOLDS))
        return StratifiedKFold(count, shuffle=True, random_state=_SEED)

    def split(features, labels):
        with warnings.catch_warnings():  # a class rarer than the folds is met by fewer folds
            warnings.filterwarnings("ignore", message="The least populated class")
            return list(folds(labels).split(features, labels))

    def choose(features, labels, grid, held_out=None):
        """Best C and its accuracy; of equally good ones the strongest regularisation."""
        rounds = held_out or split(features, labels)
        scores = np.array([_path(features, labels, grid, *round_) for round_ in rounds])
        mean = (100 * scores.mean(axis=0)).round(2)  # SentEval compares rounded percentages
        return grid[int(mean.argmax())], float(mean.max())

    if test is None:
        dev_scores, predicted = [], np.empty_like(y)
        fold_scores = []
        for inside, outside in split(x, y):
            best, score = choose(x[inside], y[inside], _GRID)
            model = _fit(_classifier(best), x[inside], y[inside])
            predicted[outside] = model.predict(x[outside])
            fold_scores.append(100 * np.mean(predicted[outside] == y[outside]))
            dev_scores.append(score)
        return _row(y, predicted, np.mean(fold_scores), np.mean(dev_scores), f1_score)

    if dev is None:
        best, dev_score = choose(x, y, _GRID_GIVEN_TEST)
    else:
        both = np.concatenate([x, dev[0]]), np.concatenate([y, dev[1]])
        parts = np.arange(len(x)), np.arange(len(x), len(x) + len(dev[0]))
        best, dev_score = choose(*both, _GRID, held_out=[parts])
    predicted = _fit(_classifier(best), x, y).predict(test[0])
    return _row(test[1], predicted, 100 * np.mean(predicted == test[1]), dev_score, f1_score)


def _row(labels, predicted, accuracy, dev_accuracy, f1_score) -> dict[str, float]:
    classes = np.unique(labels)
    f1 = 100 * f1_score(labels, predicted, pos_label=classes[1]) if len(classes) == 2 else np.nan
    return {
        "examples": len(labels),
        "accuracy": float(accuracy),
        "dev_accuracy": float(dev_accuracy),
        "f1": float(f1),
    }


def _classifier(c: float, **options):
    from sklearn.linear_model import LogisticRegression

    # scikit-learn's tolerance of 1e-4 lets the last digits of the embeddings, which follow from
    # how an encoder's batches are cut, decide where the solver stops, and with it which C is best
    return LogisticRegression(C=c, tol=1e-6, max_iter=1000, random_state=_SEED, **options)


def _fit(model, features, labels):
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # the last digits of float32 embeddings may stop the solver a step early: harmless here
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)


def _path(features, labels, grid, inside, outside) -> list[float]:
    """Accuracy on the rows ``outside`` for each C of the rising ``grid``, fit on ``inside``.

    Each fit starts from the last one's weights: the solution is the same, in fewer steps.
    """
    model = _classifier(grid[0], warm_start=True)
    x, y, x_out, y_out = features[inside], labels[inside], features[outside], labels[outside]
    return [_fit(model.set_params(C=c), x, y).score(x_out, y_out) for c in grid]


def _checked(name, part):
    if part is None:
        return None
    x, y = as_embeddings(part[0], f"{name} features"), np.asarray(part[1])
    if y.shape != (len(x),):
        raise ValueError(f"{name}: {len(x)} labels are wanted, one a row, given shape {y.shape}")
    if not len(x):
        raise ValueError(f"{name}: there is no example")
    if name == "train" and len(np.unique(y)) < 2:
        raise ValueError(
            f"all {len(y):,} training examples have the same class ({y[0]}); a classifier needs "
            "at least two classes"
        )
    return x, y


def load_transfer(data_dir, tasks=None) -> dict[str, dict[str, pd.DataFrame]]:
    """Labelled examples from the files named in :func:`evaluate_transfer`.

    Returns
    -------
    dict
        Task to its parts, "train" and, where the task has them, "dev" and "test": DataFrames with
        columns ``sentence``, ``label`` and for MRPC ``sentence2``. Sentences are cut at blanks
        and joined by single ones, and examples are sorted by their number of words and label, as
        in SentEval, so that the folds are the same ones. For the same reason a blank line of MR,
        CR, SUBJ and MPQA is an example with the sentence "", and a warning counts them.
    """
    asked = None if tasks is None else pick_tasks(tasks, TRANSFER_TASKS)
    folder = data_folder(data_dir, ("MR", "CR", "SUBJ", "MPQA", "SST/binary", "TREC", "MRPC"))
    absent = {}
    for task in TRANSFER_TASKS:
        missing = [path for path in _paths(folder, task) if not path.is_file()]
        if missing:
            absent[task] = f"file not found: {missing[0]}"
    if asked is None:
        if len(absent) == len(TRANSFER_TASKS):
            raise FileNotFoundError(f"no transfer task in {folder}; " + "; ".join(absent.values()))
        if absent:
            warnings.warn(f"left out, absent from {folder}: {', '.join(absent)}", stacklevel=3)
        asked = [task for task in TRANSFER_TASKS if task not in absent]
    for task in asked:
        if task in absent:
            raise FileNotFoundError(f"{task}: {absent[task]}")
    return {task: _load(folder, task) for task in asked}


def _paths(folder: Path, task: str) -> list[Path]:
    if task in _TWO_FILES:
        return [folder / task / name for name in _TWO_FILES[task]]
    return [folder / name for name in _SPLIT_FILES[task].values()]


def _load(folder: Path, task: str) -> dict[str, pd.DataFrame]:
    if task in _TWO_FILES:
        rows = []
        for label, path in zip((1, 0), _paths(folder, task), strict=True):
            rows += [(line, None, label) for line in read_lines(path)]
        parts = {"train": _part(rows)}
    else:
        read = {"SST2": _read_sst, "TREC": _read_trec, "MRPC": _read_mrpc}[task]
        parts = {part: _part(read(folder / name)) for part, name in _SPLIT_FILES[task].items()}
    texts = [s for f in parts.values() for c in ("sentence", "sentence2") if c in f for s in f[c]]
    blank = sum(not tidy(text) for text in texts)
    if blank:  # official: 4 of CR, 3 of MPQA
        warnings.warn(
            f"{task}: {blank} of {len(texts):,} sentences are blank and count as examples, as in "
            "SentEval", stacklevel=4,
        )  # fmt: skip
    return parts


def _part(rows) -> pd.DataFrame:
    rows = [(first.split(), (second or "").split(), label) for first, second, label in rows]
    rows.sort(key=lambda r: (len(r[0]), len(r[1]), r[2]))
    columns = {
        "sentence": [" ".join(first) for first, _, _ in rows],
        "sentence2": [" ".join(second) for _, second, _ in rows],
        "label": [label for _, _, label in rows],
    }
    if not any(columns["sentence2"]):
        del columns["sentence2"]
    return pd.DataFrame(columns)


def _read_sst(path: Path) -> list[tuple]:
    rows = []
    for number, cells in read_table(path, 2):
        if number == 1 and cells[1].strip() == "label":  # as GLUE has it; SentEval's has no header
            continue
        rows.append((cells[0], None, _binary(path, number, cells[1])))
    return rows


def _read_mrpc(path: Path) -> list[tuple]:
    rows = []
    for number, cells in read_table(path, 5):
        if number == 1 and cells[0].strip() == "Quality":  # #1 ID, #2 ID, #1 String, #2 String
            continue
        rows.append((cells[3], cells[4], _binary(path, number, cells[0])))
    if not rows:
        raise ValueError(f"{path}: no pair below the header row")
    return rows


def _read_trec(path: Path) -> list[tuple]:
    rows = []
    for number, cells in read_table(path, 1):
        line = "\t".join(cells)
        label, _, rest = line.strip().partition(":")
        _, _, question = rest.partition(" ")
        if label not in _TREC_LABELS or not question.strip():
            raise ValueError(
                f"{path}, line {number}: LABEL:kind and a question are wanted, with a label of "
                f"{', '.join(_TREC_LABELS)}; found {line[:40]!r}"
            )
        rows.append((question, None, label))
    return rows


def _binary(path, number, text) -> int:
    if text.strip() not in ("0", "1"):
        raise ValueError(f"{path}, line {number}: a label of 0 or 1 is wanted, found {text!r}")
    return int(text)
