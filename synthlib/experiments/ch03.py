"""What chapter 3 measures: which mistakes contrastive generation repairs, and where it breaks.

The functions of the first half are called by the chapter; those under "ledger" repeat them over
seeds. The oracle judges what was written; no method sees it. `retrain` makes generators with other
habits: as in `world.pretraining`, oracle labels train a *base* model there.
"""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from synthlib import decoding, ledger, models, tiers
from synthlib.methods import multicsr
from synthlib.world import corpora, report

KINDS = multicsr.KINDS
OMEGAS = (-0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


# ------------------------------------------------------------------ write and judge
def answers(generator, asked, *, omega=0.3, alone=False, **options) -> pd.DataFrame:
    """Write an entailment and a contradiction of every premise, and judge them.

    Parameters
    ----------
    generator : (model, tokenizer)
    asked : DataFrame
        n rows from `multicsr.ask`.
    omega : float
        Smoothing coefficient ω; 0 is plain decoding.
    alone : bool
        Follow the noisy instructions themselves, by plain decoding (Fig. 5's degradation).
    **options
        Of `decoding.generate_mixture`; by default greedy, 64 rows at once, as many tokens as the
        pocket tier allows.

    Returns
    -------
    DataFrame
        2 n rows: kind, instruction (1 to 4), premise, output, outcome (one of `report.OUTCOMES`).
        Entailments first, both kinds in the order of `asked`: tables of two settings correspond
        row by row.

    Source: MultiCSR § 3.1, § 5.2.
    """
    options.setdefault("max_new_tokens", tiers.get("pocket").multicsr.max_new_tokens)
    options.setdefault("batch_size", 64)
    if alone:
        omega = 0.0
        asked = asked.assign(**{f"{kind}_prompt": asked[f"{kind}_noisy"] for kind in KINDS})
    written = multicsr.write(generator, asked, omega=omega, **options)
    parts = []
    for kind, column in zip(KINDS, ("positive", "negative"), strict=True):
        rows = zip(written["anchor"], written[column], strict=True)
        parts.append(
            pd.DataFrame({
                "kind": kind,
                "instruction": list(asked[kind]),
                "premise": list(written["anchor"]),
                "output": list(written[column]),
                "outcome": [report.outcome(premise, text, kind) for premise, text in rows],
            })
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def by_label(table: pd.DataFrame) -> pd.Series:
    """Outcomes by label alone: a copy is entailed, so it is right or opposite, as was asked.

    Parameters
    ----------
    table : DataFrame
        Of `answers`.

    Returns
    -------
    Series of str
    """
    as_label = table["kind"].map({"entailment": "right", "contradiction": "opposite"})
    return table["outcome"].where(table["outcome"] != "copied", as_label)


def accuracy(table: pd.DataFrame) -> dict[str, float]:
    """Percent of right answers of each kind, and "both": the mean of the two.

    A copy of the premise is no right answer, whatever was asked.
    """
    right = 100 * table["outcome"].eq("right").groupby(table["kind"]).mean()
    found = {kind: float(right[kind]) for kind in KINDS}
    return found | {"both": float(np.mean(list(found.values())))}


def repairs(before: pd.DataFrame, after: pd.DataFrame, *, label: bool = False) -> dict[str, float]:
    """What a change of decoding repairs and spoils (§ 5.2).

    Parameters
    ----------
    before, after : DataFrame
        Of `answers`, of the same prompts.
    label : bool
        Count by label alone (`by_label`) instead of counting copies apart.

    Returns
    -------
    dict
        ``repaired`` and ``spoilt``, percent of all answers; and of those repaired, the percent
        that were ``opposite``, ``copied``, ``neutral`` or ``broken`` before (NaN if none was
        repaired).

    Raises
    ------
    ValueError
        If the tables are not of the same prompts.
    """
    same = ["kind", "instruction", "premise"]
    if not before[same].equals(after[same]):
        raise ValueError("before and after must be answers to the same prompts, row by row")
    old, new = (by_label(t) if label else t["outcome"] for t in (before, after))
    repaired = old.ne("right") & new.eq("right")
    found = {
        "repaired": 100 * repaired.mean(),
        "spoilt": 100 * (old.eq("right") & new.ne("right")).mean(),
    }
    for outcome in report.OUTCOMES[1:]:
        found[outcome] = 100 * old[repaired].eq(outcome).mean()
    return {name: float(value) for name, value in found.items()}


def noise_effects(generator, premises, *, seed=0, omega=0.3, plain=None, **options) -> pd.DataFrame:
    """Follow each noisy instruction alone, and contrast with it (§ 5.2, Fig. 5).

    Parameters
    ----------
    generator : (model, tokenizer)
    premises : sequence of n sentences
    seed : int
        Of the instructions' drawing.
    omega : float
    plain : DataFrame, optional
        `answers` at ω = 0, if they are there already.
    **options
        Of `decoding.generate_mixture`.

    Returns
    -------
    DataFrame
        32 rows, four noises times eight instructions: noise, kind, instruction, answers (their
        number), and in percent of them: plain, alone, contrasted (right), worse (right plainly and
        wrong alone), better (wrong plainly and right contrasted), spoilt (right plainly and wrong
        contrasted).
    """
    tables = []
    for noise in ("reorder", "mask", "truncate", "opposite"):
        asked = multicsr.ask(premises, seed=seed, form="pocket", noise=noise)
        if plain is None:
            plain = answers(generator, asked, omega=0.0, **options)
        right = pd.DataFrame({
            "plain": plain["outcome"].eq("right"),
            "alone": answers(generator, asked, alone=True, **options)["outcome"].eq("right"),
            "contrasted":
                answers(generator, asked, omega=omega, **options)["outcome"].eq("right"),
        })  # fmt: skip
        right["worse"] = right["plain"] & ~right["alone"]
        right["better"] = ~right["plain"] & right["contrasted"]
        right["spoilt"] = right["plain"] & ~right["contrasted"]
        groups = right.groupby([plain["kind"], plain["instruction"]], sort=False)
        table = (100 * groups.mean()).assign(answers=groups.size()).sort_index().reset_index()
        tables.append(table.assign(noise=noise))
    return pd.concat(tables, ignore_index=True)


def noise_means(effects: pd.DataFrame) -> pd.DataFrame:
    """`noise_effects` by noise: both kinds weigh alike, as in `accuracy`.

    Returns
    -------
    DataFrame
        Index noise; the columns in percent, ``degradation`` (plain − alone) and ``improvement``
        (contrasted − plain), in points.
    """
    columns = ["plain", "alone", "contrasted", "worse", "better", "spoilt"]

    def mean(part):
        return pd.Series({c: np.average(part[c], weights=part["answers"]) for c in columns})

    by_kind = effects.groupby(["noise", "kind"], sort=False)[[*columns, "answers"]].apply(mean)
    found = by_kind.groupby("noise", sort=False).mean()
    found["degradation"] = found["plain"] - found["alone"]
    found["improvement"] = found["contrasted"] - found["plain"]
    return found


# ------------------------------------------------------------------ token by token
# ------------------------------------------------------------------ generators with other habits
def retrain(generator, opposite: float, *, steps=400, seed=0, lr=5e-4, batch=96):
    """Train a T5 generator further on examples with another share of opposite targets.

    Parameters
    ----------
    generator : (model, tokenizer)
        An encoder–decoder; its model is trained in place.
    opposite : float in [0, 0.7]
        Share of targets of the opposite kind, `world.pretraining.Mixture.opposite` (the last
        training of the committed weights had 0.30). All else stays as it was there.
    steps, seed, lr, batch
        Of the training: AdamW, the learning rate falls to 0 in a straight line.

    Returns
    -------
    generator
    """
    from synthlib.world import pretraining

    if not 0 <= opposite <= 0.7:
        raise ValueError(f"opposite is a share of the targets in [0, 0.7], got {opposite}")
    model, tokenizer = generator
    mixture = pretraining.SECOND[0]._replace(
        opposite=opposite, tavi=0.0, demonstrated=0.0, lists=0.0
    )
    start, end = model.config.decoder_start_token_id, tokenizer.eos_token_id
    drawn = (
        [e for e in examples if e.task in KINDS]
        for examples in pretraining.batches(seed, batch, steps, (mixture,), pool=1)
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    rate = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, steps)
    precision = models.training_precision(model.device, model_type=model.config.model_type)
    model.train()
    for examples in islice((rows for rows in drawn if rows), steps):
        source = tokenizer(
            [e.prompt for e in examples], padding=True, pad_to_multiple_of=8, return_tensors="pt"
        )
        targets = tokenizer([e.target for e in examples], add_special_tokens=False)["input_ids"]
        width = -(-max(map(len, targets)) // 8) * 8
        labels = [t + [end] + [-100] * (width - len(t)) for t in targets]
        before = [[start] + t + [end] * (width - len(t)) for t in targets]
        with models.autocast(model.device, precision):
            logits = model(
                input_ids=source["input_ids"], attention_mask=source["attention_mask"],
                decoder_input_ids=torch.tensor(before),
            ).logits  # fmt: skip
        loss = F.cross_entropy(logits.float().transpose(1, 2), torch.tensor(labels))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
    model.eval()
    return generator


# ------------------------------------------------------------------ sweeps
def omega_sweep(generator, asked, omegas=OMEGAS, **options) -> pd.DataFrame:
    """Outcomes by ω (Fig. 6).

    Parameters
    ----------
    generator : (model, tokenizer)
    asked : DataFrame
        Of `multicsr.ask`.
    omegas : sequence of float
    **options
        Of `decoding.generate_mixture`.

    Returns
    -------
    DataFrame
        omega, kind, outcome, percent: five rows for each ω and kind.
    """
    parts = []
    for omega in omegas:
        written = answers(generator, asked, omega=omega, **options)
        parts.append(report.shares(written, by=["kind"]).assign(omega=omega))
    return pd.concat(parts, ignore_index=True)[["omega", "kind", "outcome", "percent"]]


def curve(sweep: pd.DataFrame) -> pd.Series:
    """Accuracy by ω, the mean of both kinds in percent, from the rows of `omega_sweep`."""
    right = sweep[sweep["outcome"] == "right"]
    return right.groupby("omega")["percent"].mean()


def plateau(accuracy: pd.Series, within: float = 2.0) -> float:
    """Middle of the ωs whose accuracy lies within some points of the best.

    Steadier than the best ω itself where the curve is flat.
    """
    near = accuracy.index[accuracy >= accuracy.max() - within]
    return float(np.mean(near))


def guided_texts(generator, prompts, noisy, scale: float, max_new_tokens: int) -> list[str]:
    """Texts by the library's classifier-free guidance, `generate(guidance_scale=…)`.

    Causal models only, padded on the left with both masks given. The library counts the second
    context's positions from its padding, so learnt positions (GPT-2) would come out wrong; rotary
    ones (Llama) do not mind.
    """
    model, tokenizer = generator
    options = dict(
        return_tensors="pt", padding=True, padding_side="left", return_token_type_ids=False
    )
    positive, negative = tokenizer(list(prompts), **options), tokenizer(list(noisy), **options)
    names = ("pad", "unk", "mask", "cls", "sep")  # our kernel never writes these either
    banned = [getattr(tokenizer, f"{name}_token_id") for name in names]
    written = model.generate(
        **positive, negative_prompt_ids=negative["input_ids"],
        negative_prompt_attention_mask=negative["attention_mask"], guidance_scale=scale,
        max_new_tokens=max_new_tokens, do_sample=False, suppress_tokens=banned,
    )  # fmt: skip
    width = positive["input_ids"].shape[1]
    return [text.strip() for text in tokenizer.batch_decode(written[:, width:], True)]


# ------------------------------------------------------------------ ledger
# The weights come from one training; seeds draw other premises, instructions and noise. For the
# retrained generators they draw other training examples as well.
PREMISES, LLAMA_PREMISES, HABIT_PREMISES = 300, 200, 120
PLAUSIBLE = 0.1  # Li et al. (2023), § 3.4
HABITS = (0.03, 0.15, 0.30, 0.45)  # shares of opposite targets; 0.30 is the committed weights' own
HABIT_OMEGAS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def _generator(name: str):
    return models.load_generator(f"pocket/generator-{name}", device="cpu")


def _asked(premises: int, seed: int, **options) -> pd.DataFrame:
    drawn = corpora.premises(premises, 3000 + seed)
    return multicsr.ask(drawn, seed=seed, form="pocket", **options)


def sweep_values(accuracy: pd.Series) -> dict[str, float]:
    """The values of the claims on Fig. 6, from a curve over ω that holds −0.2, 0 and 0.2 to 0.6.

    Returns
    -------
    dict
        peak (the best ω), gain (the best of 0.2 to 0.6 over plain), default (0.3 over plain),
        negative (plain over −0.2), collapse (the best over the worst beyond it).
    """
    at = accuracy.rename(lambda omega: round(omega, 3))
    peak, plain = at.idxmax(), at[0.0]
    return {
        "peak": float(peak),
        "gain": float(at[(at.index >= 0.2) & (at.index <= 0.6)].max() - plain),
        "default": float(at[0.3] - plain),
        "negative": float(plain - at[-0.2]),
        "collapse": float(at.max() - at[at.index >= peak].min()),
    }


@ledger.measure(
    "03-fig1-errors", "03-fig1-errors-label", "03-repaired", "03-spoilt",
    "03-fig6-gain", "03-fig6-default", "03-fig6-negative", "03-fig6-collapse", "03-fig6-peak",
    "03-plausibility", "03-plausibility-cost",
    reads=("data/pocket/generator-t5",),
)  # fmt: skip
def measure_sweep(seed: int) -> dict[str, float]:
    """Fig. 6 and § 5.2, T5 generator; the same where implausible words are barred."""
    generator, asked = _generator("t5"), _asked(PREMISES, seed)
    sweep = omega_sweep(generator, asked).assign(plausibility="none")
    held = omega_sweep(generator, asked, (0.3, 0.6, 0.7, 0.8, 0.9, 1.0), plausibility=PLAUSIBLE)
    held = held.assign(plausibility=str(PLAUSIBLE))
    ledger.keep_rows("03-omega-t5", seed, pd.concat([sweep, held]))
    free, kept = curve(sweep), curve(held)
    shape = sweep_values(free)

    before, after = (answers(generator, asked, omega=omega) for omega in (0.0, 0.3))
    counted = {name: repairs(before, after, label=name == "by label")
               for name in ("copies apart", "by label")}  # fmt: skip
    rows = pd.DataFrame([{"counting": name, **row} for name, row in counted.items()])
    ledger.keep_rows("03-repairs", seed, rows)
    apart = counted["copies apart"]
    return {
        "03-fig1-errors": apart["opposite"],
        "03-fig1-errors-label": counted["by label"]["opposite"],
        "03-repaired": apart["repaired"],
        "03-spoilt": apart["spoilt"],
        **{f"03-fig6-{name}": value for name, value in shape.items()},
        "03-plausibility": float(kept[0.8] - free[0.8]),
        "03-plausibility-cost": float(free.max() - kept.max()),
    }


@ledger.measure(
    "03-fig6-llama-gain", "03-fig6-llama-peak", "03-guidance",
    reads=("data/pocket/generator-llama",),
)
def measure_llama(seed: int) -> dict[str, float]:
    """Fig. 6 for the Llama-style generator, and its texts beside the library's guidance."""
    generator, asked = _generator("llama"), _asked(LLAMA_PREMISES, seed)
    sweep = omega_sweep(generator, asked, (-0.2, 0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9))
    ledger.keep_rows("03-omega-llama", seed, sweep)
    shape = sweep_values(curve(sweep))

    some, tokens = asked.head(40), tiers.get("pocket").multicsr.max_new_tokens
    prompts = [*some["entailment_prompt"], *some["contradiction_prompt"]]
    noisy = [*some["entailment_noisy"], *some["contradiction_noisy"]]
    alike = []
    for omega in (0.3, 0.6):
        ours = decoding.contrastive_generate(
            *generator, prompts, noisy, omega=omega, max_new_tokens=tokens
        )
        theirs = guided_texts(generator, prompts, noisy, 1 / (1 - omega), tokens)
        alike += [a == b for a, b in zip(ours, theirs, strict=True)]
    return {
        "03-fig6-llama-gain": shape["gain"],
        "03-fig6-llama-peak": shape["peak"],
        "03-guidance": float(100 * np.mean(alike)),
    }


@ledger.measure(
    "03-fig5-opposite-alone", "03-fig5-opposite-gain", "03-fig5-rank", "03-fig5-rank-all",
    "03-fig5-better",
    reads=("data/pocket/generator-t5",),
)
def measure_noise(seed: int) -> dict[str, float]:
    """Fig. 5: four noisy instructions, followed alone and contrasted with."""
    premises = corpora.premises(PREMISES, 3000 + seed)
    effects = noise_effects(_generator("t5"), premises, seed=seed)
    ledger.keep_rows("03-noise", seed, effects)
    return noise_values(effects)


def noise_values(effects: pd.DataFrame) -> dict[str, float]:
    """The values of the claims on Fig. 5, from the rows of `noise_effects`."""
    means = noise_means(effects)
    gain = means["improvement"]
    each = pd.DataFrame({
        "degradation": effects["plain"] - effects["alone"],
        "improvement": effects["contrasted"] - effects["plain"],
    })  # fmt: skip

    def rank(frame):
        return float(frame["degradation"].corr(frame["improvement"], method="spearman"))

    return {
        "03-fig5-opposite-alone": float(means.loc["opposite", "alone"]),
        "03-fig5-opposite-gain": float(gain["opposite"] - gain.drop("opposite").max()),
        "03-fig5-rank": rank(means),
        "03-fig5-rank-all": rank(each),
        "03-fig5-better": float(means.loc["opposite", "better"]),
    }


@ledger.measure(
    "03-habits-peak", "03-habits-paper", "03-habits-gain",
    reads=("data/pocket/generator-t5",),
)
def measure_habits(seed: int) -> dict[str, float]:
    """Where the best ω lies for generators that misread less and more often."""
    asked, parts = _asked(HABIT_PREMISES, seed), []
    for opposite in HABITS:
        generator = retrain(_generator("t5"), opposite, steps=250, seed=seed)
        sweep = omega_sweep(generator, asked, HABIT_OMEGAS, batch_size=120)
        parts.append(sweep.assign(opposite=opposite))
    rows = pd.concat(parts, ignore_index=True)
    ledger.keep_rows("03-habits", seed, rows)
    curves = {opposite: curve(part) for opposite, part in rows.groupby("opposite")}
    few, usual = curves[HABITS[0]], curves[0.30]
    return {
        "03-habits-peak": plateau(usual) - plateau(few),
        "03-habits-paper": plateau(few),
        "03-habits-gain": float((usual.max() - usual[0.0]) - (few.max() - few[0.0])),
    }


# ------------------------------------------------------------------ where a text breaks
# l − ω·l̂ is (1−ω)·l + ω·(l − l̂): as ω grows, what a word is worth counts less, and what the two
# instructions disagree about counts more, for words that no context wants just as for the others.
# `breaking_point` finds the ω at which such a word takes the lead.
BREAKING_SHARES, BREAKING_PREMISES = (0.03, 0.30), 60


def breaking_point(generator, prompt: str, noisy: str, text: str, plausibility=0.1):
    """The smallest ω at which a text, written by plain decoding, breaks.

    Parameters
    ----------
    generator : (model, tokenizer)
    prompt, noisy : str
        The text's own prompt, and the noisy one.
    text : str
    plausibility : float in (0, 1)
        A word is implausible where ``p < plausibility · max p`` under `prompt` (Li et al., 2023).

    Returns
    -------
    (float, float)
        The smallest ω > 0 at which an implausible word overtakes the text's own word at some
        place (inf if none ever does); and the disagreement of the two contexts, the standard
        deviation of l − l̂ over the words, averaged over the places.
    """
    if not 0 < plausibility < 1:
        raise ValueError(f"plausibility must lie in (0, 1), got {plausibility}")
    tokenizer = generator[1]
    logits, hat = (decoding.forced_logits(generator, p, text) for p in (prompt, noisy))
    own = tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    own = np.array(own)[:, None]
    lead = np.take_along_axis(logits, own, 1) - logits  # [T + 1, V]
    rise = np.take_along_axis(hat, own, 1) - hat
    implausible = logits < logits.max(1, keepdims=True) + math.log(plausibility)
    names = ("pad", "unk", "mask", "cls", "sep")  # never written
    implausible[:, [getattr(tokenizer, f"{name}_token_id") for name in names]] = False
    rivals = implausible & (rise > 0)
    at = (lead[rivals] / rise[rivals]).min(initial=np.inf)
    return float(at), float((logits - hat).std(axis=1).mean())


def breaking_points(generator, asked, **options) -> pd.DataFrame:
    """`breaking_point` of every right answer of plain decoding.

    Parameters
    ----------
    generator : (model, tokenizer)
    asked : DataFrame
        Of `multicsr.ask`.
    **options
        Of `decoding.generate_mixture`.

    Returns
    -------
    DataFrame
        kind, premise, output, breaking, disagreement: one row a right answer.
    """
    plain = answers(generator, asked, omega=0.0, **options)
    plain["prompt"] = [*asked["entailment_prompt"], *asked["contradiction_prompt"]]
    plain["noisy"] = [*asked["entailment_noisy"], *asked["contradiction_noisy"]]
    right = plain[plain["outcome"] == "right"].reset_index(drop=True)
    found = [
        breaking_point(generator, row.prompt, row.noisy, row.output) for row in right.itertuples()
    ]
    measured = pd.DataFrame(found, columns=["breaking", "disagreement"])
    return pd.concat([right[["kind", "premise", "output"]], measured], axis=1)


@ledger.measure(
    "03-breaking", "03-disagreement",
    reads=("data/pocket/generator-t5",),
)  # fmt: skip
def measure_breaking(seed: int) -> dict[str, float]:
    """Where generators break that misread rarely, and as often as the committed one."""
    premises = corpora.premises(BREAKING_PREMISES, 3000 + seed)
    asked, parts = multicsr.ask(premises, seed=seed, form="pocket"), []
    for opposite in BREAKING_SHARES:
        generator = _generator("t5")
        retrain(generator, opposite, steps=250, seed=seed)
        parts.append(breaking_points(generator, asked).assign(opposite=opposite))
    rows = pd.concat(parts, ignore_index=True)
    rows = rows.replace(np.inf, np.nan)  # never breaks: no number
    ledger.keep_rows("03-breaking", seed, rows.drop(columns=["premise", "output"]))
    few, usual = (part for _, part in rows.groupby("opposite"))
    return {
        "03-breaking": float(usual["breaking"].median() - few["breaking"].median()),
        "03-disagreement": float(few["disagreement"].mean() / usual["disagreement"].mean()),
    }
