"""What the methods' runs from end to end share: one call of a run, and its steps in a folder.

`plans` makes a plan of a run's options, `named` finds its models, `shards` keeps the rows that it
makes; this module takes the steps one after another, and writes the trained encoder whole or not
at all. `foreseen` says beforehand what it would do.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import math
import os
import shutil
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from synthlib import data, endpoint, memory, models, options, prompts, spending
from synthlib.evaluation import examination
from synthlib.methods import served
from synthlib.runs import journal, named, plans, ray_engine, shards

_A_CALL = 8192  # texts of an encoder between two looks at its bar


@dataclass
class Result:
    """What a run has made, of any method.

    Attributes
    ----------
    folder : Path
    counts : dict
    minutes : dict of str to float
        Of the steps that this call computed.
    """

    folder: Path
    counts: dict = field(default_factory=dict)
    minutes: dict = field(default_factory=dict)

    def kept(self):
        """What was kept and trained on, as a data set."""
        return data.load(self.folder / "kept.parquet")

    def encoder(self, device=None):
        """The trained encoder."""
        return models.load_encoder(self.folder / "encoder", device=device)


class Work:
    """One call of a run: what its steps share; a method's own class adds the steps.

    That class names `order`, its steps one after another, each of them one of its methods:
    step(result) -> whether it computed anything; `made`, what each step makes; and `batch`, the
    option for a batch of the training. It calls `begin_with`, and has `wanted` (role to the name
    of its model), `fresh` (the encoder as it was) and what `foreseen.describe` asks for.
    """

    sent = ("plan", "quiet", "progress", "everyone", "note", "out")  # to machines that make shards
    held = ("discriminator", "generator", "guide", "judge", "teacher")  # models, from step to step
    rest = "trains and examines"  # what is left to this process where an engine makes shards
    made = {}  # step to names in the folder, in the order of the steps; those that others may spoil
    width = 10  # of the first words of a dry run's lines
    out = None  # the run's folder, while it is at work
    answers = None  # of a model behind an API, and what they have cost
    engine = None  # that makes shards, where it is not this process

    def __init__(self, plan, quiet: bool):
        self.plan, self.quiet = plan, quiet
        if plan.engine == "ray":
            ray_engine.check(plan.address)
        self.everyone = shards.processes()
        self.progress = not quiet and self.everyone.rank == 0

    def begin_with(self, sentences, rejects, where="premises", /, **identity) -> None:
        """Take a run's sentences, what could not be used, and what else decides the run."""
        self.sentences, self.rejects = sentences, rejects.assign(where=where)
        self.identity = plans.identity(self.plan, **identity)
        self.note = functools.partial(note_unknown_words, sentences[:200], set())

    def __getstate__(self):
        """Neither models nor sentences: a machine that makes shards gets the rows of each."""
        state = {name: vars(self)[name] for name in self.sent}
        plan = state["plan"]
        if isinstance(plan.source, tuple):
            plan = dataclasses.replace(plan, source=(), premises=())
        return state | {"plan": plan, "progress": False}

    # -------------------------------------------------------------- the steps
    def steps(self) -> tuple:
        """Those that this call takes."""
        return self.order[: self.order.index(self.plan.until) + 1]

    def takes(self, step) -> bool:
        """Whether the run goes on to a step."""
        return step in self.steps()

    def headline(self) -> str:
        """What a dry run's first line says behind the tier."""
        return ""

    def many(self) -> int:
        """Sentences, or lists of them, that the run begins with."""
        return len(self.sentences)

    def stale(self, changed):
        """What other settings make wrong (`shards.open_run`): of later steps alone."""
        step_of = self.matters(changed)
        if set(changed) - set(step_of):
            return None
        steps = list(self.made)
        first = min(steps.index(step_of[name]) for name in changed)
        return [name for step in steps[first:] for name in self.made[step]]

    def matters(self, changed) -> dict:
        """A setting to the step where it first matters; what stands nowhere: from the start."""
        step_of = options.steps_of(type(self.plan))
        if "dev" in (self.plan.select, *changed.get("select", ())):
            step_of["data"] = "trained"
        return step_of

    def begins(self, folder, **more) -> None:
        """Say in the journal when work in a folder of the run begins, or goes on."""
        if self.progress:
            journal.add(self.out, begins=folder.relative_to(self.out).as_posix(), **more)

    def refuse(self, rows, reasons) -> None:
        """Count sentences that a model cannot read, rows of `found`, among the rejects."""
        some = self.found.iloc[list(rows)]
        more = pd.DataFrame({
            "file": some["file"], "line": some["line"], "reason": reasons,
            "text": some["sentence"], "where": "generation",
        })  # fmt: skip
        self.rejects = pd.concat([self.rejects, more], ignore_index=True)

    def keep_rejects(self, more=()) -> None:
        """Write what could not be used, and more of that kind, where there is any."""
        if self.everyone.rank == 0:
            rejects = pd.concat([self.rejects, more]) if len(more) else self.rejects
            data.save_rejects(self.out / "rejects.jsonl", rejects)

    # -------------------------------------------------------------- rows in shards
    def in_shards(self, folder, given, make, unit, models) -> tuple[pd.DataFrame, bool]:
        """The rows of a step, made by this process, those beside it, or the run's engine.

        Parameters
        ----------
        folder : Path
            Of the step.
        given : sequence or DataFrame
            What the rows are made of, one by one.
        make : function (some of given, number of their first) -> DataFrame
            A method, or a partial of one; the same whatever was made before.
        unit : str
            Of the progress bar.
        models : sequence of str or Path
            Names of those that it takes; paths of those that the run itself has made.

        Returns
        -------
        table : DataFrame
        new : bool
            Whether any of it was not there yet.
        """
        new = not shards.whole(folder, len(given), self.plan.shard_size)
        if new:
            self.begins(folder)

        def elsewhere(places):
            self.let_go(*self.held)  # nobody asks them here: their memory is for who makes shards
            prints = {one: named.fingerprint(one) for one in models if not isinstance(one, Path)}
            made = {
                one.relative_to(self.out).as_posix(): (named.fingerprint(one), named.files_of(one))
                for one in models if isinstance(one, Path)
            }  # fmt: skip
            parts = {n: (given[start:stop], start) for n, (start, stop) in places.items()}
            yield from self.engine.make(make, functools.partial(self.equip, prints, made), parts)

        table = shards.rows(
            folder, len(given), lambda start, stop: make(given[start:stop], start),
            size=self.plan.shard_size, everyone=self.everyone, progress=self.progress, unit=unit,
            elsewhere=elsewhere if self.engine else None,
        )  # fmt: skip
        return table, new

    def once(self, folder, make) -> tuple[pd.DataFrame, bool]:
        """The same for a table that is made in one piece, by this process: make() -> DataFrame."""
        new = not shards.whole(folder, 1, 1)
        table = shards.rows(
            folder, 1, lambda *_: make(), size=1, everyone=self.everyone, progress=False
        )
        return table, new

    def equip(self, prints: dict, made: dict) -> None:
        """On a machine that makes shards: raise where it lacks a model.

        Parameters
        ----------
        prints : dict of str to str
            Of `named.check_same`.
        made : dict of str to (str, dict of str to array)
            Models that the run itself has made, by their names in its folder: fingerprint and
            files. A machine that does not see that folder gets them in one of its own.
        """
        named.check_same(prints)
        if all(named.fingerprint(self.out / name) == there for name, (there, _) in made.items()):
            return
        self.out = named.own_folder(self)
        for name, (_, files) in made.items():
            for file, content in files.items():
                place = self.out / name / file
                place.parent.mkdir(parents=True, exist_ok=True)
                content.tofile(place)

    # -------------------------------------------------------------- what examines
    @functools.cached_property
    def frames(self):
        return examination.sts(self.plan.examination, self.plan.data)

    def sets(self) -> str:
        """What examines, in words; nothing is fetched for it."""
        return examination.said(self.plan.examination, self.plan.data)

    def development_tasks(self):
        """Of SentEval's folder, those that select weights."""
        return ("STS-B",)

    @functools.cached_property
    def development(self):
        plan = self.plan
        if plan.select != "dev":
            return None
        return examination.development(plan.examination, plan.data, self.development_tasks())

    def look(self):
        """Read what the steps need: a damaged file costs seconds, not hours."""
        if self.takes("trained"):
            self.development  # noqa: B018
        if self.takes("evaluated"):
            self.frames  # noqa: B018

    # -------------------------------------------------------------- models
    def ready(self):
        """Raise where a model cannot be had."""
        plan, wanted = self.plan, self.wanted()
        for role, name in wanted.items():
            if endpoint.is_served(name):
                endpoint.check(plan.base_url, plan.key_variable)
            elif role in named.KINDS:
                models.find(name, named.KINDS[role], device=plan.device, dtype=plan.dtype)
        for role in {"guide", "teacher"} & set(wanted):
            getattr(self, role)
        self.fresh()

    def let_go(self, *names) -> None:
        """Forget models that nobody asks any more: their memory is wanted."""
        for name in names:
            self.__dict__.pop(name, None)

    def connect(self, name, examples=None):
        """A model behind an API, its answers kept in the run's folder."""
        plan = self.plan
        if self.everyone.size > 1:
            raise ValueError(
                f"{name} is asked by one process: write and judge with one alone (--until kept; "
                "--parallel asks side by side), then give the same command to all"
            )
        if self.answers is None:
            budget = spending.Budget(plan.budget, plan.price_in, plan.price_out)
            self.answers = spending.Answers(self.out and self.out / "answers.jsonl", budget)
        return endpoint.connect(
            name, base_url=plan.base_url, variable=plan.key_variable, parallel=plan.parallel,
            timeout=plan.timeout, answers=self.answers, examples=examples,
        )  # fmt: skip

    def load_generator(self):
        plan, examples = self.plan, plans.examples_of(vars(self.plan))
        if endpoint.is_served(plan.generator):
            held = self.connect(plan.generator, examples)
            prompts.form_of(*held)  # raises for examples that there are not
            return held
        held = models.load_generator(
            plan.generator, device=plan.device, dtype=plan.dtype, form=plan.form, examples=examples
        )
        self.note(plan.generator, held[1])
        return held

    def load_nli(self, name):
        """An NLI model, or a model behind an API that is asked for its three labels."""
        if endpoint.is_served(name):
            return served.discriminator(self.connect(name))
        held = models.load_nli(name, device=self.plan.device)
        self.note(name, held[1])
        return held

    def frozen(self, role, pooling=None):
        """The frozen encoder of a role: list of strings → array."""
        name = getattr(self.plan, role)
        try:
            encoder = models.load_encoder(name, pooling=pooling, device=self.plan.device)
        except models.UnknownPooling:
            raise ValueError(
                f"the {role} {name} does not say how it pools tokens into a sentence vector: take "
                "an encoder that was saved with its pooling"
            ) from None
        return encoding(encoder)

    # -------------------------------------------------------------- what a step makes in one piece
    def train_in(self, home, train, fresh) -> bool:
        """Train an encoder and write it, where there is none yet.

        Parameters
        ----------
        home : Path
            Of the run, or of one of its rounds.
        train : function
            () -> the trained encoder.
        fresh : function
            () -> the same as it was loaded: its tokenizer has no memory of the training.
        """
        new = not (home / "encoder").is_dir()
        if new:
            self.begins(home / "training")
            encoder = train()
            if self.everyone.rank == 0:
                if not self.quiet:
                    journal.add(self.out, curve=home.name if home != self.out else "",
                                log=getattr(encoder, "training_history", []))  # fmt: skip
                self._save_encoder(encoder, fresh(), home)
        self.everyone.wait()
        if self.everyone.rank == 0:
            shutil.rmtree(home / "training", ignore_errors=True)
        return new

    def _save_encoder(self, encoder, fresh, home) -> None:
        """Write it to ``encoder``, all of it or nothing.

        Each process that trains draws its own dropout, so ``run.json`` says how many they were.
        """
        unfinished = home / "training" / "encoder"
        shutil.rmtree(unfinished, ignore_errors=True)
        fresh.load_state_dict(encoder.state_dict())
        with models.quiet():
            fresh.save_pretrained(str(unfinished), create_model_card=False)
        name = (home / "encoder").relative_to(self.out).as_posix()
        shards.note(self.out, f"{name} trained by", self.everyone.size)
        os.replace(unfinished, home / "encoder")

    def table_in(self, file, make) -> bool:
        """Write a table that `make` gives, where it is not there yet."""
        new = not file.is_file()
        if new and self.everyone.rank == 0:
            data.write_bytes(file, make().to_csv(index=False).encode())
        self.everyone.wait()
        return new

    # -------------------------------------------------------------- beginning and end
    def open(self):
        """Reach the engine that makes shards, before anything is computed."""
        plan = self.plan
        if plan.engine == "ray":
            self.engine = ray_engine.Ray(plan.address, plan.actors, plan.device)

    def close(self):
        """Put away what was answered, in the journal what it has cost; part from the engine."""
        if self.engine is not None:
            self.engine.close()
        if self.answers is not None:
            self.answers.close()
            if self.progress:
                journal.add(self.out, note=f"API: {self.answers.budget.said()}")

    def said_spent(self) -> str:
        """What a run's report says of the API, or nothing."""
        return f"API        {self.answers.budget.said()}" if self.answers is not None else ""


