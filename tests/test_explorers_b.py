"""The explorers of the mask, refined similarity and aggregation: their rules against the kernels
of synthlib, and what a reader's drag, key or press does in a real browser without a network."""

import json

import living
import numpy as np
import pandas as pd
import pytest

from synthlib import losses, viz
from synthlib.evaluation import sts
from synthlib.experiments import ch11 as post
from synthlib.viz import script

pytestmark = [
    pytest.mark.browser,
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


FIGURES = {
    "mask": mask_figure, "refined": refined_figure, "aggregation": aggregation_figure,
    "growing": growing_figure,
    "no number": lambda: refined_figure(3, np.where(np.eye(3) == 0, np.nan, 1.0)),
    "half a matrix": lambda: refined_figure(3, np.ones((1, 1))),
    "no cosine": lambda: mask_figure(2, cosine=np.full((2, 4), np.nan)),
    "no pair": lambda: aggregation_figure(clouds().assign(cosine=np.nan)),
}  # fmt: skip
HELPERS = """
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
VISITS = {}  # name: what is done with which page; all in one browser, which is slow to start


def visit(name, page, code, **options):
    """Register what a reader does; the fixture `seen` holds what came of it."""
    VISITS[name] = {
        "page": page, "code": f"async (page, tools) => {{ {HELPERS} try {{ {code} }} "
        "catch (error) { return { failed: String(error) }; } }", **options,
    }  # fmt: skip


def in_page(name, page, expression, given):
    """Register a JavaScript expression of `x`; NaN comes back as null."""
    text = json.dumps(json.dumps(given))
    visit(name, page, f"return page.evaluate(`((x) => ({expression}))(${{{text}}})`);")


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What came of each visit; none may leave the machine, fail or open a dialog."""
    folder = tmp_path_factory.mktemp("explorers")
    empty = "<svg/>"  # the static picture has tests of its own
    for name, figure in FIGURES.items():
        page = script.page(figure().payload(), empty, empty)
        (folder / f"{name}.html").write_text(page, encoding="utf-8")
    jobs = [job | {"file": folder / f"{job['page']}.html"} for job in VISITS.values()]
    found = {}
    for name, report in zip(VISITS, living.run(*jobs, timeout=2400), strict=True):
        assert report["errors"] == [] and report["remote"] == [] and report["dialogs"] == [], name
        found[name] = report["result"]
    return found


@pytest.fixture
def said(request, seen):
    """The visit of a test, by the test's name."""
    result = seen[request.node.name]
    assert not (isinstance(result, dict) and "failed" in result), result
    return result


def plain(text):
    return text.replace("−", "-").replace(" %", "%")


# ------------------------------------------------------------------ rules
def refinements():
    rng = np.random.default_rng(1)
    return [
        {
            "phi": matrix(int(rng.integers(1, 9)), seed, digits=1 + 2 * (seed % 2)).tolist(),
            "omega": (0.0, 0.3, 0.5, 1.0, 2.5)[seed % 5],
            "variant": losses.REFINEMENTS[seed % 3],
        }
        for seed in range(90)
    ]  # fmt: skip


in_page(
    "test_refinement_in_the_page_is_the_kernels", "refined",
    "x.map((c) => [SC.explorers.refined.refine(c.phi, c.omega, c.variant), "
    "SC.explorers.refined.misorder(c.phi)])",
    refinements(),
)  # fmt: skip


def test_refinement_in_the_page_is_the_kernels(said):
    for case, (refined, misorder) in zip(refinements(), said, strict=True):
        phi = np.array(case["phi"])
        wanted = losses.refine_similarity(phi, case["omega"], variant=case["variant"]).numpy()
        np.testing.assert_allclose(refined, wanted, atol=1e-12)
        if case["omega"] == 0:
            np.testing.assert_allclose(refined, phi, atol=0)
        if len(phi) > 2:
            assert misorder == pytest.approx(post.misorder(phi))


def rankings():
    rng, cases = np.random.default_rng(2), []
    for k in range(60):
        n = int(rng.integers(1, 12))
        scores = rng.normal(size=n) * (1, 20, 800)[k % 3]
        cases.append([scores.tolist(), rng.integers(0, 4 + 90 * (k % 2), n).tolist()])
    return cases


in_page(
    "test_listmle_in_the_page_is_the_kernels", "refined",
    "x.map(([s, t]) => SC.explorers.refined.listMle(s, t))", rankings(),
)  # fmt: skip


def test_listmle_in_the_page_is_the_kernels(said):
    for (scores, targets), loss in zip(rankings(), said, strict=True):
        wanted = losses.list_mle(np.array(scores), np.array(targets, dtype=float)).item()
        assert loss == pytest.approx(wanted, abs=1e-9)


SIGMAS = [-1.0, -0.2, 0.0, 0.5, 0.9, 1.0]


def batches():
    """Vectors of a guide, and the table of pairs that a page would get."""
    rng, cases = np.random.default_rng(3), []
    for n in (2, 3, 7):
        x = rng.normal(size=(3, n, 4))
        unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
        cosine = unit[0] @ np.concatenate([unit[1], unit[2]]).T
        pairs = [
            {"own": bool(j % n == i), "cosine": cosine[i, j], "false negative": bool((i + j) % 3)}
            for i in range(n) for j in range(2 * n)
        ]  # fmt: skip
        cases.append((x, pairs))
    return cases


in_page(
    "test_the_mask_in_the_page_is_the_kernels", "mask",
    "x.map((pairs) => " + json.dumps(SIGMAS) + ".map((s) => "
    "[pairs.map((p) => SC.explorers.mask.masked(p, s)), SC.explorers.mask.count(pairs, s)]))",
    [pairs for _, pairs in batches()],
)  # fmt: skip


def test_the_mask_in_the_page_is_the_kernels(said):
    for (x, pairs), each in zip(batches(), said, strict=True):
        n = x.shape[1]
        right = np.array([p["false negative"] and not p["own"] for p in pairs])
        for sigma, (masked, count) in zip(SIGMAS, each, strict=True):
            keep = losses.false_negative_keep(*x, sigma=sigma).numpy()
            assert masked == (~keep).ravel().tolist()
            assert count["masked"] == (~keep).sum() == count["right"] + count["wrong"]
            assert count["right"] == (~keep.ravel() & right).sum()
            assert count["truth"] == right.sum() and count["others"] == 2 * n * (n - 1)


def tasks():
    rng, cases = np.random.default_rng(4), []
    for k in range(40):
        sizes = rng.integers(3, 25, int(rng.integers(1, 5)))
        gold = [rng.integers(0, 11, n) / 2 for n in sizes]
        cosine = [rng.normal(size=n).round(1 + k % 3) for n in sizes]
        if not any((v == v[0]).all() for v in [*gold, *cosine]):
            cases.append([{"gold": g.tolist(), "cosine": c.tolist()}
                          for g, c in zip(gold, cosine, strict=True)])  # fmt: skip
    return cases


def aggregated(parts):
    name = np.repeat([str(i) for i in range(len(parts))], [len(p["gold"]) for p in parts])
    cosine, gold = (np.concatenate([p[key] for p in parts]) for key in ("cosine", "gold"))
    return sts.aggregate("t", cosine, gold, name)


MARKS = "x.map((c) => SC.explorers.aggregation.marks(c))"
in_page("test_marks_in_the_page_are_those_of_evaluation", "aggregation", MARKS, tasks())


def test_marks_in_the_page_are_those_of_evaluation(said):
    assert len(said) > 25
    for mine, parts in zip(said, tasks(), strict=True):
        theirs = aggregated(parts)
        assert {k: mine[k] for k in theirs} == pytest.approx(theirs)


EQUAL = [{"gold": [1, 2, 3], "cosine": [0.5, 0.5, 0.5]}, {"gold": [1, 2], "cosine": [1, 2]}]
in_page("test_a_part_of_equal_cosines_is_undefined", "aggregation", MARKS, [EQUAL])


def test_a_part_of_equal_cosines_is_undefined(said):
    with pytest.warns(UserWarning, match="undefined"):
        wanted = aggregated(EQUAL)
    assert said[0]["mean"] is None and np.isnan(wanted["mean"])
    assert said[0]["wmean"] is None and np.isnan(wanted["wmean"])
    assert said[0]["all"] == pytest.approx(wanted["all"])


# ------------------------------------------------------------------ the mask
def counted(sigma, guide="one"):
    pairs = mask_figure().tables["pairs"].query("guide == @guide and not own")
    masked = pairs["cosine"] >= sigma
    return masked.sum(), (masked & pairs["false negative"]).sum()


visit("test_sigma_is_a_slider_and_a_line", "mask", """
  const before = [await state(), await tools.picture()];
  await tools.slide(0.3); await tools.settle();
  const after = [await state(), await tools.picture()], told = await tools.says();
  await drag(page.locator(".sc-sigma rect"), 60, 0);
  const dragged = await state();
  await page.locator("input[type=range]").focus();
  await page.keyboard.press("ArrowLeft"); await tools.settle();
  const keyed = await state();
  await set({ sigma: 0 });
  return [before, after, told, dragged, keyed, await page.locator(".sc-masked").count()];""")


def test_sigma_is_a_slider_and_a_line(said):
    before, after, told, dragged, keyed, frames = said
    assert before[0]["sigma"] == 0.9 and after[0]["sigma"] == pytest.approx(0.3, abs=0.03)
    assert before[1] != after[1]
    masked, right = counted(after[0]["sigma"])
    assert f"takes out {masked} of 24 candidates" in told
    assert f"these are {right} of the" in told
    assert dragged["sigma"] > after[0]["sigma"] + 0.03
    assert keyed["sigma"] == pytest.approx(dragged["sigma"] - 0.01)
    assert frames == counted(0)[0]  # the own pairs are never among them


visit("test_a_cell_reads_its_sentences", "mask", """
  const start = await page.locator(".sc-pair").innerText();
  const cell = page.locator(".sc-stage svg").first().locator("rect").nth(0);
  await cell.click({ force: true }); await tools.settle();
  const pressed = [await state(), await page.locator(".sc-pair").innerText()];
  await page.locator(".sc-plot").first().focus();
  for (const key of ["ArrowRight", "ArrowRight", "ArrowDown"]) await page.keyboard.press(key);
  await tools.settle();
  const read = await tools.says();
  await page.keyboard.press("Enter"); await tools.settle();
  return [start, pressed, [await state(), await page.locator(".sc-pair").innerText()], read];""")


def test_a_cell_reads_its_sentences(said):
    start, pressed, keyed, read = said
    assert "anchor 0" in start and HOSTILE in start and "sentence 5" in start
    assert pressed[0]["cell"] == ["0", "0+"] and "own pair, never masked" in pressed[1]
    assert keyed[0]["cell"][0] == "1" and keyed[0]["cell"] != pressed[0]["cell"]
    assert "sentence 1" in keyed[1] and "sentence 1" in read


visit("test_another_guide_and_without_the_oracle", "mask", """
  await page.getByText("other", { exact: true }).click(); await tools.settle();
  await set({ sigma: 0.2 });
  const other = await text();
  await page.locator("input[type=checkbox]").uncheck(); await tools.settle();
  return [other, await text(), await page.locator(".sc-count").innerText()];""")


def test_another_guide_and_without_the_oracle(said):
    masked, right = counted(0.2, "other")
    assert f"takes out {masked} of 24" in said[0] and f"these are {right} of" in said[0]
    assert "oracle" not in said[1] and "racle" not in said[2]


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


visit("test_a_sentence_is_dragged_and_moved_by_keys", "refined", """
  const start = [await state(), await text(), await page.locator(".sc-items").innerText()];
  const grip = (item) => page.locator(`li[data-item="${item}"] .sc-drag`);
  const below = await page.locator('li[data-item="4"]').boundingBox();
  const here = await page.locator('li[data-item="1"]').boundingBox();
  await drag(grip(1), 0, below.y - here.y + 8);
  const dragged = [await state(), await text()];
  await grip(5).focus();
  await page.keyboard.press("ArrowUp"); await tools.settle();
  await page.keyboard.press("ArrowUp"); await tools.settle();
  const focus = await page.evaluate("document.activeElement.dataset.key");
  const keyed = [await state(), await tools.says()];
  await page.getByText("Put the list back").click(); await tools.settle();
  return [start, dragged, keyed, await state(), focus];""")


def test_a_sentence_is_dragged_and_moved_by_keys(said):
    start, dragged, keyed, back, focus = said
    assert start[0]["order"] == list(range(6)) and HOSTILE in start[2]
    assert dragged[0]["order"] == [0, 2, 3, 4, 1, 5]
    assert keyed[0]["order"] == [0, 2, 3, 5, 4, 1] and focus == "drag-item-5"
    assert start[1] == "A list."  # the text alternative, until a reader changes something
    for state, text in (dragged, keyed):
        for words in told(state["order"]):
            assert words in plain(text), text
    assert back["order"] == list(range(6))


visit("test_omega_variant_and_row_act", "refined", """
  await tools.slide(1); await tools.settle();
  const slid = [await state(), await text()];
  await page.getByText("printed", { exact: true }).click();
  await page.locator("input[type=range]").nth(1).focus();
  await page.keyboard.press("ArrowRight"); await page.keyboard.press("ArrowRight");
  await tools.settle();
  const printed = [await state(), await text()];
  await set({ omega: 0 });
  const zero = await text();
  await set({ omega: 0.5, variant: "paper", row: 1, order: [0, 0, 9] });
  return [slid, printed, zero, await text()];""")


def test_omega_variant_and_row_act(said):
    slid, printed, zero, odd = said
    assert slid[0]["omega"] == 1 and printed[0]["row"] == 3
    for words in told(range(6), omega=1):
        assert words in plain(slid[1])
    for words in told(range(6), omega=1, variant="printed", row=3):
        assert words in plain(printed[1])
    assert "0 similarities rise, 0 fall" in zero
    assert all(words in plain(odd) for words in told(range(6)))  # no order: the list's own


# ------------------------------------------------------------------ aggregation
def marks(shift=None, without=()):
    df = clouds().query("encoder == 'one'")
    df = df[~df["part"].isin(without)]
    cosine = df["cosine"] + df["part"].map(lambda name: (shift or {}).get(name, 0))
    found = sts.aggregate("t", cosine.to_numpy(), df["gold"].to_numpy(), df["part"].to_numpy())
    return ", ".join(f"{k} {v:.1f}" for k, v in found.items())


visit("test_clouds_are_dragged_keyed_and_left_out", "aggregation", """
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
  const level = [await state(), await text()];
  await set({ hidden: level[0].parts = await page.evaluate(`${view}.all.pairs.unique("part")`) });
  return [start, dragged, keyed, left, level, back, await text()];""")


def test_clouds_are_dragged_keyed_and_left_out(said):
    start, dragged, keyed, left, level, back, none = said
    assert start[0] == "Clouds." and HOSTILE[:40] in start[1]
    assert -0.5 <= dragged[0]["shift"]["top"] < -0.1
    assert marks(dragged[0]["shift"]) in plain(dragged[1])
    assert keyed[0]["shift"]["middle"] == 0.05
    assert marks(keyed[0]["shift"]) in plain(keyed[1])
    assert left[0]["hidden"] == ["middle"]
    assert marks(keyed[0]["shift"], ["middle"]) in plain(left[1])
    assert back[0]["shift"] == {} and marks() in plain(back[1])
    assert marks(level[0]["shift"]) in plain(level[1])
    one = clouds().query("encoder == 'one'")
    means = one.groupby("part")["cosine"].mean() + pd.Series(level[0]["shift"])
    assert np.ptp(means) < 0.002
    assert none == "All parts are left out."


# ------------------------------------------------------------------ usual kinds, growing
visit("test_a_path_grows_up_to_a_step_and_plays", "growing", """
  const points = () => page.locator(".sc-stage svg path").count();
  const start = [await state(), await points()];
  await tools.slide(0); await tools.settle();
  const slid = [await state(), await points()];
  await page.locator(".sc-play").click();
  await page.getByText("Train").waitFor(); await tools.settle();
  const played = [await state(), await points()];
  await page.locator(".sc-plot").focus();
  await page.keyboard.press("ArrowRight"); await page.keyboard.press("ArrowRight");
  await tools.settle();
  return [start, slid, played, await tools.says()];""")


def test_a_path_grows_up_to_a_step_and_plays(said):
    start, slid, played, read = said
    assert start[0]["step"] == 40 and slid[0]["step"] == 0
    assert slid[1] < start[1]
    assert played[0]["step"] == 40 and played[0]["play"] is False and played[1] == start[1]
    assert "step 10" in read


visit("test_reduced_motion_jumps", "growing", """
  await set({ step: 0 });
  await page.locator(".sc-play").click(); await tools.settle();
  return state();""", reduced=True)


def test_reduced_motion_jumps(said):
    assert said["step"] == 40 and said["play"] is False


def test_what_names_no_figure_or_column_is_refused():
    figure = growing_figure()
    broken = {**figure.spec, "options": {"spec": {"kind": "pie"}}}
    with pytest.raises(ValueError, match="unknown kind 'pie'"):
        viz.Figure(figure.tables, broken, "a", label="fig-99-x", caption="c")
    growing = {**figure.spec["options"]["spec"], "hover": ["absent"]}
    with pytest.raises(ValueError, match="absent"):
        viz.Figure(figure.tables, growing, "a", label="fig-99-x", caption="c")


# ------------------------------------------------------------------ everywhere
PHONE = {"mask": "light", "refined": "dark", "aggregation": "dark", "growing": "light"}
for _name, _scheme in PHONE.items():
    visit(f"test_a_phone_holds_it_and_names_all_controls[{_name}]", _name, """
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
  }));""", width=390, touch=True, scheme=_scheme)


@pytest.mark.parametrize("name", PHONE)
def test_a_phone_holds_it_and_names_all_controls(said, name):
    assert said == {"over": 0, "small": [], "nameless": 0, "errors": 0, "images": 0}


BAD = {
    "no number": "finite numbers", "half a matrix": "all 3 × 3 pairs",
    "no cosine": "a cosine is not a number", "no pair": "lack a score or a cosine",
}  # fmt: skip
for _name in BAD:
    visit(f"test_bad_data_is_said_in_the_figures_place[{_name}]", _name, """
  return page.locator(".sc-error").allInnerTexts();""")


@pytest.mark.parametrize("name", BAD)
def test_bad_data_is_said_in_the_figures_place(said, name):
    assert BAD[name] in " ".join(said), said
