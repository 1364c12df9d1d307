"""Checks of the exercises of chapter 13, MultiCSR in the field."""

import math
from collections import Counter

from synthlib.checks import Mistake, run, wrong_answers


# --- true_share -----------------------------------------------------------------------
def _true_share(found, sensitivity, specificity):
    # found = t·sensitivity + (1 − t)·(1 − specificity), solved for t.
    false_alarm = 1 - specificity
    if not sensitivity > false_alarm:
        raise ValueError("the examiner tells nothing apart")
    return min(max((found - false_alarm) / (sensitivity - false_alarm), 0.0), 1.0)


def _true_share_cases(rng):
    yield 0.6, 1.0, 1.0
    yield 0.5, 0.8, 0.7
    yield 0.9, 0.8, 0.9  # more than any share could give
    yield 1.0, 0.75, 1.0
    yield 0.1, 0.9, 0.8  # less than false alarms alone
    yield 0.0, 1.0, 0.75
    yield 0.5, 0.5, 0.5  # no better than chance
    yield 0.2, 0.25, 0.75
    yield 0.0, 0.0, 1.0
    yield 0.4, 0.3, 0.6
    yield 0.9, 0.0, 0.25
    for _ in range(8):
        yield tuple(map(float, rng.uniform([0, 0.55, 0.55], 1.0)))


def _share(found, sensitivity, specificity, *, formula):
    _true_share(found, sensitivity, specificity)
    return min(max(formula(found, sensitivity, specificity), 0.0), 1.0)


_TRUE_SHARE = (
    Mistake(
        "forwards",
        lambda found, sensitivity, specificity: _share(
            found, sensitivity, specificity,
            formula=lambda f, se, sp: f * se + (1 - f) * (1 - sp),
        ),
        "This goes the other way: from the true share to what the examiner would call right. You "
        "have what it called right; solve that equation for the true share.",
    ),
    Mistake(
        "false alarms forgotten",
        lambda found, sensitivity, specificity: _share(
            found, sensitivity, specificity, formula=lambda f, se, sp: f / se
        ),
        "You correct for the right answers that the examiner misses, and not for the wrong ones "
        "that it calls right: those are in `found` too.",
    ),
    Mistake(
        "sensitivity and specificity exchanged",
        lambda found, sensitivity, specificity: _share(
            found, sensitivity, specificity,
            formula=lambda f, se, sp: (f - (1 - se)) / (se + sp - 1),
        ),
        "You have exchanged the two. Sensitivity is about right answers, specificity about wrong "
        "ones; a wrong answer is called right with probability 1 − specificity.",
    ),
    Mistake(
        "not between 0 and 1",
        lambda found, sensitivity, specificity: (found + specificity - 1)
        / (sensitivity + specificity - 1)
        if sensitivity + specificity > 1
        else _true_share(found, sensitivity, specificity),
        "Your equation is right. A count can lie beyond what any share gives, by chance; the "
        "estimate is then 0 or 1, the end that is nearer.",
    ),
    Mistake(
        "a useless examiner is believed",
        lambda found, sensitivity, specificity: found
        if sensitivity + specificity <= 1
        else _true_share(found, sensitivity, specificity),
        "An examiner that calls right answers right no more often than wrong ones (sensitivity "
        "≤ 1 − specificity) tells nothing. Raise a ValueError; do not return its count.",
    ),
)


def true_share(student):
    """Exercise 13.1: what share is right, given what a fallible examiner has found."""
    return run("true_share", student, _true_share, _true_share_cases, _TRUE_SHARE)


# --- kappa ----------------------------------------------------------------------------
def _kappa(first, second):
    n = len(first)
    agreed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    chance = sum(
        sum(a == label for a in first) * sum(b == label for b in second)
        for label in set(first) | set(second)
    ) / (n * n)
    return (agreed - chance) / (1 - chance) if chance != 1 else math.nan


def _kappa_cases(rng):
    labels = ["entailment", "neutral", "contradiction"]
    yield ["neutral", "neutral", "entailment"], ["neutral", "entailment", "entailment"]
    yield list(labels), list(labels)
    for n in (1, 2, 4):
        yield ["neutral"] * n, ["neutral"] * n  # nothing can be said
        yield ["neutral"] * n, ["entailment"] * n
    yield ["neutral", "entailment"] * 3, ["neutral"] * 6
    yield ["neutral", "entailment"], ["entailment", "neutral"]  # they never agree
    yield ["neutral", "entailment"], ["neutral", "contradiction"]
    for n in (2, 3, 5, 12, 30):
        for weights in ([0.6, 0.3, 0.1], [1 / 3] * 3):
            first = rng.choice(labels, n, p=weights)
            second = [
                str(a) if rng.random() < 0.6 else str(rng.choice(labels)) for a in first
            ]  # fmt: skip
            yield [str(a) for a in first], second


