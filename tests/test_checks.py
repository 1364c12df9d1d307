"""The checks' infrastructure, on an exercise made for the purpose."""

import threading
import time

import numpy as np
import pandas as pd
import pytest
import torch

from synthlib import checks
from synthlib.checks import Case, Mistake, Result, difference, run, wrong_answers


# ------------------------------------------------------------------ an exercise
def reference(x, y):
    """Cosine of paired rows, entry by entry."""
    if len(x) == 0:
        raise ValueError("x holds no row")
    out = []
    for a, b in zip(x, y, strict=True):
        dot = sum(p * q for p, q in zip(a, b, strict=True))
        out.append(dot / (sum(p * p for p in a) * sum(q * q for q in b)) ** 0.5)
    return np.array(out)


def cases(rng):
    yield np.array([[2.0, 0.0]]), np.array([[0.0, 3.0]])
    for d in (2, 3):
        yield Case((np.zeros((0, d)), np.zeros((0, d))), note="no rows")
    for n in (2, 5):
        yield rng.normal(size=(n, 3)), rng.normal(size=(n, 3))


def _guard(function):
    def guarded(x, y):
        if len(x) == 0:
            raise ValueError("x holds no row")
        return function(x, y)

    return guarded


MISTAKES = (
    Mistake("dot", _guard(lambda x, y: (x * y).sum(1)), "Divide the dot product by both norms."),
    Mistake(
        "one norm",
        _guard(lambda x, y: (x * y).sum(1) / np.linalg.norm(x, axis=1)),
        "The second vector has a norm, too.",
    ),
    Mistake(
        "silent",
        lambda x, y: (x * y).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1),
        "An empty batch has no cosine: raise a ValueError.",
    ),
)


def cosine(student, **options):
    return run("cosine", student, reference, cases, MISTAKES, **options)


@_guard
def solution(x, y):
    x, y = np.asarray(x), np.asarray(y)
    return (x * y).sum(1) / np.sqrt((x**2).sum(1) * (y**2).sum(1))


# ------------------------------------------------------------------ what run says
def test_the_solution_passes():
    result = cosine(solution)
    assert result.passed and "all 5 inputs" in result.message
    assert repr(result).startswith("✓ cosine, passed")


def test_a_list_or_tensor_of_the_right_numbers_passes():
    assert cosine(lambda x, y: solution(x, y).tolist()).passed
    assert cosine(lambda x, y: torch.tensor(solution(x, y), requires_grad=True) * 1.0).passed


def test_stub():
    def student(x, y):
        raise NotImplementedError("not done yet: divide by the norms")

    result = cosine(student)
    assert not result.passed and result.message == "not done yet: divide by the norms"
    assert repr(result).startswith("○ cosine, open")

    def bare(x, y):
        raise NotImplementedError

    assert cosine(bare).message == "not done yet"


@pytest.mark.parametrize("wrong, hint", wrong_answers(MISTAKES))
def test_each_mistake_gets_its_own_hint(wrong, hint):
    result = cosine(wrong)
    assert not result.passed and result.message == hint


def test_a_mistake_written_otherwise_is_recognised():
    def student(x, y):
        if not len(x):
            raise ValueError
        return np.array([np.dot(a, b) for a, b in zip(x, y, strict=True)])

    assert cosine(student).message == MISTAKES[0].hint


DOUBLED = (Mistake("twice", lambda x: 2 * x, "You take it twice: once is enough."),)


def once(student):
    return run("once", student, lambda x: x, [1.0, 2.0, 3.0, 4.0], DOUBLED)


def test_a_mistake_is_named_only_where_it_is_sure():
    assert once(lambda x: x + x).message == DOUBLED[0].hint
    # The same on one input, by chance; on those that fail, and not on the others; on none.
    for other in (lambda x: x + 1, lambda x: 2 * x if x > 2 else x, lambda x: x - 1):
        message = once(other).message
        assert "Smallest input" in message and DOUBLED[0].hint not in message


def test_a_second_mistake_does_not_hide_the_first():
    for other in (lambda x: 1 / (3 - x) and 2 * x, lambda x: 2 * x if x < 4 else float("inf")):
        assert once(other).message == DOUBLED[0].hint
    # Of the first there is one result only.
    assert once(lambda x: 2 * x if x < 2 else float("nan")).message != DOUBLED[0].hint


def test_two_values_are_shown_with_the_digits_that_tell_them_apart():
    message = run("near", lambda x: x * 1.0001, lambda x: x, [1.0]).message
    assert "Expected 1, got 1.0001." in message
    message = run("near", lambda x: x + 3e-5, lambda x: x, [1.0]).message
    assert "Expected 1, got 1.00003." in message
    message = run("none", lambda x: None, lambda x: None if x < 0 else x, [-1.0, 1.0]).message
    assert message.startswith("You return None, wanted is a number.")


