"""Edits of scenes: what people do when they contradict, paraphrase loosely or add detail.

The corpora and the generators' pre-training data are made with them. The oracle is asked whether
an edit did what it is named for; it feeds no method.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

from . import lexicon as lx
from .oracle import nli
from .scenes import Agent, Scene, Thing


def _other_agent(a: Agent, rng: Random, field: str) -> Agent | None:
    """The same being with one field changed to a value that excludes the old one."""
    if field == "kind":
        if a.kind in ("person", "animal"):
            return None
        person = lx.is_person(a.kind)
        rivals = [
            k for k in lx.AGENTS
            if lx.AGENTS[k].parent and k != a.kind and lx.is_person(k) == person
            and k not in lx.ancestors(lx.AGENTS, a.kind)
            and a.kind not in lx.ancestors(lx.AGENTS, k)
        ]
        near = [k for k in rivals if lx.AGENTS[k].parent == lx.AGENTS[a.kind].parent]
        return replace(a, kind=rng.choice(near if near and rng.random() < 0.5 else rivals))
    if field == "number":
        vague = {"three", "four", "many"}  # "three" does not exclude "several"
        rivals = [n for n in lx.NUMBERS if n != a.number and not {n, a.number} <= vague]
        return replace(a, number=rng.choice(rivals))
    if field == "adjective":
        if not a.adjective:
            return None
        return replace(a, adjective=rng.choice(lx.siblings(lx.ADJECTIVES, a.adjective)))
    if not a.wears:
        return None
    colours = [c for c in lx.COLOUR_NAMES if c != a.wears[1]]
    return replace(a, wears=(a.wears[0], rng.choice(colours)))


def _one_contradiction(s: Scene, rng: Random, p_negate: float) -> Scene | None:
    """One slot changed to a value that excludes the old one; None if that slot is empty."""
    if rng.random() < p_negate:
        return replace(s, negated=not s.negated)
    edits = ["kind", "kind", "number", "adjective", "clothes", *3 * ["verb"], "place", "time"]
    if s.object is not None:
        edits += ["object", "object", "colour"]
        if isinstance(s.object, Agent):
            edits.append("swap")  # who does it to whom
    edit = rng.choice(edits)
    if edit in ("kind", "number", "adjective", "clothes"):
        agent = _other_agent(s.agent, rng, edit)
        return agent and replace(s, agent=agent)
    if edit == "verb":
        if s.object is None:
            return replace(s, verb=rng.choice([v for v in lx.ACTION_LEAVES if v != s.verb]))
        rivals = [v for v in lx.DEEDS_BY_CLASS[lx.DEEDS[s.verb].takes] if v != s.verb]
        return replace(s, verb=rng.choice(rivals))
    if edit == "place":
        if not s.place:
            return None
        if lx.PLACES[s.place].parent is None:
            return replace(s, place=lx.OPPOSITES[s.place])
        return replace(s, place=rng.choice([p for p in lx.PLACE_LEAVES if p != s.place]))
    if edit == "time":
        return s.time and replace(s, time=rng.choice([t for t in lx.TIME_NAMES if t != s.time]))
    if edit == "swap":
        return replace(s, agent=s.object, object=s.agent)
    if isinstance(s.object, Agent):
        if edit == "colour":
            return None
        obj = _other_agent(s.object, rng, rng.choice(("kind", "kind", "number", "adjective")))
        return obj and replace(s, object=obj)
    if edit == "object":
        rivals = lx.siblings(lx.THINGS, s.object.kind)
        return replace(s, object=replace(s.object, kind=rng.choice(rivals))) if rivals else None
    if not s.object.colour:
        return None
    colours = [c for c in lx.COLOUR_NAMES if c != s.object.colour]
    return replace(s, object=replace(s.object, colour=rng.choice(colours)))


def contradict(s: Scene, rng: Random, *, p_negate: float = 0.15) -> Scene:
    """A scene that cannot be true together with `s`, one edit away, any slot.

    Falls back to denying the scene when no slot can be changed.
    """
    for _ in range(50):
        edited = _one_contradiction(s, rng, p_negate)
        if edited is not None and nli(s, edited) == "contradiction":
            return edited
    return replace(s, negated=not s.negated)


SALIENT_SLOTS = ("verb", "agent", "negation", "object", "place", "time")


def contradict_saliently(
    s: Scene, rng: Random, *, p_salient: float = 0.9, weights=(0.60, 0.22, 0.09, 0.05, 0.02, 0.02)
) -> Scene:
    """A contradiction as people write them: mostly the opposite that comes to mind first.

    Parameters
    ----------
    s : Scene
    rng : random.Random
    p_salient : float in [0, 1]
        Probability of the first opposite; otherwise any contradiction.
    weights : sequence of 6 floats
        How often each of `SALIENT_SLOTS` is the one that changes.
    """
    def opposite(name):
        return lx.OPPOSITES.get(name) if name else None

    if rng.random() < p_salient:
        for _ in range(20):
            slot = rng.choices(SALIENT_SLOTS, weights)[0]
            edited = None
            if slot == "verb" and opposite(s.verb):
                edited = replace(s, verb=opposite(s.verb))
            elif slot == "agent" and opposite(s.agent.kind):
                edited = replace(s, agent=replace(s.agent, kind=opposite(s.agent.kind)))
            elif slot == "negation":
                edited = replace(s, negated=not s.negated)
            elif slot == "object" and isinstance(s.object, Thing) and opposite(s.object.kind):
                edited = replace(s, object=replace(s.object, kind=opposite(s.object.kind)))
            elif slot == "place" and s.place:
                edited = replace(s, place=opposite(s.place))
            elif slot == "time" and s.time:
                edited = replace(s, time=opposite(s.time))
            if edited is not None and nli(s, edited) == "contradiction":
                return edited
    return contradict(s, rng)


def _vaguer(s: Scene) -> list[Scene]:
    """Every scene that says one thing less than `s`; dropped details are listed twice."""
    found = []
    for slot in ("agent", "object"):
        x = getattr(s, slot)
        if isinstance(x, Agent):
            parent = lx.AGENTS[x.kind].parent
            # Only people wear clothes and person-adjectives, so the parent keeps them valid.
            found += [replace(s, **{slot: replace(x, kind=parent)})] if parent else []
            found += 2 * [replace(s, **{slot: replace(x, adjective=None)})] if x.adjective else []
            found += 2 * [replace(s, **{slot: replace(x, wears=None)})] if x.wears else []
        elif isinstance(x, Thing):
            parent = lx.THINGS[x.kind].parent
            found += [replace(s, object=replace(x, kind=parent))] if parent else []
            found += 2 * [replace(s, object=replace(x, colour=None))] if x.colour else []
    if s.place:
        found += 2 * [replace(s, place=None)]
        parent = lx.PLACES[s.place].parent
        found += [replace(s, place=parent)] if parent else []
    found += 2 * [replace(s, time=None)] if s.time else []
    if s.object is None and lx.ACTIONS[s.verb].parent:
        found.append(replace(s, verb=lx.ACTIONS[s.verb].parent))
    return found


def weaken(s: Scene, rng: Random, steps: int = 1) -> Scene:
    """Drop details or go up the taxonomy `steps` times: entailed by `s` when `s` is affirmed."""
    for _ in range(steps):
        options = _vaguer(s)
        if not options:
            break
        s = rng.choice(options)
    return s


def strengthen(s: Scene, rng: Random, steps: int = 1) -> Scene:
    """Add details `steps` times: neutral to an affirmed `s`."""
    for _ in range(steps):
        empty = []
        if not s.place:
            empty.append("place")
        if not s.time:
            empty.append("time")
        if not s.agent.adjective:
            empty.append("adjective")
        if lx.is_person(s.agent.kind) and not s.agent.wears:
            empty.append("clothes")
        if isinstance(s.object, Thing) and not s.object.colour and lx.DEEDS[s.verb].takes != "food":
            empty.append("colour")
        if not empty:
            break
        slot = rng.choice(empty)
        if slot == "place":
            s = replace(s, place=rng.choice(lx.PLACE_LEAVES))
        elif slot == "time":
            s = replace(s, time=rng.choice(lx.TIME_NAMES))
        elif slot == "adjective":
            person = lx.is_person(s.agent.kind)
            pool = lx.PERSON_ADJECTIVES if person else lx.ANIMAL_ADJECTIVES
            s = replace(s, agent=replace(s.agent, adjective=rng.choice(pool)))
        elif slot == "clothes":
            wears = (rng.choice(lx.GARMENT_NAMES), rng.choice(lx.COLOUR_NAMES))
            s = replace(s, agent=replace(s.agent, wears=wears))
        else:
            s = replace(s, object=replace(s.object, colour=rng.choice(lx.COLOUR_NAMES)))
    return s


def drift(s: Scene, rng: Random) -> Scene:
    """A small change of meaning in any direction: half of them contradictions."""
    x = rng.random()
    if x < 0.5:
        return contradict(s, rng, p_negate=0.0)
    return weaken(s, rng) if x < 0.8 else strengthen(s, rng)
