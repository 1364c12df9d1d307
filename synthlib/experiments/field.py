"""What the chapters on real language share: sentences, labels, and what became of an answer.

The pocket world has an oracle. Real sentences have none: here three rules on the text and an NLI
model stand in its place, and the model errs. So the accuracy of the examiner belongs beside every
share that it has counted, and the examiner is never the judge that a method has used.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd

from synthlib import curation, judging, paths, prompts
from synthlib.methods import multicsr

KINDS = multicsr.KINDS
LABELS = ("entailment", "neutral", "contradiction")  # the columns of `judging.nli_probabilities`
OUTCOMES = ("right", "copied", "opposite", "neutral", "echo", "broken")
ECHO = 4  # words in a row that only the instruction can have lent
LOOP = 3  # times that three words in a row come back


# ------------------------------------------------------------------ data/field
@cache
def _read(name):
    return pd.read_csv(paths.DATA / "field" / f"{name}.csv", keep_default_na=False)


def sentences(register: str | None = None) -> list[str]:
    """The book's own sentences, of one register or of all, in their order."""
    table = _read("sentences")
    return list(table["sentence"][table["register"].eq(register) if register else slice(None)])


def triplets(*, examples: bool | None = None) -> pd.DataFrame:
    """The book's own labelled triplets.

    Parameters
    ----------
    examples : bool, optional
        Only those that prompts show as worked examples, or only the others.

    Returns
    -------
    DataFrame
        id, register, anchor, entailment, neutral, contradiction, change, example.
    """
    table = _read("triplets")
    if examples is None:
        return table.copy()
    return table[table["example"].eq("yes") == examples].reset_index(drop=True)


# ------------------------------------------------------------------ what became of an answer
def broken(text: str) -> bool:
    """Whether a text is no sentence by its looks: fewer than two words, or three words in a row
    that stand in it `LOOP` times."""
    words = _words(text)
    runs = Counter(_runs(words, 3))
    return len(words) < 2 or max(runs.values(), default=0) >= LOOP


def echoes(text: str, premise: str, instruction: str) -> bool:
    """Whether a text repeats the instruction: `ECHO` words in a row stand in both, and not in the
    premise."""
    lent = _runs(_words(instruction), ECHO) & _runs(_words(text), ECHO)
    return bool(set(lent) - set(_runs(_words(premise), ECHO)))


def outcomes(answers: pd.DataFrame, labels: Sequence[str]) -> list[str]:
    """What became of each instruction.

    Parameters
    ----------
    answers : DataFrame
        n rows: kind ("entailment" or "contradiction"), instruction (its text), premise, output.
    labels : n of `LABELS`
        An examiner's, of premise and output.

    Returns
    -------
    list of n of `OUTCOMES`
        In this order: "broken" (`broken`), "copied" where the output is the premise by
        `curation.folded`, marks at its end aside, "echo" (`echoes`); else by the label "right",
        "neutral" or "opposite".
    """
    found = []
    rows = zip(
        answers["kind"], answers["instruction"], answers["premise"], answers["output"], labels,
        strict=True,
    )  # fmt: skip
    for kind, instruction, premise, output, label in rows:
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
        if label not in LABELS:
            raise ValueError(f"a label must be one of {', '.join(LABELS)}, got {label!r}")
        if broken(output):
            found.append("broken")
        elif _bare(output) == _bare(premise):
            found.append("copied")
        elif echoes(output, premise, instruction):
            found.append("echo")
        elif label == kind:
            found.append("right")
        else:
            found.append("neutral" if label == "neutral" else "opposite")
    return found


def labels(examiner, pairs: Sequence[tuple[str, str]], **options) -> list[str]:
    """The likeliest label of each pair under an NLI model; a pair with a blank text is neutral."""
    pairs = list(pairs)
    held = [i for i, pair in enumerate(pairs) if all(text.strip() for text in pair)]
    found = ["neutral"] * len(pairs)
    if held:
        read = judging.nli_probabilities(*examiner, [pairs[i] for i in held], **options)
        for i, k in zip(held, np.argmax(read, axis=1), strict=True):
            found[i] = LABELS[k]
    return found


def answers(generator, examiner, asked, *, omega=0.3, alone=False, **options) -> pd.DataFrame:
    """Write an entailment and a contradiction of every premise, and sort them.

    Parameters
    ----------
    generator : (model, tokenizer)
    examiner : (model, tokenizer)
        An NLI model that no method has used on these texts.
    asked : DataFrame
        n rows from `multicsr.ask`.
    omega : float
        0 is plain decoding.
    alone : bool
        Follow the noisy instructions themselves, by plain decoding.
    **options
        Of `multicsr.write`.

    Returns
    -------
    DataFrame
        2 n rows: kind, instruction (its text), premise, output, label, outcome. Entailments first,
        both kinds in the order of `asked`.
    """
    if alone:
        omega = 0.0
        asked = asked.assign(**{f"{kind}_prompt": asked[f"{kind}_noisy"] for kind in KINDS})
    written = multicsr.write(generator, asked, omega=omega, **options)
    form = prompts.form_of(*generator)
    texts = {"entailment": prompts.ENTAILMENT, "contradiction": prompts.CONTRADICTION}
    table = pd.concat(
        [
            pd.DataFrame({
                "kind": kind,
                "instruction": [texts[kind][form.words][number - 1] for number in asked[kind]],
                "premise": list(written["anchor"]), "output": list(written[column]),
            })
            for kind, column in zip(KINDS, ("positive", "negative"), strict=True)
        ],
        ignore_index=True,
    )  # fmt: skip
    table["label"] = labels(examiner, list(zip(table["premise"], table["output"], strict=True)))
    return table.assign(outcome=outcomes(table, table["label"]))


def alike(texts: Sequence[str]) -> float:
    """Percent of texts that somebody else has too, by `curation.folded`: how far a generator has
    collapsed into a few sentences."""
    texts = [curation.folded(text) for text in texts]
    count = Counter(texts)
    return 100 * float(np.mean([count[text] > 1 for text in texts])) if texts else float("nan")


# ------------------------------------------------------------------ words
def _words(text):
    return re.findall(r"\w+(?:['’]\w+)*", curation.folded(text))


def _runs(words, length):
    return Counter(tuple(words[i : i + length]) for i in range(len(words) - length + 1))


def _bare(text):
    return curation.folded(text).rstrip(".!? ")
