"""The rooms of the package: no circle, no import upwards, and a drawing that is true."""

import ast
import re

import pytest
import rooms

#: Who must not import from whom. `ppo` and the like are modules of the room of kernels.
KERNELS = "decoding losses rewards ppo judging curation prompts".split()
FORBIDDEN = {
    **dict.fromkeys(KERNELS, ("methods", "runs", "experiments", "checks", "viz")),
    "methods": ("runs", "experiments"),
    "viz": ("methods", "runs", "experiments", "checks"),
}
#: What the book's extension may take from the package.
EXTENSION = {"ledger", "prompts", "questions", "tiers", "viz", "weights"}


@pytest.fixture(scope="module")
def sources():
    return rooms.Sources()


def below(module, name):
    return module == name or module.startswith(f"{name}.")


def upward(sources):
    return {
        (module, target)
        for module, targets in sources.imports.items()
        for target in targets
        for low, high in FORBIDDEN.items()
        if below(module, low) and any(below(target, name) for name in high)
    }


def test_rooms_do_not_import_in_a_circle(sources):
    assert not rooms.circles(sources.rooms)


def test_modules_do_not_import_in_a_circle(sources):
    assert not rooms.circles(sources.imports)


def test_nothing_imports_what_stands_above_it(sources):
    assert not upward(sources)


def test_the_books_extension_takes_only_what_pages_show(root):
    taken = set()
    for path in (root / "book" / "_ext").glob("*.py"):
        text = path.read_text("utf-8")
        taken |= set(re.findall(r"^\s*from synthlib\.(\w+)", text, re.M))
        for names in re.findall(r"^\s*from synthlib import (.+)$", text, re.M):
            taken |= {name.strip() for name in names.split(",")}
    assert taken and taken <= EXTENSION, taken - EXTENSION


def test_every_module_has_a_room_and_every_room_a_module(sources):
    assert {rooms.room_of(module) for module in sources.trees} == set(rooms.ROOMS)
    with pytest.raises(LookupError, match="cellar lies in no room: give it one in rooms.ROOMS"):
        rooms.room_of("cellar")


def test_the_road_is_walked_by_the_run(sources):
    for _, address in rooms.ROAD:
        sources.helpers(address)
    modules = {address.rpartition(".")[0] for _, address in rooms.ROAD}
    modules = {"evaluation" if m.startswith("evaluation.") else m for m in modules}
    assert modules <= sources.imports["runs.multicsr"]
    assert sources.helpers("methods.multicsr.write") == ["answers", "decoding", "prompts"]
    with pytest.raises(LookupError, match="no methods.multicsr.fly"):
        sources.helpers("methods.multicsr.fly")


#: Begins with an underscore and is public: what every named tuple has.
NAMED_TUPLE = {"_asdict", "_field_defaults", "_fields", "_make", "_replace"}


def is_private(name):
    return name.startswith("_") and not name.startswith("__") and name not in NAMED_TUPLE


def private_names(text, ours):
    """Private names of other modules that a file names: imported, behind a dot, or as text.

    `ours`: whether a module, by its full name, counts; one that is relative does.
    """
    tree, known, found = ast.parse(text), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.level or ours(node.module)):
            found |= {f"{node.module}.{a.name}" for a in node.names if is_private(a.name)}
            known |= {a.asname or a.name for a in node.names}
        elif isinstance(node, ast.Import):
            known |= {a.asname or a.name.split(".")[0] for a in node.names if ours(a.name)}

    def is_known(node):
        while isinstance(node, ast.Attribute):
            node = node.value
        return isinstance(node, ast.Name) and node.id in known

    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and is_known(node.value):
            found.add(ast.unparse(node))
        elif isinstance(node, ast.Call) and node.args:  # setattr(module, "_name", …)
            owner, *rest = node.args
            name = rest[0].value if rest and isinstance(rest[0], ast.Constant) else None
            if isinstance(name, str) and is_private(name) and is_known(owner):
                found.add(f"{ast.unparse(owner)}.{name}")
            text = owner.value if isinstance(owner, ast.Constant) else None
            if isinstance(text, str) and ours(text) and any(map(is_private, text.split("."))):
                found.add(text)
    return found


