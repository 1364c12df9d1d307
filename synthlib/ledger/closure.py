"""What a measured number depends on: the definitions that a function reaches, as one fingerprint.

Read from the syntax trees of the package, without importing it. A *definition* is a function, a
class or an assignment at the top of a module. From the measuring function on, each name is
followed through imports to the definition that it stands for, and so on, until nothing new is
found. The definitions are numbered as they are met, and a name in one of them is written as the
number of what it stands for: the fingerprint therefore stays when a definition moves to another
file or takes another name, and changes with what it does.

Not counted: comments, formatting, docstrings, annotations of functions, all of a raised error but
its kind, and the insides of `OPAQUE` and `_NAMED`. Counted besides: code that a module runs when it
is imported, and all of a module that is handed on as a value. Not seen: a definition that is only
found through a decorator that registers it (this package has none but `ledger.measure`).

A tier counts by its values, where they come from does not: ``tiers.get("pocket").art.kl`` is a
number, ``tiers.get(name)`` all values of all tiers.

Own normal form and own scopes, because the standard library's differ between versions of Python
(``ast.dump`` from 3.12 to 3.13, ``symtable``'s comprehensions from 3.11 to 3.12).
"""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import runpy
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path

PACKAGE = "synthlib"
# What shows, checks or records a number cannot change it: named where used, and not followed.
OPAQUE = tuple(f"{PACKAGE}.{n}" for n in ("ledger", "viz", "checks", "commands", "__main__"))
# What a measuring function reads where it does not say.
_ALL_WEIGHTS = ast.Constant("data/pocket")
_MEASURE = "outside", f"{PACKAGE}.ledger.measure", ""
_TIER = "definition", f"{PACKAGE}.tiers", "get"
# Named, and not followed: what a run only writes down, and what finds a model's files (the weights
# count as data; that a name leads to its folder and its config.json is held by a test).
_NAMED = {
    ("definition", PACKAGE, "__version__"),
    ("definition", f"{PACKAGE}.models", "resolve"),
    ("definition", f"{PACKAGE}.models", "_locate"),
}

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_DEFINED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
# Fields that say nothing about behaviour, or that not every version of Python has.
_UNSEEN = {"ctx", "kind", "type_comment", "type_ignores", "returns", "annotation", "simple"}


