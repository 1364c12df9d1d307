"""A class is graded: what counts is what the functions give, whatever else a notebook does."""

import copy
import csv
import inspect
import json
import math
import pickle
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from synthlib import checks, grading
from synthlib.__main__ import main
from synthlib.grading import cells, handouts, kernel, results, wire

ROOT = Path(__file__).resolve().parents[1]
NAME = "07_the_dual_reward"
EXERCISES = ["ch07.dual_reward", "ch07.break_even", "ch07.bounds", "ch07.ending_penalty"]


# ------------------------------------------------------------------ the registry
def test_the_registry_has_every_exercise_that_is_handed_out():
    found = {check.id: check for check in checks.all()}
    handed = [(h.chapter, e) for h in handouts.find().values() for e in h.functions]
    assert sorted(found) == sorted(exercise for _, exercise in handed)
    assert all(found[exercise].chapter == chapter for chapter, exercise in handed)
    one = found["ch03.first_flip"]
    assert one.about == "the smallest ω at which the greedy choice changes."
    said = one(lambda logits, noisy: 0.0)
    assert said.to_dict() == {
        "passed": False, "message": said.message, "exercise": "first_flip"
    } and json.dumps(said.to_dict())  # fmt: skip
    # chapter 9 calls its check with a function of another name
    assert handouts.find()[9].functions["ch09.texts_of"] == "texts_of"


# ------------------------------------------------------------------ values, as data
@pytest.mark.parametrize(
    "value",
    [None, True, 3, -(10**40), 0.1, "a\nß", [1, [2.5]], (1, "x", ()), {1, 2}, {"a": (1,), 2: None},
     np.arange(6.0).reshape(2, 3), np.array([True, False]), np.array(["ab", "c"]), np.float64(0.1),
     np.int64(4), np.bool_(True), np.zeros((0, 3)), np.array([1, "x", None], dtype=object)],
)  # fmt: skip
def test_values_come_back_as_they_were(value):
    back = wire.decode(json.loads(json.dumps(wire.encode(value))))
    assert type(back) is type(value)
    if isinstance(value, np.ndarray):
        assert back.dtype == value.dtype and back.shape == value.shape
        assert back.tolist() == value.tolist()
    else:
        assert back == value


def test_what_is_no_number_and_what_has_its_own_class_come_back():
    back = wire.decode(json.loads(json.dumps(wire.encode([math.nan, math.inf, -math.inf]))))
    assert math.isnan(back[0]) and back[1:] == [math.inf, -math.inf]
    assert wire.decode(wire.encode(torch.tensor([[1.0, 2.0]]))).tolist() == [[1, 2]]
    assert wire.decode(wire.encode(torch.ones(2, dtype=torch.bfloat16))).tolist() == [1, 1]
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert wire.decode(wire.encode(frame)).equals(frame)
    assert wire.decode(wire.encode(pd.Series([1.0, 2.0]))).tolist() == [1, 2]
    assert inspect.isgenerator(wire.decode(wire.encode(x for x in [1])))

    class Odd:
        def __repr__(self):
            raise RuntimeError

        def __eq__(self, other):
            return True

    back = wire.decode(wire.encode(Odd()))
    assert type(back).__name__ == "Odd" and back != 1 and "Odd" in repr(back)


class Mine(ValueError):
    """An error of the student's own."""


@pytest.mark.parametrize("error", [ValueError("no"), KeyError("x"), Mine("y"), SystemExit(3),
                                   UnicodeDecodeError("utf-8", b"", 0, 1, "z")])  # fmt: skip
def test_errors_keep_their_kind_and_their_words(error):
    raw = wire.encode_outcome(checks.Outcome(error=error, where=" in line 2"))
    back = wire.decode_outcome(json.loads(json.dumps(raw)))
    assert type(back.error).__name__ == type(error).__name__ and str(back.error) == str(error)
    kind = ValueError if isinstance(error, ValueError) else type(error)
    assert isinstance(back.error, kind) and back.where == " in line 2"


