"""Notebooks from the chapters' sources, deterministically.

`book/chapters/NN_name.py` (py:percent) is the single source. It gives

- `notebooks/NN_name.ipynb`, complete: solutions in folded cells; the book is built from these;
- `notebooks/student/NN_name.ipynb`: each solution replaced by a stub that says what to do.

An appendix, `ANN_name.py`, is treated like a chapter; it has no exercises, so both are the same.

The prose of both is plain Markdown, because notebook front ends do not know the book's directives.
A page has the directives: `book_site` reads the complete notebook with the prose as its source has
it. Its code cells are the same, so the page shows what the notebook's run left.

    python book/_ext/editions.py            write all notebooks
    python book/_ext/editions.py --check    fail when a notebook is not what its source gives
"""

import argparse
import hashlib
import json
import re
import sys
from pathlib import Path

import jupytext
import nbformat
import project
from plain_markdown import to_plain

BEGIN = re.compile(r"^(?P<indent>[ \t]*)### BEGIN SOLUTION(?::[ \t]*(?P<todo>.*?))?[ \t]*$")
END = re.compile(r"^[ \t]*### END SOLUTION[ \t]*$")
PREFLIGHT = re.compile(r"^\s*synthlib\.preflight\((?:TIER)?\)\s*$", re.M)
#: The cell that chooses a tier: in Colab its last words make a form of it.
TIER = re.compile(r'^TIER = "\w+"  #@param \[.*\]\s*$')
ADDRESS = re.compile(r'REPOSITORY = \\"(?P<address>[^"\\]*)\\"')

BOOTSTRAP = """\
# Colab only: install synthlib where it is missing or older than this notebook, and take off a
# torchao that peft refuses. Colab's torch, numpy and transformers stay. A no-op elsewhere.
import sys

if "google.colab" in sys.modules:
    import subprocess
    from importlib import metadata

    from packaging.version import Version

    REPOSITORY = "{repository}"

    def installed(name):
        try:
            return Version(metadata.version(name))
        except metadata.PackageNotFoundError:
            return None

    def run_pip(*arguments):
        subprocess.run([sys.executable, "-m", "pip", *arguments], check=True)

    if (installed("synthlib") or Version("0")) < Version("{version}"):
        if REPOSITORY:
            run_pip("install", "-q", "-U", "synthlib @ git+" + REPOSITORY)
        else:
            print("synthlib is missing: upload its wheel, %pip install it, run this cell again.")
    if (installed("torchao") or Version("{torchao}")) < Version("{torchao}"):
        run_pip("uninstall", "-q", "-y", "torchao")
"""

#: From here on peft (0.20) takes torchao; it looks for it with every adapter, and needs it for none
#: of ours. Colab has 0.10.
TORCHAO = "0.16"

PREFLIGHT_CELL = """\
import synthlib

synthlib.preflight()
"""

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def solution_regions(source, where):
    """Split a cell into plain lines and solution regions.

    Returns
    -------
    list of (lines, indent, todo)
        `indent` and `todo` are None for plain lines.
    """
    parts, lines, opened = [], [], None
    for line in source.split("\n"):
        begin = BEGIN.match(line)
        if begin and opened is not None:
            raise ValueError(f"{where}: a solution region begins inside another")
        if begin:
            if not begin["todo"]:
                raise ValueError(f"{where}: '### BEGIN SOLUTION: ' must say in one line what to do")
            if not begin["indent"]:
                raise ValueError(f"{where}: a solution region must lie inside a function")
            parts.append((lines, None, None))
            lines, opened = [], begin
        elif END.match(line):
            if opened is None:
                raise ValueError(f"{where}: '### END SOLUTION' without a beginning")
            parts.append((lines, opened["indent"], opened["todo"]))
            lines, opened = [], None
        else:
            lines.append(line)
    if opened is not None:
        raise ValueError(f"{where}: a solution region has no '### END SOLUTION'")
    return [*parts, (lines, None, None)]


def complete(source, where):
    """The cell with its solution, markers stripped."""
    return "\n".join(line for lines, _, _ in solution_regions(source, where) for line in lines)


def stub(source, where):
    """The cell with each solution region replaced by a line that says what to do."""
    out = []
    for lines, indent, todo in solution_regions(source, where):
        if todo is None:
            out += lines
        else:
            message = json.dumps(f"not done yet: {todo}", ensure_ascii=False)
            out.append(f"{indent}raise NotImplementedError({message})")
    return "\n".join(out)


def cell_ids(stem, sources):
    """An id for each cell that stays when other cells are edited, added or moved."""
    seen, ids = {}, []
    for kind, source in sources:
        key = hashlib.sha256(f"{stem}\0{kind}\0{source}".encode()).hexdigest()[:12]
        seen[key] = seen.get(key, 0) + 1
        ids.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return ids


