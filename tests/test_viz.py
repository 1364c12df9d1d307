"""Figures: what they accept, what they draw, how they look to every reader, what a page makes."""

import html as html_module
import io
import json
import re
import sys
import warnings
import xml.etree.ElementTree as ElementTree
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from synthlib import viz
from synthlib.paths import write_bytes
from synthlib.viz import draw, layout
from synthlib.viz.palette import ROLES, SERIES, colormap, palette, style
from synthlib.viz.spec import KINDS, check, tables

ROOT = Path(__file__).resolve().parents[1]
LINES = {"kind": "lines", "x": "step", "y": "score", "series": "encoder"}


@pytest.fixture
def runs():
    """Three seeds of two encoders over four steps."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"step": step, "score": 10 * k + step + rng.normal(), "encoder": name, "seed": seed}
            for k, name in enumerate(("first", "second"))
            for step in (0, 10, 20, 30)
            for seed in range(3)
        ]
    )


def axes(figure, **options):
    return figure.draw(**options).axes[0]


def texts(fig):
    """Every text that a drawing shows."""
    return [t.get_text() for t in fig.findobj(mpl.text.Text) if t.get_text()]


# ------------------------------------------------------------------ data
def test_data_in_every_form():
    frame = pd.DataFrame({"a": [1, 2]})
    assert list(tables(frame)) == ["data"]
    assert tables({"a": [1, 2], "b": np.array([3, 4])})["data"].shape == (2, 2)
    assert tables([{"a": 1}, {"a": 2}])["data"]["a"].tolist() == [1, 2]
    assert tables(torch.tensor([1.0, 2.0], requires_grad=True))["data"]["value"].tolist() == [1, 2]
    several = tables({"one": frame, "two": {"b": [1]}, "three": np.eye(2)})
    assert list(several) == ["one", "two", "three"]
    matrix = several["three"]
    assert matrix[(matrix["row"] == 1) & (matrix["column"] == 0)]["value"].item() == 0
    assert len(matrix) == 4


def test_the_figure_keeps_a_copy(runs):
    figure = viz.Figure(runs, LINES, "alt", caption="c")
    before = figure.csv()
    runs.loc[0, "score"] = 1e9
    assert figure.csv() == before


@pytest.mark.parametrize(
    "data, message",
    [
        (None, "needs data"),
        ({}, "needs data"),
        ({"a": [1, 2], "b": [1]}, "equally long"),
        (np.zeros((2, 2, 2)), "1 or 2 dimensions"),
        ([[1, 2], [3]], "ragged"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns named 'a'"),
    ],
)
def test_data_that_are_no_tables(data, message):
    with pytest.raises(ValueError, match=message):
        tables(data)


# ------------------------------------------------------------------ the description
@pytest.mark.parametrize(
    "change, message",
    [
        ({"kind": "line"}, r"unknown kind 'line' \(did you mean 'lines'\?\); choose from: lines"),
        ({"y": "scores"}, r"unknown column in spec\['y'\] 'scores' \(did you mean 'score'\?\)"),
        ({"colour": "blue"}, "unknown key of a 'lines' figure 'colour'"),
        ({"y": "encoder"}, "must hold numbers, it holds 'first'"),
        ({"facet": 3}, "unknown column"),
        ({"data": "other"}, "unknown table"),
        ({"band": "iqr"}, "unknown band 'iqr'.*range, sd, se"),
        ({"low": "score"}, "'low' and 'high' go together"),
        ({"xlim": 3}, r"xlim must be \[low, high\]"),
        ({"yscale": "log2"}, "unknown yscale"),
        ({"hlines": [{"y": 3}]}, "each of hlines"),
        ({"colors": {"first": "red"}}, "unknown colour of 'first' 'red'"),
        ({"order": {"series": ["third"]}}, r"unknown value in order\['series'\] 'third'"),
        ({"order": {"size": []}}, "unknown key of 'order'"),
        ({"title": object()}, "must be plain JSON"),
        ({"ylim": [0, float("nan")]}, "must be plain JSON"),
    ],
)
def test_what_is_wrong_is_named_with_the_choices(runs, change, message):
    with pytest.raises(ValueError, match=message):
        viz.Figure(runs, LINES | change, "alt")


def test_a_missing_column_is_asked_for(runs):
    with pytest.raises(ValueError, match="needs 'y': one of the columns step, score, encoder"):
        viz.Figure(runs, {"kind": "lines", "x": "step"}, "alt")


def test_numpy_values_become_plain(runs):
    spec = check(tables(runs), LINES | {"xlim": (np.int64(0), np.float64(1.5))})
    assert json.loads(json.dumps(spec)) == spec and spec["xlim"] == [0, 1.5]


def test_spec_is_not_a_dict(runs):
    with pytest.raises(ValueError, match="spec must be a dict"):
        viz.Figure(runs, "lines", "alt")


# ------------------------------------------------------------------ texts
@pytest.mark.parametrize("alt", ["", "  ", None, 3, lambda data: "", lambda data: None])
def test_alt_must_say_something(runs, alt):
    with pytest.raises(ValueError, match="alt must be a non-empty text"):
        viz.Figure(runs, LINES, alt)


def test_alt_is_made_from_the_data(runs):
    figure = viz.Figure(runs, LINES, lambda data: f"{len(data)} rows")
    assert figure.alt == "24 rows"
    two = viz.Figure({"a": runs, "b": runs}, LINES, lambda data: ", ".join(data))
    assert two.alt == "a, b"


def test_labels(runs):
    with pytest.raises(ValueError, match="must look like 'fig-01-some-words'"):
        viz.Figure(runs, LINES, "alt", label="Fig 1", caption="c")
    with pytest.raises(ValueError, match="needs a caption"):
        viz.Figure(runs, LINES, "alt", label="fig-01-runs")
    assert viz.Figure(runs, LINES, "alt", label="fig-01-runs", caption="c").label == "fig-01-runs"


# ------------------------------------------------------------------ what is drawn
def test_a_line_is_the_mean_and_its_band_the_range(runs):
    ax = axes(viz.Figure(runs, LINES, "alt"))
    for k, name in enumerate(("first", "second")):
        rows = runs[runs["encoder"] == name]
        xs, ys = ax.lines[k].get_data()
        band = ax.collections[k].get_paths()[0].vertices
        for x, y in zip(xs, ys, strict=True):
            values = rows[rows["step"] == x]["score"]
            assert y == pytest.approx(values.mean())
            at = band[np.isclose(band[:, 0], x), 1]
            assert at.max() == pytest.approx(values.max())
            assert at.min() == pytest.approx(values.min())


@pytest.mark.parametrize("spread", ["sd", "se"])
def test_bars_with_error_over_seeds(runs, spread):
    spec = {"kind": "bars", "x": "step", "y": "score", "error": spread}
    rows = runs[runs["encoder"] == "first"]
    ax = axes(viz.Figure(rows, spec, "alt"))
    heights = [bar.get_height() for bar in ax.patches]
    grouped = rows.groupby("step")["score"]
    assert heights == pytest.approx(grouped.mean().tolist())
    half = grouped.std() if spread == "sd" else grouped.std() / np.sqrt(3)
    segments = ax.collections[0].get_segments()
    assert [(s[1][1] - s[0][1]) / 2 for s in segments] == pytest.approx(half.tolist())


def test_heatmap_cells_and_numbers():
    matrix = np.array([[0.1, 0.9], [0.5, np.nan]])
    spec = {"kind": "heatmap", "x": "column", "y": "row", "value": "value", "annotate": True}
    figure = viz.Figure(matrix, spec, "alt")
    fig = figure.draw()
    drawn = fig.axes[0].collections[0].get_array()
    assert drawn.filled(-1).ravel().tolist() == [0.1, 0.9, 0.5, -1]
    assert {"0.10", "0.90", "0.50"} <= set(texts(fig))
    assert fig.dropped == 1


def test_histogram_counts_all_values():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({"v": rng.normal(size=300), "kind": ["a", "b", "b"] * 100})
    spec = {"kind": "histogram", "x": "v", "series": "kind", "bins": 12}
    ax = axes(viz.Figure(frame, spec, "alt"))
    counts = [patch.get_data().values.sum() for patch in ax.patches][::2]
    assert counts == [100, 200]


def test_facets_share_their_axes_and_colours(runs):
    figure = viz.Figure(runs, {"kind": "histogram", "x": "score", "facet": "encoder"}, "alt")
    fig = figure.draw()
    assert [ax.get_title("left") for ax in fig.axes] == ["first", "second"]
    tallest = max(p.get_data().values.max() for ax in fig.axes for p in ax.patches)
    assert {ax.get_ylim() for ax in fig.axes} == {fig.axes[0].get_ylim()}
    assert fig.axes[0].get_ylim()[0] == 0 and fig.axes[0].get_ylim()[1] >= tallest


def test_facets_of_heatmaps_share_one_scale():
    frame = pd.concat([tables(k * np.eye(2))["data"].assign(k=k) for k in (1, 5)])
    spec = {"kind": "heatmap", "x": "column", "y": "row", "value": "value", "facet": "k"}
    fig = viz.Figure(frame, spec, "alt").draw()
    assert [ax.collections[0].get_clim() for ax in fig.axes[:2]] == [(0, 5), (0, 5)]
    assert len(fig.axes) == 3


def test_order_and_colours_are_kept(runs):
    spec = LINES | {"order": {"series": ["second", "first"]}, "colors": {"first": "gold"}}
    fig = viz.Figure(runs, spec, "alt").draw()
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["second", "first"]
    assert fig.axes[0].lines[1].get_color() == palette()["gold"]
    assert fig.axes[0].lines[0].get_color() != palette()["gold"]


def test_series_differ_in_more_than_colour(runs):
    lines = axes(viz.Figure(runs, LINES, "alt")).lines
    assert lines[0].get_marker() != lines[1].get_marker()
    assert lines[0]._dash_pattern != lines[1]._dash_pattern


def test_flow_passes_a_loop():
    frame = {"a": ["x", "y", "z", "z"], "b": ["y", "z", "x", "z"]}
    depth, forward = layout.layers(list(zip(frame["a"], frame["b"], strict=True)))
    assert depth == {"x": 0, "y": 1, "z": 2} and forward == [("x", "y"), ("y", "z")]
    fig = viz.Figure(frame, {"kind": "flow", "source": "a", "target": "b"}, "alt").draw()
    assert {"x", "y", "z"} <= set(texts(fig))


def test_panels(runs):
    spec = {
        "kind": "panels",
        "panels": [
            {**LINES, "title": "left"},
            {"kind": "density", "x": "score", "series": "encoder", "title": "right"},
        ],
    }
    fig = viz.Figure(runs, spec, "alt").draw()
    assert [ax.get_title("left") for ax in fig.axes] == ["left", "right"]
    with pytest.raises(ValueError, match="unknown kind"):
        viz.Figure(runs, {"kind": "panels", "panels": [{"kind": "pie"}]}, "alt")
    with pytest.raises(ValueError, match="a list of specs"):
        viz.Figure(runs, {"kind": "panels"}, "alt")


@pytest.fixture
def triplets():
    """Scores (a, b) on a grid of half points, many rows a point, right or wrong."""
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 11, (400, 2)) / 2
    label = np.where(rng.random(400) < 0.6, "right", "wrong")
    return pd.DataFrame({"a": scores[:, 0], "b": scores[:, 1], "label": label})


KEPT = {"where": [[1, 0, 3], [0, -1, -3], [1, -1, 1]], "label": "kept"}
SCORES = {"kind": "scatter", "x": "a", "y": "b", "xlim": [-0.3, 5.3], "ylim": [-0.3, 5.3]}


def outlines(ax):
    return [p.get_xy() for p in ax.patches if isinstance(p, mpl.patches.Polygon)]


def test_a_region_holds_the_points_that_its_half_planes_say(triplets):
    figure = viz.Figure(triplets, SCORES | {"regions": [KEPT]}, "alt")
    for mode in ("light", "dark"):
        fig = figure.draw(mode=mode)
        (corners,) = outlines(fig.axes[0])
        shape = mpl.path.Path(corners)
        inside = [shape.contains_point(p, radius=1e-9) or shape.contains_point(p, radius=-1e-9)
                  for p in triplets[["a", "b"]].to_numpy()]  # fmt: skip
        kept = (triplets.a >= 3) & (triplets.b <= 3) & (triplets.a >= triplets.b + 1)
        assert inside == kept.tolist() and 0 < kept.sum() < len(kept)
        patch = fig.axes[0].patches[0]
        assert patch.get_edgecolor()[:3] == mpl.colors.to_rgb(palette(mode)["gold"])
        assert patch.get_zorder() < fig.axes[0].collections[0].get_zorder()
        assert "kept" in texts(fig)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(-3, 3)] * 3), min_size=1, max_size=4),
    st.tuples(st.integers(1, 39), st.integers(1, 39)),
)
def test_clipping_keeps_what_all_half_planes_keep(halves, spot):
    x, y = spot[0] / 8 + 0.01, spot[1] / 8 + 0.017  # off the lines
    corners = layout.clip([(0, 0), (5, 0), (5, 5), (0, 5)], halves)
    inside = len(corners) > 2 and mpl.path.Path(corners).contains_point((x, y))
    assert inside == all(p * x + q * y >= r for p, q, r in halves)


def test_a_region_by_corners_widens_the_axes():
    spec = {"kind": "lines", "x": "a", "y": "b", "regions": [{"points": [[0, 0], [9, 0], [9, 9]]}]}
    ax = axes(viz.Figure({"a": [1, 2], "b": [1, 2]}, spec, "alt"))
    assert ax.get_xlim()[1] >= 9 and len(outlines(ax)) == 1
    empty = SCORES | {"regions": [{"where": [[1, 0, 9]], "label": "none"}]}
    fig = viz.Figure({"a": [1, 2], "b": [1, 2]}, empty, "alt").draw()
    assert not outlines(fig.axes[0]) and "none" not in texts(fig)


def test_one_dot_for_many_rows_says_how_many(triplets):
    figure = viz.Figure(triplets, SCORES | {"series": "label", "count": True}, "alt")
    fig = figure.draw()
    counts = triplets.value_counts(["label", "a", "b"])
    for name, dots in zip(("right", "wrong"), sorted_series(fig, triplets), strict=True):
        places = [tuple(p) for p in dots.get_offsets()]
        assert len(places) == len(set(places)) == len(counts[name])
        pairs = sorted(
            (counts[(name, *p)], s) for p, s in zip(places, dots.get_sizes(), strict=True)
        )
        smaller, larger = pairs[0], pairs[-1]
        assert larger[0] > smaller[0] and larger[1] > smaller[1]
    assert f"area of a dot: rows there, up to {counts.max()}" in texts(fig)


def sorted_series(fig, table):
    """The dots of each series in the order of the series' names."""
    order = list(dict.fromkeys(table["label"]))
    dots = fig.axes[0].collections
    return [dots[order.index(name)] for name in sorted(order)]


