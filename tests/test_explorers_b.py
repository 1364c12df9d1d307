"""The explorers of the mask, refined similarity and aggregation: their rules against the kernels
of synthlib, and what a reader's drag, key or press does in a real browser without a network."""

import json

import living
import numpy as np
import pandas as pd
import pytest

from synthlib import losses, viz
from synthlib.evaluation import sts
from synthlib.recipes import ranking_posttraining as post

pytestmark = [
    pytest.mark.browser,
    pytest.mark.xdist_group("browser"),
    pytest.mark.skipif(living.missing() is not None, reason=str(living.missing())),
]
HOSTILE = '<script>alert(1)</script> "><img src=x onerror=alert(2)> & friends'


# ------------------------------------------------------------------ figures of our own
def mask_figure(n=4, seed=0, cosine=None):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, n, 3))
    x /= np.linalg.norm(x, axis=-1, keepdims=True)
    similar = x[0] @ np.concatenate([x[1], x[2]]).T if cosine is None else cosine
    rows, columns = np.indices((n, 2 * n))
    names = [f"{j}+" for j in range(n)] + [f"{j}−" for j in range(n)]
    own = columns % n == rows
    truth = (rng.random((n, 2 * n)) < 0.3) & ~own
    pairs = pd.DataFrame({
        "guide": "one", "anchor": [str(i) for i in rows.ravel()],
        "candidate": [names[j] for j in columns.ravel()], "cosine": similar.ravel(),
        "own": own.ravel(), "false negative": truth.ravel(),
    })  # fmt: skip
    other = pairs.assign(guide="other", cosine=-pairs["cosine"])
    sentences = [HOSTILE] + [f"sentence {i}" for i in range(1, 3 * n)]
    return viz.Figure(
        {
            "pairs": pd.concat([pairs, other], ignore_index=True),
            "sentences": pd.DataFrame({"name": [*map(str, range(n)), *names],
                                       "sentence": sentences}),
        },
        {
            "kind": "explorer", "explorer": "mask",
            "controls": [
                {"name": "sigma", "type": "range", "min": 0, "max": 1, "step": 0.01,
                 "value": 0.9, "format": ".2f"},
                {"name": "guide", "type": "choice", "column": "guide"},
                {"name": "oracle", "type": "toggle", "value": True},
            ],
            "options": {"cell": ["0", "1+"]},
            "static": {"kind": "heatmap", "data": "pairs", "x": "candidate", "y": "anchor",
                       "value": "cosine"},
        },
        alt="A batch.", label="fig-99-mask", caption="c",
    )  # fmt: skip


def matrix(n, seed=0, digits=3):
    rng = np.random.default_rng(seed)
    phi = rng.uniform(-0.5, 0.9, (n, n)).round(digits)
    phi = np.triu(phi, 1)
    return phi + phi.T + np.eye(n)


def refined_figure(n=6, phi=None):
    phi = matrix(n) if phi is None else phi
    i, j = (axis.ravel() for axis in np.indices(phi.shape))
    return viz.Figure(
        {
            "sentences": pd.DataFrame({
                "item": range(n), "sentence": [HOSTILE, *(f"sentence {k}" for k in range(1, n))],
            }),
            "similarities": pd.DataFrame({"item": i, "other": j, "similarity": phi.ravel()}),
        },
        {
            "kind": "explorer", "explorer": "refined",
            "controls": [
                {"name": "omega", "type": "range", "min": 0, "max": 1, "step": 0.05,
                 "value": 0.5, "format": ".2f"},
                {"name": "variant", "type": "choice", "options": list(losses.REFINEMENTS)},
                {"name": "row", "type": "range", "min": 1, "max": n - 1, "step": 1, "value": 1},
            ],
            "options": {"tau": 0.05},
            "static": {"kind": "heatmap", "data": "similarities", "x": "other", "y": "item",
                       "value": "similarity"},
        },
        alt="A list.", label="fig-99-refined", caption="c",
    )  # fmt: skip


def clouds(seed=0):
    rng = np.random.default_rng(seed)
    parts = []
    for name, n, at in ((HOSTILE, 30, -0.2), ("middle", 12, 0.1), ("top", 21, 0.4)):
        gold = (5 * (at + 0.5) + rng.integers(-2, 3, n) / 2).clip(0, 5)
        parts.append(pd.DataFrame({
            "encoder": "one", "part": name, "gold": gold,
            "cosine": (at + 0.02 * gold + rng.normal(scale=0.1, size=n)).round(2),
        }))
    one = pd.concat(parts, ignore_index=True)
    other = one.assign(encoder="other", cosine=rng.uniform(-0.3, 0.8, len(one)).round(3))
    return pd.concat([one, other], ignore_index=True)


