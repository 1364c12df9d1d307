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
    report.json         counts

Source: MultiCSR (Wang et al., 2024), § 3; supervised setting and demonstrations: Appendix G.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from synthlib import (
    commands,
    curation,
    data,
    decoding,
    evaluation,
    judging,
    models,
    prompts,
    tiers,
)
from synthlib.evaluation import examination
from synthlib.evaluation.embedding import unit_rows
from synthlib.methods import multicsr
from synthlib.runs import frame as runs
from synthlib.runs import shards

STAGES = (1, 2, 3)
STEPS = ("written", "judged", "kept", "trained", "evaluated")
BACKBONES = ("simcse", "prompt", "rank")
NO_GAMMA = "-"  # as Table 6 prints a third rule that is left out

_SAVE_EVERY = 100  # steps between the checkpoints of the training


# ------------------------------------------------------------------ what is asked for
@dataclass(frozen=True)
class Plan:
    """All that decides a run, checked and complete; `make_plan` builds it."""

    tier: str
    stages: tuple[int, ...]
    settings: tiers.MultiCSR  # the tier's, with what was given in their place
    source: str  # of the premises, or the JSONL file with triplets
    no_logits: bool
    column: str | None
    n: int | None
    seed: int
    language: str
    noise: str
    temperature: float
    thresholds: curation.Thresholds
    supervised: bool
    nli: str | None
    nli_rows: int
    pooling: str | None  # as it was given
    backbone: str
    data: str | None
    select: str
    precision: str | None  # of training, where it was given
    shard_size: int
    dtype: str | None
    # Only how, not what: a run may go on with others.
    generation_batch: int = field(compare=False)
    device: str | None = field(compare=False)
    examination: str = field(compare=False)  # of `examination.kind`, by what stands above
    fitted: str = field(compare=False)  # what n has lowered, to be said


