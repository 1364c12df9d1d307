"""Prompts: the papers' words exactly, the noisy variants, the demonstrations."""

import os
import re
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlib import prompts
from synthlib.world import pretraining

EIGHT = [*prompts.ENTAILMENT["paper"], *prompts.CONTRADICTION["paper"]]
TEMPLATES = {
    name: getattr(prompts, name)
    for name in (
        "SIMILARITY", "ART_POSITIVE", "ART_NEGATIVE", "RANKING", "RANKING_STEP", "RANKING_LIST",
        "PROMPT_POOLING",
    )
}  # fmt: skip


# ------------------------------------------------------------------ the papers' words
def squeeze(text):
    """Letters and marks alone: line breaks, hyphenation and mark-up belong to the print.

    The texts were read off printed pages: a word parted at a line's end keeps its hyphen, a closing
    bracket can come out as a bar, formulas stand between dollar signs.
    """
    text = re.sub(r"\\\{|\\\}|[$*]", lambda m: m[0][1:], text)
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", text).replace("-\n", "")
    return re.sub(r"\s+", "", text).replace("|", "]").replace("x_y", "x'")


@pytest.fixture(scope="module")
def papers(root):
    data = os.environ.get("SYNTHLIB_SHARED_DATA")
    folder = (Path(data).parent if data else root.parent / "shared") / "papers"
    names = ("multicsr", "art", "ranking-sentences")
    if not all((folder / f"{name}.txt").is_file() for name in names):
        pytest.skip(f"the papers' texts are not at {folder}")
    return {name: squeeze((folder / f"{name}.txt").read_text("utf-8")) for name in names}


@pytest.mark.parametrize("instruction", EIGHT)
def test_multicsr_instructions_are_quoted_exactly(papers, instruction):
    assert squeeze(instruction) in papers["multicsr"]


@pytest.mark.parametrize(
    ("paper", "prompt"),
    [
        ("multicsr", prompts.SIMILARITY["paper"].replace("{a}", "{x}").replace("{b}", "{x_y}")),
        ("art", prompts.ART_POSITIVE["paper"].replace("{sentence}", "[X]")),
        ("art", prompts.ART_NEGATIVE["paper"].replace("{sentence}", "[X]")),
        ("ranking-sentences", prompts.RANKING["paper"]),
        ("ranking-sentences", prompts.RANKING_STEP["paper"]),
        ("ranking-sentences", prompts.RANKING_LIST["paper"].replace("{steps}", "32")),
    ],
)
def test_templates_are_quoted_exactly(papers, paper, prompt):
    assert squeeze(prompt) in papers[paper]


def test_the_quoting_test_would_notice_a_changed_word(papers):
    changed = prompts.ENTAILMENT["paper"][0].replace("alternative", "other")
    assert squeeze(changed) not in papers["multicsr"]


def test_both_forms_of_every_prompt_ask_for_the_same_things():
    for table in (prompts.ENTAILMENT, prompts.CONTRADICTION):
        assert set(table) == set(prompts.FORMS) and {len(x) for x in table.values()} == {4}
        assert len(set(table["paper"])) == len(set(table["pocket"])) == 4
    for name, table in TEMPLATES.items():
        fields = [sorted(set(re.findall(r"\{(\w+)\}", table[form]))) for form in prompts.FORMS]
        assert fields[0] == fields[1], name


def test_pocket_forms_are_words_that_the_models_know():
    known = set(pretraining.vocabulary())
    assert prompts.pocket_words() <= known
    for text in (*prompts.ENTAILMENT["pocket"], *prompts.CONTRADICTION["pocket"]):
        assert text == text.lower() and set(text.split()) <= known


# ------------------------------------------------------------------ generation and scoring
PAIRS = (("a dog runs", "an animal runs"), ("a cat sits", "an animal sits"))


