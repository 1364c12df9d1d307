"""The directives of the pages of reference: ledger, prompts, course, tiers, architecture."""

import html
import io
import re
import unicodedata

import pandas as pd
import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from synthlib import ledger, models, prompts, tiers

CLAIM, T5 = "02-judge-spearman", "02-t5-plain"
SETTINGS = {
    "extensions": ["myst_parser", "ledger_page"],
    # Said in full: Sphinx keeps what another app of this process added to its default.
    "source_suffix": {".md": "markdown"},
    "html_theme": "basic",
    "exclude_patterns": [],
    "myst_enable_extensions": ["colon_fence"],
}


@pytest.fixture
def build(tmp_path, monkeypatch):
    """Builds one page with the directives; returns its HTML, the warnings and the output folder."""
    monkeypatch.setattr(ledger.closure, "whole", lambda: "now")
    monkeypatch.setattr(ledger.closure, "present", lambda claim: "now")
    monkeypatch.setattr(ledger.records, "LIVE", tmp_path / "live")
    monkeypatch.setattr(ledger.records, "MEASURED", tmp_path / "measured")

    def run(page):
        source, out = tmp_path / "source", tmp_path / "out"
        source.mkdir(exist_ok=True)
        (source / "index.md").write_text(page, "utf-8")
        warnings = io.StringIO()
        with docutils_namespace():
            app = Sphinx(
                str(source), None, str(out), str(tmp_path / "trees"), "html", SETTINGS,
                status=None, warning=warnings, freshenv=True,
            )  # fmt: skip
            app.build()
        return (out / "index.html").read_text("utf-8"), warnings.getvalue(), out

    return run


def test_ledger_shows_what_was_measured_and_hands_out_its_data(build):
    ledger.record(CLAIM, 85.25)
    ledger.records.write(
        ledger.records.MEASURED, "02-nli-accuracy", [90.0, 95.0, 96.0], (0, 1, 2),
        fingerprint="now", tier="<b>cpu</b>", minutes=3.0,
    )  # fmt: skip
    page, warnings, out = build("# Ledger\n\n```{ledger-summary}\n```\n\n```{ledger} 2\n```\n")
    assert not warnings
    rows = re.findall(r'id="claim-([\w-]+)"', page)
    assert rows == list(ledger.claims(2).index)
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert "85.2 (live)" in text and "yes (live)" in text
    assert not re.search(r"\bnan\b", text), "a row without a committed measurement has no origin"
    assert "93.7 ± 3.2 % (3 seeds)" in text and "on 2 of 3 seeds" in text
    assert "95 % interval: 85.7 to 101.7 %" in text  # 4.303 · 3.215 / √3 to either side, one unit
    assert "2 measured so far: 1 hold, 1 hold on some seeds only." in text
    assert "<b>cpu</b>" not in page
    data = pd.read_csv(out / "ledger.csv", index_col="id")
    assert data.loc[CLAIM, "live"] == 85.25 and len(data) == len(ledger.claims())
    assert 'href="../../ledger.csv"' in page


def test_evidence_is_the_claims_named_each_with_a_link_to_its_row(build):
    field = next(iter(ledger.claims(13).index))
    ledger.record(CLAIM, 85.25)
    page, warnings, _ = build(f"# When\n\n```{{evidence}} {CLAIM} {field}\n```\n")
    assert not warnings
    head, *rows = re.findall(r"<tr.*?</tr>", page, flags=re.S)
    assert [re.findall(r'href="book/reference/ledger\.html#claim-([\w-]+)"', r) for r in rows] == [
        [CLAIM], [field],
    ]  # fmt: skip
    assert "pocket world" in rows[0] and "85.2 (live)" in rows[0] and "yes (live)" in rows[0]
    assert "real language" in rows[1] and "not yet measured" in rows[1]
    _, warnings, _ = build("# When\n\n```{evidence} 02-judge-spearmann\n```\n")
    assert "no claim is named 02-judge-spearmann" in warnings


