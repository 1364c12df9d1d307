# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch-09)=
# # Adaptive rounds
#
# {ref}`ch-07` made a reward out of two judges: one says whether an answer is right, the other how hard it
# is. {ref}`ch-08` tuned a generator towards it.
#
# Nobody needs a tuned generator. We want a better *encoder*.
# So the generator writes, the discriminator filters, the encoder is trained on what is left. Then it is a
# better encoder, and a better judge of what is hard; and the generator is tuned again.
#
# That is ART, adaptive reinforcement tuning {cite}`xu2024art`. This chapter turns the wheel three times,
# and puts beside every result what a generator that was never tuned achieves, if it may write just as
# much and passes through the same filter.
#
# **You will be able to**
#
# - run a round of ART, stage by stage, and say what each stage hands to the next;
# - build the control that such a method needs: the same filter, the same number of texts;
# - tell better *answers* from better *data*, and better data from a better encoder;
# - read the paper's five tables against that control;
# - say where tuning pays, and where a filter does the same for nothing.
#
# **Time and memory.** On the pocket tier two to three minutes on one processor core, nearly all of it for one
# round, and less than 2 GB of memory. Nothing is downloaded. Three rounds with their
# control took 8 minutes and more on one core of a busy machine; those of three seeds come from `make ledger`.

# %%
import synthlib

synthlib.preflight()

# %%
import time

import numpy as np
import pandas as pd

from synthlib import checks, ledger, listing, models, tiers, viz
from synthlib.methods import art
from synthlib.experiments import ch09
from synthlib.world import corpora
from synthlib.world.report import outcome

pd.set_option("display.max_colwidth", None)

# %% [markdown]
# ## The idea, with one picture

# %% tags=["hide-input"]
viz.Figure(
    [
        {"source": "anchors", "target": "generator", "what": "ask"},
        {"source": "generator", "target": "answers", "what": "2 · write"},
        {"source": "answers", "target": "triplets", "what": "filter"},
        {"source": "triplets", "target": "encoder", "what": "3 · train"},
        {"source": "encoder", "target": "generator", "what": "1 · PPO: right, and hard?"},
    ],
    {"kind": "flow", "source": "source", "target": "target", "label": "what"},
    alt="The road of ART: anchors are put to the generator, which writes answers; they are "
    "filtered to triplets, and these train the encoder. From the encoder an arrow goes back to "
    "the generator: PPO tunes it towards answers that are right and hard.",
    label="fig-09-road",
    caption="ART as the road that data takes (the paper's Figure 1). The arrows 1, 2 and 3 are a "
    "round. A discriminator stands beside the road twice: it says what is right when the generator "
    "is tuned, and it filters. The encoder says what is hard.",
)

# %% [markdown]
# Only one corpus has labels, the NLI corpus. It trains the discriminator and the first encoder, once, before the
# first round.
# The anchors are plain sentences ({numref}`fig-09-road`).
#
# The whole method is one command. It keeps every round's adapter, texts and encoder, and goes on where it
# was interrupted:
#
# ```text
# python -m synthlib run art --tier pocket --rounds 3 --out runs/art
# ```
#
# Here we take its stages one by one.
#
# ## One round, live
#
# We begin with what travels with this book: a generator, a discriminator, and a supervised SimCSE encoder.
#
# To be quick, our round writes from 400 anchors; the recipe's rounds take 1,200.

# %%
SEED, ANCHORS = 0, 400
own = tiers.get("pocket").art
half = own.ppo_batch_size // 2  # PPO asks each anchor for a positive and a negative
asked = corpora.premises(own.ppo_steps * half, SEED + 70)
anchors = corpora.premises(ANCHORS, SEED + 80)

generator = models.load_generator(own.generator, device="cpu")
judges = models.load_nli(own.discriminator, device="cpu")
encoder = models.load_encoder(own.encoder, device="cpu")
names = "w1", "w2", "kl", "ppo_steps", "ppo_batch_size", "lora_r", "temperature"
{name: getattr(own, name) for name in names}

# %% [markdown]
# ### Bounds
#
# The reward has three bounds that the paper does not print. We choose them as {ref}`ch-07` does: by what
# the discriminator accepts of what the generator writes now.

# %%
start = time.perf_counter()
policy = art.policy(generator, own, seed=SEED)
speaker = (policy.model, policy.tokenizer)
bounds = art.choose_bounds(
    speaker, asked[:200], judges, encoder.encode, max_new_tokens=own.max_new_tokens, seed=SEED
)
{name: round(value, 3) for name, value in bounds._asdict().items()}

# %% [markdown]
# ### Before
#
# What does the generator make of the anchors before it is tuned? We look at it through three pairs of eyes:
# the discriminator accepts or does not; the encoder gives a cosine; and the oracle, which no method sees,
# knows whether the answer is right.

# %%
def look(speaker, candidates=3, sentences=anchors):
    """What a generator writes for sentences, judged by all three."""
    table = art.write(
        speaker, sentences, candidates=candidates, temperature=own.temperature,
        max_new_tokens=own.max_new_tokens, seed=SEED, batch_size=128,
    )
    table = art.judge(table, judges, encoder.encode)
    table["outcome"] = [
        outcome(x, y, ch09.ASKED[kind])
        for x, y, kind in zip(table.anchor, table.text, table.kind)
    ]
    return table.assign(right=table["outcome"] == "right")


with policy.adapter_off():
    untuned = look(speaker)

# %% [markdown]
# ### Tune
#
# PPO, as in the chapter before: both requests in one batch, the reward at the last token, a penalty for
# every step away from the generator as it was.

