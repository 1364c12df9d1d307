"""Sphinx extension: a living figure in a page of prose.

    ```{living} synthlib.viz.page_examples:cover
    ```

calls the function, which returns a `synthlib.viz.Figure`, and sets it as the figures of chapters
are set (`figures.py`): its picture, its data and its script come from the figure alone.
"""

import importlib
import os
from pathlib import Path
from types import SimpleNamespace

import figures
from docutils.parsers.rst import Directive


class Renderer:
    """What `figures.figure_node` needs of myst-nb's renderer: a parser, and a place for files."""

    def __init__(self, parser, app):
        self.renderer = parser
        self.source = Path(app.srcdir)
        self.folder = Path(app.outdir).parent / "jupyter_execute" / "living"

    def write_file(self, path, content, exists_ok=False):
        """Write a file once; its address as Sphinx reads it."""
        target = self.folder.joinpath(*path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        return "/" + Path(os.path.relpath(target, self.source)).as_posix()


class Living(Directive):
    """``{living} module:function``."""

    required_arguments = 1
    final_argument_whitespace = False

    def run(self):
        """The figure's nodes."""
        module, _, name = self.arguments[0].partition(":")
        try:
            figure = getattr(importlib.import_module(module), name)()
        except (ImportError, AttributeError) as error:
            raise self.error(f"no figure {self.arguments[0]!r}: {error}") from error
        environment = self.state.document.settings.env
        # The function's sources are not the page's: it is read anew in each build.
        environment.note_reread()
        content = figure._repr_mimebundle_()[figures.MIMETYPE]
        renderer = Renderer(self.state._renderer, environment.app)
        data = SimpleNamespace(content=content, line=self.lineno)
        return [figures.figure_node(renderer, data)]


def setup(app):
    """Register the directive."""
    app.add_directive("living", Living)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
