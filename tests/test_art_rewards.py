"""What chapter 07 measures, on few answers."""

import numpy as np
import pandas as pd
import pytest

from synthlib import ledger, rewards
from synthlib.experiments import ch07 as recipe

BOUNDS = rewards.Bounds(0.9, 0.8, 0.97)


@pytest.fixture(scope="module")
def table():
    recipe.answers.cache_clear()
    yield recipe.answers(3, 8, 4).copy()
    recipe.answers.cache_clear()


def test_answers_are_judged_by_both_and_by_the_oracle(table):
    assert len(table) == 2 * 8 * 4 and table["candidate"].max() == 3
    assert table["p"].between(0, 1).all() and table["similarity"].between(-1, 1 + 1e-6).all()
    assert not (table["right"] & table["copy"]).any()
    assert (table.loc[table["right"], "label"]
            == table.loc[table["right"], "kind"].map(recipe.ASKED)).all()  # fmt: skip


def test_parts_are_the_kernels_row_by_row(table):
    r1, r2 = recipe.parts(table, BOUNDS)
    for i, row in enumerate(table.itertuples()):
        alpha = BOUNDS.positive_bound if row.kind == "positive" else BOUNDS.negative_bound
        assert r1[i] == pytest.approx(row.p - 0.9)
        assert r2[i] == pytest.approx(rewards.difficulty_reward(row.similarity, row.kind, alpha))
    np.testing.assert_allclose(recipe.dual(table, BOUNDS, 0.7, 0.3), 0.7 * r1 + 0.3 * r2)


def test_best_is_a_loop_over_requests(table):
    reward = recipe.dual(table, BOUNDS)
    for n in (1, 3, 4):
        picked = recipe.best(table, reward, n)
        assert len(picked) == 16
        for row in picked.itertuples():
            mine = (table["row"] == row.row) & (table["kind"] == row.kind)
            mine &= table["candidate"] < n
            assert row.reward == pytest.approx(reward[mine.to_numpy()].max())
    assert (recipe.best(table, reward, 1)["candidate"] == 0).all()


def test_released_is_what_the_reward_function_gives(table):
    _, discriminator, encoder = recipe.judges()
    (function,) = rewards.reward_functions(
        discriminator, encoder.encode, **BOUNDS._asdict(), variant="released"
    )
    direct = function(list(table["text"]), list(table["anchor"]), list(table["kind"]))
    np.testing.assert_allclose(recipe.released(table)["reward"], direct, atol=1e-3)


def test_the_jump_is_twice_what_is_left_to_one():
    assert recipe.jump(BOUNDS) == pytest.approx(2 * (1 - 0.8), abs=1e-6)


def test_one_seed_measures_every_claim(monkeypatch, table):
    """Every claim of the chapter gets a number, and the numbers are those of the rows kept."""
    kept = {}
    monkeypatch.setattr(ledger, "keep_rows", lambda name, seed, rows: kept.update({name: rows}))
    monkeypatch.setattr(recipe, "answers", lambda seed: table)
    probed = pd.concat([table.assign(p=np.maximum(table["p"], 0.6))] * 3, ignore_index=True)
    monkeypatch.setattr(recipe, "_probed", lambda seed: probed)
    monkeypatch.setattr(recipe, "CANDIDATES", 4)
    recipe.bounds.cache_clear()
    found = recipe.measure_rewards(3)
    recipe.bounds.cache_clear()
    assert set(found) == {c for c in ledger.claims(7).index if not c.startswith("07-policy")}
    assert all(np.isfinite(value) for name, value in found.items() if "hesitant" not in name)
    assert found["07-omega-shift"] < 1e-6
    assert set(kept) == {"07-best-of", "07-quantiles", "07-encoders"}
    last = kept["07-best-of"].query("n == 16").set_index(["reward", "kind"])["right"]
    assert found["07-needs-correctness"] == pytest.approx(
        last["both"].mean() - last["r₂ alone"].mean()
    )


def test_a_policy_is_watched_while_it_is_tuned(monkeypatch):
    """Answers to the same anchors at the steps asked for; the first are the generator's own."""
    monkeypatch.setattr(recipe, "SHOWN", (0, 1))
    monkeypatch.setattr(recipe, "bounds", lambda seed: BOUNDS)
    kept = {}
    monkeypatch.setattr(ledger, "keep_rows", lambda name, seed, rows: kept.update({name: rows}))
    table = recipe.tuned(5, steps=1, watched=6)
    assert table.groupby("step").size().to_dict() == {0: 12, 1: 12}
    before, after = (table[table["step"] == step].reset_index(drop=True) for step in (0, 1))
    assert (before["anchor"] == after["anchor"]).all() and (before["text"] != after["text"]).any()
    plain = recipe._seen(recipe.judges()[0], list(before["anchor"][::2]), 1, 5)
    assert list(plain["text"]) == list(before["text"])

    monkeypatch.setattr(recipe, "tuned", lambda seed: table)
    found = recipe.measure_policy(5)
    assert found["07-policy-right"] == pytest.approx(
        100 * (after["right"].mean() - before["right"].mean())
    )
    assert len(kept["07-policy"]) == 24


def test_refused_answers_cannot_win_by_correctness():
    """Two answers to one request: r₁ picks the probable one, r₂ the hard one."""
    rows = pd.DataFrame({
        "row": 0, "anchor": "a", "kind": "negative", "candidate": [0, 1], "text": ["b", "c"],
        "p": [0.99, 0.01], "similarity": [0.3, 0.96], "copy": False, "right": [True, False],
    })  # fmt: skip
    r1, r2 = recipe.parts(rows, BOUNDS)
    assert recipe.best(rows, r1, 2)["right"].item() and not recipe.best(rows, r2, 2)["right"].item()
