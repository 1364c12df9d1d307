"""Every prompt of the three papers, in two wordings and four forms.

``"paper"`` is the text that the paper prints, word for word, with its appendix or table named.
``"pocket"`` is a short lower-case form of the same request for the pocket laboratory's small
models, which were pre-trained on exactly these forms (`synthlib.world.pretraining`). Two more
forms ask instruct models in the paper's words: ``"chat"`` as turns of the tokenizer's own chat
template, ``"examples"`` as a plain text of worked examples that is to be continued by a line.
`form_of` says which one a model gets.

Prompts are plain strings; functions put sentences and demonstrations into them. How an answer is
read is in `synthlib.answers`.
"""

from __future__ import annotations

import csv
import functools
import re
from random import Random
from types import MappingProxyType
from weakref import WeakKeyDictionary

from synthlib import chats, paths

FORMS = ("paper", "pocket")  # the wordings of the tables below
ALL_FORMS = (*FORMS, "chat", "examples")

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


# ------------------------------------------------------------------ forms
# What stands before a sentence and before its answer in a plain text of examples.
CUES = MappingProxyType({
    "entailment": ("Sentence", "Also true"),
    "contradiction": ("Sentence", "Not true"),
    "positive": ("Original", "Positive"),
    "negative": ("Original", "Negative"),
    "directional": ("Sentence", "Result"),
    "step": ("Sentence", "Result"),
})  # fmt: skip
ONE_SENTENCE = "Answer with one sentence and nothing else."  # a chat's system turn
ONE_NUMBER = "Answer with a number and nothing else."
# Of what is said to be similar, by the definitions of the scale in the STS tasks: 2 is not the same
# but shares details, 1 is about the same subject.
SCORES = (
    ("entailment", 4.0), ("other", 0.0), ("contradiction", 2.0), ("neutral", 1.0), ("anchor", 5.0),
)  # fmt: skip


# Of the worked examples in data/field; there is none of a question. The plain ones, for small
# models, stand in a prompt where they are named alone.
REGISTERS = (
    "caption", "news", "instruction", "dialogue", "statement", "review", "message", "plain",
)  # fmt: skip


class Form(str):
    """A form by its name, with what it takes to write in it.

    Parameters
    ----------
    name : "paper", "pocket", "chat" or "examples"
    tokenizer : optional
        Of a chat: its template writes the turns.
    shots : int, optional
        Worked examples of a request that has none of its own, as many as the register has at most:
        in "examples" 4, in "chat" 0 (or so many turns before the question). The other two forms
        have none.
    seed : int
        Of the choice of worked examples.
    register : str, optional
        Worked examples of one of `REGISTERS` alone ("caption": 8 of the 20; "plain": 6 more).
    prefix : str
        What a chat's answer begins with: the model goes on from it.
    """

    def __new__(cls, name, tokenizer=None, *, shots=None, seed=0, register=None, prefix=""):
        if name not in ALL_FORMS:
            raise ValueError(f"unknown prompt form {name!r}: the forms are {', '.join(ALL_FORMS)}")
        if name == "chat" and getattr(tokenizer, "chat_template", None) is None:
            raise ValueError(
                "the form chat needs a tokenizer with a chat template: give one that has it, or "
                "take the form paper or examples"
            )
        if name in FORMS and (shots or register):
            raise ValueError(
                f"the form {name} has no worked examples: shots and register are for the forms "
                "examples and chat"
            )
        if register not in (None, *REGISTERS):
            raise ValueError(f"register must be one of {', '.join(REGISTERS)}, got {register!r}")
        form = super().__new__(cls, name)
        form.tokenizer, form.seed, form.register, form.prefix = tokenizer, seed, register, prefix
        form.shots = {"examples": 4}.get(name, 0) if shots is None else shots
        there = len(_of_register(register)) if form.shots else 0
        if not 0 <= form.shots <= there:
            of = f"register {register}" if register else "data/field"
            raise ValueError(
                f"there are {there} worked examples of {of}: shots must be from 0 to {there}, got "
                f"{form.shots}"
            )
        return form

    def __getnewargs_ex__(self):
        return (str(self), self.tokenizer), {
            "shots": self.shots, "seed": self.seed, "register": self.register,
            "prefix": self.prefix,
        }  # fmt: skip

    @property
    def words(self) -> str:
        """Which wording of the tables: "paper" or "pocket"."""
        return "pocket" if self == "pocket" else "paper"


def form_of(model, tokenizer=None, **options) -> Form:
    """How a model is asked: as its configuration says (``config.synthlib_form``, which the pocket
    models and `models.load_generator` set), else "chat" where its tokenizer has a template for
    that, else "paper". ``options`` are those of `Form`, in place of ``config.synthlib_examples``.
    """
    chat = getattr(tokenizer, "chat_template", None) is not None
    name = getattr(model.config, "synthlib_form", None) or ("chat" if chat else "paper")
    own = {} if name in FORMS else getattr(model.config, "synthlib_examples", {})
    return Form(name, tokenizer, **own | options)


