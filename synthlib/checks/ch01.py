"""Checks of the exercises of chapter 1, sentence embeddings and contrast."""

import math

import numpy as np
from scipy.stats import pearsonr, spearmanr

from synthlib.checks import Case, Mistake, run, wrong_answers


def _unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


# --- in_batch_loss --------------------------------------------------------------------
def _in_batch_loss(anchor, positive, tau=0.05):
    losses = []
    for i, a in enumerate(anchor):
        logits = [
            sum(p * q for p, q in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b) / tau
            for b in positive
        ]
        top = max(logits)
        losses.append(top + math.log(sum(math.exp(z - top) for z in logits)) - logits[i])
    return sum(losses) / len(losses)


def _in_batch_cases(rng):
    yield np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 1.0]]), 1.0
    yield rng.normal(size=(5, 3)), rng.normal(size=(5, 3))  # at the temperature of the signature
    for n, tau in ((2, 0.5), (3, 1.0), (4, 0.1), (7, 2.0)):
        yield 3 * rng.normal(size=(n, 3)), rng.normal(size=(n, 3)), tau
        lengths = 10.0 ** rng.integers(-3, 4, size=(n, 1))
        yield lengths * rng.normal(size=(n, 2)), lengths[::-1] * rng.normal(size=(n, 2)), tau
    yield rng.normal(size=(1, 4)), rng.normal(size=(1, 4)), 0.1  # alone in its batch: loss 0
    for n in (2, 3, 6):  # exp(1000) is no number
        close = rng.normal(size=(n, 4))
        yield Case((close, close[::-1] + 0.1 * rng.normal(size=(n, 4)), 0.001), atol=1e-3)
    # One row is near to all candidates, and one is far from all: no one shift suits both.
    near = np.array([[1.0, 0.1], [1.0, -0.1]])
    yield Case((np.array([[2.0, 0.0], [-1.0, 0.0]]), near, 0.001), atol=1e-3)
    yield Case((np.array([[1.0, 0.5], [-1.0, 0.25]]), near, 0.001), atol=1e-3)


def _loss(anchor, positive, tau, *, unit=True, axis=1, own=True, reduce=np.mean, times=False):
    if unit:
        anchor, positive = _unit(anchor), _unit(positive)
    logits = anchor @ positive.T * (tau if times else 1 / tau)
    correct = np.diag(logits)
    if not own:
        logits = np.where(np.eye(len(logits), dtype=bool), -np.inf, logits)
    with np.errstate(divide="ignore"):
        return reduce(np.logaddexp.reduce(logits, axis=axis) - correct)


def _overflowing(anchor, positive, tau=0.05):
    with np.errstate(all="ignore"):
        e = np.exp(_unit(anchor) @ _unit(positive).T / tau)
        return -np.log(np.diag(e) / e.sum(axis=1)).mean()


def _share(anchor, positive, tau=0.05):
    logits = _unit(anchor) @ _unit(positive).T / tau
    return np.exp(np.diag(logits) - np.logaddexp.reduce(logits, axis=1)).mean()


_IN_BATCH = (
    Mistake(
        "no normalisation",
        lambda anchor, positive, tau=0.05: _loss(anchor, positive, tau, unit=False),
        "You compare the vectors by their dot product. The equation asks for the cosine: scale "
        "each row of both matrices to length one first.",
    ),
    Mistake(
        "temperature multiplied",
        lambda anchor, positive, tau=0.05: _loss(anchor, positive, tau, times=True),
        "You multiply the cosines by τ. The temperature divides: a small τ makes the differences "
        "larger.",
    ),
    Mistake(
        "denominator without the positive",
        lambda anchor, positive, tau=0.05: _loss(anchor, positive, tau, own=False),
        "Your denominator leaves the row's own positive out. In this equation the sum runs over "
        "all N candidates, the right one among them, so the loss is never below zero.",
    ),
    Mistake(
        "wrong axis",
        lambda anchor, positive, tau=0.05: _loss(anchor, positive, tau, axis=0),
        "You sum over the anchors that compete for one positive. Each anchor chooses among the "
        "positives: the sum runs along its row of the similarity matrix.",
    ),
    Mistake(
        "sum over rows",
        lambda anchor, positive, tau=0.05: _loss(anchor, positive, tau, reduce=np.sum),
        "You return the sum over the rows of the batch. Return their mean.",
    ),
    Mistake(
        "no logarithm",
        _share,
        "You return the average share of the right candidate, a probability. The loss is minus "
        "its logarithm, taken row by row before the mean.",
    ),
    Mistake(
        "overflow",
        _overflowing,
        "The formula is right and the numbers overflow: at τ = 0.001 the exponential of 1,000 is "
        "infinite, and that of −1,000 is 0. Stay with logarithms: logsumexp subtracts the largest "
        "logit of each row for you.",
    ),
)