# %%
log = pd.DataFrame(
    art.tune(
        policy, asked, judges, encoder.encode, bounds, own, seed=SEED, progress=False
    )
)
tuned = look(speaker)
print(f"{time.perf_counter() - start:.0f} s so far")

# %% tags=["hide-input"]
parts = log.melt("step", ["correctness", "difficulty"], "part", "mean")


def _log_alt(df):
    ends = df.groupby("part")["mean"].agg(lambda x: f"{x.head(3).mean():+.2f} → "
                                                       f"{x.tail(3).mean():+.2f}")
    return "Mean reward of a step's answers, first three steps → last three. " + "; ".join(
        f"{part}: {text}" for part, text in ends.items()
    ) + "."


viz.Figure(
    parts,
    {
        "kind": "lines", "x": "step", "y": "mean", "series": "part",
        "xlabel": "step of PPO", "ylabel": "mean reward",
        "colors": {"correctness": "blue", "difficulty": "orange"},
    },
    alt=_log_alt,
    label="fig-09-log",
    caption="The two parts of the reward while the generator is tuned (live). Correctness is "
    "$P-\\Omega$ and ends near zero when most answers are believed.",
)

# %% [markdown]
# And what has become of the answers?

# %% tags=["hide-input"]
both = pd.concat([untuned.assign(round=0), tuned.assign(round=1)], ignore_index=True)
both["shared"] = [ch09.shared(x, y) for x, y in zip(both.anchor, both.text)]
shares = ["right", "accepted", "copied", "usable, one try", "usable, three tries"]
tries = dict(zip(["usable", "usable3"], shares[3:]))
ch09.accuracy(both).rename(columns=tries).style.hide(axis="index").format(
    "{:.0f}", subset=shares, na_rep=""
)

# %%
average = ch09.accuracy(both).query("kind == 'average'").set_index("round")
minutes = (time.perf_counter() - start) / 60
ledger.record("09-table4-gain", average["right"].diff()[1], minutes=minutes)
ledger.record("09-table4-accuracy", average["right"][1], minutes=minutes)
times = average["usable"][1] / average["usable"][0]
ledger.record("09-usable", times, minutes=minutes)
print(f"triplets from one answer of each kind: {times:.1f} times as many")

# %% tags=["hide-input"]
cloud = both[(both["candidate"] == 0) & (both["row"] < 150)]
cloud = cloud.assign(
    generator=cloud["round"].map({0: "untuned", 1: "tuned"}),
    answer=np.where(cloud["right"], "right", "wrong"),
)[["similarity", "p", "answer", "kind", "generator"]].reset_index(drop=True)


def _cloud_alt(df):
    return "Answers by cosine to the anchor and probability of the asked-for label. " + " ".join(
        f"{name}, {kind}s: {len(part)} answers, {(part.answer == 'right').mean():.0%} right, "
        f"{(part.p > 0.5).mean():.0%} believed, median cosine {part.similarity.median():.2f}."
        for (name, kind), part in df.groupby(["generator", "kind"], sort=False)
    )


viz.Figure(
    cloud,
    {
        "kind": "scatter", "x": "similarity", "y": "p", "series": "answer", "facet": "kind",
        "xlabel": "cosine to the anchor", "ylabel": "P(asked-for label)",
        "colors": {"right": "blue", "wrong": "orange"},
        "controls": [{"name": "who", "type": "choice", "label": "generator",
                      "column": "generator", "value": "tuned"}],
    },
    alt=_cloud_alt,
    label="fig-09-where",
    caption="Where the answers sit, before and after (live, 150 anchors). *Right* is the oracle's "
    "word; the policy has seen the two axes alone.",
)

# %% [markdown]
# The lower band of {numref}`fig-09-where`, answers that the discriminator does not believe, is nearly empty
# after tuning.
#
# *usable, one try* in the table is the share of anchors whose first answers of both kinds are accepted. That
# is a triplet. *three tries* allows three of each kind, as the method does. Keep an eye on these two: the
# gain of the first is far larger than that of the second.
#
# ### Filter
#
# The paper filters by the discriminator, and its released code does not contain the filter. Here it is: the
# first accepted candidate of each kind.

# %%
print(listing.essential(art.select))

# %% [markdown]
# ### Train
#
# The triplets train the encoder with the supervised SimCSE loss (Eq. 5), at $\tau=0.05$:
#
# $$
# \begin{gathered}
# \mathcal L=-\log\frac{e^{s_{ii}^+}}{\sum_{j=1}^N\bigl(e^{s_{ij}^+}+e^{s_{ij}^-}\bigr)},\\
# s_{ij}^{\pm}=\operatorname{sim}(\mathbf h_i,\mathbf h_j^{\pm})/\tau .
# \end{gathered}
# $$ (eq-09-simcse)
#
# $\mathbf h_i$, $\mathbf h_i^+$ and $\mathbf h_i^-$ are the vectors of anchor, positive and negative. It is
# `losses.info_nce` of {ref}`ch-01` with negatives.
#
# ### The control
#
# Before we look at the result: better than *what*? The encoder has read new data, so it may well have
# improved. Would the generator have done as well without tuning?
#
# A fair control gets what our round got.
#
# - *The same filter.* It costs no training, and needs the discriminator that ART needs anyway.
# - *The same number of texts.* PPO has asked for answers as well: so many steps of so many. The control may
#   write these, too.

# %%
texts = len(tuned) + len(log) * own.ppo_batch_size
more = asked[: len(log) * half]
with policy.adapter_off():
    raw = pd.concat([
        untuned,
        look(speaker, 1, more).assign(row=lambda table: table["row"] + ANCHORS),
    ], ignore_index=True)
print(f"{texts} texts of the round, {len(raw)} of the control")

