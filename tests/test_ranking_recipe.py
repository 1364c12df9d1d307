"""Ranking sentences stage by stage and from end to end: what a run makes, and that no
interruption changes it."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from tolerance import same_weights

from synthlib import curation, data, decoding, losses, models, prompts, tiers, training
from synthlib.__main__ import main
from synthlib.evaluation import examination
from synthlib.methods import ranking
from synthlib.runs import ranking as ranking_run
from synthlib.runs import shards

RNG = np.random.default_rng(0)
SENTENCES = [" ".join(RNG.choice(tiny_models.WORDS, RNG.integers(3, 7))) for _ in range(40)]
SENTENCES = list(dict.fromkeys(SENTENCES))
SETTINGS = tiers.get("pocket").ranking
pytestmark = pytest.mark.filterwarnings("ignore:.*left out, absent")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Tiny random models in the hub's format, a text file, a data folder: all a run needs."""
    root = tmp_path_factory.mktemp("here")
    tiny_models.save(root / "t5", "t5", seed=3)
    with models.quiet():
        for name, pooling, seed in (("base", "mean", 0), ("teacher", "max", 5)):
            plain = tiny_models.save(root / f"plain-{name}", "bert", seed=seed)
            models.load_encoder(plain, pooling=pooling).save_pretrained(str(root / name))
    (root / "premises.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    tiny_models.examined_on(root, SENTENCES)
    return root


@pytest.fixture
def options(here):
    """Options of a small run with paper-form prompts."""
    return dict(
        tier="paper", premises=str(here / "premises.txt"), generator=str(here / "t5"),
        base=str(here / "base"), teacher=str(here / "teacher"), data=str(here / "data"),
        rerank=str(here / "rerank.csv"), anchors=16, clusters=4, steps=4, temperature=2.0,
        max_new_tokens=6, learning_rate=1e-3, shard_size=5, device="cpu", quiet=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished():
    return {}


@pytest.fixture
def straight(here, options, finished):
    """The folder of an uninterrupted run, and its result."""
    if not finished:
        finished["result"] = ranking_run.run(here / "straight", **options)
    return finished["result"]


def content(folder):
    """Every file that a run leaves, with its bytes."""
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != ".lock"
    }


def arguments(options):
    """Options of `run` as the command line has them."""
    argv = []
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        argv += [flag] if value is True else [flag, str(value)] if value is not False else []
    return argv


# ---------------------------------------------------------------- stages
def words(texts):
    """An encoder that counts words: similarities that can be checked by eye."""
    known = sorted({word for sentence in SENTENCES for word in sentence.split()})
    return np.array([[text.split().count(word) for word in known] for text in texts], float)


def letters(texts):
    return np.array([[text.count(letter) for letter in "aeiou"] for text in texts], float)


def test_anchors_are_varied_and_as_many_as_asked():
    settings = tiers.get("paper").ranking
    groups = [w for word in ("man", "dog", "red") for w in [f"{word} {word} {x}" for x in "abcde"]]
    found = ranking.anchors(settings, 3, 0, sentences=groups * 2, encode=words)
    assert {text.split()[0] for text in found} == {"man", "dog", "red"}  # one of each cluster
    assert found == [text for text in groups if text in found]  # in the order of the source
    assert len(ranking.anchors(settings, 7, 0, sentences=SENTENCES, encode=words)) == 7
    own = ranking.anchors(SETTINGS, 5, 1, encode=letters)
    assert len(set(own)) == 5 and own == ranking.anchors(SETTINGS, 5, 1, encode=letters)
    assert own != ranking.anchors(SETTINGS, 5, 2, encode=letters)


def test_anchors_fewer_than_clusters():
    settings = tiers.get("paper").ranking
    with pytest.raises(ValueError, match="1000 clusters are more than the 2 distinct sentences"):
        ranking.anchors(settings, sentences=["a", "b", "a"], encode=words)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ranking.anchors(settings, 0)


def test_write_gives_each_method_its_prompt(here, monkeypatch):
    generator = models.load_generator(here / "t5", device="cpu")
    seen = []
    real = decoding.generate_ranking_lists

    def spy(*a, **k):
        seen.append(k)
        return real(*a, **k)

    monkeypatch.setattr(decoding, "generate_ranking_lists", spy)
    how = dict(steps=2, max_new_tokens=4)
    lists = ranking.write(generator, SENTENCES[:3], lam=0.7, **how)
    assert [row[0] for row in lists] == SENTENCES[:3] and {len(row) for row in lists} <= {1, 2, 3}
    assert seen[0]["lam"] == 0.7 and seen[0]["prompt"] == prompts.RANKING["paper"]
    assert not seen[0].get("do_sample")
    ranking.write(generator, SENTENCES[:3], "step", temperature=0.5, seed=4, **how)
    assert seen[1]["lam"] == 0 and seen[1]["prompt"] == prompts.RANKING_STEP["paper"]
    assert seen[1]["do_sample"] and seen[1]["temperature"] == 0.5 and seen[1]["seed"] == 4
    for bad, said in ((dict(method="backwards"), "method"), (dict(temperature=-1), "temperature")):
        with pytest.raises(ValueError, match=f"{said} must be"):
            ranking.write(generator, SENTENCES[:3], **bad, **how)


def test_teacher_similarities_are_scaled_cosines_computed_once():
    lists = [SENTENCES[:4], SENTENCES[2:5], [SENTENCES[0], SENTENCES[0]]]
    calls = []

    def teacher(texts):
        calls.append(list(texts))
        return words(texts)

    phi = ranking.teacher_similarities(teacher, lists, scale=3)
    assert sorted(calls[0]) == sorted(set(SENTENCES[:5])) and len(calls) == 1
    for row, one in zip(lists, phi, strict=True):
        vectors = words(row)
        for j in range(len(row)):
            for k in range(len(row)):
                a, b = vectors[j], vectors[k]
                want = 3 * a @ b / np.sqrt((a @ a) * (b @ b))
                assert abs(one[j, k] - want) < 1e-5
    assert ranking.teacher_similarities(teacher, []) == []


@pytest.mark.parametrize(
    "lists, teacher, scale, said",
    [
        ([["only one"]], words, 20, "list 0 has 1 sentence: nothing can be ranked"),
        ([SENTENCES[:3], []], words, 20, "list 1 has 0 sentences"),
        (["a string"], words, 20, "list 0 is 'a string'"),
        ([SENTENCES[:3]], lambda texts: words(texts) * np.nan, 20, "3 of 3 rows hold NaN"),
        ([SENTENCES[:3]], words, 0, "scale must be positive"),
    ],
)
def test_similarities_that_cannot_be(lists, teacher, scale, said):
    with pytest.raises(ValueError, match=said):
        ranking.teacher_similarities(teacher, lists, scale=scale)


def test_targets():
    lists = [SENTENCES[:4], SENTENCES[4:7], SENTENCES[7:11]]
    phi = ranking.teacher_similarities(words, lists)
    for variant in losses.REFINEMENTS:
        full = ranking.targets(phi, 0.5, variant=variant)
        for one, want in zip(full, phi, strict=True):
            want = losses.refine_similarity(torch.tensor(want), 0.5, variant=variant)
            np.testing.assert_allclose(one, want, atol=1e-6)
    assert any(not np.allclose(a, b) for a, b in zip(ranking.targets(phi, 0.5), phi, strict=True))
    for one, want in zip(ranking.targets(phi, 0.0), phi, strict=True):
        np.testing.assert_allclose(one, want, atol=1e-6)
    semantic = ranking.targets(phi, mode="semantic")
    assert all((a == b).all() for a, b in zip(semantic, phi, strict=True))
    rank = ranking.targets(phi, mode="rank")[1]
    assert rank.tolist() == [[0, -1, -2], [-1, 0, -1], [-2, -1, 0]]


@pytest.mark.parametrize(
    "change, said",
    [
        (dict(omega=-0.1), 'omega is a weight, at least 0, or "adaptive", got -0.1'),
        (dict(omega=float("nan")), "omega is a weight"),
        (dict(mode="both"), "mode must be one of full, rank, semantic"),
        (dict(phi=[np.zeros((2, 3))]), r"list 0 have shape \(2, 3\)"),
        (dict(phi=[np.eye(2), np.full((2, 2), np.nan)]), "list 1 hold NaN"),
        (dict(variant="best"), "variant must be one of"),
    ],
)
def test_targets_that_cannot_be(change, said):
    with pytest.raises(ValueError, match=said):
        ranking.targets(**dict(phi=[np.eye(3)], omega=0.5) | change)


def test_shuffled_lists_hold_the_same_sentences():
    lists = [SENTENCES[:12], SENTENCES[12:30]]
    shuffled = ranking.shuffle(lists, seed=3)
    assert [sorted(row) for row in shuffled] == [sorted(row) for row in lists]
    assert all(a != b for a, b in zip(shuffled, lists, strict=True))
    assert shuffled == ranking.shuffle(lists, seed=3) != ranking.shuffle(lists, seed=4)


def test_verification_counts_its_reasons(monkeypatch):
    def rule(sentences, *, steps):
        return None if len(sentences) == steps + 1 else "it ends early"

    monkeypatch.setattr(curation, "verify_ranking_list", rule, raising=False)
    lists = [SENTENCES[:3], SENTENCES[:2], SENTENCES[3:6], SENTENCES[:1]]
    kept, dropped = ranking.verify(lists, 2)
    assert kept == [lists[0], lists[2]] and dropped == Counter({"it ends early": 2})


# ---------------------------------------------------------------- what a run makes
def test_a_run_is_its_stages_one_after_another(here, options, straight):
    base = models.load_encoder(here / "base", device="cpu")
    settings = ranking_run.make_plan(**{k: v for k, v in options.items() if k != "quiet"}).settings
    anchors = ranking.anchors(settings, 16, 0, sentences=SENTENCES, encode=base.encode)
    everything = straight.lists().to_pandas()
    assert everything["anchor"].tolist() == anchors and len(anchors) > 12
    lists = [[row.anchor, *row.sentences] for row in everything.itertuples()]
    generator = models.load_generator(here / "t5", device="cpu")
    first = ranking.write(
        generator, anchors[:5], lam=0.5, temperature=2.0, steps=4, max_new_tokens=6,
        seed=ranking_run._seed(0, 0),
    )  # fmt: skip
    assert first == lists[:5] and len({text for row in lists for text in row}) > 40
    kept, dropped = ranking.verify(lists, 4)
    assert kept and [row for row, why in zip(lists, everything["reason"], strict=True)
                     if not why] == kept  # fmt: skip
    assert straight.counts["dropped"] == dict(dropped)
    teacher = models.load_encoder(here / "teacher", device="cpu")
    wanted = ranking.targets(ranking.teacher_similarities(teacher.encode, kept), 0.5)
    ranking.post_train(base, kept, wanted, settings, progress=False)
    got = straight.encoder("cpu")
    assert same_weights(got, base)
    untrained = models.load_encoder(here / "base", device="cpu")
    assert not np.allclose(untrained.encode(SENTENCES), got.encode(SENTENCES), atol=1e-3)
    assert models.pooling_of(got) == "mean"


def test_counts_files_and_origin(here, straight):
    counts = straight.counts
    assert counts["anchors"] == counts["written"] == len(straight.lists())
    assert counts["kept"] == len(straight.kept()) == counts["steps"]
    assert counts["anchors"] == counts["kept"] + sum(counts["dropped"].values())
    assert json.loads((straight.folder / "report.json").read_text()) == counts
    table = straight.table
    assert table["task"].tolist() == ["STS12", "rerank"]
    assert np.allclose(table["after"] - table["before"], table["gain"])
    before = models.load_encoder(here / "base", device="cpu").encode
    frames = {"STS": examination.sts(examination.FILES, here / "data")}
    assert abs(examination.examine(before, frames)["mark"][0] - table["before"][0]) < 0.01
    top = {name.split("/")[0] for name in content(straight.folder)} - {"rejects.jsonl"}
    assert top == {
        "run.json", "anchors", "written", "compared", "lists.parquet", "kept.parquet", "encoder",
        "results.csv", "report.json",
    }  # fmt: skip
    origin = data.provenance(straight.kept())
    assert origin["method"] == "ranking" and origin["counts"]["kept"] == counts["kept"]
    assert origin["settings"]["lam"] == 0.5 and origin["settings"]["seed"] == 0
    assert "t5" in origin["settings"]["generator"] and origin["versions"]["torch"]


def test_a_second_call_computes_nothing(straight, options, monkeypatch):
    before = content(straight.folder)
    for name in ("load_generator", "load_encoder"):
        monkeypatch.setattr(models, name, lambda *a, **k: pytest.fail("a model was loaded"))
    again = ranking_run.run(straight.folder, **options)
    assert content(straight.folder) == before and again.counts == straight.counts
    assert not again.minutes
    pd.testing.assert_frame_equal(again.table, straight.table)


def test_the_order_alone_needs_no_teacher(options, straight, tmp_path):
    changed = options | dict(mode="rank", teacher="nobody/nothing")
    result = ranking_run.run(tmp_path / "run", until="kept", **changed)
    assert result.kept().to_pandas().equals(straight.kept().to_pandas())
    assert not (result.folder / "compared").exists()


def test_the_best_weights_on_development_pairs(options, here, tmp_path, monkeypatch):
    folder = shutil.copytree(here / "data", tmp_path / "data")
    (folder / "STS" / "STSBenchmark").mkdir()
    rows = [f"g\tf\ty\t{i}\t{i % 5}\t{a}\t{b}" for i, (a, b) in enumerate(
        zip(SENTENCES[:12], SENTENCES[12:24], strict=True))]  # fmt: skip
    (folder / "STS" / "STSBenchmark" / "sts-dev.csv").write_text("\n".join(rows) + "\n")
    changed = options | dict(data=folder, eval_steps=2)
    plan = {k: v for k, v in changed.items() if k != "quiet"}
    assert ranking_run.make_plan(**plan).select == "dev"
    assert ranking_run.make_plan(**plan, select="last").select == "last"
    assert ranking_run.make_plan().select == "dev"  # the pocket world has such pairs, too
    seen, real = {}, training.post_train_ranking

    def train(encoder, *a, dev, **k):
        seen["dev"], seen["encoder"] = dev, real(encoder, *a, dev=dev, **k)
        return seen["encoder"]

    monkeypatch.setattr(training, "post_train_ranking", train)
    result = ranking_run.run(tmp_path / "run", until="trained", **changed)
    history = [e["dev"] for e in seen["encoder"].training_history if "dev" in e]
    assert len(history) > 2  # looked at every second step
    assert seen["dev"](result.encoder("cpu").encode) == pytest.approx(max(history), abs=0.1)


# ---------------------------------------------------------------- lists of others
def jsonl(path, rows):
    path.write_text("\n".join(json.dumps(r) if isinstance(r, dict) else r for r in rows))
    return str(path)


def listed(*rows):
    return [dict(anchor=row[0], sentences=row[1:]) for row in rows]


@pytest.fixture
def from_file(options):
    """Options of a run on lists that are there already."""
    out = ("premises", "anchors", "clusters", "steps", "temperature", "max_new_tokens")
    return {k: v for k, v in options.items() if k not in out}


def test_lists_from_a_file_are_verified_and_trained_on(from_file, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "load_generator", lambda *a, **k: pytest.fail("nobody is asked"))
    rows = listed(SENTENCES[:6], SENTENCES[6:9], [SENTENCES[0], *["a dog"] * 4], SENTENCES[9:11],
                  ["the same"] * 2)  # fmt: skip
    broken = [
        {"anchor": "alone", "sentences": []}, "not json", {"sentences": ["x"]},
        {"anchor": "x", "sentences": "y"}, {"anchor": "x", "sentences": ["y", " "]},
    ]  # fmt: skip
    file = jsonl(tmp_path / "lists.jsonl", [*rows[:2], *broken, *rows[2:]])
    result = ranking_run.run(tmp_path / "run", lists=file, **from_file)
    kept = result.kept().to_pandas()
    assert kept["anchor"].tolist() == [SENTENCES[0], SENTENCES[6], SENTENCES[9], "the same"]
    assert result.counts["dropped"] == {"degenerate tail": 1} and result.counts["rejected"] == 5
    rejects = [json.loads(x) for x in (tmp_path / "run" / "rejects.jsonl").open()]
    assert [r["reason"].split(" (")[0] for r in rejects] == [
        "a list of one sentence: nothing follows the anchor", "no JSON", "anchor is missing",
        "sentences is no list of texts", "sentence 2 is blank", "degenerate tail",
    ]  # fmt: skip
    assert [r["line"] for r in rejects] == [3, 4, 5, 6, 7, 3]
    # what a run kept is a file with lists, too
    kept_lists = tmp_path / "run" / "kept.parquet"
    again = ranking_run.run(tmp_path / "again", lists=kept_lists, **from_file)
    assert again.kept().to_pandas().equals(kept)
    assert np.array_equal(again.encoder("cpu").encode(SENTENCES),
                          result.encoder("cpu").encode(SENTENCES))  # fmt: skip


@pytest.mark.parametrize(
    "rows, said",
    [
        ([], "holds no ranking list, it is empty"),
        ([{"anchor": "a", "sentences": []}], "no ranking list: line 1: a list of one sentence"),
        (["x" * 20], "no ranking list: line 1: no JSON"),
    ],
)
def test_files_without_a_list(from_file, tmp_path, rows, said):
    with pytest.raises(ValueError, match=said):
        ranking_run.run(tmp_path / "run", lists=jsonl(tmp_path / "x.jsonl", rows), **from_file)
    assert not (tmp_path / "run").exists()


def test_a_parquet_file_of_something_else(from_file, tmp_path):
    file = data.save(data.triplets([("a", "b", "c")]), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match="t.parquet has no column sentences; ranking lists have"):
        ranking_run.run(tmp_path / "run", lists=file, **from_file)


# ---------------------------------------------------------------- what cannot be ranked
def test_equal_similarities_are_dropped_and_counted(from_file, tmp_path, monkeypatch):
    other = [f"{text} not" for text in SENTENCES[5:9]]
    rows = listed(SENTENCES[:5], ["red house", *other[:3]])
    file = jsonl(tmp_path / "lists.jsonl", rows)
    real = ranking.teacher_similarities

    def teacher(encode, lists, **k):
        found = real(encode, lists, **k)
        return [np.full_like(one, 1.0) if row[0] == "red house" else one
                for row, one in zip(lists, found, strict=True)]  # fmt: skip

    monkeypatch.setattr(ranking, "teacher_similarities", teacher)
    result = ranking_run.run(tmp_path / "run", lists=file, **from_file)
    assert result.counts["kept"] == 1
    assert result.counts["dropped"] == {curation.ALIKE: 1}
    only = jsonl(tmp_path / "only.jsonl", rows[1:])
    with pytest.raises(ValueError, match="none of 1 lists was kept; most .* sees no difference"):
        ranking_run.run(tmp_path / "none", lists=only, **from_file)


def test_a_teacher_that_gives_nan_is_named(here, from_file, tmp_path, monkeypatch):
    file = jsonl(tmp_path / "lists.jsonl", listed(SENTENCES[:5]))
    tiny = shutil.copytree(here / "teacher", tmp_path / "broken")
    from safetensors.torch import load_file, save_file

    weights = load_file(tiny / "model.safetensors")
    for key in weights:
        if "LayerNorm.weight" in key:  # numbers all of them, and too large to be multiplied
            weights[key].fill_(torch.finfo(torch.float32).max)
    save_file(weights, tiny / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match="the teacher .*broken: .*5 of 5 rows hold NaN"):
        ranking_run.run(tmp_path / "run", lists=file, **from_file | dict(teacher=str(tiny)))


def test_lists_that_end_early_are_dropped(options, tmp_path, monkeypatch):
    monkeypatch.setattr(
        decoding, "generate_ranking_lists",
        lambda model, tokenizer, anchors, **k: [[a, "a dog"] for a in anchors],
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"none of \d+ lists was kept; .* because: incomplete"):
        ranking_run.run(tmp_path / "run", **options)
    assert set(data.load(tmp_path / "run" / "lists.parquet")["reason"]) == {"incomplete"}


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(omega=-0.1), 'omega is a weight, at least 0, or "adaptive", got -0.1'),
        (dict(lam=float("nan")), "lam must be a finite number"),
        (dict(temperature=-1), "temperature must be 0"),
        (dict(method="loudly"), "method must be one of directional, step, at_once"),
        (dict(mode="both"), "mode must be one of full, rank, semantic"),
        (dict(variant="best"), "variant must be one of paper"),
        (dict(select="best"), "select must be one of dev, last"),
        (dict(scale=0), "scale must be positive"),
        (dict(learning_rate=0), "learning_rate must be positive"),
        (dict(anchors=0), "anchors must be a whole number"),
        (dict(steps=0), "steps must be a whole number"),
        (dict(clusters=2000), "2000 clusters are more than the 40 distinct sentences"),
        (dict(lists="x.jsonl"), "not both"),
        (dict(until="soon"), "until must be one of"),
        (dict(pooling="cls"), "was trained with pooling='mean'"),
        (dict(base="no/where/at/all"), "no folder"),
    ],
)
def test_options_that_cannot_be(options, tmp_path, change, words):
    if "clusters" in change:
        options["anchors"] = None
    with pytest.raises((ValueError, OSError), match=words):
        ranking_run.run(tmp_path / "run", **options | change)
    assert not (tmp_path / "run" / "written").exists()


