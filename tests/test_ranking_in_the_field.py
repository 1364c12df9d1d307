"""Chapter 15: what is said of real lists, its pictures, its training and its recordings."""

import dataclasses
import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from synthlib import curation, models, tiers
from synthlib.evaluation.embedding import unit_rows
from synthlib.experiments import ch10, ch11, ch13, ch15, field
from synthlib.viz import explorers

SETTINGS = tiers.get("laptop").ranking
STRONG_PUSH = dataclasses.replace(SETTINGS, lam=1.5)
LISTS = {
    ("in-batch", np.nan): ["A cat sleeps.", *(f"Man {i} is out." for i in range(15))],
    ("at_once", np.nan): ["A cat sleeps.", "A cat rests.", "An animal rests."],
    ("step", np.nan): ["A cat sleeps."] * 17,
    ("directional", 0.0): ["A cat sleeps.", *["A cat rests.", "a cat  rests."] * 8],
    ("directional", 1.5): ["A cat sleeps.", *(f"{'very ' * i}small cats" for i in range(16))],
}  # fmt: skip


def encode(texts):
    """Letters counted: no encoder, but the same text has the same vector."""
    return np.array([[len(t), t.count("a") + 1, 2 * t.count("s") + 0.5] for t in texts], float)


def unit(texts):
    found = encode(texts)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def table():
    rows = []
    for (method, lam), one in LISTS.items():
        for number in range(2):
            own = unit(one)
            rows.append({
                "seed": 0, "method": method, "lam": lam, "list": number,
                "sentences": "\n".join(one), "cosines": ch10.packed(1000 * own[1:] @ own[0]),
                "straight": ch10.straightness(own),
            })  # fmt: skip
    return pd.DataFrame(rows)


# ------------------------------------------------------------------ what is said of lists
def test_sentences_are_those_of_the_lists(table):
    said = ch15.sentences(table)
    assert len(said) == sum(2 * len(one) for one in LISTS.values())
    part = said[(said["lam"] == 0.0) & (said["list"] == 1)]
    assert part["sentence"].tolist() == LISTS["directional", 0.0]
    assert part["position"].tolist() == list(range(17)) and part["cosine"].iloc[0] == 1
    # Copies are compared as everywhere: "a cat  rests." is "A cat rests." again.
    assert part["copy"].tolist() == [False, False, *[True] * 15]
    assert part["repeated"].sum() == 15
    last = said[(said["lam"] == 1.5)].iloc[-1]
    assert last["broken"] and not last["well_formed"] and field.broken(last["sentence"])


def test_summary_is_what_a_loop_counts(table):
    found = ch15.summary(table).set_index(["method", "lam"])
    assert (found["lists"] == 2).all()
    for (method, lam), one in LISTS.items():
        row = found.xs(method, level="method")
        row = row.iloc[0] if np.isnan(lam) else row.loc[lam]
        plain = [curation.folded(text) for text in one]
        again = [plain[i] in plain[:i] for i in range(1, len(one))]
        assert row["repeated"] == pytest.approx(100 * np.mean(again))
        assert row["broken"] == pytest.approx(100 * np.mean([field.broken(t) for t in one[1:]]))
        cosines = np.round(1000 * unit(one)[1:] @ unit(one)[0]) / 1000
        assert row["order"] == pytest.approx(ch10.order(1 - cosines))
        assert row["distance"] == pytest.approx(1 - cosines[-1])
        late = [c - b > -1e-6 for b, c in itertools.pairwise(cosines[:10])]
        assert row["out_of_order"] == pytest.approx(100 * np.mean(late), nan_ok=True)
        assert row["growth"] == len(one[-1].split()) / len(one[0].split())
    # A list that goes round has nothing to order; one that was never asked for is not incomplete.
    assert found["order"]["step"].item() == 0 and found["kept"]["in-batch"].item() == 100
    assert found["kept"].xs(0.0, level="lam").item() == 0 == found["kept"]["at_once"].item()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("She is slicing a red onion.", True), ("A RED, onion cries", True),
        ("A woman is climbing a ladder.", False), ("Onions are red.", False), ("", False),
    ],
)  # fmt: skip
def test_what_the_worked_examples_lend_is_found(text, wanted):
    assert ch15.lent(text) == wanted


