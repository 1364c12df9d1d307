"""Files as people have them: lines of text, tables, JSON, Parquet and Arrow; packed or not.

Whatever opens a file that somebody else has written opens it here, so that the rules are the same
everywhere:

encoding      UTF-8 (or UTF-16 and UTF-32 with a byte order mark); a line that is no UTF-8 is read
              as Windows-1252, and a warning says so once a file
line ends     a line feed, a carriage return, or both; no other character ends a line, so a
              sentence may hold the separators that Unicode knows
format        by the file's first bytes and its suffix (in any case), and a text file that holds
              JSON or a table is not taken for sentences
faults        a row that cannot be used is told apart from a file that cannot: the first is
              returned with line and reason, the second is one error that names the file
"""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import itertools
import json
import lzma
import re
import unicodedata
import warnings
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = [
    "Records", "csv_rows", "fault", "format_of", "is_header", "load_json", "no_file", "read_arrow",
    "read_lines", "read_records", "read_table", "text_column", "texts_in", "tidy",
]  # fmt: skip

_FORMATS = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "json", ".jsonl": "jsonl",
    ".ndjson": "jsonl", ".jsonlines": "jsonl", ".parquet": "parquet", ".pq": "parquet",
    ".arrow": "arrow", ".feather": "arrow", ".ipc": "arrow",
}  # fmt: skip
_PACKED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ\0": lzma.decompress}
_PACKINGS = (".gz", ".bz2", ".xz")
_MAGIC = {b"PAR1": "parquet", b"ARROW1": "arrow"}
_FOREIGN = {
    b"PK\x03\x04": "a spreadsheet or a zip archive: save the sheet as CSV, or unpack it",
    b"PK\x05\x06": "an empty zip archive",
    b"\xd0\xcf\x11\xe0": "an old Office file: save it as CSV or text",
    b"%PDF": "a PDF: save its text",
    b"SQLite format 3": "a database: export the table as CSV",
    b"\x93NUMPY": "a numpy array: save its texts one a line",
    b"\x28\xb5\x2f\xfd": "packed by zstd: unpack it",
    b"7z\xbc\xaf": "a 7z archive: unpack it",
    b"Rar!": "a rar archive: unpack it",
    b"version https://git-lfs": "a pointer of Git LFS and not the file: run git lfs pull",
}
_PAGE = re.compile(rb"\s*<(!doctype html|html|\?xml)\b", re.IGNORECASE)
# The longer marks first: UTF-32's begins like UTF-16's.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
# Windows-1252 where it differs from Latin-1; its five empty places stay Latin-1's.
_WINDOWS = {
    code: bytes([code]).decode("cp1252")
    for code in range(0x80, 0xA0)
    if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)
}
# Controls and marks without width, at the ends of a sentence; what stands inside stays.
_EDGES = "".join(map(chr, [*range(0x21), *range(0x7F, 0xA0)])) + "\xad\u200b\u2060"
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")  # letters and symbols that print nothing
csv.field_size_limit(2**31 - 1)  # a cell may be a whole document
_OFFICE = (".xlsx", ".xlsm", ".xls", ".ods", ".docx", ".doc")


