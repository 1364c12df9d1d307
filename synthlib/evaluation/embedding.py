"""From sentences to a checked matrix of embeddings, the first step of every evaluation."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

__all__ = [
    "as_embeddings",
    "cosine_of_rows",
    "embed",
    "embed_each",
    "paired_cosine",
    "unit_rows",
]


def as_embeddings(x, name: str = "embeddings") -> np.ndarray:
    """Numpy matrix of finite numbers from whatever an encoder returned.

    Parameters
    ----------
    x : array, torch.Tensor or sequence of vectors, shape (n, d)
        Any device, any floating or integer dtype (bfloat16 too).
    name : str
        What to call ``x`` in an error message.

    Returns
    -------
    numpy.ndarray, shape (n, d)
        float32 if ``x`` was in float32 or a smaller floating type, float64 otherwise.

    Raises
    ------
    ValueError
        If ``x`` is not a matrix with at least one column, or holds NaN or infinity.
    """
    return _checked(x, name)[0]


def _checked(x, name) -> tuple[np.ndarray, np.ndarray]:
    """The matrix of `as_embeddings` and the squared length of each row."""
    if isinstance(x, list | tuple) and x and hasattr(x[0], "detach"):
        x = [np.asarray(_to_numpy(row)) for row in x]
    try:
        array = np.asarray(_to_numpy(x))
        small = array.dtype in (np.float16, np.float32)
        array = array.astype(np.float32 if small else np.float64, casting="safe", copy=False)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}: a dense matrix of numbers is wanted, one row a sentence; given "
            f"{type(x).__name__}"
        ) from None
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(
            f"{name}: an (n, d) matrix is wanted, one row a sentence; given shape {array.shape}"
        )
    with np.errstate(over="ignore", invalid="ignore"):  # one quick pass, a count where it fails
        square = np.vecdot(array, array)
        doubtful = not np.isfinite(square.sum())
    bad = int((~np.isfinite(array)).any(axis=1).sum()) if doubtful else 0
    if bad:
        raise ValueError(
            f"{name}: {bad:,} of {len(array):,} rows hold NaN or infinity; look at the model's "
            "training, or use float32 if it ran in half precision"
        )
    return array, square


def _to_numpy(x):
    # numpy knows no bfloat16, and half precision is too coarse for a norm
    if hasattr(x, "detach"):
        x = x.detach()
        return (x if str(x.dtype) == "torch.float64" else x.float()).cpu().numpy()
    return x


def embed(
    encode: Callable,
    sentences: Sequence[str],
    *,
    batch_size: int | None = None,
    progress: bool = False,
) -> tuple[np.ndarray, dict[str, int]]:
    """Encode each distinct sentence once, shortest first.

    Sorting by length keeps padding small in encoders that cut their input into batches in the
    order given.

    Parameters
    ----------
    encode : callable
        Takes a list of n strings, returns an (n, d) array or tensor.
    sentences : sequence of str
        Repetitions are welcome: they cost nothing.
    batch_size : int, optional
        Sentences in one call of ``encode``; all at once by default.
    progress : bool
        Show a bar (a step is one call).

    Returns
    -------
    embeddings : numpy.ndarray, shape (distinct sentences, d)
    row : dict
        The row of each sentence.

    Raises
    ------
    ValueError
        If there is no sentence, if one is no string, or if ``encode`` returns another number of
        rows than it got sentences, or NaN.
    """
    if not isinstance(sentences, str):
        sentences = list(sentences)
    embeddings, row, _ = embed_each(encode, sentences, batch_size=batch_size, progress=progress)
    return embeddings, dict(zip(sentences, row.tolist(), strict=True))


def embed_each(
    encode: Callable,
    sentences: Sequence[str] | pd.Series,
    *,
    batch_size: int | None = None,
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `embed`, with the rows as an array: all sentences are looked up at once.

    Parameters
    ----------
    encode, batch_size, progress
        As of `embed`.
    sentences : sequence of str or pandas.Series
        A Series spares the way through a list.

    Returns
    -------
    embeddings : numpy.ndarray, shape (distinct sentences, d)
    row : numpy.ndarray of int, shape (len(sentences),)
        ``embeddings[row[i]]`` is that of ``sentences[i]``.
    square : numpy.ndarray, shape (distinct sentences,)
        The squared length of each embedding, for `cosine_of_rows`; it may leave the range of
        its type.
    """
    if isinstance(sentences, str):
        raise ValueError("a list of sentences is wanted, a single string was given")
    code, distinct, length = _distinct(sentences)
    if not len(distinct):
        raise ValueError("there is no sentence to encode: the list is empty")
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, given {batch_size}")
    order = np.argsort(length.astype(np.min_scalar_type(length.max())), kind="stable")  # by radix
    row = np.empty_like(order)
    row[order] = np.arange(len(order))
    distinct = distinct[order].tolist()

    size = batch_size or len(distinct)
    starts = range(0, len(distinct), size)
    if progress:
        from tqdm.auto import tqdm

        starts = tqdm(starts, desc="encoding", unit="batch", leave=False)
    embeddings = None
    for start in starts:
        batch = distinct[start : start + size]
        block, lengths = _checked(encode(batch), "encode's result")
        if len(block) != len(batch):
            raise ValueError(
                f"encode returned {len(block):,} rows for {len(batch):,} sentences; one row a "
                "sentence is wanted"
            )
        if len(batch) == len(distinct):
            return block, row[code], lengths
        if embeddings is None:
            embeddings = np.empty((len(distinct), block.shape[1]), block.dtype)
            square = np.empty(len(distinct), block.dtype)
        if (block.shape[1], block.dtype) != (embeddings.shape[1], embeddings.dtype):
            raise ValueError(
                f"encode returned vectors of {embeddings.shape[1]} numbers ({embeddings.dtype}), "
                f"then of {block.shape[1]} ({block.dtype}); one length and type is wanted"
            )
        embeddings[start : start + size], square[start : start + size] = block, lengths
    return embeddings, row[code], square


