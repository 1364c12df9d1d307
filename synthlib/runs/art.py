"""Adaptive reinforcement tuning from end to end, round after round (ART; Xu et al., 2024).

`run` calls the stages of `art` and keeps what each of them made in a folder, so that an
interrupted run goes on where it stopped and ends with the same bytes:

    run.json                what was asked for; another run in the same folder is refused
    rejects.jsonl           what could not be used, with file, line and reason
    round-0/sts.csv         the encoder that is to be improved; beside it what was too long
    round-1/ … round-R/
        bounds.json         Ω, α⁺ and α⁻ of the round
        ppo/                checkpoints, while the generator is being tuned
        log.csv             reward, KL, … of every step of PPO
        adapter/            the tuned LoRA adapter, the best by reward
        candidates/         what it wrote and what the discriminator says, in shards
        triplets.parquet    those that the encoder is trained on, with a note of how they were made
        training/           checkpoints, while the encoder is being trained
        encoder/            the trained encoder
        sts.csv             its evaluation
    raw/                    the control: the untuned generator's data through the same filter
    results.csv             every evaluation in one table
    report.json             counts
    journal.jsonl           time and memory of each step, what was said (not of a quiet run)

The control writes exactly as many texts as the method: as many candidates for the rounds' anchors,
and one of each kind for every anchor that PPO has asked. What it keeps trains the first encoder.

Source: ART § 2.2, § 3, § 4.1; the control is ours.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from synthlib import (
    commands,
    curation,
    data,
    decoding,
    endpoint,
    evaluation,
    models,
    options,
    ppo,
    rewards,
)
from synthlib.evaluation import examination
from synthlib.methods import art, served
from synthlib.runs import foreseen, frame, named, plans, shards
from synthlib.runs.folder import RAW, tuned_steps

_SAVE_EVERY = 10  # steps of PPO between its checkpoints, at most; of a short round an eighth
_SAVE_TRAINING = 100  # steps between the checkpoints of an encoder's training
_TRIAL = 16  # anchors that a dry run tries, at most: of a slow tier a shard


# ------------------------------------------------------------------ what is asked for
@dataclass(frozen=True, kw_only=True)
class Plan(options.ART, plans.Planned):
    """All that decides a run, checked and complete; `make_plan` builds it."""

    @property
    def prompted(self) -> int:
        """Anchors that a round of PPO asks for one answer of each kind."""
        return math.ceil(self.ppo_steps * self.ppo_batch_size / 2)


@options.taken(options.ART)
def make_plan(**given) -> Plan:
    """Check the options of `run` and fill in the tier's values.

    Raises
    ------
    ValueError
        For the first option that is out of its range, or that contradicts another.
    """
    asked, s = plans.settle(options.ART, given)
    if endpoint.is_served(s.generator):
        raise ValueError(
            f"the generator {s.generator} is behind an API, and PPO tunes weights: give a folder "
            "or a hub id; --discriminator takes a model behind an API"
        )
    fitted = ""
    if asked.n is not None:
        s, fitted = _fit(s, vars(asked), asked.n)
    if s.ppo_batch_size % s.ppo_mini_batch_size:
        raise ValueError(
            f"ppo_batch_size {s.ppo_batch_size} must be a multiple of ppo_mini_batch_size "
            f"{s.ppo_mini_batch_size}"
        )
    if s.w1 == s.w2 == 0:
        raise ValueError("w1 and w2 are both 0, so nothing would be rewarded")
    if s.positive_bound == 1:
        raise ValueError("positive_bound must lie below 1, else no positive is rewarded")
    if asked.until is not None and not 0 <= asked.until <= s.rounds:
        raise ValueError(f"until must be a round from 0 to {s.rounds}, got {asked.until}")
    source = plans.source_of(asked, s)
    which = examination.kind(s.encoder, asked.data, source)
    return plans.complete(Plan, asked, s, source=source, examination=which, fitted=fitted)


def _fit(settings, given, n):
    """The budget of n sentences: as many anchors, a pass of PPO over them, four batches or more."""
    if n < settings.rounds:
        raise ValueError(f"{n} sentences are fewer than {settings.rounds} rounds: --rounds {n}")
    anchors = given["anchors"] or min(settings.anchors, n // settings.rounds)
    return plans.fit(
        settings, given, anchors=anchors, encoder_batch_size=max(2, anchors // 4),
        ppo_steps=max(1, 2 * anchors // settings.ppo_batch_size),
    )  # fmt: skip


# ------------------------------------------------------------------ the run
@dataclass
class Result:
    """What a run has made.

    Attributes
    ----------
    folder : Path
    counts : dict
        sentences, rejected, texts (that the generator has written in a round, and in all), and
        for each round ("1", … and "raw"): bounds, steps, reward_first, reward_last, kl, written,
        blank, copied, accepted_positives, accepted_negatives (shares), usable (anchors with an
        accepted candidate of both kinds), triplets, cosine_positives, cosine_negatives (means of
        what was accepted, by the encoder that judged the round); taken (what was taken off so many
        answers, in the forms that read them).
    table : DataFrame or None
        round ("0", "1", …, "raw"), task, pairs, spearman (percent).
    minutes : dict of str to float
        Of the steps that this call computed.
    """

    folder: Path
    counts: dict = field(default_factory=dict)
    table: pd.DataFrame | None = None
    minutes: dict = field(default_factory=dict)

    def home(self, number) -> Path:
        """Folder of a round, or of the control ("raw")."""
        return self.folder / (RAW if number == RAW else f"round-{number}")

    def candidates(self, number):
        """What was written in a round, with the discriminator's opinion (DataFrame).

        Behind the control's candidates for the rounds' anchors stand those for what PPO has asked.
        """
        home = self.home(number)
        parts = [*sorted(home.glob("candidates/*.parquet")), *sorted(home.glob("more/*.parquet"))]
        return pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)

    def triplets(self, number):
        """What a round's encoder was trained on, as a data set."""
        return data.load(self.home(number) / "triplets.parquet")

    def log(self, number):
        """The log of a round's PPO (DataFrame, one row a step)."""
        return pd.read_csv(self.home(number) / "log.csv")

    def encoder(self, number, device=None):
        """The encoder of a round from 1, or of the control."""
        return models.load_encoder(self.home(number) / "encoder", device=device)

    def generator(self, number, device=None, dtype=None):
        """The generator of a round (from 1): the base with the round's adapter merged into it."""
        run = json.loads((self.folder / "run.json").read_text("utf-8"))
        base = models.load_generator(
            run["generator"].partition(" (")[0], device=device, dtype=dtype, form=run.get("form"),
            examples=plans.examples_of(run),
        )
        return art.tuned(base, self.home(number) / "adapter")


