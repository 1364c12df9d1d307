"""The cost of stage 3 is measured on what training runs."""

import tiny_models
import torch

from synthlib import models
from synthlib.experiments import cost as multicsr_cost


def test_peak_bytes_counts_what_is_held_at_once():
    before = torch.zeros(1000)

    def run():
        first = torch.zeros(1000, 1000)
        second = first + 1
        del first
        return second + before.sum()  # the third takes the first one's place

    peak = multicsr_cost.peak_bytes(run, torch.device("cpu"))
    assert 8_000_000 <= peak < 8_100_000


def test_a_guide_in_every_step_costs_memory_and_one_that_is_cached_none(tmp_path, capfd):
    folder = tiny_models.save(tmp_path / "bert", "bert")
    capfd.readouterr()

    def make():
        return [models.load_encoder(folder, pooling="mean", device="cpu") for _ in range(2)]

    table = multicsr_cost.stage3_cost((4, 16), steps=1, make=make)
    assert list(table.columns) == ["batch_size", "method", "seconds", "megabytes"]
    assert (table["seconds"] > 0).all()
    memory = table.pivot(index="batch_size", columns="method", values="megabytes")
    assert (memory["P_η once"] < 1.02 * memory["SimCSE"]).all()
    assert (memory["P_η in every step"] > 1.2 * memory["SimCSE"]).all()
    assert (memory.loc[16] > memory.loc[4]).all()
    assert capfd.readouterr() == ("", "")
