"""Checks of the exercises of chapter 08, PPO with LoRA."""

import math

import numpy as np

from synthlib.checks import Case, Mistake, run, wrong_answers


# --- gae_row --------------------------------------------------------------------------
def _gae_row(rewards, values, gamma, lam):
    n = len(rewards)
    after = [*(float(v) for v in values[1:]), 0.0]
    delta = [float(rewards[t]) + gamma * after[t] - float(values[t]) for t in range(n)]
    return np.array(
        [sum((gamma * lam) ** (s - t) * delta[s] for s in range(t, n)) for t in range(n)]
    )


def _gae_cases(rng):
    yield np.array([0.0, 0.0, 1.0]), np.array([0.2, 0.4, 0.6]), 1.0, 0.95
    yield np.array([-0.1, -0.2, 0.9]), np.array([0.5, 0.3, 0.8]), 0.9, 0.5
    yield np.array([0.7]), np.array([0.2]), 1.0, 0.95  # an answer of one token
    yield np.array([0.5, -0.25]), np.array([0.0, 0.5]), 0.5, 0.5
    for gamma, lam in ((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (1.0, 1.0), (0.5, 1.0)):  # at the ends
        yield rng.normal(size=3), rng.normal(size=3), gamma, lam
    for n, gamma, lam in ((4, 1.0, 1.0), (7, 0.95, 0.9), (12, 0.99, 0.95)):
        yield rng.normal(size=n), rng.normal(size=n), gamma, lam


def _backwards(delta, factor):
    found, later = np.zeros(len(delta)), 0.0
    for t in reversed(range(len(delta))):
        found[t] = later = delta[t] + factor * later
    return found


def _delta(rewards, values, gamma, last=0.0):
    values = np.asarray(values, dtype=float)
    return np.asarray(rewards, dtype=float) + gamma * np.append(values[1:], last) - values


_GAE = (
    Mistake(
        "one step only",
        lambda rewards, values, gamma, lam: _delta(rewards, values, gamma),
        "You return δ, the surprise of one step. A_t also holds what comes later: γλ · A_{t+1}.",
    ),
    Mistake(
        "λ forgotten",
        lambda rewards, values, gamma, lam: _backwards(_delta(rewards, values, gamma), gamma),
        "What comes later is weighed by γ · λ, not by γ alone.",
    ),
    Mistake(
        "no following value",
        lambda rewards, values, gamma, lam: _backwards(
            np.asarray(rewards) - np.asarray(values), gamma * lam
        ),
        "δ_t compares with what is expected from the next token on: r_t + γ · V_{t+1} − V_t.",
    ),
    Mistake(
        "value behind the end",
        lambda rewards, values, gamma, lam: _backwards(
            _delta(rewards, values, gamma, last=values[-1]), gamma * lam
        ),
        "Behind the last token the episode is over: the value there is 0.",
    ),
    Mistake(
        "forwards",
        lambda rewards, values, gamma, lam: _backwards(
            _delta(rewards, values, gamma)[::-1], gamma * lam
        )[::-1],
        "You carry the sum forwards. A token is judged by what happens after it: begin at the end.",
    ),
    Mistake(
        "returns",
        lambda rewards, values, gamma, lam: _gae_row(rewards, values, gamma, lam) + values,
        "You return A + V, which is what the value head learns. Wanted is A.",
    ),
)


def gae_row(function):
    """Check ``gae_row(rewards [T], values [T], gamma, lam) -> advantages [T]``."""
    return run("Advantages of an answer", function, _gae_row, _gae_cases, _GAE)


# --- clipped_objective ----------------------------------------------------------------
def _clipped_objective(ratio, advantage, epsilon):
    terms = []
    for rho, a in zip(ratio, advantage, strict=True):
        held = min(max(float(rho), 1 - epsilon), 1 + epsilon)
        terms.append(min(float(rho) * float(a), held * float(a)))
    return sum(terms) / len(terms)


def _clip_cases(rng):
    for ratio in (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 4.0):  # to either side, and on the bounds
        for advantage in (1.0, -1.0):  # gone the right way it is clipped, the wrong way it is not
            yield np.array([ratio]), np.array([advantage]), 0.25
    yield np.array([1.5, 0.5]), np.array([0.0, 0.0]), 0.2
    for ratio in (0.0625, 2.0):  # far away, and for large advantages
        yield np.array([ratio]), np.array([30.0]), 0.5
        yield np.array([ratio]), np.array([-30.0]), 0.5
    yield np.array([0.9, 1.1, 1.0]), np.array([1.0, -2.0, 0.5]), 0.2  # nothing is clipped
    yield np.array([1.5, 0.4]), np.array([1.0, -1.0]), 0.0
    for n, epsilon in ((2, 0.2), (3, 0.5), (6, 0.1), (20, 0.3)):
        yield np.exp(0.5 * rng.normal(size=n)), rng.normal(size=n), epsilon


def _arrays(function):
    return lambda ratio, advantage, epsilon: float(
        function(np.asarray(ratio, dtype=float), np.asarray(advantage, dtype=float), epsilon)
    )


_CLIP = (
    Mistake(
        "always clipped",
        _arrays(lambda r, a, e: (np.clip(r, 1 - e, 1 + e) * a).mean()),
        "You always take the clipped ratio. Where the ratio has gone the wrong way (up for a bad "
        "token, down for a good one) nothing would pull it back: take the smaller of the two.",
    ),
    Mistake(
        "the larger",
        _arrays(lambda r, a, e: np.maximum(r * a, np.clip(r, 1 - e, 1 + e) * a).mean()),
        "You take the larger of the two. The objective is the pessimistic one: the smaller.",
    ),
    Mistake(
        "loss",
        _arrays(lambda r, a, e: np.maximum(-r * a, -np.clip(r, 1 - e, 1 + e) * a).mean()),
        "You return the loss, which is minimised. Wanted is the objective: change the sign.",
    ),
    Mistake(
        "above only",
        _arrays(lambda r, a, e: np.minimum(r * a, np.minimum(r, 1 + e) * a).mean()),
        "You clip above only. A bad token (A < 0) is clipped below, at 1 − ε.",
    ),
    Mistake(
        "smaller ratio",
        _arrays(lambda r, a, e: (np.minimum(r, np.clip(r, 1 - e, 1 + e)) * a).mean()),
        "You take the smaller ratio and multiply then. A negative advantage turns the order round: "
        "multiply first, then take the smaller product.",
    ),
    Mistake(
        "smaller mean",
        _arrays(lambda r, a, e: min((r * a).mean(), (np.clip(r, 1 - e, 1 + e) * a).mean())),
        "You take the smaller of two means. Wanted is the mean of the smaller, token by token.",
    ),
    Mistake(
        "from zero",
        _arrays(lambda r, a, e: np.minimum(r * a, np.clip(r, -e, e) * a).mean()),
        "You clip the ratio around 0. An unchanged policy has the ratio 1.",
    ),
    Mistake(
        "sum",
        _arrays(lambda r, a, e: np.minimum(r * a, np.clip(r, 1 - e, 1 + e) * a).sum()),
        "You add up the tokens. Wanted is their mean.",
    ),
)


def clipped_objective(function):
    """Check ``clipped_objective(ratio [n], advantage [n], epsilon) -> float``."""
    return run("The clipped objective", function, _clipped_objective, _clip_cases, _CLIP)


# --- k3 -------------------------------------------------------------------------------
def _k3(log_p, reference_log_p):
    terms = []
    for new, old in zip(log_p, reference_log_p, strict=True):
        way = float(old) - float(new)
        terms.append(math.exp(way) - 1 - way)
    return sum(terms) / len(terms)


def _k3_cases(rng):
    yield np.array([-1.0, -2.0]), np.array([-1.5, -1.0])
    yield np.array([-1.0, -2.0, -0.1]), np.array([-1.0, -2.0, -0.1])  # not moved: 0
    yield np.array([-0.2]), np.array([-2.2])
    yield np.array([-0.1, 0.0]), np.array([-60.0, 0.0])  # what the reference would hardly say
    yield np.array([-9.0]), np.array([-0.5])
    for n in (2, 3, 5, 30):
        yield -rng.exponential(size=n), -rng.exponential(size=n)


def _ways(function):
    return lambda log_p, reference_log_p: float(
        function(np.asarray(reference_log_p, dtype=float) - np.asarray(log_p, dtype=float))
    )


_K3 = (
    Mistake(
        "k1",
        _ways(lambda way: -way.mean()),
        "That is the mean of log π − log π_ref. It is right on average, but single batches come "
        "out negative. Add what has the mean 0: ρ − 1, with ρ = π_ref / π.",
    ),
    Mistake(
        "k2",
        _ways(lambda way: 0.5 * (way**2).mean()),
        "That is half the squared log-ratio, which is near the KL only while the policy is near "
        "its reference. Wanted is ρ − 1 − log ρ.",
    ),
    Mistake(
        "absolute",
        _ways(lambda way: np.abs(way).mean()),
        "An absolute value is never negative, but its mean is no KL: tokens that became less "
        "probable count as well as the others. Wanted is ρ − 1 − log ρ.",
    ),
    Mistake(
        "turned round",
        _ways(lambda way: (np.exp(-way) - 1 + way).mean()),
        "Your ratio is π / π_ref. The tokens were drawn from π, so ρ = π_ref / π has the mean 1.",
    ),
    Mistake(
        "1 forgotten",
        _ways(lambda way: (np.exp(way) - way).mean()),
        "A policy that has not moved has a KL of 0: subtract 1 from ρ.",
    ),
    Mistake(
        "wrong sign of the logarithm",
        _ways(lambda way: (np.exp(way) - 1 + way).mean()),
        "You add log ρ. It is subtracted, so that the curve ρ − 1 − log ρ touches 0 at ρ = 1.",
    ),
    Mistake(
        "sum",
        _ways(lambda way: (np.exp(way) - 1 - way).sum()),
        "You add up the tokens. Wanted is their mean.",
    ),
)


def k3(function):
    """Check ``k3(log_p [n], reference_log_p [n]) -> float``: an estimate of the KL a token."""
    return run("A KL that is never negative", function, _k3, _k3_cases, _K3)


# --- best_policy ----------------------------------------------------------------------
def _best_policy(reference, reward, beta):
    top = max(float(r) for r in reward)
    weights = [
        float(p) * math.exp((float(r) - top) / beta)
        for p, r in zip(reference, reward, strict=True)
    ]
    return np.array(weights) / sum(weights)


def _best_cases(rng):
    yield np.array([0.5, 0.3, 0.2]), np.array([0.0, 0.0, 1.0]), 0.5
    yield np.array([0.7, 0.2, 0.1]), np.array([0.4, 0.4, 0.4]), 0.1  # nothing to choose
    yield np.array([0.6, 0.4, 0.0]), np.array([0.0, 0.2, 5.0]), 1.0
    yield np.array([0.6, 0.4]), np.array([1.0, 0.0]), 3.0
    yield np.array([1.0]), np.array([-2.0]), 0.5
    # Rewards of thousands of β: exp(2000) is no number, and exp(−2000) is 0.
    for level in (1000.0, -1000.0):
        for n in (2, 3):
            yield Case((rng.dirichlet(np.ones(n)), level + rng.normal(size=n), 0.5), atol=1e-3)
    yield np.array([0.5, 0.25, 0.25]), np.array([-80.0, 80.0, 80.0]), 0.05
    yield np.array([0.25, 0.75]), np.array([40.0, -80.0]), 0.05
    for n, beta in ((2, 2.0), (4, 2.0), (6, 0.3)):
        yield rng.dirichlet(np.ones(n)), rng.normal(size=n), beta


def _share(weights):
    return weights / weights.sum()


_BEST = (
    Mistake(
        "times β",
        lambda reference, reward, beta: _share(
            np.asarray(reference) * np.exp(np.asarray(reward) * beta)
        ),
        "You multiply the reward by β. A larger β keeps the policy nearer to its reference: "
        "divide.",
    ),
    Mistake(
        "sign",
        lambda reference, reward, beta: _share(
            np.asarray(reference) * np.exp(-np.asarray(reward) / beta)
        ),
        "Your exponent has the wrong sign: what earns more becomes more probable.",
    ),
    Mistake(
        "added",
        lambda reference, reward, beta: _share(
            np.asarray(reference) + np.exp(np.asarray(reward) / beta)
        ),
        "You add exp(r / β) to the reference. It multiplies.",
    ),
    Mistake(
        "reference forgotten",
        lambda reference, reward, beta: _share(np.exp(np.asarray(reward) / beta)),
        "You leave the reference out. An answer that it never gives stays impossible.",
    ),
    Mistake(
        "not normalised",
        lambda reference, reward, beta: np.asarray(reference) * np.exp(np.asarray(reward) / beta),
        "Your numbers do not add up to 1: divide by their sum.",
    ),
    Mistake(
        "overflow",
        lambda reference, reward, beta: _share(
            np.asarray(reference) * np.exp(np.asarray(reward) / beta)
        ),
        "The formula is right and the numbers overflow, or all become 0, where rewards are "
        "thousands of β. Only differences count: subtract the largest reward from all first.",
    ),
    Mistake(
        "the reward alone",
        lambda reference, reward, beta: np.eye(len(reward))[int(np.argmax(reward))],
        "You give everything to the best answer. That is the optimum without a penalty, β = 0.",
    ),
    Mistake(
        "a mixture",
        lambda reference, reward, beta: _share(
            beta * np.asarray(reference) + _share(np.exp(np.asarray(reward)))
        ),
        "You mix two distributions. The optimum is a product: π_ref · exp(r / β), normalised.",
    ),
)


def best_policy(function):
    """Check ``best_policy(reference [n], reward [n], beta) -> probabilities [n]``."""
    return run("The best policy", function, _best_policy, _best_cases, _BEST)


WRONG = {
    "gae_row": wrong_answers(_GAE),
    "clipped_objective": wrong_answers(_CLIP),
    "k3": wrong_answers(_K3),
    "best_policy": wrong_answers(_BEST),
}
