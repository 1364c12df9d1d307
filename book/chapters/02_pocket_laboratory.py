# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch-02)=
# # The pocket laboratory
#
# *Two men are pushing a car.* A language model is asked for a sentence that contradicts this
# one, and writes *a pair of guys are shoving a car*.
#
# You see at once that it misread us. How often does it do so?
# To know, somebody must read hundreds of answers and judge each; the authors of MultiCSR judged
# a hundred {cite}`wang2024multicsr`.
# Change one setting, and the reading starts again.
#
# In this chapter we build a place where the question has an exact answer for any number of
# sentences, at thousands a second.
# It is a small world of people, animals, things and places.
# We know what each of its sentences means, because we made the meaning first and the sentence
# afterwards.
#
# In this world live nine small models, trained here from nothing.
# They follow instructions, judge, embed; and they make the mistakes that the methods of this
# book repair.
#
# **You will be able to**
#
# - write a scene, say it in many ways and read it back;
# - derive by hand what the oracle says about two sentences: entailment, contradiction,
#   similarity;
# - say what each small model can and cannot do, with numbers;
# - tell the five things that can become of an instruction apart, and count them.
#
# **Time and memory.** About a minute on one processor core and less than 1 GB of memory.
# Nothing is downloaded and nothing is trained.

# %%
import synthlib

synthlib.preflight()

# %%
import time
from dataclasses import replace
from random import Random

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from synthlib import checks, judging, ledger, models, prompts, viz
from synthlib.evaluation import score_sts
from synthlib.experiments import ch02
from synthlib.world import (
    Agent, Scene, Thing, corpora, lexicon, nli, parse, random_scene, realize, relations,
    report, similarity, tavi,
)

# %% [markdown]
# ## The idea, with one picture
#
# A **scene** is a meaning: who does what to whom, where and when.
# A **grammar** says a scene in one of many ways. A **parser** reads any such sentence back into
# its scene, without a mistake.
# An **oracle** compares two scenes.

# %% tags=["hide-input"]
viz.Figure(
    [
        {"source": "scene", "target": "sentence", "what": "say"},
        {"source": "sentence", "target": "small model", "what": "instruct"},
        {"source": "small model", "target": "answer", "what": "write"},
        {"source": "answer", "target": "its scene", "what": "parse"},
        {"source": "its scene", "target": "oracle", "what": "judge"},
    ],
    {"kind": "flow", "source": "source", "target": "target", "label": "what"},
    alt="A road in six stations: a scene is said as a sentence, a small model is "
    "instructed with it and writes an answer, the answer is parsed into its "
    "scene, and the oracle judges. No arrow leads from the oracle back to the "
    "model.",
    label="fig-02-road",
    caption="The road of an experiment. At its end the oracle compares two scenes, "
    "the answer's and the one that we started from. No arrow leads back from "
    "it.",
)

# %% [markdown]
# Look for the arrow that is not in {numref}`fig-02-road`.
# Nothing leads from the oracle back to the model.
# A method that could ask the truth would have nothing left to show, so no method of this book
# may.
#
# Two things lie outside this rule, as they do in the papers.
# Before any method begins, the small models are trained on text and answers from this world, as
# large ones are on text and answers from people.
# And a method that uses human labels in its own paper, such as supervised SimCSE, gets a
# labelled corpus here.

# %% [markdown]
# ## Write a scene
#
# Here is one. Change a word, run the cell, see what happens.

# %%
scene = Scene(
    Agent("man", "two", "young", ("hat", "red")),  # kind, number, adjective, clothes
    "push",
    Thing("car", "blue"),
    place="street",
    time="morning",
)
rng = Random(0)
for _ in range(6):
    print(realize(scene, rng))

# %% [markdown]
# Six sentences, one meaning.
# Words change (*men*, *guys*, *gentlemen*), the voice changes, the place moves to the front.
# (*A azure car* is no slip: in this world every noun takes *a*.)
# How many ways are there? We let the grammar talk for a while and count.

# %%
said = {realize(scene, rng) for _ in range(20_000)}
print(f"{len(said):,} different sentences, {len({parse(s) for s in said})} meaning")

# %% [markdown]
# Twenty thousand draws hardly repeat themselves.
# So two sentences of one meaning need not share a content word, and a model that compares words
# will not get far.
#
# What may stand in a slot is written in the lexicon. A scene that cannot be is refused, with
# the reason.

# %%
try:
    Scene(Agent("dog"), "eat", Thing("kite"))
except ValueError as refusal:
    print(refusal)

# %%
pd.DataFrame(
    [
        ("beings", len(lexicon.AGENTS), ", ".join(lexicon.AGENTS)),
        ("actions", len(lexicon.ACTIONS), ", ".join(lexicon.ACTIONS)),
        ("deeds, with an object", len(lexicon.DEEDS), ", ".join(lexicon.DEEDS)),
        ("things", len(lexicon.THINGS), ", ".join(lexicon.THINGS)),
        ("places", len(lexicon.PLACES), ", ".join(lexicon.PLACES)),
        ("times", len(lexicon.TIMES), ", ".join(lexicon.TIMES)),
        ("words in all", len(lexicon.words()), "with all synonyms and plurals"),
    ],
    columns=["", "how many", "which"],
).style.hide(axis="index")

