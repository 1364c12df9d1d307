"""MultiCSR from end to end: premises → generated pairs → scores → kept triplets → encoder → STS.

`run` calls the stages of `multicsr` one after another and keeps what each of them made in a
folder, so that an interrupted run goes on where it stopped and ends with the same bytes:

    run.json            what was asked for; another run in the same folder is refused
    written/ judged/    stages 1 and 2, in shards
    triplets.parquet    all triplets with their scores and whether they were kept
    kept.parquet        those that were kept, with a note of how they were made
    rejects.jsonl       what could not be used, with the reason
    training/           checkpoints, while the encoder is being trained
    encoder/            the trained encoder
    sts.csv             its evaluation
    before.csv          that of the encoder as it was, if it was a sentence encoder already
    report.json         counts
    journal.jsonl       time and memory of each step, what was said (not of a quiet run)

Source: MultiCSR (Wang et al., 2024), § 3; supervised setting and demonstrations: Appendix G.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from synthlib import (
    commands,
    curation,
    data,
    decoding,
    endpoint,
    evaluation,
    judging,
    memory,
    models,
    options,
    prompts,
    tiers,
)
from synthlib.evaluation import examination
from synthlib.evaluation.embedding import unit_rows
from synthlib.methods import multicsr, served
from synthlib.runs import foreseen, frame, named, plans

STAGES = (1, 2, 3)

_SAVE_EVERY = 100  # steps between the checkpoints of the training
_TRIAL = 32  # premises that a dry run tries, at most: of a slow tier a shard


# ------------------------------------------------------------------ what is asked for
@dataclass(frozen=True, kw_only=True)
class Plan(options.MultiCSR, plans.Planned):
    """All that decides a run, checked and complete; `make_plan` builds it."""

    thresholds: curation.Thresholds
    nli_rows: int
    text_will_do: bool  # as scores, where an API gives no log-probabilities


@options.taken(options.MultiCSR)
def make_plan(**given) -> Plan:
    """Check the options of `run` and fill in the tier's values.

    Raises
    ------
    ValueError
        For the first option that is out of its range, or that contradicts another.
    """
    asked, settings = plans.settle(options.MultiCSR, given)
    no_logits, n = asked.no_logits, asked.n
    stages = asked.stages
    if stages is None:
        stages = (2, 3) if no_logits else STAGES
    stages = tuple(sorted(set(stages)))
    if not set(stages) <= set(STAGES):
        raise ValueError(f"stages are among 1, 2, 3, got {', '.join(map(str, stages))}")
    if no_logits and 1 in stages:
        raise ValueError(
            "stage 1 needs a generator's logits: with triplets from a file the stages are 2 and 3"
        )
    if no_logits and asked.premises is not None:
        raise ValueError("give premises to write from or a file with triplets, not both")
    if endpoint.is_served(settings.generator):
        _refuse_what_needs_logits(asked, settings, stages)
    if asked.gamma == options.NO_GAMMA:
        settings = dataclasses.replace(settings, gamma=None)
    thresholds = curation.Thresholds(settings.alpha, settings.beta, settings.gamma)
    if asked.judge is not None and settings.scoring != "nli":
        raise ValueError(
            f"the judge {asked.judge} is for scoring nli, and the scoring is {settings.scoring}: "
            "give --scoring nli too, or leave --judge out"
        )
    if asked.epochs is not None or asked.max_steps is not None:
        if asked.epochs is not None and asked.max_steps is not None:
            raise ValueError("give epochs or max_steps, not both")
        length = asked.epochs and float(asked.epochs)
        settings = dataclasses.replace(settings, epochs=length, max_steps=asked.max_steps)
    if asked.pooling is not None and (asked.backbone == "prompt") != (asked.pooling == "prompt"):
        raise ValueError(
            f"the backbone {asked.backbone} does not go with pooling={asked.pooling!r}"
        )
    fitted = ""
    if n is not None:  # an eighth, for not all of them are kept
        settings, fitted = plans.fit(settings, vars(asked), batch_size=max(2, n // 8))
    if asked.nli is not None and not (asked.supervised or settings.demonstrations):
        raise ValueError("nli is a corpus for supervised training or demonstrations: ask for one")
    source = no_logits or plans.source_of(asked, settings)
    if asked.language != "english" and source != "pocket":
        raise ValueError("language is for the pocket world's premises; a file has its own")
    which = examination.kind(settings.encoder, asked.data, source)
    select = asked.select
    if select is None:
        held_out = examination.selects(which, asked.data)
        select = "dev" if held_out and asked.tier != "pocket" else "last"
    return plans.complete(
        Plan, asked, settings, source=source, stages=stages, thresholds=thresholds, select=select,
        nli_rows=tiers.get(asked.tier).simcse_supervised.sentences, examination=which,
        fitted=fitted, text_will_do=asked.scoring is None,
    )  # fmt: skip


def _refuse_what_needs_logits(asked, settings, stages):
    """One line before anything is asked of a model behind an API."""
    if 1 in stages:
        served.refuse_weight("omega", settings.omega)
    if 2 in stages and settings.scoring == "likelihood":
        raise ValueError(
            "the scoring likelihood needs the probabilities of whole answers, and a model behind "
            "an API gives none: take --scoring expected or text"
        )


# ------------------------------------------------------------------ the run
@dataclass
class Result(frame.Result):
    """What a run has made.

    Attributes
    ----------
    folder : Path
    counts : dict
        premises, rejected, written, copied_positives, copied_negatives, blank, judged, unread,
        below_alpha, above_beta, within_gamma, kept, nli, trained_on, steps; taken (what was taken
        off so many answers, in the forms that read them) and numbers (for the scoring likelihood:
        questions asked, and answers that begin with a number, by its probability).
    sts : DataFrame or None
        As `evaluation.score_sts`.
    before : DataFrame or None
        The same of the encoder as it was, where it was a sentence encoder already.
    minutes : dict of str to float
        Of the steps that this call computed.
    """

    sts: pd.DataFrame | None = None
    before: pd.DataFrame | None = None

    def triplets(self):
        """All triplets with scores, as a data set."""
        return data.load(self.folder / "triplets.parquet")


@options.taken(options.MultiCSR)
def run(out, *, quiet=False, **given) -> Result:
    """Premises → generated pairs → scores → kept triplets → trained encoder → STS table.

    Interrupted at any moment, the same call with the same folder goes on and ends with the same
    files, byte for byte. Several processes (`torchrun`, `accelerate launch`) share the shards of
    stages 1 and 2 and train together.

    Parameters
    ----------
    {options}

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        For an option out of range; a folder with another run, or in use; a generator that only
        repeats its premises; nothing kept, or less than one batch.
    OSError
        For a file or model that cannot be had, and a full disk.

    Source: MultiCSR § 3, Appendix G.
    """
    work = _Work(make_plan(**given), quiet)
    return frame.carry_out(work, Result(Path(out).expanduser()), _report)


class _Work(frame.Work):
    """One call of `run`: the steps, and the models that they share, each loaded when needed."""

    order = options.MULTICSR_STEPS
    batch = "--batch-size"
    sent = (*frame.Work.sent, "by", "scoring")
    made = {
        "judged": ["judged"],
        "kept": ["triplets.parquet", "kept.parquet"],
        "trained": ["training", "encoder"],
        "evaluated": ["sts.csv", "before.csv", "report.json"],
    }

    def __init__(self, plan: Plan, quiet: bool):
        super().__init__(plan, quiet)
        self.by = served if endpoint.is_served(plan.generator) else multicsr  # stages 1 and 2
        self.scoring = plan.settings.scoring
        where = "premises"
        if plan.no_logits:
            given, rejects = data.load_triplets(plan.source)
            rejects, where = rejects.assign(file=plan.source), plan.source
            self.given = given.to_pandas()
            if plan.n is not None:
                self.given = self.given.head(plan.n)
            premises = list(self.given["anchor"])
            rows = [*premises, *self.given["positive"], *self.given["negative"]]
            if "a" in self.given:
                rows += [str(score) for name in "ab" for score in self.given[name]]
        else:
            n = plan.n
            if n is None and (plan.source == "pocket" or isinstance(plan.source, tiers.Corpus)):
                n = plan.settings.premises
            self.found, rejects = data.read_premises(
                plan.source, column=plan.column, n=n, seed=plan.seed, language=plan.language
            )
            rows = premises = list(self.found["sentence"])
        self.begin_with(
            premises, rejects, where, no_logits=bool(plan.no_logits), nli_rows=plan.nli_rows,
            thresholds=dataclasses.asdict(plan.thresholds), rows=frame.digest_of(rows),
        )  # fmt: skip
        if plan.scoring != "nli":
            del self.identity["judge"]  # nobody asks it
        self._refuse_few()

    def _refuse_few(self):
        """Rows that cannot fill one batch, before hours are spent on them."""
        rows, size = self.many(), self.plan.batch_size
        if rows < size and not self.plan.supervised and self.takes("trained"):
            fits = f"--sentences {rows} makes the batch fit, --batch-size sets it"
            raise ValueError(
                f"{rows:,} sentences give at most {rows:,} triplets, fewer than one batch of "
                f"{size:,} (tier {self.plan.tier}): {fits if rows > 1 else 'give more sentences'}"
            )

    def look(self):
        plan = self.plan
        if plan.demonstrations or (plan.supervised and self.takes("kept")):
            self.labelled  # noqa: B018
        super().look()

    def matters(self, changed):
        plan, step_of = self.plan, super().matters(changed)
        if plan.demonstrations:  # it writes from them
            for name in ("guide", "nli", "nli_rows"):
                del step_of[name]
        if "stages" in changed:
            other = set(changed["stages"][0]) ^ set(changed["stages"][1])
            if 1 not in other:
                step_of["stages"] = "judged" if 2 in other else "trained"
        return step_of

    # -------------------------------------------------------------- models
    def wanted(self) -> dict:
        """Role to the name of its model, for the models that this run takes."""
        plan = self.plan
        wanted = {"encoder": plan.encoder}
        by_nli = self.asks() and plan.scoring == "nli"
        if by_nli:
            wanted["judge"] = plan.judge
        if not plan.no_logits or (self.asks() and not by_nli):
            wanted["generator"] = plan.generator
        if 3 in plan.stages or plan.demonstrations or plan.backbone == "rank":
            wanted["guide"] = plan.guide
        return wanted

    def asks(self) -> bool:
        """Whether scores are asked for."""
        return 2 in self.plan.stages and not (self.plan.no_logits and "a" in self.given)

    @functools.cached_property
    def generator(self):
        held, plan = self.load_generator(), self.plan
        if 2 not in plan.stages or plan.scoring == "nli":
            return held
        # What keeps the judge from judging is found before stage 1.
        if self.by is not served:
            judging.score_similarity(*held, [("a", "a")], method=plan.scoring)
            return held
        try:
            served.score_similarity(held, [("a", "a")], method=plan.scoring)
        except endpoint.NoLogprobs as error:
            if not plan.text_will_do:
                raise
            self.scoring = "text"
            said = f"{error.__cause__}: a score is the number that it writes"
            warnings.warn(said, stacklevel=2)
        return held

    @functools.cached_property
    def judge(self):
        """Who is asked for scores: the generator, or an NLI model."""
        plan = self.plan
        if plan.scoring != "nli":
            return self.generator
        self.let_go("generator")  # all is written
        return self.load_nli(plan.judge)

    @functools.cached_property
    def guide(self):
        """P_η: list of strings → array."""
        return self.frozen("guide")

    @functools.cached_property
    def labelled(self):
        plan = self.plan
        return data.load_labelled(
            tiers.get(plan.tier).simcse_supervised.corpus if plan.nli is None else plan.nli,
            n=plan.nli_rows if plan.nli is None else None, seed=plan.seed,
        )  # fmt: skip

    @functools.cached_property
    def labelled_vectors(self):
        return unit_rows(np.asarray(self.guide([row[0] for row in self.labelled])))

    def fresh(self):
        """The encoder as it was."""
        plan = self.plan
        name, own = plan.settings.encoder, plan.settings.pooling
        pooling = "prompt" if plan.backbone == "prompt" else plan.pooling
        try:
            encoder = models.load_encoder(name, pooling=pooling, device=plan.device)
        except ValueError:
            if pooling is not None:
                raise
            encoder = models.load_encoder(name, pooling=own, device=plan.device)
        self.note(name, encoder.tokenizer)
        return encoder

    # -------------------------------------------------------------- stage 1
    def written(self, result):
        plan, folder, counts = self.plan, result.folder, result.counts
        counts["premises"] = self.many()
        if plan.no_logits:
            self.table = self.given.drop(columns=["a", "b"], errors="ignore").assign(reason="")
            new = False
        else:
            models = [plan.generator, *([plan.guide] if plan.demonstrations else [])]
            self.table, new = self.in_shards(
                folder / "written", self.sentences, self._write, "premise", models
            )
            counts |= self.table.attrs  # what was taken off the answers
        refused = self.table[self.table["reason"] != ""]
        if len(refused):
            self.refuse(refused["row"], list(refused["reason"]))
        self.keep_rejects()
        table = self.table[self.table["reason"] == ""]
        copies = {
            name: curation.copies(table["anchor"], table[name]) for name in ("positive", "negative")
        }
        counts["rejected"] = len(self.rejects)
        counts["written"] = len(table)
        counts |= {f"copied_{name}s": int(copies[name].sum()) for name in copies}
        counts["blank"] = int((~multicsr.usable(table)).sum())
        if not len(table):
            raise ValueError(
                f"no prompt fits the generator's window; see {folder / 'rejects.jsonl'}"
            )
        self._refuse_echo(table)
        return new

    def _write(self, part, start):
        plan, settings = self.plan, self.plan.settings
        examples = None
        if settings.demonstrations:
            examples = multicsr.retrieve_examples(
                self.guide, part, self.labelled, count=settings.demonstrations,
                similarity=settings.demonstration_similarity, known=self.labelled_vectors,
            )  # fmt: skip
        form = prompts.form_of(*self.generator)
        asked = multicsr.ask(
            part, seed=plan.seed, form=form, noise=plan.noise, examples=examples, start=start
        )
        omega = settings.omega if 1 in plan.stages else 0.0
        parts = ("prompt", "noisy") if omega else ("prompt",)
        fit = np.ones(len(part), dtype=bool)
        for name in (f"{kind}_{part}" for kind in multicsr.KINDS for part in parts):
            fit &= decoding.fits(self.generator, asked[name], settings.max_new_tokens)
        sampling = {}
        if plan.temperature:
            sampling = dict(
                do_sample=True, temperature=plan.temperature,
                seed=[(plan.seed, start + int(i), kind) for kind in (0, 1)
                      for i in np.flatnonzero(fit)],
            )  # fmt: skip
        texts = self.by.write(
            self.generator, asked[fit], omega=omega, max_new_tokens=settings.max_new_tokens,
            batch_size=plan.generation_batch, **sampling,
        )  # fmt: skip
        table = asked[["anchor", *multicsr.KINDS]].assign(
            row=range(start, start + len(part)), positive="", negative="",
            reason=np.where(fit, "", decoding.TOO_LONG),
        )  # fmt: skip
        for name in ("positive", "negative"):
            table.loc[fit, name] = texts[name].to_numpy()
        table.attrs = texts.attrs
        if len(texts) >= 100:  # hours of copies help nobody
            self._refuse_echo(table[fit])
        return table

    def _refuse_echo(self, table):
        name = self.plan.source if self.plan.no_logits else self.plan.generator
        texts = [*table["positive"], *table["negative"]]
        if not any(text.strip() for text in texts):
            raise ValueError(
                f"{name} wrote nothing but blanks for {len(table)} premises: take another "
                "--generator or a larger --max-new-tokens, in another folder"
            )
        if curation.copies([*table["anchor"], *table["anchor"]], texts).all():
            raise ValueError(
                f"{name} only repeats: all {len(texts)} texts for {len(table)} premises equal "
                "their premise. Take a --generator that follows instructions, or a larger "
                "--omega, in another folder"
            )

    # -------------------------------------------------------------- stage 2
    def judged(self, result):
        plan = self.plan
        if 2 not in plan.stages:
            return False
        if self.asks():
            models = [plan.judge if plan.scoring == "nli" else plan.generator]
            scores, new = self.in_shards(
                result.folder / "judged", self.table, self._judge, "triplet", models
            )
            result.counts |= scores.attrs
        else:
            scores, new = self.given, False
        self.table = self.table.assign(a=scores["a"], b=scores["b"])
        usable = self._usable()
        report = plan.thresholds.report(self.table["a"][usable], self.table["b"][usable])
        result.counts["judged"] = report.pop("triplets")
        del report["kept"]
        result.counts |= report
        return new

    def _judge(self, table, start):
        judge, by = self.judge, multicsr if self.scoring == "nli" else self.by
        scored = by.judge(
            judge, table, method=self.scoring, batch_size=self.plan.generation_batch
        )
        return scored[["a", "b"]]

    def _usable(self):
        return (self.table["reason"] == "").to_numpy() & multicsr.usable(self.table)

    def kept(self, result):
        plan, folder, counts = self.plan, result.folder, result.counts
        self.let_go("generator", "judge")
        keep = self._usable()
        if 2 in plan.stages:
            keep &= plan.thresholds.keep(self.table["a"], self.table["b"])
        counts["kept"] = int(keep.sum())
        texts = self.table[list(data.TRIPLET)]
        table = texts.join(self.table.drop(columns=[*data.TRIPLET, "reason"])).assign(kept=keep)
        origin = data.origin_of("multicsr", settings=self.identity, counts=dict(counts))
        if self.everyone.rank == 0:
            data.save(table, folder / "triplets.parquet", origin=origin)
            if keep.any():
                kept = table[keep].drop(columns="kept")
                data.save(kept, folder / "kept.parquet", origin=origin)
        if not keep.any():
            if self.everyone.rank == 0:
                (folder / "kept.parquet").unlink(missing_ok=True)  # of other thresholds
            raise ValueError(_why_nothing(plan, counts, folder, self.table[self._usable()]))
        self.rows, counts["nli"] = texts[keep], 0
        if plan.supervised:
            labelled = pd.DataFrame(self.labelled, columns=texts.columns)
            self.rows, counts["nli"] = pd.concat([self.rows, labelled]), len(labelled)
        counts["trained_on"] = len(self.rows)
        self.everyone.wait()
        return False

    # -------------------------------------------------------------- stage 3
    def trained(self, result):
        plan, settings, folder = self.plan, self.plan.settings, result.folder
        rows = self.rows
        if len(rows) < settings.batch_size:
            fit = f"lower --batch-size to {len(rows)} in the same folder, " * (len(rows) > 1)
            rules = "loosen --alpha, --beta or --gamma there, " * (2 in plan.stages)
            raise ValueError(
                f"{len(rows)} triplets were kept, fewer than one batch of {settings.batch_size}: "
                f"{fit}{rules}or start from more premises in another folder; nothing is written "
                f"or judged twice. The scores are in {folder / 'triplets.parquet'}"
            )
        result.counts["steps"] = _steps(settings, len(rows))

        def train():
            more = {}
            if plan.backbone == "rank":
                more["distill"] = _teacher(self.guide, rows)
            if 3 in plan.stages:
                more["guide"] = self.guide
                if self.progress:
                    more["guide"] = frame.with_bar(self.guide, "compared")
            return multicsr.train(
                self.fresh(), rows, settings,
                seed=plan.seed, precision=plan.precision, output_dir=folder / "training",
                dev=self.development, save_steps=_SAVE_EVERY, progress=self.progress, **more,
            )  # fmt: skip

        return self.train_in(folder, train, self.fresh)

    def evaluated(self, result):
        def examine(encoder):
            return evaluation.score_sts(
                frame.encoding(encoder), self.frames, batch_size=1024, progress=self.progress
            )

        file = result.folder / "sts.csv"
        new = self.table_in(file, lambda: examine(result.encoder(self.plan.device)))
        result.sts = pd.read_csv(file)
        if named.knows_sentences(self.plan.encoder):  # else there is nothing to examine
            file = result.folder / "before.csv"
            new |= self.table_in(file, lambda: examine(self.fresh()))
            result.before = pd.read_csv(file)
        return new

    # -------------------------------------------------------------- before minutes are lost
    def headline(self) -> str:
        return f", stages {', '.join(map(str, self.plan.stages)) or 'none'}"

    def outlook(self) -> list[str]:
        plan, s, rows = self.plan, self.plan.settings, self.many()
        if plan.nli is not None:
            self.labelled  # noqa: B018  (a damaged file is found here, too)
        lines = [f"rows       {foreseen.said_source(self, rows)}"]
        if not plan.no_logits:
            omega = s.omega if 1 in plan.stages else 0
            lines.append(
                f"to write   {2 * rows:,} texts of at most {s.max_new_tokens} tokens, ω = {omega:g}"
            )
        if self._will_ask():
            by = f" by {s.judge}" if s.scoring == "nli" else ""
            lines.append(f"to judge   {2 * rows:,} pairs, scores {s.scoring}{by}")
        if self.takes("trained"):
            most = "" if s.max_steps else "at most "
            lines.append(
                f"to train   {most}{self._most_steps():,} steps of {s.batch_size}; "
                f"{plan.select} weights kept"
            )
        return [*lines, foreseen.said_end(self)]

    def _will_ask(self) -> bool:
        return self.asks() and self.takes("judged")

    def _most_steps(self) -> int:
        plan = self.plan
        if not self.takes("trained"):
            return 0
        labelled = 0
        if plan.supervised:
            labelled = len(self.labelled) if plan.nli else plan.nli_rows
        return _steps(plan.settings, self.many() + labelled)

    def requests(self):
        plan, some, texts, room = self.plan, self.sentences[:_TRIAL], [], 0
        if self._will_ask() and plan.scoring == "nli" and endpoint.is_served(plan.judge):
            form = foreseen.messages()
            texts += 2 * [served.question(form, text, text) for text in some]
            room += 8
        if endpoint.is_served(plan.generator):
            form = foreseen.messages(**plans.examples_of(vars(plan)))
            if not plan.no_logits:
                table = multicsr.ask(some, form=form)
                texts += [*table["entailment_prompt"], *table["contradiction_prompt"]]
                room += plan.settings.max_new_tokens
            if self._will_ask() and plan.scoring != "nli":
                texts += 2 * [prompts.similarity(text, text, form=form) for text in some]
                room += 8
        each = len(texts) // max(len(some), 1)
        return each * self.many(), texts, math.ceil(2 * room / max(each, 1))

    def estimate(self) -> list[str]:
        plan, rows, steps, seconds = self.plan, self.many(), self._most_steps(), {}
        some = min(_TRIAL, rows, plan.shard_size)
        if plan.no_logits:
            self.table = self.given.head(some).assign(reason="")
        else:
            self.generator  # noqa: B018  (loading is not part of the rate)
            self.table, spent = foreseen.timed(self._write, self.sentences[:some], 0)
            seconds["writing"] = spent * rows / some
        if self._will_ask():
            self.judge  # noqa: B018
            _, spent = foreseen.timed(self._judge, self.table, 0)
            seconds["judging"] = spent * rows / some
        usable = self.table[self._usable()]
        if len(usable) and steps:
            trial, times = foreseen.trial_batch(usable, plan.batch_size)

            def train(encoder, n):
                settings = dataclasses.replace(
                    plan.settings, max_steps=n, epochs=None, batch_size=len(trial)
                )
                multicsr.train(
                    encoder, trial, settings, precision=plan.precision, progress=False,
                    seed=plan.seed,
                )  # fmt: skip

            seconds["training"] = foreseen.step_seconds(train, self.fresh) * steps * times
        return foreseen.said_estimate(self, seconds, f"{some} rows")


def _steps(settings, rows: int) -> int:
    """Steps of a training on so many rows."""
    return settings.max_steps or math.ceil(settings.epochs * (rows // settings.batch_size))


def _teacher(guide, rows):
    """The frozen guide's view of a batch, for rank distillation, from embeddings computed once."""
    import torch

    pairs = rows[["anchor", "positive"]]
    texts = list(dict.fromkeys(pairs.to_numpy().ravel()))
    number = {text: i for i, text in enumerate(texts)}
    vectors = torch.as_tensor(np.asarray(guide(texts)), dtype=torch.float32)
    ids = torch.tensor([[number[text] for text in pairs[name]] for name in pairs])

    held = memory.beside(vectors, ids)

    def distill(batch):
        vectors, ids = held(batch.device)
        return tuple(vectors[ids[:, batch.to(ids.device)]].to(batch.device))

    return distill


