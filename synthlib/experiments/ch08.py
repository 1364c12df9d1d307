"""What chapter 08 measures: PPO, its penalty, and how a policy cheats a reward.

Every run tunes a fresh adapter for the same number of steps, on the same anchors, from the same
judges; two runs of one seed differ in what is compared and nothing else. The seed draws the
anchors, the adapter's first weights and the answers. Runs are made once in a process.

The oracle reads along: `watched` counts how many answers of each step are right, and `after` does
so for unseen anchors. No run is told what it finds.
"""

import dataclasses
from functools import cache

import pandas as pd

from synthlib import ledger, models, ppo, prompts, rewards, tiers
from synthlib.methods import art
from synthlib.world import corpora, report

STEPS, ANSWERS, EXAMINED = 24, 64, 200
SHOWN = (1, 8, 16, 24)  # steps whose answers to the same anchors are kept
LLAMA, T5 = "pocket/generator-llama", "pocket/generator-t5"
PPO = "PPO"
# What a run changes: options of `ppo.train`, weights, reward, generator.
RUNS = {
    PPO: {},
    "β = 0": dict(kl=0.0),
    "β = 0.5": dict(kl=0.5),
    "without r₁": dict(w1=0.0, w2=1.0),
    "without r₂": dict(w1=1.0, w2=0.0),
    "released": dict(reward="released"),
    "released / 15": dict(reward="released", scale=1 / 15),  # on the scale of the paper's
    "(released + 3.5) / 15": dict(reward="released", scale=1 / 15, constant=3.5),
    "RLOO": dict(method="rloo"),
    "T5": dict(generator=T5),
}
# What breaks the released one? A run and what is changed in it.
SUSPECTS = {
    "released, β = 0.75": ("released", dict(kl=0.75)),  # fifteen times the tier's
    "released, no value loss": ("released", dict(value_weight=0.0)),
    "β = 0.05 / 15": (PPO, dict(kl=0.05 / 15)),
}
ASKED = {"positive": "entailment", "negative": "contradiction"}
READS = (
    "data/pocket/generator-llama", "data/pocket/generator-t5", "data/pocket/nli",
    "data/pocket/simcse-sup-bert",
)  # fmt: skip


@cache
def judges():
    """The NLI discriminator and the supervised encoder, the judges of ART's first round."""
    encoder = models.load_encoder("pocket/simcse-sup-bert", device="cpu")

    def encode(texts):
        return encoder.encode(texts, batch_size=128, show_progress_bar=False)

    return models.load_nli("pocket/nli", device="cpu"), encode


def settings(**changes):
    """The pocket tier's settings of ART, for runs of 24 steps of 64 answers."""
    sizes = dict(ppo_steps=STEPS, ppo_batch_size=ANSWERS)
    return dataclasses.replace(tiers.get("pocket").art, **sizes | changes)


