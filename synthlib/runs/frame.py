"""What the methods' runs from end to end share: options, steps in a folder, models by name.

`shards` keeps the rows that a run makes; this module makes a plan of a run's options, takes its
steps one after another, tells two versions of a model apart, and writes the trained encoder whole
or not at all.
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
import tempfile
import time
import warnings
import weakref
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from synthlib import (
    data,
    endpoint,
    memory,
    models,
    options,
    prompts,
    reading,
    spending,
    tiers,
)
from synthlib.evaluation import examination
from synthlib.methods import served
from synthlib.runs import journal, shards

_MODEL = ("config.json", "modules.json", "adapter_config.json")  # every saved folder has one
_A_CALL = 8192  # texts of an encoder between two looks at its bar
_LATER = ("form", "shots", "register")  # None: not in run.json, as in older ones
ANSWERS = "answers.jsonl"  # of a model behind an API
SERVED_SHARD = 128  # rows of a shard that an API writes: an interruption loses no answer
_OWN, _NEW = "synthlib-", 60  # a folder's name; seconds in which its lock may not be held yet
TRIAL_ROWS = 256  # of a batch that a dry run trains on: its memory must not follow the options


# ------------------------------------------------------------------ options
@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a plan says beside the run's options, which are in it as they are carried out."""

    settings: object  # the tier's, with what was given in their place
    source: object  # "pocket", a file or hub name, a corpus, or a tuple of sentences
    examination: str  # of `examination.kind`
    fitted: str  # what n has lowered, to be said


def settle(of, given: dict):
    """Options that are given, plain and each in its range, and the tier's settings with them.

    Parameters
    ----------
    of : type
        Of `options`.
    given : dict

    Returns
    -------
    asked : of
        Its `tier` is a name; premises in memory are a tuple.
    settings : of.tier_settings

    Raises
    ------
    ValueError
        For the first value that is out of its range.
    """
    asked, all_of = of(**given), options.declared(of)
    check_numbers({name: getattr(asked, name) for name in all_of})
    tier = tiers.get(asked.tier)
    own = next(some for some in vars(tier).values() if isinstance(some, of.tier_settings))
    plain = {
        name: _plain(getattr(asked, name), one, getattr(own, one.setting) if one.setting else None)
        for name, one in all_of.items()
    }
    plain |= {"tier": tier.name, "premises": in_memory(plain["premises"], asked.column)}
    asked = of(**plain)
    settings = dataclasses.replace(own, **{
        one.setting: plain[name]
        for name, one in all_of.items() if one.setting and plain[name] is not None
    })  # fmt: skip
    if settings.generator != own.generator:  # a tier's are for its own generator
        asks = {name: plain[name] for name in _LATER}
        settings = dataclasses.replace(settings, **asks)
    elif asked.form not in (None, own.form):  # worked examples go with the tier's own form
        asks = {name: plain[name] for name in _LATER if getattr(asked, name) is None}
        settings = dataclasses.replace(settings, **asks)
    for name, one in all_of.items():
        value = getattr(settings, one.setting) if one.setting else plain[name]
        if value is None or value in one.words:
            continue
        if one.choices and value not in one.choices:
            raise ValueError(f"{name} must be one of {', '.join(one.choices)}, got {value!r}")
        if one.range and value not in one.range:
            raise ValueError(f"{name} {one.range.says}, got {value}")
    if settings.shots is not None or settings.register is not None:
        form = settings.form if settings.form in prompts.FORMS else "examples"
        prompts.Form(form, shots=settings.shots, register=settings.register)
    if asked.precision is not None:
        models.training_precision(asked.device, asked.precision)
    check_data(asked.data)
    return asked, _settle_served(asked, settings)


def behind_api(settings) -> list[str]:
    """Those models of a run's settings that an API serves."""
    judge = () if getattr(settings, "scoring", "nli") != "nli" else ("judge",)
    names = (getattr(settings, one, "") for one in ("generator", "discriminator", *judge))
    return [name for name in names if endpoint.is_served(name)]


