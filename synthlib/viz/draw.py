"""Static drawing of a checked description by matplotlib, in one hand for the whole book."""

import html
import io
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Patch, Polygon, Rectangle
from matplotlib.path import Path
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from synthlib.viz.layout import by_rows, clip, layers, wrap
from synthlib.viz.palette import DASHES, HATCHES, MARKERS, SERIES, colormap, palette, style
from synthlib.viz.spec import chosen

#: Inches: the text column of a page on a desk, and a phone.
WIDTHS = {"wide": 7.0, "narrow": 3.8}
NARROW = 4.6  # inches below which a picture is laid out as for a phone, panels below each other
RASTER_FROM = 800  # points of a scatter; more would make a page of megabytes
# What XML forbids, and what would turn the direction of the text around it.
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def safe(value, limit=60):
    """Text of a data value as it may stand in a picture: one line, no markup, not endless."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = " ".join(_CONTROL.sub(" ", str(value)).split())
    text = text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
    return text.replace("$", r"\$")


@dataclass
class Look:
    """What all parts of one drawing share."""

    mode: str
    narrow: bool
    colours: dict
    raster_from: int = RASTER_FROM
    stacked: bool = False
    series: list = field(default_factory=list)
    styles: dict = field(default_factory=dict)
    halo: list = field(default_factory=list)  # keeps a text readable over lines
    labels: list = field(default_factory=list)  # (axes, x, y, text, heading): placed at the end
    ways: list = field(default_factory=list)  # (axes, xs, ys) of lines that no label is to lie on
    used: dict = field(default_factory=dict)  # axes -> {series: legend handle}
    meshes: dict = field(default_factory=dict)  # axes -> (heatmap, label of its scale)
    words: dict = field(default_factory=dict)  # axes -> columns of a heatmap of words
    marks: dict = field(default_factory=dict)  # axes -> names of its upright lines
    regions: list = field(default_factory=list)  # (axes, name, xs of the corners)
    remarks: list = field(default_factory=list)  # small print below the picture
    say: Callable = str  # what the small print is in the figure's language
    dropped: int = 0
    rows: int = 0

    def style(self, series):
        """Colour, marker and dashes of one series."""
        return self.styles[series]


def _ordered(table, spec, key):
    """Values of a category column: the given order first, the others as they come."""
    present = [v for v in pd.unique(table[spec[key]].dropna())]
    wanted = [str(v) for v in spec.get("order", {}).get(key, [])]
    if not wanted and pd.api.types.is_numeric_dtype(table[spec[key]]):
        return sorted(present)
    if not wanted and isinstance(table[spec[key]].dtype, pd.CategoricalDtype):
        return [v for v in table[spec[key]].cat.categories if v in present]
    first = sorted((v for v in present if str(v) in wanted), key=lambda v: wanted.index(str(v)))
    return first + [v for v in present if str(v) not in wanted]


def _series_styles(tables, specs, colours):
    """One look for each series value, the same in all facets and panels."""
    order, styles = [], {}
    columns = {}
    for spec in specs:
        if spec.get("series"):
            column = columns.setdefault(spec["series"], ([], {}))
            values = _ordered(tables[spec["data"]], spec, "series")
            column[0].extend(str(v) for v in values if str(v) not in column[0])
            column[1].update(spec.get("colors") or {})
    for values, given in columns.values():
        free = [n for n in SERIES["light"] if n not in {given.get(v) for v in values}]
        free, taken = free or list(SERIES["light"]), 0
        for position, value in enumerate(v for v in values if v not in order):
            if value in given:
                name = given[value]
            else:
                name, taken = free[taken % len(free)], taken + 1
            turn = position % len(MARKERS)
            dashes = DASHES[(turn + position // len(MARKERS)) % len(DASHES)]
            styles[value] = {
                "color": colours[name],
                "marker": MARKERS[turn],
                "dashes": dashes,
                "hatch": HATCHES[turn],
            }
        order += [v for v in values if v not in order]
    styles[None] = {"color": colours["blue"], "marker": "o", "dashes": (), "hatch": ""}
    return order, styles


def _groups(table, spec, look, ax):
    """Pairs (look, rows) of the series that these axes show; registers them for the legend."""
    if not spec.get("series"):
        return [(look.style(None), table)]
    text = table[spec["series"]].astype(str).where(table[spec["series"]].notna())
    return [
        (look.style(value), rows)
        for value in look.series
        if len(rows := table[text == value]) and look.used.setdefault(ax, {}).setdefault(value, 1)
    ]


def _clean(table, columns, look):
    """Rows whose numbers are finite; counts the others."""
    numbers = table[[c for c in dict.fromkeys(columns) if c]]
    good = numbers.notna().all(axis=1)
    for name in numbers.columns:
        if pd.api.types.is_numeric_dtype(numbers[name]):
            good &= np.isfinite(numbers[name].astype(float))
    look.rows += len(table)
    look.dropped += int((~good).sum())
    return table[good]


def _summary(rows, x, y, spread):
    """Mean and spread of y over the rows with equal x, in the order of x's first row."""
    grouped = rows.groupby(x, sort=False)[y]
    mean = grouped.mean()
    if spread == "range":
        low, high = grouped.min(), grouped.max()
    else:
        width = grouped.std(ddof=1).fillna(0.0)
        if spread == "se":
            width = width / np.sqrt(grouped.count())
        low, high = mean - width, mean + width
    return pd.DataFrame({"mean": mean, "low": low, "high": high, "n": grouped.count()})


