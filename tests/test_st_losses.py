"""The losses for sentence-transformers: its plain trainer ends where our own training ends."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from sentence_transformers import (
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
from tolerance import after_training

from synthlib import data, models, st_losses
from synthlib.methods import multicsr
from synthlib.runs import multicsr as runs_multicsr
from synthlib.training import post_train_ranking, train_supervised_simcse

RNG = np.random.default_rng(3)
SENTENCES = list({" ".join(RNG.choice(tiny_models.WORDS, RNG.integers(3, 9))) for _ in range(60)})
TRIPLETS = pd.DataFrame(
    [SENTENCES[3 * i : 3 * i + 3] for i in range(12)], columns=["anchor", "positive", "negative"]
)
LISTS = [SENTENCES[start : start + n] for start, n in ((0, 5), (5, 3), (8, 6), (14, 2))]
TARGETS = [-np.abs(np.subtract.outer(np.arange(len(s)), np.arange(len(s)))) for s in LISTS]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    folder = tiny_models.save(tmp_path_factory.mktemp("encoder") / "bert", "bert", dropout=0.0)

    def load():
        encoder = models.load_encoder(folder, pooling="mean")
        encoder.max_seq_length = 32
        return encoder

    return load


@pytest.fixture
def plain(tmp_path):
    """Two steps of the library's own trainer, each on all rows."""

    def run(encoder, dataset, loss):
        arguments = SentenceTransformerTrainingArguments(
            tmp_path / "plain", max_steps=2, per_device_train_batch_size=len(dataset),
            learning_rate=1e-3, use_cpu=True, report_to="none", save_strategy="no",
            disable_tqdm=True,
        )  # fmt: skip
        SentenceTransformerTrainer(
            model=encoder, args=arguments, train_dataset=dataset, loss=loss
        ).train()
        return encoder.eval().encode(SENTENCES)

    return run


def features(encoder, dataset, columns):
    return [dict(encoder.preprocess(list(dataset[name]))) for name in columns]


def vectors(encoder, texts):
    return torch.tensor(encoder.encode(texts, normalize_embeddings=True), dtype=torch.float64)


# ---------------------------------------------------------------- InfoNCE
def mask(rows):
    """Every third candidate of another row is left out, by the numbers of the two rows."""
    kept = (rows[:, None] + torch.cat([rows, rows + 1])[None]) % 3 > 0
    return kept | torch.eye(len(rows), dtype=torch.bool).repeat(1, 2)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("width", [2, 3])
def test_info_nce_equals_a_loop(fresh, width, masked):
    encoder, columns = fresh().eval(), list(TRIPLETS)[:width]
    rows = torch.arange(12).flip(0) * 5
    kept = mask(rows)[:, : 12 * (width - 1)]
    loss = st_losses.InfoNCELoss(encoder, tau=0.1, keep=(lambda _: kept) if masked else None)
    got = loss(features(encoder, TRIPLETS, columns), rows)
    anchor, *candidates = (vectors(encoder, list(TRIPLETS[name])) for name in columns)
    candidates = torch.cat(candidates)
    want = 0.0
    for i in range(12):
        own = np.exp(float(anchor[i] @ candidates[i]) / 0.1)
        every = sum(
            np.exp(float(anchor[i] @ candidate) / 0.1)
            for k, candidate in enumerate(candidates)
            if not masked or kept[i, k]
        )
        want -= np.log(own / every) / 12
    assert got.item() == pytest.approx(want, abs=1e-5) and got.requires_grad


@pytest.mark.parametrize("keep", [None, mask])
def test_two_steps_of_the_plain_trainer_end_where_our_training_ends(fresh, plain, keep):
    # The order of a batch is another one, and each column is padded for itself.
    dataset = data.triplets(TRIPLETS).add_column("label", list(range(12)))
    encoder = fresh()
    got = plain(encoder, dataset, st_losses.InfoNCELoss(encoder, keep=keep))
    options = dict(batch_size=12, learning_rate=1e-3, max_steps=2, progress=False)
    want = train_supervised_simcse(fresh(), TRIPLETS, keep=keep, **options).encode(SENTENCES)
    again = train_supervised_simcse(fresh(), TRIPLETS, keep=keep, seed=1, **options)
    atol = after_training(again.encode(SENTENCES), want)
    assert np.allclose(got, want, atol=atol, rtol=0) and atol < 1e-3
    other = None if keep else mask
    other = train_supervised_simcse(fresh(), TRIPLETS, keep=other, **options).encode(SENTENCES)
    assert np.abs(other - want).max() > 10 * atol, "the mask decides"


def test_a_guides_mask_asks_for_the_rows_of_a_batch(fresh):
    table = TRIPLETS.copy()
    table.loc[7, "positive"] = table.loc[2, "positive"]  # a false negative, word for word
    encoder = fresh().eval()

    def guide(texts):  # no two texts are alike to it
        return np.eye(64)[[SENTENCES.index(text) for text in texts]]

    loss = st_losses.InfoNCELoss(encoder, keep=multicsr.false_negative_mask(guide, table))
    bare = st_losses.InfoNCELoss(encoder)

    def values(rows):
        batch = features(encoder, table.iloc[rows], list(table))
        return [part(batch, torch.tensor(rows)).item() for part in (loss, bare)]

    masked, plain = values([7, 4, 2])
    assert masked < plain, "each of the two rows loses a negative"
    masked, plain = values([7, 4, 3])
    assert masked == plain


