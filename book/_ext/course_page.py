"""Sphinx extension: the chapters that exist, as a table for instructors.

    ```{course}
    ```

lists each chapter with a link, its minutes, the number of its exercises and of its claims in the
ledger. It is counted from the sources, so that it is true of the book in which it stands.
"""

import re

import make_book
import project
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from synthlib import ledger

#: Minutes of reading: so many words of prose a minute, and so many lines of code that is not
#: folded. Slower than a novel is read (200 to 300 words), since there are formulas and figures.
WORDS, LINES = 150, 12


def reading_minutes(source):
    """Minutes that a chapter's prose and its visible code take to read.

    Parameters
    ----------
    source : str
        A chapter (py:percent). Its exercises are left out: they say themselves what they take.

    Returns
    -------
    float
    """
    words = lines = 0
    for cell in re.split(r"^# %%", source.split("\n# ## Exercises\n")[0], flags=re.M)[1:]:
        head, _, body = cell.partition("\n")
        if "[markdown]" in head:
            prose = re.sub(r"\$\$.*?\$\$", "", body, flags=re.S)
            words += len(re.findall(r"[^\W\d_]{2,}|\d+", prose))
        elif "hide-input" not in head:
            code = (line.strip() for line in body.splitlines())
            lines += sum(1 for line in code if line and not line.startswith("#"))
    return words / WORDS + lines / LINES


def exercise_minutes(source):
    """Minutes of each exercise of a chapter, as they stand at its head ("*Easy, 10 minutes.*")."""
    found = re.findall(r"^# [`:]{3,}\{exercise\}.*?^# [`:]{3,}$", source, flags=re.M | re.S)
    said = [re.search(r"\*[^*\n]*?(\d+) minutes\.\*", text) for text in found]
    return [int(minutes[1]) if minutes else 0 for minutes in said]


def chapter_row(path, runs=None):
    """One line of the table: link, minutes, exercises, claims."""
    source = path.read_text(encoding="utf-8")
    title = re.search(r"^# # (.+)$", source, flags=re.M)
    exercises = exercise_minutes(source)
    claims = len(ledger.claims(int(path.stem[:2])))
    name = title[1].strip() if title else path.stem
    reading = max(5, 5 * round(reading_minutes(source) / 5))
    cells = [
        f"{{doc}}`{name} </notebooks/{path.stem}>`", f"{reading}",
        (runs or {}).get(path.stem, "–"), f"{sum(exercises)}", f"{len(exercises)}", f"{claims}",
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def processor_minutes():
    """Processor minutes of each chapter by the name of its file, as they are shown."""
    return {chapter: f"{minutes:.1f}" for chapter, minutes in make_book.expected().items()}


HEAD = "| chapter | to read | to run | exercises | their number | claims in the ledger |"


class Course(SphinxDirective):
    """Table of the chapters that exist."""

    def run(self):
        runs = processor_minutes()
        rows = [chapter_row(path, runs) for path in project.chapters()]
        if not rows:
            return [nodes.paragraph(text="No chapter has been built yet.")]
        lines = [HEAD, "|---|---|---|---|---|---|", *rows]
        container = nodes.container()
        self.state.nested_parse(StringList(lines, ""), self.content_offset, container)
        return container.children


def setup(app):
    """Register the directive."""
    app.add_directive("course", Course)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
