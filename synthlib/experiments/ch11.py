"""What chapter 11 measures: refined similarity, ListMLE, and what post-training does to an encoder.

Every function takes a seed, which draws the anchors, the sampling of the lists, the data and the
training of the base encoders and the order of the post-training. Two encoders of one seed differ
in nothing but what is compared, so their difference is paired. Lists, base encoders and
post-trained encoders are made once in a process. The sets that examine are the same for all seeds.

The teacher is the base encoder itself, as it was before, where nothing else is said: so nothing but
the lists' order is new to it. The paper's teacher is an unsupervised encoder about as good as its
bases; the pocket world's unsupervised encoder is far weaker than the strong ones.

The lists are the paper's: λ = 0.5, greedy, verified. What is compared with them has as many lists.
Every encoder is examined on natural and on hard pairs; a claim is about the natural ones where it
does not say otherwise.

Sizes are small: 400 anchors, lists of 1 + 16 sentences, base encoders from 1,500 premises.
"""

import copy
from functools import cache

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from synthlib import evaluation, ledger, losses, models, tiers, training
from synthlib.experiments import lab
from synthlib.methods import art, ranking
from synthlib.world import corpora, oracle

ANCHORS, STEPS, PREMISES = 400, 16, 1500
# Greedy lists without direction all end in a loop, so they are sampled, and directional ones too.
HOW = {
    "directional": dict(method="directional", lam=0.5, temperature=0.0),
    "sampled": dict(method="directional", lam=0.5, temperature=0.5),
    "step by step": dict(method="step", temperature=0.5),
    "whole list at once": dict(method="at_once", temperature=0.5),
    "λ = 0": dict(method="directional", lam=0.0, temperature=0.5),
    "λ = 1.5": dict(method="directional", lam=1.5, temperature=0.5),
}
SETS = ("natural", "hard")
TABLE1 = ("raw LLM data", "MultiCSR")  # SynCSE's setting, and MultiCSR
OTHERS = ("SimCSE", "masked LM", "prompt pooling")  # Tables 4 and 6
LABELLED = "supervised SimCSE"  # that ART begins with
UNSUPERVISED, SUPERVISED = "pocket/simcse-unsup-bert", "pocket/simcse-sup-bert"
OMEGAS = (0.3, 0.5, 0.7, 0.9)
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
OMEGA = 0.5
SCALE, RELEASED_SCALE = 1.0, 20.0  # cosines, as the paper writes; over τ, as its code has them
TRAINING = dict(learning_rate=2e-4, lists_per_step=2)


# ------------------------------------------------------------------ lists
@cache
def written(seed, data):
    """The lists of a seed as they were written (`HOW`), before verification."""
    return lab.written(seed, n=ANCHORS, steps=STEPS, **HOW[data])


@cache
def readable(sentence):
    """Whether the oracle can read a sentence."""
    return oracle.similarity(sentence, sentence) is not None


@cache
def lists(seed, data="directional"):
    """The lists of a seed that pass the paper's verification, as many of each kind.

    Parameters
    ----------
    seed : int
    data : str
        How they were written, a name of `HOW`; "shuffled" are the directional ones in random
        order; "λ = 1.5, readable" leaves out those in which the oracle cannot read a sentence.
        Of lists written at once nearly none is complete: they are cut to their distinct
        sentences, four or more.

    Returns
    -------
    list of lists of str
        No more than the directional ones that pass.
    """
    if data == "shuffled":
        return ranking.shuffle(lists(seed), seed)
    name, _, only = data.partition(", ")
    if name == "whole list at once":
        kept = [list(dict.fromkeys(t for t in row if t.strip())) for row in written(seed, name)]
        kept = [row for row in kept if len(row) >= 4]
    else:
        kept = ranking.verify(written(seed, name), STEPS)[0]
    if only:
        kept = [row for row in kept if all(map(readable, row))]
    return kept if data == "directional" else kept[: len(lists(seed))]


