"""Checks of the exercises of chapter 15, ranking sentences in the field."""

import numpy as np

from synthlib.checks import Mistake, run, wrong_answers

# --- repeated -------------------------------------------------------------------------
_WORDS = ("A man is running", "a man is running", "A  man is running", "A man runs",
          "Somebody runs", "Somebody runs fast", "It is raining")  # fmt: skip


def _bare(text):
    return " ".join(text.lower().split())


def _repeated(sentences):
    """How often a sentence is met that stood in the list before, the anchor included."""
    met, times = [], 0
    for text in sentences:
        times += any(_bare(text) == _bare(other) for other in met)
        met.append(text)
    return times / (len(sentences) - 1)


def _repeated_cases(rng):
    yield (["a", "b"],)
    yield (["a", "a"],)
    yield (["a", "b", "c", "d"],)
    yield (["a", "a", "a", "a"],)
    yield (["a", "b", "a", "b", "a"],)
    yield (["a", "b", "b"],)
    yield (["a", "b", "a", "a"],)
    yield (["a b", "b a", "a a b", "ab"],)  # other words
    yield (["a dog", "dog", "a"],)  # a part of a sentence is none
    yield ([" A dog", "a dog ", "a  DOG"],)
    yield (["A dog barks.", "a dog  barks.", "A dog barks!"],)
    yield (["a", "b", "c", "b", "d", "b"],)
    for n in (2, 3, 4, 5, 6, 8, 8, 12):
        yield ([str(text) for text in rng.choice(_WORDS, n)],)


def _with_the_anchor(sentences):
    return _repeated(sentences) * (len(sentences) - 1) / len(sentences)


def _neighbours(sentences):
    plain = [_bare(text) for text in sentences]
    pairs = zip(plain, plain[1:], strict=False)
    return sum(a == b for a, b in pairs) / (len(plain) - 1)


def _letters(sentences):
    return (len(sentences) - len(set(sentences))) / (len(sentences) - 1)


def _every_one_that_has_a_twin(sentences):
    plain = [_bare(text) for text in sentences]
    return sum(plain.count(text) > 1 for text in plain[1:]) / (len(plain) - 1)


_REPEATED = (
    Mistake(
        "the anchor is counted", _with_the_anchor,
        "You divide by all sentences. The anchor cannot repeat anything: divide by the others.",
    ),
    Mistake(
        "only neighbours", _neighbours,
        "You count copies of the sentence just before. A list that goes back and forth between two "
        "sentences repeats itself, too.",
    ),
    Mistake(
        "letters compared", _letters,
        "You compare letter by letter. Capitals and the number of blanks are not to count.",
    ),
    Mistake(
        "the first one, too", _every_one_that_has_a_twin,
        "You count every sentence that comes twice. The first time it is new.",
    ),
)  # fmt: skip


def repeated(student):
    """Exercise 15.1: the share of a list that it has said before."""
    return run("repeated", student, _repeated, _repeated_cases, _REPEATED)


# --- misorder -------------------------------------------------------------------------
def _misorder(similarities):
    wrong = every = 0
    for j in range(len(similarities)):
        for k in range(j):
            every += 1
            wrong += similarities[j] > similarities[k]
    return wrong / every


def _misorder_cases(rng):
    yield np.array([0.9, 0.8])
    yield np.array([0.8, 0.9])
    yield np.array([-0.2, -0.1, 0.0])
    yield np.array([-0.1, -0.2, -0.3])
    yield np.array([0.9, 0.8, 0.4])
    yield np.array([0.4, 0.8, 0.9])
    yield np.array([0.9, 0.4, 0.8])
    yield np.array([0.9, 0.9, 0.5])
    yield np.array([0.5, 0.5])
    yield np.array([0.9, 0.2, 0.5, 0.7])
    for n in (3, 4, 5, 6, 8, 16):
        yield rng.choice([-0.1, 0.0, 0.1, 0.3, 0.5, 0.6, 0.8, 0.9], size=n)


def _steps_only(similarities):
    return float(np.mean(np.diff(similarities) > 0))


