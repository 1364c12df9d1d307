"""The claims registry, the records and the command that measures."""

import ast
import functools
import json
import math
import re
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthlib import ledger, paths
from synthlib.ledger import closure, measuring, records, shown

CLAIM = "02-judge-spearman"  # value >= 83, points
OTHER = "02-nli-accuracy"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Records of a test go to its own folder, and its measuring functions are forgotten."""
    monkeypatch.setattr(records, "LIVE", tmp_path / "live")
    monkeypatch.setattr(records, "MEASURED", tmp_path / "measured")
    monkeypatch.setattr(records, "READ", set())
    monkeypatch.setattr(measuring, "import_measures", lambda: None)
    # a test must not depend on whether a source is edited while it runs
    monkeypatch.setattr(closure, "whole", lambda: "now")
    monkeypatch.setattr(closure, "present", lambda claim: "now")
    monkeypatch.setattr(measuring, "REGISTRY", {})
    return tmp_path


# ------------------------------------------------------------------ the registry
def test_registry_is_well_formed():
    registry = ledger.claims()
    assert registry.index.is_unique
    for claim, row in registry.iterrows():
        assert re.fullmatch(r"\d\d-[a-z0-9]+(-[a-z0-9]+)*", claim), claim
        assert int(claim[:2]) == row.chapter, claim
        assert row.statement.endswith((".", "oracle.")) and "\n" not in row.statement, claim
        assert row.unit in {*shown.DECIMALS, "minutes"}, claim
        ledger.judge(row.rule, 0.0, row.bar)  # every rule can be applied
        assert ("bar" in row.rule) == (not math.isnan(row.bar)), claim
    assert set(registry.chapter) - set(ledger.FIELD) == set(range(13))


# ------------------------------------------------------------------ claims on real language
FIELD = "13-judge-spearman"


@pytest.fixture
def with_field(tmp_path, monkeypatch):
    """The registry of the pocket world, with the rows that are added."""
    lines = (paths.DATA / "ledger" / "claims.csv").read_text("utf-8").splitlines(keepends=True)
    field = tuple(f"{chapter}-" for chapter in ledger.FIELD)
    text = "".join(line for line in lines if not line.startswith(field))

    def add(*rows):
        file = tmp_path / "claims.csv"
        file.write_text(text + "".join(f"{row}\n" for row in rows), "utf-8")
        monkeypatch.setattr(ledger.registry, "CLAIMS", file)

    return add


def row_of(claim, of, chapter=13):
    return f"{claim},{chapter},book,Chapter 13,Judges judge.,,points,value >= bar,60,{of}"


@pytest.mark.parametrize("row,said", [
    (row_of("13-a", "02-judge"), "field_of of 13-a names 02-judge, no claim of the pocket world"),
    (row_of("13-a", f"{CLAIM} 13-a"), "field_of of 13-a names 13-a, no claim of the pocket"),
    (row_of("02-a", CLAIM, 2), "02-a is no claim on real language, its field_of is 02-judge"),
])  # fmt: skip
def test_what_a_claim_asks_again_is_a_claim_of_the_pocket_world(with_field, row, said):
    with_field(row)
    with pytest.raises(ValueError, match=said):
        ledger.claims()


def test_a_claim_on_real_language_shows_its_tier_and_the_pocket_figure(with_field):
    with_field(row_of(FIELD, f"{CLAIM} {OTHER}"), row_of("13-alone", ""))
    assert (ledger.claims(13)["field_of"] == [f"{CLAIM} {OTHER}", ""]).all()
    measured(CLAIM, 84.0, 86.0, fingerprint="now")
    records.write(
        records.MEASURED, FIELD, [50.0, 70.0], (0, 1), tier="laptop", fingerprint="before"
    )
    assert list(ledger.table(13)["tier"].fillna("")) == ["laptop", ""]
    shown_here = ledger.show(chapter=13)
    first, second = shown_here.frame.to_dict("records")
    assert first["we measured"] == "60.0 ± 14.1 (laptop, 2 seeds, older code)"
    assert first["in the pocket world"] == "85.0 ± 1.4 (2 seeds): yes; not yet measured"
    assert second["in the pocket world"] == "" and second["we measured"] == "not yet measured"
    for text in (repr(shown_here), shown_here._repr_html_()):
        assert "laptop, 2 seeds, older code" in text and "85.0 ± 1.4 (2 seeds): yes" in text
    assert "in the pocket world" not in ledger.show(CLAIM).frame
    assert "in the pocket world" not in repr(ledger.show("13-alone"))


def test_a_claim_on_a_recording_is_verified_from_it_and_says_its_minutes(
    with_field, tmp_path, monkeypatch
):
    """The recording is data of the claim: another one makes the figure older, to be run again."""
    with_field(row_of(FIELD, CLAIM))
    folder = tmp_path / "data" / "field" / "recorded"
    folder.mkdir(parents=True)
    (folder / "13-judge.csv").write_text("seed,right\n0,60\n1,62\n")
    runs = {"0": {"minutes": 1.25}, "1": {"minutes": 2.5}}
    (folder / "13-judge.json").write_text(json.dumps({"recording": "13-judge", "seeds": runs}))
    (tmp_path / "synthlib").mkdir()
    (tmp_path / "synthlib" / "__init__.py").write_text("")
    (tmp_path / "synthlib" / "ch13.py").write_text(
        "from synthlib import ledger\n"
        f'@ledger.measure("{FIELD}", reads=("data/field/recorded/13-judge.csv",), tier="laptop")\n'
        "def judge(seed):\n    return read(seed)\n"
    )
    package = functools.partial(closure.Package, tmp_path)  # read anew at each call
    monkeypatch.setattr(closure, "here", package)
    monkeypatch.setattr(closure, "present", lambda claim: package().fingerprint_of(claim))
    monkeypatch.setattr(paths, "DATA", tmp_path / "data")

    @ledger.measure(FIELD, reads=("data/field/recorded/13-judge.csv",), tier="laptop")
    def judge(seed):
        return pd.read_csv(folder / "13-judge.csv").set_index("seed")["right"][seed]

    assert ledger.run([FIELD], seeds=(0, 1)) == []
    assert (state_of(FIELD), ledger.table().loc[FIELD, "tier"]) == ("fresh", "laptop")
    assert ledger.table().loc[FIELD, "recorded"] == 3.75
    (folder / "13-judge.csv").write_text("seed,right\n0,60\n1,62\n2,64\n")
    assert state_of(FIELD) == "older code"
    assert ledger.main(["--verify", "--claims", FIELD]) == 0
    assert state_of(FIELD) == "verified at one seed"
    (folder / "13-judge.csv").write_text("seed,right\n0,61\n1,62\n2,64\n")
    assert ledger.main(["--verify", "--claims", FIELD]) == 0
    assert state_of(FIELD) == "older code"
    assert ledger.table().loc[FIELD, "differs"].endswith(": 60 recorded, 61 now")


def test_papers_named_are_ours_or_in_the_bibliography(root):
    keys = set(re.findall(r"@\w+\{([^,]+),", (root / "book/references.bib").read_text("utf-8")))
    named = set(ledger.claims().paper) - {"book", *ledger.PAPERS}
    assert named <= keys


# Tables that hold prompts, and figures that are drawings: nothing in them can be measured.
NOT_MEASURABLE = {("art", "Table 1"), ("art", "Fig. 1"), ("multicsr", "Fig. 2")}
FIGURES = {"multicsr": 8, "art": 1, "ranking-sentences": 3}


def test_every_table_and_figure_of_the_papers_has_a_claim():
    where = ledger.claims().groupby("paper")["where"].agg("; ".join)
    tables = {
        (f.stem.rpartition("_table")[0], f"Table {int(f.stem[-2:])}")
        for f in (paths.DATA / "papers").glob("*_table*.csv")
    }
    figures = {(p, f"Fig. {i}") for p, n in FIGURES.items() for i in range(1, n + 1)}
    missing = {
        (p, what) for p, what in tables | figures if not re.search(rf"{what}(?!\d)", where[p])
    }
    assert missing == NOT_MEASURABLE


@pytest.mark.parametrize("paper", ledger.PAPERS)
def test_the_papers_values_are_numbers_that_the_papers_print(paper):
    printed = {v for t in range(1, 13) if (f := _table(paper, t)) is not None for v in f.value}
    printed |= {f"{v:g}" for v in ledger.paper_numbers(paper).value.dropna()}
    printed = {f"{float(v):g}" for v in printed if v not in ("", None)}
    # Digits of a symbol, a name, a count of rows, a share of what a table lists.
    free = {"8 of 8", "4 of 4", "20,000", "24.32 M", "64 M"}
    for claim, row in ledger.claims().query("paper == @paper").iterrows():
        text = row.paper_value
        for word in free:
            text = text.replace(word, "")
        for value in re.findall(r"(?<![\w.])\d[\d,]*\.?\d*", text):
            assert f"{float(value.replace(',', '')):g}" in printed, (claim, value)


def _table(paper, table):
    file = paths.DATA / "papers" / f"{paper}_table{table:02d}.csv"
    return pd.read_csv(file, dtype=str, keep_default_na=False) if file.is_file() else None


# ------------------------------------------------------------------ rules
@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_rules_agree_with_python(value, bar):
    for operator in (">=", "<=", ">", "<"):
        expected = eval(f"value {operator} bar", {"value": value, "bar": bar})
        assert ledger.judge(f"value {operator} bar", value, bar) is expected
    assert ledger.judge("-0.5 <= value <= 0.5", value) is (-0.5 <= value <= 0.5)
    assert ledger.judge("report", value) is None


@pytest.mark.parametrize("rule", ["value", "value == 3", "__import__('os')", "bar <= value >", ""])
def test_other_rules_are_refused(rule):
    with pytest.raises(ValueError, match="wanted 'report'"):
        ledger.judge(rule, 1.0, 1.0)


def test_a_rule_without_its_bar_is_refused():
    with pytest.raises(ValueError, match="needs a bar"):
        ledger.judge("value >= bar", 1.0)


# ------------------------------------------------------------------ recording
def test_a_record_holds_value_seeds_and_provenance(folders):
    ledger.record(CLAIM, [85.0, 85.5, 86.0], seeds=(0, 1, 2), minutes=1.5)
    entry = json.loads((folders / "live" / f"{CLAIM}.json").read_text())
    assert (entry["value"], entry["spread"], entry["seeds"]) == (85.5, 0.5, [0, 1, 2])
    assert (entry["tier"], entry["minutes"], entry["unit"]) == ("pocket", 1.5, "points")
    assert {"date", "commit", "dirty", "versions", "device", "vectors"} <= set(entry)
    assert entry["fingerprint"] == "now" and entry["precision"] and entry["processor"]
    assert [f.name for f in (folders / "live").iterdir()] == [f"{CLAIM}.json"]


def test_one_value_a_seed_gives_mean_and_sample_deviation():
    entry = ledger.record(CLAIM, [82, 84, 86], seeds=(3, 1, 2))
    assert entry["value"] == 84 and entry["spread"] == 2
    assert entry["values"] == {"3": 82, "1": 84, "2": 86}


def test_unknown_claim_names_the_nearest():
    with pytest.raises(ValueError, match="unknown claim '02-judge-spearmen': did you mean 02-jud"):
        ledger.record("02-judge-spearmen", 1.0)
    with pytest.raises(ValueError, match=r"see data/ledger/claims\.csv"):
        ledger.record("#", 1.0)


@pytest.mark.parametrize("arguments,fault", [
    (dict(value=math.nan), "not finite"),
    (dict(value=[1.0, math.inf], seeds=(0, 1)), "not finite"),
    (dict(value=1.0, seeds=()), "at least one"),
    (dict(value=1.0, seeds=(1, 1)), "distinct"),
    (dict(value=[1.0, 2.0], seeds=(0, 1, 2)), "2 values for 3 seeds"),
    (dict(value=1.0, seeds=(0, 1, 2)), "1 values for 3 seeds"),
    (dict(value=1.0, minutes=-1), "minutes"),
])  # fmt: skip
def test_bad_records_are_refused_and_leave_nothing_behind(folders, arguments, fault):
    with pytest.raises(ValueError, match=f"{CLAIM}.*{fault}"):
        ledger.record(CLAIM, **arguments)
    assert not (folders / "live").exists()


def test_concurrent_records_do_not_clash(folders):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ledger.record, [CLAIM, OTHER] * 8, map(float, range(16))))
    names = sorted(f.name for f in (folders / "live").iterdir())
    assert names == [f"{CLAIM}.json", f"{OTHER}.json"]
    for claim in (CLAIM, OTHER):
        assert records.read(records.LIVE, claim)["claim"] == claim


def test_a_damaged_record_is_named(folders):
    ledger.record(CLAIM, 1.0)
    (folders / "live" / f"{CLAIM}.json").write_text('{"claim":')
    with pytest.raises(ValueError, match=f"{CLAIM}.json is damaged.*delete it"):
        ledger.table(2)


# ------------------------------------------------------------------ the table
def test_unmeasured_claims_say_so():
    full = ledger.table()
    assert len(full) == len(ledger.claims()) and (full["holds"] == "not yet measured").all()
    assert list(ledger.summary(CLAIM)["we measured"]) == ["not yet measured"]


@pytest.mark.parametrize("values,holds", [
    ([83, 84, 85], "yes"), ([80, 84, 85], "on 2 of 3 seeds"), ([70, 71, 72], "no"),
])  # fmt: skip
def test_a_claim_is_judged_seed_by_seed(values, holds):
    ledger.record(CLAIM, values, seeds=(0, 1, 2))
    assert ledger.table(2).loc[CLAIM, "holds"] == f"{holds} (live)"


def test_committed_measurements_are_judged_before_live_ones():
    ledger.record(CLAIM, 90.0)
    records.write(records.MEASURED, CLAIM, [80.0, 81.0, 82.0], (0, 1, 2), fingerprint="now")
    row = ledger.table(2).loc[CLAIM]
    assert (row["value"], row["spread"], row["seeds"], row["live"]) == (81.0, 1.0, 3, 90.0)
    assert row["holds"] == "no"
    text = ledger.summary(CLAIM)["we measured"].iloc[0]
    assert text == "81.0 ± 1.0 (3 seeds) · 90.0 (live)"


def test_live_records_of_other_code_are_not_shown(monkeypatch):
    ledger.record(CLAIM, 90.0)
    monkeypatch.setattr(closure, "whole", lambda: "another")
    assert ledger.table(2).loc[CLAIM, "holds"] == "not yet measured"


def test_claims_that_only_report_are_not_judged():
    ledger.record("02-t5-entailment", 60.0)
    assert ledger.table(2).loc["02-t5-entailment", "holds"] == "reported (live)"


def test_a_claim_whose_baseline_is_a_convention_has_no_verdict():
    claim = "10-fig1-directional"
    ledger.record(claim, 0.2)
    row = ledger.table(10).loc[claim]
    assert row["holds"] == "not testable here (live)" and ledger.condition(row) == ""
    assert ledger.judge("not testable", 0.2) is None


def test_table_of_a_chapter_without_claims_is_empty():
    assert len(ledger.table(99)) == 0


def test_a_claims_source_and_condition_are_in_words():
    rows = ledger.claims()
    assert ledger.source(rows.loc["06-table3-stage1"]) == "Table 3: 85.82 → 84.06"
    assert ledger.source(rows.loc[CLAIM]) == "a claim of this book"
    conditions = rows.apply(ledger.condition, axis=1)
    assert conditions[CLAIM] == "≥ 83" and conditions[OTHER] == "≥ 94 %"
    assert conditions["02-t5-entailment"] == ""
    assert conditions["03-fig6-peak"] == "0.2 to 0.4"
    assert conditions["06-table9-demonstrations"] == "−0.5 to 0.5"
    assert not conditions.str.contains("value|bar|=").any()


def test_show_escapes_and_reads_as_text(monkeypatch):
    altered = ledger.claims()
    altered.loc[CLAIM, "statement"] = "<script>alert(1)</script> & more."
    monkeypatch.setattr(shown, "claims", lambda chapter=None: altered)
    table = ledger.show(CLAIM)
    page = table._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more." in page
    assert "holds here? not yet measured" in repr(table)
    with pytest.raises(ValueError, match="unknown claim"):
        ledger.show("99-nothing")
    with pytest.raises(ValueError, match="chapter=1"):
        ledger.show()


@pytest.mark.parametrize("value,unit,spread,text", [
    (85.249, "points", 0.31, "85.2 ± 0.3"), (94.0, "percent", None, "94.0 %"),
    (-0.5, "cosine", 0.01, "−0.500 ± 0.010"), (3.0, "count", None, "3"), (1.3, "x", None, "1.30×"),
    (1.95, "x", 0.06, "1.95 ± 0.06×"), (2.0, "times as long", None, "2.00×"),
    (math.nan, "points", None, ""),
])  # fmt: skip
def test_numbers_read_well(value, unit, spread, text):
    assert ledger.number(value, unit, spread) == text


@pytest.mark.parametrize("low,high,unit,text", [
    (1.81, 2.1, "x", "1.81 to 2.10×"), (83.94, 86.0, "percent", "83.9 to 86.0 %"),
    (-1.26, 0.31, "points", "−1.3 to 0.3"), (0.5, 2.0, "seconds", "0.5 to 2.0 s"),
])  # fmt: skip
def test_a_range_has_its_unit_once(low, high, unit, text):
    assert ledger.between(low, high, unit) == text


def test_no_cell_of_the_ledger_multiplies():
    """"0.06 × (3 seeds)" is a product: a sign that follows a number stands close to it."""
    ledger.records.write(
        ledger.records.MEASURED, "10-length", [1.9, 2.0, 2.1], (0, 1, 2), fingerprint="now",
        tier="pocket", minutes=1.0,
    )  # fmt: skip
    table = ledger.table()
    ratios = table[table["unit"].isin(["x", "times as long"])]
    assert ledger.measured(table.loc["10-length"]).startswith("2.00 ± 0.10× (3 seeds")
    judged = [c for c in map(ledger.condition, ratios.iloc) if c]
    assert judged and all(re.fullmatch(r"[<>≤≥] [\d.]+×", c) for c in judged), judged


# ------------------------------------------------------------------ measuring
def test_measured_over_seeds_then_skipped_then_forced(capsys):
    calls = []

    @ledger.measure(CLAIM)
    def judge_quality(seed):
        calls.append(seed)
        return 84.0 + seed

    assert ledger.main(["--claims", CLAIM, "--seeds", "0", "1"]) == 0
    assert calls == [0, 1]
    entry = records.read(records.MEASURED, CLAIM)
    assert entry["values"] == {"0": 84.0, "1": 85.0} and entry["value"] == 84.5
    # a third seed joins; those measured are not measured again
    assert ledger.main(["--seeds", "0", "1", "2"]) == 0
    assert calls == [0, 1, 2] and "already measured" in capsys.readouterr().out
    assert len(records.read(records.MEASURED, CLAIM)["values"]) == 3
    assert ledger.main(["--seeds", "0", "1", "--force"]) == 0
    assert calls == [0, 1, 2, 0, 1]
    assert list(records.read(records.MEASURED, CLAIM)["values"]) == ["0", "1"]


def test_changed_code_is_measured_again(monkeypatch):
    calls = []
    ledger.measure(CLAIM)(lambda seed: calls.append(seed) or 84.0)
    ledger.run(seeds=(0, 1))
    monkeypatch.setattr(closure, "present", lambda claim: "changed")
    ledger.run(seeds=(0,))
    assert calls == [0, 1, 0]
    # nothing of the old code's seeds is mixed in
    assert records.read(records.MEASURED, CLAIM)["values"] == {"0": 84.0}


def test_what_was_verified_is_not_measured_again(monkeypatch):
    calls = []
    ledger.measure(CLAIM)(lambda seed: calls.append(seed) or 84.0)
    ledger.run(seeds=(0, 1))
    monkeypatch.setattr(closure, "present", lambda claim: "changed")
    ledger.verify([CLAIM])
    ledger.run(seeds=(0, 1))
    assert calls == [0, 1, 0]
    assert records.read(records.MEASURED, CLAIM)["values"] == {"0": 84.0, "1": 84.0}


def test_one_function_for_several_claims_resumes_after_an_interruption():
    calls = []

    @ledger.measure(CLAIM, OTHER)
    def both(seed):
        calls.append(seed)
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return {CLAIM: 84.0, OTHER: 95.0}

    assert ledger.main(["--seeds", "0", "1", "2"]) == 130
    assert records.read(records.MEASURED, OTHER)["seeds"] == [0]
    assert ledger.main(["--seeds", "0", "1", "2"]) == 0
    assert calls == [0, 1, 1, 2]
    assert records.read(records.MEASURED, OTHER)["seeds"] == [0, 1, 2]


def test_a_failure_is_reported_and_the_others_are_measured(capsys):
    @ledger.measure(CLAIM)
    def broken(seed):
        return math.nan

    @ledger.measure(OTHER)
    def sound(seed):
        return 95.0

    assert ledger.main(["--seeds", "0"]) == 1
    assert "broken seed 0: ValueError: 02-judge-spearman" in capsys.readouterr().err
    assert records.read(records.MEASURED, CLAIM) is None
    assert records.read(records.MEASURED, OTHER)["value"] == 95.0


def test_a_function_must_return_what_it_is_registered_for(capsys):
    ledger.measure(CLAIM, OTHER)(lambda seed: {CLAIM: 1.0})
    assert ledger.main(["--seeds", "0"]) == 1
    assert "registered for" in capsys.readouterr().err


def test_registering_checks_its_claims():
    with pytest.raises(ValueError, match="unknown claim"):
        ledger.measure("02-nothing-like-it-at-all")
    with pytest.raises(ValueError, match="at least one"):
        ledger.measure()

    @ledger.measure(CLAIM)
    def first(seed):
        return 1.0

    with pytest.raises(ValueError, match="already measured by .*first"):

        @ledger.measure(CLAIM)
        def second(seed):
            return 2.0


def test_command_line_names_what_is_wrong(capsys):
    with pytest.raises(SystemExit) as stop:
        ledger.main(["--claims", CLAIM])
    assert stop.value.code == 2
    assert f"{CLAIM} has no measuring function yet" in capsys.readouterr().err


def test_listing_shows_every_claim(capsys):
    ledger.measure(CLAIM)(lambda seed: 84.0)
    assert ledger.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ledger.claims())
    assert f"{CLAIM:32} {'':>18}  not yet measured, ready to be" in lines


def test_export_writes_the_whole_ledger(tmp_path):
    ledger.record(CLAIM, 84.0)
    frame = pd.read_csv(ledger.export(tmp_path / "site" / "ledger.csv"), index_col="id")
    assert len(frame) == len(ledger.claims()) and frame.loc[CLAIM, "live"] == 84.0
    assert [f.name for f in (tmp_path / "site").iterdir()] == ["ledger.csv"]


def test_committed_measurements_belong_to_claims():
    folder = paths.DATA / "ledger" / "measured"
    for file in folder.glob("*.json"):
        entry = json.loads(file.read_text("utf-8"))
        assert entry["claim"] == file.stem and file.stem in ledger.claims().index
        assert math.isfinite(entry["value"]) and entry["seeds"]
        assert entry.get("again", "with ").startswith(("with ", "at ")), file.stem


def test_rows_are_kept_by_seed_with_their_origin(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "MEASURED", tmp_path)
    curve = pd.DataFrame({"omega": [0.0, 0.3], "right": [64.5, 73.4], "note": ["", "peak"]})
    ledger.keep_rows("03-omega", 1, curve)
    ledger.keep_rows("03-omega", 0, curve)
    ledger.keep_rows("03-omega", 1, curve.assign(right=[60.0, 70.0]))  # measured again
    found = ledger.rows("03-omega")
    assert list(found["seed"]) == [0, 0, 1, 1]
    assert list(found["right"]) == [64.5, 73.4, 60.0, 70.0]
    assert found.attrs["seeds"] == [0, 1] and found.attrs["commit"]
    ledger.keep_rows("03-omega", 2, curve.drop(columns="note"))  # another table: none is mixed
    assert list(ledger.rows("03-omega")["seed"]) == [2, 2]


@pytest.mark.parametrize(
    ("name", "rows", "said"),
    [
        ("omega", pd.DataFrame({"a": [1]}), "named like"),
        ("03-../x", pd.DataFrame({"a": [1]}), "named like"),
        ("03-omega", pd.DataFrame({"a": []}), "must not be empty"),
        ("03-omega", pd.DataFrame({"seed": [1]}), "of their own"),
    ],
)
def test_rows_refuse_what_cannot_be_kept(tmp_path, monkeypatch, name, rows, said):
    monkeypatch.setattr(records, "MEASURED", tmp_path)
    with pytest.raises(ValueError, match=said):
        ledger.keep_rows(name, 0, rows)
    with pytest.raises(ValueError, match="were measured"):
        ledger.rows("03-nothing")


# ------------------------------------------------------------------ state, and one seed again
def measured(claim, *values, fingerprint="before", **more):
    """A record in this test's folder."""
    entry = records.write(
        records.MEASURED, claim, values, range(len(values)), fingerprint=fingerprint,
        minutes=3.0,
    )  # fmt: skip
    records.store(records.MEASURED, entry | more)


