"""Decoding from a weighted mixture of contexts.

A row of the batch is one text to write. It is written from K prompts at once: at each step the
model reads all of them, each followed by what has been written so far, and the next token comes
from the weighted sum of their K next-token logits (`mix_logits`). Both decoders of the book are
two lines on this kernel:

- contrastive generation, ``l − ω·l̂`` (MultiCSR, § 3.1): `contrastive_generate`;
- directional decoding, ``(1+λ)·log p − λ·log p′`` (ranking sentences, Eq. 4):
  `directional_generate`, and whole lists by `generate_ranking_lists`.

Logits and log-probabilities of one context differ by a constant, so a weighted sum of logits and
one of log-probabilities give the same distribution after the softmax: the kernel adds logits.
"""

from __future__ import annotations

import copy
import functools
import inspect
import math
import warnings
import weakref
from collections.abc import Callable, Collection, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from synthlib import answers, memory, windows
from synthlib import prompts as _prompts
from synthlib import tokens as _tokens


class NotNumbers(ValueError):
    """A model's logits are not numbers."""


def mix_logits(logits, weights, *, plausibility=None):
    """Weighted sum of the next-token logits of K contexts.

    Parameters
    ----------
    logits : tensor [K, B, V]
        Logits (or log-probabilities) of K contexts for B rows; context 0 is the main one.
    weights : sequence of K floats
        ``(1, −ω)`` is contrastive generation, ``(1+λ, −λ)`` directional decoding.
    plausibility : float in (0, 1], optional
        Keep only tokens with ``p_main ≥ plausibility · max p_main`` (Li et al., 2023, Eq. 2).

    Returns
    -------
    tensor [B, V]
        Mixed logits; −inf where a token is implausible or −inf in the main context.

    Raises
    ------
    ValueError
        If the shapes do not fit, no weight differs from zero, or ``plausibility`` is out of range.
    """
    logits, weights = torch.as_tensor(logits), [float(w) for w in weights]
    if logits.ndim != 3 or len(logits) != len(weights):
        raise ValueError(
            f"logits must have the shape [{len(weights)}, B, V], one slice for each of the "
            f"{len(weights)} weights; got {list(logits.shape)}"
        )
    _check_weights(weights, plausibility)
    main = logits[0] if logits.is_floating_point() else logits[0].float()
    mixed = sum(w * x for w, x in zip(weights, logits, strict=True) if w != 0)
    floor = torch.finfo(main.dtype).min
    if plausibility is not None:
        floor = main.amax(-1, keepdim=True) + math.log(plausibility)
    return mixed.masked_fill(main < floor, -math.inf)


def generate_mixture(
    model,
    tokenizer,
    contexts: Sequence[Sequence[str]],
    weights: Sequence[float],
    *,
    max_new_tokens: int,
    do_sample: bool = False,
    temperature: float = 1.0,
    plausibility: float | None = None,
    batch_size: int = 32,
    seed: int | Sequence | None = None,
    progress: bool = False,
    ends: Collection[int] = (),
) -> list[str]:
    """Write one text for each row from a weighted mixture of K contexts.

    The mixture's own logits decide, `temperature` and `plausibility` alone shape them: what a
    model's generation_config says of sampling (top_k, top_p, repetition_penalty, num_beams, …) is
    the library's sampler's, not this one's. What it says of the tokens of a text is obeyed or
    refused, see `check_settings`.

    Rows of similar length share a batch; in a batch every distinct prompt is read once, however
    many rows and contexts use it, and so is each beginning that prompts of a causal model have in
    common (worked examples, an instruction; each kind and context its own, see `beginnings`); the
    K·B running texts advance in one forward pass a step, each with its own key/value cache and
    positions, and a row that has ended leaves the batch. A context of weight 0 is not computed.
    Where a model's own logits do not come out so, by a trial once a model, less is put together;
    see `way_of`.

    A row does not depend on the rows beside it: a batch gives the same texts as its rows one by
    one, also when sampling (up to rounding: a different batch size adds floating-point numbers in
    another order, which can turn an exact tie).

    Parameters
    ----------
    model, tokenizer
        A causal model (Llama, GPT-2, Qwen, …) or an encoder–decoder (T5), and its tokenizer. Where
        a causal tokenizer appends an end token to a prompt, it is taken off again; special tokens
        that a prompt spells are read as text, see `prompt_ids`.
    contexts : K lists of n texts
        ``contexts[k][i]`` is the prompt of context k for row i; context 0 is the main one.
    weights : K floats
        Weight of each context's logits.
    max_new_tokens : int
        A text ends at the model's end token or after so many tokens.
    do_sample : bool
        Draw from ``softmax(mixed / temperature)`` instead of taking the most probable token.
    temperature : float > 0
        Only used when sampling.
    plausibility : float in (0, 1], optional
        See `mix_logits`; judged at temperature 1.
    batch_size : int
        Rows in a batch (K times as many prompts). It is halved where memory runs out.
    seed : int or sequence of n seeds, optional
        Used when sampling. Row i draws from its own stream ``numpy.random.default_rng((seed, i))``,
        or ``default_rng(seed[i])`` where a sequence gives each row its own; ``None`` takes a seed
        from torch's global generator.
    progress : bool
        Show a progress bar.
    ends : token ids
        That end a text beside the model's own (`prompts.end_ids`). What such a token holds before
        a line's end is the last of the text.

    Returns
    -------
    list of n str
        Without the prompt, special tokens and surrounding blanks; possibly empty.

    Raises
    ------
    ValueError
        Uneven contexts or weights, an empty prompt, a prompt that (with ``max_new_tokens``, for a
        causal model) does not fit the model's window, an option out of range, a model whose
        logits are not numbers, or one whose generation_config asks for what is not done here.
    """
    contexts = [list(c) if not isinstance(c, str) else c for c in contexts]
    weights = [float(w) for w in weights]
    rows = _check_contexts(contexts, weights)
    _check_weights(weights, plausibility)
    _check_options(max_new_tokens, batch_size, do_sample, temperature)
    check_settings(model)
    seeds = _row_seeds(seed, rows) if do_sample else None
    used = _used(weights, plausibility)
    weights = [weights[k] for k in used]
    texts = [list(column) for column in zip(*(contexts[k] for k in used), strict=True)]
    tokens = tokenize(model, tokenizer, texts, used, max_new_tokens)
    way = way_of(model, tokenizer, tokens.values(), max_new_tokens)

    # Rows of one length stand together, and rows that share their prompts stand side by side.
    def place(i):
        return max(len(tokens[t]) for t in texts[i]), sorted(texts[i])

    def write(batch):
        return _write_batch(
            model, tokenizer, [texts[i] for i in batch], tokens, weights, max_new_tokens,
            plausibility, None if seeds is None else [seeds[i] for i in batch], temperature, way,
            ends,
        )  # fmt: skip

    order = sorted(range(rows), key=place, reverse=True)
    written = [""] * rows
    with inference(model), tqdm(total=rows, disable=not progress, unit="text") as bar:
        for batch, ids in memory.batches(write, order, batch_size, "texts at a time", model=model):
            for i, row in zip(batch, ids, strict=True):
                written[i] = _text(tokenizer, row)
            bar.update(len(batch))
    return written