def test_sizes_mean_the_same_in_all_facets(triplets):
    table = triplets.iloc[:9].assign(n=[1, 2, 3, 4, 5, 6, 7, 8, 9], k=list("uuuuuvvvv"))
    fig = viz.Figure(table, SCORES | {"size": "n", "facet": "k"}, "alt").draw()
    sizes = np.concatenate([ax.collections[0].get_sizes() for ax in fig.axes])
    assert (np.diff(sizes) > 0).all()


def test_jitter_moves_dots_a_little_and_always_the_same_way(triplets):
    figure = viz.Figure(triplets, SCORES | {"jitter": 0.2}, "alt")
    first, again = (axes(figure).collections[0].get_offsets() for _ in range(2))
    moved = np.asarray(first) - triplets[["a", "b"]].to_numpy()
    assert np.array_equal(first, again)
    assert 0.15 < np.abs(moved).max() <= 0.2 and len(np.unique(first, axis=0)) == len(triplets)
    assert any("moved at random by up to 0.2" in t for t in texts(figure.draw()))
    assert pd.read_csv(io.StringIO(figure.csv()["data"]))["a"].tolist() == triplets.a.tolist()


@pytest.fixture
def shares():
    """Percent of three outcomes at two settings, two seeds; one outcome absent at one setting."""
    rows = [("0", "right", 40), ("0", "copied", 50), ("0", "broken", 10)]
    rows += [("0.3", "right", 70), ("0.3", "broken", 30)]
    return pd.DataFrame(
        [(w, o, p + d * (o != "copied") * (1 if o == "right" else -1), s)
         for w, o, p in rows for s, d in enumerate((-2, 2))],
        columns=["omega", "outcome", "percent", "seed"],
    )  # fmt: skip


