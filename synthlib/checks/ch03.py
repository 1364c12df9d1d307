"""Checks of the exercises of chapter 3, contrastive generation."""

import math

import numpy as np

from synthlib.checks import Case, Mistake, run, wrong_answers


# --- mixture --------------------------------------------------------------------------
def _normalised(scores):
    """Probabilities of a list of scores; −inf has probability 0."""
    top = max(scores)
    powers = [math.exp(s - top) for s in scores]
    return np.array([p / math.fsum(powers) for p in powers])


def _mixture(logits, weights):
    columns = zip(*(list(map(float, row)) for row in logits), strict=True)
    return _normalised(
        [math.fsum(w * x for w, x in zip(weights, column, strict=True)) for column in columns]
    )


def _mixture_cases(rng):
    yield np.array([[2.0, 1.0, 0.0], [3.0, 0.0, 0.0]]), [1.0, -0.5]
    yield np.array([[2.0, 1.0, 0.0], [3.0, 0.0, 0.0]]), [1.0, 0.0]
    yield np.array([[1.0, 0.0]]), [0.0]
    for level in (900.0, -900.0):  # exp(900) is no number, and exp(−900) is 0
        for logits, weights in (
            ([[level, level - 1]], [1.0]),
            ([[level, level - 1, -level], [level, level + 1, 0.0]], [1.0, -0.3]),
            (level + rng.normal(size=(3, 4)), [1.5, -0.2, -0.1]),
        ):
            yield Case((np.array(logits), weights), atol=1e-3)
    for contexts, words in ((1, 2), (2, 2), (2, 5), (3, 4), (1, 6), (4, 9)):
        logits = 3 * rng.normal(size=(contexts, words))
        yield logits, [1.0, *(-0.3 * rng.random(contexts - 1))]
        yield logits, list(rng.normal(size=contexts))


def _softmax(x):
    powers = np.exp(np.asarray(x, float) - np.max(x))
    return powers / powers.sum()


def _of_probabilities(logits, weights):
    mixed = sum(w * _softmax(row) for w, row in zip(weights, logits, strict=True))
    return mixed / mixed.sum()


_MIXTURE = (
    Mistake(
        "probabilities mixed",
        _of_probabilities,
        "You mix probabilities. The rule mixes logits: add first, and take the softmax once, of "
        "the sum. (A weighted sum of probabilities can be negative.)",
    ),
    Mistake(
        "weights normalised",
        lambda logits, weights: _softmax(
            sum(w * np.asarray(x) for w, x in zip(weights, logits, strict=True)) / sum(weights)
        ),
        "Do not divide the weights by their sum. It leaves the best word where it is, and changes "
        "all probabilities: the sum of the weights acts as an inverse temperature.",
    ),
    Mistake(
        "weight of the first context taken as 1",
        lambda logits, weights: _softmax(
            logits[0] + sum(w * np.asarray(x) for w, x in zip(weights[1:], logits[1:], strict=True))
        ),
        "You leave out the first weight. It is 1 in contrastive generation, 1 + λ in directional "
        "decoding, and here whatever is given.",
    ),
    Mistake(
        "minus for every further context",
        lambda logits, weights: _softmax(
            weights[0] * np.asarray(logits[0])
            - sum(w * np.asarray(x) for w, x in zip(weights[1:], logits[1:], strict=True))
        ),
        "The sign is in the weight already: contrastive generation has the weights 1 and −ω. Add "
        "all the terms.",
    ),
    Mistake(
        "no softmax",
        lambda logits, weights: sum(
            w * np.asarray(x, float) for w, x in zip(weights, logits, strict=True)
        ),
        "These are the mixed logits. Their softmax is wanted: V probabilities that sum to 1.",
    ),
)


def mixture(student):
    """Exercise 3.1: next-word probabilities from a weighted mixture of K contexts."""
    return run("mixture", student, _mixture, _mixture_cases, _MIXTURE)


