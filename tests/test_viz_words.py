"""Figures in another language: shipped words cover their twelve figures, and carry all numbers."""

import ast
import contextlib
import json
import re

import living
import nbformat
import pandas as pd
import project
import pytest
import student_edition

from synthlib import viz
from synthlib.viz import gallery, words
from synthlib.viz.figure import FORMATS

TWELVE = (
    "fig-03-omega fig-03-lines fig-03-outcomes fig-04-region fig-05-batch fig-06-ablation "
    "fig-07-landscape fig-08-dashboard fig-10-greedy fig-10-paths fig-11-order fig-13-omega"
).split()
LANGUAGES = ("de", "es")
LABELS = ("title", "xlabel", "ylabel", "vlabel")


def literal(node):
    """A caption or label as the source says it, or None where it is computed."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def of_the_sources(root):
    """What the chapters' sources say in so many words, by figure: captions, labels, titles."""
    found = {}
    for path in sorted((root / "book" / "chapters").glob("[0-9]*.py")):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            given = {one.arg: one.value for one in call.keywords}
            label = literal(given["label"]) if "label" in given else None
            if label not in TWELVE:
                continue
            texts = found.setdefault(label, [])
            if "caption" in given:
                texts.append(literal(given["caption"]))
            for node in ast.walk(call):
                if isinstance(node, ast.Dict):
                    pairs = zip(node.keys, node.values, strict=True)
                    texts += [literal(value) for key, value in pairs
                              if key is not None and literal(key) in LABELS]  # fmt: skip
    return found


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_sources_say_of_the_twelve_has_words(root, language):
    other, said = words.load(language), of_the_sources(root)
    assert set(said) == set(TWELVE) == set(other.figures)
    captions = 0
    for label, texts in said.items():
        for text in filter(None, texts):
            captions += text.count(" ") > 6
            if words.needs_words(text):
                key = words.template(text)[0]
                assert key in other.of(label), f"{language}: {label} has no words for {key!r}"
    assert captions >= 8  # the others are computed: they are in the book's build


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_of_the_twelve_has_words(root, language):
    """Of the book as it was executed from these sources; skipped without that."""
    other, figures = words.load(language), {}
    for path, labels in gallery.chapters().items():
        if set(labels) & set(TWELVE) and project.cache_path().is_dir():
            notebook = nbformat.read(path, as_version=4)
            with contextlib.suppress(KeyError):
                made = gallery.figures(student_edition.executed(notebook, project.cache_path()))
                figures |= {one.label: one for one in made if one.label in TWELVE}
    if not figures:
        pytest.skip("the book was not executed from these sources")
    for label in figures:
        figures[label].in_words(other)
    assert {label: texts for label, texts in other.absent.items() if texts} == {}


def test_the_languages_have_the_same_texts_and_keep_every_place():
    read = [json.loads((words.FOLDER / f"{name}.json").read_text("utf-8")) for name in LANGUAGES]
    assert words.shipped() == sorted(LANGUAGES)
    first, second = read
    assert first["figures"].keys() == second["figures"].keys()
    for one in read:
        for texts in (one["page"], *one["figures"].values()):
            for key, text in texts.items():
                places = re.findall(r"\{\d+\}", key)
                assert sorted(places) == sorted(re.findall(r"\{\d+\}", text)), key
                # Numbers and units are carried over: nobody writes one into a translation.
                bare = re.sub(r"\{\d+\}", "", text)
                assert not re.search(r"(?<![A-Za-z\d])\d", bare), text
                assert key.count("%") == text.count("%") and key.count("$") == text.count("$"), key
    for label in first["figures"]:
        assert first["figures"][label].keys() == second["figures"][label].keys(), label
    assert first["page"].keys() == second["page"].keys()


SPEC = {
    "kind": "lines", "x": "omega", "y": "percent", "series": "kind", "xlabel": "ω",
    "ylabel": "right (%)", "colors": {"mean of both": "purple"},
    "order": {"series": ["mean of both", "entailment"]},
    "vlines": [{"at": 0.3, "label": "the paper's 0.3"}],
}  # fmt: skip
TABLE = pd.DataFrame({"omega": [0.0, 0.3] * 2, "percent": [50.0, 70, 80, 90],
                      "kind": ["mean of both"] * 2 + ["entailment"] * 2})  # fmt: skip
OWN = {
    "language": "fr",
    "page": {"Without JavaScript this figure is a picture.": "Sans JavaScript, une image."},
    "figures": {"fig-99-mine": {
        "right (%)": "juste (%)", "mean of both": "moyenne des deux",
        "the paper's {0}": "{0}, comme l'article",
        "Of {0} answers {1} % are right. Drag the point.":
            "{1} % des {0} réponses sont justes. Tirez le point.",
        "Of {0} answers {1} % are right.": "{1} % des {0} réponses sont justes.",
        "From {0} to {1} %.": "De {0} à {1} %.",
    }},
}  # fmt: skip


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "fr.json"
    path.write_text(json.dumps(OWN), "utf-8")
    return path


