"""What chapter 2 measures of two sets of small models: another training beside the committed one.

`python -m synthlib compare-pocket FOLDER` measures both by the functions of `world.report`, which
the ledger's claims use too; the chapter draws what was kept with ``--keep``.
"""

import json
import sys
from pathlib import Path

import pandas as pd

from synthlib import commands, ledger, models, paths
from synthlib.world import corpora, report

KEPT = paths.DATA / "ledger" / "measured" / "pocket" / "compared.csv"
NAMES = tuple(name.removeprefix("pocket/") for name in models.POCKET_MODELS)


def figures(name: str, place: str, seed: int) -> dict[str, float]:
    """What one small model can do, by the measures of the page of the small models.

    Parameters
    ----------
    name : str
        Of `NAMES`: what is measured follows from it.
    place : str
        Where the model is: its pocket name, or a folder.
    seed : int
        Of the premises or pairs.

    Returns
    -------
    dict
        Of a generator the percent of right answers to each of the eight instructions
        ("entailment 1" … "contradiction 4"), "well formed" and "judge"; of the NLI model
        "accuracy"; of an encoder "natural" and "hard".
    """
    if name == "nli":
        return {"accuracy": report.accuracy(place, seed)}
    if not name.startswith("generator-"):
        return report.order(place, list(corpora.STS_KINDS), seed)
    answers = report.answered(place, seed)
    right = 100 * answers["outcome"].eq("right")
    by_instruction = right.groupby([answers["kind"], answers["instruction"]], sort=False).mean()
    found = {f"{kind} {number}": float(x) for (kind, number), x in by_instruction.items()}
    found["well formed"] = float(100 * answers["outcome"].ne("broken").mean())
    return found | {"judge": float(report.judge(place, seed))}


def there(folder: Path) -> list[str]:
    """The small models that a folder has, in the order of `NAMES`.

    Raises
    ------
    ValueError
        Where it has none, or is no folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; wanted is one that `pocket --out` made")
    found = [name for name in NAMES if (folder / name / "model.safetensors").is_file()]
    if not found:
        raise ValueError(
            f"{folder} has none of the small models ({', '.join(NAMES)}): train them with "
            f"`python -m synthlib pocket --out {folder}`"
        )
    return found


def compare(folder, seeds=(0, 1, 2)) -> pd.DataFrame:
    """Measure the models of a folder, and the committed ones of the same names.

    Parameters
    ----------
    folder : path
        As ``python -m synthlib pocket --out FOLDER`` makes it; models that it lacks are left out.
    seeds : sequence of int
        Each draws other premises and pairs; nothing is trained.

    Returns
    -------
    DataFrame
        model, figure, weights ("committed" or "compared"), seed, value.

    Raises
    ------
    ValueError
        For a folder without small models.
    """
    folder = Path(folder).resolve()
    rows = []
    for name in there(folder):
        for weights, place in (("committed", f"pocket/{name}"), ("compared", str(folder / name))):
            for seed in dict.fromkeys(seeds):
                found = figures(name, place, seed)
                rows += [(name, figure, weights, seed, x) for figure, x in found.items()]
    return pd.DataFrame(rows, columns=["model", "figure", "weights", "seed", "value"])


def beside(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds: model, figure, committed, compared, difference."""
    wide = rows.pivot_table("value", ["model", "figure"], "weights", sort=False).reset_index()
    return wide.assign(difference=wide["compared"] - wide["committed"]).rename_axis(columns=None)


def keep(rows: pd.DataFrame, folder) -> None:
    """Write the rows where the chapter reads them, with what made the weights of the folder.

    What was kept of other models stays: each model has the figures of one training.
    """
    built = Path(folder, "build.json")
    about = {
        "seeds": sorted({int(seed) for seed in rows["seed"]}),
        "built": json.loads(built.read_text("utf-8")) if built.is_file() else None,
        **ledger.records.origin(ledger.closure.whole()),
    }
    del about["precision"]  # of trainings here and now: that of the folder stands in `built`
    models = {name: about for name in rows["model"].unique()}
    if KEPT.is_file():
        before = kept()
        models = before.attrs["models"] | models
        rows = pd.concat([before[~before["model"].isin(rows["model"])], rows])
    order = rows["model"].map(NAMES.index)
    rows = rows.iloc[order.argsort(kind="stable")]
    models = {name: models[name] for name in NAMES if name in models}
    ledger.records.replace(KEPT, rows.to_csv(index=False, float_format="%.6g"))
    about = json.dumps({"models": models}, indent=1)
    ledger.records.replace(KEPT.with_suffix(".json"), about + "\n")


def kept() -> pd.DataFrame:
    """The rows of the comparison that travels with the book; ``.attrs["models"]`` says of each
    model which seeds were measured, where, and what made its weights."""
    rows = pd.read_csv(KEPT)
    rows.attrs = json.loads(KEPT.with_suffix(".json").read_text("utf-8"))
    return rows


def main(argv=None) -> int:
    """Entry of ``python -m synthlib compare-pocket``."""
    options = commands.compare_pocket().parse_args(argv)
    missing = [name for name in NAMES if name not in there(options.folder)]
    if missing:
        print(f"not in {options.folder}, left out: {', '.join(missing)}", file=sys.stderr)
    rows = compare(options.folder, options.seeds)
    print(beside(rows).to_string(index=False, float_format="{:.1f}".format))
    if options.keep:
        keep(rows, options.folder)
        print(f"kept: {KEPT}")
    return 0
