"""The rooms of the package: no circle, no import upwards, and a drawing that is true."""

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
EXTENSION = {"ledger", "prompts", "tiers", "viz"}


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
    assert sources.helpers("methods.multicsr.write") == ["decoding"]
    with pytest.raises(LookupError, match="no methods.multicsr.fly"):
        sources.helpers("methods.multicsr.fly")


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
