# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
# ---

# %% [markdown]
# (ch-16)=
# # Your own domain
#
# You have a text file: reports, questions of customers, captions of a museum.
# You want an encoder that knows which of these sentences mean the same.
# Nobody has labelled anything.
#
# This chapter is the way from the file to the encoder, and the questions to ask of your data on the
# way, in the order in which you should ask them.
#
# **You will be able to**
#
# - look at a text file and say what of it can be a premise;
# - try a method on eight sentences before you let it write eight thousand;
# - choose one of the three methods, or a sequence of them, and say why;
# - read a sample by a rule, and say how much it proves;
# - make an examination out of your own text, and notice when it is too easy;
# - hand a colleague one page on which all of this can be checked.
#
# **Time and memory.** On the tier `laptop` about a minute and a half of one processor core and 3 GB
# of memory, once 180 MB of models are there (`python -m synthlib models get laptop`; no
# account is needed). On `colab` and `paper` the same cells run that tier's models on your
# sentences; how long that takes was not measured.

# %%
TIER = "laptop"  #@param ["laptop", "colab", "paper"]

# %%
import synthlib

synthlib.preflight(TIER)

# %%
import re
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from synthlib import checks, curation, data, listing, models, reporting, tiers, viz
from synthlib.experiments import ch16, field
from synthlib.field import examiner as examining
from synthlib.runs import multicsr as multicsr_run

pd.set_option("display.max_colwidth", None)
settings = tiers.get(TIER).multicsr
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# **Your file.** Put its name between the quotes, and every cell below speaks of your sentences: a
# sentence a line, or a table (CSV, TSV, JSON, Parquet) with one column of text.
# Empty, the chapter takes a domain of its own: 80 plain captions that were written for this book
# (those of them on which no setting of the tier was chosen).

# %%
FILE = ""

# %% [markdown]
# ## The road, with one picture

# %% tags=["hide-input"]
STATIONS = ["1 · look", "2 · try eight", "3 · choose a method", "4 · write, read, train",
            "5 · examine", "6 · report"]
viz.Figure(
    [
        {"source": a, "target": b} for a, b in zip(STATIONS, STATIONS[1:])
    ],
    {"kind": "flow", "source": "source", "target": "target"},
    alt=f"A road of six stations: {', '.join(STATIONS)}.",
    label="fig-16-road",
    caption="From a text file to an encoder. Every arrow is a place to stop and turn back: it is "
    "cheap on the left and dear on the right.",
)

# %% [markdown]
# ```{admonition} Before you read on
# :class: tip
# Our generator is small.
# We shall give it eight sentences each of nine registers, three times: plain captions, richer
# captions, news, questions, instructions, dialogue, general statements, reviews, messages.
# **Before you look, predict.** Which will it serve best, and which worst? Write down your order.
# ```
#
# ## 1 · Look at the file
#
# Real files are untidy.
# To see what the reader does about it we spoil our own a little: a blank line, a line that holds
# nothing but a zero-width space, and two sentences that stand there twice, one of them in capitals.

# %%
if FILE:
    source = FILE
else:
    lines = ch16.domain("plain")
    lines += ["", "\u200b", lines[0], lines[1].upper()]
    source = folder / "captions.txt"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
found, rejects = data.read_premises(source)
rejects[["line", "reason"]]

# %% [markdown]
# What cannot be a sentence is left out, and named with its line.
# What stands there twice is *not* left out by the reader: only you know whether it matters.
# For an encoder it does.
# Two triplets with one premise in one batch are each other's false negatives (chapter
# {ref}`5 <ch-05>`).
# So we take the doubles out by the one definition of a copy that this book has, which ignores case
# and gaps:

# %%
first = ~found["sentence"].map(curation.folded).duplicated()
sentences = list(found["sentence"][first])
print(f"{len(found)} sentences, {len(sentences)} of them different")

# %% [markdown]
# Now four numbers that cost nothing.
# Beside our domain we put three lists that should make you stop: news, questions, and five lines
# of German.

