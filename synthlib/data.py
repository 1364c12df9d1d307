"""Sentences in, triplets and ranking lists out: data sets that say how they were made.

A data set is a `datasets.Dataset` with a note of its origin (`provenance`): tier, models, seeds,
settings, counts, versions. The note travels with the set through `select` and `filter`, and in
the metadata of the Parquet file that `save` writes and `load` reads.

What cannot be used (a blank line, a broken record) is never dropped in silence: the readers
return it beside the rest, with line and reason, and `save_rejects` keeps it in a file.
"""

from __future__ import annotations

import errno
import importlib.metadata
import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd

from synthlib.curation import HIGH, LOW
from synthlib.evaluation.files import read_lines

TRIPLET = ("anchor", "positive", "negative")
REJECT = ("line", "reason", "text")

_NOTE = b"synthlib"  # the key of the note in a Parquet file's metadata
_PACKAGES = ("torch", "transformers", "sentence-transformers", "numpy")


# ------------------------------------------------------------------ data sets with an origin
def triplets(rows, *, origin=None):
    """Triplets as a data set.

    Parameters
    ----------
    rows : sequence of (anchor, positive, negative), or DataFrame or Dataset with such columns
        Further columns (scores a and b, …) are kept.
    origin : dict, optional
        How they were made; see `origin_of`.

    Returns
    -------
    datasets.Dataset
        With the columns anchor, positive, negative first.

    Raises
    ------
    ValueError
        If a column is missing, or a row is not three texts.
    """
    if hasattr(rows, "to_pandas"):
        origin = provenance(rows) if origin is None else origin
        rows = rows.to_pandas()
    if not isinstance(rows, pd.DataFrame):
        rows = [tuple(row) if not isinstance(row, str) else row for row in rows]
        for i, row in enumerate(rows):
            if isinstance(row, str) or [type(text) for text in row] != [str] * 3:
                raise ValueError(f"row {i} is {row!r}: a triplet is three texts")
        rows = pd.DataFrame(rows, columns=list(TRIPLET))
    missing = [name for name in TRIPLET if name not in rows]
    if missing:
        raise ValueError(
            f"triplets have the columns {', '.join(TRIPLET)}; {', '.join(missing)} missing among "
            f"{', '.join(map(str, rows.columns))}"
        )
    rest = [name for name in rows if name not in TRIPLET]
    return _dataset(rows[[*TRIPLET, *rest]], origin)


def ranking_lists(lists, *, origin=None):
    """Ranking lists as a data set.

    Parameters
    ----------
    lists : sequence of lists of str
        Each an anchor and the sentences that follow it, as `decoding.generate_ranking_lists`
        gives them.
    origin : dict, optional

    Returns
    -------
    datasets.Dataset
        Columns anchor and sentences (a list of str, without the anchor).
    """
    rows = [list(row) if not isinstance(row, str) else row for row in lists]
    for i, row in enumerate(rows):
        if isinstance(row, str) or not row or not all(isinstance(text, str) for text in row):
            raise ValueError(
                f"list {i} is {row!r}: an anchor and the sentences after it are wanted"
            )
    frame = pd.DataFrame({"anchor": [r[0] for r in rows], "sentences": [r[1:] for r in rows]})
    return _dataset(frame, origin)


def origin_of(method, **facts) -> dict:
    """The note of how a data set was made: method, facts, and versions of what computed it.

    Parameters
    ----------
    method : str
        "multicsr", "art", …
    **facts
        What JSON can hold: tier, models, seeds, settings, counts.
    """
    import synthlib

    versions = {"synthlib": synthlib.__version__}
    versions |= {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"method": method, **facts, "versions": versions}


def provenance(dataset) -> dict:
    """How a data set was made; empty where nobody noted it."""
    try:
        note = json.loads(dataset.info.description or "{}")
    except ValueError:  # somebody else's description
        return {}
    return note if isinstance(note, dict) else {}


def save(dataset, path) -> Path:
    """Write a data set as Parquet, the note of its origin in the file's metadata.

    All of the file is written or nothing. Same rows and note, same bytes.

    Parameters
    ----------
    dataset : datasets.Dataset or DataFrame
    path : path
        Name of the file; its folder must be there.
    """
    note = {} if isinstance(dataset, pd.DataFrame) else provenance(dataset)
    frame = dataset if isinstance(dataset, pd.DataFrame) else dataset.to_pandas()
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist; make it")
    write_bytes(path, to_parquet(frame, note))
    return path


