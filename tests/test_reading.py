"""Files as people have them: every format gives back what was written, faults have a line."""

import bz2
import gzip
import io
import itertools
import json
import lzma
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthlib import data, reading

THREE = ["One dog runs.", 'He said "no", twice.', "Ein Café – „gut“"]


def premises(path, **options):
    sentences, rejects = data.load_premises(path, **options)
    return sentences, [(row.line, row.reason) for row in rejects.itertuples()]


def table(texts=THREE):
    return pd.DataFrame({"id": range(len(texts)), "text": texts})


WRITTEN = {
    "p.txt": lambda t: "\n".join(t) + "\n",
    "p.jsonl": lambda t: table(t).to_json(orient="records", lines=True, force_ascii=False),
    "P.JSONL": lambda t: table(t).to_json(orient="records", lines=True),
    "p.ndjson": lambda t: table(t).to_json(orient="records", lines=True),
    "p.json": lambda t: table(t).to_json(orient="records", indent=1),
    "columns.json": lambda t: table(t).to_json(),
    "index.json": lambda t: table(t).to_json(orient="index"),
    "split.json": lambda t: table(t).to_json(orient="split"),
    "table.json": lambda t: table(t).to_json(orient="table"),
    "data.json": lambda t: json.dumps({"version": 1, "data": table(t).to_dict("records")}),
    "lists.json": lambda t: json.dumps(table(t).to_dict("list")),
    "plain.json": lambda t: json.dumps(t),
    "lines.json": lambda t: table(t).to_json(orient="records", lines=True),
    "array.jsonl": lambda t: table(t).to_json(orient="records", indent=1),
    "json.txt": lambda t: table(t).to_json(orient="records", lines=True),
    "array.txt": lambda t: table(t).to_json(orient="records", indent=1),
    "p.csv": lambda t: table(t).to_csv(index=False),
    "P.CSV": lambda t: table(t).to_csv(index=False),
    "index.csv": lambda t: table(t).to_csv(),
    "semicolon.csv": lambda t: table(t).to_csv(index=False, sep=";"),
    "tabs.csv": lambda t: table(t).to_csv(index=False, sep="\t"),
    "p.tsv": lambda t: table(t).to_csv(index=False, sep="\t"),
    "one.csv": lambda t: table(t)[["text"]].to_csv(index=False),
}


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(data_=st.data())
def test_what_was_written_is_read(tmp_path, name, data_):
    """Any texts without line ends, in every format, against `tidy` of what was written."""
    letters = st.characters(exclude_characters="\n\r\0", exclude_categories=["Cs", "Co", "Cn"])
    texts = data_.draw(st.lists(st.text(letters, min_size=1, max_size=12), min_size=1, max_size=5))
    texts = [f"w {text}" for text in texts]  # a JSON text or a table is another test
    if name.endswith(".txt") and all("\t" in text for text in texts):
        return
    content = WRITTEN[name](texts)
    (tmp_path / name).write_bytes(content.encode("utf-8"))
    sentences, rejects = premises(tmp_path / name)
    assert sentences == [reading.tidy(text) for text in texts] and not rejects


@pytest.mark.parametrize("name", WRITTEN)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings_line_ends_and_packing(tmp_path, name, encoding):
    packs = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    for (suffix, pack), ends in itertools.product(packs.items(), ("\n", "\r\n", "\r")):
        content = WRITTEN[name](THREE).replace("\n", ends).encode(encoding)
        (tmp_path / (name + suffix)).write_bytes(pack(content))
        assert premises(tmp_path / (name + suffix)) == (THREE, []), (suffix, ends)


def arrow_tables():
    texts = pa.array(THREE)
    beside = pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64()))
    struct = pa.array([{"u": "x"}, None, {"u": "y"}])
    yield "string_view", pa.table({"text": texts.cast(pa.string_view())})
    yield "large_string", pa.table({"text": texts.cast(pa.large_string())})
    yield "dictionary", pa.table({"text": texts.dictionary_encode()})
    yield "map", pa.table({"text": texts, "meta": beside})
    yield "struct", pa.table({"meta": struct, "text": texts, "n": pa.array([1, 2, 3])})
    yield "vectors", pa.table({"text": texts, "v": pa.array([[0.1] * 3] * 3)})
    frame = pd.DataFrame({"text": THREE}, index=["x", "y", "z"])
    yield "string index", pa.Table.from_pandas(frame)
    yield "named index", pa.Table.from_pandas(frame.rename_axis("key"))
    yield "dots", pa.table({"a.b": texts, "a": struct})


