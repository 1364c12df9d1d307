# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch-17)=
# # Scaling out
#
# You have understood a method, and now you want its whole data set.
# MultiCSR writes for the premises of NLI, 275,601 of them {cite}`wang2024multicsr`.
# The ranking paper writes 20,000 lists of 33 sentences {cite}`he2025ranking`.
# ART tunes a model of seven billion parameters three times {cite}`xu2024art`.
#
# Nothing of the methods changes.
# What changes is that the work outlives the process that does it, and that somebody has to pay.
#
# **You will be able to**
#
# - kill a run at any moment, say how far it was, and go on to the same bytes;
# - compute how many device hours a data set takes, and whether the model fits;
# - say which of your figures are measured, and what the computed ones leave out;
# - start a run on one machine, on several GPUs, on a Ray cluster, on Slurm, through an API;
# - say what is known about how large is large enough, and what is not.
#
# **Time and memory.** About half a minute of one processor core and 1.5 GB, on the pocket models,
# without a download. No GPU is needed: what stands here about GPUs is computed, and says so.

# %%
import synthlib

synthlib.preflight()

# %%
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from synthlib import checks, costs, ledger, listing, models, prompts, tiers, viz
from synthlib.experiments import ch13, ch17, field, soak
from synthlib.runs import multicsr as multicsr_run
from synthlib.runs import shards, status

os.chdir(tempfile.mkdtemp())  # the runs of this page, gone with the session

# %% [markdown]
# ## A run is shards, a manifest, and nothing else
#
# A long run is stopped by something: a lid that is closed, a full disk, an hour that ends in Colab,
# a node that the cluster wants back.
# So the question is not how to keep a process alive.
# It is what is lost when it dies.
#
# The answer of this book fits into one picture.

# %% tags=["hide-input"]
ROAD = [
    ("premises", "shard 0"), ("premises", "shard 1"), ("premises", "shard 2"),
    ("shard 0", "table"), ("shard 1", "table"), ("shard 2", "table"), ("table", "encoder"),
]
viz.Figure(
    [{"source": a, "target": b} for a, b in ROAD],
    {"kind": "flow", "source": "source", "target": "target"},
    alt="The premises go into three shards, 0, 1 and 2, which nothing connects with each other. "
    "Together they are the table from which the encoder is trained.",
    label="fig-17-shards",
    caption="Premises are cut into shards. A shard depends on its own premises and on no other "
    "shard, so that anybody may make any of them, in any order.",
)

# %% [markdown]
# - **A shard** is some premises' rows in one file.
#   It is written under another name, forced to the disk, and then renamed.
#   So it is there as a whole or not at all.
# - **Its name carries a digest of its bytes**, `00003-5be1….parquet`.
#   A file that a bad disk has changed no longer fits its name, and is made again.
# - **The manifest**, `run.json`, names all that decides the rows: models with a fingerprint of their
#   weights, thresholds, seeds, a digest of the premises.
#   Another run in the same folder is refused.
# - **And nothing else.** There is no database, no list of what is done, no server.
#   What is done is what lies there.
#
# One rule makes it work, and it is the only hard one: *a shard must come out the same whatever was
# made before it*.
# A random generator that runs on from shard to shard breaks it.
# So does a batch that reaches across two shards.
# Here, sampling is seeded by row or shard (chapter {ref}`3 <ch-03>` decodes greedily anyway).
#
# ```{admonition} Before you look, predict
# :class: tip
# We shall start a run of 96 premises in shards of eight, and kill it with the signal that no
# program can catch, when three shards are written.
# **Predict:** how many premises are lost?
# And will a run that was killed and went on differ from one that was never stopped: in nothing, in
# the last digits, or in a few texts?
# ```
#
# ## Start, kill, look
#
# The command is the one that you would give in a terminal.

# %%
FEW, SIZE = 96, 8
command = [
    sys.executable, "-m", "synthlib", "run", "multicsr", "--tier", "pocket", "--until", "judged",
    "--sentences", str(FEW), "--shard-size", str(SIZE), "--out", "stopped",
]  # fmt: skip
here = os.environ | {"PYTHONPATH": str(Path(synthlib.__file__).parents[1])}
quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=here)
process = subprocess.Popen(command, **quiet)
while process.poll() is None and len(shards.shards_of("stopped/written")) < 3:
    time.sleep(0.05)
at_work = status.look("stopped")
process.kill()
process.wait()
print(status.said(at_work))

# %% [markdown]
# That is `python -m synthlib status stopped`, from another window, while the run was at work.
# It reads the folder, changes nothing in it and loads no model.
# And now that the process is dead:

# %%
print(status.said(status.look("stopped")))

# %% [markdown]
# A process that is killed cannot tidy up.
# The lock on the folder falls all the same, because the system lifts it.
# The shard that was being written is lost: at most eight premises, some tenths of a second.
#
# The last line names the command that goes on.
# We give it from Python, and beside it a second run that nobody stops.