@cache
def gold(seed):
    """The oracle's own similarities of the directional lists, from 0 to 5.

    Returns
    -------
    list of float arrays [n, n], or None
        None for a list with a sentence that the oracle cannot read, or whose similarities are all
        alike.
    """
    known = cache(oracle.similarity)
    found = []
    for row in lists(seed):
        phi = None
        if all(map(readable, row)):
            phi = np.array([[known(a, b) for b in row] for a in row], dtype=np.float32)
        found.append(None if phi is None or len(set(phi[0, 1:])) < 2 else phi)
    return found


def knowledge(seed, similarities_of=None):
    """How well a list is ordered: Spearman with the oracle, from the anchor, mean over the lists.

    Parameters
    ----------
    seed : int
    similarities_of : list of arrays [n, n], optional
        An encoder's, of the directional lists. Default: the order in which they were written.

    Returns
    -------
    float
        From −1 to 1; lists without gold similarities are left out.
    """
    marks = []
    for i, wanted in enumerate(gold(seed)):
        if wanted is not None:
            own = -np.arange(len(wanted)) if similarities_of is None else similarities_of[i][0]
            marks.append(spearmanr(own[1:], wanted[0, 1:]).statistic)
    return float(np.nanmean(marks))


@cache
def similarities(seed, data="directional", teacher="SimCSE", scale=SCALE):
    """The teacher's similarities of these lists; `teacher` is a base encoder's name, or that of an
    encoder that travels with the book."""
    known = teacher in (*TABLE1, *OTHERS, LABELLED, "ART")
    encode = (_base(seed, teacher) if known else lab.encoder(teacher)).encode
    return ranking.teacher_similarities(encode, lists(seed, data), scale=scale)


def misorder(phi):
    """Share of pairs that stand the wrong way: j < k, but sentence k is more similar to i < j.

    Parameters
    ----------
    phi : float array or tensor [n, n], n ≥ 3

    Returns
    -------
    float
        0 for a list in order, about ½ where similarities know nothing of the order.
    """
    phi = np.asarray(phi)
    wrong = pairs = 0
    for i in range(len(phi) - 2):
        row = phi[i, i + 1 :]
        wrong += np.triu(row[:, None] < row[None, :], 1).sum()
        pairs += len(row) * (len(row) - 1) // 2
    return wrong / pairs


# ------------------------------------------------------------------ base encoders and training
@cache
def _base(seed, name):
    if name in ("SimCSE", *TABLE1):
        return lab.base(seed, name, premises=PREMISES)
    if name == LABELLED:
        return lab.encoder(SUPERVISED)
    if name == "ART":
        return round_one(seed)[0]
    own = tiers.get("pocket").simcse_unsupervised
    if name == "masked LM":
        return models.load_encoder(own.encoder, pooling="mean", device="cpu")
    encoder = models.load_encoder(own.encoder, pooling="prompt", device="cpu")
    return training.train_unsupervised_simcse(
        encoder, corpora.premises(4000, seed), batch_size=64, max_steps=200, projection=None,
        learning_rate=own.learning_rate, seed=seed, progress=False,
    )  # fmt: skip


def base(seed, name):
    """A copy of a base encoder: "SimCSE", "raw LLM data", "MultiCSR", "masked LM" (mean-pooled),
    "prompt pooling" (unsupervised SimCSE of a sentence's [MASK] in a template), "supervised
    SimCSE", or "ART" (what one small round makes of it)."""
    return copy.deepcopy(_base(seed, name))


@cache
def post_trained(
    seed, name, data="directional", mode="full", omega=OMEGA, variant="paper",
    teacher=None, scale=SCALE, share=1.0, dev=False, **options,
):  # fmt: skip
    """A base encoder after post-training.

    Parameters
    ----------
    seed : int
    name : str
        Of `base`.
    data, teacher, scale
        Of `similarities`; the teacher is the base itself by default.
    mode, omega, variant
        Of `ranking.targets`; mode "gold" takes the oracle's similarities for targets.
    share : float in (0, 1]
        Share of the lists that is used.
    dev : bool
        Keep the weights that are best on the development sets.
    **options
        Of `training.post_train_ranking`, in place of `TRAINING`.

    Returns
    -------
    SentenceTransformer
    """
    rows = lists(seed, data)
    if mode == "gold":
        known = [(row, phi) for row, phi in zip(rows, gold(seed), strict=True) if phi is not None]
        rows, wanted = map(list, zip(*known, strict=True))
    else:
        phi = similarities(seed, data, teacher or name, scale)
        wanted = ranking.targets(phi, omega, mode=mode, variant=variant)
    chosen = np.random.default_rng(seed).permutation(len(rows))[: max(1, round(share * len(rows)))]
    return ranking.post_train(
        base(seed, name), [rows[i] for i in chosen], [wanted[i] for i in chosen], lab.settings(),
        seed=seed, dev=(lambda encode: mark(encode, "natural", "dev")) if dev else None,
        **(dict(progress=False) | TRAINING | options),
    )  # fmt: skip


