"""Checks of the exercises of chapter 10, directional decoding."""

import math

import numpy as np

from synthlib.checks import Mistake, run, wrong_answers


# --- next_word ------------------------------------------------------------------------
def _softmax(scores):
    """Probabilities of a list of scores."""
    top = max(scores)
    powers = [math.exp(s - top) for s in scores]
    return np.array([p / math.fsum(powers) for p in powers])


def _next_word(p, before, lam):
    """Eq. 3 over all words, then divided by the sum: p^(1+λ) / p′^λ."""
    return _softmax(
        [(1 + lam) * math.log(a) - lam * math.log(b) for a, b in zip(p, before, strict=True)]
    )


def _distribution(rng, words, spread=2.0):
    return _softmax(list(spread * rng.normal(size=words)))


def _next_word_cases(rng):
    yield np.array([0.5, 0.3, 0.2]), np.array([0.6, 0.1, 0.3]), 0.5
    yield np.array([0.5, 0.3, 0.2]), np.array([0.6, 0.1, 0.3]), 0.0
    yield np.array([0.5, 0.3, 0.2]), np.array([0.5, 0.3, 0.2]), 1.5
    yield np.array([0.5, 0.3, 0.2]), np.array([0.6, 0.1, 0.3]), 1.5
    yield np.array([1.0]), np.array([1.0]), 0.5
    # A model gives most words next to nothing, and quotients of such numbers count.
    for tiny in (1e-7, 1e-12, 1e-18):
        yield np.array([0.5, 0.5]), np.array([1 - tiny, tiny]), 0.5
        yield np.array([0.5, 0.25, 0.25]), np.array([1.0, 4 * tiny, tiny]), 1.0
        yield np.array([1.0, tiny, 2 * tiny]), np.array([1.0, tiny**2, 8 * tiny**2]), 1.0
    for words, lam in ((2, 0.5), (3, 1.0), (4, 0.5), (6, 1.0), (9, 1.5), (5, 0.25)):
        yield _distribution(rng, words), _distribution(rng, words), lam


def _unnormalised(p, before, lam):
    return np.asarray(p) ** (1 + lam) / np.asarray(before) ** lam


def _swapped(p, before, lam):
    return _next_word(before, p, lam)


def _only_minus(p, before, lam):
    mixed = np.asarray(p) / np.asarray(before) ** lam
    return mixed / mixed.sum()


def _linear(p, before, lam):
    mixed = np.clip((1 + lam) * np.asarray(p) - lam * np.asarray(before), 0, None)
    return mixed / mixed.sum()


def _guidance_as_lambda(p, before, lam):
    """λ read as the guidance scale: λ·log p − (λ − 1)·log p′."""
    return _next_word(p, before, lam - 1)


_NEXT_WORD = (
    Mistake(
        "not normalised", _unnormalised,
        "These are Eq. 3's quotients as they stand. They do not sum to 1: divide by their sum.",
    ),
    Mistake(
        "contexts swapped", _swapped,
        "You go back to where you came from: the weight 1 + λ belongs to the last sentence, and "
        "−λ to the one before.",
    ),
    Mistake(
        "first weight 1", _only_minus,
        "The last sentence's probability has the power 1 + λ, not 1. The two weights sum to 1.",
    ),
    Mistake(
        "probabilities mixed", _linear,
        "You mix probabilities. Eq. 4 mixes their logarithms; a weighted sum of probabilities can "
        "be negative.",
    ),
    *(
        Mistake(
            f"{least} added",
            lambda p, before, lam, least=least: _next_word(
                np.asarray(p) + least, np.asarray(before) + least, lam
            ),
            f"You add a small number ({least}) to the probabilities, or cut them off there. Most "
            "words have less than that, and what you give them is made up: take the logarithms as "
            "they are.",
        )
        for least in (1e-9, 1e-12)
    ),
    Mistake(
        "lambda taken for the guidance scale", _guidance_as_lambda,
        "You read λ as the guidance scale 1 + λ. At λ = 0 nothing is taken away.",
    ),
)  # fmt: skip


def next_word(student):
    """Exercise 10.1: the directional distribution of the next word."""
    return run("next_word", student, _next_word, _next_word_cases, _NEXT_WORD)


