"""Measuring the claims over seeds, and running one seed again where the code has changed."""

from __future__ import annotations

import importlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from synthlib import commands, paths

from . import closure, records, registry, shown


@dataclass(frozen=True)
class Measure:
    """A function that measures claims for one seed."""

    function: Callable
    claims: tuple[str, ...]
    tier: str

    @property
    def name(self) -> str:
        return f"{self.function.__module__}.{self.function.__qualname__}"

    def fingerprint(self) -> str:
        """Of the present code and data that the function depends on."""
        return closure.present(self.claims[0])

    def __call__(self, seed: int, aside: list | None = None) -> dict[str, float]:
        """Each claim's value; rows go `aside` where that is given."""
        with records.measuring(self.claims[0], self.fingerprint(), aside):
            result = self.function(seed)
        values = result if isinstance(result, Mapping) else {self.claims[0]: result}
        if set(values) != set(self.claims):
            raise ValueError(f"returned {sorted(values)}, registered for {sorted(self.claims)}")
        return {claim: float(values[claim]) for claim in self.claims}


#: The measuring functions of the modules that are imported, by claim.
REGISTRY: dict[str, Measure] = {}


def measure(*ids: str, reads: Sequence[str] = ("data/pocket",), tier: str = "pocket"):
    """Register a function that measures claims for one seed.

    What its code depends on is computed (see `closure`), from the source: claims and `reads` are
    written out in the decorator, or are names of tuples of strings.

    Parameters
    ----------
    *ids : str
        The claims that it measures.
    reads : sequence of str
        The weights that it reads, as ``"data/pocket/nli"``; when they change it is measured again.
    tier : str

    Returns
    -------
    decorator
        For a function ``f(seed: int)`` that returns a float (one claim) or a mapping
        ``{claim: float}`` over all of `ids`.

    Raises
    ------
    ValueError
        For an unknown claim, or one that another function measures already.
    """
    if not ids:
        raise ValueError("measure which claims? give at least one id")
    for claim in ids:
        registry.known(claim)

    def register(function: Callable) -> Callable:
        made = Measure(function, tuple(ids), tier)
        for claim in ids:
            other = REGISTRY.get(claim)
            if other and other.name != made.name:
                raise ValueError(f"{claim} is already measured by {other.function.__qualname__}")
            REGISTRY[claim] = made
        return function

    return register


def run(
    ids: Sequence[str] | None = None, seeds: Sequence[int] = (0, 1, 2), *, force: bool = False
) -> list[str]:
    """Measure registered claims and write ``data/ledger/measured/``.

    Every seed is stored as soon as it is done: an interrupted run goes on where it stopped, and
    what was measured with the present code is not measured again.

    Parameters
    ----------
    ids : sequence of str, optional
        All registered claims by default.
    seeds : sequence of int
    force : bool
        Measure again even where the present code was measured already.

    Returns
    -------
    list of str
        Messages of functions that failed (the others are measured all the same).

    Raises
    ------
    ValueError
        For a claim that is unknown or has no measuring function.
    """
    seeds = list(dict.fromkeys(seeds))
    for seed in seeds:
        if not 0 <= seed < 2**31:
            raise ValueError(f"a seed lies between 0 and {2**31 - 1}, got {seed}")
    functions = _functions(ids)
    failures = []
    for position, made in enumerate(functions, 1):
        fingerprint = made.fingerprint()
        title = f"[{position}/{len(functions)}] {made.name}"
        for seed in seeds:
            if not force and all(_has(c, seed, fingerprint) for c in made.claims):
                print(f"{title} seed {seed}: already measured", flush=True)
                continue
            start = time.perf_counter()
            try:
                values = made(seed)
                minutes = (time.perf_counter() - start) / 60
                for claim, value in values.items():
                    fresh = force and seed == seeds[0]
                    _add_seed(claim, seed, value, fingerprint, minutes, made.tier, fresh)
            except Exception as error:  # one claim's failure must not lose the others' minutes
                failures.append(f"{title} seed {seed}: {type(error).__name__}: {error}")
                print(failures[-1], file=sys.stderr, flush=True)
                break
            print(f"{title} seed {seed}: {minutes:.1f} min", flush=True)
    return failures


