# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (app-06)=
# # More of MultiCSR's tables
#
# Chapter {ref}`6 <ch-06>` asks one thing: is the encoder better, and which stage made it so?
# The paper asks more, in its Tables 4, 5 and 7 to 10 {cite}`wang2024multicsr`.
# They stand here, one after the other; each can be read alone.
#
# - Does MultiCSR lift every kind of encoder? (Table 5)
# - Do its embeddings serve search and classification? (Tables 7 and 8)
# - Does it help a small language? (Table 4)
# - Do labelled examples in the prompt help the writer? (Table 9)
# - Does it add to labelled data? (Table 10)
#
# **Time and memory.** Less than a minute of one processor core on the pocket tier, and 1 GB.
# Nothing is downloaded.
# All encoders were trained by `make ledger`, for three seeds each; the tables come from there.

# %%
import synthlib

synthlib.preflight()

# %%
import pandas as pd

from synthlib import ledger, tiers
from synthlib.experiments import ch06
from synthlib.methods import multicsr
from synthlib.world import corpora

pd.set_option("display.max_colwidth", None)
settings = tiers.get("pocket").multicsr
NAMES = {"bert": "BERT-shaped", "roberta": "RoBERTa-shaped"}
SETS = ("natural", "hard")


def gain(rows, first, other, column):
    """Mean paired difference over the seeds, and its 95 % interval, in words."""
    return ledger.mean_and_interval(ch06.differences(rows, first, other, column))


# %% [markdown]
# Differences are paired by seed, equation {eq}`eq-06-paired`.
# In parentheses behind each stands its 95 % interval over three seeds ({ref}`ch-01-sure`).
# An interval that holds zero leaves open which of the two is ahead.
#
# (app-06-backbones)=
# ## Does it lift every backbone?
#
# MultiCSR changes the data. Any encoder that learns by contrast can eat them.
# Two such *backbones* differ from SimCSE enough to be worth a try:
#
# - **prompt pooling**, PromptBERT's idea {cite}`jiang2022promptbert`: the sentence stands in a
#   template, *this sentence : "…" means [MASK]*, and the state at the mask is the embedding;
# - **rank distillation**, RankCSE's {cite}`liu2023rankcse`: beside the contrast, the batch's
#   similarities must come in a teacher's order.
#
# Without MultiCSR a backbone trains on the unlabelled premises, as in its own paper.
# With it, on the curated triplets.

# %%
table5 = ledger.rows("06-table5")
table5["backbone"] = table5["shape"].map(NAMES) + ", " + table5["backbone"]
marks = table5.pivot_table(
    index=["backbone", "seed"], columns="row", values="natural", sort=False
)
lifted = marks.groupby("backbone", sort=False).mean()[["without", "with"]].round(1)
gains = (marks["with"] - marks["without"]).groupby("backbone", sort=False)
lifted["gain"] = gains.agg(ledger.mean_and_interval)
lifted.columns = ["unlabelled (%)", "+ MultiCSR (%)", "gain in points (95 %)"]
lifted

# %% [markdown]
# Spearman on the natural set.
# Every backbone gains, on every seed, and many times what it gains in the paper: our
# unlabelled start is that much lower.
# But in the mean no backbone beats plain SimCSE once the data are good. Prompt pooling stays far
# behind. Rank distillation, at the weight that its public code gives it, a tenth, comes within a
# point on the natural set (on one seed it is ahead), and loses four to eight points on the hard one.
# Perhaps that is because its teacher, an unsupervised encoder, ranks the batch by the very habits
# that the triplets are there to correct.
#
# The paper's other backbones are not trained here.
# On the larger tiers they enter by name, as what is fitted:
#
# | backbone | public checkpoint | pooling |
# |---|---|---|
# | SimCSE | `princeton-nlp/unsup-simcse-bert-base-uncased`, `…-roberta-base` | known |
# | DiffCSE {cite}`chuang2022diffcse` | `voidism/diffcse-bert-base-uncased-sts`, `voidism/diffcse-roberta-base-sts` | known |
# | PromptBERT | `royokong/unsup-PromptBERT`, `royokong/unsup-PromptRoBERTa` | `prompt` |
# | InfoCSE {cite}`wu2022infocse` | `ffgcc/InfoCSE-bert-base` | `cls` |
# | RankCSE (a reimplementation) | `perceptiveshawty/rankcse-listmle-bert-base-uncased` | `cls` |
# | RankEncoder {cite}`seonwoo2023rankencoder` | code only | |
#
# ```text
# python -m synthlib run multicsr --tier colab --out runs/diffcse \
#     --encoder voidism/diffcse-bert-base-uncased-sts
# ```
#
# We have not run this table: it needs the network and a GPU.
# Weights are read from safetensors only; a checkpoint that offers none is refused, with a
# message that says so.

# %% [markdown]
# (app-06-search)=
# ## Search
#
# A good embedding should serve people who never heard of STS.
# Table 7 of the paper searches passages with it, and reports nDCG@10, equation
# {eq}`eq-06-ndcg`: how much of the best possible gain stands among the first ten.
# In the pocket world a query is a rough description of a scene, and two of 2,000 passages tell
# of it.
# No triplet contains a passage.