def _ink_on(colour):
    """Black or white, whichever is read more easily on a colour."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return "#000000" if linear @ [0.2126, 0.7152, 0.0722] > 0.18 else "#ffffff"


# --------------------------------------------------------------------------- kinds
def _lines(ax, table, spec, look):
    x, y, error = spec["x"], spec["y"], spec.get("error")
    spread = error if error in ("range", "sd", "se") else spec.get("band", "range")
    explicit = [
        spec.get("low"),
        spec.get("high"),
        None if error in ("range", "sd", "se") else error,
    ]
    table = _clean(table, [x, y, *explicit], look)
    few = table[x].nunique() <= 25
    for look_of, rows in _groups(table, spec, look, ax):
        rows = rows.sort_values(x, kind="stable")
        summary = _summary(rows, x, y, spread)
        if explicit[0]:
            band = rows[explicit[0]].to_numpy(), rows[explicit[1]].to_numpy()
            at, mean = rows[x], rows[y]
        elif explicit[2]:
            band = (
                (rows[y] - rows[explicit[2]]).to_numpy(),
                (rows[y] + rows[explicit[2]]).to_numpy(),
            )
            at, mean = rows[x], rows[y]
        else:
            at, mean = summary.index, summary["mean"]
            repeated = (summary["n"] > 1).any()
            band = (summary["low"], summary["high"]) if repeated else None
        if band is not None:
            ax.fill_between(at, *band, color=look_of["color"], alpha=0.2, linewidth=0)
        ax.plot(
            at,
            mean,
            color=look_of["color"],
            dashes=look_of["dashes"] or (None, None),
            marker=look_of["marker"] if spec.get("markers", few) else None,
            markeredgecolor=look.colours["ground"],
            markeredgewidth=0.6,
        )
    return len(table)


def _path(ax, table, spec, look):
    x, y = spec["x"], spec["y"]
    table = _clean(table, [x, y, spec.get("step")], look)
    for look_of, rows in _groups(table, spec, look, ax):
        if spec.get("step"):
            rows = rows.sort_values(spec["step"], kind="stable")
        xs, ys = rows[x].to_numpy(float), rows[y].to_numpy(float)
        colour = look_of["color"]
        ax.plot(xs, ys, color=colour, linewidth=1.5, dashes=look_of["dashes"] or (None, None))
        look.ways.append((ax, xs, ys))
        ax.scatter(
            xs[1:],
            ys[1:],
            color=colour,
            marker=look_of["marker"],
            s=20,
            zorder=3,
            edgecolor=look.colours["ground"],
            linewidth=0.5,
        )
        ax.scatter(
            xs[:1],
            ys[:1],
            facecolor=look.colours["ground"],
            edgecolor=colour,
            marker=look_of["marker"],
            s=36,
            linewidth=1.5,
            zorder=3,
        )
        if len(xs) > 1:
            ax.annotate(
                "",
                (xs[-1], ys[-1]),
                (xs[-2], ys[-2]),
                arrowprops={
                    "arrowstyle": "-|>",
                    "color": colour,
                    "lw": 1.5,
                    "shrinkA": 0,
                    "shrinkB": 0,
                    "mutation_scale": 13,
                },
            )
        if spec.get("label"):
            look.labels += [
                (ax, a, b, t, (0, 0)) for a, b, t in zip(xs, ys, rows[spec["label"]], strict=True)
            ]
    return len(table)


def _scatter(ax, table, spec, look):
    x, y = spec["x"], spec["y"]
    error = spec.get("error")
    size_by = "_count" if spec.get("count") else spec.get("size")
    table = _clean(table, [x, y, error, size_by], look)
    everything = table
    if spec.get("count"):
        table = table.drop_duplicates([c for c in (x, y, spec.get("series")) if c])
    elif spec.get("jitter"):
        # The data keep their places; only the dots move, the same way in every drawing.
        moves = np.random.default_rng(0).uniform(-spec["jitter"], spec["jitter"], (len(table), 2))
        table = table.assign(**{x: table[x] + moves[:, 0], y: table[y] + moves[:, 1]})
        look.remarks.append(f"dots moved at random by up to {spec['jitter']:g} to part them")
    many = len(table)
    alpha = 0.9 if many <= 150 else 0.6 if many <= 1000 else 0.35
    groups = _groups(table, spec, look, ax)
    for position, (look_of, rows) in enumerate(groups):
        size = 30.0 if many <= 150 else 14.0 if many <= 1000 else 8.0
        aside = 0.0
        if size_by and len(rows):
            low, high = spec["_sizes"]
            share = ((rows[size_by] - low) / ((high - low) or 1.0)).clip(0, 1)
            size = 14.0 + 160.0 * share
            if spec.get("count"):
                # Series that meet in one point stand side by side.
                reach = 8.0 if look.narrow else 12.0
                size = 6.0 + reach**2 * share
                aside = 0.6 * reach * (position - (len(groups) - 1) / 2)
        ax.scatter(
            rows[x],
            rows[y],
            s=size,
            color=look_of["color"],
            marker=look_of["marker"],
            alpha=alpha,
            edgecolor=look.colours["ground"],
            linewidth=0.4,
            zorder=3,
            rasterized=many > look.raster_from,
            transform=ax.transData + ScaledTranslation(aside / 72, 0, ax.figure.dpi_scale_trans),
        )
        ax.update_datalim(rows[[x, y]].to_numpy(float))  # moved dots do not tell their place
        if error:
            ax.errorbar(
                rows[x],
                rows[y],
                yerr=rows[error],
                fmt="none",
                ecolor=look_of["color"],
                elinewidth=1.1,
                capsize=2.5,
            )
        if spec.get("label"):
            look.labels += [
                (ax, a, b, t, (0, 0))
                for a, b, t in zip(rows[x], rows[y], rows[spec["label"]], strict=True)
            ]
    ax.autoscale_view()
    if spec.get("count") and many:
        look.remarks.append(f"area of a dot: rows there, up to {spec['_sizes'][1]:g}")
    if spec.get("fit") and everything[x].nunique() > 1:
        xs, ys = everything[x].to_numpy(float), everything[y].to_numpy(float)
        slope, start = np.polyfit(xs, ys, 1)
        ends = np.array([xs.min(), xs.max()])
        ax.plot(
            ends, start + slope * ends, color=look.colours["muted"], dashes=(4, 2), linewidth=1.2
        )
    return len(table)


def _bars(ax, table, spec, look):
    x, y = spec["x"], spec["y"]
    spread, column = _spread_of(spec)
    table = _clean(table, [x, y, column], look)
    categories = spec.get("_categories") or _ordered(table, spec, "x")
    groups = _groups(table, spec, look, ax)
    if spec.get("stacked"):
        _stacks(ax, table, spec, look, groups, categories)
    else:
        width = 0.8 / max(len(groups), 1)
        for position, (look_of, rows) in enumerate(groups):
            aside = (position - (len(groups) - 1) / 2) * width
            at, mean, summary = _heights(rows, spec, spread, categories)
            spreads = np.abs(summary[["low", "high"]].to_numpy(float).T - mean)
            if column:
                half = rows.groupby(x, sort=False)[column].mean().reindex(summary.index)
                spreads = np.stack([half, half])
            _side_by_side(ax, at + aside, mean, spreads, width, spec, look, look_of)
        if spec.get("annotate"):
            ax.margins(**{"x" if spec.get("horizontal") else "y": 0.14})
    _name_bars(ax, [safe(c) for c in categories], spec.get("horizontal"), look)
    return len(table)


def _spread_of(spec):
    """What error bars show: a measure of the rows' spread, and the column that gives it or None."""
    error = spec.get("error")
    column = error if error and error not in ("range", "sd", "se") else None
    return "range" if error is None or column else error, column


def _heights(rows, spec, spread, categories):
    """Places and heights of one series' bars, and the table that they come from."""
    summary = _summary(rows, spec["x"], spec["y"], spread)
    summary = summary.reindex([c for c in categories if c in set(rows[spec["x"]])])
    at = np.array([categories.index(c) for c in summary.index], float)
    return at, summary["mean"].to_numpy(float), summary


