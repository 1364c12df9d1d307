"""Checks of the exercises of chapter 7."""

import math
import string

import numpy as np

from synthlib.checks import Mistake, run, wrong_answers


# ------------------------------------------------------------------ dual_reward
def _sign(x):
    return 0.0 if x == 0 else math.copysign(1.0, x)


def _dual_reward(p, s, positive, omega, alpha_plus, alpha_minus, w1=0.5, w2=0.5):
    found = []
    for probability, cosine, good in zip(p, s, positive, strict=True):
        if good:
            r2 = (1 - cosine) * _sign(cosine - alpha_plus)
        else:
            r2 = cosine * _sign(alpha_minus - cosine)
        found.append(w1 * (probability - omega) + w2 * r2)
    return np.array(found)


def _reward_cases(rng):
    both = np.array([True, False])
    yield np.array([0.9, 0.9]), np.array([0.8, 0.8]), both, 0.5, 0.7, 0.95
    yield np.array([0.9, 0.4]), np.array([0.75, 0.5]), both, 0.5, 0.75, 0.5  # on the bounds
    yield np.array([1.0, 1.0]), np.array([0.5, 0.99]), both, 0.9, 0.7, 0.95, 0.7, 0.3
    yield np.array([0.2, 0.3]), np.array([-0.4, -0.4]), both, 0.9, 0.7, 0.95, 0.2, 0.8
    for good in (True, False):
        for cosine in (-0.25, 0.5, 0.75, 1.0):  # one answer, on a bound or to a side of it
            w1, w2 = rng.uniform(0, 3, size=2).round(2)  # weights of any sum
            yield (np.array([rng.uniform()]), np.array([cosine]), np.array([good]), 0.5, 0.5, 0.75,
                   w1, w2)  # fmt: skip
    for n in (2, 5, 12):
        p, s = rng.uniform(size=n).round(3), rng.uniform(-0.5, 1, size=n).round(3)
        yield p, s, rng.random(n) < 0.5, 0.9, 0.6, 0.9, 0.7, 0.3
        yield p, s, rng.random(n) < 0.5, 0.3, 0.8, 0.7, *rng.uniform(0, 3, size=2).round(2)
        low, high = rng.choice(s, 2)
        yield p, s, np.arange(n) % 2 == 0, 0.9, low, high, 0.0, 1.5


def _reward(r2, r1=lambda p, omega: p - omega, mix=lambda a, b, w1, w2: w1 * a + w2 * b):
    """A wrong answer from one wrong piece."""

    def reward(p, s, positive, omega, alpha_plus, alpha_minus, w1=0.5, w2=0.5):
        p, s, positive = np.asarray(p), np.asarray(s), np.asarray(positive)
        return mix(r1(p, omega), r2(s, positive, alpha_plus, alpha_minus), w1, w2)

    return reward


def _right(s, positive, low, high):
    return np.where(positive, (1 - s) * np.sign(s - low), s * np.sign(high - s))


def _gated(p, s, positive, omega, alpha_plus, alpha_minus, w1=0.5, w2=0.5):
    paid = _reward(_right)(p, s, positive, omega, alpha_plus, alpha_minus, w1, w2)
    return np.where(np.asarray(p) > omega, paid, 0.0)