# --- why_dropped ----------------------------------------------------------------------
def _times(sentence, sentences):
    count = 0
    for other in sentences:
        count += other == sentence
    return count


def _why_dropped(sentences, steps):
    if len(sentences) < steps + 1 or any(not s.split() for s in sentences):
        return "incomplete"
    for s in sentences:
        if "\n" in s:
            return "newline"
    last, before = sentences[-1], sentences[-2]
    if _times(last, sentences) > 2 or _times(before, sentences) > 2:
        return "degenerate tail"
    return None


def _why_cases(rng):
    yield ["a", "b", "c", "d"], 3
    yield ["a", "b"], 1
    yield ["a"], 1
    yield ["a", "b", "c"], 3
    yield ["a", "b", "c"], 4
    for blank in (" ", "", "\t"):
        yield ["a", "b", blank, "d"], 3
        yield [blank, "b", "c"], 2
    yield ["a", "b\nb", "c", "d"], 3
    yield ["a\n", "b", "c"], 2
    yield ["a", "b", "c", "c\nd"], 3
    # Of two reasons the first in order counts.
    yield ["a", "b\nb", "c"], 3
    yield ["a", "b\nb"], 2
    yield ["a", "b\nb", " ", "d"], 3
    yield ["a", "b", "\n", "d"], 3
    yield ["b", "b", "b"], 3
    yield ["b", "b", "b", "b"], 4
    yield ["b", "b", "b", ""], 3
    yield ["b\n", "b\n", "b\n"], 2
    yield ["a\na", "b", "b", "b"], 3
    # A sentence three times, at the end or elsewhere, in a row or not, to the letter or not.
    yield ["a", "b", "b", "b"], 3
    yield ["a", "a", "a"], 2
    yield ["a", "b", "c", "b", "c", "b", "c"], 6
    yield ["a", "b", "c", "b", "d", "b", "e"], 6
    yield ["a", "b", "a", "b", "a", "c"], 5
    yield ["b", "b", "b", "c", "d"], 4
    yield ["a", "a", "a", "a", "b", "c"], 5
    yield ["b", "b", "b", "c", "d", "e", "f"], 6
    yield ["a", "b", "b", "b", "c", "d"], 5
    yield ["a", "b", "c", "c"], 3
    yield ["a", "b", "a", "d", "a"], 4
    yield ["a b", "A b", "c", "a B"], 3
    yield ["A", "a", "A", "a"], 3
    yield ["a b", "b a", "a b", "b a", "b"], 4
    yield ["a", "ba", "ca", "da"], 3
    yield ["a", "b", "c", "d", "e"], 3  # more than were asked for
    for _ in range(12):
        size = int(rng.integers(3, 8))
        yield [f"the {'abcd'[i]}" for i in rng.integers(0, 4, size=size)], size - 1


def _last_only(sentences, steps):
    found = _why_dropped(sentences, steps)
    if found == "degenerate tail" and _times(sentences[-1], sentences) < 3:
        return None
    return found


def _any_three(sentences, steps):
    found = _why_dropped(sentences, steps)
    if found is None and any(_times(s, sentences) > 2 for s in sentences):
        return "degenerate tail"
    return found


def _twice(sentences, steps):
    found = _why_dropped(sentences, steps)
    if found is None and any(_times(s, sentences) > 1 for s in sentences[-2:]):
        return "degenerate tail"
    return found


def _no_anchor(sentences, steps):
    if len(sentences) == steps:
        sentences, steps = sentences, steps - 1
    return _why_dropped(sentences, steps)


def _blanks_pass(sentences, steps):
    return _why_dropped([s if s.split() else f"({i})" for i, s in enumerate(sentences)], steps)


def _in_order(*order):
    """The three reasons in another order of precedence."""

    def why(sentences, steps):
        tail = any(_times(s, sentences) > 2 for s in sentences[-2:])
        found = (
            "incomplete" * (len(sentences) < steps + 1 or any(not s.split() for s in sentences)),
            "newline" * any("\n" in s for s in sentences),
            "degenerate tail" * tail,
        )
        return next((found[i] for i in order if found[i]), None)

    return why


