"""The dial of ω over recorded answers: the tree, what the page makes of it, and the figure."""

import dataclasses
import json
import math
import os
import subprocess
from pathlib import Path

import living
import numpy as np
import pytest

from synthlib import answers, decoding, models, prompts, tiers, weights
from synthlib.experiments import ch13, field
from synthlib.methods import multicsr
from synthlib.viz import explorers
from synthlib.world import corpora

JS = Path(explorers.__file__).parent / "js" / "explorers" / "dial.js"
HOSTILE = '<script>alert(1)</script> "><img src=x onerror=alert(2)> & friends'
needs_browser = pytest.mark.skipif(living.missing() is not None, reason=str(living.missing()))


@pytest.fixture(scope="module")
def recorded():
    return field.recorded("13-dial")


@pytest.fixture(scope="module")
def tables(recorded):
    return ch13.dial_tables(recorded)


@pytest.fixture(scope="module")
def trees(recorded):
    return dict(list(recorded.groupby(["seed", "caption", "kind"])))


def premise(caption):
    return field.captions()[int(caption[1:]) - 1]


# ------------------------------------------------------------------ the recording
def test_every_answer_is_the_one_that_the_sweep_has(trees):
    """The sweep was written by the decoder itself, one ω at a time."""
    sweep, compared = field.recorded("13-sweep").query("shots == 4"), 0
    for (seed, caption, kind), tree in trees.items():
        own = sweep[(sweep["seed"] == seed) & (sweep["kind"] == kind)]
        own = own[own["premise"] == premise(caption)].set_index("omega")
        assert set(own["instruction"]) == set(tree["instruction"])
        found = ch13.walks(tree)
        for row in own.itertuples():
            last = found[row.Index][-1]
            assert (last.output, last.outcome) == (row.output, row.outcome)
            compared += 1
    assert compared == 6 * len(ch13.OMEGAS)


def test_every_omega_of_the_grid_has_an_answer_that_ends_once(trees):
    assert {key[0] for key in trees} == set(ch13.DIAL)
    for tree in trees.values():
        found = ch13.walks(tree)
        assert tuple(found) == ch13.DIAL_OMEGAS
        for walk in found.values():
            assert [row.next for row in walk].count(-1) == 1 and walk[-1].next == -1
            text = "".join(row.token for row in walk)
            assert answers.read(text)[0] == walk[-1].output
        # Nothing is recorded that no ω reaches.
        reached = {row.node for walk in found.values() for row in walk}
        assert set(tree["node"]) == reached == set(range(len(reached)))


def test_the_recorded_candidates_give_the_decoders_token_at_every_omega(trees):
    """A loop over the equation, on the rounded numbers that the page has."""
    for tree in trees.values():
        for _, some in tree.groupby("node"):
            there = [(o, i) for i in some.index for o in ch13.shares_of(some["mixed"][i])]
            for omega, chosen in there:
                best, total = None, 0.0
                share = ch13.shares_of(some["mixed"][chosen])[omega]
                for i in some.index:
                    score = some["asked"][i] - omega * some["noisy"][i]
                    own = some["asked"][chosen] - omega * some["noisy"][chosen]
                    if best is None or score > best[0]:
                        best = (score, i)
                    total += share * math.exp(score - own)
                assert best[1] == chosen
                assert total < 1.01, "the candidates are some of the vocabulary's words"


def test_log_probabilities_are_those_of_the_most_probable_tokens(trees):
    for tree in trees.values():
        for _, some in tree.groupby("node"):
            for column in ("asked", "noisy"):
                p = np.exp(some[column])
                assert p.sum() < 1.01 and some[column].max() <= 0
                assert p.max() > 0.02, "the context's own favourite is among them"


def test_only_the_three_seeds_have_captions():
    with pytest.raises(ValueError, match="captions are chosen for the seeds 0, 1, 2"):
        ch13.record_dial(7)


