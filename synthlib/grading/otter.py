"""Notebooks in the format of Otter-Grader's ``otter assign``: ``python -m synthlib otter``.

From the complete notebook and the one that was handed out: what differs is the solution. Otter
takes it out again when it makes the students' version. Its tests call this package's checks, in
the student's own kernel: what `grade` keeps apart, Otter does not.
"""

import copy
import json
import re
from pathlib import Path

from synthlib import __version__, commands, paths
from synthlib.grading import cells, handouts, results

STUB = re.compile(r"^(\s+)raise NotImplementedError\(\"not done yet: ")


def _solution(complete, stub):
    """A solution cell with Otter's marks: what the stub lacks, and what it has in its place."""
    full, short = complete.split("\n"), stub.split("\n")
    places = [i for i, line in enumerate(short) if STUB.match(line)]
    if len(places) != 1:
        raise ValueError(f"{len(places)} places to fill in a cell that begins {short[0]!r}")
    (at,) = places
    after = len(short) - at - 1
    solved = full[at : len(full) - after]
    if [*full[:at], *full[len(full) - after :]] != [*short[:at], *short[at + 1 :]]:
        raise ValueError(f"the editions of a cell that begins {short[0]!r} differ elsewhere too")
    indent = STUB.match(short[at])[1]
    marked = [f"{indent}# BEGIN SOLUTION NO PROMPT", *solved, f"{indent}# END SOLUTION",
              f'{indent}""" # BEGIN PROMPT', short[at], f'{indent}""" # END PROMPT']  # fmt: skip
    return "\n".join([*short[:at], *marked, *short[at + 1 :]])


def _raw(*lines):
    return {"cell_type": "raw", "metadata": {}, "source": "\n".join(lines)}


def assignment(complete, handed_out, points):
    """One chapter's notebook in the format of ``otter assign``.

    Parameters
    ----------
    complete, handed_out : dict
        The two editions, as their files hold them.
    points : dict of str to float
        Of the exercises.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        The editions do not belong together.
    """
    if len(complete["cells"]) != len(handed_out["cells"]):
        raise ValueError("the editions have different numbers of cells: run `make notebooks`")
    text = ["".join(c["source"]) for c in handed_out["cells"]]
    checks = [cells.CHECK.fullmatch(source.strip()) for source in text]
    found = [_raw("# ASSIGNMENT CONFIG", "init_cell: true", "export_cell: false")]
    for i, cell in enumerate(complete["cells"]):
        cell = {k: v for k, v in copy.deepcopy(cell).items() if k != "id"}
        source = "".join(cell["source"])
        if source == text[i]:
            found.append(cell)
            continue
        made = cells.bound(text[i])
        call = next((c for c in checks[i:] if c and c[3] in made), None)
        if call is None:
            raise ValueError(f"no check follows the cell that begins {source.splitlines()[0]!r}")
        exercise = f"ch{call[1]}.{call[2]}"
        cell["source"] = _solution(source, text[i])
        test = {
            "cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None,
            "source": "from synthlib import checks\n\n"
            f"result = checks.{exercise}({call[3]})\nassert result.passed, result.message",
        }  # fmt: skip
        about = {"name": call[2], "points": f"{points[exercise]:g}"}
        found += [
            _raw("# BEGIN QUESTION", *(f"{key}: {value}" for key, value in about.items())),
            _raw("# BEGIN SOLUTION"), cell, _raw("# END SOLUTION"),
            _raw("# BEGIN TESTS"), test, _raw("# END TESTS"), _raw("# END QUESTION"),
        ]  # fmt: skip
    for number, cell in enumerate(found):
        cell["id"] = f"otter-{number}"
    return {**complete, "cells": found}


def export(out, *, chapter=None, weights=None, notebooks=None, say=print):
    """Write the notebooks of all chapters, or of one.

    Parameters
    ----------
    out : path
        Folder, made where it is absent.
    chapter : int, optional
    weights : path, optional
        A CSV file of exercises and points.
    notebooks : path, optional
        Folder of the complete notebooks, with ``student/`` in it; default: this repository's.
    say : callable
        Gets a line for each file.

    Returns
    -------
    list of Path

    Raises
    ------
    ValueError, OSError
        There are no such notebooks, no such chapter, or the two editions do not fit.
    """
    if notebooks is None:
        notebooks = (paths.ROOT or Path.cwd()) / "notebooks"
    student, points, out = Path(notebooks) / "student", results.weights(weights), Path(out)
    known = handouts.find(student)
    if chapter is not None and chapter not in known:
        raise ValueError(f"there is no chapter {chapter}: choose from {', '.join(map(str, known))}")
    written = []
    for file in sorted(student.glob("[0-9][0-9]_*.ipynb")):
        if chapter not in (None, int(file.name[:2])):
            continue
        editions = [json.loads(p.read_text("utf-8")) for p in (Path(notebooks) / file.name, file)]
        text = json.dumps(assignment(*editions, points), indent=1, ensure_ascii=False)
        out.mkdir(parents=True, exist_ok=True)
        paths.write_bytes(out / file.name, f"{text}\n".encode())
        written.append(out / file.name)
        say(f"written: {out / file.name}")
    say(f"next: otter assign {written[0]} dist (its graders need synthlib {__version__})")
    return written


def main(argv=None):
    """Command line."""
    export(**vars(commands.otter().parse_args(argv)))
    return 0
