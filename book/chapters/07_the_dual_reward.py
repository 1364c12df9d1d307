# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch-07)=
# # The dual reward
#
# A teacher wants hard exercises, and pays a point for every one that the class gets wrong.
# Soon she has exercises that nobody can solve, for their answers are false.
#
# ART {cite}`xu2024art` has a language model write the exercises of a sentence encoder.
# It pays the writer for two things at once: that the answer is *right*, and that it is *hard*.
# The paper's whole reward is three lines. This chapter walks over the ground that they describe,
# its slopes and its cliffs, before {ref}`ch-08` lets a policy loose on it.
#
# **You will be able to**
#
# - compute the reward of an answer by hand, cliffs included;
# - say what a policy would do if either part were left out;
# - choose bounds that nobody has printed, by a rule, and see which of them matter;
# - read a reward's source code for what it pays, instead of for what it was meant to pay.
#
# **Time and memory.** About 25 seconds on one idle processor core and 1 GB of memory. Nothing is
# downloaded and nothing is trained.

# %%
import synthlib

synthlib.preflight()

# %%
import time

import numpy as np
import pandas as pd

from synthlib import checks, ledger, listing, rewards, viz
from synthlib.methods import art
from synthlib.experiments import ch07
from synthlib.viz.landscape import reward_landscape

pd.set_option("display.max_colwidth", None)
started = time.perf_counter()
SOURCE = {"positive": "positives", "negative": "hard negatives"}

# %% [markdown]
# ## The idea, with one picture
#
# We take 150 sentences, the *anchors* $x$, and ask the Llama generator for a *positive* and for
# a *hard negative* of each, sixteen times over.
# A positive should mean the same in other words.
# A hard negative should contradict the anchor and look like it.

# %%
for kind in rewards.KINDS:
    print(art.prompt("a man is running", kind, "pocket"))
table = ch07.answers(0)
table[["anchor", "kind", "text"]].iloc[[0, 16, 32, 48, 64, 80]].style.hide()

# %% [markdown]
# Two judges read every answer $y$.
#
# The **discriminator** is a classifier that reads both sentences at once and gives three
# probabilities: entailment, neutral, contradiction.
# The one that was asked for is the *target* $t$, entailment for a positive and contradiction
# for a hard negative.
#
# The **encoder** turns each sentence into a vector and gives their cosine $s$.
# It is the very encoder that the answers are to train: a positive that it finds far away, or a
# negative that it finds near, is what it has still to learn.
#
# **Before you look, predict.** The figure will colour what is right. Among the positives, do the
# wrong ones lie to the left of the right ones, or to the right? And among the negatives?

# %% tags=["hide-input"]
shown = {
    name: table[(table["kind"] == kind) & (table["candidate"] < 4)][
        ["similarity", "p", "right"]
    ].assign(oracle=lambda df: np.where(df.pop("right"), "right", "wrong"))
    for kind, name in SOURCE.items()
}
panel = {
    "kind": "scatter", "x": "similarity", "y": "p", "series": "oracle",
    "order": {"series": ["right", "wrong"]}, "colors": {"right": "blue", "wrong": "orange"},
    "xlim": (-0.3, 1.05), "ylim": (-0.05, 1.05), "xlabel": "cosine s of anchor and answer",
    "ylabel": "probability of what was asked",
}


def _answers_alt(tables):
    parts = []
    for name, df in tables.items():
        mean = df.groupby("oracle")["similarity"].mean()
        high = (df["p"] > 0.5) == (df["oracle"] == "right")
        parts.append(
            f"{name}: right answers have a mean cosine of {mean['right']:.2f}, wrong ones of "
            f"{mean['wrong']:.2f}; probability above or below a half agrees with the oracle for "
            f"{100 * high.mean():.0f} percent"
        )
    return "Two scatter plots of probability against cosine. " + "; ".join(parts) + "."


viz.Figure(
    shown,
    {"kind": "panels", "columns": 2, "height": 3.4, "panels": [
        {**panel, "data": name, "title": name} for name in SOURCE.values()
    ]},
    alt=_answers_alt,
    label="fig-07-answers",
    caption="Four answers to each request, as the two judges see them. The colour is the "
    "oracle's word, which no method of this chapter sees. One seed.",
)

