"""Checks of the exercises of chapter 17, Scaling out."""

import re

from synthlib.checks import Mistake, run, wrong_answers


# --- absent ---------------------------------------------------------------------------
def _absent(names, count, size):
    """Row by row: in which shard does it lie, and is there a file of that number?"""
    there = [int(m[1]) for name in names if (m := re.fullmatch(r"(\d+)-.*\.parquet", name))]
    wanted = sorted({row // size for row in range(count)})
    return [number for number in wanted if number not in there]


def _absent_cases(rng):
    yield ["00000-aa.parquet", "00002-bb.parquet"], 25, 8
    yield [], 0, 8  # no row, no shard
    yield [], 1, 8
    yield [], 16, 8  # the last one is whole
    yield [], 17, 8
    yield ["00000-aa.parquet"], 8, 8
    yield ["00001-aa.parquet", ".00000-bb.parquet.part"], 9, 5
    yield [".00000-bb.parquet", "00001-bb.parquet.part", "00001-c.parquet"], 6, 3
    yield ["00000-bb.parquet.part", "00001-cc.parquet"], 6, 3  # a file that was copied halfway
    yield ["00007-aa.parquet", "00000-bb.parquet"], 3, 1  # of an earlier, longer step
    yield ["00001-aa.parquet", "00001-bb.parquet", "00003-cc.parquet"], 5, 1
    yield ["00010-aa.parquet", "00002-bb.parquet"], 12, 1  # in the order of numbers
    for count, size in ((1, 1), (5, 2), (30, 7), (64, 8), (65, 8)):
        shards = [f"{n:05d}-{n:x}.parquet" for n in range(-(-count // size))]
        yield [name for name in shards if rng.random() < 0.6], count, size


def _there(names, digits=slice(0, 5)):
    return {int(n[digits]) for n in names if n.endswith(".parquet") and n[:1] != "."}


_ABSENT = (
    Mistake(
        "whole shards alone",
        lambda names, count, size: [n for n in range(count // size) if n not in _there(names)],
        "You leave the last shard out where it is shorter than the others: its rows would never "
        "be made. Round up.",
    ),
    Mistake(
        "one too many",
        lambda names, count, size: [
            n for n in range(count // size + 1) if n not in _there(names)
        ],
        "Where the rows fill their shards you ask for one more, without a row in it.",
    ),
    Mistake(
        "counts from one",
        lambda names, count, size: [
            n for n in range(1, -(-count // size) + 1) if n not in _there(names)
        ],
        "Your numbers begin with 1. Shard 0 holds the first rows.",
    ),
    Mistake(
        "how many are there",
        lambda names, count, size: list(range(len(_there(names)), -(-count // size))),
        "You count the files and go on from there. What several processes make has gaps: look "
        "which numbers are there.",
    ),
    Mistake(
        "those that are there",
        lambda names, count, size: sorted(_there(names) & set(range(-(-count // size)))),
        "These are the shards that are there. Those that are absent are wanted.",
    ),
)  # fmt: skip


def absent(student):
    """Exercise 17.1: shards that are still to be made."""
    return run("absent", student, _absent, _absent_cases, _ABSENT)


# --- device_hours ---------------------------------------------------------------------
def _device_hours(parameters, read, written, texts, peak, reached, devices):
    """Of one text first, in seconds of one device at its peak."""
    one = parameters * (read + written) / peak * 2
    return one * texts / reached / devices / 60 / 60


def _hours_cases(rng):
    yield 8e9, 100, 20, 640_000, 989e12, 0.4, 1
    yield 8e9, 100, 20, 640_000, 989e12, 1.0, 8
    yield 1e9, 0, 50, 1000, 1e12, 0.5, 2
    yield 1e9, 50, 0, 1000, 1e12, 0.5, 2
    yield 1e9, 1, 1, 0, 1e12, 0.5, 3
    yield 1e6, 30, 12, 1, 1e9, 0.25, 1
    for _ in range(5):
        yield (float(rng.uniform(1e8, 1e10)), int(rng.integers(1, 300)), int(rng.integers(1, 60)),
               int(rng.integers(1, 10**6)), float(rng.uniform(1e13, 1e15)),
               float(rng.uniform(0.05, 0.95)), int(rng.integers(1, 9)))  # fmt: skip


def _hours(p, read, written, texts, peak, reached, devices, *, each=2, seconds=3600.0):
    return each * p * (read + written) * texts / (peak * reached * devices) / seconds


_HOURS = (
    Mistake(
        "one operation",
        lambda *given: _hours(*given, each=1),
        "You count one operation a parameter and token. There are two, a multiplication and an "
        "addition.",
    ),
    Mistake(
        "the peak",
        lambda p, r, w, n, peak, reached, devices: _hours(p, r, w, n, peak, 1, devices),
        "You take the whole peak. Only a share of it is reached, so that it takes longer.",
    ),
    Mistake(
        "share the wrong way",
        lambda p, r, w, n, peak, reached, devices: _hours(p, r, w, n, peak, 1 / reached, devices),
        "You multiply by the share that is reached. The less of the peak is reached, the *longer* "
        "it takes: divide by it.",
    ),
    Mistake(
        "what is written alone",
        lambda p, r, w, n, peak, reached, devices: _hours(p, 0, w, n, peak, reached, devices),
        "You count the tokens that are written alone. What is read passes through the same "
        "parameters.",
    ),
    Mistake(
        "hours of devices",
        lambda p, r, w, n, peak, reached, devices: _hours(p, r, w, n, peak, reached, 1),
        "These are the hours of all devices together. They work side by side, and hours by the "
        "clock are wanted.",
    ),
    Mistake(
        "seconds",
        lambda *given: _hours(*given, seconds=1.0),
        "Your result is in seconds. Hours are wanted.",
    ),
)


def device_hours(student):
    """Exercise 17.2: hours by the clock from parameters and tokens."""
    return run("device_hours", student, _device_hours, _hours_cases, _HOURS)


# --- texts_at_once --------------------------------------------------------------------
def _texts_at_once(memory, weights, token, tokens, contexts):
    """One more, as long as it fits; ten times all bytes, so that nothing is a fraction."""
    many = 0
    while 10 * (weights + (many + 1) * token * tokens * contexts) <= 9 * memory:
        many += 1
    return many


def _fit_cases(rng):
    yield 1000, 300, 2, 25, 2
    yield 1000, 900, 2, 25, 1  # exactly nothing is left
    yield 1000, 901, 2, 25, 1
    yield 1000, 5000, 2, 25, 1  # the weights do not fit
    yield 1000, 800, 2, 25, 2  # exactly one
    yield 1000, 800, 2, 26, 2
    yield 1000, 849, 2, 25, 1
    yield 1000, 0, 1, 1, 1
    yield 1009, 8, 9, 10, 1  # nine tenths of it are no whole number
    yield 16_000, 5_700, 19, 70, 2
    for _ in range(6):
        low, high = (500, 100, 1, 1, 1), (5000, 4000, 6, 30, 4)
        yield tuple(int(rng.integers(a, b)) for a, b in zip(low, high, strict=True))


def _left(memory, weights, token, tokens, contexts, *, room=9, beside=1, prompts=True):
    each = token * tokens * (contexts if prompts else 1)
    return (memory * room // 10 - beside * weights) // each


_FIT = (
    Mistake(
        "all of the memory",
        lambda *given: max(0, _left(*given, room=10)),
        "You fill the memory to its last byte. Weights and cache may take nine tenths of it.",
    ),
    Mistake(
        "no weights",
        lambda *given: max(0, _left(*given, beside=0)),
        "The weights lie in the same memory: take them off before you divide.",
    ),
    Mistake(
        "one context",
        lambda *given: max(0, _left(*given, prompts=False)),
        "A text is decoded from several prompts at once, and each has a cache of its own.",
    ),
    Mistake(
        "below nothing",
        lambda *given: _left(*given),
        "Where the weights alone do not fit, your number is negative. Room for none is 0.",
    ),
    Mistake(
        "rounded up",
        lambda *given: max(0, _left(*given) + 1),
        "You count a text of which only a part fits. Round down.",
    ),
)


def texts_at_once(student):
    """Exercise 17.3: how many texts fit beside the weights."""
    return run("texts_at_once", student, _texts_at_once, _fit_cases, _FIT)


WRONG = {
    "absent": wrong_answers(_ABSENT),
    "device_hours": wrong_answers(_HOURS),
    "texts_at_once": wrong_answers(_FIT),
}
