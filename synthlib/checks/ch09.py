"""Checks of the exercises of chapter 9, adaptive rounds."""

from itertools import product

from synthlib.checks import Mistake, run, wrong_answers


# --- usable_share ---------------------------------------------------------------------
def _usable_share(p, q, tries):
    """Chance that at least one of `tries` positives and one of the negatives is accepted: the sum
    over all outcomes."""
    share = 0.0
    for outcome in product((0, 1), repeat=2 * tries):
        positives, negatives = outcome[:tries], outcome[tries:]
        if any(positives) and any(negatives):
            chance = 1.0
            for hit in positives:
                chance *= p if hit else 1 - p
            for hit in negatives:
                chance *= q if hit else 1 - q
            share += chance
    return share


def _share_cases(rng):
    yield 0.7, 0.45, 1
    yield 0.7, 0.45, 3
    yield 0.9, 0.85, 2
    for p, q in ((1.0, 0.2), (0.0, 0.5), (0.3, 1.0), (0.4, 0.0), (1.0, 1.0)):
        yield p, q, 3
    for tries in (1, 2, 4, 5):
        yield float(rng.uniform(0.1, 0.9)), float(rng.uniform(0.1, 0.9)), tries


_SHARE = (
    Mistake(
        "tries in pairs",
        lambda p, q, tries: 1 - (1 - p * q) ** tries,
        "You ask for one try in which both are accepted. The positive of one try may stand beside "
        "the negative of another: take the two kinds apart.",
    ),
    Mistake(
        "one try",
        lambda p, q, tries: p * q,
        "That is the share with a single answer of each kind. With several tries one accepted "
        "answer of a kind is enough.",
    ),
    Mistake(
        "all must be accepted",
        lambda p, q, tries: (p * q) ** tries,
        "You want every try to be accepted. One of each kind is enough.",
    ),
    Mistake(
        "expected number",
        lambda p, q, tries: min(1.0, tries * p) * min(1.0, tries * q),
        "tries · p is the expected number of accepted answers, no probability. At least one is "
        "accepted with probability 1 − (1 − p)^tries.",
    ),
    Mistake(
        "not all accepted",
        lambda p, q, tries: (1 - p**tries) * (1 - q**tries),
        "That is the chance that not all answers are accepted. Wanted is that not all are refused: "
        "1 − (1 − p)^tries.",
    ),
    Mistake(
        "either kind",
        lambda p, q, tries: 1 - ((1 - p) * (1 - q)) ** tries,
        "You count anchors with an accepted answer of either kind. A triplet needs both.",
    ),
)


def usable_share(function):
    """Check ``usable_share(p, q, tries) -> float``: anchors that yield a triplet."""
    return run("What the filter forgives", function, _usable_share, _share_cases, _SHARE)


# --- triplets -------------------------------------------------------------------------
def _select(rows):
    anchors = []
    for anchor, *_ in rows:
        if anchor not in anchors:
            anchors.append(anchor)
    found = []
    for anchor in anchors:
        chosen = {}
        for source, kind, text, accepted in rows:
            good = accepted and source == anchor and kind not in chosen
            if good and text.split() != anchor.split():
                chosen[kind] = text
        if len(chosen) == 2:
            found.append((anchor, chosen["positive"], chosen["negative"]))
    return found


_P, _N = "positive", "negative"


