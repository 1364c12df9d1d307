# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch-15)=
# # Ranking sentences in the field
#
# In {ref}`chapter 10 <ch-10>` our own small model rewrote captions again and again, and an oracle
# told us how much of each was left.
#
# Here the model is one that anybody can download, and the captions are plain English. Nobody taught
# it to write lists. No oracle says whether a sentence is one.
#
# The method is the same {cite}`he2025ranking`: write each sentence from the last two, verify the
# list, refine a teacher's similarities by the list's order, train an encoder on what comes out. And
# we ask again what the pocket world left open: does an encoder that is already good gain anything?
#
# **You will be able to**
#
# - read a ranking list of a real model, and say where it stops being one;
# - choose a prompt on some sentences, and report on others;
# - tell a list that is in order from one that stands still, and a far sentence from nonsense;
# - post-train a real encoder in a minute, and say what its teacher brought and what the lists did.
#
# **Time and memory.** On the tier `laptop` about a minute of one processor core and 2 GB of
# memory, once 180 MB of models are there (`python -m synthlib models get laptop`; no account is
# needed). On `colab` and `paper` the same cells write and train with that tier's models; how long
# that takes we have not measured. What needs scores of people, the table of gains on STS, is
# recorded for `laptop` alone.

# %%
TIER = "laptop"  #@param ["laptop", "colab", "paper"]

# %%
import synthlib

synthlib.preflight(TIER)

# %%
import numpy as np
import pandas as pd
from IPython.display import display

from synthlib import checks, ledger, tiers, viz
from synthlib.experiments import ch10, ch13, ch15, field
from synthlib.viz import explorers

pd.set_option("display.max_colwidth", None)
settings = tiers.get(TIER).ranking
generator = field.load("generator", settings)
teacher = field.load("teacher", settings)
ruler = ch13.encode(teacher)

# %% [markdown]
# ```{admonition} Live and recorded
# :class: note
# A real model needs up to a second for a sentence, and our figures count thousands. On the tier
# `laptop` the lists were written once, by `make field`, and are kept in `data/field/recorded`
# with the model's name, the seeds and the processor. The cells below write a few of them again,
# live, and compare. On the other tiers nothing is recorded, and what is shown was written there.
# ```

# %%
table = field.recorded("15-lists") if TIER == "laptop" else ch15.lists(
    generator, ruler, settings, 0, ch15.LISTS[TIER]
).assign(seed=0)
seeds = sorted(set(table["seed"]))
print(f"{len(table)} lists: {ch15.LISTS[TIER]} captions, {len(ch15.WAYS)} ways, seeds {seeds}")

# %% [markdown]
# ## Three lists, whole
#
# Before any figure: what does a list look like? Here are those of the first three captions, as the
# model wrote them at the paper's $\lambda=0.5$. Nothing is left out. Behind each sentence stands its
# cosine to the first one, the **anchor**. The encoder that measures it, all-MiniLM-L6-v2 on this
# tier, is our ruler in this chapter.

# %%
ours = table.query("seed == 0 and method == 'directional' and lam == @settings.lam")
said = ch15.sentences(ours)
three = [said[said["list"] == number].reset_index(drop=True) for number in (0, 1, 2)]
pd.concat({
    f"list {number}": one["sentence"] + one["cosine"].map(" [{:.2f}]".format)
    for number, one in enumerate(three, 1)
}, axis=1).fillna("")

