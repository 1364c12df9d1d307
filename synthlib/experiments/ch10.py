"""What chapter 10 measures: whether lists written with direction move away from their anchor.

A set of lists becomes one table with a sentence a row (`describe`), a few numbers (`summary`) and
a matrix of similarities (`mean_similarity`, Fig. 1). Similarities are those of an encoder that was
no teacher, or the oracle's; both only judge. Copies, repetitions and malformed sentences are
counted apart, and nothing is left out silently: what a number leaves out, its name or text says.
"""

from __future__ import annotations

from functools import cache, lru_cache
from random import Random

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from synthlib import curation, ledger, models, tiers
from synthlib.evaluation.embedding import embed, unit_rows
from synthlib.methods import ranking
from synthlib.world import corpora, oracle

LLAMA, T5 = "pocket/generator-llama", "pocket/generator-t5"
JUDGE = "pocket/simcse-sup-roberta"  # supervised, of another kind than the teachers
FIRST = 16  # sentences of a list in Fig. 1
ASKED = 15  # sentences of a whole list: the longest that the generator was taught to write
MOVES = 8  # of a path whose straightness is measured
LAMBDAS = (0.0, 0.5, 1.0, 1.5)
HEATS = {"greedy": 0.0, "sampled": 0.5}  # decoding: temperature
METHODS = {
    "in-batch": "drawn from a batch",
    "at_once": "whole list at once",
    "step": "step by step",
    "directional": "directional",
}


# ------------------------------------------------------------------ lists
@cache
def judge():
    """The encoder that judges, as a function from n strings to an (n, d) array."""
    return models.load_encoder(JUDGE, device="cpu").encode


@lru_cache(maxsize=4)
def anchors(seed, n):
    """n varied captions, as the pocket tier draws them."""
    return tuple(ranking.anchors(tiers.get("pocket").ranking, n, seed))


@lru_cache(maxsize=64)
def lists(seed, method="directional", *, n=300, lam=0.5, decoding="greedy", generator=LLAMA):
    """Lists as they were written, from the same anchors for every method.

    Parameters
    ----------
    seed : int
        Of the anchors and of sampling.
    method : str
        One of `METHODS`. "in-batch" draws an anchor and 15 other captions (Fig. 1 a).
    n : int
    lam : float
        λ of the directional method.
    decoding : "greedy" or "sampled"
        At temperature 0.5.
    generator : str

    Returns
    -------
    tuple of n lists of str
        The anchor and as many sentences as `asked_for` says, or fewer.

    Source: ranking sentences, § 3.1, Fig. 1, Appendix A.
    """
    start, settings = anchors(seed, n), tiers.get("pocket").ranking
    if method == "in-batch":
        rng, pool = Random(f"in-batch {seed}"), corpora.premises(4000, seed)
        return tuple([anchor, *rng.sample(pool, FIRST - 1)] for anchor in start)
    model = models.load_generator(generator, device="cpu")
    options = dict(temperature=HEATS[decoding], steps=asked_for(method), batch_size=128)
    return tuple(
        ranking.write(
            model, start, method, lam=lam, seed=seed, max_new_tokens=settings.max_new_tokens,
            **options,
        )
    )  # fmt: skip


def asked_for(method):
    """Sentences after the anchor that a method of `METHODS` is asked for."""
    return tiers.get("pocket").ranking.steps if method in ("step", "directional") else ASKED


PASSED = ("kept", "kept, with a sentence twice")


def verification(lists, steps):
    """What becomes of each list: one of `PASSED`, or the reason why it is dropped.

    Parameters
    ----------
    lists : sequence of lists of str
    steps : int

    Returns
    -------
    list of str
    """

    def verdict(one):
        strict = curation.verify_ranking_list(one, steps=steps, distinct=True)
        return {None: PASSED[0], "duplicates": PASSED[1]}.get(strict, strict)

    return [verdict(one) for one in lists]