# %%
options = dict(tier="pocket", n=FEW, shard_size=SIZE, until="judged", quiet=True)
multicsr_run.run("stopped", **options)
straight = multicsr_run.run("straight", **options)
files = {
    name: {
        f"{step}/{file.name}": file.read_bytes()
        for step in ("written", "judged") for file in shards.shards_of(f"{name}/{step}")
    }
    for name in ("stopped", "straight")
}  # fmt: skip
print(len(files["stopped"]), "shards each; same names and bytes:",
      files["stopped"] == files["straight"])  # fmt: skip

# %% [markdown]
# Was your prediction right?
# Decoding was greedy and the device the same, so the answer is: in nothing.
#
# Promise no more than that.
# On another device, or with another version of the library, the last digits of a logit differ, and
# where two tokens are nearly tied one text in many comes out otherwise.
# That is why `run.json` notes device and versions of every call.
#
# **How large should a shard be?** Large enough that starting it costs nothing beside its rows, and
# small enough that you would not mind to lose one.
# The tiers have 512 premises on `paper` and eight on `laptop`, where a text takes a second.
#
# ## Twenty thousand rows, watched
#
# A run of minutes can hide what kills one of days: memory that grows with every shard, files that
# are opened and never closed, a folder that gets slower as it fills.
# So we let one go on from 20,000 premises to the evaluated encoder, and looked at it from outside
# every few seconds (`benchmarks/soak.py`).
# Half-way through the writing it was killed, and the same command went on.
#
# ```{admonition} Before you look, predict
# :class: tip
# **Predict:** by how many MB does the process grow from premise 1,000 to premise 20,000?
# ```

# %% tags=["hide-input"]
NAMED = {("written", 1): "writing", ("written", 2): "writing, gone on", ("judged", 2): "judging",
         ("trained", 2): "training"}  # fmt: skip
samples = soak.samples()
watched, paces = soak.summary(samples), soak.pace(samples)
for table in (samples, watched, paces):
    table["part"] = [NAMED.get(key) for key in zip(table["stage"], table["call"], strict=True)]
WORDS = {
    "peak": "peak, MB", "growth": "MB for 1,000 more",
    "first": "a second, first quarter", "last": "last quarter", "files": "open files",
}  # fmt: skip
watched.set_index("part")[list(WORDS)].rename(columns=WORDS).round(2)

# %% tags=["hide-input"]
ALL = {"written": 20_000, "judged": 20_000, "trained": 1000}
first = samples.groupby("part")["done"].transform("min")
views = {"memory": samples[samples["done"] > first], "pace": paces}  # models are loaded before
views = {
    name: table.assign(through=(100 * table["done"] / table["stage"].map(ALL)).round(1))
    for name, table in views.items()
}
picture = {"kind": "lines", "x": "through", "series": "part", "xlabel": "done of the stage (%)",
           "order": {"series": list(NAMED.values())}}  # fmt: skip
viz.Figure(
    {"memory": views["memory"][["through", "part", "memory"]],
     "pace": views["pace"][["through", "part", "percent"]].round(1)},
    {"kind": "panels", "columns": 2, "height": 2.8, "panels": [
        {**picture, "data": "memory", "y": "memory", "title": "memory", "ylabel": "MB",
         "ylim": (0, 1000)},
        {**picture, "data": "pace", "y": "percent", "title": "pace", "ylim": (0, 150),
         "ylabel": "rate, % of the stage's mean"},
    ]},
    alt=lambda df: "Memory and pace of a run of 20,000 premises, from the beginning of each "
    "stage to its end. " + "; ".join(
        f"{r.part}: peak {r.peak:.0f} MB, {r.growth:+.1f} MB for a thousand more, {r.first:.1f} a "
        f"processor second in the first quarter and {r.last:.1f} in the last"
        for r in watched.itertuples()
    ) + ".",
    label="fig-17-soak",
    caption="A run of 20,000 premises of the pocket world, killed once, seen from outside. Pace is "
    "what was done in a processor second, against the stage's own mean: 100 is steady.",
)  # fmt: skip

# %% [markdown]
# Look at {numref}`fig-17-soak`, and at the table above it.
#
# - **Writing** grows by 0.4 MB for a thousand premises: 8 MB from the first to the last, beside
#   630 that models and libraries take. Before the kill and after it, early and late, it does 207 to
#   209 premises a second of the processor. What the kill cost: one shard, and loading the models.
# - **Judging** grows by a tenth of a MB. Its pace drops by a fifth, and that we have to explain:
#   in that minute two other programs started on the two cores. It falls at once and then stays.
#   A folder that gets slower, or a list that gets longer, would slow it bit by bit.
# - **Training** goes up and down. The lowest value of each hundred steps is 838 MB from step 100
#   to 600, and 850 from there on. A leak would not wait five hundred steps.
#
# Four files are open from the beginning to the end.
# (The tier trains 150 steps. We took 1,000, for of 150 nothing could be said.)
#
# ## What this machine does
#
# Before anything is computed, something is measured.

