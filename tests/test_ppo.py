"""PPO: its parts against loops and plain passes, and the loop on bandits with a known optimum."""

import contextlib
import copy
import json
import math
import os
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pytest
import tiny_models
import torch
from safetensors.torch import load_file
from torch import nn

from synthlib import decoding, memory, models, ppo

PROMPTS = ["the man runs", "a red dog sleeps in the park", "two", "not a cat eats"]


@pytest.fixture(params=["llama", "gpt2", "t5"])
def policy(request, tmp_path):
    folder = tiny_models.save(tmp_path / request.param, request.param)
    torch.manual_seed(1)
    found = ppo.Policy(*models.load_generator(folder, device="cpu"), r=4, alpha=8)
    with torch.no_grad():  # an adapter that does something, a value head that is not 0
        for name, p in found.named_parameters():
            if "lora_B" in name or name.startswith("value"):
                nn.init.normal_(p, std=0.3)
    return found


def plain(policy, prompt, answer):
    """log p of every answer token, one prompt, one token at a time, no padding, no cache."""
    found = []
    tokens = policy.tokenizer(prompt, return_tensors="pt").input_ids
    for t in range(len(answer)):
        before = torch.tensor([answer[:t]], dtype=torch.long)
        if policy.seq2seq:
            start = torch.tensor([[policy.model.config.decoder_start_token_id]])
            logits = policy.model(
                input_ids=tokens, decoder_input_ids=torch.cat([start, before], 1)
            ).logits
        else:
            logits = policy.model(input_ids=torch.cat([tokens, before], 1)).logits
        found.append(logits[0, -1].log_softmax(-1)[answer[t]])
    return torch.stack(found)


def test_what_prompts_begin_with_is_read_once_with_the_same_gradients(policy, monkeypatch):
    monkeypatch.setattr(decoding, "PASS", 0)  # tiny windows: short beginnings are shared, too
    heads = ["the man runs in the park " * 4, "a red dog sleeps " * 5]
    prompts = [heads[i % 2] + text for i, text in enumerate([*PROMPTS, "the dog eats"])]
    prompts += ["a cat", heads[0] + "a cat"]
    torch.manual_seed(3)
    answers = policy.write(prompts, max_new_tokens=6)
    weight = torch.rand(answers.mask.shape) * answers.mask
    found, read = [], []
    whole = policy.model.forward

    def counted(*args, **options):
        shape = options.get("input_ids").shape
        read.append(shape[0] * shape[1])
        return whole(*args, **options)

    monkeypatch.setattr(policy.model, "forward", counted)
    for kind in (ppo.Policy, ppo.SharedPolicy):
        monkeypatch.setattr(policy, "__class__", kind)
        policy.zero_grad()
        log_p, entropy, value = policy(answers, 0.7)
        (weight * (log_p + entropy + value)).sum().backward()
        grads = {k: p.grad for k, p in policy.named_parameters() if p.grad is not None}
        found.append(([x[answers.mask] for x in (log_p, entropy, value)], grads))
    if not policy.seq2seq:
        assert len(read) == 3 and sum(read[1:]) < 0.7 * read[0]
    (plainly, own), (shared, theirs) = found
    for a, b in zip(plainly, shared, strict=True):
        assert (a - b).abs().max() < 1e-4
    assert set(own) == set(theirs) and any("lora" in name for name in own)
    for name in own:
        close = 1e-4 * max(1.0, own[name].abs().max().item())
        assert (own[name] - theirs[name]).abs().max() < close, name


def test_prompts_without_a_common_beginning_are_read_as_ever(policy, monkeypatch):
    monkeypatch.setattr(policy, "__class__", ppo.SharedPolicy)
    torch.manual_seed(3)
    answers = policy.write(PROMPTS, max_new_tokens=4)
    with torch.no_grad():
        plainly = ppo.Policy.forward(policy, answers)
        shared = policy(answers)
    assert all(torch.equal(a, b) for a, b in zip(plainly, shared, strict=True))