# ------------------------------------------------------------------ one sentence a row
def describe(lists, encode=None, *, oracle_too=True):
    """Every sentence of some lists with what is said about it.

    Parameters
    ----------
    lists : sequence of lists of str
    encode : callable, optional
        n strings to an (n, d) array; default `judge`.
    oracle_too : bool
        Ask the oracle as well (pocket sentences only).

    Returns
    -------
    DataFrame
        list, position (0 is the anchor), sentence, cosine (to the anchor), words, copy (the
        sentence before again), repeated (any earlier sentence of the list again) and, by the
        oracle, gold (similarity to the anchor from 0 to 5, NaN if malformed) and well_formed.
    """
    vectors, row = embed(encode or judge(), [s for one in lists for s in one], batch_size=1024)
    vectors = unit_rows(vectors)
    found = []
    for number, sentences in enumerate(lists):
        own = vectors[[row[s] for s in sentences]]
        plain = [curation.folded(s) for s in sentences]
        for i, (sentence, cosine) in enumerate(zip(sentences, own @ own[0], strict=True)):
            found.append({
                "list": number, "position": i, "sentence": sentence, "cosine": float(cosine),
                "words": len(sentence.split()),
                "copy": i > 0 and plain[i] == plain[i - 1],
                "repeated": plain[i] in plain[:i],
            })  # fmt: skip
    frame = pd.DataFrame(found)
    if oracle_too:
        anchor = frame.groupby("list")["sentence"].transform("first")
        pairs = pd.MultiIndex.from_arrays([anchor, frame["sentence"]])
        known = {pair: oracle.similarity(*pair) for pair in pairs.unique()}
        frame["gold"] = pd.to_numeric(pairs.map(known), errors="coerce")
        frame["well_formed"] = frame["gold"].notna()
    return frame


def order(distance):
    """Spearman's correlation of place and distance from the anchor, without the anchor itself.

    Parameters
    ----------
    distance : n numbers
        Of the sentences after the anchor, in their order. NaN is left out.

    Returns
    -------
    float
        In [−1, 1]: 1 if every sentence is farther than the one before. 0 where there is nothing to
        order: fewer than four sentences, or all equally far (a list of copies).
    """
    distance = np.asarray(distance, dtype=float)
    place = np.flatnonzero(~np.isnan(distance))
    ranks = rankdata(distance[place])
    if len(place) < 4 or np.ptp(ranks) == 0:
        return 0.0
    return float(np.corrcoef(np.arange(len(place)), ranks)[0, 1])


def straightness(points, moves=MOVES):
    """How straight a path leaves its start: net over travelled distance (Fig. 2).

    Parameters
    ----------
    points : array [n, d]
        Embeddings of a list. A sentence that is the one before again is no move.
    moves : int
        Moves that count. Short paths look straight, so all must have as many.

    Returns
    -------
    float
        In [0, 1]; NaN for a list with fewer moves.
    """
    points = np.asarray(points, dtype=float)
    moved = np.r_[True, np.linalg.norm(np.diff(points, axis=0), axis=1) > 1e-6]
    points = points[moved][: moves + 1]
    if len(points) <= moves:
        return float("nan")
    travelled = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
    return float(np.linalg.norm(points[-1] - points[0]) / travelled)


def out_of_order(similarity):
    """Which sentences stand out of order: not less similar to the anchor than the one before.

    § 2 asks for strictly falling similarities, so a copy is out of order too.

    Parameters
    ----------
    similarity : n numbers
        To the anchor, of the sentences after it.

    Returns
    -------
    bool array [n]
        The first sentence is never out of order; comparisons with NaN are false.
    """
    similarity = np.asarray(similarity, dtype=float)
    # Equal sentences may be encoded in different batches: cosines differ by rounding.
    return np.r_[False, np.diff(similarity) > -1e-6][: len(similarity)]


def cut(frame):
    """The sentences before the first that is malformed or repeats an earlier one."""
    bad = frame["repeated"] | ~frame["well_formed"]
    return frame[~bad.groupby(frame["list"]).cummax()]


