# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch-14)=
# # ART in the field
#
# Chapters {ref}`7 <ch-07>`, {ref}`8 <ch-08>` and {ref}`9 <ch-09>` tuned a generator towards a reward, in a world
# where an oracle knew what was right. Tuning made answers right, and hardly harder. A filter, which
# needs no training, did most of the work.
#
# Was that the method, or our little world? Here the generator is a language model that anybody can
# download, the sentences are English, and both judges are models that err. We go through ART
# {cite}`xu2024art` once more: reward, bounds, best of $n$, PPO, filter, encoder.
#
# **You will be able to**
#
# - say of a real answer what it earns, and which judge has paid it;
# - estimate what a reward will get you before you tune for it;
# - run PPO with LoRA on a real model, and read in its curves whether it learns or cheats;
# - build the control that such a run needs, at an equal budget of texts;
# - say which findings of the pocket world carry over.
#
# **Time and memory.** On the tier `laptop` about two minutes of one processor core and 3.5 GB of
# memory, once 180 MB of models are there (`python -m synthlib models get laptop`; no account is needed).
#
# On `colab` and `paper` the same cells run on that tier's models, at its sizes; how long that takes
# has not been measured here.

# %%
TIER = "laptop"  #@param ["laptop", "colab", "paper"]

# %%
import synthlib

synthlib.preflight(TIER)

# %%
import time

import numpy as np
import pandas as pd
from IPython.display import display

from synthlib import checks, ledger, rewards, tiers, viz
from synthlib.evaluation import examination
from synthlib.experiments import ch07, ch13, ch14, field
from synthlib.field import examiner as examining
from synthlib.methods import art
from synthlib.viz.landscape import reward_landscape

pd.set_option("display.max_colwidth", None)
SEED = 0
settings = ch14.settings() if TIER == "laptop" else tiers.get(TIER).art
who = ch14.cast(settings)
asked, examined = ch14.sentences(settings.corpus, SEED)

# %% [markdown]
# ```{admonition} Live and recorded
# :class: note
# A real model needs a good part of a second for a sentence, and PPO asks for hundreds. On the tier
# `laptop` the long runs were made once, by `make field`, and are kept in `data/field/recorded` with
# models, seeds and processor. The cells below run a piece of each again and compare. On the other
# tiers nothing is recorded and everything runs.
# ```
#
# ## Who is who
#
# Four models play. The **generator** writes. The **judge**, an NLI model, says how likely an
# answer has the relation that was asked for: it is the method's *discriminator*. The **encoder**
# says how hard the answer is, and is trained in the end.
#
# The fourth is our own. The **examiner** is another NLI model, trained on other pairs. It counts
# what is right, and nothing that it says reaches the method. An oracle it is not:

# %%
trust = examining.recorded("laptop/examiner")
trust[trust["label"] == "all"].round(1)

# %% [markdown]
# `accuracy` is the percent of pairs that it labels as people did; `low` and `high` are the ends of a
# 95 % interval. Our captions are of SNLI's kind, and of a hundred pairs of SNLI the examiner misjudges
# more than twenty.
#
# There is something worse than an error: an error that judge and examiner share. On this tier both
# are adapters on the same small model. They have learnt from different pairs, and yet they may be
# blind in the same place. So the examiner will not do alone. We shall also read.
#
# **Before you go on, predict.** Asked for a *negative* of a caption, the generator is right in
# what share of all answers? And for which kind of request has PPO more to gain, positives or
# negatives?
#
# ## What a sentence earns
#
# Two captions, both requests, a few answers each, live. `r₁` is what the judge pays, `r₂` what the
# encoder pays (Eqs. 2 and 3, {ref}`ch-07`), `r` their weighted sum.

# %%
recorded = TIER == "laptop"
if recorded:
    samples = ch14.with_anchors(field.recorded("14-samples"))
else:
    samples = ch14.seen(who, examined, ch14.ANSWERS, settings, seed=SEED)
    samples = samples.assign(seed=SEED, right=samples["outcome"] == "right")
number = samples["seed"].nunique()
seeds = f"{number} seeds" if number > 1 else "one seed"
every = {seed: ch14.given(settings, rows) for seed, rows in samples.groupby("seed")}
bounds = every[SEED]
{name: round(value, 3) for name, value in bounds._asdict().items()}

