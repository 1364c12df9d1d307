"""What chapter 9 measures: ART's rounds, with the filter-only control beside each of them.

A seed draws the sentences, everything that is sampled and the order of training. The rounds are
those of ``run art --tier pocket --seed …``, by the same stages, made once and held for the life of
the process. Two encoders of one seed differ in nothing but what a table's row says, so their
difference is paired. The sets that examine are the same for all seeds.

The control has no tuning: the untuned generator writes as many texts as ART's rounds have written
(those that PPO asks for are counted), the same discriminator filters them, and the same encoder
is trained on what is left.
"""

import copy
import dataclasses
import math
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from synthlib import evaluation, ledger, models, prompts, tiers, training
from synthlib.experiments import ch07, ch08
from synthlib.methods import art
from synthlib.world import corpora
from synthlib.world.report import outcome

ROUNDS = 3
CANDIDATES = 3  # of each kind for an anchor
BASES = {
    "BERT": "pocket/simcse-sup-bert",
    "RoBERTa": "pocket/simcse-sup-roberta",
    "unsupervised BERT": "pocket/simcse-unsup-bert",
}
TIMES = 4.5  # raw triplets for one of ART's: 270k to 3 · 20k (Table 2)
HELD_OUT, HELD_OUT_SEED = 300, 9_000  # anchors that no round has seen
ASKED = {"positive": "entailment", "negative": "contradiction"}
SUBSETS = ("all", "accepted", "right")
STEPS = 40  # of an encoder's training where sets of very different size are compared
FEW = (150, 600, 1200)  # anchors
WEAK_STEPS, WEAK_ANCHORS = 48, 600
WEIGHTS = (0.0, 0.3, 0.5, 0.7, 1.0)  # of difficulty; correctness has the rest
LONG = 96  # steps, four times chapter 8's
BEST_OF = 16
EPOCHS = 20  # of learning what was picked: 120 updates; three epochs taught next to nothing


# ------------------------------------------------------------------ what is compared
def settings():
    """ART's settings on the pocket tier."""
    return tiers.get("pocket").art


@cache
def load(name):
    """The `encode` of an encoder that travels with the book."""
    return models.load_encoder(name, device="cpu").encode


@cache
def discriminator():
    """The NLI model and its tokenizer."""
    return models.load_nli(settings().discriminator, device="cpu")


# ------------------------------------------------------------------ the rounds
class Round(NamedTuple):
    """What a round has made."""

    log: pd.DataFrame  # of `ppo.train`, one row a step
    adapter: Path  # the folder of the tuned adapter
    candidates: pd.DataFrame  # of `art.judge`
    triplets: pd.DataFrame  # of `art.select`
    encoder: object  # trained on them, from the last round's


@cache
def sentences(seed):
    """Anchors and the sentences that PPO asks for: a list of each for every round."""
    n, asked = settings().anchors, prompted()
    rows = list(dict.fromkeys(corpora.premises(ROUNDS * (n + asked), seed)))
    rows = [rows[i] for i in np.random.default_rng((seed, 4)).permutation(len(rows))]
    others = rows[ROUNDS * n :]  # a few less than are asked for, where some were drawn twice
    return (
        [rows[k * n : (k + 1) * n] for k in range(ROUNDS)],
        [[others[i % len(others)] for i in range(k * asked, (k + 1) * asked)]
         for k in range(ROUNDS)],
    )  # fmt: skip


def prompted() -> int:
    """Sentences that a round of PPO asks for one answer of each kind."""
    return math.ceil(settings().ppo_steps * settings().ppo_batch_size / 2)


def texts_a_round() -> int:
    """Texts that the generator writes in a round, PPO's with them."""
    return 2 * (settings().anchors * CANDIDATES + prompted())


@cache
def adapters() -> tempfile.TemporaryDirectory:
    """Where the rounds' adapters are kept while this process lives."""
    return tempfile.TemporaryDirectory(prefix="ch09-")