# %%
simcse = ch06.ndcg(ch06.committed("simcse-unsup"))
print(f"unsupervised SimCSE, BERT-shaped, searched just now: {simcse:.3f}")
table7 = ledger.rows("06-table7")
found = table7.pivot_table(index="row", columns="shape", values="ndcg", sort=False)
found.rename(columns=NAMES).rename_axis("nDCG@10, means of three seeds").round(3)

# %% [markdown]
# Generated triplets more than double what SimCSE finds.
# Whether they were refined hardly matters: the raw corpus is as good for one shape, and close
# behind for the other.
# Among 2,000 random passages there are few contradictions to be fooled by, and it is enough to
# know what belongs together.

# %% [markdown]
# (app-06-transfer)=
# ## Classification
#
# Table 8 asks what a linear classifier can read off the frozen embeddings, as SentEval does
# {cite}`conneau2018senteval`.
# Our seven tasks: mood, kind of being, place, number, denial, type of question, paraphrase.

# %%
table8 = ledger.rows("06-table8")
accuracy = table8.pivot_table(
    index="task", columns=["shape", "row"], values="accuracy", sort=False
)
accuracy.loc["mean"] = accuracy.mean()
accuracy.rename(columns=NAMES).rename_axis("accuracy (%)").round(1)

# %% [markdown]
# The means rise, and the mean hides the story; look at the tasks one by one.
# All of the gain is in *paraphrase*, the one task that asks what the contrast was trained
# on: do two sentences mean the same?
# Four others stay within two points of where they were.
# *Mood* and *place* get harder to read off in the mean, and *mood* differs wildly from seed to
# seed: for the RoBERTa-shaped encoder from one point more to 17 less.
# Perhaps a detail on which triplets seldom turn is a detail that training may forget.
# So the mean over tasks is a gain for the first shape, on every seed, and for the second on two of
# three.
#
# The same examination for your own encoder, on the real sets:
#
# ```text
# python -m synthlib evaluate --encoder runs/multicsr/encoder --data SentEval/data/downstream \
#     --transfer
# ```

# %% [markdown]
# (app-06-tavi)=
# ## A small language
#
# The paper's hardest scenario is a language with few texts, Tagalog (Table 4): the model writes
# triplets in it, and the encoder must then find, for each sentence, its English translation
# among a thousand.
#
# Our small language is **Tavi** (chapter {ref}`2 <ch-02>`), which shares no word with English.
# The generators have seen little of it, and it shows:

# %%
tavi = ch06.triplets(0, (1, 0, 0), language="tavi", premises=200)
kept = ch06.triplets(0, (1, 1, 0), language="tavi", premises=200)
print(
    f"of {len(tavi)} Tavi triplets {100 * ch06.right(tavi).mean():.0f} % are right; "
    f"stage 2 keeps {len(kept)}"
)
table4 = ledger.rows("06-table4")
means = table4.groupby("row", sort=False).mean(numeric_only=True)
pd.DataFrame(
    {
        "trained on": means["triplets"].map("{:,.0f} rows".format),
        "right (%)": (100 * means["right"]).map("{:.1f}".format),
        "translations found (%)": means["accuracy"].map("{:.2f}".format),
        "twins in Tavi found (%)": means["twins"].map("{:.1f}".format),
    }
).replace({"nan": "–", "nan rows": "–"})

# %% [markdown]
# *Translations found* is the paper's measure, and here it is near chance, 0.1 %, for everybody.
# Nothing in the training ties the two languages together, and no name, number or loanword does
# it for free, as they do between Tagalog and English.
# So this measure says nothing about MultiCSR in our world.
#
# *Twins* stays inside Tavi: find the other sentence of the same meaning among a thousand.
# That task can be solved, and its column tells what the data are worth.

# %%
twins = {
    f"MultiCSR − {other}": gain(table4, "MultiCSR", other, "twins")
    for other in ("raw", "SimCSE")
}
pd.Series(twins).to_frame("twins in points (95 %)")

# %% [markdown]
# Here MultiCSR loses, and not by a little.
# Raw triplets teach the encoder to find nearly every twin; the curated ones leave it about where
# it began.
#
# The reason is in the columns before.
# Our generator paraphrases Tavi fairly, and cannot contradict in it; ChatGPT can do both in
# Tagalog.
# The selection asks each triplet for a good positive *and* a good negative, so of 4,000 about a
# hundred are left, and thousands of good positives are thrown away with their bad negatives.
# For twins the positives are what matters.
#
# So look at what stage 2 keeps before you train on it.
# Where it keeps next to nothing, the writer is the problem, and no filter will write for it.
#
# Real translations are examined by the same code:
#
# ```text
# python -m synthlib evaluate --encoder ENCODER --bitext tatoeba.tgl-eng.tgl tatoeba.tgl-eng.eng
# ```

