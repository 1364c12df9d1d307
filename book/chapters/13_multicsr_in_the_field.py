# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch-13)=
# # MultiCSR in the field
#
# So far we lived in a world that we had built ourselves. We knew which sentences follow from
# which, because an oracle told us. Our models made the mistakes that we had taught them to make.
#
# This chapter leaves that world. The language model is one that anybody can download. The
# sentences are English, and nobody designed the errors. MultiCSR {cite}`wang2024multicsr` goes
# from end to end once more: ask, write with contrast, judge, select, mask, train, examine.
#
# **You will be able to**
#
# - run all three stages of MultiCSR on real models, by one word in the first cell;
# - tell what a small real generator gets wrong, and what worked examples and $\omega$ do about it;
# - trust a count that a fallible examiner has made, as far as it can be trusted;
# - say which findings of the pocket world carry over, and which do not.
#
# **Time and memory.** On the tier `laptop` about three minutes of one processor core and 2 GB of
# memory, once 180 MB of models are there (`python -m synthlib models get laptop`; no account is
# needed). On `colab` and `paper` the same cells write, judge and train with that tier's models; how
# long that takes we have not measured. What needs labels of people, the two tables on STS, is
# recorded for `laptop` alone, and so is the figure in which you turn $\omega$ yourself.

# %%
TIER = "laptop"  #@param ["laptop", "colab", "paper"]

# %%
import synthlib

synthlib.preflight(TIER)

# %%
import numpy as np
import pandas as pd
from IPython.display import display

from synthlib import checks, curation, ledger, tiers, viz
from synthlib.experiments import ch13, field
from synthlib.field import examiner as examining
from synthlib.methods import multicsr

settings = tiers.get(TIER).multicsr
generator = field.load("generator", settings)
# On tiers whose writer is large enough to judge, it does.
judge = field.load("judge", settings) if settings.scoring == "nli" else generator
examiner = field.load("examiner", settings)

# %% [markdown]
# ```{admonition} Live and recorded
# :class: note
# A real model needs about a second for a sentence, and our figures count thousands. On the tier
# `laptop` those sentences were written once, by `make field`, and are kept in `data/field/recorded`
# with the model's name, the seeds and the processor. The cells below write a few of them again,
# live, and compare. On the other tiers nothing is recorded, and what is shown was written there.
# ```
#
# ## Who counts?
#
# The oracle stayed at home. In its place stands an **examiner**: a model that was trained on
# sentence pairs which people had labelled as entailment, neutral or contradiction. On this tier
# stage 2 has such a model too, as its **judge**. They are two models, trained on different
# pairs, because nobody should mark their own homework.
#
# An examiner errs. So before we let it count anything, we look at how often it agrees with people.

# %%
accuracy = examining.recorded("laptop/examiner")
accuracy[accuracy["label"] == "all"].round(1)

# %% [markdown]
# `pairs` says how many labels of people each row rests on; `low` and `high` are the ends of a
# 95 % interval. SNLI and MultiNLI here are pairs that the examiner did not learn from; SICK and
# `field`, the book's own triplets, come from other hands altogether. Plain captions, as in SNLI, it
# reads best.
# Keep these numbers in mind: every share below has been counted by an examiner that errs in one case
# of four or five on captions by people, and, as we shall see, more often on what a small model
# writes. In the exercises you correct a share for that.
#
# ## What goes wrong
#
# We ask as the paper does: one of its four instructions for the kind that is wanted, drawn at random,
# and the premise.
# These are the first five premises of one seed, plain captions that were written for this book,
# and what the model makes of them.

# %%
premises = ch13.premises(seed=0)
here = all([generator, judge, examiner])
SHOWN = ["kind", "premise", "output", "outcome"]
if here:
    bare = field.load("generator", ch13.bare(settings))
    some = ch13.written(bare, judge, examiner, premises[:5], settings, omega=0.0)
    display(some[SHOWN].style.hide(axis="index"))

# %% [markdown]
# **Before you go on, predict.** A model of 135 million parameters has followed the instruction in
# what share of all cases: a tenth, a third, a half? And which of the two kinds is harder for it?

# %%
sweep = field.recorded("13-sweep") if TIER == "laptop" else pd.concat(
    ch13.sweep(settings, judge, examiner, seed=seed).assign(seed=seed) for seed in (0, 1, 2)
)
shown = sweep[sweep["shots"] == sweep["shots"].max()]  # as the tier asks

# %% tags=["hide-input"]
asked_plainly = sweep[sweep["omega"] == 0.0]
wrong = ch13.shares(asked_plainly, by=["shots", "kind"])
wrong["asked for"] = wrong["kind"] + wrong["shots"].map(", {} examples".format)
LOOKS = ch13.OUTCOME_COLOURS


