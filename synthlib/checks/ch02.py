"""Checks of the exercises of chapter 2, the pocket laboratory."""

import math
from itertools import product

from synthlib.checks import Mistake, run, wrong_answers

_EQUAL, _ENTAILS, _OPEN, _EXCLUDES = "equal", "entails", "open", "excludes"


# --- slot_relation --------------------------------------------------------------------
def _line(name, parent):
    """A concept and everything above it; the empty line for what is not told."""
    return [] if name is None else [name, *_line(parent[name], parent)]


def _slot_relation(premise, hypothesis, parent):
    up_p, up_h = _line(premise, parent), _line(hypothesis, parent)
    # One line is the other's tail exactly when one concept lies above the other.
    if up_p == up_h:
        return _EQUAL
    if up_p[len(up_p) - len(up_h) :] == up_h and len(up_p) > len(up_h):
        return _ENTAILS
    if up_h[len(up_h) - len(up_p) :] == up_p and len(up_h) > len(up_p):
        return _OPEN
    return _EXCLUDES


_BEINGS = {
    "person": None, "adult": "person", "child": "person", "man": "adult", "boy": "child",
    "animal": None, "dog": "animal", "cat": "animal",
}  # fmt: skip


def _slot_relation_cases(rng):
    for pair in (
        ("dog", "dog"), ("dog", "animal"), ("animal", "dog"), ("dog", "cat"), ("dog", None),
        (None, "dog"), (None, None), ("man", "person"), ("person", "man"), ("man", "child"),
        ("man", "dog"), ("person", "animal"), ("boy", "adult"),
    ):  # fmt: skip
        yield *pair, _BEINGS
    for n, deep in ((1, False), (3, True), (4, False), (5, True), (7, False), (12, False)):
        tree = {"t0": None}
        for i in range(1, n):  # a single branch, or each concept below any that is there already
            above = i - 1 if deep else rng.integers(-1, i)
            tree[f"t{i}"] = None if above < 0 else f"t{above}"
        names = [None, *tree]
        pairs = list(product(names, repeat=2))
        for i in range(len(pairs)) if deep else rng.integers(0, len(pairs), size=6):
            yield *pairs[i], tree


def _relation(premise, hypothesis, parent, *, reach=None, told=True, swap=False, kin=False):
    if swap:
        premise, hypothesis = hypothesis, premise
    if premise == hypothesis:
        return _EQUAL
    if premise is None or hypothesis is None:
        if told:
            return _ENTAILS if hypothesis is None else _OPEN
        return _EXCLUDES
    if hypothesis in _line(premise, parent)[1:reach]:
        return _ENTAILS
    if premise in _line(hypothesis, parent)[1:reach]:
        return _OPEN
    return _OPEN if kin and parent[premise] != parent[hypothesis] else _EXCLUDES


_SLOT_RELATION = (
    Mistake(
        "direction turned around",
        lambda p, h, parent: _relation(p, h, parent, swap=True),
        "The direction is turned around. From the premise to the hypothesis, a step up the tree "
        "loses information and is safe; a step down needs knowledge that nobody gave.",
    ),
    Mistake(
        "only the nearest parent",
        lambda p, h, parent: _relation(p, h, parent, reach=2),
        "You look one step up and stop. A man is a person too: follow the parents to the root.",
    ),
    Mistake(
        "None treated as another value",
        lambda p, h, parent: _relation(p, h, parent, told=False),
        "None is not a value that excludes others: it means that the slot is not told. To say "
        "less follows; to say more stays open.",
    ),
    Mistake(
        "cousins left open",
        lambda p, h, parent: _relation(p, h, parent, kin=True),
        "Two concepts exclude each other whenever neither lies above the other, also in distant "
        "branches: a man is no dog, although their parents differ.",
    ),
    Mistake(
        "silent premise entails",
        lambda p, h, parent: _ENTAILS if p is None and h else _slot_relation(p, h, parent),
        "A premise that does not tell a slot cannot vouch for what the hypothesis says there.",
    ),
)


def slot_relation(student):
    """Exercise 2.1: relation of one slot, from premise to hypothesis, by a taxonomy."""
    return run("slot_relation", student, _slot_relation, _slot_relation_cases, _SLOT_RELATION)


