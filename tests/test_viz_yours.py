"""Figures of a reader's own lists and triplets, from Python and from the command line."""

import json

import numpy as np
import pandas as pd
import pytest

from synthlib.__main__ import main
from synthlib.viz import yours

#: Sentences as unit vectors in a plane, by their angle in degrees: cosines are known by hand.
ANGLES = {"zero": 0, "thirty": 30, "sixty": 60, "ninety": 90, "back": 180}


def encode(sentences):
    angles = np.radians([ANGLES[text] for text in sentences])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_heatmap_of_lists_holds_the_mean_cosines():
    lists = [["zero", "thirty", "ninety"], ["zero", "sixty", "back", "thirty"], ["zero", "ninety"]]
    figure = yours.heatmaps(lists, encode)
    (table,) = figure.tables.values()
    # Half of the three lists reach three places: two are read, the long one cut.
    assert set(table["lists"]) == {2} and len(table) == 9
    found = table.set_index(["from sentence", "to sentence"])["similarity"]
    cos = lambda degrees: np.cos(np.radians(degrees))  # noqa: E731
    assert found["1", "2"] == pytest.approx((cos(30) + cos(60)) / 2)
    assert found["3", "2"] == pytest.approx((cos(60) + cos(120)) / 2)
    assert found["2", "2"] == pytest.approx(1)
    assert "2 lists, 1 shorter left out" in figure.caption
    assert "from 0.68 at the second to -0.50 at the last and falls at 2 of 2 steps" in figure.alt
    both = yours.heatmaps({"a": lists, "b": [["zero", "ninety"]]}, encode)
    assert both.spec["facet"] == "method" and len(both.tables["data"]) == 2 * 4  # b reaches two


def test_thresholds_count_what_is_kept_and_what_cannot_be_read():
    table = pd.DataFrame({"a": [5, 3, 3, 4, None, 2], "b": [0, 2, 2.5, 3, 1, 0]})
    figure = yours.thresholds(table)
    kept = figure.tables["data"]
    assert kept["kept"].tolist() == ["kept", "kept", "dropped", "kept", "dropped"]
    assert figure.caption.startswith("6 triplets, 3 kept, 1 without both scores:")
    where = np.array(figure.spec["regions"][0]["where"])
    inside = (kept[["a", "b"]].to_numpy() @ where[:, :2].T >= where[:, 2]).all(axis=1)
    assert (inside == (kept["kept"] == "kept")).all()  # the shaded part is the rule


def test_paths_lie_in_the_plane_of_their_sentences():
    lists = {"a": [["zero", "thirty", "ninety"]], "b": [["zero", "ninety", "back"]]}
    figure = yours.trajectories(lists, encode)
    (table,) = figure.tables.values()
    for _, part in table.groupby("method"):
        points = part[["x", "y"]].to_numpy()
        assert points[0] == pytest.approx([0, 0])
        vectors = encode(part["sentence"])
        # The sentences lie in a plane, so every distance is the true one.
        for i in range(3):
            for j in range(3):
                apart = np.linalg.norm(points[i] - points[j])
                assert apart == pytest.approx(np.linalg.norm(vectors[i] - vectors[j]))
    assert "1: zero, b: similarity -1.00 at the last sentence" in figure.alt


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: yours.heatmaps([], encode), "no list to draw"),
        (lambda: yours.heatmaps({}, encode), "no list to draw"),
        (lambda: yours.heatmaps([["zero", 3]], encode), "a list of sentences is wanted"),
        (lambda: yours.heatmaps([["zero", "ninety"]], encode, length=3), "from 2 to 2, given 3"),
        (lambda: yours.heatmaps({"a": [["zero", "back"]], "b": [["zero", "back", "sixty"]]},
                                encode, length=3), "no list of 'a' has 3"),
        (lambda: yours.thresholds(pd.DataFrame({"a": [1]})), "no scores b"),
        (lambda: yours.thresholds(pd.DataFrame({"a": [None], "b": [1.0]})), "none of 1 triplets"),
        (lambda: yours.trajectories([["zero", "back"]], encode), "fewer than three sentences"),
        (lambda: yours.trajectories([["zero", "back", "sixty"]], encode, shown=0), "at least 1"),
        (lambda: yours.trajectories({"a": [["zero", "back", "sixty"]],
                                     "b": [["back", "zero", "sixty"]]}, encode), "different anch"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_said(call, said):
    with pytest.raises(ValueError, match=said):
        call()


def test_the_command_draws_files(tmp_path, capsys):
    lists, triplets = tmp_path / "near.jsonl", tmp_path / "triplets.jsonl"
    said = {"a man sings": ["one man is singing", "a person is singing"],
            "a dog runs": ["a dog is running", "an animal moves"]}  # fmt: skip
    rows = [{"anchor": anchor, "sentences": rest} for anchor, rest in said.items()]
    lists.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    scored = {"anchor": "a man sings", "positive": "one sings", "negative": "none sings"}
    triplets.write_text("".join(json.dumps(scored | {"a": 4, "b": b}) + "\n" for b in (0, 3, 4)))
    out = tmp_path / "out"
    encoder = ["--encoder", "pocket/simcse-sup-bert", "--out", str(out), "--format", "pdf,svg"]
    for what in ("heatmaps", "trajectories"):
        files = ["--lists", f"one={lists}", f"two={lists}"]
        assert main(["figures", what, *files, *encoder, "--width", "3.3in"]) == 0
        assert (out / f"fig-{what}.pdf").read_bytes().startswith(b"%PDF")
    assert "left out 1 that could not be read, the first in line 3" in capsys.readouterr().out
    table = pd.read_csv(out / "fig-heatmaps.csv")
    assert set(table["method"]) == {"one", "two"} and len(table) == 2 * 9
    thresholds = ["figures", "thresholds", "--triplets", str(triplets), "--out", str(out)]
    assert main([*thresholds, "--gamma", "0.5"]) == 0
    assert "3 triplets, 2 kept" in (out / "fig-thresholds.caption.txt").read_text()
    for command, said in (
        (["heatmaps"], "needs --lists"), (["heatmaps", "--lists", str(lists)], "needs --encoder"),
        (["thresholds"], "needs --triplets"),
        (["heatmaps", "--lists", str(lists), f"near={lists}", *encoder[:2]], "named 'near'"),
    ):  # fmt: skip
        assert main(["figures", *command, "--out", str(out)]) != 0
        assert said in capsys.readouterr().err