def test_a_claim_of_the_pocket_world_stands_beside_its_answer_from_the_field(
    build, tmp_path, monkeypatch
):
    rows = (ledger.registry.CLAIMS).read_text("utf-8")
    for claim, of in (("13-judge", CLAIM), ("13-judge-too", f"{T5} {CLAIM}"), ("13-alone", "")):
        rows += f"{claim},13,book,Chapter 13,Judges <judge>.,,points,value >= bar,60,{of}\n"
    (tmp_path / "claims.csv").write_text(rows, "utf-8")
    monkeypatch.setattr(ledger.registry, "CLAIMS", tmp_path / "claims.csv")
    written = ledger.records.MEASURED
    ledger.records.write(written, CLAIM, [90.0], (0,), fingerprint="now")
    ledger.records.write(written, "13-judge", [59.0], (0,), fingerprint="now", tier="laptop")
    page, warnings, _ = build(
        "# Ledger\n\n```{ledger} 12\n```\n\n```{ledger} 2\n```\n\n```{ledger} 13 14 15 16\n```\n"
        "\n```{ledger} 16\n```\n"
    )
    assert not warnings and "Judges &lt;judge&gt;." in page
    found = re.findall(r"<tr.*?</tr>", page, re.S)
    text = {  # by claim, the cells' texts
        name[1]: [
            " ".join(html.unescape(re.sub(r"<[^>]+>", " ", cell)).split())
            for cell in re.findall(r"<td.*?</td>", line, re.S)
        ]
        for line in found if (name := re.search(r'id="claim-([\w-]+)"', line))
    }  # fmt: skip
    assert text[CLAIM][5] == "59.0 (laptop, 1 seed): no 13-judge not yet measured 13-judge-too"
    assert text[T5][5] == "not yet measured 13-judge-too"
    assert text["02-nli-accuracy"][5] == ""
    assert len(text["13-judge"]) == 5 and text["13-judge"][2].startswith("59.0 (1 seed) laptop, ")
    assert {len(text[claim]) for claim in ledger.claims(12).index} == {5}, "nothing asks them again"
    assert page.count('href="#claim-13-judge"') == 1 and page.count('id="claim-13-judge"') == 1
    assert page.count("in the field") == 1 and page.count("No claim has a row yet.") == 1


def test_a_measurement_says_the_precision_that_is_not_the_usual_one(build, monkeypatch):
    for claim, precision in [(CLAIM, "bf16"), ("02-nli-accuracy", "fp32")]:
        monkeypatch.setattr(models, "training_precision", lambda p=precision: p)
        ledger.records.write(
            ledger.records.MEASURED, claim, [90.0], (0,), fingerprint="now", minutes=3.0
        )
    page, _, out = build("# Ledger\n\n```{ledger} 2\n```\n")
    assert page.count("3.0 min, trained in bfloat16<") == 1 and page.count("3.0 min<") == 1
    data = pd.read_csv(out / "ledger.csv", index_col="id")["precision"]
    assert (data[CLAIM], data["02-nli-accuracy"]) == ("bf16", "fp32")


def test_the_page_says_how_old_each_measurement_is_and_counts_them(build):
    for claim, fingerprint in [(CLAIM, "now"), ("02-nli-accuracy", "before"), (T5, "before")]:
        ledger.records.write(ledger.records.MEASURED, claim, [90.0], (0,), fingerprint=fingerprint)
    doubtful = ledger.records.read(ledger.records.MEASURED, "02-nli-accuracy")
    ledger.records.store(ledger.records.MEASURED, doubtful | {"again": "with <more> pairs"})
    entry = ledger.records.read(ledger.records.MEASURED, T5)
    stamp = {"seed": 0, "date": "2026-11-29", "fingerprint": "now", "off": 9.4e-05}
    ledger.records.store(ledger.records.MEASURED, entry | {"verified": stamp})
    page, warnings, _ = build("# Ledger\n\n```{ledger-summary}\n```\n\n```{ledger} 2\n```\n")
    assert not warnings
    text = html.unescape(re.sub(r"\s*<[^>]+>\s*", " ", page))
    assert "present code: 1 fresh, 1 verified at one seed, 1 older code." in text
    page = page.replace("\u2011", "-")  # dates in one piece
    said = dict(re.findall(r'<p class="ledger-state ledger-(\w+)">([^<]+)</p>', page))
    today = entry["date"]
    assert said == {
        "fresh": f"fresh, {today}",
        "older": f"older code, {today}; to be measured again with &lt;more&gt; pairs",
        "verified": f"verified at one seed (seed 0 on 2026-11-29, 9e-05 off), {today}",
    }


