"""The built book as a reader meets it: headless Chromium, no network.

Each page is opened in four views, and one load serves all checks of a view: light (a file; figures
by keyboard, citations, axe-core, paper), dark (through a server on 127.0.0.1; axe-core), phone (a
file, 390 px) and plain (a file, JavaScript switched off).
"""

import os
import re

import browser
import pytest

pytestmark = pytest.mark.browser

#: Pages that Sphinx makes by itself.
GENERATED = {"search.html", "genindex.html", "index.html"}


def pages():
    """The book's own pages, relative to the site."""
    if not browser.SITE.is_dir():
        return []
    found = (p.relative_to(browser.SITE).as_posix() for p in sorted(browser.SITE.rglob("*.html")))
    return [p for p in found if not p.startswith("_static/") and p not in GENERATED]


@pytest.fixture(scope="module")
def ready():
    """Skip, or fail where `BROWSER_REQUIRED` is set, when something is missing."""
    reason = browser.missing()
    if reason:
        (pytest.fail if os.environ.get("BROWSER_REQUIRED") else pytest.skip)(reason)


@pytest.fixture(scope="module")
def report(ready):
    """What the browser saw: page -> view -> measurements."""
    return browser.run("check", pages=pages())


def each(report, views=("light", "dark", "phone")):
    """Page, view and measurements, one after the other."""
    for page, seen in report.items():
        for view in views:
            yield page, view, seen[view]


def collect(report, test, **chosen):
    """Where a measurement is not what it should be."""
    found = ((page, view, test(seen)) for page, view, seen in each(report, **chosen))
    return [f"{page} ({view}): {what}" for page, view, what in found if what]


def test_there_are_pages(report):
    assert len(report) >= 3 and "book/intro.html" in report


EVERY_VIEW = ("light", "dark", "phone", "plain")


def test_no_request_leaves_the_book(report):
    """Neither from a page opened as a file nor from one that a server sent."""
    assert collect(report, lambda seen: seen["remote"], views=EVERY_VIEW) == []


def test_every_file_is_there(report):
    assert collect(report, lambda seen: seen["failed"], views=EVERY_VIEW) == []


def test_no_error_in_the_console(report):
    assert collect(report, lambda seen: seen["errors"], views=EVERY_VIEW) == []


def test_axe_finds_nothing_grave(report):
    """WCAG 2.2 A and AA and axe-core's best practices, light and dark."""

    def found(seen):
        grave = [f for f in seen["axe"] if f["impact"] in ("serious", "critical")]
        return [f"{f['rule']}: {f['place']} {f['html']} {f['why']}" for f in grave][:5]

    assert collect(report, found, views=("light", "dark")) == []


def test_every_figure_lives_and_answers_the_keyboard(report):
    def dead(seen):
        keys = ("alive", "changed", "says")
        return [f for f in seen["living"] if not all(f[key] for key in keys) or f["error"]]

    assert collect(report, dead, views=("light",)) == []
    small = collect(report, lambda s: [f for f in s["living"] if f["small"]], views=("light",))
    assert small == [], "targets lower than 24 px"
    figures = sum(len(seen["living"]) for _, _, seen in each(report, ("light",)))
    assert figures >= 20


def test_every_figure_is_a_picture_without_javascript(report):
    assert collect(report, lambda seen: seen["no_picture"], views=("plain",)) == []
    for page, views in report.items():
        assert views["plain"]["words"] > 200, page
        assert views["plain"]["figures"] >= len(views["light"]["living"]), page


def test_paper(report):
    """Ctrl+P: no code cut off, pictures instead of living figures, nothing for screens only."""
    for key in ("cut_off", "no_picture", "living", "screen_only"):
        assert collect(report, lambda seen, key=key: seen["paper"][key], views=("light",)) == [], (
            key
        )
    assert all(seen["paper"]["title"] for _, _, seen in each(report, ("light",)))


