"""MTEB's own program beside this package's figures, on sets that both are given."""

import sys

import pandas as pd
import pytest

from synthlib import evaluation, models
from synthlib.__main__ import main
from synthlib.evaluation import through_mteb
from synthlib.world import corpora

mteb = pytest.importorskip("mteb", reason="mteb is an optional extra: pip install synthlib[mteb]")
ENCODER = "pocket/simcse-sup-bert"


def given(name, frame):
    """A task of MTEB with its data in place of the Hub's."""
    from datasets import Dataset

    task = mteb.get_task(name)
    columns = {c: frame[c].tolist() for c in ("sentence1", "sentence2", "score")}
    task.dataset, task.data_loaded = {"test": Dataset.from_dict(columns)}, True
    return task


@pytest.fixture(scope="module")
def encoder():
    return models.load_encoder(ENCODER, device="cpu")


@pytest.mark.parametrize("kind", corpora.STS_KINDS)
def test_both_give_one_figure(encoder, kind):
    pairs = corpora.sts(kind, "test", 600)
    found = through_mteb.score_mteb(encoder, [given("STSBenchmark", pairs)], progress=False)
    ours = evaluation.score_sts(encoder.encode, {kind: pairs})["all"][0]
    assert found.drop(columns="mark").values.tolist() == [["STSBenchmark", "test", "default"]]
    assert found["mark"][0] == pytest.approx(ours, abs=0.02)


@pytest.mark.parametrize(("name", "split"), [("STSBenchmark", "dev"), ("STS12", "test")])
def test_both_give_one_figure_of_people(encoder, shared_data, name, split):
    """Subsets are put together by MTEB as by "all"."""
    task = through_mteb.STS[name]
    frames = evaluation.load_sts(shared_data, [task], split=split)
    found = through_mteb.score_mteb(encoder, [given(name, frames[task])], progress=False)
    ours = evaluation.score_sts(encoder.encode, frames)["all"][0]
    assert found["mark"][0] == pytest.approx(ours, abs=0.02)


def senteval(folder, pairs):
    """A folder in SentEval's layout with STS-B alone."""
    (folder / "STS" / "STSBenchmark").mkdir(parents=True)
    lines = [
        f"captions\tx\ty\t{i}\t{row.score}\t{row.sentence1}\t{row.sentence2}"
        for i, row in enumerate(pairs.itertuples())
    ]
    file = folder / "STS" / "STSBenchmark" / "sts-test.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ["--data", str(folder), "--tasks", "STS-B", "--out", str(folder / "x.csv"), "--quiet"]


def test_the_command_line(encoder, tmp_path, capsys, monkeypatch):
    """The table of a task whose data are there, beside the STS table, as CSV."""
    pairs = corpora.sts("hard", "test", 300)
    tasks = {"STSBenchmark": given("STSBenchmark", pairs)}
    monkeypatch.setattr(mteb, "get_task", tasks.__getitem__)
    monkeypatch.setattr("synthlib.models.load_encoder", lambda *a, **k: encoder)
    argv = ["evaluate", "--encoder", "mine", *senteval(tmp_path, pairs), "--mteb", "STSBenchmark"]
    assert main(argv) == 0
    ours, theirs = pd.read_csv(tmp_path / "x.csv"), pd.read_csv(tmp_path / "x-mteb.csv")
    assert theirs["mark"][0] == pytest.approx(ours["all"][0], abs=0.02)
    assert f"{theirs['mark'][0]:.2f}" in capsys.readouterr().out


def test_a_name_that_mteb_has_not_is_one_line(capsys):
    assert main(["evaluate", "--encoder", "mine", "--mteb", "STSBenchmrk"]) == 2
    err = capsys.readouterr().err.strip()
    assert "MTEB has no task STSBenchmrk" in err and "\n" not in err


def test_a_pocket_encoder_without_mteb(tmp_path, capsys):
    argv = ["evaluate", "--encoder", ENCODER, "--tasks", "natural", "--quiet"]
    argv += ["--out", str(tmp_path / "x.csv")]
    assert main([*argv, "--mteb"]) == 2
    err = capsys.readouterr().err.strip()
    assert err.endswith("a pocket encoder knows its own 600 words: leave it out")
    assert main(argv) == 0


def test_data_that_cannot_be_had_and_files_in_their_place(encoder, monkeypatch, tmp_path, capsys):
    task = mteb.get_task("STSBenchmark")

    def absent(*_, **__):
        raise ConnectionError("no route\nto the Hub")

    monkeypatch.setattr(type(task), "load_data", absent)
    with pytest.raises(OSError, match="STSBenchmark cannot be had .*no route.*--data"):
        through_mteb.score_mteb(encoder, [task], progress=False)
    monkeypatch.setattr("synthlib.models.load_encoder", lambda *a, **k: encoder)
    files = senteval(tmp_path, corpora.sts("natural", "test", 100))
    assert main(["evaluate", "--encoder", "mine", *files]) == 0
    assert main(["evaluate", "--encoder", "mine", *files, "--mteb", "STSBenchmark"]) == 2
    assert "cannot be had from the Hub (no route)" in capsys.readouterr().err


def test_without_mteb_the_remedy_is_named(monkeypatch):
    """Followed here: this module is passed over where it is not installed."""
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "mteb", None)
        with pytest.raises(ImportError, match=r"pip install 'synthlib\[mteb\]'"):
            through_mteb.check(["STS12"])
    through_mteb.check(["STS12"])


def test_its_sick_r_has_the_pairs_that_the_readme_says(root):
    (task,) = mteb.get_tasks(tasks=["SICK-R"])
    pairs = task.metadata.descriptive_stats["test"]["num_samples"]
    assert f"its SICK-R has {pairs:,} pairs" in (root / "README.md").read_text("utf-8")
