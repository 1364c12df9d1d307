"""A figure's words in another language, by one file.

    from synthlib.viz import words
    figure.in_words(words.load("de")).save("figures")

A file is JSON: ``language`` (as HTML names it), ``figures`` (for each label what stands for each of
its English texts) and ``page`` (what the living figures' script writes, for all of them). Numbers
and what stands in “…” are places: ``{0}``, ``{1}``, … in the English text, in its order, and in
any order in the other. So they are carried over as they are, but for a quotation that has words of
its own, such as a control's label. What has no words stays English.

What the script reads aloud is made from the data: it has words as a whole, or sentence by sentence,
or for the parts of a sentence between “; ”, “: ” and “, ”; a full stop at the end may be left out.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

__all__ = ["Words", "load", "needs_words", "shipped", "template", "translated"]

FOLDER = Path(__file__).resolve().parent
#: A number or a quotation; the same expression stands in js/core.js.
PLACE = re.compile(r"“[^”]*”|(^|[^A-Za-z\d])([−+-]?\d+(?:,\d{3})*(?:\.\d+)?)", re.ASCII)
_TEXTS = ("title", "xlabel", "ylabel", "vlabel")
#: Settings of a description that name columns whose values are read in the picture.
_VALUES = ("series", "facet", "x", "y", "text", "label", "source", "target")


def template(text):
    """A text with its numbers and quotations as places.

    Parameters
    ----------
    text : str

    Returns
    -------
    key : str
        With ``{0}``, ``{1}``, … in their places.
    found : list of str
        What stood there.
    """
    found = []

    def place(match):
        before, value = (match[1], match[2]) if match[2] is not None else ("", match[0])
        found.append(value)
        return f"{before}{{{len(found) - 1}}}"

    return PLACE.sub(place, " ".join(str(text).split())), found


def needs_words(text):
    """Whether a text has a word in it, formulas aside: two letters side by side."""
    return bool(re.search(r"[A-Za-zÀ-ɏ]{2}", re.sub(r"\\[A-Za-z]+", "", template(text)[0])))


def filled(text, found):
    """A translation with what stood in the places."""
    return re.sub(r"\{(\d+)\}", lambda place: found[int(place[1])], text)


@dataclass
class Words:
    """The words of one language.

    Attributes
    ----------
    language : str
    figures : dict of str to dict of str to str
    page : dict of str to str
    absent : dict of str to list of str
        By label, the texts that were asked for and have no words; filled while figures are made.
    """

    language: str
    figures: dict
    page: dict = field(default_factory=dict)
    absent: dict = field(default_factory=dict)

    def of(self, label):
        """Everything that may be said in a figure: its own words and those of all."""
        return self.page | self.figures.get(label, {})

    def say(self, label, text, *, note=True):
        """A text in this language; as it is where it needs no words or has none."""
        if not isinstance(text, str) or not needs_words(text):
            return text
        key, found = template(text)
        other = self.of(label).get(key)
        if other is None:
            absent = self.absent.setdefault(label, [])
            if note and key not in absent:
                absent.append(key)
            return text
        within = [f"“{self.say(label, one[1:-1], note=False)}”" if one[0] == "“" else one
                  for one in found]  # fmt: skip
        return filled(other, within)


def shipped():
    """Names of the languages that travel with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.json"))


def load(name):
    """The words of a file, or of a language that travels with the package.

    Parameters
    ----------
    name : str or path
        "de", "es", or a file.

    Returns
    -------
    Words

    Raises
    ------
    FileNotFoundError, ValueError
        No such file; no JSON; not of the form that is wanted; other places in a translation.
    """
    path = FOLDER / f"{name}.json" if str(name) in shipped() else Path(name).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file of words {name}: give a JSON file, or one of {', '.join(shipped())}"
        )
    try:
        raw = json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(raw, dict) or not isinstance(raw.get("language"), str):
        raise ValueError(f'{path} is no file of words: {{"language": "de", "figures": {{…}}}}')
    known = {"language", "figures", "page"}
    odd = next((key for key in raw if key not in known), None)
    if odd is not None:
        raise ValueError(f"{path}: unknown part {odd!r}; there are {', '.join(sorted(known))}")
    parts = {"page": raw.get("page", {}), **(raw.get("figures") or {})}
    for part, texts in parts.items():
        if not isinstance(texts, dict) or not all(
            isinstance(text, str) and text.strip() for text in texts.values()
        ):
            raise ValueError(f"{path}: {part} must name a text for each text")
        for key, text in texts.items():
            if _places(key) != _places(text):
                raise ValueError(
                    f"{path}: {part}: the places of {key!r} and of {text!r} are not the same"
                )
    figures = {label: _keyed(texts) for label, texts in parts.items() if label != "page"}
    return Words(raw["language"], figures, _keyed(parts["page"]))


