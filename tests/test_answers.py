"""Answers that people give: wrong ones that look right are rejected, right ones of any style pass.

`tests/mutants.py` changes the solutions mechanically; here stand slips of another kind, which no
single change of the solution gives, and solutions by loops, numpy, torch, other formulas and in
single precision. `MISREAD` are wrong answers whose messages must not name a mistake.
"""

import itertools
import json
import math
import re
import statistics
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
from exercises import EXERCISES, calls, check_module, solutions
from mutants import EQUIVALENT, survivors
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import rankdata

WRONG, RIGHT, MISREAD = {}, {}, {}


def wrong(*names):
    """Enter a wrong answer of an exercise, "chapter-check"."""
    return lambda function: [WRONG.setdefault(n, []).append(function) for n in names]


def right(name):
    return lambda function: RIGHT.setdefault(name, []).append(function)


def misread(name):
    return lambda function: MISREAD.setdefault(name, []).append(function)


def solution(name):
    number, exercise = name.split("-")


    return solutions(number)[calls(number)[exercise]]


# ------------------------------------------------------------------ 00
wrong("00-spearman")(lambda p, g: 100 * scipy.stats.spearmanr(p, g).statistic)
wrong("00-spearman")(lambda p, g: 100 * scipy.stats.spearmanr(p, g)[0].item())
wrong("00-spearman")(lambda p, g: 100 * pd.Series(p).corr(pd.Series(g), method="spearman"))
wrong("00-spearman")(lambda p, g: 100 * pd.DataFrame({"p": p, "g": g}).corr("spearman").iloc[0, 1])
right("00-spearman")(lambda p, g: 100 * np.corrcoef(rankdata(p), rankdata(g))[0, 1])
right("00-spearman")(lambda p, g: 100 * scipy.stats.pearsonr(rankdata(p), rankdata(g)).statistic)
right("00-spearman")(lambda p, g: 100 * pd.Series(p).rank().corr(pd.Series(g).rank()))
def own_spearman(p, g):
    return 100 * np.corrcoef(rankdata(p), rankdata(g))[0, 1]


right("00-spearman")(lambda p, g: own_spearman(p, g))  # a helper of one's own, of whatever name
right("00-spearman")(lambda p, g: 100 * statistics.correlation(rankdata(p), rankdata(g)))


@wrong("00-steered_choice")
def _(logits, noisy, omega):
    best = 0  # of scores below zero none is better
    where = 0
    for i in range(len(logits)):
        if logits[i] - omega * noisy[i] > best:
            best, where = logits[i] - omega * noisy[i], i
    return where


wrong("00-steered_choice")(lambda x, y, w: int(np.argmax((1 - w) * np.asarray(x) - w * y)))
right("00-steered_choice")(lambda x, y, w: (torch.tensor(x) - w * torch.tensor(y)).argmax())
right("00-steered_choice")(lambda x, y, w: max(range(len(x)), key=lambda i: x[i] - w * y[i]))
right("00-steered_choice")(lambda x, y, w: np.argmax(log_softmax(x) - w * log_softmax(y)))
misread("04-read_score")(lambda text: None)  # None is an answer, of which there are too many
misread("04-expected_score")(lambda logprobs, values, min_mass=0.1: None)
misread("00-steered_choice")(lambda x, y, w: int(np.argmin(y)))
misread("00-steered_choice")(lambda x, y, w: int(np.argmax(np.asarray(x) - w * w * y)))


def _keep(rule):
    def keep(a, b, alpha=3.0, beta=3.0, gamma=1.0):
        return np.array([bool(rule(x, y, alpha, beta, gamma)) for x, y in zip(a, b, strict=True)],
                        dtype=bool)  # fmt: skip

    return keep


wrong("00-keep")(_keep(lambda x, y, a, b, g: x > a and y <= b and x >= y + g))
wrong("00-keep")(_keep(lambda x, y, a, b, g: x >= a and y < b and x >= y + g))
wrong("00-keep")(_keep(lambda x, y, a, b, g: x >= a and y <= b and x > y + g))
wrong("00-keep")(_keep(lambda x, y, a, b, g: x >= a and y <= b and x >= y + max(g, 0)))
wrong("00-keep")(_keep(lambda x, y, a, b, g: x >= a and y <= b and abs(x - y) >= g))
right("00-keep")(_keep(lambda x, y, a, b, g: x >= a and y <= b and x - y >= g))
right("00-keep")(
    lambda a, b, alpha=3.0, beta=3.0, gamma=1.0: (
        (torch.tensor(a) >= alpha) & (torch.tensor(b) <= beta) & (torch.tensor(a - b) >= gamma)
    )
)
# One rule is strict and the others are not: nothing is left out "on a threshold" in general.
misread("00-keep")(_keep(lambda x, y, a, b, g: x >= a and y <= b and x > y + g))
misread("00-keep")(_keep(lambda x, y, a, b, g: x >= a and y <= b and x >= y - g))
misread("00-keep")(_keep(lambda x, y, a, b, g: y <= b and x >= y + g))


# ------------------------------------------------------------------ 01
def _single(a):
    return torch.tensor(np.asarray(a), dtype=torch.float32)


@right("01-in_batch_loss")
def _(anchor, positive, tau=0.05):
    a, b = (torch.nn.functional.normalize(_single(x), dim=1) for x in (anchor, positive))
    return torch.nn.functional.cross_entropy(a @ b.T / tau, torch.arange(len(a)))


