"""The bank of questions: whole and fair, read back from every file that is made of it, and asked
in a page by pointer, by keyboard and without a script."""

import csv
import io
import itertools
import json
import math
import re
import statistics
import zipfile
from collections import Counter
from urllib.parse import unquote
from xml.etree import ElementTree

import living
import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from synthlib import paths, questions
from synthlib.__main__ import main

BANK = {chapter: questions.read(chapter) for chapter in questions.chapters()}
ALL = [question for bank in BANK.values() for question in bank]
CHOICES = [question for question in ALL if question.kind == "choice"]


# ------------------------------------------------------------------ the bank
@pytest.mark.parametrize("chapter", BANK)
def test_a_chapter_has_ten_questions_of_all_kinds_and_asks_some_in_its_page(chapter, root):
    kinds = Counter(q.kind for q in BANK[chapter])
    short = kinds["number"] + kinds["text"]
    found = {"choice": kinds["choice"], "short": short, "open": kinds["open"]}
    assert found == questions.WANTED == {"choice": 6, "short": 2, "open": 2}
    assert 3 <= sum(q.page for q in BANK[chapter]) <= 5
    (path,) = (root / "book/chapters").glob(f"{chapter:02d}_*.py")
    source = path.read_text("utf-8")
    assert re.search(r"^# # (.+)$", source, re.M)[1] == questions.title(chapter)
    remember, read = (source.index(f"# ## {t}") for t in ("Three sentences", "What to read next"))
    assert re.findall(r"\{quiz\} (\d+)", source[remember:read]) == [str(chapter)]


def test_no_chapter_asks_for_questions_that_are_not_there(root):
    sources = sorted((root / "book/chapters").glob("*.py"))
    asked = {int(p.name[:2]) for p in sources if "{quiz}" in p.read_text("utf-8")}
    assert asked == set(BANK)
    for path in sorted((root / "notebooks").rglob("*.ipynb")):
        assert "quiz}" not in path.read_text("utf-8"), path.name


def test_ids_are_unique_and_no_question_is_asked_twice():
    for values in ([q.id for q in ALL], [q.ask for q in ALL]):
        assert not [v for v, n in Counter(values).items() if n > 1]


def test_neither_place_nor_length_gives_the_right_option_away():
    """Who always takes B, or the longest option, is right in a quarter of the questions, give or
    take what chance does."""
    n = len(CHOICES)
    chance = 2 * math.sqrt(n * 0.25 * 0.75)
    places = Counter(q.right for q in CHOICES)
    assert all(abs(places[letter] - n / 4) <= chance for letter in "ABCD"), places
    longest = shortest = 0
    for question in CHOICES:
        lengths = sorted(len(option.text) for option in question.options)
        right = next(len(option.text) for option in question.options if option.right)
        longest += right == lengths[3] > lengths[2]
        shortest += right == lengths[0] < lengths[1]
        assert right <= 1.6 * lengths[1], f"{question.id}: the right option stands out"
    assert max(longest, shortest) <= n / 4 + chance, (longest, shortest, n)


def test_every_option_has_a_reason_of_its_own_that_is_a_sentence():
    for question in CHOICES:
        reasons = [option.why for option in question.options]
        assert len(set(reasons)) == 4, question.id
        assert all(len(why) >= 20 and why.rstrip()[-1] in ".!?" for why in reasons), question.id


#: Each number once more, computed from what the question says.
BY_HAND = {
    "00-tie": 0.1 / 3.0,
    "00-rank": (2 + 3 + 4) / 3,
    "01-blind-loss": math.log(2 * 128),
    "01-two-candidates": -math.log(math.exp(20) / (math.exp(20) + math.exp(18))),
    "02-right-share": 100 * (6 - 2) / 10,
    "03-first-flip": (4.0 - 3.4) / (3.0 - 1.5),
    "03-scale": 1 - 1 / 1.5,
    "04-expected": (4.0 * 0.3 + 5.0 * 0.2) / (0.3 + 0.2),
    "04-first-number": 0,
    "05-copies-loss": -math.log(math.exp(3.0) / (4 * math.exp(3.0) + 4 * math.exp(3.0))),
    "05-unseen-pairs": sum(2 for x in range(8) for y in range(8) if x != y),
    "06-standard-error": statistics.stdev([1, 2, 3]) / math.sqrt(3),
    "06-ndcg": (1 / math.log2(3)) / (1 / math.log2(2)),
    "07-by-hand": 0.5 * (0.9 - 0.5) + 0.5 * (1 - 0.6) * -1,
    "07-break-even": 0.95 - 1 / 2,
    "08-advantage": 0.5**2 * (1 + 0 - 0.5) + 0.5 * (0 + 0.5 - 0.5) + (0 + 0.5 - 0.5),
    "08-best-policy": 0.2 * math.exp(1 / 0.5) / (0.8 + 0.2 * math.exp(1 / 0.5)),
    "09-usable-share": (0.5 + 0.5 * 0.5) * (0.8 + 0.2 * 0.8),
    "09-budget": 3 * 10 * 64 + 3 * 100 * 3 + 3 * 100 * 3,
    "10-straight": math.hypot(3, 4) / (3 + 4),
    "10-next-word": (0.3**2 / 0.1) / (0.5**2 / 0.5 + 0.3**2 / 0.1 + 0.2**2 / 0.4),
    "11-refined": 0.5 + math.log(0.5 * (0.8 - 0.5) + 1),
    "11-equal-scores": math.log(math.factorial(3)),
    "12-average-precision": (1 / 1 + 2 / 4) / 2,
    "12-mean-gain": 100 * ((24 + 60) - (20 + 60)) / (20 + 60),
    "13-true-share": (0.62 - (1 - 0.8)) / (0.9 - (1 - 0.8)),
    "13-kappa": (0.8 - (0.8**2 + 0.2**2)) / (1 - (0.8**2 + 0.2**2)),
    "14-best-of-two": statistics.mean(map(max, itertools.combinations([1, 2, 4], 2))),
    "14-copy-reward": 0.5 * (0.1 - 0.5) + 0.5 * -1,
    "15-misorder": 1 / math.comb(4, 2),
    "15-repeated": 2 / 4,
    "16-wilson": 2 * (1.96**2 / 16) / (1 + 1.96**2 / 8),
    "16-told-apart": (2 + 0.5) / 4,
    "17-hours": 2 * 5e9 * (80 + 20) * 360_000 / (0.4 * 250e12) / 3600,
    "17-cache": 50 * 2 * 120 * 128 * 1024 / 1e9,
}


