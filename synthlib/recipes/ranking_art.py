"""Rows of chapter 11's Tables 4 and 6 that need ART: its encoder, and the one that it starts from.

One round of ART makes the encoder: the generator is tuned by PPO against the supervised encoder,
writes triplets from fresh anchors, the discriminator filters them, the encoder goes on from where
it was. The ranking post-training is that of all other rows (`ranking_posttraining`).
"""

import copy
from functools import cache

import numpy as np
import pandas as pd

from synthlib import ledger, models
from synthlib.recipes import art, ranking, ranking_corpus
from synthlib.recipes import ranking_posttraining as post
from synthlib.world import corpora

BASES = ("supervised SimCSE", "ART")
STEPS, ANCHORS, PROMPTED, PROBES = 32, 600, 1200, 200
_USES = (*post._USES, "synthlib/recipes/ranking_art.py", "synthlib/recipes/art.py",
         "synthlib/rewards.py", "synthlib/ppo.py", "data/pocket/nli")  # fmt: skip


@cache
def round_one(seed, steps=STEPS, anchors=ANCHORS):
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
    own = art.settings("pocket")
    generator = models.load_generator(own.generator, device="cpu")
    discriminator = models.load_nli(own.discriminator, device="cpu")
    encoder = models.load_encoder(own.encoder, device="cpu")
    fresh = list(dict.fromkeys(corpora.premises(2 * (PROMPTED + anchors), 90_000 + seed)))
    prompted, unseen = fresh[:PROMPTED], fresh[PROMPTED : PROMPTED + anchors]
    policy = art.policy(generator, own, seed=seed)
    bounds = art.choose_bounds(
        (policy.model, policy.tokenizer), prompted[:PROBES], discriminator, encoder.encode,
        max_new_tokens=own.max_new_tokens, seed=seed,
    )  # fmt: skip
    log = art.tune(
        policy, prompted, discriminator, encoder.encode, bounds, own, steps=steps, seed=seed,
        batch_size=64, mini_batch_size=16, progress=False,
    )  # fmt: skip
    table = art.write(
        (policy.model, policy.tokenizer), unseen, temperature=own.temperature, seed=seed,
        max_new_tokens=own.max_new_tokens, batch_size=256,
    )  # fmt: skip
    triplets = art.select(art.judge(table, discriminator))
    art.train(encoder, triplets, own, seed=seed, progress=False)
    earned = [entry["reward"] for entry in log]
    return encoder, {
        "steps": len(log), "reward first": float(np.mean(earned[:5])),
        "reward last": float(np.mean(earned[-5:])), "triplets": len(triplets),
    }  # fmt: skip


def _base(seed, name):
    if name == "ART":
        return round_one(seed)[0]
    return ranking_corpus.encoder(art.settings("pocket").encoder)


def bases(seed, names=BASES):
    """Both encoders before and after post-training on directional lists, themselves as teacher.

    Returns
    -------
    DataFrame
        base, before, after, gain: as `ranking_posttraining.table1`.
    """
    rows = []
    for name in names:
        encoder = _base(seed, name)
        phi = ranking.teacher_similarities(encoder.encode, post.lists(seed), scale=post.SCALE)
        before = post._natural(encoder.encode)
        trained = ranking.post_train(
            copy.deepcopy(encoder), post.lists(seed), ranking.targets(phi, post.OMEGA),
            ranking_corpus.settings(), seed=seed, progress=False, **post.TRAINING,
        )  # fmt: skip
        rows.append((name, before, post._natural(trained.encode)))
    table = pd.DataFrame(rows, columns=["base", "before", "after"])
    return table.assign(gain=table["after"] - table["before"])


@ledger.measure("11-table4-art", uses=_USES)
def measure_art(seed):
    """ART's row of Tables 4 and 6 for one seed."""
    table = bases(seed)
    ledger.keep_rows("11-bases-art", seed, table.assign(**round_one(seed)[1]))
    return float(table.set_index("base")["gain"]["ART"])
