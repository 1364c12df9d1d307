"""What chapter 6 measures: MultiCSR whole, and beside what it is compared with.

Every function that trains takes a seed, which draws the premises, the instructions and the order
of training; two encoders of one seed differ in nothing but what the table's row says, so their
difference is paired. Corpora and encoders are made once in a process. The sets that examine are
the same for all seeds.

Training runs for the steps of the pocket tier, without a choice of the best weights
on a development score, so that every row gets the same effort.
"""

from functools import cache
from itertools import product
from random import Random

import numpy as np
import pandas as pd
import torch

from synthlib import evaluation, ledger, models, tiers, training
from synthlib.curation import Thresholds, folded
from synthlib.evaluation import examination
from synthlib.evaluation.embedding import as_embeddings, unit_rows
from synthlib.experiments import ch01
from synthlib.experiments.lab import corpus
from synthlib.methods import multicsr
from synthlib.world import corpora, nli, random_scene, tavi

T5, LLAMA = "pocket/generator-t5", "pocket/generator-llama"
SHAPES = ("bert", "roberta")
STAGES = tuple(product((0, 1), repeat=3))
FULL = (1, 1, 1)
RULE = Thresholds()  # (3, 3, 1)


# ------------------------------------------------------------------ what is compared
def settings():
    """MultiCSR's settings on the pocket tier."""
    return tiers.get("pocket").multicsr


def committed(kind, shape="bert"):
    """An encoder that travels with the book: "mlm", "simcse-unsup" or "simcse-sup"."""
    return _load(f"pocket/{kind}-{shape}").encode


@cache
def _load(name):
    return models.load_encoder(name, device="cpu")


def name_of(stages):
    """Table 3's name of an ablation: (1, 0, 1) is "w/o stage 2"."""
    left_out = [str(i) for i, on in enumerate(stages, 1) if not on]
    return "MultiCSR" if not left_out else "w/o stage " + "&".join(left_out)


def triplets(seed, stages=FULL, **where):
    """The corpus of an ablation, ready to train on.

    Parameters
    ----------
    seed : int
    stages : (stage 1, stage 2, stage 3), each 0 or 1
        Without stage 1 ω = 0; without stage 2 everything usable is kept. Stage 3 comes later.
    **where
        Of `lab.corpus`: generator, language, demonstrations, labelled, premises.

    Returns
    -------
    DataFrame
    """
    rows = corpus(seed, settings().omega if stages[0] else 0.0, **where)
    return rows[RULE.keep(rows["a"], rows["b"])] if stages[1] else rows


def fit(rows, seed, *, shape="bert", guide=None, pooling="mean", **options):
    """An encoder trained from the masked LM on these triplets, with the pocket settings.

    Parameters
    ----------
    rows : DataFrame or sequence of (anchor, positive, negative)
    seed : int
    shape : "bert" or "roberta"
    guide : callable, optional
        P_η of stage 3.
    pooling : str
    **options
        Of `multicsr.train`.

    Returns
    -------
    callable
        List of n strings to an (n, d) array.
    """
    encoder = models.load_encoder(f"pocket/mlm-{shape}", pooling=pooling, device="cpu")
    # A corpus may be smaller than a batch: where a generator fails, little is kept.
    batch = min(settings().batch_size, len(rows))
    options = dict(seed=seed, batch_size=batch, progress=False) | options
    return multicsr.train(encoder, rows, settings(), guide=guide, **options).encode


@cache
def trained(seed, stages=FULL, shape="bert", generator=T5, language="english"):
    """MultiCSR with some of its stages; P_η is the committed unsupervised SimCSE of this shape.

    Returns
    -------
    callable
        List of n strings to an (n, d) array.
    """
    rows = triplets(seed, stages, generator=generator, language=language)
    guide = committed("simcse-unsup", shape) if stages[2] else None
    return fit(rows, seed, shape=shape, guide=guide)


# ------------------------------------------------------------------ how it is examined
@cache
def sts(split):
    """The two STS sets of the pocket world, 2,000 pairs each."""
    return {kind: corpora.sts(kind, split, 2000) for kind in corpora.STS_KINDS}


def spearman(encode, splits=("test",)):
    """Spearman × 100 on the STS sets.

    Returns
    -------
    dict
        "natural" and "hard"; with several splits "dev natural", "test hard", …
    """
    found = {}
    for split in splits:
        marks = evaluation.score_sts(encode, sts(split)).set_index("task")["all"]
        for kind, mark in marks.items():
            found[kind if len(splits) == 1 else f"{split} {kind}"] = float(mark)
    return found


