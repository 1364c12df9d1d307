"""The dual reward: kernels against loops from the equations, and judging with real models."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthlib import models, rewards
from synthlib.world import corpora

cosines = st.floats(-1, 1)
unit = st.floats(0, 1)


def by_the_equation(s, kind, bound):
    """Eq. 3 in its own words, one value at a time."""
    def sign(x):
        return 0 if x == 0 else math.copysign(1, x)

    return (1 - s) * sign(s - bound) if kind == "positive" else s * sign(bound - s)


@settings(deadline=None)  # a busy machine is not slow code
@given(st.lists(st.tuples(cosines, st.sampled_from(rewards.KINDS), cosines), min_size=1))
def test_difficulty_is_equation_3_row_by_row(rows):
    s, kind, bound = map(list, zip(*rows, strict=True))
    expected = [by_the_equation(*row) for row in rows]
    np.testing.assert_allclose(rewards.difficulty_reward(s, kind, bound), expected)
    for row, value in zip(rows, expected, strict=True):
        assert rewards.difficulty_reward(*row) == pytest.approx(value)


@settings(deadline=None)
@given(unit, unit, st.floats(-2, 2), st.floats(-2, 2), cosines)
def test_correctness_and_their_sum(p, omega, w1, w2, s):
    r1 = rewards.correctness_reward(p, omega)
    assert r1 == pytest.approx(p - omega)
    r2 = rewards.difficulty_reward(s, "negative", 0.9)
    assert rewards.dual_reward(r1, r2, w1, w2) == pytest.approx(w1 * r1 + w2 * r2)


def test_the_cliffs():
    """At a bound the reward is 0; just inside it is greatest, just outside it turns negative."""
    a, step = 0.7, 1e-6
    assert rewards.difficulty_reward(a, "positive", a) == 0
    assert rewards.difficulty_reward(a + step, "positive", a) == pytest.approx(0.3, abs=1e-5)
    assert rewards.difficulty_reward(a - step, "positive", a) == pytest.approx(-0.3, abs=1e-5)
    inside = rewards.difficulty_reward(np.linspace(a + step, 1, 50), ["positive"] * 50, a)
    assert inside.argmax() == 0 and inside[-1] == pytest.approx(0)  # a copy earns nothing
    b = 0.95
    assert rewards.difficulty_reward(b, "negative", b) == 0
    assert rewards.difficulty_reward(b - step, "negative", b) == pytest.approx(0.95, abs=1e-5)
    assert rewards.difficulty_reward(b + step, "negative", b) == pytest.approx(-0.95, abs=1e-5)


def test_tensors_and_single_values():
    assert isinstance(rewards.correctness_reward(0.9, 0.93), float)
    r1 = rewards.correctness_reward(torch.tensor([0.9, 0.95]), 0.93)
    np.testing.assert_allclose(r1, [-0.03, 0.02], atol=1e-6)
    assert rewards.difficulty_reward(1 + 1e-7, "positive", 0.7) == 0  # a cosine's rounding
    np.testing.assert_allclose(rewards.dual_reward([1.0, 0.0], [0.0, 1.0]), [0.5, 0.5])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: rewards.correctness_reward(float("nan"), 0.9), "not finite"),
        (lambda: rewards.correctness_reward(1.2, 0.9), "p_target"),
        (lambda: rewards.correctness_reward(0.5, 93), "Ω"),
        (lambda: rewards.difficulty_reward([0.5, np.inf], "positive", 0.7), "similarity"),
        (lambda: rewards.difficulty_reward(0.5, "neutral", 0.7), "neutral"),
        (lambda: rewards.difficulty_reward(0.5, "positive", 1.7), "bound"),
        (lambda: rewards.difficulty_reward([0.5, 0.6], ["positive"] * 3, 0.7), "one length"),
        (lambda: rewards.difficulty_reward(0.5, "positive", 0.7, variant="other"), "variant"),
        (lambda: rewards.dual_reward([1, 2], [1, 2, 3]), "shape"),
        (lambda: rewards.dual_reward(1, 2, w1=float("nan")), "w1"),
    ],
)
def test_what_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call()


@pytest.fixture(scope="module")
def judges():
    return models.load_nli("pocket/nli", device="cpu"), models.load_encoder(
        "pocket/simcse-sup-bert", device="cpu"
    )


BOUNDS = dict(lower_bound=0.9, positive_bound=0.5, negative_bound=0.95)


def test_judging_agrees_with_one_by_one(judges):
    discriminator, encoder = judges
    rows = corpora.triplets(12, seed=3)
    anchor = [a for a, _, _ in rows] * 2 + [rows[0][0]]
    said = [p for _, p, _ in rows] + [n for _, _, n in rows] + [" "]
    kind = ["positive"] * 12 + ["negative"] * 12 + ["positive"]
    r1, r2 = rewards.reward_functions(discriminator, encoder.encode, **BOUNDS, batch_size=5)
    together = r1(said, anchor, kind), r2(completions=said, anchor=anchor, kind=kind, prompts=said)
    for i in range(len(said)):
        one = r1([said[i]], [anchor[i]], [kind[i]]), r2([said[i]], [anchor[i]], [kind[i]])
        assert one[0][0] == pytest.approx(together[0][i], abs=1e-5)
        assert one[1][0] == pytest.approx(together[1][i], abs=1e-5)
    assert together[0][-1] == -0.9 and together[1][-1] == -1.0  # nothing was said
    # The corpus is right, and the discriminator knows it: nearly all earn p ≈ 1.
    assert np.mean(np.array(together[0][:24]) > 0) > 0.8
    assert (r1.__name__, r2.__name__) == ("correctness", "difficulty")


def test_anchors_are_embedded_once(judges):
    discriminator, encoder = judges
    seen = []

    def encode(texts):
        seen.extend(texts)
        return encoder.encode(texts)

    _, r2 = rewards.reward_functions(discriminator, encode, **BOUNDS)
    for said in ("a cat sleeps", "two men run", "a dog runs"):
        r2([said], ["the dog is asleep"], ["negative"])
    assert seen.count("the dog is asleep") == 1 and len(seen) == 4


def test_a_judge_that_gives_nan_is_named(judges):
    discriminator, _ = judges
    _, r2 = rewards.reward_functions(
        discriminator, lambda texts: np.full((len(texts), 4), np.nan), **BOUNDS
    )
    with pytest.raises(ValueError, match="NaN|finite"):
        r2(["a cat"], ["a dog"], ["positive"])
    with pytest.raises(ValueError, match="one of"):
        r2(["a cat"], ["a dog", "a man"], ["positive"])
    with pytest.raises(ValueError, match="entailment"):
        r2(["a cat"], ["a dog"], ["entailment"])


# ---------------------------------------------------------------- bounds by the book's rule
def test_bounds_are_quantiles_of_what_is_accepted():
    rng = np.random.default_rng(0)
    p, s = rng.uniform(size=400), rng.uniform(-1, 1, size=400)
    kind = np.array(["positive", "negative"] * 200)
    found = rewards.choose_bounds(p, s, kind, quantile=0.1)
    accepted = p > 0.5
    # By counting: a tenth of the accepted lies beyond each bound.
    assert np.mean(p[accepted] < found.lower_bound) == pytest.approx(0.1, abs=0.01)
    positives, negatives = s[accepted & (kind == "positive")], s[accepted & (kind == "negative")]
    assert np.mean(positives < found.positive_bound) == pytest.approx(0.1, abs=0.01)
    assert np.mean(negatives > found.negative_bound) == pytest.approx(0.1, abs=0.01)
    # What is refused does not count, whatever its similarity.
    moved = np.where(accepted, s, -1.0)
    assert rewards.choose_bounds(p, moved, kind, quantile=0.1) == found


def test_bounds_need_accepted_outputs():
    p, s, kind = np.full(60, 0.9), np.zeros(60), ["positive"] * 50 + ["negative"] * 10
    with pytest.raises(ValueError, match="10 of 10 negatives, and 20"):
        rewards.choose_bounds(p, s, kind)
    with pytest.raises(ValueError, match="quantile"):
        rewards.choose_bounds(p, s, kind, quantile=0.5)
    with pytest.raises(ValueError, match="shapes"):
        rewards.choose_bounds(p, s[:5], kind)


def test_the_lower_bound_moves_every_reward_alike():
    p = np.linspace(0, 1, 7)
    shift = rewards.correctness_reward(p, 0.9) - rewards.correctness_reward(p, 0.2)
    np.testing.assert_allclose(shift, -0.7)


# ---------------------------------------------------------------- the released reward
ANCHOR = "a man in a red coat is running in the park"  # 11 words
FAR = "one guy runs about outside wearing something red of his ."  # 11 words


def released(said, kind="positive", logits=(4.0, 0.0, -2.0), s=0.8, anchor=ANCHOR):
    return rewards.released_reward([anchor], [said], [kind], [logits], [s]).iloc[0]


@pytest.mark.parametrize(
    ("kind", "logits", "expected"),
    [
        ("positive", (4.0, 0.0, -2.0), 30 * (1 / (1 + math.exp(-4) + math.exp(-6)) - 0.93)),
        ("positive", (1.0, 2.0, 0.0), 1.5),  # predicted neutral: the raw logit
        ("negative", (1.0, 2.0, 0.0), -1.0),  # a negative that is predicted neutral
        ("negative", (3.0, 0.0, -2.0), -3.0),
    ],
)
def test_released_correctness(kind, logits, expected):
    assert released(FAR, kind, logits)["correctness"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "s", "expected"),
    [
        ("positive", 0.8, 0.75),
        ("positive", 0.95, -1.5),
        ("positive", 0.7, 2.25),
        ("positive", 0.7 - 1e-9, -2.25),  # a jump of 4.5
        ("negative", 0.65, 0.0),
        ("negative", 1.0, 5.25),  # no upper bound: a copy earns most
    ],
)
def test_released_difficulty(kind, s, expected):
    assert released(FAR, kind, s=s)["difficulty"] == pytest.approx(expected, abs=1e-6)


def test_released_form():
    plain = released(FAR)
    assert plain["form"] == 0.5 and plain["always"] == -3.5 and plain["length"] == 0
    total = plain["correctness"] + plain["difficulty"] + 0.5 - 3.5
    assert plain["reward"] == pytest.approx(total)
    for end in (".", '"', "!", "g"):  # the condition that is always true
        assert released(FAR[:-1] + end)["always"] == -3.5
    assert released(FAR + "\nand more")["form"] == -1.5
    assert released(FAR + "\nund schön")["form"] == -5
    assert released(FAR + " Note: short")["form"] == -1
    assert rewards.released_text(FAR + " Note: short") == FAR[:-1].strip() + " ."
    copy = released(ANCHOR)
    assert copy["replaced"] == -5 and copy["reward"] == -8.5  # whatever the judges say
    assert released("run")["reward"] == -7 and released("")["reward"] == -7
    assert released(FAR.replace("guy", "gúy"))["reward"] == -8
    short = released("one guy runs about")  # 7 words lost
    assert short["length"] == pytest.approx(-4 - 7 / 3)
    assert released("one guy runs about in red clothes")["length"] == pytest.approx(-4 / 3)


@pytest.mark.parametrize("around", ["  {} ", "\n{}", "{}\n", "\n\n {}\t\n"])
def test_the_released_reward_takes_white_space_off(judges, around):
    """The released trainer sends stripped answers: a line end before one is no second line."""
    for text in (FAR, "run", ANCHOR, FAR + "\nand more", FAR + " Note: short"):
        assert released(around.format(text)).equals(released(text))
        assert rewards.released_text(around.format(text)) == rewards.released_text(text)
    discriminator, encoder = judges
    (total,) = rewards.reward_functions(discriminator, encoder.encode, **BOUNDS, variant="released")
    kinds, anchors = ["positive", "negative"], [ANCHOR] * 2
    assert total([around.format(FAR)] * 2, anchors, kinds) == total([FAR] * 2, anchors, kinds)


def test_the_released_reward_as_a_function(judges):
    discriminator, encoder = judges
    (total,) = rewards.reward_functions(discriminator, encoder.encode, **BOUNDS, variant="released")
    anchors = [ANCHOR] * 3
    said = ["a guy in a red coat is running in the park", ANCHOR, " "]
    kinds = ["positive", "positive", "negative"]
    found = total(said, anchors, kinds, prompts=said)
    assert found[1:] == [-8.5, -7.0]
    model, tokenizer = discriminator
    with torch.no_grad():
        rows = tokenizer(ANCHOR, said[0], return_tensors="pt")
        logits = model(**rows).logits[0, list(models.nli_columns(model.config.id2label))]
    a, b = encoder.encode([ANCHOR, said[0]])
    s = float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
    expected = released(said[0], logits=logits.tolist(), s=s)["reward"]
    assert found[0] == pytest.approx(expected, abs=1e-3)
    assert total([said[0]], [ANCHOR], ["positive"])[0] == pytest.approx(found[0], abs=1e-3)
    with pytest.raises(ValueError, match="variant"):
        rewards.reward_functions(discriminator, encoder.encode, **BOUNDS, variant="new")
    with pytest.raises(ValueError, match="one of each"):
        rewards.released_reward([ANCHOR], ["x"], ["positive"], [[0, 0, 0]], [0.5, 0.5])
