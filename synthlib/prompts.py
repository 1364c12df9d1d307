"""Every prompt of the three papers, in two forms.

``"paper"`` is the text that the paper prints, word for word, with its appendix or table named.
``"pocket"`` is a short lower-case form of the same request for the pocket laboratory's small
models, which were pre-trained on exactly these forms (`synthlib.world.pretraining`). A model's
configuration says which form it understands (``config.synthlib_form``; absent means ``"paper"``).

Prompts are plain strings; functions put sentences and demonstrations into them.
"""

from __future__ import annotations

import re
from random import Random

FORMS = ("paper", "pocket")

# ------------------------------------------------------------------ MultiCSR, Appendix A
# The same eight instructions as SynCSE's (Zhang et al., 2023), one of each kind drawn at random
# for every premise.
ENTAILMENT = {
    "paper": (
        "Please paraphrase the input sentence or phrase, providing an alternative expression "
        "with the same meaning.",
        "Rewrite the following sentence or phrase using different words and sentence structure "
        "while preserving its original meaning.",
        "Create a sentence or phrase that is also true, assuming the provided input sentence or "
        "phrase is true.",
        "Please provide a concise paraphrase of the input sentence or phrase, maintaining the "
        "core meaning while altering the words and sentence structure. Feel free to omit some of "
        "the non-essential details like adjectives or adverbs.",
    ),
    "pocket": (
        "paraphrase the input sentence providing an alternative expression with the same meaning",
        "rewrite the sentence using different words and structure while preserving its original "
        "meaning",
        "create a sentence that is also true assuming the input sentence is true",
        "provide a concise paraphrase of the input sentence and omit some non-essential details",
    ),
}
CONTRADICTION = {
    "paper": (
        "Revise the provided sentence by swapping, changing, or contradicting some details in "
        "order to express a different meaning, while maintaining the general context and "
        "structure.",
        "Generate a slightly modified version of the provided sentence to express an opposing or "
        "alternate meaning by changing one or two specific elements, while maintaining the "
        "overall context and sentence structure.",
        "Transform the input sentence by adjusting, altering, or contradicting its original "
        "meaning to create a logical and sensible output sentence with a different meaning from "
        "the input sentence.",
        "Generate a sentence that conveys a altering, contrasting or opposite idea to the given "
        "input sentence, while ensuring the new sentence is logical, realistic, and grounded in "
        "common sense.",
    ),
    "pocket": (
        "revise the sentence by changing or contradicting some details to express a different "
        "meaning",
        "generate a slightly modified version that expresses an opposing meaning by changing one "
        "element",
        "transform the input sentence by contradicting its original meaning",
        "generate a sentence that conveys an opposite idea to the input sentence",
    ),
}
# Stage 2 of MultiCSR: the model as a judge of similarity.
SIMILARITY = {
    "paper": (
        "Scoring the semantic similarity of the following sentences between 0.0 and 5.0, 5.0 "
        "means they have the same meaning, 0.0 means they are completely different: "
        "(a) “{a}”, (b) “{b}”:"
    ),
    "pocket": (
        "score the semantic similarity of the following sentences between 0.0 and 5.0 : "
        "(a) {a} (b) {b} :"
    ),
}

# ------------------------------------------------------------------ ART, Table 1
ART_POSITIVE = {
    "paper": (
        "Generate a positive variation of Original Sentence, ensuring it has same meaning, "
        'exhibits different syntactical and grammatical structures. Original: "{sentence}" '
        "Positive:"
    ),
    "pocket": (
        "generate a positive variation ensuring it has same meaning and different grammatical "
        "structures . original : {sentence} positive :"
    ),
}
ART_NEGATIVE = {
    "paper": (
        "Generate a negative variation of Original Sentence, ensuring it has a completely "
        'different meaning, similar syntax and grammar. Original: "{sentence}" Negative:'
    ),
    "pocket": (
        "generate a negative variation ensuring it has a completely different meaning and "
        "similar grammar . original : {sentence} negative :"
    ),
}

