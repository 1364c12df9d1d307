"""The landscape of ART's dual reward, for a reader to take hold of.

The logic in the page is ``js/explorers/reward.js``; its reward is that of `synthlib.rewards`.
"""

import numpy as np
import pandas as pd

from synthlib import rewards
from synthlib.viz.figure import Figure

ASKED = {"positive": "positives", "negative": "hard negatives"}
COUNTS = [1, 2, 4, 8, 16]


def reward_landscape(
    answers, bounds, *, policy=None, w1=0.5, w2=0.5, who="the oracle", **words
):  # fmt: skip
    """Colour is the reward over cosine and probability; a generator's real answers lie on it.

    Parameters
    ----------
    answers : DataFrame
        Several answers to each request: row (of the anchor), kind ("positive" or "negative"),
        candidate (0, 1, …), anchor, text, p (probability of the target), similarity, right (what
        `who` says).
    bounds : `rewards.Bounds`
        Ω, α⁺ and α⁻ at the start.
    policy : DataFrame, optional
        What a policy wrote while it was tuned: step, and kind, anchor, text, p, similarity, right.
    w1, w2 : float
        Weights at the start.
    who : str
        Who says what is right, in the words of the page.
    **words
        label and caption of the `Figure`.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        A table is empty or lacks a column.
    """
    shown = _checked(answers, "answers", "row kind candidate similarity p right anchor text")
    counts = [n for n in COUNTS if n <= shown["candidate"].max() + 1]
    slider = {"type": "range", "step": 0.01, "format": ".2f"}
    controls = [
        {"name": "kind", "type": "choice", "label": "asked for", "value": "positive",
         "options": [[kind, name] for kind, name in ASKED.items()]},
        {**slider, "name": "alpha_positive", "label": "α⁺", "min": -1, "max": 0.99,
         "value": round(bounds.positive_bound, 2)},
        {**slider, "name": "alpha_negative", "label": "α⁻", "min": -0.3, "max": 1,
         "value": round(bounds.negative_bound, 2)},
        {**slider, "name": "omega", "label": "Ω", "min": 0, "max": 1,
         "value": round(bounds.lower_bound, 2)},
        {**slider, "name": "w1", "label": "w₁", "min": 0, "max": 1, "step": 0.05, "value": w1},
        {**slider, "name": "w2", "label": "w₂", "min": 0, "max": 1, "step": 0.05, "value": w2},
        {"name": "n", "type": "range", "label": "best of", "values": counts, "value": counts[-1]},
    ]  # fmt: skip
    tables = {"answers": shown}
    if policy is not None:
        tables["policy"] = _checked(policy, "policy", "step kind similarity p right anchor text")
        controls += [
            {"name": "shown", "type": "choice", "label": "on it", "value": "generator",
             "options": [["generator", "the generator"], ["policy", "a policy"]]},
            {"name": "step", "type": "range", "label": "step", "column": "step"},
            {"name": "play", "type": "play", "label": "tune", "of": "step", "seconds": 6},
        ]  # fmt: skip
    tables["still"] = _still(shown, bounds, w1, w2, counts[-1])
    best = f"best of {counts[-1]}"
    return Figure(
        tables,
        {
            "kind": "explorer", "explorer": "reward", "controls": controls,
            "options": {"probe": {"s": 0.9, "p": 0.95}, "who": who},
            "static": {
                "kind": "scatter", "data": "still", "x": "similarity", "y": "p",
                "series": "oracle", "facet": "asked", "height": 3.6,
                "order": {"series": [
                    name for name in ("right", "wrong", best)
                    if name in set(tables["still"]["oracle"])
                ]},
                "colors": {"right": "blue", "wrong": "orange", best: "green"},
                "xlim": (-0.3, 1.05), "ylim": (-0.05, 1.05),
                "xlabel": "cosine s of anchor and answer", "ylabel": "probability of the target",
            },
        },
        lambda data: _alt(data["still"], bounds, best),
        **words,
    )  # fmt: skip


def _checked(table, name, columns):
    absent = [column for column in columns.split() if column not in table]
    if absent:
        raise ValueError(f"the table {name!r} needs a column {absent[0]!r}")
    if table.empty:
        raise ValueError(f"the table {name!r} is empty")
    rounded = table[columns.split()].round({"similarity": 3, "p": 4})
    return rounded.reset_index(drop=True)


def _still(answers, bounds, w1, w2, n):
    """Rows of the static picture: the answers, and those that earn most, marked once more."""
    alpha = np.where(
        answers["kind"] == "positive", bounds.positive_bound, bounds.negative_bound
    )
    earned = rewards.dual_reward(
        rewards.correctness_reward(answers["p"], bounds.lower_bound),
        rewards.difficulty_reward(answers["similarity"], list(answers["kind"]), alpha), w1, w2,
    )  # fmt: skip
    first = answers.assign(earned=earned)[answers["candidate"] < n]
    best = answers.loc[first.groupby(["row", "kind"])["earned"].idxmax()]
    rows = pd.concat([
        answers.assign(oracle=np.where(answers["right"], "right", "wrong")),
        best.assign(oracle=f"best of {n}"),
    ])  # fmt: skip
    rows["asked"] = rows["kind"].map(ASKED)
    return rows[["asked", "similarity", "p", "oracle"]].reset_index(drop=True)


def _alt(rows, bounds, best):
    parts = []
    for name, df in rows.groupby("asked", sort=False):
        top = df[df["oracle"] == best]
        parts.append(
            f"{name}: the {best} answers have a mean cosine of {top['similarity'].mean():.2f} "
            f"and a mean probability of {top['p'].mean():.2f}"
        )
    return (
        "The landscape of the dual reward over cosine and probability, with the generator's "
        "answers on it. " + "; ".join(parts) + ". The cliffs lie at cosines of "
        f"{bounds.positive_bound:.2f} for positives and {bounds.negative_bound:.2f} for hard "
        "negatives."
    )
