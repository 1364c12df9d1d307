"""What chapter 5 measures: its corpora, its truth, its guides' quality, its gradients."""

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch

from synthlib import ledger, losses, models
from synthlib.experiments import ch05 as multicsr_masking
from synthlib.methods import multicsr
from synthlib.world import corpora, nli, parse


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tiny_models.save(tmp_path_factory.mktemp("tiny"), "bert")
    return models.load_encoder(str(folder), pooling="mean", device="cpu")


@pytest.fixture(scope="module")
def few():
    return multicsr_masking.captions(4, 24, seed=3)


def test_captions_are_correct_triplets_of_so_many_scenes(few):
    assert len(few) == 24 and few["scene"].nunique() == 4
    assert set(few["scene"].value_counts()) == {6}
    for _, group in few.groupby("scene"):
        assert len({parse(text) for text in group["anchor"]}) == 1
        assert group["anchor"].nunique() > 1
    for anchor, positive, negative, _ in few.itertuples(index=False):
        assert nli(anchor, positive) == "entailment"
        assert nli(anchor, negative) == "contradiction"
    assert not few.equals(multicsr_masking.captions(4, 24, seed=4))
    with pytest.raises(ValueError, match="24 triplets cannot describe 25 scenes"):
        multicsr_masking.captions(25, 24)


def test_copies_come_on_top_of_different_triplets():
    plain, more = multicsr_masking.copied(0, 10), multicsr_masking.copied(5, 10)
    assert len(plain) == 10 and len(more) == 15
    assert more[:10].equals(plain)
    assert (more[10:] == more.iloc[0]).all(axis=None)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        multicsr_masking.copied(-1)


def test_entailed_asks_the_oracle_pair_by_pair_and_counts_no_denials(few):
    candidates = [*few["positive"], *few["negative"], "the dogs of nobody", "a cat is not sleeping"]
    found = multicsr_masking.entailed(list(few["anchor"]), candidates)
    expected = [
        [nli(a, c) == "entailment" and not parse(c).negated for c in candidates]
        for a in few["anchor"]
    ]
    assert np.array_equal(found, expected)
    assert not found[:, -2:].any()


def test_false_negatives_are_right_positives_of_other_rows(few):
    truth = multicsr_masking.false_negatives(few)
    n = len(few)
    assert truth.shape == (n, 2 * n)
    assert not truth.diagonal().any() and not truth[:, n:].diagonal().any()
    same = few["scene"].to_numpy()[:, None] == few["scene"].to_numpy()
    assert truth[:, :n][same & ~np.eye(n, dtype=bool)].all()  # of the same scene, so entailed


def test_the_oracles_mask_keeps_all_but_the_false_negatives(few):
    keep = multicsr_masking.oracle_mask(few)
    truth = multicsr_masking.false_negatives(few)
    rows = torch.tensor([5, 1, 7, 9])
    columns = [*rows, *(rows + len(few))]
    assert np.array_equal(keep(rows).numpy(), ~truth[rows.numpy()][:, columns])
    assert losses.info_nce(*torch.randn(3, 4, 8), keep=keep(rows)).isfinite()


def test_similarities_are_cosines_with_positives_then_hard_negatives(encoder, few):
    found = multicsr_masking.similarities(encoder.encode, few)
    x, y = encoder.encode([few["anchor"][2], few["negative"][5]])
    cosine = x @ y / np.linalg.norm(x) / np.linalg.norm(y)
    assert found.shape == (24, 48)
    assert found[2, 24 + 5] == pytest.approx(cosine, abs=1e-5)


def test_quality_counts_what_a_threshold_finds():
    similar = np.array([[0.9, 0.8, 0.95, 0.1], [0.5, 0.9, 0.9, 0.99]])
    truth = np.array([[False, True, False, False], [False, False, True, False]])
    table = multicsr_masking.quality(similar, truth, [0.05, 0.5, 0.9, 1.0]).set_index("sigma")
    assert table["masked"].tolist() == [1, 0.75, 0.25, 0]
    assert table["recall"].tolist() == [1, 1, 0.5, 0]
    assert table["precision"].tolist()[:3] == [0.5, 2 / 3, 1]
    assert np.isnan(table["precision"].iloc[-1])


def test_released_mask_leaves_the_own_hard_negative_unprotected():
    rows = pd.DataFrame({"anchor": ["a", "b"], "positive": ["p", "q"], "negative": ["n", "m"]})
    place = dict(zip("abpqnm", [(1, 0), (0, 1), (1, 0), (0, 1), (1, 0.1), (1, -1)], strict=True))

    def guide(texts):
        return np.array([place[t] for t in texts], dtype=float)

    kept = multicsr.false_negative_mask(guide, rows, sigma=0.9)
    free = multicsr_masking.unprotected(kept, guide, rows, 0.9)
    order = torch.tensor([1, 0])
    own = torch.arange(2)
    assert kept(order)[own, own + 2].tolist() == [True, True]
    assert free(order)[own, own + 2].tolist() == [True, False]
    assert torch.equal(kept(order)[:, :2], free(order)[:, :2])