@pytest.mark.parametrize(
    "raw",
    [{"kind": "pickle", "is": "gASV"}, {"kind": "array", "dtype": "|O", "shape": [1], "is": ""},
     {"is": 1}, {"kind": "int", "is": 5}, {"kind": "set", "is": [{"kind": "list", "is": []}]},
     {"kind": "array", "dtype": "<f8", "shape": [10**9], "is": "", "scalar": False}],
)  # fmt: skip
def test_what_is_not_of_the_form_is_refused(raw):
    with pytest.raises(ValueError):
        wire.decode(raw)


def test_nothing_of_an_answer_is_executed():
    source = inspect.getsource(wire) + inspect.getsource(kernel)
    assert "pickle" not in source.replace("no pickle is read", "") and "eval(" not in source
    deep = value = []
    for _ in range(500):
        value.append([])
        value = value[0]
    assert wire.decode(wire.encode(deep))
    assert pickle.dumps(wire.encode(deep))  # and that is all there is of it


# ------------------------------------------------------------------ which cells are run
HANDED = ["import math\nimport numpy as np, pandas as pd", "table = pd.DataFrame()",
          "table['x'] = 1", "other = table.sum()", "def f(x):\n    raise NotImplementedError",
          "checks.ch42.f(f)", "words = 3"]  # fmt: skip


@pytest.mark.parametrize(
    ("answer", "want"),
    [
        ("def f(x):\n    return x", [5]),
        ("def f(x):\n    return math.pi * x", [1, 5]),
        ("def f(words):\n    other = words\n    return other", [5]),  # its own names
        ("def f(x):\n    def g():\n        return words\n    return g()", [5, 7]),
        ("def f(x):\n    return table", [1, 2, 3, 5]),
        ("%time y = other", [1, 2, 3, 4, 5]),  # what f is, is gone
        ("def f(x):\n    return pd.query('@words')", [1, 5, 7]),
        ("def f(x):\n    return x @words", [5, 7]),
        ("def f(x):\n    table = x\n    return x @table", [5]),  # a product, and no query
        ("def f(x) return table", [5]),  # no Python: it says so itself, whatever ran before
        ("def f(x):\n    y = !echo {table}\n    return y", [1, 2, 3, 5]),
    ],
)
def test_of_the_handed_out_cells_those_run_that_are_needed(answer, want):
    sources = [*HANDED[:4], answer, *HANDED[5:]]
    if answer.startswith("%"):
        sources[4] = "y = other"
    found = cells.needed(sources, set(HANDED), {"f"})
    assert [number for number, _ in found] == want
    first = dict(found).get(1, "")
    assert ("pandas" in first) == (2 in want or "pd." in answer) and "numpy" not in first


def test_an_exercise_that_was_left_alone_is_run_all_the_same():
    assert cells.needed(HANDED, set(HANDED), {"f"}) == [(5, HANDED[4])]


# ------------------------------------------------------------------ whose notebook of what
def read(name, student=True):
    folder = ROOT / "notebooks" / ("student" if student else "")
    return json.loads((folder / f"{name}.ipynb").read_text("utf-8"))


def code(text):
    return {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None,
            "source": text}  # fmt: skip


def solved(done, *more, **answers):
    """A student's notebook with so many exercises solved, further answers, further cells."""
    nb, complete = read(NAME), read(NAME, student=False)
    places = [i for i, c in enumerate(nb["cells"]) if "solution" in c["metadata"].get("tags", [])]
    for number, i in enumerate(places):
        name = EXERCISES[number].partition(".")[2]
        if name in answers:
            nb["cells"][i]["source"] = answers[name]
        elif number < done:
            nb["cells"][i]["source"] = complete["cells"][i]["source"]
    at = places[0]
    nb["cells"][at:at] = map(code, more)
    return nb


def put(folder, name, nb):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nb if isinstance(nb, str) else json.dumps(nb), "utf-8")
    return path


