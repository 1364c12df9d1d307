"""Ranking sentences from anchors to a post-trained encoder, one function a stage.

`anchors` draws varied sentences, `write` lets a language model continue each into a list that
moves away from it, `verify` drops the lists that fail the rules, `teacher_similarities` measures
them with a frozen encoder, `targets` corrects these similarities by the order of the list, and
`post_train` teaches an encoder the resulting order. `shuffle` takes the order away again, for the
ablation.

Source: He et al., Ranking sentences (2025), § 3; anchors: § 4.1; ablations: § 4.4.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import partial

import numpy as np

from synthlib import answers, curation, data, decoding, prompts
from synthlib.evaluation.embedding import embed, unit_rows

# The prompt of each way to write lists; the paper's own is the directional one.
PROMPTS = {
    "directional": prompts.RANKING, "step": prompts.RANKING_STEP, "at_once": prompts.RANKING_LIST,
}  # fmt: skip
METHODS = tuple(PROMPTS)
MODES = ("full", "rank", "semantic")


# ------------------------------------------------------------------ anchors
def anchors(settings, n=None, seed=0, *, sentences=None, encode=None):
    """Varied sentences to start lists from: k-means, then the same number of each cluster.

    Parameters
    ----------
    settings : tiers.Ranking
        Its clusters and per_cluster.
    n : int, optional
        So many anchors, from as many clusters as the settings say (n of them if that is more).
        Default: clusters · per_cluster. A cluster with too few members gives what it has, so
        fewer may come.
    seed : int
        Of the pocket world's sentences, of k-means and of the drawing.
    sentences : sequence of str, optional
        Where to draw from; default the pocket world's captions, 4,000 or 4 n if that is more.
    encode : callable, optional
        List of m strings to an (m, d) array; default the settings' encoder. (The paper does not
        say which embeddings it clusters.)

    Returns
    -------
    list of at most n str
        In the order of the source.

    Raises
    ------
    ValueError
        If n < 1, or there are fewer sentences than clusters.

    Source: Ranking sentences § 4.1 (1,000 clusters × 20; the released code lacks this step).
    """
    clusters, each = settings.clusters, settings.per_cluster
    if n is not None:
        if n != int(n) or n < 1:
            raise ValueError(f"n is a number of anchors, at least 1, got {n}")
        clusters = min(clusters, int(n))
        each = math.ceil(n / clusters)
    n = clusters * each if n is None else int(n)
    if sentences is None:
        from synthlib.world import corpora

        sentences = corpora.premises(max(4000, 4 * n), seed)
    sentences = list(dict.fromkeys(sentences))
    if clusters > len(sentences):
        raise ValueError(
            f"{clusters} clusters are more than the {len(sentences)} distinct sentences to draw "
            "anchors from: take fewer clusters or more sentences"
        )
    if encode is None:
        from synthlib import models

        encode = models.load_encoder(settings.encoder, device="cpu").encode
    rows = data.kmeans_sample(encode(sentences), clusters, each, seed=seed)
    if len(rows) > n:  # n is no multiple of the number of clusters
        rows = np.sort(np.random.default_rng(seed).choice(rows, n, replace=False))
    return [sentences[i] for i in rows]


# ------------------------------------------------------------------ lists
def write(
    generator,
    anchors,
    method="directional",
    *,
    lam=0.5,
    temperature=0.0,
    steps=32,
    seed=0,
    max_new_tokens=28,
    progress=False,
    taken=None,
    **options,
):
    """Let a language model continue each anchor into a list that moves away from it.

    Parameters
    ----------
    generator : (model, tokenizer)
    anchors : sequence of n sentences
    method : "directional", "step" or "at_once"
        The paper's method (Eq. 4); its prompt for one sentence after the other, without direction
        (Fig. 1 c); one prompt for the whole list (Fig. 1 b).
    lam : float
        λ of the directional method; the others have none.
    temperature : float ≥ 0
        0 decodes greedily, as the paper does.
    steps : int
        Sentences to write after the anchor.
    seed : int, or sequence of n ints
        Of sampling.
    max_new_tokens : int
        Of one sentence.
    progress : bool
    taken : collections.Counter, optional
        Gets in how many answers what was taken off (`answers.read`), of one sentence at a time.
    **options
        Of `decoding.generate_mixture`: batch_size, …

    Returns
    -------
    list of n lists of str
        Each the anchor and up to `steps` sentences.

    Source: Ranking sentences § 3.1, Eqs. 2 to 4, Appendix A.
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be 0 (greedy) or above, got {temperature}")
    options |= dict(steps=steps, max_new_tokens=max_new_tokens, progress=progress)
    if temperature:
        options |= dict(do_sample=True, temperature=temperature, seed=seed)
    if method == "at_once":
        return decoding.generate_lists_at_once(*generator, anchors, **options)
    form = prompts.form_of(*generator)
    asking = partial(prompts.rewriting_by_example, method=method, form=form)
    options |= dict(lam=lam if method == "directional" else 0.0)
    options |= dict(prompt=PROMPTS[method].get(form, asking), read=answers.reader(form, taken))
    options |= dict(ends=prompts.end_ids(generator[1], form))
    return decoding.generate_ranking_lists(*generator, anchors, **options)