STACK = {"kind": "bars", "x": "omega", "y": "percent", "series": "outcome", "stacked": True}


@pytest.mark.parametrize("flat", [False, True])
def test_stacked_bars_stand_on_each_other_in_the_order_of_the_legend(shares, flat):
    spec = STACK | {"horizontal": flat, "annotate": True}
    spec["order"] = {"series": ["right", "copied", "broken"]}
    fig = viz.Figure(shares, spec, "alt").draw()
    boxes = [p.get_bbox() for p in fig.axes[0].patches]
    ends = [(b.x0, b.x1) if flat else (b.y0, b.y1) for b in boxes]
    assert ends == [(0, 40), (0, 70), (40, 90), (90, 100), (70, 100)]
    assert [t.get_text() for t in fig.legends[0].get_texts()] == ["right", "copied", "broken"]
    assert {"40", "70", "50", "10", "30"} <= set(texts(fig))
    assert len({p.get_hatch() for p in fig.axes[0].patches}) == 3
    assert len({h.get_hatch() for h in fig.legends[0].legend_handles}) == 3


def test_a_category_that_one_facet_lacks_keeps_its_place(shares):
    table = pd.concat([shares.assign(k="both"), shares[shares.omega == "0.3"].assign(k="one")])
    fig = viz.Figure(table, STACK | {"facet": "k"}, "alt").draw()
    assert [t.get_text() for t in fig.axes[1].get_xticklabels()] == ["0", "0.3"]
    assert {p.get_x() + p.get_width() / 2 for p in fig.axes[1].patches} == {1.0}


def test_facets_of_horizontal_bars_all_start_at_the_top(shares):
    spec = STACK | {"horizontal": True, "facet": "seed"}
    assert all(ax.yaxis_inverted() for ax in viz.Figure(shares, spec, "alt").draw().axes)


@pytest.mark.parametrize("flat", [False, True])
def test_numbers_of_negative_bars_stand_outside_them(flat):
    data = {"x": list("uvw"), "y": [-0.2, 5.0, -3.0], "e": [0.5, 0.5, 0.5]}
    spec = {"kind": "bars", "x": "x", "y": "y", "error": "e", "annotate": True, "horizontal": flat}
    fig = viz.Figure(data, spec, "alt").draw()
    fig.draw_without_rendering()
    renderer = fig.canvas.get_renderer()
    across = (lambda b: (b.x0, b.x1)) if flat else (lambda b: (b.y0, b.y1))
    for text, bar in zip(fig.axes[0].texts, fig.axes[0].patches, strict=True):
        word, body = across(text.get_window_extent(renderer)), across(bar.get_window_extent())
        assert word[1] <= body[0] or word[0] >= body[1], text.get_text()
    (word, other) = (across(fig.axes[0].texts[i].get_window_extent(renderer)) for i in (0, 1))
    assert word[1] < other[0]


def test_a_column_gives_the_spread_of_lines_and_bars():
    data = {"x": [1, 2], "y": [3.0, 4.0], "half": [0.5, 0.25]}
    ax = axes(viz.Figure(data, {"kind": "lines", "x": "x", "y": "y", "error": "half"}, "alt"))
    band = ax.collections[0].get_paths()[0].vertices
    assert (band[band[:, 0] == 1, 1].min(), band[band[:, 0] == 1, 1].max()) == (2.5, 3.5)
    ax = axes(viz.Figure(data, {"kind": "bars", "x": "x", "y": "y", "error": "half"}, "alt"))
    ends = [tuple(s[:, 1]) for s in ax.collections[0].get_segments()]
    assert ends == [(2.5, 3.5), (3.75, 4.25)]
    data["sd"] = data["half"]
    with pytest.raises(ValueError, match="a spread over rows and a column's name"):
        viz.Figure(data, {"kind": "bars", "x": "x", "y": "y", "error": "sd"}, "alt")


def test_marked_cells_are_framed_and_the_frame_explained():
    table = tables(np.array([[0.2, 0.95], [0.91, 0.4]]))["data"]
    table["masked"] = table["value"] >= 0.9
    spec = {"kind": "heatmap", "x": "column", "y": "row", "value": "value", "mark": "masked"}
    fig = viz.Figure(table, spec, "alt").draw()
    frames = [p for p in fig.axes[0].patches if isinstance(p, mpl.patches.Rectangle)]
    assert {(int(p.get_x()), int(p.get_y())) for p in frames} == {(1, 0), (0, 1)}
    assert {p.get_edgecolor()[:3] for p in frames} == {(0, 0, 0), (1, 1, 1)}
    assert "framed: masked" in texts(fig)


@pytest.fixture
def tokens():
    """What two contexts would write at each of six steps."""
    words = {"asked": "a boy is sleeping outdoors .", "opposite": "a <b> is running $x$ ."}
    return pd.DataFrame(
        [{"step": t, "context": name, "word": word, "p": 0.1 * t + 0.1}
         for name, line in words.items() for t, word in enumerate(line.split())]
    )  # fmt: skip