def _keyed(texts):
    return {" ".join(key.split()): text for key, text in texts.items()}


def _places(text):
    return sorted(re.findall(r"\{\d+\}", text))


# ------------------------------------------------------------------ a figure
def translated(tables, spec, say):
    """A figure's description and tables with other words.

    Parameters
    ----------
    tables : dict of str to DataFrame
    spec : dict
    say : callable
        From a text to the same in another language.

    Returns
    -------
    tables, spec, still
        `still` are the tables of the static picture. A figure with a logic of its own in the page
        keeps its tables, whose values that logic knows; its script says them otherwise.
    """
    still, done = {name: table.copy() for name, table in tables.items()}, set()
    own = _spec(spec, tables, still, done, say, next(iter(tables)))
    return (tables if spec["kind"] == "explorer" else still), own, still


def _spec(spec, tables, still, done, say, first):
    new = dict(spec)
    for key in _TEXTS:
        if key in new:
            new[key] = say(new[key])
    for key in ("hlines", "vlines", "regions"):
        if key in new:
            new[key] = [one | {"label": say(one["label"])} if "label" in one else one
                        for one in new[key]]  # fmt: skip
    if "notes" in new:
        new["notes"] = [note | {"text": say(note["text"])} for note in new["notes"]]
    if "controls" in new:
        explorer = spec["kind"] == "explorer"
        new["controls"] = [_control(c, tables, say, explorer) for c in new["controls"]]
    if spec["kind"] == "explorer":
        new["static"] = _spec(spec["static"], tables, still, done, say, first)
        return new
    if spec["kind"] == "panels":
        new["panels"] = [_spec(p, tables, still, done, say, first) for p in spec["panels"]]
        return new
    name = spec.get("data", first)
    if spec["kind"] != "flow":
        for key in ("x", "y"):
            if f"{key}label" not in spec and spec.get(key):
                new[f"{key}label"] = say(spec[key])
    for key in _VALUES:
        column = spec.get(key)
        if column in still[name] and (name, column) not in done:
            done.add((name, column))
            still[name][column] = _renamed(still[name][column], say)
    if "order" in spec:
        new["order"] = {key: [say(v) for v in values] for key, values in spec["order"].items()}
    if "colors" in spec:
        new["colors"] = {say(value): colour for value, colour in spec["colors"].items()}
    return new


def _renamed(column, say):
    """A column's texts in other words; numbers stay."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        other = {value: say(value) for value in column.cat.categories}
        if len(set(other.values())) < len(other):
            return column.astype(object).map(other)
        return column.cat.rename_categories(other)
    if pd.api.types.is_numeric_dtype(column):
        return column
    return column.map(lambda value: say(value) if isinstance(value, str) else value)


def _control(control, tables, say, explorer):
    new = control | {"label": say(control.get("label", control["name"]))}
    options = control.get("options")
    column = control.get("column")
    if control["type"] == "choice" and options is None and column and explorer:
        table = next(table for table in tables.values() if column in table)
        options = list(pd.unique(table[column].dropna()))
    if options is not None:
        pairs = [one if isinstance(one, list) else [one, one] for one in options]
        new["options"] = [[value, say(str(shown)) if isinstance(shown, str) else shown]
                          for value, shown in pairs]  # fmt: skip
    elif column and not explorer and control.get("value") is not None:
        new["value"] = say(control["value"])
    return new
