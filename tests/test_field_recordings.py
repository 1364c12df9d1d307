"""Recorders: what real models said is kept seed by seed, and read back as it was."""

import json
import re

import pandas as pd
import pytest

from synthlib import models, paths, tiers
from synthlib.__main__ import main
from synthlib.experiments import field, recordings
from synthlib.ledger import records

TEXTS = ["A dog, running.", '"Yes", he said\nand left.', "", "NA", "1.50", " two  blanks\r\n"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A test records in its own folder, and only its own recorders."""
    monkeypatch.setattr(recordings, "FOLDER", tmp_path / "recorded")
    monkeypatch.setattr(recordings, "RECORDERS", {})
    monkeypatch.setattr(recordings, "import_recorders", lambda: None)
    origin = {"commit": "abc", "processor": "a processor", "precision": "fp32"}
    monkeypatch.setattr(records, "origin", lambda print_: origin | {"fingerprint": print_})
    return tmp_path / "recorded"


@pytest.fixture
def calls():
    """What the two recorders of these tests were called with."""
    seen = []

    @field.recorder("13-texts")
    def texts(seed):
        seen.append(("13-texts", seed))
        return pd.DataFrame({"text": TEXTS, "value": [seed / 3, 1, 2, 3, 4, float("nan")]})

    @field.recorder("14-pairs", data=True)
    def pairs(seed, data):
        seen.append(("14-pairs", seed, data))
        return pd.DataFrame({"right": [seed]})

    return seen


def field_command(*argv):
    return main(["field", *map(str, argv)])


def test_a_recording_is_read_back_as_it_was_with_the_seed_first(calls, folder):
    assert field_command("13-texts", "--seeds", 2, 0) == 0
    found = field.recorded("13-texts")
    assert list(found) == ["seed", "text", "value"]
    assert list(found["seed"]) == [0] * 6 + [2] * 6
    assert list(found["text"]) == TEXTS * 2
    assert list(found["value"][:5]) == [0, 1, 2, 3, 4] and pd.isna(found["value"][5])
    assert list(field.recorded("13-texts", 2)["value"])[0] == pytest.approx(2 / 3, abs=1e-6)
    with pytest.raises(ValueError, match="seed 1 of 13-texts is not recorded; there are: 0, 2"):
        field.recorded("13-texts", 1)
    assert found["value"][6] == pytest.approx(2 / 3, abs=1e-6)
    about = field.about("13-texts")
    assert about["recording"] == "13-texts" and about["seeds"] == [0, 2]
    assert set(about["minutes"]) == set(about["processor_minutes"]) == {0, 2}
    assert about["models"] == {}
    assert (about["processor"], about["commit"]) == ("a processor", "abc")
    assert {f.name for f in folder.iterdir()} == {"13-texts.csv", "13-texts.json"}


def test_seeds_that_are_there_are_not_recorded_again_and_force_records_them(calls, folder, capsys):
    assert field_command("13-texts", "--seeds", 0, 1) == 0
    before = (folder / "13-texts.csv").read_bytes()
    assert field_command("13-texts", "--seeds", 0, 1, 1) == 0
    assert (folder / "13-texts.csv").read_bytes() == before
    assert "13-texts: seed 0, 1, 1 already recorded" in capsys.readouterr().out
    assert field_command("13-texts") == 0
    assert calls == [("13-texts", seed) for seed in (0, 1, 2)]
    kept = (folder / "13-texts.csv").read_bytes()
    assert kept.startswith(before)
    assert field_command("13-texts", "--force", "--seeds", 1) == 0
    assert calls[3:] == [("13-texts", 1)]
    assert (folder / "13-texts.csv").read_bytes() == kept, "the others' stay, in their order"


def test_an_interruption_loses_no_seed_that_was_done(calls, folder, monkeypatch):
    @field.recorder("15-slow")
    def slow(seed):
        if seed == 1 and not calls:
            calls.append("interrupted")
            raise KeyboardInterrupt
        return pd.DataFrame({"value": [seed]})

    assert field_command("15-slow") == 130
    assert list(field.recorded("15-slow")["seed"]) == [0]
    assert field_command("15-slow") == 0
    assert list(field.recorded("15-slow")["value"]) == [0, 1, 2]
    # between the two files of a seed: the table has it, nothing says that it is whole
    replace, written = records.replace, []

    def fails(file, text):
        written.append(file.name)
        if file.suffix == ".json":
            raise OSError("the disk is full")
        replace(file, text)

    monkeypatch.setattr(records, "replace", fails)
    assert field_command("15-slow", "--seeds", 3) == 1
    assert written == ["15-slow.csv", "15-slow.json"]
    monkeypatch.setattr(records, "replace", replace)
    assert field.about("15-slow")["seeds"] == [0, 1, 2]
    assert field_command("15-slow", "--seeds", 3, 4) == 0
    assert list(field.recorded("15-slow")["value"]) == [0, 1, 2, 3, 4]


def test_one_failure_is_a_line_and_the_others_go_on(calls, capsys, tmp_path):
    @field.recorder("13-broken")
    def broken(seed):
        raise RuntimeError("no such layer")

    @field.recorder("13-empty")
    def empty(seed):
        return pd.DataFrame({"seed": [1]})

    assert field_command("--seeds", 0, "--data", tmp_path) == 1
    captured = capsys.readouterr()
    assert "13-broken seed 0: RuntimeError: no such layer" in captured.err
    assert "13-empty seed 0: ValueError: a recorder gives a table with rows" in captured.err
    assert "2 not recorded:" in captured.err
    assert calls == [("13-texts", 0), ("14-pairs", 0, str(tmp_path))]


def test_models_that_are_not_there_are_a_line_and_the_others_go_on(
    calls, capsys, tmp_path, monkeypatch
):
    monkeypatch.setenv("SYNTHLIB_CACHE", str(tmp_path / "nothing"))

    @field.recorder("13-written", needs=("laptop/smollm2-135m-instruct",))
    def written(seed):
        pytest.fail("it has no model")

    assert field_command("13-written", "13-texts") == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "13-written" in line]
    assert lines[0] == (
        "[1/2] 13-written: laptop/smollm2-135m-instruct is not on this machine yet: "
        "python -m synthlib models get laptop"
    )
    assert [name for name, _ in calls] == ["13-texts"] * 3


def test_labelled_data_are_asked_for_where_they_are_read(calls, capsys, tmp_path):
    assert field_command("14-pairs", "--data", tmp_path / "absent") == 2
    assert f"error: data folder not found: {tmp_path / 'absent'}" in capsys.readouterr().err
    assert field_command() == 1
    assert "14-pairs: reads labelled data: give --data FOLDER" in capsys.readouterr().err
    assert [name for name, *_ in calls] == ["13-texts"] * 3
    assert field_command("--data", tmp_path) == 0
    assert field_command() == 0, "what is recorded needs no data"


@pytest.mark.parametrize("argv,said", [
    (("13-text",), "there is no recorder 13-text; did you mean 13-texts?"),
    (("99-much-else",), "there is no recorder 99-much-else: there are 13-texts, 14-pairs"),
    (("--seeds", "-1"), "a seed lies between 0 and 2147483647, got -1"),
    (("--seeds", "2147483648"), "a seed lies between 0 and 2147483647, got 2147483648"),
])  # fmt: skip
def test_a_mistake_is_one_line_and_nothing_is_recorded(calls, folder, capsys, argv, said):
    assert field_command(*argv) == 2
    assert capsys.readouterr().err == f"error: {said}\n"
    assert not calls and not folder.exists()


def test_a_seed_is_a_whole_number(capsys):
    with pytest.raises(SystemExit) as left:
        field_command("--seeds", "one")
    assert left.value.code == 2 and "a whole number is wanted, got one" in capsys.readouterr().err


def test_what_was_never_recorded_names_what_was(calls):
    for read in (field.recorded, field.about):
        with pytest.raises(ValueError, match="nothing is recorded as '13-omega'; there are: none"):
            read("13-omega")
    recordings.run(["13-texts"], [0])
    with pytest.raises(ValueError, match=r"there are: 13-texts \(python -m synthlib field\)"):
        field.recorded("13-omega")


@pytest.mark.parametrize("name", ["omega", "13", "13-", "13-Omega", "13-a_b", "../13-a", ""])
def test_a_recording_has_a_name_that_a_file_can_have(name):
    with pytest.raises(ValueError, match="a recording is named like"):
        field.recorder(name)


def test_a_name_is_recorded_by_one_function(calls):
    with pytest.raises(ValueError, match="13-texts is already recorded by .*texts"):
        field.recorder("13-texts")(lambda seed: None)


def test_other_columns_are_refused_unless_forced(calls, folder):
    @field.recorder("16-turned")
    def turned(seed):
        return pd.DataFrame({"old" if seed == 0 else "new": [seed]})

    assert recordings.run(["16-turned"], [0]) == []
    (failure,) = recordings.run(["16-turned"], [1])
    assert "columns seed, new are not those of the other seeds, seed, old: --force" in failure
    assert field.about("16-turned")["seeds"] == [0]
    assert recordings.run(["16-turned"], [1], force=True) == []
    assert list(field.recorded("16-turned")) == ["seed", "new"]
    assert field.about("16-turned")["seeds"] == [1], "what it does not hold any more it forgets"


@pytest.mark.parametrize("text", ["one\rtwo", "\r"])
def test_a_text_that_a_file_does_not_keep_is_refused(folder, text):
    field.recorder("13-odd")(lambda seed: pd.DataFrame({"text": ["fine", text]}))
    (failure,) = recordings.run(["13-odd"], [0])
    assert "13-odd seed 0: ValueError: " in failure and " CSV file" in failure
    assert not folder.exists()


def test_a_damaged_record_of_origin_is_said(calls, folder):
    recordings.run(["13-texts"], [0])
    (folder / "13-texts.json").write_text("{")
    with pytest.raises(ValueError, match="13-texts.json is damaged .* delete it and record again"):
        field.about("13-texts")


def test_where_seeds_differ_each_is_said(calls, monkeypatch):
    recordings.run(["13-texts"], [0])
    monkeypatch.setattr(records, "origin", lambda print_: {"processor": "another"})
    recordings.run(["13-texts"], [1])
    about = field.about("13-texts")
    assert about["processor"] == {0: "a processor", 1: "another"}
    assert about["version"] and not isinstance(about["version"], dict)


def test_the_list_says_seeds_minutes_and_needs(calls, capsys):
    recordings.run(["13-texts"], [0, 1])
    capsys.readouterr()
    assert field_command("--list") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"13-texts +seeds 0, 1, \d+\.\d min, fresh", first)
    assert re.fullmatch(r"14-pairs +not recorded yet +needs labelled data", second)


# ------------------------------------------------------------------ models
def test_weights_are_told_by_their_bytes(folder):
    @field.recorder("13-pocket", needs=("pocket/nli",))
    def pocket(seed):
        return pd.DataFrame({"value": [1.0]})

    assert recordings.run(["13-pocket"], [0]) == []
    digest = field.about("13-pocket")["models"]["pocket/nli"]["sha256"]
    assert re.fullmatch("[0-9a-f]{64}", digest)


def test_a_role_is_loaded_as_the_settings_say():
    settings = tiers.get("pocket").multicsr
    model, tokenizer = field.load("generator", settings)
    assert model.config.is_encoder_decoder and model.device.type == "cpu"
    judge = field.load("judge", settings)
    assert models.nli_columns(judge[0].config.id2label)
    assert field.load("encoder", settings).encode(["a dog"]).shape == (1, 128)
    assert field.load("guide", settings).encode(["a dog"]).shape == (1, 128)
    assert field.load("examiner", name="pocket/nli")[0].config.id2label
    for role, of, said in (
        ("writer", settings, "a role is one of generator"),
        ("discriminator", settings, "MultiCSR has no discriminator: give name="),
    ):
        with pytest.raises(ValueError, match=said):
            field.load(role, of)


def test_a_model_that_is_not_there_is_a_line_and_none(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHLIB_CACHE", str(tmp_path / "nothing"))
    settings = tiers.get("laptop").multicsr
    for role in ("generator", "encoder", "guide"):
        assert field.load(role, settings) is None
        assert capsys.readouterr().out == (
            f"{role}: {getattr(settings, role)} is not on this machine yet: python -m synthlib "
            "models get laptop\n"
        )


def test_a_model_of_the_hub_that_cannot_be_had_is_a_line_and_none(capsys, monkeypatch):
    def refuse(name, **_):
        raise models.ModelUnavailable(f"{name} cannot be had:\n  the network is away")

    monkeypatch.setattr(models, "load_generator", refuse)
    assert field.load("generator", tiers.get("colab").multicsr) is None
    out = capsys.readouterr().out
    assert out.startswith("generator: google/flan-t5") and out.count("\n") == 1


# ------------------------------------------------------------------ what is committed
COMMITTED = sorted((paths.DATA / "field" / "recorded").glob("*.csv"))


@pytest.mark.parametrize("file", COMMITTED, ids=lambda file: file.stem)
def test_a_committed_recording_is_small_and_says_where_it_is_from(file, monkeypatch):
    monkeypatch.setattr(recordings, "FOLDER", file.parent)
    assert file.stat().st_size < 300_000
    found, about = field.recorded(file.stem), field.about(file.stem)
    assert list(found)[0] == "seed"
    assert sorted(set(found["seed"])) == about["seeds"] == sorted(about["minutes"])
    assert about["version"] and about["processor"] and about["fingerprint"]
    for model in about["models"].values():
        assert re.fullmatch("[0-9a-f]{64}", model["sha256"])
        assert model.get("source", "index") == "index", "every reader has these bytes"


def test_committed_recordings_are_small_together_and_each_has_its_recorder(monkeypatch):
    assert sum(file.stat().st_size for file in COMMITTED) < 1_000_000
    origins = {f.stem for f in (paths.DATA / "field" / "recorded").glob("*.json")}
    assert origins == {file.stem for file in COMMITTED}
    monkeypatch.undo()
    recordings.import_recorders()
    assert {file.stem for file in COMMITTED} <= set(recordings.RECORDERS)
    for name in recordings.RECORDERS:
        assert int(name[:2]) >= recordings.FIRST
        assert f".ch{name[:2]}" in recordings.RECORDERS[name].function.__module__, name


def test_recordings_are_json_that_git_shows_line_by_line():
    for file in COMMITTED:
        text = file.with_suffix(".json").read_text("utf-8")
        assert json.dumps(json.loads(text), indent=1) + "\n" == text


def test_what_reads_other_peoples_data_keeps_figures_and_no_sentences(monkeypatch):
    monkeypatch.undo()
    recordings.import_recorders()
    readers = [file for file in COMMITTED if recordings.RECORDERS[file.stem].data]
    assert len(readers) >= 8
    for file in readers:
        texts = pd.read_csv(file, dtype=str, keep_default_na=False)
        assert not [text for text in texts.stack() if len(text.split()) > 5], file.name