def test_log_probabilities_equal_a_plain_pass_whatever_the_padding(policy):
    torch.manual_seed(3)
    answers = policy.write(PROMPTS, max_new_tokens=6)
    with torch.no_grad():
        log_p, entropy, value = policy(answers)
        for i, prompt in enumerate(PROMPTS):
            said = answers.answer[i][answers.mask[i]].tolist()
            expected = plain(policy, prompt, said)
            torch.testing.assert_close(log_p[i][answers.mask[i]], expected, atol=1e-4, rtol=1e-4)
            ids, mask = ppo._padded(
                [torch.tensor(policy.tokenizer(prompt).input_ids)], policy.pad, left=True
            )
            alone = ppo.Answers(ids, mask, torch.tensor([said]), torch.ones(1, len(said)).bool())
            _, entropy_alone, value_alone = policy(alone)
            counted = answers.mask[i]
            torch.testing.assert_close(entropy[i][counted], entropy_alone[0], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(value[i][counted], value_alone[0], atol=1e-4, rtol=1e-4)


def test_the_adapter_off_is_the_base_model(policy, tmp_path):
    torch.manual_seed(3)
    answers = policy.write(PROMPTS, max_new_tokens=5)
    kind = policy.model.config.model_type
    base = copy.deepcopy(policy)
    base.model = models.load_generator(tmp_path / kind, device="cpu")[0]
    with torch.no_grad():
        on = policy(answers)[0]
        with policy.adapter_off():
            off = policy(answers)[0]
        expected = base(answers)[0]
    torch.testing.assert_close(off[answers.mask], expected[answers.mask])
    assert (on - off)[answers.mask].abs().max() > 1e-3
    trained = {n.split(".")[-2] for n, p in policy.named_parameters() if p.requires_grad}
    assert trained == {"default", "value"} or trained <= {"default", "value"}


def test_an_answer_ends_with_its_end_token(policy):
    """Everything behind the first end token is padding; without one the answer is whole."""
    torch.manual_seed(0)
    answers = policy.write(PROMPTS * 8, max_new_tokens=12)
    end = policy.tokenizer.eos_token_id
    ended = 0
    for row, mask in zip(answers.answer, answers.mask, strict=True):
        said = row[mask].tolist()
        assert mask.tolist() == sorted(mask.tolist(), reverse=True)
        assert end not in said[:-1]
        assert len(said) == answers.answer.shape[1] or said[-1] == end
        ended += said[-1] == end
    assert 0 < ended


SAMPLERS = {  # what public models ship as their sampler's defaults, and its relatives
    "repetition_penalty": 1.3, "encoder_repetition_penalty": 1.5, "top_k": 3, "top_p": 0.5,
    "min_p": 0.2, "typical_p": 0.5, "temperature": 0.3, "epsilon_cutoff": 0.05, "eta_cutoff": 0.05,
    "no_repeat_ngram_size": 1, "encoder_no_repeat_ngram_size": 1, "num_beams": 3,
    "suppress_tokens": [6, 7, 8], "begin_suppress_tokens": [6, 7, 8], "bad_words_ids": [[6], [7]],
    "sequence_bias": [[[6], -9.0]], "min_new_tokens": 3, "min_length": 20,
    "forced_eos_token_id": 1, "guidance_scale": 2.0, "renormalize_logits": True,
    "exponential_decay_length_penalty": [1, 9.0],
}  # fmt: skip


@pytest.mark.parametrize("policy", ["llama", "t5"], indirect=True)
@pytest.mark.parametrize("name", [None, *SAMPLERS])
def test_answers_come_from_the_distribution_that_is_scored(policy, name):
    """3,000 first tokens: the share of the prompt's words and of every word, as in the model."""
    prompt, n = "the man runs and the red dog sleeps in the park", 3000
    settings = policy.model.get_base_model().generation_config
    if name:
        setattr(settings, name, SAMPLERS[name])
    for heat in (1.0, 2.0):
        torch.manual_seed(5)
        first = policy.write([prompt] * n, max_new_tokens=1, temperature=heat).answer[:, 0]
        words = torch.tensor(policy.tokenizer(prompt).input_ids)
        start = {"decoder_input_ids": torch.tensor([[0]])} if policy.seq2seq else {}
        with torch.no_grad():
            logits = policy.model(input_ids=words[None], **start).logits[0, -1]
        p = (logits.double() / heat).softmax(-1)
        own = p[words.unique()].sum().item()
        share = torch.isin(first, words).double().mean().item()
        assert abs(share - own) < 3 * math.sqrt(own * (1 - own) / n)
        counts = first.bincount(minlength=len(p)).double()
        square = ((counts - n * p) ** 2 / (n * p)).sum().item()
        freedom = len(p) - 1
        assert square < freedom + 5 * math.sqrt(2 * freedom)
        with torch.no_grad():
            answers = policy.write([prompt] * 4, max_new_tokens=1, temperature=heat)
            log_p = policy(answers, heat)[0][:, 0]
        torch.testing.assert_close(log_p.exp().double(), p[answers.answer[:, 0]], atol=1e-4, rtol=0)


def test_a_forced_beginning_belongs_to_every_answer_of_a_policy(tmp_path):
    """Of mBART, for instance: written behind its start and the language, and scored so."""
    folder = tiny_models.save(tmp_path / "t5", "t5")
    model, tokenizer = models.load_generator(folder, device="cpu")
    model.generation_config.forced_bos_token_id = 8
    policy = ppo.Policy(model, tokenizer, r=4, alpha=8)
    answers = policy.write(["the man runs"] * 2000, max_new_tokens=1)
    ids = tokenizer("the man runs", return_tensors="pt").input_ids
    with torch.no_grad():
        logits = model(input_ids=ids, decoder_input_ids=torch.tensor([[0, 8]])).logits
        log_p = policy(answers.rows(slice(0, 20)))[0][:, 0]
    p = logits[0, -1].double().softmax(-1)
    counts = answers.answer[:, 0].bincount(minlength=len(p))
    assert ((counts - 2000 * p) ** 2 / (2000 * p)).sum() < len(p) + 5 * math.sqrt(2 * len(p))
    torch.testing.assert_close(log_p.exp().double(), p[answers.answer[:20, 0]], atol=1e-4, rtol=0)


# ------------------------------------------------------------------ from rewards to a loss
def masks(lengths):
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def test_gae_equals_its_sum():
    torch.manual_seed(0)
    mask, gamma, lam = masks([5, 1, 3]), 0.9, 0.8
    rewards, values = torch.randn(2, 3, 5).double() * mask
    advantages, returns = ppo.gae(rewards, values, mask, gamma=gamma, lam=lam)
    for i, n in enumerate([5, 1, 3]):
        v = [*values[i, :n].tolist(), 0.0]
        delta = [rewards[i, t].item() + gamma * v[t + 1] - v[t] for t in range(n)]
        for t in range(n):
            expected = sum((gamma * lam) ** (s - t) * delta[s] for s in range(t, n))
            assert advantages[i, t].item() == pytest.approx(expected)
            assert returns[i, t].item() == pytest.approx(expected + v[t])
        assert (advantages[i, n:] == 0).all()


def test_the_score_stands_at_the_last_token():
    mask = masks([3, 1])
    log_p, reference = torch.zeros(2, 3), torch.full((2, 3), -0.5)
    found = ppo.token_rewards(torch.tensor([2.0, 3.0]), log_p, reference, mask, kl=0.2)
    torch.testing.assert_close(found, torch.tensor([[-0.1, -0.1, 1.9], [2.9, 0.0, 0.0]]))


def test_whitening():
    mask = masks([4, 2])
    found = ppo.whiten(torch.randn(2, 4) * 5 + 3, mask)
    assert found[mask].mean().abs() < 1e-5 and found[mask].std(correction=0) == pytest.approx(1)
    assert (found[~mask] == 0).all()


def slow_loss(log_p, value, old, mask, clip, value_clip, weight):
    terms = []
    for i, t in mask.nonzero().tolist():
        rho = math.exp(log_p[i, t] - old["log_p"][i, t])
        a, r = old["advantage"][i, t].item(), old["returns"][i, t].item()
        policy = max(-a * rho, -a * min(max(rho, 1 - clip), 1 + clip))
        v, before = value[i, t].item(), old["value"][i, t].item()
        near = before + min(max(v - before, -value_clip), value_clip)
        terms.append(policy + weight * 0.5 * max((v - r) ** 2, (near - r) ** 2))
    return sum(terms) / len(terms)


def test_the_loss_equals_the_loop_and_its_gradient_finite_differences():
    torch.manual_seed(0)
    mask = masks([4, 2, 3])
    draw = lambda: torch.randn(3, 4).double() * 0.4  # noqa: E731
    log_p, value = draw().requires_grad_(), draw().requires_grad_()
    old = {name: draw() for name in ("log_p", "value", "advantage", "returns")}
    options = dict(clip=0.2, value_clip=0.3, value_weight=0.1)
    loss, parts = ppo.ppo_loss(log_p, value, old, mask, **options)
    with torch.no_grad():
        expected = slow_loss(log_p, value, old, mask, 0.2, 0.3, 0.1)
    assert loss.item() == pytest.approx(expected)
    assert loss.item() == pytest.approx(parts["policy"] + 0.1 * parts["value"])
    assert 0 < parts["clip_fraction"] < 1
    assert torch.autograd.gradcheck(
        lambda p, v: ppo.ppo_loss(p, v, old, mask, **options)[0], (log_p, value)
    )
    loss.backward()
    assert (log_p.grad[~mask] == 0).all()


def test_the_controller_moves_towards_its_target():
    controller = ppo.AdaptiveKL(0.2, target=6.0, horizon=1000)
    controller.update(12.0, answers=100)  # far above: the error is cut at 20 %
    assert controller.coefficient == pytest.approx(0.2 * 1.02)
    controller.update(6.0, answers=100)
    assert controller.coefficient == pytest.approx(0.2 * 1.02)
    controller.update(5.4, answers=100)
    assert controller.coefficient == pytest.approx(0.2 * 1.02 * 0.99)


# ------------------------------------------------------------------ the loop
TASKS = [dict(prompt="the man", anchor="the man", kind="positive")]


def word(target):
    def says(completions, **_):
        return [float(text.split()[:1] == [target]) for text in completions]

    return says


def bandit(folder, **options):
    """One prompt, answers of one token."""
    # Words far enough apart that a hidden state can choose one.
    tiny_models.save(folder, "llama", initializer_range=0.4)
    torch.manual_seed(0)
    policy = ppo.Policy(
        *models.load_generator(folder, device="cpu"), r=8, alpha=16, targets="all-linear"
    )
    log = ppo.train(
        policy, TASKS, [word("dog")], [1.0], max_new_tokens=1, progress=False,
        **dict(steps=60, batch_size=64, mini_batch_size=64, learning_rate=2e-2, kl=0.2) | options,
    )  # fmt: skip
    return policy, log


def chances(policy):
    tokens = policy.tokenizer("the man", return_tensors="pt").input_ids
    with torch.no_grad():
        return policy.model(input_ids=tokens).logits[0, -1].softmax(-1)


def test_a_bandit_with_a_penalty_reaches_the_tilted_reference(tmp_path):
    """The optimum of E[r] − β·KL is π_ref·exp(r/β), normalised: known for one token."""
    beta = 0.5
    policy, log = bandit(tmp_path / "m", kl=beta, patience=200, steps=40)
    dog = policy.tokenizer.convert_tokens_to_ids("dog")
    with policy.adapter_off():
        reference = chances(policy)
    weight = reference.clone()
    weight[dog] *= math.exp(1 / beta)
    optimum = (weight / weight.sum())[dog].item()
    assert optimum > reference[dog] + 0.2
    assert np.mean([entry["says"] for entry in log[-20:]]) == pytest.approx(optimum, abs=0.1)


def test_a_bandit_without_a_penalty_is_solved(tmp_path):
    policy, log = bandit(tmp_path / "m", kl=0.0, steps=25)
    assert log[0]["reward"] < 0.2 and log[-1]["reward"] > 0.75
    dog = policy.tokenizer.convert_tokens_to_ids("dog")
    assert chances(policy)[dog] > 0.8
    assert log[-1]["kl"] > log[0]["kl"] and log[-1]["entropy"] < log[0]["entropy"]
    assert log[0]["kl"] == pytest.approx(0, abs=1e-5)  # the first answers are the reference's own
    assert all(entry["kl_k3"] >= -1e-6 for entry in log)


def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path):
    class Killed(Exception):
        pass

    calls = []

    def says(completions, **_):
        calls.append(1)
        if len(calls) == 8:
            raise Killed
        return [float(text.split()[:1] == ["dog"]) for text in completions]

    options = dict(steps=10, batch_size=16, mini_batch_size=8, save_steps=3, learning_rate=1e-2)
    _, whole = bandit(tmp_path / "a", **options)

    tiny_models.save(tmp_path / "b", "llama", initializer_range=0.4)

    def run():
        torch.manual_seed(0)
        policy = ppo.Policy(
            *models.load_generator(tmp_path / "b", device="cpu"),
            r=8,
            alpha=16,
            targets="all-linear",
        )
        return policy, ppo.train(
            policy, TASKS, [says], [1.0], max_new_tokens=1, progress=False, kl=0.2,
            output_dir=tmp_path / "run", **options,
        )  # fmt: skip

    with pytest.raises(Killed):
        run()
    _, resumed = run()
    assert len(calls) == 8 + 10 - 6  # seven steps done, six of them kept
    assert [e["reward"] for e in resumed] == pytest.approx([e["reward"] for e in whole])
    assert [e["policy_loss"] for e in resumed] == pytest.approx(
        [e["policy_loss"] for e in whole], abs=1e-5
    )
    options["learning_rate"] = 5e-2
    with pytest.raises(ValueError, match="other settings"):
        run()


