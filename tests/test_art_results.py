"""What chapter 9 measures, on three tiny rounds."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from synthlib import ledger, rewards, tiers
from synthlib.experiments import ch09 as results
from synthlib.methods import art
from synthlib.runs import art as art_run
from synthlib.world import nli

SMALL = dict(
    anchors=24, ppo_steps=1, ppo_batch_size=12, ppo_mini_batch_size=6, encoder_batch_size=4,
)  # fmt: skip


BOUNDS = rewards.Bounds(0.9, 0.8, 0.98)


@pytest.fixture(scope="module")
def small():
    """Three tiny rounds in the place of the real ones."""
    patch = pytest.MonkeyPatch()
    own = dataclasses.replace(tiers.get("pocket").art, **SMALL)
    patch.setattr(art, "choose_bounds", lambda *_, **__: BOUNDS)
    patch.setattr(results, "settings", lambda: own)
    patch.setattr(results, "HELD_OUT", 6)
    patch.setattr(results, "STEPS", 2)
    patch.setattr(results, "FEW", (12, 24))
    patch.setattr(results, "WEAK_STEPS", 1)
    patch.setattr(results, "WEAK_ANCHORS", 24)

    def fake_sts(encode):
        value = float(np.sum(encode(["a man is running"])))
        return dict.fromkeys(("natural", "hard", "average"), value)

    patch.setattr(results, "sts", fake_sts)
    patch.setattr(results, "marks", lambda encode: fake_sts(encode) | dict.fromkeys(
        ("questions", "duplicates"), 50.0
    ))  # fmt: skip
    yield
    patch.undo()
    for name in ("sentences", "round_of", "raw", "control", "outputs", "from_first",
                 "raw_triplets"):  # fmt: skip
        getattr(results, name).cache_clear()


def test_the_rounds_are_those_of_the_run(small, tmp_path):
    run = art_run.run(
        tmp_path / "run", tier="pocket", device="cpu", quiet=True, **BOUNDS._asdict(), **SMALL
    )
    for number in (1, 2, 3):
        made = results.round_of(0, number)
        columns = list(made.candidates)
        pd.testing.assert_frame_equal(made.candidates, run.candidates(number)[columns])
        kept = run.triplets(number).to_pandas()[list(made.triplets)]
        pd.testing.assert_frame_equal(made.triplets, kept)
        assert made.log["reward"].tolist() == pytest.approx(run.log(number)["reward"].tolist())
        said = run.encoder(number, "cpu").encode(["a man is running"])
        assert np.abs(made.encoder.encode(["a man is running"]) - said).max() < 1e-6
    raw = results.raw(0)
    pd.testing.assert_frame_equal(raw, run.candidates("raw")[list(raw)])
    assert run.counts["texts_a_round"] == results.texts_a_round()


def test_the_control_has_the_budget_of_the_rounds(small):
    texts = [len(results.control_candidates(0, rounds)) for rounds in (1, 2, 3)]
    assert texts == [k * results.texts_a_round() for k in (1, 2, 3)]
    assert texts[0] == 2 * (3 * SMALL["anchors"] + 6)
    first, second = (results.round_of(0, number).candidates for number in (1, 2))
    control = set(results.control_candidates(0, 1)["anchor"])
    assert set(first["anchor"]) <= control and not set(second["anchor"]) & control


def test_raw_triplets_are_whatever_the_generator_wrote(small):
    rows = results.raw_triplets(0)
    wanted = round(results.TIMES * len(results.triplets_of_all(0)))
    table = results.raw(0)
    assert len(rows) == min(wanted, len(table) // 2)
    written = set(zip(table["anchor"], table["kind"], table["text"], strict=True))
    for anchor, positive, negative in rows[["anchor", "positive", "negative"]].to_numpy():
        assert {(anchor, "positive", positive), (anchor, "negative", negative)} <= written


def test_outputs_are_judged_by_the_oracle_and_by_one_yardstick(small):
    table = results.outputs(0)
    assert len(table) == 4 * 6 * 2 * 3 and sorted(table["round"].unique()) == [0, 1, 2, 3]
    for row in table.head(20).itertuples():
        copied = row.text.split() == row.anchor.split()
        label = "entailment" if row.kind == "positive" else "contradiction"
        assert row.right == (nli(row.anchor, row.text) == label and not copied)
    encode = results.load("pocket/simcse-sup-bert")
    row = table.iloc[-1]
    u, v = encode([row.anchor, row.text])
    assert row.similarity == pytest.approx(u @ v / np.linalg.norm(u) / np.linalg.norm(v), abs=1e-4)


def test_shared_words():
    assert results.shared("a man is running", "a man runs") == pytest.approx(2 / 3)
    assert results.shared("a man", "") == 0


def fake():
    """Two anchors with two tries of each kind in one round."""
    rows = [
        (0, 0, "positive", True, True, 0.8), (0, 0, "negative", False, False, 0.5),
        (0, 1, "positive", True, False, 0.6), (0, 1, "negative", True, True, 0.9),
        (1, 0, "positive", True, True, 0.7), (1, 0, "negative", True, False, 0.7),
        (1, 1, "positive", False, False, 1.0), (1, 1, "negative", False, False, 1.0),
    ]  # fmt: skip
    names = ["row", "candidate", "kind", "accepted", "right", "similarity"]
    table = pd.DataFrame(rows, columns=names).assign(round=0, shared=0.5)
    return table.assign(outcome=np.where(table["similarity"] == 1, "copied", "right"))


def test_accuracy_by_hand():
    table = results.accuracy(fake()).set_index("kind")
    assert table["right"].to_dict() == {"positive": 50, "negative": 25, "average": 37.5}
    assert table["accepted"].to_dict() == {"positive": 75, "negative": 50, "average": 62.5}
    assert table["copied"]["average"] == 25
    assert table["usable"]["average"] == 50 and table["usable3"]["average"] == 100
    assert np.isnan(table["usable"]["positive"])


def test_difficulty_by_hand():
    table = results.difficulty(fake()).set_index(["kind", "subset"])
    assert table["cosine"]["positive", "all"] == pytest.approx(3.1 / 4)
    assert table["cosine"]["positive", "right"] == pytest.approx(0.75)
    assert table["cosine"]["negative", "accepted"] == pytest.approx(0.8)
    assert table["texts"]["negative", "right"] == 1


def test_rounds(small, monkeypatch):
    kept = {}
    monkeypatch.setattr(ledger, "keep_rows", lambda name, seed, rows: kept.update({name: rows}))
    found = results.measure_rounds(0)
    claims = ledger.claims(9).index
    assert set(found) <= set(claims) and all(np.isfinite(list(found.values())))
    table = kept["09-table3"]
    assert table["data"].value_counts().to_dict() == {
        "ART": 4, "filter only": 3, "ART, from the first encoder": 2,
    }  # fmt: skip
    assert table["average"].nunique() > 4  # the encoders differ
    assert len(kept["09-ppo"]) == 3 and set(kept["09-table6"]["round"]) == {0, 1, 2, 3}


def test_claims_of_the_rounds_by_hand(small, monkeypatch):
    monkeypatch.setattr(ledger, "keep_rows", lambda *_: None)
    again = "ART, from the first encoder"
    marks = {
        ("ART", 0): 50.0, ("ART", 1): 60.0, ("ART", 2): 63.0, ("ART", 3): 65.0,
        ("filter only", 1): 58.0, ("filter only", 2): 61.0, ("filter only", 3): 61.5,
        (again, 2): 62.0, (again, 3): 64.25,
    }  # fmt: skip
    rows = [(data, number, mark) for (data, number), mark in marks.items()]
    table = pd.DataFrame(rows, columns=["data", "round", "average"])
    monkeypatch.setattr(results, "table3", lambda seed: table)
    found = results.measure_rounds(0)
    assert found["09-filter-control"] == 3.5  # 65 − 61.5
    assert found["09-table3-rounds"] == 5.0  # 65 − 60
    assert found["09-table3-round1"] == 7.0  # 10 in the first round, 3 in the next best
    assert found["09-start"] == 0.75  # 65 − 64.25


def test_pays_at_equal_budget(small):
    table = results.pays(0)
    assert len(table) == 2 + 3 + 3
    total = table.assign(total=table["texts"] + table["ppo"]).groupby("data")["total"].max()
    assert total["raw"] == total["tuned"]
    unfiltered = table[~table["filter"]]
    assert (unfiltered["triplets"] == unfiltered["anchors"]).all()
    filtered = table[table["filter"]].set_index(["data", "anchors"])["right"]
    assert (filtered >= 0).all() and (filtered <= 100).all()


def test_a_weak_generator_at_equal_budget(small):
    table = results.weak(0)
    total = (table["texts"] + table["ppo"]).to_numpy()
    assert total[0] == total[2] == 2 * (24 + 6) and total[1] == 48
    assert (table["triplets"] > 0).all()


def test_another_base_goes_through_the_rounds(small):
    once, twice = (results.through_rounds.__wrapped__(0, "RoBERTa") for _ in range(2))
    before = results.load(results.BASES["RoBERTa"])(["a man is running"])
    assert np.abs(once(["a man is running"]) - before).max() > 1e-4
    assert np.allclose(once(["a man is running"]), twice(["a man is running"]), atol=1e-6)


def test_table2_names_its_rows(small, monkeypatch):
    monkeypatch.setattr(results, "supervised", lambda rows, *_: results.load(
        "pocket/simcse-sup-bert"
    ))  # fmt: skip
    table = results.table2(0)
    assert list(table["data"]) == [
        "none", "prompt pooling", "raw alone", "raw", "filter only", "ART",
    ]  # fmt: skip
    assert table.set_index("data")["triplets"]["ART"] == len(results.triplets_of_all(0))


def test_a_base_without_a_discriminator_of_its_own_uses_the_same_rewards():
    assert results.discriminator()[0].config.num_labels == 3
    assert rewards.TARGET.keys() == results.ASKED.keys()


def test_the_weight_of_difficulty_is_all_that_changes(monkeypatch):
    """The row of the tier's own weights is chapter 8's PPO run, number for number."""
    for name, value in (("STEPS", 2), ("ANSWERS", 64), ("EXAMINED", 10)):
        monkeypatch.setattr(results.ch08, name, value)
    monkeypatch.setattr(results, "WEIGHTS", (0.3, 1.0))
    cached = ("anchors", "bounds", "before", "tuned", "after")
    for name in cached:
        getattr(results.ch08, name).cache_clear()
    try:
        table = results.weights(0)
        run = results.ch08.outcomes(results.ch08.after(0, "PPO")).set_index("kind")
        drift = results.ch08.tuned(0, "PPO").log["kl"].tail(6).mean()
    finally:
        for name in cached:
            getattr(results.ch08, name).cache_clear()
    assert table["w2"].isna().sum() == 2 and sorted(table["w2"].dropna()) == [0.3, 0.3, 1.0, 1.0]
    own = table[table["w2"] == 0.3].set_index("kind")
    assert own["right"].to_dict() == pytest.approx((100 * run["right"]).to_dict())
    assert own["kl"].to_dict() == pytest.approx(dict.fromkeys(("positive", "negative"), drift))
    untuned = table[table["w2"].isna()]
    assert (untuned["kl"] == 0).all() and untuned["cosine"].between(-1, 1).all()