def _settle_served(asked, settings):
    """What an API can do of what is asked; an address, prices and a budget without one are none."""
    names = behind_api(settings)
    if asked.engine != "ray":
        for name in (one for one in ("address", "actors") if getattr(asked, one) is not None):
            raise ValueError(f"{name} is for Ray: give --engine ray too, or leave it out")
    elif names:
        raise ValueError(
            f"{names[0]} is asked by one process: leave --engine out; --parallel asks side by side"
        )
    spending.Budget(asked.budget, asked.price_in, asked.price_out)
    if names:
        endpoint.host_of(asked.base_url)
    else:
        of = ("base_url", "budget", "price_in", "price_out")
        for name in (one for one in of if getattr(asked, one) is not None):
            raise ValueError(
                f"{name} is for a model behind an API, and none is named: give its name as "
                "api:NAME, or leave it out"
            )
    if not endpoint.is_served(settings.generator):
        return settings
    if asked.form not in (None, "chat"):
        raise ValueError(
            f"a model behind an API is asked in messages, and the form is {asked.form}: leave "
            "--form out"
        )
    if asked.shard_size is None and hasattr(settings, "shard_size"):
        most = max(SERVED_SHARD, settings.shard_size)
        settings = dataclasses.replace(settings, shard_size=most)
    return settings


def _plain(value, one, of_tier):
    """A value as ``run.json`` can hold it."""
    if value is None or one.kind is bool:
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if type(value).__module__ == "torch":  # a device, or a kind of numbers
        return str(value).removeprefix("torch.")
    if one.kind == tuple[str, ...]:
        return (value,) if isinstance(value, str) else tuple(value)
    if isinstance(one.default if of_tier is None else of_tier, float) and value not in one.words:
        return float(value)
    return value


def source_of(asked, settings):
    """What a run's sentences come from: what was given, else the tier's corpus."""
    if asked.premises is not None:
        return asked.premises
    return "pocket" if settings.corpus is None else settings.corpus


def complete(plan, asked, settings, **more):
    """A plan of a run: its options with the settings' values, the settings, and more of it."""
    values = {
        name: getattr(settings, one.setting) if one.setting else getattr(asked, name)
        for name, one in options.declared(plan).items()
    }
    return plan(settings=settings, **(values | more))


def identity(plan, **more) -> dict:
    """What makes two runs the same run, as JSON holds it: options, settings, and what else."""
    all_of = options.declared(type(plan))
    kept = {
        name: getattr(plan, name)
        for name, one in all_of.items() if one.identity and not one.setting
    }  # fmt: skip
    source = plan.source
    kept["source"] = (
        source.name if isinstance(source, tiers.Corpus)
        else "a list" if isinstance(source, tuple) else source
    )  # fmt: skip
    settings = dataclasses.asdict(plan.settings)
    settings["corpus"] = plan.settings.corpus.name if plan.settings.corpus else "pocket"
    for one in all_of.values():
        if one.setting and one.kind == options.Name and settings[one.setting] is not None:
            settings[one.setting] += fingerprint(settings[one.setting])
    if behind_api(plan.settings):
        more = more | {"endpoint": endpoint.host_of(plan.base_url)}
    beside = {name: kept[name] for name in settings if kept.get(name) is not None}  # pooling
    found = kept | more | settings | beside
    found = {k: v for k, v in found.items() if k not in _LATER or v is not None}
    return json.loads(json.dumps(found))


