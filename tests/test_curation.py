"""The thresholds of MultiCSR's self-curation, against Eq. 4 triplet by triplet."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthlib import curation
from synthlib.curation import Thresholds, find_loop, keep_grid, verify_ranking_list

HALVES = st.integers(0, 10).map(lambda n: n / 2)
SCORES = HALVES | st.none() | st.just(math.nan)
PAIRS = st.lists(st.tuples(SCORES, SCORES), max_size=30)
RULES = st.builds(Thresholds, HALVES, HALVES, HALVES | st.none())


def unread(score):
    return score is None or math.isnan(score)


@given(RULES, PAIRS)
def test_keep_is_equation_four(rule, pairs):
    kept = rule.keep([a for a, _ in pairs], [b for _, b in pairs])
    assert kept.dtype == bool and kept.shape == (len(pairs),)
    for (a, b), got in zip(pairs, kept, strict=True):
        if unread(a) or unread(b):
            expected = False
        else:
            expected = a >= rule.alpha and b <= rule.beta
            if rule.gamma is not None:
                expected = expected and a >= b + rule.gamma
        assert got == expected


@given(RULES, PAIRS)
def test_report_counts_every_triplet(rule, pairs):
    a, b = [a for a, _ in pairs], [b for _, b in pairs]
    report = rule.report(a, b)
    read = [(x, y) for x, y in pairs if not unread(x) and not unread(y)]
    assert report == {
        "triplets": len(pairs),
        "kept": sum(rule.keep(a, b)),
        "unread": len(pairs) - len(read),
        "below_alpha": sum(x < rule.alpha for x, _ in read),
        "above_beta": sum(y > rule.beta for _, y in read),
        "within_gamma": sum(rule.gamma is not None and x < y + rule.gamma for x, y in read),
    }


@given(PAIRS, HALVES, HALVES, HALVES)
def test_a_stricter_rule_keeps_a_part(pairs, alpha, beta, gamma):
    a, b = [a for a, _ in pairs], [b for _, b in pairs]
    rule = Thresholds(alpha, beta, gamma).keep(a, b)
    for stricter in (
        Thresholds(min(5, alpha + 0.5), beta, gamma),
        Thresholds(alpha, max(0, beta - 0.5), gamma),
        Thresholds(alpha, beta, min(5, gamma + 0.5)),
    ):
        assert not (stricter.keep(a, b) & ~rule).any()
    assert not (rule & ~Thresholds(alpha, beta, None).keep(a, b)).any()


@given(st.lists(RULES, max_size=6), PAIRS)
def test_a_grid_is_its_rules_one_by_one(rules, pairs):
    a, b = [a for a, _ in pairs], [b for _, b in pairs]
    kept = keep_grid(a, b, rules)
    assert kept.dtype == bool and kept.shape == (len(rules), len(pairs))
    for rule, row in zip(rules, kept, strict=True):
        assert row.tolist() == rule.keep(a, b).tolist()


def test_a_grid_refuses_what_its_rules_refuse():
    with pytest.raises(ValueError, match="a has 1 scores and b has 2"):
        keep_grid([3.0], [1.0, 2.0], [Thresholds()])
    with pytest.raises(ValueError, match=r"b\[0\] is -1.0"):
        keep_grid([3.0], [-1.0], [Thresholds()])


def test_the_papers_region():
    """Fig. 3 at (3, 3, 1): corners on each line are inside."""
    a, b = [3.0, 5.0, 2.5, 5.0, 3.5, 4.0], [2.0, 3.0, 0.0, 3.5, 3.0, 3.0]
    assert Thresholds().keep(a, b).tolist() == [True, True, False, False, False, True]


def test_tensors_and_arrays_are_scores():
    a, b = [4.0, 2.0], [1.0, 1.0]
    for kind in (np.array, torch.tensor, tuple):
        assert Thresholds().keep(kind(a), kind(b)).tolist() == [True, False]
    assert Thresholds().keep([], []).tolist() == []


@pytest.mark.parametrize(
    "options", [{"alpha": -1}, {"beta": 5.5}, {"gamma": -0.5}, {"alpha": math.nan},
                {"beta": None}, {"alpha": "3"}, {"gamma": 6}]
)  # fmt: skip
def test_thresholds_out_of_range_are_refused(options):
    (name,) = options
    with pytest.raises(ValueError, match=rf"{name} must lie in \[0.0, 5.0\]"):
        Thresholds(**options)


@pytest.mark.parametrize(
    "a, b, fragment",
    [
        ([3.0], [1.0, 2.0], "a has 1 scores and b has 2"),
        ([3.0, 7.0], [1.0, 2.0], "a[1] is 7.0"),
        ([3.0], [-1.0], "b[0] is -1.0"),
        (["high"], [1.0], "a must hold numbers"),
        ([[3.0]], [[1.0]], "shape (1, 1)"),
        (3.0, 1.0, "shape ()"),
    ],
)
def test_scores_that_do_not_fit_are_refused(a, b, fragment):
    with pytest.raises(ValueError) as error:
        Thresholds().keep(a, b)
    assert fragment in str(error.value)


# ------------------------------------------------------------------ ranking lists
@pytest.mark.parametrize(
    "letters, options, reason",
    [
        ("abcde", {"steps": 4}, None),
        ("abcde", {"steps": 5}, "incomplete"),
        ("abcdef", {"steps": 4}, None),
        ("a", {}, "incomplete"),
        ("ab", {}, None),
        ("ab cd", {}, "incomplete"),
        ("abc\n", {}, "newline"),
        ("abccc", {}, "degenerate tail"),
        ("abcbcbc", {}, "degenerate tail"),
        ("bcbdbe", {}, "degenerate tail"),  # the last but one, spread over the list
        ("bbbcd", {}, None),  # stuck for a while, and out again
        ("abcc", {}, None),
        ("abcc", {"distinct": True}, "duplicates"),
        ("abca", {"distinct": True}, "duplicates"),
        ("abcd", {"distinct": True}, None),
        ("abccc", {"distinct": True}, "degenerate tail"),
    ],
)
def test_why_a_ranking_list_is_dropped(letters, options, reason):
    sentences = [" " if x == " " else f"the dog{x}runs" for x in letters]
    assert verify_ranking_list(sentences, **options) == reason


def test_a_ranking_list_is_no_text():
    with pytest.raises(ValueError, match="list of sentences"):
        verify_ranking_list("a dog runs")
    with pytest.raises(ValueError, match="steps"):
        verify_ranking_list(["a", "b"], steps=0)


@given(st.lists(st.sampled_from("abc"), max_size=12))
def test_find_loop_equals_the_definition(letters):
    """All starts and periods tried, the smallest period first."""
    found = None
    n = len(letters)
    for period in range(1, n + 1):
        starts = [
            start
            for start in range(n - 2 * period + 1)
            if all(letters[i] == letters[i - period] for i in range(start + period, n))
        ]
        if starts:
            found = min(starts), period
            break
    assert find_loop(letters) == found


def test_a_loop_of_a_list():
    assert find_loop("abcd") is None
    assert find_loop("aabcd") is None
    assert find_loop("abcc") == (2, 1)
    assert find_loop("aaaa") == (0, 1)
    assert find_loop("xyababa") == (2, 2)
    assert find_loop([]) is find_loop(["a"]) is None


# ---------------------------------------------------------------- copies
SAME = [
    ("A dog  runs.", "a dog runs."), ("a dog\truns ", " a dog runs"), ("STRASSE", "straße"),
    ("cafe\u0301", "CAFÉ"), ("", " \n"), ("a\u00a0b", "A B"),
]  # fmt: skip
OTHER = [("a dog", "a dog."), ("a dog", "adog"), ("cafe", "café"), ("a dog", "dog a"), ("", "a")]


@pytest.mark.parametrize("pair", SAME + OTHER)
def test_what_a_copy_is(pair):
    assert curation.copies(*zip(pair, pair[::-1], strict=True)).tolist() == [pair in SAME] * 2


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=20))
def test_a_folded_text_is_folded_and_equals_its_variants(text):
    plain = curation.folded(text)
    assert curation.folded(plain) == plain
    assert curation.copies([text] * 2, [plain, f"  {text}\t"]).all()


def test_a_copy_is_one_thing_everywhere():
    from synthlib.experiments import ch10 as ranking_generation
    from synthlib.world import corpora, report

    premise = corpora.premises(1, 0)[0]
    again = premise.upper().replace(" ", "  ")
    assert report.outcome(premise, premise, "entailment") == "copied"
    assert curation.copies([premise], [again])[0]
    lists = [[premise, again, "x", premise]]
    frame = ranking_generation.describe(
        lists, lambda s: np.eye(9)[: len(s)], oracle_too=False
    )
    assert frame["copy"].tolist() == [False, True, False, False]
    assert frame["repeated"].tolist() == [False, True, False, True]
    assert curation.verify_ranking_list([premise, "x", again, premise]) == "degenerate tail"
    assert curation.verify_ranking_list(["x", premise, again], distinct=True) == "duplicates"
    with pytest.raises(ValueError, match="2 anchors and 1 texts"):
        curation.copies("ab", "a")
