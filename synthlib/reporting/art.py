"""What a run of ART has left: rounds of candidates, and what an NLI model accepted of them."""

from __future__ import annotations

import pandas as pd

from synthlib import curation
from synthlib.reporting import findings
from synthlib.reporting.findings import Findings, Losses, Table
from synthlib.reporting.page import number, quoted, share
from synthlib.reporting.texts import Sample, Texts
from synthlib.runs.folder import RAW, Run, mean
from synthlib.runs.folder import said_round as _said

KINDS = ("positive", "negative")
PURPOSE = (
    "A language model that writes training sentences was itself trained, by reinforcement "
    "learning (PPO): it was rewarded where a judge, an NLI model, believed that its sentence "
    "follows from the starting sentence (a positive) or contradicts it (a negative), and where the "
    "encoder finds that sentence hard. Then it wrote several candidates for each starting "
    "sentence, the judge let through what it believed, and the encoder was trained on that. This "
    "was repeated in rounds. The control is the same model before its training, through the same "
    "judge."
)
WORDS = [
    ("starting sentence", "a sentence of the data; papers call it the anchor"),
    ("candidate", "one of the texts that were written for a starting sentence"),
    ("accepted", "the judge's most probable label is the one that was asked for, and the text is "
     "no copy"),
    ("cosine", "similarity of two sentences by the encoder, from −1 to 1: a positive is hard where "
     "it is low, a negative where it is high"),
    ("Ω, α⁺, α⁻", "bounds of the reward: from which probability a text counts as right, from which "
     "cosine a positive, and up to which a negative, is rewarded"),
    ("KL", "how far the tuned model has moved away from what it was"),
    findings.EXAMINATION,
]  # fmt: skip
BLANK, COPY = "blank", "it repeats its starting sentence"
LABEL = "the judge finds another label more probable"


def find(run: Run, size: int, seed: int) -> Findings:
    """Count the candidates of all rounds; the texts are those of the last one that wrote any."""
    asked, rounds, names = run.asked, int(run.asked["rounds"]), run.rounds
    wrote = [name for name in names if run.count(f"{name}/candidates")]
    tuned = [name for name in wrote if name != RAW]
    shown = (tuned or wrote or [None])[-1]
    counted = {name: _Round(run, name, size if name == shown else 0, seed) for name in wrote}
    last = counted.get(shown)
    found = Findings(
        title="ART: a writer tuned to teach an encoder",
        purpose=PURPOSE, steps=run.steps(), words=WORDS,
        texts=last.texts if last else Texts(KINDS),
        kinds={
            "anchor": "starting sentence (kept: with accepted texts of both kinds)",
            "positive": "positives (kept: accepted)", "negative": "negatives (kept: accepted)",
        },
        models=[
            ("writes, and is tuned", run.model("generator")),
            ("judges (NLI)", run.model("discriminator")),
            ("encoder that is to be improved", run.model("encoder")),
        ],
        settings=[
            ("rounds", rounds), ("starting sentences a round", asked.get("anchors")),
            ("candidates of each kind", asked.get("candidates")),
            ("steps of PPO a round", asked.get("ppo_steps")),
            ("triplets in a batch", asked.get("encoder_batch_size")),
        ],
        unread=findings.unread(run, seed),
    )  # fmt: skip
    if last:
        found.left, found.kept_cards = last.losses.most(), last.kept.rows()
        found.left_cards = last.left.rows()
        found.left_note = f"Of the candidates of {_said(shown)}."
        found.funnel = _funnel(run, found.unread, last, shown)
        found.pictures = _pictures(run, shown, last)
        found.tables.append(_rounds_table(counted))
        found.key = [
            (f"{sum(one.written for one in counted.values()):,}", "texts written in all"),
            (f"{last.triplets:,}", f"triplets of {_said(shown)}"),
        ]
        found.look = _look(run, counted, shown)
    found.tables += _bounds_table(run, names)
    found.curves = _tuning(run, tuned) + findings.training_curves(
        run, {name: _said(name) for name in names}
    )
    _examine(run, found)
    return found