# --- as_guidance ----------------------------------------------------------------------
def _as_guidance(omega, temperature=1.0):
    if not omega < 1:
        raise ValueError(f"no guidance scale belongs to omega = {omega}")
    # From the two requirements: g : (1 − g) = 1 : −ω, and (g·l + …)/T′ = (l − …)/T.
    scale = 1 / (1 - omega)
    return scale, scale * temperature


def _as_guidance_cases(rng):
    yield (0.0,)
    yield (0.3,)
    yield 0.5, 2.0
    yield -0.25, 0.8
    yield -3.0, 0.5
    yield 1.0, 1.0
    yield 1.4, 1.0
    yield (2.5,)
    yield (1.0,)
    for omega in rng.uniform(-0.5, 0.95, size=6):
        yield float(omega), float(rng.uniform(0.2, 2.0))


def _guidance(omega, temperature=1.0, *, scale=None, heat=None):
    if not omega < 1:
        raise ValueError(omega)
    return (scale or _as_guidance)(omega) if heat is None else (
        1 / (1 - omega), heat(omega, temperature)
    )  # fmt: skip


_AS_GUIDANCE = (
    Mistake(
        "temperature the wrong way round",
        lambda omega, temperature=1.0: _guidance(
            omega, temperature, heat=lambda w, t: t * (1 - w)
        ),
        "The scale is right; the temperature goes the other way. l − ω·l̂ is (1 − ω) times the "
        "guided logits, which is *smaller* for ω > 0: guidance must be made flatter to match it.",
    ),
    Mistake(
        "temperature unchanged",
        lambda omega, temperature=1.0: _guidance(omega, temperature, heat=lambda w, t: t),
        "The scale is right, and greedy decoding would agree. For sampling compare the sizes of "
        "both sides, too: the weights 1 and −ω sum to 1 − ω, those of guidance to 1.",
    ),
    Mistake(
        "one plus omega",
        lambda omega, temperature=1.0: _guidance(
            omega, scale=lambda w: (1 + w, (1 + w) * temperature)
        ),
        "With g = 1 + ω the ratio of the weights is −ω/(1 + ω), not −ω. Solve (1 − g)/g = −ω.",
    ),
    Mistake(
        "lambda instead of the scale",
        lambda omega, temperature=1.0: _guidance(
            omega, scale=lambda w: (w / (1 - w), temperature / (1 - w))
        ),
        "That is λ = ω/(1 − ω), the strength of directional decoding. The guidance scale is 1 + λ.",
    ),
    Mistake(
        "no error from omega = 1 on",
        lambda omega, temperature=1.0: (
            1 / (1 - omega) if omega != 1 else math.inf,
            temperature / (1 - omega) if omega != 1 else math.inf,
        ),
        "From ω = 1 on the weights no longer sum to anything positive, and no guidance scale "
        "belongs to them: raise a ValueError.",
    ),
)


def as_guidance(student):
    """Exercise 3.2: guidance scale and temperature that belong to ω."""
    return run("as_guidance", student, _as_guidance, _as_guidance_cases, _AS_GUIDANCE)


# --- opposite_share -------------------------------------------------------------------
_OUTCOMES = ("right", "copied", "opposite", "neutral", "broken")


def _opposite_share(before, after, kinds, by_label=False):
    counts = {"all": 0, "opposite": 0}
    for old, new, kind in zip(before, after, kinds, strict=True):
        if by_label:
            label = {"entailment": "right", "contradiction": "opposite"}[kind]
            old, new = (label if o == "copied" else o for o in (old, new))
        if old != "right" and new == "right":
            counts["all"] += 1
            counts["opposite"] += old == "opposite"
    return 100 * counts["opposite"] / counts["all"] if counts["all"] else math.nan


