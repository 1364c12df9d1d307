"""The words of the pocket world: concepts, their taxonomy and their English forms.

A *concept* is what a word means; a *form* is one way to say it. Forms of one concept are exact
synonyms, so choosing another form never changes what a sentence means. Concepts form shallow
trees (``dog`` is an ``animal``): going up a tree loses information, which is what entailment is.

Everything the oracle knows about words is in this file.
"""

from __future__ import annotations

from typing import NamedTuple


class Concept(NamedTuple):
    """One meaning: its parent in the taxonomy and the forms that express it."""

    parent: str | None
    forms: tuple[str, ...]  # singular noun, or verb in -ing
    other: tuple[str, ...] = ()  # plural noun, or past participle; same order as `forms`
    takes: str | None = None  # class of object that a transitive verb takes


def _nouns(rows):
    """``name: (parent, "singular|singular", "plural|plural")`` as concepts."""
    return {
        name: Concept(parent, tuple(one.split("|")), tuple(many.split("|")))
        for name, (parent, one, many) in rows.items()
    }


def _forms(rows):
    """``name: (parent, "form|form")`` as concepts."""
    return {
        name: Concept(parent, tuple(forms.split("|"))) for name, (parent, forms) in rows.items()
    }


AGENTS = _nouns({
    "person": (None, "person|human", "people|humans"),
    "adult": ("person", "adult|grownup", "adults|grownups"),
    "child": ("person", "child|kid", "children|kids"),
    "man": ("adult", "man|guy|gentleman", "men|guys|gentlemen"),
    "woman": ("adult", "woman|lady", "women|ladies"),
    "boy": ("child", "boy|lad", "boys|lads"),
    "girl": ("child", "girl|lass", "girls|lasses"),
    "animal": (None, "animal|creature", "animals|creatures"),
    "dog": ("animal", "dog|hound", "dogs|hounds"),
    "cat": ("animal", "cat|kitty", "cats|kitties"),
    "horse": ("animal", "horse|steed", "horses|steeds"),
    "monkey": ("animal", "monkey|ape", "monkeys|apes"),
    "goat": ("animal", "goat|billy", "goats|billies"),
})
PEOPLE = ("man", "woman", "boy", "girl")
ANIMALS = ("dog", "cat", "horse", "monkey", "goat")

# Determiners and counts. "many" is three or more, so "four dogs" entails "several dogs".
NUMBERS = {
    "one": ("a", "one", "a single"),
    "two": ("two", "a pair of", "a couple of"),
    "three": ("three", "a trio of"),
    "four": ("four", "a quartet of"),
    "many": ("several", "many", "a group of"),
}

# Adjectives exclude each other within a dimension and are independent across dimensions.
ADJECTIVES = _forms({
    "young": ("age", "young|youthful"),
    "old": ("age", "old|elderly|aged"),
    "tall": ("height", "tall|lanky"),
    "short": ("height", "short|petite"),
    "happy": ("mood", "happy|cheerful|joyful"),
    "sad": ("mood", "sad|unhappy|gloomy"),
    "big": ("size", "big|large|huge"),
    "small": ("size", "small|little|tiny"),
    "black": ("coat", "black|dark"),
    "white": ("coat", "white|pale"),
    "brown": ("coat", "brown|tan"),
})
PERSON_ADJECTIVES = ("young", "old", "tall", "short", "happy", "sad")
ANIMAL_ADJECTIVES = ("big", "small", "black", "white", "brown")

COLOURS = {
    "red": ("red", "crimson", "scarlet"),
    "blue": ("blue", "azure", "navy"),
    "green": ("green", "emerald"),
    "yellow": ("yellow", "golden"),
    "pink": ("pink", "rosy"),
    "gray": ("gray", "silver"),
}
GARMENTS = _nouns({
    "shirt": (None, "shirt|tee", "shirts|tees"),
    "jacket": (None, "jacket|coat", "jackets|coats"),
    "hat": (None, "hat|cap", "hats|caps"),
    "scarf": (None, "scarf|shawl", "scarves|shawls"),
})