# %%
def after(rows):
    """Spearman of the encoder trained on triplets, 40 steps from the first one."""
    return ch09.sts(ch09.fit(rows, SEED, max_steps=ch09.STEPS))


data = {"the filter alone": raw, "one round of ART": tuned}
kept = {name: art.select(table) for name, table in data.items()}
live = pd.DataFrame(
    {"none": {"triplets": 0} | ch09.sts(encoder.encode)}
    | {name: {"triplets": len(rows)} | after(rows) for name, rows in kept.items()}
).T.rename_axis("data")
print(f"{time.perf_counter() - start:.0f} s")
live.style.format("{:.1f}").format("{:.0f}", subset="triplets")

# %% [markdown]
# *natural* and *hard* are the two STS sets of the pocket world, 2,000 pairs each, in Spearman's correlation
# times 100; *average* is their mean, and stands for the paper's average of seven.
#
# Both kinds of data help. Whether tuned data help *more* cannot be read off one small round.
# So from here on we read three seeds, whole runs of three rounds.

# %% [markdown]
# ## The loop on one page
#
# You have seen every stage of a round. Here is the round, `art.one_round`, and then the loop around it, all of ART
# in memory:

# %%
print(listing.essential(art.one_round), end="\n\n\n")
print(listing.essential(art.pipeline))

# %% [markdown]
# One policy and one encoder live through all rounds: what one learns, the other judges next time.
# Only the value head begins each round at zero, for a new judge gives new rewards.
# A loop of two rounds, far too small to teach anything, shows that it turns:

# %%
fresh = corpora.premises(152, SEED + 90)
rounds = [(fresh[:16], fresh[16:76]), (fresh[76:92], fresh[92:])]
learner = models.load_encoder(own.encoder, device="cpu")
triplets, logs = art.pipeline(
    models.load_generator(own.generator, device="cpu"), judges, learner, rounds, own,
    steps=2, batch_size=16, mini_batch_size=8, progress=False,
)
for number, (rows, steps) in enumerate(zip(triplets, logs), start=1):
    print(f"round {number}: reward {steps[-1]['reward']:+.2f}, {len(rows)} triplets of 60 anchors")

# %% [markdown]
# ## Which reference, which encoder
#
# Two decisions are left open by "repeat".
#
# *Which reference does a new round's KL penalty use?* The paper says "the frozen LLM before fine-tuning", and
# so do we: the adapter goes on from round to round, and the reference is the model with the adapter off.
# The penalty counts the way from the very beginning. To merge each round's adapter into its reference would
# forgive every round's drift.
#
# *Which encoder does a round begin with?* The paper "further trains" it. We read that so: each round goes on from
# the last one, on this round's triplets alone. The other way is to begin with the first encoder each time, on the
# triplets of all rounds so far. We measure both, below.
#
# ## Round after round: is what it writes right?
#
# We ask the generators of rounds 0 to 3 for variations of 300 anchors that no round has seen.
# The paper's Table 4 does not say who counted. We take it to be the *discriminator*, which it examines there: the
# judge that the generator was tuned to please. We have an oracle, and show both.
#
# **Before you look, predict.** Which round will do most of it? And who will be the more content,
# the discriminator or the oracle?

# %% tags=["hide-input"]
four = ledger.rows("09-table4")
paper4 = ledger.paper_table("art", 4).rename(columns={"column": "kind"})
paper4["round"] = paper4["row"].str[-1].astype(int)
paper4["kind"] = paper4["kind"].str.rstrip("s")
shares = pd.concat([
    four.assign(share=four["right"], judge="here: right, by the oracle"),
    four.assign(share=four["accepted"], judge="here: accepted"),
    paper4.assign(share=paper4["value"], judge="the paper: accepted"),
])
shares = shares[shares["kind"] != "average"]
shares = shares[["round", "share", "kind", "judge"]].reset_index(drop=True)


def _shares_alt(df):
    return "Share of good answers by round, mean of three seeds. " + " ".join(
        f"{judge}, {kind}s: " + ", ".join(
            f"{value:.0f}" for value in part.groupby("round")["share"].mean()
        ) + " %."
        for (judge, kind), part in df.groupby(["judge", "kind"], sort=False)
    )


viz.Figure(
    shares,
    {
        "kind": "lines", "x": "round", "y": "share", "series": "kind", "facet": "judge",
        "markers": True, "xticks": [0, 1, 2, 3], "ylim": [30, 100],
        "xlabel": "round", "ylabel": "answers (%)",
        "colors": {"positive": "blue", "negative": "orange"},
    },
    alt=_shares_alt,
    label="fig-09-accuracy",
    caption="Table 4: answers that are right, or believed to be, by round (three seeds, committed; "
    "bands: range).",
)

# %% tags=["hide-input"]
def mean_range(values, digits=1):
    """Mean, and the range over the seeds where there is one."""
    mean, low, high = (f"{x:.{digits}f}" for x in (values.mean(), values.min(), values.max()))
    return mean if low == high else f"{mean} ({low}–{high})"


pairs = four[four["kind"] == "average"].groupby("round")
pd.DataFrame({
    "right": pairs["right"].apply(mean_range),
    "accepted": pairs["accepted"].apply(mean_range),
    "the paper: accepted": paper4[paper4["kind"] == "average"].set_index("round")["value"],
    "copies": pairs["copied"].apply(mean_range),
    "usable, one try": pairs["usable"].apply(mean_range),
    "usable, three tries": pairs["usable3"].apply(mean_range),
}).style.format({"the paper: accepted": "{:.1f}"})

