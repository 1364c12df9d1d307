"""Another training of the small models beside the committed one, by the same measurements."""

import shutil

import pytest

from synthlib import ledger
from synthlib.__main__ import main
from synthlib.experiments import ch02
from synthlib.paths import POCKET
from synthlib.world import report


@pytest.fixture
def few(monkeypatch):
    """Few premises and pairs: what is tested here is which model is measured, and how."""
    for name, count in {"PREMISES": 2, "JUDGED": 12, "LABELLED": 40}.items():
        monkeypatch.setattr(report, name, count)


def test_the_committed_models_beside_themselves_differ_in_nothing(few, tmp_path):
    names = ["generator-llama", "nli", "mlm-roberta"]
    for name in names:
        shutil.copytree(POCKET / name, tmp_path / name)
    rows = ch02.compare(tmp_path, seeds=[3])
    assert list(dict.fromkeys(rows["model"])) == [n for n in ch02.NAMES if n in names]
    beside = ch02.beside(rows)
    assert (beside["difference"] == 0).all() and beside["committed"].notna().all()
    found = beside.set_index(["model", "figure"])["compared"]
    assert len(found["generator-llama"]) == 10 and len(found) == 13
    # the ledger's own measurement of the same seed
    assert found["nli", "accuracy"] == report.measure_nli(3)
    claims = report.measure_llama(3)
    for kind in report.KINDS:
        mean = found[[("generator-llama", f"{kind} {i}") for i in (1, 2, 3, 4)]].mean()
        assert mean == pytest.approx(claims[f"02-llama-{kind}"], abs=1e-9)
    assert found["generator-llama", "well formed"] == claims["02-llama-well-formed"]
    assert found["generator-llama", "judge"] == report.measure_llama_judge(3)


def test_the_models_of_the_folder_are_measured_not_those_of_the_book(tmp_path):
    shutil.copytree(POCKET / "simcse-unsup-bert", tmp_path / "simcse-sup-bert")
    beside = ch02.beside(ch02.compare(tmp_path, seeds=[0, 0])).set_index("figure")
    other = report.order("pocket/simcse-unsup-bert", ["natural", "hard"], 0)
    assert beside["compared"].to_dict() == other
    assert (beside["difference"] < -20).all(), "unsupervised beside supervised"