def of_this_project(root):
    folders = ("book/_ext", "tests", "benchmarks")
    here = {path.stem for folder in folders for path in root.glob(f"{folder}/*.py")}
    return lambda name: name.split(".")[0] in here | {rooms.PACKAGE}


@pytest.mark.parametrize("folder", ["synthlib", "book/_ext", "book/chapters", "benchmarks"])
def test_no_private_name_of_another_module_is_used(root, folder):
    ours = of_this_project(root)
    files = sorted((root / folder).rglob("*.py"))
    assert files
    found = {path.name: private_names(path.read_text("utf-8"), ours) for path in files}
    assert not {name: names for name, names in found.items() if names}


#: What tests still name: where an interruption, a small shard or a damaged state is feigned, and
#: where what a step asks of a GPU is counted.
FEIGNED = {
    "art_run._SAVE_EVERY", "art_run._SAVE_TRAINING", "frame._shared_batch",
    "multicsr_run._SAVE_EVERY", "multicsr_run._Work", "ppo._State", "ppo._adapter",
    "ppo._gradients", "ppo._padded", "ppo._read", "ranking_run._SAVE_EVERY",
    "ranking_run._seed", "synthlib.ledger.measuring._add_seed", "training._Trainer",
}  # fmt: skip


def test_tests_name_public_things(root):
    ours = of_this_project(root)
    found = set()
    for path in sorted((root / "tests").glob("*.py")):
        if path.name != "test_architecture.py":
            found |= private_names(path.read_text("utf-8"), ours)
    assert found <= FEIGNED, found - FEIGNED


def test_private_names_are_found_in_every_form():
    text = """
import synthlib.data
import argparse, json as _json
from synthlib import losses, models as m
from synthlib.viz.figure import _write, Figure
from . import near
losses._contrast; m.deep._er; synthlib.data._MOST; near._by; argparse._Action; _json.dumps
Figure._fields; Figure._check; Figure.__doc__; losses.contrast; self._own
patch.setattr(losses, "_LOOKS", 1)
patch.setattr("synthlib.data._MOST_FILES", 20)
patch.setattr(losses, "LOOKS", 1)
"""
    assert private_names(text, lambda name: name.startswith("synthlib")) == {
        "synthlib.viz.figure._write", "losses._contrast", "m.deep._er", "synthlib.data._MOST",
        "near._by", "Figure._check", "losses._LOOKS", "synthlib.data._MOST_FILES",
    }  # fmt: skip


@pytest.fixture
def small(tmp_path):
    """A package with every form of import: in a function, relative, of a name, of the root."""
    files = {
        "__init__.py": "__version__ = '1'\n",
        "paths.py": "import json\n",
        "decoding.py": "from synthlib import __version__, paths\n",
        "runs/__init__.py": "from . import frame\n",
        "runs/frame.py": "def f():\n    from synthlib.methods.art import go as g\n    g()\n",
        "methods/__init__.py": "",
        "methods/art.py": "import synthlib.decoding as d\nfrom ..runs import frame\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return rooms.Sources(tmp_path)


def test_imports_are_read_in_every_form(small):
    assert small.imports == {
        "synthlib": set(),
        "paths": set(),
        "decoding": {"paths"},
        "runs": {"runs.frame"},
        "runs.frame": {"methods.art"},
        "methods": set(),
        "methods.art": {"decoding", "runs.frame"},
    }
    assert small.helpers("runs.frame.f") == ["methods.art"]


def test_a_circle_and_an_upward_import_are_found(small):
    assert rooms.circles(small.rooms) == [{"runs", "methods"}]
    assert upward(small) == {("methods.art", "runs.frame")}
    with pytest.raises(ValueError, match="imports in a circle: methods, runs"):
        rooms.floors(small.rooms)


def test_floors_stand_on_one_another():
    graph = {"a": {"b", "d"}, "b": {"c"}, "c": set(), "d": {"c"}}
    assert rooms.floors(graph) == [["a"], ["b", "d"], ["c"]]