class _Round:
    """The candidates of a round, or of the control, counted in one pass."""

    def __init__(self, run, name, size, seed):
        self.written = self.blank = self.copied = self.anchors = self.usable = 0
        self.accepted, self.asked = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
        self.cosine = {kind: {"accepted": [], "not accepted": []} for kind in KINDS}
        self.p = {kind: [] for kind in KINDS}
        self.texts, self.losses = Texts(KINDS), Losses(seed)
        self.kept, self.left = Sample(size, seed), Sample(size, seed)
        self.triplets = run.count(f"{name}/triplets.parquet")
        row = 0
        for part in ("candidates", "more"):
            for shard, frame in run.shards(f"{name}/{part}"):
                place = f"{name}/{part}, shard {shard}"
                copies = curation.copies(frame["anchor"], frame["text"])
                for _, group in frame.assign(copy=copies).groupby("row", sort=False):
                    self._anchor(group.to_dict("records"), row, place)
                    row += len(group)

    def _anchor(self, rows, at, place):
        """The candidates for one starting sentence."""
        best = {}
        for one in sorted(rows, key=lambda one: one["candidate"]):
            if one["accepted"]:
                best.setdefault(one["kind"], one)
        keep = len(best) == len(KINDS)
        anchor = rows[0]["anchor"]
        self.anchors += 1
        self.usable += keep
        self.texts.add(keep, anchor)
        for one in rows:
            self.texts.add_text(bool(one["accepted"]), one["kind"], one["text"], anchor)
        if keep:
            self.kept.offer(at, [("start", quoted(anchor))] + [
                pair for kind in KINDS for pair in
                ((kind, quoted(best[kind]["text"])), (f"{kind}'s scores", _scores(best[kind])))
            ])  # fmt: skip
        for i, one in enumerate(rows):
            kind, why = one["kind"], _why(one)
            self.written += 1
            self.asked[kind] += 1
            self.accepted[kind] += bool(one["accepted"])
            self.blank += why == BLANK
            self.copied += why == COPY
            if why != BLANK:
                side = "accepted" if one["accepted"] else "not accepted"
                self.cosine[kind][side].append(one.get("similarity", float("nan")))
                self.p[kind].append(one["p"])
            if why is None:
                continue
            label = f"{kind}: {why}"
            text = f"{anchor} → {one['text'] or '(blank)'} ({_scores(one)})"
            self.losses.add(label, at + i, f"{place}, starting sentence {one['row'] + 1:,}", text)
            self.left.offer(at + i, [
                ("start", quoted(anchor)), (kind, quoted(one["text"])), ("scores", _scores(one)),
                ("left out", why),
            ])  # fmt: skip


def _why(one):
    if one["accepted"]:
        return None
    if not one["text"].strip():
        return BLANK
    return COPY if one["copy"] else LABEL


def _scores(one):
    said = f"probability {number(float(one['p']))}"
    if "similarity" in one:
        said += f", cosine {number(float(one['similarity']))}"
    return said


def _funnel(run, unread, last, shown):
    lost, funnel = sum(loss.count for loss in unread), []
    if run.sentences is not None:
        funnel.append(("sentences given", run.sentences + lost))
        if lost:
            funnel.append(("sentences that can be read", run.sentences))
    return [
        *funnel,
        (f"starting sentences of {_said(shown)}", last.anchors),
        ("with an accepted positive and an accepted negative", last.usable),
        ("triplets that the encoder was trained on", last.triplets),
    ]


def _rounds_table(counted):
    rows = [
        (_said(name), one.written, share(one.blank, one.written), share(one.copied, one.written),
         *(share(one.accepted[kind], one.asked[kind]) for kind in KINDS), one.triplets,
         *(mean(one.cosine[kind]["accepted"]) for kind in KINDS))
        for name, one in counted.items()
    ]  # fmt: skip
    return Table(
        "What was written and accepted, by round",
        ["", "texts", "blank", "copies", "positives accepted", "negatives accepted", "triplets",
         "cosine of accepted positives", "cosine of accepted negatives"],
        rows,
        "Cosines are of the encoder that the round began with, so they are compared along a row "
        "with care; the control is seen by the first encoder. A lower cosine of positives and a "
        "higher one of negatives is harder.",
    )  # fmt: skip


def _bounds_table(run, names):
    rows = []
    for name in names:
        bounds = run.json(f"{name}/bounds.json")
        if bounds:
            rows.append((_said(name), *(
                float(bounds[key]) for key in ("lower_bound", "positive_bound", "negative_bound")
            )))  # fmt: skip
    if not rows:
        return []
    return [Table("Bounds of the reward", ["", "Ω", "α⁺", "α⁻"], rows)]