def mean_similarity(lists, encode=None, first=FIRST):
    """Mean cosine of the sentences at two places of a list (Fig. 1).

    Parameters
    ----------
    lists : sequence of lists of str
        Those shorter than `first` are left out.
    encode : callable, optional
    first : int

    Returns
    -------
    array [first, first], int
        And the number of lists in the mean.

    Raises
    ------
    ValueError
        If no list is long enough.
    """
    lists = [one[:first] for one in lists if len(one) >= first]
    if not lists:
        raise ValueError(f"no list has {first} sentences")
    vectors, row = embed(encode or judge(), [s for one in lists for s in one], batch_size=1024)
    vectors = unit_rows(vectors)
    total = sum(own @ own.T for own in (vectors[[row[s] for s in one]] for one in lists))
    return total / len(lists), len(lists)


def summary(lists, encode=None, *, steps=None):
    """What is to be said of a set of lists, in numbers.

    Parameters
    ----------
    lists : sequence of lists of str
        Pocket sentences.
    encode : callable, optional
    steps : int, optional
        Sentences that were asked for.

    Returns
    -------
    dict
        order: mean of `order` by the cosine over the first 16 sentences of each list, as written;
        order_kept: of the lists that pass verification, as those of the paper's Fig. 1 did;
        order_gold: by the oracle, malformed sentences left out; order_cut: by the cosine, of lists
        `cut` at the first malformed or repeated sentence, over the left percent that keep four
        sentences; straight: mean `straightness`, of the percent long_enough; out_of_order, of
        which equal (as similar as the one before; copies above all) and rising: percent of
        sentences 2 to 10 (Table 5); copied, repeated, well_formed: percent of the sentences after
        the anchor; kept, looped, fixed: percent of lists that pass `curation.verify_ranking_list`,
        end in a loop, in a loop of one sentence; growth: words of the last sentence over those of
        the anchor; distance: 1 − cosine of the sixteenth sentence.
    """
    frame = describe(lists, encode)
    after = frame[frame["position"] > 0]
    within = after[after["position"] < FIRST]
    whole = within.groupby("list")
    left = cut(frame)
    left = left[(left["position"] > 0) & (left["position"] < FIRST)].groupby("list")
    left = [1 - part["cosine"] for _, part in left if len(part) >= 4]
    marks = [
        (out_of_order(part["cosine"])[1:], np.abs(np.diff(part["cosine"])) <= 1e-6)
        for _, part in after[after["position"] <= 10].groupby("list")
    ]
    wrong, equal = (np.concatenate(x) for x in zip(*marks, strict=True))
    vectors, row = embed(encode or judge(), [s for one in lists for s in one], batch_size=1024)
    vectors = unit_rows(vectors)
    paths = np.array([straightness(vectors[[row[s] for s in one]]) for one in lists])
    loops = [curation.find_loop(one) for one in lists]
    last = frame.groupby("list")["words"].last() / frame.groupby("list")["words"].first()
    kept = [curation.verify_ranking_list(one, steps=steps) is None for one in lists]

    def percent(values):
        return 100 * float(np.mean(np.asarray(values, dtype=float))) if len(values) else 0.0

    everyone = range(len(lists))
    cosines = {number: 1 - part["cosine"] for number, part in whole}
    golds = {number: -part["gold"] for number, part in whole}
    at_end = within.loc[within["position"] == FIRST - 1, "cosine"]
    return {
        "lists": len(lists),
        "order": float(np.mean([order(cosines.get(i, [])) for i in everyone])),
        "order_kept": float(np.mean([order(cosines[i]) for i in everyone if kept[i]]))
        if any(kept)
        else float("nan"),
        "order_gold": float(np.mean([order(golds.get(i, [])) for i in everyone])),
        "order_cut": float(np.mean([order(x) for x in left])) if left else float("nan"),
        "left": 100 * len(left) / len(lists),
        "straight": float(np.nanmean(paths)) if np.isfinite(paths).any() else float("nan"),
        "long_enough": percent(np.isfinite(paths)),
        "out_of_order": percent(wrong),
        "equal": percent(equal),
        "rising": percent(wrong & ~equal),
        "copied": percent(after["copy"]),
        "repeated": percent(after["repeated"]),
        "well_formed": percent(after["well_formed"]),
        "kept": percent(kept),
        "looped": percent([x is not None for x in loops]),
        "fixed": percent([x is not None and x[1] == 1 for x in loops]),
        "growth": float(last.mean()),
        "distance": float(1 - at_end.mean()) if len(at_end) else float("nan"),
    }


