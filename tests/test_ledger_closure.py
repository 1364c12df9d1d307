"""What a measurement depends on: the fingerprint's definitions, forms and versions of Python."""

import ast
import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

from synthlib import paths
from synthlib.ledger import closure

FILES = {
    "__init__.py": "",
    "kernels.py": '''
"""Kernels."""
import math
from functools import lru_cache

TAU, SIGMA = 0.05, 0.9
TABLE = {"a": 1}
TABLE["b"] = 2


def first(x):
    """Doubled."""
    return 2 * x


def second(x):
    return x + TAU


@lru_cache(maxsize=2)
def loss(x, y=3):
    # the two, one after the other
    if x is None:
        raise ValueError(f"x must be a number, got {x!r}")
    return first(second(math.exp(x))) + y


class Model:
    """A class counts as a whole."""

    size: int = 4

    def forward(self, x):
        return [value for value in range(self.size) if value > x]


def unrelated():
    return 0
''',
    "methods/__init__.py": "from .paper import stage\n",
    "methods/paper.py": '''
from __future__ import annotations

from .. import kernels


def stage(rows, unrelated=None):
    model = kernels.Model()
    return [kernels.loss(row) for row in rows if model.forward(row)] + [unrelated]
''',
    "experiment.py": '''
from synthlib import ledger
from synthlib.methods import stage

ROWS = (1, 2, 3)


@ledger.measure("a-claim", "b-claim", reads=("data/weights",))
def measure(seed):
    from synthlib.kernels import TABLE

    found = stage(ROWS)
    ledger.keep_rows("03-rows", seed, found)
    return sum(found) + TABLE["a"]
''',
}  # fmt: skip
WHERE = "synthlib.experiment", "measure"


@pytest.fixture
def make(tmp_path):
    """A package of these files, changed by (file, old text, new text)."""

    def made(*changes, name="changed", files=FILES):
        texts = dict(files)
        for file, old, new in changes:
            assert old in texts[file], f"{file} has no {old!r}"
            texts[file] = texts[file].replace(old, new)
        root = tmp_path / name
        shutil.rmtree(root, ignore_errors=True)
        for file, text in texts.items():
            path = root / "synthlib" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        (root / "data" / "weights").mkdir(parents=True)
        (root / "data" / "weights" / "model.bin").write_bytes(b"\x00\x01")
        return closure.Package(root)

    return made


@pytest.fixture
def unchanged(make):
    return make(name="unchanged").fingerprint_of("a-claim")


SAME = {
    "a comment": ("kernels.py", "# the two, one after the other", "# otherwise said"),
    "a docstring": ("kernels.py", '"""Doubled."""', '"""Twice as much."""'),
    "no docstring": ("kernels.py", '    """Doubled."""\n', ""),
    "a docstring of a class": ("kernels.py", "counts as a whole", "counts"),
    "formatting": ("kernels.py", "return 2 * x", "return (2 *\n        x)"),
    "quotes": ("kernels.py", '{"a": 1}', "{'a': 1}"),
    "annotations": ("kernels.py", "def first(x):", "def first(x: float) -> float:"),
    "an error's words": ("kernels.py", "x must be a number, got", "not a number:"),
    "what is not reached": ("kernels.py", "return 0", "return 1"),
    "an unread constant": ("kernels.py", "SIGMA = 0.05, 0.9", "SIGMA = 0.05, 0.8"),
    "another definition": ("kernels.py", "def unrelated", "def more(): pass\n\n\ndef unrelated"),
    "an import by another name": (
        "experiment.py", "from synthlib.methods import stage", "import synthlib.methods.paper as p",
    ),
    "claims of the decorator": ("experiment.py", '"a-claim", "b-claim"', '"b-claim", "a-claim"'),
}  # fmt: skip


@pytest.mark.parametrize("what", SAME)
def test_what_says_nothing_about_behaviour_changes_nothing(make, unchanged, what):
    changes = [SAME[what]]
    if what == "an import by another name":
        changes.append(("experiment.py", "= stage(ROWS)", "= p.stage(ROWS)"))
    assert make(*changes).fingerprint_of("a-claim") == unchanged