# %%
if who:
    live = ch14.seen(who, examined[:2], ch14.ANSWERS, settings, seed=SEED)
    first, second = ch07.parts(live, bounds)
    paid = live.assign(**{
        "r₁": first, "r₂": second,
        "r": rewards.dual_reward(first, second, settings.w1, settings.w2),
    }).query("candidate < 4")
    columns = ["anchor", "kind", "text", "p", "similarity", "r₁", "r₂", "r", "outcome"]
    display(paid[columns].style.hide(axis="index").format(precision=2))

# %% tags=["hide-input"]
if who and recorded:
    own = samples[samples["seed"] == SEED]
    both = live.merge(own, on=["row", "kind", "candidate"], suffixes=("", "_recorded"))
    same = (both["text"] == both["text_recorded"]).sum()
    print(f"{same} of these {len(both)} answers are the recorded ones, letter for letter")

# %% [markdown]
# Read a few rows and ask who has paid.
#
# - *The wind is blowing the leaves* is a shortened caption. It is certain and easy: nearly all of its
#   reward is the judge's.
# - *Someone is making leaves fly across the yard* is a fine positive. The judge does not believe it,
#   and so it costs the policy something. An error of the judge is a lesson against good paraphrases.
# - *An orange leaf* and *a field of tall trees* were asked for as negatives and contradict nothing.
#   The encoder pays them nearly everything it has, and the judge takes only a part of it back.
# - *A car is passing a train* is right and further away. It earns more than they do.
#
# The judge of the pocket world was sure: its probabilities lay near 0 or 1. This one gives many a right
# negative 0.6.
#
# ## Where the bounds come from
#
# On this tier $\Omega$, $\alpha^+$ and $\alpha^-$ are quantiles of what the judge accepts
# ({ref}`ch-07`). A quantile of five sentences means nothing, so `rewards.choose_bounds` wants at
# least twenty of each kind. Do forty captions give twenty accepted negatives? (In this table the limit
# is lowered, to show what would come out.)

# %% tags=["hide-input"]
named = {"lower_bound": "Ω", "positive_bound": "α⁺", "negative_bound": "α⁻"}
several = []
for seed, rows in samples.groupby("seed"):
    for n in ch14.COUNTS:
        few = rows[rows["candidate"] < n]
        believed = (few["p"] > 0.5).groupby(few["kind"]).sum()
        found = ch14.bounds(few, least=1)._asdict() if believed.min() else {}
        several.append({
            "seed": seed, "answers to each request": n,
            **{f"{kind}s accepted": believed[kind] for kind in art.KINDS},
            **(dict.fromkeys(named, np.nan) | found),
        })
pd.DataFrame(several).rename(columns=named).style.hide(axis="index").format(
    precision=3, subset=list(named.values())
)

# %% [markdown]
# With one answer to each request they do not: most negatives are wrong. With eight there are plenty.
# $\alpha^-$ lies so close to 1 that little but copies and near copies is beyond it: this encoder finds
# any two sentences with the same words alike.
#
# ## The landscape
#
# Take hold of it, as in {numref}`fig-07-landscape`. The dots are real sentences now: point at one
# to read it. Large dots are what earns most among $n$ answers.

# %% tags=["hide-input"]
some = samples[(samples["seed"] == SEED) & (samples["row"] < ch14.WATCHED)]
policy = None
if recorded:
    policy = ch14.with_anchors(field.recorded("14-tuned"))
    policy = policy[(policy["seed"] == SEED) & (policy["row"] < ch14.WATCHED)]
    policy = policy[policy["candidate"] == 0]
reward_landscape(
    some,
    bounds,
    policy=policy,
    w1=settings.w1, w2=settings.w2,
    who="the examiner",
    label="fig-14-landscape",
    caption="The dual reward over cosine and probability, with real answers to 10 captions (one "
    "seed), and those of a policy to the same captions while it is tuned. In print: the answers, "
    "which of 8 the reward would pick, and, shaded, what earns. *Right* is the examiner's word.",
)

# %% [markdown]
# Two things to try in {numref}`fig-14-landscape`.
#
# - Hard negatives, $w_1=0$: the large dots go to the right and lose their colour.
# - Positives, $w_1=0$: they gather at the cliff at $\alpha^+$, as in the pocket world. Read some of
#   them.
#
# ## Best of n
#
# Let the generator answer $n$ times and keep what earns most. That is where a reward leads, for no
# training at all. Four rewards, and what each picks:

# %% tags=["hide-input"]
roads = pd.concat([
    ch14.paths(rows, every[seed]).assign(seed=seed) for seed, rows in samples.groupby("seed")
])
SOURCE = {"positive": "positives", "negative": "hard negatives"}
mean = roads.groupby(["kind", "reward", "n"], as_index=False, sort=False)[
    ["right", "copied", "similarity", "hard"]
].mean()
mean["answers"] = mean["n"].map(lambda n: "8" if n == 8 else "")


def _best_alt(tables):
    parts = []
    for name, df in tables.items():
        last = df[df["n"] == 8].set_index("reward")
        first = df[df["n"] == 1].iloc[0]
        parts.append(
            f"{name}: from {first.right:.0f} percent right at cosine {first.similarity:.2f}, best "
            "of 8 goes to " + ", ".join(
                f"{row.right:.0f} percent at {row.similarity:.2f} by {way}"
                for way, row in last.iterrows()
            )
        )
    return "Paths of best of n in the plane of cosine and share right. " + "; ".join(parts) + "."


walk = {
    "kind": "path", "x": "similarity", "y": "right", "series": "reward", "step": "n",
    "label": "answers", "ylim": (0, 105),
    "xlabel": "mean cosine of what is picked", "ylabel": "right, by the examiner (%)",
}
viz.Figure(
    {name: mean[mean["kind"] == kind] for kind, name in SOURCE.items()},
    {"kind": "panels", "columns": 2, "height": 3.6, "panels": [
        {**walk, "data": name, "title": name} for name in SOURCE.values()
    ]},
    alt=_best_alt,
    label="fig-14-best",
    caption="Where each reward leads on real sentences: best of 1, 2, 4 and 8 answers. Means over "
    f"{seeds}, {len(examined)} captions each.",
)

# %% tags=["hide-input"]
last = mean[mean["n"].isin([1, 8])].drop(columns="answers")
last.pivot(index=["kind", "reward"], columns="n", values=["right", "copied", "hard"]).round(2)

# %% [markdown]
# `hard` is the mean cosine of those that are right: for positives a lower one is harder, for
# negatives a higher one.
#
# {numref}`fig-14-best` has the shape of {numref}`fig-07-best`. By the examiner, three first positives of
# four are right, and three first negatives of ten. Among eight answers there is always a right positive,
# and in nine cases of ten a right negative. $r_1$ finds most of them.
#
# - *$r_2$ alone* cheats, as it did in the pocket world. Its negatives come closer to their captions, and
#   most of them contradict nothing.
# - *Both* are as right as $r_1$ alone in the mean of both kinds, and their positives are harder. Their
#   negatives are hardly so.
# - *Without $\alpha$* nothing is lost that three seeds would show. In the pocket world $\alpha^+$ kept
#   mistakes out.
#
# Why does $r_2$ do so little for negatives? Look at what there is to choose from.

# %%
mine = samples[(samples["kind"] == "negative") & (samples["outcome"] != "copied")]
mine.groupby("seed")[["p", "similarity"]].std().round(3)

# %% [markdown]
# Both parts have the weight ½. But among the negatives the judge's probability spreads about seven times
# as wide as the encoder's cosine. An encoder that finds everything alike has hardly a vote.
#
# ### Read what it picks
#
# So far the examiner has counted. Here are the positives that both parts pick among eight, for the first
# twenty captions. Read them, and count the wrong ones yourself.

# %%
mine = samples[(samples["seed"] == SEED) & (samples["kind"] == "positive")]
picked = ch07.best(mine, ch07.dual(mine, bounds, settings.w1, settings.w2), max(ch14.COUNTS))
picked.head(20)[["anchor", "text", "p", "outcome"]].style.hide(axis="index").format(precision=2)

# %% [markdown]
# *Someone is flying across a boat. Somebody is climbing a rope* (the man has none). *Somebody is eating
# pigeons* (the boy feeds them). Judge and examiner pass all three. Of the forty positives that are
# picked in this seed the examiner finds one wrong, and we find eight. In the other two seeds it finds
# none and one, and we find nine and eleven.
#
# That is what best of $n$ does. It looks for what the judge believes, so it finds the judge's
# errors as well; and an examiner of the same make believes many of them, too. **A share of positives
# that this examiner counts on selected answers is too high.**
#
# With negatives it errs both ways. It lets *wiping the tables with a broom* pass as a contradiction, and
# refuses *leaving the blue hotel* for *leaving the theatre*.

