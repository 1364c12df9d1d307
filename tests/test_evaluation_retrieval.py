"""Average precision, nDCG and bitext accuracy against loops and scikit-learn."""

import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from synthlib.evaluation import (
    bitext_accuracy,
    evaluate_bitext,
    evaluate_reranking,
    load_bitext,
    load_reranking,
    mean_average_precision,
    mean_reciprocal_rank,
    ndcg_at_k,
    score_reranking,
)


def slow_average_precision(scores, relevance):
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    hits, total = 0, 0.0
    for rank, i in enumerate(order, start=1):
        if relevance[i] > 0:
            hits += 1
            total += hits / rank
    return total / hits


def slow_ndcg(scores, relevance, k):
    def dcg(grades):
        return sum(g / math.log2(i + 2) for i, g in enumerate(grades[:k]))

    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    return dcg([relevance[i] for i in order]) / dcg(sorted(relevance, reverse=True))


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 15))
def test_agree_with_loops_where_no_scores_tie(seed, k):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 20, size=5)
    scores = [rng.permutation(n).astype(float) for n in sizes]
    relevance = [rng.integers(0, 3, size=n) for n in sizes]
    for grades in relevance:
        grades[0] = 1
    queries = list(zip(scores, relevance, strict=True))
    expected = sum(slow_average_precision(s, r) for s, r in queries) / 5
    assert mean_average_precision(scores, relevance) == pytest.approx(expected)
    expected = sum(slow_ndcg(s, r, k) for s, r in queries) / 5
    assert ndcg_at_k(scores, relevance, k) == pytest.approx(expected)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12))
def test_ties_are_those_of_scikit_learn_and_no_order_helps(seed, k):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 15))
    score, grade = rng.integers(0, 4, size=n) / 3, rng.integers(0, 3, size=n)
    grade[0] = 1
    average_precision = mean_average_precision([score], [grade])
    assert average_precision == pytest.approx(average_precision_score(grade > 0, score))
    ndcg = ndcg_at_k([score], [grade], k)
    assert ndcg == pytest.approx(ndcg_score([grade], [score], k=k))
    order = rng.permutation(n)
    assert mean_average_precision([score[order]], [grade[order]]) == pytest.approx(
        average_precision
    )
    assert ndcg_at_k([score[order]], [grade[order]], k) == pytest.approx(ndcg)


def test_by_hand():
    # relevant at ranks 1 and 3: (1/1 + 2/3) / 2; the second query at rank 2: 1/2
    scores, relevance = [[0.9, 0.5, 0.1], [1, 2]], [[1, 0, 1], [1, 0]]
    assert mean_average_precision(scores, relevance) == pytest.approx((5 / 6 + 1 / 2) / 2)
    ideal = 1 + 1 / math.log2(3)
    assert ndcg_at_k(scores, relevance) == pytest.approx(((1 + 0.5) / ideal + 1 / math.log2(3)) / 2)
    assert ndcg_at_k([[3, 2, 1]], [[0, 0, 1]], k=2) == 0
    # linear gain: grade 3 counts three times grade 1
    assert ndcg_at_k([[2, 1]], [[1, 3]]) == pytest.approx(
        (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3))
    )


def test_a_constant_score_is_not_rewarded_for_answers_listed_first():
    assert mean_average_precision([[0, 0, 0, 0]], [[1, 0, 0, 0]]) == pytest.approx(0.25)