def test_a_notebook_is_known_by_its_cells_and_not_by_its_name(tmp_path):
    known = handouts.find()
    nb = solved(2)
    assert handouts.chapter_of(handouts.read(put(tmp_path, "x.ipynb", nb)), known) == 7
    bare = copy.deepcopy(nb)
    for cell in bare["cells"]:
        cell.pop("id", None)
    assert handouts.chapter_of(handouts.read(put(tmp_path, "x.ipynb", bare)), known) == 7
    only = {"cells": [code("def ending_penalty(text):\n    return 0.0")]}
    assert handouts.chapter_of(handouts.read(put(tmp_path, "x.ipynb", only)), known) == 7
    none = {"cells": [code("print('hello')")]}
    assert handouts.chapter_of(handouts.read(put(tmp_path, "x.ipynb", none)), known) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [("", "no JSON"), ("{", "no JSON"), ("[]", "no cells"), ('{"cells": 3}', "no cells"),
     ("[" * 100_000, "no JSON")],
)  # fmt: skip
def test_what_is_no_notebook_says_why(tmp_path, content, said):
    with pytest.raises(ValueError, match=said):
        handouts.read(put(tmp_path, "x.ipynb", content))


def test_students_are_files_or_folders(tmp_path):
    names = ["ann.ipynb", "bob/07.ipynb", "bob/.ipynb_checkpoints/07-checkpoint.ipynb",
             "__MACOSX/x.ipynb", ".hidden.ipynb", "cleo/deep/03.ipynb", "notes.pdf"]  # fmt: skip
    for name in names:
        put(tmp_path, name, "")
    (tmp_path / "dan").mkdir()
    students, rest = grading.submissions(tmp_path)
    found = {s: [p.relative_to(tmp_path).as_posix() for p in f] for s, f in students.items()}
    assert found == {
        "ann": ["ann.ipynb"], "bob": ["bob/07.ipynb"], "cleo": ["cleo/deep/03.ipynb"], "dan": []
    }  # fmt: skip
    assert [p.name for p in rest] == ["notes.pdf"]


# ------------------------------------------------------------------ points
def one(chapter, passed, state="graded", file="x.ipynb", notes=()):
    """What marking finds in a notebook."""
    found = {e: {"passed": e in passed, "message": "so", "exercise": e} for e in EXERCISES}
    return {"chapter": chapter, "state": state, "file": file, "notes": list(notes),
            "exercises": found if state == "graded" else {}}  # fmt: skip


def test_a_line_a_student_with_the_weights_of_the_file(tmp_path):
    file = tmp_path / "w.csv"
    file.write_text("exercise,points\nch07.bounds,3\nch07.break_even,0.5\n")
    points, known = results.weights(file), handouts.find()
    marked = {
        "ann": [one(7, EXERCISES[:2], file="a"), one(7, EXERCISES[2:3], file="b", notes=["n"])],
        "=cmd|' /C calc'!A0": [one(None, [], "not a notebook: no JSON")],
        "cleo": [],
    }
    table = results.table(marked, known, points)
    assert [(e["points"], e["out_of"]) for e in table] == [(4.5, 5.5), (0, 5.5), (0, 5.5)]
    assert table[0]["notes"] == ["b: n"] and table[1]["notes"] == ["not a notebook: no JSON"]
    results.write(tmp_path / "r.csv", table, {})
    rows = list(csv.DictReader((tmp_path / "r.csv").open(encoding="utf-8")))
    assert rows[0]["points"] == "4.5" and rows[0]["ch07.bounds"] == "3"
    assert rows[1]["student"].startswith("'=") and rows[2]["notes"] == "no notebook"
    assert rows[1]["ch07.bounds: message"] == "Not handed in."
    results.write(tmp_path / "r.json", table, {"sealed": True})
    said = json.loads((tmp_path / "r.json").read_text("utf-8"))
    assert said["sealed"] and said["students"] == table


def test_the_printed_table_of_weights_is_one(tmp_path, capsys):
    assert main(["grade", "--list"]) == 0
    file = tmp_path / "w.csv"
    file.write_text(capsys.readouterr().out, "utf-8")
    assert results.weights(file) == results.weights() and set(results.weights()) > set(EXERCISES)


@pytest.mark.parametrize("points", ["-1", "nan", "many", ""])
def test_points_are_numbers_from_zero_on(tmp_path, points):
    file = tmp_path / "w.csv"
    file.write_text(f"exercise,points\nch07.bounds,{points}\n")
    with pytest.raises(ValueError, match="line 2: the points of ch07.bounds must be a number"):
        results.weights(file)