# %% [markdown]
# Hardly a dot of {numref}`fig-07-answers` lies at half height: the discriminator is sure of
# itself, and nearly always with reason.
#
# From left to right the colours mix. What is worse, they mix the wrong way round.

# %%
look = table.assign(
    kind=table["kind"].map(SOURCE), oracle=np.where(table["right"], "right", "wrong")
).groupby(["kind", "oracle"], sort=False)
look = look.agg(answers=("p", "size"), cosine=("similarity", "mean"), probability=("p", "mean"))
look.style.format("{:.2f}", subset=["cosine", "probability"])

# %% [markdown]
# Among the positives the *wrong* ones are the less similar, among the negatives the *wrong* ones
# are the more similar.
# Whoever pays for difficulty alone pays for mistakes.
# Whoever pays for correctness alone gets what is easy.

# %% [markdown]
# ## Correctness: Eq. 2
#
# The first part pays for the discriminator's belief in the target,
#
# $$
# r_1 = P(t\mid x,y)-\Omega ,
# $$ (eq-07-correctness)
#
# where $\Omega$ is "the lower bound of target probability". The kernel is as short:

# %%
print(listing.essential(rewards.correctness_reward))

# %% [markdown]
# The name promises a filter, and there is none.
# $\Omega$ is taken from every answer alike.
# Whoever compares answers, subtracts their mean and divides by their spread, does not see it:
# what is taken from all is taken from none.

# %%
chosen = ch07.bounds(0)
for omega in (0.0, 0.5, 0.99):
    r = ch07.dual(table, chosen._replace(lower_bound=omega))
    standard = (r - r.mean()) / r.std()
    print(f"Ω = {omega:4}: mean {r.mean():+.2f}; first three, standardised:",
          standard[:3].round(4))

# %% [markdown]
# PPO does so with *tokens*, not with answers. There a reward at the end counts $0.95^d$ at a token
# $d$ places before it (chapter {ref}`8 <ch-08>`), so a constant weighs more on late tokens than on
# early ones, until the value head has learnt to expect it.
#
# Here is the first batch of a policy, 64 answers, with $\Omega=0$ and with $\Omega=0.99$.
# Nothing else differs.

# %%
tokens = ch07.at_the_token(0)
tokens["change"] = tokens["0.99"] - tokens["0"]
turned = 100 * float((np.sign(tokens["0"]) != np.sign(tokens["0.99"])).mean())
ledger.record("07-omega-token", float(tokens["change"].abs().max()))
ledger.record("07-omega-sign", turned)
print(f"{len(tokens)} tokens; the sign of the advantage turns at {turned:.0f} % of them")
last = tokens[tokens["left"].isin(range(0, 13, 2))].groupby("left")["change"].mean()
last.rename_axis("tokens that follow").to_frame("advantage").T.style.format(
    lambda x: f"{x:+.2f}".replace("-", "−")
).set_caption("change of the advantage, mean over the tokens that so many others follow")

# %% [markdown]
# So $\Omega$ is no filter there either; but it is not quite nothing. It takes from the end of an
# answer and gives to its beginning, to all answers alike, right or wrong.
# Does that lead a policy elsewhere? The ledger has tuned one with each value, for 32 steps:

# %%
ends = ledger.rows("07-omega-policy")
right = ends.groupby(["seed", "omega"])["right"].mean().mul(100).unstack("omega")
right = right.rename(columns="Ω = {:g}".format, index="seed {}".format)
right.rename_axis(index="right answers (%)", columns=None).style.format("{:.0f}")

# %% [markdown]
# No difference to rely on: with $\Omega=0.99$ one seed has eleven points more, two have up to four
# fewer, and with 120 answers a seed the 95 % interval of such a difference reaches twelve points to
# either side.
# We think that the value head learns to expect the constant, which then leaves the advantages; we
# have not measured that.
#
# ## Difficulty: Eq. 3
#
# The second part looks at the cosine $s$, and pays a positive ($r_2^+$) and a hard negative
# ($r_2^-$) differently:
#
# $$
# \begin{aligned}
# r_2^+&=(1-s)\,\operatorname{sgn}(s-\alpha^+)\\
# r_2^-&=s\,\operatorname{sgn}(\alpha^--s)
# \end{aligned}
# $$ (eq-07-difficulty)
#
# The less similar a positive, the more it earns, down to the lower bound $\alpha^+$. Below it the
# sign turns: a "positive" so unlike its anchor is taken for a mistake.
# The more similar a negative, the more it earns, up to the upper bound $\alpha^-$.
# A "negative" beyond it is taken for a paraphrase.
# On the bound itself $\operatorname{sgn}(0)=0$, and nothing is paid.
#
# Most of the kernel checks what it is given; its last line is the equation.