# ------------------------------------------------------------------ what is said
def _rules(plan, counts) -> dict[str, str]:
    """What puts triplets out, by the names of the counts; what puts out most comes first."""
    t = plan.thresholds
    rules = {
        "below_alpha": f"the positive's score a lies below α = {t.alpha:g}",
        "above_beta": f"the negative's score b lies above β = {t.beta:g}",
        "unread": "a score could not be read",
    }
    if t.gamma is not None:
        rules["within_gamma"] = f"a lies less than γ = {t.gamma:g} above b"
    return dict(sorted(rules.items(), key=lambda rule: -counts[rule[0]]))


def _why_nothing(plan, counts, folder, table) -> str:
    if counts["blank"] == counts["written"]:
        return (
            f"no triplet is whole: one of its two texts is blank in all of {counts['written']}; "
            "take another --generator or a larger --max-new-tokens, in another folder"
        )
    first, rule = next(iter(_rules(plan, counts).items()))
    if first == "unread":
        other = "text" if plan.settings.scoring == "expected" else "expected"
        remedy = (
            "no pair fits the judge's window: take a --judge with a larger one in the same folder"
            if plan.scoring == "nli" else
            f"the judge writes no numbers: take --scoring {other} in the same folder, or another "
            "--generator in another"
        )
    else:
        a, b = table["a"], table["b"]
        loosest = {
            "below_alpha": f"--alpha {_down(a.max())}",
            "above_beta": f"--beta {-_down(-b.min())}",
            "within_gamma": f"--gamma {_down(max((a - b).max(), 0))} (or -)",
        }[first]
        remedy = (
            f"the best of them needs {loosest}: loosen it in the same folder, what is judged is "
            "read; or take a --generator that judges better, in another"
        )
    return (
        f"none of {counts['judged']} triplets was kept. Most were put out because {rule} "
        f"({counts[first]}); {remedy}. The scores are in {folder / 'triplets.parquet'}"
    )


