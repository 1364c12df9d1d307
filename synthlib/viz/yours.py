"""The book's figures of lists and triplets that are yours.

    from synthlib import data, models
    from synthlib.viz import yours
    lists, rejects = data.load_ranking_lists("mine.jsonl")
    yours.heatmaps(lists, models.load_encoder("laptop/encoder").encode)

Each function returns a `Figure`: it shows itself in a notebook, and `save` writes it for a paper.
On the command line: ``python -m synthlib figures heatmaps --lists mine.jsonl --encoder NAME``.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from synthlib.curation import Thresholds
from synthlib.evaluation.embedding import embed, unit_rows
from synthlib.viz.figure import Figure

__all__ = ["heatmaps", "thresholds", "trajectories"]


def heatmaps(lists, encode, *, length=None, label=None):
    """Mean similarity of every pair of places within ranking lists (the paper's Fig. 1).

    Parameters
    ----------
    lists : sequence of lists of str, or dict of such by name
        Each an anchor and what follows it; several methods side by side by their names.
    encode : callable
        List of n strings to an (n, d) array. Take an encoder that had no part in the lists.
    length : int ≥ 2, optional
        Places that are shown. By default the most that at least half of each method's lists reach.
        Shorter lists are left out, and the caption says how many; longer ones are cut.
    label : str, optional
        ``fig-…``, the stem of the files.

    Returns
    -------
    Figure
        Of kind heatmap; its data has the columns method, from sentence, to sentence, similarity
        (mean cosine) and lists (how many it is the mean of).

    Raises
    ------
    ValueError
        Where there is no list, none is long enough, or `encode` gives NaN.

    Source: Ranking sentences, Fig. 1.
    """
    named = _named(lists)
    lengths = {name: np.sort([len(row) for row in rows]) for name, rows in named.items()}
    if length is None:
        length = int(min(each[(len(each) - 1) // 2] for each in lengths.values()))
    if length < 2 or length > max(each.max() for each in lengths.values()):
        longest = max(each.max() for each in lengths.values())
        raise ValueError(f"length is a number of sentences from 2 to {longest}, given {length}")
    table, said = [], []
    for name, rows in named.items():
        kept = [row[:length] for row in rows if len(row) >= length]
        if not kept:
            raise ValueError(f"no list of {name!r} has {length} sentences: take a smaller length")
        mean = _similarities(kept, encode).mean(axis=0)
        table += [
            {"method": name, "from sentence": i + 1, "to sentence": j + 1,
             "similarity": float(mean[i, j]), "lists": len(kept)}
            for i in range(length) for j in range(length)
        ]  # fmt: skip
        short = len(rows) - len(kept)
        left = f", {short} shorter left out" if short else ""
        said.append(f"{name}: {len(kept)} lists{left}")
    frame = pd.DataFrame(table)
    places = [str(i + 1) for i in range(length)]
    for column in ("from sentence", "to sentence"):
        frame[column] = pd.Categorical(frame[column].astype(str), places)

    def alt(df):
        text = []
        for name, part in df.groupby("method", sort=False):
            first = part[part["from sentence"] == "1"]["similarity"].to_numpy()
            falls = int((np.diff(first) < -1e-6).sum())
            text.append(
                f"{name}: the similarity to the first sentence goes from {first[1]:.2f} at the "
                f"second to {first[-1]:.2f} at the last and falls at {falls} of {length - 1} steps"
            )
        return "Heatmaps of mean cosines within lists. " + "; ".join(text) + "."

    spec = {
        "kind": "heatmap", "x": "to sentence", "y": "from sentence", "value": "similarity",
        "vlabel": "mean cosine",
    }  # fmt: skip
    if len(named) > 1:
        spec["facet"] = "method"
    caption = f"Mean cosine of the sentences in two places of a list, {length} places. "
    return Figure(
        frame, spec, alt, label=label or "fig-heatmaps", caption=caption + "; ".join(said) + "."
    )


def thresholds(triplets, alpha=3.0, beta=3.0, gamma=1.0, *, label=None):
    """Where triplets lie in the plane of their two scores, and which the thresholds keep (Fig. 3).

    Parameters
    ----------
    triplets : DataFrame or mapping
        With the columns a and b: scores of (anchor, positive) and of (anchor, negative), from 0 to
        5; NaN or None where none could be read.
    alpha, beta, gamma : float
        As of `curation.Thresholds`.
    label : str, optional

    Returns
    -------
    Figure
        Of kind scatter; its data has the columns a, b and kept.

    Raises
    ------
    ValueError
        Where a or b is missing, no triplet has both, or a threshold is out of range.

    Source: MultiCSR § 3.2, Fig. 3.
    """
    absent = [name for name in ("a", "b") if name not in triplets]
    if absent:
        raise ValueError(
            f"the triplets have no scores {' and '.join(absent)}: judge them first "
            "(methods.multicsr.judge, or a run's kept.parquet)"
        )
    a, b = (np.asarray(pd.to_numeric(pd.Series(triplets[name])), dtype=float) for name in "ab")
    keep = np.asarray(Thresholds(alpha, beta, gamma).keep(a, b), dtype=bool)
    read = np.isfinite(a) & np.isfinite(b)
    if not read.any():
        raise ValueError(f"none of {len(a)} triplets has both scores")
    frame = pd.DataFrame({"a": a, "b": b, "kept": np.where(keep, "kept", "dropped")})[read]
    frame = frame.reset_index(drop=True)
    counts = f"{len(a):,} triplets, {keep.sum():,} kept, {(~read).sum():,} without both scores"
    spec = {
        "kind": "scatter", "x": "a", "y": "b", "count": True,
        "xlabel": "a: score of anchor and positive", "ylabel": "b: score of anchor and negative",
        "xlim": [-0.25, 5.25], "ylim": [-0.25, 5.25],
        "regions": [{
            "where": [[1, 0, alpha], [0, -1, -beta], [1, -1, gamma]], "color": "blue",
        }],
    }  # fmt: skip
    alt = (
        f"Scores of triplets: {counts}. Median a {np.median(a[read]):.1f}, median b "
        f"{np.median(b[read]):.1f}."
    )
    caption = (
        f"{counts}: at least {alpha:g} for the positive, at most {beta:g} for the negative, "
        f" {gamma:g} between them. A dot's area is its number of triplets."
    )
    return Figure(frame, spec, alt, label=label or "fig-thresholds", caption=caption)


def trajectories(lists, encode, *, shown=4, label=None):
    """The paths of some lists in the plane in which each varies most (Fig. 2).

    Parameters
    ----------
    lists : sequence of lists of str, or dict of such by name
        With names, the lists of one place belong to one anchor and are drawn in one plane.
    encode : callable
        List of n strings to an (n, d) array.
    shown : int ≥ 1
        Anchors that are shown, from the first.
    label : str, optional

    Returns
    -------
    Figure
        Of kind path; its data has the columns anchor, method, place, x, y, similarity (cosine to
        the anchor) and sentence.

    Raises
    ------
    ValueError
        Where there is no list, a list has fewer than three sentences, or lists of one place begin
        with different anchors.

    Source: Ranking sentences, Fig. 2.
    """
    named = _named(lists)
    if shown != int(shown) or shown < 1:
        raise ValueError(f"shown is a number of anchors, at least 1, given {shown}")
    number = min(int(shown), *(len(rows) for rows in named.values()))
    table = []
    for at in range(number):
        own = {name: rows[at] for name, rows in named.items()}
        if len({row[0] for row in own.values()}) > 1:
            raise ValueError(f"the lists in place {at + 1} begin with different anchors")
        if min(map(len, own.values())) < 3:
            raise ValueError(f"a list in place {at + 1} has fewer than three sentences: no path")
        vectors, row = embed(encode, [text for one in own.values() for text in one])
        vectors = unit_rows(vectors)
        every = vectors[[row[text] for one in own.values() for text in one]]
        start = every[0]
        plane = np.linalg.svd(every - every.mean(axis=0), full_matrices=False)[2][:2]
        for name, one in own.items():
            points = vectors[[row[text] for text in one]]
            flat = (points - start) @ plane.T
            table += [
                {"anchor": f"{at + 1}: {one[0]}", "method": name, "place": place + 1,
                 "x": float(x), "y": float(y), "similarity": float(points[place] @ start),
                 "sentence": one[place]}
                for place, (x, y) in enumerate(flat)
            ]  # fmt: skip
    frame = pd.DataFrame(table)

    def alt(df):
        text = []
        for (anchor, name), part in df.groupby(["anchor", "method"], sort=False):
            which = f"{anchor}" + (f", {name}" if len(named) > 1 else "")
            text.append(
                f"{which}: similarity {part['similarity'].iloc[-1]:.2f} at the last sentence"
            )
        return f"Paths of {number} lists from their first sentence. " + "; ".join(text) + "."

    spec = {
        "kind": "path", "x": "x", "y": "y", "series": "method", "step": "place", "aspect": "equal",
        "hover": ["sentence", "similarity"], "xlabel": "", "ylabel": "", "legend": len(named) > 1,
    }  # fmt: skip
    if number > 1:
        spec |= {"facet": "anchor", "columns": 2}
    caption = (
        "Ranking lists as paths, each anchor in the plane in which its lists vary most; the anchor "
        "lies at the origin."
    )
    return Figure(frame, spec, alt, label=label or "fig-trajectories", caption=caption)


def _named(lists):
    """Lists by the name of their method; one name where none is given."""
    named = dict(lists) if isinstance(lists, Mapping) else {"lists": lists}
    named = {str(name): [list(row) for row in rows] for name, rows in named.items()}
    for name, rows in named.items():
        if not rows:
            raise ValueError(f"there is no list to draw{f' of {name!r}' * (len(named) > 1)}")
        wrong = next((row for row in rows if not all(isinstance(text, str) for text in row)), None)
        if wrong is not None:
            raise ValueError(f"a list of sentences is wanted, given {wrong!r}")
    if not named:
        raise ValueError("there is no list to draw")
    return named


def _similarities(lists, encode):
    """Cosines of all pairs of each list: [lists, n, n]."""
    vectors, row = embed(encode, [text for one in lists for text in one], batch_size=1024)
    vectors = unit_rows(vectors)
    stacked = vectors[np.array([[row[text] for text in one] for one in lists])]
    return stacked @ stacked.swapaxes(1, 2)