def in_batch_loss(student):
    """Exercise 1.1: InfoNCE without hard negatives, (N, d) and (N, d) -> number."""
    return run("in_batch_loss", student, _in_batch_loss, _in_batch_cases, _IN_BATCH)


# --- log_potential --------------------------------------------------------------------
def _log_potential(x, t=2.0):
    total, pairs = 0.0, 0
    for i in range(len(x)):
        for j in range(i):
            a, b = x[i] / math.hypot(*x[i]), x[j] / math.hypot(*x[j])
            total += math.exp(-t * sum((p - q) ** 2 for p, q in zip(a, b, strict=True)))
            pairs += 1
    return math.log(total / pairs)


def _potential_cases(rng):
    yield np.array([[1.0, 0.0], [0.0, 2.0]]), 2.0
    yield np.array([[3.0, 4.0], [3.0, 4.0], [3.0, 4.0]]), 2.0  # one point: 0
    yield np.array([[0.0, 3.0], [0.0, -1.0]]), 1.5  # as far apart as it goes
    yield (rng.normal(size=(5, 3)),)
    for n, t in ((3, 2.0), (2, 0.1), (4, 0.0), (6, 1.0), (9, 0.5), (5, 20.0)):
        yield 2 * rng.normal(size=(n, 4)) + 1, t


def _squares(x, unit=True):
    x = _unit(x) if unit else x
    return ((x[:, None] - x[None]) ** 2).sum(axis=-1)


def _off_diagonal(matrix):
    return matrix[~np.eye(len(matrix), dtype=bool)]


_POTENTIAL = (
    Mistake(
        "diagonal",
        lambda x, t=2.0: np.log(np.exp(-t * _squares(x)).mean()),
        "Each row also meets itself in your mean, at distance zero. The expectation is over two "
        "different sentences: leave the diagonal out.",
    ),
    Mistake(
        "logarithm inside",
        lambda x, t=2.0: (-t * _off_diagonal(_squares(x))).mean(),
        "You average the logarithms, and only the mean distance is left of it. Average the "
        "potentials first; the logarithm comes last.",
    ),
    Mistake(
        "no logarithm",
        lambda x, t=2.0: np.exp(-t * _off_diagonal(_squares(x))).mean(),
        "You return the mean potential. Take its logarithm.",
    ),
    Mistake(
        "no normalisation",
        lambda x, t=2.0: np.log(np.exp(-t * _off_diagonal(_squares(x, unit=False))).mean()),
        "Your distances depend on the length of the embeddings. Uniformity lives on the sphere: "
        "scale each row to length one first.",
    ),
    Mistake(
        "distance not squared",
        lambda x, t=2.0: np.log(np.exp(-t * np.sqrt(_off_diagonal(_squares(x)))).mean()),
        "You put the distance into the exponential. The potential is Gaussian: square it.",
    ),
    Mistake(
        "sign",
        lambda x, t=2.0: -np.log(np.exp(-t * _off_diagonal(_squares(x))).mean()),
        "The sign is turned: uniformity is a loss, zero for a single point and negative for "
        "points that are spread.",
    ),
)


def log_potential(student):
    """Exercise 1.2: uniformity, (n, d) -> number."""
    return run("log_potential", student, _log_potential, _potential_cases, _POTENTIAL)


