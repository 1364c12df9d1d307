"""What chapter 4 measures: the generator as a judge, and the triplets that its scores select.

The functions without an underscore are called by the chapter. The oracle appears in columns named
``positive_is``, ``negative_is`` and ``right``, and in what is computed from them; no filter and
no encoder sees it.
"""

from __future__ import annotations

import re
from functools import lru_cache
from random import Random

import numpy as np
import pandas as pd

from synthlib import curation, judging, ledger, models, prompts, tiers, training
from synthlib.evaluation import score_sts
from synthlib.experiments import ch01, lab
from synthlib.methods import multicsr
from synthlib.world import corpora, nli, parse
from synthlib.world.report import pairs_of, spearman

PREMISES = 4000
OMEGAS = (0.0, 0.3)
JUDGES = {"T5": "pocket/generator-t5", "Llama": "pocket/generator-llama"}
METHODS = ("text", "expected")
SHOTS = 3  # demonstrations shown to a judge; Table 1 does not say how many
LEAN = dict(batch_size=64, max_steps=100, progress=False)  # for the rows of Table 6
FEWEST = 16  # triplets to train on

RULE = curation.Thresholds(3, 3, 1)  # the paper's choice


# ------------------------------------------------------------------ triplets and their scores
@lru_cache(maxsize=8)
def scored(seed: int, omega: float, premises: int = PREMISES) -> pd.DataFrame:
    """Triplets with both kinds of scores and, for us alone, the oracle's verdict.

    Parameters
    ----------
    seed : int
    omega : float
        Of stage 1; 0 leaves it out.
    premises : int

    Returns
    -------
    DataFrame
        anchor, positive, negative; a, b (scores that the generator wrote); a_expected, b_expected
        (expected values); positive_is, negative_is, right (see `verdicts`). Everybody gets the
        same object, so copy it before you change it.
    """
    triplets = lab.corpus(seed, omega, premises)
    judge = lab.load(JUDGES["T5"])
    expected = multicsr.judge(judge, triplets, method="expected", batch_size=128)
    triplets = triplets.assign(a_expected=expected["a"], b_expected=expected["b"])
    return triplets.join(verdicts(triplets))


def verdicts(triplets: pd.DataFrame) -> pd.DataFrame:
    """The oracle on each triplet.

    Returns
    -------
    DataFrame
        ``positive_is``, ``negative_is``: label of the sentence given the anchor, "no sentence"
        where the oracle cannot read it; ``right``: entailment and contradiction, as asked for.
    """
    found = {
        name: [nli(x, y) or "no sentence" for x, y in
               zip(triplets["anchor"], triplets[text], strict=True)]
        for name, text in (("positive_is", "positive"), ("negative_is", "negative"))
    }  # fmt: skip
    frame = pd.DataFrame(found, index=triplets.index)
    right = (frame["positive_is"] == "entailment") & (frame["negative_is"] == "contradiction")
    return frame.assign(right=right)


def quality(kept, right) -> dict[str, float]:
    """What a filter did, counted with the oracle.

    Parameters
    ----------
    kept, right : bool arrays [n]

    Returns
    -------
    dict
        ``triplets`` (kept), and in percent ``kept`` (of all), ``precision`` (right among the
        kept), ``recall`` (kept among the right), ``rejected`` (rejected among the wrong); NaN
        where there is nothing to divide by.
    """
    kept, right = np.asarray(kept, dtype=bool), np.asarray(right, dtype=bool)

    def share(part, whole):
        return 100 * float(part.sum() / whole.sum()) if whole.any() else np.nan

    return {
        "triplets": int(kept.sum()),
        "kept": 100 * float(kept.mean()),
        "precision": share(kept & right, kept),
        "recall": share(kept & right, right),
        "rejected": share(~kept & ~right, ~right),
    }


def fate(triplets: pd.DataFrame, rule: curation.Thresholds = RULE) -> list[str]:
    """What became of each triplet: "kept", or the rules that it breaks, such as "β γ".

    Parameters
    ----------
    triplets : DataFrame
        With scores a and b; where one is missing the triplet is "unread".
    rule : `curation.Thresholds`
    """
    margin = -np.inf if rule.gamma is None else rule.gamma
    found = []
    for a, b in zip(triplets["a"], triplets["b"], strict=True):
        broken = [
            name
            for name, holds in (
                ("α", a >= rule.alpha),
                ("β", b <= rule.beta),
                ("γ", a >= b + margin),
            )
            if not holds
        ]
        found.append("unread" if np.isnan(a) or np.isnan(b) else " ".join(broken) or "kept")
    return found


