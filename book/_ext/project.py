"""What the build knows about the project: folders, version, address, state of the sources."""

import ast
import hashlib
import os
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = ROOT / "book" / "chapters"
NOTEBOOKS = ROOT / "notebooks"
BUILD = ROOT / "_build"
SITE = BUILD / "html"
FIELD = range(13, 17)  # the chapters on real language


def for_students() -> bool:
    """Whether the edition without solutions is being built: `make book EDITION=student`."""
    return os.environ.get("BOOK_EDITION") == "student"


def version() -> str:
    """Version of `synthlib`, read without importing it."""
    tree = ast.parse((ROOT / "synthlib" / "__init__.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__version__":
            return ast.literal_eval(node.value)
    raise ValueError("synthlib/__init__.py assigns no __version__")


def repository() -> tuple[str, str]:
    """Public address and branch; the address is "" while nobody has filled it in."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    settings = pyproject["tool"]["synthlib"]
    url = os.environ.get("BOOK_REPO_URL", "").strip() or settings["repository"]
    branch = os.environ.get("BOOK_REPO_BRANCH", "").strip() or settings["branch"]
    return url.rstrip("/").removesuffix(".git"), branch


def chapters() -> list[Path]:
    """The chapters' sources in reading order."""
    return sorted(CHAPTERS.glob("[0-9][0-9]_*.py"))


def appendices() -> list[Path]:
    """The sources of chapters' appendices: `A06_….py` belongs to chapter 6."""
    return sorted(CHAPTERS.glob("A[0-9][0-9]_*.py"))


def sources() -> list[Path]:
    """All that a notebook is made of, in reading order."""
    return [*chapters(), *appendices()]


def field_chapters() -> list[Path]:
    """Those of the chapters that run small real models, where these are there."""
    return [path for path in chapters() if int(path.name[:2]) in FIELD]


def models_there() -> str:
    """The models of the tier laptop that this machine has, each with what it was made of."""
    from synthlib import weights

    names = [entry.name for entry in weights.LAPTOP if weights.folder(entry.name) is not None]
    return "\n".join(f"{name} {weights.origin(name)['sha256']}" for name in names)


def kernel_hash() -> str:
    """Fingerprint of all that a chapter's output depends on besides its own cells.

    These are the sources of `synthlib`, the data, the pinned packages and Python itself, and where
    there are chapters on real language the models that they find. An execution cache under this
    name is never used after one of them changed. `data/ledger/live` is left out: the chapters write
    to it while they run; so are hidden folders, where a training run keeps what is unfinished, and
    the scripts of living figures, which draw in the page what an output holds, and the questions,
    which a page shows and no cell reads.
    """
    digest = hashlib.sha256(sys.version.encode())
    if field_chapters():
        digest.update(models_there().encode())
    files = [ROOT / "constraints.txt"]
    for folder in (ROOT / "synthlib", ROOT / "data"):
        files += [p for p in folder.rglob("*") if p.is_file()]
    for path in sorted(files):
        relative = path.relative_to(ROOT)
        hidden = any(part.startswith((".", "__pycache__")) for part in relative.parts)
        page = relative.parts[:3] == ("synthlib", "viz", "js")
        asked = relative.parts[:2] == ("data", "questions")
        if hidden or page or asked or relative.parts[:3] == ("data", "ledger", "live"):
            continue
        content = hashlib.sha256(path.read_bytes()).digest()
        digest.update(relative.as_posix().encode() + b"\0" + content)
    return digest.hexdigest()[:16]


def cache_path() -> Path:
    """Folder of the execution cache for the sources as they are now."""
    return BUILD / ".jupyter_cache" / kernel_hash()
