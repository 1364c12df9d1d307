"""Figures of the papers that a reader can take hold of: thresholds, heatmaps, paths, a dial of ω.

Each function takes tidy tables, yours or a chapter's, and returns a `Figure` whose logic in the
page is in ``js/explorers``. The text alternative is computed here from the same tables; a test
holds it against the one that the page makes.
"""

import numpy as np
import pandas as pd

from synthlib.curation import Thresholds
from synthlib.viz.figure import Figure

FIRST = 16  # sentences of a list in the ranking paper's Fig. 1


def _need(tables, needed):
    """Raise a ValueError unless each table is there, holds rows and has its columns."""
    for name, columns in needed.items():
        if name not in tables:
            raise ValueError(f"the table {name!r} is wanted, given {', '.join(tables) or 'none'}")
        absent = [column for column in columns.split() if column not in tables[name]]
        if absent:
            raise ValueError(f"the table {name!r} needs a column {absent[0]!r}")
        if tables[name].empty:
            raise ValueError(f"the table {name!r} is empty")


def _choice(name, label, options, value=None):
    start = {} if value is None else {"value": value}
    return {"name": name, "type": "choice", "label": label, "options": options, **start}


# ------------------------------------------------------------------ thresholds
def thresholds(triplets, grid, rule=None, **words):
    """Triplets as points (a, b), the thresholds on sliders, and what they keep (MultiCSR, Fig. 3).

    Parameters
    ----------
    triplets : DataFrame
        anchor, positive, negative; a, b and a_expected, b_expected (written and expected scores);
        positive_is, negative_is, right: what the oracle says. As
        `experiments.ch04.scored` gives them.
    grid : DataFrame
        Settings of Table 6: scores ("text" or "expected"), alpha, beta, gamma (NaN for none), dev
        (score of an encoder trained with the setting), paper (the paper's).
    rule : `curation.Thresholds`, optional
        At the start; default (3, 3, 1).
    **words
        label and caption of the `Figure`.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        A table is empty or lacks a column.
    """
    rule = rule or Thresholds()
    names = ("anchor positive negative a b a_expected b_expected positive_is negative_is right")
    tables = {"triplets": triplets, "grid": grid}
    _need(tables, {"triplets": names, "grid": "scores alpha beta gamma dev paper"})
    shown = triplets[names.split()].round({"a_expected": 2, "b_expected": 2})
    tables["triplets"] = shown.assign(oracle=np.where(shown["right"], "right", "wrong"))
    sides = [[1, 0, rule.alpha], [0, -1, -rule.beta]]
    if rule.gamma is not None:
        sides.append([1, -1, rule.gamma])
    dots = {
        "kind": "scatter", "data": "triplets", "series": "oracle", "xlim": (-0.3, 5.3),
        "ylim": (-0.3, 5.3), "order": {"series": sorted(set(tables["triplets"]["oracle"]))},
        "colors": {"right": "blue", "wrong": "orange"},
        "regions": [{"where": sides, "label": "kept", "at": [3.35, 0.35]}],
        "xlabel": "a: anchor and positive", "ylabel": "b: anchor and hard negative",
    }  # fmt: skip
    quarter = {"type": "range", "min": 0, "max": 5, "step": 0.25}
    spec = {
        "kind": "explorer", "explorer": "thresholds",
        "controls": [
            _choice("scores", "scores", ["written", "expected"]),
            {**quarter, "name": "alpha", "label": "α", "value": rule.alpha},
            {**quarter, "name": "beta", "label": "β", "value": rule.beta},
            {"name": "gamma", "type": "range", "label": "γ", "values": ["–", *np.arange(21) / 4],
             "value": "–" if rule.gamma is None else float(rule.gamma)},
            _choice("cells", "grid", [["kept", "kept"], ["right", "right"],
                                      ["dev", "encoder here"], ["paper", "encoder, paper"]]),
        ],
        "static": {
            "kind": "panels", "columns": 2, "height": 3.6, "panels": [
                {**dots, "x": "a", "y": "b", "title": "written scores", "count": True},
                {**dots, "x": "a_expected", "y": "b_expected", "title": "expected values"},
            ],
        },
    }  # fmt: skip
    return Figure(tables, spec, lambda data: _thresholds_alt(data, rule), **words)