# %% [markdown]
# Read the first column downwards. Each step is small: the lecture is watched, then watched on
# television, then it is a show, and later a sport on a screen. So far that is a ranking list, by a
# model that nobody taught to write one. Only the end, a television that is *played with a screen*, says
# nothing any more.
#
# The second list says six times that a ladder is being climbed using a rope. In the third a woman
# is eating a banana *by the man who is slicing it*. So a list can fail in two ways: it says the same
# again, or what it says makes no sense.
#
# **Before you go on, predict.** Here $\lambda$ was 0.5, the paper's, whose model has sixty times as
# many parameters. We also tried 0, 1 and 1.5. Which of the four brings lists farthest from their
# anchor? Which repeats least? And which has the best order? Write your answers down.
#
# (ch-15-prompt)=
# ## How to ask
#
# The paper's prompt is a request in English ({ref}`prompts-page` has it): write the sentence in
# other words, and keep its meaning. How a small model is to be handed that request, the paper does
# not have to say. We tried four ways:
#
# - *chat, the paper's words*: one turn of the model's own chat template;
# - *chat, eight rewritings*: eight worked turns before it, each a caption and the same in other
#   words (`data/field/rewritten.csv`);
# - *text, eight rewritings*: the same eight as a plain text, which the model continues by a line;
# - *text, six entailments*: a plain text again, whose answers follow from the caption and leave
#   something out.
#
# All four are sampled at temperature 0.5, with $\lambda=0.5$. The rewritings as a text we also tried
# greedily, as the paper decodes, and with $\lambda=1.5$. Each way wrote four lists of eight
# sentences a seed; each of the three seeds draws its own four anchors.
#
# These come from the first 40 of the book's 120 captions. **All that this page reports below is
# written from the other 80.** Whoever chooses and reports on the same sentences reports the luck of
# the choice, too ({ref}`exercise 3 <ex-15-fair>`).

# %%
tried = field.recorded("15-forms") if TIER == "laptop" else ch15.forms(
    generator, ruler, settings, 0
).assign(seed=0)
ch15.choice(tried)

# %%
first = tried.query("seed == 0 and list == 0").set_index("method")["sentences"].str.split("\n")
pd.DataFrame({"anchor": first.str[0], "then": first.str[1], "and then": first.str[2],
              "last": first.str[-1]}).rename_axis("asked by")

# %% [markdown]
# The first table has means over the seeds, and their range; the second one list of each way. `order` is
# Spearman's correlation of a sentence's place and its distance from the anchor, the mean over whole
# lists. `order of what is new` takes each list up to its first repetition, if four sentences come
# before.
#
# **As a chat** the model mostly begins with the anchor again, with *a* turned into *the* at most. Then
# the last two sentences are one, both contexts of {eq}`eq-10-direction` are the same, and no $\lambda$
# has anything to push. That is chapter 10's fixed point, met at the first step. Where a list does move,
# in the paper's words, it often begins to speak of its task: *The sentence is both entailment and a
# verb, serving as an example …*
#
# **Greedily** at $\lambda=0.5$ three sentences of four repeat an earlier one, on every seed, and the
# order is the lowest of all.
#
# **Entailments** get a list going, and on every seed it goes farthest; but it loses what the caption
# said. *A woman in a green coat is waiting for the bus* ends as *Somebody is sitting*. The examples have
# shown how to leave things out.
#
# **Rewritings and a little temperature** go step by step. On the four lists of the first seed they have
# the best order of the seven, 0.84, and so the tier `laptop` asks this way. Its $\lambda$ is the
# paper's. The temperature is not: the paper decodes greedily.
#
# Was that a good choice? The other two seeds came later, and can say. There the same way of asking has an
# order of 0.75 and 0.34, and is third and fifth of the seven. Over all seeds $\lambda=1.5$ has the better
# order, and so has the chat in the paper's words, of which no list brings four new sentences. **The order
# of four lists is luck for the most part**, and we have chosen by it.
#
# Some of it holds on every seed. A little temperature repeats less than greedy decoding, and has the
# better order at $\lambda=0.5$. A larger $\lambda$ repeats less and leads farther, sampled or not. And a
# chat hardly gets a list going: one of its 24 brings four new sentences, of the twelve sampled
# rewritings at $\lambda=0.5$ four do.
#
# We leave the tier as it was chosen: what follows is of other captions, and free of the luck of the choice.
#
# ## A few of them again, live
#
# Here the model of this tier writes the beginnings of two lists while you wait.