def test_micro_batches_add_up_to_the_mini_batch(tmp_path):
    logs = [
        bandit(tmp_path / str(m), steps=4, batch_size=16, mini_batch_size=16, micro_batch_size=m)[1]
        for m in (16, 5)
    ]
    for a, b in zip(*logs, strict=True):
        assert a["policy_loss"] == pytest.approx(b["policy_loss"], abs=1e-4)


def test_a_narrow_value_clip_holds_the_values_where_they_were(tmp_path):
    """Of the second pass's two errors the larger counts: that of a value that could not move."""
    options = dict(steps=1, batch_size=16, mini_batch_size=16, epochs=8, learning_rate=5e-2)
    free, held = (
        bandit(tmp_path / str(clip), value_clip=clip, **options)[1][0]["value_loss"]
        for clip in (100.0, 1e-6)
    )
    assert held > free + 1e-3
    with pytest.raises(ValueError, match="value_clip"):
        bandit(tmp_path / "no", value_clip=0.0, **options)


def test_the_precision_of_an_earlier_training_is_not_taken_over(tmp_path):
    """Accelerate shares its state within a process, and an encoder may be trained in bfloat16."""
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState

    options = dict(steps=1, batch_size=16, mini_batch_size=16)
    alone = bandit(tmp_path / "a", **options)[1][0]
    AcceleratorState._reset_state()
    Accelerator(mixed_precision="bf16", cpu=True)
    try:
        after = bandit(tmp_path / "b", **options)[1][0]
    finally:
        AcceleratorState._reset_state()
    assert after == pytest.approx(alone, abs=1e-6)