def _shares_alt(df):
    parts = []
    for name, rows in df.groupby("asked for", sort=False):
        said = ", ".join(f"{r.outcome} {r.percent:.0f}" for r in rows.itertuples())
        parts.append(f"{name}: {said}")
    return "What became of the instructions, in percent. " + "; ".join(parts) + "."


viz.Figure(
    wrong[["asked for", "outcome", "percent"]],
    {
        "kind": "bars", "x": "asked for", "y": "percent", "series": "outcome",
        "stacked": True, "horizontal": True, "colors": LOOKS, "annotate": True,
        "format": ".0f", "xlabel": "percent of the answers", "ylabel": "",
        "order": {"series": list(field.OUTCOMES)},
    },
    alt=_shares_alt,
    label="fig-13-errors",
    caption="What became of the instructions by plain decoding, $\\omega=0$: the paper's prompt "
    "alone, and behind four worked examples. Three seeds of 40 captions; copies, echoes and "
    "broken sentences are found by rules, the rest is the examiner's word.",
)

# %% [markdown]
# Nearly two thirds of what the model says to the bare instruction is the premise itself. As an
# entailment a copy is true and useless; as a contradiction it is the opposite of what was asked.
#
# Four worked examples change the picture ({numref}`fig-13-errors`). By the examiner nine entailments
# of ten come out right. Contradictions remain hard: one in five. The others are copies, or change a
# word that makes no difference (*a sled* for *a sledge*), or tell something that may be true as well.
#
# ### Worked examples
#
# Large models follow an instruction that stands alone. Small ones follow an example. The tier asks
# in a chat: four earlier turns with an instruction, a premise and a right answer, and then ours.
#
# Which four matters more than one would like. We tried 27 triplets and rewordings on forty
# captions that are counted nowhere in this chapter. With some the model copied more. With four of
# which two began *Somebody is*, it wrote one sentence for all: *Somebody is riding. Somebody is
# building.* It takes over the **style** of its examples before the task. Six were left
# (`data/field/worked.csv`): three change what is done, the others an object, a doer, a colour. Each
# seed draws four of them.

# %%
follows = shown.query("omega == 0.3 and kind == 'entailment'")
begins = follows["output"].str.split().str[0].value_counts()
print(f"{100 * begins.iloc[0] / len(follows):.0f} % of the entailments at ω = 0.3 begin with "
      f"{begins.index[0]!r}")

# %% [markdown]
# So the style is still there. *Somebody is pulling a sledge* is right, and no count of right answers
# will ever show what is wrong with a corpus in which nearly every positive begins so. Reading it
# does.
#
# ## Turn ω
#
# Stage 1 subtracts what the model would say to the opposite instruction: $l-\omega\hat l$, as in
# {ref}`ch-03`. Here are the same premises once more, with worked examples, plain and with
# contrast.

# %%
if here:
    live = pd.concat(
        ch13.written(generator, judge, examiner, premises[:5], settings, omega=omega).assign(
            omega=omega)
        for omega in (0.0, 0.3)
    )
    side = live.pivot(index=["kind", "premise"], columns="omega", values="output")
    display(side.rename(columns="ω = {:g}".format).reset_index().style.hide(axis="index"))

# %% tags=["hide-input"]
if here and TIER == "laptop":
    keys = ["omega", "kind", "premise"]
    of = shown[shown["seed"] == 0]
    both = live.merge(of, on=keys, suffixes=("", "_recorded"))
    same = (both["output"] == both["output_recorded"]).sum()
    print(f"{same} of these {len(both)} answers are the recorded ones, letter for letter")

# %% [markdown]
# **Predict again.** In the pocket world the best $\omega$ lay between 0.5 and 0.7, above the
# paper's plateau of 0.2 to 0.4. Where will a real model have its best, and what will its sentences
# look like at 0.8?

# %% tags=["hide-input"]
each = ch13.shares(shown, by=["seed", "omega", "kind"])
each = each[each["outcome"] == "right"].drop(columns="outcome")
mean = each.groupby(["seed", "omega"], as_index=False)["percent"].mean()
curves = pd.concat([mean.assign(kind="mean of both"), each])


def _curves_alt(df):
    parts = []
    for kind, rows in df.groupby("kind", sort=False):
        at = rows.groupby("omega")["percent"].mean()
        parts.append(f"{kind}: " + ", ".join(f"{y:.0f} at {x:g}" for x, y in at.items()))
    return "Percent right by omega, means of three seeds. " + "; ".join(parts) + "."


viz.Figure(
    curves,
    {
        "kind": "lines", "x": "omega", "y": "percent", "series": "kind", "band": "range",
        "markers": True, "xlabel": "ω", "ylabel": "right (%)", "ylim": (0, 100),
        "xlim": (-0.25, 0.85),
        "colors": {"mean of both": "purple", "entailment": "blue", "contradiction": "orange"},
        "order": {"series": ["mean of both", "entailment", "contradiction"]},
        "regions": [{"points": [[0.2, 0], [0.4, 0], [0.4, 100], [0.2, 100]],
                     "label": "the paper's plateau", "at": [0.3, 6]}],
    },
    alt=_curves_alt,
    label="fig-13-omega",
    caption="The paper's Fig. 6 in the field: what the examiner calls right, by $\\omega$. Three "
    "seeds of 40 captions with other examples and other instructions each; bands span the seeds.",
)

