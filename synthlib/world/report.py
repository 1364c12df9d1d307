"""What the small models can and cannot do: the measurements behind chapter 2.

The functions of the first half are called by the chapter; those under "ledger" repeat them over
seeds. The oracle judges what the models did; nothing here trains on its answers, save the
supervised encoders, whose method uses a labelled corpus.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pandas as pd

from .. import ledger
from ..curation import folded
from . import corpora, oracle
from .grammar import parse, realize
from .scenes import random_scene

KINDS = ("entailment", "contradiction")
# What became of an instruction. A copy is counted apart: it is entailed, and it teaches nothing.
OUTCOMES = ("right", "copied", "opposite", "neutral", "broken")


def outcome(premise: str, output: str, kind: str) -> str:
    """What became of an instruction, as the oracle sees it.

    Parameters
    ----------
    premise, output : str
        What the generator was given and what it wrote.
    kind : "entailment" or "contradiction"
        What the instruction asked for.

    Returns
    -------
    str
        One of `OUTCOMES`: "broken" when the output is no sentence of the world, "copied" when it
        is the premise again, "right" when its label is `kind`, else "neutral" or "opposite".
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}: the kinds are {', '.join(KINDS)}")
    label = oracle.nli(premise, output)
    if label is None:
        return "broken"
    if folded(output) == folded(premise):
        return "copied"
    if label == kind:
        return "right"
    return "neutral" if label == "neutral" else "opposite"


def follow(model, tokenizer, premises: Sequence[str], **options) -> pd.DataFrame:
    """Give a generator each premise under each of the eight instructions, and judge the answers.

    Parameters
    ----------
    model, tokenizer
        A generator that understands the pocket prompts.
    premises : sequence of n sentences
    **options
        Of `decoding.generate_mixture`; by default greedy, as many tokens as the pocket tier allows.

    Returns
    -------
    DataFrame
        8 n rows: kind, instruction (1 to 4), premise, output, outcome.
    """
    from .. import decoding, prompts, tiers

    options.setdefault("max_new_tokens", tiers.get("pocket").multicsr.max_new_tokens)
    rows = [
        (kind, number, instruction, premise)
        for kind, table in zip(KINDS, (prompts.ENTAILMENT, prompts.CONTRADICTION), strict=True)
        for number, instruction in enumerate(table["pocket"], 1)
        for premise in premises
    ]
    asked = [prompts.generation(request, premise, form="pocket") for *_, request, premise in rows]
    written = decoding.generate_mixture(model, tokenizer, [asked], [1.0], **options)
    return pd.DataFrame(
        [
            (kind, number, premise, output, outcome(premise, output, kind))
            for (kind, number, _, premise), output in zip(rows, written, strict=True)
        ],
        columns=["kind", "instruction", "premise", "output", "outcome"],
    )


def shares(
    answers: pd.DataFrame, by: Sequence[str] = ("kind", "instruction"), outcomes=OUTCOMES
) -> pd.DataFrame:
    """Percent of each outcome within each group of answers, absent outcomes as 0.

    Parameters
    ----------
    answers : DataFrame
        As `follow` returns it.
    by : sequence of str
        The columns that make a group.
    outcomes : sequence of str
        Those that there may be, in their order.

    Returns
    -------
    DataFrame
        The columns of `by`, outcome, percent: a row for each outcome a group.
    """
    by = list(by)
    counted = answers.groupby(by, sort=False)["outcome"].value_counts(normalize=True)
    wide = counted.unstack(fill_value=0.0).reindex(columns=list(outcomes), fill_value=0.0)
    return (100 * wide).stack().rename("percent").reset_index()


def spearman(scores: Sequence[float | None], truth: Sequence[float]) -> float:
    """Spearman correlation in points over the pairs whose score could be read; NaN without any."""
    frame = pd.DataFrame({"score": scores, "truth": truth}, dtype=float).dropna()
    return 100 * frame["score"].corr(frame["truth"], method="spearman")


