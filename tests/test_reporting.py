"""The report page of a run: its numbers against a slow recount, its text as text, its HTML."""

import importlib
import json
import shlex
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from synthlib import __main__ as cli
from synthlib import commands, curation, data, reporting
from synthlib.reporting.texts import Sample, Texts
from synthlib.runs import journal, plans, shards
from synthlib.runs.folder import Run

EVIL = "<script>alert(1)</script> & </bdi><img src=x onerror=y> \u202ezba"
VOID = {"meta", "br", "hr", "img", "link", "input", "source", "wbr", "col"}


# ---------------------------------------------------------------- folders as runs leave them
def asked(method, /, **given):
    """What stands in a run's ``run.json``."""
    module = importlib.import_module(f"synthlib.runs.{method}")
    plan = module.make_plan(**given)
    more = {"sentences": "x"} if method == "art" else {"from_file": bool(given.get("lists"))}
    if method == "multicsr":
        rules = {name: getattr(plan.settings, name) for name in ("alpha", "beta", "gamma")}
        more = {"no_logits": bool(given.get("no_logits")), "nli_rows": 9, "thresholds": rules}
    return plans.identity(plan, **more)


def begin(folder, method, **given):
    """A folder with its run.json."""
    folder.mkdir()
    call = {"device": "cpu", "precision": "fp32", "processes": 1, "versions": {"torch": "2.9"}}
    held = asked(method, **given) | {"made_with": {"calls": [call]}}
    (folder / "run.json").write_text(json.dumps(held))
    return folder


def save(table, folder, name, size):
    """A step's rows in shards of so many."""
    shards.rows(folder / name, len(table), lambda i, j: table[i:j], size=size, progress=False)


def triplets(n=90):
    """Triplets with copies, blanks, repeated texts and scores on either side of the rules."""
    rng = np.random.default_rng(0)
    topics = ["a dog runs in the park", "the bank raised its rate", "eine Katze schläft"]
    rows = []
    for i in range(n):
        anchor = f"{topics[i % 3]} {'one two three four five six'.split()[i % 6]}"
        positive, negative = f"{anchor} indeed", f"no {anchor}"
        if i % 7 == 0:
            negative = anchor.upper()
        if i % 11 == 0:
            positive = " "
        rows.append({
            "anchor": anchor, "entailment": 1, "contradiction": 2, "row": i, "positive": positive,
            "negative": negative, "reason": "",
            "a": rng.uniform(2, 5) - (i % 3 == 1), "b": rng.uniform(0, 4),
        })  # fmt: skip
    rows[5]["anchor"] = EVIL
    rows[6]["a"] = np.nan
    rows[8] |= {"reason": "the prompt is longer than the window", "positive": "", "negative": "",
                "a": np.nan, "b": np.nan}  # fmt: skip
    return pd.DataFrame(rows)


def rejects(folder, rows):
    named = ("file", "line", "reason", "text", "where")
    data.save_rejects(folder / "rejects.jsonl", pd.DataFrame(rows, columns=list(named)))


