"""Losses and what surrounds them in a training step, each against its peers in turn.

- ``loss``: InfoNCE with the mask of false negatives, forward and backward, on given embeddings
  [N, 768]; against its bare matrix products, against MultiCSR's own loss (its arithmetic, written
  anew, beside our variant "released"), and against sentence-transformers' CachedGISTEmbedLoss at
  several mini-batches (its arithmetic alone). GIST's threshold follows each row's own positive, so
  the guide's vectors are made to have one cosine there: then the losses that can be compared give
  the same number and gradient, which is checked.
- ``large``: the loss of thousands of rows, at once and in chunks, with the mask and without, beside
  sentence-transformers' CachedMultipleNegativesRankingLoss at several mini-batches; and the memory.
- ``stage3``: MultiCSR's stage 3 with P_η's embeddings at hand, against no mask and against P_η in
  every step (`synthlib.experiments.cost`).
- ``cache``: a step with gradient caching against one without.

    python benchmarks/losses.py [loss large stage3 cache] [--shape pocket small] [--steps 10]
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
from sentence_transformers.sentence_transformer.losses import (
    CachedGISTEmbedLoss,
    CachedMultipleNegativesRankingLoss,
)

from synthlib import losses, models, paths
from synthlib.experiments import cost as multicsr_cost

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


def products(vectors, guide):
    """What cannot be left out: one product forward, two backward, and the guide's."""
    with torch.no_grad():
        anchor, *rest = (v.detach() for v in vectors)
        candidates = torch.cat(rest)
        logits = anchor @ candidates.T
        vectors[0].grad = logits @ candidates
        logits.T @ anchor
        guide[0] @ torch.cat(guide[1:]).T


def ours_released(vectors, guide):
    keep = losses.false_negative_keep(*guide, sigma=SIGMA)
    loss = losses.info_nce(*vectors, tau=TAU, keep=keep, variant="released")
    loss.backward()
    return loss.item()


def multicsr(vectors, guide):
    """The released loss: cosines by broadcasting, masked logits 0, binary cross-entropy."""
    (a, p, n), (ga, gp, gn) = vectors, guide
    cosine = partial(F.cosine_similarity, dim=-1)
    logits = torch.cat([cosine(a[:, None], x[None]) for x in (p, n)], dim=1) / TAU
    with torch.no_grad():
        near = torch.cat([cosine(ga[:, None], x[None]) for x in (gp, gn)], dim=1) / TAU
        weights = torch.where(near > SIGMA / TAU, 0.0, 1.0)
        weights.fill_diagonal_(1.0)
    target = torch.eye(len(a), 2 * len(a))
    loss = F.binary_cross_entropy((logits * weights).softmax(dim=-1), target)
    loss.backward()
    return loss.item()


def cached(kernel, vectors, guide=None):
    """sentence-transformers' losses as they ship: a backward pass for each mini-batch."""
    leaves = [v.detach().requires_grad_() for v in vectors]
    given = [[[v] for v in leaves]] + ([] if guide is None else [[[g] for g in guide]])
    loss = kernel.calculate_loss(*given, with_backward=True)
    for v, leaf in zip(vectors, leaves, strict=True):
        v.grad = leaf.grad
    return loss.item()


def measured(ways, n, guided, steps):
    """Processor seconds (median, least), losses and gradients of every way, in turn."""
    vectors, guide = embeddings(n)
    seconds, values, gradients = {way: [] for way in ways}, {}, {}
    for _ in range(steps + 1):
        for way, run in ways.items():
            leaves = [v.clone().requires_grad_() for v in vectors]
            start = time.process_time()
            values[way] = run(leaves, guide) if guided else run(leaves)
            seconds[way].append(time.process_time() - start)
            if leaves[2].grad is not None:
                gradients[way] = torch.stack([v.grad for v in leaves])
    return {way: (median(t[1:]), min(t[1:])) for way, t in seconds.items()}, values, gradients


def alike(values, gradients, way, other):
    assert abs(values[way] - values[other]) < 1e-4, (way, values)
    assert torch.allclose(gradients[way], gradients[other], atol=1e-6), way


