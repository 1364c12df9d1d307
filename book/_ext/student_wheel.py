"""The package as a wheel whose checks have no references: for students, where that is wanted.

    python book/_ext/student_wheel.py

It is the wheel of the package with each chapter's checks replaced by a module that says who checks.
Grading (`python -m synthlib grade`) is done with the whole package, on the instructor's computer.
"""

import base64
import csv
import hashlib
import io
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import project

OUT = project.BUILD / "student-wheel"
CHECKS = re.compile(r"synthlib/checks/ch\d\d\.py")
#: In the place of a chapter's checks. It begins as an open exercise does, so it is shown as one.
INSTEAD = '''\
"""Not in this copy: whoever teaches checks these exercises, with the whole package."""

from . import NOT_YET, result

WRONG = {}


def __getattr__(name):
    if name.startswith("_"):
        raise AttributeError(name)
    return lambda function=None: result(
        name, False, f"{NOT_YET}: this copy of synthlib has no checks; hand your notebook in."
    )
'''


def build(folder):
    """Build the package's wheel into a folder; its path."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation",
               "-w", str(folder), str(project.ROOT)]  # fmt: skip
    subprocess.run(command, check=True)
    (wheel,) = Path(folder).glob("synthlib-*.whl")
    return wheel


def without_references(wheel, target):
    """Copy a wheel, the checks' references left out, with a RECORD that is true again.

    Parameters
    ----------
    wheel, target : path

    Returns
    -------
    list of str
        What was replaced.
    """
    replaced, record = [], io.StringIO()
    rows = csv.writer(record, lineterminator="\n")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            if info.filename.endswith(".dist-info/RECORD"):
                last = info
                continue
            content = old.read(info)
            if CHECKS.fullmatch(info.filename):
                content = INSTEAD.encode()
                replaced.append(info.filename)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            rows.writerow([info.filename, f"sha256={digest.decode()}", len(content)])
            new.writestr(info, content)
        rows.writerow([last.filename, "", ""])
        new.writestr(last, record.getvalue())
    return replaced


def main():
    """Write the wheel to `_build/student-wheel`."""
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wheel = build(folder)
        replaced = without_references(wheel, OUT / wheel.name)
    print(f"{OUT / wheel.name}: without the references of {len(replaced)} chapters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
