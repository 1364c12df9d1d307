"""What chapter 16 measures: a text file before it becomes training data, and an examination of it.

A trial has the generator write for a few sentences of a domain; a judge scores, an examiner sorts.
An examination is made of labelled triplets: which of two texts lies nearer to its anchor? What
measures nothing but shared words says how easy it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from synthlib import curation, judging, models, tiers
from synthlib.experiments import ch13, field
from synthlib.methods import multicsr

PLAIN = "plain"  # captions.csv; the registers are those of sentences.csv
REGISTERS = (
    PLAIN, "caption", "news", "question", "instruction", "dialogue", "statement", "review",
    "message",
)  # fmt: skip
TRIAL = 8  # sentences of a register in the recording
EXAMINED = ("easy", "hard")


# ------------------------------------------------------------------ a text file
def domain(register: str) -> list[str]:
    """Sentences of the book's own of one register, none that settings were chosen on."""
    if register != PLAIN:
        return field.sentences(register)
    return field.captions(tried=False)


def look(sentences: Sequence[str], tokenizer=None) -> dict:
    """What a list of sentences looks like, before anything is written from it.

    Parameters
    ----------
    sentences : sequence of n ≥ 1 str
    tokenizer : optional
        The generator's.

    Returns
    -------
    dict
        sentences; again (how many of them stood there before, by `curation.folded`); words of the
        shortest, the middle one and the longest; questions (percent that end in a question mark);
        pieces a word (of the tokenizer: a language that it has hardly seen falls to pieces).
    """
    sentences = list(sentences)
    if not sentences:
        raise ValueError("there is no sentence to look at")
    words = np.array([len(text.split()) for text in sentences])
    found = {
        "sentences": len(sentences),
        "again": len(sentences) - len({curation.folded(text) for text in sentences}),
        "shortest": int(words.min()), "middle": float(np.median(words)),
        "longest": int(words.max()),
        "questions": 100 * float(np.mean([text.rstrip().endswith("?") for text in sentences])),
    }  # fmt: skip
    if tokenizer is not None:
        rows = tokenizer(sentences, add_special_tokens=False)["input_ids"]
        found["pieces a word"] = sum(map(len, rows)) / max(int(words.sum()), 1)
    return found


# ------------------------------------------------------------------ a trial
def trial(generator, judge, examiner, premises, settings, *, seed=0, **options) -> pd.DataFrame:
    """Write both texts for a few premises, and say of each what it is.

    Parameters
    ----------
    generator : (model, tokenizer)
    judge : (model, tokenizer)
        Scores as the method would: an NLI model where the settings' scoring is "nli", else the
        generator.
    examiner : (model, tokenizer)
        Sorts: an NLI model that the method does not use.
    premises : sequence of str
    settings : tiers.MultiCSR
    seed : int
        Draws the instructions.
    **options
        Of `multicsr.write`.

    Returns
    -------
    DataFrame
        Two rows a premise, all entailments first: kind, premise, output, label, outcome (of
        `field.outcomes`), score (a or b), kept (whether the triplet is, by the settings' rule).
    """
    table = ch13.written(generator, judge, examiner, premises, settings, seed=seed, **options)
    triplets = ch13.triplets_of(table)
    rule = curation.Thresholds(settings.alpha, settings.beta, settings.gamma)
    keep = rule.keep(triplets["a"], triplets["b"]) & multicsr.usable(triplets)
    table = table.assign(kept=[*keep, *keep])
    return table[["kind", "premise", "output", "label", "outcome", "score", "kept"]]


