"""The export for Otter-Grader: its format, and that the students' version has no solution."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from synthlib.__main__ import main
from synthlib.grading import handouts, otter, results

ROOT = Path(__file__).resolve().parents[1]
NAMES = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("otter")
    weights = folder / "w.csv"
    weights.write_text("exercise,points\nch03.mixture,2.5\n")
    otter.export(folder / "out", weights=weights, say=lambda line: None)
    return folder / "out"


def read(path):
    return json.loads(path.read_text("utf-8"))["cells"]


def source(cell):
    return "".join(cell["source"])


def stripped(text):
    """What Otter's documentation says that it leaves of a solution for students."""
    block = r"^ *# BEGIN SOLUTION NO PROMPT\n.*?^ *# END SOLUTION\n"
    text = re.sub(block, "", text, flags=re.M | re.S)
    return re.sub(r'^ *""" # (BEGIN|END) PROMPT(\n|$)', "", text, flags=re.M).rstrip("\n")


@pytest.mark.parametrize("name", NAMES)
def test_a_question_is_marked_as_otter_reads_it(exported, name):
    cells = read(exported / f"{name}.ipynb")
    complete = [source(c) for c in read(ROOT / "notebooks" / f"{name}.ipynb")]
    student = [source(c) for c in read(ROOT / "notebooks" / "student" / f"{name}.ipynb")]
    assert cells[0]["cell_type"] == "raw" and source(cells[0]).startswith("# ASSIGNMENT CONFIG\n")
    raw = [source(c).split("\n") for c in cells if c["cell_type"] == "raw"][1:]
    pattern = ["# BEGIN QUESTION", "# BEGIN SOLUTION", "# END SOLUTION", "# BEGIN TESTS",
               "# END TESTS", "# END QUESTION"]  # fmt: skip
    functions = handouts.find()[int(name[:2])].functions
    assert [lines[0] for lines in raw] == pattern * len(functions)
    questions = [dict(x.split(": ") for x in lines[1:]) for lines in raw[::6]]
    assert [f"ch{name[:2]}.{q['name']}" for q in questions] == list(functions)
    marks = {**results.weights(), "ch03.mixture": 2.5}
    assert [float(q["points"]) for q in questions] == [marks[e] for e in functions]
    opened = [i for i, c in enumerate(cells) if source(c) == "# BEGIN SOLUTION"]
    for i, (exercise, function) in zip(opened, functions.items(), strict=True):
        text, test = source(cells[i + 1]), source(cells[i + 4])
        assert stripped(text) in student and stripped(text) not in complete
        plain = re.sub(r'^ *""" # BEGIN PROMPT\n.*\n *""" # END PROMPT\n?', "", text, flags=re.M)
        plain = re.sub(r"^ *# (BEGIN|END) SOLUTION.*\n", "", f"{plain}\n", flags=re.M).rstrip("\n")
        assert plain in complete and plain not in student
        assert f"checks.{exercise}({function})\nassert result.passed" in test
        compile(text, name, "exec")
    # all that is no question is what it was
    kept = [source(c) for i, c in enumerate(cells) if c["cell_type"] != "raw"
            and source(cells[i - 1]) not in ("# BEGIN SOLUTION", "# BEGIN TESTS")]  # fmt: skip
    assert kept == [a for a, b in zip(complete, student, strict=True) if a == b]


def test_editions_that_do_not_belong_together_are_refused():
    name = NAMES[0]
    complete = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text("utf-8"))
    student = json.loads((ROOT / "notebooks" / "student" / f"{name}.ipynb").read_text("utf-8"))
    points = results.weights()
    with pytest.raises(ValueError, match="different numbers of cells: run `make notebooks`"):
        otter.assignment({**complete, "cells": complete["cells"][1:]}, student, points)
    assert otter.assignment(complete, student, points)
    i = next(i for i, c in enumerate(student["cells"]) if "not done yet" in source(c))
    student["cells"][i]["source"] = source(student["cells"][i]).replace("def ", "def other_")
    with pytest.raises(ValueError, match="differ elsewhere too|no check follows"):
        otter.assignment(complete, student, points)


def test_one_chapter_by_the_command_and_none_that_there_is_not(tmp_path, capsys):
    assert main(["otter", "--out", str(tmp_path / "o"), "--chapter", "77"]) == 2
    assert "there is no chapter 77: choose from 0, 1" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
    assert main(["otter", "--out", str(tmp_path / "o"), "--chapter", "7"]) == 0
    assert [p.name for p in (tmp_path / "o").iterdir()] == ["07_the_dual_reward.ipynb"]
    assert "next: otter assign" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("otter") is None, reason="Otter-Grader is not installed")
def test_otter_assign_takes_it(exported, tmp_path):
    name = "03_contrastive_generation"
    subprocess.run(
        ["otter", "assign", "--no-run-tests", "--no-pdfs", exported / f"{name}.ipynb", tmp_path],
        check=True, timeout=300,
    )  # fmt: skip
    made = [source(c) for c in read(tmp_path / "student" / f"{name}.ipynb")]
    complete = [source(c) for c in read(ROOT / "notebooks" / f"{name}.ipynb")]
    student = [source(c) for c in read(ROOT / "notebooks" / "student" / f"{name}.ipynb")]
    assert {b for a, b in zip(complete, student, strict=True) if a != b} <= set(made)
    assert not {a for a, b in zip(complete, student, strict=True) if a != b} & set(made)
