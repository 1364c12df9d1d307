"""The command line: what it prints and writes, and that mistakes end in one line."""

import importlib
import inspect
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import synthlib
from synthlib import commands
from synthlib.__main__ import main

WORDS = "left right up down a is the".split()


def count_words(sentences, **options):
    assert options["show_progress_bar"] is False
    return np.array([[s.split().count(w) for w in WORDS] for s in sentences], dtype=np.float32)


@pytest.fixture
def loaded(monkeypatch):
    """A stand-in for the model loader; holds the arguments that it was called with."""
    calls = []

    def load_encoder(name, **options):
        calls.append((name, options))
        return SimpleNamespace(encode=count_words)

    monkeypatch.setattr("synthlib.models.load_encoder", load_encoder)
    return calls


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Two small STS tasks; the working folder is beside them."""
    folder = tmp_path / "downstream"
    year = folder / "STS" / "STS12-en-test"
    year.mkdir(parents=True)
    # cosines 1, 0.71, 0 and 0, 1: rho = 1 and rho = -1; together 0.71 < 1 = 1 > 0 = 0
    (year / "STS.input.a.txt").write_text("left\tleft\nleft\tleft up\nleft\tdown\n")
    (year / "STS.gs.a.txt").write_text("5\n4\n1\n")
    (year / "STS.input.b.txt").write_text("up\tdown\nup\tup\n")
    (year / "STS.gs.b.txt").write_text("3\n2\n")
    sick = folder / "SICK" / "SICK_test_annotated.txt"
    sick.parent.mkdir()
    sick.write_text(
        "pair_ID\tsentence_A\tsentence_B\trelatedness_score\n"
        "1\tleft\tup\t1\n2\tleft\tleft up\t2\n3\tleft\tleft left up\t3\n"
    )
    monkeypatch.chdir(tmp_path)
    return folder


def run(capsys, *argv):
    code = main([str(a) for a in argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_table_average_and_csv(capsys, loaded, data, tmp_path):
    with pytest.warns(UserWarning, match="left out, absent from .*: STS13, .*STS-B$"):
        code, out, _ = run(capsys, "evaluate", "--encoder", "runs/x", "--data", data, "--quiet")
    assert code == 0
    rows = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    # all: cosines 1 .71 0 0 1 (ranks 4.5 3 1.5 1.5 4.5) against 5 4 1 3 2 (ranks 5 4 1 3 2):
    # covariance of ranks 4.5, squares 9 and 10, rho = 4.5 / sqrt(90)
    assert rows["STS12"] == ["5", "47.43", "0.00", "20.00"]
    assert rows["SICK-R"] == ["3", "100.00", "100.00", "100.00"]
    assert rows["average"] == ["73.72", "50.00", "60.00"]
    assert "STS12 has 5 pairs here, 3,108 in the official files" in out
    assert "over 2 of 7 tasks" in out and "written: evaluation.csv" in out
    frame = pd.read_csv(tmp_path / "evaluation.csv")
    assert list(frame.columns) == ["task", "pairs", "spearman", "all", "mean", "wmean"]
    assert list(frame["task"]) == ["STS12", "SICK-R"]
    np.testing.assert_allclose(frame["all"], [100 * 4.5 / 90**0.5, 100])
    np.testing.assert_array_equal(frame["spearman"], frame["all"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["downstream", "evaluation.csv"]


def test_options_reach_the_loader_and_the_table(capsys, loaded, data, tmp_path):
    out = tmp_path / "mine.csv"
    code, _, err = run(
        capsys, "evaluate", "--encoder", "x", "--data", data, "--tasks", "sts12", "--out", out,
        "--aggregation", "wmean", "--pooling", "cls", "--device", "cpu", "--dtype", "float32",
    )  # fmt: skip
    assert code == 0 and "encoding" in err  # the progress bar
    assert loaded == [("x", {"pooling": "cls", "device": "cpu", "dtype": "float32"})]
    frame = pd.read_csv(out)
    assert list(frame["task"]) == ["STS12"]
    assert frame.loc[0, "spearman"] == frame.loc[0, "wmean"] == pytest.approx(20)


def test_pocket_sets(capsys, loaded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    argv = ["evaluate", "--encoder", "pocket/x", "--quiet", "--rerank"]
    code, out, _ = run(capsys, *argv, "--tasks", "hard", "crowd")
    assert code == 0 and "pocket sets" in out
    assert list(pd.read_csv("evaluation.csv")["task"]) == ["hard"]
    assert list(pd.read_csv("evaluation-transfer.csv")["task"]) == ["crowd"]
    assert list(pd.read_csv("evaluation-reranking.csv")["task"]) == ["questions", "duplicates"]
    code, _, err = run(capsys, *argv, "--tasks", "STS12")
    assert code == 2 and "without --data choose from natural, hard" in err


def test_bitext(capsys, loaded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("x.aa", "x.bb"):
        (tmp_path / name).write_text("left\nright\nup\n")
    argv = ["evaluate", "--encoder", "pocket/x", "--tasks", "natural", "--bitext", "x.aa", "x.bb"]
    code, out, _ = run(capsys, *argv, "--quiet")
    assert code == 0 and "x.aa → x.bb     3   100.00" in out
    assert list(pd.read_csv("evaluation-bitext.csv")["accuracy"]) == [100, 100]


@pytest.mark.filterwarnings("ignore:left out")
@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--tasks", "STS99"], "unknown task STS99; choose from STS12"),
        (["--tasks", "STS13"], "STS13: files not found: .*STS13-en-test"),
        (["--data", "nowhere"], "data folder not found: nowhere"),
        (["--out", "nowhere/x.csv"], "the folder nowhere does not exist; make it"),
        (["--out", "downstream"], "is a folder"),
        (["--batch-size", "0"], "--batch-size must be at least 1"),
        (["--rerank", "nowhere.csv"], "file not found: nowhere.csv"),
        (["--split", "dev"], "file not found: .*sts-dev.csv"),
    ],
)
def test_mistakes_end_in_one_line_before_the_model_is_loaded(capsys, loaded, data, more, message):
    code, out, err = run(capsys, "evaluate", "--encoder", "x", "--data", data, *more)
    assert (code, out) == (2, "")
    last = err.splitlines()[-1]
    assert last.startswith("error: ") and "Traceback" not in err
    assert re.search(message, last)
    assert loaded == []


@pytest.mark.filterwarnings("ignore:left out")
def test_nothing_half_written(capsys, loaded, data, tmp_path, monkeypatch):
    (tmp_path / "evaluation.csv").write_text("before\n")

    def full_disk(frame, path, **options):
        path.write_text("task,pa")
        raise OSError("No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full_disk)
    code, _, err = run(capsys, "evaluate", "--encoder", "x", "--data", data, "--quiet")
    assert code == 2 and "No space left" in err
    assert (tmp_path / "evaluation.csv").read_text() == "before\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["downstream", "evaluation.csv"]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("two\nlines"), 2, "error: two lines"),
        (FileNotFoundError("file not found: x"), 2, "error: file not found: x"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            RuntimeError("CUDA out of memory. Tried …"),
            2,
            "error: out of memory; lower --batch-size",
        ),
    ],
)
def test_no_traceback(capsys, data, monkeypatch, error, code, message):
    def load_encoder(name, **options):
        raise error

    monkeypatch.setattr("synthlib.models.load_encoder", load_encoder)
    got, _, err = run(capsys, "evaluate", "--encoder", "x", "--data", data, "--tasks", "STS12")
    assert got == code and err.strip().startswith(message) and "Traceback" not in err


def test_memory_that_ends_in_a_run_names_its_options(capsys, monkeypatch):
    def main(argv):
        raise RuntimeError("CUDA out of memory. Tried …")

    monkeypatch.setattr("synthlib.runs.art.main", main)
    code, _, err = run(capsys, "run", "art", "--out", "x")
    assert code == 2 and err.startswith("error: out of memory; lower a batch size (--help names")


def test_other_commands_get_their_arguments(capsys, monkeypatch):
    seen = []
    monkeypatch.setattr("synthlib.ledger.main", lambda argv: seen.append(argv))
    monkeypatch.setattr("synthlib.world.build.main", lambda argv: seen.append(argv) or 1)
    monkeypatch.setattr(synthlib, "preflight", lambda: seen.append("preflight"))
    monkeypatch.setattr("synthlib.runs.multicsr.main", lambda argv: seen.append(argv))
    assert run(capsys, "run", "multicsr", "--out", "x")[0] == 0
    assert seen.pop() == ["--out", "x"]
    assert run(capsys, "ledger", "--list")[0] == 0
    assert run(capsys, "pocket", "--scale", 2)[0] == 1
    assert run(capsys, "preflight")[0] == 0
    assert seen == [["--list"], ["--scale", "2"], "preflight"]


def test_warnings_are_one_line():
    code = "import warnings; from synthlib.__main__ import main; import synthlib.ledger as m\n"
    code += "m.main = lambda argv: warnings.warn('three rows are left out'); main(['ledger'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr == "note: three rows are left out\n"


@pytest.mark.parametrize(
    "argv",
    [[], ["evaluate"], ["nonsense"], ["evaluate", "--nonsense"], ["run"], ["run", "nonsense"],
     ["run", "multicsr"], ["run", "multicsr", "--out", "x", "--stages", "one"],
     ["run", "multicsr", "--out", "x", "--gamma", "much"]],
)  # fmt: skip
def test_wrong_options(capsys, argv):
    with pytest.raises(SystemExit) as left:
        main(argv)
    err = capsys.readouterr().err
    assert left.value.code == 2 and err.startswith("error: ") and err.count("\n") == 1
    assert "--help shows all" in err and "usage" not in err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["evalute"], "there is no command evalute; did you mean evaluate?"),
        (["run", "multiscr"], "there is no method multiscr; did you mean multicsr?"),
        (["run", "art", "--out", "x", "--encoder-epoch5", "2"], "did you mean --encoder-epochs"),
        (["run", "ranking", "--clustres=3"], "there is no option --clustres; did you mean --clus"),
        (["evaluate", "--encodr", "x"], "there is no option --encodr; did you mean --encoder"),
        (["figures", "--lst"], "there is no option --lst; did you mean --list?"),
        (["--verison"], "there is no option --verison; did you mean --version?"),
    ],
)
def test_a_mistyped_name_shows_its_neighbours(capsys, argv, said):
    with pytest.raises(SystemExit) as left:
        main(argv)
    err = capsys.readouterr().err
    assert left.value.code == 2 and said in err and err.count("\n") == 1


def test_help_of_a_method_is_shown(capsys):
    with pytest.raises(SystemExit) as left:
        main(["run", "--help"])
    assert left.value.code == 0 and "multicsr" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["run", "multicsr", "--help"])
    out = capsys.readouterr().out
    for option in ("--tier", "--stages", "--out", "--no-logits", "--dry-run", "--sigma"):
        assert option in out


def test_help_names_every_command():
    done = subprocess.run(
        [sys.executable, "-m", "synthlib", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for command in ("evaluate", "run", "pocket", "ledger", "preflight"):
        assert command in done.stdout
    assert synthlib.__version__


@pytest.mark.parametrize(
    "argv",
    ["--help", "--version", "nonsense", "preflight --help", "evaluate --help", "run --help",
     "run multicsr --help", "run ranking --help", "run art --help", "run art --out x --nonsense",
     "figures --help", "ledger --help", "pocket --help", "page-model --help"],
)  # fmt: skip
def test_help_and_mistakes_load_no_library_and_take_less_than_a_second(argv):
    code = (
        "import sys, time; from synthlib.__main__ import main\n"
        f"try: main({argv.split()})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'pandas', 'numpy', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy\nassert time.process_time() < 1, time.process_time()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("method", ["multicsr", "ranking", "art"])
def test_a_run_has_the_parsers_options_and_torchrun_leaves_them_alone(method):
    from torch.distributed.run import get_args_parser

    module = importlib.import_module(f"synthlib.runs.{method}")
    parser = getattr(commands, method)()
    names = {action.dest for action in parser._actions} - {"help", "out", "dry_run", "quiet"}
    taken = inspect.signature(module.make_plan).parameters
    assert names - {"until"} <= set(taken)
    assert set(taken) - names <= {"shard_size", "dtype"}
    # an option that could be short for one of torchrun's is taken by it, even behind the command
    theirs = [name for name in get_args_parser()._option_string_actions if name.startswith("--")]
    for action in parser._actions:
        first = action.option_strings[0]
        assert action.dest == "help" or not any(name.startswith(first) for name in theirs), first
    words = {"multicsr": ("STEPS", "BACKBONES"), "ranking": ("STEPS",), "art": ("STARTS",)}[method]
    for word in (word for name in words for word in getattr(module, name)):
        assert word in parser.format_help() or word == "evaluated"


def test_a_fault_of_the_program_stays_visible(capsys, monkeypatch):
    def main_(argv):
        return {}["lost"]

    monkeypatch.setattr("synthlib.runs.art.main", main_)
    with pytest.raises(KeyError) as left:
        main(["run", "art", "--out", "x"])
    assert "fault of synthlib" in left.value.__notes__[0]


def test_an_interrupted_run_says_that_it_goes_on(capsys, monkeypatch):
    def stopped(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr("synthlib.runs.art.main", stopped)
    assert run(capsys, "run", "art", "--out", "x")[::2] == (
        130, "\ninterrupted; the same command goes on from here\n"
    )  # fmt: skip
    assert run(capsys, "run", "art", "--out", "x", "--dry-run")[2] == "\ninterrupted\n"


@pytest.mark.parametrize(
    ("argument", "said"), [("", "an argument is empty"), ("caf\udce9.txt", "is not UTF-8 text")]
)
def test_arguments_that_no_file_can_keep(capsys, argument, said):
    code, _, err = run(capsys, "run", "art", "--out", "x", "--premises", argument)
    assert code == 2 and said in err and err.count("\n") == 1
