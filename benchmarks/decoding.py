"""Two-context decoding against the library's own decoders, in turn in one process.

Peers: ``generate(guidance_scale=1/(1-ω))``, which runs one pass a context and step, and plain
``generate`` on the same number of sequences (2B rows of one context each). A Llama shape with
random weights, prompts of one length, no end token, so that all write the same number of tokens.
"In pairs" is the batch of MultiCSR's first stage: two rows, the entailment and the contradiction
of one premise, share their two prompts.
A second table has a T5 shape: both outputs of a premise in one call, whose shared prompts are read
once, against one call for each kind.
A third has the laptop tier's generator (``python -m synthlib models get laptop``) and four worked
examples in front of every premise: contradictions against entailments, whose prompts begin each
with their own examples. "Whole" is the same kernel with every prompt read from its beginning.

    python benchmarks/decoding.py [--rows 1 8 32] [--repeats 3] [--device cuda --dtype bfloat16]
    python benchmarks/decoding.py --parts examples --rows 16 32 --new 32
"""

from __future__ import annotations

import argparse
import time
from contextlib import contextmanager
from random import Random
from statistics import mean, median

import pandas as pd
import torch
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from synthlib import decoding, models, paths
from synthlib.decoding import contrastive_generate, generate_mixture

WORDS = 32000  # as Llama 2
OMEGA = 0.3
LABELS = {"entailment": "Also true:", "contradiction": "Not true:"}


def make_tokenizer():
    """Word-level, without an end token: every text has its full length."""
    words = ["<pad>", "<unk>", *(f"w{i}" for i in range(WORDS - 2))]
    base = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    base.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=base, pad_token="<pad>", unk_token="<unk>")


def make_llama(options):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=WORDS, hidden_size=512, intermediate_size=1376, num_hidden_layers=8,
        num_attention_heads=8, max_position_embeddings=512, initializer_range=0.05,
        pad_token_id=0, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval().to(options.device, options.dtype)


def make_t5(options):
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=WORDS, d_model=512, d_kv=64, d_ff=1024, num_layers=6, num_heads=8,
        feed_forward_proj="gated-gelu", decoder_start_token_id=0, pad_token_id=0,
        eos_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).eval().to(options.device, options.dtype)


def make_prompts(n, length, seed):
    rng = Random(seed)
    return [" ".join(f"w{rng.randrange(WORDS - 2)}" for _ in range(length)) for _ in range(n)]


def in_turn(candidates, repeats, device, warm=1):
    """Median seconds of each candidate; they take turns, so that a busy machine hits all alike."""
    # On a CPU the processor's time, which other programs do not lengthen.
    clock = time.process_time if device == "cpu" else time.perf_counter
    seconds, results = {name: [] for name in candidates}, {}
    for _ in range(warm + repeats):  # the first round warms up
        for name, run in candidates.items():
            start = clock()
            results[name] = run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(clock() - start)
    return {name: median(times[warm:]) for name, times in seconds.items()}, results