# %%
ledger.show("14-judges-agree", "14-needs-correctness", "14-best-right", "14-harder-positives",
            "14-harder-negatives", "14-lower-bound")

# %% [markdown]
# ## PPO on a real model
#
# The same loop as in {ref}`ch-08`: sample, judge, compare, update; a LoRA adapter on queries and
# values; the reference is the model with the adapter off.
#
# One thing had to change before a laptop could do it. Our prompts hold four worked examples, so
# most of a prompt is the same for every caption. A plain pass reads it again for every
# answer, forwards and backwards. `ppo.SharedPolicy` reads each distinct beginning once and hands
# its keys and values to all rows. On the way back their gradients add up in it. The numbers are
# those of the plain pass, but for rounding.
#
# A run here is short: ten steps of 32 answers. So it takes larger steps than the paper's, and the KL
# penalty is smaller. Here is one step, live, and below it the first step of the recorded run:

# %%
log = None
if who:
    start = time.process_time()
    few = dict(steps=1) if recorded else {}
    run = ch14.tune(who, asked, settings, seed=SEED, shown=(), chosen=bounds, **few)
    log = run.log
    print(f"{time.process_time() - start:.0f} processor seconds")
    names = ["step", "reward", "correctness", "difficulty", "kl", "right", "copied", "length"]
    display(log[names].tail(5).style.hide(axis="index").format(precision=3))
    if recorded:
        display(field.recorded("14-ppo", SEED)[names].head(1).style.hide(axis="index").format(
            precision=3
        ))

# %% [markdown]
# The KL of the first step is nothing, since the policy begins as its own reference. Two rows that
# differ come from another kind of processor: a sum in another order can turn a draw.
#
# And here are whole runs, from the recording. A rising reward alone would not tell you whether a
# policy learns or cheats. So beside it stand the examiner's counts and the share of copies.

# %% tags=["hide-input"]
curves = field.recorded("14-ppo") if recorded else log.assign(seed=SEED)
PANELS = {
    "reward": "reward", "kl": "KL (nats an answer)", "copied": "copies (%)",
    "right positives": "right positives (%)", "right negatives": "right negatives (%)",
    "length": "length (tokens)",
}


def _curves_alt(df):
    at = df["step"].isin([1, 2, 3]), df["step"] > df["step"].max() - 3
    first, last = (df[rows][list(PANELS)].mean() for rows in at)
    return "Six curves over the steps of PPO; mean of the first and of the last three steps: " + (
        "; ".join(f"{name} {first[c]:.2f} to {last[c]:.2f}" for c, name in PANELS.items())
    ) + "."


viz.Figure(
    curves[["seed", "step", *PANELS]],
    {
        "kind": "panels", "columns": 3,
        "panels": [
            {"kind": "lines", "x": "step", "y": column, "title": title, "ylabel": "",
             "xlabel": "step"}
            for column, title in PANELS.items()
        ],
    },
    alt=_curves_alt,
    label="fig-14-ppo",
    caption="PPO on a real model: reward, distance, and what the examiner thinks of the answers of "
    f"each step. Of {seeds}.",
)

# %% [markdown]
# Do not compare single steps. Thirty-two answers are few, and a step that happens to ask for more
# negatives earns less. Compare the first three with the last three.
#
# The reward rises in every run, and with it the share that the examiner finds right. The KL ends near one
# nat an answer or below: the policy stays close to where it began. By these curves it learns, and does
# not cheat.
#
# `ppo.train` ends with the adapter that has earned most over five steps. That policy is examined
# now.
#
# ### Before and after
#
# Answers to captions that PPO has never asked, before and after:

# %% tags=["hide-input"]
if recorded:
    tuned = ch14.with_anchors(field.recorded("14-tuned"))
    tuned = tuned[tuned["step"] == tuned.groupby("seed")["step"].transform("max")]
else:
    speaker = run.policy.model, run.policy.tokenizer
    tuned = ch14.seen(
        who, examined, ch14.TUNED_ANSWERS, settings, seed=SEED, generator=speaker
    ).assign(seed=SEED)