def _opposite_share_cases(rng):
    e, c = "entailment", "contradiction"
    before = ["opposite", "copied", "right", "opposite", "neutral", "copied"]
    after = ["right", "right", "opposite", "opposite", "right", "right"]
    for by_label in (False, True):
        yield before, after, [c, c, c, e, e, e], by_label
        yield ["right", "opposite"], ["right", "opposite"], [c, e], by_label
        yield ["copied", "copied"], ["right", "right"], [c, e], by_label
        yield ["opposite", "broken"], ["copied", "right"], [e, c], by_label
    yield ["opposite", "copied"], ["right", "right"], [c, c]  # copies counted apart
    yield [], [], []
    for n in (1, 2, 2, 3, 4, 12, 30, 60):
        p = (0.45, 0.2, 0.2, 0.1, 0.05)
        for by_label in (False, True):
            yield (
                [str(o) for o in rng.choice(_OUTCOMES, size=n, p=p)],
                [str(o) for o in rng.choice(_OUTCOMES, size=n, p=p)],
                [str(k) for k in rng.choice([e, c], size=n)],
                by_label,
            )


def _share(before, after, kinds, by_label=False, *, among="repaired", copies="label"):
    rows = []
    for old, new, kind in zip(before, after, kinds, strict=True):
        if by_label and copies == "label":
            label = "right" if kind == "entailment" else "opposite"
            old, new = (label if o == "copied" else o for o in (old, new))
        elif by_label and copies == "opposite":
            old, new = ("opposite" if o == "copied" else o for o in (old, new))
        rows.append((old, new))
    repaired = [old for old, new in rows if old != "right" and new == "right"]
    pool = {
        "repaired": repaired,
        "all": [old for old, _ in rows],
        "wrong": [old for old, _ in rows if old != "right"],
        "changed": [old for old, new in rows if old != new],
    }[among]
    top = pool if among in ("changed", "wrong") else repaired
    return 100 * top.count("opposite") / len(pool) if pool else math.nan


_OPPOSITE_SHARE = (
    Mistake(
        "share of all outputs",
        lambda *a, **k: _share(*a, **k, among="all"),
        "You divide by all outputs. The question is about those that were repaired: wrong before "
        "and right after.",
    ),
    Mistake(
        "share of all wrong outputs",
        lambda *a, **k: _share(*a, **k, among="wrong"),
        "You count every output that was wrong before, also those that stayed wrong. Look at "
        "`after`, too.",
    ),
    Mistake(
        "share of all changed outputs",
        lambda *a, **k: _share(*a, **k, among="changed"),
        "You count every output whose outcome changed. Some of them were spoilt, some are wrong in "
        "another way: repaired means right after.",
    ),
    Mistake(
        "copies counted apart in both ways",
        lambda before, after, kinds, by_label=False: _share(before, after, kinds, False),
        "With by_label=True there are no copies: a copy of the premise is entailed, so its label "
        "is right where an entailment was asked for, and opposite where a contradiction was.",
    ),
    Mistake(
        "copied entailments opposite",
        lambda *a, **k: _share(*a, **k, copies="opposite"),
        "By label a copy is the opposite only where a contradiction was asked for. Where an "
        "entailment was, a copy is right, before and after.",
    ),
)


def opposite_share(student):
    """Exercise 3.3: how many of the repaired outputs had said the opposite."""
    return run("opposite_share", student, _opposite_share, _opposite_share_cases, _OPPOSITE_SHARE)


# --- first_flip -----------------------------------------------------------------------
def _first_flip(logits, noisy):
    clean, noise = (list(map(float, x)) for x in (logits, noisy))
    words = range(len(clean))

    def best(omega):
        return max(words, key=lambda v: clean[v] - omega * noise[v])

    # Between two neighbouring crossings of any two lines nothing changes: look in the middle.
    crossings = sorted(
        {
            at
            for a in words for b in words if noise[a] != noise[b]
            and (at := (clean[a] - clean[b]) / (noise[a] - noise[b])) >= 0
        }
    )  # fmt: skip
    start = best(0.0)
    for at, after in zip(crossings, [*crossings, math.inf][1:], strict=True):
        if best(at + 1 if math.isinf(after) else (at + after) / 2) != start:
            return at
    return math.inf


