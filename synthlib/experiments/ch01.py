"""What chapter 1 measures: the masked LM's embeddings, whitening, and SimCSE trained from it.

The functions without an underscore are called by the chapter; `measure_chapter` repeats its
experiments for any seed, for the ledger.
"""

from pathlib import Path

import numpy as np

from synthlib import ledger, models, tiers, training
from synthlib.evaluation import alignment, score_sts, uniformity, whitening
from synthlib.evaluation.embedding import as_embeddings, paired_cosine, unit_rows
from synthlib.world import corpora

BASE = "pocket/mlm-bert"

# The natural STS set in four parts, as the yearly STS tasks come in parts from different sources.
PARTS = {
    "rewordings": ("paraphrase", "detail"),
    "contradictions": ("contradiction, same words", "contradiction, other words"),
    "drift": ("drift",),
    "strangers": ("topic", "unrelated"),
}


def mean_cosine(x) -> float:
    """Mean cosine of all pairs of different rows, the usual measure of anisotropy.

    Parameters
    ----------
    x : array or tensor, shape (n, d)
        Embeddings of unrelated sentences, n ≥ 2.

    Returns
    -------
    float
        About 0 where directions are spread evenly, 1 where all rows point one way.

    Source: Ethayarajh (2019), § 3.3, there for the contextual vectors of random words.
    """
    unit = unit_rows(as_embeddings(x))
    n = len(unit)
    if n < 2:
        raise ValueError(f"different rows are compared: at least two are wanted, given {n}")
    total = unit.sum(axis=0)  # |Σ u|² sums all n² cosines; the n of a row with itself are 1
    return float((total @ total - n) / (n * (n - 1)))


def geometry(encode, pairs) -> dict[str, float]:
    """Alignment, uniformity and mean cosine of an encoder, as SimCSE measures them.

    Parameters
    ----------
    encode : callable
        List of n strings to an (n, d) array.
    pairs : DataFrame
        sentence1, sentence2, score: an STS set. Pairs with a score above 4 are the positives of
        the alignment; all sentences together give the uniformity, and the first sentences, which
        are drawn independently, the mean cosine.

    Returns
    -------
    dict
        ``alignment``, ``uniformity``, ``mean_cosine``.

    Source: SimCSE § 2.3 (Eqs. 2 and 3) and § 7.
    """
    positive = (pairs["score"] > 4).to_numpy()
    if not positive.any():
        raise ValueError("no pair has a score above 4: there is nothing to align")
    first = as_embeddings(encode(list(pairs["sentence1"])))
    second = as_embeddings(encode(list(pairs["sentence2"])))
    return {
        "alignment": alignment(first[positive], second[positive]),
        "uniformity": uniformity(np.concatenate([first, second])),
        "mean_cosine": mean_cosine(first),
    }


def cosines(encode, pairs) -> np.ndarray:
    """Cosine of each pair of an STS set, shape (n,)."""
    first = as_embeddings(encode(list(pairs["sentence1"])))
    return paired_cosine(first, as_embeddings(encode(list(pairs["sentence2"]))))


def remembered(encode):
    """The same encoder with a memory, so that no text is embedded twice.

    For an encoder that is trained no further: what it remembers does not change.

    Parameters
    ----------
    encode : callable
        List of n strings to an (n, d) array.

    Returns
    -------
    callable
    """
    memory = {}

    def lookup(texts):
        new = [text for text in dict.fromkeys(texts) if text not in memory]
        if new:
            memory.update(zip(new, as_embeddings(encode(new)), strict=True))
        return np.stack([memory[text] for text in texts])

    return lookup


def whitened(encode, sentences, dims=None):
    """An encoder followed by the whitening that is fitted on its embeddings of `sentences`.

    Parameters
    ----------
    encode : callable
    sentences : list of str
        Unlabelled text, more sentences than the embeddings have dimensions.
    dims : int, optional
        Directions to keep; all by default.

    Returns
    -------
    callable
        List of n strings to an (n, dims) array.
    """
    mean, matrix = whitening(encode(list(sentences)), dims)
    return lambda texts: (as_embeddings(encode(texts)) - mean) @ matrix


def in_parts(pairs) -> dict:
    """An STS set of the pocket world, cut into the parts that `PARTS` names by how pairs arose."""
    return {
        name: pairs[pairs["kind"].isin(kinds)].reset_index(drop=True)
        for name, kinds in PARTS.items()
    }


