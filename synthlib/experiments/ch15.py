"""What chapter 15 measures: ranking lists of real sentences, and what real encoders learn of them.

The methods, and what is said of a list, are those of chapters 10 to 12. There is no oracle here. A
sentence encoder says how far a sentence is from its anchor; two rules on the text say which
sentences repeat an earlier one and which are broken (`field.broken`).

How the model is asked was chosen on the first `field.TRIED` captions of the book. What is reported
begins from the others.
"""

from __future__ import annotations

import copy
from functools import cache, partial

import numpy as np
import pandas as pd

from synthlib import answers, curation, decoding, evaluation, ledger, paths, prompts, tiers
from synthlib.evaluation.embedding import embed, unit_rows
from synthlib.experiments import ch10, ch11, ch13, field
from synthlib.methods import ranking

STRONG, WEAK = "laptop/all-minilm-l6-v2", "laptop/minilm-first-two"
LISTS = {"laptop": 6, "colab": 40, "paper": 80}  # of each way and seed; the paper's Fig. 1: 1,000
WAYS = (
    ("in-batch", np.nan), ("at_once", np.nan), ("step", np.nan),
    *(("directional", lam) for lam in ch10.LAMBDAS),
)  # fmt: skip

# How a model may be asked for the next sentence of a list: form, worked examples, their register
# (None: rewritings, `prompts.rewriting_by_example`), λ, temperature.
FORMS = {
    "chat, the paper's words": ("chat", 0, None, 0.5, 0.5),
    "chat, eight rewritings": ("chat", 8, None, 0.5, 0.5),
    "text, six entailments": ("examples", 6, "plain", 0.5, 0.5),
    "text, eight rewritings": ("examples", 8, None, 0.5, 0.5),
    "text, eight rewritings, λ = 1.5": ("examples", 8, None, 1.5, 0.5),
    "text, eight rewritings, greedy": ("examples", 8, None, 0.5, 0.0),
    "text, eight rewritings, greedy, λ = 1.5": ("examples", 8, None, 1.5, 0.0),
}
TRIED, TRIED_STEPS = 4, 8  # lists of each, and their sentences
CHOSEN = "text, eight rewritings"
NEARER = paths.DATA / "field" / "labels" / "ranking.csv"  # 200 pairs, read by hand


# ------------------------------------------------------------------ lists
def anchors(settings, n, seed, encode, *, tried=False):
    """At most n varied captions (`ranking.anchors`): of those on which the way to ask was chosen,
    or of the others."""
    captions = field.captions(tried=tried)
    return ranking.anchors(settings, n, seed, sentences=captions, encode=encode)


def write(generator, start, settings, method, lam, **options):
    """Lists from some anchors as a tier's settings say, by a way of `WAYS` that is decoded."""
    options = {"steps": ch10.asked_for(method)} | options
    return ranking.write(
        generator, start, method, lam=lam, temperature=settings.temperature,
        max_new_tokens=settings.max_new_tokens, **options,
    )  # fmt: skip


def lists(generator, encode, settings, seed, n, ways=WAYS, **options):
    """Lists from the same anchors by several ways.

    Parameters
    ----------
    generator : (model, tokenizer)
    encode : callable
        n strings to an (n, d) array: draws the anchors and says how far a sentence is.
    settings : tiers.Ranking
    seed, n : int
        Of the anchors (and of sampling, where the settings sample).
    ways : sequence of (method, λ)
        Of `WAYS`.
    **options
        Of `decoding.generate_mixture`: batch_size, …

    Returns
    -------
    DataFrame
        A row a list: method, lam, list (from 0), sentences (the anchor first, a line each), cosines
        (to the anchor, of the others, in thousandths), straight (`ch10.straightness`).
    """
    start, rows = anchors(settings, n, seed, encode), []
    for method, lam in ways:
        if method == "in-batch":
            rng = np.random.default_rng(seed)
            pool = field.captions(tried=False)
            written = [
                [x, *rng.choice([y for y in pool if y != x], ch10.FIRST - 1, replace=False)]
                for x in start
            ]
        else:
            written = write(generator, start, settings, method, lam, seed=seed, **options)
        rows += _rows(method, lam, written, encode)
    return pd.DataFrame(rows)


