"""The edition of the book without a solution in it: `make book EDITION=student`.

The chapters run once, complete, and both editions are built from what that left. Here a page gets
the cells of the student notebook, with the outputs that they have in the executed one: in place of
a solution stands what is to be done, and a check has said nothing yet. Pages for instructors are
left out. Then the whole tree is searched for the solutions' lines.
"""

import html
import re
from functools import cache
from pathlib import Path

import editions
import nbformat
import project

#: Pages that hold answers.
FOR_INSTRUCTORS = ("book/reference/instructors", "book/reference/courses")
LEFT_OUT = "This page stands in the edition for instructors."
CHECK = re.compile(r"checks\.ch\d\d\.\w+\([A-Za-z]\w*\)")
#: A shorter line is anybody's: `return total`.
SHORTEST = 16
#: What is read when the tree is searched.
TEXTS = (".html", ".ipynb", ".js", ".json", ".md", ".txt", ".csv", ".svg", ".inv", ".xml", ".py")


def page(path, executed):
    """A chapter's notebook for its page, without solutions.

    Parameters
    ----------
    path : Path
        Source of the chapter.
    executed : NotebookNode
        Its complete notebook after its run.

    Returns
    -------
    NotebookNode
    """
    nb = editions.notebook(path, page=True, student=True)
    for cell, run in zip(nb.cells, executed.cells, strict=True):
        if cell.cell_type != "code":
            continue
        solved = "solution" in cell.metadata.get("tags", [])
        if not solved and cell.source != run.source:
            raise ValueError(f"{path.name}: a cell is not what was executed: run `make notebooks`")
        if solved or CHECK.fullmatch(cell.source.strip()):
            continue
        cell.outputs, cell.execution_count = run.outputs, run.execution_count
        display = run.metadata.get("mystnb")
        if display:
            cell.metadata["mystnb"] = display
    return nb


def executed(nb, folder):
    """A complete notebook with the outputs that the execution cache holds.

    Raises
    ------
    KeyError
        It holds none of this notebook.
    """
    from jupyter_cache import get_cache

    return get_cache(folder).merge_match_into_notebook(nb)[1]


def left_out(text):
    """A page for instructors without what it says: its label and its title."""
    label = re.match(r"\([\w-]+\)=\n", text)
    title = re.search(r"^# .+$", text, re.M)
    return f"{label[0] if label else ''}{title[0] if title else '# …'}\n\n{LEFT_OUT}\n"


def replace_sources(site):
    """In the sources that a site hands out: student notebooks, and no page for instructors."""
    sources = Path(site) / "_sources"
    for path in (sources / "notebooks").rglob("*.ipynb"):
        student = project.NOTEBOOKS / "student" / path.name
        path.write_bytes(student.read_bytes())
    for name in FOR_INSTRUCTORS:
        for path in sources.glob(f"{name}.*"):
            path.write_text(left_out(path.read_text(encoding="utf-8")), encoding="utf-8")


def _bare(text):
    return re.sub(r"\s+", "", text)


@cache
def _known():
    """Code that students have anyway: that of their notebooks, and the package's."""
    texts = [c.source for path in project.sources()
             for c in editions.notebook(path, student=True).cells
             if c.cell_type == "code"]  # fmt: skip
    texts += [p.read_text(encoding="utf-8") for p in (project.ROOT / "synthlib").rglob("*.py")
              if "checks" not in p.parts]  # fmt: skip
    return _bare("\n".join(texts))


def solution_lines():
    """The lines of all solutions that stand nowhere else, without spaces: line -> chapter."""
    import jupytext

    found = {}
    for path in project.sources():
        for cell in jupytext.read(path, fmt="py:percent").cells:
            if cell.cell_type != "code":
                continue
            for lines, _, todo in editions.solution_regions(cell.source, path.name):
                for line in map(_bare, lines if todo is not None else []):
                    if len(line) >= SHORTEST and line not in _known():
                        found[line] = path.stem
    return found


def leaks(folder):
    """Where in a tree a line of a solution stands, one line each.

    Code that a page colours is read without its tags, a notebook's without its escapes.
    """
    wanted, problems = solution_lines(), []
    for path in sorted(Path(folder).rglob("*")):
        if not path.is_file() or path.suffix.lower() not in TEXTS or "vendor" in path.parts:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        forms = {text, html.unescape(re.sub(r"<[^>]*>", "", text)),
                 text.replace('\\"', '"').replace("\\n", "\n").replace("\\\\", "\\")}  # fmt: skip
        bare = "\0".join(map(_bare, forms))
        problems += [
            f"{path.relative_to(folder).as_posix()}: a line of a solution of {chapter}: {line[:60]}"
            for line, chapter in wanted.items() if line in bare
        ]  # fmt: skip
    return problems


def hand_out(folder):
    """Copy the student notebooks to a folder beside the site."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in project.sources():
        nb = editions.notebook(path, student=True)
        nbformat.validate(nb)
        (folder / f"{path.stem}.ipynb").write_text(editions.text_of(nb), encoding="utf-8")
