"""Every exercise of every chapter: its check accepts the solution and names each wrong answer."""

import ast
import re

import pytest
from exercises import (
    CHAPTERS,
    CHECKS,
    EXERCISES,
    calls,
    cells,
    check_module,
    editions,
    solutions,
    stubs,
)

WRONG = [
    pytest.param(number, exercise, position, id=f"{number}-{exercise}-{position}")
    for number, exercise in EXERCISES
    for position in range(len(check_module(number).WRONG[exercise]))
]


def answer(number, exercise, space):
    if number not in CHAPTERS or exercise not in calls(number):
        pytest.skip(f"chapter {number} has no cell that calls checks.ch{number}.{exercise} yet")
    return space(number)[calls(number)[exercise]]


@pytest.mark.parametrize("number", list(CHECKS))
def test_chapter_has_at_least_three_exercises_each_with_three_wrong_answers(number):
    module = check_module(number)
    assert isinstance(module.WRONG, dict) and len(module.WRONG) >= 3
    for exercise, wrong in module.WRONG.items():
        assert callable(getattr(module, exercise)), f"ch{number}.py has no check {exercise}"
        assert len(wrong) >= 3, f"{exercise} needs three wrong answers"
        messages = [fragment for _, fragment in wrong]
        assert len(set(messages)) == len(messages), f"{exercise}: two hints are the same"
        assert all(len(message.split()) >= 4 for message in messages), "a hint names the mistake"
    public = {
        name
        for name, value in vars(module).items()
        if callable(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public == set(module.WRONG), (
        "each check has its entry in WRONG, and nothing else is public"
    )


@pytest.mark.parametrize("number", list(CHAPTERS))
def test_chapter_and_checks_name_the_same_exercises(number):
    solution_cells = [source for source, is_solution in cells(number) if is_solution]
    if not solution_cells:
        pytest.skip(f"chapter {number} has no exercise yet")
    called = calls(number)
    assert set(called) == set(check_module(number).WRONG)
    defined = {
        node.name
        for source in solution_cells
        for node in ast.parse(editions.complete(source, number)).body
        if isinstance(node, ast.FunctionDef)
    }
    assert set(called.values()) <= defined, "a check gets a function that no solution cell defines"


@pytest.mark.parametrize("number, exercise", EXERCISES)
def test_solution_passes(number, exercise):
    result = getattr(check_module(number), exercise)(answer(number, exercise, solutions))
    assert result.passed, result.message


@pytest.mark.parametrize("number, exercise", EXERCISES)
def test_stub_is_not_done_yet_and_says_what_to_do(number, exercise):
    result = getattr(check_module(number), exercise)(answer(number, exercise, stubs))
    assert not result.passed
    assert re.match(r"not done yet: \S", result.message), result.message


@pytest.mark.parametrize("number, exercise, position", WRONG)
def test_wrong_answer_is_rejected_with_its_own_message(number, exercise, position):
    module = check_module(number)
    function, fragment = module.WRONG[exercise][position]
    result = getattr(module, exercise)(function)
    assert not result.passed
    assert fragment in result.message, f"instead of {fragment!r}: {result.message!r}"
    others = [text for i, (_, text) in enumerate(module.WRONG[exercise]) if i != position]
    assert not [text for text in others if text in result.message and text not in fragment]


def frozen(function):
    """Always the first result."""
    first = []

    def student(*args, **kwargs):
        if not first:
            first.append(function(*args, **kwargs))
        return first[0]

    return student


@pytest.mark.parametrize("number, exercise", EXERCISES)
def test_empty_answers_are_rejected(number, exercise):
    """Nothing, the input, constants, the first result for ever, text in place of a function."""
    check = getattr(check_module(number), exercise)

    def echo(*args, **kwargs):
        return (*args, *kwargs.values())[0]

    lazy = [lambda *a, value=value, **k: value for value in (None, 0, 1.0, "", [], {}, True, False)]
    for student in (*lazy, echo, lambda *a, **k: print(a), "not a function", None):
        result = check(student)
        assert not result.passed, f"{student} was accepted"
        assert result.message.strip()
    assert not check(frozen(answer(number, exercise, solutions))).passed