# ------------------------------------------------------------------ a class
def grade(folder, out, **more):
    settings = {"chapter": 7, "quiet": True, "seconds": 8, "memory": 0.5, "say": lambda line: None}
    entries = grading.grade(folder, out, **settings | more)
    return {entry["student"]: entry for entry in entries}


def points_of(entry):
    return [int(mark["points"]) for mark in entry["exercises"].values()]


#: Tries everything in the kernel that might make a check say yes.
CHEAT = '''
import os, sys
from pathlib import Path
import synthlib.checks as c
import synthlib.grading.inside as inside
from synthlib.checks import ch07
c.run = lambda exercise, *a, **k: c.Result(True, "all right", exercise)
c.difference = lambda *a, **k: None
passed = ch07.dual_reward(dual_reward)
tried = []
try:
    tried.append(ch07._dual_reward)
except AttributeError:
    pass
for file in Path(c.__file__).parent.glob("ch07.py"):
    tried += [line for line in file.read_text().splitlines() if "Mistake" in line]
    try:
        file.write_text(file.read_text())
        tried.append("written")
    except OSError:
        pass
def dual_reward(*arguments):
    return tried[0] if tried else (1.0 if passed.passed else None)
print("passed, 4 of 4 points")
'''
#: The same with the kernel's end of the channel.
FORGED = '''
import json, os
from pathlib import Path
import synthlib.grading.inside as inside
def answer(request, reply):
    right = {"passed": True, "message": "right", "points": 4}
    Path(reply).write_text(json.dumps({**right, "callable": True, "outcomes": [right] * 200}))
inside.answer = answer
'''