@right("01-in_batch_loss")
def _(anchor, positive, tau=0.05):
    a, b = (torch.tensor(x) for x in (anchor, positive))
    cosines = torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1)
    return -torch.log_softmax(cosines / tau, dim=1).diagonal().mean().item()


@wrong("01-in_batch_loss")
def _(anchor, positive, tau=0.05):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (anchor, positive))
    logits = a @ b.T / tau
    e = np.exp(logits - logits.max())  # one shift for the whole matrix
    with np.errstate(all="ignore"):
        return -np.log(np.diag(e) / e.sum(axis=1)).mean()


@wrong("01-in_batch_loss")
def _(anchor, positive, tau=0.05):
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (anchor, positive))
    e = np.exp(np.clip(a @ b.T / tau, -700, 700))
    return -np.log(np.diag(e) / e.sum(axis=1)).mean()


@right("01-log_potential")
def _(x, t=2.0):
    x = torch.nn.functional.normalize(_single(x), dim=1)
    return torch.pdist(x).pow(2).mul(-t).exp().mean().log()


@right("01-log_potential")
def _(x, t=2.0):
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    powers = [-t * ((a - b) ** 2).sum() for i, a in enumerate(x) for b in x[:i]]
    return logsumexp(powers) - math.log(len(powers))


@right("01-whiten")
def _(x):
    value, vector = np.linalg.eigh(np.cov(x, rowvar=False))
    return (x - x.mean(axis=0)) @ (vector * value**-0.5) @ vector.T


@right("01-whiten")
def _(x):
    u, _, _ = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    return u * math.sqrt(len(x) - 1)


wrong("01-whiten")(lambda x: solution("01-whiten")(x)[::-1])
wrong("01-whiten")(lambda x: x - x.mean(axis=0))
misread("01-whiten")(lambda x: solution("01-whiten")(x)[::-1])
misread("01-whiten")(lambda x: solution("01-whiten")(x) + 0.5)


@right("01-three_ways")
def _(similarity, gold, part):
    frame = pd.DataFrame({"s": similarity, "g": gold, "p": part})
    each = frame.groupby("p")[["s", "g"]].apply(lambda f: f.s.rank().corr(f.g.rank()))
    size = frame.groupby("p").size()
    return {
        "all": 100 * frame.s.rank().corr(frame.g.rank()),
        "mean": 100 * each.mean(),
        "wmean": 100 * (each * size).sum() / size.sum(),
    }


misread("01-three_ways")(
    lambda s, g, p: solution("01-three_ways")(s, g, p) | {"mean": solution("01-three_ways")(
        s, g, p)["all"]}
)  # fmt: skip
misread("01-three_ways")(
    lambda s, g, p: solution("01-three_ways")(s, g, p) | {"wmean": solution("01-three_ways")(
        s, g, p)["mean"]}
)  # fmt: skip
misread("01-three_ways")(  # by numbers of pairs less one
    lambda s, g, p: solution("01-three_ways")(s, g, p) | {
        "wmean": np.average(
            [100 * scipy.stats.spearmanr(s[p == x], g[p == x]).statistic for x in np.unique(p)],
            weights=[(p == x).sum() - 1 for x in np.unique(p)],
        )
    }
)


# ------------------------------------------------------------------ 02
@right("02-slot_relation")
def _(premise, hypothesis, parent):
    def is_a(low, high):
        return high is None or (low is not None and (low == high or is_a(parent[low], high)))

    down, up = is_a(premise, hypothesis), is_a(hypothesis, premise)
    return {(1, 1): "equal", (1, 0): "entails", (0, 1): "open", (0, 0): "excludes"}[down, up]


@wrong("02-slot_relation")
def _(premise, hypothesis, parent):
    """The grandparents are the end."""

    def above(x):
        up = parent.get(x)
        return {up, parent.get(up)} - {None}

    if premise == hypothesis:
        return "equal"
    if hypothesis is None or hypothesis in above(premise):
        return "entails"
    return "open" if premise is None or premise in above(hypothesis) else "excludes"


@right("02-outcome_shares")
def _(premises, outputs, labels, kind):
    found = Counter(
        "broken" if label is None
        else "copied" if a == b
        else "right" if label == kind
        else "neutral" if label == "neutral"
        else "opposite"
        for a, b, label in zip(premises, outputs, labels, strict=True)
    )  # fmt: skip
    names = ("broken", "neutral", "opposite", "copied", "right")
    return {name: np.float32(100 * found[name] / found.total()) for name in names}


right("02-spearman")(lambda x, y: 100 * scipy.stats.spearmanr(x, y).statistic)
right("02-spearman")(lambda x, y: 100 * pd.Series(x).rank().corr(pd.Series(y).rank()))

# ------------------------------------------------------------------ 03
right("03-mixture")(lambda x, w: softmax(np.asarray(w) @ x))
right("03-mixture")(lambda x, w: (_single(w) @ _single(x)).softmax(0))
right("03-mixture")(
    lambda x, w: softmax(sum(a * log_softmax(np.asarray(row)) for a, row in zip(w, x, strict=True)))
)
wrong("03-mixture")(lambda x, w: np.exp(np.asarray(w) @ x) / np.exp(np.asarray(w) @ x).sum())


@right("03-as_guidance")
def _(omega, temperature=1.0):
    if omega < 1:
        lam = omega / (1 - omega)
        return np.array([1 + lam, (1 + lam) * temperature], dtype=np.float32)
    raise ValueError