# %%
print(listing.essential(rewards.difficulty_reward))

# %%
for step in (-1e-6, 0.0, 1e-6):
    values = [
        rewards.difficulty_reward(alpha + step, kind, alpha)
        for kind, alpha in zip(rewards.KINDS, chosen[1:])
    ]
    print(f"α {step:+.0e}: positive {values[0]:+.3f}, hard negative {values[1]:+.3f}")
print(f"the jump across α⁺: {ch07.jump(chosen):.3f}")

# %% tags=["hide-input"]
grid = np.linspace(-0.3, 1, 521)
cliffs = pd.concat([
    pd.DataFrame({
        "similarity": part, "reward": rewards.difficulty_reward(part, kind, alpha),
        "side": "inside its bound" if (side == "above") == (kind == "positive")
        else "beyond its bound",
        "kind": SOURCE[kind],
    })
    for kind, alpha in zip(rewards.KINDS, chosen[1:])
    for side, part in (("below", np.append(grid[grid < alpha], alpha - 1e-9)),
                       ("above", np.append(alpha + 1e-9, grid[grid > alpha])))
])  # fmt: skip


def _cliff_alt(tables):
    parts = []
    for name, rows in tables.items():
        top = rows.loc[rows["reward"].idxmax()]
        low = rows.loc[rows["reward"].idxmin()]
        parts.append(
            f"{name}: greatest, {top.reward:.2f}, at a cosine of {top.similarity:.2f}; "
            f"least, {low.reward:.2f}, at {low.similarity:.2f}"
        )
    return "The difficulty reward against the cosine. " + "; ".join(parts) + "."


# %% tags=["hide-input"]
SIDES = {"inside its bound": "green", "beyond its bound": "purple"}


def _cliff_panel(kind, sign, alpha, at):
    """One case of Eq. 3, its bound marked; at: where the notes stand (cosine, above, below)."""
    x, above, below = at
    top = 1 - alpha if kind == "positive" else alpha
    return {
        "kind": "lines", "data": SOURCE[kind], "title": SOURCE[kind], "x": "similarity",
        "y": "reward", "series": "side", "markers": False, "xlabel": "cosine s", "ylabel": "r₂",
        "order": {"series": list(SIDES)}, "colors": SIDES,
        "xlim": (-0.33, 1.08), "ylim": (-1.4, 1.15), "hlines": [{"at": 0}],
        "vlines": [{"at": round(alpha, 3), "label": sign}],
        "notes": [{"x": x, "y": above, "text": f"just inside {sign} = {alpha:.2f}: +{top:.2f}"},
                  {"x": x, "y": below, "text": f"just beyond: −{top:.2f}"}],
    }  # fmt: skip


viz.Figure(
    {name: cliffs[cliffs["kind"] == name].drop(columns="kind") for name in SOURCE.values()},
    {"kind": "panels", "columns": 2, "height": 3.2, "panels": [
        _cliff_panel("positive", "α⁺", chosen.positive_bound, (0.2, 0.42, -1.25)),
        _cliff_panel("negative", "α⁻", chosen.negative_bound, (0.3, 0.98, -0.98)),
    ]},
    alt=_cliff_alt,
    label="fig-07-cliff",
    caption="Eq. 3 with the bounds that this chapter's rule chooses (dashed). Just inside its "
    "bound each case is greatest; a hair beyond, the same amount is taken away.",
)

# %% [markdown]
# {numref}`fig-07-cliff` has a shape that anyone who tunes policies should stop at: **the best
# place is at the edge of the cliff**.
# A policy that is paid by it will climb towards the edge, and an encoder that shifts by a
# hundredth moves the edge under its feet.

# %% [markdown]
# ## Both: Eq. 4
#
# $$
# r_\theta(x,y)=w_1\,r_1+w_2\,r_2
# $$ (eq-07-dual)
#
# with $w_1=w_2=0.5$ in the paper. (At the pocket tier we tune with 0.7 and 0.3.)