@cache
def _sts(kind, split):
    return corpora.sts(kind, split, 2000)


def mark(encode, kind="natural", split="test"):
    """Spearman × 100 of an encoder on natural or hard pairs."""
    return float(evaluation.score_sts(encode, {kind: _sts(kind, split)})["all"].iloc[0])


@cache
def before(seed, name, kind="natural"):
    """Spearman × 100 of a base encoder on natural or hard pairs."""
    return mark(_base(seed, name).encode, kind)


@cache
def after(seed, name, kind="natural", **how):
    """Spearman × 100 after post-training; `how` as in `post_trained`."""
    return mark(post_trained(seed, name, **how).encode, kind)


def gain(seed, name, kind="natural", **how):
    """Points that post-training adds."""
    return after(seed, name, kind, **how) - before(seed, name, kind)


def gains(seed, names, rows):
    """Bases before and after post-training, on both sets.

    Parameters
    ----------
    seed : int
    names : sequence of str
        Of `base`.
    rows : dict
        Row's name to what `post_trained` takes.

    Returns
    -------
    DataFrame
        base, row, set, before, after, gain.
    """
    return pd.DataFrame(
        {
            "base": name, "row": row, "set": kind, "before": before(seed, name, kind),
            "after": after(seed, name, kind, **how), "gain": gain(seed, name, kind, **how),
        }
        for name in names
        for row, how in rows.items()
        for kind in SETS
    )  # fmt: skip


def _natural(table, row=None):
    """Gain on natural pairs, by base; by row where a base is given by `row`."""
    table = table[table["set"] == "natural"]
    if row is not None:
        return table[table["base"] == row].set_index("row")["gain"]
    return table.set_index("base")["gain"]


# ------------------------------------------------------------------ Algorithm 1
def readings(seed, scales=(SCALE, RELEASED_SCALE)):
    """The three readings of Algorithm 1 on the directional lists.

    Returns
    -------
    DataFrame
        variant, scale, lists, displaced (share of the entries above the diagonal that Eqs. 6 and 7
        move), wrong (share of these whose change has another sign, or none), misorder before and
        after.
    """
    table = []
    for scale in scales:
        lists_of = similarities(seed, scale=scale)
        right = [losses.refine_similarity(phi, OMEGA).numpy() - phi for phi in lists_of]
        moved = [np.triu(change != 0) for change in right]
        for variant in losses.REFINEMENTS:
            refined = ranking.targets(lists_of, OMEGA, variant=variant)
            wrong = [
                (np.sign(new - phi) != np.sign(change))[places]
                for new, phi, change, places in zip(refined, lists_of, right, moved, strict=True)
            ]
            table.append({
                "variant": variant, "scale": scale, "lists": len(lists_of),
                "displaced": sum(places.sum() for places in moved)
                / sum(len(phi) * (len(phi) - 1) / 2 for phi in lists_of),
                "wrong": np.concatenate(wrong).mean(),
                "misorder before": np.mean([misorder(phi) for phi in lists_of]),
                "misorder after": np.mean([misorder(new) for new in refined]),
            })  # fmt: skip
    return pd.DataFrame(table)


def order_by_omega(
    seed, omegas=(0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0), scales=(SCALE, RELEASED_SCALE)
):
    """How much of the list's order reaches the targets: misorder after refinement, by ω."""
    return pd.DataFrame(
        {
            "omega": omega, "scale": scale,
            "misorder": np.mean([
                misorder(new) for new in ranking.targets(similarities(seed, scale=scale), omega)
            ]),
        }
        for scale in scales
        for omega in omegas
    )  # fmt: skip


