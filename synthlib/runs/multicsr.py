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
from synthlib.runs import frame as runs
from synthlib.runs import shards

STAGES = (1, 2, 3)
STEPS = options.MULTICSR_STEPS
BACKBONES = options.declared(options.MultiCSR)["backbone"].choices

_SAVE_EVERY = 100  # steps between the checkpoints of the training


# ------------------------------------------------------------------ what is asked for
@dataclass(frozen=True, kw_only=True)
class Plan(options.MultiCSR, runs.Planned):
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
    asked, settings = runs.settle(options.MultiCSR, given)
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
        settings, fitted = runs.fit(settings, vars(asked), batch_size=max(2, n // 8))
    if asked.nli is not None and not (asked.supervised or settings.demonstrations):
        raise ValueError("nli is a corpus for supervised training or demonstrations: ask for one")
    source = no_logits or runs.source_of(asked, settings)
    if asked.language != "english" and source != "pocket":
        raise ValueError("language is for the pocket world's premises; a file has its own")
    which = examination.kind(settings.encoder, asked.data, source)
    select = asked.select
    if select is None:
        held_out = examination.selects(which, asked.data)
        select = "dev" if held_out and asked.tier != "pocket" else "last"
    return runs.complete(
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
class Result(runs.Result):
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
    out : path
        Folder of the run.
    quiet : bool
        No progress bars and no report.
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
    return runs.carry_out(work, Result(Path(out).expanduser()), _report)


class _Work(runs.Work):
    """One call of `run`: the steps, and the models that they share, each loaded when needed."""

    order = STEPS
    batch = "--batch-size"
    sent = (*runs.Work.sent, "by", "scoring")

    def __init__(self, plan: Plan, quiet: bool):
        super().__init__(plan, quiet)
        self.by = served if endpoint.is_served(plan.generator) else multicsr  # stages 1 and 2
        self.scoring = plan.settings.scoring
        if plan.no_logits:
            given, self.rejects = data.load_triplets(plan.source)
            self.rejects = self.rejects.assign(file=plan.source, where=plan.source)
            self.given = given.to_pandas()
            if plan.n is not None:
                self.given = self.given.head(plan.n)
            texts = [*self.given["anchor"], *self.given["positive"], *self.given["negative"]]
            if "a" in self.given:
                texts += [str(score) for name in "ab" for score in self.given[name]]
            self.premises = list(self.given["anchor"])
        else:
            n = plan.n
            if n is None and (plan.source == "pocket" or isinstance(plan.source, tiers.Corpus)):
                n = plan.settings.premises
            self.found, self.rejects = data.read_premises(
                plan.source, column=plan.column, n=n, seed=plan.seed, language=plan.language
            )
            self.premises = list(self.found["sentence"])
            self.rejects = self.rejects.assign(where="premises")
            texts = self.premises
        self.identity = runs.identity(
            plan, no_logits=bool(plan.no_logits), nli_rows=plan.nli_rows,
            thresholds=dataclasses.asdict(plan.thresholds), rows=runs.digest_of(texts),
        )  # fmt: skip
        if plan.scoring != "nli":
            del self.identity["judge"]  # nobody asks it
        self.note = functools.partial(runs.note_unknown_words, self.premises[:200], set())

    # -------------------------------------------------------------- what examines
    def read_sets(self, until):
        """All that the steps up to `until` need: a damaged file costs seconds, not hours."""
        plan = self.plan
        if plan.demonstrations or (plan.supervised and until not in ("written", "judged")):
            self.labelled  # noqa: B018
        super().read_sets(until)

    def stale(self, changed):
        """What other settings make wrong (`shards.open_run`): later ones, not what was written."""
        plan, step_of = self.plan, options.steps_of(options.MultiCSR)
        if plan.demonstrations:  # it writes from them
            for name in ("guide", "nli", "nli_rows"):
                del step_of[name]
        if "dev" in (plan.select, *changed.get("select", ())):
            step_of["data"] = "trained"
        if "stages" in changed:
            other = set(changed["stages"][0]) ^ set(changed["stages"][1])
            if 1 not in other:
                step_of["stages"] = "judged" if 2 in other else "trained"
        made = {
            "judged": ["judged"],
            "kept": ["triplets.parquet", "kept.parquet"],
            "trained": ["training", "encoder"],
            "evaluated": ["sts.csv", "before.csv", "report.json"],
        }
        return runs.stale(changed, step_of, made)

    def many(self) -> int:
        """Premises, or triplets of a file."""
        return len(self.premises)

    def look(self):
        self.refuse_few()
        super().look()

    def refuse_few(self):
        """Rows that cannot fill one batch, before hours are spent on them."""
        rows, size = len(self.premises), self.plan.batch_size
        if rows < size and not self.plan.supervised and self.takes("trained"):
            fits = f"--sentences {rows} makes the batch fit, --batch-size sets it"
            raise ValueError(
                f"{rows:,} sentences give at most {rows:,} triplets, fewer than one batch of "
                f"{size:,} (tier {self.plan.tier}): {fits if rows > 1 else 'give more sentences'}"
            )

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
        if by_nli:
            wanted["judge"] = plan.judge
        if 3 in plan.stages or plan.demonstrations or plan.backbone == "rank":
            wanted["guide"] = plan.guide
        return wanted

    def asks(self) -> bool:
        """Whether scores are asked for."""
        return 2 in self.plan.stages and not (self.plan.no_logits and "a" in self.given)

    def ready(self):
        """Raise where a model cannot be had."""
        wanted = self.wanted()
        if "generator" in wanted:
            self.find(wanted["generator"])
        if "judge" in wanted:
            self.find(wanted["judge"], "nli")
        if "guide" in wanted:
            self.guide  # noqa: B018
        self.fresh_encoder()

    @functools.cached_property
    def generator(self):
        held, plan = self.load_generator(), self.plan
        # What keeps the judge from judging is found before stage 1.
        if 2 in plan.stages and plan.scoring != "nli" and self.by is served:
            try:
                served.score_similarity(held, [("a", "a")], method=plan.scoring)
            except endpoint.NoLogprobs as error:
                if not plan.text_will_do:
                    raise
                self.scoring = "text"
                said = str(error).partition(", so there")[0]
                warnings.warn(f"{said}: a score is the number that it writes", stacklevel=2)
        elif 2 in plan.stages and plan.scoring != "nli":
            judging.score_similarity(*held, [("a", "a")], method=plan.scoring)
        return held

    @functools.cached_property
    def judge(self):
        """Who is asked for scores: the generator, or an NLI model."""
        plan = self.plan
        if plan.scoring != "nli":
            return self.generator
        self.__dict__.pop("generator", None)  # all is written; its memory is wanted
        return self.load_nli(plan.judge)

    @functools.cached_property
    def guide(self):
        """P_η: list of strings → array."""
        return self.frozen("guide", self.plan.guide)

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

    def fresh_encoder(self):
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
        counts["premises"] = len(self.premises)
        if plan.no_logits:
            self.table = self.given.drop(columns=["a", "b"], errors="ignore").assign(reason="")
            new = False
        else:
            new = not shards.whole(folder / "written", len(self.premises), plan.shard_size)
            models = [plan.generator, *([plan.guide] if plan.demonstrations else [])]
            self.table = self.in_shards(
                folder / "written", self.premises, self._write, "premise", models
            )
            counts |= self.table.attrs  # what was taken off the answers
        refused = self.table[self.table["reason"] != ""]
        if len(refused):
            refused = runs.refused(self.found, refused["row"], list(refused["reason"]))
            self.rejects = pd.concat([self.rejects, refused], ignore_index=True)
        if self.everyone.rank == 0:
            data.save_rejects(folder / "rejects.jsonl", self.rejects)
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
        name = self.plan.settings.generator
        if self.plan.no_logits:
            name = self.plan.source
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
        if plan.no_logits and "a" in self.given:
            self.table = self.table.assign(a=self.given["a"], b=self.given["b"])
            new = False
        else:
            new = not shards.whole(result.folder / "judged", len(self.table), plan.shard_size)
            models = [plan.judge if plan.scoring == "nli" else plan.generator]
            scores = self.in_shards(
                result.folder / "judged", self.table, self._judge, "triplet", models
            )
            self.table = self.table.assign(a=scores["a"], b=scores["b"])
            result.counts |= scores.attrs
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
        )  # fmt: skip
        return scored[["a", "b"]]

    def _usable(self):
        return (self.table["reason"] == "").to_numpy() & multicsr.usable(self.table)

    def kept(self, result):
        plan, folder, counts = self.plan, result.folder, result.counts
        for name in ("generator", "judge"):
            self.__dict__.pop(name, None)  # their memory is wanted for the training
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
        steps = settings.max_steps or math.ceil(
            settings.epochs * (len(rows) // settings.batch_size)
        )
        result.counts["steps"] = steps

        def train():
            more = {}
            if plan.backbone == "rank":
                more["distill"] = _teacher(self.guide, rows)
            if 3 in plan.stages:
                more["guide"] = self.guide
                if self.progress:
                    more["guide"] = runs.with_bar(self.guide, "compared")
            return multicsr.train(
                self.fresh_encoder(), rows, settings,
                seed=plan.seed, precision=plan.precision, output_dir=folder / "training",
                dev=self.development, save_steps=_SAVE_EVERY, progress=self.progress, **more,
            )  # fmt: skip

        return self.train_in(folder, train, self.fresh_encoder)

    def evaluated(self, result):
        def examine(encoder):
            return evaluation.score_sts(
                runs.encoding(encoder), self.frames, batch_size=1024, progress=self.progress
            )

        def after():
            return examine(result.encoder(self.plan.device))

        def before():
            return examine(self.fresh_encoder())

        new = self.table_in(result.folder / "sts.csv", after)
        result.sts = pd.read_csv(result.folder / "sts.csv")
        if runs.knows_sentences(self.plan.encoder):  # else there is nothing to examine
            new |= self.table_in(result.folder / "before.csv", before)
            result.before = pd.read_csv(result.folder / "before.csv")
        return new


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
def _rules(plan, counts) -> dict[str, int]:
    t = plan.thresholds
    rules = {
        f"the positive's score a lies below α = {t.alpha:g}": counts["below_alpha"],
        f"the negative's score b lies above β = {t.beta:g}": counts["above_beta"],
        "a score could not be read": counts["unread"],
    }
    if t.gamma is not None:
        rules[f"a lies less than γ = {t.gamma:g} above b"] = counts["within_gamma"]
    return dict(sorted(rules.items(), key=lambda rule: -rule[1]))


def _why_nothing(plan, counts, folder, table) -> str:
    if counts["blank"] == counts["written"]:
        return (
            f"no triplet is whole: one of its two texts is blank in all of {counts['written']}; "
            "take another --generator or a larger --max-new-tokens, in another folder"
        )
    rules = _rules(plan, counts)
    first = next(iter(rules))
    if first.endswith("read"):
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
            "the p": f"--alpha {_down(a.max())}", "the n": f"--beta {-_down(-b.min())}",
            "a lie": f"--gamma {_down(max((a - b).max(), 0))} (or -)",
        }[first[:5]]  # fmt: skip
        remedy = (
            f"the best of them needs {loosest}: loosen it in the same folder, what is judged is "
            "read; or take a --generator that judges better, in another"
        )
    return (
        f"none of {counts['judged']} triplets was kept. Most were put out because {first} "
        f"({rules[first]}); {remedy}. The scores are in {folder / 'triplets.parquet'}"
    )


def _down(value) -> float:
    """To two decimals, not above."""
    return math.floor(100 * value) / 100


def _report(plan, result) -> str:
    counts, folder = result.counts, result.folder
    lines = [f"premises   {counts['premises']:,}{runs.said_rejected(result)}"]
    lines.append(
        f"{'read' if plan.no_logits else 'written':10} {counts['written']:,} pairs; "
        f"{counts['copied_positives']:,} positives and {counts['copied_negatives']:,} negatives "
        f"repeat the premise, {counts['blank']:,} with a blank text"
    )
    lines += runs.said_taken(counts)
    if "judged" in counts:
        lines.append(
            f"judged     {counts['judged']:,}; put out (a triplet may break several rules):"
        )
        lines += [f"           {n:>7,}  {rule}" for rule, n in _rules(plan, counts).items()]
    if "numbers" in counts:
        asked, numbers = (counts["numbers"][name] for name in ("asked", "numbers"))
        lines.append(
            f"           of {asked:,} answers {numbers:,} begin with a number, by its probability"
        )
    if "kept" in counts:
        share = counts["kept"] / max(counts["premises"], 1)
        lines.append(f"kept       {counts['kept']:,} ({share:.0%}): {folder / 'kept.parquet'}")
    if "steps" in counts:
        more = f" (with {counts['nli']:,} labelled)" if counts["nli"] else ""
        lines.append(
            f"trained    {counts['steps']:,} steps of {plan.settings.batch_size} on "
            f"{counts['trained_on']:,} triplets{more}: {folder / 'encoder'}"
        )
    lines += runs.said_minutes(result)
    if result.sts is not None:
        table = result.sts[["task", "pairs", "spearman"]].copy()
        if result.before is not None:
            table.insert(2, "before", result.before["spearman"])
            table["gain"] = table["spearman"] - table["before"]
        marks = list(table.columns[2:])
        if len(table) > 1:
            mean = {"task": "average", "pairs": ""} | table[marks].mean().to_dict()
            table = pd.concat([table, pd.DataFrame([mean])])
        for name in marks:
            table[name] = [f"{value:{'+' * (name == 'gain')}.2f}" for value in table[name]]
        table = table.rename(columns={"spearman": "after"} if result.before is not None else {})
        lines += [
            "",
            f"STS: Spearman, percent ({folder / 'sts.csv'})",
            table.to_string(index=False),
        ]
    return "\n".join(lines)


# ------------------------------------------------------------------ before minutes are lost
_TRIAL = 32  # premises, at most: of a slow tier a shard


@options.taken(options.MultiCSR)
def describe(out, **given) -> str:
    """What `run` would do: models, counts, and an estimate from a trial on a few rows.

    The trial needs all models on this machine; nothing is written and nothing downloaded for it.

    Parameters
    ----------
    out, **given
        Of `run`.

    Returns
    -------
    str
        Lines to print.
    """
    plan = make_plan(**given)
    work = _Work(plan, quiet=True)
    work.refuse_few()
    asked_for = plan.supervised or plan.demonstrations
    labelled = len(work.labelled) if plan.nli and asked_for else plan.nli_rows
    s, rows, asked, wanted = plan.settings, len(work.premises), work.asks(), work.wanted()
    stages = ", ".join(map(str, plan.stages)) or "none"
    lines = runs.opening(work, Path(out).expanduser(), f", stages {stages}")
    lines.append(f"rows       {rows:,} from {work.identity['source']}")
    if len(work.rejects):
        lines[-1] += f", and {len(work.rejects):,} that cannot be used"
    if not plan.no_logits:
        omega = s.omega if 1 in plan.stages else 0
        lines.append(
            f"to write   {2 * rows:,} texts of at most {s.max_new_tokens} tokens, ω = {omega:g}"
        )
    asked &= work.takes("judged")
    if asked:
        by = f" by {s.judge}" if s.scoring == "nli" else ""
        lines.append(f"to judge   {2 * rows:,} pairs, scores {s.scoring}{by}")
    steps = s.max_steps or math.ceil(
        s.epochs * ((rows + labelled * plan.supervised) // s.batch_size)
    )
    most = "" if s.max_steps else "at most "
    if work.takes("trained"):
        kept = f"{plan.select} weights kept"
        lines.append(f"to train   {most}{steps:,} steps of {s.batch_size}; {kept}")
    else:
        steps = 0
    lines.append(runs.said_end(work))
    lines += _asked_of_api(work, rows, asked)
    lines += runs.no_estimate(wanted) or _estimate(work, rows, steps, asked)
    return "\n".join(lines)


def _asked_of_api(work, rows, asked) -> list[str]:
    """What an API would be sent, where one writes."""
    plan, some, texts, room = work.plan, work.premises[:_TRIAL], [], 0
    form = prompts.Form("chat", endpoint.Messages())
    if asked and plan.scoring == "nli" and endpoint.is_served(plan.judge):
        texts += 2 * [served.question(form, text, text) for text in some]
        room += 8
    writes = endpoint.is_served(plan.generator)
    if writes:
        form = prompts.Form("chat", endpoint.Messages(), **runs.examples_of(vars(plan)))
    if writes and not plan.no_logits:
        table = multicsr.ask(some, form=form)
        texts += [*table["entailment_prompt"], *table["contradiction_prompt"]]
        room += plan.settings.max_new_tokens
    if writes and asked and plan.scoring != "nli":
        texts += 2 * [prompts.similarity(text, text, form=form) for text in some]
        room += 8
    each = len(texts) // max(len(some), 1)
    if not each:
        return []
    return runs.said_asked(plan, each * rows, texts, math.ceil(2 * room / max(each, 1)))


def _estimate(work, rows, steps, asked) -> list[str]:
    plan, seconds = work.plan, {}
    some = min(_TRIAL, rows, plan.shard_size)
    if not plan.no_logits:
        work.generator  # noqa: B018  (loading is not part of the rate)
    if asked:
        work.judge  # noqa: B018
    if plan.no_logits:
        work.table = work.given.head(some).assign(reason="")
    else:
        work.table, spent = runs.timed(work._write, work.premises[:some], 0)
        seconds["writing"] = spent * rows / some
    if asked:
        work.judge  # noqa: B018
        seconds["judging"] = runs.timed(work._judge, work.table[:some], 0)[1] * rows / some
    usable = work.table[work._usable()]
    if len(usable) and steps:
        trial, times = runs.trial_batch(usable, plan.settings.batch_size)

        def train(encoder, n):
            settings = dataclasses.replace(
                plan.settings, max_steps=n, epochs=None, batch_size=len(trial)
            )
            multicsr.train(
                encoder, trial, settings, precision=plan.precision, progress=False, seed=plan.seed
            )

        seconds["training"] = runs.step_seconds(train, work.fresh_encoder) * steps * times
    return runs.said_estimate(seconds, f"{some} rows")


# ------------------------------------------------------------------ the command line
def main(argv=None) -> int:
    """``python -m synthlib run multicsr``."""
    return runs.command(commands.multicsr(), run, describe, argv)