def mine():
    return viz.Figure(TABLE, SPEC, "From 50 to 70 %.", label="fig-99-mine",
                      caption="Of 1,500 answers 70 % are right. Drag the point.")  # fmt: skip


def test_a_figure_says_the_same_in_other_words(file):
    other = words.load(file)
    figure = mine().in_words(other)
    assert figure.alt == "De 50 à 70 %."
    assert figure.caption == "70 % des 1,500 réponses sont justes. Tirez le point."
    assert figure.still_caption() == "70 % des 1,500 réponses sont justes."
    assert figure.spec["ylabel"] == "juste (%)" and figure.spec["xlabel"] == "ω"
    assert figure.spec["vlines"] == [{"at": 0.3, "label": "0.3, comme l'article"}]
    assert figure.spec["order"] == {"series": ["moyenne des deux", "entailment"]}
    assert figure.spec["colors"] == {"moyenne des deux": "purple"}
    assert set(figure.tables["data"]["kind"]) == {"moyenne des deux", "entailment"}
    other.figures["fig-99-mine"]["tick {0}"] = "cochez {0}"
    assert other.say("fig-99-mine", "tick “mean of both”") == "cochez “moyenne des deux”"
    assert other.say("fig-99-mine", "tick “a man”") == "cochez “a man”"
    assert other.absent == {"fig-99-mine": ["entailment"]}  # named once, and English
    assert (figure.tables["data"]["percent"] == TABLE["percent"]).all()
    svg = figure.svg(text="text")
    assert "moyenne des deux" in svg and "mean of both" not in svg
    page = figure.page()
    assert '<html lang="fr"' in page and "Sans JavaScript, une image." in page
    assert mine().caption.startswith("Of 1,500")  # the first is as it was


def test_an_explorer_keeps_its_data_and_changes_its_picture():
    table = pd.DataFrame({"a": [1.0, 4.0], "b": [2.0, 1.0], "oracle": ["right", "wrong"]})
    static = {"kind": "scatter", "x": "a", "y": "b", "series": "oracle", "xlabel": "a",
              "ylabel": "b", "title": "written scores",
              "order": {"series": ["right", "wrong"]}}  # fmt: skip
    spec = {"kind": "explorer", "explorer": "usual", "static": static,
            "controls": [{"name": "scores", "type": "choice", "label": "scores",
                          "options": ["written", ["expected", "expected"]]}],
            "options": {"spec": static}}  # fmt: skip
    figure = viz.Figure(table, spec, "Dots.", label="fig-04-region", caption="Dots.")
    other = figure.in_words(words.load("de"))
    assert list(other.tables["data"]["oracle"]) == ["right", "wrong"]
    options = [["written", "geschrieben"], ["expected", "erwartet"]]
    assert other.spec["controls"][0]["options"] == options
    svg = other.svg(text="text")
    assert "richtig" in svg and "geschriebene Werte" in svg and ">right<" not in svg
    payload = other.payload()
    assert payload["words"]["right (oracle)"] == "richtig (Orakel)"
    assert "words" not in figure.payload()


def test_places_are_numbers_and_quotations():
    key, found = words.template("T5: 1,500 lists of “3 men”, −0.5 to 2.25 (r₁), Fig. 6.")
    assert key == "T5: {0} lists of {1}, {2} to {3} (r₁), Fig. {4}."
    assert found == ["1,500", "“3 men”", "−0.5", "2.25", "6"]
    assert not words.needs_words("ω = 0.3") and not words.needs_words("$\\omega_1$")
    assert words.needs_words("at 3")


@pytest.mark.parametrize("text, said", [
    ("{", "is no JSON"), ("[]", "is no file of words"), ('{"figures": {}}', "is no file of words"),
    ('{"language": "fr", "figure": {}}', "unknown part 'figure'"),
    ('{"language": "fr", "figures": {"fig-a": {"x": 3}}}', "must name a text for each text"),
    ('{"language": "fr", "figures": {"fig-a": {"at {0}": "à {1}"}}}', "are not the same"),
])  # fmt: skip
def test_a_file_that_is_no_file_of_words_is_said(tmp_path, text, said):
    (tmp_path / "odd.json").write_text(text, "utf-8")
    with pytest.raises(ValueError, match=said):
        words.load(tmp_path / "odd.json")
    with pytest.raises(FileNotFoundError, match="no file of words it: .*one of de, es"):
        words.load("it")


