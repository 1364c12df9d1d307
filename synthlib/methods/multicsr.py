"""MultiCSR from premises to an encoder, one function a stage (Wang et al., 2024, § 3).

A table of triplets walks through the stages and gains columns: `ask` draws the instructions,
`write` adds positive and hard negative (stage 1), `judge` adds their scores a and b (stage 2),
`curation.Thresholds` selects, `train` fits an encoder, with `false_negative_mask` between it and
the false negatives of a batch (stage 3).
"""

from __future__ import annotations

from functools import partial
from random import Random

import numpy as np
import pandas as pd
import torch

from synthlib import (
    answers,
    curation,
    decoding,
    judging,
    losses,
    memory,
    prompts,
    reading,
    training,
)
from synthlib.evaluation.embedding import unit_rows

KINDS = ("entailment", "contradiction")
_INSTRUCTIONS = {"entailment": prompts.ENTAILMENT, "contradiction": prompts.CONTRADICTION}


# ------------------------------------------------------------------ stage 1
def ask(premises, *, seed=0, form="paper", noise="opposite", examples=None, start=0):
    """Draw an instruction of each kind for every premise, and write the prompts.

    Parameters
    ----------
    premises : sequence of n sentences
    seed : int
        Of the drawing: row i depends on `seed` and ``start + i`` alone, so a corpus that is
        written in parts gets the prompts of one that is written whole.
    form : one of `prompts.ALL_FORMS`
        Of `prompts.form_of` the generator.
    noise : "opposite", "reorder", "mask" or "truncate"
        The noisy instruction (§ 5.2). The opposite of one output is the other output's own
        instruction, so both outputs of a premise share their two prompts.
    examples : sequence of n lists of (premise, entailment, contradiction), optional
        Worked examples for each row (Appendix G), from `retrieve_examples`.
    start : int
        Number of the first row in the whole corpus.

    Returns
    -------
    DataFrame
        anchor, entailment, contradiction (numbers of the drawn instructions, from 1), and the
        prompts: entailment_prompt, contradiction_prompt, entailment_noisy, contradiction_noisy.

    Source: MultiCSR § 3.1, § 5.2, Appendix A; examples: Appendix G.
    """
    rows, form = [], prompts.checked_form(form)
    for i, premise in enumerate(premises):
        rng = Random(f"multicsr {seed} {start + i}")
        drawn = {kind: rng.randrange(4) for kind in KINDS}
        shots = [] if examples is None else examples[i]
        shown = {
            kind: [(shot[0], shot[place]) for shot in shots]
            for place, kind in enumerate(KINDS, start=1)
        }

        def prompt(kind, instruction, premise=premise, shown=shown):
            return prompts.generation(
                instruction, premise, form=form, demonstrations=tuple(shown[kind]), kind=kind
            )

        text = {kind: _INSTRUCTIONS[kind][form.words][drawn[kind]] for kind in KINDS}
        right = {kind: prompt(kind, text[kind]) for kind in KINDS}
        if noise == "opposite":
            noisy = {"entailment": right["contradiction"], "contradiction": right["entailment"]}
        else:
            noisy = {
                kind: prompt(kind, prompts.noisy_instruction(text[kind], noise, rng))
                for kind in KINDS
            }
        rows.append(
            (premise, *(drawn[kind] + 1 for kind in KINDS),
             *(right[kind] for kind in KINDS), *(noisy[kind] for kind in KINDS))
        )  # fmt: skip
    names = [f"{kind}_{part}" for part in ("prompt", "noisy") for kind in KINDS]
    return pd.DataFrame(rows, columns=["anchor", *KINDS, *names])


def write(generator, asked, *, omega=0.3, max_new_tokens, **options):
    """Stage 1: positives and hard negatives by contrastive generation.

    Parameters
    ----------
    generator : (model, tokenizer)
    asked : DataFrame
        From `ask`.
    omega : float
        Smoothing coefficient ω; 0 is plain decoding (stage 1 left out).
    max_new_tokens : int
    **options
        Of `decoding.generate_mixture`.

    Returns
    -------
    DataFrame
        anchor, positive, negative; n rows. A text may be empty or a copy: see `usable`. In the
        forms "chat" and "examples" a text is the sentence of its answer, and ``attrs["taken"]``
        counts what was taken off (`answers.read_all`).

    Source: MultiCSR § 3.1.
    """
    form = prompts.form_of(*generator)
    texts = decoding.contrastive_generate(
        *generator,
        [*asked["entailment_prompt"], *asked["contradiction_prompt"]],
        [*asked["entailment_noisy"], *asked["contradiction_noisy"]],
        omega=omega, max_new_tokens=max_new_tokens, ends=prompts.end_ids(generator[1], form),
        **options,
    )  # fmt: skip
    taken = None
    if form not in prompts.FORMS:
        texts, taken = answers.read_all(texts, form.prefix)
    n = len(asked)
    table = pd.DataFrame(
        {"anchor": list(asked["anchor"]), "positive": texts[:n], "negative": texts[n:]}
    )
    if taken is not None:
        table.attrs["taken"] = dict(taken)
    return table


