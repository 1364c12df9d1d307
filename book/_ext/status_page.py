"""Sphinx extension: what each chapter took when this book was built, and with which versions.

    ```{status}
    ```

reads what `counting` wrote beside the execution cache. A chapter that was executed before, from the
same sources, has the date and the figures of that execution.
"""

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import counting
import course_page
import project
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from synthlib.ledger import records

PACKAGES = (
    "torch", "transformers", "sentence-transformers", "peft", "accelerate", "datasets", "numpy",
    "scipy", "scikit-learn", "pandas", "matplotlib", "jupyter-book",
)  # fmt: skip
HEAD = "| chapter | tier | processor minutes | at the last release | memory at most | executed |"


def _said(value, form="{:.1f}"):
    return form.format(value) if value == value else "not counted"


def chapter_row(path, cache, released):
    """One line of the table."""
    notebook = project.NOTEBOOKS / f"{path.stem}.ipynb"
    file = counting.file_of(cache, notebook)
    day = "–"
    if file.is_file():
        when = datetime.datetime.fromtimestamp(file.stat().st_mtime, datetime.UTC)
        day = f"{when:%Y\u2011%m\u2011%d}"  # hyphens that do not break
    tier = "laptop" if path in project.field_chapters() else "pocket"
    cells = [
        f"{{doc}}`/notebooks/{path.stem}`", tier,
        _said(counting.seconds(cache, notebook) / 60), released.get(path.stem, "–"),
        _said(counting.peak_memory(cache, notebook) / 1000, "{:.1f} GB"), day,
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def versions():
    """The versions that this book was built with, as one sentence."""
    found = [f"Python {platform.python_version()}", f"synthlib {project.version()}"]
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return ", ".join(found) + "."


class Status(SphinxDirective):
    """Table of the chapters as they were executed, and the versions."""

    def run(self):
        cache = Path(os.environ.get("BOOK_CACHE") or project.cache_path())  # as `book_site`
        released = course_page.processor_minutes()
        rows = [chapter_row(path, cache, released) for path in project.sources()]
        lines = [
            HEAD, "|---|---|---|---|---|---|", *rows, "",
            f"Processor: {records.processor()}, {os.cpu_count()} cores. Built with {versions()}",
        ]  # fmt: skip
        container = nodes.container()
        self.state.nested_parse(StringList(lines, ""), self.content_offset, container)
        return container.children


def setup(app):
    """Register the directive."""
    app.add_directive("status", Status)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