# ------------------------------------------------------------------ the steps
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
    step(result) -> whether it computed anything; and `batch`, the option for a batch of the
    training. It sets `sentences`, `identity` (a dict, decides whether two runs are the same),
    `rejects` and `note` (of `note_unknown_words`), and has `wanted` (role to the name of its
    model), `ready` (raises where a model cannot be had) and `stale` (of `shards.open_run`).
    """

    sent = ("plan", "quiet", "progress", "everyone", "note", "out")  # to machines that make shards
    held = ("discriminator", "generator", "guide", "judge", "teacher")  # models, from step to step
    rest = "trains and examines"  # what is left to this process where an engine makes shards
    out = None  # the run's folder, while it is at work
    answers = None  # of a model behind an API, and what they have cost
    engine = None  # that makes shards, where it is not this process

    def __init__(self, plan, quiet: bool):
        self.plan, self.quiet = plan, quiet
        if plan.engine == "ray":
            from synthlib.runs import ray_engine

            ray_engine.check(plan.address)
        self.everyone = shards.processes()
        self.progress = not quiet and self.everyone.rank == 0

    def __getstate__(self):
        """Neither models nor sentences: a machine that makes shards gets the rows of each."""
        state = {name: vars(self)[name] for name in self.sent}
        plan = state["plan"]
        if isinstance(plan.source, tuple):
            plan = dataclasses.replace(plan, source=(), premises=())
        return state | {"plan": plan, "progress": False}

    def in_shards(self, folder, given, make, unit, models):
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
        """
        if not shards.whole(folder, len(given), self.plan.shard_size):
            self.begins(folder)

        def elsewhere(places):
            for name in self.held:  # nobody asks them here: their memory is for who makes shards
                self.__dict__.pop(name, None)
            prints = {name: fingerprint(name) for name in models if not isinstance(name, Path)}
            made = {
                name.relative_to(self.out).as_posix(): (fingerprint(name), _files_of(name))
                for name in models if isinstance(name, Path)
            }  # fmt: skip
            parts = {n: (given[start:stop], start) for n, (start, stop) in places.items()}
            yield from self.engine.make(make, functools.partial(self.equip, prints, made), parts)

        return shards.rows(
            folder, len(given), lambda start, stop: make(given[start:stop], start),
            size=self.plan.shard_size, everyone=self.everyone, progress=self.progress, unit=unit,
            elsewhere=elsewhere if self.engine else None,
        )  # fmt: skip

    def equip(self, prints: dict, made: dict) -> None:
        """On a machine that makes shards: raise where it lacks a model.

        Parameters
        ----------
        prints : dict of str to str
            Of `check_same`.
        made : dict of str to (str, dict of str to array)
            Models that the run itself has made, by their names in its folder: fingerprint and
            files. A machine that does not see that folder gets them in one of its own.
        """
        check_same(prints)
        if all(fingerprint(self.out / name) == there for name, (there, _) in made.items()):
            return
        self.out = own_folder(self)
        for name, (_, files) in made.items():
            for file, content in files.items():
                place = self.out / name / file
                place.parent.mkdir(parents=True, exist_ok=True)
                content.tofile(place)

    def begins(self, folder, **more) -> None:
        """Say in the journal when work in a folder of the run begins, or goes on."""
        if self.progress:
            journal.add(self.out, begins=folder.relative_to(self.out).as_posix(), **more)

    def takes(self, step) -> bool:
        """Whether the run goes on to a step."""
        return self.order.index(self.plan.until) >= self.order.index(step)

    def steps(self) -> tuple:
        """Those that this call takes."""
        return self.order[: self.order.index(self.plan.until) + 1]

    def many(self) -> int:
        """Sentences, or lists of them, that the run begins with."""
        return len(self.sentences)

    def look(self):
        """Raise for what would stop the run hours later."""
        self.read_sets(self.plan.until)

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

    def read_sets(self, until):
        """All that the steps up to `until` need: a damaged file costs seconds, not hours."""
        if until in ("trained", "evaluated"):
            self.development  # noqa: B018
        if until == "evaluated":
            self.frames  # noqa: B018

    def find(self, name, kind="generator"):
        """Raise where a model cannot be had."""
        if endpoint.is_served(name):
            endpoint.check(self.plan.base_url, self.plan.key_variable)
            return
        models.find(name, kind, device=self.plan.device, dtype=self.plan.dtype)

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
            self.answers = spending.Answers(self.out and self.out / ANSWERS, budget)
        return endpoint.connect(
            name, base_url=plan.base_url, variable=plan.key_variable, parallel=plan.parallel,
            timeout=plan.timeout, answers=self.answers, examples=examples,
        )  # fmt: skip

    def open(self):
        """Reach the engine that makes shards, before anything is computed."""
        plan = self.plan
        if plan.engine == "ray":
            from synthlib.runs import ray_engine

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

    def load_nli(self, name):
        """An NLI model, or a model behind an API that is asked for its three labels."""
        if endpoint.is_served(name):
            return served.discriminator(self.connect(name))
        held = models.load_nli(name, device=self.plan.device)
        self.note(name, held[1])
        return held

    def load_generator(self):
        plan, name = self.plan, self.plan.generator
        if endpoint.is_served(name):
            held = self.connect(name, examples_of(vars(plan)))
            prompts.form_of(*held)  # raises for examples that there are not
            return held
        held = models.load_generator(
            name, device=plan.device, dtype=plan.dtype, form=plan.form,
            examples=examples_of(vars(plan)),
        )
        self.note(name, held[1])
        return held

    def frozen(self, role, name, pooling=None):
        """A frozen encoder: list of strings → array."""
        try:
            encoder = models.load_encoder(name, pooling=pooling, device=self.plan.device)
        except models.UnknownPooling:
            raise ValueError(
                f"the {role} {name} does not say how it pools tokens into a sentence vector: take "
                "an encoder that was saved with its pooling"
            ) from None
        return encoding(encoder)

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
                save_encoder(encoder, fresh(), home, processes=self.everyone.size)
        self.everyone.wait()
        if self.everyone.rank == 0:
            shutil.rmtree(home / "training", ignore_errors=True)
        return new

    def table_in(self, file, make) -> bool:
        """Write a table that `make` gives, where it is not there yet."""
        new = not file.is_file()
        if new and self.everyone.rank == 0:
            data.write_bytes(file, make().to_csv(index=False).encode())
        self.everyone.wait()
        return new


