"""The oracle: exact answers about scenes, for judging results only.

It decides natural-language inference and similarity by comparing two scenes slot by slot. No
method of the book is ever given an answer of the oracle, save where its paper itself uses human
labels (a supervised NLI corpus).
"""

from __future__ import annotations

from . import lexicon as lx
from .grammar import parse
from .scenes import Agent, Scene, Thing

LABELS = ("entailment", "neutral", "contradiction")

# Relation of a premise's slot to the hypothesis's: what the first says about the second.
EQUAL, ENTAILS, OPEN, EXCLUDES = "equal", "entails", "open", "excludes"


def _as_scene(x) -> Scene | None:
    if isinstance(x, str):
        return parse(x)
    if x is None or isinstance(x, Scene):
        return x
    raise ValueError(f"wanted a sentence or a Scene, got {type(x).__name__}")


def _taxonomy(table, p, h):
    if p == h:
        return EQUAL
    if h is None:
        return ENTAILS
    if p is None:
        return OPEN
    if h in lx.ancestors(table, p):
        return ENTAILS
    return OPEN if p in lx.ancestors(table, h) else EXCLUDES


def _detail(p, h, same_dimension=True):
    """Relation of optional details; values of one dimension exclude each other."""
    if p == h:
        return EQUAL
    if h is None:
        return ENTAILS
    return OPEN if p is None or not same_dimension else EXCLUDES


def _number(p, h):
    if p == h:
        return EQUAL
    if h == "many" and p in ("three", "four"):
        return ENTAILS
    return OPEN if p == "many" and h in ("three", "four") else EXCLUDES


def _beings(p: Agent, h: Agent):
    adjectives = p.adjective and h.adjective
    same_dimension = not adjectives or (
        lx.ADJECTIVES[p.adjective].parent == lx.ADJECTIVES[h.adjective].parent
    )
    same_garment = not (p.wears and h.wears) or p.wears[0] == h.wears[0]
    return [
        _taxonomy(lx.AGENTS, p.kind, h.kind),
        _number(p.number, h.number),
        _detail(p.adjective, h.adjective, same_dimension),
        _detail(p.wears, h.wears, same_garment),
    ]


def relations(premise: Scene, hypothesis: Scene) -> list[str]:
    """Slot-wise relations premise → hypothesis, polarity aside."""
    p, h = premise, hypothesis
    found = _beings(p.agent, h.agent)
    if (p.object is None) != (h.object is None):
        found.append(EXCLUDES)
    elif p.object is None:
        found.append(_taxonomy(lx.ACTIONS, p.verb, h.verb))
    else:
        found.append(EQUAL if p.verb == h.verb else EXCLUDES)
        if lx.DEEDS[p.verb].takes != lx.DEEDS[h.verb].takes:
            found.append(EXCLUDES)
        elif isinstance(p.object, Agent):
            found += _beings(p.object, h.object)
        else:
            found.append(_taxonomy(lx.THINGS, p.object.kind, h.object.kind))
            found.append(_detail(p.object.colour, h.object.colour))
    found.append(_taxonomy(lx.PLACES, p.place, h.place))
    found.append(_detail(p.time, h.time))
    return found


def _affirmed(p: Scene, h: Scene) -> str:
    found = relations(p, h)
    if EXCLUDES in found:
        return "contradiction"
    return "neutral" if OPEN in found else "entailment"


def nli(premise: str | Scene, hypothesis: str | Scene) -> str | None:
    """Does the premise entail, contradict or leave open the hypothesis?

    Parameters
    ----------
    premise, hypothesis : str or Scene
        Sentences of the pocket world (either language) or scenes.

    Returns
    -------
    "entailment", "neutral", "contradiction" or None
        None when one of the two is not a sentence of the world.
    """
    p, h = _as_scene(premise), _as_scene(hypothesis)
    if p is None or h is None:
        return None
    if not p.negated and not h.negated:
        return _affirmed(p, h)
    if p.negated and h.negated:  # "no dog runs" follows from "no animal runs"
        return "entailment" if _affirmed(h, p) == "entailment" else "neutral"
    if h.negated:  # p says it happens, h denies it
        relation = _affirmed(p, h)
        flipped = {"entailment": "contradiction", "contradiction": "entailment"}
        return flipped.get(relation, relation)
    return "contradiction" if _affirmed(h, p) == "entailment" else "neutral"


