"""What chapter 4 measures: verdicts, filters, demonstrations, and the rows of Table 6."""

import math

import numpy as np
import pandas as pd
import pytest

from synthlib import curation, ledger
from synthlib.experiments import ch04 as recipe

ANCHOR = "two young men are pushing a blue car in the morning"
SAME = "two young gentlemen are pushing a blue car in the morning"
PULL = "two young men are pulling a blue car in the morning"
NIGHT = "two young men are pushing a blue car at night"


@pytest.fixture(scope="module")
def triplets():
    """Forty triplets of the pocket generator, scored both ways."""
    return recipe.scored(0, 0.3, 40)


def table(*rows):
    return pd.DataFrame(rows, columns=["anchor", "positive", "negative"])


def test_verdicts_name_what_each_sentence_is():
    found = recipe.verdicts(
        table((ANCHOR, SAME, PULL), (ANCHOR, PULL, SAME), (ANCHOR, SAME, "not a sentence"))
    )
    assert found["positive_is"].tolist() == ["entailment", "contradiction", "entailment"]
    assert found["negative_is"].tolist() == ["contradiction", "entailment", "no sentence"]
    assert found["right"].tolist() == [True, False, False]


def test_quality_counts_by_hand():
    kept, right = [True, True, False, False, False], [True, False, True, True, False]
    found = recipe.quality(kept, right)
    assert found["triplets"] == 2
    assert found["kept"] == pytest.approx(40)
    assert found["precision"] == pytest.approx(50)
    assert found["recall"] == pytest.approx(100 / 3)
    assert found["rejected"] == pytest.approx(50)
    nothing = recipe.quality([False, False], [True, True])
    assert math.isnan(nothing["precision"]) and math.isnan(nothing["rejected"])
    assert nothing["recall"] == 0


def test_fate_names_the_broken_rules():
    rows = pd.DataFrame(
        {"a": [5.0, 2.5, 5.0, 3.5, 2.0, np.nan], "b": [1.0, 0.5, 3.5, 3.0, 4.0, 1.0]}
    )
    assert recipe.fate(rows) == ["kept", "α", "β", "γ", "α β γ", "unread"]
    kept = [name == "kept" for name in recipe.fate(rows)]
    assert kept == recipe.RULE.keep(rows["a"], rows["b"]).tolist()
    assert recipe.fate(rows, curation.Thresholds(3, 3, None))[3] == "kept"


def test_the_verbs_change_is_named():
    assert recipe.verb_change(ANCHOR, PULL) == "push → pull"
    assert recipe.verb_change(ANCHOR, NIGHT) == "same verb"
    assert recipe.verb_change(ANCHOR, "two young men are not pushing a blue car") == "denial"
    assert recipe.verb_change(ANCHOR, "nothing that can be read") == "unreadable"


def test_recall_by_verb_counts_right_triplets_only():
    rows = table((ANCHOR, SAME, PULL), (ANCHOR, SAME, PULL), (ANCHOR, PULL, PULL),
                 (ANCHOR, SAME, NIGHT)).assign(right=[True, True, False, True])  # fmt: skip
    found = recipe.by_verb(rows, [True, False, True, True])
    assert found.values.tolist() == [["push → pull", 2, 50.0], ["same verb", 1, 100.0]]


def test_scores_are_those_of_the_shared_corpus_with_the_oracle_beside(triplets):
    assert list(triplets.columns) == [
        "anchor", "positive", "negative", "a", "b", "a_expected", "b_expected",
        "positive_is", "negative_is", "right",
    ]  # fmt: skip
    # The written score is the likeliest one, the expected value the mean: near, not equal.
    assert (triplets["a"] - triplets["a_expected"]).abs().median() < 1
    assert not (triplets["a"] == triplets["a_expected"]).all()


@pytest.mark.parametrize(
    "text, score",
    [("4.5", 4.5), ("5.9", 5.9), (" 3.0 ", 3.0), ("4", 4.0), ("6.0", None), ("6", None),
     ("-1", None), ("3.25", None), ("Score: 3.0", None), ("4.", None), ("", None)],
)  # fmt: skip
def test_the_released_reader_takes_a_digit_or_two(text, score):
    assert recipe.released_score(text) == score


