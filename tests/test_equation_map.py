"""The equation map of the book: every symbol, test and figure that it names exists."""

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "book" / "reference" / "equation_map.md"
KINDS = ("Foundations", "MultiCSR", "ART", "Ranking sentences", "Evaluation")


def read(page):
    """Rows of the page's tables: (section, [five cells])."""
    section, rows = None, []
    for line in page.splitlines():
        if line.startswith("## "):
            section = line[3:].strip()
        elif line.startswith("| ") and not line.startswith(("| equation", "| measure")):
            rows.append((section, [c.strip() for c in re.split(r"(?<!\\)\|", line)[1:-1]]))
    return rows


ROWS = read(PAGE.read_text("utf-8"))
IDS = [f"{section} {cells[0][:30]}" for section, cells in ROWS]


def resolve(name):
    """The object behind a dotted name, or None."""
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part, None)
            if found is None:
                return None
        return found
    return None


def test_the_names_on_the_page_of_notation_exist():
    page = (PAGE.parent / "notation.md").read_text("utf-8")
    names = set(re.findall(r"`((?:judging|evaluation|curation|losses|decoding)\.\w+)`", page))
    assert len(names) >= 6
    assert not {name for name in names if resolve(f"synthlib.{name}") is None}


def test_every_equation_of_the_papers_has_a_row():
    numbers = {"MultiCSR": 8, "ART": 5, "Ranking sentences": 8}
    assert list(dict.fromkeys(section for section, _ in ROWS)) == list(KINDS)
    for section, last in numbers.items():
        named = set()
        for where, cells in ROWS:
            if where != section:
                continue
            for first, word, second in re.findall(r"Eqs?\. (\d)(?:( to | and )(\d))?", cells[0]):
                low, high = int(first), int(second or first)
                named |= {low, high} if word == " and " else set(range(low, high + 1))
        assert named == set(range(1, last + 1)), section


@pytest.mark.parametrize("section,cells", ROWS, ids=IDS)
def test_a_row_names_what_exists(section, cells):
    assert len(cells) == 5, cells
    _, _, symbol, test, see = cells
    name = re.fullmatch(r"`(synthlib\.[\w.]+)`", symbol)
    assert name, f"the third cell names a symbol of synthlib, given {symbol!r}"
    found = resolve(name[1])
    assert found is not None, f"{name[1]} does not exist"
    if section != "Evaluation":  # the way back: from the function, or its module, to the source
        documentation = f"{found.__doc__}\n{sys.modules[found.__module__].__doc__}"
        assert re.search(r"\b[Ee]qs?\.|§|(19|20)\d\d", documentation), f"{name[1]} names no source"
    held = re.fullmatch(r"`(tests/\w+\.py)::(test_\w+)`", test)
    assert held, f"the fourth cell names a test, given {test!r}"
    defined = {
        node.name
        for node in ast.walk(ast.parse((ROOT / held[1]).read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert held[2] in defined, test
    assert name[1].rsplit(".", 1)[-1] in (ROOT / held[1]).read_text("utf-8"), (
        f"{held[1]} does not mention {name[1]}"
    )
    sources = [f.read_text("utf-8") for f in (ROOT / "book" / "chapters").glob("*.py")]
    figure = re.fullmatch(r"\{numref\}`(fig-[\w-]+)`", see)
    chapter = re.fullmatch(r"chapter \{ref\}`(\d+) <(ch-\d\d)>`", see)
    assert figure or chapter, f"the last cell leads to a figure or a chapter, given {see!r}"
    if figure:
        assert any(figure[1] in source for source in sources), f"no chapter draws {figure[1]}"
    else:
        own = [source for source in sources if f"# ({chapter[2]})=" in source]
        assert own and int(chapter[1]) == int(chapter[2][3:]), f"there is no chapter {see}"


GOOD = "`tests/test_losses.py::test_equals_the_loop`"


@pytest.mark.parametrize("row,fault", [
    (f"`synthlib.losses.no_such_loss` | {GOOD} | {{numref}}`fig-05-batch`", "does not exist"),
    (f"later (`synthlib.losses.info_nce`) | {GOOD} | later", "names a symbol"),
    ("`synthlib.losses.info_nce` | later | {numref}`fig-05-batch`", "names a test"),
    ("`synthlib.losses.info_nce` | `tests/test_losses.py::test_none` | {numref}`fig-05-batch`",
     "test_none"),
    (f"`synthlib.losses.info_nce` | {GOOD} | later", "leads to a figure or a chapter"),
    (f"`synthlib.losses.info_nce` | {GOOD} | {{numref}}`fig-99-none`",
     "no chapter draws fig-99-none"),
    (f"`synthlib.losses.info_nce` | {GOOD} | chapter {{ref}}`4 <ch-05>`", "no chapter"),
    (f"info_nce | {GOOD} | {{numref}}`fig-05-batch`", "names a symbol"),
])  # fmt: skip
def test_a_wrong_row_is_found(row, fault):
    ((section, cells),) = read(f"## MultiCSR\n| Eq. 1 | says | {row} |")
    with pytest.raises(AssertionError, match=fault):
        test_a_row_names_what_exists(section, cells)