def test_single_precision_is_right_and_a_case_may_be_coarser():
    assert run("half", lambda x: np.float32(x) / 2, lambda x: x / 2, [0.1, 1e-7, 3.3]).passed
    case = Case((1e6,), atol=0.1)
    assert run("large", lambda x: x + 0.05, lambda x: x, [case, 1.0]).message.startswith("1 of 2")
    assert run("large", lambda x: x + 0.05 * (x > 9), lambda x: x, [case, 1.0]).passed
    assert not run("large", lambda x: x + 0.2 + x / 10, lambda x: x, [case]).passed


def test_of_several_right_results_none_is_shown():
    def rotation(expected, got):
        return None if abs(got) == abs(expected) else "the length differs"

    message = run("turn", lambda x: x + 1, lambda x: x, [5.0], compare=rotation).message
    assert message == "The length differs. Smallest input: x = 5. Got 6."
    assert run("turn", lambda x: -x, lambda x: x, [5.0], compare=rotation).passed


def test_unknown_wrong_answer_shows_the_smallest_failing_input():
    message = cosine(_guard(lambda x, y: solution(x, y) + 1)).message
    assert "3 of 5 inputs fail" in message
    assert "[[2., 0.]]" in message and "Expected [0.], got [1.]" in message


def test_error_names_type_and_line():
    def student(x, y):
        a = 1
        return a / (a - 1)

    message = cosine(student).message
    assert message.startswith("ZeroDivisionError in line 3 of your function (`return a / (a - 1)`)")


def test_error_in_a_lambda_or_with_a_wrong_signature():
    assert cosine(lambda x, y: {}["k"]).message.startswith("KeyError in line 1 of your function")
    message = cosine(lambda x: x).message
    assert message.startswith("TypeError") and "positional argument" in message


def test_shape_and_kind():
    assert "the shape is (1, 1) instead of (1,)" in cosine(
        _guard(lambda x, y: solution(x, y)[:, None])
    ).message.replace("The", "the")
    assert "You return text, wanted is an array" in cosine(_guard(lambda x, y: "0")).message
    message = cosine(_guard(lambda x, y: solution(x, y) > 0)).message
    assert "You return truth values, wanted are numbers" in message
    assert "generator" in cosine(_guard(lambda x, y: (v for v in solution(x, y)))).message


def test_none_and_print_only():
    assert "returns nothing" in cosine(_guard(lambda x, y: None)).message
    assert "prints its result" in cosine(_guard(lambda x, y: print(solution(x, y)))).message
    # None may be an answer, of which there is one too many here.
    message = run("sign", lambda x: "+" if x > 1 else None, lambda x: "+" if x > 0 else None,
                  [(2,), (1,), (-1,)]).message  # fmt: skip
    assert message.startswith("You return None, wanted is text. 1 of 3 inputs fail.")


def test_nothing_of_the_student_is_printed(capsys):
    cosine(lambda x, y: print("noise"))
    assert capsys.readouterr().out == ""


def test_not_a_function():
    assert "Give the function itself" in cosine(solution(np.eye(2), np.eye(2))).message


def test_missing_error_is_reported_with_its_note():
    message = cosine(lambda x, y: solution(x, y) if len(x) else np.zeros(3)).message
    assert "wanted is a ValueError" in message and "(no rows)" in message

    def other(x, y):
        if not len(x):
            raise KeyError("x")
        return solution(x, y)

    assert "You raise KeyError, wanted is ValueError" in cosine(other).message


def test_changed_inputs():
    def student(x, y):
        if not len(x):
            raise ValueError
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        y /= np.linalg.norm(y, axis=1, keepdims=True)
        return (x * y).sum(1)

    message = cosine(student).message
    assert message.startswith("The result is right") and "changes its input x" in message


def test_inputs_are_fresh_for_each_call_and_the_reference_never_sees_them_changed():
    seen = []

    def student(items):
        seen.append(list(items))
        items.append(99)
        return items

    given = [1, 2]
    result = run("grow", student, lambda items: [*items, 3], [(given,), (given,)])
    assert not result.passed
    assert seen == [[1, 2], [1, 2]] and given == [1, 2]


def test_returning_the_input_does_not_pass_where_it_is_wrong():
    assert not cosine(lambda x, y: x).passed
    # Nor where the input is the expected object changed in place after the fact.
    result = run("sort", lambda v: v, sorted, [([3, 1, 2],), ([1, 2],)])
    assert not result.passed and "1 of 2 inputs fail" in result.message


def test_an_object_that_claims_to_equal_everything_does_not_pass():
    class Anything:
        def __eq__(self, other):
            return True

        def __hash__(self):
            return 0

    assert not cosine(_guard(lambda x, y: Anything())).passed
    assert not run("e", lambda: Anything(), lambda: object(), [()]).passed
    assert not run("e", lambda: [Anything()], lambda: ["a"], [()]).passed


def test_an_endless_loop_ends():
    def student(x, y):
        while True:
            try:
                time.sleep(0.01)
            except Exception:
                pass

    start = time.perf_counter()
    message = cosine(student, seconds=0.2).message
    assert "runs too long" in message
    assert time.perf_counter() - start < 5