def load(path):
    """Read a data set that `save` wrote, or any other Parquet file.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is absent, or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"file not found: {path}")
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged or no Parquet file: {_first_line(error)}") from None
    note = (table.schema.metadata or {}).get(_NOTE)
    return _dataset(table, json.loads(note) if note else None)


def _dataset(rows, origin):
    from datasets import Dataset, DatasetInfo

    info = DatasetInfo(description=json.dumps(origin, sort_keys=True) if origin else "")
    if isinstance(rows, pd.DataFrame):
        return Dataset.from_pandas(rows, info=info, preserve_index=False)
    return Dataset(rows.replace_schema_metadata(None), info=info)


def to_parquet(frame: pd.DataFrame, note: dict | None = None) -> bytes:
    """A table as the bytes of a Parquet file; the same table gives the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {_NOTE: json.dumps(note, sort_keys=True)} if note else None
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, write_page_checksum=True)
    return sink.getvalue().to_pybytes()


def write_bytes(path, content: bytes) -> None:
    """Write all of a file or nothing: to a temporary name first, then rename.

    Raises
    ------
    OSError
        On a full disk with a line that says what to do.
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                f"the disk is full: {path} could not be written. What was written before is whole; "
                "make room and run the same command again"
            ) from None
        raise
    finally:
        unfinished.unlink(missing_ok=True)


# ------------------------------------------------------------------ sentences
def load_premises(source=None, *, column=None, n=None, seed=0, language="english"):
    """Sentences to start from.

    Parameters
    ----------
    source : optional
        ``None`` or "pocket": the pocket world's own. A sequence of str. The name of a text file
        with one sentence a line, or of a Parquet file. A `tiers.Corpus`, or the name of a data
        set on the Hugging Face Hub (its "train" split) or in a local folder.
    column : str, optional
        Which column of a Parquet file or data set; it can be left out where only one holds text.
    n : int, optional
        So many, drawn with `seed` without replacement, in the order of the source. Default: all,
        and 4,000 of the pocket world.
    seed : int
    language : "english" or "tavi"
        Of the pocket world's sentences.

    Returns
    -------
    sentences : list of str
        Runs of white space made one blank.
    rejects : DataFrame
        Columns line (from 1), reason, text: rows that are blank or no text.

    Raises
    ------
    FileNotFoundError, ValueError, OSError
        A source that is absent, damaged, without a text column or with several, or without a
        sentence.
    """
    from synthlib import tiers

    if n is not None and n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if source is None or source == "pocket":
        from synthlib.world import corpora

        return corpora.premises(n or 4000, seed, language=language), _rejects([])
    if isinstance(source, str | os.PathLike):
        found, name = _read_source(source, column), str(source)
    elif isinstance(source, tiers.Corpus):
        found, name = _from_hub(source)[column or source.columns[0]], source.name
    else:
        found, name = list(source), "the list of premises"

    sentences, rejects = [], []
    for line, text in enumerate(found, start=1):
        clean = " ".join(text.split()) if isinstance(text, str) else ""
        if clean:
            sentences.append(clean)
        else:
            reason = "blank" if isinstance(text, str) else f"no text but {type(text).__name__}"
            rejects.append((line, reason, str(text)))
    if not sentences:
        raise ValueError(f"{name} holds no sentence")
    if n is not None and n < len(sentences):
        chosen = np.random.default_rng(seed).choice(len(sentences), n, replace=False)
        sentences = [sentences[i] for i in np.sort(chosen)]
    return sentences, _rejects(rejects)


def _read_source(source, column) -> list:
    path = Path(source).expanduser()
    if path.is_file():
        if path.suffix == ".parquet":
            dataset = load(path)
            return dataset[_text_column(dataset, column, path)]
        return read_lines(path)
    if path.suffix in (".txt", ".parquet", ".jsonl", ".csv", ".tsv") or path.is_absolute():
        if not path.is_dir():
            raise FileNotFoundError(f"file not found: {path}")
    from synthlib import tiers

    dataset = _from_hub(tiers.Corpus(str(source), ()))
    return dataset[_text_column(dataset, column, source)]


def _text_column(dataset, column, name) -> str:
    if column is not None:
        if column not in dataset.column_names:
            raise ValueError(
                f"{name} has no column {column!r}; there are {', '.join(dataset.column_names)}"
            )
        return column
    kinds = {key: getattr(feature, "dtype", "") for key, feature in dataset.features.items()}
    texts = [key for key, kind in kinds.items() if kind in ("string", "large_string")]
    if len(texts) != 1:
        what = f"several text columns ({', '.join(texts)})" if texts else "no text column"
        raise ValueError(f"{name} has {what}; say which one holds the sentences (column)")
    return texts[0]


def _from_hub(corpus):
    """A data set of the Hub or of a folder; whatever stands in the way is one line."""
    from datasets import load_dataset

    try:
        return load_dataset(corpus.name, corpus.subset, data_files=corpus.file, split=corpus.split)
    except Exception as error:  # its libraries raise a dozen kinds, with pages of text
        raise OSError(
            f"the data set {corpus.name} cannot be had: {_first_line(error)}. Without a network "
            "give a text or Parquet file, or take the pocket tier"
        ) from None


def load_labelled(source, *, n=None, seed=0):
    """A labelled NLI corpus as (premise, entailment, contradiction) triplets.

    Parameters
    ----------
    source : None, "pocket", `tiers.Corpus`, or name of a JSONL or Parquet file
        ``None`` and "pocket" are the pocket world's corpus. A file has the columns anchor,
        positive, negative.
    n : int, optional
        At most so many, drawn as in `load_premises`; default all (6,000 of the pocket world).
    seed : int

    Returns
    -------
    list of (premise, entailment, contradiction)
    """
    if source is None or source == "pocket":
        from synthlib.world import corpora

        return corpora.triplets(n or 6000, seed)
    if isinstance(source, str | os.PathLike) and str(source).endswith(".jsonl"):
        rows, columns = load_triplets_jsonl(source)[0], TRIPLET
    elif isinstance(source, str | os.PathLike):
        rows, columns = triplets(load(source)), TRIPLET
    else:
        rows, columns = _from_hub(source), source.columns
    found = list(zip(*(rows[name] for name in columns), strict=True))
    found = [row for row in found if all(isinstance(text, str) and text.strip() for text in row)]
    if n is not None and n < len(found):
        chosen = np.sort(np.random.default_rng(seed).choice(len(found), n, replace=False))
        found = [found[i] for i in chosen]
    return found


# ------------------------------------------------------------------ triplets of others
def load_triplets_jsonl(path):
    """Triplets from elsewhere, such as a model behind an API: one JSON object a line.

    ``{"anchor": "…", "positive": "…", "negative": "…", "a": 4.5, "b": 1}``; the scores a of
    (anchor, positive) and b of (anchor, negative), from 0 to 5, may be absent or null.

    Parameters
    ----------
    path : path

    Returns
    -------
    triplets : datasets.Dataset
        anchor, positive, negative, line; and a, b where any line has a score (NaN: none given).
    rejects : DataFrame
        Columns line, reason, text: lines that could not be read.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is absent, empty, or no line of it can be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"file not found: {path}")
    rows, rejects = [], []
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    for line, raw in enumerate(content.removesuffix(b"\n").split(b"\n"), start=1):
        try:
            rows.append((*_triplet(raw), line))
        except ValueError as error:
            rejects.append((line, str(error), raw.decode("utf-8", "replace").strip()))
    if not rows:
        first = f": line {rejects[0][0]}: {rejects[0][1]}" if content.strip() else ", it is empty"
        raise ValueError(f"{path} holds no triplet{first}")
    frame = pd.DataFrame(rows, columns=[*TRIPLET, "a", "b", "line"])
    if frame[["a", "b"]].isna().all(axis=None):
        frame = frame.drop(columns=["a", "b"])
    return triplets(frame, origin=origin_of("from a file", file=path.name)), _rejects(rejects)


