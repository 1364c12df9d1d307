"""What a release hands out, from what is built: the site, the notebooks, the book on paper, sums.

    python book/_ext/make_release.py

Writes to `_build/release/`: the offline site (one folder, `index.html` opens from the disk), both
editions of the notebooks, the PDF, the EPUB, the slides where they are made, the package as a
wheel, and `SHA256SUMS`. The same sources give the same archives, byte for byte: entries are sorted
and carry the date of the commit.
"""

import datetime
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import project

FOLDER = project.BUILD / "release"
#: Of the site what nobody reads: the sources of the build's own cache.
LEFT_OUT = (".buildinfo", ".doctrees", "objects.inv.bak")


def day() -> tuple[int, int, int, int, int, int]:
    """When the sources were committed, in UTC; the date of the archives' entries."""
    asked = os.environ.get("SOURCE_DATE_EPOCH")
    if not asked:
        command = ["git", "-C", str(project.ROOT), "log", "-1", "--format=%ct"]
        done = subprocess.run(command, capture_output=True, text=True)
        asked = done.stdout.strip() if done.returncode == 0 else ""
    when = datetime.datetime.fromtimestamp(int(asked or 1_700_000_000), datetime.UTC)
    return when.timetuple()[:6]


def pack(archive, files):
    """A zip archive whose bytes depend on its content alone.

    Parameters
    ----------
    archive : path
    files : dict of str to path
        Name in the archive to file.
    """
    date = day()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            out.writestr(entry, Path(files[name]).read_bytes(), compresslevel=9)


def below(folder, root):
    """Files of a folder by the names that they get below `root`."""
    return {
        f"{root}/{path.relative_to(folder).as_posix()}": path
        for path in Path(folder).rglob("*")
        if path.is_file() and not set(path.relative_to(folder).parts) & set(LEFT_OUT)
    }


def missing():
    """What has to be built first; empty where all is there."""
    lines = []
    if not (project.SITE / "index.html").is_file():
        lines.append("no site: make book")
    if not (project.BUILD / "book.pdf").is_file():
        lines.append("no book on paper: make pdf")
    if not (project.BUILD / "book.epub").is_file():
        lines.append("no book for an e-reader: make epub")
    return lines


def write(folder=FOLDER):
    """Write the files of a release.

    Returns
    -------
    list of Path
        The archives, the PDF, the EPUB, the wheel; `SHA256SUMS` is last.
    """
    name = f"synthetic-contrast-{project.version()}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    licence_file = project.ROOT / "LICENSE"
    licence = {f"{name}/LICENSE": licence_file}
    pack(folder / f"{name}-site.zip", below(project.SITE, name) | licence)
    pack(folder / f"{name}-notebooks.zip", below(project.NOTEBOOKS, name) | licence)
    for kind in ("pdf", "epub"):
        shutil.copy(project.BUILD / f"book.{kind}", folder / f"{name}.{kind}")
    if slides := below(project.BUILD / "slides", f"{name}-slides"):
        pack(folder / f"{name}-slides.zip", slides | {f"{name}-slides/LICENSE": licence_file})
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "-w", str(folder), str(project.ROOT)], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"no wheel was made: {done.stderr.strip().splitlines()[-1]}")
    files = sorted(folder.iterdir())
    sums = "".join(f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.name}\n" for f in files)
    (folder / "SHA256SUMS").write_text(sums, encoding="utf-8")
    return [*files, folder / "SHA256SUMS"]


def main():
    """Write the release; returns the exit status."""
    if lines := missing():
        print("\n".join(lines), file=sys.stderr)
        return 1
    for path in write():
        print(f"{path.stat().st_size / 2**20:7.1f} MB  {path.relative_to(project.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
