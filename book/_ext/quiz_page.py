"""Sphinx extension: the questions of a chapter that a page asks, answered without a kernel.

    ```{quiz} 3
    ```

sets those choices of `data/questions/03.toml` that have ``page = true``, folded: options to choose
from by pointer or keyboard, and a reason for each. The script (`book.js`) shows a button that says
at once whether a choice is right, and why; without it each question has its answer folded below.
On paper the questions stand with a line of right letters. A notebook has none of it.

    ```{quiz-progress}
    ```

is the place where the script says which questions of the book this browser has answered rightly.
"""

import html
import json

import project
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from synthlib import questions

COUNT = ("no", "one", "two", "three", "four", "five")


class Quiz(nodes.General, nodes.Element):
    """All questions of a page."""


class Asked(nodes.General, nodes.Element):
    """One of them: a group of options under its question."""


class Ask(nodes.General, nodes.TextElement):
    """The question itself."""


class Options(nodes.General, nodes.Element):
    """The options of a question."""


class Choice(nodes.General, nodes.TextElement):
    """One option, with the button that chooses it."""


class Reasons(nodes.General, nodes.Element):
    """For each option why it is right or wrong."""


class Reason(nodes.General, nodes.TextElement):
    """For one option."""


class Key(nodes.General, nodes.Element):
    """The right letters, for paper."""


class Progress(nodes.General, nodes.Element):
    """Where a reader sees which questions are answered."""


class ProgressDirective(SphinxDirective):
    """``{quiz-progress}``: the pages that ask, each with the number of its questions."""

    def run(self):
        """An empty place that the script fills."""
        chapters = []
        for path in project.chapters():
            number = int(path.name[:2])
            if number in questions.chapters():
                self.env.note_dependency(str(questions.FOLDER / f"{number:02d}.toml"))
                asked = sum(question.page for question in questions.read(number))
                chapters.append([f"{number:02d}", f"notebooks/{path.stem}.html", asked])
        return [Progress(chapters=chapters)]


class QuizDirective(SphinxDirective):
    """``{quiz} chapter``."""

    required_arguments = 1

    def run(self):
        """The quiz of a chapter, as nodes."""
        try:
            chapter = int(self.arguments[0])
            bank = questions.read(chapter)
        except (ValueError, OSError) as error:
            raise self.error(str(error)) from None
        # A question changes without its page: its file, and the figures of the ledger in it.
        self.env.note_dependency(str(questions.FOLDER / f"{chapter:02d}.toml"))
        asked = [question for question in bank if question.page]
        if not asked:
            raise self.error(f"chapter {chapter} has no question with page = true")
        quiz = Quiz(count=len(asked), chapter=chapter)
        for number, question in enumerate(asked, start=1):
            quiz += self.question(question, number)
        quiz += Key(letters=[question.right for question in asked])
        return [quiz]

    def question(self, question, number):
        """One question."""
        group = Asked(name=f"quiz-{question.id}")
        group += self.inline(Ask(number=number), question.ask)
        options, reasons = Options(), Reasons()
        for letter, option in zip(questions.LETTERS, question.options, strict=True):
            about = dict(letter=letter, group=group["name"], right=option.right)
            options += self.inline(Choice(**about), option.text)
            reasons += self.inline(Reason(**about), option.why)
        group += [options, reasons]
        return group

    def inline(self, node, text):
        """A node with a text of the bank in it."""
        made = {"math": nodes.math, "code": nodes.literal, "emphasis": nodes.emphasis}
        for kind, content in questions.pieces(text):
            node += nodes.Text(content) if kind == "text" else made[kind](content, content)
        return node


# What a browser gets. The legend names the group, a label its button, and what the script says is
# read out; nothing is hidden from whoever has no script.
def open_quiz(self, node):
    count = node["count"]
    number = COUNT[count] if count < len(COUNT) else str(count)
    said = f"{number} question{'s' if count > 1 else ''}"
    self.body.append(
        f'<details class="sc-quiz" id="quiz-{node["chapter"]:02d}">'
        f"<summary>Check yourself: {said}</summary>\n"
    )


def close_quiz(self, node):
    self.body.append("</details>\n")


def open_asked(self, node):
    self.body.append("<fieldset>")


def close_asked(self, node):
    self.body.append("</fieldset>\n")


def open_ask(self, node):
    self.body.append(f'<legend><span class="sc-quiz-number">{node["number"]}.</span> ')


def close_ask(self, node):
    self.body.append("</legend>\n")


def open_options(self, node):
    self.body.append('<div class="sc-quiz-options">\n')


def close_options(self, node):
    self.body.append(
        "</div>\n"
        '<button type="button" class="sc-quiz-check" hidden>Check</button>\n'
        '<p class="sc-quiz-says" role="status"></p>\n'
    )


def open_choice(self, node):
    name, letter = html.escape(node["group"]), node["letter"]
    self.body.append(
        f'<div class="sc-quiz-option"><input type="radio" name="{name}" value="{letter}" '
        f'id="{name}-{letter}"><label for="{name}-{letter}">'
        f'<span class="sc-quiz-letter">{letter}</span> <span>'
    )


def close_choice(self, node):
    self.body.append("</span></label></div>\n")


def open_reasons(self, node):
    self.body.append('<details class="sc-quiz-answer"><summary>The answer, and why</summary><ul>\n')


def close_reasons(self, node):
    self.body.append("</ul></details>\n")


def open_reason(self, node):
    right = "right" if node["right"] else "wrong"
    self.body.append(
        f'<li data-option="{node["letter"]}" data-is="{right}">'
        f"<strong>{node['letter']} is {right}.</strong> <span>"
    )


def close_reason(self, node):
    self.body.append("</span></li>\n")


def open_key(self, node):
    letters = ", ".join(f"{n} {letter}" for n, letter in enumerate(node["letters"], start=1))
    self.body.append(
        f'<p class="sc-quiz-key">Right: {letters}. '
        "The reasons, for and against each option, are in this chapter's page.</p>\n"
    )


def close_key(self, node):
    pass


def open_progress(self, node):
    chapters = html.escape(json.dumps(node["chapters"]))
    self.body.append(f'<div class="sc-progress" data-chapters="{chapters}" hidden>')


def close_progress(self, node):
    self.body.append("</div>\n")


def skip(self, node):
    """Other builders have no use for it."""
    raise nodes.SkipNode


def setup(app):
    """Register the directive and how its nodes are written."""
    pairs = {
        Quiz: (open_quiz, close_quiz), Asked: (open_asked, close_asked), Ask: (open_ask, close_ask),
        Options: (open_options, close_options), Choice: (open_choice, close_choice),
        Reasons: (open_reasons, close_reasons), Reason: (open_reason, close_reason),
        Key: (open_key, close_key), Progress: (open_progress, close_progress),
    }  # fmt: skip
    for node, written in pairs.items():
        others = dict.fromkeys(("latex", "text", "man", "texinfo"), (skip, None))
        app.add_node(node, html=written, **others)
    app.add_directive("quiz", QuizDirective)
    app.add_directive("quiz-progress", ProgressDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
