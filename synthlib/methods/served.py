"""The stages that a model behind an API can take: text goes out, text and top tokens come back.

`write`, `judge` and `write_lists` stand where `multicsr.write`, `multicsr.judge` and
`ranking.write` do, and take the same prompts in the form "chat"; `Discriminator` stands where an
NLI model does. What needs the logits of two contexts (ω ≠ 0, λ ≠ 0) or a model's weights is refused
by `runs`, before anything is asked.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from synthlib import answers, chats, endpoint, judging, prompts

SCORINGS = ("text", "expected")
LEAST_MASS = 0.1  # of the scores among the top tokens, else a pair is unread
_LEAST = 1e-6  # probability of a label that is not among the top tokens

# What a discriminator is asked; none of the papers asks a chat model for it.
LABELS = ("entailment", "neutral", "contradiction")
ONE_WORD = "Answer with one word and nothing else: entailment, neutral or contradiction."
INFERENCE = (
    "Premise: {a}\nHypothesis: {b}\nDoes the premise entail the hypothesis, contradict it, or "
    "neither (neutral)?"
)


# ------------------------------------------------------------------ stage 1
def refuse_weight(name, value) -> None:
    """Raise ValueError for a weight of a second context, of which an API gives no logits."""
    if value:
        raise ValueError(
            f"{name} {value:g} mixes the logits of two prompts, and a model behind an API gives "
            f"none: take --{name} 0, which is plain decoding, or a --generator with weights"
        )


def write(
    generator, asked, *, omega=0.0, max_new_tokens, do_sample=False, temperature=0.0, seed=None,
    batch_size=None,
):  # fmt: skip
    """Positives and hard negatives by plain generation: `multicsr.write` with ω = 0.

    Parameters
    ----------
    generator : (endpoint, messages)
        Of `endpoint.connect`.
    asked : DataFrame
        From `multicsr.ask`, in the form "chat".
    omega : float
        0: there is nothing to contrast with.
    max_new_tokens : int
    do_sample, temperature, seed
        Of `decoding.generate_mixture`, with a seed for each of the 2 n texts.
    batch_size : optional
        Not read: the endpoint's `parallel` stands in its place.

    Returns
    -------
    DataFrame
        anchor, positive, negative, and ``attrs["taken"]``, as `multicsr.write` gives them.
    """
    refuse_weight("omega", omega)
    model, form = generator[0], prompts.form_of(*generator)
    asks = [*asked["entailment_prompt"], *asked["contradiction_prompt"]]
    sampling = dict(temperature=temperature, seeds=seed) if do_sample else {}
    found = model.complete(asks, max_new_tokens=max_new_tokens, **sampling)
    texts, taken = answers.read_all([one.text for one in found], form.prefix)
    n = len(asked)
    table = pd.DataFrame(
        {"anchor": list(asked["anchor"]), "positive": texts[:n], "negative": texts[n:]}
    )
    table.attrs["taken"] = dict(taken)
    return table


# ------------------------------------------------------------------ stage 2
def score_similarity(generator, pairs, *, method="expected") -> list[float | None]:
    """How similar a model behind an API finds two sentences, from 0.0 to 5.0.

    Parameters
    ----------
    generator : (endpoint, messages)
    pairs : n pairs of texts
    method : "expected" or "text"
        ``"expected"``: Σ s·p(s) / Σ p(s) over those of the endpoint's top tokens that are scores
        ("4", " 4", "4.5"), at the first token that is no blank. A pair is unread where they have
        less than `LEAST_MASS` together. ``"text"``: the number that it writes.

    Returns
    -------
    list of n floats or None

    Raises
    ------
    endpoint.NoLogprobs
        Where the endpoint gives no log-probabilities, or takes no question for them.
    """
    if method not in SCORINGS:
        raise ValueError(f"method must be one of {', '.join(SCORINGS)}, got {method!r}")
    model, form = generator[0], prompts.form_of(*generator)
    asked = [prompts.similarity(a, b, form=form) for a, b in pairs]
    if method == "text":
        found = model.complete(asked, max_new_tokens=8)
        return [judging.parse_score(one.text) for one in found]
    return [expected_score(one) for one in top_tokens(model, asked)]


def top_tokens(model, asked) -> list[list]:
    """The top tokens of each answer's first token, with log-probabilities; none of a refused one.

    Raises
    ------
    endpoint.NoLogprobs
    """
    asked = list(asked)
    if not asked:
        return []
    # The first question finds out how many tokens the endpoint is ready to give.
    for top in endpoint.TOPS:
        first = model.complete(asked[:1], max_new_tokens=2, top=top)[0]
        if first.tops:
            break
        if not first.refused:  # it answered, without them: it will not give fewer either
            top = None
            break
    else:
        top = None
    if top is None:
        why = f" ({first.refused})" if first.refused else ""
        what = f"{model.host} gives no log-probabilities of the top tokens{why}"
        raise endpoint.NoLogprobs(
            f"{what}, so there are no expected values: take --scoring text"
        ) from LookupError(what)
    return [one.tops or [] for one in model.complete(asked, max_new_tokens=2, top=top)]


def expected_score(tops) -> float | None:
    """Σ s·p(s) / Σ p(s) over the top tokens that are scores, None where they are too unlikely."""
    mass = total = 0.0
    for token, logprob in tops:
        value = _SCORES.get(token.strip("▁Ġ \n\t"))
        if value is not None:
            mass += math.exp(logprob)
            total += value * math.exp(logprob)
    return total / mass if mass >= LEAST_MASS else None


_SCORES = {text: float(text) for text in (*judging.HALF_POINTS, *judging.WHOLE_POINTS)}


def judge(generator, triplets, *, method="text", batch_size=None):
    """The scores a of (anchor, positive) and b of (anchor, negative), as `multicsr.judge`.

    Parameters
    ----------
    generator : (endpoint, messages)
    triplets : DataFrame
    method : "text" or "expected"
    batch_size : optional
        Not read.

    Returns
    -------
    DataFrame
        The triplets with the columns a and b; NaN where a score could not be read or a text is
        blank.
    """
    n = len(triplets)
    pairs = [
        pair for other in ("positive", "negative")
        for pair in zip(triplets["anchor"], triplets[other], strict=True)
    ]  # fmt: skip
    asked = [i for i, pair in enumerate(pairs) if all(text.strip() for text in pair)]
    found = score_similarity(generator, [pairs[i] for i in asked], method=method)
    scores = np.full(2 * n, np.nan)
    scores[asked] = [np.nan if value is None else value for value in found]
    judged = triplets.assign(a=scores[:n], b=scores[n:])
    judged.attrs = {}
    return judged


# ------------------------------------------------------------------ ranking lists
def write_lists(
    generator, anchors, method="directional", *, lam=0.0, temperature=0.0, steps=32, seed=0,
    max_new_tokens=28, taken=None, batch_size=None,
):  # fmt: skip
    """Lists without direction (λ = 0): `ranking.write`, each list a thread of requests.

    Parameters
    ----------
    generator : (endpoint, messages)
    anchors : sequence of n sentences
    method, temperature, steps, max_new_tokens, taken
        Of `ranking.write`.
    lam : float
        0 for the directional method; the others have none.
    batch_size : optional
        Not read.
    seed : int
        Of sampling: sentence i of list j has a seed of its own.

    Returns
    -------
    list of n lists of str
    """
    refuse_weight("lam", lam if method == "directional" else 0)
    anchors, model, form = list(anchors), generator[0], prompts.form_of(*generator)

    def sampling(j, i):
        return dict(temperature=temperature, seed=(seed, j, i)) if temperature else {}

    def at_once(place):
        j, anchor = place
        asked = prompts.rewriting(anchor, "at_once", form=form, steps=steps)
        room = steps * (max_new_tokens + 4)
        said = model.ask(asked, max_new_tokens=room, **sampling(j, 0)).text
        return [anchor, *prompts.read_list(said, form=form.words)[:steps]]

    off = [Counter() for _ in anchors]  # one each, for they are written side by side

    def one_by_one(place):
        j, anchor = place
        found, read = [anchor], answers.reader(form, off[j])
        for i in range(1, steps + 1):
            asked = prompts.rewriting_by_example(found[-1], method, form=form)
            said = model.ask(asked, max_new_tokens=max_new_tokens, **sampling(j, i)).text
            if not (text := read(said)):
                break
            found.append(text)
        return found

    lists = model.map(at_once if method == "at_once" else one_by_one, enumerate(anchors))
    if taken is not None:
        taken.update(sum(off, Counter()))
    return lists


# ------------------------------------------------------------------ ART's judging
class Discriminator:
    """A model behind an API in the place of an NLI model: it is asked for one of three words.

    Where the endpoint gives log-probabilities, a label has those of the top tokens that it begins
    with; else the label that is written has all. An answer that names none counts as neutral, which
    neither a positive nor a hard negative is accepted for.

    Parameters
    ----------
    generator : (endpoint, messages)
    """

    training, device = False, torch.device("cpu")

    def __init__(self, generator):
        self.generator = generator
        self.config = SimpleNamespace(
            id2label=dict(enumerate(LABELS)), is_encoder_decoder=False
        )
        self.by_text = False

    def eval(self):
        """Nothing: there is no dropout to leave out."""
        return self

    def train(self, mode=True):
        """Nothing, likewise."""
        return self

    def __call__(self, pairs):
        """Log-probabilities of the three labels, as an NLI model's output has logits."""
        model, form = self.generator[0], prompts.form_of(*self.generator)
        asked = [question(form, a, b) for a, b in pairs]
        found = None
        if not self.by_text:
            try:
                found = [label_probabilities(tops) for tops in top_tokens(model, asked)]
            except endpoint.NoLogprobs as error:
                self.by_text = True
                said = f"{error.__cause__}: the label that it writes counts whole"
                warnings.warn(said, stacklevel=2)
        if found is None:
            texts = [one.text for one in model.complete(asked, max_new_tokens=8)]
            found = [_of_word(text) for text in texts]
        p = np.clip(np.array(found, dtype=np.float32).reshape(-1, 3), _LEAST, None)
        return SimpleNamespace(logits=torch.from_numpy(np.log(p / p.sum(1, keepdims=True))))


