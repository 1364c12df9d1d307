"""Sphinx extension: every figure of the chapters at a glance.

    ```{gallery}
    ```

shows each figure small, with its number and title, a link to its place, its data, the command that
writes it, and what to say when it is used. All of it comes from what the chapters' execution left,
as the figures themselves do.
"""

import base64
import hashlib
import html
import io
import os
import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

import living_page
import nbformat
import project
import student_edition
from docutils import nodes
from docutils.statemachine import StringList
from PIL import Image
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from synthlib.viz import gallery, script
from synthlib.viz.figure import MIMETYPE

#: Pixels of a thumbnail at most; a page shows it at half of that, for sharp screens.
WIDE, HIGH, COLOURS = 480, 320, 48
SMALL = project.BUILD / ".thumbnails"
COMMAND = "python -m synthlib figures --only {label} --out figures"


@dataclass(frozen=True)
class Entry:
    """One figure: its label, its chapter's file, and what the execution left of it."""

    label: str
    chapter: str
    title: str
    alt: str
    picture: bytes
    data: dict


class thumbnail(nodes.General, nodes.Element):
    """A small picture that leads to its figure."""


def visit_thumbnail(self, node):
    """Write the picture and the link around it."""
    image = node.children[0]
    name = self.builder.images.get(image["uri"], image["uri"])
    address = html.escape(posixpath.join(self.builder.imgpath, name), quote=True)
    here = self.builder.current_docname
    target = self.builder.get_relative_uri(here, f"notebooks/{node['chapter']}")
    self.body.append(
        f'<a class="sc-thumbnail" href="{html.escape(target)}#{node["label"]}">'
        f'<img class="dark-light dark-safe" src="{address}" width="{node["wide"]}" '
        f'height="{node["high"]}" alt="{html.escape(node["alt"], quote=True)}" '
        'loading="lazy" decoding="async"></a>\n'
    )
    raise nodes.SkipNode


def title_of(caption):
    """The first sentence of a figure's caption, as plain words."""
    plain = " ".join(script.plain(caption or "").split())
    return re.split(r"(?<=[\w)\]%][.!?])\s+(?=[A-Z*\"“])", plain)[0].rstrip(".:")


def small(png):
    """A PNG as a thumbnail of a few kilobytes; made once for each picture.

    Parameters
    ----------
    png : bytes

    Returns
    -------
    bytes
    """
    kept = SMALL / f"{hashlib.sha256(png).hexdigest()[:16]}-{WIDE}-{COLOURS}.png"
    if kept.is_file():
        return kept.read_bytes()
    picture = Image.open(io.BytesIO(png))
    if picture.mode in ("RGBA", "LA", "P"):
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture)
    picture = picture.convert("RGB")
    picture.thumbnail((WIDE, HIGH), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    few = picture.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(out, "PNG", optimize=True)  # this method keeps the rare colours, those of marks
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")  # whole or not at all, should the build be interrupted
    part.write_bytes(out.getvalue())
    os.replace(part, kept)
    return out.getvalue()


def entries(cache):
    """The figures of all chapters, in the order of the book.

    Parameters
    ----------
    cache : Path
        The execution cache.

    Returns
    -------
    list of Entry

    Raises
    ------
    ValueError
        A chapter was executed and has left no figure that its code names.
    """
    found = []
    for path, labels in gallery.chapters(project.NOTEBOOKS).items():
        try:
            executed = student_edition.executed(nbformat.read(path, as_version=4), cache)
        except KeyError:  # pages without an execution, as a look at one page: no pictures
            continue
        pages = {}
        for cell in executed.cells:
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                if data.get(MIMETYPE, {}).get("label") and "image/png" in data:
                    pages[data[MIMETYPE]["label"]] = data
        for label in labels:
            if label not in pages:
                raise ValueError(f"{path.name} was executed and has left no figure {label}")
            content = pages[label][MIMETYPE]
            found.append(Entry(
                label, path.stem, title_of(content["caption"]), content["alt"],
                small(base64.b64decode(pages[label]["image/png"])), content["data"],
            ))  # fmt: skip
    return found


class Renderer(living_page.Renderer):
    """Writes where the chapters' own figures lie, so that one file is one download."""

    def __init__(self, app):
        super().__init__(None, app)
        self.folder = self.folder.parent


class Gallery(SphinxDirective):
    """All figures, by chapters."""

    def run(self):
        """A section for each chapter."""
        self.env.note_reread()  # its sources are the execution's results
        cache = Path(os.environ.get("BOOK_CACHE") or project.cache_path())  # as `book_site`
        renderer, sections = Renderer(self.env.app), {}
        for entry in entries(cache):
            if entry.chapter not in sections:
                number = entry.chapter[:2]
                section = nodes.section(ids=[f"gallery-{number}"], names=[f"gallery-{number}"])
                path = project.CHAPTERS / f"{entry.chapter}.py"
                name = re.search(r"^# # (.+)$", path.read_text("utf-8"), re.M)[1]
                section += nodes.title("", f"Chapter {number} · {name}")
                section += nodes.container(classes=["sc-gallery"])
                sections[entry.chapter] = section
            sections[entry.chapter].children[-1] += self.item(entry, renderer)
        return list(sections.values())

    def item(self, entry, renderer):
        """One figure."""
        digest = hashlib.sha256(entry.picture).hexdigest()[:8]
        uri = renderer.write_file([f"{entry.label}-small-{digest}.png"], entry.picture, True)
        wide, high = Image.open(io.BytesIO(entry.picture)).size
        picture = thumbnail(label=entry.label, chapter=entry.chapter, alt=entry.alt,
                            wide=wide // 2, high=high // 2)  # fmt: skip
        picture += nodes.image(uri=uri, alt=entry.alt)
        item = nodes.container(classes=["sc-gallery-item"])
        item += picture
        item += self.parsed(f"{{numref}}`{entry.label}`", nodes.Text(f" {entry.title}"))
        data = nodes.paragraph("", "Data: ", classes=["sc-data"])
        for position, (stem, text) in enumerate(entry.data.items()):
            digest = hashlib.sha256(text.encode()).hexdigest()[:8]
            file = renderer.write_file([f"data-{digest}", f"{stem}.csv"], text.encode(), True)
            if position:
                data += nodes.Text(", ")
            data += addnodes.download_reference(
                "", "", nodes.literal("", f"{stem}.csv"), reftarget=file, refdoc=None,
                refdomain="", reftype="download", refexplicit=True, refwarn=True,
            )  # fmt: skip
        item += data
        item += nodes.literal_block("", COMMAND.format(label=entry.label), language="text")
        said = f"*Synthetic Contrast* {project.version()}, {{numref}}`{entry.label}`, CC BY 4.0"
        item += self.parsed(said)
        return item

    def parsed(self, text, *more):
        """A line of Markdown as a paragraph, with what follows it."""
        holder = nodes.container()
        self.state.nested_parse(StringList([text], ""), self.content_offset, holder)
        paragraph = holder.children[0]
        paragraph.extend(more)
        return paragraph


def setup(app):
    """Register the directive and its picture."""
    app.add_node(thumbnail, html=(visit_thumbnail, None))
    app.add_directive("gallery", Gallery)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