# --- whiten ---------------------------------------------------------------------------
def _whiten(x):
    # Forward substitution with the Cholesky factor: white as well, in other coordinates.
    n, d = x.shape
    centred = [[row[k] - sum(x[:, k]) / n for k in range(d)] for row in x]
    covariance = [
        [sum(row[a] * row[b] for row in centred) / (n - 1) for b in range(d)] for a in range(d)
    ]
    factor = np.linalg.cholesky(np.array(covariance))
    rows = []
    for row in centred:
        z = []
        for k in range(d):
            z.append((row[k] - sum(factor[k, j] * z[j] for j in range(k))) / factor[k, k])
        rows.append(z)
    return np.array(rows)


def _whiten_cases(rng):
    for n, d in ((3, 2), (4, 2), (8, 2), (12, 3), (30, 5)):
        yield rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + 3 * rng.normal(size=d)
    yield rng.normal(size=(20, 3)) * np.array([1.0, 10.0, 0.1]) - 5
    yield 200 + rng.normal(size=(6, 2))  # far from the origin


def _same_inner_products(expected, got):
    """Whitened coordinates are free up to a rotation, which inner products do not see."""
    got = np.asarray(got, dtype=float)
    if got.shape != expected.shape:
        return f"the shape should be {expected.shape}, it is {got.shape}"
    if np.allclose(got @ got.T, expected @ expected.T, rtol=1e-5, atol=1e-5):
        return None
    mean, spread = got.mean(axis=0), np.cov(got, rowvar=False)
    if not np.allclose(mean, 0, atol=1e-5):
        mean = mean.round(3).tolist()
        return f"the mean of your rows should be 0 in every column; it is {mean}"
    if not np.allclose(spread, np.eye(len(spread)), atol=1e-5):
        spread = spread.round(3).tolist()
        return f"the covariance of your rows should be the identity; it is {spread}"
    return (
        "your rows have mean 0 and the identity as covariance, and are not those of x: they must "
        "stay in their order, and one linear map must make all of them"
    )


def _spectral(x, power, *, centre=True, ddof=1):
    mean = x.mean(axis=0)
    value, vector = np.linalg.eigh(np.cov(x, rowvar=False, ddof=ddof))
    return (x - mean if centre else x) @ (vector * value**power)


_WHITEN = (
    Mistake(
        "square root missing",
        lambda x: _spectral(x, -1.0),
        "You divide each direction by its variance. Divide by the standard deviation, the square "
        "root of the eigenvalue.",
    ),
    Mistake(
        "multiplied",
        lambda x: _spectral(x, 0.5),
        "You multiply by the standard deviations, and long directions get longer. Divide.",
    ),
    Mistake(
        "rotated only",
        lambda x: _spectral(x, 0.0),
        "Your rows are those of x about their mean, turned at most: every direction has the "
        "variance that it had. Scale each by one over the square root of its eigenvalue.",
    ),
    Mistake(
        "standardised only",
        lambda x: (x - x.mean(axis=0)) / x.std(axis=0, ddof=1),
        "You divide the columns of x by their standard deviations, which leaves their correlations "
        "in. Rotate to the eigenvectors of the covariance before you scale.",
    ),
    Mistake(
        "not centred",
        lambda x: _spectral(x, -0.5, centre=False),
        "Your rows do not have mean zero: subtract the mean before you rotate.",
    ),
    Mistake(
        "covariance over n",
        lambda x: _spectral(x, -0.5, ddof=0),
        "Nearly: the covariance here divides by n − 1, as numpy.cov does, and yours by n.",
    ),
)


def whiten(student):
    """Exercise 1.3: whitened rows, (n, d) -> (n, d)."""
    return run("whiten", student, _whiten, _whiten_cases, _WHITEN, compare=_same_inner_products)