# %%
print(listing.essential(rewards.dual_reward))

# %% [markdown]
# What are the weights worth in each other's coin?
# Take a hard negative that is certainly right, $P=1$, with cosine $s$, and one that is certainly
# wrong, $P=0$, a hair inside $\alpha^-$.
# The right one earns more if
#
# $$
# s>\alpha^--\frac{w_1}{w_2} .
# $$ (eq-07-trade)
#
# With equal weights that is true of nearly every cosine there is: correctness comes first.
# With $w_2$ twice $w_1$, a right negative with a cosine of 0.4 loses against a paraphrase.

# %% [markdown]
# ## The landscape
#
# Now take hold of it.
# Colour is the reward: green earns, purple costs. The solid line is where it is zero, the
# dashed line is the cliff.
# Drag the circle, or give it the focus and press the arrow keys.
# Move the sliders, and watch two things: where the landscape is highest, and which of the
# generator's own answers would win. Large dots are those that earn most among the first $n$
# answers to their request.

# %% tags=["hide-input"]
policy = ledger.rows("07-policy").query("seed == 0 and row < 30").fillna({"text": ""})
# The generator answers what the policy was asked, so that the two compare.
watched = ch07.seen(ch07.judges()[0], list(policy["anchor"].unique()), ch07.CANDIDATES, 0)
reward_landscape(
    watched,
    chosen,
    policy=policy,
    label="fig-07-landscape",
    caption="The dual reward over cosine and probability, with real answers of the generator to "
    "30 anchors (one seed), and those of a policy to the same 30 at six steps of its tuning (the "
    "same seed, from the ledger). Tick *whole plane* for the answers further to the left. In "
    "print: the answers, which of 16 the reward would pick, and, shaded, what earns.",
)

# %% [markdown]
# Three things to try in {numref}`fig-07-landscape`.
#
# - Positives, $w_1=0$. The best answers gather at the cliff, and the share of right ones falls.
# - Hard negatives, $w_2=0$. Nearly all are right, and they lie further to the left.
# - Either kind: drag $\Omega$ from end to end. Colours change, the solid line moves, and not one
#   large dot does.
#
# And a fourth: choose *a policy*, press *tune*, and see the answers of a real policy move while PPO
# trains it with this reward. Generator and policy answer the same thirty anchors, which the tuning
# never met.

# %% [markdown]
# ## Where a policy will sit
#
# What the large dots show has a name, *best of $n$*: let the generator answer $n$ times, keep
# the answer that earns most.
# It is roughly where a policy goes that is pulled towards the reward and held near where it
# started, and it costs no training.
# So before PPO spends an hour we can ask of any reward, in seconds, whether we would like what it
# is going to get us.

# %%
released = ch07.released(table)
picks = ch07.compared(table, chosen, released["reward"])
HEADS = {"right": "right (%)", "copies": "copies (%)", "p": "probability", "similarity": "cosine"}
picks.query("n == 16")[["reward", "kind", *HEADS]].rename(columns=HEADS).style.hide().format(
    "{:.2f}", subset=["probability", "cosine"]
).format("{:.0f}", subset=["right (%)", "copies (%)"]).set_caption("best of 16; one seed, live")

# %% tags=["hide-input"]
best_of = ledger.rows("07-best-of")
WAYS = ["r₁ alone", "r₂ alone", "both", "both, without α"]
paths = best_of[best_of["reward"].isin(WAYS)].groupby(
    ["kind", "reward", "n"], as_index=False
)[["similarity", "right"]].mean()
paths["answers"] = paths["n"].map(lambda n: "16" if n == 16 else "")


def _paths_alt(tables):
    parts = []
    for name, df in tables.items():
        last = df[df["n"] == 16].set_index("reward")
        first = df[df["n"] == 1].iloc[0]
        parts.append(
            f"{name}: from {first.right:.0f} percent right at cosine {first.similarity:.2f}, "
            "best of 16 goes to " + ", ".join(
                f"{last.right[way]:.0f} percent at {last.similarity[way]:.2f} by {way}"
                for way in WAYS
            )
        )
    return "Paths of best of n in the plane of cosine and share right. " + "; ".join(parts) + "."


