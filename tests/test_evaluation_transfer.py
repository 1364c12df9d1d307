"""Transfer tasks: SentEval's layouts and protocol, against the protocol written out slowly."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from synthlib.evaluation import (
    classify,
    evaluate_transfer,
    load_transfer,
    score_transfer,
    transfer,
)


def letters(sentences):
    """Fixed encoder: how often each letter of "abcdefgh" occurs."""
    return np.array([[s.lower().count(c) for c in "abcdefgh"] for s in sentences], dtype=float)


def sentences(rng, letter, n):
    """Sentences in which ``letter`` is a little more frequent than the others."""
    pool = list("abcdefgh" + letter * 3)
    return [" ".join(rng.choice(pool, size=rng.integers(3, 9))) for _ in range(n)]


def write(path, lines, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\n" for line in lines).encode(encoding))


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    files = {
        "MR": ("rt-polarity.pos", "rt-polarity.neg"),
        "CR": ("custrev.pos", "custrev.neg"),
        "SUBJ": ("subj.objective", "subj.subjective"),
        "MPQA": ("mpqa.pos", "mpqa.neg"),
    }
    for task, names in files.items():
        for name, letter in zip(names, "ab", strict=True):
            write(tmp_path / task / name, sentences(rng, letter, 30), "latin-1")
    for part, n in (("train", 30), ("dev", 10), ("test", 10)):
        rows = [f"{s}\t{label}" for label in (0, 1) for s in sentences(rng, "ab"[label], n)]
        write(tmp_path / "SST" / "binary" / f"sentiment-{part}", rows)
    for name, n in (("train_5500", 15), ("TREC_10", 5)):
        labels = ["ABBR:abb", "DESC:def", "ENTY:color"]
        rows = [
            f"{x} {s}" for x, c in zip(labels, "abc", strict=True) for s in sentences(rng, c, n)
        ]
        write(tmp_path / "TREC" / f"{name}.label", [*rows, "HUM:ind café a a ?"], "latin-1")
    for part, n in (("train", 30), ("test", 10)):
        rows = ["\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String"]
        for same in (1, 0):
            for s in sentences(rng, "a", n):
                other = s[::-1] if same else sentences(rng, "h", 1)[0]
                rows.append(f'{same}\t1\t2\t{s} "\t{other}')
        write(tmp_path / "MRPC" / f"msr_paraphrase_{part}.txt", rows)
    return tmp_path


def test_all_seven(data, monkeypatch):
    monkeypatch.setattr(transfer, "FOLDS", 3)  # ten are tested below, on one task
    frame = evaluate_transfer(letters, data).set_index("task")
    assert list(frame.index) == ["MR", "CR", "SUBJ", "MPQA", "SST2", "TREC", "MRPC"]
    assert list(frame["examples"]) == [60, 60, 60, 60, 20, 16, 20]
    assert frame["accuracy"].between(55, 100).all()  # better than chance, in percent
    assert frame["dev_accuracy"].between(55, 100).all()
    assert frame["f1"].notna().sum() == 1 and frame.loc["MRPC", "f1"] > 55


def slow_choice(x, y, grid):
    """C with the best mean accuracy over ten folds, each fit from zero."""
    best = (-1.0, None)
    for c in grid:
        scores = []
        for a, b in StratifiedKFold(10, shuffle=True, random_state=1111).split(x, y):
            model = LogisticRegression(C=c, max_iter=10_000, tol=1e-8).fit(x[a], y[a])
            scores.append(model.score(x[b], y[b]))
        if round(100 * np.mean(scores), 2) > best[0]:
            best = round(100 * np.mean(scores), 2), c
    return best


def two_clouds(seed, n=60, d=3):
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    return rng.normal(size=(n, d)) + 0.7 * y[:, None], y


def test_nested_folds_are_the_protocol():
    x, y = two_clouds(0)
    accuracies, dev = [], []
    for a, b in StratifiedKFold(10, shuffle=True, random_state=1111).split(x, y):
        score, c = slow_choice(x[a], y[a], [2.0**t for t in range(-2, 4)])
        model = LogisticRegression(C=c, max_iter=10_000, tol=1e-8).fit(x[a], y[a])
        accuracies.append(100 * model.score(x[b], y[b]))
        dev.append(score)
    result = classify(train=(x, y))
    assert result["accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-6)
    assert result["dev_accuracy"] == pytest.approx(np.mean(dev), abs=0.5)


def test_given_test_part_is_the_protocol():
    (x, y), test = two_clouds(1), two_clouds(2)
    score, c = slow_choice(x, y, [2.0**t for t in range(-1, 6)])
    model = LogisticRegression(C=c, max_iter=10_000, tol=1e-8).fit(x, y)
    result = classify(train=(x, y), test=test)
    assert result["accuracy"] == pytest.approx(100 * model.score(*test))
    assert result["dev_accuracy"] == pytest.approx(score, abs=0.5)


def test_given_dev_part_is_the_protocol():
    train, dev, test = (two_clouds(seed) for seed in (3, 4, 5))
    best = (-1.0, None)
    for c in [2.0**t for t in range(-2, 4)]:
        model = LogisticRegression(C=c, max_iter=10_000, tol=1e-8).fit(*train)
        if (score := round(100 * model.score(*dev), 2)) > best[0]:
            best = score, 100 * model.score(*test)
    result = classify(train=train, dev=dev, test=test)
    assert (result["dev_accuracy"], result["accuracy"]) == pytest.approx(best)


def test_pairs_are_difference_and_product(data):
    parts = load_transfer(data, ["MRPC"])["MRPC"]
    features = {}
    for part, frame in parts.items():
        u, v = letters(frame["sentence"]), letters(frame["sentence2"])
        x = [[abs(p - q) for p, q in zip(a, b, strict=True)]
             + [p * q for p, q in zip(a, b, strict=True)]
             for a, b in zip(u, v, strict=True)]  # fmt: skip
        features[part] = np.array(x), frame["label"].to_numpy()
    expected = classify(**features)
    row = evaluate_transfer(letters, data, ["MRPC"]).iloc[0]
    assert {name: row[name] for name in expected} == pytest.approx(expected)
    assert row["examples"] == 20


def test_reading(data):
    frames = load_transfer(data)
    trec = frames["TREC"]["test"]
    assert "café a a ?" in set(trec["sentence"]) and set(trec["label"]) == {
        "ABBR", "DESC", "ENTY", "HUM",
    }  # fmt: skip
    mrpc = frames["MRPC"]["train"]
    assert len(mrpc) == 60 and mrpc["sentence"].str.endswith(' "').all()  # no quoting, no header
    assert frames["SUBJ"]["train"]["label"].mean() == 0.5
    # SentEval's order, so that its folds are found again: by words, then by label
    for parts in frames.values():
        for frame in parts.values():
            keys = [frame["sentence"].str.split().str.len()]
            if "sentence2" in frame:
                keys.append(frame["sentence2"].str.split().str.len())
            keys = list(zip(*keys, frame["label"], strict=True))
            assert keys == sorted(keys)


def test_the_same_twice(data):
    first, second = (evaluate_transfer(letters, data, ["TREC", "MRPC"]) for _ in range(2))
    assert first.equals(second)


def test_absent_and_unknown(data):
    (data / "CR" / "custrev.neg").unlink()
    with pytest.warns(UserWarning, match="left out, absent from .*: CR$"):
        assert "CR" not in load_transfer(data)
    with pytest.raises(FileNotFoundError, match="CR: file not found: .*custrev.neg"):
        evaluate_transfer(letters, data, ["MR", "CR"])
    with pytest.raises(ValueError, match="unknown task SNLI; choose from MR, CR"):
        evaluate_transfer(letters, data, ["SNLI"])
    with pytest.raises(ValueError, match="unknown task STS12"):
        evaluate_transfer(letters, data, "STS12")
    with pytest.raises(FileNotFoundError, match="give that folder"):
        evaluate_transfer(letters, data / "TREC")


def test_one_class(data):
    write(data / "SST" / "binary" / "sentiment-train", ["a b\t1", "b c\t1"])
    with pytest.raises(ValueError, match="SST2: all 2 training examples have the same class"):
        evaluate_transfer(letters, data, ["SST2"])
    write(data / "MR" / "rt-polarity.neg", [])
    with pytest.raises(ValueError, match="rt-polarity.neg is empty"):
        evaluate_transfer(letters, data, ["MR"])
    with pytest.raises(ValueError, match="the same class"):
        classify(train=(np.eye(4), ["x"] * 4))


def test_few_examples():
    rng = np.random.default_rng(0)
    y = np.array([0] * 3 + [1] * 40)
    x = rng.normal(size=(43, 2)) + 5 * y[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert classify(train=(x, y))["accuracy"] > 90  # as many folds as the rarer class has
    y[:2] = 1
    with pytest.raises(ValueError, match="too few examples to cross-validate"):
        classify(train=(x, y))


@pytest.mark.parametrize(
    ("path", "line", "text", "message"),
    [
        ("SST/binary/sentiment-dev", 3, "a b c", "line 3: 2 tab-separated columns"),
        ("SST/binary/sentiment-dev", 3, "a b c\t2", "line 3: a label of 0 or 1 is wanted"),
        ("TREC/TREC_10.label", 2, "WHAT:x a b ?", "line 2: LABEL:kind and a question"),
        ("TREC/TREC_10.label", 2, "NUM:x", "line 2: LABEL:kind and a question"),
        ("MRPC/msr_paraphrase_test.txt", 4, "1\t1\t2\ta", "line 4: 5 tab-separated columns"),
        ("MRPC/msr_paraphrase_test.txt", 4, "x\t1\t2\ta\tb", "line 4: a label of 0 or 1"),
    ],
)
def test_damaged_files(data, path, line, text, message):
    lines = (data / path).read_bytes().split(b"\n")
    lines[line - 1] = text.encode()
    (data / path).write_bytes(b"\n".join(lines))
    with pytest.raises(ValueError, match=message) as error:
        load_transfer(data, [path.split("/")[0]])
    assert str(data / path) in str(error.value)


def test_bad_embeddings(data):
    with pytest.raises(ValueError, match="rows hold NaN"):
        evaluate_transfer(lambda s: np.full((len(s), 2), np.nan), data, ["MR"])
    with pytest.raises(ValueError, match="train: 3 labels are wanted"):
        classify(train=(np.eye(3), [0, 1]))
    with pytest.raises(ValueError, match="training features have 3 columns, the others 2"):
        classify(train=(np.eye(3), [0, 1, 0]), test=(np.eye(2), [0, 1]))
    with pytest.raises(ValueError, match="test: there is no example"):
        classify(train=(np.eye(3), [0, 1, 0]), test=(np.empty((0, 3)), []))
    with pytest.raises(ValueError, match="X: train lacks the column label"):
        score_transfer(letters, {"X": {"train": load_transfer(data)["MR"]["train"][["sentence"]]}})


def test_official_counts(shared_data):
    frames = load_transfer(shared_data, ["TREC", "MRPC"])
    counts = {t: {p: len(f) for p, f in parts.items()} for t, parts in frames.items()}
    assert counts == {"TREC": {"train": 5452, "test": 500}, "MRPC": {"train": 4076, "test": 1725}}


# ---------------------------------------------------------------- odd bytes, blank rows
def test_utf8_and_windows_1252(data):
    lines = ["café one", "“so” two"]
    write(data / "MR" / "rt-polarity.pos", lines)
    (data / "MR" / "rt-polarity.neg").write_bytes("“so” café – nein\n".encode("cp1252"))
    with pytest.warns(UserWarning, match="polarity.neg, line 1: not UTF-8, read as Windows-1252"):
        frame = load_transfer(data, ["MR"])["MR"]["train"]
    assert sorted(frame["sentence"]) == sorted([*lines, "“so” café – nein"])
    (data / "TREC" / "TREC_10.label").write_bytes("HUM:ind “Café” ?\n".encode("cp1252"))
    with pytest.warns(UserWarning, match="Windows-1252"):
        assert load_transfer(data, ["TREC"])["TREC"]["test"]["sentence"].tolist() == ["“Café” ?"]


def senteval_rows(path):
    """SentEval's reader of the sets of two files, written out."""
    with open(path, encoding="latin-1") as stream:
        return [line.split() for line in stream.read().splitlines()]


