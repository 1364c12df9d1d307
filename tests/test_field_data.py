"""The sentences and triplets written for the part "In the field" (data/field/).

What can be measured of their README's promises: counts and shares, what no label may betray
(length, negation, single words), and that nothing was taken from a public data set.
"""

import csv
import re
from collections import Counter

import numpy as np
import pytest
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from synthlib import paths

FOLDER = paths.DATA / "field"
LABELS = ["entailment", "neutral", "contradiction"]
COLUMNS = {
    "sentences": ["id", "register", "sentence"],
    "triplets": ["id", "register", "anchor", *LABELS, "change", "example"],
}
# register: (sentences, triplets)
SHARES = {
    "caption": (90, 35), "news": (60, 22), "question": (50, 18), "instruction": (50, 18),
    "dialogue": (50, 22), "statement": (40, 13), "review": (30, 12), "message": (30, 10),
}  # fmt: skip
CHANGES = {
    "verb", "role", "agent", "object", "number", "quantity", "comparison", "time", "order",
    "place", "manner", "attribute", "antonym", "presupposition", "cause",
}  # fmt: skip
NEGATION = re.compile(
    r"\b(no|not|never|none|nobody|nothing|nowhere|neither|nor|cannot|without)\b|n't\b"
)
# Chance is a third, and a standard error of it over 450 texts is .022.
MARGIN = 0.06


def read(name):
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, strict=True))


def words(text):
    return re.findall(r"[a-z0-9]+(?:'[a-z]+)?", text.lower())


def normal(text):
    return " ".join(words(text))


def likeness(a, b):
    """Jaccard similarity of the words that carry content."""
    a, b = ({w for w in words(t) if w not in ENGLISH_STOP_WORDS} for t in (a, b))
    return len(a & b) / max(1, len(a | b))


@pytest.fixture(scope="module")
def sentences():
    return read("sentences")


@pytest.fixture(scope="module")
def triplets():
    return read("triplets")


@pytest.fixture(scope="module")
def texts(sentences, triplets):
    """Every text of the two files."""
    return [r["sentence"] for r in sentences] + [
        row[column] for row in triplets for column in ["anchor", *LABELS]
    ]


@pytest.mark.parametrize("which", [0, 1])
def test_columns_counts_and_shares(which, sentences, triplets):
    name, rows, letter = [("sentences", sentences, "s"), ("triplets", triplets, "t")][which]
    assert list(rows[0]) == COLUMNS[name] and all(None not in r.values() for r in rows)
    assert [r["id"] for r in rows] == [f"{letter}{i:03d}" for i in range(1, len(rows) + 1)]
    assert Counter(r["register"] for r in rows) == {k: v[which] for k, v in SHARES.items()}


def test_each_text_is_one_clean_line(texts):
    for text in texts:
        assert text.isascii() and text == " ".join(text.split()), text
        assert re.fullmatch(r"[A-Z][\w ,;:.'?!-]*[.?!]", text), text
        assert not re.search(r" [,;:.?!]|[.?!][.?!]|,,|''", text), text


def test_no_text_comes_twice(texts):
    twice = [t for t, n in Counter(map(normal, texts)).items() if n > 1]
    assert not twice


def test_anchors_are_other_sentences(sentences, triplets):
    close = [
        (t["anchor"], s["sentence"])
        for t in triplets
        for s in sentences
        if likeness(t["anchor"], s["sentence"]) > 0.35
    ]
    assert not close


def test_sentences_vary(sentences):
    texts = [r["sentence"] for r in sentences]
    lengths = [len(t.split()) for t in texts]
    assert min(lengths) == 4 and max(lengths) == 30
    assert sum(n <= 7 for n in lengths) >= 20 and sum(n >= 16 for n in lengths) >= 30
    starts = Counter(" ".join(words(t)[:2]) for t in texts)
    assert max(starts.values()) <= 3, starts.most_common(3)
    close = [(a, b) for i, a in enumerate(texts) for b in texts[:i] if likeness(a, b) > 0.4]
    assert not close


def test_each_row_says_what_changes(triplets):
    count = Counter(r["change"] for r in triplets)
    assert set(count) == CHANGES and min(count.values()) >= 3