def test_a_list_of_which_nothing_came_counts_as_one_without_order(table):
    whole = table[table["lam"] == 1.5]
    empty = whole.assign(sentences="A cat sleeps.", cosines="", straight=np.nan, list=2).iloc[:1]
    alone, both = ch15.summary(whole), ch15.summary(pd.concat([whole, empty]))
    assert both["order"].item() == pytest.approx(2 / 3 * alone["order"].item())
    assert both["distance"].item() == pytest.approx(2 / 3 * alone["distance"].item())
    assert both["repeated"].item() == alone["repeated"].item()
    nothing = ch15.summary(empty)
    assert nothing["order"].item() == 0 == nothing["distance"].item()


def test_what_a_reader_said_stands_beside_the_cosines(table, tmp_path, monkeypatch):
    """Two pairs of one list in which the reader finds one nearer, one of another in which not."""
    anchor = "A cat sleeps."
    one = unit(LISTS["directional", 1.5])
    nearer = "first" if one[1] @ one[0] > one[9] @ one[0] else "second"
    other = "second" if nearer == "first" else "first"
    read = pd.DataFrame(
        [
            (0, "directional", 1.5, anchor, 1, 9, nearer),
            (0, "directional", 1.5, anchor, 1, 9, other),
            (0, "step", np.nan, anchor, 1, 2, "alike"),
            (7, "step", np.nan, anchor, 1, 2, "none"),  # of a seed that is not shown
        ],
        columns=["seed", "method", "lam", "anchor", "place_first", "place_second", "nearer"],
    )
    read.to_csv(tmp_path / "read.csv", index=False)
    monkeypatch.setattr(ch15, "NEARER", tmp_path / "read.csv")
    found = ch15.by_hand(table[table["list"] == 0]).round(1)
    assert found.loc[("directional", 1.5)].tolist() == [2, 0, 0, 2, 50, 50]
    assert found.loc[[("step", np.nan)]].iloc[0, :4].tolist() == [1, 0, 100, 0]
    assert found.iloc[-1].tolist() == [3, 0, 33.3, 2, 50, 50]


def test_the_reader_and_the_encoder_on_the_recorded_lists():
    found = ch15.by_hand(field.recorded("15-lists"))
    assert found.iloc[-1, :4].tolist() == [200, 19, 31, 100]
    assert found.iloc[-1, 4] == 98 and found.iloc[-1, 5] == 96


def test_every_list_has_one_verdict(table):
    found = ch15.dropped(table)
    assert found.groupby(["method", "lam"], dropna=False)["lists"].sum().eq(2).all()
    reasons = found.set_index("method")["reason"]
    assert reasons["at_once"] == "incomplete" and reasons["step"] == "degenerate tail"


# ------------------------------------------------------------------ pictures
def test_pictures_hold_what_the_encoder_says(table):
    drawn = ch15.pictures(table.drop(columns="seed"), encode, paths=1).assign(seed=0)
    assert set(drawn["method"]) == {"in-batch", "step", "directional"}  # the other is too short
    heat = ch15.heatmap_tables(table, drawn, STRONG_PUSH)
    texts = heat["texts"].set_index("text")["sentence"]
    row = heat["lists"].query("method == 'directional' and lam == 1.5").iloc[0]
    said = [texts[int(k)] for k in row["texts"].split()]
    assert said == LISTS["directional", 1.5][:16]
    wanted = unit(said) @ unit(said).T
    above = np.triu_indices(16, 1)
    np.testing.assert_allclose(np.array(row["cosines"].split(), float) / 100, wanted[above],
                               atol=0.00501)  # fmt: skip
    means = heat["measured"].query("which == 'as written'").set_index("method")
    assert means["lists"].eq(2).all() and set(means.index) == set(heat["lists"]["method"])
    found = np.array(means["cosines"]["directional"].split(), float) / 1000
    np.testing.assert_allclose(found, wanted[above], atol=0.0051)
    figure = explorers.heatmaps(
        heat, lam=1.5, decoding=ch15.decoded(SETTINGS), low=0.2, source="the recording",
        number="two lists", label="fig-15-x", caption="c",
    )  # fmt: skip
    assert "Means from the recording" in figure.alt
    assert "directional, λ = 1.5: 2 lists" in figure.alt


