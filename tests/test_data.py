"""Data sets that say how they were made, readers that lose nothing in silence, varied anchors."""

import errno
import json
import os

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset

from synthlib import data, tiers

ROWS = [("a dog runs", "a dog is running", "no dog runs"), ("é “x”", "y", "z\tz")]
ORIGIN = data.origin_of("multicsr", tier="pocket", seeds={"seed": 3}, counts={"kept": 2})


# ---------------------------------------------------------------- data sets with an origin
def test_triplets_and_their_origin_survive_a_file(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["anchor", "positive", "negative"])
    frame = frame.assign(a=[4.5, np.nan], kept=[True, False])
    made = data.triplets(frame[["kept", "a", "negative", "anchor", "positive"]], origin=ORIGIN)
    assert made.column_names[:3] == ["anchor", "positive", "negative"]
    data.save(made, tmp_path / "t.parquet")
    again = data.load(tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(again.to_pandas()[list(frame)], frame)
    assert data.provenance(again) == ORIGIN
    assert set(ORIGIN["versions"]) >= {"synthlib", "torch"}
    # the note travels on, and a plain reader finds it too
    assert data.provenance(again.select([1])) == ORIGIN
    import pyarrow.parquet as pq

    metadata = pq.read_schema(tmp_path / "t.parquet").metadata
    assert json.loads(metadata[b"synthlib"]) == ORIGIN
    assert data.provenance(data.triplets(again)) == ORIGIN


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        data.save(data.triplets(ROWS, origin=ORIGIN), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_ranking_lists(tmp_path):
    lists = [["a", "b", "c"], ["d"]]
    data.save(data.ranking_lists(lists, origin={"steps": 2}), tmp_path / "l.parquet")
    again = data.load(tmp_path / "l.parquet")
    assert [[row["anchor"], *row["sentences"]] for row in again] == lists
    assert data.provenance(again) == {"steps": 2}


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: data.triplets([("a", "b")]), r"row 0 is \('a', 'b'\): a triplet is three"),
        (lambda: data.triplets(["abc"]), "row 0 is 'abc'"),
        (lambda: data.triplets(pd.DataFrame({"anchor": ["a"], "p": ["b"]})), "positive, negative"),
        (lambda: data.ranking_lists(["abc"]), "list 0 is 'abc'"),
        (lambda: data.ranking_lists([[]]), r"list 0 is \[\]"),
    ],
)
def test_what_is_no_data_set(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_damaged_and_absent_files(tmp_path):
    file = data.save(data.triplets(ROWS * 50), tmp_path / "t.parquet")
    content = file.read_bytes()
    for damage in (content[:100], content[:-1], b""):
        file.write_bytes(damage)
        with pytest.raises(ValueError, match="t.parquet is damaged"):
            data.load(file)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        data.load(tmp_path / "nowhere.parquet")
    with pytest.raises(FileNotFoundError, match="make it"):
        data.save(data.triplets(ROWS), tmp_path / "no" / "t.parquet")


def test_a_flipped_bit_in_a_page_is_never_read_as_another_text(tmp_path):
    file = data.save(data.triplets(ROWS * 50), tmp_path / "t.parquet")
    content, noticed = file.read_bytes(), 0
    pages = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for place in range(0, pages, 3):
        file.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            assert data.load(file).to_pandas().equals(data.triplets(ROWS * 50).to_pandas())
        except ValueError:
            noticed += 1
    assert noticed > pages / 9


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path, monkeypatch):
    file = data.save(data.triplets(ROWS), tmp_path / "t.parquet")
    before = file.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="the disk is full: .*t.parquet could not be written"):
        data.save(data.triplets(ROWS[:1]), file)
    assert file.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


# ---------------------------------------------------------------- sentences
def test_premises_from_a_text_file(tmp_path):
    file = tmp_path / "p.txt"
    file.write_bytes("\ufeffone  two\n\n \t\nthree\r\nfour\u2028five".encode())
    sentences, rejects = data.load_premises(file)
    assert sentences == ["one two", "three", "four five"]
    assert rejects["line"].tolist() == [2, 3] and set(rejects["reason"]) == {"blank"}
    assert data.load_premises(str(file))[0] == sentences


