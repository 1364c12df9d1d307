"""Slides, a deck a part, from the plans in `book/slides` and the built book: `make slides`.

    python book/_ext/make_slides.py            write _build/slides/index.html and the decks
    python book/_ext/make_slides.py --pdf      and print each deck to a PDF beside it

A plan is a lesson in Markdown: slides between lines ``---``, what is said behind ``Note:``, as
reveal.js has it. What the book already has is fetched from it, and never written twice; on a line
of its own stand

    {chapter} 03               the chapter's title; its opening for instructors goes to the note
    {figure} fig-03-omega      the living figure, from the built page
    {equation} eq-03-contrast  the equation, with its number
    {predict}                  the line that follows is asked before anybody looks
    {ask} The same model …     a question of the page for instructors by its first words; the
                               answer goes to the note
    {warn} subtract prob…      a misunderstanding of that page by its first words, in a note
    {exercises}                the chapter's exercises for class
    {remember}                 the chapter's three sentences

The decks and all that they load lie in one folder, which can be carried away and opened as files.
"""

import argparse
import functools
import html
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import course_page
import figures
import jupytext
import project
from bs4 import BeautifulSoup
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from synthlib.viz import script

PLANS = project.ROOT / "book" / "slides"
TEMPLATES = PLANS
FOLDER = project.BUILD / "slides"
REVEAL = project.BUILD / "reveal"
INSTRUCTORS = project.ROOT / "book" / "reference" / "instructors.md"
#: Files of the reveal.js package that a deck loads, and its licence.
REVEAL_FILES = ("dist/reveal.js", "dist/reveal.css", "LICENSE")
#: Words that a slide may show; a title and the source of a figure are not counted.
WORDS = 40
#: The rule of the minutes: words a minute that are read from the slide or said from its note, and
#: minutes that a class spends on what else stands there.
SPOKEN = 120
SPENT = {"figure": 2.0, "equation": 1.0, "predict": 1.5, "ask": 2.0, "exercises": 0.0}
ORDER = ("foundations", "multicsr", "art", "ranking", "in-the-field", "beyond")
_LINE = re.compile(r"^\{(chapter|figure|equation|predict|ask|warn|exercises|remember)\} ?(.*)$")

MATHJAX = {
    "loader": {"load": ["input/tex", "output/chtml", "a11y/assistive-mml"]},
    "options": {"ignoreHtmlClass": "slides", "processHtmlClass": "math"},
}


@dataclass
class Slide:
    """One slide of a plan.

    Attributes
    ----------
    place : str
        File and number, for messages.
    parts : list of (kind, argument)
        What is shown, in its order: "text" with Markdown, or what is fetched from the book.
    note : str
        Markdown that is said.
    chapter : str
        Two digits; "" before the first chapter.
    """

    place: str
    note: str
    parts: list = field(default_factory=list)
    chapter: str = ""

    @property
    def text(self):
        """All that the plan itself says on the slide (Markdown)."""
        return "\n\n".join(text for kind, text in self.parts if kind == "text")

    def kinds(self):
        """What kinds of things it has."""
        return [kind for kind, _ in self.parts]


# ------------------------------------------------------------------ what the book has
@functools.cache
def _chapter(number):
    (path,) = project.CHAPTERS.glob(f"{number}_*.py")
    return path, "\n".join(
        cell.source for cell in jupytext.read(path, fmt="py:percent").cells
        if cell.cell_type == "markdown"
    )  # fmt: skip


def chapter_title(number):
    """Title of a chapter, as its source has it."""
    return re.search(r"^# (.+)$", _chapter(number)[1], re.M)[1].strip()


def remembered(number):
    """The three sentences that end a chapter."""
    _, text = _chapter(number)
    part = text.partition("## Three sentences to remember\n")[2].partition("```")[0]
    return [" ".join(item.split()) for item in re.split(r"^\d\. ", part, flags=re.M)[1:]]