def test_a_base_that_does_not_say_how_it_pools(here, options, tmp_path):
    plain = dict(base=str(here / "plain-base"))
    with pytest.raises(ValueError, match="plain-base does not say how it pools"):
        ranking_run.run(tmp_path / "run", **options | plain)
    own = plain | dict(pooling="mean", teacher="base")
    result = ranking_run.run(tmp_path / "run2", until="kept", **options | own)
    assert result.counts["kept"]
    base = models.load_encoder(here / "plain-base", pooling="mean", device="cpu")
    first = [result.kept()[0]["anchor"], *result.kept()[0]["sentences"]]
    phi = pd.read_parquet(sorted((tmp_path / "run2" / "compared").iterdir())[0])["phi"][0]
    want = ranking.teacher_similarities(base.encode, [first])[0].ravel()
    np.testing.assert_allclose(phi, want, atol=1e-5)
    with pytest.raises(ValueError, match="the teacher .*plain-teacher does not say how it pools"):
        ranking_run.run(tmp_path / "x", **options | dict(teacher=str(here / "plain-teacher")))


# ---------------------------------------------------------------- interruptions
class Power(BaseException):
    """The power goes off."""


def test_stopped_at_any_moment_it_ends_with_the_same_bytes(
    options, straight, tmp_path, monkeypatch
):
    monkeypatch.setattr(ranking_run, "_SAVE_EVERY", 2)
    real, state = os.replace, {}

    def replace(source, target, **more):
        state["count"] += 1
        at = state["count"] == state["at"]
        if at and state["count"] % 2:
            raise Power
        real(source, target, **more)
        if at:
            raise Power

    monkeypatch.setattr(os, "replace", replace)
    # one run that is stopped again and again, at a later moment each time
    folder, stops = tmp_path / "often", 0
    for at in range(1, 40):
        state.update(count=0, at=2 + at % 4)
        try:
            ranking_run.run(folder, **options)
            break
        except Power:
            stops += 1
    assert stops > 5
    assert content(folder) == content(straight.folder)


