"""Checks of the exercises of chapter 5, masked in-batch training."""

import math

import numpy as np

from synthlib.checks import Case, Mistake, run, wrong_answers


# --- keep_mask ------------------------------------------------------------------------
def _keep_mask(similar, sigma=0.9):
    n = len(similar)
    keep = np.empty((n, 2 * n), dtype=bool)
    for i in range(n):
        for j in range(2 * n):
            keep[i, j] = j in (i, n + i) or similar[i][j] < sigma
    return keep


def _keep_cases(rng):
    yield np.array([[0.95, 0.2, 0.95, 0.1], [0.9, 0.95, 0.3, 0.2]]), 0.9
    for n, sigma in ((2, 0.5), (3, 0.5), (5, 0.0), (6, 0.9)):
        yield rng.uniform(-1, 1, size=(n, 2 * n)), sigma
    for n in (1, 2, 2, 3, 4):  # ties with sigma
        yield rng.integers(0, 3, size=(n, 2 * n)) / 2, 0.5
    yield rng.uniform(0.8, 1, size=(3, 6))  # at the threshold of the signature
    yield np.full((3, 6), 0.99), 0.9  # everything is masked but the own pairs
    yield rng.integers(-1, 2, size=(3, 6)) * 1.0, 1.0


def _own(n, blocks=2):
    return np.tile(np.eye(n, dtype=bool), blocks)


def _without_negative(similar, sigma=0.9):
    keep = similar < sigma
    n = len(similar)
    keep[np.arange(n), np.arange(n)] = True
    return keep


def _whole_column(similar, sigma=0.9):
    n = len(similar)
    near = (similar >= sigma) & ~_own(n)
    return np.broadcast_to(~near.any(axis=0), similar.shape) | _own(n)


_KEEP = (
    Mistake(
        "strict",
        lambda similar, sigma=0.9: (similar <= sigma) | _own(len(similar)),
        "You keep a candidate whose similarity is exactly σ. Eq. 6 masks from σ on: sim ≥ σ.",
    ),
    Mistake(
        "own hard negative masked",
        _without_negative,
        "You protect the row's own positive, but not its own hard negative. Both are the row's "
        "own pair (x^k = x) and must stay.",
    ),
    Mistake(
        "own pair masked",
        lambda similar, sigma=0.9: similar < sigma,
        "You mask a row's own pair where the guide finds it similar. Its own positive *is* "
        "similar; without it the row has nothing to find.",
    ),
    Mistake(
        "inverted",
        lambda similar, sigma=0.9: ~((similar < sigma) | _own(len(similar))),
        "You return True for what is masked. Wanted is True for what is kept.",
    ),
    Mistake(
        "whole column",
        _whole_column,
        "You take a candidate out for every row when one row resembles it. The mask belongs to "
        "the pair of row and candidate: the same sentence stays a negative for the other rows.",
    ),
)


def keep_mask(function):
    """Check ``keep_mask(similar [N, 2N], sigma) -> bool [N, 2N]`` (Eq. 6)."""
    return run("Mask the false negatives", function, _keep_mask, _keep_cases, _KEEP)


# --- masked_loss ----------------------------------------------------------------------
def _masked_loss(logits, keep):
    losses = []
    for i, row in enumerate(logits):
        kept = [z for z, k in zip(row, keep[i], strict=True) if k]
        top = max(kept)
        losses.append(top + math.log(sum(math.exp(z - top) for z in kept)) - row[i])
    return sum(losses) / len(losses)


def _some(rng, n):
    """A mask that keeps every row's own positive and takes the candidate behind it away."""
    keep, row = rng.uniform(size=(n, 2 * n)) < 0.5, np.arange(n)
    keep[row, row], keep[row, row + 1] = True, False
    return keep