def _sections():
    """The page for instructors by headings: {heading: text up to the next one}."""
    parts = re.split(r"^#{2,3} (.+)$", INSTRUCTORS.read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@functools.cache
def teaching(number):
    """What the page for instructors says of a chapter.

    Returns
    -------
    dict
        ``minutes`` (idea, notebook, exercises), ``exercises`` (names for class), ``home`` (the one
        thing to take home), ``opening``, ``warnings`` (list), ``questions`` (list of question and
        answer, which may be "").
    """
    page = INSTRUCTORS.read_text(encoding="utf-8")
    row = re.search(rf"^\| {number} (.+?) \| ([\d, ]+) \| (.+?) \| (.+?) \|$", page, re.M)
    if not row:
        raise ValueError(f"{INSTRUCTORS.name} has no row for chapter {number}")
    name, sections = row[1], _sections()
    own = next(
        (text for head, text in sections.items()
         if head == name or re.fullmatch(rf"Teaching .*: chapter {number}", head)), None,
    )  # fmt: skip
    if own is None:
        raise ValueError(f"{INSTRUCTORS.name} has no section {name!r} for chapter {number}")
    opening = re.search(r"^Open with .+?(?=\n\n)", own, re.M | re.S)
    items = own.partition("*A student may*")[2].partition("*Questions.*")[0]
    warnings = [" ".join(item.split()) for item in re.split(r"^- ", items, flags=re.M)[1:]]
    asked = " ".join(own.partition("*Questions.*")[2].split("\n\n")[0].split())
    found = re.findall(r"\s*(.+?\?)(?:\s+\(((?:[^()]|\([^()]*\))*)\))?(?=\s|$)", asked)
    return {
        "minutes": [int(part) for part in row[2].split(",")],
        "exercises": re.findall(r"\*(.+?)\*", row[3]), "home": row[4],
        "opening": " ".join(opening[0].split()) if opening else "",
        "warnings": warnings, "questions": found,
    }  # fmt: skip


def exercise_minutes(number):
    """Minutes of each exercise of a chapter by its title."""
    path, text = _chapter(number)
    titles = re.findall(r"^[`:]{3,}\{exercise\} (.+)$", text, re.M)
    return dict(zip(titles, course_page.exercise_minutes(path.read_text("utf-8")), strict=True))


def _only(found, kind, words, place):
    """The one of several texts that begins so; a text may be a tuple, whose first part counts."""
    fits = [one for one in found if (one if isinstance(one, str) else one[0]).startswith(words)]
    if len(fits) != 1:
        raise ValueError(
            f"{place}: {len(fits)} of the chapter's {kind} in {INSTRUCTORS.name} begin with "
            f"{words!r}: give the first words of one"
        )
    return fits[0]


# ------------------------------------------------------------------ plans
def read(path):
    """The slides of a plan.

    Returns
    -------
    title : str
    slides : list of Slide

    Raises
    ------
    ValueError
        A plan that cannot be read; names file, slide and fault.
    """
    path = Path(path)
    slides, chapter = [], ""
    parts = re.split(r"^---$", path.read_text(encoding="utf-8"), flags=re.M)
    title = re.match(r"\s*# (.+)$", parts[0], re.M)
    if not title:
        raise ValueError(f"{path.name}: the first slide has a title: '# …'")
    for count, part in enumerate(parts, start=1):
        shown, _, note = part.partition("\nNote:\n")
        slide, text = Slide(f"{path.name}, slide {count}", note.strip()), []

        def told(slide=slide, text=text):
            if shown := "\n".join(text).strip():
                slide.parts.append(("text", shown))
            text.clear()

        for line in shown.strip().splitlines():
            found = _LINE.match(line)
            if line.startswith("{") and not found:
                raise ValueError(f"{slide.place}: nothing is fetched by {line!r}")
            if not found:
                text.append(line)
                continue
            kind, argument = found[1], found[2].strip()
            if kind == "chapter":
                chapter = argument
            if kind in ("ask", "warn", "exercises", "remember") and not chapter:
                raise ValueError(f"{slide.place}: no {{chapter}} stands before {line!r}")
            if kind == "warn":
                raise ValueError(f"{slide.place}: {{warn}} belongs behind 'Note:'")
            told()
            slide.parts.append((kind, argument))
        told()
        slide.chapter = chapter
        slides.append(slide)
    return title[1].strip(), slides


def note_of(slide):
    """What is said to a slide, with what the page for instructors has for it (Markdown)."""
    lines, extra = [], []
    for line in slide.note.splitlines():
        found = _LINE.match(line)
        if found and found[1] == "warn":
            warning = _only(teaching(slide.chapter)["warnings"], "misunderstandings",
                            found[2].strip(), slide.place)  # fmt: skip
            lines.append(f"- *A student may* {warning}")
        elif found:
            raise ValueError(f"{slide.place}: {line!r} belongs before 'Note:'")
        else:
            lines.append(line)
    for kind, argument in slide.parts:
        known = teaching(slide.chapter) if slide.chapter else {}
        if kind == "chapter":
            idea, notebook, exercises = known["minutes"]
            extra.append(f"A double lesson: {idea} minutes for the idea, {notebook} at the "
                         f"notebook, {exercises} for exercises.")  # fmt: skip
            extra.append(known["opening"])
            extra.append(f"To take home: {known['home']}")
        if kind == "ask":
            answer = _only(known["questions"], "questions", argument, slide.place)[1]
            extra.append(f"*Answer.* {answer}" if answer else "Open: hear three answers.")
    return "\n\n".join(part for part in ["\n".join(lines), *extra] if part.strip())


def shown_text(slide):
    """All words that a slide shows besides its heading, as Markdown."""
    known, parts = teaching(slide.chapter) if slide.chapter else {}, [slide.text]
    for kind, argument in slide.parts:
        if kind == "ask":
            parts.append(_only(known["questions"], "questions", argument, slide.place)[0])
        if kind == "exercises":
            takes = exercise_minutes(slide.chapter)
            absent = [name for name in known["exercises"] if name not in takes]
            if absent:
                raise ValueError(f"{slide.place}: the chapter has no exercise {absent[0]!r}")
            parts += [f"- {name}, {takes[name]} minutes" for name in known["exercises"]]
    return "\n\n".join(part for part in parts if part)


def words(markdown):
    """How many words a text has; a formula is none, and neither is a heading."""
    text = re.sub(r"\$[^$]*\$|^#+ .*$|^```.*$", " ", markdown, flags=re.M)
    return len(re.findall(r"\w[\w'’.-]*", text))


def minutes(slide):
    """Minutes that a slide takes, by the rule above; half a minute at least."""
    said = words(shown_text(slide)) + words(note_of(slide))
    if "remember" in slide.kinds():
        said += sum(words(sentence) for sentence in remembered(slide.chapter))
    spent = said / SPOKEN + sum(SPENT.get(kind, 0) for kind in slide.kinds())
    return max(0.5, round(2 * spent) / 2)


def problems(slides):
    """What is wrong with slides before anything is built, one line each."""
    found = []
    for slide in slides:
        count = words(shown_text(slide))
        if count > WORDS:
            found.append(f"{slide.place}: {count} words; a slide has {WORDS} at most")
        if "remember" in slide.kinds():
            found += [f"{slide.place}: a sentence of {words(one)} words: {one[:40]}"
                      for one in remembered(slide.chapter) if words(one) > WORDS]  # fmt: skip
        if not re.match(r"#{1,2} \S", slide.text) and "chapter" not in slide.kinds():
            found.append(f"{slide.place}: it has no heading")
        note_of(slide)
    return found


# ------------------------------------------------------------------ the built book
class Book:
    """Figures and equations of the built pages.

    Parameters
    ----------
    site : Path
        The built site.
    """

    def __init__(self, site):
        self.site, self.files = Path(site), {}

    @functools.cache  # noqa: B019 - one book a run
    def page(self, number):
        """Page of a chapter, parsed."""
        path, _ = _chapter(number)
        file = self.site / "notebooks" / f"{path.stem}.html"
        if not file.is_file():
            raise FileNotFoundError(f"no page {file}: run `make book` first")
        return BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")

    def _find(self, label, place, anchor):
        number = re.match(r"\w+-(\d\d)-", label)
        tag = self.page(number[1]).find(id=anchor) if number else None
        if tag is None:
            raise ValueError(f"{place}: the built book has no {label}; is it older than the plan?")
        return tag

    def figure(self, label, place):
        """A figure as it stands on a slide, and its number."""
        tag = self._find(label, place, label)
        number = tag.select_one(".caption-number").get_text(strip=True)
        plate = BeautifulSoup(str(tag.select_one(".sc-plate")), "html.parser")
        for source in plate.select("source"):
            source.decompose()
        for image in plate.select("img"):
            name = Path(image["src"]).name
            self.files[f"images/{name}"] = self.site / "_images" / name
            image["src"] = f"assets/images/{name}"
            del image["loading"], image["decoding"]
        living = tag.select_one("[data-sc-figure]")
        if living is not None and living.get("data-sc-file"):
            file = living["data-sc-file"]
            self.files[file] = self.site / "_static" / file
        body = f"{plate}{living or ''}"
        return f'<div class="stage"><figure id="{label}">{body}</figure></div>', number

    def equation(self, label, place):
        """An equation as it stands on a slide."""
        tag = self._find(label, place, f"equation-{label}")
        number = tag.select_one(".eqno").get_text().replace("#", "").strip()
        tex = tag.get_text().partition("\\[")[2].rpartition("\\]")[0].strip().rstrip(",. ")
        return (
            f'<div class="equation" id="{label}"><div class="tex math">\\['
            f"{html.escape(tex, quote=False)}\\]</div><span class=eqno>{number}</span></div>"
        )


# ------------------------------------------------------------------ decks
def _renderer():
    found = MarkdownIt("commonmark", {"html": False, "typographer": True}).enable("smartquotes")
    found.use(dollarmath_plugin)
    found.add_render_rule(
        "math_inline",
        lambda self, tokens, at, options, env:
        f'<span class="math">\\({html.escape(tokens[at].content, quote=False)}\\)</span>',
    )  # fmt: skip
    return found.render


def slide_html(slide, book):
    """One slide as a section of a deck."""
    render, kinds = _renderer(), slide.kinds()
    known = teaching(slide.chapter) if slide.chapter else {}

    def inline(text):
        return render(text).strip().removeprefix("<p>").removesuffix("</p>")

    shown, source, level = [], [], 0
    for kind, argument in slide.parts:
        if kind == "chapter":
            title = html.escape(chapter_title(argument))
            shown.append(f"<p class=kicker>Chapter {argument}</p><h1>{title}</h1>")
        elif kind == "text":
            if heading := not level and re.match(r"(#{1,2}) (.+)\n*", argument):
                level = len(heading[1])
                shown.append(f"<h{level}>{inline(heading[2])}</h{level}>")
                argument = argument[heading.end() :]
            look = ' class="question"' if "predict" in kinds else ""
            shown.append(f"<div{look}>{render(argument)}</div>" if argument.strip() else "")
        elif kind == "figure":
            figure, number = book.figure(argument, slide.place)
            shown.append(figure)
            source.append(number)
        elif kind == "equation":
            shown.append(book.equation(argument, slide.place))
        elif kind == "ask":
            question = _only(known["questions"], "questions", argument, slide.place)[0]
            shown.append(f'<div class="question">{render(question)}</div>')
        elif kind == "exercises":
            takes = exercise_minutes(slide.chapter)
            items = "".join(f"<li>{inline(name)}, {takes[name]} minutes</li>"
                            for name in known["exercises"])  # fmt: skip
            shown.append(f"<ul>{items}</ul>")
        elif kind == "remember":
            items = "".join(f'<li class="fragment">{inline(one)}</li>'
                            for one in remembered(slide.chapter))  # fmt: skip
            shown.append(f"<ol>{items}</ol>")
    looks = " ".join(
        look for look, wanted in {
            "opening": "chapter" in kinds or level == 1, "plain": "figure" not in kinds,
            "asks": "ask" in kinds or "predict" in kinds,
        }.items() if wanted
    )  # fmt: skip
    foot = f"<p class=from>{html.escape(', '.join(source))} of the book</p>" if source else ""
    spent = minutes(slide)
    note = render(f"**{spent:g} min.** {note_of(slide)}")
    return (
        f'<section class="{looks}" data-chapter="{slide.chapter}" data-timing="{spent * 60:.0f}">\n'
        + "\n".join(part for part in shown if part)
        + f'\n{foot}<aside class="notes">{note}</aside>\n</section>'
    )


def _template(name):
    return (TEMPLATES / name).read_text(encoding="utf-8")


def plans():
    """The plans in the order of the book's parts."""
    return [PLANS / f"{name}.md" for name in ORDER]


def install():
    """Fetch the pinned reveal.js where it is not there.

    Raises
    ------
    RuntimeError
        npm is absent, or could not fetch it; says what to do.
    """
    package = REVEAL / "node_modules" / "reveal.js"
    wanted = json.loads((PLANS / "package.json").read_text("utf-8"))["dependencies"]["reveal.js"]
    there = package / "package.json"
    if there.is_file() and json.loads(there.read_text("utf-8"))["version"] == wanted:
        return package
    if shutil.which("npm") is None:
        raise RuntimeError("the slides need reveal.js, which npm fetches: install Node.js")
    REVEAL.mkdir(parents=True, exist_ok=True)
    shutil.copy(PLANS / "package.json", REVEAL / "package.json")
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
    done = subprocess.run(command, cwd=REVEAL, capture_output=True, text=True)
    if done.returncode or not there.is_file():
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"npm could not fetch reveal.js {wanted} ({said}): is there a network?")
    return package


