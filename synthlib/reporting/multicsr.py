"""What a run of MultiCSR has left: triplets, their scores, and which were kept."""

from __future__ import annotations

import numpy as np
import pandas as pd

from synthlib import reading
from synthlib.reporting import findings
from synthlib.reporting.findings import Findings, Losses, Table
from synthlib.reporting.page import number, quoted, share, signed
from synthlib.reporting.texts import Sample, Texts
from synthlib.runs.folder import Run

PURPOSE = (
    "A language model wrote two sentences for each starting sentence: one that follows from it "
    "(the positive) and one that contradicts it (the negative). {judge} from 0 to 5 how alike each "
    "of the two is to the starting sentence. Triplets whose scores fit were "
    "kept, and a sentence encoder, which turns sentences into vectors, was trained to put the "
    "positive near and the negative far away."
)
WORDS = [
    ("starting sentence", "a sentence of the data; papers call it the anchor or premise"),
    ("triplet", "a starting sentence with its positive and its negative"),
    ("a, b", "the judge's scores from 0 (nothing in common) to 5 (the same meaning): a of the "
     "positive, b of the negative"),
    ("α, β, γ", "the rule: a at least α, b at most β, and a at least γ above b"),
    ("copy", "a text that equals its starting sentence but for case and gaps"),
    findings.EXAMINATION,
]  # fmt: skip
BLANK, UNREAD = "one of its two texts is blank", "a score could not be read"
WAITS = "not judged yet"


def find(run: Run, size: int, seed: int) -> Findings:
    """Count a run's triplets in one pass."""
    asked = run.asked
    judges, thresholds = 2 in asked["stages"], asked["thresholds"]
    alpha, beta, gamma = (thresholds[name] for name in ("alpha", "beta", "gamma"))
    rules = [
        f"the positive's score a lies below α = {alpha:g}",
        f"the negative's score b lies above β = {beta:g}",
    ] + ([] if gamma is None else [f"a lies less than γ = {gamma:g} above b"])
    texts = Texts(("positive", "negative"))
    kept_sample, left_sample = Sample(size, seed), Sample(size, seed)
    first, every = Losses(seed), dict.fromkeys((BLANK, UNREAD, *rules), 0)
    scores = {name: {"kept": [], "left out": []} for name in "ab"}
    place = "triplets.parquet" if run.has("triplets.parquet") else "written"
    counts = dict.fromkeys(("written", "whole", "judged", "kept"), 0)
    row = -1
    for frame in _frames(run):
        broken = _broken(frame, alpha, beta, gamma, judges)
        for i, one in enumerate(frame.to_dict("records")):
            row += 1
            if one["reason"]:
                continue  # the model never read it: it stands among the lines that were not used
            counts["written"] += 1
            why = [(BLANK, UNREAD, *rules)[k] for k in np.flatnonzero(broken[i])]
            counts["whole"] += BLANK not in why
            waits = judges and np.isnan(one["a"]) and not one["judged"]
            if waits and BLANK not in why:
                left_sample.offer(row, _card(one, WAITS))
                texts.add(None, one["anchor"], positive=one["positive"], negative=one["negative"])
                continue
            counts["judged"] += judges and BLANK not in why
            keep = not why if one["kept"] is None else bool(one["kept"])
            texts.add(keep, one["anchor"], positive=one["positive"], negative=one["negative"])
            for name in "ab" if BLANK not in why else "":
                scores[name]["kept" if keep else "left out"].append(one[name])
            if keep:
                counts["kept"] += 1
                kept_sample.offer(row, _card(one))
                continue
            for reason in why[:1] if BLANK in why else why:
                every[reason] += 1
            reason = why[0] if why else "left out by the run"
            first.add(reason, row, f"{place}, row {row + 1:,}", _joined(one))
            left_sample.offer(row, _card(one, "; ".join(why)))
    unread = findings.unread(run, seed)
    found = Findings(
        title="MultiCSR: from sentences to a trained encoder",
        purpose=PURPOSE.format(judge=_judge(asked, judges)), steps=run.steps(), words=WORDS,
        texts=texts,
        kinds={"anchor": "starting sentence", "positive": "positive", "negative": "negative"},
        models=_models(run, judges),
        settings=[
            ("rule", f"a ≥ {alpha:g}, b ≤ {beta:g}"
             + ("" if gamma is None else f", a − b ≥ {gamma:g}") if judges else "all are kept"),
            ("strength ω of the noisy instruction", asked.get("omega")),
            ("triplets in a batch", asked.get("batch_size")),
            ("training", _length(asked)),
        ],
        unread=unread, left=first.most(), kept_cards=kept_sample.rows(),
        left_cards=left_sample.rows(),
    )  # fmt: skip
    if counts["judged"] < counts["whole"] and judges:
        found.left_title = "Left out, or not judged yet"
    found.left_note = (
        "A triplet may break several rules; it is counted once here, under the first in the order "
        "blank, unread, α, β, γ. In all, "
        + "; ".join(f"{count:,}: {reason}" for reason, count in every.items() if count) + "."
    ) if any(every.values()) else ""  # fmt: skip
    found.funnel = _funnel(run, counts, unread, first, rules, judges)
    found.key, found.look = _key(run, counts, texts, judges)
    if judges:
        for name, kind, bound in (("a", "positive", ("α", alpha)), ("b", "negative", ("β", beta))):
            found.pictures.append(findings.histogram(
                scores[name], ("kept", "left out"), xlabel=f"score {name} of the {kind}",
                ylabel="triplets", marks={f"{bound[0]} = {bound[1]:g}": bound[1]},
                what=f"the scores {name} of the {kind}s",
                caption=f"Scores {name}: how alike the judge finds the {kind} and the starting "
                f"sentence. {'At least' if name == 'a' else 'At most'} {bound[1]:g} was asked.",
            ))  # fmt: skip
        if gamma is not None:
            margins = {
                which: np.subtract(scores["a"][which], scores["b"][which])
                for which in scores["a"]
            }  # fmt: skip
            found.pictures.append(findings.histogram(
                margins, ("kept", "left out"), xlabel="a − b", ylabel="triplets",
                marks={f"γ = {gamma:g}": gamma}, what="the differences a − b",
                caption="The difference of the two scores: the judge must tell the positive from "
                f"the negative by {gamma:g} or more.",
            ))  # fmt: skip
    found.pictures = [one for one in found.pictures if one is not None]
    found.curves = findings.training_curves(run, {"": "encoder"})
    sts, before = run.csv("sts.csv"), run.csv("before.csv")
    if sts is not None:
        found.examination.append(_examination(run, sts, before))
        mark, said = sts["spearman"].mean(), "Spearman after training, average"
        if before is not None:
            said += f"; {before['spearman'].mean():.1f} before"
            if mark < before["spearman"].mean():
                found.look.append(f"STS is worse after the training than before: {mark:.1f} "
                                  f"against {before['spearman'].mean():.1f}.")  # fmt: skip
        found.key.append((f"{mark:.1f}", said))
    return found


