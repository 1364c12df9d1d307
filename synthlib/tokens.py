"""Text to tokens: what somebody writes is text, also where it spells a special token.

A sentence such as "The <s>old</s> price is 5." is to be read as its characters. A tokenizer by
itself takes `<s>` in it for its own control token: to a model a text ends there, or another begins,
and some models stop with an error.
"""

from __future__ import annotations

import re

# Texts may ask a T5 for what belongs in a gap, or hold the mask of a noisy instruction.
_PLACES = re.compile(r"<extra_id_\d+>")


def encode(tokenizer, *columns, prompts=False, **options):
    """What ``tokenizer(*columns, **options)`` gives, with special tokens in the texts as text.

    A text that spells none is the tokenizer's own business. One that does is read without looking
    for special tokens; where a vocabulary holds their spelling as a word too (a unigram or a
    word-level one does), a blank parts it.

    Parameters
    ----------
    tokenizer
    *columns : one or two lists of n texts
        The texts, or the two texts of each pair.
    prompts : bool
        The texts are prompts: in these a mask and T5's gaps stay what they are (an instruction may
        hold them), and one that begins with a special token means those that it spells (a chat
        template has written it).
    **options
        Of the tokenizer; not for tensors and padding, which `tokenizer.pad` adds.

    Returns
    -------
    BatchEncoding of lists

    Raises
    ------
    ValueError
        For a text whose special token can only be read as one.
    """
    columns = [list(column) for column in columns]
    found = tokenizer(*columns, **{"verbose": False} | options)
    known = controls(tokenizer, prompts)
    names = _names(known)
    for i, row in enumerate(zip(*columns, strict=True)):
        if not any(name in text for text in row for name in names):
            continue
        if prompts and row[0].lstrip().startswith(names):
            continue
        plain = [[_as_text(tokenizer, text, known, names)] for text in row]
        one = tokenizer(*plain, split_special_tokens=True, **{"verbose": False} | options)
        for key in found:
            found[key][i] = one[key][0]
    return found


def padded(tokenizer, *columns, **options):
    """`encode` as padded tensors [n, longest]."""
    rows = encode(tokenizer, *columns, **options)
    return tokenizer.pad(rows, return_tensors="pt", verbose=False)


def parted(tokenizer, texts) -> list:
    """Texts with a blank in each special token that they spell: "< s>"; what is no text stays."""
    names = _names(controls(tokenizer))
    return [_parted(text, names) if isinstance(text, str) else text for text in texts]


def _names(known):
    return tuple(sorted(set(known.values()), key=len, reverse=True))


def _parted(text, names):
    for name in names:
        text = text.replace(name, f"{name[:1]} {name[1:]}")
    return text


def _as_text(tokenizer, text, known, names):
    """A text in which the tokenizer finds no special token once it is told to split them."""
    for candidate in (text, _parted(text, names)):
        ids = tokenizer(
            candidate, add_special_tokens=False, split_special_tokens=True, verbose=False
        )["input_ids"]
        if known.keys().isdisjoint(ids):
            return candidate
    spelled = ", ".join(name for name in names if name in text)
    raise ValueError(
        f"{text[:200]!r} spells {spelled}, which this model's tokenizer can only read as a control "
        "token: take it out of the text"
    )


def controls(tokenizer, prompts=False) -> dict[int, str]:
    """Ids and spelling of a tokenizer's special tokens, but for the unknown one, which any word may
    be, and in prompts for the mask and T5's gaps."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    names = {i: token.content for i, token in added.items() if token.special}
    names |= dict(zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True))
    stay = {tokenizer.unk_token, tokenizer.mask_token if prompts else None}
    stay |= {x for x in names.values() if prompts and _PLACES.fullmatch(x)}
    return {i: x for i, x in names.items() if x and x not in stay}


def end_ids(model, tokenizer) -> set[int]:
    """The tokens that end a text: the tokenizer's, and those of the model's generation_config.

    Parameters
    ----------
    model, tokenizer

    Returns
    -------
    set of int
        Possibly empty: then a text ends by its length alone.
    """
    generation = getattr(model, "generation_config", None)
    ends = set()
    for value in (tokenizer.eos_token_id, getattr(generation, "eos_token_id", None)):
        if value is not None:
            ends.update([value] if isinstance(value, int) else map(int, value))
    return ends
