"""Checks of the exercises of chapter 11, refined similarity and ListMLE."""

import math

import numpy as np

from synthlib.checks import Case, Mistake, run, wrong_answers


# --- refined_row ----------------------------------------------------------------------
def _refined_row(row, omega):
    wanted = sorted((float(x) for x in row), reverse=True)
    refined = []
    for value, goal in zip(row, wanted, strict=True):
        gap = goal - float(value)
        step = math.log(omega * abs(gap) + 1)
        refined.append(float(value) + (step if gap > 0 else -step if gap < 0 else 0.0))
    return np.array(refined)


def _row_cases(rng):
    yield np.array([1.0, 0.5, 0.8]), 0.5  # two sentences have changed places
    yield np.array([1.0, 0.3, 0.9, 0.6]), 0.5
    yield np.array([1.0, 0.8, 0.6, 0.6, 0.1]), 0.9  # in order, with a tie
    yield np.array([0.25, 1.0, 0.25]), 0.5  # the sentence itself is not the nearest
    yield np.array([0.2, 0.7]), 0.0
    for n, omega in ((2, 0.5), (5, 0.3), (8, 0.7), (12, 1.0)):
        yield np.concatenate([[1.0], rng.uniform(-0.2, 0.95, n)]), omega
    # With a large ω the step goes beyond the value that belongs there.
    for omega in (1.5, 3.0, 20.0):
        yield np.array([1.0, 0.5, 0.75]), omega
        yield np.concatenate([[1.0], rng.uniform(-0.2, 0.95, 4)]), omega
    yield np.concatenate([[20.0], rng.uniform(-4, 19, 6)]), 0.5  # cosines over τ
    yield np.array([1.0]), 0.5


def _move(distance):
    def wrong(row, omega):
        row = np.asarray(row, dtype=float)
        d = distance(row)
        return row + np.sign(d) * np.log1p(omega * np.abs(d))

    return wrong


def _goal(row):
    return np.sort(row)[::-1] - row


def _printed(row):
    place = np.argsort(np.argsort(-row, kind="stable"))
    return row - row[place]


def _linear(row, omega):
    row = np.asarray(row, dtype=float)
    return row + omega * _goal(row)


def _log_of_product(row, omega):
    row = np.asarray(row, dtype=float)
    d = _goal(row)
    return row + np.sign(d) * omega * np.log1p(np.abs(d))


_ROW = (
    Mistake(
        "as printed",
        _move(_printed),
        "You take φ[j′] out of the row as it stands, as Algorithm 1 prints it. j′ is a place in "
        "the *sorted* row; for two exchanged sentences your values move apart.",
    ),
    Mistake(
        "wrong direction",
        _move(lambda row: -_goal(row)),
        "Your values move away from where they belong. A value smaller than the one that belongs "
        "in its place has to rise.",
    ),
    Mistake(
        "ascending",
        _move(lambda row: np.sort(row) - row),
        "You sorted in ascending order. The first sentence of a list is the nearest: its "
        "similarity must be the largest.",
    ),
    Mistake(
        "linear",
        _linear,
        "You move by ω · D. Eq. 7 moves by log(ω · |D| + 1), with the sign of D.",
    ),
    Mistake(
        "ω outside the logarithm",
        _log_of_product,
        "ω stands inside of the logarithm: log(ω · |D| + 1).",
    ),
    *(
        Mistake(
            f"step capped at {part}",
            lambda row, omega, part=part: row + np.sign(_goal(row)) * np.minimum(
                np.log1p(omega * np.abs(_goal(row))), part * np.abs(_goal(row))
            ),
            "You hold a step back that would go too far. Eq. 7 does not: with a large ω a value "
            f"may move by more than {share} of D.",
        )
        for part, share in ((1.0, "all"), (0.5, "half"))
    ),
    Mistake(
        "only upwards",
        _move(lambda row: np.maximum(_goal(row), 0.0)),
        "You raise what is too small, and leave what is too large. Both move.",
    ),
)


def refined_row(function):
    """Check ``refined_row(row [m], omega) -> [m]`` (Eqs. 6 and 7 for one row's suffix)."""
    return run("Refine a row", function, _refined_row, _row_cases, _ROW)


# --- smallest_omega -------------------------------------------------------------------
def _smallest_omega(gap):
    low, high = 0.0, 1.0
    while 2 * math.log(high * gap + 1) < gap:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if 2 * math.log(middle * gap + 1) >= gap else (middle, high)
    return high