# %% [markdown]
# All numbers are percents, with the range over the seeds in brackets.
#
# The first round does most of it ({numref}`fig-09-accuracy`), as in the paper. The discriminator is always
# somewhat more content than the oracle: part of what PPO finds are its mistakes.
#
# Now the two last columns. With one try of each kind, tuning multiplies the usable anchors. With three tries,
# four anchors in five are usable without any tuning: among three answers there is a right one, and the filter
# finds it. *A filter forgives what it can sample away.* The second exercise makes a formula of that.
#
# ## Is it harder?
#
# The paper's Table 5: positives should move away from the anchor, negatives towards it. We measure with one
# yardstick, the first encoder, in every round.
#
# And *which* outputs do we measure? Among all outputs of the untuned generator are copies and paraphrases
# where a negative was asked for; their cosine is near 1, and they are no hard negatives, they are mistakes.
# So we look at all outputs, and at those that are right.

# %% tags=["hide-input"]
five = ledger.rows("09-table5")
five = five[["round", "cosine", "subset", "kind", "shared", "seed"]]


def _hard_alt(df):
    return "Mean cosine to the anchor by round, mean of three seeds. " + " ".join(
        f"{kind}s, {subset}: " + ", ".join(
            f"{value:.2f}" for value in part.groupby("round")["cosine"].mean()
        ) + "."
        for (kind, subset), part in df.groupby(["kind", "subset"], sort=False)
    )


viz.Figure(
    five.drop(columns="shared"),
    {
        "kind": "lines", "x": "round", "y": "cosine", "series": "subset", "facet": "kind",
        "markers": True, "xticks": [0, 1, 2, 3], "xlabel": "round",
        "ylabel": "mean cosine to the anchor",
        "colors": {"all": "grey", "accepted": "orange", "right": "blue"},
        "order": {"series": ["all", "accepted", "right"], "facet": ["positive", "negative"]},
    },
    alt=_hard_alt,
    label="fig-09-difficulty",
    caption="Table 5 by round: mean cosine to the anchor of all outputs, of those that the "
    "discriminator accepts, and of those that are right (three seeds, committed; bands: range).",
)

# %% tags=["hide-input"]
paper5 = ledger.paper_table("art", 5).pivot(index="row", columns="column", values="value")
ours5 = five[five["round"].isin([0, ch09.ROUNDS])].pivot_table(
    index=["kind", "subset"], columns="round", values="cosine"
)
ours5 = ours5.rename(columns={0: "here, untuned", ch09.ROUNDS: "here, round 3"})
for kind in ("positive", "negative"):
    for name, column in (("Wizard", "the paper, untuned"), ("Ours", "the paper, round 3")):
        ours5.loc[(kind, "all"), column] = paper5.loc[kind, name]
ours5.style.format("{:.2f}", na_rep="")

# %% [markdown]
# In the paper the negatives rush towards the anchor, from 0.57 to 0.83. Here the grey line falls instead
# ({numref}`fig-09-difficulty`), and it means nothing: after tuning there are fewer copies and paraphrases
# among the "negatives". The positives' grey line rises for the like reason, as those that say something
# else disappear.
#
# The blue lines answer the question. Right positives move away from the anchor, but by less than a hundredth on every seed;
# right negatives come no nearer on any.
# **At this size tuning makes answers right; it hardly makes them harder.**
#
# Why? Correctness can win almost 1, times 0.7; difficulty, among right answers, two or three tenths, times 0.3. But that cannot be
# all of it. Best of 16 by the very same reward picks negatives of which 95 in a hundred are right, at a cosine of
# 0.87 (three seeds; {ref}`ch-07` draws it for equal weights, which differ little). So hard answers that are right lie
# within the reach of the untuned generator, and the reward prefers them. They are rare, though. What most answers
# can teach a policy in three rounds of thirty steps is to be right.
#
# ### Would more teach it?
#
# So we taught the same reward in three other ways, with the anchors and bounds of {ref}`ch-08`'s short runs. Each may ask for
# 6,144 texts:
#
# - *PPO, 96 steps* instead of 24;
# - *GRPO, 96 steps*: TRL's trainer, which compares the answers to one request with each other and needs no value head;
# - *best of 16, learnt* (rejection sampling): 16 answers to each request, and the generator learns the best of them by heart.
#   (Twenty epochs, chosen after looking at four settings on one seed: three epochs taught next to nothing.)
#
# **Before you look, predict.** Which of them makes negatives hard *and* right?

# %% tags=["hide-input"]
taught = ledger.rows("09-harder")
WAYS = list(taught["data"].unique())


def _taught_alt(df):
    return "Mean of three seeds. " + " ".join(
        f"{kind}s, {data}: {part['right'].mean():.0f} % right, cosine of the right ones "
        f"{part['cosine'].mean():.2f}."
        for (kind, data), part in df.groupby(["kind", "data"], sort=False)
    )


viz.Figure(
    taught[["right", "cosine", "data", "kind", "seed"]],
    {
        "kind": "scatter", "x": "right", "y": "cosine", "series": "data", "facet": "kind",
        "xlabel": "right answers (%)", "ylabel": "mean cosine of the right ones",
        "order": {"series": WAYS, "facet": ["positive", "negative"]},
    },
    alt=_taught_alt,
    label="fig-09-harder",
    caption="How right and how hard a generator writes, by the way in which it was taught: 200 "
    "unseen anchors, one answer of each kind, one dot a seed (three seeds, committed). Wanted are "
    "right negatives that are near (above, to the right) and right positives that are far (below, "
    "to the right).",
)

