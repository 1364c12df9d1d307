"""Slow references that tests of several chapters' measurements share."""

import numpy as np
from scipy.stats import spearmanr


def spearman(encode, frame):
    """Spearman × 100 of an STS set, pair by pair: nothing is shared between two pairs."""
    cosines = []
    for one, other in zip(frame["sentence1"], frame["sentence2"], strict=True):
        (u,), (v,) = (np.asarray(encode([text]), dtype=float) for text in (one, other))
        cosines.append(u @ v / np.sqrt((u @ u) * (v @ v)))
    return 100 * float(spearmanr(cosines, frame["score"]).statistic)
