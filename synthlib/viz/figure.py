"""The figure object: tidy data, a plain description, a text alternative."""

import base64
import html
import json
import re
import sys
from pathlib import Path

import pandas as pd

from synthlib.paths import write_bytes
from synthlib.viz import draw, page_model, script, widget
from synthlib.viz import words as other_words
from synthlib.viz.spec import KINDS, check, columns, control_value, tables

#: What a page of the book reads: everything that it shows, as JSON.
MIMETYPE = "application/vnd.synthlib.figure+json"
LABEL = re.compile(r"fig-[a-z0-9]+(-[a-z0-9]+)*")
#: What a figure can be saved as; the first three if nothing is asked for.
FORMATS = ("html", "png", "svg", "pdf")
VECTOR_UP_TO = 20_000  # points of a layer in a saved SVG or PDF; beyond, they are a picture
# The keys of a description that name a column.
_COLUMNS = {key for needs, may, _ in KINDS.values() for key in (*needs, *may)} | {"facet"}
# How a sentence begins that asks a reader to do something with the living figure.
_DO = re.compile(
    r"(?:(?:and|or) )?(?:ask|choose|click|drag|hover|leave|move|point|press|switch|tick|turn)\b"
    r"|.*\byou\b", re.I,
)  # fmt: skip


def parted(caption):
    """The pieces of a caption, by where each makes sense.

    Parameters
    ----------
    caption : str

    Returns
    -------
    list of (text, where)
        `where` is "both", "living" (what only a script can do) or "still" (what stands in its place
        in a picture). The living caption are the pieces that are not "still", one after another,
        the picture's those that are not "living".
    """
    pieces = []
    for sentence in re.findall(r"\(In print: [^)]*\)\s*|.+?(?:[.!?]\s+|$)", caption):
        said = sentence.rstrip()
        inner = re.fullmatch(r"\(In print: (.*)\)", said)
        bare = f"In print: {inner[1]}" if inner else said
        kept = "; ".join(part for part in bare.split("; ") if not _DO.match(part.lstrip("*")))
        if kept.startswith("In print: "):
            kept = kept[10].upper() + kept[11:]
        if kept and not re.search(r"[.!?]\)?$", kept):
            kept += "."
        end = sentence[len(said) :]
        begun = kept.removesuffix(".")
        if kept == said:
            pieces += [(sentence, "both")]
        elif begun and said.startswith(begun):
            pieces += [(begun, "both"), (said[len(begun) :] + end, "living"), ("." + end, "still")]
        else:
            pieces += [(sentence, "living"), (kept + end if kept else "", "still")]
    return [piece for piece in pieces if piece[0]]


def _still(caption):
    """A caption for a still picture: without what only a script can do, with what is for print."""
    return "".join(text for text, where in parted(caption) if where != "living").strip()


def _roles(spec, table, first, column, inside=""):
    """The keys of a description, its panels and its still included, that name a column."""
    default = spec.get("data", inside or first)
    for key, value in spec.items():
        if key == "panels":
            for panel in value:
                yield from _roles(panel, table, first, column, default)
        elif key == "static":
            yield from _roles(value, table, first, column, default)
        elif default == table and key in _COLUMNS and value == column:
            yield key
        elif default == table and key == "hover" and column in value:
            yield key
        elif key == "controls":
            yield from ("control" for control in value if control.get("column") == column)


def _axis_label(spec, role):
    """The label of the axis along which a role is drawn, without TeX; "" for none."""
    label = {"x": "xlabel", "y": "ylabel", "value": "vlabel"}.get(role)
    holders = [spec, spec.get("static", {}), *spec.get("panels", [])]
    found = [holder[label] for holder in holders if label and holder.get(label)]
    return script.plain(found[0]) if found else ""


