"""STS scoring from texts to the table, the encoder left out: one pass against SentEval's loop.

Both sides get the same seven tasks (18,850 pairs of made-up sentences, all distinct, in the
numbers of the official files) and the same `encode`, a look-up of ready embeddings. Its time is
taken off both. What is left is what an evaluation does beside encoding:

*ours*   `evaluation.score_sts`: distinct sentences, order by length, checks, cosines, Spearman.
*loop*   as SentEval runs it: the pairs of a task sorted by length, in batches of 128 two calls of
         `encode`, one cosine at a time with NaN turned to 0 before and after, Spearman. Its rows
         are torch tensors, as the evaluation script of SimCSE hands them over, or numpy arrays.

They run in turn in one process on one thread, and their figures must agree. The best processor
time of several rounds counts: other programs can only add to it. A last part times cosines and
Spearman alone, embeddings of both sentences at hand.

`--data DATA` takes the real pairs of a folder instead of made-up ones. Real sentences repeat: a
caption stands in several pairs, and is embedded, checked and sorted once.

    python benchmarks/sts_scoring.py [--data DATA] [--dims 768] [--rounds 9]
"""

import argparse
import os
import platform
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr

from synthlib.evaluation import load_sts, score_sts
from synthlib.evaluation.embedding import paired_cosine

PAIRS = {
    "STS12": 3108, "STS13": 1500, "STS14": 3750, "STS15": 3000, "STS16": 1186, "STS-B": 1379,
    "SICK-R": 4927,
}  # fmt: skip


def made_up(dims):
    """Tasks in memory, and the embedding of every sentence in them."""
    rng = np.random.default_rng(0)
    pairs = sum(PAIRS.values())
    words = np.array([f"word{i}" for i in range(5000)])
    texts = [
        " ".join([*rng.choice(words, length), str(i)])
        for i, length in enumerate(rng.integers(4, 25, 2 * pairs))
    ]
    u = rng.normal(size=(pairs, dims)).astype(np.float32)
    noise = rng.uniform(0.1, 4, size=(pairs, 1)) * rng.normal(size=u.shape)
    v = u + noise.astype(np.float32)
    frame = pd.DataFrame({
        "sentence1": texts[:pairs], "sentence2": texts[pairs:],
        "score": paired_cosine(u, v) + rng.normal(scale=0.2, size=pairs),
    })  # fmt: skip
    ends = np.cumsum(list(PAIRS.values()))
    frames = {
        task: frame.iloc[end - n : end].reset_index(drop=True)
        for (task, n), end in zip(PAIRS.items(), ends, strict=True)
    }
    return frames, texts, np.concatenate([u, v])


def real(folder, dims):
    """The tasks of a folder, and a random embedding of every distinct sentence in them."""
    frames = load_sts(folder)
    columns = [frame[c] for frame in frames.values() for c in ("sentence1", "sentence2")]
    texts = pd.unique(pd.concat(columns)).tolist()
    made = np.random.default_rng(0).normal(size=(len(texts), dims))
    return frames, texts, made.astype(np.float32)


class Lookup:
    """The encoder: ready embeddings, and the processor time that finding them took."""

    def __init__(self, texts, embeddings):
        self.row = {text: i for i, text in enumerate(texts)}
        self.embeddings, self.seconds = embeddings, 0.0

    def __call__(self, batch):
        started = time.process_time()
        found = self.embeddings[[self.row[text] for text in batch]]
        self.seconds += time.process_time() - started
        return found


def ours(encode, frames, batch_size=None):
    table = score_sts(encode, frames, batch_size=batch_size)
    return dict(zip(table["task"], table["all"] / 100, strict=True))


def loop(encode, tasks):
    found = {}
    for task, (first, second, gold) in tasks.items():
        rows = zip(first, second, gold, strict=True)
        rows = sorted(rows, key=lambda row: (len(row[0]), len(row[1]), row[2]))
        first, second, gold = zip(*rows, strict=True)
        scores = []
        for start in range(0, len(gold), 128):
            u, v = encode(first[start : start + 128]), encode(second[start : start + 128])
            for k in range(len(u)):
                a, b = np.nan_to_num(u[k]), np.nan_to_num(v[k])
                cosine = np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))
                scores.append(np.nan_to_num(cosine))
        found[task] = spearmanr(scores, gold).statistic
    return found


def cosines_alone(u, v, gold):
    return spearmanr(paired_cosine(u, v), gold).statistic


def cosine_loop(u, v, gold):
    scores = []
    for k in range(len(gold)):
        a, b = np.nan_to_num(u[k]), np.nan_to_num(v[k])
        scores.append(np.nan_to_num(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b))))
    return spearmanr(scores, gold).statistic


def in_turn(runs, rounds):
    """Best processor time of each, without what its encoder took, and its result."""
    best, values = dict.fromkeys(runs, np.inf), {}
    for _ in range(rounds + 1):  # the first warms up
        for name, (run, encode) in runs.items():
            before, started = encode.seconds if encode else 0.0, time.process_time()
            values[name] = run()
            spent = time.process_time() - started
            spent -= encode.seconds - before if encode else 0.0
            best[name] = min(best[name], spent)
    return best, values


def show(title, best, values):
    print(f"\n{title}")
    ours = next(iter(best.values()))
    for name, seconds in best.items():
        mean = np.mean(list(values[name].values())) if isinstance(values[name], dict) else values[
            name]  # fmt: skip
        print(f"{name:34} {1000 * seconds:8.1f} ms  {seconds / ours:6.1f} x  "
              f"Spearman {100 * mean:.4f}")  # fmt: skip
    figures = pd.DataFrame([
        value if isinstance(value, dict) else {"": value} for value in values.values()
    ])  # fmt: skip
    spread = float((figures.max() - figures.min()).max())
    if spread > 1e-6:
        raise SystemExit(f"they disagree by {spread}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="folder with STS tasks in their original formats")
    parser.add_argument("--dims", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()

    frames, texts, embeddings = (
        real(options.data, options.dims) if options.data else made_up(options.dims)
    )
    lists = {
        task: tuple(frame[c].tolist() for c in ("sentence1", "sentence2", "score"))
        for task, frame in frames.items()
    }
    arrays, tensors = Lookup(texts, embeddings), Lookup(texts, torch.from_numpy(embeddings))
    pairs = sum(len(frame) for frame in frames.values())
    print(
        f"{pairs:,} pairs, {len(texts):,} distinct sentences, {options.dims} dimensions, float32, "
        f"{platform.machine()}, one thread, best of {options.rounds}"
    )
    runs = {
        "ours": (lambda: ours(arrays, frames), arrays),
        "ours, encoder called by 1,024": (lambda: ours(arrays, frames, 1024), arrays),
        "SentEval's loop, torch rows": (lambda: loop(tensors, lists), tensors),
        "SentEval's loop, numpy rows": (lambda: loop(arrays, lists), arrays),
    }
    show("from texts to the table, without the encoder", *in_turn(runs, options.rounds))

    u, v = (
        embeddings[[arrays.row[text] for frame in frames.values() for text in frame[column]]]
        for column in ("sentence1", "sentence2")
    )
    gold = np.concatenate([frame["score"] for frame in frames.values()])
    runs = {
        "ours": (lambda: cosines_alone(u, v, gold), None),
        "loop, torch rows": (
            lambda: cosine_loop(torch.from_numpy(u), torch.from_numpy(v), gold), None
        ),
        "loop, numpy rows": (lambda: cosine_loop(u, v, gold), None),
    }  # fmt: skip
    show("cosines and Spearman alone", *in_turn(runs, options.rounds))


if __name__ == "__main__":
    main()
