"""A kernel's source as a chapter prints it: the lines that compute, under their ``def``.

A kernel checks its input before it works, and its docstring says what it takes; both are for those
who call it. Who reads a chapter has the equation above and wants to see it in code.
"""

import ast
import inspect
import re
import textwrap

__all__ = ["essential"]


def essential(function, *, checks=False) -> str:
    """Source of a function or class, without docstrings and without the checks of its input.

    Left out is a statement of the function's own level that only refuses: an ``if`` whose branches
    do nothing but raise, a call of a function whose name begins with ``check``, a ``try`` around
    lines that stay, and what is computed for these alone. Comments that stand directly above such a
    statement go with it; all other lines are as they are in the file.

    Parameters
    ----------
    function : function or class
    checks : bool
        Leave the checks in.

    Returns
    -------
    str

    Examples
    --------
    >>> from synthlib import rewards
    >>> print(essential(rewards.correctness_reward))
    def correctness_reward(p_target, lower_bound):
        p = _numbers("p_target", p_target, 0, 1)
        return _plain(p - _bound("lower_bound (Ω)", lower_bound, 0))
    """
    lines = textwrap.dedent(inspect.getsource(function)).splitlines()
    (node,) = ast.parse("\n".join(lines)).body
    gone, tried = set(), []
    for part in ast.walk(node):
        if not isinstance(part, ast.FunctionDef | ast.ClassDef):
            continue
        for place, statement in enumerate(part.body):
            if place == 0 and _is_text(statement) or not checks and _refuses(statement):
                gone |= _lines_of(statement, lines, place == 0)
            elif not checks and _only_guards(statement):
                tried.append(statement)
                guarded = range(statement.body[0].lineno, statement.body[-1].end_lineno + 1)
                gone |= set(range(statement.lineno, statement.end_lineno + 1)) - set(guarded)
    gone |= {number for part in _idle(node, gone) for number in _lines_of(part, lines, False)}
    kept = []
    for number, line in enumerate(lines, 1):
        inside = any(part.lineno <= number <= part.end_lineno for part in tried)
        if number not in gone:
            kept.append(re.sub(r"  # fmt: skip$", "", line[4 if inside else 0 :]))
    while kept and kept[-1].strip() == "":
        kept.pop()
    return "\n".join(kept)


def _idle(node, gone):
    """Assignments to one name that nothing but what is left out has read."""
    read = {
        part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load) and part.lineno not in gone
    }
    for part in node.body:
        if isinstance(part, ast.Assign) and part.lineno not in gone:
            names = [target.id for target in part.targets if isinstance(target, ast.Name)]
            if len(names) == len(part.targets) and not set(names) & read:
                yield part


def _only_guards(statement) -> bool:
    """Whether a ``try`` does nothing about an error but raise another."""
    return (
        isinstance(statement, ast.Try)
        and not (statement.orelse or statement.finalbody)
        and all(isinstance(part, ast.Raise) for h in statement.handlers for part in h.body)
    )


def _is_text(statement) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _refuses(statement) -> bool:
    """Whether a statement does nothing but refuse what it was given."""
    if isinstance(statement, ast.If):
        branches = [*statement.body, *statement.orelse]
        return all(isinstance(part, ast.Raise) or _refuses(part) for part in branches)
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        called = statement.value.func
        name = getattr(called, "id", getattr(called, "attr", ""))
        return name.lstrip("_").startswith("check")
    return False


def _lines_of(statement, lines, first) -> set[int]:
    """Numbers of a statement's lines and of the comments above it; and of a blank line behind a
    docstring."""
    start, stop = statement.lineno, statement.end_lineno
    while not first and start > 1 and lines[start - 2].lstrip().startswith("#"):
        start -= 1
    if first and _is_text(statement):
        while stop < len(lines) and not lines[stop].strip():
            stop += 1
    return set(range(start, stop + 1))
