"""What chapter 14 measures: ART on real sentences, with a real generator.

The functions of the first half are called by the chapter, with the models of any tier. Those under
"recordings" run them over seeds on the tier laptop, and what came out is committed
(`field.recorder`); those under "ledger" read their figures from that.

Where chapters 07 to 09 ask an oracle, an *examiner* is asked here: an NLI model that no method has
seen, and that errs (`field.examiner`). It labels what was written and decides nothing.

Worked examples were chosen on the first `field.TRIED` captions of ``data/field/captions.csv``. PPO
may ask them; what is examined is written from others.
"""

from __future__ import annotations

import dataclasses
from functools import cache
from random import Random
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from synthlib import data, ledger, paths, ppo, prompts, rewards, tiers
from synthlib.evaluation import examination
from synthlib.experiments import ch07, field
from synthlib.field import examiner as examining
from synthlib.methods import art

EXAMINED = 40  # anchors of a seed that are written from, and that PPO does not ask
ASKED = 80  # sentences that PPO may ask, where there are so many
ANSWERS = 8  # of the untuned generator to each request
TUNED_ANSWERS = 4  # of the tuned one: PPO's own answers are the difference
COUNTS = (1, 2, 4, 8)
WATCHED, SHOWN = 10, (0, 3, 6)  # anchors that are shown while the policy is tuned, and when
STEPS = 24  # of an encoder's training
ENDS = 3  # steps at either end of a curve that are compared
# A run of PPO here: so many answers as make four more to each request of the control. They are few,
# so the steps are larger than the tier's, and the leash longer (the pocket tier's).
LAPTOP = dict(
    ppo_steps=10, ppo_batch_size=32, ppo_mini_batch_size=8, ppo_epochs=1, learning_rate=1e-3,
    kl=0.05,
)  # fmt: skip
LABELS = paths.DATA / "field" / "labels" / "art.csv"  # 200 answers of seed 0, labelled by hand
KIND = {"positive": "entailment", "negative": "contradiction"}
# What the request says before it names the sentence: an answer that repeats it is an echo.
_HEADS = {
    "positive": prompts.ART_POSITIVE["paper"].partition(" Original: ")[0],
    "negative": prompts.ART_NEGATIVE["paper"].partition(" Original: ")[0],
}
NEEDS = (
    "laptop/smollm2-135m-instruct", "laptop/minilm-first-two", "laptop/judge", "laptop/examiner",
)  # fmt: skip


# ------------------------------------------------------------------ who plays, and on what
class Cast(NamedTuple):
    """The four models of the chapter."""

    generator: tuple
    discriminator: tuple  # the judge whose opinion the method is paid by
    encoder: object  # the judge of difficulty
    examiner: tuple  # counts what is right, and decides nothing


def cast(settings) -> Cast | None:
    """The models of a tier's settings, or None where one cannot be had (`field.load` says why)."""
    found = [field.load(role, settings) for role in Cast._fields]
    return None if any(model is None for model in found) else Cast(*found)


def sentences(corpus, seed) -> tuple[list[str], list[str]]:
    """Sentences that PPO asks for, and others that are examined and written from.

    Parameters
    ----------
    corpus : tiers.Corpus
        Of the book's own captions those on which worked examples were chosen are not examined.
    seed : int

    Returns
    -------
    asked, examined : lists of str
    """
    if corpus != tiers.CAPTIONS:
        rows, _ = data.load_premises(corpus, n=EXAMINED + ASKED, seed=seed)
        return rows[EXAMINED:], rows[:EXAMINED]
    others = field.captions(tried=False)
    others = Random(f"chapter 14 {seed}").sample(others, len(others))
    return field.captions(tried=True) + others[EXAMINED:], others[:EXAMINED]


# ------------------------------------------------------------------ answers and their worth
def seen(who: Cast, anchors, candidates, settings, *, seed=0, generator=None) -> pd.DataFrame:
    """Answers to both requests, through the eyes of judge, encoder and examiner.

    Parameters
    ----------
    who : Cast
    anchors : sequence of n str
    candidates : int
        Of each kind for an anchor, sampled at the settings' temperature.
    settings : tiers.ART
    seed : int
    generator : (model, tokenizer), optional
        Another than that of `who`.

    Returns
    -------
    DataFrame
        2 · candidates · n rows: row, anchor, kind, candidate, text, p, accepted, similarity (as
        `art.judge`), outcome (of `field.OUTCOMES`, by the examiner).
    """
    table = art.write(
        generator or who.generator, anchors, candidates=candidates, seed=seed,
        temperature=settings.temperature, max_new_tokens=settings.max_new_tokens, batch_size=64,
    )  # fmt: skip
    table = art.judge(table, who.discriminator, who.encoder.encode)
    return table.assign(outcome=outcomes(table, who.examiner))


