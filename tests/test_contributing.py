"""The contributor's door: what it names exists, the hooks pass, the citation is true."""

import re
import shlex
import subprocess
import sys

import pytest
import yaml
from pybtex.database import parse_file

import synthlib


def read(root, name):
    return yaml.safe_load((root / name).read_text("utf-8"))


def hooks(root):
    (repository,) = read(root, ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local", "a hook from elsewhere needs the network"
    return {hook["id"]: hook for hook in repository["hooks"]}


@pytest.mark.parametrize("name", ["ruff", "spelling", "editions", "rooms"])
def test_a_hook_passes_on_the_tree(root, name):
    hook = hooks(root)[name]
    assert hook["language"] == "system"
    program, *rest = shlex.split(hook["entry"])
    assert program == "python"
    files = [] if hook.get("pass_filenames") is False else ["."]
    done = subprocess.run(
        [sys.executable, *rest, *files], cwd=root, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_hook_is_tried_above_and_watches_files_that_exist(root):
    assert set(hooks(root)) == {"ruff", "spelling", "editions", "rooms"}
    tracked = [p.relative_to(root).as_posix() for p in root.glob("*/**/*.py")]
    for hook in hooks(root).values():
        assert any(re.search(hook.get("files", ""), name) for name in tracked)


@pytest.mark.parametrize("text, found", [("It was rec" + "ieved.", 1), ("It was received.", 0)])
def test_a_misspelt_word_is_found(root, tmp_path, text, found):
    (tmp_path / "page.md").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "codespell_lib", "--toml", str(root / "pyproject.toml"), "."],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert bool(done.returncode) == bool(found) and ("received" in done.stdout) == bool(found)


SHARES = """
import pathlib, pytest

@pytest.fixture(scope="module")
def made():
    with open(pathlib.Path(__file__).with_suffix(".made"), "a") as file:
        file.write("x")

@pytest.mark.parametrize("i", range(8))
def test_it(made, i):
    pass
"""


def test_what_the_tests_of_a_file_share_is_made_once(root, tmp_path):
    """By the options of `make test`: a way of grouping has been without effect before."""
    (line,) = re.findall(r"\$\(PY\) (-m pytest .*-n 2.*)", (root / "Makefile").read_text("utf-8"))
    for name in "abc":
        (tmp_path / f"test_{name}.py").write_text(SHARES)
    done = subprocess.run(
        [sys.executable, *shlex.split(line), "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert "24 passed" in done.stdout, done.stdout + done.stderr
    assert [p.read_text() for p in sorted(tmp_path.glob("*.made"))] == ["x"] * 3


def test_the_citation_has_the_packages_version_and_licence(root):
    citation = read(root, "CITATION.cff")
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == synthlib.__version__
    assert citation["license"] == ["MIT", "CC-BY-4.0"]
    assert citation["authors"] == [{"name": "Synthetic Contrast contributors"}]


def test_the_cited_papers_are_those_of_the_bibliography(root):
    entries = parse_file(str(root / "book" / "references.bib")).entries
    cited = read(root, "CITATION.cff")["references"]
    keys = ("wang2024multicsr", "xu2024art", "he2025ranking")
    assert len(cited) == len(keys)
    for paper, key in zip(cited, keys, strict=True):
        entry = entries[key]
        people = [f"{p['given-names']} {p['family-names']}" for p in paper["authors"]]
        first = [
            " ".join([*p.first_names, *p.middle_names, *p.prelast_names, *p.last_names])
            for p in entry.persons["author"]
        ]
        assert people == first, key
        fields = {
            "title": paper["title"],
            "booktitle": paper["collection-title"],
            "year": str(paper["year"]),
        }
        fields |= {name: paper[name] for name in ("doi", "url") if name in paper}
        if "start" in paper:
            fields["pages"] = f"{paper['start']}--{paper['end']}"
        assert fields == dict(entry.fields), key


def test_what_contributing_names_exists(root):
    text = (root / "CONTRIBUTING.md").read_text("utf-8")
    tests = {}
    file = None
    for found in re.finditer(r"`(tests/\w+\.py)?(?:::(\w+))?`", text):
        file = found[1] or file
        if found[1] or found[2]:
            tests.setdefault(file, set()).add(found[2])
    assert sum(map(len, tests.values())) >= 15
    for file, names in tests.items():
        source = (root / file).read_text("utf-8")
        for name in names - {None}:
            assert f"def {name}(" in source, f"{file}::{name}"
    named = re.findall(r"`((?:book|synthlib|data|notebooks|\.ci)/[\w./]*|\w+\.(?:yml|cff))`", text)
    missing = [name for name in named if "NN" not in name and not (root / name).exists()]
    assert not missing, "CONTRIBUTING.md names what is not there"
    assert re.search(r"@ledger\.measure\([^)]*\"06-quantity\"",
                     (root / "synthlib/experiments/ch06.py").read_text("utf-8"))  # fmt: skip
    assert "fig-04-kept" in next((root / "book/chapters").glob("04_*.py")).read_text("utf-8")