@wrong("03-as_guidance")
def _(omega, temperature=1.0):
    if omega == 1:
        raise ValueError
    return 1 / (1 - omega), temperature / (1 - omega)


def _nothing_repaired(value):
    def share(before, after, kinds, by_label=False):
        found = solution("03-opposite_share")(before, after, kinds, by_label)
        return value if math.isnan(found) else found

    return share


for empty in (0.0, None, 100.0, 50.0):
    wrong("03-opposite_share")(_nothing_repaired(empty))
    misread("03-opposite_share")(_nothing_repaired(empty))
misread("03-opposite_share")(
    lambda *given: solution("03-opposite_share")(given[1], given[0], *given[2:])
)


def _flip(chosen):
    """The crossings with the leader, of which `chosen(quotients, lead, rise)` takes some."""

    def flip(logits, noisy):
        best = int(np.argmax(logits))
        lead, rise = logits[best] - logits, noisy[best] - noisy
        with np.errstate(all="ignore"):
            found = lead / rise
        found = found[chosen(found, lead, rise)]
        return float(found.min()) if len(found) else math.inf

    return flip


wrong("03-first_flip")(_flip(lambda q, lead, rise: q >= 0))  # −0.0 is a rival that falls
wrong("03-first_flip")(_flip(lambda q, lead, rise: q > 0))  # a tie may be lost at once
wrong("03-first_flip")(_flip(lambda q, lead, rise: (q >= 0) & (lead > 0)))
wrong("03-first_flip")(_flip(lambda q, lead, rise: (rise > 0) & (q < 10)))  # where a search ends
wrong("03-first_flip")(_flip(lambda q, lead, rise: (rise > 0) & (q > 0.01)))
right("03-first_flip")(_flip(lambda q, lead, rise: rise > 0))
misread("03-first_flip")(_flip(lambda q, lead, rise: q >= 0))
misread("03-first_flip")(_flip(lambda q, lead, rise: q > 0))
misread("03-first_flip")(lambda x, noisy: min(solution("03-first_flip")(x, noisy), 1e3))


@right("03-first_flip")
def _(logits, noisy):
    best = max(range(len(logits)), key=lambda i: logits[i])
    found = math.inf
    for i in range(len(logits)):
        if noisy[i] < noisy[best]:
            found = min(found, (logits[best] - logits[i]) / (noisy[best] - noisy[i]))
    return found


# ------------------------------------------------------------------ 04
def _mass(enough):
    def expected(logprobs, values, min_mass=0.1):
        p = np.exp(logprobs)
        return float(p @ values / p.sum()) if enough(p.sum(), min_mass) else None

    return expected


wrong("04-expected_score")(_mass(lambda mass, least: mass > least))
wrong("04-expected_score")(_mass(lambda mass, least: mass > 0.1))
right("04-expected_score")(
    lambda x, v, least=0.1: softmax(x) @ v if logsumexp(x) >= np.log(max(least, 1e-300)) else None
)


@right("04-expected_score")
def _(logprobs, values, min_mass=0.1):
    p = _single(logprobs).exp()
    return None if p.sum() < min_mass else (p * _single(values)).sum() / p.sum()


def _grid(low=np.greater_equal, high=np.less_equal, third=np.greater_equal):
    def counts(a, b, alpha, beta, gamma):
        return [
            int((low(a, x) & high(b, y) & (third(a, b + z) if z == z else a == a) & (b == b)).sum())
            for x, y, z in zip(alpha, beta, gamma, strict=True)
        ]

    return counts


right("04-grid_counts")(_grid())
wrong("04-grid_counts")(_grid(low=np.greater))
wrong("04-grid_counts")(_grid(high=np.less))
wrong("04-grid_counts")(_grid(third=np.greater))


@right("04-grid_counts")
def _(a, b, alpha, beta, gamma):
    a, b, alpha, beta, gamma = map(torch.tensor, (a, b, alpha, beta, gamma))
    margin = torch.nan_to_num(gamma, nan=-torch.inf)[:, None]
    return ((a >= alpha[:, None]) & (b <= beta[:, None]) & (a - b >= margin)).sum(1)


def _read(inside):
    def read(text):
        found = re.search(r"-?\d+(\.\d+)?", text or "")
        return float(found[0]) if found and inside(float(found[0])) else None

    return read


right("04-read_score")(_read(lambda x: 0 <= x <= 5))
wrong("04-read_score")(_read(lambda x: 0 < x <= 5))
wrong("04-read_score")(_read(lambda x: 0 <= x < 5))
wrong("04-read_score")(_read(lambda x: 0 <= x <= 5 and x * 2 == int(x * 2)))
wrong("04-read_score")(lambda text: next((float(c) for c in text or "" if c in "012345"), None))


@right("04-loosest_beta")
def _(b, right, target):
    order = np.argsort(b, kind="stable")
    b, share = b[order], np.cumsum(right[order]) / np.arange(1, len(b) + 1)
    last = np.append(b[1:] != b[:-1], True)[: len(b)]
    good = b[last & (share >= target)]
    return good[-1] if len(good) else None


@wrong("04-loosest_beta")
def _(b, right, target):
    """Scores are taken for halves."""
    good = [x for x in np.arange(11) / 2 if (b <= x).any() and right[b <= x].mean() >= target]
    return float(max(good)) if good else None


