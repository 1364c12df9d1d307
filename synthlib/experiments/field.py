"""What the chapters on real language share: sentences, labels, and what became of an answer.

The pocket world has an oracle. Real sentences have none: here three rules on the text and an NLI
model stand in its place, and the model errs. So the accuracy of the examiner belongs beside every
share that it has counted, and the examiner is never the judge that a method has used.

What takes minutes is recorded once (`recorder`, `recorded`, `about`: see `recordings`); what a page
runs live it loads with `load`.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from synthlib import curation, judging, models, paths, prompts
from synthlib.experiments.recordings import about, recorded, recorder  # noqa: F401  shared, too
from synthlib.methods import multicsr

KINDS = multicsr.KINDS
LABELS = ("entailment", "neutral", "contradiction")  # the columns of `judging.nli_probabilities`
OUTCOMES = ("right", "copied", "opposite", "neutral", "echo", "broken")
ECHO = 4  # words in a row that only the instruction can have lent
LOOP = 3  # times that three words in a row, or one word at once, come back
LETTERS = 20  # of the longest word that people write
EXAMINER = "laptop/examiner"
TRIED = 40  # captions on which settings and worked examples were chosen: nothing is counted there


# ------------------------------------------------------------------ models
def load(role: str, settings=None, *, name: str | None = None, device=None, seed: int = 0):
    """A model of a tier's settings, or None where it cannot be had; that is said in a line.

    Parameters
    ----------
    role : str
        "generator"; "judge", "discriminator" or "examiner" (NLI models); "encoder", "guide" or
        "teacher" (sentence encoders).
    settings : of `tiers`, optional
        A method's; its field of that name says which model. The examiner is no setting: by default
        it is "laptop/examiner".
    name : str, optional
        Another model in its place.
    device : str or torch.device, optional
        Default: the CPU for models of the tiers pocket and laptop, whose outputs are recorded
        there, else the best there is.
    seed : int
        Of the worked examples that a generator is shown.

    Returns
    -------
    (model, tokenizer), or for a sentence encoder the encoder, or None
        The generator is asked as the settings say (form, shots, register).

    Raises
    ------
    ValueError
        For another role, and one that the settings have no model for.
    """
    loaders = {"generator": functools.partial(_generator, seed=seed), "encoder": _encoder}
    loaders |= dict.fromkeys(("judge", "discriminator", "examiner"), _nli)
    loaders |= dict.fromkeys(("guide", "teacher"), _frozen)
    if role not in loaders:
        raise ValueError(f"a role is one of {', '.join(loaders)}, got {role!r}")
    name = name or getattr(settings, role, None) or (EXAMINER if role == "examiner" else None)
    if name is None:
        raise ValueError(f"{type(settings).__name__} has no {role}: give name=…")
    if device is None and str(name).startswith(("pocket/", "laptop/")):
        device = "cpu"
    try:
        return loaders[role](name, settings, device)
    except OSError as error:
        print(f"{role}: {' '.join(str(error).split())}")
        return None


def _generator(name, settings, device, *, seed):
    form = getattr(settings, "form", None)
    asked = {key: getattr(settings, key, None) for key in ("shots", "register")} | {"seed": seed}
    examples = {key: value for key, value in asked.items() if value is not None}
    if form in prompts.FORMS:  # has no worked examples
        examples = {}
    return models.load_generator(name, device=device, form=form, examples=examples)


def _encoder(name, settings, device):
    return models.load_encoder(name, pooling=getattr(settings, "pooling", None), device=device)


def _frozen(name, settings, device):
    return models.load_encoder(name, device=device)


def _nli(name, settings, device):
    return models.load_nli(name, device=device)


# ------------------------------------------------------------------ data/field
@functools.cache
def _read(name):
    return pd.read_csv(paths.DATA / "field" / f"{name}.csv", keep_default_na=False)


def sentences(register: str | None = None) -> list[str]:
    """The book's own sentences, of one register or of all, in their order."""
    table = _read("sentences")
    return list(table["sentence"][table["register"].eq(register) if register else slice(None)])


def captions(*, tried: bool | None = None) -> list[str]:
    """The book's plain captions, in their order: all, or only those on which something was chosen
    (the first `TRIED`), or only the others."""
    first, last = {None: (0, None), True: (0, TRIED), False: (TRIED, None)}[tried]
    return list(_read("captions")["sentence"])[first:last]


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
    """Whether a text is no sentence by its looks: fewer than two words, a word of more than
    `LETTERS` letters, one word `LOOP` times at once, or three words in a row that stand in it
    `LOOP` times."""
    words = _words(text)
    loops = runs(text, 3)
    return (
        len(words) < 2
        or max(map(len, words)) > LETTERS
        or any(len(set(run)) == 1 for run in runs(text, LOOP))
        or max(loops.values(), default=0) >= LOOP
    )


def echoes(text: str, premise: str, instruction: str) -> bool:
    """Whether a text repeats the instruction: `ECHO` words in a row stand in both, and not in the
    premise."""
    lent = runs(instruction, ECHO) & runs(text, ECHO)
    return bool(set(lent) - set(runs(premise, ECHO)))


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


def runs(text: str, length: int) -> Counter:
    """So many words in a row, as tuples, and how often each stands in a text."""
    words = _words(text)
    return Counter(tuple(words[i : i + length]) for i in range(len(words) - length + 1))


def _bare(text):
    return curation.folded(text).rstrip(".!? ")
