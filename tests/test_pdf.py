"""The book as one PDF: how its pages are joined, and what is printed."""

import os
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
sys.path.insert(0, str(ROOT / "tests" / "browser"))

import browser  # noqa: E402
import make_pdf  # noqa: E402
from bs4 import BeautifulSoup  # noqa: E402

NAV = """<nav class="bd-docs-nav"><p class="caption">Part &amp; one</p>
<a class="reference internal" href="../notebooks/01_one.html">1. One "quoted"</a>
<p class="caption">Two</p>
<a class="reference internal" href="../notebooks/02_two.html">2. Two</a></nav>"""
PAGE = """<html><head><link rel="stylesheet" href="../_static/a.css?v=1"></head><body>{nav}
<article class="bd-article"><section id="{name}">
<h1>{title}<a class="headerlink" href="#x">#</a></h1>
<p>Lead.</p>{body}</section></article></body></html>"""


@pytest.fixture
def site(tmp_path):
    """A site of three pages with the same id in two of them."""
    bodies = {
        "book/intro": '<a href="../notebooks/02_two.html#same">there</a> <a href="#x">nowhere</a>',
        "notebooks/01_one": '<p id="same">a</p><a href="#same">here</a>'
        '<img src="../_images/p.svg"><div class="cell tag_solution">'
        '<details class="hide"><summary>Show</summary>s</details></div>'
        '<details class="admonition hide"><summary>Show the code</summary><pre>x &lt; 1</pre>'
        "</details><pre>y</pre><table><tr><td><code>a_b.c</code></td></tr></table>",
        "notebooks/02_two": '<p id="same">b</p><label for="same">c</label><a href="#same">here</a>'
        ' <a href="01_one.html">one</a> <a href="../_sources/01.ipynb">notebook</a>'
        ' <a href="https://example.org/">out</a><script>alert(1)</script><button>copy</button>'
        '<picture><source srcset="n.svg"><img class="only-light" src="../_images/w.svg"></picture>',
    }
    for name, body in bodies.items():
        path = tmp_path / f"{name}.html"
        path.parent.mkdir(exist_ok=True)
        nav = NAV if name == "book/intro" else ""
        path.write_text(PAGE.format(nav=nav, name=path.stem, title=name, body=body))
    return tmp_path


def test_pages_are_joined_in_order(site):
    text, pages = make_pdf.join(site, "1.2.3")
    assert [page for _, _, page in pages] == [
        "book/intro.html", "notebooks/01_one.html", "notebooks/02_two.html",
    ]  # fmt: skip
    assert [part for part, _, _ in pages] == ["", "Part & one", "Two"]
    soup = BeautifulSoup(text, "html.parser")
    starts = [tag["id"] for tag in soup.select("section.print-page")]
    assert starts == ["page-intro", "page-01-one", "page-02-two"]
    assert "Version 1.2.3" in soup.select_one(".print-cover").get_text()
    assert 'content: "1. One \\"quoted\\""' in text


def test_each_page_is_told_of(site):
    said = []
    make_pdf.join(site, "1", said.append)
    assert [line.split(":")[0] for line in said] == [f"page {k} of 3" for k in (1, 2, 3)]
    assert said[1].endswith('1. One "quoted"')


def test_ids_are_unique_and_every_link_leads_somewhere(site):
    soup = BeautifulSoup(make_pdf.join(site, "1")[0], "html.parser")
    ids = [tag["id"] for tag in soup.select("[id]")]
    assert len(ids) == len(set(ids))
    inner = [tag["href"] for tag in soup.select("main a[href]") if tag["href"].startswith("#")]
    assert {href[1:] for href in inner} <= set(ids)
    two = soup.select_one("#page-02-two")
    assert two.select_one("a")["href"] == "#page-02-two--same"
    assert two.select_one("label")["for"] == "page-02-two--same"
    assert soup.select_one("#page-intro a")["href"] == "#page-02-two--same"
    assert soup.select_one("#page-01-one a")["href"] == "#same"
    assert [a["href"] for a in two.select("a")][1:] == ["#page-01-one", "https://example.org/"]
    assert "notebook" in two.get_text() and "nowhere" in soup.get_text()