# %%
spent = {step: 60 * minutes for step, minutes in straight.minutes.items()}
rate = {step: FEW / seconds for step, seconds in spent.items()}
premises = tiers.get("paper").multicsr.premises
measured = pd.DataFrame({
    "premises a second": rate,
    "seconds a shard": {step: SIZE / many for step, many in rate.items()},
    f"hours for {premises:,}": {step: premises / many / 3600 for step, many in rate.items()},
})  # fmt: skip
measured.round(2)

# %% [markdown]
# **Measured:** the first two columns, on the processor that made this page, loading included.
# **Computed:** the last one.
# It assumes that premise 275,601 takes as long as premise 96.
# For shards that is a fair assumption, and the one that every later figure here rests on.
#
# The pocket models have a million parameters. Nobody wants their 275,601 triplets.
# What does a model with three thousand times as many take?
#
# ## A model of the cost
#
# Two things can keep a device waiting.
#
# **Arithmetic.** Each parameter takes part in one multiplication and one addition for each token.
# With $P$ parameters and $T$ tokens, read and written alike, that is
#
# $$
# F \approx 2\,P\,T
# $$ (eq-17-flops)
#
# operations. A gradient costs two more such passes.
#
# **Memory.** To write *one* token, all weights must come from the memory to the units, and with
# them the keys and values of all tokens so far (the cache of chapter {ref}`3 <ch-03>`).
# For a batch of $B$ rows a step of decoding takes
#
# $$
# t = \max\left(\frac{2\,P\,B}{u\,f},\; \frac{w\,P + B\,L\,c}{v\,b}\right),
# $$ (eq-17-step)
#
# where $f$ and $b$ are the device's peaks (operations and bytes a second), $u$ and $v$ the shares of
# them that a program reaches, $w$ the bytes of a weight, $c$ those of a token in the cache, and $L$
# the tokens of a row so far.
#
# Look at the two terms. The first grows with the batch. The weights in the second do not.
# So a small batch pays for moving the weights, and gets the arithmetic for nothing.
#
# Contrast costs more: both papers' decoders run two prompts for one text, which is two rows.

# %%
print(listing.essential(costs.estimate))

# %% [markdown]
# What a device can do stands on its data sheet.
# Take the figure *without* "sparsity": the larger one is for weights of which half are zero.

# %%
pd.DataFrame([
    {"device": one.name, "10¹² operations a second": one.flops / 1e12, "GB": one.memory / 1e9,
     "GB a second": one.bandwidth / 1e9, "from": one.source}
    for one in costs.DEVICES.values()
]).set_index("device")  # fmt: skip

# %% [markdown]
# And the work stands in the papers.
# MultiCSR, § 4.1: as many premises of NLI as SimCSE has, an entailment and a contradiction of each
# (§ 3.1), both scored (§ 3.2). The paper prints no number; SimCSE's file has 275,601 triplets.
# Ranking, § 4.1: a thousand clusters of twenty anchors, 32 sentences behind each.
# ART, § 4.1: three rounds of 20,000 (its Table 2 prints "3*20K"); how many steps PPO takes is not
# printed, and comes from the released code.
#
# How long is a sentence? We *assume* 20 tokens, in and out.
# Prompts are the papers' own, counted at four letters a token.

# %%
WHAT = {"write": "texts", "judge": "scores", "tune": "PPO"}
NAMES = {"multicsr": "MultiCSR", "art": "ART", "ranking": "ranking"}
table, hours = {}, {}
for (method, what), work in costs.of_papers().items():
    row, shape = (NAMES[method], WHAT[what]), costs.WRITERS[method]
    each = {
        name: costs.estimate(work, shape, device) for name, device in costs.DEVICES.items()
    }
    cost = each["H200"]  # tokens and operations are the same on every device
    table[row] = {
        "model": shape.name, "texts": f"{work.texts:,}",
        "10⁶ tokens read": f"{cost.read / 1e6:.1f}", "10⁶ written": f"{cost.written / 1e6:.1f}",
        "10¹⁸ operations": f"{cost.flops / 1e18:.2f}",
    }  # fmt: skip
    hours[row] = {
        name: f"{cost.hours:.1f}" if cost.fits else "does not fit" for name, cost in each.items()
    }
pd.DataFrame(table).T.rename_axis(["data set", "what"])

# %%
pd.DataFrame(hours).T.rename_axis(["data set", "hours of one"])

