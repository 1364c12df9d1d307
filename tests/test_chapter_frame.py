"""What every chapter has, whoever wrote it: a head, a question before its results, an end."""

import re

import pytest

END = ("Three sentences to remember", "What to read next")


def prose(path):
    """The text of a chapter's source, without code."""
    cells = re.split(r"^# %%", path.read_text(encoding="utf8"), flags=re.M)[1:]
    text = "\n".join(cell for cell in cells if cell.startswith(" [markdown]"))
    return re.sub(r"^# ?", "", text, flags=re.M)


def pytest_generate_tests(metafunc):
    paths = sorted((metafunc.config.rootpath / "book/chapters").glob("[0-9]*.py"))
    metafunc.parametrize("chapter", paths, ids=[path.stem for path in paths])


def test_the_head_says_what_a_reader_will_be_able_to_do_and_what_it_costs(chapter):
    head = prose(chapter).partition("\n## ")[0]
    assert "**You will be able to**" in head
    assert "**Time and memory.**" in head


def test_a_question_to_predict_comes_before_the_chapters_findings(chapter):
    text = prose(chapter)
    asked = re.search(r"\*\*[^*]*\bpredict\b[^*]*\*\*.*?\?", text, flags=re.I | re.S)
    assert asked, "no question to predict"
    assert asked.start() < text.index("```{exercise}")


def test_it_ends_with_three_sentences_to_remember_and_what_to_read_next(chapter):
    text = prose(chapter)
    remember, read = (text.index(f"\n## {title}\n") for title in END)
    assert remember < read
    assert re.findall(r"^(\d)\. \S", text[remember:read], flags=re.M) == ["1", "2", "3"]


def test_a_chapter_of_many_claims_says_in_a_sentence_what_the_ledger_says(chapter):
    source = chapter.read_text(encoding="utf8")
    if not re.search(r"^ledger\.show\(chapter=\d+\)", source, flags=re.M):
        pytest.skip("shows no whole chapter of the ledger")
    before = source.partition("ledger.show(chapter=")[0].rpartition("\n# ## ")[2]
    assert re.search(r"^# In one sentence: ", before, flags=re.M)