class Package:
    """The modules of the package below a folder, parsed when they are first asked for.

    Parameters
    ----------
    root : path
        The folder that holds ``synthlib/``.
    data : path, optional
        The folder of data; default: ``data/`` beside it.
    """

    def __init__(self, root, data=None):
        self.root = Path(root)
        self.data = Path(data) if data else self.root / "data"
        self._modules: dict[str, _Module | None] = {}
        self._read: dict[tuple[str, str], tuple[str, list]] = {}

    def module(self, dotted: str) -> _Module | None:
        """A module by its dotted name, or None where there is no such file."""
        if dotted not in self._modules:
            path = self.root.joinpath(*dotted.split("."))
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            self._modules[dotted] = _Module(dotted, file) if file.is_file() else None
        return self._modules[dotted]

    def modules(self) -> Iterator[_Module]:
        """All modules that count, by name."""
        for file in sorted((self.root / PACKAGE).rglob("*.py")):
            parts = file.relative_to(self.root).with_suffix("").parts
            dotted = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if not dotted.startswith(OPAQUE) and "_data" not in parts:
                yield self.module(dotted)

    # -------------------------------------------------------------- names
    def find(self, dotted: str, name: str):
        """What a name at the top of a module stands for.

        Returns
        -------
        ``("definition", module, name)``, ``("module", module, "")``, ``("outside", dotted, "")``
        for another library or what is opaque, or None for a name of Python's own
        """
        if dotted.startswith(OPAQUE):
            return "outside", f"{dotted}.{name}", ""
        module = self.module(dotted)
        if module is None:
            return "outside", f"{dotted}.{name}", ""
        # A package that imports its own module: that module is found below.
        if name in module.imports and module.imports[name] != (dotted, name):
            return self.imported(*module.imports[name])
        if name in module.definitions:
            return "definition", dotted, name
        below = f"{dotted}.{name}"
        return ("module", below, "") if self.module(below) or below.startswith(OPAQUE) else None

    def imported(self, source: str, name: str):
        """What ``from source import name`` brings, or ``import source`` where name is empty."""
        if source.split(".")[0] != PACKAGE:
            return "outside", f"{source}.{name}" if name else source, ""
        if not name:
            return "module", source, ""
        return self.find(source, name) or ("outside", f"{source}.{name}", "")

    # -------------------------------------------------------------- fingerprints
    def reached(self, module: str, name: str) -> dict[tuple[str, str], tuple[str, list]]:
        """All definitions that one reaches, itself first: their normal form and their targets."""
        found: dict[tuple[str, str], tuple[str, list]] = {}
        self._follow([("definition", module, name)], found)
        while True:  # what their modules run when imported, and what that reaches in turn
            above = {m for where, _ in found for m in _and_above(where)}
            loose = [(m, "") for m in above if self.module(m).loose and (m, "") not in found]
            if not loose:
                return found
            # By what it says, not by its module's name: a module may move.
            loose.sort(key=lambda place: self._form(*place)[0])
            self._follow([("definition", *place) for place in loose], found)

    def _follow(self, queue: list[tuple], found: dict) -> None:
        whole = set()
        while queue:
            kind, where, what = queue.pop(0)
            if kind == "module" and where not in whole:  # handed on: whatever is in it may be used
                whole.add(where)
                queue += [("definition", where, each) for each in self._names(where)]
            elif kind == "definition" and (where, what) not in found:
                found[where, what] = self._form(where, what)
                queue += found[where, what][1]

    def _form(self, module: str, name: str) -> tuple[str, list]:
        """Normal form and targets of a definition; of a module's loose code for no name."""
        if (module, name) not in self._read:
            nodes = self.module(module).statements(name)
            self._read[module, name] = _NormalForm(self, module).of(nodes)
        return self._read[module, name]

    def _names(self, module: str) -> list[str]:
        return [] if module.startswith(OPAQUE) else list(self.module(module).definitions)

    def _numbered(self, found: dict) -> Iterator[str]:
        """Each definition's form with the numbers of what its names stand for."""
        numbers = {place: number for number, place in enumerate(found)}
        for form, targets in found.values():
            marks = [
                numbers[where, what] if kind == "definition" else self._names(where)
                for kind, where, what in targets
            ]
            yield f"{form}\0{marks}"

    @lru_cache(maxsize=512)  # noqa: B019  a package lives as long as the process
    def fingerprint(self, module: str, name: str, reads: tuple[str, ...] = ()) -> str:
        """Twelve hexadecimal digits of what a definition depends on, and of the data it reads.

        Parameters
        ----------
        module, name : str
        reads : tuple of str
            Files or folders of data, as ``"data/pocket/nli"``.

        Raises
        ------
        ValueError
            For a definition that is not there.
        """
        if not (self.module(module) and name in self.module(module).definitions):
            raise ValueError(f"{module} defines no {name!r}")
        code = self._numbered(self.reached(module, name))
        return _digest([*code, *map(self._data, sorted(reads))])

    @lru_cache(maxsize=64)  # noqa: B019
    def _data(self, name: str) -> str:
        place = self.data / Path(name).relative_to("data")
        files = sorted(f for f in (place, *place.rglob("*")) if f.is_file())
        if not files:  # weights may be missing where a ledger is only read
            return f"{name} is absent"
        return _digest(_contents(self.data, files))

    def whole(self) -> str:
        """The fingerprint of every source and of all weights, as a build of the book rests on."""
        sources = _contents(self.root, sorted((self.root / PACKAGE).rglob("*.py")))
        return _digest([*sources, self._data("data/pocket")])

    @cached_property
    def tiers(self) -> dict:
        """The tiers by name: their module stands alone, and is the one that is run, not read."""
        module = runpy.run_path(str(self.root / PACKAGE / "tiers.py"))
        return {name: module["get"](name) for name in module["NAMES"]}

    # -------------------------------------------------------------- measuring functions
    @cached_property
    def measures(self) -> dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
        """Module, function, claims and data of each claim's measuring function, by claim.

        Raises
        ------
        ValueError
            For a decorator whose claims or data are not written out.
        """
        found = {}
        for module in self.modules():
            for name, nodes in module.definitions.items():
                for call in getattr(nodes[-1], "decorator_list", ()):
                    if not _NormalForm(self, module.dotted).is_record(call):
                        continue
                    words = {k.arg: k.value for k in call.keywords}
                    claims = self._written_out(module, ast.Tuple(call.args))
                    reads = self._written_out(module, words.get("reads", _ALL_WEIGHTS))
                    found.update(dict.fromkeys(claims, (module.dotted, name, claims, reads)))
        return found

    def _written_out(self, module: _Module, node: ast.expr) -> tuple[str, ...]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return (node.value,)
        if isinstance(node, ast.Starred):
            return self._written_out(module, node.value)
        if isinstance(node, (ast.Tuple, ast.List)):
            return tuple(w for item in node.elts for w in self._written_out(module, item))
        target = _NormalForm(self, module.dotted).stands_for(node)
        if target and target[0] == "definition":
            (statement, *more) = self.module(target[1]).statements(target[2])
            if isinstance(statement, ast.Assign) and not more:
                return self._written_out(self.module(target[1]), statement.value)
        raise ValueError(
            f"{module.dotted}: what ledger.measure is given must be written out (strings, or names "
            f"of tuples of strings), got {ast.unparse(node)}"
        )

    def fingerprint_of(self, claim: str) -> str | None:
        """The present fingerprint of a claim's measuring function; None where there is none."""
        if claim not in self.measures:
            return None
        module, name, _, reads = self.measures[claim]
        return self.fingerprint(module, name, reads)