# %% [markdown]
# Every number of the two tables is **computed**, the hours with 32 texts at once, 40 % of the
# arithmetic and 60 % of the bandwidth.
# They are hours, not weeks. Is that to be believed?
#
# ## The model against what was measured
#
# No GPU was timed for this book, so the hours above have nothing to stand beside.
# The processor has: `benchmarks/README.md` holds timings of plain and of two-context decoding on one
# core.
#
# The two peaks of that core are on no data sheet.
# So we *fit* them: the arithmetic from the 64-row point, the bandwidth from the 2-row point, both of
# a random Llama of 58 million parameters.
# These two agree because they were fitted. The others can fail.

# %%
CORE = costs.Device("one core", 123e9, 8e9, 11e9, "fitted to two of the points")
LLAMA, SMOL = costs.Shape("Llama 58M", 58e6, 0), costs.Shape(
    "SmolLM2 135M", 134.5e6, costs.keys_and_values(30, 3, 64)
)
POINTS = [  # model, what, rows, tokens that they read in all, new tokens, seconds
    (LLAMA, "plain, 2 rows (fitted)", 2, 2 * 64, 32, 0.79),
    (LLAMA, "plain, 16 rows", 16, 16 * 64, 32, 1.78),
    (LLAMA, "plain, 64 rows (fitted)", 64, 64 * 64, 32, 5.78),
    (SMOL, "prompts read whole, 64 rows", 64, 9664, 16, 38.2),
    (SMOL, "shared beginnings, 64 rows", 64, 1728, 16, 11.0),
]
pocket, tokenizer = models.load_generator("pocket/generator-t5", device="cpu")
wrote = pd.concat(frame for _, frame in shards.frames("straight/written"))
asked = prompts.generation(prompts.ENTAILMENT["pocket"][0], wrote["anchor"].iloc[0], form="pocket")
texts = [*wrote["positive"], *wrote["negative"]]
new = sum(len(ids) for ids in tokenizer(texts)["input_ids"]) / len(texts)
POINTS.append((
    costs.Shape("pocket T5", pocket.num_parameters(), 0), "this page's run", 4 * FEW,
    4 * FEW * len(tokenizer(asked)["input_ids"]), new, spent["written"],
))  # fmt: skip
rows = []
for shape, what, many, read, answer, seconds in POINTS:
    work = costs.Work(many, read / many, answer)
    cost = costs.estimate(work, shape, CORE, batch=many, compute=1, bandwidth=1, number=4)
    rows.append({"model": shape.name, "what": what, "measured, s": seconds,
                 "computed, s": 3600 * cost.hours})  # fmt: skip
checked = pd.DataFrame(rows)
checked["computed / measured"] = checked["computed, s"] / checked["measured, s"]
checked.round(2)

# %% tags=["hide-input"]
points = checked.assign(point=checked["model"] + ": " + checked["what"])
viz.Figure(
    points[["point", "computed / measured"]].round(3),
    {
        "kind": "bars", "x": "point", "y": "computed / measured", "horizontal": True,
        "annotate": True, "format": ".2f", "ylabel": "",
        "xlabel": "computed seconds by measured ones; 1 is exact",
        "vlines": [{"at": 1.0, "label": "exact"}],
    },
    alt=lambda df: "Computed seconds by measured ones. " + "; ".join(
        f"{r.point}: {r[2]:.2f}" for r in df.itertuples()
    ) + ".",
    label="fig-17-check",
    caption="The cost model against timings of one core. Two of the points were fitted; below 1 "
    "the model promises too much.",
)  # fmt: skip

# %% [markdown]
# Read {numref}`fig-17-check` from top to bottom.
#
# - On the model that it was fitted to, the third point comes out within a tenth.
# - On SmolLM2 it promises too much: the true time is at least one and a half times as long.
#   Attention's own products, the layers' norms and the search for the next token are not in
#   $2\,P\,T$, and the core was shared with other work.
# - On the pocket model it is wrong by more still; by how much depends on the machine that built
#   this page. A million parameters are multiplied in no time. What takes the time is calling the
#   library, hundreds of times a token.
#
# So here is how to use the model.
# *What it leaves out adds to its hours.* Only a T5 it charges too much, up to twice, for each token
# passes through one half of an encoder–decoder.
# It tells an hour from a week, and one device from another.
# It does not tell 5 hours from 8. For that, time one shard and multiply.
#
# On a GPU the shares $u$ and $v$ are where all of this hides. 40 % is an assumption of ours.
# The two things that lower it most are a small batch and rows that end at different times.
#
# ## How many device hours, and does it fit?
#
# Now it is yours. Move the sliders of {numref}`fig-17-hours`.
# What does twice the batch buy you at 1, and what at 128? When does it no longer fit?

