# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch-00)=
# # Run the laboratory
#
# A good part of the sentences that train today's best sentence encoders was written by nobody.
# A language model wrote them: for a sentence somebody found lying about, one that means the same and one that denies it.
#
# It writes a great many, quickly, and a good part of them are wrong.
# What to do about the wrong ones is the subject of this book, and three papers answer it in three ways.
#
# This chapter opens the door.
# We look at the machine that the book runs on, and then run one whole method on it, from the first sentence to the last figure, in about a minute.
#
# **You will be able to**
#
# - run any chapter, on a laptop or in Colab, and know what to do when something is missing;
# - name the five stations that every method of the book passes through;
# - say what a contrastively generated triplet is, and watch a small model write some;
# - do an exercise and have it checked.
#
# **Time and memory.** The chapter takes about a minute and a half on one processor core and one gigabyte of memory; nothing is downloaded.
# You need some Python, and a rough idea of what a neural network is.

# %%
import synthlib

synthlib.preflight()

# %% [markdown]
# ## The pocket tier, and three others
#
# The report above names a **tier**: a set of models and settings. There are four:
#
# | tier | where it runs | its models | what runs on it |
# |---|---|---|---|
# | `pocket` | any processor, no network | about a million parameters each, trained from nothing in this project | chapters 00 to 12; the command line |
# | `laptop` | any processor with 4 GB of free memory | public models of 135 and 23 million parameters, which `make book` or `python -m synthlib models get laptop` brings without an account, and two judges of 3 MB that travel with the book | the part *In the field*; the command line |
# | `colab` | a GPU with 15 GB, such as Colab's free one | public models of up to a billion parameters | the part *In the field*, by one word in its first cell; the command line |
# | `paper` | the papers' own hardware | the papers' models and settings | the part *In the field*, by the same word; the command line |
#
# **Chapters 00 to 12** are a theory laboratory: they need sentences whose meaning is known, so all of them run on `pocket`, whatever tier you name.
# The part **In the field** runs the same kernels on real sentences with real models: `TIER = "laptop"` stands in its first cell, and `"colab"` or `"paper"` may stand there instead. What takes a laptop hours is recorded, with its origin, and beside it a small piece runs live.
# The **command line**, `python -m synthlib run METHOD --tier laptop --premises mine.txt`, runs the methods from end to end on sentences of your own.
# Of the two largest tiers, `paper` has been run from end to end from the command line with small models of the same architectures; neither has been run at full size, on a GPU.
#
# If the report had found trouble (weights not there, too little memory, an old library) it would have said so, with a remedy for each.
# What it cannot mend, {doc}`/book/reference/troubleshooting` may.

# %%
import random
import time

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from synthlib import (
    checks, curation, decoding, judging, ledger, models, prompts, tiers,
    training, viz,
)
from synthlib.world import corpora, nli

settings = tiers.get("pocket").multicsr
started = time.process_time()

# %% [markdown]
# ## The road that data takes
#
# A sentence encoder learns from **triplets**: an *anchor*, a *positive* that means the same, a *hard negative* that looks alike and means something else.
# Every method in this book makes its triplets, or lists, along one road.

# %% tags=["hide-input"]
road = pd.DataFrame({
    "source": ["generate", "judge", "select", "train"],
    "target": ["judge", "select", "train", "evaluate"],
    "label": ["triplets", "scores", "what is good", "encoder"],
})
viz.Figure(
    road,
    {"kind": "flow", "source": "source", "target": "target", "label": "label"},
    alt="Five boxes in a row, joined by arrows: generate hands triplets to judge, judge hands "
    "scores to select, select hands what is good to train, train hands an encoder to evaluate.",
    label="fig-00-road",
    caption="The road that data takes. The package `synthlib` is laid out along it.",
)

# %% [markdown]
# The papers differ in which station they improve ({numref}`fig-00-road`).
#
# - **MultiCSR** {cite}`wang2024multicsr` works on three of them: it steers the generation, lets the model judge its own sentences, and masks what slipped through while it trains. Chapters 3 to 6.
# - **ART** {cite}`xu2024art` rewards the generator for hard and correct triplets, and tunes it by reinforcement. Chapters 7 to 9.
# - **Ranking sentences** {cite}`he2025ranking` leaves triplets behind: the model writes whole lists that drift away from a sentence step by step. Chapters 10 to 12.
#
# Now we walk the road once, with MultiCSR.

# %% [markdown]
# ## Station 1: generate
#
# Our raw material is 600 plain sentences, captions of a small made-up world. They have no labels.
# We shall call them **premises**.
#
# The writer is a model with a million parameters which, like its big cousins, follows instructions most of the time.