def _stacks(ax, table, spec, look, groups, categories):
    """Bars on top of one another, each part with its number where that has room."""
    x, flat = spec["x"], spec.get("horizontal", False)
    draw = ax.barh if flat else ax.bar
    means = table.groupby([x, spec["series"]], observed=True)[spec["y"]].mean()
    room = means.groupby(x).sum().max() * (0.12 if flat and look.narrow else 0.06)
    tops = np.zeros(len(categories))  # of the stacks so far
    for look_of, rows in groups:
        at, mean, _ = _heights(rows, spec, _spread_of(spec)[0], categories)
        places = at.astype(int)
        start = tops[places]
        draw(
            at,
            mean,
            0.8,
            **{"left" if flat else "bottom": start},
            color=look_of["color"],
            hatch=look_of["hatch"],
            edgecolor=look.colours["ground"],
            linewidth=0.8,
            zorder=2,
        )
        tops[places] += mean
        for place, value, low in zip(at, mean, start, strict=True):
            if spec.get("annotate") and value > room:
                middle = low + value / 2
                ax.text(
                    *((middle, place) if flat else (place, middle)),
                    format(value, spec.get("format", ".0f")),
                    fontsize=8,
                    ha="center",
                    va="center",
                    color=_ink_on(look_of["color"]),
                    bbox={"facecolor": look_of["color"], "linewidth": 0, "pad": 1.2},
                )
    ax.margins(**{"x" if flat else "y": 0})


def _side_by_side(ax, at, mean, spreads, width, spec, look, look_of):
    """One series' bars with their errors and numbers."""
    flat = spec.get("horizontal", False)
    # A bar that is not drawn over the axis has its ground-coloured edge as a gap to the next.
    (ax.barh if flat else ax.bar)(at, mean, width * 0.92, color=look_of["color"], zorder=2)
    if np.any(spreads > 0):
        ends = {"xerr" if flat else "yerr": spreads}
        where = (mean, at) if flat else (at, mean)
        ax.errorbar(
            *where,
            **ends,
            fmt="none",
            ecolor=look.colours["ink"],
            elinewidth=1.1,
            capsize=2.5,
            zorder=3,
        )
    if spec.get("annotate"):
        for place, value, below, over in zip(at, mean, *spreads, strict=True):
            # Outwards from the bar's end, so that a negative bar has its number below.
            side = -1 if value < 0 else 1
            tip = value + (over if side > 0 else -below)
            text = format(value, spec.get("format", ".1f"))
            ax.annotate(
                re.sub(r"^-(?=0(\.0*)?%?$)", "", text),  # nothing has no sign
                (tip, place) if flat else (place, tip),
                (3 * side, 0) if flat else (0, 2 * side),
                textcoords="offset points",
                fontsize=8,
                ha=("left" if side > 0 else "right") if flat else "center",
                va="center" if flat else ("bottom" if side > 0 else "top"),
            )


def _name_bars(ax, names, flat, look):
    """Categories at the axis, turned where they have no room side by side."""
    if flat:
        ax.set_yticks(range(len(names)), [wrap(n, 22 if not look.narrow else 14) for n in names])
        ax.yaxis.set_inverted(True)  # not toggled: facets share the axis
        ax.grid(False, axis="y")
        return
    room = int(
        ax.get_subplotspec().get_position(ax.figure).width
        * ax.figure.get_figwidth()
        * 72
        / 5.6
        / max(len(names), 1)
    )
    wrapped = [wrap(n, room) for n in names]
    turned = max((len(line) for n in wrapped for line in n.split("\n")), default=0) > room + (
        room > 6
    )
    ax.set_xticks(range(len(names)), names if turned else wrapped)
    if turned:
        ax.tick_params(axis="x", labelrotation=35)
        for label in ax.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    ax.grid(False, axis="x")


def _heatmap(ax, table, spec, look):
    x, y, value = spec["x"], spec["y"], spec["value"]
    table = _clean(table, [x, y, value], look)
    if not len(table):
        return 0
    columns, rows = _ordered(table, spec, "x"), _ordered(table, spec, "y")
    grid = table.pivot_table(index=y, columns=x, values=value, aggfunc="mean", observed=True)
    grid = grid.reindex(index=rows, columns=columns).to_numpy(float)
    low, high = _colour_range(grid, spec)
    scale = colormap(look.mode, diverging=spec.get("center") is not None)
    scale = scale.with_extremes(bad=look.colours["grid"])
    mesh = ax.pcolormesh(
        np.ma.masked_invalid(grid),
        cmap=scale,
        vmin=low,
        vmax=high,
        edgecolors="face",
        linewidth=0.2,
        rasterized=grid.size > look.raster_from,
    )
    ax.invert_yaxis()
    ax.grid(False)
    for side in ax.spines.values():
        side.set_visible(False)
    ax.tick_params(length=0)
    _name_cells(ax, columns, rows, look)
    shown, size = _in_cells(ax, table, grid, columns, rows, spec)
    for (i, j), cell in np.ndenumerate(grid):
        if shown is not None and np.isfinite(cell):
            ax.text(
                j + 0.5,
                i + 0.5,
                shown[i, j],
                ha="center",
                va="center",
                fontsize=size,
                color=_ink_on(scale((cell - low) / (high - low))),
                zorder=4,
            )
    if spec.get("text"):
        look.words[ax] = len(columns)
    if spec.get("mark"):
        marked = table[table[spec["mark"]].fillna(0).astype(bool)]
        marked = {
            (rows.index(i), columns.index(j)) for i, j in zip(marked[y], marked[x], strict=True)
        }
        # A light line in a dark one is seen on any ground.
        for i, j in sorted(marked):
            for colour, line in (("#000000", 2.4), ("#ffffff", 1.0)):
                box = Rectangle(
                    (j + 0.1, i + 0.1), 0.8, 0.8, fill=False, edgecolor=colour, linewidth=line
                )
                ax.add_patch(box).set(zorder=3, rasterized=grid.size > look.raster_from)
        look.remarks.append(f"framed: {safe(spec['mark'])}")
    look.meshes[ax] = mesh, spec.get("vlabel", safe(value))
    return len(table)


def _colour_range(grid, spec):
    """What the first and the last colour of a heatmap stand for."""
    low = spec.get("vmin", np.nanmin(grid))
    high = spec.get("vmax", np.nanmax(grid))
    center = spec.get("center")
    if center is not None:
        reach = max(abs(high - center), abs(center - low)) or 1.0
        low, high = center - reach, center + reach
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _name_cells(ax, columns, rows, look):
    """Names of columns and rows: as many as have room, turned where they are long."""
    long = max((len(safe(c)) for c in columns), default=0) * len(columns)
    turned = long > (40 if look.narrow else 76)
    beside = ax.get_subplotspec().get_position(ax.figure).width < 0.6  # half the room, or less
    for axis, names in ((ax.xaxis, columns), (ax.yaxis, rows)):
        most = (12 if look.narrow else 24) // (2 if beside and axis is ax.xaxis else 1)
        at = np.arange(0, len(names), max(1, math.ceil(len(names) / most)))
        if axis is ax.xaxis and turned:
            axis.set_ticks(at + 0.5, [safe(names[i], 16) for i in at], rotation=40, ha="right")
            for label in ax.get_xticklabels():
                label.set_rotation_mode("anchor")
        else:
            wide = 11 if look.narrow else 14
            axis.set_ticks(at + 0.5, [wrap(safe(names[i], 28), wide) for i in at])