def _rows(method, lam, written, encode):
    vectors, row = embed(encode, [text for one in written for text in one])
    vectors, rows = unit_rows(vectors), []
    for number, one in enumerate(written):
        own = vectors[[row[text] for text in one]]
        rows.append({
            "method": method, "lam": lam, "list": number, "sentences": "\n".join(one),
            "cosines": ch10.packed(1000 * own[1:] @ own[0]),
            "straight": round(ch10.straightness(own), 4),
        })  # fmt: skip
    return rows


def lent(text) -> bool:
    """Whether a text says what only the prompt's worked rewritings can have lent it: three words in
    a row that stand in one of them, and in no caption of the book."""
    return not _lent_runs().isdisjoint(field.runs(text, 3))


@cache
def _lent_runs():
    examples = [text for pair in prompts.rewritten() for text in pair]
    shown, known = (
        set().union(*(field.runs(text, 3) for text in texts))
        for texts in (examples, field.captions())
    )
    return shown - known


def sentences(table):
    """The lists of `lists` with a sentence a row.

    Parameters
    ----------
    table : DataFrame
        With the column seed.

    Returns
    -------
    DataFrame
        seed, method, lam, list, position (0 is the anchor), sentence, cosine (to the anchor),
        words, copy (the sentence before again), repeated (an earlier sentence of the list again),
        broken, well_formed (not broken), lent.
    """
    found = []
    for one in table.itertuples():
        texts = one.sentences.split("\n")
        cosines = [1.0, *(int(x) / 1000 for x in one.cosines.split())]
        plain = [curation.folded(text) for text in texts]
        for i, (text, cosine) in enumerate(zip(texts, cosines, strict=True)):
            bad = field.broken(text)
            found.append({
                "seed": one.seed, "method": one.method, "lam": one.lam,
                "list": one.list, "position": i, "sentence": text, "cosine": cosine,
                "words": len(text.split()), "copy": i > 0 and plain[i] == plain[i - 1],
                "repeated": plain[i] in plain[:i], "broken": bad, "well_formed": not bad,
                "lent": lent(text),
            })  # fmt: skip
    return pd.DataFrame(found)


def by_hand(table):
    """What a reader said of pairs of sentences of the lists, beside the encoder's cosines.

    Of each pair the reader, who saw neither the way of writing nor places nor cosines, said which
    sentence is nearer to the anchor (``data/field/labelling.md``).

    Parameters
    ----------
    table : DataFrame
        Of `lists`, with the column seed.

    Returns
    -------
    DataFrame
        Index method and λ, and a last row over all: pairs, none and alike (percent in which one
        was no statement, and in which neither was nearer), decided (the number of the others), and
        of these the percent in which `encoder` and `place` say the same as the reader: the nearer
        one has the larger cosine, and comes first in the list.
    """
    cosine = sentences(table).set_index(["seed", "method", "lam", "list", "position"])["cosine"]
    where = {
        (one.seed, one.method, str(one.lam), one.sentences.split("\n")[0]): (
            one.seed, one.method, one.lam, one.list
        )
        for one in table.itertuples()
    }  # fmt: skip
    read = pd.read_csv(NEARER, dtype={"lam": float})
    read = read[read["seed"].isin(table["seed"])]
    rows = []
    for one in read.itertuples():
        key = where[one.seed, one.method, str(one.lam), one.anchor]
        first, second = cosine[*key, one.place_first], cosine[*key, one.place_second]
        decided = one.nearer in ("first", "second")
        rows.append({
            "method": one.method, "lam": one.lam, "none": one.nearer == "none",
            "alike": one.nearer == "alike", "decided": decided,
            "encoder": decided and (first > second) == (one.nearer == "first"),
            "place": decided and (one.place_first < one.place_second) == (one.nearer == "first"),
        })  # fmt: skip
    each = pd.DataFrame(rows)
    parts = [*each.groupby(["method", "lam"], dropna=False), (("all", np.nan), each)]
    counted = []
    for (method, lam), part in parts:
        n = max(part["decided"].sum(), 1)
        counted.append({
            "method": method, "lam": lam, "pairs": len(part), "none": 100 * part["none"].mean(),
            "alike": 100 * part["alike"].mean(), "decided": part["decided"].sum(),
            "encoder": 100 * part["encoder"].sum() / n if part["decided"].any() else np.nan,
            "place": 100 * part["place"].sum() / n if part["decided"].any() else np.nan,
        })  # fmt: skip
    return pd.DataFrame(counted).set_index(["method", "lam"])


BY = ["method", "lam", "seed"]


def _texts(table):
    return [text.split("\n") for text in table["sentences"]]


