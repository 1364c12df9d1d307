"""Sentences in, triplets and ranking lists out: data sets that say how they were made.

A data set is a `datasets.Dataset` with a note of its origin (`provenance`): tier, models, seeds,
settings, counts, versions. The note travels with the set through `select` and `filter`, and in
the metadata of the Parquet file that `save` writes and `load` reads.

What cannot be used (a blank line, a broken record) is never dropped in silence: the readers
return it beside the rest, with line and reason, and `save_rejects` keeps it in a file.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib.metadata
import itertools
import json
import math
import os
import re
import warnings
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

from synthlib import reading
from synthlib.curation import HIGH, LOW
from synthlib.paths import DATA, write_bytes

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
            if isinstance(row, str) or [isinstance(text, str) for text in row] != [True] * 3:
                raise ValueError(f"row {i} is {row!r}: a triplet is three texts")
            _refuse_half(f"row {i}", row)
        rows = pd.DataFrame(rows, columns=list(TRIPLET))
    missing = [name for name in TRIPLET if name not in rows]
    if missing:
        raise ValueError(
            f"triplets have the columns {', '.join(TRIPLET)}; {', '.join(missing)} missing among "
            f"{', '.join(map(str, rows.columns))}"
        )
    for i, row in enumerate(rows[list(TRIPLET)].itertuples(index=False, name=None)):
        _refuse_half(f"row {i}", row)
    rest = [name for name in rows if name not in TRIPLET]
    return _dataset(rows[[*TRIPLET, *rest]], origin)


def _refuse_half(where, texts) -> None:
    """Half of a character is in no text that a file can hold."""
    for text in texts:
        try:
            if isinstance(text, str):
                text.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{where} holds half of a character: {text!r}") from None


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
        _refuse_half(f"list {i}", row)
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


def save(dataset, path, *, origin=None) -> Path:
    """Write a data set as Parquet, the note of its origin in the file's metadata.

    All of the file is written or nothing. Same rows and note, same bytes.

    Parameters
    ----------
    dataset : datasets.Dataset or DataFrame
    path : path
        Name of the file; its folder must be there.
    origin : dict, optional
        The note, of `origin_of`; default: the one that the data set has.
    """
    frame = dataset
    if not isinstance(dataset, pd.DataFrame):
        frame, origin = dataset.to_pandas(), provenance(dataset) if origin is None else origin
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist; make it")
    write_bytes(path, _parquet(frame, origin))
    return path


def load(path):
    """Read a data set that `save` wrote, or any other Parquet file.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is absent or damaged, or holds what a data set cannot.
    """
    table = reading.read_arrow(path)
    note = (table.schema.metadata or {}).get(_NOTE)
    schema = _plain_types(path, table.schema)
    try:
        return _dataset(table.cast(schema), json.loads(note) if note else None)
    except Exception as error:  # of its libraries, for types that they do not know
        raise ValueError(f"{path} holds what a data set cannot: {_first_line(error)}") from None


def _plain_types(path, schema):
    """The schema with texts as strings; a map becomes the list of its entries."""
    import pyarrow as pa

    fields = []
    for field in schema:
        kind = field.type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if getattr(pa.types, "is_string_view", lambda _: False)(kind):
            kind = pa.string()
        if pa.types.is_map(kind):
            kind = pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)]))
        fields.append(field.with_type(kind))
    twice = next((name for name in schema.names if schema.names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{path}: the column {twice} is there twice; rename one")
    return pa.schema(fields, schema.metadata)


def _dataset(rows, origin):
    from datasets import Dataset, DatasetInfo

    info = DatasetInfo(description=json.dumps(origin, sort_keys=True) if origin else "")
    if isinstance(rows, pd.DataFrame):
        return Dataset.from_pandas(rows, info=info, preserve_index=False)
    return Dataset(rows.replace_schema_metadata(None), info=info)


def _parquet(frame: pd.DataFrame, note: dict | None) -> bytes:
    """A table as the bytes of a Parquet file; the same table gives the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {_NOTE: json.dumps(note, sort_keys=True)} if note else None
    sink = pa.BufferOutputStream()
    pq.write_table(table.replace_schema_metadata(metadata), sink, write_page_checksum=True)
    return sink.getvalue().to_pybytes()