@ledger.measure("11-algorithm1", "11-algorithm1-released", "11-algorithm1-order")  # fmt: skip
def measure_readings(seed):
    """The readings of Algorithm 1 for one seed: shares in percent."""
    table = readings(seed)
    ledger.keep_rows("11-algorithm1", seed, table)
    ledger.keep_rows("11-order", seed, order_by_omega(seed))
    found = 100 * table[table["scale"] == SCALE].set_index("variant")[["wrong", "misorder after"]]
    return {
        "11-algorithm1": found["wrong"]["printed"],
        "11-algorithm1-released": found["wrong"]["released"],
        "11-algorithm1-order": found["misorder after"]["printed"]
        - found["misorder after"]["paper"],
    }


# ------------------------------------------------------------------ the lists
def kept(seed):
    """What becomes of the lists of each kind.

    Returns
    -------
    DataFrame
        lists (how written), written, kept, sentences and distinct (mean of those kept), broken
        (share of those kept in which the oracle cannot read a sentence), order (`knowledge`'s
        Spearman from the anchor, with the oracle, mean of the readable ones).
    """
    table = []
    for data in HOW:
        if data == "whole list at once":
            passed = lists(seed, data)
        else:
            passed = ranking.verify(written(seed, data), STEPS)[0]
        marks = [
            spearmanr(-np.arange(len(row) - 1), wanted).statistic
            for row in passed
            if all(map(readable, row))
            for wanted in [[oracle.similarity(row[0], text) for text in row[1:]]]
            if len(set(wanted)) > 1
        ]
        table.append({
            "lists": data, "written": len(written(seed, data)),
            "kept": len(ranking.verify(written(seed, data), STEPS)[0]),
            "sentences": np.mean([len(row) for row in passed]),
            "distinct": np.mean([len(set(row)) for row in passed]),
            "broken": np.mean([not all(map(readable, row)) for row in passed]),
            "order": np.mean(marks),
        })  # fmt: skip
    return pd.DataFrame(table)


# ------------------------------------------------------------------ Tables 1, 3, 4, 6; Fig. 3
TABLE3 = {
    "full": {},
    "(c) shuffled lists": dict(data="shuffled"),
    "(d) ranking information only": dict(mode="rank"),
    "(e) semantic information only": dict(mode="semantic"),
    "full, sampled": dict(data="sampled"),
    "(a) whole list at once": dict(data="whole list at once"),
    "(b) step by step": dict(data="step by step"),
    "λ = 0": dict(data="λ = 0"),
    "λ = 1.5": dict(data="λ = 1.5"),
    "λ = 1.5, readable": dict(data="λ = 1.5, readable"),
}
SAMPLED = ("(a) whole list at once", "(b) step by step")  # compared with "full, sampled"


@ledger.measure(
    "11-table1-weak", "11-table1-multicsr", "11-table4-unsupervised", "11-table6-bases",
    "11-hard-unsupervised", "11-hard-multicsr",
)  # fmt: skip
def measure_bases(seed):
    """Tables 1, 4 and 6 for one seed."""
    table = gains(seed, (*OTHERS, *TABLE1), {"full": {}})
    ledger.keep_rows("11-bases", seed, table)
    ledger.keep_rows("11-lists", seed, kept(seed))
    natural = _natural(table)
    hard = table[table["set"] == "hard"].set_index("base")["gain"]
    return {
        "11-table1-weak": natural["raw LLM data"],
        "11-table1-multicsr": natural["MultiCSR"],
        "11-table4-unsupervised": natural["SimCSE"],
        "11-table6-bases": 100 * float((natural[list(OTHERS)] > 0).mean()),
        "11-hard-unsupervised": hard["SimCSE"],
        "11-hard-multicsr": hard["MultiCSR"],
    }