# %%
generator = field.load("generator", settings)
tokenizer = generator[1] if generator else None
german = [
    "Der Zug nach Lindau fährt heute von Gleis sieben.",
    "Zwei Kinder bauen am Ufer eine Burg aus Sand.",
    "Im Keller steht noch das Fahrrad meiner Großmutter.",
    "Die Bäckerei öffnet sonntags erst um neun Uhr.",
    "Ein Mann streicht den Zaun vor seinem Haus.",
]
looks = {
    FILE or "our captions": ch16.look(found["sentence"], tokenizer),
    "news": ch16.look(field.sentences("news"), tokenizer),
    "questions": ch16.look(field.sentences("question"), tokenizer),
    "five lines of German": ch16.look(german, tokenizer),
}
pd.DataFrame(looks).T.round(2)

# %% [markdown]
# - **Length.** The worked examples in the prompt have about eight words. A premise of thirty words
#   with two subordinate clauses asks for another skill than the examples show.
#   A "sentence" of three hundred words is a paragraph: cut it into sentences first.
# - **Again** counts the sentences that stood there before. Boilerplate stands in a file a hundred
#   times. Take it out, or the encoder learns it.
# - **Questions.** What follows from a question? Decide by a rule *before* you see any output
#   (`data/field/labelling.md` has ours: a question says what it takes for granted).
# - **Pieces a word.** The tokenizer leaves most words that it knows in one piece: the English lists
#   have little more than one, the German lines two.
#   A language that the tokenizer has hardly seen falls to pieces, and the number says so before a
#   single sentence is written.
#
# ## 2 · Try eight sentences
#
# The most expensive mistake is to write everything first.
# A trial takes eight premises, lets the generator write both texts by the method of chapter
# {ref}`3 <ch-03>`, has the judge score them, and sorts the outcomes.
#
# Two models look at the result.
# The **judge** belongs to the method: its scores decide what is kept.
# The **examiner** only counts, and has learnt from other pairs than the judge.
# It errs, so its record stands here first: percent of pairs that it labels as people did.

# %%
record = examining.recorded("laptop/examiner")
record[record["label"] == "all"].round(1)

# %% [markdown]
# It reads plain captions well enough to count with.
# On the book's own hard triplets it is right in half of the cases, so *a share on news or dialogue
# is a hint and no measurement*.
# This is the first thing to know about any domain: can my examiner read it?
#
# Here is the trial itself. `ch13.written` asks, writes, sorts and has the judge score, as in chapter
# {ref}`13 <ch-13>`; what remains is the rule.

# %%
print(listing.essential(ch16.trial))

# %%
examiner = field.load("examiner")
judge = field.load("judge", settings) if settings.scoring == "nli" else generator
ready = None not in (generator, judge, examiner)
live = None
if ready:
    some = sentences[:4] if FILE else ch16.drawn("plain", seed=0)[:4]
    live = ch16.trial(generator, judge, examiner, some, settings)
live.drop(columns="label") if ready else "the models are not here: what is recorded follows"

# %% [markdown]
# Read these eight rows aloud.
# No table of shares replaces it: in a minute you see whether the model writes about what your
# sentences say.
# Where do you disagree with the examiner? (Can one listen to a lecture and to a concert at once?)
# And did you notice how the entailments begin? We come back to that.
#
# For the nine registers the trial was made three times on the tier `laptop`, and recorded
# (`make field`). Each of the three seeds draws eight sentences of every register, and the wording
# of the instructions.
# Live and recorded must be the same texts, where processor and versions are:

# %%
recorded = field.recorded("16-registers")
if ready and TIER == "laptop" and not FILE:
    before = recorded.query("register == 'plain' and seed == 0")
    both = live.merge(before, on=["kind", "premise"], suffixes=(" live", " recorded"))
    same = both["output live"] == both["output recorded"]
    print(f"{same.sum()} of {len(both)} texts are those of the recording")

# %%
shares = ch16.summary(recorded).drop(columns="right of the kept")
each = ch16.summary(recorded, by=["register", "seed"])[shares.columns]
low, high = (part.map("{:.0f}".format) for part in (
    each.groupby("register", sort=False).min(), each.groupby("register", sort=False).max()))
spread = shares.map("{:.0f}".format) + " (" + low + " to " + high + ")"
spread.assign(triplets=shares["triplets"])