def library(model, tokenizer, prompts, new_tokens, noisy=None):
    """Greedy ``generate``, with guidance where there are noisy prompts."""
    keep = dict(return_tensors="pt", return_token_type_ids=False, padding=True)
    batch = tokenizer(prompts, **keep).to(model.device)
    options = {}
    if noisy is not None:
        other = tokenizer(noisy, **keep).to(model.device)
        options = dict(
            guidance_scale=1 / (1 - OMEGA),
            negative_prompt_ids=other["input_ids"],
            negative_prompt_attention_mask=other["attention_mask"],
        )
    out = model.generate(
        **batch, max_new_tokens=new_tokens, do_sample=False, suppress_tokens=[0, 1], **options
    )
    texts = tokenizer.batch_decode(
        out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    return [text.strip() for text in texts]


@contextmanager
def every_beginning_read():
    """Within this context the kernel reads every prompt as a whole."""
    shared = decoding.beginnings
    decoding.beginnings = lambda prompts: [0] * len(prompts)
    try:
        yield
    finally:
        decoding.beginnings = shared


def causal(options):
    tokenizer, model = make_tokenizer(), make_llama(options)
    size = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"Llama shape, {size:.0f} M parameters, prompts of {options.prompt} tokens, "
          f"{options.new} new ones\n")  # fmt: skip
    print("| B | ours (s) | guidance_scale (s) | plain, 2B rows (s) | guidance / ours "
          "| ours / plain 2B | rows with identical tokens |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    for rows, twins in [(n, False) for n in options.rows] + [(n, True) for n in options.rows]:
        if twins and rows % 2:
            continue
        prompts = make_prompts(rows, options.prompt, 1)
        noisy = make_prompts(rows, options.prompt, 2)
        if twins:  # MultiCSR's batch: row i + B/2 has row i's two prompts the other way round
            half = rows // 2
            prompts, noisy = prompts[:half] + noisy[:half], noisy[:half] + prompts[:half]
        seconds, texts = in_turn(
            {
                "ours": lambda p=prompts, q=noisy: contrastive_generate(
                    model, tokenizer, p, q, omega=OMEGA, max_new_tokens=options.new
                ),
                "guidance": lambda p=prompts, q=noisy: library(model, tokenizer, p, options.new, q),
                "plain": lambda p=prompts, q=noisy: library(model, tokenizer, p + q, options.new),
            },
            options.repeats,
            options.device,
        )
        same = sum(a == b for a, b in zip(texts["ours"], texts["guidance"], strict=True))
        ours, guidance, plain = (seconds[name] for name in ("ours", "guidance", "plain"))
        label = f"{rows} in pairs" if twins else rows
        print(f"| {label} | {ours:.2f} | {guidance:.2f} | {plain:.2f} | {guidance / ours:.2f} "
              f"| {ours / plain:.2f} | {same} of {rows} |", flush=True)  # fmt: skip


def shared_prompts(options):
    tokenizer, model = make_tokenizer(), make_t5(options)
    size = sum(p.numel() for p in model.parameters()) / 1e6
    length, new = options.prompt, options.new // 2
    print(f"\nT5 shape, {size:.0f} M parameters, prompts of {length} tokens, {new} new ones: "
          "entailment and contradiction of B premises\n")  # fmt: skip
    print("| B | one call (s) | one call each (s) | plain, 2B rows (s) | each / one |")
    print("|---|---|---|---|---|")
    for rows in options.rows:
        entail, contra = make_prompts(rows, length, 3), make_prompts(rows, length, 4)
        keep = dict(max_new_tokens=new, batch_size=2 * rows)
        seconds, _ = in_turn(
            {
                "one": lambda e=entail, c=contra, k=keep: contrastive_generate(
                    model, tokenizer, e + c, c + e, **k
                ),
                "each": lambda e=entail, c=contra, k=keep: [
                    contrastive_generate(model, tokenizer, *pair, **k) for pair in ((e, c), (c, e))
                ],
                "plain": lambda e=entail, c=contra, k=keep: generate_mixture(
                    model, tokenizer, [e + c], [1.0], **k
                ),
            },
            options.repeats,
            options.device,
        )
        one, each, plain = (seconds[name] for name in ("one", "each", "plain"))
        print(f"| {rows} | {one:.2f} | {each:.2f} | {plain:.2f} | {each / one:.2f} |", flush=True)


def example_prompts(rows, kind):
    """Four worked examples of a kind, then a premise: a plain continuation."""
    triplets = pd.read_csv(paths.DATA / "field" / "triplets.csv")
    sentences = pd.read_csv(paths.DATA / "field" / "sentences.csv")
    shown = triplets[(triplets["example"] == "yes") & (triplets["register"] == "caption")][-4:]
    begin = "".join(
        f"Caption: {anchor}\n{LABELS[kind]} {text}\n\n"
        for anchor, text in zip(shown["anchor"], shown[kind], strict=True)
    )
    captions = sentences[sentences["register"] == "caption"]["sentence"]
    short = captions[captions.str.split().str.len() <= 14]
    return [f"{begin}Caption: {premise}\n{LABELS[kind]}" for premise in short[:rows]]


def examples(options):
    model, tokenizer = models.load_generator(
        "laptop/smollm2-135m-instruct", device=options.device, dtype=options.dtype
    )
    new = options.new // 2
    every = [prompt for kind in LABELS for prompt in example_prompts(max(options.rows), kind)]
    lengths = [len(ids) for ids in tokenizer(every)["input_ids"]]
    print(f"\nSmolLM2-135M-Instruct, four worked examples, prompts of {min(lengths)} to "
          f"{max(lengths)} tokens (mean {mean(lengths):.0f}), {new} new ones\n")  # fmt: skip
    print("| B | ours (s) | whole (s) | guidance_scale (s) | whole / ours | guidance / ours "
          "| identical rows: whole, guidance |")  # fmt: skip
    print("|---|---|---|---|---|---|---|")
    # Two rows warm up, and the kernel tries how the model can be read: once for texts so long.
    contrastive_generate(model, tokenizer, every[:2], every[-2:], max_new_tokens=new)
    library(model, tokenizer, every[:2], 2, every[-2:])
    for rows in options.rows:
        asked = [example_prompts(rows, kind) for kind in ("contradiction", "entailment")]
        keep = dict(omega=OMEGA, max_new_tokens=new, batch_size=rows)

        def ours(asked=asked, keep=keep):
            return contrastive_generate(model, tokenizer, *asked, **keep)

        def whole(ours=ours):
            with every_beginning_read():
                return ours()

        def guidance(asked=asked):
            return library(model, tokenizer, asked[0], new, asked[1])

        ways = {"ours": ours, "whole": whole, "guidance": guidance}
        seconds, texts = in_turn(ways, options.repeats, options.device, warm=0)
        same = [sum(a == b for a, b in zip(texts["ours"], texts[way], strict=True))
                for way in ("whole", "guidance")]  # fmt: skip
        mine = seconds["ours"]
        print(f"| {rows} | {mine:.2f} | {seconds['whole']:.2f} | {seconds['guidance']:.2f} "
              f"| {seconds['whole'] / mine:.2f} | {seconds['guidance'] / mine:.2f} "
              f"| {same[0]}, {same[1]} of {rows} |", flush=True)  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parts = {"llama": causal, "t5": shared_prompts, "examples": examples}
    parser.add_argument("--parts", nargs="+", default=["llama", "t5"], choices=parts)
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=32, help="tokens to write")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    options = parser.parse_args()
    options.dtype = getattr(torch, options.dtype)
    print(f"torch {torch.__version__}, {options.device}, {options.dtype}, "
          f"{torch.get_num_threads()} threads, median of {options.repeats}\n")  # fmt: skip
    for part in options.parts:
        parts[part](options)


if __name__ == "__main__":
    main()
