"""Ranking lists with kept keys and values against prompts read afresh, in turn in one process.

Every round of a list reads two prompts, those that hold the last sentence and the one before. Four
ways to do it:

- ours: `generate_ranking_lists`, which reads only the new prompts;
- fresh: a loop over `directional_generate`, which reads both prompts again each round (but what
  prompts of a batch begin with only once, as the kernel does everywhere);
- plain: the same without this, 2B whole prompts a round;
- guidance: a loop over the library's ``generate(guidance_scale=1+λ, negative_prompt_ids=…)``.

A Llama shape (or a T5 shape, which the library's guidance does not support) with random weights,
no end token, so that all write equally long sentences. The prompt is as long as the ranking
paper's: an instruction, the sentence, a few words; or the sentence comes first, so that the
prompts have no beginning in common.

    python benchmarks/ranking_lists.py [--rows 8 32] [--steps 6] [--device cuda --dtype bfloat16]
"""

from __future__ import annotations

import argparse
from random import Random

import torch
from decoding import WORDS, every_beginning_read, in_turn, make_llama, make_t5, make_tokenizer

from synthlib import decoding

LAM = 0.5


def make_prompt(options, first):
    """Template of a prompt, the instruction before the sentence or (`first`) behind it."""
    rng = Random(5)
    words = " ".join(f"w{rng.randrange(WORDS - 2)}" for _ in range(options.instruction))
    return "{sentence} " + words if first else words + " {sentence} w1 w2 w3 w4"


def make_anchors(n, length):
    rng = Random(6)
    return [" ".join(f"w{rng.randrange(WORDS - 2)}" for _ in range(length)) for _ in range(n)]


def fresh(model, tokenizer, anchors, prompt, options):
    lists = [[a] for a in anchors]
    for step in range(1, options.steps + 1):
        last = [prompt.format(sentence=s[-1]) for s in lists]
        before = [prompt.format(sentence=s[max(0, step - 2)]) for s in lists]
        texts = decoding.directional_generate(
            model, tokenizer, last, before, lam=LAM if step > 1 else 0.0,
            max_new_tokens=options.new, batch_size=len(anchors),
        )  # fmt: skip
        for sentences, text in zip(lists, texts, strict=True):
            sentences.append(text)
    return lists


def plain(*args):
    with every_beginning_read():
        return fresh(*args)


def ours(model, tokenizer, anchors, prompt, options):
    return decoding.generate_ranking_lists(
        model, tokenizer, anchors, steps=options.steps, lam=LAM, prompt=prompt,
        max_new_tokens=options.new, batch_size=len(anchors),
    )  # fmt: skip


def guidance(model, tokenizer, anchors, prompt, options):
    lists = [[a] for a in anchors]
    for step in range(1, options.steps + 1):
        batch, other = (
            tokenizer(
                [prompt.format(sentence=s[max(0, step - 1 - back)]) for s in lists],
                return_tensors="pt", return_token_type_ids=False,
            ).to(model.device)
            for back in (0, 1)
        )  # fmt: skip
        more = {}
        if step > 1:
            more = dict(
                guidance_scale=1 + LAM, negative_prompt_ids=other["input_ids"],
                negative_prompt_attention_mask=other["attention_mask"],
            )  # fmt: skip
        out = model.generate(
            **batch, max_new_tokens=options.new, do_sample=False, suppress_tokens=[0, 1], **more
        )
        texts = tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :])
        for sentences, text in zip(lists, texts, strict=True):
            sentences.append(text)
    return lists


def table(name, model, tokenizer, options, ways):
    size = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{name}, {size:.0f} M parameters, prompts of {options.instruction + options.new + 4} "
          f"tokens ({options.instruction} of instruction), sentences of {options.new}, "
          f"{options.steps} rounds\n")  # fmt: skip
    head = ["prompt begins with", "B", *(f"{way.__name__} (s)" for way in ways)]
    head += [f"{way.__name__} / ours" for way in ways[1:]]
    print("| " + " | ".join([*head, "lists a minute", "equal lists"]) + " |")
    print("|---" * (len(head) + 2) + "|")
    for begins in options.begins:
        first = begins == "sentence"
        prompt = make_prompt(options, first)
        for rows in options.rows:
            anchors = make_anchors(rows, options.new)
            runs = {
                way.__name__: lambda w=way, a=anchors, p=prompt: w(model, tokenizer, a, p, options)
                for way in ways
            }
            seconds, lists = in_turn(runs, options.repeats, options.device)
            mine = seconds["ours"]
            cells = [begins, rows]
            cells += [f"{seconds[way.__name__]:.2f}" for way in ways]
            cells += [f"{seconds[way.__name__] / mine:.2f}" for way in ways[1:]]
            same = [
                sum(a == b for a, b in zip(lists["ours"], lists[way.__name__], strict=True))
                for way in ways[1:]
            ]
            cells += [f"{60 * rows / mine:.0f}", ", ".join(f"{n} of {rows}" for n in same)]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--shapes", nargs="+", default=["llama", "t5"], choices=["llama", "t5"])
    parser.add_argument(
        "--begins", nargs="+", default=["instruction", "sentence"],
        choices=["instruction", "sentence"], help="what the prompt begins with",
    )  # fmt: skip
    parser.add_argument("--instruction", type=int, default=64, help="tokens of the instruction")
    parser.add_argument("--new", type=int, default=24, help="tokens of a sentence")
    parser.add_argument("--steps", type=int, default=6, help="rounds: sentences of a list")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    options = parser.parse_args()
    options.dtype = getattr(torch, options.dtype)
    print(f"torch {torch.__version__}, {options.device}, {options.dtype}, "
          f"{torch.get_num_threads()} threads, median of {options.repeats}\n")  # fmt: skip
    tokenizer = make_tokenizer()
    if "llama" in options.shapes:
        ways = [ours, fresh, plain, guidance]
        table("Llama shape", make_llama(options), tokenizer, options, ways)
    if "t5" in options.shapes:
        table("T5 shape", make_t5(options), tokenizer, options, [ours, fresh])


if __name__ == "__main__":
    main()
