"""A page loads what it shows and no more; what is folded stays folded on paper."""

import os
import re
import sys
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
sys.path.insert(0, str(ROOT / "tests" / "browser"))

import book_site  # noqa: E402
import browser  # noqa: E402
import figures  # noqa: E402
import light_pages  # noqa: E402
import make_pdf  # noqa: E402

#: What a page may weigh before its reader scrolls (1.5 MB), and how many nodes it may have.
BYTES, NODES = 3 * 2**19, 25_000


# ------------------------------------------------------------------ style sheets
@pytest.mark.parametrize(
    "css, kept",
    [
        (".a{x:1}.b{x:2}", ".a{x:1}"),
        (".a,.b,p .a{x:1}", ".a,p .a{x:1}"),
        (".a.b{x:1}#i{x:2}#j{x:3}", "#i{x:2}"),
        ("p{x:1}[data-b=b] i{x:2}", "p{x:1}[data-b=b] i{x:2}"),
        (".a:not(.b){x:1}", ".a:not(.b){x:1}"),
        (".a:is(.b,.a:not(.b)),.b{x:1}", ".a:is(.b,.a:not(.b)){x:1}"),
        ("@media print{.a{x:1}.b{x:2}}", "@media print{.a{x:1}}"),
        ("@media print{.b{x:2}}p{x:1}", "p{x:1}"),
        ("@font-face{src:url(b.woff)}", "@font-face{src:url(b.woff)}"),
        ("@keyframes b{0%{x:1}to{x:2}}.a{x:1}", "@keyframes b{0%{x:1}to{x:2}}.a{x:1}"),
        ('@charset "UTF-8";.b{x:1}', '@charset "UTF-8";'),
        ('.a:before{content:"}.b{,"}.b{x:1}', '.a:before{content:"}.b{,"}'),
        (".a{x:url(data:image/svg+xml;p)}.b{x:1}", ".a{x:url(data:image/svg+xml;p)}"),
        ("/* .a{ */.b{x:1}/*! licence } */.a{x:1}", "/*! licence } */.a{x:1}"),
        (r".a\:b{x:1}.a{x:2}", ".a{x:2}"),
    ],
)
def test_a_rule_stays_where_a_page_has_all_that_it_names(css, kept):
    assert light_pages.purged(css, {"a", "i"}) == kept
    assert light_pages.purged(kept, {"a", "i"}) == kept


def test_words_are_classes_ids_and_what_scripts_say():
    page = '<p class="one two" id=\'three\'>four</p><script>x.add("five")</script>'
    data = '<script type="application/json">{"six": "seven"}</script>'
    found = light_pages.words_of([page + data], ['y.classList.add("show-it")'])
    assert {"one", "two", "three", "five", "show-it"} <= found
    assert not {"four", "six", "seven"} & found


def test_fonts_keep_the_icons_that_are_used(tmp_path):
    from fontTools.ttLib import TTFont

    theme = pytest.importorskip("pydata_sphinx_theme")
    fonts = Path(theme.__file__).parent.rglob("fa-solid-900.ttf")
    folder = tmp_path / light_pages.FONTS
    folder.mkdir(parents=True)
    (folder / "fa-solid-900.ttf").write_bytes(next(fonts).read_bytes())
    url = "../vendor/fontawesome/webfonts/fa-solid-900"
    sheet = (
        f'@font-face{{src:url({url}.woff2) format("woff2"),url({url}.ttf) format("truetype")}}'
        '.fa-bars:before{content:"\\f0c9"}html{--bell:"\uf0f3"}'
    )
    after = light_pages.cut_fonts(tmp_path, sheet)
    assert after.startswith(f'@font-face{{src:url({url}.woff) format("woff")}}.fa-bars')
    (left,) = folder.iterdir()
    assert left.stat().st_size < 5_000
    font = TTFont(left)
    assert set(font.getBestCmap()) == {0xF0C9, 0xF0F3}
    said = " ".join(str(name) for name in font["name"].names)
    assert "Copyright" in said and "Font Awesome 6" not in said


