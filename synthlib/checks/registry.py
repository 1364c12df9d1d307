"""Every check of every chapter, found by itself: ``checks.all()``."""

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import dataclass

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
    found = []
    for name in modules:
        module = importlib.import_module(f"{PACKAGE}.{name}")
        for exercise in module.WRONG:
            function = getattr(module, exercise)
            about = re.sub(r"^Exercise[ \d.]*: ", "", (function.__doc__ or "").split("\n")[0])
            found.append(Check(int(name[2:]), exercise, about, function))
    return found
