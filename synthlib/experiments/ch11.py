"""What chapter 11 measures: refined similarity, ListMLE, and what post-training does to an encoder.

Every function takes a seed, which draws the anchors, the sampling of the lists, the data and the
training of the base encoders and the order of the post-training. Two encoders of one seed differ
in nothing but what is compared, so their difference is paired. Lists, base encoders and
post-trained encoders are made once in a process. The sets that examine are the same for all seeds.

The teacher is the base encoder itself, as it was before, where nothing else is said: so nothing but
the lists' order is new to it. The paper's teacher is an unsupervised encoder about as good as its
bases; the pocket world's unsupervised encoder is far weaker than the strong ones.

Sizes are small: 200 anchors, lists of 1 + 16 sentences, base encoders from 1,500 premises.
"""

import copy
from functools import cache

import numpy as np
import pandas as pd

from synthlib import evaluation, ledger, losses, models, tiers, training
from synthlib.experiments import lab
from synthlib.methods import art, ranking
from synthlib.world import corpora

ANCHORS, STEPS, PREMISES = 200, 16, 1500
HOW = {
    "directional": dict(method="directional", lam=1.5, temperature=0.5),
    "step by step": dict(method="step", temperature=0.5),
    "whole list at once": dict(method="at_once", temperature=0.5),
    "λ = 0": dict(method="directional", lam=0.0, temperature=0.5),
    "greedy": dict(method="directional", lam=1.5, temperature=0.0),
}
TABLE1 = ("raw LLM data", "MultiCSR")  # SynCSE's setting, and MultiCSR
OTHERS = ("SimCSE", "masked LM", "prompt pooling")  # Tables 4 and 6
UNSUPERVISED, SUPERVISED = "pocket/simcse-unsup-bert", "pocket/simcse-sup-bert"
OMEGAS = (0.3, 0.5, 0.7, 0.9)
SHARES = (0.05, 0.1, 0.25, 0.5, 1.0)
OMEGA = 0.5
SCALE, RELEASED_SCALE = 1.0, 20.0  # cosines, as the paper writes; over τ, as its code has them
TRAINING = dict(learning_rate=2e-4, lists_per_step=2)


# ------------------------------------------------------------------ lists
@cache
def lists(seed, data="directional"):
    """The lists of a seed: distinct sentences in their order, four or more.

    The paper drops lists that end in a loop. Nearly all that are written without direction do, so
    here they are cut to their distinct sentences instead, by every method alike.

    Parameters
    ----------
    seed : int
    data : "shuffled", or a name of `HOW`
        How they were written (`HOW`); "shuffled" are the directional ones in random order.

    Returns
    -------
    list of lists of str
    """
    if data == "shuffled":
        return ranking.shuffle(lists(seed), seed)
    written = lab.written(seed, n=ANCHORS, steps=STEPS, **HOW[data])
    distinct = [list(dict.fromkeys(text for text in row if text.strip())) for row in written]
    return [row for row in distinct if len(row) >= 4]


