"""Every check of every chapter, found by itself: ``checks.all()``, ``checks.progress(3)``."""

import html
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

from synthlib.checks import NOT_YET, Result

PACKAGE = __name__.rpartition(".")[0]


@dataclass(frozen=True)
class Check:
    """The check of one exercise; called with a student's function it gives a `Result`.

    Attributes
    ----------
    chapter : int
    name : str
        Of the function in the chapter's module.
    about : str
        What the exercise asks for, in a line.
    function : callable
        The check itself.
    """

    chapter: int
    name: str
    about: str
    function: Callable

    @property
    def id(self):
        """As a notebook calls it, without the package: ``ch03.mixture``."""
        return f"ch{self.chapter:02d}.{self.name}"

    def __call__(self, student):
        """Check a student's function."""
        return self.function(student)


def every():
    """All checks, in the order of the book.

    Returns
    -------
    list of Check
    """
    folder = importlib.import_module(PACKAGE).__path__
    modules = sorted(m.name for m in pkgutil.iter_modules(folder) if re.match(r"ch\d\d$", m.name))
    return [check for name in modules for check in of(int(name[2:]))]


def of(chapter):
    """The checks of one chapter, in its order.

    Parameters
    ----------
    chapter : int

    Returns
    -------
    list of Check

    Raises
    ------
    ValueError
        There is no such chapter.
    """
    try:
        module = importlib.import_module(f"{PACKAGE}.ch{chapter:02d}")
    except ModuleNotFoundError:
        raise ValueError(f"no chapter {chapter} has exercises") from None
    found = []
    for exercise in module.WRONG:
        function = getattr(module, exercise)
        about = re.sub(r"^Exercise[ \d.]*: ", "", (function.__doc__ or "").split("\n")[0])
        found.append(Check(chapter, exercise, about, function))
    return found


class Progress(list):
    """`Result` of each exercise of a chapter, in order; shown with their count."""

    @property
    def summary(self):
        """How many are passed, in words."""
        if not self:
            return "This copy of synthlib has no checks: hand your notebook in."
        return f"{sum(result.passed for result in self)} of {len(self)} exercises passed"

    def __repr__(self):
        return "\n".join([self.summary, *(f"  {result.verdict}" for result in self)])

    def _repr_html_(self):
        lines = "".join(f"<li>{html.escape(result.verdict)}</li>" for result in self)
        return (
            f'<div class="exercise-progress" role="status"><strong>{self.summary}</strong>'
            f'<ul style="list-style:none;padding-left:0;margin:0.2rem 0">{lines}</ul></div>'
        )


def progress(chapter, functions=None):
    """How many of a chapter's exercises are passed by what a notebook has defined so far.

    Each check is run again, so that the answer is true of the notebook as it is now; nothing is
    kept elsewhere.

    Parameters
    ----------
    chapter : int
    functions : dict of str to callable, optional
        The answers by their names; by default all that the caller's notebook holds.

    Returns
    -------
    Progress

    Raises
    ------
    ValueError
        There is no such chapter.
    """
    if functions is None:
        functions = sys._getframe(1).f_globals
    return Progress(
        check(functions[check.name]) if check.name in functions
        else Result(False, NOT_YET, check.about or check.name)
        for check in of(chapter)
    )  # fmt: skip