class _Module:
    """A module's imports, definitions and loose code."""

    def __init__(self, dotted: str, file: Path):
        self.dotted = dotted
        # Relative imports count from the package: the module's own name where it is one.
        self.package = dotted if file.name == "__init__.py" else dotted.rpartition(".")[0]
        self.imports: dict[str, tuple[str, str]] = {}
        self.definitions: dict[str, list[ast.stmt]] = {}
        self.loose: list[ast.stmt] = []
        for node in ast.parse(file.read_text("utf-8")).body:
            self._file_in(node)

    def statements(self, name: str) -> list[ast.stmt]:
        """The statements of a definition; of the loose code where the name is empty."""
        return self.definitions[name] if name else self.loose

    def _file_in(self, node: ast.stmt) -> None:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            self.imports.update(_imports(node, self.package))
        elif _says_nothing(node) or _is_skipped(node):
            pass
        elif isinstance(node, _DEFINED):
            self.definitions.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
            self._file_in(ast.Assign([node.target], node.value))
        elif isinstance(node, ast.Assign) and _pairs(node):
            for target, value in _pairs(node):  # A, B = 1, 2 is two definitions
                self.definitions.setdefault(target.id, []).append(ast.Assign([target], value))
        else:
            bound = _bound([node], self.package)
            for name, source in bound.items():
                if source:  # try: import …
                    self.imports[name] = source
                else:
                    self.definitions.setdefault(name, []).append(node)
            if not (bound and isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign))):
                self.loose.append(node)


