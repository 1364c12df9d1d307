"""A run's folder as it lies there, finished or not: what was asked, how far it is, its rows.

No model is loaded and nothing in the folder is changed.
"""

from __future__ import annotations

import json
import math
import re
import shlex
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from synthlib import __version__, options, tiers
from synthlib.runs import journal, shards

METHODS = {"multicsr": options.MultiCSR, "ranking": options.Ranking, "art": options.ART}
# What stands in the run.json of one method alone.
MARKS = {"multicsr": "thresholds", "ranking": "from_file", "art": "ppo_steps"}
RAW = "raw"  # folder of ART's control
_BATCH = 4096  # rows of a Parquet file that are held at once


@dataclass
class Step:
    """A step of a run.

    Attributes
    ----------
    name : str
    state : str
        done, begun, open, or not asked for.
    said : str
        How far it is, in words.
    place : str
        Folder of its shards, or of the training's checkpoints, in that of the run.
    of : int or None
        What its shards are made of, in all: premises, anchors.
    each : int
        Rows that one of them gives.
    """

    name: str
    state: str
    said: str = ""
    place: str = ""
    of: int | None = None
    each: int = 1


def tuned_steps(folder) -> int:
    """Steps of PPO that its last checkpoint in a folder holds; 0 where there is none."""
    try:
        return len(json.loads((folder / "ppo.json").read_text("utf-8"))["log"])
    except (OSError, ValueError, LookupError):
        return 0


