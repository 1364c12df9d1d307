"""What a figure may say: its data as tables, its description checked against them.

Columns are named by the keys of `KINDS`, beside these settings of all kinds: `title`, `xlabel`,
`ylabel`, `xlim`, `ylim`, `xscale`, `yscale`, `xticks`, `yticks`, `hlines`, `vlines`, `notes`,
`facet` (a column: one picture a value), `order` and `colors` (of series). Worth knowing:

lines, bars
    Rows with equal `x` and series, such as one a seed, become their mean; the band or error bar
    spans their `range` (default), ``sd`` or ``se``: `band` or `error`. `error` may name a column
    with half the bar's length instead; lines take `low` and `high`.
bars
    ``"stacked": True`` sets the series on each other in their order; values are at least 0 and no
    spread is drawn. `horizontal` and `annotate` (numbers, by `format`) go with it.
    With `horizontal`, `xlabel` and `xlim` belong to the numbers' axis, as it lies in the picture.
scatter
    Many rows on few points: ``"count": True`` draws one dot a point and series, its area by the
    number of rows; ``"jitter": 0.1`` moves each dot by up to so much, the same way every time.
    `size` names a column for the dots' areas.
scatter, path
    `hover` lists columns that are read at a point of the living figure, beside its place.
scatter, lines, path
    `regions` are shaded behind the data, each ``{"points": [[x, y], …]}`` or ``{"where": [[p, q,
    r], …]}``, the part of the axes (give `xlim` and `ylim`) where p·x + q·y ≥ r for all of them;
    with `label`, its place ``"at": [x, y]`` and `color`, as wished. The triplets with a ≥ 3, b ≤ 3,
    a ≥ b + 1 (x is a, y is b) lie in ``[[1, 0, 3], [0, -1, -3], [1, -1, 1]]``.
heatmap
    `value` colours the cells; `text` names a column of words written in them (on a phone, a
    picture wider than high is then turned); `mark` a column of true and false: the true cells are
    framed, and a line below the picture says so by the column's name.
explorer
    A figure with logic of its own in the page: `explorer` names it (synthlib/viz/js/explorers),
    `options` are for it alone, and `static` is a description of another kind over the same tables,
    drawn where no script runs.
all, explorer, panels
    `controls` above the living figure: each ``{"name": …, "type": "range" | "choice" | "toggle" |
    "play", "label": …}`` with, for a range, `min`, `max` and `step`, or `values`; for a choice,
    `options` (values or ``[value, label]``); for play, `of` (the range that it moves) and
    `seconds`; `value` at the start and `format` as wished. A range or choice with `column` takes
    its values from the data and leaves only the rows that have the chosen one, in every table with
    that column (with ``"upto": True``, the rows up to that value: a path that grows); the static
    picture shows the value at the start.
"""

import difflib
import json
import operator

import numpy as np
import pandas as pd

from synthlib.viz.palette import SERIES

#: For each kind the keys that name columns (needed, optional) and its own further settings.
KINDS = {
    "lines": (("x", "y"), ("series", "low", "high"), ("band", "error", "markers", "regions")),
    "path": (("x", "y"), ("series", "step", "label"), ("regions",)),
    "scatter": (
        ("x", "y"),
        ("series", "label", "size"),
        ("error", "fit", "regions", "count", "jitter"),
    ),
    "bars": (("x", "y"), ("series",), ("error", "horizontal", "annotate", "format", "stacked")),
    "heatmap": (
        ("x", "y", "value"),
        ("text", "mark"),
        ("annotate", "format", "vmin", "vmax", "center"),
    ),
    "histogram": (("x",), ("series",), ("bins", "density")),
    "density": (("x",), ("series",), ()),
    "arrows": (("x", "y", "x2", "y2"), ("series", "label"), ()),
    "flow": (("source", "target"), ("label",), ()),
}
COMMON = (
    "kind data title xlabel ylabel vlabel xlim ylim xscale yscale xticks yticks facet columns "
    "aspect height legend order colors hlines vlines notes circle controls hover"
).split()
PANELS = ("kind", "panels", "columns", "height", "title", "legend", "controls")
EXPLORER = ("kind", "explorer", "controls", "options", "static", "title")
#: What a control of each type must and may say, beside `name`, `type`, `label` and `value`.
CONTROLS = {
    "range": ((), ("min", "max", "step", "values", "column", "upto", "format")),
    "choice": ((), ("options", "column", "format")),
    "toggle": ((), ()),
    "play": (("of",), ("seconds",)),
}
SPREADS = ("range", "sd", "se")
# Columns that must hold numbers, by kind.
NUMERIC = {
    "lines": ("x", "y", "low", "high"),
    "path": ("x", "y"),
    "scatter": ("x", "y", "size"),
    "bars": ("y",),
    "heatmap": ("value",),
    "histogram": ("x",),
    "density": ("x",),
    "arrows": ("x", "y", "x2", "y2"),
    "flow": (),
}