# ------------------------------------------------------------------ pages
MATHJAX = (
    '<script>window.MathJax = {"loader": 1}</script>\n'
    '<script defer="defer" src="../_static/vendor/mathjax/startup.js?v=1"></script>\n'
)


@pytest.mark.parametrize("body, stays", [('<div class="math notranslate">x</div>', True),
                                         ('<p class="mathematics">x</p>', False)])  # fmt: skip
def test_mathjax_comes_where_there_is_mathematics(body, stays):
    icons = '<script src="../_static/scripts/fontawesome.js?digest=1"></script>\n'
    page = f"<head>{icons}{MATHJAX}<script src='b.js'></script></head>{body}"
    light = light_pages.light_page(page)
    assert ("MathJax" in light, "mathjax" in light) == (stays, stays)
    assert "fontawesome" not in light and "b.js" in light


def test_buttons_are_called_what_stands_on_them_and_icons_are_no_words():
    page = (
        '<button class="btn search-button-field x" title="Search" aria-label="Search" a="b">'
        '<i class="fa-solid fa-glass"></i><span class="k">Search</span></button>'
        '<button class="btn search-button" aria-label="Search"><i class="fas fa-x"></i></button>'
        '<button aria-label="Color mode"><i class="theme-switch fa-solid   fa-sun"></i></button>'
    )
    soup = BeautifulSoup(light_pages.light_page(page), "html.parser")
    assert [button.get("aria-label") for button in soup("button")] == [None, "Search", "Color mode"]
    assert [icon.get("aria-hidden") for icon in soup("i")] == ["true"] * 3
    assert not soup.select("span[aria-hidden]")
    assert light_pages.light_page(str(soup)) == str(soup)


def test_code_keeps_the_marks_that_have_a_colour():
    sheet = "".join(
        f'html[data-theme="{mode}"] .highlight {{ background: #111; color: {own} }}\n'
        f'html[data-theme="{mode}"] .highlight .n {{ color: {own} }} /* Name */\n'
        f'html[data-theme="{mode}"] .highlight .p {{ color: {own}; font-weight: bold }}\n'
        f'html[data-theme="{mode}"] .highlight .o {{ color: {other} }}\n'
        for mode, own, other in (("light", "#080808", "#080808"), ("dark", "#f8f8f2", "#abe338"))
    )
    assert light_pages.plain_words(sheet) == {"n"}
    page = (
        '<span class="n">prose</span><div class="highlight"><pre><span></span><span class="n">x'
        '</span> <span class="o">=</span> <span class="n">y&lt;</span>\n</pre></div>'
    )
    light = light_pages.plain_code(page, {"n"})
    assert light == (
        '<span class="n">prose</span><div class="highlight"><pre><span></span>x '
        '<span class="o">=</span> y&lt;\n</pre></div>'
    )


def test_a_page_knows_at_once_if_it_is_dark():
    page = (
        'document.documentElement.dataset.mode = localStorage.getItem("mode") || "auto";\n'
        'document.documentElement.dataset.theme = localStorage.getItem("theme") || "auto";'
    )
    light = light_pages.light_page(page)
    assert light.startswith(page.splitlines()[0]) and "prefers-color-scheme: dark" in light
    assert 'getItem("theme")' not in light


def test_the_search_has_the_words_of_a_page_and_not_its_marks(tmp_path):
    page = tmp_path / "notebooks" / "one.html"
    page.parent.mkdir()
    page.write_text(
        "<nav>left</nav><article><h1>One<a class='headerlink'>#</a></h1><p>a &lt;b&gt; </p>"
        "<script>no()</script></article>"
    )
    text = light_pages.search_text(tmp_path, [page])
    assert text == 'window.SC_SEARCH_TEXT = {"notebooks/one.html": "One a <b>"};\n'