def _pictures(run, shown, last):
    bounds, made = run.json(f"{shown}/bounds.json"), []
    for kind, key, sign, hard in (
        ("positive", "positive_bound", "α⁺", "low"), ("negative", "negative_bound", "α⁻", "high"),
    ):  # fmt: skip
        made.append(findings.histogram(
            last.cosine[kind], ("accepted", "not accepted"), ylabel="candidates",
            xlabel=f"cosine of {kind} and starting sentence",
            marks=_mark(sign, bounds.get(key)),
            what=f"the cosines of the {kind}s of {_said(shown)}",
            caption=f"How near the encoder sees the {kind}s of {_said(shown)}; those on the "
            f"{hard} side are hard, and teach it something. Marked: "
            f"{', '.join(_mark(sign, bounds.get(key))) or 'nothing'}.",
        ))  # fmt: skip
    made.append(findings.histogram(
        {f"{kind}s": last.p[kind] for kind in KINDS}, ("positives", "negatives"),
        xlabel="probability of the label asked for", ylabel="candidates",
        marks=_mark("Ω", bounds.get("lower_bound")),
        what=f"the judge's probabilities for the texts of {_said(shown)}",
        caption="What the judge believes: the probability that it gives to the label that was "
        "asked for.",
    ))  # fmt: skip
    return [one for one in made if one is not None]


def _mark(sign, value):
    """A bound by what it is called in a picture; none for the control."""
    return {} if value is None else {f"{sign} = {value:.2f}": value}


def _tuning(run, tuned):
    logs = [
        log.assign(which=_said(name)) for name in tuned
        if (log := run.csv(f"{name}/log.csv")) is not None
    ]  # fmt: skip
    if not logs:
        return []
    table, made = pd.concat(logs, ignore_index=True), []
    if "step" not in table:
        table["step"] = table.groupby("which", sort=False).cumcount() + 1
    for column, said, caption in (
        ("reward", "reward", "What PPO earned, step by step: it should rise."),
        ("kl", "KL", "How far the tuned writer has moved from what it was. A steep rise with odd "
         "texts is a writer that has found a way to cheat its judge."),
    ):  # fmt: skip
        if column in table:
            made.append(findings.lines(
                table, "step", column, series="which" if len(logs) > 1 else None, xlabel="step",
                ylabel=said, caption=caption, what=f"the {said} of PPO by step",
            ))  # fmt: skip
    return [one for one in made if one is not None]


def _look(run, counted, shown):
    last, look = counted[shown], []
    for kind in KINDS:
        if last.asked[kind] and last.accepted[kind] < 0.2 * last.asked[kind]:
            look.append(
                f"The judge accepts only {share(last.accepted[kind], last.asked[kind])} of the "
                f"{kind}s of {_said(shown)} (less than 20 %)."
            )
    if last.copied >= 0.1 * last.written:
        look.append(f"{share(last.copied, last.written)} of the texts of {_said(shown)} only "
                    "repeat their starting sentence (more than 10 %).")  # fmt: skip
    for kind in KINDS:
        column = last.texts.whole(kind)
        if column.texts and column.repeated >= 0.5 * column.texts:
            look.append(
                f"{share(column.repeated, column.texts)} of the {kind}s of {_said(shown)} equal "
                "one that was written before (more than half): candidates are few in truth."
            )
    return look


def _examine(run, found):
    results = run.csv("results.csv")
    parts = []
    if results is not None:
        results["round"] = results["round"].astype(str)
        parts = [(name, part) for name, part in results.groupby("round", sort=False)]
    else:
        for name in ["round-0", *(f"round-{k}" for k in range(1, 1 + int(run.asked["rounds"]))),
                     RAW]:  # fmt: skip
            table = run.csv(f"{name}/sts.csv")
            if table is not None:
                parts.append((name.removeprefix("round-"), table))
    if not parts:
        return
    tasks = list(parts[0][1]["task"])
    rows, means = [], {}
    for name, part in parts:
        marks = [float(mark) for mark in part["spearman"]]
        means[name] = sum(marks) / len(marks)
        said = {"0": "before", RAW: "control"}.get(name, f"after round {name}")
        rows.append((said, *marks, *([means[name]] if len(tasks) > 1 else [])))
    found.examination.append(Table(
        "Encoders before, after each round, and of the control: Spearman, percent",
        ["", *tasks, *(["average"] if len(tasks) > 1 else [])], rows,
        "The control wrote as many texts with the untuned model, and what the same judge let "
        "through trained the first encoder: what a round has over it is owed to the tuning.",
    ))  # fmt: skip
    tuned = [name for name in means if name not in ("0", RAW)]
    if tuned:
        last = tuned[-1]
        found.key.append((f"{means[last]:.1f}", f"Spearman after round {last}, average"))
        if "0" in means:
            found.key.append((f"{means['0']:.1f}", "Spearman before, average"))
            if means[last] < means["0"]:
                found.look.append(f"The encoder is worse after round {last} than before: "
                                  f"{means[last]:.1f} against {means['0']:.1f}.")  # fmt: skip
        if RAW in means and means[last] <= means[RAW]:
            found.look.append(f"The tuned rounds are no better than the control: {means[last]:.1f} "
                              f"against {means[RAW]:.1f}.")  # fmt: skip
