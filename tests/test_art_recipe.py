"""ART from end to end: what a run makes, and that no interruption changes it."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from tolerance import same_weights

from synthlib import data, judging, models, ppo, prompts, rewards, tiers
from synthlib.__main__ import main
from synthlib.methods import art
from synthlib.runs import art as art_run
from synthlib.runs import foreseen

RNG = np.random.default_rng(0)
SENTENCES = [" ".join(RNG.choice(tiny_models.WORDS, RNG.integers(3, 6))) for _ in range(60)]
pytestmark = pytest.mark.filterwarnings("ignore:.*does not know")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Tiny random models in the hub's format and a text file: all a run needs."""
    root = tmp_path_factory.mktemp("here")
    tiny_models.save(root / "llama", "llama", initializer_range=0.3)
    tiny_models.save(root / "t5", "t5", seed=3)
    # Large weights: a discriminator that is sure of its random opinions.
    tiny_models.save(root / "nli", "nli", initializer_range=1.0, dropout=0.0, seed=3)
    with models.quiet():
        plain = tiny_models.save(root / "plain", "bert", seed=5)
        models.load_encoder(plain, pooling="mean").save_pretrained(str(root / "encoder"))
    (root / "premises.txt").write_text("\n".join(dict.fromkeys(SENTENCES)), encoding="utf-8")
    year = root / "data" / "STS" / "STS12-en-test"
    year.mkdir(parents=True)
    pairs = [f"{a}\t{b}\n" for a, b in zip(SENTENCES[:12], SENTENCES[12:24], strict=True)]
    (year / "STS.input.a.txt").write_text("".join(pairs))
    (year / "STS.gs.a.txt").write_text("".join(f"{i % 5}\n" for i in range(12)))
    return root


@pytest.fixture
def options(here):
    """Options of a small run of two rounds with its control."""
    return dict(
        tier="paper", premises=str(here / "premises.txt"), generator=str(here / "llama"),
        discriminator=str(here / "nli"), encoder=str(here / "encoder"), data=str(here / "data"),
        rounds=2, anchors=12, ppo_steps=3, ppo_batch_size=8, ppo_mini_batch_size=4, ppo_epochs=1,
        lower_bound=0.5, positive_bound=0.3, negative_bound=0.9, learning_rate=1e-2,
        max_new_tokens=5, candidates=3, temperature=1.0, encoder_batch_size=2,
        encoder_learning_rate=1e-3, shard_size=5, device="cpu", quiet=True,
    )  # fmt: skip


SETTINGS = dataclasses.replace(
    tiers.get("paper").art, ppo_steps=3, ppo_batch_size=8, ppo_mini_batch_size=4, ppo_epochs=1,
    learning_rate=1e-2, max_new_tokens=5, encoder_batch_size=2, encoder_learning_rate=1e-3,
)  # fmt: skip
BOUNDS = rewards.Bounds(0.5, 0.3, 0.9)


@pytest.fixture(scope="module")
def finished():
    return {}


@pytest.fixture
def straight(here, options, finished):
    """The result of an uninterrupted run."""
    if not finished:
        with pytest.warns(UserWarning, match="left out, absent"):
            finished["result"] = art_run.run(here / "straight", **options)
    return finished["result"]