@cache
def anchors(seed):
    """Unlabelled sentences: those to tune on, each asked for once, and those to examine with."""
    drawn = corpora.premises(STEPS * ANSWERS // 2 + EXAMINED, 7_000 + seed)
    return drawn[EXAMINED:], drawn[:EXAMINED]


@cache
def bounds(seed, generator=LLAMA):
    """Ω, α⁺ and α⁻ by the book's rule, from what the generator writes before tuning."""
    return art.choose_bounds(
        models.load_generator(generator, device="cpu"), anchors(seed)[0][:150], *judges(),
        max_new_tokens=settings().max_new_tokens, seed=seed,
    )  # fmt: skip


def right(table) -> pd.Series:
    """The oracle's word on each row (anchor, kind, text): one of `report.OUTCOMES`."""
    rows = zip(table["anchor"], table["text"], table["kind"], strict=True)
    return pd.Series([report.outcome(a, t, ASKED[k]) for a, t, k in rows], index=table.index)


class Run:
    """A tuned generator, its log with the oracle's counts, and samples of its answers.

    Attributes
    ----------
    model, tokenizer
    log : DataFrame
        `ppo.train`'s log (TRL's for RLOO); PPO's with the columns right, right positives, right
        negatives: shares of the step's answers that the oracle finds right.
    samples : DataFrame
        step, anchor, kind, text: answers to the same three anchors.
    """

    def __init__(self, seed, name, *, samples=3, **changes):
        options = {**RUNS[name], **changes}
        method, reward = options.pop("method", PPO), options.pop("reward", "paper")
        source = options.pop("generator", LLAMA)
        affine = options.pop("scale", 1.0), options.pop("constant", 0.0)
        weights = {k: options.pop(k) for k in ("w1", "w2", "kl") if k in options}
        generator = models.load_generator(source, device="cpu")
        chosen, (tuned_on, _) = settings(**weights), anchors(seed)
        self.tokenizer, entries, shown = generator[1], [], []
        if method == "rloo":
            self.model, log = art.tune_with_trl(
                generator, tuned_on, *judges(), bounds(seed, source), chosen, seed=seed
            )
            self.log, self.samples = pd.DataFrame(log), pd.DataFrame()
            return
        policy = art.policy(generator, chosen, seed=seed)

        def watch(entry, tasks, texts):
            table = pd.DataFrame(tasks).assign(text=texts)
            table["right"] = right(table) == "right"
            by_kind = table.groupby("kind")["right"].mean()
            entries.append(entry | {"right": table["right"].mean()} | {
                f"right {kind}s": by_kind[kind] for kind in art.KINDS
            })  # fmt: skip
            if entry["step"] in SHOWN:
                written = art.write(
                    (policy.model, self.tokenizer), anchors(seed)[1][:samples], candidates=1,
                    max_new_tokens=chosen.max_new_tokens, seed=seed,
                )  # fmt: skip
                shown.append(written.assign(step=entry["step"]))

        arguments = dict(seed=seed, progress=False, on_step=watch) | options
        if reward == "paper":
            art.tune(policy, tuned_on, *judges(), bounds(seed, source), chosen, **arguments)
        else:
            _tune_released(policy, tuned_on, chosen, *affine, **arguments)
        self.model, self.log = policy.model, pd.DataFrame(entries)
        self.samples = pd.concat(shown) if shown else pd.DataFrame()


def _tune_released(policy, tuned_on, chosen, scale, constant, **options):
    """PPO towards what the released code pays, and a constant for everybody, scaled."""
    (pays,) = rewards.reward_functions(
        *judges(), lower_bound=0, positive_bound=0, negative_bound=1, variant="released"
    )

    def released(**columns):
        return [scale * (reward + constant) for reward in pays(**columns)]

    return ppo.train(
        policy, art.tasks(tuned_on, prompts.form_of(policy.model, policy.tokenizer)),
        [released], [1.0],
        steps=chosen.ppo_steps, batch_size=chosen.ppo_batch_size,
        mini_batch_size=chosen.ppo_mini_batch_size, epochs=chosen.ppo_epochs,
        learning_rate=chosen.learning_rate, kl=chosen.kl, max_new_tokens=chosen.max_new_tokens,
        **options,
    )  # fmt: skip


@cache
def tuned(seed, name) -> Run:
    """A run of `RUNS`, once in a process."""
    return Run(seed, name)


def examine(seed, model, tokenizer) -> pd.DataFrame:
    """Answers to unseen anchors: what the judges and the oracle think of them.

    Parameters
    ----------
    seed : int
    model, tokenizer

    Returns
    -------
    DataFrame
        anchor, kind, text, p, accepted, similarity, outcome; sampled at the tier's temperature.
    """
    chosen = settings()
    table = art.write(
        (model, tokenizer), anchors(seed)[1], candidates=1, temperature=chosen.temperature,
        max_new_tokens=chosen.max_new_tokens, seed=seed,
    )  # fmt: skip
    table = art.judge(table, *judges())
    return table.assign(outcome=right(table))


@cache
def before(seed, generator=LLAMA):
    """`examine` of a generator that was not tuned."""
    return examine(seed, *models.load_generator(generator, device="cpu"))


@cache
def after(seed, name):
    """`examine` of a tuned generator."""
    run = tuned(seed, name)
    return examine(seed, run.model, run.tokenizer)


def accuracy(table) -> float:
    """Percent of answers that the oracle finds right, both kinds together."""
    return 100 * float((table["outcome"] == "right").mean())


def outcomes(table) -> pd.DataFrame:
    """Of `examine`: by kind, the shares of the oracle's outcomes and what the judges think."""
    by_kind = table.groupby("kind")
    shares = by_kind["outcome"].value_counts(normalize=True).unstack(fill_value=0.0)
    shares = shares.reindex(columns=report.OUTCOMES, fill_value=0.0)
    return shares.join(by_kind[["p", "similarity"]].mean()).reset_index()


# ------------------------------------------------------------------ the ledger
_TRL = {
    "rewards/correctness/mean": "correctness", "rewards/difficulty/mean": "difficulty",
    "completions/mean_length": "length",
}  # fmt: skip
_LOGGED = (
    "step", "reward", "correctness", "difficulty", "released", "kl", "kl_k3", "entropy",
    "clip_fraction", "explained_variance", "length", "copies", "blank", "right",
    "right positives", "right negatives",
)  # fmt: skip


def logs(seed, *names) -> pd.DataFrame:
    """The logs of runs under each other, with the column run; TRL's in our names."""
    found = []
    for name in names:
        log = tuned(seed, name).log.rename(columns=_TRL)
        log = log.assign(step=range(1, len(log) + 1)).reindex(columns=_LOGGED)
        found.append(log.assign(run=name))
    return pd.concat(found, ignore_index=True)


def _keep(seed, study, *names, generator=LLAMA):
    """Rows of a study: its logs, and what unseen answers are like before and after."""
    ledger.keep_rows(f"08-{study}-log", seed, logs(seed, *names))
    tables = [outcomes(before(seed, generator)).assign(run="before")]
    tables += [outcomes(after(seed, name)).assign(run=name) for name in names]
    ledger.keep_rows(f"08-{study}", seed, pd.concat(tables))


def _rise(log, column="reward", part=6):
    """Mean of the last steps minus mean of the first."""
    return float(log[column].tail(part).mean() - log[column].head(part).mean())


@ledger.measure("08-reward-rises", "08-accuracy", reads=READS)
def tuning(seed):
    """PPO with the paper's reward: its reward, and the truth."""
    _keep(seed, "ppo", PPO)
    samples = tuned(seed, PPO).samples
    ledger.keep_rows("08-samples", seed, samples.assign(outcome=right(samples)))
    return {
        "08-reward-rises": _rise(tuned(seed, PPO).log),
        "08-accuracy": accuracy(after(seed, PPO)) - accuracy(before(seed)),
    }


@ledger.measure("08-no-correctness", "08-hack-reward", reads=READS)
def hacking(seed):
    """The reward without r₁: what is paid rises, what is wanted falls."""
    _keep(seed, "hacking", PPO, "without r₁")
    samples = tuned(seed, "without r₁").samples
    ledger.keep_rows("08-hacking-samples", seed, samples.assign(outcome=right(samples)))
    return {
        "08-no-correctness": accuracy(after(seed, PPO)) - accuracy(after(seed, "without r₁")),
        "08-hack-reward": _rise(tuned(seed, "without r₁").log),
    }


@ledger.measure("08-kl-zero", "08-kl-large", reads=READS)
def penalty(seed):
    """The coefficient of the KL penalty: none, the tier's, ten times that."""
    _keep(seed, "kl", "β = 0", PPO, "β = 0.5")
    drift = {name: tuned(seed, name).log["kl"].tail(6).mean() for name in ("β = 0", PPO)}
    return {
        "08-kl-zero": float(drift["β = 0"] / drift[PPO]),
        "08-kl-large": accuracy(after(seed, PPO)) - accuracy(after(seed, "β = 0.5")),
    }


@ledger.measure(
    "08-released", "08-released-scale", "08-released-constant", "08-released-beta",
    "08-released-value", "08-beta-fifteenth", reads=READS,
)  # fmt: skip
def released(seed):
    """The released reward: as it is, on the paper's scale, and without what all of them lose.

    What breaks it as it is? Eq. 8.7 says that a factor on the reward is one on β, so it is run with
    fifteen times the penalty, and the paper's reward with a fifteenth of it. It is also run with a
    value head that learns nothing, so that the head's loss cannot pull at the adapter.
    """
    as_is, scaled, without = "released", "released / 15", "(released + 3.5) / 15"
    runs = {name: tuned(seed, name) for name in (PPO, as_is, scaled, without)}
    runs |= {name: Run(seed, of, **changes) for name, (of, changes) in SUSPECTS.items()}
    tables = {name: examine(seed, run.model, run.tokenizer) for name, run in runs.items()}
    tables = {"before": before(seed)} | tables
    log = [run.log.assign(run=name).reindex(columns=[*_LOGGED, "run"])
           for name, run in runs.items()]  # fmt: skip
    ledger.keep_rows("08-released-log", seed, pd.concat(log))
    ledger.keep_rows("08-released", seed, pd.concat(
        outcomes(table).assign(run=name) for name, table in tables.items()
    ))  # fmt: skip
    right_in_all = {name: accuracy(table) for name, table in tables.items()}
    last = {name: run.log.tail(6) for name, run in runs.items()}
    ends = {name: 100 * float(steps["right"].mean()) for name, steps in last.items()}
    length = {name: float(steps["length"].mean()) for name, steps in last.items()}
    return {
        "08-released": right_in_all[scaled] - right_in_all["before"],
        "08-released-scale": right_in_all[scaled] - right_in_all[as_is],
        "08-released-constant": length[scaled] / length[without],
        # `ppo.train` keeps the adapter that earned most, so what breaks shows in the last steps.
        "08-released-beta": ends["released, β = 0.75"] - ends[as_is],
        "08-released-value": ends["released, no value loss"] - ends[as_is],
        "08-beta-fifteenth": ends["β = 0.05 / 15"] - ends[PPO],
    }


@ledger.measure("08-rloo", reads=READS)
def rloo(seed):
    """TRL's RLOO beside PPO: as many answers, the same rewards."""
    _keep(seed, "rloo", PPO, "RLOO")
    return accuracy(after(seed, "RLOO")) - accuracy(after(seed, PPO))


@ledger.measure("08-no-difficulty", reads=READS)
def easy(seed):
    """The reward without r₂: right, but how hard?"""
    _keep(seed, "easy", PPO, "without r₂")
    similarity = {
        name: table[(table["kind"] == "positive") & (table["outcome"] == "right")][
            "similarity"
        ].mean()
        for name, table in ((n, after(seed, n)) for n in (PPO, "without r₂"))
    }
    return float(similarity["without r₂"] - similarity[PPO])


@ledger.measure("08-t5", reads=READS)
def encoder_decoder(seed):
    """The same loop on the T5-shaped generator."""
    _keep(seed, "t5", "T5", generator=T5)
    return accuracy(after(seed, "T5")) - accuracy(before(seed, T5))


@ledger.measure("08-one-model", reads=READS)
def one_model(seed):
    """Parameters held by a policy that is its own reference, against a second frozen copy."""
    generator = models.load_generator(LLAMA, device="cpu")
    base = sum(p.numel() for p in generator[0].parameters())
    policy = art.policy(generator, settings(), seed=seed)
    trained = sum(p.numel() for p in policy.parameters() if p.requires_grad)
    return (base + trained) / (2 * base + trained)