def pairs_of(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """The first two columns of a set as pairs of texts."""
    return list(frame.iloc[:, :2].itertuples(index=False, name=None))


def values_of_answers(answers: pd.DataFrame, name: str) -> dict[str, float]:
    """The ledger's values for one generator's answers: `name` is "t5" or "llama"."""
    right = 100 * answers["outcome"].eq("right")
    found = {f"02-{name}-{kind}": right[answers["kind"] == kind].mean() for kind in KINDS}
    found[f"02-{name}-well-formed"] = 100 * answers["outcome"].ne("broken").mean()
    if name == "t5":
        found["02-t5-plain"] = right.mean()
        for (kind, number), group in right.groupby([answers["kind"], answers["instruction"]]):
            found[f"02-t5-{kind}-{number}"] = group.mean()
    return {claim: float(value) for claim, value in found.items()}


# ------------------------------------------------------------------ one model, one seed
# The weights of generators, judge and discriminator come from one training; their seeds draw other
# premises and pairs. The SimCSE encoders are trained anew for every seed.
PREMISES, JUDGED, LABELLED = 500, 2000, 3000  # premises, scored pairs, NLI pairs a seed


def answered(name: str, seed: int) -> pd.DataFrame:
    """What becomes of the eight instructions on a seed's premises, by greedy decoding.

    Parameters
    ----------
    name : str
        A generator: a pocket name, or the folder of another one that was trained as they were.
    seed : int

    Returns
    -------
    DataFrame
        As `follow` returns it, 8 rows a premise.
    """
    from .. import models

    generator = models.load_generator(name, device="cpu")
    return follow(*generator, corpora.premises(PREMISES, 1000 + seed))


def judge(name: str, seed: int) -> float:
    """Spearman of a generator's expected scores with the oracle on a seed's pairs, in points."""
    from .. import judging, models

    test = corpora.sts("natural", "test", JUDGED, seed)
    generator = models.load_generator(name, device="cpu")
    return spearman(judging.score_similarity(*generator, pairs_of(test)), test["score"])


def accuracy(name: str, seed: int) -> float:
    """Percent of a seed's unseen pairs that an NLI model labels as the oracle does."""
    from .. import judging, models

    test = corpora.nli(LABELLED, seed)
    found = judging.nli_probabilities(*models.load_nli(name, device="cpu"), pairs_of(test))
    labels = [oracle.LABELS[i] for i in found.argmax(axis=1)]
    return float(100 * (test["label"] == labels).mean())


def order(name: str, kinds: Sequence[str], seed: int) -> dict[str, float]:
    """Spearman of a mean-pooled encoder's cosines with the oracle, in points, by set of a seed."""
    from .. import models

    encoder = models.load_encoder(name, pooling="mean", device="cpu")
    return _sts(encoder, {kind: corpora.sts(kind, "test", seed=seed) for kind in kinds})


def _sts(encoder, frames: dict[str, pd.DataFrame]) -> dict[str, float]:
    """Spearman of an encoder's cosines, in points, by set."""
    from ..evaluation import score_sts

    scored = score_sts(encoder.encode, frames)
    return {task: float(value) for task, value in zip(scored["task"], scored["all"], strict=True)}


# ------------------------------------------------------------------ ledger
@ledger.measure("02-oracle-roundtrip", reads=())
def measure_round_trips(seed: int) -> float:
    """Failures among 20,000 sentences that are written and read back."""
    rng = Random(f"report {seed}")
    drawn = (random_scene(rng) for _ in range(20_000))
    return float(sum(parse(realize(scene, rng)) != scene for scene in drawn))


@ledger.measure(
    "02-t5-entailment", "02-t5-contradiction", "02-t5-plain", "02-t5-well-formed",
    "02-t5-entailment-1", "02-t5-entailment-2", "02-t5-entailment-3", "02-t5-entailment-4",
    "02-t5-contradiction-1", "02-t5-contradiction-2", "02-t5-contradiction-3",
    "02-t5-contradiction-4",
    reads=("data/pocket/generator-t5",),
)  # fmt: skip
def measure_t5(seed: int) -> dict[str, float]:
    """How the T5 generator follows the eight instructions, by plain greedy decoding."""
    return values_of_answers(answered("pocket/generator-t5", seed), "t5")


@ledger.measure(
    "02-llama-entailment", "02-llama-contradiction", "02-llama-well-formed",
    reads=("data/pocket/generator-llama",),
)  # fmt: skip
def measure_llama(seed: int) -> dict[str, float]:
    """How the Llama-style generator follows the eight instructions."""
    return values_of_answers(answered("pocket/generator-llama", seed), "llama")


@ledger.measure(
    "02-judge-spearman",
    reads=("data/pocket/generator-t5",),
)
def measure_judge(seed: int) -> float:
    """The T5 generator as a judge of similarity: expected value over the score tokens."""
    return judge("pocket/generator-t5", seed)


@ledger.measure(
    "02-llama-judge-spearman",
    reads=("data/pocket/generator-llama",),
)
def measure_llama_judge(seed: int) -> float:
    """The Llama-style generator as a judge of similarity."""
    return judge("pocket/generator-llama", seed)


@ledger.measure(
    "02-nli-accuracy",
    reads=("data/pocket/nli",),
)
def measure_nli(seed: int) -> float:
    """Accuracy of the NLI cross-encoder on pairs that it has not seen."""
    return accuracy("pocket/nli", seed)


@ledger.measure(
    "02-mlm-bert-natural", "02-mlm-roberta-natural",
    reads=("data/pocket/mlm-bert", "data/pocket/mlm-roberta"),
)  # fmt: skip
def measure_masked(seed: int) -> dict[str, float]:
    """The masked language models, mean-pooled, on three draws of the natural STS set."""
    return {
        f"02-mlm-{shape}-natural": order(f"pocket/mlm-{shape}", ["natural"], seed)["natural"]
        for shape in ("bert", "roberta")
    }


@ledger.measure(
    "02-unsup-bert-natural", "02-unsup-bert-hard", "02-unsup-roberta-natural",
    "02-unsup-roberta-hard", "02-sup-bert-natural", "02-sup-bert-hard", "02-sup-roberta-natural",
    "02-sup-roberta-hard",
    reads=("data/pocket/mlm-bert", "data/pocket/mlm-roberta"),
)  # fmt: skip
def measure_simcse(seed: int) -> dict[str, float]:
    """SimCSE trained anew with this seed, with the settings of the committed encoders."""
    from .. import models, training
    from .build import BUDGET

    test = {kind: corpora.sts(kind, "test") for kind in corpora.STS_KINDS}
    found = {}
    for shape in ("bert", "roberta"):
        for method in ("unsup", "sup"):
            b = BUDGET[f"simcse-{method}"]
            options = dict(
                batch_size=b["batch"], learning_rate=b["lr"], max_steps=b["steps"], seed=seed,
                projection=None, progress=False,
            )  # fmt: skip
            encoder = models.load_encoder(f"pocket/mlm-{shape}", pooling="mean", device="cpu")
            if method == "sup":
                rows = corpora.triplets(b["triplets"], seed=seed)
                training.train_supervised_simcse(encoder, rows, **options)
            else:
                rows = corpora.premises(b["sentences"], seed=seed)
                training.train_unsupervised_simcse(encoder, rows, **options)
            for kind, value in _sts(encoder, test).items():
                found[f"02-{method}-{shape}-{kind}"] = value
    return found
