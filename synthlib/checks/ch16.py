"""Checks of the exercises of chapter 16, Your own domain."""

import math

import numpy as np

from synthlib import curation
from synthlib.checks import Case, Mistake, run, wrong_answers

Z = 1.96


# --- interval -------------------------------------------------------------------------
def _interval(right, n):
    """Wilson's: the shares p whose own expectation lies no more than Z errors from what was seen.

    Solved as the quadratic (seen − p)² = Z² p (1 − p) / n.
    """
    seen, z2 = right / n, Z * Z
    a, b, c = 1 + z2 / n, -(2 * seen + z2 / n), seen * seen
    root = math.sqrt(max(b * b - 4 * a * c, 0.0))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def _interval_cases(rng):
    yield 41, 50
    yield 0, 20  # nothing was right: the share is not known to be 0
    yield 20, 20
    yield 1, 1
    yield 0, 1
    yield 1, 2
    for n in (2, 9, 60, 400, 4000):
        yield int(rng.integers(0, n + 1)), n


def _wilson(right, n, z=Z, *, percent=1, half=True):
    seen = right / n
    centre = (seen + z**2 / (2 * n)) / (1 + z**2 / n)
    error = z * math.sqrt(seen * (1 - seen) / n + (z**2 / (4 * n**2) if half else 0))
    error /= 1 + z**2 / n
    return percent * (centre - error), percent * (centre + error)


def _wald(right, n):
    seen = right / n
    error = Z * math.sqrt(seen * (1 - seen) / n)
    return seen - error, seen + error


def _one_error(right, n):
    seen = right / n
    error = math.sqrt(seen * (1 - seen) / n)
    return seen - error, seen + error


_INTERVAL = (
    Mistake(
        "the plain formula",
        _wald,
        "Your interval is share ± 1.96 standard errors. Where all or none of the read texts are "
        "right that is an interval without any width. Wilson's formula does not have this fault.",
    ),
    Mistake(
        "one standard error",
        _one_error,
        "Your interval is one standard error to each side, and too narrow: it misses the true "
        "share in one of three cases. Wilson's formula with z = 1.96 is wanted.",
    ),
    Mistake(
        "Wilson with z = 1",
        lambda right, n: _wilson(right, n, 1.0),
        "The formula is right and z is not: for 95 % take z = 1.96.",
    ),
    Mistake(
        "percent",
        lambda right, n: _wilson(right, n, percent=100),
        "Your two ends are in percent. Shares from 0 to 1 are wanted.",
    ),
    Mistake(
        "no term below the root",
        lambda right, n: _wilson(right, n, half=False),
        "Below the root the term z²/(4n²) is missing. It is what keeps the interval open where "
        "the share is 0 or 1.",
    ),
)


def interval(student):
    """Exercise 16.1: Wilson's interval of a share."""
    return run("interval", student, _interval, _interval_cases, _INTERVAL)


# --- leaked ---------------------------------------------------------------------------
def _leaked(pairs, triplets):
    seen = {curation.folded(text) for triplet in triplets for text in triplet}
    return [
        row for row, pair in enumerate(pairs)
        if any(curation.folded(text) in seen for text in pair)
    ]  # fmt: skip


def _leaked_cases(rng):
    yield [("A dog runs.", "A dog sleeps.")], [("A dog runs.", "A pet moves.", "A cat runs.")]
    yield [("a  dog runs.", "A dog sleeps."), ("x", "y")], [("A dog runs.", "b", "c")]
    yield [("x", "A cat runs."), ("y", "z")], [("a", "b", "A cat runs.")]  # the second of a pair
    yield [("x", "y")], [("xy", "yz", "zz")]
    yield [], [("a", "b", "c")]
    yield [("a", "b")], []
    yield [("A dog runs.", "x"), ("y", "z")], [("b", "A DOG  runs.", "c")]
    yield [("x", "y"), ("a dog", "dog")], [("b", "c", "the dog")]  # a part of a text is none
    yield [("a", "b"), ("a", "b")], [("b", "c", "d")]
    words = ["One.", "one.", "ONE.", "Two.", "two .", "Three.", "Four.", "Five.", "six", "Six"]
    for n in (1, 2, 3, 6, 6, 6):
        pairs = [tuple(rng.choice(words, 2).tolist()) for _ in range(n)]
        yield pairs, [tuple(rng.choice([*words, "a", "b", "c", "d"], 3).tolist())]


def _found(pairs, triplets, *, fold=curation.folded, parts=slice(None), some=any, sides=(0, 1)):
    seen = {fold(text) for triplet in triplets for text in triplet[parts]}
    return [i for i, pair in enumerate(pairs) if some(fold(pair[k]) in seen for k in sides)]