def contrastive_generate(
    model, tokenizer, prompts, noisy_prompts, *, omega: float = 0.3, **options
) -> list[str]:
    """Generate with ``l − ω·l̂`` (MultiCSR, § 3.1): the prompt's logits less those of a noisy one.

    The weights sum to 1 − ω, so ``l − ω·l̂ = (1−ω)·[g·l + (1−g)·l̂]`` with ``g = 1/(1−ω)``: greedy
    decoding is classifier-free guidance at scale g, and sampling differs from it only by the
    temperature. To write both the entailment and the contradiction of a premise, pass both rows in
    one call: they share their two prompts, which are then read once.

    Parameters
    ----------
    model, tokenizer
    prompts, noisy_prompts : n texts each
        Row i is written from ``prompts[i]`` against ``noisy_prompts[i]``.
    omega : float
        Smoothing coefficient ω (the paper: 0.3). 0 is plain decoding; negative values lean towards
        the noisy prompt (Fig. 6).
    **options
        Of `generate_mixture`.

    Returns
    -------
    list of n str
    """
    return generate_mixture(model, tokenizer, [prompts, noisy_prompts], [1.0, -omega], **options)


def directional_generate(
    model, tokenizer, prompts, previous_prompts, *, lam: float = 0.5, **options
) -> list[str]:
    """Generate with ``(1+λ)·log p − λ·log p′`` (ranking sentences, Eq. 4).

    Parameters
    ----------
    model, tokenizer
    prompts, previous_prompts : n texts each
        Prompts that hold x⁽ⁱ⁻¹⁾ and x⁽ⁱ⁻²⁾: the text moves on in the direction that led from the
        second to the first.
    lam : float
        Strength λ of the direction; 0 is plain decoding. The paper's "1.5" is 1 + λ.
    **options
        Of `generate_mixture`.

    Returns
    -------
    list of n str
    """
    return generate_mixture(model, tokenizer, [prompts, previous_prompts], [1 + lam, -lam],
                            **options)  # fmt: skip


def generate_ranking_lists(
    model,
    tokenizer,
    anchors: Sequence[str],
    *,
    max_new_tokens: int,
    steps: int = 32,
    lam: float = 0.5,
    prompt: str | Callable[[str], str] | None = None,
    do_sample: bool = False,
    temperature: float = 1.0,
    plausibility: float | None = None,
    batch_size: int = 32,
    seed: int | Sequence | None = None,
    progress: bool = False,
    ends: Collection[int] = (),
    read: Callable[[str], str] | None = None,
) -> list[list[str]]:
    """Write for each anchor a list of sentences that move away from it step by step.

    Sentence i is written from the prompts that hold sentences i−1 and i−2 (ranking sentences,
    § 3.1), as `directional_generate` does; the first has one predecessor only, so there λ = 0. A
    list ends early where the model writes nothing, and where its last sentence has grown so long
    that the next prompt leaves no room in the model's window.

    The second prompt of a round is the first of the round before, so a round reads only the
    sentences that are new and keeps what it has read (keys and values; of an encoder–decoder the
    encoder's states) for the next one.

    Parameters
    ----------
    model, tokenizer
    anchors : n texts
        First sentence of each list.
    max_new_tokens : int
        Most tokens of a sentence.
    steps : int
        Sentences to write after the anchor (the paper: 32).
    lam : float
        λ of `directional_generate`; 0 is step-by-step generation (Eq. 2).
    prompt : str or callable, optional
        Template in which ``{sentence}`` stands for the sentence, or a function from a sentence to a
        prompt. Default: the paper's prompt (Appendix A) in the form of `prompts.form_of`, with that
        form's ``ends`` and ``read``.
    do_sample, temperature, plausibility
        Of `generate_mixture`.
    batch_size : int
        Lists written side by side. It is halved where memory runs out.
    seed : int or sequence of n seeds, optional
        Used when sampling: sentence i of list j draws from ``default_rng((seed, j, i))``, or
        ``default_rng((seed[j], i))`` where a sequence gives each list its own. So a list does not
        depend on the other anchors' lengths or on ``batch_size``.
    progress : bool
        Show a progress bar over the sentences.
    ends : token ids
        Of `generate_mixture`.
    read : function, optional
        From what the model wrote to its sentence, before the next one is asked for.

    Returns
    -------
    list of n lists of str
        Each the anchor and up to ``steps`` sentences.

    Raises
    ------
    ValueError
        If an anchor is empty, the template lacks ``{sentence}``, ``steps`` < 1 or ``lam`` is not a
        number; and as `generate_mixture`, where a row is the number of a list.
    """
    anchors = list(anchors)
    for i, anchor in enumerate(anchors):
        if not isinstance(anchor, str) or not anchor.strip():
            raise ValueError(f"anchor {i} is {anchor!r}: an anchor must be a text with words in it")
    check_positive(steps=steps)
    if not math.isfinite(lam):
        raise ValueError(f"lam must be a finite number, got {lam}")
    weights = [1.0 + lam, -float(lam)]
    _check_weights(weights, plausibility)
    _check_options(max_new_tokens, batch_size, do_sample, temperature)
    check_settings(model)
    if prompt is None:
        form = _prompts.form_of(model, tokenizer)
        prompt = functools.partial(_prompts.rewriting, form=form)
        ends, read = ends or _prompts.end_ids(tokenizer, form), read or answers.reader(form)
    prompt = _ranking_prompt(prompt)
    seeds = None
    if do_sample:
        seeds = [np.atleast_1d(s).tolist() for s in _row_seeds(seed, len(anchors))]
    lists = [[anchor] for anchor in anchors]
    order = sorted(range(len(anchors)), key=lambda j: len(anchors[j]), reverse=True)
    done = 0  # sentences of the batches before
    total = steps * len(anchors)
    with inference(model), tqdm(total=total, disable=not progress, unit="sentence") as bar:

        def write(batch):
            for j in batch:
                lists[j] = [anchors[j]]  # from the beginning, also where memory ran out
            bar.n, going = done, batch
            tokens, known = {}, _Known()
            for step in range(1, steps + 1):
                heavy = weights if step > 1 else [1.0]
                used = _used(heavy, plausibility)
                last = [[prompt(lists[j][-1])] for j in going]
                try:
                    tokens |= tokenize(model, tokenizer, last, [0], max_new_tokens, going)
                except ValueError:
                    if step == 1:
                        raise
                    # A list that has outgrown the window ends; it stops no other.
                    found = {j: _room_for(model, tokenizer, lists[j][-1], prompt, max_new_tokens)
                             for j in going}  # fmt: skip
                    going = [j for j in going if found[j]]
                    for j in going:
                        tokens |= found[j]
                    if not going:
                        bar.update(len(batch) * (steps - step + 1))
                        break
                way = way_of(model, tokenizer, tokens.values(), max_new_tokens)
                written = _write_batch(
                    model, tokenizer, [[prompt(lists[j][-1 - k]) for k in used] for j in going],
                    tokens, [heavy[k] for k in used], max_new_tokens, plausibility,
                    None if seeds is None else [(*seeds[j], step) for j in going], temperature,
                    way, ends, known,
                )  # fmt: skip
                texts = [_text(tokenizer, row) for row in written]
                texts = texts if read is None else [read(text) for text in texts]
                for j, text in zip(going, texts, strict=True):
                    lists[j] += [text] if text else []
                going = [j for j, text in zip(going, texts, strict=True) if text]
                bar.update(len(batch))
                if not going:
                    bar.update(len(batch) * (steps - step))
                    break

        for batch, _ in memory.batches(write, order, batch_size, "lists at a time", model=model):
            done += steps * len(batch)
    return lists


