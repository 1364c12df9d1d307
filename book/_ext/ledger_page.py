"""Sphinx extension: the replication ledger as tables of the book.

A page writes

    ```{ledger} 3 4 5 6
    ```

for the claims of these chapters, `{evidence}` with names of claims for a short table of these, each
with a link to its row, or `{ledger-summary}` for the count of claims that were measured and that
hold. The tables are filled in after every notebook has run, so that they show what is in
`data/ledger/` then, the live records of this very build among it.
"""

import re
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from synthlib import ledger

COLUMNS = ("claim", "the paper says", "we measured", "holds if", "holds here?")
WIDTHS = (35, 18, 23, 10, 14)
SHORT, SHORT_WIDTHS = ("claim", "measured in", "we measured", "holds?"), (52, 14, 18, 16)
FIELD = ("in the field", 18)  # a further column, where claims were asked again on real language

# Said where it is another than float32, what a processor's trainings compute in.
PRECISIONS = {"bf16": "bfloat16", "fp16": "float16"}


class Pending(nodes.General, nodes.Element):
    """Stands for a table until all documents are read and all notebooks have run."""


class Ledger(SphinxDirective):
    """Claims of some chapters, given as numbers."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        try:
            chapters = [int(word) for word in self.arguments[0].split()]
        except ValueError:
            raise self.error(f"chapter numbers are wanted, given {self.arguments[0]!r}") from None
        unknown = set(chapters) - set(ledger.claims()["chapter"]) - set(ledger.FIELD)
        if unknown:
            raise self.error(f"no claims of chapter {', '.join(map(str, sorted(unknown)))}")
        return [Pending(chapters=chapters)]


class Evidence(SphinxDirective):
    """What an advice stands on: some claims, given by name."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self):
        names = self.arguments[0].split()
        if unknown := set(names) - set(ledger.claims().index):
            raise self.error(f"no claim is named {', '.join(sorted(unknown))}")
        return [Pending(evidence=names)]


class Summary(SphinxDirective):
    """One sentence: how many claims there are, how many were measured, how many hold."""

    def run(self):
        return [Pending()]


def fill(app, doctree, docname):
    """Put the ledger as it is now in place of what stands for it."""
    pending = list(doctree.findall(Pending))
    if not pending:
        return
    full = ledger.table()
    for node in pending:
        if names := node.get("evidence"):
            page = app.builder.get_relative_uri(docname, "book/reference/ledger")
            node.replace_self(short_table(full.loc[names], page))
            continue
        chapters = node.get("chapters")
        if chapters is None:
            node.replace_self(sentence(full))
            continue
        chosen = full[full["chapter"].isin(chapters)]
        again = full[full["field_of"] != ""]
        node.replace_self(
            table(chosen, again) if len(chosen) else nodes.paragraph(text="No claim has a row yet.")
        )


def sentence(full):
    measured = full[full["holds"] != ledger.NOT_YET]
    cannot = measured["holds"].str.startswith("not testable")
    judged = measured[~cannot & ~measured["holds"].str.startswith("reported")]
    count = {
        "hold": judged["holds"].str.startswith("yes").sum(),
        "hold on some seeds only": judged["holds"].str.startswith("on ").sum(),
        "do not hold": judged["holds"].str.startswith("no").sum(),
        "cannot be tested here": cannot.sum(),
        "are reported without a verdict": len(measured) - len(judged) - cannot.sum(),
    }
    parts = [f"{n} {what}" for what, n in count.items() if n]
    text = f"{len(full)} claims; {len(measured)} measured so far"
    text += f": {', '.join(parts)}. " if parts else ". "
    if states := ledger.count_states(full):
        text += f"How they stand to the present code: {states}. "
    link = nodes.reference("", "The whole ledger as CSV", refuri="../../ledger.csv", internal=False)
    return nodes.paragraph("", "", nodes.Text(text), link, nodes.Text("."), classes=["ledger-sum"])


