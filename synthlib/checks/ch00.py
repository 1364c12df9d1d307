"""Checks of the exercises of chapter 0."""

import math

import numpy as np

from synthlib.checks import Mistake, calls_outside, result, run, wrong_answers


# ------------------------------------------------------------------ steered_choice
def _steered_choice(logits, noisy_logits, omega):
    best, where = -math.inf, None
    for word in range(len(logits)):
        value = logits[word] - omega * noisy_logits[word]
        if value > best:
            best, where = value, word
    return where


def _steered_cases(rng):
    yield np.array([2.0, 1.9, 0.0]), np.array([3.0, 0.0, 0.0]), 0.3
    yield np.array([1.0, 0.5]), np.array([9.0, 0.0]), 0.0
    yield np.array([0.0, 5.0, 4.0]), np.array([0.0, 2.0, 9.0]), -0.2
    yield np.array([-3.0]), np.array([2.0]), 0.5  # one word
    for level in (-70.0, 0.0, 900.0):  # far below zero, around it, far above
        for size, omega in ((2, 0.5), (3, 1.0), (4, 1.5), (12, 0.3), (40, 0.6), (40, 0.9)):
            yield level + 3 * rng.normal(size=size), level + 3 * rng.normal(size=size), omega


def _softmax(x):
    e = np.exp(np.asarray(x) - np.max(x))
    return e / e.sum()


_STEERED = (
    Mistake(
        "sum", lambda x, y, w: int(np.argmax(np.asarray(x) + w * np.asarray(y))),
        "You add the noisy logits: that leans towards the misreading. Take them away.",
    ),
    Mistake(
        "no omega", lambda x, y, w: int(np.argmax(np.asarray(x) - np.asarray(y))),
        "The noisy logits are subtracted in full: scale them by omega first.",
    ),
    Mistake(
        "probabilities", lambda x, y, w: int(np.argmax(_softmax(x) - w * _softmax(y))),
        "You mix probabilities. The method works on logits, before any softmax.",
    ),
    Mistake(
        "ignores noise", lambda x, y, w: int(np.argmax(x)),
        "The noisy instruction has no effect on your answer: this is plain decoding.",
    ),
)


def steered_choice(student):
    """Exercise: greedy choice under l − ω·l̂."""
    return run("steered_choice", student, _steered_choice, _steered_cases, _STEERED)


# ------------------------------------------------------------------ keep
def _keep(a, b, alpha=3.0, beta=3.0, gamma=1.0):
    kept = []
    for x, y in zip(a, b, strict=True):
        unread = math.isnan(x) or math.isnan(y)
        kept.append(not unread and x >= alpha and y <= beta and x >= y + gamma)
    return np.array(kept, dtype=bool)


def _keep_cases(rng):
    nan = math.nan
    yield np.array([3.0, 3.0, 2.5, 5.0]), np.array([2.0, 2.5, 0.0, 3.5])
    yield np.array([nan, 4.0, 4.0]), np.array([1.0, nan, 1.0])
    yield np.array([4.0, 3.5, 5.0]), np.array([3.0, 2.5, 4.0]), 3.5, 3.0, 0.5
    yield np.array([]), np.array([])
    yield np.array([nan]), np.array([nan])
    for alpha, beta, gamma in ((3.0, 3.0, 1.0), (2.0, 4.5, -1.0), (0.0, 1.5, 2.25)):
        for n in (1, 1, 1, 1, 2, 3, 6, 6):  # on a bound, or a quarter to either side of it
            beside, near = rng.integers(-1, 2, size=(2, n)) / 4
            a = alpha + np.where(rng.random(n) < 0.5, beside, 2.0)
            yield a, np.where(rng.random(n) < 0.5, beta, a - gamma) + near, alpha, beta, gamma
    for _ in range(6):
        a, b = rng.integers(0, 11, size=(2, 30)) / 2
        a[rng.random(30) < 0.1] = nan
        b[rng.random(30) < 0.1] = nan
        alpha, beta, gamma = rng.integers(0, 11, size=3) / 2
        yield a, b, alpha, beta, gamma


def _arrays(a, b):
    return np.asarray(a, float), np.asarray(b, float)


def _strict(a, b, alpha=3.0, beta=3.0, gamma=1.0):
    a, b = _arrays(a, b)
    return (a > alpha) & (b < beta) & (a > b + gamma)


def _swapped(a, b, alpha=3.0, beta=3.0, gamma=1.0):
    a, b = _arrays(a, b)
    return (a >= alpha) & (b >= beta) & (a >= b + gamma)


def _no_margin(a, b, alpha=3.0, beta=3.0, gamma=1.0):
    a, b = _arrays(a, b)
    return (a >= alpha) & (b <= beta)


