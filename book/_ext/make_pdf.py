"""The whole book as one PDF, from the built site: `_build/book.pdf`. `make pdf` calls this.

    python book/_ext/make_pdf.py

The pages' articles are joined into one document, in the order of the table of contents, and a
headless Chromium prints it: one outline, links between chapters, page numbers throughout. It is
printed twice, because the contents name the pages on which the first print has the chapters.
"""

import html
import json
import os
import re
import sys
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import project
from bs4 import BeautifulSoup

sys.path.insert(0, str(project.ROOT / "tests" / "browser"))
import browser

FOLDER = project.BUILD / "pdf"
PDF = project.BUILD / "book.pdf"
#: Attributes whose value names ids of the same document.
REFERRING = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "headers")
#: What makes no sense on paper: marks and controls, and the notes that lead to them.
SCREEN_ONLY = (
    "script, noscript, a.headerlink, button, .sc-data, [data-sc-figure], .sc-living, .screen-only, "
    "picture source, img.only-dark, .sc-quiz input, .sc-quiz-answer, .sc-quiz-says"
)

#: Lines of code up to which a block is not divided between two pages.
WHOLE = 12

HEAD = """\
<!DOCTYPE html>
<html lang="en" data-theme="light" data-mode="light" data-content_root="../html/">
<head>
<meta charset="utf-8">
<title>{title}</title>
<meta name="author" content="{author}">
{styles}
<style>
{running}
</style>
<link rel="stylesheet" href="../html/_static/print.css">
<script>
window.MathJax = {{
  "loader": {{"load": ["input/tex", "output/chtml"]}},
  "options": {{"processHtmlClass": "mathjax_process|math|output_area"}}
}};
</script>
<script defer src="../html/_static/vendor/mathjax/startup.js"></script>
</head>
<body>
<main class="bd-main"><div class="bd-content"><div class="bd-article-container">
"""


def soup(path):
    """A page, parsed."""
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def contents(site):
    """Pages of the book in reading order.

    Returns
    -------
    list of (part, title, page)
        `page` is a path relative to `site`; `part` is "" for the first page.
    """
    first = site / "book" / "intro.html"
    found, part = [("", "About this book", "book/intro.html")], ""
    for tag in soup(first).select("nav.bd-docs-nav p.caption, nav.bd-docs-nav a.reference"):
        if tag.name == "p":
            part = tag.get_text(strip=True)
        elif not urlsplit(tag["href"]).netloc and tag["href"] != "#":
            path = (first.parent / unquote(tag["href"])).resolve()
            found.append((part, tag.get_text(" ", strip=True), path.relative_to(site).as_posix()))
    return found


def anchor(page):
    """Name of a page's place in the one document."""
    return "page-" + re.sub(r"[^a-z0-9]+", "-", Path(page).stem.lower()).strip("-")


def rename_ids(articles):
    """Make ids unique over all pages; links that name them are led by the result.

    Parameters
    ----------
    articles : dict of str to bs4.Tag
        Page and its article.

    Returns
    -------
    dict of (page, id) to str
        The id in the one document.
    """
    taken, names = set(), {}
    for page, article in articles.items():
        for tag in article.select("[id]"):
            old = tag["id"]
            new = old if old not in taken else f"{anchor(page)}--{old}"
            taken.add(new)
            names[page, old] = tag["id"] = new
        for tag in article.find_all(True):
            for name in REFERRING:
                if tag.get(name):
                    words = tag[name].split() if isinstance(tag[name], str) else tag[name]
                    tag[name] = " ".join(names.get((page, word), word) for word in words)
    return names


def lead_links(article, page, site, names):
    """Turn links to pages of the book into links within the document, and pictures' addresses.

    A link to a file that is no page, such as a notebook to download, becomes plain text.
    """
    folder = (site / page).parent
    for tag in article.select("a[href]"):
        parts = urlsplit(tag["href"])
        if parts.scheme or parts.netloc:
            continue
        target = (folder / unquote(parts.path)).resolve() if parts.path else site / page
        inside = target.relative_to(site).as_posix() if target.is_relative_to(site) else ""
        known = (inside, unquote(parts.fragment))
        if known in names:
            tag["href"] = "#" + names[known]
        elif (inside, "") in names:
            tag["href"] = "#" + anchor(inside)
        else:
            tag.unwrap()
    for tag in article.select("[src]"):
        if not re.match(r"(?:[a-z]+:|//)", tag["src"]):
            address = (folder / unquote(urlsplit(tag["src"]).path)).resolve()
            tag["src"] = "../html/" + address.relative_to(site).as_posix()


def prepare(article, page, title):
    """An article as paper wants it: nothing that only a screen can do.

    Code that is folded on the page, which draws and tabulates, is left out. The solutions of the
    exercises are there, for nobody can unfold them on paper.
    """
    for tag in article.select(SCREEN_ONLY):
        tag.decompose()
    for tag in article.select("details"):
        if tag.find_parent(class_="tag_solution"):
            tag.summary.string = "Solution"
        elif "hide" in tag.get("class", []):
            tag.decompose()
            continue
        tag["open"] = ""
    for tag in article.select("img[loading]"):
        del tag["loading"]
    for tag in article.select("pre"):
        if tag.get_text().count("\n") <= WHOLE:
            # The box around it too, or its border stays behind.
            box = tag.find_parent(class_=["cell_input", "cell_output"]) or tag.parent
            for part in (tag, box) if len(box.find_all("pre")) == 1 else (tag,):
                part["class"] = [*part.get("class", []), "print-whole"]
    for text in [text for tag in article.select("td code") for text in tag.find_all(string=True)]:
        first, *rest = re.split(r"(?<=[./:_])(?=\w)", text)  # a name is broken at its joints
        for part in reversed(rest):
            text.insert_after(BeautifulSoup("<wbr>", "html.parser").wbr, part)
        text.replace_with(first)
    if page == "book/intro.html":
        article.h1.string = title