def test_generation_by_hand():
    assert prompts.generation("say it again", "a dog runs", form="pocket") == (
        "say it again . input : a dog runs output :"
    )
    assert prompts.generation("say it again", "b", form="pocket", demonstrations=PAIRS) == (
        "say it again . input : a dog runs output : an animal runs . "
        "input : a cat sits output : an animal sits . input : b output :"
    )
    assert prompts.generation("Say it.", "b", demonstrations=PAIRS[:1]) == (
        "Say it.\nInput: a dog runs\nOutput: an animal runs\nInput: b\nOutput:"
    )


def test_similarity_by_hand():
    assert prompts.similarity("x", "y", form="pocket") == (
        "score the semantic similarity of the following sentences between 0.0 and 5.0 : "
        "(a) x (b) y :"
    )
    assert prompts.similarity("x", "y", form="pocket", demonstrations=(("p", "q", 3.5),)) == (
        "score the semantic similarity of the following sentences between 0.0 and 5.0 : "
        "(a) p (b) q : 3.5 . (a) x (b) y :"
    )
    asked = prompts.similarity("x", "y", demonstrations=(("p", "q", 3.0),))
    first, last = asked.split("\n")
    assert first.endswith("(a) “p”, (b) “q”: 3.0") and last.endswith("(a) “x”, (b) “y”:")


@pytest.mark.parametrize("form", prompts.FORMS)
@given(st.text("ab {}%\\", min_size=1, max_size=20), st.text("cd {}%", min_size=1, max_size=20))
def test_sentences_are_put_in_as_they_are(form, a, b):
    """Braces in a text that somebody wrote are no template fields."""
    assert f"{a}" in prompts.generation("do it", a, form=form)
    scored = prompts.similarity(a, b, form=form, demonstrations=((b, a, 1.0),))
    assert scored.count(a) >= 2 and scored.count(b) >= 2


@pytest.mark.parametrize("make", [prompts.generation, prompts.similarity])
def test_an_unknown_form_is_refused(make):
    with pytest.raises(ValueError, match="paper, pocket"):
        make("a", "b", form="colab")


# ------------------------------------------------------------------ noisy variants
word = st.text("abc", min_size=1, max_size=4)
instructions = st.lists(word, min_size=1, max_size=20).map(" ".join)
seeds = st.integers(0, 2**32 - 1)


@given(instructions, seeds)
def test_reorder_keeps_all_words(text, seed):
    noisy = prompts.noisy_instruction(text, "reorder", Random(seed))
    assert sorted(noisy.split()) == sorted(text.split())


@given(instructions, seeds)
def test_mask_changes_words_to_the_mask_only(text, seed):
    noisy = prompts.noisy_instruction(text, "mask", Random(seed), mask="[m]")
    pairs = list(zip(noisy.split(), text.split(), strict=True))
    assert all(new in ("[m]", old) for new, old in pairs)


