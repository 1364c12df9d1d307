"""From a run's options to its plan: each in its range, with the tier's values, and what it is.

`settle` checks what was given, `complete` makes the plan, `identity` says what makes two runs the
same.
"""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from synthlib import data, endpoint, models, options, prompts, reading, spending, tiers
from synthlib.runs import named

_LATER = ("form", "shots", "register")  # None: not in run.json, as in older ones
_SERVED_SHARD = 128  # rows of a shard that an API writes: an interruption loses no answer


@dataclass(frozen=True, kw_only=True)
class Planned:
    """What a plan says beside the run's options, which are in it as they are carried out."""

    settings: object  # the tier's, with what was given in their place
    source: object  # "pocket", a file or hub name, a corpus, or a tuple of sentences
    examination: str  # of `examination.kind`
    fitted: str  # what n has lowered, to be said


# ------------------------------------------------------------------ checked
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
    for name in all_of:
        value = getattr(asked, name)
        if isinstance(value, int) and abs(value) >= 2**31:  # no library holds it
            raise ValueError(f"{name} must lie below {2**31}, got {value}")
    tier = tiers.get(asked.tier)
    own = next(some for some in vars(tier).values() if isinstance(some, of.tier_settings))
    plain = {
        name: _plain(getattr(asked, name), one, getattr(own, one.setting) if one.setting else None)
        for name, one in all_of.items()
    }
    plain |= {"tier": tier.name, "premises": _in_memory(plain["premises"], asked.column)}
    asked = of(**plain)
    settings = dataclasses.replace(own, **{
        one.setting: plain[name]
        for name, one in all_of.items() if one.setting and plain[name] is not None
    })  # fmt: skip
    # A tier's form and worked examples are for its own generator, and go together.
    if settings.generator != own.generator or asked.form not in (None, own.form):
        settings = dataclasses.replace(settings, **{name: plain[name] for name in _LATER})
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
    if asked.data is not None and not Path(asked.data).is_dir():
        if Path(asked.data).exists():
            raise ValueError(
                f"data must be SentEval's downstream folder, and {asked.data} is a file"
            )
        raise FileNotFoundError(f"data folder not found: {asked.data}")
    return asked, _settle_served(asked, settings)


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


def _in_memory(premises, column):
    """A source of premises as a plan holds it: a name as it is, texts in memory as a tuple."""
    if premises is None or isinstance(premises, str | os.PathLike | tiers.Corpus):
        return premises
    return tuple(reading.texts_in(premises, column))


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
    if asked.shard_size is None:
        most = max(_SERVED_SHARD, settings.shard_size)
        settings = dataclasses.replace(settings, shard_size=most)
    return settings


# ------------------------------------------------------------------ the plan
def source_of(asked, settings):
    """What a run's sentences come from: what was given, else the tier's corpus."""
    if asked.premises is not None:
        return asked.premises
    return "pocket" if settings.corpus is None else settings.corpus


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
            settings[one.setting] += named.fingerprint(settings[one.setting])
    if behind_api(plan.settings):
        more = more | {"endpoint": endpoint.host_of(plan.base_url)}
    beside = {name: kept[name] for name in settings if kept.get(name) is not None}  # pooling
    found = kept | more | settings | beside
    found = {k: v for k, v in found.items() if k not in _LATER or v is not None}
    return json.loads(json.dumps(found))


# ------------------------------------------------------------------ what follows from a plan
def examples_of(run: dict) -> dict:
    """Which worked examples a run's prompts have: `shots`, `register` and `seed`, those given."""
    names = ("shots", "register", "seed")
    return {name: run[name] for name in names if run.get(name) is not None}


def distinct_sentences(plan, of_tier):
    """Sentences to start from, none twice: all of a file, a tier's number of its own, or n.

    Parameters
    ----------
    plan
    of_tier : int
        How many of the pocket world or of a tier's corpus, where no n is given.

    Returns
    -------
    found, rejects : DataFrame
        As `data.read_premises` gives them.
    """
    source, n = plan.source, plan.n
    own = source == "pocket" or isinstance(source, tiers.Corpus)
    some = of_tier if own and n is None else 4 * max(n, 1000) if source == "pocket" else None
    found, rejects = data.read_premises(source, column=plan.column, n=some, seed=plan.seed)
    found = found.drop_duplicates("sentence", ignore_index=True)
    if n is not None and n < len(found):
        chosen = np.random.default_rng(plan.seed).choice(len(found), n, replace=False)
        found = found.iloc[np.sort(chosen)].reset_index(drop=True)
    return found, rejects
