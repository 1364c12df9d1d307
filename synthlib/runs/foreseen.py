"""A dry run: what a run would do, and how long it would take, from a trial on a few rows."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from synthlib import endpoint, prompts, spending
from synthlib.runs import frame, named, shards

TRIAL_ROWS = 256  # of a batch that is trained on: its memory must not follow the options


def describe(work, out) -> str:
    """What a run would do: models, counts, and an estimate.

    Parameters
    ----------
    work : frame.Work
        With `outlook` (the method's own lines), `requests` (to an API, of `said_asked`) and
        `estimate` (the last lines, which load the models).
    out : path
        Of the run; nothing is written there.

    Returns
    -------
    str
        Lines to print.
    """
    plan, out = work.plan, Path(out).expanduser()
    changed, _ = shards.check_settings(out, work.identity, work.stale)
    named.check_models(work.wanted())
    frame.say_fitted(plan)
    lines = [f"tier {plan.tier}{work.headline()} → {out}"]
    lines += [shards.said_of(out, changed)] if changed else []
    if plan.engine == "ray":
        lines.append(f"{'engine':{work.width}} Ray makes the shards; this process {work.rest}")
    for role, name in sorted(work.wanted().items()):
        lines.append(f"{role:{work.width}} {name}{named.size_of(name)}")
    lines += work.outlook() + said_asked(plan, *work.requests(), work.width)
    return "\n".join([*lines, *(no_estimate(work.wanted()) or work.estimate())])


# ------------------------------------------------------------------ lines
def said_source(work, many) -> str:
    """Where so many sentences come from, and how many of it cannot be used."""
    unusable = f", and {len(work.rejects):,} that cannot be used" if len(work.rejects) else ""
    return f"{many:,} from {work.identity['source']}{unusable}"


def said_end(work) -> str:
    """What examines the encoder, or where the run ends before."""
    if work.takes("evaluated"):
        return f"to test    {work.sets()}"
    return f"until      {work.plan.until}"


def said_asked(plan, requests: int, asked: list[str], room: int, width: int) -> list[str]:
    """What an API would be sent, and what that may cost; nothing where nobody asks one.

    Parameters
    ----------
    plan
    requests : int
    asked : list of str
        Some of the prompts; four characters count as a token.
    room : int
        Most tokens of an answer.
    width : int
    """
    if not requests:
        return []
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


def messages(**examples) -> prompts.Form:
    """The form in which a model behind an API is asked."""
    return prompts.Form("chat", endpoint.Messages(), **examples)


def no_estimate(wanted: dict) -> list[str]:
    """Why there is no trial: it downloads no model, and costs no money."""
    paid = [name for name in wanted.values() if endpoint.is_served(name)]
    if paid:
        return [f"no estimate: a trial would ask {paid[0]}, and cost money"]
    away = [name for name in dict.fromkeys(wanted.values()) if named.at_hand(name) is None]
    one = "come" if len(away) > 1 else "comes"
    return [f"no estimate: {', '.join(away)} {one} from the Hub"] if away else []


def said_estimate(work, seconds: dict, rows: str) -> list[str]:
    """The time that each step will take; `rows` were tried."""
    said = frame.said_times(seconds)
    told = f"{'estimate':{work.width}} {said}, from a trial on {rows} with this device"
    return [told] if said else []


# ------------------------------------------------------------------ trials
def trial_batch(rows, size: int):
    """A batch of a table for a trial, and how many of its size the true one holds."""
    some = min(size, TRIAL_ROWS)
    return rows.iloc[np.arange(some) % len(rows)], size / some


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