def bench_loss(options):
    print("| N | way | median, ms | least, ms | loss |\n|---:|---|---:|---:|---:|")
    encoder = models.load_encoder("pocket/mlm-bert", device="cpu")
    for n in options.rows:
        gist = {
            f"CachedGISTEmbedLoss, {size} rows at a time": partial(cached, CachedGISTEmbedLoss(
                encoder, encoder, temperature=TAU, mini_batch_size=size, contrast_anchors=False,
                margin_strategy="absolute", margin=OWN - SIGMA, contrast_positives=False,
            ))
            for size in options.peer_chunks if size <= n
        }  # fmt: skip
        ways = {
            "matrix products": products, "ours": ours, "ours, released": ours_released,
            "MultiCSR's own loss": multicsr, **gist,
        }  # fmt: skip
        seconds, values, gradients = measured(ways, n, True, options.steps)
        for way in gist:
            alike(values, gradients, way, "ours")
        alike(values, gradients, "MultiCSR's own loss", "ours, released")
        for way, (middle, least) in seconds.items():
            said = "" if values[way] is None else f"{values[way]:.5f}"
            print(f"| {n} | {way} | {1000 * middle:.1f} | {1000 * least:.1f} | {said} |")


def bench_large(options):
    print("| N | way | mask | median, s | × at once | least, s | × at once | MB | at once / this |")
    print("|---:|---|---|---:|---:|---:|---:|---:|---:|")
    encoder = models.load_encoder("pocket/mlm-bert", device="cpu")
    for n in options.large_rows:
        def masked(vectors, guide, size=None):
            keep = losses.false_negative_rows(*guide, sigma=SIGMA)
            loss = losses.info_nce(*vectors, tau=TAU, keep=keep, chunk_size=size)
            loss.backward()
            return loss.item()

        def bare(vectors, size=None):
            loss = losses.info_nce(*vectors, tau=TAU, chunk_size=size)
            loss.backward()
            return loss.item()

        peers = {
            f"CachedMultipleNegativesRankingLoss, {size} rows at a time": partial(
                cached,
                CachedMultipleNegativesRankingLoss(encoder, scale=1 / TAU, mini_batch_size=size),
            )
            for size in options.large_peer_chunks
        }
        sizes = [None, *options.large_chunks]
        names = ["at once" if size is None else f"{size} rows at a time" for size in sizes]
        without = {name: partial(bare, size=s) for name, s in zip(names, sizes, strict=True)}
        for mask, ways in (("no", without | peers), ("yes", {
            name: partial(masked, size=s) for name, s in zip(names, sizes, strict=True)
        })):  # fmt: skip
            seconds, values, gradients = measured(ways, n, mask == "yes", options.steps)
            (vectors, guide), whole, most = embeddings(n), seconds["at once"], 0
            for way, run in ways.items():
                alike(values, gradients, way, "at once")
                leaves = [v.clone().requires_grad_() for v in vectors]
                rest = (guide,) if mask == "yes" else ()
                held = multicsr_cost.peak_bytes(lambda: run(leaves, *rest), torch.device("cpu"))  # noqa: B023
                most = held if way == "at once" else most
                middle, least = seconds[way]
                print(
                    f"| {n} | {way} | {mask} | {middle:.2f} | {middle / whole[0]:.2f} | "
                    f"{least:.2f} | {least / whole[1]:.2f} | {held / 1e6:.0f} | "
                    f"{most / held:.1f} |", flush=True,
                )  # fmt: skip


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
    parser.add_argument("parts", nargs="*", default=["loss", "large", "stage3", "cache"])
    parser.add_argument("--shape", nargs="+", default=["pocket"], choices=["pocket", "small"])
    parser.add_argument("--rows", type=int, nargs="+", default=[256, 512])
    parser.add_argument("--peer-chunks", type=int, nargs="+", default=[4, 16, 64, 256])
    parser.add_argument("--large-rows", type=int, nargs="+", default=[4096, 8192])
    parser.add_argument("--large-chunks", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--large-peer-chunks", type=int, nargs="+", default=[256, 512, 1024, 2048])
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
        if "large" in options.parts:
            bench_large(options)
        for part, bench in (("stage3", bench_stage3), ("cache", bench_cache)):
            for shape in options.shape if part in options.parts else ():
                print(f"\n## {part}: ", end="")
                bench(options, shape, shapes[shape])


if __name__ == "__main__":
    main()