def _in_cells(ax, table, grid, columns, rows, spec):
    """What stands in the cells, words or numbers, or None; and the size of its letters."""
    x, y = spec["x"], spec["y"]
    if spec.get("text"):
        words = dict(zip(zip(table[y], table[x], strict=True), table[spec["text"]], strict=True))
        words = [[words.get((row, column)) for column in columns] for row in rows]
        return np.array([[safe(w, 28) if pd.notna(w) else "" for w in line] for line in words]), 9
    cell_width = ax.get_position().width * ax.figure.get_figwidth() * 0.72 / len(columns)
    if spec.get("annotate") and cell_width > 0.27:
        # Numbers only where a cell of these axes has room for them.
        size = 8.5 if cell_width > 0.42 else 6.5
        form = spec.get("format", ".2f")
        return np.vectorize(lambda v: format(v, form), otypes=[str])(grid), size
    return None, None


def _colour_bar(fig, mesh, label, axes, look):
    """The scale of one heatmap, or of several that share it."""
    bar = fig.colorbar(mesh, ax=axes, pad=0.02, fraction=0.06, aspect=22)
    bar.set_label(label)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=0)
    if look.raster_from > RASTER_FROM:  # matplotlib makes a picture of it, which weighs less
        bar.solids.set(rasterized=False, edgecolor="face")


def _edges(table, spec):
    values = table[spec["x"]].to_numpy(float)
    values = values[np.isfinite(values)]
    return np.histogram_bin_edges(values, spec.get("bins", 30)) if len(values) else [0, 1]


def _histogram(ax, table, spec, look):
    table = _clean(table, [spec["x"]], look)
    edges = spec["_edges"]
    for look_of, rows in _groups(table, spec, look, ax):
        counts, _ = np.histogram(
            rows[spec["x"]].to_numpy(float),
            edges,
            density=bool(spec.get("density")) and len(rows) > 0,
        )
        ax.stairs(counts, edges, fill=True, color=look_of["color"], alpha=0.28)
        ax.stairs(
            counts,
            edges,
            color=look_of["color"],
            linewidth=1.6,
            linestyle=(0, look_of["dashes"]) if look_of["dashes"] else "-",
        )
    return len(table)


def _density(ax, table, spec, look):
    from scipy.stats import gaussian_kde

    table = _clean(table, [spec["x"]], look)
    if not len(table):
        return 0
    everything = table[spec["x"]].to_numpy(float)
    reach = np.ptp(everything) or 1.0
    grid = np.linspace(everything.min() - 0.08 * reach, everything.max() + 0.08 * reach, 240)
    for look_of, rows in _groups(table, spec, look, ax):
        values = rows[spec["x"]].to_numpy(float)
        line = (0, look_of["dashes"]) if look_of["dashes"] else "-"
        if len(values) < 2 or np.ptp(values) == 0:
            # One value has no density: show where it lies.
            ax.axvline(values[0], color=look_of["color"], linestyle=line)
            continue
        height = gaussian_kde(values)(grid)
        ax.fill_between(grid, height, color=look_of["color"], alpha=0.2, linewidth=0)
        ax.plot(grid, height, color=look_of["color"], linestyle=line)
    return len(table)


def _arrows(ax, table, spec, look):
    ends = [spec[key] for key in ("x", "y", "x2", "y2")]
    table = _clean(table, ends, look)
    for look_of, rows in _groups(table, spec, look, ax):
        for _, row in rows.iterrows():
            x, y, x2, y2 = (row[name] for name in ends)
            ax.annotate(
                "",
                (x2, y2),
                (x, y),
                arrowprops={
                    "arrowstyle": "-|>",
                    "color": look_of["color"],
                    "lw": 1.7,
                    "shrinkA": 0,
                    "shrinkB": 0,
                    "mutation_scale": 13,
                },
            )
            if spec.get("label"):
                look.labels.append((ax, x2, y2, row[spec["label"]], (x2 - x, y2 - y)))
        # Annotations do not move the limits; invisible points at both ends do.
        ax.scatter(
            np.r_[rows[ends[0]], rows[ends[2]]], np.r_[rows[ends[1]], rows[ends[3]]], alpha=0
        )
    return len(table)


_AWAY = 0.32  # of an arrow that goes back, from the boxes