# ------------------------------------------------------------------ texts
def tidy(text: str) -> str:
    """A sentence with each gap made one blank, and nothing invisible at its ends.

    Zero-width spaces, soft hyphens and control characters are taken off the ends and left inside;
    a byte order mark, where files were joined, counts as a gap. A text in which nothing can be
    seen becomes "".

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    text = " ".join(text.replace("\ufeff", " ").split()).strip(_EDGES)
    return text if _visible(text) else ""


def _visible(text) -> bool:
    """Whether there is a letter, number, punctuation mark or symbol."""
    return any(unicodedata.category(c)[0] in "LNPS" and c not in _FILLERS for c in text)


def fault(value) -> str:
    """Why a value is no text to work with, or "": no text, blank, half a character, zero bytes.

    Parameters
    ----------
    value : object

    Returns
    -------
    str
    """
    if not isinstance(value, str):
        return f"no text but {type(value).__name__}"
    if not _visible(value):
        return "blank"
    if "\0" in value:
        return "zero bytes: the file is damaged or not in UTF-8"
    half = next((c for c in value if "\ud800" <= c <= "\udfff"), None)
    return f"half of a character: the lone surrogate {half!r}" if half else ""


# ------------------------------------------------------------------ lines
def read_lines(path) -> list[str]:
    """Lines of a text file without their ends; line n is item n-1.

    Byte order marks at the beginning of lines are dropped (files that were joined have several).
    A line that is not UTF-8 is read as Windows-1252, which is Latin-1 with curly quotes, dashes
    and the like in the place of control characters; a warning names the first.

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is absent, empty, damaged, of a format that is no text, or holds zero bytes.
    """
    path = Path(path)
    raw = _content(path)
    if not raw.strip():
        raise ValueError(f"{path} is empty")
    lines = _decoded(path, _split(raw))
    for number, line in enumerate(lines, start=1):
        if "\0" in line:
            raise ValueError(
                f"{path}, line {number}: zero bytes; the file is damaged or not in UTF-8"
            )
    return lines


def read_table(path, columns: int) -> Iterable[tuple[int, list[str]]]:
    """Rows of a tab-separated file without quoting: (line number, cells).

    Blank lines are left out; a warning counts those that are not at the end of the file.

    Raises
    ------
    ValueError
        For a row with fewer than ``columns`` cells.
    """
    lines = read_lines(path)
    while not lines[-1].strip():
        lines.pop()
    blank = [number for number, line in enumerate(lines, start=1) if not line.strip()]
    if blank:
        warnings.warn(
            f"{path}, line {blank[0]}: {len(blank)} blank lines are left out", stacklevel=2
        )
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) < columns:
            raise ValueError(
                f"{path}, line {number}: {columns} tab-separated columns are wanted, "
                f"{len(cells)} found; the file is damaged or cut"
            )
        yield number, cells


def no_file(path) -> OSError | ValueError:
    """What to raise of a path that is no file: it is not there, or something else stands there."""
    path = Path(path)
    if path.is_dir():
        return ValueError(f"{path} is a folder; a file is wanted")
    if path.exists():  # a pipe would be read once, and its rows are wanted again on going on
        return ValueError(
            f"{path} is a device or a pipe and no file: write what comes from it into a file, and "
            "give that"
        )
    if path.is_symlink():
        return FileNotFoundError(f"{path} is a link to nothing that is there")
    return FileNotFoundError(f"file not found: {path}")


def _content(path: Path) -> bytes:
    """The bytes of a file, unpacked, in UTF-8 where a byte order mark names another encoding."""
    if not path.is_file():
        raise no_file(path)
    raw = path.read_bytes()
    for magic, unpack in _PACKED.items():
        if raw.startswith(magic):
            try:
                raw = unpack(raw)
            except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
                raise ValueError(f"{path} is damaged and cannot be unpacked ({error})") from None
            break
    for magic, what in _FOREIGN.items():
        if raw.startswith(magic):
            raise ValueError(f"{path} is {what}")
    if raw[257:262] == b"ustar":
        raise ValueError(f"{path} is a tar archive: unpack it")
    if _PAGE.match(raw[:200]):
        raise ValueError(f"{path} is a page of the web and no data: download the file itself")
    for mark, encoding in _MARKS.items():
        if raw.startswith(mark):
            try:
                return raw.decode(encoding).encode("utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{path} is damaged: no {encoding.upper()} ({error})") from None
    return raw.removeprefix(codecs.BOM_UTF8)


def _split(raw: bytes) -> list[bytes]:
    raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return raw.removesuffix(b"\n").split(b"\n")


def _decoded(path, lines: list[bytes]) -> list[str]:
    """Lines as text; a warning where one is not in UTF-8."""
    texts, odd = [], []
    for number, line in enumerate(lines, start=1):
        try:
            texts.append(line.decode("utf-8").lstrip("\ufeff"))
        except UnicodeDecodeError:
            odd.append(number)
            texts.append(line.decode("latin-1").translate(_WINDOWS))
    if odd:
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        differs = any(set(range(0x80, 0xA0)) & set(lines[number - 1]) for number in odd)
        name = "Windows-1252" if differs else "Latin-1"  # the same, but for these bytes
        warnings.warn(f"{path}, line {odd[0]}{more}: not UTF-8, read as {name}", stacklevel=3)
    return texts


# ------------------------------------------------------------------ records
class Records(NamedTuple):
    """The rows of a structured file.

    Attributes
    ----------
    columns : dict of str to list, or to None
        The values of each column, None where a row has none; or None: a column not read.
    lines : list of int
        The line of each row (CSV, TSV, JSON Lines), or its number from 1.
    rejects : list of (line, reason, text)
        What is no row.
    texts : list of str
        Names of the columns that hold text.
    raw : list of str or None
        The lines of the file, where a row is a line.
    """

    columns: dict[str, list]
    lines: list[int]
    rejects: list[tuple[int, str, str]]
    texts: list[str]
    raw: list[str] | None = None

    def row(self, i) -> dict:
        """Row i by column."""
        return {name: values[i] for name, values in self.columns.items() if values is not None}

    def shown(self, i) -> str:
        """Row i as it stands in the file, or nearly."""
        if self.raw is not None:
            return self.raw[self.lines[i] - 1].strip()
        return json.dumps(self.row(i), ensure_ascii=False, default=str)


def read_records(path, wanted=(), *, table=False) -> Records | list[str]:
    """The rows of a structured file, or the lines of a text file.

    Parameters
    ----------
    path : path
        CSV, TSV, JSON, JSON Lines, Parquet or Arrow, each perhaps packed by gzip, bzip2 or xz;
        anything else is text.
    wanted : sequence of str
        Columns of a Parquet or Arrow file that are read whatever they hold; of the others only
        those with text are. A first row that has one of them is the header.
    table : bool
        Read a text file as a table with tabs, too.

    Returns
    -------
    Records, or list of str where the file is lines of text

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is absent or damaged, of a format that is not read, a table without a header,
        or text that looks like a table.
    """
    path = Path(path)
    suffix, head = _suffix(path), b""
    if path.is_file():
        with path.open("rb") as stream:
            head = stream.read(8)
    kind, packed = _kind(head, suffix), head.startswith(tuple(_PACKED))
    if kind in ("parquet", "arrow") and not packed:
        return _of_arrow(path, kind, wanted)
    raw = _content(path)
    kind = _kind(raw, suffix)
    if kind in ("parquet", "arrow"):
        return _of_arrow(path, kind, wanted, raw)
    if suffix in _OFFICE:
        raise ValueError(f"{path} is no table or text that can be read: save it as CSV")
    lines = _split(raw)
    if not any(line.strip() for line in lines):
        return Records({}, [], [], [])
    if kind in ("json", "jsonl"):
        return _of_json(path, raw, kind)
    if kind == "text" and _is_json(raw, lines):
        return _of_json(path, raw, "jsonl")
    lines = _decoded(path, lines)
    if table and kind == "text":
        kind = "tsv"
    if kind in ("csv", "tsv"):
        return _of_csv(path, lines, kind, wanted)
    _refuse_table(path, lines)
    return lines


def format_of(path) -> str | None:
    """The format that a file's name tells, packed or not: "text", "csv", "tsv", "json", "jsonl",
    "parquet" or "arrow"; None where the name tells nothing."""
    suffix = _suffix(Path(path))
    return "text" if suffix in (".txt", ".text") else _FORMATS.get(suffix)


def _suffix(path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in _PACKINGS:
        del suffixes[-1]
    return suffixes[-1] if suffixes else ""


def _kind(head, suffix) -> str:
    """The format, by the first bytes before the suffix."""
    by_name = _FORMATS.get(suffix, "text")
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), by_name)


def _is_json(raw, lines) -> bool:
    """Whether a text file holds JSON: most of its first lines are objects, or all of it is one."""
    first = list(itertools.islice((line.strip() for line in lines if line.strip()), 20))
    objects = [line.startswith(b"{") and _is_object(line) for line in first]
    if sum(objects) * 2 > len(objects):
        return True
    if first[0][:1] not in (b"{", b"["):
        return False
    try:
        return isinstance(json.loads(raw), dict | list)
    except (ValueError, RecursionError):
        return False


def _is_object(line) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


_USUAL = frozenset(
    "id index text sentence sentences sentence1 sentence2 sent0 sent1 hard_neg label score premise "
    "hypothesis anchor positive negative question query answer candidate title source target"
    .split()
)


def _refuse_table(path, lines):
    tabs = {line.count("\t") for line in lines if line.strip()}
    whole = len(lines) > 1 and len(tabs) == 1 and tabs != {0}
    names = [cell.strip().strip('"').lower() for cell in re.split(r"[,;\t]", lines[0])]
    if whole or (len(names) > 1 and set(names) <= _USUAL):
        columns = max(tabs) + 1 if whole else len(names)
        raise ValueError(
            f"{path} is no text with a sentence a line but a table of {columns} columns (line 1: "
            f"{_short(lines[0])}): name it .tsv or .csv, with the names of its columns in line 1"
        )


# ------------------------------------------------------------------ tables
def csv_rows(path, lines=None, *, delimiter=None) -> Iterable[tuple[int, list[str]]]:
    """Rows of a CSV file: (line that the row begins in, cells); blank lines are rows of no cell.

    Parameters
    ----------
    path : path
    lines : list of str, optional
        Of the file, where they have been read.
    delimiter : str, optional
        Default: the comma, semicolon or tab that is most frequent in the first line.

    Raises
    ------
    ValueError
        For a quotation mark that is out of place or never closed (which would swallow the rest of
        the file), naming the line.
    """
    lines = read_lines(path) if lines is None else lines
    delimiter = delimiter or _delimiter(lines)
    for number, cells in _csv_rows(lines, delimiter):
        if isinstance(cells, str):
            raise ValueError(f"{path}, line {number}: {cells}")
        yield number, cells


def _csv_rows(lines, delimiter, start=0):
    """(line, cells) of each row from a line on, or (line, reason) at the first that is none."""
    reader = csv.reader(
        (line + "\n" for line in lines[start:]), delimiter=delimiter, strict=True
    )
    number = start + 1
    try:
        for cells in reader:
            yield number, cells
            number = start + reader.line_num + 1
    except csv.Error as error:
        yield number, f"a quotation mark is out of place or never closed ({error})"


_MOST_FAULTS = 100


def _whole_rows(path, lines, delimiter):
    """The rows of a CSV file, and as rejects the lines in which no row can begin."""
    rows, rejects, start = [], [], 0
    while start < len(lines):
        for number, cells in _csv_rows(lines, delimiter, start):
            if isinstance(cells, str):
                rejects.append((number, cells, lines[number - 1].strip()))
                # What the open quotation mark has swallowed is read again.
                start = number
                break
            rows.append((number, cells))
        else:
            break
        if len(rejects) > _MOST_FAULTS:
            number, reason, _ = rejects[0]
            raise ValueError(f"{path}, line {number} and {_MOST_FAULTS} more: {reason}")
    return rows, rejects


def _delimiter(lines) -> str:
    first = next((line for line in lines if line.strip()), "")
    return max(",;\t", key=first.count)


def is_header(cells) -> bool:
    """Whether the first row of a table names its columns: single words, no number, none twice.

    The first cell may be blank (pandas leaves it out above an index).
    """
    names = [cell.strip() for cell in cells]
    names = names[1:] if len(names) > 1 and not names[0] else names
    return bool(names) and len(set(names)) == len(names) and all(map(_is_name, names))


def _is_name(text) -> bool:
    if any(unicodedata.category(c) == "Lo" for c in text) and len(text) > 8:
        return False  # a sentence of a language that sets no blanks
    word = re.fullmatch(r"#?\w[\w./#()-]{0,39}|#\d \w+|\w{1,20} (id|ID|\d{1,2})", text)
    return word is not None and not text.endswith(".") and not _is_number(text)


def _is_number(text) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _of_csv(path, lines, kind, wanted) -> Records:
    if kind == "tsv":
        rows, rejects = _rows_of_tsv(path, lines), []
    else:
        rows, rejects = _whole_rows(path, lines, _delimiter(lines))
    rows = list(itertools.dropwhile(lambda row: not any(map(str.strip, row[1])), rows))
    if not rows:
        raise ValueError(f"{path}, line {rejects[0][0]}: {rejects[0][1]}")
    first, header = rows[0][0], [name.strip() for name in rows[0][1]]
    twice = [name for name in header if name and header.count(name) > 1]
    if twice and is_header(list(dict.fromkeys(header))):
        raise ValueError(f"{path}, line {first}: the column {twice[0]} is there twice; rename one")
    if not is_header(header) and not set(wanted) & set(header):
        raise ValueError(
            f"{path}, line {first}: the names of the columns are wanted, found "
            f"{_short(lines[first - 1])}: put a line with names, such as text, above the rows"
        )
    header = [name or f"column {i}" for i, name in enumerate(header, start=1)]
    good = []
    for number, cells in rows[1:]:
        if not any(cell.strip() for cell in cells):
            rejects.append((number, "blank", ""))
        elif len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
            quotes = "; a text with commas must stand in quotes" if kind == "csv" else ""
            why = f"{len(header)} columns are wanted, found {len(cells)}{quotes}"
            rejects.append((number, why, lines[number - 1].strip()))
        else:
            good.append((number, cells))
    columns = {name: [cells[i] for _, cells in good] for i, name in enumerate(header)}
    texts = [
        name for name, values in columns.items()
        if _mostly(not _is_number(value) for value in values if value.strip())
    ]  # fmt: skip
    return Records(columns, [number for number, _ in good], sorted(rejects), texts, lines)


def _rows_of_tsv(path, lines) -> list[tuple[int, list[str]]]:
    """Rows of a file with tabs: quoted as CSV is, where all of it can be read so, else plain."""
    try:
        rows = list(csv_rows(path, lines, delimiter="\t"))
        if all(len(cells) in (0, len(rows[0][1])) for _, cells in rows):
            return rows
    except ValueError:  # a quotation mark is a quotation mark
        pass
    return [(number, line.split("\t")) for number, line in enumerate(lines, start=1)]


def _mostly(facts) -> bool:
    facts = list(facts)
    return bool(facts) and sum(facts) * 2 >= len(facts)


def _short(text) -> str:
    text = " ".join(str(text).split())
    return repr(text if len(text) <= 60 else text[:59] + "…")


# ------------------------------------------------------------------ JSON
def load_json(raw: bytes):
    """The JSON value in some bytes; ValueError with the reason where there is none.

    A name that stands twice in an object is a fault: which of the two was meant, nobody knows. In
    the place of such an object stands a `Doubled`.
    """
    try:
        text = raw.decode("utf-8").lstrip("\ufeff")
    except UnicodeDecodeError:
        raise ValueError("not in UTF-8") from None
    if not _visible(text):
        raise ValueError("blank")
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        said = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise ValueError(f"no JSON ({said})") from None


class Doubled(NamedTuple):
    """In the place of an object of JSON in which a name stands twice."""

    name: str


def _once(pairs) -> dict | Doubled:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    names = [name for name, _ in pairs]
    return Doubled(next(name for name in names if names.count(name) > 1))


def _of_json(path, raw, kind) -> Records:
    lines, reason = _split(raw), ""
    if kind == "json":
        whole, reason = _whole(path, raw)
        if whole is not None:
            return _of_rows(list(enumerate(whole, start=1)), [], None)
    rows, rejects = [], []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append((number, load_json(line)))
        except ValueError as error:
            rejects.append((number, str(error), line.decode("utf-8", "replace").strip()))
    if not any(isinstance(value, dict | str) for _, value in rows):
        if kind == "jsonl":
            whole, _ = _whole(path, raw)
            if whole is not None:
                return _of_rows(list(enumerate(whole, start=1)), [], None)
        elif reason and not rows:  # a damaged file is no file of damaged lines
            rejects = [(1, reason, rejects[0][2])]
    return _of_rows(rows, rejects, [line.decode("utf-8", "replace") for line in lines])


def _whole(path, raw) -> tuple[list | None, str]:
    """The rows of a file that is one JSON value; or None, and the reason where it is none."""
    try:
        value = load_json(raw)
    except ValueError as error:
        return None, str(error)
    if isinstance(value, dict):
        value = _rows_in(path, value)
    return value if isinstance(value, list) else None, ""


def _rows_in(path, value: dict) -> list:
    """The rows in one JSON object: a list of records in it, columns, or the object itself."""
    names, parts = list(value), list(value.values())
    if {"columns", "data"} <= set(names) and isinstance(value["data"], list):  # pandas, "split"
        if all(isinstance(row, list) for row in value["data"]):
            return [dict(zip(value["columns"], row, strict=False)) for row in value["data"]]
    if parts and all(isinstance(part, dict) for part in parts):  # pandas, "columns" or "index"
        if all(name.isdigit() for name in names):
            return parts
        keys = dict.fromkeys(key for part in parts for key in part)
        return [{name: value[name].get(key) for name in names} for key in keys]
    lists = {name: part for name, part in value.items() if isinstance(part, list)}
    of_rows = [name for name, part in lists.items() if any(isinstance(x, dict) for x in part)]
    if len(of_rows) > 1:
        raise ValueError(
            f"{path} holds several lists of records ({', '.join(of_rows)}): give a file with one"
        )
    if of_rows:
        return lists[of_rows[0]]
    if len(lists) == len(names) and len({len(part) for part in parts}) == 1:  # by column
        return [dict(zip(names, row, strict=True)) for row in zip(*parts, strict=True)]
    return [value]


def _of_rows(rows, rejects, raw) -> Records:
    """Records from JSON values with their lines; a bare text is a row with the one column text."""
    good, rejects = [], list(rejects)
    for number, value in rows:
        if isinstance(value, str):
            good.append((number, {"text": value}))
        elif isinstance(value, dict):
            good.append((number, value))
        else:
            why = f"a JSON object is wanted, found {type(value).__name__}"
            if isinstance(value, Doubled):
                why = f"{value.name} stands twice in one object"
            text = raw[number - 1].strip() if raw else json.dumps(value, ensure_ascii=False)
            rejects.append((number, why, text))
    names = dict.fromkeys(name for _, value in good for name in value)
    columns = {name: [value.get(name) for _, value in good] for name in names}
    texts = [
        name for name, values in columns.items()
        if _mostly(isinstance(value, str) for value in values if value is not None)
    ]  # fmt: skip
    return Records(columns, [number for number, _ in good], sorted(rejects), texts, raw)


# ------------------------------------------------------------------ Parquet and Arrow
def read_arrow(path, kind="parquet", raw=None, choose=None):
    """The table of a Parquet or Arrow file.

    Parameters
    ----------
    path : path
    kind : "parquet" or "arrow"
        An Arrow file may be a stream, as `datasets` writes it.
    raw : bytes, optional
        The content, where it has been read.
    choose : function of a pyarrow.Schema, optional
        Names of the columns that are read; default all.

    Returns
    -------
    pyarrow.Table

    Raises
    ------
    FileNotFoundError, ValueError
        If the file is absent, or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(path)
    if not path.is_file():
        raise no_file(path)
    name = {"parquet": "Parquet", "arrow": "Arrow"}[kind]
    try:
        source = pa.BufferReader(raw) if raw is not None else pa.OSFile(str(path))
        with source:
            if kind == "parquet":
                file = pq.ParquetFile(source, page_checksum_verification=True)
                return file.read(columns=choose and choose(file.schema_arrow))
            try:
                table = pa.ipc.open_file(source).read_all()
            except pa.ArrowInvalid:
                source.seek(0)
                table = pa.ipc.open_stream(source).read_all()
            return table.select(choose(table.schema)) if choose else table
    except (pa.ArrowException, OSError) as error:
        said = str(error).strip().split("\n")[0][:200] or type(error).__name__
        raise ValueError(f"{path} is damaged or no {name} file: {said}") from None


