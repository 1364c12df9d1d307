"""What chapter 5 measures: false negatives in a batch, and the guides that mask them.

The corpora here are made of correct triplets, as MultiCSR's § 5.1 makes its own for Figure 4 from
labelled NLI pairs. They are poor in another way: few scenes, many captions of each.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from random import Random

import numpy as np
import pandas as pd
import torch

from synthlib import curation, ledger, losses, models, tiers, training
from synthlib.evaluation import score_sts
from synthlib.evaluation.embedding import unit_rows
from synthlib.experiments import lab
from synthlib.methods import multicsr
from synthlib.world import corpora, nli, parse, random_scene, realize
from synthlib.world.edits import contradict, weaken
from synthlib.world.wording import Words, random_style

TRIPLETS = 3_000  # of every corpus that is trained on here
# § 4.1: batches of 256. Three epochs, as in the released README.
LARGE = dict(batch_size=256, max_steps=3 * (TRIPLETS // 256), eval_steps=3)
SMALL = dict(batch_size=64, max_steps=100, eval_steps=10)
SIGMAS = (0.5, 0.7, 0.9, 0.95)
NAMED = {
    "masked LM": "pocket/mlm-bert",
    "unsupervised SimCSE": "pocket/simcse-unsup-bert",
    "supervised SimCSE": "pocket/simcse-sup-bert",
}


# ------------------------------------------------------------------ corpora
def captions(scenes, triplets=TRIPLETS, seed=0):
    """Correct triplets in which every scene is described many times.

    Parameters
    ----------
    scenes : int
        Different scenes, drawn at random; each gets the same number of captions (± 1).
    triplets : int
        Rows, each with its own wording of the scene as its anchor.
    seed : int

    Returns
    -------
    DataFrame
        anchor, positive (the scene or a vaguer one), negative (a contradiction, half of the time
        in the anchor's words), scene (its number).

    Source: MultiCSR § 5.1 ("a dataset where only limited data are available").
    """
    if not 1 <= scenes <= triplets:
        raise ValueError(f"{triplets} triplets cannot describe {scenes} scenes")
    rng = Random(f"captions of scenes {seed}")
    drawn = [random_scene(rng, p_negated=0.0) for _ in range(scenes)]
    rows = []
    for number in range(triplets):
        scene, style, words = drawn[number % scenes], random_style(rng), Words(rng)
        anchor = realize(scene, rng, style, words)
        positive = realize(scene if rng.random() < 0.5 else weaken(scene, rng), rng)
        denied = contradict(scene, rng)
        if rng.random() < 0.5:
            negative = realize(denied, rng, style, Words(rng, keep=words.chosen))
        else:
            negative = realize(denied, rng)
        rows.append((anchor, positive, negative, number % scenes))
    return pd.DataFrame(rows, columns=["anchor", "positive", "negative", "scene"])


def copied(copies, triplets=TRIPLETS, seed=0):
    """Different correct triplets, and copies of one of them after them.

    Parameters
    ----------
    copies : int
        So many more rows, all alike; 0 for none.
    triplets : int
        Rows that are different.
    seed : int

    Returns
    -------
    DataFrame
        anchor, positive, negative; triplets + copies rows.

    Source: MultiCSR § 5.1, Fig. 4.
    """
    if copies < 0:
        raise ValueError(f"copies is a number of rows, at least 0, got {copies}")
    rows = corpora.triplets(triplets, seed)
    return pd.DataFrame(rows + [rows[0]] * copies, columns=["anchor", "positive", "negative"])


# ------------------------------------------------------------------ what is truly false
def entailed(anchors, candidates):
    """Which candidates follow from which anchors, by the oracle: for judging, never for a method.

    A candidate of another row that follows from the anchor is a false negative: it would have
    been a right positive. Denials never count: "no cat is asleep" follows from nearly everything
    and resembles nothing.

    Parameters
    ----------
    anchors : list of n sentences
    candidates : list of m sentences

    Returns
    -------
    bool array [n, m]
        False where a sentence is none of the pocket world's.
    """
    (anchors, row), (candidates, column) = _scenes(anchors), _scenes(candidates)
    table = [
        [h is not None and not h.negated and nli(p, h) == "entailment" for h in candidates]
        for p in anchors
    ]
    return np.array(table)[np.ix_(row, column)]


def _scenes(texts):
    """The different scenes of some texts, and each text's number among them."""
    number, place = {}, []
    for text in texts:
        place.append(number.setdefault(parse(text), len(number)))
    return list(number), place


def false_negatives(triplets):
    """The false negatives of a whole corpus, by the oracle.

    Parameters
    ----------
    triplets : DataFrame

    Returns
    -------
    bool array [n, 2n]
        Columns as in the loss: positives, then hard negatives. A row's own pair is never one.
    """
    return entailed(
        list(triplets["anchor"]), [*triplets["positive"], *triplets["negative"]]
    ) & others(len(triplets))


def others(n):
    """bool array [n, 2n]: the candidates of other rows."""
    return ~np.tile(np.eye(n, dtype=bool), 2)


def oracle_mask(triplets):
    """The mask of somebody who knows the truth, as an upper bound; no method has it.

    Returns
    -------
    callable
        As `multicsr.false_negative_mask` gives it.
    """
    keep = torch.from_numpy(~false_negatives(triplets))
    n = len(triplets)

    def look_up(rows):
        rows = rows.cpu()
        return keep[rows][:, torch.cat([rows, rows + n])]

    return look_up


# ------------------------------------------------------------------ guides
def similarities(guide, triplets):
    """The guide's cosine of every anchor with every positive and hard negative.

    Parameters
    ----------
    guide : callable
        P_η: a list of n strings to an (n, d) array.
    triplets : DataFrame

    Returns
    -------
    float array [n, 2n]
    """
    anchor, positive, negative = (
        unit_rows(np.asarray(guide(list(triplets[name])), dtype=np.float32))
        for name in ("anchor", "positive", "negative")
    )
    return anchor @ np.concatenate([positive, negative]).T


def quality(similar, truth, sigmas):
    """How well a threshold on a guide's similarity finds the false negatives.

    Parameters
    ----------
    similar : float array [n, 2n]
        From `similarities`.
    truth : bool array [n, 2n]
        From `false_negatives`.
    sigmas : sequence of float

    Returns
    -------
    DataFrame
        sigma, masked (share of other rows' candidates), recall (share of the false negatives that
        are masked), precision (share of the masked that are false negatives; NaN if none is).
    """
    other = others(len(similar))
    similar, truth = similar[other], truth[other]
    rows = []
    for sigma in sigmas:
        masked = similar >= sigma
        hit = np.count_nonzero(masked & truth)
        rows.append(
            {
                "sigma": sigma,
                "masked": masked.mean(),
                "recall": hit / max(truth.sum(), 1),
                "precision": hit / masked.sum() if masked.any() else math.nan,
            }
        )
    return pd.DataFrame(rows)


def own_sigma(guide, triplets):
    """A threshold in the guide's own currency: its median cosine of an anchor and its positive.

    No label is asked. A candidate is masked that the guide finds as similar as half of the
    corpus's own positives.

    Returns
    -------
    float
    """
    anchor, positive = (
        unit_rows(np.asarray(guide(list(triplets[name])))) for name in ("anchor", "positive")
    )
    return float(np.median((anchor * positive).sum(axis=1)))


@lru_cache(maxsize=8)
def load(name):
    """A pocket encoder on the CPU, loaded once."""
    return models.load_encoder(name, device="cpu")


@lru_cache(maxsize=4)
def first_pass(seed):
    """An encoder from a first pass of MultiCSR without stage 3: no label has taught it."""
    return fit(curated(seed), seed, **SMALL)


@lru_cache(maxsize=4)
def curated(seed, premises=None):
    """The triplets that stages 1 and 2 leave, at the pocket tier's settings.

    Parameters
    ----------
    seed : int
    premises : int, optional
        Instead of the settings' number.

    Returns
    -------
    DataFrame
        anchor, positive, negative, a, b.
    """
    settings = tiers.get("pocket").multicsr
    written = lab.corpus(seed, settings.omega, premises or settings.premises)
    rule = curation.Thresholds(settings.alpha, settings.beta, settings.gamma)
    return written[rule.keep(written["a"], written["b"])].reset_index(drop=True)


# ------------------------------------------------------------------ training
def fit(triplets, seed, *, keep=None, **options):
    """An encoder trained on triplets in the paper's batches.

    The learning rate and what else does not depend on the batch are the pocket tier's. As in
    § 4.1 the weights are those with the best score on a development set.

    Parameters
    ----------
    triplets : DataFrame
    seed : int
        Of the order of the rows and of dropout.
    keep : callable, optional
        A mask; none by default.
    **options
        Instead of `LARGE` and the tier's values, and others of
        `training.train_supervised_simcse`.

    Returns
    -------
    encoder
    """
    settings = tiers.get("pocket").multicsr
    encoder = models.load_encoder(settings.encoder, pooling=settings.pooling, device="cpu")
    names = "batch_size learning_rate max_steps tau max_length projection".split()
    chosen = {name: getattr(settings, name) for name in names} | LARGE | options
    rows = list(zip(*(triplets[n] for n in ("anchor", "positive", "negative")), strict=True))
    return training.train_supervised_simcse(
        encoder, rows, keep=keep, seed=seed, progress=False, dev=_dev, **chosen
    )


@lru_cache(maxsize=2)
def _examination(split):
    return {"natural": corpora.sts("natural", split, n=2000)}


def _dev(encode):
    """The score that selects the weights, on other pairs than those that are reported."""
    return score_sts(encode, _selection())["spearman"].iloc[0]


@cache
def _selection():
    return {"natural": corpora.sts("natural", "dev", n=500, seed=1)}


def mark(encoder, split="test"):
    """Spearman (percent) on the natural STS set."""
    return float(score_sts(encoder.encode, _examination(split))["spearman"].iloc[0])


# ------------------------------------------------------------------ gradients
def gradient_norm(encoder, triplets, *, seed=0, **options):
    """Norm of the loss's gradient on the encoder's weights for one batch, dropout on.

    Parameters
    ----------
    encoder : SentenceTransformer
        Left as it was.
    triplets : DataFrame
        The batch.
    seed : int
        Of dropout.
    **options
        Of `losses.info_nce`.

    Returns
    -------
    float
    """
    texts = [text for name in ("anchor", "positive", "negative") for text in triplets[name]]
    tokens = encoder.tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    weights = [weight for weight in encoder.parameters() if weight.requires_grad]
    was_training = encoder.training
    encoder.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vectors = encoder(dict(tokens))["sentence_embedding"].float()
    encoder.train(was_training)
    loss = losses.info_nce(*vectors.view(3, len(triplets), -1), **options)
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return float(torch.cat([g.flatten() for g in found if g is not None]).norm())


# ------------------------------------------------------------------ three seeds


def guides(seed):
    """The guides that are compared, by name, each a callable; the oracle has its own mask."""
    known = {name: load(path).encode for name, path in NAMED.items()}
    return known | {"first MultiCSR pass": first_pass(seed).encode}


def _marks(seed, scenes, guide=None, sigma=0.9, variant="paper"):
    """dev and test Spearman of an encoder trained on captions of scenes under a guide's mask."""
    return _trained(seed, scenes, guide, sigma, variant)


@cache  # so that the functions below share what they train
def _trained(seed, scenes, guide, sigma, variant):
    triplets = captions(scenes, seed=seed)
    if guide == "first pass, this corpus":
        encode = _plain(seed, scenes).encode
    elif guide not in (None, "oracle"):
        encode = guides(seed)[guide]
    if guide is None:
        encoder = _plain(seed, scenes)
    elif guide == "oracle":
        encoder = fit(triplets, seed, keep=oracle_mask(triplets))
    else:
        keep = multicsr.false_negative_mask(encode, triplets, sigma=sigma)
        if variant == "released":  # its own hard negative is not protected, see the chapter
            keep = unprotected(keep, encode, triplets, sigma)
        encoder = fit(triplets, seed, keep=keep, variant=variant)
    path = [(h["step"], h["dev"]) for h in encoder.training_history if "dev" in h]
    return {split: mark(encoder, split) for split in ("dev", "test")} | {"path": path}


@lru_cache(maxsize=2)
def _plain(seed, scenes):
    return fit(captions(scenes, seed=seed), seed)


def unprotected(keep, encode, triplets, sigma):
    """The mask of the released code: a row's own hard negative may be masked, too.

    Parameters
    ----------
    keep : callable
        From `multicsr.false_negative_mask`.
    encode : callable
        The guide.
    triplets : DataFrame
        anchor, negative.
    sigma : float

    Returns
    -------
    callable
        From rows [n] to a mask [n, 2n], as `keep`.
    """
    names = ("anchor", "negative")
    anchor, negative = (unit_rows(np.asarray(encode(list(triplets[n])))) for n in names)
    near = torch.from_numpy((anchor * negative).sum(axis=1) >= sigma)

    def look_up(rows):
        mask, n = keep(rows), len(rows)
        own = torch.arange(n)
        mask[own, own + n] = ~near[rows.cpu()].to(mask.device)
        return mask

    return look_up


@ledger.measure(
    "05-fig4-duplicates-30", "05-fig4-duplicates-150", "05-guide-unsupervised",
    "05-guide-own-sigma", "05-guide-first-pass", "05-guide-recall",
)  # fmt: skip
def measure_guides(seed):
    """Masking paraphrased duplicates by five guides and by the oracle."""
    rows, curves, paths = [], [], []
    for scenes in (20, 100):
        sample = captions(scenes, 1000, seed)
        truth = false_negatives(sample)
        seen = dict(guides(seed))
        wanted = [("supervised SimCSE", 0.9), ("first MultiCSR pass", 0.9)]
        if scenes == 20:
            seen["first pass, this corpus"] = _plain(seed, scenes).encode
            unsupervised = "unsupervised SimCSE"
            own = own_sigma(seen[unsupervised], captions(scenes, seed=seed))
            wanted += [(unsupervised, 0.9), (unsupervised, own), ("oracle", math.nan)]
        plain = _marks(seed, scenes)["test"]
        rows.append({"scenes": scenes, "guide": "no mask", "spearman": plain, "gain": 0.0})
        similar = {name: similarities(encode, sample) for name, encode in seen.items()}
        for name, cosines in similar.items():
            curve = quality(cosines, truth, np.arange(0.3, 1.0, 0.05))
            curves.append(curve.assign(scenes=scenes, guide=name))
        for name, sigma in wanted:
            found = _marks(seed, scenes, name, sigma)["test"]
            row = {"scenes": scenes, "guide": name, "spearman": found, "gain": found - plain}
            if name in similar:
                row |= quality(similar[name], truth, [sigma]).iloc[0].to_dict()
                row["threshold"] = "0.9" if sigma == 0.9 else "own positives"
            else:
                row |= {"masked": truth[others(len(sample))].mean(), "recall": 1, "precision": 1}
            rows.append(row)
        for name, sigma in (("no mask", None), *wanted[:1], *wanted[-1:]):
            key = (None, 0.9) if name == "no mask" else (name, sigma)
            path = pd.DataFrame(_marks(seed, scenes, *key)["path"], columns=["step", "dev"])
            paths.append(path.assign(scenes=scenes, guide=name))
    table, curves = pd.DataFrame(rows), pd.concat(curves, ignore_index=True)
    table["captions"] = TRIPLETS // table["scenes"]
    ledger.keep_rows("05-guides", seed, table)
    ledger.keep_rows("05-guide-curves", seed, curves)
    ledger.keep_rows("05-paths", seed, pd.concat(paths, ignore_index=True))
    at = table[table["threshold"] != "own positives"].set_index(["scenes", "guide"])
    own = table[table["threshold"] == "own positives"].set_index(["scenes", "guide"])
    gain, recall = at["gain"], 100 * at["recall"]
    return {
        "05-fig4-duplicates-30": gain[100, "supervised SimCSE"],
        "05-fig4-duplicates-150": gain[20, "supervised SimCSE"],
        "05-guide-unsupervised": gain[20, "unsupervised SimCSE"],
        "05-guide-own-sigma": own.loc[(20, "unsupervised SimCSE"), "gain"],
        "05-guide-first-pass": gain[20, "first MultiCSR pass"],
        "05-guide-recall": recall[20, "supervised SimCSE"] - recall[20, "unsupervised SimCSE"],
    }


@ledger.measure("05-fig4-batch")
def measure_small_batch(seed):
    """The same mask in batches of 64, where a row meets a quarter of the false negatives."""
    triplets, name = captions(100, seed=seed), "supervised SimCSE"
    keep = multicsr.false_negative_mask(load(NAMED[name]).encode, triplets)
    plain, masked = (mark(fit(triplets, seed, keep=mask, **SMALL)) for mask in (None, keep))
    large = _marks(seed, 100, name)["test"] - _marks(seed, 100)["test"]
    return large - (masked - plain)


@ledger.measure("05-fig7-sigma", "05-fig7-mask-helps", "05-fig7-too-low")
def measure_sigma(seed):
    """Fig. 7: the threshold, on 20 scenes with 150 captions each, by the supervised guide."""
    curve = {sigma: _marks(seed, 20, "supervised SimCSE", sigma) for sigma in SIGMAS}
    off = _marks(seed, 20)
    rows = [
        {"sigma": sigma, "dev": marks["dev"], "test": marks["test"]}
        for sigma, marks in (*curve.items(), (math.nan, off))
    ]
    ledger.keep_rows("05-sigma", seed, pd.DataFrame(rows))
    dev = {sigma: marks["dev"] for sigma, marks in curve.items()}
    best = max(value for sigma, value in dev.items() if sigma != SIGMAS[0])
    return {
        "05-fig7-sigma": best - max(dev[SIGMAS[0]], off["dev"]),
        "05-fig7-mask-helps": best - off["dev"],
        "05-fig7-too-low": best - dev[SIGMAS[0]],
    }


@ledger.measure("05-fig4-identical", "05-fig4-identical-harm", "05-fig4-identical-others")
def measure_identical(seed):
    """Fig. 4 to the letter: copies of one pair, a half and nine tenths of the corpus."""
    guide, rows = load(NAMED["supervised SimCSE"]).encode, []
    size = SMALL["batch_size"]
    for copies in (0, TRIPLETS, 9 * TRIPLETS):
        triplets = copied(copies, seed=seed)
        wanted = {"no mask": {}}
        if copies:
            keep = multicsr.false_negative_mask(guide, triplets)
            wanted["masked"] = {"keep": keep}
        if copies > TRIPLETS:
            wanted["masked, released loss"] = {"keep": keep, "variant": "released"}
        for name, options in wanted.items():
            encoder = fit(triplets, seed, **SMALL | options)
            rows.append({"copies": copies, "mask": name, "spearman": mark(encoder)})
        if copies:  # the other rows of a batch and nothing else
            fewer = round(size * TRIPLETS / len(triplets))
            encoder = fit(copied(0, seed=seed), seed, **SMALL | {"batch_size": fewer})
            rows.append({"copies": copies, "mask": "copies left out", "spearman": mark(encoder)})
    table = pd.DataFrame(rows)
    ledger.keep_rows("05-duplicates", seed, table)
    at = table.set_index(["copies", "mask"])["spearman"]
    return {
        "05-fig4-identical": at[9 * TRIPLETS, "masked"] - at[9 * TRIPLETS, "no mask"],
        "05-fig4-identical-harm": at[0, "no mask"] - at[9 * TRIPLETS, "no mask"],
        "05-fig4-identical-others": at[0, "no mask"] - at[9 * TRIPLETS, "copies left out"],
    }


@ledger.measure("05-released-gradient", "05-released-training")
def measure_released(seed):
    """The released loss: the size of its gradient, and an encoder trained by it."""
    batch = captions(20, 256, seed)
    encoder = load(NAMED["masked LM"])
    norms = {v: gradient_norm(encoder, batch, seed=seed, variant=v) for v in losses.VARIANTS}
    guide = "supervised SimCSE"
    released = _marks(seed, 20, guide, variant="released")["test"]
    return {
        "05-released-gradient": norms["paper"] / norms["released"],
        "05-released-training": _marks(seed, 20, guide)["test"] - released,
    }


@ledger.measure("05-fig8-similar", "05-fig8-similar-unsupervised", "05-pairs")
def measure_batch(seed):
    """Fig. 8 on a batch of the generated and the labelled corpus together; Appendix G's count."""
    batch, share = mixed_batch(seed), {}
    kept, settings = len(curated(seed)), tiers.get("pocket").multicsr
    histograms = []
    for name in ("supervised SimCSE", "unsupervised SimCSE"):
        guide = load(NAMED[name].replace("bert", "roberta")).encode
        cosine = similarities(guide, batch)[others(len(batch))]
        share[name] = 100 * (cosine > 0.7).mean()
        counts, edges = np.histogram(cosine, bins=np.linspace(-1, 1, 41))
        histograms.append(
            pd.DataFrame({"guide": name, "low": edges[:-1], "share": counts / counts.sum()})
        )
    ledger.keep_rows("05-similarities", seed, pd.concat(histograms, ignore_index=True))
    return {
        "05-fig8-similar": share["supervised SimCSE"],
        "05-fig8-similar-unsupervised": share["unsupervised SimCSE"],
        "05-pairs": 2 * kept / settings.premises,
    }


def mixed_batch(seed, size=256, premises=None):
    """A batch drawn from T ∪ N, the curated triplets and as many labelled ones.

    Parameters
    ----------
    seed : int
    size : int
        Rows of the batch.
    premises : int, optional
        Of `curated`.

    Returns
    -------
    DataFrame
        anchor, positive, negative.

    Source: MultiCSR Appendix G, Fig. 8.
    """
    written = curated(seed, premises)[["anchor", "positive", "negative"]]
    labelled = pd.DataFrame(corpora.triplets(len(written), seed), columns=written.columns)
    both = pd.concat([written, labelled], ignore_index=True)
    return both.sample(size, random_state=seed).reset_index(drop=True)


@ledger.measure(
    "05-table12-time", "05-table12-memory",
    reads=("data/pocket/mlm-bert", "data/pocket/simcse-unsup-bert"),
)  # fmt: skip
def measure_cost(seed):
    """Table 12; the ratios are means over the batch sizes. The seed only counts the repetition."""
    from synthlib.experiments import cost as multicsr_cost

    table = multicsr_cost.stage3_cost(steps=10)
    ledger.keep_rows("05-cost", seed, table)
    wide = table.pivot(index="batch_size", columns="method", values=["seconds", "megabytes"])
    plain, once = (wide.xs(m, axis=1, level=1) for m in ("SimCSE", "P_η once"))
    ratio = (once / plain).mean()
    return {"05-table12-time": ratio["seconds"], "05-table12-memory": ratio["megabytes"]}
