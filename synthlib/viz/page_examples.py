"""Figures whose model runs in the page, and what they show before the reader starts it.

The recorded part comes from the Python kernels, on the models and sentences of the chapter; what
the page computes afterwards is the same decoding in JavaScript (`viz/js/model.js`).
"""

from __future__ import annotations

from random import Random

import numpy as np
import pandas as pd

from synthlib import decoding, prompts
from synthlib.viz.figure import Figure
from synthlib.viz.page_model import script

#: Settings of ω that are recorded, and that its slider has.
OMEGAS = tuple(round(-0.5 + 0.05 * i, 2) for i in range(31))
#: Names of the noisy instructions, as readers see them.
NOISES = {"opposite": "opposite", "reorder": "shuffled", "mask": "masked", "truncate": "first half"}
TEMPLATE = "{instruction} . input : {sentence} output :"


def contrast_steps(generator, prompt, noisy, omegas, *, top=3, max_new_tokens=28) -> pd.DataFrame:
    """Every step of greedy decoding from l − ω·l̂, for several ω.

    Parameters
    ----------
    generator : (model, tokenizer)
    prompt, noisy : str
    omegas : sequence of float
    top : int
        Words that each view (either context, the mixture) adds to a step.
    max_new_tokens : int

    Returns
    -------
    DataFrame
        A row for each word of interest: omega, step, word, its probability ``asked``, ``noisy`` and
        ``mixed`` among the words that a text may hold, whether it is ``chosen``, and from where to
        where in ω (``low``, ``high``; NaN where it has no end) the chosen one stays so, all words
        before it being the same.

    Source: MultiCSR § 3.1.
    """
    from synthlib.decoding import forced_logits

    model, tokenizer = generator
    vocabulary = np.array(tokenizer.convert_ids_to_tokens(range(len(tokenizer))))
    never = np.isin(vocabulary, ["<pad>", "<unk>", "<mask>", "<cls>", "<sep>"])
    read, rows = {}, []
    for omega in omegas:
        (text,) = decoding.contrastive_generate(
            model, tokenizer, [prompt], [noisy], omega=omega, max_new_tokens=max_new_tokens
        )
        if text not in read:
            read[text] = [forced_logits(generator, p, text) for p in (prompt, noisy)]
        for step, (clean, hat) in enumerate(zip(*read[text], strict=True)):
            if step == max_new_tokens:
                break
            clean, hat = (np.where(never, -np.inf, x.astype(float)) for x in (clean, hat))
            score = np.where(never, -np.inf, clean - omega * np.where(never, 0, hat))
            views = [_softmax(x) for x in (clean, hat, score)]
            chosen = int(score.argmax())
            shown = {chosen}.union(*(np.argsort(-p)[:top].tolist() for p in views))
            low, high = _stays(score[~never], -hat[~never], np.flatnonzero(~never), chosen)
            rows += [
                {
                    "omega": omega, "step": step, "word": vocabulary[v], "asked": views[0][v],
                    "noisy": views[1][v], "mixed": views[2][v], "low": low, "high": high,
                    "chosen": v == chosen,
                }
                for v in sorted(shown, key=lambda v: -views[2][v])
            ]  # fmt: skip
    table = pd.DataFrame(rows)
    # The chosen word's line crosses another's at ω = omega + distance.
    table[["low", "high"]] = table[["low", "high"]].add(table["omega"], axis=0)
    return table.round({"asked": 4, "noisy": 4, "mixed": 4, "low": 4, "high": 4})


def _softmax(scores):
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def _stays(score, slope, ids, chosen):
    """How far the dial may turn down and up before another word overtakes the chosen one."""
    own = int(np.flatnonzero(ids == chosen)[0])
    gap, tilt = score[own] - score, slope[own] - slope
    with np.errstate(divide="ignore", invalid="ignore"):
        turn = -gap / tilt
    down, up = turn[tilt > 0], turn[tilt < 0]
    return (down.max() if len(down) else np.nan), (up.min() if len(up) else np.nan)


