"""The dual reward of ART: is what the policy wrote correct, and is it hard? (Xu et al., 2024)

Three kernels are the paper's Eqs. 2 to 4, and `choose_bounds` is the rule by which this book sets
the bounds that the paper does not print. `reward_functions` joins them to the models that they
need, an NLI discriminator and the current sentence encoder, and returns two functions in the form
that TRL's trainers take as ``reward_funcs`` and our PPO takes too.

The authors' released code computes another reward: `released_reward`, a lesson in shaping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from synthlib import judging
from synthlib.evaluation.embedding import as_embeddings, unit_rows

KINDS = ("positive", "negative")
TARGET = {"positive": 0, "negative": 2}  # columns of judging.nli_probabilities
VARIANTS = ("paper", "released")


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


def difficulty_reward(similarity, kind, bound, *, variant="paper"):
    """r₂: the less similar a positive, and the more similar a hard negative, the better.

    ::

        paper      positive: (1 − s) · sgn(s − α⁺)      negative: s · sgn(α⁻ − s)
        released   positive: 15 · (0.85 − s) · (±1)     negative: 15 · (s − 0.65)

    A positive below α⁺ is taken for a wrong one, a negative above α⁻ for a paraphrase: there the
    sign turns. Each case is greatest just inside its bound, and jumps on it, where sgn(0) = 0.

    The released code gives a positive 15 · (0.85 − s), with the other sign below α⁺ (0.70 there),
    so that a positive above 0.85 is punished, and has no bound α⁻: a hard negative cannot be too
    similar.

    Parameters
    ----------
    similarity : float or array [n]
        Cosine s of anchor and output by the sentence encoder.
    kind : "positive" or "negative", or a sequence of n of them
    bound : float in [-1, 1], or array [n]
        α⁺ for positives, α⁻ for hard negatives. The paper prints neither.
    variant : "paper" or "released"

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
    if variant == "released":
        gain = _SCALE_2 * (_POSITIVE_GOAL - s)
        return _plain(
            np.where(positive, np.where(s < bound, -gain, gain), _SCALE_2 * (s - _NEGATIVE_GOAL))
        )
    if variant != "paper":
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
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


class Bounds(NamedTuple):
    """Ω, α⁺ and α⁻."""

    lower_bound: float
    positive_bound: float
    negative_bound: float


LEAST = 20  # accepted outputs of each kind that bounds are chosen from


def choose_bounds(p_target, similarity, kind, *, quantile=0.05, least=LEAST) -> Bounds:
    """The book's rule for Ω, α⁺ and α⁻: quantiles of what the generator already writes right.

    Take what the current generator writes and look only at the outputs that the discriminator
    accepts, those whose target label is more probable than the two others together. Then

    - Ω is the `quantile` of their probabilities, which 95 % of the accepted outputs exceed;
    - α⁺ is the `quantile` of the accepted positives' similarities: a positive that is less similar
      than 95 % of those accepted is as likely a mistake of the discriminator as a hard one;
    - α⁻ is the ``1 − quantile`` of the accepted hard negatives' similarities, for the same reason.

    No label is read. In adaptive rounds the rule is applied again at the start of each, to the
    tuned generator and the new encoder, so that the bounds move with the scale of the encoder's
    cosines. Note that Ω only shifts r₁ by a constant; a policy's best answer does not depend on
    it. The bounds α do decide it.

    Parameters
    ----------
    p_target : array [n]
        The discriminator's probability of the asked-for label.
    similarity : array [n]
        Cosine of anchor and output by the current encoder.
    kind : sequence of n "positive" or "negative"
    quantile : float in (0, 0.5)
    least : int
        So many accepted outputs of each kind are needed.

    Returns
    -------
    Bounds

    Raises
    ------
    ValueError
        For numbers out of range, lengths that do not fit, or too few accepted outputs of a kind.

    Source: the paper names the bounds (ART § 3.2.2) and prints no values.
    """
    p, s = _numbers("p_target", p_target, 0, 1), _numbers("similarity", similarity, -1, 1)
    kind = np.asarray(kind)
    if not p.shape == s.shape == kind.shape or p.ndim != 1:
        raise ValueError(
            f"p_target, similarity and kind must be n values each, got the shapes {p.shape}, "
            f"{s.shape} and {kind.shape}"
        )
    if not 0 < quantile < 0.5:
        raise ValueError(f"quantile must lie in (0, 0.5), got {quantile}")
    accepted = {name: (kind == name) & (p > 0.5) for name in KINDS}
    for name, rows in accepted.items():
        if rows.sum() < least:
            raise ValueError(
                f"the discriminator accepts {rows.sum()} of {(kind == name).sum()} {name}s, and "
                f"{least} are needed to choose bounds: look at more outputs, or give the bounds"
            )
    return Bounds(
        float(np.quantile(p[accepted["positive"] | accepted["negative"]], quantile)),
        float(np.quantile(s[accepted["positive"]], quantile)),
        float(np.quantile(s[accepted["negative"]], 1 - quantile)),
    )


