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
        At each step it answers the anchors of `answers`: answers to others would not compare.
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
        A table is empty or lacks a column; the policy was asked about other anchors.
    """
    shown = _checked(answers, "answers", "row kind candidate similarity p right anchor text")
    counts = [n for n in COUNTS if n <= shown["candidate"].max() + 1]
    slider = {"type": "range", "step": 0.01, "format": ".2f"}
    controls = [
        {"name": "kind", "type": "choice", "label": "asked for", "value": "positive",
         "options": [[kind, name] for kind, name in ASKED.items()]},
        {"name": "whole", "type": "toggle", "label": "whole plane"},
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
        _same_anchors(tables["policy"], shown)
        controls += [
            {"name": "shown", "type": "choice", "label": "answers of", "value": "generator",
             "options": [["generator", "the generator"], ["policy", "a policy"]]},
            {"name": "step", "type": "range", "label": "step", "column": "step"},
            {"name": "play", "type": "play", "label": "tune", "of": "step", "seconds": 6},
        ]  # fmt: skip
    best = f"best of {counts[-1]}"
    still = _still(shown, bounds, w1, w2, counts[-1])
    stills = {
        kind: still[still["kind"] == kind].drop(columns="kind").reset_index(drop=True)
        for kind in ASKED if kind in set(still["kind"])
    }  # fmt: skip
    tables |= {f"still-{kind}": rows for kind, rows in stills.items()}
    return Figure(
        tables,
        {
            "kind": "explorer", "explorer": "reward", "controls": controls,
            "options": {"probe": {"s": 0.9, "p": 0.95}, "who": who},
            "static": {
                "kind": "panels", "columns": 2, "height": 3.6, "panels": [
                    _panel(kind, rows, bounds, w1, w2, best) for kind, rows in stills.items()
                ],
            },
        },
        lambda data: _alt({kind: data[f"still-{kind}"] for kind in stills}, bounds, best),
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
    return rows[["kind", "similarity", "p", "oracle"]].reset_index(drop=True)


def _same_anchors(policy, answers):
    """Refuses a policy that was asked about other anchors than the generator."""
    wanted = set(answers["anchor"])
    for step, rows in policy.groupby("step"):
        if set(rows["anchor"]) != wanted:
            raise ValueError(
                f"the policy's anchors at step {step} are not those of the answers, and what was "
                "written to other anchors does not compare"
            )


def _panel(kind, rows, bounds, w1, w2, best):
    """One kind of the static picture: the answers, the cliff, and the part that earns."""
    alpha = bounds.positive_bound if kind == "positive" else bounds.negative_bound
    inside = 1 if kind == "positive" else -1  # side of the cliff on which difficulty is paid
    # w₁ p + w₂ r₂(s) ≥ w₁ Ω, where r₂ is 1 − s or s, and its negative beyond the cliff.
    start, slope = (w2, -w2) if kind == "positive" else (0.0, w2)
    parts = [
        [[side * inside, 0, side * inside * alpha],
         [side * slope, w1, w1 * bounds.lower_bound - side * start]]
        for side in (1, -1)
    ]  # fmt: skip
    low = np.floor(rows["similarity"].quantile(0.1) * 10 - 0.5) / 10
    low = float(np.clip(low, -0.3, 0.8))
    earning = [{"where": part, "color": "green"} for part in parts]
    earning[0]["label"] = "earns"
    return {
        "kind": "scatter", "data": f"still-{kind}", "x": "similarity", "y": "p",
        "series": "oracle", "title": ASKED[kind],
        "order": {"series": [n for n in ("right", "wrong", best) if n in set(rows["oracle"])]},
        "colors": {"right": "blue", "wrong": "orange", best: "green"},
        "xlim": (low, 1.02), "ylim": (-0.05, 1.05), "regions": earning,
        "vlines": [{"at": round(alpha, 3), "label": "α⁺" if kind == "positive" else "α⁻"}],
        "xlabel": "cosine s of anchor and answer", "ylabel": "probability of the target",
    }  # fmt: skip


def _alt(stills, bounds, best):
    parts = []
    for kind, df in stills.items():
        top = df[df["oracle"] == best]
        parts.append(
            f"{ASKED[kind]}: the {best} answers have a mean cosine of "
            f"{top['similarity'].mean():.2f} and a mean probability of {top['p'].mean():.2f}"
        )
    return (
        "The landscape of the dual reward over cosine and probability, with the generator's "
        "answers on it. " + "; ".join(parts) + ". The cliffs lie at cosines of "
        f"{bounds.positive_bound:.2f} for positives and {bounds.negative_bound:.2f} for hard "
        "negatives."
    )
