"""Chapter 11's rows for ART's encoder, on few lists and a round of two steps."""

import by_hand
import caches
import pytest

from synthlib import ledger, models
from synthlib.experiments import ch11
from synthlib.methods import ranking

LISTS = (
    ["a man is running", "a guy is running", "a man walks", "a dog sleeps"],
    ["two dogs are running", "two dogs run", "a dog is running", "one cat sits", "a man"],
)


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(ch11, "lists", lambda seed, data: LISTS)
    real = ch11.corpora.sts
    caches.forget(ch11)
    monkeypatch.setattr(ch11.corpora, "sts", lambda kind, split, n: real(kind, split, 40))
    yield
    caches.forget(ch11)


def test_a_round_makes_an_encoder_and_says_from_what(few, monkeypatch):
    encoder, counts = ch11.round_one.__wrapped__(0, steps=1, anchors=100)
    assert counts["steps"] == 1 and 64 <= counts["triplets"] <= 100
    start = models.load_encoder("pocket/simcse-sup-bert", device="cpu")
    text = ["a man is running"]
    assert abs(encoder.encode(text) - start.encode(text)).max() > 1e-4  # it has learnt

    kept = {}
    monkeypatch.setattr(ledger, "keep_rows", lambda name, seed, rows: kept.update({name: rows}))
    monkeypatch.setattr(ch11, "round_one", lambda seed: (encoder, counts))
    trained, real = [], ranking.post_train
    monkeypatch.setattr(ranking, "post_train", lambda *args, **how: (
        trained.append(real(*args, **how)) or trained[-1]
    ))  # fmt: skip
    vector = encoder.encode(text)
    gain = ch11.measure_art(0)
    rows = kept["11-bases-art"].query("set == 'natural'").set_index("base")
    assert list(rows.index) == list(ch11.ART_BASES)
    assert (rows["triplets"] == counts["triplets"]).all()
    pairs = ch11.corpora.sts("natural", "test", 40)
    before, after = (by_hand.spearman(one.encode, pairs) for one in (encoder, trained[-1]))
    assert rows["before"]["ART"] == pytest.approx(before, abs=0.01)
    assert gain == pytest.approx(after - before, abs=0.02) and after != before
    assert (encoder.encode(text) == vector).all()  # a copy was trained