# ------------------------------------------------------------------ sentences
def load_premises(source=None, *, column=None, n=None, seed=0, language="english"):
    """Sentences to start from.

    Parameters
    ----------
    source : optional
        ``None`` or "pocket": the pocket world's own. The name of a file: text with one sentence a
        line, CSV, TSV, JSON, JSON Lines, Parquet or Arrow (`reading.read_records`). A folder of
        such, or one that `datasets` has saved. A `tiers.Corpus`, or the name of a data set on the
        Hugging Face Hub (its "train" split). Or texts in memory: a sequence, array, Series, a
        DataFrame or data set.
    column : str, optional
        Which column of a table or data set; it can be left out where only one holds text.
    n : int, optional
        So many, drawn with `seed` without replacement, in the order of the source. Default: all,
        and 4,000 of the pocket world.
    seed : int
    language : "english" or "tavi"
        Of the pocket world's sentences.

    Returns
    -------
    sentences : list of str
        As `reading.tidy` leaves them: runs of white space made one blank.
    rejects : DataFrame
        Columns line (from 1), reason, text: rows that are blank or no text.

    Raises
    ------
    FileNotFoundError, ValueError, OSError
        A source that is absent, damaged, without a text column or with several, or without a
        sentence.
    """
    found, rejects = read_premises(source, column=column, n=n, seed=seed, language=language)
    return list(found["sentence"]), rejects[list(REJECT)]


def read_premises(source=None, *, column=None, n=None, seed=0, language="english"):
    """What `load_premises` gives, with the place that each sentence comes from.

    Returns
    -------
    found : DataFrame
        file, line, sentence.
    rejects : DataFrame
        file, line, reason, text.
    """
    from synthlib import tiers

    if n is not None and n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if source is None or isinstance(source, str) and source == "pocket":
        from synthlib.world import corpora

        sentences = corpora.premises(n or 4000, seed, language=language)
        found = pd.DataFrame({"sentence": sentences, "line": range(1, len(sentences) + 1)})
        return found.assign(file="pocket"), _rejects([]).assign(file="")
    if isinstance(source, str | os.PathLike):
        parts, name = _read_source(source, column), str(source)
    elif isinstance(source, tiers.Corpus):
        name, column = source.name, column or source.columns[0]
        if source.travels:
            ((_, *found),) = _read_source(DATA / Path(name).relative_to("data"), column)
            parts = [(name, *found)]
        else:
            parts = [_part(name, _from_hub(source)[column])]
    else:
        name = "the list of premises"
        parts = [_part(name, reading.texts_in(source, column))]

    rows, rejects = [], []
    for file, values, lines, bad in parts:
        wrong = list(bad)
        for line, text in zip(lines, values, strict=True):
            reason = reading.fault(text)
            clean = "" if reason else reading.tidy(text)
            if clean:
                rows.append((file, line, clean))
            else:
                wrong.append((line, reason or "blank", str(text)))
        rejects += [(file, *row) for row in sorted(wrong, key=lambda row: row[0])]
    if not rows:
        why = f": line {rejects[0][1]}: {rejects[0][2]}" if rejects else ", it is empty"
        raise ValueError(f"{name} holds no sentence{why}")
    if n is not None and n < len(rows):
        chosen = np.random.default_rng(seed).choice(len(rows), n, replace=False)
        rows = [rows[i] for i in np.sort(chosen)]
    names = ["file", *REJECT]
    return (
        pd.DataFrame(rows, columns=["file", "line", "sentence"]),
        _rejects([row[1:] for row in rejects]).assign(file=[row[0] for row in rejects])[names],
    )


def _part(name, values):
    """A source's name, values, their lines, and rejects."""
    values = list(values)
    return name, values, range(1, len(values) + 1), []