# %% [markdown]
# (app-06-demonstrations)=
# ## With labels: demonstrations
#
# Whoever has a labelled corpus can show examples.
# The paper looks up, for each premise, at most $L$ labelled premises with a cosine of at least
# $\lambda$ under $P_\eta$, and puts them into the prompt (Appendix G, Table 9).

# %%
guide = ch06.committed("simcse-unsup")
gold = corpora.triplets(2000, 700)
premise = corpora.premises(2, 0)[1]
[examples] = multicsr.retrieve_examples(
    guide, [premise], gold, count=3, similarity=0.6
)
print(premise)
pd.DataFrame(examples, columns=["found: premise", "entailment", "contradiction"])

# %%
WRITERS = {ch06.T5: "T5-shaped", ch06.LLAMA: "Llama-shaped"}
shares = {
    name: {
        short: 100 * ch06.right(
            ch06.corpus(0, settings.omega, 60, generator=writer, demonstrations=shots)
        ).mean()
        for writer, short in WRITERS.items()
    }
    for name, shots in ch06.DEMONSTRATIONS.items()
}  # fmt: skip
pd.DataFrame(shares).T.round(0).rename_axis("right (%) of 60 triplets, live")

# %%
table9 = ledger.rows("06-table9").query("generator == @ch06.LLAMA")
means = table9.groupby("row", sort=False).mean(numeric_only=True)
pd.DataFrame(
    {
        "right (%)": (100 * means["right"]).round(1),
        "kept of 1,500": means["kept"].round().astype(int),
        **{f"{name} set (%)": means[f"test {name}"].round(1) for name in SETS},
    }
).rename_axis("Llama-shaped writer")

# %%
pd.DataFrame(
    {
        f"{shown} − none": {
            f"{name} set, points (95 %)": gain(table9, shown, "none", f"test {name}")
            for name in SETS
        }
        for shown in list(ch06.DEMONSTRATIONS)[1:]
    }
).T

# %% [markdown]
# The paper finds that demonstrations help, but little, and leaves them out.
# Here they spoil the writing: fewer triplets are right, and fewer are kept.
#
# Why? A demonstration tells a large model what is wanted. Our small ones know what is wanted,
# and a prompt of four sentences gives them four sentences to mix up.
# The T5-shaped generator loses the thread; the Llama-shaped one keeps its head better, so the
# encoders of Table 9 were trained on what the latter wrote.
#
# The encoders do not suffer: selection throws out much of what was spoilt. With $L=5$ and
# $\lambda=0.8$ they are even ahead of those without demonstrations on every seed and both sets, by
# 2.3 points on the hard one in the mean. With $L=3$ and $\lambda=0.6$ they are a little behind on the
# natural set. None of it is sure: all four intervals hold zero. Why fewer right triplets should teach
# more, we do not know. (The ledger's claim takes the better of the two settings on the development
# set, which flatters it.)

# %% [markdown]
# (app-06-union)=
# ## With labels: the union
#
# The last setting mixes: the generated corpus $\mathcal T$ and the labelled one $\mathcal N$,
# where each premise of $\mathcal T$ stands in $\mathcal N$ as well (Table 10).
# $P_\eta$ is now a supervised SimCSE.

# %%
table10 = ledger.rows("06-table10")
table10["encoder"] = (
    table10["shape"].map(NAMES) + ", " + table10["labels"].map("{:,} labels".format)
)
longer = table10.melt(["encoder", "row", "seed"], list(SETS), "set", "Spearman")
marks = longer.pivot_table(
    index=["encoder", "set"], columns="row", values="Spearman", sort=False
)
union = marks.map("{:.1f}".format).replace("nan", "–")
union["T ∪ N − N in points (95 %)"] = [
    gain(table10[table10["encoder"] == encoder], "MultiCSR", "gold alone", name)
    for encoder, name in marks.index
]
union.rename(columns={
    "gold alone": "N alone (%)", "MultiCSR": "T ∪ N (%)", "w/o stage 3": "no stage 3 (%)"
})  # fmt: skip

# %% [markdown]
# With 4,000 labels the generated corpus adds nothing that all seeds agree on, and takes a point from
# the RoBERTa-shaped encoder (on every seed; sure on the hard set alone).
# Gold is pure, $\mathcal T$ is nearly so, and at equal steps each step spent on the one is taken
# from the other.
#
# With 500 labels it adds several points, and both intervals stay off zero.
# That is a setting which the paper does not report, and perhaps the one to remember: generated
# data are worth most where labels are few.
#
# Stage 3 was to make this union safe. It changes nothing here, since a batch of random premises
# holds hardly anything to mask (chapter {ref}`6 <ch-06>` counts it).
#
# ## Three sentences to remember
#
# 1. Every encoder that we tried gains from curated triplets; none ends above plain SimCSE.
# 2. What the triplets teach helps where the task asks for the same meaning, and hardly elsewhere.
# 3. A writer that cannot contradict leaves the selection nothing to keep, and then raw data win.
#
# The claims of these tables stand in the ledger of chapter {ref}`6 <ch-06>`, with the paper's
# figures beside ours.
