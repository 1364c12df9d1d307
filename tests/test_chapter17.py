"""Chapter 17: what a watched run and a growing data set are summed up to."""

import importlib.util
import sys
import time

import pandas as pd
import pytest

from synthlib import paths
from synthlib.experiments import ch17, field, soak


def watched(grows, late):
    """A stage of 20 shards of 500 rows, a look a second; the last ten shards take `late` looks."""
    rows, seconds = [], 0
    for shard in range(21):
        for _ in range(1 if shard <= 10 else late):
            done = 500 * shard
            rows.append((seconds, 1, "written", done, 600 + grows * done / 1000, 4, seconds / 2))
            seconds += 1
    columns = ["seconds", "call", "stage", "done", "memory", "files", "processor"]
    return pd.DataFrame(rows, columns=columns)


def test_a_leak_and_a_rate_that_falls_are_seen():
    (steady,) = soak.summary(watched(0, 1)).to_dict("records")
    assert (steady["from"], steady["to"], steady["peak"], steady["files"]) == (500, 10_000, 600, 4)
    assert steady["growth"] == pytest.approx(0, abs=1e-9)
    assert steady["first"] == steady["last"] == pytest.approx(1000)  # the clock runs twice as long
    assert steady["first_wall"] == steady["last_wall"] == pytest.approx(500)
    (leaks,) = soak.summary(watched(7.5, 3)).to_dict("records")
    assert leaks["growth"] == pytest.approx(7.5) and leaks["peak"] == pytest.approx(675)
    assert leaks["first_wall"] == pytest.approx(500)
    assert leaks["last_wall"] == pytest.approx(500 / 3)


def test_loading_and_what_is_too_short_are_left_out():
    table = watched(0, 1)
    loading = table.head(1).assign(memory=9000.0)
    short = table.head(5).assign(stage="judged")
    (only,) = soak.summary(pd.concat([loading, table, short])).to_dict("records")
    assert only["stage"] == "written" and only["peak"] == 600


def test_pace_is_against_the_mean_of_the_stage():
    assert list(soak.pace(watched(0, 1), 4)["percent"]) == pytest.approx([100] * 4)
    # 19 shards: ten in as many looks, nine in three looks each. Two pieces of 4,500 and 5,000 rows.
    table = watched(0, 3)
    found = soak.pace(table, 2)
    seconds = {row.done: row.processor for row in table.drop_duplicates("done").itertuples()}
    mean = 9500 / (seconds[10_000] - seconds[500])
    first, last = found["percent"]
    middle = 5500 if found["done"][0] == 3000 else 5000
    assert first == pytest.approx(100 * (middle - 500) / (seconds[middle] - seconds[500]) / mean)
    rest = seconds[10_000] - seconds[middle]
    assert last == pytest.approx(100 * (10_000 - middle) / rest / mean)
    assert first > 150 > 80 > last


def test_the_committed_run_was_whole_and_flat():
    table = soak.samples()
    assert set(table["call"]) == {1, 2} and (table["files"] <= 16).all()
    found = soak.summary(table).set_index(["stage", "call"])
    assert {("written", 1), ("written", 2), ("judged", 2), ("trained", 2)} == set(found.index)
    shards = found.drop(index="trained", level="stage")
    assert (shards["growth"].abs() < 1).all()  # MB for a thousand rows: 20 for them all
    assert table.loc[table["call"] == 2, "done"].max() >= 19_000


def test_a_run_is_watched_killed_and_ends(tmp_path, monkeypatch):
    """The benchmark's own loop, around a program that grows its folder as a run does."""
    spec = importlib.util.spec_from_file_location(
        "benchmark_soak", paths.ROOT / "benchmarks" / "soak.py"
    )
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    asked = script.command(20, tmp_path / "run")
    assert asked[asked.index("--sentences") + 1] == "20" and asked[1:4] == ["-m", "synthlib", "run"]
    code = (
        "import pathlib, sys, time; f = pathlib.Path(sys.argv[1]); f.touch()\n"
        "while f.stat().st_size < 40: f.open('a').write('.'); time.sleep(0.1)"
    )
    file = tmp_path / "rows"
    monkeypatch.setattr(script, "command", lambda *_: [sys.executable, "-c", code, str(file)])

    def look(_):
        done = file.stat().st_size if file.is_file() else 0
        now = {"step": "written", "done": done}
        return {"steps": [{"name": "written", "state": "begun"}], "under_way": now}

    monkeypatch.setattr(script.status, "look", look)
    options = type("Options", (), {"rows": 40, "every": 0.02})
    started = time.monotonic()
    found = script.watch(options, tmp_path / "run")
    assert time.monotonic() - started < 60 and file.stat().st_size == 40
    first, second = (found[found["call"] == call] for call in (1, 2))
    assert 20 <= first["done"].max() < 40 and second["done"].max() >= first["done"].max()
    assert (found["memory"] > 1).all() and (found["files"] > 0).all()


def test_sizes_double_up_to_what_the_steps_see_once():
    assert ch17.sizes(48, 32) == [48, 96, 192, 384, 768, 1536]
    assert ch17.sizes(48, 31) == [48, 96, 192, 384, 768]


def test_peoples_triplets_are_nested_and_whole():
    rows = [(f"premise {i}", f"{label} {i}", label) for i in range(30) for label in
            ("entailment", "contradiction", "neutral")]  # fmt: skip
    rows += [("half", "x", "entailment"), ("premise 3", "another", "entailment")]
    snli = pd.DataFrame(rows, columns=["premise", "hypothesis", "label"])
    table = ch17.of_people(snli, 0)
    assert len(table) == 30 and "half" not in set(table["anchor"])
    for row in table.itertuples():
        number = row.anchor.removeprefix("premise ")
        assert (row.positive, row.negative) == (f"entailment {number}", f"contradiction {number}")
    assert not table.equals(ch17.of_people(snli, 1))


def test_what_the_model_wrote_is_one_triplet_a_premise_and_enough():
    written, kept = ch17.of_the_model(field.recorded("13-sweep"))
    for table in (written, kept):
        assert table["anchor"].is_unique and len(table) >= ch17.FEWEST
    assert (kept["a"] >= 3).all() and (kept["b"] <= 3).all() and (kept["a"] - kept["b"] >= 1).all()


def test_the_curve_is_a_mean_of_the_sets_and_its_steps():
    rows = [("people", size, steps, task, value + shift)
            for size, steps, value in ((48, 48, 50.0), (96, 48, 56.0), (48, 91, 51.0))
            for task, shift in (("STS12", -3), ("STS14", 0), ("STS-B dev", 3))]  # fmt: skip
    rows.append(("written", 48, 48, "STS12", 40.0))
    table = pd.DataFrame(rows, columns=["arm", "triplets", "steps", "task", "value"])
    found = ch17.curve(table.assign(seed=0))
    assert list(found["spearman"]) == [50, 56, 51, 40]
    assert list(found["gain"].isna()) == [True, False, True, True] and found["gain"][1] == 6


def test_the_recorded_curve_has_all_sizes_of_three_seeds():
    table = field.recorded("17-curve")
    people = table[table["arm"] == "people"]
    for (seed, _), part in people.groupby(["seed", "steps"]):
        assert seed in (0, 1, 2)
        assert sorted(set(part["triplets"]))[:-1] == ch17.sizes(48, 32)
    assert people.groupby("seed")["steps"].nunique().tolist() == [2, 2, 2]
    assert set(table["arm"]) == {"people", "written", "written, kept"}
    assert table["value"].between(0, 100).all() and table["task"].nunique() == 3