@options.taken(options.ART)
def run(out, *, quiet=False, **given) -> Result:
    """Rounds of: tune the generator → write triplets → train the encoder; then the control.

    Interrupted at any moment, the same call with the same folder goes on and ends with the same
    files, byte for byte. Several processes (`torchrun`, `accelerate launch`) tune and train
    together and share the shards.

    Parameters
    ----------
    {options}

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        For an option out of range; a folder with another run, or in use; too few sentences; a
        generator that writes nothing or only copies; fewer triplets than a batch.
    ppo.Stopped
        Where a reward, a log-probability or the loss is not a number.
    OSError
        For a file or model that cannot be had, and a full disk.

    Source: ART § 2.2, § 3.
    """
    work = _Work(make_plan(**given), quiet)
    return frame.carry_out(work, Result(Path(out).expanduser()), _report)


class _Work(frame.Work):
    """One call of `run`: the steps, and the models that they share, each loaded when needed."""

    batch = "--encoder-batch-size"
    rest = "tunes, trains and examines"
    width = 13
    writer = (None, None)  # a round and its generator
    reader = (None, None)  # a round and what encodes in it

    def __init__(self, plan: Plan, quiet: bool):
        super().__init__(plan, quiet)
        s = plan.settings
        found, rejects = plans.distinct_sentences(plan, s.rounds * (s.anchors + plan.prompted))
        order = np.random.default_rng((plan.seed, 4)).permutation(len(found))
        self.found = found.iloc[order].reset_index(drop=True)
        sentences = list(self.found["sentence"])
        self.begin_with(sentences, rejects, sentences=frame.digest_of(sentences))
        self._refuse_few()
        for step, (name, number) in self._steps().items():
            setattr(self, step, functools.partial(getattr(self, f"_{name}"), number))

    def _refuse_few(self):
        s, n = self.plan.settings, len(self.sentences)
        if n < s.rounds * s.anchors:
            raise ValueError(
                f"{s.rounds} rounds of {s.anchors} fresh anchors need {s.rounds * s.anchors} "
                f"distinct sentences, and there are {n} (tier {self.plan.tier}): --sentences {n} "
                "makes all fit; or give more, or lower --anchors or --rounds"
            )
        if s.anchors < s.encoder_batch_size:
            raise ValueError(
                f"{s.anchors:,} anchors give at most {s.anchors:,} triplets a round, fewer than "
                f"one batch of {s.encoder_batch_size:,}: lower --encoder-batch-size, or take more "
                "--anchors"
            )

    def _steps(self) -> dict:
        """Every step of the run by its name: what is done, and of which round."""
        numbers = range(1, self.plan.settings.rounds + 1)
        stages = [("read", 0), ("evaluated", 0)]
        stages += [
            (name, number)
            for number in numbers
            for name in ("tuned", "written", "kept", "trained", "evaluated")
        ]
        if self.plan.control:
            stages += [(name, RAW) for name in ("written", "kept", "trained", "evaluated")]
        return {f"{name} {number}": (name, number) for name, number in stages}

    def look(self):
        self.frames  # noqa: B018

    def steps(self) -> list[str]:
        until = self.plan.until
        return [
            step for step, (_, number) in self._steps().items()
            if until is None or (number != RAW and number <= until)
        ]  # fmt: skip

    def stale(self, changed):
        """What other settings make wrong (`shards.open_run`): later ones, not round 1's tuning."""
        rounds = range(1, self.plan.settings.rounds + 1)
        trained = ["training", "encoder", "sts.csv"]
        made = {"written": ["candidates", "more", "triplets.parquet", *trained], "trained": trained}
        step_of, wrong = options.steps_of(options.ART), []
        for name in changed:
            if name == "control":
                continue
            step = step_of.get(name)
            if step is None:
                return None
            if step == "evaluated":
                wrong += [f"round-{k}/sts.csv" for k in (0, *rounds)] + [f"{RAW}/sts.csv"]
                continue
            number = 2 if name == "start" else 1  # the round in which it first matters
            wrong += [f"round-{k}" for k in rounds if k > number]
            wrong += [f"round-{number}/{one}" for one in made[step]]
            wrong += [f"{RAW}/{one}" for one in made[step] if number == 1]
        return [*wrong, "results.csv", "report.json"]

    # -------------------------------------------------------------- sentences
    def _read(self, number, result):
        """Leave out what the models cannot read, before hours are spent on the rest."""
        home = result.home(number)
        home.mkdir(exist_ok=True)
        long, new = self.once(home / "too-long", self._too_long)
        if len(long):
            self.refuse(long["row"], list(long["reason"]))
            left = set(long["row"])
            self.sentences = [text for i, text in enumerate(self.sentences) if i not in left]
        self.keep_rejects()
        self._refuse_few()
        return new

    def _too_long(self):
        s = self.plan.settings
        reasons = art.too_long(
            self.generator(), self.discriminator, self.sentences, max_new_tokens=s.max_new_tokens
        )
        rows = [i for i, reason in enumerate(reasons) if reason]
        return pd.DataFrame({
            "row": np.array(rows, dtype=int),
            "reason": np.array([reasons[i] for i in rows], dtype=str),
        })  # fmt: skip

    def anchors(self, number) -> list[str]:
        """Fresh ones for each round; the control has those of all rounds."""
        n, rounds = self.plan.settings.anchors, self.plan.settings.rounds
        if number == RAW:
            return self.sentences[: rounds * n]
        return self.sentences[(number - 1) * n : number * n]

    def prompted(self, number) -> list[str]:
        """What a round of PPO asks; the control is asked what all rounds were."""
        rounds, m = self.plan.settings.rounds, self.plan.prompted
        others = self.sentences[rounds * self.plan.settings.anchors :]
        if len(others) < m:  # no sentences to spare: those that are written from, too
            others = self.sentences
        places = range(rounds * m) if number == RAW else range((number - 1) * m, number * m)
        return [others[i % len(others)] for i in places]

    # -------------------------------------------------------------- models
    def wanted(self) -> dict:
        """Role to the name of its model."""
        roles = ("discriminator", "encoder", "generator")
        return {role: getattr(self.plan, role) for role in roles}

    def generator(self):
        held = self.load_generator()
        art.targets(held[0], self.plan.settings)  # what LoRA cannot adapt is said before minutes
        return held

    @functools.cached_property
    def discriminator(self):
        return self.load_nli(self.plan.discriminator)

    def fresh(self):
        """The encoder that is to be improved."""
        plan = self.plan
        return models.load_encoder(plan.encoder, pooling=plan.pooling, device=plan.device)

    def encoder(self, result, number):
        """A fresh copy of a round's encoder; 0 is the one that is to be improved."""
        return self.fresh() if number == 0 else result.encoder(number, self.plan.device)

    def encode(self, result, number):
        return frame.encoding(self.encoder(result, number))

    # -------------------------------------------------------------- the steps of a round
    def _tuned(self, number, result):
        plan, s, home = self.plan, self.plan.settings, result.home(number)
        counts = result.counts.setdefault(str(number), {})
        new = not (home / "adapter").is_dir()
        home.mkdir(exist_ok=True)
        if new:
            before = None if number == 1 else result.home(number - 1) / "adapter"
            policy = art.policy(self.generator(), s, adapter=before, seed=plan.seed)
            encode = self.encode(result, number - 1)
            bounds = self._bounds(number, result, policy, encode)
            self.begins(home / "ppo", done=tuned_steps(home / "ppo"))
            log = art.tune(
                policy, self.prompted(number), self.discriminator, encode, bounds, s,
                seed=1000 * plan.seed + number, output_dir=home / "ppo",
                save_steps=max(1, min(_SAVE_EVERY, s.ppo_steps // 8)), progress=self.progress,
            )  # fmt: skip
            if self.everyone.rank == 0:
                data.write_bytes(home / "log.csv", pd.DataFrame(log).to_csv(index=False).encode())
                _save_adapter(policy, home)
        self.everyone.wait()
        if self.everyone.rank == 0:
            shutil.rmtree(home / "ppo", ignore_errors=True)
        log = result.log(number)
        counts["bounds"] = json.loads((home / "bounds.json").read_text("utf-8"))
        counts |= {
            "steps": len(log), "reward_first": float(log["reward"].head(5).mean()),
            "reward_last": float(log["reward"].tail(5).mean()), "kl": float(log["kl"].iloc[-1]),
        }  # fmt: skip
        return new

    def _probed(self, number) -> list[str]:
        """Sentences whose answers set the bounds that nobody has given."""
        return [*self.prompted(number), *self.anchors(number)][:art.PROBES]

    def _bounds(self, number, result, policy, encode) -> rewards.Bounds:
        """Those that were given, else by the rule; written down before they are used."""
        plan, file = self.plan, result.home(number) / "bounds.json"
        names = rewards.Bounds._fields
        given = {name: getattr(plan.settings, name) for name in names}
        if not file.is_file() and None in given.values():
            some = self._probed(number)
            if self.progress:
                tqdm.write(f"round {number}: answers to {len(some)} sentences set the bounds")
            with _in_another_folder():
                found = art.choose_bounds(
                    (policy.model, policy.tokenizer), some, self.discriminator, encode,
                    max_new_tokens=plan.settings.max_new_tokens, quantile=plan.quantile,
                    seed=1000 * plan.seed + number, batch_size=plan.generation_batch,
                    progress=self.progress,
                )  # fmt: skip
            for name, value in found._asdict().items():
                given[name] = value if given[name] is None else given[name]
        if self.everyone.rank == 0 and not file.is_file():
            data.write_bytes(file, json.dumps(given, indent=1).encode())
        self.everyone.wait()
        return rewards.Bounds(**json.loads(file.read_text("utf-8")))

    def _written(self, number, result):
        plan, home = self.plan, result.home(number)
        home.mkdir(exist_ok=True)
        parts = [("candidates", self.anchors(number), plan.candidates)]
        if number == RAW:
            parts.append(("more", self.prompted(number), 1))
        models = [plan.generator, plan.discriminator]
        models += [plan.encoder] if number in (1, RAW) else [result.home(number - 1) / "encoder"]
        models += [] if number == RAW else [home / "adapter"]
        new, tables, before = False, [], 0
        for name, anchors, candidates in parts:
            make = functools.partial(self._candidates, number, before, candidates)
            table, some_new = self.in_shards(home / name, anchors, make, "anchor", models)
            new |= some_new
            tables.append(table)
            before += len(anchors)
        self.table = pd.concat(tables, ignore_index=True)
        self.table.attrs = shards.added(tables)
        self.writer = self.reader = (None, None)  # their memory is wanted for the training
        with _in_another_folder():
            art.refuse_echo(self.table)
        return new

    def _candidates(self, number, before, candidates, anchors, start):
        plan, s, result = self.plan, self.plan.settings, Result(self.out)
        table = art.write(
            self._writer(number, result), anchors, candidates=candidates,
            temperature=s.temperature, start=before + start, max_new_tokens=s.max_new_tokens,
            seed=1000 * plan.seed + (0 if number == RAW else number),
            batch_size=plan.generation_batch,
        )  # fmt: skip
        if self.reader[0] != number:
            self.reader = number, self.encode(result, 0 if number == RAW else number - 1)
        return art.judge(
            table, self.discriminator, self.reader[1], batch_size=plan.generation_batch
        )

    def _writer(self, number, result):
        if self.writer[0] != number:
            base = self.generator()
            if number != RAW:
                base = art.tuned(base, result.home(number) / "adapter")
            self.writer = (number, base)
        return self.writer[1]

    def _kept(self, number, result):
        home, table = result.home(number), self.table
        counts = result.counts.setdefault(str(number), {})
        kept = art.select(table)
        counts |= _counted(table) | {"triplets": len(kept)} | table.attrs
        self.rows = kept
        if not len(kept):
            raise ValueError(
                f"no anchor of {table['row'].nunique()} has an accepted candidate of both kinds "
                f"({counts['accepted_positives']:.0%} of the positives and "
                f"{counts['accepted_negatives']:.0%} of the negatives are accepted): take another "
                "--generator or --discriminator, in another folder; the candidates are in "
                f"{home / 'candidates'}"
            )
        file = home / "triplets.parquet"
        if self.everyone.rank == 0:
            origin = data.origin_of(
                "art", settings=self.identity, round=number, counts=dict(counts),
                adapter="" if number == RAW else named.fingerprint(home / "adapter").strip(" ()"),
            )  # fmt: skip
            data.save(kept[[*data.TRIPLET, "row"]], file, origin=origin)
        self.everyone.wait()
        return False

    def _trained(self, number, result):
        plan, s, home = self.plan, self.plan.settings, result.home(number)
        rows, base = self.rows, 0 if number == RAW else number - 1
        if plan.start == "first" and number != RAW:
            base = 0
            earlier = [result.triplets(k).to_pandas() for k in range(1, number)]
            rows = pd.concat([*earlier, rows], ignore_index=True)
        if len(rows) < s.encoder_batch_size:
            fit = f"lower --encoder-batch-size to {len(rows)} in the same folder, or "
            fit *= len(rows) > 1
            raise ValueError(
                f"{len(rows)} triplets of round {number} are fewer than one batch of "
                f"{s.encoder_batch_size}: {fit}start from more --anchors in another folder; the "
                f"candidates are in {home / 'candidates'}"
            )

        def train():
            encoder = self.encoder(result, base)
            art.train(
                encoder, rows, s, seed=plan.seed, precision=plan.precision,
                output_dir=home / "training", save_steps=_SAVE_TRAINING, progress=self.progress,
            )  # fmt: skip
            return encoder

        return self.train_in(home, train, lambda: self.encoder(result, base))

    def _evaluated(self, number, result):
        home = result.home(number)
        home.mkdir(exist_ok=True)
        file = home / "sts.csv"
        new = self.table_in(file, lambda: evaluation.score_sts(
            self.encode(result, number), self.frames, batch_size=1024, progress=self.progress
        ))  # fmt: skip
        sts = pd.read_csv(file)[["task", "pairs", "spearman"]]
        sts.insert(0, "round", str(number))
        result.table = pd.concat([result.table, sts], ignore_index=True)
        s = self.plan.settings
        texts = 2 * (s.anchors * self.plan.candidates + self.plan.prompted)
        result.counts |= {
            "sentences": len(self.sentences), "rejected": len(self.rejects), "texts_a_round": texts,
        }  # fmt: skip
        if self.everyone.rank == 0:
            content = result.table.to_csv(index=False).encode()
            data.write_bytes(result.folder / "results.csv", content)
        return new

    # -------------------------------------------------------------- before minutes are lost
    def _asked_rounds(self) -> int:
        until = self.plan.until
        return self.plan.settings.rounds if until is None else until

    def _controls(self) -> bool:
        """Whether the control is a part of this call."""
        return self.plan.control and self.plan.until is None

    def headline(self) -> str:
        return f", {self._asked_rounds()} rounds"

    def outlook(self) -> list[str]:
        plan, s, rounds = self.plan, self.plan.settings, self._asked_rounds()
        bounds = [getattr(s, name) for name in rewards.Bounds._fields]
        said = "by the rule"
        if bounds != [None] * len(bounds):
            said = ", ".join(said if value is None else f"{value:g}" for value in bounds)
        candidates = 2 * plan.candidates * s.anchors
        lines = [
            f"sentences     {foreseen.said_source(self, len(self.sentences))}",
            f"a round       {s.ppo_steps} steps of PPO with {s.ppo_batch_size} answers "
            f"(w₁ {s.w1:g}, w₂ {s.w2:g}, β {s.kl:g}; Ω, α⁺, α⁻: {said});",
            f"              {candidates:,} candidates for {s.anchors:,} anchors "
            f"at temperature {s.temperature:g};",
            f"              at most {s.anchors:,} triplets, {s.encoder_epochs:g} epochs in batches "
            f"of {s.encoder_batch_size}, from the {plan.start} encoder",
            f"to test       {self.sets()}",
        ]
        if self._controls():
            more = rounds * (candidates + 2 * plan.prompted)
            lines.append(f"control       {more:,} texts of the untuned generator, same filter")
        return lines

    def _rule_needed(self) -> bool:
        """Whether there is a bound that nobody has given."""
        return None in (getattr(self.plan.settings, name) for name in rewards.Bounds._fields)

    def requests(self):
        plan, s = self.plan, self.plan.settings
        if not endpoint.is_served(plan.discriminator):
            return 0, [], 0
        form = foreseen.messages()
        asked = [served.question(form, text, text) for text in self.sentences[:_TRIAL]]
        candidates = 2 * plan.candidates * s.anchors
        pairs = s.ppo_steps * s.ppo_batch_size + candidates + 2 * art.PROBES * self._rule_needed()
        if self._controls():
            pairs += candidates + 2 * plan.prompted
        return self._asked_rounds() * pairs, asked, 8

    def estimate(self) -> list[str]:
        plan, s, rounds = self.plan, self.plan.settings, self._asked_rounds()
        if not rounds:
            return ["no estimate: no round is asked for"]
        encode = frame.encoding(self.fresh())
        probed = [text for number in range(1, rounds + 1) for text in self._probed(number)]
        self.sentences = self.sentences[: 20 * _TRIAL]
        long = set(self._too_long()["row"])
        anchors = [text for i, text in enumerate(self.sentences) if i not in long]
        anchors = anchors[: min(_TRIAL, plan.shard_size)]
        if not anchors:
            raise ValueError(
                f"{decoding.TOO_LONG} for all of {len(long)} sentences: give shorter ones"
            )
        policy = art.policy(self.generator(), s)
        mini = min(s.ppo_mini_batch_size, foreseen.TRIAL_ROWS)
        small = dataclasses.replace(s, ppo_mini_batch_size=mini)
        bounds = rewards.Bounds(0.5, 0.5, 0.9)
        for _ in range(2):  # the first step sets things up
            _, step = foreseen.timed(
                art.tune, policy, anchors, self.discriminator, encode, bounds, small,
                steps=1, batch_size=mini, progress=False,
            )  # fmt: skip
        seconds = {"tuning": rounds * s.ppo_steps * s.ppo_batch_size / mini * step}
        table, write = foreseen.timed(
            art.write, self.generator(), anchors, candidates=plan.candidates,
            temperature=s.temperature, max_new_tokens=s.max_new_tokens,
            batch_size=plan.generation_batch,
        )  # fmt: skip
        _, judge = foreseen.timed(art.judge, table, self.discriminator, encode)
        rate = (write + judge) / len(table)
        if self._rule_needed():
            seconds["bounds"] = rate * 2 * len(probed)
        seconds["writing"] = rate * rounds * s.anchors * 2 * plan.candidates
        rows = pd.DataFrame({"anchor": anchors, "positive": anchors[::-1], "negative": anchors})
        rows, times = foreseen.trial_batch(rows, s.encoder_batch_size)

        def train(encoder, few):
            art.train(
                encoder, rows, dataclasses.replace(s, encoder_batch_size=len(rows)),
                max_steps=few, precision=plan.precision, progress=False,
            )  # fmt: skip

        each = max(s.anchors // s.encoder_batch_size, 1)
        steps = math.ceil(s.encoder_epochs * each) * rounds * (2 if self._controls() else 1)
        spent = foreseen.step_seconds(train, self.fresh)
        seconds["training at most"] = spent * steps * times
        if self._controls():
            seconds["control"] = seconds["writing"] + rate * rounds * 2 * plan.prompted
        return foreseen.said_estimate(self, seconds, f"{len(anchors)} anchors")


@contextmanager
def _in_another_folder():
    """What a stage names as a remedy is an option, and makes another run."""
    try:
        yield
    except ValueError as error:
        said = str(error)
        if said.endswith("the bounds"):
            said += (
                " (--lower-bound, --positive-bound and --negative-bound), or take another "
                "--generator or --discriminator"
            )
        raise ValueError(f"{said}, in another folder") from None


def _save_adapter(policy, home) -> None:
    """All of the adapter or nothing."""
    unfinished = home / "ppo" / "adapter"
    shutil.rmtree(unfinished, ignore_errors=True)
    for config in policy.model.peft_config.values():
        for name, value in vars(config).items():
            if isinstance(value, set):  # its order is another one in another process
                setattr(config, name, sorted(value))
    policy.model.save_pretrained(str(unfinished))
    (unfinished / "README.md").unlink(missing_ok=True)
    os.replace(unfinished, home / "adapter")


def _counted(table) -> dict:
    blank = (table["text"].str.strip() == "").to_numpy()
    found = {
        "written": len(table), "blank": int(blank.sum()),
        "copied": int((curation.copies(table["anchor"], table["text"]) & ~blank).sum()),
    }  # fmt: skip
    good = table[table["accepted"]]
    for kind in art.KINDS:
        share = table.loc[table["kind"] == kind, "accepted"].mean()
        found[f"accepted_{kind}s"] = float(share)
        cosine = good.loc[good["kind"] == kind, "similarity"].mean()
        found[f"cosine_{kind}s"] = None if math.isnan(cosine) else float(cosine)
    both = good.groupby("row")["kind"].nunique() == 2
    return found | {"usable": int(both.sum())}


# ------------------------------------------------------------------ what is said
def _report(plan, result) -> str:
    counts, folder = result.counts, result.folder
    lines = [f"sentences  {counts['sentences']:,}{frame.said_rejected(result)}"]
    for number, found in counts.items():
        if not isinstance(found, dict):
            continue
        name = "control" if number == RAW else f"round {number}"
        if "bounds" in found:
            omega, low, high = found["bounds"].values()
            lines.append(
                f"{name:10} tuned in {found['steps']} steps: reward {found['reward_first']:.3f} → "
                f"{found['reward_last']:.3f}, KL {found['kl']:.1f} "
                f"(Ω {omega:.3f}, α⁺ {low:.3f}, α⁻ {high:.3f})"
            )
        if "triplets" in found:
            lines.append(
                f"{name:10} wrote {found['written']:,} texts; accepted "
                f"{found['accepted_positives']:.0%} of the positives and "
                f"{found['accepted_negatives']:.0%} of the negatives; {found['copied']:,} copies, "
                f"{found['blank']:,} blank; {found['triplets']:,} triplets"
            )
            lines += frame.said_taken(found, name)
    lines += frame.said_minutes(result)
    if result.table is not None:
        wide = result.table.pivot(index="round", columns="task", values="spearman")
        tasks = list(dict.fromkeys(result.table["task"]))
        order = list(dict.fromkeys(result.table["round"]))
        wide = wide.loc[order, tasks].rename(index={RAW: "control"})
        if len(tasks) > 1:
            wide["average"] = wide.mean(axis=1)
        text = wide.rename_axis(columns=None).to_string(float_format="{:.2f}".format)
        lines += ["", f"STS: Spearman, percent ({folder / 'results.csv'})", text]
    return "\n".join(lines)


# ------------------------------------------------------------------ the command line
@options.taken(options.ART)
def describe(out, **given) -> str:
    """What `run` would do with these options: see `foreseen.describe`."""
    return foreseen.describe(_Work(make_plan(**given), quiet=True), out)


def main(argv=None) -> int:
    """``python -m synthlib run art``."""
    try:
        return frame.command(commands.art(), run, describe, argv)
    except ppo.Stopped as error:  # its message says what to do
        raise ValueError(error) from None