# %% tags=["hide-input"]
mean = ch13.shares(shown, by=["omega", "kind"])
mean["omega"] = mean["omega"].map("{:g}".format).str.replace("-", "−")


def _stack_alt(df):
    parts = []
    for kind, rows in df.groupby("kind", sort=False):
        wide = rows.pivot_table("percent", "omega", "outcome", sort=False)
        at = "; ".join(
            f"omega {w}: " + ", ".join(f"{o} {wide.loc[w, o]:.0f}" for o in wide.columns)
            for w in ("−0.2", "0", "0.3", "0.6", "0.8")
        )
        parts.append(f"{kind}: {at}")
    return "Outcomes in percent by omega. " + ". ".join(parts) + "."


viz.Figure(
    mean,
    {
        "kind": "bars", "x": "omega", "y": "percent", "series": "outcome", "stacked": True,
        "facet": "kind", "columns": 1, "colors": LOOKS, "xlabel": "ω",
        "ylabel": "percent of the answers", "ylim": (0, 100),
        "order": {"series": list(field.OUTCOMES), "facet": ["contradiction", "entailment"],
                  "x": list(dict.fromkeys(mean["omega"]))},
    },
    alt=_stack_alt,
    label="fig-13-outcomes",
    caption="What the answers are, by $\\omega$. Three seeds of 40 captions.",
)

# %% [markdown]
# By the examiner's count the curve of {numref}`fig-13-omega` rises from 56 % at $\omega=0$ to 69 %
# at the paper's 0.3, and levels off near 75 % at 0.5 and 0.6. The entailments have little to gain;
# the right contradictions double at 0.3 and nearly triple at 0.5.
# What goes? {numref}`fig-13-outcomes` shows it for the contradictions: the copies, from 18 % to 7 % at
# 0.3 and none at 0.5, and the opposites, from 37 % to 22 % and 10 %. Below zero the copies come back.
#
# So far that is the pocket world over again, and the peak lies where T5's did, above the paper's
# plateau. One thing is strange. At 0.8 our pocket models broke to pieces. Here, by the count, the
# entailments fall to 65 % and the contradictions go on rising, so that the mean of both loses only
# five points.
#
# ### The collapse
#
# What does too much contrast sound like? Here are the first of the answers at 0.8 that we have
# labelled by hand, with what the examiner made of them.

# %% tags=["hide-input"]
if TIER == "laptop":
    labels = examining.load_labels(ch13.LABELS)[["premise", "hypothesis", "label"]]
    at = shown[shown["omega"] == 0.8].drop_duplicates(["kind", "premise", "output"])
    both = labels.merge(at, left_on=["premise", "hypothesis"], right_on=["premise", "output"])
    both = both[["kind", "premise", "output", "label", "outcome"]].head(10)
    both.columns = ["asked for", "premise", "answer", "the reader", "by the examiner"]
    display(both.style.hide(axis="index"))
    counts = ["reader", "examiner", "nothing"]
    hand = ch13.by_hand(sweep)
    both = hand.groupby("omega", as_index=False)[counts].mean().assign(kind="mean of both")
    table = pd.concat([hand, both]).sort_values(["omega", "kind"])[["omega", "kind", *counts]]
    table.columns = ["ω", "asked for", *counts]
    forms = {"ω": "{:g}"} | dict.fromkeys(counts, "{:.0f}")
    display(table.style.hide(axis="index").format(forms))