# %%
writer, tokenizer = models.load_generator(settings.generator)
premises = corpora.premises(600, seed=0)
rng = random.Random(0)

asked = pd.DataFrame({
    "premise": premises,
    "entail": [rng.choice(prompts.ENTAILMENT["pocket"]) for _ in premises],
    "contradict": [rng.choice(prompts.CONTRADICTION["pocket"]) for _ in premises],
})
for kind in ("entail", "contradict"):
    asked[f"{kind} prompt"] = [
        prompts.generation(instruction, premise, form="pocket")
        for instruction, premise in zip(asked[kind], asked["premise"])
    ]
print(asked["entail prompt"][0])
print(asked["contradict prompt"][0])

# %% [markdown]
# Each premise has drawn two instructions: one asks for an *entailment*, which will be its positive, and one for a *contradiction*, its hard negative.
#
# A model that misreads an instruction has a favourite way of doing so: it does the opposite.
# Asked to contradict, it paraphrases.
# MultiCSR turns this into a cure. It asks both questions at once, and at every word subtracts what the *opposite* instruction would like to write:
#
# $$
# l_t-\omega\,\hat l_t
# $$ (eq-00-contrast)
#
# Here $l_t$ are the **logits**, the model's scores for every possible next word, under the right instruction; $\hat l_t$ are those under the noisy one, the opposite; and $\omega$ says how hard to steer.
# Words that both like, such as the colour of the jacket, stay ahead. A word that only the misreading likes falls back.
#
# With $\omega=0$ we have plain decoding. The paper takes $\omega=0.3$.

# %%
def write(omega):
    """Positives and hard negatives of all premises, steered by `omega`."""
    right = [*asked["entail prompt"], *asked["contradict prompt"]]
    opposite = [*asked["contradict prompt"], *asked["entail prompt"]]
    texts = decoding.contrastive_generate(
        writer, tokenizer, right, opposite, omega=omega,
        max_new_tokens=settings.max_new_tokens, batch_size=128,
    )
    return pd.DataFrame({
        "anchor": premises,
        "positive": texts[: len(premises)],
        "negative": texts[len(premises):],
    })


plain = write(omega=0.0)
steered = write(omega=settings.omega)

# %% [markdown]
# Let us read before we count.
# These are premises where steering changed the hard negative.

# %%
changed = plain.assign(steered=steered["negative"])
changed = changed[changed["negative"] != changed["steered"]].head(6)
changed[["anchor", "negative", "steered"]].rename(
    columns={"negative": "plain hard negative", "steered": "steered hard negative"}
).style.hide()

# %% [markdown]
# A hard negative should *deny* its anchor.
# Reading down the two columns you will find some that only rephrase it, or repeat it, and you will find that steering mends some of these, and not all.
#
# How many? Our small world has a luxury that no real corpus has: an **oracle** which knows what every sentence means.
# It may judge what we did; none of the stations may ask it.
# (The models went to a school that it supplied with books, as large models go to one that people supply: {ref}`ch-02`.)

# %%
def shares(triplets):
    """Percent of triplets whose positive, hard negative, and both are right."""
    rows = list(triplets.itertuples(index=False))
    positive = [nli(t.anchor, t.positive) == "entailment" for t in rows]
    negative = [nli(t.anchor, t.negative) == "contradiction" for t in rows]
    both = np.logical_and(positive, negative)
    return {
        "triplets": len(rows),
        "positive right": 100 * np.mean(positive),
        "negative right": 100 * np.mean(negative),
        "both right": 100 * np.mean(both),
    }


oracle = {"plain": shares(plain), "steered": shares(steered)}
pd.DataFrame(oracle).T.astype({"triplets": int}).round(1)

# %% [markdown]
# ## Station 2: judge
#
# Steering helped, and there is still a lot of rubbish. So we ask the writer to be its own critic.
# The same model reads each pair and scores its similarity, from 0.0 for unrelated to 5.0 for the same meaning.
#
# Call $a$ the score of anchor and positive, and $b$ the score of anchor and hard negative.

# %%
def score(triplets, other):
    pairs = list(zip(triplets["anchor"], triplets[other]))
    return judging.score_similarity(
        writer, tokenizer, pairs, method="text", batch_size=128
    )


steered["a"] = score(steered, "positive")
steered["b"] = score(steered, "negative")
scored = steered[["anchor", "positive", "a", "negative", "b"]]
scored.head(4).style.hide().format(precision=1)