# ------------------------------------------------------------------ 05
def _lowest(number):
    return lambda logits, keep: float(
        np.mean(logsumexp(np.where(keep, logits, number), axis=1) - np.diag(logits))
    )


for number in (-30, -50.0, -100, -1e3, -1e4, -1e6, -1e9):
    wrong("05-masked_loss")(_lowest(number))
right("05-masked_loss")(_lowest(-np.inf))
right("05-masked_loss")(_lowest(np.finfo(float).min))


def _one_shift(shift):
    def loss(logits, keep):
        left = logits - shift(logits, keep)
        return float(np.mean(np.log((np.exp(left) * keep).sum(axis=1)) - np.diag(left)))

    return loss


wrong("05-masked_loss")(_one_shift(lambda x, keep: x.max()))
wrong("05-masked_loss")(_one_shift(lambda x, keep: x[keep].max()))
wrong("05-masked_loss")(_one_shift(lambda x, keep: x.mean()))
wrong("05-masked_loss")(_one_shift(lambda x, keep: np.diag(x).max()))
wrong("05-masked_loss")(_one_shift(lambda x, keep: x.max(axis=1, keepdims=True)))
wrong("05-masked_loss")(lambda x, k: _one_shift(lambda x, k: 0.0)(np.clip(x, -700, 700), k))
right("05-masked_loss")(
    lambda x, keep: torch.nn.functional.cross_entropy(
        _single(x).masked_fill(~torch.tensor(keep), -torch.inf), torch.arange(len(x))
    )
)
right("05-masked_loss")(
    lambda x, keep: np.mean([logsumexp(row[k]) - row[i] for i, (row, k) in
                             enumerate(zip(x, keep, strict=True))])
)  # fmt: skip
right("05-keep_mask")(
    lambda s, sigma=0.9: torch.where(
        torch.eye(len(s)).bool().repeat(1, 2), torch.tensor(True), torch.tensor(s) < sigma
    )
)


@right("05-keep_mask")
def _(similar, sigma=0.9):
    n = len(similar)
    return [[j % n == i or not similar[i, j] >= sigma for j in range(2 * n)] for i in range(n)]


right("05-copies_loss")(
    lambda m, own, hard, tau=0.05, masked=False: logsumexp(
        [own / tau] * (1 if masked else m) + [hard / tau] * m) - own / tau
)  # fmt: skip
wrong("05-pairs_per_epoch")(lambda rows, n, hard: round(rows / n) * n * n * (1 + hard))
right("05-pairs_per_epoch")(lambda rows, n, hard: float((rows - rows % n) * n * (1 + hard)))

# ------------------------------------------------------------------ 06
right("06-paired_gain")(
    lambda a, b: (np.float32(np.mean(a - b)), scipy.stats.sem(a - b))
)
right("06-paired_gain")(
    lambda a, b: [statistics.fmean(a - b), statistics.stdev((a - b).tolist()) / len(a) ** 0.5]
)


@right("06-union")
def _(curated, gold):
    found = list(gold)
    for row in curated:
        if row not in found and row[0] in [g[0] for g in gold]:
            found.append(row)
    return found


wrong("06-union")(lambda c, g: [*g, *(r for r in dict.fromkeys(c) if r[0] in str(g))])
wrong("06-union")(
    lambda c, g: list(dict.fromkeys([*g, *(r for r in c if r[0] in {x for y in g for x in y})]))
)
wrong("06-union")(lambda c, g: [*g, *(r for r in c if r[0] in {x[0] for x in g} and r not in g)])
right("06-ndcg")(
    lambda grades, k=10: (
        sum(g / math.log2(i + 2) for i, g in enumerate(grades[:k]))
        / sum(g / math.log2(i + 2) for i, g in enumerate(sorted(grades)[::-1][:k]))
    )
)


def _lines(good):
    def read(lines):
        rows = []
        for line in lines:
            try:
                row = json.loads(line)
                row = tuple(row[name] for name in ("anchor", "positive", "negative"))
                rows += [row] if good(row) else []
            except Exception:
                pass
        return rows, len(lines) - len(rows)

    return read


right("06-read_triplets")(_lines(lambda row: all(type(x) is str and not x.isspace() and x != ""
                                                 for x in row)))  # fmt: skip
wrong("06-read_triplets")(_lines(lambda row: all(isinstance(x, str) for x in row)))
wrong("06-read_triplets")(_lines(lambda row: all(str(x).strip() for x in row)))
wrong("06-read_triplets")(_lines(lambda row: all(x and x != " " for x in row)))

# ------------------------------------------------------------------ 07


def _dual(mix, r1=lambda p, omega: p - omega):
    def reward(p, s, positive, omega, low, high, w1=0.5, w2=0.5):
        r2 = np.where(positive, (1 - s) * np.sign(s - low), s * np.sign(high - s))
        with np.errstate(all="ignore"):
            return mix(r1(p, omega), r2, w1, w2)

    return reward


right("07-dual_reward")(_dual(lambda a, b, w1, w2: w1 * a + w2 * b))
wrong("07-dual_reward")(_dual(lambda a, b, w1, w2: w1 * a + (1 - w1) * b))
wrong("07-dual_reward")(_dual(lambda a, b, w1, w2: (1 - w2) * a + w2 * b))
wrong("07-dual_reward")(_dual(lambda a, b, w1, w2: (w1 * a + w2 * b) / (w1 + w2)))
wrong("07-dual_reward")(_dual(lambda a, b, w1, w2: np.average([a, b], axis=0, weights=[w1, w2])))
wrong("07-dual_reward")(_dual(lambda a, b, w1, w2: (a + b) / 2))


