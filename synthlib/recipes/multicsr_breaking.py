"""Why too large an ω breaks sentences, and why it breaks a good generator's sooner (chapter 3).

l − ω·l̂ is (1−ω)·l + ω·(l − l̂): as ω grows, what a word is worth counts less, and what the two
instructions disagree about counts more, for words that no context wants just as for the others.
`breaking_point` finds the ω at which such a word takes the lead.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from synthlib import ledger
from synthlib.recipes import multicsr
from synthlib.recipes import multicsr_generation as generation
from synthlib.world import corpora

SHARES, PREMISES = (0.03, 0.30), 60


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
    logits, hat = (generation.forced_logits(generator, p, text) for p in (prompt, noisy))
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
    plain = generation.answers(generator, asked, omega=0.0, **options)
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
    uses=(
        "synthlib/recipes/multicsr_breaking.py", "synthlib/recipes/multicsr_generation.py",
        "synthlib/recipes/multicsr.py", "synthlib/decoding.py", "synthlib/prompts.py",
        "synthlib/models.py", "synthlib/world/", "data/pocket/generator-t5",
    ),
)  # fmt: skip
def measure_breaking(seed: int) -> dict[str, float]:
    """Where generators break that misread rarely, and as often as the committed one."""
    premises = corpora.premises(PREMISES, 3000 + seed)
    asked, parts = multicsr.ask(premises, seed=seed, form="pocket"), []
    for opposite in SHARES:
        generator = generation._generator("t5")
        generation.retrain(generator, opposite, steps=250, seed=seed)
        parts.append(breaking_points(generator, asked).assign(opposite=opposite))
    rows = pd.concat(parts, ignore_index=True)
    rows = rows.replace(np.inf, np.nan)  # never breaks: no number
    ledger.keep_rows("03-breaking", seed, rows.drop(columns=["premise", "output"]))
    few, usual = (part for _, part in rows.groupby("opposite"))
    return {
        "03-breaking": float(usual["breaking"].median() - few["breaking"].median()),
        "03-disagreement": float(few["disagreement"].mean() / usual["disagreement"].mean()),
    }