# --- nli_label ------------------------------------------------------------------------
def _affirmed(relations):
    worst = max((_EQUAL, _ENTAILS, _OPEN, _EXCLUDES).index(r) for r in relations)
    return ("entailment", "entailment", "neutral", "contradiction")[worst]


_SWAPPED = {
    "entailment": "contradiction", "contradiction": "entailment", "neutral": "neutral",
}  # fmt: skip


def _nli_label(forward, backward, premise_denied=False, hypothesis_denied=False):
    table = {
        (False, False): _affirmed(forward),
        (False, True): _SWAPPED[_affirmed(forward)],
        (True, False): "contradiction" if _affirmed(backward) == "entailment" else "neutral",
        (True, True): "entailment" if _affirmed(backward) == "entailment" else "neutral",
    }
    return table[bool(premise_denied), bool(hypothesis_denied)]


_TURN = {_EQUAL: _EQUAL, _ENTAILS: _OPEN, _OPEN: _ENTAILS, _EXCLUDES: _EXCLUDES}


def _nli_label_cases(rng):
    plain = ([_EQUAL, _ENTAILS], [_OPEN, _EXCLUDES], [_EXCLUDES, _OPEN], [_EQUAL], [_OPEN, _OPEN],
             [_ENTAILS, _OPEN], [_EXCLUDES, _EQUAL, _EQUAL])  # fmt: skip
    drawn = [list(rng.choice(list(_TURN), size=rng.integers(2, 7))) for _ in range(6)]
    safe = [list(rng.choice([_EQUAL, _OPEN], size=4)) for _ in range(4)]
    for forward in (*plain, *([str(r) for r in row] for row in (*drawn, *safe))):
        backward = [_TURN[r] for r in forward]
        for premise_denied in (False, True):
            for hypothesis_denied in (False, True):
                yield forward, backward, premise_denied, hypothesis_denied
    for relation in _TURN:
        yield [relation], [_TURN[relation]]  # nothing is said of denials


def _first_match(relations):
    if _OPEN in relations:
        return "neutral"
    return "contradiction" if _EXCLUDES in relations else "entailment"


def _majority(relations):
    label = {_EQUAL: "entailment", _ENTAILS: "entailment", _OPEN: "neutral",
             _EXCLUDES: "contradiction"}  # fmt: skip
    votes = [label[r] for r in relations]
    return max(dict.fromkeys(votes), key=votes.count)


def _with(affirmed, forward, backward, premise_denied, hypothesis_denied):
    if premise_denied:
        if affirmed(backward) != "entailment":
            return "neutral"
        return "entailment" if hypothesis_denied else "contradiction"
    label = affirmed(forward)
    return _SWAPPED[label] if hypothesis_denied else label


_NLI_LABEL = (
    Mistake(
        "open asked before excludes",
        lambda forward, backward, premise_denied=False, hypothesis_denied=False: _with(
            _first_match, forward, backward, premise_denied, hypothesis_denied
        ),
        "One slot that excludes settles the matter, whatever the others leave open: ask for it "
        "first.",
    ),
    Mistake(
        "majority of the slots",
        lambda forward, backward, premise_denied=False, hypothesis_denied=False: _with(
            _majority, forward, backward, premise_denied, hypothesis_denied
        ),
        "You let the slots vote. They have no votes: every one of them must fit for an "
        "entailment, and a single misfit is enough for a contradiction.",
    ),
    Mistake(
        "denials ignored",
        lambda forward, backward, premise_denied=False, hypothesis_denied=False: _affirmed(forward),
        "Your answer does not change when a sentence is denied. Go through the four rows of the "
        "table of denials.",
    ),
    Mistake(
        "every denial swaps",
        lambda forward, backward, premise_denied=False, hypothesis_denied=False: (
            _SWAPPED[_affirmed(forward)] if bool(premise_denied) != bool(hypothesis_denied)
            else _affirmed(forward)
        ),
        "You treat a denied premise like a denied hypothesis. To deny says little (no dog runs: "
        "there may be anything else), so a denied premise leaves most things open, and what it "
        "settles depends on the relations backward, from hypothesis to premise.",
    ),
    Mistake(
        "two denials read forward",
        lambda forward, backward, premise_denied=False, hypothesis_denied=False: _with(
            _affirmed, forward, forward if hypothesis_denied else backward, premise_denied,
            hypothesis_denied,
        ),
        "Two denials turn entailment around: that no animal runs implies that no dog runs, and "
        "not the other way. Where both are denied, look at `backward`.",
    ),
)  # fmt: skip


