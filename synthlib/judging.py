"""Scores for pairs of sentences: a language model's opinion, NLI probabilities, cosine.

MultiCSR's second stage asks the generator itself how similar two sentences are (§ 3.2, Eq. 3) and
reads the number that it writes. The same question can be answered without writing: the expected
value over the score tokens, from one forward pass.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from tqdm.auto import tqdm

from synthlib import decoding, memory, models, prompts, tokens

# A sign (hyphen, minus, en dash) directly before the number belongs to it.
_NUMBER = re.compile(r"([+\-−–]?)([0-9]+(?:\.[0-9]+)?|\.[0-9]+)")

HALF_POINTS = tuple(f"{s / 2:.1f}" for s in range(11))  # "0.0", "0.5", …, "5.0"
WHOLE_POINTS = tuple("012345")
SCORINGS = ("text", "expected", "likelihood")
LONG = ("refuse", "skip", "cut")


def parse_score(text: str | None, low: float = 0.0, high: float = 5.0) -> float | None:
    """Read a score: the first number of a text, its sign included.

    A number is ``digits``, ``digits.digits`` or ``.digits``, with an optional sign directly before
    it; so "4.5/5" is 4.5, "Score: 3." is 3 and "4,5" is 4. What stands around it does not matter.

    Parameters
    ----------
    text : str or None
        What a model wrote. ``None`` (nothing was written) is unread.
    low, high : float
        Range of the scale, its ends included.

    Returns
    -------
    float or None
        ``None`` where there is no number or the first one lies outside the range ("-1", "5.9").

    Raises
    ------
    ValueError
        If ``text`` is no text, or the range is empty.
    """
    if not low <= high:
        raise ValueError(f"the range of scores must not be empty, got [{low}, {high}]")
    if text is None:
        return None
    if not isinstance(text, str):
        raise ValueError(f"parse_score reads a text, got {type(text).__name__} {text!r}")
    found = _NUMBER.search(text)
    if found is None:
        return None
    score = float(found[2]) * (-1 if found[1] in tuple("-−–") else 1)
    return score if low <= score <= high else None


def score_similarity(
    model,
    tokenizer,
    pairs: Sequence[tuple[str, str]],
    *,
    method: str = "expected",
    batch_size: int = 32,
    template: Callable[[str, str], str] | None = None,
    min_mass: float = 0.1,
    progress: bool = False,
) -> list[float | None]:
    """How similar a language model finds two sentences, from 0.0 to 5.0 (MultiCSR, Eq. 3).

    Parameters
    ----------
    model, tokenizer
        The generator C_θ.
    pairs : n pairs of texts
        Each distinct pair is scored once.
    method : "expected", "likelihood" or "text"
        ``"text"``: the model writes its score, read by `parse_score`; what the paper does.
        ``"expected"``: Σ s·p(s) / Σ p(s) over the score tokens, from one forward pass. Score
        tokens are "0.0", "0.5", …, "5.0" where each is one token (the pocket models), else the
        digits 0 to 5 as the first token of the answer, so that 4.5 counts as 4.
        ``"likelihood"``: the same value over the eleven scores as whole answers, whatever tokens
        they are split into: p(s) is the probability of all tokens of "4.5", with or without a blank
        before it; "4" with an end behind it counts as 4.0. Two or three more steps.
    batch_size : int
    template : function (a, b) -> prompt, optional
        Default: `synthlib.prompts.similarity` in the form of `prompts.form_of`.
    min_mass : float in [0, 1]
        Not for ``"text"``: a pair is unread where all score tokens together have less than
        this probability, because then the model was about to write something else.
    progress : bool

    Returns
    -------
    list of n floats or None
        ``None`` where no score could be read.

    Raises
    ------
    ValueError
        An unknown method, a pair that is not two texts, a tokenizer without score tokens, or a
        prompt that does not fit the model's window.
    """
    pairs = _check_pairs(pairs)
    if method not in SCORINGS:
        raise ValueError(f"method must be one of {', '.join(SCORINGS)}, got {method!r}")
    decoding.check_positive(batch_size=batch_size)
    if not 0 <= min_mass <= 1:
        raise ValueError(f"min_mass must lie in [0, 1], got {min_mass}")
    form = prompts.form_of(model, tokenizer)
    if template is None:

        def template(a, b):
            return prompts.similarity(a, b, form=form)

    distinct = list(dict.fromkeys(pairs))
    asked = [template(a, b) for a, b in distinct]
    options = dict(batch_size=batch_size, progress=progress)
    if method == "text":
        # "Score: 3.5." and the like: a few tokens hold the first number.
        texts = decoding.generate_mixture(
            model, tokenizer, [asked], [1.0], max_new_tokens=8,
            ends=prompts.end_ids(tokenizer, form), **options,
        )  # fmt: skip
        scores = [parse_score(text) for text in texts]
    else:
        if method == "expected":
            values, ids = _score_tokens(tokenizer)
            p = np.exp(decoding.next_token_logprobs(model, tokenizer, asked, ids, **options))
        else:
            ends = tokens.end_ids(model, tokenizer) | prompts.end_ids(tokenizer, form)
            values, ids = score_sequences(tokenizer, ends)
            p = np.exp(decoding.sequence_logprobs(model, tokenizer, asked, ids, **options))
        mass = p.sum(axis=1)
        scores = [
            float(np.dot(row, values) / total) if total > 0 and total >= min_mass else None
            for row, total in zip(p.astype(float), mass, strict=True)
        ]
    found = dict(zip(distinct, scores, strict=True))
    return [found[pair] for pair in pairs]


def nli_fits(model, tokenizer, pairs: Sequence[tuple[str, str]], room: int = 0) -> np.ndarray:
    """Which pairs an NLI model can read, with `room` for more tokens.

    Parameters
    ----------
    model, tokenizer
    pairs : n pairs of texts
        (premise, hypothesis).
    room : int

    Returns
    -------
    bool array [n]
    """
    limit = decoding.window(model, tokenizer)
    if limit is None or not len(pairs):
        return np.ones(len(pairs), dtype=bool)
    return np.array(_sizes(tokenizer, pairs)) <= limit - room


def _sizes(tokenizer, pairs) -> list[int]:
    return [len(ids) for ids in tokens.encode(tokenizer, *zip(*pairs, strict=True))["input_ids"]]


def nli_probabilities(
    model,
    tokenizer,
    pairs: Sequence[tuple[str, str]],
    *,
    batch_size: int = 64,
    long: str = "refuse",
    progress=False,
) -> np.ndarray:
    """Probabilities that a premise entails, leaves open or contradicts a hypothesis.

    The order of a model's own labels is read from ``model.config.id2label``.

    Parameters
    ----------
    model, tokenizer
        A sequence classifier for natural language inference, and its tokenizer.
    pairs : n pairs of texts
        (premise, hypothesis); each distinct pair is computed once.
    batch_size : int
    long : "refuse", "skip" or "cut"
        A pair that does not fit the model's window is an error; or it gets three zeros and stops
        nothing; or its longer text is cut until it fits, and a warning says so.
    progress : bool

    Returns
    -------
    float array [n, 3]
        Columns entailment, neutral, contradiction; rows sum to 1.

    Raises
    ------
    ValueError
        If the labels are not these three, a pair is not two texts, a pair does not fit the model's
        window, or the model's logits are not numbers.
    """
    columns = list(models.nli_columns(model.config.id2label))
    logits = _read_nli(model, tokenizer, pairs, batch_size, long, progress)
    probabilities = torch.from_numpy(logits).softmax(-1).numpy()[:, columns].astype(float)
    return np.where(np.isnan(logits[:, :1]), 0.0, probabilities)


def nli_logits(
    model,
    tokenizer,
    pairs: Sequence[tuple[str, str]],
    *,
    batch_size: int = 64,
    long: str = "refuse",
    progress=False,
) -> np.ndarray:
    """Raw logits of an NLI model, which ART's released reward reads.

    Parameters, errors and columns are those of `nli_probabilities`; a pair that is skipped has
    three NaN.

    Returns
    -------
    float array [n, 3]
    """
    columns = list(models.nli_columns(model.config.id2label))
    found = _read_nli(model, tokenizer, pairs, batch_size, long, progress)
    return found[:, columns].astype(float)


def _read_nli(model, tokenizer, pairs, batch_size, long, progress) -> np.ndarray:
    """Logits in the model's own order, float32 [n, 3]; NaN for a pair that is skipped."""
    pairs = _check_pairs(pairs)
    decoding.check_positive(batch_size=batch_size)
    if long not in LONG:
        raise ValueError(f"long must be one of {', '.join(LONG)}, got {long!r}")
    distinct = list(dict.fromkeys(pairs))
    if not distinct:
        return np.zeros((0, 3), dtype=np.float32)
    sizes = np.array(_sizes(tokenizer, distinct))
    limit = decoding.window(model, tokenizer)
    order = np.argsort(sizes, kind="stable")[::-1]
    fitting = {}
    if limit is not None and sizes.max() > limit:
        longest = int(sizes.argmax())
        said = (
            f"pair {pairs.index(distinct[longest])} has {sizes[longest]} tokens, but the model's "
            f"window holds {limit}"
        )
        if long == "refuse":
            raise ValueError(f"{said}: shorten its texts")
        if long == "cut":
            fitting = dict(truncation=True, max_length=limit)
            cut = {distinct[i] for i in np.flatnonzero(sizes > limit)}
            count = sum(pair in cut for pair in pairs)
            warnings.warn(f"{said}: it is cut ({count} of {len(pairs)} are)", stacklevel=3)
        else:
            order = order[sizes[order] <= limit]
    found = np.full((len(distinct), 3), np.nan, dtype=np.float32)

    def read(batch):
        texts = zip(*(distinct[i] for i in batch), strict=True)
        rows = tokens.padded(tokenizer, *texts, **fitting)
        return model(**rows.to(model.device)).logits.float().cpu().numpy()

    with decoding.inference(model), tqdm(total=len(order), disable=not progress) as bar:
        for batch, logits in memory.batches(
            read, order, batch_size, "pairs at a time", model=model
        ):
            if np.isnan(logits).any():
                raise ValueError(
                    "the NLI model's logits are not numbers (NaN): load it in torch.float32"
                )
            found[batch] = logits
            bar.update(len(batch))
    row_of = {pair: i for i, pair in enumerate(distinct)}
    return found[[row_of[pair] for pair in pairs]]


