"""What the chapters' experiments share: generators, corpora, lists and base encoders, made once.

Chapters 4 to 6 train many encoders on few corpora, chapters 10 to 12 post-train many encoders on
few sets of lists, all at pocket size. What they share is remembered here, for the life of the
process. Encoders are handed out as copies, tables and lists as they are: copy them before you
change them.
"""

import copy
from functools import cache, lru_cache

from synthlib import models, prompts, tiers
from synthlib.curation import Thresholds
from synthlib.methods import multicsr, ranking
from synthlib.world import corpora

GUIDE = "pocket/simcse-unsup-bert"
NLI_PREMISES = 4_000  # labelled triplets among which demonstrations are looked for
NLI_SEED = 700  # of the labelled triplets: never a seed of the premises
LLAMA = "pocket/generator-llama"
BASES = ("SimCSE", "raw LLM data", "MultiCSR")
ANCHORS = 200


# ------------------------------------------------------------------ generators and corpora
@lru_cache(maxsize=4)
def load(name):
    """A generator, loaded once, on the CPU."""
    return models.load_generator(name, device="cpu")


@lru_cache(maxsize=24)
def corpus(
    seed,
    omega,
    premises=4000,
    generator="pocket/generator-t5",
    language="english",
    method="text",
    demonstrations=None,
    labelled=False,
):
    """Triplets with the generator's own scores: stages 1 and 2 before the selection.

    Parameters
    ----------
    seed : int
        Of the premises and of the drawing of instructions.
    omega : float
        ω; 0 leaves stage 1 out.
    premises : int
    generator : str
        A pocket generator; it judges what it wrote.
    language : "english" or "tavi"
    method : "text" or "expected"
        How the scores are read, see `judging.score_similarity`.
    demonstrations : (L, λ), optional
        Worked examples for each premise: at most L, from labelled triplets whose premise has at
        least the cosine λ to it (Appendix G, Table 9). None are shown by default.
    labelled : bool
        Take the premises of the labelled triplets ``corpora.triplets(premises, seed)``, as the
        supervised setting does; their labels are not read here.

    Returns
    -------
    DataFrame
        anchor, positive, negative, a, b. The index is the premise's number: a premise for which
        the generator wrote nothing has no row. Everybody gets the same object, so copy it before
        you change it.

    Source: MultiCSR § 3.1, § 3.2, Appendix G.
    """
    settings = tiers.get("pocket").multicsr
    model = load(generator)
    if labelled:
        anchors = [row[0] for row in corpora.triplets(premises, seed)]
    else:
        anchors = corpora.premises(premises, seed, language=language)
    examples = None
    if demonstrations is not None:
        count, similarity = demonstrations
        guide = models.load_encoder(GUIDE, device="cpu").encode
        examples = multicsr.retrieve_examples(
            guide, anchors, corpora.triplets(NLI_PREMISES, NLI_SEED),
            count=count, similarity=similarity,
        )  # fmt: skip
    asked = multicsr.ask(anchors, seed=seed, form=prompts.form_of(*model), examples=examples)
    options = dict(batch_size=128, progress=False)
    written = multicsr.write(
        model, asked, omega=omega, max_new_tokens=settings.max_new_tokens, **options
    )
    written = written[multicsr.usable(written)]
    return multicsr.judge(model, written, method=method, **options)


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
