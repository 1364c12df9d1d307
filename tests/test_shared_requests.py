"""Requests of the methods: what their prompts begin with is read once, and nothing else changes."""

import functools

import pytest

from synthlib import decoding, judging, models, prompts
from synthlib.methods import art, multicsr
from synthlib.world import corpora


def worked(kind):
    """A generator and what it is to do: MultiCSR with examples, ART, or to judge with examples."""
    generator = models.load_generator("pocket/generator-llama", device="cpu")
    shown = corpora.triplets(4, seed=5)
    premises = corpora.premises(8, seed=7)
    if kind == "multicsr":
        asked = multicsr.ask(premises, form="pocket", examples=[shown] * 8)
        run = functools.partial(multicsr.write, generator, asked, max_new_tokens=4)
        return generator[0], lambda: run().to_numpy().tolist()
    if kind == "art":
        run = functools.partial(art.write, generator, premises, max_new_tokens=4)
        return generator[0], lambda: run()["text"].tolist()
    scored = [(a, b, 4.5) for a, b, _ in shown]

    def template(a, b):
        return prompts.similarity(a, b, form="pocket", demonstrations=scored)

    pairs = list(zip(premises, premises[1:] + premises[:1], strict=True))
    return generator[0], lambda: judging.score_similarity(*generator, pairs, template=template)


@pytest.mark.parametrize("kind, most", [("multicsr", 0.6), ("art", 0.8), ("judge", 0.5)])
def test_the_methods_read_what_their_prompts_begin_with_once(kind, most, monkeypatch):
    model, run = worked(kind)
    run()  # the first call also tries how the model can be read
    read = []

    def count(_, args, kwargs):
        read[-1] += kwargs["input_ids"].numel()

    model.register_forward_pre_hook(count, with_kwargs=True)
    read.append(0)
    shared = run()
    monkeypatch.setattr(decoding, "beginnings", lambda prompts: [0] * len(prompts))
    read.append(0)
    whole = run()
    assert shared == (pytest.approx(whole, abs=1e-5) if kind == "judge" else whole)
    assert read[0] < most * read[1], read
