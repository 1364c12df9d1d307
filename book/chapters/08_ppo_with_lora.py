# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch-08)=
# # PPO with LoRA
#
# {ref}`ch-07` built a reward: a number that says how right and how hard a sentence is.
# Nobody can differentiate it. It comes from two judges that read finished text.
#
# So how does a language model learn from it?
# It tries. It writes an answer, hears one number, and makes what was better than expected a little
# more likely.
#
# That is all that reinforcement learning does here. The rest of this chapter is about the two words
# *expected* and *a little*: what we compare with, and how far one number may move a model.
#
# **You will be able to**
#
# - turn one reward for a whole answer into an advantage for each of its tokens;
# - name the term of the equations that each line of a PPO loop computes;
# - keep one model in memory where others keep two;
# - read a dashboard of a tuning run, and see in it whether the policy learns, stands still, breaks or
#   cheats;
# - choose a KL coefficient, and say what happens on both sides of it.
#
# **Time and memory.** About one minute on one idle processor core and 1 GB of memory. Nothing is
# downloaded.

# %%
import synthlib

synthlib.preflight()

# %%
import time

import numpy as np
import pandas as pd
import torch

from synthlib import checks, ledger, listing, models, ppo, prompts, rewards, viz
from synthlib.methods import art
from synthlib.experiments import ch08

pd.set_option("display.max_colwidth", None)

# %% [markdown]
# ## The idea, with one picture

# %% tags=["hide-input"]
viz.Figure(
    [
        {"source": "prompt", "target": "policy", "what": "1 ask"},
        {"source": "policy", "target": "answer", "what": "2 write"},
        {"source": "answer", "target": "reward", "what": "3 judge"},
        {"source": "reward", "target": "advantage", "what": "4 compare"},
        {"source": "advantage", "target": "new policy", "what": "5 update"},
    ],
    {"kind": "flow", "source": "source", "target": "target", "label": "what"},
    alt="A road of six stations: a prompt is put to the policy, which writes an answer; the judges "
    "turn it into a reward; compared with what was expected it becomes an advantage; the update "
    "makes a new policy of it.",
    label="fig-08-road",
    caption="One step of PPO. It is repeated with the new policy.",
)

# %% [markdown]
# A *policy* is a language model that is being tuned, written $\pi$.
# It is asked for a positive or a negative of an *anchor* $x$, writes $y$, and the episode is over
# ({numref}`fig-08-road`). No second move: the literature calls such an environment a *bandit*.
#
# ART maximises (Eq. 1)
#
# $$
# \begin{aligned}
# &\mathbb{E}_{x,\,y\sim\pi}\bigl[\,r(x,y)\\
# &-\beta\,D_\text{KL}\bigl(\pi(y\mid x)\,\Vert\,\pi^\text{ref}(y\mid x)\bigr)\bigr].
# \end{aligned}
# $$ (eq-08-objective)
#
# $r$ is the dual reward of {ref}`ch-07`. $\pi^\text{ref}$ is the *reference*, the model as it was
# before tuning. $D_\text{KL}$ measures how far the policy has moved away from it, and $\beta$ what a
# nat of distance costs.
#
# Why pay for distance? Because $r$ is only a model of what we want.
# Far from the text that its judges know, it can be wrong, and a policy that is paid for being wrong
# will find the place.

# %% [markdown]
# ## One model in memory
#
# Equation {eq}`eq-08-objective` needs two models, the policy and its reference.
# Of a model with seven billion weights that hurts.
#
# LoRA {cite}`hu2022lora` solves it on the way. The weights $W$ of the model stay frozen.
# Beside each adapted layer stand two thin matrices, and only they are trained:
#
# $$
# \begin{gathered}
# h = Wx + \tfrac{\alpha}{r}\,BAx,\\
# A\in\mathbb{R}^{r\times d},\quad B\in\mathbb{R}^{d'\times r}.
# \end{gathered}
# $$ (eq-08-lora)
#
# Here $r$ is the rank, no reward, and $\alpha$ a scale, no bound.
# $B$ begins at zero, so the policy begins as the reference.
# And at any time, *switching the adapter off* gives the reference back.

# %%
start = time.perf_counter()
generator = models.load_generator(ch08.LLAMA, device="cpu")
settings = ch08.settings()
policy = art.policy(generator, settings)
tuned_on, unseen = ch08.anchors(0)
tasks = art.tasks(tuned_on, prompts.form_of(generator[0]))
pd.DataFrame(tasks[:2])

# %%
torch.manual_seed(0)
answers = policy.write([task["prompt"] for task in tasks[:4]], max_new_tokens=28)


def distance():
    """Mean of |log π − log π_ref| over the tokens of these answers."""
    with torch.no_grad():
        on, _, _ = policy(answers)
        with policy.adapter_off():
            off, _, _ = policy(answers)
    return (on - off)[answers.mask].abs().mean().item()


at_first = distance()
layers = [p for name, p in policy.named_parameters() if "lora_B" in name]
with torch.no_grad():
    layers[0].add_(0.1)  # as if something had been learnt
after_a_change = distance()
with torch.no_grad():
    layers[0].zero_()
print(f"policy and reference differ by {at_first:.3f} at first, {after_a_change:.3f} after a "
      f"change of one layer, {distance():.3f} when it is taken back")