def retrieve_examples(guide, premises, corpus, *, count=3, similarity=0.6, known=None):
    """The labelled triplets whose premises are nearest to each premise (Appendix G).

    Parameters
    ----------
    guide : callable
        P_η: a list of n strings to an (n, d) array.
    premises : sequence of n sentences
    corpus : sequence of (premise, entailment, contradiction)
        A labelled NLI corpus. A premise is never its own example.
    count : int ≥ 0
        At most so many for a premise, L.
    similarity : float in [-1, 1]
        Least cosine λ of an example's premise; a premise without one so near gets none.
    known : array (corpus, d), optional
        Unit vectors of the corpus' premises, where it is asked several times.

    Returns
    -------
    list of n lists of (premise, entailment, contradiction)
        The nearest last, beside the premise that the prompt ends with.

    Source: MultiCSR Appendix G, Table 9.
    """
    if count < 0:
        raise ValueError(f"count is a number of examples, at least 0, got {count}")
    if not -1 <= similarity <= 1:
        raise ValueError(f"similarity is a cosine in [-1, 1], got {similarity}")
    if count == 0 or not len(premises):
        return [[] for _ in premises]
    corpus = [tuple(row) for row in corpus]
    if known is None:
        known = unit_rows(np.asarray(guide([row[0] for row in corpus])))
    asked = unit_rows(np.asarray(guide(list(premises))))
    found = []
    for premise, vector in zip(premises, asked, strict=True):
        near = known @ vector
        # A few more than wanted, for those that are the premise itself.
        last = max(len(near) - count - 20, 0)
        candidates = np.flatnonzero(near >= max(np.partition(near, last)[last], similarity))
        order = candidates[np.argsort(-near[candidates], kind="stable")]
        rows = [corpus[i] for i in order if corpus[i][0] != premise]
        found.append(rows[:count][::-1])
    return found


# ------------------------------------------------------------------ stage 2
def judge(generator, triplets, *, method="text", **options):
    """Stage 2: the scores a of (anchor, positive) and b of (anchor, negative), the generator's own
    or an NLI model's.

    Parameters
    ----------
    generator : (model, tokenizer)
        With the method "nli" an NLI model in its place.
    triplets : DataFrame
        anchor, positive, negative.
    method : "text", "expected", "likelihood" or "nli"
        Of `judging.score_similarity`; "nli" is `judging.nli_similarity`.
    **options
        Of that function.

    Returns
    -------
    DataFrame
        The triplets with the columns a and b; NaN where a score could not be read, a text is
        blank, or the question does not fit the generator's window. For "likelihood"
        ``attrs["numbers"]`` has how many questions were asked, and how many answers begin with a
        number, by its probability.

    Source: MultiCSR § 3.2, Eq. 3.
    """
    n = len(triplets)
    pairs = [
        pair for other in ("positive", "negative")
        for pair in zip(triplets["anchor"], triplets[other], strict=True)
    ]  # fmt: skip
    asked = [i for i, pair in enumerate(pairs) if all(text.strip() for text in pair)]
    if method == "nli":
        score = judging.nli_similarity
    else:
        score = partial(judging.score_similarity, method=method)
        form = prompts.form_of(*generator)
        template = options.get("template") or partial(prompts.similarity, form=form)
        room = 0 if method == "expected" else 8
        fit = decoding.fits(generator, [template(*pairs[i]) for i in asked], room)
        asked = [i for i, fitting in zip(asked, fit, strict=True) if fitting]
    numbers = []
    if method == "likelihood":
        score = partial(score, numbers=numbers)
    scores = np.full(2 * n, np.nan)
    scores[asked] = [
        np.nan if value is None else value
        for value in score(*generator, [pairs[i] for i in asked], **options)
    ]
    judged = triplets.assign(a=scores[:n], b=scores[n:])
    judged.attrs = {}
    if method == "likelihood":
        judged.attrs["numbers"] = {"asked": len(numbers), "numbers": round(sum(numbers))}
    return judged


def usable(triplets):
    """Which triplets can be trained on at all: no empty text, none in which nothing can be seen.

    Returns
    -------
    bool array [n]
    """
    texts = triplets[["anchor", "positive", "negative"]]
    return (texts.map(reading.tidy) != "").all(axis=1).to_numpy()