# ------------------------------------------------------------------ the decoder
@pytest.mark.parametrize("name", ["generator-llama", "generator-t5"])
def test_all_omegas_at_once_are_the_decoder_one_by_one(name):
    generator = models.load_generator(f"pocket/{name}", device="cpu")
    form = prompts.form_of(*generator)
    asked = multicsr.ask(corpora.premises(4, seed=31), seed=31, form=form)
    omegas, different = (-0.3, 0.0, 0.2, 0.45, 0.7, 0.95), set()
    for row in asked.itertuples():
        pair = row.contradiction_prompt, row.contradiction_noisy
        tree = ch13.dial(generator, *pair, omegas, max_new_tokens=14)
        found = ch13.walks(tree)
        assert tuple(found) == omegas
        for omega, walk in found.items():
            (text,) = decoding.contrastive_generate(
                *generator, [pair[0]], [pair[1]], omega=omega, max_new_tokens=14
            )
            assert [one.token for one in walk if one.token] == text.split()
            different.add(text)
    assert len(different) > 8


def test_the_model_weighs_what_is_recorded(trees):
    """One answer, token by token: both contexts in one pass each, without cache or padding."""
    try:
        folder = weights.get("laptop/smollm2-135m-instruct", progress=False)
    except OSError as error:
        pytest.skip(f"the laptop tier's generator cannot be had: {error}")
    settings = dataclasses.replace(tiers.get("laptop").multicsr, generator=str(folder))
    generator = field.load("generator", settings, device="cpu", seed=1)
    text = "An electrician is changing a light bulb."
    asked = multicsr.ask(ch13.premises(1), seed=1, form=prompts.form_of(*generator))
    row = asked.set_index("anchor").loc[text]
    (tree,) = (t for (seed, caption, kind), t in trees.items()
               if seed == 1 and premise(caption) == text and kind == "contradiction")  # fmt: skip
    walk, tokenizer = ch13.walks(tree)[0.4], generator[1]
    said = "".join(one.token for one in walk)
    ids = tokenizer(said, add_special_tokens=False)["input_ids"]
    assert [tokenizer.decode([i]) for i in ids] == [one.token for one in walk if one.token]
    both = [
        decoding.forced_logits(generator, row[f"contradiction_{name}"], said).astype(float)
        for name in ("prompt", "noisy")
    ]
    for step, one in enumerate(walk[:-1]):
        logs = [x[step] - np.logaddexp.reduce(x[step]) for x in both]
        assert logs[0][ids[step]] == pytest.approx(one.asked, abs=0.02)
        assert logs[1][ids[step]] == pytest.approx(one.noisy, abs=0.02)
        mixed = logs[0] - 0.4 * logs[1]
        share = np.exp(mixed[ids[step]] - np.logaddexp.reduce(mixed))
        assert share == pytest.approx(ch13.shares_of(one.mixed)[0.4], rel=0.05)