def test_the_released_filter_against_its_rules_one_by_one():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 11, size=(2, 500)) / 2
    a[::50] = np.nan
    for alpha, beta, gap in ((3, 3, True), (3, 3, False), (4.5, 4.5, True), (1, 5, False)):
        kept, exchanged = recipe.released_keep(a, b, alpha, beta, gap)
        for x, y, k, e in zip(a, b, kept, exchanged, strict=True):
            turned = y > x and x <= 4.0
            assert e == turned
            if turned:
                x, y = y, x
            wanted = y <= 4.0 and x >= alpha and y <= beta and (x != y or not gap)
            assert k == bool(wanted)


def test_the_released_margin_cannot_say_two():
    """At (4, 4, ·) the switch keeps a = 4.0 beside b = 3.5; γ = 2 does not."""
    kept, _ = recipe.released_keep([4.0], [3.5], alpha=4, beta=4)
    assert kept.tolist() == [True]
    assert curation.Thresholds(4, 4, 2).keep([4.0], [3.5]).tolist() == [False]


def test_the_classifier_keeps_entailment_beside_contradiction():
    rows = table((ANCHOR, SAME, PULL), (ANCHOR, PULL, SAME), (ANCHOR, SAME, SAME))
    assert recipe.nli_keep(rows).tolist() == [True, False, False]


def test_filters_are_counted_on_the_same_triplets(triplets):
    found = recipe.filters(triplets).set_index("filter")
    assert found.loc["none", "kept"] == 100
    assert found.loc["none", "precision"] == pytest.approx(100 * triplets["right"].mean())
    kept = recipe.RULE.keep(triplets["a"], triplets["b"])
    assert found.loc["self, text", "triplets"] == kept.sum()
    assert found.loc["self and NLI", "triplets"] <= found.loc["self, text", "triplets"]
    assert found.index[found["labels"]].tolist() == ["NLI classifier", "self and NLI"]
    values = recipe.selection_values(found.reset_index())
    assert values["04-fig3-kept"] == pytest.approx(100 * kept.mean())
    assert set(values) <= set(ledger.claims(4).index)


def test_an_exchanged_triplet_is_right_the_other_way_round():
    rows = table((ANCHOR, PULL, SAME)).assign(a=2.0, b=5.0, a_expected=2.0, b_expected=4.8)
    rows = rows.join(recipe.verdicts(rows))
    found = recipe.filters(rows).set_index("filter")
    assert found.loc["released code", "precision"] == 100
    assert found.loc["self, text", "triplets"] == 0


def test_demonstrations_are_drawn_from_the_labelled_pairs_and_never_change():
    shown = pd.DataFrame(
        {"sentence1": list("uvwx"), "sentence2": list("UVWX"), "score": [0.1, 1.3, 2.24, 4.9]}
    )
    pairs = [("a", "b"), ("c", "d"), ("a", "b")]
    template = recipe.with_demonstrations(pairs, shown, shots=2)
    again = recipe.with_demonstrations(pairs, shown, shots=2)
    assert template("a", "b") == again("a", "b") != template("c", "d")
    seen = {f"(a) {x} (b) {x.upper()} : {s} ." for x, s in zip("uvwx", ("0.0", "1.5", "2.0", "5.0"),
                                                           strict=True)}  # fmt: skip
    assert sum(part in template("a", "b") for part in seen) == 2
    assert template("a", "b").endswith("(a) a (b) b :")
    other = recipe.with_demonstrations(pairs, shown, shots=2, seed=5)
    assert any(template(*pair) != other(*pair) for pair in pairs)


def test_a_judge_is_measured_with_and_without_demonstrations():
    generator = recipe.lab.load("pocket/generator-t5")
    rows = recipe.judged(generator, "natural", n=30, methods=("text",), demonstrations=(0, 1))
    assert rows["demonstrations"].tolist() == [0, 1]
    assert rows["spearman"].iloc[0] > 60 and (rows["unread"] == 0).all()