# %% [markdown]
# *None* says that there is nothing to judge: it is no sentence. The examiner calls most of these
# right.
#
# We read 200 answers ourselves, drawn from four values of $\omega$ and two seeds, and labelled them
# by a rule that we had written down before (`data/field/labelling.md`), with neither $\omega$ nor
# the examiner's word in sight. (A few dozen of them we had seen before, in another table.) The second
# table has, for each $\omega$, what the **reader** and the **examiner** call right, in percent, and
# where the reader found **nothing** to judge.
#
# Up to 0.5 the means of both kinds agree within five points. Look at the kinds, and they do not: the
# examiner calls 20 to 31 entailments in a hundred more right than the reader does, and 15 to 25
# contradictions fewer. *Somebody is eating a banana*, said of a monkey, passes; *oranges* in place of
# apples do not. Two errors cancel. So trust how the mean moves: contrast brings 13 points at 0.3 by
# the examiner and 15 by the reader. Do not trust the levels of either kind.
#
# At 0.8 nothing cancels: the examiner sees 71 % right, and the reader 24 %. The collapse is there, as
# in the paper's Fig. 6. It is the *instrument* that does not see it. We think that we know why: an
# NLI model has learnt from sentences that people wrote. Nobody ever showed it a text that says
# nothing, so it finds some label for it all the same.
#
# ```{admonition} What to take from this
# :class: tip
# A model that judges text is right about text like that from which it has learnt. Before you turn a
# knob by its counts, read what lies at both ends of the knob.
# ```
#
# All in all reader and examiner agree on 63 % of the 167 answers that could be judged, Cohen's
# $\kappa=0.45$: on 57 % at $\omega=0$, 76 % at 0.3, 72 % at 0.5, 51 % at 0.8. (Copies and what the
# rules call broken were not drawn.) The reader is one of the authors; a second one would be a better
# measure.
#
# ### Turn it yourself
#
# A count has no words in it. {numref}`fig-13-dial` has them: six requests of the sweep, answered at
# 21 values of $\omega$, and at every token its probability under either request. Nothing runs here;
# it is all recorded.
#
# Begin with the electrician at 0, and drag to the right. Up to 0.2 the answer is a copy. Then she is
# *changing a light bulb into a light bulb*, at 0.35 *a radio*, from 0.4 to 0.5 *a coffee mug*. Press
# *coffee*. Asked to contradict, the model gives it three chances in a thousand, and *light* 31 in a
# hundred. Asked to paraphrase, it gives *light* 91 in a hundred, and *coffee* next to none: that is
# what we subtract.
#
# At 0.6 the answer is about an *ice cream truck*. Press *ice*: it is the likeliest token of the
# mixture, and has one chance in a hundred. The mixture prefers nothing in particular any more. At 0.8
# its runner-up is *aspirin*, to which neither request gives one chance in a million. The examiner
# says *right* from 0.35 to the very end. Where we have labelled an answer by hand, the figure has the
# reader's word beside it.

# %% tags=["hide-input"]
from synthlib.viz import explorers

turned = None if TIER != "laptop" else explorers.dial(
    ch13.dial_tables(field.recorded("13-dial")), outcomes=LOOKS, model="SmolLM2-135M",
    label="fig-13-dial",
    caption="Answers of the tier `laptop`'s generator at any $\\omega$, recorded: the tokens, what "
    "became of the answer, and each token's probability as asked, as subtracted, and in the "
    "mixture. Underlined tokens differ from plain decoding. On paper the first caption, at eight "
    "$\\omega$.",
)
turned

# %% [markdown]
# ### Which noise?
#
# The paper tries four noisy instructions, and the opposite is best (its Fig. 5). Here each is
# subtracted at $\omega=0.3$.

# %%
noises = field.recorded("13-noise") if TIER == "laptop" else pd.concat(
    ch13.noises(settings, judge, examiner, seed=seed).assign(seed=seed) for seed in (0, 1, 2)
)
same = shown[shown["seed"].isin(noises["seed"])]
against = pd.concat([
    same[same["omega"] == 0.0].assign(noise="none (ω = 0)"),
    same[same["omega"] == 0.3].assign(noise="opposite"), noises,
])
table = against.groupby(["noise", "seed"]).apply(ch13.right, include_groups=False).unstack()
table.rename(columns="seed {}".format).rename_axis("subtracted").round(1)

# %% [markdown]
# The opposite instruction comes first on every seed, thirteen points above plain decoding on
# average. Shuffled words gain four on average, and nothing on one seed; the other two gain one or two.
# We think that the worked examples decide it. A garbled request leaves them as they are, and they still
# point the right way. Only the opposite comes with examples that point the other way.
#
# ## Can the writer judge?
#
# Stage 2 has the generator score its own pairs (Eq. 3). In the pocket world it did so well enough.
# Does a real small model? We ask for the similarity of 200 pairs of STS-B, which people have
# scored, and compare the order.

# %% tags=["hide-input"]
if TIER == "laptop":
    judging = field.recorded("13-judging")
    table = judging.groupby("who", sort=False)[["spearman", "unread"]].mean()
    print("means over the seeds", sorted(set(judging["seed"])))
    display(table.style.format("{:.1f}", na_rep="–"))

# %% [markdown]
# `spearman` is Spearman's correlation with people's scores in percent, `unread` the percent of pairs
# to which the model gave no score that we could read; means over draws of 200 pairs.
#
# It cannot. Asked for a number it writes a sentence, and is unread; behind worked examples it gives
# nearly every pair the same number, and orders them better on none of the three draws, against the
# paper's Table 1. Read from its probabilities (*likelihood*) it orders pairs no better than chance
# does. An NLI model of a sixth of its size ranks as well as the encoder that we shall train
# (`laptop/minilm-first-two`) does before any training. The paper's judges were models of billions of
# parameters; at this size stage 2 needs a judge that is not the writer.
#
# ### The region of the thresholds
#
# So the tier has its NLI judge score the pairs: $5\,(P(\text{entailment})+\tfrac12
# P(\text{neutral}))$, from 0 to 5 as the paper's question. A triplet is kept where
# $a\ge\alpha$, $b\le\beta$ and $a-b\ge\gamma$, with the paper's $(3,3,1)$.
# Point at a dot to read its three sentences.