def test_right_answers_earn_points_and_cheating_none(tmp_path):
    folder = tmp_path / "class"
    always = "def ending_penalty(text):\n    return always"
    right = solved(3, "from helper import always", ending_penalty=always)
    put(folder, "right/Copy of 07 (final).ipynb", right)
    put(folder, "right/helper.py", "always = 0.0\n")
    put(folder, "cheat.ipynb", solved(0, CHEAT, FORGED))
    found = grade(folder, tmp_path / "r.csv")
    assert points_of(found["right"]) == [1, 1, 1, 0] and found["right"]["notes"] == []
    said = found["right"]["exercises"]["ch07.ending_penalty"]["message"]
    assert said.startswith("No text pays in your version.")  # the mistake's own hint
    assert points_of(found["cheat"]) == [0, 0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize("sealed", [True, False])
def test_a_class_of_every_kind(tmp_path, monkeypatch, sealed):
    if sealed and not kernel.can_seal(tmp_path):
        pytest.skip("this system lets a user make no namespaces")
    monkeypatch.setattr(kernel, "can_seal", lambda place: sealed)
    folder, secret = tmp_path / "class", tmp_path / "written"
    put(folder, "ann.ipynb", solved(4))
    put(folder, "ben.ipynb", solved(2, bounds="def bounds(p, s, positive, quantile=0.05):\n"
                                              "    return 0.0, 0.0"))  # fmt: skip
    put(folder, "cheat.ipynb", solved(0, CHEAT))
    put(folder, "empty.ipynb", "")
    put(folder, "damaged.ipynb", '{"cells": [')
    put(folder, "other.ipynb", read("03_contrastive_generation", student=False))
    put(folder, "loop.ipynb", solved(3, "while True:\n    pass", ending_penalty=(
        "def ending_penalty(text):\n    while True:\n        pass")))  # fmt: skip
    put(folder, "large.ipynb", solved(
        4, "import numpy as np\nheld = []\nwhile True:\n    held.append(np.ones(10_000_000))"))
    put(folder, "net.ipynb", solved(
        3, f"try:\n    open({str(secret)!r}, 'w')\nexcept OSError:\n    pass",
        ending_penalty="def ending_penalty(text):\n    import socket\n"
                       "    socket.create_connection(('127.0.0.1', 9), timeout=2)\n"
                       "    return 0.0"))  # fmt: skip
    put(folder, "ends.ipynb", solved(2, bounds="def bounds(*a):\n    import os\n    os._exit(0)"))
    started = time.monotonic()
    found = grade(folder, tmp_path / "r.csv")
    took = time.monotonic() - started
    want = {"ann": [1] * 4, "ben": [1, 1, 0, 0], "cheat": [0] * 4, "empty": [0] * 4,
            "damaged": [0] * 4, "other": [0] * 4, "loop": [1, 1, 1, 0], "large": [1] * 4,
            "net": [1, 1, 1, 0], "ends": [1, 1, 0, 0]}  # fmt: skip
    assert {name: points_of(entry) for name, entry in found.items()} == want
    notes = {name: "; ".join(entry["notes"]) for name, entry in found.items()}
    assert "ran for more than 8 seconds and was stopped; it was left out" in notes["loop"]
    assert "took more than 0.5 GB of memory" in notes["large"]
    assert notes["empty"] == "an empty file" and notes["damaged"].startswith("not a notebook")
    assert notes["other"] == "another chapter: 03" and not notes["ann"]
    said = {name: [m["message"] for m in e["exercises"].values()] for name, e in found.items()}
    assert "OSError in line 3 of your function" in said["net"][3]
    assert ("unreachable" if sealed else "no network while") in said["net"][3]
    assert said["ends"][2] == "Not decided: `bounds` ended the kernel."
    assert said["ben"][3].startswith("not done yet: ")
    assert secret.exists() != sealed  # the box is the system's, or there is none
    # Again: nothing is run twice.
    monkeypatch.setattr(grading.subprocess, "Popen", lambda *a, **k: pytest.fail("run twice"))
    started = time.monotonic()
    again = grade(folder, tmp_path / "r.csv")
    assert again == found and time.monotonic() - started < took / 4


def test_interrupted_it_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    folder, asked = tmp_path / "class", []
    for number in range(5):
        put(folder, f"s{number}.ipynb", solved(number % 4, f"own = {number}"))

    def mark(self, path, beside):
        asked.append(Path(path).stem)
        if len(asked) == 3:
            raise KeyboardInterrupt
        time.sleep(0.1)
        return {k: v for k, v in one(7, EXERCISES[: int(path[-7])]).items() if k != "file"}

    monkeypatch.setattr(grading.Marker, "mark", mark)
    argv = ["grade", str(folder), "--out", str(tmp_path / "r.csv"), "--jobs", "1", "--quiet"]
    assert main(argv) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
    journal = tmp_path / "r.journal.jsonl"
    held = journal.read_text().count("\n") if journal.exists() else 0
    assert not (tmp_path / "r.csv").exists() and held < 5
    with journal.open("a") as stream:
        stream.write('{"key": "half a li')  # a write that was interrupted
    asked[:] = ["x"] * 10
    assert main(argv) == 0
    assert len(asked) == 10 + 5 - held and len(set(asked[10:])) == 5 - held
    rows = list(csv.DictReader((tmp_path / "r.csv").open(encoding="utf-8")))
    assert [row["points"] for row in rows] == ["0", "1", "2", "3", "4"]
    asked.clear()
    put(folder, "s3.ipynb", solved(1, "own = 'handed in again'"))
    assert main(argv) == 0 and asked == ["s3"]
    asked[:] = ["x"] * 10
    assert main([*argv, "--again"]) == 0 and len(asked) == 10 + 5


def test_checks_that_change_on_disk_end_it(tmp_path, monkeypatch):
    folder, checks_ = tmp_path / "class", tmp_path / "checks"
    shutil.copytree(ROOT / "synthlib" / "checks", checks_)
    monkeypatch.setattr(grading, "check_files", lambda: checks_.glob("*.py"))
    put(folder, "a.ipynb", solved(0))

    def mark(self, path, beside):
        (checks_ / "ch07.py").write_text("")
        return one(7, EXERCISES)

    monkeypatch.setattr(grading.Marker, "mark", mark)
    with pytest.raises(OSError, match="changed on disk while a.ipynb was marked: install it again"):
        grade(folder, tmp_path / "r.csv")
    shutil.copy(ROOT / "synthlib" / "checks" / "ch07.py", checks_)
    monkeypatch.setattr(grading.Marker, "mark", lambda self, path, beside: one(7, EXERCISES))
    assert points_of(grade(folder, tmp_path / "r.csv", again=True)["a"]) == [1] * 4


@pytest.mark.slow
@pytest.mark.parametrize("edition", ["complete", "student"])
def test_every_chapter_solved_has_all_points_and_as_handed_out_none(tmp_path, edition):
    folder = tmp_path / "class"
    folder.mkdir()
    source = ROOT / "notebooks" / ("student" if edition == "student" else "")
    for path in source.glob("[0-9]*.ipynb"):
        shutil.copy(path, folder)
    entries = grading.grade(folder, tmp_path / "r.csv", quiet=True, say=lambda line: None)
    assert len(entries) == len(handouts.find())
    for entry in entries:
        own = [m for e, m in entry["exercises"].items() if e[2:4] == entry["student"][:2]]
        if edition == "complete":
            assert all(m["points"] == 1 for m in own), entry["student"]
        else:
            assert all(m["message"].startswith("not done yet: ") for m in own), entry["student"]
        assert not entry["notes"]


# ------------------------------------------------------------------ mistakes of the instructor
def test_what_a_message_names_works(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(grading.Marker, "mark", lambda self, path, beside: one(7, EXERCISES))
    (tmp_path / "class").mkdir()
    (tmp_path / "none").mkdir()

    def refused(*argv):
        assert main(["grade", *argv, "--quiet"]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1
        return said

    good = ["class", "--out", "r.csv"]
    assert "no folder klass: give the one with the submissions" in refused("klass", *good[1:])
    assert "class holds no notebook (.ipynb) and no folder of a student" in refused(*good)
    put(tmp_path / "class", "ann.ipynb", solved(4))
    assert "ends in neither .csv nor .json" in refused("class", "--out", "r.txt")
    assert "the folder new does not exist; make it" in refused("class", "--out", "new/r.csv")
    assert "there is no chapter 77: choose from 0, 1, 2" in refused(*good, "--chapter", "77")
    assert "a folder and --out are wanted: grade FOLDER" in refused("class")
    assert "with --notebooks" in refused(*good, "--notebooks", "none")
    (tmp_path / "w.csv").write_text("a,b\n")
    assert "does not begin with exercise,points" in refused(*good, "--weights", "w.csv")
    (tmp_path / "w.csv").write_text("exercise,points\nch07.bound,2\n")
    assert "line 2: there is no exercise 'ch07.bound'" in refused(*good, "--weights", "w.csv")
    assert "w.none: No such file" in refused(*good, "--weights", "w.none")
    for name, value in (("jobs", "0"), ("seconds", "0"), ("minutes", "-1"), ("memory", "0.1")):
        assert f"--{name} must be at least" in refused(*good, f"--{name}", value)
    assert not (tmp_path / "r.csv").exists()
    # and what each of them asks for
    (tmp_path / "new").mkdir()
    student = str(ROOT / "notebooks" / "student")
    (tmp_path / "w.csv").write_text("exercise,points\nch07.bounds,2\n")
    for more in ([], ["--chapter", "7"], ["--notebooks", student], ["--weights", "w.csv"]):
        assert main(["grade", *good, "--quiet", *more]) == 0
    assert main(["grade", "class", "--quiet", "--out", "new/r.json"]) == 0
    assert "written: new/r.json" in capsys.readouterr().out


def test_what_pip_installs_runs_notebooks(tmp_path, monkeypatch):
    put(tmp_path / "class", "ann.ipynb", solved(4))
    monkeypatch.setattr(grading.Marker, "mark", lambda self, path, beside: one(7, EXERCISES))
    find = grading.importlib.util.find_spec
    with monkeypatch.context() as patch:
        patch.setattr(grading.importlib.util, "find_spec",
                      lambda name, *a: None if name == "ipykernel" else find(name, *a))  # fmt: skip
        with pytest.raises(ValueError, match="needs ipykernel: pip install ipykernel nbclient"):
            grade(tmp_path / "class", tmp_path / "r.csv")
    with monkeypatch.context() as patch:
        patch.delattr(grading, "kernel", raising=False)
        patch.delitem(sys.modules, "synthlib.grading.kernel")
        patch.setitem(sys.modules, "nbclient", None)
        with pytest.raises(ValueError, match="pip install ipykernel nbclient"):
            grade(tmp_path / "class", tmp_path / "r.csv")
    assert grade(tmp_path / "class", tmp_path / "r.csv")