@cache
def round_of(seed, number) -> Round:
    """A round from 1, by the stages of `art`: tune, write, judge, select, train."""
    s, own = settings(), 1000 * seed + number
    anchors, asked = (of_round[number - 1] for of_round in sentences(seed))
    before = round_of(seed, number - 1).adapter if number > 1 else None
    policy = art.policy(generator(seed, 0), s, adapter=before, seed=seed)
    speaker = policy.model, policy.tokenizer
    judges = discriminator(), partial(encode(seed, number - 1), batch_size=128)
    some, room = [*asked, *anchors][: art.PROBES], s.max_new_tokens
    bounds = art.choose_bounds(speaker, some, *judges, max_new_tokens=room, seed=own)
    log = art.tune(policy, asked, *judges, bounds, s, seed=own, progress=False)
    adapter = Path(adapters().name) / f"{seed}-{number}"
    policy.model.save_pretrained(str(adapter))
    candidates = written(art.tuned(generator(seed, 0), adapter), anchors, own)
    triplets = art.select(candidates)
    encoder = art.train(fresh(seed, number - 1), triplets, s, seed=seed, progress=False)
    return Round(pd.DataFrame(log), adapter, candidates, triplets, encoder)


def written(speaker, anchors, seed, candidates=CANDIDATES, start=0):
    """Candidates for anchors, as the discriminator judges them."""
    s = settings()
    table = art.write(
        speaker, anchors, candidates=candidates, temperature=s.temperature, start=start,
        max_new_tokens=s.max_new_tokens, seed=seed, batch_size=64,
    )  # fmt: skip
    return art.judge(table, discriminator())


def fresh(seed, number):
    """A copy of a round's encoder, to be trained; 0 is the supervised BERT."""
    if number == 0:
        return models.load_encoder(BASES["BERT"], device="cpu")
    return copy.deepcopy(round_of(seed, number).encoder)


def generator(seed, number):
    """The generator of a round; 0 is the untuned one."""
    base = models.load_generator(settings().generator, device="cpu")
    return art.tuned(base, round_of(seed, number).adapter) if number else base


def encode(seed, number):
    """The `encode` of a round's encoder; 0 is the supervised BERT as it travels with the book."""
    return round_of(seed, number).encoder.encode if number else load(BASES["BERT"])


@cache
def raw(seed):
    """What the untuned generator writes: for the anchors of all rounds, and behind them one answer
    of each kind for every sentence that PPO has asked for."""
    anchors, asked = (sum(of_round, []) for of_round in sentences(seed))
    speaker = generator(seed, 0)
    parts = [
        written(speaker, anchors, 1000 * seed),
        written(speaker, asked, 1000 * seed, candidates=1, start=len(anchors)),
    ]
    return pd.concat(parts, ignore_index=True)


# ------------------------------------------------------------------ encoders and the control
@cache
def through_rounds(seed, base):
    """Another base, trained round after round on the triplets that were written for BERT's
    encoder: a tuning for each base would cost three times as much."""
    encoder = models.load_encoder(BASES[base], device="cpu")
    for number in range(1, ROUNDS + 1):
        rows = round_of(seed, number).triplets
        art.train(encoder, rows, settings(), seed=seed, progress=False)
    return encoder.encode


def fit(rows, seed, base="BERT", **options):
    """A base trained further on triplets as a round trains it; returns its encode."""
    encoder = models.load_encoder(BASES[base], device="cpu")
    return art.train(encoder, rows, settings(), seed=seed, progress=False, **options).encode


def control_candidates(seed, rounds=ROUNDS):
    """What the untuned generator has written at the budget of so many rounds.

    Returns
    -------
    DataFrame
        As `art.judge`: `candidates` of each kind for every anchor of these rounds, and one for
        every anchor that PPO has asked in them.
    """
    table, n = raw(seed), settings().anchors
    row = table["row"]
    more = (row >= ROUNDS * n) & (row < ROUNDS * n + rounds * prompted())
    return table[(row < rounds * n) | more]


@cache
def control(seed, base="BERT", rounds=ROUNDS):
    """A base trained on the control's triplets."""
    return fit(art.select(control_candidates(seed, rounds)), seed, base)


def triplets_of_all(seed, rounds=ROUNDS):
    """The triplets of the first rounds behind one another."""
    found = [round_of(seed, k).triplets for k in range(1, rounds + 1)]
    return pd.concat(found, ignore_index=True)


@cache
def from_first(seed, rounds=ROUNDS):
    """The opposite of going on: the first encoder on the triplets of all rounds so far."""
    return fit(triplets_of_all(seed, rounds), seed)