WORDS = {"kind": "heatmap", "x": "step", "y": "context", "value": "p", "text": "word"}


def test_words_in_cells_fit_them(tokens):
    figure = viz.Figure(tokens, WORDS, "alt")
    for width in draw.WIDTHS:
        fig = figure.draw(width=width)
        ax, renderer = fig.axes[0], fig.canvas.get_renderer()
        assert [t.get_text().replace("\\", "") for t in ax.texts if t.get_text().strip()] == [
            word for _, word in sorted_words(tokens, turned=width == "narrow")
        ]
        cell = ax.get_window_extent().width / (2 if width == "narrow" else 6)
        for text in ax.texts:
            assert text.get_window_extent(renderer).width <= cell, text.get_text()
        assert (ax.get_xlabel() == "context") == (width == "narrow")


def sorted_words(table, turned):
    keys = ["step", "context"] if turned else ["context", "step"]
    return [(None, row.word) for row in table.sort_values(keys).itertuples()]


def test_cells_without_a_word_stay_empty(tokens):
    tokens.loc[3, "word"] = None
    fig = viz.Figure(tokens, WORDS, "alt").draw()
    assert "sleeping" not in texts(fig) and "None" not in texts(fig) and "nan" not in texts(fig)


def test_long_titles_of_facets_keep_to_their_picture(triplets):
    long = triplets.assign(label="a title of many words for " + triplets["label"] + " triplets")
    fig = viz.Figure(long, SCORES | {"facet": "label", "columns": 2}, "alt").draw()
    fig.draw_without_rendering()
    renderer = fig.canvas.get_renderer()
    first, second = (ax._left_title.get_window_extent(renderer) for ax in fig.axes)
    assert first.x1 < second.x0 and second.x1 <= fig.bbox.x1
    assert layout.wrap("as the paper: 62.1 %", 14).split("\n")[-1].endswith("62.1\u00a0%")


def test_long_labels_of_axes_stay_in_the_picture(triplets):
    long = "share of the false negatives that a guide has found and masked, in percent"
    figure = viz.Figure(triplets, SCORES | {"xlabel": long, "ylabel": long}, "alt")
    for width in draw.WIDTHS:
        fig = figure.draw(width=width)
        fig.draw_without_rendering()
        for axis in (fig.axes[0].xaxis, fig.axes[0].yaxis):
            box = axis.label.get_window_extent(fig.canvas.get_renderer())
            assert box.x0 >= 0 and box.x1 <= fig.bbox.x1 and box.y0 >= 0 and box.y1 <= fig.bbox.y1
    formula = "cosine of $x$ and $x^k$, for all of the rows of a batch of many rows, of the guide"
    fig = viz.Figure(triplets, SCORES | {"xlabel": formula}, "alt").draw(width="narrow")
    assert fig.axes[0].get_xlabel() == formula


def test_a_legend_reads_along_its_rows(tokens):
    assert layout.by_rows(list("abcde"), 3) == ["a", "d", "b", "e", "c"]
    assert layout.by_rows(list("abcd"), 4) == list("abcd")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"regions": [{"label": "kept"}]}, "must be a dict with points or where"),
        ({"regions": [{"points": [[0, 0], [1, 1]]}]}, r"three or more \[x, y\]"),
        ({"regions": [{"where": [1, 0, 3]}]}, r"list of \[p, q, r\]"),
        ({"regions": [KEPT], "xlim": None}, "give xlim and ylim"),
        ({"regions": [KEPT], "ylim": [0, None]}, "both ends of ylim"),
        ({"regions": [KEPT | {"color": "red"}]}, "unknown colour of a region 'red'"),
        ({"regions": [KEPT | {"at": 3}]}, "label's place"),
        ({"regions": [KEPT | {"colour": "gold"}]}, r"'colour' \(did you mean 'color'\?\)"),
        ({"count": True, "jitter": 0.1}, "leave 'jitter' out"),
        ({"jitter": -0.1}, "at least 0"),
        ({"jitter": 0.1, "label": "label"}, "leave one out"),
    ],
)
def test_what_is_wrong_with_regions_and_dots(triplets, change, message):
    with pytest.raises(ValueError, match=message):
        viz.Figure(triplets, SCORES | change, "alt")


def test_what_is_wrong_with_stacks_and_marks(shares):
    for change, message in (
        ({"series": None}, "name the column with 'series'"),
        ({"error": "sd"}, "stacked bars have no spread"),
    ):
        with pytest.raises(ValueError, match=message):
            viz.Figure(shares, STACK | change, "alt")
    with pytest.raises(ValueError, match="at least 0, 'percent' has -1"):
        viz.Figure(shares.assign(percent=-1), STACK, "alt")
    spec = {"kind": "heatmap", "x": "omega", "y": "outcome", "value": "percent"}
    with pytest.raises(ValueError, match="must be true or false, has "):
        viz.Figure(shares, spec | {"mark": "percent"}, "alt")
    with pytest.raises(ValueError, match=r"unknown column in spec\['text'\] 'word'"):
        viz.Figure(shares, spec | {"text": "word"}, "alt")


# fmt: off
SMALL = {
    "lines": {"x": "a", "y": "b"},
    "path": {"x": "a", "y": "b", "label": "t"},
    "scatter": {
        "x": "a", "y": "b", "series": "t", "fit": True, "count": True, "xlim": [0, 5],
        "ylim": [-2, 3], "regions": [{"where": [[1, 0, 2]], "label": "r"}],
    },
    "bars": {"x": "t", "y": "b", "annotate": True, "horizontal": True},
    "heatmap": {"x": "t", "y": "a", "value": "b", "center": 0, "text": "t", "mark": "m"},
    "histogram": {"x": "a"},
    "density": {"x": "a"},
    "arrows": {"x": "a", "y": "b", "x2": "b", "y2": "a", "circle": 1},
    "flow": {"source": "t", "target": "a"},
}
# fmt: on


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_kind_draws_in_both_modes_and_widths(kind, mode):
    frame = pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [2.0, -1.0, 0.5], "t": ["u", "v", "w"]})
    frame["m"] = [True, False, True]
    figure = viz.Figure(frame, {"kind": kind, **SMALL[kind]}, "alt")
    for width, inches in draw.WIDTHS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            # What matplotlib hears from its own parser about the future is not ours to answer.
            warnings.filterwarnings("ignore", "", DeprecationWarning, r"matplotlib\.|pyparsing\.")
            root = ElementTree.fromstring(figure.svg(mode=mode, width=width))
        assert float(root.get("viewBox").split()[2]) == pytest.approx(72 * inches)


# ------------------------------------------------------------------ data that cannot be drawn
def _words(figure, **how):
    """What a static picture says: an SVG whose letters are text."""
    svg = draw.render(figure.tables, figure.spec, text="text", **how).decode()
    return html_module.unescape(re.sub(r"<[^>]+>", "\n", svg))


def test_a_bar_of_nothing_has_no_sign():
    rows = pd.DataFrame({"x": ["a", "b"], "gain": [-0.004, -0.4]})
    spec = {"kind": "bars", "x": "x", "y": "gain", "annotate": True, "format": "+.1f"}
    said = _words(viz.Figure(rows, spec, "Two bars.")).split()
    assert "0.0" in said and "-0.4" in said and "-0.0" not in said


