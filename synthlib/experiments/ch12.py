"""What chapter 12 measures: reranking and transfer before and after the post-training.

Lists, base encoders and training are those of chapter 11 (`ch11`). A seed draws
the data and the training of the base encoder, the anchors, the sampling of the lists and the order
of the post-training. Before and after are one encoder, so their difference is paired. The sets
that examine are the same for all seeds.
"""

from functools import cache

import pandas as pd

from synthlib import ledger
from synthlib.evaluation import examination
from synthlib.experiments import ch11

# Without labels and without a language model; then the paper's SynCSE and MultiCSR.
BASES = ("SimCSE", "raw LLM data", "MultiCSR")
WEAK = "MultiCSR, weak teacher"  # unsupervised SimCSE in place of the base itself


@cache
def pocket_sets():
    """The pocket world's reranking sets and transfer tasks."""
    return {"reranking": examination.pocket_reranking(), "transfer": examination.pocket_transfer()}


def before_and_after(encoders, sets):
    """Marks of each base encoder before and after the post-training.

    Parameters
    ----------
    encoders : dict
        Base's name to (encode before, encode after), functions of a list of strings.
    sets : dict
        As `examination.examine` takes them.

    Returns
    -------
    DataFrame
        base, measure, task, before, after, gain; percent.
    """
    parts = []
    for base, (before, after) in encoders.items():
        table = examination.examine(before, sets).rename(columns={"mark": "before"})
        table["after"] = examination.examine(after, sets)["mark"]
        parts.append(table.assign(base=base, gain=table["after"] - table["before"]))
    columns = ["base", "measure", "task", "before", "after", "gain"]
    return pd.concat(parts, ignore_index=True)[columns]


def encoders(seed):
    """The base encoders before and after, for `before_and_after`; the last with a weak teacher.

    Parameters
    ----------
    seed : int
    """
    of = ch11
    trained = {base: (base, of.post_trained(seed, base)) for base in BASES}
    trained[WEAK] = ("MultiCSR", of.post_trained(seed, "MultiCSR", teacher=of.UNSUPERVISED))
    return {
        row: (of.base(seed, base).encode, after.encode) for row, (base, after) in trained.items()
    }


@ledger.measure(
    "12-table2-reranking", "12-table2-multicsr", "12-table7-transfer", "12-table7-multicsr",
    "12-table7-mrpc",
)  # fmt: skip
def measure_before_and_after(seed):
    """Tables 2 and 7 for one seed."""
    table = before_and_after(encoders(seed), pocket_sets())
    ledger.keep_rows("12-tables", seed, table)
    gain = table.groupby(["base", "measure"])["gain"].mean()
    _, raw, curated = BASES
    pairs = table.set_index(["base", "task"])["gain"]
    return {
        "12-table2-reranking": gain[raw, "reranking"],
        "12-table2-multicsr": gain[curated, "reranking"],
        "12-table7-transfer": gain[raw, "transfer"],
        "12-table7-multicsr": gain[curated, "transfer"],
        "12-table7-mrpc": pairs[raw, "paraphrase"] - gain[raw, "transfer"],
    }