# %%
if generator is None:
    print("No generator here: the page goes on with the recording.")
else:
    known = [one["sentence"].tolist() for one in three[:2]]
    again = ch15.write(generator, [one[0] for one in known], settings, "directional", settings.lam,
                       steps=4, seed=0)
    for one, now in zip(known, again, strict=True):
        same = sum(a == b for a, b in zip(one[1:], now[1:], strict=False))
        print(*now, f"-> {same} of {len(now) - 1} as in the list above\n", sep="\n")

# %% [markdown]
# The sampling has a seed, so the same sentences come again. If one differs on your machine, two words
# were nearly equally probable, and your processor adds in another order.
#
# ## Four heatmaps
#
# The paper's Fig. 1, in the field: mean similarity of sentences $i$ and $j$ of a list, for four ways
# to come by one. *Drawn from a batch* are other captions. *Whole list at once* has the paper's prompt
# for it, with its own example. *Step by step* and *directional* see the same eight rewritings. All
# that is written is sampled at the same temperature.

# %% tags=["hide-input"]
drawn = field.recorded("15-pictures") if TIER == "laptop" else ch15.pictures(
    table.drop(columns="seed"), ruler
).assign(seed=0)
explorers.heatmaps(
    ch15.heatmap_tables(table, drawn, settings), low=0.2, lam=settings.lam,
    decoding=ch15.decoded(settings),
    source="the recording" if TIER == "laptop" else "this run",
    number=f"{len(seeds)} seed{'s' * (len(seeds) > 1)} of {ch15.LISTS[TIER]} lists",
    label="fig-15-heat",
    caption="Similarities within lists of real sentences, by all-MiniLM-L6-v2 on the tier laptop. "
    "Means over all lists with 16 sentences; choose *list n alone*, and point at a cell (or go "
    "there with the arrow keys) to read its two sentences. The strip below each picture tells step "
    "by step whether the similarity to the first sentence falls; ▲ where it does not.",
)

# %% [markdown]
# Choose *list n alone* in {numref}`fig-15-heat`, and point at cells. Four things to see:
#
# - *Drawn from a batch* has no order, here as everywhere.
# - *At once* is hardly a list. Most of what the model writes is not about the anchor at all: it recites
#   the kind of instruction that it was trained on ("Your answer must contain exactly 3 bullet
#   points"). Eleven of eighteen lists stop early, so this heatmap has few in it. We also asked for
#   three lists in the model's chat template. None came.
# - *Step by step* has large squares: the same sentence again and again.
# - *Directional* has squares too, but smaller ones, and it fades more towards the corners.
#
# ## λ
#
# Prompt and anchors stay, and only $\lambda$ changes.

# %% tags=["hide-input"]
found = ch15.summary(table)
sweep = found[found["method"] == "directional"]
shown = {"distance": "distance of the last", "repeated": "repeated sentences (%)",
         "order": "order (Spearman)", "lent": "words of the prompt's examples (%)"}
views = {what: sweep[["lam", "seed", name]].rename(columns={name: what})
         for name, what in shown.items()}


def _sweep_alt(tables):
    parts = []
    for what, rows in tables.items():
        by = rows.groupby("lam")[what].mean()
        parts.append(f"{what}: " + ", ".join(f"λ {lam:g} {v:.2f}" for lam, v in by.items()))
    return "Four charts against lambda, means over the seeds. " + "; ".join(parts) + "."


line = {"kind": "lines", "x": "lam", "band": "range", "markers": True, "xlabel": "λ",
        "ylabel": ""}
