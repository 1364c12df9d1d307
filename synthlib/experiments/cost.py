"""What stage 3 costs a training step (MultiCSR, Table 12): time and memory at several batch sizes.

As in the paper the corpus is one triplet, replicated. A step is the loss that training runs, its
gradient and AdamW's update; tokens are at hand. Three methods, in turn on the same batch:

- ``SimCSE``: no mask.
- ``P_η once``: the mask from embeddings that were computed before training, as this package does
  it (`multicsr.false_negative_mask`). The embedding itself, one pass without gradient over each
  distinct sentence, is outside the step.
- ``P_η in every step``: the mask from the guide's pass over the batch, as in the released code:
  with gradients recorded and dropout on.
"""

from __future__ import annotations

import gc
import os
import time
from statistics import median

import pandas as pd
import torch
from torch import nn

from synthlib import losses, models, training
from synthlib.methods import multicsr

METHODS = ("SimCSE", "P_η once", "P_η in every step")
TRIPLET = (
    "a man walks a small dog in the park .",
    "a person is outside with an animal .",
    "a man sleeps at home .",
)


def pocket_models():
    """Encoder to train, and P_η, of the pocket laboratory."""
    return (
        models.load_encoder("pocket/mlm-bert", pooling="cls", device="cpu"),
        models.load_encoder("pocket/simcse-unsup-bert", device="cpu"),
    )


def stage3_cost(batch_sizes=(8, 16, 32, 64, 128), steps=10, *, make=pocket_models, triplet=TRIPLET):
    """Time and memory of a training step of SimCSE, and of stage 3 in two ways.

    Parameters
    ----------
    batch_sizes : sequence of int
        N triplets each.
    steps : int
        Timed steps of each method, after one that is not timed; the methods take turns.
    make : callable
        ``make() -> (encoder, guide)``, on one device; called for every method and batch size.
    triplet : (anchor, positive, hard negative)

    Returns
    -------
    DataFrame
        batch_size, method, seconds (median of a step; the processor's time on a CPU), megabytes
        (the most that tensors take at once in a step: the weights that it needs, their gradients,
        AdamW's moments, and what the passes keep; counted from the allocator's records).

    Source: MultiCSR Appendix G, Table 12.
    """
    rows = []
    for size in batch_sizes:
        steppers = {method: Step(method, [triplet] * size, *make()) for method in METHODS}
        seconds = {method: [] for method in METHODS}
        for _ in range(steps + 1):
            for method, step in steppers.items():
                seconds[method].append(step.timed())
        for method, step in steppers.items():
            rows.append((size, method, median(seconds[method][1:]), step.peak() / 1e6))
    return pd.DataFrame(rows, columns=["batch_size", "method", "seconds", "megabytes"])


class Step:
    """One training step of a method, again and again on the same batch of triplets."""

    def __init__(self, method, triplets, encoder, guide=None, *, mini_batch_size=None):
        self.encoder, self.device = encoder.train(), encoder.device
        views = ("anchor", "positive", "negative")
        batch = training.Collator(encoder, views, max_length=32)(
            [dict(zip(views, row, strict=True), row=i) for i, row in enumerate(triplets)]
        )
        tokens = {
            key.removeprefix("sentence_"): value.to(self.device)
            for key, value in batch.items()
            if key != "label" and isinstance(value, torch.Tensor)
        }
        self.features, self.rows = tokens, torch.arange(len(triplets), device=self.device)
        self.guide = None
        keep = None
        if method == "P_η once":
            keep = multicsr.false_negative_mask(guide.encode, triplets)
        if method == "P_η in every step":
            self.guide = guide.train()
            keep = self.mask
        self.loss = training.InBatchLoss(
            encoder, nn.Identity(), 3, 0.05, keep, "paper", mini_batch_size=mini_batch_size
        )
        self.optimiser = torch.optim.AdamW(encoder.parameters(), lr=1e-5)

    def mask(self, rows):
        vectors = self.guide(dict(self.features))["sentence_embedding"].view(3, len(rows), -1)
        return losses.false_negative_keep(*vectors)  # what the pass keeps lives up to here

    def run(self):
        self.optimiser.zero_grad(set_to_none=True)
        self.loss([dict(self.features)], self.rows).backward()
        self.optimiser.step()

    def timed(self):
        on_cpu = self.device.type == "cpu"
        clock = time.process_time if on_cpu else time.perf_counter
        if not on_cpu:
            torch.cuda.synchronize()
        start = clock()
        self.run()
        if not on_cpu:
            torch.cuda.synchronize()
        return clock() - start

    def peak(self):
        """Bytes: what is there between steps, and the most that a step adds."""
        self.optimiser.zero_grad(set_to_none=True)
        held = [*self.encoder.parameters(), *(self.guide.parameters() if self.guide else ())]
        for state in self.optimiser.state.values():
            held += [value for value in state.values() if isinstance(value, torch.Tensor)]
        return sum(tensor.nbytes for tensor in held) + peak_bytes(self.run, self.device)


def peak_bytes(run, device):
    """The most bytes of tensors that `run()` holds at once, beyond those that were there before.

    On a CPU from the profiler's records of every allocation and release; on a GPU from the
    allocator's own count.
    """
    if device.type == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    gc.collect()  # nothing from before may be released meanwhile
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler prints lines of its own
    activity = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activity, profile_memory=True) as profile:
        run()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    return most