# %% tags=["hide-input"]
grid = []
for tokens in (10, 20, 40):
    for share in (1, 10, 50, 100):
        works = costs.of_papers(tokens, tokens, share / 100)
        for batch in (1, 8, 32, 128, 512):
            for reached in (10, 20, 40, 60):
                for method, name in NAMES.items():
                    for device in costs.DEVICES.values():
                        parts = [
                            costs.estimate(
                                work, costs.WRITERS[method], device, batch=batch,
                                compute=reached / 100, bandwidth=reached / 100,
                            )
                            for (of, _), work in works.items() if of == method
                        ]  # fmt: skip
                        fits = all(part.fits for part in parts)
                        grid.append((name, share, tokens, batch, reached, device.name,
                                     round(sum(part.hours for part in parts), 3),
                                     "fits" if fits else "does not fit"))  # fmt: skip
columns = ["data set", "share", "tokens", "batch", "reached", "device", "hours", "memory"]
grid = pd.DataFrame(grid, columns=columns)
START = {"data set": "MultiCSR", "share": 100, "tokens": 20, "batch": 32, "reached": 40}
LABELS = {
    "data set": "data set of", "share": "premises (% of the paper's)",
    "tokens": "tokens a sentence", "batch": "texts at once", "reached": "peaks reached (%)",
}  # fmt: skip


# %% tags=["hide-input"]
def _alt(df):
    chosen = df.loc[(df[list(START)] == pd.Series(START)).all(axis=1)]
    said = ", ".join(f"{r.device} {r.hours:.1f} ({r.memory})" for r in chosen.itertuples())
    return (
        "Computed device hours of MultiCSR's full data set with 20 tokens a sentence, 32 texts at "
        f"once and 40 percent of the peaks: {said}. In the page, data set, share of the premises, "
        "tokens, texts at once and share of the peaks can be chosen."
    )


viz.Figure(
    grid,
    {
        "kind": "bars", "x": "device", "y": "hours", "series": "memory", "horizontal": True,
        "annotate": True, "format": ".2f", "xlabel": "hours of one device (computed)",
        "ylabel": "", "colors": {"fits": "blue", "does not fit": "orange"},
        "controls": [
            {"name": name.replace(" ", "_"), "type": "choice" if name == "data set" else "range",
             "label": LABELS[name], "column": name, "value": value}
            for name, value in START.items()
        ],
    },
    alt=_alt,
    label="fig-17-hours",
    caption="Device hours of each paper's data set: all of its texts, scores and PPO. Computed, "
    "not measured; where weights and cache do not fit, the hours are of no use.",
)  # fmt: skip

# %% [markdown]
# Three things to find in it.
#
# 1. One text at a time takes an H100 ten times as long and more. Its arithmetic stands idle while
#    the weights are fetched.
# 2. A model of seven billion parameters leaves a T4 room for some twenty rows, and one of eight
#    has no room there at all. *Does it fit?* asks about the cache, not only about the weights.
# 3. Half of the premises take half of the hours. Nothing is saved by scale, and nothing is lost.
#
# **Money** is hours times a price, and we print none: it would be wrong by the time you read it.
# `costs.estimate(…, price=…)` takes yours.
#
# ## Through an API
#
# An API bills tokens that it reads and writes.
# It mixes no contexts and gives no gradients, so of the three data sets it can make a part:
# MultiCSR's scores, and texts without $\omega$ and $\lambda$.
# Put in the prices that your provider prints, for a million tokens.

# %%
PRICE_IN, PRICE_OUT = None, None  # yours; there are none by default
works = costs.of_papers()
for (method, what), work in works.items():
    try:
        paid = costs.api_money(work, PRICE_IN or 0, PRICE_OUT or 0)
    except ValueError as error:
        print(f"{NAMES[method]}, {WHAT[what]}: {error}")
        continue
    said = "no price given" if PRICE_IN is None else f"{paid:,.2f}"
    print(f"{NAMES[method]}, {WHAT[what]}: {work.texts * work.prompt / 1e6:.0f} million tokens in, "
          f"{work.texts * work.answer / 1e6:.1f} out; {said}")  # fmt: skip