def table(full, again):
    """A docutils table; every text in it is escaped by the writer.

    `again` are the claims on real language that ask others again: those of this table get one more
    column where there are any.
    """
    asked = set(" ".join(again["field_of"]).split()) & set(full.index)
    columns, widths = list(COLUMNS), list(WIDTHS)
    if asked:
        columns.append(FIELD[0])
        widths.append(FIELD[1])
    group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in widths), cols=len(columns))
    group += nodes.thead("", row(columns))
    body = nodes.tbody()
    for claim, about in full.iterrows():
        name = nodes.paragraph("", "", nodes.literal(text=claim), classes=["ledger-id"])
        ours = [nodes.paragraph(text=ledger.measured(about))]
        if about["low"] == about["low"]:  # not NaN
            text = f"95 % interval: {ledger.between(about['low'], about['high'], about['unit'])}"
            ours.append(nodes.paragraph(text=text, classes=["ledger-interval"]))
        if isinstance(about["commit"], str) and about["commit"]:  # NaN where nothing was measured
            origin = f"{about['tier']}, {about['device']}, {about['commit']}"
            if about["recorded"] == about["recorded"]:  # not NaN: read from recordings in seconds
                origin += f", recorded in {about['recorded']:.1f} min"
            elif about["minutes"] == about["minutes"]:
                origin += f", {about['minutes']:.1f} min"
            if about["precision"] in PRECISIONS:
                origin += f", trained in {PRECISIONS[about['precision']]}"
            ours.append(nodes.paragraph("", "", nodes.emphasis(text=origin)))
            ours.append(standing(about))
        cells = [
            [nodes.paragraph(text=about["statement"]), name], ledger.source(about), ours,
            ledger.condition(about), verdict(about),
        ]  # fmt: skip
        if asked:
            cells.append(in_the_field(again[[claim in of.split() for of in again["field_of"]]]))
        body += row(cells, ids=[f"claim-{claim}"])
    group += body
    return nodes.table("", group, classes=["ledger", "ledger-rows", "colwidths-given"])


def short_table(chosen, page):
    """Claims with what was measured and whether it held, each linked to its row on `page`."""
    group = nodes.tgroup("", *(nodes.colspec(colwidth=w) for w in SHORT_WIDTHS), cols=len(SHORT))
    group += nodes.thead("", row(SHORT))
    body = nodes.tbody()
    for claim, about in chosen.iterrows():
        link = nodes.reference("", "", nodes.literal(text=claim), refuri=f"{page}#claim-{claim}")
        name = nodes.paragraph("", "", link, classes=["ledger-id"])
        where = "real language" if about["chapter"] in ledger.FIELD else "pocket world"
        statement = [nodes.paragraph(text=about["statement"]), name]
        body += row([statement, where, ledger.measured(about), verdict(about)])
    group += body
    return nodes.table("", group, classes=["ledger", "colwidths-given"])


def verdict(about):
    """Whether a claim held; one that cannot be tested here looks like no verdict."""
    kind = ["ledger-untestable"] if about["holds"].startswith("not testable") else []
    return [nodes.paragraph(text=about["holds"], classes=kind)]


def in_the_field(answers):
    """What real language says to a claim: each figure, with a link to the row that it has."""
    cell = []
    for claim, about in answers.iterrows():
        cell.append(nodes.paragraph(text=ledger.outcome(about)))
        link = nodes.reference("", "", nodes.literal(text=claim), refid=f"claim-{claim}")
        cell.append(nodes.paragraph("", "", link, classes=["ledger-id"]))
    return cell


def standing(about):
    """How a measurement stands to the present code, with its age: a line of small print."""
    state, text = about["state"], f"{about['state']}, {about['date']}"
    if about["verified"]:
        text = f"{state} ({about['verified']}), {about['date']}"
    elif about["differs"]:
        text += f"; run again, {about['differs']}"
    if about["again"]:
        text += f"; to be measured again {about['again']}"
    text = re.sub(r"(\d{4})-(\d\d)-(\d\d)", "\\1\u2011\\2\u2011\\3", text)  # a date in one piece
    kind = {ledger.FRESH: "fresh", ledger.VERIFIED: "verified"}.get(state, "older")
    return nodes.paragraph(text=text, classes=["ledger-state", f"ledger-{kind}"])


def row(cells, **attributes):
    entries = [
        nodes.entry("", *([nodes.paragraph(text=c)] if isinstance(c, str) else c)) for c in cells
    ]
    return nodes.row("", *entries, **attributes)


def save(app, exception):
    if exception is None and app.builder.format == "html":
        ledger.export(Path(app.outdir) / "ledger.csv")


def setup(app):
    """Register the directives of this page and of the other generated pages of reference."""
    app.setup_extension("prompts_page")
    app.setup_extension("course_page")
    app.setup_extension("status_page")
    app.setup_extension("architecture_page")
    app.setup_extension("tiers_page")
    app.add_css_file("reference.css")
    app.add_node(Pending)
    app.add_directive("ledger", Ledger)
    app.add_directive("evidence", Evidence)
    app.add_directive("ledger-summary", Summary)
    app.connect("doctree-resolved", fill)
    app.connect("build-finished", save)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
