"""What chapter 11 measures, on few short lists.

To be quick, no base encoder is trained where only what is made of the marks is looked at.
"""

import by_hand
import caches
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from synthlib import ledger, losses
from synthlib.experiments import ch11 as post
from synthlib.experiments import lab
from synthlib.world import oracle

# Two that pass, one that loops, one that was broken off, one that the oracle cannot read.
LISTS = (
    ["a man is running", "a guy is running", "a man is running", "a man is moving",
     "a dog is sleeping"],
    ["a cat is sitting"] * 5,
    ["two dogs are running", "two dogs are moving", " ", "a dog is running", "a cat is sitting"],
    ["two dogs are running", "two animals are running", "two dogs are moving", "a dog is running",
     "a cat is sitting"],
    ["a cat is sitting", "a cat cat", "an animal is sitting", "a dog is sitting",
     "a dog is running"],
)  # fmt: skip


@pytest.fixture
def few(monkeypatch):
    """A handful of lists and STS pairs; nothing is remembered from or for other tests."""
    caches.forget(post)
    monkeypatch.setattr(lab, "written", lambda seed, **how: LISTS)
    monkeypatch.setattr(post, "STEPS", 4)
    real = post.corpora.sts
    monkeypatch.setattr(post.corpora, "sts", lambda kind, split, n: real(kind, split, 40))
    yield
    caches.forget(post)


def test_lists_are_verified_as_the_paper_does(few):
    passed = [LISTS[0], LISTS[3], LISTS[4]]
    assert post.lists(0) == passed == post.lists(0, "λ = 1.5")
    assert post.lists(0, "λ = 1.5, readable") == passed[:2]
    shuffled = post.lists(0, "shuffled")
    assert [sorted(row) for row in shuffled] == [sorted(row) for row in passed]
    assert shuffled != passed
    # Cut to their distinct sentences, and no more than the directional ones.
    assert [len(row) for row in post.lists(0, "whole list at once")] == [4, 4, 5]
    table = post.kept(0).set_index("lists")
    assert (table["written"] == 5).all() and (table["kept"] == 3).all()
    assert table.loc["directional", "sentences"] == 5
    assert table.loc["directional", "distinct"] == pytest.approx((4 + 5 + 5) / 3)
    assert table.loc["directional", "broken"] == pytest.approx(1 / 3)


def test_gold_is_the_oracle_and_knowledge_a_rank_correlation(few):
    gold = post.gold(0)
    assert gold[2] is None and gold[0].shape == (5, 5)
    for row, phi in zip(post.lists(0)[:2], gold, strict=False):
        for i, one in enumerate(row):
            for j, other in enumerate(row):
                assert phi[i, j] == pytest.approx(oracle.similarity(one, other))
    wanted = [stats.spearmanr([-1, -2, -3, -4], phi[0, 1:]).statistic for phi in gold[:2]]
    assert post.knowledge(0) == pytest.approx(np.mean(wanted))
    assert post.knowledge(0, gold) == pytest.approx(1)
    assert post.knowledge(0, [None if phi is None else -phi for phi in gold]) == pytest.approx(-1)
    trained = post.post_trained(0, "SimCSE", mode="gold")
    other = post.post_trained(0, "SimCSE")
    text = ["a man is running", "a dog sleeps"]
    assert not np.array_equal(trained.encode(text), other.encode(text))


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
    assert (table["wrong"].xs("paper") == 0).all() and (table["lists"] == 3).all()
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
    table = post.gains(0, ("SimCSE", "masked LM"), {"full": {}, "order": dict(mode="rank")})
    assert table["set"].tolist() == ["natural", "hard"] * 4
    assert np.allclose(table["gain"], table["after"] - table["before"])
    encode = lab.encoder(post.UNSUPERVISED).encode
    for place, kind in enumerate(("natural", "hard")):
        expected = by_hand.spearman(encode, post.corpora.sts(kind, "test", 40))
        assert table["before"][place] == pytest.approx(expected, abs=0.01)
    assert abs(table["gain"]).min() > 0 and table["after"].nunique() == 8