def test_nothing_that_only_a_screen_can_do(site):
    soup = BeautifulSoup(make_pdf.join(site, "1")[0], "html.parser")
    assert soup.select("main script, main button, main source, main a.headerlink") == []
    assert soup.select("details:not([open])") == []
    assert [tag.get_text() for tag in soup.select("summary")] == ["Solution"]
    assert "x < 1" not in soup.get_text(), "code that is folded on the page"
    assert soup.select_one(".only-light")["src"] == "../html/_images/w.svg"


def test_pages_can_be_filled(site):
    soup = BeautifulSoup(make_pdf.join(site, "1")[0], "html.parser")
    assert [tag.get_text() for tag in soup.select("pre.print-whole")] == ["y"]
    name = soup.select_one("td code")
    assert name.get_text() == "a_b.c" and len(name.find_all("wbr")) == 2
    pre = "<pre>" + "x\n" * (make_pdf.WHOLE + 1) + "</pre>"
    long = BeautifulSoup(f'<div class="cell_input">{pre}</div>', "html.parser")
    make_pdf.prepare(long, "", "")
    assert long.select(".print-whole") == []


def test_what_is_missing_is_said(monkeypatch, capsys):
    monkeypatch.setattr(make_pdf.browser, "missing", lambda: "Node.js is not installed")
    assert make_pdf.main([]) == 1
    assert "no PDF was made: Node.js is not installed" in capsys.readouterr().err


def test_an_outline_without_a_chapter_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(make_pdf, "starts", lambda pdf: {"Contents": 2})
    monkeypatch.setattr(make_pdf, "contents", lambda site: [("", "1. One", "notebooks/01.html")])
    with pytest.raises(ValueError, match="lacks.*1. One"):
        make_pdf.numbers(tmp_path / "draft.pdf")


def ready():
    """Skip, or fail where `BROWSER_REQUIRED` is set, when something is missing."""
    if reason := browser.missing():
        (pytest.fail if os.environ.get("BROWSER_REQUIRED") else pytest.skip)(reason)


CUT = """<html><body><main><p>fits</p><p id="wide" style="width: 900px; text-align: right">wide</p>
<div id="low" style="height: 4px; overflow: hidden">low</div><i class="visually-hidden"
style="position: absolute; left: -99px">for readers</i></main></body></html>"""


@pytest.mark.browser
def test_what_is_cut_off_is_seen(tmp_path):
    ready()
    source = tmp_path / "cut.html"
    source.write_text(CUT)
    report = browser.run("print", source=str(source), out=str(tmp_path / "cut.pdf"))
    assert sorted(report["cut_off"]) == ["DIV low: low", "P wide: wide"]


@pytest.fixture(scope="module")
def pdf():
    """The printed book; printed now where it is older than the site."""
    from pypdf import PdfReader

    ready()
    built = (browser.SITE / "book" / "intro.html").stat().st_mtime
    if not make_pdf.PDF.is_file() or make_pdf.PDF.stat().st_mtime < built:
        assert make_pdf.main([]) == 0
    return PdfReader(make_pdf.PDF)


def squeeze(text):
    """Text without white space and hyphens at line ends, as comparisons need it."""
    return re.sub(r"[\s\u00ad]+", "", text)


#: What moves text about a page; strings are matched so that nothing is looked for in them.
OPERATOR = re.compile(
    rb"<[0-9A-Fa-f]*>|\((?:\\.|[^\\()])*\)"
    rb"|((?:-?[\d.]+\s+){2,6})(cm|Tm|Td)\b|/(\w+)\s+(Do)\b|\b(q|Q|T[jJ])\b",
    re.DOTALL,
)


