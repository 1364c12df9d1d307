"""Pieces of a report page: text that stays text, tables, figures, cards; one file of HTML.

Each function returns `Markup`; what is no `Markup` is escaped where it is put in. Nothing is
fetched: style and pictures are in the page.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

from synthlib.viz import palette

LONGEST = 400  # characters of a text that are shown
# Control characters, and what would turn the direction of the text around it.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(value) -> str:
    """A value as text in which every character is one that is seen."""
    return _UNSEEN.sub("\ufffd", str(value))


class Markup(str):
    """HTML that is to stay as it is."""


def escape(value) -> Markup:
    """A value as HTML; only `Markup` may hold tags."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(visible(value)))


def join(*parts) -> Markup:
    """Pieces behind one another."""
    return Markup("\n".join(escape(part) for part in parts))


def tag(name, *inner, **attributes) -> Markup:
    """An element; ``class_`` is its class."""
    said = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"'
        for key, value in attributes.items() if value is not None
    )  # fmt: skip
    return Markup(f"<{name}{said}>{Markup('').join(escape(one) for one in inner)}</{name}>")


def quoted(text) -> Markup:
    """A sentence from the run's data, in its own direction of writing; a long one is cut."""
    text, whole = str(text), len(str(text))
    if not text.strip():
        return tag("em", "(blank)")
    cut = f"{text[:LONGEST]} … ({whole:,} characters)" if whole > LONGEST else text
    return tag("bdi", cut)


def paragraph(*inner, **attributes) -> Markup:
    """A paragraph."""
    return tag("p", *inner, **attributes)


def bullets(items) -> Markup:
    """A list."""
    return tag("ul", *(tag("li", item) for item in items))


def facts(pairs) -> Markup:
    """Names and values, as a table of two columns; values of None are left out."""
    rows = [
        tag("tr", tag("th", name, scope="row"), tag("td", value))
        for name, value in pairs if value is not None
    ]  # fmt: skip
    return tag("div", tag("table", *rows, class_="facts"), class_="wide")


def table(caption, headers, rows, *, note="") -> Markup:
    """A table; numbers are set to the right, the first column heads its row.

    Parameters
    ----------
    caption : str
    headers : sequence of str
    rows : sequence of sequences
        Cells: text, numbers (as `number` sets them), None for nothing, or `Markup`.
    note : str
        Below the table.
    """
    head = tag("thead", tag("tr", *(tag("th", one, scope="col") for one in headers)))
    body = []
    for first, *rest in rows:
        cells = [tag("th", first, scope="row")]
        for cell in rest:
            numeric = isinstance(cell, int | float) or _NUMBER.fullmatch(str(cell))
            shown = "" if cell is None else number(cell)
            cells.append(tag("td", shown, class_="number" if numeric else None))
        body.append(tag("tr", *cells))
    whole = tag("table", tag("caption", caption), head, tag("tbody", *body))
    below = (paragraph(note, class_="note"),) if note else ()
    return join(tag("div", whole, class_="wide", tabindex="0", role="region",
                    aria_label=caption), *below)  # fmt: skip


_NUMBER = re.compile(r"[-−+]?[\d,.]+ ?%?")


def number(value) -> str:
    """A number as it is read: 12,345 or 0.283; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if value != value:
        return "not a number"
    if isinstance(value, int) or abs(value) >= 1000:
        said = f"{value:,.0f}"
    else:
        said = f"{value:.3f}" if abs(value) < 1 else f"{value:.2f}"
    return said.replace("-", "−")


def signed(value) -> str:
    """A difference of marks, with its sign."""
    return f"{value:+.2f}".replace("-", "−")


def share(part, whole) -> str:
    """A share in percent, or a dash where there is nothing to have a share of."""
    if not whole:
        return "–"
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.1f} %"


def bar(part, whole) -> Markup:
    """A length for the eye beside a number that says it."""
    width = 100 * part / whole if whole else 0
    fill = tag("span", style=f"width:{width:.1f}%")
    return tag("span", fill, class_="bar", aria_hidden="true")


def cards(title, items, empty) -> Markup:
    """Texts of the run one below the other: each a list of (name, value) pairs."""
    shown = [
        tag("li", tag("dl", *(
            tag("div", tag("dt", name), tag("dd", value)) for name, value in item
        )))
        for item in items
    ]  # fmt: skip
    body = tag("ol", *shown, class_="cards") if shown else paragraph(empty, class_="note")
    return tag("section", tag("h3", title), body)


def side_by_side(*columns) -> Markup:
    """Columns beside each other where the page is wide enough."""
    return tag("div", *columns, class_="columns")


def figures(*made) -> Markup:
    """Figures beside each other where the page is wide enough."""
    return tag("div", *made, class_="figures") if made else Markup("")


def figure(made, number) -> Markup:
    """A `viz.Figure` as SVG in the page: one drawing, whose colours follow the page's.

    Parameters
    ----------
    made : viz.Figure
        With a caption.
    number : int
        Of its place in the page, which parts its names from those of the other figures.
    """
    svg = made.svg(width="narrow")
    svg = svg[svg.index("<svg"):]
    for name, colour in palette("light").items():
        svg = re.sub(re.escape(colour), f"var(--{name})", svg, flags=re.IGNORECASE)
    svg = re.sub(r'(\bid="|"#|url\(#)', lambda found: f"{found[0]}f{number}-", svg)
    svg = re.sub(r"<(metadata|\?xml|!--).*?(</metadata>|\?>|-->)", "", svg, flags=re.DOTALL)
    svg = svg.replace("<svg ", f'<svg role="img" aria-label="{escape(made.alt)}" ', 1)
    return tag("figure", Markup(svg), tag("figcaption", made.caption))


def document(title, lead, sections) -> str:
    """The whole page.

    Parameters
    ----------
    title : str
        Its one first heading.
    lead : Markup
        Below it.
    sections : sequence of (heading, Markup)
        A section without content is left out.
    """
    sections = [(heading, body) for heading, body in sections if body]
    names = {heading: f"part-{i}" for i, (heading, _) in enumerate(sections, 1)}
    contents = tag(
        "nav", tag("ul", *(tag("li", tag("a", h, href=f"#{names[h]}")) for h in names)),
        aria_label="Contents",
    )  # fmt: skip
    parts = [
        tag("section", tag("h2", heading, id=names[heading]), body) for heading, body in sections
    ]
    colours = {mode: "".join(f"--{name}:{colour};" for name, colour in palette(mode).items())
               for mode in ("light", "dark")}  # fmt: skip
    style = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
    style = style.replace("LIGHT", colours["light"]).replace("DARK", colours["dark"])
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<a class="skip" href="#main">To the content</a>\n'
        f'<main id="main">\n{tag("h1", title)}\n{lead}\n{contents}\n'
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )
