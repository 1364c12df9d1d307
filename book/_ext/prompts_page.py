"""Sphinx extension: prompts of `synthlib.prompts` on a page, word for word.

    ```{prompt} ENTAILMENT
    :form: paper
    ```

shows the constant's text in one form (``paper`` by default), each prompt in a block of its own.
What stands on the page is read from the module when the book is built: it is what runs.
"""

from docutils import nodes
from docutils.parsers.rst import directives
from plain_markdown import prompt_texts
from sphinx.util.docutils import SphinxDirective

from synthlib import prompts


class Prompt(SphinxDirective):
    """One constant of `synthlib.prompts` as literal blocks."""

    required_arguments = 1
    option_spec = {"form": lambda text: directives.choice(text, prompts.FORMS)}

    def run(self):
        name, form = self.arguments[0], self.options.get("form", "paper")
        if not hasattr(prompts, name):
            raise self.error(f"synthlib.prompts has no {name!r}")
        return [
            nodes.literal_block(text, text, language="text", classes=["prompt"])
            for text in prompt_texts(name, form)
        ]


def setup(app):
    """Register the directive."""
    app.add_directive("prompt", Prompt)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