@right("07-dual_reward")
def _(p, s, positive, omega, low, high, w1=0.5, w2=0.5):
    p, s = _single(p), _single(s)
    hard = torch.where(torch.tensor(positive), (1 - s) * (s - low).sign(), s * (high - s).sign())
    return w1 * (p - omega) + w2 * hard


def _even(least):
    def even(p, alpha, w1, w2):
        return None if w1 == 0 or p == 0 else max(-1.0, least(p, alpha, w1, w2))

    return even


right("07-break_even")(_even(lambda p, a, w1, w2: (w2 * a - w1 * p) / w2))
wrong("07-break_even")(_even(lambda p, a, w1, w2: a - p * w1 / (1 - w1) if w1 != 1 else -1))
wrong("07-break_even")(_even(lambda p, a, w1, w2: a - p * (1 - w2) / w2))
wrong("07-break_even")(_even(lambda p, a, w1, w2: a - p * w1 / (w1 + w2)))
wrong("07-break_even")(_even(lambda p, a, w1, w2: a - p * w1 / w2 * (w1 + w2)))


def _bounds(accepted, method="linear"):
    def bounds(p, s, positive, quantile=0.05):
        yes = accepted(p)
        return (np.quantile(s[yes & positive], quantile, method=method),
                np.quantile(s[yes & ~positive], 1 - quantile, method=method))  # fmt: skip

    return bounds


right("07-bounds")(_bounds(lambda p: p > 0.5))
wrong("07-bounds")(_bounds(lambda p: p >= 0.5))
right("07-bounds")(_bounds(lambda p: p.round() == 1))  # one half is rounded to 0
right("07-bounds")(
    lambda p, s, g, q=0.05: (torch.quantile(_single(s[(p > 0.5) & g]), q),
                             torch.quantile(_single(s[(p > 0.5) & ~g]), 1 - q))
)  # fmt: skip

for ends in (".!", ".?", ".'", *(f'."{mark}' for mark in "…”!?':;,)-]")):
    wrong("07-ending_penalty")(
        lambda text, ends=ends: 0.0 if text.strip()[-1:] and text.strip()[-1] in ends else -3.5
    )
    misread("07-ending_penalty")(
        lambda text, ends=ends: 0.0 if text.strip()[-1:] and text.strip()[-1] in ends else -3.5
    )
wrong("07-ending_penalty")(lambda t: 0.0 if re.search(r"\W$", t.rstrip()) else -3.5)
wrong("07-ending_penalty")(lambda t: 0.0 if t.rstrip().endswith((".", '."')) else -3.5)
wrong("07-ending_penalty")(lambda t: 0.0 if t.rstrip(" ").endswith((".", '"')) else -3.5)
right("07-ending_penalty")(lambda t: 0.0 if re.search(r'[."]\s*$', t) else -3.5)
right("07-ending_penalty")(lambda t: -3.5 * (t.strip()[-1:] not in (".", '"')))


# ------------------------------------------------------------------ 08
def _best(weights):
    def best(reference, reward, beta):
        with np.errstate(all="ignore"):
            found = weights(np.asarray(reference), np.asarray(reward), beta)
            return found / found.sum()

    return best


wrong("08-best_policy")(_best(lambda p, r, beta: p * np.exp(r / beta)))
wrong("08-best_policy")(_best(lambda p, r, beta: p * np.exp((r - r.mean()) / beta)))
wrong("08-best_policy")(_best(lambda p, r, beta: p * np.exp((r - r.min()) / beta)))
wrong("08-best_policy")(_best(lambda p, r, beta: p * np.exp(np.clip(r / beta, -700, 700))))
wrong("08-best_policy")(_best(lambda p, r, beta: p * np.exp(r - r.max()) ** (1 / beta) + 1e-4))
right("08-best_policy")(_best(lambda p, r, beta: p * softmax(r / beta)))
right("08-best_policy")(lambda p, r, beta: softmax(np.log(p) + r / beta))
right("08-best_policy")(lambda p, r, beta: (_single(p).log() + _single(r) / beta).softmax(0))
right("08-clipped_objective")(
    lambda r, a, e: torch.minimum(_single(r) * _single(a),
                                  _single(r).clamp(1 - e, 1 + e) * _single(a)).mean()
)  # fmt: skip
right("08-clipped_objective")(
    lambda r, a, e: np.where(a > 0, np.minimum(r, 1 + e), np.maximum(r, 1 - e)) @ a / len(a)
)
right("08-k3")(lambda new, old: (np.expm1(old - new) - old + new).mean())
right("08-k3")(lambda new, old: np.mean(np.exp(old) / np.exp(new) - 1 - old + new))


@right("08-gae_row")
def _(rewards, values, gamma, lam):
    delta = _single(rewards) + gamma * torch.cat([_single(values)[1:], torch.zeros(1)])
    delta, found = delta - _single(values), []
    for t in range(len(delta)):
        weights = (gamma * lam) ** torch.arange(len(delta) - t).float()
        found.append(float(weights @ delta[t:]))
    return found