def verb_change(anchor: str, negative: str) -> str:
    """How the verb changes from the anchor to its hard negative: "cry → laugh".

    Returns
    -------
    str
        "denial" where one of the two denies, "same verb", or "unreadable".
    """
    x, y = parse(anchor), parse(negative)
    if x is None or y is None:
        return "unreadable"
    if x.negated != y.negated:
        return "denial"
    return "same verb" if x.verb == y.verb else f"{x.verb} → {y.verb}"


def by_verb(triplets: pd.DataFrame, kept) -> pd.DataFrame:
    """Of the right triplets, how many a filter keeps, by what the hard negative changes.

    Returns
    -------
    DataFrame
        change, right (number of right triplets), recall (percent of them kept); most frequent
        change first.
    """
    right = triplets["right"].to_numpy(dtype=bool)
    rows = triplets[right]
    change = [verb_change(x, y) for x, y in zip(rows["anchor"], rows["negative"], strict=True)]
    frame = pd.DataFrame({"change": change, "kept": np.asarray(kept, dtype=bool)[right]})
    found = frame.groupby("change")["kept"].agg(right="size", recall="mean").reset_index()
    found["recall"] *= 100
    return found.sort_values(["right", "change"], ascending=[False, True], ignore_index=True)


# ------------------------------------------------------------------ other filters
def released_score(text: str) -> float | None:
    """How the authors' code reads a score: "d.d" with a first digit up to 5, or one digit."""
    text = text.strip()
    return float(text) if re.fullmatch(r"[0-5](\.[0-9])?", text) else None


def released_keep(a, b, alpha: float = 3.0, beta: float = 3.0, gap: bool = True):
    """The filter of the authors' code, beside `curation.Thresholds.keep`.

    It differs in three ways: where the negative outscores a positive of at most 4.0, the two
    exchange their roles; a negative above 4.0 goes out before any threshold; and the margin is
    only a switch, a ≠ b.

    Parameters
    ----------
    a, b : float arrays [n]
        NaN where unread.
    alpha, beta : float
    gap : bool

    Returns
    -------
    kept, exchanged : bool arrays [n]
    """
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    exchanged = (b > a) & (a <= 4.0)
    a, b = np.where(exchanged, b, a), np.where(exchanged, a, b)
    kept = (b <= 4.0) & (a >= alpha) & (b <= beta)
    return (kept & (a != b) if gap else kept), exchanged


def nli_keep(triplets: pd.DataFrame, classifier=None) -> np.ndarray:
    """Curation by an NLI classifier, which MultiCSR leaves as future work (Limitations).

    It needs what the method is meant to do without: the classifier learnt from labelled pairs.

    Parameters
    ----------
    triplets : DataFrame
        anchor, positive, negative.
    classifier : (model, tokenizer), optional
        Default: the pocket one.

    Returns
    -------
    bool array [n]
        Entailment is the positive's most probable label, and contradiction the negative's.
    """
    classifier = classifier or models.load_nli("pocket/nli", device="cpu")
    best = {
        text: judging.nli_probabilities(
            *classifier, list(zip(triplets["anchor"], triplets[text], strict=True))
        ).argmax(axis=1)
        for text in ("positive", "negative")
    }
    return (best["positive"] == 0) & (best["negative"] == 2)


def filters(triplets: pd.DataFrame, classifier=None) -> pd.DataFrame:
    """Several filters on the same triplets.

    Parameters
    ----------
    triplets : DataFrame
        From `scored`.
    classifier : (model, tokenizer), optional
        Of `nli_keep`.

    Returns
    -------
    DataFrame
        filter, labels (whether it needs a labelled corpus), and the columns of `quality`.
    """
    a, b = triplets["a"], triplets["b"]
    by_nli = nli_keep(triplets, classifier)
    by_text = RULE.keep(a, b)
    by_release, exchanged = released_keep(a, b)
    kept = {
        "none": np.ones(len(triplets), dtype=bool),
        "no copies": ~curation.copies(triplets["anchor"], triplets["negative"])
        & ~curation.copies(triplets["anchor"], triplets["positive"]),
        "self, text": by_text,
        "self, expected": RULE.keep(triplets["a_expected"], triplets["b_expected"]),
        "released code": by_release,
        "NLI classifier": by_nli,
        "self and NLI": by_text & by_nli,
    }
    # A triplet whose sentences exchanged their roles is right if it is right the other way round.
    turned = (triplets["positive_is"] == "contradiction") & (
        triplets["negative_is"] == "entailment"
    )
    right = dict.fromkeys(kept, triplets["right"].to_numpy())
    right["released code"] = np.where(exchanged, turned, right["none"])
    rows = [
        {"filter": name, "labels": "NLI" in name, **quality(k, right[name])}
        for name, k in kept.items()
    ]
    return pd.DataFrame(rows)