# %% [markdown]
# ## Read a sentence
#
# The parser goes the other way.
# It reads what the grammar can say, and answers `None` to everything else.

# %%
found = parse("at noon , a dog is being chased by several kitties")
print(found.agent, found.verb, found.object, found.time, sep="\n")
print(parse("a dog are running"), parse("all happy families are alike"))

# %% [markdown]
# Everything else in the book rests on this parser, so we try it on twenty thousand scenes: say,
# read, compare.

# %%
failures = report.measure_round_trips(seed=0)
ledger.record("02-oracle-roundtrip", failures)
print(f"{failures:.0f} failures in 20,000 round trips")

# %% [markdown]
# ### A second language
#
# The world has another language, *Tavi*. It shares no word with English, puts the verb last and
# the count after the noun, and marks who acts with *sa*, who is acted upon with *lo*.
# The models have read far less of it. It is our low-resource language in a later chapter; the
# parser reads it as exactly as English.

# %%
small = Scene(Agent("man", "two"), "push", Thing("car"))
for _ in range(3):
    text = tavi.realize(small, rng)
    print(f"{text:45} {parse(text) == small}")

# %% [markdown]
# ## What follows from what
#
# *Two young men are pushing a car.* Then two adults are pushing a vehicle; that follows.
# Whether they do it in the morning stays open. That they are pulling the car is impossible.
#
# These three answers are the labels of natural language inference, **NLI**: *entailment*,
# *neutral*, *contradiction* {cite}`bowman2015snli`.
# In our world they can be derived, slot by slot, because concepts form trees.

# %% tags=["hide-input"]
tree = [
    {"concept": concept.parent, "narrower": name}
    for name, concept in lexicon.AGENTS.items()
    if concept.parent and concept.parent != "animal"
]
viz.Figure(
    tree,
    {"kind": "flow", "source": "concept", "target": "narrower", "height": 3.2},
    alt="A tree of persons. Person splits into adult (man, woman) and child (boy, girl).",
    label="fig-02-tree",
    caption="The tree of persons. Nearer to its root a word says less: whoever is a man is an "
    "adult and a person. Words in different branches exclude each other. (Animals have a tree of "
    "their own: *animal* over *dog*, *cat* and three more.)",
)

# %% [markdown]
# For each slot we ask what the premise says about the hypothesis:
#
# | the premise says | the hypothesis says | relation | because |
# |---|---|---|---|
# | man | man | **equal** | |
# | man | adult | **entails** | nearer to the root of {numref}`fig-02-tree` a word says less |
# | in the park | (nothing) | **entails** | to say less is always safe |
# | adult | man | **open** | it may be a woman |
# | (nothing) | in the park | **open** | nobody told |
# | man | woman | **excludes** | different branches |
#
# Both sentences are taken as descriptions of the same picture, as annotators are told to do.
# The label follows from the slots. For two affirmed scenes $p$ and $h$
#
# $$
# \operatorname{label}(p\to h)=
# \begin{cases}
# \text{contradiction} & \text{some slot excludes,}\\
# \text{entailment} & \text{every slot is equal or entails,}\\
# \text{neutral} & \text{otherwise.}
# \end{cases}
# $$ (eq-02-nli)

# %%
premise = "two young men are pushing a blue car in the morning"
for hypothesis in (
    "a pair of adults are shoving a vehicle",
    "two young men are pushing a blue car on the street",
    "two young men are pulling a blue car in the morning",
):
    found = pd.Series(relations(parse(premise), parse(hypothesis))).value_counts(sort=False)
    slots = ", ".join(f"{count} {relation}" for relation, count in found.items())
    print(f"{hypothesis}\n    slots: {slots}  →  {nli(premise, hypothesis)}")

# %% [markdown]
# Denial turns things around.
# If no animal runs, no dog runs: between two denials entailment points the other way.
#
# | premise | hypothesis | label |
# |---|---|---|
# | affirmed | affirmed | {eq}`eq-02-nli` |
# | affirmed | denied | {eq}`eq-02-nli` with entailment and contradiction swapped |
# | denied | affirmed | contradiction if $h$ affirmed entails $p$ affirmed, else neutral |
# | denied | denied | entailment if $h$ affirmed entails $p$ affirmed, else neutral |
#
# Is that right? There is a slower way to see it.
# List every complete state of the world. A sentence is the set of states in which it is true, a
# denial the complement.
# Entailment is then inclusion of sets, contradiction an empty intersection.
# A test of this book lists a hundred thousand states of a reduced world and compares: the
# oracle and the sets agree on every pair
# (`tests/test_world.py::test_nli_is_inclusion_of_sets_of_states`).

# %%
for premise, hypothesis in (
    ("a dog is running", "an animal is running"),
    ("a dog is running", "one animal is not moving"),
    ("one animal is not moving", "a dog is not running"),
    ("a dog is not running", "one animal is not moving"),
):
    print(f"{premise:26} → {hypothesis:26} {nli(premise, hypothesis)}")

# %% [markdown]
# The first line has no label: *an* is not in the lexicon, and what the parser cannot read gets
# none.