@cache
def raw_triplets(seed):
    """Unfiltered triplets of the untuned generator, `TIMES` as many as ART was trained on.

    Every candidate of a positive with the candidate of a negative that has its number.
    """
    table = raw(seed)
    table = table[table["text"].str.strip() != ""]
    wide = table.pivot(index=["row", "candidate"], columns="kind", values="text").dropna()
    anchors = table.drop_duplicates("row").set_index("row")["anchor"]
    wide["anchor"] = anchors[wide.index.get_level_values("row")].to_numpy()
    wanted = round(TIMES * len(triplets_of_all(seed)))
    return wide.sample(min(wanted, len(wide)), random_state=seed).reset_index(drop=True)


def supervised(rows, seed, pooling):
    """Supervised SimCSE from the masked LM, with the settings of the book's own encoders."""
    own = tiers.get("pocket").simcse_supervised
    encoder = models.load_encoder("pocket/mlm-bert", pooling=pooling, device="cpu")
    return training.train_supervised_simcse(
        encoder, rows, batch_size=own.batch_size, learning_rate=own.learning_rate,
        max_steps=own.max_steps, tau=own.tau, seed=seed, progress=False,
    ).encode  # fmt: skip


# ------------------------------------------------------------------ how it is examined
@cache
def _sets():
    sts = {kind: corpora.sts(kind, "test", 2000) for kind in corpora.STS_KINDS}
    lists = {
        kind: corpora.reranking(kind).rename(columns={"label": "relevance"})
        for kind in ("questions", "duplicates")
    }
    return sts, lists


TESTS = ("natural", "hard", "questions", "duplicates")  # STS, and reranking


def marks(encode) -> dict:
    """An encoder on every test set, in percent.

    Returns
    -------
    dict
        natural, hard (Spearman on 2,000 pairs each), average (of these two), questions,
        duplicates (MAP of reranking 200 queries).
    """
    _, lists = _sets()
    found = evaluation.score_reranking(partial(encode, batch_size=256), lists)
    return sts(encode) | {k: float(v) for k, v in found.set_index("task")["map"].items()}


def sts(encode) -> dict:
    """Spearman × 100 on the two STS sets, and their average."""
    found = evaluation.score_sts(partial(encode, batch_size=256), _sets()[0]).set_index("task")
    found = {name: float(value) for name, value in found["all"].items()}
    return found | {"average": float(np.mean(list(found.values())))}


# ------------------------------------------------------------------ Tables 4, 5 and 6
@cache
def outputs(seed):
    """What the generators of rounds 0 to 3 write for anchors that no round has seen.

    Returns
    -------
    DataFrame
        As `art.judge` with the first encoder as yardstick of difficulty in every round, and round,
        outcome (`world.report.outcome`, by the oracle), right, shared (share of the words of a
        text that stand in its anchor).
    """
    s, parts = settings(), []
    anchors = corpora.premises(HELD_OUT, HELD_OUT_SEED + seed)
    for number in range(ROUNDS + 1):
        table = art.write(
            generator(seed, number), anchors, candidates=3, temperature=s.temperature,
            max_new_tokens=s.max_new_tokens, seed=seed, batch_size=128,
        )  # fmt: skip
        parts.append(art.judge(table, discriminator(), load(s.encoder)).assign(round=number))
    table = pd.concat(parts, ignore_index=True)
    rows = list(zip(table["anchor"], table["text"], table["kind"], strict=True))
    table["outcome"] = [outcome(x, y, ASKED[kind]) for x, y, kind in rows]
    table["right"] = table["outcome"] == "right"
    table["shared"] = [shared(x, y) for x, y, _ in rows]
    return table


def shared(anchor, text):
    words = set(text.split())
    return len(words & set(anchor.split())) / len(words) if words else 0.0


def accuracy(table) -> pd.DataFrame:
    """Table 4: shares by round and kind, in percent.

    Parameters
    ----------
    table : DataFrame
        Of `outputs`.

    Returns
    -------
    DataFrame
        round, kind ("positive", "negative", "average"), right (by the oracle), accepted (by the
        discriminator; the paper's measure), copied, and for the pairs ("average") usable: anchors
        whose first answers of both kinds are accepted, usable3: with three tries each.
    """
    rows = []
    for number, part in table.groupby("round"):
        kinds = {kind: part[part["kind"] == kind] for kind in art.KINDS}
        for kind, some in kinds.items():
            rows.append({
                "round": number, "kind": kind, "right": 100 * some["right"].mean(),
                "accepted": 100 * some["accepted"].mean(),
                "copied": 100 * (some["outcome"] == "copied").mean(),
            })  # fmt: skip
        both = {name: np.mean([row[name] for row in rows[-2:]]) for name in list(rows[-1])[2:]}
        tries = {"usable": part[part["candidate"] == 0], "usable3": part}
        usable = {
            name: 100 * some[some["accepted"]].groupby("row")["kind"].nunique().eq(2).sum()
            / some["row"].nunique()
            for name, some in tries.items()
        }  # fmt: skip
        rows.append({"round": number, "kind": "average", **both, **usable})
    return pd.DataFrame(rows)


