"""Checks of the exercises of chapter 12, reranking and transfer."""

import math

import numpy as np

from synthlib.checks import Mistake, run, wrong_answers


# --- average_precision ----------------------------------------------------------------
def _average_precision(scores, relevant):
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    found, total = 0, 0.0
    for place, i in enumerate(order, start=1):
        if relevant[i]:
            found += 1
            total += found / place
    return total / found


def _precision_cases(rng):
    yield [0.9, 0.1, 0.5], [True, False, True]  # perfect
    yield [0.1, 0.5, 0.9], [True, False, False]  # the only answer stands last
    yield [0.2, 0.9, 0.4, 0.3], [True, False, True, False]
    yield [-0.5], [True]
    yield [-3.0, 2.0], [True, True]
    for n in (2, 3, 4, 5, 10, 10, 20):
        scores = rng.permutation(n) / n - 0.5  # no two are equal
        relevant = rng.random(n) < 0.3
        relevant[int(rng.integers(n))] = True
        yield scores.tolist(), relevant.tolist()


def _precision(scores, relevant, *, ascending=False, over="answers", first=False, rank=0):
    scores, relevant = np.asarray(scores, float), np.asarray(relevant, bool)
    sorted_ = relevant[np.argsort(scores if ascending else -scores, kind="stable")]
    places = np.flatnonzero(sorted_) + 1
    if first:
        return float(1 / places[0])
    precision = np.arange(1, len(places) + 1) / (places + rank)
    return float(precision.sum() / (len(places) if over == "answers" else len(scores)))


def _every_place(scores, relevant):
    sorted_ = np.asarray(relevant, float)[np.argsort(-np.asarray(scores, float))]
    return float((np.cumsum(sorted_) / np.arange(1, len(sorted_) + 1)).mean())


def _unsorted(scores, relevant):
    return _precision(-np.arange(len(scores)), relevant)


_PRECISION = (
    Mistake(
        "order of storage",
        _unsorted,
        "You walk through the candidates as they are stored. Sort them by score first, the highest "
        "on top.",
    ),
    Mistake(
        "lowest first",
        lambda scores, relevant: _precision(scores, relevant, ascending=True),
        "Your list begins with the lowest score. The most similar candidate stands on top.",
    ),
    Mistake(
        "first answer only",
        lambda scores, relevant: _precision(scores, relevant, first=True),
        "You look at the first answer only: that is the reciprocal rank. Average precision takes "
        "the precision at every answer.",
    ),
    Mistake(
        "every place",
        _every_place,
        "You average the precision over all places. Only the places where an answer stands count.",
    ),
    Mistake(
        "divided by all candidates",
        lambda scores, relevant: _precision(scores, relevant, over="candidates"),
        "You divide by the number of candidates. Divide by the number of answers, so that a "
        "perfect ranking gets 1.",
    ),
    Mistake(
        "places from 0",
        lambda scores, relevant: _precision(scores, relevant, rank=1),
        "Your places are one too large: the candidate on top stands at place 1.",
    ),
)


def average_precision(student):
    """Exercise 12.1: scores and relevance of one query's candidates -> number in [0, 1]."""
    return run("average_precision", student, _average_precision, _precision_cases, _PRECISION)


# --- mean_gains -----------------------------------------------------------------------
def _mean_gains(before, after):
    pairs = list(zip(before, after, strict=True))
    points = math.fsum(b - a for a, b in pairs) / len(pairs)
    return points, 100 * points / (math.fsum(before) / len(pairs))


def _gains_cases(rng):
    yield [51.79, 28.96, 69.49, 39.88], [52.34, 29.01, 70.73, 40.66]  # Table 2, BERT-base
    yield [50.0, 10.0], [51.0, 11.0]  # equal points, unequal percents
    yield [80.0, 20.0], [80.0, 19.0]
    yield [40.0], [44.0]
    yield [30.0, 60.0], [30.0, 60.0]  # nothing was gained
    for n in (2, 3, 6):
        before = rng.uniform(20, 90, n)
        yield before.tolist(), (before + rng.normal(0, 2, n)).tolist()


def _gained(before, after, *, by="before", each=False, sign=1, percent=100):
    before, after = np.asarray(before), np.asarray(after)
    gain = sign * (after - before)
    if each:
        relative = (percent * gain / before).mean()
    else:
        relative = percent * gain.mean() / (before if by == "before" else after).mean()
    return float(gain.mean()), float(relative)


_GAINS = (
    Mistake(
        "relative to the result",
        lambda before, after: _gained(before, after, by="after"),
        "Your percents are of the marks after. A gain is told as a share of where it began.",
    ),
    Mistake(
        "mean of the percents",
        lambda before, after: _gained(before, after, each=True),
        "You average the percentages of the tasks, in which a point on a hard task weighs more. "
        "Wanted is what the mean gained, as a share of the mean before.",
    ),
    Mistake(
        "a fraction",
        lambda before, after: _gained(before, after, percent=1),
        "Your second number is a fraction; percent is wanted.",
    ),
    Mistake(
        "sign",
        lambda before, after: _gained(before, after, sign=-1),
        "The sign is turned: a gain is after minus before.",
    ),
    Mistake(
        "points twice",
        lambda before, after: (_gained(before, after)[0],) * 2,
        "Both of your numbers are points. The second one is relative to the mark before.",
    ),
)