@ledger.measure(
    "04-fig3-precision", "04-fig3-kept", "04-fig3-gain", "04-table11-cases", "04-expected",
    "04-nli-filter",
)  # fmt: skip
def measure_selection(seed: int) -> dict[str, float]:
    """Stage 2 at (3, 3, 1), and other filters on the same triplets, with and without stage 1."""
    found = pd.concat(
        [filters(scored(seed, omega)).assign(omega=omega) for omega in OMEGAS], ignore_index=True
    )
    ledger.keep_rows("04-filters", seed, found)
    triplets = scored(seed, 0.3)
    ledger.keep_rows("04-verbs", seed, by_verb(triplets, RULE.keep(triplets["a"], triplets["b"])))
    return selection_values(found[found["omega"] == 0.3])


def selection_values(found: pd.DataFrame) -> dict[str, float]:
    """The values of the claims on the selection, from the rows of `filters` at ω = 0.3."""
    row = found.set_index("filter")
    text, precision = row.loc["self, text"], row["precision"]
    return {
        "04-fig3-precision": text["precision"],
        "04-fig3-kept": text["kept"],
        "04-fig3-gain": text["precision"] - precision["none"],
        "04-table11-cases": text["rejected"],
        "04-expected": precision["self, expected"] - precision["self, text"],
        "04-nli-filter": precision["NLI classifier"] - precision["self, text"],
    }


# ------------------------------------------------------------------ Table 1
def with_demonstrations(pairs, shown, *, shots: int = SHOTS, seed: int = 0):
    """A prompt for `judging.score_similarity` that shows scored pairs first.

    Parameters
    ----------
    pairs : n pairs of texts
        What will be judged. Each distinct pair gets its own drawing, so that the result does not
        hang on three lucky examples.
    shown : DataFrame
        sentence1, sentence2, score: a labelled set that has no pair of `pairs`.
    shots : int
    seed : int

    Returns
    -------
    callable
        (a, b) -> prompt. Scores are shown in half points.
    """
    rng = Random(f"demonstrations {seed}")
    rows = [
        (x, y, round(2 * s) / 2)
        for x, y, s in zip(shown["sentence1"], shown["sentence2"], shown["score"], strict=True)
    ]
    drawn = {pair: tuple(rng.sample(rows, shots)) for pair in dict.fromkeys(map(tuple, pairs))}

    def template(a, b):
        return prompts.similarity(a, b, form="pocket", demonstrations=drawn[a, b])

    return template


def judged(generator, kind, *, n=2000, seed=0, methods=METHODS, demonstrations=(0, SHOTS)):
    """A generator as a judge of an STS set.

    Parameters
    ----------
    generator : (model, tokenizer)
    kind : "natural" or "hard"
    n : int
        Pairs.
    seed : int
        Of the set and of the demonstrations, which come from its development set.
    methods : sequence of "text" and "expected"
    demonstrations : sequence of int
        How many are shown; one row each.

    Returns
    -------
    DataFrame
        demonstrations, scores (the method), spearman (points), unread (percent).
    """
    test, shown = corpora.sts(kind, "test", n, seed), corpora.sts(kind, "dev", 500, seed)
    pairs, rows = pairs_of(test), []
    for shots in demonstrations:
        template = with_demonstrations(pairs, shown, shots=shots, seed=seed)
        for method in methods:
            scores = judging.score_similarity(
                *generator, pairs, method=method, template=template, batch_size=128
            )
            unread = 100 * np.mean([s is None for s in scores])
            rows.append((shots, method, spearman(scores, test["score"]), unread))
    return pd.DataFrame(rows, columns=["demonstrations", "scores", "spearman", "unread"])


ENCODERS = {
    "masked LM, mean": "pocket/mlm-bert",
    "SimCSE, unsupervised": "pocket/simcse-unsup-bert",
    "SimCSE, supervised": "pocket/simcse-sup-bert",
}