def outcomes(table, examiner) -> list[str]:
    """What became of each answer (anchor, kind, text), by `field.outcomes` and an examiner."""
    found = pd.DataFrame({
        "kind": table["kind"].map(KIND), "instruction": table["kind"].map(_HEADS),
        "premise": table["anchor"], "output": table["text"],
    })  # fmt: skip
    pairs = list(zip(table["anchor"], table["text"], strict=True))
    return field.outcomes(found, field.labels(examiner, pairs, long="skip"))


def right(table) -> float:
    """Percent of answers that the examiner finds right, the mean of both kinds."""
    return 100 * float(table["outcome"].eq("right").groupby(table["kind"]).mean().mean())


def by_hand(before, after) -> pd.DataFrame:
    """What a reader said of the answers that were labelled by hand, beside the examiner.

    Parameters
    ----------
    before, after : DataFrame
        From `ends`, of the seed whose answers were drawn.

    Returns
    -------
    DataFrame
        generator ("before" or "after" its tuning), kind, answers (labelled), reader and examiner
        (percent of them right, a copy or a broken one never).
    """
    labels = examining.load_labels(LABELS).rename(columns={"method": "generator"})
    labels["generator"] = labels["generator"].map({"untuned": "before", "tuned": "after"})
    labels = labels.rename(columns={"premise": "anchor", "hypothesis": "text"})
    written = pd.concat([before.assign(generator="before"), after.assign(generator="after")])
    # An answer that stands there twice is labelled once.
    written = written.drop_duplicates(["generator", "anchor", "text"])
    some = written.merge(labels, on=["generator", "anchor", "text"])
    whole = ~some["outcome"].isin(["copied", "broken"])
    some["reader"] = 100 * (whole & some["label"].eq(some["kind"].map(KIND)))
    some["examiner"] = 100 * some["outcome"].eq("right")
    found = some.groupby(["kind", "generator"], sort=False)
    return found.agg(
        answers=("text", "size"), reader=("reader", "mean"), examiner=("examiner", "mean")
    ).reset_index().sort_values(["kind", "generator"], ascending=False, ignore_index=True)


def bounds(table, least=rewards.LEAST) -> rewards.Bounds:
    """Ω, α⁺ and α⁻ by the book's rule, from answers that are no blanks."""
    said = table[table["text"].str.strip() != ""]
    return rewards.choose_bounds(
        said["p"].to_numpy(), said["similarity"].to_numpy(), list(said["kind"]), least=least
    )


def given(settings, table) -> rewards.Bounds:
    """The bounds that a tier prints; where it prints none, those of the rule (`bounds`)."""
    printed = rewards.Bounds(*(getattr(settings, name) for name in rewards.Bounds._fields))
    if None not in printed:
        return printed
    found = zip(printed, bounds(table), strict=True)
    return rewards.Bounds(*(value if own is None else own for own, value in found))


def paths(table, chosen, counts=COUNTS) -> pd.DataFrame:
    """What each reward picks among n answers.

    Parameters
    ----------
    table : DataFrame
        From `seen`.
    chosen : rewards.Bounds
    counts : sequence of int

    Returns
    -------
    DataFrame
        reward, kind, n; right, copied (percent), p, similarity (means of what is picked), hard
        (mean similarity of what is picked and right).
    """
    first, second = ch07.parts(table, chosen)
    free = chosen._replace(positive_bound=-1.0, negative_bound=1.0)
    ways = {
        "r₁ alone": first, "r₂ alone": second, "both": rewards.dual_reward(first, second),
        "both, without α": ch07.dual(table, free),
    }  # fmt: skip
    rows = []
    for way, reward in ways.items():
        for n in counts:
            for kind, picked in ch07.best(table, reward, n).groupby("kind", sort=False):
                good = picked["outcome"] == "right"
                rows.append({
                    "reward": way, "kind": kind, "n": n, "right": 100 * good.mean(),
                    "copied": 100 * (picked["outcome"] == "copied").mean(),
                    "p": picked["p"].mean(), "similarity": picked["similarity"].mean(),
                    "hard": picked.loc[good, "similarity"].mean(),
                })  # fmt: skip
    return pd.DataFrame(rows)


