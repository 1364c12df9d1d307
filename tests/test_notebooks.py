"""The notebooks: what their sources give, fit for readers; the student edition runs to its end.

To be quick: where the book's build has executed the complete edition, the cells that both editions
have, and that nothing of a reader's reaches, are not executed a second time.
"""

import ast
import functools
import io
import re
import tokenize

import editions
import nbformat
import project
import pytest

from synthlib.grading.cells import IMPORT, bound, imports, is_check, names, statements

CHAPTERS = project.chapters()
EXERCISED = [path.stem for path in CHAPTERS]  # an appendix asks for nothing
NAMES = [path.stem for path in project.sources()]


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
    if project.CHAPTERS / f"{name}.py" in project.field_chapters():  # the tier is chosen first
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


@pytest.mark.parametrize("name", EXERCISED)
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
        # The check has the function's name, by which `checks.progress` finds it.
        assert f"checks.ch{name[:2]}.{function.name}({function.name})" in following, (
            f"no check follows {function.name}"
        )
    said = [c.source for c in cells if c.cell_type == "code"]
    (place,) = [i for i, text in enumerate(said) if text.startswith("checks.progress(")]
    assert said[place].startswith(f"checks.progress({int(name[:2])})")
    assert is_check(said[place - 1]) and not any(map(is_check, said[place:]))


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


# ------------------------------------------------------------------ the student edition runs
FIRST = NAMES[0]  # is executed whole in any case, as a reader does


#: By these a cell may reach what it does not name: its namespace, IPython's list of results.
HIDDEN = {"globals", "locals", "vars", "eval", "exec", "get_ipython", "Out", "In", "_", "__"}


def reached(complete, student):
    """Cells that both editions have and that may read what a reader's function has left.

    A student's notebook holds other functions in its solution cells, and their checks say something
    else; no other cell differs. So every other cell does in it what it does in the complete one,
    unless it is found here: it names such a function, or might without naming it.

    Returns
    -------
    list of str
        The cells' ids.
    """
    open_, found = set(), []
    for full, cell in zip(complete.cells, student.cells, strict=True):
        if cell.cell_type != "code":
            continue
        if full.source != cell.source:
            open_ |= bound(cell.source)
            continue
        if is_check(cell.source):
            continue
        said = names(statements(cell.source), ast.Load)
        said |= set(re.findall(r"@(\w+)", cell.source))  # in pandas' queries
        magic = re.search(r"^\s*[%!]", cell.source, re.M)
        if open_ and (said & (open_ | HIDDEN) or magic):
            found.append(cell.id)
    return found


def shortened(complete, student):
    """The student edition with its own cells and their checks; of all others the imports alone."""
    short = nbformat.from_dict(student)
    for full, cell in zip(complete.cells, short.cells, strict=True):
        kept = is_check(cell.source) or cell.source.startswith("checks.progress(")
        if cell.cell_type == "code" and full.source == cell.source and not kept:
            cell.source = imports(cell.source)
    return short


@functools.cache
def executed_by_the_book():
    """Chapters whose complete edition, as it stands here, the book's build has executed.

    From these sources, data, pins and Python, for an execution is kept under their fingerprint;
    what raised is not kept.
    """
    from jupyter_cache import get_cache

    folder = project.cache_path()
    if not (folder / "global.db").is_file():
        return frozenset()
    cache, found = get_cache(folder), set()
    for name in NAMES:
        try:
            cache.match_cache_notebook(committed(name))
        except KeyError:
            continue
        found.add(name)
    return frozenset(found)