def _triplet(raw: bytes) -> tuple:
    """anchor, positive, negative, a, b of one line; ValueError with the reason."""
    record = _json_object(raw)
    texts = []
    for name in TRIPLET:
        text = record.get(name)
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"{name} is missing" if text is None else f"{name} is no text: {text!r}"
            )
        texts.append(" ".join(text.split()))
    scores = []
    for name in ("a", "b"):
        score = record.get(name)
        if score is None:
            score = math.nan
        elif isinstance(score, bool) or not isinstance(score, int | float):
            raise ValueError(f"the score {name} is no number: {score!r}")
        elif not (math.isnan(score) or LOW <= score <= HIGH):
            raise ValueError(f"the score {name} is {score}, outside [{LOW}, {HIGH}]")
        scores.append(float(score))
    return (*texts, *scores)


def load_ranking_lists(path):
    """Ranking lists from elsewhere: a Parquet file, or one JSON object a line.

    ``{"anchor": "…", "sentences": ["…", "…"]}``, the sentences without the anchor, the nearest
    first. A Parquet file has the columns anchor and sentences, as `ranking_lists` makes them.

    Parameters
    ----------
    path : path

    Returns
    -------
    lists : list of lists of str
        Each the anchor and the sentences after it; runs of blanks made one.
    rejects : DataFrame
        Columns line, reason, text: lines that could not be read, and lists of one sentence.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is absent, damaged or empty, or no line of it can be read.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"file not found: {path}")
    if path.suffix == ".parquet":
        found = load(path)
        absent = [name for name in ("anchor", "sentences") if name not in found.column_names]
        if absent:
            raise ValueError(
                f"{path} has no column {absent[0]}; ranking lists have the columns anchor and "
                "sentences"
            )
        lines = [dict(row) for row in found.select_columns(["anchor", "sentences"])]
    else:
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n")
        lines = content.split(b"\n") if content.strip() else []
    lists, rejects = [], []
    for number, line in enumerate(lines, start=1):
        try:
            record = _json_object(line) if isinstance(line, bytes) else line
            lists.append(_sentences(record))
        except ValueError as error:
            text = line.decode("utf-8", "replace") if isinstance(line, bytes) else repr(line)
            rejects.append((number, str(error), text.strip()))
    if not lists:
        first = f": line {rejects[0][0]}: {rejects[0][1]}" if rejects else ", it is empty"
        raise ValueError(f"{path} holds no ranking list{first}")
    return lists, _rejects(rejects)


def _sentences(record: dict) -> list[str]:
    anchor, rest = record.get("anchor"), record.get("sentences")
    if not isinstance(anchor, str) or not anchor.strip():
        raise ValueError(f"anchor is no text: {anchor!r}" if anchor else "anchor is missing")
    if not isinstance(rest, list) or not all(isinstance(text, str) for text in rest):
        raise ValueError(f"sentences is {'missing' if rest is None else 'no list of texts'}")
    if not rest:
        raise ValueError("a list of one sentence: nothing follows the anchor")
    blank = [place for place, text in enumerate(rest, start=1) if not text.strip()]
    if blank:
        raise ValueError(f"sentence {blank[0]} is blank")
    return [" ".join(text.split()) for text in (anchor, *rest)]


def _json_object(raw: bytes) -> dict:
    """The JSON object of one line; ValueError with the reason."""
    try:
        record = json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("not in UTF-8") from None
    except (ValueError, RecursionError) as error:
        reason = "blank" if not raw.strip() else f"no JSON ({_first_line(error)})"
        raise ValueError(reason) from None
    if not isinstance(record, dict):
        raise ValueError(f"a JSON object is wanted, found {type(record).__name__}")
    return record


def save_rejects(path, rejects: pd.DataFrame) -> None:
    """Keep what could not be used, one JSON object a line; no file where there is nothing."""
    path = Path(path)
    if not len(rejects):
        path.unlink(missing_ok=True)
        return
    lines = [json.dumps(row, ensure_ascii=False) for row in rejects.to_dict("records")]
    write_bytes(path, ("\n".join(lines) + "\n").encode("utf-8", "replace"))


def _rejects(rows) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(REJECT))


def _first_line(error) -> str:
    return str(error).strip().split("\n")[0][:200] or type(error).__name__


# ------------------------------------------------------------------ anchors
def kmeans_sample(
    embeddings, clusters: int = 1000, per_cluster: int = 20, seed: int = 0
) -> np.ndarray:
    """Draw varied anchors: k-means, then some rows of each cluster at random.

    Random members and not those nearest to the centre: a cluster's neighbours of the centre are
    alike, and its edge would never be drawn.

    Parameters
    ----------
    embeddings : array or tensor [n, d]
        One row a sentence.
    clusters : int in [1, n]
        The paper: 1,000.
    per_cluster : int ≥ 1
        The paper: 20. A smaller cluster gives all that it has.
    seed : int
        Of k-means and of the drawing; the same seed gives the same rows.

    Returns
    -------
    int array [at most clusters · per_cluster]
        Distinct row numbers, rising.

    Raises
    ------
    ValueError
        For a matrix that is not finite, or more clusters than rows.

    Source: ranking sentences § 4.1 (which embedding and which members, it does not say; the
    released code does not contain this step).
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    from synthlib.evaluation.embedding import as_embeddings

    rows = as_embeddings(embeddings)
    for name, value in (("clusters", clusters), ("per_cluster", per_cluster)):
        if value != int(value) or value < 1:
            raise ValueError(f"{name} must be a whole number from 1 up, got {value}")
    if clusters > len(rows):
        raise ValueError(
            f"{clusters} clusters are more than the {len(rows)} rows of embeddings: take fewer "
            "clusters or more sentences"
        )
    # Beyond some minutes of computing, k-means on batches: as varied, many times faster.
    large = len(rows) * clusters > 2e7
    kind = MiniBatchKMeans if large else KMeans
    labels = kind(int(clusters), n_init=1, random_state=seed).fit(rows).labels_
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(rows))
    # Place of each row among those of its cluster, in the shuffled order.
    place = pd.Series(labels[shuffled]).groupby(labels[shuffled]).cumcount().to_numpy()
    return np.sort(shuffled[place < per_cluster])