def _near(name, choices):
    close = difflib.get_close_matches(str(name), [str(c) for c in choices], 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _unknown(what, given, choices):
    listed = ", ".join(str(c) for c in choices) or "none"
    return ValueError(f"unknown {what} {given!r}{_near(given, choices)}; choose from: {listed}")


def _array(value):
    """Array of a list, numpy array or torch tensor (of any device)."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def _table(value, where):
    """One tidy table of a DataFrame, dict of columns, list of records or array."""
    if isinstance(value, pd.DataFrame):
        table = value.copy()
    elif isinstance(value, dict):
        columns = {name: _array(column) for name, column in value.items()}
        lengths = {name: len(column) if column.ndim else None for name, column in columns.items()}
        if len(set(lengths.values())) > 1 or None in lengths.values():
            raise ValueError(f"{where}: columns must be equally long lists, given {lengths}")
        table = pd.DataFrame(columns)
    elif isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        table = pd.DataFrame(value)
    else:
        try:
            array = _array(value)
        except ValueError as error:
            raise ValueError(f"{where} is ragged; give a DataFrame with one row a value") from error
        if array.ndim == 2:
            row, column = np.indices(array.shape)
            table = pd.DataFrame(
                {"row": row.ravel(), "column": column.ravel(), "value": array.ravel()}
            )
        elif array.ndim == 1:
            table = pd.DataFrame({"value": array})
        else:
            raise ValueError(
                f"{where} must be a DataFrame, a dict of columns or an array of 1 or 2 dimensions,"
                f" given {type(value).__name__} with {array.ndim}"
            )
    table.columns = [str(name) for name in table.columns]
    twice = [name for name in table.columns if list(table.columns).count(name) > 1]
    if twice:
        raise ValueError(f"{where} has two columns named {twice[0]!r}; rename one")
    return table.reset_index(drop=True)


def tables(data):
    """All tables of a figure by name.

    Parameters
    ----------
    data : DataFrame, dict, list of dict or array
        A dict of equally long columns is one table; a dict of DataFrames, dicts or matrices holds
        one table each. A matrix becomes the columns ``row``, ``column``, ``value``; a vector the
        column ``value``. A single table is named ``data``.

    Returns
    -------
    dict of str to DataFrame

    Raises
    ------
    ValueError
        Nothing given, ragged or unequal columns, more than two dimensions.
    """
    if data is None or (isinstance(data, dict) and not data):
        raise ValueError("a figure needs data: a DataFrame, a dict of columns or a dict of tables")
    if isinstance(data, dict) and any(
        isinstance(value, pd.DataFrame | dict)
        or (isinstance(value, list) and value and isinstance(value[0], dict | list))
        or getattr(value, "ndim", 1) > 1
        for value in data.values()
    ):
        return {str(name): _table(value, f"data[{name!r}]") for name, value in data.items()}
    return {"data": _table(data, "data")}


def _field(value):
    """One value of a table for a page: what JSON lacks (NaN, infinity, dates) is None or text."""
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, list | tuple | np.ndarray):
        return [_field(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _field(item) for key, item in value.items()}
    return str(value)


def columns(table):
    """One table as a page reads it, column by column.

    Parameters
    ----------
    table : DataFrame

    Returns
    -------
    dict
        ``columns`` (names), ``data`` (a list of values each; None where a number is missing or
        infinite), ``types`` (int, float, bool, text or list) and, for columns of categories,
        ``levels``.
    """
    data, types, levels = [], {}, {}
    for name in table.columns:
        column = table[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels[name] = [_field(level) for level in column.cat.categories]
            column = column.astype(object)
        data.append([_field(value) for value in column.tolist()])
        api = pd.api.types
        if api.is_bool_dtype(column):
            types[name] = "bool"
        elif api.is_integer_dtype(column):
            types[name] = "int"
        elif api.is_float_dtype(column):
            types[name] = "float"
        else:
            types[name] = "list" if any(isinstance(v, list) for v in data[-1]) else "text"
    page = {"columns": list(table.columns), "types": types, "data": data}
    return page | {"levels": levels} if levels else page


def plain(value, where="spec"):
    """The same value in plain JSON types; numpy scalars, tuples and arrays are converted."""
    if isinstance(value, dict):
        return {str(key): plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, where) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), where)
    if isinstance(value, np.generic):
        value = value.item()
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        raise ValueError(
            f"{where} must be plain JSON (text, finite numbers, true/false, lists, dicts),"
            f" given {value!r}"
        ) from None
    return value


def _column(table, key, name, where):
    if not isinstance(name, str) or name not in table.columns:
        raise _unknown(f"column in {where}[{key!r}]", name, table.columns)


def _pair(spec, key):
    value = spec.get(key)
    if value is None:
        return
    if len(value if isinstance(value, list) else []) != 2 or not all(
        bound is None or isinstance(bound, int | float) for bound in value
    ):
        raise ValueError(f"{key} must be [low, high] (null leaves one open), given {value!r}")


def _marks(spec, key, needed):
    for mark in spec.get(key, []):
        if not isinstance(mark, dict) or not set(needed) <= set(mark) <= {*needed, "label"}:
            raise ValueError(f"each of {key} must be a dict with {', '.join(needed)}, given {mark}")


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(rows, length, least):
    """Whether these are rows of so many numbers, at least so many rows."""
    return (
        isinstance(rows, list)
        and len(rows) >= least
        and all(isinstance(row, list) and len(row) == length for row in rows)
        and all(_is_number(number) for row in rows for number in row)
    )


def _regions(spec):
    for region in spec.get("regions", []):
        if not isinstance(region, dict) or ("points" in region) == ("where" in region):
            raise ValueError(f"each of regions must be a dict with points or where, given {region}")
        for key in region:
            if key not in ("points", "where", "label", "color", "at"):
                raise _unknown("key of a region", key, ("points", "where", "label", "color", "at"))
        if "points" in region and not _numbers(region["points"], 2, 3):
            raise ValueError(f"points of a region are three or more [x, y], given {region}")
        if "where" in region and not _numbers(region["where"], 3, 1):
            raise ValueError(
                f"where of a region is a list of [p, q, r], each p·x + q·y ≥ r, given {region}"
            )
        if "where" in region and not (spec.get("xlim") and spec.get("ylim")):
            raise ValueError("a region by where ends at the axes: give xlim and ylim")
        if "at" in region and not _numbers([region["at"]], 2, 1):
            raise ValueError(f"at of a region is its label's place [x, y], given {region['at']!r}")
        if region.get("color", "gold") not in SERIES["light"]:
            raise _unknown("colour of a region", region["color"], SERIES["light"])


def _check_settings(table, spec):
    """What settings ask of the values, and of each other."""
    kind = spec["kind"]
    if spec.get("stacked"):
        if not spec.get("series"):
            raise ValueError("'stacked' sets series on each other: name the column with 'series'")
        if spec.get("error"):
            raise ValueError("stacked bars have no spread: leave 'error' or 'stacked' out")
        low = table[spec["y"]].min()
        if low < 0:
            raise ValueError(f"stacked bars need values of at least 0, {spec['y']!r} has {low:g}")
    if spec.get("count"):
        for key in ("size", "label", "error", "jitter"):
            if spec.get(key):
                raise ValueError(f"'count' draws one dot for many rows: leave {key!r} out")
    jitter = spec.get("jitter")
    if jitter is not None and not (_is_number(jitter) and jitter >= 0):
        raise ValueError(f"jitter is the furthest move of a dot, at least 0, given {jitter!r}")
    if kind == "scatter" and jitter:
        for key in ("label", "error"):
            if spec.get(key):
                raise ValueError(f"'jitter' moves dots away from their {key}: leave one out")
    if spec.get("mark"):
        marks = set(table[spec["mark"]].dropna())
        if not marks <= {0, 1}:
            odd = next(mark for mark in marks if mark not in (0, 1))
            raise ValueError(f"mark: column {spec['mark']!r} must be true or false, has {odd!r}")


def _check_one(data, spec, where):
    kind = spec.get("kind")
    if kind not in KINDS:
        raise _unknown("kind", kind, [*KINDS, "panels", "explorer"])
    needed, optional, settings = KINDS[kind]
    known = [*COMMON, *needed, *optional, *settings]
    for key in spec:
        if key not in known:
            raise _unknown(f"key of a {kind!r} figure", key, known)
    name = spec.get("data", next(iter(data)))
    if name not in data:
        raise _unknown(f"table in {where}['data']", name, data)
    table = data[name]
    missing = [key for key in needed if key not in spec]
    if missing:
        columns = ", ".join(table.columns)
        raise ValueError(f"a {kind!r} figure needs {missing[0]!r}: one of the columns {columns}")
    for key in (*needed, *optional, "facet"):
        if spec.get(key) is not None:
            _column(table, key, spec[key], where)
    if not isinstance(spec.get("hover", []), list):
        raise ValueError(f"hover must be a list of columns, given {spec['hover']!r}")
    for column in spec.get("hover", []):
        _column(table, "hover", column, where)
    for key in NUMERIC[kind]:
        column = spec.get(key)
        if column is None or table[column].dropna().empty:
            continue
        if not pd.api.types.is_numeric_dtype(table[column]):
            example = table[column].dropna().iloc[0]
            raise ValueError(
                f"{where}[{key!r}]: column {column!r} must hold numbers, it holds {example!r}"
            )
    if spec.get("error") is not None and (kind == "scatter" or spec["error"] not in SPREADS):
        _column(table, "error", spec["error"], where)
    if kind != "scatter" and spec.get("error") in SPREADS and spec["error"] in table.columns:
        raise ValueError(
            f"'error' is {spec['error']!r}, a spread over rows and a column's name: rename that"
        )
    if spec.get("band") is not None and spec["band"] not in SPREADS:
        raise _unknown("band", spec["band"], SPREADS)
    if ("low" in spec) != ("high" in spec):
        raise ValueError("'low' and 'high' go together: give both columns or neither")
    for key in ("xscale", "yscale"):
        if spec.get(key, "linear") not in ("linear", "log"):
            raise _unknown(key, spec[key], ("linear", "log"))
    if spec.get("aspect", "auto") not in ("auto", "equal"):
        raise _unknown("aspect", spec["aspect"], ("auto", "equal"))
    _pair(spec, "xlim")
    _pair(spec, "ylim")
    for key in ("xlim", "ylim"):
        if spec.get("regions") and None in (spec.get(key) or []):
            raise ValueError(f"regions need both ends of {key}, given {spec[key]}")
    _regions(spec)
    _check_settings(table, spec)
    _marks(spec, "hlines", ("at",))
    _marks(spec, "vlines", ("at",))
    _marks(spec, "notes", ("x", "y", "text"))
    if spec.get("colors") and not spec.get("series"):
        raise ValueError("'colors' gives series their colours: name the column with 'series'")
    for value, colour in (spec.get("colors") or {}).items():
        if colour not in SERIES["light"]:
            raise _unknown(f"colour of {value!r}", colour, SERIES["light"])
    for key, values in (spec.get("order") or {}).items():
        if key not in ("x", "y", "series", "facet") or not spec.get(key):
            raise _unknown(
                "key of 'order'", key, [k for k in ("x", "y", "series", "facet") if spec.get(k)]
            )
        given = {str(v) for v in table[spec[key]].dropna()}
        for value in values:
            if str(value) not in given:
                raise _unknown(f"value in order[{key!r}]", value, sorted(given))


def control_values(data, control):
    """Values that a control can take, in their order; None where it has no list of them."""
    if control.get("values") is not None:
        return control["values"]
    if control.get("options") is not None:
        return [o[0] if isinstance(o, list) else o for o in control["options"]]
    if control.get("column") is None:
        return None
    column = control["column"]
    table = next(table for table in data.values() if column in table.columns)
    present = table[column].dropna()
    if isinstance(present.dtype, pd.CategoricalDtype):
        found = [v for v in present.cat.categories if v in set(present)]
    else:
        found = list(pd.unique(present))
        if pd.api.types.is_numeric_dtype(present) and not pd.api.types.is_bool_dtype(present):
            found = sorted(found)
    return plain(found, f"column {column!r}")


def control_value(data, control):
    """Value of a control at the start."""
    if control.get("value") is not None:
        return control["value"]
    if control["type"] in ("toggle", "play"):
        return False
    values = control_values(data, control)
    return control["min"] if values is None else values[0]


def chosen(data, spec):
    """Tables with only the rows that the controls leave at the start, and words that say so.

    There are no words about a control that leaves the drawn tables as they are.
    """
    words, first = [], next(iter(data))
    drawn = spec["static"] if spec["kind"] == "explorer" else spec
    drawn = {panel.get("data", first) for panel in drawn.get("panels", [drawn])}
    for control in spec.get("controls", []):
        column, value = control.get("column"), control_value(data, control)
        if column is None:
            continue
        fits = operator.le if control.get("upto") else operator.eq
        data = {
            name: table[fits(table[column], value)] if column in table.columns else table
            for name, table in data.items()
        }
        if any(column in data[name].columns for name in drawn):
            words.append(f"{control.get('label', control['name'])}: {value}")
    return data, words


def _controls(data, controls):
    if not isinstance(controls, list):
        raise ValueError(f"controls must be a list of dicts, given {controls!r}")
    names = [control.get("name") for control in controls if isinstance(control, dict)]
    for control in controls:
        if not isinstance(control, dict) or not isinstance(control.get("name"), str):
            raise ValueError(f"each control must be a dict with a name, given {control!r}")
        name, kind = control["name"], control.get("type")
        if names.count(name) > 1:
            raise ValueError(f"two controls are named {name!r}")
        if kind not in CONTROLS:
            raise _unknown(f"type of the control {name!r}", kind, CONTROLS)
        needed, optional = CONTROLS[kind]
        for key in control:
            if key not in ("name", "type", "label", "value", *needed, *optional):
                raise _unknown(f"key of the {kind} {name!r}", key, (*needed, *optional))
        for key in needed:
            if key not in control:
                raise ValueError(f"the {kind} {name!r} needs {key!r}")
        column = control.get("column")
        if column is not None and not any(column in table.columns for table in data.values()):
            every = sorted({c for table in data.values() for c in table.columns})
            raise _unknown(f"column of the control {name!r}", column, every)
        values = control_values(data, control)
        if kind == "range" and values is None:
            ends = [control.get("min"), control.get("max")]
            if not all(map(_is_number, ends)) or ends[0] >= ends[1]:
                raise ValueError(f"the range {name!r} needs min < max, values or a column")
            if not _is_number(control.get("step", 1)) or control.get("step", 1) <= 0:
                raise ValueError(f"step of {name!r} must be above 0, given {control['step']!r}")
            if not ends[0] <= control_value(data, control) <= ends[1]:
                raise ValueError(f"value of {name!r} lies outside {ends}: {control['value']!r}")
        elif kind in ("range", "choice"):
            if not values:
                raise ValueError(f"the {kind} {name!r} has nothing to choose from")
            if control_value(data, control) not in values:
                raise _unknown(f"value of {name!r}", control["value"], values)
        elif kind == "play":
            ranges = [c["name"] for c in controls if c.get("type") == "range"]
            if control["of"] not in ranges:
                raise _unknown(f"range that {name!r} moves", control["of"], ranges)


def _explorer(data, spec):
    from synthlib.viz.script import explorers

    for key in spec:
        if key not in EXPLORER:
            raise _unknown("key of an 'explorer' figure", key, EXPLORER)
    if spec.get("explorer") not in explorers():
        raise _unknown("explorer", spec.get("explorer"), explorers())
    if not isinstance(spec.get("options", {}), dict):
        raise ValueError(f"options of an explorer must be a dict, given {spec['options']!r}")
    if spec["explorer"] == "usual":  # a usual kind in the page, another picture on paper
        check(data, spec.get("options", {}).get("spec"))
    static = spec.get("static")
    if not isinstance(static, dict) or static.get("kind") == "explorer" or "controls" in static:
        raise ValueError(
            "an 'explorer' figure needs 'static': the description of a picture of another kind,"
            " without controls, for readers without a script"
        )
    check(data, static)


def check(data, spec):
    """Description of a figure in plain JSON types, checked against its tables.

    Parameters
    ----------
    data : dict of str to DataFrame
        As `tables` gives them.
    spec : dict
        ``kind`` and what `KINDS` and `COMMON` list for it; ``{"kind": "panels", "panels": [...]}``
        sets several pictures side by side.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        An unknown kind, key, column, colour or value, with the choices; a value of a wrong form.
    """
    if not isinstance(spec, dict):
        raise ValueError(f"spec must be a dict like {{'kind': 'lines', …}}, given {spec!r}")
    spec = plain(spec)
    _controls(data, spec.get("controls", []))
    if spec.get("kind") == "explorer":
        _explorer(data, spec)
        return spec
    if spec.get("kind") != "panels":
        _check_one(data, spec, "spec")
        return spec
    for key in spec:
        if key not in PANELS:
            raise _unknown("key of a 'panels' figure", key, PANELS)
    panels = spec.get("panels")
    if not isinstance(panels, list) or not panels:
        raise ValueError("a 'panels' figure needs 'panels': a list of specs")
    for position, panel in enumerate(panels):
        if not isinstance(panel, dict) or "facet" in panel or "controls" in panel:
            raise ValueError(
                f"panels[{position}] must be a dict without 'facet' and 'controls', given {panel!r}"
            )
        _check_one(data, panel, f"panels[{position}]")
    return spec