@pytest.mark.parametrize("kind, made", list(arrow_tables()))
def test_parquet_and_arrow_as_people_have_them(tmp_path, kind, made):
    pq.write_table(made, tmp_path / "p.parquet")
    pq.write_table(made, tmp_path / "no_suffix")
    with pa.ipc.new_file(str(tmp_path / "p.arrow"), made.schema) as writer:
        writer.write_table(made)
    with pa.ipc.new_stream(str(tmp_path / "s.arrow"), made.schema) as writer:
        writer.write_table(made)
    (tmp_path / "p.parquet.gz").write_bytes(gzip.compress((tmp_path / "p.parquet").read_bytes()))
    for name in ("p.parquet", "p.parquet.gz", "no_suffix", "p.arrow", "s.arrow"):
        assert premises(tmp_path / name) == (THREE, []), name
    # … and as a data set
    again = data.load(tmp_path / "p.parquet")
    assert list(again["a.b" if kind == "dots" else "text"]) == THREE


def test_parquet_that_is_refused_in_one_line(tmp_path):
    file = tmp_path / "p.parquet"
    two = pa.table([pa.array(THREE), pa.array(THREE)], names=["text", "text"])
    pq.write_table(two, file)
    for read in (premises, data.load, data.load_labelled):
        with pytest.raises(ValueError, match="p.parquet: the column text is there twice"):
            read(file)
    pq.write_table(pa.table({"n": [1], "m": [{"u": 1}]}), file)
    with pytest.raises(ValueError, match=r"no text column \(n, m\); say which"):
        premises(file)
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), file)
    with pytest.raises(ValueError, match="p.parquet holds no sentence, it is empty"):
        premises(file)
    for content in (b"", b"PAR1", b"PAR1" + bytes(50) + b"PAR1"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="p.parquet is damaged or no Parquet file") as raised:
            premises(file)
        assert "\n" not in str(raised.value)
    (tmp_path / "p.arrow").write_bytes(b"ARROW1" + bytes(20))
    with pytest.raises(ValueError, match="p.arrow is damaged or no Arrow file"):
        premises(tmp_path / "p.arrow")


def test_a_cell_that_is_no_utf8_is_one_reject(tmp_path):
    column = pa.array([b"One.", b"caf\xe9", b"Two."]).view(pa.string())
    pq.write_table(pa.table({"text": column}), tmp_path / "p.parquet")
    assert premises(tmp_path / "p.parquet") == (["One.", "Two."], [(2, "no text but bytes")])


def test_folders(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    pd.DataFrame({"text": ["a"]}).to_parquet(folder / "0.parquet")
    pd.DataFrame({"text": ["b"], "note": ["x"]}).to_parquet(folder / "1.parquet")
    (folder / "README.md").write_text("# about")
    (folder / "LICENSE.txt").write_text("All of it.")
    assert premises(folder) == (["a", "b"], [])
    found, _ = data.read_premises(folder)
    assert found["file"].tolist() == [str(folder / "0.parquet"), str(folder / "1.parquet")]
    with pytest.raises(ValueError, match="0.parquet has no column 'note'; there are text"):
        premises(folder, column="note")
    # the training part alone, as `datasets` takes it
    for name in ("train-0", "train-1", "test-0"):
        pd.DataFrame({"text": [name]}).to_csv(folder / f"{name}.csv", index=False)
    with pytest.raises(ValueError, match=r"several formats \(csv, parquet\)|holds files of"):
        for file in folder.glob("train*"):
            file.rename(folder / file.name.replace("train", "more"))
        premises(folder)
    for file in folder.glob("*.parquet"):
        file.unlink()
    for file in folder.glob("more*"):
        file.rename(folder / file.name.replace("more", "train"))
    assert premises(folder) == (["train-0", "train-1"], [])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="holds no file of text"):
        premises(empty)