# %% [markdown]
# ## Launch
#
# It is one command everywhere. What stands before it changes.
#
# **One machine.** Put `--dry-run` first: it loads the models, tries a few rows and says what the rest
# will take.
#
# ```text
# python -m synthlib run multicsr --tier paper --premises nli.txt --out runs/nli --dry-run
# python -m synthlib run multicsr --tier paper --premises nli.txt --out runs/nli
# ```
#
# **Several GPUs of one machine.** Each process takes every so many-th shard, and all train together.
#
# ```text
# torchrun --nproc_per_node 4 -m synthlib run multicsr --tier paper --premises nli.txt \
#     --out runs/nli
# ```
#
# **A Ray cluster** (`pip install 'synthlib[scale]'`). Actors hold the models, one a GPU; the process
# that you start sends them shards and writes what comes back.
#
# ```text
# python -m synthlib run multicsr --tier paper --premises nli.txt --engine ray --address auto \
#     --until judged --out runs/nli
# torchrun --nproc_per_node 4 -m synthlib run multicsr --tier paper --premises nli.txt \
#     --out runs/nli
# ```
#
# The second line trains, for Ray here only writes and judges.
# A run that was begun with one goes on with the other.
#
# The two other methods are one line each, for what Ray does not do their own process does.
#
# ```text
# python -m synthlib run ranking --tier paper --premises nli.txt --engine ray --address auto \
#     --out runs/lists
# python -m synthlib run art --tier paper --premises nli.txt --engine ray --address auto \
#     --out runs/art
# ```
#
# A ranking run draws its anchors, has lists written and compared by the actors, and trains in one
# process, as it does on the tier `paper` anyway.
# ART changes hands in every round: your process tunes the generator with PPO, the actors write and
# judge candidates with the adapter that it sends them, and your process trains the encoder.
# Put `--dry-run` behind any of these lines, and it says what is left to your process.
# On a small cluster on one machine we have tested all three: an actor dies, or the command does, and
# the bytes are those of one process. Machines that come and go were tried with MultiCSR alone.
#
# **Slurm.** A job that may be stopped and put back into the queue suits a run that can be killed.
# This script was written from Slurm's manual and *was not tried on a Slurm cluster here*.
#
# ```bash
# #!/bin/bash
# #SBATCH --job-name=multicsr
# #SBATCH --nodes=1
# #SBATCH --gpus-per-node=4
# #SBATCH --cpus-per-task=16
# #SBATCH --time=08:00:00
# #SBATCH --requeue
# #SBATCH --open-mode=append
# #SBATCH --output=%x-%j.log
#
# export OMP_NUM_THREADS=4
# srun torchrun --standalone --nproc_per_node=4 -m synthlib run multicsr \
#     --tier paper --premises nli.txt --out "$SCRATCH/runs/nli"
# ```
#
# When the eight hours end, submit it again. Whoever comes second to a folder is refused in one line.
#
# **Through an API.** `--generator api:MODEL` with `--base-url`, `--parallel` and `--budget`; every
# answer lies on the disk before it is used, so nothing is paid for twice.
#
# ### Ray or torchrun?
#
# | | torchrun | Ray |
# |---|---|---|
# | MultiCSR: texts and scores | yes | yes |
# | ranking: lists and similarities | yes | yes |
# | ART: candidates, judged | yes | yes |
# | trains, tunes with PPO | all together | your process alone |
# | several machines | a folder that all of them see (not tried here) | the cluster; only your process writes |
# | a process dies | the call ends; the same command goes on | its shard is made by another |
# | a machine joins later | no | yes |
# | shards of unequal length | fixed in advance: who is done waits | the next shard goes to who is free |
# | to install | nothing | an extra, the same versions everywhere |
#
# `benchmarks/engines.py` times both on the same rows, and compares their files byte by byte.
# Its figures are not in the book yet, so we print none.
# Take `torchrun` on one machine, and Ray when machines come and go.
#
# ## Watch, go on, inspect
#
# ```text
# watch -n 60 python -m synthlib status runs/nli     # how far, how fast, how long still
# python -m synthlib status runs/nli --json          # the same for a program
# tail -f runs/nli/journal.jsonl                     # a line when a step begins and ends
# python -m synthlib report runs/nli                 # a page with the texts themselves
# ```
#
# Look at three numbers while it is still cheap: rows a minute, the share that is rejected, and after
# the first judged shards the share that would be kept.
# The report of an unfinished run counts that share and shows texts.
# If it is far from what eight sentences gave (chapter {ref}`16 <ch-16>`), stop.
# The thresholds can be changed later; the texts cannot.
#
# What came out can be handed on: `python -m synthlib card runs/nli --push NAMESPACE/NAME` lists what
# would go to the Hugging Face Hub, the triplets with a card of how they were made (`--of encoder`:
# the encoder, and its marks).
# Nothing is sent until you add `--yes`; shards, logs and the paths of your machine stay with you.
#
# ## When the policy is too large for one device
#
# With LoRA only the adapter has gradients and moments (chapter {ref}`8 <ch-08>`).
# A policy of seven or eight billion parameters is 13 to 16 GB in half precision, and an 80 GB device
# holds it with room for the activations.
# So the book's PPO keeps a whole policy in each process, and does not divide it.
#
# If you train *all* weights, or have small devices, divide them: FSDP keeps a part of the weights,
# gradients and moments on each device.
# For a trainer that is built on `accelerate` this is its file, with the keys of FSDP2 as the guide
# of accelerate 1.15 names them.
#
# ```yaml
# distributed_type: FSDP
# mixed_precision: bf16
# num_machines: 1
# num_processes: 4
# fsdp_config:
#   fsdp_version: 2
#   fsdp_reshard_after_forward: true
#   fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
#   fsdp_transformer_layer_cls_to_wrap: LlamaDecoderLayer
#   fsdp_cpu_ram_efficient_loading: true
#   fsdp_state_dict_type: SHARDED_STATE_DICT
#   fsdp_offload_params: false
# ```
#
# It is documentation: the book's own loop does not read it, and it was not run here.
#
# ## When is a data set large enough?
#
# You can now pay for 275,601 premises. Should you?
# The ledger has four rows that touch the question, all of the pocket world.

