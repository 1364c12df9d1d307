"""The slides: each part has a deck, each slide few words, and all that it shows is in the book."""

import html
import json
import os
import re

import living
import make_slides
import plain_markdown
import project
import pytest
import site_check
import student_edition
import yaml

PLANS = {path.stem: path for path in make_slides.plans()}


def deck(name):
    return make_slides.read(PLANS[name])[1]


# ------------------------------------------------------------------ plans
def test_each_part_of_the_book_has_a_deck_and_each_chapter_stands_in_one(root):
    contents = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))
    parts = {}
    for part in contents["parts"]:
        files = [entry["file"] for entry in part["chapters"]]
        numbers = [m[1] for m in (re.match(r"notebooks/(\d\d)_", file) for file in files) if m]
        if numbers:
            parts[part["caption"]] = numbers
    # Chapter 00 has a part of its own and opens the deck of the Foundations.
    parts["Foundations"] = parts.pop("Orientation") + parts["Foundations"]
    titles = {make_slides.read(path)[0]: path.stem for path in PLANS.values()}
    assert set(titles) == set(parts)
    for title, name in titles.items():
        shown = [a for slide in deck(name) for kind, a in slide.parts if kind == "chapter"]
        assert shown == parts[title]


@pytest.mark.parametrize("name", PLANS)
def test_slides_have_few_words_a_heading_and_only_what_the_book_has(name):
    slides = deck(name)
    assert make_slides.problems(slides) == []
    known = plain_markdown.numbers()
    for slide in slides:
        for kind, label in slide.parts:
            if kind in ("figure", "equation"):
                assert label in known, slide.place
                assert known[label][0] == kind.title(), slide.place
                assert known[label][1].split(".")[0] == str(int(slide.chapter)), slide.place


@pytest.mark.parametrize("name", PLANS)
def test_a_lesson_predicts_asks_exercises_and_ends_with_three_sentences(name):
    for chapter in {slide.chapter for slide in deck(name)} - {""}:
        kinds = [kind for s in deck(name) if s.chapter == chapter for kind in s.kinds()]
        assert kinds.count("exercises") == kinds.count("remember") == kinds.count("chapter") == 1
        assert kinds.count("ask") >= 1 and kinds.count("figure") >= 2, chapter
        assert len(make_slides.remembered(chapter)) == 3


@pytest.mark.parametrize("name", PLANS)
def test_no_slide_and_no_note_holds_a_line_of_a_solution(name):
    said = "".join(make_slides.shown_text(s) + make_slides.note_of(s) for s in deck(name))
    bare = re.sub(r"\s+", "", said)
    assert [line for line in student_edition.solution_lines() if line in bare] == []


def test_words_and_minutes_by_hand(tmp_path):
    plan = tmp_path / "one.md"
    plan.write_text(
        "# Title of all\n\nThree words here, and $x + y$.\n\nNote:\n" + "word " * 116
        + "\n---\n## Two\n\n{figure} fig-03-omega\n\n{equation} eq-03-flip\n"
    )  # fmt: skip
    title, (first, second) = make_slides.read(plan)
    assert title == "Title of all"
    assert make_slides.words(first.text) == 4
    assert make_slides.minutes(first) == 1.0  # 120 words
    assert make_slides.minutes(second) == 3.0  # a figure and an equation, no words


def test_the_page_for_instructors_is_read_as_it_stands():
    known = make_slides.teaching("03")
    assert known["minutes"] == [35, 35, 20]
    assert known["exercises"] == ["Any number of contexts", "From ω to guidance"]
    assert known["opening"].startswith("Open with one premise, two prompts and a pencil")
    assert len(known["warnings"]) == 4 and len(known["questions"]) == 3
    question, answer = known["questions"][1]
    assert question.endswith("what changes when we sample?")
    assert answer.startswith("The factor 1 − ω acts") and answer.endswith("samples more wildly.")
    assert make_slides.exercise_minutes("03")["From ω to guidance"] == 10