def summary(table):
    """What is to be said of sets of lists, in numbers.

    Parameters
    ----------
    table : DataFrame
        From `lists`, with the column seed.

    Returns
    -------
    DataFrame
        A row a method, λ and seed: lists; order (mean of `ch10.order` by the cosine, as written),
        order_cut (of lists `ch10.cut` at their first repeated or broken sentence, over the left
        percent that keep four); copied, repeated, broken, lent (percent of the sentences after the
        anchor); out_of_order (percent of the sentences 2 to 10 after it), late (the same of 6 to
        10, minus that of 2 to 5); kept (percent of the lists that pass
        `curation.verify_ranking_list`); distance (1 − cosine of the last sentence); growth (words
        of the last sentence over those of the anchor); straight, of the percent long_enough.
    """
    rows = []
    for key, own in table.groupby(BY, dropna=False, sort=False):
        part, written, straight = sentences(own), _texts(own), own["straight"]
        whole = part.groupby("list")
        far = [1 - own["cosine"].iloc[1:] for _, own in whole]
        left = ch10.cut(part.reset_index(drop=True))
        left = [1 - own["cosine"] for _, own in left[left["position"] > 0].groupby("list")]
        left = [own for own in left if len(own) >= 4]
        wrong = pd.concat([
            pd.Series(ch10.out_of_order(1 - one), index=range(1, len(one) + 1)) for one in far
        ]).sort_index()
        after = part[part["position"] > 0]
        rows.append({
            **dict(zip(BY, key, strict=True)), "lists": len(written),
            "order": np.mean([ch10.order(own) for own in far]),
            "order_cut": np.mean([ch10.order(own) for own in left]) if left else np.nan,
            "left": 100 * len(left) / len(written),
            **{name: 100 * after[column].mean() for name, column in
               (("copied", "copy"), ("repeated", "repeated"), ("broken", "broken"),
                ("lent", "lent"))},
            "out_of_order": 100 * wrong.loc[2:10].mean(),
            "late": 100 * (wrong.loc[6:10].mean() - wrong.loc[2:5].mean()),
            "kept": 100 * np.mean([why in ch10.PASSED for why in verdicts(key[0], written)]),
            "distance": 1 - whole["cosine"].last().mean(),
            "growth": (whole["words"].last() / whole["words"].first()).mean(),
            "straight": straight.mean(), "long_enough": 100 * straight.notna().mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def spread(found, names):
    """Means over the seeds and, where there are more than one, their range, as they are printed.

    Parameters
    ----------
    found : DataFrame
        From `summary`.
    names : dict
        Columns that are wanted, with their headings; what ends in % has no decimals.

    Returns
    -------
    DataFrame of str
        Index method and λ; "–" where no seed has a number.
    """
    by = found.groupby(["method", "lam"], dropna=False, sort=False)
    texts = {}
    for name, heading in names.items():
        digits = 0 if heading.endswith("%") else 2
        of = by[name].agg(["mean", "min", "max", "size"])
        mean, low, high = (
            (of[key].round(digits) + 0.0).map(f"{{:.{digits}f}}".format)
            for key in ("mean", "min", "max")
        )
        whole = mean.where(of["size"] == 1, mean + " (" + low + " to " + high + ")")
        texts[heading] = whole.where(of["mean"].notna(), "–")
    return pd.DataFrame(texts)


def verdicts(method, written):
    """`ch10.verification` of lists by a method; of what is drawn from a batch none is dropped."""
    return ch10.verification(written, None if method == "in-batch" else ch10.asked_for(method))


def dropped(table):
    """What verification does to lists: method, lam, seed, reason (or one of `ch10.PASSED`), lists
    (their number)."""
    found = []
    for key, part in table.groupby(BY, dropna=False, sort=False):
        counts = pd.Series(verdicts(key[0], _texts(part))).value_counts()
        found += [{**dict(zip(BY, key, strict=True)), "reason": why, "lists": number}
                  for why, number in counts.items()]  # fmt: skip
    return pd.DataFrame(found)


# ------------------------------------------------------------------ which prompt
def forms(generator, encode, settings, seed, *, n=TRIED, steps=TRIED_STEPS):
    """Lists by several ways to ask, from the captions on which one is chosen.

    Returns
    -------
    DataFrame
        A row a list, as `lists`; method is a name of `FORMS` (a chat only of a model that has
        a template for it).
    """
    start, rows = anchors(settings, n, seed, encode, tried=True), []
    model, tokenizer = generator
    for name, (form, shots, register, lam, temperature) in FORMS.items():
        if form == "chat" and tokenizer.chat_template is None:
            continue
        asked = prompts.Form(form, tokenizer, shots=shots, register=register)
        options = dict(do_sample=True, temperature=temperature) if temperature else {}
        written = decoding.generate_ranking_lists(
            model, tokenizer, start, steps=steps, lam=lam, seed=seed,
            max_new_tokens=settings.max_new_tokens,
            prompt=partial(prompts.rewriting_by_example, form=asked),
            ends=prompts.end_ids(tokenizer, asked), read=answers.reader(asked), **options,
        )  # fmt: skip
        rows += _rows(name, lam, written, encode)
    return pd.DataFrame(rows)


def choice(tried):
    """`forms` in numbers: a row a way to ask, `spread` over the seeds."""
    names = {
        "order": "order", "order_cut": "order of what is new", "left": "with four new %",
        "repeated": "repeated %", "broken": "broken %", "distance": "distance of the last",
    }  # fmt: skip
    return spread(summary(tried).assign(lam=0), names).droplevel("lam").rename_axis("asked by")


# ------------------------------------------------------------------ pictures
def decoded(settings) -> str:
    """"sampled" or "greedy", as chapter 10's figures say."""
    return "sampled" if settings.temperature else "greedy"


def found(table, decoding="greedy"):
    """The lists of one seed as the tables of chapter 10's figures take them.

    Parameters
    ----------
    table : DataFrame
        From `lists`.
    decoding : str

    Returns
    -------
    dict of (decoding, method, λ) to lists of str
    """
    return {
        (decoding, method, lam): _texts(part)
        for (method, lam), part in table.groupby(["method", "lam"], dropna=False, sort=False)
    }


def mean_similarity(lists, settings):
    """Means over all lists, for `explorers.heatmaps`.

    Parameters
    ----------
    lists : DataFrame
        ``lists`` of `ch10.similarity_tables`, of one or more seeds.
    settings : tiers.Ranking
        Its λ is that of the directional lists in the means.

    Returns
    -------
    DataFrame
        decoding, method, which ("as written" or "kept"), lists, order (mean of `ch10.order`),
        cosines (of the sentences i < j, in thousandths).
    """
    lists = lists[lists["lam"].isna() | (lists["lam"] == settings.lam)]
    rows = []
    for method, part in lists.groupby("method", sort=False):
        for which, own in (("as written", part), ("kept", part[part["kept"]])):
            if not len(own):
                continue
            cosines = [[int(x) for x in text.split()] for text in own["cosines"]]
            to_anchor = [[int(x) for x in text.split()] for text in own["anchor"]]
            rows.append({
                "decoding": decoded(settings), "method": method, "which": which, "lists": len(own),
                "order": round(float(np.mean([ch10.order(-np.array(x)) for x in to_anchor])), 3),
                "cosines": ch10.packed(10 * np.mean(cosines, axis=0)),
            })  # fmt: skip
    return pd.DataFrame(rows)


def pictures(table, encode, paths=8):
    """What chapter 10's two living figures need of lists beside their sentences.

    Parameters
    ----------
    table : DataFrame
        From `lists`, of one seed.
    encode : callable
    paths : int
        Lists, from the first, whose path in a plane is wanted.

    Returns
    -------
    DataFrame
        A row a list of 16 sentences or more: method, lam, list, kept, anchor and cosines (as
        `ch10.similarity_tables` has them), x and y (of its sentences, in thousandths, as
        `ch10.path_tables`; empty for other lists), share (of the variance in the plane, percent).
    """
    whole = found(table)
    rows = ch10.similarity_tables(whole, 0, encode)["lists"]
    rows = rows.drop(columns=["decoding", "texts"]).assign(list=rows["list"] - 1)
    named = {name: key for key, name in ch10.METHODS.items()}
    rows["method"] = rows["method"].map(named)
    planes = ch10.path_tables(whole, range(min(paths, min(map(len, whole.values())))), encode)
    flat = planes["paths"].assign(
        list=planes["paths"]["anchor"] - 1, method=planes["paths"]["method"].map(named)
    )
    keys = ["method", "lam", "list"]
    flat = flat.groupby(keys, dropna=False, sort=False)[["x", "y"]].agg(
        lambda values: ch10.packed(1000 * values)
    )
    rows = rows.merge(flat.reset_index(), how="left", on=keys).fillna({"x": "", "y": ""})
    share = planes["anchors"].assign(list=planes["anchors"]["anchor"] - 1)[["list", "share"]]
    return rows.merge(share, how="left", on="list")


def heatmap_tables(table, drawn, settings):
    """The tables of `explorers.heatmaps`: lists of the first seed, means of all.

    Parameters
    ----------
    table, drawn : DataFrame
        From `lists` and `pictures`, with the column seed.
    settings : tiers.Ranking

    Returns
    -------
    dict of str to DataFrame
    """
    keys = ["method", "lam", "list"]
    first = drawn[drawn["seed"] == drawn["seed"].min()]
    own = table[table["seed"] == table["seed"].min()].set_index(keys)["sentences"]
    numbers, texts = {}, []
    for key in first[keys].itertuples(index=False):
        said = own.loc[[tuple(key)]].iloc[0].split("\n")[: ch10.FIRST]
        texts.append(ch10.packed([numbers.setdefault(text, len(numbers)) for text in said]))
    shown = first.assign(decoding=decoded(settings), texts=texts, list=first["list"] + 1)
    shown["method"] = shown["method"].map(ch10.METHODS)
    names = ["decoding", "method", "lam", "list", "kept", "anchor", "cosines", "texts"]
    everyone = drawn.assign(method=drawn["method"].map(ch10.METHODS))
    return {
        "lists": shown[names],
        "texts": pd.DataFrame({"text": list(numbers.values()), "sentence": list(numbers)}),
        "measured": mean_similarity(everyone, settings),
    }


def path_tables(table, drawn, settings):
    """The tables of `explorers.trajectories`, of the first seed."""
    keys = ["method", "lam", "list"]
    first = drawn[(drawn["seed"] == drawn["seed"].min()) & (drawn["x"] != "")]
    lists = first.merge(table, on=["seed", *keys])
    paths, ways = [], []
    for one in lists.itertuples():
        name = {"anchor": one.list + 1, "decoding": decoded(settings),
                "method": ch10.METHODS[one.method], "lam": one.lam}  # fmt: skip
        cosines = [1.0, *(int(x) / 1000 for x in one.cosines_y.split())]
        places = zip(one.x.split(), one.y.split(), cosines, one.sentences.split("\n"), strict=False)
        for i, (x, y, cosine, text) in enumerate(places):
            paths.append({**name, "place": i + 1, "x": int(x) / 1000, "y": int(y) / 1000,
                          "cosine": cosine, "sentence": text})  # fmt: skip
        ways.append({**name, "straightness": one.straight})
    about = lists.drop_duplicates("list")
    about = pd.DataFrame({
        "anchor": about["list"] + 1, "share": about["share"],
        "sentence": [text.split("\n")[0] for text in about["sentences"]],
    })  # fmt: skip
    return {"paths": pd.DataFrame(paths), "anchors": about, "ways": pd.DataFrame(ways)}


# ------------------------------------------------------------------ post-training
# Rows of chapter 11's ablation, and lists that people wrote.
ARMS = {
    "full": {},
    "shuffled lists": {"shuffled": True},
    "order alone": {"mode": "rank"},
    "teacher alone": {"mode": "semantic"},
    "people's lists": {"rows": "people"},
}
TRAINING = {"lists_per_step": 2, "epochs": 4}
RATES = {WEAK: 1e-4, STRONG: 2e-5}
BASES = {  # encoder, teacher, arms
    "two layers": (WEAK, WEAK, tuple(ARMS)),
    "two layers, strong teacher": (WEAK, STRONG, ("full", "teacher alone")),
    "all-MiniLM-L6-v2": (STRONG, STRONG, ("full", "shuffled lists", "people's lists")),
}
PAIRS = 250  # of STS-B dev, and of SICK's trial half


def to_train_on(table, lam, method="directional"):
    """Lists for the training: those at λ by a method, cut to their distinct sentences, four or
    more.

    Verification, as in chapter 11, would leave too few.
    """
    chosen = table[(table["method"] == method) & (table["lam"] == lam)]
    distinct = [list(dict.fromkeys(x for x in one if x.strip())) for one in _texts(chosen)]
    return [one for one in distinct if len(one) >= 4]


def by_people(number, seed):
    """Lists of the book's own triplets: a sentence, one that follows from it, one that contradicts
    it. As many as have `number` sentences, or all."""
    table = field.triplets()
    table = table.sample(min(len(table), max(2, round(number / 3))), random_state=seed)
    return [list(row) for row in table[["anchor", "entailment", "contradiction"]].to_numpy()]


def post_train(
    encoder, rows, teacher, settings, *, shuffled=False, mode="full", seed=0, **options
):  # fmt: skip
    """A copy of an encoder after post-training on lists, by `ranking.post_train`.

    Parameters
    ----------
    encoder : SentenceTransformer
    rows : sequence of lists of str
    teacher : callable
        n strings to an (n, d) array.
    settings : tiers.Ranking
    shuffled : bool
        Take the order away.
    mode : str
        Of `ranking.targets`.
    seed : int
    **options
        Of `ranking.post_train`, in place of the settings' and of `TRAINING`.

    Returns
    -------
    SentenceTransformer
    """
    rows = ranking.shuffle(rows, seed) if shuffled else rows
    phi = ranking.teacher_similarities(teacher, rows)
    return ranking.post_train(
        copy.deepcopy(encoder), rows, ranking.targets(phi, ch11.OMEGA, mode=mode), settings,
        seed=seed, **(dict(progress=False) | TRAINING | options),
    )  # fmt: skip


def misorder(encode, rows):
    """Mean share of pairs of a list that stand the wrong way to an encoder, in percent
    (`ch11.misorder`)."""
    found = ranking.teacher_similarities(encode, rows)
    return 100 * float(np.mean([ch11.misorder(phi) for phi in found]))


def training(
    encoders, rows, unseen, frames, settings, seed, *, bases=BASES, rates=RATES, **options
):  # fmt: skip
    """Encoders before and after post-training on the same lists.

    Parameters
    ----------
    encoders : dict of str to SentenceTransformer
    rows, unseen : sequences of lists of str
        To train on, and others.
    frames : dict of DataFrame
        STS pairs, as `evaluation.score_sts` takes them.
    settings : tiers.Ranking
    seed : int
    bases : dict
        Row's name to (encoder, teacher, arms), names of `encoders` and of `ARMS`.
    rates : dict
        Learning rate by encoder.
    **options
        Of `post_train`, for all arms.

    Returns
    -------
    DataFrame
        base, arm ("before", or of `ARMS`), task (of `frames`: Spearman × 100; "misorder": percent,
        on the unseen lists), value.
    """
    people = by_people(sum(map(len, rows)), seed)
    size = (TRAINING | options)["lists_per_step"] * len(people) / len(rows)  # as many steps
    marks, found = {}, []

    def examine(encoder):
        encode = ch13.encode(encoder)
        table = evaluation.score_sts(encode, frames)
        scores = dict(zip(table["task"], table["spearman"], strict=True))
        return scores | {"misorder": misorder(encode, unseen)}

    for base, (name, teacher, arms) in bases.items():
        marks[name] = marks.get(name) or examine(encoders[name])
        results = {"before": marks[name]}
        for arm in arms:
            how = dict(ARMS[arm])
            own, more = rows, {}
            if how.pop("rows", None):
                own, more = people, {"lists_per_step": max(1, round(size))}
            results[arm] = examine(post_train(
                encoders[name], own, ch13.encode(encoders[teacher]), settings, seed=seed,
                learning_rate=rates[name], **how, **(options | more),
            ))  # fmt: skip
        found += [
            {"base": base, "arm": arm, "task": task, "value": value}
            for arm, scores in results.items() for task, value in scores.items()
        ]  # fmt: skip
    return pd.DataFrame(found)


def gains(table):
    """Each arm's value less that of its base before: base, arm, task, seed, gain."""
    before = table[table["arm"] == "before"].rename(columns={"value": "before"})
    both = table[table["arm"] != "before"].merge(
        before.drop(columns="arm"), on=["seed", "base", "task"]
    )
    return both.assign(gain=both["value"] - both["before"])


# ------------------------------------------------------------------ recorders
_SETTINGS = tiers.get("laptop").ranking


def _writers():
    return field.load("generator", _SETTINGS), _ruler()


def _ruler():
    return ch13.encode(field.load("teacher", _SETTINGS))


@field.recorder("15-forms", needs=(_SETTINGS.generator, STRONG))
def record_forms(seed):
    """`forms` of the tier laptop."""
    return forms(*_writers(), _SETTINGS, seed)


@field.recorder("15-lists", needs=(_SETTINGS.generator, STRONG))
def record_lists(seed):
    """`lists` of the tier laptop."""
    return lists(*_writers(), _SETTINGS, seed, LISTS["laptop"], batch_size=LISTS["laptop"])


@field.recorder("15-pictures", needs=(STRONG,))
def record_pictures(seed):
    """`pictures` of the recorded lists."""
    return pictures(field.recorded("15-lists", seed).drop(columns="seed"), _ruler())


@field.recorder("15-training", needs=(WEAK, STRONG), data=True)
def record_training(seed, folder):
    """`training` of the tier laptop, examined on some pairs of the development halves of STS-B and
    SICK, which chose nothing."""
    rows = to_train_on(field.recorded("15-lists", seed), _SETTINGS.lam)
    unseen = to_train_on(field.recorded("15-forms"), FORMS[CHOSEN][3], CHOSEN)
    frames = evaluation.load_sts(folder, ["STS-B", "SICK-R"], split="dev")
    frames = {task: frame.sample(PAIRS, random_state=0) for task, frame in frames.items()}
    encoders = {name: field.load("encoder", _SETTINGS, name=name) for name in (WEAK, STRONG)}
    return training(encoders, rows, unseen, frames, _SETTINGS, seed)


# ------------------------------------------------------------------ ledger
RECORDED_LISTS = ("data/field/recorded/15-lists.csv",)
RECORDED_TRAINING = ("data/field/recorded/15-training.csv",)


@ledger.measure(
    "15-fig1-directional", "15-fig1-at-once", "15-fig1-in-batch", "15-fig2-direct", "15-lambda",
    "15-lent", "15-stuck", "15-unbroken", "15-table5-order", "15-table5-later", "15-kept",
    "15-length",
    reads=RECORDED_LISTS, tier="laptop",
)  # fmt: skip
def measure_lists(seed):
    """Figs. 1 and 2, Table 5, λ and verification, of the recorded lists."""
    found = summary(field.recorded("15-lists", seed))
    directional = found[found["method"] == "directional"].set_index("lam")
    other = found[found["method"] != "directional"].set_index("method")
    ours = directional.loc[_SETTINGS.lam]
    return {
        "15-fig1-directional": ours["order"] - other["order"]["step"],
        "15-fig1-at-once": ours["order"] - other["order"]["at_once"],
        "15-fig1-in-batch": other["order"]["in-batch"],
        "15-fig2-direct": ours["straight"] - other["straight"]["step"],
        "15-lambda": directional["order"][1.5] - directional["order"][0.0],
        "15-lent": directional["lent"][1.5] - directional["lent"][0.5],
        "15-stuck": directional["repeated"][0.0],
        "15-unbroken": 100 - ours["broken"],
        "15-table5-order": ours["out_of_order"] - other["out_of_order"]["step"],
        "15-table5-later": ours["late"],
        "15-kept": ours["kept"],
        "15-length": ours["growth"],
    }


@ledger.measure("15-ruler", reads=(*RECORDED_LISTS, "data/field/labels/ranking.csv"), tier="laptop")
def measure_ruler(seed):
    """Whether a reader and the encoder find the same sentence nearer, of the recorded lists."""
    return {"15-ruler": by_hand(field.recorded("15-lists", seed))["encoder"].iloc[-1]}


@ledger.measure(
    "15-table4-unsupervised", "15-strong-base", "15-table3-c", "15-table3-d", "15-table3-e",
    "15-teacher", "15-people",
    reads=RECORDED_TRAINING, tier="laptop",
)  # fmt: skip
def measure_training(seed):
    """Post-training of the two encoders, of the recorded training: means of STS-B and SICK-R."""
    table = field.recorded("15-training", seed)
    table = gains(table[table["task"] != "misorder"])
    gain = table.groupby(["base", "arm"])["gain"].mean()
    weak, taught, strong = BASES
    return {
        "15-table4-unsupervised": gain[weak, "full"],
        "15-strong-base": gain[strong, "full"],
        "15-table3-c": gain[weak, "full"] - gain[weak, "shuffled lists"],
        "15-table3-d": gain[weak, "full"] - gain[weak, "order alone"],
        "15-table3-e": gain[weak, "full"] - gain[weak, "teacher alone"],
        "15-teacher": gain[taught, "full"] - gain[taught, "teacher alone"],
        "15-people": gain[weak, "people's lists"] - gain[weak, "full"],
    }