def multicsr(folder, until="evaluated"):
    """A run of MultiCSR, up to a step."""
    begin(folder, "multicsr", n=90, shard_size=40, batch_size=8)
    table = triplets()
    rejects(folder, [
        ("mine.txt", 3, "the line is blank", "", "premises"),
        ("mine.txt", 7, "the line is blank", EVIL, "premises"),
        ("mine.txt", 9, table["reason"][8], table["anchor"][8], "generation"),
    ])  # fmt: skip
    written = table.drop(columns=["a", "b"])
    journal.add(folder, step="written", seconds=61.0, sentences=90, memory={"process": 2**30})
    if until == "half written":
        save(written[:40], folder, "written", 40)
        return folder
    save(written, folder, "written", 40)
    save(table[["a", "b"]][:40] if until == "half judged" else table[["a", "b"]], folder,
         "judged", 40)  # fmt: skip
    if until == "half judged":
        return folder
    blank = (table[["positive", "negative"]].map(str.strip) == "").any(axis=1)
    usable = (table["reason"] == "") & ~blank
    keep = usable & (table["a"] >= 3) & (table["b"] <= 3) & (table["a"] >= table["b"] + 1)
    done = table.drop(columns="reason").assign(kept=keep)
    data.save(data.triplets(done), folder / "triplets.parquet")
    data.save(data.triplets(done[keep].drop(columns="kept")), folder / "kept.parquet")
    if until == "kept":
        (folder / "training" / "checkpoint-30").mkdir(parents=True)
        return folder
    log = [{"step": i, "loss": 3 / i} for i in range(1, 20)]
    journal.add(folder, curve="", log=log)
    journal.add(folder, note=f"a note about {EVIL}")
    (folder / "encoder").mkdir()
    sts = {"task": ["natural", "hard"], "pairs": [20, 30], "spearman": [51.0, 41.0]}
    pd.DataFrame(sts).to_csv(folder / "sts.csv", index=False)
    (folder / "report.json").write_text(json.dumps({"premises": 90, "trained_on": int(keep.sum())}))
    return folder