def examples_of(run: dict) -> dict:
    """Which worked examples a run's prompts have: `shots`, `register` and `seed`, those given."""
    names = ("shots", "register", "seed")
    return {name: run[name] for name in names if run.get(name) is not None}


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
    folder = work.out = result.folder
    changed, _ = shards.check_settings(folder, work.identity, work.stale)
    for name in work.wanted().values():
        at_hand(name)  # before anything is fetched for the examination
    work.look()
    check_models(work.wanted())
    device = models.pick_device(work.plan.device)
    call = {
        "processes": work.everyone.size, "device": str(device),
        "precision": models.training_precision(device, work.plan.precision),
        "versions": data.origin_of("")["versions"],
    }  # fmt: skip
    if work.plan.engine != options.PROCESSES:
        call["engine"] = work.plan.engine
    if behind_api(work.plan.settings):
        call["base_url"] = endpoint.address(work.plan.base_url)
    if changed or not (folder / "run.json").is_file():
        work.ready()  # a model that cannot be had costs no minutes, and leaves no folder
    held = shards.open_run(
        folder, work.identity, stale=work.stale, call=call, everyone=work.everyone,
        sentences=work.many(),
    )  # fmt: skip
    absent = [one for one in (folder, *folder.absolute().parents) if not one.exists()]
    try:
        with held, full_disk(folder), _kept_notes(work), contextlib.closing(work):
            work.open()
            if work.progress:
                say_fitted(work.plan)
            for step in work.steps():
                with _shared_batch(work, step), _kept_time(work, step, result.minutes) as made:
                    made["new"] = getattr(work, step)(result)
            if work.everyone.rank == 0:
                content = json.dumps(result.counts, indent=1)
                data.write_bytes(folder / "report.json", content.encode())
                if not work.quiet:
                    said = [report(work.plan, result), work.said_spent()]
                    print("\n".join(filter(None, said)), flush=True)
    except (ValueError, OSError):  # of a model that cannot be loaded, say
        if work.everyone.rank == 0:
            shards.remove_unused(absent)
        raise
    return result


def _kept_notes(work):
    """What the run warns of goes into its journal, unless it is quiet."""
    if not work.progress:
        return contextlib.nullcontext()
    return journal.notes(work.out)


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


def opening(work, out, what="", width=10) -> list[str]:
    """How a dry run begins: the tier, what has changed in the folder, the models."""
    plan = work.plan
    changed, _ = shards.check_settings(out, work.identity, work.stale)
    check_models(work.wanted())
    wanted = sorted(work.wanted().items())
    say_fitted(plan)
    lines = [f"tier {plan.tier}{what} → {out}"]
    lines += [shards.said_of(out, changed)] if changed else []
    if plan.engine == "ray":
        lines.append(f"{'engine':{width}} Ray makes the shards; this process {work.rest}")
    return lines + [f"{role:{width}} {name}{size_of(name)}" for role, name in wanted]


def fit(settings, given: dict, **most):
    """A tier's settings for fewer sentences than it is meant for.

    Parameters
    ----------
    settings : dataclass
    given : dict
        Of settings by name; what is not None there stays as it is.
    **most : int
        The greatest value of a setting.

    Returns
    -------
    settings : dataclass
    said : str
        What was lowered, as options: "--batch-size 128 → 5".
    """
    lower = {
        name: value for name, value in most.items()
        if given[name] is None and value < getattr(settings, name)
    }  # fmt: skip
    said = ", ".join(
        f"--{name.replace('_', '-')} {getattr(settings, name):,} → {value:,}"
        for name, value in lower.items()
    )
    return dataclasses.replace(settings, **lower), said