def content(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


# ---------------------------------------------------------------- stages
def test_prompts_and_tasks():
    rows = art.tasks(["a man runs"], "pocket")
    assert [row["kind"] for row in rows] == ["positive", "negative"]
    assert rows[0]["prompt"] == prompts.ART_POSITIVE["pocket"].format(sentence="a man runs")
    assert rows[1]["anchor"] == "a man runs" and "negative variation" in rows[1]["prompt"]
    assert '"a man runs"' in art.prompt("a man runs", "negative")
    with pytest.raises(ValueError, match="neutral"):
        art.prompt("a", "neutral")


def test_candidates_do_not_depend_on_the_parts(here):
    generator = models.load_generator(here / "llama", device="cpu")
    options = dict(candidates=2, temperature=1.0, max_new_tokens=5, seed=3)
    whole = art.write(generator, SENTENCES[:6], **options)
    parts = [
        art.write(generator, SENTENCES[:4], **options),
        art.write(generator, SENTENCES[4:6], start=4, batch_size=3, **options),
    ]
    pd.testing.assert_frame_equal(whole, pd.concat(parts, ignore_index=True))
    assert len(whole) == 24 and whole["text"].nunique() > 12
    with pytest.raises(ValueError, match="temperature"):
        art.write(generator, ["a"], temperature=0, max_new_tokens=5)


def test_what_a_generator_wraps_its_answer_in_is_taken_off():
    assert art.clean(' "a man runs ."\nNote: same meaning') == "a man runs ."
    assert art.clean("a man says “no”") == "a man says “no”"
    assert art.clean("\n") == ""


def test_judging_and_selecting(here):
    discriminator = models.load_nli("pocket/nli", device="cpu")
    encoder = models.load_encoder("pocket/simcse-sup-bert", device="cpu")
    x = "two boys are sleeping in the park"
    right, wrong = "two lads are sleeping in the park", "two boys are running in the park"
    rows = [
        (0, x, "positive", 0, wrong), (0, x, "positive", 1, right), (0, x, "negative", 0, ""),
        (0, x, "negative", 1, wrong), (1, x, "positive", 0, "Two boys are sleeping in the park "),
        (1, x, "negative", 0, wrong),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["row", "anchor", "kind", "candidate", "text"])
    found = art.judge(table, discriminator, encoder.encode)
    assert found["accepted"].tolist() == [False, True, False, True, False, True]
    p = judging.nli_probabilities(*discriminator, [(x, wrong)])[0]
    assert found["p"][0] == pytest.approx(p[0], abs=1e-5) and found["p"][2] == 0
    assert found["p"][3] == pytest.approx(p[2], abs=1e-5)
    assert found["p"][4] > 0.9  # a copy is entailed, and teaches nothing
    s = judging.cosine(encoder.encode, [(x, right)])[0]
    assert found["similarity"][1] == pytest.approx(s, abs=1e-5)
    kept = art.select(found)
    assert kept.to_dict("records") == [dict(row=0, anchor=x, positive=right, negative=wrong)]
    raw = art.select(found, filtered=False)
    assert raw["row"].tolist() == [0, 1] and raw["positive"][0] == wrong


def test_bounds_by_the_rule_and_generators_that_say_nothing(here, monkeypatch):
    generator = models.load_generator(here / "llama", device="cpu")
    judges = models.load_nli(here / "nli", device="cpu"), models.load_encoder(
        here / "encoder", device="cpu"
    ).encode
    found = art.choose_bounds(generator, SENTENCES * 4, *judges, max_new_tokens=5)
    table = art.write(generator, SENTENCES * 4, candidates=1, temperature=1.0, max_new_tokens=5)
    table = art.judge(table[table["text"] != ""], *judges)
    good = table[table["p"] > 0.5]
    positives = good.loc[good["kind"] == "positive", "similarity"]
    assert found.positive_bound == pytest.approx(np.quantile(positives, 0.05))
    assert found.lower_bound == pytest.approx(np.quantile(good["p"], 0.05))
    for answer, said in (("", "wrote nothing"), (None, "only copies")):
        monkeypatch.setattr(
            art.decoding, "generate_mixture",
            lambda m, t, contexts, w, answer=answer, **_: [
                SENTENCES[0] if answer is None else answer for _ in contexts[0]
            ],
        )  # fmt: skip
        with pytest.raises(ValueError, match=said):
            art.choose_bounds(generator, SENTENCES[:1] * 30, *judges, max_new_tokens=5)


def test_the_layers_that_are_adapted(here):
    def adapted(name, targets):
        settings = dataclasses.replace(SETTINGS, lora_targets=targets)
        policy = art.policy(models.load_generator(here / name, device="cpu"), settings)
        return {n.split(".lora_A")[0].rpartition(".")[2]
                for n, _ in policy.model.named_parameters() if "lora_A" in n}  # fmt: skip

    assert adapted("llama", ("q_proj", "v_proj")) == {"q_proj", "v_proj"}
    assert adapted("t5", ("q_proj", "v_proj")) == {"q", "v"}  # peft's own choice
    assert {"o_proj", "up_proj"} < adapted("llama", ("all-linear",))


def test_a_saved_adapter_merged_writes_what_the_policy_writes(here, tmp_path):
    policy = art.policy(models.load_generator(here / "llama", device="cpu"), SETTINGS)
    with torch.no_grad():
        for name, p in policy.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(p, std=0.5)
    policy.model.save_pretrained(str(tmp_path / "adapter"))
    merged = art.tuned(models.load_generator(here / "llama", device="cpu"), tmp_path / "adapter")
    options = dict(candidates=1, temperature=1.0, max_new_tokens=5)
    held = art.write((policy.model, policy.tokenizer), SENTENCES[:8], **options)
    pd.testing.assert_frame_equal(art.write(merged, SENTENCES[:8], **options), held)
    with policy.adapter_off():
        base = art.write((policy.model, policy.tokenizer), SENTENCES[:8], **options)
    assert not base["text"].equals(held["text"])


# ---------------------------------------------------------------- a run
def test_a_run_is_its_stages_one_after_another(here, straight):
    """Round 1 by hand: the same log, triplets and encoder."""
    held = json.loads((straight.folder / "run.json").read_text())
    assert held["ppo_steps"] == 3 and held["start"] == "last"
    order = np.random.default_rng((0, 4)).permutation(len(dict.fromkeys(SENTENCES)))
    sentences = [list(dict.fromkeys(SENTENCES))[i] for i in order]
    anchors, asked = sentences[:12], sentences[24:36]
    judges = models.load_nli(here / "nli", device="cpu"), models.load_encoder(
        here / "encoder", device="cpu"
    )
    policy = art.policy(models.load_generator(here / "llama", device="cpu"), SETTINGS)
    log = art.tune(
        policy, asked, judges[0], judges[1].encode, BOUNDS, SETTINGS, seed=1, progress=False
    )
    assert straight.log(1)["reward"].tolist() == pytest.approx([e["reward"] for e in log])
    table = art.write(
        (policy.model, policy.tokenizer), anchors, temperature=1.0, max_new_tokens=5, seed=1
    )
    table = art.judge(table, judges[0], judges[1].encode)
    assert straight.candidates(1)["text"].tolist() == table["text"].tolist()
    kept = art.select(table)
    found = straight.triplets(1).to_pandas()
    for name in data.TRIPLET:
        assert found[name].tolist() == kept[name].tolist()
    art.train(judges[1], kept, SETTINGS, progress=False)
    assert same_weights(straight.encoder(1, "cpu"), judges[1])


def test_rounds_build_on_one_another(here, straight):
    counts = straight.counts
    assert counts["texts_a_round"] == 2 * (12 * 3 + 12)
    assert counts["raw"]["written"] == 2 * counts["texts_a_round"]  # the same budget
    rounds = straight.table["round"].tolist()
    assert rounds == ["0", "1", "2", "raw"]
    anchors = [set(straight.candidates(k)["anchor"]) for k in (1, 2)]
    assert not anchors[0] & anchors[1] and all(len(a) == 12 for a in anchors)
    # The second adapter goes on from the first, the second encoder too.
    def weights(number):
        from safetensors.torch import load_file

        return load_file(straight.home(number) / "adapter" / "adapter_model.safetensors")

    first, second = weights(1), weights(2)
    a = {k: v for k, v in first.items() if "lora_A" in k}
    near = sum(float((second[k] - v).abs().sum()) for k, v in a.items())
    fresh = art.policy(models.load_generator(here / "llama", device="cpu"), SETTINGS, seed=9)
    other = {k.replace(".default", ""): v for k, v in fresh.model.state_dict().items()}
    far = sum(float((other[k] - v).abs().sum()) for k, v in a.items())
    assert 0 < near < far / 3
    origin = data.provenance(straight.triplets(2))
    assert origin["method"] == "art" and origin["round"] == 2 and origin["adapter"]
    assert origin["counts"]["bounds"]["positive_bound"] == 0.3
    assert json.loads((straight.folder / "report.json").read_text()) == counts
    top = {name.split("/")[0] for name in content(straight.folder)}
    assert top == {
        "run.json", "round-0", "round-1", "round-2", "raw", "results.csv", "report.json"
    }  # fmt: skip
    inside = {name.split("/")[1] for name in content(straight.folder) if name.startswith("round-2")}
    assert inside == {
        "bounds.json", "log.csv", "adapter", "candidates", "triplets.parquet", "encoder", "sts.csv"
    }  # fmt: skip


def test_a_second_call_computes_nothing(straight, options, monkeypatch):
    before = content(straight.folder)
    for name in ("load_generator", "load_encoder", "load_nli"):
        monkeypatch.setattr(models, name, lambda *a, **k: pytest.fail("a model was loaded"))
    again = art_run.run(straight.folder, **options)
    assert content(straight.folder) == before
    assert again.counts == straight.counts and not again.minutes
    pd.testing.assert_frame_equal(again.table, straight.table)


def test_the_first_encoder_on_all_triplets(options, straight, tmp_path):
    result = art_run.run(tmp_path / "run", **options | dict(start="first", control=False))
    one, two = (result.triplets(k).to_pandas() for k in (1, 2))
    assert one.equals(straight.triplets(1).to_pandas())  # the first round is the same
    encoder = models.load_encoder(options["encoder"], device="cpu")
    art.train(encoder, pd.concat([one, two]), SETTINGS, progress=False)
    got = result.encoder(2, "cpu")
    assert same_weights(got, encoder)
    got = got.encode(SENTENCES)
    assert not np.allclose(got, straight.encoder(2, "cpu").encode(SENTENCES), atol=1e-4)


# ---------------------------------------------------------------- interruptions
class Power(BaseException):
    """The power goes off."""


def test_stopped_at_any_moment_it_ends_with_the_same_bytes(
    options, straight, tmp_path, monkeypatch
):
    monkeypatch.setattr(art_run, "_SAVE_EVERY", 1)
    monkeypatch.setattr(art_run, "_SAVE_TRAINING", 1)
    real, state = os.replace, {"count": 0, "at": 0, "before": True}

    def replace(source, target, **more):
        state["count"] += 1
        if state["count"] == state["at"] and state["before"]:
            raise Power
        real(source, target, **more)
        if state["count"] == state["at"]:
            raise Power

    monkeypatch.setattr(os, "replace", replace)
    folder, stops = tmp_path / "often", 0
    for turn in range(60):
        state.update(count=0, at=5 + turn % 4, before=turn % 2 == 0)
        try:
            art_run.run(folder, **options)
            break
        except Power:
            stops += 1
    assert stops > 4
    assert content(folder) == content(straight.folder)


def test_killed(options, straight, tmp_path, monkeypatch):
    """kill -9 while the generator is tuned, while it writes, while the encoder trains."""
    monkeypatch.setattr(art_run, "_SAVE_EVERY", 1)
    folder = tmp_path / "run"
    for pattern in ("round-1/ppo/ppo.json", "round-1/candidates/00001-*.parquet",
                    "round-2/ppo/ppo.json", "round-2/training/*", "raw/more/*"):  # fmt: skip
        child = os.fork()
        if child == 0:
            try:
                art_run.run(folder, **options)
            finally:
                os._exit(0)
        for _ in range(60_000):
            if any(folder.glob(pattern)) or os.waitpid(child, os.WNOHANG)[0]:
                break
            time.sleep(0.01)
        assert any(folder.glob(pattern)), f"{pattern} was never written"
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
    art_run.run(folder, **options)
    assert content(folder) == content(straight.folder)


def test_until_a_round_and_on(options, straight, tmp_path):
    result = art_run.run(tmp_path / "run", until=1, **options)
    assert result.table["round"].tolist() == ["0", "1"]
    assert not (tmp_path / "run" / "raw").exists()
    with pytest.raises(ValueError, match="holds a run with other settings .*kl 0.2 → 0.3"):
        art_run.run(tmp_path / "run", **options | dict(kl=0.3))
    art_run.run(tmp_path / "run", **options)
    assert content(tmp_path / "run") == content(straight.folder)


@pytest.mark.parametrize("change", [dict(encoder_epochs=1), dict(candidates=2), dict(start="first"),
                                    dict(control=False)])  # fmt: skip
def test_rounds_are_read_again_when_later_settings_change(
    options, straight, tmp_path, capsys, monkeypatch, change
):
    folder = shutil.copytree(straight.folder, tmp_path / "run")
    wanted = art_run.run(tmp_path / "new", **options | change)
    real = art.tune
    tuned = []
    monkeypatch.setattr(art, "tune", lambda *a, **k: tuned.append(k["seed"]) or real(*a, **k))
    result = art_run.run(folder, **options | change)
    assert 1 not in tuned and "tuned 1" not in result.minutes  # round 1's tuning is read
    assert ("written 1" in result.minutes) == ("candidates" in change)
    assert "holds and is read; what it replaces is in" in capsys.readouterr().out
    got, old = content(folder), content(straight.folder)
    aside = {k: got.pop(k) for k in [*got] if k.startswith("earlier-1/")}
    if change == dict(control=False):
        got = {k: v for k, v in got.items() if not k.startswith("raw/")}
    del got["run.json"]  # it says that the control was trained, too
    want = content(wanted.folder)
    assert got == {name: want[name] for name in want if name != "run.json"}
    number = 2 if "start" in change else 1
    name = f"round-{number}/encoder/model.safetensors"
    assert "control" in change or aside[f"earlier-1/{name}"] == old[name]
    assert aside["earlier-1/results.csv"] == old["results.csv"]


def test_a_batch_larger_than_what_is_kept_and_the_remedy(options, straight, tmp_path):
    folder = shutil.copytree(straight.folder, tmp_path / "run")
    kept = straight.counts["1"]["triplets"]
    with pytest.raises(ValueError, match=f"lower --encoder-batch-size to {kept} in the same") as e:
        art_run.run(folder, **options | dict(encoder_batch_size=kept + 1))
    assert "round 1" in str(e.value)
    result = art_run.run(folder, until=1, **options | dict(encoder_batch_size=kept))
    assert "tuned 1" not in result.minutes and "trained 1" in result.minutes


def test_few_sentences_fit_by_one_option(options, tmp_path):
    plain = {k: v for k, v in options.items() if k not in
             ("anchors", "ppo_steps", "encoder_batch_size", "quiet")}  # fmt: skip
    with pytest.raises(ValueError, match=r"need 40000 distinct sentences.*--sentences \d+ makes"):
        art_run.run(tmp_path / "run", **plain)
    plan = art_run.make_plan(**plain, n=24)
    s = plan.settings
    assert (s.rounds, s.anchors, s.encoder_batch_size) == (2, 12, 3) and s.ppo_steps >= 1
    assert "--anchors 20,000 → 12" in plan.fitted
    result = art_run.run(tmp_path / "run", until=0, quiet=True, **plain, n=24)
    assert result.counts["sentences"] == 24


def test_two_processes_share_a_run(options, straight, tmp_path):
    """They draw their own answers and dropout, so texts differ from those of one process; what is
    counted, named and kept does not, and a single process finds the run complete."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    root = os.path.dirname(os.path.dirname(__file__))
    environment = os.environ | {"PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*launch, "-m", "synthlib", "run", "art", "--out", str(tmp_path / "run"),
         *arguments(options)], env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    got, want = content(tmp_path / "run"), content(straight.folder)

    def unnamed(files):
        return sorted(name.rpartition("-")[0] if "/0" in name else name for name in files)

    assert unnamed(got) == unnamed(want)  # the digest in a shard's name apart
    written = [name for name in want if name.startswith("raw/candidates")]
    assert written and all(got[name] == want[name] for name in written)  # untuned: row by row
    again = art_run.run(tmp_path / "run", **options)
    assert not again.minutes and again.counts["raw"]["written"] == straight.counts["raw"]["written"]
    log = again.log(1)
    assert len(log) == 3 and np.isfinite(log["reward"]).all()


# ---------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(rounds=0), "rounds"),
        (dict(positive_bound=1.0), "no positive is rewarded"),
        (dict(negative_bound=1.5), r"negative_bound must lie in \[-1, 1\], got 1.5"),
        (dict(lower_bound=93), "lower_bound"),
        (dict(kl=-1), "kl must be 0 or above"),
        (dict(w1=0, w2=0), "nothing would be rewarded"),
        (dict(seed=-1), "seed must lie between 0 and"),
        (dict(temperature=0), "temperature must be positive"),
        (dict(quantile=0.7), "quantile"),
        (dict(ppo_mini_batch_size=3), "multiple"),
        (dict(start="middle"), "start must be one of"),
        (dict(until=3), "until must be a round"),
        (dict(anchors=100), "200 distinct sentences"),
        (dict(encoder_batch_size=200), "fewer than one batch of 200"),
    ],
)
def test_options_out_of_range(options, tmp_path, change, words):
    with pytest.raises(ValueError, match=words):
        art_run.run(tmp_path / "run", **options | dict(control=False) | change)


def test_wrong_models_are_found_first(here, options, tmp_path, monkeypatch):
    """Labels in an unknown order, a judge in the generator's place: no encoder is evaluated, and
    the folder is not taken by a run that cannot be."""
    tiny_models.save(tmp_path / "odd", "nli", id2label={0: "yes", 1: "no", 2: "maybe"})
    monkeypatch.setattr(models, "load_encoder", lambda *a, **k: pytest.fail("minutes are lost"))
    for change, said in [
        (dict(discriminator=str(tmp_path / "odd")), "neutral, contradiction; found yes, no, maybe"),
        (dict(discriminator=str(here / "llama")), "ForSequenceClassification"),
        (dict(generator=str(here / "nli")), "ForConditionalGeneration or ForCausalLM"),
        (dict(generator="pocket/generator"), "no pocket model"),
    ]:
        with pytest.raises(ValueError, match=said):
            art_run.run(tmp_path / "run", **options | change)
    assert not (tmp_path / "run").exists()


def test_nothing_accepted_says_so(options, tmp_path, monkeypatch):
    def judge(table, *a, **k):
        return table.assign(p=0.1, accepted=False, similarity=0.5)

    monkeypatch.setattr(art, "judge", judge)
    with pytest.raises(ValueError, match="0% of the positives and 0% of the negatives"):
        art_run.run(tmp_path / "run", **options)


def test_a_training_that_breaks_down_ends_in_one_line(options, tmp_path, monkeypatch, capsys):
    def tune(*a, **k):
        raise ppo.Stopped("the loss is not a number at step 7; the last checkpoint is in X")

    monkeypatch.setattr(art, "tune", tune)
    assert main(["run", "art", "--out", str(tmp_path / "run"), *arguments(options)]) == 2
    assert capsys.readouterr().err.endswith(
        "error: the loss is not a number at step 7; the last checkpoint is in X\n"
    )


def test_the_layers_that_lora_adapts_are_given_on_the_command_line(options, tmp_path, capsys):
    given = ["run", "art", "--out", str(tmp_path / "run"), *arguments(options | {"rounds": 1})]
    assert main([*given, "--targets", "qkv_proj"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "a llama has no layer qkv_proj: give names among down_proj" in said
    assert "all-linear (on the command line --targets)" in said
    seen, made = [], ppo.Policy

    class Watched(made):
        def __init__(self, *args, targets, **rest):
            seen.append(targets)
            raise ppo.Stopped("seen enough")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ppo, "Policy", Watched)
        for number, layers in enumerate((["up_proj", "o_proj"], ["all-linear"])):
            given[3] = str(tmp_path / f"run-{number}")
            assert main([*given, "--targets", *layers]) == 2
    assert seen == [["up_proj", "o_proj"], "all-linear"]


def arguments(options):
    left_out = ("quiet", "control")
    found = [
        part for name, value in options.items() if name not in left_out
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]  # fmt: skip
    return [*found, "--quiet"]


def test_the_command_reports(options, straight, capsys):
    command = ["run", "art", "--out", str(straight.folder), *arguments(options)[:-1]]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "round 2    tuned in 3 steps: reward" in said and "control    wrote" in said
    assert "STS: Spearman, percent" in said and "control" in said.split("STS: Spearman")[1]


def test_a_dry_run_writes_nothing(options, tmp_path, capsys):
    command = ["run", "art", "--out", str(tmp_path / "new"), "--dry-run", *arguments(options)[:-1]]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "tier paper, 2 rounds" in said and "estimate" in said and "Ω, α⁺, α⁻: 0.5" in said
    assert not (tmp_path / "new").exists()


def test_an_estimate_counts_the_answers_that_set_the_bounds(options, tmp_path, monkeypatch):
    """They are as many as a small round's, and nothing is said of them where bounds are given."""
    del options["quiet"]
    assert "bounds" not in art_run.describe(tmp_path / "run", **options).rpartition("\nestimate")[2]
    of = ("lower_bound", "positive_bound", "negative_bound")
    free = options | {"tier": "pocket"} | dict.fromkeys(of)
    monkeypatch.setattr(foreseen, "timed", lambda action, *a, **k: (action(*a, **k), 1.0))
    plan = art_run.make_plan(**free)
    answers = 2 * min(art.PROBES, plan.prompted + plan.anchors) * plan.rounds
    said = art_run.describe(tmp_path / "run", **free).rpartition("\nestimate")[2]
    seconds = {name: float(value) * {"s": 1, "min": 60}[unit] for name, value, unit in
               re.findall(r"(bounds|writing) ([\d.]+) (s|min)", said)}  # fmt: skip
    written = 2 * plan.candidates * plan.anchors * plan.rounds
    assert seconds["bounds"] / seconds["writing"] == pytest.approx(answers / written, rel=0.2)


@pytest.mark.parametrize("steps, every", [(625, 10), (30, 3), (8, 1), (1, 1)])
def test_a_short_round_is_checkpointed_as_often_as_a_long_one(
    options, tmp_path, monkeypatch, steps, every
):
    class Enough(Exception):
        pass

    def tune(*given, save_steps, **more):
        assert save_steps == every
        raise Enough

    monkeypatch.setattr(art, "tune", tune)
    with pytest.raises(Enough):
        art_run.run(tmp_path / "run", **options | dict(ppo_steps=steps))


def test_the_pocket_tier_chooses_its_bounds(tmp_path, capsys):
    """One small round with the book's own models, by the command."""
    command = ["run", "art", "--tier", "pocket", "--rounds", "1", "--anchors", "60", "--ppo-steps",
               "1", "--ppo-batch-size", "16", "--ppo-mini-batch-size", "8", "--candidates", "2",
               "--encoder-batch-size", "8", "--no-control", "--device", "cpu", "--out",
               str(tmp_path / "run")]  # fmt: skip
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "round 1    tuned in 1 steps" in said and "natural" in said
    assert "round 1: answers to 68 sentences set the bounds" in said
    found = json.loads((tmp_path / "run" / "round-1" / "bounds.json").read_text())
    assert found["lower_bound"] > 0.5
    assert 0.3 < found["positive_bound"] < 1 and 0.8 < found["negative_bound"] <= 1
    table = pd.read_csv(tmp_path / "run" / "results.csv")
    assert table["task"].tolist() == ["natural", "hard"] * 2
    own = tiers.get("pocket").art
    assert own.positive_bound is None


# ---------------------------------------------------------------- the substitute
@pytest.mark.parametrize("algorithm", ["rloo", "grpo"])
def test_trl_with_the_same_rewards(here, algorithm):
    pytest.importorskip("trl", reason="TRL is an optional extra: pip install synthlib[rl]")
    generator = models.load_generator(here / "llama", device="cpu")
    judges = models.load_nli(here / "nli", device="cpu"), models.load_encoder(
        here / "encoder", device="cpu"
    ).encode
    settings = dataclasses.replace(SETTINGS, ppo_steps=2)
    model, log = art.tune_with_trl(
        generator, SENTENCES[:8], *judges, BOUNDS, settings, algorithm=algorithm
    )
    assert len(log) == 2
    for entry in log:
        r1, r2 = entry["rewards/correctness/mean"], entry["rewards/difficulty/mean"]
        both = settings.w1 * r1 + settings.w2 * r2
        penalty = settings.kl * entry["kl"] if algorithm == "rloo" else 0  # GRPO's is in the loss
        assert entry["reward"] == pytest.approx(both - penalty, abs=0.05)
    moved = [p.abs().sum() for n, p in model.named_parameters() if "lora_B" in n]
    assert sum(moved) > 0
    with pytest.raises(ValueError, match="encoder–decoder"):
        t5 = models.load_generator(here / "t5", device="cpu")
        art.tune_with_trl(t5, SENTENCES, *judges, BOUNDS, settings)
    with pytest.raises(ValueError, match="group"):
        art.tune_with_trl(generator, SENTENCES, *judges, BOUNDS, settings, group=3)
    with pytest.raises(ValueError, match="algorithm"):
        art.tune_with_trl(generator, SENTENCES, *judges, BOUNDS, settings, algorithm="ppo")


# ---------------------------------------------------------------- one row that is too long
def test_a_sentence_too_long_is_rejected_at_the_start(here, options, straight, tmp_path):
    """With file, line and reason; what is left is the run that would have been without it."""
    lines = list(dict.fromkeys(SENTENCES))
    long = " ".join([SENTENCES[0]] * 200)
    file = tmp_path / "p.txt"
    file.write_text("\n".join([*lines[:7], "", long, *lines[7:]]), encoding="utf-8")
    changed = options | dict(premises=str(file), rounds=1)
    with pytest.warns(UserWarning, match="left out, absent"):
        result = art_run.run(tmp_path / "run", until=0, **changed)
    rejects = [json.loads(x) for x in (tmp_path / "run" / "rejects.jsonl").open(encoding="utf-8")]
    assert [(r["file"], r["line"], r["where"]) for r in rejects] == [
        (str(file), 8, "premises"), (str(file), 9, "generation")
    ]  # fmt: skip
    assert rejects[1]["reason"] == "the prompt is longer than the generator's window"
    assert rejects[1]["text"] == long and result.counts["rejected"] == 2
    # the same command goes on, and no round meets the sentence
    before = content(tmp_path / "run")
    with pytest.warns(UserWarning, match="left out, absent"):
        result = art_run.run(tmp_path / "run", **changed)
    assert all(content(tmp_path / "run")[name] == b for name, b in before.items()
               if name not in ("run.json", "report.json", "results.csv"))  # fmt: skip
    assert long not in set(result.candidates(1)["anchor"]) | set(result.candidates("raw")["anchor"])
    del changed["quiet"]
    told = art_run.describe(tmp_path / "x", **changed | dict(premises=["a", *lines, ""]))
    assert "from a list, and 1 that cannot be used" in told


def test_too_long_for_the_discriminator_alone(here):
    generator = models.load_generator(here / "llama", device="cpu")
    judge = models.load_nli(here / "nli", device="cpu")
    words = np.array(tiny_models.WORDS)
    anchors = [" ".join(np.resize(words, n)) for n in range(1, 200, 3)]
    reasons = art.too_long(generator, judge, anchors, max_new_tokens=5)
    assert reasons[0] == "" and reasons[-1]
    first = next(i for i, reason in enumerate(reasons) if reason)
    assert all(reasons[first:]) and not any(reasons[:first])
    # each that passes can be asked and judged, whatever of five tokens is answered
    table = art.write(generator, anchors[:first], candidates=1, max_new_tokens=5)
    art.judge(table, judge)
    # … and an answer that outgrows the judge costs itself alone
    table = pd.DataFrame({"anchor": ["a dog"] * 2, "kind": ["positive", "negative"],
                          "text": [" ".join([words[0]] * 3000), "a dog runs"]})  # fmt: skip
    judged = art.judge(table, judge)
    assert judged["p"][0] == 0 and not judged["accepted"][0] and judged["p"][1] > 0
    short = art.judge(table[1:], judge)
    assert judged["p"][1] == pytest.approx(short["p"][1], abs=1e-6)
    functions = rewards.reward_functions(
        judge, lambda s: np.ones((len(s), 2)), **BOUNDS._asdict()
    )
    assert functions[0](list(table["text"]), anchor=["a dog"] * 2, kind=list(table["kind"]))[0] == (
        -BOUNDS.lower_bound
    )


def test_a_trial_takes_no_more_than_a_shard(options, tmp_path):
    """On a slow tier a shard is half a minute, and so is the trial."""
    del options["quiet"]
    for size, some in ((2, 2), (10**6, 16)):
        said = art_run.describe(tmp_path / "run", **options | dict(shard_size=size))
        assert f"from a trial on {some} anchors with" in said


def test_a_trial_is_bounded_and_honours_until(options, tmp_path, monkeypatch):
    del options["quiet"]
    with pytest.raises(ValueError, match="triplets a round, fewer than one batch of 1,000,000"):
        art_run.describe(tmp_path / "run", **options | dict(encoder_batch_size=10**6))
    monkeypatch.setattr(art, "tune", lambda *a, **k: pytest.fail("no round is asked for"))
    said = art_run.describe(tmp_path / "run", until=0, **options)
    assert "0 rounds" in said and "no estimate: no round" in said and "control" not in said