viz.Figure(
    views,
    {"kind": "panels", "columns": 2, "height": 2.6, "panels": [
        {**line, "data": what, "y": what, "title": what} for what in views]},
    alt=_sweep_alt, label="fig-15-lambda",
    caption="What λ does to the lists of a small real model. Bands span the seeds. *Distance* is "
    "1 − cosine to the anchor; *order* is of whole lists as written; the fourth panel counts "
    "sentences with three words in a row that stand in a worked example and in no caption.",
)

# %% tags=["hide-input"]
names = {"order": "order", "left": "with four new %", "repeated": "repeated %",
         "distance": "distance of the last", "straight": "straightness", "kept": "kept %"}
numbers = ch15.spread(found.assign(method=found["method"].map(ch10.METHODS)), names)
numbers.rename_axis(["", "λ"]).style.format_index("{:g}", level="λ", na_rep="")


# %% tags=["hide-input"]
lost = ch15.dropped(table)
lost["way"] = lost["method"].map(ch10.METHODS) + lost["lam"].map(
    lambda lam: "" if np.isnan(lam) else f", λ = {lam:g}")
total = lost.groupby(["way", "seed"])["lists"].transform("sum")
lost["percent"] = 100 * lost["lists"] / total
mean = lost[lost["method"] != "in-batch"].pivot_table(
    index=["way", "seed"], columns="reason", values="percent", fill_value=0
).groupby(level=0, sort=False).mean().stack().rename("percent").reset_index()
reasons = [r for r in (*ch10.PASSED, "degenerate tail", "incomplete", "newline")
           if r in set(mean["reason"])]


def _lost_alt(df):
    parts = [f"{way}: " + ", ".join(f"{r.reason} {r.percent:.0f}" for r in rows.itertuples()
                                    if r.percent >= 0.5)
             for way, rows in df.groupby("way", sort=False)]
    return "Percent of lists by what verification does to them. " + "; ".join(parts) + "."


viz.Figure(
    mean,
    {"kind": "bars", "x": "way", "y": "percent", "series": "reason", "stacked": True,
     "horizontal": True, "height": 2.8, "xlabel": "lists (%)", "ylabel": "",
     "order": {"series": reasons}},
    alt=_lost_alt, label="fig-15-dropped",
    caption="What the released verification does to the lists, mean over the seeds: it drops those "
    "whose last or last but one sentence occurs three times, and unfinished ones.",
)

# %% [markdown]
# Now compare with your answers.
#
# **Distance** grows with $\lambda$ up to 1, on every seed, and **repetition** falls from 0.5 on. That is
# the push of {eq}`eq-10-direction`, as in the pocket world.
#
# **Order** is another matter. At 0.5 it is 0.77 on average, the best of the four on two seeds of
# three. At 1.5 it is 0.67, and anything from 0.52 to 0.81. We think that such a list is soon as far away
# as it can be, and that what follows strays about.
#
# And *step by step*, with no direction at all, has an order of 0.69. How can that be? It repeats 63 %
# of its sentences. **A list that takes three steps and then stands still is in order**: nothing in
# it comes nearer again. So order cannot tell a list that moves from one that stands. The
# directional lists are better ordered on every seed, but by less than a tenth. The claim's bar in the
# ledger is 0.15, so this is a miss.
#
# What tells them apart is the second column of the table: how many lists bring four new sentences
# before they first repeat one. Step by step one in nine does, at 1.5 two in three. At $\lambda=0.5$ it is
# one in four, as without direction at $\lambda=0$, and from none of six to four of six by seed.
#
# **Verification** sees little of all this. It asks whether a list goes round at its end
# ({numref}`fig-15-dropped`). Lists that stray far pass more often: 61 % of those at 0.5 (from 33 to 100
# by seed), 89 % of those at 1.5.
#
# And it does not read. Our own rule on the text finds no broken sentence at 0.5, and 3 % at 1.5.
# Read the lists, and you find more. By our own reading most of the eighteen at 0.5 hold a sentence
# that nobody would write: *A boat is rowing a group of three women. A banana is being eaten by a
# banana. A city is circling a car.* They have the form of sentences, and the form is all that a rule
# can see.
#
# ### Is the ruler right?
#
# All distances of this page are an encoder's. Would a person say the same? An author read 200 pairs of
# sentences, each pair from one list, knowing neither the way of writing nor the places nor the
# cosines, and said which one is nearer to the anchor (the rule stands in
# `data/field/labelling.md`).