def test_what_datasets_has_saved(tmp_path):
    from datasets import Dataset, DatasetDict

    one = Dataset.from_dict({"text": THREE, "n": [1, 2, 3]})
    one.save_to_disk(str(tmp_path / "one"))
    DatasetDict(train=one, test=one.select([0])).save_to_disk(str(tmp_path / "two"))
    assert premises(tmp_path / "one") == premises(tmp_path / "two") == (THREE, [])
    [shard] = (tmp_path / "one").glob("*.arrow")
    assert premises(shard) == (THREE, [])
    shard.write_bytes(b"x")
    with pytest.raises(ValueError, match="one is no whole data set"):
        premises(tmp_path / "one")


# ---------------------------------------------------------------- tables
def test_simcse_s_own_file(tmp_path):
    file = tmp_path / "nli_for_simcse.csv"
    rows = [("x y.", 'u, "v"', "r"), ("NA", "None", "null"), ("a", "", "c")]
    pd.DataFrame(rows, columns=["sent0", "sent1", "hard_neg"]).to_csv(file, index=False)
    with pytest.raises(ValueError, match=r"several text columns \(sent0, sent1, hard_neg\)"):
        premises(file)
    assert premises(file, column="sent0") == (["x y.", "NA", "a"], [])
    assert premises(file, column="sent1") == (['u, "v"', "None"], [(4, "blank")])
    with pytest.warns(UserWarning, match="1 rows are no triplet .*line 4, sent1 is no text: ''"):
        assert data.load_labelled(file) == rows[:2]
    got, rejects = data.load_triplets(file)
    assert got.to_pandas()[list(data.TRIPLET)].values.tolist() == [list(row) for row in rows[:2]]
    assert rejects["line"].tolist() == [4]


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.txt"])
@pytest.mark.parametrize(
    "first", ["A dog runs.\tA cat.", "12\tA cat sits", "今天天气很好我们走吧\tA cat", "yes\tyes"]
)
def test_a_table_without_a_header_is_refused(tmp_path, name, first):
    file = tmp_path / name
    file.write_text(f"{first}\nHe eats.\tHe sits.\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"{name}, line 1: |{name} is no text|is there twice"):
        premises(file)
    with pytest.raises(ValueError, match=f"{name}, line 1: "):
        premises(file, column="text")
    file.write_text(f"the first\tthe second\n{first}\n", encoding="utf-8")
    assert premises(file, column="the second")[0] == [first.split("\t")[1]]


def test_a_text_file_that_is_a_table(tmp_path):
    file = tmp_path / "p.txt"
    for content in ("1\tOne.\n2\tTwo.\n", "sent0,sent1,hard_neg\na,b,c\n", "text,label\nA.,1\n"):
        file.write_text(content)
        with pytest.raises(ValueError, match="p.txt is no text with a sentence a line but a table"):
            premises(file)
    for content in ("One.\tmore\nTwo.\n", "Yes, no, maybe\nTwo.\n", "One.\tmore\n"):
        file.write_text(content)
        assert len(premises(file)[0]) == content.count("\n")


def test_rows_of_another_length_are_rejects(tmp_path):
    file = tmp_path / "p.csv"
    file.write_text('id,text\n1,"One,\ntwo."\n2,Hello, you\n\n3\n4,Four.\n5,Five.,,\n')
    sentences, rejects = premises(file)
    assert sentences == ["One, two.", "Four.", "Five."]
    assert [line for line, _ in rejects] == [4, 5, 6]
    assert rejects[0][1].startswith("2 columns are wanted, found 3; a text with commas must")
    # a quotation mark that is never closed costs its line, not the rest of the file
    file.write_text('id,text\n1,"One.\n2,Two.\n3,"Three" is\n4,"Four."\n' + "5," + "x" * 200_000)
    sentences, rejects = premises(file)
    assert sentences == ["Two.", "Four.", "x" * 200_000]
    assert [(line, reason[:23]) for line, reason in rejects] == [
        (2, "a quotation mark is out"), (4, "a quotation mark is out")
    ]  # fmt: skip
    file.write_text('id,text\n' + '1,"One" is\n' * 102)
    with pytest.raises(ValueError, match="p.csv, line 2 and 100 more: a quotation mark is out of"):
        premises(file)


def test_tabs_with_and_without_quotes(tmp_path):
    file = tmp_path / "p.tsv"
    file.write_text('text\tn\n"A" b\t1\n" c\t2\n')
    assert premises(file) == (['"A" b', '" c'], [])
    file.write_text('text\tn\n"a\tb"\t1\n"say ""x"""\t2\n')
    assert premises(file) == (["a b", 'say "x"'], [])


# ---------------------------------------------------------------- lines
def test_what_ends_a_line(tmp_path):
    file = tmp_path / "p.txt"
    for content in (b"A.\rB.\rC.\r", b"A.\rB.\nC.\r\n", b"A.\r\nB.\r\nC."):
        file.write_bytes(content)
        assert premises(file) == (["A.", "B.", "C."], [])
    inside = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
    file.write_text("".join(f"A{c}B\n" for c in inside), encoding="utf-8", newline="")
    assert premises(file) == (["A B"] * len(inside), [])
    lines = [json.dumps({"text": f"A{c}B"}, ensure_ascii=False) for c in inside]
    (tmp_path / "p.jsonl").write_text("\n".join(lines), encoding="utf-8", newline="")
    assert premises(tmp_path / "p.jsonl") == (["A B"] * len(inside), [])


def test_bytes_that_are_no_utf8(tmp_path):
    file = tmp_path / "p.txt"
    file.write_bytes("Café.\n".encode() + b"\x93caf\xe9\x94 \x80 5\n\x81\n" + b"x \x9d\n")
    with pytest.warns(UserWarning, match="line 2 and 2 more: not UTF-8, read as Windows-1252"):
        found = reading.read_lines(file)
    assert found == ["Café.", "“café” € 5", "\x81", "x \x9d"]
    for code in range(0x80, 0x100):  # against Python's own table, and Latin-1 where it is empty
        file.write_bytes(b"x" + bytes([code]))
        with pytest.warns(UserWarning, match="not UTF-8"):
            [line] = reading.read_lines(file)
        try:
            assert line == "x" + bytes([code]).decode("cp1252")
        except UnicodeDecodeError:
            assert line == "x" + chr(code)
    file.write_bytes(b"caf\xe9\n")
    with pytest.warns(UserWarning, match="line 1: not UTF-8, read as Latin-1") as caught:
        reading.read_lines(file)
    assert len(caught) == 1


UNSEEN = [
    "\u200b", "\ufeff", "\u2060", "\xad", "\xa0", "\x07", "\x1b", "\u200d", "\u200e", "\u3000",
    "\u180e", "\u2800", "\u3164", "\u034f", "\ufe0f", "\U000e0020", " \u200b\t\u2060 ", "\u0301",
]  # fmt: skip


@pytest.mark.parametrize("unseen", UNSEEN)
def test_blank_that_is_not_blank(tmp_path, unseen):
    assert reading.tidy(unseen) == "" and reading.fault(unseen) == "blank"
    file = tmp_path / "p.txt"
    file.write_text(f"One.\n{unseen}\nTwo.\n", encoding="utf-8")
    assert premises(file) == (["One.", "Two."], [(2, "blank")])
    assert data.load_premises(["One.", unseen, "Two."])[1]["line"].tolist() == [2]
    row = {"anchor": "x", "positive": unseen, "negative": "z"}
    (tmp_path / "t.jsonl").write_text(json.dumps(row) + "\n" + json.dumps(row | {"positive": "y"}))
    _, rejects = data.load_triplets(tmp_path / "t.jsonl")
    assert rejects["line"].tolist() == [1] and "positive is no text" in rejects["reason"][0]


def test_what_stands_inside_a_sentence_stays():
    for text in ("می\u200cخواهم", "👩\u200d👧", "❤\ufe0f", "🏴\U000e0067\U000e007f", "co\xadop"):
        assert reading.tidy(f" \u200b{text}\u2060\x00\xad ") == text
    assert reading.tidy("One.\ufeffTwo.") == "One. Two."


def test_joined_files(tmp_path):
    file = tmp_path / "p.txt"
    mark = b"\xef\xbb\xbf"
    file.write_bytes(mark + b"One.\n" + mark + b"Two.\n" + mark)
    assert premises(file) == (["One.", "Two."], [(3, "blank")])
    line = b'{"text": "x"}\n'
    (tmp_path / "p.jsonl").write_bytes(mark + line + mark + line)
    assert premises(tmp_path / "p.jsonl") == (["x", "x"], [])


def test_zero_bytes_cost_a_line(tmp_path):
    (tmp_path / "p.txt").write_bytes(b"One.\nT\0wo.\nThree.\n")
    sentences, [(line, reason)] = premises(tmp_path / "p.txt")
    assert sentences == ["One.", "Three."] and line == 2 and "zero bytes" in reason
    (tmp_path / "p.txt").write_bytes("One.\nTwo.\n".encode("utf-16-le"))  # no mark
    with pytest.raises(ValueError, match="holds no sentence: line 1: zero bytes: .*not in UTF-8"):
        premises(tmp_path / "p.txt")


# ---------------------------------------------------------------- files that are none of these
@pytest.mark.parametrize(
    "name, content, words",
    [
        ("p.xlsx", b"PK\x03\x04" + bytes(9), "a spreadsheet or a zip archive"),
        ("p.xlsx", b"what", "save it as CSV"),
        ("p.txt", b"%PDF-1.7", "a PDF"),
        ("p.txt", b"<!DOCTYPE html><html>", "a page of the web"),
        ("p.csv", b"\n<html>", "a page of the web"),
        ("p.txt", b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        ("p.txt.gz", b"\x1f\x8b\x08" + bytes(20), "damaged and cannot be unpacked"),
        ("p.txt.gz", gzip.compress(b"One. " * 99, mtime=0)[:-20], "damaged and cannot be unpacked"),
        ("p.txt.bz2", b"BZh91AY" + bytes(9), "damaged and cannot be unpacked"),
        ("p.txt", b"\xff\xfeO\x00\x00", "damaged: no UTF-16"),
        ("p.jsonl", b"", "holds no sentence, it is empty"),
        ("p.csv", b"text\n", "holds no sentence, it is empty"),
        ("p.json", b"{", "holds no sentence: line 1: no JSON"),
        ("p.json", b'{"a": [{"t": "x"}], "b": [{"t": "y"}]}', r"several lists of records \(a, b\)"),
        ("p.txt", b"", "holds no sentence, it is empty"),
        ("p.txt", b"\n \n", "holds no sentence, it is empty"),
    ],
)
def test_what_is_refused(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words) as raised:
        premises(tmp_path / name)
    assert name in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["no.csv", "no.tsv.gz", "no.jsonl", "NO.JSON", "no.arrow"])
def test_an_absent_file_is_no_data_set_of_the_hub(name):
    with pytest.raises(FileNotFoundError, match=f"file not found: {name}"):
        premises(name)


# ---------------------------------------------------------------- JSON that nothing can hold
GOOD = {"anchor": "x", "positive": "y", "negative": "z"}
ODD = {
    '{"anchor": "cut \\ud83d", "positive": "y", "negative": "z"}': "half of a character",
    '{"anchor": "x", "positive": "\\udc00 y", "negative": "z"}': "half of a character",
    json.dumps(GOOD)[:-1] + ', "a": 1' + "0" * 400 + "}": "16 digits or more, outside",
    json.dumps(GOOD)[:-1] + ', "a": 1' + "0" * 5000 + "}": "no JSON",
    json.dumps(GOOD)[:-1] + ', "a": 1e999}': "inf, outside",
    json.dumps(GOOD)[:-1] + ', "b": -Infinity}': "-inf, outside",
    json.dumps(GOOD)[:-1] + ', "a": "4.5"}': "the score a is no number",
    json.dumps(GOOD)[:-1] + ', "a": [4]}': "the score a is no number",
    '{"anchor": {"t": "x"}, "positive": "y", "negative": "z"}': "anchor is no text",
    '{"anchor": ["x"], "positive": "y", "negative": "z"}': "anchor is no text",
    json.dumps(GOOD)[:-1] + ', "anchor": "w"}': "anchor stands twice",
    '{"anchor": "x\\u0000y", "positive": "y", "negative": "z"}': "zero bytes",
    '["x", "y", "z"]': "a JSON object is wanted, found list",
    "17": "a JSON object is wanted, found int",
    "null": "a JSON object is wanted, found NoneType",
}


@pytest.mark.parametrize("line", ODD)
def test_one_odd_line_is_one_reject(tmp_path, line):
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join([json.dumps(GOOD), line, json.dumps(GOOD)]))
    rows, rejects = data.load_triplets(file)
    assert len(rows) == 2 and rejects["line"].tolist() == [2]
    assert ODD[line] in rejects["reason"][0] and len(rejects["reason"][0]) < 200
    data.save_rejects(tmp_path / "r.jsonl", rejects)
    assert json.loads((tmp_path / "r.jsonl").read_text(encoding="utf-8"))["line"] == 2
    lists = [dict(anchor="x", sentences=["y"]), dict(anchor="cut \ud83d", sentences=["y"]),
             dict(anchor="x", sentences=["\udc00"])]  # fmt: skip
    file.write_text("\n".join(map(json.dumps, lists)))
    found, rejects = data.load_ranking_lists(file)
    assert found == [["x", "y"]] and rejects["line"].tolist() == [2, 3]


