"""Sphinx extension: the settings of a method on every tier, from `synthlib.tiers.table`.

    ```{tiers} multicsr
    ```

lists each setting with its value per tier, the source of the paper's value, and why a tier departs
from it. A value that is not the paper's is marked in words, not by colour.
"""

import re

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from synthlib import tiers

COLUMNS = ("setting", *tiers.NAMES, "source of the paper's value, and why a tier departs")
WIDTHS = (16, 13, 15, 14, 14, 28)
DEPARTS = "≠ paper"


def shown(value):
    """A setting's value as a reader would write it."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def words(text):
    """A paragraph; an option such as ``--mlp_only_train`` keeps its two hyphens."""
    parts = re.split(r"(--\w+)", text)
    kinds = (nodes.Text(p) if n % 2 == 0 else nodes.literal(text=p) for n, p in enumerate(parts))
    return nodes.paragraph("", "", *kinds)


def row(cells):
    return nodes.row("", *(nodes.entry("", *cell) for cell in cells))


def setting_row(name, of):
    """One setting; `of` has its rows of `tiers.table`, by tier."""
    cells = [[nodes.paragraph("", "", nodes.literal(text=name))]]
    for tier in tiers.NAMES:
        text = shown(of.loc[tier, "value"])
        # A name in code breaks behind its slashes and underscores.
        name = "_" in text or "/" in text
        value = nodes.literal(text=text) if name else nodes.Text(text)
        cell = [nodes.paragraph("", "", value)]
        if not of.loc[tier, "as_paper"]:
            cell.append(nodes.paragraph("", "", nodes.emphasis(text=DEPARTS)))
        cells.append(cell)
    reasons = [words(of.loc["paper", "source"])]
    for tier in tiers.NAMES:
        if why := of.loc[tier, "why"]:
            reasons.append(nodes.paragraph("", "", nodes.emphasis(text=f"{tier}: {why}")))
    return row([*cells, reasons])


class Tiers(SphinxDirective):
    """The settings of one method, given by its field of `tiers.Tier`."""

    required_arguments = 1

    def run(self):
        full = tiers.table()
        method = self.arguments[0]
        of = full[full["method"] == method]
        if of.empty:
            names = ", ".join(full["method"].unique())
            raise self.error(f"no settings of {method!r}; there are: {names}")
        self.env.note_reread()
        group = nodes.tgroup(
            "", *(nodes.colspec(colwidth=w) for w in WIDTHS), cols=len(COLUMNS)
        )
        group += nodes.thead("", row([[nodes.paragraph(text=text)] for text in COLUMNS]))
        names = of["setting"].unique()
        group += nodes.tbody(
            "", *(setting_row(n, of[of["setting"] == n].set_index("tier")) for n in names)
        )
        return [nodes.table("", group, classes=["ledger", "tiers", "colwidths-given"])]


class Needs(SphinxDirective):
    """What each tier needs, in its own words."""

    def run(self):
        self.env.note_reread()
        items = []
        for name in tiers.NAMES:
            said = nodes.strong(text=name), nodes.Text(f": {tiers.get(name).needs}.")
            items.append(nodes.list_item("", nodes.paragraph("", "", *said)))
        return [nodes.bullet_list("", *items)]


def setup(app):
    """Register the directives."""
    app.add_directive("tiers", Tiers)
    app.add_directive("tiers-needs", Needs)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