def ndcg(encode, k=10):
    """nDCG@10 on the pocket world's retrieval set: 200 queries, 2,000 passages (Table 7)."""
    passages, queries, relevance = corpora.retrieval()
    asked, found = (unit_rows(as_embeddings(encode(list(x.values())))) for x in (queries, passages))
    scores = asked @ found.T
    relevant = np.array([[relevance[q].get(p, 0) for p in passages] for q in queries])
    return evaluation.ndcg_at_k(scores, relevant, k)


@cache
def transfer_data():
    """The seven transfer tasks of the pocket world (Table 8)."""
    return examination.pocket_transfer()


def transfer(encode):
    """Accuracy of a linear classifier on the embeddings, in percent, by task."""
    marks = evaluation.score_transfer(encode, transfer_data()).set_index("task")["accuracy"]
    return {task: float(mark) for task, mark in marks.items()}


def bitext(encode, n=1000):
    """Accuracy of finding translations Tavi ↔ English among n, mean of both directions."""
    english, tavi = corpora.bitext(n)
    pairs = evaluation.score_bitext(encode, {"english": english, "tavi": tavi})
    return float(pairs["accuracy"].mean())


@cache
def twins(n=1000, seed=0):
    """Two Tavi sentences of one meaning, line by line, meanings distinct.

    Returns
    -------
    first, second : list of n str
    """
    rng, seen = Random(f"twins {seed}"), set()
    first, second = [], []
    while len(first) < n:
        scene = random_scene(rng)
        one, other = tavi.realize(scene, rng), tavi.realize(scene, rng)
        if scene not in seen and one != other:
            seen.add(scene)
            first.append(one)
            second.append(other)
    return first, second


def same_language(encode, n=1000):
    """Accuracy of finding a Tavi sentence's twin of the same meaning, mean of both directions."""
    first, second = twins(n)
    pairs = evaluation.score_bitext(encode, {"first": first, "second": second})
    return float(pairs["accuracy"].mean())


def right(rows):
    """Which triplets the oracle finds right: an entailment that is no copy, a contradiction.

    The oracle judges; no method sees this.

    Returns
    -------
    bool array [n]
    """
    return np.array([
        nli(x, p) == "entailment" and folded(p) != folded(x) and nli(x, n) == "contradiction"
        for x, p, n in rows[["anchor", "positive", "negative"]].itertuples(index=False)
    ])  # fmt: skip


def differences(rows, first, other, column):
    """Seed by seed: the mark of one row minus that of another.

    Parameters
    ----------
    rows : DataFrame
        Columns row, seed and `column`, as `ledger.rows` gives them; one row a seed and name.
    first, other : str
        Names in the column "row".
    column : str

    Returns
    -------
    Series by seed
    """
    marks = rows.pivot(index="seed", columns="row", values=column)
    return marks[first] - marks[other]


# ------------------------------------------------------------------ Table 3
def ablation(seed):
    """Table 3: all eight combinations of the stages.

    Returns
    -------
    DataFrame
        row (the paper's name), stage 1, stage 2, stage 3, triplets, right (share, by the oracle),
        and Spearman on dev and test, natural and hard.
    """
    rows = []
    for stages in reversed(STAGES):
        data = triplets(seed, stages)
        marks = spearman(trained(seed, stages), ("dev", "test"))
        rows.append({
            "row": name_of(stages), **{f"stage {i}": on for i, on in enumerate(stages, 1)},
            "triplets": len(data), "right": right(data).mean(), **marks,
        })  # fmt: skip
    return pd.DataFrame(rows)


@ledger.measure(
    "06-table3-full", "06-table3-stage1", "06-table3-stage2", "06-table3-stage3",
    "06-table3-order",
)  # fmt: skip
def measure_ablation(seed):
    """Table 3 for one seed."""
    table = ablation(seed)
    ledger.keep_rows("06-table3", seed, table)
    mark = table.set_index("row")["test natural"]
    cost = {i: mark["MultiCSR"] - mark[f"w/o stage {i}"] for i in (1, 2, 3)}
    return {
        "06-table3-full": mark["MultiCSR"] - mark["w/o stage 1&2&3"],
        **{f"06-table3-stage{i}": cost[i] for i in cost},
        "06-table3-order": min(cost[1], cost[2]) - cost[3],
    }


