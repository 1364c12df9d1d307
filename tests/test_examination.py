"""Which sets examine which encoder, and STS-B by its name from a folder in the Hub's form."""

import dataclasses
import json
import shutil
import time
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pytest

from synthlib import tiers
from synthlib.__main__ import main
from synthlib.evaluation import examination
from synthlib.paths import POCKET
from synthlib.runs import art as art_run
from synthlib.runs import multicsr as multicsr_run
from synthlib.runs import ranking as ranking_run

CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: validation
    path: data/validation-*
  - split: test
    path: data/test-*
---
"""
WORDS = "left right up down".split()


def bag(sentences, **options):
    return np.array([[s.split().count(w) for w in WORDS] for s in sentences], dtype=np.float32)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """`sentence-transformers/stsb` in small, as it lies on the Hub."""
    folder = tmp_path / "hub"
    (folder / "data").mkdir(parents=True)
    (folder / "README.md").write_text(CARD)
    parts = {"train": [1.0], "validation": [0.1, 0.9, 0.5], "test": [0.2, 0.6]}
    for split, scores in parts.items():
        frame = pd.DataFrame({
            "sentence1": ["left"] * len(scores),
            "sentence2": ["left up", "left left up", "up"][: len(scores)],
            "score": scores,
        })  # fmt: skip
        frame.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    corpus = dataclasses.replace(tiers.STS_B, name=str(folder))
    monkeypatch.setattr(tiers, "STS_B", corpus)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return folder


@pytest.fixture
def stranger(tmp_path):
    """A folder of an encoder with a vocabulary of its own, which knows some pocket words too."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    vocabulary = json.loads((POCKET / "mlm-bert" / "tokenizer.json").read_text())["model"]["vocab"]
    words = [*list(vocabulary)[:300], *(f"##{i}" for i in range(400))]
    content = {"model": {"type": "WordPiece", "vocab": {word: i for i, word in enumerate(words)}}}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    return folder


def test_pocket_encoders_are_known_by_name_and_by_their_words(tmp_path, stranger):
    own = tmp_path / "run" / "encoder"
    shutil.copytree(POCKET / "simcse-sup-bert", own)
    for name in ("pocket/mlm-bert", own, str(own), POCKET / "simcse-unsup-roberta"):
        assert examination.is_pocket(name)
    other = tmp_path / "other"
    other.mkdir()
    (other / "tokenizer.json").write_text("{")
    for name in (stranger, other, tmp_path / "absent", "sentence-transformers/all-MiniLM-L6-v2"):
        assert not examination.is_pocket(name)
    unigram = {"model": {"type": "Unigram", "vocab": [["a", -1.0], ["b", -2.0]]}}
    (other / "tokenizer.json").write_text(json.dumps(unigram))
    assert not examination.is_pocket(other)


@pytest.mark.parametrize(
    ("encoder", "folder", "source", "kind"),
    [
        ("pocket/mlm-bert", None, "mine.txt", "pocket"),
        ("some/encoder", None, "pocket", "pocket"),
        ("some/encoder", None, "mine.txt", "by name"),
        ("some/encoder", None, ("a sentence", "pocket"), "by name"),
        ("some/encoder", None, tiers.NLI_TRIPLETS, "by name"),
        ("pocket/mlm-bert", "downstream", "pocket", "files"),
    ],
)
def test_kind(encoder, folder, source, kind):
    assert examination.kind(encoder, folder, source) == kind


def plans(**options):
    """One plan of each method, where `encoder` is what will be examined."""
    encoder = options.pop("encoder", None)
    yield multicsr_run.make_plan(encoder=encoder, **options)
    yield art_run.make_plan(encoder=encoder, **options)
    yield ranking_run.make_plan(base=encoder, **options)


@pytest.mark.parametrize("tier", ["colab", "paper"])
def test_larger_tiers_are_never_examined_on_the_pocket_sets(tier):
    for plan in plans(tier=tier):
        assert plan.examination == "by name"
        assert getattr(plan, "select", "dev") == "dev"  # by STS-B dev
    for plan in plans(tier=tier, premises="pocket"):
        assert plan.examination == "pocket"


