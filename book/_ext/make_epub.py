"""The whole book for an e-reader, from the built site: `_build/book.epub`. `make epub` calls this.

    python book/_ext/make_epub.py

The same joined document as on paper (`make_pdf`), whose pages become an EPUB's files through
pandoc: equations as MathML, figures as the stills that paper gets, links from page to page.
"""

import calendar
import datetime
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import make_pdf
import make_release
import project
from bs4 import BeautifulSoup

EPUB = project.BUILD / "book.epub"
#: What an e-reader shows by itself, or cannot show.
PAPER_ONLY = ".print-cover, .print-contents, .print-part, wbr, .prompt, [hidden], style, head"
#: Boxes that only lay a page out: pandoc divides the book at headings that stand in none of them.
LAYOUT = "html body main section article div".split()
#: Boxes whose look says something; `STYLE` has it.
KEPT = ("admonition", "math", "cell_output", "solution", "topic")

# A picture has dark letters and no ground of its own: on an e-reader's dark page it needs one.
STYLE = """\
body { line-height: 1.45; }
h1, h2, h3 { line-height: 1.2; text-align: left; }
img { max-width: 100%; height: auto; background: #fff; }
pre { white-space: pre-wrap; font-size: 0.8em; line-height: 1.35; margin: 0.6em 0; }
code { font-size: 0.9em; }
pre code { font-size: 1em; }
table { border-collapse: collapse; font-size: 0.8em; margin: 0.6em 0; }
th, td { text-align: left; vertical-align: top; padding: 0.15em 0.5em; }
thead { border-bottom: 2px solid; }
figure { margin: 1em 0; }
figcaption { font-size: 0.85em; }
.admonition, .topic, .solution { border-left: 3px solid; padding-left: 0.8em; margin: 1em 0; }
.admonition-title, .solution > p:first-child { font-weight: bold; }
td code { font-size: 0.8em; overflow-wrap: anywhere; }
.cell_output { margin-left: 0.8em; }
"""


def pandoc():
    """Path of the program: the machine's own, or that of the package pypandoc_binary."""
    import pypandoc

    return pypandoc.get_pandoc_path()


def plain(text):
    """The joined document as pandoc wants it.

    Parameters
    ----------
    text : str
        HTML of `make_pdf.join`.

    Returns
    -------
    str
        Headings stand in no box, code is text and says its language, solutions are unfolded.
    """
    page = BeautifulSoup(text, "html.parser")
    for tag in page.select(PAPER_ONLY):
        tag.decompose()
    for tag in page.select("[class*=highlight-] pre"):
        python = tag.find_parent(class_=re.compile("highlight-(ipython3?|python3?|default)"))
        tag.string = tag.get_text()
        tag["class"] = ["python"] if python else []
    for tag in page.select("details"):
        tag.name, tag["class"] = "div", ["solution"]
        if tag.summary:
            tag.summary.name = "p"
        del tag["open"]
    for tag in page.select("svg"):  # drawn in the page, with the site's style: its words remain
        tag.name, tag.string = "p", tag.get("aria-label", "")
        tag.attrs = {}
    # pandoc leads links from file to file to headings and spans alone.
    wanted = {link["href"][1:] for link in page.select('a[href^="#"]')}
    for tag in page.select("[id]:not(span, h1, h2, h3, h4, .print-page)"):
        heading = tag.find(["h1", "h2", "h3", "h4"], recursive=False)
        if heading is not None and not heading.get("id"):
            heading["id"] = tag["id"]
        elif tag["id"] in wanted:
            place = tag.find(["td", "th"]) if tag.name in ("table", "tr") else None
            (place or tag).insert(0, page.new_tag("span", id=tag["id"]))
        del tag["id"]
    for tag in page.select(".print-page"):
        for link in page.select(f'a[href="#{tag["id"]}"]'):
            link["href"] = f"#{tag.h1['id']}"
        del tag["id"]
    for tag in page.find_all(LAYOUT):
        if not set(KEPT) & set(tag.get("class", [])):
            tag.unwrap()
    return str(page)


def write(document, out, *, site, version, day):
    """Let pandoc make the EPUB.

    Parameters
    ----------
    document : str
        HTML of `plain`.
    out : path
    site : path
        The built site, whose pictures the document names.
    version : str
    day : tuple of int
        Year, month, day, hour, minute, second (UTC) of what the book is made from. The same
        document and day give the same bytes.

    Raises
    ------
    RuntimeError
        With pandoc's own words, where it fails or finds no picture.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, style = Path(folder, "pdf", "book.html"), Path(folder, "style.css")
        source.parent.mkdir()
        source.write_text(document, encoding="utf-8")
        style.write_text(STYLE, encoding="utf-8")
        for name in set(re.findall(r'src="\.\./(html/[^"]+)"', document)):
            picture = Path(folder, name)
            picture.parent.mkdir(parents=True, exist_ok=True)
            data = (Path(site) / name.removeprefix("html/")).read_bytes()
            if picture.suffix == ".svg":  # an EPUB allows no document type, and no path without d
                data = re.sub(rb"<!DOCTYPE[^>]*>", b"", data, count=1)
                data = re.sub(rb"<path(?![^>]*\sd=)", b'<path d=""', data)
            picture.write_bytes(data)
        done = subprocess.run(
            [
                pandoc(), "-f", "html+tex_math_single_backslash", "-t", "epub3", "--mathml",
                "--split-level=1", "--toc-depth=2", "--fail-if-warnings", "-o", str(out),
                "--css", str(style), "--metadata", "lang=en",
                "--metadata", f"title=Synthetic Contrast {version}",
                "--metadata", "author=the authors of Synthetic Contrast",
                "--metadata", "rights=Text and figures: CC BY 4.0. Code: MIT.",
                "--metadata", f"date={datetime.date(*day[:3])}",
                "--metadata", f"identifier=synthetic-contrast-{version}", "book.html",
            ],
            cwd=source.parent, capture_output=True, text=True,
            env=os.environ | {"SOURCE_DATE_EPOCH": str(calendar.timegm(day))},
        )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"pandoc made no EPUB: {done.stderr.strip()[-500:]}")


def main():
    """Make the EPUB; returns the exit status."""
    if not (project.SITE / "index.html").is_file():
        print("no EPUB was made: there is no site; make book", file=sys.stderr)
        return 1
    text, pages = make_pdf.join(project.SITE, project.version())
    write(
        plain(text), EPUB, site=project.SITE, version=project.version(), day=make_release.day()
    )
    print(f"{EPUB}: {len(pages)} chapters and pages, {EPUB.stat().st_size / 2**20:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
