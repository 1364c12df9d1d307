"""What filling up a batch again could give, before anyone builds it.

A row of a batch that has ended leaves its place empty until the longest row has ended too. A batch
that is refilled would read the next prompt there. Each pass of the model is timed while
MultiCSR's contradictions and entailments are written by the generator of the tier laptop
(`python -m synthlib models get laptop`): *prompts* are the passes of more than one token a row,
*steps* those of one. The bound is the run's time if every step cost a row what a step of a full
batch costs it.

    python benchmarks/refilling.py [--rows 192] [--batch 32] [--lengths as-written ragged]
"""

from __future__ import annotations

import argparse
import time
from contextlib import contextmanager

import pandas as pd

from synthlib import decoding, prompts, tiers
from synthlib.experiments import field
from synthlib.methods import multicsr

LONG = {
    "A boy in a blue shirt is playing the guitar.": "A boy in a blue shirt is playing the guitar, "
    "his eyes half closed, while the other children sit on the floor and clap their hands.",
    "Three men are sitting at a table outside a café.": "Three men are sitting at a table outside "
    "a café, and while two of them argue about the bill, the third one drinks his coffee.",
    "A child is holding a yellow balloon.": "A child is holding a yellow balloon with both hands, "
    "afraid that the wind, which has taken two hats this morning, will take it too.",
}
SHORT = {
    "A boy in a blue shirt is playing the guitar.": "Somebody is making music.",
    "Three men are sitting at a table outside a café.": "Some men are at a table.",
    "A child is holding a yellow balloon.": "A child has a balloon.",
}


def as_written(generator):
    """Half entailments, half contradictions, as MultiCSR asks for them."""
    form = prompts.form_of(*generator)
    asked = multicsr.ask(field.captions(), seed=0, form=form)
    return (
        [*asked.entailment_prompt, *asked.contradiction_prompt],
        [*asked.entailment_noisy, *asked.contradiction_noisy],
        dict(max_new_tokens=40, ends=prompts.end_ids(generator[1], form)),
    )


def ragged(generator):
    """Half of the answers in a few words, half in many: lengths from 4 to 48 tokens."""

    def prompt(shown, label, caption):
        examples = "".join(f"Caption: {a}\n{label}: {b}\n\n" for a, b in shown.items())
        return f"{examples}Caption: {caption}\n{label}:"

    captions = field.captions()
    short = [prompt(SHORT, "In fewer words", c) for c in captions]
    long = [prompt(LONG, "In more words", c) for c in captions]
    ends = prompts.end_ids(generator[1], "examples")
    return short + long, long + short, dict(max_new_tokens=48, ends=ends)


LENGTHS = {"as-written": as_written, "ragged": ragged}


@contextmanager
def timed(model):
    """Passes of the model within: rows, tokens a row, processor seconds."""
    passes, begun = [], []
    before = model.register_forward_pre_hook(lambda *_: begun.append(time.process_time()))

    def after(module, args, kept, out):
        ids = kept["input_ids"] if "input_ids" in kept else args[0]
        passes.append((*ids.shape, time.process_time() - begun.pop()))

    handle = model.register_forward_hook(after, with_kwargs=True)
    try:
        yield passes
    finally:
        before.remove()
        handle.remove()


def measure(generator, lengths, rows, batch):
    asked, noisy, options = LENGTHS[lengths](generator)
    step = len(asked) // rows
    asked, noisy = asked[::step][:rows], noisy[::step][:rows]
    with timed(generator[0]) as passes:
        begin = time.process_time()
        texts = decoding.contrastive_generate(
            *generator, asked, noisy, omega=0.3, batch_size=batch, **options
        )
        whole = time.process_time() - begin
    table = pd.DataFrame(passes, columns=["rows", "tokens", "seconds"])
    steps = table[table["tokens"] == 1]
    full = steps[steps["rows"] == steps["rows"].max()]
    a_row = full["seconds"].sum() / full["rows"].sum()
    best = whole - steps["seconds"].sum() + a_row * steps["rows"].sum()
    written = sorted(len(ids) for ids in generator[1](texts)["input_ids"])
    return {
        "lengths": lengths, "B": batch, "tokens written": f"{written[0]} to {written[-1]}",
        "seconds": whole, "prompts": table.loc[table["tokens"] > 1, "seconds"].sum(),
        "steps": steps["seconds"].sum(),
        "under half full": steps.loc[steps["rows"] < batch, "seconds"].sum(),
        "ms a row, full": 1000 * a_row,
        "ms a row, under half": 1000 * steps.loc[steps["rows"] < batch, "seconds"].sum()
        / steps.loc[steps["rows"] < batch, "rows"].sum(),
        "bound": whole / best,
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=192)
    parser.add_argument("--batch", type=int, nargs="+", default=[32])
    parser.add_argument("--lengths", nargs="+", default=list(LENGTHS), choices=LENGTHS)
    options = parser.parse_args()
    generator = field.load("generator", tiers.get("laptop").multicsr, seed=0)
    asked, noisy, warm = as_written(generator)  # how the model can be read is tried once
    decoding.contrastive_generate(*generator, asked[:2], noisy[:2], omega=0.3, **warm)
    rows = [
        measure(generator, lengths, options.rows, batch)
        for lengths in options.lengths for batch in options.batch
    ]  # fmt: skip
    print(pd.DataFrame(rows).round(2).to_markdown(index=False))


if __name__ == "__main__":
    main()
