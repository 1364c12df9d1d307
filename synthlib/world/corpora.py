"""Texts and labelled sets drawn from the pocket world.

Everything is drawn from seeds, so nothing is stored: the same call gives the same rows. Sets for
development and for testing use disjoint streams of random numbers. Whoever trains a *method* uses
`premises` (and `triplets` or `nli` where its paper uses a labelled corpus); the other functions
make material for judging.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from numbers import Integral
from random import Random

import pandas as pd

from . import lexicon as lx
from . import tavi
from .edits import contradict, drift, strengthen, weaken
from .grammar import realize, say
from .oracle import nli as nli_label
from .oracle import similarity
from .scenes import Agent, Scene, Thing, random_scene
from .wording import Style, Words, random_style

LANGUAGES = ("english", "tavi")


def _count(n: int, name: str = "n") -> int:
    if isinstance(n, bool) or not isinstance(n, Integral) or n < 1:
        raise ValueError(f"{name} is a number of rows, at least 1; got {n!r}")
    return int(n)


def _choice(value: str, name: str, choices) -> str:
    if value not in choices:
        raise ValueError(f"unknown {name} {value!r}: the choices are {', '.join(choices)}")
    return value


# ------------------------------------------------------------------ unlabelled text
def premises(n: int, seed: int = 0, *, language: str = "english") -> list[str]:
    """Unlabelled sentences, the raw material of every method.

    Parameters
    ----------
    n : int
    seed : int
    language : "english" or "tavi"
    """
    rng = Random(f"premises {_choice(language, 'language', LANGUAGES)} {seed}")
    speak = realize if language == "english" else tavi.realize
    return [speak(random_scene(rng, p_negated=0.02), rng) for _ in range(_count(n))]


def _edited(scene: Scene, rng: Random) -> Scene:
    x = rng.random()
    if x < 0.4:
        return scene
    return weaken(scene, rng, rng.randint(1, 2)) if x < 0.8 else drift(scene, rng)


def mlm_stream(seed: int = 0) -> Iterator[str | tuple[str, str]]:
    """Endless unlabelled text for masked language modelling.

    Mostly single sentences; also questions, short passages, a few sentences of Tavi, and, as the
    only pairs, sentences with their translation.
    """
    rng = Random(f"mlm {seed}")
    while True:
        scene, x = random_scene(rng), rng.random()
        if x < 0.70:
            yield realize(scene, rng)
        elif x < 0.82:
            yield tavi.realize(scene, rng)
        elif x < 0.88:
            yield question(scene, rng)[0]
        elif x < 0.94:
            yield passage(scene, rng)
        else:
            pair = [realize(scene, rng), tavi.realize(scene, rng)]
            rng.shuffle(pair)
            yield tuple(pair)


def caption_pairs(seed: int = 0) -> Iterator[tuple[str, str]]:
    """Endless pairs of captions of one picture, or of nearly the same one; no labels."""
    rng = Random(f"captions {seed}")
    while True:
        scene, style, words = random_scene(rng), random_style(rng), Words(rng)
        first = realize(scene, rng, style, words)
        keep = Words(rng, keep=words.chosen) if rng.random() < 0.4 else None
        yield first, realize(_edited(scene, rng), rng, style if keep else None, keep)


# ------------------------------------------------------------------ NLI
def triplets(n: int, seed: int = 0) -> list[tuple[str, str, str]]:
    """A labelled NLI corpus as (premise, entailed, contradicting) triplets, all correct.

    The pocket counterpart of the 275,601 triplets of SNLI and MNLI that supervised SimCSE uses.
    """
    rng, rows = Random(f"triplets {seed}"), []
    while len(rows) < _count(n):
        scene, style, words = random_scene(rng, p_negated=0.0), random_style(rng), Words(rng)
        anchor = realize(scene, rng, style, words)
        entailed = scene if rng.random() < 0.5 else weaken(scene, rng, rng.choice((1, 2)))
        negative = contradict(scene, rng)
        if rng.random() < 0.5:
            hard = realize(negative, rng, style, Words(rng, keep=words.chosen))
        else:
            hard = realize(negative, rng)
        rows.append((anchor, realize(entailed, rng), hard))
    return rows


def nli_example(rng: Random) -> tuple[str, str, str]:
    """One (premise, hypothesis, label) of a balanced, varied NLI corpus."""
    scene, style, words = random_scene(rng), random_style(rng), Words(rng)
    premise, x = realize(scene, rng, style, words), rng.random()
    if x < 0.15:
        other = scene
    elif x < 0.33:
        other = weaken(scene, rng, rng.randint(1, 3))
    elif x < 0.60:
        other = contradict(scene, rng)
    elif x < 0.80:
        other = strengthen(scene, rng, rng.randint(1, 2))
        other = weaken(other, rng) if rng.random() < 0.4 else other
    elif x < 0.93:
        other = scene
        for _ in range(rng.randint(1, 4)):
            other = drift(other, rng)
    else:
        other = random_scene(rng)
    if rng.random() < 0.5:
        hypothesis = realize(other, rng, style, Words(rng, keep=words.chosen))
    else:
        hypothesis = realize(other, rng)
    return premise, hypothesis, nli_label(scene, other)


def nli(n: int, seed: int = 0) -> pd.DataFrame:
    """NLI pairs with gold labels: premise, hypothesis, label."""
    rng = Random(f"nli {seed}")
    rows = [nli_example(rng) for _ in range(_count(n))]
    return pd.DataFrame(rows, columns=["premise", "hypothesis", "label"])


# ------------------------------------------------------------------ semantic textual similarity
# Cumulative shares of: paraphrase, detail changed, contradiction in the same words, contradiction
# in other words, a chain of small changes, same topic (the rest is unrelated).
STS_KINDS = {
    "natural": (0.15, 0.33, 0.41, 0.50, 0.75, 0.92),
    "hard": (0.15, 0.30, 0.55, 0.75, 1.00, 1.00),
}
STS_NAMES = ("paraphrase", "detail", "contradiction, same words", "contradiction, other words",
              "drift", "topic", "unrelated")


def sts(
    kind: str = "natural", split: str = "test", n: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Sentence pairs with the oracle's similarity.

    Parameters
    ----------
    kind : "natural" or "hard"
        "natural" mixes all degrees of relatedness; in "hard" high word overlap often goes with
        another meaning.
    split : "dev" or "test"
    n : int
        Number of pairs.
    seed : int
        Another draw of the same distribution.

    Returns
    -------
    DataFrame
        sentence1, sentence2, score (0 to 5), kind (how the pair was made), label (its NLI label).
    """
    cuts = STS_KINDS[_choice(kind, "kind of STS set", STS_KINDS)]
    rng = Random(f"sts {kind} {_choice(split, 'split', ('dev', 'test'))} {seed}")
    rows = []
    while len(rows) < _count(n):
        scene, style, words = random_scene(rng), random_style(rng), Words(rng)
        first, x = realize(scene, rng, style, words), rng.random()
        made = sum(x >= c for c in cuts)
        same_words = False
        if made == 0:
            other = scene
        elif made == 1:
            longer = rng.random() >= 0.6
            other = (
                strengthen(scene, rng, rng.randint(1, 2)) if longer
                else weaken(scene, rng, rng.randint(1, 3))
            )
        elif made in (2, 3):
            other, same_words = contradict(scene, rng), made == 2
        elif made == 4:
            other, same_words = scene, rng.random() < 0.5
            for _ in range(rng.randint(2, 8)):
                other = drift(other, rng)
        else:
            other = random_scene(rng)
            for _ in range(200 if made == 5 else 0):
                if other.verb == scene.verb or other.agent.kind == scene.agent.kind:
                    break
                other = random_scene(rng)
        if same_words:
            second = realize(other, rng, style, Words(rng, keep=words.chosen))
        else:
            second = realize(other, rng)
        if second != first:
            score = similarity(scene, other)
            rows.append((first, second, score, STS_NAMES[made], nli_label(scene, other)))
    return pd.DataFrame(rows, columns=["sentence1", "sentence2", "score", "kind", "label"])