def _percent(part, whole):
    return f"{_half_up(100 * part / whole)} %" if whole else "–"


def _half_up(value):
    """Round as a page does: halves away from zero."""
    return int(np.floor(value + 0.5))


def _thresholds_alt(tables, rule):
    rows, grid = tables["triplets"], tables["grid"]

    def kept_words(a, b):
        kept, right = rule.keep(rows[a], rows[b]), rows["right"]
        return (
            f"keep {kept.sum()} of {len(rows)} triplets ({_percent(kept.sum(), len(rows))}), "
            f"{_percent((kept & right).sum(), kept.sum())} of them right by the oracle; of the "
            f"right triplets {_percent((kept & right).sum(), right.sum())} are kept"
        )

    name = f"({rule.alpha:g}, {rule.beta:g}, {'–' if rule.gamma is None else f'{rule.gamma:g}'})"
    out = rule.report(rows["a"], rows["b"])
    here = grid[(grid["scores"] == "text") & (grid["alpha"] == rule.alpha)
                & (grid["beta"] == rule.beta)]  # fmt: skip
    gamma = here["gamma"].isna() if rule.gamma is None else here["gamma"] == rule.gamma
    dev = here.loc[gamma, "dev"].dropna()
    first = rows.iloc[int(np.argmax(rule.keep(rows["a"], rows["b"])))]
    trained = (
        f" Encoders trained with this setting reached {dev.iloc[0]:.1f} on the development set, "
        "mean of three seeds." if len(dev) else ""
    )  # fmt: skip
    return (
        f"Thresholds {name} on written scores {kept_words('a', 'b')}. Out: {out['below_alpha']} "
        f"by alpha, {out['above_beta']} by beta, {out['within_gamma']} by gamma.{trained} "
        f"Selected: anchor “{first['anchor']}”, a {first['a']:.2f} for “{first['positive']}”, "
        f"b {first['b']:.2f} for “{first['negative']}”. On expected scores the thresholds "
        f"{kept_words('a_expected', 'b_expected')}."
    )


# ------------------------------------------------------------------ heatmaps
def heatmaps(
    tables, *, low=0.7, lam=0.5, decoding="greedy", source="the ledger",
    number="three seeds of 500 lists", **words,
):  # fmt: skip
    """Similarities of the sentences of a list, for several ways to come by lists (ranking, Fig. 1).

    Parameters
    ----------
    tables : dict of DataFrame
        ``lists`` and ``texts`` of `experiments.ch10.similarity_tables`, and ``measured`` of
        `experiments.ch10.measured_similarity`.
    low : float
        Cosines up to this one have the faintest colour; 0 can be chosen instead.
    lam : float
        λ of the directional lists in ``measured``, and at the start.
    decoding : "greedy" or "sampled"
        At the start.
    source, number : str
        Where ``measured`` comes from and how many lists it is of, in words.
    **words
        label and caption of the `Figure`.

    Returns
    -------
    Figure
        The static picture, and the living one at the start, show the measured means of lists as
        written.

    Raises
    ------
    ValueError
        A table is empty or lacks a column.
    """
    _need(tables, {"lists": "decoding method lam list kept anchor cosines texts",
                   "texts": "text sentence",
                   "measured": "decoding method which lists order cosines"})  # fmt: skip
    start = _measured(tables, decoding)
    mean = [
        {"method": row.method, "i": str(i + 1), "j": str(j + 1), "cosine": value}
        for row in start.itertuples()
        for (i, j), value in np.ndenumerate(_square(row.cosines))
    ]
    tables = {**tables, "mean": mean}
    lists = tables["lists"]
    places = [str(i + 1) for i in range(FIRST)]
    spec = {
        "kind": "explorer", "explorer": "heatmaps",
        "controls": [
            _choice("decoding", "decoded", list(lists["decoding"].unique()), decoding),
            _choice("show", "show", [["ledger", f"{source}'s mean"], ["mean", "mean of n lists"],
                                     ["one", "list n alone"]]),
            {"name": "n", "type": "range", "label": "n", "min": 1, "step": 1,
             "max": int(lists["list"].max()), "value": int(lists["list"].max())},
            {"name": "lam", "type": "range", "label": "λ", "value": lam,
             "values": sorted(lists["lam"].dropna().unique())},
            {"name": "kept", "type": "toggle", "label": "only lists that pass verification"},
            _choice("faintest", "faintest at", [[low, f"{low:g}"], [0.0, "0"]]),
        ],
        "options": {"lam": lam, "source": source, "number": number},
        "static": {
            "kind": "heatmap", "data": "mean", "x": "j", "y": "i", "value": "cosine",
            "facet": "method", "columns": 2, "vmin": low, "vmax": 1, "height": 3.2,
            "vlabel": f"mean cosine ({low:g} or less: faintest)",
            "xlabel": "sentence", "ylabel": "sentence",
            "order": {"x": places, "y": places, "facet": list(start["method"])},
        },
    }  # fmt: skip
    return Figure(tables, spec, lambda data: _heatmaps_alt(data, lam, decoding, source), **words)