def rows(head):
    """Cells of each row of a head: (tag, text)."""
    soup = BeautifulSoup(f"<table>{head}</table>", "html.parser")
    return [[(c.name, c.get_text()) for c in row.select("th, td")] for row in soup.select("tr")]


def table(*lines):
    """A head of the given rows, written as pandas writes it; "" is an empty cell."""
    cells = ("".join(f"<th>{text}</th>\n" for text in line) for line in lines)
    return "<thead>\n" + "".join(f"<tr>\n{line}</tr>\n" for line in cells) + "</thead>"


@pytest.mark.parametrize(
    "lines, wanted",
    [
        ([["", "a"]], [[("th", "row"), ("th", "a")]]),
        ([["&nbsp;", "a"], ["name", ""]], [[("th", "name"), ("th", "a")]]),
        ([["", "", "a"], ["k", "l", "&nbsp;"]], [[("th", "k"), ("th", "l"), ("th", "a")]]),
        # Two names for one column are two rows.
        ([["of", "a"], ["name", ""]], [[("th", "of"), ("th", "a")], [("th", "name"), ("td", "")]]),
        ([["", "a"], ["", "b"]], [[("td", ""), ("th", "a")], [("th", "row"), ("th", "b")]]),
        ([["x", "a"]], [[("th", "x"), ("th", "a")]]),
    ],
)
def test_no_head_of_a_table_is_empty(lines, wanted):
    head = book_site.named_heads(table(*lines))
    assert rows(head) == wanted
    assert rows(book_site.named_heads(head)) == wanted


def test_heads_over_several_columns_are_not_moved():
    head = (
        '<thead><tr><th></th><th colspan="2">both</th></tr><tr><th>k</th><th></th>'
        "<th>l</th></tr></thead>"
    )
    found = rows(book_site.named_heads(head))
    assert found == [[("td", ""), ("th", "both")], [("th", "k"), ("td", ""), ("th", "l")]]


# ------------------------------------------------------------------ figures
def test_the_scripts_of_figures_are_the_whole_in_two_parts():
    from synthlib.viz import script

    parts = figures.scripts()
    assert "".join(parts.values()) == script.script()
    assert "SC.kinds[kind] =" in parts[figures.SCRIPT]
    for name in ("omega", "heatmaps", "dial", "reward"):
        assert f"SC.explorers.{name} = " in parts[figures.EXPLORERS]
    assert "SC.explorers.omega =" not in parts[figures.SCRIPT]


def test_a_slim_picture_shows_the_same():
    """Drawn by the script of the pages' own pictures; compared number by number."""
    from xml.etree import ElementTree

    from synthlib.viz import Figure

    data = {"x": [0.1234567, 2.2, 3.3, 4, 5], "y": [1.0, -2.7182818, 0.5, 1 / 3, 0],
            "who": ["a", "b & <c>", "a", "a", "a"]}  # fmt: skip
    whole = Figure(data, {"kind": "scatter", "x": "x", "y": "y", "series": "who"}, "three").svg()
    small = figures.slim(whole)
    assert len(small) < 0.9 * len(whole) and figures.slim(small) == small

    def marks(element, style=""):
        """What is drawn: tag, attributes, and the style, its own or that of the group around."""
        style = element.get("style", style)
        if not len(element) and re.search("path|use|rect", element.tag):
            yield element.tag, dict(element.attrib) | {"style": style}
        for child in element:
            yield from marks(child, style)

    before, after = (list(marks(ElementTree.fromstring(svg))) for svg in (whole, small))
    assert len(before) == len(after) > 20
    number = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
    for (tag, old), (same, new) in zip(before, after, strict=True):
        assert tag == same and set(old) == set(new)
        for key, value in old.items():
            if key.endswith(("href", "id", "style", "clip-path")):
                assert value == new[key]
                continue
            one, two = number.findall(value), number.findall(new[key])
            assert len(one) == len(two)
            assert all(abs(float(a) - float(b)) <= 0.00501 for a, b in zip(one, two, strict=True))
            assert number.sub("", value).split() == number.sub("", new[key]).split()
    scales = re.findall(r"scale\([^)]*\)", whole)
    assert scales and scales == re.findall(r"scale\([^)]*\)", small)