# ------------------------------------------------------------------ sentences and vectors
def digest_of(texts) -> str:
    """Tells two sequences of texts apart."""
    digest = hashlib.blake2b(digest_size=8)
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def note_unknown_words(texts, said: set, name, tokenizer) -> None:
    """Warn of a model whose vocabulary is another world's, such as a pocket model on real text.

    Each model once: `said` holds the names of those that were looked at.
    """
    if name in said:
        return
    said.add(name)
    rows = tokenizer(list(texts[:200]), add_special_tokens=False, verbose=False)["input_ids"]
    ids = [i for row in rows for i in row]
    unknown = sum(i == tokenizer.unk_token_id for i in ids) / max(len(ids), 1)
    if unknown > 0.2:
        warnings.warn(
            f"{name} does not know {unknown:.0%} of the words in the premises, so what it makes of "
            "them is worth nothing: take a model that does (--generator, --encoder, or --tier)",
            stacklevel=2,
        )


def encoding(encoder):
    """List of strings → array, without a progress bar."""
    return functools.partial(encoder.encode, batch_size=128, show_progress_bar=False)


def with_bar(encode, name):
    """The same, with a progress bar of that name."""

    def shown(texts):
        parts = []
        with tqdm(total=len(texts), desc=name, unit="text") as bar:
            for start in range(0, len(texts), _A_CALL):
                parts.append(np.asarray(encode(texts[start : start + _A_CALL])))
                bar.update(len(parts[-1]))
        return np.concatenate(parts)

    return shown


