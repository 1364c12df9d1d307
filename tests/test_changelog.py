"""The changelog: dated, newest first, and no change that a reader sees goes without a line."""

import ast
import datetime
import re
import subprocess

import pytest

import synthlib

PAGE = "book/reference/changelog.md"
HEAD = re.compile(r"^## (\d+)\.(\d+)\.(\d+) \((\d{4}-\d\d-\d\d)\)$", re.M)


def git(root, *words):
    """What git says, or a reason to skip."""
    done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"git {words[0]}: {done.stderr.strip()[:80]}")
    return done.stdout


def signatures(text):
    """The public functions, classes and methods of a module: name -> its parameters."""
    found = {}

    def walk(body, before=""):
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            name = before + node.name
            if isinstance(node, ast.ClassDef):
                found[name] = ""
                walk(node.body, f"{name}.")
            else:
                found[name] = ast.unparse(node.args)

    walk(ast.parse(text).body)
    return found


def visible(path):
    """Whether a file is a chapter, or code that a reader may call."""
    if path.startswith("book/chapters/"):
        return True
    private = any(part.startswith("_") and part != "__init__.py" for part in path.split("/"))
    rooms = ("synthlib/experiments/", "synthlib/checks/")  # the ledger's and the exercises' own
    return path.startswith("synthlib/") and path.endswith(".py") and not (
        private or path.startswith(rooms)
    )  # fmt: skip


def unsaid(root):
    """Chapters and public functions that changed after the changelog did, one line each."""
    if git(root, "status", "--porcelain", "--", PAGE).strip():
        return []  # it is being written
    last = git(root, "log", "-1", "--format=%H", "--", PAGE).strip()
    if not last or (root / ".git" / "shallow").exists():
        pytest.skip("no history")
    lines = []
    for path in filter(visible, git(root, "diff", "--name-only", last).splitlines()):
        if path.startswith("book/chapters/"):
            lines.append(f"{path} changed")
            continue
        old = git(root, "show", f"{last}:{path}") if known(root, last, path) else ""
        new = (root / path).read_text("utf-8") if (root / path).is_file() else ""
        before, now = signatures(old), signatures(new)
        lines += [
            f"{path}: {name}({now[name]})" if name in now else f"{path}: {name} is gone"
            for name in sorted({*before, *now}) if before.get(name) != now.get(name)
        ]  # fmt: skip
    return lines


def known(root, commit, path):
    """Whether a commit has a file."""
    return bool(git(root, "ls-tree", "--name-only", commit, "--", path).strip())


def test_versions_are_dated_and_the_newest_is_ours(root):
    text = (root / PAGE).read_text("utf-8")
    heads = HEAD.findall(text)
    assert len(heads) == text.count("\n## "), "a heading is not like ## 0.6.1 (2026-11-30)"
    versions = [tuple(map(int, head[:3])) for head in heads]
    days = [datetime.date.fromisoformat(head[3]) for head in heads]
    assert ".".join(map(str, versions[0])) == synthlib.__version__
    assert versions == sorted(set(versions), reverse=True)
    assert days == sorted(days, reverse=True)


def test_what_a_reader_sees_is_not_changed_without_a_line(root):
    changed = unsaid(root)
    assert changed == [], f"say it in {PAGE}: " + "; ".join(changed[:9])


def test_a_change_without_a_line_is_found(tmp_path):
    """In a repository made for it: chapters and signatures count, bodies and own names do not."""

    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit():
        git(tmp_path, "add", "-A")
        git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x")

    def code(parameters, body="a", more=""):
        write("synthlib/losses.py", f"def info_nce({parameters}):\n    return {body}\n{more}")

    git(tmp_path, "init", "-q")
    write(PAGE, "# Changelog\n")
    write("book/chapters/00_a.py", "# %%\n")
    code("a, *, tau=1", more="def _own():\n    pass\n")
    commit()
    assert unsaid(tmp_path) == []
    code("a, *, tau=1", "a + 1", "def _own(b):\n    pass\n")
    write("tests/test_a.py", "x = 1\n")
    commit()
    assert unsaid(tmp_path) == []
    code("a, *, tau=2", more="def new():\n    pass\n")
    write("book/chapters/00_a.py", "# %%\n1\n")
    commit()
    assert unsaid(tmp_path) == [
        "book/chapters/00_a.py changed", "synthlib/losses.py: info_nce(a, *, tau=2)",
        "synthlib/losses.py: new()",
    ]  # fmt: skip
    (tmp_path / "synthlib/losses.py").unlink()
    write(PAGE, "# Changelog\n\nsaid\n")
    commit()
    assert unsaid(tmp_path) == []