def test_paths_are_those_of_chapter_10(table):
    drawn = ch15.pictures(table.drop(columns="seed"), encode, paths=1).assign(seed=0)
    ours = ch15.path_tables(table, drawn, SETTINGS)
    theirs = ch10.path_tables(ch15.found(table), [0], encode)
    keys = ["method", "lam", "place"]
    both = ours["paths"].merge(theirs["paths"], on=keys, suffixes=("", "_"))
    assert len(both) == len(theirs["paths"]) == 3 * 16
    assert (both["sentence"] == both["sentence_"]).all()
    for name in ("x", "y", "cosine"):
        np.testing.assert_allclose(both[name], both[f"{name}_"], atol=0.0011)
    assert ours["anchors"]["share"].tolist() == theirs["anchors"]["share"].tolist()
    explorers.trajectories(
        ours, lam=1.5, decoding=ch15.decoded(SETTINGS), label="fig-15-x", caption="c"
    )


# ------------------------------------------------------------------ training
def test_lists_are_cut_to_what_is_distinct(table):
    rows = ch15.to_train_on(table, 1.5)
    assert rows == [LISTS["directional", 1.5]] * 2
    assert ch15.to_train_on(table, 0.0) == []  # three distinct sentences


def test_lists_of_people_are_the_books_triplets():
    rows = ch15.by_people(30, 0)
    assert len(rows) == 10 and rows != ch15.by_people(30, 1)
    triplets = field.triplets().set_index("anchor")
    assert all(row[1:] == [triplets["entailment"][row[0]], triplets["contradiction"][row[0]]]
               for row in rows)  # fmt: skip
    assert len(ch15.by_people(10**6, 0)) == len(triplets)


@pytest.fixture(scope="module")
def trained():
    names = ("pocket/simcse-unsup-bert", "pocket/simcse-sup-bert")
    encoders = {name: models.load_encoder(name, device="cpu") for name in names}
    weak, strong = names
    rng = np.random.default_rng(0)
    words = "a man woman dog is sleeping running in the park street".split()
    rows = [[" ".join(rng.choice(words, 6)) for _ in range(5)] for _ in range(6)]
    frame = pd.DataFrame({
        "sentence1": [row[0] for row in rows], "sentence2": [row[1] for row in rows],
        "score": np.arange(6.0),
    })  # fmt: skip
    before = {name: encoders[name].encode(rows[0]) for name in names}
    table = ch15.training(
        encoders, rows[:4], rows[4:], {"few": frame}, SETTINGS, 0,
        bases={"weak": (weak, weak, tuple(ch15.ARMS)), "taught": (weak, strong, ("full",))},
        rates=dict.fromkeys(names, 1e-4),
    )  # fmt: skip
    assert all(np.array_equal(before[name], encoders[name].encode(rows[0])) for name in names)
    return table, encoders, rows, frame


def test_training_has_every_arm_once_and_a_mark_before(trained):
    table, encoders, rows, frame = trained
    assert not table.duplicated(["base", "arm", "task"]).any()
    arms = table.groupby("base", sort=False)["arm"].unique()
    assert [*arms["weak"]] == ["before", *ch15.ARMS] and [*arms["taught"]] == ["before", "full"]
    marks = table.set_index(["base", "arm", "task"])["value"]
    assert marks["weak", "before", "few"] == marks["taught", "before", "few"]
    name = next(iter(encoders))
    phi = [unit_rows(encoders[name].encode(row)) for row in rows[4:]]
    wanted = 100 * np.mean([ch11.misorder(own @ own.T) for own in phi])
    assert marks["weak", "before", "misorder"] == pytest.approx(wanted)
    pairs = zip(*(unit_rows(encoders[name].encode(list(frame[c]))) for c in
                  ("sentence1", "sentence2")), strict=True)  # fmt: skip
    cosines = [a @ b for a, b in pairs]
    assert marks["weak", "before", "few"] == pytest.approx(
        100 * spearmanr(cosines, frame["score"]).statistic
    )