def test_every_number_is_what_it_comes_to_by_hand():
    numbers = {q.id: q for q in ALL if q.kind == "number"}
    assert set(numbers) == set(BY_HAND)
    for name, question in numbers.items():
        assert abs(question.answer - BY_HAND[name]) <= question.tolerance / 2 + 1e-12, name
        assert question.tolerance <= 0.06 * max(abs(question.answer), 1), name


def test_the_kernels_of_the_book_come_to_the_same():
    import torch

    from synthlib import curation, decoding, evaluation, judging, losses, ppo, rewards, world

    def reward(p, cosine, kind, bound):
        difficulty = rewards.difficulty_reward(cosine, kind, bound)
        return rewards.dual_reward(rewards.correctness_reward(p, 0.5), difficulty)

    row = [[1.0, 0.5, 0.8], [0.5, 1.0, 0.9], [0.8, 0.9, 1.0]]
    ones, nan = torch.ones(4, 2), float("nan")
    logs = torch.tensor([[[0.5, 0.3, 0.2]], [[0.5, 0.1, 0.4]]]).log()
    found = {
        "04-first-number": judging.parse_score("From 0 to 5, I would say 4."),
        "05-copies-loss": losses.info_nce(ones, ones, ones),
        "06-ndcg": evaluation.ndcg_at_k([[3, 2, 1]], [[0, 1, 0]]),
        "07-by-hand": reward(0.9, 0.6, "positive", 0.7),
        "08-advantage": ppo.gae(
            torch.tensor([[0.0, 0.0, 1.0]]), torch.full((1, 3), 0.5),
            torch.ones(1, 3, dtype=torch.bool), gamma=1.0, lam=0.5,
        )[0][0, 0],
        "10-next-word": decoding.mix_logits(logs, torch.tensor([2.0, -1.0])).softmax(-1)[0, 1],
        "11-refined": losses.refine_similarity(torch.tensor(row), 0.5)[0, 1],
        "11-equal-scores": losses.list_mle(torch.zeros(3), torch.tensor([3.0, 2.0, 1.0])),
        "12-average-precision": evaluation.mean_average_precision([[4, 3, 2, 1]], [[1, 0, 0, 1]]),
        "14-copy-reward": reward(0.1, 1.0, "negative", 0.95),
    }  # fmt: skip
    asked = {q.id: q for q in ALL}
    for name, value in found.items():
        assert float(value) == pytest.approx(asked[name].answer, abs=asked[name].tolerance + 1e-6)
    kept = curation.Thresholds(3, 3, 1).keep([3.0, 5.0, 2.5, 3.5, nan], [2.0, 3.5, 0.0, 3.0, 0.0])
    assert list(kept) == [True, False, False, False, False]  # 00-kept, and a NaN
    label = world.nli("one animal is not moving", "a dog is not running")
    assert label == "entailment" and asked["02-two-denials"].options[
        "ABCD".index(asked["02-two-denials"].right)].text.startswith("Entailment")  # fmt: skip
    premise, hypothesis = re.findall(r"\*([^*]+)\*", asked["02-less-and-more"].ask)
    assert (world.nli(premise, hypothesis),) == asked["02-less-and-more"].accept
    printed = losses.refine_similarity(torch.tensor(row), 0.5, variant="printed")[0]
    assert printed[1] < 0.5 and printed[2] > 0.8  # 11-as-printed