def make_plan(
    *,
    tier=None,
    stages=None,
    premises=None,
    no_logits=None,
    column=None,
    n=None,
    seed=0,
    language="english",
    omega=None,
    noise="opposite",
    temperature=0.0,
    max_new_tokens=None,
    scoring=None,
    alpha=None,
    beta=None,
    gamma=None,
    sigma=None,
    supervised=False,
    nli=None,
    demonstrations=None,
    demonstration_similarity=None,
    generator=None,
    encoder=None,
    guide=None,
    pooling=None,
    backbone="simcse",
    data=None,
    select=None,
    batch_size=None,
    learning_rate=None,
    epochs=None,
    max_steps=None,
    precision=None,
    generation_batch=64,
    shard_size=512,
    device=None,
    dtype=None,
) -> Plan:
    """Check the options of `run` and fill in the tier's values.

    Raises
    ------
    ValueError
        For the first option that is out of its range, or that contradicts another.
    """
    runs.check_numbers(locals())
    chosen, premises = tiers.get(tier), runs.in_memory(premises, column)
    if stages is None:
        stages = (2, 3) if no_logits else STAGES
    stages = tuple(sorted(set(stages)))
    if not set(stages) <= set(STAGES):
        raise ValueError(f"stages are among 1, 2, 3, got {', '.join(map(str, stages))}")
    if no_logits and 1 in stages:
        raise ValueError(
            "stage 1 needs a generator's logits: with triplets from a file the stages are 2 and 3"
        )
    if no_logits and premises is not None:
        raise ValueError("give premises to write from or a file with triplets, not both")
    settings = chosen.multicsr
    thresholds = curation.Thresholds(
        alpha=float(settings.alpha if alpha is None else alpha),
        beta=float(settings.beta if beta is None else beta),
        gamma=None if gamma == NO_GAMMA else float(settings.gamma if gamma is None else gamma),
    )
    if epochs is not None and max_steps is not None:
        raise ValueError("give epochs or max_steps, not both")
    length = {}
    if epochs is not None or max_steps is not None:
        length = dict(epochs=epochs and float(epochs), max_steps=max_steps)
    given = dict(
        omega=omega, max_new_tokens=max_new_tokens, scoring=scoring, sigma=sigma,
        demonstrations=demonstrations, demonstration_similarity=demonstration_similarity,
        generator=generator, encoder=encoder, guide=guide, batch_size=batch_size,
        learning_rate=learning_rate,
    )  # fmt: skip
    given = {
        name: float(value) if isinstance(getattr(settings, name), float) else _plain(value)
        for name, value in given.items()
        if value is not None
    }
    settings = dataclasses.replace(
        settings, alpha=thresholds.alpha, beta=thresholds.beta, gamma=thresholds.gamma,
        **length, **given,
    )  # fmt: skip
    _check(settings, noise, temperature, backbone, pooling, generation_batch, shard_size, n)
    if precision is not None:
        models.training_precision(device, precision)
    fitted = ""
    if n is not None:  # an eighth, for not all of them are kept
        most = max(2, n // 8)
        settings, fitted = runs.fit(settings, dict(batch_size=batch_size), batch_size=most)
    if nli is not None and not (supervised or settings.demonstrations):
        raise ValueError("nli is a corpus for supervised training or demonstrations: ask for one")
    if language != "english" and not _is_pocket(premises, settings, no_logits):
        raise ValueError("language is for the pocket world's premises; a file has its own")
    if select not in (None, "dev", "last"):
        raise ValueError(f'select must be "dev" or "last", got {select!r}')
    runs.check_data(data)
    source = _source(premises, settings, no_logits)
    which = examination.kind(settings.encoder, data, source)
    if select is None:
        held_out = examination.selects(which, data)
        select = "dev" if held_out and chosen.name != "pocket" else "last"
    return Plan(
        tier=chosen.name,
        stages=stages,
        settings=settings,
        source=source,
        no_logits=bool(no_logits),
        column=column,
        n=n,
        seed=seed,
        language=language,
        noise=noise,
        temperature=float(temperature),
        thresholds=thresholds,
        supervised=supervised,
        nli=_plain(nli),
        nli_rows=chosen.simcse_supervised.sentences,
        pooling=pooling,
        backbone=backbone,
        data=_plain(data),
        examination=which,
        select=select,
        precision=precision,
        shard_size=shard_size,
        dtype=None if dtype is None else str(dtype).removeprefix("torch."),
        generation_batch=generation_batch,
        device=None if device is None else str(device),
        fitted=fitted,
    )


def _check(settings, noise, temperature, backbone, pooling, generation_batch, shard_size, n):
    counts = dict(
        generation_batch=generation_batch, shard_size=shard_size, n=n,
        max_new_tokens=settings.max_new_tokens, max_steps=settings.max_steps,
    )  # fmt: skip
    for name, value in counts.items():
        if value is not None and (value != int(value) or value < 1):
            raise ValueError(f"{name} must be a whole number from 1 up, got {value}")
    if not math.isfinite(settings.omega):
        raise ValueError(f"omega must be a finite number, got {settings.omega}")
    if not 0 < settings.sigma <= 1:
        raise ValueError(f"sigma must lie in (0, 1], got {settings.sigma}")
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature must be 0 (greedy) or above, got {temperature}")
    if settings.demonstrations < 0:
        raise ValueError(f"demonstrations must be at least 0, got {settings.demonstrations}")
    if not -1 <= settings.demonstration_similarity <= 1:
        raise ValueError(
            "demonstration_similarity is a cosine in [-1, 1], got "
            f"{settings.demonstration_similarity}"
        )
    if settings.batch_size < 2:
        raise ValueError(f"batch_size must be at least 2, got {settings.batch_size}")
    runs.check_rate("learning_rate", settings.learning_rate)
    if settings.epochs is not None and not 0 < settings.epochs < math.inf:
        raise ValueError(f"epochs must be positive, got {settings.epochs}")
    choices = {
        "noise": (noise, prompts.NOISE), "backbone": (backbone, BACKBONES),
        "scoring": (settings.scoring, ("text", "expected")),
    }  # fmt: skip
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    if pooling is not None and (backbone == "prompt") != (pooling == "prompt"):
        raise ValueError(f"the backbone {backbone} does not go with pooling={pooling!r}")


def _plain(value):
    return str(value) if isinstance(value, os.PathLike) else value


def _is_pocket(premises, settings, no_logits) -> bool:
    return not no_logits and (
        premises == "pocket" or (premises is None and settings.corpus is None)
    )


def _source(premises, settings, no_logits):
    """What the premises come from; a list of sentences stays a list."""
    if no_logits:
        return str(no_logits)
    if _is_pocket(premises, settings, no_logits):
        return "pocket"
    if premises is None:
        return settings.corpus
    return _plain(premises)


def _identity(plan: Plan, texts) -> dict:
    """What makes two runs the same run, as JSON holds it."""
    kept = {f.name: getattr(plan, f.name) for f in dataclasses.fields(Plan) if f.compare}
    settings = dataclasses.asdict(kept.pop("settings"))
    kept["thresholds"] = dataclasses.asdict(kept["thresholds"])
    kept["source"] = (
        kept["source"].name if isinstance(kept["source"], tiers.Corpus)
        else "a list" if isinstance(kept["source"], tuple) else kept["source"]
    )  # fmt: skip
    if settings.pop("corpus") is None:
        settings["corpus"] = "pocket"
    else:
        settings["corpus"] = plan.settings.corpus.name
    for name in ("generator", "encoder", "guide"):
        settings[name] += runs.fingerprint(settings[name])
    return json.loads(json.dumps(kept | settings | {"rows": runs.digest_of(texts)}))


# ------------------------------------------------------------------ the run
@dataclass
class Result:
    """What a run has made.

    Attributes
    ----------
    folder : Path
    counts : dict
        premises, rejected, written, copied_positives, copied_negatives, blank, judged, unread,
        below_alpha, above_beta, within_gamma, kept, nli, trained_on, steps.
    sts : DataFrame or None
        As `evaluation.score_sts`.
    minutes : dict of str to float
        Of the steps that this call computed.
    """

    folder: Path
    counts: dict = field(default_factory=dict)
    sts: pd.DataFrame | None = None
    minutes: dict = field(default_factory=dict)

    def triplets(self):
        """All triplets with scores, as a data set."""
        return data.load(self.folder / "triplets.parquet")

    def kept(self):
        """The kept triplets, as a data set."""
        return data.load(self.folder / "kept.parquet")

    def encoder(self, device=None):
        """The trained encoder."""
        return models.load_encoder(self.folder / "encoder", device=device)


def run(out, *, until="evaluated", quiet=False, **options) -> Result:
    """Premises → generated pairs → scores → kept triplets → trained encoder → STS table.

    Interrupted at any moment, the same call with the same folder goes on and ends with the same
    files, byte for byte. Several processes (`torchrun`, `accelerate launch`) share the shards of
    stages 1 and 2 and train together.

    Parameters
    ----------
    out : path
        Folder of the run.
    until : "written", "judged", "kept", "trained" or "evaluated"
        The last step to take; a later call goes on from there.
    quiet : bool
        No progress bars and no report.
    tier : "pocket", "colab" or "paper"
        Where the values come from that are not given; default as `tiers.get`.
    stages : sequence of 1, 2, 3
        The paper's stages that take part (Table 3). Without 1 the decoding is plain, without 2
        every triplet is kept, without 3 nothing is masked. Default all; 2 and 3 with `no_logits`.
    premises : optional
        A source of `data.load_premises`; default the tier's corpus.
    no_logits : path, optional
        File of triplets that another model wrote (`data.load_triplets`), in place of stage 1.
        Where it gives scores, stage 2 only compares them.
    column, n, seed, language
        Of `data.load_premises`; n is the tier's number for its own corpus. The seed serves the
        drawing of instructions, sampling, and the training as well.
    omega, noise, temperature, max_new_tokens
        Stage 1: ω; kind of noisy instruction; 0 for greedy decoding; longest text.
    scoring, alpha, beta, gamma
        Stage 2: "text" or "expected"; thresholds, where ``gamma="-"`` leaves the third rule out.
    sigma : float in (0, 1]
        Stage 3.
    supervised : bool
        Train on T ∪ NLI, the kept triplets and a labelled NLI corpus.
    nli : path, optional
        The labelled corpus for `supervised` and `demonstrations`, in place of the tier's.
    demonstrations, demonstration_similarity
        L and λ of Appendix G.
    generator, encoder, guide, pooling
        Models in place of the tier's; how the encoder pools.
    backbone : "simcse", "prompt" or "rank"
        "prompt": PromptBERT's template as pooling; "rank": in-batch rank distillation beside the
        contrast, from the guide.
    data : path, optional
        Evaluate on SentEval's files there. Default: STS-B from the Hub, and the pocket sets for a
        pocket encoder or on the pocket world's premises.
    select : "dev" or "last"
        Keep the weights that are best on STS-B dev (the pocket world's development pairs where
        its sets evaluate), or the last ones. Default "dev" on the larger tiers, unless STS-B dev
        is absent from `data`.
    batch_size, learning_rate, epochs, max_steps, precision
        Of the training.
    generation_batch, shard_size
        Rows that the generator works on at once; premises in a shard.
    device, dtype
        Of `models.load_generator`; the device serves the encoders too.

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
    last = _last(until)
    work = _Work(make_plan(**options), quiet)
    runs.check_models(work.wanted().values())
    work.read_sets(until)
    if last >= STEPS.index("trained"):
        work.refuse_few()
    return runs.carry_out(work, Result(Path(out).expanduser()), STEPS[: last + 1], _report)


class _Work:
    """One call of `run`: the steps, and the models that they share, each loaded when needed."""

    batch = "--batch-size"  # the option for a batch of the training

    def __init__(self, plan: Plan, quiet: bool):
        self.plan, self.quiet = plan, quiet
        self.everyone = shards.processes()
        self.progress = not quiet and self.everyone.rank == 0
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
        self.identity = _identity(plan, texts)
        self.note = functools.partial(runs.note_unknown_words, self.premises, set())

    # -------------------------------------------------------------- what examines
    @functools.cached_property
    def frames(self):
        return examination.sts(self.plan.examination, self.plan.data)

    @functools.cached_property
    def development(self):
        plan = self.plan
        if plan.select != "dev":
            return None
        return examination.development(plan.examination, plan.data)

    def read_sets(self, until):
        """All that the steps up to `until` need: a damaged file costs seconds, not hours."""
        plan = self.plan
        if plan.settings.demonstrations or (plan.supervised and until not in ("written", "judged")):
            self.labelled  # noqa: B018
        if until in ("trained", "evaluated"):
            self.development  # noqa: B018
        if until == "evaluated":
            self.frames  # noqa: B018

    def stale(self, changed):
        """What other settings make wrong (`shards.open_run`): later ones, not what was written."""
        plan = self.plan
        later = {
            "judged": ["scoring"],
            "kept": ["alpha", "beta", "gamma", "thresholds"],
            "trained": [
                "encoder", "pooling", "backbone", "sigma", "tau", "batch_size", "learning_rate",
                "epochs", "max_steps", "max_length", "projection", "eval_steps", "precision",
                "bf16", "select", "supervised",
            ],
            "evaluated": ["data"],
        }  # fmt: skip
        if not plan.settings.demonstrations:  # else it writes from them
            later["trained"] += ["guide", "nli", "nli_rows"]
        if "dev" in (plan.select, *changed.get("select", ())):
            later = later | {"trained": [*later["trained"], "data"], "evaluated": []}
        if "stages" in changed:
            other = set(changed["stages"][0]) ^ set(changed["stages"][1])
            if 1 not in other:
                later["judged" if 2 in other else "trained"].append("stages")
        made = {
            "judged": ["judged"],
            "kept": ["triplets.parquet", "kept.parquet"],
            "trained": ["training", "encoder"],
            "evaluated": ["sts.csv", "report.json"],
        }
        return runs.stale(changed, later, made)

    def refuse_few(self):
        """Rows that cannot fill one batch, before hours are spent on them."""
        rows, size = len(self.premises), self.plan.settings.batch_size
        if rows < size and not self.plan.supervised:
            fits = f"--sentences {rows} makes the batch fit, --batch-size sets it"
            raise ValueError(
                f"{rows:,} sentences give at most {rows:,} triplets, fewer than one batch of "
                f"{size:,} (tier {self.plan.tier}): {fits if rows > 1 else 'give more sentences'}"
            )

    # -------------------------------------------------------------- models
    def wanted(self) -> dict:
        """Role to the name of its model, for the models that this run takes."""
        plan, s = self.plan, self.plan.settings
        wanted = {"encoder": s.encoder}
        if not plan.no_logits or self.asks():
            wanted["generator"] = s.generator
        if 3 in plan.stages or s.demonstrations or plan.backbone == "rank":
            wanted["guide"] = s.guide
        return wanted

    def asks(self) -> bool:
        """Whether the generator is asked for scores."""
        return 2 in self.plan.stages and not (self.plan.no_logits and "a" in self.given)

    def ready(self):
        """Raise where a model cannot be had."""
        plan, wanted = self.plan, self.wanted()
        if "generator" in wanted:
            models.find(wanted["generator"], "generator", device=plan.device, dtype=plan.dtype)
        if "guide" in wanted:
            self.guide  # noqa: B018
        self.fresh_encoder()

    @functools.cached_property
    def generator(self):
        plan = self.plan
        held = models.load_generator(plan.settings.generator, device=plan.device, dtype=plan.dtype)
        self.note(plan.settings.generator, held[1])
        if 2 in plan.stages:  # what keeps the judge from judging is found before stage 1
            judging.score_similarity(*held, [("a", "a")], method=plan.settings.scoring)
        return held

    @functools.cached_property
    def guide(self):
        """P_η: list of strings → array."""
        try:
            encoder = models.load_encoder(self.plan.settings.guide, device=self.plan.device)
        except models.UnknownPooling:
            raise ValueError(
                f"the guide {self.plan.settings.guide} does not say how it pools tokens into a "
                "sentence vector: take an encoder that was saved with its pooling"
            ) from None
        return functools.partial(encoder.encode, batch_size=128, show_progress_bar=False)

    @functools.cached_property
    def labelled(self):
        plan = self.plan
        return data.load_labelled(
            plan.settings.corpus if plan.nli is None else plan.nli,
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
            self.table = shards.rows(
                folder / "written", len(self.premises), self._write, size=plan.shard_size,
                everyone=self.everyone, progress=self.progress, unit="premise",
            )  # fmt: skip
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

    def _write(self, start, stop):
        plan, settings = self.plan, self.plan.settings
        part = self.premises[start:stop]
        examples = None
        if settings.demonstrations:
            examples = multicsr.retrieve_examples(
                self.guide, part, self.labelled, count=settings.demonstrations,
                similarity=settings.demonstration_similarity, known=self.labelled_vectors,
            )  # fmt: skip
        form = prompts.form_of(self.generator[0])
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
        texts = multicsr.write(
            self.generator, asked[fit], omega=omega, max_new_tokens=settings.max_new_tokens,
            batch_size=plan.generation_batch, **sampling,
        )  # fmt: skip
        table = asked[["anchor", *multicsr.KINDS]].assign(
            row=range(start, stop), positive="", negative="",
            reason=np.where(fit, "", decoding.TOO_LONG),
        )  # fmt: skip
        for name in ("positive", "negative"):
            table.loc[fit, name] = texts[name].to_numpy()
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
            scores = shards.rows(
                result.folder / "judged", len(self.table), self._judge, size=plan.shard_size,
                everyone=self.everyone, progress=self.progress, unit="triplet",
            )  # fmt: skip
            self.table = self.table.assign(a=scores["a"], b=scores["b"])
        usable = self._usable()
        report = plan.thresholds.report(self.table["a"][usable], self.table["b"][usable])
        result.counts["judged"] = report.pop("triplets")
        del report["kept"]
        result.counts |= report
        return new

    def _judge(self, start, stop):
        scored = multicsr.judge(
            self.generator, self.table[start:stop], method=self.plan.settings.scoring,
            batch_size=self.plan.generation_batch,
        )  # fmt: skip
        return scored[["a", "b"]]

    def _usable(self):
        return (self.table["reason"] == "").to_numpy() & multicsr.usable(self.table)

    def kept(self, result):
        plan, folder, counts = self.plan, result.folder, result.counts
        self.__dict__.pop("generator", None)  # its memory is wanted for the training
        keep = self._usable()
        if 2 in plan.stages:
            keep &= plan.thresholds.keep(self.table["a"], self.table["b"])
        counts["kept"] = int(keep.sum())
        table = self.table.drop(columns="reason").assign(kept=keep)
        origin = data.origin_of("multicsr", settings=self.identity, counts=dict(counts))
        if self.everyone.rank == 0:
            data.save(data.triplets(table, origin=origin), folder / "triplets.parquet")
            kept = table[keep].drop(columns="kept")
            if len(kept):
                data.save(data.triplets(kept, origin=origin), folder / "kept.parquet")
        if not keep.any():
            if self.everyone.rank == 0:
                (folder / "kept.parquet").unlink(missing_ok=True)  # of other thresholds
            raise ValueError(_why_nothing(plan, counts, folder, self.table[self._usable()]))
        self.rows = list(zip(*(table[keep][name] for name in data.TRIPLET), strict=True))
        counts["nli"] = len(self.labelled) if plan.supervised else 0
        counts["trained_on"] = len(self.rows) + counts["nli"]
        self.everyone.wait()
        return False

    # -------------------------------------------------------------- stage 3
    def trained(self, result):
        plan, settings, folder = self.plan, self.plan.settings, result.folder
        rows = self.rows + (self.labelled if plan.supervised else [])
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
        new = not (folder / "encoder").is_dir()
        if new:
            options = {}
            if plan.backbone == "rank":
                options["distill"] = _teacher(self.guide, rows)
            if 3 in plan.stages:
                options["guide"] = functools.partial(self.guide, show_progress_bar=self.progress)
            encoder = multicsr.train(
                self.fresh_encoder(), pd.DataFrame(rows, columns=list(data.TRIPLET)), settings,
                seed=plan.seed, precision=plan.precision, output_dir=folder / "training",
                dev=self.development, save_steps=_SAVE_EVERY, progress=self.progress, **options,
            )  # fmt: skip
            if self.everyone.rank == 0:  # a fresh tokenizer has no memory of the training
                runs.save_encoder(
                    encoder, self.fresh_encoder(), folder, processes=self.everyone.size
                )
        self.everyone.wait()
        if self.everyone.rank == 0:
            shutil.rmtree(folder / "training", ignore_errors=True)
        return new

    def evaluated(self, result):
        file = result.folder / "sts.csv"
        new = not file.is_file()
        if new and self.everyone.rank == 0:
            encoder = models.load_encoder(result.folder / "encoder", device=self.plan.device)
            encode = functools.partial(encoder.encode, batch_size=128, show_progress_bar=False)
            sts = evaluation.score_sts(encode, self.frames, batch_size=1024, progress=self.progress)
            data.write_bytes(file, sts.to_csv(index=False).encode())
        self.everyone.wait()
        result.sts = pd.read_csv(file)
        return new


def _teacher(guide, rows):
    """The frozen guide's view of a batch, for rank distillation, from embeddings computed once."""
    import torch

    texts = list(dict.fromkeys(text for row in rows for text in row[:2]))
    number = {text: i for i, text in enumerate(texts)}
    vectors = torch.as_tensor(np.asarray(guide(texts)), dtype=torch.float32)
    ids = torch.tensor([[number[row[place]] for row in rows] for place in (0, 1)])

    def distill(batch):
        return tuple(vectors[ids[:, batch.cpu()]].to(batch.device))

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
    lines = [f"premises   {counts['premises']:,}"]
    if counts["rejected"]:
        lines[0] += f", and {counts['rejected']:,} rejected: {folder / 'rejects.jsonl'}"
    lines.append(
        f"{'read' if plan.no_logits else 'written':10} {counts['written']:,} pairs; "
        f"{counts['copied_positives']:,} positives and {counts['copied_negatives']:,} negatives "
        f"repeat the premise, {counts['blank']:,} with a blank text"
    )
    if "judged" in counts:
        lines.append(
            f"judged     {counts['judged']:,}; put out (a triplet may break several rules):"
        )
        lines += [f"           {n:>7,}  {rule}" for rule, n in _rules(plan, counts).items()]
    if "kept" in counts:
        share = counts["kept"] / max(counts["premises"], 1)
        lines.append(f"kept       {counts['kept']:,} ({share:.0%}): {folder / 'kept.parquet'}")
    if "steps" in counts:
        more = f" (with {counts['nli']:,} labelled)" if counts["nli"] else ""
        lines.append(
            f"trained    {counts['steps']:,} steps of {plan.settings.batch_size} on "
            f"{counts['trained_on']:,} triplets{more}: {folder / 'encoder'}"
        )
    if result.minutes:
        spent = ", ".join(f"{step} {m:.1f}" for step, m in result.minutes.items())
        lines.append(f"minutes    {spent}")
    if result.sts is not None:
        table = result.sts[["task", "pairs", "spearman"]].copy()
        if len(table) > 1:
            mean = {"task": "average", "pairs": "", "spearman": table["spearman"].mean()}
            table = pd.concat([table, pd.DataFrame([mean])])
        table["spearman"] = [f"{value:.2f}" for value in table["spearman"]]
        lines += [
            "",
            f"STS: Spearman, percent ({folder / 'sts.csv'})",
            table.to_string(index=False),
        ]
    return "\n".join(lines)


# ------------------------------------------------------------------ before minutes are lost
_TRIAL = 32  # premises


def describe(out, *, until="evaluated", **options) -> str:
    """What `run` would do: models, counts, and an estimate from a trial on a few rows.

    The trial needs all models on this machine; nothing is written and nothing downloaded for it.

    Parameters
    ----------
    out, until, **options
        Of `run`.

    Returns
    -------
    str
        Lines to print.
    """
    plan, last = make_plan(**options), _last(until)
    work = _Work(plan, quiet=True)
    if last >= STEPS.index("trained"):
        work.refuse_few()
    asked_for = plan.supervised or plan.settings.demonstrations
    labelled = len(work.labelled) if plan.nli and asked_for else plan.nli_rows
    out = Path(out).expanduser()
    changed, _ = shards.check_settings(out, work.identity, work.stale)
    s, rows = plan.settings, len(work.premises)
    asked, wanted = work.asks(), work.wanted()
    runs.say_fitted(plan)
    lines = [f"tier {plan.tier}, stages {', '.join(map(str, plan.stages)) or 'none'} → {out}"]
    lines += [shards.said_of(out, changed)] if changed else []
    for role, name in sorted(wanted.items()):
        lines.append(f"{role:10} {name}{runs.size_of(name)}")
    lines.append(f"rows       {rows:,} from {work.identity['source']}")
    if len(work.rejects):
        lines[-1] += f", and {len(work.rejects):,} that cannot be used"
    if not plan.no_logits:
        omega = s.omega if 1 in plan.stages else 0
        lines.append(
            f"to write   {2 * rows:,} texts of at most {s.max_new_tokens} tokens, ω = {omega:g}"
        )
    asked &= last >= STEPS.index("judged")
    if asked:
        lines.append(f"to judge   {2 * rows:,} pairs, scores {s.scoring}")
    steps = s.max_steps or math.ceil(
        s.epochs * ((rows + labelled * plan.supervised) // s.batch_size)
    )
    most = "" if s.max_steps else "at most "
    if last >= STEPS.index("trained"):
        kept = f"{plan.select} weights kept"
        lines.append(f"to train   {most}{steps:,} steps of {s.batch_size}; {kept}")
    else:
        steps = 0
    if until == STEPS[-1]:
        lines.append(f"to test    {examination.said(plan.examination, plan.data)}")
    else:
        lines.append(f"until      {until}")
    lines += runs.no_estimate(wanted) or _estimate(work, rows, steps, asked)
    return "\n".join(lines)


def _last(until) -> int:
    if until not in STEPS:
        raise ValueError(f"until must be one of {', '.join(STEPS)}, got {until!r}")
    return STEPS.index(until)


def _estimate(work, rows, steps, asked) -> list[str]:
    plan, some = work.plan, min(_TRIAL, rows)
    seconds = {}

    def timed(what, times, action, *arguments):
        started = time.perf_counter()
        made = action(*arguments)
        seconds[what] = (time.perf_counter() - started) * times
        return made

    if plan.no_logits:
        work.table = work.given.head(some).assign(reason="")
    else:
        work.generator  # noqa: B018  (loading is not part of the rate)
        work.table = timed("writing", rows / some, work._write, 0, some)
    if asked:
        work.generator  # noqa: B018
        timed("judging", rows / some, work._judge, 0, some)
    usable = work.table[work._usable()]
    if len(usable) and steps:
        trial, times = runs.trial_batch(usable, plan.settings.batch_size)
        taken = []
        for n in (1, 4):  # the difference leaves out what is done once
            settings = dataclasses.replace(
                plan.settings, max_steps=n, epochs=None, batch_size=len(trial)
            )
            encoder = work.fresh_encoder()
            started = time.perf_counter()
            multicsr.train(
                encoder, trial, settings, precision=plan.precision, progress=False, seed=plan.seed
            )
            taken.append(time.perf_counter() - started)
        seconds["training"] = max(taken[1] - taken[0], 0) / 3 * steps * times
    said = runs.said_times(seconds)
    return [f"estimate   {said}, from a trial on {some} rows with this device"] if said else []


# ------------------------------------------------------------------ the command line
def main(argv=None) -> int:
    """``python -m synthlib run multicsr``."""
    return runs.command(commands.multicsr(), run, describe, argv)
