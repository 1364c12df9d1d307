"""STS: layouts, aggregations and errors, against tables worked out by hand and a slow loop."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from synthlib.evaluation import evaluate_sts, load_sts, score_sts
from synthlib.evaluation.embedding import (
    as_embeddings,
    cosine_of_rows,
    embed,
    embed_each,
    paired_cosine,
)

COLUMNS = ["task", "pairs", "spearman", "all", "mean", "wmean"]


def at_cosine(sentences):
    """Fixed encoder: "left …" lies on the x axis, "at 0.3 …" at cosine 0.3 from it."""
    rows = []
    for sentence in sentences:
        words = sentence.split()
        c = 1.0 if words[0] == "left" else float(words[1])
        rows.append([c, math.sqrt(1 - c * c)])
    return np.array(rows)


def write(path, lines, end="\n"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(end.join(lines) + end, encoding="utf-8", newline="")


def write_year(folder, subsets, prefix="STS", extra=""):
    for name, (cosines, gold) in subsets.items():
        pairs = [f"left {name} {i}\tat {c} {name}{extra}" for i, c in enumerate(cosines)]
        write(folder / f"{prefix}.input.{name}.txt", pairs)
        write(folder / f"{prefix}.gs.{name}.txt", [str(g) for g in gold])


# By hand, with rho = 1 - 6 sum d^2 / (n (n^2 - 1)):
#   alpha  ranks 1 2 3 4 against 1 2 4 3: sum d^2 = 2, rho = 1 - 12/60 = 0.8
#   beta   ranks 1 2 3 against 3 2 1: rho = -1
#   all 7  ranks 1 … 7 against 1 2 4 3 7 6 5: sum d^2 = 0+0+1+1+4+0+4 = 10, rho = 1 - 60/336
#   mean   (0.8 - 1) / 2; wmean (4 * 0.8 - 3 * 1) / 7
TWO_SUBSETS = {
    "alpha": ([0.1, 0.2, 0.3, 0.4], [1, 2, 4, 3]),
    "beta": ([0.6, 0.7, 0.8], [5, 4.5, 4.2]),
}
BY_HAND = {"all": 100 * (1 - 60 / 336), "mean": -10.0, "wmean": 100 * 0.2 / 7}


@pytest.fixture
def data(tmp_path):
    """A small folder in SentEval's layout: STS12, STS16, STS-B (dev, test), SICK (trial, test)."""
    sts = tmp_path / "STS"
    write_year(sts / "STS12-en-test", TWO_SUBSETS)
    write(sts / "STS12-en-test" / "STS.gs.ALL.txt", ["1", "2", "4", "3", "5", "4.5", "4.2"])
    # STS16: other names, two columns more, most rows without a score
    gold = [0.5, "", 4, "", 2]
    write_year(
        sts / "STS16-en-test",
        {"answers": ([0.1, 0.9, 0.3, 0.8, 0.2], gold)},
        prefix="STS2016",
        extra="\tsource one\tsource two",
    )
    bench = [
        f"main\tfile\t2012\t{i:04d}\t{gold}\tleft\tat {c}{more}"
        for i, (c, gold, more) in enumerate(
            [(0.1, 3, ""), (0.5, 2, "\tan origin\tanother"), (0.9, 1, ' "quoted, once')]
        )
    ]
    write(sts / "STSBenchmark" / "sts-test.csv", bench)
    write(sts / "STSBenchmark" / "sts-dev.csv", bench[::-1])
    header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment"
    rows = [f"{i}\tleft\tat {c}\t{g}\tNEUTRAL" for i, (c, g) in enumerate([(0.2, 1), (0.4, 3.5)])]
    write(tmp_path / "SICK" / "SICK_test_annotated.txt", [header, *rows], end="\r\n")
    # the same columns in another order
    header = "relatedness_score\tsentence_B\tpair_ID\tsentence_A"
    rows = [f"{g}\tat {c}\t1\tleft" for c, g in [(0.2, 5), (0.4, 4), (0.5, 4.5)]]
    write(tmp_path / "SICK" / "SICK_trial.txt", [header, *rows])
    return tmp_path