def test_figures_are_those_of_the_ledger_and_of_the_papers(tmp_path):
    for question in ALL:
        said = [question.ask, question.why, *question.rubric]
        said += [text for option in question.options for text in (option.text, option.why)]
        assert not re.search(r"\{(ledger|paper)", "".join(said)), question.id
    claim = "03-fig1-errors"
    entry = NUMBER.replace('"?"', f'"{{ledger:{claim}}} of {{paper:{claim}}}"')
    (question,) = questions.read(42, write(tmp_path, entry))
    measured = json.loads((paths.DATA / f"ledger/measured/{claim}.json").read_text("utf-8"))
    values = measured["values"].values()
    (row,) = [r for r in csv.DictReader((paths.DATA / "ledger/claims.csv").open(encoding="utf-8"))
              if r["id"] == claim]  # fmt: skip
    assert question.ask == f"{sum(values) / len(values):.1f} % of {row['paper_value']}"
    named = re.findall(
        r"\{(?:ledger|paper):[\w-]+\}",
        "".join(p.read_text("utf-8") for p in questions.FOLDER.glob("*.toml")),
    )
    assert len(named) >= 3


# ------------------------------------------------------------------ what is refused
CHOICE = """\
[[question]]
id = "42-a"
ask = "Is $x$ *good*?"
right = ["yes", "It is."]
wrong = [["no", "Not so."], ["maybe", "Not so either."], ["never", "Nor so."]]
page = true
"""
NUMBER = '[[question]]\nid = "42-n"\nask = "?"\nanswer = 1.5\ntolerance = 0.1\nwhy = "So."\n'
TEXT = '[[question]]\nid = "42-t"\nask = "?"\naccept = ["beta"]\nwhy = "So."\n'
OPEN = '[[question]]\nid = "42-o"\nask = "?"\nrubric = ["a", "b", "c"]\n'


def write(folder, *entries):
    text = 'title = "A chapter"\n' + "\n".join(entries)
    (folder / "42.toml").write_text(text, "utf-8")
    return folder


@pytest.mark.parametrize(("entry", "old", "new", "message"), [
    (CHOICE, "42-a", "41-a", r"42\.toml, question 1: the id is to be 42- and small letters, got"),
    (CHOICE, ', ["never", "Nor so."]', "", r"question 1 \(42-a\): three wrong options are wanted"),
    (CHOICE, '"never"', '"no"', "two options are the same"),
    (CHOICE, '["no", "Not so."]', '["no"]', "a wrong option: a list of 2 is wanted"),
    (CHOICE, "$x$", "$x", "ask has a \\$ or a ` that is not closed"),
    (CHOICE, "page", "pages", "unknown pages"),
    (CHOICE, '"Is $x$', '"""One.\n\nTwo: is $x$', "TOML"),
    (CHOICE, '"Is $x$ *good*?"', '"One.\\n\\nTwo?"', "one paragraph is what a page's question"),
    (CHOICE, '"It is."', '" "', "right is to be text, got ' '"),
    (CHOICE, "It is", "It is {ledger:03-nothing}", "no claim of the ledger is named 03-nothing"),
    (CHOICE, "It is", "It is {paper:00-gain}", "00-gain has no figure from the paper"),
    (CHOICE, "page = true", "answer = 1", "exactly one of right, answer, accept, rubric makes"),
    (NUMBER, 'why = "So."\n', "", "why missing"),
    (NUMBER, "1.5", '"1.5"', "answer and tolerance are to be numbers"),
    (NUMBER, "1.5", "nan", "answer and tolerance are to be numbers"),
    (NUMBER, "0.1", "-0.1", "the tolerance is below zero: -0.1"),
    (TEXT, '"beta"', '"be*"', "plain words, and 'be\\*' is a sign to Moodle"),
    (TEXT, '"beta"', '"True"', "is a sign to Moodle"),
    (TEXT, '["beta"]', "[]", "accept: a list with something is wanted"),
    (OPEN, ', "c"]', "]", "rubric: a list of 3 is wanted"),
    (OPEN, "[[question]]", "[question]", "a title and \\[\\[question\\]\\]s are wanted"),
])  # fmt: skip
def test_a_faulty_question_is_named_with_its_fault(tmp_path, entry, old, new, message):
    assert questions.read(42, write(tmp_path, entry))
    assert old in entry
    with pytest.raises(ValueError, match=message) as error:
        questions.read(42, write(tmp_path, entry.replace(old, new)))
    assert str(error.value).startswith("42.toml") and "\n" not in str(error.value)


def test_two_questions_with_one_name_and_a_chapter_without_any(tmp_path):
    with pytest.raises(ValueError, match=r"42\.toml: two questions have the id 42-n"):
        questions.read(42, write(tmp_path, NUMBER, NUMBER))
    with pytest.raises(FileNotFoundError, match="chapter 7 has no questions; those with some: 42"):
        questions.read(7, tmp_path)