# ------------------------------------------------------------------ a run is carried out
def carry_out(work, result, report):
    """Take a run's steps one after another in its folder; what was done before is read back.

    Parameters
    ----------
    work : Work
    result : object
        With `folder` (Path), `counts` and `minutes` (dicts), which the steps fill.
    report : callable
        report(plan, result) -> the text that is printed at the end, unless the run is quiet.

    Returns
    -------
    result
    """
    folder, plan = result.folder, work.plan
    work.out = folder
    changed, _ = shards.check_settings(folder, work.identity, work.stale)
    for name in work.wanted().values():
        named.at_hand(name)  # before anything is fetched for the examination
    work.look()
    named.check_models(work.wanted())
    device = models.pick_device(plan.device)
    call = {
        "processes": work.everyone.size, "device": str(device),
        "precision": models.training_precision(device, plan.precision),
        "versions": data.origin_of("")["versions"],
    }  # fmt: skip
    if plan.engine != options.PROCESSES:
        call["engine"] = plan.engine
    if plans.behind_api(plan.settings):
        call["base_url"] = endpoint.address(plan.base_url)
    if changed or not (folder / "run.json").is_file():
        work.ready()  # a model that cannot be had costs no minutes, and leaves no folder
    held = shards.open_run(
        folder, work.identity, stale=work.stale, call=call, everyone=work.everyone,
        sentences=work.many(),
    )  # fmt: skip
    # What the run warns of goes into its journal.
    notes = journal.notes(folder) if work.progress else contextlib.nullcontext()
    absent = [one for one in (folder, *folder.absolute().parents) if not one.exists()]
    try:
        with held, full_disk(folder), notes, contextlib.closing(work):
            work.open()
            if work.progress:
                say_fitted(plan)
            for step in work.steps():
                with _shared_batch(work, step), _kept_time(work, step, result.minutes) as made:
                    made["new"] = getattr(work, step)(result)
            if work.everyone.rank == 0:
                content = json.dumps(result.counts, indent=1)
                data.write_bytes(folder / "report.json", content.encode())
                if not work.quiet:
                    said = [report(plan, result), work.said_spent()]
                    print("\n".join(filter(None, said)), flush=True)
    except (ValueError, OSError):  # of a model that cannot be loaded, say
        if work.everyone.rank == 0:
            shards.remove_unused(absent)
        raise
    return result


