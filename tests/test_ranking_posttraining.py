"""What chapter 11 measures, on few short lists.

To be quick, no base encoder is trained where only what is made of the marks is looked at.
"""

import by_hand
import caches
import numpy as np
import pandas as pd
import pytest

from synthlib import ledger, losses
from synthlib.experiments import ch11 as post
from synthlib.experiments import lab
from synthlib.methods import ranking

LISTS = (
    ["a man is running", "a man is running", "a guy is running", "a man walks", "a dog sleeps"],
    ["a cat sits", "a cat sits", "a cat sits", "a cat sits"],
    ["two dogs are running", "two dogs run", " ", "a dog is running", "one cat sits", "a man"],
)


@pytest.fixture
def few(monkeypatch):
    """A handful of lists and STS pairs; nothing is remembered from or for other tests."""
    caches.forget(post)
    monkeypatch.setattr(lab, "written", lambda seed, **how: LISTS)
    real = post.corpora.sts
    monkeypatch.setattr(post.corpora, "sts", lambda kind, split, n: real(kind, split, 40))
    yield
    caches.forget(post)


def test_lists_are_cut_to_their_distinct_sentences(few):
    assert [len(row) for row in post.lists(0)] == [4, 5]
    assert post.lists(0)[0] == list(dict.fromkeys(LISTS[0]))
    shuffled = post.lists(0, "shuffled")
    assert [sorted(row) for row in shuffled] == [sorted(row) for row in post.lists(0)]
    assert shuffled != post.lists(0)


def test_misorder():
    def loop(phi):
        n = len(phi)
        triples = [
            (i, j, k) for i in range(n) for j in range(i + 1, n) for k in range(j + 1, n)
        ]  # fmt: skip
        return np.mean([phi[i, j] < phi[i, k] for i, j, k in triples])

    rng = np.random.default_rng(0)
    for n in (3, 4, 9):
        phi = rng.uniform(size=(n, n))
        assert post.misorder(phi) == pytest.approx(loop(phi))
    gap = np.abs(np.arange(6)[:, None] - np.arange(6))
    assert post.misorder(-gap) == 0 and post.misorder(gap) == 1
    assert post.misorder(np.ones((5, 5))) == 0


def test_readings_count_what_the_kernel_does(few):
    table = post.readings(0).set_index(["variant", "scale"])
    assert (table["wrong"].xs("paper") == 0).all() and (table["lists"] == 2).all()
    phi = post.similarities(0, scale=1.0)
    wrong = moved = 0
    for one in phi:
        right = losses.refine_similarity(one, post.OMEGA).numpy() - one
        printed = losses.refine_similarity(one, post.OMEGA, variant="printed").numpy() - one
        for i in range(len(one)):
            for j in range(i, len(one)):
                moved += right[i, j] != 0
                wrong += right[i, j] != 0 and np.sign(right[i, j]) != np.sign(printed[i, j])
    assert table.loc[("printed", 1.0), "wrong"] == pytest.approx(wrong / moved)
    by_omega = post.order_by_omega(0).set_index(["scale", "omega"])["misorder"]
    assert by_omega[1.0, 0.0] == pytest.approx(table.loc[("paper", 1.0), "misorder before"])
    assert by_omega[1.0, 0.5] == pytest.approx(table.loc[("paper", 1.0), "misorder after"])
    assert by_omega[1.0, 1.0] <= by_omega[1.0, 0.0]


def test_gains_are_after_minus_before(few):
    table = post.table1(0, names=("SimCSE", "masked LM"))
    assert np.allclose(table["gain"], table["after"] - table["before"])
    encode = lab.encoder(post.UNSUPERVISED).encode
    expected = by_hand.spearman(encode, post.corpora.sts("natural", "test", 40))
    assert table["before"][0] == pytest.approx(expected, abs=0.01)
    assert abs(table["gain"]).min() > 0


def test_options_reach_the_training(few):
    plain = post.after(0, "SimCSE")
    changes = (
        dict(mode="rank"), dict(agreed=True, lists_per_step=1), dict(own=False), dict(tau=0.5),
        dict(scale=1.0, variant="printed"),
    )  # fmt: skip
    for how in changes:
        encoder = post.post_trained(0, "SimCSE", **how)
        vectors = encoder.encode(["a man is running", "a dog sleeps"])
        first = post.post_trained(0, "SimCSE").encode(["a man is running", "a dog sleeps"])
        assert not np.array_equal(vectors, first), how
    assert post.after(0, "SimCSE") == plain
    pairs = post.corpora.sts("natural", "test", 40)
    found = by_hand.spearman(post.post_trained(0, "SimCSE").encode, pairs)
    assert plain == pytest.approx(found, abs=0.01)


def test_measures_name_their_claims(few, monkeypatch):
    kept = {}
    monkeypatch.setattr(ledger, "keep_rows", lambda name, seed, rows: kept.update({name: rows}))
    marks = {"MultiCSR": 70.0, "SimCSE": 40.0, "raw LLM data": 60.0}
    monkeypatch.setattr(post, "before", lambda seed, name: marks.get(name, 10.0))
    gain = {"MultiCSR": -1.0, "SimCSE": 4.0, "raw LLM data": 2.0}

    def after(seed, name, **how):
        steps = how.get("omega", 0.5)
        steps = 0.9 if steps == "adaptive" else steps
        return marks.get(name, 10.0) + gain.get(name, 1.0) + steps - 0.5

    monkeypatch.setattr(post, "after", after)
    # The teacher of Table 3's column of misorder: MultiCSR would be trained for minutes.
    teacher = lab.encoder(post.UNSUPERVISED)
    monkeypatch.setattr(lab, "base", lambda seed, name, **how: teacher)
    assert post.measure_bases(0) == {
        "11-table1-weak": 2.0, "11-table1-multicsr": -1.0, "11-table4-unsupervised": 4.0,
        "11-table6-bases": 100.0,
    }  # fmt: skip
    assert post.measure_omega(0) == pytest.approx(0.6)
    assert post.measure_share(0) == pytest.approx(-1.0)
    assert set(post.measure_ablation(0)) == {f"11-table3-{x}" for x in "abcde"}
    full = kept["11-table3"].set_index(["base", "row"]).loc[("MultiCSR", "full")]
    phi = ranking.teacher_similarities(teacher.encode, post.lists(0), scale=post.SCALE)
    assert full["misorder"] == pytest.approx(np.mean([post.misorder(one) for one in phi]))
    assert (full["lists"], full["sentences"]) == (2, 4.5)
    found = post.measure_tried(0)
    assert found == pytest.approx({"11-adaptive-omega": 0.4, "11-strong-base": -0.6})
    assert set(kept) == {"11-bases", "11-omega", "11-share", "11-table3", "11-tried"}
    assert all(isinstance(rows, pd.DataFrame) for rows in kept.values())