# ------------------------------------------------------------------ 09
def _filter(copied, drop=lambda p, n: False):
    def triplets(rows):
        found = []
        for anchor in dict.fromkeys(row[0] for row in rows):
            good = [r for r in rows if r[0] == anchor and r[3] and not copied(anchor, r[2])]
            first = {kind: next((r[2] for r in good if r[1] == kind), None)
                     for kind in ("positive", "negative")}  # fmt: skip
            p, n = first["positive"], first["negative"]
            if p is not None and n is not None and not drop(p, n):
                found.append((anchor, p, n))
        return found

    return triplets


right("09-triplets")(_filter(lambda a, t: " ".join(a.split()) == " ".join(t.split())))
wrong("09-triplets")(_filter(lambda a, t: Counter(a.split()) == Counter(t.split())))
wrong("09-triplets")(_filter(lambda a, t: set(a.split()) == set(t.split())))
wrong("09-triplets")(_filter(lambda a, t: set(t.split()) <= set(a.split())))
wrong("09-triplets")(_filter(lambda a, t: set(a.split()) <= set(t.split())))
wrong("09-triplets")(_filter(lambda a, t: t.strip() in a))
wrong("09-triplets")(_filter(lambda a, t: a.split() == t.split()[: len(a.split())]))
wrong("09-triplets")(_filter(lambda a, t: t.split() == a.split()[: len(t.split())]))
wrong("09-triplets")(_filter(lambda a, t: a.lower().split() == t.lower().split()))
wrong("09-triplets")(_filter(lambda a, t: a.split() == t.rstrip(".").split()))
wrong("09-triplets")(_filter(lambda a, t: a == t))
wrong("09-triplets")(_filter(lambda a, t: a == t.strip()))
wrong("09-triplets")(_filter(lambda a, t: a.replace(" ", "") == t.replace(" ", "")))
wrong("09-triplets")(_filter(lambda a, t: a.split() == t.split(), lambda p, n: p == n))
right("09-usable_share")(lambda p, q, n: math.prod(1 - math.pow(1 - x, n) for x in (p, q)))
right("09-texts_of")(lambda r, s, b, a, c: sum(s * b + a * c + a * c for _ in range(r)))


# ------------------------------------------------------------------ 10
def _added(p_least, before_least):
    def word(p, before, lam):
        return softmax((1 + lam) * np.log(p + p_least) - lam * np.log(before + before_least))

    return word


right("10-next_word")(_added(0.0, 0.0))
for least in (1e-6, 1e-8, 1e-9, 1e-10, 1e-12, 1e-15):
    wrong("10-next_word")(_added(least, least))
    wrong("10-next_word")(_added(0.0, least))
    wrong("10-next_word")(
        lambda p, q, lam, least=least: softmax(
            (1 + lam) * np.log(np.maximum(p, least)) - lam * np.log(np.maximum(q, least)))
    )  # fmt: skip
wrong("10-next_word")(_added(1e-9, 0.0))
right("10-next_word")(lambda p, q, lam: (w := p ** (1 + lam) / q**lam) / w.sum())
right("10-next_word")(lambda p, q, lam: (w := p * (p / q) ** lam) / w.sum())
right("10-next_word")(
    lambda p, q, lam: ((1 + lam) * _single(p).log() - lam * _single(q).log()).softmax(0)
)


def _reasons(order, same=lambda s: s, blank=lambda s: not s.strip(), times=3, short=None):
    def why(sentences, steps):
        sentences_ = [same(s) for s in sentences]
        few = len(sentences) < steps + 1 if short is None else short(len(sentences), steps)
        found = {
            "incomplete": few or any(map(blank, sentences)),
            "newline": any("\n" in s for s in sentences),
            "degenerate tail": any(sentences_.count(s) >= times for s in sentences_[-2:]),
        }
        return next((name for name in order if found[name]), None)

    return why


