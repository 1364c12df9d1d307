"""What chapter 1 measures: geometry, whitening, an STS set in parts and on disk."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from synthlib import evaluation, tiers
from synthlib.experiments import ch01 as foundations
from synthlib.world import corpora


def encode(texts):
    """Counts of letters, a cheap encoder that is not degenerate."""
    return np.array([[text.count(letter) for letter in "abcdefgh"] for text in texts], float) + 0.1


def test_mean_cosine_is_the_mean_over_all_pairs():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(7, 3)) + 1
    pairs = [
        x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j])
        for i in range(7) for j in range(7) if i != j
    ]  # fmt: skip
    assert foundations.mean_cosine(x) == pytest.approx(np.mean(pairs))
    assert foundations.mean_cosine(np.ones((4, 2))) == pytest.approx(1)
    with pytest.raises(ValueError, match="at least two"):
        foundations.mean_cosine(np.ones((1, 2)))


def test_geometry_aligns_only_pairs_with_a_score_above_four():
    pairs = pd.DataFrame(
        {
            "sentence1": ["abc", "add", "ff"],
            "sentence2": ["abc", "add", "hh"],
            "score": [5.0, 4.5, 4.0],
        }
    )
    assert foundations.geometry(encode, pairs)["alignment"] == pytest.approx(0)
    pairs["score"] = [5.0, 4.5, 4.1]
    assert foundations.geometry(encode, pairs)["alignment"] > 0.1
    with pytest.raises(ValueError, match="above 4"):
        foundations.geometry(encode, pairs.assign(score=1.0))


def test_a_whitened_encoder_has_identity_covariance_on_the_text_that_it_was_fitted_on():
    texts = corpora.premises(400, seed=1)
    x = foundations.whitened(encode, texts)(texts)
    assert np.allclose(np.cov(x, rowvar=False), np.eye(x.shape[1]), atol=1e-6)
    assert foundations.whitened(encode, texts, dims=3)(texts[:5]).shape == (5, 3)


@pytest.mark.filterwarnings("ignore:left out")
def test_parts_hold_every_pair_once_and_come_back_from_their_files(tmp_path):
    pairs = corpora.sts("natural", "dev", n=300)
    parts = foundations.in_parts(pairs)
    assert sum(map(len, parts.values())) == len(pairs)
    back = evaluation.load_sts(foundations.write_sts(tmp_path, parts), ["STS12"])["STS12"]
    assert sorted(zip(back.sentence1, back.sentence2, back.score, strict=True)) == sorted(
        zip(pairs.sentence1, pairs.sentence2, pairs.score, strict=True)
    )
    row = evaluation.evaluate_sts(encode, tmp_path, ["STS12"]).iloc[0]
    similarity = foundations.cosines(encode, pairs)
    assert row["all"] == pytest.approx(100 * spearmanr(similarity, pairs["score"]).statistic)
    assert row["mean"] != pytest.approx(row["all"], abs=0.1)


def test_a_remembered_encoder_sees_each_text_once_and_answers_the_same():
    seen = []

    def counting(texts):
        seen.extend(texts)
        return encode(texts)

    one = foundations.remembered(counting)
    for texts in (["abc", "add", "abc"], ["add", "ff"]):
        assert np.array_equal(one(texts), encode(texts))
    assert seen == ["abc", "add", "ff"]


def test_options_are_the_tiers_own_values():
    settings = tiers.get("pocket").simcse_supervised
    options = foundations.options(settings)
    assert options["max_steps"] == settings.max_steps
    assert options["tau"] == settings.tau == 0.05


def test_values_cover_the_chapters_claims_and_point_the_right_way():
    rng = np.random.default_rng(0)
    table = {}

    def noisy(shift, size):
        def one(texts):
            fresh = [t for t in texts if (t, shift) not in table]
            for text in fresh:
                table[text, shift] = rng.normal(size=size)
            return encode(texts) + shift + np.stack([table[t, shift] for t in texts])

        return one

    encoders = {
        "masked LM": noisy(20, 8),
        "whitening": encode,
        "unsupervised": noisy(0, 8),
        "supervised": encode,
    }
    values = foundations.values(encoders)
    assert values["01-anisotropy"] > 0.9
    assert values["01-anisotropy-drop"] > 0
    assert values["01-uniformity"] < 0
    assert values["01-supervised-gain"] > 0 > values["01-whitening-below-simcse"]
    assert values["01-aggregations-differ"] >= 0