class Run:
    """The folder of a run.

    Parameters
    ----------
    folder : path

    Raises
    ------
    OSError, ValueError
        Where there is no such folder, and where it holds no run.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        if not self.folder.exists():
            raise FileNotFoundError(f"there is no run {self.folder}: give the folder of a run")
        if not self.folder.is_dir():
            raise NotADirectoryError(f"{self.folder} is a file: give the folder of a run")
        file = self.folder / "run.json"
        if not file.is_file():
            if all(one.name == ".lock" for one in self.folder.iterdir()):
                raise ValueError(f"{self.folder} is empty: no run has begun in it")
            near = sorted(self.folder.glob("*/run.json"))[:3]
            there = f"; in it are {', '.join(str(one.parent) for one in near)}" if near else ""
            raise ValueError(
                f"{self.folder} holds no run (no run.json): give the folder that --out of "
                f"python -m synthlib run named{there}"
            )
        self.asked = _json(file)
        self.made = self.asked.pop("made_with", {})
        self.made = self.made if isinstance(self.made, dict) else {}
        known = [method for method, mark in MARKS.items() if mark in self.asked]
        if len(known) != 1 or self.asked.get("tier") not in tiers.NAMES:
            raise ValueError(f"{file} is of no method that is known here{self._by_newer()}")
        (self.method,) = known

    def has(self, name) -> bool:
        """Whether a file or folder is there."""
        return (self.folder / name).exists()

    def json(self, name) -> dict:
        """What a JSON file of the folder holds; empty where there is none."""
        return _json(self.folder / name) if self.has(name) else {}

    def csv(self, name):
        """A table of the folder, or None where there is none."""
        file = self.folder / name
        if not file.is_file():
            return None
        try:
            return pd.read_csv(file, keep_default_na=True)
        except ValueError as error:  # pandas' own are all of this kind
            raise ValueError(_unreadable(file, error)) from None

    def count(self, name) -> int:
        """Rows of a step's shards, or of a Parquet file, as far as they are there."""
        import pyarrow.parquet

        path, rows = self.folder / name, 0
        files = [path] if path.is_file() else shards.shards_of(path) if path.is_dir() else []
        for file in files:
            try:
                rows += pyarrow.parquet.read_metadata(file).num_rows
            except FileNotFoundError:  # a damaged one, which the run at work makes again
                continue
            except (OSError, ValueError) as error:
                raise OSError(_unreadable(file, error)) from None
        return rows

    def tables(self, name):
        """The rows of a step's shards, or of a Parquet file, a few thousand at a time."""
        import pyarrow.parquet

        path = self.folder / name
        if path.is_dir():
            for _, frame in shards.frames(path):
                yield frame
        elif path.is_file():
            try:
                with pyarrow.parquet.ParquetFile(path) as file:
                    for batch in file.iter_batches(_BATCH):
                        yield batch.to_pandas()
            except (OSError, ValueError) as error:
                raise OSError(_unreadable(path, error)) from None

    def shards(self, name):
        """A step's shards as far as they are there: (number, DataFrame)."""
        path = self.folder / name
        return shards.frames(path) if path.is_dir() else iter(())

    def rejects(self):
        """What could not be used, a dict each: file, line, reason, text, where."""
        file = self.folder / "rejects.jsonl"
        if not file.is_file():
            return
        with file.open(encoding="utf-8", errors="replace") as stream:
            for number, line in enumerate(stream, 1):
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise ValueError(_unreadable(f"{file}, line {number}", error)) from None

    @cached_property
    def journal(self) -> list[dict]:
        """What the run said while it worked (`runs.journal`)."""
        return journal.read(self.folder)

    @property
    def sentences(self) -> int | None:
        """How many the run began with, where that is known: the run, or its report, says it."""
        said = [entry["sentences"] for entry in self.journal if "sentences" in entry]
        said += [self.made["sentences"]] if "sentences" in self.made else []
        counts = self.json("report.json")
        if self.method == "ranking" and self.asked.get("from_file"):
            return counts.get("anchors") or max(said, default=None)
        return counts.get("premises") or counts.get("sentences") or max(said, default=None)

    def model(self, role) -> str:
        """Name of a model, without the mark that tells its versions apart."""
        return re.sub(r" \([0-9a-f]{8}\)$", "", str(self.asked[role]))

    @property
    def rounds(self) -> list[str]:
        """Folders of ART's rounds, and of its control where there is one."""
        rounds = [f"round-{k}" for k in range(1, 1 + int(self.asked["rounds"]))]
        return rounds + [RAW] * bool(self.asked.get("control"))

    def checkpoints(self, home="") -> dict[int, Path]:
        """Those of an encoder's training that are there, by their step."""
        found = {
            one.name.partition("-")[2]: one for one in (self.folder / home / "training").glob("*-*")
            if one.name.startswith("checkpoint-")
        }  # fmt: skip
        return {int(step): one for step, one in found.items() if step.isdigit()}

    def training(self, home="") -> str:
        """How far the training of an encoder is, where it has not ended."""
        found = self.checkpoints(home)
        return f"checkpoint at step {max(found):,}" if found else ""

    def step(self, name, there, said="", begun=False, wanted=True, **more) -> Step:
        """A step of which it is known whether what it makes is there."""
        state = "done" if there else "begun" if begun else "open" if wanted else "not asked for"
        return Step(name, state, said, **more)

    def steps(self) -> list[Step]:
        """Those of the run's method, and how far each is; refuse a run of another version."""
        try:
            return _STEPS[self.method](self)
        except KeyError as error:
            raise ValueError(self.lacks(error)) from None

    def lacks(self, error) -> str:
        """What is wrong where ``run.json`` has not what a run of this method leaves in it."""
        by = self._by_newer() or ": another version of synthlib has made it"
        return f"{self.folder} lacks {error}, which a run of {self.method} leaves{by}"

    def _by_newer(self) -> str:
        """That a newer version has made the run, and what to do; or nothing."""
        calls = self.made.get("calls", ())
        made = [str(call.get("versions", {}).get("synthlib", "0")) for call in calls]
        newest = max(made, key=_version, default="0")
        if _version(newest) <= _version(__version__):
            return ""
        return f": synthlib {newest} has made it, and this is {__version__}: install that one"

    def times(self) -> list[dict]:
        """Steps with the seconds that they took, interruptions counted, and the memory.

        What a step took before other settings had it made again does not count.
        """
        rows, open_ = {}, {}
        for entry in self.journal:
            if "step" not in entry:
                continue
            name = entry["step"]
            spent = open_.pop(name, 0) + float(entry.get("seconds", 0))
            if entry.get("stopped"):
                open_[name] = spent
            rows[name] = {
                "step": name, "seconds": spent, "stopped": bool(entry.get("stopped")),
                **entry.get("memory", {}),
            }  # fmt: skip
        return list(rows.values())

    def curve(self, name="") -> pd.DataFrame | None:
        """The log of an encoder's training: step, loss, and dev where it was looked at."""
        logs = [entry["log"] for entry in self.journal if entry.get("curve") == name]
        return pd.DataFrame(logs[-1]) if logs and logs[-1] else None

    # -------------------------------------------------------------- the command
    def command(self) -> str | None:
        """The command that makes this run again, or goes on with it.

        Every option that decides the run and is not what its tier says anyway. None where the
        sentences were in memory, so that no command can name them.
        """
        asked, of = self.asked, METHODS[self.method]
        tier = tiers.get(asked["tier"])
        own = next(one for one in vars(tier).values() if isinstance(one, of.tier_settings))
        words = ["python", "-m", "synthlib", "run", self.method, "--tier", asked["tier"]]
        source = asked["source"]
        if source == "a list":
            return None
        corpus = getattr(own.corpus, "name", "pocket")
        if asked.get("no_logits"):
            words += ["--no-logits", source]
        elif asked.get("from_file"):
            words += ["--lists", source]
        elif source != corpus:
            words += ["--premises", source]
        for name, one in options.declared(of).items():
            place = one.setting or name
            if not one.identity or place not in asked or name in ("tier", "no_logits"):
                continue
            value = asked[place]
            if one.setting and one.kind == options.Name:
                value = self.model(place)
            usual = getattr(own, one.setting) if one.setting else one.default
            if name == "pooling":
                usual = getattr(own, name, usual)
            if name == "stages":
                usual = (2, 3) if asked.get("no_logits") else (1, 2, 3)
            words += _option(name, one, value, usual)
        served = [call["base_url"] for call in self.made.get("calls", ()) if "base_url" in call]
        words += ["--base-url", served[-1]] if served else []
        return shlex.join([*words, "--out", str(self.folder)])


