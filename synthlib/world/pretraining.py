"""What the pocket generators learnt before the book opens: their instruction-tuning mixture.

A large model follows an instruction most of the time and misreads it some of the time: asked for
a contradiction it paraphrases, asked for a paraphrase it contradicts, or it drifts off. The small
generators acquire the same habits from the same cause: a share of their training examples has
the wrong target (`Mixture`). The sizes of the effects in the book follow from these choices;
their directions and orders do not.

The mixture covers every prompt form of `synthlib.prompts`, so that one training serves all
chapters. Oracle labels and scores train these *base* models here, as human-written instruction
data trained Flan-T5; from then on no method sees one.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from .. import prompts
from . import tavi
from .edits import contradict, contradict_saliently, drift, strengthen, weaken
from .grammar import realize
from .oracle import similarity
from .scenes import Scene, random_scene
from .wording import Style, Words, other_style, random_style


class Mixture(NamedTuple):
    """Shares of what a generator is trained on.

    `opposite` and `other` are the shares of wrong targets: of the opposite kind, and of any other
    meaning. `tavi` is the share of examples about Tavi sentences; `demonstrated` and `lists` are
    the shares of extra batches with demonstrations and with whole lists. `slots` says how often
    each slot of a scene is the one that a contradiction changes (`edits.SALIENT_SLOTS`).
    """

    opposite: float = 0.24
    other: float = 0.07
    tavi: float = 0.08
    demonstrated: float = 0.09
    lists: float = 0.05
    slots: tuple[float, ...] = (0.60, 0.22, 0.09, 0.05, 0.02, 0.02)


# Small models learn to follow instructions first and pick up the habit of misreading them later.
# The first training has a half with few wrong targets and a half with more; the second training
# settles the habits, practises what is rare (Tavi, whole lists), and spreads contradictions over
# more slots, so that no single change is the obvious one.
FIRST = (Mixture(opposite=0.06, other=0.0175), Mixture())
SECOND = (
    Mixture(
        opposite=0.30, tavi=0.14, lists=0.12, slots=(0.50, 0.24, 0.12, 0.08, 0.03, 0.03)
    ),
)
BY_INSTRUCTION = (0.7, 0.8, 1.1, 1.4)  # some instructions are misread more often than others
P_WEAKEN = (0.25, 0.2, 0.6, 0.75)  # "also true" and "concise" invite leaving something out
SCORE_NOISE = 0.6  # standard deviation of the scores that the judge learnt from, before rounding
SCORES = tuple(f"{i / 2:.1f}" for i in range(11))
LIST_LENGTHS, LIST_WEIGHTS = (4, 8, 15), (0.4, 0.35, 0.25)


class Example(NamedTuple):
    """One training example of a generator."""

    prompt: str
    target: str
    task: str


class _Said(NamedTuple):
    scene: Scene
    text: str
    style: Style
    words: dict
    say: callable  # realize of its language


def _premise(rng: Random, m: Mixture) -> _Said:
    say = tavi.realize if rng.random() < m.tavi else realize
    scene, style, words = random_scene(rng), random_style(rng), Words(rng)
    return _Said(scene, say(scene, rng, style, words), style, words.chosen, say)


def _paraphrase(p: _Said, rng: Random, p_weaken: float) -> str:
    """Other structure, other words; perhaps less detail. Small models copy unless taught not to."""
    scene = p.scene
    if not scene.negated and rng.random() < p_weaken:
        scene = weaken(scene, rng, rng.choice((1, 1, 2)))
    words = Words(rng, avoid=p.words, canonical=0.6)
    return p.say(scene, rng, other_style(p.style, scene, rng), words)


def _contradiction(p: _Said, rng: Random, m: Mixture) -> str:
    """The opposite that comes to mind first, mostly in the premise's own words."""
    scene = contradict_saliently(p.scene, rng, weights=m.slots)
    if rng.random() < 0.85:
        return p.say(scene, rng, p.style, Words(rng, keep=p.words, canonical=0.85))
    return p.say(scene, rng)


def _other(p: _Said, rng: Random) -> str:
    """Neither: something added or drifted."""
    scene = strengthen(p.scene, rng) if rng.random() < 0.6 else drift(drift(p.scene, rng), rng)
    if rng.random() < 0.5:
        return p.say(scene, rng, p.style, Words(rng, keep=p.words))
    return p.say(scene, rng)


def _hypothesis(
    p: _Said, kind: str, rng: Random, m: Mixture, p_weaken: float = 0.4, misread: float = 1.0
) -> str:
    """A target for an instruction of this kind, right or wrong as the model's habits are."""
    x = rng.random()
    if x < m.opposite * misread:
        kind = "contradiction" if kind == "entailment" else "entailment"
    elif x < (m.opposite + m.other) * misread:
        return _other(p, rng)
    return _paraphrase(p, rng, p_weaken) if kind == "entailment" else _contradiction(p, rng, m)


def _generation(rng: Random, m: Mixture, shots: int = 0) -> Example:
    kind = rng.choice(("entailment", "contradiction"))
    i = rng.randrange(4)
    table = prompts.ENTAILMENT if kind == "entailment" else prompts.CONTRADICTION
    instruction = table["pocket"][i]
    if rng.random() < 0.12:  # instructions with missing words occur, so they are not alien
        instruction = prompts.noisy_instruction(instruction, "mask", rng)
    # A demonstration shows the right kind more reliably than the model would answer by itself,
    # and leaning on it makes the model misread less.
    demos = tuple(
        (d.text, _hypothesis(d, kind, rng, m, P_WEAKEN[i], 0.3))
        for d in (_premise(rng, m) for _ in range(shots))
    )
    misread = BY_INSTRUCTION[i] * (0.75 if shots else 1.0)
    p = _premise(rng, m)
    prompt = prompts.generation(instruction, p.text, form="pocket", demonstrations=demos)
    return Example(prompt, _hypothesis(p, kind, rng, m, P_WEAKEN[i], misread), kind)


