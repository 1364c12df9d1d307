"""What each ω makes of sentences that are yours, written by a generator that is yours.

    from synthlib import models
    from synthlib.experiments import steering
    steering.omega(models.load_generator("pocket/generator-t5"), ["a man is sleeping in the park"])

On the command line: ``python -m synthlib figures omega --generator NAME --sentences FILE``.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd

from synthlib import curation, data, decoding, models, paths, prompts, tiers
from synthlib.experiments import ch13, field
from synthlib.methods import multicsr
from synthlib.viz import yours

OMEGAS = ch13.OMEGAS
LOW, HIGH = -1.0, 1.0  # beyond, an answer is the other instruction's, or nobody's
SENTENCES = 40  # of a file, unless another number is asked for


def answers(
    generator, sentences: Sequence[str], omegas: Sequence[float] = OMEGAS, *, nli=None, seed=0,
    max_new_tokens=None, batch_size=32, keep=None, progress=False, say: Callable | None = None,
) -> pd.DataFrame:  # fmt: skip
    """An entailment and a contradiction of every sentence at every ω, and what became of them.

    Parameters
    ----------
    generator : (model, tokenizer)
        Of `models.load_generator`; it is asked as `prompts.form_of` says.
    sentences : sequence of n str
        The same sentence is asked about once, one that the generator's window cannot hold never.
    omegas : sequence of float from −1 to 1
    nli : (model, tokenizer), optional
        An NLI model, which says what an answer is where the rules do not.
    seed : int
        Of the instructions that are drawn.
    max_new_tokens : int, optional
        Default: the tier pocket's for the form pocket, else the tier laptop's.
    batch_size : int
    keep : callable, optional
        ``keep(omega, write)`` gives what ``write()`` gives, or what it gave before: so a command
        goes on after an interruption.
    progress : bool
        Show a bar for each ω.
    say : callable, optional
        Gets a line for each ω.

    Returns
    -------
    DataFrame
        omega, kind ("entailment" or "contradiction"), premise, output, what: "copied", "echo",
        "broken" by the rules of `field.outcomes`; else what the NLI model says, or "other".

    Raises
    ------
    ValueError
        No sentence, no ω or one out of range, or as `multicsr.write`.
    """
    omegas = _checked(omegas)
    if isinstance(sentences, str):
        raise ValueError("a list of sentences is wanted, a single text was given")
    said = {}
    for text in sentences:
        said.setdefault(curation.folded(text), text)
    premises = list(said.values())
    form = prompts.form_of(*generator)
    if max_new_tokens is None:
        tier = "pocket" if form == "pocket" else "laptop"
        max_new_tokens = tiers.get(tier).multicsr.max_new_tokens
    asked = multicsr.ask(premises, seed=seed, form=form)
    both = [asked[f"{kind}_prompt"] for kind in multicsr.KINDS]
    fit = np.all([decoding.fits(generator, list(one), max_new_tokens) for one in both], axis=0)
    if not fit.any():
        raise ValueError(
            "there is no sentence to ask about" if not premises else
            "no sentence fits the generator's window together with the instruction"
        )  # fmt: skip
    asked = asked[fit].reset_index(drop=True)
    say = say or (lambda line: None)
    if len(asked) < len(sentences):
        say(f"{len(sentences) - len(asked)} of {len(sentences)} sentences left out: said before, "
            "or too long for the generator")  # fmt: skip
    parts, spent, begun = [], 0.0, 0
    for number, omega in enumerate(omegas, 1):
        start, fresh = time.perf_counter(), []

        def write(omega=omega, fresh=fresh):
            fresh.append(omega)
            written = multicsr.write(
                generator, asked, omega=omega, max_new_tokens=max_new_tokens,
                batch_size=batch_size, progress=progress,
            )  # fmt: skip
            return [*written["positive"], *written["negative"]]

        texts = keep(omega, write) if keep else write()
        parts.append(_sorted_out(asked, texts, form, nli).assign(omega=omega))
        took = time.perf_counter() - start
        if fresh:
            spent, begun = spent + took, begun + 1
        left = (len(omegas) - number) * spent / max(begun, 1)
        rest = f"; about {_duration(left)} left" if left >= 1 else ""
        was = f"in {_duration(took)}" if fresh else "were there already"
        say(f"[{number}/{len(omegas)}] ω = {omega:g}: {len(texts)} answers {was}{rest}")
    table = pd.concat(parts, ignore_index=True)
    return table[["omega", "kind", "premise", "output", "what"]]


def omega(
    generator, sentences, omegas=OMEGAS, *, name="the generator", label=None, **options
):  # fmt: skip
    """The figure of `answers`: the sentences to read at any ω, and what became of them.

    Parameters
    ----------
    generator, sentences, omegas, **options
        Of `answers`.
    name, label : str, optional
        Of `viz.yours.omega`.

    Returns
    -------
    Figure
        Of `viz.yours.omega`.
    """
    table = answers(generator, sentences, omegas, **options)
    return yours.omega(table, name=name, label=label)


def of_options(options, identity: Callable, say: Callable):
    """What ``figures omega`` draws.

    Parameters
    ----------
    options : argparse.Namespace
        Of `commands.figures`.
    identity : callable
        Tells two generators of one name apart.
    say : callable
        Gets a line of progress at a time.

    Returns
    -------
    Figure
    """
    for wanted, what in (("generator", "NAME"), ("sentences", "FILE")):
        if not getattr(options, wanted):
            raise ValueError(f"figures omega needs --{wanted} {what}")
    omegas, out = _checked(options.omega or OMEGAS), Path(options.out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; the name of a folder is wanted")
    sentences, rejects = data.load_premises(options.sentences, column=options.column)
    if len(rejects):
        first = rejects.iloc[0]
        say(f"{options.sentences}: left out {len(rejects)} that could not be read, the first in "
            f"line {first['line']}: {first['reason']}")  # fmt: skip
    wanted = options.n or SENTENCES
    if wanted < len(sentences):
        say(f"{wanted} of {len(sentences)} sentences, drawn by the seed; --n takes more")
        sentences, _ = data.load_premises(sentences, n=wanted, seed=options.seed)
    generator, room = _load(options)
    nli = models.load_nli(options.nli) if options.nli else None
    say(f"{len(sentences)} sentences, both kinds, {len(omegas)} values of ω: "
        f"{2 * len(sentences) * len(omegas)} answers")  # fmt: skip
    asked = multicsr.ask(sentences, seed=options.seed, form=prompts.form_of(*generator))
    mark = [f"{options.generator}{identity(options.generator)}", room, asked.to_json()]
    name = Path(options.generator)
    return omega(
        generator, sentences, omegas, name=name.name if name.is_dir() else options.generator,
        nli=nli, seed=options.seed, max_new_tokens=room, keep=_keeper(out, mark),
        progress=sys.stderr.isatty(), say=say,
    )  # fmt: skip


def _load(options):
    """The generator, asked as its tier asks it where it is a tier's, and its room for an answer."""
    own = next(
        (tiers.get(name).multicsr for name in tiers.NAMES
         if tiers.get(name).multicsr.generator == options.generator), None,
    )  # fmt: skip
    form = options.form or getattr(own, "form", None)
    given = {"shots": options.shots, "register": options.register}
    if own is not None and options.form is None:
        given = {key: getattr(own, key) if value is None else value
                 for key, value in given.items()}  # fmt: skip
    given = {key: value for key, value in given.items() if value is not None}
    if given:
        given["seed"] = options.seed
    generator = models.load_generator(options.generator, form=form, examples=given)
    room = options.max_new_tokens or getattr(own, "max_new_tokens", None)
    if room is None:
        pocket = prompts.form_of(*generator) == "pocket"
        room = tiers.get("pocket" if pocket else "laptop").multicsr.max_new_tokens
    return generator, room