def quantity(seed):
    """What the selection of stage 2 wins in purity, and what it loses in number.

    Returns
    -------
    DataFrame
        row ("as few at random": as many triplets as stage 2 keeps, drawn from all of stage 1;
        "selected": MultiCSR), triplets, right (share, by the oracle), epochs (of the same number
        of steps), and Spearman natural and hard. All of stage 1 is Table 3's "w/o stage 2".
    """
    everything, selected = (triplets(seed, (1, on, 1)) for on in (0, 1))
    few = everything.sample(len(selected), random_state=seed)
    encoders = {
        "as few at random": (few, fit(few, seed, guide=committed("simcse-unsup"))),
        "selected": (selected, trained(seed)),
    }
    seen = settings().max_steps * settings().batch_size
    return pd.DataFrame(
        {
            "row": row, "triplets": len(data), "right": right(data).mean(),
            "epochs": seen / len(data), **spearman(encode),
        }
        for row, (data, encode) in encoders.items()
    )  # fmt: skip


@ledger.measure("06-quantity")
def measure_quantity(seed):
    """Selected triplets against as many at random, for one seed."""
    table = quantity(seed)
    ledger.keep_rows("06-quantity", seed, table)
    mark = table.set_index("row")["natural"]
    return mark["selected"] - mark["as few at random"]


# ------------------------------------------------------------------ Tables 2, 7 and 8
def encoders(seed):
    """Table 2's rows as (shape, generator, row, encode); an encoder is trained when it is asked
    for, so the table fills row by row."""
    for shape in SHAPES:
        base = committed("mlm", shape)
        white = ch01.whitened(base, corpora.premises(5000, seed))
        yield shape, "", "masked LM", base
        yield shape, "", "whitening", white
        yield shape, "", "SimCSE", committed("simcse-unsup", shape)
        yield shape, T5, "raw", trained(seed, (0, 0, 0), shape)
        yield shape, T5, "MultiCSR, no logits", trained(seed, (0, 1, 1), shape)
        yield shape, T5, "MultiCSR", trained(seed, FULL, shape)
        if shape == "bert":
            yield shape, LLAMA, "raw", trained(seed, (0, 0, 0), shape, LLAMA)
            yield shape, LLAMA, "MultiCSR, no logits", trained(seed, (0, 1, 1), shape, LLAMA)
            yield shape, LLAMA, "MultiCSR", trained(seed, FULL, shape, LLAMA)
        yield shape, "", "SimCSE, gold labels", committed("simcse-sup", shape)


@cache
def _examined(kind, shape, examine):
    """Marks of an encoder that travels with the book: the same for all seeds."""
    return examine(committed(kind, shape))


@ledger.measure(
    "06-table2-simcse", "06-table2-syncse", "06-table2-no-logits", "06-table2-whitening",
    "06-table7-retrieval", "06-table8-transfer",
)  # fmt: skip
def measure_comparison(seed):
    """Tables 2, 7 and 8 for one seed. A claim over two shapes is judged by the smaller gain."""
    table = pd.DataFrame(
        {"shape": shape, "generator": generator, "row": row, **spearman(encode)}
        for shape, generator, row, encode in encoders(seed)
    )
    ledger.keep_rows("06-table2", seed, table)
    mark = table.set_index(["shape", "generator", "row"])["natural"]

    retrieval = pd.DataFrame(
        {"shape": shape, "row": row, "ndcg": value}
        for shape in SHAPES
        for row, value in (
            ("SimCSE", _examined("simcse-unsup", shape, ndcg)),
            ("raw", ndcg(trained(seed, (0, 0, 0), shape))),
            ("MultiCSR", ndcg(trained(seed, FULL, shape))),
            ("SimCSE, gold labels", _examined("simcse-sup", shape, ndcg)),
        )
    )
    ledger.keep_rows("06-table7", seed, retrieval)
    found = retrieval.set_index(["shape", "row"])["ndcg"]

    tasks = pd.DataFrame(
        {"shape": shape, "row": row, "task": task, "accuracy": value}
        for shape in SHAPES
        for row, marks in (
            ("SimCSE", _examined("simcse-unsup", shape, transfer)),
            ("MultiCSR", transfer(trained(seed, FULL, shape))),
        )
        for task, value in marks.items()
    )
    ledger.keep_rows("06-table8", seed, tasks)
    accuracy = tasks.groupby(["shape", "row"])["accuracy"].mean()

    def gain(marks, row, other):
        return min(marks[shape, *row] - marks[shape, *other] for shape in SHAPES)

    full, raw = (T5, "MultiCSR"), (T5, "raw")
    return {
        "06-table2-simcse": gain(mark, full, ("", "SimCSE")),
        "06-table2-syncse": gain(mark, full, raw),
        "06-table2-no-logits": gain(mark, (T5, "MultiCSR, no logits"), raw),
        "06-table2-whitening": gain(mark, full, ("", "whitening")),
        "06-table7-retrieval": gain(found, ("MultiCSR",), ("SimCSE",)),
        "06-table8-transfer": gain(accuracy, ("MultiCSR",), ("SimCSE",)),
    }