# %% tags=["hide-input"]
three = pd.concat(
    ch13.triplets_of(part) for _, part in shown[shown["omega"] == 0.3].groupby("seed")
)
three = three[multicsr.usable(three)].drop_duplicates(["anchor", "positive", "negative"])
rule = curation.Thresholds(settings.alpha, settings.beta, settings.gamma)
three["kept"] = rule.keep(three["a"], three["b"])
dots = three.assign(examiner=np.where(three["right"], "both right", "one is wrong"))


def _region_alt(df):
    kept = df["kept"]
    right = df["examiner"] == "both right"
    return (
        f"Scores a and b of {len(df)} triplets. {kept.sum()} lie in the kept corner; of these "
        f"{100 * right[kept].mean():.0f} percent have both sentences right by the examiner, of all "
        f"{100 * right.mean():.0f} percent."
    )


viz.Figure(
    dots[["anchor", "positive", "negative", "a", "b", "kept", "examiner"]],
    {
        "kind": "scatter", "x": "a", "y": "b", "series": "examiner",
        "xlim": (-0.3, 5.3), "ylim": (-0.3, 5.3), "height": 4,
        "colors": {"both right": "blue", "one is wrong": "orange"},
        "xlabel": "a: anchor and positive", "ylabel": "b: anchor and hard negative",
        "hover": ["anchor", "positive", "negative"],
        "regions": [{"where": [[1, 0, settings.alpha], [0, -1, -settings.beta],
                               [1, -1, settings.gamma]], "label": "kept", "at": [4.0, 0.4]}],
    },
    alt=_region_alt,
    label="fig-13-region",
    caption="MultiCSR's Fig. 3 in the field: triplets written at $\\omega=0.3$, three seeds, with "
    "the judge's scores. The colour is the examiner's verdict, which the method never sees.",
)

# %%
kept = three[three["kept"]]
print(f"{len(kept)} of {len(three)} triplets are kept; "
      f"right by the examiner: {100 * three['right'].mean():.0f} % of all, "
      f"{100 * kept['right'].mean():.0f} % of the kept")

# %% [markdown]
# The corner keeps three triplets of four, and by the examiner half of what it keeps is right, against
# 37 % of all. In the pocket world nine of ten in it were right. Two errors add up here: the writer's
# contradictions are often none, and the judge, of the same kind and size as the examiner, lets many
# of them pass. Selection helps, by some twelve points; it does not make good data of bad.
#
# ## Train
#
# Stage 3 trains an encoder on what was kept, with the false negatives of each batch masked by a
# guide (Eq. 6). Ours is the first two of the six layers of all-MiniLM-L6-v2, an encoder that has
# seen much and has room to gain; the guide is the whole of it.
#
# Live we train on the triplets above. We examine with the 130 triplets that were written for this
# book and stand in no prompt: does an anchor lie nearer to its entailment than to its
# contradiction? They were made hard, with about as many shared words on either side.

# %%
encoder, guide = field.load("encoder", settings), field.load("guide", settings)
if len(kept) < 2:
    print("nothing was kept, so there is nothing to train on: is the judge read at all?")
elif encoder is not None and guide is not None:
    before = ch13.keeps_order(ch13.encode(encoder))
    trained = ch13.train(settings, kept, seed=0, guide=ch13.encode(guide))
    after = ch13.keeps_order(ch13.encode(trained))
    print(f"anchors nearer to their entailment: {before:.0f} % before, {after:.0f} % after")

# %% [markdown]
# Below one half, before as after. These triplets were made so that shared words do not help, and some
# eighty triplets of captions do not teach the difference. Those of people, below, do not either.
#
# A hundred captions are no corpus. For the figures we wrote from 256 premises of SNLI for each seed,
# and examined on people's scores: STS12, STS14, STS-B dev. Every arm has the same
# number of steps and starts from the same encoder; four of them have equally many triplets. `order`
# is the percent of the book's 130 triplets whose anchor lies nearer to its entailment, `right` the
# percent of the arm's triplets that the examiner finds right.

# %% tags=["hide-input"]
if TIER == "laptop":
    training = field.recorded("13-training")
    arms = training.pivot_table("value", ["arm"], "task", sort=False)
    sizes = training.groupby("arm", sort=False)["rows"].mean().round(0).astype(int)
    print("means over the seeds", sorted(set(training["seed"])))
    arms = arms.rename_axis(None).rename_axis(None, axis=1).assign(triplets=sizes)
    display(arms.style.format("{:.1f}", na_rep="–").format("{:d}", subset=["triplets"]))

