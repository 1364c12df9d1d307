# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch-01)=
# # Sentence embeddings and contrast
#
# *A man is sleeping in the park. A man is running in the park.*
#
# Six words of seven agree, and the two sentences cannot both be true.
# A machine that compares words calls them near twins.
# A good sentence embedding keeps them apart, and puts *somebody naps outdoors* next to the first.
#
# How does a network learn such a thing?
# With one training signal, *contrast*: pull together what means the same, push apart what does
# not.
# Two of this book's three methods write sentences for exactly this signal, and the third
# refines an encoder that was made by it.
# Before we let a language model write anything, this chapter makes sure that we know the signal
# itself.
#
# **You will be able to**
#
# - measure *anisotropy*, and say how it does harm;
# - write the InfoNCE loss from its equation, and say what it does to *alignment* and
#   *uniformity*;
# - train unsupervised SimCSE yourself and watch it move;
# - say what whitening repairs, and what only training repairs;
# - report an STS figure that somebody else can compare with theirs.
#
# **Time and memory.** The chapter takes about four minutes on one processor
# core and one gigabyte of memory; three of the minutes go into the two training runs.
# Nothing is downloaded.
# You need the first weeks of any course on neural networks, and no more.

# %%
import synthlib

synthlib.preflight()

# %%
import itertools
import tempfile
import time

import numpy as np
import pandas as pd
import torch
from scipy.special import logsumexp
from scipy.stats import bootstrap, spearmanr

from synthlib import checks, evaluation, ledger, listing, losses, models
from synthlib import tiers, training, viz
from synthlib.experiments import ch01
from synthlib.world import corpora

pd.set_option("display.max_colwidth", None)

# %% [markdown]
# ## One vector for a sentence
#
# An **encoder** $f$ turns a sentence $x$ into a vector $\mathbf h = f(x)\in\mathbb R^d$, its
# **embedding**.
# Ours is a small transformer that gives a vector for every word; we take their mean.
#
# Two sentences are as similar as the angle between their vectors says:
#
# $$
# \operatorname{sim}(\mathbf h_1,\mathbf h_2)=
# \frac{\mathbf h_1^\top \mathbf h_2}{\lVert\mathbf h_1\rVert\,\lVert\mathbf h_2\rVert}
# $$ (eq-01-cosine)
#
# This **cosine** is 1 for the same direction, 0 for a right angle, −1 for opposite directions.
# It ignores length, so we may think of every embedding as a point on a sphere.
#
# Is an encoder any good?
# The usual examination is **semantic textual similarity**, STS: people score pairs of sentences
# from 0 (unrelated) to 5 (the same meaning), and we ask whether the cosines come in the same
# order {cite}`agirre2012sts,cer2017stsb`.
# The mark is Spearman's rank correlation, times 100 {cite}`spearman1904association`.
#
# In this book's pocket world the scores come from an *oracle* that knows what each sentence
# means (the next chapter opens it up).
# It marks our encoders. It teaches none of them, save one: where the real method uses human
# labels, ours asks the oracle.
#
# Here are six pairs, their scores, and how each pair arose: the second sentence says the first in
# other words (*paraphrase*), with less or more *detail*, after a chain of small changes (*drift*),
# or is another sentence, on the same *topic* or *unrelated*.

# %%
sts = {kind: corpora.sts(kind, "test") for kind in ("natural", "hard")}
dev = corpora.sts("natural", "dev", n=1000)
sts["natural"][["sentence1", "sentence2", "score", "kind"]].head(6).rename(
    columns={"sentence1": "one sentence", "sentence2": "the other"}
).style.hide(axis="index").format({"score": "{:.1f}"})

# %% [markdown]
# ## The idea, with one picture
#
# Take eight meanings, A to H, and say each of them with two sentences.
# That makes sixteen points. Let them live on a circle, the smallest sphere there is, and let
# them all start in one corner.
#
# Now give every point a pull towards its partner and a push away from everybody else.
# Nothing more: no network, no text, only sixteen points that roll down a loss.

