"""The command line: what it prints and writes, and that mistakes end in one line."""

import errno
import importlib
import inspect
import os
import re
import subprocess
import sys
import warnings
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

    def full_disk(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    code, _, err = run(capsys, "evaluate", "--encoder", "x", "--data", data, "--quiet")
    assert code == 2 and "the disk is full" in err and "evaluation.csv" in err
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
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
        env=os.environ | {"RANK": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")  # the first of several processes says it


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
        (["multicsr", "--out", "x"], "there is no command multicsr; did you mean run multicsr?"),
        (["run", "multiscr"], "there is no method multiscr; did you mean multicsr?"),
        (["run", "art", "--out", "x", "--encoder-epoch5", "2"], "did you mean --encoder-epochs"),
        (["run", "ranking", "--clustres=3"], "there is no option --clustres; did you mean --clus"),
        (["evaluate", "--encodr", "x"], "there is no option --encodr; did you mean --encoder"),
        (["figures", "--lst"], "there is no option --lst; did you mean --list or --lists?"),
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
     "figures --help", "ledger --help", "pocket --help", "page-model --help",
     "compare-pocket --help", "report --help", "status --help", "field --help", "questions --help",
     "grade --help", "otter --help"],
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

    from synthlib import options

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
    of = {"multicsr": options.MultiCSR, "ranking": options.Ranking, "art": options.ART}[method]
    for word in (word for one in options.declared(of).values() for word in one.choices):
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


# ---------------------------------------------------------------- values, as a kind
_PARSERS = {
    "run multicsr": commands.multicsr, "run ranking": commands.ranking, "run art": commands.art,
    "pocket": commands.pocket, "ledger": commands.ledger,
    "compare-pocket": commands.compare_pocket, "field": commands.field,
    "questions": commands.questions,
    "grade": commands.grade, "otter": commands.otter,
}  # fmt: skip
_NUMBERS = [
    (command, action.option_strings[0])
    for command, parser in _PARSERS.items() for action in parser()._actions
    if action.type not in (None, commands.name, commands.path) and action.dest != "stages"
]  # fmt: skip


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "many", "3,5", "0x10", "1/2"])
@pytest.mark.parametrize(("command", "option"), [*_NUMBERS, ("evaluate", "--batch-size")])
def test_what_is_no_finite_number_is_refused_by_every_option(capsys, command, option, value):
    with pytest.raises(SystemExit) as left:
        main([*command.split(), f"{option}={value}"])
    err = capsys.readouterr().err
    assert left.value.code == 2 and err.count("\n") == 1
    assert err.startswith(f"error: argument {option}") and value in err
    assert "number" in err and "float" not in err and "int " not in err  # no words of Python's


def test_every_option_with_a_number_is_among_those():
    assert len(_NUMBERS) > 60
    for command, parser in _PARSERS.items():
        for action in parser()._actions:
            assert action.type not in (int, float), (command, action.dest)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["pocket", "--seed", "-1"], "seed must lie between 0 and"),
        (["pocket", "--seed", "99999999999"], "seed must lie between 0 and"),
        (["pocket", "--scale", "0"], "scale, a factor on the steps, must lie in"),
        (["pocket", "--scale", "1e18"], "scale, a factor on the steps, must lie in"),
        (["pocket", "--workers", "0"], "workers must be at least 1, got 0"),
        (["pocket", "--only", "nope"], "unknown job 'nope': the jobs are generator-t5"),
        (["page-model", "--only", "nope"], "no model 'nope' for pages: there are"),
    ],
)
def test_a_number_out_of_range_trains_and_writes_nothing(capsys, tmp_path, argv, said):
    code, out, err = run(capsys, *argv, "--out", tmp_path / "new")
    assert (code, out) == (2, "") and said in err and err.count("\n") == 1
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("seed", ["-1", "2147483648", "99999999999999999999"])
def test_the_ledger_measures_no_seed_out_of_range(capsys, monkeypatch, seed):
    monkeypatch.setattr(
        "synthlib.ledger.measuring._add_seed", lambda *a: pytest.fail("it was measured")
    )
    with pytest.raises(SystemExit) as left:
        main(["ledger", "--seeds", seed])
    assert left.value.code == 2 and "a seed lies between 0 and" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "option"),
    [
        (["run", "multicsr", "--out", "a", "--out", "b"], "--out"),
        (["run", "art", "--out", "b", "--rounds=1", "--round", "2"], "--rounds"),
        (["run", "multicsr", "--n", "3", "--out", "b", "--sentences", "4"], "--sentences"),
        (["ledger", "--seeds", "1", "--seeds", "2"], "--seeds"),
    ],
)
def test_of_an_option_given_twice_the_last_counts_and_that_is_said(monkeypatch, argv, option):
    seen = []
    for name in ("runs.multicsr", "runs.art", "ledger"):
        monkeypatch.setattr(f"synthlib.{name}.main", seen.append)
    with pytest.warns(UserWarning, match=f"^{option} is given twice: the last one counts$"):
        assert main(argv) == 0
    parser = commands.ledger() if argv[0] == "ledger" else getattr(commands, argv[1])()
    with pytest.warns(UserWarning):
        found = vars(parser.parse_args(seen[0]))
    assert found.get("out", "b") == "b" and found.get("rounds") in (None, 2)
    assert found.get("n") in (None, 4) and found.get("seeds") in (None, [2])


