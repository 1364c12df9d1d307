"""Checks of the exercises of chapter 6, MultiCSR end to end."""

import json
import math

import numpy as np

from synthlib.checks import Mistake, run, wrong_answers


# --- paired_gain ----------------------------------------------------------------------
def _paired_gain(ours, theirs):
    gains = [a - b for a, b in zip(ours, theirs, strict=True)]
    n = len(gains)
    mean = math.fsum(gains) / n
    variance = math.fsum((g - mean) ** 2 for g in gains) / (n - 1)
    return mean, math.sqrt(variance / n)


def _paired_cases(rng):
    yield np.array([76.0, 70.0, 73.0]), np.array([75.0, 68.0, 72.0])
    for n in (2, 2, 3, 5, 10):
        world = 5 * rng.normal(size=n)  # what a seed does to both
        yield 75 + world + rng.normal(size=n), 72 + world + rng.normal(size=n)
    same = rng.integers(50, 80, size=4).astype(float)
    yield same, same - 1.0  # the same gain at every seed: no error
    yield same, same  # no gain
    yield np.array([-0.2, 0.3]), np.array([0.1, 0.5])


def _gain(ours, theirs, *, ddof=1, root=True, sign=1):
    gains = sign * (np.asarray(ours) - np.asarray(theirs))
    error = gains.std(ddof=ddof) / (np.sqrt(len(gains)) if root else 1)
    return float(gains.mean()), float(error)


def _unpaired(ours, theirs):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    error = np.sqrt(ours.var(ddof=1) / len(ours) + theirs.var(ddof=1) / len(theirs))
    return float(ours.mean() - theirs.mean()), float(error)


def _variance(ours, theirs):
    mean, error = _gain(ours, theirs)
    return mean, error**2


_PAIRED = (
    Mistake(
        "not paired",
        _unpaired,
        "Your error is that of two independent means. Both rows were measured on the same seeds: "
        "subtract seed by seed first, and take the spread of the differences.",
    ),
    Mistake(
        "standard deviation",
        lambda ours, theirs: _gain(ours, theirs, root=False),
        "You return the standard deviation of the differences, which says how much one seed "
        "varies. The error of their mean is smaller by the square root of their number.",
    ),
    Mistake(
        "divided by n",
        lambda ours, theirs: _gain(ours, theirs, ddof=0),
        "Your variance divides by n. The mean was estimated from the same few differences: "
        "divide by n − 1 (ddof=1).",
    ),
    Mistake(
        "sign",
        lambda ours, theirs: _gain(ours, theirs, sign=-1),
        "The sign is turned: the gain is ours minus theirs.",
    ),
    Mistake(
        "variance of the mean",
        _variance,
        "You return the variance of the mean. The standard error is its square root.",
    ),
)


def paired_gain(student):
    """Exercise 6.1: mean paired difference and its standard error."""
    return run("paired_gain", student, _paired_gain, _paired_cases, _PAIRED)


# --- union ----------------------------------------------------------------------------
def _union(curated, gold):
    rows = [tuple(row) for row in gold]
    premises = [row[0] for row in rows]
    for row in curated:
        if row[0] in premises and tuple(row) not in rows:
            rows.append(tuple(row))
    return rows


def _union_cases(rng):
    yield [("a", "b", "c")], [("a", "d", "e")]
    yield [("a", "b", "c"), ("x", "y", "z")], [("a", "d", "e")]  # x has no label
    yield [("a", "d", "e"), ("a", "b", "c"), ("a", "b", "c")], [("a", "d", "e")]
    yield [("a", "d", "e")], [("a", "d", "e")]
    yield [("d", "b", "c")], [("a", "d", "d")]  # a hypothesis is no premise
    yield [("a", "c", "b")], [("a", "b", "c")]  # the same texts, another triplet
    yield [("a", "b", "d"), ("a", "e", "c")], [("a", "b", "c")]
    yield [("b", "x", "y"), ("a", "x", "y")], [("a", "u", "v"), ("b", "u", "v")]
    yield [], [("a", "b", "c")]
    yield [("a", "b", "c")], []
    for size in (2, 3, 8, 8, 12):
        names = [f"s{i}" for i in range(6)]

        def draw(n, names=names):
            return [tuple(rng.choice(names, 3).tolist()) for _ in range(n)]

        yield draw(size) * 2, [*dict.fromkeys(draw(5))]