def _select_cases(rng):
    yield [("a", _P, "b", True), ("a", _N, "c", True)]
    yield [
        ("a", _P, "b", False), ("a", _P, "d", True), ("a", _P, "e", True), ("a", _N, "c", True),
    ]  # fmt: skip
    yield [("a", _P, "a", True), ("a", _N, "c", True)]  # a copy is no positive
    yield [("a", _P, "a ", True), ("a", _P, "b", True), ("a", _N, "c", True)]
    yield [("a", _P, "b", True), ("x", _N, "y", True)]  # halves of two anchors
    yield [
        ("x", _N, "y", True), ("a", _N, "c", True), ("x", _P, "z", True), ("a", _P, "b", True),
    ]  # fmt: skip
    yield [  # x appears first, with an answer that is refused
        ("x", _N, "w", False), ("a", _P, "b", True), ("a", _N, "c", True), ("x", _P, "z", True),
        ("x", _N, "y", True),
    ]  # fmt: skip
    yield [("a", _P, "b", True), ("a", _N, "c", False)]
    yield []
    yield [("a", _P, "b", True), ("a", _N, "b", True)]  # one text may answer both
    yield [
        ("x", _N, "y", True), ("a", _P, "y", True), ("a", _N, "y", True), ("x", _P, "y", True),
    ]  # fmt: skip
    yield [  # the same twice
        ("x", _P, "w", False), ("a", _N, "c", True), ("x", _N, "y", True), ("a", _P, "b", True),
        ("x", _P, "w", True),
    ]  # fmt: skip
    # A copy has the anchor's words in the anchor's order; capitals and marks belong to a word.
    for anchor in ("a dog bites a man", "A dog", "two"):
        own = anchor.split()
        for text in (
            " ".join(own[::-1]), f"{anchor} now", f"now {anchor}", " ".join(own[:-1]) or "one",
            " ".join(own[1:]) or "one", anchor.upper(), anchor.lower(), f"{anchor}.",
            " ".join(dict.fromkeys(own)), f"{anchor} {own[0]}", f"  {'  '.join(own)}\t", anchor,
        ):  # fmt: skip
            yield [(anchor, _P, text, True), (anchor, _N, "c", True)]
            yield [(anchor, _P, "b", True), (anchor, _N, text, True), (anchor, _N, "c", True)]
    words = ["a", "x", "m n", "b", "c d", "e"]
    for size in (3, 4, 6, 9, 24, 24):
        rows = [
            (words[rng.integers(3)], (_P, _N)[rng.integers(2)], words[rng.integers(6)],
             bool(rng.random() < 0.6))
            for _ in range(size)
        ]  # fmt: skip
        yield rows


def _copied(anchor, text):
    return text.split() == anchor.split()


def _variant(*, copied=_copied, last=False, rejected=False, half=False):
    def wrong(rows):
        chosen = {}
        for anchor, kind, text, accepted in rows:
            mine = chosen.setdefault(anchor, {})
            good = (accepted or rejected) and not copied(anchor, text)
            if good and (last or kind not in mine):
                mine[kind] = text
        return [
            (anchor, mine.get(_P, ""), mine.get(_N, ""))
            for anchor, mine in chosen.items()
            if len(mine) == 2 or (half and mine)
        ]

    return wrong


def _in_step(rows):
    good = [row for row in rows if row[3] and row[2].split() != row[0].split()]
    positives = [row for row in good if row[1] == _P]
    negatives = [row for row in good if row[1] == _N]
    return [(p[0], p[2], n[2]) for p, n in zip(positives, negatives, strict=False)]


def _by_first_accepted(rows):
    return _select([row for row in rows if row[3] and row[2].split() != row[0].split()])