def test_empty_labels_take_no_place_from_others():
    rows = pd.DataFrame({"x": range(90), "y": range(90), "word": [""] * 89 + ["last"]})
    spec = {"kind": "scatter", "x": "x", "y": "y", "label": "word"}
    drawn = draw.draw(tables(rows), check(tables(rows), spec))
    assert "last" in [text.get_text() for text in drawn.axes[0].texts]


def test_no_number_of_a_path_lies_on_a_line():
    """Arrows that go left and right, up and down: the numbers stand beside them."""
    ways = {"left": [(4, 3), (3, 3), (2, 3.1), (1, 3)], "right": [(1, 1), (2, 1), (3, 0.9)],
            "down": [(5, 4), (5, 3), (5, 2)]}
    rows = [
        {"x": float(x), "y": float(y), "way": way, "n": f"{way} {i}"}
        for way, points in ways.items() for i, (x, y) in enumerate(points)
    ]  # fmt: skip
    spec = {"kind": "path", "x": "x", "y": "y", "series": "way", "label": "n",
            "xlim": (0, 6), "ylim": (0, 5)}
    fig = draw.draw(tables(pd.DataFrame(rows)), check(tables(pd.DataFrame(rows)), spec))
    ax = fig.axes[0]
    notes = [t for t in ax.texts if t.get_text()]
    assert len(notes) == len(rows)
    for note in notes:
        box = note.get_window_extent(fig.canvas.get_renderer())
        for points in ways.values():
            for start, end in zip(points, points[1:], strict=False):
                for share in np.linspace(0, 1, 400):
                    x, y = ax.transData.transform(np.add(start, share * np.subtract(end, start)))
                    assert not (box.x0 < x < box.x1 and box.y0 < y < box.y1), note.get_text()


@pytest.mark.parametrize("kind", KINDS)
def test_empty_and_nan_data_say_so_in_their_place(kind):
    numbers = {"a": [np.nan, np.inf], "b": [1.0, np.nan], "t": [None, None], "m": [0, 1]}
    for frame, said in (
        (pd.DataFrame(numbers).iloc[:0], "no rows"),
        (pd.DataFrame(numbers), "no row has all the numbers"),
    ):
        fig = viz.Figure(frame, {"kind": kind, **SMALL[kind]}, "alt").draw()
        assert said in " ".join(" ".join(texts(fig)).split())


def test_rows_without_a_number_are_counted_in_the_picture(runs):
    runs.loc[[0, 5], "score"] = [np.nan, -np.inf]
    fig = viz.Figure(runs, LINES, "alt").draw()
    assert fig.dropped == 2
    assert "2 of 24 rows without a finite number: not drawn" in texts(fig)


def test_one_value_has_no_density_but_a_place():
    ax = axes(viz.Figure({"v": [2.0, 2.0]}, {"kind": "density", "x": "v"}, "alt"))
    assert ax.lines[0].get_xdata()[0] == 2.0


# ------------------------------------------------------------------ text from data
EVIL = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "$\\frac{1}{0}$ and $x",
    "a--b",
]


def test_text_of_data_is_text(runs):
    frame = pd.DataFrame({"x": range(4), "y": range(4), "t": EVIL})
    spec = {"kind": "scatter", "x": "x", "y": "y", "label": "t", "series": "t"}
    figure = viz.Figure(frame, spec, " ".join(EVIL), caption=EVIL[1])
    for width in draw.WIDTHS:
        svg = figure.svg(width=width)
        names = {element.tag.rsplit("}")[-1] for element in ElementTree.fromstring(svg).iter()}
        assert not names & {"script", "img", "foreignObject", "a"}
    shown = figure._repr_mimebundle_()["text/html"]
    assert "<script>" not in shown and shown.count("<img") == 1
    alt = re.search(r'alt="([^"]*)"', shown)[1]
    assert html_module.unescape(alt) == figure.alt


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=80))
def test_safe_text_is_one_short_line_without_markup(text):
    shown = draw.safe(text)
    assert "\n" not in shown and "\x00" not in shown and len(shown.replace("\\", "")) <= 61
    assert not mpl.cbook.is_math_text(shown)
    ElementTree.fromstring(f"<t>{html_module.escape(shown)}</t>")


@settings(max_examples=8, deadline=None)
@given(st.text(max_size=30))
def test_any_text_can_be_drawn(text):
    figure = viz.Figure(
        {"x": [1], "y": [1], "t": [text]},
        {**SMALL["bars"], "kind": "bars", "x": "t", "y": "y"},
        "alt",
    )
    ElementTree.fromstring(figure.svg())


# ------------------------------------------------------------------ outputs
def test_same_data_same_bytes(runs):
    one, two = (viz.Figure(runs, LINES, "alt") for _ in range(2))
    assert one.svg() == two.svg() and one.png() == two.png()
    assert "<dc:date>" not in one.svg()


def test_png_is_opaque_and_svg_transparent(runs):
    figure = viz.Figure(runs, LINES, "alt")
    for mode in ("light", "dark"):
        pixels = imread(io.BytesIO(figure.png(mode=mode, dpi=50)))
        assert pixels[..., 3].min() == 1.0
        ground = mpl.colors.to_rgb(palette(mode)["ground"])
        assert pixels[0, 0, :3] == pytest.approx(ground, abs=0.01)
    first = re.search(r'<g id="patch_1">.*?</g>', figure.svg(), re.S)[0]
    assert "fill: none" in first


def test_mime_bundle_carries_all_that_a_page_needs(runs):
    figure = viz.Figure(runs, LINES, "Two lines rise.", label="fig-01-runs", caption="Runs.")
    bundle = json.loads(json.dumps(figure._repr_mimebundle_()))
    assert bundle["text/plain"] == "Two lines rise."
    assert {"text/html", "image/png"} < set(bundle)
    page = bundle[viz.MIMETYPE]
    assert page["label"] == "fig-01-runs" and page["caption"] == "Runs."
    assert set(page["svg"]) == {"light-wide", "light-narrow", "dark-wide", "dark-narrow"}
    assert len(set(page["svg"].values())) == 4
    table = pd.read_csv(io.StringIO(page["data"]["fig-01-runs"]))
    pd.testing.assert_frame_equal(table, runs, rtol=1e-14)
    again = viz.Figure(table, page["spec"], page["alt"])
    assert again.draw().axes[0].get_ylim() == pytest.approx(figure.draw().axes[0].get_ylim())


def test_colab_gets_no_more_than_it_shows(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "google.colab", object())
    assert viz.MIMETYPE not in viz.Figure(runs, LINES, "alt")._repr_mimebundle_()


def test_save(runs, tmp_path):
    figure = viz.Figure(runs, LINES, "Two lines.", label="fig-01-runs", caption="Runs.")
    files = figure.save(tmp_path / "new" / "folder")
    assert sorted(f.name.removeprefix("fig-01-runs") for f in files) == [
        ".alt.txt",
        ".caption.txt",
        ".columns.csv",
        ".csv",
        ".html",
        ".png",
        ".spec.json",
        ".svg",
    ]
    folder = files[0].parent
    assert sorted(folder.iterdir()) == sorted(files)
    assert (folder / "fig-01-runs.alt.txt").read_text() == "Two lines.\n"
    table = pd.read_csv(folder / "fig-01-runs.csv")
    pd.testing.assert_frame_equal(table, runs, rtol=1e-14)
    assert json.loads((folder / "fig-01-runs.spec.json").read_text()) == LINES
    several = viz.Figure({"a b": runs, "c": runs}, LINES, "alt").save(tmp_path)
    assert {"figure-a-b.csv", "figure-c.csv"} <= {f.name for f in several}