def nli_label(student):
    """Exercise 2.2: the label of a pair of scenes from the relations of its slots."""
    return run("nli_label", student, _nli_label, _nli_label_cases, _NLI_LABEL)


# --- outcome_shares -------------------------------------------------------------------
_NAMES = ("right", "copied", "opposite", "neutral", "broken")


def _outcome_shares(premises, outputs, labels, kind):
    counts = dict.fromkeys(_NAMES, 0)
    for premise, output, label in zip(premises, outputs, labels, strict=True):
        if label is None:
            counts["broken"] += 1
        elif output == premise:
            counts["copied"] += 1
        elif label == kind:
            counts["right"] += 1
        elif label == "neutral":
            counts["neutral"] += 1
        else:
            counts["opposite"] += 1
    return {name: 100 * n / len(premises) for name, n in counts.items()}


def _outcome_cases(rng):
    p = ["a dog is running", "two men are singing", "a cat is sleeping", "a boy is crying"]
    o = ["a hound is jogging", "two men are singing", "a cat is running", "a boy is"]
    labels = ["entailment", "entailment", "contradiction", None]
    for kind in ("entailment", "contradiction"):
        yield p, o, labels, kind
        yield p[:1], p[:1], ["entailment"], kind
        yield p[:2], ["", "x"], [None, None], kind
        yield p[:2], ["a dog is running at noon", "men"], ["neutral", None], kind
    for n in (1, 2, 3, 4, 7, 20, 2, 3):
        premises = [p[i] for i in rng.integers(0, 4, size=n)]
        kinds = rng.integers(0, 5, size=n)
        outputs = [a if k == 0 else f"{a} {k}" for a, k in zip(premises, kinds, strict=True)]
        drawn = ("entailment", "entailment", "neutral", "contradiction", None)
        yield premises, outputs, [drawn[k] for k in kinds], ("entailment", "contradiction")[n % 2]


def _shares(premises, outputs, labels, kind, *, copies=True, drop=False, part=100, lump=False):
    names = []
    for premise, output, label in zip(premises, outputs, labels, strict=True):
        if label is None:
            names.append("broken")
        elif copies and output == premise:
            names.append("copied")
        elif label == kind:
            names.append("right")
        else:
            names.append("neutral" if label == "neutral" and not lump else "opposite")
    total = len(names) - (names.count("broken") if drop else 0)
    return {name: part * names.count(name) / max(total, 1) for name in _NAMES}


def _copied_wins(premises, outputs, labels, kind):
    """Right first, copied only among what is left."""
    names = [
        "broken"
        if label is None
        else "right"
        if label == kind
        else "copied"
        if output == premise
        else "neutral"
        if label == "neutral"
        else "opposite"
        for premise, output, label in zip(premises, outputs, labels, strict=True)
    ]
    return {name: 100 * names.count(name) / len(names) for name in _NAMES}


_OUTCOME_SHARES = (
    Mistake(
        "copies not counted",
        lambda *a, **k: _shares(*a, **k, copies=False),
        "Copies hide among the other answers. An output that is the premise again is entailed "
        "and useless: give it its own share, whatever was asked.",
    ),
    Mistake(
        "copies counted only where they are wrong",
        _copied_wins,
        "Asked for an entailment, a copy passes as right in your count. Ask whether the output "
        "is a copy before you look at its label.",
    ),
    Mistake(
        "broken left out of the total",
        lambda *a, **k: _shares(*a, **k, drop=True),
        "Your shares are of the outputs that could be read. Divide by all of them: a generator "
        "that writes nonsense half of the time must not look better for it.",
    ),
    Mistake(
        "fractions",
        lambda *a, **k: _shares(*a, **k, part=1),
        "These are fractions of one. Percent are wanted.",
    ),
    Mistake(
        "neutral counted as opposite",
        lambda *a, **k: _shares(*a, **k, lump=True),
        "Not every wrong answer is the opposite one: an output can leave open what was asked. "
        "Keep neutral apart.",
    ),
)


