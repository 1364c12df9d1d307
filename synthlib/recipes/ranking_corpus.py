"""Ranking lists and base encoders at pocket size, made once in a process.

Chapters 10 to 12 write few sets of lists and post-train many encoders on them. What they share is
remembered here. Encoders are handed out as copies, lists as they are: copy them before you change
them.
"""

import copy
from functools import cache, lru_cache

from synthlib import models, tiers
from synthlib.curation import Thresholds
from synthlib.recipes import multicsr, ranking
from synthlib.recipes.multicsr_corpus import corpus, load

LLAMA = "pocket/generator-llama"
BASES = ("SimCSE", "raw LLM data", "MultiCSR")
ANCHORS = 200


def settings():
    """The ranking settings of the pocket tier."""
    return tiers.get("pocket").ranking


# ------------------------------------------------------------------ lists
@lru_cache(maxsize=8)
def anchors(seed, n=ANCHORS):
    """At most n varied captions of the pocket world, by k-means."""
    return tuple(ranking.anchors(settings(), n, seed))


@lru_cache(maxsize=24)
def written(
    seed, n=ANCHORS, method="directional", lam=None, temperature=None, steps=None, generator=LLAMA
):
    """Lists as the generator wrote them, before verification.

    Parameters
    ----------
    seed : int
        Of the anchors and of sampling.
    n : int
        Number of anchors.
    method : "directional", "step" or "at_once"
    lam, temperature, steps : optional
        In place of the pocket tier's.
    generator : str

    Returns
    -------
    tuple of lists of str
        Each an anchor and what follows it. Everybody gets the same object.
    """
    own = settings()
    return tuple(
        ranking.write(
            load(generator), anchors(seed, n), method, seed=seed, batch_size=128,
            lam=own.lam if lam is None else lam,
            temperature=own.temperature if temperature is None else temperature,
            steps=own.steps if steps is None else steps, max_new_tokens=own.max_new_tokens,
        )
    )  # fmt: skip


def lists(seed, **how):
    """The lists of `written` that pass verification.

    Returns
    -------
    tuple of lists of str
    """
    steps = how.get("steps") or settings().steps
    return tuple(ranking.verify(written(seed, **how), steps)[0])


# ------------------------------------------------------------------ encoders
@cache
def encoder(name):
    """An encoder that travels with the book, loaded once, on the CPU; not to be trained."""
    return models.load_encoder(name, device="cpu")


@lru_cache(maxsize=12)
def _base(seed, name, premises):
    if name == "SimCSE":
        return encoder("pocket/simcse-unsup-bert")
    if name not in BASES:
        raise ValueError(f"base must be one of {', '.join(BASES)}, got {name!r}")
    own = tiers.get("pocket").multicsr
    rows, guide = corpus(seed, own.omega if name == "MultiCSR" else 0.0, premises), None
    if name == "MultiCSR":
        rows = rows[Thresholds(own.alpha, own.beta, own.gamma).keep(rows["a"], rows["b"])]
        guide = encoder(own.guide).encode
    fresh = models.load_encoder(own.encoder, pooling=own.pooling, device="cpu")
    return multicsr.train(
        fresh, rows, own, guide=guide, batch_size=min(own.batch_size, len(rows)), seed=seed,
        progress=False,
    )  # fmt: skip


def base(seed, name, premises=4000):
    """A copy of a base encoder, to post-train.

    Parameters
    ----------
    seed : int
        Of the base's own data and training ("SimCSE" travels with the book and has none).
    name : "SimCSE", "raw LLM data" or "MultiCSR"
        Unsupervised SimCSE; the generator's triplets as they come (SynCSE's setting); MultiCSR.
    premises : int
        From which the triplets are written.

    Returns
    -------
    SentenceTransformer
    """
    return copy.deepcopy(_base(seed, name, premises))