def test_three_aggregations_by_hand(data):
    for aggregation, value in BY_HAND.items():
        frame = evaluate_sts(at_cosine, data, ["STS12"], aggregation=aggregation)
        assert list(frame.columns) == COLUMNS
        row = frame.iloc[0]
        assert (row["task"], row["pairs"]) == ("STS12", 7)
        assert row["spearman"] == pytest.approx(value, abs=1e-9)
        assert {a: row[a] for a in BY_HAND} == pytest.approx(BY_HAND, abs=1e-9)


def test_all_layouts(data):
    with pytest.warns(UserWarning, match="STS13, STS14, STS15") as caught:
        frame = evaluate_sts(at_cosine, data).set_index("task")
    assert len(caught) == 1 and "STS12" not in str(caught[0].message)
    assert list(frame.index) == ["STS12", "STS16", "STS-B", "SICK-R"]
    # STS16: scored rows 0.1, 0.3, 0.2 against 0.5, 4, 2: the same order
    assert list(frame["pairs"]) == [7, 3, 3, 2]
    expected = [BY_HAND["all"], 100, -100, 100]
    assert list(frame["spearman"]) == pytest.approx(expected, abs=1e-9)
    for task in ("STS16", "STS-B", "SICK-R"):
        assert frame.loc[task, "all"] == frame.loc[task, "mean"] == frame.loc[task, "wmean"]


def test_dev_split(data):
    frame = evaluate_sts(at_cosine, data, split="dev")
    assert list(frame["task"]) == ["STS-B", "SICK-R"]
    # SICK trial: ranks 1 2 3 against 3 1 2: sum d^2 = 6, rho = 1 - 36/24
    assert list(frame["spearman"]) == pytest.approx([-100, -50])
    with pytest.raises(ValueError, match="STS12: no dev split"):
        evaluate_sts(at_cosine, data, ["STS-B", "STS12"], split="dev")


def test_both_names_of_a_subset_count_once(data):
    folder = data / "STS" / "STS16-en-test"
    write_year(folder, {"answers": ([0.1, 0.2], [2, 1])})
    frame = evaluate_sts(at_cosine, data, "STS16")
    assert (frame.loc[0, "pairs"], frame.loc[0, "spearman"]) == (2, pytest.approx(-100))


def test_gold_without_input_is_skipped(data):
    write(data / "STS" / "STS12-en-test" / "STS.gs.SMT.txt", ["1", "2"])
    assert evaluate_sts(at_cosine, data, ["STS12"]).loc[0, "pairs"] == 7


def test_names_are_forgiving_and_rows_follow_the_request(data):
    tasks = ["sickr", "STSBenchmark", "sts12", "SICK-R"]
    assert list(evaluate_sts(at_cosine, data, tasks)["task"]) == ["SICK-R", "STS-B", "STS12"]


def test_each_sentence_once_and_by_length(data):
    calls = []

    def spy(sentences):
        assert isinstance(sentences, list) and all(type(s) is str for s in sentences)
        calls.append(sentences)
        return at_cosine(sentences)

    tasks = ["STS12", "STS-B", "SICK-R"]
    whole = evaluate_sts(spy, data, tasks)
    assert len(calls) == 1 and len(set(calls[0])) == len(calls[0])
    assert [len(s) for s in calls[0]] == sorted(len(s) for s in calls[0])
    assert "left" in calls[0]  # shared by STS-B and SICK-R
    flat, calls = calls[0], []
    pd.testing.assert_frame_equal(evaluate_sts(spy, data, tasks, batch_size=3), whole)
    assert [s for call in calls for s in call] == flat and max(map(len, calls)) == 3