def aggregation_figure(table=None):
    return viz.Figure(
        {"pairs": clouds() if table is None else table},
        {
            "kind": "explorer", "explorer": "aggregation",
            "controls": [{"name": "encoder", "type": "choice", "column": "encoder"}],
            "static": {"kind": "scatter", "data": "pairs", "x": "gold", "y": "cosine",
                       "series": "part"},
        },
        alt="Clouds.", label="fig-99-aggregation", caption="c",
    )  # fmt: skip


def growing_figure():
    path = pd.DataFrame({
        "step": [0, 10, 20, 40] * 2, "x": [1, 2, 3, 4, 1, 1.5, 2, 2.5],
        "y": [4, 3, 2, 1, 4, 2, 1, 0.5], "run": ["a"] * 4 + ["b"] * 4,
    })  # fmt: skip
    spec = {
        "kind": "path", "x": "x", "y": "y", "series": "run", "step": "step",
        "xlim": (0, 5), "ylim": (0, 5), "hover": ["step"],
    }  # fmt: skip
    controls = [
        {"name": "step", "type": "range", "column": "step", "upto": True, "value": 40},
        {"name": "play", "type": "play", "of": "step", "label": "Train", "seconds": 1},
    ]
    return viz.Figure(
        {"path": path},
        {"kind": "explorer", "explorer": "usual", "controls": controls,
         "options": {"spec": spec}, "static": spec},
        alt="Paths.", label="fig-99-path", caption="c",
    )  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("explorers"), {}
    figures = {
        "mask": mask_figure(), "refined": refined_figure(), "aggregation": aggregation_figure(),
        "growing": growing_figure(),
    }  # fmt: skip
    for name, figure in figures.items():
        found[name] = folder / f"{name}.html"
        found[name].write_text(figure.page(), encoding="utf-8")
    return found


def visit(page, code, **options):
    """Do something with a page; whatever it is, nothing may fail or leave the machine."""
    helpers = """
      const view = "document.querySelector('[data-sc-figure]').scHandle.view";
      const state = () => page.evaluate(`({ ...${view}.state })`);
      const text = () => page.evaluate(`${view}.text`);
      const set = async (changes) => {
        await page.evaluate(`${view}.set(${JSON.stringify(changes)})`);
        await tools.settle();
      };
      const drag = async (locator, dx, dy) => {
        await locator.scrollIntoViewIfNeeded();
        const box = await locator.boundingBox();
        const at = [box.x + box.width / 2, box.y + box.height / 2];
        await page.mouse.move(...at); await page.mouse.down();
        await page.mouse.move(at[0] + dx, at[1] + dy, { steps: 6 });
        await tools.settle();
        await page.mouse.up(); await tools.settle();
      };"""
    job = {"file": page, "code": f"async (page, tools) => {{ {helpers} {code} }}", **options}
    (report,) = living.run(job)
    assert report["errors"] == [] and report["remote"] == [] and report["dialogs"] == []
    return report["result"]


def in_page(page, expression, given):
    """Value of a JavaScript expression of `x` in a page; NaN crosses as null."""
    text = json.dumps(given)
    code = f"return page.evaluate(`((x) => ({expression}))(${{{json.dumps(text)}}})`);"
    return visit(page, code)


def plain(text):
    return text.replace("−", "-").replace(" %", "%")


# ------------------------------------------------------------------ rules
def test_refinement_in_the_page_is_the_kernels(pages):
    rng = np.random.default_rng(1)
    cases = [
        {
            "phi": matrix(int(rng.integers(1, 9)), seed, digits=1 + 2 * (seed % 2)).tolist(),
            "omega": (0.0, 0.3, 0.5, 1.0, 2.5)[seed % 5],
            "variant": losses.REFINEMENTS[seed % 3],
        }
        for seed in range(90)
    ]  # fmt: skip
    found = in_page(
        pages["refined"],
        "x.map((c) => [SC.explorers.refined.refine(c.phi, c.omega, c.variant), "
        "SC.explorers.refined.misorder(c.phi)])",
        cases,
    )
    for case, (refined, misorder) in zip(cases, found, strict=True):
        phi = np.array(case["phi"])
        wanted = losses.refine_similarity(phi, case["omega"], variant=case["variant"]).numpy()
        np.testing.assert_allclose(refined, wanted, atol=1e-12)
        if case["omega"] == 0:
            np.testing.assert_allclose(refined, phi, atol=0)
        if len(phi) > 2:
            assert misorder == pytest.approx(post.misorder(phi))