_ORDER = "incomplete", "newline", "degenerate tail"
right("10-why_dropped")(_reasons(_ORDER))
for i, j, k in ((0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
    wrong("10-why_dropped")(_reasons([_ORDER[i], _ORDER[j], _ORDER[k]]))
wrong("10-why_dropped")(_reasons(_ORDER, same=str.lower))
wrong("10-why_dropped")(_reasons(_ORDER, same=lambda s: " ".join(sorted(s.split()))))
wrong("10-why_dropped")(_reasons(_ORDER, blank=lambda s: not s))
wrong("10-why_dropped")(_reasons(_ORDER, blank=lambda s: False))
wrong("10-why_dropped")(_reasons(_ORDER, times=4))
wrong("10-why_dropped")(_reasons(_ORDER, short=lambda n, steps: n != steps + 1))
wrong("10-why_dropped")(_reasons(_ORDER, short=lambda n, steps: n < steps))
misread("10-why_dropped")(_reasons(_ORDER, times=4))
misread("10-why_dropped")(_reasons(_ORDER, short=lambda n, steps: n != steps + 1))
misread("10-why_dropped")(lambda s, steps: _reasons(_ORDER)(s, steps) or "kept")
misread("10-why_dropped")(lambda s, steps: _reasons(_ORDER)(s[-steps:], steps - 1))

right("10-straightness")(
    lambda x: np.linalg.norm(x[-1] - x[0]) / np.linalg.norm(x[1:] - x[:-1], axis=1).sum()
    if (x != x[0]).any() else float("nan")
)  # fmt: skip
wrong("10-straightness")(
    lambda x: np.linalg.norm(x[-1] - x[0]) / way
    if (way := np.linalg.norm(np.diff(x, axis=0), axis=1).sum()) > 1e-8 else math.nan
)  # fmt: skip
wrong("10-straightness")(
    lambda x: np.linalg.norm(x[-1] - x[0]) / (np.linalg.norm(np.diff(x, axis=0), axis=1).sum() +
                                              1e-9)
)  # fmt: skip


# ------------------------------------------------------------------ 11
def _step(length):
    def refined(row, omega):
        gap = np.sort(row)[::-1] - row
        return row + np.sign(gap) * length(np.log1p(omega * np.abs(gap)), np.abs(gap))

    return refined


right("11-refined_row")(_step(lambda step, gap: step))
for part in (0.5, 0.9, 1.0, 1.5):
    wrong("11-refined_row")(_step(lambda step, gap, part=part: np.minimum(step, part * gap)))
wrong("11-refined_row")(_step(lambda step, gap: np.minimum(step, 1.0)))
wrong("11-refined_row")(lambda row, w: _step(lambda step, gap: step)(row, min(w, 1.0)))
wrong("11-refined_row")(lambda row, w: np.clip(_step(lambda step, gap: step)(row, w), -1, 1))
wrong("11-refined_row")(  # the row's head stays where it is
    lambda row, w: np.append(row[:1], _step(lambda step, gap: step)(row[1:], w))
)
right("11-refined_row")(
    lambda row, w: _single(row) + (d := _single(row).sort(descending=True)[0] - _single(row)).sign()
    * (w * d.abs() + 1).log()
)


def _ranking(loss):
    def of(scores, targets):
        s = scores[np.argsort(-targets)]
        with np.errstate(all="ignore"):
            return float(loss(s))

    return of


def _naive(s):
    return (np.log(np.cumsum(np.exp(s)[::-1])[::-1]) - s).sum()


wrong("11-list_mle_row")(_ranking(_naive))
wrong("11-list_mle_row")(_ranking(lambda s: _naive(s - s.max())))
wrong("11-list_mle_row")(_ranking(lambda s: _naive(np.clip(s, -700, 700))))
right("11-list_mle_row")(
    _ranking(lambda s: sum(logsumexp(s[i:]) - s[i] for i in range(len(s))))
)
right("11-list_mle_row")(
    lambda s, t: (x := _single(s)[np.argsort(-t)]).flip(0).logcumsumexp(0).sum() - x.sum()
)
right("11-smallest_omega")(lambda gap: (math.exp(gap / 2) - 1) / gap)
right("11-out_of_order")(
    lambda row: np.mean([b > a for i, a in enumerate(row) for b in row[i + 1 :]])
)

# ------------------------------------------------------------------ 12, 13, 16
right("12-average_precision")(
    lambda scores, relevant: np.mean([
        sum(r and t >= s for t, r in zip(scores, relevant, strict=True))
        / sum(t >= s for t in scores)
        for s, yes in zip(scores, relevant, strict=True) if yes
    ])
)  # fmt: skip
right("12-mean_gains")(
    lambda b, a: (np.mean(np.subtract(a, b)), 100 * (np.sum(a) / np.sum(b) - 1))
)
right("12-pair_features")(
    lambda u, v: torch.cat([(_single(u) - _single(v)).abs(), _single(u) * _single(v)], dim=1)
)


@right("12-left_to_do")
def _(rows, size, done):
    found = []
    for i in range(math.ceil(rows / size)):
        if i not in done:
            found.append([i * size, min(rows, (i + 1) * size)])
    return found


wrong("13-kappa")(
    lambda a, b: (lambda p, e: (p - e) / (1 - e + 1e-12))(
        np.mean([x == y for x, y in zip(a, b, strict=True)]),
        sum(a.count(x) * b.count(x) for x in set(a)) / len(a) ** 2,
    )
)


@right("13-kappa")
def _(first, second):
    table = pd.crosstab(pd.Series(first), pd.Series(second), normalize=True)
    labels = table.index.union(table.columns)
    table = table.reindex(index=labels, columns=labels, fill_value=0).to_numpy()
    chance = table.sum(0) @ table.sum(1)
    return (np.trace(table) - chance) / (1 - chance) if chance < 1 - 1e-12 else np.nan


@right("13-alike")
def _(texts):
    seen = Counter(tuple(text.casefold().split()) for text in texts)
    return 100 * sum(n for n in seen.values() if n > 1) / len(texts) if texts else np.nan


@right("14-best_of")
def _(rewards, n):
    found = [max(chosen) for chosen in itertools.combinations(rewards, n)]
    return torch.tensor(found, dtype=torch.float32).mean()


@wrong("14-best_of")
def _(rewards, n):
    parts = [rewards[i : i + n] for i in range(0, len(rewards) - n + 1, n)]
    return sum(max(part) for part in parts) / len(parts)  # some choices, not all


wrong("14-copy_reward")(
    lambda p, kind, omega, up, down, w1=0.5, w2=0.5: w1 * (p - omega) - w2 * (kind == "negative")
)
wrong("14-copy_reward")(
    lambda p, kind, omega, up, down, w1=0.5, w2=0.5: (
        w1 * (p - omega) + w2 * (np.sign(down - 1) if kind == "negative" else np.sign(1 - up))
    )
)
right("14-copy_reward")(
    lambda p, kind, omega, up, down, w1=0.5, w2=0.5: (
        w1 * (p - omega) + w2 * (np.sign(down - 1) if kind == "negative" else 0)
    )
)


@right("14-parting")
def _(reward, right, window=3):
    for end in range(window, len(reward)):
        first, now = slice(window), slice(end + 1 - window, end + 1)
        if end + 1 < 2 * window:
            continue
        if sum(reward[now]) > sum(reward[first]) and sum(right[now]) < sum(right[first]):
            return end + 1


@wrong("14-parting")
def _(reward, right, window=3):
    for end in range(2 * window, len(reward) + 1, window):  # windows side by side
        now = slice(end - window, end)
        if np.mean(reward[now]) > np.mean(reward[:window]) and (
            np.mean(right[now]) < np.mean(right[:window])
        ):
            return end
    return None


wrong("15-repeated")(lambda texts: 1 - len(set(texts)) / len(texts))
wrong("15-repeated")(  # blanks within a sentence are left
    lambda texts: 1 - (len({x.lower().strip() for x in texts}) - 1) / (len(texts) - 1)
)
right("15-repeated")(
    lambda texts: 1 - (len({tuple(x.lower().split()) for x in texts}) - 1) / (len(texts) - 1)
)
wrong("15-misorder")(lambda s: float((1 - scipy.stats.kendalltau(range(len(s)), s).statistic) / 2))


@right("15-misorder")
def _(similarities):
    pairs = list(itertools.combinations(similarities, 2))
    return sum(later > earlier for earlier, later in pairs) / len(pairs)


wrong("15-fair_score")(lambda tried, apart: list(apart.values())[np.argmax(list(tried.values()))])
right("15-fair_score")(lambda tried, apart: apart[pd.Series(tried).idxmax()])
right("16-told_apart")(
    lambda a, s, o: np.mean([
        0.5 if abs(x - y) < 1e-9 else x > y
        for x, y in zip(
            (a * s).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(s, axis=1),
            (a * o).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(o, axis=1), strict=True)
    ])
)  # fmt: skip
wrong("16-told_apart")(
    lambda a, s, o: float(np.mean(0.5 + 0.5 * np.sign((
        (a * s).sum(1) / np.linalg.norm(s, axis=1) - (a * o).sum(1) / np.linalg.norm(o, axis=1)
    ).round(6))))
)  # fmt: skip
# ------------------------------------------------------------------ 17
@right("17-absent")
def _(names, count, size):
    there = {int(found[1]) for name in names if (found := re.fullmatch(r"(\d+)-.*\.parquet", name))}
    return sorted(set(range(math.ceil(count / size))) - there)


wrong("17-absent")(lambda names, count, size: [  # those with a dot before them counted as there
    n for n in range(math.ceil(count / size)) if not any(f"{n:05d}-" in name for name in names)
])  # fmt: skip
right("17-device_hours")(
    lambda p, read, written, texts, peak, reached, devices:
    float(np.prod([2, p, read + written, texts]) / np.float64(peak * reached * devices) / 60 / 60)
)  # fmt: skip
wrong("17-device_hours")(
    lambda p, read, written, texts, peak, reached, devices:
    2 * p * (read + written) * texts / peak * reached / devices / 3600
)  # fmt: skip
right("17-texts_at_once")(
    lambda memory, weights, token, tokens, contexts:
    int(max(0.0, (0.9 * memory - weights) / (token * tokens * contexts)))
)  # fmt: skip
wrong("17-texts_at_once")(
    lambda memory, weights, token, tokens, contexts:
    max(0, round((0.9 * memory - weights) / (token * tokens * contexts)))
)  # fmt: skip


def _each(answers):
    return [
        pytest.param(name, function, id=f"{name}-{i}")
        for name, functions in answers.items()
        for i, function in enumerate(functions)
    ]


def _check(name, function):
    number, exercise = name.split("-")
    return getattr(check_module(number), exercise)(function)


@pytest.mark.parametrize("name, function", _each(WRONG))
def test_a_wrong_answer_is_rejected(name, function):
    result = _check(name, function)
    assert not result.passed
    assert result.message.strip() and len(result.message) < 1200


@pytest.mark.parametrize("name, function", _each(RIGHT))
def test_a_right_answer_of_another_style_passes(name, function):
    result = _check(name, function)
    assert result.passed, result.message


@pytest.mark.parametrize("name, function", _each(MISREAD))
def test_no_mistake_is_named_that_was_not_made(name, function):
    number, exercise = name.split("-")
    message = _check(name, function).message
    assert message not in [hint for _, hint in check_module(number).WRONG[exercise]]
    # In its place stands the smallest input that fails, with what was expected there and given.
    assert "nput: " in message and re.search(r"[Gg]ot |[Yy]ou return ", message), message


# ------------------------------------------------------------------ mutants
@pytest.mark.parametrize("number, exercise", EXERCISES)
def test_each_mutant_that_a_check_accepts_is_known_to_be_right(number, exercise):
    tried, accepted = survivors(number, exercise)
    assert tried >= 5, "hardly anything of the solution was changed"
    known = EQUIVALENT.get(f"{number}-{exercise}", {})
    assert sorted(accepted) == sorted(known), (
        "a check with a hole (a wrong answer that it accepts), or a reason without its mutant"
    )
    assert all(len(reason.split()) >= 3 for reason in known.values())


def test_every_known_mutant_belongs_to_an_exercise():
    assert set(EQUIVALENT) <= {f"{number}-{exercise}" for number, exercise in EXERCISES}