# %%
base = sum(p.numel() for p in generator[0].parameters() if not p.requires_grad)
trained = sum(p.numel() for p in policy.parameters() if p.requires_grad)
ratio = (base + trained) / (2 * base + trained)
ledger.record("08-one-model", ratio)
pd.DataFrame({
    "weights held": {
        "adapter off as reference": base + trained,
        "policy and a frozen copy": 2 * base + trained,
    }
}).assign(share=lambda df: df["weights held"] / (2 * base + trained)).style.format(
    {"weights held": "{:,}", "share": "{:.0%}"}
)

# %% [markdown]
# Our generator is so small, and adapted in so many layers, that the adapter is a large part of it.
# Of a large model it is a hair: at the shape of Qwen2.5-0.5B the two ways hold 1.01 and 1.99 GB
# (computed from the shapes, without activations; `benchmarks/README.md`).
#
# The price is a second pass through the same model instead of through another one. It costs the same
# time.

# %% [markdown]
# ## From one reward to many tokens
#
# The judges see an answer. The model chose *tokens*, one after another.
# Which of them deserve the praise?
#
# **The penalty is paid at each token**, the reward at the last:
#
# $$
# \begin{aligned}
# r_t=&-\beta\,\log\frac{\pi(y_t\mid x,y_{<t})}{\pi^\text{ref}(y_t\mid x,y_{<t})}\\
# &+\begin{cases}r(x,y)&t=T\\0&\text{else.}\end{cases}
# \end{aligned}
# $$ (eq-08-token)
#
# Summed over the answer, its mean is {eq}`eq-08-objective`.

# %%
print(listing.essential(ppo.token_rewards))

# %% [markdown]
# **What was expected** is the work of a second head on the same model, one linear layer on its last
# hidden state: the *value* $V_t$, a guess of all that is still to be paid when token $t$ is about to be
# chosen.
#
# **The advantage** says how much better than expected it went {cite}`schulman2016gae`.
# One token's surprise is
#
# $$
# \delta_t=r_t+\gamma V_{t+1}-V_t,
# $$ (eq-08-delta)
#
# and the advantage adds up the surprises from here on, the later the less:
#
# $$
# A_t=\delta_t+\gamma\lambda\,A_{t+1}.
# $$ (eq-08-gae)
#
# Behind the end, $V$ and $A$ are zero. $\gamma$ is 1 here: an answer of a dozen tokens needs no
# discount. $\lambda$ decides how far the praise travels back.

# %%
print(listing.essential(ppo.gae))

# %% [markdown]
# An example that fits on paper. An answer of four tokens, a small penalty at each, a reward of 0.6 at
# the end. The value head has expected 0.2 all along.

# %%
r = torch.tensor([[-0.02, -0.05, 0.0, 0.6]])
V = torch.full((1, 4), 0.2)
everything = torch.ones(1, 4, dtype=torch.bool)
small = pd.DataFrame({"token": [1, 2, 3, 4], "reward": r[0], "value": V[0]})
for lam in (0.0, 0.95, 1.0):
    small[f"A, λ = {lam:g}"] = ppo.gae(r, V, everything, lam=lam)[0][0]
small.style.hide().format("{:.2f}", subset=small.columns[1:])

# %% [markdown]
# At $\lambda=0$ the whole surprise falls on the last token, which is often a full stop.
# At $\lambda=1$ every token gets what came after it, less what had been expected: fair, but noisy,
# since each token is praised for the luck of all later ones.
# $\lambda=0.95$, as in the released code, lies between.
#
# Last, over a whole batch, advantages are *whitened*: mean 0, deviation 1. About half of the tokens
# are then praised and the others blamed, whatever the scale of the reward.

# %% [markdown]
# ## A little
#
# The gradient of $\log\pi$ times the advantage would do. But the answers are dear, so we want to learn
# from each batch more than once. After the first update it was written by *another* policy,
# $\pi_\text{old}$.
#
# The ratio $\rho_t=\pi(y_t)/\pi_\text{old}(y_t)$ corrects for that, as long as it stays near 1.
# PPO {cite}`schulman2017ppo` therefore pays nothing for leaving $[1-\epsilon,1+\epsilon]$:
#
# $$
# \begin{aligned}
# &L=\mathbb{E}_t\bigl[\min\bigl(\rho_t A_t,\\
# &\qquad\operatorname{clip}(\rho_t,1-\epsilon,1+\epsilon)\,A_t\bigr)\bigr].
# \end{aligned}
# $$ (eq-08-clip)

# %% tags=["hide-input"]
EPSILONS = (0.1, 0.2, 0.4)
ratios = np.linspace(0.3, 1.9, 81)


def objective(rho, advantage, epsilon):
    """−policy loss of one token, by the kernel."""
    log_p = torch.tensor([[np.log(rho)]])
    zero, one = torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool)
    old = dict(log_p=zero, value=zero, returns=zero, advantage=zero + advantage)
    return -ppo.ppo_loss(log_p, zero, old, one, clip=epsilon)[1]["policy"]