def _read_source(source, column) -> list:
    path = Path(source).expanduser()
    if path.is_file():
        return [_from_records(path, _records(path, column), column)]
    if path.is_dir():
        return _read_folder(path, column)
    if reading.format_of(path) or path.is_absolute() or path.exists() or path.is_symlink():
        raise reading.no_file(path)
    if str(source).startswith(".") or path.parent.is_file():
        raise FileNotFoundError(f"there is no file or folder {source}")
    if len(path.parts) > 1 and path.parent.is_dir():
        names = [str(path.parent / entry.name) for entry in path.parent.iterdir()]
        near = difflib.get_close_matches(str(path), names, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise FileNotFoundError(f"there is no file or folder {path}{hint}")
    from synthlib import tiers

    dataset = _from_hub(tiers.Corpus(str(source), ()))
    kinds = {key: getattr(feature, "dtype", "") for key, feature in dataset.features.items()}
    texts = [key for key, kind in kinds.items() if kind in ("string", "large_string")]
    name = reading.text_column(dataset.column_names, texts, column, source)
    return [_part(str(source), dataset[name])]


def _records(path, column):
    return reading.read_records(path, () if column is None else (column,), table=bool(column))


def _from_records(path, found, column):
    if isinstance(found, list):
        return str(path), found, range(1, len(found) + 1), []
    if not found.lines:
        return str(path), [], [], found.rejects
    name = reading.text_column(list(found.columns), found.texts, column, path)
    return str(path), found.columns[name], found.lines, found.rejects


def _read_folder(folder, column) -> list:
    """The sentences of a folder: saved by `datasets`, or files of one format side by side."""
    if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
        from datasets import load_from_disk

        try:
            dataset = load_from_disk(str(folder))
        except Exception as error:  # its libraries raise a dozen kinds
            raise ValueError(f"{folder} is no whole data set: {_first_line(error)}") from None
        return [_part(str(folder), reading.texts_in(dataset, column))]
    files = _training_files(folder)
    formats = sorted({reading.format_of(file) for file in files})
    if not files:
        raise ValueError(f"{folder} holds no file of text, CSV, JSON, Parquet or Arrow")
    if len(formats) > 1:
        raise ValueError(
            f"{folder} holds files of several formats ({', '.join(formats)}): give one of them"
        )
    found = [_records(file, column) for file in files]
    tables = [one for one in found if not isinstance(one, list) and one.columns]
    if column is None and tables:  # what one file has beside the others is no column of all
        shared = [name for name in tables[0].texts if all(name in one.texts for one in tables)]
        column = reading.text_column(list(tables[0].columns), shared, None, folder)
    return [_from_records(file, one, column) for file, one in zip(files, found, strict=True)]


_SPLIT = re.compile(
    r"(?<![a-z])(train|training|test|testing|eval|evaluation|valid|validation|dev|val)(?![a-z])"
)
MOST_FILES = 100_000  # in a folder that is given for its texts
_ABOUT = re.compile(r"(00-)?(readme|licen[cs]e|notice|changelog|dataset_infos?)\b", re.IGNORECASE)


def _training_files(folder) -> list[Path]:
    """Files of a known format, without what is about them and without the other splits."""
    entries = list(itertools.islice(folder.rglob("*"), MOST_FILES + 1))
    if len(entries) > MOST_FILES:  # a whole disk would be walked through for minutes
        raise ValueError(
            f"{folder} holds more than {MOST_FILES:,} files and folders: give the folder of the "
            "texts, or one file"
        )
    files = [
        file for file in sorted(entries)
        if file.is_file() and reading.format_of(file) and not _ABOUT.match(file.name)
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    ]  # fmt: skip
    split = {
        file: next(iter(_SPLIT.findall(str(file.relative_to(folder)).lower())), "")
        for file in files
    }
    if any(name.startswith("train") for name in split.values()):
        return [file for file in files if split[file].startswith("train")]
    return [file for file in files if not split[file]] or files


def load_scored_pairs(corpus, *, instead="give the pairs in a folder"):
    """Sentence pairs with human scores of a data set on the Hub, or in a folder of its form.

    Parameters
    ----------
    corpus : tiers.Corpus
        Its columns are the two sentences and the score.
    instead : str
        What to do where it cannot be had, for the message.

    Returns
    -------
    DataFrame
        sentence1, sentence2, score, as `evaluation.score_sts` takes them. Rows without two
        sentences and a score are left out, and a warning counts them.

    Raises
    ------
    OSError, ValueError
        If it cannot be had, or is another kind of data set.
    """
    rows = _from_hub(corpus, instead)
    absent = [name for name in corpus.columns if name not in rows.column_names]
    if absent:
        raise ValueError(
            f"the data set {corpus.name} has no column {absent[0]!r}; there are "
            f"{', '.join(rows.column_names)}"
        )
    frame = rows.select_columns(list(corpus.columns)).to_pandas()[list(corpus.columns)]
    frame.columns = ["sentence1", "sentence2", "score"]
    frame["score"] = pd.to_numeric(frame["score"], errors="coerce")
    blank = [[not isinstance(t, str) or not t.strip() for t in frame[c]] for c in list(frame)[:2]]
    good = np.isfinite(frame["score"]) & ~np.any(blank, axis=0)
    if not good.any():
        raise ValueError(f"the data set {corpus.name} holds no pair with a score")
    if not good.all():
        warnings.warn(
            f"{corpus.name}: {int((~good).sum())} of {len(good)} rows without two sentences and a "
            "score are left out", stacklevel=2,
        )  # fmt: skip
    return frame[good].reset_index(drop=True)


def _from_hub(corpus, instead="give a text or Parquet file, or take the pocket tier"):
    """A data set of the Hub or of a folder; whatever stands in the way is one line."""
    from datasets import load_dataset

    try:
        with offline_without_an_answer(corpus.name):
            return load_dataset(
                corpus.name, corpus.subset, data_files=corpus.file, split=corpus.split
            )
    except Exception as error:  # its libraries raise a dozen kinds, with pages of text
        raise OSError(
            f"the data set {corpus.name} cannot be had: {_first_line(error)}. Without a network "
            f"{instead}"
        ) from None


@contextlib.contextmanager
def offline_without_an_answer(name):
    """Where the Hub does not answer, look into the cache alone: no minute of retries."""
    import datasets
    import huggingface_hub as hub

    if not Path(name).is_dir() and not hub.constants.HF_HUB_OFFLINE:
        try:
            hub.HfApi().dataset_info(name, timeout=10)
        except hub.errors.HfHubHTTPError:
            pass  # an answer, to be said by what comes
        except Exception:  # whatever its HTTP library raises when no answer comes
            modules = hub.constants, datasets.config
            held = [module.HF_HUB_OFFLINE for module in modules]
            try:
                for module in modules:
                    module.HF_HUB_OFFLINE = True
                yield
            finally:
                for module, value in zip(modules, held, strict=True):
                    module.HF_HUB_OFFLINE = value
            return
    yield


def load_labelled(source, *, n=None, seed=0):
    """A labelled NLI corpus as (premise, entailment, contradiction) triplets.

    Parameters
    ----------
    source : None, "pocket", `tiers.Corpus`, or name of a file
        ``None`` and "pocket" are the pocket world's corpus. A file of any format that
        `reading.read_records` knows has the columns anchor, positive, negative, or SimCSE's sent0,
        sent1, hard_neg. Rows without three texts are left out, and a warning counts them.
    n : int, optional
        At most so many, drawn as in `load_premises`; default all (6,000 of the pocket world).
    seed : int

    Returns
    -------
    list of (premise, entailment, contradiction)

    Raises
    ------
    FileNotFoundError, ValueError, OSError
        If the file is absent or damaged, lacks a column, or holds no triplet.
    """
    if source is None or source == "pocket":
        from synthlib.world import corpora

        return corpora.triplets(n or 6000, seed)
    rejects = []
    if isinstance(source, str | os.PathLike):
        found, columns = _triplet_table(source)
        name, rejects = str(source), list(found.rejects)
        rows, lines = zip(*(found.columns[name] for name in columns), strict=True), found.lines
    else:
        if len(source.columns) != 3:
            raise ValueError(f"{source.name} holds sentences and no labelled triplets")
        found, columns, name = _from_hub(source), source.columns, source.name
        rows, lines = zip(*(found[key] for key in columns), strict=True), range(1, len(found) + 1)
    triples = []
    for line, row in zip(lines, rows, strict=True):
        wrong = next(filter(None, map(_wrong_text, columns, row)), None)
        if wrong is None:
            triples.append(row)
        else:
            rejects.append((line, wrong, ""))
    if not triples:
        why = f": line {rejects[0][0]}: {rejects[0][1]}" if rejects else ", it is empty"
        raise ValueError(f"{name} holds no triplet{why}")
    if rejects:
        line, reason, _ = min(rejects)
        warnings.warn(
            f"{name}: {len(rejects):,} rows are no triplet of texts and are left out (the first: "
            f"line {line}, {reason})", stacklevel=2,
        )  # fmt: skip
    if n is not None and n < len(triples):
        chosen = np.sort(np.random.default_rng(seed).choice(len(triples), n, replace=False))
        triples = [triples[i] for i in chosen]
    return triples


_SIMCSE = ("sent0", "sent1", "hard_neg")


def _triplet_table(path):
    """The records of a file with triplets, and the names of its three columns."""
    path = Path(path).expanduser()
    found = reading.read_records(path, (*TRIPLET, *_SIMCSE, "a", "b"))
    if isinstance(found, list):
        raise ValueError(
            f"{path} is lines of text: a JSON Lines, CSV, TSV or Parquet file with the columns "
            f"{', '.join(TRIPLET)} is wanted"
        )
    columns = next((names for names in (TRIPLET, _SIMCSE) if set(names) & set(found.columns)), None)
    if found.columns and columns is None:
        raise ValueError(
            f"{path} has the columns {', '.join(found.columns)}; triplets have the columns "
            f"{', '.join(TRIPLET)}, or {', '.join(_SIMCSE)}"
        )
    columns = columns or TRIPLET
    for name in columns:
        if found.columns.get(name) is None:
            found.columns[name] = [None] * len(found.lines)
    return found, columns


def _wrong_text(name, value) -> str | None:
    """What is wrong with a text of a record, with its name; None if nothing is."""
    if value is None:
        return f"{name} is missing"
    why = reading.fault(value)
    if why.startswith(("no text", "blank")):
        return f"{name} is no text: {_shown(value)}"
    return f"{name} holds {why}" if why else None


def _shown(value) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"


# ------------------------------------------------------------------ triplets of others
def load_triplets(path):
    """Triplets from elsewhere, such as a model behind an API.

    One JSON object a line, ``{"anchor": "…", "positive": "…", "negative": "…", "a": 4.5, "b": 1}``,
    or a file of another format that `reading.read_records` knows, with these columns (or SimCSE's
    sent0, sent1, hard_neg); the scores a of (anchor, positive) and b of (anchor, negative), from 0
    to 5, may be absent or null.

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
    path = Path(path).expanduser()
    found, columns = _triplet_table(path)
    typed = reading.format_of(path) not in ("csv", "tsv")
    rows, rejects = [], list(found.rejects)
    for i, line in enumerate(found.lines):
        try:
            rows.append((*_triplet(found.row(i), columns, typed), line))
        except ValueError as error:
            rejects.append((line, str(error), found.shown(i)))
    rejects.sort(key=lambda row: row[0])
    if not rows:
        why = f": line {rejects[0][0]}: {rejects[0][1]}" if rejects else ", it is empty"
        raise ValueError(f"{path} holds no triplet{why}")
    frame = pd.DataFrame(rows, columns=[*TRIPLET, "a", "b", "line"])
    if frame[["a", "b"]].isna().all(axis=None):
        frame = frame.drop(columns=["a", "b"])
    return triplets(frame, origin=origin_of("from a file", file=path.name)), _rejects(rejects)


def _triplet(record, columns, typed) -> tuple:
    """anchor, positive, negative, a, b of one record; ValueError with the reason.

    The cells of a table without types (CSV) hold numbers as text; a JSON text is no number.
    """
    texts = []
    for name in columns:
        wrong = _wrong_text(name, record.get(name))
        if wrong:
            raise ValueError(wrong)
        texts.append(reading.tidy(record[name]))
    return (*texts, *(_score(name, record.get(name), typed) for name in ("a", "b")))


def _score(name, score, typed) -> float:
    """A score from 0 to 5, or NaN where none is given."""
    if score is None or not typed and not str(score).strip():
        return math.nan
    if not typed:
        with contextlib.suppress(ValueError):
            score = float(score)
    if isinstance(score, bool) or not isinstance(score, Real):
        raise ValueError(f"the score {name} is no number: {_shown(score)}")
    if not (score != score or LOW <= score <= HIGH):  # compared as it is: float() may overflow
        long = isinstance(score, int) and abs(score) >= 10**15
        said = "a number of 16 digits or more" if long else score
        raise ValueError(f"the score {name} is {said}, outside [{LOW}, {HIGH}]")
    return float(score)


def load_ranking_lists(path):
    """Ranking lists from elsewhere: one JSON object a line, JSON, Parquet or Arrow.

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
    path = Path(path).expanduser()
    names = ("anchor", "sentences")
    found = reading.read_records(path, names)
    if isinstance(found, list):
        raise ValueError(
            f"{path} is lines of text: a JSON Lines or Parquet file with the columns anchor and "
            "sentences is wanted"
        )
    absent = [name for name in names if name not in found.columns]
    if absent and found.columns and found.raw is None:
        raise ValueError(
            f"{path} has no column {absent[0]}; ranking lists have the columns anchor and "
            f"sentences, and there are {', '.join(found.columns)}"
        )
    lists, rejects = [], list(found.rejects)
    for i, line in enumerate(found.lines):
        try:
            lists.append(_sentences(found.row(i)))
        except ValueError as error:
            rejects.append((line, str(error), found.shown(i)))
    rejects.sort(key=lambda row: row[0])
    if not lists:
        why = f": line {rejects[0][0]}: {rejects[0][1]}" if rejects else ", it is empty"
        raise ValueError(f"{path} holds no ranking list{why}")
    return lists, _rejects(rejects)


def _sentences(record: dict) -> list[str]:
    anchor, rest = record.get("anchor"), record.get("sentences")
    wrong = _wrong_text("anchor", anchor)
    if wrong:
        raise ValueError(wrong)
    if not isinstance(rest, list) or not all(isinstance(text, str) for text in rest):
        raise ValueError(f"sentences is {'missing' if rest is None else 'no list of texts'}")
    if not rest:
        raise ValueError("a list of one sentence: nothing follows the anchor")
    for place, text in enumerate(rest, start=1):
        why = reading.fault(text)
        if why:
            raise ValueError(f"sentence {place} {'is blank' if why == 'blank' else f'holds {why}'}")
    return [reading.tidy(text) for text in (anchor, *rest)]


def save_rejects(path, rejects: pd.DataFrame) -> None:
    """Keep what could not be used, one JSON object a line; no file where there is nothing."""
    path = Path(path)
    if not len(rejects):
        path.unlink(missing_ok=True)
        return
    lines = [json.dumps(row, ensure_ascii=False) for row in rejects.to_dict("records")]
    write_bytes(path, ("\n".join(lines) + "\n").encode("utf-8", "replace"))


def _rejects(rows) -> pd.DataFrame:
    """Rows of (line, reason, text) as a table; half of a character is spelled."""
    rows = [
        (line, reason, text.encode("utf-8", "backslashreplace").decode())
        for line, reason, text in rows
    ]
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