class _NormalForm:
    """Writes statements as text in which each followed name is only a mark, with its targets."""

    def __init__(self, package: Package, module: str):
        self.package, self.module = package, module
        self.scopes: list[dict[str, tuple | None]] = []
        self.out: list[str] = []
        self.targets: list[tuple] = []

    def of(self, nodes: Sequence[ast.stmt]) -> tuple[str, list[tuple]]:
        for node in nodes:
            self.top = node
            self._write(node)
        return " ".join(self.out), self.targets

    # -------------------------------------------------------------- names
    def stands_for(self, node: ast.expr):
        """What a name or a chain of attributes stands for, as `Package.find` says it."""
        if isinstance(node, ast.Name):
            for scope in reversed(self.scopes):
                if node.id in scope:
                    bound = scope[node.id]
                    return bound and self.package.imported(*bound)
            return self.package.find(self.module, node.id)
        if isinstance(node, ast.Attribute):
            owner = self.stands_for(node.value)
            if owner and owner[0] == "outside":
                return "outside", f"{owner[1]}.{node.attr}", ""
            if owner and owner[0] == "module":
                return self.package.find(owner[1], node.attr)
        return None

    def _settings(self, node):
        """The value of ``tiers.get("pocket")`` or of a setting of it; None for all else."""
        if isinstance(node, ast.Call) and self.stands_for(node.func) == _TIER:
            match node.args, node.keywords:
                case [ast.Constant(str() as name)], []:
                    return self.package.tiers.get(name)
        elif isinstance(node, ast.Attribute):
            owner = self._settings(node.value)
            if dataclasses.is_dataclass(owner) and node.attr in vars(owner):
                return getattr(owner, node.attr)
        return None

    def _mark(self, target) -> None:
        if target[0] == "outside" or target in _NAMED:
            self.out.append(f"<{'.'.join(filter(None, target[1:]))}>")
            return
        if target == _TIER:
            self.out.append(repr(self.package.tiers))
            return
        self.out.append("<>")
        self.targets.append(target)
        if target[0] == "definition":
            # One statement may bind several names: which of them is meant has to be said.
            statement = self.package.module(target[1]).statements(target[2])[-1]
            if not (isinstance(statement, _DEFINED) or _single(statement)):
                self.out.append(target[2])

    # -------------------------------------------------------------- nodes
    def _write(self, node) -> None:
        if isinstance(node, (ast.Name, ast.Attribute)) and not self._is_attribute_of_class(node):
            target = self.stands_for(node)
            if target:
                return self._mark(target)
        if (value := self._settings(node)) is not None:
            return self.out.append(f"<{value!r}>")
        special = getattr(self, f"_{type(node).__name__}", None)
        if special:
            return special(node)
        if isinstance(node, _SCOPES):
            return self._function(node)
        if isinstance(node, _COMPREHENSIONS):
            return self._comprehension(node)
        self._plain(node)

    def _is_attribute_of_class(self, node) -> bool:
        """A name that a class' body binds, which is the class' own whatever the module has."""
        return isinstance(node.ctx, ast.Store) and self._in_class()

    def _in_class(self) -> bool:
        return isinstance(self.top, ast.ClassDef) and not self.scopes

    def _plain(self, node) -> None:
        """A node as its kind and its fields, in brackets."""
        self.out.append(f"({type(node).__name__}")
        for field, value in sorted(ast.iter_fields(node)):
            if field in _UNSEEN or value is None or value == []:
                continue
            self.out.append(f"{field}:")
            self._value(value)
        self.out.append(")")

    def _value(self, value) -> None:
        if isinstance(value, list):
            self.out.append("[")
            for item in value:
                if not (isinstance(item, ast.stmt) and _says_nothing(item)):
                    self._write(item) if isinstance(item, ast.AST) else self._value(item)
            self.out.append("]")
        elif isinstance(value, ast.AST):
            self._write(value)
        else:
            self.out.append(repr(value))

    def _Constant(self, node) -> None:
        self.out.append(f"{type(node.value).__name__} {node.value!r}")

    def _JoinedStr(self, node) -> None:
        """Neighbouring pieces of text as one: versions of Python cut them differently."""
        self.out.append("(f")
        for is_text, pieces in groupby(node.values, lambda v: isinstance(v, ast.Constant)):
            if not is_text:
                for piece in pieces:
                    self._plain(piece)
            elif text := "".join(piece.value for piece in pieces):
                self.out.append(repr(text))
        self.out.append(")")

    def _Raise(self, node) -> None:
        """A raised error by its kind: it carries words alone."""
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        self._plain(ast.Raise(error, None))

    def _Import(self, node) -> None:
        """Nothing: what it brings is followed where it is used."""

    _ImportFrom = _Import

    def _AnnAssign(self, node) -> None:
        """In a class the annotation makes a dataclass' field; elsewhere it says nothing."""
        self._plain(node)
        if self._in_class():
            self._write(node.annotation)

    def _Assign(self, node) -> None:
        """A definition's own name is no part of it."""
        if node is self.top and _single(node):
            self.out.append("(Assign")
            self._write(node.value)
            self.out.append(")")
        else:
            self._plain(node)

    def _ClassDef(self, node) -> None:
        self._named(node, lambda: self._value(node.body))

    def _named(self, node, body) -> None:
        own = "" if node is self.top else node.name
        self.out.append(f"({type(node).__name__} {own}")
        self._value([d for d in node.decorator_list if not self.is_record(d)])
        if isinstance(node, ast.ClassDef):
            self._value(node.bases)
            self._value(node.keywords)
        self._value(list(getattr(node, "type_params", ())))
        body()
        self.out.append(")")

    def is_record(self, decorator: ast.expr) -> bool:
        """Whether a decorator is ``ledger.measure``, which counts for nothing in a number."""
        return isinstance(decorator, ast.Call) and self.stands_for(decorator.func) == _MEASURE

    def _function(self, node) -> None:
        if isinstance(node, ast.Lambda):
            self.out.append("(Lambda")
            self._parameters(node)
            self.out.append(")")
        else:
            self._named(node, lambda: self._parameters(node))

    def _parameters(self, node) -> None:
        """Defaults in the scope around, then names and body in the function's own."""
        a = node.args
        self._value(a.defaults)
        self._value([d if d is not None else ast.Constant(...) for d in a.kw_defaults])
        groups = (a.posonlyargs, a.args, filter(None, [a.vararg]), a.kwonlyargs,
                  filter(None, [a.kwarg]))  # fmt: skip
        groups = [[argument.arg for argument in group] for group in groups]
        self.out.append(repr(groups))
        body = node.body if isinstance(node.body, list) else [node.body]
        own = _bound(body, self.package.module(self.module).package)
        own.update(dict.fromkeys(name for group in groups for name in group))
        self._within(own, lambda: self._value(body))

    def _comprehension(self, node) -> None:
        """The first iterable is read in the scope around, all else in the comprehension's own."""
        first = node.generators[0]
        self.out.append(f"({type(node).__name__}")
        self._write(first.iter)
        own = _bound([g.target for g in node.generators], "")

        def inside():
            for generator in node.generators:
                self._write(generator.target)
                if generator is not first:
                    self._write(generator.iter)
                self._value(generator.ifs)
                self._value(generator.is_async)
            for part in ("key", "value", "elt"):
                if hasattr(node, part):
                    self._write(getattr(node, part))

        self._within(own, inside)
        self.out.append(")")

    def _within(self, names, write) -> None:
        self.scopes.append(names)
        write()
        self.scopes.pop()