def _loss_cases(rng):
    yield np.array([[2.0, 1.0, 0.0, 3.0], [0.5, 2.0, 1.0, 1.0]]), np.array(
        [[True, False, True, True], [True, True, True, True]]
    )
    yield np.array([[0.5, 0.5]]), np.array([[True, False]])  # nothing is left but the positive
    for n, scale in ((1, 1.0), (2, 1.0), (4, 3.0), (6, 20.0)):
        yield scale * rng.normal(size=(n, 2 * n)), _some(rng, n)
    yield rng.normal(size=(3, 6)), np.ones((3, 6), dtype=bool)  # nothing is masked
    # A removed term is none, whatever the others are: what is kept may lie far above zero or below
    # it, far below what is masked, or at another level in each row.
    for level in (900.0, -40.0, -300.0, -900.0, -3e4):
        for n in (1, 2, 3):
            logits = level + rng.normal(size=(n, 2 * n))
            yield Case((logits, _some(rng, n)), atol=1e-6 * abs(level))
    for n in (2, 3, 4):
        level, keep = 900 * (-1.0) ** np.arange(n)[:, None], _some(rng, n)
        logits = level + rng.normal(size=(n, 2 * n))
        yield Case((logits, keep), atol=1e-3)
        yield Case((np.where(keep, logits, 2000.0), keep), atol=1e-3)
    yield Case((np.array([[-(2.0**33), 0.0]]), np.array([[True, False]])), atol=1e3)


def _mean_loss(logits):
    return np.mean(np.logaddexp.reduce(logits, axis=1) - np.diag(logits))


def _overflowing(logits, keep):
    with np.errstate(all="ignore"):
        e = np.exp(logits) * keep
        return -np.log(np.diag(e) / e.sum(axis=1)).mean()


def _shifted(logits, keep, shift):
    with np.errstate(all="ignore"):
        e = np.exp(logits - shift) * keep
        return np.mean(np.log(e.sum(axis=1)) - np.diag(logits - shift))


def _without_own(logits, keep):
    n = len(logits)
    left = np.where(keep, logits, -np.inf)
    left[np.arange(n), np.arange(n)] = -np.inf
    return np.mean(np.logaddexp.reduce(left, axis=1) - np.diag(logits))


_LOSS = (
    Mistake(
        "masked logit is 0",
        lambda logits, keep: _mean_loss(logits * keep),
        "You set masked logits to 0, as the released code does. Then e⁰ = 1 stays in the sum. A "
        "removed term is e^(−∞) = 0.",
    ),
    *(
        Mistake(
            f"masked logit is {low}",
            lambda logits, keep, low=low: _mean_loss(np.where(keep, logits, low)),
            f"You give masked logits the number −{-low:,}, which a kept logit may lie below: then "
            "the removed term is the largest of its row. A removed term is e^(−∞) = 0.",
        )
        for low in (-30, -100, -10_000)
    ),
    Mistake(
        "one shift for all rows",
        lambda logits, keep: _shifted(logits, keep, np.where(keep, logits, -np.inf).max()),
        "You subtract one number from the whole matrix. A row that lies a thousand below it is 0 "
        "throughout then, and has no logarithm: shift each row by its own largest kept logit.",
    ),
    Mistake(
        "shifted by what is masked",
        lambda logits, keep: _shifted(logits, keep, np.max(logits, axis=1, keepdims=True)),
        "You shift each row by its largest logit, which may be a masked one, far above the others: "
        "then all that is kept becomes 0. Take the largest *kept* logit.",
    ),
    Mistake(
        "mask not used",
        lambda logits, keep: _mean_loss(logits),
        "The masked terms are still in your sum.",
    ),
    Mistake(
        "denominator without the positive",
        _without_own,
        "Your denominator leaves the row's own positive out. In Eq. 7 the sum runs over it, too.",
    ),
    Mistake(
        "overflow",
        _overflowing,
        "Your exponentials overflow: a cosine of 1 at a small τ is a large logit. Use logsumexp, "
        "or subtract each row's largest kept logit first.",
    ),
    Mistake(
        "sum",
        lambda logits, keep: _mean_loss(np.where(keep, logits, -np.inf)) * len(logits),
        "You add the rows' losses up. Wanted is their mean.",
    ),
)


def masked_loss(function):
    """Check ``masked_loss(logits [N, 2N], keep [N, 2N]) -> float`` (Eq. 7)."""
    return run("The masked loss", function, _masked_loss, _loss_cases, _LOSS)


# --- copies_loss ----------------------------------------------------------------------
def _copies_loss(copies, own, hard, tau=0.05, masked=False):
    positives = 1 if masked else copies
    total = sum(math.exp((own - own) / tau) for _ in range(positives))
    total += sum(math.exp((hard - own) / tau) for _ in range(copies))
    return math.log(total)