# ------------------------------------------------------------------ similarity
def _near(table, x, y):
    if x == y:
        return 1.0
    if x is None or y is None:
        return 0.45
    up_x, up_y = lx.ancestors(table, x), lx.ancestors(table, y)
    if x in up_y or y in up_x:
        return 0.75
    return 0.25 if set(up_x) & set(up_y) else 0.0


def _near_detail(x, y, else_=0.0):
    if x == y:
        return 1.0
    return 0.45 if x is None or y is None else else_


def _near_beings(x: Agent, y: Agent, weight: float):
    found = [(weight, _near(lx.AGENTS, x.kind, y.kind))]
    vague = "one" not in (x.number, y.number) and "many" in (x.number, y.number)
    found.append((0.3 * weight, 1.0 if x.number == y.number else 0.6 if vague else 0.2))
    if x.adjective or y.adjective:
        across = 0.0
        if x.adjective and y.adjective:
            same = lx.ADJECTIVES[x.adjective].parent == lx.ADJECTIVES[y.adjective].parent
            across = 0.0 if same else 0.3
        found.append((0.3 * weight, _near_detail(x.adjective, y.adjective, across)))
    if x.wears or y.wears:
        part = 0.0
        if x.wears and y.wears:
            part = 0.5 * (x.wears[0] == y.wears[0]) + 0.5 * (x.wears[1] == y.wears[1])
        found.append((0.3 * weight, _near_detail(x.wears, y.wears, part)))
    return found


def similarity(a: str | Scene, b: str | Scene) -> float | None:
    """Similarity of two meanings, from 0 (unrelated) to 5 (the same), symmetric.

    A weighted mean over slots (who and what weigh most, time least), stretched so that unrelated
    scenes lie near 0, times 0.72 when one slot excludes the other's (less for more such slots)
    and times 0.4 when one scene is affirmed and the other denied. None when one of the two is
    not a sentence of the world.
    """
    x, y = _as_scene(a), _as_scene(b)
    if x is None or y is None:
        return None
    parts = _near_beings(x.agent, y.agent, 1.0)
    if (x.object is None) != (y.object is None):
        parts += [(1.2, 0.0), (1.0, 0.0)]
    elif x.object is None:
        parts.append((1.8, _near(lx.ACTIONS, x.verb, y.verb)))
    else:
        same_class = lx.DEEDS[x.verb].takes == lx.DEEDS[y.verb].takes
        parts.append((1.2, 1.0 if x.verb == y.verb else 0.25 if same_class else 0.0))
        if not same_class:
            parts.append((1.0, 0.0))
        elif isinstance(x.object, Thing):
            parts.append((1.0, _near(lx.THINGS, x.object.kind, y.object.kind)))
            if x.object.colour or y.object.colour:
                parts.append((0.3, _near_detail(x.object.colour, y.object.colour)))
        else:
            parts += _near_beings(x.object, y.object, 0.8)
    if x.place or y.place:
        parts.append((0.6, _near(lx.PLACES, x.place, y.place)))
    if x.time or y.time:
        parts.append((0.35, _near_detail(x.time, y.time)))
    mean = sum(w * v for w, v in parts) / sum(w for w, _ in parts)
    value = max(0.0, (mean - 0.15) / 0.85) ** 1.25
    excluded = relations(x, y).count(EXCLUDES)
    if excluded:
        value *= (0.72, 0.62, 0.55, 0.5)[min(excluded, 4) - 1]
    if x.negated != y.negated:
        value *= 0.4
    return 5.0 * value