def say_fitted(plan) -> None:
    """One line where a number of sentences has lowered a tier's settings."""
    if plan.fitted:
        print(f"made to fit {plan.n:,} sentences: {plan.fitted}", flush=True)


def distinct_sentences(source, *, column, n, of_tier, seed):
    """Sentences to start from, none twice: all of a file, a tier's number of its own, or n.

    Parameters
    ----------
    source, column, seed
        Of `data.load_premises`.
    n : int or None
        So many at most, drawn with the seed.
    of_tier : int
        How many of the pocket world or of a tier's corpus, where no n is given.

    Returns
    -------
    found, rejects : DataFrame
        As `data.read_premises` gives them.
    """
    own = source == "pocket" or isinstance(source, tiers.Corpus)
    some = of_tier if own and n is None else 4 * max(n, 1000) if source == "pocket" else None
    found, rejects = data.read_premises(source, column=column, n=some, seed=seed)
    found = found.drop_duplicates("sentence", ignore_index=True)
    if n is not None and n < len(found):
        chosen = np.random.default_rng(seed).choice(len(found), n, replace=False)
        found = found.iloc[np.sort(chosen)].reset_index(drop=True)
    return found, rejects


def in_memory(premises, column):
    """A source of premises as a plan holds it: a name as it is, texts in memory as a tuple."""
    if premises is None or isinstance(premises, str | os.PathLike | tiers.Corpus):
        return premises
    return tuple(reading.texts_in(premises, column))


def refused(found, rows, reasons, where="generation") -> pd.DataFrame:
    """Rejects of sentences that a model cannot read, with the place that they come from.

    Parameters
    ----------
    found : DataFrame
        file, line, sentence.
    rows : sequence of int
        Of `found`.
    reasons : str, or sequence of str

    Returns
    -------
    DataFrame
        file, line, reason, text, where.
    """
    some = found.iloc[list(rows)]
    return pd.DataFrame({
        "file": some["file"], "line": some["line"], "reason": reasons, "text": some["sentence"],
        "where": where,
    })  # fmt: skip


def check_data(folder) -> None:
    """Raise where the folder of the evaluation's files is none."""
    if folder is None or Path(folder).is_dir():
        return
    if Path(folder).exists():
        raise ValueError(f"data must be SentEval's downstream folder, and {folder} is a file")
    raise FileNotFoundError(f"data folder not found: {folder}")


def check_numbers(options: dict) -> None:
    """Raise ValueError for a whole number that no library holds, or a seed out of range."""
    for name, value in options.items():
        if name != "seed" and isinstance(value, int) and abs(value) >= 2**31:
            raise ValueError(f"{name} must lie below {2**31}, got {value}")
    check_seed(options["seed"])


def check_seed(seed) -> None:
    """Raise ValueError for a seed that a random generator will refuse, hours later maybe."""
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed must lie between 0 and {2**31 - 1}, got {seed}")


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


def stale(changed, step_of, made):
    """What of a run no longer holds when settings have changed: `stale` of `shards.open_run`.

    Parameters
    ----------
    changed : dict
        By the name of a setting.
    step_of : dict of str to str
        Setting to the step where it first matters. What stands nowhere matters from the start.
    made : dict of str to sequence of str
        Step to what it makes, by its name in the folder; in the order of the steps.

    Returns
    -------
    list of str, or None where a setting matters from the start
    """
    if set(changed) - set(step_of):
        return None
    steps = list(made)
    first = min(steps.index(step_of[name]) for name in changed)
    return [name for step in steps[first:] for name in made[step]]