# ------------------------------------------------------------------ small readers of trees
def _bound(nodes: Iterable[ast.AST], package: str) -> dict[str, tuple | None]:
    """Names that statements bind in their own scope; with its source where it is an import."""
    found: dict[str, tuple | None] = {}
    elsewhere: set[str] = set()

    def visit(node, inner=False):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(_imports(node, package))
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            elsewhere.update(node.names)
        elif isinstance(node, _DEFINED):
            found.setdefault(node.name, None)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            if not inner:
                found.setdefault(node.id, None)
        elif isinstance(node, ast.NamedExpr):  # binds around a comprehension, too
            found.setdefault(node.target.id, None)
            visit(node.value, inner)
        elif not isinstance(node, ast.Lambda):
            for name in ("name", "rest"):  # except … as name, case name, case {**rest}
                if isinstance(getattr(node, name, None), str):
                    found.setdefault(getattr(node, name), None)
            for child in ast.iter_child_nodes(node):
                visit(child, inner or isinstance(node, _COMPREHENSIONS))

    for node in nodes:
        visit(node)
    return {name: source for name, source in found.items() if name not in elsewhere}


def _imports(node: ast.Import | ast.ImportFrom, package: str) -> dict[str, tuple[str, str]]:
    """Names that an import binds: each with its module, and the name in it or ""."""
    if isinstance(node, ast.Import):
        return {
            alias.asname or alias.name.split(".")[0]:
            (alias.name if alias.asname else alias.name.split(".")[0], "")
            for alias in node.names
        }  # fmt: skip
    source = node.module or ""
    if node.level:
        parts = package.split(".")
        source = ".".join([*parts[: len(parts) - node.level + 1], *filter(None, [node.module])])
    return {alias.asname or alias.name: (source, alias.name) for alias in node.names}


def _says_nothing(node: ast.stmt) -> bool:
    """A docstring or another bare constant, or ``pass``."""
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _is_skipped(node: ast.stmt) -> bool:
    """``if TYPE_CHECKING`` and ``if __name__ == "__main__"``: not run where one measures."""
    if not isinstance(node, ast.If):
        return False
    names = {n.id for n in ast.walk(node.test) if isinstance(n, ast.Name)}
    names |= {n.attr for n in ast.walk(node.test) if isinstance(n, ast.Attribute)}
    return bool(names & {"TYPE_CHECKING", "__name__"})


def _single(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Assign) and len(node.targets) == 1
        and isinstance(node.targets[0], ast.Name)
    )  # fmt: skip


def _pairs(node: ast.Assign) -> list[tuple[ast.Name, ast.expr]]:
    """Each name with its own value, where an assignment shows which is whose."""
    match node.targets, node.value:
        case [ast.Name() as name], value:
            return [(name, value)]
        case [ast.Tuple(names)], ast.Tuple(values) if len(names) == len(values):
            starred = any(isinstance(value, ast.Starred) for value in values)
            if not starred and all(isinstance(name, ast.Name) for name in names):
                return list(zip(names, values, strict=True))
    return []


def _and_above(dotted: str) -> Iterator[str]:
    parts = dotted.split(".")
    return (".".join(parts[:n]) for n in range(1, len(parts) + 1))


def _contents(root: Path, files: Iterable[Path]) -> list[str]:
    return [
        f"{file.relative_to(root).as_posix()} {hashlib.sha256(file.read_bytes()).hexdigest()}"
        for file in files
    ]


def _digest(parts: Iterable[str]) -> str:
    return hashlib.sha256("\0\0".join(parts).encode()).hexdigest()[:12]


@lru_cache(maxsize=1)
def here() -> Package:
    """This package, as it lies on disk."""
    from synthlib import paths

    return Package(Path(paths.__file__).parents[1], paths.DATA)


def present(claim: str) -> str | None:
    """The fingerprint that a measurement of a claim would have now; None without a function."""
    return here().fingerprint_of(claim)


def whole() -> str:
    """The fingerprint of all of the present package."""
    return here().whole()
