"""What both languages of the pocket world share: choices of structure and word, and reading forms.

A *style* is how a scene is said; `Words` chooses among synonyms and remembers them. `by_form` and
`longest` read words back into concepts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from .scenes import Scene


# ------------------------------------------------------------------ style
@dataclass(frozen=True)
class Style:
    """How a scene is said: the choices of structure, not of words."""

    passive: bool = False  # object first ("a ball is being thrown by …")
    existential: bool = False  # "there is a man …"
    front: str = ""  # "place" or "time": what opens the sentence
    time_first: bool = False  # time before place at the end
    wearing: str = "in"  # "in" or "wearing"


def random_style(rng: Random) -> Style:
    """Draw a style with the world's usual frequencies."""
    return Style(
        passive=rng.random() < 0.25,
        existential=rng.random() < 0.2,
        front=rng.choice(("", "", "", "place", "time")),
        time_first=rng.random() < 0.3,
        wearing=rng.choice(("in", "wearing")),
    )


def other_style(style: Style, scene: Scene, rng: Random) -> Style:
    """Another structure for the same scene, as somebody who paraphrases would choose it."""
    changes = {"wearing": "wearing" if style.wearing == "in" else "in"}
    if scene.object is not None and rng.random() < 0.75:
        changes["passive"] = not style.passive
    elif rng.random() < 0.5:
        changes["existential"] = not style.existential
    if style.front:
        changes["front"] = "" if rng.random() < 0.85 else style.front
    elif rng.random() < 0.5:
        changes["front"] = "place" if scene.place else "time" if scene.time else ""
    return replace(style, **changes)


# ------------------------------------------------------------------ choice of words
class Words:
    """Chooses a form for each slot and remembers it.

    Parameters
    ----------
    rng : random.Random
    keep : dict, optional
        Forms to use again where the concept is unchanged (a minimal edit keeps all other words).
    avoid : dict, optional
        Forms used by another sentence: with probability 0.8 the next synonym is taken instead.
    canonical : float in [0, 1]
        Probability of the first, most usual form.

    Attributes
    ----------
    chosen : dict
        (slot, concept) → index of the form.
    """

    def __init__(self, rng: Random, keep=None, avoid=None, canonical: float = 0.0):
        self.rng, self.avoid, self.canonical = rng, avoid or {}, canonical
        self.chosen = dict(keep or {})

    def pick(self, slot: str, concept: str, forms: tuple[str, ...]) -> str:
        key = (slot, concept)
        if key not in self.chosen:
            if key in self.avoid and self.rng.random() < 0.8:
                index = self.avoid[key] + 1
            elif self.rng.random() < self.canonical:
                index = 0
            else:
                index = self.rng.randrange(len(forms))
            self.chosen[key] = index
        return forms[self.chosen[key] % len(forms)]


# ------------------------------------------------------------------ forms → concepts
def by_form(items: Iterable[tuple[str, Sequence[str]]]) -> dict[tuple[str, ...], str]:
    """The concept of each form, a form being its words: from pairs (concept, its forms)."""
    table = {}
    for name, forms in items:
        for form in forms:
            table[tuple(form.split())] = name
    return table


def longest(
    table: dict[tuple[str, ...], str], tokens: Sequence[str], i: int
) -> tuple[str | None, int]:
    """The longest form of `table` at position i: its concept or None, and the position after it."""
    for length in (3, 2, 1):
        key = tuple(tokens[i : i + length])
        if len(key) == length and key in table:
            return table[key], i + length
    return None, i