def state_of(claim):
    return ledger.table().loc[claim, "state"]


def test_a_record_is_fresh_verified_or_older(monkeypatch):
    assert state_of(CLAIM) == "not yet measured"
    measured(CLAIM, 84.0, fingerprint="now")
    assert state_of(CLAIM) == "fresh"
    monkeypatch.setattr(closure, "present", lambda claim: "later")
    assert state_of(CLAIM) == "older code"
    stamp = {"fingerprint": "later", "seed": 0, "date": "2026-11-29"}
    measured(CLAIM, 84.0, verified=stamp)
    assert state_of(CLAIM) == "verified at one seed"
    monkeypatch.setattr(closure, "present", lambda claim: "later still")
    assert state_of(CLAIM) == "older code"
    # no fingerprint on either side is no agreement
    monkeypatch.setattr(closure, "present", lambda claim: None)
    measured(CLAIM, 84.0, fingerprint=None)
    assert state_of(CLAIM) == "older code"


def test_verifying_stamps_what_is_the_same_and_says_what_is_not(capsys):
    @ledger.measure(CLAIM, OTHER)
    def both(seed):
        assert seed == 0, "one seed is enough"
        return {CLAIM: 84.1234567, OTHER: 95.002}

    measured(CLAIM, 84.123457, 80.0)
    measured(OTHER, 95.0, 96.0)
    assert ledger.main(["--verify"]) == 0
    out = capsys.readouterr().out
    assert "2 claims by 1 functions to run at one seed, about 1.5 minutes as recorded" in out
    assert f"{CLAIM:32} 84.123457, the same: stamped" in out
    assert f"{OTHER:32} differs: 95 recorded, 95.002 now" in out
    assert (state_of(CLAIM), state_of(OTHER)) == ("verified at one seed", "older code")
    kept = records.read(records.MEASURED, CLAIM)
    assert kept["values"] == {"0": 84.123457, "1": 80.0} and kept["fingerprint"] == "before"
    stamp = kept["verified"]
    assert stamp["fingerprint"] == "now" and stamp["seed"] == 0
    assert {"date", "commit", "precision", "processor", "minutes"} <= set(stamp)
    assert records.read(records.MEASURED, OTHER)["differs"]["value"] == 95.002