# %%
read = ch15.by_hand(table) if TIER == "laptop" else pd.DataFrame()  # pairs of the recorded lists
read.index = [
    method.replace("_", " ") + ("" if np.isnan(lam) else f", λ = {lam:g}")
    for method, lam in read.index
]
read.rename(columns={
    "none": "no statement (%)", "alike": "alike (%)", "encoder": "encoder agrees (%)",
    "place": "place agrees (%)",
}).style.format(precision=0, na_rep="–")

# %% [markdown]
# Where the reader could decide, the encoder nearly always says the same, 98 times in a hundred. And the
# earlier of the two sentences is the nearer one, 96 times in a hundred. So what our ruler calls far is far.
#
# Mind how often the reader could not. Half of the pairs are no pair to compare: one of the two
# says nothing, or they are equally near. Of lists written at once hardly a line is a statement, and at
# $\lambda=1.5$ every third pair has a sentence that is none. A cosine is computed for these all the same.
#
# ### Where do lists go?
#
# Here are the last sentences of the first seed's lists at $\lambda=1.5$.

# %%
led = ch15.sentences(table[table["method"] == "directional"])
far = led[(led["lam"] == 1.5) & (led["seed"] == 0)].groupby("list")["sentence"]
far.agg(["first", "last"]).style.hide(axis="index")

# %% [markdown]
# Why do so many of them cut and eat? Nobody touches an onion in the eighty captions from which our
# anchors are drawn, and nothing in them is red. Both come from the prompt. One of its eight worked
# examples is *A woman is slicing a red onion*. So we count, over all sentences after the anchors:

# %% tags=["hide-input"]
after = led[led["position"] > 0]
traces = pd.DataFrame({
    "λ": after["lam"].map("{:g}".format), "seed": after["seed"],
    "three words in a row of an example": after["lent"],
    "the word red": after["sentence"].str.contains(r"\bred\b", case=False),
    "the word being": after["sentence"].str.contains(r"\bbeing\b", case=False),
})
share = (100 * traces.groupby(["λ", "seed"]).mean()).groupby("λ")
mean, low, high = (part.map("{:.0f}".format) for part in (share.mean(), share.min(), share.max()))
(mean + " (" + low + " to " + high + ")").T.rename_axis("percent of the sentences")

# %% [markdown]
# (Three words count that stand in a row in an example, and in no caption.)
#
# By three words in a row the examples come back more often at 1.5 than at 0.5 on two seeds, and less
# often on the third. The one word *red* is a finer trace. Without direction it never comes. From
# $\lambda=1$ on it stands in every sixth or seventh sentence.
#
# We think that it has to be so. Eq. {eq}`eq-10-direction` takes away what the sentence before made
# probable. What both prompts have in common is never taken away, and that is the examples. A list that is
# pushed away from all that was said ends in what was always there.
#
# *Being* is a trace of another kind: *A banana is being eaten by a monkey.* No caption has the word,
# and two of the eight worked answers do. It comes at every $\lambda$, most of all at 0. As in
# {ref}`chapter 13 <ch-13>` the model takes over the style of its examples.
#
# ## The path
#
# The paper's Fig. 2 again, with real paths: all sentences of one anchor's lists, in the plane in
# which they vary most.

# %% tags=["hide-input"]
explorers.trajectories(
    ch15.path_tables(table, drawn, settings), lam=settings.lam,
    decoding=ch15.decoded(settings), label="fig-15-paths",
    caption="Sixteen sentences of one anchor, step by step and with direction, in the plane in "
    "which the anchor's lists vary most, and their similarity to the anchor. Press *Play*, and "
    "read the sentences as they pass. One scale for all $\\lambda$.",
)