# ------------------------------------------------------------------ reading the exports back
HOSTILE = r"""
[[question]]
id = "42-hostile"
ask = '''Braces {a=b} ~ # : and $\nu\ne\{1\}$, `x[i] -> {y: "#"}` <script>alert(1)</script> & 50 %

A second paragraph with \n and \\ in it.
```
if x:
    y = {1: "~"}
```'''
right = ['''$\text{if } a<b$ = right''', '''Because # of {this} \ and ~that.''']
wrong = [['''%50% of $\{x\}$''', '''No: \= is no sign.'''], ['''// a comment?''', '''None.'''],
         ['''[html] or *not*''', '''In [brackets] it is.''']]
"""


def of_gift(text):
    """Moodle's reading of GIFT, from its rules: blank lines part, a backslash takes a sign's
    meaning away, and what is left of the signs divides."""
    found, category = [], None
    for block in re.split(r"\n[ \t]*\n", text.strip()):
        lines = [line.strip() for line in block.split("\n")]
        block = "\n".join(line for line in lines if not line.startswith("//"))
        signs = []  # (character, is a sign)
        at = 0
        while at < len(block):
            if block[at] == "\\" and at + 1 < len(block) and block[at + 1] in "\\~=#{}:n":
                signs.append(("\n" if block[at + 1] == "n" else block[at + 1], False))
                at += 2
            else:
                signs.append((block[at], block[at] in "~=#{}:"))
                at += 1
        plain = "".join(c for c, _ in signs)
        if plain.startswith("$CATEGORY:"):
            category = plain.partition(":")[2].strip()
            continue
        colon = (":", True)
        assert signs[:2] == [colon, colon]
        end = next(n for n in range(2, len(signs)) if signs[n : n + 2] == [colon, colon])
        name = plain[2:end]
        start, stop = signs.index(("{", True)), signs.index(("}", True))
        assert not plain[stop + 1 :].strip(), "text behind the answers would make a gap of them"
        asked = plain[end + 2 : start]
        assert asked.startswith("[html]")
        inner, general = signs[start + 1 : stop], ""
        marks = [n for n in range(len(inner) - 3) if all(inner[n + k] == ("#", True)
                                                         for k in range(4))]  # fmt: skip
        if marks:
            general = "".join(c for c, _ in inner[marks[-1] + 4 :])
            inner = inner[: marks[-1]]
        while inner and inner[0][0].isspace():
            inner = inner[1:]
        entry = {"name": name, "category": category, "ask": asked[6:], "general": general}
        if not inner:
            found.append(entry | {"kind": "essay"})
        elif inner[0] == ("#", True):
            answer, tolerance = "".join(c for c, _ in inner[1:]).split(":")
            answers = (float(answer), float(tolerance))
            found.append(entry | {"kind": "numerical", "answer": answers})
        else:
            answers = []
            for c, sign in inner:
                if sign and c in "=~":
                    answers.append([c, ["", ""], 0])
                elif sign and c == "#":
                    answers[-1][2] = 1
                else:
                    answers[-1][1][answers[-1][2]] += c
            kind = "multichoice" if any(a[0] == "~" for a in answers) else "shortanswer"
            answers = [(sign, said.strip(), why.strip()) for sign, (said, why), _ in answers]
            found.append(entry | {"kind": kind, "answers": answers})
    return found


def shown(fragment):
    """What a reader sees of an HTML fragment, formulas between dollars."""
    page = BeautifulSoup(re.sub("<br/?>", "\n", fragment), "html.parser")
    assert {tag.name for tag in page.find_all(True)} <= {"p", "pre", "em", "code", "ul", "li"}
    assert not page.find_all(attrs=True) or all(not tag.attrs for tag in page.find_all(True))
    text = page.get_text().replace(r"\(", "$").replace(r"\)", "$")
    return re.sub(r"\s+", " ", text).strip()


def meant(text):
    """What a text of the bank says, without its marks."""
    text = re.sub(r"```\n(.*?)\n```", r"\1", text, flags=re.S)
    parts = re.split(r"(\$[^$]+\$|`[^`]+`)", text)
    parts[::2] = [re.sub(r"\*([^*\s][^*]*)\*", r"\1", part) for part in parts[::2]]
    return re.sub(r"\s+", "", "".join(part.strip("`") for part in parts))


def same(fragment, text):
    return re.sub(r"\s+", "", shown(fragment)) == meant(text)


def compare_gift(found, bank):
    assert [entry["name"] for entry in found] == [question.id for question in bank]
    for entry, question in zip(found, bank, strict=True):
        assert same(entry["ask"], question.ask), question.id
        if question.kind == "choice":
            assert entry["kind"] == "multichoice"
            assert [sign == "=" for sign, _, _ in entry["answers"]] == [
                option.right for option in question.options
            ]
            for (_, text, why), option in zip(entry["answers"], question.options, strict=True):
                assert same(text, option.text) and same(why, option.why), question.id
        elif question.kind == "number":
            assert entry["kind"] == "numerical"
            assert entry["answer"] == (question.answer, question.tolerance)
            assert same(entry["general"], question.why)
        elif question.kind == "text":
            assert entry["kind"] == "shortanswer"
            assert [(s, t) for s, t, _ in entry["answers"]] == [("=", t) for t in question.accept]
            assert same(entry["general"], question.why)
        else:
            assert entry["kind"] == "essay"
            levels = [li.get_text() for li in BeautifulSoup(entry["general"], "html.parser")("li")]
            assert [level[: len(mark)] for level, mark in zip(
                levels, ("2 points", "1 point", "0 points"), strict=True)] == [
                "2 points", "1 point", "0 points"]  # fmt: skip