clipped = pd.DataFrame([
    {"ratio": rho, "objective": objective(rho, a, epsilon), "epsilon": epsilon,
     "token": f"{word} token, A = {a:+d}"}
    for epsilon in EPSILONS for word, a in (("good", 1), ("bad", -1)) for rho in ratios
])


def _clip_alt(df):
    text = []
    for token, part in df[df.epsilon == 0.2].groupby("token", sort=False):
        flat = part[part.objective.diff().abs() < 1e-6].ratio
        text.append(f"For a {token} it is flat from {flat.min():.1f} to {flat.max():.1f}.")
    return "The clipped objective against the ratio at epsilon 0.2. " + " ".join(text)


viz.Figure(
    clipped,
    {
        "kind": "lines", "x": "ratio", "y": "objective", "series": "token",
        "xlabel": "ratio ρ of new to old probability", "ylabel": "objective",
        "vlines": [{"at": 1, "label": "unchanged"}],
        "controls": [{"name": "epsilon", "type": "choice", "label": "ε", "column": "epsilon",
                      "value": 0.2}],
    },
    alt=_clip_alt,
    label="fig-08-clip",
    caption="What one token contributes to the clipped objective. Where a line is flat there is no "
    "gradient: the token has been moved far enough. (Computed by `ppo.ppo_loss`.)",
)

# %% [markdown]
# Read {numref}`fig-08-clip` from the 1 outwards.
# A good token gains while its probability rises, up to $1+\epsilon$. Then the push ends.
# A bad token is pushed down to $1-\epsilon$.
# In the other direction nothing is flat: if the policy has moved *against* the advantage, it is called
# back from anywhere. That is what the minimum is for.
#
# The value head learns by least squares, clipped in the same spirit. Here is the loss whole.

# %%
print(listing.essential(ppo.ppo_loss))

# %% [markdown]
# | line | term |
# |---|---|
# | `ratio` | $\rho_t$ |
# | `free`, `clipped` | $-\rho_tA_t$ and $-\operatorname{clip}(\rho_t)A_t$; a loss is minimised, so the signs turn |
# | `policy` | $-L$ of {eq}`eq-08-clip`: the larger of two losses is the smaller of two objectives |
# | `near`, `error`, `fit` | $\tfrac12(V_t-R_t)^2$ with $R_t=A_t+V_t^\text{old}$, and $V$ not further than $\epsilon_v$ from what it was |
# | `policy + value_weight * fit` | one loss, for the adapter and the value head together |
#
# ## The loop
#
# Everything is there. This is PPO.

# %%
def loop(policy, tasks, pay, *, steps, answers_a_step=32, kl=0.05, rate=2e-3):
    """Tune a policy, and return the mean reward of each step."""
    trained = [p for p in policy.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0)
    paid = []
    for step in range(steps):
        batch = tasks[step * answers_a_step : (step + 1) * answers_a_step]
        # 1, 2: ask and write. 3: the judges pay.
        answers = policy.write([task["prompt"] for task in batch], max_new_tokens=28)
        mask, scores = answers.mask, pay(batch, policy.texts(answers))
        # What the policy and its reference think of these tokens.
        with torch.no_grad():
            log_p, _, value = policy(answers)
            with policy.adapter_off():
                reference, _, _ = policy(answers)
        # 4: compare with what was expected.
        reward = ppo.token_rewards(scores, log_p, reference, mask, kl=kl)
        advantage, returns = ppo.gae(reward, value, mask)
        old = dict(log_p=log_p, value=value, returns=returns,
                   advantage=ppo.whiten(advantage, mask))
        # 5: two passes over the batch, half of it at a time.
        for rows in [*torch.randperm(len(batch)).chunk(2), *torch.randperm(len(batch)).chunk(2)]:
            log_p, _, value = policy(answers.rows(rows))
            before = {name: column[rows] for name, column in old.items()}
            loss, _ = ppo.ppo_loss(log_p, value, before, mask[rows])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
        paid.append(scores.mean().item())
    return paid


# %% [markdown]
# The judges are those of {ref}`ch-07`. The bounds $\Omega$, $\alpha^+$ and $\alpha^-$ come from its rule.

# %%
bounds = ch08.bounds(0)
correctness, difficulty = rewards.reward_functions(*ch08.judges(), **bounds._asdict())


def pay(batch, texts):
    """w₁ r₁ + w₂ r₂ of each answer."""
    columns = {key: [task[key] for task in batch] for key in ("anchor", "kind")}
    r1 = np.array(correctness(texts, **columns))
    r2 = np.array(difficulty(texts, **columns))
    return torch.tensor(settings.w1 * r1 + settings.w2 * r2, dtype=torch.float32)


torch.manual_seed(1)
paid = loop(policy, tasks, pay, steps=3)
print("mean reward of three steps:", [round(x, 2) for x in paid])
print(f"{time.perf_counter() - start:.0f} s since the models were loaded")

# %% [markdown]
# Three steps of 32 answers show that it runs, and little more: the reward of so few answers goes up
# and down by itself.
#
# `ppo.train` is this loop with what a long run needs: a learning rate that falls
# to zero, the best adapter kept, checkpoints, several processes, gradients that add up over small
# passes when memory is short, an early stop when the policy runs away, and a log.
#
# ## A tuning run, live
#
# 24 steps of 64 answers, positives and negatives mixed, no anchor asked twice.
# The oracle of {ref}`ch-02` reads along and counts how many answers are *right*. It is a spectator:
# nothing that it sees reaches the policy.
#
# **Before you look, predict.** The policy is paid for correct answers and for difficult ones.
# Which part of its reward will rise?

