"""Training the NLI discriminator: a task with a known answer, labels by name, resuming."""

import numpy as np
import pytest
import tiny_models
import torch
from safetensors.torch import load_file, save_file

from synthlib import discriminator, judging, models

RNG = np.random.default_rng(0)
NOUNS = ["man", "woman", "dog", "cat"]


def example():
    """A toy rule over both texts: "not" contradicts; else whoever sleeps leaves things open."""
    label = str(RNG.choice(models.NLI_LABELS))
    verb = "sleeps" if label == "neutral" else str(RNG.choice(["runs", "eats"]))
    said = f"not a {RNG.choice(NOUNS)}" if label == "contradiction" else f"a {RNG.choice(NOUNS)}"
    return f"the {RNG.choice(NOUNS)} {verb}", said, label


EXAMPLES = [example() for _ in range(400)]
OPTIONS = dict(
    batch_size=16, learning_rate=3e-3, max_steps=150, device="cpu", progress=False, max_length=16
)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_models.save(
        tmp_path_factory.mktemp("bert") / "bert", "bert", dropout=0.0, hidden_size=32
    )


def test_it_learns_and_keeps_the_best_weights(bert, tmp_path):
    model, tokenizer = discriminator.train_nli(
        bert, EXAMPLES[:300], dev=EXAMPLES[300:], eval_steps=30, **OPTIONS
    )
    pairs = [(p, h) for p, h, _ in EXAMPLES[300:]]
    p = judging.nli_probabilities(model, tokenizer, pairs)
    right = np.mean([models.NLI_LABELS[i] == row[2] for i, row in zip(p.argmax(1), EXAMPLES[300:],
                                                                      strict=True)])  # fmt: skip
    best = max(entry["accuracy"] for entry in model.training_history)
    assert right > 0.8 and 100 * right == pytest.approx(best)
    assert len(model.training_history) == 5
    # What was trained is an NLI model like any other; further training keeps its order of labels.
    model.config.id2label = {0: "contradiction", 1: "entailment", 2: "neutral"}
    model.config.label2id = {label: i for i, label in model.config.id2label.items()}
    model.classifier.weight.data = model.classifier.weight.data[[2, 0, 1]]
    model.classifier.bias.data = model.classifier.bias.data[[2, 0, 1]]
    model.save_pretrained(tmp_path / "nli"), tokenizer.save_pretrained(tmp_path / "nli")
    further, _ = discriminator.train_nli(
        tmp_path / "nli", EXAMPLES[:300], **OPTIONS | dict(max_steps=1, learning_rate=1e-6)
    )
    assert further.config.id2label == model.config.id2label
    again = judging.nli_probabilities(*models.load_nli(tmp_path / "nli", device="cpu"), pairs)
    np.testing.assert_allclose(again, p, atol=1e-5)
    np.testing.assert_allclose(judging.nli_probabilities(further, tokenizer, pairs), p, atol=1e-2)


def test_an_interrupted_training_goes_on(bert, tmp_path, monkeypatch):
    options = OPTIONS | dict(max_steps=12, eval_steps=4)
    whole, _ = discriminator.train_nli(bert, EXAMPLES, **options)
    real, seen = discriminator.collate, []

    def stop(*a):
        seen.append(1)
        if len(seen) == 7:
            raise KeyboardInterrupt
        return real(*a)

    monkeypatch.setattr(discriminator, "collate", stop)
    with pytest.raises(KeyboardInterrupt):
        discriminator.train_nli(bert, EXAMPLES, output_dir=tmp_path / "run", **options)
    monkeypatch.setattr(discriminator, "collate", real)
    assert (tmp_path / "run" / "checkpoint-4").is_dir()
    (tmp_path / "run" / "checkpoint-8").mkdir()  # interrupted while it was written
    (tmp_path / "run" / "checkpoint-8" / "model.safetensors").write_bytes(b"")
    resumed, _ = discriminator.train_nli(bert, EXAMPLES, output_dir=tmp_path / "run", **options)
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_a_loss_that_is_no_number_is_said(bert):
    with pytest.raises(ValueError, match="the loss is .* lower the learning rate"):
        discriminator.train_nli(bert, EXAMPLES, **OPTIONS | dict(max_steps=6, learning_rate=1e30))
    discriminator.train_nli(bert, EXAMPLES, **OPTIONS | dict(max_steps=6))  # as the message says


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a man", "a dog", 0)], "label 0; labels are entailment"),
        ([("a man", " ", "neutral")], "texts with words"),
        ([("a man", "a dog")], "a premise, a hypothesis and a label"),
    ],
)
def test_what_is_refused(rows, said):
    with pytest.raises(ValueError, match=said):
        discriminator.checked(rows)


def test_rows_without_a_label_are_left_out(bert):
    rows = [("a man", "a dog", "Neutral"), ("a", "b", "-"), ("a", "b", None), ("a", "b", np.nan)]
    assert discriminator.checked(rows) == [("a man", "a dog", "neutral")]
    with pytest.raises(ValueError, match="fewer than one batch"):
        discriminator.train_nli(bert, rows, **OPTIONS)
    with pytest.raises(ValueError, match="not both"):
        discriminator.train_nli(bert, EXAMPLES, epochs=1, **OPTIONS)


def test_an_encoder_whose_weights_are_no_numbers_is_named_before_it_is_trained(tmp_path):
    folder = tiny_models.save(tmp_path / "bert", "bert")
    weights = load_file(folder / "model.safetensors")
    weights["bert.embeddings.word_embeddings.weight"][3] = torch.nan
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(models.ModelUnavailable, match="bert holds NaN .*word_embeddings"):
        discriminator.train_nli(folder, EXAMPLES[:16], **OPTIONS)