def test_listmle_in_the_page_is_the_kernels(pages):
    rng = np.random.default_rng(2)
    cases = []
    for k in range(60):
        n = int(rng.integers(1, 12))
        scores = rng.normal(size=n) * (1, 20, 800)[k % 3]
        cases.append([scores.tolist(), rng.integers(0, 4 + 90 * (k % 2), n).tolist()])
    found = in_page(
        pages["refined"], "x.map(([s, t]) => SC.explorers.refined.listMle(s, t))", cases
    )
    for (scores, targets), loss in zip(cases, found, strict=True):
        wanted = losses.list_mle(np.array(scores), np.array(targets, dtype=float)).item()
        assert loss == pytest.approx(wanted, abs=1e-9)


def test_the_mask_in_the_page_is_the_kernels(pages):
    rng = np.random.default_rng(3)
    for _ in range(3):
        n = int(rng.integers(2, 8))
        x = rng.normal(size=(3, n, 4))
        unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
        cosine = unit[0] @ np.concatenate([unit[1], unit[2]]).T
        pairs = [
            {"own": bool(j % n == i), "cosine": cosine[i, j], "false negative": bool((i + j) % 3)}
            for i in range(n) for j in range(2 * n)
        ]  # fmt: skip
        sigmas = [-1.0, -0.2, 0.0, 0.5, 0.9, 1.0]
        given = {"pairs": pairs, "sigmas": sigmas}
        found = in_page(
            pages["mask"],
            "x.sigmas.map((s) => [x.pairs.map((p) => SC.explorers.mask.masked(p, s)), "
            "SC.explorers.mask.count(x.pairs, s)])",
            given,
        )
        for sigma, (masked, count) in zip(sigmas, found, strict=True):
            keep = losses.false_negative_keep(*x, sigma=sigma).numpy()
            assert masked == (~keep).ravel().tolist()
            right = [p["false negative"] and not p["own"] for p in pairs]
            assert count["masked"] == (~keep).sum() == count["right"] + count["wrong"]
            assert count["right"] == (~keep.ravel() & np.array(right)).sum()
            assert count["truth"] == sum(right) and count["others"] == 2 * n * (n - 1)


def test_marks_in_the_page_are_those_of_evaluation(pages):
    rng = np.random.default_rng(4)
    cases, wanted = [], []
    for k in range(40):
        sizes = rng.integers(3, 25, int(rng.integers(1, 5)))
        gold = [rng.integers(0, 11, n) / 2 for n in sizes]
        cosine = [rng.normal(size=n).round(1 + k % 3) for n in sizes]
        if any((v == v[0]).all() for v in [*gold, *cosine]):
            continue
        cases.append([{"gold": g.tolist(), "cosine": c.tolist()}
                      for g, c in zip(gold, cosine, strict=True)])  # fmt: skip
        part = np.repeat([str(i) for i in range(len(sizes))], sizes)
        wanted.append(sts._aggregate("t", np.concatenate(cosine), np.concatenate(gold), part))
    found = in_page(pages["aggregation"], "x.map((c) => SC.explorers.aggregation.marks(c))", cases)
    assert len(cases) > 25
    for mine, theirs in zip(found, wanted, strict=True):
        assert {k: mine[k] for k in theirs} == pytest.approx(theirs)


def test_a_part_of_equal_cosines_is_undefined_in_both(pages):
    cases = [{"gold": [1, 2, 3], "cosine": [0.5, 0.5, 0.5]}, {"gold": [1, 2], "cosine": [1, 2]}]
    found = in_page(pages["aggregation"], "[SC.explorers.aggregation.marks(x)]", cases)[0]
    with pytest.warns(UserWarning, match="undefined"):
        wanted = sts._aggregate(
            "t", np.array([0.5, 0.5, 0.5, 1, 2]), np.array([1.0, 2, 3, 1, 2]), np.array([*"aaabb"])
        )
    assert found["mean"] is None and np.isnan(wanted["mean"])
    assert found["wmean"] is None and np.isnan(wanted["wmean"])
    assert found["all"] == pytest.approx(wanted["all"])


