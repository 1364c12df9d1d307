"""The dual reward of ART: is what the policy wrote correct, and is it hard? (Xu et al., 2024)

Three kernels are the paper's Eqs. 2 to 4. `reward_functions` joins them to the models that they
need, an NLI discriminator and the current sentence encoder, and returns two functions in the form
that TRL's trainers take as ``reward_funcs`` and our PPO takes too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from synthlib import judging
from synthlib.evaluation.embedding import as_embeddings, unit_rows

KINDS = ("positive", "negative")
_TARGET = {"positive": 0, "negative": 2}  # columns of judging.nli_probabilities


def correctness_reward(p_target, lower_bound):
    """r₁ = P(t | x, y) − Ω: how much more probable than Ω the asked-for relation is.

    Parameters
    ----------
    p_target : float or array [n]
        The discriminator's probability of the target label: entailment for a positive,
        contradiction for a hard negative.
    lower_bound : float in [0, 1]
        Ω. The paper prints no value.

    Returns
    -------
    r1 : float or array [n], in [−Ω, 1 − Ω]

    Raises
    ------
    ValueError
        For NaN or a probability outside [0, 1], or a bound outside [0, 1].

    Source: ART § 3.2.2, Eq. 2.
    """
    p = _numbers("p_target", p_target, 0, 1)
    return _plain(p - _bound("lower_bound (Ω)", lower_bound, 0))


def difficulty_reward(similarity, kind, bound):
    """r₂: the less similar a positive, and the more similar a hard negative, the better.

    ::

        positive: (1 − s) · sgn(s − α⁺)        negative: s · sgn(α⁻ − s)

    A positive below α⁺ is taken for a wrong one, a negative above α⁻ for a paraphrase: there the
    sign turns. Each case is greatest just inside its bound, and jumps on it, where sgn(0) = 0.

    Parameters
    ----------
    similarity : float or array [n]
        Cosine s of anchor and output by the sentence encoder.
    kind : "positive" or "negative", or a sequence of n of them
    bound : float in [-1, 1], or array [n]
        α⁺ for positives, α⁻ for hard negatives. The paper prints neither.

    Returns
    -------
    r2 : float or array [n]

    Raises
    ------
    ValueError
        For NaN or a similarity outside [−1, 1], another kind, a bound outside [−1, 1].

    Source: ART § 3.2.2, Eq. 3.
    """
    s = _numbers("similarity", similarity, -1, 1)
    kinds = np.asarray(kind)
    unknown = set(np.unique(kinds)) - set(KINDS)
    if unknown:
        raise ValueError(f"kind must be positive or negative, got {sorted(map(str, unknown))}")
    bound = _bound("bound (α)", bound, -1)
    try:
        s, positive, bound = np.broadcast_arrays(s, kinds == "positive", bound)
    except ValueError:
        raise ValueError(
            f"similarity, kind and bound must have one length, got the shapes {s.shape}, "
            f"{kinds.shape} and {bound.shape}"
        ) from None
    return _plain(np.where(positive, (1 - s) * np.sign(s - bound), s * np.sign(bound - s)))


def dual_reward(r1, r2, w1=0.5, w2=0.5):
    """r = w₁·r₁ + w₂·r₂.

    Parameters
    ----------
    r1, r2 : float or array [n]
        From `correctness_reward` and `difficulty_reward`.
    w1, w2 : float
        Weights; the paper takes 0.5 for both (§ 4.1.2).

    Returns
    -------
    float or array [n]

    Raises
    ------
    ValueError
        For NaN, weights that are not finite, or lengths that do not fit.

    Source: ART § 3.2.2, Eq. 4.
    """
    r1, r2 = _numbers("r1", r1), _numbers("r2", r2)
    _numbers("w1", w1), _numbers("w2", w2)
    if r1.ndim and r2.ndim and r1.shape != r2.shape:
        raise ValueError(f"r1 has the shape {r1.shape}, r2 {r2.shape}: one reward a row is wanted")
    return _plain(w1 * r1 + w2 * r2)


def reward_functions(
    discriminator,
    encode: Callable,
    *,
    lower_bound: float,
    positive_bound: float,
    negative_bound: float,
    batch_size: int = 64,
) -> tuple[Callable, Callable]:
    """The two parts of the dual reward as functions of texts.

    Both take ``completions`` (n texts) and, by name, ``anchor`` (n texts) and ``kind`` (n times
    "positive" or "negative"), ignore other arguments, and return n floats; so they serve as
    ``reward_funcs=[r1, r2], reward_weights=[w1, w2]`` of TRL's trainers, with a data set that has
    the columns anchor and kind. Rows of similar length are judged together, and an anchor is
    embedded once for as long as the functions live. An output without a word has probability 0 and
    similarity 0.

    Parameters
    ----------
    discriminator : (model, tokenizer)
        An NLI model, from `models.load_nli`; the order of its labels is read from the model.
    encode : callable
        The sentence encoder of this round: a list of n texts to an (n, d) array.
    lower_bound, positive_bound, negative_bound : float
        Ω, α⁺ and α⁻.
    batch_size : int
        Texts judged at once.

    Returns
    -------
    (r1, r2) : functions, named correctness and difficulty

    Raises
    ------
    ValueError
        For bounds out of range or α⁺ ≥ 1 (no positive could be rewarded); when called, for
        lengths that do not fit or judges that give NaN.
    """
    _bound("lower_bound (Ω)", lower_bound, 0)
    bounds = {
        "positive": float(_bound("positive_bound (α⁺)", positive_bound, -1)),
        "negative": float(_bound("negative_bound (α⁻)", negative_bound, -1)),
    }
    known: dict[str, np.ndarray] = {}

    def embedded(texts: Sequence[str]) -> np.ndarray:
        return unit_rows(as_embeddings(encode(list(texts))))

    def correctness(completions, anchor, kind, **_):
        _same_length(completions, anchor, kind)
        p = np.zeros(len(completions))
        said = [i for i, text in enumerate(completions) if text.strip()]
        pairs = [(anchor[i], completions[i]) for i in said]
        probabilities = judging.nli_probabilities(*discriminator, pairs, batch_size=batch_size)
        p[said] = probabilities[range(len(said)), [_TARGET[kind[i]] for i in said]]
        return correctness_reward(p, lower_bound).tolist()

    def difficulty(completions, anchor, kind, **_):
        _same_length(completions, anchor, kind)
        new = [text for text in dict.fromkeys(anchor) if text not in known]
        if new:
            known.update(zip(new, embedded(new), strict=True))
        distinct = [text for text in dict.fromkeys(completions) if text.strip()]
        vectors = dict(zip(distinct, embedded(distinct), strict=True)) if distinct else {}
        s = [
            float(np.clip(known[a] @ vectors[text], -1, 1)) if text in vectors else 0.0
            for a, text in zip(anchor, completions, strict=True)
        ]
        return difficulty_reward(s, kind, [bounds[k] for k in kind]).tolist()

    return correctness, difficulty


def _same_length(completions, anchor, kind):
    if not len(completions) == len(anchor) == len(kind):
        raise ValueError(
            f"{len(completions)} completions, {len(anchor)} anchors and {len(kind)} kinds: one of "
            "each a row is wanted"
        )
    unknown = set(kind) - set(KINDS)
    if unknown:
        raise ValueError(f"kind must be positive or negative, got {sorted(map(str, unknown))}")


def _numbers(name, values, low=-np.inf, high=np.inf):
    """Finite numbers in [low, high] as a float array; rounding beyond the ends is forgiven."""
    found = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values, dtype=float)
    bad = ~np.isfinite(found) | (found < low - 1e-6) | (found > high + 1e-6)
    if bad.any():
        first = np.atleast_1d(found)[np.atleast_1d(bad)][0]
        raise ValueError(
            f"{name} must be numbers in [{low:g}, {high:g}], got {first} "
            f"({int(bad.sum())} of {found.size} are out of range or not finite)"
        )
    return np.clip(found, low, high)


def _bound(name, value, low):
    return _numbers(name, value, low, 1)


def _plain(array):
    """A float for a single value, the array for several."""
    return float(array) if array.ndim == 0 else array