def test_odd_rows_of_one_json_value(tmp_path):
    file = tmp_path / "t.json"
    good, odd = json.dumps(GOOD), [line for line in ODD if "0" * 5000 not in line]
    file.write_text(f"[{good},\n" + ",\n".join(odd) + f",\n{good}]")
    rows, rejects = data.load_triplets(file)
    assert len(rows) == 2 and rejects["line"].tolist() == list(range(2, len(odd) + 2))
    for reason, line in zip(rejects["reason"], odd, strict=True):
        assert ODD[line] in reason
    file.write_bytes(b'[\n{"anchor": "caf\xe9"}\n]')
    with pytest.raises(ValueError, match="t.json holds no triplet: line 1: not in UTF-8"):
        data.load_triplets(file)
    file.write_text('[\n{"anchor": "x"},\n{"anchor"]')
    with pytest.raises(ValueError, match=r"line 1: no JSON \(Expecting ':' delimiter: line 3"):
        data.load_triplets(file)


def test_triplets_and_lists_in_other_formats(tmp_path):
    frame = pd.DataFrame([GOOD | {"a": 4.5, "b": None}] * 3)
    frame.loc[1, "a"] = 7
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_json(tmp_path / "t.json", orient="records")
    frame.to_parquet(tmp_path / "t.parquet")
    for name in ("t.csv", "t.tsv", "t.json", "t.parquet"):
        rows, rejects = data.load_triplets(tmp_path / name)
        assert list(rows["a"]) == [4.5, 4.5] and pd.isna(list(rows["b"])).all(), name
        assert len(rejects) == 1 and "outside [0.0, 5.0]" in rejects["reason"][0]
    lists = pd.DataFrame({"anchor": ["x"], "sentences": [["y", "z"]]})
    lists.to_json(tmp_path / "l.json", orient="records")
    lists.to_parquet(tmp_path / "l.parquet")
    for name in ("l.json", "l.parquet"):
        assert data.load_ranking_lists(tmp_path / name)[0] == [["x", "y", "z"]]
    lists.to_csv(tmp_path / "l.csv", index=False)
    (tmp_path / "l.txt").write_text("x\ny\n")
    for read, words in ((data.load_ranking_lists, "anchor and sentences"),
                        (data.load_triplets, "anchor, positive, negative"),
                        (data.load_labelled, "anchor, positive, negative")):  # fmt: skip
        with pytest.raises(ValueError, match=f"l.txt is lines of text: .*{words}"):
            read(tmp_path / "l.txt")
    with pytest.raises(ValueError, match="l.csv holds no ranking list: line 2: sentences is no"):
        data.load_ranking_lists(tmp_path / "l.csv")
    (tmp_path / "x.json").write_text('[{"text": "x", "n": 1}]')
    for read, words in ((data.load_triplets, "triplets"), (data.load_labelled, "triplets"),
                        (data.load_ranking_lists, "ranking lists")):  # fmt: skip
        with pytest.raises(ValueError, match=f"x.json has .*{words} have .*anchor") as raised:
            read(tmp_path / "x.json")
        assert "text, n" in str(raised.value)