# ------------------------------------------------------------------ tuning
class Run(NamedTuple):
    """A tuned generator and how it became so."""

    policy: ppo.SharedPolicy
    bounds: rewards.Bounds
    log: pd.DataFrame  # of `ppo.train`, with the examiner's counts
    shown: pd.DataFrame  # answers to the same anchors while it was tuned, with the column step


def tune(who: Cast, asked, settings, *, seed=0, watched=(), shown=SHOWN, chosen=None, **options):
    """PPO with LoRA towards the dual reward, with an examiner who reads along.

    Parameters
    ----------
    who : Cast
        Its generator gets an adapter, which ``.policy.model.unload()`` takes off again.
    asked : sequence of str
    settings : tiers.ART
    seed : int
    watched : sequence of str
        Anchors that are answered once, both ways, at the steps in `shown` and at the end.
    shown : sequence of int
    chosen : rewards.Bounds, optional
        Default: `art.choose_bounds`.
    **options
        Of `ppo.train`, in place of the settings'.

    Returns
    -------
    Run
        Its log has more columns: right, right positives, right negatives, copied (percent of the
        step's answers, by the examiner), alike (`field.alike` of them).
    """
    model, tokenizer = who.generator
    torch.manual_seed(seed)
    policy = ppo.SharedPolicy(
        model, tokenizer, r=settings.lora_r, alpha=settings.lora_alpha,
        targets=art.targets(model, settings),
    )  # fmt: skip
    speaker, judges = (policy.model, tokenizer), (who.discriminator, who.encoder.encode)
    chosen = chosen or art.choose_bounds(
        speaker, asked, *judges, max_new_tokens=settings.max_new_tokens, seed=seed
    )
    entries, views = [], []

    def look(step):
        if len(watched):
            table = seen(who, watched, 1, settings, seed=seed, generator=speaker)
            views.append(table.assign(step=step))

    def watch(entry, tasks, texts):
        table = pd.DataFrame(tasks).assign(text=texts)
        table["outcome"] = outcomes(table, who.examiner)
        good = table["outcome"].eq("right").groupby(table["kind"]).mean()
        entries.append(entry | {
            "right": 100 * good.mean(), "right positives": 100 * good.get("positive", np.nan),
            "right negatives": 100 * good.get("negative", np.nan),
            "copied": 100 * table["outcome"].eq("copied").mean(), "alike": field.alike(texts),
        })  # fmt: skip
        if entry["step"] in shown:
            look(entry["step"])

    if 0 in shown:
        look(0)
    art.tune(
        policy, asked, *judges, chosen, settings,
        **dict(
            seed=seed, on_step=watch, progress=False, micro_batch_size=settings.ppo_batch_size
        ) | options,
    )  # fmt: skip
    if len(entries) not in shown:
        look(len(entries))
    table = pd.concat(views, ignore_index=True) if views else pd.DataFrame()
    return Run(policy, chosen, pd.DataFrame(entries), table)


# ------------------------------------------------------------------ from answers to an encoder
def arms(untuned, tuned, chosen) -> dict[str, pd.DataFrame]:
    """Triplets of four ways, each from as many generated texts as the others where it says so.

    Parameters
    ----------
    untuned, tuned : DataFrames
        From `seen`: of the generator before and after PPO. With PPO's own answers the second has
        cost as many texts as the first.
    chosen : rewards.Bounds

    Returns
    -------
    dict of str to DataFrame
        Of `art.select`, with right (both texts are, by the examiner): "no filter" (the first
        answers, as they come), "filter alone" (the first that the judge accepts), "best of n"
        (the accepted one that earns most by the dual reward), "tuned" (the first accepted answer
        of the tuned generator).
    """
    earned = -ch07.dual(untuned, chosen)
    order = untuned.assign(earned=earned).groupby(["row", "kind"])["earned"]
    ranked = untuned.assign(candidate=order.rank(method="first"))
    made = {
        "no filter": (untuned, False), "filter alone": (untuned, True),
        "best of n": (ranked, True), "tuned": (tuned, True),
    }  # fmt: skip
    found = {}
    for name, (table, filtered) in made.items():
        rows = art.select(table, filtered=filtered)
        good = table[table["outcome"] == "right"]
        known = set(zip(good["row"], good["kind"], good["text"], strict=True))
        both = [
            all((row.row, kind, getattr(row, kind)) in known for kind in art.KINDS)
            for row in rows.itertuples()
        ]
        found[name] = rows.assign(right=both)
    return found