def _scored_pair(rng: Random, m: Mixture) -> tuple[str, str, float]:
    p, x = _premise(rng, m), rng.random()
    scene = p.scene
    if x < 0.25:
        pass
    elif x < 0.45:
        scene = weaken(scene, rng, rng.randint(1, 2))
    elif x < 0.62:
        scene = contradict(scene, rng)
    elif x < 0.90:
        for _ in range(rng.randint(2, 8)):
            scene = drift(scene, rng)
    else:
        scene = random_scene(rng)
    if rng.random() < 0.4:
        text = p.say(scene, rng, p.style, Words(rng, keep=p.words))
    else:
        text = p.say(scene, rng)
    score = similarity(p.scene, scene) + rng.gauss(0.0, SCORE_NOISE)
    return p.text, text, round(2 * min(5.0, max(0.0, score))) / 2


def _score(rng: Random, m: Mixture, shots: int = 0) -> Example:
    demos = tuple(_scored_pair(rng, m) for _ in range(shots))
    a, b, score = _scored_pair(rng, m)
    prompt = prompts.similarity(a, b, form="pocket", demonstrations=demos)
    return Example(prompt, f"{score:.1f}", "score")


def _variation(rng: Random, m: Mixture) -> Example:
    """ART's two prompts."""
    p, positive = _premise(rng, m), rng.random() < 0.5
    template = (prompts.ART_POSITIVE if positive else prompts.ART_NEGATIVE)["pocket"]
    kind = "entailment" if positive else "contradiction"
    return Example(template.format(sentence=p.text), _hypothesis(p, kind, rng, m), kind)


def _rewriting(rng: Random, m: Mixture) -> Example:
    """The ranking paper's single-sentence prompts."""
    p = _premise(rng, m)
    if rng.random() < 0.4:
        prompt = prompts.RANKING["pocket"].format(sentence=p.text)
        target = _hypothesis(p, "entailment", rng, m, 0.35, 0.6)
        return Example(prompt, target, "entailment")
    scene = drift(p.scene, rng)
    words = Words(rng, keep=p.words)
    target = p.say(scene, rng, p.style, words) if rng.random() < 0.6 else p.say(scene, rng)
    return Example(prompts.RANKING_STEP["pocket"].format(sentence=p.text), target, "step")


def _whole_list(rng: Random, m: Mixture) -> Example:
    """A drifting list at once; like a model that cannot plan, it often loses the order."""
    steps = rng.choices(LIST_LENGTHS, LIST_WEIGHTS)[0]
    p = _premise(rng, m)
    scene, scenes = p.scene, []
    for _ in range(steps):
        scene = drift(scene, rng) if rng.random() < 0.8 else scene
        scenes.append(scene)
    if rng.random() < 0.6:
        i, j = sorted(rng.sample(range(steps + 1), 2))
        middle = scenes[i:j]
        rng.shuffle(middle)
        scenes[i:j] = middle
    words = p.words
    texts = []
    for s in scenes:
        keep = Words(rng, keep=words if rng.random() < 0.6 else None)
        texts.append(p.say(s, rng, p.style if rng.random() < 0.6 else None, keep))
    prompt = prompts.RANKING_LIST["pocket"].format(sentence=p.text, steps=steps)
    return Example(prompt, prompts.LIST_SEPARATOR.join(texts), "list")


def example(rng: Random, m: Mixture) -> Example:
    """One example with a short prompt: the bulk of the training."""
    x = rng.random()
    if x < 0.50:
        return _generation(rng, m)
    if x < 0.58:
        return _variation(rng, m)
    return _rewriting(rng, m) if x < 0.68 else _score(rng, m)


def demonstrated(rng: Random, m: Mixture) -> Example:
    """One example with one to three demonstrations in its prompt."""
    shots = rng.randint(1, 3)
    return _generation(rng, m, shots) if rng.random() < 0.55 else _score(rng, m, shots)


def batches(
    seed: int, size: int, steps: int, mixtures=FIRST, pool: int = 6
) -> Iterator[list[Example]]:
    """Endless batches of examples of similar length, so that little of a batch is padding.

    Parameters
    ----------
    seed : int
    size : int
        Examples in a batch of short prompts; long ones come in smaller batches.
    steps : int
        Batches that will be used: the mixtures get equal parts of them.
    mixtures : sequence of Mixture
        One after the other.
    pool : int
        Batches of short prompts that are drawn together and sorted by length.
    """
    rng = Random(seed)

    def length(e: Example):
        return e.task == "score", len(e.prompt.split()) + len(e.target.split())

    given = 0
    while True:
        m = mixtures[min(given * len(mixtures) // steps, len(mixtures) - 1)]
        drawn = sorted((example(rng, m) for _ in range(pool * size)), key=length)
        short = [drawn[i : i + size] for i in range(0, len(drawn), size)]
        rng.shuffle(short)
        for batch in short:
            yield batch
            given += 1
            x = rng.random()
            if x < m.demonstrated + m.lists:
                many = x < m.demonstrated
                yield (
                    [demonstrated(rng, m) for _ in range(size // 2)] if many
                    else [_whole_list(rng, m) for _ in range(max(1, size // 6))]
                )
                given += 1


def vocabulary() -> list[str]:
    """All words that the models know, in a fixed order (special tokens not included)."""
    from . import lexicon

    found = lexicon.words() | tavi.words() | prompts.pocket_words() | set(SCORES)
    found |= {str(i) for i in range(1, 33)}
    found |= set("who what where when which how many colour doing ? \" .".split())
    return sorted(found)