# %%
start = time.perf_counter()
run = ch08.Run(0, ch08.PPO)
minutes = (time.perf_counter() - start) / 60
log = run.log
shown = ["step", "reward", "correctness", "difficulty", "kl", "entropy", "right"]
print(f"{60 * minutes:.0f} s")
log.loc[[0, 7, 15, 23], shown].style.hide().format("{:.2f}", subset=shown[1:])

# %% tags=["hide-input"]
DASHBOARD = {
    "reward": "reward", "correctness": "r₁, correctness", "difficulty": "r₂, difficulty",
    "kl": "KL (nats an answer)", "entropy": "entropy (nats)", "clip_fraction": "clipped tokens",
    "explained_variance": "explained variance", "length": "length (tokens)",
    "right": "right, says the oracle",
}
EACH, OVER = "each step", "mean of the last five"
panels = pd.concat([
    log[["step", *DASHBOARD]].assign(curve=EACH),
    log[list(DASHBOARD)].rolling(5, min_periods=1).mean().assign(step=log["step"], curve=OVER),
], ignore_index=True)  # fmt: skip


def _dashboard_alt(df):
    df = df[df["curve"] == EACH].drop(columns="curve")
    first, last = df.head(6).mean(), df.tail(6).mean()
    return "Nine curves over the steps of a tuning run; mean of the first and of the last six: " + (
        "; ".join(f"{name} {first[c]:.2f} to {last[c]:.2f}" for c, name in DASHBOARD.items())
    ) + "."


viz.Figure(
    panels,
    {
        "kind": "panels", "columns": 3,
        "panels": [
            {"kind": "lines", "x": "step", "y": column, "title": title, "ylabel": "",
             "series": "curve", "colors": {EACH: "grey", OVER: "blue"}, "markers": False,
             "order": {"series": [EACH, OVER]}, "xlabel": "step",
             **({"ylim": (0, 0.4)} if column == "clip_fraction" else {})}
            for column, title in DASHBOARD.items()
        ],
        "controls": [
            {"name": "step", "type": "range", "label": "up to step", "column": "step",
             "upto": True, "value": int(panels.step.max())},
            {"name": "play", "type": "play", "of": "step", "seconds": 8, "label": "play"},
        ],
    },
    alt=_dashboard_alt,
    label="fig-08-dashboard",
    caption="The dashboard of the live run (seed 0): each step of 64 answers, and over it the mean "
    "of the last five. Only the last picture needs an oracle; the others are in any run's log.",
)

# %% [markdown]
# How to read {numref}`fig-08-dashboard`:
#
# - **Reward and its parts.** What is paid. Look at the parts: a sum can rise while one of them falls.
# - **KL.** How far the policy has gone, in nats an answer. It begins at 0 and should settle.
# - **Entropy.** How undecided the policy is at a token. A fall toward 0 means that it has one answer
#   to each request, and gives it every time.
# - **Clipped tokens.** The share that has reached the edge of {eq}`eq-08-clip`. Near 0 the steps are
#   small. Above a third they are too large.
# - **Explained variance** of the value head: 1 means that it foresees every reward, 0 that it knows the
#   mean only. Ours learns little in so short a run. PPO works without a good guess, only more noisily.
# - **Length**, with the shares of copies and blanks in the log. Many cheats begin here.
#
# And the answers themselves, which no curve replaces:

# %%
samples = run.samples.assign(outcome=ch08.right(run.samples))
samples[samples["row"] == samples["row"].iloc[0]].sort_values(["kind", "step"])[
    ["kind", "step", "text", "outcome"]
].style.hide().set_caption("anchor: " + samples["anchor"].iloc[0])

# %% [markdown]
# Is the tuned generator better on anchors that it has never seen? `examine` asks for one answer of each
# kind to 200 of them.

# %%
before, after = ch08.before(0), ch08.examine(0, run.model, run.tokenizer)
gain = ch08.accuracy(after) - ch08.accuracy(before)
ledger.record("08-accuracy", gain, minutes=minutes)
rise = log["reward"].tail(6).mean() - log["reward"].head(6).mean()
ledger.record("08-reward-rises", rise, minutes=minutes)
pd.concat([
    ch08.outcomes(table).assign(when=when).rename(
        columns={"similarity": "cosine", "p": "probability"}
    )
    for when, table in (("before", before), ("after", after))
]).set_index(["kind", "when"]).sort_index(ascending=[True, False]).style.format(
    lambda x: f"{x:.0%}", subset=["right", "copied", "opposite", "neutral", "broken"]
).format("{:.2f}", subset=["probability", "cosine"])