def save_encoder(encoder, fresh, folder, *, processes=1):
    """Write a trained encoder to ``folder/encoder``, all of it or nothing.

    Parameters
    ----------
    encoder : SentenceTransformer
        Whose weights are written.
    fresh : SentenceTransformer
        The same as it was loaded: its tokenizer has no memory of the training.
    folder : Path
        Of the run, or of one of its rounds.
    processes : int
        That have trained it: each draws its own dropout, so the run's ``run.json`` says how many.
    """
    unfinished = folder / "training" / "encoder"
    shutil.rmtree(unfinished, ignore_errors=True)
    fresh.load_state_dict(encoder.state_dict())
    with models.quiet():
        fresh.save_pretrained(str(unfinished), create_model_card=False)
    run = folder if (folder / "run.json").is_file() else folder.parent
    name = (folder / "encoder").relative_to(run).as_posix()
    shards.note(run, f"{name} trained by", processes)
    os.replace(unfinished, folder / "encoder")


# ------------------------------------------------------------------ models by name
def folder_of(name) -> Path | None:
    """Folder of a model that is on this machine under its own name."""
    name = str(name)
    if name.startswith(("pocket/", "laptop/")):
        return models.place(name)[0]
    folder = Path(name).expanduser()
    return folder if folder.is_dir() else None


def knows_sentences(name) -> bool:
    """Whether an encoder on this machine was saved as a sentence encoder, with its pooling."""
    folder = at_hand(name)
    return folder is not None and (folder / "modules.json").is_file()


def fingerprint(name) -> str:
    """Tells two versions of a local model apart: sizes, beginnings and ends of its weights."""
    folder = folder_of(name)
    if folder is None or not any((folder / mark).is_file() for mark in _MODEL):
        return ""  # no model: loading it will say so, and its folders may be many
    digest = hashlib.blake2b(digest_size=4)
    files = sorted(folder.rglob("*.safetensors"))
    if models.is_adapter(folder) and (base := folder_of(models.base_of(folder))):
        files += sorted(base.rglob("*.safetensors"))
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as stream:
            digest.update(str(size).encode() + stream.read(2**20))
            stream.seek(max(0, size - 2**20))
            digest.update(stream.read())
    return f" ({digest.hexdigest()})"


def _files_of(folder) -> dict:
    """Name in a folder to a file's bytes, as arrays: many processes of a machine can share them."""
    return {
        file.relative_to(folder).as_posix(): np.fromfile(file, np.uint8)
        for file in sorted(folder.rglob("*")) if file.is_file()
    }  # fmt: skip


def own_folder(owner) -> Path:
    """An empty folder among the system's temporary ones, for as long as an object lives.

    Whoever is killed leaves its folder behind. A lock in it, which the system lifts then, tells
    that it is nobody's any more, and the next process of this machine that asks puts it away.
    """
    from filelock import FileLock

    for left in Path(tempfile.gettempdir()).glob(f"{_OWN}*"):
        with contextlib.suppress(OSError):  # somebody else's, or gone this moment
            age = time.time() - (left / ".lock").stat().st_mtime
            if age > _NEW and shards.holder(left)[0] is False:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_OWN))
    lock = FileLock(folder / ".lock")
    lock.acquire()
    weakref.finalize(owner, _put_away, lock, folder)
    return folder


def _put_away(lock, folder):
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)


def check_same(prints: dict) -> None:
    """Raise where this machine lacks a model that another one has, or has another.

    Parameters
    ----------
    prints : dict of str to str
        Name of a model to its `fingerprint` there; "" where it comes from the Hub.
    """
    for name, there in prints.items():
        if there and (here := fingerprint(name)) != there:
            what = "another model" if here else "no model"
            raise ValueError(
                f"there is {what} at {name}: put the same files there, on every machine under the "
                "same path, and give the same command again"
            )


def digest_of(texts) -> str:
    """Tells two sequences of texts apart."""
    digest = hashlib.blake2b(digest_size=8)
    for text in texts:
        digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def at_hand(name) -> Path | None:
    """Folder of a model that needs no download: of that name, or in the local cache.

    Raises
    ------
    ValueError, OSError
        For a path at which there is no model, and for what can be no name of one.
    """
    folder, text = folder_of(name), str(name)
    if folder is not None or endpoint.is_served(name):
        return folder
    with contextlib.suppress(ValueError):
        never = text.startswith((".", "/", "~", "laptop/")) or text.count("/") > 1
        if not never and not Path(text).is_file():
            return models.cached(text)
    return Path(models.find(name, "encoder")[0])  # raises: it says what is wrong with the name