def _room_for(model, tokenizer, sentence, prompt, room) -> dict:
    """The tokens of a sentence's prompt, none where it leaves no room for an answer."""
    try:
        return tokenize(model, tokenizer, [[prompt(sentence)]], [0], room)
    except ValueError:
        return {}


def generate_lists_at_once(
    model, tokenizer, anchors: Sequence[str], *, max_new_tokens: int, steps: int = 32, **options
) -> list[list[str]]:
    """Ask for each anchor's whole list in one prompt: a baseline of Fig. 1 (ranking sentences).

    Parameters
    ----------
    model, tokenizer
        A model that can write lists. Of the pocket generators the Llama-style one can, for up to
        15 steps; the T5 never learnt to.
    anchors : n texts
    max_new_tokens : int
        Most tokens of a sentence: a list has room for ``steps`` of them with a number or a
        separator each, as far as the model's window allows.
    steps : int
        Sentences to ask for; more are cut off.
    **options
        Of `generate_mixture`.

    Returns
    -------
    list of n lists of str
        Each the anchor and up to ``steps`` sentences, as they come: repetitions are left in.

    Source: ranking sentences, Appendix A (`prompts.RANKING_LIST`).
    """
    check_positive(steps=steps, max_new_tokens=max_new_tokens)
    anchors, form = list(anchors), _prompts.form_of(model, tokenizer)
    asked = [_prompts.rewriting(x, "at_once", form=form, steps=steps) for x in anchors]
    room, limit = steps * (max_new_tokens + 4), window(model, tokenizer)
    room = min(room, windows.of(model).writes or room)
    if asked and limit and not model.config.is_encoder_decoder:
        longest = max(map(len, prompt_ids(model, tokenizer, asked).values()))
        room = max(1, min(room, limit - longest))
    if form == "chat":  # in a list lines end, too
        options["ends"] = _prompts.end_ids(tokenizer, form)
    texts = generate_mixture(model, tokenizer, [asked], [1.0], max_new_tokens=room, **options)
    return [
        [anchor, *_prompts.read_list(text, form=form.words)[:steps]]
        for anchor, text in zip(anchors, texts, strict=True)
    ]


def _ranking_prompt(prompt) -> Callable[[str], str]:
    """A function from a sentence to its prompt; see `generate_ranking_lists`."""
    if callable(prompt):
        return prompt
    if "{sentence}" not in prompt:
        raise ValueError(f"the prompt template must contain {{sentence}}, got {prompt!r}")
    return lambda sentence: prompt.replace("{sentence}", sentence)


def next_token_logprobs(
    model, tokenizer, prompts, tokens, *, batch_size: int = 32, progress: bool = False
) -> np.ndarray:
    """Log-probabilities of some tokens as the first one that a model writes after each prompt.

    Parameters
    ----------
    model, tokenizer
    prompts : n texts
        Each distinct text is read once.
    tokens : sequence of T token ids
    batch_size : int
    progress : bool

    Returns
    -------
    float array [n, T]

    Raises
    ------
    ValueError
        As `generate_mixture`.
    """
    prompts = list(prompts)
    _check_contexts([prompts], [1.0])
    check_positive(batch_size=batch_size)
    ids = tokenize(model, tokenizer, [[p] for p in prompts], [0], 0)
    way = way_of(model, tokenizer, ids.values(), 1)
    order = sorted(ids, key=lambda text: len(ids[text]), reverse=True)

    def read(batch):
        state = read_prompts(model, [ids[text] for text in batch], pad_id(tokenizer), way)
        logits = Running(model, state, range(len(batch))).logits
        return logits.log_softmax(-1)[:, list(tokens)].cpu().numpy()

    found = {}
    with inference(model), tqdm(total=len(order), disable=not progress, unit="prompt") as bar:
        for batch, logprobs in memory.batches(
            read, order, batch_size, "prompts at a time", model=model
        ):
            found.update(zip(batch, logprobs, strict=True))
            bar.update(len(batch))
    return np.stack([found[p] for p in prompts]) if prompts else np.zeros((0, len(tokens)))