def noisy_table(first=None) -> pd.DataFrame:
    """Every pocket instruction with one noisy variant of each kind.

    Parameters
    ----------
    first : (instruction, opposite), optional
        A pair to keep: this instruction gets this opposite. Others get the one at their own place
        among the instructions of the other kind.

    Returns
    -------
    DataFrame
        instruction, kind, noise (of `NOISES`), noisy.

    Source: MultiCSR § 5.2.
    """
    sides = {"entailment": prompts.ENTAILMENT, "contradiction": prompts.CONTRADICTION}
    rows = []
    for kind, other in (("contradiction", "entailment"), ("entailment", "contradiction")):
        for i, instruction in enumerate(sides[kind]["pocket"]):
            for noise in prompts.NOISE:
                opposite = sides[other]["pocket"][i]
                if first is not None and instruction == first[0]:
                    opposite = first[1]
                # Each variant has its own seed, so that one does not depend on the others.
                noisy = prompts.noisy_instruction(
                    instruction, noise, Random(i), opposites=(opposite,)
                )
                rows.append({"instruction": instruction, "kind": kind, "noise": noise,
                             "noisy": noisy})  # fmt: skip
    return pd.DataFrame(rows)


def omega_figure(
    generator, sentence, instruction, opposite, *, name="generator-t5", omega=0.3, room=28,
    omegas=OMEGAS, sweep=None, compact=False, prompt="Premise",
    views=("as asked", "noisy", "mixture"), **texts,
) -> Figure:  # fmt: skip
    """The ω explorer: a sentence decoded from two contexts, word by word.

    Parameters
    ----------
    generator : (model, tokenizer)
        The model of that name, which records the example.
    sentence, instruction, opposite : str
        The recorded example: premise, instruction and noisy instruction.
    name : str
        Of `page_model.NAMES`.
    omega : float
        Where the slider stands at the start.
    room : int
        Most tokens of a text.
    omegas : sequence of float
        What is recorded; the slider has their range and step.
    sweep : DataFrame, optional
        Percent right over many sentences (omega, kind, percent), to stand beside the example.
    compact : bool
        Without choice of instructions and table of steps, for a cover.
    prompt : str
        Label of the sentence's field.
    views : three str
        Names of either context and of the mixture.
    **texts
        ``label`` and ``caption`` of the figure.

    Returns
    -------
    Figure
    """
    asked, noisy = (
        TEMPLATE.format(instruction=text, sentence=sentence) for text in (instruction, opposite)
    )
    recorded = contrast_steps(generator, asked, noisy, omegas, max_new_tokens=room)
    shown = _favourites(recorded, omega, views)
    controls = [
        {"name": "omega", "type": "range", "label": "ω", "min": min(omegas), "max": max(omegas),
         "step": round(omegas[1] - omegas[0], 4), "value": omega, "format": ".2f"},
    ]  # fmt: skip
    instructions = noisy_table((instruction, opposite))
    if compact:
        keep = (instructions["instruction"] == instruction) & (instructions["noise"] == "opposite")
        instructions = instructions[keep]
    else:
        first = instructions.drop_duplicates("instruction")
        controls += [
            {"name": "instruction", "type": "choice", "label": "Instruction", "value": instruction,
             "options": [[r.instruction, f"{r.kind}: {r.instruction}"]
                         for r in first.itertuples()]},
            {"name": "noise", "type": "choice", "label": "Noisy instruction", "value": "opposite",
             "options": [[noise, text] for noise, text in NOISES.items()]},
        ]  # fmt: skip
    tables = {"shown": shown, "recorded": recorded, "instructions": instructions}
    if sweep is not None:
        tables["sweep"] = sweep[["omega", "kind", "percent"]]
    return Figure(
        tables,
        {
            "kind": "explorer", "explorer": "omega", "controls": controls,
            "options": {
                "sweep": "Over many premises",
                "kinds": {"mean of both": "purple", "entailment": "blue",
                          "contradiction": "orange"},
                "model": name, "megabytes": round(len(script(name)) / 1e6, 1), "room": room,
                "top": 3, "template": TEMPLATE, "sentence": sentence, "instruction": instruction,
                "noise": "opposite", "place": _turning(recorded, omega or 0.3), "compact": compact,
                "prompt": prompt, "views": list(views),
            },
            "static": {
                "kind": "heatmap", "data": "shown", "x": "place", "y": "view",
                "value": "probability", "text": "word", "vmin": 0, "vmax": 1, "height": 2.4,
                "xlabel": "place in the sentence", "ylabel": "", "vlabel": "probability",
                "order": {"x": list(dict.fromkeys(shown["place"])),
                          "y": list(dict.fromkeys(shown["view"]))},
            },
        },
        alt=f"Decoding word by word at ω = {omega:g}, for the premise: {sentence}. "
        + "; ".join(
            f"{view}: " + ", ".join(f"{r.word} {r.probability:.2f}" for r in part.itertuples())
            for view, part in shown.groupby("view", sort=False)
        ) + ".",
        **texts,
    )  # fmt: skip