POINTS = {"kind": "scatter", "x": "loss", "y": "gain", "xlabel": "loss (nats)"}


def points(label=None):
    """5,000 points with texts that a file's format has to escape."""
    table = pd.DataFrame({"loss": np.linspace(0, 1, 5000), "gain": np.linspace(1, 0, 5000) ** 2})
    caption = "Points & $\\tau=0.05$. Drag one; press *Play*. (In print: all of them.)"
    return viz.Figure(table, POINTS, "Five <thousand> points.", label=label, caption=caption)


def test_a_figure_for_a_column_of_a_paper(tmp_path):
    """SVG of 3.3 inches: vectors, text as text, what it shows in words; the same bytes."""
    figure = points("fig-01-points")
    how = dict(formats=("svg",), width=3.3, text="text")
    files = {f.suffix: f for f in figure.save(tmp_path / "a", **how)}
    names = {f.name for f in files[".svg"].parent.iterdir()}
    assert not any(name.endswith((".png", ".html", ".pdf")) for name in names)
    svg = files[".svg"].read_text()
    root = ElementTree.fromstring(svg)
    space = "{http://www.w3.org/2000/svg}"
    assert root.get("width") == "237.6pt" and root.get("role") == "img"
    assert root[0].tag == f"{space}title" and root[0].text == "Points & τ = 0.05. All of them."
    assert root[1].tag == f"{space}desc" and root[1].text == "Five <thousand> points."
    assert "<image" not in svg and "loss (nats)" in "".join(root.itertext())
    again = {f.suffix: f for f in figure.save(tmp_path / "b", **how)}
    assert files[".svg"].read_bytes() == again[".svg"].read_bytes()
    assert (tmp_path / "a" / "fig-01-points.caption.txt").read_text() == root[0].text + "\n"
    # Shapes in place of letters, and beyond 20,000 points a picture within the picture.
    figure.save(tmp_path / "c", ("svg",))
    assert "<text" not in (tmp_path / "c" / "fig-01-points.svg").read_text() and "<text" in svg
    many = viz.Figure(pd.concat([points().tables["data"]] * 5), POINTS, "alt")
    many.save(tmp_path / "d", ("svg",), width=3.3)
    assert "<image" in (tmp_path / "d" / "figure.svg").read_text()


def test_a_saved_heatmap_is_all_vectors_its_scale_too(tmp_path):
    cells = pd.DataFrame([{"x": i, "y": j, "v": i * j} for i in range(5) for j in range(5)])
    figure = viz.Figure(cells, {"kind": "heatmap", "x": "x", "y": "y", "value": "v"}, "alt")
    figure.save(tmp_path, ("svg",), width=3.3)
    assert "<image" not in (tmp_path / "figure.svg").read_text()
    assert len(figure.svg()) < 0.9 * (tmp_path / "figure.svg").stat().st_size  # a page's is light


def test_a_pdf_has_text_with_its_font_and_says_what_it_shows(tmp_path):
    pypdf = pytest.importorskip("pypdf", reason="pypdf reads the PDF; the extra book has it")
    how = dict(formats=("pdf",), width=3.3)
    first, second = (
        {f.suffix: f for f in points("fig-01-points").save(tmp_path / name, **how)}[".pdf"]
        for name in ("a", "b")
    )
    assert first.read_bytes() == second.read_bytes()
    page = pypdf.PdfReader(first)
    assert float(page.pages[0].mediabox.width) == pytest.approx(3.3 * 72, abs=1)
    assert "loss (nats)" in page.pages[0].extract_text()
    assert page.metadata.subject == "Five <thousand> points." and not page.pages[0].images
    fonts = page.pages[0]["/Resources"]["/Font"].values()
    inner = [font.get_object()["/DescendantFonts"][0].get_object() for font in fonts]
    assert inner and all("/FontFile2" in font["/FontDescriptor"] for font in inner)  # embedded


@pytest.mark.parametrize(
    "how, said",
    [
        (dict(formats=("gif",)), "some of html, png, svg, pdf"),
        (dict(formats="png"), "some of html, png, svg, pdf"),
        (dict(formats=()), "some of html, png, svg, pdf"),
        (dict(width=40), "inches between 1.5 and 20"),
        (dict(width="3.3in"), "inches between 1.5 and 20"),
        (dict(mode="sepia"), "light or dark"),
        (dict(text="outline"), "shapes or text"),
        (dict(dpi=0), "1 to 2400"),
    ],
)
def test_save_says_what_it_wants_and_writes_nothing(runs, tmp_path, how, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        viz.Figure(runs, LINES, "alt").save(tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "caption, still",
    [
        ("Means; choose *list n*, and point at a cell. It falls; ▲ where not.",
         "Means. It falls; ▲ where not."),
        ("What Eq. 6 does. Drag a sentence, or move it. (In print: what $\\omega$ adds.)",
         "What Eq. 6 does. What ω adds."),
        ("Answers. In print: which the reward picks.", "Answers. Which the reward picks."),
        ("One scale. With $n$ you turn the page.", "One scale."),
        ("Turned by a quarter, it is wide.", "Turned by a quarter, it is wide."),
        ("Where a line is flat. (Computed by `f`.)", "Where a line is flat. (Computed by f.)"),
        ("Without a full stop", "Without a full stop."),
        ("Drag $\\sigma$.", ""),
    ],
)  # fmt: skip
def test_a_still_has_a_caption_of_its_own(runs, caption, still):
    figure = viz.Figure(runs, LINES, "alt", label="fig-01-runs", caption=caption)
    assert figure.still_caption() == still


def named_lines(**marks):
    """A figure whose upright lines have names, as a column of a paper; its names' boxes."""
    spec = LINES | {"vlines": [{"at": at, "label": label} for label, at in marks.items()]}
    table = pd.DataFrame({"step": [0.0, 10.0], "score": [0.0, 1.0], "encoder": ["a", "a"]})
    figure = viz.Figure(table, spec, "alt").draw(width=3.3)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    found = {t.get_text(): t.get_window_extent() for t in ax.texts if t.get_text() in marks}
    return ax, found


@pytest.mark.parametrize(
    "marks",
    [
        {"ohne Kontrast": 4.0, "ω = 0.3": 4.8},
        {"one long name of a line": 3.0, "another long name": 3.1, "and a third one": 3.2},
        {"a name by the edge": 9.8, "one before it": 9.0},
        {"sin contraste": 0.2, "ω": 0.2},
    ],
)
def test_names_of_upright_lines_cover_neither_each_other_nor_the_edge(marks):
    ax, found = named_lines(**marks)
    boxes, frame = list(found.values()), ax.get_window_extent()
    assert len(boxes) == len(marks)
    for place, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[place + 1 :])
        assert frame.x0 - 1 <= box.x0 and box.x1 <= frame.x1 + 1
        assert frame.y0 < box.y0 and box.y1 < frame.y1 + 1