@pytest.mark.parametrize("task, names", [("CR", ("custrev.pos", "custrev.neg")),
                                         ("MPQA", ("mpqa.pos", "mpqa.neg"))])  # fmt: skip
def test_blank_rows_count_as_in_senteval(data, task, names):
    write(data / task / names[0], ["good a", "", "good b", "  ", "good c", ""])
    write(data / task / names[1], ["", "bad a", "bad b", "bad c"])
    with pytest.warns(UserWarning, match=f"{task}: 4 of 10 sentences are blank and count as"):
        frame = load_transfer(data, [task])[task]["train"]
    slow = [(row, label) for label, name in zip((1, 0), names, strict=True)
            for row in senteval_rows(data / task / name)]  # fmt: skip
    slow.sort(key=lambda row: (len(row[0]), row[1]))
    assert list(zip(frame["sentence"].str.split(), frame["label"], strict=True)) == slow


def test_blank_lines_between_rows_are_said(data):
    for path, task in (("SST/binary/sentiment-dev", "SST2"), ("TREC/TREC_10.label", "TREC"),
                       ("MRPC/msr_paraphrase_test.txt", "MRPC")):  # fmt: skip
        file = data / path
        count = len(load_transfer(data, [task])[task][{"SST2": "dev"}.get(task, "test")])
        lines = file.read_bytes().split(b"\n")
        file.write_bytes(b"\n".join([*lines[:2], b"", b" ", *lines[2:], b"", b""]))
        with pytest.warns(UserWarning, match=f"{file.name}, line 3: 2 blank lines are left out"):
            frames = load_transfer(data, [task])[task]
        assert len(frames[{"SST2": "dev"}.get(task, "test")]) == count


def test_a_header_is_recognised_and_not_assumed(data):
    for path, task, part, header in (
        ("MRPC/msr_paraphrase_test.txt", "MRPC", "test", None),
        ("SST/binary/sentiment-dev", "SST2", "dev", b"sentence\tlabel"),
    ):
        frame = load_transfer(data, [task])[task][part]
        lines = (data / path).read_bytes().split(b"\n")
        lines = lines[1:] if header is None else [header, *lines]
        (data / path).write_bytes(b"\n".join(lines))
        assert load_transfer(data, [task])[task][part].equals(frame)