def _keeper(out, mark):
    """For `answers`: keeps the texts of each ω in a folder, by what they depend on."""

    def keep(omega, write):
        digest = hashlib.blake2b(json.dumps([*mark, omega]).encode(), digest_size=8).hexdigest()
        file = out / ".done" / f"omega-{digest}.json"
        try:
            return json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            texts = write()
        file.parent.mkdir(parents=True, exist_ok=True)
        paths.write_bytes(file, json.dumps(texts, ensure_ascii=False).encode())
        return texts

    return keep


def _checked(omegas):
    omegas = [omegas] if isinstance(omegas, Real) else list(omegas)
    if not omegas:
        raise ValueError("there is no ω: give one value or several")
    wrong = next((w for w in omegas if not isinstance(w, Real) or not LOW <= w <= HIGH), None)
    if wrong is not None:
        raise ValueError(f"ω must lie from {LOW:g} to {HIGH:g}, given {wrong}")
    return sorted({round(float(w), 4) + 0.0 for w in omegas})


def _sorted_out(asked, texts, form, nli):
    """A row for each answer at one ω: kind, premise, output, what."""
    words = {"entailment": prompts.ENTAILMENT, "contradiction": prompts.CONTRADICTION}
    kinds = multicsr.KINDS
    table = pd.DataFrame({
        "kind": np.repeat(kinds, len(asked)),
        "instruction": [words[kind][form.words][n - 1] for kind in kinds for n in asked[kind]],
        "premise": [*asked["anchor"]] * len(kinds), "output": texts,
    })  # fmt: skip
    pairs = list(zip(table["premise"], table["output"], strict=True))
    labels = field.labels(nli, pairs, long="cut") if nli else list(table["kind"])
    rules = field.outcomes(table, labels)
    named = labels if nli else ["other"] * len(table)
    what = [rule if rule in ("copied", "echo", "broken") else name
            for rule, name in zip(rules, named, strict=True)]  # fmt: skip
    return table.assign(what=what)


def _duration(seconds):
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
