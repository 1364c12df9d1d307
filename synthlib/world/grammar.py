"""Scenes to English sentences and back.

`realize` says a scene in one of many ways (synonyms, active or passive, "there is …", a place or
time in front); `parse` reads any such sentence back, exactly. Sentences are lower-case words
separated by blanks, in the manner of image captions:

    in the park , four happy men wearing azure tees are leaping
"""

from __future__ import annotations

from random import Random

from . import lexicon as lx
from . import tavi
from .scenes import Agent, Scene, Thing
from .wording import Style, Words, by_form, longest, random_style


# ------------------------------------------------------------------ scene → sentence
def _say_agent(a: Agent, role: str, style: Style, words: Words) -> str:
    plural = a.number != "one"
    out = [words.pick(role + " number", a.number, lx.NUMBERS[a.number])]
    if a.adjective:
        out.append(words.pick(role + " adj", a.adjective, lx.ADJECTIVES[a.adjective].forms))
    noun = lx.AGENTS[a.kind]
    out.append(words.pick(role, a.kind, noun.other if plural else noun.forms))
    if a.wears:
        garment, colour = a.wears
        clothes = lx.GARMENTS[garment]
        out += [style.wearing] + ([] if plural else ["a"])
        out.append(words.pick(role + " colour", colour, lx.COLOURS[colour]))
        out.append(words.pick(role + " wears", garment, clothes.other if plural else clothes.forms))
    return " ".join(out)


def _say_thing(o: Thing, words: Words) -> str:
    out = ["a"]
    if o.colour:
        out.append(words.pick("thing colour", o.colour, lx.COLOURS[o.colour]))
    out.append(words.pick("thing", o.kind, lx.THINGS[o.kind].forms))
    return " ".join(out)


def say(scene: Scene, style: Style, words: Words) -> str:
    """Say a scene in a given style with given words (see `realize` for the everyday door)."""
    agent = _say_agent(scene.agent, "agent", style, words)
    agent_be = "is" if scene.agent.number == "one" else "are"
    negation = " not" if scene.negated else ""
    if scene.object is None:
        verb = words.pick("verb", scene.verb, lx.ACTIONS[scene.verb].forms)
        obj = ""
    else:
        being = isinstance(scene.object, Agent)
        obj = (
            _say_agent(scene.object, "object", style, words)
            if being else _say_thing(scene.object, words)
        )
        deed = lx.DEEDS[scene.verb]
        if style.passive:
            object_be = "are" if being and scene.object.number != "one" else "is"
            participle = words.pick("verb", scene.verb, deed.other)
            clause = f"{obj} {object_be}{negation} being {participle} by {agent}"
        verb = words.pick("verb", scene.verb, deed.forms)
    if scene.object is None or not style.passive:
        # "there is … not running" would be ambiguous, so denials never open with "there".
        if style.existential and not scene.negated:
            clause = f"there {agent_be} {agent} {verb} {obj}"
        else:
            clause = f"{agent} {agent_be}{negation} {verb} {obj}"
    place = words.pick("place", scene.place, lx.PLACES[scene.place].forms) if scene.place else ""
    time = words.pick("time", scene.time, lx.TIMES[scene.time]) if scene.time else ""
    if style.front == "place" and place:
        text = f"{place} , {clause} {time}"
    elif style.front == "time" and time:
        text = f"{time} , {clause} {place}"
    else:
        text = f"{clause} {time} {place}" if style.time_first else f"{clause} {place} {time}"
    return " ".join(text.split())


def realize(
    scene: Scene, rng: Random, style: Style | None = None, words: Words | None = None
) -> str:
    """Say a scene in English.

    Parameters
    ----------
    scene : Scene
    rng : random.Random
        Draws what `style` and `words` leave open.
    style : Style, optional
        The structure; drawn at random by default.
    words : Words, optional
        The choice of synonyms; drawn at random by default.

    Returns
    -------
    str
        A sentence for which ``parse(sentence) == scene``.
    """
    return say(scene, style or random_style(rng), words or Words(rng))


# ------------------------------------------------------------------ sentence → scene
_ONE = by_form((k, c.forms) for k, c in lx.AGENTS.items())
_MANY = by_form((k, c.other) for k, c in lx.AGENTS.items())
_NUMBER = by_form(lx.NUMBERS.items())
_ADJECTIVE = by_form((k, c.forms) for k, c in lx.ADJECTIVES.items())
_COLOUR = by_form(lx.COLOURS.items())
_GARMENT_ONE = by_form((k, c.forms) for k, c in lx.GARMENTS.items())
_GARMENT_MANY = by_form((k, c.other) for k, c in lx.GARMENTS.items())
_THING = by_form((k, c.forms) for k, c in lx.THINGS.items())
_ACTION = by_form((k, c.forms) for k, c in lx.ACTIONS.items())
_DEED = by_form((k, c.forms) for k, c in lx.DEEDS.items())
_DONE = by_form((k, c.other) for k, c in lx.DEEDS.items())
_PLACE = by_form((k, c.forms) for k, c in lx.PLACES.items())
_TIME = by_form(lx.TIMES.items())