untuned = samples[
    (samples["candidate"] < ch14.TUNED_ANSWERS) & samples["seed"].isin(tuned["seed"].unique())
]
pair = pd.concat([untuned.assign(generator="before"), tuned.assign(generator="after")])
parts = ch13.shares(pair, by=["generator", "kind"])
parts["answers"] = parts["kind"].map(SOURCE) + ", " + parts["generator"]
LOOKS = {"right": "blue", "copied": "gold", "opposite": "orange", "neutral": "sky",
         "echo": "purple", "broken": "grey"}


def _after_alt(df):
    return "What became of the answers, in percent. " + "; ".join(
        f"{name}: " + ", ".join(f"{r.outcome} {r.percent:.0f}" for r in rows.itertuples())
        for name, rows in df.groupby("answers", sort=False)
    ) + "."


viz.Figure(
    parts[["answers", "outcome", "percent"]],
    {
        "kind": "bars", "x": "answers", "y": "percent", "series": "outcome", "stacked": True,
        "horizontal": True, "colors": LOOKS, "annotate": True, "format": ".0f",
        "xlabel": "percent of the answers", "ylabel": "",
        "order": {"series": list(field.OUTCOMES), "x": [
            f"{name}, {when}" for name in SOURCE.values() for when in ("before", "after")
        ]},
    },
    alt=_after_alt,
    label="fig-14-after",
    caption="What became of the requests before and after PPO. Copies, echoes and broken sentences "
    f"are found by rules, the rest is the examiner's word. {len(tuned)} answers before and as many "
    f"after, of {seeds}.",
)

# %%
def _look(rows):
    good = rows[rows["outcome"] == "right"]
    return pd.Series({
        "right": 100 * len(good) / len(rows), "copied": 100 * rows["outcome"].eq("copied").mean(),
        "cosine": good["similarity"].mean(), "words": rows["text"].str.split().str.len().mean(),
        "some": 100 * rows["text"].str.match(r"(?i)some(?:body|one)\b").mean(),
    })


each = pair.sort_values(["kind", "seed"], kind="stable")
each = each.groupby(["kind", "seed", "generator"], sort=False)
each.apply(_look, include_groups=False).round(2)

# %% [markdown]
# `right`, `copied` and `some` are percent; `cosine` is the mean of the right ones, `some` the share of
# answers that begin with *Somebody* or *Someone*.
#
# Tuning does what it did in the pocket world: answers become right, in every seed. The negatives gain most.
# Of the copies among them few are left; they cost most, for they lie beyond $\alpha^-$ and the judge
# does not believe them. PPO asked for 320 answers, against 1,536 there.
#
# **Difficulty does not come.** Right answers lie about as far from their captions as before. The paper's
# Table 5 has both kinds much harder. Our encoder had hardly a vote.
#
# **A recipe comes in its place.** Look at the positives. In seeds 0 and 2 nine of ten begin with *Somebody*
# or *Someone* now, and seven of ten did before: *Somebody is throwing snowballs. Somebody is digging a
# hole.* The worked examples had taught it (chapter 13 met it, too), and the judge is sure of such
# sentences. In seed 1 the share hardly changes, and copies among the positives become no fewer. Both ways
# pay. The curves of the reward do not tell them apart.

# %% [markdown]
# ### By hand
#
# Is it true, or do judge and examiner only agree? Two hundred answers of seed 0 were labelled by
# hand, by a rule (`data/field/labelling.md`). The **reader** is one of the authors.

# %%
if recorded:
    hand = ch14.by_hand(*ch14.ends(0))
    display(hand.style.hide(axis="index").format(precision=0))

# %% [markdown]
# By the reader, too, more is right: negatives go from 46 % to 68 %, positives from 54 % to 64 %.
# Fifty answers a row are few, and of one seed. The 95 % interval of each of these two differences reaches
# some twenty points to either side, that of their mean fourteen: a gain is likely, and its size is not
# settled.
# The *levels* are another matter. Of a hundred positives the examiner passes 26 more than the reader,
# before and after; of the negatives it passes a few less. So trust the differences of this chapter more
# than its shares.

# %%
ledger.show("14-reward-rises", "14-accuracy", "14-copies", "14-usable", "14-table5-positives",
            "14-table5-negatives")