# %% tags=["hide-input"]
SHOWN = ["contradictions right", "contradictions copied", "kept"]
figure = each[SHOWN].reset_index().melt(
    ["register", "seed"], var_name="what", value_name="percent")


def _alt(df):
    said = [
        f"{what}: " + ", ".join(f"{register} {percent.mean():.0f} ({percent.min():.0f} to "
                                f"{percent.max():.0f})" for register, percent in part)
        for what, part in (
            (what, rows.groupby("register", sort=False)["percent"])
            for what, rows in df.groupby("what", sort=False)
        )
    ]
    return "Percent of the trial by register, mean and range of the seeds. " + "; ".join(said) + "."


viz.Figure(
    figure,
    {
        "kind": "bars", "x": "register", "y": "percent", "series": "what", "horizontal": True,
        "xlabel": f"percent of {shares['triplets'].iloc[0]} premises", "ylabel": "",
        "order": {"series": SHOWN},
        "colors": dict(zip(SHOWN, ("blue", "gold", "green"))),
    },
    alt=_alt,
    label="fig-16-registers",
    caption="A trial of nine registers on the tier laptop: contradictions that the examiner finds "
    "right, contradictions that only copy their premise, and triplets that the judge keeps. "
    "Whiskers span three draws of eight.",
)  # fmt: skip

# %% [markdown]
# Was your order right?
#
# {numref}`fig-16-registers` shows what a trial is for.
# One generator, one prompt, one rule.
# Of plain captions 19 triplets of 24 are kept, of richer ones 14, of no other register more than 9.
# Asked to contradict a caption the model hardly ever repeats it. Of the other seven registers it
# repeats every fourth sentence, by draw every sixth to every third.
#
# Mind what it does *not* say. Eight sentences are few: look at the whiskers.
# On every draw more is kept of plain captions than of any of those seven registers.
# Which register is served worst, each draw says otherwise: of instructions nothing is kept on the
# first, of dialogue nothing on the second, and on the third reviews come last.
# Whoever had stopped after the first would have thrown out instructions. The other two draws keep
# three of eight, and two.
#
# A share of 50 % of eight may be anything from 22 % to 78 %, and of 24 still from 31 % to 69 %
# (exercise 16.1 lets you compute this).
# So eight are enough to see that something is badly wrong, and three times eight to see that it was
# no accident. To choose between two registers that are alike, neither is enough.
#
# Now the beginnings. How many entailments begin with the same word, and how many premises do?

# %%
follows = recorded[recorded["kind"] == "entailment"]
for name in ("premise", "output"):
    begins = follows[name].str.split().str[0].value_counts()
    print(f"{name}: {100 * begins.iloc[0] / len(follows):.0f} % begin with {begins.index[0]!r}, "
          f"{len(begins)} different first words")

# %% [markdown]
# That is no property of English. Of the four worked examples in the prompt two begin so ("Somebody is
# cutting a vegetable."), and the model has taken it over, on all three draws.
# An encoder that is trained on such triplets can learn that *somebody* means "positive".
# Such a trace is easy to find when you read, and no share of right answers shows it: the examiner
# finds these sentences right, and they are.
#
# What can you do for a register that fails?
#
# 1. *Shorten.* Cut long sentences at their clauses. In this trial the contradictions that came out
#    right had premises of ten to eleven words in the mean, by draw, those that came out as their
#    opposite twelve to fourteen. That is a hint: nobody has cut them and tried again.
# 2. *Show your own.* The prompt holds worked examples. Four of your own domain beat four of ours:
#    write them as anchor, positive and negative into a table, begin each differently, and give
#    `--nli mine.csv --demonstrations 4 --demonstration-similarity -1`.
# 3. *Take a larger model.* `TIER = "colab"` changes one word.
# 4. *Let somebody else write.* `--no-logits` takes triplets of any source, and the judge, the
#    selection and the training stay the same.
#
# ## 3 · Which method?
#
# | | MultiCSR | ART | Ranking sentences |
# |---|---|---|---|
# | starts from | sentences | sentences, many and different | sentences, and an encoder that is trained already |
# | needs | logits of a writer; a judge | *weights* of a writer; an NLI model that can read your domain | logits of a writer; a teacher at least as good as the encoder |
# | gives | an encoder | a better writer, and an encoder a round | a finer order among near sentences |
# | what goes wrong first | copies | reward hacking | lists that loop |
# | look at | share of copies, share kept | the control at equal budget | lists dropped, and why |
#
# Start with MultiCSR: it needs least.
# Take ART when the *writer* is the bottleneck and your NLI model reads the domain well, for ART
# believes it without reserve (chapter {ref}`9 <ch-09>`).
# Take ranking last, on top of whatever you have, and keep it only if the development pairs say so
# (chapter {ref}`12 <ch-12>`).
#
# In a sequence, change one thing at a time and examine after each.
# Two gains that were measured apart do not add up by themselves.
#
# ## 4 · Write, read, train
#
# One command does the rest:
#
# ```text
# python -m synthlib run multicsr --tier laptop --premises mine.txt --out runs/mine --until kept
# ```
#
# `--until kept` is the point.
# It stops where reading is cheap and before training makes everything look plausible.
# From Python, and for sixteen sentences, so that it takes half a minute:

# %%
FEW = 16
out = folder / "run"
options = dict(tier=TIER, premises=str(source), n=FEW, select="last", quiet=True)
if ready:
    made = multicsr_run.run(out, until="kept", **options)
    counts = pd.Series(made.counts)[
        ["premises", "written", "copied_positives", "copied_negatives", "judged", "below_alpha",
         "above_beta", "within_gamma", "kept"]
    ].rename(lambda name: name.replace("_", " "))  # fmt: skip
counts.to_frame("count") if ready else "the models are not here"

# %% [markdown]
# **Read by a rule.** Draw a sample of what was *kept*, hide the scores, and label each text:
# follows, may be either, contradicts, or nothing to judge.
# The rule is in `data/field/labelling.md`; write your own additions down before you start, and do
# not change a label after you have seen a model's.
# Then count, and put an interval beside the share.

# %%
if ready:
    kept = made.kept().to_pandas()
    sample = kept.sample(min(5, len(kept)), random_state=0)[["anchor", "positive", "negative"]]
sample if ready else "the models are not here"

# %% [markdown]
# How many must you read?
# An interval of ±14 points takes about 50 texts, ±10 about 100, ±5 nearly 400.
# Fifty take about an hour, and tell good from bad.
# If a third of what was kept is wrong, ask why before you train, and go back to the left of
# {numref}`fig-16-road`. An encoder may gain all the same (in chapter {ref}`13 <ch-13>` it did, with
# half of the triplets wrong); what it has learnt from the wrong ones, no share will tell you.
#
# **Three shares** to look at besides: texts that copy their premise, texts that several premises
# have in common (the writer says the same of everything), and the share that was kept.
# The report page below counts all three and says when one of them should worry you.
#
# **Train.** The same command without `--until kept` goes on where it stopped.
# Nothing is written or judged twice.

# %%
trained = multicsr_run.run(out, until="trained", **options) if ready else None
f"trained on {trained.counts['trained_on']} triplets" if ready else "the models are not here"

# %% [markdown]
# A dozen triplets make no encoder, and we do not pretend that they do.
# What they make is a *complete run*, in which everything can be looked at before you spend an
# evening on it.
#
# ## 5 · An examination of your own
#
# STS-B asks about somebody else's sentences.
# For your domain you need fifty pairs of your own, and they must be honest:
#
# 1. **Set sentences aside** before anything is written, and never give them to the method.
# 2. For each, write one text that *follows* in other words, and one that *cannot be true* in
#    almost the same words. Write the second as carefully as the first.
# 3. **Balance the words.** If the right text shares more words with its anchor than the wrong one,
#    counting words passes your examination.
# 4. Have a second reader label them without seeing your labels, and drop what you two dispute.
# 5. **Check for leaks.** A language model may write your sentence by itself (exercise 16.2).
#
# The book has such triplets, 150 of eight registers, written by this rule.
# We leave out those that stand in prompts and ask two questions of each row.
# *Easy*: is what follows from the anchor nearer to it than what follows from another row's?
# *Hard*: is it nearer than what contradicts it?

# %%
exam = ch16.examination(field.triplets(examples=False))
exam.head(3)