def test_ledger_is_filled_in_after_all_pages_were_read(build, monkeypatch):
    import ledger_page

    read = ledger_page.Ledger.run

    def read_then_run_a_notebook(self):
        found = read(self)
        ledger.record(CLAIM, 84.0)
        return found

    monkeypatch.setattr(ledger_page.Ledger, "run", read_then_run_a_notebook)
    page, _, _ = build("# Ledger\n\n```{ledger} 2\n```\n")
    assert "84.0 (live)" in page


@pytest.mark.parametrize("page,fault", [
    ("```{ledger} two\n```", "chapter numbers are wanted, given 'two'"),
    ("```{ledger} 2 77\n```", "no claims of chapter 77"),
    ("```{tiers} magic\n```", "no settings of 'magic'; there are: simcse_unsupervised,"),
    ("```{prompt} NOTHING\n```", "synthlib.prompts has no 'NOTHING'"),
    ("```{prompt} RANKING\n:form: long\n```", '"long" unknown'),
])  # fmt: skip
def test_a_wrong_directive_is_a_warning_of_the_build(build, page, fault):
    _, warnings, _ = build(f"# Page\n\n{page}\n")
    assert fault in warnings


@pytest.mark.parametrize("form", prompts.FORMS)
def test_prompts_stand_on_the_page_word_for_word(build, form):
    page, warnings, _ = build(f"# P\n\n```{{prompt}} RANKING_LIST\n:form: {form}\n```\n\n"
                              f"```{{prompt}} CONTRADICTION\n:form: {form}\n```\n")  # fmt: skip
    assert not warnings
    shown = [
        html.unescape(re.sub(r"<[^>]+>", "", block)).rstrip("\n")
        for block in re.findall(r'<div class="prompt.*?<pre>(.*?)</pre>', page, re.S)
    ]
    assert shown == [prompts.RANKING_LIST[form], *prompts.CONTRADICTION[form]]


def test_every_prompt_is_on_the_page_of_prompts(root):
    page = (root / "book" / "reference" / "prompts.md").read_text("utf-8")
    shown = set(re.findall(r"\{prompt\} (\w+)", page))
    assert shown == {
        name for name, value in vars(prompts).items() if isinstance(value, dict) and name.isupper()
    }


def test_course_counts_minutes_exercises_and_claims(build, tmp_path, monkeypatch):
    import project

    prose = "\n".join(["# " + " ".join(["word"] * 100)] * 15)  # 1,500 words, ten minutes
    code = "\n".join(["x = 1", "# said why", ""] * 60)  # 60 lines, five minutes
    chapter = (
        f"# %% [markdown]\n# # The lab\n#\n{prose}\n# $$\n# {'a ' * 999}\n# $$\n# %%\n{code}\n"
        f'# %% tags=["hide-input"]\n{code}\n# %% [markdown]\n# ## Exercises\n#\n'
        "# ```{exercise} One\n# :label: a\n#\n# *Easy, 10 minutes.* Do.\n# ```\n"
        "# ```{exercise} Two\n# :label: b\n#\n# *15 minutes.* Do it again.\n# ```\n"
    )
    (tmp_path / "00_lab.py").write_text(chapter)
    monkeypatch.setattr(project, "chapters", lambda: [tmp_path / "00_lab.py"])
    page, warnings, _ = build("# Course\n\n```{course}\n```\n")
    cells = re.findall(r"<td><p>(.*?)</p></td>", page)
    assert cells[1:] == ["15", "–", "25", "2", str(len(ledger.claims(0)))] and "The lab" in cells[0]
    assert "notebooks/00_lab" in warnings  # the link is a real one: here its page is not there


def test_every_exercise_says_its_minutes_and_every_chapter_has_its_processor_minutes(root):
    from course_page import exercise_minutes, processor_minutes

    runs = processor_minutes()
    for path in sorted((root / "book" / "chapters").glob("[0-9][0-9]_*.py")):
        minutes = exercise_minutes(path.read_text("utf-8"))
        assert len(minutes) >= 3 and all(5 <= m <= 60 for m in minutes), path.stem
        assert float(runs[path.stem]) > 0, path.stem


