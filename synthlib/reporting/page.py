"""Pieces of a report page: text that stays text, tables, figures, cards; one file of HTML.

Each function returns `Markup`; what is no `Markup` is escaped where it is put in. Nothing is
fetched: style and pictures are in the page.
"""

from __future__ import annotations

import html
import re

from synthlib.viz import palette

LONGEST = 400  # characters of a text that are shown
# Control characters, and what would turn the direction of the text around it.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Markup(str):
    """HTML that is to stay as it is."""


def escape(value) -> Markup:
    """A value as HTML; only `Markup` may hold tags."""
    if isinstance(value, Markup):
        return value
    return Markup(html.escape(_UNSEEN.sub("\ufffd", str(value))))


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
    style = _STYLE.replace("LIGHT", colours["light"]).replace("DARK", colours["dark"])
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


_STYLE = """
:root{LIGHT;--wash:#f4f6f8}
@media (prefers-color-scheme:dark){:root{DARK;--wash:#1c1f23}}
@media print{:root{LIGHT;--wash:#f4f6f8}}
*{box-sizing:border-box}
html{background:var(--ground);color:var(--ink)}
body{margin:0;font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:68rem;margin:0 auto;padding:1.2rem clamp(.9rem,3vw,2.2rem) 4rem}
p,main>ul,section>ul{max-width:46rem}
h1{font-size:1.75rem;line-height:1.25;margin:.6rem 0}
h2{font-size:1.3rem;margin:2.6rem 0 .7rem;padding-top:.8rem;border-top:1px solid var(--grid)}
h3{font-size:1.05rem;margin:1.5rem 0 .4rem}
h4{font-size:.96rem;margin:1rem 0 .2rem}
h4+ul{margin:.2rem 0 .8rem;padding-left:1.3rem}
a{color:var(--blue)}
:focus-visible{outline:2px solid var(--blue);outline-offset:2px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--ground)}
nav ul{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;list-style:none;padding:0;font-size:.92rem}
.note,figcaption,caption{color:var(--muted);font-size:.92rem}
.state{border-left:4px solid var(--green);background:var(--wash);padding:.6rem 1rem;
 max-width:46rem}
.state.open{border-color:var(--orange)}
.key{display:flex;flex-wrap:wrap;gap:.7rem;padding:0;margin:1rem 0;list-style:none;max-width:none}
.key li{flex:1 1 9rem;background:var(--wash);padding:.6rem .9rem;border-radius:.3rem}
.key b{display:block;font-size:1.45rem;line-height:1.2}
.wide{overflow-x:auto;max-width:100%;margin:.8rem 0}
table{border-collapse:collapse;font-size:.94rem}
caption{text-align:left;padding:.2rem 0 .4rem}
th,td{text-align:left;padding:.28rem .9rem .28rem 0;border-bottom:1px solid var(--grid);
 vertical-align:top}
thead th{border-bottom:2px solid var(--muted);font-size:.88rem}
tbody th,.facts th{font-weight:500}
.facts th{color:var(--muted);white-space:nowrap}
.facts td{overflow-wrap:anywhere}
td.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bar{display:block;width:clamp(4rem,16vw,14rem);height:.75rem;background:var(--wash);
 margin-top:.35rem}
.bar span{display:block;height:100%;background:var(--blue);print-color-adjust:exact;
 -webkit-print-color-adjust:exact}
pre,code{font:.88rem/1.5 ui-monospace,SFMono-Regular,Consolas,monospace}
pre{background:var(--wash);padding:.8rem 1rem;white-space:pre-wrap;overflow-wrap:anywhere}
.columns{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));
 gap:0 2rem}
.figures{display:flex;flex-wrap:wrap;gap:1rem 2rem;margin:1rem 0}
figure{margin:0;flex:1 1 20rem;max-width:29rem;break-inside:avoid}
figure svg{width:100%;height:auto;display:block}
.cards{padding:0;list-style:none}
.cards>li{border:1px solid var(--grid);border-radius:.3rem;padding:.5rem .8rem;margin:.6rem 0;
 break-inside:avoid}
dl,dd{margin:0}
dl>div{display:grid;grid-template-columns:7.5rem 1fr;gap:.6rem}
dt{color:var(--muted);font-size:.88rem}
dd{overflow-wrap:anywhere}
.cards ol{padding-left:1.4rem;margin:0}
@media (max-width:30rem){dl>div{grid-template-columns:1fr;gap:0}dd{margin-bottom:.25rem}
 .facts th,.facts td{display:block;white-space:normal}.facts th{border:0;padding-bottom:0}}
@media print{nav,.skip{display:none}body{font-size:.85rem}main{max-width:none;padding:0}
 .wide{overflow:visible}h2,h3{break-after:avoid}tr{break-inside:avoid}}
"""
