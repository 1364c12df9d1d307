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

Source: He et al., Ranking sentences (2025), §§ 3 and 4.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from synthlib import commands, curation, data, decoding, losses, models, prompts, tiers
from synthlib.evaluation import examination
from synthlib.methods import ranking
from synthlib.runs import frame as runs
from synthlib.runs import shards

STEPS = ("written", "kept", "trained", "evaluated")
OWN = "base"  # as the teacher's name: the base encoder itself
POOL = 4_000  # captions of the pocket world among which anchors are drawn, at least

_SAVE_EVERY = 100  # steps between the checkpoints of the training
_ALIKE = "the teacher sees no difference between its sentences"


# ------------------------------------------------------------------ what is asked for
@dataclass(frozen=True)
class Plan:
    """All that decides a run, checked and complete; `make_plan` builds it."""

    tier: str
    settings: tiers.Ranking  # the tier's, with what was given in their place
    source: object  # of the anchors, or the file with lists
    from_file: bool
    column: str | None
    anchors: int | None
    n: int | None
    method: str
    mode: str
    variant: str
    scale: float
    seed: int
    pooling: str | None
    data: str | None
    rerank: str | None
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
    base=None,
    pooling=None,
    premises=None,
    column=None,
    lists=None,
    n=None,
    anchors=None,
    clusters=None,
    seed=0,
    generator=None,
    method="directional",
    lam=None,
    temperature=None,
    steps=None,
    max_new_tokens=None,
    teacher=None,
    omega=None,
    mode="full",
    variant="paper",
    scale=1.0,
    learning_rate=None,
    lists_per_step=None,
    epochs=None,
    eval_steps=None,
    precision=None,
    select=None,
    data=None,
    rerank=None,
    generation_batch=64,
    shard_size=64,
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
    if lists is not None and premises is not None:
        raise ValueError("give premises to start lists from or a file with lists, not both")
    if lists is not None and anchors is not None:
        raise ValueError("anchors are drawn where lists are written: with a file there are none")
    given = dict(
        encoder=base, clusters=clusters, generator=generator, lam=lam, temperature=temperature,
        steps=steps, max_new_tokens=max_new_tokens, teacher=teacher, omega=omega,
        learning_rate=learning_rate, lists_per_step=lists_per_step, epochs=epochs,
        eval_steps=eval_steps,
    )  # fmt: skip
    own = chosen.ranking
    given = {
        name: float(value)
        if isinstance(getattr(own, name), float) and value != "adaptive" else _plain(value)
        for name, value in given.items()
        if value is not None
    }  # fmt: skip
    settings = dataclasses.replace(own, **given)
    _check(settings, n, anchors, generation_batch, shard_size, scale)
    fitted = ""
    if n is not None:  # half of the sentences are anchors, for varied ones
        most = max(1, n // (2 * settings.per_cluster))
        settings, fitted = runs.fit(settings, dict(clusters=clusters), clusters=most)
    if teacher == OWN:
        settings = dataclasses.replace(settings, teacher=settings.encoder)
    if precision is not None:
        models.training_precision(device, precision)
    choices = {
        "method": (method, ranking.METHODS), "mode": (mode, ranking.MODES),
        "variant": (variant, losses.REFINEMENTS), "select": (select, (None, "dev", "last")),
    }  # fmt: skip
    for name, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(
                f"{name} must be one of {', '.join(filter(None, allowed))}, got {value!r}"
            )
    runs.check_data(data)
    source = _source(premises, lists, settings)
    which = examination.kind(settings.encoder, data, source)
    if select is None:
        select = "dev" if examination.selects(which, data) else "last"
    return Plan(
        tier=chosen.name,
        settings=settings,
        source=source,
        from_file=lists is not None,
        column=column,
        anchors=anchors,
        n=n,
        method=method,
        mode=mode,
        variant=variant,
        scale=float(scale),
        seed=seed,
        pooling=pooling,
        data=_plain(data),
        examination=which,
        rerank=_plain(rerank),
        select=select,
        precision=precision,
        shard_size=shard_size,
        dtype=None if dtype is None else str(dtype).removeprefix("torch."),
        generation_batch=generation_batch,
        device=None if device is None else str(device),
        fitted=fitted,
    )


def _check(settings, n, anchors, generation_batch, shard_size, scale):
    counts = dict(
        n=n, anchors=anchors, generation_batch=generation_batch, shard_size=shard_size,
        clusters=settings.clusters, steps=settings.steps, max_new_tokens=settings.max_new_tokens,
        lists_per_step=settings.lists_per_step, eval_steps=settings.eval_steps,
    )  # fmt: skip
    for name, value in counts.items():
        if value is not None and (value != int(value) or value < 1):
            raise ValueError(f"{name} must be a whole number from 1 up, got {value}")
    if not math.isfinite(settings.lam):
        raise ValueError(f"lam must be a finite number, got {settings.lam}")
    if settings.omega != "adaptive":
        ranking.check_omega(settings.omega)
    if not 0 <= settings.temperature < math.inf:
        raise ValueError(f"temperature must be 0 (greedy) or above, got {settings.temperature}")
    runs.check_rate("learning_rate", settings.learning_rate)
    for name, value in {"epochs": settings.epochs, "scale": scale}.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive, got {value}")


def _plain(value):
    return value if value is None or isinstance(value, int | float | str) else str(value)


def _source(premises, lists, settings):
    """What the lists come from: "pocket", a file or hub name, a corpus, or a tuple of sentences."""
    if lists is not None:
        return str(lists)
    if premises is None:
        return "pocket" if settings.corpus is None else settings.corpus
    return str(premises) if isinstance(premises, str | Path) else premises


def _identity(plan: Plan, texts) -> dict:
    """What makes two runs the same run, as JSON holds it."""
    kept = {f.name: getattr(plan, f.name) for f in dataclasses.fields(Plan) if f.compare}
    settings = dataclasses.asdict(kept.pop("settings"))
    settings["corpus"] = plan.settings.corpus.name if plan.settings.corpus else "pocket"
    if isinstance(plan.source, tiers.Corpus):
        kept["source"] = plan.source.name
    elif isinstance(plan.source, tuple):
        kept["source"] = "a list"
    for name in ("generator", "encoder", "teacher"):
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
        sentences (to draw anchors from), anchors, rejected, written, dropped (reason to number of
        lists), kept, sentences_kept, steps, base_pooling.
    table : DataFrame or None
        measure ("STS", "reranking", "transfer"), task, before, after, gain; percent.
    minutes : dict of str to float
        Of the steps that this call computed.
    """

    folder: Path
    counts: dict = field(default_factory=dict)
    table: pd.DataFrame | None = None
    minutes: dict = field(default_factory=dict)

    def lists(self):
        """All lists with the reason for which they were dropped ("" where kept), as a data set."""
        return data.load(self.folder / "lists.parquet")

    def kept(self):
        """The lists that were trained on, as a data set."""
        return data.load(self.folder / "kept.parquet")

    def encoder(self, device=None):
        """The post-trained encoder."""
        return models.load_encoder(self.folder / "encoder", device=device)


def run(out, *, until="evaluated", quiet=False, **options) -> Result:
    """Anchors → lists → verification → similarities → post-trained encoder → tables.

    Interrupted at any moment, the same call with the same folder goes on and ends with the same
    files, byte for byte. Several processes (`torchrun`, `accelerate launch`) share the shards,
    and the training where a step has a list for each.

    Parameters
    ----------
    out : path
        Folder of the run.
    until : "written", "kept", "trained" or "evaluated"
        The last step to take; a later call goes on from there.
    quiet : bool
        No progress bars and no report.
    tier : "pocket", "colab" or "paper"
        Where the values come from that are not given; default as `tiers.get`.
    base, pooling
        The encoder to post-train, and how it pools where its folder does not say.
    premises, column, seed
        Of `data.load_premises`: where anchors are drawn from. The seed serves k-means, sampling
        and the training as well.
    n : int, optional
        So many of the sentences, drawn with the seed; clusters that are not given are made to fit.
    anchors, clusters : int
        Of `ranking.anchors`; default the tier's clusters, and its number of anchors in each.
    lists : path, optional
        Lists written elsewhere (`data.load_ranking_lists`), in place of writing some. They may
        differ in length, so completeness is not asked of them.
    generator, method, lam, temperature, steps, max_new_tokens
        Of `ranking.write`.
    teacher, scale, omega, mode, variant
        The frozen encoder φ, or "base", the base encoder as it is before; of
        `ranking.teacher_similarities` and `ranking.targets`. A teacher that is weaker than the
        base pulls it down.
    learning_rate, lists_per_step, epochs, eval_steps, precision
        Of the post-training.
    select : "dev" or "last"
        Keep the weights that are best on the development pairs (mean of STS-B and SICK-R where
        `data` is given; else STS-B from the Hub, or the pocket world's natural pairs), or the last
        ones. Default "dev" wherever there are such pairs.
    data : path, optional
        Evaluate on SentEval's files there. Default: STS-B from the Hub, and the pocket sets for a
        pocket base or on the pocket world's premises.
    rerank : path, optional
        Rerank a file or folder of `evaluation.load_reranking`; default the pocket sets where they
        evaluate, and nothing elsewhere.
    generation_batch, shard_size
        Lists that the generator works on at once; lists in a shard.
    device, dtype
        Of `models.load_generator`; the device serves the encoders too.

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
    if until not in STEPS:
        raise ValueError(f"until must be one of {', '.join(STEPS)}, got {until!r}")
    work = _Work(make_plan(**options), quiet)
    runs.check_models(work.wanted().values())
    work.read_sets(until)
    many, each = work.everyone.size, work.plan.settings.lists_per_step
    if each % many and STEPS.index(until) >= STEPS.index("trained"):
        raise ValueError(
            f"a step of {each} lists cannot be shared by {many} processes: write and verify "
            "together (--until kept), then give the same command to one process alone, or take "
            f"--lists-per-step {many}"
        )
    steps = STEPS[: STEPS.index(until) + 1]
    return runs.carry_out(work, Result(Path(out).expanduser()), steps, _report)


class _Work:
    """One call of `run`: the steps, and the models that they share, each loaded when needed."""

    batch = "--lists-per-step"  # the option for a batch of the training

    def __init__(self, plan: Plan, quiet: bool):
        self.plan, self.quiet = plan, quiet
        self.everyone = shards.processes()
        self.progress = not quiet and self.everyone.rank == 0
        settings = plan.settings
        if plan.from_file:
            self.given, rejects = data.load_ranking_lists(plan.source)
            self.sentences = [text for row in self.given for text in row]
        else:
            pool = max(POOL, 4 * (plan.anchors or settings.clusters * settings.per_cluster))
            self.found, rejects = runs.distinct_sentences(
                plan.source, column=plan.column, n=plan.n, seed=plan.seed,
                of_tier=pool if plan.source == "pocket" else None,
            )  # fmt: skip
            self.sentences = list(self.found["sentence"])
            clusters = min(settings.clusters, plan.anchors or settings.clusters)
            if clusters > len(self.sentences):
                raise ValueError(
                    f"{clusters} clusters are more than the {len(self.sentences)} distinct "
                    f"sentences to draw anchors from (tier {plan.tier}): --sentences "
                    f"{len(self.sentences)} makes them fit; or give more sentences, or fewer "
                    "clusters (--clusters) or anchors (--anchors)"
                )
        if plan.from_file:
            rejects = rejects.assign(file=plan.source)
        self.rejects = rejects.assign(where=plan.source if plan.from_file else "premises")
        self.identity = _identity(plan, self.sentences)
        self.note = functools.partial(runs.note_unknown_words, self.sentences, set())

    # -------------------------------------------------------------- what examines
    @functools.cached_property
    def frames(self):
        plan = self.plan
        return examination.everything(plan.examination, plan.data, plan.rerank)

    @functools.cached_property
    def development(self):
        plan = self.plan
        if plan.select != "dev":
            return None
        tasks = _development_tasks(plan.data)
        return examination.development(plan.examination, plan.data, tasks)

    def sets(self) -> str:
        """What examines, in words; nothing is fetched for it."""
        plan = self.plan
        if plan.examination != examination.BY_NAME:
            return "; ".join(f"{k}: {', '.join(v)}" for k, v in self.frames.items())
        reranking = "" if plan.rerank is None else f"; reranking: {plan.rerank}"
        return f"STS: {examination.said(plan.examination)}{reranking}"

    def read_sets(self, until):
        """All that the steps up to `until` need: a damaged file costs seconds, not hours."""
        if until in ("trained", "evaluated"):
            self.development  # noqa: B018
        if until == "evaluated":
            self.frames  # noqa: B018

    def stale(self, changed):
        """What other settings make wrong (`shards.open_run`): later ones, not the lists."""
        later = {
            "compared": ["teacher", "scale"],
            "kept": ["mode"],
            "trained": [
                "omega", "variant", "learning_rate", "lists_per_step", "epochs", "eval_steps",
                "tau", "max_length", "precision", "bf16", "select",
            ],
            "evaluated": ["data", "rerank"],
        }  # fmt: skip
        if self.plan.from_file:  # else the base draws the anchors
            later["trained"].append("encoder")
            later["compared"].append("pooling")
        if "dev" in (self.plan.select, *changed.get("select", ())):
            later["trained"].append("data")
            later["evaluated"].remove("data")
        made = {
            "compared": ["compared"],
            "kept": ["lists.parquet", "kept.parquet"],
            "trained": ["training", "encoder"],
            "evaluated": ["results.csv", "report.json"],
        }
        step_of = {name: step for step, names in later.items() for name in names}
        return runs.stale(changed, step_of, made)

    # -------------------------------------------------------------- models
    def wanted(self) -> dict:
        """Role to the name of its model, for the models that this run takes."""
        s = self.plan.settings
        wanted = {"base": s.encoder}
        if self.plan.mode != "rank":
            wanted["teacher"] = s.teacher
        if not self.plan.from_file:
            wanted["generator"] = s.generator
        return wanted

    def ready(self):
        """Raise where a model cannot be had."""
        plan, wanted = self.plan, self.wanted()
        if "generator" in wanted:
            models.find(wanted["generator"], "generator", device=plan.device, dtype=plan.dtype)
        if "teacher" in wanted:
            self.teacher  # noqa: B018
        self.base()

    @functools.cached_property
    def generator(self):
        plan = self.plan
        held = models.load_generator(plan.settings.generator, device=plan.device, dtype=plan.dtype)
        self.note(plan.settings.generator, held[1])
        return held

    @functools.cached_property
    def teacher(self):
        """φ: list of strings → array."""
        try:
            name, base = self.plan.settings.teacher, self.plan.settings.encoder
            pooling = self.plan.pooling if name == base else None
            encoder = models.load_encoder(name, pooling=pooling, device=self.plan.device)
        except models.UnknownPooling:
            raise ValueError(
                f"the teacher {name} does not say how it pools tokens into a sentence "
                "vector: take an encoder that was saved with its pooling"
            ) from None
        return _encode(encoder)

    def base(self):
        """The encoder to post-train, as it is before."""
        name = self.plan.settings.encoder
        encoder = models.load_encoder(name, pooling=self.plan.pooling, device=self.plan.device)
        self.note(name, encoder.tokenizer)
        return encoder

    # -------------------------------------------------------------- lists
    def written(self, result):
        plan, folder, counts = self.plan, result.folder, result.counts
        counts["sentences"] = len(self.sentences)
        if plan.from_file:
            self.table = pd.DataFrame({"sentences": self.given, "reason": ""})
            new = False
        else:
            drawn = shards.rows(
                folder / "anchors", 1, self._anchors, size=1, everyone=self.everyone,
                progress=False,
            )  # fmt: skip
            long = drawn.get("reason", pd.Series("", drawn.index)) != ""
            self.anchors = list(drawn["anchor"][~long])
            if long.any():
                rows = self.found.index[self.found["sentence"].isin(drawn["anchor"][long])]
                self.rejects = pd.concat(
                    [self.rejects, runs.refused(self.found, rows, decoding.TOO_LONG)],
                    ignore_index=True,
                )
            new = not shards.whole(folder / "written", len(self.anchors), plan.shard_size)
            self.table = shards.rows(
                folder / "written", len(self.anchors), self._write, size=plan.shard_size,
                everyone=self.everyone, progress=self.progress, unit="list",
            )  # fmt: skip
            self.table["sentences"] = [list(row) for row in self.table["sentences"]]
        counts["anchors"] = len(self.table)
        counts["written"] = int((self.table["reason"] == "").sum())
        counts["sentences_written"] = sum(
            len(row) for row in self.table["sentences"][self.table["reason"] == ""]
        )
        return new

    def _anchors(self, start, stop):
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
            encode=_encode(self.base()),
        )  # fmt: skip
        reasons = [""] * len(drawn) + [decoding.TOO_LONG] * len(long)
        return pd.DataFrame({"anchor": [*drawn, *long], "reason": reasons})

    def _fits(self, sentences):
        """Which sentences' prompts leave the generator room for an answer."""
        plan, settings = self.plan, self.plan.settings
        form = prompts.form_of(self.generator[0])
        template = ranking.PROMPTS[plan.method][form]
        asked = [template.replace("{sentence}", text) for text in sentences]
        room = settings.max_new_tokens * (settings.steps if plan.method == "at_once" else 1)
        return decoding.fits(self.generator, asked, room)

    def _write(self, start, stop):
        plan, settings = self.plan, self.plan.settings
        part = self.anchors[start:stop]
        fit = self._fits(part)
        written = ranking.write(
            self.generator, [text for text, ok in zip(part, fit, strict=True) if ok],
            plan.method, lam=settings.lam, temperature=settings.temperature,
            steps=settings.steps, seed=_seed(plan.seed, start),
            max_new_tokens=settings.max_new_tokens, batch_size=plan.generation_batch,
        )  # fmt: skip
        lists = iter(written)
        return pd.DataFrame({
            "row": range(start, stop),
            "sentences": [next(lists) if ok else [x] for x, ok in zip(part, fit, strict=True)],
            "reason": np.where(fit, "", decoding.TOO_LONG),
        })  # fmt: skip

    def kept(self, result):
        plan, folder, counts = self.plan, result.folder, result.counts
        self.__dict__.pop("generator", None)  # its memory is wanted for the training
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
            new = not shards.whole(folder / "compared", len(rows), plan.shard_size)
            found = shards.rows(
                folder / "compared", len(rows), functools.partial(self._compare, rows),
                size=plan.shard_size, everyone=self.everyone, progress=self.progress, unit="list",
            )["phi"]  # fmt: skip
            self.phi = [np.reshape(one, (len(row), len(row))) for one, row in
                        zip(found, rows, strict=True)]  # fmt: skip
            alike = [_alike(one, plan.scale) for one in self.phi]
            places = iter(alike)
            self.table["reason"] = [why or (_ALIKE if next(places) else "") for why in reasons]
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

    def _compare(self, rows, start, stop):
        try:
            phi = ranking.teacher_similarities(
                self.teacher, rows[start:stop], scale=self.plan.scale
            )
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
        everything = pd.DataFrame({
            "anchor": [row[0] for row in rows], "sentences": [row[1:] for row in rows],
            "reason": reasons,
        })  # fmt: skip
        data.save(data.ranking_lists(list(rows), origin=origin).add_column("reason", reasons),
                  folder / "lists.parquet")  # fmt: skip
        dropped = everything[everything["reason"] != ""]
        more = pd.DataFrame({
            "file": "lists.parquet", "line": dropped.index + 1,
            "reason": dropped["reason"], "text": dropped["anchor"], "where": "lists",
        })  # fmt: skip
        rejects = pd.concat([self.rejects, more], ignore_index=True) if len(more) else self.rejects
        counts["rejected"] = len(self.rejects)
        data.save_rejects(folder / "rejects.jsonl", rejects)
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
        new = not (folder / "encoder").is_dir()
        if new:
            base = self.base()
            wanted = ranking.targets(
                self.phi, settings.omega, variant=plan.variant, mode=plan.mode
            )
            ranking.post_train(
                base, self.rows, wanted, settings, seed=plan.seed, precision=plan.precision,
                dev=self.development, output_dir=folder / "training", save_steps=_SAVE_EVERY,
                progress=self.progress,
            )  # fmt: skip
            if self.everyone.rank == 0:  # a fresh tokenizer has no memory of the training
                runs.save_encoder(base, self.base(), folder, processes=self.everyone.size)
        self.everyone.wait()
        if self.everyone.rank == 0:
            shutil.rmtree(folder / "training", ignore_errors=True)
        result.counts["steps"] = math.ceil(settings.epochs * (len(self.rows) // per_step))
        return new

    # -------------------------------------------------------------- evaluation
    def evaluated(self, result):
        file = result.folder / "results.csv"
        new = not file.is_file()
        if new and self.everyone.rank == 0:
            after = models.load_encoder(result.folder / "encoder", device=self.plan.device)
            marks = {
                name: examination.examine(_encode(encoder), self.frames, progress=self.progress)
                for name, encoder in (("before", self.base()), ("after", after))
            }
            table = marks["before"].rename(columns={"mark": "before"})
            table["after"] = marks["after"]["mark"]
            table["gain"] = table["after"] - table["before"]
            data.write_bytes(file, table.to_csv(index=False).encode())
        self.everyone.wait()
        result.table = pd.read_csv(file)
        return new


def _alike(phi, scale) -> bool:
    """Whether a teacher finds all pairs of a list equally similar, so that nothing is ranked."""
    others = phi[~np.eye(len(phi), dtype=bool)]
    return len(phi) > 2 and bool(np.ptp(others) <= 1e-5 * scale)


def _encode(encoder):
    return functools.partial(encoder.encode, batch_size=128, show_progress_bar=False)


def _seed(seed, start) -> int:
    """Of sampling in the shard that begins with row `start`."""
    return int(np.random.SeedSequence((seed, start)).generate_state(1)[0])


def _development_tasks(folder):
    """STS-B, and SICK-R where its trial pairs are there."""
    if folder is None:
        return ()
    sick = (Path(folder) / "SICK" / "SICK_trial.txt").is_file()
    return ("STS-B", "SICK-R") if sick else ("STS-B",)


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
    if counts.get("rejected"):
        lines[0] += f", and {counts['rejected']:,} rejected: {folder / 'rejects.jsonl'}"
    if "kept" in counts:
        for why, n in sorted(counts["dropped"].items(), key=lambda item: -item[1]):
            lines.append(f"dropped    {n:>7,}  {why}")
        share = counts["kept"] / max(counts["anchors"], 1)
        lines.append(f"kept       {counts['kept']:,} ({share:.0%}): {folder / 'kept.parquet'}")
    if "steps" in counts:
        lines.append(f"trained    {counts['steps']:,} steps: {folder / 'encoder'}")
    if result.minutes:
        spent = ", ".join(f"{step} {m:.1f}" for step, m in result.minutes.items())
        lines.append(f"minutes    {spent}")
    if result.table is not None:
        titles = {
            "STS": "STS: Spearman, percent", "reranking": "reranking: mean average precision",
            "transfer": "transfer: accuracy, percent",
        }  # fmt: skip
        for measure, part in result.table.groupby("measure", sort=False):
            part = part.drop(columns="measure")
            if len(part) > 1:
                mean = {"task": "average"} | part.drop(columns="task").mean().to_dict()
                part = pd.concat([part, pd.DataFrame([mean])])
            part["gain"] = [f"{value:+.2f}" for value in part["gain"]]
            text = part.to_string(index=False, float_format="{:.2f}".format)
            lines += ["", f"{titles[measure]} ({folder / 'results.csv'})", text]
    return "\n".join(lines)


# ------------------------------------------------------------------ before minutes are lost
_TRIAL, _TRIAL_STEPS = 16, 3  # lists and sentences


def describe(out, *, until="evaluated", **options) -> str:
    """What `run` would do: models, counts, and an estimate from a trial on a few lists.

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
    plan = make_plan(**options)
    work = _Work(plan, quiet=True)
    out = Path(out).expanduser()
    changed, _ = shards.check_settings(out, work.identity, work.stale)
    s = plan.settings
    wanted = work.wanted()
    runs.say_fitted(plan)
    lines = [f"tier {plan.tier} → {out}"]
    lines += [shards.said_of(out, changed)] if changed else []
    lines += [f"{role:10} {name}{runs.size_of(name)}" for role, name in sorted(wanted.items())]
    if plan.from_file:
        n = len(work.given)
        lines.append(f"lists      {n:,} from {plan.source}")
    else:
        n = plan.anchors or s.clusters * s.per_cluster
        lines.append(f"anchors    at most {n:,} of {len(work.sentences):,} sentences, by k-means")
        how = f"λ = {s.lam:g}, " if plan.method == "directional" else ""
        lines.append(
            f"to write   {n:,} lists of {s.steps} sentences, {plan.method}, {how}"
            f"temperature {s.temperature:g}"
        )
    trains = STEPS.index(until) >= STEPS.index("trained")
    if trains and n < s.lists_per_step:
        raise ValueError(
            f"{n:,} lists are fewer than the {s.lists_per_step:,} of one step: lower "
            "--lists-per-step, or start from more --anchors"
        )
    steps = math.ceil(s.epochs * (n // s.lists_per_step)) if trains else 0
    lines.append(f"target     {plan.mode}, ω = {s.omega}, similarities × {plan.scale:g}")
    if trains:
        lines.append(f"to train   at most {steps:,} steps; {plan.select} weights kept")
    if until == STEPS[-1]:
        lines.append(f"to test    {work.sets()}")
    else:
        lines.append(f"until      {until}")
    return "\n".join([*lines, *(runs.no_estimate(wanted) or [_estimate(work, n, steps)])])


def _estimate(work, n, steps) -> str:
    plan, s = work.plan, work.plan.settings
    said = {}
    if plan.from_file:
        lists = [row for row in work.given if len(row) > 1][:_TRIAL]
    else:
        anchors = work.sentences[: min(_TRIAL, n)]
        generator = work.generator
        some = min(_TRIAL_STEPS, s.steps)
        started = time.perf_counter()
        lists = ranking.write(
            generator, anchors, plan.method, lam=s.lam, steps=some,
            max_new_tokens=s.max_new_tokens, batch_size=plan.generation_batch,
        )  # fmt: skip
        spent = (time.perf_counter() - started) * n / len(anchors) * s.steps / some
        said["writing"] = spent
        lists = [row for row in lists if len(row) > 1]
    if lists and steps:
        size = min(s.lists_per_step, _TRIAL)
        wanted = ranking.targets(
            [np.zeros((len(row), len(row)), np.float32) for row in lists], mode="rank"
        )
        longer = 1 if plan.from_file else s.steps / _TRIAL_STEPS
        base, taken = work.base(), []
        for few in (1, 5):  # the difference leaves out what is done once
            rows = [lists[i % len(lists)] for i in range(few * size)]
            goals = [wanted[i % len(lists)] for i in range(few * size)]
            started = time.perf_counter()
            ranking.post_train(
                base, rows, goals, dataclasses.replace(s, lists_per_step=size), epochs=1,
                precision=plan.precision, progress=False,
            )  # fmt: skip
            taken.append(time.perf_counter() - started)
        spent = max(taken[1] - taken[0], 0) / 4 * steps * longer
        said["training"] = spent * s.lists_per_step / size
    return (
        f"estimate   {runs.said_times(said)}, from a trial on {len(lists)} lists with this device"
    )


# ------------------------------------------------------------------ the command line
def main(argv=None) -> int:
    """``python -m synthlib run ranking``."""
    return runs.command(commands.ranking(), run, describe, argv)