def test_the_covers_hour_is_an_hour(root):
    from course_page import reading_minutes

    cover = (root / "book" / "intro.md").read_text("utf-8")
    path = cover.split("I want to learn\n")[1].split("I want to teach")[0]
    parts = re.findall(r"notebooks/(\w+)>` up\s+to \*(.+?)\*", path)
    assert [name[:2] for name, _ in parts] == ["00", "03", "10"]
    minutes = 10  # the reader's own exercise at the end
    for name, end in parts:
        read, heading, _ = (
            (root / "book" / "chapters" / f"{name}.py").read_text("utf-8").partition(f"# ## {end}")
        )
        assert heading, end
        minutes += reading_minutes(read)
        # what the exercise asks for is among what was read
        for label in re.findall(rf"numref}}`(fig-{name[:2]}-\w+)`", path):
            assert f'label="{label}"' in read
    assert 50 <= minutes <= 60


def test_status_has_each_chapters_time_memory_and_day(build, tmp_path, monkeypatch):
    import os

    import counting
    import project

    cache = tmp_path / "cache"
    for name in ("02_b.py", "13_c.py"):
        (tmp_path / name).write_text("# # A chapter")
    monkeypatch.setattr(project, "chapters", lambda: [tmp_path / n for n in ("02_b.py", "13_c.py")])
    monkeypatch.setattr(project, "appendices", list)
    monkeypatch.setenv("BOOK_CACHE", str(cache))
    file = counting.file_of(cache, "02_b.ipynb")
    file.parent.mkdir(parents=True)
    file.write_text("90.0 1249")
    os.utime(file, (1_700_000_000, 1_700_000_000))  # 2023-11-14
    page, _, _ = build("# Status\n\n```{status}\n```\n")
    found = [html.unescape(c) for c in re.findall(r"<td>(?:<p>)?(.*?)(?:</p>)?</td>", page)]
    assert found[1:6] == ["pocket", "1.5", "–", "1.2 GB", "2023\u201111\u201114"]
    assert found[7:12] == ["laptop", "not counted", "–", "not counted", "–"]
    assert "Built with Python 3." in page and "torch 2." in page


def cells(row):
    """The texts of a table's row, its paragraphs apart by a bar and its quotes straight."""
    found = re.findall(r"<td>(.*?)</td>", row, re.S)
    texts = (re.sub(r"</p>\s*<p>", " | ", cell) for cell in found)
    texts = (html.unescape(re.sub(r"<[^>]+>", "", text)).strip() for text in texts)
    return [text.replace("’", "'") for text in texts]


def test_the_page_of_tiers_holds_every_setting(build, root):
    page, warnings, _ = build((root / "book/reference/tiers.md").read_text("utf-8"))
    assert not warnings
    tables = re.findall(r'<table class="ledger tiers.*?</table>', page, re.S)
    methods = tiers.table().groupby("method", sort=False)
    assert len(tables) == len(methods)
    for shown, (method, rows) in zip(tables, methods, strict=True):
        lines = [cells(row) for row in re.findall(r"<tr.*?</tr>", shown, re.S)[1:]]
        assert [line[0] for line in lines] == list(rows["setting"].unique()), method
        for line in lines:
            of = rows[rows["setting"] == line[0]].set_index("tier")
            differs = ["≠ paper" in cell for cell in line[1 : 1 + len(tiers.NAMES)]]
            assert differs == [not of.loc[name, "as_paper"] for name in tiers.NAMES]
            assert line[-1].startswith(of.loc["paper", "source"])
            assert all(why in line[-1] for why in of["why"])
    omega, lam = (next(line for line in map(cells, re.findall(r"<tr.*?</tr>", tables[n], re.S)[1:])
                       if line[0] == name) for n, name in ((2, "omega"), (4, "lam")))  # fmt: skip
    assert omega[1:5] == ["0.3"] * 4 and "§4.1" in omega[5]
    assert lam[1:5] == ["1.5 | ≠ paper", "0.5", "0.5", "0.5"]
    assert "pocket: a small model keeps its direction less well" in lam[5]