# %% [markdown]
# ## How similar
#
# People score the similarity of two sentences from 0 to 5 {cite}`cer2017stsb`. The oracle does
# so by a formula.
# Each slot $i$ that is told in $a$ or in $b$ has a weight $w_i$ and a nearness $v_i$ between 0
# and 1.
# Equal values have nearness 1. In a tree, a concept and its ancestor have 0.75, concepts under
# one roof 0.25, strangers 0; what only one of the sentences tells has 0.45.
# Who and what weigh most, the time least.
# With $m=\sum_i w_i v_i/\sum_i w_i$
#
# $$
# s(a,b)=5\cdot\Bigl[\max\Bigl(0,\tfrac{m-0.15}{0.85}\Bigr)\Bigr]^{1.25}\cdot\rho\cdot\pi .
# $$ (eq-02-similarity)
#
# The factor $\rho$ is 1 if no slot excludes, 0.72 if one does, and less for more of them; $\pi$
# is 0.4 if one scene is affirmed and the other denied, else 1.
# The bracket stretches the scale, so that strangers who happen to share a time of day score
# near 0.
#
# What does one change cost?

# %%
men = scene.agent
edits = {
    "said in other words": scene,
    "no adjective": replace(scene, agent=replace(men, adjective=None)),
    "no place": replace(scene, place=None),
    "men → people": replace(scene, agent=replace(men, kind="person")),
    "car → vehicle": replace(scene, object=Thing("vehicle", "blue")),
    "morning → night": replace(scene, time="night"),
    "red hats → blue hats": replace(scene, agent=replace(men, wears=("hat", "blue"))),
    "two → three": replace(scene, agent=replace(men, number="three")),
    "men → women": replace(scene, agent=replace(men, kind="woman")),
    "push → pull": replace(scene, verb="pull"),
    "denied": replace(scene, negated=True),
    "another scene": random_scene(Random(3)),
}
costs = pd.DataFrame(
    [(name, similarity(scene, s), nli(scene, s)) for name, s in edits.items()],
    columns=["change", "similarity", "label"],
)

# %% tags=["hide-input"]
viz.Figure(
    costs,
    {
        "kind": "bars", "x": "change", "y": "similarity", "series": "label",
        "stacked": True, "horizontal": True, "annotate": True, "format": ".1f",
        "colors": {"entailment": "blue", "contradiction": "orange", "neutral": "grey"},
        "xlabel": "similarity to the scene, by the oracle", "ylabel": "",
    },
    alt=lambda df: "Similarity of a scene to changed versions of itself: "
    + "; ".join(f"{r.change} ({r.label}): {r.similarity:.1f}" for r in df.itertuples()) + ".",
    label="fig-02-one-change",
    caption="What one change costs, by the formula above. Leaving something out "
    "is cheap; an excluding detail costs a point and a half or more; a "
    "denial costs more than any of them.",
)

# %% [markdown]
# {numref}`fig-02-one-change` is a choice, like every annotation guideline.
# Somebody else would have other weights. What matters for this book is the order: rewording,
# less detail, a contradicting detail, denial, strangers.
#
# Contradictions deserve a second look.
# *Two men push, two men pull*: nearly all words agree, and a person would not give a 0, because
# so much of the picture is the same.
# Nor does the oracle. Contradiction and low similarity are two things.

# %% [markdown]
# ### Two sets for semantic similarity
#
# The world's two STS sets are drawn from these materials. *Natural* mixes everything; *hard*
# has many pairs that share their words and differ in meaning.
#
# The second sentence of a pair is a *paraphrase* of the first, says less or more *detail*,
# contradicts it in the same words or in others, is what a chain of small changes has left (*drift*),
# or is a sentence of its own, on the same *topic* or *unrelated*.

# %%
sts = {kind: corpora.sts(kind, "test", 2000) for kind in ("natural", "hard")}
both = pd.concat(sts, names=["set"]).reset_index("set")
table = both.pivot_table("score", "kind", "set", aggfunc=["size", "mean"])
table = table.sort_values(("mean", "natural"), ascending=False)
table = pd.DataFrame({
    f"{said}, {name}": table[what, name]
    for what, said in (("size", "pairs"), ("mean", "mean score")) for name in sts
}).rename_axis("how the pair arose")
table.reset_index().style.hide(axis="index").format(precision=1, na_rep="").format(
    "{:.0f}", na_rep="", subset=["pairs, natural", "pairs, hard"]
)

# %% [markdown]
# ## Nine small models
#
# Each stands for a kind of model in the papers. All are standard Hugging Face folders under
# `data/pocket/`, loaded by the same function that loads a model from the Hub.

# %%
generators = {
    "T5": models.load_generator("pocket/generator-t5", device="cpu"),
    "Llama": models.load_generator("pocket/generator-llama", device="cpu"),
}
discriminator = models.load_nli("pocket/nli", device="cpu")
encoders = {
    name.removeprefix("pocket/"): models.load_encoder(name, device="cpu")
    for name in models.POCKET_MODELS
    if "mlm" in name or "simcse" in name
}

# %% [markdown]
# | small model | what it does | stands for |
# |---|---|---|
# | `generator-t5` | follows instructions, scores similarity | Flan-T5 {cite}`chung2022flan` |
# | `generator-llama` | the same with a decoder alone | Llama {cite}`grattafiori2024llama3` |
# | `nli` | reads two sentences, gives three probabilities | ART's discriminator |
# | `mlm-bert`, `mlm-roberta` | fill gaps; their mean word vector embeds | BERT, RoBERTa |
# | `simcse-unsup-…` | embed sentences, learnt without labels | unsupervised SimCSE |
# | `simcse-sup-…` | embed sentences, learnt from NLI triplets | supervised SimCSE |