# ------------------------------------------------------------------ the steps of each method
def _multicsr(run):
    written, judged = run.count("written"), run.count("judged")
    decided, total = run.has("triplets.parquet"), run.sentences
    of = f" of {total:,}" if total else ""
    after = decided or run.has("judged")
    ready = after or bool(written and total and written >= total)
    first = run.step("written", ready, f"{written:,}{of} starting sentences", bool(written),
                     place="written", of=total)  # fmt: skip
    if run.asked.get("no_logits"):
        first = run.step("written", True, "read from a file")
    wants = 2 in run.asked["stages"]
    said = f"{judged:,} of {written or total or 0:,} triplets" if judged else ""
    return [
        first,
        run.step("judged", decided and wants, said, bool(judged), wants, place="judged",
                 of=written or total),
        run.step("kept", run.has("kept.parquet"), "" if run.has("kept.parquet") or not decided
                 else "nothing was kept", decided),
        run.step("trained", run.has("encoder"), said := run.training(), bool(said),
                 place="training"),
        run.step("evaluated", run.has("sts.csv")),
    ]  # fmt: skip


def _ranking(run):
    written, drawn = run.count("written"), run.count("anchors")
    decided = run.has("lists.parquet")
    of = f" of {drawn:,}" if drawn else ""
    whole = decided or run.has("compared") or bool(drawn and written >= drawn)
    first = run.step("written", whole, f"{written:,}{of} lists", bool(written or drawn),
                     place="written", of=drawn or None)  # fmt: skip
    if run.asked["from_file"]:
        first = run.step("written", True, "read from a file")
    compared = run.count("compared")
    return [
        first,
        run.step("kept", run.has("kept.parquet"),
                 f"{compared:,} lists compared" if compared else "", bool(compared) or decided,
                 place="compared"),
        run.step("trained", run.has("encoder"), said := run.training(), bool(said),
                 place="training"),
        run.step("evaluated", run.has("results.csv")),
    ]  # fmt: skip


def _art(run):
    steps = []
    rounds, per = int(run.asked["rounds"]), 2 * int(run.asked["candidates"])
    for name in run.rounds:
        many = int(run.asked["anchors"]) * (rounds if name == RAW else 1)
        texts = run.count(f"{name}/candidates")
        said = said_round(name)
        if name != RAW:
            begun = run.has(f"{name}/ppo") or run.has(f"{name}/bounds.json")
            steps.append(run.step(f"{said}: tuned", run.has(f"{name}/adapter"), begun=begun,
                                  place=f"{name}/ppo"))  # fmt: skip
        steps += [
            run.step(f"{said}: written", texts >= many * per,
                     f"{texts:,} of {many * per:,} texts", bool(texts),
                     place=f"{name}/candidates", of=many, each=per),
            run.step(f"{said}: kept", run.has(f"{name}/triplets.parquet")),
            run.step(f"{said}: trained", run.has(f"{name}/encoder"), run.training(name),
                     run.has(f"{name}/training"), place=f"{name}/training"),
            run.step(f"{said}: evaluated", run.has(f"{name}/sts.csv")),
        ]  # fmt: skip
    return steps


_STEPS = {"multicsr": _multicsr, "ranking": _ranking, "art": _art}


def said_round(name) -> str:
    """A round of ART in words."""
    return "the control" if name == RAW else name.replace("-", " ")


def _version(text) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def _option(name, one, value, usual) -> list[str]:
    """An option of a command, or nothing where its value is the usual one."""
    flag = one.flags[0] if one.flags else f"--{name.replace('_', '-')}"
    plain = list(usual) if isinstance(usual, tuple) else usual
    if value == plain or (value is None and name != "gamma"):
        return []
    if one.kind is bool:
        return [flag]
    if value is None:
        value = options.NO_GAMMA
    if name == "stages":
        value = ",".join(map(str, value)) or "none"
    if isinstance(value, list):
        return [flag, *map(str, value)]
    if isinstance(value, float) and value < 0 or str(value).startswith("-"):
        return [f"{flag}={value}"]
    return [flag, str(value)]


def _json(file) -> dict:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"{file} is damaged: the run's own command may write it again")
    return found


def _unreadable(file, error) -> str:
    said = " ".join(str(error).split())[:160]
    return f"{file} cannot be read ({said}): give the run's own command again, or delete it first"


def mean(values) -> float:
    """Mean of the finite ones; nan where there is none."""
    array = np.asarray(values, dtype=float)
    found = array[np.isfinite(array)]
    return float(found.mean()) if len(found) else math.nan