# %% [markdown]
# ## From answers to an encoder
#
# Nobody needs a tuned generator. We want triplets. Three ways have cost equally many texts, 640 a
# seed:
#
# - *filter alone*: the untuned generator writes eight answers to each request, and the first that the
#   judge accepts is taken;
# - *best of n*: of the same eight the accepted one that earns most;
# - *tuned*: PPO has asked for as many answers as make four to each request, and the tuned
#   generator writes four.
#
# *No filter* takes the first answers as they come. The bounds come from the untuned answers
# in every arm. We do not charge PPO for that, so it has a small advantage.
#
# Each arm trains the same encoder for equally many steps: once on equally many triplets, once on
# all that it has.

# %% tags=["hide-input"]
kept = []
for seed, after in tuned.groupby("seed"):
    before = samples[samples["seed"] == seed].reset_index(drop=True)
    triplets = ch14.arms(before, after.reset_index(drop=True), every[seed])
    for name, rows in triplets.items():
        kept.append({"seed": seed, "arm": name, "triplets": len(rows),
                     "both right (%)": 100 * rows["right"].mean()})
kept = pd.DataFrame(kept)
kept.groupby("arm", sort=False)[["triplets", "both right (%)"]].mean().round(1)

# %% tags=["hide-input"]
if recorded:
    training = field.recorded("14-training")
else:
    examine = examination.development(examination.BY_NAME)
    training = ch14.compared(triplets, settings, examine, seed=SEED).assign(seed=SEED)

# %% tags=["hide-input"]
equal = training[training["number"] == "equal"]
at_first = equal[equal["arm"] == "none"].set_index("seed")["value"]
bars = equal[equal["arm"] != "none"]
bars = bars.assign(gain=bars["value"] - bars["seed"].map(at_first))
viz.Figure(
    bars[["arm", "gain", "seed"]],
    {"kind": "bars", "x": "arm", "y": "gain", "error": "range", "annotate": True,
     "format": ".2f", "xlabel": "", "ylabel": "STS-B dev, gain (points)"},
    alt=lambda df: "Gain on STS-B dev by data, mean over the seeds: " + ", ".join(
        f"{arm} {gain:+.2f}" for arm, gain in df.groupby("arm", sort=False)["gain"].mean().items()
    ) + ".",
    label="fig-14-encoder",
    caption="What equally many triplets of each arm make of the encoder: STS-B dev, Spearman "
    f"times 100, against the encoder as it is. Means of {seeds}, and their range.",
)

# %% tags=["hide-input"]
of_arms = training.groupby(["number", "arm"], sort=False)[["triplets", "right", "value"]]
of_arms.agg(["mean", "min", "max"]).round(1)

# %%
ledger.show("14-encoder-gain", "14-filter-control", "14-filter", "14-best-of-n")

# %% [markdown]
# First answers as they come lift the encoder by eight points, though in three of four triplets the
# examiner finds a text wrong. We think that an encoder of two layers gains from nearly any contrast;
# chapter 13 saw the same.
#
# The filter adds between half a point and two, and costs no training. On top of it comes nothing that can be
# told from chance. Best of $n$ and tuning are a little better than the filter in two seeds and a little worse in
# the third. In the pocket world tuning was worth half a point. Here it may be worth as much, or nothing:
# three seeds of forty captions cannot say.
#
# Why no more? The tuned generator is right more often. But the filter's generator may try twice as often at
# the same cost, and one accepted answer of eight is enough: the two arms end with about as many triplets.
#
# ## What changed against the pocket world
#
# | | pocket world | in the field |
# |---|---|---|
# | the judge agrees with who counts | 95 % | 89 % |
# | right, best of $n$ by both parts against $r_2$ alone (points) | +63 | +36 |
# | cosine of right negatives, both parts against $r_1$ alone | +0.16 | +0.01 |
# | right positives that $\alpha^+$ saves (points) | +8 | +1, on one seed of three |
# | right answers after PPO (points) | +26 | +15 |
# | usable pairs after PPO | × 2.5 | × 2.0 |
# | cosine of right negatives after PPO | 0.00 | −0.01 |
# | STS, tuning against the filter at an equal budget (points) | +0.5 | +0.1 ± 0.3 |
#
# Runs and sizes differ: best of 16 there and of 8 here, 24 steps of 64 answers there and 10 of 32
# here.
#
# ## What the paper says, and what we found
#
# In one sentence: tuning makes answers right as the paper says, and not harder, and the encoder gains
# as much from the filter alone.