def nli_similarity(
    model,
    tokenizer,
    pairs: Sequence[tuple[str, str]],
    *,
    batch_size: int = 64,
    progress: bool = False,
) -> list[float | None]:
    """How far the first text of a pair carries the second, from 0.0 to 5.0, by an NLI model.

    5 · (P(entailment) + ½ P(neutral)): a score on the scale of `score_similarity` where no language
    model at hand can give one.

    Parameters
    ----------
    model, tokenizer
        As `models.load_nli` gives them.
    pairs : n pairs of texts
        (premise, hypothesis); each distinct pair is computed once.
    batch_size : int
    progress : bool

    Returns
    -------
    list of n floats or None
        ``None`` where a pair does not fit the model's window.

    Raises
    ------
    As `nli_probabilities`.
    """
    options = dict(batch_size=batch_size, long="skip", progress=progress)
    probabilities = nli_probabilities(model, tokenizer, pairs, **options)
    return [float(5 * (p[0] + p[1] / 2)) if p.any() else None for p in probabilities]


def cosine(encode: Callable, pairs: Sequence[tuple[str, str]]) -> np.ndarray:
    """Cosine similarity of the two embeddings of each pair.

    Parameters
    ----------
    encode : function from a list of m texts to an (m, d) array
        Called once, with the distinct texts.
    pairs : n pairs of texts

    Returns
    -------
    float array [n]
        Between −1 and 1.

    Raises
    ------
    ValueError
        If a pair is not two texts, or an embedding is zero or not finite.
    """
    pairs = _check_pairs(pairs)
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    if not texts:
        return np.zeros(0)
    vectors = encode(texts)
    if isinstance(vectors, torch.Tensor):
        vectors = vectors.detach().float().cpu()
    vectors = np.asarray(vectors, dtype=float)
    if vectors.ndim != 2 or len(vectors) != len(texts):
        raise ValueError(
            f"encode must return one row for each of {len(texts)} texts, got an array of shape "
            f"{vectors.shape}"
        )
    length = np.linalg.norm(vectors, axis=1)
    bad = ~(np.isfinite(length) & (length > 0))
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(texts)} embeddings are zero or not finite, first that of "
            f"{texts[int(bad.argmax())]!r}: a cosine needs a direction"
        )
    unit = dict(zip(texts, vectors / length[:, None], strict=True))
    return np.array([np.clip(unit[a] @ unit[b], -1, 1) for a, b in pairs])