@contextmanager
def full_disk(folder):
    """One clear line where a library met a full disk in its own words."""
    try:
        yield
    except Exception as error:
        said = str(error)
        full = any(words in said for words in ("No space left", "os error 28"))
        if not full and "PytorchStreamWriter" in said:
            full = shutil.disk_usage(folder).free < 2**26
        if not full:
            raise
        raise OSError(
            f"the disk is full: weights in {folder} could not be written. What was written "
            "before is whole; make room and run the same command again"
        ) from error


@contextmanager
def _kept_time(work, step, minutes):
    """The time of a step that computes anything; in the journal with its memory."""
    made, started = {"new": None}, time.perf_counter()
    device = models.pick_device(work.plan.device)
    memory.peak(device, anew=True)
    try:
        yield made
    finally:  # of a step that is stopped, too: it goes on from there
        spent = time.perf_counter() - started
        if made["new"]:
            minutes[step] = spent / 60
        if made["new"] is not False and work.progress:
            stopped = {"stopped": True} if made["new"] is None else {}
            entry = {"step": step, "seconds": round(spent, 1), "sentences": work.many()}
            journal.add(work.out, **entry, memory=memory.peak(device), **stopped)


@contextmanager
def _shared_batch(work, step):
    """One clear line where a batch that several processes share does not fit: it is not halved."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        many = work.everyone.size
        if many == 1 or isinstance(error, memory.OutOfMemory) or not memory.ran_out(error):
            raise
        raise memory.OutOfMemory(
            f"out of memory in step {step!r}: {many} processes share each batch and do not halve "
            f"it, as one alone does; lower {work.batch} in the same folder, or give the same "
            "command to one process: what was written is read"
        ) from error


def command(parser, run, describe, argv=None) -> int:
    """The command line of a run: its options, then `run`, or `describe` for ``--dry-run``."""
    given = vars(parser.parse_args(argv))
    out, dry = given.pop("out"), given.pop("dry_run")
    if dry:
        del given["quiet"]
        print(describe(out, **given))
    else:
        run(out, **given)
    return 0


# ------------------------------------------------------------------ what is said
def say_fitted(plan) -> None:
    """One line where a number of sentences has lowered a tier's settings."""
    if plan.fitted:
        print(f"made to fit {plan.n:,} sentences: {plan.fitted}", flush=True)


