"""Labelled pairs, the split, the two judges' training, and the examiner's figures."""

import json
import shutil
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch

from synthlib import discriminator, judging, models, weights
from synthlib.__main__ import main
from synthlib.field import examiner, judges, pairs

RNG = np.random.default_rng(1)
LABELS = list(models.NLI_LABELS)


def sentence(n=5):
    return " ".join(RNG.choice(tiny_models.WORDS, n))


def labelled(n, longest=8):
    return [
        (sentence(RNG.integers(2, longest)), sentence(RNG.integers(2, longest)),
         str(RNG.choice(LABELS))) for _ in range(n)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder in the layout of the public sets, with what they have that is no pair."""
    folder = tmp_path_factory.mktemp("data")
    for place in ("nli/snli", "nli/mnli", "SICK"):
        (folder / place).mkdir(parents=True)
    snli = [*labelled(150), ("a man runs", "a dog runs", "-")]
    for i, name in enumerate(("s1", "s2", "labels")):
        text = "".join(f"{row[i]} \n" for row in snli)
        (folder / "nli" / "snli" / f"{name}.dev").write_text(text)
    rows = [*labelled(149), ("the man , the dog", "a man", "neutral")]
    pd.DataFrame(rows, columns=list(pairs.COLUMNS)).to_csv(
        folder / "nli" / "mnli" / "dev.csv", index=False
    )
    (folder / "nli" / "mnli" / "LICENSE").write_text("Of the data.\nNot a table.\n")
    sick = pd.DataFrame(
        [(i, a, b, 3.5, label.upper()) for i, (a, b, label) in enumerate(labelled(40))],
        columns=["pair_ID", "sentence_A", "sentence_B", "relatedness_score",
                 "entailment_judgment"],
    )  # fmt: skip
    sick.to_csv(folder / "SICK" / "SICK_train.txt", sep="\t", index=False)
    (folder / "SICK" / "readme.txt").write_text("The columns\tare:\nsentence_A\tsentence_B\n")
    return folder


# ------------------------------------------------------------------ pairs
def test_sets_are_read_as_they_come(data):
    found = pairs.sets(data)
    assert list(found) == ["SNLI", "MultiNLI", "SICK"]
    for frame in found.values():
        assert list(frame.columns) == list(pairs.COLUMNS) and set(frame["label"]) == set(LABELS)
    lines = [(data / "nli/snli" / f"{n}.dev").read_text().splitlines() for n in ("s1", "s2")]
    kept = list(dict.fromkeys((a.strip(), b.strip()) for a, b in zip(*lines, strict=True)))
    kept.remove(("a man runs", "a dog runs"))
    assert list(zip(found["SNLI"]["premise"], found["SNLI"]["hypothesis"], strict=True)) == kept
    assert found["MultiNLI"].iloc[-1].tolist() == ["the man , the dog", "a man", "neutral"]
    assert len(found["SICK"]) == 40


def test_the_books_own_pairs_without_those_of_prompts():
    frame = pairs.written_for_the_book()
    assert Counter(frame["label"]) == dict.fromkeys(LABELS, 130)
    assert frame["premise"].nunique() == 130
    assert "A juggler drops one of her clubs into the fountain." not in set(frame["premise"])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda d: shutil.rmtree(d / "nli"), "no labelled pairs: a folder with nli/snli, nli"),
        (lambda d: (d / "nli/snli/s2.dev").unlink(), "s2.dev"),
        (lambda d: (d / "nli/snli/labels.dev").write_text("neutral\n"), "as many lines each, got "),
        (lambda d: (d / "nli/mnli/dev.csv").write_text("a,b\nx,y\n"), "has the columns a, b; lab"),
        (
            lambda d: (d / "nli/mnli/dev.csv").write_text("premise,hypothesis,label\na man,x,2\n"),
            "line 2: the label is '2'; labels are entailment",
        ),
        (
            lambda d: (d / "nli/mnli/dev.csv").write_text("premise,hypothesis,label\n ,x,neutral"),
            "line 2: a text is blank",
        ),
        (lambda d: (d / "nli/mnli/dev.csv").unlink(), "mnli holds no labelled pairs"),
    ],
)  # fmt: skip
def test_a_damaged_set_is_one_line(data, tmp_path, damage, said):
    folder = shutil.copytree(data, tmp_path / "data")
    damage(folder)
    with pytest.raises((ValueError, OSError), match=said) as caught:
        pairs.to_learn_from(folder, "judge")
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="data folder not found"):
        pairs.sets(tmp_path / "nowhere")


def test_no_premise_stands_on_two_sides(data):
    sides = {name: pairs.to_learn_from(data, name) for name in ("judge", "examiner")}
    test = [pairs.part(frame, "test") for frame in pairs.sets(data).values()]
    sides["test"] = pd.concat(test)
    premises = {name: set(frame["premise"].str.lower()) for name, frame in sides.items()}
    assert all(len(found) > 5 for found in premises.values())
    for a, b in (("judge", "examiner"), ("judge", "test"), ("examiner", "test")):
        assert not premises[a] & premises[b]
    every = pd.concat([pairs.sets(data)[name] for name in ("SNLI", "MultiNLI")])
    assert premises["judge"] | premises["examiner"] | premises["test"] >= set(every["premise"])
    with pytest.raises(ValueError, match="a part is one of judge, examiner, test, got 'train'"):
        pairs.part(every, "train")


def test_a_premise_alone_decides_and_the_shares_are_as_said():
    counts = Counter(pairs.part_of(f"sentence {i}") for i in range(20_000))
    assert abs(counts["test"] - 2000) < 200 and abs(counts["judge"] - counts["examiner"]) < 500
    assert pairs.part_of("  A  man runs.\t") == pairs.part_of("a man runs.")


def test_the_public_sets(shared_data):
    found = pairs.sets(shared_data)
    assert {name: len(frame) for name, frame in found.items()} == {
        "SNLI": 9_840, "MultiNLI": 19_646, "SICK": 4_967,
    }  # fmt: skip
    both = [set(pairs.to_learn_from(shared_data, name)["premise"]) for name in judges.NAMES]
    assert not both[0] & both[1]


# ------------------------------------------------------------------ training
@pytest.fixture
def base(tmp_path, monkeypatch):
    """A tiny encoder under MiniLM's name, which is all that the training knows of it."""
    place = tmp_path / "cache" / "laptop" / "all-minilm-l6-v2"
    tiny_models.save(place, "bert-pooler", initializer_range=0.3)
    (place / "origin.json").write_text("{}")
    monkeypatch.setenv("SYNTHLIB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        weights, "JUDGES", {f"laptop/{n}": tmp_path / "out" / n for n in judges.NAMES}
    )
    return place


def test_rows_are_arranged_so_that_little_is_padding():
    rows = labelled(203, longest=30)
    found = discriminator.arranged(rows, 8, 60, seed=3, pool=5)
    assert found == discriminator.arranged(rows, 8, 60, seed=3, pool=5)
    assert found != discriminator.arranged(rows, 8, 60, seed=4, pool=5) and len(found) == 480
    seen = Counter(map(id, found))
    assert set(seen) <= set(map(id, rows)) and len(seen) == 203 and max(seen.values()) <= 3
    assert max(Counter(map(id, found[:200])).values()) == 1  # each pass has a row once

    def padding(order):
        size = np.array([len(a) + len(b) for a, b, _ in order]).reshape(-1, 8)
        return (size.max(axis=1, keepdims=True) - size).sum()

    shuffled = [found[i] for i in np.random.default_rng(0).permutation(480)]
    assert padding(found) < 0.5 * padding(shuffled)
    lengths = [len(a) + len(b) for a, b, _ in found]
    assert np.corrcoef(range(480), lengths)[0, 1] < 0.5  # short and long ones through all of it
    with pytest.raises(ValueError, match="fewer than one batch"):
        discriminator.arranged(rows[:7], 8, 1)


def test_an_adapter_learns_and_its_base_does_not(tmp_path):
    """A word of the hypothesis is the label."""
    base = tiny_models.save(
        tmp_path / "bert", "bert-pooler", dropout=0.0, hidden_size=32, initializer_range=0.15
    )
    rows = []
    for _ in range(600):
        verb, label = str(RNG.choice(["runs", "eats"])), str(RNG.choice(LABELS))
        said = {"entailment": "red", "neutral": "blue", "contradiction": "not"}[label]
        rows.append((f"the {RNG.choice(['dog', 'cat'])} {verb}", f"{said} {verb}", label))
    options = dict(batch_size=16, learning_rate=5e-3, max_steps=200, device="cpu", progress=False)
    model, tokenizer = discriminator.train_nli(base, rows, lora=8, by_length=True, **options)
    found = examiner.labels_of((model, tokenizer), pd.DataFrame(rows[:100], columns=pairs.COLUMNS))
    assert np.mean(found == [label for _, _, label in rows[:100]]) > 0.9
    fresh = models.load_encoder(base, pooling="mean")[0].model.state_dict()
    frozen = model.get_base_model().bert.state_dict()
    for key, value in fresh.items():
        kept = {k.replace(".base_layer", ""): v for k, v in frozen.items()}[key]
        assert torch.equal(kept, value), key
    with pytest.raises(ValueError, match="lora is the rank of an adapter"):
        discriminator.train_nli(base, rows, lora=0, **options)


def test_a_judge_is_trained_saved_and_loaded_by_its_name(base, data, tmp_path):
    out = tmp_path / "out"
    folder = judges.train("judge", data, out, scale=0.2, progress=False)
    assert folder == out / "judge" and sorted(p.name for p in out.iterdir()) == ["judge"]
    files = {"adapter_config.json", "adapter_model.safetensors", "config.json", "training.json"}
    assert {p.name for p in folder.iterdir()} >= files
    about = json.loads((folder / "training.json").read_text())
    learnt = pairs.to_learn_from(data, "judge")
    assert about["pairs"] == len(learnt) and about["steps"] == round(
        0.2 * judges.EPOCHS * (len(learnt) // 32)
    )
    from safetensors.torch import load_file

    numbers = load_file(folder / "adapter_model.safetensors")
    assert {value.dtype for value in numbers.values()} == {torch.float16}
    assert {"query", "key", "value"} <= {key.split(".")[-3] for key in numbers if "lora" in key}
    assert json.loads((folder / "adapter_config.json").read_text())[
        "base_model_name_or_path"
    ] == judges.BASE
    model, tokenizer = models.load_nli("laptop/judge", device="cpu")
    frame = pairs.part(pairs.sets(data)["SNLI"], "test")
    p = judging.nli_probabilities(
        model, tokenizer, list(zip(frame["premise"], frame["hypothesis"], strict=True))
    )
    assert np.allclose(p.sum(axis=1), 1) and len(p) == len(frame)


def test_an_interrupted_training_ends_with_the_same_bytes(base, data, tmp_path, monkeypatch):
    options = dict(scale=0.4, progress=False, precision="fp32")
    whole = judges.train("examiner", data, tmp_path / "whole", **options)
    real, seen = discriminator.collate, []

    def stop(*a):
        seen.append(1)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return real(*a)

    monkeypatch.setattr(discriminator, "collate", stop)
    with pytest.raises(KeyboardInterrupt):
        judges.train("examiner", data, tmp_path / "out", **options)
    assert not (tmp_path / "out" / "examiner").exists()
    assert list((tmp_path / "out" / ".examiner.run").glob("checkpoint-*"))
    monkeypatch.setattr(discriminator, "collate", real)
    with pytest.raises(ValueError, match=r"holds another training \(seed 0 → 1\): delete it, or"):
        judges.train("examiner", data, tmp_path / "out", seed=1, **options)
    again = judges.train("examiner", data, tmp_path / "out", **options)
    for file in whole.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name
    # what the message names
    shutil.rmtree(again)
    states = tmp_path / "out" / ".examiner.run"
    states.mkdir()
    (states / "training.json").write_text("{}")
    with pytest.raises(ValueError, match="holds another training"):
        judges.train("examiner", data, tmp_path / "out", **options)
    judges.train("examiner", data, tmp_path / "elsewhere", **options)
    shutil.rmtree(states)
    judges.train("examiner", data, tmp_path / "out", **options)


def test_the_command_trains_measures_and_leaves_alone_what_is_there(
    base, data, tmp_path, capsys, monkeypatch
):
    argv = ["field-judges", "--data", str(data), "--out", str(tmp_path / "out"), "--scale", "0.05",
            "--quiet"]  # fmt: skip
    monkeypatch.setattr(pairs, "written_for_the_book", lambda: pairs.sets(data)["SICK"])
    with pytest.raises(FileNotFoundError, match="`make field-judges`"):
        examiner.recorded("laptop/judge")
    assert main(argv) == 0
    said = capsys.readouterr().out
    for name in judges.NAMES:
        table = pd.read_csv(tmp_path / "out" / name / examiner.RECORD)
        assert set(table["set"]) == {"SNLI", "MultiNLI", "SICK", "field"} and name in said
        pd.testing.assert_frame_equal(examiner.recorded(f"laptop/{name}"), table)
    with pytest.raises(ValueError, match="no judge 'pocket/nli': there are laptop/judge, laptop"):
        examiner.recorded("pocket/nli")
    monkeypatch.setattr(judges, "train", lambda *a, **k: pytest.fail("trained again"))
    assert main(argv) == 0 and "is there" in capsys.readouterr().out
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        main([*argv, "--again"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--data": "nowhere"}, "data folder not found: nowhere"),
        ({"--scale": "2"}, r"scale, a factor on the steps, must lie in \(0, 1\]"),
        ({"--seed": "-1"}, "seed must lie between"),
        ({"--out": "file"}, "is a file"),
    ],
)
def test_mistakes_end_in_one_line(base, data, tmp_path, capsys, monkeypatch, change, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    given = {"--data": str(data), "--out": "out"} | change
    assert main(["field-judges", *(f"{name}={value}" for name, value in given.items())]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and pd.Series([error]).str.contains(said).all()
    assert not (tmp_path / "out").exists()


def test_without_the_base_the_command_to_bring_it_is_named(data, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SYNTHLIB_CACHE", str(tmp_path))
    argv = ["field-judges", "--data", str(data), "--out", str(tmp_path / "out")]
    assert main(argv) == 2
    assert "python -m synthlib models get laptop" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------ the examiner
class Says:
    """Stands for an NLI model: labels by a table."""

    def __init__(self, monkeypatch, table):
        def probabilities(model, tokenizer, rows, **options):
            assert options.pop("long") == "skip"
            found = np.zeros((len(rows), 3))
            for i, row in enumerate(rows):
                if table[row] is not None:
                    found[i, LABELS.index(table[row])] = 1
            return found

        monkeypatch.setattr(judging, "nli_probabilities", probabilities)


def wilson(k, n, z=1.959963984540054):
    """From Wilson's equation (p̂ − p)² = z² p (1 − p) / n, solved for p."""
    p = k / n
    middle, spread = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - spread) / (1 + z * z / n), (middle + spread) / (1 + z * z / n)


def test_accuracy_by_set_and_label_with_its_interval(monkeypatch):
    frame = pd.DataFrame(
        [("p", f"{label} {i}", label) for label in LABELS for i in range(10)], columns=pairs.COLUMNS
    )
    table = {("p", f"{label} {i}"): label for label in LABELS for i in range(10)}
    table[("p", "neutral 3")] = "entailment"
    table[("p", "neutral 4")] = None  # does not fit: wrong
    table[("p", "contradiction 0")] = "neutral"
    Says(monkeypatch, table)
    found = examiner.examine((None, None), {"mine": frame}).set_index("label")
    right = {"all": (27, 30), "entailment": (10, 10), "neutral": (8, 10), "contradiction": (9, 10)}
    for label, (k, n) in right.items():
        row = found.loc[label]
        assert row["pairs"] == n and row["accuracy"] == pytest.approx(100 * k / n)
        np.testing.assert_allclose(row[["low", "high"]].tolist(), 100 * np.array(wilson(k, n)))


def test_agreement_and_kappa_equal_their_definitions(monkeypatch, tmp_path):
    rows, table = [], {}
    for i in range(60):
        human, machine = RNG.choice(LABELS, 2, p=[0.5, 0.3, 0.2])
        machine = human if RNG.random() < 0.6 else machine
        rows.append((["one", "two"][i % 2], "a man", f"text {i}", human))
        table["a man", f"text {i}"] = str(machine)
    rows += [("two", "a man", "", "none"), ("two", "a man", "Here is a sentence", "None")]
    file = tmp_path / "labels.csv"
    names = ["method", "premise", "hypothesis", "label"]
    pd.DataFrame(rows, columns=names).to_csv(file, index=False)
    Says(monkeypatch, table)
    found = examiner.agreement((None, None), examiner.load_labels(file)).set_index("method")
    assert found["none"].to_dict() == {"one": 0, "two": 2, "all": 2}
    for method in ("one", "two", "all"):
        some = [r for r in rows[:60] if method in (r[0], "all")]
        human, machine = [r[3] for r in some], [table[r[1], r[2]] for r in some]
        n = len(some)
        agree = sum(a == b for a, b in zip(human, machine, strict=True)) / n
        chance = sum(human.count(x) * machine.count(x) for x in LABELS) / n**2
        row = found.loc[method]
        assert row["pairs"] == n and row["agreement"] == pytest.approx(100 * agree)
        assert row["kappa"] == pytest.approx((agree - chance) / (1 - chance))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("premise,hypothesis\na,b\n", "lacks the column label"),
        ("premise,hypothesis,label\na,b,maybe\n", "line 2: the label is 'maybe'"),
        ("premise,hypothesis,label\na,,neutral\n", "a text is .*blank.* its label must be none"),
        ("premise,hypothesis,label\n", "holds no label"),
    ],
)
def test_what_is_no_table_of_labels(tmp_path, text, said):
    file = tmp_path / "labels.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        examiner.load_labels(file)


def test_the_rule_names_every_label_and_column(root):
    rule = (root / "data" / "field" / "labelling.md").read_text("utf-8")
    for word in (*LABELS, examiner.NONE, "premise", "hypothesis", "label", "method"):
        assert f"`{word}`" in rule, word


def test_the_examiners_command(data, tmp_path, capsys):
    nli = tiny_models.save(tmp_path / "nli", "nli", initializer_range=1.0)
    file = tmp_path / "labels.csv"
    rows = "a man runs,a dog,neutral\na cat,the cat,entailment\n"
    file.write_text(f"premise,hypothesis,label\n{rows}")
    argv = ["examiner", "--model", str(nli), "--data", str(data), "--labels", str(file),
            "--out", str(tmp_path / "out.csv"), "--quiet", "--device", "cpu"]  # fmt: skip
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "agreement with the labels by hand" in said and "kappa" in said
    table = pd.read_csv(tmp_path / "out.csv")
    assert list(table["set"].unique()) == ["SNLI", "MultiNLI", "SICK", "field"]
    snli = pairs.part(pairs.sets(data)["SNLI"], "test")
    assert table["pairs"][0] == len(snli) and table["pairs"][12] == 390
    judge = models.load_nli(nli, device="cpu")
    right = 0
    for premise, hypothesis, label in snli.itertuples(index=False):
        with torch.no_grad():
            best = judge[0](**judge[1](premise, hypothesis, return_tensors="pt")).logits.argmax()
        right += judge[0].config.id2label[int(best)] == label
    assert table["accuracy"][0] == pytest.approx(100 * right / len(snli))