def difficulty(table) -> pd.DataFrame:
    """Table 5: mean cosine to the anchor and share of its words, by round, kind and subset.

    "all" outputs, those "accepted" by the discriminator, those "right" by the oracle. The cosines
    are the first encoder's in every round, so that one yardstick measures all.
    """
    rows = []
    for (number, kind), part in table.groupby(["round", "kind"]):
        for subset in SUBSETS:
            some = part if subset == "all" else part[part[subset]]
            rows.append({
                "round": number, "kind": kind, "subset": subset, "texts": len(some),
                "cosine": some["similarity"].mean(), "shared": 100 * some["shared"].mean(),
            })  # fmt: skip
    return pd.DataFrame(rows)


def cases(table, n=6) -> pd.DataFrame:
    """Table 6: what each round has made of the first n anchors that are not long."""
    first = table[(table["candidate"] == 0) & (table["anchor"].str.split().str.len() <= 12)]
    chosen = first["row"].drop_duplicates().head(n)
    names = ["row", "anchor", "round", "kind", "text", "outcome", "similarity"]
    return first[first["row"].isin(chosen)].sort_values(["row", "round", "kind"])[names]


def weights(seed) -> pd.DataFrame:
    """How hard and how right a policy writes, by the weight of difficulty in its reward.

    Chapter 8's short tuning (24 steps of 64 answers) for each of `WEIGHTS`, and 200 unseen anchors.

    Returns
    -------
    DataFrame
        w2 (NaN for the untuned generator), kind, right (percent, by the oracle), cosine (mean, of
        the right answers to their anchors), kl (nats an answer, mean of the last six steps).
    """
    tables = {np.nan: (ch08.before(seed), 0.0)}
    for w2 in WEIGHTS:
        run = ch08.Run(seed, ch08.PPO, samples=0, w1=1 - w2, w2=w2)
        examined = ch08.examine(seed, run.model, run.tokenizer)
        tables[w2] = examined, run.log["kl"].tail(6).mean()
    return pd.DataFrame(
        {
            "w2": w2, "kind": kind, "kl": kl,
            "right": 100 * (rows["outcome"] == "right").mean(),
            "cosine": rows.loc[rows["outcome"] == "right", "similarity"].mean(),
        }
        for w2, (table, kl) in tables.items() for kind, rows in table.groupby("kind")
    )  # fmt: skip


@ledger.measure(
    "09-weights-positives", "09-weights-negatives", "09-weights-accuracy",
)  # fmt: skip
def measure_weights(seed):
    """Whether a louder difficulty makes right answers harder, for one seed: 0.7 against 0.3."""
    table = weights(seed)
    ledger.keep_rows("09-weights", seed, table)
    mark = table.set_index(["kind", "w2"])
    more = mark.xs(0.7, level="w2") - mark.xs(0.3, level="w2")
    return {
        "09-weights-positives": more["cosine"]["positive"],
        "09-weights-negatives": more["cosine"]["negative"],
        "09-weights-accuracy": more["right"].mean(),
    }