# --- three_ways -----------------------------------------------------------------------
def _ranks(values):
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def _rho(x, y):
    a, b = _ranks(x), _ranks(y)
    centre_a, centre_b = sum(a) / len(a), sum(b) / len(b)
    product = sum((p - centre_a) * (q - centre_b) for p, q in zip(a, b, strict=True))
    square_a = sum((p - centre_a) ** 2 for p in a)
    square_b = sum((q - centre_b) ** 2 for q in b)
    return 100 * product / math.sqrt(square_a * square_b)


def _three_ways(similarity, gold, part):
    names = sorted(set(part))
    rows = [[i for i, other in enumerate(part) if other == name] for name in names]
    each = [_rho([similarity[i] for i in r], [gold[i] for i in r]) for r in rows]
    return {
        "all": _rho(list(similarity), list(gold)),
        "mean": sum(each) / len(each),
        "wmean": sum(rho * len(r) for rho, r in zip(each, rows, strict=True)) / len(part),
    }


def _three_ways_cases(rng):
    for sizes in ((4, 9), (5, 6, 12), (7,), (3, 2), (2, 2, 3), (2, 6), (4, 4), (3, 5, 20)):
        part = np.repeat([f"part {k}" for k in range(len(sizes))], sizes)
        shift = np.repeat(rng.normal(size=len(sizes)), sizes)
        gold = np.round(np.clip(rng.normal(size=len(part)) + 2 + shift, 0, 5), 1)
        similarity = np.tanh(0.3 * gold - shift + rng.normal(size=len(part)))
        for name in set(part):  # no part may be constant: its correlation is none
            first, second = np.flatnonzero(part == name)[:2]
            gold[first], gold[second] = 1.5, 4.0
        if len(part) > 8:
            similarity[-1] = similarity[-2]
        order = rng.permutation(len(part))
        yield similarity[order], gold[order], part[order]


def _aggregate(similarity, gold, part, rho=lambda x, y: spearmanr(x, y).statistic, scale=100):
    names = np.unique(part)
    each = np.array([rho(similarity[part == name], gold[part == name]) for name in names])
    size = np.array([(part == name).sum() for name in names])
    return {
        "all": scale * rho(similarity, gold),
        "mean": scale * each.mean(),
        "wmean": scale * (each * size).sum() / size.sum(),
    }


def _swapped(similarity, gold, part):
    right = _aggregate(similarity, gold, part)
    return right | {"mean": right["wmean"], "wmean": right["mean"]}


def _all_is_mean(similarity, gold, part):
    right = _aggregate(similarity, gold, part)
    return right | {"all": right["mean"]}


def _weights_summed(similarity, gold, part):
    right = _aggregate(similarity, gold, part)
    return right | {"wmean": right["wmean"] * len(part) / len(np.unique(part))}


_THREE = (
    Mistake(
        "weights swapped",
        _swapped,
        "Your mean and wmean have changed places: in the plain mean every part counts once, "
        "whatever its size.",
    ),
    Mistake(
        "all as a mean of parts",
        _all_is_mean,
        "Your all is again a mean over parts. Put all pairs into one list and compute a single "
        "correlation.",
    ),
    Mistake(
        "Pearson",
        lambda s, g, p: _aggregate(s, g, p, lambda x, y: pearsonr(x, y).statistic),
        "These are Pearson correlations, of the values. Spearman's looks at the ranks.",
    ),
    Mistake(
        "fractions",
        lambda s, g, p: _aggregate(s, g, p, scale=1),
        "Your correlations lie between −1 and 1. Papers print them times 100; so do we.",
    ),
    Mistake(
        "weights not normalised",
        _weights_summed,
        "The weights of wmean must add up to one: divide by the number of all pairs.",
    ),
)


def three_ways(student):
    """Exercise 1.4: the three aggregations of one STS task -> dict of percentages."""
    return run("three_ways", student, _three_ways, _three_ways_cases, _THREE)


WRONG = {
    "in_batch_loss": wrong_answers(_IN_BATCH),
    "log_potential": wrong_answers(_POTENTIAL),
    "whiten": wrong_answers(_WHITEN),
    "three_ways": wrong_answers(_THREE),
}
