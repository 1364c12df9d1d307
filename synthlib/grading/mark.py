"""Mark one submission, in a process of its own: ``python -m synthlib.grading.mark``.

It reads what to do as a line of JSON on its input, and writes what it found as one. The checks run
here; of the submission nothing does. Where the input ends, so does the work.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

from synthlib import checks
from synthlib.grading import cells, handouts
from synthlib.grading.kernel import Box, Limits, Lost, Remote, Session

#: Bytes of a notebook, and of all that lies beside it in a student's folder.
LARGEST_NOTEBOOK, LARGEST_COMPANIONS = 50 << 20, 100 << 20


def mark(path, known, *, chapter=None, limits=None, sealed=False, whole=False, beside=None,
         hidden=(), place=None):  # fmt: skip
    """What the exercises of a submitted notebook come to.

    Parameters
    ----------
    path : path
        The submission.
    known : dict of int to Handout
        The notebooks that were handed out.
    chapter : int, optional
        That was set; default: found in the submission.
    limits : Limits, optional
    sealed : bool
        Whether the kernel runs in namespaces of its own.
    whole : bool
        Run every cell, not only what the functions need.
    beside : path, optional
        Folder of the student, whose other files the notebook may read.
    hidden : list of path
        Folders that the submission must not see.
    place : path, optional
        Folder for its box.

    Returns
    -------
    dict
        ``chapter``, ``state``, ``notes`` and ``exercises``: a `Result` each, as a dict.
    """
    def failed(state, chapter=None, notes=()):
        return {"chapter": chapter, "state": state, "notes": list(notes), "exercises": {}}

    path = Path(path)
    if path.stat().st_size > LARGEST_NOTEBOOK:
        return failed(f"more than {LARGEST_NOTEBOOK >> 20} MB")
    if not path.stat().st_size:
        return failed("an empty file")
    try:
        held = handouts.read(path)
    except ValueError as error:
        return failed(str(error))
    if not any(code and source for _, code, source in held):
        return failed("no cell with code")
    found = handouts.chapter_of(held, known)
    if found is None:
        return failed("nothing of any chapter in it")
    if chapter not in (None, found):
        return failed(f"another chapter: {found:02d}", found)
    handout = known[found]
    sources = [source for _, code, source in held if code]
    if whole:
        run = [(i, s) for i, s in enumerate(sources, 1) if s and not cells.is_check(s)]
    else:
        run = cells.needed(sources, handout.sources, handout.functions.values())
    limits, notes = limits or Limits(), []
    box = Box(limits.memory, sealed, hidden, place)
    try:
        if beside is not None:
            notes += _bring(Path(beside), box.folder)
        session = Session(run, box, limits)
        wanted = {c.id: c for c in checks.all() if c.chapter == found}
        results = {
            exercise: _result(wanted[exercise], session, function)
            for exercise, function in handout.functions.items()
        }
        session.stop()
        return {"chapter": found, "state": "graded", "notes": notes + session.notes,
                "exercises": results}  # fmt: skip
    finally:
        box.remove()


def _result(check, session, function):
    """What the check of an exercise says to a function of the notebook."""
    try:
        remote = Remote(session, function)
        if remote.missing:
            said = checks.result(check.name, False, f"The notebook defines no `{function}`.")
        elif not remote.is_function:
            said = checks.result(check.name, False, f"`{function}` is no function.")
        else:
            said = check(remote)
    except Lost as lost:
        text = str(lost)
        said = checks.result(check.name, False, f"Not decided: {text}.")
    return said.to_dict()


def _bring(folder, into):
    """Copy what lies beside a notebook, so that it can be read; notes of what is left out."""
    size, left = 0, 0
    for file in sorted(folder.rglob("*")):
        parts = file.relative_to(folder).parts
        if file.is_symlink() or not file.is_file() or any(p.startswith(".") for p in parts):
            continue
        if file.suffix.lower() == ".ipynb" or parts[0] in ("tmp", "home"):
            continue
        size += file.stat().st_size
        if size > LARGEST_COMPANIONS:
            left += 1
            continue
        target = into / file.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    if left:
        return [f"{left} files beside it were left out: more than {LARGEST_COMPANIONS >> 20} MB"]
    return []


def _end_with_input():
    sys.stdin.read()
    os._exit(1)


def main():
    """One job from the input, one answer to the output."""
    job, answer = json.loads(sys.stdin.readline()), os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what anybody prints is no answer
    threading.Thread(target=_end_with_input, daemon=True).start()
    started = time.monotonic()
    known = handouts.find(job.pop("handouts"))
    found = mark(job.pop("path"), known, limits=Limits(**job.pop("limits")), **job)
    found["seconds"] = round(time.monotonic() - started, 1)
    answer.write(json.dumps(found) + "\n")
    answer.flush()
    os._exit(0)  # threads of a kernel's client may linger


if __name__ == "__main__":
    main()