# ------------------------------------------------------------------ the mask
def counted(figure, sigma, guide="one"):
    pairs = figure.tables["pairs"].query("guide == @guide and not own")
    masked = pairs["cosine"] >= sigma
    return masked.sum(), (masked & pairs["false negative"]).sum()


def test_sigma_is_a_slider_and_a_line(pages):
    before, after, said, dragged, keyed, frames = visit(pages["mask"], """
      const before = [await state(), await tools.picture()];
      await tools.slide(0.3); await tools.settle();
      const after = [await state(), await tools.picture()], said = await tools.says();
      await drag(page.locator(".sc-sigma rect"), 60, 0);
      const dragged = await state();
      await page.locator("input[type=range]").focus();
      await page.keyboard.press("ArrowLeft"); await tools.settle();
      const keyed = await state();
      await set({ sigma: 0 });
      return [before, after, said, dragged, keyed, await page.locator(".sc-masked").count()];""")
    assert before[0]["sigma"] == 0.9 and after[0]["sigma"] == pytest.approx(0.3, abs=0.03)
    assert before[1] != after[1]
    figure = mask_figure()
    masked, right = counted(figure, after[0]["sigma"])
    assert f"takes out {masked} of 24 candidates" in said
    assert f"these are {right} of the" in said
    assert dragged["sigma"] > after[0]["sigma"] + 0.03
    assert keyed["sigma"] == pytest.approx(dragged["sigma"] - 0.01)
    assert frames == counted(figure, 0)[0]  # the own pairs are never among them


def test_a_cell_reads_its_sentences(pages):
    start, pressed, keyed, said = visit(pages["mask"], """
      const start = await page.locator(".sc-pair").innerText();
      const cell = page.locator(".sc-stage svg").first().locator("rect").nth(0);
      await cell.click({ force: true }); await tools.settle();
      const pressed = [await state(), await page.locator(".sc-pair").innerText()];
      await page.locator(".sc-plot").first().focus();
      for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
      await tools.settle();
      const said = await tools.says();
      await page.keyboard.press("Enter"); await tools.settle();
      return [start, pressed, [await state(), await page.locator(".sc-pair").innerText()], said];
      """)  # fmt: skip
    assert "anchor 0" in start and HOSTILE in start and "sentence 5" in start
    assert pressed[0]["cell"] == ["0", "0+"] and "own pair, never masked" in pressed[1]
    assert keyed[0]["cell"] == ["1", "1+"] or keyed[0]["cell"][0] == "1"
    assert "sentence 1" in keyed[1] and "sentence 1" in said


def test_another_guide_and_without_the_oracle(pages):
    other, hidden = visit(pages["mask"], """
      await page.getByText("other", { exact: true }).click(); await tools.settle();
      await set({ sigma: 0.2 });
      const other = await text();
      await page.locator("input[type=checkbox]").uncheck(); await tools.settle();
      return [other, [await text(), await page.locator(".sc-stage").innerText()]];""")
    masked, right = counted(mask_figure(), 0.2, "other")
    assert f"takes out {masked} of 24" in other and f"these are {right} of" in other
    assert "oracle" not in hidden[0] and "oracle" not in hidden[1]


# ------------------------------------------------------------------ refined similarity
def told(order, omega=0.5, variant="paper", row=1):
    """What the page must say, by the kernels."""
    phi = matrix(6)[np.ix_(order, order)]
    refined = losses.refine_similarity(phi, omega, variant=variant).numpy()
    loss = [
        losses.list_mle(phi[row - 1] / 0.05, target[row - 1]).item() for target in (phi, refined)
    ]
    move = (refined - phi)[row - 1, row - 1 :].round(9)
    return (
        f"{(move > 0).sum()} similarities rise, {(move < 0).sum()} fall",
        f"{loss[0]:.2f} under the teacher's order, {loss[1]:.2f} under the refined one",
    )


