"""A run from outside, while it works or after it was stopped: how far it is, and how to go on.

Everything is read from the run's folder, and nothing in it is changed. No model's library is
loaded, so that it answers at once.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import math
import time

from synthlib import commands
from synthlib.runs import shards
from synthlib.runs.folder import Run, Step, tuned_steps

_WINDOW = 600  # seconds before the last shard that a rate is taken over
_WIDTH = 100  # characters of a line, but for the command


def look(folder) -> dict:
    """How far the run in a folder is.

    Parameters
    ----------
    folder : path

    Returns
    -------
    dict
        As JSON can hold it. folder, method, tier; state (running, finished, ended, stopped);
        held (whether a process of this machine is at work in it, None where that cannot be
        told) and pid; steps (name, state, said, and shards where it makes any: done, of); rows
        (written, judged, kept, rejected; None for what is not counted yet); under_way (step,
        done, of, unit, a_minute, over_seconds, seconds_left; None where no step is); last (at,
        said) of what the run noted; wrote_seconds_ago; command (None where its sentences were
        in memory).

    Raises
    ------
    OSError, ValueError
        Where there is no run, one of another version, or a file of it that cannot be read.
    """
    run = Run(folder)
    held, pid = shards.holder(run.folder)
    steps = run.steps()
    left = [step for step in steps if step.state in ("open", "begun")]
    newest = _newest(run)
    at_it = bool(left) and (held or left[0].state == "begun")
    return {
        "folder": str(run.folder), "method": run.method, "tier": run.asked["tier"],
        "state": "running" if held else _rests(run, left), "held": held, "pid": pid,
        "steps": [_plain(run, step) for step in steps],
        "rows": _rows(run),
        "under_way": _under_way(run, left[0]) if at_it else None,
        "last": _last(run),
        "wrote_seconds_ago": None if newest is None else round(max(0, time.time() - newest), 1),
        "command": run.command(),
    }  # fmt: skip


def _rests(run, left) -> str:
    """What to call a run that no process holds."""
    if not left:
        return "finished"
    entry = run.journal[-1] if run.journal else {}
    in_order = run.has("report.json") and not ("begins" in entry or entry.get("stopped"))
    return "ended" if in_order else "stopped"


def _plain(run, step: Step) -> dict:
    found = {"name": step.name, "state": step.state, "said": step.said, "shards": None}
    if (files := _shards(run, step)) and step.of:
        of = math.ceil(step.of / run.asked["shard_size"])
        found["shards"] = {"done": len(files), "of": of}
    return found


def _shards(run, step) -> dict:
    """Number of a step's shard to the time at which it was written."""
    if not step.place or step.place.endswith(("training", "ppo")):
        return {}
    found = {}
    for file in shards.shards_of(run.folder / step.place):
        try:
            found[int(file.name.partition("-")[0])] = file.stat().st_mtime
        except FileNotFoundError:  # a damaged one, which the run at work makes again
            continue
    return found


def _rows(run) -> dict:
    rejects = run.folder / "rejects.jsonl"
    rejected = sum(1 for _ in run.rejects()) if rejects.is_file() else None
    if run.method == "art":
        written = sum(run.count(f"{name}/candidates") for name in run.rounds)
        made = [f"{name}/triplets.parquet" for name in run.rounds]
        judged = written  # an NLI model looks at each as it is written
    else:
        written, made = run.count("written"), ["kept.parquet"]
        judged = run.count("judged") if run.method == "multicsr" else None
    kept = sum(map(run.count, made)) if any(map(run.has, made)) else None
    return {"written": written, "judged": judged, "kept": kept, "rejected": rejected}


# ------------------------------------------------------------------ the step under way
def _under_way(run, step: Step) -> dict:
    """How far it is, how fast, and how long it will go on."""
    kind = step.place.rpartition("/")[2]
    progress = {"training": _training, "ppo": _tuning}.get(kind, _in_shards)
    found = {"step": step.name, "done": 0, "of": None, "unit": "sentences", "a_minute": None,
             "over_seconds": None, "seconds_left": None}  # fmt: skip
    found |= progress(run, step)
    if found["a_minute"] and found["of"]:
        found["seconds_left"] = 60 * (found["of"] - found["done"]) / found["a_minute"]
    return {
        name: round(value, 1) if isinstance(value, float) else value
        for name, value in found.items()
    }  # fmt: skip


def _rate(times: dict, amounts: dict, since) -> dict:
    """What was done between the first and the last of the last minutes, by number.

    Since the beginning of this call, where there is but one: the first takes the models' loading.
    """
    if not times:
        return {}
    newest = max(times.values())
    of = [number for number, at in times.items() if at >= max(newest - _WINDOW, since or 0)]
    first = min(of, key=times.get, default=None)
    amount, start = sum(amounts[number] for number in of if number != first), times.get(first)
    if len(of) == 1 and since is not None:
        amount, start = amounts[first], since
    spent = newest - start if start is not None else 0
    if not amount or spent <= 0:
        return {}
    return {"a_minute": 60 * amount / spent, "over_seconds": spent}


def _in_shards(run, step) -> dict:
    times, size = _shards(run, step), run.asked["shard_size"]
    if not times:
        return {"of": step.of}
    amounts = {
        number: min(size, step.of - number * size) if step.of else size for number in times
    }  # fmt: skip
    return {"done": sum(amounts.values()), "of": step.of} | _rate(times, amounts, _since(run))