# %% [markdown]
# ## Station 3: select
#
# A good triplet has a high $a$, a low $b$, and air between them.
# MultiCSR keeps a triplet if $a\ge\alpha$, $b\le\beta$ and $a\ge b+\gamma$, with thresholds $\alpha=\beta=3$ and $\gamma=1$.

# %%
rule = curation.Thresholds(settings.alpha, settings.beta, settings.gamma)
curated = steered[rule.keep(steered["a"], steered["b"])].reset_index(drop=True)

oracle["curated"] = shares(curated)
pd.DataFrame(oracle).T.astype({"triplets": int}).round(1)

# %% [markdown]
# A smaller set, and a much cleaner one.
# Nobody told the critic which of these triplets are right. It learnt to score from other pairs, and now reads.

# %% tags=["hide-input"]
quality = pd.DataFrame([
    {"data": name, "what is right": what, "share": oracle[name][what]}
    for name in oracle
    for what in ("positive right", "negative right", "both right")
])
viz.Figure(
    quality,
    {
        "kind": "bars", "x": "data", "y": "share", "series": "what is right",
        "xlabel": "", "ylabel": "share of triplets (%)", "ylim": (0, 100), "annotate": True,
        "format": ".0f",
        "colors": {"positive right": "blue", "negative right": "orange", "both right": "purple"},
    },
    alt=lambda df: "Share of triplets in which both sentences are right, by the oracle: "
    + ", ".join(
        f"{row.data} {row.share:.0f} percent"
        for row in df[df["what is right"] == "both right"].itertuples()
    ) + ".",
    label="fig-00-quality",
    caption="What the oracle thinks of the triplets: written plainly, written with "
    "$\\omega=0.3$, and curated by the writer itself. One seed, 600 premises.",
)

# %% [markdown]
# ## Station 4: train
#
# An encoder turns a sentence into a vector. We start from one that has never seen a triplet, and show it ours: pull the anchor towards its positive, push it away from its hard negative and from everybody else's sentences.
# The loss is called InfoNCE, and {doc}`/notebooks/01_sentence_embeddings` takes it apart.
#
# We train three times, from the same start with the same number of steps: on the plain triplets, on the steered ones, and on those of the steered ones that were kept. So each encoder differs from the one before in one thing.

# %%
def train(triplets):
    rows = triplets[["anchor", "positive", "negative"]].values.tolist()
    return training.train_supervised_simcse(
        models.load_encoder(START), rows, batch_size=64,
        learning_rate=3e-4, max_steps=60, seed=0, progress=False,
    )


START = "pocket/simcse-unsup-bert"
encoders = {
    "start": models.load_encoder(START),
    "plain triplets": train(plain),
    "steered": train(steered),
    "steered and curated": train(curated),
}

# %% [markdown]
# ## Station 5: evaluate
#
# The examination is **semantic textual similarity**: 2,000 pairs of sentences that no method has seen, with a true similarity each.
# The mark is Spearman's correlation, times 100, between the encoder's cosines and the truth: 100 for the same order, 0 for no relation.
#
# **Before you look, predict.** Which of the two steps will be worth more, steering or curating? And
# by how much: one point, five, twenty?

# %%
test = corpora.sts("natural", "test")
pairs = list(zip(test["sentence1"], test["sentence2"]))


def mark(encoder):
    cosines = judging.cosine(encoder.encode, pairs)
    return 100 * spearmanr(cosines, test["score"]).statistic


marks = {name: mark(encoder) for name, encoder in encoders.items()}
seconds = time.process_time() - started
pd.Series(marks, name="Spearman × 100").round(1).to_frame()

# %% tags=["hide-input"]
viz.Figure(
    pd.DataFrame({"encoder": list(marks), "Spearman": list(marks.values())}),
    {
        "kind": "bars", "x": "encoder", "y": "Spearman", "xlabel": "",
        "ylabel": "STS, Spearman × 100", "annotate": True, "format": ".1f",
    },
    alt=lambda df: "Spearman on the natural STS set: "
    + ", ".join(f"{r.encoder} {r.Spearman:.1f}" for r in df.itertuples()) + ".",
    label="fig-00-result",
    caption="One walk along the road: the encoder before it, and after training on plain triplets, "
    "on steered ones, and on those of the steered ones that were kept. One seed; chapter 6 has "
    "three, and their spread.",
)

# %% [markdown]
# That is a whole method, on real kernels: the functions that ran here are the ones that the command line calls with larger models.
#
# What has this shown? That the road can be walked, and what each station does to *this* draw of 600 premises.
# What has it not shown? A single run cannot say how much of {numref}`fig-00-result` is luck.
# Effects are claimed in this book after three seeds, with their spread, and each claim has a row in the {doc}`ledger </book/reference/ledger>`, beside what the paper says.
# Misses stay in it.
#
# In one sentence: this road takes about a minute of a processor, and the encoder at its end is better than the one at its start.