def _ties_wrong(similarities):
    n = len(similarities)
    pairs = [similarities[j] >= similarities[k] for j in range(n) for k in range(j)]
    return sum(pairs) / len(pairs)


def _in_order(similarities):
    n = len(similarities)
    pairs = [similarities[j] < similarities[k] for j in range(n) for k in range(j)]
    return sum(pairs) / len(pairs)


def _both_ways(similarities):
    return _misorder(similarities) / 2


_MISORDER = (
    Mistake(
        "neighbours only", _steps_only,
        "You compare each sentence with the one before. All pairs are wanted, also the far ones.",
    ),
    Mistake(
        "ties count", _ties_wrong,
        "You count pairs that are equally similar. Only a later one that is *more* similar stands "
        "the wrong way.",
    ),
    Mistake(
        "order, not disorder", _in_order,
        "You count the pairs that are in order. Wanted are those that are not.",
    ),
    Mistake(
        "every pair twice", _both_ways,
        "You divide by n·(n − 1). Each pair is one pair: n·(n − 1)/2.",
    ),
)  # fmt: skip


def misorder(student):
    """Exercise 15.2: the share of pairs that stand the wrong way."""
    return run("misorder", student, _misorder, _misorder_cases, _MISORDER)


# --- fair_score -----------------------------------------------------------------------
def _fair_score(tried, kept_apart):
    best = None
    for name, score in tried.items():
        if best is None or score > tried[best]:
            best = name
    return kept_apart[best]


def _fair_cases(rng):
    yield {"a": 0.3, "b": 0.6}, {"a": 0.7, "b": 0.5}
    yield {"a": 0.6, "b": 0.3}, {"b": 0.4, "a": 0.5}
    yield {"a": -0.1}, {"a": 0.2}
    yield {"a": -0.3, "b": -0.1}, {"a": 0.2, "b": -0.4}
    yield {"b": 0.5, "a": 0.2}, {"a": 0.5, "b": 0.2}
    yield {"a": 0.5, "b": 0.2}, {"a": 0.1, "b": 0.9}
    yield {"a": 0.1, "b": 0.4, "c": 0.2}, {"c": 0.9, "b": 0.3, "a": 0.6}
    for _ in range(6):
        names = list("abcd")[: int(rng.integers(2, 5))]
        yield tuple(
            dict(zip(rng.permutation(names).tolist(), rng.normal(size=len(names)).round(3).tolist(),
                     strict=True))
            for _ in range(2)
        )  # fmt: skip


def _best_of_all(tried, kept_apart):
    return max(kept_apart.values())


def _where_it_was_chosen(tried, kept_apart):
    return max(tried.values())


def _mean_of_both(tried, kept_apart):
    best = max(tried, key=tried.get)
    return (tried[best] + kept_apart[best]) / 2


def _all_averaged(tried, kept_apart):
    return sum(kept_apart.values()) / len(kept_apart)


_FAIR_SCORE = (
    Mistake(
        "chosen on what is reported", _best_of_all,
        "You take the best of the scores that were kept apart. With that look they are no longer "
        "apart: choose by the other ones.",
    ),
    Mistake(
        "reported where it was chosen", _where_it_was_chosen,
        "You report the score by which you chose. The best of several is best by luck, too: report "
        "the same setting's score on what was kept apart.",
    ),
    Mistake(
        "both averaged", _mean_of_both,
        "Half of your number is the score by which you chose, luck included.",
    ),
    Mistake(
        "nothing chosen", _all_averaged,
        "You average all settings. One is chosen, and its score alone is reported.",
    ),
)  # fmt: skip


def fair_score(student):
    """Exercise 15.3: the score of a setting that was chosen elsewhere."""
    return run("fair_score", student, _fair_score, _fair_cases, _FAIR_SCORE)


WRONG = {
    "repeated": wrong_answers(_REPEATED),
    "misorder": wrong_answers(_MISORDER),
    "fair_score": wrong_answers(_FAIR_SCORE),
}