@pytest.mark.parametrize("measure", [mean_average_precision, ndcg_at_k])
def test_queries_without_an_answer_are_left_out_and_counted(measure):
    with pytest.warns(UserWarning, match="2 of 3 queries have no relevant candidate"):
        value = measure([[1, 2], [2, 1], [1]], [[0, 0], [1, 0], [0]])
    assert value == 1
    with pytest.raises(ValueError, match="no query has a relevant candidate"):
        measure([[1.0]], [[0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert measure([torch.tensor([2.0, 1.0])], [torch.tensor([True, False])]) == 1


@pytest.mark.parametrize("measure", [mean_average_precision, ndcg_at_k])
@pytest.mark.parametrize(
    ("scores", "relevance", "message"),
    [
        ([], [], "no query"),
        ([[1.0]], [[1], [1]], "given 1 and 2"),
        ([[1.0, 2.0]], [[1]], "query 0: 2 scores and 1 relevance values"),
        ([[1.0], [float("nan")]], [[1], [1]], "query 1: .* is NaN"),
        ([[1.0]], [[-1]], "must not be negative"),
        ([[[1.0]]], [[1]], "a list of numbers"),
        ([["a"]], [[1]], "a list of numbers"),
    ],
)
def test_bad_queries(measure, scores, relevance, message):
    with pytest.raises(ValueError, match=message):
        measure(scores, relevance)


@pytest.mark.parametrize("k", [0, 2.5])
def test_bad_depth(k):
    with pytest.raises(ValueError, match="k must be a whole number of at least 1"):
        ndcg_at_k([[1.0]], [[1]], k=k)


def slow_bitext(source, target):
    hits = 0
    for i, s in enumerate(source):
        cosines = [s @ t / np.linalg.norm(s) / np.linalg.norm(t) for t in target]
        hits += int(np.argmax(cosines)) == i
    return hits / len(source)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_bitext_agrees_with_a_loop(seed):
    rng = np.random.default_rng(seed)
    source = rng.normal(size=(30, 4))
    target = source + rng.normal(size=(30, 4))
    assert bitext_accuracy(source, target) == pytest.approx(slow_bitext(source, target))
    assert bitext_accuracy(target, source) == pytest.approx(slow_bitext(target, source))


def test_bitext_larger_than_a_block():
    rng = np.random.default_rng(0)
    target = rng.normal(size=(2100, 16)).astype(np.float32)
    assert bitext_accuracy(target * 3, torch.tensor(target)) == 1
    assert bitext_accuracy(target, np.roll(target, 1, axis=0)) == 0


def test_bitext_ties():
    assert bitext_accuracy(np.ones((10, 3)), np.ones((10, 3))) == pytest.approx(0.1)
    x = np.array([[1.0, 0], [1, 0], [0, 1], [0.1, 2]])  # rows 0 and 1 say the same
    assert bitext_accuracy(x, x) == pytest.approx((0.5 + 0.5 + 1 + 1) / 4)
    assert bitext_accuracy(x, x, target_texts=["a", "a", "b", "c"]) == 1
    # a wrong sentence with the same vector is no copy of the right one
    assert bitext_accuracy(x, x, target_texts=["a", "z", "b", "c"]) == pytest.approx(0.75)


def test_bitext_bad_input():
    x = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"given \(3, 2\) and \(2, 2\)"):
        bitext_accuracy(x, x[:2])
    with pytest.raises(ValueError, match="source: 3 of 3 rows hold NaN"):
        bitext_accuracy(x * np.nan, x)
    with pytest.raises(ValueError, match="no sentence pair"):
        bitext_accuracy(x[:0], x[:0])
    with pytest.raises(ValueError, match="3 target texts are wanted"):
        bitext_accuracy(x, x, target_texts=["a"])


def by_first_letter(sentences):
    return np.array([[s[0].lower() == letter for letter in "abcdefgh"] for s in sentences]) * 1.0


TREC_QA = '''qtext,label,atext
a one?,1,"a, quoted ""twice"""
a one?,0,b
b two?,0,b wrong
b two?,1,c
c none?,0,c
'''


def test_reranking(tmp_path):
    file = tmp_path / "dev.csv"
    file.write_text(TREC_QA)
    (tmp_path / "train.csv").write_text("not,read\n")
    frame = load_reranking(file)["dev"]
    assert frame.loc[0, "candidate"] == 'a, quoted "twice"'
    for path in (file, tmp_path):
        row = evaluate_reranking(by_first_letter, path).iloc[0]
        # first question: the answer first; second: last of two; third: no answer
        assert (row["queries"], row["skipped"], row["candidates"]) == (2, 1, 5)
        assert row["map"] == pytest.approx(100 * (1 + 0.5) / 2)
        assert row["ndcg@10"] == pytest.approx(100 * (1 + 1 / math.log2(3)) / 2)


def test_queries_with_the_same_words_are_told_apart():
    frame = pd.DataFrame(
        {
            "query": ["a"] * 4,
            "candidate": ["a", "b", "a x", "b x"],
            "relevance": [1, 0, 0, 1],
            "query_id": [0, 0, 1, 1],
        }
    )
    row = score_reranking(by_first_letter, {"x": frame}).iloc[0]
    assert (row["queries"], row["map"]) == (2, pytest.approx(75))
    row = score_reranking(by_first_letter, {"x": frame.drop(columns="query_id")}).iloc[0]
    assert row["queries"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q,l,a\nx,1\n", "line 2: three columns are wanted"),
        ("q,l,a\nx,1,\n", "line 2: three columns are wanted"),
        ("q,l,a\nx,1,y\nx,yes,y\n", "line 3: a label of 0 or 1 is wanted, found 'yes'"),
        ('q,l,a\nx,1,"y\nz,0,w\n', "unexpected end of data"),
        ("q,l,a\n", "no question below the header row"),
        ("", "is empty"),
    ],
)
def test_damaged_reranking_file(tmp_path, text, message):
    file = tmp_path / "dev.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        load_reranking(file)
    assert str(file) in str(error.value)


ROWS = [("who, me?", 1, "it is me"), ("who, me?", 0, 'say "no"'), ("what?", 1, "that")]
FRAME = pd.DataFrame(ROWS, columns=["question", "label", "candidate"])


@pytest.mark.parametrize(
    "name, write",
    [
        ("x.csv", lambda file: FRAME.to_csv(file, index=False)),
        ("x.csv", lambda file: FRAME.to_csv(file, index=False, header=False)),
        ("x.csv", lambda file: FRAME.to_csv(file, index=False, sep=";")),
        ("x.csv", lambda file: FRAME[["candidate", "question", "label"]].to_csv(file, index=False)),
        ("x.tsv", lambda file: FRAME.to_csv(file, index=False, sep="\t", header=False)),
        ("x.csv.gz", lambda file: FRAME.to_csv(file, index=False)),
        ("x.jsonl", lambda file: FRAME.to_json(file, orient="records", lines=True)),
        ("x.json", lambda file: FRAME.to_json(file, orient="records")),
        ("x.parquet", lambda file: FRAME.to_parquet(file)),
        ("x.csv", lambda file: FRAME.to_csv(file, index=False, encoding="utf-16")),
    ],
)
def test_reranking_files_as_people_have_them(tmp_path, name, write):
    write(tmp_path / name)
    frame = load_reranking(tmp_path / name)["x"]
    assert list(frame.itertuples(index=False, name=None)) == [(q, c, y) for q, y, c in ROWS]


def test_reranking_files_without_what_is_wanted(tmp_path):
    file = tmp_path / "x.csv"
    file.write_text("Who is it?,yes,It is me.\nWho?,1,Me.\n")
    with pytest.raises(ValueError, match="x.csv, line 1: the header question,label,candidate is"):
        load_reranking(file)
    file.write_text("question,label,candidate\nWho?,1,Me.\n\nWho?,0,No.\n")
    with pytest.warns(UserWarning, match="x.csv, line 3: 1 blank lines are left out"):
        assert len(load_reranking(file)["x"]) == 2
    FRAME.drop(columns="label").to_json(tmp_path / "x.json", orient="records")
    with pytest.raises(ValueError, match="x.json has the columns question, candidate; question"):
        load_reranking(tmp_path / "x.json")
    (tmp_path / "x.jsonl").write_text('{"question": "a", "label": 2, "candidate": "b"}')
    with pytest.raises(ValueError, match="x.jsonl, line 1: a label of 0 or 1 is wanted, found 2"):
        load_reranking(tmp_path / "x.jsonl")


def test_bitext_in_other_formats(tmp_path):
    lines = ["a, b", "c", "d"]
    frame = pd.DataFrame({"text": lines})
    frame.to_csv(tmp_path / "x.csv", index=False)
    frame.to_json(tmp_path / "x.jsonl", orient="records", lines=True)
    (tmp_path / "x.txt").write_bytes(b"a, b\rc\rd\r")
    for name in ("x.csv", "x.jsonl", "x.txt"):
        (tmp_path / "y").write_text("A\nB\nC\n")
        assert load_bitext(tmp_path / name, tmp_path / "y")[name] == lines
    frame.assign(more="x").to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(ValueError, match=r"x.csv has several text columns \(text, more\)"):
        load_bitext(tmp_path / "x.csv", tmp_path / "y")
    (tmp_path / "x.txt").write_text("a\n\u200b\nc\n", encoding="utf-8")
    with pytest.raises(ValueError, match="x.txt, line 2: a sentence is wanted, the line is blank"):
        load_bitext(tmp_path / "x.txt", tmp_path / "y")


def test_absent_reranking_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="dev.csv"):
        load_reranking(tmp_path / "dev.csv")
    with pytest.raises(FileNotFoundError, match="no CSV file"):
        load_reranking(tmp_path)