def checked_form(form: str) -> Form:
    """A form from its name, or ValueError with the names there are."""
    return form if isinstance(form, Form) else Form(form)


_ENDS = WeakKeyDictionary()  # tokenizer -> form -> ids


def end_ids(tokenizer, form) -> frozenset[int]:
    """The tokens that end an answer in a form, beside those that end the model's every text.

    Parameters
    ----------
    tokenizer
    form : str

    Returns
    -------
    frozenset of int
        Of a chat: the special token that its template puts behind an answer. Of examples: each
        token with a line's end in it (the decoder keeps what such a token has before that). Of
        other forms none. For ``ends`` of `decoding.generate_mixture`.
    """
    known = _ENDS.setdefault(tokenizer, {})
    if form not in known:
        found = {"chat": chats.turn_ends, "examples": _line_ends}.get(form, lambda _: ())
        known[str(form)] = frozenset(found(tokenizer))
    return known[form]


def _line_ends(tokenizer):
    size = len(tokenizer)
    texts = tokenizer.batch_decode([[i] for i in range(size)], skip_special_tokens=True)
    return [i for i, text in enumerate(texts) if "\n" in text]


# ------------------------------------------------------------------ worked examples
@functools.cache
def own_examples():
    """The rows of the book's own triplets that are meant to stand in prompts."""
    rows = []
    for name in ("triplets", "worked"):
        with (paths.DATA / "field" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows += [row for row in csv.DictReader(file) if row["example"] == "yes"]
    return tuple(rows)


def _of_register(register):
    return [
        row for row in own_examples()
        if register == row["register"] or (register is None and row["register"] != "plain")
    ]  # fmt: skip


def _key(text):
    return " ".join(re.findall(r"\w+", text.casefold()))


def worked_examples(kind, sentence, count, seed=0, register=None) -> list[tuple[str, str]]:
    """Worked examples for a request: sentences with right answers, from ``data/field``.

    The same for every sentence, so that prompts begin alike, save that a triplet in which the
    sentence itself stands (letters and digits compared) gives way to the next.

    Parameters
    ----------
    kind : "entailment", "contradiction", "positive", "negative", "directional" or "step"
        Positives and rewritten sentences are entailments, negatives contradictions.
    sentence : str
        Of the request.
    count, seed : int
    register : str, optional

    Returns
    -------
    list of at most `count` (sentence, answer)
    """
    column = "contradiction" if kind in ("contradiction", "negative") else "entailment"
    return [(row["anchor"], row[column]) for row in _drawn([sentence], count, seed, register)]


def scored_examples(a, b, count, seed=0, register=None) -> list[tuple[str, str, float]]:
    """Pairs with the score of their kind (`SCORES`), which is ours and no annotator's."""
    rows, pairs = _drawn([a, b], count + 1 if count else 0, seed, register), []
    for i, row in enumerate(rows[:count]):
        kind, score = SCORES[i % len(SCORES)]
        other = rows[(i + 1) % len(rows)]["anchor"] if kind == "other" else row[kind]
        pairs.append((row["anchor"], other, score))
    return pairs


def _drawn(sentences, count, seed, register):
    if not count:
        return []
    rows = _of_register(register)
    own = {_key(text) for text in sentences}
    Random(f"examples {seed}").shuffle(rows)
    columns = ("anchor", "entailment", "neutral", "contradiction")
    return [row for row in rows if own.isdisjoint(_key(row[c]) for c in columns)][:count]


# ------------------------------------------------------------------ requests
def generation(
    instruction: str,
    sentence: str,
    *,
    form: str = "paper",
    demonstrations: tuple[tuple[str, str], ...] = (),
    kind: str | None = None,
) -> str:
    """Prompt that asks for an entailment or a contradiction of a sentence.

    Parameters
    ----------
    instruction : str
        One of `ENTAILMENT` or `CONTRADICTION`, or a noisy variant of it.
    sentence : str
        The premise.
    form : one of `ALL_FORMS`
    demonstrations : sequence of (premise, hypothesis)
        Worked examples put before the premise (MultiCSR, Appendix G).
    kind : "entailment" or "contradiction", optional
        What a noisy instruction stood for, where `worked_examples` are wanted.

    Returns
    -------
    str
    """
    form = checked_form(form)
    pairs = [*demonstrations, (sentence, None)]
    if form == "pocket":
        shots = [f"input : {x} output :" + (f" {y} ." if y is not None else "") for x, y in pairs]
        return f"{instruction} . " + " ".join(shots)
    if form == "paper":
        shots = [f"Input: {x}\nOutput:" + (f" {y}" if y is not None else "") for x, y in pairs]
        return f"{instruction}\n" + "\n".join(shots)
    kind = kind or ("entailment" if instruction in ENTAILMENT["paper"] else
                    "contradiction" if instruction in CONTRADICTION["paper"] else None)  # fmt: skip
    if kind is None and (form == "examples" or form.shots):
        raise ValueError(f"is {instruction[:80]!r} for an entailment or a contradiction? Say kind=")
    return _asked(form, kind, instruction, sentence, demonstrations,
                  lambda x: f"{instruction}\nInput: {x}")  # fmt: skip


def variation(sentence: str, kind: str, *, form: str = "paper") -> str:
    """Prompt that asks for a "positive" or a "negative" variation of a sentence (ART, Table 1)."""
    form = checked_form(form)
    template = {"positive": ART_POSITIVE, "negative": ART_NEGATIVE}[kind][form.words]
    if form in FORMS:
        return template.format(sentence=sentence)
    head = template.partition(" Original: ")[0]
    return _asked(form, kind, head, sentence, (), lambda x: template.format(sentence=x))


def rewriting(sentence: str, method: str = "directional", *, form: str = "paper", steps=32) -> str:
    """Prompt that asks for the next sentence of a ranking list, or for all of it.

    Parameters
    ----------
    sentence : str
    method : "directional", "step" or "at_once"
        `RANKING`, `RANKING_STEP`, or `RANKING_LIST`, which holds its own worked example and so is
        the paper's text in the form "examples" too.
    form : one of `ALL_FORMS`
    steps : int
        Sentences of a list that is asked for at once.

    Source: ranking sentences, Appendix A.
    """
    form = checked_form(form)
    tables = {"directional": RANKING, "step": RANKING_STEP, "at_once": RANKING_LIST}
    template = tables[method][form.words].replace("{steps}", str(steps))

    def ask(sentence):
        return template.replace("{sentence}", sentence)

    if method == "at_once" and form == "chat":
        return chats.write(form.tokenizer, [(ask(sentence), None)])
    if method == "at_once" or form in FORMS:
        return ask(sentence)
    head = template.partition(" Directly answer")[0].partition("\n")[0]
    return _asked(form, method, head, sentence, (), ask)


def rewriting_by_example(sentence: str, method: str = "directional", *, form: str = "paper") -> str:
    """`rewriting`, with worked examples that say the same in other words, as it asks for.

    The entailments that other requests show (`worked_examples`) leave things out, and a list that
    is written after them leaves its anchor at once.

    Parameters
    ----------
    sentence : str
    method : "directional" or "step"
    form : one of `ALL_FORMS`
        Shots of it are drawn from ``data/field/rewritten.csv`` by its seed; the sentence's own
        example gives way to the next. Where it has none, or names a register, this is `rewriting`.
    """
    form = checked_form(form)
    if form in FORMS or not form.shots or form.register:
        return rewriting(sentence, method, form=form)
    pairs = [pair for pair in rewritten() if _key(sentence) not in map(_key, pair)]
    Random(f"examples {form.seed}").shuffle(pairs)
    template = {"directional": RANKING, "step": RANKING_STEP}[method][form.words]
    head = template.partition(" Directly answer")[0].partition("\n")[0]
    return _asked(form, method, head, sentence, pairs[: form.shots],
                  lambda x: template.replace("{sentence}", x))  # fmt: skip


@functools.cache
def rewritten():
    """The book's own (sentence, the same in other words), for `rewriting_by_example`."""
    with (paths.DATA / "field" / "rewritten.csv").open(encoding="utf-8", newline="") as file:
        return tuple((row["sentence"], row["rewritten"]) for row in csv.DictReader(file))


def _asked(form, kind, head, sentence, demonstrations, ask):
    """A request for one sentence as a chat or as a plain text of worked examples."""
    shots = demonstrations or worked_examples(
        kind, sentence, form.shots, form.seed, form.register
    )
    pairs = [*shots, (sentence, None)]
    if form == "chat":
        turns = [(ask(x), y) for x, y in pairs]
        return chats.write(form.tokenizer, turns, system=ONE_SENTENCE, prefix=form.prefix)
    before, after = CUES[kind]
    lines = [f"{before}: {x}\n{after}:" + (f" {y}" if y is not None else "") for x, y in pairs]
    return "\n".join([head, *lines])


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
    form : one of `ALL_FORMS`
    demonstrations : sequence of (sentence, sentence, score)
        Scored examples put before the pair (Table 1's "w/ ICL").
    """
    form = checked_form(form)
    template = SIMILARITY[form.words]
    if not demonstrations:
        demonstrations = scored_examples(a, b, form.shots, form.seed, form.register)
    if form == "chat":
        turns = [(template.format(a=x, b=y), f"{s:.1f}") for x, y, s in demonstrations]
        turns.append((template.format(a=a, b=b), None))
        return chats.write(form.tokenizer, turns, system=ONE_NUMBER, prefix=form.prefix)
    if form != "pocket":
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