@pytest.mark.parametrize("said", ["the man", ""])
def test_a_policy_that_only_copies_or_is_silent_is_stopped(tmp_path, monkeypatch, said):
    monkeypatch.setattr(ppo.Policy, "texts", lambda self, answers: [said] * len(answers.mask))
    options = dict(steps=9, batch_size=4, mini_batch_size=4, patience=3)
    with pytest.warns(UserWarning, match="stopped at step 3: for 3 steps every answer was blank"):
        _, log = bandit(tmp_path / "m", **options)
    assert len(log) == 3 and log[-1]["copies"] + log[-1]["blank"] == 1


def test_what_goes_wrong_is_said(tmp_path):
    with pytest.raises(ppo.Stopped, match="step 0; no checkpoint"):
        tiny_models.save(tmp_path / "m", "llama")
        policy = ppo.Policy(*models.load_generator(tmp_path / "m", device="cpu"))
        options = dict(steps=2, batch_size=4, mini_batch_size=4, progress=False)
        nan = lambda completions, **_: [math.nan] * len(completions)  # noqa: E731
        ppo.train(policy, TASKS, [nan], [1.0], **options)
    for tasks, functions, weights, changes, said in [
        ([], [nan], [1], {}, "tasks is empty"),
        ([{"prompt": "x"}], [nan], [1], {}, "no anchor, kind"),
        (TASKS, [nan], [1, 2], {}, "one weight each"),
        (TASKS, [nan], [1], {"mini_batch_size": 3}, "multiple"),
        (TASKS, [nan], [1], {"steps": 0}, "steps"),
        (TASKS, [nan], [1], {"kl": -0.1}, "kl must be 0 or more, or an AdaptiveKL, got -0.1"),
        (TASKS, [nan], [1], {"kl": math.nan}, "kl must be"),
        (TASKS, [nan], [1], {"lam": 1.5}, r"\[0, 1\], got 1.0 and 1.5"),
        (TASKS, [nan], [1], {"temperature": 0.0}, "temperature must be above 0"),
        (TASKS, [nan], [1], {"micro_batch_size": -2}, "micro_batch_size"),
        (TASKS, [nan], [1], {"learning_rate": math.nan}, "learning_rate must be above 0"),
    ]:
        with pytest.raises(ValueError, match=said):
            ppo.train(policy, tasks, functions, weights, **options | changes)
    two = lambda completions, **_: [1.0, 2.0]  # noqa: E731
    with pytest.raises(ppo.Stopped, match=r"step 0: .* shape \(2,\) for 4 answers"):
        ppo.train(policy, TASKS, [two], [1.0], **options)
    with pytest.warns(UserWarning, match="left the language"):
        log = ppo.train(
            policy, TASKS, [word("dog")], [1.0], kl=0.0, kl_limit=0.01, learning_rate=0.1,
            max_new_tokens=2, **options | {"steps": 30, "batch_size": 16},
        )  # fmt: skip
    assert len(log) < 30