@field.recorder(
    "16-registers",
    needs=("laptop/smollm2-135m-instruct", "laptop/judge", "laptop/examiner"),
)
def registers(seed: int) -> pd.DataFrame:
    """`trial` of each register of the book's own sentences, on the tier laptop.

    Parameters
    ----------
    seed : int
        Draws the sentences and the instructions.

    Returns
    -------
    DataFrame
        register, then as `trial`.
    """
    settings = tiers.get("laptop").multicsr
    generator = field.load("generator", settings)
    judge, examiner = field.load("judge", settings), field.load("examiner")
    parts = [
        trial(generator, judge, examiner, drawn(name, seed), settings, seed=seed).assign(
            register=name
        )
        for name in REGISTERS
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[["register", *table.columns.drop("register")]]


def drawn(register: str, seed: int, n: int = TRIAL) -> list[str]:
    """The sentences of a register that a trial is made of."""
    some = domain(register)
    rng = np.random.default_rng((seed, REGISTERS.index(register)))
    return [some[i] for i in rng.choice(len(some), n, replace=False)]


def summary(table: pd.DataFrame, by: str | list[str] = "register") -> pd.DataFrame:
    """Percent of both kinds that are right, of the contradictions that only copy, and of triplets
    that are kept; and percent of the kept triplets in which both texts are right.

    Parameters
    ----------
    table : DataFrame
        Of `trial`, with the column or columns `by`. Seeds that are not among these count together.
    by : str or list of str

    Returns
    -------
    DataFrame
        One row a value of `by`, in the order of the table.
    """
    rows = {}
    for name, part in table.groupby(by, sort=False):
        right = part["outcome"].eq("right")
        second = part["kind"].eq("contradiction")
        first = part[~second].reset_index(drop=True)
        other = part[second].reset_index(drop=True)
        kept = first["kept"].astype(bool)
        both = first["outcome"].eq("right") & other["outcome"].eq("right")
        rows[name] = {
            "triplets": len(first),
            "entailments right": 100 * right[~second].mean(),
            "contradictions right": 100 * right[second].mean(),
            "contradictions copied": 100 * other["outcome"].eq("copied").mean(),
            "kept": 100 * kept.mean(),
            "right of the kept": 100 * both[kept].mean() if kept.any() else float("nan"),
        }
    return pd.DataFrame(rows).T.rename_axis(by).astype({"triplets": int})


# ------------------------------------------------------------------ an examination
def examination(triplets: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Two questions of every labelled triplet: which text lies nearer to the anchor?

    Parameters
    ----------
    triplets : DataFrame
        n ≥ 2 rows with anchor, entailment, contradiction.
    seed : int
        Draws the other row of the easy question.

    Returns
    -------
    DataFrame
        anchor, same (the entailment), easy (the entailment of another row), hard (the
        contradiction: it speaks of the same things).
    """
    n = len(triplets)
    if n < 2:
        raise ValueError(f"an examination needs two triplets or more, got {n}")
    shift = np.random.default_rng(seed).integers(1, n, size=n)
    others = (np.arange(n) + shift) % n
    same = triplets["entailment"].to_numpy()
    return pd.DataFrame({
        "anchor": triplets["anchor"].to_numpy(), "same": same, "easy": same[others],
        "hard": triplets["contradiction"].to_numpy(),
    })  # fmt: skip


def shared_words(a: Sequence[str], b: Sequence[str]) -> np.ndarray:
    """Words that two texts share, by all words of both (Jaccard), row by row: no meaning at all."""
    found = []
    for one, other in zip(a, b, strict=True):
        first, second = (set(re.findall(r"\w+", curation.folded(text))) for text in (one, other))
        found.append(len(first & second) / max(len(first | second), 1))
    return np.array(found)


def cosine(encode: Callable) -> Callable:
    """Similarity of texts by an encoder, row by row."""

    def similar(a, b):
        return judging.cosine(encode, list(zip(a, b, strict=True)))

    return similar


def marks(similar: dict[str, Callable], exam: pd.DataFrame) -> pd.DataFrame:
    """How often what follows from the anchor is nearer to it than what does not.

    Parameters
    ----------
    similar : dict
        Name to a function of two lists of n texts that gives n similarities.
    exam : DataFrame
        From `examination`.

    Returns
    -------
    DataFrame
        by, question ("easy" or "hard"), rows, right (percent, a tie counts one half), low and high
        (ends of Wilson's interval of 95 %).
    """
    rows = []
    for name, of in similar.items():
        near = of(exam["anchor"], exam["same"])
        for question in EXAMINED:
            far = of(exam["anchor"], exam[question])
            right = np.where(np.isclose(near, far, atol=1e-7), 0.5, near > far)
            interval = binomtest(round(right.sum()), len(exam)).proportion_ci(method="wilson")
            share = (right.mean(), interval.low, interval.high)
            rows.append((name, question, len(exam), *(100 * float(x) for x in share)))
    return pd.DataFrame(rows, columns=["by", "question", "rows", "right", "low", "high"])


def frozen(name: str) -> Callable:
    """`cosine` of an encoder by its name."""
    return cosine(ch13.encode(models.load_encoder(name, device="cpu")))
