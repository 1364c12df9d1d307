"""Checks of the exercises of chapter 4."""

import math
import re

import numpy as np

from synthlib.checks import Mistake, run, wrong_answers


# ------------------------------------------------------------------ read_score
def _digits(text, i):
    """Where the digits that begin at place i end."""
    while i < len(text) and text[i] in "0123456789":
        i += 1
    return i


def _read_score(text):
    if text is None:
        return None
    start = next((i for i, c in enumerate(text) if c in "0123456789"), None)
    if start is None:
        return None
    end = _digits(text, start)
    if end + 1 < len(text) and text[end] == "." and text[end + 1] in "0123456789":
        end = _digits(text, end + 1)
    value = float(text[start:end])
    if start and text[start - 1] == "-":
        value = -value
    return value if 0 <= value <= 5 else None


def _read_cases(rng):
    yield "4.5"
    yield "4.5/5"
    yield "Score: 3."
    yield "-1"
    yield "5.9"
    yield "they mean the same"
    yield ""
    yield None
    yield "about 2, at most 3"
    yield "out of 5 I give 2.5"
    yield "12"
    for number in ("0", "0.0", "5", "5.0", "5.001", "-0.5", "7", "4.75", "10.5"):  # at the ends
        yield number
        yield f"{number} of 4"
        yield f"I say {number}"
    for _ in range(8):
        value = rng.integers(-4, 15) / 2
        before, after = ("", "score ", "I say "), ("", " of 5", ".")
        yield f"{before[rng.integers(3)]}{value}{after[rng.integers(3)]}"


def _numbers(text):
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", text or "")]


def _inside(value):
    return value if 0 <= value <= 5 else None


def _last_number(text):
    found = _numbers(text)
    return _inside(found[-1]) if found else None


def _no_sign(text):
    found = _numbers(text)
    return _inside(abs(found[0])) if found else None


def _clipped(text):
    found = _numbers(text)
    return min(5.0, max(0.0, found[0])) if found else None


def _bare(text):
    """Only what is nothing but a number, like the released code."""
    return float(text) if re.fullmatch(r"[0-5](\.\d)?", text or "") else None


def _first_possible(text):
    return next((x for x in _numbers(text) if 0 <= x <= 5), None)


def _whole(text):
    found = re.search(r"-?\d+", text or "")
    return _inside(float(found[0])) if found else None


_READ = (
    Mistake(
        "last number", _last_number,
        'You read the last number. "4.5/5" is a 4.5: what comes first is the answer.',
    ),
    Mistake(
        "sign lost", _no_sign,
        'A minus sign got lost: "-1" is no score of 1.0, it lies outside the scale.',
    ),
    Mistake(
        "clipped", _clipped,
        "You pull what lies outside the scale to its end. A judge that writes 5.9 has not "
        "understood: return None.",
    ),
    Mistake(
        "bare numbers only", _bare,
        "You read texts that are a number and nothing else, as the released code does (5.9 "
        "passes there, too). Find the first number wherever it stands, then ask whether it is on "
        "the scale.",
    ),
    Mistake(
        "first number that fits", _first_possible,
        "You skip numbers outside the scale and take a later one. The first number is the "
        "answer; if it is impossible, there is no score.",
    ),
    Mistake(
        "whole numbers", _whole,
        "The part after the point is lost: scores come in halves.",
    ),
)  # fmt: skip


def read_score(student):
    """Exercise 4.1: the first number of a text as a score."""
    return run("read_score", student, _read_score, _read_cases, _READ)


# ------------------------------------------------------------------ grid_counts
def _grid_counts(a, b, alpha, beta, gamma):
    counts = []
    for low, high, margin in zip(alpha, beta, gamma, strict=True):
        count = 0
        for x, y in zip(a, b, strict=True):
            if math.isnan(x) or math.isnan(y) or x < low or y > high:
                continue
            count += math.isnan(margin) or x >= y + margin
        counts.append(count)
    return np.array(counts, dtype=int)