# ------------------------------------------------------------------ the released reward
_SCALE_1, _SCALE_2, _CONFIDENCE = 30.0, 15.0, 0.93
_POSITIVE_GOAL, _NEGATIVE_GOAL, RELEASED_BOUND = 0.85, 0.65, 0.70
_MARKS = ("Original Sentence:", "Note:", "Variation:")


def released_reward(anchor, completion, kind, logits, similarity) -> pd.DataFrame:
    """The reward that the authors' released code computes, part by part.

    It is not Eqs. 2 to 4. White space around a completion is taken off, as the code that asks for
    rewards does. Then, in the order of the code:

    - `correctness`: 30 · (p − 0.93) where the asked-for label is the predicted one; −1 for a hard
      negative that is predicted neutral; else 1.5 times the raw logit of the asked-for label.
    - `difficulty`: as `difficulty_reward` with ``variant="released"``.
    - `form`: + 0.5 for a clean text; − 1.5 for a second line (− 5 where it is not ASCII); − 1
      where a mark of the prompt appears ("Original Sentence:", "Note:", "Variation:").
    - Then the sum is *replaced*: by − 7 for a text under 5 characters, by − 8 for one that is not
      ASCII, and by − 5 for a near copy, one whose inner characters stand in the anchor.
    - More than 5 words fewer than the anchor: − 4, and a third of a point for each word lost.
    - "Does not end with a full stop *or* does not end with a quotation mark" is true of every
      text, so that 3.5 is taken from each (`always`): a condition that pays nobody.

    Parameters
    ----------
    anchor, completion : sequences of n texts
        Judge the first line of a completion: what `released_text` leaves of it.
    kind : sequence of n "positive" or "negative"
    logits : array [n, 3]
        Of the discriminator: entailment, neutral, contradiction.
    similarity : array [n]

    Returns
    -------
    DataFrame
        n rows: correctness, difficulty, form, length, always, replaced (what the sum of the first
        three was replaced by, else NaN) and reward.

    Raises
    ------
    ValueError
        For lengths that do not fit, or values that are not finite.

    Source: released code of ART, reward service for the causal model.
    """
    _same_length(completion, anchor, kind)
    logits = _numbers("logits", logits).reshape(-1, 3)
    if not len(logits) == len(completion) == np.size(similarity):
        raise ValueError(
            f"{len(completion)} completions, {len(logits)} rows of logits and "
            f"{np.size(similarity)} similarities: one of each a row is wanted"
        )
    difficulty = difficulty_reward(
        np.reshape(similarity, -1), list(kind), RELEASED_BOUND, variant="released"
    )
    rows = []
    for source, said, asked, scores, hard in zip(
        anchor, completion, kind, logits, difficulty, strict=True
    ):
        correct = _released_correctness(scores, TARGET[asked])
        text, form = _cleaned(said)
        lost = len(source.split(" ")) - len(text.split(" "))
        replaced, length, always = np.nan, 0.0, 0.0
        if len(text) < 5:
            replaced = -7.0
        elif not text.isascii():
            replaced = -8.0
        else:
            always = -3.5
            length = -max(lost, 0) / 3
            if text[1:-3] in source:
                replaced = -5.0
            elif lost > 5:
                length -= 4.0
        total = correct + hard + form if np.isnan(replaced) else replaced
        rows.append((correct, hard, form, length, always, replaced, total + length + always))
    names = ["correctness", "difficulty", "form", "length", "always", "replaced", "reward"]
    return pd.DataFrame(rows, columns=names)