def test_killed_while_it_writes_trains_and_ends(options, straight, tmp_path, monkeypatch):
    monkeypatch.setattr(ranking_run, "_SAVE_EVERY", 2)
    folder = tmp_path / "run"
    for pattern in ("written/00001-*.parquet", "training/checkpoint-2", "report.json"):
        child = os.fork()
        if child == 0:
            try:
                ranking_run.run(folder, **options)
            finally:
                os._exit(0)
        for _ in range(12000):
            if any(folder.glob(pattern)) or os.waitpid(child, os.WNOHANG)[0]:
                break
            time.sleep(0.01)
        assert any(folder.glob(pattern)), f"{pattern} was never written"
        try:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
    ranking_run.run(folder, **options)
    assert content(folder) == content(straight.folder)


@pytest.mark.parametrize("step", ["anchors", "written", "compared"])
def test_a_damaged_shard_is_made_again(options, straight, tmp_path, capsys, step):
    folder = shutil.copytree(straight.folder, tmp_path / "run")
    shard = sorted((folder / step).iterdir())[-1]
    shard.write_bytes(shard.read_bytes()[:-9])
    ranking_run.run(folder, **options)
    assert f"{shard} is damaged and is made again" in "".join(capsys.readouterr())
    assert content(folder) == content(straight.folder)


