"""What each ω makes of a reader's own sentences: the table, its figure, and the command."""

import numpy as np
import pandas as pd
import pytest

from synthlib import models
from synthlib.__main__ import main
from synthlib.experiments import field, steering
from synthlib.viz import yours

PREMISES = ["a man sings in the park", "two dogs run", "a woman is reading a book"]
#: What the feigned generator says, by ω and kind: a copy, one text for two, a loop, nothing.
SAID = {
    0.0: {"positive": ["A man sings in the park.", "they sleep", "they sleep"],
          "negative": ["a man rests at home", "", "two cats run"]},
    0.5: {"positive": ["a man is singing", "dogs are running", "a lady reads"],
          "negative": ["no no no no", "two dogs stand still", "a woman is reading a book"]},
}  # fmt: skip
WANTED = {
    (0.0, "entailment"): ["copied", "other", "other"],
    (0.0, "contradiction"): ["other", "broken", "other"],
    (0.5, "entailment"): ["other", "other", "other"],
    (0.5, "contradiction"): ["broken", "other", "copied"],
}


@pytest.fixture(scope="module")
def t5():
    return models.load_generator("pocket/generator-t5", device="cpu")


@pytest.fixture
def feigned(monkeypatch):
    """In place of the generator's writing; says which ω were asked for."""
    calls = []

    def write(generator, asked, *, omega, **options):
        calls.append(omega)
        return pd.DataFrame({"anchor": asked["anchor"], **SAID[omega]})

    monkeypatch.setattr(steering.multicsr, "write", write)
    return calls


def test_every_answer_is_sorted_as_by_hand(t5, feigned):
    table = steering.answers(t5, [*PREMISES, "Two  dogs run"], [0.5, 0])
    assert feigned == [0.0, 0.5] and len(table) == 2 * 2 * 3  # in order; no premise twice
    found = {key: list(part["what"]) for key, part in table.groupby(["omega", "kind"])}
    assert found == WANTED


def test_with_an_nli_model_the_rest_has_its_word(t5, feigned, monkeypatch):
    said = {"they sleep": "neutral", "a man rests at home": "contradiction"}
    monkeypatch.setattr(field, "labels", lambda nli, pairs, **_: [
        said.get(output, "entailment") for _, output in pairs])  # fmt: skip
    table = steering.answers(t5, PREMISES, [0.0], nli=("model", "tokenizer"))
    assert list(table["what"]) == [
        "copied", "neutral", "neutral", "contradiction", "broken", "entailment"]  # fmt: skip
    caption = yours.omega(table).caption
    assert "NLI model" in caption and "NLI model" not in yours.omega(
        table.assign(what="other")).caption  # fmt: skip


def test_the_figure_holds_the_shares_and_the_texts(t5, feigned):
    figure = steering.omega(t5, PREMISES, [0.0, 0.5], name="a small model")
    shares = figure.tables["entailment"].set_index(["omega", "what"])["percent"]
    assert shares[0.0, "copy of the premise"] == pytest.approx(100 / 3)
    assert shares[0.0, yours.SAME] == pytest.approx(200 / 3) and shares[0.5, yours.SAME] == 0
    for kind in ("entailment", "contradiction"):  # the same number as the field chapters count
        part = figure.tables["answers"].query("kind == @kind and omega == 0")
        share = figure.tables[kind].set_index(["omega", "what"])["percent"][0.0, yours.SAME]
        assert share == pytest.approx(field.alike(list(part["output"])))
        rest = figure.tables[kind].query("what != @yours.SAME").groupby("omega")["percent"].sum()
        assert np.allclose(rest, 100)
    assert list(figure.tables["answers"]["same"][:3]) == [1, 2, 2]
    assert "same for several premises 67 at 0, 0 at 0.5" in figure.alt
    assert "What a small model makes of 3 sentences" in figure.caption
    assert "Turn" not in figure.still_caption()  # a picture cannot be turned
    slider = next(c for c in figure.spec["controls"] if c["name"] == "omega")
    assert slider["values"] == [0.0, 0.5] and slider["value"] == 0.5