# %% [markdown]
# More steps teach some of it ({numref}`fig-09-harder`). After 96 steps of PPO nine negatives in ten are right, and the right ones
# stand nearer to their anchors than after 24 on every seed, by 0.06, 0.03 and 0.004. (On the third that is no nearer than where they
# began.) A policy learns to be right first, and to be hard slowly. GRPO comes to nearly the same place.
#
# *Learning the best* is the other way round. Its right negatives are by far the nearest that a generator writes here in one answer.
# But only a few more of its negatives are right than before it learnt anything. It has seen how hard negatives
# look; what made them right was that a discriminator chose among sixteen, and that it cannot learn by heart.
#
# So the reach of the generator, the last entry of the legend, is the reach of sixteen answers *and* a judge. Whoever can
# afford both has the hardest triplets without any tuning.
#
# And the paper's Table 5? There the negatives, all outputs counted, go from 0.57 to 0.83. The released reward has no $\alpha^-$
# ({ref}`ch-07`): it pays for nearness up to the last copy. {ref}`ch-08` tuned by it, too.

# %% tags=["hide-input"]
paid = ledger.rows("08-released").query("kind == 'negative'").groupby("run", sort=False)
paid[["similarity", "right"]].mean().rename(
    index={"before": "untuned", "PPO": "the paper's", "released / 15": "the released one / 15"},
    columns={"similarity": "cosine of all negatives", "right": "right (%)"},
).loc[["untuned", "the paper's", "the released one / 15"]].style.format(
    {"cosine of all negatives": "{:.2f}", "right (%)": lambda share: f"{100 * share:.0f}"}
).set_caption(
    "by the reward: 24 steps of PPO, 200 unseen anchors, mean of three seeds"
)

# %% [markdown]
# By the paper's equations all negatives move away; by the released reward they come nearer, on every seed, as in the paper's
# table. Here fewer than half of them are right. In the paper nearly all are accepted in the end: a
# large generator may manage both, our small one does not.
#
# ### Would a louder reward?
#
# Why not speak louder for difficulty? We tuned once more, in the short runs of {ref}`ch-08`, with five
# weights $w_2$ and $w_1=1-w_2$.

# %% tags=["hide-input"]
loud = ledger.rows("09-weights").dropna(subset=["w2"])


def _loud_alt(df):
    return "By the weight of difficulty, mean of three seeds. " + " ".join(
        f"{kind}s, weight {w2:g}: {part['right'].mean():.0f} % right, cosine of the right ones "
        f"{part['cosine'].mean():.2f}."
        for (kind, w2), part in df.groupby(["kind", "w2"], sort=False)
    )


panel = {
    "kind": "lines", "x": "w2", "series": "kind", "markers": True,
    "xlabel": "weight of difficulty, w₂",
    "colors": {"positive": "blue", "negative": "orange"},
}
viz.Figure(
    loud[["w2", "kind", "right", "cosine", "seed"]],
    {
        "kind": "panels", "columns": 2, "legend": True,
        "panels": [
            panel | {"y": "right", "title": "how many are right", "ylabel": "right answers (%)"},
            panel | {"y": "cosine", "title": "how hard those are", "ylim": [0.6, 1.0],
                     "ylabel": "mean cosine to the anchor"},
        ],
    },
    alt=_loud_alt,
    label="fig-09-weights",
    caption="Policies tuned with other weights, 24 steps of 64 answers each: the share of right "
    "answers to 200 unseen anchors, and the cosine of the right ones (three seeds, committed; "
    "bands: range).",
)

# %% [markdown]
# The price is plain, the gain is not ({numref}`fig-09-weights`). From $w_2=0.3$ to $0.7$ a quarter of all answers go
# wrong, most of them negatives: the cheat of {ref}`ch-08` begins. The right negatives that are left stand nearer
# to their anchors on two seeds (by 0.09 and 0.03), and where they were on the third. Right positives are no further
# away on any seed.
#
# The paper's negatives began at 0.57, far away, and had a long way to go. Ours began at 0.7 where they are right.
#
# ### Cases
#
# Table 6 of the paper shows what becomes of a sentence. So does ours; what is not right is marked, and *opposite*
# means that an entailment came where a contradiction was asked for, or the reverse.

# %% tags=["hide-input"]
six = ledger.rows("09-table6")
six = six[six["seed"] == six["seed"].min()]
six["said"] = np.where(
    six["outcome"] == "right", six["text"], six["text"] + "  ✗ " + six["outcome"]
)
cases = six.pivot(index=["row", "anchor", "round"], columns="kind", values="said")
cases[["positive", "negative"]].droplevel("row")

# %%
words = ledger.rows("09-table5").query("subset == 'right' and kind == 'positive'")
words.groupby("round")["shared"].apply(mean_range).rename("words shared with the anchor (%)")

# %% [markdown]
# The paper sees its positives change more of their words from round to round. Ours do in the first round, where
# nearly seven words in a hundred more are new; after it most of them come back.
# Many negatives are what the paper describes: one word is exchanged for its opposite.
#
# ## Is the encoder better?
#
# Table 3 of the paper follows the encoder through the rounds. Beside each round we put the control with that
# round's budget of texts.

# %% tags=["hide-input"]
three = ledger.rows("09-table3")
start_rows = three[three["round"] == 0]
path = pd.concat([
    three[three["data"] == "ART"],
    *(start_rows.assign(data=name) for name in three["data"].unique() if name != "ART"),
    three[three["data"] != "ART"],
    *(
        three[(three["data"] == "ART") & (three["round"] == 1)].assign(data=name)
        for name in three["data"].unique() if "first" in name
    ),
])
tests = ["average", "natural", "hard"]
path = path.melt(["round", "data", "seed"], tests, "test set", "spearman")


def _rounds_alt(tables):
    return "Spearman times 100 by round, mean of three seeds. " + " ".join(
        f"{test}, {data}: " + ", ".join(
            f"{value:.1f}" for value in part.groupby("round")["spearman"].mean()
        ) + "."
        for test, df in tables.items() for data, part in df.groupby("data", sort=False)
    )


