"""Sphinx extension: figures made in the chapters' cells are figures of the book.

A cell that ends in a `synthlib.viz.Figure` leaves its picture in four versions (light and dark,
wide and narrow), its data, caption, label and text alternative in one output. Here they become a
numbered figure that ``{numref}`` can refer to, with its data to download. All comes from the
notebook's output, so that a page built from cached outputs is the same.

The picture stands until the living figure does, which `synthlib/viz/js` draws from the same data:
they lie in the page, or, where they are more than a few lines, in a script of their own (a page
opened as a file may load scripts, but no data). Picture, scripts and data are loaded when the
reader comes near, and not before: `site_static/near.js`.
"""

import hashlib
import html
import itertools
import json
import posixpath
import re
from pathlib import Path

from docutils import nodes
from myst_nb.core import render
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

from synthlib.viz import page_model, script
from synthlib.viz.figure import parted

MIMETYPE = "application/vnd.synthlib.figure+json"
#: A phone in its upright position; `figures.css` knows the same width.
NARROW = "(max-width: 540px)"
#: Bytes of data that a page holds itself; more is loaded when the reader comes near.
INLINE = 2_000
SCRIPT, EXPLORERS, STYLE, FOLDER = "living.js", "explorers.js", "living.css", "figures"
#: Loads the scripts when the first figure of a page comes near; of the same folder.
NEAR = "near.js"
NO_SCRIPT = "Without JavaScript the figures of this page are pictures."


class plate(nodes.General, nodes.Element):
    """The pictures of one figure; the page shows the one that fits its mode and width."""


def visit_plate(self, node):
    """Write both modes, each in both widths; the theme's classes hide one of the modes."""

    def address(image):
        name = self.builder.images.get(image["uri"], image["uri"])
        return html.escape(posixpath.join(self.builder.imgpath, name), quote=True)

    images = {image["variant"]: image for image in node.children}
    self.body.append(
        f'<div class="sc-plate" data-figure="{html.escape(node["name"], quote=True)}">'
    )
    for mode in ("light", "dark"):
        wide, narrow = images[f"{mode}-wide"], images[f"{mode}-narrow"]
        alt = html.escape(node["alt"], quote=True)
        self.body.append(
            f'<picture><source media="{NARROW}" srcset="{address(narrow)}" {narrow["room"]}>'
            f'<img class="only-{mode} dark-light dark-safe" src="{address(wide)}" {wide["room"]}'
            f' alt="{alt}" loading="lazy" decoding="async"></picture>'
        )
    self.body.append("</div>\n")
    if node.get("payload"):
        self.body.append(living(self.builder, node["name"], node["payload"]))
        if not getattr(self, "told_without_script", False):
            self.told_without_script = True
            self.body.append(f'<noscript><p class="sc-data">{NO_SCRIPT}</p></noscript>')
    raise nodes.SkipNode


def living(builder, name, payload):
    """Place of a living figure in a page, with its data or the name of the script that has them."""
    text = script.embedded(payload)
    explorer = " data-sc-explorer" if payload["spec"]["kind"] == "explorer" else ""
    if len(text) <= INLINE:
        data = f'<script type="application/json">{text}</script>'
        return f"<div data-sc-figure{explorer}>{data}</div>\n"
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    file = f"{FOLDER}/{name}-{digest}.js"
    path = Path(builder.outdir) / "_static" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"SC.provide({json.dumps(file)}, {text});\n", encoding="utf-8")
    file = html.escape(file, quote=True)
    return f'<div data-sc-figure{explorer} data-sc-file="{file}"></div>\n'


def room(svg):
    """Width and height of a picture as HTML attributes: the page keeps its place free."""
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg[:2000])
    wide, high = (round(float(points) * 4 / 3) for points in size.groups())
    return f'width="{wide}" height="{high}"'


#: Three and more marks that follow each other and have one style.
_ALIKE = re.compile(
    r'<(?:use|path) [^<>]*? style="([^"]*)"/>(?:<(?:use|path) [^<>]*? style="\1"/>){2,}'
)


def slim(svg):
    """A picture of fewer bytes that looks the same: places to a hundredth of a point, no notes."""

    def short(number):
        return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")

    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.S)
    svg = re.sub(
        r' (?:d|x|y)="[^"]*"| transform="translate\([^)]*\)',
        lambda part: re.sub(r"-?\d+\.\d{3,}", short, part[0]), svg,
    )  # fmt: skip
    # A mark's path has one line a point; between elements only the layout of the file.
    svg = re.sub(r" ?\n(?=[A-Za-z\"])", " ", re.sub(r">\s+<", "><", svg))
    # Marks that look the same get their look from one group around them.
    return _ALIKE.sub(
        lambda run: f'<g style="{run[1]}">'
        + run[0].replace(f' style="{run[1]}"/>', "/>") + "</g>", svg,
    )  # fmt: skip


#: Classes of a caption's pieces; `figures.css` shows the second on paper alone, as `make_pdf` does.
PIECES = {"both": None, "living": "screen-only", "still": "print-only"}


def caption_nodes(parser, caption, line):
    """A caption's words: on paper and in an EPUB those of the still picture."""
    found = []
    for where, run in itertools.groupby(parted(caption), key=lambda piece: piece[1]):
        text, holder = "".join(text for text, _ in run), nodes.caption()
        with parser.current_node_context(holder):
            parser.nested_render_text(text.strip(), line, inline=True)
        children = plain_caption(holder.children)
        if text != text.rstrip():
            children.append(nodes.Text(" "))
        kept = PIECES[where]
        found += [nodes.inline("", "", *children, classes=[kept])] if kept else children
    return found