# ---------------------------------------------------------------- in memory
def in_memory():
    from datasets import Dataset, DatasetDict

    frame = pd.DataFrame({"n": range(3), "text": THREE}, index=["x", "y", "z"])
    yield "list", THREE
    yield "tuple", tuple(THREE)
    yield "generator", (text for text in THREE)
    yield "Series", frame["text"]
    yield "objects", frame["text"].astype(object)
    yield "categories", frame["text"].astype("category")
    yield "DataFrame", frame
    yield "array", np.array(THREE)
    yield "object array", np.array(THREE, dtype=object)
    yield "Dataset", Dataset.from_pandas(frame, preserve_index=False)
    yield "column", Dataset.from_pandas(frame)["text"]
    yield "DatasetDict", DatasetDict(train=Dataset.from_pandas(frame, preserve_index=False))
    yield "Arrow", pa.table({"text": THREE, "n": [1, 2, 3]})
    yield "Arrow array", pa.array(THREE)
    yield "dict", {"text": THREE, "n": [1, 2, 3]}
    yield "records", [{"text": text} for text in THREE]


@pytest.mark.parametrize("kind, source", list(in_memory()))
def test_premises_in_memory(kind, source):
    assert premises(source) == (THREE, []), kind


def test_what_is_no_text_in_memory_is_a_reject():
    odd = ["a", None, np.nan, pd.NA, 7, b"b", ["c"], "\ud83d x", "d"]
    for source in (odd, pd.Series(odd), pd.DataFrame({"text": odd}), np.array(odd, dtype=object)):
        sentences, rejects = premises(source)
        assert sentences == ["a", "d"] and [line for line, _ in rejects] == list(range(2, 9))


