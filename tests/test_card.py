"""A run's card: the Hub's reader understands it, its numbers are the run's, texts stay texts."""

import json

import pandas as pd
import pytest
import test_reporting as made
from huggingface_hub import DatasetCard, ModelCard
from markdown_it import MarkdownIt

from synthlib import __main__ as cli
from synthlib import data
from synthlib.reporting import card


def cells(text):
    """The tables of a card, as a Markdown reader shows them: dicts of first cell to the others."""
    _, text = text.removeprefix("---\n").split("\n---\n")
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    assert not [t for t in tokens if t.type == "html_block"]
    rows, kinds = [], set()
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            kinds |= {child.type for child in token.children}
            if token.level > 2 and rows:
                rows[-1].append("".join(child.content for child in token.children))
    assert kinds <= {"text", "text_special", "code_inline"}, kinds
    return {first: rest for first, *rest in rows}


def test_the_card_of_a_data_set(tmp_path):
    folder = made.multicsr(tmp_path / "run")
    text = card.write(folder, tmp_path / "new" / "card").read_text("utf-8")
    kept = len(pd.read_parquet(folder / "kept.parquet"))
    head = DatasetCard(text).data.to_dict()
    assert head["size_categories"] == ["n<1K"] and "license" not in head and "language" not in head
    assert head["configs"] == [{"config_name": "default", "data_files": ["kept.parquet"]}]
    assert "# license: fill in" in text and "Examination" not in text
    told = cells(text)
    assert told["kept.parquet"] == [str(kept)] and told["versions"] == ["torch 2.9"]
    assert told["the line is blank"] == ["2"] and told["triplets in a batch"] == ["8"]
    done = pd.read_parquet(folder / "triplets.parquet")
    below = "the positive's score a lies below α = 3"
    blank = (done[["positive", "negative"]].map(str.strip) == "").any(axis=1)
    assert told[below] == [str(int(((done["a"] < 3) & ~blank).sum()))]


def test_the_card_of_an_encoder_has_its_marks(tmp_path):
    folder = made.multicsr(tmp_path / "run")
    more = ["--of", "encoder", "--license", "mit", "--language", "no"]
    assert cli.main(["card", str(folder), "--out", str(tmp_path / "c"), *more]) == 0
    text = (tmp_path / "c" / "README.md").read_text("utf-8")
    head = ModelCard(text).data.to_dict()
    assert head["license"] == "mit" and head["language"] == ["no"]
    assert (head["library_name"], head["pipeline_tag"]) == (
        "sentence-transformers", "sentence-similarity"
    )  # fmt: skip
    told = cells(text)
    assert told["natural"] == ["20", "51"] and told["average"] == ["", "46"]


@pytest.mark.parametrize("of", card.OF)
@pytest.mark.parametrize("method", ["art", "ranking"])
def test_the_other_methods(tmp_path, method, of):
    folder = getattr(made, method)(tmp_path / "run")
    told = cells(card.card(card.Run(folder), of=of))
    if of == "data":
        name = {"art": "round-2/triplets.parquet", "ranking": "kept.parquet"}[method]
        assert told[name] == [f"{len(data.load(folder / name)):,}"]


def test_what_is_no_text_of_ours_stays_text(tmp_path):
    folder = made.multicsr(tmp_path / "run")
    evil = f"[x](http://e.vil) | `a` **b** <b>\n# {made.EVIL} ![i](j) http://e.vil &amp;"
    held = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(held | {"source": evil, "generator": evil}))
    pd.DataFrame({"task": [evil], "pairs": [3], "spearman": [1.0]}).to_csv(folder / "sts.csv")
    shown = " ".join(evil.replace("\u202e", "\ufffd").replace("\u202a", "\ufffd").split())
    for of in card.OF:
        text = card.card(card.Run(folder), of=of, licence='a"\nb: c')
        told = cells(text)
        assert told["sentences from"] == [shown]
        assert DatasetCard(text).data.to_dict()["license"] == 'a"\nb: c'
    assert shown in told


def test_no_folder_of_this_machine_is_in_a_card(tmp_path):
    folder = made.multicsr(tmp_path / "run")
    held = json.loads((folder / "run.json").read_text())
    home = "/private/me/my project"
    held |= {"source": f"{home}/mine.txt", "encoder": f"{home}/base (0a1b2c3d)", "generator": home}
    (folder / "run.json").write_text(json.dumps(held))
    for of in card.OF:
        text = card.card(card.Run(folder), of=of)
        assert "/private" not in text and str(tmp_path) not in text
        told = cells(text)
        assert told["sentences from"] == ["mine.txt"]
        assert told["trained encoder, begins as"] == ["base"] and ["my project"] in told.values()


def test_a_card_says_what_is_wrong_and_overwrites_none(tmp_path, capsys):
    early = made.multicsr(tmp_path / "early", "half judged")
    done = made.multicsr(tmp_path / "done", "kept")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "README.md").write_text("mine")
    (tmp_path / "file").write_text("")
    for arguments, said in (
        ([early, "--out", tmp_path / "x"], "has not come as far as the data set"),
        ([done, "--of", "encoder", "--out", tmp_path / "x"], "not come as far as the encoder"),
        ([tmp_path / "no", "--out", tmp_path / "x"], "there is no run"),
        ([done, "--out", tmp_path / "there"], "is there already: move it"),
        ([done, "--out", tmp_path / "file"], "file"),
    ):
        assert cli.main(["card", *map(str, arguments)]) == 2
        out, err = capsys.readouterr()
        assert said in err and err.count("\n") == 1 and not out
    assert not (tmp_path / "x").exists() and (tmp_path / "there/README.md").read_text() == "mine"
    # What the message names: another folder, or the old card moved away.
    (tmp_path / "there" / "README.md").rename(tmp_path / "there" / "old.md")
    for out in ("x", "there"):
        assert cli.main(["card", str(done), "--out", str(tmp_path / out)]) == 0