def verify(lists, steps=None):
    """Drop the lists that fail the verification rules, and count why.

    Parameters
    ----------
    lists : sequence of lists of str
        Each an anchor and what was written after it.
    steps : int, optional
        Sentences that a complete list has after its anchor.

    Returns
    -------
    kept : list of lists of str
    dropped : Counter
        Reason to number of lists.

    Source: Ranking sentences, Appendix A; the rules: `curation.verify_ranking_list`.
    """
    kept, dropped = [], Counter()
    for sentences in lists:
        reason = curation.verify_ranking_list(sentences, steps=steps)
        if reason is None:
            kept.append(list(sentences))
        else:
            dropped[reason] += 1
    return kept, dropped


def shuffle(lists, seed=0):
    """The same lists with their sentences in random order (Table 3 c): no ranking is left.

    Parameters
    ----------
    lists : sequence of lists of str
    seed : int

    Returns
    -------
    list of lists of str
    """
    rng = np.random.default_rng(seed)
    return [[row[i] for i in rng.permutation(len(row))] for row in map(list, lists)]


# ------------------------------------------------------------------ targets
def teacher_similarities(teacher, lists, *, scale=1.0, progress=False):
    """Cosines of all pairs of a list by a frozen teacher; each distinct sentence is read once.

    Parameters
    ----------
    teacher : callable
        List of m strings to an (m, d) array, e.g. the ``encode`` of an encoder.
    lists : sequence of lists of at least two str
        They may differ in length.
    scale : float > 0
        Factor on the cosines. 1 is the paper to the letter; the released code divides by
        τ₂ = 0.05, so that ω acts on numbers up to ± 20. It decides how far the logarithm of Eq. 7
        moves a value: at scale 1 by nearly the share ω of its displacement, at scale 20 large
        displacements by a smaller share than small ones.
    progress : bool

    Returns
    -------
    list of float32 arrays [n, n]
        Symmetric, with `scale` on the diagonal.

    Raises
    ------
    ValueError
        For a list of one sentence, a scale that is not positive, NaN in the embeddings.

    Source: Ranking sentences § 3.2 (φ); papers' released code for the scale.
    """
    if not 0 < scale < math.inf:
        raise ValueError(f"scale must be positive, got {scale}")
    lists = _checked_lists(lists)
    if not lists:
        return []
    texts = [text for sentences in lists for text in sentences]
    vectors, row = embed(teacher, texts, batch_size=1024, progress=progress)
    vectors = unit_rows(vectors)
    found = []
    for sentences in lists:
        own = vectors[[row[text] for text in sentences]]
        found.append((scale * (own @ own.T)).astype(np.float32))
    return found