# %%
torch.manual_seed(4)
points = torch.tensor([1.0, 0.8]) + 0.25 * torch.randn(16, 2)
points.requires_grad_()
optimizer = torch.optim.Adam([points], lr=0.05)
frames = []
for step in range(401):
    if step % (4 if step < 80 else 20) == 0:
        x, y = torch.nn.functional.normalize(points.detach(), dim=1).T.numpy()
        frames.append(pd.DataFrame({
            "step": step, "meaning": list("ABCDEFGH") * 2,
            "shown": (list("ABCDEFGH") if step >= 20 else [""] * 8) + [""] * 8,
            "sentence": ["first"] * 8 + ["second"] * 8, "x": x, "y": y,
        }))
    loss = losses.info_nce(points[:8], points[8:], tau=0.1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
frames = pd.concat(frames, ignore_index=True)
stills = frames[frames["step"].isin([0, 60, 400])]
# In print all three stand side by side: no column "step" from which the slider would choose one.
stills = stills.assign(when="step " + stills.pop("step").astype(str)).reset_index(drop=True)

# %% tags=["hide-input"]
def _read_circle(df):
    """In words: how far partners stand apart, and what part of the circle is in use."""
    angle = np.degrees(np.arctan2(df.y, df.x)).to_numpy()
    apart = np.abs((angle[:8] - angle[8:] + 180) % 360 - 180).mean()
    ring = np.sort(angle)
    gap = np.diff(np.append(ring, ring[0] + 360)).max()
    return f"partners are {apart:.0f} degrees apart, the widest gap measures {gap:.0f}"


words = pd.DataFrame([
    {"step": step, "said": f"Step {step}: {_read_circle(part)} degrees."}
    for step, part in frames.groupby("step")
])


def _circle_alt(data):
    said = data["words"].set_index("step")["said"]
    return (
        "Sixteen points on a circle, two for each of eight meanings. "
        + " ".join(said[[0, 60, 400]])
    )


# %% tags=["hide-input"]
CIRCLE = {
    "kind": "scatter", "x": "x", "y": "y", "series": "sentence", "label": "shown",
    "circle": 1, "aspect": "equal", "xlabel": "", "ylabel": "",
    "xlim": (-1.3, 1.3), "ylim": (-1.3, 1.3), "xticks": [-1, 0, 1], "yticks": [-1, 0, 1],
}
viz.Figure(
    {"frames": frames, "stills": stills, "words": words},
    {
        "kind": "explorer", "explorer": "usual",
        "controls": [
            # It opens where the chapter leads; "Let go" begins at the start again.
            {"name": "step", "type": "range", "column": "step", "value": 400, "format": "d"},
            {"name": "play", "type": "play", "of": "step", "label": "Let go", "seconds": 7},
        ],
        "options": {
            "spec": CIRCLE | {"data": "frames", "hover": ["meaning"]}, "says": "words",
        },
        "static": CIRCLE | {"data": "stills", "facet": "when"},
    },
    alt=_circle_alt,
    label="fig-01-circle",
    caption="Contrast at work. Eight meanings with two sentences each, free to move on a "
    "circle, follow the gradient of InfoNCE ($\\tau=0.1$) for 400 steps. Partners meet (at the "
    "end the second marker covers the first); meanings share out the space.",
)

# %% [markdown]
# {numref}`fig-01-circle` is the whole chapter.
# At the end the two sentences of a meaning have become one point, and the eight meanings stand
# as far from each other as a circle allows, 45 degrees.
#
# We shall give both halves a name: **alignment**, partners lie close; **uniformity**, the
# points use all the room.
# The loss asked for both at once.
#
# The first frame has a name as well. It is where language models leave us.

# %% [markdown]
# ## A space without room
#
# Our starting point is a *masked language model*, trained to fill gaps in text, as BERT was
# {cite}`devlin2019bert`.
# It knows the words of our world well, and nobody has ever told it what a sentence vector is for.
#
# Let us embed a few thousand sentences with it and look at pairs that have nothing to do with
# each other.

# %%
tier = tiers.get("pocket")
settings = tier.simcse_unsupervised
sentences = corpora.premises(settings.sentences, seed=0)
masked_lm = models.load_encoder(settings.encoder, pooling=settings.pooling)
embed = ch01.remembered(masked_lm.encode)  # embeds no sentence twice
encoders = {"masked LM": embed}

start = ch01.geometry(embed, dev)
print(f"mean cosine of unrelated sentences: {start['mean_cosine']:.2f}")

# %% [markdown]
# In a space that uses its room this number is about zero: in many dimensions almost all
# directions are at right angles.
# Here the vectors of unrelated sentences crowd into a narrow cone.
# Ethayarajh found the same in the large models and called the spaces **anisotropic**, not the
# same in all directions {cite}`ethayarajh2019contextual`.
#
# How far above the unrelated do the *same* meanings stand?

# %%
KINDS = {
    "unrelated": "grey", "paraphrase": "blue", "contradiction, same words": "orange"
}
cone = sts["natural"][["kind", "score"]].assign(
    cosine=ch01.cosines(embed, sts["natural"])
)
cone = cone[cone["kind"].isin(KINDS)].reset_index(drop=True)

# %% tags=["hide-input"]
viz.Figure(
    cone,
    {
        "kind": "density", "x": "cosine", "series": "kind", "colors": KINDS,
        "xlabel": "cosine", "xlim": (None, 1.0), "order": {"series": list(KINDS)},
    },
    alt=lambda df: "Three overlapping heaps of cosines, all far right of zero. Means: "
    + ", ".join(f"{k} {v:.2f}" for k, v in df.groupby("kind").cosine.mean().items())
    + ".",
    label="fig-01-cone",
    caption="Cosines of pairs of the natural STS set under the masked LM, smoothed (so that a "
    "curve may run past 1, and no cosine does). A contradiction in the same words outranks a "
    "paraphrase in other words.",
)

# %% [markdown]
# {numref}`fig-01-cone` shows two troubles, and it is worth keeping them apart.
#
# The first is that all the heaps lie on the right: everything is similar to everything.
# The second is their *order*. Pairs that deny each other in the same words lie above pairs that
# agree in other words.
#
# The examination sees only the order.
# Spearman's correlation looks at ranks: add the same amount to every cosine, and the mark does
# not move.
# So does the cone do any harm, or is it only ugly?

# %% [markdown]
# ## Why it hurts
#
# It would do no harm if it added the same amount to every cosine. Let us see to whom it adds
# how much.
#
# For each of 3,000 sentences we take the mean cosine with all the others, call it the
# sentence's *popularity*, and sort by something that has nothing to do with meaning: the number
# of words.

# %%
sample = sentences[:3000]


def popularity(encode, texts):
    """Mean cosine of each text with all the others."""
    x = np.asarray(encode(texts), dtype=np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return (x @ x.sum(axis=0) - 1) / (len(x) - 1)


mean = embed(sample).mean(axis=0)


def centred(texts):
    """The masked LM's embeddings without their common part."""
    return embed(texts) - mean


popular = pd.concat(
    pd.DataFrame({
        "encoder": name, "words": [len(text.split()) for text in sample],
        "mean cosine with all others": popularity(encode, sample),
    })
    for name, encode in (("masked LM", embed), ("masked LM, centred", centred))
)
popular = popular[popular["words"].between(4, 18)].reset_index(drop=True)

# %% tags=["hide-input"]
COLORS = {
    "random words": "gold", "masked LM": "grey", "masked LM, centred": "sky",
    "whitening": "green", "unsupervised": "blue", "supervised": "purple",
    "even cloud": "orange",
}


def _popular_alt(df):
    by = df.groupby(["encoder", "words"])["mean cosine with all others"].mean()
    lm = by["masked LM"]
    return (
        "Under the masked LM the mean cosine with all other sentences rises from "
        f"{lm.iloc[0]:.2f} "
        f"for {lm.index[0]} words to {lm.loc[16]:.2f} for 16. After centring it stays "
        "between "
        f"{by['masked LM, centred'].min():.2f} and "
        f"{by['masked LM, centred'].max():.2f}."
    )


viz.Figure(
    popular,
    {
        "kind": "lines", "x": "words", "y": "mean cosine with all others",
        "series": "encoder",
        "band": "sd", "colors": COLORS, "xlabel": "words in the sentence",
    },
    alt=_popular_alt,
    label="fig-01-popular",
    caption="Who is similar to everybody? Mean cosine with all other sentences, by "
    "length (3,000 "
    "sentences; bands: one standard deviation among sentences of a length).",
)

# %% [markdown]
# The longer a sentence, the more similar it is to everybody ({numref}`fig-01-popular`).
# The reason is our pooling. All word vectors share a large common part, and the mean of many
# words lies nearer to it than the mean of few.
#
# So every cosine holds a bonus for length, and a bonus that differs from pair to pair *does*
# change the order.
# That is how anisotropy hurts: a common part, large beside the differences that carry meaning,
# lets accidents of form into every comparison.
#
# Subtract the common part, and about half of the bonus is gone (the second curve). What does the
# examiner say?

# %%
before, after = (
    evaluation.score_sts(encode, {"natural": sts["natural"]})["spearman"][0]
    for encode in (embed, centred)
)
print(f"natural set: {before:.1f} as it is, {after:.1f} centred")

# %% [markdown]
# (One masked LM and one test set. How far other pairs would move such a gain, {ref}`ch-01-sure`
# says.)
#
# The mean is only the first and loudest thing that the vectors have in common.
# Lay the centred embeddings of $n$ sentences as rows into a matrix and look at its **singular
# values**: how much the embeddings vary along each of their principal directions.

# %%
def spectrum(encode, texts):
    """Singular values of the centred embeddings, the largest set to 1."""
    x = np.asarray(encode(texts), dtype=np.float64)
    values = np.linalg.svd(x - x.mean(axis=0), compute_uv=False)
    values = values[values > 1e-6 * values[0]]  # the rest is rounding noise
    return pd.DataFrame({
        "direction": np.arange(1, len(values) + 1),
        "singular value": values / values[0],
    })


width = embed(sample).shape[1]
cloud = np.random.default_rng(0).normal(size=(len(sample), width))
spectra = pd.concat([
    spectrum(embed, sample).assign(encoder="masked LM"),
    spectrum(lambda texts: cloud, sample).assign(encoder="even cloud"),
])

# %% tags=["hide-input"]
def _spectrum_alt(df):
    tenth = df[df["direction"] == 10].set_index("encoder")["singular value"]
    return "Share of the largest singular value that the tenth still has: " + ", ".join(
        f"{name} {value:.2f}" for name, value in tenth.items()
    ) + ". The masked LM's curve falls steeply, the even cloud's hardly."


viz.Figure(
    spectra,
    {
        "kind": "lines", "x": "direction", "y": "singular value", "series": "encoder",
        "yscale": "log", "colors": COLORS, "xlabel": "principal direction",
        "ylabel": "singular value (largest = 1)",
    },
    alt=_spectrum_alt,
    label="fig-01-spectrum",
    caption="How much the embeddings of 3,000 sentences vary along each principal "
    "direction, "
    "beside a Gaussian cloud of the same size.",
)

# %% [markdown]
# In {numref}`fig-01-spectrum` a few directions carry most of the variation, so a few directions
# decide nearly every cosine; the rest of the room stands empty.
#
# Two repairs offer themselves. One turns the volume of every direction to the same level, by
# arithmetic. The other trains. We begin with the training.

# %% [markdown]
# ## The loss: find your partner
#
# Now the training signal.
# A batch has $N$ sentences $x_1,\dots,x_N$, the **anchors**, with embeddings $\mathbf h_i$.
# Each has a **positive** $x_i^+$, a sentence of the same meaning, with embedding
# $\mathbf h_i^+$.
#
# Play a game. Show anchor $i$ all $N$ positives of the batch; it has to point at its own.
# Its $N-1$ wrong choices are the **in-batch negatives**, and they cost nothing, since they are
# there anyway.
#
# Turn similarities into probabilities by a softmax, with a **temperature** $\tau>0$, and take
# the cross-entropy of the right choice:
#
# $$
# \ell_i=-\log\frac{e^{\operatorname{sim}(\mathbf h_i,\mathbf h_i^+)/\tau}}
# {\sum_{j=1}^{N}e^{\operatorname{sim}(\mathbf h_i,\mathbf h_j^+)/\tau}}
# $$ (eq-01-infonce)
#
# The loss of the batch is the mean of the $\ell_i$.
# It is known as **InfoNCE** {cite}`vandenoord2018cpc`; with cosine and temperature, in this
# form, it came to sentences by way of images {cite}`chen2020simclr,gao2021simcse`.
#
# Here is the kernel that computes it, the one that every training run of this book uses. Its
# checks and its docstring are left out:

# %%
print(listing.essential(losses.info_nce), end="\n\n\n")
print(listing.essential(losses.contrast))

# %% [markdown]
# The two lines that matter are the `logits`, all cosines of the batch divided by $\tau$, and
# the `cross_entropy`, where the right answer for row $i$ is column $i$.
# `negative` and `keep` wait for later: hard negatives come further down, the mask and the variant
# of the released code in {ref}`ch-05`. With `chunk_size` the same is computed a few rows at a time.
#
# A quick sanity check. An encoder that cannot tell its candidates apart guesses, and the loss
# of a guess among $N$ is $\log N$:

# %%
blind = torch.ones(128, 16)  # 128 sentences, one embedding
print(f"loss of a guess: {losses.info_nce(blind, blind):.3f}")
print(f"log 128:         {np.log(128):.3f}")

# %% [markdown]
# ### What the temperature does
#
# Look at the gradient. Write $p_{ij}$ for the softmax probability that anchor $i$ gives to
# candidate $j$.
# Then the loss pushes candidate $j$ away with force $p_{ij}/\tau$: the more a candidate tempts
# the anchor, the harder it is pushed.
#
# A small $\tau$ sharpens the softmax, so that only the most tempting negatives are pushed at all.
# A large one pushes everybody alike.
# We can count how many negatives are really in the game: if $q_{ij}$ are the probabilities of
# the negatives alone, scaled to sum 1, then $\exp(-\sum_j q_{ij}\log q_{ij})$ is the number of
# negatives that share the push, the *effective* number.

# %%
def in_the_game(cosine, tau):
    """Effective number of negatives, mean over anchors; cosine (N, negatives)."""
    q = (cosine / tau).softmax(dim=1)
    return torch.exp(-torch.special.xlogy(q, q).sum(dim=1)).mean().item()


rows = []
trained = models.load_encoder("pocket/simcse-unsup-bert")  # we shall train one soon
for name, encoder in {"masked LM": masked_lm, "unsupervised": trained}.items():
    x = torch.tensor(encoder.encode(sentences[:256]))
    x = torch.nn.functional.normalize(x)
    for tau in (0.003, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0):
        negatives = in_the_game(x[:128] @ x[128:].T, tau)
        rows.append((name, tau, negatives))
temperature = pd.DataFrame(rows, columns=["encoder", "temperature", "negatives"])

# %% tags=["hide-input"]
def _temperature_alt(df):
    near = df[df.temperature == 0.05].set_index("encoder").negatives
    return (
        "Two rising curves, from about one negative at the lowest temperature to all "
        "128 at 1. "
        "At 0.05: "
        + ", ".join(f"{name} {value:.0f}" for name, value in near.items()) + "."
    )


viz.Figure(
    temperature,
    {
        "kind": "lines", "x": "temperature", "y": "negatives", "series": "encoder",
        "xscale": "log", "markers": True, "colors": COLORS,
        "xlabel": "temperature $\\tau$", "ylabel": "effective negatives of 128",
        "vlines": [{"at": 0.05, "label": "$\\tau=0.05$"}],
    },
    alt=_temperature_alt,
    label="fig-01-temperature",
    caption="How many of 128 in-batch negatives share the push, by temperature, "
    "before and after "
    "training without labels. The line marks the $\\tau$ of SimCSE and of this book.",
)

# %% [markdown]
# In the cone all cosines are nearly alike, so at $\tau=0.05$ the push is spread over dozens of
# negatives ({numref}`fig-01-temperature`, the masked LM). Once the space has opened, a handful
# take it all, the most tempting ones: the loss sets harder exercises as the encoder learns.

# %% [markdown]
# ## Alignment and uniformity
#
# {numref}`fig-01-circle` suggested two things to measure. Wang and Isola made them precise
# {cite}`wang2020understanding`. On the sphere, that is with all $\mathbf h$ scaled to length
# one,
#
# $$
# \ell_{\text{align}}=\mathop{\mathbb E}_{(x,x^+)}\lVert \mathbf h-\mathbf h^+\rVert^2
# $$ (eq-01-alignment)
#
# is the mean squared distance of sentences that mean the same, and
#
# $$
# \ell_{\text{uniform}}=\log\mathop{\mathbb E}_{x\neq y}\,
# e^{-2\lVert\mathbf h_x-\mathbf h_y\rVert^2}
# $$ (eq-01-uniformity)
#
# is the logarithm of the mean *potential* between two different sentences, as if each carried a
# charge that fades with distance.
# Of both, less is better: partners closer, crowd thinner.
#
# The kernels are `evaluation.alignment` and `evaluation.uniformity`:

# %%
for kernel in (evaluation.alignment, evaluation.uniformity):
    print(listing.essential(kernel), end="\n\n")

# %% [markdown]
# Neither is worth much alone.
# Map every sentence to one point: alignment is perfect. Scatter all sentences at random:
# uniformity is perfect.
# The pair tells the story, and InfoNCE is the sum of the two in disguise: for a large batch
#
# $$
# \begin{aligned}\mathbb E\,\ell_i-\log N\;\longrightarrow\;
# &-\frac1\tau\mathop{\mathbb E}_{(x,x^+)}\mathbf h^\top\mathbf h^+\\
# &+\mathop{\mathbb E}_{x}\,\log\mathop{\mathbb E}_{y}\,e^{\mathbf h_x^\top\mathbf h_y/\tau}
# \end{aligned}
# $$ (eq-01-limit)
#
# The first term is alignment, since
# $\lVert\mathbf h-\mathbf h^+\rVert^2=2-2\,\mathbf h^\top\mathbf h^+$. The second falls when
# the points spread {cite}`wang2020understanding`.
# Lowering it also presses on the largest singular value of the embeddings, which is an argument
# of {cite:t}`gao2021simcse` (§ 5): the spectrum must become flatter.
# So the loss promises to cure what {numref}`fig-01-popular` and {numref}`fig-01-spectrum`
# showed. Does it?

# %% [markdown]
# ## Train it: SimCSE without a label
#
# The loss wants pairs of the same meaning, and we have only sentences.
# SimCSE's answer is almost a joke: **the positive of a sentence is the sentence itself**
# {cite}`gao2021simcse`.
#
# It goes through the encoder twice. *Dropout* silences a random tenth of the network each time,
# so the two vectors differ a little, and the game is: recognise yourself among the others,
# whatever part of you is missing.
#
# We train from the masked LM, on unlabelled sentences of the pocket world, and stop after 5, 10,
# 20, … steps to measure where we are.
#
# **Before you look, predict.** Of both numbers less is better. Which will training without labels
# lower, alignment, uniformity, or both?

# %%
STOPS = (0, 5, 10, 20, 40, 80, 160)


def watch(train, data, settings, name):
    """Train from the masked LM; returns the encoder and its path."""
    encoder = models.load_encoder(settings.encoder, pooling=settings.pooling)
    path, steps, began = [], itertools.count(0, 5), time.perf_counter()

    def stop(encode):  # every five steps; its "score" is the step, so the last weights win
        step = next(steps)
        if step in STOPS:
            path.append({"step": step, **ch01.geometry(encode, dev)})
        return step

    stop(encoder.encode)
    train(
        encoder, data, **ch01.options(settings),
        dev=stop, eval_steps=5, seed=0, progress=False,
    )
    last = encoder.training_history[-1]["step"]
    path.append({"step": last, **ch01.geometry(encoder.encode, dev)})
    print(f"{name}: {last} steps in {time.perf_counter() - began:.0f} s")
    return encoder, pd.DataFrame(path).assign(encoder=name)


# %%
unsupervised, walk = watch(
    training.train_unsupervised_simcse, sentences, settings, "unsupervised"
)
encoders["unsupervised"] = ch01.remembered(unsupervised.encode)
walk[["step", "alignment", "uniformity", "mean_cosine"]].rename(
    columns={"mean_cosine": "mean cosine"}
).style.hide(axis="index").format(precision=3)

# %% [markdown]
# Read the table from top to bottom.
# Uniformity falls, the mean cosine of unrelated sentences goes towards zero: the cone opens, and
# most of it within the first few dozen steps.
# Alignment *rises*: when everybody moves apart, partners move apart too, since dropout never
# showed them that two different sentences can mean the same.
# ({cite:t}`gao2021simcse` find it steady with BERT, which brings a good alignment along: § 3, Fig. 2.)
#
# That is what labels could add. Let us look at a teacher who has some.

# %% [markdown]
# ### With labels: a hard negative for each anchor
#
# Corpora of *natural language inference* hold, for a premise $x_i$, a sentence that follows
# from it and one that contradicts it {cite}`bowman2015snli,williams2018mnli`.
# Supervised SimCSE takes the first as the positive $x_i^+$, the second as a **hard negative**
# $x_i^-$, and lets the anchor choose among all $2N$ of the batch:
#
# $$
# \ell_i=-\log\frac{e^{\operatorname{sim}(\mathbf h_i,\mathbf h_i^+)/\tau}}
# {\sum_{j=1}^{N}\left(e^{\operatorname{sim}(\mathbf h_i,\mathbf h_j^+)/\tau}
# +e^{\operatorname{sim}(\mathbf h_i,\mathbf h_j^-)/\tau}\right)}
# $$ (eq-01-supervised)
#
# It is the same kernel with one argument more, `info_nce(anchor, positive, negative)`.

# %%
triplets = corpora.triplets(tier.simcse_supervised.sentences, seed=0)
pd.DataFrame(triplets[:4], columns=["anchor", "positive", "hard negative"])

# %%
supervised, other_walk = watch(
    training.train_supervised_simcse,
    triplets, tier.simcse_supervised, "supervised",
)
encoders["supervised"] = ch01.remembered(supervised.encode)
walks = pd.concat([walk, other_walk], ignore_index=True)

# %% tags=["hide-input"]
def _walk_alt(df):
    ends = df.groupby("encoder").last()
    begin = df.iloc[0]
    return (
        f"Both paths start at alignment {begin.alignment:.2f}, uniformity "
        f"{begin.uniformity:.2f}. "
        + " ".join(
            f"The {name} path ends at {row.alignment:.2f}, {row.uniformity:.2f}."
            for name, row in ends.iterrows()
        )
    )


viz.Figure(
    walks,
    {
        "kind": "path", "x": "alignment", "y": "uniformity", "series": "encoder",
        "step": "step", "label": "step", "colors": COLORS,
        "xlabel": "alignment (less is better)", "ylabel": "uniformity (less is better)",
        "xlim": (0, 1.1 * walks["alignment"].max()),
        "ylim": (walks["uniformity"].min() - 0.2, 0),
        "controls": [
            {"name": "step", "type": "range", "label": "up to step", "column": "step",
             "upto": True, "value": int(walks["step"].max()), "format": "d"},
            {"name": "play", "type": "play", "of": "step", "label": "Train", "seconds": 6},
        ],
    },
    alt=_walk_alt,
    label="fig-01-path",
    caption="Two training runs in the plane of alignment and uniformity, from the "
    "masked LM (top "
    "left) on; numbers are optimiser steps. Measured on the development half of the "
    "natural set, "
    "one seed, live.",
)

# %% [markdown]
# Both runs in {numref}`fig-01-path` start in the crowded corner at the top and fall: both clear
# the space.
# They part in the other direction. Without labels the path runs far to the right: partners move
# apart with everybody else. With labels it drops almost straight: everybody moves apart, and the
# partners stay together.
#
# Dropout teaches a sentence to stand apart. Only a paraphrase teaches it whom to stand with.

# %% [markdown]
# ## Whitening: the repair without training
#
# If the trouble is a common part and a few loud directions, why train at all?
#
# Let $\boldsymbol\mu$ and $\boldsymbol\Sigma$ be mean and covariance of the embeddings of some
# unlabelled text. Write $\boldsymbol\Sigma=\mathbf U\boldsymbol\Lambda\mathbf U^\top$, with the
# principal directions as columns of $\mathbf U$ and their variances on the diagonal of
# $\boldsymbol\Lambda$. **Whitening** {cite}`su2021whitening` replaces $\mathbf h$ by
#
# $$
# \tilde{\mathbf h}=(\mathbf h-\boldsymbol\mu)\,\mathbf U\boldsymbol\Lambda^{-1/2}.
# $$ (eq-01-whitening)
#
# Afterwards the mean is zero, the covariance is the identity, and the spectrum is flat by
# construction.
# The kernel `evaluation.whitening` returns $\boldsymbol\mu$ and
# $\mathbf U\boldsymbol\Lambda^{-1/2}$.
#
# We set it beside the trained encoders, and we add an opponent that knows *nothing*: one random
# vector for each word, averaged. It sees which words two sentences share, and no more.

# %%
vectors, rng = {}, np.random.default_rng(0)


def random_words(texts):
    """Mean of one random vector a word."""
    split = [text.split() for text in texts]
    for word in (word for words in split for word in words):
        if word not in vectors:
            vectors[word] = rng.normal(size=width)
    return np.stack([
        np.mean([vectors[word] for word in words], axis=0) for words in split
    ])


encoders["random words"] = random_words
encoders["whitening"] = ch01.whitened(embed, sentences[:5000])

# %%
order = [
    "random words", "masked LM", "whitening", "unsupervised", "supervised"
]
table = pd.DataFrame({
    name: {
        **ch01.geometry(encode, dev),
        "tenth direction": spectrum(encode, sample)["singular value"][9],
        **evaluation.score_sts(encode, sts).set_index("task")["spearman"],
    }
    for name, encode in encoders.items()
}).T.loc[order]
table.rename(columns={
    "mean_cosine": "cosine", "tenth direction": "tenth",
    "natural": "natural (%)", "hard": "hard (%)",
}).style.format(precision=2).format("{:.1f}", subset=["natural (%)", "hard (%)"])

# %% [markdown]
# Read this table column by column; it is the chapter's result (one seed, live), and not quite the
# one that the papers lead us to expect.
#
# *Cosine* (the mean of unrelated pairs), *uniformity, tenth* (the singular value of the tenth
# direction, as a share of the first).
# Whitening and SimCSE both cure the anisotropy: unrelated sentences stand at right angles, and
# the spectrum is flatter. Whitening does it perfectly; nothing else is as uniform.
#
# *Natural* (Spearman). The cure is worth a few points, by either way; and the random words, which
# know nothing, do about as well as SimCSE without labels.
# ({ref}`ch-01-sure` has the intervals.)
#
# The last row, *supervised*, is *less* uniform than whitening, and far above everybody.

# %% tags=["hide-input"]
bars = (
    table[["natural", "hard"]].rename_axis("encoder").reset_index()
    .melt("encoder", var_name="set", value_name="Spearman")
)
viz.Figure(
    bars,
    {
        "kind": "bars", "x": "set", "y": "Spearman", "series": "encoder",
        "annotate": True, "format": ".1f", "colors": COLORS,
        "xlabel": "STS set", "ylabel": "Spearman (%)",
        "order": {"series": order, "x": ["natural", "hard"]},
    },
    alt=lambda df: "Spearman in percent. " + " ".join(
        f"{name}: natural {part.Spearman.iloc[0]:.1f}, hard "
        f"{part.Spearman.iloc[1]:.1f}."
        for name, part in df.groupby("encoder", sort=False)
    ),
    label="fig-01-sts",
    caption="Five encoders on two STS sets of 2,000 pairs each (one seed, live). In "
    "the hard set "
    "a high overlap of words often goes with another meaning.",
)

# %% [markdown]
# So an even space is a help and not the aim ({numref}`fig-01-sts`).
# Whitening turns *every* direction to the same volume, those that carry meaning and those that
# carry noise. An encoder that has learned which is which has much to lose by it. We can watch that
# happen: whiten the supervised one.

# %%
encode = ch01.whitened(encoders["supervised"], sentences[:5000])
repaired = evaluation.score_sts(encode, sts)["spearman"]
print(f"uniformity {table.uniformity['supervised']:.2f} → "
      f"{ch01.geometry(encode, dev)['uniformity']:.2f}")
for task, mark in zip(sts, repaired, strict=True):
    print(f"{task}: {table[task]['supervised']:.1f} → {mark:.1f}")

# %% [markdown]
# More uniform, and much worse (one seed, live; but other test pairs move such a figure by a few
# points only, as {ref}`ch-01-sure` will show).

# %% [markdown]
# ## What dropout cannot teach
#
# {numref}`fig-01-sts` has a second half, and it is the reason for this book.
# In the *hard* set many pairs share nearly all their words and contradict each other. There,
# everything that was made without labels scores about zero or below. Whoever goes by the words is no
# better than chance.
#
# Look at the cosines by kind of pair.

# %%
kinds = pd.concat(
    sts["natural"][["kind", "score"]].assign(
        encoder=name,
        cosine=ch01.cosines(encoders[name], sts["natural"]),
    )
    for name in ("unsupervised", "supervised")
)
kinds = kinds[kinds["kind"].isin(KINDS)].reset_index(drop=True)

# %% tags=["hide-input"]
viz.Figure(
    kinds,
    {
        "kind": "density", "x": "cosine", "series": "kind", "facet": "encoder",
        "colors": KINDS, "xlabel": "cosine", "xlim": (None, 1.0),
        "order": {"series": list(KINDS), "facet": ["unsupervised", "supervised"]},
    },
    alt=lambda df: "Mean cosines. " + " ".join(
        f"{name}: "
        + ", ".join(
            f"{k} {v:.2f}" for k, v in part.groupby("kind").cosine.mean().items()
        ) + "."
        for name, part in df.groupby("encoder", sort=False)
    ),
    label="fig-01-kinds",
    caption="Cosines by kind of pair. Without labels, contradictions in the same "
    "words stay above "
    "paraphrases; hard negatives turn the order round. One seed, live.",
)

# %% [markdown]
# Without labels (the first panel of {numref}`fig-01-kinds`) the unrelated have moved to zero, but
# the trouble of {numref}`fig-01-cone` has stayed: the contradiction in the same words is still
# rated above the paraphrase in other words.
# No batch of random sentences ever asked the encoder to tell *sleeping* from *running* in the
# park. The hard negatives of the second panel's encoder asked exactly this.
#
# These triplets came from the oracle, as the real ones come from people: SNLI and MNLI took
# crowds of annotators {cite}`bowman2015snli,williams2018mnli`.
# Here is the plan of the book in one sentence.
# Triplets make good encoders, people who write triplets are expensive, so *let a language model
# write them*, and find out how to make it write the right thing.

# %% [markdown]
# ## One prediction, three marks
#
# Before we compare with any paper, a trap.
#
# The yearly STS tasks come in several *parts*: headlines, captions, forum posts. There are
# three ways to turn the parts into one number, all in use
# {cite}`conneau2018senteval,gao2021simcse`:
#
# - **all**: one Spearman correlation over all pairs, thrown together;
# - **mean**: a correlation for each part, and their plain mean;
# - **wmean**: the same, weighted by the number of pairs.
#
# SimCSE reports *all*, and so do the papers of this book; earlier work often reports one of the
# means; many tables mix them {cite:p}`gao2021simcse` (Appendix B there).
#
# We take our natural set, file its pairs in four drawers by the way they arose, and write the
# drawers to disk in the layout of the real tasks. Then we evaluate with the very function that
# reads the real ones.

# %%
parts = ch01.in_parts(sts["natural"])
with tempfile.TemporaryDirectory() as folder:
    ch01.write_sts(folder, parts, task="STS12")
    marks = pd.concat(
        evaluation.evaluate_sts(encoders[name], folder, ["STS12"])
        for name in order
    )
marks["encoder"] = order
marks.set_index("encoder")[["pairs", "all", "mean", "wmean"]].round(1)

# %% [markdown]
# The same cosines and the same scores, and the marks of one encoder lie many points apart (one
# seed, live; the ledger below has three, which agree).
# A picture shows how that can be.

# %% tags=["hide-input"]
shown = ["masked LM", "unsupervised", "supervised"]
dots = pd.concat([
    pd.DataFrame({
        "encoder": encoder, "part": name, "gold": part["score"],
        "cosine": ch01.cosines(encoders[encoder], part),
    }).sample(frac=0.3, random_state=0)
    for encoder in shown for name, part in parts.items()
], ignore_index=True)


def _clouds_alt(df):
    df = df[df["encoder"] == "unsupervised"]
    rho = {
        name: 100 * spearmanr(part["gold"], part["cosine"]).statistic
        for name, part in [*df.groupby("part", sort=False), ("all", df)]
    }
    whole = rho.pop("all")
    return (
        "Four clouds of pairs, strangers low on the left, rewordings on the right. "
        "Spearman within them: "
        + ", ".join(f"{name} {value:.0f}" for name, value in rho.items())
        + f"; all together {whole:.0f}."
    )


viz.Figure(
    {"pairs": dots},
    {
        "kind": "explorer", "explorer": "aggregation",
        "controls": [{"name": "encoder", "type": "choice", "column": "encoder",
                      "value": "unsupervised"}],
        "options": {"xlabel": "similarity by the oracle"},
        "static": {
            "kind": "scatter", "data": "pairs", "x": "gold", "y": "cosine",
            "series": "part", "xlabel": "similarity by the oracle",
        },
    },
    alt=lambda data: _clouds_alt(data["pairs"]),
    label="fig-01-aggregations",
    caption="The four parts of the set under unsupervised SimCSE; three pairs in ten, so its marks "
    "are not quite the table's. "
    "*All* rewards an encoder for telling the clouds apart; the means see only the order "
    "inside each. Drag a cloud up or down by its handle, or leave a part out.",
)

# %% [markdown]
# Each part has its own range of scores ({numref}`fig-01-aggregations`). *All* sees the distance
# between the clouds; the *means* see only the order inside each cloud, where it is harder.
# Lay the clouds on one level: *all* falls below the means, and they do not move.
# Neither is wrong. They answer different questions, and their figures must never share a column.
#
# In this book every STS figure is *all* unless it says otherwise, and `evaluate_sts` prints the
# three side by side, for any encoder and any folder:
#
# ```text
# python -m synthlib evaluate --encoder pocket/simcse-unsup-bert --data DIR
# ```

# %% [markdown]
# ## What the papers claim, and what we measured
#
# In one sentence: the mechanism holds, and the place of SimCSE beside whitening does not.
#
# This chapter's own run is one seed, live. The committed measurements, over three seeds and by
# the same functions, come from `make ledger`.
#
# (ch-01-sure)=
# ### How sure is such a figure?
#
# What stands after ± is the standard deviation over the seeds.
# Where a claim compares two things, each seed's value is the *difference* of the two under that
# seed, so whatever a seed does to both cancels.
#
# With three seeds, the mean's 95 % interval reaches 2.5 such deviations to either side
# (Student's $t$: $4.30/\sqrt3$). For a gain of 4 ± 1 points it runs from 1.5 to 6.5.
# That is wide, and it is what three runs can tell; the {ref}`ledger <replication-ledger>` prints
# it in every row. Its verdict asks each seed by itself: a claim *holds* where all of them agree.
#
# The interval speaks of other seeds. Other test pairs would move a figure, too. How far, the
# *bootstrap* says: draw as many pairs from ours, with replacement, and take the difference again,
# many times. Both encoders get the same draw, so this interval is paired as well.

# %%
gold = sts["natural"]["score"]


def ahead(first, second, gold):
    """Points of Spearman that the first encoder is ahead of the second."""
    return 100 * (spearmanr(first, gold).statistic - spearmanr(second, gold).statistic)


compared, rows = encoders | {"masked LM, centred": centred}, []
for names in (
    ("supervised", "unsupervised"), ("whitening", "unsupervised"), ("unsupervised", "masked LM"),
    ("unsupervised", "random words"), ("masked LM, centred", "masked LM"),
):
    cosines = [ch01.cosines(compared[name], sts["natural"]) for name in names]
    drawn = bootstrap(
        (*cosines, gold), ahead, paired=True, vectorized=False, n_resamples=200,
        method="percentile", rng=0,
    ).confidence_interval  # fmt: skip
    over = f"{drawn.low:+.1f} to {drawn.high:+.1f}"
    rows.append((" − ".join(names), ahead(*cosines, gold), over))
pd.DataFrame(rows, columns=[
    "difference, natural set", "points", "95 % interval over pairs"
]).style.hide(axis="index").format({"points": "{:+.1f}"})

# %% [markdown]
# The closer two encoders are, the more they move together, and the narrower this interval.
# Still, a point or two on 2,000 pairs may belong to the pairs, however well three seeds agree.
# An interval that holds zero leaves open which of the two is ahead.

# %%
for claim, value in ch01.values(encoders).items():
    ledger.record(claim, value, seeds=(0,), tier=tier.name)
ledger.show(chapter=1)

# %% [markdown]
# The *mechanism* holds: the cone opens, the spectrum flattens, labels align. Two rows on the
# *marks* miss, and they belong together. In the paper unsupervised SimCSE gains twenty points
# over the averaged states of BERT and stays ten above whitening. Here it gains a few, and
# whitening gains more.
#
# Why? We can only guess, and say what speaks for the guess. BERT has read billions of words and
# knows far more than the mean of its states lets out; opening the cone lets it speak. Our
# masked LM has read a few hundred thousand captions of one small world. What it knows beyond
# the words themselves is little, as the random words show, and an even space cannot reveal what
# is not there.
#
# The lesson survives translation: contrast without labels *arranges* what an encoder knows. To
# teach it something new, we need pairs.

# %% [markdown]
# ## Exercises
#
# Write the function, run the cell below it. The check compares you with an independent
# reference and tries to name the mistake it finds.
# In the complete edition our solution is folded into the cell.
#
# ```{exercise} The loss, from its equation
# :label: ex-01-infonce
#
# *15 minutes.* Write equation {eq}`eq-01-infonce`, averaged over the batch, in numpy. Scale to
# length one, divide by $\tau$, compare along the right axis. Keep it finite for $\tau = 0.001$,
# where $e^{1/\tau}$ is not: `scipy.special.logsumexp` is imported above.
# ```

# %% tags=["solution"]
def in_batch_loss(anchor, positive, tau=0.05):
    """InfoNCE without hard negatives: anchor (N, d), positive (N, d) -> float."""
    ### BEGIN SOLUTION: the equation for one row, then the mean; stay finite
    anchor = anchor / np.linalg.norm(anchor, axis=1, keepdims=True)
    positive = positive / np.linalg.norm(positive, axis=1, keepdims=True)
    logits = anchor @ positive.T / tau  # (N, N)
    return float(np.mean(logsumexp(logits, axis=1) - np.diag(logits)))
    ### END SOLUTION


# %%
checks.ch01.in_batch_loss(in_batch_loss)

# %% [markdown]
# ```{exercise} The crowd on the sphere
# :label: ex-01-uniformity
#
# *10 minutes.* Write equation {eq}`eq-01-uniformity` for the rows of one matrix, with a factor
# $t$ in place of the 2 in the exponent. Which pairs belong to the expectation, and where does
# the logarithm go?
# ```

# %% tags=["solution"]
def log_potential(x, t=2.0):
    """Uniformity of embeddings (n, d), n >= 2 -> float."""
    ### BEGIN SOLUTION: the potential of each pair that counts, then the equation
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    squared = 2 - 2 * x @ x.T  # on the sphere
    different = ~np.eye(len(x), dtype=bool)
    return float(np.log(np.exp(-t * squared[different]).mean()))
    ### END SOLUTION


# %%
checks.ch01.log_potential(log_potential)

# %% [markdown]
# ```{exercise} White noise
# :label: ex-01-whitening
#
# *15 minutes.* Write equation {eq}`eq-01-whitening` for the rows of a matrix: return them with
# mean zero and, by `np.cov(…, rowvar=False)`, the identity as covariance. Any set of axes will
# do; the check looks at inner products only.
# ```

# %% tags=["solution"]
def whiten(x):
    """Whitened rows of x (n, d), n > d -> (n, d)."""
    ### BEGIN SOLUTION: make a mean of zero, then a covariance of one
    centred = x - x.mean(axis=0)
    variance, directions = np.linalg.eigh(np.cov(centred, rowvar=False))
    return centred @ directions / np.sqrt(variance)
    ### END SOLUTION


# %%
checks.ch01.whiten(whiten)

# %% [markdown]
# ```{exercise} Three marks
# :label: ex-01-aggregations
#
# *10 minutes.* Given the cosines of a task's pairs, their gold scores, and the name of each
# pair's part, return a dictionary with the Spearman correlations "all", "mean" and "wmean" in
# percent.
# ```

# %% tags=["solution"]
def three_ways(similarity, gold, part):
    """n cosines, n scores, n names -> {"all": …, "mean": …, "wmean": …}."""
    ### BEGIN SOLUTION: one correlation of all, one of each part, and two means
    rho, size = [], []
    for name in np.unique(part):
        inside = part == name
        rho.append(spearmanr(similarity[inside], gold[inside]).statistic)
        size.append(inside.sum())
    return {
        "all": 100 * spearmanr(similarity, gold).statistic,
        "mean": 100 * np.mean(rho),
        "wmean": 100 * np.average(rho, weights=size),
    }
    ### END SOLUTION


# %%
checks.ch01.three_ways(three_ways)

# %%
checks.progress(1)  # all checks of this chapter once more

# %% [markdown]
# Three more, without a check, for an afternoon:
#
# - *How many directions does whitening need?* `ch01.whitened(…, dims=k)` keeps the $k$
#   loudest. Draw the STS figure over $k$. How many directions does meaning need?
# - *Whiten the trained encoder.* Does it help unsupervised SimCSE as it helped the masked LM?
#   What does {numref}`fig-01-spectrum` look like for both?
# - *Turn the temperature.* Train with $\tau$ = 0.01, 0.05 and 0.5. Draw the three paths into
#   the plane of {numref}`fig-01-path` before you look at the marks, and guess them.
#
# ## Three sentences to remember
#
# 1. Contrast pulls partners together and spreads everything else: alignment and uniformity.
# 2. An even space lets an encoder show what it knows, and teaches it nothing new.
# 3. Without labels, whoever shares words is kin; it takes a paraphrase and a hard negative to
#    teach otherwise.
#
# ```{quiz} 1
# ```
#
# ## What to read next
#
# - {cite:t}`gao2021simcse` is the paper behind this chapter: short, clear, and the base of all
#   three methods of the book. Read § 5 and § 7 with your own figures beside them.
# - {cite:t}`wang2020understanding` prove what {numref}`fig-01-circle` shows: the loss wants
#   alignment and uniformity, and in the limit gets them.
# - {cite:t}`li2020bertflow` and {cite:t}`su2021whitening` repair anisotropy after the fact.
# - {cite:t}`reimers2019sbert` made BERT a useful sentence encoder with labels: mainly by
#   classifying pairs of NLI, without in-batch negatives.
#
# The next chapter opens the laboratory: the world that these sentences describe, and the small
# models that will write, judge and be taught.