panel = {
    "kind": "lines", "x": "round", "y": "spearman", "series": "data",
    "markers": True, "xticks": [0, 1, 2, 3], "xlabel": "round", "ylabel": "",
    "colors": {"ART": "blue", "filter only": "orange", "ART, from the first encoder": "grey"},
    "order": {"series": ["ART", "filter only", "ART, from the first encoder"]},
}
viz.Figure(
    {test: rows.drop(columns="test set") for test, rows in path.groupby("test set", sort=False)},
    {
        "kind": "panels", "columns": 3, "legend": True,
        "panels": [
            panel | {"data": test, "title": test, "yticks": ticks}
            for test, ticks in zip(tests, ([76, 77, 78, 79], [85, 86, 87], [68, 70, 72]))
        ],
    },
    alt=_rounds_alt,
    label="fig-09-rounds",
    caption="Table 3: the encoder round after round, the control at the same number of generated "
    "texts, and rounds that begin anew with the first encoder. Spearman's correlation times 100, "
    "each picture on a scale of its own (three seeds, committed; bands: range).",
)

# %% tags=["hide-input"]
paper3 = ledger.paper_table("art", 3).query("column == 'Avg.'")
paper3 = paper3.assign(round=paper3["row"].str[-1].astype(int)).pivot(
    index="round", columns="group", values="value"
)
ours3 = three.groupby(["data", "round"], sort=False)
pd.concat({
    "the paper": paper3,
    "here": pd.DataFrame({
        "ART": ours3["average"].apply(mean_range)["ART"],
        "filter only": ours3["average"].apply(mean_range)["filter only"],
        "triplets of ART": ours3["triplets"].mean()["ART"].round().astype(int).astype(str),
        "of the filter": ours3["triplets"].mean()["filter only"].round().astype("Int64")
        .astype(str),
    }),
}, axis=1).style.format({("the paper", c): "{:.2f}" for c in paper3}, na_rep="")

# %% [markdown]
# Every round lifts the encoder, and the first one most, as in the paper ({numref}`fig-09-rounds`).
#
# But look at the line of *filter only*. Most of the gain is there as well, without a single step of PPO: in the average
# about four fifths of it.
# Look at the two test sets one by one, and the lines part. On the *natural* set the filter alone is better than ART,
# in every seed. On the *hard* set, where another meaning is said in nearly the same words, ART is better,
# in every seed and by more. So the average is in favour of ART, by half a point.
#
# Why so little, when so many more answers are right? Two reasons stand in the tables. The untuned generator
# turns the same budget into *more* triplets, for the answers that PPO has asked are spent. And with three
# tries an anchor is rarely lost.
#
# Then what are the sentences worth in themselves? We took the anchors for which both have left a triplet, and trained the first
# encoder on the triplets of one or of the other: equal anchors, equal number, equal steps.

# %% tags=["hide-input"]
same = ledger.rows("09-equal").set_index(["data", "seed"])
rows = {
    name: same.groupby("data", sort=False)[name].mean().map("{:.1f}".format).to_dict()
    | {"ART more by (95 %)": ledger.mean_and_interval(
        same[name]["ART"] - same[name]["filter only"])}
    for name in ("right", *tests)
}
pd.DataFrame(rows).T.rename({"right": "right triplets (%)"}).style.set_caption(
    f"From the same {same['triplets'].mean():,.0f} anchors, mean of three seeds"
)

# %% [markdown]
# Now the natural pairs are equal, so that what the filter had won there it had won by number. And on the *hard* set
# ART's sentences are worth two points more, on every seed. That is not because more of them are right: a few fewer are.
#
# The grey line begins anew in each round, with the first encoder and all triplets so far. It does as well as
# going on from the last encoder, in two seeds of three a little better. But only an encoder that goes on
# can judge what is hard for *it*; we keep the paper's way.
#
# ## Against the others
#
# Table 2 of the paper compares encoders that were trained on other data. Its baselines are these, in our
# world:
#
# | in the paper | here |
# |---|---|
# | SimCSE | *none*: the base encoder as it is |
# | SimCSE*, 270k triplets of the raw LLM | *raw*: unfiltered triplets of the untuned generator, 4.5 for each of ART's |
# | SynCSE, ChatGPT's triplets alone | *raw alone*: the same triplets from the masked LM, without the labelled corpus |
# | PromCSE {cite}`jiang2022promcse` | *prompt pooling*: the same labelled corpus, the vector read at the `[MASK]` of a template |
# | – | *filter only*: our control |
#
# The triplets of ART and of the control were written once, with BERT's encoder for a judge; RoBERTa and the
# unsupervised BERT are trained on the same ones, round after round. (The paper tunes a generator for each.)

# %% tags=["hide-input"]
TABLE2 = ("09-table2-bert", "09-table2-roberta", "09-table2-unsupervised")
two = pd.concat([ledger.rows(name) for name in TABLE2], ignore_index=True)
wide = two.groupby(["base", "data"], sort=False)
shown = wide[list(ch09.TESTS)].mean().round(1).astype(str)
shown.insert(2, "average", wide["average"].apply(mean_range))
shown.insert(0, "triplets", wide["triplets"].mean().round().astype(int))
shown

# %% tags=["hide-input"]
paper2 = ledger.paper_table("art", 2)
paper2 = paper2.pivot_table(index=["group", "row"], columns="column", values="value", sort=False)
first = ["Avg.", "SICK-R"]
paper2[first + [name for name in paper2 if name not in first]]