# %% [markdown]
# Who sits the examination?
# First of all somebody who cannot read: a count of shared words.
# Then the encoder of the tier as it was, the one that we have just trained, and the guide (on
# `laptop` it is the model of which the encoder is two layers).

# %%
similar = {"shared words": ch16.shared_words}
if ready:
    similar["encoder, before"] = ch16.cosine(
        models.load_encoder(settings.encoder, pooling=settings.pooling, device="cpu").encode
    )
    similar["encoder, after"] = ch16.cosine(trained.encoder("cpu").encode)
    similar["guide"] = ch16.frozen(settings.guide)
result = ch16.marks(similar, exam)
result.round(1)

# %% tags=["hide-input"]
viz.Figure(
    result[["by", "question", "right"]],
    {
        "kind": "bars", "x": "by", "y": "right", "series": "question", "horizontal": True,
        "annotate": True, "format": ".0f", "xlabel": "percent right; 50 is guessing", "ylabel": "",
        "order": {"x": list(similar), "series": list(ch16.EXAMINED)},
    },
    alt=lambda df: "Percent right. " + "; ".join(
        f"{question}: " + ", ".join(f"{r.by} {r.right:.0f}" for r in part.itertuples())
        for question, part in df.groupby("question", sort=False)
    ) + ".",
    label="fig-16-examination",
    caption="The same rows, two questions. The easy one is passed by counting words. In the hard "
    "one the wrong text was written with the words of the anchor.",
)  # fmt: skip

# %% [markdown]
# Look at the easy question in {numref}`fig-16-examination`.
# A count of words passes it with honours.
# An encoder of any kind has next to full marks there, before and after.
# *An examination that somebody passes who cannot read does not measure reading.*
# Pairs of "a paraphrase" and "any other sentence of the file" are of this kind, and they are what
# most people make first, because they need no work.
#
# The hard question is another matter.
# There the words are of no help, and two layers of an encoder see no more than the words do: they
# guess.
# The guide has 58, and the low end of its interval is 50: perhaps a little more than guessing.
# This is where your domain's encoder has room to gain, and where a gain means something.
#
# So before you believe a figure on your own examination, give it to somebody who cannot read.
# If that one has more than about 60 %, write harder pairs.
#
# And look at `low` and `high`.
# With 130 rows the interval is 17 points wide, with 50 it is 27.
# A difference of three points between two encoders on one examination of fifty rows is nothing.
# Two encoders answer the *same* rows, though, and so it helps to compare them row by row
# (chapter {ref}`6 <ch-06>`).
#
# ## 6 · One page for a colleague
#
# ```text
# python -m synthlib report runs/mine
# ```
#
# It makes one HTML file without any link to the net: what was done, with which models, how to do it
# again; what was lost at each stage and why; texts that were kept and texts that were not, drawn
# by a seed and not by you; what decided; training and examination.
# It works on a run that is not finished, too.

# %%
if ready:
    page = reporting.write(out).read_text("utf-8")
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    print(f"{len(page) / 1000:.0f} kB:", "; ".join(titles))

# %% [markdown]
# At its top stands what a careful reader would have looked for.
# Of our small run it says:

# %%
if ready:
    part = page.partition("Look at this first</h2>")[2].partition("<h2")[0]
    for found_there in re.findall(r"<(?:li|p)\b.*?</(?:li|p)>", part):
        print(re.sub(r"<[^>]+>", "", found_there))