def question(form, premise, hypothesis) -> str:
    """What a `Discriminator` asks, in a form "chat"."""
    asked = INFERENCE.format(a=premise, b=hypothesis)
    return chats.write(form.tokenizer, [(asked, None)], system=ONE_WORD)


def label_probabilities(tops) -> list[float]:
    """Of entailment, neutral and contradiction: the top tokens that a label begins with."""
    found = [0.0, 0.0, 0.0]
    for token, logprob in tops:
        word = token.strip("▁Ġ \n\t").casefold()
        for i, label in enumerate(LABELS):
            if word and label.startswith(word):
                found[i] += math.exp(logprob)
    return found if sum(found) >= LEAST_MASS else [0.0, 1.0, 0.0]


def _of_word(text) -> list[float]:
    places = {label: text.casefold().find(label) for label in LABELS}
    first = min((at, label) for label, at in (*places.items(), ("neutral", len(text))) if at >= 0)
    return [float(label == first[1]) for label in LABELS]


class _Pairs(dict):
    """A batch of pairs that is passed on as it is."""

    def to(self, device):
        """Itself: it goes to no device."""
        return self


class PairReader:
    """In the place of an NLI model's tokenizer: pairs of texts stay texts."""

    all_special_tokens, all_special_ids = (), ()
    unk_token = mask_token = None

    def __call__(self, first, second, **_):
        """A row for each pair, as long as its texts have characters."""
        pairs = list(zip(first, second, strict=True))
        return {"input_ids": [range(len(a) + len(b)) for a, b in pairs], "pairs": pairs}

    def pad(self, rows, **_):
        """The pairs alone."""
        return _Pairs(pairs=rows["pairs"])


def discriminator(generator):
    """A (model, tokenizer) for all that judges by NLI: `judging.nli_probabilities` and the rest."""
    return Discriminator(generator), PairReader()