# %%
sizes = {f"generator-{k.lower()}": m for k, (m, _) in generators.items()}
sizes |= {"nli": discriminator[0], **encoders}
pd.DataFrame(
    [(name, sum(p.numel() for p in m.parameters()) / 1e6) for name, m in sizes.items()],
    columns=["model", "million parameters"],
).round(2).style.hide(axis="index").format(precision=2)

# %% [markdown]
# How did a model of a million parameters learn to misread instructions?
# As large ones do: from its training data. Instruction corpora contain wrong answers, and a
# model learns the habits of its corpus along with its skills.
#
# We put a known share of wrong answers into our generators' training data, more for some
# instructions than for others.
# The shares stand in `synthlib/world/pretraining.py`.
#
# ```{admonition} What is chosen here, and what is found
# :class: important
# The *sizes* of the effects in this book follow from such choices: how much noise, how large a
# model, how long a training.
# We could have made them larger.
# The *directions* are the lesson: which mistake a method repairs, in what order methods stand,
# where a setting turns from cure to harm.
# And nothing here shows that a method works on real text. That has to be tried there, with real
# models; the part *In the field* is for that.
# ```

# %% [markdown]
# ## The generator, and what it misreads
#
# MultiCSR asks for an entailment in four different phrasings, and for a contradiction in four
# {cite}`wang2024multicsr`.
# We give one premise to the T5 generator under each of them. It decodes greedily: at each step
# the most probable word.

# %%
premise = "two young men are pushing a blue car in the morning"
answers = report.follow(*generators["T5"], [premise])
answers[["kind", "instruction", "output", "outcome"]].style.hide(axis="index")

# %% [markdown]
# One premise is an anecdote.
# Before we count, we fix what to count. Five things can become of an instruction:
#
# - **right**: the oracle gives the label that was asked for, and the sentence is not the
#   premise;
# - **copied**: the premise again. It is entailed, of course, and worthless as training data: we
#   count it apart whatever was asked;
# - **opposite**: asked for a contradiction, the model writes what follows; asked for what follows,
#   it contradicts;
# - **neutral**: neither follows nor contradicts;
# - **broken**: no sentence of the world.
#
# **Before you look, predict.** The two generators learnt from the same examples. Will they fail
# at the same requests?

# %%
start = time.perf_counter()
premises = corpora.premises(100, seed=2024)
answers = pd.concat(
    {name: report.follow(*pair, premises) for name, pair in generators.items()},
    names=["generator"],
).reset_index("generator").reset_index(drop=True)
print(f"{len(answers):,} answers in {time.perf_counter() - start:.0f} s")

# %% tags=["hide-input"]
outcomes = report.shares(answers, by=["generator", "kind", "instruction"])
short = outcomes.kind.str[:10]  # "entailment", "contradict": narrow labels
outcomes["instruction"] = short + " " + outcomes.instruction.astype(str)


def _outcome_alt(df):
    part = []
    for (generator, kind), rows in df.groupby(["generator", "kind"], sort=False):
        mean = rows.groupby("outcome", sort=False).percent.mean()
        listed = ", ".join(f"{x:.0f} percent {name}" for name, x in mean.items())
        part.append(f"{generator}, asked for {kind}: {listed}")
    return "; ".join(part) + "."


viz.Figure(
    outcomes[["generator", "kind", "instruction", "outcome", "percent"]],
    {
        "kind": "heatmap", "x": "outcome", "y": "instruction", "value": "percent",
        "facet": "generator", "columns": 1, "height": 2.9,
        "annotate": True, "format": ".0f", "vmin": 0, "vmax": 100,
        "order": {"x": list(report.OUTCOMES)}, "xlabel": "what became of it",
        "ylabel": "", "vlabel": "percent of the premises",
    },
    alt=_outcome_alt,
    label="fig-02-outcomes",
    caption="What became of eight instructions, each given with the same 100 "
    "premises to both generators. Rows: the instruction, by kind and number. "
    "Columns: the oracle's verdict, in percent. Greedy decoding.",
)

# %%
for name in ("t5", "llama"):
    chosen = answers[answers.generator.str.lower() == name]
    values = report.values_of_answers(chosen, name)
    for claim, value in values.items():
        ledger.record(claim, value)

# %%
ledger.show(
    "02-t5-entailment", "02-t5-contradiction", "02-llama-entailment", "02-llama-contradiction"
)

# %% [markdown]
# Read {numref}`fig-02-outcomes` down its first column. No instruction is always followed.
# The two generators learnt from the same examples, and still they are weak on opposite sides:
# T5 at contradictions, Llama at entailments. The table adds three other draws of premises: on either
# side the two generators lie apart by many times the spread.
# (Three draws can be alike by chance: Llama's contradictions hardly spread, and the live draw lies
# well outside of it. And there is one training of each generator.)
# Data alone does not decide how a model errs.
#
# They agree on one thing. Both misread the fourth phrasing of each kind most often, and the
# fourth is the one that their training data answered wrongly most often.
#
# Now read along the rows, to see *how* an instruction fails.
# An entailment goes wrong in one way above all: the model contradicts.
# A contradiction goes wrong by not happening: the premise comes back, as it was or in other
# words.
#
# The copies have a simple reason. A contradiction differs from its premise in a word or two, so
# at every single place the premise's own word is a safe bet.
# A greedy decoder takes the best bet at every place, and may reach the end without having
# changed anything.
#
# The last column is nearly empty. Almost every answer is a proper sentence, right or wrong.
# That is what makes these mistakes dangerous in training data: nothing but its meaning gives a
# wrong positive away.
# The next chapter sets about it.