def _read_agent(tokens, i):
    number, j = longest(_NUMBER, tokens, i)
    if number is None:
        return None, i
    one = number == "one"
    adjective, j = longest(_ADJECTIVE, tokens, j)
    kind, j = longest(_ONE if one else _MANY, tokens, j)
    if kind is None:
        return None, i
    wears = None
    if tokens[j : j + 1] in (["in"], ["wearing"]):
        k = j + 1
        if one and tokens[k : k + 1] == ["a"]:
            k += 1
        elif one:
            k = len(tokens)  # "in the park": a place, not clothes
        colour, k = longest(_COLOUR, tokens, k)
        if colour:
            garment, k = longest(_GARMENT_ONE if one else _GARMENT_MANY, tokens, k)
            if garment is None:
                return None, i
            wears, j = (garment, colour), k
    return Agent(kind, number, adjective, wears), j


def _read_thing(tokens, i):
    if tokens[i : i + 1] != ["a"]:
        return None, i
    colour, j = longest(_COLOUR, tokens, i + 1)
    kind, j = longest(_THING, tokens, j)
    return (Thing(kind, colour), j) if kind else (None, i)


def _read_object(tokens, i, verb):
    if lx.DEEDS[verb].takes == "agent":
        return _read_agent(tokens, i)
    thing, j = _read_thing(tokens, i)
    if thing and lx.DEEDS[verb].takes in (thing.kind, lx.THINGS[thing.kind].parent):
        return thing, j
    return None, i


def _read_be(tokens, i, plural):
    """ "is" or "are" in agreement, then perhaps "not": (found, negated, position)."""
    if tokens[i : i + 1] != ["are" if plural else "is"]:
        return False, False, i
    negated = tokens[i + 1 : i + 2] == ["not"]
    return True, negated, i + 1 + negated


def _read_clause(tokens, i):
    """The clause without place and time: (dict of slots, position) or (None, i)."""
    if tokens[i : i + 1] == ["there"]:
        be = tokens[i + 1 : i + 2]
        agent, j = _read_agent(tokens, i + 2)
        if agent is None or be != (["is"] if agent.number == "one" else ["are"]):
            return None, i
        return _read_active(tokens, j, agent, False, i)
    being, j = _read_agent(tokens, i)
    if being is not None:
        found, negated, j = _read_be(tokens, j, being.number != "one")
        if not found:
            return None, i
        if tokens[j : j + 1] != ["being"]:
            return _read_active(tokens, j, being, negated, i)
        return _read_passive(tokens, j + 1, being, negated, i)
    thing, j = _read_thing(tokens, i)
    if thing is None:
        return None, i
    found, negated, j = _read_be(tokens, j, False)
    if not found or tokens[j : j + 1] != ["being"]:
        return None, i
    return _read_passive(tokens, j + 1, thing, negated, i)


def _read_active(tokens, j, agent, negated, start):
    verb, k = longest(_ACTION, tokens, j)
    if verb:
        return dict(agent=agent, verb=verb, negated=negated), k
    verb, k = longest(_DEED, tokens, j)
    if verb is None:
        return None, start
    obj, k = _read_object(tokens, k, verb)
    if obj is None:
        return None, start
    return dict(agent=agent, verb=verb, object=obj, negated=negated), k


def _read_passive(tokens, j, obj, negated, start):
    verb, k = longest(_DONE, tokens, j)
    if verb is None or tokens[k : k + 1] != ["by"]:
        return None, start
    agent, k = _read_agent(tokens, k + 1)
    takes = lx.DEEDS[verb].takes
    fits = (
        takes == "agent" if isinstance(obj, Agent)
        else takes in (obj.kind, lx.THINGS[obj.kind].parent)
    )
    if agent is None or not fits:
        return None, start
    return dict(agent=agent, verb=verb, object=obj, negated=negated), k


def _read_adjuncts(tokens, i, slots):
    """Place and time in either order, each at most once."""
    while i < len(tokens):
        for slot, table in (("place", _PLACE), ("time", _TIME)):
            value, j = longest(table, tokens, i)
            if value and slot not in slots:
                slots[slot], i = value, j
                break
        else:
            break
    return i


def parse_english(text: str) -> Scene | None:
    """Read an English sentence of the world; None when it is not one."""
    tokens, slots = text.split(), {}
    i = _read_adjuncts(tokens, 0, slots)
    if i > 0:
        if len(slots) > 1 or tokens[i : i + 1] != [","]:
            return None
        i += 1
    clause, j = _read_clause(tokens, i)
    if clause is None:
        return None
    slots.update(clause)
    if _read_adjuncts(tokens, j, slots) != len(tokens):
        return None
    return Scene(**slots)


def parse(text: str) -> Scene | None:
    """Read a sentence of the pocket world, in English or in Tavi, into its scene.

    Parameters
    ----------
    text : str
        Lower-case words separated by blanks; a final full stop is ignored.

    Returns
    -------
    Scene or None
        None when the text is not a sentence of the world.
    """
    if not isinstance(text, str):
        raise ValueError(f"parse wants a sentence (str), got {type(text).__name__}")
    text = text.lower().strip().removesuffix(".").rstrip()
    return parse_english(text) or tavi.parse(text)