_REWARD = (
    Mistake(
        "paid on the bound",
        _reward(lambda s, g, low, high:
                np.where(g, (1 - s) * np.where(s >= low, 1, -1), s * np.where(s <= high, 1, -1))),
        "On the bound itself you pay in full. sgn(0) is 0: exactly there nothing is paid.",
    ),
    Mistake(
        "fined on the bound",
        _reward(lambda s, g, low, high:
                np.where(g, (1 - s) * np.where(s > low, 1, -1), s * np.where(s < high, 1, -1))),
        "On the bound itself you take the reward away. sgn(0) is 0: exactly there it is nothing.",
    ),
    Mistake(
        "no sign",
        _reward(lambda s, g, low, high: np.where(g, 1 - s, s)),
        "The cliffs are missing: below α⁺, and above α⁻, the sign turns.",
    ),
    Mistake(
        "distance in place of sign",
        _reward(lambda s, g, low, high: np.where(g, (1 - s) * (s - low), s * (high - s))),
        "You multiply by the distance from the bound. It is the sign of that distance, −1, 0 or 1.",
    ),
    Mistake(
        "one case for both",
        _reward(lambda s, g, low, high: (1 - s) * np.sign(s - low)),
        "Hard negatives have a case of their own: they earn s, up to α⁻.",
    ),
    Mistake(
        "kinds exchanged",
        _reward(lambda s, g, low, high: _right(s, ~g, low, high)),
        "The two cases stand the wrong way round: 1 − s is for positives.",
    ),
    Mistake(
        "sign turned over", _reward(lambda s, g, low, high: -_right(s, g, low, high)),
        "The sign stands the wrong way round: a positive earns above α⁺, a negative below α⁻.",
    ),
    Mistake(
        "easy is paid",
        _reward(lambda s, g, low, high:
                np.where(g, s * np.sign(s - low), (1 - s) * np.sign(high - s))),
        "You pay a positive s and a negative 1 − s, so the easy ones. A positive is hard where it "
        "is far from its anchor, a negative where it is near.",
    ),
    Mistake(
        "omega as a gate", _gated,
        "You pay nothing at all where P is below Ω. Ω is no gate: r₁ is negative there, and r₂ is "
        "paid as ever.",
    ),
    Mistake(
        "omega added", _reward(_right, r1=lambda p, omega: p + omega),
        "Ω is subtracted from the probability.",
    ),
    Mistake(
        "omega as a filter",
        _reward(_right, r1=lambda p, omega: np.maximum(p - omega, 0)),
        "You cut r₁ off at 0, as if Ω were a filter. Eq. 2 lets it be negative.",
    ),
    Mistake(
        "w₁ taken as all that w₂ leaves",
        _reward(_right, mix=lambda a, b, w1, w2: w1 * a + (1 - w1) * b),
        "You take 1 − w₁ for w₂. The two need not add up to 1: the task gives both.",
    ),
    Mistake(
        "divided by the weights", _reward(_right, mix=lambda a, b, w1, w2:
                                          (w1 * a + w2 * b) / (w1 + w2)),
        "You divide by w₁ + w₂. The reward is a sum, not a mean.",
    ),
    Mistake(
        "weights exchanged", _reward(_right, mix=lambda a, b, w1, w2: w2 * a + w1 * b),
        "w₁ belongs to correctness and w₂ to difficulty.",
    ),
)  # fmt: skip


def dual_reward(student):
    """Exercise 7.1: Eqs. 2 to 4."""
    return run("dual_reward", student, _dual_reward, _reward_cases, _REWARD)


# ------------------------------------------------------------------ break_even
def _break_even(p, alpha_minus, w1, w2):
    if w1 * p <= 0:
        return None
    lowest = alpha_minus - w1 / w2 * p
    return -1.0 if lowest < -1 else lowest


def _even_cases(rng):
    yield 1.0, 0.95, 0.3, 0.7
    yield 1.0, 0.95, 0.7, 0.3
    yield 0.5, 0.9, 0.5, 0.5
    for alpha in (0.9, 0.25, -0.5):  # without any correctness
        yield 0.0, alpha, 0.5, 0.5
        yield 0.8, alpha, 0.0, 1.0
        yield 0.0, alpha, 2.0, 0.1
    for alpha in (0.95, -0.5):  # every cosine will do
        yield 1.0, alpha, 0.75, 0.25
        yield 0.9, alpha, 3.0, 0.5
    yield 1.0, 0.5, 0.75, 0.5  # −1 exactly
    yield 1.0, -0.5, 0.5, 0.5
    for _ in range(8):
        yield (float(rng.uniform(0.1, 1)), float(rng.uniform(0.3, 1)),
               float(rng.uniform(0.1, 1.5)), float(rng.uniform(0.3, 3)))  # fmt: skip


def _from(formula):
    def even(p, alpha_minus, w1, w2):
        if w1 * p <= 0:
            return None
        return max(-1.0, formula(p, alpha_minus, w1, w2))

    return even


