"""What became of a real answer: the rules on the text, by hand-made cases, and their precedence."""

import math

import pandas as pd
import pytest
import tiny_models
from hypothesis import given
from hypothesis import strategies as st

from synthlib import models, prompts
from synthlib.experiments import field
from synthlib.methods import multicsr

PREMISE = "A librarian pushes a trolley of atlases."
INSTRUCTION = prompts.CONTRADICTION["paper"][0]


def one(output, label="contradiction", kind="contradiction", premise=PREMISE):
    row = dict(kind=kind, instruction=INSTRUCTION, premise=premise, output=output)
    return field.outcomes(pd.DataFrame([row]), [label])[0]


@pytest.mark.parametrize(
    ("output", "label", "outcome"),
    [
        ("Every book on the trolley is a novel.", "contradiction", "right"),
        ("Books of maps are being wheeled along.", "entailment", "opposite"),
        ("The librarian is looking for a bookmark.", "neutral", "neutral"),
        (PREMISE, "entailment", "copied"),
        ("a librarian  pushes a trolley of atlases", "entailment", "copied"),
        ("A librarian pushes a trolley of atlases!", "contradiction", "copied"),
        ("", "neutral", "broken"),
        ("No.", "contradiction", "broken"),
        ("…", "neutral", "broken"),
        ("a cat and a cat and a cat and a cat", "contradiction", "broken"),
        (" ".join(INSTRUCTION.split()[:9]), "neutral", "echo"),
        (" ".join(INSTRUCTION.split()[:3]).rstrip(",.") + " atlases", "neutral", "neutral"),
    ],
)  # fmt: skip
def test_each_outcome_on_a_case_of_its_own(output, label, outcome):
    assert one(output, label) == outcome


def test_words_of_the_instruction_that_the_premise_has_too_are_no_echo():
    words = INSTRUCTION.split()[:6]
    premise = "They said: " + " ".join(words)
    assert one(" ".join(words) + " indeed", premise=premise) == "right"
    assert one(" ".join(words) + " indeed", premise="They said nothing.") == "echo"


def test_an_entailment_that_contradicts_is_the_opposite():
    assert one("The trolley is empty.", "contradiction", kind="entailment") == "opposite"
    assert one("Somebody pushes a trolley.", "entailment", kind="entailment") == "right"


def test_unknown_kinds_and_labels_are_refused():
    with pytest.raises(ValueError, match="kind must be one of"):
        one("Some text here.", kind="paraphrase")
    with pytest.raises(ValueError, match="a label must be one of"):
        one("Some text here.", label="maybe")


@given(st.text(max_size=60), st.sampled_from(field.LABELS), st.sampled_from(field.KINDS))
def test_every_text_has_one_outcome(text, label, kind):
    found = one(text, label, kind=kind)
    assert found in field.OUTCOMES
    if found == "right":
        assert label == kind


@given(st.lists(st.sampled_from(["one", "two", "three", "four"]), min_size=1, max_size=30))
def test_broken_against_a_count_by_hand(words):
    text = " ".join(words)
    thrice = any(
        sum(words[j : j + 3] == words[i : i + 3] for j in range(len(words) - 2)) >= 3
        for i in range(len(words) - 2)
    )
    at_once = any(words[i] == words[i + 1] == words[i + 2] for i in range(len(words) - 2))
    assert field.broken(text) == (len(words) < 2 or thrice or at_once)


@pytest.mark.parametrize(
    ("text", "is_broken"),
    [
        ("Someobjectobjectobjectmaybe this.", True),
        ("A boy is is is drumming.", True),
        ("It is what it is, he said.", False),
        ("They talked about internationalization.", False),
    ],
)
def test_what_no_one_would_write_is_broken(text, is_broken):
    assert field.broken(text) == is_broken


def test_alike_counts_texts_that_are_not_alone():
    assert field.alike(["A dog.", "a  DOG.", "A cat.", "A cow."]) == 50
    assert field.alike(["A dog.", "A cat."]) == 0
    assert math.isnan(field.alike([]))


def test_the_books_own_sentences_and_triplets():
    assert len(field.sentences()) == 400 == len(set(field.sentences()))
    assert 0 < len(field.sentences("caption")) < 400
    shown, others = field.triplets(examples=True), field.triplets(examples=False)
    assert len(shown) + len(others) == len(field.triplets()) == 150
    assert set(shown["id"]).isdisjoint(others["id"])


def test_answers_hold_both_kinds_in_the_order_of_the_premises(tmp_path):
    examiner = models.load_nli("pocket/nli", device="cpu")
    generator = tiny_models.instruct("qwen")
    premises = field.sentences("caption")[:3]
    asked = multicsr.ask(premises, form=prompts.form_of(*generator))
    table = field.answers(generator, examiner, asked, max_new_tokens=4)
    assert list(table["kind"]) == ["entailment"] * 3 + ["contradiction"] * 3
    assert list(table["premise"]) == premises * 2
    assert list(table["outcome"]) == field.outcomes(table, table["label"])
    texts_of = {"entailment": prompts.ENTAILMENT, "contradiction": prompts.CONTRADICTION}
    for kind, texts in texts_of.items():
        rows = table[table["kind"] == kind]
        assert list(rows["instruction"]) == [texts["paper"][i - 1] for i in asked[kind]]
    turned = asked.assign(**{f"{k}_prompt": asked[f"{k}_noisy"] for k in field.KINDS})
    alone = field.answers(generator, examiner, asked, alone=True, max_new_tokens=4)
    plain = field.answers(generator, examiner, turned, omega=0.0, max_new_tokens=4)
    assert list(alone["output"]) == list(plain["output"])