def with_bootstrap(cells, version, repository):
    """Put the opening code cells before the first code cell, in place of the source's preflight.

    A cell that chooses a tier, before the source's preflight or right behind it, comes first, and
    the preflight is then of that tier.
    """
    first = next((i for i, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
    chosen = [cell for cell in cells[first : first + 2] if TIER.match(cell.source)]
    rest = [cell for cell in cells[first:] if cell not in chosen]
    if rest and PREFLIGHT.search(rest[0].source):
        kept = re.sub(
            r"^import synthlib\s*$", "", PREFLIGHT.sub("", rest[0].source), flags=re.M
        ).strip()
        rest = rest[1:] if not kept else [rest[0].copy(), *rest[1:]]
        if kept:
            rest[0].source = kept
    opening = [
        nbformat.v4.new_code_cell(
            BOOTSTRAP.format(repository=repository, version=version, torchao=TORCHAO).strip(),
            id="bootstrap",
            metadata={"tags": ["remove-cell"]},
        ),
        nbformat.v4.new_code_cell(PREFLIGHT_CELL.strip(), id="preflight"),
    ]
    if chosen:
        opening[1].source = opening[1].source.replace("preflight()", "preflight(TIER)")
        opening.insert(1, chosen[0])
    return [*cells[:first], *opening, *rest]


def notebook(path, *, student=False, page=False, repository=None):
    """One edition of a chapter.

    Parameters
    ----------
    path : Path
        Source of the chapter (py:percent).
    student : bool
        Stubs instead of solutions.
    page : bool
        The prose as the source has it, with the book's directives, instead of plain Markdown.
    repository : str, optional
        Address that the first cell installs from and links lead to; by default the project's.

    Returns
    -------
    nbformat.NotebookNode

    Raises
    ------
    ValueError
        A solution region is not closed, nested, outside a function, or does not say what to do; or
        its cell is not tagged "solution".
    """
    known, branch = project.repository()
    repository = known if repository is None else repository
    folder = "notebooks/student" if student else "notebooks"

    def address(target):
        """Where a page is to be read: its notebook or its text in the repository."""
        if not repository or target == f"notebooks/{path.stem}":
            return None
        chapter = target.startswith("notebooks/")
        name = f"{folder}/{target.partition('/')[2]}.ipynb" if chapter else f"{target}.md"
        return f"{repository}/blob/{branch}/{name}"

    source = jupytext.read(path, fmt="py:percent")
    ids = cell_ids(path.stem, [(c.cell_type, c.source) for c in source.cells])
    cells = []
    for number, (cell, identifier) in enumerate(zip(source.cells, ids, strict=True), start=1):
        where = f"{path.name}, cell {number}"
        tags = list(cell.metadata.get("tags", []))
        if cell.cell_type != "code":
            text = cell.source
            if not page:
                text = to_plain(text, address=address, up="../" if student else "")
            cells.append(nbformat.v4.new_markdown_cell(text, id=identifier))
            continue
        has_region = "### BEGIN SOLUTION" in cell.source
        if has_region != ("solution" in tags):
            raise ValueError(f'{where}: a solution region and the tag "solution" belong together')
        text = cell.source
        if has_region:
            text = stub(text, where) if student else complete(text, where)
            if not student and "hide-input" not in tags:
                tags.append("hide-input")
            if student:
                tags = [tag for tag in tags if tag != "hide-input"]
        new = nbformat.v4.new_code_cell(text, id=identifier)
        if tags:
            new.metadata["tags"] = tags
        display = dict(cell.metadata.get("mystnb", {}))
        if "hide-input" in tags:
            what = "solution" if has_region else "code"
            display |= {
                f"code_prompt_{verb}": f"{verb.title()} the {what}" for verb in ("show", "hide")
            }
        if display and not student:
            new.metadata["mystnb"] = display
        cells.append(new)
    cells = with_bootstrap(cells, project.version(), repository)
    result = nbformat.v4.new_notebook(cells=cells, metadata=METADATA)
    result.nbformat_minor = 5
    nbformat.validate(result)
    return result


def text_of(nb):
    """A notebook as the text of its file."""
    return nbformat.writes(nb).rstrip("\n") + "\n"


def editions():
    """Every notebook's path and text, from the sources as they are now."""
    for path in project.sources():
        yield project.NOTEBOOKS / f"{path.stem}.ipynb", text_of(notebook(path))
        yield (
            project.NOTEBOOKS / "student" / f"{path.stem}.ipynb",
            text_of(notebook(path, student=True)),
        )


def without_address(text):
    """A notebook's text as it were if no public address was known."""
    found = ADDRESS.search(text)
    if found and found["address"]:
        links = rf"\[([^\]\[]*)\]\({re.escape(found['address'])}/blob/[^)\s]*\)"
        text = re.sub(links, r"\1", text)
    return ADDRESS.sub("", text)


def differences():
    """What is wrong with the notebooks on disk, one line each; the address may differ."""
    wanted, wrong = dict(editions()), []
    for path, text in wanted.items():
        name = path.relative_to(project.ROOT)
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif without_address(path.read_text(encoding="utf-8")) != without_address(text):
            wrong.append(f"{name} is not what its source gives")
    for path in sorted(project.NOTEBOOKS.rglob("*.ipynb")):
        if path not in wanted and ".ipynb_checkpoints" not in path.parts:
            wrong.append(f"{path.relative_to(project.ROOT)} has no source in book/chapters")
    return wrong


def write():
    """Write notebooks that changed, remove those without a source; returns the changed paths."""
    wanted, changed = dict(editions()), []
    for path, text in wanted.items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_suffix(".tmp")
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(path)
            changed.append(path)
    for path in sorted(project.NOTEBOOKS.rglob("*.ipynb")):
        if path not in wanted and ".ipynb_checkpoints" not in path.parts:
            path.unlink()
            changed.append(path)
    return changed


def main(argv=None):
    """Command line."""
    parser = argparse.ArgumentParser(description="Generate the notebooks from book/chapters.")
    parser.add_argument("--check", action="store_true", help="only compare; exit 1 on a difference")
    arguments = parser.parse_args(argv)
    if arguments.check:
        wrong = differences()
        print("\n".join(wrong) if wrong else "notebooks are what their sources give")
        if wrong:
            print("run `make notebooks` and commit the result")
        return 1 if wrong else 0
    for path in write():
        print("wrote" if path.is_file() else "removed", Path(path).relative_to(project.ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
