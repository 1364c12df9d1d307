"""What chapter 07 measures: the dual reward on what the pocket generator really writes.

Before a policy is tuned towards a reward, one can see where it would go: let the generator answer
each request several times and take the answer that earns most. *Best of n* is what a policy
becomes when it is pulled towards the reward and hardly away from where it started, and it costs
no training. So every reward of the chapter is judged here by what it picks among 16 answers.

Every function takes a seed, which draws the anchors and the sampling. The oracle appears in the
column ``right`` and in what is computed from it; no reward sees it.
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from synthlib import curation, judging, ledger, models, ppo, prompts, rewards, tiers
from synthlib.methods import art
from synthlib.world import corpora, nli

ANCHORS, CANDIDATES = 150, 16
PROBES = 200  # anchors whose answers set the bounds, as in a round of the run
QUANTILES = (0.01, 0.05, 0.1, 0.25)
NONE = rewards.Bounds(0.0, -1.0, 1.0)  # bounds that bind nothing
STEPS, SHOWN, WATCHED = 32, (0, 4, 8, 16, 24, 32), 60  # of the policy on the landscape
OMEGAS = (0.0, 0.99)  # between which Ω moves: all that it can take from an answer
BATCH = 64  # answers of a step of PPO
UNSUPERVISED = "pocket/simcse-unsup-bert"
ASKED = {"positive": "entailment", "negative": "contradiction"}
READS = (
    "data/pocket/generator-llama", "data/pocket/nli", "data/pocket/simcse-sup-bert",
    "data/pocket/simcse-unsup-bert",
)  # fmt: skip


# ------------------------------------------------------------------ answers, and who judges them
@lru_cache(maxsize=1)
def judges():
    """The generator, the discriminator and the encoder of round 1 at the pocket tier."""
    chosen = tiers.get("pocket").art
    return (
        models.load_generator(chosen.generator, device="cpu"),
        models.load_nli(chosen.discriminator, device="cpu"),
        models.load_encoder(chosen.encoder, device="cpu"),
    )


@lru_cache(maxsize=2)
def bounds(seed, quantile=0.05) -> rewards.Bounds:
    """Ω, α⁺ and α⁻ by the book's rule, from answers to 200 other anchors, as a round sets them."""
    table = probed(seed)
    return rewards.choose_bounds(
        table["p"].to_numpy(), table["similarity"].to_numpy(), list(table["kind"]),
        quantile=quantile,
    )  # fmt: skip


@lru_cache(maxsize=1)
def probed(seed):
    """One answer of each kind to 200 anchors of their own, as `answers`: what sets the bounds."""
    table = _written(corpora.premises(PROBES, 70_000 + seed), 1, seed)
    return table[table["text"].str.strip() != ""]


@lru_cache(maxsize=1)
def answers(seed, anchors=ANCHORS, candidates=CANDIDATES) -> pd.DataFrame:
    """What the generator answers, sampled at temperature 1 as in PPO, and what the judges say.

    Returns
    -------
    DataFrame
        2 · anchors · candidates rows: row, anchor, kind, candidate, text; p (probability of the
        asked-for label), similarity; copy; right (the oracle's word, and no copy). Everybody gets
        the same object, so copy it before you change it.
    """
    return _written(corpora.premises(anchors, seed), candidates, seed)


def _written(anchors, candidates, seed):
    return seen(judges()[0], anchors, candidates, seed)


def seen(generator, anchors, candidates, seed):
    """Answers of a generator, with what both judges and the oracle say."""
    _, discriminator, encoder = judges()
    table = art.write(
        generator, anchors, candidates=candidates, temperature=1.0,
        max_new_tokens=tiers.get("pocket").art.max_new_tokens, seed=seed, batch_size=256,
    )  # fmt: skip
    table = art.judge(table, discriminator, encoder.encode).drop(columns="accepted")
    label = [nli(a, text) for a, text in zip(table["anchor"], table["text"], strict=True)]
    copy = curation.copies(table["anchor"], table["text"])
    return table.assign(
        label=label, copy=copy, right=(np.array(label) == table["kind"].map(ASKED)) & ~copy
    )


# ------------------------------------------------------------------ rewards on them
def parts(table, chosen: rewards.Bounds):
    """r₁ and r₂ of every answer: two arrays, from the kernels."""
    alpha = np.where(table["kind"] == "positive", chosen.positive_bound, chosen.negative_bound)
    return (
        rewards.correctness_reward(table["p"], chosen.lower_bound),
        rewards.difficulty_reward(table["similarity"], list(table["kind"]), alpha),
    )


def dual(table, chosen, w1=0.5, w2=0.5):
    """The dual reward of every answer."""
    return rewards.dual_reward(*parts(table, chosen), w1, w2)