def sequence_logprobs(
    model, tokenizer, prompts, sequences, *, batch_size: int = 32, progress: bool = False
) -> np.ndarray:
    """Log-probabilities that a model writes some token sequences after each prompt.

    A prompt is read once. Sequences with the same beginning share a running text: of "4.0" and
    "4.5" there is one, that of "4".

    Parameters
    ----------
    model, tokenizer
    prompts : n texts
        Each distinct text is read once.
    sequences : S sequences of token ids
    batch_size : int
        Running texts at a time.
    progress : bool

    Returns
    -------
    float array [n, S]

    Raises
    ------
    ValueError
        As `generate_mixture`, or for an empty sequence.
    """
    prompts, sequences = list(prompts), [tuple(s) for s in sequences]
    _check_contexts([prompts], [1.0])
    check_positive(batch_size=batch_size, sequences=len(sequences))
    if not all(sequences):
        raise ValueError("a sequence of tokens is empty: each must hold one at least")
    heads = {s[:-1] for s in sequences}
    paths = sorted(h for h in heads if not any(h == x[: len(h)] for x in heads - {h}))
    path_of = [next(i for i, p in enumerate(paths) if p[: len(s) - 1] == s[:-1]) for s in sequences]
    longest = max(map(len, sequences))
    ids = tokenize(model, tokenizer, [[p] for p in prompts], [0], longest - 1)
    way = way_of(model, tokenizer, ids.values(), longest)
    order = sorted(ids, key=lambda text: len(ids[text]), reverse=True)

    def read(batch):
        state = read_prompts(model, [ids[text] for text in batch], pad_id(tokenizer), way)
        running = Running(model, state, [b for b in range(len(batch)) for _ in paths])
        total = np.zeros((len(batch), len(sequences)))
        for step in range(longest):
            if step:  # a path that has come to its end goes on anyhow, and is not looked at
                last = [p[step - 1] if step <= len(p) else sequences[0][0] for p in paths]
                running.advance(torch.tensor(last * len(batch), device=model.device))
            logp = running.logits.log_softmax(-1).view(len(batch), len(paths), -1)
            here = [i for i, s in enumerate(sequences) if step < len(s)]
            total[:, here] += logp[
                :, [path_of[i] for i in here], [sequences[i][step] for i in here]
            ].cpu().numpy()
        return total

    found = {}
    with inference(model), tqdm(total=len(order), disable=not progress, unit="prompt") as bar:
        for batch, logprobs in memory.batches(
            read, order, max(1, batch_size // len(paths)), "prompts at a time", model=model
        ):
            found.update(zip(batch, logprobs, strict=True))
            bar.update(len(batch))
    return np.stack([found[p] for p in prompts]) if prompts else np.zeros((0, len(sequences)))


def forced_logits(generator, prompt: str, text: str) -> np.ndarray:
    """Next-token logits at every place of a text, given the prompt and what stands before.

    The slow reference of the kernel: one context, no cache, no padding.

    Parameters
    ----------
    generator : (model, tokenizer)
    prompt, text : str

    Returns
    -------
    float array [T + 1, V]
        Row t: the scores of the words that may follow the first t words of the text.

    Source: MultiCSR Eqs. 1 and 2.
    """
    model, tokenizer = generator
    words = tokenizer(text, add_special_tokens=False)["input_ids"]
    with inference(model):
        if model.config.is_encoder_decoder:
            ids = tokenizer(prompt, return_tensors="pt")["input_ids"].to(model.device)
            start = [model.config.decoder_start_token_id, *words]
            output = model(input_ids=ids, decoder_input_ids=ids.new_tensor([start]))
        else:
            before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
            ids = torch.tensor([before + words], device=model.device)
            output = model(input_ids=ids)
    return output.logits[0, -len(words) - 1 :].float().cpu().numpy()


def flip(logits, noisy, ours: int, theirs: int) -> float:
    """The ω at which word `theirs` overtakes word `ours` in l − ω·l̂.

    Each word is a straight line in ω, with intercept l and slope −l̂; two lines cross once.

    Returns
    -------
    float
        NaN where they never cross (equal noisy logits).
    """
    rise = float(noisy[ours] - noisy[theirs])
    return float(logits[ours] - logits[theirs]) / rise if rise else float("nan")


# ------------------------------------------------------------------ one batch, one step


@dataclass
class _Known:
    """What the round before has read: the place of each prompt in a state of `_read_group`."""

    place: dict[str, int] = field(default_factory=dict)
    state: tuple = ()


def _write_batch(
    model, tokenizer, texts, tokens, weights, room, plausibility, seeds, temperature, way,
    ends=(), known=None,
):  # fmt: skip
    """Token ids written for B rows; ``texts[b][k]`` is row b's prompt of context k.

    Prompts that ``known`` holds are not read again; it is left with the prompts of this batch.
    """
    place = known.place if known and way.shared else {}
    distinct = dict.fromkeys(text for row in texts for text in row)
    new = [text for text in distinct if text not in place]
    old = [text for text in distinct if text in place]
    read = read_prompts(model, [tokens[text] for text in new], pad_id(tokenizer), way)
    if old:
        kept = _select(known.state, torch.tensor([place[text] for text in old]))
        read = [(range(len(distinct)), _join(read[0][1], kept) if new else kept)]
    place = {text: u for u, text in enumerate(new + old)}
    if known and way.shared:
        state = read[0][1]
        known.place, known.state = place, (*state[:3], _copied(state[3]))
    # From here on a sequence belongs to one context and one row: [K, B], contexts first.
    running = Running(model, read, [place[row[k]] for k in range(len(weights)) for row in texts])
    rules = rules_of(model, tokenizer, running.logits.shape[-1], room, ends)
    uniform = None
    if seeds is not None:
        uniform = np.stack([np.random.default_rng(s).random(room) for s in seeds])

    written, going = [[] for _ in texts], list(range(len(texts)))
    for step in range(rules.steps):
        banned = rules.banned if step else rules.banned_first
        logits = running.logits.view(len(weights), len(going), -1)
        scores = mix_logits(
            logits.index_fill(-1, banned, -math.inf), weights, plausibility=plausibility
        )
        if uniform is None:
            chosen = scores.argmax(-1)
        else:
            chosen = draw(scores / temperature, uniform[going, step])
        values = chosen.tolist()
        keep = [b for b, token in enumerate(values) if token not in rules.ends]
        for b in keep:
            written[going[b]].append(values[b])
        keep = [b for b in keep if values[b] not in rules.last]
        if not keep or step == rules.steps - 1:
            break
        if len(keep) < len(going):
            running.keep([k * len(going) + b for k in range(len(weights)) for b in keep])
            going = [going[b] for b in keep]
            chosen = chosen[torch.tensor(keep, device=chosen.device)]
        running.advance(chosen.repeat(len(weights)))
    return written


class Running:
    """Sequences that are written side by side, token by token, each behind its prompt.

    Parameters
    ----------
    model
    read : list
        Of `read_prompts`; it is used up.
    index : S ints
        The prompt that each sequence goes on from.

    Attributes
    ----------
    logits : float32 tensor [S, V]
        Of each sequence's next token.
    """

    def __init__(self, model, read, index):
        self.model, self.parts = model, []
        for prompts, state in read:
            state, at = _begin(model, *state), {u: n for n, u in enumerate(prompts)}
            mine = [s for s, u in enumerate(index) if u in at]
            self.parts.append((mine, _chosen(state, [at[index[s]] for s in mine])))

    @property
    def logits(self):
        if len(self.parts) == 1:
            return self.parts[0][1][0]
        order = [s for mine, _ in self.parts for s in mine]
        return torch.cat([state[0] for _, state in self.parts])[np.argsort(order)]

    def keep(self, sequences):
        """Go on with some sequences only, which are numbered anew."""
        number, parts = {s: n for n, s in enumerate(sequences)}, []
        for mine, state in self.parts:
            stay = [n for n, s in enumerate(mine) if s in number]
            if stay:
                state = state if len(stay) == len(mine) else _chosen(state, stay)
                parts.append(([number[mine[n]] for n in stay], state))
        self.parts = parts

    def advance(self, tokens):
        """Read one more token [S] of each sequence."""
        for i, (mine, (_, mask, hidden, cache)) in enumerate(self.parts):
            own = tokens if len(self.parts) == 1 else tokens[mine]
            if hidden is None and mask is not None:
                mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
            logits, cache = _forward(self.model, own[:, None], mask, hidden, cache)
            self.parts[i] = mine, (logits, mask, hidden, cache)


def _chosen(state, index):
    """Some rows of a state, which is used up."""
    index = torch.tensor(index, device=next(x for x in state if x is not None).device)
    state[3].reorder_cache(index)
    return (*_take(index, *state[:3]), state[3])


def read_prompts(model, prompts, pad, way) -> list:
    """Read U prompts, given as token ids, in as few passes as a `Way` allows.

    Returns
    -------
    list of (numbers of prompts, state)
        A state is their next-token logits [n, V], the mask [n, width] (None where a way knows no
        padding), an encoder's states and the cache. An encoder–decoder has neither logits nor a
        cache yet: see `_begin`.
    """
    groups = {}
    for u, prompt in enumerate(prompts):
        one_pass = 0 if way.padded else (len(prompt), 0 if way.batched else u)
        groups.setdefault(one_pass, []).append(u)
    read = []
    for group in groups.values():
        some = [prompts[u] for u in group]
        shares = way.shared and not model.config.is_encoder_decoder
        begins = beginnings(some) if shares else None
        read.append((group, _read_group(model, some, pad, way, begins)))
    return read


PASS = 128  # tokens that cost about as much as one forward pass more


def beginnings(prompts) -> list[int]:
    """How many tokens of each prompt to read first, so that each distinct beginning is read once.

    A width is what is left of every prompt, side by side; the beginnings have ``longest - width``
    tokens at most. The fewest for a width are found from the longest prompt to the shortest: one
    that no beginning so far suits adds its own, the shortest that leaves no more than the width.
    Of all widths that with the fewest tokens to read is taken.

    Parameters
    ----------
    prompts : sequence of U sequences of token ids
        At least one, none of them empty.

    Returns
    -------
    list of U int
        Each less than its prompt's length; all 0 where a second pass would not pay.
    """
    nodes, paths = {}, []  # the tree of prompts: (node, token) -> next node, with a higher number
    for prompt in prompts:
        paths.append([0])
        for token in prompt:
            paths[-1].append(nodes.setdefault((paths[-1][-1], token), len(nodes) + 1))
    order = sorted(range(len(prompts)), key=lambda u: len(prompts[u]), reverse=True)
    longest = len(prompts[order[0]])

    @functools.cache
    def plan(width):
        begins, depth = [0] * len(prompts), {}
        for u in order:
            least = len(prompts[u]) - width
            if least <= 0:
                break
            node = max(depth.keys() & paths[u][least:-1], default=paths[u][least])
            begins[u] = depth.setdefault(node, least)
        first = len(depth) * (longest - width) + PASS if depth else 0
        return len(prompts) * width + first, len(depth), begins

    def best(low, high):
        few, many = plan(high), plan(low)  # a smaller width needs no fewer beginnings
        if high - low < 2 or few[1] == many[1]:
            return min(few, many)
        return min(best(low, (low + high) // 2), best((low + high) // 2, high))

    return best(1, longest)[2]


def _read_group(model, prompts, pad, way, begins=None):
    """The state of prompts that are read in one pass, after one for their distinct beginnings.

    Each prompt gets a copy of its beginning's keys and values, so the cache has the size that it
    has where prompts are read in one piece: as many rows as prompts, as wide as the longest. What
    is saved is the pass. Beginnings begin alike too: they are read in the same way.
    """
    encdec, cache = model.config.is_encoder_decoder, None if way.cached else _Tokens()
    begins = begins or [0] * len(prompts)
    rests = [prompt[n:] for prompt, n in zip(prompts, begins, strict=True)]
    width = max(map(len, rests))
    ids = torch.full((len(prompts), width), pad)
    mask = torch.zeros_like(ids)
    for u, own in enumerate(rests):
        # A causal model goes on at the right end, so its prompts are padded on the left.
        span = slice(0, len(own)) if encdec else slice(width - len(own), width)
        ids[u, span], mask[u, span] = torch.tensor(own), 1
    ids, mask = ids.to(model.device), mask.to(model.device)
    if encdec:
        return None, mask, model.get_encoder()(input_ids=ids, attention_mask=mask)[0], cache
    if any(begins):
        heads = [tuple(prompt[:n]) for prompt, n in zip(prompts, begins, strict=True)]
        place = {head: i for i, head in enumerate(dict.fromkeys(filter(None, heads)))}
        distinct = list(place)
        _, before, _, cache = _read_group(model, distinct, pad, way, beginnings(distinct))
        # A prompt without a beginning gets another's, masked out.
        index = torch.tensor([place.get(head, 0) for head in heads], device=mask.device)
        own = mask.new_tensor([n > 0 for n in begins])[:, None]
        cache.reorder_cache(index)
        mask = torch.cat([before[index] * own, mask], dim=1)
    mask = mask if way.padded else None  # nothing to tell apart: some state space models want none
    logits, cache = _forward(model, ids, mask, None, cache)
    return logits, mask, None, cache


def _begin(model, logits, mask, hidden, cache):
    """The state of prompts with an encoder–decoder's first step taken, before any token."""
    if hidden is not None:
        start = torch.tensor([decoder_start(model)] * len(mask), device=mask.device)
        logits, cache = _forward(model, start, mask, hidden, cache)
    return logits, mask, hidden, cache


def _select(state, index):
    """Some prompts of a state, less the columns that none of them fills; the state stays as is."""
    logits, mask, hidden, cache = state
    index = index.to(mask.device)
    logits, mask, hidden = _take(index, logits, mask, hidden)
    columns = mask.any(0).nonzero().squeeze(-1)
    if hidden is not None:
        return None, mask[:, columns], hidden[:, columns], None
    cache = _copied(cache)
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[index], layer.values[index]
        if len(columns) < mask.shape[1]:
            layer.keys, layer.values = layer.keys[:, :, columns], layer.values[:, :, columns]
    return logits, mask[:, columns], None, cache


def _join(first, second):
    """The prompts of two states in one; the second is used up.

    The narrower one is padded on the left: positions count real tokens only, and what an encoder
    has read has none.
    """
    width = max(first[1].shape[1], second[1].shape[1])

    def join(a, b, dim=-2):
        behind = [0, 0] * (-1 - dim)
        return torch.cat(
            [torch.nn.functional.pad(x, [*behind, width - x.shape[dim], 0]) for x in (a, b)]
        )

    logits, mask, hidden, cache = second
    mask = join(first[1], mask, dim=-1)
    if hidden is not None:
        return None, mask, join(first[2], hidden), None
    for mine, layer in zip(first[3].layers, cache.layers, strict=True):
        layer.keys, layer.values = join(mine.keys, layer.keys), join(mine.values, layer.values)
    return torch.cat([first[0], logits]), mask, None, cache


def _copied(cache):
    """The same keys and values (or None): either cache can grow or be reordered on its own."""
    cache = copy.copy(cache)
    if cache is not None:
        cache.layers = [copy.copy(layer) for layer in cache.layers]
    return cache


class _Tokens:
    """In a cache's place: the tokens so far, which every step reads again."""

    def __init__(self):
        self.ids = None

    def grown(self, tokens):
        self.ids = tokens if self.ids is None else torch.cat([self.ids, tokens], dim=1)
        return self

    def reorder_cache(self, index):
        self.ids = self.ids[index]


def _forward(model, tokens, mask, hidden, cache):
    """One forward pass: next-token logits [rows, V] in float32, and the grown cache."""
    known = forward_options(model)
    # state space models; transformers to 5.23; from 5.24 on
    names = [n for n in ("cache_params", "past_key_values", "cache") if n in known]
    name = names[0] if names else "past_key_values"
    options = {name: cache, "use_cache": True}
    if isinstance(cache, _Tokens):
        tokens, options = cache.grown(tokens).ids, {}
    if hidden is not None:
        encoded = _encoder_output(hidden)
        output = model(
            encoder_outputs=encoded, attention_mask=mask, decoder_input_ids=tokens, **options
        )
    else:
        if mask is not None:
            options["attention_mask"] = mask
        if mask is not None and "position_ids" in known:
            # Positions count real tokens only: a row is the same whatever padding is before it.
            positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
            options["position_ids"] = positions
        output = model(input_ids=tokens, **options, **_last_only(known))
    logits = output.logits[:, -1].float()
    if not torch.isfinite(logits.amax(-1)).all():
        raise NotNumbers(
            "the model's logits are not numbers (NaN or infinity): its weights may be damaged, or "
            f"too large for {model.dtype}; load it with dtype=torch.float32 or torch.bfloat16"
        )
    return logits, cache if isinstance(cache, _Tokens) else output[name]


def _encoder_output(hidden):
    from transformers.modeling_outputs import BaseModelOutput

    return BaseModelOutput(last_hidden_state=hidden)


def _last_only(known) -> dict:
    """``logits_to_keep=1`` where a model knows it: no [rows, prompt, V] logits for the prompts."""
    return {"logits_to_keep": 1} if "logits_to_keep" in known else {}


def forward_options(model):
    """The parameters of a model's forward pass; under PEFT those of the model below."""
    return _signature(type(_base(model)))


def _base(model):
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@functools.cache
def _signature(kind: type):
    return inspect.signature(kind.forward).parameters


def draw(logits, uniform):
    """Sample by inverting the distribution function at one uniform number a row.

    Parameters
    ----------
    logits : tensor [n, V]
    uniform : n numbers in [0, 1)

    Returns
    -------
    int tensor [n]
    """
    # A hundred thousand float32 numbers add up with an error; MPS has no float64.
    dtype = torch.float32 if logits.device.type == "mps" else torch.float64
    total = logits.softmax(-1).cumsum(-1, dtype=dtype)
    at = torch.as_tensor(uniform, dtype=dtype, device=logits.device)[:, None]
    return torch.searchsorted(total / total[:, -1:], at, right=True).squeeze(-1)


def _text(tokenizer, ids) -> str:
    return tokenizer.decode(
        ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
    ).strip()


def _take(index, *tensors):
    return [None if tensor is None else tensor[index] for tensor in tensors]


# ------------------------------------------------------------------ how a model can be read


class Way(NamedTuple):
    """How much of a model's reading can be put together without changing what it writes.

    shared : what prompts begin with is read once, and prompts that were read apart can be put
        together; then padding may stand between a prompt's own tokens.
    padded : prompts of different lengths are read side by side, padding before (causal models) or
        behind them.
    batched : at least prompts of one length are.
    cached : keys and values (or a state) are kept; else every step reads everything again.
    """

    shared: bool
    padded: bool
    batched: bool
    cached: bool


WAYS = (  # from the fastest to the one that is right by definition
    Way(True, True, True, True),
    Way(False, True, True, True),
    Way(False, False, True, True),
    Way(False, False, False, True),
    Way(False, False, True, False),
    Way(False, False, False, False),
)
# What a model says that does not know caches, masks or positions, or other ones than ours.
_NO_WAY = (
    AttributeError, LookupError, NotImplementedError, RuntimeError, TypeError, ValueError,
)  # fmt: skip
_TRIED = weakref.WeakKeyDictionary()  # model -> {length of the trial: way}

# Two ways agree where their logits differ by no more than this share of the logits' own spread.
# Measured with random weights, 40 families and up to 48 layers: rounding makes 3e-6 in float32,
# 5e-3 in float16, 5e-2 in bfloat16; a miscounted position or window 0.1 to 1.
_TOLERANCE = {
    torch.float64: 1e-4, torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1,
}  # fmt: skip


def way_of(model, tokenizer, prompts, room) -> Way:
    """The fastest way of reading some prompts that gives a model's own logits, by trial.

    Whether a model counts a padded token (in its positions, in a window of its attention, in a
    state) is no matter of its name. So a trial reads four made-up prompts each way, and one by one
    without padding and cache, and compares the logits before and after two more tokens. One prompt
    is about as long as the longest text of the call, one begins like it and is short behind that:
    the padding between is half the trial, so that any window shorter than the text shows.
    It cannot see a window longer than the text, which makes no difference there, nor what lies
    below rounding. Where texts grow beyond the length that was tried, a longer trial follows.

    A trial costs about eight passes over its length (a batch of 32 rows with two contexts reads
    64), once a model and length, which is rounded up to a power of two, from 128 on.

    Parameters
    ----------
    model, tokenizer
    prompts : iterable of lists of token ids
    room : int
        Tokens that are to be written.

    Returns
    -------
    Way
    """
    need = max(map(len, prompts), default=0)
    need += 0 if model.config.is_encoder_decoder else room
    tried = _TRIED.setdefault(_base(model), {})
    length = min((n for n in tried if n >= need), default=None)
    if length is None:
        limit = window(model, tokenizer)
        length = 1 << max(7, (need + need // 4).bit_length())  # well beyond any window in use
        length = max(need, min(length, limit or math.inf))
        tried[length], _ = memory.fitting(
            lambda _: _tried(model, tokenizer, length), 1, "texts at a time"
        )  # fmt: skip
    return tried[length]


def _tried(model, tokenizer, length) -> Way:
    # Whoever watches a model's passes (a hook) is to see those of texts.
    model = copy.copy(model)
    model._forward_hooks, model._forward_pre_hooks = {}, {}
    special = set(tokenizer.all_special_ids)
    size = min(len(tokenizer), model.get_input_embeddings().weight.shape[0])
    words = [i for i in range(size) if i not in special] or list(range(size))
    draw = np.random.default_rng(0)
    prompts, more = _trial_prompts(lambda n: draw.choice(words, n).tolist(), length)
    pad = pad_id(tokenizer)
    with inference(model):
        try:
            expected = [_naive(model, prompts, more[:n]) for n in (0, len(more))]
        except (torch.OutOfMemoryError, NotNumbers):
            raise
        except _NO_WAY as error:
            raise ValueError(
                f"{type(_base(model)).__name__} cannot be read token by token here "
                f"({type(error).__name__}: {str(error).splitlines()[0][:200]}): take another model"
            ) from error
        for way in WAYS[:-1]:
            if _agrees(model, prompts, more, expected, way, pad):
                break
        else:
            way = WAYS[-1]
    if not way.cached:
        warnings.warn(
            f"{type(_base(model)).__name__} keeps no state that a text could go on from here, so "
            "every token reads its whole text again: slow, take a model with a key/value cache",
            stacklevel=4,
        )
    return way


def _trial_prompts(draw, length):
    """Four prompts as token ids, the longest of them and the tokens behind it `length` in all."""
    more = draw(2)
    longest = max(length - len(more), 2)
    begin = draw(longest // 2)
    own = max(1, min(2, longest - len(begin) - 1))
    other = max(1, longest // 3)
    return [begin + draw(longest - len(begin)), begin + draw(own), draw(other), draw(other)], more


def _naive(model, prompts, more):
    """Next-token logits [n, V]: one prompt at a time, no cache, no padding, all read anew."""
    rows = []
    for prompt in prompts:
        if model.config.is_encoder_decoder:
            ids = torch.tensor([prompt], device=model.device)
            hidden = model.get_encoder()(input_ids=ids)[0]
            start = torch.tensor([decoder_start(model) + more], device=model.device)
            rows.append(_forward(model, start, torch.ones_like(ids), hidden, _Tokens())[0])
        else:
            ids = torch.tensor([prompt + more], device=model.device)
            rows.append(_forward(model, ids, None, None, _Tokens())[0])
    return torch.cat(rows)


def _agrees(model, prompts, more, expected, way, pad) -> bool:
    """Whether a way gives the expected logits before and after some more tokens."""
    try:
        if way.shared:
            if not _plain_cache(model):
                return False
            # Beginnings of two lengths, one of them of two prompts; a fourth prompt is read apart.
            half = [len(prompt) // 2 for prompt in prompts]
            begins = None if model.config.is_encoder_decoder else [half[0], half[0], half[2]]
            first = _read_group(model, prompts[:3], pad, way, begins)
            second = _read_group(model, prompts[3:], pad, way)
            read = [(range(len(prompts)), _join(first, second))]
        else:
            read = read_prompts(model, prompts, pad, way)
        turned = list(reversed(range(len(prompts))))
        running = Running(model, read, turned)
        if not _same(running.logits, expected[0][turned], model.dtype):
            return False
        for token in more:
            running.advance(torch.tensor([token] * len(prompts), device=model.device))
        return _same(running.logits, expected[1][turned], model.dtype)
    except torch.OutOfMemoryError:
        raise
    except _NO_WAY:
        return False


def _plain_cache(model) -> bool:
    """Whether a cache is keys and values alone, which `_select` and `_join` can take apart.

    An encoder–decoder's are never taken apart: its prompts are put together before it has any.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    layers = DynamicCache(config=model.config).layers
    return model.config.is_encoder_decoder or all(type(layer) is DynamicLayer for layer in layers)


def _same(found, expected, dtype) -> bool:
    """Whether logits [n, V] differ by rounding alone; a constant makes no difference."""
    wanted = expected.clamp(min=-1e4)  # some models exclude rows of their vocabulary
    apart = (found.clamp(min=-1e4) - wanted).std(-1)
    return bool((apart <= _TOLERANCE[dtype] * wanted.std(-1)).all())


# ------------------------------------------------------------------ tokens and checks


@contextmanager
def inference(model):
    """Dropout off and no gradients inside; the model is left as it was found."""
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(training)


def tokenize(model, tokenizer, rows, used, room, numbers=None) -> dict[str, list[int]]:
    """Token ids of each distinct prompt, or an error that names the first that cannot be read.

    Parameters
    ----------
    model, tokenizer
    rows : sequence of lists of str
        ``rows[i][j]`` is row i's prompt of context ``used[j]``.
    used : sequence of int
    room : int
        Tokens of the answer, which share a causal model's window with the prompt.
    numbers : sequence of int, optional
        Names of the rows in an error; default their places.

    Returns
    -------
    dict of text to list of int

    Raises
    ------
    ValueError
        For a prompt without a token, or too long for the window; for more room than a decoder has.
    """
    encdec, limit = model.config.is_encoder_decoder, window(model, tokenizer)
    need = 0 if encdec else room
    most = windows.of(model).writes
    if encdec and most is not None and room > most:
        raise ValueError(
            f"max_new_tokens asks for {room} tokens, but the model's decoder holds {most}: lower "
            "max_new_tokens"
        )
    ids = prompt_ids(model, tokenizer, [text for row in rows for text in row])
    for i, row in zip(range(len(rows)) if numbers is None else numbers, rows, strict=True):
        for k, text in zip(used, row, strict=True):
            size = len(ids[text])
            if size == 0:
                raise ValueError(f"row {i} of context {k} has no token in it: {text!r}")
            if limit is not None and size + need > limit:
                more = f" and max_new_tokens asks for {need} more" if need else ""
                raise ValueError(
                    f"row {i} of context {k} has {size} tokens{more}, but the model's window holds "
                    f"{limit}: shorten the prompt" + (" or max_new_tokens" if need else "")
                )
    return ids


def prompt_ids(model, tokenizer, texts) -> dict[str, list[int]]:
    """Token ids of each distinct prompt, as the model is to read it.

    Special tokens that a prompt spells are text (see `tokens.encode`), save where a prompt begins
    with one: then somebody, a chat template for instance, has written the tokens that he means.

    Parameters
    ----------
    model, tokenizer
    texts : sequence of str

    Returns
    -------
    dict of text to list of int
        A causal prompt ends in no end token that the tokenizer has put there: it would ask for
        nothing more.
    """
    texts, ends = list(dict.fromkeys(texts)), _tokens.end_ids(model, tokenizer)
    begin = {tokenizer.bos_token_id, tokenizer.cls_token_id}
    rows = _tokens.encode(tokenizer, texts, prompts=True)["input_ids"] if texts else []
    ids = {text: list(row) for text, row in zip(texts, rows, strict=True)}
    for text, tokens in ids.items():
        if not model.config.is_encoder_decoder and tokens and tokens[-1] in ends:
            if not text.rstrip().endswith(tokenizer.convert_ids_to_tokens(tokens[-1])):
                del tokens[-1]
        if tokens and tokens[0] in begin and tokens[:1] == tokens[1:2]:
            del tokens[0]  # a chat template has already written one
    return ids


def window(model, tokenizer) -> int | None:
    """Most tokens that the model reads at once, or None where there is no limit."""
    return windows.size(model, tokenizer)


TOO_LONG = "the prompt is longer than the generator's window"  # what `fits` finds, as a reason


def fits(generator, texts, room=0):
    """Which prompts a generator can read, with `room` for the answer where both share a window.

    Parameters
    ----------
    generator : (model, tokenizer)
    texts : sequence of n prompts
    room : int
        Tokens of the answer; they count for a causal model only.

    Returns
    -------
    bool array [n]
    """
    model, tokenizer = generator
    limit = window(model, tokenizer)
    distinct = list(dict.fromkeys(texts))
    if limit is None or not distinct:
        return np.ones(len(texts), dtype=bool)
    limit -= 0 if model.config.is_encoder_decoder else room
    ids = prompt_ids(model, tokenizer, distinct)
    fit = {text: len(row) <= limit for text, row in ids.items()}
    return np.array([fit[text] for text in texts], dtype=bool)


# What a model's generation_config may ask for beside what is obeyed, with the values that ask for
# nothing. Settings in neither list (temperature, top_k, top_p, repetition_penalty, num_beams, …)
# are defaults of the library's own sampler, in whose place the mixture stands.
_REFUSED = {
    "min_length": (0,), "min_new_tokens": (0,), "sequence_bias": (), "watermarking_config": (),
    "exponential_decay_length_penalty": (), "guidance_scale": (1.0,), "stop_strings": (),
    "forced_decoder_ids": (), "force_words_ids": (), "constraints": (), "penalty_alpha": (0,),
    "dola_layers": (),
}  # fmt: skip


def check_settings(model) -> None:
    """Refuse a model whose generation_config asks for what the mixture does not do.

    Obeyed are the end tokens, decoder_start_token_id, forced_bos_token_id (an encoder–decoder's
    texts begin with it), forced_eos_token_id (a text that is cut off has one token less),
    suppress_tokens, begin_suppress_tokens, and bad_words_ids of one token each.

    Raises
    ------
    ValueError
        Names the setting and how to switch it off.
    """
    settings = getattr(model, "generation_config", None)
    asked = {name: getattr(settings, name, None) for name in _REFUSED}
    asked = {name: x for name, x in asked.items() if x is not None and x not in _REFUSED[name]}
    if any(len(ids) > 1 for ids in getattr(settings, "bad_words_ids", None) or []):
        asked["bad_words_ids"] = settings.bad_words_ids
    for name, value in asked.items():
        raise ValueError(
            f"the model's generation_config asks for {name} = {value}, which decoding from a "
            f"mixture does not know: set model.generation_config.{name} = None (in a local folder: "
            f"take {name} out of generation_config.json)"
        )


def plain_settings(model):
    """A model's generation_config less all that reshapes or selects tokens, for other samplers.

    The library's `generate` fills what it is not told from the model's own settings; public
    instruct models ship a repetition penalty, for instance.

    Returns
    -------
    transformers.GenerationConfig with token ids alone
    """
    from transformers import GenerationConfig

    names = ("bos", "eos", "pad", "decoder_start")
    settings = {f"{name}_token_id": getattr(model.generation_config, f"{name}_token_id")
                for name in names}  # fmt: skip
    return GenerationConfig(**settings)


class Rules(NamedTuple):
    """How a text ends and what it never holds: token ids, and the number of free steps."""

    ends: set
    last: set  # end a text too, and are in it
    banned: torch.Tensor
    banned_first: torch.Tensor
    steps: int


def rules_of(model, tokenizer, vocabulary, room, more_ends=()) -> Rules:
    settings = getattr(model, "generation_config", None)
    ends = _tokens.end_ids(model, tokenizer)
    last = {i for i in set(more_ends) - ends if _text(tokenizer, [i])}
    ends |= set(more_ends) - last
    names = ("pad", "unk", "mask", "cls", "sep", "bos")
    banned = {getattr(tokenizer, f"{name}_token_id", None) for name in names} - {None} - ends
    # Rows of the output layer that belong to no token (a vocabulary rounded up) were never trained.
    banned.update(range(len(tokenizer), vocabulary))
    banned.update(getattr(settings, "suppress_tokens", None) or [])
    banned.update(word for (word,) in getattr(settings, "bad_words_ids", None) or [])
    first = banned | set(getattr(settings, "begin_suppress_tokens", None) or [])
    banned, first = (
        torch.tensor(sorted(ids), dtype=torch.long, device=model.device) for ids in (banned, first)
    )
    # The tokens that are forced at a text's two ends are of those that were asked for.
    if model.config.is_encoder_decoder:
        room -= len(decoder_start(model)) - 1
    room -= getattr(settings, "forced_eos_token_id", None) is not None
    return Rules(ends, last, banned, first, room)


def pad_id(tokenizer) -> int:
    """The id that fills a batch; masked out, so any will do where a tokenizer names none."""
    return tokenizer.pad_token_id or 0


def decoder_start(model) -> list[int]:
    """Tokens that every text of an encoder–decoder begins with: its start, and a forced one."""
    generation = getattr(model, "generation_config", None)
    forced = getattr(generation, "forced_bos_token_id", None)
    for config in (generation, model.config):
        start = getattr(config, "decoder_start_token_id", None)
        if start is not None:
            return [start] if forced is None else [start, forced]
    raise ValueError("the model's configuration names no decoder_start_token_id: set it")


def _fresh_seed() -> int:
    return int(torch.randint(2**31, ()))


def _row_seeds(seed, rows) -> list:
    if seed is None:
        seed = _fresh_seed()
    if isinstance(seed, int | np.integer):
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        return [(int(seed), i) for i in range(rows)]
    if len(seed) != rows:
        raise ValueError(f"seed gives {len(seed)} seeds for {rows} rows: give one int, or one each")
    return list(seed)


def _check_contexts(contexts, weights) -> int:
    """Check the texts; return the number of rows."""
    if len(contexts) != len(weights) or not contexts:
        raise ValueError(
            f"got {len(contexts)} contexts and {len(weights)} weights: "
            "each context needs one weight, and there must be at least one"
        )
    for k, context in enumerate(contexts):
        if isinstance(context, str):
            raise ValueError(
                f"context {k} is one text; contexts must be K lists of texts, contexts[k][i] for "
                "row i"
            )
        if len(context) != len(contexts[0]):
            raise ValueError(
                f"context {k} has {len(context)} rows and context 0 has {len(contexts[0])}: "
                "all contexts need the same number"
            )
        for i, text in enumerate(context):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"row {i} of context {k} is {text!r}: it must hold words")
    return len(contexts[0])


def check_positive(**numbers) -> None:
    """Raise ValueError for the first of some counts that is below 1."""
    for name, value in numbers.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def _check_options(max_new_tokens, batch_size, do_sample, temperature) -> None:
    check_positive(max_new_tokens=max_new_tokens, batch_size=batch_size)
    if do_sample and not (temperature > 0 and math.isfinite(temperature)):
        raise ValueError(
            f"temperature must be above 0, got {temperature} (do_sample=False takes the most "
            "probable token)"
        )


def _used(weights, plausibility) -> list[int]:
    """Contexts to compute; the main one also decides what is plausible, so it may have weight 0."""
    return [k for k, w in enumerate(weights) if w != 0 or (k == 0 and plausibility is not None)]


def _check_weights(weights, plausibility) -> None:
    if not all(map(math.isfinite, weights)) or not any(weights):
        raise ValueError(f"weights must be finite and not all zero, got {weights}")
    if plausibility is not None and not 0 < plausibility <= 1:
        raise ValueError(f"plausibility must lie in (0, 1], got {plausibility}")