def test_gains_are_differences_from_before(trained):
    table = trained[0].assign(seed=3)
    found = ch15.gains(table)
    assert len(found) == (table["arm"] != "before").sum() and "before" not in set(found["arm"])
    for row in found.itertuples():
        mark = table.set_index(["base", "arm", "task"])["value"]
        assert row.gain == pytest.approx(
            mark[row.base, row.arm, row.task] - mark[row.base, "before", row.task]
        )


def test_post_training_moves_what_it_should(trained):
    """Lists in an order that an encoder does not see: after training on them it sees it better."""
    _, encoders, rows, _ = trained
    encoder = next(iter(encoders.values()))
    after = ch15.post_train(encoder, rows, ch13.encode(encoder), SETTINGS,
                            mode="rank", learning_rate=1e-3, epochs=8)  # fmt: skip
    before = ch15.misorder(ch13.encode(encoder), rows)
    assert ch15.misorder(ch13.encode(after), rows) < before - 5


# ------------------------------------------------------------------ what is recorded
RECORDED = field.recorded("15-lists")
of_every_seed = pytest.mark.parametrize("seed", sorted(set(RECORDED["seed"])))


@of_every_seed
def test_recorded_lists_are_of_captions_that_chose_nothing(seed):
    table = RECORDED[RECORDED["seed"] == seed]
    ways = table.groupby(["method", "lam"], dropna=False).size()
    assert len(ways) == len(ch15.WAYS) and ways.eq(ch15.LISTS["laptop"]).all()
    first = table["sentences"].str.split("\n").str[0]
    starts = first.groupby(table["list"]).nunique()
    assert starts.eq(1).all() and set(first) <= set(field.captions(tried=False))
    said = ch15.sentences(table)
    assert said.loc[said["position"] == 0, "cosine"].eq(1).all()
    assert said["cosine"].between(-1, 1.001).all() and not said["sentence"].str.contains("\n").any()
    longest = said.groupby(["method", "lam", "list"], dropna=False)["position"].max()
    assert longest.max() == ch10.asked_for("directional")


def test_what_was_tried_was_tried_on_the_first_captions():
    tried = field.recorded("15-forms")
    first = tried["sentences"].str.split("\n").str[0]
    assert set(first) <= set(field.captions(tried=True))
    assert list(dict.fromkeys(tried["method"])) == list(ch15.FORMS)
    assert ch15.FORMS[ch15.CHOSEN] == (
        SETTINGS.form, SETTINGS.shots, SETTINGS.register, SETTINGS.lam, SETTINGS.temperature
    )


def test_it_was_chosen_by_the_first_seeds_order_and_the_others_do_not_bear_it_out():
    """What the chapter says of its own choice."""
    tried = field.recorded("15-forms")
    found = ch15.summary(tried).set_index(["method", "seed"])
    order = found["order"].unstack()
    assert list(order.columns) == [0, 1, 2]
    assert list(order.rank(ascending=False).loc[ch15.CHOSEN]) == [1, 3, 5]
    better = set(order.index[order.mean(axis=1) > order.mean(axis=1)[ch15.CHOSEN]])
    assert better == {"text, eight rewritings, λ = 1.5", "chat, the paper's words"}
    mean = order.mean(axis=1).map("{:.2f}".format)
    low, high = (part.map("{:.2f}".format) for part in (order.min(axis=1), order.max(axis=1)))
    assert ch15.choice(tried)["order"].to_dict() == dict(mean + " (" + low + " to " + high + ")")


