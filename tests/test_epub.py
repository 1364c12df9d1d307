"""The book for an e-reader: what pandoc is handed, and what it makes of it."""

import ast
import re
import zipfile
from xml.etree import ElementTree

import pytest
from bs4 import BeautifulSoup
from test_pdf import site  # noqa: F401 (a fixture)

import make_epub  # isort: skip (test_pdf has put book/_ext on the path)
import make_pdf  # isort: skip

XHTML = "{http://www.w3.org/1999/xhtml}"


def plain(body):
    """A page of one heading, prepared."""
    text = f'<section class="print-page" id="page-a"><article><h1>A</h1>{body}</article></section>'
    return BeautifulSoup(make_epub.plain(text), "html.parser")


def test_headings_stand_in_no_box_and_take_the_place_of_their_sections():
    page = plain('<section id="s"><h2>B</h2><p>c</p></section><a href="#s">B</a>')
    assert not page.find(["section", "article"])
    assert page.h2["id"] == "s" and page.find("a")["href"] == "#s"


def test_a_link_to_a_page_leads_to_its_heading():
    text = (
        '<section class="print-page" id="page-a"><section id="a"><h1>A</h1></section></section>'
        '<section class="print-page" id="page-b"><section id="b"><h1>B</h1>'
        '<a href="#page-a">A</a></section></section>'
    )
    page = BeautifulSoup(make_epub.plain(text), "html.parser")
    assert page.find("a")["href"] == "#a" and page.find("h1")["id"] == "a"


def test_what_a_link_wants_is_kept_in_a_span_and_tables_stay_tables():
    page = plain(
        '<figure id="f"><img src="x.svg" alt="y"></figure><table id="T_1"><tr id="row"><td>1</td>'
        '</tr></table><a href="#f">f</a><a href="#row">r</a>'
    )
    assert page.figure.span["id"] == "f" and page.td.span["id"] == "row"
    assert [tag.name for tag in page.table.find_all(recursive=False)] == ["tr"]
    assert not page.select("[id=T_1]")


def test_code_is_text_in_its_language_and_solutions_are_unfolded():
    page = plain(
        '<div class="highlight-ipython3"><pre><span class="k">def</span> f(): ...</pre></div>'
        '<details open><summary>Solution</summary><pre>x</pre></details><style scoped>p {}</style>'
    )
    assert page.pre["class"] == ["python"] and page.pre.string == "def f(): ..."
    assert page.select_one("div.solution p").string == "Solution" and not page.details
    assert not page.style


def test_what_only_the_page_can_draw_becomes_its_words():
    page = plain('<svg aria-label="Three rooms." viewbox="0 0 1 1"><text class="">a</text></svg>')
    assert not page.svg and "Three rooms." in page.get_text()


#: What a reader of a picture cannot do. (That a figure "turns the order round" is no request.)
TO_DO = re.compile(
    r"\b(drag|press|click|hover|tick|sliders?|handles?|choose|you turn|turn (to|\$)|point at|"
    r"in print)(?!\w)", re.I,
)  # fmt: skip


def test_no_picture_asks_for_what_only_a_living_figure_can_do(root):
    """Captions as the chapters say them, and as an e-reader and paper have them."""
    from synthlib.viz.figure import parted

    living = 0
    for path in sorted((root / "book" / "chapters").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.keyword) or node.arg != "caption":
                continue
            texts = [part.value for part in ast.walk(node.value)
                     if isinstance(part, ast.Constant) and isinstance(part.value, str)]  # fmt: skip
            caption = " ".join("".join(texts).split())
            still = "".join(text for text, where in parted(caption) if where != "living")
            assert not TO_DO.search(still), f"{path.name}: {still}"
            living += bool(TO_DO.search(caption))
    assert living >= 8