@pytest.mark.parametrize("omegas, said", [
    ([], "no ω"), ([0.3, 1.5], "from -1 to 1, given 1.5"), ([float("nan")], "given nan"),
])  # fmt: skip
def test_an_omega_that_cannot_be_is_refused(t5, omegas, said):
    with pytest.raises(ValueError, match=said):
        steering.answers(t5, PREMISES, omegas)


def test_no_sentence_and_what_is_no_table_of_answers_is_said(t5):
    with pytest.raises(ValueError, match="no sentence to ask about"):
        steering.answers(t5, [])
    with pytest.raises(ValueError, match="a single text was given"):
        steering.answers(t5, "a man sings")
    one = {"omega": [0.0], "kind": ["entailment"], "premise": ["a"], "output": ["b"],
           "what": ["other"]}  # fmt: skip
    for change, said in (({"what": ["odd"]}, "what is one of"), ({"kind": ["x"]}, "kind is one"),
                         (dict.fromkeys(one, []), "no answer to draw")):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            yours.omega(one | change)
    with pytest.raises(ValueError, match="no column what"):
        yours.omega({name: one[name] for name in list(one)[:4]})


def test_the_command_writes_a_figure_and_goes_on_where_it_was(tmp_path, capsys, monkeypatch):
    file, out = tmp_path / "mine.txt", tmp_path / "out"
    file.write_text("a man is sleeping\n\ntwo dogs are running\n", "utf-8")
    command = ["figures", "omega", "--generator", "pocket/generator-t5", "--sentences", str(file),
               "--omega", "0", "0.6", "--out", str(out)]  # fmt: skip
    assert main([*command, "--format", "pdf,html", "--width", "3.3in"]) == 0
    said = capsys.readouterr().out
    assert "in line 2: blank" in said and "2 sentences, both kinds, 2 values of ω: 8 ans" in said
    assert (out / "fig-omega.pdf").read_bytes().startswith(b"%PDF")
    answers = pd.read_csv(out / "fig-omega-answers.csv")
    assert len(answers) == 8 and set(answers["omega"]) == {0.0, 0.6}
    monkeypatch.setattr(steering.multicsr, "write", lambda *a, **k: pytest.fail("written again"))
    assert main([*command, "--format", "png", "--theme", "dark"]) == 0
    assert capsys.readouterr().out.count("were there already") == 2
    with pytest.raises(pytest.fail.Exception):  # other sentences are others' answers
        file.write_text("two dogs are running\n", "utf-8")
        main(command)


@pytest.mark.parametrize("given, said", [
    ({"--sentences": None}, "figures omega needs --sentences FILE"),
    ({"--generator": None}, "figures omega needs --generator NAME"),
    ({"--sentences": "empty.txt"}, "empty.txt holds no sentence"),
    ({"--sentences": "absent.txt"}, "absent.txt"),
    ({"--generator": "pocket/generator-t6"}, "did you mean"),
    ({"--generator": "pocket/simcse-sup-bert"}, "is a BertModel; wanted one that"),
    ({"--omega": "1.5"}, "ω must lie from -1 to 1, given 1.5"),
    ({"--nli": "pocket/generator-t5"}, "ends in ForSequenceClassification"),
    ({"--out": "mine.txt"}, "is a file; the name of a folder is wanted"),
])  # fmt: skip
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, capsys, given, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("a man is sleeping\n", "utf-8")
    (tmp_path / "empty.txt").write_text("", "utf-8")
    options = {"--generator": "pocket/generator-t5", "--sentences": "mine.txt", "--omega": "0",
               "--out": "out"} | given  # fmt: skip
    before = sorted(tmp_path.iterdir())
    words = [word for name, value in options.items() if value for word in (name, value)]
    assert main(["figures", "omega", *words]) == 2
    error = capsys.readouterr().err
    assert said.lower() in error.lower() and error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before