def _training(run, step) -> dict:
    found = run.checkpoints(step.place.rpartition("/")[0])
    states = {at: one / "trainer_state.json" for at, one in sorted(found.items())}
    states = {at: file for at, file in states.items() if file.is_file()}
    if not states:
        return {"unit": "steps"}
    last = max(states)
    try:
        of = json.loads(states[last].read_text("utf-8")).get("max_steps")
    except (OSError, ValueError):  # it is being written, or removed
        of = None
    times = {at: file.stat().st_mtime for at, file in states.items() if file.is_file()}
    before = dict(zip(list(times)[1:], times, strict=False))
    amounts = {at: at - before.get(at, at) for at in times}
    rate = _rate(times, amounts, _since(run)) if len(times) > 1 else {}
    return {"unit": "steps", "done": last, "of": of} | rate


def _tuning(run, step) -> dict:
    place = run.folder / step.place
    done = tuned_steps(place)
    found = {"unit": "steps of PPO", "done": done, "of": run.asked.get("ppo_steps")}
    begun = [entry for entry in run.journal if entry.get("begins") == step.place]
    if not begun:  # a quiet run
        return found
    more = done - begun[-1].get("done", 0)
    with contextlib.suppress(OSError, TypeError):  # no checkpoint yet, or a damaged line
        spent = (place / "ppo.json").stat().st_mtime - _seconds(begun[-1].get("at"))
        if more > 0 and spent > 0:
            found |= {"a_minute": 60 * more / spent, "over_seconds": spent}
    return found


def _since(run) -> float | None:
    """When this call, or the last one, began the step that it was in."""
    begun = [entry for entry in run.journal if "begins" in entry]
    return _seconds(begun[-1].get("at")) if begun else None


def _seconds(at) -> float | None:
    try:
        return datetime.datetime.fromisoformat(at).timestamp()
    except (TypeError, ValueError):
        return None


def _last(run) -> dict | None:
    """What the run noted last, in words."""
    if not run.journal:
        return None
    entry = run.journal[-1]
    if "begins" in entry:
        said = f"begins {entry['begins']}"
    elif "step" in entry:
        how = "was stopped after" if entry.get("stopped") else "took"
        said = f"{entry['step']} {how} {said_time(float(entry.get('seconds', 0)))}"
    elif "curve" in entry:
        log = entry.get("log") or [{}]
        said = f"training ended, loss {log[-1].get('loss')}"
    else:
        said = str(entry.get("note", ""))
    return {"at": entry.get("at"), "said": said}


def _newest(run) -> float | None:
    """When a file of the run was written last, its lock and report page left out."""
    times = []
    for file in run.folder.rglob("*"):
        try:
            if file.is_file() and file.name not in (".lock", "report.html"):
                times.append(file.stat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times, default=None)


# ------------------------------------------------------------------ the screen
def said_time(seconds) -> str:
    """A duration in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def said(found: dict) -> str:
    """What `look` has found, on a screen."""
    at_work = {
        "running": f"process {found['pid']} is at work in it" if found["pid"]
        else "a process is at work in it",
        "finished": "finished", "ended": "its last call ended where it was asked to",
        "stopped": "stopped before its end, and no process of this machine is at work in it",
    }[found["state"]]  # fmt: skip
    if found["held"] is None and found["state"] != "finished":
        at_work = "not finished; this system does not say whether a process is at work in it"
    ago = found["wrote_seconds_ago"]
    wrote = f"; wrote last {said_time(ago)} ago" if ago is not None else ""
    lines = [f"{found['folder']}: {found['method']}, tier {found['tier']}", f"{at_work}{wrote}"]
    width = max(len(step["name"]) for step in found["steps"])
    for step in found["steps"]:
        made = step["shards"]
        parts = [f"{made['done']:,} of {made['of']:,} shards"] if made else []
        counted = made and step["state"] == "begun"  # the line of the rate says it
        parts += [step["said"]] if step["said"] and not counted else []
        line = f"  {step['name']:{width}}  {step['state']:8}  {'; '.join(parts)}"
        lines.append(line.rstrip())
    rows = [f"{many:,} {what}" for what, many in found["rows"].items() if many is not None]
    lines.append(f"rows       {', '.join(rows)}")
    if now := found["under_way"]:
        lines.append(f"rate       {_said_rate(now, found['state'])}")
    if last := found["last"]:
        line = f"last line  {last['at']} {' '.join(last['said'].split())}"
        lines.append(line if len(line) <= _WIDTH else f"{line[:_WIDTH - 1]}…")
    if found["state"] in ("stopped", "ended"):
        lines.append(f"goes on    {found['command'] or 'the call from Python that began it'}")
    return "\n".join(lines)


def _said_rate(now, state) -> str:
    of = "" if now["of"] is None else f" of {now['of']:,}"
    far = f"{now['step']}: {now['done']:,}{of} {now['unit']}"
    if now["a_minute"] is None:
        return f"{far}; no rate yet"
    many = f"{now['a_minute']:,.{0 if now['a_minute'] >= 10 else 1}f}"  # PPO's may be few
    rate = f"{many} a minute over {said_time(now['over_seconds'])}"
    left = now["seconds_left"]
    rest = "" if left is None else f"; at that rate {said_time(left)} left in this step"
    return f"{far}; {rate}{rest}"


# ------------------------------------------------------------------ the command line
def main(argv=None) -> int:
    """``python -m synthlib status RUN``."""
    given = commands.status().parse_args(argv)
    found = look(given.run)
    print(json.dumps(found, indent=1, ensure_ascii=False) if given.json else said(found))
    return 0