def test_an_option_that_may_be_repeated_is_not(capsys):
    argv = ["figures", "--only", "fig-xx", "--only", "fig-yy", "--out", "never"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code, _, err = run(capsys, *argv)
    assert code == 2 and "no figure or chapter 'fig-xx'" in err


# ---------------------------------------------------------------- paths, as a kind
_PLACES = [
    (command, action.option_strings[0])
    for command, parser in _PARSERS.items() for action in parser()._actions
    if action.type in (commands.name, commands.path) and action.option_strings
]  # fmt: skip


@pytest.mark.parametrize(("command", "option"), _PLACES)
def test_a_path_begins_at_home_and_an_address_is_no_path(capsys, monkeypatch, command, option):
    monkeypatch.setenv("HOME", "/somewhere")
    monkeypatch.setenv("USERPROFILE", "/somewhere")
    parser = _PARSERS[command]()
    parser.error = lambda message: pytest.fail(message)
    rest = [] if option == "--out" or command in ("pocket", "field") else ["--out", "x"]
    found = vars(parser.parse_args([f"{option}=~/runs/a b", *rest]))
    assert "/somewhere/runs/a b" in map(str, found.values())
    for value, said in (("https://x.org/a.txt", "is an address"), ("~no.such.user/x", "no home")):
        with pytest.raises(SystemExit):
            main([*command.split(), f"{option}={value}"])
        err = capsys.readouterr().err
        assert said in err and value in err and err.count("\n") == 1


def test_every_option_with_a_path_is_among_those():
    for command in ("run multicsr", "run ranking", "run art"):
        words = ("DIR", "FILE", "folder", "hub id")
        for action in _PARSERS[command]()._actions:
            about = f"{action.metavar} {action.help}"
            if action.nargs is None and any(word in about for word in words):
                assert (command, action.option_strings[0]) in _PLACES, action.dest


def test_paths_of_evaluate_begin_at_home(capsys, loaded, data, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    argv = ["evaluate", "--encoder=~/x", "--data=~/downstream", "--tasks", "STS12", "--quiet"]
    assert run(capsys, *argv, "--out=~/here.csv")[0] == 0
    assert loaded[0][0] == str(tmp_path / "x") and (tmp_path / "here.csv").is_file()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("loop.txt", "is a link to nothing that is there"),
        ("dangling.txt", "is a link to nothing that is there"),
        ("pipe.txt", "is a device or a pipe and no file"),
        ("/dev/null", "is a device or a pipe and no file"),
        ("absent.txt", "file not found"),
        ("./absent", "there is no file or folder ./absent"),
        ("p.txt/below", "file not found|no file or folder"),
        ("x" * 300, "File name too long; give a shorter one"),
        ("empty", "holds no file of text"),
        ("empty.txt", "holds no sentence, it is empty"),
        ("zero.txt", "zero bytes"),
    ],
)
def test_a_source_that_cannot_be_read_is_one_line(capsys, tmp_path, monkeypatch, name, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop.txt").symlink_to("loop.txt")
    (tmp_path / "dangling.txt").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "p.txt").write_text("a line\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "zero.txt").write_bytes(b"a\0b\n")
    for method in ("multicsr", "art", "ranking"):
        code, out, err = run(capsys, "run", method, "--out", "new", "--premises", name)
        assert (code, out) == (2, "") and re.search(said, err) and err.count("\n") == 1
        assert not (tmp_path / "new").exists()


def test_a_whole_disk_is_not_walked_through(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("synthlib.data.MOST_FILES", 20)
    for number in range(25):
        (tmp_path / f"{number}.txt").write_text("a line\n")
    code, _, err = run(capsys, "run", "multicsr", "--out", "new", "--premises", tmp_path)
    assert code == 2 and "holds more than 20 files and folders: give the folder" in err


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "runs/x"), "runs/x: No space left on d"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "give a place that you may writ"),
        (OSError(errno.EROFS, "Read-only file system", "x"), "x: Read-only file system; give a"),
        (OSError(errno.EIO, "Input/output error"), "error: Input/output error\n"),
    ],
)
def test_what_the_system_says_names_the_path_and_what_to_do(capsys, monkeypatch, error, said):
    def main_(argv):
        raise error

    monkeypatch.setattr("synthlib.runs.art.main", main_)
    code, _, err = run(capsys, "run", "art", "--out", "x")
    assert code == 2 and said in err and "Errno" not in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("", "an argument is empty"), (" ", "an argument is empty"),
        ("--column=", "--column= is empty: leave the option out"),
        ("caf\udce9.txt", "is not UTF-8 text"),
    ],
)  # fmt: skip
def test_arguments_that_no_file_can_keep(capsys, argument, said):
    code, _, err = run(capsys, "run", "art", "--out", "x", "--premises", argument)
    assert code == 2 and said in err and err.count("\n") == 1