# ------------------------------------------------------------------ questions and passages
QUESTIONS = ("who", "what", "where", "when", "how many", "doing")


def question(scene: Scene, rng: Random, kind: str | None = None) -> tuple[str, str]:
    """A question that the scene answers, and its kind (one of `QUESTIONS`).

    A kind that the scene cannot answer (a time that it does not tell) is replaced by one that it
    can.
    """
    unable = {
        "what": not isinstance(scene.object, Thing), "where": scene.place is None,
        "when": scene.time is None,
    }
    able = [k for k in QUESTIONS if not unable.get(k)]
    kind = _choice(kind, "kind of question", QUESTIONS) if kind else rng.choice(able)
    if kind not in able:
        kind = rng.choice(able)
    asked = {"where": dict(place=None), "when": dict(time=None)}.get(kind, {})
    scene = replace(scene, negated=False, **asked)
    if kind == "how many":
        scene = replace(scene, agent=replace(scene.agent, number="many"))
    words = Words(rng)
    text = say(scene, Style(wearing=rng.choice(("in", "wearing"))), words)
    # An active sentence without inversion: agent, "is" or "are", the rest.
    tokens = text.split()
    at = next(i for i, token in enumerate(tokens) if token in ("is", "are"))
    agent, be, rest = " ".join(tokens[:at]), tokens[at], " ".join(tokens[at + 1 :])
    if kind == "who":
        return f"who is {rest} ?", kind
    if kind in ("where", "when"):
        return f"{kind} {be} {agent} {rest} ?", kind
    if kind == "how many":
        counted = agent
        for form in sorted(lx.NUMBERS["many"], key=len, reverse=True):
            counted = counted.removeprefix(form + " ")
        return f"how many {counted} are {rest} ?", kind
    if kind == "what":
        verb = words.pick("verb", scene.verb, lx.DEEDS[scene.verb].forms)
        thing = words.pick("thing", scene.object.kind, lx.THINGS[scene.object.kind].forms)
        tail = rest.split(f" {thing}", 1)[1] if f" {thing}" in rest else ""
        return " ".join(f"what {be} {agent} {verb}{tail} ?".split()), kind
    tail = say(replace(scene, object=None, verb="move"), Style(), words).split(" moving", 1)[1]
    return " ".join(f"what {be} {agent} doing{tail} ?".split()), kind