def by_position(lists, encode=None):
    """Means along the lists: one row a position after the anchor.

    Returns
    -------
    DataFrame
        position, sentences (so many lists reach it), cosine, gold, out_of_order, equal,
        well_formed, repeated (percent), words, and growth (words over those of the anchor).
    """
    frame = describe(lists, encode)
    frame["growth"] = frame["words"] / frame.groupby("list")["words"].transform("first")
    change = frame.groupby("list")["cosine"].diff()
    late = frame["position"] > 1  # the first sentence after the anchor has none before it
    frame["out_of_order"] = 100 * (change > -1e-6).where(late).astype(float)
    frame["equal"] = 100 * (change.abs() <= 1e-6).where(late).astype(float)
    for name in ("well_formed", "repeated"):
        frame[name] = 100.0 * frame[name]
    names = "cosine gold out_of_order equal well_formed repeated words growth".split()
    groups = frame[frame["position"] > 0].groupby("position")
    return groups[names].mean().assign(sentences=groups.size()).reset_index()


# ------------------------------------------------------------------ ledger
LISTS, SWEPT = 500, 150


@ledger.measure(
    "10-fig1-directional", "10-fig1-at-once", "10-fig1-in-batch", "10-fig1-directional-sampled",
    "10-fig1-at-once-sampled", "10-fig2-direct",
    "10-well-formed", "10-table5-order", "10-table5-later", "10-kept", "10-length",
)  # fmt: skip
def measure_methods(seed: int) -> dict[str, float]:
    """Figs. 1 and 2, Table 5: the four ways to come by a list, greedy and sampled."""
    return methods(seed, LISTS)


def methods(seed, n):
    """`measure_methods` for n lists; the rows are kept for the figures."""
    rows, matrices, places, dropped = [], [], [], []
    for decoding in HEATS:
        for method in METHODS:
            if method == "in-batch" and decoding != "greedy":
                continue  # nothing is decoded
            written = lists(seed, method, n=n, decoding=decoding)
            steps = asked_for(method)
            name = {"decoding": decoding, "method": method}
            rows.append(name | summary(written, steps=steps))
            reasons = verification(written, steps)
            passed = [one for one, why in zip(written, reasons, strict=True) if why in PASSED]
            for which, chosen in (("as written", written), ("kept", passed)):
                if any(len(one) >= FIRST for one in chosen):
                    matrix, count = mean_similarity(chosen)
                    i, j = np.triu_indices(FIRST)
                    matrices.append(pd.DataFrame({
                        **name, "which": which, "lists": count, "i": i + 1, "j": j + 1,
                        "cosine": matrix[i, j].round(4),
                    }))  # fmt: skip
            places.append(by_position(written).assign(**name))
            counts = pd.Series(reasons).value_counts()
            dropped += [name | {"reason": k, "lists": v} for k, v in counts.items()]
    table = pd.DataFrame(rows)
    ledger.keep_rows("10-methods", seed, table)
    ledger.keep_rows("10-matrices", seed, pd.concat(matrices))
    places = pd.concat(places)
    ledger.keep_rows("10-positions", seed, places)
    ledger.keep_rows("10-dropped", seed, pd.DataFrame(dropped))
    table = table.set_index(["decoding", "method"])
    greedy, sampled = (table.loc[decoding] for decoding in HEATS)
    kept = sampled["order_kept"]
    ours = places[(places["decoding"] == "greedy") & (places["method"] == "directional")]
    ours = ours.set_index("position")["out_of_order"]
    return {
        "10-fig1-directional": greedy["order"]["directional"] - greedy["order"]["step"],
        "10-fig1-at-once": greedy["order"]["directional"] - greedy["order"]["at_once"],
        "10-fig1-in-batch": greedy["order"]["in-batch"],
        "10-fig1-directional-sampled": kept["directional"] - kept["step"],
        "10-fig1-at-once-sampled": kept["directional"] - kept["at_once"],
        "10-fig2-direct": sampled["straight"]["directional"] - sampled["straight"]["step"],
        "10-well-formed": greedy["well_formed"]["directional"],
        "10-table5-order": greedy["out_of_order"]["directional"] - greedy["out_of_order"]["step"],
        "10-table5-later": ours.loc[6:10].mean() - ours.loc[2:5].mean(),
        "10-kept": greedy["kept"]["directional"],
        "10-length": greedy["growth"]["directional"],
    }