def said_rejected(result) -> str:
    """What a report's first line says of what could not be used."""
    many, file = result.counts.get("rejected"), result.folder / "rejects.jsonl"
    return f", and {many:,} rejected: {file}" if many else ""


def said_taken(counts, name="taken off") -> list[str]:
    """A report's line on what was taken off answers, in the forms that read them."""
    if "taken" not in counts:
        return []
    found = sorted(counts["taken"].items(), key=lambda one: -one[1])
    off = ", ".join(f"{what} of {many:,}" for what, many in found) or "nothing"
    what = "answers: " if name == "taken off" else "taken off answers: "
    return [f"{name:10} {what}{off}"]


def said_kept(result, of: str) -> str:
    """A report's line on what was kept, of so many that the counts name."""
    kept, share = result.counts["kept"], result.counts["kept"] / max(result.counts[of], 1)
    return f"kept       {kept:,} ({share:.0%}): {result.folder / 'kept.parquet'}"


def said_minutes(result) -> list[str]:
    """A report's line on the steps that this call computed."""
    spent = {}
    for step, minutes in result.minutes.items():
        name = step.partition(" ")[0]  # of every round together
        spent[name] = spent.get(name, 0) + 60 * minutes
    return [f"took       {said_times(spent)}"] if spent else []


def said_times(seconds: dict) -> str:
    """Durations by name in seconds or minutes."""
    return ", ".join(
        f"{what} {spent / 60:,.1f} min" if spent >= 60 else f"{what} {math.ceil(spent)} s"
        for what, spent in seconds.items()
    )


def with_average(table, marks):
    """A table by task, and behind it the means of its columns of marks, where tasks are several."""
    if len(table) < 2:
        return table
    mean = dict.fromkeys(table.columns, "") | {"task": "average"} | table[marks].mean().to_dict()
    return pd.concat([table, pd.DataFrame([mean])])