def slow_table(encode, frames):
    """The definition, pair by pair: one call of the encoder a sentence, one cosine a pair."""
    rows = []
    for frame in frames.values():
        cosines, gold, by_subset = [], [], {}
        for subset, first, second, score in frame.itertuples(index=False):
            u, v = encode([first])[0], encode([second])[0]
            nu, nv = math.sqrt(sum(a * a for a in u)), math.sqrt(sum(b * b for b in v))
            cosine = sum(a * b for a, b in zip(u, v, strict=True)) / (nu * nv) if nu * nv else 0.0
            cosines.append(round(cosine, 9))
            gold.append(score)
            by_subset.setdefault(subset, ([], []))
            by_subset[subset][0].append(round(cosine, 9))
            by_subset[subset][1].append(score)
        each = [(spearmanr(*lists)[0], len(lists[0])) for lists in by_subset.values()]
        rows.append(
            {
                "all": 100 * spearmanr(cosines, gold)[0],
                "mean": 100 * sum(r for r, _ in each) / len(each),
                "wmean": 100 * sum(r * n for r, n in each) / sum(n for _, n in each),
            }
        )
    return pd.DataFrame(rows)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_agrees_with_a_loop_over_pairs(seed):
    rng = np.random.default_rng(seed)
    words = rng.normal(size=(40, 5))
    frames = {}
    for task in "XY":
        n = int(rng.integers(8, 30))
        ids = rng.integers(0, 40, size=(n, 2, 3))
        text = [[" ".join(map(str, s)) for s in pair] for pair in ids]
        frames[task] = pd.DataFrame(
            {
                "subset": np.arange(n) % 2,
                "sentence1": [a for a, _ in text],
                "sentence2": [b for _, b in text],
                "score": rng.permutation(n) / 7,
            }
        )

    def encode(sentences):
        return np.array([sum(words[int(w)] for w in s.split()) for s in sentences])

    table = score_sts(encode, frames)
    np.testing.assert_allclose(
        table[["all", "mean", "wmean"]], slow_table(encode, frames), atol=1e-7
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_tensors_of_any_precision(data, dtype):
    def encode(sentences):
        return torch.tensor(at_cosine(sentences), dtype=dtype).requires_grad_()

    frame = evaluate_sts(encode, data, ["STS12"])
    assert frame.loc[0, "all"] == pytest.approx(BY_HAND["all"])


def test_zero_vectors_have_cosine_zero():
    u = np.array([[0.0, 0], [3, 4], [1e-200, 0], [1e200, 1e200], [1, 0]])
    v = np.array([[1.0, 2], [6, 8], [1e-200, 1e-200], [-1e200, 0], [0, 2]])
    root = round(math.sqrt(0.5), 10)
    np.testing.assert_array_equal(paired_cosine(u, v), [0, 1, root, -root, 0])
    single = paired_cosine(u[:2].astype(np.float32), v[:2].astype(np.float32))
    np.testing.assert_array_equal(single, [0, 1])


def test_equal_angles_tie():
    u = np.array([[1.0, 0], [2, 0], [0, 7]])
    v = np.array([[1.0, 1], [3, 3], [5, 5]])
    assert len(set(paired_cosine(u, v))) == 1


def test_collapsed_encoder_is_undefined_not_zero(data):
    with pytest.warns(UserWarning) as caught:
        frame = evaluate_sts(lambda s: np.ones((len(s), 4)), data, ["STS12"])
    named = [str(w.message).split(":")[0] for w in caught if "undefined" in str(w.message)]
    assert named == ["STS12 alpha", "STS12 beta"]
    assert frame[["spearman", "all", "mean", "wmean"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("encode", "message"),
    [
        (lambda s: np.full((len(s), 3), np.nan), r"17 of 17 rows hold NaN or infinity"),
        (lambda s: np.ones((len(s) - 1, 3)), "16 rows for 17 sentences"),
        (lambda s: np.ones(len(s)), r"shape \(17,\)"),
        (lambda s: ["a"] * len(s), "a dense matrix of numbers"),
        (lambda s: np.ones((len(s), 0)), r"shape \(17, 0\)"),
    ],
)
def test_bad_embeddings_are_refused(data, encode, message):
    # 7 pairs of STS12 (14 sentences) and "left", "at 0.2", "at 0.4" of SICK
    with pytest.raises(ValueError, match=message):
        evaluate_sts(encode, data, ["STS12", "SICK-R"])


def test_one_bad_row_is_counted():
    x = np.ones((5, 2))
    x[3, 1] = np.inf
    with pytest.raises(ValueError, match="1 of 5 rows"):
        as_embeddings(torch.tensor(x))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch_size", [None, 7])
def test_rows_of_a_series_are_those_of_a_list_and_cosines_the_same_to_the_last_digit(
    dtype, batch_size
):
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(["a", "bb", "é", "🙂"], rng.integers(1, 5))) for _ in range(400)]
    known = {text: rng.normal(size=33).astype(dtype) for text in texts}
    known[texts[0]][:] = 0
    known[texts[1]] *= dtype(1e25)

    def encode(batch):
        return np.array([known[text] for text in batch])

    shuffled = pd.Series(texts, dtype=object, index=range(400, 0, -1))
    found = [
        embed_each(encode, given, batch_size=batch_size)
        for given in (texts, pd.Series(texts), shuffled)
    ]
    for x, row, _ in found:
        np.testing.assert_array_equal(x[row], encode(texts))
        assert len(x) == len(set(texts))
    x, row, square = found[0]
    np.testing.assert_array_equal(
        cosine_of_rows(x, row[:200], row[200:], square),
        paired_cosine(x[row[:200]], x[row[200:]]),
    )
    old, number = embed(encode, texts, batch_size=batch_size)
    np.testing.assert_array_equal(old[[number[text] for text in texts]], encode(texts))