def outcome_shares(student):
    """Exercise 2.3: what became of an instruction, in percent, copies counted apart."""
    return run("outcome_shares", student, _outcome_shares, _outcome_cases, _OUTCOME_SHARES)


# --- spearman -------------------------------------------------------------------------
def _rank(x):
    """1 + how many are smaller + half of the others that are equal: the average rank."""
    return [1 + sum(v < u for v in x) + (sum(v == u for v in x) - 1) / 2 for u in x]


def _pearson(x, y):
    mx, my = sum(x) / len(x), sum(y) / len(y)
    top = sum((a - mx) * (b - my) for a, b in zip(x, y, strict=True))
    return top / math.sqrt(sum((a - mx) ** 2 for a in x) * sum((b - my) ** 2 for b in y))


def _spearman(x, y):
    return 100 * _pearson(_rank(x), _rank(y))


def _spearman_cases(rng):
    yield [1.0, 2.0, 3.0], [10.0, 20.0, 15.0]
    yield [0.0, 0.0, 1.0, 1.0], [3.0, 1.0, 4.0, 4.0]
    yield [1.0, 2.0], [5.0, -5.0]
    yield [5.0, 5.0, 5.0, 1.0], [0.1, 0.9, 0.5, 0.2]
    yield [1e-30, 1e30, -1e30, 0.0], [5, 5, 1, 0]
    for n in (4, 6, 15, 40):
        yield rng.normal(size=n), rng.normal(size=n) ** 3
        halves = rng.integers(0, 11, size=n) / 2  # a judge that writes half points: many ties
        yield halves, halves + rng.normal(size=n)
        yield halves, (halves + rng.integers(0, 4, size=n)).astype(float)


def _order(x, *, last=False):
    """Ranks without averaging: ties in the order of their places."""
    places = sorted(range(len(x)), key=lambda i: (x[i], -i if last else i))
    ranks = [0] * len(x)
    for rank, i in enumerate(places, 1):
        ranks[i] = rank
    return ranks


def _of_differences(x, y):
    n = len(x)
    d2 = sum((a - b) ** 2 for a, b in zip(_rank(x), _rank(y), strict=True))
    return 100 * (1 - 6 * d2 / (n * (n * n - 1)))


_SPEARMAN = (
    Mistake(
        "correlation of the values",
        lambda x, y: 100 * _pearson(list(x), list(y)),
        "This is Pearson's correlation of the values themselves. Spearman's is the same formula "
        "on their ranks.",
    ),
    Mistake(
        "ties broken by place",
        lambda x, y: 100 * _pearson(_order(list(x)), _order(list(y))),
        "Equal values got different ranks, by their place in the list, so a shuffled list would "
        "give another answer. Values that tie share the mean of their ranks.",
    ),
    Mistake(
        "ties share the lowest rank",
        lambda x, y: 100 * _pearson(*([sum(v < u for v in z) for u in z] for z in (x, y))),
        "Values that tie share the lowest of their ranks in your answer. The mean of the ranks "
        "is wanted: two that tie for first and second get 1.5 each.",
    ),
    Mistake(
        "formula of squared differences",
        _of_differences,
        "1 − 6 Σd² / (n(n² − 1)) is exact without ties only, and a judge that writes half points "
        "makes many. Take Pearson's correlation of the ranks.",
    ),
    Mistake(
        "not in points",
        lambda x, y: _pearson(_rank(x), _rank(y)),
        "The number is right, but not in points: STS figures are given times 100.",
    ),
)


def spearman(student):
    """Exercise 2.4: Spearman's rank correlation in points, with ties."""
    return run("spearman", student, _spearman, _spearman_cases, _SPEARMAN)


WRONG = {
    "slot_relation": wrong_answers(_SLOT_RELATION),
    "nli_label": wrong_answers(_NLI_LABEL),
    "outcome_shares": wrong_answers(_OUTCOME_SHARES),
    "spearman": wrong_answers(_SPEARMAN),
}