def _score_tokens(tokenizer) -> tuple[np.ndarray, list[int]]:
    """Score tokens of a tokenizer: their values and ids; a value may have two spellings."""
    for texts in (HALF_POINTS, WHOLE_POINTS):
        # A byte-level tokenizer has "4" and " 4": an answer may begin with either.
        ids = {text: {_single(tokenizer, text), _single(tokenizer, " " + text)} for text in texts}
        if all(found - {None} for found in ids.values()):
            spelled = [(float(t), i) for t, found in ids.items() for i in sorted(found - {None})]
            return np.array([value for value, _ in spelled]), [i for _, i in spelled]
    raise ValueError(
        "this tokenizer has no single tokens for the scores 0 to 5, so there is no expected value "
        'over them: use method="text" (on the command line --scoring text)'
    )


def score_sequences(tokenizer, ends) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """The eleven scores as token sequences, each spelled as a tokenizer would spell an answer.

    Parameters
    ----------
    tokenizer
    ends : token ids
        What ends an answer: "4" and one of these is 4.0.

    Returns
    -------
    values : float array [S]
    sequences : list of S tuples of token ids
        No two alike, and none begins another.
    """
    spelled = {}
    for text in HALF_POINTS:
        for begin in ("", " "):
            spelled[_ids(tokenizer, begin + text)] = float(text)
            if text.endswith(".0"):
                whole = _ids(tokenizer, begin + text[:-2])
                spelled |= {(*whole, end): float(text) for end in ends}
    spelled = {ids: value for ids, value in spelled.items() if tokenizer.unk_token_id not in ids}
    if set(spelled.values()) != set(map(float, HALF_POINTS)):
        raise ValueError(
            "this tokenizer cannot spell the scores 0.0 to 5.0, so they have no likelihood: use "
            'method="text" (on the command line --scoring text)'
        )
    return np.array(list(spelled.values())), list(spelled)


def _ids(tokenizer, text) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text, add_special_tokens=False))


def _single(tokenizer, text) -> int | None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    return ids[0] if len(ids) == 1 and ids[0] != tokenizer.unk_token_id else None


def _check_pairs(pairs) -> list[tuple[str, str]]:
    pairs = [tuple(pair) if not isinstance(pair, str) else pair for pair in pairs]
    for i, pair in enumerate(pairs):
        if isinstance(pair, str) or len(pair) != 2:
            raise ValueError(f"pair {i} is {pair!r}: a pair is two texts")
        if not all(isinstance(text, str) and text.strip() for text in pair):
            raise ValueError(f"pair {i} is {pair!r}: both must be texts with words in them")
    return pairs