def test_what_is_said_of_ways_to_ask_holds_on_every_seed():
    tried = field.recorded("15-forms")
    found = ch15.summary(tried).set_index(["method", "seed"])
    order, repeated, far, new = (
        found[name].unstack() for name in ("order", "repeated", "distance", "left")
    )
    greedy, push = ", greedy", ", λ = 1.5"
    for name in ("", push):  # temperature
        assert (repeated.loc[ch15.CHOSEN + name] < repeated.loc[ch15.CHOSEN + greedy + name]).all()
    for name in ("", greedy):  # λ
        assert (repeated.loc[ch15.CHOSEN + name + push] < repeated.loc[ch15.CHOSEN + name]).all()
        assert (far.loc[ch15.CHOSEN + name + push] > far.loc[ch15.CHOSEN + name]).all()
    assert (order.idxmin() == ch15.CHOSEN + greedy).all()
    assert (repeated.loc[ch15.CHOSEN + greedy] >= 75).all()
    assert (far.idxmax() == "text, six entailments").all()
    lists = (new * ch15.TRIED / 100).sum(axis=1)
    assert lists[[name for name in lists.index if name.startswith("chat")]].sum() == 1
    assert lists[ch15.CHOSEN] == 4


def test_a_spread_is_a_mean_with_its_range_and_of_one_seed_the_number_alone():
    found = pd.DataFrame({
        "method": ["a"] * 3 + ["b"] * 3, "lam": [0.5] * 3 + [np.nan] * 3, "seed": [0, 1, 2] * 2,
        "order": [0.5, 0.25, 0.75, np.nan, np.nan, np.nan], "left": [0, 50, 100, 33.3, 33.3, 33.3],
    })  # fmt: skip
    names = {"order": "order", "left": "new %"}
    table = ch15.spread(found, names)
    assert table.loc[("a", 0.5)].tolist() == ["0.50 (0.25 to 0.75)", "50 (0 to 100)"]
    assert table.iloc[1].tolist() == ["–", "33 (33 to 33)"]
    assert ch15.spread(found[found["seed"] == 1], names).iloc[0].tolist() == ["0.25", "50"]


def test_pictures_belong_to_the_lists():
    drawn = field.recorded("15-pictures")
    keys = ["seed", "method", "lam", "list"]
    both = drawn.merge(RECORDED, on=keys, suffixes=("", "_"))
    assert len(both) == len(drawn) and set(drawn["seed"]) == set(RECORDED["seed"])
    for one in both.itertuples():
        ours, theirs = (np.array(x.split(), int) for x in (one.anchor, one.cosines_))
        assert np.abs(ours - theirs[:15]).max() <= 1  # rounded, from two encodings


@of_every_seed
def test_ledgers_measures_are_numbers_of_the_recordings(seed):
    found = ch15.measure_lists(seed)
    table = ch15.summary(field.recorded("15-lists", seed)).set_index(["method", "lam"])
    assert found["15-stuck"] == table.loc[("directional", 0.0), "repeated"]
    assert found["15-lambda"] == (
        table.loc[("directional", 1.5), "order"] - table.loc[("directional", 0.0), "order"]
    )
    assert np.isfinite(list(found.values())).all()


@of_every_seed
def test_gains_of_the_ledger_are_means_over_the_two_sets(seed):
    runs = field.recorded("15-training", seed)
    marks = runs.set_index(["base", "arm", "task"])["value"]
    weak, _, strong = ch15.BASES
    found = ch15.measure_training(seed)
    for claim, base in (("15-table4-unsupervised", weak), ("15-strong-base", strong)):
        wanted = np.mean([
            marks[base, "full", task] - marks[base, "before", task] for task in ("STS-B", "SICK-R")
        ])
        assert found[claim] == pytest.approx(wanted)
    assert np.isfinite(list(found.values())).all()


def test_the_model_writes_what_is_recorded():
    """The first sentences of two lists, with the seed's own dice."""
    generator = field.load("generator", SETTINGS)
    if generator is None:
        pytest.skip("the laptop tier's generator is not here")
    own = RECORDED.query("seed == 0 and method == 'directional' and lam == @SETTINGS.lam")
    known = [text.split("\n")[:4] for text in own.sort_values("list")["sentences"][:2]]
    found = ch15.write(generator, [one[0] for one in known], SETTINGS, "directional", SETTINGS.lam,
                       steps=3, seed=0)  # fmt: skip
    # Processors add in different orders: where two words are nearly equal a list may part.
    same = [a == b for one, other in zip(known, found, strict=True)
            for a, b in zip(one[1:], other[1:], strict=True)]  # fmt: skip
    assert np.mean(same) >= 0.5