# ------------------------------------------------------------------ Table 10
def supervised(seed, shape, labels):
    """Table 10: the labelled corpus N alone, with T, and with T and stage 3.

    T is written from the premises of N, so that every premise of T stands in N too, as in
    Appendix G. P_η is the committed supervised SimCSE.

    Parameters
    ----------
    seed : int
    shape : "bert" or "roberta"
    labels : int
        Labelled triplets.

    Returns
    -------
    dict of str to float
        Spearman on the natural and the hard test set by row; "w/o stage 3" for the table's own
        number of labels only.
    """
    columns = ["anchor", "positive", "negative"]
    gold = pd.DataFrame(corpora.triplets(labels, seed), columns=columns)
    # Row i of a corpus depends on the seed and i alone: the corpus of fewer premises is the
    # beginning of the larger one, which is written once.
    written = triplets(seed, premises=LABELS[0], labelled=True)
    both = pd.concat([gold, written[written.index < labels][columns]], ignore_index=True)
    guide = committed("simcse-sup", shape)
    marks = {
        "gold alone": spearman(fit(gold, seed, shape=shape)),
        "MultiCSR": spearman(fit(both, seed, shape=shape, guide=guide)),
    }
    if labels == LABELS[0]:
        marks["w/o stage 3"] = spearman(fit(both, seed, shape=shape))
    return marks


LABELS = (4000, 500)  # sizes of the labelled corpus N: the table's, and where labels are scarce


@ledger.measure("06-table10-supervised", "06-table10-stage3")
def measure_supervised(seed):
    """Table 10 for one seed; the claims by the smaller gain of the two shapes."""
    marks = {
        (shape, labels): supervised(seed, shape, labels)
        for shape, labels in (*((shape, LABELS[0]) for shape in SHAPES), ("bert", LABELS[1]))
    }
    table = pd.DataFrame(
        {"shape": shape, "labels": labels, "row": row, **values}
        for (shape, labels), rows in marks.items()
        for row, values in rows.items()
    )
    ledger.keep_rows("06-table10", seed, table)

    def gain(other):
        rows = [marks[shape, LABELS[0]] for shape in SHAPES]
        return min(row["MultiCSR"]["natural"] - row[other]["natural"] for row in rows)

    return {
        "06-table10-supervised": gain("gold alone"),
        "06-table10-stage3": gain("w/o stage 3"),
    }


# ------------------------------------------------------------------ Table 4
def low_resource(seed):
    """Table 4: training on Tavi alone, examined by finding translations, and twins in Tavi.

    Returns
    -------
    DataFrame
        row, triplets (rows that it was trained on), right (by the oracle), accuracy (of finding
        translations, percent), twins (of finding the other sentence of the same meaning in Tavi).
    """
    rows = [("masked LM", None, np.nan, committed("mlm"))]
    premises = corpora.premises(4000, seed, language="tavi")
    rows.append(("SimCSE", len(premises), np.nan, unsupervised(seed, premises)))
    for name, stages in (("raw", (0, 0, 0)), ("MultiCSR", FULL)):
        data = triplets(seed, stages, language="tavi")
        encode = trained(seed, stages, language="tavi")
        rows.append((name, len(data), right(data).mean(), encode))
    return pd.DataFrame(
        {
            "row": name, "triplets": n, "right": share,
            "accuracy": bitext(encode), "twins": same_language(encode),
        }
        for name, n, share, encode in rows
    )


def unsupervised(seed, sentences, *, shape="bert", pooling="mean", **options):
    """Unsupervised SimCSE from the masked LM, for as many steps of as many rows as MultiCSR."""
    s = settings()
    encoder = models.load_encoder(f"pocket/mlm-{shape}", pooling=pooling, device="cpu")
    options = dict(
        batch_size=s.batch_size, max_steps=s.max_steps, projection=None,
        learning_rate=tiers.get("pocket").simcse_unsupervised.learning_rate,
        max_length=s.max_length, seed=seed, progress=False,
    ) | options  # fmt: skip
    return training.train_unsupervised_simcse(encoder, sentences, **options).encode


@ledger.measure("06-table4-low-resource", "06-table4-twins")
def measure_low_resource(seed):
    """Table 4 for one seed."""
    table = low_resource(seed)
    ledger.keep_rows("06-table4", seed, table)
    marks = table.set_index("row")
    gain = marks.loc["MultiCSR"] - marks.loc["raw"]
    return {"06-table4-low-resource": gain["accuracy"], "06-table4-twins": gain["twins"]}