def released(table) -> pd.DataFrame:
    """The released reward of every answer, part by part: `rewards.released_reward`."""
    discriminator = judges()[1]
    said = [rewards.released_text(text) for text in table["text"]]
    sources = list(table["anchor"])
    pairs = [(a, text if text.strip() else a) for a, text in zip(sources, said, strict=True)]
    logits = judging.nli_logits(*discriminator, pairs, long="cut")
    found = rewards.released_reward(
        sources, list(table["text"]), list(table["kind"]), logits,
        table["similarity"].to_numpy(),
    )  # fmt: skip
    return found.set_index(table.index)


def best(table, reward, n=CANDIDATES) -> pd.DataFrame:
    """The answer to each request that earns most among its first n."""
    first = table.assign(reward=reward)
    first = first[first["candidate"] < n]
    return first.loc[first.groupby(["row", "kind"])["reward"].idxmax()]


def compared(table, chosen, other, counts=(1, 2, 4, 8, 16)) -> pd.DataFrame:
    """What each reward picks among n answers; `other` is the released reward of each.

    Returns
    -------
    DataFrame
        reward, kind, n; right and copies (percent), p, similarity (means).
    """
    ways = {
        "r₁ alone": parts(table, chosen)[0],
        "r₂ alone": parts(table, chosen)[1],
        "both": dual(table, chosen),
        "both, 0.7 and 0.3": dual(table, chosen, 0.7, 0.3),
        "both, without α": dual(table, chosen._replace(positive_bound=-1, negative_bound=1)),
        "released": other,
    }
    return pd.DataFrame(
        {"reward": way, "kind": kind, "n": n, **_shares(rows)}
        for way, reward in ways.items()
        for n in counts
        for kind, rows in best(table, reward, n).groupby("kind", sort=False)
    )


def _shares(rows):
    return {
        "right": 100 * rows["right"].mean(), "copies": 100 * rows["copy"].mean(),
        "p": rows["p"].mean(), "similarity": rows["similarity"].mean(),
    }  # fmt: skip


def by_quantile(seed, table) -> pd.DataFrame:
    """Bounds by the rule at other quantiles, none at all, and what the dual reward picks with each.

    Returns
    -------
    DataFrame
        quantile ("none" for no bounds), lower_bound, positive_bound, negative_bound, kind, right,
        copies, p, similarity: of the best of 16.
    """
    ways = {str(q): bounds(seed, q) for q in QUANTILES} | {"none": NONE}
    return pd.DataFrame(
        {"quantile": name, **chosen._asdict(), "kind": kind, **_shares(rows)}
        for name, chosen in ways.items()
        for kind, rows in best(table, dual(table, chosen)).groupby("kind", sort=False)
    )


def by_encoder(seed) -> pd.DataFrame:
    """The same answers, the same rule, two encoders: where α⁺ and α⁻ come to lie.

    Returns
    -------
    DataFrame
        encoder, lower_bound, positive_bound, negative_bound.
    """
    own = probed(seed)
    other = art.judge(
        own.drop(columns=["p", "similarity"]), judges()[1],
        models.load_encoder(UNSUPERVISED, device="cpu").encode,
    )  # fmt: skip
    return pd.DataFrame(
        {
            "encoder": name,
            **rewards.choose_bounds(
                rows["p"].to_numpy(), rows["similarity"].to_numpy(), list(rows["kind"])
            )._asdict(),
        }
        for name, rows in (("supervised", own), ("unsupervised", other))
    )


def tuned(seed, steps=STEPS, watched=WATCHED) -> pd.DataFrame:
    """What a policy answers while PPO tunes it: 32 steps of 64 answers, the paper's weights.

    Returns
    -------
    DataFrame
        As `answers`, with the column step, for the steps of `SHOWN`: one answer of each kind to
        the same anchors, which PPO does not ask.
    """
    own = dataclasses.replace(tiers.get("pocket").art, w1=0.5, w2=0.5)
    _, discriminator, encoder = judges()
    generator = models.load_generator(own.generator, device="cpu")
    drawn = list(dict.fromkeys(corpora.premises(32 * steps + 2 * watched, 80_000 + seed)))
    examined, prompted = drawn[:watched], drawn[watched:]
    policy, shown = art.policy(generator, own, seed=seed), []

    def watch(step):
        table = seen((policy.model, policy.tokenizer), examined, 1, seed)
        shown.append(table.assign(step=step))

    def after(entry, tasks, texts):
        if entry["step"] in SHOWN:
            watch(entry["step"])

    watch(0)
    art.tune(
        policy, prompted, discriminator, encoder.encode, bounds(seed), own, steps=steps,
        batch_size=64, mini_batch_size=16, seed=seed, on_step=after, progress=False,
    )  # fmt: skip
    return pd.concat(shown, ignore_index=True)


