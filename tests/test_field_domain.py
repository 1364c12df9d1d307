"""Chapter 16: a text file looked at, a trial of a few sentences, an examination of one's own."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny_models

from synthlib import curation, judging, models, paths, prompts, tiers
from synthlib.experiments import ch16, field
from synthlib.methods import multicsr

SETTINGS = tiers.get("laptop").multicsr


# ------------------------------------------------------------------ a text file
def test_a_domain_holds_no_sentence_that_settings_were_chosen_on():
    captions = list(pd.read_csv(paths.DATA / "field" / "captions.csv")["sentence"])
    assert ch16.domain("plain") == captions[40:] and len(captions) == 120
    for register in ch16.REGISTERS[1:]:
        assert ch16.domain(register) == field.sentences(register) != []
    table = pd.read_csv(paths.DATA / "field" / "sentences.csv")
    assert set(ch16.REGISTERS) == {"plain", *table["register"]}


def test_what_a_file_looks_like():
    def cut(texts, add_special_tokens):
        assert not add_special_tokens
        return {"input_ids": [list(text.replace(" ", "")) for text in texts]}

    given = ["Who is it?", "a b c d", "A  B C D", "one"]
    assert ch16.look(given, cut) == {
        "sentences": 4, "again": 1, "shortest": 1, "middle": 3.5, "longest": 4, "questions": 25.0,
        "pieces a word": (8 + 4 + 4 + 3) / (3 + 4 + 4 + 1),
    }  # fmt: skip
    assert "pieces a word" not in ch16.look(given)
    with pytest.raises(ValueError, match="no sentence to look at"):
        ch16.look([])


# ------------------------------------------------------------------ a trial
def test_a_trial_is_the_methods_stages_and_an_examiner(monkeypatch):
    generator = tiny_models.instruct("qwen")
    examiner = judge = models.load_nli("pocket/nli", device="cpu")
    premises = field.sentences("statement")[:3]
    table = ch16.trial(generator, judge, examiner, premises, SETTINGS, seed=4, max_new_tokens=4)
    asked = multicsr.ask(premises, seed=4, form=prompts.form_of(*generator))
    written = multicsr.write(generator, asked, omega=SETTINGS.omega, max_new_tokens=4)
    assert list(table["output"]) == [*written["positive"], *written["negative"]]
    assert list(table["premise"]) == premises * 2
    pairs = [pair for pair in zip(table["premise"], table["output"], strict=True)]
    some = [pair for pair in pairs if pair[1].strip()]
    scores = iter(judging.nli_similarity(*judge, some))
    want = [next(scores) if pair[1].strip() else np.nan for pair in pairs]
    np.testing.assert_allclose(table["score"], want, atol=1e-5)
    for i in range(3):
        a, b = table["score"][i], table["score"][i + 3]
        keep = a >= 3 and b <= 3 and a - b >= 1 and all(table["output"][[i, i + 3]].str.strip())
        assert table["kept"][i] == table["kept"][i + 3] == keep


def test_the_same_seed_draws_the_same_sentences_and_another_others():
    for register in ch16.REGISTERS:
        one = ch16.drawn(register, 0)
        assert one == ch16.drawn(register, 0) != ch16.drawn(register, 1)
        assert len(set(one)) == ch16.TRIAL and set(one) <= set(ch16.domain(register))


def test_a_summary_is_what_a_slow_count_counts():
    rng = np.random.default_rng(0)
    rows = []
    for register in ("b", "a"):
        for _seed in range(2):
            kept = rng.random(5) < 0.6
            for kind in field.KINDS:
                rows += [
                    {"register": register, "kind": kind, "kept": kept[i],
                     "outcome": str(rng.choice(["right", "copied", "neutral"]))}
                    for i in range(5)
                ]  # fmt: skip
    table = pd.DataFrame(rows)
    found = ch16.summary(table)
    assert list(found.index) == ["b", "a"]
    for register in "ab":
        part = [row for row in rows if row["register"] == register]
        firsts = [row for row in part if row["kind"] == "entailment"]
        seconds = [row for row in part if row["kind"] == "contradiction"]
        right = [row["outcome"] == "right" for row in seconds]
        both = [
            one["outcome"] == other["outcome"] == "right"
            for one, other in zip(firsts, seconds, strict=True) if one["kept"]
        ]  # fmt: skip
        row = found.loc[register]
        assert row["triplets"] == 10
        assert row["contradictions right"] == 100 * sum(right) / 10
        copied = sum(row["outcome"] == "copied" for row in seconds)
        assert row["contradictions copied"] == 100 * copied / 10
        assert row["kept"] == pytest.approx(100 * len(both) / 10)
        assert row["right of the kept"] == pytest.approx(100 * sum(both) / len(both))
    parted = table.assign(seed=np.arange(len(table)) // 10 % 2)
    seeds = ch16.summary(parted, by=["register", "seed"])
    assert list(seeds.index) == [("b", 0), ("b", 1), ("a", 0), ("a", 1)]
    assert list(seeds["triplets"]) == [5] * 4
    mean = seeds.groupby("register", sort=False)["kept"].mean()
    pd.testing.assert_series_equal(mean, found["kept"])
    nothing = ch16.summary(table.assign(kept=False))
    assert nothing["right of the kept"].isna().all() and (nothing["kept"] == 0).all()


# ------------------------------------------------------------------ an examination
def test_the_easy_question_takes_another_rows_text_and_the_hard_one_its_own():
    triplets = field.triplets(examples=False)
    exam = ch16.examination(triplets, seed=3)
    pd.testing.assert_frame_equal(exam, ch16.examination(triplets, seed=3))
    assert not exam["easy"].equals(ch16.examination(triplets, seed=4)["easy"])
    assert list(exam["same"]) == list(triplets["entailment"])
    assert list(exam["hard"]) == list(triplets["contradiction"])
    assert set(exam["easy"]) <= set(exam["same"]) and (exam["easy"] != exam["same"]).all()
    with pytest.raises(ValueError, match="two triplets or more, got 1"):
        ch16.examination(triplets.head(1))


def test_shared_words_are_counted_without_case_and_marks():
    a = ["The dog runs.", "", "one two", "Café's open"]
    b = ["the DOG sleeps!", "", "three", "cafe\u0301's open"]
    np.testing.assert_allclose(ch16.shared_words(a, b), [2 / 4, 0, 0, 1])


def test_marks_of_who_knows_of_who_does_not_and_of_who_says_the_same_of_all():
    exam = pd.DataFrame({
        "anchor": list("abcde"), "same": list("ABCDE"), "easy": list("BCDEA"),
        "hard": ["-a", "-b", "-c", "-d", "-e"],
    })  # fmt: skip

    def knows(a, b):
        return np.array([float(x.upper() == y) for x, y in zip(a, b, strict=True)])

    table = ch16.marks({"knows": knows, "blind": lambda a, b: np.ones(len(a)),
                        "turned": lambda a, b: -knows(a, b)}, exam)  # fmt: skip
    assert list(table["right"]) == [100, 100, 50, 50, 0, 0] and set(table["rows"]) == {5}
    z2, seen = 1.959964**2, 1.0  # Wilson's ends, from its own quadratic
    a, b, c = 1 + z2 / 5, -(2 * seen + z2 / 5), seen**2
    low = (-b - math.sqrt(b * b - 4 * a * c)) / (2 * a)
    assert table["low"][0] == pytest.approx(100 * low, abs=1e-3) and table["high"][0] == 100


def test_cosines_are_of_unit_vectors_row_by_row():
    vectors = {"a": [3.0, 0.0], "b": [0.0, 0.5], "c": [2.0, 2.0]}
    similar = ch16.cosine(lambda texts: np.array([vectors[text] for text in texts]))
    np.testing.assert_allclose(similar(["a", "a", "c"], ["b", "c", "c"]), [0, 0.5**0.5, 1])


def test_who_cannot_read_passes_the_easy_question_and_fails_the_hard_one():
    """What the chapter shows, of the book's own triplets."""
    table = ch16.marks(
        {"words": ch16.shared_words}, ch16.examination(field.triplets(examples=False))
    ).set_index("question")
    assert table.loc["easy", "right"] > 90 and 40 < table.loc["hard", "right"] < 55
    assert table.loc["hard", "high"] - table.loc["hard", "low"] == pytest.approx(17, abs=0.5)