@ledger.measure("11-table3-a", "11-table3-b", "11-table3-c", "11-table3-d", "11-table3-e")
def measure_ablation(seed):
    """Table 3 for one seed: the claims on the paper's base, MultiCSR; SimCSE's rows beside."""
    table = gains(seed, ("MultiCSR", "SimCSE"), TABLE3)
    ledger.keep_rows("11-table3", seed, table)
    gained = _natural(table, "MultiCSR")
    rival = {row: "full, sampled" if row in SAMPLED else "full" for row in TABLE3}
    return {
        f"11-table3-{row[1]}": gained[rival[row]] - gained[row]
        for row in TABLE3 if row.startswith("(")
    }  # fmt: skip


@ledger.measure("11-fig3a-omega")
def measure_omega(seed):
    """Fig. 3a for one seed: the larger range of the two bases."""
    rows = {f"{omega:g}": dict(omega=omega) for omega in OMEGAS}
    table = gains(seed, (*TABLE1, "SimCSE"), rows).rename(columns={"row": "omega"})
    ledger.keep_rows("11-omega", seed, table)
    marks = table.query("set == 'natural' and base != 'SimCSE'").groupby("base")["after"]
    return float((marks.max() - marks.min()).max())


@ledger.measure("11-fig3b-share")
def measure_share(seed):
    """Fig. 3b for one seed: the smaller gain of the two bases with a twentieth of the lists."""
    rows = {f"{share:g}": dict(share=share) for share in SHARES}
    table = gains(seed, (*TABLE1, "SimCSE"), rows).rename(columns={"row": "share"})
    ledger.keep_rows("11-share", seed, table)
    few = table.query("set == 'natural' and base != 'SimCSE'")
    return float(few[few["share"] == f"{SHARES[0]:g}"]["gain"].min())


# ------------------------------------------------------------------ the open question
# What might help a strong base: each row changes one thing.
TRIED = {
    "as it is": {},
    "ω for each row": dict(omega="adaptive"),
    "cosines / 0.05": dict(scale=RELEASED_SCALE),
    "as printed": dict(variant="printed"),
    "as released": dict(variant="released", scale=RELEASED_SCALE),
    "teacher: unsupervised": dict(teacher=UNSUPERVISED),
    "teacher: supervised": dict(teacher=SUPERVISED),
    "without itself in its ranking": dict(own=False),
    "a tenth of the learning rate": dict(learning_rate=TRAINING["learning_rate"] / 10),
    "four times τ": dict(tau=0.2),
    "best step on dev": dict(dev=True, eval_steps=20),
}
# Targets that know everything: the oracle's own similarities of the same sentences.
GOLD = {
    "gold": dict(mode="gold"),
    "gold, a tenth of the learning rate": dict(
        mode="gold", learning_rate=TRAINING["learning_rate"] / 10
    ),
    "gold, four times τ": dict(mode="gold", tau=0.2),
    "gold, four times τ, a tenth of the learning rate": dict(
        mode="gold", tau=0.2, learning_rate=TRAINING["learning_rate"] / 10
    ),
}


@ledger.measure("11-adaptive-omega", "11-strong-base")
def measure_tried(seed):
    """Adaptive ω minus the fixed one (mean of the two bases), and what helps a strong base most."""
    table = gains(seed, ("SimCSE", "MultiCSR"), TRIED)
    ledger.keep_rows("11-tried", seed, table)
    weak, strong = (_natural(table, name) for name in ("SimCSE", "MultiCSR"))
    fixed, own = "as it is", "ω for each row"
    return {
        "11-adaptive-omega": float(weak[own] - weak[fixed] + strong[own] - strong[fixed]) / 2,
        "11-strong-base": float(strong.max()),
    }