@cache
def similarities(seed, data="directional", teacher="SimCSE", scale=SCALE):
    """The teacher's similarities of these lists; `teacher` is a base encoder's name, or that of an
    encoder that travels with the book."""
    known = teacher in (*TABLE1, *OTHERS)
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
    or "prompt pooling" (unsupervised SimCSE of a sentence's [MASK] in a template)."""
    return copy.deepcopy(_base(seed, name))


@cache
def post_trained(
    seed, name, data="directional", mode="full", omega=OMEGA, variant="paper",
    teacher=None, scale=SCALE, share=1.0, agreed=False, dev=False, **options,
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
        Of `ranking.targets`.
    share : float in (0, 1]
        Share of the lists that is used.
    agreed : bool
        Of these only the half that is most in order to the teacher's eyes.
    dev : bool
        Keep the weights that are best on the development sets.
    **options
        Of `training.post_train_ranking`, in place of `TRAINING`.

    Returns
    -------
    SentenceTransformer
    """
    rows, phi = lists(seed, data), similarities(seed, data, teacher or name, scale)
    chosen = np.random.default_rng(seed).permutation(len(rows))[: max(1, round(share * len(rows)))]
    if agreed:
        chosen = sorted(chosen, key=lambda i: misorder(phi[i]))[: len(chosen) // 2]
    wanted = ranking.targets([phi[i] for i in chosen], omega, mode=mode, variant=variant)
    return ranking.post_train(
        base(seed, name), [rows[i] for i in chosen], wanted, lab.settings(), seed=seed,
        dev=(lambda encode: _natural(encode, "dev")) if dev else None,
        **(dict(progress=False) | TRAINING | options),
    )  # fmt: skip


@cache
def _sts(split):
    return corpora.sts("natural", split, 2000)


def _natural(encode, split="test"):
    return float(evaluation.score_sts(encode, {"natural": _sts(split)})["all"].iloc[0])


@cache
def before(seed, name):
    """Spearman × 100 of a base encoder on the natural STS set."""
    return _natural(_base(seed, name).encode)


@cache
def after(seed, name, **how):
    """Spearman × 100 after post-training; `how` as in `post_trained`."""
    return _natural(post_trained(seed, name, **how).encode)


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


# ------------------------------------------------------------------ Tables 1, 3, 4, 6; Fig. 3
TABLE3 = {
    "full": {},
    "(a) whole list at once": dict(data="whole list at once"),
    "(b) step by step": dict(data="step by step"),
    "(c) shuffled lists": dict(data="shuffled"),
    "λ = 0": dict(data="λ = 0"),
    "(d) ranking information only": dict(mode="rank"),
    "(e) semantic information only": dict(mode="semantic"),
}


def table1(seed, names=(*OTHERS, *TABLE1)):
    """Tables 1, 4 and 6: every base before and after post-training.

    Returns
    -------
    DataFrame
        base, before, after, gain.
    """
    marks = [(name, before(seed, name), after(seed, name)) for name in names]
    table = pd.DataFrame(marks, columns=["base", "before", "after"])
    return table.assign(gain=table["after"] - table["before"])


@ledger.measure(
    "11-table1-weak", "11-table1-multicsr", "11-table4-unsupervised", "11-table6-bases"
)
def measure_bases(seed):
    """Tables 1, 4 and 6 for one seed."""
    table = table1(seed)
    ledger.keep_rows("11-bases", seed, table)
    gain = table.set_index("base")["gain"]
    return {
        "11-table1-weak": gain["raw LLM data"],
        "11-table1-multicsr": gain["MultiCSR"],
        "11-table4-unsupervised": gain["SimCSE"],
        "11-table6-bases": 100 * float((gain[list(OTHERS)] > 0).mean()),
    }


def table3(seed, name="MultiCSR"):
    """Table 3: the ablation for one base.

    Returns
    -------
    DataFrame
        base, row, lists (number), sentences (mean length of a list), misorder (of the teacher's
        similarities), spearman, gain.
    """
    return pd.DataFrame(
        {
            "base": name, "row": row, "lists": len(lists(seed, how.get("data", "directional"))),
            "sentences": np.mean([len(row) for row in lists(seed, how.get("data", "directional"))]),
            "misorder": np.mean([
                misorder(phi) for phi in similarities(seed, how.get("data", "directional"), name)
            ]),
            "spearman": after(seed, name, **how),
            "gain": after(seed, name, **how) - before(seed, name),
        }
        for row, how in TABLE3.items()
    )  # fmt: skip


@ledger.measure(
    "11-table3-a", "11-table3-b", "11-table3-c", "11-table3-d", "11-table3-e"
)
def measure_ablation(seed):
    """Table 3 for one seed: the claims on the paper's base, MultiCSR; SimCSE's rows beside."""
    table = pd.concat([table3(seed, name) for name in ("MultiCSR", "SimCSE")], ignore_index=True)
    ledger.keep_rows("11-table3", seed, table)
    mark = table[table["base"] == "MultiCSR"].set_index("row")["spearman"]
    return {
        f"11-table3-{row[1]}": mark["full"] - mark[row] for row in TABLE3 if row.startswith("(")
    }


@ledger.measure("11-fig3a-omega")
def measure_omega(seed):
    """Fig. 3a for one seed: the larger range of the two bases."""
    table = pd.DataFrame(
        {"base": name, "omega": omega, "spearman": after(seed, name, omega=omega),
         "before": before(seed, name)}
        for name in TABLE1
        for omega in OMEGAS
    )  # fmt: skip
    ledger.keep_rows("11-omega", seed, table)
    marks = table.groupby("base")["spearman"]
    return float((marks.max() - marks.min()).max())


@ledger.measure("11-fig3b-share")
def measure_share(seed):
    """Fig. 3b for one seed: the smaller gain of the two bases with a twentieth of the lists."""
    table = pd.DataFrame(
        {
            "base": name, "share": share, "lists": round(share * len(lists(seed))),
            "spearman": after(seed, name, share=share), "before": before(seed, name),
        }
        for name in TABLE1
        for share in SHARES
    )  # fmt: skip
    ledger.keep_rows("11-share", seed, table)
    few = table[table["share"] == SHARES[0]]
    return float((few["spearman"] - few["before"]).min())


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
    "greedy lists": dict(data="greedy"),
    "the half most in order": dict(agreed=True),
    "without itself in its ranking": dict(own=False),
    "a tenth of the learning rate": dict(learning_rate=TRAINING["learning_rate"] / 10),
    "four times τ": dict(tau=0.2),
    "best step on dev": dict(dev=True, eval_steps=20),
}


def tried(seed, names=("SimCSE", "MultiCSR")):
    """What was tried on a weak and on a strong base.

    Returns
    -------
    DataFrame
        base, row, spearman, gain (over the base encoder).
    """
    table = []
    for name in names:
        for row, how in TRIED.items():
            mark = after(seed, name, **how)
            table.append({
                "base": name, "row": row, "spearman": mark, "gain": mark - before(seed, name),
            })  # fmt: skip
    return pd.DataFrame(table)


@ledger.measure("11-adaptive-omega", "11-strong-base")
def measure_tried(seed):
    """Adaptive ω minus the fixed one (mean of the two bases), and what helps a strong base most."""
    table = tried(seed)
    ledger.keep_rows("11-tried", seed, table)
    mark = table.pivot(index="base", columns="row", values="spearman")
    gain = table[table["base"] == "MultiCSR"].set_index("row")["gain"]
    return {
        "11-adaptive-omega": float((mark["ω for each row"] - mark["as it is"]).mean()),
        "11-strong-base": float(gain.max()),
    }


# ------------------------------------------------------------------ the rows that need ART
# One round of ART makes the encoder: the generator is tuned by PPO against the supervised encoder,
# writes triplets from fresh anchors, the discriminator filters them, the encoder goes on from where
# it was. The post-training is that of all other rows.
ART_BASES = ("supervised SimCSE", "ART")
ART_STEPS, ART_ANCHORS, PROMPTED = 32, 600, 1200


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


def art_bases(seed, names=ART_BASES):
    """Both encoders before and after post-training on directional lists, themselves as teacher.

    Returns
    -------
    DataFrame
        base, before, after, gain: as `table1`.
    """
    rows = []
    for name in names:
        if name == "ART":
            encoder = round_one(seed)[0]
        else:
            encoder = lab.encoder(tiers.get("pocket").art.encoder)
        phi = ranking.teacher_similarities(encoder.encode, lists(seed), scale=SCALE)
        before = _natural(encoder.encode)
        trained = ranking.post_train(
            copy.deepcopy(encoder), lists(seed), ranking.targets(phi, OMEGA),
            lab.settings(), seed=seed, progress=False, **TRAINING,
        )  # fmt: skip
        rows.append((name, before, _natural(trained.encode)))
    table = pd.DataFrame(rows, columns=["base", "before", "after"])
    return table.assign(gain=table["after"] - table["before"])


@ledger.measure("11-table4-art")
def measure_art(seed):
    """ART's row of Tables 4 and 6 for one seed."""
    table = art_bases(seed)
    ledger.keep_rows("11-bases-art", seed, table.assign(**round_one(seed)[1]))
    return float(table.set_index("base")["gain"]["ART"])