def _grid_cases(rng):
    nan = math.nan
    a, b = np.array([5.0, 3.0, 2.5, 4.0]), np.array([1.0, 2.0, 0.0, 3.5])
    yield a, b, np.array([3.0]), np.array([3.0]), np.array([1.0])
    yield a, b, np.array([3.0, 4.0]), np.array([4.0, 4.0]), np.array([nan, 1.0])
    one = np.ones(1)
    yield np.array([4.0, nan]), np.array([nan, 1.0]), 0 * one, 5 * one, nan * one
    yield np.array([3.5, 3.0]), np.array([3.0, 3.0]), 3 * one, 3 * one, 0.5 * one
    yield one, 2 * one, one, 2 * one, nan * one  # on two bounds, and without a margin
    yield one, 2 * one, one, 2 * one, -1 * one  # on all three
    yield 3 * one, 4 * one, 2 * one, 5 * one, nan * one
    yield 3 * one, 4 * one, 2 * one, 5 * one, 0 * one  # a margin of 0 is a margin
    yield np.array([]), np.array([]), one, one, one  # no triplet
    for n, m in ((1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (25, 4), (25, 7)):
        for missing in (0.1, 0.6):
            a, b = rng.integers(0, 11, size=(2, n)) / 2
            a[rng.random(n) < 0.1] = nan
            alpha, beta, gamma = rng.integers(-2, 9, size=(3, m)) / 2
            gamma[rng.random(m) < missing] = nan
            yield a, b, alpha, beta, gamma


def _by_cell(rule):
    """A wrong answer from a wrong rule for one cell."""

    def counts(a, b, alpha, beta, gamma):
        with np.errstate(invalid="ignore"):
            return np.array(
                [rule(a, b, *cell).sum() for cell in zip(alpha, beta, gamma, strict=True)]
            )

    return counts


def _margin(a, b, g):
    return (a >= b + g) | math.isnan(g)


def _read(a, b):
    return ~(np.isnan(a) | np.isnan(b))


_GRID = (
    Mistake(
        "a missing margin keeps nothing",
        _by_cell(lambda a, b, low, high, g: (a >= low) & (b <= high) & (a >= b + g)),
        "Where γ is NaN your cell keeps nothing: a comparison with NaN is false. There the third "
        "rule must let everything pass, as a margin of −∞ does.",
    ),
    Mistake(
        "a missing margin is zero",
        _by_cell(lambda a, b, low, high, g:
                 (a >= low) & (b <= high) & (a >= b + (0 if math.isnan(g) else g))),
        'You read "no margin" as γ = 0. That still asks for a ≥ b; without the rule a may be less.',
    ),
    Mistake(
        "no margin at all",
        _by_cell(lambda a, b, low, high, g: (a >= low) & (b <= high)),
        "The third rule is missing: where γ is a number, a must reach b + γ.",
    ),
    Mistake(
        "strict",
        _by_cell(lambda a, b, low, high, g:
                 (a > low) & (b < high) & ((a > b + g) | math.isnan(g)) & _read(a, b)),
        "Scores on a threshold are left out: the rules say ≥ and ≤, and with half points very "
        "many scores lie exactly on one.",
    ),
    Mistake(
        "unread scores pass",
        _by_cell(lambda a, b, low, high, g:
                 ~((a < low) | (b > high) | (a < b + (-math.inf if math.isnan(g) else g)))),
        "A triplet without a score is counted. Ask what to keep, not what to throw away: then "
        "NaN stays out by itself.",
    ),
    Mistake(
        "one of the three",
        _by_cell(lambda a, b, low, high, g:
                 ((a >= low) | (b <= high) | _margin(a, b, g)) & _read(a, b)),
        "You count triplets that satisfy any of the rules: all three must hold.",
    ),
)  # fmt: skip


def grid_counts(student):
    """Exercise 4.2: the counts of Table 6 by broadcasting."""
    return run("grid_counts", student, _grid_counts, _grid_cases, _GRID)


# ------------------------------------------------------------------ expected_score
def _expected_score(logprobs, values, min_mass=0.1):
    p = [math.exp(x) for x in logprobs]
    mass = math.fsum(p)
    if mass < min_mass or mass == 0:
        return None
    return math.fsum(q * v for q, v in zip(p, values, strict=True)) / mass


def _expected_cases(rng):
    halves = np.arange(11) / 2
    yield np.log([0.5, 0.5]), np.array([4.0, 5.0])
    yield np.log([0.2, 0.2]), np.array([1.0, 3.0])
    yield np.log([0.01, 0.02]), np.array([1.0, 3.0])
    yield np.log([0.01, 0.02]), np.array([1.0, 3.0]), 0.0
    yield np.log([0.9, 0.05]), np.array([5.0, 0.0]), 0.5
    # exp(0) is 1 to the last digit: the mass is exactly what is asked for, and is enough.
    yield np.array([0.0]), np.array([3.5]), 1.0
    yield np.array([0.0, -math.inf]), np.array([1.5, 4.0]), 1.0
    yield np.array([-700.0, 0.0, -800.0]), np.array([0.0, 2.5, 5.0]), 1.0
    yield np.log([0.3]), np.array([-2.0])
    for mass in (0.97, 0.6, 0.3, 0.05, 0.02):
        for n in (2, 11):
            p = rng.dirichlet(np.full(n, 0.4)) * mass + 1e-9
            yield np.log(p), halves[:n]


def _p(logprobs):
    return np.exp(np.asarray(logprobs, dtype=float))


def _enough(function):
    def guarded(logprobs, values, min_mass=0.1):
        return None if _p(logprobs).sum() < min_mass else float(function(logprobs, values))

    return guarded


def _unguarded(logprobs, values, min_mass=0.1):
    p = _p(logprobs)
    return float(p @ values / p.sum())


def _zero(logprobs, values, min_mass=0.1):
    p = _p(logprobs)
    return float(p @ values / p.sum()) if p.sum() >= min_mass else 0.0


_EXPECTED = (
    Mistake(
        "not normalised", _enough(lambda x, v: _p(x) @ v),
        "The score tokens do not have all the probability: divide by what they have together, or "
        "every score is pulled towards 0.",
    ),
    Mistake(
        "likeliest score", _enough(lambda x, v: np.asarray(v)[np.argmax(x)]),
        "This is the likeliest score, what greedy decoding writes. The expected value weighs all "
        "scores by their probabilities.",
    ),
    Mistake(
        "plain mean", _enough(lambda x, v: np.mean(v)),
        "All scores count the same in your mean: weigh each by its probability.",
    ),
    Mistake(
        "log-probabilities as weights",
        _enough(lambda x, v: np.asarray(x) @ v / np.sum(x)),
        "Log-probabilities are no weights: the unlikeliest score has the largest of them in "
        "size. Take their exponential first.",
    ),
    Mistake(
        "no mass", _unguarded,
        "Where the score tokens have hardly any probability, the model was about to write "
        "something else. Then there is no score: return None.",
    ),
    Mistake(
        "zero instead of nothing", _zero,
        "A missing score is no score of 0.0, which would say that the sentences are strangers: "
        "return None.",
    ),
)  # fmt: skip


def expected_score(student):
    """Exercise 4.3: the expected value over score tokens."""
    return run("expected_score", student, _expected_score, _expected_cases, _EXPECTED)


# ------------------------------------------------------------------ loosest_beta
def _loosest_beta(b, right, target):
    best = None
    for beta in sorted(set(map(float, b))):
        kept = [bool(r) for score, r in zip(b, right, strict=True) if score <= beta]
        if sum(kept) / len(kept) >= target:
            best = beta
    return best


def _beta_cases(rng):
    yield np.array([0.5, 1.0, 2.0, 5.0]), np.array([True, True, True, False]), 0.9
    yield np.array([0.0, 1.0, 1.0, 2.0, 3.0]), np.array([False, True, True, True, True]), 0.75
    yield np.array([1.0, 2.0]), np.array([False, False]), 0.5
    yield np.array([2.0, 2.0, 2.0, 4.0]), np.array([True, False, True, True]), 0.7
    yield np.array([0.0, 1.0, 2.0, 3.0]), np.array([True, True, True, False]), 0.75
    yield np.array([1.0, 3.0]), np.array([True, False]), 0.5  # exactly the target
    yield np.array([4.0, 3.0]), np.array([False, True]), 1.0
    yield np.array([2.5]), np.array([True]), 1.0
    yield np.array([2.5]), np.array([False]), 0.5
    yield np.array([0.25]), np.array([False]), 0.0
    yield np.array([]), np.array([], dtype=bool), 0.5
    for n in (2, 3, 4, 6, 20, 60):
        for target in (0.8501, 0.6003, 0.5):  # exact shares are sums of halves
            b = rng.integers(0, 11, size=n) / 2 + 0.1 * rng.integers(2)  # any scores may occur
            yield b, rng.random(n) < np.where(b <= 2.5, 0.95, 0.3), target


def _precisions(b, right):
    b, right = np.asarray(b, float), np.asarray(right, bool)
    return [(beta, right[b <= beta].mean()) for beta in np.unique(b)]


def _purest(b, right, target):
    good = [(p, beta) for beta, p in _precisions(b, right) if p >= target]
    return float(max(good)[1]) if good else None


def _tightest(b, right, target):
    return next((float(beta) for beta, p in _precisions(b, right) if p >= target), None)


def _until_it_fails(b, right, target):
    best = None
    for beta, p in _precisions(b, right):
        if p < target:
            break
        best = float(beta)
    return best


def _by_cell_precision(b, right, target):
    b, right = np.asarray(b, float), np.asarray(right, bool)
    good = [beta for beta in np.unique(b) if right[b == beta].mean() >= target]
    return float(max(good)) if good else None


def _by_recall(b, right, target):
    b, right = np.asarray(b, float), np.asarray(right, bool)
    good = [beta for beta in np.unique(b) if right[b <= beta].sum() >= target * right.sum()]
    return float(min(good)) if good and right.any() else None


def _strictly(b, right, target):
    good = [beta for beta, p in _precisions(b, right) if p > target]
    return float(max(good)) if good else None


_BETA = (
    Mistake(
        "purest", _purest,
        "You take the β with the highest precision. That is often a handful of triplets: among "
        "all that reach the target, take the largest.",
    ),
    Mistake(
        "tightest", _tightest,
        "You stop at the smallest β that reaches the target. Of all that do, the largest keeps "
        "most.",
    ),
    Mistake(
        "until it fails", _until_it_fails,
        "You stop at the first β below the target. Precision may rise again behind it: look at "
        "all of them.",
    ),
    Mistake(
        "each score by itself", _by_cell_precision,
        "You look at the triplets with exactly this score. A threshold keeps all up to it: b ≤ β.",
    ),
    Mistake(
        "recall", _by_recall,
        "This is recall: the share of right triplets that are kept. The target speaks of "
        "precision, the share of kept triplets that are right.",
    ),
    Mistake(
        "strictly above", _strictly,
        "A precision of exactly the target is enough: at least, not more than.",
    ),
)  # fmt: skip


def loosest_beta(student):
    """Exercise 4.4: a threshold from a small labelled sample."""
    return run("loosest_beta", student, _loosest_beta, _beta_cases, _BETA)


WRONG = {
    "read_score": wrong_answers(_READ),
    "grid_counts": wrong_answers(_GRID),
    "expected_score": wrong_answers(_EXPECTED),
    "loosest_beta": wrong_answers(_BETA),
}