@pytest.mark.parametrize("now,state", [
    (41.408294, "verified at one seed"), (41.4091, "verified at one seed"), (41.4093, "older code"),
])  # fmt: skip
def test_a_figure_within_the_tolerance_is_the_same_and_says_how_far_off(now, state):
    """What one encoder's Spearman was without AVX2 and is with it; and on both sides of 0.001."""
    ledger.measure(CLAIM)(lambda seed: now)
    measured(CLAIM, 41.4082)
    ledger.verify()
    assert state_of(CLAIM) == state
    kept = records.read(records.MEASURED, CLAIM)
    assert kept["values"] == {"0": 41.4082}, "the measured value stays"
    if state == "verified at one seed":
        assert kept["verified"]["off"] == pytest.approx(now - 41.4082)
        off = {41.408294: "9e-05", 41.4091: "0.0009"}[now]
        assert ledger.table().loc[CLAIM, "verified"].endswith(f", {off} off")
    else:
        assert ledger.table().loc[CLAIM, "differs"].endswith(f": 41.4082 recorded, {now} now")


@pytest.mark.parametrize("now,state", [
    (1.050, "verified at one seed"), (0.952, "verified at one seed"), (1.057, "older code"),
])  # fmt: skip
def test_a_figure_of_a_clock_may_be_a_twentieth_off(now, state):
    claim = "05-table12-time"
    ledger.measure(claim, "05-table12-memory")(
        lambda seed: {claim: now, "05-table12-memory": 1.001}
    )
    measured(claim, 1.002)
    measured("05-table12-memory", 1.0)
    ledger.verify()
    assert state_of(claim) == state
    assert state_of("05-table12-memory") == "older code", "no clock gives it, so 1.001 differs"