# ------------------------------------------------------------------ paper
def test_paper_has_solutions_and_no_code_that_was_folded():
    article = BeautifulSoup(
        '<article><div class="cell tag_hide-input"><details class="admonition hide"><summary>Show '
        "the code</summary><pre>draw()</pre></details><figure>picture</figure></div>"
        '<div class="cell tag_solution tag_hide-input"><details class="hide"><summary>x</summary>'
        "<pre>answer</pre></details></div><pre>shown</pre></article>",
        "html.parser",
    ).article
    make_pdf.prepare(article, "notebooks/01_x.html", "One")
    assert article.get_text(" ", strip=True) == "picture Solution answer shown"
    assert article.details.has_attr("open")


# ------------------------------------------------------------------ the built book
@pytest.fixture(scope="module")
def weights():
    """What the browser loaded of each page before it scrolled."""
    if reason := browser.missing():
        (pytest.fail if os.environ.get("BROWSER_REQUIRED") else pytest.skip)(reason)
    found = sorted(browser.SITE.glob("notebooks/*.html"))
    pages = [path.relative_to(browser.SITE).as_posix() for path in found]
    return browser.run("weigh", pages=["book/intro.html", "book/reference/gallery.html", *pages])


@pytest.mark.browser
class TestBeforeScrolling:
    def test_a_page_weighs_little(self, weights):
        heavy = {
            page: sorted(seen["files"].items(), key=lambda one: -one[1])[:6]
            for page, seen in weights.items()
            if seen["bytes"] > BYTES
        }
        assert heavy == {}

    def test_a_page_has_few_nodes(self, weights):
        """Those of pictures too: each that is loaded is a document of its own."""
        nodes = {page: seen["nodes"] for page, seen in weights.items()}
        assert {page: n for page, n in nodes.items() if n > NODES} == {}

    def test_figures_are_drawn_when_they_come_into_view(self, weights):
        with_figures = {page: seen for page, seen in weights.items() if seen["figures"] > 2}
        assert len(with_figures) >= len(weights) / 2
        for page, seen in with_figures.items():
            assert seen["awake"] < seen["figures"], page
        assert [page for page, seen in weights.items() if seen["drawn"] is False] == []

    def test_a_picture_that_is_far_is_not_loaded(self, weights):
        """And of each picture never the one for the other mode."""
        for page, seen in weights.items():
            pictures = [name for name in seen["files"] if name.startswith("_images/")]
            assert not [name for name in pictures if "-dark-" in name], page
            assert seen["figures"] < 3 or len(pictures) < seen["figures"], page

    def test_icons_are_there(self, weights):
        assert [page for page, seen in weights.items() if not seen["icons"]] == []
        assert not list(browser.SITE.glob("_static/scripts/fontawesome*"))

    def test_on_paper_code_stays_folded_and_nothing_else(self, weights):
        wanted = {"code": 0, "folded": 0, "lazy": 0, "restored": True}
        assert {p: s["print"] for p, s in weights.items() if s["print"] != wanted} == {}
        assert sum(seen["foldable"] for seen in weights.values()) > 50

    def test_nothing_is_missing(self, weights):
        for key in ("remote", "failed", "errors"):
            assert {page: seen[key] for page, seen in weights.items() if seen[key]} == {}


@pytest.mark.browser
def test_the_search_shows_text_where_a_page_is_a_file(weights):
    found = browser.run("search", query="contrast")
    assert found["errors"] == [] and found["remote"] == []
    assert len(found["excerpts"]) >= 5
    assert sum("contrast" in text.lower() for text in found["excerpts"]) >= 5