@pytest.mark.parametrize("path", project.chapters(), ids=lambda path: path.stem[:2])
def test_the_page_for_instructors_warns_and_answers_its_questions(path):
    known = make_slides.teaching(path.stem[:2])
    assert len(known["warnings"]) >= 2 and len(known["questions"]) >= 2
    assert [question for question, answer in known["questions"] if not answer] == []


@pytest.mark.parametrize(
    "line, said",
    [
        ("{figur} fig-03-omega", "nothing is fetched by"),
        ("{ask} Why", "no {chapter} stands before"),
        ("{chapter} 03\n{warn} read", "belongs behind 'Note:'"),
    ],
)
def test_a_plan_that_cannot_be_read_says_where(tmp_path, line, said):
    (tmp_path / "bad.md").write_text(f"# T\n---\n{line}\n")
    with pytest.raises(ValueError, match=r"bad\.md, slide 2: ") as error:
        make_slides.read(tmp_path / "bad.md")
    assert said in str(error.value)


def test_a_slide_of_too_many_words_and_a_question_that_is_none_are_named(tmp_path):
    (tmp_path / "long.md").write_text("# T\n---\n## Two\n\n" + "word " * 41)
    (line,) = make_slides.problems(make_slides.read(tmp_path / "long.md")[1])
    assert line == "long.md, slide 2: 41 words; a slide has 40 at most"
    (tmp_path / "ask.md").write_text("# T\n---\n{chapter} 03\n---\n## Q\n{ask} Who knows")
    with pytest.raises(ValueError, match="slide 3: 0 of the chapter's questions"):
        make_slides.problems(make_slides.read(tmp_path / "ask.md")[1])


# ------------------------------------------------------------------ decks
PAGE = """<article><div class="math" id="equation-eq-03-flip"><span class="eqno">(3.3)<a
class="headerlink" href="#x">#</a></span>\\[ a &lt; b, \\]</div><figure class="sc-figure"
id="fig-03-omega"><div class="sc-plate" data-figure="fig-03-omega"><picture><source
srcset="../_images/n.svg"><img class="only-light" src="../_images/w.svg" alt="A curve"
loading="lazy"></picture></div><div data-sc-figure data-sc-file="figures/o-1.js"></div>
<figcaption><span class="caption-number">Figure 3.6 </span></figcaption></figure></article>"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A built book of one page, a plan of two slides, and an empty reveal.js."""
    site, plans, reveal = (tmp_path / name for name in ("html", "plans", "reveal"))
    files = {
        site / "notebooks" / "03_contrastive_generation.html": PAGE, site / "_images/w.svg": "",
        site / "_static/figures/o-1.js": "SC.provide()", site / "_static/generator-t5.js": "",
        site / "_static/vendor/mathjax/startup.js": "", plans / "multicsr.md":
        "# It's a test\n---\n{chapter} 03\n---\n## One\n\n{equation} eq-03-flip\n\n"
        "{figure} fig-03-omega\n\nNote:\nsaid $z$\n{warn} subtract\n",
    }  # fmt: skip
    files |= {reveal / name: "" for name in make_slides.REVEAL_FILES}
    files |= {plans / name: "" for name in ("deck.js", "deck.css")}
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(make_slides, "PLANS", plans)
    monkeypatch.setattr(make_slides, "ORDER", ("multicsr",))
    return site, tmp_path / "slides", reveal


def test_a_deck_has_figure_equation_and_note_and_loads_only_what_lies_beside_it(small):
    site, out, reveal = small
    ((name, count, _),) = make_slides.write(site, out, reveal)
    assert (name, count) == ("multicsr", 3)
    text = (out / "multicsr.html").read_text()
    assert "<title>It&#x27;s a test" in text and "It’s a test</h1>" in text
    assert '<img alt="A curve" class="only-light" src="assets/images/w.svg"/>' in text
    assert '<div data-sc-figure="" data-sc-file="figures/o-1.js"></div>' in text
    assert "\\[a &lt; b\\]" in text and "Figure 3.6 of the book" in text
    note = html.unescape(text.rpartition('<aside class="notes">')[2])
    assert "\\(z\\)" in note and "subtract probabilities" in note
    # The minutes: a figure, an equation, some thirty words.
    assert 'data-timing="210"' in text or 'data-timing="180"' in text
    for page in out.glob("*.html"):
        seen = site_check.Page(page.read_text())
        for address in seen.loads:
            assert not site_check.REMOTE.match(address) and (out / address).exists(), address
        assert all(site_check.remote_names(part) == [] for part in seen.inline)
    assert (out / "assets/figures/o-1.js").read_text() == "SC.provide()"
    assert "view.scale()" in (out / "assets/living.js").read_text()


