"""The exercises of the chapters as they stand: their cells, solutions, stubs and checks.

The chapters' sources are read, their imports and solution cells run, nothing else of them. Found by
themselves: `book/chapters/NN_*.py` and `synthlib/checks/chNN.py`.
"""

import ast
import functools
import importlib
import re
import sys
from pathlib import Path

import jupytext

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = {
    path.name[:2]: path for path in sorted((ROOT / "book" / "chapters").glob("[0-9][0-9]_*.py"))
}
CHECKS = {
    path.stem[2:]: path for path in sorted((ROOT / "synthlib" / "checks").glob("ch[0-9][0-9].py"))
}

sys.path.insert(0, str(ROOT / "book" / "_ext"))
import editions  # noqa: E402


@functools.cache
def check_module(number):
    return importlib.import_module(f"synthlib.checks.ch{number}")


@functools.cache
def cells(number):
    """Code cells of a chapter as (source, is a solution)."""
    source = jupytext.read(CHAPTERS[number], fmt="py:percent")
    return [
        (cell.source, "solution" in cell.metadata.get("tags", []))
        for cell in source.cells
        if cell.cell_type == "code"
    ]


@functools.cache
def calls(number):
    """The chapter's check calls: name of the check -> name of the function given to it."""
    found = {}
    for source, _ in cells(number):
        if "checks." not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call):
                name = re.fullmatch(rf"checks\.ch{number}\.(\w+)", ast.unparse(node.func))
                if name:
                    assert len(node.args) == 1 and isinstance(node.args[0], ast.Name), (
                        f"chapter {number}: {ast.unparse(node)} must get one function by its name"
                    )
                    found[name[1]] = node.args[0].id
    return found


def imports(source):
    """The import statements of a cell, and those only."""
    tree = ast.parse(re.sub(r"^\s*[%!].*$", "", source, flags=re.M))
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    return ast.unparse(tree)


def names(number, *, student):
    """What a chapter's imports and its solution cells, or their stubs, define."""
    space = {"__name__": f"chapter_{number}"}
    for source, is_solution in cells(number):
        if is_solution:
            edition = editions.stub if student else editions.complete
            text = edition(source, f"chapter {number}")
        else:
            text = imports(source)
        exec(compile(text, f"<chapter {number}>", "exec"), space)
    return space


solutions = functools.cache(functools.partial(names, student=False))
stubs = functools.cache(functools.partial(names, student=True))

EXERCISES = [
    (number, exercise)
    for number in CHECKS
    for exercise in getattr(check_module(number), "WRONG", {})
]