def _down(value) -> float:
    """To two decimals, not above."""
    return math.floor(100 * value) / 100


def _report(plan, result) -> str:
    counts, folder = result.counts, result.folder
    lines = [f"premises   {counts['premises']:,}{frame.said_rejected(result)}"]
    lines.append(
        f"{'read' if plan.no_logits else 'written':10} {counts['written']:,} pairs; "
        f"{counts['copied_positives']:,} positives and {counts['copied_negatives']:,} negatives "
        f"repeat the premise, {counts['blank']:,} with a blank text"
    )
    lines += frame.said_taken(counts)
    if "judged" in counts:
        lines.append(
            f"judged     {counts['judged']:,}; put out (a triplet may break several rules):"
        )
        lines += [
            f"           {counts[name]:>7,}  {rule}" for name, rule in _rules(plan, counts).items()
        ]
    if "numbers" in counts:
        asked, numbers = (counts["numbers"][name] for name in ("asked", "numbers"))
        lines.append(
            f"           of {asked:,} answers {numbers:,} begin with a number, by its probability"
        )
    if "kept" in counts:
        lines.append(frame.said_kept(result, "premises"))
    if "steps" in counts:
        more = f" (with {counts['nli']:,} labelled)" if counts["nli"] else ""
        lines.append(
            f"trained    {counts['steps']:,} steps of {plan.settings.batch_size} on "
            f"{counts['trained_on']:,} triplets{more}: {folder / 'encoder'}"
        )
    lines += frame.said_minutes(result)
    if result.sts is not None:
        table = result.sts[["task", "pairs", "spearman"]].copy()
        if result.before is not None:
            table.insert(2, "before", result.before["spearman"])
            table["gain"] = table["spearman"] - table["before"]
        marks = list(table.columns[2:])
        table = frame.with_average(table, marks)
        for name in marks:
            table[name] = [f"{value:{'+' * (name == 'gain')}.2f}" for value in table[name]]
        table = table.rename(columns={"spearman": "after"} if result.before is not None else {})
        lines += [
            "",
            f"STS: Spearman, percent ({folder / 'sts.csv'})",
            table.to_string(index=False),
        ]
    return "\n".join(lines)


# ------------------------------------------------------------------ the command line
@options.taken(options.MultiCSR)
def describe(out, **given) -> str:
    """What `run` would do with these options: see `foreseen.describe`."""
    return foreseen.describe(_Work(make_plan(**given), quiet=True), out)


def main(argv=None) -> int:
    """``python -m synthlib run multicsr``."""
    return frame.command(commands.multicsr(), run, describe, argv)