def test_what_the_built_book_does_not_have_is_named_and_nothing_is_replaced(small):
    site, out, reveal = small
    make_slides.write(site, out, reveal)
    page = site / "notebooks" / "03_contrastive_generation.html"
    page.write_text(PAGE.replace("fig-03-omega", "fig-03-other"))
    with pytest.raises(ValueError, match="slide 3: the built book has no fig-03-omega"):
        make_slides.write(site, out, reveal)
    assert (out / "multicsr.html").is_file()


def test_without_a_built_book_it_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(project, "SITE", tmp_path / "html")
    assert make_slides.main([]) == 1
    assert "run `make book` first" in capsys.readouterr().err


def test_without_npm_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(make_slides, "REVEAL", tmp_path)
    monkeypatch.setattr(make_slides.shutil, "which", lambda name: None)
    with pytest.raises(RuntimeError, match="install Node.js"):
        make_slides.install()


def test_reveal_is_pinned():
    wanted = json.loads((make_slides.PLANS / "package.json").read_text())["dependencies"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", wanted["reveal.js"]) and len(wanted) == 1


# ------------------------------------------------------------------ in a browser
WALK = (living.browser.HERE / "slides_walk.js").read_text("utf-8")
POINT = (living.browser.HERE / "slides_point.js").read_text("utf-8")


@pytest.fixture
def decks():
    """The built decks; skipped without them, failed where `BROWSER_REQUIRED` is set."""
    reason = living.missing()
    if not reason and not (make_slides.FOLDER / "index.html").is_file():
        reason = "the slides are not made: run `make slides` after `make book`"
    if reason:
        (pytest.fail if os.environ.get("BROWSER_REQUIRED") else pytest.skip)(reason)
    return make_slides.FOLDER


@pytest.mark.browser
@pytest.mark.parametrize("name, scheme", [(n, "light" if i % 2 else "dark")
                                          for i, n in enumerate(PLANS)])  # fmt: skip
def test_every_slide_is_whole_and_alive_at_1280_by_720(decks, name, scheme):
    (seen,) = living.run({"file": decks / f"{name}.html", "code": WALK, "width": 1280,
                          "height": 720, "scheme": scheme})  # fmt: skip
    assert seen["remote"] == seen["errors"] == seen["dialogs"] == []
    slides = seen["result"]
    assert len(slides) == len(deck(name)), "the deck is older than its plan: run `make slides`"
    for number, slide in enumerate(slides, start=1):
        where = f"{name}, slide {number}: {slide['title']}"
        assert slide["over"] == [], where
        assert slide["alive"] and slide["large"], where
        assert slide["errors"] == slide["raw"] == 0, where
        assert slide["small"] >= 26, where


@pytest.mark.browser
def test_an_enlarged_figure_answers_where_it_is_pointed_at_and_the_speaker_follows(decks):
    (seen,) = living.run({"file": decks / "multicsr.html", "code": POINT, "width": 1280,
                          "height": 720, "scheme": "light"})  # fmt: skip
    assert seen["remote"] == seen["errors"] == []
    said = seen["result"]
    assert said["tip"].split("\n")[:2] == ["T5, entailment", "right"]
    assert "What goes wrong?" in said["first"]
    assert "Next: Why not simply ask again?" in said["first"]
    assert "A student may count a copy" in said["first"]
    assert "Why not simply ask again?" in said["second"] and "4 of" in said["second"]
    assert said["theme"] == "dark"