_LEAKED = (
    Mistake(
        "exact",
        lambda pairs, triplets: _found(pairs, triplets, fold=str),
        "You compare the texts as they are. The same sentence with other capitals, or two blanks "
        "for one, is still known: compare with curation.folded.",
    ),
    Mistake(
        "only anchors",
        lambda pairs, triplets: _found(pairs, triplets, parts=slice(1)),
        "You look among the anchors alone. The encoder is trained on the positives and negatives "
        "as well, and the model may have written a sentence of your examination by itself.",
    ),
    Mistake(
        "both sides",
        lambda pairs, triplets: _found(pairs, triplets, some=all),
        "You find a pair only where both of its sentences are known. One is enough to spoil it.",
    ),
    Mistake(
        "first side",
        lambda pairs, triplets: _found(pairs, triplets, sides=(0,)),
        "You look at the first sentence of each pair alone.",
    ),
    Mistake(
        "the clean ones",
        lambda pairs, triplets: [
            i for i in range(len(pairs)) if i not in _found(pairs, triplets)
        ],
        "These are the rows that are clean. Those that have leaked are wanted.",
    ),
)  # fmt: skip


def leaked(student):
    """Exercise 16.2: rows of an examination that the training has seen."""
    return run("leaked", student, _leaked, _leaked_cases, _LEAKED)


# --- told_apart -----------------------------------------------------------------------
def _told_apart(anchor, same, other):
    marks = []
    for a, s, o in zip(anchor, same, other, strict=True):
        near, far = (
            math.fsum(x * y for x, y in zip(a, b, strict=True))
            / math.sqrt(math.fsum(x * x for x in a) * math.fsum(x * x for x in b))
            for b in (s, o)
        )
        marks.append(0.5 if abs(near - far) < 1e-9 else float(near > far))
    return math.fsum(marks) / len(marks)


def _told_apart_cases(rng):
    a = rng.normal(size=(1, 3))
    yield a, 2 * a, -a
    yield a, -a, 5 * a
    for n in (1, 2, 5):
        same = rng.normal(size=(n, 4))
        yield rng.normal(size=(n, 4)), same, 3 * same  # all ties
    # Cosines that differ by less than 1e-9 are a tie, and by more are none.
    x, near = np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]])
    for gap in (1e-10, 2e-9, 4e-9, 1e-7):  # of which the cosines have about a third
        note = f"one number is larger by {gap:g}"
        yield Case((x, near + [[gap, 0.0]], near), note=note)
        yield Case((x, near, near + [[gap, 0.0]]), note=note)
    for n, d in ((1, 2), (2, 2), (2, 2), (3, 2), (3, 2), (8, 3), (30, 5), (9, 2)):
        anchor, near, far = rng.normal(size=(3, n, d))
        far *= rng.uniform(0.2, 5, size=(n, 1))  # vectors of any length
        if n > 3:
            near[0] = far[0]
        yield anchor, near, far


def _share(anchor, same, other, *, unit=True, tie=0.5, sign=1):
    anchor, same, other = (np.asarray(x, float) for x in (anchor, same, other))
    if unit:
        anchor, same, other = (
            x / np.linalg.norm(x, axis=1, keepdims=True) for x in (anchor, same, other)
        )
    gap = sign * ((anchor * same).sum(1) - (anchor * other).sum(1))
    tied = np.abs(gap) < 1e-9
    return float(np.where(tied, tie, gap > 0).mean())


def _mean_gap(anchor, same, other):
    anchor, same, other = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (anchor, same, other)
    )
    return float((anchor * same).sum(1).mean() > (anchor * other).sum(1).mean())


_TOLD_APART = (
    Mistake(
        "no unit vectors",
        lambda *given: _share(*given, unit=False),
        "You compare dot products, in which a long vector wins. Divide each row by its length.",
    ),
    Mistake(
        "ties are right",
        lambda *given: _share(*given, tie=1.0),
        "A tie counts as right in your share. An encoder that gives everything the same vector "
        "would have full marks: a tie counts one half.",
    ),
    Mistake(
        "ties are wrong",
        lambda *given: _share(*given, tie=0.0),
        "A tie counts as wrong in your share. One half is wanted: that is what guessing gives.",
    ),
    Mistake(
        "turned",
        lambda *given: _share(*given, sign=-1),
        "Your share counts the rows in which the other text is nearer to the anchor.",
    ),
    Mistake(
        "means",
        _mean_gap,
        "You compare the two mean cosines. Compare row by row, then take the share of the rows.",
    ),
)


def told_apart(student):
    """Exercise 16.3: how often the right text is nearer than the wrong one."""
    return run("told_apart", student, _told_apart, _told_apart_cases, _TOLD_APART)


WRONG = {
    "interval": wrong_answers(_INTERVAL),
    "leaked": wrong_answers(_LEAKED),
    "told_apart": wrong_answers(_TOLD_APART),
}
