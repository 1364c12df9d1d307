"""What a run says while it works, kept for whoever reads its report: times, memory, curves, notes.

One JSON object a line in ``journal.jsonl`` of the run's folder. It decides nothing, is another one
in every call, and a quiet run keeps none.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import warnings
from contextlib import contextmanager
from pathlib import Path

FILE = "journal.jsonl"


def add(folder, **entry) -> None:
    """Append an entry, with the time of day (UTC); where the disk is full, there is none."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = json.dumps({"at": now, **entry}, ensure_ascii=False).encode("utf-8", "replace")
    with contextlib.suppress(OSError), (Path(folder) / FILE).open("ab") as stream:
        stream.write(line + b"\n")


def read(folder) -> list[dict]:
    """The entries, in their order; a line that a stop has cut off is none."""
    file, found = Path(folder) / FILE, []
    if not file.is_file():
        return found
    with file.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                found.append(entry)
    return found


@contextmanager
def notes(folder):
    """Keep what is warned of inside, as it is shown."""
    shown = warnings.showwarning

    def keep(message, category, *rest, **more):
        if category is UserWarning:  # what the run says; others are of libraries
            add(folder, note=str(message))
        shown(message, category, *rest, **more)

    warnings.showwarning = keep
    try:
        yield
    finally:
        warnings.showwarning = shown