def test_premises_from_a_parquet_file(tmp_path):
    file = tmp_path / "p.parquet"
    pd.DataFrame({"number": [1, 2, 3], "text": ["x", None, "y"]}).to_parquet(file)
    sentences, rejects = data.load_premises(file)
    assert sentences == ["x", "y"]
    assert rejects.to_dict("records") == [{"line": 2, "reason": "no text but NoneType",
                                           "text": "None"}]  # fmt: skip
    pd.DataFrame({"u": ["x"], "v": ["y"]}).to_parquet(file)
    with pytest.raises(ValueError, match=r"several text columns \(u, v\)"):
        data.load_premises(file)
    assert data.load_premises(file, column="v")[0] == ["y"]
    with pytest.raises(ValueError, match="no column 'w'; there are u, v"):
        data.load_premises(file, column="w")
    pd.DataFrame({"u": [1]}).to_parquet(file)
    with pytest.raises(ValueError, match="no text column"):
        data.load_premises(file)


def test_premises_from_a_folder_as_a_data_set_and_a_corpus(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "set"
    folder.mkdir()
    pd.DataFrame({"sent0": ["x", "y"], "sent1": ["u", "v"], "hard_neg": ["r", "s"]}).to_csv(
        folder / "nli.csv", index=False
    )
    corpus = tiers.Corpus(str(folder), ("sent0", "sent1", "hard_neg"), file="nli.csv")
    assert data.load_premises(corpus)[0] == ["x", "y"]
    assert data.load_premises(str(folder), column="sent1")[0] == ["u", "v"]
    assert data.load_labelled(corpus) == [("x", "u", "r"), ("y", "v", "s")]


def test_premises_of_the_pocket_world_and_of_a_list():
    from synthlib.world import corpora

    assert data.load_premises("pocket", n=5, seed=2)[0] == corpora.premises(5, 2)
    assert data.load_premises(n=3, language="tavi")[0] == corpora.premises(3, 0, language="tavi")
    sentences, rejects = data.load_premises(["a", " ", 7, "b"])
    assert sentences == ["a", "b"] and rejects["line"].tolist() == [2, 3]
    assert rejects["reason"].tolist() == ["blank", "no text but int"]


def test_n_draws_in_order_and_by_the_seed():
    many = [f"s {i}" for i in range(100)]
    one, two = (data.load_premises(many, n=20, seed=seed)[0] for seed in (0, 1))
    assert one == sorted(one, key=many.index) and len(set(one)) == 20
    assert one != two and one == data.load_premises(many, n=20, seed=0)[0]
    assert data.load_premises(many, n=200)[0] == many


@pytest.mark.parametrize(
    "source, error, words",
    [
        ("nowhere.txt", FileNotFoundError, "file not found: nowhere.txt"),
        ("/nowhere", FileNotFoundError, "file not found: /nowhere"),
        ("nobody/nothing", OSError, "the data set nobody/nothing cannot be had: .*Parquet file"),
        ([], ValueError, "holds no sentence"),
        (["", " "], ValueError, "holds no sentence"),
    ],
)
def test_premises_that_cannot_be_had(source, error, words):
    with pytest.raises(error, match=words) as raised:
        data.load_premises(source)
    assert "\n" not in str(raised.value)
    with pytest.raises(ValueError, match="n must be at least 1"):
        data.load_premises(["a"], n=0)


def test_labelled_corpora(tmp_path):
    from synthlib.world import corpora

    assert data.load_labelled("pocket", n=4, seed=1) == corpora.triplets(4, 1)
    file = data.save(data.triplets(ROWS), tmp_path / "t.parquet")
    assert data.load_labelled(file) == ROWS
    lines = [json.dumps(dict(zip(data.TRIPLET, row, strict=True))) for row in ROWS]
    (tmp_path / "t.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert [row[0] for row in data.load_labelled(tmp_path / "t.jsonl")] == ["a dog runs", "é “x”"]
    assert data.load_labelled(file, n=1) in ([ROWS[0]], [ROWS[1]])


# ---------------------------------------------------------------- triplets of others
GOOD = '{"anchor": "x", "positive": "y  y", "negative": "z"}'
BAD = {
    "": "blank",
    "{": "no JSON",
    "[1]": "a JSON object is wanted, found list",
    '{"anchor": "x", "positive": "y"}': "negative is missing",
    '{"anchor": "x", "positive": " ", "negative": "z"}': "positive is no text",
    '{"anchor": 3, "positive": "y", "negative": "z"}': "anchor is no text: 3",
    GOOD[:-1] + ', "a": "4"}': "the score a is no number: '4'",
    GOOD[:-1] + ', "a": true}': "the score a is no number: True",
    GOOD[:-1] + ', "b": 5.9}': r"the score b is 5.9, outside \[0.0, 5.0\]",
    GOOD[:-1] + ', "b": -1}': "the score b is -1, outside",
    "[" * 100_000: "no JSON",
}


def test_triplets_of_an_api_and_the_lines_that_cannot_be_read(tmp_path):
    file = tmp_path / "t.jsonl"
    scored = GOOD[:-1] + ', "a": 5, "b": null, "id": 9}'
    file.write_bytes("\n".join([GOOD, *BAD, scored]).encode() + b"\n\xff\xfe\n")
    rows, rejects = data.load_triplets(file)
    frame = rows.to_pandas()
    assert frame[list(data.TRIPLET)].values.tolist() == [["x", "y y", "z"]] * 2
    assert frame["line"].tolist() == [1, len(BAD) + 2]
    assert frame["a"].isna().tolist() == [True, False] and frame["b"].isna().all()
    assert rejects["line"].tolist() == [*range(2, len(BAD) + 2), len(BAD) + 3]
    for reason, words in zip(rejects["reason"], [*BAD.values(), "not in UTF-8"], strict=True):
        assert pd.Series(reason).str.match(words).all(), (reason, words)
    data.save_rejects(tmp_path / "r.jsonl", rejects)
    kept = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [row["line"] for row in kept] == rejects["line"].tolist()
    assert kept[3]["text"] == '{"anchor": "x", "positive": "y"}'
    data.save_rejects(tmp_path / "r.jsonl", rejects[:0])
    assert not (tmp_path / "r.jsonl").exists()


def test_triplets_without_scores_have_no_columns_for_them(tmp_path):
    file = tmp_path / "t.jsonl"
    file.write_text(GOOD + "\n" + GOOD[:-1] + ', "a": NaN}')
    rows, rejects = data.load_triplets(file)
    assert isinstance(rows, Dataset) and "a" not in rows.column_names and not len(rejects)
    assert data.provenance(rows)["file"] == "t.jsonl"


def test_a_file_without_a_triplet(tmp_path):
    file = tmp_path / "t.jsonl"
    for content, words in (("", "holds no triplet, it is empty"), ("x\n{", "line 1: no JSON")):
        file.write_text(content)
        with pytest.raises(ValueError, match=words):
            data.load_triplets(file)
    with pytest.raises(FileNotFoundError, match="file not found"):
        data.load_triplets(tmp_path / "nowhere.jsonl")


# ---------------------------------------------------------------- anchors
def blobs(count=6, each=30, d=5, seed=0):
    rng = np.random.default_rng(seed)
    centres = 50 * np.eye(count, d + count)[:, : d + count]
    rows = np.repeat(centres, each, axis=0) + rng.normal(size=(count * each, d + count))
    order = rng.permutation(len(rows))
    return rows[order], np.repeat(np.arange(count), each)[order]


def test_kmeans_draws_the_same_number_from_each_cluster():
    rows, blob = blobs()
    for seed in range(5):
        chosen = data.kmeans_sample(rows, clusters=6, per_cluster=4, seed=seed)
        assert chosen.dtype.kind == "i" and (np.diff(chosen) > 0).all()
        # one cluster a blob, or two blobs in one and one blob in two: 24 rows in all
        assert len(chosen) == 24
        assert len(set(blob[chosen])) >= 5
        again = data.kmeans_sample(rows, clusters=6, per_cluster=4, seed=seed)
        assert (chosen == again).all()
    drawn = [tuple(data.kmeans_sample(rows, 6, 4, seed=seed)) for seed in range(5)]
    assert len(set(drawn)) == 5


def test_kmeans_is_fairer_than_chance():
    """Of a corpus with one huge and many small topics, all topics are drawn."""
    rng = np.random.default_rng(0)
    sizes = [2000, *[20] * 9]
    centres = 100 * np.eye(10)
    topic = np.repeat(np.arange(10), sizes)
    rows = centres[topic] + rng.normal(size=(len(topic), 10))
    chosen = data.kmeans_sample(rows, clusters=30, per_cluster=3)
    assert len(set(topic[chosen])) == 10
    by_chance = rng.choice(len(rows), len(chosen), replace=False)
    assert (topic[chosen] > 0).mean() > 2 * (topic[by_chance] > 0).mean()


def test_a_small_cluster_gives_all_it_has_and_members_are_random():
    rows, blob = blobs(count=3, each=10)
    assert len(data.kmeans_sample(rows, clusters=3, per_cluster=100)) == 30
    times = np.zeros(30)
    for seed in range(200):
        times[data.kmeans_sample(rows, clusters=3, per_cluster=5, seed=seed)] += 1
    assert (times > 60).all() and (times < 140).all()  # 100 each, on average


def test_many_rows_take_the_quick_way():
    rows = np.random.default_rng(0).normal(size=(10_001, 4)).astype(np.float32)
    chosen = data.kmeans_sample(rows, clusters=2000, per_cluster=2)
    assert 2500 < len(chosen) <= 4000 and len(set(chosen)) == len(chosen)


@pytest.mark.parametrize(
    "rows, options, words",
    [
        (np.ones((3, 2)), dict(clusters=4), "4 clusters are more than the 3 rows"),
        (np.ones((3, 2)), dict(clusters=0), "clusters must be a whole number from 1 up"),
        (np.ones((3, 2)), dict(clusters=2, per_cluster=0.5), "per_cluster must be a whole"),
        (np.full((3, 2), np.nan), dict(clusters=2), "NaN or infinity"),
        (np.ones(3), dict(clusters=2), "an .n, d. matrix is wanted"),
    ],
)
def test_kmeans_refuses(rows, options, words):
    with pytest.raises(ValueError, match=words):
        data.kmeans_sample(rows, **options)


def test_half_of_a_character_is_named():
    rows = [("a", "b", "c"), ("a", "cut \ud83d", "c")]
    with pytest.raises(ValueError, match=r"row 1 holds half of a character: 'cut .ud83d'"):
        data.triplets(rows)
    with pytest.raises(ValueError, match="list 1 holds half of a character"):
        data.ranking_lists([["a", "b"], ["a", "\udc00 b"]])


def test_a_mistyped_file_in_a_folder_shows_its_neighbour(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letters").mkdir()
    with pytest.raises(FileNotFoundError, match="no file or folder mine/leters; did you mean mine"):
        data.load_premises("mine/leters")


def test_a_hub_that_does_not_answer_is_asked_once(monkeypatch):
    import datasets
    import huggingface_hub as hub

    seen = []
    monkeypatch.setattr(hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)

    def load_dataset(*a, **k):
        seen.append((hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE))
        raise RuntimeError("no\npages of text")

    def nobody(*a, **k):
        seen.append("asked")
        raise OSError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub.HfApi, "dataset_info", nobody)
    with pytest.raises(OSError, match="the data set some/thing cannot be had: no. Without"):
        data.load_premises("some/thing")
    assert seen == ["asked", (True, True)] and hub.constants.HF_HUB_OFFLINE is False
    # where it answers, it is asked as ever
    monkeypatch.setattr(hub.HfApi, "dataset_info", lambda *a, **k: None)
    with pytest.raises(OSError, match="some/thing cannot be had"):
        data.load_premises("some/thing")
    assert seen[2:] == [(False, False)]