def _examination(run, sts, before):
    """Marks after the training, and before it where the encoder knew sentences already."""
    columns, note = ["after"], (
        "The encoder was not examined as it was before. The command evaluate examines "
        f"{run.model('encoder')} by itself, if it is a sentence encoder."
    )
    marks = pd.DataFrame({"after": sts["spearman"].astype(float)})
    if before is not None:
        marks.insert(0, "before", before["spearman"].astype(float))
        marks["gain"] = marks["after"] - marks["before"]
        columns = ["before", "after", "gain"]
        note = f"Before: {run.model('encoder')} as it was, on the same pairs."
    lines = [(task, int(pairs), *row) for task, pairs, row in
             zip(sts["task"], sts["pairs"], marks.to_numpy().tolist(), strict=True)]  # fmt: skip
    if len(lines) > 1:
        lines.append(("average", None, *marks.mean().tolist()))
    if before is not None:
        lines = [(*line[:-1], signed(line[-1])) for line in lines]
    caption = "The trained encoder: Spearman, percent"
    return Table(caption, ["set", "pairs", *columns], lines, note)


def _frames(run):
    """Rows with reason ("" where written), a, b, judged, and kept (None where not decided)."""
    refused = {reject["text"] for reject in run.rejects() if reject.get("where") == "generation"}
    if run.has("triplets.parquet"):
        for frame in run.tables("triplets.parquet"):
            blank = (frame["positive"] == "") & (frame["negative"] == "")
            never = blank & frame["anchor"].isin(refused)
            yield _complete(frame.assign(reason=np.where(never, "refused", "")), True)
        return
    judged = dict(run.shards("judged"))  # scores alone: sixteen bytes a row
    for shard, frame in run.shards("written"):
        scores = judged.get(shard)
        if scores is not None:
            frame = frame.assign(a=scores["a"].to_numpy(), b=scores["b"].to_numpy())
        yield _complete(frame, scores is not None)


def _complete(frame, judged):
    for name in "ab":
        if name not in frame:
            frame[name] = np.nan
    if "kept" not in frame:
        frame["kept"] = None
    return frame.assign(judged=judged)