def test_the_architecture_is_drawn_from_the_sources(build, root):
    import architecture_page
    import rooms

    page, warnings, _ = build((root / "book/reference/architecture.md").read_text("utf-8"))
    assert "undefined label" not in warnings and "WARNING" not in warnings
    pictures = re.findall(r'<svg class="sc-rooms sc-(\w+)".*?</svg>', page, re.S)
    assert pictures == ["wide", "narrow"]
    sources = rooms.Sources()
    for picture in re.findall(r'<svg class="sc-rooms.*?</svg>', page, re.S):
        assert html.unescape(re.search('aria-label="([^"]+)"', picture)[1]) == (
            architecture_page.alt(sources)
        )
        texts = [html.unescape(t) for t in re.findall(r"<text[^>]*>(.*?)</text>", picture)]
        for number, (stage, address) in enumerate(rooms.ROAD, start=1):
            assert f"{number} {stage}" in texts and address in texts
        named = re.findall(r'<text[^>]*class="name"[^>]*>(\w+)(?:  \([\d ]+\))?</text>', picture)
        assert all(named.count(room) == 1 for room in rooms.ROOMS)
        right = float(re.search(r'viewBox="-1 -1 (\d+)', picture)[1])
        for x, wide in re.findall(r'<rect x="(\d+)" y="\d+" width="(\d+)"', picture):
            assert int(x) + int(wide) <= right
    shown = [cells(row)[1] for row in re.findall(r"<tr.*?</tr>", page, re.S)[1:]]
    assert sorted(shown) == sorted(sources.trees)


def test_the_drawing_follows_the_imports(tmp_path, monkeypatch):
    import architecture_page
    import rooms

    def boxes():
        return architecture_page.draw(rooms.Sources(tmp_path), "wide")

    monkeypatch.setattr(rooms, "ROAD", (("write", "methods.write"),))
    (tmp_path / "methods.py").write_text("from synthlib import prompts\ndef write(): prompts.x\n")
    for name in ("prompts", "decoding"):
        (tmp_path / f"{name}.py").write_text("")
    assert "imports: ground<" in boxes() and "with prompts<" in boxes()
    text = "from synthlib import decoding\ndef write(): decoding.x\n"
    (tmp_path / "methods.py").write_text(text)
    assert "imports: kernels<" in boxes() and "with decoding<" in boxes()


def entries(root):
    from pybtex.database import parse_file

    return parse_file(str(root / "book" / "references.bib")).entries


def test_every_citation_is_in_the_bibliography(root):
    book = root / "book"
    pages = [*book.glob("*.md"), *book.glob("reference/*.md"), *book.glob("chapters/*.py")]
    cited = {
        key.strip()
        for page in pages
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", page.read_text("utf-8"))
        for key in keys.split(",")
    }
    assert cited and cited <= set(entries(root))


def test_bibliography_entries_are_complete(root):
    for key, entry in entries(root).items():
        name, year = re.fullmatch(r"([a-z]+)(\d{4})[a-z0-9]+", key).groups()
        assert entry.persons["author"] and entry.fields["title"], key
        first = entry.persons["author"][0]
        last = " ".join(first.prelast_names + first.last_names)
        plain = unicodedata.normalize("NFKD", last).encode("ascii", "ignore").decode()
        assert re.sub(r"\W", "", plain).lower() == name, key
        assert abs(int(entry.fields["year"]) - int(year)) <= 1, key
        home = {"inproceedings": "booktitle", "article": "journal", "misc": None}[entry.type]
        assert home is None or entry.fields[home], key
        if "doi" in entry.fields:
            assert re.fullmatch(r"10\.\d{4,}/\S+", entry.fields["doi"]), key
        if "eprint" in entry.fields:
            assert re.fullmatch(r"\d{4}\.\d{4,5}", entry.fields["eprint"]), key
        assert entry.type != "misc" or {"eprint", "url"} & set(entry.fields), key


def test_names_in_cells_may_break_and_nothing_else_changes():
    import book_site

    cell = '<td><code><span class="pre">tests/test_a.py::test_b_c</span></code> a.b</td>'
    outside = '<p><code><span class="pre">a.b_c</span></code></p>'
    found = book_site.breakable(outside + cell + outside)
    assert found.startswith(outside) and found.endswith(outside)
    assert found.replace("<wbr>", "") == outside + cell + outside
    assert "tests/<wbr>test_<wbr>a.<wbr>py::<wbr>test_<wbr>b_<wbr>c</span>" in found