def _first_flip_cases(rng):
    yield np.array([2.0, 1.0]), np.array([3.0, 0.0])
    yield np.array([2.0, 1.0]), np.array([0.0, 3.0])  # the rival falls: never
    yield np.array([2.0, 1.0, 0.0]), np.array([1.0, 1.0, 1.0])
    yield np.array([3.0, 2.9, 0.0]), np.array([5.0, 4.9, 0.0])  # the runner-up is not the first
    yield np.array([-1.0, -3.0, -2.0]), np.array([-1.0, -9.0, -2.5])
    yield np.array([1.0]), np.array([4.0])  # no rival at all
    # Ties: equal at ω = 0 and then behind, in front, or equal for ever.
    yield np.array([2.0, 2.0]), np.array([1.0, 3.0])
    yield np.array([2.0, 2.0, 1.0]), np.array([1.0, 3.0, 0.0])
    yield np.array([2.0, 2.0]), np.array([3.0, 1.0])
    yield np.array([2.0, 2.0, 1.0]), np.array([1.0, 1.0, 0.5])
    yield np.array([500.0, 0.0]), np.array([0.25, 0.0])  # very late
    yield np.array([0.0, -0.001]), np.array([4.0, -4.0])  # very early
    for n in (2, 3, 5, 12):
        for _ in range(3):
            yield 3 * rng.normal(size=n), 3 * rng.normal(size=n)
            clean, noise = rng.integers(-2, 3, size=(2, n)).astype(float)  # many ties
            yield clean, noise


def _crossings(logits, noisy, *, rivals=None, every=False):
    clean, noise = np.asarray(logits, float), np.asarray(noisy, float)
    best = int(clean.argmax())
    found = []
    for v in range(len(clean)) if rivals is None else rivals(clean):
        if v != best and noise[best] != noise[v] and (every or noise[best] > noise[v]):
            found.append((clean[best] - clean[v]) / (noise[best] - noise[v]))
    return found


def _probability_flip(logits, noisy):
    p, q = _softmax(logits), _softmax(noisy)
    return float(min(_crossings(p, q), default=math.inf))


_FIRST_FLIP = (
    Mistake(
        "only the runner-up",
        lambda x, noisy: float(
            min(_crossings(x, noisy, rivals=lambda z: [int(np.argsort(-z)[1])]), default=math.inf)
        ),
        "You look at the second-best word only. A word further down may overtake first, if the "
        "noisy instruction likes it less.",
    ),
    Mistake(
        "negative crossings",
        lambda x, noisy: float(min(_crossings(x, noisy, every=True), default=math.inf)),
        "Some of your crossings lie at negative ω. There the rival is *better* liked by the noisy "
        "instruction: raising ω only pushes it down.",
    ),
    Mistake(
        "last crossing",
        lambda x, noisy: float(max(_crossings(x, noisy), default=math.inf)),
        "That is the ω at which the last rival has overtaken. The choice changes at the first.",
    ),
    Mistake(
        "size of the crossing",
        lambda x, noisy: float(
            min((abs(x) for x in _crossings(x, noisy, every=True)), default=math.inf)
        ),
        "You drop the sign of the crossings. One at −0.5 is no flip at 0.5: that rival is never "
        "reached by raising ω.",
    ),
    Mistake(
        "probabilities instead of logits",
        _probability_flip,
        "These are the crossings of p − ω·p̂. The rule subtracts logits, not probabilities.",
    ),
)


def first_flip(student):
    """Exercise 3.4: the smallest ω at which the greedy choice changes."""
    return run("first_flip", student, _first_flip, _first_flip_cases, _FIRST_FLIP)


WRONG = {
    "mixture": wrong_answers(_MIXTURE),
    "as_guidance": wrong_answers(_AS_GUIDANCE),
    "opposite_share": wrong_answers(_OPPOSITE_SHARE),
    "first_flip": wrong_answers(_FIRST_FLIP),
}
