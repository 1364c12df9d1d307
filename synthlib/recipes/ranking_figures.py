"""Tables of the living figures of chapter 10: similarities within lists, and paths in a plane.

What a page shows it must carry, so numbers are rounded and lists of numbers share a cell. The
functions measure nothing new: lists, encoder and measures are those of `ranking_generation`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from synthlib import curation
from synthlib.evaluation.embedding import embed, unit_rows
from synthlib.recipes import ranking_generation as generation

FIRST = generation.FIRST
LAMBDAS = generation.LAMBDAS


def written(seed=0, n=48):
    """The lists of both figures, by decoding, method and λ (NaN where there is none).

    Returns
    -------
    dict of (decoding, method, lam) to n lists of str
        "in-batch" lists are not decoded and stand under "greedy" alone.
    """
    found = {("greedy", "in-batch", np.nan): generation.lists(seed, "in-batch", n=n)}
    for heat in generation.HEATS:
        for method in ("at_once", "step"):
            found[heat, method, np.nan] = generation.lists(seed, method, n=n, decoding=heat)
        for lam in LAMBDAS:
            # λ = 0.5 as the chapter calls it, so that no list is written twice.
            options = {} if lam == 0.5 else {"lam": lam}
            found[heat, "directional", lam] = generation.lists(
                seed, "directional", n=n, decoding=heat, **options
            )
    return found


def similarity_tables(found, shown=20, encode=None):
    """Similarities within each list, for the heatmaps of Fig. 1.

    Parameters
    ----------
    found : dict
        From `written`.
    shown : int
        So many lists of each kind come with their sentences.
    encode : callable, optional
        Default: `ranking_generation.judge`.

    Returns
    -------
    dict of str to DataFrame
        ``lists``, one row a list with 16 sentences: decoding, method, lam, list (from 1), kept
        (passes verification), anchor (cosines of the sentences 2 to 16 to the first, in
        thousandths), cosines (of the sentences i < j, row by row, in hundredths), texts (numbers
        of its sentences, empty beyond `shown`); ``texts``: text (its number), sentence.
        Lists with fewer sentences are left out.
    """
    vectors, row = embed(
        encode or generation.judge(),
        [s for lists in found.values() for one in lists for s in one[:FIRST]], batch_size=1024,
    )  # fmt: skip
    vectors = unit_rows(vectors)
    above, numbers, rows = np.triu_indices(FIRST, 1), {}, []
    for (heat, method, lam), lists in found.items():
        for place, one in enumerate(lists):
            if len(one) < FIRST:
                continue
            first = one[:FIRST]
            own = vectors[[row[s] for s in first]]
            cosine = own @ own.T
            named = first if place < shown else []
            asked = generation.asked_for(method)
            rows.append({
                "decoding": heat, "method": generation.METHODS[method], "lam": lam,
                "list": place + 1, "kept": curation.verify_ranking_list(one, steps=asked) is None,
                "anchor": packed(1000 * cosine[0, 1:]), "cosines": packed(100 * cosine[above]),
                "texts": packed([numbers.setdefault(s, len(numbers)) for s in named]),
            })  # fmt: skip
    texts = pd.DataFrame({"text": list(numbers.values()), "sentence": list(numbers)})
    return {"lists": pd.DataFrame(rows), "texts": texts}


def packed(numbers):
    """Whole numbers as one text, with a space between."""
    return " ".join(str(int(x)) for x in np.rint(np.asarray(numbers, dtype=float)))


def measured_similarity(matrices, methods):
    """The ledger's mean similarities, in the form of `similarity_tables`.

    Parameters
    ----------
    matrices, methods : DataFrame
        Rows "10-matrices" and "10-methods" of the ledger.

    Returns
    -------
    DataFrame
        decoding, method, which ("as written" or "kept"), lists (in the mean), order (mean of
        `ranking_generation.order`), cosines (of the sentences i < j, in thousandths).
    """
    names = ["decoding", "method", "which"]
    order = methods.groupby(["decoding", "method"])[["order", "order_kept"]].mean()
    rows = []
    for key, part in matrices[matrices["i"] < matrices["j"]].groupby(names, sort=False):
        mean = part.groupby(["i", "j"])["cosine"].mean()  # sorted: row by row
        column = "order_kept" if key[2] == "kept" else "order"
        rows.append({
            **dict(zip(names, key, strict=True)), "method": generation.METHODS[key[1]],
            "lists": int(part.groupby("seed")["lists"].first().sum()),
            "order": round(order.loc[key[:2], column], 3), "cosines": packed(1000 * mean),
        })  # fmt: skip
    return pd.DataFrame(rows)


def path_tables(found, anchors, encode=None):
    """Lists of some anchors as paths in a plane, for Fig. 2.

    The plane of an anchor is that of the two directions in which the sentences of all its lists
    vary most; its origin is the anchor.

    Parameters
    ----------
    found : dict
        From `written`; what is drawn from a batch is left out.
    anchors : sequence of int
        Places of the lists that are shown, from 0.
    encode : callable, optional

    Returns
    -------
    dict of str to DataFrame
        ``paths``, one row a sentence: anchor (number of the list, from 1), decoding, method, lam,
        place (from 1), x, y, cosine (to the anchor), sentence; ``anchors``: anchor, share (of the
        variance that lies in the plane, percent), sentence; ``ways``: anchor, decoding, method,
        lam, straightness (`ranking_generation.straightness` in the whole space, NaN for a list
        with few moves).
    """
    kept = {key: lists for key, lists in found.items() if key[1] in ("step", "directional")}
    paths, about, ways = [], [], []
    for anchor in anchors:
        said = {key: lists[anchor][:FIRST] for key, lists in kept.items()}
        vectors, row = embed(
            encode or generation.judge(), [s for one in said.values() for s in one]
        )
        vectors = unit_rows(vectors)
        every = vectors[[row[s] for one in said.values() for s in one]]
        start = vectors[row[said[next(iter(said))][0]]]
        plane = np.linalg.svd(every - every.mean(0), full_matrices=False)[2][:2]
        share = np.var((every - start) @ plane.T, axis=0).sum() / np.var(every, axis=0).sum()
        for key, one in said.items():
            own = vectors[[row[s] for s in one]]
            name = {"anchor": anchor + 1, "decoding": key[0],
                    "method": generation.METHODS[key[1]], "lam": key[2]}  # fmt: skip
            flat = ((own - start) @ plane.T).round(4)
            for i, (point, cosine) in enumerate(zip(flat, own @ start, strict=True)):
                paths.append({
                    **name, "place": i + 1, "x": point[0], "y": point[1],
                    "cosine": round(float(cosine), 3), "sentence": one[i],
                })  # fmt: skip
            ways.append(name | {"straightness": round(generation.straightness(own), 3)})
        about.append({"anchor": anchor + 1, "share": round(100 * float(share), 1),
                      "sentence": one[0]})  # fmt: skip
    return {name: pd.DataFrame(rows) for name, rows in
            (("paths", paths), ("anchors", about), ("ways", ways))}  # fmt: skip