# %%
ledger.show("06-quantity", "06-table4-low-resource", "09-few-anchors", "11-fig3b-share")

# %% [markdown]
# - At an *equal number* selected triplets beat unselected ones on two seeds of three.
#   So more rows and better rows are two different things to buy.
# - In the ranking paper's Figure 3b a twentieth of the lists suffices. Here a twentieth beat the base
#   encoder on none of three seeds.
# - Where data are few, ART gained from 150 anchors, what PPO wrote not counted. MultiCSR in a
#   language with little text did not.
#
# Those are four points of a toy world. A curve wants more of them, and real sentences.
#
# So we took the encoder of the tier laptop, and triplets that people wrote for premises of SNLI:
# 48 of them, twice as many, and so on, up to all 2,943 that there are; each set a part of the next.
# Each set is trained on twice, for 48 steps of 32 triplets and for 91: along a curve the data grow
# and the work does not. In 48 steps each of 48 triplets is seen 32 times, and each of 1,536 once.
# Beside them stand triplets of the small model of chapter {ref}`13 <ch-13>`, at $\omega=0.3$: what it
# wrote, and what the judge kept of it.
#
# ```{admonition} Before you look, predict
# :class: tip
# The mean Spearman of STS12, STS14 and STS-B dev is 52 before.
# **Predict:** what do 48 triplets make of it? What do the 2,895 more add?
# And where do 91 steps pay, in place of 48: with few triplets or with many?
# ```

# %% tags=["hide-input"]
grown = ch17.curve(field.recorded("17-curve"))
before = field.recorded("13-training")
mean = before[before["task"].isin(ch13.TASKS)].groupby(["arm", "seed"], as_index=False)
mean = mean[["value", "rows"]].mean()
ALSO = {"contrastive": "SNLI", "contrastive, as many": "SNLI", "curated": "SNLI, kept"}
also = mean[mean["arm"].isin(list(ALSO))].rename(columns={"value": "spearman"})
also["triplets"] = also.groupby("arm")["rows"].transform("mean").round().astype(int)
also["arm"], also["steps"] = also["arm"].map(ALSO), 48
WHO = {("people", 48): "people, 48 steps", ("people", 91): "people, 91 steps",
       ("written", 48): "small model, captions", ("written, kept", 48): "captions, kept",
       ("SNLI", 48): "small model, SNLI", ("SNLI, kept", 48): "SNLI, kept"}  # fmt: skip
columns = ["arm", "steps", "triplets", "seed", "spearman"]
points = pd.concat([grown[columns], also[columns]], ignore_index=True)
points["by"] = [WHO[key] for key in zip(points["arm"], points["steps"], strict=True)]
base = mean.loc[mean["arm"] == "before", "value"].iloc[0]

# %% tags=["hide-input"]
viz.Figure(
    points[["triplets", "by", "seed", "spearman"]].round(2),
    {
        "kind": "lines", "x": "triplets", "y": "spearman", "series": "by", "band": "range",
        "markers": True, "xscale": "log", "xlabel": "triplets",
        "ylabel": "mean Spearman (%)", "xticks": [48, 96, 192, 384, 768, 1536, 2943],
        "order": {"series": list(WHO.values())},
    },
    alt=lambda df: f"Mean Spearman of three STS sets by the size of the training set; {base:.1f} "
    "before. " + "; ".join(
        f"{by}, {size} triplets: {part.mean():.1f} ({part.min():.1f} to {part.max():.1f})"
        for (by, size), part in df.groupby(["by", "triplets"], sort=False)["spearman"]
    ) + ".",
    label="fig-17-curve",
    caption="STS over the size of the training set, real sentences, for 48 and for 91 steps. Bands "
    "span three seeds. The small model wrote from the book's captions and, in chapter 13, from "
    f"premises of SNLI; these are trained on for 48 steps. Before training: {base:.1f}.",
)  # fmt: skip

# %% tags=["hide-input"]
people = grown[grown["arm"] == "people"].groupby(["steps", "triplets"])
pd.DataFrame({
    "mean Spearman": people["spearman"].mean(),
    "seeds apart by": people["spearman"].max() - people["spearman"].min(),
    "gain over the row above": people["gain"].mean(),
    "least of a seed": people["gain"].min(),
    "most": people["gain"].max(),
}).round(2)