def test_a_policy_that_ran_away_is_not_the_one_that_is_kept(tmp_path):
    """Before `patience` steps nothing has earned: the adapter it began with; later, the best."""

    def run(name, **options):
        seen, first = [], []

        def watch(entry, *_):
            seen.append({n: p.clone() for n, p in policies[0].named_parameters() if "lora" in n})

        folder = tiny_models.save(tmp_path / name, "llama", initializer_range=0.4)
        torch.manual_seed(0)
        policies = [ppo.Policy(*models.load_generator(folder, device="cpu"), targets="all-linear")]
        first = {n: p.clone() for n, p in policies[0].named_parameters() if "lora" in n}
        with pytest.warns(UserWarning, match="left the language") as said:
            log = ppo.train(
                policies[0], TASKS, [word("dog")], [1.0], kl=0.0, max_new_tokens=2, on_step=watch,
                batch_size=16, mini_batch_size=8, progress=False, **options,
            )  # fmt: skip
        kept = {n: p for n, p in policies[0].named_parameters() if "lora" in n}
        return log, kept, first, seen, str(said[0].message)

    def equal(a, b):
        return all(torch.equal(a[n], b[n]) for n in b)

    log, kept, first, seen, said = run("early", steps=30, learning_rate=0.1, kl_limit=0.01)
    assert len(log) < 5 and "the adapter it began with is kept" in said
    assert equal(kept, first) and not equal(kept, seen[-1])
    options = dict(steps=30, learning_rate=1e-3, patience=2, kl_limit=1.0)
    log, kept, first, seen, said = run("late", **options)
    assert 2 < len(log) < 30 and "the adapter that earned most is kept" in said
    assert log[-1]["kl"] > 1.0 >= max(entry["kl"] for entry in log[:-1])
    recent = [np.mean([e["reward"] for e in log[i - 1 : i + 1]]) for i in range(1, len(log) - 1)]
    assert equal(kept, seen[1 + int(np.argmax(recent))])