def cover(site, release):
    """The title page."""
    article = soup(site / "book" / "intro.html").select_one("article.bd-article")
    subtitle = article.h1.find_next("p").get_text(" ", strip=True)
    logo = "../html/_static/logo.svg"
    return (
        f'<section class="print-cover"><img src="{logo}" alt=""><h1>Synthetic Contrast</h1>'
        f"<p class=subtitle>{html.escape(subtitle)}</p>"
        f"<p class=release>Version {html.escape(release)}<br>"
        "Text and figures: CC BY 4.0. Code: MIT.<br>On paper the figures stand still; in the built "
        "pages they can be taken hold of, and the code that draws them unfolded.</p></section>"
    )


def table(pages):
    """The contents, with an empty place for each page number."""
    lines, before = [], ""
    for part, title, page in pages:
        if part != before:
            lines.append(f"<p class=part>{html.escape(part)}</p>")
            before = part
        lines.append(
            f'<p><a href="#{anchor(page)}"><span>{html.escape(title)}</span>'
            f'<span class=page data-page="{anchor(page)}"></span></a></p>'
        )
    return f'<section class="print-contents"><h1>Contents</h1>{"".join(lines)}</section>'


def join(site, release, say=lambda line: None):
    """The book as one HTML document.

    Parameters
    ----------
    site : Path
        The built site.
    release : str
        Version, for the title page.
    say : callable
        Told what is done, a line a page.

    Returns
    -------
    text : str
    pages : list of (part, title, page)
    """
    site = Path(site).resolve()
    pages = contents(site)
    articles = {page: soup(site / page).select_one("article.bd-article") for _, _, page in pages}
    names = rename_ids(articles) | {(page, ""): anchor(page) for page in articles}
    running, body = [], []
    for count, (part, title, page) in enumerate(pages, start=1):
        say(f"page {count} of {len(pages)}: {title}")
        article, name = articles[page], anchor(page)
        lead_links(article, page, site, names)
        prepare(article, page, title)
        # A CSS string: quotes and backslashes are the only characters with a meaning in it.
        words = re.sub(r'(["\\])', r"\\\1", title)
        running.append(f'@page {name} {{ @top-right {{ content: "{words}"; }} }}')
        running.append(f"#{name} {{ page: {name}; }}")
        above = f"<p class=print-part>{html.escape(part)}</p>" if part else ""
        body.append(f'<section class="print-page" id="{name}">{above}{article}</section>')
    head = soup(site / "book" / "intro.html").head
    sheets = [tag["href"].split("?")[0] for tag in head.select("link[rel=stylesheet]")]
    styles = "\n".join(
        f'<link rel="stylesheet" href="../html/{sheet.removeprefix("../")}">' for sheet in sheets
    )
    title = "Synthetic Contrast"
    text = HEAD.format(
        title=title, author="the authors of Synthetic Contrast", styles=styles,
        running="\n".join(running),
    )  # fmt: skip
    text += cover(site, release) + table(pages) + "\n".join(body)
    return text + "\n</div></div></main></body></html>\n", pages


def starts(pdf):
    """Pages on which the book's pages start, by the PDF's outline.

    Returns
    -------
    dict of str to int
        Title of an entry of the outline's first level: number of its page, from 1.
    """
    from pypdf import PdfReader

    reader = PdfReader(pdf)
    entries = [entry for entry in reader.outline if not isinstance(entry, list)]
    return {
        " ".join(entry.title.split()): reader.get_destination_page_number(entry) + 1
        for entry in entries
    }


def numbers(pdf):
    """Page numbers for the contents: {name of a place: number}, from a first print."""
    found = starts(pdf)
    places = {anchor(page): title for _, title, page in contents(project.SITE)}
    absent = [title for title in places.values() if title not in found]
    if absent:
        raise ValueError(f"the PDF's outline lacks {absent}; it has {list(found)}")
    return {place: found[title] for place, title in places.items()}


def main(argv=None):
    """Print the book; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["--numbers"]:  # asked by the browser's program between the two prints
        print(json.dumps(numbers(argv[1])))
        return 0
    begin = time.perf_counter()
    if reason := browser.missing():
        print(f"no PDF was made: {reason}", file=sys.stderr)
        return 1

    def say(line):
        print(f"[{time.perf_counter() - begin:5.0f} s] {line}", flush=True)

    FOLDER.mkdir(parents=True, exist_ok=True)
    say(f"reading the pages of {project.SITE}")
    text, pages = join(project.SITE, project.version(), say)
    source, draft = FOLDER / "book.html", FOLDER / "draft.pdf"
    source.write_text(text, encoding="utf-8")
    ask = [sys.executable, str(Path(__file__).resolve()), "--numbers", str(draft)]
    report = browser.run("print", say=say, source=str(source), out=str(draft), numbers=ask)
    if any(report[key] for key in ("errors", "failed", "remote", "cut_off")):
        print(f"no PDF was made, the browser reports {report}", file=sys.stderr)
        return 1
    os.replace(draft, PDF)
    size, seconds = PDF.stat().st_size / 2**20, time.perf_counter() - begin
    print(f"{PDF}: {len(pages)} chapters and pages, {size:.1f} MB, made in {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