def table1(seed: int = 0, n: int = 2000) -> pd.DataFrame:
    """Table 1: judges with and without demonstrations beside encoders.

    The prompt-pooled encoder is trained here as unsupervised SimCSE is (PromptBERT's idea).

    Returns
    -------
    DataFrame
        set, model, demonstrations, scores ("cosine" for an encoder), spearman, unread.
    """
    encoders = {name: models.load_encoder(at, device="cpu") for name, at in ENCODERS.items()}
    settings = ch01.options(tiers.get("pocket").simcse_unsupervised)
    encoders["prompt-pooled, unsupervised"] = training.train_unsupervised_simcse(
        models.load_encoder("pocket/mlm-bert", pooling="prompt", device="cpu"),
        corpora.premises(20_000, seed), **(settings | {"max_steps": 150, "max_length": 48}),
        seed=seed, progress=False,
    )  # fmt: skip
    parts = []
    for kind in ("natural", "hard"):
        test = corpora.sts(kind, "test", n, seed)
        rows = [
            (name, 0, "cosine", score_sts(encoder.encode, {kind: test})["all"].iloc[0], 0.0)
            for name, encoder in encoders.items()
        ]
        parts.append(pd.DataFrame(
            rows, columns=["model", "demonstrations", "scores", "spearman", "unread"]
        ).assign(set=kind))  # fmt: skip
        for name, at in JUDGES.items():
            found = judged(lab.load(at), kind, n=n, seed=seed)
            parts.append(found.assign(model=name, set=kind))
    return pd.concat(parts, ignore_index=True)


@ledger.measure(
    "04-table1-judge", "04-table1-demonstrations", "04-table1-supervised", "04-table1-hard",
)  # fmt: skip
def measure_table1(seed: int) -> dict[str, float]:
    """Table 1 for one draw of the STS sets and of the demonstrations."""
    rows = table1(seed)
    ledger.keep_rows("04-table1", seed, rows)
    return table1_values(rows)


def table1_values(rows: pd.DataFrame) -> dict[str, float]:
    """The values of the claims on Table 1: scores as text, as in the paper."""
    rows = rows[rows["scores"] != "expected"]
    natural = rows[rows["set"] == "natural"]
    judges = natural[natural["scores"] == "text"]
    shown = judges["demonstrations"] > 0
    encoder = natural.set_index("model")["spearman"]
    hard = rows[rows["set"] == "hard"]
    best = judges["spearman"].max()
    return {
        "04-table1-judge": best - encoder["SimCSE, unsupervised"],
        "04-table1-demonstrations":
            judges[shown]["spearman"].mean() - judges[~shown]["spearman"].mean(),
        "04-table1-supervised": best - encoder["SimCSE, supervised"],
        "04-table1-hard": hard[hard["scores"] == "text"]["spearman"].max()
            - hard.set_index("model")["spearman"]["SimCSE, unsupervised"],
    }  # fmt: skip


# ------------------------------------------------------------------ Table 6
def table6() -> pd.DataFrame:
    """The 27 settings of Table 6 with the paper's own results.

    Returns
    -------
    DataFrame
        setting (text), alpha, beta, gamma (NaN for the paper's "-"), paper_thousands,
        paper_spearman, rule (`curation.Thresholds`).
    """
    paper = ledger.paper_table("multicsr", 6)
    wide = paper.pivot_table("value", "row", "column", sort=False)
    cells = paper.drop_duplicates("row").set_index("row")[["alpha", "beta", "gamma"]]
    frame = cells.assign(
        paper_thousands=wide["|T|"], paper_spearman=wide["STS-B dev"]
    ).reset_index(drop=True)  # fmt: skip
    rules = [
        curation.Thresholds(c.alpha, c.beta, None if np.isnan(c.gamma) else c.gamma)
        for c in cells.itertuples()
    ]
    frame.insert(0, "setting", [setting(rule) for rule in rules])
    return frame.assign(rule=rules)


def setting(rule: curation.Thresholds) -> str:
    """(α, β, γ) in short: "3 3 1", "5 0 –"."""
    gamma = "–" if rule.gamma is None else f"{rule.gamma:g}"
    return f"{rule.alpha:g} {rule.beta:g} {gamma}"


def fit(triplets: pd.DataFrame, seed: int, guide=None, **options):
    """An encoder trained on triplets with stage 3, short enough for a grid.

    Parameters
    ----------
    triplets : DataFrame
    seed : int
    guide : callable, optional
        P_η with a memory, so that 27 rows embed each sentence once. Default: the pocket one.
    **options
        Instead of `LEAN`.

    Returns
    -------
    encoder, or None
        Where there are fewer triplets than one batch, the batch shrinks to what there is, and
        with it the number of in-batch negatives; below `FEWEST` nothing is trained.
    """
    if len(triplets) < FEWEST:
        return None
    options = LEAN | options
    options["batch_size"] = min(options["batch_size"], len(triplets))
    settings = tiers.get("pocket").multicsr
    encoder = models.load_encoder(settings.encoder, device="cpu")
    return multicsr.train(
        encoder, triplets, settings, guide=guide or pocket_guide(), seed=seed, **options
    )