def _square(packed):
    """Whole matrix [16, 16] from the thousandths above its diagonal."""
    matrix = np.eye(FIRST)
    above = np.triu_indices(FIRST, 1)
    matrix[above] = matrix.T[above] = np.array(packed.split(), dtype=float) / 1000
    return matrix


def _measured(tables, decoding):
    """Means as written; what is drawn from a batch is not decoded and stands under "greedy"."""
    rows = tables["measured"].query("which == 'as written'")
    rows = rows.assign(other=rows["decoding"] != decoding).sort_values("other", kind="stable")
    return rows.drop_duplicates("method").sort_index()


def _heatmaps_alt(tables, lam, decoding, source):
    rows = _measured(tables, decoding)
    parts = []
    for row in rows.itertuples():
        at = _square(row.cosines)
        led = f", λ = {lam:g}" if row.method == "directional" else ""
        parts.append(
            f"{row.method}{led}: {row.lists:,} lists, order {row.order:.2f}, sentences 1 and 2 "
            f"{at[0, 1]:.2f}, 1 and 16 {at[0, FIRST - 1]:.2f}"
        )
    how = "greedily" if decoding == "greedy" else "by sampling"
    return f"Means from {source}, decoded {how}. " + ". ".join(parts) + "."


# ------------------------------------------------------------------ paths
def trajectories(tables, *, lam=0.5, decoding="sampled", **words):
    """Ranking lists as paths in a plane of the embedding space, step by step (ranking, Fig. 2).

    Parameters
    ----------
    tables : dict of DataFrame
        ``paths``, ``anchors`` and ``ways`` of `experiments.ch10.path_tables`; the living
        figure begins with the first anchor.
    lam, decoding
        λ and the way of decoding at the start.
    **words
        label and caption of the `Figure`.

    Returns
    -------
    Figure
        The static picture has the first anchor's paths for λ = 0, 0.5 and 1.5.

    Raises
    ------
    ValueError
        A table is empty or lacks a column.
    """
    _need(tables, {"paths": "anchor decoding method lam place x y cosine sentence",
                   "anchors": "anchor share sentence",
                   "ways": "anchor decoding method lam straightness"})  # fmt: skip
    paths, anchors = tables["paths"], tables["anchors"]
    one = paths[(paths["anchor"] == anchors["anchor"].iloc[0]) & (paths["decoding"] == decoding)]
    shown = [x for x in (0.0, 0.5, 1.5) if x in set(one["lam"])]
    walks = []
    for value in shown:
        both = one[one["lam"].isna() | (one["lam"] == value)]
        walks += [
            {"picture": f"λ = {value:g}", "how": row.method if np.isnan(row.lam) else "this λ",
             "place": row.place, "x": row.x, "y": row.y}
            for row in both.itertuples()
        ]  # fmt: skip
    ends = one.loc[one["lam"].isna() | one["lam"].isin(shown), ["x", "y"]].agg(["min", "max"])
    reach = 0.55 * np.ptp(ends.to_numpy(), axis=0).max()  # one scale for both directions
    xlim, ylim = ((float(m - reach), float(m + reach)) for m in ends.mean())
    last = int(paths["place"].max())
    spec = {
        "kind": "explorer", "explorer": "trajectories",
        "controls": [
            _choice("anchor", "anchor",
                    [[int(row.anchor), row.sentence] for row in anchors.itertuples()]),
            _choice("decoding", "decoded", list(paths["decoding"].unique()), decoding),
            {"name": "lam", "type": "range", "label": "λ", "value": lam,
             "values": sorted(paths["lam"].dropna().unique())},
            {"name": "place", "type": "range", "label": "sentence", "min": 1, "max": last,
             "step": 1, "value": last},
            {"name": "play", "type": "play", "label": "Play", "of": "place", "seconds": 8},
            {"name": "zoom", "type": "toggle", "label": "zoom to these paths"},
        ],
        "static": {
            "kind": "path", "data": "walks", "x": "x", "y": "y", "series": "how",
            "step": "place", "facet": "picture", "columns": 3, "height": 3.2,
            "xlim": xlim, "ylim": ylim,
            "xticks": [x for x in np.arange(-2, 2.1, 0.5) if xlim[0] < x < xlim[1]],
            "xlabel": "first direction", "ylabel": "second direction",
        },
    }  # fmt: skip
    tables = {**tables, "walks": walks}
    return Figure(tables, spec, lambda data: _paths_alt(data, decoding, lam), **words)