def _copies_cases(rng):
    yield 1, 0.9, 0.9, 0.05, False
    yield 1, 0.9, 0.7, 0.5, True
    yield 10, 1.0, -1.0, 0.05, False
    yield 3, 0.8, 0.6  # at the temperature of the signature, and without a mask
    yield 10, 0.8, 0.75, 0.05, True
    for m, masked in ((2, False), (5, True), (3, True), (2, True), (64, False), (64, True)):
        own, hard = rng.uniform(0.3, 0.9), rng.uniform(0.2, 0.9)
        yield m, own, hard, float(rng.choice([0.05, 0.1, 0.5, 2.0])), masked


def _copies(positives, negatives, sign=1):
    def wrong(copies, own, hard, tau=0.05, masked=False):
        p, q = positives(copies, masked), negatives(copies, masked)
        with np.errstate(all="ignore"):
            return sign * np.log(np.float64(p) + q * np.exp((hard - own) / tau))

    return wrong


_COPIES = (
    Mistake(
        "only the floor",
        _copies(lambda m, masked: 1 if masked else m, lambda m, masked: 0),
        "That is the floor, log m, to which the loss falls when the hard negatives are far away. "
        "The copies' hard negatives are in the sum, too.",
    ),
    Mistake(
        "one hard negative",
        _copies(lambda m, masked: 1 if masked else m, lambda m, masked: 1),
        "You count one hard negative. Every copy brings its own, so there are as many as copies.",
    ),
    Mistake(
        "copies without the row itself",
        _copies(lambda m, masked: 1 if masked else m - 1, lambda m, masked: m),
        "You count the other copies' positives only. The row's own positive is in the "
        "denominator as well.",
    ),
    Mistake(
        "mask takes the hard negatives",
        _copies(lambda m, masked: 1 if masked else m, lambda m, masked: 1 if masked else m),
        "Your mask takes the copies' hard negatives out. The guide compares them with the anchor, "
        "and here it does not find them similar: they stay.",
    ),
    Mistake(
        "sign",
        _copies(lambda m, masked: 1 if masked else m, lambda m, masked: m, -1),
        "The sign is wrong: a loss is −log of a probability, so it is never negative.",
    ),
)


def copies_loss(function):
    """Check ``copies_loss(copies, own, hard, tau, masked) -> float``."""
    return run("The price of copies", function, _copies_loss, _copies_cases, _COPIES)


# --- pairs_per_epoch ------------------------------------------------------------------
def _pairs_per_epoch(rows, batch_size, hard_negatives):
    pairs = 0
    for _ in range(rows // batch_size):
        for _ in range(batch_size):
            pairs += batch_size * (2 if hard_negatives else 1)
    return pairs


def _pairs_cases(rng):
    yield 1_024, 64, False
    yield 1_024, 64, True
    yield 100, 32, True  # a last, smaller batch is left out
    yield 31, 32, False  # not one full batch
    yield 5, 1, True
    yield 7, 7, True
    yield 0, 4, False
    for _ in range(4):
        yield int(rng.integers(200, 3_000)), int(rng.integers(2, 65)), False
        yield int(rng.integers(20, 300)), int(rng.integers(2, 16)), True


_PAIRS = (
    Mistake(
        "hard negatives forgotten",
        lambda rows, batch_size, hard_negatives: rows // batch_size * batch_size**2,
        "With hard negatives a row is compared with 2N candidates, not with N.",
    ),
    Mistake(
        "negatives only",
        lambda rows, batch_size, hard_negatives: rows // batch_size * batch_size
        * (batch_size * (1 + hard_negatives) - 1),
        "You leave the own positive out. Its similarity is computed, too.",
    ),
    Mistake(
        "last batch",
        lambda rows, batch_size, hard_negatives: rows * batch_size * (1 + hard_negatives),
        "You count every row. A last batch that is not full is left out of an epoch.",
    ),
    Mistake(
        "all with all",
        lambda rows, batch_size, hard_negatives: rows**2 * (1 + hard_negatives),
        "You compare every row with every row of the corpus. A row meets only its own batch.",
    ),
)  # fmt: skip


def pairs_per_epoch(function):
    """Check ``pairs_per_epoch(rows, batch_size, hard_negatives) -> int`` (Appendix G)."""
    return run("Count the pairs", function, _pairs_per_epoch, _pairs_cases, _PAIRS)


WRONG = {
    "keep_mask": wrong_answers(_KEEP),
    "masked_loss": wrong_answers(_LOSS),
    "copies_loss": wrong_answers(_COPIES),
    "pairs_per_epoch": wrong_answers(_PAIRS),
}
