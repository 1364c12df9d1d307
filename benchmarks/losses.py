"""Losses and what surrounds them in a training step, each against its peers in turn.

- ``loss``: InfoNCE with the mask of false negatives, forward and backward, on given embeddings
  [N, 768]; against sentence-transformers' CachedGISTEmbedLoss (its arithmetic alone) and a loop
  over pairs. GIST's threshold follows each row's own positive, so the guide's vectors are made to
  have one cosine there: then all three compute the same number and gradient, which is checked.
- ``stage3``: MultiCSR's stage 3 with P_η's embeddings at hand, against no mask and against P_η in
  every step (`synthlib.recipes.multicsr_cost`).
- ``cache``: a step with gradient caching against one without.

    python benchmarks/losses.py [loss stage3 cache] [--shape pocket small] [--steps 10]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from random import Random
from statistics import median

import torch
import torch.nn.functional as F
import transformers
from sentence_transformers.sentence_transformer.losses import CachedGISTEmbedLoss

from synthlib import losses, models, paths
from synthlib.recipes import multicsr_cost

TAU, SIGMA, OWN, WIDTH = 0.05, 0.9, 0.95, 768


# ------------------------------------------------------------------ the loss alone
def embeddings(n, seed=0):
    """(anchor, positive, negative) of the encoder and of the guide, [n, 768] each.

    For the guide every positive has the cosine 0.95 with its anchor, and rows come in twos with
    the same anchor: the twin's positive is a false negative.
    """
    generator = torch.Generator().manual_seed(seed)
    draw = partial(torch.randn, n, WIDTH, generator=generator)
    anchor, negative, aside = draw(), draw(), draw()
    anchor[1::2] = anchor[::2]
    unit = F.normalize(anchor, dim=-1)
    aside = F.normalize(aside - (aside * unit).sum(-1, keepdim=True) * unit, dim=-1)
    guide = (unit, OWN * unit + (1 - OWN**2) ** 0.5 * aside, negative)
    return tuple(draw() for _ in range(3)), guide


def ours(vectors, guide):
    keep = losses.false_negative_keep(*guide, sigma=SIGMA)
    loss = losses.info_nce(*vectors, tau=TAU, keep=keep)
    loss.backward()
    return loss.item()


def gist(kernel, vectors, guide):
    loss = kernel.calculate_loss([[v] for v in vectors], [[g] for g in guide])
    loss.backward()
    return loss.item()


def loop(vectors, guide):
    """One pair at a time; rows are tensors of their own, so that no gradient is as large as N."""
    rows = [[row.detach().requires_grad_() for row in v] for v in vectors]
    n, total = len(rows[0]), 0.0
    for i in range(n):
        scores = []
        for side in (1, 2):
            for k in range(n):
                near = F.cosine_similarity(guide[0][i], guide[side][k], dim=0) >= SIGMA
                if k == i or not near:
                    scores.append(F.cosine_similarity(rows[0][i], rows[side][k], dim=0) / TAU)
                    if k == i and side == 1:
                        own = scores[-1]
        loss = (torch.stack(scores).logsumexp(0) - own) / n
        loss.backward()
        total += loss.item()
    for tensor, held in zip(vectors, rows, strict=True):
        tensor.grad = torch.stack([row.grad for row in held])
    return total


def bench_loss(options):
    print("| N | way | ms | against ours | loss |\n|---:|---|---:|---:|---:|")
    encoder = models.load_encoder("pocket/mlm-bert", device="cpu")
    for n in options.rows:
        kernel = CachedGISTEmbedLoss(
            encoder, encoder, temperature=TAU, mini_batch_size=n, margin_strategy="absolute",
            margin=OWN - SIGMA, contrast_anchors=False, contrast_positives=False,
        )  # fmt: skip
        ways = {"ours": ours, "CachedGISTEmbedLoss": partial(gist, kernel), "loop": loop}
        vectors, guide = embeddings(n)
        seconds, values, gradients = {way: [] for way in ways}, {}, {}
        for turn in range(options.steps + 1):
            for way, run in ways.items():
                if way == "loop" and turn > 0:
                    continue  # a minute long: once is enough
                leaves = [v.clone().requires_grad_() for v in vectors]
                start = time.process_time()
                values[way] = run(leaves, guide)
                seconds[way].append(time.process_time() - start)
                gradients[way] = torch.stack([v.grad for v in leaves])
        for way in ways:
            assert abs(values[way] - values["ours"]) < 1e-4, values
            assert torch.allclose(gradients[way], gradients["ours"], atol=1e-6), way
        base = median(seconds["ours"][1:])
        for way in ways:
            t = median(seconds[way][1:] or seconds[way])
            print(f"| {n} | {way} | {1000 * t:.1f} | {t / base:.2f} | {values[way]:.5f} |")


# ------------------------------------------------------------------ a training step
def small_models(folder):
    """A random BERT of 4 layers and 512 dimensions, with BERT's 30,522 words, twice."""
    if not (folder / "config.json").is_file():
        torch.manual_seed(0)
        config = transformers.BertConfig(
            hidden_size=512, num_hidden_layers=4, num_attention_heads=8, intermediate_size=2048
        )
        transformers.BertForMaskedLM(config).save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(paths.POCKET / "mlm-bert").save_pretrained(
            folder
        )
    return tuple(models.load_encoder(folder, pooling="cls", device="cpu") for _ in range(2))