def fit(rows, settings, *, seed=0, steps=STEPS):
    """The tier's encoder trained on triplets for so many steps.

    Returns
    -------
    SentenceTransformer
    """
    return art.train(
        field.load("encoder", settings), rows, settings, max_steps=steps, seed=seed, progress=False,
        batch_size=min(settings.encoder_batch_size, len(rows)),
    )  # fmt: skip


def compared(triplets, settings, examine, *, seed=0) -> pd.DataFrame:
    """An encoder for each arm, on equally many of its triplets, and on all that it has.

    Parameters
    ----------
    triplets : dict of str to DataFrame
        From `arms`; one without a triplet has no row below.
    settings : tiers.ART
    examine : function
        An encoder's `encode` to a number.
    seed : int
        Of the choice of triplets and of the training.

    Returns
    -------
    DataFrame
        arm ("none" is the encoder as it is), number ("equal" or "all"), triplets, right (percent
        of them), value.
    """
    triplets = {name: table for name, table in triplets.items() if len(table)}
    least = min(map(len, triplets.values()), default=0)
    rows = [{"arm": "none", "number": number, "triplets": 0, "right": np.nan,
             "value": examine(field.load("encoder", settings).encode)}
            for number in ("equal", "all")]  # fmt: skip
    for name, table in triplets.items():
        for number, some in (("equal", table.sample(least, random_state=seed)), ("all", table)):
            value = examine(fit(some, settings, seed=seed).encode)
            rows.append({"arm": name, "number": number, "triplets": len(some),
                         "right": 100 * some["right"].mean(), "value": value})  # fmt: skip
    return pd.DataFrame(rows)


# ------------------------------------------------------------------ recordings
def settings():
    """ART's settings on the laptop, with the sizes of this chapter's runs."""
    return dataclasses.replace(tiers.get("laptop").art, **LAPTOP)


_KEPT = ["row", "kind", "candidate", "text", "p", "accepted", "similarity", "outcome"]


def _short(table, *more):
    rounded = table[[*more, *_KEPT]].round({"p": 4, "similarity": 4})
    return rounded.assign(accepted=rounded["accepted"].astype(int))


def with_anchors(table) -> pd.DataFrame:
    """A recording of answers with the anchors, which are not written down with every row."""
    anchors = {seed: sentences(tiers.CAPTIONS, seed)[1] for seed in table["seed"].unique()}
    found = [anchors[seed][row] for seed, row in zip(table["seed"], table["row"], strict=True)]
    return table.assign(
        anchor=found, accepted=table["accepted"].astype(bool), right=table["outcome"].eq("right")
    )


@field.recorder("14-samples", needs=NEEDS)
def samples(seed) -> pd.DataFrame:
    """What the untuned generator answers to a seed's anchors."""
    own = settings()
    return _short(seen(cast(own), sentences(own.corpus, seed)[1], ANSWERS, own, seed=seed))


@cache
def _tuned(seed) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The log of a seed's tuning, and the answers to its anchors: once in a process."""
    own = settings()
    who, (asked, examined) = cast(own), sentences(own.corpus, seed)
    # Answers that are there: others would cost more than the tuning.
    chosen = bounds(with_anchors(field.recorded("14-samples", seed)))
    run = tune(who, asked, own, seed=seed, watched=examined[:WATCHED], chosen=chosen)
    speaker = run.policy.model, run.policy.tokenizer
    last = seen(who, examined, TUNED_ANSWERS, own, seed=seed, generator=speaker)
    run.policy.model.unload()
    # The end is shown by the answers to all anchors.
    steps = len(run.log)
    before = run.shown[run.shown["step"] < steps]
    log = run.log.assign(**run.bounds._asdict())
    return log, pd.concat([before, last.assign(step=steps)], ignore_index=True)


@field.recorder("14-ppo", needs=NEEDS)
def tuning(seed) -> pd.DataFrame:
    """The log of a seed's tuning."""
    return _tuned(seed)[0].round(5)


@field.recorder("14-tuned", needs=NEEDS)
def tuned(seed) -> pd.DataFrame:
    """What the generator answers while it is tuned (a few anchors) and in the end (all)."""
    return _short(_tuned(seed)[1], "step")