def test_options_reach_the_training(few):
    plain = post.after(0, "SimCSE")
    changes = (
        dict(mode="rank"), dict(share=0.67), dict(own=False), dict(tau=0.5),
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
    monkeypatch.setattr(
        post, "before", lambda seed, name, kind: marks.get(name, 10.0) - 5 * (kind == "hard")
    )
    gain = {"MultiCSR": -1.0, "SimCSE": 4.0, "raw LLM data": 2.0, "masked LM": 3.0}

    def after(seed, name, kind, **how):
        steps = how.get("omega", 0.5)
        steps = 0.9 if steps == "adaptive" else steps
        more = 2.5 if how.get("mode") == "gold" else 0.25 * (how.get("data") == "sampled")
        return (
            post.before(seed, name, kind) + gain.get(name, 1.0) + steps - 0.5 + more
            - 3 * (kind == "hard")
        )  # fmt: skip

    monkeypatch.setattr(post, "after", after)
    # What each base thinks of the lists: SimCSE knows nothing, MultiCSR all, the others the half.
    gold = post.gold(0)
    known = {"SimCSE": -1.0, "MultiCSR": 1.0, "masked LM": -0.5, "prompt pooling": 0.25,
             "raw LLM data": 0.0, "supervised SimCSE": 0.5}  # fmt: skip
    noise = np.random.default_rng(0).uniform(size=(5, 5))
    monkeypatch.setattr(post, "similarities", lambda seed, teacher: [
        None if phi is None else known[teacher] * phi + 0.01 * noise for phi in gold
    ])  # fmt: skip
    found = post.measure_bases(0)
    assert found == pytest.approx({
        "11-table1-weak": 2.0, "11-table1-multicsr": -1.0, "11-table4-unsupervised": 4.0,
        "11-table6-bases": 100.0, "11-hard-unsupervised": 1.0, "11-hard-multicsr": -4.0,
    })  # fmt: skip
    assert post.measure_omega(0) == pytest.approx(0.6)
    assert post.measure_share(0) == pytest.approx(-1.0)
    found = post.measure_ablation(0)
    # (a) and (b) are compared with lists that are sampled as they are.
    assert found == pytest.approx(
        {f"11-table3-{x}": 0.25 if x in "ab" else 0.0 for x in "abcde"}
    )
    found = post.measure_tried(0)
    assert found == pytest.approx({"11-adaptive-omega": 0.4, "11-strong-base": -0.6})
    found = post.measure_gold(0)
    assert (found["11-gold-weak"], found["11-gold-strong"]) == pytest.approx((6.5, 1.5))
    who = kept["11-who"].set_index("base")
    wanted = stats.spearmanr(who["list"] - who["base's order"], who["gain, natural"]).statistic
    assert found["11-who-knows"] == pytest.approx(wanted) and wanted > 0
    assert who.loc["MultiCSR", "base's order"] > 0.9 > -0.9 > who.loc["SimCSE", "base's order"]
    names = "bases lists omega share table3 tried gold who"
    assert set(kept) == {f"11-{name}" for name in names.split()}
    assert all(isinstance(rows, pd.DataFrame) for rows in kept.values())


def test_unseen_lists_are_ranked_before_and_after(few, monkeypatch):
    kept = {}
    monkeypatch.setattr(ledger, "keep_rows", lambda name, seed, rows: kept.update({name: rows}))
    # MultiCSR would be trained for minutes.
    monkeypatch.setattr(lab, "base", lambda seed, name, **how: lab.encoder(post.UNSUPERVISED))
    found = post.measure_unseen(0)
    table = kept["11-unseen"].set_index(["base", "row"])
    gold, phi = post.gold(100), {}
    for name, encoder in (
        ("before", lab.encoder(post.UNSUPERVISED)),
        ("after", post.post_trained(0, "SimCSE", mode="gold")),
    ):
        marks = []
        for row, wanted in zip(post.lists(100)[:2], gold, strict=False):
            vectors = encoder.encode(row)
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            marks.append(stats.spearmanr(vectors[1:] @ vectors[0], wanted[0, 1:]).statistic)
        phi[name] = np.mean(marks)
        assert table.loc[("SimCSE", "gold"), name] == pytest.approx(phi[name], abs=1e-4)
    assert found["11-unseen-weak"] == pytest.approx(phi["after"] - phi["before"], abs=1e-4)
    assert set(found) == {"11-unseen-weak", "11-unseen-strong"}