def test_table_six_has_the_papers_twenty_seven_settings():
    rows = recipe.table6()
    assert len(rows) == 27 and rows["setting"].is_unique
    best = rows.loc[rows["paper_spearman"].idxmax()]
    assert (best["setting"], best["paper_thousands"], best["paper_spearman"]) == (
        "3 3 1",
        76.4,
        86.54,
    )
    assert best["rule"] == recipe.RULE
    assert rows.set_index("setting").loc["5 0 –", "rule"].gamma is None


def test_the_grid_trains_equal_rows_once(monkeypatch, triplets):
    trained = []

    def fit(kept, seed, guide=None, **options):
        if len(kept) < recipe.FEWEST:
            return None
        trained.append(tuple(kept.index))
        return len(kept)

    monkeypatch.setattr(recipe, "fit", fit)
    monkeypatch.setattr(recipe, "scored", lambda *_: triplets)
    monkeypatch.setattr(recipe, "dev_score", float)  # as if more triplets were always better
    monkeypatch.setattr(recipe, "FEWEST", 5)
    rows = recipe.grid(0)
    assert len(rows) == 27 + len(recipe.EXPECTED_RULES) + 2
    assert len(trained) == len(set(trained))  # no set twice
    few = rows["triplets"] < 5
    assert rows["spearman"].isna().equals(few) and few.any()
    assert (rows["spearman"] == rows["triplets"])[~few].all()
    for _, same in rows.groupby("same_as"):
        assert same["triplets"].nunique() == 1
    control = rows[rows["scores"] == "control"].set_index("setting")["triplets"]
    text = rows[rows["scores"] == "text"].set_index("setting")["triplets"]
    assert control["no filter"] == len(triplets) and control["at random"] == text["3 3 1"]


def test_the_values_of_table_six_count_ties_as_equal():
    settings = list(recipe.table6()["setting"])
    score = dict.fromkeys(settings, 60.0)
    score |= {"3 3 1": 65.0, "3 3 2": 65.0, "4 4 1": 66.0, "5 2 –": 64.0, "3 0 –": 61.0}
    score["5 0 –"] = np.nan
    rows = pd.DataFrame(
        [("text", name, value) for name, value in score.items()]
        + [("control", "no filter", 62.0), ("control", "at random", 63.0)],
        columns=["scores", "setting", "spearman"],
    )
    values = recipe.grid_values(rows)
    assert values == {
        "04-table6-best": 2, "04-table6-extreme": 1.0, "04-table6-beta0": 4.0, "04-random": 2.0
    }  # fmt: skip
    assert set(values) <= set(ledger.claims(4).index)


def test_table_one_compares_written_scores():
    rows = pd.DataFrame(
        [
            ("T5", 0, "text", 80.0, "natural"), ("T5", 0, "expected", 99.0, "natural"),
            ("T5", 3, "text", 70.0, "natural"), ("Llama", 0, "text", 82.0, "natural"),
            ("Llama", 3, "text", 84.0, "natural"), ("T5", 0, "text", 71.0, "hard"),
            ("SimCSE, unsupervised", 0, "cosine", 45.0, "natural"),
            ("SimCSE, supervised", 0, "cosine", 86.0, "natural"),
            ("SimCSE, unsupervised", 0, "cosine", -5.0, "hard"),
        ],
        columns=["model", "demonstrations", "scores", "spearman", "set"],
    )  # fmt: skip
    values = recipe.table1_values(rows)
    assert values == {
        "04-table1-judge": 39.0, "04-table1-demonstrations": -4.0,
        "04-table1-supervised": -2.0, "04-table1-hard": 76.0,
    }  # fmt: skip
    assert set(values) <= set(ledger.claims(4).index)


def test_few_triplets_shrink_the_batch_and_fewer_train_nothing(triplets):
    assert recipe.fit(triplets.head(recipe.FEWEST - 1), 0, max_steps=1) is None
    encoder = recipe.fit(triplets.head(20), 0, max_steps=1)
    assert encoder.encode(["a dog is running"]).shape == (1, 128)