# %% [markdown]
# *Natural* and *hard* are Spearman's correlation, *questions* and *duplicates* the mean average precision of
# reranking ten candidates ({ref}`ch-12`).
#
# With BERT, ART lifts the average by two and a half points and more, in every seed. Of the four test sets one loses on
# one seed, *questions*, by four tenths. (In the paper SICK-R loses about a point, with each of its two large bases.)
#
# *Raw* data ruin this encoder on both STS sets. They lift the paper's, and the reason is the generator: WizardLM's answers were
# accepted four times in five, ours hardly more than every second time, so that of its raw triplets not a third is right.
# An encoder that knows better unlearns what it knew. Alone, in SynCSE's setting, they make a poor encoder.
# PromCSE's idea, a better way to read the same model, is none here: our masked language model has not read enough
# to make much of a template.
#
# The row to look at is again *filter only*. It is close behind ART on the average and ahead of it on
# the natural set. At finding answers to *questions* it is better by two and a half to nearly four points; there even
# the raw data help, and ART's do little. A question shares few words with its answer, and nothing in the reward asks for that.
#
# RoBERTa, our weaker supervised base, gains more than two and a half points, nearly one of them beyond the filter. Raw data cost
# it more than six.
#
# The unsupervised BERT turns the table round. It knows little, and any data lift it by many points, raw ones included.
# ART hands it the fewest triplets, and lifts it least. The filter alone lifts it most, with a third as many as the raw data.
# What being right is worth, raw data against filtered ones, is far more for an encoder that knows much already.
#
# ## Where tuning pays
#
# Tuning costs answers, the filter costs none. So where might tuning pay beyond the filter? Four guesses:
#
# - *few anchors*: whoever has few sentences cannot afford to lose any;
# - *no filter*: a discriminator at hand for tuning may not be at hand for writing (the released code does without);
# - *a fixed budget* of texts, when one answer is all that a request gets;
# - *a weak generator*, which is wrong more often than right.
#
# Each encoder below begins as the first one and takes 40 steps, whatever the size of its data. Every request
# gets one answer. One of the two lines of tuned data counts PPO's texts; the other does not, as if the adapter
# were there already.

# %% tags=["hide-input"]
pays = ledger.rows("09-pays")
pays["where"] = np.where(pays["filter"], "with the filter", "without a filter")
pays["written"] = pays["texts"] + pays["ppo"]
free = pays[pays["data"] == "tuned"].assign(
    written=lambda rows: rows["texts"], data="tuned, PPO's texts free"
)
counted = pays.replace({"data": {"tuned": "tuned, PPO's texts counted"}})
budget = pd.concat([counted, free])[["written", "average", "data", "where", "seed"]]


def _pays_alt(tables):
    return "Average Spearman times 100 by number of generated texts, mean of three seeds. " + (
        " ".join(
            f"{where}, {data}: " + ", ".join(
                f"{n:,.0f} texts {value:.1f}"
                for n, value in part.groupby("written")["average"].mean().items()
            ) + "."
            for where, df in tables.items()
            for data, part in df.groupby("data", sort=False)
        )
    )


# %% tags=["hide-input"]
WHERE = ["with the filter", "without a filter"]
filtered = budget[(budget["where"] == WHERE[0]) & (budget["data"] == "raw")]
whole = filtered[filtered["written"] == filtered["written"].max()]["average"].mean()
pay = {
    "kind": "lines", "x": "written", "y": "average", "series": "data", "markers": True,
    "xlabel": "texts generated", "ylabel": "average Spearman × 100", "xlim": (0, 6600),
    "colors": {"raw": "orange", "tuned, PPO's texts counted": "blue",
               "tuned, PPO's texts free": "purple"},
}
viz.Figure(
    {name: budget[budget["where"] == name].drop(columns="where") for name in WHERE},
    {"kind": "panels", "columns": 2, "height": 3.2, "panels": [
        pay | {"data": WHERE[0], "title": WHERE[0]},
        # The reach of the filter, where there is none: what raw data are worth behind it.
        pay | {"data": WHERE[1], "title": WHERE[1], "hlines": [
            {"at": round(float(whole), 2), "label": "raw, with the filter"}]},
    ]},
    alt=_pays_alt,
    label="fig-09-pays",
    caption="The encoder by the number of texts that were generated for it, one answer a "
    "request, 40 steps of training each (three seeds, committed; bands: range). Each picture has a "
    "scale of its own. Dashed: the same raw answers at the whole budget, filtered.",
)

# %% tags=["hide-input"]
def means(rows):
    """Means over the seeds: counts whole, percents and Spearman with a digit."""
    rows = rows.assign(filter=np.where(rows["filter"], "yes", "no"))
    found = rows.groupby(["filter", "data", "anchors"], sort=False)
    found = found[["texts", "ppo", "triplets", "right", "average"]].mean()
    return found.rename(columns={"ppo": "PPO's texts", "right": "right (%)"}).style.format(
        "{:,.0f}"
    ).format("{:.1f}", subset=["right (%)", "average"])


means(pays)

# %% tags=["hide-input"]
# The same with the T5 generator, filter and budget as before.
means(ledger.rows("09-weak"))