_EVEN = (
    Mistake(
        "ratio turned over", _from(lambda p, a, w1, w2: a - p * w2 / w1),
        "The ratio is upside down. The larger w₁, the more a probability is worth in cosines.",
    ),
    Mistake(
        "without p", _from(lambda p, a, w1, w2: a - w1 / w2),
        "You took P = 1. The answer's own probability scales what correctness earns it.",
    ),
    Mistake(
        "weights left out", _from(lambda p, a, w1, w2: a - p),
        "The weights are missing: a probability counts w₁, a cosine w₂.",
    ),
    Mistake(
        "sign", _from(lambda p, a, w1, w2: a + p * w1 / w2),
        "A more probable answer may be less similar, not more: subtract.",
    ),
    Mistake(
        "below -1", lambda p, a, w1, w2: None if w1 * p <= 0 else a - p * w1 / w2,
        "There is no cosine below −1: where every cosine will do, return −1.",
    ),
    Mistake(
        "cut at 0", lambda p, a, w1, w2: None if w1 * p <= 0 else max(0.0, a - p * w1 / w2),
        "Cosines go down to −1, not to 0.",
    ),
    Mistake(
        "not divided", _from(lambda p, a, w1, w2: a - p * w1),
        "You leave w₂ out: what correctness earns, w₁ · p, has to be divided by the price of a "
        "cosine.",
    ),
    Mistake(
        "no None", lambda p, a, w1, w2: max(-1.0, a - p * w1 / w2),
        "Without any correctness (p = 0, or w₁ = 0) no cosine below α⁻ is enough: return None.",
    ),
)  # fmt: skip


def break_even(student):
    """Exercise 7.2: the price of correctness in cosines."""
    return run("break_even", student, _break_even, _even_cases, _EVEN)


# ------------------------------------------------------------------ bounds
def _quantile(values, q):
    """By linear interpolation between order statistics, in plain Python."""
    ordered = sorted(float(v) for v in values)
    place = q * (len(ordered) - 1)
    i = min(int(place), len(ordered) - 2) if len(ordered) > 1 else 0
    after = ordered[i + 1] if len(ordered) > 1 else ordered[i]
    return ordered[i] + (place - i) * (after - ordered[i])


def _bounds(p, s, positive, quantile=0.05):
    rows = list(zip(p, s, positive, strict=True))
    low = _quantile([c for q, c, good in rows if q > 0.5 and good], quantile)
    high = _quantile([c for q, c, good in rows if q > 0.5 and not good], 1 - quantile)
    return low, high


def _bounds_cases(rng):
    for n, quantile in (
        (4, 0.25), (6, 0.05), (10, 0.25), (12, 0.05), (40, 0.05), (60, 0.1), (80, 0.25), (50, 0.0),
    ):  # fmt: skip
        p, s = rng.uniform(size=n), rng.uniform(-0.2, 1, size=n)
        positive = np.arange(n) % 2 == 0
        p[:2], p[2:4] = 0.9, 0.3  # of each kind one is accepted, and one is not
        s[p < 0.5] = rng.uniform(-0.9, 1, size=int((p < 0.5).sum()))
        yield p, s, positive, quantile
        # A probability of one half is not accepted, however odd the cosine.
        p, s = p.copy(), s.copy()
        p[2:4], s[2:4] = 0.5, (-0.95, 0.995)
        yield p, s, positive, quantile
    yield np.array([0.8, 0.7]), np.array([0.9, 0.4]), np.array([True, False])


def _by(low, high):
    def found(p, s, positive, quantile=0.05):
        p, s, positive = np.asarray(p), np.asarray(s), np.asarray(positive, dtype=bool)
        return float(low(p, s, positive, quantile)), float(high(p, s, positive, quantile))

    return found