def test_info_nce_says_what_is_wrong(fresh):
    encoder = fresh()
    columns = features(encoder, TRIPLETS, ["anchor", "positive"])
    with pytest.raises(ValueError, match="number them in a column label"):
        st_losses.InfoNCELoss(encoder, keep=mask)(columns)
    with pytest.raises(ValueError, match="4 columns of texts.*select_columns"):
        st_losses.InfoNCELoss(encoder)(2 * columns)
    assert st_losses.InfoNCELoss(encoder)(columns).isfinite()


def test_the_readmes_five_lines_train_on_a_runs_triplets(fresh, root, tmp_path, monkeypatch):
    readme = (root / "README.md").read_text("utf-8")
    (five,) = re.findall(r"^```python\n(import sent.*?)```", readme, re.S | re.M)
    assert five.count("\n") == 5 and "synthlib" not in five
    rows = [json.loads(line) for line in (root / "data/examples/triplets.jsonl").open()]
    (tmp_path / "few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:40]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    run = runs_multicsr.run("runs/mine", no_logits="few.jsonl", until="kept", quiet=True)
    encoder, taken = fresh(), []
    first = encoder.encode(SENTENCES)
    monkeypatch.setattr("sentence_transformers.SentenceTransformer", lambda name: encoder)
    losses = "sentence_transformers.sentence_transformer.losses"
    real = MultipleNegativesRankingLoss.forward

    def forward(self, features, labels):
        features = list(features)
        taken.append((len(features), len(features[0]["input_ids"]), labels))
        return real(self, features, labels)

    monkeypatch.setattr(f"{losses}.MultipleNegativesRankingLoss.forward", forward)
    exec(five, {})
    kept = run.kept()
    assert kept.column_names[:3] == list(data.TRIPLET) and len(kept) > 9
    epochs = SentenceTransformerTrainingArguments(tmp_path / "x").num_train_epochs
    assert {(columns, labels) for columns, _, labels in taken} == {(3, None)}
    assert sum(size for _, size, _ in taken) == epochs * len(kept)
    assert np.abs(encoder.encode(SENTENCES) - first).max() > 1e-4


# ---------------------------------------------------------------- ListMLE
@pytest.mark.parametrize("own", [True, False])
def test_list_mle_equals_a_loop(fresh, own):
    encoder = fresh().eval()
    dataset = st_losses.list_columns(LISTS, TARGETS)
    names = [f"sentence_{i}" for i in range(1, 7)]
    assert dataset.column_names == [*names, "label"]
    loss = st_losses.ListMLELoss(encoder, tau=0.1, own=own)
    got = loss(features(encoder, dataset, names), torch.tensor(list(dataset["label"])))
    lists = []
    for sentences, target in zip(LISTS, TARGETS, strict=True):
        held = vectors(encoder, sentences)
        scores = (held @ held.T / 0.1).numpy()
        rows = []
        for i in range(len(sentences)):
            left = [k for k in np.argsort(-target[i], kind="stable") if own or k != i]
            total = 0.0
            while left:
                total += np.log(np.exp(scores[i, left]).sum()) - scores[i, left[0]]
                left = left[1:]
            rows.append(total)
        lists.append(np.mean(rows))
    assert got.item() == pytest.approx(np.mean(lists), abs=1e-5) and got.requires_grad


def test_lists_in_the_plain_trainer_end_where_our_post_training_ends(fresh, plain):
    encoder = fresh()
    got = plain(encoder, st_losses.list_columns(LISTS, TARGETS), st_losses.ListMLELoss(encoder))
    options = dict(lists_per_step=4, learning_rate=1e-3, max_steps=2, progress=False)
    want, again = (
        post_train_ranking(fresh(), LISTS, TARGETS, seed=seed, **options).encode(SENTENCES)
        for seed in (0, 1)
    )
    atol = after_training(again, want)
    assert np.allclose(got, want, atol=atol, rtol=0)
    assert np.abs(fresh().encode(SENTENCES) - want).max() > 10 * atol


def test_lists_that_do_not_fit_are_refused(fresh):
    two = ["a dog", "a cat"]
    for lists, targets, said in (
        ([two, ["a dog"]], [np.eye(2), np.eye(1)], r"lists\[1\] is \['a dog'\]; wanted two"),
        ([two, ["a dog", " "]], [np.eye(2), np.eye(2)], r"lists\[1\] is"),
        ([two], [np.eye(3)], r"targets\[0\] has shape \(3, 3\)"),
        ([two], [np.full((2, 2), np.nan)], r"or NaN"),
        ([two], [], "0 targets for 1 lists"),
        ([], [], "0 targets for 0 lists"),
    ):
        with pytest.raises(ValueError, match=said):
            st_losses.list_columns(lists, targets)
    encoder = fresh()
    batch = features(encoder, TRIPLETS, list(TRIPLETS))
    with pytest.raises(ValueError, match=r"want labels of the shape \(12, 3, 3\), got none"):
        st_losses.ListMLELoss(encoder)(batch)
    with pytest.raises(ValueError, match=r"got shape \(12,\): st_losses.list_columns"):
        st_losses.ListMLELoss(encoder)(batch, torch.arange(12))