def _joined(curated, gold, *, known=True, distinct=True, gold_first=True):
    premises = {row[0] for row in gold}
    new = [tuple(row) for row in curated if not known or row[0] in premises]
    gold = [tuple(row) for row in gold]
    rows = gold + new if gold_first else new + gold
    return list(dict.fromkeys(rows)) if distinct else rows


def _by_premise(curated, gold):
    found = {row[0]: tuple(row) for row in gold}
    for row in curated:
        if row[0] in found:
            found[row[0]] = tuple(row)
    return list(found.values())


_UNION = (
    Mistake(
        "strange premises",
        lambda curated, gold: _joined(curated, gold, known=False),
        "You keep generated triplets whose premise has no labelled triplet. In the paper's union "
        "each premise of T has at least one triplet in N: leave the others out.",
    ),
    Mistake(
        "duplicates",
        lambda curated, gold: _joined(curated, gold, distinct=False),
        "A triplet stands twice in your list. A union holds every triplet once; its double would "
        "be a false negative in its own batch.",
    ),
    Mistake(
        "one a premise",
        _by_premise,
        "You keep one triplet a premise, and generated ones replace labelled ones. Both are "
        "wanted: the same premise with other hypotheses is another triplet.",
    ),
    Mistake(
        "generated first",
        lambda curated, gold: _joined(curated, gold, gold_first=False),
        "All triplets are there, in another order: the labelled ones come first.",
    ),
    Mistake(
        "intersection",
        lambda curated, gold: [tuple(r) for r in gold if tuple(r) in set(map(tuple, curated))],
        "You return what both have in common. A union holds what either has.",
    ),
)


def union(student):
    """Exercise 6.2: T ∪ N without doubles -> list of triplets."""
    return run("union", student, _union, _union_cases, _UNION)


# --- ndcg -----------------------------------------------------------------------------
def _ndcg(grades, k=10):
    def gain(ordered):
        return sum(grade / math.log2(place + 1) for place, grade in enumerate(ordered[:k], 1))

    return gain(list(grades)) / gain(sorted(grades, reverse=True))


def _ndcg_cases(rng):
    yield [0, 1, 0], 10
    yield [1, 0, 0], 10
    yield [0, 0, 2, 1, 0, 3]  # at the depth of the signature
    yield [0, 3, 0, 0, 1, 2], 2  # the best ones stand below k
    yield [2, 0, 1], 1
    yield [0, 4], 1  # nothing among the first
    yield [0.5], 10
    for n, k in ((2, 1), (3, 2), (4, 2), (5, 3), (12, 10), (14, 10), (20, 5)):
        grades = rng.integers(0, 4, size=n)
        grades[int(rng.integers(n))] = 3
        yield grades.tolist(), k


def _cumulative(grades, k=10, *, gain=lambda g: g, log=np.log2, shift=1, ideal=None, cut=True):
    depth = k if cut else len(grades)
    found = np.array([gain(g) for g in grades], dtype=float)
    best = np.sort(found if ideal is None else found[:k])[::-1]
    place = np.arange(1, len(found) + 1)
    with np.errstate(divide="ignore"):
        discount = 1 / log(place + shift)
    top = (found[:depth] * discount[: len(found[:depth])]).sum()
    most = (best[:depth] * discount[: len(best[:depth])]).sum()
    return float(top / most) if most else 0.0


def _not_normalised(grades, k=10):
    return float(sum(g / np.log2(i + 2) for i, g in enumerate(grades[:k])))


_NDCG = (
    Mistake(
        "not normalised",
        _not_normalised,
        "You return the discounted gain. Divide it by that of the best possible order of the same "
        "grades.",
    ),
    Mistake(
        "ideal from the first k",
        lambda grades, k=10: _cumulative(grades, k, ideal="top"),
        "Your best order is made of the first k candidates alone. What is relevant and stands "
        "below k would have been on top: sort all grades, then cut.",
    ),
    Mistake(
        "no cut",
        lambda grades, k=10: _cumulative(grades, k, cut=False),
        "You sum over the whole list. Only the first k places count.",
    ),
    Mistake(
        "exponential gain",
        lambda grades, k=10: _cumulative(grades, k, gain=lambda g: 2.0**g - 1),
        "Your gain is 2^grade − 1. BEIR and trec_eval take the grade itself; with grades 0 and 1 "
        "you would not see the difference.",
    ),
    Mistake(
        "discount too late",
        lambda grades, k=10: _cumulative(grades, k, shift=2),
        "Your discounts begin one place late: the first place is divided by log2(2) = 1, the "
        "second by log2(3).",
    ),
    Mistake(
        "place instead of logarithm",
        lambda grades, k=10: _cumulative(grades, k, log=lambda x: x - 1.0),
        "You divide by the place itself. The discount is the logarithm of the place plus one.",
    ),
)