def test_an_entailment_is_more_than_a_cut_anchor(triplets):
    for row in triplets:
        anchor = set(words(row["anchor"]))
        assert set(words(row["entailment"])) - anchor, row["id"]
        # Nor is a contradiction an anchor with a negation put in.
        new = set(words(row["contradiction"])) - anchor
        assert any(not NEGATION.fullmatch(w) for w in new), row["id"]


def test_examples_are_short_and_of_several_registers(triplets):
    assert {r["example"] for r in triplets} == {"yes", "no"}
    rows = [r for r in triplets if r["example"] == "yes"]
    assert len(rows) == 20 and len({r["register"] for r in rows}) >= 6
    assert len({r["change"] for r in rows}) >= 8
    assert not any(r[c].endswith("?") for r in rows for c in ["anchor", *LABELS])
    for row in rows:
        assert max(len(row[c].split()) for c in ["anchor", *LABELS]) <= 13, row["id"]


def test_length_and_negation_give_no_label_away(triplets):
    lengths = np.array([[len(r[c]) for c in LABELS] for r in triplets])
    assert np.ptp(lengths.mean(0)) < 2.5  # characters, of some 52
    assert np.ptp(np.median(lengths, axis=0)) < 5
    for extreme in (lengths.argmax(1), lengths.argmin(1)):
        share = np.bincount(extreme, minlength=3) / len(triplets)
        assert share.min() > 0.26 and share.max() < 0.41, share
    negated = [sum(bool(NEGATION.search(r[c].lower())) for r in triplets) for c in LABELS]
    assert min(negated) >= 10 and max(negated) - min(negated) <= 3, negated


def hypothesis_only(triplets, ngrams=(1, 1)):
    """Accuracy of a bag of words that never sees the anchor; a row's texts share a fold."""
    texts = [row[c] for row in triplets for c in LABELS]
    labels = np.tile(np.arange(3), len(triplets))
    rows = np.repeat(np.arange(len(triplets)), 3)
    model = make_pipeline(
        CountVectorizer(token_pattern=r"[\w']+", ngram_range=ngrams, binary=True),
        LogisticRegression(max_iter=1000),
    )
    scores = [
        cross_val_score(
            model, texts, labels, groups=rows, cv=GroupKFold(5, shuffle=True, random_state=seed)
        ).mean()
        for seed in range(3)
    ]
    return float(np.mean(scores))


@pytest.mark.parametrize("ngrams", [(1, 1), (1, 2)])
def test_no_word_betrays_the_label(triplets, ngrams):
    assert hypothesis_only(triplets, ngrams) < 1 / 3 + MARGIN


def test_a_word_that_betrays_the_label_would_be_found(triplets):
    marked = [
        {**r, "contradiction": "Nobody says: " + r["contradiction"]} if i % 2 else r
        for i, r in enumerate(triplets)
    ]
    assert hypothesis_only(marked) > 1 / 3 + MARGIN


def test_the_readme_counts_what_is_there(sentences, triplets):
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    for register, (single, triple) in SHARES.items():
        assert re.search(rf"^\| {register} \| {single} \| {triple} \|", readme, re.MULTILINE)
    for change, n in Counter(r["change"] for r in triplets).items():
        assert re.search(rf"^\| `{change}` \| {n} \|", readme, re.MULTILINE), change
    assert f"{len(sentences)} sentences" in readme and f"{len(triplets)} triplets" in readme


def public_texts(folder):
    """Every field of at least four words in the data sets' files (tab-separated, CSV or plain)."""
    found = set()
    for file in sorted(folder.rglob("*")):
        if file.suffix == ".md" or not file.is_file():
            continue
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        comma = file.suffix == ".csv" and "\t" not in "".join(lines[:1])
        rows = csv.reader(lines) if comma else (line.split("\t") for line in lines)
        found.update(normal(field) for row in rows for field in row)
    return sorted(t for t in found if t.count(" ") >= 3)