def times(a, b):
    """Product of two PDF matrices: `a` within `b`."""
    return (
        a[0] * b[0] + a[1] * b[2], a[0] * b[1] + a[1] * b[3],
        a[2] * b[0] + a[3] * b[2], a[2] * b[1] + a[3] * b[3],
        a[4] * b[0] + a[5] * b[2] + b[4], a[4] * b[1] + a[5] * b[3] + b[5],
    )  # fmt: skip


def starts_of_text(page, form=None, place=(1, 0, 0, 1, 0, 0)):
    """How far from the left each piece of a page's text starts, in points.

    Turned text counts, and so does text in a form that the page draws, such as the parts of a
    large brace: `extract_text` reports that as if the form lay in the page's corner.
    """
    data = (form or page.get_contents()).get_data()
    kept, text = [], place
    for given, move, name, do, word in OPERATOR.findall(data):
        operator = move or do or word
        if operator in (b"Tj", b"TJ"):
            yield text[4] * place[0] + text[5] * place[2] + place[4]
        elif operator == b"Td":
            x, y = map(float, given.split())
            a, b, c, d, e, f = text
            text = (a, b, c, d, x * a + y * c + e, x * b + y * d + f)
        elif operator == b"Tm":
            text = tuple(map(float, given.split()))
        elif operator == b"cm":
            place = times(tuple(map(float, given.split())), place)
        elif operator == b"q":
            kept.append(place)
        elif operator == b"Q":
            place = kept.pop()
        elif operator == b"Do":
            drawn = (form or page)["/Resources"]["/XObject"]["/" + name.decode()].get_object()
            if drawn["/Subtype"] == "/Form":
                inside = times(drawn.get("/Matrix", (1, 0, 0, 1, 0, 0)), place)
                yield from starts_of_text(page, drawn, inside)


@pytest.mark.browser
class TestPrinted:
    def test_the_outline_has_all_pages_of_the_book_in_order(self, pdf):
        titles = [title for _, title, _ in make_pdf.contents(browser.SITE)]
        found = make_pdf.starts(make_pdf.PDF)
        assert [title for title in found if title in titles] == titles
        pages = [found[title] for title in titles]
        assert pages == sorted(pages) and len(set(pages)) == len(pages)
        nested = [entry for entry in pdf.outline if isinstance(entry, list)]
        assert sum(map(len, nested)) > 50, "sections below the chapters"

    def test_the_contents_name_the_right_pages(self, pdf):
        contents = squeeze("".join(pdf.pages[k].extract_text() for k in (1, 2)))
        for title, page in list(make_pdf.starts(make_pdf.PDF).items())[2:]:
            assert squeeze(f"{title}{page:d}") in contents, title

    def test_the_text_can_be_searched(self, pdf):
        found = make_pdf.starts(make_pdf.PDF)
        for _, title, page in make_pdf.contents(browser.SITE):
            article = make_pdf.soup(browser.SITE / page).select_one("article.bd-article")
            plain = [p for p in article.select("section > p") if not p.select(".math, svg, i")]
            sentence = squeeze(max((p.get_text() for p in plain[:3]), key=len, default=title))
            start, text = found[title] - 1, ""
            for sheet in pdf.pages[start : start + 4]:  # a list of problems may come first
                text += squeeze(sheet.extract_text())
                if sentence[:60] in text:
                    break
            assert sentence[:60] in text, (title, sentence[:60])

    def test_no_text_starts_outside_the_margins(self, pdf):
        outside, seen = [], 0
        for number, page in enumerate(pdf.pages, start=1):
            width = float(page.mediabox.width)
            found = list(starts_of_text(page))
            seen += len(found)
            outside += [(number, round(x)) for x in found if not 50 <= x <= width - 50]
        assert outside == []
        assert seen > 100 * len(pdf.pages), "text was found at all"

    def test_it_says_what_it_is(self, pdf):
        assert pdf.metadata.title == "Synthetic Contrast"
        assert pdf.root_object["/Lang"] == "en" and pdf.root_object["/MarkInfo"]["/Marked"]
        assert {round(float(side)) for side in pdf.pages[5].mediabox[2:]} == {595, 842}
