"""The measures of chapter 12 and what the ranking chapters share, at the smallest sizes."""

import numpy as np
import pandas as pd
import pytest

from synthlib import ledger
from synthlib.evaluation import examination
from synthlib.experiments import ch11 as ranking_posttraining
from synthlib.experiments import ch12 as ranking_results
from synthlib.experiments import lab
from synthlib.methods import ranking

SMALL = (("n", 6), ("steps", 4), ("temperature", 0.7))


@pytest.fixture
def few(monkeypatch):
    """Few captions to draw anchors from."""
    real = ranking.anchors

    def anchors(settings, n, seed, **more):
        from synthlib.world import corpora

        return real(settings, n, seed, sentences=corpora.premises(60, seed), **more)

    monkeypatch.setattr(ranking, "anchors", anchors)
    for cached in (lab.anchors, lab.written):
        cached.cache_clear()
    yield
    for cached in (lab.anchors, lab.written):
        cached.cache_clear()


def test_lists_are_written_once_and_verified(few):
    written = lab.written(0, **dict(SMALL))
    assert written is lab.written(0, **dict(SMALL))
    assert [row[0] for row in written] == list(lab.anchors(0, 6))
    kept = lab.lists(0, **dict(SMALL))
    assert list(kept) == ranking.verify(written, 4)[0] and kept
    other = lab.written(1, **dict(SMALL))
    assert [row[0] for row in other] != [row[0] for row in written]


def test_a_base_is_handed_out_as_a_copy(few):
    text, trained = ["a man is singing"], lab.base(0, "SimCSE")
    before = trained.encode(text)
    lists = lab.lists(0, **dict(SMALL))
    wanted = ranking.targets([np.eye(len(row)) for row in lists], mode="rank")
    ranking.post_train(trained, lists, wanted, lab.settings(), progress=False)
    assert np.array_equal(before, lab.base(0, "SimCSE").encode(text))
    assert not np.allclose(before, trained.encode(text), atol=1e-6)
    with pytest.raises(ValueError, match="base must be one of SimCSE, raw LLM data, MultiCSR"):
        lab.base(0, "DiffCSE")


def bag(words):
    """An encoder that sees these words only."""
    return lambda texts: np.array([[text.split().count(w) + 0.01 for w in words] for text in texts])


def test_examine_is_the_three_evaluations():
    sets = {
        "reranking": {"one": pd.DataFrame({
            "query": ["red dog"] * 3, "candidate": ["red dog", "dog", "cat"],
            "relevance": [1, 0, 1], "query_id": [0] * 3,
        })},
        "STS": {"few": pd.DataFrame({
            "sentence1": ["red dog"] * 3, "sentence2": ["red dog", "dog", "cat"],
            "score": [5.0, 3.0, 0.0],
        })},
    }  # fmt: skip
    marks = examination.examine(bag(["red", "dog", "cat"]), sets)
    assert marks["measure"].tolist() == ["reranking", "STS"]
    assert marks["task"].tolist() == ["one", "few"]
    # right ones stand at places 1 and 3: (1 + 2/3) / 2
    assert marks["mark"].tolist() == pytest.approx([100 * 5 / 6, 100.0])


def test_measures_are_the_gains_of_the_table(monkeypatch):
    of = ranking_posttraining
    monkeypatch.setattr(of, "base", lambda seed, name: Encoder(name, 0))
    monkeypatch.setattr(of, "post_trained", lambda seed, name, **how: Encoder(name, 1 + bool(how)))
    kept = {}
    monkeypatch.setattr(ledger, "keep_rows", lambda name, seed, frame: kept.update({name: frame}))
    marks = {
        ("SimCSE", 0): [40] * 4, ("SimCSE", 1): [49] * 4,
        ("raw LLM data", 0): [50, 60, 70, 50], ("raw LLM data", 1): [52, 61, 71, 57],
        ("MultiCSR", 0): [60, 70, 80, 60], ("MultiCSR", 1): [59, 70, 81, 60],
        ("MultiCSR", 2): [50] * 4,
    }  # fmt: skip

    def examine(encode, sets):
        return pd.DataFrame({
            "measure": ["reranking", "reranking", "transfer", "transfer"],
            "task": ["questions", "duplicates", "mood", "paraphrase"],
            "mark": marks[encode(["x"])],
        })  # fmt: skip

    monkeypatch.setattr(examination, "examine", examine)
    found = ranking_results.measure_before_and_after(0)
    assert found == {
        "12-table2-reranking": 1.5, "12-table2-multicsr": -0.5, "12-table7-transfer": 4.0,
        "12-table7-multicsr": 0.5, "12-table7-mrpc": 3.0,
    }  # fmt: skip
    assert set(found) <= set(ledger.claims(12).index)
    table = kept["12-tables"]
    rows = [*ranking_results.BASES, ranking_results.WEAK]
    assert list(table["base"].unique()) == rows and len(table) == 16
    assert table["gain"].tolist()[-4:] == [-10, -20, -30, -10]


class Encoder:
    """Stands for a base encoder before (0), after (1), or after with another teacher (2)."""

    def __init__(self, name, after):
        self.encode = lambda texts: (name, after)


def test_the_pocket_sets_have_what_the_evaluation_wants():
    sets = ranking_results.pocket_sets()
    assert list(sets["reranking"]) == ["questions", "duplicates"]
    for frame in sets["reranking"].values():
        assert frame.groupby("query_id")["relevance"].sum().between(1, 3).all()
    assert "paraphrase" in sets["transfer"] and len(sets["transfer"]) == 7


def test_real_sets_go_the_same_way(shared_data):
    from sklearn.feature_extraction.text import HashingVectorizer

    from synthlib import evaluation

    folder = shared_data / "reranking" / "trecqa"
    if not folder.is_dir():
        pytest.skip(f"no reranking set at {folder}")
    questions = evaluation.load_reranking(folder)
    hashed = HashingVectorizer(n_features=256, alternate_sign=False)

    def encode(texts):
        return hashed.transform(texts).toarray() + 1e-9

    def nothing(texts):
        return np.random.default_rng(0).normal(size=(len(texts), 8))

    table = ranking_results.before_and_after({"x": (nothing, encode)}, {"reranking": questions})
    assert set(table["task"]) == set(questions) and (table["gain"] > 5).all()  # words help