def pocket_guide():
    """P_η of the pocket tier with a memory."""
    guide = models.load_encoder(tiers.get("pocket").multicsr.guide, device="cpu")
    return ch01.remembered(guide.encode)


def dev_score(encoder, n: int = 2000) -> float:
    """Spearman on the natural development set, what Table 6 reports for STS-B."""
    dev = corpora.sts("natural", "dev", n)
    return float(score_sts(encoder.encode, {"dev": dev})["all"].iloc[0])


EXPECTED_RULES = (
    (3, 3, 1), (3, 3, 2), (3, 3, 3), (3, 2, None), (3, 1, None), (4, 3, None),
)  # fmt: skip


def grid(seed: int, omega: float = 0.3, **options) -> pd.DataFrame:
    """Every row of Table 6 with an encoder of its own, and what it must be compared with.

    Rows that keep the same triplets share one encoder. Beside the 27 rows by text scores stand
    some by expected values, all triplets (no filter), and a random choice as large as (3, 3, 1).

    Parameters
    ----------
    seed : int
        Of the corpus and of the training.
    omega : float
    **options
        Of `fit`.

    Returns
    -------
    DataFrame
        scores ("text", "expected" or "control"), setting, and of `quality` triplets, kept,
        precision; spearman: NaN where too few triplets were kept; same_as: number of
        the set of triplets, equal for rows that keep the same.
    """
    triplets = scored(seed, omega)
    ways = {
        "text": ("a", "b", list(table6()["rule"])),
        "expected": ("a_expected", "b_expected",
                     [curation.Thresholds(*cell) for cell in EXPECTED_RULES]),
    }  # fmt: skip
    everything = np.ones(len(triplets), dtype=bool)
    count = RULE.keep(triplets["a"], triplets["b"]).sum()
    drawn = np.zeros(len(triplets), dtype=bool)
    drawn[np.random.default_rng(seed).choice(len(triplets), count, replace=False)] = True
    cells = [
        (scores, setting(rule), kept)
        for scores, (a, b, rules) in ways.items()
        for rule, kept in zip(
            rules, curation.keep_grid(triplets[a], triplets[b], rules), strict=True
        )
    ]
    cells += [("control", "no filter", everything), ("control", "at random", drawn)]
    guide, trained, rows = pocket_guide(), {}, []
    for scores, name, kept in cells:
        if kept.tobytes() not in trained:
            encoder = fit(triplets[kept], seed, guide, **options)
            value = np.nan if encoder is None else dev_score(encoder)
            trained[kept.tobytes()] = (len(trained), value)
        same_as, spearman_dev = trained[kept.tobytes()]
        found = quality(kept, triplets["right"])
        found = {key: found[key] for key in ("triplets", "kept", "precision")}
        rows.append({"scores": scores, "setting": name, **found, "spearman": spearman_dev,
                     "same_as": same_as})  # fmt: skip
    return pd.DataFrame(rows)


@ledger.measure(
    "04-table6-best", "04-table6-extreme", "04-table6-beta0", "04-random",
)  # fmt: skip
def measure_grid(seed: int) -> dict[str, float]:
    """All rows of Table 6: an encoder each."""
    rows = grid(seed)
    ledger.keep_rows("04-table6", seed, rows)
    return grid_values(rows)


def grid_values(rows: pd.DataFrame) -> dict[str, float]:
    """The values of the claims on Table 6.

    The rank of (3, 3, 1) is one more than the number of rows with a better score; rows that keep
    the same triplets have the same score and do not count against it. A row without an encoder
    (too few triplets) counts as worse than any other.
    """
    text = rows[rows["scores"] == "text"].set_index("setting")["spearman"]
    control = rows[rows["scores"] == "control"].set_index("setting")["spearman"]
    ours = text["3 3 1"]
    return {
        "04-table6-best": 1 + int((text > ours).sum()),
        "04-table6-extreme": ours - text[text.index.str.startswith("5 ")].max(),
        "04-table6-beta0": ours - text[text.index.str.split().str[1] == "0"].max(),
        "04-random": ours - control["at random"],
    }