# %% [markdown]
# Step by step the path soon comes to rest. With a large $\lambda$ it goes out, and then it wanders.
# *Straightness* is the net distance over the travelled one, of lists with at least eight moves. In
# the paper direction makes the path straighter. Here it is 0.33 step by step and 0.30 at
# $\lambda=0.5$, with another sign from seed to seed: we find no difference.
#
# (ch-15-training)=
# ## What an encoder learns from them
#
# Now the second half of the method. The lists' order refines a teacher's similarities, and ListMLE
# teaches them to an encoder ({ref}`chapter 11 <ch-11>` has the equations). Two encoders take part.
#
# - **Two layers**: the first two of the six layers of all-MiniLM-L6-v2, with mean pooling. It is an
#   encoder cut short, and has room to gain.
# - **all-MiniLM-L6-v2** itself, which is good, and our ruler.
#
# Verification would leave too few lists, so they are cut to their distinct sentences. First a training that you can
# watch: the weak encoder, its own teacher, on the lists of one seed. It is examined on lists
# {ref}`from other captions <ch-15-prompt>`: how many of their pairs stand the wrong way round in
# its eyes?

# %%
laptop = TIER == "laptop"
base = field.load("encoder", settings, name=ch15.WEAK if laptop else None)
rows = ch15.to_train_on(table[table["seed"] == 0], settings.lam)
unseen = ch15.to_train_on(tried, ch15.FORMS[ch15.CHOSEN][3], ch15.CHOSEN)
if base is None:
    print("No encoder here: the page goes on with the recording.")
elif not (rows and unseen):
    print("No list here has four distinct sentences: there is nothing to train on.")
else:
    rate = ch15.RATES[ch15.WEAK] if laptop else settings.learning_rate
    trained = ch15.post_train(base, rows, ch13.encode(base), settings, learning_rate=rate)
    for name, encoder in (("before", base), ("after", trained)):
        print(f"{name}: {ch15.misorder(ch13.encode(encoder), unseen):.1f} % of the pairs of "
              f"{len(unseen)} unseen lists stand the wrong way")
    print(f"trained on {len(rows)} lists, {sum(map(len, rows))} sentences")

# %% [markdown]
# That is what the training asks for: the order of lists. On `laptop` it hardly changes, for six lists
# say little about others. Whether it is what a reader of sentences wants, only people can say. STS-B and SICK hold pairs that people have scored. Their sentences may
# not travel with this book, so these trainings are recorded (`make field DATA=…`).
#
# Five trainings differ in what they learn from: the lists (*full*), the same lists in random order,
# their order alone, the teacher alone, and as many sentences that people wrote, in lists of three
# (a sentence, one that follows, one that contradicts). Each takes as many steps.
#
# The figure has their gains, and the table each set apart; *misorder* is the percent of pairs of the
# ten unseen lists that stand the wrong way.

# %% tags=["hide-input"]
def _gains_alt(df):
    return "Gain in Spearman points, mean of the seeds. " + " ".join(
        f"{base}: " + ", ".join(f"{arm} {part[part['arm'] == arm]['gain'].mean():+.1f}"
                                for arm in part["arm"].unique()) + "."
        for base, part in df.groupby("base", sort=False))


def gains_figure(runs):
    """Mean gain on the STS tasks, by arm and base."""
    gains = ch15.gains(runs).query("task != 'misorder'")
    per = gains.groupby(["base", "arm", "seed"], sort=False)["gain"].mean().reset_index()
    arms = [arm for arm in ch15.ARMS if arm in set(per["arm"])]
    return viz.Figure(
        per[["arm", "gain", "base", "seed"]],
        {"kind": "bars", "x": "arm", "y": "gain", "series": "base", "horizontal": True,
         "annotate": True, "format": "+.1f", "xlabel": "gain over the base (points of Spearman)",
         "ylabel": "", "order": {"x": arms, "series": list(dict.fromkeys(per["base"]))}},
        alt=_gains_alt, label="fig-15-gains",
        caption="What post-training does to real encoders: mean of STS-B and SICK (250 pairs of "
        "each development half), after minus before. Whiskers span the seeds.",
    )