# %% [markdown]
# Look at some of the mistakes.

# %%
mistakes = answers.query("generator == 'T5' and outcome not in ('right', 'broken')")
some = mistakes.groupby(["kind", "outcome"]).head(2).sort_values(["kind", "outcome"])
some[["kind", "outcome", "premise", "output"]].style.hide(axis="index")

# %% [markdown]
# ## The generator as a judge
#
# In MultiCSR's second stage the generator judges its own work: how similar are these two
# sentences, from 0.0 to 5.0?
# We may read the score that it *writes*, as the paper does. Or we may look at the probabilities
# of all scores that it could have written, and take their mean, the *expected value*.

# %%
some = sts["natural"].head(500)
pairs = report.pairs_of(some)
print(prompts.similarity(*pairs[0], form="pocket"))
written = judging.score_similarity(*generators["T5"], pairs, method="text")
expected = judging.score_similarity(*generators["T5"], pairs, method="expected")
llama = judging.score_similarity(*generators["Llama"], pairs, method="expected")
print(f"written {written[0]}, expected {expected[0]:.2f}, oracle {some.score[0]:.2f}")

# %%
for who, scores in (("T5, written", written), ("T5, expected", expected),
                    ("Llama, expected", llama)):
    unread = sum(s is None for s in scores)
    rho = report.spearman(scores, some.score)
    drawn = bootstrap((np.array(scores, dtype=float), some.score), report.spearman, paired=True,
                      vectorized=False, n_resamples=200, rng=0, method="percentile")
    low, high = drawn.confidence_interval
    print(f"{who:16} Spearman {rho:.1f} ({low:.1f} to {high:.1f}), {unread} unread")
ledger.record("02-judge-spearman", report.spearman(expected, some.score))
_ = ledger.record("02-llama-judge-spearman", report.spearman(llama, some.score))

# %% tags=["hide-input"]
names = {
    "contradiction, same words": "contradiction", "drift": "drift",
    "contradiction, other words": "contradiction",
    "detail": "paraphrase or detail", "paraphrase": "paraphrase or detail",
    "topic": "topic or unrelated", "unrelated": "topic or unrelated",
}
KINDS = {  # as in chapter 1
    "paraphrase or detail": "blue", "contradiction": "orange", "drift": "green",
    "topic or unrelated": "grey",
}
judged = pd.DataFrame({
    "oracle": some.score, "judge": np.array(expected, dtype=float),
    "how the pair arose": some.kind.map(names), "first": some.sentence1,
    "second": some.sentence2,
}).dropna()
viz.Figure(
    judged,
    {
        "kind": "scatter", "x": "oracle", "y": "judge", "series": "how the pair arose",
        "order": {"series": list(KINDS)}, "colors": KINDS,
        "xlabel": "similarity by the oracle",
        "ylabel": "by the T5 generator (expected value)",
        "xlim": (-0.1, 5.1), "ylim": (-0.1, 5.1), "xticks": [0, 1, 2, 3, 4, 5],
        "hover": ["first", "second"],
    },
    alt=lambda df: "Scores of the judge against the oracle's for "
    f"{len(df)} pairs: they rise together, Spearman "
    f"{report.spearman(df.judge, df.oracle):.0f}. Mean score of the judge by kind: "
    + ", ".join(
        f"{kind} {part.judge.mean():.1f} (oracle {part.oracle.mean():.1f})"
        for kind, part in df.groupby("how the pair arose")
    ) + ".",
    label="fig-02-judge",
    caption="The T5 generator as a judge: one point a pair of the natural set. The "
    "order is mostly right, single scores are off by a point and more. A point reads its "
    "two sentences.",
)

# %% [markdown]
# In {numref}`fig-02-judge` the points rise from left to right: the judge has the order mostly
# right.
# Its single scores deserve less trust. The expected values are shy of both ends of the scale; the
# scores that it writes crowd at 5.0 and 0.0, as {ref}`ch-04` will show.
#
# Now look at the contradictions. Some score low; others score as high as a paraphrase, and
# there the judge has not noticed the one word that changed. Point at one and find the word.
# A judge reads with the same eyes as a generator.
#
# All that is worth knowing before one sets a threshold. *Keep what scores above 4* means one
# thing
# to the oracle and another to this judge.
#
# Written and expected scores put the pairs in about the same order, and so do the two generators'
# scores: in brackets stand 95 % intervals over these 500 pairs ({ref}`ch-01-sure`), and they overlap
# nearly whole. But the written score knows
# eleven values, and many pairs tie; the expected value tells them apart.

# %% [markdown]
# ## The discriminator
#
# One half of ART's reward, correctness, comes from an NLI model, which reads both sentences
# together and gives three probabilities.
# Ours has seen labelled pairs in training. On pairs that it has not seen:

# %%
labelled = corpora.nli(2000, seed=0)
probabilities = judging.nli_probabilities(*discriminator, report.pairs_of(labelled))
labels = np.array(["entailment", "neutral", "contradiction"])
labelled["predicted"] = labels[probabilities.argmax(axis=1)]
labelled["sure"] = probabilities.max(axis=1)
accuracy = 100 * (labelled.predicted == labelled.label).mean()
ledger.record("02-nli-accuracy", accuracy)
print(f"accuracy {accuracy:.1f} %")

# %% tags=["hide-input"]
confusion = (
    100 * labelled.groupby("label").predicted.value_counts(normalize=True)
    .unstack(fill_value=0.0).reindex(index=labels, columns=labels, fill_value=0.0)
).stack().rename("percent").reset_index()
viz.Figure(
    confusion,
    {
        "kind": "heatmap", "x": "predicted", "y": "label", "value": "percent",
        "annotate": True, "format": ".1f", "vmin": 0, "vmax": 100, "height": 2.8,
        "xlabel": "the discriminator says", "ylabel": "the oracle says",
        "vlabel": "percent of the row",
        "order": {"x": list(labels), "y": list(labels)},
    },
    alt=lambda df: "Confusion matrix of the NLI model, percent of each true label: "
    + "; ".join(
        f"{r.label} taken for {r.predicted} {r.percent:.1f}" for r in df.itertuples()
    ) + ".",
    label="fig-02-nli",
    caption="What the discriminator takes for what: 2,000 unseen pairs, each row 100 "
    "percent.",
)

# %%
labelled["right"] = labelled.predicted == labelled.label
sure = pd.cut(labelled.sure, [0, 0.9, 0.99, 1],
              labels=["up to 90 %", "90 to 99 %", "above 99 %"])
pd.DataFrame({
    "pairs (%)": 100 * sure.value_counts(normalize=True, sort=False),
    "right (%)": 100 * labelled.groupby(sure, observed=False).right.mean(),
}).rename_axis("how sure it is").round(1)

# %% [markdown]
# This is the most reliable of our models. It reads both sentences at once, it has one task,
# and it learnt from exact labels.
# And it mostly knows when it does not know: where it is sure, it is nearly always right.
#
# Keep the small numbers off the diagonal of {numref}`fig-02-nli` in mind.
# A policy that is trained to please a discriminator will look for just these.

# %% [markdown]
# ## The encoders
#
# An encoder turns a sentence into a vector, and the cosine of two vectors says how alike two
# sentences are.
# We ask, as for any STS set, how well the cosines put the pairs in order.

# %%
test = {kind: frame.head(1000) for kind, frame in sts.items()}
rows = []
for name, encoder in encoders.items():
    table = score_sts(encoder.encode, test)
    rows += [(name, row["task"], row["all"]) for _, row in table.iterrows()]
scores = pd.DataFrame(rows, columns=["encoder", "set", "spearman"])
for r in scores.itertuples():
    claim = f"02-{r.encoder.removeprefix('simcse-')}-{r.set}"
    if claim in ledger.claims(2).index:
        ledger.record(claim, r.spearman)

# %% tags=["hide-input"]
viz.Figure(
    scores,
    {
        "kind": "bars", "x": "encoder", "y": "spearman", "series": "set",
        "horizontal": True, "annotate": True, "format": ".0f",
        "xlabel": "Spearman × 100", "ylabel": "",
        "colors": {"natural": "blue", "hard": "orange"},
    },
    alt=lambda df: "Spearman of six encoders on two sets: "
    + "; ".join(f"{r.encoder}, {r.set}: {r.spearman:.0f}" for r in df.itertuples())
    + ".",
    label="fig-02-encoders",
    caption="STS of the six encoders, on 1,000 pairs of the natural and of the hard set each (one "
    "training of each encoder). The supervised ones have seen labelled contradictions; the "
    "unsupervised "
    "ones have seen sentences only.",
)

# %% [markdown]
# {numref}`fig-02-encoders` shows a gulf, far wider than what a new training or other pairs would move
# (the ledger at the end of this chapter has three trainings).
# Sentences without labels take an encoder some way on the natural set, and nowhere on the hard
# one.
# Labelled pairs, contradictions among them, take it far on both.
#
# Where is the unsupervised encoder fooled? We take the pairs of the hard set by how they arose.

# %%
kinds = test["hard"].copy()
kinds["oracle, ÷ 5"] = kinds.score / 5
for name in ("unsup", "sup"):
    encode = encoders[f"simcse-{name}-bert"].encode
    kinds[f"{name}ervised SimCSE"] = judging.cosine(encode, report.pairs_of(kinds))
judges = ["oracle, ÷ 5", "supervised SimCSE", "unsupervised SimCSE"]
closeness = kinds.melt("kind", judges, var_name="judge", value_name="similarity")
ORDER = [
    "paraphrase", "detail", "contradiction, other words", "contradiction, same words", "drift"
]
means = closeness.groupby(["kind", "judge"]).similarity.mean().unstack().loc[ORDER]
means.reset_index().style.hide(axis="index").format(precision=2)