def test_no_library_speaks_of_its_future(tmp_path):
    folder = tiny_models.save(tmp_path / "m", "llama")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        policy = ppo.Policy(*models.load_generator(folder, device="cpu"))
        policy.model.save_pretrained(str(tmp_path / "adapter"))
        ppo.Policy(*models.load_generator(folder, device="cpu"), adapter=tmp_path / "adapter")


def test_what_is_no_number_stops_at_its_step_and_names_the_last_checkpoint(tmp_path, monkeypatch):
    """Judges, logits and gradients, each broken in the third step, after one checkpoint."""
    options = dict(steps=5, batch_size=4, mini_batch_size=4, save_steps=2)

    def stop(name, said):
        with pytest.raises(ppo.Stopped, match=f"{said}.*of step 2, is in"):
            bandit(tmp_path / name, output_dir=tmp_path / f"run {name}", **options)

    def step_three(entry, *_):
        return entry["step"] == 2

    def judge(completions, **_):
        raise ValueError("p_target must be numbers in [0, 1], got nan")

    steps, plain = [], word("dog")

    def says(completions, **columns):
        steps.append(1)
        return (judge if len(steps) == 3 else plain)(completions, **columns)

    with monkeypatch.context() as patch:
        patch.setitem(globals(), "word", lambda _: says)
        stop("judge", "step 2: p_target must be numbers")

    def broken(where):
        """Spoil a weight of the adapter once two steps are done."""

        def spoil(self, log, best):
            save(self, log, best)
            with torch.no_grad():
                next(p for n, p in self.policy.named_parameters() if where in n).fill_(math.nan)

        return spoil

    save = ppo._State.save
    with monkeypatch.context() as patch:
        patch.setattr(ppo._State, "save", broken("down_proj.lora_B"))
        stop("logits", "step 2: a logit is not a number")
    with monkeypatch.context() as patch:
        patch.setattr(ppo._State, "save", broken("value"))
        stop("value", "a log-probability or a value is not a number at step 2")

    clip, calls = nn.utils.clip_grad_norm_, []

    def exploding(parameters, limit):
        calls.append(1)
        norm = clip(parameters, limit)
        return norm * math.inf if len(calls) == 9 else norm  # 4 epochs a step

    with monkeypatch.context() as patch:
        patch.setattr(nn.utils, "clip_grad_norm_", exploding)
        stop("gradient", "the gradient of the loss is not a number at step 2")