def _paths_alt(tables, decoding, lam):
    about = tables["anchors"].iloc[0]
    paths = tables["paths"]
    own = paths[(paths["anchor"] == about["anchor"]) & (paths["decoding"] == decoding)]
    last = int(paths["place"].max())

    def words(rows, title, said=True):
        x, y = rows["x"].to_numpy(), rows["y"].to_numpy()
        way = np.hypot(np.diff(x), np.diff(y)).sum()
        net, end = np.hypot(x[-1] - x[0], y[-1] - y[0]), rows.iloc[-1]
        sentence = f"; “{end['sentence']}”" if said else ""
        return (
            f"{title}: cosine to the anchor {end['cosine']:.2f}, {net:.2f} from it in the plane "
            f"after a way of {way:.2f}{sentence}"
        )

    plain = own[own["lam"].isna()]
    led = {value: rows for value, rows in own.dropna(subset="lam").groupby("lam")}
    name = own.dropna(subset="lam")["method"].iloc[0]
    now = [words(rows, method) for method, rows in plain.groupby("method", sort=False)]
    now.append(words(led[lam], f"{name}, λ = {lam:g}"))
    others = [words(rows, f"λ = {value:g}", False) for value, rows in led.items() if value != lam]
    return (
        f"Lists from “{about['sentence']}”, {decoding}, at sentence {last}. {'. '.join(now)}. "
        f"Other lists: {'. '.join(others)}."
    )


# ------------------------------------------------------------------ ω over recorded answers
STILL = (-0.2, 0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)  # ω of the static picture
PLACES = 12  # of an answer in the static picture; the last says how many are left out


