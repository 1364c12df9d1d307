"""Checks of the exercises of chapter 14, ART in the field."""

from itertools import combinations
from math import comb

import numpy as np

from synthlib.checks import Mistake, run, wrong_answers


# --- best_of --------------------------------------------------------------------------
def _best_of(rewards, n):
    """Mean of the best over all choices of n of the answers."""
    best = [max(chosen) for chosen in combinations(list(rewards), n)]
    return float(sum(best) / len(best))


def _best_of_cases(rng):
    yield [0.1, 0.4, -0.2, 0.3], 2
    yield [0.1, 0.4, -0.2, 0.3], 1
    yield [0.1, 0.4, -0.2, 0.3], 4
    yield [0.25], 1
    yield [0.5, -0.25], 1
    yield [-0.25, 0.5], 2
    yield [0.5, 0.5, 0.0], 2
    yield [0.0, 0.5, 0.25], 2
    yield [-0.4, -0.1, -0.9, -0.3, -0.2], 3
    for n in (1, 2, 4, 8):
        yield [float(x) for x in rng.normal(size=8).round(3)], n


def _with_replacement(rewards, n):
    r = np.sort(rewards)
    share = np.arange(len(r) + 1) / len(r)
    return float(np.sum(r * (share[1:] ** n - share[:-1] ** n)))


def _top_mean(rewards, n):
    return float(np.mean(np.sort(rewards)[-n:]))


def _upside_down(rewards, n):
    r = sorted(rewards, reverse=True)
    weights = [comb(i, n - 1) for i in range(len(r))]
    return float(np.dot(r, weights) / comb(len(r), n))


_BEST_OF = (
    Mistake(
        "the first n",
        lambda rewards, n: float(max(list(rewards)[:n])),
        "You look at the first n answers alone. There are more choices of n among them all: take "
        "the mean over every one, so that no answer is wasted.",
    ),
    Mistake(
        "the best of all",
        lambda rewards, n: float(max(rewards)),
        "That is the best of all answers, whatever n is. With a smaller n the best one is often "
        "not among those that were drawn.",
    ),
    Mistake(
        "mean of the n best", _top_mean,
        "You average the n best answers. Wanted is the best of n drawn ones, on average over the "
        "draws.",
    ),
    Mistake(
        "drawn with replacement", _with_replacement,
        "You let one answer be drawn twice. The n answers are different ones: draw without "
        "replacement.",
    ),
    Mistake(
        "the worst of n", _upside_down,
        "You have sorted the other way round: this is the mean of the *worst* of n.",
    ),
)  # fmt: skip


def best_of(function):
    """Check ``best_of(rewards, n) -> float``: the mean best of n of some answers."""
    return run("The best of n, from N answers", function, _best_of, _best_of_cases, _BEST_OF)


# --- copy_reward ----------------------------------------------------------------------
def _copy_reward(p, kind, omega, alpha_plus, alpha_minus, w1=0.5, w2=0.5):
    """Eqs. 2 to 4 at a cosine of 1, case by case."""
    if kind == "positive":
        second = 0.0
    elif alpha_minus < 1:
        second = -1.0
    else:
        second = 0.0
    return w1 * (p - omega) + w2 * second


def _copy_cases(rng):
    yield 0.98, "positive", 0.6, 0.75, 0.98
    yield 0.01, "negative", 0.6, 0.75, 0.98
    yield 0.01, "negative", 0.6, 0.75, 1.0
    yield 0.5, "positive", 0.5, 1.0, 1.0
    yield 0.9, "positive", 0.0, 0.5, 0.9, 0.3, 0.7
    yield 0.4, "negative", 0.5, 0.7, 0.95, 0.7, 0.3
    yield 0.4, "negative", 0.5, 0.7, 1.0, 0.7, 0.3
    yield 0.25, "negative", 0.0, 0.0, 0.0, 0.0, 1.0
    for kind in ("positive", "negative"):
        yield (float(rng.uniform(0, 1)), kind, *(float(x) for x in rng.uniform(0.1, 0.99, 3)))


def _copies(*, positive=0.0, negative=-1.0, bound=True, omega=True):
    def wrong(p, kind, omega_, alpha_plus, alpha_minus, w1=0.5, w2=0.5):
        second = positive if kind == "positive" else negative
        if kind == "negative" and bound and alpha_minus >= 1:
            second = 0.0
        return w1 * (p - (omega_ if omega else 0.0)) + w2 * second

    return lambda p, kind, omega, alpha_plus, alpha_minus, w1=0.5, w2=0.5: wrong(
        p, kind, omega, alpha_plus, alpha_minus, w1, w2
    )


_COPY = (
    Mistake(
        "a copy is a hard negative", _copies(negative=1.0),
        "You pay the copy for being as similar as can be. A cosine of 1 lies above α⁻, and there "
        "the sign turns.",
    ),
    Mistake(
        "a positive copy earns 1", _copies(positive=1.0),
        "A copy has the cosine 1, so 1 − s is nothing: as a positive it earns no difficulty.",
    ),
    Mistake(
        "no bound reached", _copies(bound=False),
        "Where α⁻ is 1 the copy lies on the bound itself, and sgn(0) = 0.",
    ),
    Mistake(
        "Ω forgotten", _copies(omega=False),
        "Ω is taken from the probability of every answer, a copy's too.",
    ),
    Mistake(
        "correctness alone",
        lambda p, kind, omega, alpha_plus, alpha_minus, w1=0.5, w2=0.5: w1 * (p - omega),
        "You leave r₂ out. For a positive that makes no difference; for a negative it does.",
    ),
)  # fmt: skip


