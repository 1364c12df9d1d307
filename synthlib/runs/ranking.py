"""Ranking sentences from end to end: anchors → lists → similarities → encoder → tables.

`run` calls the stages of `ranking` one after another and keeps what each of them made in a
folder, so that an interrupted run goes on where it stopped and ends with the same bytes:

    run.json            what was asked for; another run in the same folder is refused
    anchors/            the sentences that k-means drew
    written/            the lists, in shards
    lists.parquet       all lists, with the reason for which one was dropped
    compared/           the teacher's similarities of the verified lists, in shards
    kept.parquet        the lists that are trained on, with a note of how they were made
    rejects.jsonl       what could not be used, with the reason
    training/           checkpoints, while the encoder is being post-trained
    encoder/            the post-trained encoder
    results.csv         STS, reranking and transfer, before and after
    report.json         counts
    journal.jsonl       time and memory of each step, what was said (not of a quiet run)

Source: He et al., Ranking sentences (2025), §§ 3 and 4.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from synthlib import commands, curation, data, decoding, endpoint, models, options, prompts
from synthlib.evaluation import examination
from synthlib.methods import ranking, served
from synthlib.runs import foreseen, frame, plans

POOL = 4_000  # captions of the pocket world among which anchors are drawn, at least

_SAVE_EVERY = 100  # steps between the checkpoints of the training
_TRIAL, _TRIAL_STEPS = 16, 3  # lists that a dry run tries (of a slow tier a shard), and sentences


# ------------------------------------------------------------------ what is asked for
@dataclass(frozen=True, kw_only=True)
class Plan(options.Ranking, plans.Planned):
    """All that decides a run, checked and complete; `make_plan` builds it."""

    @property
    def from_file(self) -> bool:
        """Whether the lists were written elsewhere."""
        return self.lists is not None


@options.taken(options.Ranking)
def make_plan(**given) -> Plan:
    """Check the options of `run` and fill in the tier's values.

    Raises
    ------
    ValueError
        For the first option that is out of its range, or that contradicts another.
    """
    asked, settings = plans.settle(options.Ranking, given)
    if asked.lists is not None and asked.premises is not None:
        raise ValueError("give premises to start lists from or a file with lists, not both")
    if asked.lists is not None and asked.anchors is not None:
        raise ValueError("anchors are drawn where lists are written: with a file there are none")
    if endpoint.is_served(settings.generator) and asked.lists is None:
        served.refuse_weight("lam", settings.lam if asked.method == "directional" else 0)
    fitted = ""
    if asked.n is not None:  # half of the sentences are anchors, for varied ones
        most = max(1, asked.n // (2 * settings.per_cluster))
        anchors = asked.anchors or min(most, settings.clusters) * settings.per_cluster
        # Verification leaves a part of the lists: a step is to take a quarter of them at most.
        settings, fitted = plans.fit(
            settings, vars(asked), clusters=most, lists_per_step=max(1, anchors // 4)
        )
    if asked.teacher == options.BASE:
        settings = dataclasses.replace(settings, teacher=settings.encoder)
    source = plans.source_of(asked, settings) if asked.lists is None else asked.lists
    which = examination.kind(settings.encoder, asked.data, source)
    select = asked.select or ("dev" if examination.selects(which, asked.data) else "last")
    return plans.complete(
        Plan, asked, settings, source=source, select=select, examination=which, fitted=fitted
    )


# ------------------------------------------------------------------ the run
@dataclass
class Result(frame.Result):
    """What a run has made.

    Attributes
    ----------
    folder : Path
    counts : dict
        sentences (to draw anchors from), anchors, rejected, written, dropped (reason to number of
        lists), kept, sentences_kept, steps, base_pooling; taken (what was taken off so many
        answers, in the forms that read them).
    table : DataFrame or None
        measure ("STS", "reranking", "transfer"), task, before, after, gain; percent.
    minutes : dict of str to float
        Of the steps that this call computed.
    """

    table: pd.DataFrame | None = None

    def lists(self):
        """All lists with the reason for which they were dropped ("" where kept), as a data set."""
        return data.load(self.folder / "lists.parquet")


@options.taken(options.Ranking)
def run(out, *, quiet=False, **given) -> Result:
    """Anchors → lists → verification → similarities → post-trained encoder → tables.

    Interrupted at any moment, the same call with the same folder goes on and ends with the same
    files, byte for byte. Several processes (`torchrun`, `accelerate launch`) share the shards,
    and the training where a step has a list for each.

    Parameters
    ----------
    {options}

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        For an option out of range; a folder with another run, or in use; fewer sentences than
        clusters; no list kept; NaN in the teacher's embeddings.
    OSError
        For a file or model that cannot be had, and a full disk.

    Source: Ranking sentences §§ 3 and 4, Appendices A and C.
    """
    work = _Work(make_plan(**given), quiet)
    return frame.carry_out(work, Result(Path(out).expanduser()), _report)


class _Work(frame.Work):
    """One call of `run`: the steps, and the models that they share, each loaded when needed."""

    order = options.RANKING_STEPS
    batch = "--lists-per-step"
    rest = "draws the anchors, trains and examines"
    made = {
        "compared": ["compared"],
        "kept": ["lists.parquet", "kept.parquet"],
        "trained": ["training", "encoder"],
        "evaluated": ["results.csv", "report.json"],
    }

    def __init__(self, plan: Plan, quiet: bool):
        super().__init__(plan, quiet)
        settings = plan.settings
        if plan.from_file:
            where = plan.source
            self.given, rejects = data.load_ranking_lists(plan.source)
            rejects = rejects.assign(file=plan.source)
            sentences = [text for row in self.given for text in row]
        else:
            where = "premises"
            pool = max(POOL, 4 * (plan.anchors or settings.clusters * settings.per_cluster))
            self.found, rejects = plans.distinct_sentences(
                plan, of_tier=pool if plan.source == "pocket" else None
            )
            sentences = list(self.found["sentence"])
            clusters = min(settings.clusters, plan.anchors or settings.clusters)
            if clusters > len(sentences):
                raise ValueError(
                    f"{clusters} clusters are more than the {len(sentences)} distinct "
                    f"sentences to draw anchors from (tier {plan.tier}): --sentences "
                    f"{len(sentences)} makes them fit; or give more sentences, or fewer "
                    "clusters (--clusters) or anchors (--anchors)"
                )
        self.begin_with(
            sentences, rejects, where, from_file=plan.from_file, rows=frame.digest_of(sentences)
        )

    def many(self) -> int:
        """Sentences to draw anchors from, or lists of a file."""
        return len(self.given if self.plan.from_file else self.sentences)

    def look(self):
        super().look()
        many, each = self.everyone.size, self.plan.lists_per_step
        if each % many and self.takes("trained"):
            raise ValueError(
                f"a step of {each} lists cannot be shared by {many} processes: write and verify "
                "together (--until kept), then give the same command to one process alone, or take "
                f"--lists-per-step {many}"
            )

    def matters(self, changed):
        step_of = super().matters(changed)
        if self.plan.from_file:  # else the base draws the anchors
            step_of |= {"encoder": "trained", "pooling": "compared"}
        return step_of

    # -------------------------------------------------------------- what examines
    @functools.cached_property
    def frames(self):
        plan = self.plan
        return examination.everything(plan.examination, plan.data, plan.rerank)

    def development_tasks(self):
        """STS-B, and SICK-R where its trial pairs are there."""
        folder = self.plan.data
        if folder is None:
            return ()
        sick = (Path(folder) / "SICK" / "SICK_trial.txt").is_file()
        return ("STS-B", "SICK-R") if sick else ("STS-B",)

    def sets(self) -> str:
        """What examines, in words; nothing is fetched for it."""
        plan = self.plan
        if plan.examination != examination.BY_NAME:
            return "; ".join(f"{k}: {', '.join(v)}" for k, v in self.frames.items())
        reranking = "" if plan.rerank is None else f"; reranking: {plan.rerank}"
        return f"STS: {examination.said(plan.examination)}{reranking}"

    # -------------------------------------------------------------- models
    def wanted(self) -> dict:
        """Role to the name of its model, for the models that this run takes."""
        plan = self.plan
        wanted = {"base": plan.base}
        if plan.mode != "rank":
            wanted["teacher"] = plan.teacher
        if not plan.from_file:
            wanted["generator"] = plan.generator
        return wanted

    @functools.cached_property
    def generator(self):
        return self.load_generator()

    @functools.cached_property
    def teacher(self):
        """φ: list of strings → array."""
        plan = self.plan
        return self.frozen("teacher", plan.pooling if plan.teacher == plan.base else None)

    def fresh(self):
        """The encoder to post-train, as it is before."""
        plan = self.plan
        encoder = models.load_encoder(plan.base, pooling=plan.pooling, device=plan.device)
        self.note(plan.base, encoder.tokenizer)
        return encoder

    # -------------------------------------------------------------- lists
    def written(self, result):
        plan, folder, counts = self.plan, result.folder, result.counts
        counts["sentences"] = len(self.sentences)
        if plan.from_file:
            self.table = pd.DataFrame({"sentences": self.given, "reason": ""})
            new = False
        else:
            drawn, _ = self.once(folder / "anchors", self._anchors)
            long = drawn.get("reason", pd.Series("", drawn.index)) != ""
            if long.any():
                rows = self.found.index[self.found["sentence"].isin(drawn["anchor"][long])]
                self.refuse(rows, decoding.TOO_LONG)
            anchors = list(drawn["anchor"][~long])
            self.table, new = self.in_shards(
                folder / "written", anchors, self._write, "list", [plan.generator]
            )
            self.table["sentences"] = [list(row) for row in self.table["sentences"]]
        counts |= self.table.attrs  # what was taken off the answers
        counts["anchors"] = len(self.table)
        counts["written"] = int((self.table["reason"] == "").sum())
        counts["sentences_written"] = sum(
            len(row) for row in self.table["sentences"][self.table["reason"] == ""]
        )
        return new

    def _anchors(self):
        """Anchors, of the sentences that the generator can read; with them those that it cannot."""
        fit = self._fits(self.sentences)
        sentences = [text for text, ok in zip(self.sentences, fit, strict=True) if ok]
        long = [text for text, ok in zip(self.sentences, fit, strict=True) if not ok]
        if len(sentences) < min(self.plan.settings.clusters, self.plan.anchors or math.inf):
            raise ValueError(
                f"{decoding.TOO_LONG} for {len(long)} of {len(self.sentences)} sentences, and the "
                f"{len(sentences)} others are fewer than the clusters: give shorter sentences, or "
                "lower --max-new-tokens or --clusters"
            )
        drawn = ranking.anchors(
            self.plan.settings, self.plan.anchors, self.plan.seed, sentences=sentences,
            encode=frame.encoding(self.fresh()),
        )  # fmt: skip
        reasons = [""] * len(drawn) + [decoding.TOO_LONG] * len(long)
        return pd.DataFrame({"anchor": [*drawn, *long], "reason": reasons})

    def _fits(self, sentences):
        """Which sentences' prompts leave the generator room for an answer."""
        plan, settings = self.plan, self.plan.settings
        form = prompts.form_of(*self.generator)
        asked = [_request(text, plan.method, form) for text in sentences]
        room = settings.max_new_tokens * (settings.steps if plan.method == "at_once" else 1)
        return decoding.fits(self.generator, asked, room)

    def _write(self, part, start):
        plan, settings = self.plan, self.plan.settings
        fit, taken = self._fits(part), Counter()
        write = served.write_lists if endpoint.is_served(plan.generator) else ranking.write
        written = write(
            self.generator, [text for text, ok in zip(part, fit, strict=True) if ok],
            plan.method, lam=settings.lam, temperature=settings.temperature,
            steps=settings.steps, seed=_seed(plan.seed, start),
            max_new_tokens=settings.max_new_tokens, batch_size=plan.generation_batch, taken=taken,
        )  # fmt: skip
        lists = iter(written)
        table = pd.DataFrame({
            "row": range(start, start + len(part)),
            "sentences": [next(lists) if ok else [x] for x, ok in zip(part, fit, strict=True)],
            "reason": np.where(fit, "", decoding.TOO_LONG),
        })  # fmt: skip
        if prompts.form_of(*self.generator) not in prompts.FORMS:
            table.attrs["taken"] = dict(taken)
        return table

    def kept(self, result):
        plan, folder, counts = self.plan, result.folder, result.counts
        self.let_go("generator")
        steps = None if plan.from_file else plan.settings.steps
        reasons = [
            reason or curation.verify_ranking_list(row, steps=steps) or ""
            for row, reason in zip(self.table["sentences"], self.table["reason"], strict=True)
        ]
        rows = [row for row, why in zip(self.table["sentences"], reasons, strict=True) if not why]
        self.table["reason"] = reasons
        self._refuse_nothing(rows, result)
        new = False
        if plan.mode == "rank":  # the order of the list is all that counts
            self.phi = [np.zeros((len(row), len(row)), np.float32) for row in rows]
        else:
            found, new = self.in_shards(
                folder / "compared", rows, self._compare, "list", [plan.teacher]
            )
            self.phi = [np.reshape(one, (len(row), len(row))) for one, row in
                        zip(found["phi"], rows, strict=True)]  # fmt: skip
            alike = [_alike(one, plan.scale) for one in self.phi]
            places = iter(alike)
            self.table["reason"] = [
                why or (curation.ALIKE if next(places) else "") for why in reasons
            ]
            rows, self.phi = (
                [one for one, same in zip(both, alike, strict=True) if not same]
                for both in (rows, self.phi)
            )
            self._refuse_nothing(rows, result)
        self.rows = rows
        dropped = Counter(why for why in self.table["reason"] if why)
        counts["dropped"] = dict(sorted(dropped.items()))
        counts["kept"], counts["sentences_kept"] = len(rows), sum(map(len, rows))
        self._save(result)
        return new

    def _compare(self, rows, start):
        try:
            phi = ranking.teacher_similarities(self.teacher, rows, scale=self.plan.scale)
        except ValueError as error:
            raise ValueError(f"the teacher {self.plan.settings.teacher}: {error}") from None
        return pd.DataFrame({"phi": [one.ravel() for one in phi]})

    def _refuse_nothing(self, rows, result):
        if rows:
            return
        self._save(result)
        (why, most), *_ = Counter(self.table["reason"]).most_common()
        raise ValueError(
            f"none of {len(self.table)} lists was kept; most were dropped because: {why} ({most}). "
            f"The lists are in {result.folder / 'lists.parquet'}"
        )

    def _save(self, result):
        if self.everyone.rank:
            return
        folder, counts = result.folder, result.counts
        origin = data.origin_of("ranking", settings=self.identity, counts=dict(counts))
        rows, reasons = self.table["sentences"], list(self.table["reason"])
        lists = data.ranking_lists(list(rows), origin=origin).add_column("reason", reasons)
        data.save(lists, folder / "lists.parquet")
        counts["rejected"] = len(self.rejects)
        dropped = [place for place, why in enumerate(reasons) if why]
        self.keep_rejects(pd.DataFrame({
            "file": "lists.parquet", "line": [place + 1 for place in dropped],
            "reason": [reasons[place] for place in dropped],
            "text": [rows[place][0] for place in dropped], "where": "lists",
        }))  # fmt: skip
        kept = [row for row, why in zip(rows, reasons, strict=True) if not why]
        if kept:
            data.save(data.ranking_lists(kept, origin=origin), folder / "kept.parquet")

    # -------------------------------------------------------------- post-training
    def trained(self, result):
        plan, settings, folder = self.plan, self.plan.settings, result.folder
        per_step = settings.lists_per_step
        if len(self.rows) < per_step:
            raise ValueError(
                f"{len(self.rows)} lists were kept, fewer than the {per_step} of one step: lower "
                f"--lists-per-step to {len(self.rows)} in the same folder, or start from more "
                "--anchors in another"
            )

        def train():
            wanted = ranking.targets(self.phi, settings.omega, variant=plan.variant, mode=plan.mode)
            base = self.fresh()
            ranking.post_train(
                base, self.rows, wanted, settings, seed=plan.seed, precision=plan.precision,
                dev=self.development, output_dir=folder / "training", save_steps=_SAVE_EVERY,
                progress=self.progress,
            )  # fmt: skip
            return base

        new = self.train_in(folder, train, self.fresh)
        result.counts["steps"] = _steps(settings, len(self.rows))
        return new

    # -------------------------------------------------------------- evaluation
    def evaluated(self, result):
        def examine(encoder):
            encode = frame.encoding(encoder)
            return examination.examine(encode, self.frames, progress=self.progress)

        def before_and_after():
            after = result.encoder(self.plan.device)
            table = examine(self.fresh()).rename(columns={"mark": "before"})
            table["after"] = examine(after)["mark"]
            table["gain"] = table["after"] - table["before"]
            return table

        file = result.folder / "results.csv"
        new = self.table_in(file, before_and_after)
        result.table = pd.read_csv(file)
        return new

    # -------------------------------------------------------------- before minutes are lost
    def outlook(self) -> list[str]:
        plan, s, n = self.plan, self.plan.settings, self._most_lists()
        if plan.from_file:
            lines = [f"lists      {n:,} from {plan.source}"]
        else:
            how = f"λ = {s.lam:g}, " if plan.method == "directional" else ""
            lines = [
                f"anchors    at most {n:,} of {len(self.sentences):,} sentences, by k-means",
                f"to write   {n:,} lists of {s.steps} sentences, {plan.method}, {how}"
                f"temperature {s.temperature:g}",
            ]
        if self.takes("trained") and n < s.lists_per_step:
            raise ValueError(
                f"{n:,} lists are fewer than the {s.lists_per_step:,} of one step: lower "
                "--lists-per-step, or start from more --anchors"
            )
        lines.append(f"target     {plan.mode}, ω = {s.omega}, similarities × {plan.scale:g}")
        if self.takes("trained"):
            steps = _steps(s, n)
            lines.append(f"to train   at most {steps:,} steps; {plan.select} weights kept")
        return [*lines, foreseen.said_end(self)]

    def _most_lists(self) -> int:
        plan, s = self.plan, self.plan.settings
        return self.many() if plan.from_file else plan.anchors or s.clusters * s.per_cluster

    def requests(self):
        plan, s = self.plan, self.plan.settings
        if plan.from_file or not endpoint.is_served(plan.generator):
            return 0, [], 0
        form = foreseen.messages(**plans.examples_of(vars(plan)))
        asked = [_request(text, plan.method, form) for text in self.sentences[:_TRIAL]]
        each, texts = (1, s.steps) if plan.method == "at_once" else (s.steps, 1)
        return self._most_lists() * each, asked, texts * s.max_new_tokens

    def estimate(self) -> list[str]:
        plan, s, n = self.plan, self.plan.settings, self._most_lists()
        seconds, longer = {}, 1
        if plan.from_file:
            lists = self.given[:_TRIAL]
        else:
            anchors = self.sentences[: min(_TRIAL, n, plan.shard_size)]
            some = min(_TRIAL_STEPS, s.steps)
            longer = s.steps / some
            lists, spent = foreseen.timed(
                ranking.write, self.generator, anchors, plan.method, lam=s.lam, steps=some,
                max_new_tokens=s.max_new_tokens, batch_size=plan.generation_batch,
            )  # fmt: skip
            seconds["writing"] = spent * n / len(anchors) * longer
            lists = [row for row in lists if len(row) > 1]
        if lists and self.takes("trained"):
            size = min(s.lists_per_step, _TRIAL)
            wanted = ranking.targets(
                [np.zeros((len(row), len(row)), np.float32) for row in lists], mode="rank"
            )

            def train(encoder, few):
                rows = [lists[i % len(lists)] for i in range(few * size)]
                goals = [wanted[i % len(lists)] for i in range(few * size)]
                ranking.post_train(
                    encoder, rows, goals, dataclasses.replace(s, lists_per_step=size), epochs=1,
                    precision=plan.precision, progress=False,
                )  # fmt: skip

            spent = foreseen.step_seconds(train, self.fresh) * _steps(s, n) * longer
            seconds["training"] = spent * s.lists_per_step / size
        return foreseen.said_estimate(self, seconds, f"{len(lists)} lists")