def test_an_encoder_that_changes_its_mind_is_refused():
    widths = iter((2, 3))
    with pytest.raises(ValueError, match="vectors of 2 numbers .*, then of 3"):
        embed_each(lambda batch: np.ones((len(batch), next(widths))), ["a", "bb"], batch_size=1)


def test_no_sentence():
    with pytest.raises(ValueError, match="the list is empty"):
        embed(at_cosine, [])
    with pytest.raises(ValueError, match="strings; one is None"):
        embed(at_cosine, ["left", None])
    with pytest.raises(ValueError, match="strings; one is (missing|None)"):
        embed_each(at_cosine, pd.Series(["left", None], dtype="str"))
    empty = pd.DataFrame({"sentence1": [], "sentence2": [], "score": []})
    with pytest.raises(ValueError, match="X holds no pair"):
        score_sts(at_cosine, {"X": empty})


def test_wrong_choices(data):
    with pytest.raises(ValueError, match="unknown task STS17; choose from STS12, .*SICK-R"):
        evaluate_sts(at_cosine, data, ["STS12", "STS17"])
    with pytest.raises(ValueError, match="no task given"):
        evaluate_sts(at_cosine, data, [])
    with pytest.raises(ValueError, match="unknown split 'train'; choose from test, dev"):
        evaluate_sts(at_cosine, data, split="train")
    with pytest.raises(ValueError, match="unknown aggregation 'avg'; choose from all, mean, wmean"):
        evaluate_sts(at_cosine, data, aggregation="avg")


def test_absent_files_are_named(data, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"STS13: .*STS13-en-test.*STS\.input"):
        evaluate_sts(at_cosine, data, ["STS12", "STS13"])
    (data / "STS" / "STSBenchmark" / "sts-test.csv").unlink()
    with pytest.raises(FileNotFoundError, match="STS-B: file not found: .*sts-test.csv"):
        evaluate_sts(at_cosine, data, ["STS-B"])
    gold = data / "STS" / "STS12-en-test" / "STS.gs.beta.txt"
    gold.unlink()
    with pytest.raises(FileNotFoundError, match=r"STS\.gs\.beta\.txt"):
        evaluate_sts(at_cosine, data, ["STS12"])
    with pytest.raises(FileNotFoundError, match="data folder not found: .*nowhere"):
        evaluate_sts(at_cosine, tmp_path / "nowhere")


def test_a_neighbouring_folder_is_suggested(data):
    for wrong in (data / "STS", data / "STS" / "STS12-en-test"):
        with pytest.raises(FileNotFoundError) as error:
            evaluate_sts(at_cosine, wrong)
        assert str(error.value).endswith(f"{data} does: give that folder")
    lonely = data / "SICK" / "a" / "b" / "c"
    lonely.mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match="SentEval's downstream folder is wanted"):
        evaluate_sts(at_cosine, lonely)


def spoil(path, line, text):
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[line - 1] = text
    path.write_text("\n".join(lines), encoding="utf-8")