# ------------------------------------------------------------------ stage 3
def false_negative_mask(guide, triplets, *, sigma=0.9):
    """Stage 3: the mask of Eq. 6 for any batch of the triplets, from embeddings computed once.

    P_η is frozen, so a sentence has one embedding for the whole training; a step costs one
    matrix product.

    Parameters
    ----------
    guide : callable
        P_η: a list of n strings to an (n, d) array, e.g. the ``encode`` of an encoder.
    triplets : sequence of (anchor, positive, negative), or DataFrame or Dataset with such columns
        The corpus in the order that training sees it.
    sigma : float in (0, 1]
        Threshold on the guide's cosine.

    Returns
    -------
    callable
        ``keep(rows) -> bool tensor [N, 2N]``, for `training.train_supervised_simcse`; for 2,048
        rows and more the mask is not laid out, and a callable gives it for some of them
        (`losses.false_negative_rows`).

    Source: MultiCSR § 3.3, Eq. 6.
    """
    if not 0 < sigma <= 1:
        raise ValueError(f"sigma must lie in (0, 1], got {sigma}")
    columns = _columns(triplets)
    number = {}
    for text in (text for column in columns for text in column):
        number.setdefault(text, len(number))
    vectors = torch.as_tensor(unit_rows(np.asarray(guide(list(number)))), dtype=torch.float32)
    ids = torch.tensor([[number[text] for text in column] for column in columns])  # [3, n]

    held = memory.beside(vectors, ids)

    def keep(rows):
        vectors, ids = held(rows.device)
        batch = ids[:, rows.to(ids.device)]
        by_rows = losses.false_negative_rows(
            *vectors[batch].to(rows.device), sigma=sigma, texts=batch
        )
        return by_rows if len(rows) >= training.LARGE else by_rows(slice(None))

    return keep


def train(encoder, triplets, settings, *, guide=None, sigma=None, **options):
    """Fit an encoder on triplets with a tier's settings; with a guide, stage 3's mask is on.

    Parameters
    ----------
    encoder : sentence_transformers.SentenceTransformer
        Trained in place.
    triplets : DataFrame
        anchor, positive, negative; other columns are not read.
    settings : tiers.MultiCSR
    guide : callable, optional
        P_η; without it stage 3 is left out.
    sigma : float, optional
        Instead of the settings'.
    **options
        Instead of the settings' batch_size, learning_rate, epochs, max_steps, tau, max_length,
        projection; and any other option of `training.train_supervised_simcse`.

    Returns
    -------
    encoder

    Raises
    ------
    ValueError
        As `training.train_supervised_simcse`, and where there is no triplet.

    Source: MultiCSR § 3.3, Eq. 7.
    """
    if not len(triplets):
        raise ValueError("there is no triplet to train on: nothing was written or kept")
    names = "batch_size learning_rate epochs max_steps tau max_length projection eval_steps"
    chosen = {name: getattr(settings, name) for name in names.split()} | options
    keep = None
    if guide is not None:
        sigma = settings.sigma if sigma is None else sigma
        keep = false_negative_mask(guide, triplets, sigma=sigma)
    return training.train_supervised_simcse(encoder, triplets, keep=keep, **chosen)


# ------------------------------------------------------------------ the whole method
def pipeline(
    generator, premises, encoder, settings, *, guide=None, nli=None, seed=0, generation_batch=64,
    **options,
):  # fmt: skip
    """MultiCSR from premises to an encoder, in memory: all three stages, in their order.

    Parameters
    ----------
    generator : (model, tokenizer)
        Writes, and judges what it wrote, but where the settings' scoring is "nli".
    premises : sequence of n sentences
    encoder : sentence_transformers.SentenceTransformer
        Trained in place.
    settings : tiers.MultiCSR
    guide : callable, optional
        P_η of stage 3: a list of n strings to an (n, d) array.
    nli : (model, tokenizer), optional
        The judge where the settings' scoring is "nli".
    seed : int
    generation_batch : int
        Rows that are written or judged at once.
    **options
        Of `train`.

    Returns
    -------
    DataFrame
        anchor, positive, negative, a, b, kept: the encoder is trained on the rows that are kept.

    Source: MultiCSR § 3. `runs.multicsr` takes the same stages, resumable.
    """
    size, room = generation_batch, settings.max_new_tokens
    asked = ask(premises, seed=seed, form=prompts.form_of(*generator))
    texts = write(
        generator, asked, omega=settings.omega, max_new_tokens=room, batch_size=size
    )
    texts = texts[usable(texts)]
    judged_by = nli if settings.scoring == "nli" else generator
    triplets = judge(judged_by, texts, method=settings.scoring, batch_size=size)
    select = curation.Thresholds(settings.alpha, settings.beta, settings.gamma)
    triplets["kept"] = select.keep(triplets["a"], triplets["b"])
    kept = triplets[triplets["kept"]]
    # Where a generator fails, little is kept: less than a batch, perhaps.
    batch = min(settings.batch_size, max(len(kept), 1))
    options = dict(batch_size=batch, seed=seed) | options
    train(encoder, kept, settings, guide=guide, **options)
    return triplets


def _columns(triplets):
    """anchor, positive and negative as lists, from a table or from rows."""
    names = ("anchor", "positive", "negative")
    if hasattr(triplets, "columns") or hasattr(triplets, "column_names"):
        return [list(triplets[name]) for name in names]
    return [list(column) for column in zip(*triplets, strict=True)]