def test_the_pocket_tier_asks_what_its_encoder_is(stranger):
    assert {plan.examination for plan in plans(tier="pocket")} == {"pocket"}
    found = plans(tier="pocket", encoder=str(stranger), premises="mine.txt")
    assert {plan.examination for plan in found} == {"by name"}


# ------------------------------------------------------------------ STS-B by name
def test_sts_b_by_name(hub):
    sets = examination.sts(examination.BY_NAME)
    assert list(sets) == ["STS-B"] and list(sets["STS-B"]["score"]) == [0.2, 0.6]
    # cosines of the validation pairs: 0.71, 0.89 and 0, against 0.1, 0.9, 0.5: ranks 2 3 1, 1 3 2
    assert examination.development(examination.BY_NAME)(bag) == pytest.approx(50)
    assert list(examination.everything(examination.BY_NAME)) == ["STS"]
    said = examination.said(examination.BY_NAME)
    assert said.startswith("STS-B (") and str(hub) in said


def test_the_scale_of_scores_does_not_matter(hub, tmp_path):
    file = tmp_path / "downstream" / "STS" / "STSBenchmark" / "sts-dev.csv"
    file.parent.mkdir(parents=True)
    rows = examination.sts(examination.BY_NAME, split="dev")["STS-B"]
    lines = [
        f"main\tfile\t2012\t{i}\t{5 * row.score}\t{row.sentence1}\t{row.sentence2}"
        for i, row in enumerate(rows.itertuples())
    ]
    file.write_text("\n".join(lines) + "\n")
    by_file = examination.development(examination.FILES, tmp_path / "downstream")
    assert by_file(bag) == examination.development(examination.BY_NAME)(bag)


def test_rows_that_cannot_be_used_are_counted(hub):
    frame = pd.DataFrame({
        "sentence1": ["left", None, " ", "up"], "sentence2": ["up", "a", "b", "left up"],
        "score": [0.5, 0.1, 0.2, float("nan")],
    })  # fmt: skip
    frame.to_parquet(hub / "data" / "test-00000-of-00001.parquet")
    with pytest.warns(UserWarning, match="3 of 4 rows without two sentences and a score"):
        assert len(examination.sts(examination.BY_NAME)["STS-B"]) == 1


def test_another_data_set_is_refused(hub):
    frame = pd.DataFrame({"text1": ["a"], "text2": ["b"], "label": [1]})
    for file in (hub / "data").iterdir():
        frame.to_parquet(file)
    with pytest.raises(ValueError, match="no column 'sentence1'; there are text1, text2, label"):
        examination.sts(examination.BY_NAME)


def refusals(stranger, tmp_path):
    """Calls that examine a stranger without data: each must stop before anything is written."""
    lines = tmp_path / "mine.txt"
    lines.write_text("".join(f"Sentence number {i}.\n" for i in range(400)))
    common = dict(tier="pocket", premises=str(lines), quiet=True)
    yield lambda out: multicsr_run.run(out, encoder=str(stranger), **common)
    yield lambda out: ranking_run.run(out, base=str(stranger), **common)
    yield lambda out: art_run.run(out, encoder=str(stranger), rounds=1, anchors=64, **common)


def test_without_a_network_a_run_is_refused_at_once_and_says_how_to_go_on(stranger, tmp_path):
    for number, call in enumerate(refusals(stranger, tmp_path)):
        out, started = tmp_path / f"run-{number}", time.perf_counter()
        with pytest.raises(OSError, match="stsb cannot be had: .*give --data FOLDER") as caught:
            call(out)
        assert time.perf_counter() - started < 20  # no minutes of retries
        assert "\n" not in str(caught.value) and not out.exists()