def lora_model(kind):
    import transformers

    sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, vocab_size=22)
    kinds = {
        "Phi3": sizes | dict(intermediate_size=32, pad_token_id=0),
        "BioGpt": sizes | dict(intermediate_size=32),
        "GPTNeoX": sizes | dict(intermediate_size=32),
        "Bloom": dict(hidden_size=16, n_layer=1, n_head=2, vocab_size=22),
        "Mpt": dict(d_model=16, n_layers=1, n_heads=2, vocab_size=22),
        "Mamba": dict(hidden_size=16, num_hidden_layers=1, state_size=4, vocab_size=22),
    }
    config = getattr(transformers, f"{kind}Config")(**kinds[kind])
    return getattr(transformers, f"{kind}ForCausalLM")(config)


@pytest.mark.parametrize(
    "kind, layers",
    {"GPTNeoX": ["query_key_value"], "Bloom": ["query_key_value"], "Mpt": ["Wqkv"],
     "BioGpt": ["q_proj", "v_proj"]}.items(),
)  # fmt: skip
def test_lora_takes_queries_and_values_by_whatever_name(kind, layers):
    assert ppo.lora_layers(lora_model(kind)) == layers


@pytest.mark.parametrize("kind, layer", [("Phi3", "qkv_proj"), ("Mamba", "in_proj")])
def test_without_default_layers_the_names_are_offered(kind, layer):
    model = lora_model(kind)
    for given in (None, ["q_proj"], ["proj"], []):
        with pytest.raises(ValueError, match=f"{layer}.*all-linear.*--targets") as caught:
            ppo.lora_layers(model, given)
        assert "\n" not in str(caught.value) and "lm_head" not in str(caught.value)
    tokenizer = tiny_models.tokenizer("causal")
    tokenizer.pad_token = "</s>"
    for given in ((layer,), [layer], layer, "all-linear", ("all-linear",)):
        policy = ppo.Policy(lora_model(kind), tokenizer, targets=given)
        adapted = {n.split(".lora_A")[0] for n, _ in policy.named_parameters() if "lora_A" in n}
        assert any(name.endswith(layer) for name in adapted)
        assert (len(adapted) > 1) == ("all-linear" in given)


def test_less_memory_means_smaller_passes_said_once(tmp_path, monkeypatch):
    options = dict(steps=2, batch_size=16, mini_batch_size=8, micro_batch_size=8)
    roomy = bandit(tmp_path / "a", **options)[1]
    forward, sizes = ppo.Policy.forward, []

    def tight(self, answers, *rest):
        sizes.append(len(answers.mask))
        if len(answers.mask) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return forward(self, answers, *rest)

    monkeypatch.setattr(ppo.Policy, "forward", tight)
    with pytest.warns(UserWarning, match="out of memory: from here 2 answers") as said:
        log = bandit(tmp_path / "b", **options)[1]
    assert sum("out of memory" in str(w.message) for w in said) == 1
    assert [size for size in sizes if size > 3] == [8, 4]
    for a, b in zip(log, roomy, strict=True):
        assert a == pytest.approx(b, abs=1e-4)

    def none(self, answers, *rest):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(ppo.Policy, "forward", none)
    with pytest.raises(torch.OutOfMemoryError):
        bandit(tmp_path / "c", **options)