def _omega_cases(rng):
    yield from (1e-6, 0.01, 0.3, 1.0, 2.0, 4.0, 10.0, 40.0)
    yield float(rng.uniform(0.05, 0.5))
    yield float(rng.uniform(1, 8))


_OMEGA = (
    Mistake(
        "one of the two moves",
        lambda gap: math.expm1(gap) / gap,
        "You let one value cover the whole gap. Both values move, each by log(ω · gap + 1), so "
        "each has to cover half of it.",
    ),
    Mistake(
        "logarithm forgotten",
        lambda gap: 0.5,
        "½ is right for small gaps only, where log(1 + x) is about x. Solve "
        "2 · log(ω · gap + 1) = gap.",
    ),
    Mistake(
        "not divided by the gap",
        lambda gap: math.expm1(gap / 2),
        "That is ω · gap. Divide by the gap.",
    ),
    Mistake(
        "+ 1 forgotten",
        lambda gap: math.exp(gap / 2) / gap,
        "You solved log(ω · gap) = gap / 2. Eq. 7 has log(ω · gap + 1).",
    ),
)


def smallest_omega(function):
    """Check ``smallest_omega(gap) -> float``: from where on two exchanged neighbours change."""
    return run("The smallest ω", function, _smallest_omega, _omega_cases, _OMEGA)


# --- list_mle_row ---------------------------------------------------------------------
def _list_mle_row(scores, targets):
    items = sorted(range(len(scores)), key=lambda k: -float(targets[k]))
    total = 0.0
    while items:
        left = [float(scores[k]) for k in items]
        top = max(left)
        total += top + math.log(sum(math.exp(x - top) for x in left)) - left[0]
        items = items[1:]
    return total


def _mle_cases(rng):
    yield np.array([2.0, 0.5, 1.0]), np.array([3.0, 2.0, 1.0])
    yield np.array([0.5, 2.0, 1.0]), np.array([0.1, 0.9, 0.4])
    yield np.array([1.0, -1.0]), np.array([-5.0, 2.0])
    for n, scale in ((2, 1.0), (3, 1.0), (4, 1.0), (7, 3.0), (12, 5.0)):
        yield scale * rng.normal(size=n), rng.permutation(n) / n
    # exp(900) is no number, exp(−900) is 0, and of scores that far apart one shift suits none.
    for n in (2, 3, 6):
        for level in (900.0, -900.0):
            yield Case((level + 20 * rng.normal(size=n), rng.permutation(n) / n), atol=1e-2)
        level = 900 * (-1.0) ** np.arange(n)
        yield Case((level + rng.normal(size=n), rng.permutation(n) / n), atol=1e-2)
        yield Case((np.sort(level)[::-1], -np.arange(n, dtype=float)), atol=1e-2)
    yield np.array([0.7]), np.array([0.2])


def _ranked(scores, targets):
    return np.asarray(scores, dtype=float)[np.argsort(-np.asarray(targets), kind="stable")]


def _from_the_end(s):
    return np.logaddexp.accumulate(s[::-1])[::-1]


def _overflowing(scores, targets):
    s = _ranked(scores, targets)
    with np.errstate(all="ignore"):
        return float((np.log(np.exp(s)[::-1].cumsum()[::-1]) - s).sum())


def _shifted_once(scores, targets):
    s = _ranked(scores, targets)
    return _overflowing(s - s.max(), -np.arange(len(s)))


def _overflowing_quotient(scores, targets):
    s = _ranked(scores, targets)
    with np.errstate(all="ignore"):
        e = np.exp(s)
        return float(-np.log(e / e[::-1].cumsum()[::-1]).sum())