def test_gradient_norm_is_that_of_the_loss_and_leaves_the_encoder_alone(encoder, few):
    batch = few[:6]
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    state = torch.random.get_rng_state()
    norm = multicsr_masking.gradient_norm(encoder, batch, seed=1, tau=0.1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert not encoder.training
    assert all(torch.equal(v, before[k]) for k, v in encoder.state_dict().items())
    # The same by hand: a step of plain gradient descent with rate 1 moves the weights by it.
    texts = [*batch["anchor"], *batch["positive"], *batch["negative"]]
    tokens = encoder.tokenizer(texts, padding=True, return_tensors="pt")
    encoder.train()
    torch.manual_seed(1)
    h = encoder(dict(tokens))["sentence_embedding"].view(3, 6, -1)
    losses.info_nce(*h, tau=0.1).backward()
    total = sum(float((p.grad**2).sum()) for p in encoder.parameters() if p.grad is not None)
    encoder.zero_grad(set_to_none=True)
    encoder.eval()
    assert norm == pytest.approx(total**0.5, rel=1e-4)


def test_a_batch_of_both_corpora_has_rows_of_both(monkeypatch):
    written = pd.DataFrame(corpora.triplets(60, 9), columns=["anchor", "positive", "negative"])
    monkeypatch.setattr(multicsr_masking, "curated", lambda *_: written.assign(a=5, b=0))
    batch = multicsr_masking.mixed_batch(0, size=50)
    assert list(batch.columns) == ["anchor", "positive", "negative"] and len(batch) == 50
    generated = batch["anchor"].isin(written["anchor"]).sum()
    assert 0 < generated < 50


def test_every_claim_of_the_chapter_has_its_measurement():
    measured = {claim for claim in ledger.measuring.REGISTRY if claim.startswith("05-")}
    assert set(ledger.claims(5).index) == measured


def test_own_sigma_is_the_median_similarity_of_own_positives(encoder, few):
    own = [
        multicsr_masking.similarities(encoder.encode, few.iloc[[i]])[0, 0] for i in range(len(few))
    ]
    found = multicsr_masking.own_sigma(encoder.encode, few)
    assert found == pytest.approx(np.median(own), abs=1e-5)


def test_every_measurement_gives_its_claims_and_its_rows(monkeypatch, encoder):
    """All of the recipe but the training: a tiny encoder in place of every other."""
    module, kept, masks = multicsr_masking, {}, []
    captions, copied = module.captions, module.copied
    written = pd.DataFrame(corpora.triplets(200, 9), columns=["anchor", "positive", "negative"])

    def fit(triplets, seed, keep=None, **options):
        if keep is not None:
            masks.append(keep(torch.arange(8)))
        encoder.training_history = [{"step": 10, "dev": 50.0}, {"step": 20, "loss": 1.0}]
        return encoder

    monkeypatch.setattr(module, "fit", fit)
    monkeypatch.setattr(module, "mark", lambda encoder, split="test": float(len(masks)))
    monkeypatch.setattr(module, "load", lambda name: encoder)
    monkeypatch.setattr(module, "curated", lambda *_: written)
    monkeypatch.setattr(module, "captions", lambda k, n=0, seed=0: captions(min(k, 40), 80, seed))
    monkeypatch.setattr(module, "copied", lambda copies, seed=0: copied(copies, 40, seed))
    monkeypatch.setattr(ledger, "keep_rows", lambda name, seed, frame: kept.update({name: frame}))
    caches = (module._trained, module._plain, module.first_pass)
    for cache in caches:
        cache.cache_clear()
    try:
        for measure in (
            module.measure_guides, module.measure_sigma, module.measure_identical,
            module.measure_released, module.measure_batch, module.measure_small_batch,
        ):  # fmt: skip
            registered = ledger.measuring.REGISTRY.items()
            ids = {claim for claim, made in registered if made.function is measure}
            values = measure(0)
            values = values if isinstance(values, dict) else dict.fromkeys(ids, values)
            assert set(values) == ids
            assert np.isfinite(list(values.values())).all()
    finally:
        for cache in caches:
            cache.cache_clear()
    assert set(kept) == {
        "05-guides", "05-guide-curves", "05-sigma", "05-duplicates", "05-similarities",
        "05-paths",
    }  # fmt: skip
    assert masks and all(mask.shape == (8, 16) for mask in masks)
    table = kept["05-guides"]
    assert (table.loc[table["guide"] == "no mask", "gain"] == 0).all()
    assert table.loc[table["guide"] == "oracle", ["recall", "precision"]].eq(1).all(axis=None)
    shares = kept["05-similarities"].groupby("guide")["share"].sum()
    assert np.allclose(shares, 1)