def test_memory_that_ends_within_a_mini_batch_leaves_no_gradient_behind(policy, monkeypatch):
    torch.manual_seed(3)
    answers = policy.write(PROMPTS, max_new_tokens=6)
    with torch.no_grad():
        log_p, _, value = policy(answers)
    old = dict(log_p=log_p, value=value, returns=value + 1, advantage=torch.randn_like(value))
    rest = (policy, answers, old, [0, 1, 2, 3], 1.0, contextlib.nullcontext, 0.2, 0.2, 0.1)

    whole = ppo._gradients(*rest, 4)
    expected, loss, calls = gradients(policy), ppo.ppo_loss, []

    def tight(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:  # the first half of the mini-batch has left its gradient
            raise torch.OutOfMemoryError("out of memory")
        return loss(*arguments, **options)

    monkeypatch.setattr(ppo, "ppo_loss", tight)
    with pytest.warns(UserWarning, match="from here 1 answers"):
        found, micro = memory.fitting(partial(ppo._gradients, *rest), 2, "answers a forward pass")
    assert micro == 1 and found == pytest.approx(whole, abs=1e-5)
    for a, b in zip(gradients(policy), expected, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_watcher_sees_every_step(tmp_path):
    seen = []
    options = dict(steps=3, batch_size=8, mini_batch_size=8)
    log = bandit(tmp_path / "m", on_step=lambda *what: seen.append(what), **options)[1]
    assert [entry for entry, _, _ in seen] == log
    for _, tasks, texts in seen:
        assert len(tasks) == len(texts) == 8 and tasks[0]["anchor"] == "the man"


def test_a_checkpoint_of_another_penalty_is_refused(tmp_path):
    options = dict(steps=2, batch_size=4, mini_batch_size=4, output_dir=tmp_path / "run")
    bandit(tmp_path / "a", **options)
    with pytest.raises(ValueError, match=r"other settings \(kl 0.2 → 0.3\)"):
        bandit(tmp_path / "b", kl=0.3, **options)


# ------------------------------------------------------------------ several processes
PROGRAM = """
import os, sys
sys.path.insert(0, {tests!r})
import contextlib, torch
from accelerate import PartialState
from safetensors.torch import save_file
from test_ppo import TASKS, fixed, gradients, word
from synthlib import decoding, memory, models, ppo
rank = int(os.environ["RANK"])
PartialState(cpu=True)
policy, rest, mask = fixed({folder!r})
mine = [[0, 3], [1, 2]][rank]  # of unequal lengths
ppo._gradients(policy, *rest[:2], mine, *rest[2:], 1)
ppo._average([p for p in policy.parameters() if p.requires_grad], mask[mine].sum())
found = {{f"gradient{{i}}": g for i, g in enumerate(gradients(policy))}}
torch.manual_seed(rank)  # first adapters that differ
policy = ppo.Policy(*models.load_generator({folder!r}, device="cpu"), r=4, alpha=8)
log = ppo.train(
    policy, TASKS, [word("dog")], [1.0], steps=3, batch_size=8, mini_batch_size=4, epochs=2,
    max_new_tokens=2, learning_rate=1e-2, output_dir={out!r} + "/run", progress=False,
)
found |= {{f"weight{{i}}": p.data for i, p in enumerate(policy.parameters()) if p.requires_grad}}
found["log"] = torch.tensor([list(entry.values()) for entry in log])
save_file(found, {out!r} + f"/{{rank}}.safetensors")
"""


def fixed(folder):
    """A policy, four answers of its own with what PPO needs of them, and their mask."""
    torch.manual_seed(1)
    policy = ppo.Policy(*models.load_generator(folder, device="cpu"), r=4, alpha=8)
    torch.manual_seed(3)
    answers = policy.write(PROMPTS, max_new_tokens=6)
    with torch.no_grad():
        log_p, _, value = policy(answers)
    old = dict(log_p=log_p, value=value, returns=value + 1, advantage=torch.randn_like(value))
    return policy, (answers, old, 1.0, contextlib.nullcontext, 0.2, 0.2, 0.1), answers.mask


def gradients(policy):
    return [p.grad.clone() for p in policy.parameters() if p.requires_grad]


def test_two_processes_train_one_policy(tmp_path):
    folder = str(tiny_models.save(tmp_path / "m", "llama", initializer_range=0.4))
    policy, rest, mask = fixed(folder)
    assert len(set(mask.sum(1).tolist())) > 1
    ppo._gradients(policy, *rest[:2], [0, 1, 2, 3], *rest[2:], 4)
    tests = os.path.dirname(__file__)
    program = PROGRAM.format(tests=tests, folder=folder, out=str(tmp_path))
    (tmp_path / "program.py").write_text(program)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = os.environ | {"PYTHONPATH": os.path.dirname(tests), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*launch, str(tmp_path / "program.py")], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in (0, 1))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name])
    for i, gradient in enumerate(gradients(policy)):
        torch.testing.assert_close(first[f"gradient{i}"], gradient, atol=1e-5, rtol=1e-3)
    assert len(json.loads((tmp_path / "run" / "ppo.json").read_text())["log"]) == 3