# %%
ledger.record("00-one-minute", seconds, minutes=seconds / 60)
ledger.record("00-gain", marks["steered and curated"] - marks["start"], minutes=seconds / 60)
ledger.show(chapter=0)

# %% [markdown]
# We left out one station of MultiCSR, the mask that protects an anchor from *false* negatives while it trains; the {doc}`ledger </book/reference/ledger>` lists it with everything else that the papers claim.
#
# ## How to use this book
#
# **Read** it as a page, or **run** it: every chapter is a notebook. The student edition, in `notebooks/student/`, has the same text with the solutions taken out.
#
# **Figures** can be taken hold of: point at a value, move a slider, press a name in the legend; the arrow keys do it too. They hand out their data: the link under each leads to the table it was drawn from.
#
# **Exercises** check themselves. You write a function; the cell below it tries the function on inputs that you have not seen, against an independent solution, and when it disagrees it tries to say what you did. Three short ones follow. In the book their solutions are folded away.

# %% [markdown]
# ```{exercise} Steer by hand
# :label: ex-00-mixture
#
# *Easy, 5 minutes.* Equation {eq}`eq-00-contrast` in one line of NumPy: given the logits of both instructions for a vocabulary of $V$ words, return the index of the word that greedy decoding would take.
# ```

# %% tags=["solution"]
def steered_choice(logits, noisy_logits, omega):
    """Index of the next word under l − ω·l̂.

    logits, noisy_logits: arrays of V scores; omega: a number. Returns an int.
    """
    ### BEGIN SOLUTION: score every word by the equation; which one is best?
    return int(np.argmax(np.asarray(logits) - omega * np.asarray(noisy_logits)))
    ### END SOLUTION


# %%
checks.ch00.steered_choice(steered_choice)

# %% [markdown]
# ```{exercise} The rule of selection
# :label: ex-00-keep
#
# *Easy, 10 minutes.* Write station 3: which triplets satisfy $a\ge\alpha$, $b\le\beta$ and $a\ge b+\gamma$? A critic may fail to give a score; then it is NaN, and its triplet is not kept.
# ```

# %% tags=["solution"]
def keep(a, b, alpha=3.0, beta=3.0, gamma=1.0):
    """Which triplets to keep.

    a, b: arrays of n scores, NaN where unread. Returns a boolean array of length n.
    """
    ### BEGIN SOLUTION: all three conditions at once; what becomes of a NaN?
    a, b = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    return (a >= alpha) & (b <= beta) & (a >= b + gamma)
    ### END SOLUTION


# %%
checks.ch00.keep(keep)

# %% [markdown]
# ```{exercise} The mark
# :label: ex-00-spearman
#
# *Medium, 15 minutes.* Spearman's correlation is the ordinary (Pearson) correlation of *ranks*. Write it, with equal values sharing the mean of their ranks, and return it times 100. You may use `scipy.stats.rankdata`, but no function that returns the whole correlation, such as `spearmanr`.
# ```

# %%
from scipy.stats import rankdata


# %% tags=["solution"]
def spearman(predicted, gold):
    """Spearman's correlation times 100 of two arrays of n numbers. Returns a float."""
    ### BEGIN SOLUTION: rank both, then correlate the ranks
    x = rankdata(predicted) - (len(predicted) + 1) / 2
    y = rankdata(gold) - (len(gold) + 1) / 2
    return float(100 * (x @ y) / np.sqrt((x @ x) * (y @ y)))
    ### END SOLUTION


# %%
checks.ch00.spearman(spearman)

# %%
checks.progress(0)  # all checks of this chapter once more

# %% [markdown]
# ## Three sentences to remember
#
# 1. A language model writes the triplets, and a good part of them is wrong; the methods of this
#    book differ in what they do about it.
# 2. The oracle marks what was done. No station may ask it.
# 3. One run shows that a road can be walked; an effect is claimed after three seeds.
#
# ```{quiz} 0
# ```
#
# ## What to read next
#
# {doc}`/notebooks/01_sentence_embeddings` takes stations 4 and 5 apart: what an embedding is, what contrast does to a space, and how an honest figure is reported.
# {doc}`/notebooks/02_pocket_laboratory` opens the small world, its oracle and its models, and shows what they get wrong.
#
# The idea of steering by a noisy instruction comes from instructive decoding {cite}`kim2024instructive`; that a language model may write a whole training set, from {cite}`schick2021datasets` and {cite}`zhang2023syncse`.