def test_a_sentence_is_dragged_and_moved_by_keys(pages):
    start, dragged, keyed, back, focus = visit(pages["refined"], """
      const start = [await state(), await text(), await page.locator(".sc-items").innerText()];
      const grip = (item) => page.locator(`li[data-item="${item}"] .sc-drag`);
      const below = await page.locator('li[data-item="4"]').boundingBox();
      const here = await page.locator('li[data-item="1"]').boundingBox();
      await drag(grip(1), 0, below.y - here.y);
      const dragged = [await state(), await tools.says()];
      await grip(5).focus();
      await page.keyboard.press("ArrowUp"); await tools.settle();
      await page.keyboard.press("ArrowUp"); await tools.settle();
      const focus = await page.evaluate("document.activeElement.dataset.key");
      const keyed = [await state(), await tools.says()];
      await page.getByText("Put the list back").click(); await tools.settle();
      return [start, dragged, keyed, await state(), focus];""")
    assert start[0]["order"] == list(range(6)) and HOSTILE in start[2]
    assert dragged[0]["order"] == [0, 2, 3, 4, 1, 5]
    assert keyed[0]["order"] == [0, 2, 3, 5, 4, 1] and focus == "drag-item-5"
    for order, said in ((start[0]["order"], start[1]), (dragged[0]["order"], dragged[1]),
                        (keyed[0]["order"], keyed[1])):  # fmt: skip
        for words in told(order):
            assert words in plain(said), said
    assert back["order"] == list(range(6))


def test_omega_variant_and_row_act(pages):
    slid, printed, zero = visit(pages["refined"], """
      await tools.slide(1); await tools.settle();
      const slid = [await state(), await text()];
      await page.getByText("printed", { exact: true }).click();
      await page.locator("input[type=range]").nth(1).focus();
      await page.keyboard.press("ArrowRight"); await page.keyboard.press("ArrowRight");
      await tools.settle();
      const printed = [await state(), await text()];
      await set({ omega: 0 });
      return [slid, printed, await text()];""")
    assert slid[0]["omega"] == 1 and printed[0]["row"] == 3
    for words in told(range(6), omega=1):
        assert words in plain(slid[1])
    for words in told(range(6), omega=1, variant="printed", row=3):
        assert words in plain(printed[1])
    assert "0 similarities rise, 0 fall" in zero


def test_a_state_that_is_no_order_is_the_lists_own(pages):
    said = visit(pages["refined"], "await set({ order: [0, 0, 9] }); return text();")
    assert all(words in plain(said) for words in told(range(6)))


# ------------------------------------------------------------------ aggregation
def marks(table, shift=None, without=()):
    df = table.query("encoder == 'one'")
    df = df[~df["part"].isin(without)]
    cosine = df["cosine"] + df["part"].map(lambda name: (shift or {}).get(name, 0))
    found = sts._aggregate("t", cosine.to_numpy(), df["gold"].to_numpy(), df["part"].to_numpy())
    return ", ".join(f"{k} {v:.1f}" for k, v in found.items())


def test_clouds_are_dragged_keyed_and_left_out(pages):
    start, dragged, keyed, left, level, back = visit(pages["aggregation"], """
      const start = [await text(), await page.locator(".sc-stage").innerText()];
      const handle = (i) => page.locator(".sc-handle").nth(i);
      await drag(handle(2), 0, 70);
      const dragged = [await state(), await tools.says()];
      await handle(1).focus();
      await page.keyboard.press("ArrowUp"); await tools.settle();
      const keyed = [await state(), await tools.says()];
      await page.locator(".sc-legend button").nth(1).click(); await tools.settle();
      const left = [await state(), await tools.says()];
      await page.getByText("Put all back").click(); await tools.settle();
      const back = [await state(), await text()];
      await page.getByText("Lay the clouds on one level").click(); await tools.settle();
      return [start, dragged, keyed, left, [await state(), await text()], back];""")
    table = clouds()
    assert marks(table) in plain(start[0]) and HOSTILE[:40] in start[1]
    assert -0.5 <= dragged[0]["shift"]["top"] < -0.1
    assert marks(table, dragged[0]["shift"]) in plain(dragged[1])
    assert keyed[0]["shift"]["middle"] == 0.05
    assert marks(table, keyed[0]["shift"]) in plain(keyed[1])
    assert left[0]["hidden"] == ["middle"]
    assert marks(table, keyed[0]["shift"], ["middle"]) in plain(left[1])
    assert back[0]["shift"] == {} and back[1] == start[0]
    assert marks(table, level[0]["shift"]) in plain(level[1])
    one = table.query("encoder == 'one'")
    means = one.groupby("part")["cosine"].mean() + pd.Series(level[0]["shift"])
    assert np.ptp(means) < 0.002