walk = {
    "kind": "path", "x": "similarity", "y": "right", "series": "reward", "step": "n",
    "label": "answers", "order": {"series": WAYS}, "ylim": (0, 105), "xlim": (0.66, 1.0),
    "xticks": [0.7, 0.8, 0.9, 1.0],
    "xlabel": "mean cosine of what is picked", "ylabel": "right, percent",
}
viz.Figure(
    {name: paths[paths["kind"] == kind] for kind, name in SOURCE.items()},
    {"kind": "panels", "columns": 2, "height": 3.6, "panels": [
        {**walk, "data": name, "title": name} for name in SOURCE.values()
    ]},
    alt=_paths_alt,
    label="fig-07-best",
    caption="Where each reward leads: best of 1, 2, 4, 8 and 16 answers. Means over three seeds, "
    "from the ledger.",
)

# %% [markdown]
# All paths of {numref}`fig-07-best` begin at one point, the generator as it is.
#
# *$r_2$ alone* walks to the cliff and takes mistakes for difficulty: from two answers on, the more
# it may choose from, the fewer of the chosen are right.
# This is *reward hacking* before any policy has been trained.
#
# *$r_1$ alone* gets the right ones. On hard negatives it moves to the **left**, to contradictions
# that are far away and easy. On positives it now and then picks a plain copy, which entails its
# anchor beyond doubt.
#
# *Both* are as right as $r_1$ alone, and the negatives are much harder.
# The positives gain next to nothing in hardness, and are rid of the copies.

# %%
ledger.show(
    "07-discriminator", "07-needs-correctness", "07-harder-positives", "07-harder-negatives"
)

# %% [markdown]
# Does a policy go where best of $n$ points? We tuned one for 32 steps of 64 answers, on three
# seeds, and asked it about 60 anchors that it had not met.

# %%
walked = ledger.rows("07-policy")
walked = walked[walked["step"].isin([0, 8, 16, 32])]
walked = walked.groupby(["kind", "step", "seed"])[["right", "copy", "p", "similarity"]].mean()
places = walked.groupby(["kind", "step"]).mean()


def ends_of(marks):
    """Least and greatest of the seeds."""
    return f"{marks.min():.0f} to {marks.max():.0f}"


places.insert(1, "range", (100 * walked["right"]).groupby(["kind", "step"]).agg(ends_of))
places = places.rename(columns=HEADS | {"copy": "copies (%)", "range": "of three seeds"})
places.style.format("{:.2f}", subset=["probability", "cosine"]).format(
    lambda x: f"{100 * x:.0f}", subset=["right (%)", "copies (%)"]
)

# %%
ledger.show("07-policy-right", "07-policy-negatives")

# %% [markdown]
# It goes part of the way. More is right on every seed.
# Harder negatives it does not learn in so few steps: among the right ones the cosine rises on two
# seeds of three, and by little.
# Best of $n$ says which way a reward pulls. How far a policy gets is another question, and
# chapter 8's.

# %% [markdown]
# ## Bounds that nobody printed
#
# The paper names $\Omega$, $\alpha^+$ and $\alpha^-$ and prints no value.
# The authors' code has 0.93, 0.70, and no $\alpha^-$ at all.
# We cannot take these over: a cosine of 0.7 means nothing until one knows the encoder.
#
# So we take a rule. Look at what the generator writes now, and at the answers that the
# discriminator accepts. Then
#
# - $\alpha^+$ is the 5 % quantile of the accepted positives' cosines: what is further away than
#   95 % of the accepted ones may be a mistake of the discriminator instead of a hard positive;
# - $\alpha^-$ is the 95 % quantile of the accepted hard negatives' cosines, for the same reason;
# - $\Omega$ is the 5 % quantile of the accepted answers' probabilities.
#
# No label is read. In adaptive rounds the rule is applied anew in each, so the bounds move with
# the encoder.

# %%
print(listing.essential(rewards.choose_bounds))

# %%
SIGNS = {"lower_bound": "Ω", "positive_bound": "α⁺", "negative_bound": "α⁻"}
pd.DataFrame([chosen]).rename(columns=SIGNS).round(3)

# %% [markdown]
# The same answers and the same rule, with an encoder that has seen no label:

# %%
by_encoder = ledger.rows("07-encoders").groupby("encoder")
by_encoder[["positive_bound", "negative_bound"]].agg(["min", "max"]).rename(
    columns=SIGNS
).round(2)