@pytest.mark.parametrize(
    "source, words",
    [
        (np.array([THREE]), r"n sentences is wanted, given one of shape \(1, 3\)"),
        (np.array("x"), r"given one of shape \(\)"),
        ({"b", "a"}, "a set has no order"),
        (7, "a list of sentences is wanted, given int"),
        (b"x", "a single text was given"),
        (pd.DataFrame({"u": ["x"], "v": ["y"]}), r"several text columns \(u, v\)"),
        (pd.DataFrame({"u": [1]}), r"no text column \(u\)"),
        (pd.DataFrame([["x", "y"]], columns=["u", "u"]), "column u twice"),
        ({"u": ["x"], "v": ["y", "z"]}, "no table of columns"),
        (pd.DataFrame({"text": []}), "no text column|holds no sentence"),
    ],
)
def test_what_is_refused_in_memory(source, words):
    with pytest.raises(ValueError, match=words):
        data.load_premises(source)


def test_a_column_in_memory():
    frame = pd.DataFrame({"u": ["x"], "v": ["y"]})
    assert premises(frame, column="v")[0] == ["y"]
    with pytest.raises(ValueError, match="no column 'w'; there are u, v"):
        premises(frame, column="w")


def test_no_warning_without_a_cause(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for name in ("p.csv", "p.jsonl", "p.txt"):
            (tmp_path / name).write_text(WRITTEN[name](THREE), encoding="utf-8")
            premises(tmp_path / name)
        buffer = io.BytesIO()
        table().to_parquet(buffer)
        (tmp_path / "p.parquet").write_bytes(buffer.getvalue())
        premises(tmp_path / "p.parquet")