# %% tags=["hide-input"]
viz.Figure(
    closeness,
    {
        "kind": "bars", "x": "kind", "y": "similarity", "series": "judge",
        "error": "sd", "horizontal": True,
        "colors": {"oracle, ÷ 5": "grey", "supervised SimCSE": "purple",
                   "unsupervised SimCSE": "blue"},
        "xlabel": "cosine, or the oracle's score ÷ 5", "ylabel": "",
        "order": {"x": ORDER},
    },
    alt=lambda df: "Mean closeness by kind of pair: " + "; ".join(
        f"{kind}, {judge}: {part.similarity.mean():.2f}"
        for (kind, judge), part in df.groupby(["kind", "judge"])
    ) + ".",
    label="fig-02-fooled",
    caption="How close two judges that see only text put the pairs of the hard set, "
    "and how close they are in truth. Whiskers: standard deviation over "
    "pairs.",
)

# %% [markdown]
# Follow the oracle's bars in {numref}`fig-02-fooled` from top to bottom, then those of the
# unsupervised encoder.
# It puts contradictions in the same words *above* paraphrases: two sentences that cannot both
# be true are closer to it than two that mean the same, as long as they share their words.
#
# We cannot blame it. It has seen sentences alone, each pulled towards itself and pushed away
# from others, and shared words are the surest sign that two sentences are kin.
#
# To learn better, an encoder needs pairs of two kinds: same meaning in other words, and other
# meaning in the same words.
# For SNLI, people wrote more than half a million pairs {cite}`bowman2015snli`. In this book a
# generator has to write them: the one that misreads its instructions.
# That is the problem of the whole book, in one small room.

# %% [markdown]
# ## Trained once more
#
# The generators were trained in bfloat16, a number format in which most processors are slow;
# there `make pocket` takes float32.
# How much of what you have seen hangs on that, and on one training?
# We set a second training of every model beside the first: the same recipe, the same seed,
# the other precision, measured on the same premises and pairs. The two generators first.

# %% tags=["hide-input"]
second = ch02.kept()
second["trained in"] = second.weights.map(
    {"committed": "bfloat16 (the book's)", "compared": "float32"}
)
generating = second.model.str.startswith("generator")
twice = second[generating & (second.figure != "well formed")].copy()
twice["what"] = twice.figure
twice["generator"] = twice.model.map({"generator-t5": "T5", "generator-llama": "Llama"})
viz.Figure(
    twice[["generator", "what", "trained in", "seed", "value"]],
    {
        "kind": "bars", "x": "what", "y": "value", "series": "trained in", "facet": "generator",
        "error": "sd", "horizontal": True, "height": 3.8,
        "xlabel": "percent right; judge: Spearman × 100", "ylabel": "", "xlim": [0, 100],
        "order": {"x": list(twice.what.unique()), "facet": ["T5", "Llama"]},
    },
    alt=lambda df: "The generators trained twice. " + " ".join(
        f"{name}: " + "; ".join(
            f"{what} " + ", ".join(
                f"{x:.0f} in {how}"
                for how, x in part.groupby("trained in", sort=False).value.mean().items()
            )
            for what, part in rows.groupby("what", sort=False)
        ) + "."
        for name, rows in df.groupby("generator", sort=False)
    ),
    label="fig-02-twice",
    caption="The generators, trained in two precisions by the same recipe and seed, once each: "
    "the eight instructions, and the judge. Whiskers: standard deviation over three draws of "
    "premises and pairs, not over trainings.",
)

# %% tags=["hide-input"]
beside = second[~generating].groupby(["model", "figure", "trained in"], sort=False).value
beside = beside.agg(lambda x: f"{x.mean():.1f} ± {x.std():.1f}".replace("-", "−"))
beside = beside.unstack().rename_axis(columns=None)
beside.rename_axis(["model", "what"]).rename(
    {"accuracy": "accuracy (%)", "natural": "natural pairs", "hard": "hard pairs"}, level=1
)

# %% [markdown]
# Look first at what stays in {numref}`fig-02-twice`.
# T5 follows a request for an entailment more often than one for a contradiction, Llama the other way
# round. The fourth phrasing of each kind is the weakest, with both.
#
# Now at what moves. T5's second training follows each request for a contradiction six to eight
# points more often, and each for an entailment one to six points less.
# Other premises move such a figure less: their standard deviation is below three points, once
# four.
# Llama's answers move by three points at most, as with other premises. As a judge it has the order
# better, by four points.
#
# The table has the others. The NLI model loses a point and a half. The masked models stay where they
# were, and the SimCSE encoders, which were trained in float32 both times and begin with them, gain
# two points at most.
# So the sizes in this book are those of one training; the directions are what to believe.
#
# Whether the precision did this or chance, two trainings cannot say: a rounding here and there is
# enough to lead one seed two ways.
# {ref}`pocket-models-page` has the figures, and the command that sets a training of yours beside
# the book's.

# %% [markdown]
# ## What the ledger says
#
# One seed shows one run. `make ledger` repeats the measurements of this chapter over three
# seeds: with other premises and pairs for the models above, and with a new training for the
# SimCSE encoders.
# {ref}`pocket-models-page` has all rows.

# %%
ledger.show(
    "02-t5-entailment", "02-t5-contradiction", "02-llama-entailment",
    "02-llama-contradiction", "02-judge-spearman", "02-llama-judge-spearman",
    "02-nli-accuracy", "02-unsup-bert-natural", "02-unsup-bert-hard",
    "02-sup-bert-natural", "02-sup-bert-hard",
)