def _functions(ids: Iterable[str] | None) -> list[Measure]:
    """The measuring functions of claims, each once."""
    if paths.ROOT is None:
        raise ValueError("the ledger is measured in a checkout of the repository, not in a wheel")
    import_measures()
    for claim in ids or ():
        registry.known(claim)
        if claim not in REGISTRY:
            raise ValueError(f"{claim} has no measuring function yet; see --list")
    return list(dict.fromkeys(REGISTRY[claim] for claim in ids or REGISTRY))


def _has(claim: str, seed: int, fingerprint: str) -> bool:
    """Whether these sources measured a claim at a seed, or were found to give the same."""
    entry = records.read(records.MEASURED, claim) or {}
    stamps = entry.get("fingerprint"), entry.get("verified", {}).get("fingerprint")
    return fingerprint in stamps and str(seed) in entry["values"]


def _seeds_at(claim: str, fingerprint: str) -> dict[int, float]:
    """Seeds of a claim's committed measurement, if it was made from these sources."""
    entry = records.read(records.MEASURED, claim)
    if entry is None or entry.get("fingerprint") != fingerprint:
        return {}
    return {int(s): v for s, v in entry["values"].items()}


def _add_seed(claim, seed, value, fingerprint, minutes, tier, fresh):
    before = {} if fresh else _seeds_at(claim, fingerprint)
    spent = (records.read(records.MEASURED, claim) or {}).get("minutes") if before else None
    values = dict(sorted({**before, seed: float(value)}.items()))
    records.write(
        records.MEASURED, claim, values.values(), values,
        tier=tier, minutes=(spent or 0) + minutes, fingerprint=fingerprint,
    )  # fmt: skip


def import_measures() -> None:
    """Import the modules whose source registers measuring functions."""
    for module in sorted({module for module, *_ in closure.here().measures.values()}):
        importlib.import_module(module)


# ------------------------------------------------------------------ one seed again
def verify(
    ids: Sequence[str] | None = None, *, at_most: float | None = None, force: bool = False
) -> list[str]:
    """Run one seed of older measurements with the present code, and stamp those that are the same.

    A record is stamped where the figure is the same (`registry.tolerance`), in the same precision;
    so are the rows behind it where every digit is. Otherwise its record notes what came out. Every
    function's outcome is stored as soon as it is known: an interrupted verification goes on where
    it stopped. Left out is what is marked to be measured again in another way.

    Parameters
    ----------
    ids : sequence of str, optional
        All measured claims by default.
    at_most : float, optional
        Only functions whose recorded time for one seed is no more than so many minutes.
    force : bool
        Also what is fresh, verified, known to differ, or marked to be measured again.

    Returns
    -------
    list of str
        Messages of functions that failed.

    Raises
    ------
    ValueError
        For a claim that is unknown or has no measuring function.
    """
    from tqdm.auto import tqdm

    due, left = {}, Counter()
    for made in _functions(ids):
        older = [claim for claim in made.claims if _is_due(claim, force)]
        entries = [records.read(records.MEASURED, claim) for claim in older]
        minutes = max(((e["minutes"] or 0) / len(e["seeds"]) for e in entries), default=0)
        if not force and all(e.get("again") for e in entries):
            left["to be measured again in another way"] += len(older)
        elif not any(map(_in_this_precision, entries)):
            left["whose trainings were in another precision (measure them again)"] += len(older)
        elif at_most is not None and minutes > at_most:
            left["that take longer"] += len(older)
        else:
            due[made] = minutes
    print(
        f"{sum(len(made.claims) for made in due)} claims by {len(due)} functions to run at one "
        f"seed, about {sum(due.values()):.1f} minutes as recorded; left out: "
        + (", ".join(f"{n} claims {why}" for why, n in left.items() if n) or "none"),
        flush=True,
    )
    failures = []
    with tqdm(total=round(sum(due.values()), 2), unit="min", disable=None) as bar:
        for made, minutes in sorted(due.items(), key=lambda item: item[1]):  # the short ones first
            try:
                for line in _verified(made):
                    tqdm.write(line)
            except Exception as error:  # the others are run all the same
                failures.append(f"{made.name}: {type(error).__name__}: {error}")
                tqdm.write(failures[-1], file=sys.stderr)
            bar.update(minutes)
    return failures


