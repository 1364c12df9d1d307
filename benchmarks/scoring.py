"""Similarity scores by expected value against scores that the model writes, in turn.

- ``expected``: one prefill of all prompts, then the expected value over the score tokens.
- ``written, batched``: the score is generated (batched, our decoder) and parsed.
- ``written, two rows a triplet``: MultiCSR's released way, one ``generate(max_length=256)`` for the
  two pairs of each triplet.

Three judges:

- the pocket T5, trained, on the pocket laboratory's triplets; it ends its own answers;
- a T5 shape with random weights that writes exactly ``--written`` tokens: four, as many as Flan-T5
  needs for "4.5" and its end token; both peers write as many;
- a Llama shape, likewise.

Both written ways read the same scores; how many are identical is printed.

    python benchmarks/scoring.py [--triplets 64] [--repeats 3] [--judges pocket t5 llama]
"""

from __future__ import annotations

import argparse
from random import Random

import torch
from decoding import WORDS, in_turn, make_llama, make_t5
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from synthlib import models
from synthlib.decoding import generate_mixture
from synthlib.judging import HALF_POINTS, parse_score, score_similarity
from synthlib.prompts import similarity
from synthlib.world import corpora


def make_tokenizer():
    """Word-level, without an end token; its words include the scores."""
    words = ["<pad>", "<unk>", *HALF_POINTS]
    words += [f"w{i}" for i in range(WORDS - len(words))]
    base = Tokenizer(WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    base.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=base, pad_token="<pad>", unk_token="<unk>")


def make_judge(name, options):
    """(model, tokenizer), the prompt's form, triplets, and the options of both written ways."""
    if name == "pocket":
        judge = models.load_generator(
            "pocket/generator-t5", device=options.device, dtype=options.dtype
        )
        return judge, "pocket", corpora.triplets(options.triplets, seed=0), {}
    rng = Random(0)

    def sentence():
        return " ".join(f"w{rng.randrange(7000)}" for _ in range(options.words))

    triplets = [(sentence(), sentence(), sentence()) for _ in range(options.triplets)]
    model = make_llama(options) if name == "llama" else make_t5(options)
    return (model, make_tokenizer()), "paper", triplets, {"max_new_tokens": options.written}


def released(judge, triplets, form, limit):
    """One ``generate`` call a triplet, two rows in it."""
    model, tokenizer = judge
    encdec, scores = model.config.is_encoder_decoder, []
    # The unused words of a random judge, so that it writes what our decoder may write.
    unused = [i for i in (tokenizer.pad_token_id, tokenizer.unk_token_id) if i is not None]
    for x, positive, negative in triplets:
        batch = tokenizer(
            [similarity(x, positive, form=form), similarity(x, negative, form=form)], padding=True,
            padding_side="right" if encdec else "left", return_tensors="pt",
            return_token_type_ids=False,
        ).to(model.device)  # fmt: skip
        out = model.generate(
            **batch, do_sample=False, use_cache=True, suppress_tokens=unused,
            **(limit or {"max_length": 256}),
        )  # fmt: skip
        start = 0 if encdec else batch["input_ids"].shape[1]
        texts = tokenizer.batch_decode(out[:, start:], skip_special_tokens=True)
        scores += [parse_score(text) for text in texts]
    return scores


def batched(judge, pairs, form, limit):
    asked = [similarity(a, b, form=form) for a, b in pairs]
    texts = generate_mixture(*judge, [asked], [1.0], **(limit or {"max_new_tokens": 8}))
    return [parse_score(text) for text in texts]


def compare(name, options):
    judge, form, triplets, limit = make_judge(name, options)
    pairs = [(x, other) for x, *others in triplets for other in others]
    seconds, scores = in_turn(
        {
            "expected value, one prefill": lambda: score_similarity(*judge, pairs, min_mass=0.0),
            "written, batched": lambda: batched(judge, pairs, form, limit),
            "written, two rows a triplet": lambda: released(judge, triplets, form, limit),
        },
        options.repeats,
        options.device,
    )
    expected, ours, theirs = scores.values()
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    read = [(a, b) for a, b in zip(expected, ours, strict=True) if b is not None]
    size = sum(p.numel() for p in judge[0].parameters()) / 1e6
    tokens = sum(len(judge[1](similarity(a, b, form=form))["input_ids"]) for a, b in pairs)
    n = len(pairs)
    print(f"\n{name}: {size:.1f} M parameters, {n} pairs, {tokens / n:.0f} tokens a prompt; "
          f"{same} of {n} written scores identical", end="")  # fmt: skip
    if name == "pocket":
        gap = sum(abs(a - b) for a, b in read) / len(read)
        print(f"; expected and written value differ by {gap:.2f} on average", end="")
    print("\n\n| scores | seconds | pairs a second | times expected |\n|---|---:|---:|---:|")
    base = next(iter(seconds.values()))
    for label, t in seconds.items():
        print(f"| {label} | {t:.2f} | {n / t:.0f} | {t / base:.1f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--judges", nargs="+", default=["pocket", "t5", "llama"],
                        choices=["pocket", "t5", "llama"])  # fmt: skip
    parser.add_argument("--triplets", type=int, default=64)
    parser.add_argument("--words", type=int, default=12, help="words of a random sentence")
    parser.add_argument("--written", type=int, default=4, help="tokens that random judges write")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    options = parser.parse_args()
    options.dtype = getattr(torch, options.dtype)
    print(f"torch {torch.__version__}, {options.device}, {options.dtype}, "
          f"{torch.get_num_threads()} threads, median of {options.repeats}")  # fmt: skip
    for name in options.judges:
        compare(name, options)


if __name__ == "__main__":
    main()