def targets(phi, omega=0.5, *, variant="paper", mode="full"):
    """What the encoder's similarities are to be ordered by, for every list.

    Parameters
    ----------
    phi : sequence of float arrays [n, n]
        From `teacher_similarities`.
    omega : float ≥ 0, or "adaptive"
        Weight ω of the ranking information; "full" only. "adaptive" takes one for each row from
        `losses.adaptive_omega`.
    variant : str
        Of `losses.refine_similarity`.
    mode : "full", "rank" or "semantic"
        The paper's target φ̂ (Eqs. 6, 7); the order of the list alone, −\\|j − k\\| (Table 3 d);
        the teacher's similarities alone, φ (Table 3 e).

    Returns
    -------
    list of float32 arrays [n, n]

    Raises
    ------
    ValueError
        For NaN, an array that is not square, ω < 0, an unknown mode.

    Source: Ranking sentences § 3.2, Eqs. 5 to 7, Algorithm 1; modes: § 4.4.
    """
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    if omega != "adaptive":
        check_omega(omega)
    phi = [np.asarray(one, dtype=np.float32) for one in phi]
    for i, one in enumerate(phi):
        if one.ndim != 2 or one.shape[0] != one.shape[1]:
            raise ValueError(f"similarities of list {i} have shape {one.shape}, not [n, n]")
        if not np.isfinite(one).all():
            raise ValueError(f"similarities of list {i} hold NaN or infinite values")
    if mode == "semantic":
        return phi
    if mode == "rank":
        return [-np.abs(np.subtract.outer(*2 * (np.arange(len(one), dtype=np.float32),)))
                for one in phi]  # fmt: skip
    import torch

    from synthlib import losses

    found = [None] * len(phi)
    for n in {len(one) for one in phi}:  # lists of one length in one batch
        rows = [i for i, one in enumerate(phi) if len(one) == n]
        batch = torch.from_numpy(np.stack([phi[i] for i in rows]))
        weight = losses.adaptive_omega(batch) if omega == "adaptive" else omega
        refined = losses.refine_similarity(batch, weight, variant=variant).numpy()
        for i, one in zip(rows, refined, strict=True):
            found[i] = one
    return found


# ------------------------------------------------------------------ post-training
def post_train(encoder, lists, targets, settings, *, dev=None, seed=0, **options):
    """Teach an encoder the order of the lists (ListMLE) with a tier's settings.

    Parameters
    ----------
    encoder : sentence_transformers.SentenceTransformer
        Any trained encoder; it keeps its pooling. Trained in place.
    lists : sequence of lists of str
    targets : sequence of arrays [n, n]
        From `targets`.
    settings : tiers.Ranking
    dev : callable, optional
        dev(encode) -> float; the weights that are best on it are kept.
    seed : int
    **options
        Instead of the settings' learning_rate, lists_per_step, epochs, tau, eval_steps; and any
        other option of `training.post_train_ranking`.

    Returns
    -------
    encoder

    Source: Ranking sentences § 3.2, Eq. 8, Appendix C.
    """
    from synthlib import training

    names = "learning_rate lists_per_step epochs tau max_length eval_steps"
    chosen = {name: getattr(settings, name) for name in names.split()} | options
    return training.post_train_ranking(encoder, lists, targets, dev=dev, seed=seed, **chosen)

# ------------------------------------------------------------------ the whole method
def pipeline(
    generator, anchors, encoder, teacher, settings, *, seed=0, generation_batch=64, **options
):  # fmt: skip
    """Ranking sentences from anchors to a post-trained encoder, in memory.

    Parameters
    ----------
    generator : (model, tokenizer)
    anchors : sequence of n sentences
        From `anchors`, or any other varied sentences.
    encoder : sentence_transformers.SentenceTransformer
        Trained before; post-trained in place.
    teacher : callable
        Frozen: a list of m strings to an (m, d) array. The encoder itself will do, as a copy.
    settings : tiers.Ranking
    seed : int
    generation_batch : int
        Lists that are written at once.
    **options
        Of `post_train`: dev, max_steps, …

    Returns
    -------
    kept : list of lists of str
        The lists that the encoder was trained on.
    dropped : Counter
        Reason to number of lists.

    Source: Ranking sentences § 3. `runs.ranking` takes the same stages, resumable.
    """
    how = dict(lam=settings.lam, temperature=settings.temperature, steps=settings.steps)
    room, size = settings.max_new_tokens, generation_batch
    lists = write(
        generator, anchors, **how, max_new_tokens=room, seed=seed, batch_size=size
    )
    kept, dropped = verify(lists, settings.steps)
    phi = teacher_similarities(teacher, kept)
    goals = targets(phi, settings.omega)
    post_train(encoder, kept, goals, settings, seed=seed, **options)
    return kept, dropped


def check_omega(omega) -> None:
    """Raise ValueError for a weight ω that is negative, no finite number or no number."""
    if isinstance(omega, str) or not 0 <= omega < math.inf:
        raise ValueError(f'omega is a weight, at least 0, or "adaptive", got {omega}')


def _checked_lists(lists):
    lists = [list(row) if not isinstance(row, str) else row for row in lists]
    for i, row in enumerate(lists):
        if isinstance(row, str) or not all(isinstance(text, str) for text in row):
            raise ValueError(f"list {i} is {row!r}: a list of sentences is wanted")
        if len(row) < 2:
            raise ValueError(
                f"list {i} has {len(row)} sentence{'s' * (len(row) != 1)}: nothing can be ranked "
                "with fewer than two"
            )
    return lists