runs = field.recorded("15-training") if TIER == "laptop" else None
gains_figure(runs) if runs is not None else "recorded for the tier laptop alone"

# %% tags=["hide-input"]
def gains_table(runs):
    """Every base's marks before, and what each arm adds, with the range of the seeds."""
    before = runs[runs["arm"] == "before"].pivot_table(
        index=["base", "arm"], columns="task", values="value", sort=False)
    by = ch15.gains(runs).groupby(["base", "arm", "task"], sort=False)["gain"]
    gain = (by.mean().map("{:+.1f}".format) + " (" + by.min().map("{:+.1f}".format) + " to "
            + by.max().map("{:+.1f}".format) + ")").unstack()
    return pd.concat([before.map("{:.1f}".format), gain]).sort_index(
        level="base", sort_remaining=False, kind="stable")


if runs is not None:
    display(gains_table(runs))

# %% [markdown]
# **The weak encoder gains**, 1.2 points on average and 0.6 to 2.2 by seed. All of that is on STS-B;
# on SICK it loses half a point in the mean. Lists in random order give less on every seed, so their
# order has a part in it. The order *alone*, with no similarities beside it, gives even more on every seed, half
# a point on average. In the paper it gives less.
#
# **The teacher matters more.** With all-MiniLM-L6-v2 as its teacher the weak encoder gains 2.7
# points, and on both sets. The teacher alone gives as much: the lists' order adds one to six hundredths of a
# point. That is above zero on every seed, and of no use. Trained in bfloat16 in place of float32, which
# nobody would call another method, one of the three falls below zero.
#
# **People's lists do harm**, nearly a point. One may guess why: a contradiction tells of the same
# scene in the same words, and the order puts it last. We have not tested that.
#
# **Does a strong base gain?** No. all-MiniLM-L6-v2 loses a seventh of a point, a little on every
# seed. Even the number that was trained becomes worse: in the ten unseen lists 24.8 % of the pairs
# stand the wrong way before, and 26.0 % after, more on every seed (lists in random order and people's
# leave it as it was). We think that it reads sentences better than the small writer writes them, so the
# writer's order has nothing to tell it. The paper's MultiCSR encoders gained 0.2 to 0.7 points, its
# SynCSE encoders −0.1 to 1.0.
#
# Mind the size. Each of these trainings has six lists and twelve steps, where the paper has 16,000
# lists; and its writer is sixty times as large. What more or better lists would do was not measured.

# %% [markdown]
# ## What changed against the pocket world
#
# | | pocket world | in the field |
# |---|---|---|
# | how to ask | the model was taught to write lists | worked rewritings and a little temperature; else lists stand still |
# | order: directional less step by step, both sampled | −0.08 | 0.07: a list that stands still is in order, too |
# | order: $\lambda=1.5$ less $\lambda=0$ | 0.45 | 0.04, and below zero on two seeds of three |
# | where far lists go | they stay among captions: the model knows nothing else | often into the prompt's own examples |
# | directional outputs are sentences | nearly all, says the oracle | all at $\lambda=0.5$, says a rule that sees the form alone |
# | lists that pass verification | 37 % | 61 %, from 33 to 100 by seed |
# | a weak encoder that teaches itself | +4.7 points | +1.2 points |
# | a strong one | +0.3 points, below zero on one seed of three | −0.1 points, on every seed |
#
# ## What the paper says, and what we found
#
# In one sentence: $\lambda$ pushes real lists away from their anchor, *order* hardly shows it, and
# post-training on them lifts a weak encoder and not a strong one.