def _favourites(recorded, omega, names):
    """The favourite word of each view at one ω, for the static picture."""
    rows = recorded[np.isclose(recorded["omega"], omega)]
    views = {names[0]: "asked", names[1]: "noisy", f"ω = {omega:g}": "mixed"}
    parts = []
    for view, column in views.items():
        best = rows.loc[rows.groupby("step")[column].idxmax()]
        parts.append(pd.DataFrame({
            "place": [str(step + 1) for step in best["step"]], "view": view,
            "word": best["word"].replace("</s>", "(end)"), "probability": best[column],
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _turning(recorded, omega):
    """The first place where ω changes what plain decoding writes; 0 where it changes nothing."""
    said = recorded[recorded["chosen"]].set_index(["omega", "step"])["word"]
    grid = recorded["omega"].unique()
    now, plain = (said.loc[min(grid, key=lambda w: abs(w - x))] for x in (omega, 0.0))
    return next((int(t) for t in now.index if t not in plain.index or now[t] != plain[t]), 0)


def list_figure(
    generator, anchor, *, lams=(0.0, 0.5, 1.0, 1.5), recorded_steps=16, name="generator-llama",
    lam=0.5, steps=32, room=28, **texts,
) -> Figure:  # fmt: skip
    """A ranking list that is written in the page, λ on a slider.

    Parameters
    ----------
    generator : (model, tokenizer)
        The model of that name, which records the example.
    anchor : str
    lams : sequence of float
        What is recorded of this anchor.
    recorded_steps : int
        Sentences of a recorded list.
    name : str
        Of `page_model.NAMES`.
    lam : float
        Where the slider stands at the start; one of ``lams``.
    steps : int
        Sentences that the page writes.
    room : int
        Most tokens of a sentence.
    **texts
        ``label`` and ``caption`` of the figure.

    Returns
    -------
    Figure
    """
    rows = [
        {"lam": float(value), "place": place, "sentence": sentence}
        for value in lams
        for place, sentence in enumerate(decoding.generate_ranking_lists(
            *generator, [anchor], lam=value, steps=recorded_steps, max_new_tokens=room,
        )[0])
    ]  # fmt: skip
    recorded = pd.DataFrame(rows)
    base = set(anchor.split())
    recorded["shared"] = [
        100 * len(base & set(s.split())) / len(base | set(s.split())) for s in recorded["sentence"]
    ]
    recorded["setting"] = recorded["lam"].map("λ = {:g}".format)
    ends = recorded.groupby("setting", sort=False)
    return Figure(
        {"recorded": recorded},
        {
            "kind": "explorer", "explorer": "list",
            "controls": [{"name": "lam", "type": "range", "label": "λ", "min": 0, "max": 2,
                          "step": 0.1, "value": lam, "format": ".1f"}],
            "options": {
                "model": name, "megabytes": round(len(script(name)) / 1e6, 1), "room": room,
                "steps": steps, "prompt": prompts.RANKING["pocket"], "sentence": anchor,
            },
            "static": {
                "kind": "lines", "data": "recorded", "x": "place", "y": "shared",
                "series": "setting", "markers": True, "ylim": (0, 100), "height": 2.8,
                "xlabel": "place in the list", "ylabel": "words shared with the anchor (%)",
            },
        },
        alt=f"Lists of {recorded_steps} sentences after the anchor: {anchor}. "
        + "; ".join(
            f"{setting}: {part['sentence'].nunique()} different sentences, the last is: "
            f"{part['sentence'].iloc[-1]}" for setting, part in ends
        ) + ".",
        **texts,
    )  # fmt: skip


def cover() -> Figure:
    """The figure of the book's first page: one premise, to be contradicted, at any ω."""
    from synthlib import models

    return omega_figure(
        models.load_generator("pocket/generator-t5", device="cpu"),
        "one petite woman is strolling in the forest",
        prompts.CONTRADICTION["pocket"][0],
        prompts.ENTAILMENT["pocket"][0],
        omegas=tuple(round(0.05 * i, 2) for i in range(20)),
        omega=0.0,
        compact=True,
        prompt="A sentence to contradict",
        views=("asked to contradict", "asked to paraphrase", "mixture"),
    )