# ------------------------------------------------------------------ Ranking sentences, Appendix A
# The prompt of the directionally controlled generation ("Prompt for our method").
RANKING = {
    "paper": (
        "Rewrite the following sentence or phrase using different words and sentence structure "
        "while preserving its original meaning. Directly answer with the rewritten sentence. "
        "Don’t give any explanation or description other than the rewritten sentence.\n"
        "Write a sentence that is entailment with:{sentence}.\n"
        "Result:"
    ),
    "pocket": (
        "rewrite the sentence and write a sentence that is entailment with : {sentence} . result :"
    ),
}
# The two baselines of its Figure 1: step by step, and the whole list at once.
RANKING_STEP = {
    "paper": (
        "Rewrite the following sentence in a way that slightly changes the meaning while keeping "
        "it semantically close. The new sentence should not be an exact paraphrase but should "
        "introduce a subtle variation in meaning. Do not lose the core idea of the original "
        "sentence.\n\n"
        "Here is the sentence: {sentence}\n\n"
        "Your response should be similar in length to the original sentence. Do not explain "
        "yourself or output anything else."
    ),
    "pocket": (
        "rewrite the sentence in a way that slightly changes the meaning . here is the sentence : "
        "{sentence} result :"
    ),
}
RANKING_LIST = {
    # The paper prints 32 and the beginning of one worked example; the number is a parameter here.
    "paper": (
        "Your task is to take an input sentence and generate a sequence of {steps} sentences "
        "that gradually and progressively diverge in meaning from the original sentence. The "
        "final sentence should be completely unrelated to the original sentence.\n\n"
        "Example Input: The cat is sleeping on the warm windowsill.\n\n"
        "Example Output:\n"
        "1. The cat is resting on the cozy windowsill.\n"
        "2. The cat is lying on a soft cushion by the window.\n"
        "3. A small animal is curled up near the window.\n"
        "... [Omit the following sentence list here for conciseness.]\n\n"
        "Here is the sentence: {sentence}\n\n"
        "Each sentence should be similar in length to the original sentence. Do not explain "
        "yourself or output anything else."
    ),
    "pocket": (
        "generate a sequence of {steps} sentences that gradually diverge in meaning . here is "
        "the sentence : {sentence} result :"
    ),
}
LIST_SEPARATOR = " ; "  # between the sentences of a whole list in the pocket form

# PromptBERT's template (Jiang et al., 2022): the hidden state at the mask is the embedding.
PROMPT_POOLING = {
    "paper": 'This sentence : "{sentence}" means {mask} .',
    "pocket": 'this sentence : " {sentence} " means {mask} .',
}


def form_of(model) -> str:
    """Which wording of the prompts a model understands: "paper", or "pocket" if it says so."""
    return getattr(model.config, "synthlib_form", "paper")


def checked_form(form: str) -> str:
    if form not in FORMS:
        raise ValueError(f"unknown prompt form {form!r}: the forms are {', '.join(FORMS)}")
    return form


def generation(
    instruction: str,
    sentence: str,
    *,
    form: str = "paper",
    demonstrations: tuple[tuple[str, str], ...] = (),
) -> str:
    """Prompt that asks for an entailment or a contradiction of a sentence.

    Parameters
    ----------
    instruction : str
        One of `ENTAILMENT` or `CONTRADICTION`, or a noisy variant of it.
    sentence : str
        The premise.
    form : "paper" or "pocket"
    demonstrations : sequence of (premise, hypothesis)
        Worked examples put before the premise (MultiCSR, Appendix G).

    Returns
    -------
    str
    """
    pairs = [*demonstrations, (sentence, None)]
    if checked_form(form) == "pocket":
        shots = [f"input : {x} output :" + (f" {y} ." if y is not None else "") for x, y in pairs]
        return f"{instruction} . " + " ".join(shots)
    shots = [f"Input: {x}\nOutput:" + (f" {y}" if y is not None else "") for x, y in pairs]
    return f"{instruction}\n" + "\n".join(shots)


def similarity(
    a: str,
    b: str,
    *,
    form: str = "paper",
    demonstrations: tuple[tuple[str, str, float], ...] = (),
) -> str:
    """Prompt that asks for the similarity of two sentences between 0.0 and 5.0.

    Parameters
    ----------
    a, b : str
    form : "paper" or "pocket"
    demonstrations : sequence of (sentence, sentence, score)
        Scored examples put before the pair (Table 1's "w/ ICL").
    """
    template = SIMILARITY[checked_form(form)]
    if form == "paper":
        shots = [template.format(a=x, b=y) + f" {s:.1f}\n" for x, y, s in demonstrations]
        return "".join(shots) + template.format(a=a, b=b)
    request, pair = template.split(" : ", 1)
    shots = [pair.format(a=x, b=y) + f" {s:.1f} ." for x, y, s in demonstrations]
    return " ".join([request, ":", *shots, pair.format(a=a, b=b)])


