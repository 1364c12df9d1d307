"""The figure object: tidy data, a plain description, a text alternative."""

import base64
import html
import json
import re
import sys
from pathlib import Path

from synthlib.paths import write_bytes
from synthlib.viz import draw, page_model, script, widget
from synthlib.viz.spec import check, columns, control_value, tables

#: What a page of the book reads: everything that it shows, as JSON.
MIMETYPE = "application/vnd.synthlib.figure+json"
LABEL = re.compile(r"fig-[a-z0-9]+(-[a-z0-9]+)*")


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

    def __repr__(self):
        return f"<Figure {self.label or self.spec['kind']}: {self.alt}>"

    def draw(self, *, mode="light", width="wide"):
        """The picture as a matplotlib figure; ``mode`` light or dark, ``width`` wide or narrow."""
        return draw.draw(self.tables, self.spec, mode=mode, width=width)

    def svg(self, *, mode="light", width="wide"):
        """The picture as SVG text on a transparent ground, its letters as shapes."""
        return draw.render(self.tables, self.spec, mode=mode, width=width).decode("utf-8")

    def png(self, *, mode="light", width="wide", dpi=160):
        """The picture as PNG bytes on an opaque ground."""
        return draw.render(
            self.tables, self.spec, mode=mode, width=width, form="png", dpi=dpi, opaque=True
        )

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
        return {
            "version": 1,
            "label": self.label,
            "caption": self.caption,
            "alt": self.alt,
            "spec": self.spec,
            "tables": {name: columns(table) for name, table in self.tables.items()},
        }

    def page(self):
        """A page (HTML) of this figure alone, alive without a kernel and without the network."""
        return script.page(self.payload(), self.svg(), self.svg(mode="dark"))

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

    def save(self, folder):
        """Write data, picture and texts, each file complete or not at all.

        Parameters
        ----------
        folder : path
            Made where it is absent.

        Returns
        -------
        list of Path
            ``<label>.csv`` (one a table), ``.spec.json``, ``.html`` (the living figure, one page
            that needs nothing else), ``.png``, ``.svg``, ``.alt.txt`` and, where there is one,
            ``.caption.txt``; and the script of the model that the living figure runs, if any.
        """
        folder = Path(folder)
        stem = self.label or "figure"
        stems = self._file_stems()
        content = {f"{stems[name]}.csv": text.encode() for name, text in self.csv().items()}
        description = json.dumps(self.spec, ensure_ascii=False, indent=1)
        content[f"{stem}.spec.json"] = description.encode() + b"\n"
        content[f"{stem}.html"] = self.page().encode()
        content[f"{stem}.png"] = self.png()
        content[f"{stem}.svg"] = self.svg().encode()
        content[f"{stem}.alt.txt"] = self.alt.encode() + b"\n"
        if model := self.spec.get("options", {}).get("model"):
            content[f"{model}.js"] = page_model.script(model).encode()
        if self.caption:
            content[f"{stem}.caption.txt"] = self.caption.encode() + b"\n"
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