@given(instructions, seeds)
def test_truncate_keeps_the_first_half(text, seed):
    noisy, words = prompts.noisy_instruction(text, "truncate", Random(seed)), text.split()
    assert noisy.split() == words[: max(1, len(words) // 2)]


def test_fifteen_percent_of_words_are_masked_and_orders_really_change():
    rng, text = Random(0), " ".join(EIGHT)
    masked = [prompts.noisy_instruction(text, "mask", rng).split() for _ in range(50)]
    share = sum(w == "<mask>" for row in masked for w in row) / sum(map(len, masked))
    assert abs(share - 0.15) < 0.01
    assert len({prompts.noisy_instruction(EIGHT[0], "reorder", rng) for _ in range(20)}) == 20


def test_opposite_is_drawn_from_the_other_kind():
    rng, others = Random(0), prompts.CONTRADICTION["pocket"]
    drawn = {prompts.noisy_instruction("x", "opposite", rng, opposites=others) for _ in range(200)}
    assert drawn == set(others)
    with pytest.raises(ValueError, match="opposites"):
        prompts.noisy_instruction("x", "opposite", rng)


def test_noise_is_drawn_from_the_seed_and_unknown_kinds_are_refused():
    for kind in ("reorder", "mask", "truncate"):
        once, again = (prompts.noisy_instruction(EIGHT[3], kind, Random(7)) for _ in range(2))
        assert once == again
    with pytest.raises(ValueError, match="reorder, mask, truncate, opposite"):
        prompts.noisy_instruction("x", "shout", Random(0))


def test_a_list_is_read_as_it_was_asked_for():
    text = "Sentences:\n\n1. A cat rests.\n 2) A dog of 3. class rests. \n3.\n10. It rains."
    assert prompts.read_list(text) == ["A cat rests.", "A dog of 3. class rests.", "It rains."]
    assert prompts.read_list("no list") == []
    assert prompts.read_list("a cat rests ; a dog rests ;", form="pocket") == [
        "a cat rests", "a dog rests",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="form"):
        prompts.read_list("a", form="other")


NUMBERINGS = {
    "dot": "{n}. {x}", "tight": "{n}.{x}", "bracket": "{n}) {x}", "brackets": "({n}) {x}",
    "square": "[{n}] {x}", "colon": "{n}: {x}", "dash": "{n} - {x}", "en dash": "{n} – {x}",
    "bold": "**{n}.** {x}", "all bold": "**{n}. {x}**", "hash": "#{n} {x}",
    "heading": "### {n}. {x}",
    "step": "Step {n}: {x}", "sentence": "Sentence {n}: {x}", "bold step": "**Step {n}:** {x}",
    "bulleted": "- {n}. {x}", "indented": "   {n}. {x}", "wide": "{n}．{x}", "comma": "{n}、{x}",
}  # fmt: skip
SENTENCES = [
    "A cat rests.", "3.5 million people live here.", "2 dogs run.", "1999 was a good year.",
    "At 1:30 the man of 3. class left.", "10.5 percent of it - no more.", "1,000 women sing.",
    "An A. and a B) and 4. Nothing.", "-5 degrees.", "50% of them run.", "2nd dog sleeps.",
]  # fmt: skip
sentence_lists = st.lists(st.sampled_from(SENTENCES), min_size=2, max_size=14)


@pytest.mark.parametrize("name", NUMBERINGS)
@given(sentence_lists, st.booleans(), st.booleans(), st.integers(1, 6))
def test_a_numbering_is_taken_off(name, wanted, blank_lines, introduced, again):
    """Whatever the sentences begin with; also where it begins again in the middle."""
    if name in ("tight", "wide", "comma"):  # a digit behind it would make a decimal number of it
        wanted = [f"So {x}" for x in wanted]
    numbers = [1 + i % max(again, 2) for i in range(len(wanted))] if again > 3 else range(1, 99)
    lines = [NUMBERINGS[name].format(n=n, x=x) for n, x in zip(numbers, wanted, strict=False)]
    text = ("\n\n" if blank_lines else "\n").join(lines)
    assert prompts.read_list(("Here are 5 sentences:\n\n" if introduced else "") + text) == wanted


@given(sentence_lists, st.sampled_from(["", "- ", "* ", "• "]), st.sampled_from(["\n", "\n\n"]))
def test_numbers_that_belong_to_sentences_stay(wanted, bullet, between):
    text = between.join(bullet + x for x in wanted)
    assert prompts.read_list(text) == wanted
    assert prompts.read_list("Of course:\n" + text) == wanted


def test_lists_at_the_edges_of_the_rule():
    read = prompts.read_list
    assert read("3.5 million people live here.\n1999. The year was good.") == [
        "3.5 million people live here.", "1999. The year was good.",
    ]  # fmt: skip
    assert read("1. 3.5 million people.\n2. 4. 5 of them.\n1999. It was.") == [
        "3.5 million people.", "4. 5 of them.",
    ]  # fmt: skip
    assert read("① A cat.\n② A dog.\n③ A man.") == ["A cat.", "A dog.", "A man."]
    assert read("9. A cat.\n10. A dog.\n11) A man.") == ["A cat.", "A dog.", "A man."]
    assert read("0. A cat.\n1. A dog.") == ["A cat.", "A dog."]
    assert read("1. A cat.\r\n2. A dog.\r\n") == ["A cat.", "A dog."]
    assert read("1.\n2. A dog.") == ["A dog."] and read("") == read("  \n ") == []
    assert read("3.5 million people live here.") == []