@ledger.measure("10-lambda")
def measure_lambda(seed: int) -> float:
    """Eq. 4: λ for both generators, greedy and sampled."""
    return sweep(seed, SWEPT)


def sweep(seed, n):
    """`measure_lambda` for n lists of each setting; the rows are kept for the figure."""
    steps = tiers.get("pocket").ranking.steps
    rows = [
        {"generator": name, "decoding": decoding, "lam": lam}
        | summary(lists(seed, n=n, lam=lam, decoding=decoding, generator=generator), steps=steps)
        for name, generator in (("Llama", LLAMA), ("T5", T5))
        for decoding in HEATS
        for lam in LAMBDAS
    ]
    table = pd.DataFrame(rows)
    ledger.keep_rows("10-lambda", seed, table)
    found = table[(table["generator"] == "Llama") & (table["decoding"] == "greedy")]
    found = found.set_index("lam")["order"]
    return float(found[1.5] - found[0.0])


# ------------------------------------------------------------------ tables of the living figures
# What a page shows it must carry, so numbers are rounded and lists of numbers share a cell.
def written(seed=0, n=48):
    """The lists of both figures, by decoding, method and λ (NaN where there is none).

    Returns
    -------
    dict of (decoding, method, lam) to n lists of str
        "in-batch" lists are not decoded and stand under "greedy" alone.
    """
    found = {("greedy", "in-batch", np.nan): lists(seed, "in-batch", n=n)}
    for heat in HEATS:
        for method in ("at_once", "step"):
            found[heat, method, np.nan] = lists(seed, method, n=n, decoding=heat)
        for lam in LAMBDAS:
            # λ = 0.5 as the chapter calls it, so that no list is written twice.
            options = {} if lam == 0.5 else {"lam": lam}
            found[heat, "directional", lam] = lists(
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
        encode or judge(),
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
            asked = asked_for(method)
            rows.append({
                "decoding": heat, "method": METHODS[method], "lam": lam,
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
            **dict(zip(names, key, strict=True)), "method": METHODS[key[1]],
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
            encode or judge(), [s for one in said.values() for s in one]
        )
        vectors = unit_rows(vectors)
        every = vectors[[row[s] for one in said.values() for s in one]]
        start = vectors[row[said[next(iter(said))][0]]]
        plane = np.linalg.svd(every - every.mean(0), full_matrices=False)[2][:2]
        share = np.var((every - start) @ plane.T, axis=0).sum() / np.var(every, axis=0).sum()
        for key, one in said.items():
            own = vectors[[row[s] for s in one]]
            name = {"anchor": anchor + 1, "decoding": key[0],
                    "method": METHODS[key[1]], "lam": key[2]}  # fmt: skip
            flat = ((own - start) @ plane.T).round(4)
            for i, (point, cosine) in enumerate(zip(flat, own @ start, strict=True)):
                paths.append({
                    **name, "place": i + 1, "x": point[0], "y": point[1],
                    "cosine": round(float(cosine), 3), "sentence": one[i],
                })  # fmt: skip
            ways.append(name | {"straightness": round(straightness(own), 3)})
        about.append({"anchor": anchor + 1, "share": round(100 * float(share), 1),
                      "sentence": one[0]})  # fmt: skip
    return {name: pd.DataFrame(rows) for name, rows in
            (("paths", paths), ("anchors", about), ("ways", ways))}  # fmt: skip
