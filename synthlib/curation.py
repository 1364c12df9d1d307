"""What is good enough to train on: triplets (MultiCSR, stage 2) and ranking lists."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

LOW, HIGH = 0.0, 5.0  # ends of the similarity scale


@dataclass(frozen=True)
class Thresholds:
    """The rule of MultiCSR's self-curation (§ 3.2, Eq. 4).

    A triplet (x, x₊, x₋) with scores a of (x, x₊) and b of (x, x₋) is kept if a ≥ α, b ≤ β and
    a ≥ b + γ. All of them are on the scale from 0 to 5.

    Parameters
    ----------
    alpha : float in [0, 5]
        Least similarity α of the positive.
    beta : float in [0, 5]
        Greatest similarity β of the hard negative.
    gamma : float in [0, 5] or None
        Least margin γ between them; ``None`` drops the third rule (the "-" of Table 6).

    Raises
    ------
    ValueError
        If a threshold lies outside its range.
    """

    alpha: float = 3.0
    beta: float = 3.0
    gamma: float | None = 1.0

    def __post_init__(self):
        for name in ("alpha", "beta", "gamma"):
            value = getattr(self, name)
            if value is None and name == "gamma":
                continue
            if not isinstance(value, Real) or not LOW <= value <= HIGH:
                raise ValueError(f"{name} must lie in [{LOW}, {HIGH}], got {value!r}")

    def keep(self, a: Sequence[float | None], b: Sequence[float | None]) -> np.ndarray:
        """Which triplets satisfy Eq. 4.

        Parameters
        ----------
        a, b : n scores each
            Of (x, x₊) and of (x, x₋), in [0, 5]. An unread score (``None`` or NaN) keeps its
            triplet out; `report` counts them.

        Returns
        -------
        bool array [n]

        Raises
        ------
        ValueError
            If the lengths differ, or a score is no number or lies outside [0, 5].
        """
        a, b = _scores(a, b)
        kept = (a >= self.alpha) & (b <= self.beta)  # comparisons with NaN are false
        return kept if self.gamma is None else kept & (a >= b + self.gamma)

    def report(self, a: Sequence[float | None], b: Sequence[float | None]) -> dict[str, int]:
        """How many triplets were kept, and how many each rule put out.

        Parameters
        ----------
        a, b : n scores each
            As for `keep`.

        Returns
        -------
        dict
            ``triplets``, ``kept``, ``unread`` (a score is missing), and among those with both
            scores ``below_alpha``, ``above_beta``, ``within_gamma``: a triplet that breaks two
            rules counts under both.
        """
        kept = self.keep(a, b)
        a, b = _scores(a, b)
        margin = np.zeros(len(a), dtype=bool) if self.gamma is None else a < b + self.gamma
        read = ~(np.isnan(a) | np.isnan(b))
        return {
            "triplets": len(a),
            "kept": int(kept.sum()),
            "unread": int((~read).sum()),
            "below_alpha": int((read & (a < self.alpha)).sum()),
            "above_beta": int((read & (b > self.beta)).sum()),
            "within_gamma": int((read & margin).sum()),
        }


def keep_grid(
    a: Sequence[float | None], b: Sequence[float | None], rules: Sequence[Thresholds]
) -> np.ndarray:
    """What every cell of a grid of thresholds keeps, in one pass (MultiCSR, Table 6).

    Parameters
    ----------
    a, b : n scores each
        As for `Thresholds.keep`.
    rules : m Thresholds

    Returns
    -------
    bool array [m, n]
        Row i is ``rules[i].keep(a, b)``; its sum is the size of the cell's corpus.

    Raises
    ------
    ValueError
        As `Thresholds.keep`.
    """
    a, b = _scores(a, b)
    # A margin of −∞ lets every pair of read scores pass: the "-" of Table 6.
    cells = [(r.alpha, r.beta, -np.inf if r.gamma is None else r.gamma) for r in rules]
    alpha, beta, gamma = np.reshape(cells, (-1, 3)).T[:, :, None].astype(float)  # each [m, 1]
    return (a >= alpha) & (b <= beta) & (a >= b + gamma)


# ------------------------------------------------------------------ copies
def folded(text: str) -> str:
    """A text as it is compared when copies are counted: without case, each gap one blank.

    This is the one definition of a copy, here and everywhere else: two texts are the same where
    their folded forms are equal. Punctuation counts ("a dog" is no copy of "a dog."); so that
    accents do, whichever way they are encoded, Unicode's composed form (NFC) is taken first.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
    """
    text = unicodedata.normalize("NFC", text).casefold()
    return " ".join(unicodedata.normalize("NFC", text).split())


def copies(anchors: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    """Which texts only repeat their anchor, by the rule of `folded`.

    Parameters
    ----------
    anchors, texts : sequences of n str

    Returns
    -------
    bool array [n]

    Raises
    ------
    ValueError
        If the two differ in length.
    """
    anchors, texts = list(anchors), list(texts)
    if len(anchors) != len(texts):
        raise ValueError(f"{len(anchors)} anchors and {len(texts)} texts: one each is wanted")
    return np.array(
        [folded(a) == folded(b) for a, b in zip(anchors, texts, strict=True)], dtype=bool
    )


# ------------------------------------------------------------------ ranking lists
#: Why a verified list is dropped once a teacher has compared its sentences.
ALIKE = "the teacher sees no difference between its sentences"


def verify_ranking_list(
    sentences: Sequence[str], *, steps: int | None = None, distinct: bool = False
) -> str | None:
    """Why a ranking list is dropped, or None if it is kept.

    The paper asks that results be "as complete and non-redundant as possible" and names no rule
    (Appendix A). "incomplete" is its first half: all 16,063 published lists have 33 sentences. The
    released code drops a list for a "newline" in a sentence, and for a "degenerate tail": a model
    that is stuck in one sentence, or goes back and forth between two, ends with sentences that
    occur three times or more. It leaves other repetitions in; ``distinct`` drops these as well,
    which is the second half of the paper's words to the letter.

    Parameters
    ----------
    sentences : sequence of str
        The anchor and what was written after it.
    steps : int, optional
        Sentences that were asked for after the anchor. Without it any length is complete, but a
        list of the anchor alone.
    distinct : bool
        Drop a list in which any sentence occurs twice.

    Returns
    -------
    str or None
        The first that applies of "incomplete" (too short, or a sentence without words), "newline",
        "degenerate tail" (the last or the last but one occurs at least three times), "duplicates";
        sentences are compared as in `folded`.

    Raises
    ------
    ValueError
        If ``sentences`` is a text, or ``steps`` < 1.
    """
    if isinstance(sentences, str):
        raise ValueError(f"a ranking list is a list of sentences, got the text {sentences!r}")
    if steps is not None and steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    sentences = list(sentences)
    if len(sentences) < (2 if steps is None else steps + 1):
        return "incomplete"
    if not all(sentence.strip() for sentence in sentences):
        return "incomplete"
    if any("\n" in sentence for sentence in sentences):
        return "newline"
    plain = [folded(sentence) for sentence in sentences]
    if any(plain.count(sentence) >= 3 for sentence in plain[-2:]):
        return "degenerate tail"
    if distinct and len(set(plain)) < len(plain):
        return "duplicates"
    return None


def find_loop(sentences: Sequence[str]) -> tuple[int, int] | None:
    """Where a list falls into a loop that it does not leave.

    A greedy decoder that has come back to two sentences in a row repeats itself for ever: period 1
    is a fixed point, the rewriting that is its own rewriting.

    Parameters
    ----------
    sentences : sequence of n str

    Returns
    -------
    (start, period) or None
        From place ``start`` on (the anchor is 0), ``sentences[i] == sentences[i - period]`` holds
        for every later ``i ≥ start + period``; the smallest such period of which the list ends
        with two rounds. None if there is none.
    """
    sentences = list(sentences)
    n = len(sentences)
    for period in range(1, n // 2 + 1):
        start = n - period
        while start and sentences[start - 1] == sentences[start - 1 + period]:
            start -= 1
        if start <= n - 2 * period:
            return start, period
    return None


# ------------------------------------------------------------------ checks
def _scores(a, b) -> tuple[np.ndarray, np.ndarray]:
    arrays = []
    for name, values in (("a", a), ("b", b)):
        try:
            scores = np.asarray(values, dtype=float)  # None becomes NaN
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} must hold numbers or None, one for each triplet") from error
        if scores.ndim != 1:
            raise ValueError(f"{name} must be a list of scores, got the shape {scores.shape}")
        bad = (scores < LOW) | (scores > HIGH)
        if bad.any():
            i = int(bad.argmax())
            raise ValueError(f"{name}[{i}] is {scores[i]}: scores lie in [{LOW}, {HIGH}]")
        arrays.append(scores)
    if len(arrays[0]) != len(arrays[1]):
        raise ValueError(f"a has {len(arrays[0])} scores and b has {len(arrays[1])}")
    return arrays[0], arrays[1]