def _distinct(sentences) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The number of each sentence among the distinct ones, and these, in the order of first use,
    with their lengths."""
    if not (isinstance(sentences, pd.Series) and sentences.dtype == "str"):
        array = np.fromiter(sentences, dtype=object, count=len(sentences))
        if len(array) and pd.api.types.infer_dtype(array, skipna=False) != "string":
            wrong = next(s for s in array if not isinstance(s, str))
            raise ValueError(f"sentences must be strings; one is {wrong!r}")
        sentences = pd.Series(array, dtype=object)
    elif sentences.isna().any():
        raise ValueError("sentences must be strings; one is missing")
    code, distinct = pd.factorize(sentences)
    if sentences.dtype == "str":  # counted before they are made objects of Python
        return code, np.asarray(distinct, dtype=object), distinct.str.len().to_numpy()
    distinct = np.asarray(distinct, dtype=object)
    return code, distinct, np.fromiter(map(len, distinct), dtype=np.int64, count=len(distinct))


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows of ``x`` (n, d) scaled to length one, in float64; a zero row stays zero."""
    x = np.asarray(x, dtype=np.float64)
    largest = np.abs(x).max(axis=1, keepdims=True)  # first, so that no square over- or underflows
    x = np.divide(x, largest, out=np.zeros_like(x), where=largest > 0)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def paired_cosine(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Cosine of each row of ``u`` with the same row of ``v``.

    Parameters
    ----------
    u, v : numpy.ndarray, shape (n, d), float32 or float64

    Returns
    -------
    numpy.ndarray, shape (n,), float64, in [-1, 1]
        0 where a vector is zero. Rounded (ten decimals, seven for float32), so that pairs at
        the same angle tie instead of being ranked by the noise of the last digit.
    """
    if u.shape != v.shape:
        raise ValueError(f"two matrices of one shape are wanted, given {u.shape} and {v.shape}")
    dot, uu, vv = np.empty((3, len(u)), np.result_type(u, v))
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(u), 512):  # a block is fetched once and then lies in the cache
            rows = slice(start, start + 512)
            np.vecdot(u[rows], v[rows], out=dot[rows])
            np.vecdot(u[rows], u[rows], out=uu[rows])
            np.vecdot(v[rows], v[rows], out=vv[rows])
    return _cosine(dot, uu, vv, lambda odd: (u[odd], v[odd]))


def cosine_of_rows(
    x: np.ndarray, first: np.ndarray, second: np.ndarray, square: np.ndarray
) -> np.ndarray:
    """As `paired_cosine` of ``x[first]`` and ``x[second]``, without such copies of all rows.

    Parameters
    ----------
    x, square
        Embeddings and their squared lengths, as `embed_each` gives them.
    first, second : numpy.ndarray of int, shape (n,)
        The two rows of each pair.
    """
    dot = np.empty(len(first), x.dtype)
    u, v = np.empty((2, 128, x.shape[1]), x.dtype)  # so few rows stay in the cache
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(first), len(u)):
            rows = slice(start, start + len(u))
            n = len(first[rows])
            np.take(x, first[rows], axis=0, out=u[:n], mode="clip")  # "raise" would copy again
            np.take(x, second[rows], axis=0, out=v[:n], mode="clip")
            np.vecdot(u[:n], v[:n], out=dot[rows])
    return _cosine(
        dot, square[first], square[second], lambda odd: (x[first[odd]], x[second[odd]])
    )


def _cosine(dot, uu, vv, vectors) -> np.ndarray:
    """Products of pairs over the roots of their squares; ``vectors(odd)`` gives those of a few."""
    norm = np.sqrt(uu, dtype=np.float64) * np.sqrt(vv, dtype=np.float64)
    odd = ~((norm > 1e-30) & (norm < 1e30))  # zero, or squares that left the range of the type
    dot[odd] = np.vecdot(*map(unit_rows, vectors(odd)))
    norm[odd] = 1.0
    return np.clip(dot / norm, -1.0, 1.0).round(10 if dot.dtype == np.float64 else 7)
