"""Tavi, the pocket world's second language: other words, another order, far fewer texts.

Tavi stands for a low-resource language. It says the same scenes as English but shares no word
with it, puts the verb last, the adjective after its noun and the count after both, and marks who
acts with *sa* and who or what is acted on with *lo*. A garment follows its wearer after *ve*,
*nai* denies:

    lurika    dopo    ve  semi  taru  nemo  sa     keli  lo      mabo     nai
    man       old     with hat  red   one   AGENT  book  OBJECT  reading  not
"""

from __future__ import annotations

from random import Random

from . import lexicon as lx
from .scenes import Agent, Scene, Thing
from .wording import Style, Words, by_form, longest, random_style

AGENT, OBJECT, WITH, NOT = "sa", "lo", "ve", "nai"


def _coin_words() -> dict[str, dict[str, tuple[str, ...]]]:
    """Forms of every concept in Tavi, coined from syllables, always the same ones.

    Half of the concepts have two forms, so that a paraphrase can change the words.
    """
    rng = Random(1997)  # any fixed number: the language is what this draw says it is
    used = {AGENT, OBJECT, WITH, NOT} | lx.words()

    def coin(syllables):
        while True:
            parts = (rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(syllables))
            word = "".join(parts)
            if word not in used:
                used.add(word)
                return word

    tables = {
        "agent": lx.AGENTS, "number": lx.NUMBERS, "adjective": lx.ADJECTIVES,
        "colour": lx.COLOURS, "garment": lx.GARMENTS, "thing": lx.THINGS,
        "action": lx.ACTIONS, "deed": lx.DEEDS, "place": lx.PLACES, "time": lx.TIMES,
    }
    return {
        name: {
            concept: tuple(coin(rng.choice((2, 2, 3))) for _ in range(1 + (i % 2)))
            for i, concept in enumerate(table)
        }
        for name, table in tables.items()
    }


FORMS = _coin_words()
_READ = {name: by_form(table.items()) for name, table in FORMS.items()}


def words() -> set[str]:
    """Every word of Tavi."""
    forms = (f for table in FORMS.values() for group in table.values() for f in group)
    return {AGENT, OBJECT, WITH, NOT, *forms}


def _say_agent(a: Agent, role: str, words_: Words) -> str:
    def pick(slot, concept):
        return words_.pick(f"{role} {slot}", concept, FORMS[slot][concept])

    out = [pick("agent", a.kind)]
    if a.adjective:
        out.append(pick("adjective", a.adjective))
    if a.wears:
        out += [WITH, pick("garment", a.wears[0]), pick("colour", a.wears[1])]
    return " ".join([*out, pick("number", a.number)])


def say(scene: Scene, style: Style, words_: Words) -> str:
    """Say a scene in Tavi in a given style with given words.

    `style.passive` puts the object first, `style.front` opens with place or time.
    """
    def pick(slot, concept):
        return words_.pick(slot, concept, FORMS[slot][concept])

    noun_phrases = [_say_agent(scene.agent, "agent", words_) + " " + AGENT]
    if scene.object is None:
        verb = pick("action", scene.verb)
    else:
        verb = pick("deed", scene.verb)
        if isinstance(scene.object, Agent):
            obj = _say_agent(scene.object, "object", words_)
        else:
            obj = pick("thing", scene.object.kind)
            if scene.object.colour:
                obj += " " + pick("colour", scene.object.colour)
        noun_phrases.insert(0 if style.passive else 1, obj + " " + OBJECT)
    place = pick("place", scene.place) if scene.place else ""
    time = pick("time", scene.time) if scene.time else ""
    opening = place if style.front == "place" else time if style.front == "time" else ""
    middle = [x for x in ((time, place) if style.time_first else (place, time)) if x != opening]
    denial = NOT if scene.negated else ""
    return " ".join(" ".join([opening, *noun_phrases, *middle, verb, denial]).split())


def realize(
    scene: Scene, rng: Random, style: Style | None = None, words: Words | None = None
) -> str:
    """Say a scene in Tavi; the arguments are those of `grammar.realize`."""
    return say(scene, style or random_style(rng), words or Words(rng))


def _read_agent(tokens, i):
    kind, i = longest(_READ["agent"], tokens, i)
    if kind is None:
        return None, i
    adjective, i = longest(_READ["adjective"], tokens, i)
    wears = None
    if tokens[i : i + 1] == [WITH]:
        garment, i = longest(_READ["garment"], tokens, i + 1)
        colour, i = longest(_READ["colour"], tokens, i)
        if garment is None or colour is None:
            return None, i
        wears = (garment, colour)
    number, i = longest(_READ["number"], tokens, i)
    return (Agent(kind, number, adjective, wears), i) if number else (None, i)


def _read_thing(tokens, i):
    kind, i = longest(_READ["thing"], tokens, i)
    if kind is None:
        return None, i
    colour, i = longest(_READ["colour"], tokens, i)
    return Thing(kind, colour), i


def _read_adjunct(tokens, i, slots):
    for slot in ("place", "time"):
        value, j = longest(_READ[slot], tokens, i)
        if value and slot not in slots:
            slots[slot] = value
            return j
    return i


def parse(text: str) -> Scene | None:
    """Read a Tavi sentence; None when it is not one."""
    tokens, slots = text.split(), {}
    i = _read_adjunct(tokens, 0, slots)
    while i < len(tokens):
        phrase, j = _read_agent(tokens, i)
        if phrase is None:
            phrase, j = _read_thing(tokens, i)
        if phrase is None:
            break
        role = {AGENT: "agent", OBJECT: "object"}.get(tokens[j] if j < len(tokens) else "")
        if role is None or role in slots:
            return None
        slots[role], i = phrase, j + 1
    while (j := _read_adjunct(tokens, i, slots)) != i:
        i = j
    verb, i = longest(_READ["deed" if "object" in slots else "action"], tokens, i)
    if verb is None or not isinstance(slots.get("agent"), Agent):
        return None
    negated = tokens[i:] == [NOT]
    if not negated and i != len(tokens):
        return None
    try:
        return Scene(verb=verb, negated=negated, **slots)
    except ValueError:  # a verb with an object that it cannot take
        return None