# %%
ledger.show(chapter=15)

# %% [markdown]
# ## Exercises
#
# Write the function, run the cell below it. The check compares you with an independent reference and
# tries to name the mistake it finds.
#
# ```{exercise} Said before
# :label: ex-15-repeated
#
# *Easy, 10 minutes.* Given a list, the anchor first, return which share of the sentences after the
# anchor has been said before, by the anchor or by any other. Capitals do not count, nor how many
# blanks stand around words; punctuation does. The list has two sentences or more.
# ```

# %% tags=["solution"]
def repeated(sentences):
    """n sentences -> share of the last n - 1 in [0, 1]."""
    ### BEGIN SOLUTION: fold each sentence, and count those that a set already holds
    said, times = set(), 0
    for sentence in sentences:
        plain = " ".join(sentence.casefold().split())
        times += plain in said
        said.add(plain)
    return times / (len(sentences) - 1)
    ### END SOLUTION


# %%
checks.ch15.repeated(repeated)

# %% [markdown]
# ```{exercise} Misorder
# :label: ex-15-misorder
#
# *Easy, 10 minutes.* You get the similarities of a list's sentences to its anchor, in the order of
# the list, without the anchor's own. Return the share of all pairs in which the later sentence is
# the more similar one. This is one row of the number that the training above was examined by.
# ```

# %% tags=["solution"]
def misorder(similarities):
    """n similarities, n ≥ 2 -> share of the n (n - 1) / 2 pairs in [0, 1]."""
    ### BEGIN SOLUTION: compare every sentence with all later ones
    s = np.asarray(similarities, dtype=float)
    wrong = np.triu(s[:, None] < s[None, :], 1).sum()
    return float(wrong / (len(s) * (len(s) - 1) / 2))
    ### END SOLUTION


# %%
checks.ch15.misorder(misorder)

# %% [markdown]
# ```{exercise} A fair score
# :label: ex-15-fair
#
# *Easy, 5 minutes.* Some settings were tried on some sentences, and scored on others that were kept
# apart. You get both scores of each setting, as two dictionaries (the order of their keys may
# differ; no two were tried with the same score). Choose the best setting, and return the score that
# you may report.
# ```

# %% tags=["solution"]
def fair_score(tried, kept_apart):
    """Two dicts, setting -> score -> the score to report."""
    ### BEGIN SOLUTION: choose by the one, report from the other
    best = max(tried.values())
    (chosen,) = [name for name, score in tried.items() if score == best]
    return kept_apart[chosen]
    ### END SOLUTION


# %%
checks.ch15.fair_score(fair_score)

# %%
checks.progress(15)  # all checks of this chapter once more

# %% [markdown]
# Two more, without a check:
#
# - *Other examples.* Write eight rewritings of your own, about one trade, a kitchen or a court, and
#   let lists run at $\lambda=1.5$ (`prompts.rewritten` says where they are read). Where do they end?
# - *Your own sentences.* `python -m synthlib run ranking --tier laptop --premises FILE` does all of
#   this with the sentences of a file. `--dry-run` says beforehand how long it will take.
#
# ## Three sentences to remember
#
# 1. A list needs a first step before it can have a direction; worked examples and a little
#    temperature give it one, and what the examples look like comes back.
# 2. $\lambda$ brings distance and takes repetition away; order proves neither, for a list that
#    stands still is in order.
# 3. A good teacher lifts a weak encoder; a strong encoder learns nothing from six lists of a small
#    writer.
#
# ```{quiz} 15
# ```
#
# ## What to read next
#
# - {doc}`/notebooks/10_directional_decoding` and {doc}`/notebooks/11_refined_similarity` have the
#   equations, and the same questions with an oracle.
# - {cite:t}`he2025ranking`, Fig. 1 and Table 5, with {numref}`fig-15-heat` beside it.