def write(site=None, folder=FOLDER, reveal=None):
    """Write all decks.

    Parameters
    ----------
    site : Path, optional
        The built site; default this book's.
    folder : Path
        Replaced as a whole.
    reveal : Path, optional
        The unpacked package of reveal.js; fetched where it is not given.

    Returns
    -------
    list of (name, number of slides, minutes)

    Raises
    ------
    ValueError
        A plan has a fault, or names what the built book does not have.
    FileNotFoundError
        The book is not built.
    """
    site = Path(site or project.SITE)
    if not (site / "notebooks").is_dir():
        raise FileNotFoundError(f"the book is not built ({site}): run `make book` first")
    decks = [(path.stem, *read(path)) for path in plans()]
    if faults := [line for _, _, slides in decks for line in problems(slides)]:
        raise ValueError("\n".join(faults))
    book, made, rows = Book(site), [], []
    pages = {}
    for name, title, slides in decks:
        body = "\n".join(slide_html(slide, book) for slide in slides)
        pages[f"{name}.html"] = _template("deck.html").format(
            title=html.escape(title), slides=body, mathjax=json.dumps(MATHJAX)
        )
        by_chapter = {}
        for slide in slides:
            by_chapter.setdefault(slide.chapter, []).append(minutes(slide))
        spent = sum(map(sum, by_chapter.values()))
        each = ", ".join(f"{c}: {sum(m):g}" for c, m in by_chapter.items() if c)
        made.append((name, len(slides), spent))
        rows.append(f'<tr><td><a href="{name}.html">{html.escape(title)}</a></td>'
                    f"<td>{len(slides)}</td><td>{spent:g}</td><td>{each}</td></tr>")  # fmt: skip
    pages["index.html"] = _template("index.html").format(
        version=project.version(), rows="\n".join(rows), spoken=SPOKEN, **SPENT
    )
    reveal = Path(reveal or install())
    work = folder.with_name(f".{folder.name}")
    shutil.rmtree(work, ignore_errors=True)
    assets = work / "assets"
    assets.mkdir(parents=True)
    for name, text in pages.items():
        (work / name).write_text(text, encoding="utf-8")
    static = site / "_static"
    copies = dict(book.files)
    copies |= {Path(name).name.replace("LICENSE", "reveal-LICENSE"): reveal / name
               for name in REVEAL_FILES}  # fmt: skip
    copies |= {name: PLANS / name for name in ("deck.js", "deck.css")}
    copies |= {name: project.ROOT / "book" / "site_static" / name
               for name in ("favicon.svg", "figures.css")}  # fmt: skip
    copies |= {path.name: path for path in static.glob("generator-*.js")}
    vendored = static / "vendor" / "mathjax"
    copies |= {f"mathjax/{path.relative_to(vendored).as_posix()}": path
               for path in vendored.rglob("*") if path.is_file()}  # fmt: skip
    for name, path in copies.items():
        (assets / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, assets / name)
    for name, text in figures.scripts().items():
        (assets / name).write_text(text, encoding="utf-8")
    (assets / figures.STYLE).write_text(script.css(), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(work, folder)
    return made


def print_decks(folder=FOLDER):
    """Print each deck to a PDF beside it, in a headless Chromium; yields the files."""
    sys.path.insert(0, str(project.ROOT / "tests" / "browser"))
    import living

    if reason := living.missing():
        raise RuntimeError(f"no PDF was made: {reason}")
    for name in ORDER:
        out = folder / f"{name}.pdf"
        code = f"""async (page) => {{
          await page.goto(page.url().split("#")[0] + "?print-pdf");
          await page.waitForSelector("html[data-deck=ready]", {{ state: "attached" }});
          await page.waitForSelector(".pdf-page", {{ state: "attached" }});
          await page.waitForTimeout(500);
          const path = {json.dumps(str(out))};
          await page.pdf({{ path, preferCSSPageSize: true, printBackground: true }});
        }}"""
        (seen,) = living.run({"file": folder / f"{name}.html", "code": code, "width": 1280})
        if seen["errors"] or seen["remote"]:
            raise RuntimeError(f"{out.name} was not printed: {seen}")
        yield out


def main(argv=None):
    """Write the decks; returns the exit status."""
    parser = argparse.ArgumentParser(description="Write the slides.")
    parser.add_argument("--pdf", action="store_true", help="print each deck to a PDF, too")
    asked = parser.parse_args(argv)
    try:
        for name, count, spent in write():
            print(f"{name:14} {count:3} slides, {spent:5.1f} minutes")
        print(FOLDER / "index.html")
        for out in print_decks() if asked.pdf else ():
            print(f"{out.stat().st_size / 2**20:6.1f} MB  {out}")
    except (ValueError, OSError, RuntimeError) as error:
        print(f"no slides: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