# ---------------------------------------------------------------- a run's folder, data and models
@pytest.fixture
def few(tmp_path, monkeypatch):
    """Options of a dry run on a file of sentences, by method; the working folder is new."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    lines = [f"a man is in park {number}" for number in range(30)]
    (tmp_path / "p.txt").write_text("\n".join(lines))
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    return ["--premises", "p.txt", "--sentences", "24"]


@pytest.mark.parametrize("method", ["multicsr", "ranking", "art"])
@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("file", "file is a file; the name of a folder is wanted"),
        ("file/below/it", "file/below/it cannot be made, for .*file is a file: give another"),
        ("/dev/null/x", "cannot be made, for /dev/null is a file: give another folder"),
        ("loop", "loop is a link to nothing that is there: give another folder"),
        (".", "holds file and no run|holds p.txt and no run|holds loop and no run"),
    ],
)
def test_a_folder_that_cannot_be_made_is_found_before_a_model(
    capsys, few, tmp_path, monkeypatch, method, out, said
):
    for loader in ("load_generator", "load_encoder", "load_nli", "find"):
        monkeypatch.setattr(f"synthlib.models.{loader}", lambda *a, **k: pytest.fail("loaded"))
    before = sorted(tmp_path.rglob("*"))
    for dry in ([], ["--dry-run"]):
        code, _, err = run(capsys, "run", method, *few, "--out", out, *dry)
        assert code == 2 and re.search(said, err) and err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_of_somebody_else_is_found_before_a_model(capsys, few, tmp_path, monkeypatch):
    monkeypatch.setattr("synthlib.models.find", lambda *a, **k: pytest.fail("loaded"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    code, _, err = run(capsys, "run", "multicsr", *few, "--out", "new/run")
    assert code == 2 and f"{tmp_path} cannot be written to: give another folder than new/run" in err
    assert not (tmp_path / "new").exists()


def test_a_run_called_from_python_begins_at_home_too(few, tmp_path):
    from synthlib.runs import multicsr

    result = multicsr.run(
        "~/run", until="written", premises="p.txt", n=8, quiet=True, device="cpu", seed=3
    )
    assert result.folder == tmp_path / "home" / "run" and (result.folder / "written").is_dir()
    assert not (tmp_path / "~").exists()


@pytest.mark.parametrize(
    ("method", "options", "said"),
    [
        ("multicsr", "--data file", "data must be SentEval's downstream folder, and file is a fi"),
        ("art", "--data nowhere", "data folder not found: nowhere"),
        ("multicsr", "--learning-rate 1.5", "rate must be positive and at most 1, got 1.5"),
        ("art", "--encoder-learning-rate 1e18", "encoder_learning_rate must be positive and at"),
        ("ranking", "--learning-rate 0", "learning_rate must be positive and at most 1, got 0.0"),
        ("multicsr", "--generator /dev/null", "no folder /dev/null"),
        ("multicsr", "--guide file", "file is a file; give the folder of a saved model"),
        ("ranking", "--teacher ./nowhere", "no folder ./nowhere"),
        ("ranking", "--base a/b/c", "no folder a/b/c"),
        ("art", "--discriminator -", "'-' is not a model name: give a pocket name"),
        ("multicsr", "--nli file", "nli is a corpus for supervised training or demonstrations"),
        ("multicsr", "--supervised --nli nowhere.jsonl", "file not found: nowhere.jsonl"),
        ("multicsr", "--demonstrations 2 --nli file", "file"),
    ],
)
def test_a_wrong_value_is_one_line_before_minutes_and_leaves_nothing(
    capsys, few, tmp_path, monkeypatch, method, options, said
):
    monkeypatch.setattr("synthlib.decoding.generate_mixture", lambda *a, **k: pytest.fail("wrote"))
    for dry in (["--dry-run"], []):
        code, _, err = run(capsys, "run", method, *few, "--out", "new", *options.split(), *dry)
        assert code == 2 and re.search(said, err), err
        assert [line for line in err.splitlines() if line.startswith("error")] == [
            err.splitlines()[-1]
        ]
        assert not (tmp_path / "new").exists()


def test_a_batch_that_several_processes_share_is_not_halved_and_that_is_said(tmp_path):
    """The option that the message names is one of the parser, and the step begins anew with it."""
    import torch

    from synthlib.runs import frame

    class Work:
        everyone, batch = SimpleNamespace(size=2), "--batch-size"

    with pytest.raises(OSError, match="in step 'trained': 2 processes share each batch and do not"):
        with frame._shared_batch(Work, "trained"):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    with pytest.raises(RuntimeError, match="^another fault$"):
        with frame._shared_batch(Work, "trained"):
            raise RuntimeError("another fault")
    Work.everyone = SimpleNamespace(size=1)  # alone, what is halved has its own words
    with pytest.raises(torch.OutOfMemoryError, match="^CUDA out of memory"):
        with frame._shared_batch(Work, "trained"):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    for method in ("multicsr", "ranking", "art"):
        work = importlib.import_module(f"synthlib.runs.{method}")._Work
        assert work.batch in getattr(commands, method)()._option_string_actions


UNBUFFERED = "PYTHONUNBUFFERED"  # with it, argparse passes over what cannot be written


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux's")
@pytest.mark.parametrize("argv", ["--version", "--help", "run multicsr --help", "run art --help"])
def test_output_that_finds_no_room_is_one_line_and_no_success(argv):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "synthlib", *argv.split()], stdout=full, stderr=subprocess.PIPE,
            text=True, timeout=60, env={k: v for k, v in os.environ.items() if k != UNBUFFERED},
        )  # fmt: skip
    assert done.returncode == 2 and done.stderr == (
        "error: No space left on device; make room, and give the same command again\n"
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a shell's pipe")
def test_a_reader_that_goes_away_and_no_output_at_all():
    for shell in ("--help | head -1", "run multicsr --help | true", "--version >&-"):
        command = f"'{sys.executable}' -m synthlib {shell}; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "rror" not in done.stderr, shell


def test_a_reader_that_goes_away_does_not_pass_for_an_end(capsys, monkeypatch):
    def main_(argv):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr("synthlib.runs.art.main", main_)
    monkeypatch.setattr("os.dup2", lambda *a: None)
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(fileno=lambda: 1, flush=lambda: None))
    assert main(["run", "art", "--out", "x"]) == 1
    assert main(["run", "art", "--out", "x", "--dry-run"]) == 0
    err = capsys.readouterr().err
    assert err == (
        "stopped: nobody reads the output any more; the same command goes on from here\n"
    )


def test_an_interruption_that_python_cannot_raise_is_not_lost(capsys, monkeypatch):
    """Ctrl-C may come while a callback of a library runs; Python only prints it there."""
    import signal
    import time

    class Finalised:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    def main_(argv):
        held = Finalised()
        del held
        for _ in range(500):
            time.sleep(0.01)
        return 0

    monkeypatch.setattr("synthlib.runs.art.main", main_)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # xdist's workers ignore it
    try:
        assert main(["run", "art", "--out", "x"]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err == "\ninterrupted; the same command goes on from here\n"
