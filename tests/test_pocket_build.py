"""`make pocket` in miniature: every folder that it writes loads through the doors of `models`."""

import json
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from synthlib import decoding, models
from synthlib.world import build, nli, pretraining


def test_an_unknown_job_is_refused_with_the_choices(tmp_path):
    with pytest.raises(ValueError, match="generator-t5"):
        build.build(tmp_path, only=["generator-t6"])
    assert not any(tmp_path.iterdir())


def test_a_few_steps_of_every_job_give_folders_that_load(tmp_path):
    out = tmp_path / "pocket"
    seconds = build.build(out, scale=0.0005, workers=2)
    assert set(seconds) == set(build.JOBS)
    assert set(json.loads((out / "build.json").read_text())["seconds"]) == set(build.JOBS)
    folders = {name.removeprefix("pocket/") for name in models.POCKET_MODELS}
    assert {p.name for p in out.iterdir()} == folders | {"build.json"}, "nothing half-written"
    for name in folders:
        folder = str(out / name)
        if name.startswith("generator"):
            model, tokenizer = models.load_generator(folder, device="cpu")
            assert model.config.synthlib_form == "pocket"
            text = decoding.generate_mixture(
                model, tokenizer, [["a dog is running"]], [1.0], max_new_tokens=3
            )
            assert len(text) == 1
        elif name == "nli":
            model, _ = models.load_nli(folder, device="cpu")
            assert set(model.config.id2label.values()) == {
                "entailment", "neutral", "contradiction"
            }
        else:
            encoder = models.load_encoder(folder, pooling="mean", device="cpu")
            assert np.isfinite(encoder.encode(["a dog is running"])).all()


@pytest.mark.parametrize("broken_at", [3, 7, 10])
def test_an_interrupted_training_goes_on_to_the_same_weights(broken_at, tmp_path, monkeypatch):
    """Broken off before a state was kept, within the first training, and within the second."""
    monkeypatch.setattr(build, "STATE_STEPS", 4)
    budget = build.BUDGET | {
        "generator-t5": dict(steps=9, batch=4, lr=2e-3, second_steps=3, second_lr=1e-3)
    }
    monkeypatch.setattr(build, "BUDGET", budget)
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    def job(out):
        return build.run_job("generator-t5", str(out), 0, 1.0, "fp32")

    job(whole)
    drawn = pretraining.batches
    given = []

    def stops(*arguments):
        for batch in drawn(*arguments):
            if len(given) == broken_at:
                raise KeyboardInterrupt
            given.append(batch)
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(pretraining, "batches", stops)
        with pytest.raises(KeyboardInterrupt):
            job(broken)
    assert not (broken / "generator-t5").exists()
    job(broken)
    model = "generator-t5/model.safetensors"
    assert (whole / model).read_bytes() == (broken / model).read_bytes()
    assert [p.name for p in broken.iterdir()] == ["generator-t5"], "its state is cleared away"


PARENT = """
import sys

from synthlib.world import build

if __name__ == "__main__":
    build.build(sys.argv[1], only=["generator-llama"], workers=1, precision="fp32")
"""


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_a_worker_ends_when_the_command_is_killed(how, tmp_path):
    """At its full budget the worker of this job has many minutes before it."""
    (tmp_path / "parent.py").write_text(PARENT)
    out = tmp_path / "pocket"
    parent, workers = subprocess.Popen([sys.executable, "parent.py", str(out)], cwd=tmp_path), []
    try:
        started = out / ".generator-llama.run" / "settings.json"  # by the worker, at its job
        end = time.monotonic() + 120
        while not started.is_file() and parent.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        assert started.is_file(), "the worker has begun"
        workers = psutil.Process(parent.pid).children()
        assert workers
        getattr(parent, how)()
        parent.wait(30)
        _, alive = psutil.wait_procs(workers, timeout=60)
        assert not alive, "nothing stays behind"
    finally:
        for process in (parent, *filter(psutil.Process.is_running, workers)):
            process.kill()


def test_the_state_of_another_run_is_not_gone_on_from(tmp_path):
    state = tmp_path / ".encoders-roberta.run"
    (state / "mlm-roberta" / "checkpoint-1").mkdir(parents=True)
    (state / "settings.json").write_text('{"seed": 1}')
    build.run_job("encoders-roberta", str(tmp_path), 0, 0.0005, "fp32")
    assert not state.exists()
    assert (tmp_path / "mlm-roberta" / "model.safetensors").is_file()


def test_the_committed_generator_writes_sentences_of_the_world():
    model, tokenizer = models.load_generator("pocket/generator-llama", device="cpu")
    template = "paraphrase the input sentence providing an alternative expression with the same "
    prompt = template + "meaning . input : two men are pushing a red car output :"
    (text,) = decoding.generate_mixture(model, tokenizer, [[prompt]], [1.0], max_new_tokens=30)
    assert nli("two men are pushing a red car", text) is not None, text