def candidates(n, seed):
    rng = np.random.default_rng(seed)
    rows = [
        {"row": i, "anchor": EVIL if i == 2 else f"the cat number {i} sleeps", "kind": kind,
         "candidate": c, "text": ["", f"the cat number {i} sleeps", f"text {seed} {c}"][min(c, 2)],
         "p": rng.random(), "accepted": bool(c > 1 and rng.random() < 0.6),
         "similarity": rng.random()}
        for i in range(n) for kind in ("positive", "negative") for c in range(4)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def art(folder, until="evaluated"):
    """A run of ART with two rounds and the control; or one that stopped in the second round."""
    begin(folder, "art", n=60, rounds=2, anchors=12, candidates=4, shard_size=5, ppo_steps=3,
          encoder_batch_size=4)  # fmt: skip
    results = []
    for seed, name in enumerate(("round-0", "round-1", "round-2", "raw")):
        home = folder / name
        home.mkdir()
        if name != "round-0":
            if name != "raw":
                bounds = {"lower_bound": 0.5, "positive_bound": 0.4, "negative_bound": 0.8}
                (home / "bounds.json").write_text(json.dumps(bounds))
                log = {"step": [1, 2, 3], "reward": [0.1, 0.2, 0.4], "kl": [0.0, 0.5, 0.9]}
                pd.DataFrame(log).to_csv(home / "log.csv", index=False)
                (home / "adapter").mkdir()
            n = 24 if name == "raw" else 12
            table = candidates(n, seed)
            # the shards hold whole anchors, eight candidates each
            whole = [table[table["row"] == i] for i in range(n)]
            if until == "half" and name == "round-2":
                whole = whole[:5]
            shards.rows(home / "candidates", len(whole), lambda i, j, w=whole: pd.concat(w[i:j]),
                        size=5, progress=False)  # fmt: skip
            if until == "half" and name == "round-2":
                return folder
            both = table[table["accepted"]].groupby("row")["kind"].nunique() == 2
            kept = pd.DataFrame({"anchor": ["a"], "positive": ["b"], "negative": ["c"]})
            kept = kept.loc[[0] * int(both.sum())].reset_index(drop=True)
            data.save(data.triplets(kept), home / "triplets.parquet")
            (home / "encoder").mkdir()
        sts = pd.DataFrame({"task": ["natural"], "pairs": [20], "spearman": [50.0 + seed]})
        sts.to_csv(home / "sts.csv", index=False)
        results.append(sts.assign(round=name.removeprefix("round-")))
    pd.concat(results).to_csv(folder / "results.csv", index=False)
    return folder


def ranking(folder, until="evaluated"):
    """A run of ranking sentences, up to a step."""
    begin(folder, "ranking", n=40, clusters=5, anchors=30, steps=4, shard_size=8)
    rng = np.random.default_rng(1)
    rows = [[f"start {i}", *(f"sentence {i} {k}" for k in range(4))] for i in range(30)]
    rows[3], rows[4] = rows[3][:3], [EVIL, *rows[4][1:]]
    drawn = pd.DataFrame({"anchor": [row[0] for row in rows], "reason": ""})
    save(drawn, folder, "anchors", 100)
    written = pd.DataFrame({"row": range(30), "sentences": rows, "reason": ""})
    save(written if until != "half" else written[:8], folder, "written", 8)
    if until == "half":
        return folder
    reasons = [curation.verify_ranking_list(row, steps=4) or "" for row in rows]
    reasons[7] = curation.ALIKE
    seen = [row for row, why in zip(rows, reasons, strict=True) if why in ("", curation.ALIKE)]
    phi = [np.eye(len(row)) + (1 - np.eye(len(row))) * rng.random((len(row), len(row)))
           for row in seen]  # fmt: skip
    save(pd.DataFrame({"phi": [one.ravel() for one in phi]}), folder, "compared", 8)
    lists = data.ranking_lists(rows).add_column("reason", reasons)
    data.save(lists, folder / "lists.parquet")
    kept = [row for row, why in zip(rows, reasons, strict=True) if not why]
    data.save(data.ranking_lists(kept), folder / "kept.parquet")
    (folder / "encoder").mkdir()
    pd.DataFrame({
        "measure": ["STS", "STS", "transfer"], "task": ["natural", "hard", "topic"],
        "before": [60.0, 50.0, 80.0], "after": [61.0, 51.0, 79.0], "gain": [1.0, 1.0, -1.0],
    }).to_csv(folder / "results.csv", index=False)  # fmt: skip
    (folder / "report.json").write_text(json.dumps({"sentences": 40}))
    return folder


MAKE = {"multicsr": multicsr, "art": art, "ranking": ranking}
STATES = [("multicsr", "evaluated"), ("multicsr", "half written"), ("multicsr", "half judged"),
          ("multicsr", "kept"), ("art", "evaluated"), ("art", "half"), ("ranking", "evaluated"),
          ("ranking", "half")]  # fmt: skip


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Folder and page of each run, made once."""
    held = {}

    def page(method, until="evaluated"):
        if (method, until) not in held:
            folder = MAKE[method](tmp_path_factory.mktemp("runs") / "run", until)
            held[method, until] = folder, reporting.write(folder).read_text("utf-8")
        return held[method, until]

    return page


# ---------------------------------------------------------------- a reader of pages
class Reader(HTMLParser):
    """Reads a page strictly: what is opened is closed; tables and headings are kept."""

    def __init__(self, text):
        super().__init__()
        self.open, self.headings, self.ids, self.figures, self.links = [], [], [], [], []
        self.tables, self.text, self.tags = {}, [], set()
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.seen(tag, dict(attrs))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("h1", "h2", "h3", "h4"):
            self.headings.append(int(tag[1]))
        elif tag == "table":
            self.rows, self.name = [], None
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "figure":
            self.figures.append([None, ""])
        elif tag == "svg":
            assert dict(attrs).get("role") == "img"
            self.figures[-1][0] = dict(attrs).get("aria-label")

    def handle_startendtag(self, tag, attrs):
        self.seen(tag, dict(attrs))

    def seen(self, tag, attrs):
        self.tags.add(tag)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [value for key, value in attrs.items() if key in
                       ("src", "href", "xlink:href", "srcset", "data", "action")]  # fmt: skip

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, (tag, self.open[-3:])
        self.open.pop()
        if tag == "table":
            self.tables[self.name] = self.rows

    def handle_data(self, text):
        self.text.append(text)
        if "caption" in self.open:
            self.name = (self.name or "") + text
        elif self.open and {"td", "th"} & set(self.open):
            self.rows[-1][-1] += text
        if "figcaption" in self.open:
            self.figures[-1][1] += text

    def said(self):
        return "".join(self.text)


def numbers(rows):
    """First column to the number in the second."""
    return {row[0]: int(row[1].replace(",", "")) for row in rows[1:]}


# ---------------------------------------------------------------- the page as HTML
@pytest.mark.parametrize(("method", "until"), STATES)
def test_a_page_is_sound_html_that_needs_nothing_else(pages, method, until):
    _, text = pages(method, until)
    page = Reader(text)
    assert text.startswith("<!DOCTYPE html>") and '<html lang="en">' in text
    assert page.headings[0] == 1 and page.headings.count(1) == 1
    assert all(b <= a + 1 for a, b in zip(page.headings, page.headings[1:], strict=False))
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert not page.tags & {"script", "img", "link", "iframe", "object"}
    assert all(len(alt) > 20 and caption for alt, caption in page.figures)
    assert all(rows[0] for rows in page.tables.values())
    assert "@import" not in text and len(text.encode()) < 1_000_000
    if until == "evaluated":
        assert len(page.figures) >= 2 and {"h1", "h2", "h3", "table", "nav", "main"} <= page.tags


@pytest.mark.parametrize("method", MAKE)
def test_text_of_a_run_stays_text(pages, method):
    folder, _ = pages(method)
    text = reporting.build(Run(folder), sample=90)
    page = Reader(text)
    assert "<script" not in text and "<img" not in text and "\u202e" not in text
    assert "<script>alert(1)</script> & </bdi><img src=x onerror=y> \ufffdzba" in page.said()


@pytest.mark.parametrize("method", MAKE)
def test_the_same_folder_gives_the_same_page_and_is_not_changed(pages, method):
    folder, text = pages(method)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    assert reporting.write(folder).read_text("utf-8") == text
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    other = reporting.build(Run(folder), sample=3, seed=1)
    assert other != text and other.count('<ol class="cards">') == 2


# ---------------------------------------------------------------- its numbers
def test_multicsr_counts_what_a_slow_count_counts(pages):
    folder, text = pages("multicsr")
    page, parts = Reader(text), []
    for name in ("written", "judged"):
        files = sorted((folder / name).glob("*.parquet"))
        parts.append(pd.concat([pd.read_parquet(file) for file in files], ignore_index=True))
    rows = pd.concat(parts, axis=1).to_dict("records")
    written = whole = read = high = low = apart = 0
    for row in rows:
        if row["reason"]:
            continue
        written += 1
        if not row["positive"].strip() or not row["negative"].strip():
            continue
        whole += 1
        if row["a"] != row["a"]:
            continue
        read += 1
        if row["a"] < 3:
            continue
        high += 1
        if row["b"] > 3:
            continue
        low += 1
        apart += row["a"] - row["b"] >= 1
    assert numbers(page.tables["What is left after each stage"]) == {
        "lines and sentences given": 92, "sentences that can be read": 90,
        "triplets written": written, "both texts are there": whole, "scores read": read,
        "a is high enough (α)": high, "b is low enough (β)": low, "a and b differ (γ)": apart,
        "kept": apart,
    }  # fmt: skip
    (losses,) = [rows for name, rows in page.tables.items()
                 if str(name).startswith(f"{written - apart:,} by reason")]  # fmt: skip
    assert numbers(losses) == {
        "one of its two texts is blank": written - whole, "a score could not be read": whole - read,
        "the positive's score a lies below α = 3": read - high,
        "the negative's score b lies above β = 3": high - low,
        "a lies less than γ = 1 above b": low - apart,
    }  # fmt: skip
    unread = page.tables["3 by reason"]
    assert numbers(unread) == {"the line is blank": 2, rows[8]["reason"]: 1}
    for line in (3, 7, 9):
        assert f"(mine.txt, line {line})" in page.said()
    assert len(data.load(folder / "kept.parquet")) == apart
    assert "row 9)" not in page.said()  # it was never written


def test_multicsr_counts_copies_blanks_and_words(pages):
    folder, text = pages("multicsr")
    table = Reader(text).tables["The texts before and after the selection"]
    rows = pd.read_parquet(folder / "triplets.parquet").drop(index=8)
    for which, part in (("all", rows), ("kept", rows[rows["kept"]]),
                        ("left out", rows[~rows["kept"]])):  # fmt: skip
        for kind in ("positive", "negative"):
            (line,) = [row for row in table if row[0] == f"{kind}: {which}"]
            copies = sum(map(same, part["anchor"], part[kind]))
            blank = sum(not text.strip() for text in part[kind])
            texts = [" ".join(text.casefold().split()) for text in part[kind] if text.strip()]
            assert line[1] == str(len(part))
            assert [percent(line[3]), percent(line[4]), percent(line[5])] == pytest.approx([
                100 * copies / len(part), 100 * blank / len(part),
                100 * (len(texts) - len(set(texts))) / len(part),
            ], abs=0.5)  # fmt: skip


def same(one, other):
    return " ".join(one.casefold().split()) == " ".join(other.casefold().split())


def percent(text):
    return float(text.removesuffix(" %"))


def test_art_counts_what_a_slow_count_counts(pages):
    folder, text = pages("art")
    page = Reader(text)
    table = page.tables["What was written and accepted, by round"]
    for name, said in (("round-1", "round 1"), ("round-2", "round 2"), ("raw", "the control")):
        files = sorted((folder / name / "candidates").glob("*.parquet"))
        rows = pd.concat([pd.read_parquet(file) for file in files])
        (line,) = [row for row in table if row[0] == said]
        copies = sum(map(same, rows["anchor"], rows["text"]))
        assert line[1] == str(len(rows)) and line[2] == "25 %" and copies == len(rows) // 4 - 2
        assert percent(line[3]) == pytest.approx(100 * copies / len(rows), abs=0.5)
        for column, kind in ((4, "positive"), (5, "negative")):
            part = rows[rows["kind"] == kind]
            assert percent(line[column]) == pytest.approx(100 * part["accepted"].mean(), abs=0.5)
            cosine = part.loc[part["accepted"], "similarity"].mean()
            assert float(line[column + 3]) == pytest.approx(cosine, abs=5e-4)
        usable = sum(
            set(rows[(rows["row"] == i) & rows["accepted"]]["kind"]) == {"positive", "negative"}
            for i in rows["row"].unique()
        )
        assert int(line[6]) == usable > 0
        if name == "round-2":
            stages = numbers(page.tables["What is left after each stage"])
            assert stages["with an accepted positive and an accepted negative"] == usable
            left = len(rows) - int(rows["accepted"].sum())
            (losses,) = [rows for name, rows in page.tables.items()
                         if str(name).startswith(f"{left} by reason")]  # fmt: skip
            assert sum(numbers(losses).values()) == left
            assert numbers(losses)["positive: blank"] == 12
    marks = page.tables["Encoders before, after each round, and of the control: Spearman, percent"]
    assert [row[0] for row in marks[1:]] == [
        "before", "after round 1", "after round 2", "control"
    ]  # fmt: skip
    assert "The tuned rounds are no better than the control" in page.said()


def test_ranking_counts_what_a_slow_count_counts(pages):
    folder, text = pages("ranking")
    page = Reader(text)
    lists = pd.read_parquet(folder / "lists.parquet")
    stages = numbers(page.tables["What is left after each stage"])
    kept = int((lists["reason"] == "").sum())
    assert stages == {"sentences given": 40, "starting sentences drawn, and lists written": 30,
                      "kept and trained on": kept}  # fmt: skip
    losses = numbers(page.tables["2 by reason"])
    assert losses == lists["reason"][lists["reason"] != ""].value_counts().to_dict()
    assert losses[curation.ALIKE] == 1
    files = sorted((folder / "compared").glob("*.parquet"))
    phi = iter(pd.concat([pd.read_parquet(file) for file in files])["phi"])
    near, orders = [], []
    for rest, reason in zip(lists["sentences"], lists["reason"], strict=True):
        if reason in ("", curation.ALIKE):
            row = next(phi)[1 : 1 + len(rest)]
            if not reason:
                near.append(row)
                orders.append(pd.Series(range(4)).corr(pd.Series(-row), method="spearman"))
    means = np.mean(near, axis=0)
    (alt,) = [alt for alt, _ in page.figures if "mean similarity" in alt]
    assert f"{means[0]:.2f} at place 1, {means[-1]:.2f} at place 4" in alt
    assert f"{np.mean(orders):.2f}order in kept lists (1 perfect" in page.said()
    assert "transfer is worse after the training than before: 79.0 against 80.0" in page.said()


def test_words_are_compared_by_the_rule_that_is_printed():
    texts = Texts(("text",))
    for i in range(60):
        texts.add(i % 4 != 0, "a dog, a Dog!" if i % 3 else "a bank", text="x")
    (clear,) = [row for row in texts.contrast() if row[0] == "dog"]
    a, c = (sum(1 for i in range(60) if i % 3 and (i % 4 != 0) is keep) for keep in (True, False))
    b, d = 45 - a, 15 - c
    cells = np.array([a, b, c, d]) + 0.5
    odds = np.log(cells[0] / cells[1] / (cells[2] / cells[3]))
    assert clear == ("dog", a, c, pytest.approx(odds / np.sqrt((1 / cells).sum())))
    assert "x" not in [row[0] for row in texts.contrast()]


def test_a_sample_does_not_depend_on_the_order():
    def drawn(numbers, seed=0):
        sample = Sample(5, seed)
        for i in numbers:
            sample.offer(i, i)
        return sample.rows()

    assert drawn(range(100)) == drawn(range(99, -1, -1)) != drawn(range(100), seed=1)
    assert len(drawn(range(3))) == 3 and not Sample(0, 0).rows()
    many = np.bincount([i for seed in range(400) for i in drawn(range(20), seed)], minlength=20)
    assert abs(many - 100).max() < 50  # each of 20 is drawn 100 times in 400, with sd 9


# ---------------------------------------------------------------- runs that are not finished
@pytest.mark.parametrize(
    ("method", "until", "said"),
    [
        ("multicsr", "half written", "0 of 5 steps are done. It stands at written (40 of 90"),
        ("multicsr", "half judged", "1 of 5 steps are done. It stands at judged (40 of 90"),
        ("multicsr", "kept", "3 of 5 steps are done. It stands at trained (checkpoint at step 30)"),
        ("art", "half", "stands at round 2: written (40 of 96 texts)"),
        ("ranking", "half", "0 of 4 steps are done. It stands at written (8 of 30 lists)"),
    ],
)  # fmt: skip
def test_an_unfinished_run_says_how_far_it_is_and_what_goes_on(pages, method, until, said):
    folder, text = pages(method, until)
    page = Reader(text)
    assert said in page.said() and "This goes on with it" in page.said()
    assert f"python -m synthlib run {method} --tier pocket" in page.said()
    assert "This run is finished" not in page.said()


def test_what_is_not_judged_yet_is_neither_kept_nor_left_out(pages):
    folder, text = pages("multicsr", "half judged")
    page, rows = Reader(text), triplets()[:40]
    whole = rows[(rows["reason"] == "") & (rows["positive"].str.strip() != "")]
    table = {row[0]: row[1] for row in page.tables["The texts before and after the selection"]}
    assert table["negative: all"] == "89" and "Left out, or not judged yet" in page.said()
    blank = sum(not text.strip() for text in triplets()["positive"][40:])
    kept, left = (int(table[f"negative: {which}"]) for which in ("kept", "left out"))
    assert kept + left == (rows["reason"] == "").sum() + blank
    stages = numbers(page.tables["What is left after each stage"])
    assert stages["judged so far"] == len(whole) and stages["would be kept, so far"] == kept > 0


def test_a_finished_run_says_so_with_its_times_and_notes(pages):
    _, text = pages("multicsr")
    page = Reader(text)
    assert "This run is finished." in page.said()
    (times,) = [rows for name, rows in page.tables.items() if str(name).startswith("Steps as")]
    assert times[1][:3] == ["written", "1.0 min", "1.0 GiB"]
    assert "The run said: a note about <script>" in page.said()
    assert any("Curve of the loss by step, from 3 to 0.158" in alt for alt, _ in page.figures)


def test_time_before_an_interruption_counts_and_a_former_run_of_the_step_does_not(tmp_path):
    folder = begin(tmp_path / "run", "multicsr")
    for seconds, stopped in ((50, {}), (10, {"stopped": True}), (5, {"stopped": True}), (7, {})):
        journal.add(folder, step="trained", seconds=seconds, memory={"process": seconds}, **stopped)
    with (folder / journal.FILE).open("a") as stream:
        stream.write('{"step": "cut o')
    assert Run(folder).times() == [
        {"step": "trained", "seconds": 22, "stopped": False, "process": 7}
    ]


# ---------------------------------------------------------------- the command
@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("multicsr", {}),
        ("multicsr", {"n": 120, "max_steps": 12, "gamma": "-", "omega": -0.5, "seed": 3}),
        ("multicsr", {"epochs": 2, "alpha": 3.5, "backbone": "rank", "select": "dev"}),
        ("multicsr", {"no_logits": "t.jsonl", "pooling": "cls", "supervised": True}),
        ("multicsr", {"premises": "my file's.txt", "stages": (1, 3), "tier": "colab"}),
        ("multicsr", {"scoring": "nli", "seed": 2}),
        ("multicsr", {"stages": (), "language": "tavi", "demonstrations": 2, "tau": 0.1}),
        ("art", {"n": 60, "rounds": 2, "control": False, "targets": ("q", "v")}),
        ("art", {"lower_bound": 0.6, "start": "first", "positive_bound": -0.2, "form": "chat"}),
        ("ranking", {"n": 40, "omega": "adaptive", "teacher": "base", "pooling": "mean"}),
        ("ranking", {"lists": "l.jsonl", "mode": "rank", "lam": -1, "scale": 20}),
    ],
)  # fmt: skip
def test_the_command_that_is_named_makes_the_same_run(tmp_path, method, given):
    held = asked(method, **given)
    (tmp_path / "run.json").write_text(json.dumps(held))
    command = Run(tmp_path).command()
    words = shlex.split(command)
    assert words[:6] == ["python", "-m", "synthlib", "run", method, "--tier"]
    again = vars(getattr(commands, method)().parse_args(words[5:]))
    for name in ("out", "dry_run", "quiet"):
        del again[name]
    assert asked(method, **again) == held


def test_no_command_names_sentences_in_memory(tmp_path):
    held = asked("multicsr", premises=["a", "b"])
    (tmp_path / "run.json").write_text(json.dumps(held))
    assert Run(tmp_path).command() is None
    text = reporting.build(Run(tmp_path))
    assert "given in memory" in text


# ---------------------------------------------------------------- mistakes
CASES = "absent file none above damaged shard cut table rejects lacks sample folder nowhere"


@pytest.mark.parametrize("case", CASES.split())
def test_a_mistake_is_one_line(tmp_path, capsys, case):
    folder, more = tmp_path / "run", []
    if case not in ("absent", "file", "none"):
        multicsr(folder, "half judged" if case == "shard" else "evaluated")
    wanted = f"{folder}"
    if case == "absent":
        wanted = f"there is no run {folder}"
    elif case == "file":
        folder.write_text("x")
        wanted = f"{folder} is a file"
    elif case == "none":
        folder.mkdir()
        wanted = "is empty: no run has begun in it"
    elif case == "above":
        folder, wanted = tmp_path, f"in it are {folder}"
    elif case == "damaged":
        (folder / "run.json").write_text("{")
        wanted = "run.json is damaged"
    elif case == "shard":
        file = sorted((folder / "written").glob("*.parquet"))[1]
        file.write_bytes(file.read_bytes()[:-9])
        wanted = f"{file}"
    elif case == "cut":
        file = folder / "triplets.parquet"
        file.write_bytes(file.read_bytes()[:99])
        wanted = f"{file} cannot be read"
    elif case == "table":
        (folder / "sts.csv").write_bytes(b"")
        wanted = "sts.csv cannot be read"
    elif case == "rejects":
        (folder / "rejects.jsonl").write_text('{"line": 1')
        wanted = "rejects.jsonl, line 1 cannot be read"
    elif case == "lacks":
        held = json.loads((folder / "run.json").read_text())
        del held["stages"]
        (folder / "run.json").write_text(json.dumps(held))
        wanted = f"{folder} lacks 'stages', which a run of multicsr leaves"
    elif case == "sample":
        more, wanted = ["--sample", "-1"], "sample must be 0 or more, got -1"
    elif case == "folder":
        more, wanted = ["--out", str(tmp_path)], f"{tmp_path} is a folder"
    elif case == "nowhere":
        more, wanted = ["--out", str(tmp_path / "no" / "x.html")], "there is no folder"
    assert cli.main(["report", str(folder), *more]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and wanted in said.err
    assert not said.out and not (folder / "report.html").is_file()


def test_the_command_writes_the_page_and_says_where(pages, tmp_path, capsys):
    folder, text = pages("multicsr")
    file = tmp_path / "page.html"
    assert cli.main(["report", str(folder), "--out", str(file)]) == 0
    assert capsys.readouterr().out.strip() == str(file) and file.read_text("utf-8") == text


def test_other_texts_by_the_options_that_the_page_names(pages, tmp_path, capsys):
    folder, text = pages("ranking")
    shown = []
    for more in (["--seed", "1"], ["--sample", "3"]):
        file = tmp_path / "page.html"
        assert cli.main(["report", str(folder), "--out", str(file), *more]) == 0
        shown.append(file.read_text("utf-8"))
    assert len({text, *shown}) == 3 and shown[1].count("<dt>start</dt>") == 3 + 2 < text.count(
        "<dt>start</dt>"
    )


def test_what_a_message_names_works(tmp_path, capsys):
    folder = ranking(tmp_path / "run")

    def said(*arguments):
        code = cli.main(["report", *map(str, arguments)])
        return code, capsys.readouterr().err

    (tmp_path / "file").write_text("x")
    assert "there is no run" in said(tmp_path / "nothing")[1]
    assert "is a file: give the folder" in said(tmp_path / "file")[1]
    assert f"in it are {folder}" in said(tmp_path)[1]
    assert said(folder) == (0, "")
    assert "is a folder: give the name" in said(folder, "--out", tmp_path)[1]
    assert said(folder, "--out", tmp_path / "page.html") == (0, "")
    (folder / "results.csv").write_bytes(b"")
    assert "or delete it first" in said(folder)[1]
    (folder / "results.csv").unlink()
    assert said(folder) == (0, "")


def test_a_sentence_encoder_was_examined_before_too_and_a_loss_stands_first(tmp_path):
    folder, name = multicsr(tmp_path / "run"), "The trained encoder: Spearman, percent"
    plain = Reader(reporting.write(folder).read_text("utf-8"))
    assert plain.tables[name][0] == ["set", "pairs", "after"]
    assert "was not examined as it was before" in plain.said()
    before = {"task": ["natural", "hard"], "pairs": [20, 30], "spearman": [53.0, 40.5]}
    pd.DataFrame(before).to_csv(folder / "before.csv", index=False)
    page = Reader(reporting.write(folder).read_text("utf-8"))
    assert page.tables[name] == [
        ["set", "pairs", "before", "after", "gain"], ["natural", "20", "53.00", "51.00", "−2.00"],
        ["hard", "30", "40.50", "41.00", "+0.50"], ["average", "", "46.75", "46.00", "−0.75"],
    ]  # fmt: skip
    assert "STS is worse after the training than before: 46.0 against 46.8." in page.said()
    assert "was not examined" not in page.said()