def released_text(completion: str) -> str:
    """What the released code judges of a completion: its first line, up to a mark of the prompt,
    without white space around it."""
    return _cleaned(completion)[0]


def _cleaned(text) -> tuple[str, float]:
    text = text.strip()
    if "\n" in text:
        return text.split("\n")[0].strip(), -1.5 if text.isascii() else -5.0
    for mark in _MARKS:
        if mark in text:
            return text.split(mark)[0].strip(), -1.0
    return text, 0.5


def _released_correctness(logits, target) -> float:
    predicted = int(np.argmax(logits))
    if predicted == target:
        p = np.exp(logits - logits.max())
        return _SCALE_1 * (p[target] / p.sum() - _CONFIDENCE)
    if target == TARGET["negative"] and predicted == 1:
        return -1.0
    return 1.5 * logits[target]


# ------------------------------------------------------------------ with the models
def reward_functions(
    discriminator,
    encode: Callable,
    *,
    lower_bound: float,
    positive_bound: float,
    negative_bound: float,
    batch_size: int = 64,
    variant: str = "paper",
) -> tuple[Callable, ...]:
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
    variant : "paper" or "released"
        "released" returns one function, named released, of weight 1; the bounds are not used.

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
    if bounds["positive"] == 1:
        raise ValueError("positive_bound (α⁺) must lie below 1: above it no positive is rewarded")
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {', '.join(VARIANTS)}, got {variant!r}")
    known: dict[str, np.ndarray] = {}

    def embedded(texts: Sequence[str]) -> np.ndarray:
        return unit_rows(as_embeddings(encode(list(texts))))

    def similarity(anchor, completions) -> list[float]:
        new = [text for text in dict.fromkeys(anchor) if text not in known]
        if new:
            known.update(zip(new, embedded(new), strict=True))
        distinct = [text for text in dict.fromkeys(completions) if text.strip()]
        vectors = dict(zip(distinct, embedded(distinct), strict=True)) if distinct else {}
        return [
            float(np.clip(known[a] @ vectors[text], -1, 1)) if text in vectors else 0.0
            for a, text in zip(anchor, completions, strict=True)
        ]

    def correctness(completions, anchor, kind, **_):
        _same_length(completions, anchor, kind)
        p = np.zeros(len(completions))
        said = [i for i, text in enumerate(completions) if text.strip()]
        pairs = [(anchor[i], completions[i]) for i in said]
        probabilities = judging.nli_probabilities(  # what cannot be judged earns what a blank does
            *discriminator, pairs, batch_size=batch_size, long="skip"
        )
        p[said] = probabilities[range(len(said)), [TARGET[kind[i]] for i in said]]
        return correctness_reward(p, lower_bound).tolist()

    def difficulty(completions, anchor, kind, **_):
        _same_length(completions, anchor, kind)
        s = similarity(anchor, completions)
        return difficulty_reward(s, kind, [bounds[k] for k in kind]).tolist()

    def released(completions, anchor, kind, **_):
        _same_length(completions, anchor, kind)
        texts = [released_text(text) for text in completions]
        # Nothing was said: the text's length decides, whatever the judges would say of a blank.
        pairs = [(a, text if text.strip() else a) for a, text in zip(anchor, texts, strict=True)]
        logits = judging.nli_logits(  # the released code cuts what is too long
            *discriminator, pairs, batch_size=batch_size, long="cut"
        )
        found = released_reward(anchor, completions, kind, logits, similarity(anchor, texts))
        return found["reward"].tolist()

    return (correctness, difficulty) if variant == "paper" else (released,)


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