def test_damaged_files_are_named_with_the_line(data):
    year = data / "STS" / "STS12-en-test"
    bench = data / "STS" / "STSBenchmark" / "sts-test.csv"
    sick = data / "SICK" / "SICK_trial.txt"
    cases = [
        (year / "STS.gs.alpha.txt", 3, "four", "STS12", "line 3: a score is wanted, found 'four'"),
        (year / "STS.gs.alpha.txt", 3, "nan", "STS12", "line 3: a score is wanted, found 'nan'"),
        (year / "STS.input.beta.txt", 2, "no tab", "STS12", "line 2: two sentences"),
        (year / "STS.input.beta.txt", 2, "\tx", "STS12", "line 2: two sentences"),
        (bench, 2, "a\tb\tc\td\t1.0\tleft", "STS-B", "line 2: 7 tab-separated columns"),
        (sick, 4, "4.5\tat 0.5", "SICK-R", "line 4: 4 tab-separated columns"),
        (sick, 1, "score\tA\tB\tC", "SICK-R", "line 1: the header lacks the column relatedness"),
    ]
    for path, line, text, task, message in cases:
        before = path.read_bytes()
        spoil(path, line, text)
        split = "dev" if task == "SICK-R" else "test"
        with pytest.raises(ValueError, match=message) as error:
            load_sts(data, [task], split=split)
        assert str(path) in str(error.value)
        path.write_bytes(before)


def test_cut_files(data):
    gold = data / "STS" / "STS12-en-test" / "STS.gs.alpha.txt"
    whole = gold.read_bytes()
    gold.write_bytes(b"1\n2\n4\n")
    with pytest.raises(ValueError, match=r"STS\.gs\.alpha\.txt has 3 lines.* has 4: from line 4"):
        load_sts(data, ["STS12"])
    gold.write_bytes(whole + b"2.5\n")
    with pytest.raises(ValueError, match="has 5 lines.* has 4: from line 5"):
        load_sts(data, ["STS12"])
    gold.write_bytes(whole + b"\n\n")  # blank lines at the end are no scores
    assert len(load_sts(data, ["STS12"])["STS12"]) == 7
    gold.write_bytes(whole.rstrip(b"\n"))  # no line end at the end
    assert len(load_sts(data, ["STS12"])["STS12"]) == 7
    gold.write_bytes(b"")
    with pytest.raises(ValueError, match=r"STS\.gs\.alpha\.txt is empty"):
        load_sts(data, ["STS12"])
    gold.write_bytes(b"1\x00\n2\n4\n3\n")
    with pytest.raises(ValueError, match="line 1: zero bytes"):
        load_sts(data, ["STS12"])


def test_odd_bytes(data):
    folder = data / "STS" / "STS12-en-test"
    text = b"\xef\xbb\xbfleft\xe2\x80\xa8still line one\tat 0.1 caf\xc3\xa9\nleft\tat 0.2 caf\xe9\n"
    (folder / "STS.input.alpha.txt").write_bytes(text)
    (folder / "STS.gs.alpha.txt").write_bytes(b"\xef\xbb\xbf1\r\n2\r\n")
    with pytest.warns(UserWarning, match="alpha.txt, line 2: not UTF-8, read as Latin-1"):
        frame = load_sts(data, ["STS12"])["STS12"]
    first = frame[frame["subset"] == "alpha"]
    assert list(first["sentence1"]) == ["left\u2028still line one", "left"]
    assert list(first["sentence2"]) == ["at 0.1 café", "at 0.2 café"]
    assert list(first["score"]) == [1, 2]


def test_no_warning_when_tasks_are_named(data):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate_sts(at_cosine, data, ["STS12", "STS16", "STS-B", "SICK-R"])


def test_official_counts(shared_data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frames = load_sts(shared_data)
    official = {"STS12": 3108, "STS14": 3750}
    assert {task: len(frames[task]) for task in official} == official
    assert frames["STS12"]["subset"].nunique() == 5
    dev = load_sts(shared_data, split="dev")
    assert {task: len(frame) for task, frame in dev.items()} == {"STS-B": 1500, "SICK-R": 500}
    quoted = dev["STS-B"].iloc[267]
    assert quoted["sentence2"] == 'a woman is standing by a pillar where "u2" is written.'