@field.recorder("14-training", needs=("laptop/minilm-first-two",), data=True)
def training(seed, folder) -> pd.DataFrame:
    """STS-B dev of the encoder before and after, for each arm: of the two recordings of answers."""
    examine = examination.development(examination.FILES, folder)
    before, after = ends(seed)
    return compared(arms(before, after, bounds(before)), settings(), examine, seed=seed)


def ends(seed) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A seed's recorded answers before and after its tuning."""
    before = with_anchors(field.recorded("14-samples", seed))
    after = with_anchors(field.recorded("14-tuned", seed))
    return before, after[after["step"] == after["step"].max()]


# ------------------------------------------------------------------ ledger
@ledger.measure(
    "14-judges-agree", "14-needs-correctness", "14-best-right", "14-harder-positives",
    "14-harder-negatives", "14-lower-bound",
    reads=("data/field/recorded/14-samples.csv",), tier="laptop",
)  # fmt: skip
def measure_samples(seed):
    """What the dual reward picks among recorded answers."""
    table = with_anchors(field.recorded("14-samples", seed))
    return sample_values(table, bounds(table))


def sample_values(table, chosen) -> dict[str, float]:
    """The claims about best of n."""
    picked = paths(table, chosen)
    last = picked[picked["n"] == max(COUNTS)].set_index(["reward", "kind"])
    first = picked[(picked["n"] == 1) & (picked["reward"] == "both")]
    good = last["right"].groupby("reward").mean()
    positive, negative = (last.xs(kind, level="kind") for kind in art.KINDS)
    spoken = table[~table["outcome"].isin(["copied", "broken", "echo"])]
    agree = (spoken["p"] > 0.5) == (spoken["outcome"] == "right")
    return {
        "14-judges-agree": 100 * float(agree.mean()),
        "14-needs-correctness": good["both"] - good["r₂ alone"],
        "14-best-right": good["both"] - float(first["right"].mean()),
        "14-harder-positives": positive["hard"]["both"] - positive["hard"]["r₁ alone"],
        "14-harder-negatives": negative["hard"]["both"] - negative["hard"]["r₁ alone"],
        "14-lower-bound": positive["right"]["both"] - positive["right"]["both, without α"],
    }


@ledger.measure(
    "14-reward-rises", "14-accuracy", "14-copies", "14-usable", "14-table5-positives",
    "14-table5-negatives",
    reads=("data/field/recorded/14-samples.csv", "data/field/recorded/14-ppo.csv",
           "data/field/recorded/14-tuned.csv"), tier="laptop",
)  # fmt: skip
def measure_tuning(seed):
    """What PPO has changed, by the recordings."""
    return tuning_values(field.recorded("14-ppo", seed), *ends(seed))


def tuning_values(log, before, after) -> dict[str, float]:
    """The claims about PPO: a log, and answers to the same anchors before and after."""
    before = before[before["candidate"] <= after["candidate"].max()]
    hard = [
        table[table["outcome"] == "right"].groupby("kind")["similarity"].mean()
        for table in (before, after)
    ]
    copied = [100 * table["outcome"].eq("copied").mean() for table in (before, after)]
    once = [usable(table[table["candidate"] == 0]) for table in (before, after)]
    return {
        "14-reward-rises": float(log["reward"].tail(ENDS).mean() - log["reward"].head(ENDS).mean()),
        "14-accuracy": right(after) - right(before),
        "14-copies": float(copied[1] - copied[0]),
        "14-usable": once[1] / once[0],
        "14-table5-positives": float(hard[1]["positive"] - hard[0]["positive"]),
        "14-table5-negatives": float(hard[1]["negative"] - hard[0]["negative"]),
    }


def usable(table) -> float:
    """Percent of anchors with an accepted answer of both kinds."""
    return 100 * len(art.select(table)) / table["row"].nunique()


@ledger.measure(
    "14-encoder-gain", "14-filter-control", "14-filter", "14-best-of-n",
    reads=("data/field/recorded/14-training.csv",), tier="laptop",
)  # fmt: skip
def measure_training(seed):
    """Encoders of the four arms, by the recording."""
    table = field.recorded("14-training", seed)
    equal = table[table["number"] == "equal"].set_index("arm")["value"]
    return {
        "14-encoder-gain": equal["tuned"] - equal["none"],
        "14-filter-control": equal["tuned"] - equal["filter alone"],
        "14-filter": equal["filter alone"] - equal["no filter"],
        "14-best-of-n": equal["best of n"] - equal["filter alone"],
    }
