"""The bank of questions: ten a chapter, as data, for the book's pages, Moodle, Canvas and paper.

`data/questions/NN.toml` holds those of chapter NN. A question is one of four kinds: a *choice* of
four options, each with the reason for or against it; a *number* with a tolerance; a *text* with the
answers that are accepted; an *open* one with a rubric of three levels. Texts have paragraphs,
``$mathematics$``, `` `code` `` and ``*emphasis*``, and no more. A figure stands in them as
``{ledger:CLAIM}`` (what was measured) or ``{paper:CLAIM}`` (what the paper prints), so that none
is older than the ledger.
"""

from __future__ import annotations

import hashlib
import html
import io
import math
import re
import tomllib
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring

from synthlib import commands, ledger, paths

__all__ = [
    "Option", "Question", "chapters", "main", "pieces", "read", "title", "to_gift", "to_html",
    "to_md", "to_qti",
]  # fmt: skip

FOLDER = paths.DATA / "questions"

#: How many questions of a chapter are of which kind; a number and a text are both short.
WANTED = {"choice": 6, "short": 2, "open": 2}
POINTS = {"choice": 1, "number": 1, "text": 1, "open": 2}
LEVELS = ("full", "half", "none")
LETTERS = "ABCD"

_KEYS = {
    "choice": {"id", "ask", "right", "wrong", "page"},
    "number": {"id", "ask", "answer", "tolerance", "why"},
    "text": {"id", "ask", "accept", "why"},
    "open": {"id", "ask", "rubric"},
}
_FIGURE = re.compile(r"\{(ledger|paper):([\w-]+)\}")


@dataclass(frozen=True)
class Option:
    """One of the four answers of a choice, and why it is right, or who takes it and errs."""

    text: str
    why: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A question as it is asked: its figures filled in, its options in their order."""

    id: str
    kind: str
    ask: str
    options: tuple[Option, ...] = ()
    answer: float = math.nan
    tolerance: float = 0.0
    accept: tuple[str, ...] = ()
    why: str = ""
    rubric: tuple[str, ...] = ()
    page: bool = False

    @property
    def right(self) -> str:
        """Letter of a choice's right option."""
        return next(a for a, o in zip(LETTERS, self.options, strict=True) if o.right)


# ------------------------------------------------------------------ reading
def chapters(folder: Path | None = None) -> list[int]:
    """The chapters that have questions."""
    return sorted(int(path.stem) for path in (folder or FOLDER).glob("[0-9][0-9].toml"))


def title(chapter: int, folder: Path | None = None) -> str:
    """A chapter's title."""
    return _load(_file(chapter, folder))["title"]


def read(chapter: int, folder: Path | None = None) -> list[Question]:
    """The questions of a chapter.

    Parameters
    ----------
    chapter : int
    folder : path, optional
        With a file ``NN.toml`` a chapter; by default this book's.

    Returns
    -------
    list of Question

    Raises
    ------
    ValueError
        Where the file is not as it should be; names file, question and fault.
    FileNotFoundError
        For a chapter without questions.
    """
    file = _file(chapter, folder)
    entries = _load(file)["question"]
    found = [_question(entry, f"{file.name}, question {n}", chapter)
             for n, entry in enumerate(entries, start=1)]  # fmt: skip
    twice = [name for name, n in Counter(question.id for question in found).items() if n > 1]
    if twice:
        raise ValueError(f"{file.name}: two questions have the id {twice[0]}")
    return found


def _file(chapter, folder):
    file = (folder or FOLDER) / f"{chapter:02d}.toml"
    if not file.is_file():
        there = ", ".join(f"{n:02d}" for n in chapters(folder)) or "none"
        raise FileNotFoundError(f"chapter {chapter} has no questions; those with some: {there}")
    return file


