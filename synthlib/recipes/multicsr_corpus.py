"""MultiCSR's corpora at pocket size, written and judged once in a process.

Chapters 4 to 6 train many encoders on few corpora. What they share is remembered here.
"""

from functools import lru_cache

from synthlib import models, tiers
from synthlib.recipes import multicsr
from synthlib.world import corpora

GUIDE = "pocket/simcse-unsup-bert"
NLI_PREMISES = 4_000  # labelled triplets among which demonstrations are looked for
NLI_SEED = 700  # of the labelled triplets: never a seed of the premises


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
    asked = multicsr.ask(anchors, seed=seed, form=settings.prompts, examples=examples)
    options = dict(batch_size=128, progress=False)
    written = multicsr.write(
        model, asked, omega=omega, max_new_tokens=settings.max_new_tokens, **options
    )
    written = written[multicsr.usable(written)]
    return multicsr.judge(model, written, method=method, **options)