def test_bitext_files(tmp_path):
    source, target = tmp_path / "x.aaa", tmp_path / "x.bbb"
    source.write_text("a\nb\nc\na again\n")
    target.write_text("A\nC\nB\nA\n")
    frame = evaluate_bitext(by_first_letter, source, target)
    assert list(frame["task"]) == ["x.aaa → x.bbb", "x.bbb → x.aaa"]
    assert list(frame["pairs"]) == [4, 4]
    # "A" stands twice in the target; the source sentences behind it differ and share the credit
    assert list(frame["accuracy"]) == pytest.approx([50, 25])
    target.write_text("A\n\nB\nA\n")
    with pytest.raises(ValueError, match="x.bbb, line 2: .*blank"):
        evaluate_bitext(by_first_letter, source, target)
    target.write_text("A\n")
    with pytest.raises(ValueError, match="x.aaa has 4 lines, .*x.bbb has 1: "):
        evaluate_bitext(by_first_letter, source, target)


def test_trec_qa(shared_data):
    frames = load_reranking(shared_data / "reranking" / "trecqa")
    frame = frames["dev"]
    assert len(frame) == 1148 and frame["query"].nunique() == 81
    row = score_reranking(by_first_letter, frames).iloc[0]
    # 65 questions are what the literature calls the clean development part
    assert (row["queries"], row["skipped"], row["all_positive"]) == (78, 3, 13)
    assert row["map"] == pytest.approx((65 * row["map_clean"] + 13 * 100) / 78)
    assert row["mrr"] == pytest.approx((65 * row["mrr_clean"] + 13 * 100) / 78)