def _text(value, name):
    """One line of text, or a ValueError that says what is wanted."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text:
        raise ValueError(
            f"{name} must be a non-empty text"
            + (" or a function from the data to one" if name == "alt" else "")
            + f", given {value!r}"
        )
    return text


class Figure:
    """A figure of the book: shown in a notebook, set in a page, saved with its data.

    Parameters
    ----------
    data : DataFrame, dict, list of dict or array
        Tidy data, one row an observation; several tables as ``{"name": table}``. See
        `synthlib.viz.spec.tables`.
    spec : dict
        What to draw, in plain JSON types: ``{"kind": "lines", "x": column, "y": column, …}``. See
        `synthlib.viz.spec.KINDS` for the kinds and their keys.
    alt : str or callable
        What the figure shows, for those who do not see it; a function gets the data (the
        DataFrame, or the dict of them where there are several) and returns the text.
    label : str, optional
        ``fig-NN-words``; the prose refers to the figure by it. Needs a caption.
    caption : str, optional
        One or two sentences in MyST (formulas and references allowed).

    Attributes
    ----------
    tables : dict of str to DataFrame
    spec : dict
    alt, label, caption : str or None

    Raises
    ------
    ValueError
        An unknown kind, key or column (the message lists the choices), an empty text, a label that
        is malformed or has no caption, data that are not tables.

    Notes
    -----
    Rows without a finite number are not drawn, and the picture says how many. Text that comes from
    the data is never read as markup.

    Examples
    --------
    >>> figure = Figure(
    ...     {"step": [0, 1, 2], "loss": [3.0, 2.0, 1.5]},
    ...     {"kind": "lines", "x": "step", "y": "loss"},
    ...     alt=lambda data: f"The loss falls from {data.loss.iloc[0]} to {data.loss.iloc[-1]}.",
    ... )
    >>> figure.alt
    'The loss falls from 3.0 to 1.5.'
    """

    def __init__(self, data, spec, alt, *, label=None, caption=None):
        self.tables = tables(data)
        self.spec = check(self.tables, spec)
        if callable(alt):
            single = len(self.tables) == 1 and "data" in self.tables
            copies = {name: table.copy() for name, table in self.tables.items()}
            alt = alt(copies["data"] if single else copies)
        self.alt = _text(alt, "alt")
        self.caption = None if caption is None else _text(caption, "caption")
        if label is not None and not LABEL.fullmatch(str(label)):
            raise ValueError(f"label must look like 'fig-01-some-words', given {label!r}")
        if label is not None and self.caption is None:
            raise ValueError(
                f"figure {label!r} needs a caption: a reference shows its number there"
            )
        self.label = label
        self.language, self._page_words, self._said_still = "en", {}, None
        self._still, self._say = (self.tables, self.spec), None

    def in_words(self, words):
        """The figure in another language: its texts, labels, names of series and alternative.

        Parameters
        ----------
        words : `synthlib.viz.words.Words`
            As `synthlib.viz.words.load` reads them; ``absent`` then names the texts for which it
            has none, and which stay English.

        Returns
        -------
        Figure
            Numbers are the same. Names of columns and the label stay as they are.
        """

        def say(text):
            return words.say(self.label, text)

        def soft(text):
            return words.say(self.label, text, note=False)

        tables, spec, still = other_words.translated(self.tables, self.spec, say)
        caption = say(self.caption) if self.caption else None
        # The page knows the tables' own values; only the picture has others in their place.
        living = spec["kind"] == "explorer"
        page = spec | {"static": self.spec["static"]} if living else spec
        other = Figure(tables, page, say(self.alt), label=self.label, caption=caption)
        if self.caption:
            # What is left for print is found by English words.
            kept = _still(self.caption)
            other._said_still = caption if kept == self.caption else say(kept)
        drawn = spec | {"static": check(still, spec["static"])} if living else other.spec
        other._still, other._say = (still, drawn), soft
        other.language, other._page_words = words.language, words.of(self.label)
        return other

    def __repr__(self):
        return f"<Figure {self.label or self.spec['kind']}: {self.alt}>"

    def draw(self, *, mode="light", width="wide"):
        """The picture as a matplotlib figure; ``mode`` light or dark, ``width`` wide or narrow."""
        return draw.draw(*self._still, mode=mode, width=width, say=self._say)

    def svg(self, *, mode="light", width="wide", text="shapes"):
        """The picture as SVG text on a transparent ground, its letters as shapes or as text."""
        drawn = draw.render(*self._still, mode=mode, width=width, text=text, say=self._say)
        return drawn.decode()

    def png(self, *, mode="light", width="wide", dpi=160):
        """The picture as PNG bytes on an opaque ground."""
        return draw.render(
            *self._still, mode=mode, width=width, form="png", dpi=dpi, opaque=True, say=self._say
        )

    def still_caption(self):
        """The caption without what a still picture cannot do, and without markup; "" for none."""
        if not self.caption:
            return ""
        return script.plain(self._said_still or _still(self.caption))

    def csv(self):
        """Each table as CSV text (UTF-8, full precision, an empty field for a missing value)."""
        return {
            name: table.to_csv(index=False, lineterminator="\n")
            for name, table in self.tables.items()
        }

    def _file_stems(self):
        """Name of each table's file, without its ending."""
        stem = self.label or "figure"
        clean = {n: re.sub(r"[^A-Za-z0-9]+", "-", n).strip("-") or "data" for n in self.tables}
        single = len(clean) == 1
        return {name: stem if single else f"{stem}-{part}" for name, part in clean.items()}

    def payload(self):
        """What the living figure is made from, in plain JSON types; `synthlib/viz/js/core.js`."""
        content = {
            "version": 1,
            "label": self.label,
            "caption": self.caption,
            "alt": self.alt,
            "spec": self.spec,
            "tables": {name: columns(table) for name, table in self.tables.items()},
        }
        return content | {"words": self._page_words} if self._page_words else content

    def page(self):
        """A page (HTML) of this figure alone, alive without a kernel and without the network."""
        return script.page(self.payload(), self.svg(), self.svg(mode="dark"), self.language)

    def widget(self, state=None):
        """The living figure as a widget (anywidget) for a notebook.

        Parameters
        ----------
        state : dict, optional
            Values of controls by name that differ from their values at the start.

        Returns
        -------
        anywidget.AnyWidget
            Its traitlet ``state`` (dict) is the controls' state: it changes when a reader moves a
            control, and the figure changes when it is assigned.

        Raises
        ------
        ValueError
            A name in `state` that is no control and no part of the figure's own state.
        ImportError
            anywidget is not installed.
        """
        controls = self.spec.get("controls", [])
        start = {c["name"]: control_value(self.tables, c) for c in controls}
        for name in state or {}:
            if name not in start and self.spec["kind"] != "explorer" and name != "hidden":
                raise ValueError(f"no control is named {name!r}; there are: {', '.join(start)}")
        widget.allow_in_colab()
        data = self.payload()
        data["caption"] = self.caption and script.plain(self.caption)
        return widget.widget_class()(data=data, state=start | (state or {}))

    def dictionary(self):
        """What each column of the data is: a DataFrame with one row a column.

        Returns
        -------
        DataFrame
            table, column, type (of the values), role (keys of the description that name it, as
            "x" or "series"), label (of the axis that it is drawn along; units stand there),
            smallest and largest (of numbers) or values (of words, up to twelve).
        """
        rows = []
        for name, table in self.tables.items():
            for column in table.columns:
                roles = sorted(set(_roles(self.spec, name, next(iter(self.tables)), column)))
                labels = [_axis_label(self.spec, role) for role in roles]
                numbers = table[column].dropna()
                row = {
                    "table": name, "column": column, "type": columns(table)["types"].get(column),
                    "role": ", ".join(roles), "label": ", ".join(filter(None, labels)),
                }  # fmt: skip
                if (
                    pd.api.types.is_numeric_dtype(numbers)
                    and numbers.dtype != bool
                    and len(numbers)
                ):
                    row |= {"smallest": numbers.min(), "largest": numbers.max()}
                else:
                    found = [str(value) for value in pd.unique(numbers)]
                    row["values"] = " | ".join(found) if len(found) <= 12 else f"{len(found)} texts"
                rows.append(row)
        names = ["table", "column", "type", "role", "label", "smallest", "largest", "values"]
        return pd.DataFrame(rows, columns=names)

    def save(
        self, folder, formats=FORMATS[:3], *, width="wide", mode="light", dpi=160, text="shapes"
    ):  # fmt: skip
        """Write data, picture and texts, each file complete or not at all.

        Parameters
        ----------
        folder : path
            Made where it is absent.
        formats : sequence of {"html", "png", "svg", "pdf"}
            Of the picture. In SVG and PDF nothing is a picture within the picture up to 20,000
            points.
        width : {"wide", "narrow"} or float
            7 inches, 3.8 inches, or inches between 1.5 and 20. The page (HTML) has its own.
        mode : {"light", "dark"}
            Of the picture; the page has both.
        dpi : int
            Dots per inch of a PNG.
        text : {"shapes", "text"}
            Letters of an SVG; a PDF has text, its font embedded.

        Returns
        -------
        list of Path
            ``<label>.csv`` (one a table), ``.columns.csv`` (what their columns are),
            ``.spec.json``, the picture in each format (``.html`` is the living figure, one page
            that needs nothing else), ``.alt.txt`` and, where there is one, ``.caption.txt`` (for a
            still picture, without markup); and the script of the model that the living figure
            runs, if any.

        Raises
        ------
        ValueError
            For an unknown format, width, mode or kind of text, or dpi below 1.
        """
        unknown = [name for name in formats if name not in FORMATS]
        if unknown or not formats or isinstance(formats, str):
            raise ValueError(f"formats are some of {', '.join(FORMATS)}, given {formats!r}")
        for given, choices in ((mode, ("light", "dark")), (text, ("shapes", "text"))):
            if given not in choices:
                raise ValueError(f"choose {' or '.join(choices)}, given {given!r}")
        if not 1 <= dpi <= 2400:
            raise ValueError(f"dpi is a number of dots per inch, 1 to 2400, given {dpi}")
        draw.inches_of(width)
        folder = Path(folder)
        stem = self.label or "figure"
        stems = self._file_stems()
        content = {f"{stems[name]}.csv": text_.encode() for name, text_ in self.csv().items()}
        content[f"{stem}.columns.csv"] = self.dictionary().to_csv(index=False).encode()
        description = json.dumps(self.spec, ensure_ascii=False, indent=1)
        content[f"{stem}.spec.json"] = description.encode() + b"\n"
        still = self.still_caption()
        if "html" in formats:
            content[f"{stem}.html"] = self.page().encode()
            if model := self.spec.get("options", {}).get("model"):
                content[f"{model}.js"] = page_model.script(model).encode()
        for form in [name for name in formats if name != "html"]:
            content[f"{stem}.{form}"] = draw.render(
                *self._still, mode=mode, width=width, form=form, dpi=dpi, text=text, say=self._say,
                opaque=form == "png" or mode == "dark", raster_from=VECTOR_UP_TO,
                title=still or stem, description=self.alt,
            )  # fmt: skip
        content[f"{stem}.alt.txt"] = self.alt.encode() + b"\n"
        if self.caption:
            content[f"{stem}.caption.txt"] = still.encode() + b"\n"
        folder.mkdir(parents=True, exist_ok=True)
        for name, body in content.items():
            write_bytes(folder / name, body)
        return [folder / name for name in content]

    def _repr_mimebundle_(self, include=None, exclude=None):
        """What notebooks and the book's pages show."""
        colab = "google.colab" in sys.modules
        if widget.wanted():
            try:
                bundle = self.widget()._repr_mimebundle_()
            except (ImportError, AttributeError) as error:
                # Without anywidget a figure is a picture, and so it is should Colab no longer have
                # the private names that anywidget asks it for.
                if not colab and isinstance(error, AttributeError):
                    raise
                bundle = None
            if bundle:
                # A viewer that has no widgets shows the picture.
                data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
                still = {} if colab else {"image/png": base64.b64encode(self.png()).decode("ascii")}
                return {**still, **data, "text/plain": self.alt}, metadata
        png = base64.b64encode(self.png()).decode("ascii")
        caption = html.escape(script.plain(self.caption)) if self.caption else ""
        caption = caption and f"<figcaption>{caption}</figcaption>"
        alt = html.escape(self.alt, quote=True)
        bundle = {
            "text/plain": self.alt,
            "text/html": (
                f'<figure style="margin:0"><img src="data:image/png;base64,{png}" alt="{alt}" '
                f'style="width:{draw.WIDTHS["wide"]:.0f}in;max-width:100%">{caption}</figure>'
            ),
            "image/png": png,
        }
        # Colab shows the HTML; what only a page of the book needs would weigh on its notebook.
        if not colab:
            stems = self._file_stems()
            bundle[MIMETYPE] = {
                "version": 1,
                "label": self.label,
                "caption": self.caption,
                "alt": self.alt,
                "spec": self.spec,
                "tables": {name: columns(table) for name, table in self.tables.items()},
                "data": {stems[name]: text for name, text in self.csv().items()},
                "svg": {
                    f"{mode}-{width}": self.svg(mode=mode, width=width)
                    for mode in ("light", "dark")
                    for width in draw.WIDTHS
                },
            }
        return bundle