def plain_caption(children):
    """Show raw HTML of a caption as text: a caption may hold words that a model wrote."""
    holder = nodes.inline("", "", *children)
    for raw in list(holder.findall(nodes.raw)):
        raw.replace_self(nodes.Text(raw.astext()))
    return holder.children


def figure_node(renderer, data):
    """A figure of the page from one output of a notebook.

    Parameters
    ----------
    renderer : myst_nb.core.render.NbElementRenderer
    data : myst_nb.core.render.MimeData
        Of the type `MIMETYPE`; see `synthlib.viz.figure` for what it holds.

    Returns
    -------
    docutils.nodes.figure
    """
    content, parser = data.content, renderer.renderer
    body = "".join(content["svg"].values()).encode()
    name = content["label"] or f"figure-{hashlib.sha256(body).hexdigest()[:12]}"
    payload = None
    if "tables" in content:
        payload = {key: content[key] for key in ("label", "caption", "alt", "spec", "tables")}
    pictures = plate(name=name, alt=content["alt"], payload=payload)
    for variant, whole in content["svg"].items():
        svg = slim(whole)
        # The content is part of the name, so that an old picture is never shown for a new one.
        digest = hashlib.sha256(svg.encode()).hexdigest()[:8]
        uri = renderer.write_file([f"{name}-{variant}-{digest}.svg"], svg.encode(), exists_ok=True)
        pictures += nodes.image(uri=uri, alt=content["alt"], variant=variant, room=room(svg))
    figure = nodes.figure("", pictures, classes=["sc-figure"])
    if content["caption"]:
        said = caption_nodes(parser, content["caption"], data.line or 0)
        figure += nodes.caption("", "", *said)
    links = nodes.paragraph("", "Data: ", classes=["sc-data"])
    for position, (stem, text) in enumerate(content["data"].items()):
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        folder = f"data-{digest}"
        uri = renderer.write_file([folder, f"{stem}.csv"], text.encode(), exists_ok=True)
        link = addnodes.download_reference(
            "",
            "",
            nodes.literal("", f"{stem}.csv"),
            reftarget=uri,
            refdoc=None,
            refdomain="",
            reftype="download",
            refexplicit=True,
            refwarn=True,
        )
        if position:
            links += nodes.Text(", ")
        links += link
    figure += nodes.legend("", links)
    if content["label"]:
        figure["names"].append(content["label"])
        parser.document.note_explicit_target(figure, figure)
    return figure


class Plugin:
    """Renderer of the figures' output for myst-nb."""

    mime_priority_overrides = [("*", MIMETYPE, 1)]

    @staticmethod
    def handle_mime(renderer, data, inline):
        """Nodes of a figure; None for every other output."""
        if inline or data.mime_type != MIMETYPE:
            return None
        return [figure_node(renderer, data)]


class OnlyTheFigure(SphinxTransform):
    """Drop the other forms of a figure's output while the page is read.

    Usually one form is chosen when the page is written. That is too late for a figure: it is
    numbered and found by its label before, and its pictures are collected.
    """

    default_priority = 5

    def apply(self, **kwargs):
        """Replace each output that holds a figure by the figure."""
        for bundle in list(self.document.findall(nodes.container)):
            if bundle.get("nb_element") != "mime_bundle":
                continue
            for form in bundle.children:
                if form.get("mime_type") == MIMETYPE:
                    bundle.replace_self(form.children)
                    break


def scripts():
    """The script of all kinds of figures, and that of the explorers, which few pages have.

    Returns
    -------
    dict of str to str
        File and text, in the order in which they are loaded.
    """
    whole = script.script()
    later = "\n".join(path.read_text(encoding="utf-8") for path in script.sources()[2:])
    if not whole.endswith(later):
        raise ValueError("the joined script does not end in what follows core.js and kinds.js")
    return {SCRIPT: whole.removesuffix(later), EXPLORERS: later}


def write_scripts(app):
    """Write the scripts and the style sheet of living figures."""
    if app.builder.format != "html":
        return
    folder = Path(app.outdir) / "_static"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in scripts().items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / STYLE).write_text(script.css(), encoding="utf-8")
    page_model.write(folder)  # loaded by a figure whose reader runs the model, and not before


def load_script(app, pagename, templatename, context, doctree):
    """On pages that have a living figure: what loads its scripts and style, with their names."""
    body = context.get("body", "")
    if "data-sc-figure" not in body:
        return
    wanted = [
        # The content is part of the address, so that no browser keeps an old script.
        f"{name}?v={hashlib.sha256(text.encode()).hexdigest()[:8]}"
        for name, text in scripts().items()
        if name != EXPLORERS or "data-sc-explorer" in body
    ]
    wanted.append(f"{STYLE}?v={hashlib.sha256(script.css().encode()).hexdigest()[:8]}")
    app.add_js_file(NEAR, loading_method="defer", **{"data-files": " ".join(wanted)})


def setup(app):
    """Teach myst-nb the figures' output."""
    plugins = render.load_mime_renders()  # one list for the whole process
    plugins[:] = [p for p in plugins if getattr(p, "__name__", "") != Plugin.__name__] + [Plugin]
    app.add_node(plate, html=(visit_plate, None))
    app.add_transform(OnlyTheFigure)
    app.add_css_file("figures.css")
    app.connect("builder-inited", write_scripts)
    app.connect("html-page-context", load_script)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