def _is_due(claim: str, force: bool) -> bool:
    """Whether a claim has a seed to run again, and the present code has not run it yet."""
    entry = records.read(records.MEASURED, claim)
    if entry is None:
        return False
    ran = entry.get("differs", {}).get("fingerprint") == closure.present(claim)
    return force or not (ran or records.state(entry, claim) != records.OLDER)


def _in_this_precision(entry: dict) -> bool:
    """Whether a record was made in the precision of this machine, as far as it says."""
    from synthlib import models

    return entry.get("precision") in (None, models.training_precision())


def _verified(made: Measure) -> Iterable[str]:
    """Run one seed, store what came of it, and say it: a line a claim."""
    entries = {c: records.read(records.MEASURED, c) for c in made.claims}
    entries = {c: e for c, e in entries.items() if e}
    seed = min(set.intersection(*({int(s) for s in e["values"]} for e in entries.values())))
    rows: list = []
    start = time.perf_counter()
    values = made(seed, aside=rows)
    minutes = (time.perf_counter() - start) / 60
    stamp = {
        "claim": made.claims[0], "seed": seed, "minutes": round(minutes, 3),
        **records.origin(made.fingerprint()),
    }  # fmt: skip
    moved = []
    for name, its_seed, frame in rows:
        if its_seed == seed and records.same_rows(name, seed, frame):
            records.verify_rows(name, stamp)
        else:
            moved.append(name)
    yield f"{made.name}, seed {seed}: {minutes:.1f} min"
    for claim, entry in entries.items():
        then, now = entry["values"][str(seed)], round(values[claim], 6)
        why = _why(then, now, entry, stamp)
        entry = {key: about for key, about in entry.items() if key not in ("verified", "differs")}
        outcome = {"differs": stamp | {"value": now, "why": why}} if why else {"verified": stamp}
        if not why and then != now:
            outcome["verified"] = stamp | {"value": now, "off": abs(then - now)}
        records.store(records.MEASURED, entry | outcome)
        yield f"  {claim:32} {f'differs: {why}' if why else f'{now:.10g}, the same: stamped'}"
    if moved:
        yield f"  rows that are not the same to the last digit: {', '.join(moved)}"


def _why(then: float, now: float, entry: dict, stamp: dict) -> str:
    """Why a record cannot be stamped; empty where it can."""
    unit = registry.known(entry["claim"])["unit"]
    same = abs(then - now) <= registry.tolerance(unit, then)
    words = [] if same else [f"{then:.10g} recorded, {now:.10g} now"]
    for key in ("precision", "processor", "vectors"):
        was = entry.get(key)
        if was is not None and was != stamp[key] and (words or key == "precision"):
            words.append(f"{was} then, {stamp[key]} now")
    return "; ".join(words)


# ------------------------------------------------------------------ command line
def listing() -> str:
    """One line a claim: its value, and whether it holds."""
    lines = []
    for claim, row in shown.table().iterrows():
        state = row["holds"]
        if state == shown.NOT_YET and (claim in REGISTRY or closure.present(claim)):
            state += ", ready to be"
        elif row["state"] == records.OLDER:
            state += ", with older code"
        value = shown.number(row["value"], row["unit"], row["spread"])
        lines.append(f"{claim:32} {value:>18}  {state}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line: ``python -m synthlib ledger``; see its ``--help``.

    Returns
    -------
    int
        0, or 1 when a measuring function failed. A claim that does not hold is no failure, nor is
        a figure that differs when it is verified.
    """
    parser = commands.ledger()
    options = parser.parse_args(argv)
    try:
        if options.list or options.status:
            print(listing() if options.list else shown.status(*(options.claims or ())))
            return 0
        if options.verify:
            failures = verify(options.claims, at_most=options.at_most, force=options.force)
        else:
            failures = run(options.claims, options.seeds, force=options.force)
    except ValueError as error:
        parser.error(str(error))
    except KeyboardInterrupt:
        print("\nstopped; what is done is kept, the same command goes on from here")
        return 130
    full = shown.table()
    if options.verify:
        print(shown.count_states(full))
    else:
        for claim in options.claims or [c for c in full.index if c in REGISTRY]:
            row = full.loc[claim]
            value = shown.number(row["value"], row["unit"], row["spread"])
            print(f"{claim:32} {value:>18}  {row['holds']}")
    if failures:
        print(f"{len(failures)} failed:", *failures, sep="\n", file=sys.stderr)
    return int(bool(failures))