def test_citations_show_their_reference(report):
    """By keyboard and by pointer; it can be pointed at and dismissed (WCAG 1.4.13)."""
    cited = {page: seen["citation"] for page, _, seen in each(report, ("light",))}
    cited = {page: seen for page, seen in cited.items() if seen}
    assert sum(page.startswith("notebooks/") for page in cited) >= 5
    for page, seen in cited.items():
        assert seen["titles"] == 0 and re.search(r"\b(19|20)\d\d\b", seen["text"]), page
        for key in ("focus", "described", "escaped", "hover", "stays", "leaves"):
            assert seen[key], (page, key)


def test_equations_are_rendered(report):
    assert collect(report, lambda seen: seen["math_errors"]) == []
    assert collect(report, lambda s: s["equations"] - s["rendered"]) == []
    chapters = [seen for page, _, seen in each(report) if page.startswith("notebooks/")]
    assert not chapters or sum(seen["rendered"] for seen in chapters) > 0


def test_every_image_has_a_text(report):
    assert collect(report, lambda seen: seen["no_alt"]) == []
    assert collect(report, lambda seen: seen["svg_without_name"]) == []


def test_every_image_is_shown(report):
    assert collect(report, lambda seen: seen["not_loaded"]) == []
    assert collect(report, lambda seen: seen["huge_icons"]) == []


def test_dark_and_light_follow_the_reader(report):
    for page, views in report.items():
        assert views["light"]["theme"] == "light" and not views["light"]["dark_ground"], page
        assert views["dark"]["theme"] == "dark" and views["dark"]["dark_ground"], page
    assert collect(report, lambda s: s["contrast"] < 7 and f"contrast {s['contrast']:.1f}") == []


def test_nothing_is_wider_than_the_page(report):
    """At 390 px, a phone, tables and equations scroll inside themselves."""
    wide = collect(report, lambda s: s["overflow"] > 0 and f"{s['overflow']} px: {s['too_wide']}")
    assert wide == []


def test_code_has_copy_buttons_and_solutions_are_folded(report):
    for page, view, seen in each(report):
        if page.startswith("notebooks/"):
            assert seen["copy_buttons"] > 0, page
            asked = 0 if page.startswith("notebooks/A") else 3  # an appendix asks for nothing
            assert seen["solutions"] >= asked and seen["open_solutions"] == 0, (page, view)


def test_no_dead_buttons(report):
    assert collect(report, lambda seen: seen["empty_links"]) == []
    if not os.environ.get("BOOK_REPO_URL"):
        for page in pages():
            text = (browser.SITE / page).read_text(encoding="utf-8")
            address = "colab.research.google.com/github|mybinder.org/v2"
            assert not re.search(f'href="[^"]*(?:{address})', text), page


@pytest.mark.parametrize(
    "query, expected", [("contrast", "book/intro.html"), ("zzqqxxy", None)], ids=["hit", "no hit"]
)
def test_search(ready, query, expected):
    found = browser.run("search", query=query)
    assert found["errors"] == [] and found["remote"] == []
    hits = [hit.split("#")[0].split("?")[0] for hit in found["hits"]]
    assert hits == [] if expected is None else expected in hits


def test_numbers_in_student_notebooks_are_those_of_the_site(ready):
    """The generator counts figures, equations and exercises by itself; Sphinx must agree."""
    import plain_markdown

    text = {page: (browser.SITE / page).read_text(encoding="utf-8") for page in pages()}
    wrong = []
    for label, (kind, number) in plain_markdown.numbers().items():
        (page,) = [p for p in text if p.startswith(f"notebooks/{int(number.split('.')[0]):02d}_")]
        anchor = f'id="{"equation-" if kind == "Equation" else ""}{label}"'
        start = text[page].find(anchor)
        part = re.sub(r"(?s)<script.*?</script>", "", text[page][start : start + 1_000_000])
        shown = re.sub(r"<[^>]+>", "", part[:200_000])
        found = re.search(r"\(?(?:Figure|Exercise|(?<=\())\s*(\d+\.\d+)", shown)
        if start < 0 or not found or found.group(1) != number:
            wrong.append(f"{label}: {number}, the site has {found and found.group(1)}")
    assert wrong == []
