"""What chapter 13 measures: MultiCSR on real sentences, with a real generator.

The functions of the first half are called by the chapter. Those under "recorders" run them over
seeds on the tier laptop and commit what was written (`field.recorder`); those under "ledger" read
their figures from that.

Worked examples were chosen on the first `field.TRIED` captions of ``data/field/captions.csv``; all
that is measured here is written from the others.
"""

from __future__ import annotations

import dataclasses
import math
from random import Random

import numpy as np
import pandas as pd
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from synthlib import (
    answers,
    curation,
    decoding,
    judging,
    ledger,
    models,
    paths,
    prompts,
    tiers,
    training,
)
from synthlib.evaluation import sts
from synthlib.experiments import ch01, ch03, ch05, field
from synthlib.field import examiner as examining
from synthlib.field import pairs as labelled
from synthlib.methods import multicsr
from synthlib.world import report

KINDS = multicsr.KINDS
OMEGAS = (-0.2, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
NOISES = ("opposite", "reorder", "mask", "truncate")
PREMISES = 40  # of one seed's sweep
NOISE_OMEGA = 0.3
LABELS = paths.DATA / "field" / "labels" / "multicsr.csv"  # 200 answers, labelled by hand
LABELLED, LABELLED_SEEDS = (0.0, 0.3, 0.5, 0.8), (0, 1)  # what they were drawn from
PAIRS = 200  # of STS-B dev, that judges score
# The dial: of each seed two trees, an answer at every ω of a grid. Both kinds where both say most.
DIAL = {
    0: {"The wind is blowing leaves across the yard.": KINDS},
    1: {"An electrician is changing a light bulb.": KINDS},
    2: {"A man is tying his shoes on the stairs.": KINDS[1:],
        "An elderly couple is walking through the park.": KINDS[1:]},
}  # fmt: skip
DIAL_OMEGAS = tuple(round(-0.2 + 0.05 * i, 2) for i in range(21))
_INSTRUCTIONS = {"entailment": prompts.ENTAILMENT, "contradiction": prompts.CONTRADICTION}
DIAL_WORDS = {"model": "SmolLM2-135M",
              "views": ("asked to contradict", "asked to paraphrase", "mixture")}  # fmt: skip
DIALLED = (  # its captions in the order in which they are shown
    "An electrician is changing a light bulb.", "The wind is blowing leaves across the yard.",
    "A man is tying his shoes on the stairs.", "An elderly couple is walking through the park.",
)  # fmt: skip
LEADERS = 3  # tokens that each context, and each ω's mixture, adds to a place of the dial
WRITTEN = 256  # SNLI premises from which the triplets of one training are written
TASKS = ("STS12", "STS14", "STS-B dev")  # of which the figures are means
SCENES, NEAR = 64, 3  # people's triplets with false negatives among them: premises, neighbours each
SIGMAS = (0.5, 0.7, 0.9)
ADDED = 128  # premises from which triplets are written that join those of people


# ------------------------------------------------------------------ stage 1: writing
def premises(seed: int, n: int = PREMISES) -> list[str]:
    """n of the captions on which nothing was chosen."""
    return Random(f"chapter 13 {seed}").sample(field.captions(tried=False), n)


def bare(settings):
    """A tier's settings without worked examples: the paper's instruction and the premise."""
    return dataclasses.replace(settings, shots=0, register=None)


def written(
    generator, judge, examiner, sentences, settings, *, omega=None, seed=0, noise="opposite",
    **options,
) -> pd.DataFrame:  # fmt: skip
    """An entailment and a contradiction of every sentence, what became of them, and the judge's
    score of each.

    Parameters
    ----------
    generator : (model, tokenizer)
    judge : (model, tokenizer)
        Scores as the method would: an NLI model where the settings' scoring is "nli", else the
        generator.
    examiner : (model, tokenizer)
        Sorts: an NLI model that the method does not use.
    sentences : sequence of n str
    settings : tiers.MultiCSR
    omega : float, optional
        Instead of the settings'.
    seed : int
        Of the instructions that are drawn.
    noise : one of `NOISES`
    **options
        Of `multicsr.write`.

    Returns
    -------
    DataFrame
        2 n rows, all entailments first: kind, instruction (its number, from 1), premise, output,
        label, outcome (of `field.outcomes`), score (a or b).
    """
    asked = multicsr.ask(sentences, seed=seed, form=prompts.form_of(*generator), noise=noise)
    options = {"max_new_tokens": settings.max_new_tokens} | options
    omega = settings.omega if omega is None else omega
    table = field.answers(generator, examiner, asked, omega=omega, **options)
    n, texts = len(asked), list(table["output"])
    triplets = pd.DataFrame({
        "anchor": list(sentences), "positive": texts[:n], "negative": texts[n:]
    })  # fmt: skip
    scored = multicsr.judge(judge, triplets, method=settings.scoring)
    numbers = [number for kind in KINDS for number in asked[kind]]
    table = table.assign(instruction=numbers, score=[*scored["a"], *scored["b"]])
    return table[["kind", "instruction", "premise", "output", "label", "outcome", "score"]]


def sweep(settings, judge, examiner, *, seed=0, omegas=OMEGAS) -> pd.DataFrame:
    """The same premises at every ω, as the tier asks and, where that is with worked examples, at 0
    without any: shots, omega, and the columns of `written`."""
    parts = []
    for asked, some in [(bare(settings), (0.0,))] * bool(settings.shots) + [(settings, omegas)]:
        generator = field.load("generator", asked, seed=seed)
        for omega in some:
            table = written(
                generator, judge or generator, examiner, premises(seed), asked, omega=omega,
                seed=seed,
            )  # fmt: skip
            parts.append(table.assign(shots=prompts.form_of(*generator).shots, omega=omega))
    return _first(pd.concat(parts, ignore_index=True), "shots", "omega")


def noises(settings, judge, examiner, *, seed=0) -> pd.DataFrame:
    """The same premises at ω = 0.3 against the three noisy instructions that are not the opposite:
    noise, and the columns of `written`."""
    generator, parts = field.load("generator", settings, seed=seed), []
    for noise in NOISES[1:]:
        table = written(
            generator, judge or generator, examiner, premises(seed), settings, omega=NOISE_OMEGA,
            seed=seed, noise=noise,
        )  # fmt: skip
        parts.append(table.assign(noise=noise))
    return _first(pd.concat(parts, ignore_index=True), "noise")


def dial(generator, prompt, noisy, omegas=DIAL_OMEGAS, *, max_new_tokens, top=LEADERS):
    """Greedy decoding from l − ω·l̂ at every ω of a grid, side by side, and what each token weighed.

    Answers share their beginnings: they form a tree, and a *node* is a place in it, where some of
    the ω still stand together. All ω are rows of one batch, so each prompt is read once.

    Parameters
    ----------
    generator : (model, tokenizer)
    prompt, noisy : str
    omegas : sequence of float
    max_new_tokens : int
    top : int
        Tokens that each context, and the mixture of each ω there, adds to a node.

    Returns
    -------
    DataFrame
        A row for each candidate of a node: node (0 is the beginning), token (its text, its leading
        blank too; "" ends the answer), asked and noisy (its log-probability in either context,
        among the tokens that an answer may hold), next (the node behind it; −1 where the answer
        ends with it, −2 where no ω takes it), mixed ("0.3:0.41 0.35:0.4": the ω of the grid that
        take it, with its probability in their mixture).

    Source: MultiCSR § 3.1.
    """
    model, tokenizer = generator
    ends = prompts.end_ids(tokenizer, prompts.form_of(*generator))
    read = decoding.tokenize(model, tokenizer, [[prompt, noisy]], (0, 1), max_new_tokens)
    both = [read[prompt], read[noisy]]
    way = decoding.way_of(model, tokenizer, both, max_new_tokens)
    going, written = list(range(len(omegas))), [()] * len(omegas)  # rows of ω; the tokens of each
    nodes, rows = {(): 0}, []
    with decoding.inference(model):
        states = decoding.read_prompts(model, both, decoding.pad_id(tokenizer), way)
        running = decoding.Running(model, states, [k for k in (0, 1) for _ in omegas])
        vocabulary = running.logits.shape[-1]
        rules = decoding.rules_of(model, tokenizer, vocabulary, max_new_tokens, ends)
        for step in range(rules.steps):
            banned = rules.banned if step else rules.banned_first
            logits = running.logits.index_fill(-1, banned, -math.inf).view(2, len(going), -1)
            here = {}  # of each node the rows that stand there
            for b, i in enumerate(going):
                here.setdefault(written[i], []).append(b)
            stay = []
            for before, there in here.items():
                some = [omegas[going[b]] for b in there]
                for v, asked, other, takes in _candidates(logits[:, there[0]], some, top):
                    text, after = "" if v in rules.ends else tokenizer.decode([v]), -2
                    if takes:
                        last = v in rules.ends or v in rules.last or step == rules.steps - 1
                        after = -1 if last else nodes.setdefault((*before, v), len(nodes))
                    mixed = " ".join(f"{omega:g}:{share:.3g}" for omega, share in takes.items())
                    rows.append((nodes[before], text, asked, other, after, mixed))
                    if after >= 0:
                        for b in there:
                            if omegas[going[b]] in takes:
                                written[going[b]] += (v,)
                                stay.append(b)
            if not stay:
                break
            stay.sort()
            running.keep([k * len(going) + b for k in (0, 1) for b in stay])
            going = [going[b] for b in stay]
            running.advance(torch.tensor([written[i][-1] for i in going] * 2, device=model.device))
    names = ["node", "token", "asked", "noisy", "next", "mixed"]
    return pd.DataFrame(rows, columns=names).sort_values("node", kind="stable", ignore_index=True)


def _candidates(logits, omegas, top):
    """Of a place with logits [2, V]: tokens, their log-probability in both contexts, and the ω that
    take them, each with their share of its mixture; those likelier as asked come first."""
    asked, other = logits.log_softmax(-1)
    shares = {
        omega: decoding.mix_logits(logits[:, None], (1.0, -omega))[0].softmax(-1)
        for omega in omegas
    }
    taken = {omega: int(share.argmax()) for omega, share in shares.items()}
    views = [asked, other, *shares.values()]
    found = {v for view in views for v in view.topk(top).indices.tolist()} | set(taken.values())
    for v in sorted(found, key=lambda v: (-float(asked[v]), v)):
        takes = {omega: float(shares[omega][v]) for omega in omegas if taken[omega] == v}
        yield v, float(asked[v]), float(other[v]), takes


def shares_of(mixed) -> dict[float, float]:
    """The ω that take a candidate of `dial`, each with the candidate's share of its mixture."""
    pairs = (pair.split(":") for pair in mixed.split())
    return {float(omega): float(share) for omega, share in pairs}


def walks(tree) -> dict[float, list]:
    """The candidates that each ω takes, from the beginning of its answer to the end.

    Parameters
    ----------
    tree : DataFrame
        Of `dial`, one answer's.

    Returns
    -------
    dict of ω to list of rows of the tree (named tuples)
    """
    taken = {}
    for row in tree.sort_values("node", kind="stable").itertuples():
        for omega in shares_of(row.mixed):
            taken.setdefault(omega, {})[row.node] = row
    found = {}
    for omega in sorted(taken):
        node, found[omega] = 0, []
        while node >= 0:
            found[omega].append(taken[omega][node])
            node = found[omega][-1].next
    return found


def dial_answers(seed, generator, examiner, settings) -> pd.DataFrame:
    """The trees of a seed's captions in `DIAL`, and what became of each answer.

    Returns
    -------
    DataFrame
        The columns of `dial`, behind kind, instruction (its number) and caption (its id in
        ``data/field/captions.csv``). Where an answer ends: output, the sentence that was read from
        it, and outcome (of `field.outcomes`).
    """
    form, parts = prompts.form_of(*generator), []
    asked = multicsr.ask(premises(seed), seed=seed, form=form).set_index("anchor")
    for premise, kinds in DIAL[seed].items():
        row, number = asked.loc[premise], 1 + field.captions().index(premise)
        for kind in kinds:
            tree = dial(
                generator, row[f"{kind}_prompt"], row[f"{kind}_noisy"],
                max_new_tokens=settings.max_new_tokens,
            ).assign(output="", outcome="")  # fmt: skip
            ends = {walk[-1].Index: "".join(one.token for one in walk)
                    for walk in walks(tree).values()}  # fmt: skip
            said, _ = answers.read_all([text.strip() for text in ends.values()], form.prefix)
            table = pd.DataFrame({
                "kind": kind, "instruction": _INSTRUCTIONS[kind][form.words][row[kind] - 1],
                "premise": premise, "output": said,
            })  # fmt: skip
            found = field.labels(examiner, [(premise, text) for text in said])
            tree.loc[list(ends), "output"] = said
            tree.loc[list(ends), "outcome"] = field.outcomes(table, found)
            parts.append(tree.assign(kind=kind, instruction=row[kind], caption=f"c{number:03}"))
    return _first(pd.concat(parts, ignore_index=True), "caption", "kind", "instruction")


def dial_tables(recorded, shown=DIALLED, kinds=KINDS[::-1]) -> dict[str, pd.DataFrame]:
    """What `viz.explorers.dial` shows of a recording of `dial_answers`.

    Parameters
    ----------
    recorded : DataFrame
        ``13-dial``, with the column seed.
    shown : sequence of str
        Captions, in their order.
    kinds : sequence of str
        Of `KINDS`, in their order.

    Returns
    -------
    dict of DataFrame
        cases {case, kind, premise, instruction, subtracted}; answers {case, omega, output, outcome,
        reader (a label by hand, where one was given)}; words {case, node, token, asked, noisy,
        next, mixed}; steps {case, omega, place, token, share}.
    """
    labels = examining.load_labels(LABELS).set_index(["premise", "hypothesis"])["label"]
    labels = labels[~labels.index.duplicated()].to_dict()
    groups = {
        (kind, field.captions()[int(caption[1:]) - 1]): (seed, tree)
        for (kind, caption, seed), tree in recorded.groupby(["kind", "caption", "seed"])
    }
    keys = [(kind, premise) for kind in kinds for premise in shown if (kind, premise) in groups]
    found = {"cases": [], "answers": [], "words": [], "steps": []}
    for case, (kind, premise) in enumerate(keys):
        (seed, tree), other = groups[kind, premise], KINDS[1 - KINDS.index(kind)]
        asked = multicsr.ask(premises(seed), seed=seed).set_index("anchor").loc[premise]
        said = {one: _INSTRUCTIONS[one]["paper"][asked[one] - 1] for one in KINDS}
        found["cases"].append(dict(case=case, kind=kind, premise=premise, instruction=said[kind],
                                   subtracted=said[other]))  # fmt: skip
        found["words"].append(
            tree[["node", "token", "asked", "noisy", "next", "mixed"]].assign(case=case)
        )
        for omega, walk in walks(tree).items():
            last = walk[-1]
            found["answers"].append(dict(
                case=case, omega=omega, output=last.output, outcome=last.outcome,
                reader=labels.get((premise, last.output), ""),
            ))  # fmt: skip
            found["steps"] += [
                dict(case=case, omega=omega, place=place, token=row.token,
                     share=shares_of(row.mixed)[omega]) for place, row in enumerate(walk)
            ]  # fmt: skip
    tables = {name: pd.DataFrame(rows) for name, rows in found.items() if name != "words"}
    return tables | {"words": _first(pd.concat(found["words"], ignore_index=True), "case")}


def _first(table, *names):
    return table[[*names, *table.columns.difference(names, sort=False)]]


def shares(table: pd.DataFrame, by) -> pd.DataFrame:
    """Percent of every outcome of `field.OUTCOMES`, by some columns."""
    return report.shares(table, by, field.OUTCOMES)


def right(table: pd.DataFrame) -> float:
    """Percent right, the mean of both kinds; a copy is no right answer."""
    return ch03.accuracy(table)["both"]


def by_hand(table: pd.DataFrame) -> pd.DataFrame:
    """What a reader said of the answers that were labelled by hand, beside the examiner.

    Parameters
    ----------
    table : DataFrame
        Of `sweep`, several seeds.

    Returns
    -------
    DataFrame
        A row for each ω and kind at which answers were drawn for labelling: omega, kind, answers
        (labelled), reader and examiner (percent of them right, a copy or a broken one never),
        nothing (percent in which the reader found nothing to judge).
    """
    labels = examining.load_labels(LABELS).drop(columns="method")
    labels = labels.rename(columns={"hypothesis": "output"}).drop_duplicates(["premise", "output"])
    asked = table[table["omega"].isin(LABELLED) & table["seed"].isin(LABELLED_SEEDS)]
    asked = asked[asked["shots"] > 0]
    asked = asked.assign(whole=~asked["outcome"].isin(["copied", "broken"]))
    # Copies and broken sentences are told by rules and were not drawn: their share is known.
    rest = asked.groupby(["omega", "kind"])["whole"].mean()
    some = asked.drop(columns="label", errors="ignore").merge(labels, on=["premise", "output"])
    rows = []
    for (omega, kind), part in some.groupby(["omega", "kind"]):
        share = 100 * rest[omega, kind]
        rows.append((
            omega, kind, len(part), share * (part["label"] == kind).mean(),
            share * (part["outcome"] == "right").mean(), share * (part["label"] == "none").mean(),
        ))  # fmt: skip
    names = ["omega", "kind", "answers", "reader", "examiner", "nothing"]
    return pd.DataFrame(rows, columns=names)


OUTCOME_COLOURS = {"right": "blue", "copied": "gold", "opposite": "orange", "neutral": "sky",
                   "echo": "purple", "broken": "grey"}  # fmt: skip


def dial_cover():
    """The figure on the book's first page, beside the pocket model: two captions, at any ω."""
    from synthlib.viz import explorers

    tables = dial_tables(field.recorded("13-dial"), DIALLED[::2], KINDS[1:])
    return explorers.dial(tables, outcomes=OUTCOME_COLOURS, compact=True, **DIAL_WORDS)


# ------------------------------------------------------------------ stage 2: judging
def triplets_of(table: pd.DataFrame) -> pd.DataFrame:
    """Answers side by side: anchor, positive, negative, a, b, and whether both are right."""
    halves = [table[table["kind"] == kind].reset_index(drop=True) for kind in KINDS]
    first, second = halves
    return pd.DataFrame({
        "anchor": first["premise"], "positive": first["output"], "negative": second["output"],
        "a": first["score"], "b": second["score"],
        "right": first["outcome"].eq("right") & second["outcome"].eq("right"),
    })  # fmt: skip


def ranks(judged, human) -> float:
    """Spearman's correlation in percent; what a judge could not read counts as the mean. NaN where
    it gives all pairs one score."""
    judged = np.array([np.nan if value is None else value for value in judged], float)
    if len(set(judged[~np.isnan(judged)])) < 2:
        return float("nan")
    judged = np.where(np.isnan(judged), np.nanmean(judged), judged)
    return 100 * float(pd.Series(judged).corr(pd.Series(human), method="spearman"))


# ------------------------------------------------------------------ stage 3: training
def keeps_order(encode) -> float:
    """Percent of the book's triplets, those in no prompt, whose anchor lies nearer to its
    entailment than to its contradiction."""
    table = field.triplets(examples=False)
    near, far = (
        judging.cosine(encode, list(zip(table["anchor"], table[kind], strict=True)))
        for kind in KINDS
    )
    return 100 * float(np.mean(near > far))


def encode(encoder):
    """The function of a list of n strings that gives an encoder's vectors."""
    return lambda texts: encoder.encode(list(texts), batch_size=128, show_progress_bar=False)


def train(settings, rows, *, seed, guide=None):
    """The tier's encoder, trained on triplets; with a guide, masked."""
    encoder = models.load_encoder(settings.encoder, pooling=settings.pooling)
    size = min(settings.batch_size, len(rows))
    return multicsr.train(encoder, rows, settings, guide=guide, batch_size=size, seed=seed,
                          progress=False)  # fmt: skip


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Mean Spearman over `TASKS` of recorded trainings: a row for each arm, a column for each
    seed."""
    marks = table[table["task"].isin(TASKS)]
    return marks.pivot_table("value", "arm", "seed", sort=False)


def differences(table: pd.DataFrame, pairs) -> pd.DataFrame:
    """What some arms gain over others in the mean of `TASKS`, seed by seed.

    Parameters
    ----------
    table : DataFrame
        Recorded trainings: seed, arm, task, value.
    pairs : sequence of (arm, other arm)

    Returns
    -------
    DataFrame
        A row for each pair, "arm − other arm"; a column for each seed.
    """
    mean = means(table)
    return pd.DataFrame({f"{arm} − {other}": mean.loc[arm] - mean.loc[other]
                         for arm, other in pairs}).T  # fmt: skip


def masks(neighbours: pd.DataFrame, batch: int) -> pd.DataFrame:
    """What the mask takes from people's triplets, over all seeds, by σ.

    Parameters
    ----------
    neighbours : DataFrame
        The recording ``13-neighbours``.
    batch : int
        Rows of a batch; each of them has 2 (batch − 1) candidates of other rows.

    Returns
    -------
    DataFrame
        Index sigma; pairs (of an anchor and another row's candidate that the guide finds so
        similar: a seed's, in the mean), taken (the candidates that a row of a batch loses, in the
        mean), follow (percent of the pairs of all seeds that the examiner calls entailed).
    """
    seeds, n, rows = neighbours["seed"].nunique(), SCENES * (1 + NEAR), []
    for sigma in SIGMAS:
        some = neighbours[neighbours["cosine"] >= sigma]
        count = some["pairs"].sum()
        taken = 2 * (batch - 1) * (count / seeds) / (2 * n * (n - 1))
        follow = 100 * some["pairs"][some["label"] == "entailment"].sum() / count
        rows.append((sigma, count / seeds, taken, follow))
    return pd.DataFrame(rows, columns=["sigma", "pairs", "taken", "follow"]).set_index("sigma")


# ------------------------------------------------------------------ recorders
_SETTINGS = tiers.get("laptop").multicsr
_WRITERS = (_SETTINGS.generator, "laptop/judge", "laptop/examiner")


def _judges():
    return [field.load(role, _SETTINGS) for role in ("judge", "examiner")]


def _short(table):
    """What is kept of `written`: labels are in the outcomes, and scores need two digits."""
    return table.drop(columns="label").round({"score": 2})


@field.recorder("13-sweep", needs=_WRITERS)
def record_sweep(seed: int) -> pd.DataFrame:
    """`sweep` of the tier laptop."""
    return _short(sweep(_SETTINGS, *_judges(), seed=seed))


@field.recorder("13-noise", needs=_WRITERS)
def record_noise(seed: int) -> pd.DataFrame:
    """`noises` of the tier laptop."""
    return _short(noises(_SETTINGS, *_judges(), seed=seed))


@field.recorder("13-dial", needs=(_SETTINGS.generator, "laptop/examiner"))
def record_dial(seed: int) -> pd.DataFrame:
    """`dial_answers` of the tier laptop."""
    if seed not in DIAL:
        raise ValueError(f"captions are chosen for the seeds {', '.join(map(str, DIAL))}")
    generator = field.load("generator", _SETTINGS, seed=seed)
    table = dial_answers(seed, generator, field.load("examiner", _SETTINGS), _SETTINGS)
    return table.round({"asked": 3, "noisy": 3})


@field.recorder(
    "13-judging", needs=(*_WRITERS[:2], _SETTINGS.encoder, _SETTINGS.guide), data=True
)
def record_judging(seed: int, data) -> pd.DataFrame:
    """Spearman with human scores of `PAIRS` pairs of STS-B dev: who, spearman, unread (percent)."""
    frame = sts.load_sts(data, ["STS-B"], split="dev")["STS-B"].sample(PAIRS, random_state=seed)
    first, second, human = (list(frame[name]) for name in ("sentence1", "sentence2", "score"))
    pairs = list(zip(first, second, strict=True))
    rows = []
    for shots in (0, 4):
        generator = field.load("generator", _SETTINGS if shots else bare(_SETTINGS), seed=seed)
        for method in ("text", "likelihood"):
            found = judging.score_similarity(*generator, pairs, method=method)
            missing = 100 * float(np.mean([value is None for value in found]))
            name = f"SmolLM2, {method}, {shots} examples"
            rows.append((name, ranks(found, human), missing))
    judge = field.load("judge", _SETTINGS)
    rows.append(("NLI judge", ranks(judging.nli_similarity(*judge, pairs), human), 0.0))
    for name in (_SETTINGS.encoder, _SETTINGS.guide):
        encoder = models.load_encoder(name, device="cpu")
        rows.append((name, ranks(judging.cosine(encode(encoder), pairs), human), 0.0))
    return pd.DataFrame(rows, columns=["who", "spearman", "unread"])


@field.recorder(
    "13-training", needs=(*_WRITERS, _SETTINGS.encoder, _SETTINGS.guide), data=True
)
def record_training(seed: int, data) -> pd.DataFrame:
    """Encoders trained on what was written from `WRITTEN` premises of SNLI, examined on STS: arm,
    task, value, rows."""
    start = models.load_encoder(_SETTINGS.encoder, pooling=_SETTINGS.pooling, device="cpu")
    # First: absent sets cost seconds, not minutes.
    rows = _examined("before", encode(start), data, 0)
    snli = labelled.sets(data, ("SNLI",))["SNLI"]
    snli = snli[snli["premise"].map(labelled.part_of) != "judge"]  # the judge has learnt from those
    human = snli[snli["label"].isin(KINDS)].drop_duplicates(["premise", "label"])
    human = human.pivot(index="premise", columns="label", values="hypothesis").dropna()
    human = human.sample(WRITTEN, random_state=seed)
    generator, tables = field.load("generator", _SETTINGS, seed=seed), {}
    for omega in (0.0, NOISE_OMEGA):
        table = written(
            generator, *_judges(), list(human.index), _SETTINGS, omega=omega, seed=seed
        )
        table = triplets_of(table)
        tables[omega] = table[multicsr.usable(table)]
    plain, steered = tables[0.0], tables[NOISE_OMEGA]
    select = curation.Thresholds(_SETTINGS.alpha, _SETTINGS.beta, _SETTINGS.gamma)
    kept = steered[select.keep(steered["a"], steered["b"])]
    n = len(kept)
    by_people = pd.DataFrame({"anchor": human.index, "positive": human["entailment"].to_numpy(),
                              "negative": human["contradiction"].to_numpy()})  # fmt: skip
    arms = {
        "plain": plain, "contrastive": steered,
        "contrastive, as many": steered.sample(n, random_state=seed), "curated": kept,
        "people's, as many": by_people.sample(n, random_state=seed),
    }  # fmt: skip
    guide = encode(models.load_encoder(_SETTINGS.guide, device="cpu"))
    for arm, table in arms.items():
        rows += _examined(arm, encode(train(_SETTINGS, table, seed=seed)), data, len(table))
    masked = train(_SETTINGS, kept, seed=seed, guide=guide)
    rows += _examined("curated, masked", encode(masked), data, n)
    found = pd.DataFrame(rows, columns=["arm", "task", "value", "rows"])
    shares_right = [("plain", plain), ("contrastive", steered), ("curated", kept)]
    more = [(arm, "right", 100 * float(table["right"].mean()), len(table))
            for arm, table in shares_right]  # fmt: skip
    return pd.concat([found, pd.DataFrame(more, columns=found.columns)], ignore_index=True)


def with_neighbours(human: pd.DataFrame, seed: int) -> pd.DataFrame:
    """`SCENES` premises drawn at random, each with the `NEAR` that share most words with it: a
    corpus as people write it about a few scenes, in which batches hold false negatives.

    Parameters
    ----------
    human : DataFrame
        A row for each premise, its index.
    seed : int

    Returns
    -------
    DataFrame
        The rows chosen, SCENES · (1 + NEAR) of them, none twice.
    """
    words = TfidfVectorizer(stop_words="english").fit_transform(human.index)
    free = np.ones(len(human), bool)
    for place in Random(f"chapter 13 scenes {seed}").sample(range(len(human)), len(human)):
        if free.sum() <= len(human) - SCENES * (1 + NEAR):
            break
        if free[place]:
            free[place] = False
            near = (words @ words[place].T).toarray().ravel()
            free[np.argsort(-np.where(free, near, -1.0), kind="stable")[:NEAR]] = False
    return human[~free]


@field.recorder(
    "13-encoders", needs=(*_WRITERS, _SETTINGS.encoder, _SETTINGS.guide), data=True
)
def record_encoders(seed: int, data) -> pd.DataFrame:
    """The arms that `record_training` has not: whitening and unsupervised SimCSE from the same
    encoder, the threshold σ on people's triplets that have neighbours, and people's triplets with
    what the small model wrote: arm, task, value, rows."""

    def fresh():
        return models.load_encoder(_SETTINGS.encoder, pooling=_SETTINGS.pooling, device="cpu")

    dev = sts.load_sts(data, ["STS-B"], split="dev")["STS-B"]  # first: absent sets cost seconds
    snli = labelled.sets(data, ("SNLI",))["SNLI"]
    snli = snli[snli["premise"].map(labelled.part_of) != "judge"]  # the judge has learnt from those
    unlabelled = list(snli["premise"].drop_duplicates().sample(frac=1, random_state=seed))
    base = encode(fresh())
    s = _SETTINGS
    simcse = training.train_unsupervised_simcse(
        fresh(), unlabelled, batch_size=s.batch_size, learning_rate=s.learning_rate,
        max_steps=s.max_steps, tau=s.tau, max_length=s.max_length, seed=seed, progress=False,
    )  # fmt: skip
    rows = _examined("whitening", ch01.whitened(base, unlabelled), data, len(unlabelled))
    rows += _examined("unsupervised SimCSE", encode(simcse), data, len(unlabelled))
    for arm, vectors in (("before", base), ("unsupervised SimCSE", encode(simcse))):
        shape = ch01.geometry(vectors, dev)
        rows += [(arm, task, shape[task], len(dev)) for task in ("mean_cosine", "uniformity")]

    human = snli[snli["label"].isin(KINDS)].drop_duplicates(["premise", "label"])
    human = human.pivot(index="premise", columns="label", values="hypothesis").dropna()
    chosen = with_neighbours(human, seed)
    people = pd.DataFrame({"anchor": chosen.index, "positive": chosen["entailment"].to_numpy(),
                           "negative": chosen["contradiction"].to_numpy()})  # fmt: skip
    others = list(human.index.difference(chosen.index).to_series().sample(ADDED, random_state=seed))
    generator = field.load("generator", s, seed=seed)
    table = triplets_of(written(generator, *_judges(), others, s, seed=seed))
    table = table[multicsr.usable(table)]
    table = table[curation.Thresholds(s.alpha, s.beta, s.gamma).keep(table["a"], table["b"])]
    both = pd.concat([people, table[list(people)]], ignore_index=True)
    guide = encode(models.load_encoder(s.guide, device="cpu"))
    arms = [("people's", people, None), ("people's and written", both, None),
            ("people's and written, masked", both, s.sigma)]  # fmt: skip
    for arm, part, sigma in arms + [(f"people's, σ = {sigma}", people, sigma) for sigma in SIGMAS]:
        settings = s if sigma is None else dataclasses.replace(s, sigma=sigma)
        trained = train(settings, part, seed=seed, guide=None if sigma is None else guide)
        rows += _examined(arm, encode(trained), data, len(part))
    return pd.DataFrame(rows, columns=["arm", "task", "value", "rows"])


def _scenes(data, seed):
    """People's triplets that have neighbours, as in `record_encoders`, and SNLI's premises."""
    snli = labelled.sets(data, ("SNLI",))["SNLI"]
    snli = snli[snli["premise"].map(labelled.part_of) != "judge"]
    human = snli[snli["label"].isin(KINDS)].drop_duplicates(["premise", "label"])
    human = human.pivot(index="premise", columns="label", values="hypothesis").dropna()
    chosen = with_neighbours(human, seed)
    people = pd.DataFrame({"anchor": chosen.index, "positive": chosen["entailment"].to_numpy(),
                           "negative": chosen["contradiction"].to_numpy()})  # fmt: skip
    return people, list(snli["premise"].drop_duplicates().sample(frac=1, random_state=seed))


@field.recorder("13-neighbours", needs=("laptop/examiner", _SETTINGS.guide), data=True)
def record_neighbours(seed: int, data) -> pd.DataFrame:
    """What a mask at the lowest σ takes from people's triplets that have neighbours, by the guide's
    cosine in tenths and the examiner's label: cosine (from), label, pairs."""
    people, _ = _scenes(data, seed)
    guide = encode(models.load_encoder(_SETTINGS.guide, device="cpu"))
    cosine = ch05.similarities(guide, people)
    near = np.argwhere((cosine >= SIGMAS[0]) & ch05.others(len(people)))
    candidates = [*people["positive"], *people["negative"]]
    pairs = [(people["anchor"][i], candidates[j]) for i, j in near]
    table = pd.DataFrame({
        "cosine": np.floor(10 * cosine[near[:, 0], near[:, 1]]) / 10,
        "label": field.labels(field.load("examiner", _SETTINGS), pairs),
    })  # fmt: skip
    return table.groupby(["cosine", "label"]).size().reset_index(name="pairs").iloc[::-1]


@field.recorder("13-shapes", needs=(_SETTINGS.encoder,), data=True)
def record_shapes(seed: int, data) -> pd.DataFrame:
    """What chapter 1 measures besides marks: alignment, uniformity and mean cosine of the encoder,
    before and after both kinds of SimCSE, and its marks by each way to aggregate: arm, task, value,
    rows."""
    s, dev = _SETTINGS, sts.load_sts(data, ["STS-B"], split="dev")["STS-B"]
    people, unlabelled = _scenes(data, seed)
    base, other = (
        models.load_encoder(s.encoder, pooling=s.pooling, device="cpu") for _ in range(2)
    )
    simcse = training.train_unsupervised_simcse(
        other, unlabelled, batch_size=s.batch_size, learning_rate=s.learning_rate,
        max_steps=s.max_steps, tau=s.tau, max_length=s.max_length, seed=seed, progress=False,
    )  # fmt: skip
    arms = {"before": (base, 0), "unsupervised SimCSE": (simcse, len(unlabelled)),
            "people's": (train(s, people, seed=seed), len(people))}  # fmt: skip
    rows = []
    for arm, (encoder, n) in arms.items():
        shape = ch01.geometry(encode(encoder), dev)
        rows += [(arm, name, value, n) for name, value in shape.items()]
        marks = sts.evaluate_sts(encode(encoder), data, list(TASKS[:2]))
        rows += [(arm, name, float(marks[name].mean()), n) for name in sts.AGGREGATIONS]
    return pd.DataFrame(rows, columns=["arm", "task", "value", "rows"])


def _examined(arm, vectors, data, n):
    table = sts.evaluate_sts(vectors, data, list(TASKS[:2]))
    rows = [(arm, row.task, row.spearman, n) for row in table.itertuples()]
    dev = float(sts.evaluate_sts(vectors, data, ["STS-B"], split="dev")["spearman"].iloc[0])
    return [*rows, (arm, TASKS[2], dev, n), (arm, "order", keeps_order(vectors), n)]


# ------------------------------------------------------------------ ledger
def sweep_values(table: pd.DataFrame) -> dict[str, float]:
    """The figures of one seed's sweep, by the names of their claims."""
    plain, asked = table[(table["shots"] == 0) & (table["omega"] == 0)], table[table["shots"] > 0]
    at = {omega: part.reset_index(drop=True) for omega, part in asked.groupby("omega")}
    curve = pd.Series({omega: right(part) for omega, part in at.items()})
    shape = ch03.sweep_values(curve)
    mended = ch03.repairs(at[0.0], at[NOISE_OMEGA])
    rows = triplets_of(asked[asked["omega"] == NOISE_OMEGA])
    kept = curation.Thresholds(_SETTINGS.alpha, _SETTINGS.beta, _SETTINGS.gamma).keep(
        rows["a"], rows["b"]
    )
    return {
        "13-bare-copies": 100 * float(plain["outcome"].eq("copied").mean()),
        "13-examples-gain": curve[0.0] - right(plain),
        "13-fig1-errors": mended["opposite"],
        "13-repaired": mended["repaired"],
        "13-spoilt": mended["spoilt"],
        **{f"13-fig6-{name}": value for name, value in shape.items()},
        "13-fig3-precision": 100 * float(rows["right"][kept].mean()),
        "13-fig3-kept": 100 * float(kept.mean()),
        "13-fig3-gain": 100 * float(rows["right"][kept].mean() - rows["right"].mean()),
    }


@ledger.measure(
    "13-bare-copies", "13-examples-gain", "13-fig1-errors", "13-repaired", "13-spoilt",
    "13-fig6-gain", "13-fig6-default", "13-fig6-negative", "13-fig6-collapse", "13-fig6-peak",
    "13-fig3-precision", "13-fig3-kept", "13-fig3-gain",
    reads=("data/field/recorded/13-sweep.csv",), tier="laptop",
)  # fmt: skip
def measure_sweep(seed: int) -> dict[str, float]:
    """Fig. 1, Fig. 3 and Fig. 6 on real sentences."""
    return sweep_values(field.recorded("13-sweep", seed))


@ledger.measure(
    "13-fig5-opposite-gain",
    reads=("data/field/recorded/13-sweep.csv", "data/field/recorded/13-noise.csv"), tier="laptop",
)
def measure_noise(seed: int) -> float:
    """Fig. 5: what the opposite instruction gains beyond the best of the other three."""
    asked = field.recorded("13-sweep", seed)
    asked = asked[(asked["shots"] > 0) & (asked["omega"] == NOISE_OMEGA)]
    others = field.recorded("13-noise", seed).groupby("noise")
    return right(asked) - max(right(part) for _, part in others)


@ledger.measure(
    "13-table1-judge", "13-table1-demonstrations", "13-nli-judge",
    reads=("data/field/recorded/13-judging.csv",), tier="laptop",
)  # fmt: skip
def measure_judging(seed: int) -> dict[str, float]:
    """Table 1: the generator as a judge, beside an encoder and the NLI judge."""
    who = field.recorded("13-judging", seed).set_index("who")["spearman"]
    # One that gives all pairs the same score, or reads none, orders nothing.
    generator = who[who.index.str.startswith("SmolLM2")].fillna(0.0)
    best = generator.max()
    return {
        "13-table1-judge": best - who[_SETTINGS.encoder],
        "13-table1-demonstrations":
            generator["SmolLM2, text, 4 examples"] - generator["SmolLM2, text, 0 examples"],
        "13-nli-judge": who["NLI judge"] - best,
    }  # fmt: skip


@ledger.measure(
    "13-table2-gain", "13-table2-syncse", "13-table3-full", "13-table3-stage2", "13-table3-stage3",
    "13-people",
    reads=("data/field/recorded/13-training.csv",), tier="laptop",
)  # fmt: skip
def measure_training(seed: int) -> dict[str, float]:
    """Tables 2 and 3: mean Spearman over `TASKS`."""
    mean = means(field.recorded("13-training", seed))[seed]
    full = mean["curated, masked"]
    return {
        "13-table2-gain": full - mean["before"],
        "13-table2-syncse": full - mean["plain"],
        "13-table3-full": full - mean["plain"],
        "13-table3-stage2": mean["curated"] - mean["contrastive, as many"],
        "13-table3-stage3": full - mean["curated"],
        "13-people": mean["people's, as many"] - full,
    }


@ledger.measure(
    "13-unsupervised-gain", "13-supervised-gain", "13-whitening-gain", "13-whitening-below-simcse",
    "13-table2-simcse", "13-table2-whitening",
    reads=("data/field/recorded/13-training.csv", "data/field/recorded/13-encoders.csv"),
    tier="laptop",
)  # fmt: skip
def measure_encoders(seed: int) -> dict[str, float]:
    """Table 2's cheaper rows, from the encoder that MultiCSR starts from: mean Spearman over
    `TASKS`."""
    tables = [field.recorded(name, seed) for name in ("13-training", "13-encoders")]
    mean = means(pd.concat(tables))[seed]
    before, full = mean["before"], mean["curated, masked"]
    simcse, whitening = mean["unsupervised SimCSE"], mean["whitening"]
    return {
        "13-unsupervised-gain": simcse - before,
        "13-supervised-gain": mean["people's"] - simcse,
        "13-whitening-gain": whitening - before,
        "13-whitening-below-simcse": simcse - whitening,
        "13-table2-simcse": full - simcse,
        "13-table2-whitening": full - whitening,
    }


@ledger.measure(
    "13-anisotropy", "13-anisotropy-drop", "13-uniformity", "13-supervised-alignment",
    "13-aggregations-differ",
    reads=("data/field/recorded/13-shapes.csv",), tier="laptop",
)  # fmt: skip
def measure_shapes(seed: int) -> dict[str, float]:
    """Chapter 1's claims on the shape of embeddings, and on the ways to aggregate."""
    at = field.recorded("13-shapes", seed).set_index(["arm", "task"])["value"]
    before, simcse, people = (at[arm] for arm in ("before", "unsupervised SimCSE", "people's"))
    three = simcse[list(sts.AGGREGATIONS)]
    return {
        "13-anisotropy": before["mean_cosine"],
        "13-anisotropy-drop": before["mean_cosine"] - simcse["mean_cosine"],
        "13-uniformity": simcse["uniformity"] - before["uniformity"],
        "13-supervised-alignment": people["alignment"] - simcse["alignment"],
        "13-aggregations-differ": three.max() - three.min(),
    }


@ledger.measure(
    "13-fig7-sigma", "13-fig7-mask-helps", "13-fig7-too-low",
    "13-table10-supervised", "13-table10-stage3",
    reads=("data/field/recorded/13-encoders.csv",), tier="laptop",
)  # fmt: skip
def measure_people(seed: int) -> dict[str, float]:
    """Fig. 7, by STS-B dev as in the paper, and Table 10, by the mean over `TASKS`: people's
    triplets that have neighbours, alone and with written ones."""
    table = field.recorded("13-encoders", seed)
    dev = table[table["task"] == TASKS[2]].set_index("arm")["value"]
    lowest, *others = (dev[f"people's, σ = {sigma}"] for sigma in SIGMAS)
    best, off, mean = max(others), dev["people's"], means(table)[seed]
    full = mean["people's and written, masked"]
    return {
        "13-fig7-sigma": best - max(lowest, off),
        "13-fig7-mask-helps": best - off,
        "13-fig7-too-low": best - lowest,
        "13-table10-supervised": full - mean["people's"],
        "13-table10-stage3": full - mean["people's and written"],
    }