# ------------------------------------------------------------------ what is recorded
def test_the_recording_is_complete_and_of_the_books_own_sentences():
    table = field.recorded("16-registers")
    assert list(dict.fromkeys(table["register"])) == list(ch16.REGISTERS)
    for (seed, register), part in table.groupby(["seed", "register"]):
        assert list(part["premise"]) == ch16.drawn(register, seed) * 2
        assert list(part["kind"]) == [kind for kind in field.KINDS for _ in range(ch16.TRIAL)]
    assert set(table["seed"]) == {0, 1, 2} and set(table["outcome"]) <= set(field.OUTCOMES)
    some = table[table["outcome"] == "copied"]
    assert all(
        curation.folded(x).rstrip(".!? ") == curation.folded(y).rstrip(".!? ")
        for x, y in zip(some["premise"], some["output"], strict=True)
    )


def test_captions_stand_out_on_every_draw_and_each_draw_has_another_worst():
    """What the chapter reads off its figure."""
    table = field.recorded("16-registers")
    whole = ch16.summary(table)
    count = (whole["kept"] * whole["triplets"] / 100).round()
    others = [name for name in ch16.REGISTERS if name not in ("plain", "caption")]
    assert list(count[["plain", "caption"]]) == [19, 14] and count[others].max() == 9
    worst = []
    for _, own in table.groupby("seed"):
        kept = ch16.summary(own)["kept"]
        assert kept["plain"] > kept[others].max()
        worst.append(list(kept[kept == kept.min()].index))
        copied = own[own["kind"] == "contradiction"].assign(copied=own["outcome"].eq("copied"))
        share = copied["copied"].groupby(copied["register"].isin(others)).mean()
        assert share[False] <= 1 / 16 and 0.15 < share[True] < 0.35
        words = copied["premise"].str.split().str.len().groupby(copied["outcome"]).mean()
        assert 9.5 < words["right"] < 11 and 12 < words["opposite"] < 14
    assert worst == [["instruction"], ["dialogue"], ["review"]]
    assert list(ch16.summary(table[table["register"] == "instruction"], "seed")["kept"]) == [
        0, 37.5, 25]  # fmt: skip