_WHY = (
    Mistake(
        "last sentence only", _last_only,
        "A list that goes back and forth between two sentences may end with either. Look at the "
        "last but one as well.",
    ),
    Mistake(
        "any sentence", _any_three,
        "You drop lists that were stuck for a while and got out again. Only the last two "
        "sentences are looked at, though they are counted in the whole list.",
    ),
    Mistake(
        "two times", _twice,
        "The released code lets a sentence occur twice. Three times are too many.",
    ),
    Mistake(
        "anchor not counted", _no_anchor,
        "A complete list has steps + 1 sentences: the anchor is one of them.",
    ),
    Mistake(
        "capitals", lambda sentences, steps: _why_dropped([s.lower() for s in sentences], steps),
        "You count without regard to capitals. Two sentences are the same when they agree to the "
        "letter.",
    ),
    *(
        Mistake(f"order {order}", _in_order(*order),
                f"Your reasons are right, and their precedence is not: where a list is both, "
                f"“{first}” comes before “{second}”.")
        for order, first, second in (
            ((1, 0, 2), "incomplete", "newline"),
            ((0, 2, 1), "newline", "degenerate tail"),
            ((2, 0, 1), "incomplete", "degenerate tail"),
        )
    ),
    Mistake(
        "blank sentences", _blanks_pass,
        "A sentence without words passes. Such a list is incomplete.",
    ),
)  # fmt: skip


def why_dropped(student):
    """Exercise 10.2: the reason why a list is dropped."""
    return run("why_dropped", student, _why_dropped, _why_cases, _WHY)


# --- straightness ---------------------------------------------------------------------
def _length(vector):
    return math.sqrt(math.fsum(float(x) ** 2 for x in vector))


def _steps(points):
    return [_length([b - a for a, b in zip(p, q, strict=True)])
            for p, q in zip(points, points[1:], strict=False)]  # fmt: skip


def _straightness(points):
    points = [list(map(float, p)) for p in points]
    travelled = math.fsum(_steps(points))
    if travelled == 0:
        return math.nan
    return _length([b - a for a, b in zip(points[0], points[-1], strict=True)]) / travelled


def _straight_cases(rng):
    yield np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    yield np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    yield np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    yield np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    yield np.array([[0.5], [0.5]])
    yield np.array([[2.0, 1.0]])  # a single point never moves
    yield np.array([[5.0, 5.0], [8.0, 5.0], [8.0, 9.0]])
    yield np.array([[0.0, 0.0], [2.0, 0.0], [1.0, 0.0], [3.0, 0.0]])
    for scale in (1e-12, 1e9):  # the unit of length does not matter
        yield scale * np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    for n, d in ((2, 1), (3, 2), (4, 3), (7, 2), (5, 8), (9, 4)):
        yield rng.normal(size=(n, d)).cumsum(axis=0)


def _farthest(points):
    points = np.asarray(points, float)
    travelled = sum(_steps(points))
    return max(_length(p - points[0]) for p in points) / travelled if travelled else math.nan


def _from_origin(points):
    travelled = sum(_steps(points))
    return _length(points[-1]) / travelled if travelled else math.nan


def _squared(points):
    travelled = sum(s**2 for s in _steps(points))
    return (
        _length(np.asarray(points[-1]) - np.asarray(points[0])) ** 2 / travelled
        if travelled
        else math.nan
    )


def _upside_down(points):
    found = _straightness(points)
    return 1 / found if found else math.inf


def _still_is_straight(points):
    found = _straightness(points)
    return 1.0 if math.isnan(found) else found


_STRAIGHT = (
    Mistake(
        "farthest point", _farthest,
        "You take the farthest point of the path. Net distance goes from the first point to the "
        "last: a path that turns round and comes back has gone nowhere.",
    ),
    Mistake(
        "from the origin", _from_origin,
        "You measure the last point from the origin. The path begins at its first point.",
    ),
    Mistake(
        "squared lengths", _squared,
        "You add squared lengths. Then many small moves look shorter than one large one over the "
        "same ground: take the roots first.",
    ),
    Mistake(
        "upside down", _upside_down,
        "That is travelled over net. A straight path has 1, a crooked one less.",
    ),
    Mistake(
        "standing still is straight", _still_is_straight,
        "A path that never moves has no straightness: 0/0. Return NaN, or copies will look like "
        "purpose.",
    ),
)  # fmt: skip


