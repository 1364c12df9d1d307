"""The book's figures of lists and triplets that are yours.

    from synthlib import data, models
    from synthlib.viz import yours
    lists, rejects = data.load_ranking_lists("mine.jsonl")
    yours.heatmaps(lists, models.load_encoder("laptop/encoder").encode)

Each function returns a `Figure`: it shows itself in a notebook, and `save` writes it for a paper.
On the command line: ``python -m synthlib figures heatmaps --lists mine.jsonl --encoder NAME``.
What `omega` draws, `experiments.steering.omega` writes and draws in one call.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from synthlib.curation import Thresholds, folded
from synthlib.evaluation.embedding import embed, unit_rows
from synthlib.viz.figure import Figure

__all__ = ["heatmaps", "omega", "thresholds", "trajectories"]

#: What an answer can be, with its words in the figure and their colour.
WHAT = {
    "entailment": ("entailment", "blue"), "neutral": ("neutral", "sky"),
    "contradiction": ("contradiction", "orange"), "other": ("another sentence", "blue"),
    "copied": ("copy of the premise", "gold"), "echo": ("echo of the instruction", "purple"),
    "broken": ("empty or broken", "grey"),
}  # fmt: skip
SAME = "same for several premises"


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


def omega(answers, *, name="the generator", label=None):
    """What a generator makes of sentences at each ω: the texts to read, and what became of them.

    Parameters
    ----------
    answers : DataFrame or mapping
        omega, kind ("entailment" or "contradiction"), premise, output, and what: one of `WHAT`. As
        `experiments.steering.answers` gives them; the same premises at every ω.
    name : str
        Of the generator, for the caption.
    label : str, optional

    Returns
    -------
    Figure
        In the page ω is turned and the answers are read; the picture has the shares by ω. Its
        tables: answers (same: how many premises have this answer, by `curation.folded`) and, for
        each kind, omega, what and percent. An answer that several premises have is also a copy,
        or what else it is: that share comes on top.

    Raises
    ------
    ValueError
        Where a column is missing, there is no answer, or a kind or an outcome is unknown.

    Source: MultiCSR § 5.2, Fig. 6, without labels of people.
    """
    names = ["omega", "kind", "premise", "output", "what"]
    absent = [column for column in names if column not in answers]
    if absent:
        raise ValueError(f"the answers have no column {absent[0]}: experiments.steering has them")
    table = pd.DataFrame({column: list(answers[column]) for column in names})
    if table.empty:
        raise ValueError("there is no answer to draw")
    for column, known in (("kind", ("contradiction", "entailment")), ("what", tuple(WHAT))):
        wrong = next((value for value in table[column] if value not in known), None)
        if wrong is not None:
            raise ValueError(f"{column} is one of {', '.join(known)}, given {wrong!r}")
    alike = [table["omega"], table["kind"], table["output"].map(folded)]
    table["same"] = table.groupby(alike)["output"].transform("size")
    grid = sorted(table["omega"].unique())
    kinds = [kind for kind in ("contradiction", "entailment") if (table["kind"] == kind).any()]
    shown = [what for what in WHAT if (table["what"] == what).any()]
    colours = {WHAT[what][0]: WHAT[what][1] for what in shown} | {SAME: "green"}
    tables = {"answers": table.assign(what=[WHAT[what][0] for what in table["what"]])}
    for kind in kinds:
        tables[kind] = _shares(table[table["kind"] == kind], shown)
    start = min(grid, key=lambda w: abs(w - 0.3))
    lines = {
        "kind": "lines", "x": "omega", "y": "percent", "series": "what", "markers": True,
        "xlabel": "ω", "ylabel": "percent of the answers", "ylim": [-3, 103], "colors": colours,
        "order": {"series": list(colours)},
    }  # fmt: skip
    asked = [[kind, f"{'an' if kind[0] == 'e' else 'a'} {kind}"] for kind in kinds]
    panels = [{**lines, "data": kind, "title": f"asked for {wanted}"} for kind, wanted in asked]
    spec = {
        "kind": "explorer", "explorer": "answers",
        "controls": [
            {"name": "omega", "type": "range", "label": "ω", "values": grid, "value": start,
             "format": ".2f"},
            {"name": "kind", "type": "choice", "label": "asked for", "options": asked},
        ],
        "options": {"lines": lines, "colours": colours, "same": SAME},
        "static": {"kind": "panels", "columns": 2, "height": 3.4, "panels": panels},
    }  # fmt: skip

    told = sorted({grid[0], min(grid, key=abs), start, grid[-1]})

    def alt(data):
        text = []
        for kind, wanted in asked:
            wide = data[kind].pivot(index="omega", columns="what", values="percent")
            said = "; ".join(
                f"{what} " + ", ".join(f"{wide.loc[w, what]:.0f} at {w:g}" for w in told)
                for what in colours if wide[what].any()
            )  # fmt: skip
            text.append(f"Asked for {wanted}: {said}")
        return "Percent of the answers by omega. " + ". ".join(text) + "."

    number = table["premise"].nunique()
    sentences = f"{number} sentence{'s' * (number > 1)}"
    caption = (
        f"What {name} makes of {sentences}, by $\\omega$. "
        "Copies, echoes and broken answers are found by rules"
        + (", the rest is an NLI model's word. " if "other" not in shown else ". ")
        + "The share of answers that several premises have comes on top. "
        "Turn $\\omega$ to read the answers."
    )
    return Figure(tables, spec, alt, label=label or "fig-omega", caption=caption)


def _shares(table, shown):
    """omega, what and percent of one kind's answers."""
    rows = []
    for value, part in table.groupby("omega"):
        for what in shown:
            rows.append((value, WHAT[what][0], 100 * float((part["what"] == what).mean())))
        rows.append((value, SAME, 100 * float((part["same"] > 1).mean())))
    return pd.DataFrame(rows, columns=["omega", "what", "percent"])


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