def write_sts(folder, parts, task="STS12") -> Path:
    """Write STS pairs in SentEval's layout, for `evaluation.evaluate_sts`.

    Parameters
    ----------
    folder : path
        Gets ``STS/<task>-en-test/STS.input.<part>.txt`` and ``STS.gs.<part>.txt``.
    parts : dict of str to DataFrame
        sentence1, sentence2, score.
    task : "STS12" to "STS16"

    Returns
    -------
    Path
        `folder`, which is what `evaluate_sts` takes.
    """
    place = Path(folder) / "STS" / f"{task}-en-test"
    place.mkdir(parents=True, exist_ok=True)
    for name, pairs in parts.items():
        lines = pairs["sentence1"] + "\t" + pairs["sentence2"]
        for kind, column in (("input", lines), ("gs", pairs["score"].map(repr))):
            text = "".join(f"{line}\n" for line in column)
            (place / f"STS.{kind}.{name}.txt").write_text(text, encoding="utf-8")
    return Path(folder)


@ledger.measure(
    "01-anisotropy", "01-anisotropy-drop", "01-unsupervised-gain", "01-supervised-gain",
    "01-uniformity", "01-supervised-alignment", "01-whitening-gain", "01-whitening-below-simcse",
    "01-aggregations-differ",
    reads=("data/pocket/mlm-bert",),
)  # fmt: skip
def measure_chapter(seed: int) -> dict[str, float]:
    """All of chapter 1's claims for one seed: of the training sets and of training itself."""
    plain, labelled = tiers.get("pocket").simcse_unsupervised, tiers.get("pocket").simcse_supervised
    sentences = corpora.premises(plain.sentences, seed)
    encoders = {"masked LM": models.load_encoder(BASE, device="cpu")}
    encoders["unsupervised"] = training.train_unsupervised_simcse(
        models.load_encoder(BASE, device="cpu"), sentences,
        **options(plain), seed=seed, progress=False,
    )  # fmt: skip
    encoders["supervised"] = training.train_supervised_simcse(
        models.load_encoder(BASE, device="cpu"),
        corpora.triplets(labelled.sentences, seed),
        **options(labelled), seed=seed, progress=False,
    )  # fmt: skip
    encode = {name: remembered(encoder.encode) for name, encoder in encoders.items()}
    encode["whitening"] = whitened(encode["masked LM"], sentences[:5000])
    return values(encode)


def options(settings) -> dict:
    """A tier's SimCSE settings as keyword arguments of the training functions."""
    names = "batch_size learning_rate epochs max_steps tau max_length projection".split()
    return {name: getattr(settings, name) for name in names}


def values(encode) -> dict[str, float]:
    """The values of chapter 1's claims.

    Parameters
    ----------
    encode : dict of str to callable
        The encoders "masked LM", "whitening", "unsupervised", "supervised".

    Returns
    -------
    dict of str to float
        By claim.
    """
    dev, test = corpora.sts("natural", "dev", n=1000), corpora.sts("natural", "test")
    wanted = "masked LM", "whitening", "unsupervised", "supervised"
    encode = {name: encode[name] for name in wanted}
    shape = {name: geometry(one, dev) for name, one in encode.items()}
    sts = {
        name: score_sts(one, {"natural": _with_parts(test)}).iloc[0]
        for name, one in encode.items()
    }
    simcse, base = sts["unsupervised"], sts["masked LM"]
    three = simcse[["all", "mean", "wmean"]]
    return {
        "01-anisotropy": shape["masked LM"]["mean_cosine"],
        "01-anisotropy-drop":
            shape["masked LM"]["mean_cosine"] - shape["unsupervised"]["mean_cosine"],
        "01-unsupervised-gain": simcse["all"] - base["all"],
        "01-supervised-gain": sts["supervised"]["all"] - simcse["all"],
        "01-uniformity": shape["unsupervised"]["uniformity"] - shape["masked LM"]["uniformity"],
        "01-supervised-alignment":
            shape["supervised"]["alignment"] - shape["unsupervised"]["alignment"],
        "01-whitening-gain": sts["whitening"]["all"] - base["all"],
        "01-whitening-below-simcse": simcse["all"] - sts["whitening"]["all"],
        "01-aggregations-differ": three.max() - three.min(),
    }  # fmt: skip


def _with_parts(pairs):
    part = {kind: name for name, kinds in PARTS.items() for kind in kinds}
    return pairs.assign(subset=pairs["kind"].map(part))
