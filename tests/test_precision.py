"""The precision of training: one place decides it, a trial of the processor, and all obey."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import tiny_models
import torch

from synthlib import discriminator, models, ppo, training

#: A processor that has AVX2 and nothing newer, for PyTorch's kernels and for oneDNN's.
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
TRIPLETS = [
    (f"the {a} runs", f"the {a} is running", f"the {a} sleeps")
    for a in ("man", "woman", "dog", "cat", "two men", "children", "old dog", "red car")
] * 4
QUICK = dict(batch_size=8, max_steps=4, learning_rate=1e-3, progress=False)


@pytest.fixture
def speed(monkeypatch):
    """Say how much faster this processor is in bfloat16."""
    return lambda ratio: monkeypatch.setattr(models, "bf16_speedup", lambda: ratio)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_models.save(tmp_path_factory.mktemp("m") / "bert", "bert", dropout=0.0)


def encoder(bert):
    return models.load_encoder(bert, pooling="mean", device="cpu")


def vectors(trained):
    return trained.encode([row[0] for row in TRIPLETS[:8]])


# ------------------------------------------------------------------ the one place
@pytest.mark.parametrize("ratio, want", [(0.05, "fp32"), (1.0, "fp32"), (2.2, "fp32"), (6, "bf16")])
def test_a_cpu_trains_in_bfloat16_only_where_that_is_clearly_faster(speed, ratio, want):
    speed(ratio)
    assert models.training_precision("cpu") == want
    assert models.training_precision(torch.device("cpu")) == want


@pytest.mark.parametrize(
    "capability, model_type, want",
    [
        ((9, 0), "t5", "bf16"),
        ((8, 0), "bert", "bf16"),
        ((7, 5), "bert", "fp16"),  # a T4, for which torch.cuda.is_bf16_supported() is true
        ((7, 5), "t5", "fp32"),  # float16 overflows in T5
        ((7, 5), "umt5", "fp32"),
    ],
)
def test_a_gpu_trains_in_what_it_computes_and_not_in_what_it_emulates(
    monkeypatch, capability, model_type, want
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *a: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(models, "bf16_speedup", None)  # no trial on a GPU
    assert models.training_precision("cuda", model_type=model_type) == want
    assert models.training_precision("cuda", "fp32", model_type=model_type) == "fp32"


def test_mps_trains_in_float32_and_what_is_asked_for_is_taken_without_a_trial(monkeypatch):
    monkeypatch.setattr(models, "bf16_speedup", None)
    assert models.training_precision("cpu", "bf16") == "bf16"
    assert models.training_precision("cpu", "fp32") == "fp32"
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert models.training_precision("mps") == "fp32"


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="one of fp32, bf16, fp16, got 'int8'"):
        models.training_precision("cpu", "int8")
    with pytest.raises(ValueError, match="a CPU does not train in fp16; take precision 'fp32'"):
        models.training_precision("cpu", "fp16")


def test_autocast():
    x = torch.ones(2, 2)
    for precision, want in [
        ("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)
    ]:  # fmt: skip
        with models.autocast("cpu", precision):
            assert (x @ x).dtype == want


def test_the_trial_is_made_once_and_draws_nothing():
    models.bf16_speedup.cache_clear()
    state = torch.get_rng_state()
    ratio = models.bf16_speedup()
    assert 0 < ratio < 1000 and models.bf16_speedup() == ratio
    assert models.bf16_speedup.cache_info().misses == 1
    assert torch.equal(torch.get_rng_state(), state)


def test_the_tests_train_in_float32_on_every_processor():
    assert models.training_precision("cpu") == "fp32"


# ------------------------------------------------------------------ who obeys it
def test_training_follows_the_trial(bert, speed):
    def trained(**options):
        return vectors(training.train_supervised_simcse(
            encoder(bert), TRIPLETS, **QUICK, **options
        ))  # fmt: skip

    full, half = trained(precision="fp32"), trained(precision="bf16")
    assert not np.allclose(full, half, atol=1e-6)
    speed(0.05)
    assert np.array_equal(trained(), full)
    speed(8.0)
    assert np.array_equal(trained(), half)


def test_a_resumed_training_keeps_its_precision(bert, speed, tmp_path):
    def run(folder, stop=None):
        calls = []

        def dev(encode):
            calls.append(1)
            if len(calls) == stop:
                raise KeyboardInterrupt
            return float(encode(["the man runs", "a cat"]).std())

        return training.train_supervised_simcse(
            encoder(bert), TRIPLETS, dev=dev, eval_steps=1, output_dir=tmp_path / folder, **QUICK
        )

    speed(8.0)
    whole = vectors(run("whole"))
    with pytest.raises(KeyboardInterrupt):
        run("cut", stop=3)
    speed(0.05)  # another machine, or a trial that went another way
    assert np.array_equal(vectors(run("cut")), whole)
    record = json.loads((tmp_path / "cut" / "synthlib_run.json").read_text())
    assert record["precision"] == "bf16"
    with pytest.raises(ValueError, match="other settings .precision bf16 → fp32"):
        training.train_supervised_simcse(
            encoder(bert), TRIPLETS, dev=lambda encode: 1.0, eval_steps=1, precision="fp32",
            output_dir=tmp_path / "cut", **QUICK,
        )  # fmt: skip


EXAMPLES = [
    (f"the {noun} runs", f"{word} {noun}", label)
    for noun in ("man", "dog", "cat", "woman")
    for word, label in [("a", "entailment"), ("two", "neutral"), ("not a", "contradiction")]
] * 4


def test_the_discriminator_follows_the_trial_and_keeps_it(bert, speed, tmp_path, monkeypatch):
    options = dict(
        batch_size=8, max_steps=4, eval_steps=2, learning_rate=1e-3, device="cpu", progress=False,
        max_length=16,
    )  # fmt: skip

    def weights(**more):
        model, _ = discriminator.train_nli(bert, EXAMPLES, **options, **more)
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    full, half = weights(precision="fp32"), weights(precision="bf16")
    assert not torch.allclose(full, half, atol=1e-6)
    speed(0.05)
    assert torch.equal(weights(), full)
    speed(8.0)
    assert torch.equal(weights(), half)
    real, seen = discriminator.collate, []

    def stop(*arguments):
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(discriminator, "collate", stop)
    with pytest.raises(KeyboardInterrupt):
        weights(output_dir=tmp_path / "run")
    monkeypatch.setattr(discriminator, "collate", real)
    speed(0.05)
    torch.testing.assert_close(weights(output_dir=tmp_path / "run"), half, atol=1e-6, rtol=1e-5)


TASKS = [dict(prompt=f"the {n}", anchor="the man", kind="positive") for n in ("man", "dog", "cat")]


def dogs(completions, **_):
    return [float(text.split().count("dog")) for text in completions]


def tuned(folder, **options):
    tiny_models.save(folder, "llama", initializer_range=0.4)
    torch.manual_seed(0)
    policy = ppo.Policy(*models.load_generator(folder, device="cpu"), r=4, alpha=8)
    log = ppo.train(policy, TASKS, [dogs], [1.0], **dict(
        steps=3, batch_size=8, mini_batch_size=4, epochs=2, max_new_tokens=3, learning_rate=1e-2,
        progress=False,
    ) | options)  # fmt: skip
    return [[entry["policy_loss"], entry["value_loss"], entry["kl"]] for entry in log]


def test_ppo_follows_the_trial_and_keeps_it(speed, tmp_path):
    full = tuned(tmp_path / "a", precision="fp32")
    half = tuned(tmp_path / "b", precision="bf16")
    assert full != half
    speed(0.05)
    assert tuned(tmp_path / "c") == full
    speed(8.0)
    assert tuned(tmp_path / "d") == half

    def stop(entry, *_):
        if entry["step"] == 2:
            raise KeyboardInterrupt

    options = dict(output_dir=tmp_path / "run", save_steps=1)
    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path / "e", on_step=stop, **options)
    speed(0.05)
    assert np.allclose(tuned(tmp_path / "f", **options), half, atol=1e-5)


def test_ppo_in_float16_scales_its_loss(monkeypatch, tmp_path):
    """As on a GPU without bfloat16: steps that overflow are left out until the scale fits, the
    others are those of float32, and a checkpoint keeps the scale."""
    scales, real = [], torch.amp.GradScaler

    def scaler(kind, enabled):
        return real(kind, enabled=enabled, init_scale=2.0**40)  # overflows at first

    monkeypatch.setattr(torch.amp, "GradScaler", scaler)
    monkeypatch.setattr(models, "training_precision", lambda *a, **k: "fp16")
    step = torch.optim.AdamW.step
    monkeypatch.setattr(
        torch.optim.AdamW, "step", lambda self, *a, **k: (scales.append(1), step(self, *a, **k))[1]
    )
    options = dict(steps=12, output_dir=tmp_path / "run", save_steps=12)
    log = tuned(tmp_path / "m", **options)
    assert 0 < len(scales) < 12 * 2 * 2  # some were left out
    assert np.isfinite(log).all()
    held = json.loads((tmp_path / "run" / "ppo.json").read_text())
    assert held["settings"]["precision"] == "fp16"
    assert 1 < held["scaler"]["scale"] < 2.0**40


def test_a_loss_that_is_no_number_is_said_in_float16_too(monkeypatch, tmp_path):
    monkeypatch.setattr(models, "training_precision", lambda *a, **k: "fp16")
    real = ppo.ppo_loss

    def broken(*arguments, **options):
        loss, found = real(*arguments, **options)
        return loss * float("nan"), found

    monkeypatch.setattr(ppo, "ppo_loss", broken)
    with pytest.raises(ppo.Stopped, match="the gradient of the loss is not a number"):
        tuned(tmp_path / "m", steps=20)


# ------------------------------------------------------------------ nobody else decides
def test_nobody_else_decides(root):
    found = []
    for folder in ("synthlib", "book", "benchmarks"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if path != root / "synthlib" / "models.py" and re.search(
                r"bf16=True|fp16=True|is_bf16_supported\(", text
            ):
                found.append(str(path))
    assert found == []


# ------------------------------------------------------------------ any processor
PROGRAM = """
import json, sys
import torch
from synthlib import models, training
from synthlib.world import corpora
rows = corpora.triplets(64, seed=0)
encoder = models.load_encoder("pocket/mlm-bert", device="cpu")
training.train_supervised_simcse(
    encoder, rows, batch_size=32, max_steps=6, learning_rate=5e-4, progress=False
)
print(json.dumps(dict(
    capability=torch.backends.cpu.get_cpu_capability(), speedup=models.bf16_speedup(),
    precision=models.training_precision("cpu"),
    vectors=encoder.encode([row[0] for row in rows]).tolist(),
)))
"""


def trained_in_a_process(**environment):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True,
        env={k: v for k, v in os.environ.items() if k not in AVX2} | environment,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def test_training_is_as_good_and_as_fast_on_a_processor_with_avx2_alone():
    """One training on this processor as it is, one as on a laptop's: each in what is fast there,
    and the same encoder where both take float32."""
    here, laptop = trained_in_a_process(), trained_in_a_process(**AVX2)
    if laptop["capability"] != "AVX2":
        pytest.skip(f"this processor computes as {laptop['capability']} when asked for AVX2")
    assert laptop["speedup"] < 1 and laptop["precision"] == "fp32"
    want = "bf16" if here["speedup"] >= models.CLEARLY_FASTER else "fp32"
    assert here["precision"] == want
    a, b = np.array(here["vectors"]), np.array(laptop["vectors"])
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() > (0.9999 if want == "fp32" else 0.98)