_SELECT = (
    Mistake(
        "copies kept", _variant(copied=lambda anchor, text: False),
        "A copy of the anchor is entailed, so the discriminator accepts it, and it teaches "
        "nothing. Compare words, not characters: a space may differ.",
    ),
    Mistake(
        "bag of words", _variant(copied=lambda a, t: sorted(a.split()) == sorted(t.split())),
        "You take other orders of the anchor's words for copies. “A man bites a dog” is none of “a "
        "dog bites a man”: compare the words in their order.",
    ),
    Mistake(
        "set of words", _variant(copied=lambda a, t: set(a.split()) == set(t.split())),
        "You compare sets of words: how often a word stands there, and where, is lost. Compare the "
        "words in their order.",
    ),
    Mistake(
        "part of the anchor", _variant(copied=lambda a, t: set(t.split()) <= set(a.split())),
        "You take a text for a copy when all of its words are the anchor's. A shorter sentence is "
        "another one: compare all words, in their order.",
    ),
    Mistake(
        "more than the anchor", _variant(copied=lambda a, t: " ".join(a.split()) in t),
        "You take a text for a copy when the anchor stands in it. With a word more it is another "
        "sentence: compare all words, in their order.",
    ),
    Mistake(
        "capitals", _variant(copied=lambda a, t: a.lower().split() == t.lower().split()),
        "You compare without regard to capitals. Compare the words as they stand.",
    ),
    Mistake(
        "positive and negative may not be equal",
        lambda rows: [row for row in _select(rows) if row[1] != row[2]],
        "You leave out an anchor whose positive and negative are the same text. Odd as it is, the "
        "discriminator has accepted both: the filter has no such rule.",
    ),
    Mistake(
        "the last one", _variant(last=True),
        "You keep the last accepted answer of a kind. Take the first.",
    ),
    Mistake(
        "no filter", _variant(rejected=True),
        "You take answers that the discriminator has rejected.",
    ),
    Mistake(
        "half triplets", _variant(half=True),
        "An anchor without an accepted answer of both kinds makes no triplet: leave it out.",
    ),
    Mistake(
        "order of what is accepted", _by_first_accepted,
        "Your triplets are right, but not in the order in which the anchors first appear: an "
        "anchor whose first answer is refused keeps its place.",
    ),
    Mistake(
        "halves of different anchors", _in_step,
        "You pair the n-th accepted positive with the n-th accepted negative. Both have to belong "
        "to one anchor.",
    ),
)  # fmt: skip


def triplets(function):
    """Check ``triplets(rows) -> list of (anchor, positive, negative)``."""
    return run("From answers to triplets", function, _select, _select_cases, _SELECT)


# --- texts ----------------------------------------------------------------------------
def _texts(rounds, steps, batch, anchors, candidates):
    written = 0
    for _ in range(rounds):
        for _ in range(steps):
            written += batch
        for _ in range(anchors):
            for _ in ("positive", "negative"):
                written += candidates
    return written


def _texts_cases(rng):
    yield 1, 2, 4, 3, 1
    yield 3, 5, 8, 10, 3
    yield 2, 7, 16, 20, 2
    yield 2, 0, 4, 3, 1  # no PPO at all
    yield 0, 5, 8, 10, 3
    for _ in range(3):
        yield tuple(int(rng.integers(1, 12)) for _ in range(5))


_TEXTS = (
    Mistake(
        "PPO for nothing",
        lambda rounds, steps, batch, anchors, candidates: rounds * 2 * anchors * candidates,
        "PPO writes as well: a batch of answers at every step. The control may have as many.",
    ),
    Mistake(
        "one kind",
        lambda rounds, steps, batch, anchors, candidates:
            rounds * (steps * batch + anchors * candidates),
        "Every anchor is asked for positives and for negatives.",
    ),
    Mistake(
        "both kinds at every step",
        lambda rounds, steps, batch, anchors, candidates:
            rounds * 2 * (steps * batch + anchors * candidates),
        "A batch of PPO already holds both kinds: do not count it twice.",
    ),
    Mistake(
        "PPO once",
        lambda rounds, steps, batch, anchors, candidates:
            steps * batch + rounds * 2 * anchors * candidates,
        "PPO is run in every round, not once.",
    ),
    Mistake(
        "one round",
        lambda rounds, steps, batch, anchors, candidates:
            steps * batch + 2 * anchors * candidates,
        "That is a single round.",
    ),
)  # fmt: skip


def texts_of(function):
    """Check ``texts_of(rounds, steps, batch, anchors, candidates) -> int``."""
    return run("An equal budget", function, _texts, _texts_cases, _TEXTS)


WRONG = {
    "usable_share": wrong_answers(_SHARE),
    "triplets": wrong_answers(_SELECT),
    "texts_of": wrong_answers(_TEXTS),
}
