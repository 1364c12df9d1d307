"""The cost model, against counts by hand and a loop that goes step by step."""

import math

import pytest

from synthlib import costs
from synthlib.costs import DEVICES, WRITERS, Device, Shape, Work

SMALL = Device("small", 1e12, 16e9, 1e11)
MODEL = Shape("model", 1e9, 1e5)


def slow(work, shape, device, batch, compute, bandwidth, number):
    """Seconds, one batch after another and one token after another, with the cache of halfway."""
    weights, rows, seconds = number * shape.parameters, batch * work.contexts, 0.0
    for _ in range(work.texts // batch):
        operations = sum(2 * shape.parameters for _ in range(rows) for _ in range(work.prompt))
        seconds += max(
            operations / (compute * device.flops), weights / (bandwidth * device.bandwidth)
        )
        for _ in range(work.answer):
            held = rows * shape.cache * number / 2 * (work.prompt + work.answer / 2)
            seconds += max(
                2 * shape.parameters * rows / (compute * device.flops),
                (weights + held) / (bandwidth * device.bandwidth),
            )
    for _ in range(work.texts):
        tokens = work.prompt + work.answer
        seconds += work.passes * tokens * 2 * shape.parameters / (compute * device.flops)
    return seconds


@pytest.mark.parametrize("batch", [1, 8, 64])
@pytest.mark.parametrize(("contexts", "passes", "number"), [(1, 0, 2), (2, 0, 4), (1, 14, 2)])
def test_hours_are_those_of_the_slow_loop(batch, contexts, passes, number):
    work = Work(128, 40, 12, contexts, passes)
    found = costs.estimate(work, MODEL, SMALL, batch=batch, compute=0.5, bandwidth=0.8,
                           number=number)  # fmt: skip
    wanted = slow(work, MODEL, SMALL, batch, 0.5, 0.8, number)
    assert 3600 * found.hours == pytest.approx(wanted)
    assert (found.read, found.written) == (128 * contexts * 40, 128 * contexts * 12)
    assert found.flops == 2e9 * 128 * (contexts + passes) * 52
    assert found.weights == number * 1e9
    assert found.cache == batch * contexts * 52 * 1e5 * number / 2


def test_a_small_batch_waits_for_memory_and_a_large_one_for_arithmetic():
    work = Work(1000, 40, 12)
    bounds = [costs.estimate(work, MODEL, SMALL, batch=n).bound for n in (1, 4, 16, 64, 256)]
    assert bounds[0] == "memory" and bounds[-1] == "arithmetic"
    assert bounds == sorted(bounds, reverse=True)
    hours = [costs.estimate(work, MODEL, SMALL, batch=n).hours for n in (1, 4, 16)]
    assert hours == sorted(hours, reverse=True)


def test_memory_is_that_of_models_that_are_known():
    # benchmarks/README.md: a token of SmolLM2-135M takes 46 kB in float32, and 64 prompts of 151
    # tokens 0.45 GB
    smol = costs.keys_and_values(30, 3, 64, number=4)
    assert smol == 46_080 and 64 * 151 * smol == pytest.approx(0.45e9, rel=0.02)
    assert WRITERS["ranking"].cache == 2 * 32 * 1024 * 2  # eight heads of 128
    assert WRITERS["art"].cache == 4 * WRITERS["ranking"].cache


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize("shape", WRITERS.values(), ids=WRITERS)
def test_the_last_row_that_fits_fits_and_the_next_does_not(name, shape):
    most = costs.rows_that_fit(shape, DEVICES[name], 100)
    fits = [
        costs.estimate(Work(1, 80, 20), shape, DEVICES[name], batch=n).fits
        for n in (max(most, 1), most + 1)
    ]
    assert fits == [most > 0, False]


def test_the_papers_work_is_what_their_sections_say():
    works = costs.of_papers(premise=20, answer=15)
    # MultiCSR: an entailment and a contradiction of 275,601 premises, each from two contexts
    assert works["multicsr", "write"].texts == works["multicsr", "judge"].texts == 551_202
    assert works["multicsr", "write"].contexts == 2 and works["multicsr", "judge"].contexts == 1
    # Ranking § 4.1: 20,000 anchors, 32 sentences behind each
    assert works["ranking", "write"].texts == 640_000
    # ART § 4.1: three rounds of 20,000; PPO's steps are the released code's
    assert works["art", "tune"].texts == 3 * 625 * 32 and works["art", "write"].texts == 120_000
    assert works["art", "tune"].passes == 2 + 4 * 3
    half = costs.of_papers(premise=20, answer=15, share=0.5)
    assert half["ranking", "write"].texts == 320_000
    longer = costs.of_papers(premise=30, answer=15)
    assert longer["multicsr", "judge"].prompt == works["multicsr", "judge"].prompt + 10


def test_money():
    work = Work(1_000_000, 100, 10)
    assert costs.api_money(work, 0.5, 2.0) == pytest.approx(100 * 0.5 + 10 * 2.0)
    one = costs.estimate(work, MODEL, SMALL, price=2.0)
    assert one.money == pytest.approx(2 * one.hours)
    assert costs.estimate(work, MODEL, SMALL).money is None
    for refused in (Work(1, 1, 1, contexts=2), Work(1, 1, 1, passes=3)):
        with pytest.raises(ValueError, match="needs the model's weights"):
            costs.api_money(refused, 1, 1)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"compute": 0}, "compute is a share"), ({"bandwidth": 1.2}, "bandwidth is a share"),
     ({"batch": 0}, "batch must be at least 1"), ({"compute": math.nan}, "compute is a share")],
)  # fmt: skip
def test_what_cannot_be_is_refused(given, said):
    with pytest.raises(ValueError, match=said):
        costs.estimate(Work(1, 1, 1), MODEL, SMALL, **given)


def test_what_chapter_17_tells_its_readers_to_find():
    def hours(method, device, batch, share=1.0):
        return sum(
            costs.estimate(
                work, WRITERS[method], DEVICES[device], batch=batch, compute=0.4, bandwidth=0.4
            ).hours
            for (of, _), work in costs.of_papers(share=share).items() if of == method
        )  # fmt: skip

    works = costs.of_papers()
    for method in WRITERS:
        assert hours(method, "H100", 1) > 10 * hours(method, "H100", 32)
        assert hours(method, "H100", 32, 0.5) == pytest.approx(
            hours(method, "H100", 32) / 2, rel=1e-3
        )
    tokens = works["art", "write"].prompt + works["art", "write"].answer
    assert costs.rows_that_fit(WRITERS["art"], DEVICES["T4"], tokens) == 21
    assert costs.rows_that_fit(WRITERS["ranking"], DEVICES["T4"], 1) == 0


def test_the_cost_model_beside_the_committed_timings_of_smollm2():
    """Chapter 17 says that the true time is at least one and a half times the computed one."""
    core = Device("one core", 123e9, 8e9, 11e9)
    smol = Shape("SmolLM2 135M", 134.5e6, costs.keys_and_values(30, 3, 64))
    for tokens, seconds in ((9664, 38.2), (1728, 11.0)):
        work = Work(64, tokens / 64, 16)
        cost = costs.estimate(work, smol, core, batch=64, compute=1, bandwidth=1, number=4)
        assert seconds >= 1.5 * 3600 * cost.hours
