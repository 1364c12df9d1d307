"""The pocket laboratory: a small world whose meanings are known.

Scenes are said in many ways (`realize`), read back exactly (`parse`), and compared by an oracle
(`nli`, `similarity`). Models of about a million parameters are trained on it from nothing
(`build`), and every method of the book runs on them in minutes.

The files stand on one another in this order: lexicon, scenes, wording, tavi, grammar, oracle,
edits; then corpora and pretraining, which draw texts, and build and report, which use models.
"""

from . import corpora, lexicon, tavi
from .edits import contradict, contradict_saliently, drift, strengthen, weaken
from .grammar import parse, realize
from .oracle import LABELS, nli, relations, similarity
from .scenes import Agent, Scene, Thing, random_scene
from .wording import Style, Words, other_style, random_style

__all__ = [
    "LABELS", "Agent", "Scene", "Style", "Thing", "Words", "contradict", "contradict_saliently",
    "corpora", "drift", "lexicon", "nli", "other_style", "parse", "random_scene", "random_style",
    "realize", "relations", "similarity", "strengthen", "tavi", "weaken",
]