def test_what_is_to_be_measured_in_another_way_is_not_verified_and_says_so(capsys):
    calls = []
    ledger.measure(CLAIM)(lambda seed: calls.append(seed) or 84.0)
    measured(CLAIM, 84.0, again="with more pairs")
    assert ledger.main(["--verify"]) == 0
    assert calls == []
    assert "left out: 1 claims to be measured again in another way" in capsys.readouterr().out
    assert ledger.main(["--status"]) == 0
    assert "older code" in (out := capsys.readouterr().out)
    assert "to be measured again with more pairs" in out
    ledger.verify(force=True)
    assert calls == [0] and ledger.table().loc[CLAIM, "again"] == "with more pairs"
    ledger.run(seeds=(0, 1), force=True)  # measured anew, the mark is gone
    assert ledger.table().loc[CLAIM, "again"] == ""


def test_verifying_goes_on_where_it_stopped():
    calls = []

    @ledger.measure(CLAIM)
    def first(seed):
        calls.append("first")
        return 84.0

    @ledger.measure(OTHER)
    def second(seed):
        calls.append("second")
        if calls == ["first", "second"]:
            raise KeyboardInterrupt
        return 0.0  # another figure: known to differ, and not run again

    measured(CLAIM, 84.0)
    measured(OTHER, 95.0)
    assert ledger.main(["--verify"]) == 130
    assert ledger.main(["--verify"]) == 0
    assert ledger.main(["--verify"]) == 0
    assert calls == ["first", "second", "second"]
    assert ledger.main(["--verify", "--force", "--claims", CLAIM]) == 0
    assert calls[-1] == "first"