# %% [markdown]
# The second table has what one corpus is worth more than another, seed by seed.

# %% tags=["hide-input"]
def by_seed(differences, digits=1):
    """Differences of each seed, and their mean with its 95 % interval, in words."""
    mean = [ledger.mean_and_interval(row, digits) for _, row in differences.iterrows()]
    shown = differences.rename(columns="seed {}".format)
    shown = shown.map(lambda value: ledger.mean_and_interval([value], digits))
    shown = shown.assign(**{"mean (95 % interval)": mean})
    return shown.rename_axis(None).rename_axis(None, axis=1)


if TIER == "laptop":
    display(by_seed(ch13.differences(training, [
        ("plain", "before"), ("contrastive", "plain"), ("curated", "contrastive, as many"),
        ("curated, masked", "curated"), ("people's, as many", "curated, masked"),
    ])))

# %% [markdown]
# Three seeds: other premises, other worked examples, another order of the rows. Every corpus lifts
# the encoder by nine points and more, even the plain one, in which the examiner finds one triplet of
# ten right. (It was cut off after two layers; we think that it gains from almost any contrast.)
#
# Ask the finer question, at equal number. Selection is worth 1.4 to 1.9 points in the mean of the
# three sets, and three seeds make that sure. Contrast alone gains on every seed too, but less, and the
# interval reaches below zero. On the third seed the writer did worse: the judge let 63 triplets pass,
# where it had been 116 and 121. The encoder that learnt from these 63 is as good as the others.
#
# The mask changes nothing. Below we count what there is to mask.
#
# The last row compares triplets that people wrote for premises of the same draw. The encoder that
# they train is better on no seed than the one trained on what the small model wrote and the judge let
# pass, of which the examiner finds little more than half right. On average it is a point worse, which
# three seeds do not make sure. A right triplet is not yet a useful one.
#
# ### Without a writer
#
# The first rows of the paper's Table 2 need no language model. **Whitening** turns and stretches the
# embeddings until no direction stands out ({ref}`ch-01`); **unsupervised SimCSE** takes every sentence
# for its own positive. Both get all 1,818 premises of SNLI that we have, and SimCSE as many steps as
# the other trainings. *People's* are 256 triplets by people now.

# %% tags=["hide-input"]
def _gains_alt(df):
    parts = []
    for arm, rows in df.groupby("arm", sort=False):
        at = rows.groupby("task", sort=False)["gain"].mean()
        parts.append(f"{arm}: " + ", ".join(f"{task} {gain:+.1f}" for task, gain in at.items()))
    return "Gain over the encoder before, points, means of three seeds. " + "; ".join(parts) + "."


if TIER == "laptop":
    ways = pd.concat([training, field.recorded("13-encoders")])
    ARMS = ["whitening", "unsupervised SimCSE", "plain", "curated, masked", "people's"]
    some = ways[ways["task"].isin(ch13.TASKS) & ways["arm"].isin(["before", *ARMS])]
    at = some.pivot(index=["seed", "task"], columns="arm", values="value")
    gains = at[ARMS].sub(at["before"], axis=0).stack().rename("gain").reset_index()
    gains = gains.sort_values(["arm", "task"], key=lambda s: s.map([*ARMS, *ch13.TASKS].index))
    display(viz.Figure(
        gains[["arm", "gain", "task", "seed"]],
        {"kind": "bars", "x": "arm", "y": "gain", "series": "task", "horizontal": True,
         "annotate": True, "format": "+.1f", "xlabel": "gain over the encoder before (points)",
         "ylabel": "", "order": {"x": ARMS, "series": list(ch13.TASKS)}},
        alt=_gains_alt, label="fig-13-gains",
        caption="What a small real encoder gains on people's scores: two ways without a writer, "
        "raw triplets (*plain*), MultiCSR's (*curated, masked*), and people's. Whiskers span three "
        "seeds.",
    ))

# %% [markdown]
# MultiCSR's triplets bring seven points more than either of the cheap ways, on every seed. So Table
# 2's claim holds on real sentences. That whitening stays below SimCSE does not: it is ahead on STS12
# and behind on the other two, and in the mean of the three they are level, on two seeds within a
# tenth of a point. In Table 2 ten points and more lie between them.
#
# What does SimCSE do to the encoder, and people's triplets after the same number of steps?

# %% tags=["hide-input"]
if TIER == "laptop":
    shapes = field.recorded("13-shapes").pivot_table("value", "arm", "task", sort=False)
    shapes = shapes.rename(columns={"mean_cosine": "mean cosine"}).rename_axis(None, axis=1)
    display(shapes.rename_axis(None).style.format("{:.1f}").format("{:.2f}", subset=[
        "alignment", "uniformity", "mean cosine"]))