@ledger.measure("11-gold-weak", "11-gold-strong", "11-who-knows")
def measure_gold(seed):
    """Who knows more, the list or the base; and what perfect targets would be worth."""
    names = ("SimCSE", "MultiCSR", LABELLED)
    own = {"as it is": {}, "a tenth of the learning rate": TRIED["a tenth of the learning rate"]}
    table = gains(seed, names, own | GOLD)
    ledger.keep_rows("11-gold", seed, table)
    order = knowledge(seed)
    who = pd.DataFrame(
        {
            "base": name, "list": order,
            "base's order": knowledge(seed, similarities(seed, teacher=name)),
            **{f"gain, {kind}": gain(seed, name, kind) for kind in SETS},
        }
        for name in (*OTHERS, *TABLE1, LABELLED)
    )  # fmt: skip
    ledger.keep_rows("11-who", seed, who)
    return {
        "11-gold-weak": _natural(table, "SimCSE")["gold"],
        "11-gold-strong": _natural(table, "MultiCSR")["gold"],
        "11-who-knows": spearmanr(
            who["list"] - who["base's order"], who["gain, natural"]
        ).statistic,
    }


# An order learnt, or two thousand comparisons? Lists of other anchors tell the two apart.
UNSEEN = {
    "as it is": {},
    "gold": dict(mode="gold"),
    "gold, a tenth of the learning rate": GOLD["gold, a tenth of the learning rate"],
}


@ledger.measure("11-unseen-weak", "11-unseen-strong")
def measure_unseen(seed):
    """Whether the order of lists from other anchors is better known after the post-training."""
    other, table = seed + 100, []

    def known(encoder):
        return knowledge(other, ranking.teacher_similarities(encoder.encode, lists(other)))

    for name in ("SimCSE", "MultiCSR", LABELLED):
        start = known(_base(seed, name))
        for row, how in UNSEEN.items():
            end = known(post_trained(seed, name, **how))
            table.append({"base": name, "row": row, "before": start, "after": end})
    table = pd.DataFrame(table).assign(gain=lambda d: d["after"] - d["before"])
    ledger.keep_rows("11-unseen", seed, table)
    gold_gain = table[table["row"] == "gold"].set_index("base")["gain"]
    return {
        "11-unseen-weak": gold_gain["SimCSE"], "11-unseen-strong": gold_gain["MultiCSR"],
    }  # fmt: skip


# ------------------------------------------------------------------ the rows that need ART
# One round of ART makes the encoder: the generator is tuned by PPO against the supervised encoder,
# writes triplets from fresh anchors, the discriminator filters them, the encoder goes on from where
# it was. The post-training is that of all other rows.
ART_STEPS, ART_ANCHORS, PROMPTED = 32, 600, 1200
ART_BASES = (LABELLED, "ART")


@cache
def round_one(seed, steps=ART_STEPS, anchors=ART_ANCHORS):
    """One small round of ART: 32 steps of 64 answers, 600 anchors, three candidates of each kind.

    Parameters
    ----------
    seed : int
        Of all that is drawn: anchors, sampling, the adapter, the order of training.
    steps, anchors : int

    Returns
    -------
    encoder : SentenceTransformer
    counts : dict
        steps (taken), reward of the first and the last five steps, triplets.
    """
    own = tiers.get("pocket").art
    generator = models.load_generator(own.generator, device="cpu")
    discriminator = models.load_nli(own.discriminator, device="cpu")
    encoder = models.load_encoder(own.encoder, device="cpu")
    fresh = list(dict.fromkeys(corpora.premises(2 * (PROMPTED + anchors), 90_000 + seed)))
    prompted, unseen = fresh[:PROMPTED], fresh[PROMPTED : PROMPTED + anchors]
    triplets, log = art.one_round(
        art.policy(generator, own, seed=seed), discriminator, encoder, prompted, unseen, own,
        seed=seed, encoder_seed=seed, generation_batch=256, steps=steps, batch_size=64,
        mini_batch_size=16, progress=False,
    )  # fmt: skip
    earned = [entry["reward"] for entry in log]
    return encoder, {
        "steps": len(log), "reward first": float(np.mean(earned[:5])),
        "reward last": float(np.mean(earned[-5:])), "triplets": len(triplets),
    }  # fmt: skip


@ledger.measure("11-table4-art")
def measure_art(seed):
    """ART's row of Tables 4 and 6 for one seed; beside it the encoder that it began with."""
    table = gains(seed, ART_BASES, {"full": {}})
    ledger.keep_rows("11-bases-art", seed, table.assign(**round_one(seed)[1]))
    return float(_natural(table)["ART"])