def test_nearly_every_entailment_begins_with_one_word():
    table = field.recorded("16-registers").query("kind == 'entailment'")
    begins = table["output"].str.split().str[0]
    assert (begins.eq("Somebody").groupby(table["seed"]).mean() > 0.9).all()
    shown = prompts.worked_examples("entailment", "", SETTINGS.shots, register=SETTINGS.register)
    assert [answer.startswith("Somebody") for _, answer in shown].count(True) == 2
    assert len(shown) == 4


def test_a_few_prompts_of_the_recording_are_written_the_same_again():
    have = SimpleNamespace(
        generator=field.load("generator", SETTINGS), judge=field.load("judge", SETTINGS),
        examiner=field.load("examiner"),
    )  # fmt: skip
    if None in vars(have).values():
        pytest.skip("the laptop tier's models are not here")
    premises = ch16.drawn("plain", 0)[:2]
    live = ch16.trial(have.generator, have.judge, have.examiner, premises, SETTINGS)
    table = field.recorded("16-registers").query("seed == 0 and register == 'plain'")
    wanted = table[table["premise"].isin(premises)]
    same = sum(
        live["output"][i] == text for i, text in enumerate(wanted["output"])
    )  # processors differ in the last bit: a text may turn at a near tie
    assert same >= 3