# %% [markdown]
# *With the filter* tuned data are better: by one to two points at 150 anchors, by more than half a point at the
# whole budget, PPO's answers counted. The table holds a surprise. Tuned triplets from 150 anchors, about 120, do at
# least as well as a thousand that the filter left of raw answers, and hardly more of them are right.
# A filter keeps what a generator can do already, so it keeps the easy anchors; a tuned generator is right about the
# others as well. That may be what the *hard* set rewards.
#
# *Without a filter* it is another world. At the whole budget raw data cost the encoder eight points and more. Tuned data, as they come,
# lift it at least as far as raw data that were filtered. That is what $r_1$ has done: it has taught the
# discriminator's opinion to the generator. Filter or tune, the one discriminator does most of its work either
# way; both together are a little better than each alone.
#
# *The weak generator* says the same. Filtered, its tuned data are ahead by a few tenths; unfiltered, by six points
# and a half, and nearly harmless.
#
# So tuning pays where the filter cannot work: where there is no discriminator when one writes, where anchors
# are few, where every answer costs. Where one may sample at leisure and filter, it is a small addition.
#
# ## What the paper claims, and what we measured
#
# In one sentence: the generator and the encoder improve as the paper says, and difficulty hardly
# rises.

# %%
ledger.show(chapter=9)

# %% [markdown]
# Three things hold, and clearly. Tuning makes the generator right far more often: it gains thirty points where the
# paper gains twelve, for it began lower. From one answer each it gets two and a half times as many triplets. And the
# encoder is better for it, in the first round most, in the later ones still.
#
# One thing hardly does: in three rounds right answers did not become harder, although the reward prefers harder ones and the
# generator can write them. Ninety-six steps in one go make right negatives a little harder than twenty-four.
#
# And one thing the paper did not ask. The filter alone, on raw data, at the same budget, brings most of the gain.
# Whoever reports a tuned generator ought to show what its filter does without it. From the same anchors, number for number,
# the tuned sentences are the better ones.
#
# ## Exercises
#
# ```{exercise} An equal budget
# :label: ex-09-budget
#
# *5 minutes.* How many texts may the control write? In every round PPO takes `steps` steps of `batch` answers,
# and the generator writes `candidates` of each kind for every one of `anchors` anchors.
# ```

# %% tags=["solution"]
def texts_of(rounds, steps, batch, anchors, candidates):
    """-> number of texts (int)."""
    ### BEGIN SOLUTION: who writes what, and how often?
    return rounds * (steps * batch + 2 * anchors * candidates)
    ### END SOLUTION


# %%
checks.ch09.texts_of(texts_of)

# %% [markdown]
# ```{exercise} What the filter forgives
# :label: ex-09-share
#
# *10 minutes.* A positive is accepted with probability `p`, a negative with `q`, and all answers are
# independent. Which share of the anchors yields a triplet when each is asked `tries` times for either kind?
# ```

# %% tags=["solution"]
def usable_share(p, q, tries):
    """Probabilities p, q; tries ≥ 1 -> share between 0 and 1."""
    ### BEGIN SOLUTION: what has to happen for a triplet?
    return (1 - (1 - p) ** tries) * (1 - (1 - q) ** tries)
    ### END SOLUTION


# %%
checks.ch09.usable_share(usable_share)

# %% [markdown]
# Compare it with the live round. The formula expects more than there is: an anchor that is hard once is hard
# again, so its answers are not independent.

# %%
def expected(table, tries):
    p, q = (table[table["kind"] == kind]["accepted"].mean() for kind in art.KINDS)
    return (1 - (1 - p) ** tries) * (1 - (1 - q) ** tries)


found = ch09.accuracy(both).set_index(["round", "kind"]).xs("average", level="kind") / 100
pd.DataFrame({
    (name, tries): {"formula": expected(table, tries), "found": found[column][k]}
    for k, (name, table) in enumerate([("untuned", untuned), ("tuned", tuned)])
    for tries, column in ((1, "usable"), (3, "usable3"))
}).T.rename_axis(["generator", "tries"]).style.format("{:.0%}")

# %% [markdown]
# ```{exercise} From answers to triplets
# :label: ex-09-triplets
#
# *20 minutes.* Write the filter. `rows` are the answers in their order, `(anchor, kind, text, accepted)`.
# Return `(anchor, positive, negative)` for every anchor, in the order in which they first appear, that has an
# accepted answer of both kinds. Take the first of each kind. A text with the anchor's words in the anchor's
# order is a copy, and counts as not accepted; words are compared as they stand, capitals and all.
# ```

# %% tags=["solution"]
def triplets(rows):
    """List of (anchor, kind, text, accepted) -> list of (anchor, positive, negative)."""
    ### BEGIN SOLUTION: go through the answers, and remember what each anchor has
    chosen = {}
    for anchor, kind, text, accepted in rows:
        mine = chosen.setdefault(anchor, {})
        if accepted and text.split() != anchor.split():
            mine.setdefault(kind, text)
    return [
        (anchor, mine["positive"], mine["negative"])
        for anchor, mine in chosen.items() if len(mine) == 2
    ]
    ### END SOLUTION


# %%
checks.ch09.triplets(triplets)

# %%
checks.progress(9)  # all checks of this chapter once more

# %% [markdown]
# ## Three sentences to remember
#
# 1. Tuning made the generator right far more often; it hardly made its answers harder.
# 2. The same filter on untuned answers, at an equal budget, brought most of the gain. Show it
#    beside every tuned generator.
# 3. Tuning pays where the filter cannot work: no discriminator when one writes, few anchors, dear
#    answers.
#
# ```{quiz} 9
# ```
#
# ## What to read next
#
# - {doc}`/notebooks/14_art_in_the_field` asks the same of a real model, with real sentences.
# - {doc}`/book/reference/when_to_use_what`: where tuning pays, beside everything else that you could do.
# - Xu and colleagues {cite}`xu2024art`, Section 4: the tables of this chapter at full size.
# - Zhang and colleagues {cite}`zhang2023syncse` on data from a large model, without tuning: SynCSE.
# - Jiang and colleagues {cite}`jiang2022promcse` on PromCSE, which needs no new data at all.
# - {ref}`ch-10` comes to the same goal by another road: sentences in an order, instead of right or wrong.