THINGS = _forms({
    "instrument": (None, "instrument"),
    "guitar": ("instrument", "guitar"),
    "piano": ("instrument", "piano|keyboard"),
    "drum": ("instrument", "drum|bongo"),
    "violin": ("instrument", "violin|fiddle"),
    "food": (None, "meal|snack"),
    "apple": ("food", "apple"),
    "sandwich": ("food", "sandwich|burger"),
    "pizza": ("food", "pizza"),
    "cake": ("food", "cake|pastry"),
    "text": (None, "publication"),
    "book": ("text", "book|novel"),
    "newspaper": ("text", "newspaper|gazette"),
    "magazine": ("text", "magazine|journal"),
    "letter": ("text", "letter|note"),
    "toy": (None, "toy|plaything"),
    "ball": ("toy", "ball"),
    "frisbee": ("toy", "frisbee|disc"),
    "kite": ("toy", "kite"),
    "doll": ("toy", "doll|puppet"),
    "container": (None, "container"),
    "box": ("container", "box|crate"),
    "bag": ("container", "bag|sack"),
    "basket": ("container", "basket|hamper"),
    "bottle": ("container", "bottle|flask"),
    "vehicle": (None, "vehicle"),
    "car": ("vehicle", "car|automobile"),
    "bike": ("vehicle", "bike|bicycle"),
    "truck": ("vehicle", "truck|lorry"),
    "boat": ("vehicle", "boat|ship"),
    "plant": (None, "plant"),
    "tree": ("plant", "tree"),
    "flower": ("plant", "flower|blossom"),
    "bush": ("plant", "bush|shrub"),
})

# Intransitive verbs have a taxonomy; siblings exclude each other ("is running" is not "is
# walking").
ACTIONS = _forms({
    "move": (None, "moving"),
    "rest": (None, "resting|relaxing"),
    "express": (None, "emoting"),
    "run": ("move", "running|jogging|sprinting"),
    "walk": ("move", "walking|strolling"),
    "jump": ("move", "jumping|leaping"),
    "swim": ("move", "swimming|paddling"),
    "dance": ("move", "dancing|grooving"),
    "climb": ("move", "climbing|scrambling"),
    "sleep": ("rest", "sleeping|napping|dozing"),
    "sit": ("rest", "sitting|lounging"),
    "stand": ("rest", "standing|waiting"),
    "laugh": ("express", "laughing|giggling"),
    "cry": ("express", "crying|weeping"),
    "sing": ("express", "singing|chanting"),
    "shout": ("express", "shouting|yelling"),
})


def _verbs(rows):
    return {
        name: Concept(None, tuple(ing.split("|")), tuple(part.split("|")), takes)
        for name, (ing, part, takes) in rows.items()
    }


DEEDS = _verbs({
    "play": ("playing|performing on", "played|performed on", "instrument"),
    "tune": ("tuning|adjusting", "tuned|adjusted", "instrument"),
    "eat": ("eating|consuming|devouring", "eaten|consumed|devoured", "food"),
    "cook": ("cooking|preparing", "cooked|prepared", "food"),
    "read": ("reading|studying", "read|studied", "text"),
    "write": ("writing|composing", "written|composed", "text"),
    "throw": ("throwing|tossing|hurling", "thrown|tossed|hurled", "toy"),
    "catch": ("catching|grabbing", "caught|grabbed", "toy"),
    "open": ("opening|unsealing", "opened|unsealed", "container"),
    "close": ("closing|shutting", "closed|shut", "container"),
    "carry": ("carrying|hauling", "carried|hauled", "container"),
    "empty": ("emptying|unloading", "emptied|unloaded", "container"),
    "wash": ("washing|cleaning", "washed|cleaned", "vehicle"),
    "repair": ("repairing|fixing", "repaired|fixed", "vehicle"),
    "push": ("pushing|shoving", "pushed|shoved", "vehicle"),
    "pull": ("pulling|dragging|towing", "pulled|dragged|towed", "vehicle"),
    "water": ("watering|sprinkling", "watered|sprinkled", "plant"),
    "cut": ("cutting|trimming", "cut|trimmed", "plant"),
    "chase": ("chasing|pursuing", "chased|pursued", "agent"),
    "watch": ("watching|observing", "watched|observed", "agent"),
    "feed": ("feeding|nourishing", "fed|nourished", "agent"),
    "kick": ("kicking|hitting", "kicked|hit", "agent"),
})
# How often a class of object is drawn (agents as objects make sentences about two beings).
OBJECT_CLASSES = {
    "instrument": 1.1, "food": 1.2, "text": 1.1, "toy": 1.2,
    "container": 1.4, "vehicle": 1.4, "plant": 1.0, "agent": 1.8,
}
DEEDS_BY_CLASS = {
    c: tuple(name for name, verb in DEEDS.items() if verb.takes == c) for c in OBJECT_CLASSES
}