def test_runs_outside_the_main_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(cosine(solution)))
    thread.start()
    thread.join()
    assert found[0].passed


def test_exit_is_caught():
    def student(x, y):
        raise SystemExit(3)

    assert "SystemExit" in cosine(student).message


def test_keyword_cases_single_arguments_and_own_comparison():
    given = [{"n": 3}, {"n": 4}]
    assert run("k", lambda n: n + 1, lambda n: n + 1, given).passed
    assert "n = 3" in run("k", lambda n: n, lambda n: n + 1, given).message
    assert run("s", len, lambda text: len(text), ["a", "bc"]).passed

    def compare(expected, got):
        return None if sorted(expected) == sorted(got) else "the words differ"

    assert run("c", lambda t: t.split()[::-1], str.split, ["a b"], compare=compare).passed
    assert "The words differ" in run("c", list, str.split, ["a b"], compare=compare).message
    assert "cannot be read" in run("c", len, str.split, ["a b"], compare=compare).message


def test_a_check_without_cases_is_refused():
    with pytest.raises(ValueError, match="at least one input"):
        run("none", len, len, [])


def test_same_verdict_each_time():
    assert cosine(_guard(lambda x, y: x[:, 0])) == cosine(_guard(lambda x, y: x[:, 0]))


# ------------------------------------------------------------------ how a result looks
def test_html_is_escaped_and_has_word_and_symbol():
    message = run("<b>x</b>", lambda: "<script>alert(1)</script>", lambda: "a", [()])
    shown = message._repr_html_()
    assert "<script>" not in shown and "<b>" not in shown and "&lt;script&gt;" in shown
    assert "✗" in shown and "try again" in shown
    assert "✓" in Result(True, "fine", "e")._repr_html_()


def test_long_values_are_short():
    result = run("long", lambda: "x" * 5000, lambda: "y" * 5000, [()])
    assert len(result.message) < 400


# ------------------------------------------------------------------ difference
@pytest.mark.parametrize(
    "expected, got, alike",
    [
        (1, 1.0, True),
        (1.0, np.float32(1.0), True),
        (np.array(2.0), 2, True),
        (True, np.True_, True),
        (True, 1, False),
        (1.0, 1.0 + 1e-7, True),
        (1.0, 1.001, False),
        (float("nan"), float("nan"), True),
        (float("inf"), float("inf"), True),
        ("a", "a", True),
        ("a", "b", False),
        (None, None, True),
        (None, 0, False),
        (0, None, False),
        ([1, 2], (1, 2), True),
        ([1, 2], np.array([1, 2]), True),
        ([1, 2], [2, 1], False),
        ([1, 2], [1], False),
        ([[1], [2, 3]], [[1], [2, 3]], True),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"b": 1}, False),
        ({1, 2}, {2, 1}, True),
        ({1, 2}, [1, 2], False),
        (["a", None], ["a", None], True),
        (np.array(["a", "b"]), ["a", "b"], False),
        (np.array(["a", "b"]), np.array(["a", "b"]), True),
        (np.eye(2), torch.eye(2), True),
        (torch.eye(2), np.ones((2, 2)), False),
        (np.eye(2), [[1, 0], [0, 1]], True),
        (np.array([True, False]), np.array([1, 0]), False),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 2]}, index=[5, 6]), True),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]}), False),
        (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]}), False),
        (np.array([1.0]), pd.Series([1.0]), True),
    ],
)
def test_difference(expected, got, alike):
    assert (difference(expected, got) is None) is alike


def test_a_chapter_without_checks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="ch98"):
        _ = checks.ch98


def test_progress_counts_what_a_notebook_passes():
    def ndcg(grades, k=10):
        first = np.asarray(grades, float)[:k], np.asarray(sorted(grades)[::-1], float)[:k]
        gains = [(g / np.log2(np.arange(len(g)) + 2)).sum() for g in first]
        return gains[0] / gains[1]

    def union(curated, gold):
        raise NotImplementedError("not done yet: say which <b>")

    told = checks.progress(6, {"ndcg": ndcg, "union": union, "read_triplets": 3})
    assert [result.passed for result in told] == [False, False, True, False]
    assert told.summary == "1 of 4 exercises passed"
    lines = repr(told).splitlines()
    assert lines[3] == "  ✓ ndcg, passed" and lines[1].startswith("  ○ mean paired difference")
    assert lines[4] == "  ✗ read_triplets, try again"
    page = told._repr_html_()
    assert page.count("<li>") == 4 and "✓ ndcg, passed" in page
    assert checks.progress(6).summary == "0 of 4 exercises passed"  # this module defines none
    with pytest.raises(ValueError, match="no chapter 42 has exercises"):
        checks.progress(42)


def test_progress_in_a_copy_without_checks(monkeypatch):
    from synthlib.checks import ch06

    monkeypatch.setattr(ch06, "WRONG", {})
    assert repr(checks.progress(6)) == "This copy of synthlib has no checks: hand your notebook in."
