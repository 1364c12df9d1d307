"""What a full data set costs: tokens, arithmetic, memory, device hours and money, computed.

A model of two limits. A device multiplies at most `flops` times a second, and moves at most
`bandwidth` bytes a second between its memory and its units; a step of decoding takes the longer of
the two. Both are published peaks of which a program reaches a share, and these shares are
assumptions: arguments, with defaults that are stated and not measured. Nothing here is a
measurement; chapter 17 sets it beside the measurements that there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from synthlib import prompts, tiers

COMPUTE = 0.4  # assumed share of the peak arithmetic that is reached
BANDWIDTH = 0.6  # assumed share of the peak bandwidth
ROOM = 0.9  # share of a device's memory that weights and cache may take; assumed
PREMISE = 20  # tokens of a sentence, assumed: MultiNLI's are about so long, SNLI's shorter
LETTERS = 4  # of a token of English, the usual rule; a tokenizer counts them
SCORE = 4  # tokens of a score that a T5 writes: "4.5" and its end


@dataclass(frozen=True)
class Device:
    """What a data sheet prints of a device; each figure is a peak.

    Attributes
    ----------
    name : str
    flops : float
        Operations a second in half precision, dense (without "sparsity").
    memory : float
        Bytes.
    bandwidth : float
        Bytes a second.
    source : str
    """

    name: str
    flops: float
    memory: float
    bandwidth: float
    source: str = ""


@dataclass(frozen=True)
class Shape:
    """A language model as a device sees it.

    Attributes
    ----------
    name : str
    parameters : float
    cache : float
        Bytes of keys and values that one token keeps, at two bytes a number.
    """

    name: str
    parameters: float
    cache: float


@dataclass(frozen=True)
class Work:
    """Texts of one kind that a model is to write.

    Attributes
    ----------
    texts : int
    prompt, answer : float
        Tokens that are read before a text, and that it has.
    contexts : int
        Prompts that a text is decoded from at once: 2 for a contrast.
    passes : float
        Passes over prompt and answer after they are written, counted as passes forward: a
        gradient is worth two more than the pass that it belongs to.
    """

    texts: int
    prompt: float
    answer: float
    contexts: int = 1
    passes: float = 0.0


@dataclass(frozen=True)
class Cost:
    """What `estimate` comes to.

    Attributes
    ----------
    read, written : float
        Tokens that the model reads and writes, every context counted.
    flops : float
    weights, cache : float
        Bytes.
    fits : bool
    hours : float
        Of one device; it says nothing where the model does not fit.
    bound : str
        What a step of decoding waits for: "arithmetic" or "memory".
    money : float or None
        Where a price was given.
    """

    read: float
    written: float
    flops: float
    weights: float
    cache: float
    fits: bool
    hours: float
    bound: str
    money: float | None = None


#: Peaks of half precision without sparsity, from NVIDIA's data sheets (SXM where there are two).
DEVICES = {
    one.name: one for one in (
        Device("T4", 65e12, 16e9, 320e9, "T4 data sheet"),
        Device("A100 80 GB", 312e12, 80e9, 2.039e12, "A100 80GB data sheet, SXM"),
        Device("H100", 989e12, 80e9, 3.35e12, "H100 data sheet, SXM: 1,979 with sparsity"),
        Device("H200", 989e12, 141e9, 4.8e12, "H200 data sheet, SXM: 1,979 with sparsity"),
    )
}  # fmt: skip


def keys_and_values(layers: int, heads: int, width: int, number=2) -> int:
    """Bytes that a token's keys and values take in the cache.

    Parameters
    ----------
    layers, heads, width : int
        Of the model: its layers, heads of keys, and numbers in one of these.
    number : int
        Bytes of a number.
    """
    return 2 * layers * heads * width * number


#: The papers' writers. Parameters and shape: the models' own configurations.
WRITERS = {
    "multicsr": Shape("Flan-T5-XL", 2.85e9, keys_and_values(24, 32, 64)),
    "art": Shape("WizardLM 7B", 6.74e9, keys_and_values(32, 32, 128)),
    "ranking": Shape("Llama-3-8B", 8.03e9, keys_and_values(32, 8, 128)),
}


def of_papers(premise=PREMISE, answer=PREMISE, share=1.0) -> dict[tuple[str, str], Work]:
    """The papers' data sets as work for their writers.

    Parameters
    ----------
    premise, answer : float
        Tokens of a sentence that is given, and of one that is written.
    share : float in (0, 1]
        Of the premises, anchors and steps.

    Returns
    -------
    dict of (method, what) to Work
        Counts are the tier paper's (`tiers.get`, with the sections of the papers), and a prompt is
        as long as the book's own in the papers' wording.
    """
    paper = tiers.get("paper")
    blank = {
        "write": prompts.generation(prompts.ENTAILMENT["paper"][0], ""),
        "judge": prompts.similarity("", ""),
        "vary": prompts.variation("", "positive"),
        "next": prompts.rewriting(""),
    }
    frame = {name: len(text) / LETTERS for name, text in blank.items()}
    of, art, ranking = paper.multicsr, paper.art, paper.ranking
    pairs = round(share * 2 * of.premises)
    tuned = round(share * art.rounds * art.ppo_steps * art.ppo_batch_size)
    anchors = round(share * ranking.clusters * ranking.per_cluster)
    # PPO asks policy and reference for the probabilities of each answer once; an epoch is a pass
    # forward and a gradient.
    passes = 2 + 3 * art.ppo_epochs
    return {
        ("multicsr", "write"): Work(pairs, frame["write"] + premise, answer, contexts=2),
        ("multicsr", "judge"): Work(pairs, frame["judge"] + premise + answer, SCORE),
        ("art", "tune"): Work(tuned, frame["vary"] + premise, answer, passes=passes),
        ("art", "write"): Work(
            round(share * 2 * art.rounds * art.anchors), frame["vary"] + premise, answer
        ),
        ("ranking", "write"): Work(
            anchors * ranking.steps, frame["next"] + premise, answer, contexts=2
        ),
    }


def estimate(
    work: Work, shape: Shape, device: Device, *, batch=32, compute=COMPUTE, bandwidth=BANDWIDTH,
    number=2, price=None,
) -> Cost:  # fmt: skip
    """Compute what a piece of work costs on one device.

    Parameters
    ----------
    work : Work
    shape : Shape
    device : Device
    batch : int
        Texts that are written at once, each from `work.contexts` prompts.
    compute, bandwidth : float in (0, 1]
        Shares of the device's peaks that are reached. Assumed.
    number : int
        Bytes of a weight and of a number in the cache: 2 for half precision, 4 for float32.
    price : float, optional
        Of an hour of the device, in any currency.

    Returns
    -------
    Cost

    Raises
    ------
    ValueError
        For a share outside of (0, 1], or a batch below 1.

    Notes
    -----
    A token costs about 2·P operations, a multiplication and an addition for each of P parameters;
    attention's own products, the sampling and the library's calls are left out. What a batch reads
    takes 2·P·tokens / (compute · flops). Each step of its writing takes the longer of 2·P·rows /
    (compute · flops) and (weights + cache) / (bandwidth · device.bandwidth), with the cache as it
    is halfway. An encoder–decoder passes a token through one of its halves alone, so that for a T5
    this is up to twice too much.
    """
    for name, value in (("compute", compute), ("bandwidth", bandwidth)):
        if not 0 < value <= 1:
            raise ValueError(f"{name} is a share of the peak, above 0 and at most 1, got {value}")
    if batch < 1:
        raise ValueError(f"batch must be at least 1, got {batch}")
    token, rows = 2 * shape.parameters, batch * work.contexts
    multiplies, moves = compute * device.flops, bandwidth * device.bandwidth
    weights, row = number * shape.parameters, number / 2 * shape.cache
    step = {
        "arithmetic": token * rows / multiplies,
        "memory": (weights + rows * row * (work.prompt + work.answer / 2)) / moves,
    }
    bound = max(step, key=step.get)
    one = max(token * rows * work.prompt / multiplies, weights / moves)
    seconds = work.texts / batch * (one + work.answer * step[bound])
    again = token * work.passes * work.texts * (work.prompt + work.answer)
    read, written = (work.texts * work.contexts * many for many in (work.prompt, work.answer))
    hours = (seconds + again / multiplies) / 3600
    cache = rows * row * (work.prompt + work.answer)
    return Cost(
        read, written, token * (read + written) + again, weights, cache,
        weights + cache <= ROOM * device.memory, hours, bound,
        None if price is None else hours * price,
    )  # fmt: skip


def rows_that_fit(shape: Shape, device: Device, tokens: float, number=2) -> int:
    """Rows of so many tokens whose cache fits a device beside the weights; 0 for none.

    Parameters
    ----------
    shape : Shape
    device : Device
    tokens : float
        Of a row: prompt and answer.
    number : int
        Bytes of a number.
    """
    left = ROOM * device.memory - number * shape.parameters
    return max(0, math.floor(left / (number / 2 * shape.cache * tokens)))


def api_money(work: Work, price_in: float, price_out: float) -> float:
    """What an API takes for a piece of work, whose prices are for a million tokens.

    Raises
    ------
    ValueError
        For work that needs what no API gives: two contexts mixed, or gradients.
    """
    if work.contexts > 1 or work.passes:
        raise ValueError(
            "an API mixes no contexts and gives no gradients: this work needs the model's weights"
        )
    return work.texts * (work.prompt * price_in + work.answer * price_out) / 1e6
