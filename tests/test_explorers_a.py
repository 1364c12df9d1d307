"""Explorers of thresholds, similarity heatmaps and paths: their tables, and what a page does."""

import itertools
import json
import zlib

import living
import numpy as np
import pandas as pd
import pytest

from synthlib import curation, ledger
from synthlib.evaluation.embedding import unit_rows
from synthlib.experiments import ch04 as selection
from synthlib.experiments import ch10 as figures
from synthlib.experiments import ch10 as generation
from synthlib.viz import explorers

HOSTILE = '<script>alert(1)</script> "><img src=x onerror=alert(2)> & friends'
needs_browser = pytest.mark.skipif(living.missing() is not None, reason=str(living.missing()))


# ------------------------------------------------------------------ data of our own
def triplet_table(n=80, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.array(["entailment", "neutral", "contradiction"])
    table = pd.DataFrame({
        "anchor": [f"anchor {i}" for i in range(n)],
        "positive": [f"positive {i}" for i in range(n)],
        "negative": [f"negative {i}" for i in range(n)],
        "a": rng.integers(0, 11, n) / 2, "b": rng.integers(0, 11, n) / 2,
        "a_expected": rng.uniform(0, 5, n), "b_expected": rng.uniform(0, 5, n),
        "positive_is": labels[rng.integers(0, 3, n)], "negative_is": labels[rng.integers(0, 3, n)],
        "right": rng.random(n) < 0.5,
    })  # fmt: skip
    table.loc[3, "a"] = np.nan
    table.loc[4, ["b", "b_expected"]] = np.nan
    table.loc[5, ["a", "b", "a_expected", "b_expected"]] = 5.0, 1.0, 4.5, 1.0
    table.loc[5, ["anchor", "positive"]] = HOSTILE
    return table


def grid_table():
    settings = selection.table6().rename(columns={"paper_spearman": "paper"})
    return settings[["alpha", "beta", "gamma", "paper"]].assign(
        scores="text", dev=np.linspace(50, 76, len(settings)).round(1)
    )


def encode(sentences):
    """Vectors that depend on the sentence alone, those of one list near each other."""
    def vector(sentence):
        rng = np.random.default_rng(zlib.crc32(sentence.encode()))
        start = np.random.default_rng(len(sentence.split()[0])).normal(size=12)
        return start + 0.6 * rng.normal(size=12)
    return np.array([vector(s) for s in sentences])


def some_lists(n=6):
    rng = np.random.default_rng(1)

    def one(k, method):
        words = [HOSTILE if k == 0 else f"{'x' * (k + 1)} start"]
        words += [f"{'x' * (k + 1)} {method} {rng.integers(0, 12)}" for _ in range(16)]
        return words[: 10 if (k, method) == (1, "at_once") else 17]

    found = {("greedy", "in-batch", np.nan): [one(k, "batch")[:16] for k in range(n)]}
    for heat in ("greedy", "sampled"):
        for method in ("at_once", "step"):
            found[heat, method, np.nan] = [one(k, method) for k in range(n)]
        for lam in (0.0, 0.5, 1.5):
            found[heat, "directional", lam] = [one(k, f"{heat} {lam}") for k in range(n)]
    return found


@pytest.fixture(scope="module")
def lists():
    return some_lists()


@pytest.fixture(scope="module")
def similarity(lists):
    tables = figures.similarity_tables(lists, shown=3, encode=encode)
    rows = ledger.rows("10-matrices"), ledger.rows("10-methods")
    return tables | {"measured": figures.measured_similarity(*rows)}


@pytest.fixture(scope="module")
def paths(lists):
    return figures.path_tables(lists, [2, 0], encode=encode)


@pytest.fixture(scope="module")
def made(similarity, paths):
    return {
        "thresholds": explorers.thresholds(
            triplet_table(), grid_table(), label="fig-04-region", caption="c"
        ),
        "heatmaps": explorers.heatmaps(similarity, label="fig-10-greedy", caption="c"),
        "trajectories": explorers.trajectories(paths, label="fig-10-paths", caption="c"),
    }


@pytest.fixture(scope="module")
def pages(made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("explorers")
    found = {}
    for name, figure in made.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(figure.page(), encoding="utf-8")
    return found


# ------------------------------------------------------------------ tables
def test_similarities_are_those_of_the_encoder(lists, similarity):
    table = similarity["lists"].set_index(["decoding", "method", "list"])
    row = table[table["lam"].isna()].loc["sampled", "step by step", 3]
    said = lists["sampled", "step", next(k[2] for k in lists if k[1] == "step")][2][:16]
    vectors = unit_rows(encode(said))
    wanted = vectors @ vectors.T
    i, j = np.triu_indices(16, 1)
    found = np.array(row["cosines"].split(), dtype=float) / 100
    np.testing.assert_allclose(found, wanted[i, j], atol=0.00501)
    first = np.array(row["anchor"].split(), dtype=float) / 1000
    np.testing.assert_allclose(first, wanted[0, 1:], atol=0.000501)
    texts = similarity["texts"].set_index("text")["sentence"]
    assert [texts[int(k)] for k in row["texts"].split()] == said


def test_short_lists_have_no_row_and_later_lists_no_sentences(similarity):
    table = similarity["lists"]
    at_once = table[(table["method"] == "whole list at once") & (table["decoding"] == "greedy")]
    assert list(at_once["list"]) == [1, 3, 4, 5, 6]
    assert (table["texts"] != "").equals(table["list"] <= 3)


def test_kept_is_what_verification_says(lists, similarity):
    table = similarity["lists"]
    for (heat, method, lam), some in lists.items():
        own = table[(table["decoding"] == heat) & (table["method"] == generation.METHODS[method])]
        own = own[own["lam"].isna() if np.isnan(lam) else own["lam"] == lam]
        steps = generation.asked_for(method)
        for row in own.itertuples():
            verdict = curation.verify_ranking_list(some[row.list - 1], steps=steps)
            assert row.kept == (verdict is None)


def test_measured_similarities_are_the_means_of_the_seeds(similarity):
    matrices = ledger.rows("10-matrices")
    row = similarity["measured"].set_index(["decoding", "method", "which"]).loc[
        "sampled", "directional", "kept"
    ]  # fmt: skip
    own = matrices.query("decoding == 'sampled' and method == 'directional' and which == 'kept'")
    thousandths = [int(number) for number in row["cosines"].split()]  # row by row, above i = j
    found = dict(zip(itertools.combinations(range(1, 17), 2), thousandths, strict=True))
    for i, j in ((1, 2), (1, 16), (7, 9)):
        wanted = own[(own["i"] == i) & (own["j"] == j)]["cosine"].mean()
        assert found[i, j] / 1000 == pytest.approx(wanted, abs=0.000501)
    assert row["lists"] == own.groupby("seed")["lists"].first().sum()


def test_paths_begin_at_the_origin_and_keep_what_the_plane_keeps(lists, paths):
    table, ways = paths["paths"], paths["ways"]
    assert list(paths["anchors"]["anchor"]) == [3, 1]
    begin = table[table["place"] == 1]
    np.testing.assert_allclose(begin[["x", "y", "cosine"]], [[0, 0, 1]] * len(begin), atol=1e-4)
    said = lists["greedy", "directional", 1.5][2][:16]
    vectors = unit_rows(encode(said))
    own = table.query("anchor == 3 and decoding == 'greedy' and lam == 1.5")
    assert list(own["sentence"]) == said
    np.testing.assert_allclose(own["cosine"], vectors @ vectors[0], atol=0.000501)
    # No projection lengthens a way.
    flat = np.linalg.norm(own[["x", "y"]], axis=1)
    assert (flat <= np.linalg.norm(vectors - vectors[0], axis=1) + 1e-3).all()
    way = ways.query("anchor == 3 and decoding == 'greedy' and lam == 1.5")["straightness"].item()
    assert way == pytest.approx(generation.straightness(vectors), abs=0.000501)
    assert paths["anchors"]["share"].between(0, 100).all()


def test_the_plane_holds_most_of_the_variance(lists, paths):
    said = [s for key, some in lists.items() if key[1] in ("step", "directional")
            for s in some[2][:16]]  # fmt: skip
    vectors = unit_rows(encode(said))
    spread = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False) ** 2
    share = 100 * spread[:2].sum() / spread.sum()
    assert paths["anchors"]["share"].iloc[0] == pytest.approx(share, abs=0.06)


def test_missing_tables_and_columns_are_named(similarity, paths):
    with pytest.raises(ValueError, match="table 'triplets' needs a column 'a_expected'"):
        explorers.thresholds(triplet_table().drop(columns="a_expected"), grid_table())
    with pytest.raises(ValueError, match="table 'triplets' is empty"):
        explorers.thresholds(triplet_table().iloc[:0], grid_table())
    with pytest.raises(ValueError, match="table 'measured' is wanted, given lists, texts"):
        explorers.heatmaps({k: similarity[k] for k in ("lists", "texts")})
    with pytest.raises(ValueError, match="table 'ways' is wanted"):
        explorers.trajectories({k: paths[k] for k in ("paths", "anchors")})


def test_text_alternatives_are_true_to_the_data(made):
    table = triplet_table()
    kept = curation.Thresholds().keep(table["a"], table["b"])
    alt = made["thresholds"].alt
    assert f"keep {kept.sum()} of 80 triplets" in alt
    assert f"{100 * table['right'][kept].mean():.0f} % of them right by the oracle" in alt
    assert HOSTILE in alt
    alt = made["heatmaps"].alt
    for method in generation.METHODS.values():
        assert method in alt
    assert "Means from the ledger, decoded greedily" in alt
    assert "at sentence 16" in made["trajectories"].alt


# ------------------------------------------------------------------ logic in the page
def in_page(page, expression, given):
    """Value of a JavaScript expression of `x` in a page; NaN crosses as null."""
    text = json.dumps(given).replace("NaN", "null")
    code = f"async (page) => page.evaluate(`((x) => ({expression}))(${{{json.dumps(text)}}})`)"
    (report,) = living.run({"file": page, "code": code})
    assert not report["errors"]
    return report["result"]


@needs_browser
def test_thresholds_in_the_page_are_those_of_curation(pages):
    rng = np.random.default_rng(4)
    cases, wanted = [], []
    for _ in range(60):
        n = int(rng.integers(1, 40))
        a, b = rng.integers(0, 21, (2, n)) / 4
        if rng.random() < 0.5:
            a, b = rng.uniform(0, 5, (2, n)).round(2)
        a[rng.random(n) < 0.1] = np.nan
        b[rng.random(n) < 0.1] = np.nan
        gamma = None if rng.random() < 0.3 else float(rng.integers(0, 21) / 4)
        rule = curation.Thresholds(*map(float, rng.integers(0, 21, 2) / 4), gamma)
        right = rng.random(n) < 0.5
        cases.append({
            "a": a.tolist(), "b": b.tolist(), "right": right.tolist(),
            "rule": {"alpha": rule.alpha, "beta": rule.beta,
                     "gamma": "–" if gamma is None else gamma},
        })  # fmt: skip
        quality = selection.quality(rule.keep(a, b), right)
        fates = selection.fate(pd.DataFrame({"a": a, "b": b}), rule)
        wanted.append((rule.report(a, b), quality, fates, rule.keep(a, b).tolist()))
    found = in_page(
        pages["thresholds"],
        "(({fate, keeps, tally}) => x.map((c) => [tally(c.a, c.b, c.right, c.rule), "
        "c.a.map((a, i) => fate(a, c.b[i], c.rule)), c.a.map((a, i) => keeps(a, c.b[i], c.rule))]))"
        "(SC.explorers.thresholds.logic)",
        cases,
    )
    for (tally, fates, keeps), (report, quality, right_fates, kept) in zip(
        found, wanted, strict=True
    ):
        assert {key: tally[key] for key in report} == report
        assert fates == right_fates
        assert keeps == kept
        for mine, theirs in (("share", "kept"), ("precision", "precision"), ("recall", "recall")):
            if np.isnan(quality[theirs]):
                assert tally[mine] is None
            else:
                assert tally[mine] == pytest.approx(quality[theirs])


@needs_browser
def test_the_shaded_region_is_where_triplets_are_kept(pages):
    rng = np.random.default_rng(5)
    rules = [
        {"alpha": float(a), "beta": float(b), "gamma": float(g) if g >= 0 else "–"}
        for a, b, g in zip(*rng.integers(0, 11, (2, 40)) / 2, rng.integers(-2, 11, 40) / 2,
                           strict=True)
    ]  # fmt: skip
    found = in_page(
        pages["thresholds"], "x.map((r) => SC.explorers.thresholds.logic.region(r, 0, 5))", rules
    )
    from matplotlib.path import Path

    points = rng.uniform(0, 5, (300, 2))
    for rule, corners in zip(rules, found, strict=True):
        gamma = None if rule["gamma"] == "–" else rule["gamma"]
        kept = curation.Thresholds(rule["alpha"], rule["beta"], gamma).keep(*points.T)
        inside = Path(corners).contains_points(points) if len(corners) > 2 else kept & False
        assert (inside == kept).all(), rule


@needs_browser
def test_order_in_the_page_is_that_of_the_recipe(pages):
    rng = np.random.default_rng(6)
    cases = [rng.integers(0, 8, n) / 7 for n in (1, 3, 4, 5, 15, 15, 15, 30)]
    cases += [rng.uniform(0, 1, 15) for _ in range(30)] + [np.full(15, 0.25)]
    for case in cases[::3]:
        case[rng.random(len(case)) < 0.2] = np.nan
    found = in_page(
        pages["heatmaps"],
        "(({order, outOfOrder}) => x.map((c) => [order(c), outOfOrder(c.map((v) => v ?? NaN))]))"
        "(SC.explorers.heatmaps.logic)",
        [case.tolist() for case in cases],
    )
    for (order, late), case in zip(found, cases, strict=True):
        assert order == pytest.approx(generation.order(case), abs=1e-12)
        assert late == generation.out_of_order(case).tolist()


@needs_browser
def test_ways_in_the_page_are_numpys(pages):
    rng = np.random.default_rng(7)
    cases = [rng.normal(size=(n, 2)) for n in (1, 2, 5, 16)]
    found = in_page(
        pages["trajectories"], "x.map((c) => SC.explorers.trajectories.logic.wayOf(c))",
        [case.tolist() for case in cases],
    )  # fmt: skip
    for way, case in zip(found, cases, strict=True):
        moved = np.linalg.norm(np.diff(case, axis=0), axis=1).sum()
        assert way["way"] == pytest.approx(moved)
        assert way["net"] == pytest.approx(np.linalg.norm(case[-1] - case[0]))


@needs_browser
def test_means_in_the_page_are_those_of_the_lists(pages, lists, similarity):
    """n, λ and verification choose the lists; the page's mean is checked against the encoder's."""
    state = {"show": "mean", "decoding": "sampled", "lam": 1.5, "n": 4, "kept": True}
    code = f"""async (page) => page.evaluate((state) => {{
      const view = document.querySelector("[data-sc-figure]").scHandle.view;
      Object.assign(view.state, state);
      return SC.explorers.heatmaps.logic.now(view);
    }}, {json.dumps(state)})"""
    (report,) = living.run({"file": pages["heatmaps"], "code": code})
    for found, (method, lam) in zip(
        report["result"],
        (("in-batch", None), ("at_once", None), ("step", None), ("directional", 1.5)),
        strict=True,
    ):
        heat = "greedy" if method == "in-batch" else "sampled"
        key = next(k for k in lists if k[:2] == (heat, method) and lam in (None, k[2]))
        chosen = [
            one[:16] for one in lists[key][:4] if len(one) >= 16
            and curation.verify_ranking_list(one, steps=generation.asked_for(method)) is None
        ]  # fmt: skip
        assert found["count"] == len(chosen)
        if not chosen:
            assert "at" not in found
            continue
        mean, _ = generation.mean_similarity(chosen, encode)
        np.testing.assert_allclose(found["at"], mean, atol=0.00501)
        vectors = [unit_rows(encode(one)) for one in chosen]
        orders = [generation.order(1 - (v @ v[0])[1:]) for v in vectors]
        assert found["order"] == pytest.approx(np.mean(orders), abs=0.03)  # rounded cosines tie


# ------------------------------------------------------------------ readers
STATE = 'document.querySelector("[data-sc-figure]").scHandle.view.state'
TEXT = 'document.querySelector("[data-sc-figure]").scHandle.view.text'


def visit(page, code, **options):
    """Do something with a page; whatever it is, nothing may fail or leave the machine."""
    helpers = f"""
      const state = () => page.evaluate(() => ({{ ...{STATE} }}));
      const text = () => page.evaluate(() => {TEXT});
      const set = async (changes) => {{
        const set = (c) => document.querySelector("[data-sc-figure]").scHandle.set(c);
        await page.evaluate(`(${{set}})(${{JSON.stringify(changes)}})`);
        await tools.settle();
      }};
      const plot = (i) => page.locator(".sc-plot").nth(i);
      const press = async (...keys) => {{
        for (const key of keys) await page.keyboard.press(key);
        await tools.settle();
      }};
      const words = (css) => page.locator(css).first().textContent();
      const count = (css) => page.locator(css).count();"""
    job = {"code": f"async (page, tools) => {{ {helpers} {code} }}", **options}
    files = page if isinstance(page, list) else [page]
    reports = living.run(*({"file": file, **job} for file in files), timeout=1500)
    for report in reports:
        assert report["errors"] == [] and report["remote"] == [] and report["dialogs"] == []
    results = [report["result"] for report in reports]
    return results if isinstance(page, list) else results[0]


def plain(text):
    return text.replace("−", "-")


@needs_browser
def test_the_page_says_what_python_says(pages, made):
    """Two programs describe the same start from the same data."""
    code = """return page.evaluate(() => {
      const { view } = document.querySelector("[data-sc-figure]").scHandle;
      return SC.explorers[view.spec.explorer].describe(view);
    });"""
    for said, name in zip(visit(list(pages.values()), code), pages, strict=True):
        assert plain(made[name].alt).startswith(plain(said)), said


@needs_browser
def test_thresholds_slide_and_drag(pages):
    before, after, said, dragged, keyed = visit(pages["thresholds"], """
      const before = [await state(), await tools.picture()];
      await tools.slide(0.2, 1); await tools.settle();
      const after = [await state(), await tools.picture()], said = await tools.says();
      const handle = await page.locator('[data-handle="α"] circle').boundingBox();
      await page.mouse.move(handle.x + 6, handle.y + 6); await page.mouse.down();
      await page.mouse.move(handle.x - 90, handle.y + 6, { steps: 5 }); await page.mouse.up();
      await tools.settle();
      const dragged = await state();
      await page.locator("input[type=range]").nth(2).focus();
      await page.keyboard.press("ArrowLeft"); await tools.settle();
      return [before, after, said, dragged, await state()];""")
    assert after[0]["beta"] == 1 and before[0]["beta"] == 3 and before[1] != after[1]
    table = triplet_table()
    kept = curation.Thresholds(3, 1, 1).keep(table["a"], table["b"]).sum()
    assert f"Thresholds (3, 1, 1) on written scores keep {kept} of 80 triplets" in said
    assert dragged["alpha"] < 2.5 and dragged["beta"] == 1
    assert keyed["gamma"] == 0.75 and keyed["alpha"] == dragged["alpha"]


@needs_browser
def test_table6_and_sliders_are_linked(pages):
    clicked, framed, chosen, preset, own = visit(pages["thresholds"], """
      const at = async () => (await count(".sc-chosen"))
        ? page.locator(".sc-chosen").evaluate((r) => r.getAttribute("x") + r.getAttribute("y"))
        : null;
      const select = page.locator('[data-key="preset"]');
      await plot(1).focus();
      await press("ArrowRight", "ArrowRight", "Enter");
      const clicked = await state(), framed = await at(), chosen = await select.inputValue();
      await select.selectOption({ label: "(4, 4, 2)" }); await tools.settle();
      const preset = [await state(), await at()];
      await set({ alpha: 2.25 });
      return [clicked, framed, chosen, preset, [await at(), await select.inputValue()]];""")
    # The first row is α = 5 without γ; two steps lead to β = 1.
    assert [clicked[k] for k in ("alpha", "beta", "gamma")] == [5, 1, "–"]
    assert framed and chosen == "(5, 1, –)"
    assert [preset[0][k] for k in ("alpha", "beta", "gamma")] == [4, 4, 2]
    assert preset[1] and preset[1] != framed
    assert own == [None, "a setting of your own"]


@needs_browser
def test_the_grids_cells_hold_the_rules_values(pages):
    said = visit(pages["thresholds"], """
      const said = [];
      for (const cells of ["kept", "right", "dev", "paper"]) {
        await set({ cells });
        await plot(1).focus();
        await press("Escape", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight");
        said.push([await words(".sc-tip"), await words(".sc-stage")]);
      }
      return said;""")
    table, grid = triplet_table(), grid_table()
    kept = curation.Thresholds(5, 3, None).keep(table["a"], table["b"])
    row = grid[(grid["alpha"] == 5) & (grid["beta"] == 3) & grid["gamma"].isna()].iloc[0]
    count, right = kept.sum(), (kept & table["right"]).sum()
    part, share = int(100 * count / len(table) + 0.5), int(100 * right / count + 0.5)
    for tip, stage in said:
        for words in (f"kept {part} %", f"by the oracle {share} %", f"encoder here {row.dev:.1f}",
                      f"encoder in the paper {row.paper:.1f}"):  # fmt: skip
            assert words in tip
        assert "Framed: the 27 rows of Table 6" in stage
    assert ["no encoder was trained there" in stage for _, stage in said] == [0, 0, 1, 1]


@needs_browser
def test_a_point_gives_its_sentences_as_text(pages):
    card, alive, moved = visit(pages["thresholds"], """
      await set({ picked: 5 });
      const card = await words(".sc-card"), alive = await count(".sc-stage img, .sc-stage script");
      await plot(0).focus();
      await press("ArrowRight", "ArrowDown", "ArrowRight", "Enter");
      return [card, alive, await state()];""")
    assert HOSTILE in card and alive == 0
    verdict = "right" if triplet_table()["right"][5] else "wrong"
    assert card.startswith(f"kept, {verdict} by the oracle")
    assert moved["picked"] != 5


@needs_browser
def test_the_ledgers_means_give_way_to_the_readers_lists(pages):
    start, slid, said, one, tip = visit(pages["heatmaps"], """
      const start = await state(), first = await tools.picture();
      await tools.slide(1, 1); await tools.settle();
      const slid = await state(), said = await text();
      if (first === await tools.picture()) throw new Error("λ changed nothing");
      await set({ show: "one", n: 1, faintest: 0 });
      const one = await text();
      const box = await plot(3).boundingBox();
      await page.mouse.move(box.x + 60, box.y + 45); await tools.settle();
      const alive = await count(".sc-living img, .sc-stage script");
      return [start, slid, said, one, [await words(".sc-tip"), alive]];""")
    assert start["show"] == "ledger" and start["lam"] == 0.5
    assert slid["show"] == "mean" and slid["lam"] == 1.5
    assert said.startswith("Means of the lists of the first 6 anchors") and "λ = 1.5" in said
    assert one.startswith("List 1, decoded greedily")
    assert HOSTILE in tip[0] and "list 1, directional, λ = 1.5" in tip[0] and tip[1] == 0


@needs_browser
def test_two_pinned_cells_are_compared(pages, lists):
    pins, words, after = visit(pages["heatmaps"], """
      await set({ show: "mean", n: 6, decoding: "sampled" });
      for (const i of [2, 3]) {
        await plot(i).focus();
        for (const key of ["ArrowRight", "End", "Enter"]) await press(key);
      }
      const said = await words(".sc-pins");
      const pins = (await state()).pins, frames = await count(".sc-pin");
      if (frames !== 2) throw new Error(`${frames} frames`);
      await page.locator(".sc-pins button").click(); await tools.settle();
      return [pins, said, (await state()).pins];""")
    assert pins == [["step by step", 1, 16], ["directional", 1, 16]] and after == []
    values = []
    for key in (("sampled", "step"), ("sampled", "directional", 0.5)):
        some = next(v for k, v in lists.items() if k[: len(key)] == key)
        values.append(generation.mean_similarity(some, encode)[0][0, 15])
    for value in values:
        assert f"{value:.2f}" in plain(words)
    assert f"{values[0] - values[1]:+.2f}" in plain(words)


@needs_browser
def test_lists_that_are_absent_are_said_to_be(pages):
    said = visit(pages["heatmaps"], """
      await set({ show: "one", n: 2, decoding: "greedy" });
      return [await text(), await words(".sc-stage")];""")
    assert "whole list at once: fewer than 16 sentences in this list" in said[0]
    assert "fewer than 16 sentences" in said[1]


@needs_browser
def test_paths_play_step_by_step(pages, paths):
    begun, played, said, pressed = visit(pages["trajectories"], """
      await set({ place: 3 });
      const path = page.locator('[data-path="led"]').first();
      const length = async () => (await path.getAttribute("d")).split("L").length;
      const begun = await length();
      await page.locator(".sc-play").click();
      while ((await state()).place <= 5) await page.waitForTimeout(50);
      await page.locator(".sc-play").click(); await tools.settle();
      const played = [await length(), (await state()).place];
      await set({ place: 16, lam: 1.5, anchor: 1 });
      const said = await text();
      await plot(1).focus();
      await press("ArrowRight", "ArrowRight", "ArrowRight", "Enter");
      return [begun, played, said, await state()];""")
    assert begun == 3 and played[0] == played[1] >= 6
    own = paths["paths"].query("anchor == 1 and decoding == 'sampled' and lam == 1.5")
    end = own.iloc[-1]
    assert f"directional, λ = 1.5: cosine to the anchor {end.cosine:.2f}" in plain(said)
    assert HOSTILE in said
    assert pressed["place"] == 3


@needs_browser
def test_reduced_motion_jumps(pages):
    place = visit(pages["trajectories"], """
      await set({ place: 2 });
      await page.locator(".sc-play").click(); await tools.settle();
      return [(await state()).place, (await state()).play];""", reduced=True)
    assert place == [16, False]


@needs_browser
def test_the_pointer_rings_the_same_sentence_in_both_pictures(pages):
    shown = visit(pages["trajectories"], """
      await plot(1).scrollIntoViewIfNeeded();
      const box = await plot(1).boundingBox();
      let found = 0;
      for (let i = 0; i < 400 && !found; i++) {
        const [x, y] = [60 + 12 * (i % 20), 20 + 15 * Math.floor(i / 20)];
        await page.mouse.move(box.x + x, box.y + y);
        found = await page.locator(".sc-linked").evaluateAll(
          (rings) => rings.filter((e) => e.style.display !== "none").length);
      }
      return found;""")
    assert shown == 1


@needs_browser
def test_phones_and_dark_pages(pages, capsys):
    changes = {
        "thresholds": [{"alpha": 2}, {"beta": 4}, {"scores": "expected"}, {"gamma": 2}],
        "heatmaps": [{"show": "mean", "n": 5}, {"n": 6}, {"lam": 1.5}, {"show": "one"}],
        "trajectories": [{"lam": 1.5}, {"place": 5}, {"anchor": 1}, {"place": 9}],
    }
    code = f"""return page.evaluate((every) => {{
      const shell = document.querySelector(".sc-living"), times = [];
      const handle = document.querySelector("[data-sc-figure]").scHandle;
      const wide = document.documentElement.scrollWidth - innerWidth;
      const targets = [...shell.querySelectorAll("button, select, .sc-options label")];
      const small = targets.filter((e) => e.getBoundingClientRect().height < 24).length;
      for (let k = 0; k < 8; k++) for (const change of every[handle.view.spec.explorer]) {{
        handle.set(change); handle.view.flush();
        times.push(Number(shell.dataset.redraw));
      }}
      return [wide, small, times, shell.classList.contains("sc-dark")];
    }}, {json.dumps(changes)});"""
    options = {"width": 390, "scheme": "dark", "touch": True}
    for wide, small, times, dark in visit(list(pages.values()), code, **options):
        assert wide <= 0 and small == 0 and dark
        quickest = np.reshape(times, (8, -1)).min(axis=0)
        with capsys.disabled():  # a time decides no test
            print(f"\n  redraw, ms (wanted: 50 or less): {quickest.tolist()}")


@needs_browser
def test_a_tap_selects(pages):
    before, after = visit(pages["thresholds"], """
      const before = await state(), box = await plot(1).boundingBox();
      await plot(1).scrollIntoViewIfNeeded();
      await plot(1).tap({ position: { x: 45, y: 40 } }); await tools.settle();
      return [before, await state()];""", width=390, touch=True)
    assert [before[k] for k in ("alpha", "beta", "gamma")] == [3, 3, 1]
    assert [after[k] for k in ("alpha", "beta", "gamma")] == [5, 0, "–"]


@needs_browser
def test_a_tap_pins_a_cell(pages):
    before, after, last = visit(pages["heatmaps"], """
      const pins = async () => (await state()).pins.map((p) => p.slice(1));
      const cells = plot(0);
      await cells.scrollIntoViewIfNeeded();
      const before = await pins();
      const tap = async (x, y) => {
        await cells.tap({ position: { x, y } });
        await tools.settle();
      };
      await tap(120, 100);
      await tap(50, 150);
      const after = await pins();
      await page.locator("button", { hasText: "Unpin" }).tap(); await tools.settle();
      return [before, after, await pins()];""", width=390, touch=True)
    assert before == last == []
    (i, j), (k, m) = after
    assert i < j and k > m, "right of the diagonal, then left of it"