def test_all_positive_queries_count_in_one_convention_and_not_in_the_other():
    frame = pd.DataFrame({
        "query": ["a", "a", "b", "b", "c"], "candidate": ["a", "b", "a", "b", "x"],
        "relevance": [0, 1, 1, 1, 0],
    })  # fmt: skip
    row = score_reranking(by_first_letter, {"x": frame}).iloc[0]
    # a: the answer is second; b: both are answers; c: none is
    assert (row["queries"], row["skipped"], row["all_positive"]) == (2, 1, 1)
    assert (row["map"], row["mrr"], row["map_clean"], row["mrr_clean"]) == (75, 75, 50, 50)
    row = score_reranking(by_first_letter, {"x": frame[frame["query"] == "b"]}).iloc[0]
    assert row["map"] == 100 and math.isnan(row["map_clean"]) and math.isnan(row["mrr_clean"])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_reciprocal_rank_is_the_mean_over_all_orders_of_equal_scores(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 7))
    score, grade = rng.integers(0, 3, size=n), rng.integers(0, 2, size=n)
    grade[rng.integers(n)] = 1
    places = []
    for order in itertools.permutations(range(n)):
        ranked = sorted(order, key=lambda i: -score[i])  # stable: ties as in this order
        places.append(1 + [grade[i] > 0 for i in ranked].index(True))
    expected = sum(1 / place for place in places) / len(places)
    assert mean_reciprocal_rank([score], [grade]) == pytest.approx(expected)