def ndcg(student):
    """Exercise 6.3: nDCG@k from the grades in the order of the ranking -> number."""
    return run("ndcg", student, _ndcg, _ndcg_cases, _NDCG)


# --- read_triplets --------------------------------------------------------------------
_NAMES = ("anchor", "positive", "negative")


def _read_triplets(lines):
    rows, rejected = [], 0
    for line in lines:
        try:
            held = json.loads(line)
        except ValueError:
            rejected += 1
            continue
        texts = [held.get(name) if isinstance(held, dict) else None for name in _NAMES]
        if all(isinstance(text, str) and text.strip() for text in texts):
            rows.append(tuple(texts))
        else:
            rejected += 1
    return rows, rejected


def _line(anchor="a dog runs", positive="a dog is running", negative="a dog sleeps", **more):
    return json.dumps({"anchor": anchor, "positive": positive, "negative": negative, **more})


def _lines_cases(rng):
    yield [_line()]
    yield [_line(), '{"anchor": "a dog runs", "posit']  # the process was killed here
    yield ["{half a line", _line(), _line("two men sing")]
    yield ["", _line(), "  ", _line("two men sing")]
    yield [_line(negative="")]
    yield [_line(positive="   "), _line("two men sing")]
    yield [_line(anchor="\t\n")]
    yield [json.dumps({"anchor": "a", "positive": "b"}), _line(id=7, model="some")]
    yield [json.dumps({"positive": "a", "negative": "b"})]
    yield [_line(negative=None), _line(positive=3)]
    yield [_line(anchor=["a dog runs"]), _line(anchor=True), _line(negative={"text": "a"})]
    yield ["[]", '"text"', "null", "7", '["anchor", "positive", "negative"]', _line()]
    yield [_line(), _line()]  # the same twice: both are good
    yield []
    damaged = ("{", "", "[]", "null", _line(negative=" "), _line(anchor=1), '{"anchor": "a"}')
    for n in (2, 3, 6):
        lines = [_line(f"{i} dogs run") for i in range(n)]
        for place in rng.integers(0, n + 1, size=2):
            lines.insert(place, damaged[rng.integers(len(damaged))])
        yield lines


def _reading(lines, *, blank=False, count=True, missing=None):
    rows, rejected = [], 0
    for line in lines:
        try:
            held = json.loads(line)
            texts = [held[n] if missing is None else held.get(n, missing) for n in _NAMES]
            good = all(isinstance(text, str) for text in texts)
            good = good and (blank or all(text.strip() for text in texts))
        except (ValueError, KeyError, TypeError, AttributeError):
            good = False
        if good:
            rows.append(tuple(texts))
        else:
            rejected += 1
    return rows, rejected if count else 0


def _stops_at_damage(lines):
    rows, total = [], len(list(lines))
    for line in lines:
        try:
            json.loads(line)
        except ValueError:
            break
        rows += _reading([line])[0]
    return rows, total - len(rows)


_READ = (
    Mistake(
        "blank texts",
        lambda lines: _reading(lines, blank=True),
        "You keep triplets with an empty or blank text. No encoder can learn from them: reject "
        "them, and count them.",
    ),
    Mistake(
        "not counted",
        lambda lines: _reading(lines, count=False),
        "You skip bad lines in silence. Count them: whoever reads the result must be able to see "
        "that half of the file was lost.",
    ),
    Mistake(
        "missing texts filled in",
        lambda lines: _reading(lines, blank=True, missing=""),
        "Where a name is missing you fill in an empty text and keep the triplet. Reject the line.",
    ),
    Mistake(
        "stops at the first damaged line",
        _stops_at_damage,
        "You stop at a line that is no JSON. One damaged line must not cost the lines after it.",
    ),
)


def read_triplets(student):
    """Exercise 6.4: triplets from JSON lines -> (list of triplets, number of rejected lines)."""
    return run("read_triplets", student, _read_triplets, _lines_cases, _READ)


WRONG = {
    "paired_gain": wrong_answers(_PAIRED),
    "union": wrong_answers(_UNION),
    "ndcg": wrong_answers(_NDCG),
    "read_triplets": wrong_answers(_READ),
}