PLACES = _forms({
    "outdoors": (None, "outdoors|outside|in the open"),
    "indoors": (None, "indoors|inside|in a building"),
    "park": ("outdoors", "in the park|at the park"),
    "beach": ("outdoors", "on the beach|at the seaside|on the shore"),
    "street": ("outdoors", "on the street|on the road"),
    "garden": ("outdoors", "in the garden|in the yard"),
    "forest": ("outdoors", "in the forest|in the woods"),
    "market": ("outdoors", "at the market|at the bazaar"),
    "kitchen": ("indoors", "in the kitchen|in the cookhouse"),
    "office": ("indoors", "in the office|at the workplace"),
    "library": ("indoors", "in the library|in the bookroom"),
    "gym": ("indoors", "in the gym|in the arena"),
    "school": ("indoors", "at the school|in the classroom"),
})
TIMES = {
    "morning": ("in the morning", "at dawn", "at sunrise"),
    "noon": ("at noon", "at midday"),
    "evening": ("in the evening", "at dusk", "at sunset"),
    "night": ("at night", "after dark"),
}

# What a scene draws from, as sequences: `random.choice` takes no dictionary.
ACTION_LEAVES = tuple(k for k, c in ACTIONS.items() if c.parent)
PLACE_LEAVES = tuple(k for k, c in PLACES.items() if c.parent)
GARMENT_NAMES, COLOUR_NAMES, TIME_NAMES = tuple(GARMENTS), tuple(COLOURS), tuple(TIMES)

# The opposite that comes to mind first. People who are asked to contradict a sentence reach for
# these, and so does the small generator, which learnt from them.
OPPOSITES = {
    **dict(run="sleep", walk="sleep", jump="sit", swim="sleep", dance="sit", climb="sit",
           sleep="run", sit="stand", stand="sit", laugh="cry", cry="laugh", sing="shout",
           shout="sing", move="rest", rest="move"),
    **dict(play="tune", tune="play", eat="cook", cook="eat", read="write", write="read",
           throw="catch", catch="throw", open="close", close="open", carry="empty",
           empty="carry", wash="repair", repair="wash", push="pull", pull="push", water="cut",
           cut="water", chase="feed", feed="chase", watch="kick", kick="watch"),
    **dict(man="woman", woman="man", boy="girl", girl="boy", adult="child", child="adult",
           dog="cat", cat="dog", horse="dog", monkey="cat", goat="dog"),
    **dict(guitar="piano", piano="guitar", drum="violin", violin="drum", apple="cake",
           cake="apple", sandwich="pizza", pizza="sandwich", book="newspaper",
           newspaper="book", magazine="book", letter="newspaper", ball="frisbee",
           frisbee="ball", kite="ball", doll="ball", box="bag", bag="box", basket="bag",
           bottle="box", car="bike", bike="car", truck="car", boat="car", tree="flower",
           flower="tree", bush="tree"),
    **dict(park="beach", beach="park", street="park", garden="kitchen", forest="beach",
           market="library", kitchen="garden", office="park", library="gym", gym="library",
           school="park", outdoors="indoors", indoors="outdoors"),
    **dict(morning="night", night="morning", noon="evening", evening="noon"),
}


def ancestors(table: dict[str, Concept], name: str) -> tuple[str, ...]:
    """Parents of a concept, nearest first."""
    found = []
    while (name := table[name].parent) is not None:
        found.append(name)
    return tuple(found)


def is_person(kind: str) -> bool:
    """Whether an agent's kind is ``person`` or below it."""
    return kind == "person" or "person" in ancestors(AGENTS, kind)


def siblings(table: dict[str, Concept], name: str) -> tuple[str, ...]:
    """Other concepts under the same parent."""
    parent = table[name].parent
    return tuple(k for k, c in table.items() if c.parent == parent and k != name and parent)


FUNCTION_WORDS = "in wearing a is are not being by there ,".split()


def words() -> set[str]:
    """Every English word that a sentence of the world can contain."""
    found = set(FUNCTION_WORDS)
    for table in (AGENTS, GARMENTS, THINGS, ACTIONS, DEEDS, PLACES, ADJECTIVES):
        for concept in table.values():
            for form in concept.forms + concept.other:
                found.update(form.split())
    for table in (NUMBERS, COLOURS, TIMES):
        for forms in table.values():
            for form in forms:
                found.update(form.split())
    return found