_BOUNDS = (
    Mistake(
        "all answers",
        _by(lambda p, s, g, q: np.quantile(s[g], q), lambda p, s, g, q: np.quantile(s[~g], 1 - q)),
        "You look at all answers. Only the accepted ones count, those with P > 0.5.",
    ),
    Mistake(
        "one end for both",
        _by(lambda p, s, g, q: np.quantile(s[g & (p > 0.5)], q),
            lambda p, s, g, q: np.quantile(s[~g & (p > 0.5)], q)),
        "α⁻ is an upper bound: its quantile lies at the other end, at 1 − quantile.",
    ),
    Mistake(
        "ends exchanged",
        _by(lambda p, s, g, q: np.quantile(s[g & (p > 0.5)], 1 - q),
            lambda p, s, g, q: np.quantile(s[~g & (p > 0.5)], q)),
        "The ends are exchanged: α⁺ is a lower bound, α⁻ an upper one.",
    ),
    Mistake(
        "kinds mixed",
        _by(lambda p, s, g, q: np.quantile(s[p > 0.5], q),
            lambda p, s, g, q: np.quantile(s[p > 0.5], 1 - q)),
        "You take both kinds together: α⁺ is of positives, α⁻ of hard negatives.",
    ),
    Mistake(
        "extremes",
        _by(lambda p, s, g, q: s[g & (p > 0.5)].min(), lambda p, s, g, q: s[~g & (p > 0.5)].max()),
        "You take the smallest and the largest: one odd answer would set the bound. Use quantiles.",
    ),
    Mistake(
        "α⁻ first",
        lambda *given, **named: _bounds(*given, **named)[::-1],
        "You return α⁻ first. Wanted is (α⁺, α⁻).",
    ),
    Mistake(
        "quantiles of probabilities",
        _by(lambda p, s, g, q: np.quantile(p[g & (p > 0.5)], q),
            lambda p, s, g, q: np.quantile(p[~g & (p > 0.5)], 1 - q)),
        "These are quantiles of the probabilities. The bounds α are cosines.",
    ),
)  # fmt: skip


def bounds(student):
    """Exercise 7.3: α⁺ and α⁻ by the rule."""
    return run("bounds", student, _bounds, _bounds_cases, _BOUNDS)


# ------------------------------------------------------------------ ending_penalty
def _ending_penalty(text):
    last = None
    for character in text:
        if not character.isspace():
            last = character
    return 0.0 if last == "." or last == '"' else -3.5


def _ending_cases(rng):
    for text in ("A man runs.", 'She said "no"', "A man runs", "", "   ", "\n", "A man runs. ",
                 '"Quoted', "1.5", 'He said "yes".', "Is it.\n", 'Says "so" ', ".", ' "', "Wait...",
                 '"No." he says', "Dr. No", ".No", "No. 1\t", 'say "no"\t\n'):  # fmt: skip
        yield (text,)
    for mark in (*string.punctuation, *"…。”“»’"):  # two of them end a text well
        yield (f"A man runs{mark}",)
        yield (f"A man. runs{mark} ",)
    for _ in range(5):
        ends = (".", '"', "", "?", ". ", ".'")
        yield ("word " * int(rng.integers(1, 4)) + "end" + ends[rng.integers(6)],)


_ENDING = (
    Mistake(
        "always", lambda text: -3.5,
        "Every text pays, as in the released code: no character is both a full stop and a "
        "quotation mark, so “not the one or not the other” is always true.",
    ),
    Mistake(
        "sign", lambda text: -_ending_penalty(text),
        "You give 3.5 points instead of taking them: −3.5.",
    ),
    Mistake(
        "full stop only", lambda text: 0.0 if text.rstrip().endswith(".") else -3.5,
        "A quotation mark at the end is fine, too.",
    ),
    Mistake(
        "anywhere", lambda text: 0.0 if "." in text or '"' in text else -3.5,
        "You look for the marks anywhere in the text. Only the end counts.",
    ),
    Mistake(
        "space at the end", lambda text: 0.0 if text.endswith((".", '"')) else -3.5,
        "Space after the full stop does not count: take it off first.",
    ),
    Mistake(
        "blank spared", lambda text: 0.0 if text.rstrip().endswith((".", '"', "")) else -3.5,
        "No text pays in your version. (Of the empty text everything is an end: a blank ends with "
        "neither mark, and pays like the others.)",
    ),
    Mistake(
        "turned round", lambda text: -3.5 if text.rstrip().endswith((".", '"')) else 0.0,
        "The well-ended texts pay and the others do not: turn it round.",
    ),
)  # fmt: skip


def ending_penalty(student):
    """Exercise 7.4: the condition as it was meant."""
    return run("ending_penalty", student, _ending_penalty, _ending_cases, _ENDING)


WRONG = {
    "dual_reward": wrong_answers(_REWARD),
    "break_even": wrong_answers(_EVEN),
    "bounds": wrong_answers(_BOUNDS),
    "ending_penalty": wrong_answers(_ENDING),
}