# ------------------------------------------------------------------ Table 5
# The paper's backbones that are trained here: (shape, name). Supervised SimCSE is in Table 10.
BACKBONES = (
    *(("bert", name) for name in ("SimCSE", "prompt", "rank")),
    *(("roberta", name) for name in ("SimCSE", "prompt")),
)


def ranked_by(teacher, anchors, positives):
    """What `training`'s option `distill` asks for: the teacher's embeddings of a batch's rows.

    Parameters
    ----------
    teacher : callable
        List of n strings to an (n, t) array; frozen, so each sentence is embedded once.
    anchors, positives : sequence of n sentences

    Returns
    -------
    callable
        ``distill(rows [N]) -> (anchors [N, t], positives [N, t])``
    """
    known, ranked = (torch.as_tensor(teacher(list(texts))) for texts in (anchors, positives))
    return lambda rows: (known[rows.cpu()], ranked[rows.cpu()])


def backbone(seed, shape, name):
    """Table 5: one backbone without and with MultiCSR.

    Without, it is trained on the unlabelled premises alone; with MultiCSR, on the curated
    triplets with the mask of stage 3. Teacher of "rank" and P_η are the committed unsupervised
    SimCSE of the shape.

    Returns
    -------
    dict of str to float
        Natural and hard Spearman for "without" and "with".
    """
    guide = committed("simcse-unsup", shape)
    if name == "SimCSE":
        return {"without": spearman(guide), "with": spearman(trained(seed, FULL, shape))}
    premises, rows = corpora.premises(settings().premises, seed), triplets(seed)
    pooling = "prompt" if name == "prompt" else "mean"
    options = [{}, {}]
    if name == "rank":
        options = [
            {"distill": ranked_by(guide, *texts)}
            for texts in ((premises, premises), (rows["anchor"], rows["positive"]))
        ]
    without = unsupervised(seed, premises, shape=shape, pooling=pooling, **options[0])
    refined = fit(rows, seed, shape=shape, guide=guide, pooling=pooling, **options[1])
    return {"without": spearman(without), "with": spearman(refined)}


@ledger.measure("06-table5-backbones")
def measure_backbones(seed):
    """Table 5 for one seed: the share of backbones that MultiCSR lifts."""
    table = pd.DataFrame(
        {"shape": shape, "backbone": name, "row": row, **marks}
        for shape, name in BACKBONES
        for row, marks in backbone(seed, shape, name).items()
    )
    ledger.keep_rows("06-table5", seed, table)
    marks = table.pivot(index=["shape", "backbone"], columns="row", values="natural")
    return 100 * float((marks["with"] > marks["without"]).mean())


# ------------------------------------------------------------------ Table 9
DEMONSTRATIONS = {"none": None, "L = 3, λ = 0.6": (3, 0.6), "L = 5, λ = 0.8": (5, 0.8)}
SHOWN_PREMISES = 1500  # prompts with demonstrations are long: fewer premises have to do


def demonstrated(seed):
    """Table 9: generation with worked examples in the prompt, by the Llama-shaped generator.

    The T5-shaped one cannot read them (its encoder mixes the sentences up); its share of right
    triplets stands beside, from fewer premises, and no encoder is trained on them.

    Returns
    -------
    DataFrame
        generator, row, premises, right (share, by the oracle), kept (number), and Spearman on dev
        and test, natural and hard.
    """
    table = []
    for row, shots in DEMONSTRATIONS.items():
        for generator, premises in ((LLAMA, SHOWN_PREMISES), (T5, 200)):
            written = corpus(
                seed, settings().omega, premises=premises, generator=generator,
                demonstrations=shots,
            )
            kept = written[RULE.keep(written["a"], written["b"])]
            marks = {}
            if generator == LLAMA:
                encode = fit(kept, seed, guide=committed("simcse-unsup"))
                marks = spearman(encode, ("dev", "test"))
            table.append({
                "generator": generator, "row": row, "premises": premises,
                "right": right(written).mean(), "kept": len(kept), **marks,
            })  # fmt: skip
    return pd.DataFrame(table)


@ledger.measure("06-table9-demonstrations")
def measure_demonstrations(seed):
    """Table 9 for one seed: the better of the two settings with demonstrations minus none."""
    table = demonstrated(seed)
    ledger.keep_rows("06-table9", seed, table)
    mark = table[table["generator"] == LLAMA].set_index("row")["dev natural"]
    return mark.drop("none").max() - mark["none"]