def test_the_style_reaches_the_reader(pictures, tmp_path):
    """On a dark page pictures have a white ground; code is not made small twice."""
    files = made(pictures, tmp_path / "a.epub")
    (sheet,) = [data.decode() for name, data in files.items() if name.endswith(".css")]
    rules = {one.strip(): look for one, look in re.findall(r"([^{}]+)\{([^{}]*)\}", sheet)}
    assert "background: #fff" in rules["img"]
    sizes = {one: float(re.search(r"font-size: ([\d.]+)em", rules[one])[1])
             for one in ("pre", "code", "pre code")}  # fmt: skip
    assert sizes["pre code"] == 1 and 0.75 <= sizes["pre"] <= 0.95 and sizes["code"] >= 0.85
    page = next(data for name, data in files.items() if "ch002" in name).decode()
    assert 'href="../styles/stylesheet1.css"' in page and "<img" in page


def opened(path):
    """Files of an EPUB: name to bytes."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def made(site, out):  # noqa: F811
    """The EPUB of a site, opened."""
    text, _ = make_pdf.join(site, "1.2.3")
    make_epub.write(
        make_epub.plain(text), out, site=site, version="1.2.3", day=(2026, 11, 30, 12, 0, 0)
    )
    return opened(out)


def checked(files):
    """All that is XML parses, all links lead somewhere, all pictures are there."""
    places = {}
    for name, data in files.items():
        if name.endswith((".xhtml", ".svg", ".opf", ".ncx")):
            ElementTree.fromstring(data)
            assert not name.endswith(".svg") or b"<!DOCTYPE" not in data, name
        places[name] = re.findall(r'\sid="([^"]+)"', data.decode("utf-8", "replace"))
    for name in [name for name in files if name.startswith("EPUB/text/")]:
        assert len(set(places[name])) == len(places[name]), f"{name}: an id twice"
        page = ElementTree.fromstring(files[name])
        for link in page.iter(f"{XHTML}a"):
            path, _, place = link.get("href", "").partition("#")
            if not re.match("[a-z]+:", path):
                target = f"EPUB/text/{path}" if path else name
                assert target in files and (not place or place in places[target]), link.get("href")
        for picture in page.iter(f"{XHTML}img"):
            assert picture.get("src").replace("../", "EPUB/") in files


@pytest.fixture
def pictures(site):  # noqa: F811
    """The pictures that the small site names."""
    folder = site / "_images"
    folder.mkdir()
    head = '<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "x.dtd">\n'
    for name in ("p.svg", "w.svg"):
        (folder / name).write_text(
            f'{head}<svg xmlns="http://www.w3.org/2000/svg"><path id="a"/></svg>'
        )
    return site


def test_a_page_is_a_file_and_links_lead_from_file_to_file(pictures, tmp_path):
    files = made(pictures, tmp_path / "a.epub")
    checked(files)
    pages = [files[name].decode() for name in sorted(files) if name.startswith("EPUB/text/ch")]
    titles = [re.search(r"<h1[^>]*>(.*?)</h1>", page)[1] for page in pages]
    assert titles == ["About this book", "notebooks/01_one", "notebooks/02_two"]
    assert 'href="ch003.xhtml#' in pages[0] and 'href="ch002.xhtml#' in pages[2]
    assert made(pictures, tmp_path / "b.epub") == files  # the same bytes


def test_a_missing_picture_is_an_error(site, tmp_path):  # noqa: F811
    with pytest.raises(OSError, match=r"p\.svg|w\.svg"):
        made(site, tmp_path / "a.epub")


@pytest.mark.browser
def test_the_whole_book(root):
    path = root / "_build" / "book.epub"
    if not path.is_file():
        pytest.skip("no _build/book.epub: make epub")
    files = opened(path)
    checked(files)
    text = b"".join(data for name, data in files.items() if name.startswith("EPUB/text/"))
    assert text.count(b"<math") > 900 and text.count(b"<table") > 100
    assert text.count(b"<figure") > 100 and b"\\(" not in re.sub(rb"<pre.*?</pre>", b"", text)
    captions = re.findall(r"<figcaption.*?</figcaption>", text.decode(), re.S)
    assert [one for one in captions if TO_DO.search(re.sub("<[^>]*>", "", one))] == []