def _flow(ax, table, spec, look):
    source, target = spec["source"], spec["target"]
    table = _clean(table, [source, target], look)
    edges = list(zip(table[source].astype(str), table[target].astype(str), strict=True))
    depth, forward = layers(edges)
    deep = max(depth.values(), default=0) + 1
    columns = [[n for n in depth if depth[n] == level] for level in range(deep)]
    wide = max((len(c) for c in columns), default=1)
    place = {}
    for level, names in enumerate(columns):
        for row, name in enumerate(names):
            across = (row + 0.5) / len(names) * wide
            place[name] = (across, -level) if look.narrow else (level, -across)
    named = bool(spec.get("label"))
    half = (0.42, 0.24 if named else 0.3) if look.narrow else (0.29 if named else 0.36, 0.30)
    room = 30 // wide if look.narrow else max(8, 100 * half[0] * 1.7 // deep)
    for name, at in place.items():
        _flow_box(ax, wrap(safe(name), room), at, half, look)
    # Letters that fit between two boxes that stand side by side.
    between = 10 if look.narrow else min(10, int(100 * (1 - 2 * half[0]) // deep))
    for edge, (_, row) in zip(edges, table.iterrows(), strict=True):
        back = edge not in forward
        path = _flow_way(*(place[end] for end in edge), half, back, look.narrow)
        label = row[spec["label"]] if named else None
        label = wrap(safe(label), 30 if back else between) if pd.notna(label) else ""
        _flow_arrow(ax, path, label, look)
    xs, ys = zip(*place.values(), strict=True) if place else ((0,), (0,))
    below = _AWAY + 0.06 if len(forward) < len(edges) else 0
    aside = (below + 0.35 * named if below else 0) if look.narrow else 0
    ax.set_xlim(min(xs) - half[0] - 0.05, max(xs) + half[0] + 0.05 + aside)
    ax.set_ylim(min(ys) - half[1] - 0.05 - (0 if look.narrow else below), max(ys) + half[1] + 0.05)
    ax.set_axis_off()
    return len(table)


def _flow_box(ax, text, at, half, look):
    box = FancyBboxPatch(
        (at[0] - half[0], at[1] - half[1]), 2 * half[0], 2 * half[1],
        boxstyle="round,pad=0,rounding_size=0.08", facecolor=look.colours["grid"],
        edgecolor=look.colours["blue"], linewidth=1.4, zorder=3,
    )  # fmt: skip
    ax.add_patch(box)
    ax.text(*at, text, ha="center", va="center", fontsize=9, zorder=4)


def _flow_way(start, end, half, back, narrow):
    """Corners of the way from a box to the next, or around the boxes where it goes back."""
    (xa, ya), (xb, yb) = start, end
    if back and narrow:
        side = max(xa, xb) + half[0] + _AWAY
        return [(xa + half[0], ya), (side, ya), (side, yb), (xb + half[0], yb)]
    if back:
        side = min(ya, yb) - half[1] - _AWAY
        return [(xa, ya - half[1]), (xa, side), (xb, side), (xb, yb - half[1])]
    if narrow:
        return [(xa, ya - half[1]), (xb, yb + half[1])]
    return [(xa + half[0], ya), (xb - half[0], yb)]


def _flow_arrow(ax, path, label, look):
    """An arrow, its label at the middle of the longest stretch of the way."""
    arrow = FancyArrowPatch(
        path=Path(path), arrowstyle="-|>", mutation_scale=12, facecolor=look.colours["muted"],
        edgecolor=look.colours["muted"], linewidth=1.3, zorder=2,
    )  # fmt: skip
    ax.add_patch(arrow)
    if not label:
        return
    first, last = path[len(path) // 2 - 1], path[len(path) // 2]
    ax.annotate(
        label, ((first[0] + last[0]) / 2, (first[1] + last[1]) / 2),
        (5, 0) if look.narrow else (-2, 3), textcoords="offset points", fontsize=8,
        ha="left" if look.narrow else "center", va="center" if look.narrow else "bottom",
        color=look.colours["ink"], path_effects=look.halo, zorder=5,
    )  # fmt: skip


DRAW = {
    "lines": _lines,
    "path": _path,
    "scatter": _scatter,
    "bars": _bars,
    "heatmap": _heatmap,
    "histogram": _histogram,
    "density": _density,
    "arrows": _arrows,
    "flow": _flow,
}
FILLED = ("bars", "histogram", "density")


def _regions(ax, spec, look):
    """Shaded areas behind the data, each with its outline and name."""
    for region in spec.get("regions", []):
        corners = region.get("points")
        if corners is None:
            (left, right), (low, high) = spec["xlim"], spec["ylim"]
            corners = clip(
                [(left, low), (right, low), (right, high), (left, high)], region["where"]
            )
        if not corners:
            continue
        colour = look.colours[region.get("color", "gold")]
        fill = mpl.colors.to_rgba(colour, 0.17)
        ax.add_patch(Polygon(corners, facecolor=fill, edgecolor=colour, linewidth=1.3, zorder=0.6))
        if region.get("label"):
            note = ax.annotate(
                wrap(safe(region["label"]), 14 if look.narrow else 24),
                region.get("at") or np.mean(corners, axis=0),
                fontsize=9,
                ha="center",
                va="center",
                color=look.colours["ink"],
                path_effects=look.halo,
                zorder=5,
            )
            look.regions.append((ax, note, np.asarray(corners)[:, 0]))
    ax.autoscale_view()


# --------------------------------------------------------------------------- axes
def _say(ax, text, look):
    """A sentence in the place of a picture that cannot be drawn."""
    ax.set_axis_off()
    ax.text(
        0.5,
        0.5,
        wrap(text, 34),
        transform=ax.transAxes,
        ha="center",
        va="center",
        color=look.colours["muted"],
    )


def _label(text, inches):
    """Label of an axis in lines as long as the axis; a formula cannot be broken."""
    return text if "$" in text else wrap(text, int(inches * 72 / 5.4))


def _default_labels(spec):
    x, y = spec.get("x", ""), spec.get("y", "")
    if spec["kind"] == "histogram":
        y = "share of values per unit" if spec.get("density") else "count"
    if spec["kind"] == "density":
        y = "density"
    if spec.get("horizontal"):
        x, y = y, x
    return safe(x), safe(y)


def _axes(ax, table, spec, look):
    drawn = DRAW[spec["kind"]](ax, table, spec, look)
    if not drawn:
        what = "this table has no rows" if not len(table) else "no row has all the numbers needed"
        _say(ax, f"Nothing to draw: {what}.", look)
        return
    for key, setter in (("xscale", ax.set_xscale), ("yscale", ax.set_yscale)):
        if spec.get(key) == "log":
            setter("log")
    _regions(ax, spec, look)
    if spec.get("circle"):
        radius = 1.0 if spec["circle"] is True else spec["circle"]
        ax.add_patch(Circle((0, 0), radius, fill=False, color=look.colours["muted"], linewidth=1))
        ax.set_aspect("equal")
    for mark in spec.get("hlines", []):
        ax.axhline(mark["at"], color=look.colours["muted"], dashes=(5, 2), linewidth=1.1, zorder=1)
        if mark.get("label"):
            ax.annotate(
                wrap(mark["label"], 14),
                (1, mark["at"]),
                (4, 0),
                xycoords=ax.get_yaxis_transform(),
                textcoords="offset points",
                ha="left",
                va="center",
                fontsize=8,
                color=look.colours["muted"],
            )
    for mark in spec.get("vlines", []):
        ax.axvline(mark["at"], color=look.colours["muted"], dashes=(5, 2), linewidth=1.1, zorder=1)
        if mark.get("label"):
            note = ax.annotate(
                mark["label"],
                (mark["at"], 1),
                (3, -2),
                xycoords=ax.get_xaxis_transform(),
                textcoords="offset points",
                ha="left",
                va="top",
                fontsize=8,
                color=look.colours["muted"],
                path_effects=look.halo,
            )
            look.marks.setdefault(ax, []).append(note)
    for note in spec.get("notes", []):
        ax.annotate(
            note["text"],
            (note["x"], note["y"]),
            fontsize=8.5,
            ha="center",
            va="center",
            color=look.colours["ink"],
            path_effects=look.halo,
        )
    if spec.get("aspect") == "equal":
        # Axes that share theirs with others cannot change their limits by themselves.
        shares = len(ax.get_shared_x_axes().get_siblings(ax)) > 1
        ax.set_aspect("equal", adjustable="box" if shares or spec.get("xlim") else "datalim")
    for key, setter in (("xlim", ax.set_xlim), ("ylim", ax.set_ylim)):
        if spec.get(key):
            setter(*spec[key])
    for key, axis in (("xticks", ax.xaxis), ("yticks", ax.yaxis)):
        if spec.get(key):  # a logarithmic axis would label powers of ten only, and add its own
            axis.set_ticks(spec[key], [f"{tick:g}" for tick in spec[key]])
            axis.set_minor_locator(NullLocator())
    if spec["kind"] in ("lines", "scatter", "path", "histogram", "density") and not spec.get(
        "xticks"
    ):
        whole = pd.api.types.is_integer_dtype(table[spec["x"]])
        if spec.get("xscale") != "log":
            ticks = MaxNLocator(5 if look.narrow else 8, integer=whole, steps=[1, 2, 2.5, 5, 10])
            ax.xaxis.set_major_locator(ticks)


def _handle(look, value, kinds):
    given = look.style(value)
    label = safe(value, 40)
    if kinds & set(FILLED):
        hatch = given["hatch"] if look.stacked else None
        return Patch(facecolor=given["color"], label=label, hatch=hatch)
    if kinds == {"scatter"}:
        return Line2D(
            [], [], color=given["color"], marker=given["marker"], linestyle="", label=label
        )
    if kinds == {"arrows"}:
        return Line2D([], [], color=given["color"], label=label)
    return Line2D(
        [],
        [],
        color=given["color"],
        marker=given["marker"],
        label=label,
        dashes=given["dashes"] or (None, None),
    )


def _legend_columns(look, values, width):
    """How many entries of a legend fit side by side in so many inches."""
    longest = max(len(safe(value, 40)) for value in values)
    return max(1, min(len(values), int(width * 72 / (longest * 5.4 + 42))))


def _together(specs):
    """Whether one legend serves all axes: they are facets, or share their series' column."""
    columns = {spec["series"] for spec in specs if spec.get("series")}
    return len(columns) == 1 and len({spec["kind"] in FILLED for spec in specs}) == 1


def _legend(fig, specs, axes, look, width):
    """One legend above all axes that share their series, else one under each."""
    handles = {"handlelength": 2.2, "columnspacing": 1.4, "alignment": "left"}
    if _together(specs):
        wanted = [spec.get("legend", True) for spec in specs if spec.get("series")]
        shown = [v for v in look.series if any(v in look.used.get(ax, {}) for ax in axes)]
        if not any(wanted) or not shown:
            return
        kinds = {spec["kind"] for spec in specs if spec.get("series")}
        columns = _legend_columns(look, shown, width)
        fig.legend(
            handles=by_rows([_handle(look, v, kinds) for v in shown], columns),
            title=next((w for w in wanted if isinstance(w, str)), None),
            loc="outside upper left",
            ncols=columns,
            borderpad=0.1,
            **handles,
        )
        return
    for ax, spec in zip(axes, specs, strict=True):
        shown = [v for v in look.series if v in look.used.get(ax, {})]
        if shown and spec.get("legend", True):
            wanted = spec.get("legend")
            columns = _legend_columns(look, shown, ax.get_position().width * width)
            ax.legend(
                handles=by_rows([_handle(look, v, {spec["kind"]}) for v in shown], columns),
                title=wanted if isinstance(wanted, str) else None,
                loc="upper left",
                bbox_to_anchor=(-0.02, -0.24),
                ncols=columns,
                fontsize=8.5,
                **handles,
            )


def _within(ways, box):
    """Length of line in a box (left, low, right, high); ways: rows (x, y, x2, y2)."""
    start, way = ways[:, :2], ways[:, 2:] - ways[:, :2]
    ends = np.stack([np.subtract(box[:2], start), np.subtract(box[2:], start)])
    with np.errstate(divide="ignore", invalid="ignore"):  # along an axis: inside, or not
        shares = np.where(way == 0, np.where(ends > 0, np.inf, -np.inf), ends / way)
    first, last = shares.min(axis=0).max(axis=1), shares.max(axis=0).min(axis=1)
    share = np.clip(last, 0, 1) - np.clip(first, 0, 1)
    return float((np.clip(share, 0, None) * np.hypot(*way.T)).sum())


def _place_labels(fig, look, limit=60):
    """Texts beside their points, at that of eight places that covers least of what is there."""
    renderer = fig.canvas.get_renderer()
    fig.draw_without_rendering()
    fig.set_layout_engine("none")
    points = [(ax, *ax.transData.transform((x, y))) for ax, x, y, *_ in look.labels]
    taken = [(px - 3, py - 3, px + 3, py + 3) for _, px, py in points]
    lines = [ax.transData.transform(np.column_stack([xs, ys])) for ax, xs, ys in look.ways]
    ways = np.concatenate([np.zeros((0, 4)), *(np.hstack([at[:-1], at[1:]]) for at in lines)])
    scale = fig.dpi / 72
    around = [
        (6, 0, "left", "center"),
        (0, 6, "center", "bottom"),
        (0, -6, "center", "top"),
        (-6, 0, "right", "center"),
        (5, 5, "left", "bottom"),
        (5, -5, "left", "top"),
        (-5, 5, "right", "bottom"),
        (-5, -5, "right", "top"),
    ]
    said = [
        (label, point)
        for label, point in zip(look.labels, points, strict=True)
        if not pd.isna(label[3]) and str(label[3]).strip()
    ]
    for (ax, x, y, text, heading), (_, px, py) in said[:limit]:
        note = ax.annotate(
            safe(text, 34),
            (x, y),
            (0, 0),
            textcoords="offset points",
            fontsize=8,
            color=look.colours["ink"],
            annotation_clip=False,
            path_effects=look.halo,
            zorder=6,
        )
        box = note.get_window_extent(renderer)
        wide, high = box.width, box.height
        frame = ax.get_window_extent(renderer)
        best = None
        for cost, (dx, dy, ha, va) in enumerate(around):
            left = px + dx * scale - {"left": 0, "center": wide / 2, "right": wide}[ha]
            base = py + dy * scale - {"bottom": 0, "center": high / 2, "top": high}[va]
            spot = (left, base, left + wide, base + high)
            covered = sum(
                max(0, min(spot[2], t[2]) - max(spot[0], t[0]))
                * max(0, min(spot[3], t[3]) - max(spot[1], t[1]))
                for t in taken
            )
            covered += 5 * scale * _within(ways, spot)  # a line is some pixels wide, and its halo
            outside = max(0, frame.x0 - spot[0]) + max(0, spot[2] - fig.bbox.x1)
            outside += max(0, frame.y0 - spot[1]) + max(0, spot[3] - frame.y1)
            # Beyond the tip of an arrow rather than over its shaft.
            length = math.hypot(*heading) or 1.0
            along = (dx * heading[0] + dy * heading[1]) / length / math.hypot(dx, dy)
            total = covered + 30 * outside + cost - 60 * along * any(heading)
            if best is None or total < best[0]:
                best = (total, dx, dy, ha, va, spot)
        _, dx, dy, ha, va, spot = best
        note.set(position=(dx, dy), ha=ha, va=va)
        taken.append(spot)


def _keep_inside(fig, look):
    """Names of regions moved sideways into these, where they are narrower."""
    fig.draw_without_rendering()
    for ax, note, xs in look.regions:
        ends = ax.get_xaxis_transform().transform([(min(xs), 0), (max(xs), 0)])[:, 0]
        left, right = np.sort(ends) + np.array([1, -1]) * 3 * fig.dpi / 72
        box = note.get_window_extent()
        if box.width < right - left:
            aside = max(0, left - box.x0) - max(0, box.x1 - right)
            note.set_position(
                ax.transData.inverted().transform(
                    ax.transData.transform(note.get_position()) + (aside, 0)
                )
            )


def _part_marks(fig, look):
    """Names of upright lines beside these, left or right, and lower where one would cover another.

    A name stays within its axes, and other upright lines do not cross it, where there is room.
    """
    fig.draw_without_rendering()
    renderer = fig.canvas.get_renderer()
    for ax, notes in look.marks.items():
        frame, taken = ax.get_window_extent(renderer), []
        lines = [ax.get_xaxis_transform().transform((note.xy[0], 0))[0] for note in notes]
        high = 1.1 * max(note.get_window_extent(renderer).height for note in notes)
        places = [(row, side) for row in range(len(notes)) for side in (1, -1)]
        for _, note in sorted(zip(lines, notes, strict=True), key=lambda pair: pair[0]):
            costs = []
            for row, side in places:
                _beside(note, side, -2 - row * high * 72 / fig.dpi)
                box = note.get_window_extent(renderer)
                covered = sum(box.overlaps(other) for other in taken)
                outside = max(0, frame.x0 - box.x0, box.x1 - frame.x1)
                crossed = sum(box.x0 < line < box.x1 for line in lines)
                costs.append(100 * covered + outside + 10 * crossed + 5 * row + 2 * (side < 0))
            row, side = places[int(np.argmin(costs))]
            _beside(note, side, -2 - row * high * 72 / fig.dpi)
            taken.append(note.get_window_extent(renderer))


def _beside(note, side, down):
    note.set(position=(3 * side, down), ha="left" if side > 0 else "right")


def _fit_words(fig, ax, columns):
    """Letters of a heatmap of words as large as its cells allow, once their width is known."""
    fig.draw_without_rendering()
    room = 0.95 * ax.get_window_extent().width / fig.dpi * 72 / columns
    longest = max((len(part) for text in ax.texts for part in text.get_text().split()), default=1)
    size = float(np.clip(room / (0.6 * longest), 5, 9))
    for text in ax.texts:
        text.set(fontsize=size, text=wrap(text.get_text(), int(room / (0.6 * size))))


def _shape(spec, count, narrow):
    """Rows and columns of a grid of panels."""
    wanted = spec.get("columns") or (3 if count != 4 else 2)
    columns = min(count, wanted)
    if narrow:
        columns = 2 if count > 4 and spec.get("kind") not in ("bars", "heatmap", "panels") else 1
    return math.ceil(count / columns), columns


def _grid_height(specs, tables, rows, columns, width, narrow):
    """Inches of one row of panels."""
    spec = specs[0]
    if spec.get("height") and not narrow:
        return spec["height"]
    across = width / columns
    if spec["kind"] == "flow":
        edges = tables[spec["data"]][[spec["source"], spec["target"]]].dropna().astype(str)
        depth, forward = layers(list(edges.itertuples(index=False)))
        deep = max(depth.values(), default=0) + 1
        wide = max((list(depth.values()).count(level) for level in range(deep)), default=1)
        back = 0.35 if len(forward) < len(edges) else 0
        return 0.8 * deep + 0.2 if narrow else max(0.75 * wide, 0.8) + back
    if any(s.get("circle") or s.get("aspect") == "equal" for s in specs):
        return min(0.95 * across, 4.4)
    if spec["kind"] == "bars" and spec.get("horizontal"):
        bars = tables[spec["data"]][spec["x"]].nunique()
        side_by_side = spec.get("series") and not spec.get("stacked")
        groups = tables[spec["data"]][spec["series"]].nunique() if side_by_side else 1
        return min(max(1.4, 0.22 * bars * max(groups, 1.4) + 0.7), 8)
    if spec["kind"] == "heatmap":
        shape = tables[spec["data"]][[spec["x"], spec["y"]]].nunique()
        return float(
            np.clip(
                across * 0.8 * shape[spec["y"]] / max(shape[spec["x"]], 1) + 0.6, 1.8, across * 0.95
            )
        )
    return min(max(0.62 * across, 2.3), 3.6)


def _sized(spec, table, everything):
    """What the smallest and the largest dot stand for, the same in all facets."""
    if spec.get("count"):
        keys = [spec[key] for key in ("x", "y", "series", "facet") if spec.get(key)]
        count = everything.groupby(keys, dropna=False)[spec["x"]].transform("size")
        return spec | {"_sizes": (0, count.max())}, table.assign(_count=count)
    sizes = everything[spec["size"]].replace([np.inf, -np.inf], np.nan)
    return spec | {"_sizes": (sizes.min(), sizes.max())}, table


def _turned(spec, table):
    """A heatmap of words lies on its side on a phone where it is wider than high."""
    if not spec.get("text") or table[spec["x"]].nunique() <= table[spec["y"]].nunique():
        return spec
    other = {"x": "y", "y": "x", "xlabel": "ylabel", "ylabel": "xlabel"}
    named = {"xlabel": spec["x"], "ylabel": spec["y"], **spec}
    turned = {other.get(key, key): value for key, value in named.items()}
    order = {other.get(key, key): value for key, value in spec.get("order", {}).items()}
    return turned | {"order": order}


def inches_of(width):
    """Inches of a named width, or of a number of them; and whether it is laid out as for a phone.

    Raises
    ------
    ValueError
        For another name, or a number outside 1.5 to 20.
    """
    if isinstance(width, str) and width in WIDTHS:
        return WIDTHS[width], width == "narrow"
    if isinstance(width, bool) or not isinstance(width, int | float) or not 1.5 <= width <= 20:
        names = ", ".join(map(repr, WIDTHS))
        raise ValueError(f"width must be {names} or inches between 1.5 and 20, given {width!r}")
    return float(width), width < NARROW


def draw(tables, spec, *, mode="light", width="wide", raster_from=RASTER_FROM, say=None):
    """Draw a figure.

    Parameters
    ----------
    tables : dict of str to DataFrame
    spec : dict
        Both as `synthlib.viz.spec` gives them.
    mode : {"light", "dark"}
    width : {"wide", "narrow"} or float
        For a page's column (7 inches), for a phone (3.8 inches; panels stand below each other), or
        inches, such as 3.3 for a column of a two-column paper.
    raster_from : int
        A layer of more points or cells than this becomes a picture within the picture.
    say : callable, optional
        From a line of small print to the same in another language.

    Returns
    -------
    matplotlib.figure.Figure
        Its attribute ``dropped`` counts the rows without a number, ``rows`` all rows.
    """
    colours = palette(mode)
    inches, narrow = inches_of(width)
    whole, (tables, words) = tables, chosen(tables, spec)
    spec = spec["static"] if spec["kind"] == "explorer" else spec
    first = next(iter(tables))
    specs = [{"data": first, **panel} for panel in spec.get("panels", [spec])]
    if narrow:
        specs = [_turned(part, tables[part["data"]]) for part in specs]
    with mpl.rc_context(style(mode)), warnings.catch_warnings():
        # A character without a glyph in the font is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        order, styles = _series_styles(whole, specs, colours)
        halo = [withStroke(linewidth=2.6, foreground=colours["ground"])]
        stacked = any(part.get("stacked") for part in specs)
        look = Look(
            mode, narrow, colours, raster_from, stacked, order, styles, halo, remarks=words,
            say=say or str,
        )  # fmt: skip
        faceted, parts = _parts(tables, specs)
        fig, axes, sheet = _sheet(tables, spec, specs, len(parts), faceted, look, inches)
        for position, (ax, (part, table, title)) in enumerate(zip(axes, parts, strict=True)):
            part, table = _prepared(part, table, tables, faceted)
            _axes(ax, table, part, look)
            _entitle(ax, part, title, position, sheet)
        if spec.get("title") and (faceted or spec.get("panels")):
            fig.suptitle(spec["title"], x=0.01, ha="left", fontsize=11, fontweight="bold")
        _complete(fig, axes, [part for part, _, _ in parts], faceted, look, inches)
    fig.dropped, fig.rows = look.dropped, look.rows
    return fig


def _parts(tables, specs):
    """Whether the panels are facets of one table; each panel's description, table and title."""
    facet = specs[0].get("facet") if len(specs) == 1 else None
    values = _ordered(tables[specs[0]["data"]], specs[0], "facet") if facet else []
    if not values:
        return False, [(s, tables[s["data"]], s.get("title")) for s in specs]
    table = tables[specs[0]["data"]]
    text = table[facet].astype(str)
    return True, [(specs[0], table[text == str(value)], safe(value)) for value in values]


@dataclass
class Sheet:
    """How panels lie on their figure."""

    count: int
    columns: int
    width: float  # inches of the figure
    height: float  # inches of a row
    faceted: bool
    shared: bool  # one pair of axes for all


def _sheet(tables, spec, specs, count, faceted, look, inches):
    """An empty figure with axes for so many panels, and room for its legend."""
    rows, columns = _shape(spec, count, look.narrow)
    height = _grid_height(specs, tables, rows, columns, inches, look.narrow)
    if spec.get("panels") and spec.get("height") and not look.narrow:
        height = spec["height"]
    entries = [v for v in look.series if any(s.get("legend", True) for s in specs)]
    across = inches if _together(specs) else inches / columns
    lines = math.ceil(len(entries) / _legend_columns(look, entries, across)) if entries else 0
    room = 0.19 * lines + 0.1 * (rows if lines else 0)
    fig = Figure((inches, height * rows + 0.12 * (rows - 1) + room), layout="constrained")
    FigureCanvasAgg(fig)
    fig.get_layout_engine().set(w_pad=0.05, h_pad=0.05, wspace=0.04, hspace=0.06)
    shared = faceted and specs[0]["kind"] != "heatmap"
    grid = fig.subplots(
        rows, columns, squeeze=False, sharex=shared and "all", sharey=shared and "all"
    ).ravel()
    for ax in grid[count:]:
        ax.remove()
    return fig, list(grid[:count]), Sheet(count, columns, inches, height, faceted, shared)


def _prepared(part, table, tables, faceted):
    """A panel's description with what all facets have in common, and its table."""
    everything = tables[part["data"]]
    if part["kind"] == "histogram":
        part = part | {"_edges": _edges(everything, part)}
    if part["kind"] == "bars" and faceted:
        everywhere = _ordered(everything.dropna(subset=part["y"]), part, "x")
        part = part | {"_categories": everywhere}
    if part["kind"] == "scatter" and (part.get("count") or part.get("size")):
        part, table = _sized(part, table, everything)
    if part["kind"] == "heatmap" and faceted:
        # One scale for all facets.
        numbers = everything[part["value"]]
        part = {"vmin": numbers.min(), "vmax": numbers.max()} | part
    return part, table


def _entitle(ax, part, title, position, sheet):
    """A panel's title and the names of its axes; facets have these at the sheet's edges only."""
    if title:
        # Six and a half points a bold letter; the layout may add a little room.
        room = ax.get_position().width * sheet.width * 72 / 6.5
        ax.set_title(wrap(title, int(room)))
    if part["kind"] == "flow":
        return
    names = _default_labels(part)
    bottom = position + sheet.columns >= sheet.count or not sheet.faceted
    left = position % sheet.columns == 0 or not sheet.faceted
    across, up = ax.get_position().width * sheet.width, 0.8 * sheet.height
    ax.set_xlabel(_label(part.get("xlabel", names[0]), across) if bottom else "")
    ax.set_ylabel(_label(part.get("ylabel", names[1]), up) if left else "")
    if sheet.shared and bottom:
        ax.tick_params(labelbottom=True)


def _complete(fig, axes, specs, faceted, look, inches):
    """What needs all panels drawn: common scales, the legend, remarks, places of words."""
    for ax, part in zip(axes, specs, strict=True):
        # After all panels are drawn, because shared axes grow with each of them.
        if part["kind"] in ("histogram", "density") and not part.get("ylim"):
            ax.set_ylim(bottom=0)
    if faceted and look.meshes:
        _colour_bar(fig, *next(iter(look.meshes.values())), axes, look)
    else:
        for ax, (mesh, label) in look.meshes.items():
            _colour_bar(fig, mesh, label, ax, look)
    _legend(fig, specs, axes, look, inches)
    if look.dropped:
        rows_word = "row" if look.rows == 1 else "rows"
        look.remarks.append(
            f"{look.dropped} of {look.rows} {rows_word} without a finite number: not drawn"
        )
    if look.remarks:
        fig.supxlabel(
            "\n".join(dict.fromkeys(map(look.say, look.remarks))),
            x=0.99,
            ha="right",
            fontsize=7.5,
            color=look.colours["muted"],
        )
    for ax, columns in look.words.items():
        _fit_words(fig, ax, columns)
    if look.regions:
        _keep_inside(fig, look)
    if look.marks:
        _part_marks(fig, look)
    if look.labels:
        _place_labels(fig, look)


def render(
    tables, spec, *, mode="light", width="wide", form="svg", dpi=160, opaque=False, text="shapes",
    raster_from=RASTER_FROM, title=None, description=None, say=None,
):  # fmt: skip
    """Bytes of a figure as SVG, PDF or PNG; the same bytes for the same data and matplotlib.

    Parameters
    ----------
    tables, spec, mode, width, raster_from, say
        As of `draw`.
    form : {"svg", "pdf", "png"}
    dpi : int
        Dots per inch of a PNG, and of what is rasterized in the others.
    opaque : bool
        Fill the ground with the mode's colour; else it is transparent.
    text : {"shapes", "text"}
        Letters of an SVG as shapes, alike everywhere; or as text in a named font, which can be
        edited and searched, and looks as the reader's fonts do. A PDF has text with its font in it.
    title, description : str, optional
        Of an SVG (``<title>``, ``<desc>``, for those who do not see it) and a PDF.
    """
    fig = draw(tables, spec, mode=mode, width=width, raster_from=raster_from, say=say)
    ground = palette(mode)["ground"] if opaque else "none"
    metadata = {
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
        "pdf": {"Title": title, "Subject": description, "Creator": None, "Producer": None}
        | {"CreationDate": None},
    }[form]
    out = io.BytesIO()
    fonts = {"svg.fonttype": "none" if text == "text" else "path", "pdf.fonttype": 42}
    with mpl.rc_context(style(mode) | fonts), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        fig.savefig(out, format=form, dpi=dpi, facecolor=ground, metadata=metadata)
    drawn = out.getvalue()
    return _described(drawn, title, description) if form == "svg" else drawn


def _described(svg, title, description):
    """An SVG that says what it shows, in its first elements."""
    said = [("title", title), ("desc", description)]
    inner = "".join(
        f"<{tag}>{html.escape(_CONTROL.sub(' ', text))}</{tag}>" for tag, text in said if text
    )
    if not inner:
        return svg
    head = re.search(rb"<svg\b[^>]*>", svg)
    opened = head[0][:-1] + b' role="img">'
    return svg[: head.start()] + opened + inner.encode() + svg[head.end() :]