# %%
ledger.show(chapter=14)

# %% [markdown]
# ## Exercises
#
# ```{exercise} The best of n, from N answers
# :label: ex-14-best
#
# *15 minutes.* You have the rewards of N answers to one request, and ask what the best of n would
# earn. Looking at the first n wastes the others. Return the mean of the best over *all* choices of
# n different answers among the N. (In order, the i-th smallest is the best of n in
# $\binom{i-1}{n-1}$ choices.)
# ```

# %% tags=["solution"]
def best_of(rewards, n):
    """Rewards of N answers, 1 ≤ n ≤ N -> float."""
    ### BEGIN SOLUTION: in how many choices is each answer the best?
    from math import comb

    ordered = sorted(rewards)
    choices = [comb(i, n - 1) for i in range(len(ordered))]
    return sum(r * c for r, c in zip(ordered, choices)) / sum(choices)
    ### END SOLUTION


# %%
checks.ch14.best_of(best_of)

# %% [markdown]
# ```{exercise} What a copy earns
# :label: ex-14-copy
#
# *10 minutes.* The laziest answer repeats the caption. Its cosine is 1. Return its dual reward
# (Eqs. 2 to 4) where the judge gives it the probability `p` of what was asked for.
# ```

# %% tags=["solution"]
def copy_reward(p, kind, omega, alpha_plus, alpha_minus, w1=0.5, w2=0.5):
    """kind: "positive" or "negative" -> float."""
    ### BEGIN SOLUTION: what is 1 − s, and on which side of its bound does a copy lie?
    second = -1.0 if kind == "negative" and alpha_minus < 1 else 0.0
    return w1 * (p - omega) + w2 * second
    ### END SOLUTION


# %%
checks.ch14.copy_reward(copy_reward)

# %% [markdown]
# What does it earn here, and how much more does an honest positive earn? That is the wall between
# PPO and the laziest policy.

# %%
mine = samples[samples["seed"] == SEED]
honest = mine[(mine["outcome"] == "right") & (mine["kind"] == "positive")]
gain = ch07.dual(honest, bounds, settings.w1, settings.w2).mean()
copy = rewards.dual_reward(
    rewards.correctness_reward(0.99, bounds.lower_bound),
    rewards.difficulty_reward(1.0, "positive", bounds.positive_bound), settings.w1, settings.w2,
)
print(f"a right positive earns {gain:+.3f}, a copy {copy:+.3f}")

# %% [markdown]
# There is hardly a wall. A copy is entailed beyond doubt. Paraphrases are a little less sure on
# average, and that makes up for most of the difficulty that a copy lacks. The filter refuses copies. The
# reward of positives hardly does.

# %% [markdown]
# ```{exercise} Where reward and truth part
# :label: ex-14-parting
#
# *15 minutes.* An alarm for reward hacking. `reward` and `right` are a log, one number a step.
# Return the first step (counted from 1) at which the last `window` steps have a higher mean reward
# than the first `window` steps, and a lower mean of `right`; `None` if there is none. The two
# windows must not overlap.
# ```

# %% tags=["solution"]
def parting(reward, right, window=3):
    """Two lists of equal length -> int or None."""
    ### BEGIN SOLUTION: which windows are there behind the first, and what makes one an alarm?
    for end in range(2 * window, len(reward) + 1):
        up = np.mean(reward[end - window : end]) > np.mean(reward[:window])
        down = np.mean(right[end - window : end]) < np.mean(right[:window])
        if up and down:
            return end
    return None
    ### END SOLUTION


# %%
checks.ch14.parting(parting)

# %%
checks.progress(14)  # all checks of this chapter once more

# %% [markdown]
# ## Three sentences to remember
#
# 1. A short run of PPO makes a small model's answers right more often, and not harder: a part of the
#    reward that is nearly constant has no vote.
# 2. Best of $n$ and PPO both look for what the judge believes, its errors included; read what they find.
# 3. Give the filter the same budget before you praise the tuning.
#
# ```{quiz} 14
# ```
#
# ## What to read next
#
# - Xu and colleagues {cite}`xu2024art`, Section 4: the same questions at full size.
# - {ref}`ch-09` for three rounds, and for where tuning pays.
# - {ref}`ch-10` for another way to hard sentences: an order in place of right and wrong.