def _broken(frame, alpha, beta, gamma, judges):
    """Which rules each row breaks: bool array [rows, 2 + rules]."""
    a, b = (pd.to_numeric(frame[name]).to_numpy(float) for name in "ab")
    texts = frame[["anchor", "positive", "negative"]].map(reading.tidy)
    blank = (texts == "").any(axis=1).to_numpy()
    none = np.zeros(len(frame), dtype=bool)
    rules = [none, none, none]
    if judges:
        rules = [np.isnan(a) | np.isnan(b), a < alpha, b > beta]
    if gamma is not None:
        rules.append(~(a >= b + gamma) & ~np.isnan(a + b) if judges else none)
    return np.stack([blank, *rules], axis=1)


def _card(one, reason=None):
    card = [("start", quoted(one["anchor"])), ("positive", quoted(one["positive"])),
            ("negative", quoted(one["negative"]))]  # fmt: skip
    if not np.isnan(one["a"]) or not np.isnan(one["b"]):
        card.append(("scores", f"a = {number(one['a'])}, b = {number(one['b'])}"))
    return card + ([("state" if reason == WAITS else "left out", reason)] if reason else [])


def _joined(one):
    texts = " / ".join(one[kind].strip() or "(blank)" for kind in ("positive", "negative"))
    score = "" if np.isnan(one["a"]) else f" (a = {one['a']:.2f}, b = {one['b']:.2f})"
    return f"{one['anchor']} → {texts}{score}"


def _judge(asked, judges):
    """Who has scored, as a sentence goes on."""
    if not judges:
        return "Nobody scored"
    return "An NLI model scored" if asked.get("scoring") == "nli" else "A language model scored"


def _models(run, judges):
    asked = run.asked
    judge = run.model("judge" if asked.get("scoring") == "nli" else "generator")
    models = [("writes", f"another model, read from {asked['source']}" if asked.get("no_logits")
               else run.model("generator"))]  # fmt: skip
    if judges and (not asked.get("no_logits") or run.has("judged")):
        models.append(("judges", judge))
    elif judges:
        models.append(("judges", "scores came with the triplets"))
    models.append(("trained encoder, begins as", run.model("encoder")))
    if 3 in run.asked["stages"] or run.asked.get("backbone") == "rank":
        models.append(("finds false negatives (guide)", run.model("guide")))
    return models


def _length(asked):
    if asked.get("max_steps"):
        return f"{asked['max_steps']:,} steps"
    return f"{asked['epochs']:g} passes" if asked.get("epochs") else None


def _funnel(run, counts, unread, first, rules, judges):
    lost = sum(loss.count for loss in unread)
    taken = run.sentences
    funnel = []
    if taken is not None:
        given = taken + sum(loss.count for loss in findings.unread(
            run, 0, lambda reject: reject.get("where") != "generation"))  # fmt: skip
        funnel = [("lines and sentences given" if lost else "sentences given", given)]
        if given != taken:
            funnel.append(("sentences that can be read", taken))
    funnel.append(("triplets written", counts["written"]))
    funnel.append(("both texts are there", counts["whole"]))
    if judges and counts["judged"]:
        left = counts["judged"]
        if left < counts["whole"]:
            funnel.append(("judged so far", left))
        names = ("scores read", "a is high enough (α)", "b is low enough (β)", "a and b differ (γ)")
        for reason, said in zip((UNREAD, *rules), names, strict=False):
            left -= first.held[reason].count if reason in first.held else 0
            funnel.append((said, left))
    decided = run.has("triplets.parquet")
    funnel.append(("kept" if decided else "would be kept, so far", counts["kept"]))
    trained = run.json("report.json").get("trained_on")
    if trained and trained != counts["kept"]:
        funnel.append(("trained on, labelled triplets included", trained))
    return funnel


def _key(run, counts, texts, judges):
    written, kept = counts["written"], counts["kept"]
    key = [(number(written), "triplets written"), (f"{kept:,}", f"kept ({share(kept, written)})")]
    look = []
    for kind in ("positive", "negative"):
        column = texts.whole(kind)
        if column.texts and column.copies >= 0.1 * column.texts:
            left = texts.columns[True, kind].copies
            look.append(
                f"{share(column.copies, column.texts)} of the {kind}s only repeat their starting "
                f"sentence (more than 10 %); {left:,} of them were kept."
            )
        if column.texts and column.repeated >= 0.2 * column.texts:
            look.append(
                f"{share(column.repeated, column.texts)} of the {kind}s equal one that was written "
                "before (more than 20 %): the model may be saying the same of everything."
            )
    if judges and counts["judged"] and kept < 0.2 * counts["judged"]:
        look.append(f"Only {share(kept, counts['judged'])} of what was judged was kept (less than "
                    "20 %): writer, judge or thresholds do not go together.")  # fmt: skip
    batch = run.asked.get("batch_size") or 0
    if run.has("triplets.parquet") and kept < 3 * batch:
        look.append(f"{kept:,} triplets are fewer than three batches of {batch:,}: the encoder "
                    "can hardly have learned from them.")  # fmt: skip
    return key, look
