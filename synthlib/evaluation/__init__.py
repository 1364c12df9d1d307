"""Evaluation of sentence encoders: similarity, transfer, retrieval, geometry.

An encoder is any function from a list of n strings to an (n, d) array or tensor, for instance
the ``encode`` of a ``sentence_transformers.SentenceTransformer``.
"""

from synthlib.evaluation.files import STS_TASKS, TRANSFER_TASKS, pick_tasks
from synthlib.evaluation.geometry import alignment, uniformity, whitening
from synthlib.evaluation.retrieval import (
    bitext_accuracy,
    evaluate_bitext,
    evaluate_reranking,
    load_bitext,
    load_reranking,
    mean_average_precision,
    mean_reciprocal_rank,
    ndcg_at_k,
    score_bitext,
    score_reranking,
)
from synthlib.evaluation.sts import evaluate_sts, load_sts, score_sts
from synthlib.evaluation.transfer import (
    classify,
    evaluate_transfer,
    load_transfer,
    score_transfer,
)

__all__ = [
    "STS_TASKS",
    "TRANSFER_TASKS",
    "alignment",
    "bitext_accuracy",
    "classify",
    "evaluate_bitext",
    "evaluate_reranking",
    "evaluate_sts",
    "evaluate_transfer",
    "load_bitext",
    "load_reranking",
    "load_sts",
    "load_transfer",
    "mean_average_precision",
    "mean_reciprocal_rank",
    "ndcg_at_k",
    "pick_tasks",
    "score_bitext",
    "score_reranking",
    "score_sts",
    "score_transfer",
    "uniformity",
    "whitening",
]