# A number in front of a sentence: "1." "1)" "(1)" "[1]" "1:" "1 -" "#1" "①" "Step 1:" "**1.**"; not
# "3.5 million", "1:30" or "2 dogs", which belong to a sentence.
_NUMBERED = re.compile(
    r"""[ \t]* (?:[-*+•‣◦–—>][ \t]+ | \#{1,6}[ \t]+)? (?P<bold>\*\*|__)? [ \t]*
    (?: [(\[](?P<closed>\d{1,4})[)\]]
      | (?:step|sentence|variation|version|item|line|option|no\.|nr\.)[ \t]*(?P<word>\d{1,4})
        (?P<after>[ \t]*[.):,–—-]) (?!\d)
      | \#(?P<hash>\d{1,4})[.):]?(?=[ \t*_]|$)
      | (?P<plain>\d{1,4}) (?: [ \t]*[.):．、] (?!\d) | [ \t]+[-–—](?=[ \t]|$) )
      | (?P<circled>[①-⑳❶-❿])
    ) (?P<text>.*)""",
    flags=re.VERBOSE | re.IGNORECASE,
)
_BULLET = re.compile(r"[ \t]*[-*+•‣◦–—][ \t]+(?P<text>.*)")


def read_list(text: str, *, form: str = "paper") -> list[str]:
    """Sentences of an answer to `RANKING_LIST`.

    Parameters
    ----------
    text : str
        In the pocket form sentences with " ; " between them. In the paper form a sentence a line.
        Where lines are numbered, in one of the ways in which chat models number, these are the
        sentences and other lines, such as an introduction, are left out. Numbers are a numbering
        only if they count: they begin with 0 or 1 (or the next one follows), each is above the one
        before by at most ten, or they begin again at 1. Else lines with a bullet are the sentences;
        else, of several lines, all but those that end in a colon.
    form : "paper" or "pocket"

    Returns
    -------
    list of str
        In the order of the text, without numbers and blanks; empty ones are left out.
    """
    if checked_form(form) == "pocket":
        found = text.split(LIST_SEPARATOR.strip())
        return [sentence.strip() for sentence in found if sentence.strip()]
    lines = [line for line in text.splitlines() if line.strip()]
    found = _numbered(lines)
    found = found or [m["text"] for m in map(_BULLET.fullmatch, lines) if m]
    if not found and len(lines) > 1:
        found = [line for line in lines if not line.rstrip().endswith(":")]
    return [sentence.strip() for sentence in found if sentence.strip()]


def _numbered(lines):
    """What stands behind the numbers of the lines that count."""
    marked = [match for match in map(_NUMBERED.fullmatch, lines) if match]
    numbers, found, last = [_number(match) for match in marked], [], None
    for i, (match, number) in enumerate(zip(marked, numbers, strict=True)):
        if last is None:
            counts = number <= 1 or numbers[i + 1 : i + 2] == [number + 1]
        else:
            counts = number == 1 or last < number <= last + 10
        if counts:
            last, sentence = number, match["text"]
            if match["bold"]:
                sentence = sentence.replace(match["bold"], "", 1)
            found.append(sentence)
    return found


def _number(match) -> int:
    if match["circled"]:
        first = "①" if match["circled"] <= "⑳" else "❶"
        return ord(match["circled"]) - ord(first) + 1
    return int(match["closed"] or match["word"] or match["hash"] or match["plain"])


NOISE = ("reorder", "mask", "truncate", "opposite")


def noisy_instruction(
    instruction: str, kind: str, rng: Random, *, opposites: tuple[str, ...] = (), mask="<mask>"
) -> str:
    """A noisy variant of an instruction (MultiCSR, § 5.2).

    Parameters
    ----------
    instruction : str
    kind : "reorder", "mask", "truncate" or "opposite"
        Shuffle the words, mask 15 % of them, keep the first half, or ask for the opposite.
    rng : random.Random
    opposites : sequence of str
        The instructions of the other kind, one of which is drawn (for "opposite").
    mask : str
        What stands for a masked word.
    """
    tokens = instruction.split()
    if kind == "reorder":
        rng.shuffle(tokens)
        return " ".join(tokens)
    if kind == "mask":
        return " ".join(mask if rng.random() < 0.15 else token for token in tokens)
    if kind == "truncate":
        return " ".join(tokens[: max(1, len(tokens) // 2)])
    if kind == "opposite":
        if not opposites:
            raise ValueError("the opposite of an instruction is drawn from `opposites`: pass some")
        return rng.choice(opposites)
    raise ValueError(f"unknown noise {kind!r}: the kinds are {', '.join(NOISE)}")


def pocket_words() -> set[str]:
    """Every word that a pocket prompt can contain besides its sentences."""
    pieces = [*ENTAILMENT["pocket"], *CONTRADICTION["pocket"], "input : output : . ;"]
    for template in (
        SIMILARITY,
        ART_POSITIVE,
        ART_NEGATIVE,
        RANKING,
        RANKING_STEP,
        RANKING_LIST,
        PROMPT_POOLING,
    ):
        pieces.append(template["pocket"].format(a="", b="", sentence="", steps="", mask=""))
    return set(" ".join(pieces).split())