_MLE = (
    Mistake(
        "by their own order",
        lambda scores, targets: float(
            (_from_the_end(np.sort(scores)[::-1]) - np.sort(scores)[::-1]).sum()
        ),
        "You put the items in the order of their scores. The order comes from the targets; the "
        "scores are judged by it.",
    ),
    Mistake(
        "ascending",
        lambda scores, targets: float(
            (_from_the_end(_ranked(scores, targets)[::-1]) - _ranked(scores, targets)[::-1]).sum()
        ),
        "Your ranking runs backwards: you draw the smallest target first, or your sums run from "
        "the front. The largest target is drawn first, and competes with those still to be drawn.",
    ),
    Mistake(
        "full denominator",
        lambda scores, targets: float(
            (np.logaddexp.reduce(scores) - _ranked(scores, targets)).sum()
        ),
        "Every item of yours competes with the whole list. What has been drawn is gone.",
    ),
    Mistake(
        "first item only",
        lambda scores, targets: float(
            np.logaddexp.reduce(scores) - _ranked(scores, targets)[0]
        ),
        "You count the first draw only (that is ListNet's top one). ListMLE draws the whole list.",
    ),
    Mistake(
        "mean",
        lambda scores, targets: _list_mle_row(scores, targets) / len(scores),
        "You take the mean over the draws. The log-probability of a ranking is their sum.",
    ),
    Mistake(
        "overflow",
        _overflowing,
        "Your exponentials overflow, or become 0: a cosine of 1 at a small τ is a large score. "
        "Stay with logarithms, by logaddexp or logsumexp.",
    ),
    Mistake(
        "overflow of a quotient",
        _overflowing_quotient,
        "Your quotients become infinity by infinity, where a score is large. Take logarithms at "
        "once, with logaddexp or logsumexp.",
    ),
    Mistake(
        "one shift",
        _shifted_once,
        "You subtract the largest score from all. Once it has been drawn, the scores that are left "
        "may lie a thousand below it, and their exponentials are 0: use logaddexp or logsumexp.",
    ),
    Mistake(
        "log-probability",
        lambda scores, targets: -_list_mle_row(scores, targets),
        "That is the log-probability of the ranking. The loss is its negative.",
    ),
    Mistake(
        "as they come",
        lambda scores, targets: float(
            (_from_the_end(np.asarray(scores)) - np.asarray(scores)).sum()
        ),
        "You draw the items in the order in which they come. The targets say which is drawn first.",
    ),
)  # fmt: skip


def list_mle_row(function):
    """Check ``list_mle_row(scores [n], targets [n]) -> float`` (Eq. 8, one row)."""
    return run("ListMLE of a row", function, _list_mle_row, _mle_cases, _MLE)


# --- out_of_order ---------------------------------------------------------------------
def _out_of_order(row):
    n, wrong = len(row), 0
    for j in range(n):
        for k in range(j + 1, n):
            wrong += float(row[j]) < float(row[k])
    return wrong / (n * (n - 1) / 2)


def _order_cases(rng):
    yield np.array([0.9, 0.5, 0.7])
    yield np.array([0.9, 0.7, 0.5, 0.1])  # in order
    yield np.array([0.1, 0.5, 0.7])  # all wrong
    yield np.array([0.5, 0.5, 0.7, 0.2])  # equal is not wrong
    yield np.array([0.5, 0.5])
    yield np.array([-0.5, 0.25])
    yield np.array([0.25, 0.25, 0.25])
    for n in (2, 3, 4, 9, 15):
        yield rng.uniform(-1, 1, size=n)
        yield rng.integers(0, 3, size=n) / 2


_ORDER = (
    Mistake(
        "neighbours only",
        lambda row: float(np.mean(np.diff(row) > 0)),
        "You compare neighbours. A sentence can stand wrong with respect to one further away.",
    ),
    Mistake(
        "ties count",
        lambda row: float(
            np.mean([row[j] <= row[k] for j in range(len(row)) for k in range(j + 1, len(row))])
        ),
        "You count equal similarities as wrong. A pair is out of order when the later sentence is "
        "*more* similar.",
    ),
    Mistake(
        "turned round",
        lambda row: float(
            np.mean([row[j] > row[k] for j in range(len(row)) for k in range(j + 1, len(row))])
        ),
        "You count the pairs that are in order. Similarity should fall along the list.",
    ),
    Mistake(
        "number",
        lambda row: _out_of_order(row) * len(row) * (len(row) - 1) / 2,
        "You return how many pairs are wrong. Wanted is their share of all pairs.",
    ),
    Mistake(
        "all ordered pairs",
        lambda row: _out_of_order(row) * 0.5 * (len(row) - 1) / len(row),
        "You divide by m². There are m (m − 1) / 2 pairs.",
    ),
)


def out_of_order(function):
    """Check ``out_of_order(row [m]) -> float``: the share of pairs that stand the wrong way."""
    return run("Pairs out of order", function, _out_of_order, _order_cases, _ORDER)


WRONG = {
    "refined_row": wrong_answers(_ROW),
    "smallest_omega": wrong_answers(_OMEGA),
    "list_mle_row": wrong_answers(_MLE),
    "out_of_order": wrong_answers(_ORDER),
}