def test_another_run_in_the_folder_is_refused(options, straight, here):
    before = content(straight.folder)
    for change, said in [
        (dict(lam=0.7), "lam 0.5 → 0.7"), (dict(seed=1), "seed 0 → 1"),
        (dict(steps=3), "steps 4 → 3"),
        (dict(base=str(here / "teacher")), "encoder .*base.* → .*teacher"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=f"holds a run with other settings .*{said}"):
            ranking_run.run(straight.folder, **options | change)
    ranking_run.run(straight.folder, **options | dict(generation_batch=3))  # only how, not what
    assert content(straight.folder) == before


@pytest.mark.parametrize(
    ("change", "anew"),
    [
        (dict(omega=0.7), ("trained", "evaluated")),
        (dict(mode="rank"), ("trained", "evaluated")),
        (dict(epochs=2), ("trained", "evaluated")),
        (dict(teacher="base"), ("kept", "trained", "evaluated")),
        (dict(rerank=None), ("evaluated",)),
    ],
)
def test_lists_are_read_again_when_later_settings_change(
    options, straight, tmp_path, capsys, monkeypatch, change, anew
):
    folder = shutil.copytree(straight.folder, tmp_path / "run")
    wanted = ranking_run.run(tmp_path / "new", **options | change)
    monkeypatch.setattr(ranking, "write", lambda *a, **k: pytest.fail("written anew"))
    result = ranking_run.run(folder, **options | change)
    assert tuple(result.minutes) == anew
    assert "holds and is read; what it replaces is in" in capsys.readouterr().out
    got, old = content(folder), content(straight.folder)
    aside = {k: got.pop(k) for k in [*got] if k.startswith("earlier-1/")}
    want = content(wanted.folder)
    if change == dict(mode="rank"):  # compared for nothing now
        got = {k: v for k, v in got.items() if not k.startswith("compared/")}
    assert got == want
    for file in ("results.csv", "run.json", *["encoder/model.safetensors"] * ("trained" in anew)):
        assert aside[f"earlier-1/{file}"] == old[file]


def test_lists_fewer_than_a_step_and_the_remedy(options, straight, tmp_path, monkeypatch):
    folder, kept = shutil.copytree(straight.folder, tmp_path / "run"), straight.counts["kept"]
    monkeypatch.setattr(ranking, "write", lambda *a, **k: pytest.fail("written anew"))
    with pytest.raises(ValueError, match=f"lower --lists-per-step to {kept} in the same folder"):
        ranking_run.run(folder, **options | dict(lists_per_step=kept + 1))
    result = ranking_run.run(folder, **options | dict(lists_per_step=kept))
    assert result.counts["steps"] == 1 and (folder / "earlier-1" / "encoder").is_dir()


def test_few_sentences_fit_by_one_option(options, tmp_path):
    del options["clusters"], options["anchors"]
    with pytest.raises(ValueError, match="1000 clusters are more than the 40 .*--sentences 40"):
        ranking_run.run(tmp_path / "run", **options)
    ranking_run.run(tmp_path / "run", until="written", **options | dict(n=40))
    plan = ranking_run.make_plan(**{k: v for k, v in options.items() if k != "quiet"}, n=40)
    assert plan.settings.clusters == 1 and plan.fitted == "--clusters 1,000 → 1"


@pytest.mark.parametrize("few, given, clusters, step", [
    (12, {}, 3, 1), (24, {}, 6, 3), (40, {}, 10, 4), (12, {"lists_per_step": 4}, 3, 4),
    (12, {"anchors": 16}, 3, 4),
])  # fmt: skip
def test_few_sentences_shrink_a_step_to_what_verification_leaves(few, given, clusters, step):
    """Of the laptop's: of its lists a quarter suffices for a step, unless the reader sets it."""
    plan = ranking_run.make_plan(tier="laptop", n=few, **given)
    settings = plan.settings
    assert (settings.clusters, settings.lists_per_step) == (clusters, step)
    assert ("--lists-per-step 4 → " in plan.fitted) == (step != 4)
    drawn = plan.anchors or settings.clusters * settings.per_cluster
    assert given.get("lists_per_step") or drawn // 4 >= step


def test_a_model_that_cannot_be_had_leaves_no_folder(options, tmp_path):
    for role in ("generator", "base", "teacher"):
        with pytest.raises((ValueError, OSError), match="nobody/nothing"):
            ranking_run.run(tmp_path / "run", **options | {role: "nobody/nothing"})
        assert not (tmp_path / "run").exists()


def test_a_full_disk_ends_in_one_line_and_loses_nothing(options, straight, tmp_path, monkeypatch):
    monkeypatch.setattr(ranking_run, "_SAVE_EVERY", 2)
    folder, written = tmp_path / "run", {}

    def full(descriptor):
        written["left"] -= 1
        if written["left"] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        for left in (0, 2, 3):  # the run's own file, a shard of lists, a shard of similarities
            written["left"] = left
            before = content(folder) if folder.exists() else {}
            with pytest.raises(OSError, match="disk is full: .* could not be written"):
                ranking_run.run(folder, **options)
            assert before.items() <= content(folder).items() and not list(folder.rglob("*.part"))

    def no_space(*a, **k):
        raise RuntimeError("SafetensorError: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_file", no_space)
        with pytest.raises(OSError, match="disk is full: weights in"):
            ranking_run.run(folder, **options)
    ranking_run.run(folder, **options)
    assert content(folder) == content(straight.folder)


def test_several_processes_share_a_step_only_if_it_has_a_list_for_each(
    options, straight, tmp_path, monkeypatch
):
    monkeypatch.setattr(shards, "processes", lambda: Alone(0, 2))
    with pytest.raises(ValueError, match="a step of 1 lists cannot be shared by 2 processes"):
        ranking_run.run(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
    # together up to the lists, then alone: here the other process has done its share before
    folder = shutil.copytree(straight.folder, tmp_path / "two")
    monkeypatch.setattr(shards, "processes", lambda: Alone(0, 2))
    ranking_run.run(folder, until="kept", **options)
    monkeypatch.setattr(shards, "processes", shards.Processes)
    ranking_run.run(folder, **options)
    got, alone = content(folder), content(straight.folder)
    made, before = (json.loads(files.pop("run.json")) for files in (got, alone))
    assert [call["processes"] for call in made.pop("made_with")["calls"]] == [1, 2]
    assert [call["processes"] for call in before.pop("made_with")["calls"]] == [1]
    assert made == before and got == alone


def test_two_processes_write_together_and_one_goes_on(options, straight, tmp_path):
    folder = tmp_path / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = ["-m", "synthlib", "run", "ranking", "--out", str(folder), *arguments(options)]
    done = subprocess.run(
        [*launch, *command, "--until", "kept"], capture_output=True, text=True, timeout=600,
        cwd=Path(__file__).parents[1], env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert not (folder / "encoder").exists()
    whole, shards_of = content(straight.folder), ("anchors/", "written/", "compared/")
    written = {name for name in whole if name.startswith(shards_of)}
    assert written <= content(folder).keys()  # a shard's name holds the digest of its bytes
    ranking_run.run(folder, **options)
    got = content(folder)
    # the notes say that two wrote and one trained; all else is the same to the byte
    made, alone = (json.loads(files.pop("run.json")) for files in (got, whole))
    assert [call["processes"] for call in made.pop("made_with")["calls"]] == [2, 1]
    assert alone.pop("made_with")["encoder trained by"] == 1
    assert made == alone and got == whole


class Alone(shards.Processes):
    """One of several processes, the others of which are not here."""

    def wait(self):
        pass


# ---------------------------------------------------------------- the command
def test_the_command_reports(options, straight, tmp_path, capsys):
    del options["quiet"]
    folder = shutil.copytree(straight.folder, tmp_path / "run")
    assert main(["run", "ranking", "--out", str(folder), *arguments(options)]) == 0
    out, err = capsys.readouterr()
    counts = straight.counts
    for words in (
        f"anchors    {counts['anchors']} from 40 sentences", f"kept       {counts['kept']}",
        f"trained    {counts['steps']} steps", "STS12", "rerank", "gain", str(folder),
    ):  # fmt: skip
        assert words in out, words
    assert "written" in err and "compared" in err  # bars
    assert content(folder) == content(straight.folder)


def test_a_dry_run_writes_nothing(options, tmp_path, capsys):
    del options["quiet"]
    argv = ["run", "ranking", "--out", str(tmp_path / "run"), *arguments(options), "--dry-run"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    for words in (
        "at most 16 of 40 sentences", "16 lists of 4 sentences, directional, λ = 0.5",
        "full, ω = 0.5", "STS: STS12; reranking: rerank", "estimate   writing",
    ):  # fmt: skip
        assert words in out, words
    assert not (tmp_path / "run").exists()
    assert main([*argv, "--generator", "nobody/nothing"]) == 0
    assert "no estimate: nobody/nothing comes from the Hub" in capsys.readouterr().out
    assert main([*argv, "--omega", "-1"]) == 2
    assert capsys.readouterr().err.startswith("error: omega is a weight, at least 0")
    assert main([*argv, "--omega", "adaptive"]) == 0
    with pytest.raises(SystemExit):
        main([*argv, "--omega", "fast"])
    assert "--omega: a number or adaptive is wanted, got fast" in capsys.readouterr().err


# ---------------------------------------------------------------- one row that is too long
def test_a_sentence_too_long_is_no_anchor(here, options, straight, tmp_path):
    """Rejected with file, line and reason before anchors are drawn; the rest is as without it."""
    tiny_models.save(tmp_path / "llama", "llama", seed=1, initializer_range=0.3)
    long = " ".join([SENTENCES[0]] * 30)
    file = tmp_path / "p.txt"
    file.write_text("\n".join([*SENTENCES[:3], "\u200b", long, *SENTENCES[3:]]), encoding="utf-8")
    changed = options | dict(generator=str(tmp_path / "llama"), anchors=8)
    result = ranking_run.run(tmp_path / "run", until="kept", **changed | dict(premises=str(file)))
    rejects = [json.loads(x) for x in (tmp_path / "run" / "rejects.jsonl").open(encoding="utf-8")]
    assert [(r["file"], r["line"], r["reason"], r["where"]) for r in rejects[:2]] == [
        (str(file), 4, "blank", "premises"),
        (str(file), 5, "the prompt is longer than the generator's window", "generation"),
    ]  # fmt: skip
    assert rejects[1]["text"] == long and result.counts["rejected"] == 2
    assert long not in result.lists()["anchor"]
    without = ranking_run.run(tmp_path / "without", until="kept", **changed)
    assert result.lists().to_pandas().equals(without.lists().to_pandas())
    # the same command goes on, and says the same
    before = content(tmp_path / "run")
    again = ranking_run.run(tmp_path / "run", until="kept", **changed | dict(premises=str(file)))
    assert content(tmp_path / "run") == before and again.counts == result.counts
    file.write_text("\n".join([long + " a", long]))
    with pytest.raises(ValueError, match="for 2 of 2 sentences, and the 0 others are fewer than"):
        ranking_run.run(tmp_path / "none", until="kept", **changed | dict(
            premises=str(file), anchors=1, clusters=1))  # fmt: skip


def test_a_list_that_outgrows_the_window_stops_no_other(tmp_path):
    held = models.load_generator(
        tiny_models.save(tmp_path / "llama", "llama", seed=1, initializer_range=0.3), device="cpu"
    )
    options = dict(steps=5, max_new_tokens=6, lam=0.5, do_sample=True, seed=3)

    def plain(sentence):
        return f"not {sentence} in"

    anchors = SENTENCES[:6]
    whole = decoding.generate_ranking_lists(*held, anchors, prompt=plain, **options)
    place = next(i for i, one in enumerate(whole)
                 if len(one) > 3 and sum(one[2] in other for other in whole) == 1)  # fmt: skip
    grown = whole[place][2]

    def growing(sentence):
        return plain(sentence) + " park" * 60 * (sentence == grown)

    lists = decoding.generate_ranking_lists(*held, anchors, prompt=growing, **options)
    assert lists == [one[:3] if i == place else one for i, one in enumerate(whole)]
    with pytest.raises(ValueError, match="row 0 of context 0 has .* window holds 64"):
        decoding.generate_ranking_lists(*held, [grown], prompt=growing, **options)


def test_a_trial_takes_no_more_than_a_shard(options, tmp_path):
    """On a slow tier a shard is half a minute, and so is the trial."""
    del options["quiet"]
    for size, some in ((2, 2), (10**6, 16)):
        said = ranking_run.describe(tmp_path / "run", **options | dict(shard_size=size))
        assert f"from a trial on {some} lists with" in said


def test_a_trial_is_bounded_and_honours_until(options, tmp_path, monkeypatch):
    del options["quiet"]
    with pytest.raises(ValueError, match="16 lists are fewer than the 1,000,000 of one step"):
        ranking_run.describe(tmp_path / "run", **options | dict(lists_per_step=10**6))
    seen = []
    real = ranking.post_train
    monkeypatch.setattr(ranking, "post_train", lambda base, rows, *a, **k: seen.append(len(rows))
                        or real(base, rows, *a, **k))  # fmt: skip
    assert "training" in ranking_run.describe(tmp_path / "run", **options)
    assert seen == [1, 1, 4]
    said = ranking_run.describe(tmp_path / "run", until="kept", **options)
    assert "to train" not in said and "training" not in said and len(seen) == 3