def _steps(settings, lists: int) -> int:
    """Steps of a training on so many lists."""
    return math.ceil(settings.epochs * (lists // settings.lists_per_step))


def _request(text, method, form) -> str:
    """The prompt for a list, or for its next sentence."""
    ask = prompts.rewriting if method == "at_once" else prompts.rewriting_by_example
    return ask(text, method, form=form)


def _alike(phi, scale) -> bool:
    """Whether a teacher finds all pairs of a list equally similar, so that nothing is ranked."""
    others = phi[~np.eye(len(phi), dtype=bool)]
    return len(phi) > 2 and bool(np.ptp(others) <= 1e-5 * scale)


def _seed(seed, start) -> int:
    """Of sampling in the shard that begins with row `start`."""
    return int(np.random.SeedSequence((seed, start)).generate_state(1)[0])


# ------------------------------------------------------------------ what is said
def _report(plan, result) -> str:
    counts, folder = result.counts, result.folder
    if plan.from_file:
        lines = [f"lists      {counts['anchors']:,} from {plan.source}"]
    else:
        lines = [f"anchors    {counts['anchors']:,} from {counts['sentences']:,} sentences"]
        lines.append(
            f"written    {counts['written']:,} lists, {counts['sentences_written']:,} sentences"
        )
        lines += frame.said_taken(counts)
    lines[0] += frame.said_rejected(result)
    if "kept" in counts:
        for why, n in sorted(counts["dropped"].items(), key=lambda item: -item[1]):
            lines.append(f"dropped    {n:>7,}  {why}")
        lines.append(frame.said_kept(result, "anchors"))
    if "steps" in counts:
        lines.append(f"trained    {counts['steps']:,} steps: {folder / 'encoder'}")
    lines += frame.said_minutes(result)
    if result.table is not None:
        titles = {
            "STS": "STS: Spearman, percent", "reranking": "reranking: mean average precision",
            "transfer": "transfer: accuracy, percent",
        }  # fmt: skip
        for measure, part in result.table.groupby("measure", sort=False):
            part = frame.with_average(
                part.drop(columns="measure"), ["before", "after", "gain"]
            )
            part["gain"] = [f"{value:+.2f}" for value in part["gain"]]
            text = part.to_string(index=False, float_format="{:.2f}".format)
            lines += ["", f"{titles[measure]} ({folder / 'results.csv'})", text]
    return "\n".join(lines)


# ------------------------------------------------------------------ the command line
@options.taken(options.Ranking)
def describe(out, **given) -> str:
    """What `run` would do with these options: see `foreseen.describe`."""
    return foreseen.describe(_Work(make_plan(**given), quiet=True), out)


def main(argv=None) -> int:
    """``python -m synthlib run ranking``."""
    return frame.command(commands.ranking(), run, describe, argv)
