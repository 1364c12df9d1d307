"""A method in memory does what its run does: the same rows, the same encoder."""

import dataclasses

import numpy as np
import pytest

from synthlib import models, tiers
from synthlib.methods import art, multicsr, ranking
from synthlib.runs import art as art_run
from synthlib.runs import multicsr as multicsr_run
from synthlib.runs import ranking as ranking_run
from synthlib.world import corpora

SENTENCES = corpora.premises(48, 31)
LOOKED_AT = ["a man is running", "a dog sleeps", "two girls are singing"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("pipelines") / "premises.txt"
    path.write_text("\n".join(SENTENCES), encoding="utf-8")
    return path


def test_multicsr(file, tmp_path):
    small = dict(max_steps=3, batch_size=8, seed=5)
    run = multicsr_run.run(tmp_path / "run", tier="pocket", premises=file, quiet=True, device="cpu",
                           **small)  # fmt: skip
    own = tiers.get("pocket").multicsr
    encoder = models.load_encoder(own.encoder, pooling=own.pooling, device="cpu")
    guide = models.load_encoder(own.guide, device="cpu").encode
    generator = models.load_generator(own.generator, device="cpu")
    premises = list(run.triplets().to_pandas()["anchor"])
    found = multicsr.pipeline(
        generator, premises, encoder, own, guide=guide, progress=False, **small
    )
    kept = run.kept().to_pandas()
    columns = ["anchor", "positive", "negative"]
    assert found[found["kept"]][columns].values.tolist() == kept[columns].values.tolist()
    assert 8 <= len(kept) < len(found)
    same = run.encoder("cpu").encode(LOOKED_AT)
    assert np.allclose(encoder.encode(LOOKED_AT), same, atol=1e-5)
    untouched = models.load_encoder(own.encoder, pooling=own.pooling, device="cpu")
    assert abs(untouched.encode(LOOKED_AT) - same).max() > 1e-3


def test_ranking(file, tmp_path):
    run = ranking_run.run(
        tmp_path / "run", tier="pocket", premises=file, anchors=12, lists_per_step=1, seed=2,
        temperature=0.0, select="last", quiet=True, device="cpu",
    )  # fmt: skip
    own = dataclasses.replace(tiers.get("pocket").ranking, temperature=0.0)
    encoder = models.load_encoder(own.encoder, device="cpu")
    teacher = models.load_encoder(own.teacher, device="cpu").encode
    generator = models.load_generator(own.generator, device="cpu")
    anchors = list(run.lists().to_pandas()["anchor"])
    kept, dropped = ranking.pipeline(
        generator, anchors, encoder, teacher, own, lists_per_step=1, seed=2, progress=False
    )
    rows = run.kept().to_pandas()
    said = [[a, *s] for a, s in zip(rows["anchor"], rows["sentences"], strict=True)]
    assert kept == said and kept
    assert sum(dropped.values()) + len(kept) == len(anchors)
    same = run.encoder("cpu").encode(LOOKED_AT)
    assert np.allclose(encoder.encode(LOOKED_AT), same, atol=1e-5)


def test_art(file, tmp_path):
    """Two rounds: adapter and encoder go on, the value head begins each round anew."""
    small = dict(rounds=2, anchors=20, encoder_batch_size=4, ppo_steps=2, ppo_batch_size=8,
                 ppo_mini_batch_size=4)  # fmt: skip
    run = art_run.run(
        tmp_path / "run", tier="pocket", premises=file, seed=1, control=False, quiet=True,
        device="cpu", **small,
    )  # fmt: skip
    own = dataclasses.replace(tiers.get("pocket").art, **small)
    encoder = models.load_encoder(own.encoder, device="cpu")
    before = encoder.encode(LOOKED_AT)
    discriminator = models.load_nli(own.discriminator, device="cpu")
    generator = models.load_generator(own.generator, device="cpu")
    # A run puts the sentences in an order of its own; the first are written from, and the eight
    # that are left are asked for in both rounds.
    drawn = [SENTENCES[i] for i in np.random.default_rng((1, 4)).permutation(len(SENTENCES))]
    rounds = [(drawn[40:], drawn[:20]), (drawn[40:], drawn[20:40])]
    triplets, logs = art.pipeline(
        generator, discriminator, encoder, rounds, own, seed=1, progress=False
    )
    columns = ["anchor", "positive", "negative"]
    for number, (rows, log) in enumerate(zip(triplets, logs, strict=True), start=1):
        held = run.log(number)
        for name in ("reward", "kl", "policy_loss", "value_loss"):
            assert [e[name] for e in log] == pytest.approx(list(held[name]), abs=1e-5), name
        assert rows[columns].values.tolist() == (
            run.triplets(number).to_pandas()[columns].values.tolist()
        )
    same = run.encoder(2, "cpu").encode(LOOKED_AT)
    assert np.allclose(encoder.encode(LOOKED_AT), same, atol=1e-5)
    assert abs(before - same).max() > 1e-5