def notebook_of(*cells):
    return nbformat.v4.new_notebook(cells=[
        nbformat.v4.new_code_cell(source, id=f"c{i}") for i, source in enumerate(cells)
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("after", "want"),
    [
        ("y = twice(3)", ["c4"]),
        ("ways = {'mine': twice}", ["c4"]),
        ("def four(x):\n    return twice(twice(x))", ["c4"]),
        ("twice = 3\nprint(twice)", ["c4"]),  # harmless, and executed all the same
        ("twice = 3", []),
        ("table.query('a == @twice(b)')", ["c4"]),
        ("%time twice(3)", ["c4"]),
        ("y = globals()['twice'](3)", ["c4"]),
        ("print(_)", ["c4"]),
        ("print(x)", []),
    ],
)
def test_what_a_readers_function_reaches_is_found(after, want):
    editions_ = [
        notebook_of("import math\nx = 1", "twice = x", f"def twice(x):\n    {body}",
                    "checks.ch42.twice(twice)", after)
        for body in ("return 2 * x", "raise NotImplementedError")
    ]  # fmt: skip
    assert reached(*editions_) == want
    short = [cell.source for cell in shortened(*editions_).cells]
    own = [cell.source for cell in editions_[1].cells[2:4]]
    assert short == ["import math", "", *own, ""]


@pytest.mark.parametrize(
    "check", ["r = checks.ch42.twice(twice)", "checks.ch42.twice(twice).passed or stop()",
              "checks.ch42.twice(twice(3))", "if checks.ch42.twice(twice):\n    y = 1"],
)  # fmt: skip
def test_a_check_that_leaves_something_is_no_mere_check(check):
    editions_ = [notebook_of(f"def twice(x):\n    {body}", check) for body in ("return 1", "pass")]
    assert reached(*editions_) == ["c1"]


def test_the_books_execution_counts_for_the_same_cells_alone(tmp_path, monkeypatch):
    """Neither that of an edited chapter, nor one that raised, nor that of other sources."""
    from counting import Executor
    from jupyter_cache import get_cache

    name, folder = NAMES[0], tmp_path / "cache"
    monkeypatch.setattr(project, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(project, "cache_path", lambda: folder)
    executed_by_the_book.cache_clear()
    try:
        for source, want in (("1 / 0", []), ("x = 1", [name])):
            for other in NAMES:
                nb = notebook_of("pass" if other != name else source)
                nbformat.write(nb, tmp_path / f"{other}.ipynb")
            cache = get_cache(folder)
            cache.add_nb_to_project(str(tmp_path / f"{name}.ipynb"))
            Executor(cache).run_and_cache(timeout=300)
            assert executed_by_the_book() == set(want)
            executed_by_the_book.cache_clear()
        nbformat.write(notebook_of("x = 2"), tmp_path / f"{name}.ipynb")
        assert executed_by_the_book() == set()
        executed_by_the_book.cache_clear()
        monkeypatch.setattr(project, "cache_path", lambda: tmp_path / "of other sources")
        assert executed_by_the_book() == set()
    finally:
        executed_by_the_book.cache_clear()


def test_chapters_of_the_laboratory_name_the_pocket_tier(root):
    """So they run on the pocket models whatever SYNTHLIB_TIER names, the preflight's lines apart.

    It is read where no tier is named, in `tiers.get` alone.
    """
    readers = [
        path.relative_to(root).as_posix() for path in sorted((root / "synthlib").rglob("*.py"))
        if re.search(r"environ\W+(get\W+)?SYNTHLIB_TIER", path.read_text(encoding="utf-8"))
    ]  # fmt: skip
    assert readers == ["synthlib/tiers.py"]
    field = project.field_chapters()
    laboratory = [path for path in project.sources() if path not in field]
    laboratory = [path for path in laboratory if path.name[:2] != "17"]  # it speaks of all tiers
    laboratory += sorted((root / "synthlib" / "experiments").glob("ch0?.py"))
    laboratory += sorted((root / "synthlib" / "experiments").glob("ch1[012].py"))
    laboratory += [root / "synthlib" / "experiments" / "lab.py"]
    for folder in ("methods", "world"):
        laboratory += sorted((root / "synthlib" / folder).rglob("*.py"))
    named, runs = 0, 0
    for path in laboratory:
        text = path.read_text(encoding="utf-8")
        nodes = list(ast.walk(ast.parse(re.sub(r"^\s*[%!].*$", "", text, flags=re.M))))
        calls = [(node, ast.unparse(node.func)) for node in nodes if isinstance(node, ast.Call)]
        pocket = {
            ast.unparse(node.targets[0]) for node in nodes if isinstance(node, ast.Assign)
            and ast.unparse(node.value).startswith("dict(tier='pocket'")
        }  # fmt: skip
        for node, name in calls:
            if name == "tiers.get":
                assert ast.unparse(node) == "tiers.get('pocket')", path
                named += 1
            if re.fullmatch(r"\w+_run\.\w+", name):  # a run takes the variable for its default
                given = {ast.unparse(k.value) for k in node.keywords if k.arg in ("tier", None)}
                assert given & (pocket | {"'pocket'"}), f"{path}: {ast.unparse(node)}"
                runs += 1
        imported = [ast.unparse(node) for node in nodes if isinstance(node, IMPORT)]
        for said in imported:
            assert not re.search(r"synthlib(\.| import .*\b)options\b", said), path
            assert re.fullmatch(r"from synthlib\.runs import (\w+) as \1_run", said) or not (
                re.search(r"synthlib(\.| import .*\b)runs\b", said)
            ), path
    assert named > 20 and runs == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISED)
def test_student_notebook_runs_to_its_end(name, root, monkeypatch):
    """With nothing filled in, no cell raises and every check says "not done yet".

    Whole for the first chapter, for one that the book has not executed, and where a reader's
    function reaches other cells; else without what the book's execution has shown already.
    """
    from nbclient import NotebookClient

    # Chapters 00 to 12 run on the pocket models, whatever tier is named; the others name their own.
    monkeypatch.setenv("SYNTHLIB_TIER", "colab")
    complete, nb = committed(name), committed(name, student=True)
    if name != FIRST and name in executed_by_the_book() and not reached(complete, nb):
        nb = shortened(complete, nb)
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
    (progress,) = [c for c in nb.cells if c.source.startswith("checks.progress(")]
    (shown,) = progress.outputs
    assert shown["data"]["text/plain"].startswith(f"0 of {len(checks)} exercises passed")