# %% [markdown]
# *Alignment* and *uniformity* are losses: less is better. *Mean cosine* is that of sentences that have
# nothing to do with each other, all three on STS-B dev.
#
# The cone of {ref}`ch-01` is there: unrelated sentences have a cosine of 0.61. SimCSE opens it, and
# people's triplets open it farther. Uniformity improves with both. Alignment gets worse with both,
# though the paper on SimCSE finds it better with labels than without: it is a squared distance, and
# where everything moves apart, paraphrases do so too.
#
# The last three columns are the mean of STS12 and STS14 by the three ways to aggregate. *All* ranks
# the pairs of all sources together, and there SimCSE gains nearly six points. *Mean* ranks within each
# source, and there it gains a tenth of a point at most, and on one seed loses a little. We read it
# so: what it mends is that a cosine of 0.7 meant one thing among news and another among captions.
# People's triplets gain 14 points by *all*, and four by *mean*. Our figures are by *all*, as the
# papers' are; how much of MultiCSR's gain remains within a source we have not recorded.
#
# ### What is there to mask?
#
# The mask of stage 3 found nothing to do among a hundred premises drawn at random. So we looked for
# a corpus in which it has something: 64 premises of SNLI, each with the three that share most words
# with it, and people's triplets for all 256. In a batch of 32 a row has 62 candidates of other rows.
# How many of them does the mask take away, and does the examiner agree that they follow from the
# row's anchor?

# %% tags=["hide-input"]
if TIER == "laptop":
    near = field.recorded("13-neighbours")
    table = ch13.masks(near, batch=32)
    dev = ways[ways["task"] == "STS-B dev"].pivot(index="arm", columns="seed", values="value")
    table["dev"] = [
        ledger.mean_and_interval(dev.loc[f"people's, σ = {sigma}"] - dev.loc["people's"], 2)
        for sigma in table.index
    ]
    table = table.set_axis(["pairs, of 130,560", "taken from a row, of 62",
                            "of them follow (%)", "STS-B dev, against no mask"], axis=1)
    forms = dict(zip(table, ["{:.1f}", "{:.4f}", "{:.0f}"], strict=False))
    display(table.rename_axis("σ").style.format(forms).format_index("{:g}"))

# %% [markdown]
# Here are these pairs by the guide's cosine and the examiner's label, the mean of three seeds. (The
# sentences are SNLI's. Of other people's data this book holds figures, not texts.)

# %% tags=["hide-input"]
if TIER == "laptop":
    kinds = near.pivot_table("pairs", "cosine", "label", aggfunc="sum", fill_value=0)
    kinds = kinds[["entailment", "neutral", "contradiction"]].iloc[::-1] / near["seed"].nunique()
    kinds.index = [f"{low:.1f} to {low + 0.1:.1f}" for low in kinds.index]
    display(kinds.rename_axis(None, axis=1).style.format("{:.1f}"))

# %% [markdown]
# Most of what the mask takes away it is right to take. At 0.5 the examiner calls six in ten of these
# pairs entailed, and at 0.7 eight: false negatives, which Eq. 6 is for. There are only so few. At the
# paper's 0.9 we found one pair on one seed of three; at 0.5 a row loses one candidate in four batches.
# And of its three neighbours a row meets $3\cdot\frac{31}{255}$ in a batch, about a third of one.
#
# So the mark moves by hundredths of a point, whatever $\sigma$ is. The ledger below judges Fig. 7 by
# these hundredths and finds each of its claims on some of the seeds; that is no effect. In the pocket
# world the mask was worth three points ({ref}`ch-05`): with 150 captions for each of 20 scenes, and
# in batches of 256, every row met a dozen captions of its own scene. A corpus of the field becomes
# like that when a few things are said again and again; SNLI is not one, as the paper says of NLI, too
# (its § 5.1).
#
# ### Beside people's triplets
#
# Table 10 adds what the model wrote to what people wrote. We write from 128 more premises, select, and
# add the 40 to 52 triplets that are kept to people's 256.

# %% tags=["hide-input"]
if TIER == "laptop":
    written = "people's and written"
    display(by_seed(ch13.differences(ways, [
        (written, "people's"), (f"{written}, masked", "people's"), (f"{written}, masked", written),
    ]), digits=2))
    parts = ways[ways["task"].isin(ch13.TASKS)].pivot(
        index="task", columns=["arm", "seed"], values="value")
    parts = parts.loc[list(ch13.TASKS)]
    display(by_seed(parts[f"{written}, masked"] - parts["people's"], digits=2))