def test_names_of_upright_lines_that_have_room_stand_right_of_them_at_the_top():
    ax, found = named_lines(a=1.0, b=5.0)
    for name, at in (("a", 1.0), ("b", 5.0)):
        line = ax.transData.transform((at, 0))[0]
        assert 0 < found[name].x0 - line < 10
        assert 0 < ax.get_window_extent().y1 - found[name].y1 < 10


@pytest.mark.parametrize("name, at", [("kept", 3.0), ("conservados", 3.2), ("behalten", 9.9)])
def test_the_name_of_a_region_lies_in_it_where_it_is_narrower(name, at):
    region = {"points": [[3, 0], [10, 0], [10, 1], [3, 1]], "label": name, "at": [at, 0.2]}
    table = pd.DataFrame({"step": [0.0, 10.0], "score": [0.0, 1.0], "encoder": ["a", "a"]})
    figure = viz.Figure(table, LINES | {"regions": [region]}, "alt").draw(width=3.3)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    (box,) = [text.get_window_extent() for text in ax.texts if text.get_text() == name]
    left, right = (ax.transData.transform((x, 0))[0] for x in (3, 10))
    assert left < box.x0 and box.x1 < right


def test_the_columns_of_the_data_are_explained(runs):
    spec = {"kind": "panels", "panels": [
        {"kind": "lines", "data": "curve", "x": "step", "y": "mark", "series": "arm",
         "xlabel": "steps", "ylabel": "Spearman (%)"},
        {"kind": "bars", "data": "end", "x": "arm", "y": "mark"}]}  # fmt: skip
    curve = pd.DataFrame({"step": [0, 1], "mark": [50.0, 61.5], "arm": ["a", "b"], "mode": 3})
    end = pd.DataFrame({"arm": ["a", "b"], "mark": [1.0, 2.0]})
    table = viz.Figure({"curve": curve, "end": end}, spec, "alt").dictionary()
    table = table.set_index(["table", "column"])
    assert table.loc[("curve", "mark"), "role"] == "y"
    assert table.loc[("curve", "mark"), ["smallest", "largest"]].tolist() == [50.0, 61.5]
    assert table.loc[("curve", "arm"), ["role", "values"]].tolist() == ["series", "a | b"]
    assert table.loc[("curve", "step"), "label"] == "steps"
    assert table.loc[("curve", "mode"), "role"] == ""
    assert table.loc[("end", "arm"), "role"] == "x"


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    write_bytes(path, b"old")
    monkeypatch.setattr("os.replace", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


# ------------------------------------------------------------------ colours, measured
# Machado, Oliveira and Fernandes (2009), severity 1.0, on linear RGB.
DEFICIENCY = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour):
    rgb = np.array(mpl.colors.to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(a, b):
    """WCAG 2.2 contrast ratio."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (a, b))
    return (high + 0.05) / (low + 0.05)


def lab(rgb):
    """CIELAB (D65) of linear RGB."""
    xyz = (
        np.array(
            [
                [0.4124564, 0.3575761, 0.1804375],
                [0.2126729, 0.7151522, 0.0721750],
                [0.0193339, 0.1191920, 0.9503041],
            ]
        )
        @ rgb
        / [0.95047, 1.0, 1.08883]
    )
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def ciede2000(one, two):
    """Colour difference of two CIELAB colours (Sharma, Wu and Dalal, 2005)."""
    (l1, a1, b1), (l2, a2, b2) = one, two
    c = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 0.5 * (1 - np.sqrt(c**7 / (c**7 + 25**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180
    dh = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    lm, cm, hm = (l1 + l2) / 2, (c1 + c2) / 2, h1 + turn / 2
    t = (
        1
        - 0.17 * np.cos(np.radians(hm - 30))
        + 0.24 * np.cos(np.radians(2 * hm))
        + 0.32 * np.cos(np.radians(3 * hm + 6))
        - 0.20 * np.cos(np.radians(4 * hm - 63))
    )
    sl = 1 + 0.015 * (lm - 50) ** 2 / np.sqrt(20 + (lm - 50) ** 2)
    sc, sh = 1 + 0.045 * cm, 1 + 0.015 * cm * t
    rt = (
        -2
        * np.sqrt(cm**7 / (cm**7 + 25**7))
        * np.sin(np.radians(60 * np.exp(-((((hm % 360) - 275) / 25) ** 2))))
    )
    dl, dc = l2 - l1, c2 - c1
    return np.sqrt((dl / sl) ** 2 + (dc / sc) ** 2 + (dh / sh) ** 2 + rt * dc / sc * dh / sh)


def test_ciede2000_on_published_pairs():
    """Pairs 1, 7 and 17 of the test data of Sharma, Wu and Dalal (2005)."""
    assert ciede2000((50, 2.6772, -79.7751), (50, 0, -82.7485)) == pytest.approx(2.0425, abs=1e-4)
    assert ciede2000((50, 0, 0), (50, -1, 2)) == pytest.approx(2.3669, abs=1e-4)
    assert ciede2000((50, 2.5, 0), (73, 25, -18)) == pytest.approx(27.1492, abs=1e-4)


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_series_stand_out_from_their_ground(mode):
    for name, colour in SERIES[mode].items():
        assert contrast(colour, ROLES[mode]["ground"]) >= 3, name
    for text in ("ink", "muted"):
        assert contrast(ROLES[mode][text], ROLES[mode]["ground"]) >= 4.5


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("deficiency", DEFICIENCY)
def test_series_are_told_apart_by_every_reader(mode, deficiency):
    seen = {
        name: lab(np.clip(np.asarray(DEFICIENCY[deficiency]) @ linear(colour), 0, 1))
        for name, colour in SERIES[mode].items()
    }
    near = {(a, b): ciede2000(seen[a], seen[b]) for a, b in combinations(seen, 2)}
    pair = min(near, key=near.get)
    assert near[pair] >= 11, f"{pair}: {near[pair]:.1f}"


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_heat_is_ordered_by_lightness(mode):
    light = [lab(linear(colour))[0] for colour in colormap(mode)(np.linspace(0, 1, 32))]
    steps = np.diff(light)
    assert (steps < 0).all() if mode == "light" else (steps > 0).all()


def test_palette_names_and_modes():
    assert list(palette("light")) == list(palette("dark"))
    assert set(SERIES["light"]) | set(ROLES["light"]) == set(viz.palette())
    with pytest.raises(ValueError, match="'light' or 'dark'"):
        viz.palette("sepia")


def test_use_style_sets_what_figures_use():
    with mpl.rc_context():
        viz.use_style("dark")
        assert mpl.rcParams["text.color"] == ROLES["dark"]["ink"]
    assert style()["svg.hashsalt"]


def test_drawing_leaves_the_session_alone(runs):
    before = dict(mpl.rcParams)
    viz.Figure(runs, LINES, "alt").svg(mode="dark")
    assert dict(mpl.rcParams) == before
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_page_styles_have_the_palette():
    sheet = (ROOT / "book" / "site_static" / "figures.css").read_text(encoding="utf-8")
    light, dark = re.findall(r"html(?:\[data-theme=\"dark\"\])? \{(.*?)\}", sheet, re.S)[:2]
    for mode, block in (("light", light), ("dark", dark)):
        tokens = dict(re.findall(r"--sc-(\w+): (#[0-9a-f]{6});", block))
        assert tokens == palette(mode)


# ------------------------------------------------------------------ the page
def build(folder, outputs, text):
    """Build a one-chapter book whose notebook has these outputs; returns pages and warnings."""
    import nbformat

    pytest.importorskip("myst_nb")  # the environments of the book have it
    from sphinx.application import Sphinx

    source = folder / "source"
    (source / "static").mkdir(parents=True)
    (source / "conf.py").write_text("")
    (source / "index.md").write_text(f"# Book\n\n{text}\n\n```{{toctree}}\nchapter\n```\n")
    cells = [nbformat.v4.new_markdown_cell(f"# Chapter\n\n{text}")]
    for number, output in enumerate(outputs):
        data = nbformat.v4.new_output("execute_result", data=output, execution_count=1)
        cell = nbformat.v4.new_code_cell(f"figure({number})", outputs=[data])
        cells.append(cell)
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    kernel["language_info"] = {"name": "python"}
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(notebook, source / "chapter.ipynb")
    sys.path.insert(0, str(ROOT / "book" / "_ext"))
    try:
        said = io.StringIO()
        app = Sphinx(
            source,
            None,
            folder / "html",
            folder / "doctrees",
            "html",
            status=None,
            warning=said,
            confoverrides={
                "extensions": ["myst_nb", "figures"],
                # Said in full: Sphinx keeps what another app of this process added to its default.
                "source_suffix": {".md": "myst-nb", ".ipynb": "myst-nb"},
                "numfig": True,
                "nitpicky": True,
                "nb_execution_mode": "off",
                "html_theme": "basic",
                "html_static_path": [str(ROOT / "book" / "site_static" / "figures.css")],
                "myst_enable_extensions": ["dollarmath"],
            },
        )
        app.build()
    finally:
        sys.path.remove(str(ROOT / "book" / "_ext"))
    pages = {p: (folder / "html" / f"{p}.html").read_text() for p in ("index", "chapter")}
    return pages, said.getvalue()


def test_a_page_numbers_the_figure_and_hands_out_its_data(runs, tmp_path):
    caption = f"Loss at $\\tau=0.05$; {EVIL[0]} {EVIL[1]}"
    figures = [
        viz.Figure(runs, LINES, "One.", label="fig-01-one", caption="First."),
        viz.Figure(runs, LINES, f"Two. {EVIL[1]}", label="fig-01-two", caption=caption),
        viz.Figure(runs, LINES, "Without a number."),
    ]
    bundles = [json.loads(json.dumps(f._repr_mimebundle_())) for f in figures]
    pages, said = build(tmp_path, bundles, "See {numref}`fig-01-two`.")
    assert said == ""
    for page in pages.values():
        assert "Fig. 2" in page and "<script>alert" not in page and "<img src=x" not in page
    chapter = pages["chapter"]
    assert chapter.count('class="sc-figure') == 3 and chapter.count("caption-number") == 2
    assert "figures.css" in chapter and "data:image/png" not in chapter
    images = re.findall(r"<img [^>]*>", chapter)
    assert len(images) == 6
    for mode in ("light", "dark"):
        assert sum(f"only-{mode}" in image for image in images) == 3
    alts = [html_module.unescape(re.search(r'alt="([^"]*)"', image)[1]) for image in images]
    assert alts == [f.alt for f in figures for _ in range(2)]
    shown = re.findall(r'(?:src|srcset)="([^"]*\.svg)"', chapter)
    assert len(shown) == 12
    for address in shown:
        assert (tmp_path / "html" / address).is_file()
    links = re.findall(r'href="([^"]*\.csv)"', chapter)
    assert [link.rsplit("/")[-1] for link in links] == [
        "fig-01-one.csv",
        "fig-01-two.csv",
        "figure.csv",
    ]
    for link in links:
        table = pd.read_csv(tmp_path / "html" / link)
        pd.testing.assert_frame_equal(table, runs, rtol=1e-14)


def test_on_paper_a_caption_is_that_of_the_still(runs, tmp_path):
    """In the page stand both; what paper and EPUB show is `Figure.still_caption`."""
    import make_epub
    import make_pdf
    from bs4 import BeautifulSoup

    caption = (
        "Means at $\\tau=0.05$; choose *list n*, and point at a cell. It *falls*. Drag $\\sigma$. "
        "(In print: what the step adds, of {numref}`fig-01-runs`.) Of 1,500 lists."
    )
    figure = viz.Figure(runs, LINES, "alt", label="fig-01-runs", caption=caption)
    bundle = json.loads(json.dumps(figure._repr_mimebundle_()))
    pages, said = build(tmp_path, [bundle], "See {numref}`fig-01-runs`.")
    assert "chapter.ipynb" not in said  # a second book in one process is told of its nodes
    page = BeautifulSoup(pages["chapter"], "html.parser")

    def shown(soup, hidden):
        for tag in soup.select(f"{hidden}, .caption-number, .headerlink"):
            tag.decompose()
        return " ".join(soup.select_one("figcaption p").get_text().split())

    screen = shown(BeautifulSoup(str(page), "html.parser"), ".print-only")
    assert screen == (
        "Means at \\(\\tau=0.05\\); choose list n, and point at a cell. It falls. Drag "
        "\\(\\sigma\\). (In print: what the step adds, of Fig. 1.) Of 1,500 lists."
    )
    still = ("Means at \\(\\tau=0.05\\). It falls. What the step adds, of Fig. 1. "
             "Of 1,500 lists.")  # fmt: skip
    make_pdf.prepare(page, "notebooks/01.html", "Chapter")
    assert shown(BeautifulSoup(str(page), "html.parser"), "noscript") == still
    paper = f'<section class="print-page" id="a"><h1>A</h1>{page.figure}</section>'
    assert shown(BeautifulSoup(make_epub.plain(paper), "html.parser"), "noscript") == still
    sheet = (ROOT / "book" / "site_static" / "figures.css").read_text(encoding="utf-8")
    assert re.search(r"@media screen \{ [^}]*\.print-only \{ display: none; \}", sheet)


def test_two_figures_of_one_label_are_a_warning(runs, tmp_path):
    figure = viz.Figure(runs, LINES, "One.", label="fig-01-one", caption="First.")
    bundle = json.loads(json.dumps(figure._repr_mimebundle_()))
    _, said = build(tmp_path, [bundle, bundle], "See {numref}`fig-01-one`.")
    assert "fig-01-one" in said


def test_a_picture_of_all_steps_says_nothing_of_the_slider(runs):
    """Where the static picture's table lacks the slider's column, it shows all rows."""
    stills = runs.rename(columns={"step": "when"})
    spec = {
        "kind": "explorer", "explorer": "usual",
        "controls": [{"name": "step", "type": "range", "column": "step", "value": 10}],
        "options": {"spec": LINES | {"data": "runs"}},
    }  # fmt: skip
    for name, x, said in (("runs", "step", True), ("stills", "when", False)):
        own = {"static": LINES | {"data": name, "x": x}}
        figure = viz.Figure({"runs": runs, "stills": stills}, spec | own, "alt").draw()
        words = [text.get_text() for text in figure.findobj(mpl.text.Text)]
        assert ("step: 10" in words) == said
        assert len(figure.axes[0].lines[0].get_xdata()) == (1 if said else 4)
