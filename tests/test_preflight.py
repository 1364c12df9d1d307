"""The first cell of every chapter: quick, complete, and with a remedy for what is wrong."""

import shutil
import subprocess
import sys
import time
from importlib import metadata

import pytest
import torch

import synthlib
from synthlib import models, tiers, trials

CPU = torch.device("cpu")


@pytest.fixture
def healthy(monkeypatch, tmp_path):
    """A machine where nothing is wrong."""
    for name in models.POCKET_MODELS:
        name = name.removeprefix("pocket/")
        (tmp_path / name).symlink_to(models.POCKET / name)
    monkeypatch.setattr(models, "POCKET", tmp_path)
    monkeypatch.setattr(models, "free_bytes", lambda device: 30e9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("", (), {"free": 50e9}))
    monkeypatch.setattr(metadata, "requires", lambda name: [])
    for name in ("SYNTHLIB_TIER", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_ready(healthy, capsys):
    report = synthlib.preflight()
    printed = capsys.readouterr().out
    assert report and report.problems == () and report.tier == "pocket"
    assert printed.endswith("ready\n") and "pocket models 9 of 9" in printed
    for part in ("synthlib " + synthlib.__version__, "30.0 GB", "python 3."):
        assert part in printed
    assert f"torch {torch.__version__}".partition("+")[0] in printed
    assert report.versions["numpy"] and report.free_memory_gb == 30


def test_missing_pocket_models(healthy, capsys):
    (healthy / "nli").unlink()
    report = synthlib.preflight()
    assert not report and report.pocket_missing == ("pocket/nli",)
    assert "make pocket" in report.problems[0]
    assert "! " in capsys.readouterr().out


def test_gpu_tier_on_a_cpu(healthy, monkeypatch):
    monkeypatch.setattr(models, "pick_device", lambda device=None: torch.device("cpu"))
    monkeypatch.setenv("SYNTHLIB_TIER", "colab")
    (problem,) = synthlib.preflight().problems
    assert "T4" in problem and "SYNTHLIB_TIER=pocket" in problem


def test_each_problem_has_a_line(healthy, monkeypatch):
    monkeypatch.setattr(models, "free_bytes", lambda device: 0.5e9)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("", (), {"free": 3e8}))
    real = metadata.version

    def version(name):
        if name == "datasets":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    problems = "\n".join(synthlib.preflight().problems)
    assert problems.count("\n") == 2
    for words in ("pip install datasets", "0.5 GB of memory", "0.3 GB of disk"):
        assert words in problems


