"""Scenes: what a sentence of the pocket world means, and how scenes are drawn.

A scene is a handful of slots. Sentences are made from scenes (`grammar.realize`) and read back
into scenes (`grammar.parse`); relations between sentences are relations between scenes
(`oracle`), and `edits` changes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from . import lexicon as lx


@dataclass(frozen=True)
class Agent:
    """A being, or several of one kind: ``Agent("man", "two", "old", ("hat", "red"))``."""

    kind: str
    number: str = "one"
    adjective: str | None = None
    wears: tuple[str, str] | None = None  # (garment, colour); only people are drawn with clothes


@dataclass(frozen=True)
class Thing:
    """An inanimate object, always one of it: ``Thing("car", "red")``."""

    kind: str
    colour: str | None = None


@dataclass(frozen=True)
class Scene:
    """The meaning of one sentence.

    Attributes
    ----------
    agent : Agent
        Who acts.
    verb : str
        A key of `lexicon.ACTIONS` (no object) or of `lexicon.DEEDS` (with an object).
    object : Agent, Thing or None
        What is acted on; its class is the one that the verb takes.
    place, time : str or None
        Keys of `lexicon.PLACES` and `lexicon.TIMES`.
    negated : bool
        Whether the sentence denies the scene.
    """

    agent: Agent
    verb: str
    object: Agent | Thing | None = None
    place: str | None = None
    time: str | None = None
    negated: bool = False

    def __post_init__(self):
        problem = _problem(self)
        if problem:
            raise ValueError(f"not a scene of the pocket world: {problem}")


def _problem(s: Scene) -> str | None:
    """What is wrong with a scene, in words, or None."""
    for being in [s.agent] + ([s.object] if isinstance(s.object, Agent) else []):
        if not isinstance(being, Agent) or being.kind not in lx.AGENTS:
            return f"agent {being!r}; kinds are {', '.join(lx.AGENTS)}"
        if being.number not in lx.NUMBERS:
            return f"number {being.number!r}; numbers are {', '.join(lx.NUMBERS)}"
        if being.adjective is not None and being.adjective not in lx.ADJECTIVES:
            return f"adjective {being.adjective!r}; adjectives are {', '.join(lx.ADJECTIVES)}"
        if being.wears and (
            not isinstance(being.wears, tuple) or len(being.wears) != 2
            or being.wears[0] not in lx.GARMENTS or being.wears[1] not in lx.COLOURS
        ):
            return f"clothes {being.wears!r}; wanted is (garment, colour) from the lexicon"
    if not isinstance(s.verb, str):
        return f"verb {s.verb!r}; wanted is a word of the lexicon"
    if s.verb in lx.ACTIONS:
        if s.object is not None:
            return f"{s.verb!r} takes no object"
    elif s.verb in lx.DEEDS:
        takes = lx.DEEDS[s.verb].takes
        if takes == "agent":
            if not isinstance(s.object, Agent):
                return f"{s.verb!r} takes an Agent as its object, not {s.object!r}"
        elif not isinstance(s.object, Thing) or takes not in (
            s.object.kind, lx.THINGS.get(s.object.kind, lx.Concept(None, ())).parent
        ):
            return f"{s.verb!r} takes a Thing of class {takes!r}, not {s.object!r}"
        elif s.object.colour is not None and s.object.colour not in lx.COLOURS:
            return f"colour {s.object.colour!r}; colours are {', '.join(lx.COLOURS)}"
    else:
        return f"verb {s.verb!r}; verbs are {', '.join([*lx.ACTIONS, *lx.DEEDS])}"
    if s.place is not None and s.place not in lx.PLACES:
        return f"place {s.place!r}; places are {', '.join(lx.PLACES)}"
    if s.time is not None and s.time not in lx.TIMES:
        return f"time {s.time!r}; times are {', '.join(lx.TIMES)}"
    return None


_THING_KINDS = {
    c: tuple(k for k, t in lx.THINGS.items() if t.parent == c) for c in lx.OBJECT_CLASSES
}


# ------------------------------------------------------------------ drawing scenes
def random_agent(rng: Random, *, animals=True, p_adjective=0.45, p_clothes=0.35) -> Agent:
    """A being with the world's usual details."""
    person = rng.random() < 0.7 or not animals
    kind = rng.choice(lx.PEOPLE if person else lx.ANIMALS)
    if rng.random() < 0.1:  # sometimes said vaguely
        kind = rng.choice(("person", "adult", "child")) if person else "animal"
    number = rng.choices(tuple(lx.NUMBERS), (0.6, 0.15, 0.08, 0.05, 0.12))[0]
    adjective = wears = None
    if rng.random() < p_adjective:
        adjective = rng.choice(lx.PERSON_ADJECTIVES if person else lx.ANIMAL_ADJECTIVES)
    if person and rng.random() < p_clothes:
        wears = (rng.choice(lx.GARMENT_NAMES), rng.choice(lx.COLOUR_NAMES))
    return Agent(kind, number, adjective, wears)


def random_scene(rng: Random, *, p_negated: float = 0.05) -> Scene:
    """Draw a scene.

    Parameters
    ----------
    rng : random.Random
        Source of randomness; the same state gives the same scene.
    p_negated : float in [0, 1]
        Probability that the scene is denied.
    """
    negated = rng.random() < p_negated
    if rng.random() < 0.38:
        agent, verb, obj = random_agent(rng), rng.choice(lx.ACTION_LEAVES), None
        if rng.random() < 0.06:
            verb = lx.ACTIONS[verb].parent
    else:
        cls = rng.choices(tuple(lx.OBJECT_CLASSES), tuple(lx.OBJECT_CLASSES.values()))[0]
        verb = rng.choice(lx.DEEDS_BY_CLASS[cls])
        agent = random_agent(rng, animals=cls in ("agent", "toy", "food"))
        if cls == "agent":
            obj = random_agent(rng, p_adjective=0.35, p_clothes=0.2)
        else:
            kind = cls if rng.random() < 0.08 else rng.choice(_THING_KINDS[cls])
            colour = rng.choice(lx.COLOUR_NAMES) if cls != "food" and rng.random() < 0.35 else None
            obj = Thing(kind, colour)
    place = time = None
    if rng.random() < 0.6:
        place = rng.choice(("outdoors", "indoors") if rng.random() < 0.08 else lx.PLACE_LEAVES)
    if rng.random() < 0.3:
        time = rng.choice(lx.TIME_NAMES)
    return Scene(agent, verb, obj, place, time, negated)