def dial(
    tables, *, case=0, omega=0.0, outcomes=None, compact=False, model="the model",
    views=("as asked", "as subtracted", "mixture"), **words,
):  # fmt: skip
    """Recorded answers of a real model at every ω of a grid, with what each token weighed.

    Parameters
    ----------
    tables : dict of DataFrame
        ``cases``, ``answers``, ``words`` and ``steps`` of `experiments.ch13.dial_tables`.
    case : int
        The one to begin with, and that of the static picture.
    omega : float
        Of the grid, at the start.
    outcomes : dict of str, optional
        Colours of the outcomes.
    compact : bool
        Without the instructions, for a cover.
    model : str
        Its name, for readers.
    views : three str
        Names of either context and of the mixture.
    **words
        label and caption of the `Figure`.

    Returns
    -------
    Figure

    Raises
    ------
    ValueError
        A table is empty or lacks a column; a case or an ω that is not recorded.
    """
    _need(tables, {"cases": "case kind premise instruction subtracted",
                   "answers": "case omega output outcome reader",
                   "words": "case node token asked noisy next mixed",
                   "steps": "case omega place token share"})  # fmt: skip
    cases, answers = tables["cases"], tables["answers"]
    for name, value, known in (("case", case, cases["case"]), ("omega", omega, answers["omega"])):
        if value not in set(known):
            there = ", ".join(f"{x:g}" for x in sorted(set(known)))
            raise ValueError(f"{name} {value} is not recorded; there are: {there}")
    own = answers[answers["case"] == case].set_index("omega")
    kept = {name: tables[name] for name in ("cases", "answers", "words")}
    still = _still(tables["steps"][tables["steps"]["case"] == case])
    asked = {"contradiction": "Contradict", "entailment": "Follow from"}
    spec = {
        "kind": "explorer", "explorer": "dial",
        "controls": [
            _choice("case", "Request", [[int(row.case), f"{asked[row.kind]}: {row.premise}"]
                                      for row in cases.itertuples()], case),
            {"name": "omega", "type": "range", "label": "ω", "value": omega, "format": ".2f",
             "values": sorted(set(answers["omega"]))},
        ],
        "options": {"outcomes": outcomes or {}, "views": list(views), "compact": compact,
                    "writer": model},
        "static": {
            "kind": "heatmap", "data": "still", "x": "place", "y": "omega", "value": "share",
            "text": "token", "vmin": 0, "vmax": 1, "height": 3.2, "xlabel": "token", "ylabel": "ω",
            "vlabel": "probability in the mixture",
            "order": {"x": list(dict.fromkeys(still["place"])),
                      "y": list(dict.fromkeys(still["omega"]))},
        },
    }  # fmt: skip
    return Figure(
        kept | {"still": still}, spec,
        lambda _: _dial_alt(cases.set_index("case").loc[case], own, model), **words,
    )  # fmt: skip


def _still(steps):
    """Answers at a few ω, one below the other, no longer than `PLACES`."""
    rows = steps[steps["omega"].isin(STILL) & (steps["place"] < PLACES)]
    longest = steps.groupby("omega")["place"].transform("max")
    cut = (rows["place"] == PLACES - 1) & (longest.loc[rows.index] >= PLACES)
    return pd.DataFrame({
        "omega": [f"{omega:g}".replace("-", "−") for omega in rows["omega"]],
        "place": [str(place + 1) for place in rows["place"]],
        "token": ["…" if short else token.strip() or "(end)"
                  for token, short in zip(rows["token"], cut, strict=True)],
        "share": rows["share"],
    })  # fmt: skip


def _dial_alt(about, answers, model):
    """Answers that are the same are said once, with the outcome."""
    asked = {"contradiction": "contradict", "entailment": "follow from"}[about["kind"]]
    runs = (answers[["output", "outcome"]] != answers[["output", "outcome"]].shift()).any(axis=1)
    parts = []
    for _, some in answers.groupby(runs.cumsum()):
        first, last = some.index[0], some.index[-1]
        span = f"{first:g}" if first == last else f"{first:g} to {last:g}"
        output, outcome = some.iloc[0][["output", "outcome"]]
        parts.append(f"omega {span}: {output or 'nothing'} ({outcome})")
    return (
        f"Recorded answers of {model}, asked for what must {asked} “{about['premise']}”. "
        + "; ".join(parts)
    )
