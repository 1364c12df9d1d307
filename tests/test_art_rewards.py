"""What chapter 07 measures, on few answers."""

import numpy as np
import pandas as pd
import pytest
import torch

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


def released_by_hand(anchor, said, kind, logits, similarity):
    """The released code's reward of one clean line of lower-case words, from papers-vs-code."""
    target, words = {"positive": 0, "negative": 2}[kind], len(said.split())
    if logits.argmax() == target:
        p = np.exp(logits[target]) / np.exp(logits).sum()
        total = 30 * (p - 0.93)
    elif kind == "negative" and logits.argmax() == 1:
        total = -1.0
    else:
        total = 1.5 * logits[target]
    if kind == "negative":
        total += 15 * (similarity - 0.65)
    else:
        total += (15 if similarity >= 0.7 else -15) * (0.85 - similarity)
    total += 0.5
    if len(said) < 5:
        return -7.0
    lost = max(len(anchor.split()) - words, 0)
    if said[1:-3] in anchor:
        return -5.0 - 3.5 - lost / 3
    return total - 3.5 - lost / 3 - 4.0 * (lost > 5)


def test_released_is_the_released_code_one_answer_at_a_time(table):
    _, (model, tokenizer), encoder = recipe.judges()
    named = {name.lower(): i for i, name in model.config.id2label.items()}
    columns = [named[name] for name in ("entailment", "neutral", "contradiction")]
    expected = []
    for row in table.itertuples():
        said = row.text.strip()
        assert said and "\n" not in said and said.isascii() and "Note:" not in said
        with torch.no_grad():
            logits = model(**tokenizer(row.anchor, said, return_tensors="pt")).logits[0]
        u, v = encoder.encode([row.anchor])[0], encoder.encode([said])[0]
        cosine = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
        expected.append(
            released_by_hand(row.anchor, said, row.kind, logits[columns].numpy(), cosine)
        )
    found = recipe.released(table)["reward"]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert found.nunique() > 20


def test_the_jump_is_twice_what_is_left_to_one():
    assert recipe.jump(BOUNDS) == pytest.approx(2 * (1 - 0.8), abs=1e-6)


def test_omega_at_the_token_is_a_constant_discounted_to_the_front(monkeypatch):
    """Before any step the adapter changes nothing and every value is 0: an answer's reward r is an
    advantage of r·0.95^d at the token d places before its end, less mean and spread of the batch.
    Ω takes w₁·0.99 from every r, so the two columns differ by a known curve."""
    monkeypatch.setattr(recipe, "bounds", lambda seed: BOUNDS)
    table = recipe.at_the_token(0, batch=8)
    assert table.groupby("answer")["left"].apply(lambda left: sorted(left)[0] == 0).all()
    low, high = table["0"].to_numpy(float), table["0.99"].to_numpy(float)
    for column in (low, high):
        assert column.mean() == pytest.approx(0, abs=1e-4)
        assert column.std() == pytest.approx(1, rel=1e-3)
    curve = 0.5 * 0.99 * 0.95 ** table["left"].to_numpy()
    known = np.stack([low, -high, np.ones(len(table))], axis=1)  # spread, spread, means
    found, *_ = np.linalg.lstsq(known, curve, rcond=None)
    assert np.abs(known @ found - curve).max() < 1e-4 and (found[:2] > 0).all()


def test_one_seed_measures_every_claim(monkeypatch, table):
    """Every claim of the chapter gets a number, and the numbers are those of the rows kept."""
    kept = {}
    monkeypatch.setattr(ledger, "keep_rows", lambda name, seed, rows: kept.update({name: rows}))
    monkeypatch.setattr(recipe, "answers", lambda seed: table)
    probed = pd.concat([table.assign(p=np.maximum(table["p"], 0.6))] * 3, ignore_index=True)
    monkeypatch.setattr(recipe, "probed", lambda seed: probed)
    monkeypatch.setattr(recipe, "CANDIDATES", 4)
    recipe.bounds.cache_clear()
    found = recipe.measure_rewards(3)
    tuned = ("07-policy", "07-omega-token", "07-omega-sign", "07-omega-policy")  # by PPO
    assert set(found) == {c for c in ledger.claims(7).index if not c.startswith(tuned)}
    assert all(np.isfinite(value) for name, value in found.items() if "hesitant" not in name)
    assert found["07-omega-shift"] < 1e-6
    assert set(kept) == {"07-best-of", "07-quantiles", "07-encoders"}
    chosen = recipe.bounds(3)
    recipe.bounds.cache_clear()

    def hard(row):  # Eq. 3
        s, kind = row.similarity, row.kind
        inside = s - chosen.positive_bound if kind == "positive" else chosen.negative_bound - s
        return (1 - s if kind == "positive" else s) * np.sign(inside)

    def share_of_right(reward):
        """By hand: the best answer to each request; the mean over both kinds, in percent."""
        best = {}
        for row in table.itertuples():
            request = row.kind, row.row
            if request not in best or reward(row) > best[request][0]:
                best[request] = reward(row), row.right
        return 100 * np.mean([right for _, right in best.values()])

    both = share_of_right(lambda row: (row.p - chosen.lower_bound) / 2 + hard(row) / 2)
    assert found["07-needs-correctness"] == pytest.approx(both - share_of_right(hard))
    assert both != share_of_right(hard)


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
    plain = recipe.seen(recipe.judges()[0], list(before["anchor"][::2]), 1, 5)
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