def test_all_parts_left_out_is_said(pages):
    said = visit(pages["aggregation"], f"""
      await set({{ hidden: [{json.dumps(HOSTILE)}, "middle", "top"] }});
      return [await text(), await page.locator(".sc-stage").innerText()];""")
    assert said[0] == "All parts are left out." and "nothing to correlate" in said[1]


# ------------------------------------------------------------------ usual kinds, growing
def test_a_path_grows_up_to_a_step_and_plays(pages):
    start, slid, played = visit(pages["growing"], """
      const points = () => page.locator(".sc-stage svg path").count();
      const start = [await state(), await points()];
      await tools.slide(0); await tools.settle();
      const slid = [await state(), await points()];
      await page.locator(".sc-play").click();
      await page.getByText("Train").waitFor({ timeout: 60000 });
      await tools.settle();
      return [start, slid, [await state(), await points()]];""")
    assert start[0]["step"] == 40 and slid[0]["step"] == 0
    assert slid[1] < start[1]
    assert played[0] == {**start[0], "play": False} and played[1] == start[1]


def test_reduced_motion_jumps(pages):
    state = visit(pages["growing"], """
      await set({ step: 0 });
      await page.locator(".sc-play").click(); await tools.settle();
      return state();""", reduced=True)
    assert state["step"] == 40 and state["play"] is False


def test_hover_reads_more_columns(pages):
    said = visit(pages["growing"], """
      await page.locator(".sc-plot").focus();
      await page.keyboard.press("ArrowRight"); await page.keyboard.press("ArrowRight");
      await tools.settle();
      return tools.says();""")
    assert "step 10" in said


def test_a_figure_of_no_kind_is_refused():
    figure = growing_figure()
    broken = {**figure.spec, "options": {"spec": {"kind": "pie"}}}
    with pytest.raises(ValueError, match="unknown kind 'pie'"):
        viz.Figure(figure.tables, broken, "a", label="fig-99-x", caption="c")
    growing = {**figure.spec["options"]["spec"], "hover": ["absent"]}
    with pytest.raises(ValueError, match="absent"):
        viz.Figure(figure.tables, growing, "a", label="fig-99-x", caption="c")


# ------------------------------------------------------------------ everywhere
@pytest.mark.parametrize("name", ["mask", "refined", "aggregation", "growing"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_holds_it_and_names_all_controls(pages, name, scheme):
    report = visit(pages[name], """
      return page.evaluate(() => ({
        over: document.documentElement.scrollWidth - window.innerWidth,
        small: [...document.querySelectorAll("button, select, .sc-drag[tabindex]")].filter((e) => {
          const { width, height } = e.getBoundingClientRect();
          return width && Math.min(width, height) < 24;
        }).map((e) => e.outerHTML.slice(0, 80)),
        nameless: [...document.querySelectorAll("input, [role=slider]")].filter((e) =>
          !(e.labels && e.labels.length) && !e.getAttribute("aria-label")).length,
        errors: document.querySelectorAll(".sc-error").length,
        images: document.querySelectorAll(".sc-living img, .sc-living script").length,
      }));""", width=390, touch=True, scheme=scheme)
    assert report == {"over": 0, "small": [], "nameless": 0, "errors": 0, "images": 0}


@pytest.mark.parametrize(
    "figure, words",
    [
        (lambda: refined_figure(3, np.where(np.eye(3) == 0, np.nan, 1.0)), "finite numbers"),
        (lambda: refined_figure(1, np.ones((1, 1))), "two sentences or more"),
        (lambda: mask_figure(2, cosine=np.full((2, 4), np.nan)), "a cosine is not a number"),
        (lambda: aggregation_figure(clouds().assign(cosine=np.nan)), "lack a score or a cosine"),
    ],
    ids=["refined", "short", "mask", "aggregation"],
)
def test_bad_data_is_said_in_the_figures_place(figure, words, tmp_path):
    page = tmp_path / "bad.html"
    try:
        page.write_text(figure().page(), encoding="utf-8")
    except ValueError as error:  # refused before, with a reason
        assert str(error)
        return
    (report,) = living.run({"file": page, "code": """async (page) =>
        page.evaluate(() => [...document.querySelectorAll(".sc-error")].map((e) => e.textContent))
        """})  # fmt: skip
    assert words in " ".join(report["result"]), report
    assert report["errors"] == [] and report["dialogs"] == []