def test_what_a_folder_lacks_is_named_and_what_is_kept_is_read_again(
    few, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(ch02, "KEPT", tmp_path / "kept" / "compared.csv")
    shutil.copytree(POCKET / "nli", tmp_path / "nli")
    (tmp_path / "generator-t5").mkdir()  # begun, and without weights
    (tmp_path / "build.json").write_text('{"precision": "fp32"}')
    assert main(["compare-pocket", str(tmp_path), "--seeds", "0", "1"]) == 0
    assert not ch02.KEPT.exists()
    assert main(["compare-pocket", str(tmp_path), "--seeds", "0", "1", "--keep"]) == 0
    out, err = capsys.readouterr()
    (line,) = set(err.splitlines())
    missing = line.partition("left out: ")[2].split(", ")
    assert missing == [name for name in ch02.NAMES if name != "nli"]
    assert "accuracy" in out
    kept = ch02.kept()
    about = kept.attrs["models"]["nli"]
    assert about["built"] == {"precision": "fp32"} and about["seeds"] == [0, 1]
    assert len(kept) == 4 and set(kept["weights"]) == {"committed", "compared"}
    measured = kept.query("weights == 'compared'").set_index("seed")["value"]
    assert measured[1] == pytest.approx(report.accuracy("pocket/nli", 1), rel=1e-5)

    # Another folder, with another model: what was kept of the first one stays.
    other = tmp_path / "other"
    shutil.copytree(POCKET / "mlm-bert", other / "mlm-bert")
    assert main(["compare-pocket", str(other), "--seeds", "0", "--keep"]) == 0
    assert list(dict.fromkeys(ch02.kept()["model"])) == ["nli", "mlm-bert"]
    assert ch02.kept().query("model == 'nli'").equals(kept)
    shutil.rmtree(tmp_path / "nli")
    shutil.copytree(POCKET / "nli", tmp_path / "nli")
    assert main(["compare-pocket", str(tmp_path), "--seeds", "2", "--keep"]) == 0
    again = ch02.kept()
    assert set(again.query("model == 'nli'")["seed"]) == {2} and len(again) == 2 + 4
    assert again.attrs["models"]["nli"]["seeds"] == [2]
    assert again.attrs["models"]["mlm-bert"]["built"] is None


def test_a_folder_without_small_models_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    for name, said in [("", "none of the small models"), ("file", "is no folder"),
                       ("absent", "is no folder")]:  # fmt: skip
        assert main(["compare-pocket", str(tmp_path / name)]) == 2
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1 and "pocket --out" in err


def test_what_travels_with_the_book_is_whole_and_says_what_the_pages_say(root):
    kept = ch02.kept()
    models = kept.attrs["models"]
    assert list(models) == [name for name in ch02.NAMES if name in set(kept["model"])]
    for name, about in models.items():
        assert about["built"]["precision"] == "fp32"
        sizes = kept[kept["model"] == name].groupby("figure").size()
        assert (sizes == 2 * len(about["seeds"])).all()
    assert not kept.duplicated(["model", "figure", "weights", "seed"]).any()
    seeds = models["generator-t5"]["seeds"]
    t5 = kept[kept["model"] == "generator-t5"].assign(
        kind=lambda rows: rows["figure"].str.replace(r" \d$", "", regex=True)
    )
    by_seed = t5.groupby(["kind", "weights", "seed"])["value"].mean()
    for kind, claim in [
        *((kind, f"02-t5-{kind}") for kind in report.KINDS),
        ("well formed", "02-t5-well-formed"), ("judge", "02-judge-spearman"),
    ]:  # fmt: skip
        recorded = ledger.records.read(ledger.records.MEASURED, claim)["values"]
        for seed in seeds:
            found = by_seed[kind, "committed", seed]
            assert found == pytest.approx(recorded[str(seed)], abs=1e-3), claim
    page = (root / "book" / "reference" / "pocket_models.md").read_text("utf-8")
    kinds = kept["figure"].str.replace(r" \d$", "", regex=True)
    each = kept.groupby(["model", kinds, "weights", "seed"], sort=False)["value"].mean()
    for _, rows in each.groupby(["model", "figure"]):
        means, spreads = rows.groupby("weights").mean(), rows.groupby("weights").std()
        cells = [f"{means[w]:.1f} ± {spreads[w]:.1f}" for w in ("committed", "compared")]
        assert f"| {' | '.join(cells)} |".replace("-", "−") in page
    mean = t5.groupby(["weights", "figure"])["value"].mean()
    for weights in ("committed", "compared"):
        each = {k: [mean[weights, f"{k} {i}"] for i in (1, 2, 3, 4)] for k in report.KINDS}
        assert all(min(one) == one[3] for one in each.values())
        assert all(e > c for e, c in zip(*each.values(), strict=True))
    moved = mean["compared"] - mean["committed"]
    assert moved[[f"contradiction {i}" for i in (1, 2, 3, 4)]].between(5.5, 8.5).all()
    assert moved[[f"entailment {i}" for i in (1, 2, 3, 4)]].between(-6.5, -0.5).all()
    # Chapter 2's sentences on the others.
    others = kept.groupby(["model", "figure", "weights"])["value"].mean().unstack()
    moved = others["compared"] - others["committed"]
    llama = moved["generator-llama"]
    asked = [f"{kind} {i}" for kind in report.KINDS for i in (1, 2, 3, 4)]
    assert llama[asked].abs().max() < 3 and llama["judge"] == pytest.approx(4, abs=0.5)
    for weights in ("committed", "compared"):
        each = {k: [others.loc[("generator-llama", f"{k} {i}"), weights] for i in (1, 2, 3, 4)]
                for k in report.KINDS}  # fmt: skip
        assert all(min(one) == one[3] for one in each.values())
        assert all(e < c for e, c in zip(*each.values(), strict=True))
    assert moved["nli", "accuracy"] == pytest.approx(-1.5, abs=0.2)
    assert moved[["mlm-bert", "mlm-roberta"]].abs().max() < 0.5
    simcse = moved[moved.index.get_level_values("model").str.startswith("simcse")]
    assert simcse.between(0, 2).all()