def at_the_token(seed, batch=BATCH) -> pd.DataFrame:
    """The advantages that PPO gives the tokens of its first batch, with Ω = 0 and with Ω = 0.99.

    The answers are the same, and so is the value head, which has learnt nothing yet (it is 0
    everywhere). What differs is the constant that Ω takes from every answer's reward.

    Returns
    -------
    DataFrame
        answer, kind, place (of the token), left (tokens that follow it), one column an Ω of
        `OMEGAS`: the advantage, whitened over the tokens of the batch as in every step.

    Source: ART Eq. 2; `ppo.token_rewards`, `ppo.gae`, `ppo.whiten` in the order of `ppo.train`.
    """
    import torch

    own = dataclasses.replace(tiers.get("pocket").art, w1=0.5, w2=0.5)
    _, discriminator, encoder = judges()
    generator = models.load_generator(own.generator, device="cpu")
    policy = art.policy(generator, own, seed=seed)
    asked = art.tasks(corpora.premises(batch // 2, 80_000 + seed), prompts.form_of(*generator))
    anchors, kinds = [task["anchor"] for task in asked], [task["kind"] for task in asked]
    torch.manual_seed(seed)
    answers = policy.write(
        [task["prompt"] for task in asked], max_new_tokens=own.max_new_tokens, temperature=1.0
    )
    texts = policy.texts(answers)
    with torch.no_grad():
        log_p, _, value = policy(answers)
        with policy.adapter_off():
            reference = policy(answers)[0]
    found = {}
    for omega in OMEGAS:
        bound = bounds(seed)._replace(lower_bound=omega)
        r1, r2 = (
            part(completions=texts, anchor=anchors, kind=kinds)
            for part in rewards.reward_functions(discriminator, encoder.encode, **bound._asdict())
        )
        earned = torch.as_tensor(rewards.dual_reward(r1, r2)).float()
        each = ppo.token_rewards(earned, log_p, reference, answers.mask, kl=own.kl)
        advantages, _ = ppo.gae(each, value, answers.mask)
        found[f"{omega:g}"] = ppo.whiten(advantages, answers.mask)[answers.mask].numpy()
    rows, places = (index.numpy() for index in torch.nonzero(answers.mask, as_tuple=True))
    length = answers.mask.sum(1).numpy()
    return pd.DataFrame({
        "answer": rows, "kind": np.array(kinds)[rows], "place": places,
        "left": length[rows] - 1 - places, **found,
    })  # fmt: skip


def tuned_with(seed, omega, steps=STEPS, watched=WATCHED) -> pd.DataFrame:
    """What a policy answers after PPO with this Ω: the last step of `tuned`, all else equal.

    Returns
    -------
    DataFrame
        As `answers`: one answer of each kind to anchors that PPO does not ask.
    """
    own = dataclasses.replace(tiers.get("pocket").art, w1=0.5, w2=0.5)
    _, discriminator, encoder = judges()
    generator = models.load_generator(own.generator, device="cpu")
    drawn = list(dict.fromkeys(corpora.premises(32 * steps + 2 * watched, 80_000 + seed)))
    policy = art.policy(generator, own, seed=seed)
    art.tune(
        policy, drawn[watched:], discriminator, encoder.encode,
        bounds(seed)._replace(lower_bound=omega), own, steps=steps, batch_size=BATCH,
        mini_batch_size=16, seed=seed, progress=False,
    )  # fmt: skip
    return seen((policy.model, policy.tokenizer), drawn[:watched], 1, seed)


def jump(chosen: rewards.Bounds, step=1e-9) -> float:
    """By how much r₂ of a positive changes from just below α⁺ to just above it."""
    a = chosen.positive_bound
    low, high = rewards.difficulty_reward([a - step, a + step], "positive", a)
    return float(high - low)


# ------------------------------------------------------------------ the ledger
def dual_values(table, chosen, picked) -> dict[str, float]:
    """The claims about Eqs. 2 to 4; `picked` from `compared`."""
    last = picked[picked["n"] == picked["n"].max()].set_index(["reward", "kind"])
    right = last["right"].groupby("reward").mean()
    positive, negative = (last.xs(kind, level="kind") for kind in rewards.KINDS)
    judged = (table["p"] > 0.5) == (table["label"] == table["kind"].map(ASKED))
    standard = [
        (r - r.mean()) / r.std()
        for r in (dual(table, chosen._replace(lower_bound=omega)) for omega in (0.0, 0.99))
    ]
    return {
        "07-eq3-cliff": jump(chosen),
        "07-discriminator": 100 * float(judged.mean()),
        "07-omega-shift": float(np.abs(standard[0] - standard[1]).max().round(9)),
        "07-needs-correctness": right["both"] - right["r₂ alone"],
        "07-harder-positives": positive["similarity"]["both"] - positive["similarity"]["r₁ alone"],
        "07-harder-negatives": negative["similarity"]["both"] - negative["similarity"]["r₁ alone"],
        "07-lower-bound": positive["right"]["both"] - positive["right"]["both, without α"],
        "07-upper-bound": negative["right"]["both"] - negative["right"]["both, without α"],
    }


def released_values(table, chosen, picked, found) -> dict[str, float]:
    """The claims about the released reward; `found` from `released`."""
    last = picked[picked["n"] == picked["n"].max()].set_index(["reward", "kind"])["right"]
    unsure = (table["p"] > 0.5) & (table["p"] < 0.8)
    refused = table["p"] < 0.5
    negatives = table["kind"] == "negative"
    agreement = [
        spearmanr(dual(table, chosen)[rows], found["reward"][rows]).statistic
        for rows in (negatives, ~negatives)
    ]
    return {
        "07-released-always": 100 * float((found["always"] < 0).mean()),
        "07-released-silence": 100 * float((found["reward"] < -7).mean()),
        "07-released-hesitant": float(
            found["correctness"][unsure].mean() - found["correctness"][refused].mean()
        ),
        "07-released-order": float(np.mean(agreement)),
        "07-released-negatives": float(last["both", "negative"] - last["released", "negative"]),
    }


@ledger.measure(
    "07-eq3-cliff", "07-discriminator", "07-omega-shift", "07-needs-correctness",
    "07-harder-positives", "07-harder-negatives", "07-lower-bound", "07-upper-bound",
    "07-quantile", "07-bound-encoder", "07-released-always", "07-released-silence",
    "07-released-hesitant", "07-released-order", "07-released-negatives", reads=READS,
)  # fmt: skip
def measure_rewards(seed):
    """Everything of chapter 07 for one seed."""
    table, chosen = answers(seed), bounds(seed)
    found = released(table)
    picked = compared(table, chosen, found["reward"])
    quantiles, encoders = by_quantile(seed, table), by_encoder(seed)
    ledger.keep_rows("07-best-of", seed, picked)
    ledger.keep_rows("07-quantiles", seed, quantiles)
    ledger.keep_rows("07-encoders", seed, encoders)
    right = quantiles[quantiles["quantile"] != "none"].groupby("quantile")["right"].mean()
    alpha = encoders.set_index("encoder")["positive_bound"]
    return {
        **dual_values(table, chosen, picked),
        **released_values(table, chosen, picked, found),
        "07-quantile": float(np.ptp(right)),
        "07-bound-encoder": alpha["unsupervised"] - alpha["supervised"],
    }


@ledger.measure("07-policy-right", "07-policy-negatives", reads=READS)
def measure_policy(seed):
    """Where a policy goes, for one seed: from step 0 to the last one."""
    table = tuned(seed)
    ledger.keep_rows("07-policy", seed, table.drop(columns=["candidate"]))
    ends = [table[table["step"] == step] for step in (SHOWN[0], SHOWN[-1])]
    negatives = [rows[(rows["kind"] == "negative") & rows["right"]] for rows in ends]
    return {
        "07-policy-right": 100 * float(ends[1]["right"].mean() - ends[0]["right"].mean()),
        "07-policy-negatives": float(
            negatives[1]["similarity"].mean() - negatives[0]["similarity"].mean()
        ),
    }


@ledger.measure("07-omega-token", "07-omega-sign", "07-omega-policy", reads=READS)
def measure_omega(seed):
    """Ω where PPO reads it, at the token, and after 32 steps with each of two values."""
    tokens = at_the_token(seed)
    ledger.keep_rows("07-omega-token", seed, tokens)
    low, high = (tokens[f"{omega:g}"] for omega in OMEGAS)
    ends = {f"{omega:g}": tuned_with(seed, omega) for omega in OMEGAS}
    rows = [rows.drop(columns=["candidate"]).assign(omega=name) for name, rows in ends.items()]
    ledger.keep_rows("07-omega-policy", seed, pd.concat(rows, ignore_index=True))
    right = [100 * float(rows["right"].mean()) for rows in ends.values()]
    return {
        "07-omega-token": float((low - high).abs().max()),
        "07-omega-sign": 100 * float((np.sign(low) != np.sign(high)).mean()),
        "07-omega-policy": right[1] - right[0],
    }