def mean_gains(student):
    """Exercise 12.2: marks before and after -> gain of the mean in points, and in percent."""
    return run("mean_gains", student, _mean_gains, _gains_cases, _GAINS)


# --- pair_features --------------------------------------------------------------------
def _pair_features(u, v):
    rows = []
    for a, b in zip(u, v, strict=True):
        pairs = list(zip(a, b, strict=True))
        rows.append([abs(x - y) for x, y in pairs] + [x * y for x, y in pairs])
    return np.array(rows)


def _pair_cases(rng):
    yield np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]])
    yield np.array([[1.0, 0.0], [0.0, 2.0]]), np.array([[0.0, 1.0], [2.0, 0.0]])
    yield np.array([[2.0]]), np.array([[-0.5]])
    for n, d in ((1, 5), (2, 1), (4, 3), (6, 6)):
        yield rng.normal(size=(n, d)), rng.normal(size=(n, d))


_PAIRS = (
    Mistake(
        "side by side",
        lambda u, v: np.hstack([u, v]),
        "You put the two vectors side by side. A linear classifier on that cannot see whether they "
        "agree, and it matters which sentence comes first.",
    ),
    Mistake(
        "no absolute value",
        lambda u, v: np.hstack([u - v, u * v]),
        "Your differences have a sign, so exchanging the sentences changes the features. Take the "
        "absolute value.",
    ),
    Mistake(
        "product missing",
        lambda u, v: np.abs(u - v),
        "Half of the features is missing: after |u − v| comes the product, number by number.",
    ),
    Mistake(
        "other order",
        lambda u, v: np.hstack([u * v, np.abs(u - v)]),
        "Both parts are there, in another order: first |u − v|, then u · v.",
    ),
    Mistake(
        "dot product",
        lambda u, v: np.hstack([np.abs(u - v), (u * v).sum(axis=1, keepdims=True)]),
        "You sum the products to one number. Keep them apart, so that the classifier can weigh "
        "them.",
    ),
)


def pair_features(student):
    """Exercise 12.3: two [n, d] matrices -> features [n, 2 d] of the pairs."""
    return run("pair_features", student, _pair_features, _pair_cases, _PAIRS)


# --- left_to_do -----------------------------------------------------------------------
def _left_to_do(rows, size, done):
    found = []
    number = start = 0
    while start < rows:
        stop = start + size if start + size < rows else rows
        if number not in done:
            found.append((start, stop))
        start, number = stop, number + 1
    return found


def _shard_cases(rng):
    yield 10, 4, {0}
    yield 8, 4, set()
    yield 8, 4, {0, 1}  # nothing is left
    yield 3, 5, set()  # less than one shard
    yield 9, 4, {0, 1}  # the short one is left
    yield 12, 3, {2, 0}
    yield 2, 1, {1}
    yield 0, 4, set()
    yield 4, 4, set()
    for _ in range(6):
        rows, size = int(rng.integers(5, 60)), int(rng.integers(2, 9))
        numbers = range(-(-rows // size))
        yield rows, size, {i for i in numbers if rng.random() < 0.5}


def _shards(rows, size, done, *, tail=True, cut=True, skip=True):
    numbers = range(-(-rows // size) if tail else rows // size)
    return [
        (i * size, min(rows, (i + 1) * size) if cut else (i + 1) * size)
        for i in numbers
        if not (skip and i in done)
    ]


def _after_the_last(rows, size, done):
    first = max(done, default=-1) + 1
    return [span for i, span in enumerate(_shards(rows, size, ())) if i >= first]


def _as_many(rows, size, done):
    return _shards(rows, size, ())[len(done) :]


_SHARDS = (
    Mistake(
        "the tail is lost",
        lambda rows, size, done: _shards(rows, size, done, tail=False),
        "The last rows are missing: where the size does not divide the rows, a shorter shard "
        "stands at the end.",
    ),
    Mistake(
        "beyond the end",
        lambda rows, size, done: _shards(rows, size, done, cut=False),
        "Your last shard ends beyond the last row.",
    ),
    Mistake(
        "all again",
        lambda rows, size, done: _shards(rows, size, done, skip=False),
        "You make the finished shards again. Their numbers are in `done`.",
    ),
    Mistake(
        "after the last",
        _after_the_last,
        "You go on behind the last finished shard. One before it may be missing: several processes "
        "work at once, and a damaged shard is deleted.",
    ),
    Mistake(
        "counted, not named",
        _as_many,
        "You skip as many shards as are finished, from the start. Look which ones they are.",
    ),
)


def left_to_do(student):
    """Exercise 12.4: rows, shard size, numbers of finished shards -> spans (start, stop)."""
    return run("left_to_do", student, _left_to_do, _shard_cases, _SHARDS)


WRONG = {
    "average_precision": wrong_answers(_PRECISION),
    "mean_gains": wrong_answers(_GAINS),
    "pair_features": wrong_answers(_PAIRS),
    "left_to_do": wrong_answers(_SHARDS),
}