def bench_stage3(options, shape, make):
    table = multicsr_cost.stage3_cost(options.batch_sizes, steps=options.steps, make=make)
    print(
        f"{shape}\n\n| N | method | ms | × SimCSE | MB | × SimCSE |\n|---:|---|---:|---:|---:|---:|"
    )
    for n, rows in table.groupby("batch_size"):
        base = rows[rows["method"] == "SimCSE"].iloc[0]
        for row in rows.itertuples():
            print(
                f"| {n} | {row.method} | {1000 * row.seconds:.0f} | "
                f"{row.seconds / base.seconds:.2f} | {row.megabytes:.0f} | "
                f"{row.megabytes / base.megabytes:.2f} |"
            )


def bench_cache(options, shape, make):
    """Random triplets: all of 12 words, then of 4 to 20, so that a batch has padding."""
    for least, most in ((12, 12), (4, 20)):
        bench_cache_of(options, f"{shape}, {least} to {most} words", make, least, most)


def bench_cache_of(options, title, make, least, most):
    rng = Random(0)
    encoder, _ = make()
    words = sorted(word for word in encoder.tokenizer.get_vocab() if word.isalpha())
    n = options.cached_rows
    triplets = [
        [" ".join(rng.choices(words, k=rng.randint(least, most))) for _ in range(3)]
        for _ in range(n)
    ]
    ways = {"at once": None, **{f"in chunks of {size}": size for size in options.chunks}}
    steps = {
        way: multicsr_cost.Step("SimCSE", triplets, make()[0], mini_batch_size=size)
        for way, size in ways.items()
    }
    seconds = {way: [] for way in ways}
    for _ in range(options.steps + 1):
        for way, step in steps.items():
            seconds[way].append(step.timed())
    print(f"{title}, N = {n}\n\n| sentences | ms | × at once | MB |\n|---|---:|---:|---:|")
    base = median(seconds["at once"][1:])
    for way, step in steps.items():
        t = median(seconds[way][1:])
        print(f"| {way} | {1000 * t:.0f} | {t / base:.2f} | {step.peak() / 1e6:.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["loss", "stage3", "cache"])
    parser.add_argument("--shape", nargs="+", default=["pocket"], choices=["pocket", "small"])
    parser.add_argument("--rows", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[8, 16, 32, 64, 128])
    parser.add_argument("--cached-rows", type=int, default=128)
    parser.add_argument("--chunks", type=int, nargs="+", default=[96, 32])
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, cpu, {torch.get_num_threads()} threads\n")
    with tempfile.TemporaryDirectory() as folder:
        shapes = {"pocket": multicsr_cost.pocket_models,
                  "small": partial(small_models, paths.Path(folder))}  # fmt: skip
        if "loss" in options.parts:
            bench_loss(options)
        for part, bench in (("stage3", bench_stage3), ("cache", bench_cache)):
            for shape in options.shape if part in options.parts else ():
                print(f"\n## {part}: ", end="")
                bench(options, shape, shapes[shape])


if __name__ == "__main__":
    main()