# ------------------------------------------------------------------ the page's arithmetic
def node(code, data):
    import browser

    if browser.shutil.which("node") is None:
        (pytest.fail if os.environ.get("BROWSER_REQUIRED") else pytest.skip)("no Node.js")
    job = {"scripts": [str(JS)], "code": code, "data": data}
    done = subprocess.run(
        ["node", str(browser.HERE / "model.cjs")],
        input=json.dumps(job), capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert not done.returncode, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_the_page_picks_pythons_tokens_at_every_omega(tables):
    words, known = tables["words"], tables["steps"].groupby(["case", "omega"], sort=False)
    cases = [part.to_dict("records") for _, part in words.groupby("case")]
    got = node(
        """(SC, { cases, omegas }) => cases.map((rows) => {
          const nodes = SC.dial.nodesOf(rows);
          return omegas.map((omega) => SC.dial.walk(nodes, omega).map((step) => {
            const leaders = SC.dial.weighed(nodes, step, omega);
            return [step.taken.token, leaders[0].p[2], leaders.map((c) => c.p[2])];
          }));
        })""",
        {"cases": cases, "omegas": list(ch13.DIAL_OMEGAS)},
    )
    compared = 0
    for (case, omega), steps in known:
        mine = got[case][ch13.DIAL_OMEGAS.index(omega)]
        assert [one[0] for one in mine] == list(steps["token"])
        assert [one[1] for one in mine] == pytest.approx(list(steps["share"]))
        # The chosen one leads, and the candidates' shares are some of the whole.
        assert all(one[2] == sorted(one[2], reverse=True) and sum(one[2]) < 1.01 for one in mine)
        compared += len(mine)
    assert compared == len(tables["steps"]) > 1000


# ------------------------------------------------------------------ the figure
def test_instructions_are_those_of_the_recording(recorded, tables):
    for row in tables["cases"].itertuples():
        own = recorded[(recorded["kind"] == row.kind)
                       & (recorded["caption"].map(premise) == row.premise)]  # fmt: skip
        texts = {"entailment": prompts.ENTAILMENT, "contradiction": prompts.CONTRADICTION}
        assert texts[row.kind]["paper"].index(row.instruction) + 1 == own["instruction"].iloc[0]
        other = "entailment" if row.kind == "contradiction" else "contradiction"
        assert row.subtracted in texts[other]["paper"]


def test_what_chapter_and_cover_say_is_in_the_recording(tables):
    """The prose beside the figures names words, ω and probabilities."""
    assert tables["cases"]["premise"][0] == "An electrician is changing a light bulb."
    own = tables["answers"].query("case == 0").set_index("omega")
    assert set(own["outcome"][own.index <= 0.2]) == {"copied"}
    assert own["output"][0.25].endswith("a light bulb into a light bulb.")
    assert own["output"][0.35].endswith("a radio.")
    assert all("a coffee mug" in own["output"][omega] for omega in (0.4, 0.45, 0.5))
    assert set(own["outcome"][own.index >= 0.35]) == {"right"} and own["reader"][0.8] == "none"
    words = tables["words"].query("case == 0")

    def p(token, column, node):
        at = words[(words["node"] == node) & (words["token"] == token)]
        return math.exp(at[column].iloc[0])

    place = words[words["token"] == " coffee"]["node"].iloc[0]
    assert round(1000 * p(" coffee", "asked", place)) == 3 and p(" coffee", "noisy", place) < 1e-4
    assert round(100 * p(" light", "asked", place)) == 31
    assert round(100 * p(" light", "noisy", place)) == 91
    ice = words[(words["node"] == 1) & (words["token"] == " ice")].iloc[0]
    assert ch13.shares_of(ice["mixed"])[0.6] == pytest.approx(0.01, abs=0.003)
    second = words[words["node"] == 1].assign(score=lambda t: t["asked"] - 0.8 * t["noisy"])
    second = second.sort_values("score", ascending=False).iloc[:2]
    assert list(second["token"]) == [" ice", " aspirin"]
    assert np.exp(second[["asked", "noisy"]].iloc[1]).max() < 1e-6
    cover = ch13.dial_cover()
    assert list(cover.tables["cases"]["kind"]) == ["contradiction"] * 2
    assert set(cover.tables["answers"].query("omega == 0")["outcome"]) == {"copied"}
    at = cover.tables["answers"].query("0.2 < omega < 0.6").groupby("case")["outcome"]
    assert at.apply(lambda some: "right" in set(some)).all()


def test_the_file_and_the_cover_are_light(recorded):
    assert (ch13.paths.DATA / "field" / "recorded" / "13-dial.csv").stat().st_size < 150_000
    assert len(json.dumps(ch13.dial_cover().payload())) < 50_000


def test_the_still_picture_has_whole_answers_or_says_that_they_go_on(tables):
    figure = explorers.dial(tables)
    still = figure.tables["still"]
    assert list(dict.fromkeys(still["omega"])) == [
        f"{omega:g}".replace("-", "−") for omega in explorers.STILL
    ]
    for omega in explorers.STILL:
        shown = still[still["omega"] == f"{omega:g}".replace("-", "−")]
        own = tables["steps"].query("case == 0 and omega == @omega")
        tokens = [token.strip() or "(end)" for token in own["token"]]
        if len(tokens) > explorers.PLACES:
            tokens = [*tokens[: explorers.PLACES - 1], "…"]
        assert list(shown["token"]) == tokens


def test_what_is_missing_is_named(tables):
    with pytest.raises(ValueError, match="the table 'steps' is wanted"):
        explorers.dial({name: tables[name] for name in ("cases", "answers", "words")})
    with pytest.raises(ValueError, match="the table 'words' needs a column 'noisy'"):
        explorers.dial({**tables, "words": tables["words"].drop(columns="noisy")})
    with pytest.raises(ValueError, match=r"case 9 is not recorded; there are: 0, 1, 2, 3, 4, 5"):
        explorers.dial(tables, case=9)
    with pytest.raises(ValueError, match=r"omega 0.33 is not recorded; there are: -0.2, -0.15"):
        explorers.dial(tables, omega=0.33)


# ------------------------------------------------------------------ readers
@pytest.fixture(scope="module")
def pages(tables, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dial")
    hostile = {name: table.copy() for name, table in tables.items()}
    words = hostile["words"]
    words.loc[(words["case"] == 0) & (words["node"] == 0), "token"] = HOSTILE
    hostile["cases"][["premise", "instruction", "subtracted"]] = HOSTILE
    hostile["answers"]["output"] = HOSTILE
    found = {}
    for name, some in (("dial", tables), ("hostile", hostile)):
        figure = explorers.dial(some, outcomes=ch13.OUTCOME_COLOURS, **ch13.DIAL_WORDS,
                                label=f"fig-13-{name}", caption="A caption.")  # fmt: skip
        found[name] = folder / f"{name}.html"
        found[name].write_text(figure.page(), encoding="utf-8")
    return found


def visit(page, code, **options):
    """Do something with a page; whatever it is, nothing may fail or leave the machine."""
    helpers = """
      const view = (f) => page.evaluate(`(${f})(document.querySelector("[data-sc-figure]").scHandle.view)`);
      const words = () => page.$$eval(".sc-m-word", (all) => all.map((b) => b.textContent).join("|"));
      const press = async (...keys) => { for (const key of keys) await page.keyboard.press(key); await tools.settle(); };"""  # noqa: E501
    (seen,) = living.run({
        "file": page, "code": f"async (page, tools) => {{ {helpers} {code} }}", **options
    })  # fmt: skip
    assert [seen["errors"], seen["remote"], seen["dialogs"]] == [[], [], []]
    return seen["result"]


@needs_browser
@pytest.mark.parametrize("width", [800, 375])
def test_the_frame_of_a_piece_of_a_word_lies_around_its_letters(pages, width):
    """A full stop has a button that a finger meets, and a frame with the stop in its middle."""
    pieces = visit(pages["dial"], """
      const out = [];
      for (let i = 0; i < await page.locator(".sc-m-word").count(); i++) {
        const piece = page.locator(`[data-key="place-${i}"]`);
        if (await piece.evaluate((e) => !e.matches(".sc-m-glued, .sc-m-joins"))) continue;
        await piece.click({ position: { x: 4, y: 18 } }); await tools.settle();
        out.push(await piece.evaluate((e) => {
          const button = e.getBoundingClientRect(), letters = e.firstChild.getBoundingClientRect();
          const frame = getComputedStyle(e.firstChild, "::before"), own = getComputedStyle(e);
          return [e.textContent, button.width, own.borderTopColor, frame.borderTopWidth,
            letters.width + 6 - parseFloat(frame.width), frame.left, frame.right]; }));
      }
      return out;
    """, width=width)  # fmt: skip
    assert "." in [piece[0] for piece in pieces]
    for text, wide, border, framed, off, *sides in pieces:
        assert wide >= 24, "room for a finger"
        assert (border, framed, sides) == ("rgba(0, 0, 0, 0)", "1px", ["-3px", "-3px"]), text
        assert abs(off) < 0.6, text


@needs_browser
@pytest.mark.parametrize("width", [800, 375])
def test_no_name_of_an_outcome_is_crossed_by_a_line_or_the_frame(pages, width):
    crossed, names = visit(pages["dial"], """
      return page.evaluate(() => {
        const box = (e) => e.getBoundingClientRect();
        const stage = document.querySelector(".sc-plot svg");
        const names = [...stage.querySelectorAll(".sc-halo")].map((e) => [e.textContent, box(e)]);
        const lines = [...stage.querySelectorAll("line")].map((e) => box(e).left);
        const under = ([, at]) => lines.some((x) => x > at.left && x < at.right);
        const said = (some) => some.map(([text]) => text);
        return [said(names.filter(under)), said(names)];
      });
    """, width=width)  # fmt: skip
    assert "copied" in names and "right" in names
    assert crossed == []


@needs_browser
def test_the_dial_is_turned_by_keys_and_words_are_pressed(pages, tables):
    start, turned, verdict, ways, pinned, moved, banded = visit(pages["dial"], """
      const start = await words();
      await page.locator("input[type=range]").focus();
      await press(...Array(8).fill("ArrowRight"));
      const turned = await words(), verdict = await page.textContent(".sc-m-verdict");
      const ways = await page.textContent(".sc-m-ways");
      await page.locator('[data-key="place-1"]').click(); await tools.settle();
      const pinned = await page.textContent(".sc-m-detail-title");
      await press("ArrowRight");
      const moved = await page.textContent(".sc-m-detail-title");
      await page.locator(".sc-plot").focus();
      await press("ArrowRight", "End", "Enter");
      const banded = [await view((v) => v.state.omega), await page.textContent(".sc-m-verdict")];
      return [start, turned, verdict, ways, pinned, moved, [...banded, await tools.says()]];
    """)  # fmt: skip

    def said(omega):
        own = tables["steps"].query("case == 0 and omega == @omega")
        return "|".join(token.strip() or "(end)" for token in own["token"])

    assert (start, turned) == (said(0.0), said(0.4))
    assert verdict == "right, says the examiner."
    assert ways == (
        "Here the answers part. ω −0.20 to 0.30: light; 0.35: radio; 0.40 to 0.50: coffee."
    )
    assert pinned.startswith("Token 2: electric") and moved.startswith("Token 3: ian")
    assert banded[0] == 0.8
    assert banded[1] == "right, says the examiner. Our reader found nothing there to judge."
    assert "writes at ω = 0.80: An ice skater" in banded[2]


@needs_browser
@pytest.mark.parametrize("look", [{"width": 1000}, {"width": 360, "touch": True, "scheme": "dark"}])
def test_every_answer_can_be_shown_and_nothing_is_wider_than_the_page(pages, look):
    wide, slow = visit(pages["dial"], """
      let wide = 0, slow = 0;
      for (const place of [0, 1, 2, 3, 4, 5]) for (const omega of [-0.2, 0.3, 0.8]) {
        await page.evaluate((c) => document.querySelector("[data-sc-figure]").scHandle.set(c),
          { case: place, omega });
        await tools.settle();
        const beyond = () => document.documentElement.scrollWidth - innerWidth;
        wide = Math.max(wide, await page.evaluate(beyond));
        slow += await tools.redraw();
      }
      return [wide, slow / 18];""", **look)  # fmt: skip
    assert wide <= 0
    print(f"{slow:.1f} ms a redraw")


@needs_browser
def test_words_of_a_model_are_words(pages):
    alive, first, asked = visit(pages["hostile"], """
      return [await page.locator(".sc-stage img, .sc-stage script").count(),
              (await words()).split("|")[0], await page.textContent(".sc-m-asked")];""")
    assert alive == 0 and first.startswith("<script>alert(1)") and HOSTILE in asked
