"""The notebooks: what their sources give, fit for readers; the student edition runs to its end."""

import ast
import io
import re
import tokenize

import editions
import nbformat
import project
import pytest

CHAPTERS = project.chapters()
NAMES = [path.stem for path in CHAPTERS]


def committed(name, student=False):
    """The notebook on disk."""
    folder = project.NOTEBOOKS / "student" if student else project.NOTEBOOKS
    return nbformat.read(folder / f"{name}.ipynb", as_version=4)


def directives(cells):
    """What of the book's own Markdown stands in cells: roles, fences, labels, options, comments."""
    pattern = r"\{[\w:.-]+\}`[^`]|^[ \t]*[`~:]{3,}\{|:::|^\([\w:.-]+\)=|^:[\w-]+: |^%( |$)"
    return [
        f"{cell.id}: {line}"
        for cell in cells
        for line in cell.source.split("\n")
        if re.search(pattern, line) or re.search(r"\$\$[ \t]*\([\w:.-]+\)", line)
        if cell.cell_type == "markdown" or not line.startswith("%")
    ]


def is_solution(cell):
    """Whether a cell holds an exercise's solution or its stub."""
    return "solution" in cell.metadata.get("tags", [])


def test_committed_notebooks_are_what_their_sources_give():
    assert editions.differences() == [], "run `make notebooks` and commit the result"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("student", [False, True], ids=["complete", "student"])
def test_notebooks_are_clean(name, student):
    nb = committed(name, student)
    nbformat.validate(nb)
    assert nb.metadata.kernelspec.name == "python3"
    assert "widgets" not in nb.metadata, "Colab corrupts stored widget state"
    assert len({cell.id for cell in nb.cells}) == len(nb.cells)
    for cell in nb.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None
            assert "### BEGIN SOLUTION" not in cell.source
            assert "### END SOLUTION" not in cell.source
    assert nb.cells[0].cell_type == "markdown" and re.search(r"^# ", nb.cells[0].source, re.M)
    opening = [c for c in nb.cells if c.cell_type == "code"][:3]
    if name[:2] >= "13":  # on real language: the tier is chosen first
        assert (opening[0].id, opening[2].id) == ("bootstrap", "preflight")
        assert opening[1].source == 'TIER = "laptop"  #@param ["laptop", "colab", "paper"]'
        assert "synthlib.preflight(TIER)" in opening[2].source
    else:
        assert [cell.id for cell in opening[:2]] == ["bootstrap", "preflight"]
        assert "#@param" not in "".join(cell.source for cell in nb.cells)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("student", [False, True], ids=["complete", "student"])
def test_prose_is_plain_markdown(name, student):
    """Colab, Jupyter and GitHub know nothing of the book's directives, which the page keeps."""
    cells = committed(name, student).cells
    assert directives(cells) == []
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    assert prose.count("$$") % 2 == 0
    page = editions.notebook(project.CHAPTERS / f"{name}.py", page=True).cells
    assert len(directives(page)) > 5
    # What was executed and what the page shows are one and the same code.
    code = [(c.id, c.source, c.metadata) for c in page if c.cell_type == "code"]
    if not student:
        assert code == [(c.id, c.source, c.metadata) for c in cells if c.cell_type == "code"]


@pytest.mark.parametrize("name", NAMES)
def test_editions_differ_only_where_they_should(name):
    complete, student = committed(name), committed(name, student=True)
    assert [c.id for c in complete.cells] == [c.id for c in student.cells]
    for full, open_ in zip(complete.cells, student.cells, strict=True):
        assert full.cell_type == open_.cell_type
        if full.cell_type != "code":
            assert full.source == open_.source
            continue
        if not is_solution(full):
            assert full.source == open_.source
            continue
        assert full.source != open_.source
        assert "not done yet: " in open_.source and "not done yet: " not in full.source
        assert outline(full.source) == outline(open_.source)


def outline(source):
    """Signatures and docstrings of the functions of a cell, and all that stands outside them."""
    tree = ast.parse(source)
    functions = [
        (node.name, ast.unparse(node.args), ast.get_docstring(node))
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    ]
    rest = [ast.unparse(node) for node in tree.body if not isinstance(node, ast.FunctionDef)]
    return functions, rest


@pytest.mark.parametrize("name", NAMES)
def test_every_exercise_has_a_solution_and_a_check(name):
    """In order: the exercise's text, its solution with a docstring, a check that calls it."""
    cells = editions.notebook(project.CHAPTERS / f"{name}.py", page=True).cells
    exercises = sum(len(re.findall(r"^[:`]{3,}\{exercise\}", c.source, re.M)) for c in cells)
    solutions = [i for i, cell in enumerate(cells) if is_solution(cell)]
    assert exercises == len(solutions) >= 3
    for index in solutions:
        (function,) = [
            node
            for node in ast.parse(cells[index].source).body
            if isinstance(node, ast.FunctionDef)
        ]
        assert ast.get_docstring(function), f"{function.name} has no docstring"
        before = "".join(c.source for c in cells[max(0, index - 3) : index])
        assert "{exercise}" in before, f"no exercise stands before {function.name}"
        following = next(c.source for c in cells[index + 1 :] if c.cell_type == "code")
        assert re.search(rf"checks\.ch{name[:2]}\.\w+\({function.name}\)", following), (
            f"no check follows {function.name}"
        )


@pytest.mark.parametrize("name", NAMES)
def test_cells_fit_a_screen(name):
    for cell in committed(name).cells:
        if cell.cell_type != "code" or cell.id == "bootstrap":
            continue
        lines = cell.source.split("\n")
        assert len(lines) <= 45, f"{name}: a cell of {len(lines)} lines begins with {lines[0]!r}"
        for line in lines:
            assert len(line) <= 100, f"{name}: a line of {len(line)} columns: {line.strip()[:60]}…"


@pytest.mark.parametrize("name", NAMES)
def test_cells_do_not_hide_failures(name):
    """No cell swallows every error, and no cell is allowed to raise."""
    for cell in committed(name).cells:
        if cell.cell_type != "code":
            continue
        assert "raises-exception" not in cell.metadata.get("tags", [])
        words = [t.string for t in tokenize.generate_tokens(io.StringIO(cell.source).readline)]
        for first, second in zip(words, words[1:], strict=False):
            assert (first, second) != ("except", ":"), f"{name}: a bare except"


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_student_notebook_runs_to_its_end(name, root, monkeypatch):
    """With nothing filled in, no cell raises and every check says "not done yet"."""
    from nbclient import NotebookClient

    # Chapters 00 to 12 run on the pocket models, whatever tier is named; the others name their own.
    monkeypatch.setenv("SYNTHLIB_TIER", "colab")
    nb = committed(name, student=True)
    # nbclient stops at the first cell that raises.
    NotebookClient(
        nb, timeout=3600, startup_timeout=3600,
        resources={"metadata": {"path": str(root / "notebooks")}},
    ).execute()  # fmt: skip
    checks = [
        c for c in nb.cells if c.cell_type == "code" and re.search(r"checks\.ch\d\d\.", c.source)
    ]
    assert len(checks) >= 3
    for cell in checks:
        said = "".join(
            output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
            for output in cell.outputs
        )
        assert "not done yet" in said, f"{name}: {cell.source.strip()} said {said[:200]!r}"