def test_the_command_takes_a_file_and_names_what_is_absent_once(tmp_path, monkeypatch, capsys):
    from synthlib.__main__ import main

    table = tmp_path / "triplets.jsonl"
    scored = {"anchor": "a man sings", "positive": "one sings", "negative": "none sings"}
    table.write_text(json.dumps(scored | {"a": 4, "b": 1}) + "\n", "utf-8")
    own = {"language": "fr", "figures": {"fig-thresholds": {
        "a: score of anchor and positive": "a : note de l'ancre et du positif",
        "kept": "gardé"}}}  # fmt: skip
    (tmp_path / "fr.json").write_text(json.dumps(own), "utf-8")
    command = ["figures", "thresholds", "--triplets", str(table), "--out", str(tmp_path / "out")]
    assert main([*command, "--words", str(tmp_path / "fr.json"), "--format", FORMATS[0]]) == 0
    said = capsys.readouterr().out
    assert said.count("fig-thresholds: no words in fr for") == 1 and "English there" in said
    spec = json.loads((tmp_path / "out" / "fig-thresholds.spec.json").read_text("utf-8"))
    assert spec["xlabel"].startswith("a : note") and spec["ylabel"].startswith("b: score")
    assert main([*command, "--words", str(tmp_path / "it.json")]) == 2
    assert "no file of words" in capsys.readouterr().err


def test_the_books_figures_are_made_anew_for_another_language(tmp_path, monkeypatch, file):
    one, nbclient = mine(), pytest.importorskip("nbclient")
    cell = nbformat.v4.new_code_cell(f'viz.Figure(label="{one.label}")')
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "99_mine.ipynb")
    monkeypatch.setattr(gallery, "ROOT", tmp_path)  # no build whose cache could be read
    monkeypatch.setattr(nbclient.NotebookClient, "execute", lambda *a, **k: None)
    monkeypatch.setattr(gallery, "figures", lambda notebook: [one])
    said, out = [], tmp_path / "out"
    read = lambda: (out / "fig-99-mine.alt.txt").read_text("utf-8")  # noqa: E731
    gallery.regenerate(out, folder=tmp_path, say=said.append, formats=["png"])
    assert read() == "From 50 to 70 %.\n"
    other = words.load(file)
    gallery.regenerate(out, folder=tmp_path, say=said.append, words=other, formats=["png"])
    assert read() == "De 50 à 70 %.\n"
    assert sum("no words in fr for “entailment”: English there" in line for line in said) == 1
    gallery.regenerate(out, folder=tmp_path, say=said.append, formats=["png"])
    assert read() == "From 50 to 70 %.\n"


READ = """async (page, tools) => {
  const out = [];
  await page.locator('.sc-legend button').first().click();
  await tools.settle(); out.push(await tools.says());
  out.push(await page.getAttribute('.sc-plot', 'aria-label'));
  await page.focus('.sc-plot'); await page.keyboard.press('ArrowRight'); await tools.settle();
  out.push(await tools.says());
  return out;
}"""


@pytest.mark.browser
def test_what_is_read_aloud_has_the_files_words_part_by_part(tmp_path):
    if reason := living.missing():
        pytest.skip(reason)
    own = json.loads(json.dumps(OWN))
    own["page"] |= {
        "from {0} at {1} to {2} at {3}, highest {4} at {5}":
            "de {0} en {1} à {2} en {3}, au plus haut {4} en {5}",
        "Hidden": "Masqué",
    }  # fmt: skip
    (tmp_path / "fr.json").write_text(json.dumps(own), "utf-8")
    page = tmp_path / "page.html"
    page.write_text(mine().in_words(words.load(tmp_path / "fr.json")).page(), "utf-8")
    (seen,) = living.run({"file": page, "code": READ})
    told, named, read = seen["result"]
    # "entailment" has no words here, and stays English between those that have.
    line = "entailment: de 80 en 0 à 90 en 0.3, au plus haut 90 en 0.3."
    assert told == f"{line} Masqué: moyenne des deux."
    assert named.startswith(told)
    assert read == "entailment; ω 0; juste (%) 80"
    assert not seen["errors"]


def test_the_shipped_words_have_what_the_explorers_of_the_twelve_read_aloud(root):
    """Each text of their `describe` that is one sentence or part, with figures in its places."""
    folder = root / "synthlib" / "viz" / "js" / "explorers"
    for language in LANGUAGES:
        page, found = words.load(language).page, 0
        for name in ("thresholds", "mask", "heatmaps", "trajectories"):
            told = (folder / f"{name}.js").read_text("utf-8").split("function describe(view)")[1]
            for start in re.findall(r"`\s?([A-Z][a-z]{2,}[a-z ,]+)\b", told.split("\n  }")[0]):
                assert any(key.startswith(start) for key in page), (language, name, start)
                found += 1
        assert found >= 8
