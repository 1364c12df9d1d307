"""Chapters on real language with one word changed in their first cell.

Random weights of other families stand in the place of the tier colab's models; every code cell is
run as it stands, save for that word.
"""

import dataclasses
import shutil

import jupytext
import pytest
import tiny_models

import synthlib
from synthlib import models, paths, tiers
from synthlib.evaluation import examination
from synthlib.experiments import ch13, ch14, ch15, field

pytestmark = pytest.mark.slow


@pytest.fixture
def colab(tmp_path, monkeypatch):
    """Put a family's shapes in the place of the tier's models; runs a chapter's cells."""

    def put(family, scoring):
        names = {name: tmp_path / name for name in ("generator", "encoder", "guide", "judge")}
        model, tokenizer = tiny_models.instruct(family)
        if family != "t5":  # eight worked turns, a token a byte
            model.config.max_position_embeddings = 4096
        model.save_pretrained(names["generator"])
        tokenizer.save_pretrained(names["generator"])
        tiny_models.save(names["encoder"], "bert")
        # A guide is a sentence encoder, which says how it pools.
        models.load_encoder(names["encoder"], pooling="mean").save(str(names["guide"]))
        tiny_models.save(names["judge"], "nli")
        shutil.copytree(names["judge"], tmp_path / "examiner")
        tier = tiers.get("colab")
        settings = dataclasses.replace(
            tier.multicsr, **{name: str(folder) for name, folder in names.items()},
            scoring=scoring, pooling="mean", alpha=0, beta=5, gamma=0, max_new_tokens=6,
            batch_size=4, max_steps=2, epochs=None,
        )  # fmt: skip
        art = dataclasses.replace(
            tier.art, generator=settings.generator, discriminator=settings.judge,
            encoder=settings.guide, corpus=tiers.CAPTIONS, max_new_tokens=6, ppo_steps=2,
            ppo_batch_size=4, ppo_mini_batch_size=2, encoder_batch_size=4,
        )  # fmt: skip
        ranking = dataclasses.replace(
            tier.ranking, generator=settings.generator, encoder=settings.guide,
            teacher=settings.guide, max_new_tokens=6,
        )  # fmt: skip
        tier = dataclasses.replace(tier, multicsr=settings, art=art, ranking=ranking)
        get = tiers.get
        monkeypatch.setattr(tiers, "get", lambda name=None: tier if name == "colab" else get(name))
        monkeypatch.setattr(field, "EXAMINER", str(tmp_path / "examiner"))
        monkeypatch.setattr(synthlib, "preflight", lambda tier=None: None)

    return put


def run(chapter):
    """What stands in a chapter's memory at its end."""
    (source,) = (paths.ROOT / "book" / "chapters").glob(f"{chapter}_*.py")
    held = {}
    for cell in jupytext.read(source, fmt="py:percent").cells:
        if cell.cell_type == "code":
            exec(cell.source.replace('TIER = "laptop"', 'TIER = "colab"'), held)
    assert held["TIER"] == "colab"
    return held


@pytest.mark.parametrize(
    ("family", "scoring"), [("t5", "nli"), ("qwen", "nli"), ("gemma", "expected")]
)
def test_chapter_13_writes_everything_itself(family, scoring, colab, monkeypatch):
    colab(family, scoring)
    monkeypatch.setattr(ch13.premises, "__defaults__", (5,))
    recorded = []
    monkeypatch.setattr(field, "recorded", lambda *name: recorded.append(name))
    held = run(13)
    assert not recorded and len(held["sweep"]) == 3 * 2 * 5 * len(ch13.OMEGAS)
    assert ("trained" in held) == (len(held["kept"]) > 1)
    assert scoring != "nli" or "trained" in held


@pytest.mark.parametrize("family", ["t5", "qwen"])
def test_chapter_15_writes_everything_itself(family, colab, monkeypatch):
    colab(family, "nli")
    monkeypatch.setitem(ch15.LISTS, "colab", 3)
    recorded = []
    monkeypatch.setattr(field, "recorded", lambda *name: recorded.append(name))
    held = run(15)
    assert not recorded and len(held["table"]) == 3 * len(ch15.WAYS)
    asked = [form for form, *_ in ch15.FORMS.values()]
    chats = held["generator"][1].chat_template is not None
    assert len(held["tried"]) == ch15.TRIED * sum(chats or form != "chat" for form in asked)


@pytest.mark.parametrize(("family", "scoring"), [("t5", "nli"), ("qwen", "nli")])
def test_chapter_16_runs_on_these_models(family, scoring, colab):
    colab(family, scoring)
    held = run(16)
    assert set(held["live"]["kind"]) == {"entailment", "contradiction"}


@pytest.mark.parametrize("family", ["t5", "qwen"])
def test_chapter_14_tunes_these_models(family, colab, monkeypatch):
    colab(family, "nli")
    monkeypatch.setattr(ch14, "EXAMINED", 6)
    monkeypatch.setattr(
        examination, "development", lambda which: lambda encode: ch13.keeps_order(encode)
    )
    recorded = []
    monkeypatch.setattr(field, "recorded", lambda *name: recorded.append(name))
    held = run(14)
    assert not recorded and len(held["samples"]) == 2 * 6 * ch14.ANSWERS
    assert list(held["log"]["step"]) == [1, 2]
    assert len(held["tuned"]) == 2 * 6 * ch14.TUNED_ANSWERS
    arms = {name for name, rows in held["triplets"].items() if len(rows)}
    assert "no filter" in arms and set(held["training"]["arm"]) == {"none", *arms}