def passage(scene: Scene, rng: Random, sentences: int = 2) -> str:
    """Several sentences about one scene: the same agent seen again with more or less detail."""
    parts = [realize(scene, rng)]
    for _ in range(sentences - 1):
        edit = weaken if rng.random() < 0.6 else strengthen
        parts.append(realize(edit(scene, rng, rng.randint(1, 2)), rng))
    return " . ".join(parts)


# ------------------------------------------------------------------ reranking and retrieval
def _exclude(table, x: str, y: str) -> bool:
    """Whether two concepts cannot both be true of one thing."""
    return x != y and x not in lx.ancestors(table, y) and y not in lx.ancestors(table, x)


def reranking(kind: str = "questions", n: int = 200, seed: int = 0) -> pd.DataFrame:
    """Queries with ten candidates each, one to three of them relevant.

    Parameters
    ----------
    kind : "questions" or "duplicates"
        "questions": which sentences answer the question? "duplicates": which sentences say the
        same thing as the query?
    n : int
        Number of queries.
    seed : int

    Returns
    -------
    DataFrame
        query, candidate, label (1 relevant, 0 not), query_id.
    """
    rng = Random(f"reranking {_choice(kind, 'reranking set', ('questions', 'duplicates'))} {seed}")
    rows = []
    for i in range(_count(n)):
        scene = random_scene(rng, p_negated=0.0)
        query, asks = question(scene, rng) if kind == "questions" else (realize(scene, rng), None)
        # What a distractor must change: something that the query tells, not what it asks for.
        told = {"who": ("verb",), "doing": ("agent",)}.get(asks, ("verb", "agent"))
        relevant = rng.randint(1, 3)
        found: dict[str, int] = {}
        while len(found) < relevant:
            text = realize(scene, rng)
            if text != query:
                found[text] = 1
        while len(found) < 10:
            near = rng.random() < 0.6
            other = (
                contradict(scene, rng, p_negate=0.0) if near
                else random_scene(rng, p_negated=0.0)
            )
            changed = {
                "verb": _exclude(lx.ACTIONS | lx.DEEDS, scene.verb, other.verb),
                "agent": _exclude(lx.AGENTS, scene.agent.kind, other.agent.kind),
            }
            if any(changed[slot] for slot in told):
                found.setdefault(realize(other, rng), 0)
        candidates = list(found.items())
        rng.shuffle(candidates)
        rows += [(query, text, label, i) for text, label in candidates]
    return pd.DataFrame(rows, columns=["query", "candidate", "label", "query_id"])