# ------------------------------------------------------------------ why not harder?
def harder(seed) -> pd.DataFrame:
    """How hard and how right a generator writes, by the way in which it is taught the reward.

    The same reward, bounds and anchors as chapter 8's short tuning, and 200 unseen anchors. The
    long arms ask for equally many texts: PPO and GRPO `LONG` steps of 64 answers, rejection
    sampling `BEST_OF` answers to a part of the requests, of which it learns the one that earns
    most. Nothing is tuned in "untuned, best of 16": of its answers the best are examined.

    Returns
    -------
    DataFrame
        data (who writes), kind, texts (asked for while it was taught), right (percent, by the
        oracle), accepted (percent, by the discriminator), cosine (mean, of the right answers to
        their anchors).
    """
    anchors, judges, bounds = ch08.anchors(seed)[0], ch08.judges(), ch08.bounds(seed)
    s = ch08.settings(ppo_steps=LONG)
    texts = LONG * s.ppo_batch_size

    def ppo():
        policy = art.policy(models.load_generator(s.generator, device="cpu"), s, seed=seed)
        art.tune(policy, anchors, *judges, bounds, s, seed=seed, progress=False)
        return policy.model, policy.tokenizer

    def grpo():
        generator = models.load_generator(s.generator, device="cpu")
        model, _ = art.tune_with_trl(
            generator, anchors, *judges, bounds, s, algorithm="grpo", seed=seed
        )
        return model, generator[1]

    untuned = models.load_generator(s.generator, device="cpu")
    asked = anchors[: texts // (2 * BEST_OF)]
    tables = {
        "untuned": (0, ch08.before(seed)),
        f"PPO, {ch08.STEPS} steps": (
            ch08.STEPS * s.ppo_batch_size, ch08.after(seed, ch08.PPO)
        ),
        f"PPO, {LONG} steps": (texts, ch08.examine(seed, *ppo())),
        f"GRPO, {LONG} steps": (texts, ch08.examine(seed, *grpo())),
        f"best of {BEST_OF}, learnt": (
            texts, ch08.examine(seed, *learnt(best(untuned, asked, seed), seed))
        ),
        f"untuned, best of {BEST_OF}": (0, best(untuned, ch08.anchors(seed)[1], seed)),
    }  # fmt: skip
    return pd.DataFrame(
        {
            "data": name, "kind": kind, "texts": many,
            "right": 100 * (rows["outcome"] == "right").mean(),
            "accepted": 100 * rows["accepted"].mean(),
            "cosine": rows.loc[rows["outcome"] == "right", "similarity"].mean(),
        }
        for name, (many, table) in tables.items() for kind, rows in table.groupby("kind")
    )  # fmt: skip


def best(generator, anchors, seed) -> pd.DataFrame:
    """Of `BEST_OF` answers to each request the one that earns most, with the oracle's word."""
    s, bounds = ch08.settings(), ch08.bounds(seed)
    table = art.judge(
        art.write(
            generator, anchors, candidates=BEST_OF, temperature=1.0, seed=seed, batch_size=256,
            max_new_tokens=s.max_new_tokens,
        ),
        *ch08.judges(),
    )  # fmt: skip
    picked = ch07.best(table, ch07.dual(table, bounds, s.w1, s.w2), BEST_OF)
    return picked.assign(outcome=ch08.right(picked))


def learnt(picked, seed):
    """The generator after learning picked answers by heart, by a fresh adapter of the same shape
    and at the same learning rate as PPO's (rejection sampling).

    Returns
    -------
    model, tokenizer
    """
    import trl
    from datasets import Dataset
    from peft import LoraConfig
    from transformers.trainer_callback import PrinterCallback

    s = ch08.settings()
    model, tokenizer = models.load_generator(s.generator, device="cpu")
    precision = models.training_precision("cpu", model_type=model.config.model_type)
    form = prompts.form_of(model, tokenizer)
    picked = picked[picked["text"].str.strip() != ""]
    rows = []
    for row in picked.itertuples():  # tokenized apart, as the generator was taught
        texts = [art.prompt(row.anchor, row.kind, form), row.text]
        asked, answer = tokenizer(texts, add_special_tokens=False)["input_ids"]
        answer = [*answer, tokenizer.eos_token_id]
        rows.append({
            "input_ids": asked + answer,
            "completion_mask": [0] * len(asked) + [1] * len(answer),
        })  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl.SFTTrainer(
            model=model, processing_class=tokenizer, train_dataset=Dataset.from_list(rows),
            peft_config=LoraConfig(
                task_type="CAUSAL_LM", r=s.lora_r, lora_alpha=s.lora_alpha,
                target_modules="all-linear",
            ),
            args=trl.SFTConfig(
                output_dir=folder, num_train_epochs=EPOCHS, per_device_train_batch_size=64,
                seed=seed, learning_rate=s.learning_rate, lr_scheduler_type="cosine", use_cpu=True,
                bf16=precision == "bf16", fp16=precision == "fp16", completion_only_loss=True,
                gradient_checkpointing=False,
                save_strategy="no", report_to="none", disable_tqdm=True,
            ),
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return trainer.model.eval(), tokenizer


@ledger.measure(
    "09-harder-steps", "09-harder-learnt", "09-harder-right", "09-harder-grpo",
    reads=ch08.READS,
)  # fmt: skip
def measure_harder(seed):
    """Whether more steps, GRPO or learning the best of 16 make right negatives harder."""
    table = harder(seed)
    ledger.keep_rows("09-harder", seed, table)
    mark = table.set_index(["data", "kind"])
    hard = mark["cosine"].xs("negative", level="kind")
    right = mark["right"].groupby("data").mean()
    long, learned = f"PPO, {LONG} steps", f"best of {BEST_OF}, learnt"
    return {
        "09-harder-steps": hard[long] - hard[f"PPO, {ch08.STEPS} steps"],
        "09-harder-learnt": hard[learned] - hard[long],
        "09-harder-right": right[learned] - right[long],
        "09-harder-grpo": hard[f"GRPO, {LONG} steps"] - hard[long],
    }


# ------------------------------------------------------------------ Table 3
def table3(seed) -> pd.DataFrame:
    """Every round's encoder, beside the control's and those that were begun anew.

    Returns
    -------
    DataFrame
        round, data ("ART", "filter only", "ART, from the first encoder"), texts (generated so far,
        PPO's counted), triplets (so far), and `marks`.
    """
    rows = [{"round": 0, "data": "ART", "texts": 0, "triplets": 0, **marks(encode(seed, 0))}]
    for number in range(1, ROUNDS + 1):
        size = {
            "texts": number * texts_a_round(),
            "triplets": len(triplets_of_all(seed, number)),
        }
        kept = len(art.select(control_candidates(seed, number)))
        trained = [
            ("ART", size["triplets"], encode(seed, number)),
            ("filter only", kept, control(seed, rounds=number)),
        ]
        if number > 1:  # in round 1 they are one
            again = from_first(seed, number)
            trained.append(("ART, from the first encoder", size["triplets"], again))
        for data, triplets, encoder in trained:
            rows.append({"round": number, "data": data, **size, "triplets": triplets,
                         **marks(encoder)})  # fmt: skip
    return pd.DataFrame(rows)


@ledger.measure(
    "09-table4-gain", "09-table4-accuracy", "09-usable", "09-table5-positives",
    "09-table5-negatives", "09-table6-cases", "09-table3-round1", "09-table3-rounds",
    "09-filter-control", "09-start",
)  # fmt: skip
def measure_rounds(seed):
    """The three rounds of one seed: Tables 3 to 6."""
    found = outputs(seed)
    four, five, three = accuracy(found), difficulty(found), table3(seed)
    for name, rows in (("09-table4", four), ("09-table5", five), ("09-table6", cases(found))):
        ledger.keep_rows(name, seed, rows)
    ledger.keep_rows("09-table3", seed, three)
    logs = [round_of(seed, k).log.assign(round=k) for k in range(1, ROUNDS + 1)]
    ledger.keep_rows("09-ppo", seed, pd.concat(logs, ignore_index=True))
    right = four[four["kind"] == "average"].set_index("round")
    hard = five[five["subset"] == "right"].set_index(["kind", "round"])
    mark = three.set_index(["data", "round"])["average"]
    gains = np.diff([mark["ART", k] for k in range(ROUNDS + 1)])
    return {
        "09-table4-gain": right["right"][1] - right["right"][0],
        "09-table4-accuracy": right["right"][1],
        "09-usable": right["usable"][1] / right["usable"][0],
        "09-table5-positives": hard["cosine"]["positive", ROUNDS] - hard["cosine"]["positive", 0],
        "09-table5-negatives": hard["cosine"]["negative", ROUNDS] - hard["cosine"]["negative", 0],
        "09-table6-cases": hard["shared"]["positive", ROUNDS] - hard["shared"]["positive", 1],
        "09-table3-round1": gains[0] - max(gains[1:]),
        "09-table3-rounds": mark["ART", ROUNDS] - mark["ART", 1],
        "09-filter-control": mark["ART", ROUNDS] - mark["filter only", ROUNDS],
        "09-start": mark["ART", ROUNDS] - mark["ART, from the first encoder", ROUNDS],
    }


# ------------------------------------------------------------------ tuned against filtered, equal
def equal(seed) -> pd.DataFrame:
    """The first encoder on triplets of tuned and of untuned writing from the very same anchors.

    Of all rounds' anchors those for which both have left a triplet: equal number, equal anchors,
    equal steps of training. What is left of the difference is the sentences themselves.

    Returns
    -------
    DataFrame
        data ("ART", "filter only"), triplets, right (percent, by the oracle), and `marks`.
    """
    n = settings().anchors
    untuned = control_candidates(seed)
    data = {
        "ART": triplets_of_all(seed),
        "filter only": art.select(untuned[untuned["row"] < ROUNDS * n]),
    }
    common = set(data["ART"]["anchor"]) & set(data["filter only"]["anchor"])
    rows = []
    for name, table in data.items():
        table = table[table["anchor"].isin(common)].drop_duplicates("anchor")
        table = table.sort_values("anchor", ignore_index=True)
        rows.append({
            "data": name, "triplets": len(table), "right": 100 * _right(table),
            **marks(fit(table, seed)),
        })  # fmt: skip
    return pd.DataFrame(rows)


@ledger.measure("09-equal", "09-equal-hard")
def measure_equal(seed):
    """Tuned against filtered from equal anchors, for one seed: average, and the hard set."""
    table = equal(seed)
    ledger.keep_rows("09-equal", seed, table)
    mark = table.set_index("data")
    return {
        "09-equal": mark["average"]["ART"] - mark["average"]["filter only"],
        "09-equal-hard": mark["hard"]["ART"] - mark["hard"]["filter only"],
    }


# ------------------------------------------------------------------ Table 2
def table2(seed, base="BERT") -> pd.DataFrame:
    """A base before and after ART, and beside what the paper compares it with.

    Returns
    -------
    DataFrame
        base, data, triplets (generated ones, trained on), and `marks`. The rows: "none" (the base,
        SimCSE), "raw" (SimCSE*: unfiltered data, `TIMES` as many), "filter only" (our control),
        "ART"; for BERT also "prompt pooling" (in the place of PromCSE: the same labelled data,
        another pooling) and "raw alone" (SynCSE's setting: the raw data alone, from the masked
        LM).
    """
    unfiltered, kept = raw_triplets(seed), art.select(control_candidates(seed))
    last = encode(seed, ROUNDS) if base == "BERT" else through_rounds(seed, base)
    rows = [
        ("none", 0, load(BASES[base])),
        ("raw", len(unfiltered), fit(unfiltered, seed, base)),
        ("filter only", len(kept), control(seed, base)),
        ("ART", len(triplets_of_all(seed)), last),
    ]
    if base == "BERT":
        labelled = corpora.triplets(tiers.get("pocket").simcse_supervised.sentences, seed)
        names = ["anchor", "positive", "negative"]
        given = list(unfiltered[names].itertuples(index=False, name=None))
        rows[1:1] = [
            ("prompt pooling", 0, supervised(labelled, seed, "prompt")),
            ("raw alone", len(unfiltered), supervised(given, seed, "mean")),
        ]
    return pd.DataFrame(
        {"base": base, "data": data, "triplets": n, **marks(encoder)} for data, n, encoder in rows
    )


@ledger.measure(
    "09-table2-gain", "09-table2-raw", "09-table2-syncse", "09-table2-loss"
)
def measure_table2(seed):
    """Table 2 for one seed, with BERT."""
    table = table2(seed)
    ledger.keep_rows("09-table2-bert", seed, table)
    mark = table.set_index("data")
    average = mark["average"]
    return {
        "09-table2-gain": average["ART"] - average["none"],
        "09-table2-raw": average["ART"] - average["raw"],
        "09-table2-syncse": average["ART"] - average["raw alone"],
        "09-table2-loss": min(mark[test]["ART"] - mark[test]["none"] for test in TESTS),
    }


@ledger.measure("09-table2-roberta")
def measure_roberta(seed):
    """Table 2 for one seed, with RoBERTa on BERT's triplets: its gain."""
    return _other_base(seed, "RoBERTa", "09-table2-roberta")


@ledger.measure("09-table2-unsupervised")
def measure_unsupervised(seed):
    """Table 2 for one seed, with a base that has seen no label: its gain."""
    return _other_base(seed, "unsupervised BERT", "09-table2-unsupervised")


def _other_base(seed, base, name):
    table = table2(seed, base)
    ledger.keep_rows(name, seed, table)
    average = table.set_index("data")["average"]
    return average["ART"] - average["none"]


# ------------------------------------------------------------------ where tuning pays
def pays(seed) -> pd.DataFrame:
    """One answer of each kind for n anchors, by the untuned generator and by that of round 1.

    The untuned generator also writes from so many more anchors as PPO has asked: its last row has
    the budget of the tuned generator's last row with PPO's texts.

    Returns
    -------
    DataFrame
        See `_written_row`.
    """
    tuned, untuned = round_of(seed, 1).candidates, control_candidates(seed, rounds=1)
    asked = texts_a_round() - len(tuned)
    most = FEW[-1] + asked // 2
    wanted = [("tuned", n, True) for n in FEW] + [("raw", n, True) for n in (*FEW, most)]
    wanted += [("tuned", FEW[-1], False), ("raw", FEW[-1], False), ("raw", most, False)]
    return pd.DataFrame(
        _written_row(
            data, tuned if data == "tuned" else untuned, n, filtered, seed,
            asked if data == "tuned" else 0,
        )
        for data, n, filtered in wanted
    )  # fmt: skip


def _written_row(data, table, n, filtered, seed, asked=0) -> dict:
    """The first answers of each kind for n anchors, filtered or not, and the encoder that is
    trained on them for `STEPS` steps from the first one.

    Returns
    -------
    dict
        data, filter, anchors, texts (written), ppo (texts that PPO has asked for), triplets, right
        (percent of the triplets, by the oracle), and `sts`.
    """
    table = table[(table["candidate"] == 0) & table["row"].isin(table["row"].unique()[:n])]
    kept = art.select(table, filtered=filtered)
    size = min(settings().encoder_batch_size, len(kept))
    return {
        "data": data, "filter": filtered, "anchors": n, "texts": len(table), "ppo": asked,
        "triplets": len(kept), "right": 100 * _right(kept),
        **sts(fit(kept, seed, max_steps=STEPS, batch_size=size)),
    }  # fmt: skip


def weak(seed) -> pd.DataFrame:
    """`pays` for the T5 generator, which follows the two requests badly.

    Returns
    -------
    DataFrame
        `_written_row` for the tuned generator and, at its budget, the untuned one.
    """
    s = dataclasses.replace(settings(), generator="pocket/generator-t5", ppo_steps=WEAK_STEPS)
    encoder, asked = load(s.encoder), s.ppo_steps * s.ppo_batch_size
    anchors = corpora.premises(WEAK_ANCHORS + asked // 2, HELD_OUT_SEED + seed)
    mine, others = anchors[:WEAK_ANCHORS], anchors[WEAK_ANCHORS:]
    form = dict(max_new_tokens=s.max_new_tokens, seed=seed)
    way = dict(temperature=s.temperature, candidates=1, batch_size=128, **form)
    model = models.load_generator(s.generator, device="cpu")
    untuned = art.judge(art.write(model, anchors, **way), discriminator())
    policy = art.policy(model, s, seed=seed)
    bounds = art.choose_bounds(
        (policy.model, policy.tokenizer), others[:200], discriminator(), encoder, **form
    )
    art.tune(policy, others, discriminator(), encoder, bounds, s, seed=seed, progress=False)
    tuned = art.write((policy.model, policy.tokenizer), mine, **way)
    tuned = art.judge(tuned, discriminator())
    return pd.DataFrame([
        _written_row(data, table, n, filtered, seed, more)
        for filtered in (True, False)
        for data, table, n, more in (
            ("tuned", tuned, len(mine), asked), ("raw", untuned, len(mine), 0),
            ("raw", untuned, len(anchors), 0),
        )
    ])  # fmt: skip


def _right(rows):
    return np.mean([
        outcome(x, p, ASKED["positive"]) == outcome(x, n, ASKED["negative"]) == "right"
        for x, p, n in rows[["anchor", "positive", "negative"]].itertuples(index=False)
    ])  # fmt: skip


@ledger.measure("09-few-anchors", "09-no-filter", "09-budget")
def measure_pays(seed):
    """Where tuning pays beyond the filter, for one seed."""
    table = pays(seed)
    ledger.keep_rows("09-pays", seed, table)
    mark = table.set_index(["data", "filter", "anchors"])["average"]
    most = table["anchors"].max()
    return {
        "09-few-anchors": mark["tuned", True, FEW[0]] - mark["raw", True, FEW[0]],
        "09-no-filter": mark["tuned", False, FEW[-1]] - mark["raw", False, most],
        "09-budget": mark["tuned", True, FEW[-1]] - mark["raw", True, most],
    }


@ledger.measure("09-weak-generator")
def measure_weak(seed):
    """The same with a weak generator, for one seed."""
    table = weak(seed)
    ledger.keep_rows("09-weak", seed, table)
    mark = table[table["filter"]].set_index(["data", "anchors"])["average"]
    most = table["anchors"].max()
    return mark["tuned", WEAK_ANCHORS] - mark["raw", most]