CHANGED = {
    "the function": ("experiment.py", "sum(found)", "max(found)"),
    "a constant": ("experiment.py", "(1, 2, 3)", "(1, 2, 4)"),
    "a function two modules on": ("kernels.py", "return 2 * x", "return 3 * x"),
    "one name of a pair": ("kernels.py", "SIGMA = 0.05, 0.9", "SIGMA = 0.07, 0.9"),
    "a default": ("kernels.py", "y=3", "y=4"),
    "a decorator": ("kernels.py", "maxsize=2", "maxsize=3"),
    "a method": ("kernels.py", "value > x", "value >= x"),
    "a field": ("kernels.py", "size: int = 4", "size: int = 5"),
    "code that runs at import": ("kernels.py", 'TABLE["b"] = 2', 'TABLE["b"] = 3'),
    "a table that a function imports": ("kernels.py", '{"a": 1}', '{"a": 2}'),
    "another library's function": ("kernels.py", "math.exp", "math.expm1"),
    "which library": ("kernels.py", "import math", "import cmath as math"),
    "the order of two calls": ("kernels.py", "first(second(", "second(first("),
    "the kind of an error": ("kernels.py", "ValueError", "TypeError"),
    "a name that is now the module's": ("methods/paper.py", "rows, unrelated=None", "rows"),
    "a parameter's kind": ("methods/paper.py", "rows, unrelated=None", "rows, *unrelated"),
    "the other name of a pair": ("kernels.py", "x + TAU", "x + SIGMA"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGED)
def test_what_can_change_a_number_changes_the_fingerprint(make, unchanged, what):
    changes = [CHANGED[what]]
    if what == "a name that is now the module's":  # the same name, and now another thing
        changes.append(("methods/paper.py", "from .. import kernels", "from .. import kernels\n"
                        "from ..kernels import unrelated"))  # fmt: skip
    assert make(*changes).fingerprint_of("a-claim") != unchanged


def test_moved_and_renamed_definitions_are_the_same(make, unchanged):
    """loss, first and TAU in a file of their own, under other names; the class stays."""
    text = FILES["kernels.py"]
    cut = text.index("@lru_cache"), text.index("class Model")
    loss = text[slice(*cut)].replace("second", "kernels.second").replace("first(", "twice(")
    first = text[text.index("def first") : text.index("def second")].replace("first", "twice")
    moved = {
        **FILES,
        "kernels.py": (text[: cut[0]] + text[cut[1] :]).replace(
            first.replace("twice", "first"), ""
        ),
        "deep/__init__.py": "",
        "deep/losses.py": "import math as m\nfrom functools import lru_cache as kept\n\n"
        "from synthlib import kernels\n\n\n" + first
        + loss.replace("lru_cache", "kept").replace("math.", "m."),
        "methods/paper.py": FILES["methods/paper.py"].replace(
            "from .. import kernels",
            "from ..deep.losses import loss as of_row\nfrom .. import kernels",
        ).replace("kernels.loss", "of_row"),
    }  # fmt: skip
    assert "def first" not in moved["kernels.py"] and "def loss" not in moved["kernels.py"]
    assert make(files=moved).fingerprint_of("a-claim") == unchanged


def test_a_moved_module_is_the_same(make, unchanged):
    moved = {
        file.replace("methods/", "stages/"): text.replace("synthlib.methods", "synthlib.stages")
        for file, text in FILES.items()
    }
    assert make(files=moved).fingerprint_of("a-claim") == unchanged


def test_data_that_are_read_count(make, unchanged):
    package = make()
    (package.data / "weights" / "model.bin").write_bytes(b"\x00\x02")
    assert package.fingerprint_of("a-claim") != unchanged
    package = make(("experiment.py", "data/weights", "data/nowhere"))
    assert package.fingerprint_of("a-claim") not in (None, unchanged)


def test_all_that_measurements_say_they_read_is_there(root):
    for claim, (*_, reads) in closure.Package(root).measures.items():
        assert all((root / name).exists() for name in reads), claim


def test_two_names_of_equal_value_are_told_apart(make):
    """A, B = 1, 1: a function that turns from A to B has changed."""
    pair = {"__init__.py": "", "e.py": "A, B = f()\n\n\ndef measure():\n    return A\n"}
    both = [
        make(name=name, files={**pair, "e.py": pair["e.py"].replace("return A", f"return {name}")})
        for name in "AB"
    ]
    a, b = (package.fingerprint("synthlib.e", "measure") for package in both)
    assert a != b


def test_a_module_handed_on_counts_as_a_whole(make):
    lookup = ("experiment.py", "found = stage(ROWS)", "found = getattr(kernels, NAME)(ROWS)")
    imports = ("experiment.py", "import ledger", "import kernels, ledger")
    before = make(lookup, imports).fingerprint(*WHERE)
    after = make(lookup, imports, ("kernels.py", "return 0", "return 1"))
    assert after.fingerprint(*WHERE) != before


def test_an_import_that_may_fail_is_followed(make):
    tried = ("methods/paper.py", "from .. import kernels", "try:\n    from .. import kernels\n"
             "except ImportError:\n    kernels = None")  # fmt: skip
    before = make(tried).fingerprint_of("a-claim")
    assert make(tried, CHANGED["a method"]).fingerprint_of("a-claim") != before


def test_what_is_measured_must_be_written_out(make):
    package = make(("experiment.py", '"a-claim", "b-claim"', "*(c for c in ROWS)"))
    with pytest.raises(ValueError, match=r"synthlib\.experiment: what ledger\.measure is given"):
        package.fingerprint_of("a-claim")
    tuples = make(("experiment.py", '"a-claim", "b-claim"', "*CLAIMS"),
                  ("experiment.py", "ROWS =", 'CLAIMS = "a-claim", "c-claim"\nROWS ='))  # fmt: skip
    assert set(tuples.measures) == {"a-claim", "c-claim"}
    assert tuples.fingerprint_of("d-claim") is None


# ------------------------------------------------------------------ versions of Python
SYNTAX = '''
import numpy as np
WIDTH = 3


def measure(seed, /, *rest, key=None, **more):
    """Every kind of syntax whose tree differs, or might, between versions."""
    text = f"{seed!r:>{WIDTH}} and {seed=}" "joined" f"{'inner'}{{}}" u"u"
    nested = [[a for a in b if (c := a)] for b in rest for d in b]
    by = {k: v for k, v in more.items()} | {**more, "x": ...}
    match key:
        case {"a": [1, *others], **left} if others:
            return left
        case np.ndarray(shape=(n, _)) | (str() as n):
            return n, -1.5e-07, 1_000, 2j, 0x10
    with open(seed) as a, open(key) as b:
        global WIDTH
        WIDTH += 1
    try:
        return (lambda x=WIDTH, *y: (x, *y))(text)
    except* ValueError as error:
        del error
    async def inner(): return [x async for x in nested if await x]
    return text[1:2, ..., ::-1], by, c, inner, not seed if seed else yes @ no // 1
'''
GOLDEN = "1a5c9510b3ed"


def test_the_fingerprint_is_the_same_in_every_version_of_python(make):
    """A digest that was computed once, by 3.11, 3.12 and 3.13 alike."""
    package = make(files={"__init__.py": "", "e.py": SYNTAX})
    assert package.fingerprint("synthlib.e", "measure") == GOLDEN


def _others():
    found = [shutil.which(f"python3.{minor}") for minor in (11, 12, 13)]
    found += map(str, Path.home().glob(".pyenv/versions/3.1[123].*/bin/python"))
    return sorted({path for path in found if path and "shims" not in path})


@pytest.mark.skipif(not _others(), reason="no other Python here")
def test_this_packages_fingerprints_are_the_same_in_other_pythons(root):
    """The reader needs the standard library alone, so that any Python can be asked."""
    code = (
        "import importlib.util, json, sys\n"
        f"spec = importlib.util.spec_from_file_location('closure', {closure.__file__!r})\n"
        "module = importlib.util.module_from_spec(spec)\n"
        "sys.modules['closure'] = module\n"
        "spec.loader.exec_module(module)\n"
        f"package = module.Package({str(root)!r})\n"
        "print(json.dumps({c: package.fingerprint_of(c) for c in package.measures}))\n"
    )
    here = closure.Package(root)
    ours = {claim: here.fingerprint_of(claim) for claim in here.measures}
    ran = 0
    for python in _others():
        version = subprocess.run(
            [python, "-c", "import sys; print(sys.version_info[:2] >= (3, 11))"],
            capture_output=True, text=True,
        )  # fmt: skip
        if version.stdout.strip() != "True":  # a shim, or a Python that does not start
            continue
        found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
        assert json.loads(found.stdout) == ours, python
        ran += 1
    assert ran


# ------------------------------------------------------------------ this package
def _called(function, *arguments):
    """Top-level definitions of the package that really run, seen by the interpreter itself."""
    package, seen = str(Path(closure.__file__).parents[1]), set()

    def note(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(package):
            name = code.co_qualname.split(".")[0]
            if not name.startswith("<"):
                file = Path(code.co_filename).relative_to(Path(package).parent).with_suffix("")
                parts = file.parts[:-1] if file.name == "__init__" else file.parts
                seen.add((".".join(parts), name))

    sys.setprofile(note)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return {(m, n) for m, n in seen if not m.startswith(closure.OPAQUE)}


# What finds a model's files, which the contract of `models.resolve` stands for.
FINDING = {
    ("synthlib.models", name)
    for name in (
        "resolve", "_pocket_folder", "_check_folder", "_read_json", "weight_files", "_header",
        "number_count", "_body", "_modules", "quiet", "_one_line", "_locate", "is_adapter",
    )
}  # fmt: skip


def test_a_models_name_leads_to_its_folder_and_nothing_else(tmp_path):
    """Which is why figures need not rest on how a folder is found and looked through."""
    from synthlib import models

    for name in models.POCKET_MODELS:
        folder = paths.POCKET / name.removeprefix("pocket/")
        config = json.loads((folder / "config.json").read_text("utf-8"))
        assert models.resolve(name, "cpu", None) == (folder, config)
        copy = tmp_path / name.replace("/", "-")
        shutil.copytree(folder, copy)
        for given in (copy, str(copy)):
            assert models.resolve(given, "cpu", None) == (copy, config)


def test_what_runs_is_what_is_reached(monkeypatch):
    """An independent witness: no definition runs that the syntax trees did not show."""
    from synthlib.experiments import ch08
    from synthlib.world import report

    monkeypatch.setattr(report, "LABELLED", 40)
    monkeypatch.setattr(report, "PREMISES", 4)
    monkeypatch.setattr(report, "JUDGED", 20)
    here, shown = closure.Package(Path(closure.__file__).parents[2], paths.DATA), 0
    for module, name in [
        (report, "measure_nli"), (report, "measure_t5"), (report, "measure_judge"),
        (ch08, "one_model"),
    ]:  # fmt: skip
        # caches that an earlier test has filled would hide what they hold; tiers count by value
        ran = _called(getattr(module, name), 0)
        reached = set(here.reached(module.__name__, name))
        others = {("synthlib", "__getattr__"), ("synthlib.tiers", "get")}
        others |= FINDING
        assert ran - reached - others == set(), name
        shown += len(ran)
    assert shown > 60, "the witness has seen next to nothing"


def test_every_measuring_function_is_found_without_importing_it(root):
    """In a process of its own, since a module registers when it is first imported."""
    code = "from synthlib.ledger import measuring; measuring.import_measures(); import json; "
    code += "print(json.dumps({c: m.name for c, m in measuring.REGISTRY.items()}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = closure.Package(root).measures
    assert json.loads(ran.stdout) == {c: f"{m}.{f}" for c, (m, f, *_) in found.items()}


@pytest.fixture(scope="module")
def older_by(root, tmp_path_factory):
    """The claims that an edit of this package makes older: (file, old text, new text)."""
    copy = tmp_path_factory.mktemp("package")
    shutil.copytree(root / "synthlib", copy / "synthlib")
    package = closure.Package(root)
    before = {claim: package.fingerprint_of(claim) for claim in package.measures}

    def older(name, old, new):
        file = copy / "synthlib" / name
        text = file.read_text("utf-8")
        assert text.count(old) == 1, f"{name} has {text.count(old)} times {old!r}"
        file.write_text(text.replace(old, new), "utf-8")
        edited = closure.Package(copy, root / "data")
        try:
            return {claim for claim in before if before[claim] != edited.fingerprint_of(claim)}
        finally:
            file.write_text(text, "utf-8")

    return older


TRAINED = {"01-unsupervised-gain", "06-table3-full", "02-unsup-bert-natural", "11-table3-a"}
UNTRAINED = {"02-oracle-roundtrip", "02-nli-accuracy", "02-t5-plain", "10-lambda"}
TUNED = {"08-accuracy", "08-rloo", "09-table4-gain", "11-table4-art"}
EDITS = {
    # file, old, new, claims that grow older, claims that do not
    "what a model is read as": ("models.py", 'dtype = pick_dtype(device, dtype, model_type=config[',
                                'dtype = pick_dtype(device, None, model_type=config[',
                                {"02-t5-plain", "02-nli-accuracy", "10-lambda"},
                                {"02-oracle-roundtrip", "01-anisotropy"}),
    "a loss": ("losses.py", "apply(lengths, *parts) / tau", "apply(lengths, *parts) * tau",
               TRAINED, UNTRAINED),
    "a setting of the tier": ("tiers.py", "premises=4_000,\n        max_new_tokens=28,",
                              "premises=4_000,\n        max_new_tokens=29,",
                              {"06-table3-full", "02-t5-plain"},
                              {"08-accuracy", "02-nli-accuracy", "01-anisotropy"}),
    "another method's setting": ("tiers.py", "kl=0.05,", "kl=0.06,", TUNED,
                                 TRAINED - {"11-table3-a"} | UNTRAINED),
    "what the paper sets and pocket takes over": ("tiers.py", "alpha=3.0,", "alpha=3.5,",
                                                  {"06-table3-full"}, {"08-accuracy"} | UNTRAINED),
}  # fmt: skip


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_makes_older_only_what_reaches_it(older_by, what):
    file, old, new, yes, no = EDITS[what]
    older = older_by(file, old, new)
    assert yes <= older
    assert not no & older


NOTHING = {
    "what colab sets": ("tiers.py", "encoder_learning_rate=2e-5,", "encoder_learning_rate=3e-5,"),
    "what the paper sets and pocket does not take": ("tiers.py", "kl=0.2,", "kl=0.3,"),
    "where a setting comes from": ("tiers.py", "MultiCSR §4.1 (released README: 128)", "README"),
    "why a tier departs": ("tiers.py", "a greedy small model falls into fixed points", "small"),
    "what a tier needs": ("tiers.py", "any computer; the models travel with the book", "little"),
    "how a model's files are found": ("models.py", 'if text.startswith("pocket/"):',
                                      'if text[:7] == "pocket/":'),
    "the version": ("__init__.py", '__version__ = "', '__version__ = "9'),
    "how a drawing looks": ("viz/__init__.py", "import palette, use_style\n",
                         "import palette, use_style\nNEW = 1\n"),
}  # fmt: skip


@pytest.mark.parametrize("what", NOTHING)
def test_an_edit_that_changes_no_figure_makes_nothing_older(older_by, what):
    """The claims that go through a whole run rest on all tiers, whose name the run is given."""
    edit = NOTHING[what]
    run = {"what colab sets", "what the paper sets and pocket does not take", "what a tier needs"}
    older = older_by(*edit)
    assert {claim for claim in older if claim[:2] != "09"} == set()
    assert not older or what in run


def test_a_tier_counts_by_its_values_alone(root):
    """A class of settings with a method could do what its values do not show."""
    from synthlib import tiers

    for node in ast.parse((root / "synthlib" / "tiers.py").read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef):
            assert all(isinstance(n, (ast.AnnAssign, ast.Expr)) for n in node.body), node.name
    here = closure.Package(root)
    assert here.tiers.keys() == set(tiers.NAMES)
    for name in tiers.NAMES:
        plain = dataclasses.asdict(tiers.get(name))
        assert dataclasses.asdict(here.tiers[name]) == plain
        assert "0x" not in repr(plain), "a value without a text of its own"


def test_an_error_carries_nothing_but_words(root):
    """So that it counts by its kind."""
    for file in (root / "synthlib").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and any(
                ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases
            ):
                assert all(isinstance(n, ast.Expr) for n in node.body), (file.name, node.name)


def test_any_order_of_definitions_gives_one_fingerprint(make, unchanged):
    """The statements of a file shuffled, as far as Python lets them."""
    tree = ast.parse(FILES["kernels.py"])
    docstring, *imports = tree.body[:3]
    rest = tree.body[3:]
    loose = [n for n in rest if isinstance(n, ast.Assign)]  # in their order: one writes to another
    moving = [n for n in rest if n not in loose]
    Random(0).shuffle(moving)
    tree.body = [docstring, *imports, *moving, *loose]
    text = ast.unparse(tree)
    assert make(files={**FILES, "kernels.py": text}).fingerprint_of("a-claim") == unchanged