# %% [markdown]
# (Over three seeds.) $\alpha^-$ stays, and $\alpha^+$ falls to about zero.
# The unsupervised encoder puts honest paraphrases anywhere.
# A fixed 0.70 would call a large part of them mistakes.
#
# Is the 5 % a lucky number? Best of 16 by the dual reward, with bounds from other quantiles and
# with none:

# %%
quantiles = ledger.rows("07-quantiles")
by_quantile = quantiles.groupby(["quantile", "kind"], sort=False)
dial = by_quantile[["positive_bound", "negative_bound", "right"]].mean()
dial["of three seeds"] = by_quantile["right"].agg(ends_of)
dial["cosine"] = by_quantile["similarity"].mean()
dial.rename(columns=SIGNS | {"right": "right (%)"}).style.format(precision=2).format(
    "{:.0f}", subset="right (%)"
)

# %% [markdown]
# (Means over three seeds.)
# The quantile is a dial between hard and right. It is not a fine one, but at a quantile of 0.01
# positives begin to suffer.
#
# $\alpha^+$ earns its keep: without it, five to eleven positives in a hundred more are wrong.
# $\alpha^-$ we could not see at work. A paraphrase that poses as a negative is caught by the
# discriminator already, and no bound is needed where $r_1$ stands guard.

# %%
ledger.show("07-eq3-cliff", "07-omega-shift", "07-lower-bound", "07-upper-bound", "07-quantile",
            "07-bound-encoder")

# %% [markdown]
# ## Another reward, under the same name
#
# The authors released their code, and with it a reward service. It computes something else.
# That happens easily: a reward may grow by patches while one tunes, and a paper is written from the
# idea.
#
# | term | the paper | the released code |
# |---|---|---|
# | $r_1$, target predicted | $P-\Omega$ | $30\,(P-0.93)$ |
# | $r_1$, another label predicted | $P-\Omega$ | 1.5 × the target's raw logit; a negative predicted neutral: −1 |
# | $r_2$, positive | $(1-s)\operatorname{sgn}(s-\alpha^+)$ | $15\,(0.85-s)$, sign turned below 0.70 |
# | $r_2$, negative | $s\operatorname{sgn}(\alpha^--s)$ | $15\,(s-0.65)$: no upper bound |
# | sum | 0.5 and 0.5 | 1 and 1, and terms for form |
# | form | none | +0.5 if clean; lost words −⅓ each, and −4 if more than five; −3.5 unless …; near copy: −5 *instead of* $r_1$, $r_2$ and the bonus; under five characters −7, not ASCII −8, *instead of* everything |
#
# We have it as `rewards.released_reward`, part by part.

# %%
parts = ["correctness", "difficulty", "form", "length", "always", "replaced", "reward"]
sample = table.join(released).groupby(["kind", "right"]).head(1)
words = sample["right"].map({True: "right", False: "wrong"})
sample.set_index(sample["kind"] + ", " + words)[["text", *parts]].T.style.format(
    lambda x: x if isinstance(x, str) else "–" if x != x else f"{x:.1f}"
)

# %% [markdown]
# ### A condition that is always true
#
# Look at the row *always*. The code wants to take 3.5 points from texts that do not end with
# a full stop or a quotation mark, and says
#
# ```python
# if text[-1] != "." or text[-1] != '"':
#     points -= 3.5
# ```
#
# No character is both. So the condition is true of every text, and all pay.
#
# Does it matter? To whom all pay alike, nothing has changed, as with $\Omega$.
# But not all pay: a text under five characters has its reward set to −7 and goes home before the
# condition is reached.

# %%
blank = rewards.released_reward(["a man is running"], [" "], ["positive"], [[0.0, 0, 0]], [0])
print("saying nothing earns", blank["reward"].item())
print(f"answers that earn less: {100 * (released['reward'] < -7).mean():.0f} %, of the right",
      f"ones {100 * (released['reward'][table['right']] < -7).mean():.0f} %")

# %% [markdown]
# A quarter of what the generator writes would do better to be silent.
# A policy need not be clever to find that out. It has to stumble over one blank.

# %% [markdown]
# ### Better wrong than unsure
#
# $30\,(P-0.93)$ is paid where the asked-for label wins, and something mild where it loses.

# %% tags=["hide-input"]
negatives = table["kind"] == "negative"
dip = pd.DataFrame({
    "p": table["p"], "points": released["correctness"], "kind": table["kind"].map(SOURCE),
})  # fmt: skip