# %% [markdown]
# Read {numref}`fig-17-curve` from the left.
#
# - **The first 48 triplets give most.** They take the encoder from 52 to 63: eleven of the fourteen
#   points that are to be had here.
# - **In 48 steps the curve ends at 192.** Fifteen times as many triplets are worth a tenth of a point, and
#   no doubling beyond 384 gains on every seed.
# - **In 91 steps it goes on to 768.** With 48 or 96 triplets the longer training gives nothing; with 1,536
#   it gives a point and a half. So "more data did not help" may mean "too few steps".
# - **Beyond 768 nothing grows.** The last 1,400 triplets gain 0.01, and the seeds differ by 0.2.
# - **Better beats more.** The small model's 256 triplets of SNLI train a worse encoder than the quarter or
#   half of them that the judge keeps. Its triplets of the book's captions, of which
#   more are right, are as good with 48.
#
# That is one small encoder, short training and one examination. (The new trainings computed in
# bfloat16, chapter 13's in float32. A first recording of one seed in float32 agreed within 0.02 points.)
# Where *your* curve ends, you have to draw.
# Train on an eighth, a quarter, a half and all of what is kept, three seeds each, and examine all
# on the same pairs.
# If the last doubling gave less than the seeds differ, train the largest set twice as long.
# If that gives nothing either, the next doubling is not worth its hours.
#
# ## Exercises
#
# Write the function, run the cell below it. The check compares you with an independent
# reference and tries to name the mistake it finds.
# In the complete edition our solution is folded into the cell.
#
# ```{exercise} What is still to be made
# :label: ex-17-absent
#
# *10 minutes.* A step has `count` rows in shards of `size`, so shard 0 holds the first `size` rows,
# and the last shard may be shorter. You get the names of the files in its folder. A shard is there
# where a name is its number, a hyphen, anything, and `.parquet` at the end; `.00004-ab.parquet.part`
# is none (it begins with a dot). Return the numbers of the shards that are absent, in order.
# ```


# %% tags=["solution"]
def absent(names, count, size):
    """List of file names, number of rows, rows of a shard -> list of numbers."""
    ### BEGIN SOLUTION: which numbers are there, and which should be?
    there = {
        int(name.partition("-")[0])
        for name in names
        if name.endswith(".parquet") and not name.startswith(".")
    }
    return [number for number in range(-(-count // size)) if number not in there]
    ### END SOLUTION


# %%
checks.ch17.absent(absent)

# %% [markdown]
# ```{exercise} Device hours
# :label: ex-17-hours
#
# *10 minutes.* By {eq}`eq-17-flops`: a model of `parameters` reads `read` tokens and writes `written`
# of them, for one text. Return the hours that `texts` of them take on `devices` devices whose peak is
# `peak` operations a second, where a share `reached` of it is reached.
# ```


# %% tags=["solution"]
def device_hours(parameters, read, written, texts, peak, reached, devices):
    """Seven numbers -> hours by the clock."""
    ### BEGIN SOLUTION: operations by operations a second
    operations = 2 * parameters * (read + written) * texts
    return operations / (peak * reached * devices) / 3600
    ### END SOLUTION


# %%
checks.ch17.device_hours(device_hours)

# %% [markdown]
# ```{exercise} Does it fit?
# :label: ex-17-fit
#
# *10 minutes.* A device has `memory` bytes, of which weights and cache may take nine tenths. The
# weights take `weights` bytes, a token in the cache `token` bytes, and each text is decoded from
# `contexts` prompts, each with `tokens` tokens, prompt and answer together. Return how many texts
# fit at once: a whole number, 0 where there is room for none.
# ```


# %% tags=["solution"]
def texts_at_once(memory, weights, token, tokens, contexts):
    """Five whole numbers -> a whole number of texts."""
    ### BEGIN SOLUTION: what is left, by what a text takes
    left = memory * 9 // 10 - weights
    return max(0, left // (token * tokens * contexts))
    ### END SOLUTION


# %%
checks.ch17.texts_at_once(texts_at_once)

# %%
checks.progress(17)  # all checks of this chapter once more

# %% [markdown]
# Two more, without a check:
#
# - *Your own point.* Run `python -m synthlib run multicsr --tier laptop --dry-run --out x` and set its
#   estimate beside `costs.estimate` for the same model. What share of which peak do you reach?
# - *Break it.* Stop a run by `kill -9` as often as you like, delete a shard, change one byte of
#   another. Give the command again, and compare.
#
# ## Three sentences to remember
#
# 1. What is done is what lies on the disk, whole: then a dead process costs one shard.
# 2. A small batch pays for moving weights, a large one for arithmetic, and the cache decides how
#    large it can be.
# 3. A computed hour tells an hour from a week; for more than that, time one shard and multiply.
#
# ```{quiz} 17
# ```
#
# ## What to read next
#
# - {doc}`/book/reference/tiers`, for what every tier takes, and where the paper's value stands.
# - {doc}`/book/reference/troubleshooting`, for what a stopped run says, and what to do.
# - {cite:t}`wang2024multicsr`, Appendix G and Table 12, for what the paper itself says of cost.
