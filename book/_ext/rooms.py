"""The rooms of `synthlib`: which module lies in which, and who imports whom, read from the sources.

Nothing is imported: `Sources` reads the syntax trees, imports inside of functions too. The page of
the architecture draws what this finds, and `tests/test_architecture.py` holds it to its rules.
"""

import ast
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import project

PACKAGE = "synthlib"

#: Each room with what is in it, in words, and its modules (all below one that is named). A module
#: belongs to the longest name that fits: `world.report` measures the world, and builds nothing.
ROOMS = {
    "door": ("the commands, and preflight", [PACKAGE, "__main__", "figures"]),
    "viz": ("figures: data in, picture and living page out", ["viz"]),
    "grading": ("a class's notebooks, run and marked", ["grading"]),
    "checks": ("exercises, each against a reference; questions", ["checks", "questions"]),
    "experiments": ("what the chapters measure", ["experiments", "world.report"]),
    "runs": ("a whole method from the command line, and its report", ["runs", "reporting"]),
    "methods": ("the stages of each paper", ["methods"]),
    "evaluation": ("data sets and how encoders are examined", ["evaluation", "data"]),
    "field": ("judges of real language, and how far they are trusted", ["field"]),
    "ledger": ("claims, measurements, their age", ["ledger"]),
    "world": ("the pocket laboratory's language, truth and models", ["world"]),
    "kernels": (
        "the equations: decoding, scores, losses, PPO",
        "decoding judging curation rewards ppo losses training st_losses discriminator".split(),
    ),
    "models": (
        "loading, precision, vectors of sentences",
        "models weights encoder prompt_pooling trials evaluation.embedding endpoint "
        "spending".split(),
    ),
    "ground": (
        "what all stand on",
        "paths commands options tiers reading tokens memory windows chats prompts answers costs "
        "listing".split(),
    ),
}

#: What a triplet passes, from premise to evaluation: stage, and the function or class that does it.
ROAD = (
    ("read", "data.read_premises"),
    ("ask", "methods.multicsr.ask"),
    ("write", "methods.multicsr.write"),
    ("judge", "methods.multicsr.judge"),
    ("keep", "curation.Thresholds"),
    ("train", "methods.multicsr.train"),
    ("examine", "evaluation.sts.evaluate_sts"),
)


class Sources:
    """The package's modules, by their names without ``synthlib.``; the package itself has its own.

    Parameters
    ----------
    folder : path, optional
        Of the package; default this repository's.
    """

    def __init__(self, folder=None):
        self.folder = Path(folder or project.ROOT / PACKAGE)

    @cached_property
    def trees(self) -> dict[str, ast.Module]:
        """Syntax tree of each module."""
        found = {}
        for path in sorted(self.folder.rglob("*.py")):
            parts = path.relative_to(self.folder).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or PACKAGE
            found[name] = ast.parse(path.read_text(encoding="utf-8"))
        return found

    def _module(self, dotted: str) -> str | None:
        """The module of this package that a full dotted name is or lies in."""
        parts = dotted.split(".")
        if parts[0] != PACKAGE:
            return None
        for end in range(len(parts), 1, -1):
            if (name := ".".join(parts[1:end])) in self.trees:
                return name
        return PACKAGE

    def names(self, module: str) -> dict[str, str]:
        """Names that a module's imports bind, wherever they stand, with the module each is from.

        The package itself is left out: each import of a module of it runs it anyway, and its
        version is all that is taken from there.
        """
        package = (self.folder / Path(*module.split("."))).is_dir()
        above = [PACKAGE, *([] if module == PACKAGE else module.split("."))]
        above = above if package or module == PACKAGE else above[:-1]
        found = {}
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.Import):
                pairs = [(a.asname or a.name, a.name) for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                start = above[: len(above) - node.level + 1] if node.level else []
                base = ".".join([*start, *([node.module] if node.module else [])])
                pairs = [(a.asname or a.name, f"{base}.{a.name}") for a in node.names]
            else:
                continue
            for name, dotted in pairs:
                if (target := self._module(dotted)) not in (None, PACKAGE, module):
                    found[name] = target
        return found

    @cached_property
    def imports(self) -> dict[str, set[str]]:
        """The modules that each module imports."""
        return {module: set(self.names(module).values()) for module in self.trees}

    @cached_property
    def rooms(self) -> dict[str, set[str]]:
        """The other rooms from which each room imports."""
        found = {room: set() for room in ROOMS}
        for module, targets in self.imports.items():
            found[room_of(module)] |= {room_of(target) for target in targets}
        return {room: targets - {room} for room, targets in found.items()}

    def members(self, room: str) -> list[str]:
        """The modules of a room."""
        return [module for module in self.trees if room_of(module) == room]

    def helpers(self, address: str) -> list[str]:
        """Modules that a function or class names in its body, in the order of their names.

        Raises
        ------
        LookupError
            Where there is no such function.
        """
        module, _, name = address.rpartition(".")
        for node in self.trees.get(module, ast.Module([], [])).body:
            if getattr(node, "name", None) == name:
                used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
                return sorted({m for n, m in self.names(module).items() if n in used})
        raise LookupError(f"{PACKAGE} has no {address}: see rooms.ROAD")


def room_of(module: str) -> str:
    """The room in which a module lies.

    Raises
    ------
    LookupError
        For a module that no room holds.
    """
    fits = [
        (len(name), room)
        for room, (_, names) in ROOMS.items()
        for name in names
        if module == name or module.startswith(f"{name}.")
    ]
    if not fits:
        raise LookupError(f"{PACKAGE}.{module} lies in no room: give it one in rooms.ROOMS")
    return max(fits)[1]


def circles(graph: dict[str, Iterable[str]]) -> list[set[str]]:
    """The groups of names that reach one another, each of two or more."""
    reach = {}
    for start in graph:
        seen, todo = set(), [start]
        while todo:
            new = set(graph.get(todo.pop(), ())) - seen
            seen |= new
            todo += new
        reach[start] = seen
    groups = []
    for name in graph:
        group = {other for other in reach[name] if name in reach.get(other, ())} | {name}
        if len(group) > 1 and group not in groups:
            groups.append(group)
    return groups


def floors(graph: dict[str, set[str]]) -> list[list[str]]:
    """Names by floors from the top: each imports only from floors below its own.

    Raises
    ------
    ValueError
        For a graph with a circle; names it.
    """
    if round_ := circles(graph):
        raise ValueError(f"imports in a circle: {', '.join(sorted(round_[0]))}")
    height = {}

    def measure(name):
        if name not in height:
            height[name] = 1 + max(map(measure, graph[name]), default=-1)
        return height[name]

    top = max(map(measure, graph))
    return [[name for name in graph if height[name] == level] for level in range(top, -1, -1)]