def retrieval(queries: int = 200, passages: int = 2000, seed: int = 0):
    """A small retrieval set in BEIR's shape.

    Each query is a less detailed description of one scene; the passages about that scene are
    relevant to it.

    Returns
    -------
    corpus, queries : dict of str to str
    relevance : dict of str to dict of str to int
        query id → passage id → 1.
    """
    rng = Random(f"retrieval {seed}")
    if _count(queries, "queries") * 2 > _count(passages, "passages"):
        raise ValueError(
            f"{passages} passages are too few for {queries} queries: each query has two relevant"
        )
    corpus, asked, relevance = {}, {}, {}
    for q in range(queries):
        scene = random_scene(rng, p_negated=0.0)
        asked[f"q{q}"] = realize(weaken(scene, rng, rng.randint(0, 2)), rng)
        relevance[f"q{q}"] = {}
        for _ in range(2):
            relevance[f"q{q}"][f"p{len(corpus)}"] = 1
            corpus[f"p{len(corpus)}"] = passage(scene, rng, rng.randint(1, 3))
    while len(corpus) < passages:
        corpus[f"p{len(corpus)}"] = passage(random_scene(rng), rng, rng.randint(1, 3))
    return corpus, asked, relevance


def bitext(n: int = 1000, seed: int = 0) -> tuple[list[str], list[str]]:
    """Sentences in English and their translations into Tavi, line by line, meanings distinct."""
    rng, seen = Random(f"bitext {seed}"), set()
    english, other = [], []
    while len(english) < _count(n):
        scene = random_scene(rng)
        if scene not in seen:
            seen.add(scene)
            english.append(realize(scene, rng))
            other.append(tavi.realize(scene, rng))
    return english, other


# ------------------------------------------------------------------ transfer
def _mood(scene: Scene, rng: Random):
    adjective = rng.choice(("happy", "sad"))
    agent = Agent(rng.choice(lx.PEOPLE), scene.agent.number, adjective, None)
    return replace(scene, agent=agent), adjective


def _being(scene: Scene, rng: Random):
    return scene, "person" if lx.is_person(scene.agent.kind) else "animal"


def _place(scene: Scene, rng: Random):
    place = rng.choice([p for p in lx.PLACES if lx.PLACES[p].parent])
    return replace(scene, place=place), lx.PLACES[place].parent


def _crowd(scene: Scene, rng: Random):
    return scene, "one" if scene.agent.number == "one" else "several"


def _denial(scene: Scene, rng: Random):
    negated = rng.random() < 0.5
    return replace(scene, negated=negated), "denied" if negated else "affirmed"


_SENTENCE_TASKS = {
    "mood": _mood, "being": _being, "place": _place, "crowd": _crowd, "denial": _denial,
}
TRANSFER = (*_SENTENCE_TASKS, "question", "paraphrase")


def transfer(task: str, n: int = 2000, seed: int = 0) -> pd.DataFrame:
    """A labelled set for probing embeddings with a linear classifier.

    Parameters
    ----------
    task : str
        One of `TRANSFER`: "mood" (happy or sad), "being" (person or animal), "place" (indoors or
        outdoors), "crowd" (one or several), "denial", "question" (its kind, as in TREC),
        "paraphrase" (pairs, as in MRPC).
    n : int
    seed : int

    Returns
    -------
    DataFrame
        sentence, label; for "paraphrase" sentence, sentence2, label.
    """
    rng = Random(f"transfer {_choice(task, 'transfer task', TRANSFER)} {seed}")
    rows = []
    for _ in range(_count(n)):
        scene = random_scene(rng)
        if task == "question":
            rows.append(question(scene, rng))
        elif task == "paraphrase":
            same = rng.random() < 0.5
            style, words = random_style(rng), Words(rng)
            other = scene if same else contradict(scene, rng)
            keep = Words(rng, keep=words.chosen) if rng.random() < 0.3 else None
            first = realize(scene, rng, style, words)
            rows.append((first, realize(other, rng, words=keep), int(same)))
        else:
            scene, label = _SENTENCE_TASKS[task](scene, rng)
            rows.append((realize(scene, rng), label))
    names = ["sentence", "sentence2", "label"] if task == "paraphrase" else ["sentence", "label"]
    return pd.DataFrame(rows, columns=names)
