"""Conversations in a tokenizer's own chat template: what an instruct model is asked with."""

from __future__ import annotations

from synthlib import tokens


def write(tokenizer, turns, *, system=None, prefix="") -> str:
    """A conversation in a tokenizer's own template, up to where the model is to answer.

    What a sentence spells of the template's control tokens is parted by a blank, so nobody's text
    ends a turn. There is one begin token, also where a template leaves it to the tokenizer. Where
    templates say today's date, they say a fixed one: a prompt is the same tomorrow; and models that
    can think first are told not to.

    Parameters
    ----------
    tokenizer
        With a chat template.
    turns : sequence of (question, answer)
        The last answer is None.
    system : str, optional
        Left away where a template has no system turn.
    prefix : str
        The beginning of the answer.

    Returns
    -------
    str
    """
    messages = []
    for question, answer in turns:
        messages.append({"role": "user", "content": tokens.parted(tokenizer, [question])[0]})
        if answer is not None:
            messages.append({"role": "assistant", "content": tokens.parted(tokenizer, [answer])[0]})
    text = None
    if system is not None:
        text = _rendered(tokenizer, [{"role": "system", "content": system}, *messages])
    if text is None or system not in text:
        text = _rendered(tokenizer, messages)
    if text is None:
        raise ValueError(
            "the tokenizer's chat template refuses a question and its answer: take the form paper "
            "or examples"
        )
    begin = tokenizer.bos_token
    if begin and not text.startswith(begin) and adds_begin(tokenizer):
        text = begin + text
    return text + prefix


def turn_ends(tokenizer) -> list[int]:
    """The special token that a tokenizer's chat template puts behind an answer, if it does."""
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "@answer@"}]
    _, _, behind = (_rendered(tokenizer, messages, generation=False) or "").rpartition("@answer@")
    places = {behind.find(name): i for i, name in tokens.controls(tokenizer).items()}
    places.pop(-1, None)
    return [places[min(places)]] if places else []


_DAY = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}"  # in place of the clock


def _rendered(tokenizer, messages, generation=True) -> str | None:
    """The messages in the tokenizer's template, None where it refuses them (Gemma's has no system
    turn and says so)."""
    from jinja2 import TemplateError

    try:
        return tokenizer.apply_chat_template(
            messages, chat_template=_DAY + tokenizer.get_chat_template(), tokenize=False,
            add_generation_prompt=generation, enable_thinking=False,
        )  # fmt: skip
    except TemplateError:
        return None


def adds_begin(tokenizer) -> bool:
    """Whether a tokenizer puts its begin token before every text."""
    return tokenizer("a", verbose=False)["input_ids"][:1] == [tokenizer.bos_token_id]