def _with_chance(first, second, chance):
    agreed = sum(a == b for a, b in zip(first, second, strict=True)) / len(first)
    return (agreed - chance) / (1 - chance) if chance != 1 else math.nan


def _own_chance(first, second):
    counts = Counter(first)
    return _with_chance(first, second, sum(c * c for c in counts.values()) / len(first) ** 2)


_KAPPA = (
    Mistake(
        "bare agreement",
        lambda first, second: sum(a == b for a, b in zip(first, second, strict=True)) / len(first),
        "This is how often the two agree. Two readers who both write *neutral* most of the time "
        "agree often without reading: take off what chance alone would give.",
    ),
    Mistake(
        "chance of equal labels",
        lambda first, second: _with_chance(
            first, second, 1 / max(len(set(first) | set(second)), 2)
        ),
        "You take chance as one over the number of labels. It depends on how often each reader "
        "uses each label: the sum over labels of the product of the two shares.",
    ),
    Mistake(
        "chance of one reader",
        _own_chance,
        "You square the shares of one reader. Each label's chance is the share of the first "
        "reader times that of the second.",
    ),
    Mistake(
        "not divided",
        lambda first, second: (
            _kappa(first, second)
            if math.isnan(_kappa(first, second))
            else sum(a == b for a, b in zip(first, second, strict=True)) / len(first)
            - sum(
                first.count(label) * second.count(label) for label in set(first) | set(second)
            ) / len(first) ** 2
        ),
        "You have the agreement beyond chance. κ is its share of what was possible: divide by "
        "1 minus chance, so that full agreement is 1.",
    ),
    Mistake(
        "one label alone counts as 1",
        lambda first, second: 1.0
        if set(first) == set(second) and len(set(first)) == 1
        else _kappa(first, second),
        "Where both readers use one and the same label throughout, chance alone gives full "
        "agreement, and κ is 0/0: NaN.",
    ),
)


def kappa(student):
    """Exercise 13.2: Cohen's κ of two readers."""
    return run("kappa", student, _kappa, _kappa_cases, _KAPPA)


# --- alike ----------------------------------------------------------------------------
def _alike(texts):
    if not len(texts):
        return math.nan
    folded = [" ".join(text.lower().split()) for text in texts]
    return 100 * sum(folded.count(text) > 1 for text in folded) / len(folded)


def _alike_cases(rng):
    yield (["Somebody is riding.", "Somebody is riding.", "A dog sleeps."],)
    yield (["Somebody is riding.", "somebody  is RIDING. ", "A dog sleeps."],)
    yield (["A dog sleeps."] * 4,)
    yield (["A dog sleeps.", "A dog sleeps", "The dog sleeps."],)
    yield (["A dog", "A  dog"],)
    yield ([" A dog", "A cat", "A dog "],)
    yield (["Adog", "A dog"],)  # a blank is one too many or too few: other words
    yield (["a dog bites", "bites a dog", "a a dog bites"],)
    yield (["A dog."],)
    yield ([],)
    yield ((),)
    words = ["A dog sleeps.", "A man rides.", "a dog  sleeps.", "A cat sits.", "A bus stops."]
    for n in (1, 2, 3, 4, 9, 20):
        yield ([str(text) for text in rng.choice(words, n)],)


def _folded(texts):
    return [" ".join(text.lower().split()) for text in texts]


_ALIKE = (
    Mistake(
        "the first of each is free",
        lambda texts: 100 * (len(texts) - len(set(_folded(texts)))) / len(texts)
        if len(texts)
        else math.nan,
        "You count what is repeated, without the first of each. An answer whose text somebody else "
        "has too is counted, the first as well as the second.",
    ),
    Mistake(
        "letter for letter",
        lambda texts: 100 * sum(texts.count(t) > 1 for t in texts) / len(texts)
        if len(texts)
        else math.nan,
        "You compare letter for letter. Two texts are alike when they differ in capitals and "
        "blanks alone.",
    ),
    Mistake(
        "a share",
        lambda texts: _alike(texts) / 100,
        "This is a share. Percent is wanted.",
    ),
    Mistake(
        "of the distinct texts",
        lambda texts: 100
        * sum(count > 1 for count in Counter(_folded(texts)).values())
        / len(set(_folded(texts)))
        if len(texts)
        else math.nan,
        "You count distinct texts. Count answers: ten copies of one sentence are ten.",
    ),
    Mistake(
        "none is no collapse",
        lambda texts: _alike(texts) if len(texts) else 0.0,
        "Of no answers nothing can be said: NaN.",
    ),
)


def alike(student):
    """Exercise 13.3: percent of answers that somebody else has too."""
    return run("alike", student, _alike, _alike_cases, _ALIKE)


WRONG = {
    "true_share": wrong_answers(_TRUE_SHARE),
    "kappa": wrong_answers(_KAPPA),
    "alike": wrong_answers(_ALIKE),
}
