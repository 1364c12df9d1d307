"""How chapter 10 describes ranking lists, against loops written from the definitions."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from synthlib import ledger
from synthlib.experiments import ch10 as generation
from synthlib.world import oracle

LISTS = [
    ["a man is running", "one man is running", "a person is running", "a person is moving",
     "a dog is sleeping"],
    ["a dog is sleeping", "a dog is sleeping", "a dog is sleeping a", "one dog is sleeping"],
    ["a man is running", "a dog is sleeping", "a man is running", "a dog is sleeping",
     "a man is running", "a dog is sleeping"],
]  # fmt: skip


def encode(sentences):
    """Word counts, in as many columns as there are words here."""
    words = sorted({w for one in LISTS for s in one for w in s.split()})
    return np.array([[s.split().count(w) for w in words] for s in sentences], dtype=float)


def cosine(a, b):
    u, v = encode([a, b])
    return float(u @ v / math.sqrt((u @ u) * (v @ v)))


def test_describe_says_the_same_as_a_loop():
    frame = generation.describe(LISTS, encode)
    assert len(frame) == sum(map(len, LISTS))
    for row in frame.itertuples():
        one = LISTS[row.list]
        sentence, before = one[row.position], one[: row.position]
        gold = oracle.similarity(one[0], sentence)
        assert row.sentence == sentence and row.words == len(sentence.split())
        assert row.cosine == pytest.approx(cosine(one[0], sentence))
        assert row.copy == (bool(before) and before[-1] == sentence)
        assert row.repeated == (sentence in before)
        assert row.well_formed == (gold is not None)
        assert math.isnan(row.gold) if gold is None else row.gold == pytest.approx(gold)
    assert not frame["well_formed"].all(), "one sentence must be malformed"
    assert "gold" not in generation.describe(LISTS, encode, oracle_too=False)


@given(st.lists(st.integers(0, 6) | st.just(math.nan), max_size=12))
def test_order_is_spearmans_correlation(distances):
    pairs = [(i, d) for i, d in enumerate(distances) if not math.isnan(d)]
    known = [d for _, d in pairs]
    if len(known) < 4 or len(set(known)) == 1:
        assert generation.order(distances) == 0
    else:
        expected = spearmanr(*zip(*pairs, strict=True)).statistic
        assert generation.order(distances) == pytest.approx(expected)


def test_order_of_clear_cases():
    assert generation.order([1, 2, 3, 4]) == pytest.approx(1)
    assert generation.order([4, 3, 2, 1]) == pytest.approx(-1)
    assert generation.order([1, 2, 3]) == generation.order([]) == 0


def test_straightness_counts_moves_only():
    line = np.array([[0, 0], [1, 0], [1, 0], [2, 0], [3, 0], [3, 5]], dtype=float)
    assert generation.straightness(line, moves=3) == pytest.approx(1)
    assert generation.straightness(line, moves=4) == pytest.approx(math.hypot(3, 5) / 8)
    assert math.isnan(generation.straightness(line, moves=5))
    there_and_back = np.array([[0, 0], [1, 0], [0, 0]], dtype=float)
    assert generation.straightness(there_and_back, moves=2) == 0


@given(st.lists(st.integers(0, 4), min_size=1, max_size=10))
def test_out_of_order_is_not_falling(similarity):
    got = generation.out_of_order(similarity)
    expected = [i > 0 and similarity[i] >= similarity[i - 1] for i in range(len(similarity))]
    assert got.tolist() == expected


def test_out_of_order_in_the_papers_table():
    """Table 5's printed similarities: one of ours, three each of the two baselines."""
    table = ledger.paper_table("ranking-sentences", 5).dropna(subset="value")
    found = {
        name: int(generation.out_of_order(part.sort_values("position")["value"]).sum())
        for name, part in table.groupby("group")
    }
    assert found == {
        "Our Method": 1, "Iterative Step-by-step Generation": 3, "Single-step Generation": 3,
    }  # fmt: skip