def _dip_alt(df):
    unsure = df[df["p"].between(0.5, 0.8)]["points"]
    low, high = df[df["p"] < 0.5]["points"], df[df["p"] > 0.93]["points"]
    return (
        "The released correctness reward against the probability of the target. Below one half "
        f"the mean is {low.mean():.1f}, from one half to 0.8 it is {unsure.mean():.1f}, above "
        f"0.93 it is {high.mean():.1f}."
    )


viz.Figure(
    dip,
    {
        "kind": "scatter", "x": "p", "y": "points", "series": "kind", "height": 3.2,
        "xlabel": "probability of the target", "ylabel": "released correctness",
        "vlines": [{"at": 0.93, "label": "0.93"}], "hlines": [{"at": 0}],
        "colors": {"positives": "blue", "hard negatives": "orange"},
    },
    alt=_dip_alt,
    label="fig-07-dip",
    caption="What the released code pays for correctness, for 4,800 real answers (one seed). "
    "Eq. 2 would be one straight line.",
)

# %% [markdown]
# The ditch in {numref}`fig-07-dip` lies exactly where a policy that is learning must pass: from
# *refused* to *accepted*.
# An answer that has just won the discriminator over pays up to thirteen points. With $P$ from 0.5 to
# 0.8 it has, on average, five points less than one that is refused.

# %%
recipe_values = {
    **ch07.dual_values(table, chosen, picks),
    **ch07.released_values(table, chosen, picks, released),
}
for claim, value in recipe_values.items():
    ledger.record(claim, value, minutes=(time.perf_counter() - started) / 60)
ledger.show("07-released-always", "07-released-silence", "07-released-hesitant",
            "07-released-order", "07-released-negatives")

# %% [markdown]
# ### And yet
#
# For all that, best of 16 by the released reward is no catastrophe: its order of the answers agrees
# with that of the equations in part (Spearman 0.65). Its negatives are harder than those by Eqs. 2 to 4 (a cosine of 0.92 against
# 0.87), and more of them are wrong, as one would expect without $\alpha^-$ and with difficulty
# paid that well.
#
# The lesson is not that somebody made a mistake.
# It is that *a reward is what the code pays*. Three habits find most of it:
# print the parts for real outputs; ask what the laziest possible text earns; and let best of $n$
# show you your policy before you train it.

# %% [markdown]
# ## Ready for a trainer
#
# `rewards.reward_functions` joins kernels and judges. It gives the two parts as functions of
# texts, in the form that TRL's trainers take, and our PPO too.
# Anchors are embedded once, and rows of similar length are judged together.

# %%
generator, discriminator, encoder = ch07.judges()
r1, r2 = rewards.reward_functions(discriminator, encoder.encode, **chosen._asdict())
said = ["a guy is running", "a man is running", "a man is sitting", "a dog is sleeping", ""]
asked = ["positive", "positive", "negative", "negative", "negative"]
anchor = ["a man is running"] * 5
pd.DataFrame({
    "asked for": asked, "answer": said,
    "r₁": r1(completions=said, anchor=anchor, kind=asked),
    "r₂": r2(completions=said, anchor=anchor, kind=asked),
}).assign(r=lambda df: 0.5 * df["r₁"] + 0.5 * df["r₂"]).style.hide().format(precision=2)

# %% [markdown]
# ```python
# from trl import RLOOConfig, RLOOTrainer
#
# RLOOTrainer(
#     model=generator, reward_funcs=[r1, r2],
#     args=RLOOConfig(reward_weights=[0.5, 0.5]),
#     train_dataset=tasks,   # columns prompt, anchor, kind: art.tasks(anchors)
# )
# ```
#
# `art.tune_with_trl` is this call with a tier's settings, and `art.tune` the same for PPO.

# %% [markdown]
# ## The chapter's ledger
#
# In one sentence: both parts of the reward are needed and $\alpha^+$ earns its keep, while
# $\alpha^-$ could not be seen at work.

# %%
ledger.show(chapter=7)

# %% [markdown]
# ## Exercises
#
# ```{exercise} The reward by hand
# :label: ex-07-reward
#
# *10 minutes.* Equations {eq}`eq-07-correctness` to {eq}`eq-07-dual` for arrays of answers.
# `positive` says which are positives. Mind what is paid on the bound itself.
# ```

