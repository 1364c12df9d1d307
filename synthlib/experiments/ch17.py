"""What chapter 17 measures: STS over the size of the training set, with real sentences.

All arms start from the encoder of the tier laptop and are examined as those of ``13-training``.
"""

from __future__ import annotations

import math

import pandas as pd

from synthlib import curation, models, tiers
from synthlib.evaluation import sts
from synthlib.experiments import ch13, field
from synthlib.field import pairs as labelled
from synthlib.methods import multicsr

_SETTINGS = tiers.get("laptop").multicsr
FEWEST = 48  # triplets; at the tier's 48 steps of 32 each is seen 32 times


def sizes(steps: int, batch: int, fewest: int = FEWEST) -> list[int]:
    """Sizes of a data set, doubling, up to the one that so many steps see once."""
    return [fewest * 2**i for i in range(int(math.log2(steps * batch / fewest)) + 1)]


def of_people(snli: pd.DataFrame, seed: int) -> pd.DataFrame:
    """A triplet of each premise to which people wrote an entailment and a contradiction, in an
    order drawn with the seed: the first n of them are a part of the first 2 n."""
    rows = snli[snli["label"].isin(ch13.KINDS)].drop_duplicates(["premise", "label"])
    rows = rows.pivot(index="premise", columns="label", values="hypothesis").dropna()
    return pd.DataFrame({
        "anchor": rows.index, "positive": rows["entailment"].to_numpy(),
        "negative": rows["contradiction"].to_numpy(),
    }).sample(frac=1, random_state=seed, ignore_index=True)  # fmt: skip


def of_the_model(sweep: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What the small model wrote at ω = 0.3, one triplet of each premise: any, and one that is
    kept."""
    asked = sweep[(sweep["shots"] > 0) & (sweep["omega"] == ch13.NOISE_OMEGA)]
    table = ch13.triplets_of(asked.reset_index(drop=True))
    table = table[multicsr.usable(table)]
    select = curation.Thresholds(_SETTINGS.alpha, _SETTINGS.beta, _SETTINGS.gamma)
    kept = table[select.keep(table["a"], table["b"])]
    return table.drop_duplicates("anchor"), kept.drop_duplicates("anchor")


@field.recorder("17-curve", needs=(_SETTINGS.encoder,), data=True)
def record_curve(seed: int, data) -> pd.DataFrame:
    """Encoders trained on more and more triplets: arm, triplets, steps, task, value.

    Without the mask of stage 3, which changed nothing in ``13-training`` and takes long.
    People's are trained on twice: for the tier's steps, and for as many as all of them have
    batches, so that more data and more steps can be told apart.
    """
    steps, batch = _SETTINGS.max_steps, _SETTINGS.batch_size
    people = of_people(labelled.sets(data, ("SNLI",))["SNLI"], seed)
    arms = [
        ("people", people.head(n), many)
        for many in (steps, len(people) // batch)
        for n in (*sizes(steps, batch), len(people))
    ]
    for arm, table in zip(
        ("written", "written, kept"), of_the_model(field.recorded("13-sweep")), strict=True
    ):
        arms.append((arm, table.sample(FEWEST, random_state=seed), steps))
    rows = []
    for arm, table, many in arms:
        encoder = models.load_encoder(_SETTINGS.encoder, pooling=_SETTINGS.pooling, device="cpu")
        multicsr.train(encoder, table, _SETTINGS, max_steps=many, seed=seed, progress=False)
        for task, value in _examined(encoder, data):
            rows.append((arm, len(table), many, task, value))
    return pd.DataFrame(rows, columns=["arm", "triplets", "steps", "task", "value"])


def _examined(encoder, data):
    """Spearman of each of `ch13.TASKS`, in percent."""
    vectors = ch13.encode(encoder)
    table = sts.evaluate_sts(vectors, data, list(ch13.TASKS[:2]))
    dev = sts.evaluate_sts(vectors, data, ["STS-B"], split="dev")
    return [*zip(table["task"], table["spearman"], strict=True),
            (ch13.TASKS[2], dev["spearman"].iloc[0])]  # fmt: skip


def curve(table: pd.DataFrame) -> pd.DataFrame:
    """Mean Spearman of the sets, of each arm, size and seed; and what each doubling gained.

    Parameters
    ----------
    table : DataFrame
        ``17-curve``, with the column seed.

    Returns
    -------
    DataFrame
        arm, steps, seed, triplets, spearman, gain (over the next smaller set, NaN for the least).
    """
    some, alike = table[table["task"].isin(ch13.TASKS)], ["arm", "steps", "seed"]
    found = some.groupby([*alike, "triplets"], as_index=False)["value"].mean()
    found = found.rename(columns={"value": "spearman"})
    return found.assign(gain=found.groupby(alike)["spearman"].diff())