# %% [markdown]
# By the page's rules nothing stands out. By yours something does, if you have read: *Somebody*.
# A page counts what its makers thought of. That is why it says "read some of the texts all the
# same", and means it.
#
# If you send only one thing to somebody who is to trust your encoder, send this page and the
# examination, with the mark of the one who cannot read.
#
# ## What changed against the pocket world
#
# | | chapters 00 to 12 | here |
# |---|---|---|
# | who knows what is right | an oracle, never wrong | an examiner whose record you must look up, and a reader with a rule |
# | what the generator can write about | all of its world | some registers, hardly others: try before you write |
# | what is examined | sets whose difficulty was designed | pairs that you must make hard yourself |
# | what a table of shares is worth | what it says | as much as the examiner on *that* kind of sentence |
#
# ## Exercises
#
# Write the function, run the cell below it. The check compares you with an independent
# reference and tries to name the mistake it finds.
# In the complete edition our solution is folded into the cell.
#
# ```{exercise} How much a sample proves
# :label: ex-16-interval
#
# *10 minutes.* You have read $n$ texts, and `right` of them were right. Return the two ends of
# Wilson's 95 % interval of the true share, from 0 to 1. With $\hat p$ the share that you saw and
# $z=1.96$ it is
#
# $$
# \frac{1}{1+z^2/n}\left(\hat p+\frac{z^2}{2n}\pm
# z\sqrt{\frac{\hat p(1-\hat p)}{n}+\frac{z^2}{4n^2}}\right).
# $$
# ```


# %% tags=["solution"]
def interval(right, n):
    """Two counts -> (low, high), shares from 0 to 1."""
    ### BEGIN SOLUTION: the formula, once with minus and once with plus
    z, seen = 1.96, right / n
    centre = seen + z**2 / (2 * n)
    width = z * np.sqrt(seen * (1 - seen) / n + z**2 / (4 * n**2))
    return float((centre - width) / (1 + z**2 / n)), float((centre + width) / (1 + z**2 / n))
    ### END SOLUTION


# %%
checks.ch16.interval(interval)

# %% [markdown]
# ```{exercise} What has leaked
# :label: ex-16-leaks
#
# *10 minutes.* You get the pairs of an examination, (text, text), and the triplets that an encoder
# is to be trained on, (anchor, positive, negative). Return the numbers (from 0, in order) of the
# pairs of which a text stands in a triplet, anywhere. Texts are the same where
# `curation.folded` makes them equal.
# ```


# %% tags=["solution"]
def leaked(pairs, triplets):
    """List of pairs, list of triplets -> list of row numbers."""
    ### BEGIN SOLUTION: what was trained on, and which pair holds some of it?
    seen = {curation.folded(text) for triplet in triplets for text in triplet}
    return [
        row
        for row, pair in enumerate(pairs)
        if any(curation.folded(text) in seen for text in pair)
    ]
    ### END SOLUTION


# %%
checks.ch16.leaked(leaked)

# %% [markdown]
# ```{exercise} The hard question
# :label: ex-16-told
#
# *10 minutes.* Three arrays [n, d] hold the vectors of anchors, of texts that follow, and of texts
# that do not. Return the share of rows in which the text that follows has the larger cosine with
# its anchor. Cosines that differ by less than $10^{-9}$ are a tie, and a tie counts one half.
# Vectors may have any length.
# ```


# %% tags=["solution"]
def told_apart(anchor, same, other):
    """Three arrays [n, d] -> share from 0 to 1."""
    ### BEGIN SOLUTION: two cosines a row; mind the ties
    anchor, same, other = (
        x / np.linalg.norm(x, axis=1, keepdims=True) for x in (anchor, same, other)
    )
    gap = (anchor * same).sum(axis=1) - (anchor * other).sum(axis=1)
    return float(np.where(np.abs(gap) < 1e-9, 0.5, gap > 0).mean())
    ### END SOLUTION


# %%
checks.ch16.told_apart(told_apart)

# %%
checks.progress(16)  # all checks of this chapter once more

# %% [markdown]
# Two more, without a check:
#
# - *Your file.* Put its name into `FILE` and go through the chapter again. Stop at the first number
#   that you would not show to a colleague.
# - *Fifty pairs.* Write ten triplets of your domain by the five steps, and give them to
#   `ch16.marks` with nobody but `shared_words`. How many had to be written again?
#
# ## Three sentences to remember
#
# 1. Look at the file and try eight sentences: most of what goes wrong can be seen there.
# 2. Know who counts. An examiner that cannot read your domain gives numbers all the same.
# 3. An examination that is passed without reading is none.
#
# ```{quiz} 16
# ```
#
# ## What to read next
#
# - {cite:t}`bowman2015snli` on how pairs are written and labelled by people.
# - {cite:t}`wang2024multicsr`, Appendix G, on examples of one's own in the prompt.
# - The *Replication ledger*, for all that held and all that did not.