def _of_arrow(path, kind, wanted, raw=None) -> Records:
    schema = None

    def choose(found):
        nonlocal schema
        schema = found
        twice = next((name for name in found.names if found.names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{path}: the column {twice} is there twice; rename one")
        return [field.name for field in found if _is_text(field.type) or field.name in wanted]

    table = read_arrow(path, kind, raw, choose)
    # What pandas keeps of an index is no column that anybody has written.
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    texts = [
        field.name for field in schema
        if _is_text(field.type) and field.name not in index
        and not field.name.startswith("__index_level_")
    ]  # fmt: skip
    columns = dict.fromkeys(schema.names)
    columns |= {name: _values(table.column(name)) for name in table.column_names}
    return Records(columns, list(range(1, table.num_rows + 1)), [], texts)


def _is_text(kind) -> bool:
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return any(
        getattr(pa.types, f"is_{name}", lambda _: False)(kind)
        for name in ("string", "large_string", "string_view")
    )


def _values(column) -> list:
    try:
        return column.to_pylist()
    except UnicodeDecodeError:  # one cell that is no UTF-8
        import pyarrow as pa

        def text(cell):
            try:
                return None if cell is None else cell.decode("utf-8")
            except UnicodeDecodeError:
                return cell

        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return [text(cell) for cell in column.cast(pa.large_binary()).to_pylist()]


# ------------------------------------------------------------------ in memory
def texts_in(source, column=None) -> list:
    """The texts of something in memory: a list, an array, a column, a table.

    Parameters
    ----------
    source : iterable, or anything with columns
        A sequence, generator, numpy array or Series of texts; a DataFrame, `datasets.Dataset`,
        Arrow table, dict of columns or list of records, of which one column is taken.
    column : str, optional
        Of a table; it can be left out where only one holds text.

    Returns
    -------
    list
        The values as they are, what is no text included.

    Raises
    ------
    ValueError
        For what holds no row of texts, a column that is absent, and several text columns.
    """
    import numpy as np
    import pandas as pd

    if isinstance(source, Mapping) and len(source) and not isinstance(source, pd.DataFrame):
        splits = [name for name, part in source.items() if hasattr(part, "column_names")]
        if splits:  # a DatasetDict
            if len(splits) > 1 and "train" not in splits:
                raise ValueError(f"give one of the splits {', '.join(map(str, splits))}")
            return texts_in(source["train" if "train" in splits else splits[0]], column)
        try:
            source = pd.DataFrame(dict(source))
        except (ValueError, TypeError) as error:
            raise ValueError(f"the premises are no table of columns: {error}") from None
    if isinstance(source, str | bytes):
        raise ValueError("a list of sentences is wanted, a single text was given")
    if isinstance(source, set | frozenset):
        raise ValueError("a set has no order, so no run could be repeated: give a list")
    if hasattr(source, "to_pandas"):
        source = source.to_pandas()
    if isinstance(source, np.ndarray):
        if source.ndim != 1:
            raise ValueError(
                f"an array of n sentences is wanted, given one of shape {source.shape}"
            )
        source = source.tolist()
    if not isinstance(source, pd.DataFrame):
        try:
            found = list(source)
        except TypeError:
            raise ValueError(
                "a file's name, a data set or a list of sentences is wanted, given "
                f"{type(source).__name__}"
            ) from None
        if not found or not all(isinstance(row, Mapping) for row in found):
            return found
        source = pd.DataFrame(found)
    names = [str(name) for name in source.columns]
    frame = source.set_axis(names, axis=1)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None and column in (None, twice):
        raise ValueError(f"the premises have the column {twice} twice; rename one")
    if column is None:
        texts = [
            name for name in names
            if _mostly(isinstance(value, str) for value in frame[name].dropna())
        ]  # fmt: skip
        column = text_column(names, texts, None, "the table of premises")
    return frame[text_column(names, names, column, "the table of premises")].tolist()


def text_column(names, texts, column, source) -> str:
    """The column that holds the sentences: the one that is asked for, or the only one with text."""
    if column is not None:
        if column not in names:
            raise ValueError(f"{source} has no column {column!r}; there are {', '.join(names)}")
        return column
    if len(texts) != 1:
        what = f"several text columns ({', '.join(texts)})" if texts else (
            f"no text column ({', '.join(names)})" if names else "no text column"
        )
        raise ValueError(f"{source} has {what}; say which one holds the sentences (--column NAME)")
    return texts[0]