def test_steps_that_need_no_examination_ask_for_none(stranger, tmp_path):
    plan = dict(tier="pocket", premises=["One sentence."] * 400, encoder=str(stranger))
    multicsr_run._Work(multicsr_run.make_plan(**plan, until="kept"), quiet=True).look()
    with pytest.raises(OSError, match="cannot be had"):
        multicsr_run._Work(multicsr_run.make_plan(**plan), quiet=True).look()


# ------------------------------------------------------------------ the command
def evaluate(capsys, *argv):
    code = main(["evaluate", "--quiet", *map(str, argv)])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def loaded(monkeypatch, tmp_path):
    class Encoder:
        encode = staticmethod(bag)

    monkeypatch.setattr("synthlib.models.load_encoder", lambda *given, **options: Encoder)
    monkeypatch.chdir(tmp_path)


def test_evaluate_by_name(capsys, loaded, hub, stranger):
    code, out, _ = evaluate(capsys, "--encoder", stranger)
    assert code == 0 and f"on {hub}" in out and "human score" in out
    assert "STS-B has 2 pairs here, 1,379 in the official files" in out
    first = Path("evaluation.csv").read_bytes()
    assert list(pd.read_csv("evaluation.csv")["task"]) == ["STS-B"]
    code, again, _ = evaluate(capsys, "--encoder", stranger)
    assert again == out and Path("evaluation.csv").read_bytes() == first
    code, out, _ = evaluate(capsys, "--encoder", stranger, "--split", "dev", "--tasks", "stsb")
    assert code == 0 and pd.read_csv("evaluation.csv")["pairs"].tolist() == [3]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--tasks", "STS12"], "--tasks STS12 is not to be had by name: give --data FOLDER"),
        (["--transfer"], "--transfer is not to be had by name: give --data FOLDER"),
        (["--tasks", "natural"], "natural is a set of the pocket world, for pocket encoders"),
        (["--rerank"], "give --rerank FILE"),
        (["--tasks", "nonsense"], "unknown task nonsense"),
    ],
)
def test_evaluate_does_not_take_pocket_sets_for_a_stranger(
    capsys, loaded, hub, stranger, more, message
):
    code, out, err = evaluate(capsys, "--encoder", stranger, *more)
    assert (code, out) == (2, "") and message in err and err.count("\n") == 1


def test_what_needs_no_sts_goes_on_without_a_network(capsys, loaded, stranger, tmp_path):
    (tmp_path / "x.csv").write_text("q,l,a\nleft,1,left up\nleft,0,up\n")
    with pytest.warns(UserWarning, match="STS is left out: .*give --data FOLDER"):
        code, out, _ = evaluate(capsys, "--encoder", stranger, "--rerank", "x.csv")
    assert code == 0 and "100.00" in out
    code, out, err = evaluate(capsys, "--encoder", stranger)
    assert (code, out) == (2, "") and "give --data FOLDER" in err and err.count("\n") == 1


# ------------------------------------------------------------------ one name, one examination
def test_the_command_and_the_runs_give_the_same_figures(capsys, tmp_path, monkeypatch):
    from synthlib import models

    monkeypatch.chdir(tmp_path)
    name = "pocket/simcse-unsup-bert"
    tasks = ["natural", "mood"]
    code, *_ = evaluate(capsys, "--encoder", name, "--tasks", *tasks, "--rerank")
    assert code == 0
    command = pd.concat([
        pd.read_csv("evaluation.csv").set_index("task")["all"],
        pd.read_csv("evaluation-transfer.csv").set_index("task")["accuracy"],
        pd.read_csv("evaluation-reranking.csv").set_index("task")["map"],
    ])  # fmt: skip

    plan = ranking_run.make_plan(tier="pocket", base=name)
    frames = examination.everything(plan.examination)
    frames["STS"] = {"natural": frames["STS"]["natural"]}
    frames["transfer"] = {"mood": frames["transfer"]["mood"]}
    encoder = models.load_encoder(name, device="cpu")
    run = examination.examine(encoder.encode, frames).set_index("task")["mark"]
    np.testing.assert_allclose(run[list(command.index)], command, atol=1e-4)
    assert set(command.index) == {"natural", "mood", "questions", "duplicates"}