def test_moodle_reads_the_whole_bank_as_it_was_written(tmp_path, capsys):
    out = tmp_path / "all.txt"
    assert main(["questions", "--format", "gift", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"({len(ALL)} questions of {len(BANK)} chapters)" in said
    found = of_gift(out.read_text("utf-8"))
    compare_gift(found, ALL)
    for entry, question in zip(found, ALL, strict=True):
        chapter = int(question.id[:2])
        category = f"Synthetic Contrast/{chapter:02d} {questions.title(chapter)}"
        assert entry["category"] == category and "/" not in questions.title(chapter)


def test_signs_of_gift_and_of_html_in_a_text_stay_text(tmp_path):
    bank = questions.read(42, write(tmp_path, HOSTILE, NUMBER, TEXT, OPEN))
    text = questions.to_gift([("x", bank)])
    found = of_gift(text)
    compare_gift(found, bank)
    assert "<script>" not in text and r"\(\nu\ne\{1\}\)" in found[0]["ask"]
    # Inside of code, line ends and indentation are there.
    assert '<pre>if x:<br>    y = {1: "~"}</pre>' in found[0]["ask"]


def of_qti(content):
    """A package's quizzes: title and questions, each with what it says to an answer and pays."""
    archive = zipfile.ZipFile(io.BytesIO(content))
    read = {name: ElementTree.fromstring(archive.read(name)) for name in archive.namelist()}
    for tree in read.values():  # without namespaces
        for tag in tree.iter():
            tag.tag = tag.tag.partition("}")[2] or tag.tag
    manifest, found = read.pop("imsmanifest.xml"), []
    listed = {file.get("href") for file in manifest.iter("file")}
    assert listed == set(read), "a file that nobody names is not imported"
    for resource in manifest.iter("resource"):
        if resource.get("type") != "imsqti_xmlv1p2":
            continue
        (file,), (needs,) = resource.findall("file"), resource.findall("dependency")
        (meta,) = [one.find("file").get("href") for one in manifest.iter("resource")
                   if one.get("identifier") == needs.get("identifierref")]  # fmt: skip
        (quiz,) = read[file.get("href")].iter("assessment")
        assert read[meta].findtext("title") == quiz.get("title")
        items = list(quiz.iter("item"))
        points = 0
        for item in items:
            fields = {f.findtext("fieldlabel"): f.findtext("fieldentry")
                      for f in item.iter("qtimetadatafield")}  # fmt: skip
            points += float(fields["points_possible"])
            item.set("type", fields["question_type"])
            ids = [label.get("ident") for label in item.iter("response_label")]
            if fields["original_answer_ids"]:
                assert fields["original_answer_ids"].split(",") == ids
        assert float(read[meta].findtext("points_possible")) == points
        found.append((quiz.get("title"), items))
    return found


def holds(condition, answer):
    """Whether an answer meets a condition of QTI."""
    parts = {"or": any, "and": all, "conditionvar": any}
    if condition.tag in parts:
        return parts[condition.tag](holds(part, answer) for part in condition)
    if condition.tag == "other":
        return True
    if condition.tag == "varequal":
        return answer.strip().lower() == condition.text.lower()
    within = {"vargte": float.__ge__, "varlte": float.__le__}[condition.tag]
    try:
        return within(float(answer), float(condition.text))
    except ValueError:
        return False


def marked(item, answer):
    """Score of an answer, and the texts that are said to it."""
    score, said = 0, []
    texts = {f.get("ident"): f.find(".//mattext").text for f in item.iter("itemfeedback")}
    for case in item.iter("respcondition"):
        if not holds(case.find("conditionvar"), answer):
            continue
        said += [texts[shown.get("linkrefid")] for shown in case.iter("displayfeedback")]
        score = max([score, *(float(one.text) for one in case.iter("setvar"))])
        if case.get("continue") == "No":
            break
    return score, said


def from_canvas(fragment):
    """An HTML fragment with the formulas of its pictures between dollars."""
    page = BeautifulSoup(fragment, "html.parser")
    for picture in page("img"):
        formula = picture["data-equation-content"]
        address = picture["src"].removeprefix("/equation_images/")
        assert unquote(unquote(address)) == formula and "/" not in address
        assert picture["class"] == ["equation_image"] and picture["alt"] == f"LaTeX: {formula}"
        picture.replace_with(f"${formula}$")
    return str(page)


def compare_qti(items, bank):
    assert [item.get("title") for item in items] == [question.id for question in bank]
    for item, question in zip(items, bank, strict=True):
        assert item.get("type").startswith({"choice": "multiple_choice", "number": "numerical",
            "text": "short_answer", "open": "essay"}[question.kind])  # fmt: skip
        assert same(from_canvas(item.find("presentation/material/mattext").text), question.ask)
        if question.kind == "choice":
            labels = list(item.iter("response_label"))
            for label, option in zip(labels, question.options, strict=True):
                assert same(from_canvas(label.find(".//mattext").text), option.text)
                score, (why,) = marked(item, label.get("ident"))
                assert score == (100 if option.right else 0) and same(from_canvas(why), option.why)
        elif question.kind == "number":
            edge, step = question.tolerance, max(question.tolerance, 0.01) / 10
            for answer, right in [(0, True), (edge, True), (-edge, True), (edge + step, False),
                                  (-edge - step, False)]:  # fmt: skip
                score, (why,) = marked(item, f"{question.answer + answer:.10g}")
                assert (score == 100) == right, (question.id, answer)
                assert same(from_canvas(why), question.why)
        elif question.kind == "text":
            assert all(marked(item, one.upper())[0] == 100 for one in question.accept)
            assert marked(item, "something else")[0] == 0
        else:
            score, (rubric,) = marked(item, "a long answer")
            assert score == 0, "an open question waits for whoever marks it"
            levels = [li.get_text() for li in BeautifulSoup(rubric, "html.parser")("li")]
            assert [level.partition(":")[0] for level in levels] == [
                "2 points", "1 point", "0 points",
            ]  # fmt: skip


def test_canvas_reads_the_whole_bank_as_it_was_written(tmp_path, capsys):
    out = tmp_path / "all.zip"
    assert main(["questions", "--format", "qti", "--out", str(out)]) == 0
    found = of_qti(out.read_bytes())
    assert [title for title, _ in found] == [f"{n:02d} {questions.title(n)}" for n in BANK]
    for (_, items), bank in zip(found, BANK.values(), strict=True):
        compare_qti(items, bank)
    before = out.read_bytes()
    main(["questions", "--format", "qti", "--out", str(out)])
    assert out.read_bytes() == before


def test_signs_of_xml_and_of_html_in_a_text_stay_text(tmp_path):
    bank = questions.read(42, write(tmp_path, HOSTILE, NUMBER, TEXT, OPEN))
    ((title, items),) = of_qti(questions.to_qti([('<"&', bank)]))
    assert title == '<"&'
    compare_qti(items, bank)


def test_html_of_a_text():
    assert questions.to_html("a *b c* `x*y*z` $a*b*c$ 2 * 3 * 4") == (
        r"a <em>b c</em> <code>x*y*z</code> \(a*b*c\) 2 * 3 * 4"
    )
    assert questions.to_html("one\nline\n\ntwo") == "<p>one line</p><p>two</p>"


def test_a_sheet_has_answers_only_where_they_are_asked_for(tmp_path, capsys):
    names = [tmp_path / "sheet.md", tmp_path / "key.md"]
    argv = ["questions", "--format", "md", "--chapters", "3", "3"]
    assert main([*argv, "--out", str(names[0])]) == 0
    assert main([*argv, "--answers", "--out", str(names[1])]) == 0
    sheet, key = (name.read_text("utf-8") for name in names)
    assert "10 questions of 1 chapter)" in capsys.readouterr().out
    for question in BANK[3]:
        assert question.ask in sheet and question.ask in key
        for option in question.options:
            assert f"** {option.text}" in sheet
            assert option.why not in sheet and option.why in key
        for text in (*question.rubric, question.why):
            assert not text or (text not in sheet and text in key)
    assert ">" not in re.sub(r"`[^`]*`|\$[^$]*\$", "", sheet)


@pytest.mark.parametrize(("argv", "message"), [
    (["--chapters", "77"], "error: chapter 77 has no questions; those with some: 00, "),
    (["--chapters", "one"], "a whole number is wanted, got one"),
    (["--format", "word"], "invalid choice"),
    (["--format", "qti", "--answers"], "--answers belongs to md: the other formats have them"),
    (["--out", "nowhere/x.txt"], "the folder nowhere does not exist"),
    (["--format", "gift", "--answers"], "--answers belongs to md: the other formats have them"),
])  # fmt: skip
def test_mistakes_of_the_command_end_in_one_line(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["questions", *argv])
    except SystemExit as left:
        code = left.code
    said = capsys.readouterr().err
    assert code == 2 and message in said and said.count("\n") == 1
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------ in a page
@pytest.fixture(scope="module")
def build(tmp_path_factory, root):
    """Builds a page with the directive; returns the file and the warnings."""

    def run(text, theme="basic", **more):
        folder = tmp_path_factory.mktemp("book")
        (folder / "index.md").write_text(text, "utf-8")
        static = str(root / "book/site_static")
        settings = {
            "extensions": ["myst_parser", "quiz_page"], "source_suffix": {".md": "markdown"},
            "myst_enable_extensions": ["dollarmath"], "html_theme": theme, "project": "Book",
            "html_static_path": [static], "html_css_files": ["figures.css", "book.css"],
            "html_js_files": ["book.js"], "html_context": {"default_mode": "auto"},
            "mathjax_path": "vendor/mathjax/startup.js",
            "mathjax3_config": {"loader": {"load": ["input/tex", "output/chtml"]}}, **more,
        }  # fmt: skip
        warnings = io.StringIO()
        with docutils_namespace():
            app = Sphinx(
                str(folder), None, str(folder / "out"), str(folder / "trees"), "html", settings,
                status=None, warning=warnings, freshenv=True,
            )  # fmt: skip
            app.build()
        return folder / "out/index.html", warnings.getvalue()

    return run


def text_of(tag):
    """A tag's text, its formulas between dollars and its quotes straight."""
    text = tag.get_text().replace(r"\(", "$").replace(r"\)", "$")
    return re.sub(r"\s+", "", text.replace("’", "'").replace("“", '"').replace("”", '"'))


@pytest.mark.parametrize("chapter", BANK)
def test_a_page_asks_what_the_bank_has_for_it(build, chapter):
    file, warnings = build(f"# One\n\n```{{quiz}} {chapter}\n```\n", smartquotes=False)
    assert not warnings
    quiz = BeautifulSoup(file.read_text("utf-8"), "html.parser").select_one("details.sc-quiz")
    asked = [question for question in BANK[chapter] if question.page]
    groups = quiz.select("fieldset")
    assert len(groups) == len(asked) and "open" not in quiz.attrs
    for group, question in zip(groups, asked, strict=True):
        assert text_of(group.legend).partition(".")[2] == meant(question.ask)
        names = {radio["name"] for radio in group.select("input[type=radio]")}
        assert len(names) == 1
        for letter, option in zip("ABCD", question.options, strict=True):
            (radio,) = group.select(f"input[value={letter}]")
            (label,) = group.select(f'label[for="{radio["id"]}"]')
            assert text_of(label) == letter + meant(option.text)
            (reason,) = group.select(f'[data-option="{letter}"]')
            is_ = "right" if option.right else "wrong"
            assert reason["data-is"] == is_
            assert text_of(reason) == f"{letter}is{is_}." + meant(option.why)
        (status,) = group.select('[role="status"]')
        assert not status.get_text()
    key = quiz.select_one(".sc-quiz-key").get_text()
    assert re.findall(r"\d ([A-D])", key) == [question.right for question in asked]


@pytest.mark.parametrize(("argument", "message"), [
    ("77", "chapter 77 has no questions"), ("three", "invalid literal"),
])  # fmt: skip
def test_a_wrong_directive_is_a_warning_of_the_build(build, argument, message):
    _, warnings = build(f"# One\n\n```{{quiz}} {argument}\n```\n")
    assert message in warnings


def test_what_is_text_in_the_bank_is_text_in_the_page(build, tmp_path, monkeypatch):
    entry = CHOICE.replace('"yes"', "'<img src=x onerror=alert(1)> a < b'")
    monkeypatch.setattr(questions, "FOLDER", write(tmp_path, entry))
    file, _ = build("# One\n\n```{quiz} 42\n```\n")
    page = BeautifulSoup(file.read_text("utf-8"), "html.parser")
    assert not page.select("img, [onerror]")


def test_other_builders_leave_it_out(build):
    import quiz_page
    from docutils import nodes

    with pytest.raises(nodes.SkipNode):
        quiz_page.skip(None, None)


def test_notebooks_have_none_of_it():
    import plain_markdown

    text = "1. One.\n\n```{quiz} 3\n```\n\n## Next\n"
    assert plain_markdown.to_plain(text) == "1. One.\n\n\n## Next"


needs_browser = pytest.mark.skipif(bool(living.missing()), reason=str(living.missing()))


@needs_browser
def test_a_quiz_answers_the_keyboard_and_says_why(build):
    file, _ = build("# One\n\n```{quiz} 3\n```\n", theme="sphinx_book_theme")
    asked = [question for question in BANK[3] if question.page][0]
    right = "ABCD".index(asked.right)
    code = """async (page) => {
      const seen = {}, says = page.locator('.sc-quiz-says').first();
      seen.folded = !(await page.locator('.sc-quiz legend').first().isVisible());
      await page.evaluate(() => window.MathJax.startup.promise);
      await page.waitForTimeout(50);
      await page.locator('.sc-quiz > summary').focus();
      await page.keyboard.press('Enter');
      seen.unfolded = await page.locator('.sc-quiz legend').first().isVisible();
      await page.keyboard.press('Tab');  // into the group of options
      seen.radio = await page.evaluate(() => document.activeElement.type);
      await page.keyboard.press('Space');
      seen.chosen = await page.evaluate(() => document.activeElement.value);
      seen.silent = await says.textContent();
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      seen.first = await says.textContent();
      await page.keyboard.press('Shift+Tab');
      for (let n = 0; n < RIGHT; n++) await page.keyboard.press('ArrowDown');
      seen.cleared = RIGHT ? await says.textContent() : '';
      await page.keyboard.press('Tab');
      await page.keyboard.press('Enter');
      seen.second = await says.getAttribute('data-is');
      seen.math = await says.locator('mjx-container').count();
      await page.locator('.sc-quiz-check').nth(1).click();
      seen.none = await page.locator('.sc-quiz-says').nth(1).textContent();
      seen.small = await page.evaluate(() => [...document.querySelectorAll('.sc-quiz-check, .sc-quiz-option label')]
        .filter((e) => e.getBoundingClientRect().height < 23.5).length);
      seen.wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      return seen;
    }""".replace("RIGHT", str(right))  # noqa: E501
    for width, scheme in ((1200, "light"), (390, "dark")):
        (report,) = living.run({"file": file, "code": code, "width": width, "scheme": scheme})
        seen = report["result"]
        assert not report["errors"] and not report["remote"]
        assert seen["folded"] and seen["unfolded"]
        assert (seen["radio"], seen["chosen"], seen["silent"]) == ("radio", "A", "")
        assert seen["first"].startswith(f"A is {'right' if right == 0 else 'wrong'}.")
        assert seen["cleared"] == "" and seen["second"] == "right"
        assert seen["none"] == "Choose an answer first."
        assert seen["small"] == 0 and seen["wide"] <= 0


@needs_browser
def test_without_a_script_and_on_paper_it_can_be_read(build):
    file, _ = build("# One\n\n```{quiz} 3\n```\n", theme="sphinx_book_theme")
    plain = """async (page) => {
      await page.locator('.sc-quiz > summary').click();
      await page.locator('.sc-quiz-answer > summary').first().click();
      return [await page.locator('.sc-quiz-check').first().isVisible(),
              await page.locator('.sc-quiz-answer li').first().isVisible(),
              await page.locator('.sc-quiz-key').isVisible()];
    }"""
    paper = """async (page) => {
      await page.emulateMedia({ media: 'print' });
      await page.evaluate(() => dispatchEvent(new Event('beforeprint')));
      const shown = (query) => page.locator(query).first().isVisible();
      const seen = [await shown('.sc-quiz legend'), await shown('.sc-quiz-key'), await shown('.sc-quiz-answer'),
                    await shown('.sc-quiz button'), await shown('.sc-quiz input')];
      await page.evaluate(() => dispatchEvent(new Event('afterprint')));
      return [...seen, await page.evaluate(() => document.querySelector('.sc-quiz').open)];
    }"""  # noqa: E501
    without, printed = living.run(
        {"file": file, "code": plain, "javascript": False}, {"file": file, "code": paper}
    )
    assert without["result"] == [False, True, False]
    assert printed["result"] == [True, True, False, False, False, False]


def test_the_pdf_leaves_the_answers_out():
    import make_pdf

    article = BeautifulSoup(
        '<article><details class="sc-quiz"><summary>Check</summary><fieldset><legend>Q</legend>'
        '<input type="radio"><label>A</label><button hidden>Check</button>'
        '<p class="sc-quiz-says"></p><details class="sc-quiz-answer">because</details></fieldset>'
        '<p class="sc-quiz-key">Right: 1 A.</p></details></article>',
        "html.parser",
    ).article
    make_pdf.prepare(article, "notebooks/03_x.html", "Three")
    assert article.get_text(" ", strip=True) == "Check Q A Right: 1 A."
    assert not article.select("input, button")


@needs_browser
def test_what_was_answered_rightly_is_kept_in_the_browser_until_it_is_forgotten(build):
    file, warnings = build("# One\n\n```{quiz-progress}\n```\n\n```{quiz} 3\n```\n")
    assert not warnings
    asked = [question for question in BANK[3] if question.page]
    total = sum(question.page for bank in BANK.values() for question in bank)
    code = """async (page) => {
      const seen = [], place = page.locator('.sc-progress');
      const look = async () => seen.push([await place.isVisible(), await place.textContent(), await page.locator('.sc-quiz-done').count()]);
      await look();
      await page.locator('.sc-quiz > summary').click();
      const answer = async (letter) => {
        await page.locator(`.sc-quiz fieldset input[value=${letter}]`).first().check();
        await page.locator('.sc-quiz-check:not(.sc-progress *)').first().click();
      };
      await answer('WRONG'); await page.reload(); await look();
      await page.locator('.sc-quiz > summary').click();
      await answer('RIGHT'); await answer('WRONG'); await page.reload(); await look();
      seen.push(await page.locator('.sc-progress a').getAttribute('href'));
      await page.locator('.sc-progress button').click(); await look();
      await page.reload(); await look();
      return seen;
    }"""  # noqa: E501
    right = asked[0].right
    code = code.replace("RIGHT", right).replace("WRONG", "B" if right == "A" else "A")
    (report,) = living.run({"file": file, "code": code})
    assert not report["errors"] and not report["remote"]
    nothing, wrong, kept, link, forgotten, still = report["result"]
    assert nothing == wrong == [False, "", 0]
    said = f"You have answered 1 of the {total} questions of these pages. Only this browser knows."
    assert kept == [True, f"{said}Chapter 3: 1 of {len(asked)}Forget them", 1]
    assert link.endswith("notebooks/03_contrastive_generation.html#quiz-03")
    assert forgotten[0] is False and still == [False, "", 0]