def test_offline_with_a_tier_that_downloads(healthy, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert not [p for p in synthlib.preflight("pocket").problems if "OFFLINE" in p]
    assert [p for p in synthlib.preflight("paper").problems if "HF_HUB_OFFLINE" in p]


def test_packages_out_of_range(healthy, monkeypatch):
    monkeypatch.setattr(
        metadata, "requires", lambda name: ["numpy>=99", "torch", 'trl>=99; extra == "rl"', "nope"]
    )
    problems = synthlib.preflight().problems
    assert problems[0].startswith("numpy is ") and "pip install 'numpy>=99'" in problems[0]
    assert problems[1:] == ("nope is not installed: pip install 'nope'",)


# ------------------------------------------------------------------ what a tier needs, tried


@pytest.fixture
def old_torchao(tmp_path, monkeypatch):
    """Beside this environment's packages lies the torchao that Colab has; returns its folder."""
    from peft.import_utils import is_torchao_available

    folder = tmp_path / "packages"
    for name, file, text in (
        ("torchao", "__init__.py", ""),
        ("torchao-0.10.0.dist-info", "METADATA", "Name: torchao\nVersion: 0.10.0\n"),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / file).write_text(text)
    monkeypatch.syspath_prepend(folder)
    is_torchao_available.cache_clear()
    yield folder
    monkeypatch.undo()
    is_torchao_available.cache_clear()


def test_a_torchao_that_peft_refuses_is_named_until_it_is_gone(healthy, old_torchao, capsys):
    (problem,) = synthlib.preflight().problems
    assert "0.10.0" in problem and "pip uninstall -y torchao" in problem
    assert "\n" not in problem and capsys.readouterr().out.endswith("1 to mend before you go on\n")
    # What a run says is the same line, and no traceback of a library's.
    said = pytest.raises(models.ModelUnavailable, match="pip uninstall -y torchao")
    with said, models.adapting():
        raise ImportError("Found an incompatible version of torchao")
    # Once it is taken off, the same session goes on.
    for part in old_torchao.iterdir():
        shutil.rmtree(part)
    assert synthlib.preflight()


def test_another_import_error_stays_as_it_is():
    with pytest.raises(ImportError, match="no such thing"), models.adapting():
        raise ImportError("no such thing")


def test_folders_that_cannot_be_written(healthy, tmp_path, monkeypatch):
    from huggingface_hub import constants

    from synthlib import paths

    (tmp_path / "file").write_text("")
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(paths, "BUILD", tmp_path / "file" / "_build")
    working, cache = synthlib.preflight().problems
    assert str(tmp_path / "file" / "_build") in working and "may write to" in working
    assert str(tmp_path / "file" / "cache") in cache and "set HF_HOME" in cache


def test_a_trial_of_writing_leaves_nothing(tmp_path):
    trials.write(tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []


def test_numbers_that_are_none(healthy, monkeypatch):
    model = trials.two_layers

    def broken(*arguments):
        made = model(*arguments)
        made.lm_head.weight.data[0, 0] = float("nan")
        return made

    monkeypatch.setattr(trials, "two_layers", broken)
    lora, step = synthlib.preflight().problems
    assert lora.startswith("a LoRA step failed: ") and "pip install -U peft" in lora
    assert "step on cpu failed: the loss or its gradient is not a number: " in step


def test_a_full_device_is_named(healthy, monkeypatch):
    def full(*arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB")

    monkeypatch.setattr(trials, "training_step", full)
    (problem,) = synthlib.preflight().problems
    assert "out of memory" in problem and "restart the session" in problem


def test_a_damaged_pocket_model(healthy):
    (healthy / "nli").unlink()
    shutil.copytree(synthlib.paths.POCKET / "nli", healthy / "nli")
    (healthy / "nli" / "model.safetensors").write_bytes(b"not weights")
    (problem,) = synthlib.preflight().problems
    assert problem.startswith("loading pocket/nli failed: ") and "\n" not in problem
    # The tiers with downloads do not need it.
    assert not [p for p in trials.failures(tiers.get("colab"), CPU) if "pocket" in p]


def test_trials_draw_from_nobodys_random_numbers():
    torch.manual_seed(7)
    state = torch.get_rng_state()
    assert list(trials.failures(tiers.get("pocket"), CPU)) == []
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32


def test_the_step_has_the_precision_of_trainings(monkeypatch):
    seen = []
    monkeypatch.setattr(models, "training_precision", lambda device: "bf16")
    monkeypatch.setattr(
        models, "autocast", lambda d, p: seen.append(p) or torch.autocast(d.type, torch.bfloat16)
    )
    assert list(trials.failures(tiers.get("pocket"), CPU)) == []
    assert seen == ["fp32", "bf16"]  # the adapter's step is in the generator's own numbers


# ------------------------------------------------------------------ as a whole


def test_unknown_tier(monkeypatch):
    with pytest.raises(ValueError, match="pocket, laptop, colab, paper"):
        synthlib.preflight("clud")
    monkeypatch.setenv("SYNTHLIB_TIER", "cloud")
    with pytest.raises(ValueError, match="pocket, laptop, colab, paper"):
        synthlib.preflight()


def test_a_notebook_does_not_show_the_report_twice(healthy):
    assert synthlib.preflight()._ipython_display_() is None


def test_it_is_quick(healthy):
    synthlib.preflight()
    start = time.process_time()
    synthlib.preflight()
    assert time.process_time() - start < 2


def test_import_is_light_and_submodules_come_on_demand():
    program = (
        "import sys, synthlib; assert 'torch' not in sys.modules and synthlib.__version__; "
        "synthlib.paths.DATA; assert 'torch' not in sys.modules; "
        "assert synthlib.losses.info_nce and 'torch' in sys.modules; "
        "\ntry: synthlib.nothing\nexcept AttributeError as e: assert 'nothing' in str(e)"
        "\nelse: raise SystemExit('no AttributeError')"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=synthlib.paths.ROOT)