# %% [markdown]
# A tenth or two of a point on every seed, and the interval reaches below zero. The second table has
# the masked row's gain on each set. On STS-B dev three seeds make it sure, four tenths of a point; on
# STS12 two of them lose. The paper gains half a point, and the pocket world nothing. The mask again
# changes nothing. One thing is different here: the paper writes for the premises that people had, too,
# so that a batch may hold two right answers to one anchor, and its mask has more to do.
#
# ## What changed against the pocket world
#
# | | pocket world | in the field |
# |---|---|---|
# | what plain decoding gets wrong | opposites and copies, by design | copies, two thirds of all answers to the bare prompt |
# | worked examples | change little | decide whether it works at all |
# | best $\omega$ | 0.5 to 0.7 | 0.5 to 0.6 by the examiner; by the reader, of four values, 0.5 |
# | too much $\omega$ | broken sentences, seen by the oracle | broken sentences, mostly *not* seen by the examiner |
# | who judges | the generator itself | an NLI model; the generator cannot |
# | of the kept triplets, right | nine of ten | half, by the examiner |
# | MultiCSR less unsupervised SimCSE | 27 points | 7 points |
# | whitening beside unsupervised SimCSE | ahead | level |
# | the mask, where scenes come again | worth three points | next to nothing to mask in batches of 32 |
# | written triplets beside people's | no gain | a tenth or two of a point, not sure in the mean |
#
# ## What the paper says, and what we found
#
# In one sentence: contrast works on real sentences nearly as it does in the pocket world; selection
# leaves half of the triplets wrong and still pays; the mask changes nothing, for it finds next to
# nothing.

# %%
ledger.show(chapter=13)

# %% [markdown]
# ## Exercises
#
# ```{exercise} What the examiner would have found
# :label: ex-13-share
#
# *Medium, 15 minutes.* An examiner calls a share `found` of all answers right. It recognises a
# right answer with probability `sensitivity`, and a wrong one as wrong with probability
# `specificity`. Estimate the share that really is right.
# An estimate lies between 0 and 1. An examiner that calls right answers right no more often than
# wrong ones tells nothing: raise a `ValueError`.
# ```

# %% tags=["solution"]
def true_share(found, sensitivity, specificity):
    """Estimated share of right answers, from what a fallible examiner has found."""
    ### BEGIN SOLUTION: what would the examiner find, were the true share known?
    false_alarm = 1 - specificity
    if sensitivity <= false_alarm:
        raise ValueError("this examiner tells right from wrong no better than chance")
    share = (found - false_alarm) / (sensitivity - false_alarm)
    return min(max(share, 0.0), 1.0)
    ### END SOLUTION


# %%
checks.ch13.true_share(true_share)

# %% [markdown]
# ```{exercise} Two readers
# :label: ex-13-kappa
#
# *Medium, 15 minutes.* Two readers have labelled the same n pairs. Cohen's
# $\kappa=(p-e)/(1-e)$ compares how often they agree, $p$, with how often they would by chance,
# $e$: the sum over labels of the first reader's share times the second's. Where $e=1$ the answer
# is NaN. Then answer without code: two readers agree on 80 % of pairs of which both call 80 %
# *neutral*. How good is that?
# ```

# %% tags=["solution"]
def kappa(first, second):
    """Cohen's κ of two sequences of n labels."""
    ### BEGIN SOLUTION: agreement, chance by the shares of both, and their quotient
    labels, n = set(first) | set(second), len(first)
    agree = sum(a == b for a, b in zip(first, second)) / n
    chance = sum(list(first).count(x) * list(second).count(x) for x in labels) / n**2
    return (agree - chance) / (1 - chance) if chance != 1 else float("nan")
    ### END SOLUTION


# %%
checks.ch13.kappa(kappa)

# %% [markdown]
# ```{exercise} A collapse in one number
# :label: ex-13-alike
#
# *Easy, 10 minutes.* What percentage of the answers stands there for another premise too? Two
# texts are alike when they differ in capitals and blanks alone. Of no answers: NaN.
# ```

# %% tags=["solution"]
def alike(texts):
    """Percent of texts that occur more than once, by words in lower case."""
    ### BEGIN SOLUTION: which texts are alike, and which answers have a double?
    folded = [" ".join(text.lower().split()) for text in texts]
    again = sum(folded.count(text) > 1 for text in folded)
    return 100 * again / len(folded) if folded else float("nan")
    ### END SOLUTION


# %%
checks.ch13.alike(alike)

# %%
checks.progress(13)  # all checks of this chapter once more

# %% [markdown]
# ## Three sentences to remember
#
# 1. A small real model copies; worked examples make it write, and what they look like is what you get.
# 2. Contrast does in the field what it did in the pocket world: it takes away copies and opposites,
#    and too much of it breaks the sentence.
# 3. An examiner that has learnt from good text misses bad text, and its errors may cancel in a mean;
#    read your outputs.
#
# ```{quiz} 13
# ```
#
# ## What to read next
#
# The next chapter trains the writer itself, with ART's reward from a real NLI model.
# {ref}`ch-03`, {ref}`ch-04` and {ref}`ch-05` explain the three stages; {ref}`ch-06` has them end
# to end in the pocket world, with the paper's tables beside it.