def copy_reward(function):
    """Check ``copy_reward(p, kind, omega, alpha_plus, alpha_minus, w1, w2) -> float``."""
    return run("What a copy earns", function, _copy_reward, _copy_cases, _COPY)


# --- parting --------------------------------------------------------------------------
def _mean(values):
    return sum(values) / len(values)


def _parting(reward, right, window=3):
    """The first step whose window has a higher reward and fewer right answers than the first."""
    for end in range(2 * window, len(reward) + 1):
        now = slice(end - window, end)
        up = _mean(reward[now]) > _mean(reward[:window])
        down = _mean(right[now]) < _mean(right[:window])
        if up and down:
            return end
    return None


_UP = [0.1, 0.1, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
_DOWN = [60, 60, 60, 62, 59, 50, 40, 30]


def _parting_cases(rng):
    yield _UP, _DOWN
    yield _UP, [60, 60, 60, 61, 62, 63, 64, 65]
    yield _UP[::-1], _DOWN
    yield _UP, _DOWN, 2
    yield _UP, _DOWN, 1
    yield [0.1, 0.2, 0.3], [60, 50, 40]  # too short for two windows
    yield [0.25, 0.5], [60, 50], 1
    yield [0.25, 0.5], [50, 60], 1
    yield [0.5, 0.25], [60, 50], 1
    yield [0.25], [50], 1
    yield [], []
    yield [0.5, 0.0, 0.75], [60, 50, 50], 1
    yield [0.5, 0.25, 0.75], [60, 90, 50], 1
    yield [0.5, 0.5, 0.0, 0.75], [60, 60, 50, 50], 2  # no window ends behind the last step
    yield [0.25] * 3 + [0.5] * 3, [60] * 3 + [70, 70, 0]
    yield [0.25] * 3 + [0.0, 0.0, 2.0], [60] * 3 + [50] * 3
    # As high as at first is not higher, as many not fewer.
    yield [0.25, 0.25, 0.5], [60, 50, 60], 1
    yield [0.25, 0.75, 0.5, 0.5, 1.0, 0.0], [60, 50, 40, 50, 60, 50], 2
    yield [0.1] * 6 + [0.2], [60] * 3 + [55] * 4
    # One low step is noise, and no window's mean.
    yield [0.1, 0.1, 0.1, 0.2, 0.2, 0.2, 0.2], [50, 50, 50, 49, 60, 60, 60]
    for _ in range(3):
        size = int(rng.integers(8, 14))
        yield (
            [float(x) for x in (np.linspace(0, 0.4, size) + rng.normal(0, 0.1, size)).round(3)],
            [float(x) for x in (60 - 2 * np.arange(size) + rng.normal(0, 8, size)).round(1)],
        )


def _one_step(reward, right, window=3):
    for end in range(2, len(reward) + 1):
        if reward[end - 1] > reward[0] and right[end - 1] < right[0]:
            return end
    return None


def _any_of(reward, right, window=3):
    for end in range(2 * window, len(reward) + 1):
        now = slice(end - window, end)
        if _mean(reward[now]) > _mean(reward[:window]) or _mean(right[now]) < _mean(right[:window]):
            return end
    return None


def _overlapping(reward, right, window=3):
    for end in range(window + 1, len(reward) + 1):
        now = slice(end - window, end)
        if _mean(reward[now]) > _mean(reward[:window]) and (
            _mean(right[now]) < _mean(right[:window])
        ):
            return end
    return None


def _from_zero(reward, right, window=3):
    found = _parting(reward, right, window)
    return None if found is None else found - 1


def _at_the_end(reward, right, window=3):
    if len(reward) < 2 * window:
        return None
    up = _mean(reward[-window:]) > _mean(reward[:window])
    return len(reward) if up and _mean(right[-window:]) < _mean(right[:window]) else None


_PARTING = (
    Mistake(
        "single steps", _one_step,
        "You compare single steps. A step is a few answers, and goes up and down by itself: "
        "compare the means of two windows.",
    ),
    Mistake(
        "either of the two", _any_of,
        "One of the two is not enough. It is a warning where the reward is up *and* fewer answers "
        "are right.",
    ),
    Mistake(
        "windows that overlap", _overlapping,
        "Your second window has steps of the first in it. The first one to look at ends at step "
        "2 · window.",
    ),
    Mistake(
        "counted from 0", _from_zero,
        "Steps are counted from 1, as in the log: return the number of the window's last step.",
    ),
    Mistake(
        "the end alone", _at_the_end,
        "You look at the last window only. Wanted is the *first* step at which the two have "
        "parted.",
    ),
)  # fmt: skip


def parting(function):
    """Check ``parting(reward, right, window) -> int or None``: where reward and truth part."""
    return run("Where reward and truth part", function, _parting, _parting_cases, _PARTING)


WRONG = {
    "best_of": wrong_answers(_BEST_OF),
    "copy_reward": wrong_answers(_COPY),
    "parting": wrong_answers(_PARTING),
}