def check_models(wanted: dict) -> None:
    """Raise where there is no sound model at a path; nothing is loaded and nothing downloaded.

    Parameters
    ----------
    wanted : dict of str to str
        Role to the name of its model.
    """
    kinds = {"generator": "generator", "discriminator": "nli", "judge": "nli"}
    for role, name in wanted.items():
        at_hand(name)
        if endpoint.is_served(name) and role not in kinds:
            raise ValueError(
                f"the {role} {name} is behind an API, and its weights are needed: give a folder or "
                "a hub id"
            )
        if folder_of(name) is None:
            continue
        if role in kinds:
            models.find(name, kinds[role])
        else:
            models.resolve(name, models.pick_device(), None)


def no_estimate(wanted: dict) -> list[str]:
    """A line where models are yet to be downloaded: a trial downloads nothing."""
    paid = [name for name in wanted.values() if endpoint.is_served(name)]
    if paid:
        return [f"no estimate: a trial would ask {paid[0]}, and cost money"]
    away = [name for name in dict.fromkeys(wanted.values()) if at_hand(name) is None]
    one = "come" if len(away) > 1 else "comes"
    return [f"no estimate: {', '.join(away)} {one} from the Hub"] if away else []


def said_asked(plan, requests: int, asked: list[str], room: int, width=10) -> list[str]:
    """A dry run's line on what an API would be sent, and what that may cost.

    Parameters
    ----------
    plan
    requests : int
    asked : list of str
        Some of the prompts; four characters count as a token.
    room : int
        Most tokens of an answer.
    """
    budget = spending.Budget(plan.budget, plan.price_in, plan.price_out)
    each = sum(map(len, asked)) / 4 / max(len(asked), 1)
    tokens = round(requests * each), requests * room
    said = (
        f"{'to ask':{width}} {requests:,} requests, which send the sentences to "
        f"{endpoint.host_of(plan.base_url)}: about {tokens[0]:,} tokens in, at most {tokens[1]:,} "
        "out"
    )
    if budget.prices:
        said += f", some {budget.cost(tokens):,.2f} at most"
    return [said]


def trial_batch(rows: pd.DataFrame, size: int) -> tuple[pd.DataFrame, float]:
    """A batch for a trial, of at most `TRIAL_ROWS`, and how many of its size the true one holds."""
    some = min(size, TRIAL_ROWS)
    return rows.iloc[np.arange(some) % len(rows)], size / some


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


def said_end(work) -> str:
    """A dry run's line on what examines the encoder, or where the run ends before."""
    if work.takes("evaluated"):
        return f"to test    {work.sets()}"
    return f"until      {work.plan.until}"


def said_minutes(result) -> list[str]:
    """A report's line on the steps that this call computed."""
    spent = {}
    for step, minutes in result.minutes.items():
        name = step.partition(" ")[0]  # of every round together
        spent[name] = spent.get(name, 0) + 60 * minutes
    return [f"took       {said_times(spent)}"] if spent else []


def timed(action, *arguments, **options):
    """What an action returns, and the seconds that it took."""
    started = time.perf_counter()
    made = action(*arguments, **options)
    return made, time.perf_counter() - started


def step_seconds(train, fresh) -> float:
    """Seconds of one step of a training, without what is done once.

    Parameters
    ----------
    train : function
        train(encoder, steps).
    fresh : function
        () -> an encoder to train.
    """
    train(fresh(), 1)  # the first one loads libraries and chooses kernels
    short, long = (timed(train, fresh(), steps)[1] for steps in (1, 4))
    return (long - short) / 3 if long > short else long / 4


def said_estimate(seconds: dict, rows: str, width=10) -> list[str]:
    """A dry run's line on the time that each step will take; `rows` were tried."""
    said = said_times(seconds)
    told = f"{'estimate':{width}} {said}, from a trial on {rows} with this device"
    return [told] if said else []


def said_times(seconds: dict) -> str:
    """Durations by name in seconds or minutes."""
    return ", ".join(
        f"{what} {spent / 60:,.1f} min" if spent >= 60 else f"{what} {math.ceil(spent)} s"
        for what, spent in seconds.items()
    )


def size_of(name) -> str:
    """How large a model's files are, in brackets, or that it comes from the Hub."""
    folder = at_hand(name)
    if endpoint.is_served(name):
        return ""
    if folder is None:
        return " (from the Hub)"
    return f" ({sum(file.stat().st_size for file in folder.rglob('*.safetensors')) / 1e6:,.1f} MB)"


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
