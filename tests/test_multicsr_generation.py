"""What chapter 3 measures: outcomes, repairs, noisy instructions, the shape of the ω sweep."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from synthlib import decoding, models
from synthlib.experiments import ch03 as generation
from synthlib.experiments import ch03 as multicsr_breaking
from synthlib.methods import multicsr
from synthlib.world import corpora, report

TOKENS = 24


@pytest.fixture(scope="module")
def lab():
    cache = {}

    def load(name):
        if name not in cache:
            cache[name] = models.load_generator(f"pocket/generator-{name}", device="cpu")
        return cache[name]

    return load


@pytest.fixture(scope="module")
def asked():
    return multicsr.ask(corpora.premises(5, seed=7), seed=3, form="pocket")


def table(*rows):
    names = ["kind", "instruction", "premise", "output", "outcome"]
    return pd.DataFrame([(kind, 1, "p", "o", outcome) for kind, outcome in rows], columns=names)


# ------------------------------------------------------------------ answers
def test_answers_are_what_the_stage_writes_judged_row_by_row(lab, asked):
    found = generation.answers(lab("t5"), asked, omega=0.3, max_new_tokens=TOKENS)
    written = multicsr.write(lab("t5"), asked, omega=0.3, max_new_tokens=TOKENS)
    assert list(found["output"]) == [*written["positive"], *written["negative"]]
    assert list(found["premise"]) == 2 * list(asked["anchor"])
    assert list(found["instruction"]) == [*asked["entailment"], *asked["contradiction"]]
    assert list(found["outcome"]) == [
        report.outcome(row.premise, row.output, row.kind) for row in found.itertuples()
    ]


def test_the_opposite_instruction_alone_writes_the_other_output(lab, asked):
    plain = generation.answers(lab("t5"), asked, omega=0.0)
    alone = generation.answers(lab("t5"), asked, alone=True)
    n = len(asked)
    assert list(alone["output"]) == [*plain["output"][n:], *plain["output"][:n]]
    assert list(alone["kind"]) == list(plain["kind"])


def test_a_copy_counts_by_its_label_where_asked():
    rows = table(("entailment", "copied"), ("contradiction", "copied"), ("entailment", "neutral"))
    assert list(generation.by_label(rows)) == ["right", "opposite", "neutral"]
    assert list(rows["outcome"]) == ["copied", "copied", "neutral"]


def test_accuracy_weighs_both_kinds_alike():
    rows = table(
        ("entailment", "right"), ("entailment", "copied"), ("contradiction", "right"),
        ("contradiction", "right"), ("contradiction", "broken"), ("contradiction", "right"),
    )  # fmt: skip
    assert generation.accuracy(rows) == {"entailment": 50, "contradiction": 75, "both": 62.5}


def test_repairs_by_hand_in_both_countings():
    e, c = "entailment", "contradiction"
    kinds = [c, c, c, e, e, e, c, c]
    old = "copied copied opposite opposite copied neutral right broken".split()
    new = "right opposite right right right neutral copied right".split()
    before, after = (table(*zip(kinds, o, strict=True)) for o in (old, new))
    apart = generation.repairs(before, after)
    assert apart == {
        "repaired": 62.5, "spoilt": 12.5, "copied": 40, "opposite": 40, "neutral": 0, "broken": 20
    }
    label = generation.repairs(before, after, label=True)  # the copied entailment was right
    assert label == {
        "repaired": 50, "spoilt": 12.5, "copied": 0, "opposite": 75, "neutral": 0, "broken": 25
    }
    assert math.isnan(generation.repairs(before, before)["opposite"])
    with pytest.raises(ValueError, match="same prompts"):
        generation.repairs(before, after.iloc[::-1].reset_index(drop=True))


# ------------------------------------------------------------------ noisy instructions
def test_noise_effects_cover_four_noises_and_add_up(lab):
    premises = corpora.premises(6, seed=8)
    effects = generation.noise_effects(lab("t5"), premises, seed=1, max_new_tokens=TOKENS)
    assert set(effects["noise"]) == {"reorder", "mask", "truncate", "opposite"}
    assert (effects.groupby("noise")["answers"].sum() == 12).all()
    change = effects["better"] - effects["spoilt"]
    assert np.allclose(effects["contrasted"], effects["plain"] + change)
    assert (effects["alone"] >= effects["plain"] - effects["worse"] - 1e-9).all()
    # Plain decoding knows no noise.
    plain = effects.pivot_table("plain", ["kind", "instruction"], "noise")
    assert np.allclose(plain.sub(plain["mask"], axis=0), 0)


def effects_of(*rows):
    """(noise, kind, instruction, answers, plain, alone, contrasted, better) a row."""
    names = ["noise", "kind", "instruction", "answers", "plain", "alone", "contrasted", "better"]
    return pd.DataFrame(rows, columns=names).assign(worse=0.0, spoilt=0.0)


def test_means_weigh_instructions_by_answers_and_kinds_alike():
    e, c = "entailment", "contradiction"
    means = generation.noise_means(
        effects_of(
            ("mask", e, 1, 30, 90.0, 60.0, 90.0, 0.0), ("mask", e, 2, 10, 50.0, 60.0, 90.0, 40.0),
            ("mask", c, 1, 5, 20.0, 0.0, 40.0, 20.0),
        )  # fmt: skip
    )
    row = means.loc["mask"]
    assert row["plain"] == pytest.approx((80 + 20) / 2)
    assert row["degradation"] == pytest.approx(50 - 30)
    assert row["improvement"] == pytest.approx((90 + 40) / 2 - 50)


def test_values_of_figure_five():
    e, c = "entailment", "contradiction"
    rows = []
    for noise, alone, contrasted, better in (
        ("mask", 59.0, 60.5, 1.0), ("reorder", 58.0, 61.0, 2.0), ("truncate", 40.0, 62.0, 3.0),
        ("opposite", 5.0, 70.0, 12.0),
    ):  # fmt: skip
        rows += [(noise, kind, 1, 10, 60.0, alone, contrasted, better) for kind in (e, c)]
    values = generation.noise_values(effects_of(*rows))
    assert values["03-fig5-rank"] == pytest.approx(1)
    assert values["03-fig5-rank-all"] == pytest.approx(1)
    assert values["03-fig5-opposite-alone"] == pytest.approx(5)
    assert values["03-fig5-opposite-gain"] == pytest.approx(10 - 2)
    assert values["03-fig5-better"] == pytest.approx(12)


# ------------------------------------------------------------------ token by token
@pytest.mark.parametrize("name", ["t5", "llama"])
@pytest.mark.parametrize("omega", [0.0, 0.4])
def test_the_kernel_takes_the_best_word_of_the_forced_mixture(lab, asked, name, omega):
    model, tokenizer = generator = lab(name)
    right, noisy = list(asked["contradiction_prompt"]), list(asked["contradiction_noisy"])
    written = decoding.contrastive_generate(
        model, tokenizer, right, noisy, omega=omega, max_new_tokens=TOKENS
    )
    banned = [tokenizer.convert_tokens_to_ids(t) for t in ("<pad>", "<unk>", "<mask>")]
    for text, *prompts in zip(written, right, noisy, strict=True):
        logits, hat = (decoding.forced_logits(generator, prompt, text) for prompt in prompts)
        mixed = logits - omega * hat
        mixed[:, banned] = -np.inf
        words = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert logits.shape == (len(words) + 1, model.config.vocab_size)
        assert list(mixed.argmax(1)) == [*words, tokenizer.eos_token_id][: len(mixed)]


def test_two_words_change_places_at_their_flip():
    logits, noisy = np.array([2.0, 1.0, 0.0]), np.array([3.0, 0.0, 3.0])
    at = decoding.flip(logits, noisy, 0, 1)
    assert at == pytest.approx(1 / 3)
    for omega, best in ((at - 1e-6, 0), (at + 1e-6, 1)):
        assert (logits - omega * noisy).argmax() == best
    assert math.isnan(decoding.flip(logits, noisy, 0, 2))


def test_guidance_of_the_library_writes_the_same_texts(lab, asked):
    """Ragged prompts, padded on the left: rotary positions do not mind."""
    right = [*asked["entailment_prompt"], *asked["contradiction_prompt"]]
    noisy = [*asked["entailment_noisy"], *asked["contradiction_noisy"]]
    ours = decoding.contrastive_generate(
        *lab("llama"), right, noisy, omega=0.5, max_new_tokens=TOKENS
    )
    assert ours == generation.guided_texts(lab("llama"), right, noisy, 2.0, TOKENS)


# ------------------------------------------------------------------ sweeps
def test_a_sweep_holds_every_outcome_of_every_omega(lab, asked):
    sweep = generation.omega_sweep(lab("t5"), asked, (0.0, 0.3), max_new_tokens=TOKENS)
    assert len(sweep) == 2 * 2 * len(report.OUTCOMES)
    assert np.allclose(sweep.groupby(["omega", "kind"])["percent"].sum(), 100)
    for omega in (0.0, 0.3):
        found = generation.answers(lab("t5"), asked, omega=omega, max_new_tokens=TOKENS)
        both = generation.accuracy(found)["both"]
        assert generation.curve(sweep)[omega] == pytest.approx(both)


def test_the_shape_of_a_curve_by_hand():
    omegas = (-0.2, 0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
    curve = pd.Series([50.0, 60, 66, 69, 70, 72, 71, 74, 30], index=omegas)
    assert generation.sweep_values(curve) == {
        "peak": 0.7, "gain": 12, "default": 9, "negative": 10, "collapse": 44
    }
    assert generation.plateau(curve) == pytest.approx((0.5 + 0.7) / 2)
    assert generation.plateau(curve, within=0) == pytest.approx(0.7)


# ------------------------------------------------------------------ other habits
def test_retraining_is_repeatable_and_learns(lab):
    def weights(**options):
        generator = models.load_generator("pocket/generator-t5", device="cpu")
        generation.retrain(generator, 0.1, batch=8, **options)
        assert not generator[0].training
        return torch.cat([p.detach().flatten() for p in generator[0].parameters()])

    torch.manual_seed(0)
    first = weights(steps=2, seed=1)
    assert torch.equal(first, weights(steps=2, seed=1))
    assert not torch.equal(first, weights(steps=2, seed=2))
    untouched = torch.cat([p.detach().flatten() for p in lab("t5")[0].parameters()])
    assert torch.equal(weights(steps=1, lr=0.0), untouched)
    assert not torch.equal(first, untouched)


def test_retraining_lowers_the_loss_on_its_own_examples(lab):
    """The targets stand where the decoder expects them: right answers become more likely."""
    from random import Random

    from synthlib.world import pretraining

    mixture = pretraining.Mixture(opposite=0.0, other=0.0, tavi=0.0)
    examples = [pretraining.example(Random(i), mixture) for i in range(200)]
    examples = [e for e in examples if e.task in generation.KINDS][:20]

    def surprise(generator):
        total = 0.0
        for e in examples:
            logits = torch.as_tensor(decoding.forced_logits(generator, e.prompt, e.target))
            words = generator[1](e.target)["input_ids"]
            total -= logits.log_softmax(-1)[range(len(words)), words].sum().item()
        return total

    fresh = models.load_generator("pocket/generator-t5", device="cpu")
    generation.retrain(fresh, 0.0, steps=12, batch=32, lr=3e-4)
    assert surprise(fresh) < surprise(lab("t5"))


@pytest.mark.parametrize("share", [-0.1, 0.8])
def test_a_share_out_of_range_is_refused(lab, share):
    with pytest.raises(ValueError, match="share of the targets"):
        generation.retrain(lab("t5"), share, steps=1)


# ------------------------------------------------------------------ where it breaks
def test_a_text_breaks_just_beyond_its_breaking_point(lab, asked):
    """Below it every place keeps its word against all implausible ones; above, one does not."""
    generator = model, tokenizer = lab("t5")
    rows = multicsr_breaking.breaking_points(generator, asked)
    assert len(rows) and (rows["breaking"] > 0).all() and (rows["disagreement"] > 0).all()
    prompts = dict(zip(asked["anchor"], asked["entailment_prompt"], strict=True))
    noisy = dict(zip(asked["anchor"], asked["entailment_noisy"], strict=True))
    banned = [tokenizer.convert_tokens_to_ids(f"<{n}>") for n in "pad unk mask cls sep".split()]
    for row in rows[rows["kind"] == "entailment"].itertuples():
        logits, hat = (
            decoding.forced_logits(generator, prompt[row.premise], row.output)
            for prompt in (prompts, noisy)
        )
        words = [*tokenizer(row.output, add_special_tokens=False)["input_ids"], 1]

        def overtaken(omega, logits=logits, hat=hat, words=words):
            for clean, noise, word in zip(logits, hat, words, strict=True):
                mixed = clean - omega * noise
                mixed[clean >= clean.max() + np.log(0.1)] = -np.inf  # look at implausible words
                mixed[banned] = -np.inf
                if mixed.max() > (clean - omega * noise)[word]:
                    return True
            return False

        assert not overtaken(row.breaking - 1e-3)
        assert overtaken(row.breaking + 1e-3)


def test_a_breaking_point_needs_a_share_as_plausibility(lab):
    with pytest.raises(ValueError, match="plausibility"):
        multicsr_breaking.breaking_point(lab("t5"), "a", "b", "c", plausibility=0.0)