# %% [markdown]
# More answers are right, of both kinds, and copies are gone or rare. On this seed some of the gain is paid for
# with splinters: an answer that is no sentence of the world (*broken*) was rare before.
#
# ## How much may it move?
#
# The penalty has one number, $\beta$. What is the right one?
#
# For a bandit the answer to {eq}`eq-08-objective` is known in closed form:
#
# $$
# \begin{aligned}
# \pi^{*}(y\mid x)\;\propto\;&\pi^\text{ref}(y\mid x)\\
# &\times\exp\bigl(r(x,y)/\beta\bigr).
# \end{aligned}
# $$ (eq-08-optimum)
#
# The best policy is the reference, *tilted* toward the reward. With a large $\beta$ it is hardly tilted.
# With $\beta\to0$ only the best answer is left, of whatever the reward calls best.
# (The last exercise is this formula; the tests of `ppo.train` hold the loop against it.)
#
# We tuned with three coefficients: none, the pocket tier's 0.05, and ten times that.

# %% tags=["hide-input"]
NAMED = {ch08.PPO: "β = 0.05"}


def in_fours(rows, columns):
    """Means over four steps each, by seed: single steps of 64 answers are noisy."""
    four = rows.assign(step=4 * ((rows["step"] - 1) // 4 + 1), run=rows["run"].replace(NAMED))
    return four.groupby(["run", "seed", "step"], as_index=False)[columns].mean()


def _ends_alt(df):
    last = df[df.step == df.step.max()].groupby("run", sort=False)[["kl", "right"]].mean()
    return "KL and share of right answers by step, three seeds. At the end: " + "; ".join(
        f"{run} {row.kl:.1f} nats and {row.right:.0%} right" for run, row in last.iterrows()
    ) + "."


def kl_and_right(study, colours, **about):
    """Both curves of the runs that have a colour."""
    drift = in_fours(ledger.rows(f"08-{study}-log"), ["kl", "right"])
    panel = {
        "kind": "lines", "x": "step", "series": "run", "markers": True, "xlabel": "step",
        "colors": colours, "order": {"series": list(colours)},
    }
    return viz.Figure(
        drift[drift["run"].isin(colours)],
        {
            "kind": "panels", "columns": 2, "legend": True,
            "panels": [
                panel | {"y": "kl", "title": "distance", "ylabel": "KL (nats an answer)"},
                panel | {"y": "right", "title": "what it is for", "ylabel": "right answers"},
            ],
        },
        alt=_ends_alt, **about,
    )


# %% tags=["hide-input"]
kl_and_right(
    "kl", {"β = 0": "orange", "β = 0.05": "blue", "β = 0.5": "green"}, label="fig-08-kl",
    caption="Three coefficients of the penalty, means of four steps (three seeds, committed; "
    "bands: range). The oracle's count is not seen by any run.",
)

# %% tags=["hide-input"]
def study(name, named=None, only=None):
    """Kept rows of a study: shares of outcomes over both kinds, means over the seeds; and what is
    gained, seed by seed, with its 95 % interval."""
    rows = ledger.rows(f"08-{name}").replace({"run": named or {}})
    rows = rows[rows["run"].isin(only)] if only else rows
    both = rows.groupby(["run", "seed"], sort=False)[["right", "broken"]].mean()
    table = both.groupby(level="run", sort=False).mean()
    right = 100 * both["right"].unstack("run")
    gained = [
        "" if run == "before" else ledger.mean_and_interval(right[run] - right["before"], 0)
        for run in table.index
    ]
    table.insert(1, "points more than before (95 %)", gained)
    kinds = rows.groupby(["run", "kind"], sort=False)[["right", "similarity"]].mean().unstack()
    for kind in art.KINDS:
        table[f"right {kind}s"] = kinds["right", kind]
    for kind in art.KINDS:
        table[f"cosine of {kind}s"] = kinds["similarity", kind]
    shares = ["right", "broken", *(f"right {kind}s" for kind in art.KINDS)]
    return table.style.format("{:.0%}", subset=shares).format(
        "{:.2f}", subset=[c for c in table if c.startswith("cosine")]
    )


study("kl", NAMED).set_caption("200 unseen anchors, one answer of each kind; three seeds")

# %% [markdown]
# **None is too little.** Without the penalty the policy wanders: its KL ends at about two to seven times
# the other's ({numref}`fig-08-kl`). Whether that does harm is luck. On one of the three seeds it is as good as
# any, on one it loses a few points, and on one it breaks: a quarter of its answers are no sentences any more.
# The discriminator believes in most of its negatives all the same. It was never shown such text, but it has
# no way to say so.
#
# **Ten times is too much.** The policy stays about a fifth of a nat from where it was, and gains less than half
# of what 0.05 gains, on every seed.
#
# Note how it looks in the log: every curve is quiet, as in a careful run. Only the reward, which hardly rises, tells
# the two apart.
#
# ## Cheating on purpose
#
# Half of the reward is missing in the next run: $r_1$, the discriminator, has no say.
# What is left pays a positive for being far from its anchor, and a negative for being near, up to the
# cliffs of {ref}`ch-07`. Nothing asks whether it is true.

# %% tags=["hide-input"]
hacked = ledger.rows("08-hacking-log")
cheat = in_fours(
    hacked[hacked["run"] == "without r₁"],
    ["difficulty", "right positives", "right negatives", "kl", "entropy"],
)
truth = cheat.melt(
    ["step", "seed"], ["right positives", "right negatives"], var_name="answers",
    value_name="right",
).replace({"right positives": "positives", "right negatives": "negatives"})


def _hack_alt(tables):
    paid, right = tables["paid"], tables["right"]
    ends = [paid[paid.step == step].difficulty.mean() for step in (4, 24)]
    text = f"Without r₁, three seeds. Paid: from {ends[0]:.2f} to {ends[1]:.2f}. Right: "
    parts = []
    for kind, part in right.groupby("answers", sort=False):
        first, last = (part[part.step == step].right.mean() for step in (4, 24))
        parts.append(f"{kind} from {first:.0%} to {last:.0%}")
    return text + ", ".join(parts) + "."


lines = {"kind": "lines", "x": "step", "markers": True, "xlabel": "step"}
viz.Figure(
    {"paid": cheat[["step", "seed", "difficulty"]].assign(answers="all"), "right": truth},
    {
        "kind": "panels", "columns": 2, "legend": True,
        "panels": [
            lines | {"data": "paid", "y": "difficulty", "series": "answers",
                     "title": "what is paid", "ylabel": "r₂, the whole reward",
                     "colors": {"all": "grey"}},
            lines | {"data": "right", "y": "right", "series": "answers",
                     "title": "what is wanted", "ylabel": "right answers",
                     "colors": {"positives": "blue", "negatives": "orange"}},
        ],
    },
    alt=_hack_alt,
    label="fig-08-hacking",
    caption="A policy without $r_1$: its reward, and the truth (three seeds, committed; bands: "
    "range).",
)

# %% tags=["hide-input"]
cheats = ledger.rows("08-hacking-samples")
cheats = cheats[(cheats["seed"] == 0) & (cheats["kind"] == "negative")]
cheats = cheats[cheats["step"].isin([1, 24])].sort_values(["row", "step"])
cheats[["anchor", "step", "text", "outcome"]].style.hide().set_caption(
    "negatives of the first and of the last step, seed 0; outcome: the oracle's word"
)

# %% tags=["hide-input"]
study("hacking").set_caption("200 unseen anchors, one answer of each kind; three seeds")

# %% [markdown]
# What is paid rises, and the negatives stop being negatives ({numref}`fig-08-hacking`). The oracle calls most
# of them *opposite*: they are entailed. The policy has found that no sentence looks more like an anchor to
# the encoder than a paraphrase of it, just below $\alpha^-$. Positives even gain: those below the cliff
# at $\alpha^+$ cost, and it is the wrong positives that are the less similar. On every seed their mean cosine rises.
#
# How would we notice without an oracle? Not by the KL, the entropy or the clipped tokens: on every seed they
# look as in the honest run.
# Not by the reward either. That is what rises.
# But $r_1$ falls. It is in the log although its weight is 0.
#
# So *log what you do not pay for*, and read answers.
#
# And the other half? Without $r_2$ nothing asks for hard answers. We expected positives that stay close to their anchors.

# %% tags=["hide-input"]
study("easy").set_caption("200 unseen anchors, one answer of each kind; three seeds")

# %% [markdown]
# They are as far away as with both rewards, and the answers are as often right: our expectation held on one seed of
# three. In so short a run a difficulty with a weight of 0.3 is a quiet voice; what it does over whole rounds,
# {ref}`ch-09` measures.
#
# ## The released reward
#
# The authors' code pays something else ({ref}`ch-07` takes it apart): it multiplies correctness by 30 and difficulty
# by 15, adds the two without weights, and takes 3.5 points from *every* answer, by a condition that is always true.
#
# The constant ought not to matter: it changes no answer's place among the others.
# The factor does. By {eq}`eq-08-optimum`, fifteen times the reward is the same as a fifteenth of $\beta$.
# We tuned with the released reward as it is; divided by 15, which
# brings it nearer to the paper's scale; and divided, with the 3.5 points given back.

# %% tags=["hide-input"]
RELEASED = {"released": "orange", "released / 15": "blue", "(released + 3.5) / 15": "green"}
kl_and_right(
    "released", RELEASED, label="fig-08-released",
    caption="The released reward, as it is and divided by 15 (three seeds, committed; "
    "bands: range).",
)

# %% tags=["hide-input"]
study("released", only=["before", *RELEASED]).set_caption(
    "200 unseen anchors, one answer of each kind; three seeds"
)

# %% [markdown]
# **The scale.** As it is, the released reward breaks our policy, on every seed ({numref}`fig-08-released`): the KL runs
# beyond 35 nats, hardly a positive is right at the end, and even the reward that is paid *falls*. `ppo.train` stopped
# one of the three runs at its limit of 50 nats.
# (The table is kinder than the curves. `ppo.train` ends with the adapter that earned most, and that was an early one.)
#
# **Before you look, predict.** There are two suspects. One is the penalty: fifteen times the reward has made it as good as absent.
# The other is the value head: its loss is a square, so it has grown by 225, and it pulls at the adapter that writes.
# We ran each without the other: fifteen times the penalty for fifteen times the reward, and a value head
# that learns nothing (`value_weight=0`). In which of the two will the policy hold?

# %% tags=["hide-input"]
SUSPECTS = {"released": "orange", "released, β = 0.75": "purple", "released, no value loss": "blue"}
kl_and_right(
    "released", SUSPECTS, label="fig-08-suspects",
    caption="The released reward as it is; with fifteen times the penalty; and with a value head "
    "that learns nothing (three seeds, committed; bands: range).",
)

# %% [markdown]
# It was the value head ({numref}`fig-08-suspects`). Where it learns nothing, the KL stays near 2 nats on every seed.
# With fifteen times the penalty it still ends beyond 10, and no more than a third of the answers are right.
# (Without the head's loss the policy is whole, but no better than before. That is the reward's shape, of which below.)
#
# Then what became of {eq}`eq-08-optimum`, by which a factor on the reward is one on $\beta$? It speaks of the best policy, not of the
# road to it. On that road PPO whitens its advantages, so the *policy's* part of the loss does not know the scale of the
# reward at all. The value head's part does: nothing whitens a square. The head learns well, its explained variance climbs to
# more than a half, but it writes with the same adapter, and its errors are far larger than anything that the
# clipped objective can say.
#
# The reverse test says the same. With the paper's reward and a fifteenth of $\beta$ the policy drifts about twice as far, and
# of its last answers five to eight in a hundred fewer are right. It is not broken, for its value head errs on the small scale.
#
# So a reward of another scale wants another `value_weight`, or a head of its own.
# (The authors' learning rate is a hundred times smaller than ours, for a model nearly eight thousand times as large.)
#
# **The shape.** Divided by 15 the reward is tame. It gains 4 to 11 points of accuracy, where the paper's equations gain
# 22 to 29. Its positives become better on every seed. Its negatives come nearer to their anchors on every seed; on one
# they are right more often than before, on two less. For the code has no $\alpha^-$, and pays for similarity up to the
# last paraphrase. It is the cheat of the last section, in a mild form.
#
# **The constant** teaches nothing that we could see. We had thought that a fine for whoever ends would lengthen the
# answers; they have the same length, to three parts in a hundred.
#
# ## Without a value head: RLOO
#
# The maintained library for such training, TRL, has no PPO any more. It has RLOO
# {cite}`ahmadian2024rloo`: ask each prompt four times, and compare an answer with the mean of its three
# siblings. No value head, no $\lambda$, one update a batch.
#
# It is a *substitution*, not the paper's algorithm. Our rewards have the form that TRL wants, so one
# function starts it: `art.tune_with_trl`. We gave it as many answers as PPO.

# %% tags=["hide-input"]
study("rloo").set_caption("200 unseen anchors, one answer of each kind; three seeds")

# %% [markdown]
# RLOO makes the generator better on every seed, and gains about half of what PPO does.
# That is no verdict on the two. At one learning rate RLOO has taken one update a batch where PPO has taken four,
# and it has seen 16 prompts a step instead of 64, each four times. A rate of its own might close the gap; we have
# not searched for one.
#
# ## An encoder–decoder
#
# The loop does not ask what kind of model it tunes. `Policy` pads prompts on the left for causal models and on the right
# for T5, and takes the answer's log-probabilities from the decoder. Here is the T5-shaped generator, with the same settings.

# %% tags=["hide-input"]
study("t5").set_caption("200 unseen anchors, one answer of each kind; three seeds")

# %% [markdown]
# It gains on every seed, about half as much. Nothing was chosen for it: the settings are the Llama's.
#
# ## How to see what is wrong
#
# | in the log | what it may be | what helps |
# |---|---|---|
# | reward flat, KL near 0, no token clipped | the policy stands still: $\beta$ too large, learning rate too small | less of the one, more of the other |
# | KL grows without end, entropy too | the policy has left the language; `ppo.train` stops it at `kl_limit` | larger $\beta$, smaller rate, smaller rewards |
# | KL negative for long | answers and log-probabilities do not fit: padding, temperature, a cut distribution (`top_k`) | score what was sampled, as it was sampled |
# | KL not 0 at the first step | policy and reference differ before tuning: dropout, precision, another adapter | switch dropout off; compare the two on one answer |
# | one part of the reward rises, another falls | a cheat | look at answers; change the weights |
# | reward rises, answers look alike, entropy falls to 0 | collapse on a few phrases | larger $\beta$; more anchors |
# | length runs to its limit, or to 1 | the reward pays for length, or the end token is never written | look at the answers; does the tokenizer name its end token? |
# | copies or blanks rise | the cheapest answer that is not punished | a reward that tells them apart; `ppo.train` stops when nothing else is left |
# | explained variance far below 0 | the value head chases a moving target: rewards too large | scale the reward |
# | KL runs away, entropy too, and explained variance is *high* | the value head's loss moves the adapter ({numref}`fig-08-suspects`) | scale the reward, or a smaller `value_weight` |
# | many tokens clipped, third and more | steps too large | smaller learning rate, fewer epochs |
# | reward is NaN | a judge failed | `ppo.train` stops, names the step and the last checkpoint |
#
# ## What the paper claims, and what we measured
#
# In one sentence: PPO does what the paper says; the correctness reward and the penalty were missed
# when we took them away, the difficulty reward was not.

# %%
ledger.show(chapter=8)

# %% [markdown]
# What the paper says of the method holds: PPO with one model in memory raises the reward, and with it the share of
# right answers, as long as $r_1$ is paid and the policy is held back a little.
#
# What the paper does not say is how narrow the path is. Without $r_1$ most negatives become their opposite.
# Without the penalty one run of three broke. With the released reward, unscaled, all three did, by the value head that shares
# their adapter.
# All of it showed in the logs, if one knew which curve to look at.
#
# And a caution of our own. A run here takes a minute, and its settings were chosen by looking at such runs. The
# directions are the lesson; the sizes belong to this small world.
#
# ## Exercises
#
# ```{exercise} Advantages of an answer
# :label: ex-08-gae
#
# *15 minutes.* Given the rewards and values of an answer's tokens, return their advantages by
# {eq}`eq-08-delta` and {eq}`eq-08-gae`. Begin at the end.
# ```

# %% tags=["solution"]
def gae_row(rewards, values, gamma, lam):
    """Rewards (T), values (T) -> advantages (T)."""
    ### BEGIN SOLUTION: from the last token to the first
    found, later, following = np.zeros(len(rewards)), 0.0, 0.0
    for t in reversed(range(len(rewards))):
        delta = rewards[t] + gamma * following - values[t]
        found[t] = later = delta + gamma * lam * later
        following = values[t]
    return found
    ### END SOLUTION


# %%
checks.ch08.gae_row(gae_row)

# %% [markdown]
# ```{exercise} The clipped objective
# :label: ex-08-clip
#
# *10 minutes.* Given the ratios and advantages of some tokens, return {eq}`eq-08-clip`: the mean
# objective, which is to be maximised.
# ```

# %% tags=["solution"]
def clipped_objective(ratio, advantage, epsilon):
    """Ratios (n), advantages (n) -> float."""
    ### BEGIN SOLUTION: the equation, token by token, then the mean
    free = ratio * advantage
    held = np.clip(ratio, 1 - epsilon, 1 + epsilon) * advantage
    return float(np.minimum(free, held).mean())
    ### END SOLUTION


# %%
checks.ch08.clipped_objective(clipped_objective)

# %% [markdown]
# ```{exercise} A KL that is never negative
# :label: ex-08-k3
#
# *15 minutes.* The mean of $\log\pi-\log\pi^\text{ref}$ over sampled tokens estimates their KL, and
# comes out negative now and then, which no KL can be.
# With $q=\pi^\text{ref}/\pi$ the estimate $k_3=q-1-\log q$ {cite}`schulman2020kl` has the same
# mean and is never negative. Return its mean over the tokens. (The log calls it `kl_k3`.)
# ```

# %% tags=["solution"]
def k3(log_p, reference_log_p):
    """Log-probabilities (n) of sampled tokens -> float."""
    ### BEGIN SOLUTION: the mean of ρ − 1 − log ρ
    way = np.asarray(reference_log_p) - np.asarray(log_p)
    return float((np.exp(way) - 1 - way).mean())
    ### END SOLUTION


# %%
checks.ch08.k3(k3)

# %% [markdown]
# ```{exercise} The best policy
# :label: ex-08-best
#
# *15 minutes.* A prompt has n possible answers. Given the reference's probabilities, the rewards and
# $\beta$, return the probabilities of the best policy, {eq}`eq-08-optimum`. Rewards may be thousands
# of times $\beta$.
# ```

# %% tags=["solution"]
def best_policy(reference, reward, beta):
    """Probabilities (n), rewards (n) -> probabilities (n)."""
    ### BEGIN SOLUTION: the equation; mind large rewards
    reward = np.asarray(reward, dtype=float)
    weights = np.asarray(reference) * np.exp((reward - reward.max()) / beta)
    return weights / weights.sum()
    ### END SOLUTION


# %%
checks.ch08.best_policy(best_policy)

# %%
checks.progress(8)  # all checks of this chapter once more

# %% [markdown]
# Further, without a check:
#
# - *A smaller voice for the head.* `ch08.Run(0, "released", value_weight=0.1 / 225)` gives the value head's loss its old
#   scale back. Does the policy hold? And does the head still learn (`explained_variance` in the log)?
# - *A louder voice.* `ch08.Run(0, ch08.PPO, w1=0.3, w2=0.7)` exchanges the weights. From which weight on does
#   the policy begin to cheat?
# - *A steered penalty.* `ppo.AdaptiveKL` raises $\beta$ while the KL is above a target, as the released code
#   does (target 6). What does it do in 24 steps, and in 240?
# - *Another shape.* `ch08.Run(0, "T5")` tunes the encoder–decoder. Which lines of `ppo.Policy` know the
#   difference?
#
# ## Three sentences to remember
#
# 1. PPO pays the reward at the last token and a penalty at each; with LoRA, one model in memory
#    is policy and reference.
# 2. Too small a penalty, and the policy leaves the language; too large a one, and it stays where
#    it is.
# 3. A cheat raises what is paid. So log what you do not pay for, and read answers.
#
# ```{quiz} 8
# ```
#
# ## What to read next
#
# - {cite:t}`ziegler2019finetuning` put the KL penalty and the value head on a language model, with an adaptive
#   $\beta$; {cite:t}`ouyang2022instructgpt` made it famous.
# - {cite:t}`schulman2020kl` on estimates of the KL, in two pages.
# - {cite:t}`ahmadian2024rloo` ask how much of PPO a language model needs.
#
# The next chapter puts the tuned generator to work: it writes triplets, an encoder learns from them, and
# judges the next round.
