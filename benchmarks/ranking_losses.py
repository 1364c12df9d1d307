"""Refined similarity and ListMLE, each beside what others run, in turn in one process.

- ``refine``: `losses.refine_similarity` at n = 33 against a loop over rows and columns in torch, as
  the released code has one (sort a row's suffix, look up each entry's place, mirror); one list, and
  64 lists at once. Both compute the same matrix, which is checked.
- ``list-mle``: `losses.list_mle`, forward and backward, at 33 rows (one list) and 2,112 (64 lists)
  of 33 similarities, against the formulation of allRank, which the released code uses (shuffle for
  ties, mark padding, subtract the maximum, sum from the end, add 10⁻⁷), and against
  `torch.logcumsumexp`. All compute the same loss, which is checked.

    python benchmarks/ranking_losses.py [refine list-mle] [--repeats 200]
"""

from __future__ import annotations

import argparse
import time
from statistics import median

import torch
import torch.nn.functional as F

from synthlib import losses

N, BATCH, TAU, OMEGA = 33, 64, 0.05, 0.5


def drifting(lists, seed=0):
    """Cosines / τ within lists of N vectors that drift away from the first: [lists, N, N]."""
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(lists, 1, 128, generator=generator)
    vectors = vectors + 0.2 * torch.randn(lists, N, 128, generator=generator).cumsum(dim=1)
    vectors = F.normalize(vectors, dim=-1)
    return vectors @ vectors.mT / TAU


# ------------------------------------------------------------------ refined similarity
def loop(phi, omega):
    """One list, entry by entry, with the paper's sign."""
    n = len(phi)
    moved = torch.zeros_like(phi)
    for i in range(n):
        suffix = phi[i, i:]
        order = torch.argsort(suffix, descending=True, stable=True)
        in_order = suffix[order]
        for j in range(i, n):
            place = (order == j - i).nonzero()[0].item()
            size = abs(phi[i, j] - in_order[j - i])
            moved[i, j] = size if place > j - i else -size
    for i in range(n):
        for j in range(i + 1, n):
            moved[j, i] = moved[i, j]
    return phi + moved.sign() * torch.log(omega * moved.abs() + 1)


def bench_refine(repeats):
    print("| lists | way | ms a list | × ours |\n|---:|---|---:|---:|")
    phi = drifting(BATCH)
    refined = losses.refine_similarity(phi, OMEGA)
    looped = torch.stack([loop(one, OMEGA) for one in phi])
    assert torch.allclose(refined, looped, atol=1e-5)
    for lists in (1, BATCH):
        seconds = {"ours": [], "loop": []}
        given = phi[0] if lists == 1 else phi
        for turn in range(repeats):
            start = time.process_time()
            losses.refine_similarity(given, OMEGA)
            seconds["ours"].append(time.process_time() - start)
            if turn % 10 == 0:  # a loop over 64 lists takes half a second
                start = time.process_time()
                for one in phi[: min(lists, 4)]:
                    loop(one, OMEGA)
                seconds["loop"].append((time.process_time() - start) / min(lists, 4))
        ours, peer = median(seconds["ours"]) / lists, median(seconds["loop"])
        print(f"| {lists} | ours | {1000 * ours:.4f} | 1 |")
        print(f"| {lists} | loop | {1000 * peer:.4f} | {peer / ours:.0f} |")


# ------------------------------------------------------------------ ListMLE
def allrank(scores, targets):
    """allRank's way, written anew: summed over places, mean over rows."""
    shuffled = torch.randperm(scores.shape[-1])
    scores, targets = scores[:, shuffled], targets[:, shuffled]
    in_order, order = targets.sort(descending=True, dim=-1)
    padding = in_order == -1
    ranked = scores.gather(1, order)
    ranked[padding] = -torch.inf
    ranked = ranked - ranked.max(dim=1, keepdim=True)[0]
    below = ranked.exp().flip(dims=[1]).cumsum(dim=1).flip(dims=[1])
    terms = torch.log(below + 1e-7) - ranked
    terms[padding] = 0.0
    return terms.sum(dim=1).mean()


def logcumsumexp(scores, targets):
    ranked = scores.gather(1, targets.argsort(dim=1, descending=True))
    below = ranked.flip(dims=[1]).logcumsumexp(dim=1).flip(dims=[1])
    return (below - ranked).sum(dim=1).mean()


def ours(scores, targets):
    return losses.list_mle(scores, targets, reduction="mean")


def bench_list_mle(repeats):
    print("| rows | way | ms | × ours | loss |\n|---:|---|---:|---:|---:|")
    for lists in (1, BATCH):
        targets = losses.refine_similarity(drifting(lists), OMEGA).reshape(-1, N)
        student = drifting(lists, seed=1).reshape(-1, N)
        seconds, values = {}, {}
        for _ in range(repeats + 5):
            for way in (ours, allrank, logcumsumexp):
                scores = student.clone().requires_grad_()
                start = time.process_time()
                loss = way(scores, targets)
                loss.backward()
                seconds.setdefault(way, []).append(time.process_time() - start)
                values[way] = loss.item()
        base = median(seconds[ours][5:])
        for way, taken in seconds.items():
            assert abs(values[way] / values[ours] - 1) < 1e-4, values
            t = median(taken[5:])
            print(
                f"| {len(targets)} | {way.__name__} | {1000 * t:.3f} | {t / base:.2f} | "
                f"{values[way]:.4f} |"
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["refine", "list-mle"])
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, cpu, {torch.get_num_threads()} threads\n")
    if "refine" in options.parts:
        bench_refine(options.repeats)
        print()
    if "list-mle" in options.parts:
        bench_list_mle(options.repeats)


if __name__ == "__main__":
    main()
