"""What chapter 08 measures: small runs of it, and what the oracle's spectator counts."""

import numpy as np
import pandas as pd
import pytest

from synthlib import ledger, rewards
from synthlib.experiments import ch08 as art_ppo
from synthlib.methods import art


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Runs of two steps of eight answers; nothing that is kept reaches the repository."""
    monkeypatch.setattr(art_ppo, "STEPS", 2)
    monkeypatch.setattr(art_ppo, "ANSWERS", 8)
    monkeypatch.setattr(art_ppo, "EXAMINED", 6)
    monkeypatch.setattr(art_ppo, "SHOWN", (2,))
    bounds = rewards.Bounds(0.86, 0.8, 0.97)
    monkeypatch.setattr(art_ppo, "bounds", lambda *_: bounds)
    settings = art_ppo.settings
    monkeypatch.setattr(
        art_ppo, "settings", lambda **changes: settings(ppo_mini_batch_size=8, **changes)
    )
    monkeypatch.setattr(ledger.records, "MEASURED", tmp_path)
    for function in (art_ppo.anchors, art_ppo.tuned, art_ppo.before, art_ppo.after):
        function.cache_clear()
    yield
    for function in (art_ppo.anchors, art_ppo.tuned, art_ppo.before, art_ppo.after):
        function.cache_clear()


def test_anchors_to_tune_on_and_to_examine_with_are_apart():
    tuned_on, unseen = art_ppo.anchors(3)
    assert len(tuned_on) * 2 == art_ppo.STEPS * art_ppo.ANSWERS
    assert len(unseen) == art_ppo.EXAMINED and not set(tuned_on) & set(unseen)
    assert art_ppo.anchors(4) != art_ppo.anchors(3)


def test_the_spectator_counts_and_changes_nothing(small):
    run, entries, counts = art_ppo.Run(0, "without r₁"), [], []

    def other(entry, tasks, texts):
        table = pd.DataFrame(tasks).assign(text=texts)
        entries.append(entry)
        counts.append((art_ppo.right(table) == "right").mean())

    art_ppo.Run(0, "without r₁", on_step=other)
    assert run.log["right"].tolist() == pytest.approx(counts)
    for name in ("reward", "kl", "entropy", "policy_loss"):
        assert run.log[name].tolist() == pytest.approx([e[name] for e in entries], abs=1e-6)
    assert np.allclose(run.log["reward"], run.log["difficulty"], atol=1e-5)  # w = (0, 1)
    assert set(run.samples["step"]) == {2} and len(run.samples) == 6
    assert list(art_ppo.right(run.samples.assign(text=run.samples["anchor"]))) == ["copied"] * 6


def test_the_released_reward_is_scaled_and_shifted(small):
    plain, shifted = (
        art_ppo.Run(0, name).log["released"].iloc[0]
        for name in ("released", "(released + 3.5) / 15")
    )  # the first answers are the same: the policy is still its reference
    assert shifted == pytest.approx((plain + 3.5) / 15, abs=1e-5)


def test_a_study_keeps_its_rows_and_names_every_run(small):
    found = art_ppo.penalty(0)
    assert set(found) == {"08-kl-zero", "08-kl-large"} and np.isfinite(list(found.values())).all()
    log, after = ledger.rows("08-kl-log"), ledger.rows("08-kl")
    assert set(log["run"]) == {"β = 0", "PPO", "β = 0.5"} and len(log) == 6
    assert set(after["run"]) == {"before", *log["run"]} and len(after) == 8
    assert np.allclose(after[["right", "copied", "opposite", "neutral", "broken"]].sum(axis=1), 1)


def test_rloo_logs_in_our_names(small):
    pytest.importorskip("trl")
    log = art_ppo.logs(0, "RLOO")
    assert list(log["step"]) == [1, 2]
    assert log[["reward", "correctness", "difficulty", "kl", "length"]].notna().all().all()
    chosen = art_ppo.settings()
    paid = chosen.w1 * log["correctness"] + chosen.w2 * log["difficulty"]
    assert np.allclose(paid, log["reward"], atol=1e-4)


def test_outcomes_are_shares_by_kind():
    table = pd.DataFrame({
        "kind": ["positive"] * 4 + ["negative"] * 2, "p": 0.5, "similarity": 0.25,
        "outcome": ["right", "right", "copied", "broken", "opposite", "right"],
    })
    found = art_ppo.outcomes(table).set_index("kind")
    assert found.loc["positive", ["right", "copied", "broken"]].tolist() == [0.5, 0.25, 0.25]
    assert found.loc["negative", "opposite"] == 0.5 and found.loc["negative", "neutral"] == 0
    assert art_ppo.accuracy(table) == pytest.approx(50)
    assert set(art.KINDS) == set(found.index)


def test_one_model_is_smaller_than_two():
    assert 0.5 < art_ppo.one_model(0) < 0.6
