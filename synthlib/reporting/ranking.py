"""What a run of ranking sentences has left: lists, why some were dropped, and their distances."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd

from synthlib import curation, viz
from synthlib.reporting import findings
from synthlib.reporting.findings import Findings, Losses, Table
from synthlib.reporting.page import escape, number, quoted, share, signed, tag
from synthlib.reporting.texts import Sample, Texts
from synthlib.runs.folder import Run

PURPOSE = (
    "Varied sentences of the data were drawn. A language model continued each into a list, every "
    "sentence a step further away from the first in meaning. Lists that circle, repeat or "
    "break off were dropped. A second encoder, the teacher, compared the sentences of each list; "
    "its similarities and the order of the list were then taught to an encoder that was trained "
    "already."
)
WORDS = [
    ("starting sentence", "the first of a list; papers call it the anchor"),
    ("place", "how many steps a sentence stands behind the starting sentence"),
    ("similarity", "cosine of two sentences by the teacher: 1 for the same meaning, 0 for nothing "
     "in common; it should fall from place to place"),
    ("order", "Spearman's correlation of place and distance within a list: 1 where the teacher "
     "sees each sentence further away than the one before, 0 where there is no order"),
    ("STS, reranking, transfer", "the examinations: similarities against people's; the right "
     "candidate first; a classifier on the vectors. In percent, more is better"),
]  # fmt: skip


def find(run: Run, size: int, seed: int) -> Findings:
    """Count a run's lists in one pass, the teacher's similarities beside them."""
    asked = run.asked
    texts, losses = Texts(("sentences",)), Losses(seed)
    kept_sample, left_sample = Sample(size, seed), Sample(size, seed)
    decided = run.has("lists.parquet")
    place = "lists.parquet" if decided else "written"
    lengths = {"kept": Counter(), "dropped": Counter()}
    by_place, orders = {}, []
    lists = kept = 0
    compared = _compared(run)
    for lists, (anchor, rest, reason) in enumerate(_lists(run), 1):
        phi = None
        if decided and reason in ("", curation.ALIKE):  # these the teacher has seen, in this order
            phi = next(compared, None)
        near = None if phi is None else phi.reshape(len(rest) + 1, -1)[0, 1:] / asked["scale"]
        texts.add(False if reason else True if decided else None, anchor, sentences=list(rest))
        lengths["dropped" if reason else "kept"][len(rest)] += 1
        if reason:
            shown = " → ".join([anchor, *rest])
            losses.add(reason, lists, f"{place}, row {lists:,}", shown)
            left_sample.offer(lists, _card(anchor, rest, near, reason))
            continue
        kept += 1
        kept_sample.offer(lists, _card(anchor, rest, near, None if decided else "not judged yet"))
        if near is not None:
            for step, value in enumerate(near, 1):
                sums = by_place.setdefault(step, [0, 0.0, 0.0])
                sums[0] += 1
                sums[1] += float(value)
                sums[2] += float(value) ** 2
            if (order := _order(near)) is not None:
                orders.append(order)
    unread = findings.unread(run, seed, lambda reject: reject.get("where") != "lists")
    found = Findings(
        title="Ranking sentences: an encoder taught by ordered lists",
        purpose=PURPOSE, steps=run.steps(), texts=texts, words=WORDS,
        kinds={"anchor": "starting sentence", "sentences": "sentences of the lists"},
        models=_models(run),
        settings=[
            ("sentences after the first", None if asked["from_file"] else asked.get("steps")),
            ("strength λ of the direction", None if asked["from_file"] else asked.get("lam")),
            ("weight ω of the order", asked.get("omega")), ("mode", asked.get("mode")),
            ("lists in a step of the training", asked.get("lists_per_step")),
            ("passes", asked.get("epochs")),
        ],
        unread=unread, left=losses.most(), kept_cards=kept_sample.rows(),
        left_cards=left_sample.rows(),
    )  # fmt: skip
    found.sample_note = "" if not orders else (
        "Behind each sentence of a list stands the teacher's similarity to the starting sentence."
    )
    found.funnel = _funnel(run, unread, lists, kept, decided)
    found.key = [(f"{lists:,}", "lists"), (f"{kept:,}", f"kept ({share(kept, lists)})")]
    if orders:
        found.key.append((f"{np.mean(orders):.2f}", "order in kept lists (1 perfect, 0 none)"))
    found.pictures = _pictures(lengths, by_place)
    found.curves = findings.training_curves(run, {"": "encoder"})
    found.look = _look(texts, lists, kept, decided, orders)
    _examine(run, found)
    return found


def _lists(run):
    """Anchor, the sentences behind it, and why the list was dropped ("")."""
    if run.has("lists.parquet"):
        for frame in run.tables("lists.parquet"):
            yield from zip(frame["anchor"], frame["sentences"], frame["reason"], strict=True)
        return
    for frame in run.tables("written"):
        for row, reason in zip(frame["sentences"], frame["reason"], strict=True):
            yield row[0], row[1:], reason


def _compared(run):
    for frame in run.tables("compared"):
        yield from (np.asarray(phi, dtype=float) for phi in frame["phi"])


def _order(near):
    """Spearman of place and distance; None where the teacher sees one distance alone."""
    if len(near) < 2 or np.ptp(near) == 0:
        return None
    ranks = pd.Series(-np.asarray(near)).rank().to_numpy()
    return float(np.corrcoef(np.arange(len(near)), ranks)[0, 1])


def _card(anchor, rest, near, reason):
    shown = [
        tag("li", quoted(text), *([] if near is None else [escape(f" · {number(float(value))}")]))
        for text, value in zip(rest, near if near is not None else rest, strict=True)
    ]  # fmt: skip
    card = [("start", quoted(anchor)), ("list", tag("ol", *shown) if shown else quoted(""))]
    return card + ([("dropped" if reason != "not judged yet" else "state", reason)] * bool(reason))


def _models(run):
    models = [("encoder that is taught", run.model("encoder"))]
    if run.asked.get("mode") != "rank":
        models.append(("compares (teacher)", run.model("teacher")))
    if run.asked["from_file"]:
        models.insert(0, ("lists written by", f"others, read from {run.asked['source']}"))
    else:
        models.insert(0, ("writes", run.model("generator")))
    return models


def _funnel(run, unread, lists, kept, decided):
    lost, funnel = sum(loss.count for loss in unread), []
    what = "lists" if run.asked["from_file"] else "sentences"
    if run.sentences is not None:
        funnel.append((f"{what} given", run.sentences + lost))
        if lost:
            funnel.append((f"{what} that can be read", run.sentences))
    if not run.asked["from_file"]:
        funnel.append(("starting sentences drawn, and lists written", lists))
    return [*funnel, ("kept and trained on" if decided else "not dropped so far", kept)]


def _pictures(lengths, by_place):
    rows = [
        {"sentences": length, "lists": count, "which": which}
        for which, counts in lengths.items() for length, count in sorted(counts.items())
    ]  # fmt: skip
    made = []
    if len({row["sentences"] for row in rows}) > 1:
        said = "; ".join(
            f"{which}: {sum(counts.values()):,} lists of {min(counts)} to {max(counts)} sentences"
            for which, counts in lengths.items() if counts
        )  # fmt: skip
        made.append(viz.Figure(
            rows,
            {"kind": "bars", "x": "sentences", "y": "lists", "series": "which",
             "xlabel": "sentences behind the first", "ylabel": "lists",
             "colors": {"kept": "blue", "dropped": "orange"}},
            alt=f"Bars of the lengths of lists. {said}.",
            caption="How long the lists are: what breaks off, or runs in a circle, is dropped.",
        ))  # fmt: skip
    if by_place:
        table = pd.DataFrame([
            {"place": step, "mean": total / n,
             "sd": np.sqrt(max(squares / n - (total / n) ** 2, 0))}
            for step, (n, total, squares) in sorted(by_place.items())
        ])  # fmt: skip
        table["low"], table["high"] = table["mean"] - table["sd"], table["mean"] + table["sd"]
        first, last = table.iloc[0], table.iloc[-1]
        made.append(viz.Figure(
            table,
            {"kind": "lines", "x": "place", "y": "mean", "low": "low", "high": "high",
             "xlabel": "place in the list", "ylabel": "similarity to the first"},
            alt="Curve of the teacher's mean similarity to the first sentence: "
            f"{first['mean']:.2f} at place 1, {last['mean']:.2f} at place {last['place']:.0f}.",
            caption="How far the kept lists move away from their first sentence: the teacher's "
            "mean similarity at each place, with one standard deviation.",
        ))  # fmt: skip
    return made


def _look(texts, lists, kept, decided, orders):
    look, column = [], texts.whole("sentences")
    if decided and lists and kept < 0.2 * lists:
        look.append(f"Only {share(kept, lists)} of the lists were kept (less than 20 %).")
    if orders and np.mean(orders) < 0.2:
        look.append(f"The teacher sees hardly any order in the kept lists: {np.mean(orders):.2f} "
                    "on average (below 0.2).")  # fmt: skip
    if column.texts and column.repeated >= 0.2 * column.texts:
        look.append(f"{share(column.repeated, column.texts)} of the lists' sentences equal one "
                    "that was written before (more than 20 %).")  # fmt: skip
    return look


def _examine(run, found):
    results = run.csv("results.csv")
    if results is None:
        return
    for measure, part in results.groupby("measure", sort=False):
        rows = [
            (task, float(before), float(after), signed(after - before))
            for task, before, after in zip(part["task"], part["before"], part["after"], strict=True)
        ]  # fmt: skip
        before, after = float(part["before"].mean()), float(part["after"].mean())
        if len(rows) > 1:
            rows.append(("average", before, after, signed(after - before)))
        found.examination.append(Table(
            f"{measure}, percent", ["", "before", "after", "gain"], rows
        ))  # fmt: skip
        found.key.append((f"{after:.1f}", f"{measure} after, {before:.1f} before"))
        if after < before:
            found.look.append(f"{measure} is worse after the training than before: {after:.1f} "
                              f"against {before:.1f}.")  # fmt: skip