def _load(file):
    try:
        loaded = tomllib.loads(file.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{file.name} cannot be read as TOML: {error}") from None
    unknown = set(loaded) - {"title", "question"}
    if unknown:
        raise ValueError(f"{file.name}: unknown {', '.join(sorted(unknown))}")
    if not isinstance(loaded.get("title"), str) or not isinstance(loaded.get("question"), list):
        raise ValueError(f"{file.name}: a title and [[question]]s are wanted")
    return loaded


def _question(entry, where, chapter) -> Question:
    """One entry of a file, checked."""

    def wrong(fault):
        return ValueError(f"{where}: {fault}")

    name = entry.get("id")
    if not isinstance(name, str) or not re.fullmatch(rf"{chapter:02d}-[a-z0-9-]+", name):
        raise wrong(f"the id is to be {chapter:02d}- and small letters, got {name!r}")
    where = f"{where} ({name})"
    marks = {"right": "choice", "answer": "number", "accept": "text", "rubric": "open"}
    kinds = [kind for mark, kind in marks.items() if mark in entry]
    if len(kinds) != 1:
        raise wrong(f"exactly one of {', '.join(marks)} makes its kind; it has {len(kinds)}")
    kind = kinds[0]
    absent = _KEYS[kind] - {"page"} - set(entry)
    if unknown := set(entry) - _KEYS[kind]:
        raise wrong(f"unknown {', '.join(sorted(unknown))}")
    if absent:
        raise wrong(f"{', '.join(sorted(absent))} missing")

    def text(value, what):
        if not isinstance(value, str) or not value.strip():
            raise wrong(f"{what} is to be text, got {value!r}")
        if value.count("$") % 2 or value.count("`") % 2:
            raise wrong(f"{what} has a $ or a ` that is not closed")
        return _with_figures(value.strip(), where)

    def several(value, what, length=None):
        if not isinstance(value, list) or (len(value) != length if length else not value):
            wanted = f"of {length}" if length else "with something"
            raise wrong(f"{what}: a list {wanted} is wanted")
        return tuple(text(v, what) for v in value)

    ask = text(entry["ask"], "ask")
    if kind == "choice":
        if not isinstance(entry["wrong"], list) or len(entry["wrong"]) != 3:
            raise wrong("three wrong options are wanted")
        options = [Option(*several(entry["right"], "right", 2), right=True)]
        options += [Option(*several(pair, "a wrong option", 2)) for pair in entry["wrong"]]
        if len({option.text for option in options}) != 4:
            raise wrong("two options are the same")
        page = entry.get("page", False)
        if page and ("\n\n" in ask or "```" in ask):
            raise wrong("one paragraph is what a page's question may have")
        # By a hash, and not as written: whoever writes puts the right one first.
        options.sort(key=lambda option: hashlib.sha256((name + option.text).encode()).digest())
        return Question(name, kind, ask, options=tuple(options), page=page)
    if kind == "open":
        return Question(name, kind, ask, rubric=several(entry["rubric"], "rubric", len(LEVELS)))
    why = text(entry["why"], "why")
    if kind == "number":
        answer, tolerance = entry["answer"], entry["tolerance"]
        if not all(isinstance(v, int | float) and math.isfinite(v) for v in (answer, tolerance)):
            raise wrong("answer and tolerance are to be numbers")
        if tolerance < 0:
            raise wrong(f"the tolerance is below zero: {tolerance}")
        return Question(name, kind, ask, answer=answer, tolerance=tolerance, why=why)
    accept = several(entry["accept"], "accept")
    # Moodle reads * as any text, a leading % as a weight, -> as a pair, T as a truth value.
    for one in accept:
        if re.search(r"[*%$`]|->", one) or one.upper() in ("T", "F", "TRUE", "FALSE"):
            raise wrong(f"an accepted answer is plain words, and {one!r} is a sign to Moodle")
    return Question(name, kind, ask, accept=accept, why=why)


@cache
def _measured():
    return ledger.table()


def _with_figures(text, where):
    """A text with its figures from the ledger."""

    def figure(found):
        source, claim = found.groups()
        try:
            row = _measured().loc[claim]
        except KeyError:
            raise ValueError(f"{where}: no claim of the ledger is named {claim}") from None
        shown = row["paper_value"] if source == "paper" else ""
        if source == "ledger" and row["seeds"]:
            shown = ledger.number(row["value"], row["unit"])
        if not shown:
            raise ValueError(f"{where}: {claim} has no figure from the {source}")
        return shown

    return _FIGURE.sub(figure, text)


# ------------------------------------------------------------------ texts
_PIECE = re.compile(
    r"```\n(?P<block>.*?)\n```|`(?P<code>[^`]+)`|\$(?P<math>[^$]+)\$"
    r"|\*(?P<emphasis>[^*\s$`](?:[^*$`]*[^*\s$`])?)\*",
    re.S,
)


def pieces(text: str) -> list[tuple[str, str]]:
    """The parts of a text: "text", "emphasis", "code", "math" or "block" (of code), each with what
    it holds.

    Examples
    --------
    >>> pieces("is $x$ *safe*?")
    [('text', 'is '), ('math', 'x'), ('text', ' '), ('emphasis', 'safe'), ('text', '?')]
    """
    found, at = [], 0
    for match in _PIECE.finditer(text):
        found.append(("text", text[at : match.start()]))
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    found.append(("text", text[at:]))
    return [(kind, content) for kind, content in found if content]


def _inline_math(formula: str) -> str:
    return rf"\({html.escape(formula, quote=False)}\)"


def to_html(text: str, mathematics: Callable[[str], str] = _inline_math) -> str:
    r"""A text of the bank as HTML.

    Parameters
    ----------
    text : str
    mathematics : callable, optional
        From a formula to its HTML; by default ``\(formula\)``, which MathJax reads.

    Returns
    -------
    str
        A fragment without a newline; a text of one paragraph has no ``<p>``.

    Examples
    --------
    >>> to_html("is $a < b$ *safe*?")
    'is \\(a &lt; b\\) <em>safe</em>?'
    """
    done = []
    for kind, content in pieces(text):
        shown = html.escape(content, quote=False)
        if kind == "block":
            lines = shown.replace("\n", "<br>")
            shown = f"\n\n<pre>{lines}</pre>\n\n"
        elif kind == "math":
            shown = mathematics(content)
        elif kind != "text":
            tag = "em" if kind == "emphasis" else "code"
            shown = f"<{tag}>{shown}</{tag}>"
        done.append(shown)
    parts = [part.strip() for part in re.split(r"\n\s*\n", "".join(done)) if part.strip()]
    parts = [part if part.startswith("<pre>") else part.replace("\n", " ") for part in parts]
    if len(parts) < 2:
        return "".join(parts)
    return "".join(part if part.startswith("<pre>") else f"<p>{part}</p>" for part in parts)


def shown(value: float) -> str:
    """A number as one would type it."""
    return f"{value:.10g}"


def _rubric(question: Question) -> list[tuple[str, str]]:
    most = POINTS["open"]
    marks = (f"{most} points", f"{most // 2} point", "0 points")
    return list(zip(marks, question.rubric, strict=True))


def _levels(question: Question, mathematics: Callable[[str], str]) -> str:
    """A rubric as HTML."""
    levels = ((mark, to_html(level, mathematics)) for mark, level in _rubric(question))
    return f"<ul>{''.join(f'<li>{mark}: {level}</li>' for mark, level in levels)}</ul>"


# ------------------------------------------------------------------ Moodle
def _escaped(text: str) -> str:
    r"""A text for GIFT: its signs and backslashes are text, else ``\ne`` would begin a new line."""
    text = re.sub(r"[\\~=#{}:]", r"\\\g<0>", text)
    return text.replace("\n", r"\n")


def to_gift(banks: Iterable[tuple[str, Sequence[Question]]]) -> str:
    """Questions in Moodle's GIFT format.

    Parameters
    ----------
    banks : iterable of (category, questions)

    Returns
    -------
    str
        Each question with its reasons as feedback. An open one is an essay, and its rubric the
        general feedback, for GIFT has no place for notes to whoever marks.
    """
    blocks = []
    for category, questions in banks:
        blocks.append(f"$CATEGORY: {category}")
        for question in questions:
            body = "[html]" + _escaped(to_html(question.ask))
            if question.kind == "choice":
                lines = [
                    ("=" if o.right else "~")
                    + f"{_escaped(to_html(o.text))}#{_escaped(to_html(o.why))}"
                    for o in question.options
                ]
                answers = "{\n\t" + "\n\t".join(lines) + "\n}"
            elif question.kind == "number":
                answers = f"{{#{shown(question.answer)}:{shown(question.tolerance)}"
                answers += f"####{_escaped(to_html(question.why))}}}"
            elif question.kind == "text":
                answers = "{" + " ".join(f"={_escaped(one)}" for one in question.accept)
                answers += f"####{_escaped(to_html(question.why))}}}"
            else:
                answers = "{####" + _escaped(_levels(question, _inline_math)) + "}"
            blocks.append(f"::{question.id}::{body}{answers}")
    return "\n\n".join(blocks) + "\n"


# ------------------------------------------------------------------ Canvas
_QTI = "http://www.imsglobal.org/xsd/ims_qtiasiv1p2"
_PACKAGE = "http://www.imsglobal.org/xsd/imsccv1p1/imscp_v1p1"
_CANVAS = "http://canvas.instructure.com/xsd/cccv1p0"
_TYPES = {
    "choice": "multiple_choice_question", "number": "numerical_question",
    "text": "short_answer_question", "open": "essay_question",
}  # fmt: skip


def _equation(formula: str) -> str:
    """A formula as Canvas writes it, whose pages run no script: a picture that its server draws."""
    said = html.escape(formula)
    address = quote(quote(formula, safe=""), safe="")
    return (
        f'<img class="equation_image" title="{said}" src="/equation_images/{address}" '
        f'alt="LaTeX: {said}" data-equation-content="{said}">'
    )


def to_qti(banks: Iterable[tuple[str, Sequence[Question]]]) -> bytes:
    """Questions as a package of QTI 1.2, which Canvas imports.

    Parameters
    ----------
    banks : iterable of (title, questions)
        Each becomes a quiz, and a question bank beside it.

    Returns
    -------
    bytes
        Of a zip: the same bytes for the same questions.
    """
    files, manifest = {}, Element("manifest", identifier="synthetic-contrast", xmlns=_PACKAGE)
    about = SubElement(manifest, "metadata")
    SubElement(about, "schema").text = "IMS Content"
    SubElement(about, "schemaversion").text = "1.1.3"
    SubElement(manifest, "organizations")
    resources = SubElement(manifest, "resources")
    for heading, questions in banks:
        name = "chapter-" + questions[0].id[:2]
        quiz, meta = f"{name}/{name}.xml", f"{name}/assessment_meta.xml"
        entry = SubElement(resources, "resource", identifier=name, type="imsqti_xmlv1p2")
        SubElement(entry, "file", href=quiz)
        SubElement(entry, "dependency", identifierref=f"{name}-meta")
        kind = "associatedcontent/imscc_xmlv1p1/learning-application-resource"
        entry = SubElement(resources, "resource", identifier=f"{name}-meta", type=kind, href=meta)
        SubElement(entry, "file", href=meta)
        files[quiz] = _assessment(name, heading, questions)
        files[meta] = _about_quiz(name, heading, sum(POINTS[q.kind] for q in questions))
    files = {"imsmanifest.xml": manifest, **files}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, tree in files.items():
            about = zipfile.ZipInfo(name)  # its date is that of no clock
            about.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(about, tostring(tree, encoding="UTF-8", xml_declaration=True))
    return buffer.getvalue()


def _about_quiz(name, heading, points) -> Element:
    """What Canvas wants to know of a quiz: a practice quiz that nobody sees yet."""
    quiz = Element("quiz", identifier=name, xmlns=_CANVAS)
    said = {
        "title": heading, "description": "", "shuffle_answers": "true",
        "scoring_policy": "keep_highest", "quiz_type": "practice_quiz",
        "points_possible": f"{points}.0", "show_correct_answers": "true",
        "allowed_attempts": "-1", "available": "false",
    }  # fmt: skip
    for key, value in said.items():
        SubElement(quiz, key).text = value
    return quiz


def _assessment(name, heading, questions) -> Element:
    root = Element("questestinterop", xmlns=_QTI)
    quiz = SubElement(root, "assessment", ident=name, title=heading)
    section = SubElement(quiz, "section", ident="root_section")
    for question in questions:
        section.append(_item(question))
    return root


def _material(parent, fragment):
    text = SubElement(SubElement(parent, "material"), "mattext", texttype="text/html")
    text.text = fragment


def _item(question: Question) -> Element:
    """One question: what is asked, which answers count, what is said to them."""
    item = Element("item", ident=f"q-{question.id}", title=question.id)
    letters = LETTERS[: len(question.options)]
    fields = SubElement(SubElement(item, "itemmetadata"), "qtimetadata")
    told = {
        "question_type": _TYPES[question.kind],
        "points_possible": f"{POINTS[question.kind]}.0",
        "original_answer_ids": ",".join(f"q-{question.id}-{letter}" for letter in letters),
        "assessment_question_identifierref": f"ref-{question.id}",
    }
    for label, value in told.items():
        field = SubElement(fields, "qtimetadatafield")
        SubElement(field, "fieldlabel").text = label
        SubElement(field, "fieldentry").text = value

    shown = SubElement(item, "presentation")
    _material(shown, to_html(question.ask, _equation))
    if question.kind == "choice":
        asked = SubElement(shown, "response_lid", ident="response1", rcardinality="Single")
        choices = SubElement(asked, "render_choice")
        for letter, option in zip(letters, question.options, strict=True):
            one = SubElement(choices, "response_label", ident=f"q-{question.id}-{letter}")
            _material(one, to_html(option.text, _equation))
    else:
        asked = SubElement(shown, "response_str", ident="response1", rcardinality="Single")
        typed = SubElement(asked, "render_fib")
        if question.kind == "number":
            typed.set("fibtype", "Decimal")
        SubElement(typed, "response_label", ident="answer1", rshuffle="No")

    judged = SubElement(item, "resprocessing")
    outcomes = SubElement(judged, "outcomes")
    SubElement(outcomes, "decvar", maxvalue="100", minvalue="0", varname="SCORE",
               vartype="Decimal")  # fmt: skip
    said = {}
    for letter, option in zip(letters, question.options, strict=True):
        name = f"q-{question.id}-{letter}"
        _say(judged, f"{name}_fb", name)
        said[f"{name}_fb"] = to_html(option.why, _equation)
    if not question.options:
        _say(judged, "general_fb")
        why = to_html(question.why, _equation)
        said["general_fb"] = why or _levels(question, _equation)
    _score(judged, question, letters)
    for name, fragment in said.items():
        _material(SubElement(SubElement(item, "itemfeedback", ident=name), "flow_mat"), fragment)
    return item


def _say(judged, name, chosen=None):
    """What is said to an answer, or to any."""
    case = SubElement(judged, "respcondition", {"continue": "Yes"})
    when = SubElement(case, "conditionvar")
    if chosen is None:
        SubElement(when, "other")
    else:
        SubElement(when, "varequal", respident="response1").text = chosen
    SubElement(case, "displayfeedback", feedbacktype="Response", linkrefid=name)


def _score(judged, question, letters):
    """Which answers count; an open question waits for whoever marks it."""
    case = SubElement(judged, "respcondition", {"continue": "No"})
    when = SubElement(case, "conditionvar")
    if question.kind == "open":
        SubElement(when, "other")
        return
    if question.kind == "number":
        either = SubElement(when, "or")
        SubElement(either, "varequal", respident="response1").text = shown(question.answer)
        between = SubElement(either, "and")
        for tag, end in (("vargte", -1), ("varlte", 1)):
            bound = question.answer + end * question.tolerance
            SubElement(between, tag, respident="response1").text = shown(bound)
    right = [f"q-{question.id}-{a}" for a in letters if a == question.right] if letters else []
    for one in (*right, *question.accept):
        SubElement(when, "varequal", respident="response1").text = one
    SubElement(case, "setvar", action="Set", varname="SCORE").text = "100"


# ------------------------------------------------------------------ paper
def to_md(banks: Iterable[tuple[str, Sequence[Question]]], *, answers: bool = False) -> str:
    """Questions as a sheet of Markdown, to print.

    Parameters
    ----------
    banks : iterable of (heading, questions)
    answers : bool
        With what is right and why, and the rubrics.

    Returns
    -------
    str
    """
    lines = []
    for heading, questions in banks:
        lines += [f"# {heading}", ""]
        for number, question in enumerate(questions, start=1):
            points = POINTS[question.kind]
            lines += [f"## {number} ({points} point{'s' if points > 1 else ''})", "", question.ask]
            lines.append("")
            for letter, option in zip(LETTERS, question.options, strict=False):
                lines.append(f"- **{letter}** {option.text}")
            if question.options:
                lines.append("")
            if answers:
                lines += [*_answers(question), ""]
    return "\n".join(lines).rstrip() + "\n"


def _answers(question):
    if question.kind == "choice":
        pairs = zip(LETTERS, question.options, strict=True)
        return [f"> **{question.right}** is right.", ">"] + [
            f"> - {letter}: {option.why}" for letter, option in pairs
        ]
    if question.kind == "open":
        return [f"> - {mark}: {level}" for mark, level in _rubric(question)]
    right = " or ".join(question.accept) or shown(question.answer)
    if question.tolerance:
        right += f" (± {shown(question.tolerance)})"
    return [f"> **{right}**", ">", f"> {question.why}"]


# ------------------------------------------------------------------ the command
_FORMATS = {
    "gift": ("questions.txt", to_gift), "qti": ("questions.zip", to_qti),
    "md": ("questions.md", to_md),
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Write the questions of some chapters as one file.

    Parameters
    ----------
    argv : sequence of str, optional

    Returns
    -------
    int
    """
    parser = commands.questions()
    options = parser.parse_args(argv)
    if options.answers and options.format != "md":
        parser.error("--answers belongs to md: the other formats have them")
    wanted = options.chapters or chapters()
    banks = [(f"{n:02d} {title(n)}", read(n)) for n in dict.fromkeys(wanted)]
    name, make = _FORMATS[options.format]
    if options.format == "gift":
        banks = [(f"Synthetic Contrast/{heading}", found) for heading, found in banks]
    content = make(banks, answers=options.answers) if options.format == "md" else make(banks)
    out = Path(options.out or name)
    if not out.parent.is_dir():
        raise FileNotFoundError(f"the folder {out.parent} does not exist")
    paths.write_bytes(out, content if isinstance(content, bytes) else content.encode("utf-8"))
    total = sum(len(found) for _, found in banks)
    many = "" if len(banks) == 1 else "s"
    print(f"written: {out} ({total} questions of {len(banks)} chapter{many})")
    return 0