def _keeps_unread(a, b, alpha=3.0, beta=3.0, gamma=1.0):
    a, b = _arrays(a, b)
    return ~((a < alpha) | (b > beta) | (a < b + gamma))


def _any_rule(a, b, alpha=3.0, beta=3.0, gamma=1.0):
    a, b = _arrays(a, b)
    return (a >= alpha) | (b <= beta) | (a >= b + gamma)


_KEEP = (
    Mistake("strict", _strict, "A score exactly on a threshold is kept: the rules say ≥ and ≤."),
    Mistake(
        "b upside down", _swapped,
        "You ask b to be high. The hard negative must be unlike its anchor: b ≤ β.",
    ),
    Mistake("no margin", _no_margin, "The third rule is missing: a must beat b by the margin γ."),
    Mistake(
        "keeps unread", _keeps_unread,
        "A triplet without a score passes. A comparison with NaN is false: ask what to keep, not "
        "what to throw away.",
    ),
    Mistake("any rule", _any_rule, "One satisfied rule is enough for you: all three must hold."),
)


def keep(student):
    """Exercise: the selection rule of MultiCSR, Eq. 4."""
    return run("keep", student, _keep, _keep_cases, _KEEP)


# ------------------------------------------------------------------ spearman
def _ranks(values):
    """Mean rank of each value, by counting."""
    out = []
    for v in values:
        below = sum(1 for w in values if w < v)
        equal = sum(1 for w in values if w == v)
        out.append(below + (equal + 1) / 2)
    return out


def _pearson(x, y):
    mx, my = sum(x) / len(x), sum(y) / len(y)
    cov = sum((p - mx) * (q - my) for p, q in zip(x, y, strict=True))
    vx = sum((p - mx) ** 2 for p in x)
    vy = sum((q - my) ** 2 for q in y)
    return cov / math.sqrt(vx * vy)


def _spearman(predicted, gold):
    return 100 * _pearson(_ranks(list(predicted)), _ranks(list(gold)))


def _spearman_cases(rng):
    yield np.array([0.1, 0.2, 0.9, 0.4]), np.array([1.0, 2.0, 3.0, 5.0])
    yield np.array([0.5, 0.5, 0.1, 0.9, 0.5]), np.array([3.0, 2.0, 2.0, 5.0, 1.0])
    yield np.array([3.0, 2.0, 1.0]), np.array([1.0, 2.0, 3.0])
    yield np.array([-0.5, 2.0]), np.array([0.0, -9.0])
    yield np.array([1e-30, 1e30, -1e30, 0.0]), np.array([5.0, 5.0, 1.0, 0.0])
    for n in (4, 6, 10, 40):
        gold = rng.integers(0, 6, size=n).astype(float)
        gold[:2] = 0.0, 5.0
        yield np.exp(gold / 2 + rng.normal(size=n)), gold
        yield rng.permutation(n) / 2 - 1.0, gold  # no ties in the predictions
        yield np.round(gold / 3 + rng.normal(size=n) + np.arange(n), 0), gold


def _order(x):
    return np.argsort(np.argsort(x)).astype(float)


def _dense(x):
    return np.unique(x, return_inverse=True)[1].astype(float)


_SPEARMAN = (
    Mistake(
        "pearson", lambda p, g: 100 * _pearson(list(p), list(g)),
        "This is Pearson's correlation of the values themselves: rank both lists first.",
    ),
    Mistake(
        "ties by position", lambda p, g: 100 * _pearson(_order(p), _order(g)),
        "Equal values get different ranks in your version: they must share their mean rank.",
    ),
    Mistake(
        "dense ranks", lambda p, g: 100 * _pearson(_dense(p), _dense(g)),
        "You number the distinct values. Ranks count sentences: two equal ones take up two places.",
    ),
    Mistake(
        "one ranked", lambda p, g: 100 * _pearson(_ranks(list(p)), list(g)),
        "Only the predictions are ranked: the gold scores must be ranked too.",
    ),
    Mistake(
        "fraction", lambda p, g: _spearman(p, g) / 100,
        "The correlation is right; the mark is asked for times 100.",
    ),
)


def _spearman_of_others(function):
    """Whether a function has Spearman's correlation computed by somebody else's code."""
    called = calls_outside(function, np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    return any("spearman" in name for name in called)


def spearman(student):
    """Exercise: Spearman's correlation with ties, times 100."""
    found = run("spearman", student, _spearman, _spearman_cases, _SPEARMAN)
    if found.passed and _spearman_of_others(student):
        return result(
            "spearman", False,
            "The number is right, and somebody else's function has computed it. Write Spearman's "
            "correlation yourself, from the ranks.",
        )  # fmt: skip
    return found


WRONG = {
    "steered_choice": wrong_answers(_STEERED),
    "keep": wrong_answers(_KEEP),
    "spearman": wrong_answers(_SPEARMAN),
}
