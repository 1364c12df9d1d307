"""The dual reward of a step's answers: ours, in batches of arrival, and one by one, in turn.

Ours judges rows of similar length together and embeds an anchor once. Every step has new anchors,
as within an epoch of PPO: nothing is known from before, only that both kinds of an anchor share it.
*In order of arrival* is the released service's way: a batch as it comes, padded to its longest row,
an anchor embedded for each of its answers. *One by one* is a request a row. All give the same
rewards, which is checked. Goal: twice as fast as one by one.
"""

import argparse
import time
from statistics import median

import numpy as np
import torch

from synthlib import models, rewards
from synthlib.evaluation.embedding import unit_rows
from synthlib.world import corpora

BOUNDS = rewards.Bounds(0.9, 0.8, 0.98)
TARGET = {"positive": "entailment", "negative": "contradiction"}


def steps(count, rows, seed=0):
    """`count` steps of `rows` answers: as in PPO, both kinds of an anchor, each anchor once."""
    rng = np.random.default_rng(seed)
    for step in range(count):
        triplets = corpora.triplets(rows // 2, seed + step)
        order = rng.permutation(rows)
        flat = [(a, text, kind) for a, p, n in triplets
                for text, kind in ((p, "positive"), (n, "negative"))]  # fmt: skip
        yield [list(column) for column in zip(*(flat[i] for i in order), strict=True)]


@torch.no_grad()
def plainly(discriminator, encoder, anchor, said, kind, size):
    """Eqs. 2 to 4, `size` rows at a time as they come."""
    model, tokenizer = discriminator
    label = {name.lower(): int(i) for i, name in model.config.id2label.items()}
    found = []
    for start in range(0, len(said), size):
        rows = slice(start, start + size)
        batch = tokenizer(anchor[rows], said[rows], padding=True, return_tensors="pt")
        p = model(**batch).logits.softmax(-1)
        a, b = (
            unit_rows(encoder.encode(texts[rows], batch_size=size, show_progress_bar=False))
            for texts in (anchor, said)
        )
        for i, k in enumerate(kind[rows]):
            bound = BOUNDS.positive_bound if k == "positive" else BOUNDS.negative_bound
            r2 = rewards.difficulty_reward(float(np.clip(a[i] @ b[i], -1, 1)), k, bound)
            found.append(0.5 * (p[i, label[TARGET[k]]].item() - BOUNDS.lower_bound) + 0.5 * r2)
    return np.array(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answers", type=int, default=128, help="of a step")
    parser.add_argument("--steps", type=int, default=4, help="the first is not counted")
    options = parser.parse_args()
    discriminator = models.load_nli("pocket/nli", device="cpu")
    encoder = models.load_encoder("pocket/simcse-sup-bert", device="cpu")
    r1, r2 = rewards.reward_functions(
        discriminator, lambda texts: encoder.encode(texts, batch_size=64, show_progress_bar=False),
        **BOUNDS._asdict(),
    )  # fmt: skip

    def ours(anchor, said, kind):
        return rewards.dual_reward(r1(said, anchor, kind), r2(said, anchor, kind))

    ways = {
        "ours": ours,
        "in order of arrival": lambda *rows: plainly(discriminator, encoder, *rows, 64),
        "one by one": lambda *rows: plainly(discriminator, encoder, *rows, 1),
    }
    seconds = {way: [] for way in ways}
    for anchor, said, kind in steps(options.steps, options.answers):
        values = {}
        for way, reward in ways.items():
            started = time.process_time()
            values[way] = np.asarray(reward(anchor, said, kind))
            seconds[way].append(time.process_time() - started)
        for way in ways:
            np.testing.assert_allclose(values[way], values["ours"], atol=1e-4, err_msg=way)
    print(f"torch {torch.__version__}, cpu, {torch.get_num_threads()} threads; "
          f"{options.answers} answers a step, pocket judges\n")  # fmt: skip
    print("| way | ms a step | answers a second | against ours |\n|---|---:|---:|---:|")
    base = median(seconds["ours"][1:])
    for way in ways:
        t = median(seconds[way][1:])
        print(f"| {way} | {1000 * t:.0f} | {options.answers / t:.0f} | {t / base:.2f} |")


if __name__ == "__main__":
    main()