# %% [markdown]
# ## Exercises
#
# ```{exercise} One slot
# :label: ex-02-slot
#
# *Medium, 15 minutes.* Write the relation of one slot, from premise to hypothesis.
# The taxonomy comes as a dictionary from each concept to its parent, `None` at the root; a slot
# that is not told is `None` as well.
# The answers are `"equal"`, `"entails"`, `"open"` and `"excludes"`.
# ```

# %% tags=["solution"]
def slot_relation(premise, hypothesis, parent):
    """Relation of two values of one slot; parent: {concept: its parent or None}."""
    ### BEGIN SOLUTION: compare the concepts by what lies above each of them in the tree
    def above(concept):
        found = []
        while (concept := parent[concept]) is not None:
            found.append(concept)
        return found

    if premise == hypothesis:
        return "equal"
    if hypothesis is None:
        return "entails"
    if premise is None:
        return "open"
    if hypothesis in above(premise):
        return "entails"
    return "open" if premise in above(hypothesis) else "excludes"
    ### END SOLUTION


# %%
checks.ch02.slot_relation(slot_relation)

# %% [markdown]
# ```{exercise} From slots to a label
# :label: ex-02-label
#
# *Medium, 15 minutes.* Combine the slots to a label by {eq}`eq-02-nli` and the table of denials.
# `forward` holds the relations from premise to hypothesis, `backward` those from hypothesis to
# premise, both as if the scenes were affirmed.
# ```

# %% tags=["solution"]
def nli_label(forward, backward, premise_denied=False, hypothesis_denied=False):
    """The label of a pair: "entailment", "neutral" or "contradiction"."""
    ### BEGIN SOLUTION: two affirmed scenes first, then the table of denials
    def affirmed(slots):
        if "excludes" in slots:
            return "contradiction"
        return "neutral" if "open" in slots else "entailment"

    if premise_denied:
        if affirmed(backward) != "entailment":
            return "neutral"
        return "entailment" if hypothesis_denied else "contradiction"
    label = affirmed(forward)
    if hypothesis_denied and label != "neutral":
        label = "contradiction" if label == "entailment" else "entailment"
    return label
    ### END SOLUTION


# %%
checks.ch02.nli_label(nli_label)

# %% [markdown]
# ```{exercise} What became of an instruction
# :label: ex-02-outcomes
#
# *Easy, 10 minutes.* Count the five outcomes, in percent of all outputs, as a dictionary with the keys `right`,
# `copied`, `opposite`, `neutral`, `broken`.
# `labels` holds the oracle's label of each pair of premise and output, `None` where the output
# cannot be read; `kind` is what was asked for, `"entailment"` or `"contradiction"`.
# ```

# %% tags=["solution"]
def outcome_shares(premises, outputs, labels, kind):
    """Percent of each outcome over all outputs."""
    ### BEGIN SOLUTION: name the outcome of each output, count, divide by all outputs
    def outcome(premise, output, label):
        if label is None:
            return "broken"
        if output == premise:
            return "copied"
        if label == kind:
            return "right"
        return "neutral" if label == "neutral" else "opposite"

    rows = zip(premises, outputs, labels, strict=True)
    found = [outcome(*row) for row in rows]
    names = ("right", "copied", "opposite", "neutral", "broken")
    return {name: 100 * found.count(name) / len(found) for name in names}
    ### END SOLUTION


# %%
checks.ch02.outcome_shares(outcome_shares)

# %% [markdown]
# ```{exercise} A rank correlation with ties
# :label: ex-02-spearman
#
# *Medium, 10 minutes.* The judge that writes its scores knows eleven numbers, so many pairs tie.
# Write Spearman's correlation, times 100, of two equally long lists: values that tie share the
# mean of their ranks.
# Numpy is enough.
# ```

# %% tags=["solution"]
def spearman(x, y):
    """Spearman's rank correlation of x and y, times 100."""
    ### BEGIN SOLUTION: rank both lists with ties averaged, then correlate the ranks
    def ranks(values):
        values = np.asarray(values, dtype=float)
        smaller = (values[None, :] < values[:, None]).sum(axis=1)
        equal = (values[None, :] == values[:, None]).sum(axis=1)
        return smaller + (equal + 1) / 2

    return 100 * float(np.corrcoef(ranks(x), ranks(y))[0, 1])
    ### END SOLUTION


# %%
checks.ch02.spearman(spearman)

# %%
checks.progress(2)  # all checks of this chapter once more

# %% [markdown]
# ## What we have
#
# A world in which every claim about meaning can be decided, and nine models that live in it and
# err.
#
# Three of their mistakes are the subjects of the three methods.
# The generator misreads instructions: **contrastive generation** subtracts what a misreading
# would have said ({cite:t}`wang2024multicsr`), and **PPO with a dual reward** trains the habit
# away ({cite:t}`xu2024art`).
# The unsupervised encoder takes shared words for shared meaning: better negatives cure that.
# And a pair is more than *same* or *different*: **ranking sentences** teaches the degrees in
# between ({cite:t}`he2025ranking`).
#
# ## Three sentences to remember
#
# 1. In this world every claim about meaning can be decided, so every method can be marked.
# 2. A generator misreads its instructions in proper sentences: nothing but the meaning gives a
#    mistake away.
# 3. The sizes of effects were chosen with the world; their directions are what to believe.
#
# ```{quiz} 2
# ```
#
# ## What to read next
#
# {cite:t}`bowman2015snli` tell how people annotated inference, and {cite:t}`cer2017stsb` how they
# annotated similarity.