def test_a_list_is_cut_at_its_first_bad_sentence():
    left = generation.cut(generation.describe(LISTS, encode))
    by_list = {i: part["sentence"].tolist() for i, part in left.groupby("list")}
    assert by_list == {0: LISTS[0], 1: LISTS[1][:1], 2: LISTS[2][:2]}


def test_mean_similarity_is_the_mean_of_the_matrices():
    matrix, count = generation.mean_similarity(LISTS, encode, first=5)
    assert count == 2
    for i, j in itertools.product(range(5), repeat=2):
        mean = (cosine(LISTS[0][i], LISTS[0][j]) + cosine(LISTS[2][i], LISTS[2][j])) / 2
        assert matrix[i, j] == pytest.approx(mean)
    with pytest.raises(ValueError, match="no list has 9"):
        generation.mean_similarity(LISTS, encode, first=9)


def test_summary_of_known_lists():
    got = generation.summary(LISTS, encode, steps=3)
    after = [(one, i) for one in LISTS for i in range(1, len(one))]
    assert got["lists"] == 3
    assert got["copied"] == pytest.approx(100 * np.mean([one[i] == one[i - 1] for one, i in after]))
    assert got["repeated"] == pytest.approx(100 * np.mean([one[i] in one[:i] for one, i in after]))
    assert got["looped"] == pytest.approx(100 / 3) and got["fixed"] == 0
    assert got["kept"] == pytest.approx(200 / 3)
    assert got["left"] == pytest.approx(100 / 3)
    assert got["growth"] == pytest.approx(np.mean([1, 1, 1]))
    orders = [generation.order([1 - cosine(one[0], s) for s in one[1:]]) for one in LISTS]
    assert got["order"] == pytest.approx(np.mean(orders))
    assert got["order_cut"] == pytest.approx(orders[0])
    assert got["order_kept"] == pytest.approx(np.mean(orders[:2]))
    marks = [
        cosine(one[0], one[i]) > cosine(one[0], one[i - 1]) - 1e-6
        for one in LISTS
        for i in range(2, len(one))
    ]
    assert got["out_of_order"] == pytest.approx(100 * np.mean(marks))
    assert got["out_of_order"] == pytest.approx(got["equal"] + got["rising"])
    assert math.isnan(got["straight"]) and got["long_enough"] == 0


def test_means_along_the_lists():
    got = generation.by_position(LISTS, encode).set_index("position")
    assert got["sentences"].tolist() == [3, 3, 3, 2, 1]
    assert got["cosine"][1] == pytest.approx(np.mean([cosine(x[0], x[1]) for x in LISTS]))
    assert math.isnan(got["out_of_order"][1])
    assert got["repeated"][2] == pytest.approx(100 / 3)
    words = [len(one[3].split()) / len(one[0].split()) for one in LISTS]
    assert got["growth"][3] == pytest.approx(np.mean(words))


def test_what_becomes_of_a_list():
    found = generation.verification([list("abcd"), list("abca"), list("abbb"), list("ab")], 3)
    assert found == ["kept", "kept, with a sentence twice", "degenerate tail", "incomplete"]


def test_the_measures_run_and_keep_their_rows(monkeypatch):
    kept = {}
    monkeypatch.setattr(generation, "LAMBDAS", (0.0, 1.5))
    monkeypatch.setattr(ledger, "keep_rows", lambda name, seed, rows: kept.update({name: rows}))
    claims = ledger.claims(10)
    values = generation.methods(0, 6) | {"10-lambda": generation.sweep(0, 2)}
    assert set(values) == set(claims.index)
    for name in set(claims.index) - {"10-fig1-directional-sampled", "10-fig1-at-once-sampled"}:
        assert np.isfinite(values[name]), name  # of six lists none may be kept
    assert set(kept) == {
        "10-methods", "10-matrices", "10-positions", "10-dropped", "10-lambda"
    }  # fmt: skip
    assert all(isinstance(rows, pd.DataFrame) and len(rows) for rows in kept.values())
    sums = kept["10-dropped"].groupby(["decoding", "method"])["lists"].sum()
    assert (sums == 6).all()
    written = generation.lists(0, "in-batch", n=6)
    assert all(len(one) == 16 and len(set(one)) >= 15 for one in written)