def test_verifying_takes_the_same_precision_and_no_longer_than_asked(monkeypatch, capsys):
    from synthlib import models

    monkeypatch.setattr(models, "training_precision", lambda: "bf16")
    measured(CLAIM, 84.0)
    monkeypatch.setattr(models, "training_precision", lambda: "fp32")
    measured(OTHER, 95.0)
    for claim in (CLAIM, OTHER):
        ledger.measure(claim)(lambda seed: pytest.fail("not to be run"))
        monkeypatch.setattr(measuring, "REGISTRY", dict(measuring.REGISTRY))
    assert ledger.main(["--verify", "--at-most", "2.9"]) == 0
    out = capsys.readouterr().out
    assert "1 claims that take longer" in out
    assert "1 claims whose trainings were in another precision" in out
    # forced, the same figure in another precision is told and not stamped
    measuring.REGISTRY.clear()
    ledger.measure(CLAIM, OTHER)(lambda seed: {CLAIM: 84.0, OTHER: 95.0})
    assert ledger.main(["--verify"]) == 0
    assert "differs: bf16 then, fp32 now" in capsys.readouterr().out
    assert (state_of(CLAIM), state_of(OTHER)) == ("older code", "verified at one seed")


def test_a_failed_verification_leaves_the_record_as_it_was(capsys):
    ledger.measure(CLAIM)(lambda seed: 1 / 0)
    ledger.measure(OTHER)(lambda seed: 95.0)
    measured(CLAIM, 84.0)
    measured(OTHER, 95.0)
    before = records.read(records.MEASURED, CLAIM)
    assert ledger.main(["--verify"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert records.read(records.MEASURED, CLAIM) == before
    assert state_of(OTHER) == "verified at one seed"


def test_rows_are_compared_and_never_overwritten_by_a_verification(capsys):
    value = [73.25]

    @ledger.measure(CLAIM)
    def curve(seed):
        rows = pd.DataFrame({"omega": [0.0, 0.3], "right": [64.5, value[0]], "text": ["", "a,b"]})
        ledger.keep_rows("02-curve", seed, rows)
        return 84.0

    ledger.run(seeds=(0, 1))
    about = ledger.rows("02-curve").attrs
    assert (about["claim"], about["fingerprint"]) == (CLAIM, "now")
    assert records.state_of_rows("02-curve") == "fresh"
    file = records.MEASURED / "rows" / "02-curve.csv"
    text = file.read_text()
    measured(CLAIM, 84.0, 84.0)
    records.replace(file.with_suffix(".json"), json.dumps(about | {"fingerprint": "before"}))
    assert records.state_of_rows("02-curve") == "older code"
    ledger.verify()
    assert records.state_of_rows("02-curve") == "verified at one seed"
    value[0] = 73.26
    measured(CLAIM, 84.0, 84.0)
    records.replace(file.with_suffix(".json"), json.dumps(about | {"fingerprint": "before"}))
    ledger.verify()
    assert "not the same to the last digit: 02-curve" in capsys.readouterr().out
    assert records.state_of_rows("02-curve") == "older code"
    assert file.read_text() == text
    # measured again, no row of the older code stays among them
    ledger.run(seeds=(2,))
    assert list(ledger.rows("02-curve")["seed"]) == [2, 2]


def test_status_lists_each_claim_and_counts_the_states(capsys):
    measured(CLAIM, 84.0, fingerprint="now")
    measured(OTHER, 95.0, processor=None, precision=None)
    assert ledger.main(["--status"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"{len(ledger.claims())} claims: 1 fresh, 1 older code"
    by = {line.split()[0]: line for line in lines if line}
    entry = records.read(records.MEASURED, CLAIM)
    for word in ("fresh", entry["date"], entry["commit"], entry["precision"], entry["processor"]):
        assert word in by[CLAIM]
    assert "older code" in by[OTHER] and by[OTHER].count("not noted") == 2
    assert len(lines) == len(ledger.claims()) + 2
    assert ledger.main(["--status", "--claims", OTHER]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 claims: 1 older code"


# ------------------------------------------------------------------ what chapters show
def _shown_by(chapter):
    """A chapter's calls of `ledger`, as (name, arguments, keywords)."""
    tree = ast.parse(chapter.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == "ledger":
                keywords = {k.arg: ast.literal_eval(k.value) for k in node.keywords
                            if isinstance(k.value, ast.Constant)}  # fmt: skip
                yield node.func.attr, node.args, keywords


CHAPTERS = sorted((paths.ROOT / "book" / "chapters").glob("[0-9]*.py")) if paths.ROOT else []


@pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda path: path.stem)
def test_no_chapter_shows_a_stale_row_unmarked(chapter, folders, monkeypatch):
    """The committed records in a copy, one row after another made stale, and read as shown."""
    calls = list(_shown_by(chapter))
    committed = paths.DATA / "ledger" / "measured"
    claims = [c for c in ledger.claims(int(chapter.name[:2])).index
              if (committed / f"{c}.json").is_file()]  # fmt: skip
    tables = [keywords for name, _, keywords in calls if name == "show" and "chapter" in keywords]
    given = {
        argument.value for name, arguments, _ in calls if name == "show"
        for argument in arguments if isinstance(argument, ast.Constant)
    }  # fmt: skip
    # Values reach a reader through show alone, whose tables carry the mark.
    reads = {name for name, *_ in calls} - {
        "record", "rows", "claims", "paper_table", "mean_and_interval",  # of rows
    }
    assert reads <= {"show"}
    assert tables or given or ledger.claims(int(chapter.name[:2])).empty
    assert "data/ledger" not in chapter.read_text("utf-8")
    fingerprints = {}
    for claim in claims:
        entry = records.read(committed, claim)
        entry = {k: v for k, v in entry.items() if k not in ("verified", "differs")}
        records.store(records.MEASURED, entry | {"fingerprint": f"of {claim}"})
        fingerprints[claim] = f"of {claim}"
    monkeypatch.setattr(closure, "present", fingerprints.get)
    show = [lambda options=options: ledger.show(**options) for options in tables]
    if given:
        show.append(lambda: ledger.show(*sorted(given)))
    for table in show:
        assert "older code" not in table()._repr_html_() + repr(table())
    statements = ledger.claims()["statement"]
    for claim in claims:
        fingerprints[claim] = "of other code"
        for table in show:
            shown_here = table()
            marked = shown_here.frame["we measured"].str.contains("older code")
            rows = shown_here.frame["claim"] == statements[claim]
            assert marked.equals(rows), claim
            if rows.any():
                page, text = shown_here._repr_html_(), repr(shown_here)
                marks = [re.findall(r"seeds?, older code\)", said) for said in (page, text)]
                assert [len(found) for found in marks] == [1, 1]
                assert "has not been confirmed with the present code" in page
                assert "has not been confirmed with the present code" in text
        fingerprints[claim] = f"of {claim}"


def test_a_chapters_table_names_the_older_rows_behind_its_figures(monkeypatch):
    curve = pd.DataFrame({"a": [1.5]})
    for name, fingerprint in [("02-new", "now"), ("02-old", "before"), ("02-unread", "before")]:
        with records.measuring(CLAIM, fingerprint):
            ledger.keep_rows(name, 0, curve)
    assert "drawn from rows" not in repr(ledger.show(chapter=2))
    ledger.rows("02-new")
    ledger.rows("02-old")
    note = "Figures above drawn from rows of older code: 02-old."
    assert note in repr(ledger.show(chapter=2)) and note in ledger.show(chapter=2)._repr_html_()


def test_the_interval_over_seeds_is_students():
    """Three seeds: t of two degrees of freedom is 4.302653 (any table of it)."""
    from synthlib.ledger import shown

    low, high = shown.interval({"value": 2.0, "spread": 1.0, "seeds": [0, 1, 2]})
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-5)
    assert shown.interval({"value": 2.0, "spread": None, "seeds": [0]}) == (None, None)
    assert shown.interval({"value": 2.0, "spread": 0.0, "seeds": [0, 1, 2]}) == (None, None)


def test_a_mean_with_its_interval_in_words():
    # 4.6, 2.6, 5.0: mean 4.067, deviation 1.286; t at 0.975 and 2 degrees of freedom is 4.303.
    assert shown.mean_and_interval([4.6, 2.6, 5.0]) == "+4.1 (+0.9\u00a0to\u00a0+7.3)"
    assert shown.mean_and_interval([-1, -2, -3], digits=0) == "−2 (−4\u00a0to\u00a0+0)"
    assert shown.mean_and_interval([0.7]) == "+0.7"
    assert shown.mean_and_interval([0.0, 0.0]) == "+0.0"


def test_a_rows_interval_is_that_of_the_paired_differences(monkeypatch):
    monkeypatch.setattr(records, "MEASURED", paths.DATA / "ledger" / "measured")
    row = ledger.table(6).loc["06-table3-stage3"]
    marks = ledger.rows("06-table3").pivot(index="seed", columns="row", values="test natural")
    paired = marks["MultiCSR"] - marks["w/o stage 3"]
    reach = 4.302653 * paired.std() / 3**0.5
    # Rows are kept with four decimals.
    want = (paired.mean() - reach, paired.mean() + reach)
    assert (row.low, row.high) == pytest.approx(want, abs=1e-3)