def nearest(texts, others, chunk=20_000):
    """For each text the best Jaccard similarity of its set of words to any of `others`."""
    counts = CountVectorizer(token_pattern=r"[\w']+", binary=True, dtype=np.float32)
    own = counts.fit_transform(map(normal, texts))
    sizes, best = own.sum(1), np.zeros(len(texts))
    for start in range(0, len(others), chunk):
        part = others[start : start + chunk]
        both = (own @ counts.transform(part).T).toarray()
        total = np.array([[len(set(t.split())) for t in part]])
        best = np.maximum(best, (both / (sizes + total - both)).max(1).A1)
    return best


def test_the_nearest_text_is_found():
    have = nearest(["A dog barks loudly.", "Rain again."], ["a dog barks", "sun"], chunk=1)
    assert have == pytest.approx([3 / 4, 0])


def test_nothing_is_taken_from_public_data(texts, shared_data):
    others = public_texts(shared_data)
    assert len(others) > 1000
    assert not set(map(normal, texts)) & set(others)
    best = nearest(texts, others)
    # Very short texts meet others by chance.
    limit = np.where([len(set(words(t))) >= 7 for t in texts], 0.6, 0.8)
    taken = [(texts[i], round(best[i], 2)) for i in np.flatnonzero(best > limit)]
    assert not taken


# ---------------------------------------------------------------- plain captions, for small models
def test_plain_captions_are_short_and_all_different(sentences, triplets):
    rows = read("captions")
    texts = [r["sentence"] for r in rows]
    assert [r["id"] for r in rows] == [f"c{i:03d}" for i in range(1, 121)]
    assert len(set(map(normal, texts))) == 120
    assert all(re.fullmatch(r"[A-Z][a-z ]+\.", text.replace("é", "e")) for text in texts)
    lengths = [len(text.split()) for text in texts]
    assert min(lengths) >= 6 and max(lengths) <= 12
    close = [(a, b) for i, a in enumerate(texts) for b in texts[:i] if likeness(a, b) > 0.5]
    assert not close
    others = {normal(r["sentence"]) for r in sentences} | {normal(r["anchor"]) for r in triplets}
    assert others.isdisjoint(map(normal, texts))


def test_worked_examples_of_plain_captions():
    rows = read("worked")
    assert list(rows[0]) == COLUMNS["triplets"]
    assert [r["id"] for r in rows] == [f"w{i:02d}" for i in range(1, 18)]
    assert {r["register"] for r in rows} == {"plain"}
    marks = [r["example"] for r in rows]
    assert marks.count("yes") == 6 and marks.count("no") == 11
    assert {r["change"] for r in rows} <= CHANGES and len({r["change"] for r in rows}) >= 6
    texts = [r[column] for r in rows for column in ["anchor", *LABELS]]
    assert len(set(map(normal, texts))) == len(texts) == 68
    assert max(len(text.split()) for text in texts) <= 12
    for row in rows:  # a contradiction keeps most of its anchor's words, an entailment fewer
        anchor = set(words(row["anchor"]))
        assert set(words(row["entailment"])) - anchor
        assert len(set(words(row["contradiction"])) & anchor) >= 2
    captions = [r["sentence"] for r in read("captions")]
    close = [
        (r[c], text) for r in rows for c in ["anchor", *LABELS] for text in captions
        if likeness(r[c], text) > 0.5
    ]  # fmt: skip
    assert not close


def test_rewritten_captions_say_the_same_in_other_words():
    rows = read("rewritten")
    assert list(rows[0]) == ["id", "sentence", "rewritten"]
    assert [r["id"] for r in rows] == [f"r{i:02d}" for i in range(1, 9)]
    texts = [r[column] for r in rows for column in ("sentence", "rewritten")]
    assert len(set(map(normal, texts))) == 16 and max(len(t.split()) for t in texts) <= 13
    for row in rows:  # no copy of any five words, and about as long
        before, after = words(row["sentence"]), words(row["rewritten"])
        runs = {tuple(before[i : i + 5]) for i in range(len(before) - 4)}
        assert runs.isdisjoint(tuple(after[i : i + 5]) for i in range(len(after) - 4))
        assert 0.8 <= len(after) / len(before) <= 1.5
    captions = [r["sentence"] for r in read("captions")]
    assert not [(t, c) for t in texts for c in captions if likeness(t, c) > 0.5]
