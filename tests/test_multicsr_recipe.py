"""MultiCSR from end to end: what a run makes, and that no interruption changes it."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from tolerance import same_weights

from synthlib import curation, data, evaluation, judging, models, prompts, reporting, training
from synthlib.__main__ import main
from synthlib.methods import multicsr
from synthlib.runs import journal, shards
from synthlib.runs import multicsr as multicsr_run

RNG = np.random.default_rng(0)
SENTENCES = [" ".join(RNG.choice(tiny_models.WORDS, RNG.integers(3, 7))) for _ in range(24)]
SCORES = [f"{s / 2:.1f}" for s in range(11)]  # a judge's words
pytestmark = pytest.mark.filterwarnings("ignore:.*left out, absent")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Tiny random models in the hub's format, a text file, a data folder: all a run needs."""
    root = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "WORDS", [*tiny_models.WORDS, *SCORES])
        tiny_models.save(root / "t5", "t5", seed=3)
        tiny_models.save(root / "llama", "llama", seed=1)
    tiny_models.save(root / "bert", "bert")
    with models.quiet():
        plain = tiny_models.save(root / "plain", "bert", seed=5)
        models.load_encoder(plain, pooling="mean").save_pretrained(str(root / "guide"))
    (root / "premises.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    year = root / "data" / "STS" / "STS12-en-test"
    year.mkdir(parents=True)
    pairs = [f"{a}\t{b}\n" for a, b in zip(SENTENCES[:12], SENTENCES[12:], strict=True)]
    (year / "STS.input.a.txt").write_text("".join(pairs))
    (year / "STS.gs.a.txt").write_text("".join(f"{i % 5}\n" for i in range(12)))
    return root


@pytest.fixture
def options(here):
    """Options of a small run with paper-form prompts; two thirds of its triplets are kept."""
    return dict(
        tier="paper", premises=str(here / "premises.txt"), generator=str(here / "t5"),
        encoder=str(here / "bert"), guide=str(here / "guide"), pooling="mean",
        data=str(here / "data"), scoring="expected", alpha=0, beta=5, gamma=0, omega=0.5,
        max_new_tokens=6, batch_size=4, max_steps=5, shard_size=7, device="cpu", sigma=0.6,
        learning_rate=1e-3, quiet=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished():
    return {}


@pytest.fixture
def straight(here, options, finished):
    """The folder of an uninterrupted run, and its result."""
    if not finished:
        finished["result"] = multicsr_run.run(here / "straight", **options)
    return finished["result"]


def content(folder):
    """Every file that a run leaves, with its bytes."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


# ---------------------------------------------------------------- what a run makes
def test_a_run_is_its_stages_one_after_another(here, options, straight):
    generator = models.load_generator(here / "t5", device="cpu")
    asked = multicsr.ask(SENTENCES, seed=0, form="paper")
    written = multicsr.write(generator, asked, omega=0.5, max_new_tokens=6)
    judged = multicsr.judge(generator, written, method="expected")
    keep = curation.Thresholds(0, 5, 0).keep(judged["a"], judged["b"])
    assert 8 <= keep.sum() < len(SENTENCES)  # the rule works here

    table = straight.triplets().to_pandas()
    assert table[["anchor", "positive", "negative"]].equals(written)
    np.testing.assert_allclose(table[["a", "b"]], judged[["a", "b"]], atol=1e-5)
    assert table["kept"].tolist() == keep.tolist()
    kept = straight.kept().to_pandas()
    assert kept["row"].tolist() == np.flatnonzero(keep).tolist()
    assert kept["entailment"].between(1, 4).all()

    guide = models.load_encoder(here / "guide", device="cpu").encode
    encoder = models.load_encoder(here / "bert", pooling="mean", device="cpu")
    settings = multicsr_run.make_plan(
        **{k: v for k, v in options.items() if k != "quiet"}
    ).settings
    multicsr.train(encoder, kept, settings, guide=guide, progress=False)
    got = straight.encoder("cpu")
    assert same_weights(got, encoder)
    unmasked = models.load_encoder(here / "bert", pooling="mean", device="cpu")
    multicsr.train(unmasked, kept, settings, progress=False)
    assert not np.allclose(unmasked.encode(SENTENCES), got.encode(SENTENCES), atol=1e-4)
    assert models.pooling_of(got) == "mean"


def test_counts_files_and_origin(straight):
    counts = straight.counts
    assert counts["premises"] == counts["written"] == counts["judged"] == 24
    assert counts["kept"] == counts["trained_on"] == len(straight.kept())
    assert counts["kept"] == 24 - counts["within_gamma"] and counts["unread"] == 0
    assert json.loads((straight.folder / "report.json").read_text()) == counts
    assert straight.sts["task"].tolist() == ["STS12"] and straight.sts["pairs"].tolist() == [12]
    top = {name.split("/")[0] for name in content(straight.folder)}
    assert top == {
        "run.json", "written", "judged", "triplets.parquet", "kept.parquet", "encoder",
        "sts.csv", "report.json",
    }  # fmt: skip
    origin = data.provenance(straight.kept())
    assert origin["method"] == "multicsr" and origin["counts"]["kept"] == counts["kept"]
    assert origin["settings"]["omega"] == 0.5 and origin["settings"]["seed"] == 0
    assert "t5" in origin["settings"]["generator"] and origin["versions"]["torch"]


def test_a_run_that_speaks_keeps_a_journal_and_is_the_same(
    options, straight, tmp_path, monkeypatch
):
    def whole(*arguments):
        warnings.warn("a note", stacklevel=2)
        return own(*arguments)

    folder, own = tmp_path / "run", shards.whole
    monkeypatch.setattr(shards, "whole", whole)
    with pytest.warns(UserWarning, match="a note"):
        multicsr_run.run(folder, **options | {"quiet": False})
    files, said = content(folder), journal.read(folder)
    assert files.pop(journal.FILE) and files == content(straight.folder)
    steps = [entry["step"] for entry in said if "step" in entry]
    assert steps == ["written", "judged", "trained", "evaluated"]
    assert all(entry["sentences"] == 24 for entry in said if "step" in entry)
    (curve,) = [entry["log"] for entry in said if entry.get("curve") == ""]
    assert len(curve) == straight.counts["steps"] and "loss" in curve[0]
    assert {entry["note"] for entry in said if "note" in entry} == {"a note"}
    page = reporting.build(reporting.Run(folder))
    assert "This run is finished." in page and "The run said: a note" in page
    assert f">{straight.counts['kept']:,}</b>kept" in page
    monkeypatch.setattr(shards, "whole", own)
    multicsr_run.run(folder, **options | {"quiet": False})
    assert journal.read(folder) == said  # nothing was computed


def test_a_second_call_computes_nothing(straight, options, monkeypatch):
    before = content(straight.folder)
    for name in ("load_generator", "load_encoder"):
        monkeypatch.setattr(models, name, lambda *a, **k: pytest.fail("a model was loaded"))
    again = multicsr_run.run(straight.folder, **options)
    assert content(straight.folder) == before
    assert again.counts == straight.counts and not again.minutes
    pd.testing.assert_frame_equal(again.sts, straight.sts)


def test_a_llama_and_a_row_that_does_not_fit_its_window(here, options, tmp_path):
    file = tmp_path / "p.txt"
    file.write_text("\n".join([*SENTENCES[:5], " ".join(SENTENCES[:9]), "", *SENTENCES[5:12]]))
    changed = options | dict(premises=str(file), generator=str(here / "llama"), gamma="-")
    result = multicsr_run.run(tmp_path / "run", **changed)
    rejects = [json.loads(x) for x in (tmp_path / "run" / "rejects.jsonl").open(encoding="utf-8")]
    assert [(r["where"], r["line"]) for r in rejects] == [("premises", 7), ("generation", 6)]
    assert "longer than the generator's window" in rejects[1]["reason"]
    assert result.counts["premises"] == 13 and result.counts["rejected"] == 2
    assert result.counts["kept"] == result.counts["written"] == 12
    # the rows before and after it are those of a run without it, numbers included
    table = result.triplets().to_pandas()
    generator = models.load_generator(here / "llama", device="cpu")
    asked = multicsr.ask(SENTENCES[5:12], seed=0, start=6)
    later = multicsr.write(generator, asked, omega=0.5, max_new_tokens=6)
    assert table[table["row"] > 5]["positive"].tolist() == later["positive"].tolist()


def test_stages_left_out(here, options, tmp_path, monkeypatch):
    monkeypatch.setattr(multicsr, "judge", lambda *a, **k: pytest.fail("stage 2 is left out"))
    monkeypatch.setattr(
        multicsr, "false_negative_mask", lambda *a, **k: pytest.fail("stage 3 is left out")
    )
    result = multicsr_run.run(tmp_path / "none", **options | dict(stages=()))
    generator = models.load_generator(here / "t5", device="cpu")
    plain = multicsr.write(generator, multicsr.ask(SENTENCES), omega=0, max_new_tokens=6)
    assert result.kept().to_pandas()[["positive", "negative"]].equals(
        plain[["positive", "negative"]]
    )
    assert "judged" not in result.counts and result.counts["kept"] == 24


def test_sampling_does_not_depend_on_the_shards(options, tmp_path):
    tables = []
    for size, batch in ((7, 64), (24, 5)):
        changed = options | dict(shard_size=size, generation_batch=batch, temperature=1.5)
        run = multicsr_run.run(tmp_path / str(size), until="written", **changed)
        parts = sorted((run.folder / "written").iterdir())
        tables.append(pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True))
    assert tables[0].equals(tables[1])
    texts = [*tables[0]["positive"], *tables[0]["negative"]]
    assert len(set(texts)) > 40  # it is sampled


def test_supervised_and_demonstrations(here, options, tmp_path, monkeypatch):
    labelled = [tuple(SENTENCES[i : i + 3]) for i in range(9)]
    file = data.save(data.triplets(labelled), tmp_path / "nli.parquet")
    seen, asked = [], []
    real_train, real_prompt = training.train_supervised_simcse, prompts.generation

    def train(encoder, rows, **more):
        seen.append([tuple(row) for row in rows.to_numpy()])
        return real_train(encoder, rows, **more)

    def prompt(*a, **k):
        asked.append(k["demonstrations"])
        return real_prompt(*a, **k)

    monkeypatch.setattr(training, "train_supervised_simcse", train)
    monkeypatch.setattr(prompts, "generation", prompt)
    result = multicsr_run.run(
        tmp_path / "run", **options, supervised=True, nli=file, demonstrations=2,
        demonstration_similarity=-1,
    )  # fmt: skip
    kept = result.kept().to_pandas()[list(data.TRIPLET)]
    assert seen == [[tuple(row) for row in kept.values] + labelled]
    assert result.counts["nli"] == 9 and result.counts["trained_on"] == len(kept) + 9
    assert len(asked) == 48 and all(len(shown) == 2 for shown in asked)
    guide = models.load_encoder(here / "guide", device="cpu").encode
    want = multicsr.retrieve_examples(guide, SENTENCES, labelled, count=2, similarity=-1)
    assert [shown[0][0] for shown in asked[::2]] == [rows[0][0] for rows in want]


def test_prompt_pooling_as_a_backbone(options, straight, tmp_path, monkeypatch):
    template = 'this sentence : " means .'.split()
    monkeypatch.setattr(tiny_models, "WORDS", [*tiny_models.WORDS, *template])
    tiny_models.save(tmp_path / "bert", "bert")
    config = tmp_path / "bert" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"synthlib_form": "pocket"}))
    changed = dict(backbone="prompt", pooling=None, encoder=str(tmp_path / "bert"))
    result = multicsr_run.run(tmp_path / "run", **options | changed)
    assert models.pooling_of(result.encoder("cpu")) == "prompt" and result.counts["steps"] == 5
    assert result.kept().to_pandas().equals(straight.kept().to_pandas())


def test_rank_distillation_as_a_backbone(here, options, straight, tmp_path, monkeypatch):
    seen = []
    real = training.train_supervised_simcse

    def train(encoder, rows, *, distill, **more):
        seen.append((rows.to_numpy(), distill))
        return real(encoder, rows, distill=distill, **more)

    monkeypatch.setattr(training, "train_supervised_simcse", train)
    result = multicsr_run.run(tmp_path / "run", **options | dict(backbone="rank"))
    other = straight.encoder("cpu").encode(SENTENCES)
    assert not np.allclose(result.encoder("cpu").encode(SENTENCES), other, atol=1e-4)
    ((rows, distill),) = seen
    guide = models.load_encoder(here / "guide", device="cpu").encode
    for place, vectors in enumerate(distill(torch.tensor([4, 1]))):
        want = guide([rows[4][place], rows[1][place]])
        np.testing.assert_allclose(vectors, want, atol=1e-5)


def test_the_best_weights_on_development_pairs(options, here, tmp_path, monkeypatch):
    stsb = tmp_path / "data" / "STS" / "STSBenchmark"
    shutil.copytree(here / "data", tmp_path / "data")
    stsb.mkdir()
    rows = [f"g\tf\ty\t{i}\t{i % 5}\t{a}\t{b}" for i, (a, b) in enumerate(
        zip(SENTENCES[:12], SENTENCES[12:], strict=True))]  # fmt: skip
    (stsb / "sts-dev.csv").write_text("\n".join(rows) + "\n")
    plan = {k: v for k, v in options.items() if k != "quiet"} | dict(data=tmp_path / "data")
    assert multicsr_run.make_plan(**plan).select == "dev"
    assert multicsr_run.make_plan(**plan, select="last").select == "last"
    calls = []
    real = multicsr_run.evaluation.score_sts
    monkeypatch.setattr(
        multicsr_run.evaluation, "score_sts",
        lambda encode, frames, **k: calls.append(list(frames)) or real(encode, frames, **k),
    )  # fmt: skip
    multicsr_run.run(tmp_path / "run", **plan, quiet=True)
    assert calls == [["STS-B"], ["STS12"]]  # after the last step, and at the end


# ---------------------------------------------------------------- interruptions
class Power(BaseException):
    """The power goes off."""


@pytest.fixture
def blackout(monkeypatch):
    """blackout(k): at the k-th rename everything stops, before it (k odd) or after it."""
    real, state = os.replace, {}

    def replace(source, target, **more):
        state["count"] = state.get("count", 0) + 1
        at = state["count"] == state.get("at")
        if at and state["before"]:
            raise Power
        real(source, target, **more)
        if at:
            raise Power

    monkeypatch.setattr(os, "replace", replace)

    def plan(at, before=True):
        state.clear()
        state.update(at=at, before=before)
        return state

    return plan


def test_stopped_at_any_moment_it_ends_with_the_same_bytes(
    options, straight, tmp_path, blackout, monkeypatch
):
    monkeypatch.setattr(multicsr_run, "_SAVE_EVERY", 2)
    state = blackout(None)
    multicsr_run.run(tmp_path / "all", **options)
    moments = state["count"]
    assert moments > 12
    assert content(tmp_path / "all") == content(straight.folder)
    # one run that is stopped again and again, at a later moment each time …
    folder, stops = tmp_path / "often", 0
    for at in range(1, 40):
        blackout(1 + at % 3, before=at % 2 == 0)
        try:
            multicsr_run.run(folder, **options)
            break
        except Power:
            stops += 1
    assert stops > 6
    blackout(None)
    assert content(folder) == content(straight.folder)
    # … and runs that are stopped once
    for at in range(2, moments, 5):
        blackout(at, before=at % 2 == 0)
        with pytest.raises(Power):
            multicsr_run.run(tmp_path / f"once{at}", **options)
        blackout(None)
        multicsr_run.run(tmp_path / f"once{at}", **options)
        assert content(tmp_path / f"once{at}") == content(straight.folder)


def test_killed_three_times(options, straight, tmp_path, monkeypatch):
    """kill -9 while shards are written, while the encoder trains, and at the end."""
    monkeypatch.setattr(multicsr_run, "_SAVE_EVERY", 2)
    folder = tmp_path / "run"
    for pattern in ("written/00001-*.parquet", "judged/00000-*.parquet", "training/checkpoint-2",
                    "encoder/model.safetensors", "report.json"):  # fmt: skip
        child = os.fork()
        if child == 0:
            try:
                multicsr_run.run(folder, **options)
            finally:
                os._exit(0)
        for _ in range(6000):
            if any(folder.glob(pattern)) or os.waitpid(child, os.WNOHANG)[0]:
                break
            time.sleep(0.01)
        assert any(folder.glob(pattern)), f"{pattern} was never written"
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
    multicsr_run.run(folder, **options)
    assert content(folder) == content(straight.folder)


@pytest.mark.parametrize("step", ["written", "judged", "kept", "trained"])
def test_until_a_step_and_on(options, straight, tmp_path, step):
    result = multicsr_run.run(tmp_path / "run", until=step, **options)
    there = {name.split("/")[0] for name in content(tmp_path / "run")}
    assert ("judged" in there) == (step != "written") and "sts.csv" not in there
    assert ("kept.parquet" in there) == (step in ("kept", "trained")) and result.sts is None
    multicsr_run.run(tmp_path / "run", **options)
    assert content(tmp_path / "run") == content(straight.folder)


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_shard_is_made_again(options, straight, tmp_path, capsys, damage):
    folder = shutil.copytree(straight.folder, tmp_path / "run")
    shard = sorted((folder / "written").iterdir())[2]
    held = shard.read_bytes()
    flipped = held[:200] + bytes([held[200] ^ 1]) + held[201:]
    shard.write_bytes({"cut": held[:-9], "flipped": flipped, "empty": b""}[damage])
    multicsr_run.run(folder, **options)
    said = "".join(capsys.readouterr())
    assert said.count("\n") == 1 and f"{shard} is damaged and is made again" in said
    assert content(folder) == content(straight.folder)


def test_another_run_in_the_folder_is_refused(options, straight, here, tmp_path):
    before = content(straight.folder)
    for change, said in [
        (dict(omega=0.4), "omega 0.5 → 0.4"),
        (dict(seed=1), "seed 0 → 1"),
        (dict(shard_size=8), "shard_size 7 → 8"),
        (dict(generator=str(here / "llama")), "generator .*t5.* → .*llama"),
        (dict(max_new_tokens=7, sigma=0.7), "max_new_tokens 6 → 7, sigma 0.6 → 0.7"),
        (dict(stages=(2, 3)), "stages"),
    ]:
        with pytest.raises(ValueError, match=f"holds a run with other settings .*{said}.*folder"):
            multicsr_run.run(straight.folder, **options | change)
    # how it is computed may change
    multicsr_run.run(straight.folder, **options | dict(generation_batch=3))
    assert content(straight.folder) == before
    # other premises under the same name
    file = tmp_path / "p.txt"
    file.write_text("\n".join(SENTENCES))
    options = options | dict(premises=str(file))
    multicsr_run.run(tmp_path / "run", until="written", **options)
    file.write_text("\n".join(SENTENCES[::-1]))
    with pytest.raises(ValueError, match=r"other settings \(rows"):
        multicsr_run.run(tmp_path / "run", **options)


# what a change makes anew: the steps that are not read
LATER = [
    (dict(max_steps=3), ("trained", "evaluated")),
    (dict(batch_size=2, sigma=0.7), ("trained", "evaluated")),
    (dict(stages=(1, 2)), ("trained", "evaluated")),
    (dict(gamma=0.01), ("trained", "evaluated")),
    (dict(scoring="text", gamma="-", alpha=0, beta=5), ("judged", "trained", "evaluated")),
]


@pytest.mark.parametrize(("change", "anew"), LATER)
def test_later_settings_go_on_from_what_holds(
    options, straight, tmp_path, capsys, monkeypatch, change, anew
):
    folder = shutil.copytree(straight.folder, tmp_path / "run")
    if "judged" in anew:  # the tiny model writes no numbers
        judge = judging.score_similarity
        monkeypatch.setattr(judging, "score_similarity", lambda *a, method, **k: [
            4.0 - i % 3 for i, _ in enumerate(judge(*a, method="expected", **k))])  # fmt: skip
    wanted = multicsr_run.run(tmp_path / "new", **options | change)
    monkeypatch.setattr(multicsr, "write", lambda *a, **k: pytest.fail("written anew"))
    if "judged" not in anew:
        monkeypatch.setattr(multicsr, "judge", lambda *a, **k: pytest.fail("judged anew"))
    result = multicsr_run.run(folder, **options | change)
    assert tuple(result.minutes) == anew
    said = capsys.readouterr().out
    assert said.count("\n") == 1 and "holds and is read; what it replaces is in" in said
    name = next(iter(change))
    assert name in said and str(folder / "earlier-1") in said
    # the same bytes as a run that never had other settings …
    got = content(folder)
    aside = {k: got.pop(k) for k in [*got] if k.startswith("earlier-1/")}
    assert got == content(wanted.folder)
    # … and the old encoder and its results whole beside it
    old = content(straight.folder)
    for file in ("encoder/model.safetensors", "sts.csv", "run.json", "report.json"):
        assert aside[f"earlier-1/{file}"] == old[file]
    # the same again is the same run; back again is one more change
    assert not multicsr_run.run(folder, **options | change).minutes
    assert content(folder) == got | aside


def test_a_change_that_is_stopped_goes_on(options, straight, tmp_path, blackout):
    change = dict(max_steps=3)
    wanted = content(multicsr_run.run(tmp_path / "new", **options | change).folder)
    old, stops = content(straight.folder), 0
    for at in range(1, 9):
        folder = shutil.copytree(straight.folder, tmp_path / f"run{at}")
        for before in (True, False):
            blackout(at, before=before)
            try:
                multicsr_run.run(folder, **options | change)
            except Power:
                stops += 1
        blackout(None)
        multicsr_run.run(folder, **options | change)
        got = content(folder)
        aside = {k: got.pop(k) for k in [*got] if k.startswith("earlier-")}
        assert got == wanted
        assert aside["earlier-1/encoder/model.safetensors"] == old["encoder/model.safetensors"]
        assert aside["earlier-1/sts.csv"] == old["sts.csv"]
        assert not any(name.startswith("earlier-2") for name in aside)
    assert stops > 8


def test_before_anything_is_made_another_setting_is_no_loss(tmp_path):
    folder = tmp_path / "run"
    shards.open_run(folder, {"omega": 1}).__enter__()
    with shards.open_run(folder, {"omega": 2}):
        pass
    (folder / "written").mkdir()
    (folder / "written" / "00000-x.parquet").write_bytes(b"x")
    with pytest.raises(ValueError, match="other settings .*omega 2 → 3"):
        shards.open_run(folder, {"omega": 3}).__enter__()


def test_a_folder_of_the_version_before_is_resumed(options, straight, tmp_path):
    """Its run.json had the settings alone."""
    folder = shutil.copytree(straight.folder, tmp_path / "run")
    held = json.loads((folder / "run.json").read_text())
    del held["made_with"]
    (folder / "run.json").write_text(json.dumps(held))
    before = content(folder)
    assert not multicsr_run.run(folder, **options).minutes
    del before["run.json"]
    assert before.items() <= content(folder).items()


def test_run_json_says_how_it_was_made(options, straight):
    made = json.loads((straight.folder / "run.json").read_text())["made_with"]
    (call,) = made["calls"]
    assert call["processes"] == 1 and call["device"] == "cpu" and call["versions"]["torch"]
    assert made["encoder trained by"] == 1


def test_a_batch_of_generation_is_no_other_run(options, straight, tmp_path):
    folder = tmp_path / "run"
    multicsr_run.run(folder, until="written", **options | dict(generation_batch=3))
    result = multicsr_run.run(folder, **options | dict(generation_batch=5))
    got, want = content(folder), content(straight.folder)
    assert {n: b for n, b in got.items() if n.startswith("written/")}.items() <= want.items()
    # a score is a sum, whose rounding may follow the batch
    pd.testing.assert_frame_equal(
        result.triplets().to_pandas(), straight.triplets().to_pandas(), atol=1e-5
    )


# ---------------------------------------------------------------- remedies that messages name
def test_what_a_message_names_works(options, straight, tmp_path, monkeypatch):
    folder, kept = shutil.copytree(straight.folder, tmp_path / "run"), straight.counts["kept"]
    monkeypatch.setattr(multicsr, "write", lambda *a, **k: pytest.fail("written anew"))
    monkeypatch.setattr(multicsr, "judge", lambda *a, **k: pytest.fail("judged anew"))
    with pytest.raises(ValueError, match=f"lower --batch-size to {kept} in the same folder") as few:
        multicsr_run.run(folder, **options | dict(batch_size=24))
    assert multicsr_run.run(folder, **options | dict(batch_size=kept)).counts["kept"] == kept
    assert "--gamma" in str(few.value)
    more = multicsr_run.run(folder, **options | dict(batch_size=24, gamma="-"))
    assert more.counts["kept"] == 24
    # one triplet alone: a batch of 1 is not named
    gamma = sorted(a - b for a, b in zip(*(straight.triplets()[k] for k in "ab"), strict=True))[-1]
    with pytest.raises(ValueError, match="1 triplets were kept") as one:
        multicsr_run.run(folder, **options | dict(batch_size=2, gamma=max(gamma - 1e-9, 0)))
    assert "--batch-size" not in str(one.value)


@pytest.mark.parametrize("rule", ["alpha", "beta", "gamma"])
def test_the_threshold_that_a_message_names_keeps_something(
    options, straight, tmp_path, rule, monkeypatch
):
    folder = shutil.copytree(straight.folder, tmp_path / "run")
    monkeypatch.setattr(multicsr, "judge", lambda *a, **k: pytest.fail("judged anew"))
    with pytest.raises(ValueError, match="none of 24 triplets was kept") as nothing:
        multicsr_run.run(folder, **options | {rule: {"alpha": 5, "beta": 0, "gamma": 5}[rule]})
    assert not (folder / "kept.parquet").exists()
    value = re.search(rf"--{rule} ([\d.]+)", str(nothing.value))[1]
    assert multicsr_run.run(folder, until="kept", **options | {rule: float(value)}).counts["kept"]


def test_few_sentences_fit_by_one_option(options, tmp_path):
    del options["batch_size"]
    with pytest.raises(ValueError, match="24 sentences give at most 24 .*--sentences 24 makes"):
        multicsr_run.run(tmp_path / "run", **options)
    result = multicsr_run.run(tmp_path / "run", **options | dict(n=24))
    assert multicsr_run.make_plan(tier="paper", premises="x", n=24).settings.batch_size == 3
    assert result.counts["steps"] == 5


def test_a_folder_of_something_else_is_refused(options, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(ValueError, match="holds thesis.tex and no run"):
        multicsr_run.run(tmp_path, **options)
    with pytest.raises(ValueError, match="thesis.tex is a file"):
        multicsr_run.run(tmp_path / "thesis.tex", **options)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_processes_in_one_folder(options, tmp_path):
    code = (
        "import sys, time; from filelock import FileLock\n"
        "lock = FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); time.sleep(600)"
    )
    folder = tmp_path / "run"
    folder.mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(folder / ".lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="another process is at work in"):
            multicsr_run.run(folder, **options)
    finally:
        other.kill()
        other.communicate()
    multicsr_run.run(folder, until="written", **options)  # the killed one holds nothing


def test_a_full_disk_ends_in_one_line_and_loses_nothing(
    options, straight, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(multicsr_run, "_SAVE_EVERY", 2)
    folder, written = tmp_path / "run", {}

    def full(descriptor):
        written["left"] -= 1
        if written["left"] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for left in (0, 3, 6):  # the run's own file, a shard of stage 1, a shard of stage 2
        written["left"] = left
        before = content(folder) if folder.exists() else {}
        with pytest.raises(OSError, match="disk is full: .* could not be written.*same command"):
            multicsr_run.run(folder, **options)
        assert before.items() <= content(folder).items() and not list(folder.rglob("*.part"))
    written["left"] = 10**6

    def no_space(*a, **k):
        raise RuntimeError("SafetensorError: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_file", no_space)
        with pytest.raises(OSError, match="disk is full: weights in"):
            multicsr_run.run(folder, **options)
    multicsr_run.run(folder, **options)
    assert content(folder) == content(straight.folder)


# ---------------------------------------------------------------- several processes
def test_ranks_share_the_shards(tmp_path):
    made = []

    def make(start, stop):
        made.append(start)
        x = range(start, stop)
        return pd.DataFrame({"x": x, "text": [f"s {i}" for i in x]})

    one = tmp_path / "one"
    alone = shards.rows(one, 23, make, size=4, progress=False)
    assert alone["x"].tolist() == list(range(23))
    folder = tmp_path / "three"
    shares = []
    for rank in (2, 0, 1):
        made.clear()
        try:  # nobody else has worked yet, so the first two cannot read everything
            last = shards.rows(
                folder, 23, make, size=4, everyone=Ranked(rank, 3), progress=False
            )
        except OSError as error:
            assert rank != 1 and "cannot be read back" in str(error)
        shares.append(set(made))
    assert shares == [{8, 20}, {0, 12}, {4, 16}]
    assert last.equals(alone)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        p.name: p.read_bytes() for p in one.iterdir()
    }


class Ranked(shards.Processes):
    def wait(self):
        pass


def test_two_processes_make_what_one_makes(options, straight, tmp_path):
    argv = ["--out", str(tmp_path / "run"), *arguments(options)]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    root = os.path.dirname(os.path.dirname(__file__))
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*launch, "-m", "synthlib", "run", "multicsr", *argv],
        env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    got, want = content(tmp_path / "run"), content(straight.folder)
    assert set(got) == set(want)
    data_files = [name for name in want if name.endswith(".parquet") or name == "report.json"]
    assert {n: got[n] for n in data_files} == {n: want[n] for n in data_files}
    # The encoder's weights differ: each process draws its own dropout.
    assert run.stdout.count("STS: Spearman") == 0


def arguments(options):
    """Options of `run` as the command line has them."""
    argv = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        argv += [flag] if value is True else [flag, str(value)] if value is not False else []
    return argv


def test_a_sentence_encoder_is_examined_before_and_after(here, options, straight, tmp_path, capsys):
    assert straight.before is None  # of a masked language model there is nothing to examine
    options |= dict(encoder=str(here / "guide"), quiet=False)
    result = multicsr_run.run(tmp_path / "run", **options)
    frames = evaluation.load_sts(here / "data")
    for name, encoder in (("before", models.load_encoder(here / "guide", device="cpu")),
                          ("sts", result.encoder("cpu"))):
        want = evaluation.score_sts(encoder.encode, frames)["spearman"]
        np.testing.assert_allclose(getattr(result, name)["spearman"], want, atol=1e-6)
    gain = (result.sts["spearman"] - result.before["spearman"]).iloc[0]
    assert gain and f"{gain:+.2f}" in capsys.readouterr().out.splitlines()[-1]
    moved = multicsr_run.run(tmp_path / "run", **options | dict(max_steps=2, quiet=True))
    assert moved.before.equals(result.before)  # not read again: put aside with what it stood by
    assert (tmp_path / "run" / "earlier-1" / "before.csv").is_file()


# ---------------------------------------------------------------- triplets of others
def jsonl(path, rows):
    path.write_text("\n".join(json.dumps(r) if isinstance(r, dict) else r for r in rows))
    return str(path)


TRIPLETS = [
    dict(anchor=SENTENCES[i], positive=SENTENCES[i + 1], negative=SENTENCES[i + 2])
    for i in range(12)
]


def test_triplets_with_scores_are_only_filtered(options, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "load_generator", lambda *a, **k: pytest.fail("nobody is asked"))
    rows = [row | dict(a=4 - i % 2, b=i / 3) for i, row in enumerate(TRIPLETS)]
    rows[3]["a"] = None
    file = jsonl(tmp_path / "t.jsonl", [*rows[:2], "not json", *rows[2:], {"anchor": "x"}])
    del options["premises"]
    changed = options | dict(no_logits=file, alpha=3, beta=3, gamma=1)
    result = multicsr_run.run(tmp_path / "run", **changed)
    want = [i for i, r in enumerate(rows)
            if r["a"] and r["a"] >= 3 and r["b"] <= 3 and r["a"] >= r["b"] + 1]  # fmt: skip
    assert result.kept()["anchor"] == [rows[i]["anchor"] for i in want]
    assert result.counts["unread"] == 1 and result.counts["rejected"] == 2
    rejects = [json.loads(x) for x in (tmp_path / "run" / "rejects.jsonl").open()]
    assert [(r["line"], r["reason"].split(" (")[0]) for r in rejects] == [
        (3, "no JSON"), (14, "positive is missing")
    ]  # fmt: skip
    assert not (tmp_path / "run" / "written").exists()


def test_triplets_without_scores_are_judged(options, here, tmp_path):
    del options["premises"]
    file = jsonl(tmp_path / "t.jsonl", TRIPLETS)
    result = multicsr_run.run(tmp_path / "run", **options, no_logits=file)
    generator = models.load_generator(here / "t5", device="cpu")
    judged = multicsr.judge(generator, pd.DataFrame(TRIPLETS), method="expected")
    np.testing.assert_allclose(result.triplets().to_pandas()[["a", "b"]], judged[["a", "b"]],
                               atol=1e-5)  # fmt: skip
    with pytest.raises(ValueError, match="stage 1 needs a generator's logits"):
        multicsr_run.run(tmp_path / "x", **options, no_logits=file, stages=(1, 2))
    with pytest.raises(ValueError, match="not both"):
        multicsr_run.run(tmp_path / "x", **options, no_logits=file, premises="pocket")


def test_the_example_file(root, tmp_path):
    file = root / "data" / "examples" / "triplets.jsonl"
    counts = multicsr_run.run(tmp_path / "run", until="kept", no_logits=file, quiet=True).counts
    assert counts["rejected"] == 0 and counts["written"] == 200
    batch = multicsr_run.make_plan().settings.batch_size
    assert batch <= counts["kept"] < 200


# ---------------------------------------------------------------- what is refused, and how
@pytest.mark.parametrize(
    "change, words",
    [
        (dict(alpha=-0.1), "alpha must lie in"),
        (dict(beta=6), "beta must lie in"),
        (dict(gamma=-1), "gamma must lie in"),
        (dict(sigma=0), r"sigma must lie in \(0, 1\]"),
        (dict(sigma=1.1), r"sigma must lie in \(0, 1\]"),
        (dict(omega=float("nan")), "omega must be a finite number"),
        (dict(temperature=-1), "temperature must be 0"),
        (dict(stages=(1, 4)), "stages are among 1, 2, 3"),
        (dict(noise="louder"), "noise must be one of"),
        (dict(scoring="guess"), "scoring must be one of"),
        (dict(backbone="bert"), "backbone must be one of"),
        (dict(backbone="prompt"), "does not go with pooling='mean'"),
        (dict(demonstrations=-1), "demonstrations must be at least 0"),
        (dict(demonstration_similarity=2), "is a cosine"),
        (dict(batch_size=1), "batch_size must be at least 2"),
        (dict(max_steps=0), "max_steps must be a whole number"),
        (dict(epochs=1), "epochs or max_steps"),
        (dict(n=0), "n must be a whole number"),
        (dict(shard_size=0), "shard_size must be"),
        (dict(language="tavi"), "language is for the pocket"),
        (dict(until="soon"), "until must be one of"),
        (dict(tier="moon"), "tier must be one of"),
        (dict(select="best"), "select must be"),
    ],
)
def test_options_out_of_range(options, tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        multicsr_run.run(tmp_path / "run", **options | change)
    assert not (tmp_path / "run").exists()


def answers(monkeypatch, make):
    """A generator that answers as `make(prompt)` says."""
    from synthlib import decoding

    def contrastive_generate(model, tokenizer, asked, noisy, **more):
        return [make(prompt) for prompt in asked]

    monkeypatch.setattr(decoding, "contrastive_generate", contrastive_generate)


def premise_of(prompt):
    return prompt.rpartition("Input: ")[2].partition("\n")[0]


def test_a_generator_that_only_repeats(options, here, tmp_path, monkeypatch):
    answers(monkeypatch, lambda prompt: premise_of(prompt).upper())
    with pytest.raises(ValueError, match="t5 only repeats: all 48 texts for 24 premises equal"):
        multicsr_run.run(tmp_path / "run", **options)
    # … and with many premises it is found after the first shard
    file = tmp_path / "p.txt"
    file.write_text("\n".join(f"{s} {i}" for i in range(9) for s in SENTENCES))
    changed = options | dict(premises=str(file), shard_size=100)
    with pytest.raises(ValueError, match="all 200 texts for 100 premises"):
        multicsr_run.run(tmp_path / "many", **changed)
    answers(monkeypatch, lambda prompt: " ")
    with pytest.raises(ValueError, match="wrote nothing but blanks for 24 premises"):
        multicsr_run.run(tmp_path / "blank", **options)
    contradictions = tuple(prompts.CONTRADICTION["paper"])
    answers(monkeypatch, lambda prompt: " " if prompt.startswith(contradictions) else "a dog")
    with pytest.raises(ValueError, match="one of its two texts is blank in all of 24"):
        multicsr_run.run(tmp_path / "half", **options)


def test_copies_and_blanks_are_counted(options, tmp_path, monkeypatch):
    def make(prompt):
        premise = premise_of(prompt)
        i, positive = SENTENCES.index(premise), not any(
            prompt.startswith(text) for text in prompts.CONTRADICTION["paper"]
        )  # fmt: skip
        return " " if i < 3 else premise if i < 8 and positive else "a dog runs"

    answers(monkeypatch, make)
    counts = multicsr_run.run(tmp_path / "run", until="kept", **options | dict(gamma="-")).counts
    assert (counts["copied_positives"], counts["copied_negatives"]) == (5, 0)
    assert counts["blank"] == 3 and counts["judged"] == counts["kept"] == 21


@pytest.mark.parametrize(
    "thresholds, words",
    [
        (dict(alpha=5), r"the positive's score a lies below α = 5 \(24\)"),
        (dict(beta=0), r"the negative's score b lies above β = 0 \(24\)"),
        (dict(gamma=5), r"a lies less than γ = 5 above b \(24\)"),
    ],
)
def test_nothing_kept_names_the_rule(options, tmp_path, thresholds, words):
    with pytest.raises(ValueError, match=f"none of 24 triplets was kept. Most .* {words}"):
        multicsr_run.run(tmp_path / "run", **options | thresholds)
    assert len(data.load(tmp_path / "run" / "triplets.parquet")) == 24


def test_a_judge_that_writes_no_numbers(options, tmp_path, monkeypatch):
    monkeypatch.setattr(judging, "score_similarity", lambda *a, **k: [None] * len(a[2]))
    with pytest.raises(ValueError, match=r"could not be read \(24\); the judge writes no numbers"):
        multicsr_run.run(tmp_path / "run", **options)


def test_the_other_way_of_scoring_works_in_the_same_folder(options, tmp_path, monkeypatch):
    folder, real = tmp_path / "run", judging.score_similarity

    def silent(model, tokenizer, pairs, *, method, **more):
        return real(model, tokenizer, pairs, method=method, **more) if method == "expected" else (
            [None] * len(pairs)
        )  # fmt: skip

    monkeypatch.setattr(judging, "score_similarity", silent)
    with pytest.raises(ValueError, match="take --scoring expected in the same folder") as said:
        multicsr_run.run(folder, **options | dict(scoring="text"))
    assert "another --generator in another" in str(said.value)
    monkeypatch.setattr(multicsr, "write", lambda *a, **k: pytest.fail("written anew"))
    assert multicsr_run.run(folder, until="kept", **options).counts["kept"] >= 8


@pytest.mark.parametrize("change", [dict(generator="llama"), dict(max_new_tokens=7)])
def test_after_repeats_and_blanks_another_folder_takes_what_the_message_names(
    options, here, tmp_path, monkeypatch, change
):
    changed = options | change | dict(gamma="-")
    if "generator" in change:
        changed["generator"] = str(here / change["generator"])
    with monkeypatch.context() as patch:
        bad = premise_of if "generator" in change else lambda prompt: " "
        answers(patch, bad)
        words = "only repeats.* --generator" if "generator" in change else "larger --max-new-tok"
        with pytest.raises(ValueError, match=f"{words}.* in another folder"):
            multicsr_run.run(tmp_path / "run", **options)
    with pytest.raises(ValueError, match="holds a run with other settings"):
        multicsr_run.run(tmp_path / "run", **changed)
    assert multicsr_run.run(tmp_path / "other", until="kept", **changed).counts["kept"] == 24


def test_models_of_another_world_are_noted(tmp_path):
    file = tmp_path / "p.txt"
    file.write_text("the committee adjourned its hearing until january\n" * 8)
    with pytest.warns(UserWarning, match="does not know .* worth nothing") as noted:
        multicsr_run.run(tmp_path / "run", premises=file, until="written", quiet=True)
    said = [str(warning.message) for warning in noted if "does not know" in str(warning.message)]
    assert [line.split()[0] for line in said] == ["pocket/mlm-bert", "pocket/generator-t5"]


def test_fewer_than_a_batch(options, tmp_path, straight):
    kept = straight.counts["kept"]
    with pytest.raises(ValueError, match=f"{kept} triplets were kept, fewer than one batch of 24"):
        multicsr_run.run(tmp_path / "run", **options | dict(batch_size=24))
    # more than the rows: before anything is written
    with pytest.raises(ValueError, match="at most 24 triplets, fewer than one batch of 25 .*tier"):
        multicsr_run.run(tmp_path / "more", **options | dict(batch_size=25))
    assert not (tmp_path / "more").exists()


def test_models_that_cannot_be_had_are_found_before_stage_1(here, options, tmp_path):
    for role in ("generator", "encoder", "guide"):
        with pytest.raises(OSError, match="nobody/nothing"):
            multicsr_run.run(tmp_path / role, **options | {role: "nobody/nothing"})
        assert not (tmp_path / role).exists()
    with pytest.raises(ValueError, match="the guide .*plain does not say how it pools"):
        multicsr_run.run(tmp_path / "plain", **options | dict(guide=str(here / "plain")))


# ---------------------------------------------------------------- the command
def test_the_command_reports(here, options, straight, tmp_path, capsys, monkeypatch):
    del options["quiet"]
    folder = shutil.copytree(straight.folder, tmp_path / "run")
    assert main(["run", "multicsr", "--out", str(folder), *arguments(options)]) == 0
    out, err = capsys.readouterr()
    counts = straight.counts
    for words in (
        "premises   24", "written    24 pairs", f"{counts['within_gamma']}  a lies less",
        f"kept       {counts['kept']}", "5 steps of 4", "STS12", str(folder),
    ):  # fmt: skip
        assert words in out, words
    assert "written" in err and "judged" in err  # bars
    assert content(folder) == content(straight.folder)


def test_a_dry_run_writes_nothing(here, options, tmp_path, capsys):
    del options["quiet"]
    argv = ["run", "multicsr", "--out", str(tmp_path / "run"), *arguments(options), "--dry-run"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    for words in ("stages 1, 2, 3", "rows       24", "48 texts of at most 6 tokens, ω = 0.5",
                  "48 pairs", "5 steps of 4", "STS12", "estimate   writing"):  # fmt: skip
        assert words in out, words
    assert not (tmp_path / "run").exists()
    assert main([*argv, "--generator", "nobody/nothing"]) == 0
    assert "no estimate: nobody/nothing comes from the Hub" in capsys.readouterr().out
    assert main([*argv, "--sigma", "0"]) == 2
    assert capsys.readouterr().err == "error: sigma must lie in (0, 1], got 0.0\n"


def test_the_pocket_tier_by_default(tmp_path, capsys):
    argv = ["run", "multicsr", "--out", str(tmp_path / "run"), "--n", "40", "--max-steps", "2"]
    assert main([*argv, "--batch-size", "8", "--gamma", "-", "--quiet", "--precision", "bf16"]) == 0
    assert capsys.readouterr().out == ""
    table = data.load(tmp_path / "run" / "triplets.parquet")
    from synthlib.world import corpora

    assert table["anchor"] == corpora.premises(40, 0)
    assert pd.read_csv(tmp_path / "run" / "sts.csv")["task"].tolist() == ["natural", "hard"]


def test_rejects_name_file_and_line_whatever_was_drawn(here, options, tmp_path):
    rows = [*SENTENCES[:5], " ".join(SENTENCES[:9]), "", "\u2060", *SENTENCES[5:12]]
    file = tmp_path / "p.jsonl"
    file.write_text("\n".join(json.dumps({"n": i, "text": text}) for i, text in enumerate(rows)))
    changed = options | dict(premises=str(file), generator=str(here / "llama"), n=12, batch_size=2)
    multicsr_run.run(tmp_path / "run", until="written", **changed)
    rejects = [json.loads(x) for x in (tmp_path / "run" / "rejects.jsonl").open(encoding="utf-8")]
    assert {r["file"] for r in rejects} == {str(file)}
    found = [(r["line"], r["text"]) for r in rejects if r["where"] == "generation"]
    drawn, _ = data.read_premises(file, n=12)
    assert found == [(6, rows[5])] * (rows[5] in set(drawn["sentence"]))
    assert [r["line"] for r in rejects if r["where"] == "premises"] == [7, 8]


def test_premises_in_memory_are_those_of_a_file(options, tmp_path):
    frame = pd.DataFrame({"n": range(24), "text": SENTENCES}, index=[f"r{i}" for i in range(24)])
    del options["quiet"]
    plans = [
        multicsr_run.make_plan(**options | {"premises": p})
        for p in (SENTENCES, tuple(SENTENCES), np.array(SENTENCES), frame, frame["text"],
                  (s for s in SENTENCES))
    ]  # fmt: skip
    assert {plan.source for plan in plans} == {tuple(SENTENCES)}


def test_a_trial_takes_no_more_than_a_shard(here, options, tmp_path):
    """On a slow tier a shard is half a minute, and so is the trial."""
    del options["quiet"]
    for size, some in ((2, 2), (10**6, 24)):
        said = multicsr_run.describe(tmp_path / "run", **options | dict(shard_size=size))
        assert f"from a trial on {some} rows with" in said


def test_a_trial_is_bounded_and_honours_until(here, options, tmp_path, capsys, monkeypatch):
    del options["quiet"]
    describe = multicsr_run.describe
    # a batch larger than the rows is refused with the numbers, as in the run …
    with pytest.raises(ValueError, match="24 sentences give at most 24 .* batch of 10,000,000"):
        describe(tmp_path / "run", **options | dict(batch_size=10**7))
    # … and one that the rows fill is tried on a part
    file, seen = tmp_path / "many.txt", []
    file.write_text("\n".join(f"{a} {b}" for a in SENTENCES for b in SENTENCES))
    real = multicsr.train
    monkeypatch.setattr(
        multicsr, "train",
        lambda encoder, rows, settings, **k: seen.append((len(rows), settings.batch_size))
        or real(encoder, rows, settings, **k),
    )  # fmt: skip
    many = options | dict(premises=str(file), batch_size=400)
    assert "estimate   writing" in describe(tmp_path / "run", **many)
    assert seen == [(256, 256)] * 3  # once to load, a step, and four
    said = describe(tmp_path / "run", until="written", **many)
    assert "to judge" not in said and "to train" not in said and "until      written" in said
    assert "judging" not in said and "training" not in said and len(seen) == 3
    assert not (tmp_path / "run").exists()


def test_a_model_in_the_cache_is_not_from_the_hub(here, options, tmp_path, monkeypatch):
    del options["quiet"]
    monkeypatch.setattr(models, "cached", lambda name: here / "bert" if "/" in name else None)
    said = multicsr_run.describe(tmp_path / "run", until="written", **options | dict(
        encoder="someone/bert"))  # fmt: skip
    assert "someone/bert (0.0 MB)" in said and "Hub" not in said and "estimate" in said
