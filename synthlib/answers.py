"""What of a model's answer is the sentence that it was asked for.

Instruct models say more than they are asked: "Sure, here is a paraphrase:", quotation marks, a
number, the cue of the prompt, a note on what they did. `read` takes that off by one rule, and says
what it took, so that a run can report how often.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from synthlib import prompts

TAKEN = ("thought", "mark", "echo", "preamble", "number", "quotes", "rest")

# Spelled as text: a turn's end in the templates of the common families, and a line's end.
_MARK = re.compile(
    r"<\|(?:im_end|im_start|end|eot_id|endoftext|end_of_text|user|assistant|system)\|>"
    r"|</?(?:end_of_turn|start_of_turn)>|</s>|\[/?INST\]|\\n(?![a-z])|<br ?/?>"
)
_CUE = re.compile(
    rf"\A(?:\*\*)?(?:{'|'.join(sorted({after for _, after in prompts.CUES.values()}))})"
    r"(?:\*\*)?:(?:\*\*)?(?!\S)", re.I,
)  # fmt: skip
_THOUGHT = re.compile(r"\s*<think>.*?(?:</think>|\Z)", flags=re.DOTALL)
_OPENER = r"(?:sure(?: thing)?|certainly|of course|absolutely|okay|ok|yes|no problem|great)"
_WHAT = (
    r"(?:sentences?|phrases?|paraphrases?|paraphrased|versions?|variations?|outputs?|answers?|"
    r"examples?|responses?|results?|rewrit\w+|rewrites?|rephras\w+|revis\w+|contradict\w+|"
    r"entail\w+|hypothesis|alternatives?|expressions?|statements?|scores?)"
)
# "Sure, here is a possible paraphrase of it:", "This is the new sentence:"
_HERE = (
    rf"(?:{_OPENER}\s*[,.!:–—-]+\s*)?(?:here(?:'s|’s| is| are)|this is)\s[^:.!?\n]{{0,80}}?"
    rf"\b{_WHAT}\b[^:.!?\n]{{0,60}}"
)
# "Output:", "The rewritten sentence is:", "Paraphrase of the given sentence:", "A:"
_LABEL = (
    rf"(?:(?:the|a|an|one|my|your|new|possible|rewritten|revised|modified|positive|negative)\s)*"
    rf"{_WHAT}(?:\s{_WHAT})?(?:\s(?:of|for|to)\s(?:the|this|your)\s(?:\w+\s)?{_WHAT})?"
    rf"(?:\s(?:is|would be|could be))?|(?:positive|negative|a)"
)
_PREAMBLE = re.compile(
    rf"(?:\*\*)?(?:{_HERE}|(?:{_OPENER}\s*[,.!]+\s*)?(?:{_LABEL}))(?:\*\*)?:(?:\*\*)?(?!\S)", re.I
)
_GIVEN = re.compile(r"\W{0,3}(?:original|input|given|premise)(?:\s\w+)?\W{0,3}:", re.I)
_OPENED = re.compile(rf"{_OPENER}\s*[,.!:–—-]*\s*", flags=re.IGNORECASE)
_QUOTES = (
    ('"', '"'), ("“", "”"), ("„", "“"), ("«", "»"), ("‘", "’"), ("'", "'"), ("```", "```"),
    ("`", "`"), ("**", "**"), ("*", "*"),
)  # fmt: skip


def read(text: str, prefix: str = "") -> tuple[str, tuple[str, ...]]:
    """The sentence of an answer, and what was taken off: this is the rule.

    In this order, and again until nothing changes:

    thought   what stands between ``<think>`` and ``</think>`` at the beginning
    mark      a turn's end that is spelled as text, or a line's end (``\\n`` as two characters,
              ``<br>``), with all behind it; at the beginning the mark alone
    echo      the prefix of the answer, or a cue of `prompts.CUES` with its colon, at the beginning:
              "Not true:"
    preamble  an introduction with a colon behind it, which speaks of a sentence, a paraphrase, an
              answer and the like ("Sure, here is a paraphrase of it:", "Output:"); a first line
              that ends in a colon, is nothing but "Sure!" or repeats what was given ("Original
              sentence: …"), where another line follows
    number    a numbering or a bullet, by the rule of `prompts.read_list`; of several items the
              first one stays
    quotes    a pair of quotation marks, backticks or asterisks around the whole, also where the
              full stop stands behind them, or the first one is never closed. Marks that close and
              open in between belong to the sentence: ``"Yes," she said, "now."``
    rest      further lines

    A sentence without these is left as it is, blanks at its ends aside. What begins like one of
    them is not told from it: a sentence such as "The answer is: no" loses its beginning.

    Parameters
    ----------
    text : str
        As decoded.
    prefix : str
        What the answer was made to begin with (`prompts.Form`), an introduction to it.

    Returns
    -------
    sentence : str
        Possibly empty.
    taken : tuple of str
        Of `TAKEN`, each at most once.
    """
    taken, before = set(), None
    while before != text:
        before = text = text.strip()
        for name, step in _STEPS.items():
            shorter = step(text, prefix).strip()
            if shorter != text:
                taken.add(name)
                text = shorter
    return text, tuple(name for name in TAKEN if name in taken)


def read_all(texts: Sequence[str], prefix: str = "") -> tuple[list[str], Counter]:
    """`read` of each text, and in how many of them each kind of thing was taken off."""
    found = [read(text, prefix) for text in texts]
    return [text for text, _ in found], Counter(name for _, taken in found for name in taken)


def reader(form, taken: Counter | None = None):
    """What reads an answer in a form: None in the forms "paper" and "pocket", whose answers are
    the papers' and stay as they are. Into `taken` goes in how many answers what was taken off."""
    if form in prompts.FORMS:
        return None

    def sentence(text):
        found, names = read(text, form.prefix)
        if taken is not None:
            taken.update(names)
        return found

    return sentence


def _thought(text, prefix):
    return _THOUGHT.sub("", text, count=1) if text.lstrip().startswith("<think>") else text


def _mark(text, prefix):
    found = _MARK.search(text)
    if not found:
        return text
    return text[: found.start()] if text[: found.start()].strip() else text[found.end() :]


def _echo(text, prefix):
    if prefix.strip() and (found := re.match(rf"{re.escape(prefix.strip())}(?!\w)", text)):
        return text[found.end() :]
    return _CUE.sub("", text, count=1)


def _preamble(text, prefix):
    first, _, rest = text.partition("\n")
    spare = first.rstrip(" *_").endswith(":") or _OPENED.fullmatch(first) or _GIVEN.match(first)
    if rest.strip() and spare:
        return rest
    found = _PREAMBLE.match(text)
    return text[found.end() :] if found else text


def _number(text, prefix):
    found = prompts.read_list(text)
    lines = [line for line in text.splitlines() if line.strip()]
    # Without a number or bullet the list is the lines themselves (or none, of one line).
    if not found or [line.strip() for line in lines][: len(found)] == found:
        return text
    return found[0]


def _quotes(text, prefix):
    for opening, closing in _QUOTES:
        if not text.startswith(opening):
            continue
        inner = text[len(opening) :]
        body, end = (inner[:-1], inner[-1]) if inner[-1:] in (".", "!", "?") else (inner, "")
        if not body.endswith(closing):
            body, end = inner, ""
        if body.endswith(closing) and len(body) >= len(closing):
            body = body[: -len(closing)]
            if not _again(body, opening, closing):
                return body + (end if body[-1:] not in (".", "!", "?") else "")
        elif opening in ('"', "“") and not _again(inner, opening, closing):
            return inner
    return text


def _again(body, opening, closing):
    """Whether a mark stands in a text too, apostrophes aside."""
    body = re.sub(r"(?<=\w)['’](?=\w)", "", body) if closing in ("'", "’") else body
    return opening in body or closing in body


def _rest(text, prefix):
    return text.partition("\n")[0]


_STEPS = {
    "thought": _thought, "mark": _mark, "echo": _echo, "preamble": _preamble, "number": _number,
    "quotes": _quotes, "rest": _rest,
}  # fmt: skip
