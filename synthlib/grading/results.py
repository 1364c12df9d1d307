"""Points, and the table of a class: one line a student."""

import csv
import io
import json
import math
import re
from pathlib import Path

from synthlib import checks, paths

#: Points of an exercise where no file says otherwise.
POINTS = 1.0


def weights(path=None):
    """Points of every exercise.

    Parameters
    ----------
    path : path, optional
        A CSV file with columns ``exercise`` and ``points``; what it does not name has one point.

    Returns
    -------
    dict of str to float

    Raises
    ------
    ValueError
        The file names an exercise that there is not, or no number of points.
    """
    found = {check.id: POINTS for check in checks.all()}
    if path is None:
        return found
    rows = list(csv.reader(io.StringIO(Path(path).read_text("utf-8-sig"))))
    rows = [[cell.strip() for cell in row] for row in rows if any(cell.strip() for cell in row)]
    if not rows or rows[0][:2] != ["exercise", "points"]:
        raise ValueError(
            f"{path} does not begin with exercise,points: `python -m synthlib grade --list` writes "
            "such a table"
        )
    for number, row in enumerate(rows[1:], 2):
        if row[0] not in found:
            raise ValueError(
                f"{path}, line {number}: there is no exercise {row[0]!r}; "
                "`python -m synthlib grade --list` shows all"
            )
        try:
            points = float(row[1])
        except (ValueError, IndexError):
            points = math.nan
        if not (math.isfinite(points) and points >= 0):
            raise ValueError(
                f"{path}, line {number}: the points of {row[0]} must be a number from 0 on"
            )
        found[row[0]] = points
    return found


def listed(handouts):
    """The exercises as a table of weights, with what each is about: text of a CSV file."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["exercise", "points", "chapter", "about"])
    for check in checks.all():
        title = handouts[check.chapter].title if check.chapter in handouts else ""
        table.writerow([check.id, f"{POINTS:g}", title, check.about])
    return out.getvalue()


def table(marked, handouts, points, chapter=None):
    """One entry a student.

    Parameters
    ----------
    marked : dict of str to list of dict
        By student: what `mark` found in each notebook, with ``file``.
    handouts : dict of int to Handout
    points : dict of str to float
    chapter : int, optional
        That was set; default: all that are among the submissions.

    Returns
    -------
    list of dict
        ``student``, ``points``, ``out_of``, ``notes``, ``files`` and ``exercises``.
    """
    found = {one["chapter"] for files in marked.values() for one in files if one["exercises"]}
    chapters = [chapter] if chapter is not None else sorted(found)
    wanted = [e for number in chapters for e in handouts[number].functions]
    entries = []
    for student, files in marked.items():
        best, notes = {}, []
        for one in files:
            where = f"{one['file']}: " if len(files) > 1 else ""
            if one["state"] != "graded":
                notes.append(where + one["state"])
            notes += [where + note for note in one["notes"]]
            for exercise, result in one["exercises"].items():
                if exercise not in best or result["passed"] > best[exercise]["passed"]:
                    best[exercise] = result
        if not files:
            notes.append("no notebook")
        exercises = {}
        for exercise in wanted:
            result = best.get(exercise, {"passed": False, "message": "Not handed in."})
            earned = points[exercise] if result["passed"] else 0.0
            exercises[exercise] = {
                "points": earned, "out_of": points[exercise], "passed": result["passed"],
                "message": result["message"],
            }  # fmt: skip
        entries.append({
            "student": student,
            "points": sum(e["points"] for e in exercises.values()),
            "out_of": sum(e["out_of"] for e in exercises.values()),
            "notes": notes, "files": [one["file"] for one in files], "exercises": exercises,
        })  # fmt: skip
    return entries


def _plain(text):
    """Text of a submission as a cell: in one line, and no formula for a spreadsheet."""
    text = " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", str(text)).split())
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def write(path, entries, about):
    """Write the table, as CSV or as JSON by the name's ending.

    Parameters
    ----------
    path : path
    entries : list of dict
        Of `table`.
    about : dict
        How it was graded; stands in the JSON file.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        text = json.dumps({**about, "students": entries}, indent=1, ensure_ascii=False) + "\n"
    else:
        out = io.StringIO()
        names = list(entries[0]["exercises"]) if entries else []
        rows = csv.writer(out, lineterminator="\n")
        rows.writerow(["student", "points", "out_of", *names, "notes",
                       *(f"{name}: message" for name in names)])  # fmt: skip
        for entry in entries:
            marks = [entry["exercises"][name] for name in names]
            rows.writerow([
                _plain(entry["student"]), f"{entry['points']:g}", f"{entry['out_of']:g}",
                *(f"{mark['points']:g}" for mark in marks), _plain("; ".join(entry["notes"])),
                *(_plain(mark["message"]) for mark in marks),
            ])  # fmt: skip
        text = out.getvalue()
    paths.write_bytes(path, text.encode("utf-8"))