# %% tags=["solution"]
def dual_reward(p, s, positive, omega, alpha_plus, alpha_minus, w1=0.5, w2=0.5):
    """Reward of n answers.

    p, s: arrays [n], probability of the target and cosine; positive: bool array [n].
    """
    ### BEGIN SOLUTION: one equation after the other
    r1 = p - omega
    r2 = np.where(positive, (1 - s) * np.sign(s - alpha_plus), s * np.sign(alpha_minus - s))
    return w1 * r1 + w2 * r2
    ### END SOLUTION


# %%
checks.ch07.dual_reward(dual_reward)

# %% [markdown]
# ```{exercise} What is correctness worth?
# :label: ex-07-trade
#
# *10 minutes.* A hard negative with $P=p$ competes with a certainly wrong one ($P=0$) a hair
# inside $\alpha^-$. From which cosine on does it earn at least as much? Generalise
# {eq}`eq-07-trade` to any $p$. Cosines lie in $[-1,1]$: where every cosine will do return −1,
# and where none below $\alpha^-$ will do return `None`.
# ```

# %% tags=["solution"]
def break_even(p, alpha_minus, w1, w2):
    """Least cosine s in [-1, α⁻) with w1·p + w2·s ≥ w2·α⁻, or None (w1 ≥ 0, w2 > 0)."""
    ### BEGIN SOLUTION: solve for s, then mind both ends
    s = alpha_minus - w1 * p / w2
    return None if s >= alpha_minus else max(-1.0, s)
    ### END SOLUTION


# %%
checks.ch07.break_even(break_even)

# %% [markdown]
# ```{exercise} Bounds by the rule
# :label: ex-07-bounds
#
# *15 minutes.* $\alpha^+$ and $\alpha^-$ by the rule of this chapter: quantiles of the cosines of
# *accepted* answers, those with $P>0.5$. Which end is each quantile at?
# ```

# %% tags=["solution"]
def bounds(p, s, positive, quantile=0.05):
    """(α⁺, α⁻) from n answers; p, s: arrays [n]; positive: bool array [n]."""
    ### BEGIN SOLUTION: who counts, and which quantile of whom?
    accepted = p > 0.5
    low = np.quantile(s[accepted & positive], quantile)
    high = np.quantile(s[accepted & ~positive], 1 - quantile)
    return float(low), float(high)
    ### END SOLUTION


# %%
checks.ch07.bounds(bounds)

# %% [markdown]
# ```{exercise} Mend the condition
# :label: ex-07-ending
#
# *5 minutes.* Write what the released condition was meant to say: 3.5 points are taken from a
# text that ends neither with a full stop, `.`, nor with a double quotation mark, `"`. A blank text
# ends with neither. Space at the end does not count.
# ```

# %% tags=["solution"]
def ending_penalty(text):
    """0.0 or -3.5."""
    ### BEGIN SOLUTION: neither … nor
    return 0.0 if text.rstrip().endswith((".", '"')) else -3.5
    ### END SOLUTION


# %%
checks.ch07.ending_penalty(ending_penalty)

# %%
checks.progress(7)  # all checks of this chapter once more

# %% [markdown]
# Further, without a check: *What is the laziest text?* Find, by hand or by search, the text that
# earns most under Eqs. 2 to 4 for the anchor "a man is running" as a hard negative. Is it what you
# would teach an encoder? Then change one number so that your text no longer wins.

# %% [markdown]
# ## Three sentences to remember
#
# 1. Paid for difficulty alone, a policy gets mistakes; paid for correctness alone, it gets what
#    is easy.
# 2. The best place of the reward lies at the edge of its cliff, and the cliff moves with the
#    encoder.
# 3. A reward is what the code pays: print its parts, look for the laziest text, and let best of
#    $n$ show where it leads.
#
# ```{quiz} 7
# ```
#
# ## What to read next
#
# Best of $n$ shows where a reward leads; reinforcement learning goes there. Chapter 8 builds the
# loop {cite}`schulman2017ppo`, with a penalty for leaving the language behind
# {cite}`ziegler2019finetuning,ouyang2022instructgpt`, and {ref}`ch-09` turns the wheel three times.
#
# {doc}`/notebooks/04_self_curation` lets the writer itself be the judge; compare what it overlooks
# with what our discriminator does.