def straightness(student):
    """Exercise 10.3: net over travelled distance."""
    return run("straightness", student, _straightness, _straight_cases, _STRAIGHT)


# --- prompts_read ---------------------------------------------------------------------
def _prompts_read(lists, reuse):
    """A loop over rounds with a set of what the round before has read."""
    total, known = 0, set()
    for i in range(1, max(map(len, lists), default=0)):
        needed = set()
        for sentences in lists:
            if len(sentences) > i:
                needed |= set(sentences[max(0, i - 2) : i])
        total += len(needed - known) if reuse else len(needed)
        known = needed
    return total


def _read_cases(rng):
    for lists in (
        [["a", "b", "c", "d"]],
        [["a", "a", "a", "a"]],
        [["a", "b", "a", "b", "c"]],
        [["a", "b", "c", "a", "b", "c"]],  # read again, after it was forgotten
        [["a", "b", "c"], ["d", "b", "e"]],
        [["a", "b"], ["b", "c"]],
        [["a", "b"], ["a", "b"]],
        [["a", "b"], ["c", "d", "e", "f", "g"]],
        [["a"], ["b", "c"]],
        [["a"]],
        [],
    ):
        yield lists, True
        yield lists, False
    for n in (1, 2, 2, 3, 3):
        lists = [
            ["abcdef"[k] for k in rng.integers(0, 6, size=rng.integers(1, 7))] for _ in range(n)
        ]
        yield lists, True
        yield lists, False


def _last_read_too(lists, reuse):
    return _prompts_read([[*s, f"({i})"] for i, s in enumerate(lists)], reuse)


def _per_list(lists, reuse):
    return sum(_prompts_read([s], reuse) for s in lists)


def _always_two(lists, reuse):
    rounds = sum(len(s) - 1 for s in lists)
    return rounds if reuse else 2 * rounds


def _with_repeats(lists, reuse):
    """Lists of sentences in place of sets."""
    total, known = 0, set()
    for i in range(1, max(map(len, lists), default=0)):
        needed = [t for s in lists if len(s) > i for t in s[max(0, i - 2) : i]]
        total += sum(not (reuse and t in known) for t in needed)
        known = set(needed)
    return total


def _first_round_lost(lists, reuse):
    """s[i - 2:i] in the first round, where it is s[-1:1]."""
    total, known = 0, set()
    for i in range(1, max(map(len, lists), default=0)):
        needed = {t for s in lists if len(s) > i for t in s[i - 2 : i]}
        total += len(needed - known) if reuse else len(needed)
        known = needed
    return total


def _known_for_ever(lists, reuse):
    if not reuse:
        return _prompts_read(lists, reuse)
    return len({t for s in lists for t in s[:-1]})


_READ = (
    Mistake(
        "last sentence read", _last_read_too,
        "You read the last sentence of a list as well. Nothing is written from it.",
    ),
    Mistake(
        "list by list", _per_list,
        "You count each list on its own. Lists of one round are written together: a sentence that "
        "two of them need is read once.",
    ),
    Mistake(
        "two prompts a sentence", _always_two,
        "You count one or two prompts for every sentence. The first round has one context only, "
        "and equal prompts are read once.",
    ),
    Mistake(
        "with repeats", _with_repeats,
        "You count a sentence as often as it is needed in a round. In a round each distinct "
        "sentence is read once.",
    ),
    Mistake(
        "negative slice", _first_round_lost,
        "Your first round reads nothing: for i = 1 the slice [i − 2 : i] begins at −1, which is "
        "the end of the list.",
    ),
    Mistake(
        "nothing forgotten", _known_for_ever,
        "You keep everything that was ever read. Only what the round before has read is kept: "
        "a sentence that comes back later is read again.",
    ),
)  # fmt: skip


def prompts_read(student):
    """Exercise 10.4: how many prompts are read, with and without reuse."""
    return run("prompts_read", student, _prompts_read, _read_cases, _READ)


WRONG = {
    "next_word": wrong_answers(_NEXT_WORD),
    "why_dropped": wrong_answers(_WHY),
    "straightness": wrong_answers(_STRAIGHT),
    "prompts_read": wrong_answers(_READ),
}
