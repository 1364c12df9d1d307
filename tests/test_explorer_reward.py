"""The landscape of the dual reward: its logic against the kernels, and what a page does."""

import json
import shutil
import subprocess

import living
import numpy as np
import pandas as pd
import pytest

from synthlib import rewards
from synthlib.viz.landscape import reward_landscape
from synthlib.viz.script import FOLDER

HOSTILE = '<script>alert(1)</script> "><img src=x onerror=alert(2)> & friends'
BOUNDS = rewards.Bounds(0.9, 0.75, 0.97)
needs_browser = pytest.mark.skipif(living.missing() is not None, reason=str(living.missing()))


def some_answers(requests=6, candidates=4, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        {"row": row, "kind": kind, "candidate": candidate, "anchor": HOSTILE,
         "text": f"answer {candidate} {HOSTILE}", "p": round(rng.uniform(), 4),
         "similarity": round(rng.uniform(-0.2, 1), 3), "right": bool(rng.random() < 0.5)}
        for row in range(requests) for kind in rewards.KINDS for candidate in range(candidates)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def a_policy():
    found = [some_answers(2, 1, seed).assign(step=step, right=step == 8)
             for seed, step in enumerate((0, 4, 8))]  # fmt: skip
    return pd.concat(found)


# ------------------------------------------------------------------ the same reward
@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_the_page_rewards_as_the_kernels_do():
    rng = np.random.default_rng(0)
    cases = []
    for i in range(300):
        kind = rewards.KINDS[i % 2]
        low, high = rng.uniform(-1, 1, 2).round(2)
        s = rng.uniform(-1, 1)
        if i % 7 == 0:  # on the bound itself
            s = low if kind == "positive" else high
        cases.append({
            "s": s, "p": rng.uniform(), "kind": kind, "omega": rng.uniform(),
            "alpha_positive": low, "alpha_negative": high, "w1": rng.uniform(), "w2": rng.uniform(),
        })  # fmt: skip
    table = some_answers(8, 5).rename_axis("at").reset_index()
    picks = [{"kind": kind, "n": n, **cases[k]} | {"kind": kind}
             for k, (kind, n) in enumerate((a, b) for a in rewards.KINDS for b in (1, 3, 5))]
    work = {"cases": cases, "rows": table.to_dict("records"), "picks": picks}
    code = (
        "const SC = {explorers: {}};\n"
        + (FOLDER / "explorers" / "reward.js").read_text(encoding="utf-8")
        + "\nconst job = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n"
        "const values = job.cases.map((c) => SC.reward.dual(c.s, c.p, c.kind, c));\n"
        "const best = job.picks.map((c) => SC.reward.best(job.rows.filter((r) => r.kind === c.kind)"
        ", c.n, c).map((r) => r.at));\n"
        "console.log(JSON.stringify({values, best}));"
    )
    done = subprocess.run(
        ["node", "-e", code], input=json.dumps(work), capture_output=True, text=True, check=True,
        timeout=60,
    )  # fmt: skip
    found = json.loads(done.stdout)

    def reward(s, p, kind, c):
        bound = c["alpha_positive"] if kind == "positive" else c["alpha_negative"]
        return rewards.dual_reward(
            rewards.correctness_reward(p, c["omega"]),
            rewards.difficulty_reward(s, kind, bound), c["w1"], c["w2"],
        )  # fmt: skip

    wanted = [reward(c["s"], c["p"], c["kind"], c) for c in cases]
    np.testing.assert_allclose(found["values"], wanted, atol=1e-12)
    for c, chosen in zip(picks, found["best"], strict=True):
        own = table[(table["kind"] == c["kind"]) & (table["candidate"] < c["n"])]
        earned = own.assign(r=reward(own["similarity"], own["p"], c["kind"], c))
        assert sorted(chosen) == sorted(own.loc[earned.groupby("row")["r"].idxmax(), "at"])


# ------------------------------------------------------------------ the figure
def test_the_figure_says_what_is_wanted():
    figure = reward_landscape(some_answers(), BOUNDS, label="fig-07-landscape", caption="c")
    assert "cliffs lie at cosines of 0.75" in figure.alt
    for kind in rewards.KINDS:
        assert (figure.tables[f"still-{kind}"]["oracle"] == "best of 4").sum() == 6
    assert figure.spec["options"]["who"] == "the oracle"
    other = reward_landscape(
        some_answers(), BOUNDS, who="the examiner", label="fig-14-landscape", caption="c"
    )
    assert other.spec["options"]["who"] == "the examiner"
    with pytest.raises(ValueError, match="needs a column 'p'"):
        reward_landscape(some_answers().drop(columns="p"), BOUNDS)
    with pytest.raises(ValueError, match="empty"):
        reward_landscape(some_answers().head(0), BOUNDS)


def test_a_policy_answers_the_anchors_of_the_generator():
    figure = reward_landscape(some_answers(), BOUNDS, policy=a_policy(), label="fig-a", caption="c")
    assert set(figure.tables["policy"]["anchor"]) == set(figure.tables["answers"]["anchor"])
    elsewhere = a_policy()
    elsewhere.loc[elsewhere["step"] == 4, "anchor"] = "another anchor"
    with pytest.raises(ValueError, match="anchors at step 4 are not those of the answers"):
        reward_landscape(some_answers(), BOUNDS, policy=elsewhere, label="fig-a", caption="c")


@pytest.mark.parametrize("w1, w2", [(0.5, 0.5), (0.7, 0.3), (0.0, 1.0), (1.0, 0.0)])
def test_the_static_picture_marks_the_cliff_and_shades_what_earns(w1, w2):
    figure = reward_landscape(
        some_answers(), BOUNDS, w1=w1, w2=w2, label="fig-07-landscape", caption="c"
    )
    panels = figure.spec["static"]["panels"]
    bounds = dict(zip(rewards.KINDS, (BOUNDS.positive_bound, BOUNDS.negative_bound), strict=True))
    for kind, panel in zip(rewards.KINDS, panels, strict=True):
        assert [mark["at"] for mark in panel["vlines"]] == [bounds[kind]]
        for s in np.linspace(-0.25, 0.995, 40):
            for p in np.linspace(0.01, 0.99, 30):
                earned = rewards.dual_reward(
                    rewards.correctness_reward(p, BOUNDS.lower_bound),
                    rewards.difficulty_reward(s, kind, bounds[kind]), w1, w2,
                )  # fmt: skip
                shaded = any(
                    all(a * s + b * p >= r for a, b, r in region["where"])
                    for region in panel["regions"]
                )
                assert shaded == (earned > 0) or abs(earned) < 1e-9


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("landscape")
    figure = reward_landscape(
        some_answers(), BOUNDS, policy=a_policy(), label="fig-07-landscape", caption="c"
    )
    (folder / "page.html").write_text(figure.page(), encoding="utf-8")
    return folder / "page.html"


@needs_browser
def test_drag_keyboard_and_sliders_change_it_without_a_network(page):
    code = """async (page, tools) => {
      const out = {}, value = () => page.locator("[data-key='drag-probe']").getAttribute("aria-valuetext");
      out.first = await value(); out.picture = await tools.picture();
      const probe = await page.locator("[data-key='drag-probe'] circle").last().boundingBox();
      const [x, y] = [probe.x + probe.width / 2, probe.y + probe.height / 2];
      await page.mouse.move(x, y); await page.mouse.down();
      await page.mouse.move(x - 120, y + 60, { steps: 5 }); await page.mouse.up();
      await tools.settle();
      out.dragged = await value(); out.after = await tools.picture(); out.says = await tools.says();
      await page.locator("[data-key='drag-probe']").focus();
      await page.keyboard.press("ArrowRight"); await tools.settle();
      await page.keyboard.press("ArrowDown"); await tools.settle();
      out.keys = await value();
      out.kept = await page.evaluate(() => document.activeElement.dataset.key);
      await tools.slide(0.2, 0); await tools.settle();
      out.slid = await tools.picture(); out.saysSlid = await tools.says();
      out.scale = await page.locator(".sc-scale").textContent();
      await page.getByText("whole plane", { exact: true }).click(); await tools.settle();
      out.whole = await tools.picture();
      await page.getByText("hard negatives", { exact: true }).first().click(); await tools.settle();
      out.negatives = await tools.says();
      await page.getByText("a policy", { exact: true }).click(); await tools.settle();
      out.policy = await tools.says();
      await tools.slide(1, 6); await tools.settle();
      out.step = await tools.says();
      await page.locator("[data-key='drag-probe']").focus();
      for (let i = 0; i < 4; i++) {
        await page.keyboard.press("ArrowLeft"); await tools.settle();
      }
      out.scripts = await page.evaluate(() => document.querySelectorAll(".sc-living script, .sc-living img").length);
      return out;
    }"""  # noqa: E501
    (report,) = living.run({"file": page, "code": code, "width": 800})
    found = report["result"]
    assert not report["remote"] and not report["errors"] and not report["dialogs"]
    assert found["first"] == "similarity 0.90, probability 0.95, reward +0.07"
    assert found["dragged"] != found["first"] and found["after"] != found["picture"]
    assert found["dragged"].split(", reward")[0].removeprefix("similarity ")[:4] in found["says"]
    before, after = (
        [float(part.split()[-1]) for part in found[name].split(", ")[:2]]
        for name in ("dragged", "keys")
    )
    assert after[0] == pytest.approx(before[0] + 0.01, abs=0.011)
    assert after[1] == pytest.approx(before[1] - 0.01, abs=0.011)
    assert found["kept"] == "drag-probe"  # the focus survives the redraw
    assert found["slid"] != found["after"] and found["whole"] != found["slid"]
    assert "costs" in found["scale"] and "earns" in found["scale"]
    assert "Best of 4 by this reward" in found["saysSlid"]
    assert "A hard negative of similarity" in found["negatives"]
    assert "at step 0" in found["policy"] and "0 % right" in found["policy"]
    assert "at step 8" in found["step"] and "100 % right" in found["step"]
    assert found["scripts"] == 0


@needs_browser
def test_hostile_words_are_read_as_text(page):
    code = """async (page, tools) => {
      await page.locator(".sc-plot").first().focus();
      await page.keyboard.press("ArrowRight"); await tools.settle();
      return { tip: await page.locator(".sc-tip").innerText(),
               elements: await page.evaluate(() => document.querySelectorAll(".sc-tip script, .sc-tip img").length) };
    }"""  # noqa: E501
    reports = living.run(
        {"file": page, "code": code, "width": 380, "touch": True},
        {"file": page, "code": code, "width": 800, "scheme": "dark"},
    )
    for report in reports:
        assert not report["dialogs"] and not report["errors"] and not report["remote"]
        assert "<script>alert(1)</script>" in report["result"]["tip"]
        assert report["result"]["elements"] == 0
