"""PPO for a language model that writes one answer to one prompt (ART § 3.2.1, Eq. 1).

The environment is a bandit: a prompt comes in, the policy writes an answer, a reward comes back and
the episode ends. The policy is a frozen model with a LoRA adapter; the reference that it may not
drift from is the same model with the adapter off, so one model is in memory. A linear value head on
the policy's last hidden states predicts the reward.

The file reads in the order of a step: `Policy` (write, and score what was written),
`token_rewards` (the reward at the last token, the KL penalty at each), `gae`, `ppo_loss`, `train`.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from synthlib import answers as reading
from synthlib import curation, decoding, memory, models, tokens
from synthlib import prompts as asking

_PASSES = "answers a forward pass"  # what memory.fitting counts


class Stopped(RuntimeError):
    """Training cannot go on; the message names the step and the last good checkpoint."""


class Answers(NamedTuple):
    """A batch of prompts with their answers, as token ids.

    prompt, prompt_mask : [B, P], padded on the left for causal models, on the right for T5
    answer, mask : [B, T], padded on the right; the end token belongs to the answer
    """

    prompt: torch.Tensor
    prompt_mask: torch.Tensor
    answer: torch.Tensor
    mask: torch.Tensor

    def rows(self, index) -> Answers:
        return Answers(*(part[index] for part in self))


# ------------------------------------------------------------------ the policy
class Policy(nn.Module):
    """A generator with a LoRA adapter and a value head.

    Parameters
    ----------
    model, tokenizer
        Causal (Llama, GPT-2, …) or encoder–decoder (T5). Its own weights stay frozen.
    r, alpha : int
        Rank and scale of the adapter (the paper: 16 and 32).
    targets : sequence of str or "all-linear", optional
        Names of the layers that are adapted; default: queries and values of the attention, as in
        the released code (see `lora_layers`).
    adapter : folder, optional
        Start from the adapter that was saved there.

    Dropout stays off in every pass, so that the ratio of new to old probability starts at 1.

    Source: ART § 3.2.1, § 4.1.2.
    """

    def __init__(self, model, tokenizer, *, r=16, alpha=32, targets=None, adapter=None):
        from peft import LoraConfig, PeftModel, get_peft_model

        super().__init__()
        self.seq2seq = bool(model.config.is_encoder_decoder)
        with models.adapting():
            if adapter is not None:
                self.model = PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
            else:
                task = "SEQ_2_SEQ_LM" if self.seq2seq else "CAUSAL_LM"
                names = lora_layers(model, targets)
                config = LoraConfig(task_type=task, r=r, lora_alpha=alpha, target_modules=names)
                self.model = get_peft_model(model, config)
        self.tokenizer = tokenizer
        self.pad = decoding.pad_id(tokenizer)
        width = getattr(model.config, "hidden_size", None) or model.config.d_model
        self.value = nn.Linear(width, 1, device=model.device)  # in float32 whatever the model is
        nn.init.zeros_(self.value.weight), nn.init.zeros_(self.value.bias)
        self.eval()

    @property
    def device(self):
        return self.value.weight.device

    def adapter_off(self):
        """Within this context the policy is its own reference model."""
        return self.model.disable_adapter()

    @torch.no_grad()
    def write(self, prompts: Sequence[str], *, max_new_tokens: int, temperature=1.0) -> Answers:
        """Sample an answer to every prompt from the distribution that `forward` scores.

        That is softmax(logits / temperature) over the whole vocabulary. Of the model's
        generation_config only the end tokens, and the tokens that an encoder–decoder's texts begin
        with, count here: a penalty or a cut of improbable tokens (top_k, top_p) would make the
        ratios of `ppo_loss` those of another policy. Draws are from torch's global generator. Where
        memory runs out fewer answers are drawn at a time: others, from the same distribution, and
        the same ones each time.
        """
        rows = decoding.tokenize(
            self.model, self.tokenizer, [[p] for p in prompts], [0], max_new_tokens
        )
        prompt, prompt_mask = _padded(
            [torch.tensor(rows[p]) for p in prompts], self.pad, left=not self.seq2seq
        )
        form = asking.form_of(self.model, self.tokenizer)
        ends = tokens.end_ids(self.model, self.tokenizer) | asking.end_ids(self.tokenizer, form)
        ends = sorted(ends)
        ends = torch.tensor(ends, dtype=torch.long, device=self.device)
        way = decoding.way_of(self.model, self.tokenizer, rows.values(), max_new_tokens)

        def draw(prompts):
            distinct = list(dict.fromkeys(prompts))
            place = {text: u for u, text in enumerate(distinct)}
            answer, ended = [], torch.zeros(len(prompts), dtype=torch.bool, device=self.device)
            read = decoding.read_prompts(self.model, [rows[p] for p in distinct], self.pad, way)
            running = decoding.Running(self.model, read, [place[p] for p in prompts])
            for step in range(max_new_tokens):
                if step:
                    running.advance(answer[-1])
                p = (running.logits / temperature).softmax(-1)
                answer.append(torch.multinomial(p, 1).squeeze(1).masked_fill(ended, self.pad))
                ended = ended | torch.isin(answer[-1], ends)
                if ended.all():
                    break
            return torch.stack(answer)  # [T, n]

        try:
            parts = [part for _, part in memory.batches(
                draw, prompts, len(prompts), "answers at a time", model=self.model
            )]  # fmt: skip
        except decoding.NotNumbers:
            raise Stopped("a logit is not a number") from None
        size = max(map(len, parts))
        parts = [nn.functional.pad(x, (0, 0, 0, size - len(x)), value=self.pad) for x in parts]
        answer = torch.cat(parts, dim=1).T
        # An answer goes on to its first end token, which it includes; pads follow.
        is_end = torch.isin(answer, ends)
        mask = (is_end.cumsum(1) - is_end.long()) == 0
        answer = answer.masked_fill(~mask, self.pad)
        return Answers(prompt.to(self.device), prompt_mask.to(self.device), answer, mask)

    def texts(self, answers: Answers) -> list[str]:
        """What is judged of answers: in the forms that read them the sentence (`answers.read`)."""
        rows = [a[m] for a, m in zip(answers.answer.cpu(), answers.mask.cpu(), strict=True)]
        texts = [t.strip() for t in self.tokenizer.batch_decode(rows, skip_special_tokens=True)]
        read = reading.reader(asking.form_of(self.model, self.tokenizer))
        return texts if read is None else [read(text) for text in texts]

    def forward(self, answers: Answers, temperature=1.0):
        """Log-probability and value of each answer token, and the entropy where it was chosen.

        Returns
        -------
        log_p, entropy, value : float32 tensors [B, T]
            Where ``answers.mask`` is False they mean nothing.
        """
        length = answers.answer.shape[1]
        padded = decoding.way_of(self.model, self.tokenizer, answers.prompt, length).padded
        if not padded and len(answers.mask) > 1:  # one by one, each without its padding
            return _in_parts(self, answers, temperature, 1)
        prompt, prompt_mask = answers.prompt, answers.prompt_mask
        if not padded:
            own = prompt_mask[0] == 1
            prompt, prompt_mask = prompt[:, own], prompt_mask[:, own]
        known = decoding.forward_options(self.model)
        options = {"use_cache": False} if "use_cache" in known else {}  # no token follows
        if self.seq2seq:
            start = torch.tensor([decoding.decoder_start(self.model)])
            start = memory.moved(start, self.device).expand(len(prompt), -1)
            out = self.model(
                input_ids=prompt, attention_mask=prompt_mask, output_hidden_states=True,
                decoder_input_ids=torch.cat([start, answers.answer[:, :-1]], dim=1), **options,
            )  # fmt: skip
            logits, hidden = out.logits[:, -length:], out.decoder_hidden_states[-1][:, -length:]
        else:
            mask = torch.cat([prompt_mask, answers.mask.long()], dim=1)
            if padded:
                options["attention_mask"] = mask
            if padded and "position_ids" in known:
                options["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
            if "logits_to_keep" in known:
                options["logits_to_keep"] = length + 1
            ids = torch.cat([prompt, answers.answer], dim=1)
            out = self.model(input_ids=ids, output_hidden_states=True, **options)
            # The logits before a token are the ones that it was chosen from.
            logits = out.logits[:, -length - 1 : -1]
            hidden = out.hidden_states[-1][:, -length - 1 : -1]
        return self._scores(logits, hidden, answers, temperature)

    def _scores(self, logits, hidden, answers, temperature):
        log_p = (logits.float() / temperature).log_softmax(-1)  # [B, T, V]
        entropy = -(log_p.exp() * log_p).sum(-1)
        chosen = log_p.gather(-1, answers.answer[..., None]).squeeze(-1)
        return chosen, entropy, self.value(hidden.float()).squeeze(-1)


class SharedPolicy(Policy):
    """A `Policy` whose passes read what the prompts of a batch begin with once, for all of them.

    With worked examples most of a prompt is the same for every anchor. Each distinct beginning
    (`decoding.beginnings`) is read in a pass of its own, and its keys and values go to all of its
    prompts; on the way back their gradients add up in it. Numbers are those of `Policy` but for
    rounding. Where a model allows no such thing (by trial, `decoding.way_of`), and where nothing is
    to be shared, it is `Policy`. To find what is shared each pass reads the prompts' tokens, for
    which a GPU is waited for.
    """

    def forward(self, answers: Answers, temperature=1.0):
        """As `Policy.forward`."""
        length = answers.answer.shape[1]
        way = decoding.way_of(self.model, self.tokenizer, answers.prompt, length)
        known = decoding.forward_options(self.model)
        able = way.shared and way.padded and not self.seq2seq
        if not able or not {"past_key_values", "logits_to_keep", "position_ids"} <= set(known):
            return super().forward(answers, temperature)
        prompts = [
            list(itertools.compress(row, own))
            for row, own in zip(answers.prompt.tolist(), answers.prompt_mask.tolist(), strict=True)
        ]
        begins = decoding.beginnings(prompts)
        if not any(begins):
            return super().forward(answers, temperature)
        heads = [tuple(p[:n]) for p, n in zip(prompts, begins, strict=True)]
        distinct = list(dict.fromkeys(filter(None, heads)))
        read, read_mask = self._left(distinct)
        out = self.model(
            input_ids=read, attention_mask=read_mask, use_cache=True, logits_to_keep=1,
            position_ids=(read_mask.cumsum(1) - 1).clamp(min=0),
        )  # fmt: skip
        # A prompt without a beginning gets another's, masked out.
        place = torch.tensor([distinct.index(head) if head else 0 for head in heads])
        place = memory.moved(place, self.device)
        cache = out.past_key_values
        cache.reorder_cache(place)
        rest, rest_mask = self._left([p[n:] for p, n in zip(prompts, begins, strict=True)])
        own = memory.moved(torch.tensor([[n > 0] for n in begins]), self.device).long()
        mask = torch.cat([read_mask[place] * own, rest_mask, answers.mask.long()], dim=1)
        ids = torch.cat([rest, answers.answer], dim=1)
        out = self.model(
            input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :],
            output_hidden_states=True, logits_to_keep=length + 1,
        )  # fmt: skip
        before = slice(-length - 1, -1)  # the logits before a token are those it was chosen from
        logits, hidden = out.logits[:, before], out.hidden_states[-1][:, before]
        return self._scores(logits, hidden, answers, temperature)

    def _left(self, rows):
        ids, mask = _padded([torch.tensor(row) for row in rows], self.pad, left=True)
        return ids.to(self.device), mask.to(self.device)


def lora_layers(model, targets=None):
    """What LoRA adapts in a model, as peft wants it.

    Parameters
    ----------
    model
    targets : sequence of str, or "all-linear", optional
        Names of layers. Default: what peft takes for this architecture, else its queries and
        values, where they are layers of their own.

    Raises
    ------
    ValueError
        For a name that no layer has, and where there is no default.
    """
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as known

    kind = model.config.model_type
    layers = [name for name, _ in model.named_modules()]
    linear = sorted({
        name.rpartition(".")[2] for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not model.get_output_embeddings()
    })  # fmt: skip
    if "mamba" in kind:  # its scan reads this layer's weight as it is, so peft refuses it
        linear.remove("out_proj")
    if targets in ("all-linear", ["all-linear"], ("all-linear",)):
        return linear if "mamba" in kind else "all-linear"
    offer = f"give names among {', '.join(linear)}, or all-linear (on the command line --targets)"
    if targets is None:
        if kind in known:
            return known[kind]
        if {"q_proj", "v_proj"} <= set(linear):
            return ["q_proj", "v_proj"]
        raise ValueError(f"a {kind} has no layers that LoRA takes by default: {offer}")
    names = [targets] if isinstance(targets, str) else list(targets)
    absent = [t for t in names if not any(f".{name}".endswith(f".{t}") for name in layers)]
    if absent or not names:
        raise ValueError(f"a {kind} has no layer {', '.join(absent) or 'of no name'}: {offer}")
    return names


# ------------------------------------------------------------------ from rewards to a loss
def token_rewards(scores, log_p, reference_log_p, mask, *, kl):
    """−β·(log π − log π_ref) at every token, and the answer's score at its last one.

    Parameters
    ----------
    scores : tensor [B]
        The reward of each answer.
    log_p, reference_log_p : tensors [B, T]
        Of the tokens under the policy that wrote them, and under the reference.
    mask : bool tensor [B, T]
        Which tokens belong to the answer.
    kl : float ≥ 0
        β, the coefficient of the penalty.

    Returns
    -------
    tensor [B, T]

    Source: ART Eq. 1, per token as § 3.2.1 says (Ziegler et al., 2019, § 2.1).
    """
    rewards = -kl * (log_p - reference_log_p) * mask
    last = mask.long().cumsum(1).argmax(1)  # the last True: the first place of the greatest count
    rewards[torch.arange(len(scores), device=last.device), last] += scores
    return rewards


def gae(rewards, values, mask, *, gamma=1.0, lam=0.95):
    """Generalised advantage estimation, and the returns that the value head learns.

    ::

        δ_t = r_t + γ·V_{t+1} − V_t        A_t = δ_t + γλ·A_{t+1}        R_t = A_t + V_t

    with V and A zero behind the end of an answer.

    Parameters
    ----------
    rewards, values : tensors [B, T]
    mask : bool tensor [B, T]
    gamma, lam : float in [0, 1]

    Returns
    -------
    advantages, returns : tensors [B, T]

    Source: Schulman et al. (2016), Eqs. 11 and 16; γ and λ as in the released code.
    """
    values = values * mask
    advantages, later = torch.zeros_like(rewards), torch.zeros_like(rewards[:, 0])
    for t in reversed(range(rewards.shape[1])):
        following = values[:, t + 1] if t + 1 < values.shape[1] else 0.0
        delta = rewards[:, t] + gamma * following - values[:, t]
        later = (delta + gamma * lam * later) * mask[:, t]
        advantages[:, t] = later
    return advantages, advantages + values


def whiten(x, mask, *, places=None):
    """Mean 0 and standard deviation 1 over the entries that count; 0 elsewhere.

    `places`, where they are known, are those of the entries in the flattened `x`.
    """
    counted = _counted(x, mask if places is None else places)
    spread = counted.std(correction=0)
    return torch.where(mask, (x - counted.mean()) / (spread + 1e-8), 0.0)


def ppo_loss(log_p, value, old, mask, *, clip=0.2, value_clip=0.2, value_weight=0.1, read=True):
    """The clipped objective and the clipped value loss, both to be minimised.

    ::

        ρ = exp(log π − log π_old)
        policy = mean max(−A·ρ, −A·clip(ρ, 1 − ε, 1 + ε))
        value  = ½ mean max((V − R)², (V_old + clip(V − V_old, −ε_v, ε_v) − R)²)

    Parameters
    ----------
    log_p, value : tensors [B, T]
        Under the weights that are trained.
    old : mapping with log_p, value, advantage, returns, each [B, T]
        As they were when the answers were written.
    mask : bool tensor [B, T], or int tensor [tokens]
        Which tokens count; or their places in the flattened [B·T], for which nobody has to look.
    clip, value_clip : float > 0
        ε and ε_v.
    value_weight : float
    read : bool
        False leaves the parts on the device, so that a GPU is not waited for.

    Returns
    -------
    loss : scalar tensor, policy + value_weight · value
    parts : dict of float
        policy, value, clip_fraction (share of tokens whose ratio was clipped).

    Source: Schulman et al. (2017), Eqs. 7 and 9; coefficients as in the released code.
    """
    ratio = torch.exp(log_p - old["log_p"])
    advantage = old["advantage"]
    free, clipped = -advantage * ratio, -advantage * ratio.clamp(1 - clip, 1 + clip)
    policy = _counted(torch.maximum(free, clipped), mask).mean()
    near = old["value"] + (value - old["value"]).clamp(-value_clip, value_clip)
    error = torch.maximum((value - old["returns"]) ** 2, (near - old["returns"]) ** 2)
    fit = 0.5 * _counted(error, mask).mean()
    stopped = _counted(clipped > free, mask).float().mean()
    parts = {"policy": policy.detach(), "value": fit.detach(), "clip_fraction": stopped}
    if read:
        parts = {name: part.item() for name, part in parts.items()}
    return policy + value_weight * fit, parts


def _counted(x, mask):
    """The entries of x [B, T] that count: by a mask, or by their places in the flattened x."""
    return x[mask] if mask.dtype == torch.bool else x.flatten()[mask]


class AdaptiveKL:
    """A KL coefficient that is raised while the KL is above its target, and lowered below it.

    Parameters
    ----------
    coefficient : float > 0
        β at the start.
    target : float > 0
        Wanted KL of an answer, in nats summed over its tokens (the released code: 6).
    horizon : float
        Answers after which a steady error of 20 % has changed β by 20 %.

    Source: Ziegler et al. (2019), § 2.2; ART's released code.
    """

    def __init__(self, coefficient, target=6.0, horizon=10_000):
        self.coefficient, self.target, self.horizon = coefficient, target, horizon

    def update(self, kl: float, answers: int) -> None:
        error = min(max(kl / self.target - 1, -0.2), 0.2)
        self.coefficient *= 1 + error * answers / self.horizon


# ------------------------------------------------------------------ the loop
def train(
    policy: Policy,
    tasks: Sequence[Mapping],
    reward_funcs: Sequence[Callable],
    reward_weights: Sequence[float],
    *,
    steps: int,
    batch_size: int = 32,
    mini_batch_size: int = 8,
    micro_batch_size: int | None = None,
    epochs: int = 4,
    learning_rate: float = 1.41e-5,
    kl: float | AdaptiveKL = 0.2,
    kl_limit: float = 50.0,
    max_new_tokens: int = 48,
    temperature: float = 1.0,
    gamma: float = 1.0,
    lam: float = 0.95,
    clip: float = 0.2,
    value_clip: float = 0.2,
    value_weight: float = 0.1,
    patience: int = 5,
    seed: int = 0,
    precision: str | None = None,
    output_dir: str | Path | None = None,
    save_steps: int = 20,
    on_step: Callable | None = None,
    progress: bool = True,
) -> list[dict]:
    """Tune a policy towards a reward, in place; it ends with the adapter that earned most.

    A step: draw `batch_size` tasks, write an answer to each, reward them, and take `epochs` passes
    of `ppo_loss` over them in mini-batches. Any number of processes (`accelerate launch`) share a
    step's tasks and average their gradients.

    Parameters
    ----------
    policy : Policy
    tasks : sequence of mappings
        Each with "prompt", "anchor" and "kind"; other keys go to the reward functions too. Both
        kinds may stand in one batch. They are shuffled anew for every pass over them.
    reward_funcs : sequence of functions
        ``f(completions=…, anchor=…, kind=…, prompts=…, **other columns) -> n floats``, as
        `rewards.reward_functions` gives and as TRL's trainers take.
    reward_weights : sequence of float
        Weights of their sum (ART Eq. 4).
    steps : int
    batch_size, mini_batch_size : int
        Answers of a step and of an update, all processes together.
    micro_batch_size : int, optional
        Answers of one forward pass; gradients add up over a mini-batch. Where memory runs out it
        is halved until they fit, and a warning says so once.
    epochs : int
        Passes over a step's answers.
    learning_rate : float
        Of AdamW at the start; it falls along a half cosine to 0.
    kl : float or AdaptiveKL
        β of the penalty: fixed, or steered towards a target.
    kl_limit : float
        Training stops early, with a warning, when an answer's mean KL from the reference exceeds
        this many nats. The policy of that step is not kept, whatever it has earned.
    max_new_tokens, temperature
        Of the answers.
    gamma, lam, clip, value_clip, value_weight
        Of `gae` and `ppo_loss`.
    patience : int
        Steps whose mean reward decides which adapter is the best one.
    seed : int
        Of the order of tasks, the answers and the mini-batches.
    precision : {"fp32", "bf16", "fp16"}, optional
        Of the passes. Default: what this device computes fast, `models.training_precision`; a run
        that goes on keeps the one it began with. In float16 the loss is scaled up before the
        gradient is taken (a token's share of it would be rounded to 0), and a mini-batch whose
        gradient overflows is left out while the scale adapts.
    output_dir : folder, optional
        For a checkpoint every `save_steps`; the same call goes on from the last one.
    save_steps : int
    on_step : function, optional
        Called after each step with its entry of the log, its tasks and the texts of the answers
        (this process's share): to watch, not to steer.
    progress : bool

    Returns
    -------
    list of dict, one a step
        step, reward, each reward function's mean by its name, kl (nats an answer), kl_k3 (the
        always positive estimate, per token), beta, entropy, clip_fraction, explained_variance,
        policy_loss, value_loss, length (tokens), copies and blank (shares of answers).

    Raises
    ------
    ValueError
        For an option out of range, a task without its keys, an output folder with another run.
    Stopped
        When a reward, a logit, the loss or its gradient is not a number.

    Source: ART § 3.2.1; loop and defaults as in the authors' released code.
    """
    from accelerate import PartialState
    from accelerate.utils import broadcast
    from tqdm.auto import tqdm

    # On a machine without a GPU accelerate takes several processes for one each, if not told.
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    everyone = PartialState(cpu=several and policy.device.type == "cpu")
    ranks, rank = everyone.num_processes, everyone.process_index
    _check(
        tasks, reward_funcs, reward_weights, ranks, kl, gamma, lam,
        steps=steps, batch_size=batch_size, mini_batch_size=mini_batch_size, epochs=epochs,
        micro_batch_size=micro_batch_size or mini_batch_size, save_steps=save_steps,
        patience=patience, learning_rate=learning_rate, temperature=temperature, clip=clip,
        value_clip=value_clip, kl_limit=kl_limit,
    )  # fmt: skip
    # Not accelerate's autocast: the precision of whoever trained before in this process would be
    # ours too, for it is kept in a state that all its objects share.
    precision = models.training_precision(
        policy.device, precision or _precision_of(output_dir),
        model_type=policy.model.config.model_type,
    )  # fmt: skip
    passes_in = functools.partial(models.autocast, policy.device, precision)
    scaler = torch.amp.GradScaler(policy.device.type, enabled=precision == "fp16")
    controller = kl if isinstance(kl, AdaptiveKL) else None
    trained = [p for p in policy.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=learning_rate, weight_decay=0.0)
    state = _State(policy, optimizer, scaler, controller, output_dir, dict(
        steps=steps, batch_size=batch_size, mini_batch_size=mini_batch_size, epochs=epochs,
        learning_rate=learning_rate, seed=seed, tasks=len(tasks), weights=list(reward_weights),
        kl="adaptive" if controller else kl, max_new_tokens=max_new_tokens,
        temperature=temperature, gamma=gamma, lam=lam, clip=clip, value_clip=value_clip,
        value_weight=value_weight, precision=precision,
    ))  # fmt: skip
    log, best = state.load()
    if ranks > 1:  # whatever each process drew for its first adapter, they start from one
        for parameter in trained:
            parameter.data = broadcast(parameter.data, from_process=0)
    micro = micro_batch_size or mini_batch_size
    best["adapter"] = best["adapter"] or _adapter(policy)  # until one has earned something

    how = temperature, passes_in, clip, value_clip, value_weight

    def refuse(what):
        raise Stopped(f"{what} is not a number at step {step}; {state.last_good()}")

    bar = tqdm(total=steps, initial=len(log), desc="PPO", disable=not progress or rank > 0)
    for step in range(len(log), steps):
        mine = _drawn(tasks, step, batch_size, seed)[rank::ranks]
        torch.manual_seed(seed * 1_000_003 + step * 1_009 + rank)
        try:
            answers, texts, parts = _answered(
                policy, mine, reward_funcs, max_new_tokens=max_new_tokens, temperature=temperature
            )
        except (Stopped, ValueError) as error:  # of NaN, judges say what they were given
            raise Stopped(f"step {step}: {error}; {state.last_good()}") from error
        scores = sum(w * part for w, part in zip(reward_weights, parts, strict=True))

        (log_p, entropy, value, reference), micro = _scored(
            policy, answers, temperature, passes_in, micro
        )
        mask = answers.mask
        passed = torch.stack([log_p, reference, value]).masked_fill(~mask, 0.0)
        unsound = _unsound(scores, passed)
        *lengths, no_reward, no_value = _read(torch.cat([mask.sum(1), unsound.long()]))
        if no_reward or no_value:
            refuse("a reward" if no_reward else "a log-probability or a value")
        places = memory.moved(_places(lengths, mask.shape[1]), policy.device)

        beta = controller.coefficient if controller else kl
        rewards = token_rewards(scores, log_p, reference, mask, kl=beta)
        advantage, returns = gae(rewards, value, mask, gamma=gamma, lam=lam)
        old = dict(
            log_p=log_p, value=value, returns=returns,
            advantage=_whiten_over_processes(advantage, mask, ranks, places),
        )  # fmt: skip

        for group in optimizer.param_groups:
            group["lr"] = learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))
        before = [p.detach().clone() for p in trained]
        losses, norms, micro = _updated(
            policy, optimizer, scaler, answers, old, lengths, how, micro,
            epochs=epochs, size=mini_batch_size // ranks, ranks=ranks,
        )  # fmt: skip

        found = _measured(
            mine, texts, mask, places, scores, parts, reward_funcs, log_p, reference, entropy,
            value, returns,
        )  # fmt: skip
        found |= zip(("policy_loss", "value_loss", "clip_fraction"), losses, strict=True)
        means = _over_processes(torch.stack([x.float() for x in found.values()]), "mean")
        *means, no_gradient = _read(torch.cat([means, _unsound(norms)]))
        if no_gradient:
            with torch.no_grad():
                torch._foreach_copy_(trained, before)
            refuse("the gradient of the loss")
        entry = {"step": step + 1} | dict(zip(found, means, strict=True)) | {"beta": beta}
        log.append(entry)
        if on_step:
            on_step(entry, mine, texts)
        recent = float(np.mean([e["reward"] for e in log[-patience:]]))
        away = entry["kl"] > kl_limit
        if not away and len(log) >= min(patience, steps) and recent > best["reward"]:
            best = {"reward": recent, "step": step + 1, "adapter": _adapter(policy)}
        if controller:
            controller.update(entry["kl"], batch_size)
        bar.set_postfix(reward=f"{entry['reward']:.3f}", kl=f"{entry['kl']:.2f}")
        bar.update()
        why = _why_stopped(log, kl_limit, patience, best)
        if why:
            warnings.warn(f"stopped at step {step + 1}: {why}", stacklevel=2)
            break
        if output_dir and ((step + 1) % save_steps == 0 or step + 1 == steps) and rank == 0:
            state.save(log, best)
    bar.close()
    _restore(policy, best["adapter"])
    return log


# ------------------------------------------------------------------ the parts of a step
def _answered(policy, tasks, functions, **how):
    """An answer to each task, as tokens and as text, and what each reward function says of them."""
    prompts = [task["prompt"] for task in tasks]
    columns = {key: [task[key] for task in tasks] for key in tasks[0] if key != "prompt"}
    answers = policy.write(prompts, **how)
    texts = policy.texts(answers)
    parts = [
        _rewards(f, policy.device, completions=texts, prompts=prompts, **columns)
        for f in functions
    ]  # fmt: skip
    return answers, texts, parts


@torch.no_grad()
def _scored(policy, answers, temperature, precision, micro):
    """Log-probability, entropy and value of each token, and its log-probability under the
    reference; with the number of answers that one pass has taken."""
    with precision():
        passes = functools.partial(_in_parts, policy, answers, temperature)
        own, micro = memory.fitting(passes, micro, _PASSES)
        with policy.adapter_off():
            (reference, _, _), micro = memory.fitting(passes, micro, _PASSES)
    return (*own, reference), micro


def _updated(
    policy, optimizer, scaler, answers, old, lengths, how, micro, *, epochs, size, ranks
):  # fmt: skip
    """The passes of a step over its answers, in mini-batches of `size` a process.

    Until the step is done nothing is asked of a GPU, float16's scale but for: all its work is given
    to it, and the numbers are read at once.

    Returns
    -------
    means : tensor [3]
        Of the parts of the loss: policy, value, share of tokens whose ratio was clipped.
    norms : tensor
        Of the gradients that count.
    micro : int
        Answers that one pass has taken.
    """
    (trained,) = (group["params"] for group in optimizer.param_groups)
    losses, norms = [], [torch.zeros((), device=policy.device)]
    for _ in range(epochs):
        order = torch.randperm(len(lengths)).tolist()
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            gradients = functools.partial(
                _gradients, policy, answers, old, rows, *how, scale=scaler.scale, lengths=lengths,
                read=False,
            )  # fmt: skip
            found, micro = memory.fitting(gradients, micro, _PASSES)
            losses.append(torch.stack(list(found.values())))
            if ranks > 1:
                tokens = torch.tensor(sum(lengths[row] for row in rows))
                _average(trained, memory.moved(tokens, policy.device))
            scaler.unscale_(optimizer)
            norm = nn.utils.clip_grad_norm_(trained, 1.0)
            if scaler.get_scale() <= 1:  # larger ones may overflow: such a step is left out
                norms.append(norm)
            scaler.step(optimizer)
            scaler.update()
    return torch.stack(losses).float().mean(0), torch.stack(norms), micro


def _why_stopped(log, kl_limit, patience, best) -> str:
    """Why training ends before its last step; empty where it goes on."""
    kl = log[-1]["kl"]
    if kl > kl_limit:
        kept = "that earned most" if best["step"] else "it began with"
        return (
            f"an answer's KL from the reference is {kl:.1f} nats (limit {kl_limit:g}). The policy "
            f"has left the language it started from, so the adapter {kept} is kept: raise kl or "
            "lower learning_rate"
        )
    if len(log) >= patience and all(e["copies"] + e["blank"] == 1 for e in log[-patience:]):
        return (
            f"for {patience} steps every answer was blank or a copy of its anchor, so the reward "
            "has nothing to tell apart. The adapter that earned most is kept; lower "
            "learning_rate, or raise kl"
        )
    return ""


def _gradients(
    policy, answers, old, rows, temperature, precision, clip, value_clip, value_weight, micro,
    scale=None, lengths=None, read=True,
):  # fmt: skip
    """Gradients of one mini-batch, added up over its micro-batches; `scale` enlarges the loss.

    With the `lengths` of all answers, and without `read`, no GPU is asked for anything: the parts
    of the loss are tensors then.
    """
    policy.zero_grad()
    lengths = _read(answers.mask.sum(1)) if lengths is None else lengths
    tokens, width, device = sum(lengths[i] for i in rows), answers.mask.shape[1], policy.device
    exact = torch.float32 if device.type == "mps" else torch.float64  # as numbers would be added
    total = {"policy": 0.0, "value": 0.0, "clip_fraction": 0.0}
    for start in range(0, len(rows), micro):
        part = rows[start : start + micro]
        share = sum(lengths[i] for i in part) / tokens  # of its tokens, as the mean wants
        places = memory.moved(_places([lengths[i] for i in part], width), device)
        part = memory.moved(torch.tensor(part), device)
        batch = answers.rows(part)
        with precision():
            log_p, _, value = policy(batch, temperature)
        before = {key: x[part] for key, x in old.items()}
        loss, found = ppo_loss(
            log_p, value, before, places, clip=clip, value_clip=value_clip,
            value_weight=value_weight, read=read,
        )  # fmt: skip
        found = found if read else {name: part.to(exact) for name, part in found.items()}
        loss = share * loss
        (loss if scale is None else scale(loss)).backward()
        total = {key: total[key] + share * found[key] for key in total}
    return total


def _places(lengths, width):
    """Where the tokens of answers stand in the flattened [B, width], as a tensor in main memory."""
    return torch.cat([torch.arange(size) + row * width for row, size in enumerate(lengths)])


def _read(tensor):
    """The numbers of a tensor. A GPU is waited for here, twice a step: for the lengths of the
    answers and whether all is a number before the updates, for what is written down after them.
    (Writing waits for every token, to know whether an answer goes on, and texts are read for the
    judges.)
    """
    return tensor.tolist()


def _unsound(*kinds):
    """1 for each kind of values that are not all numbers, in any process; a tensor [kinds]."""
    bad = torch.stack([(~torch.isfinite(values)).any() for values in kinds])
    return _over_processes(bad.float(), "sum")


def _over_processes(tensor, how):
    """The sum or the mean of a tensor over all processes."""
    from accelerate.utils import reduce

    return reduce(tensor, how)


def _average(parameters, tokens):
    """Gradients over all processes, each by its share of the mini-batch's tokens."""
    share = tokens / _over_processes(tokens, "sum")
    for parameter in parameters:
        parameter.grad = _over_processes(parameter.grad * share, "sum")


def _rewards(function, device, **columns):
    """What a reward function says, one number an answer."""
    found = torch.as_tensor(function(**columns), dtype=torch.float32)
    found = memory.moved(found, device)
    if found.shape != (len(columns["completions"]),):
        raise ValueError(
            f"{function.__name__} returned the shape {tuple(found.shape)} for "
            f"{len(columns['completions'])} answers: one number each is wanted"
        )
    return found


def _in_parts(policy, answers, temperature, micro):
    parts = [
        policy(answers.rows(slice(start, start + micro)), temperature)
        for start in range(0, len(answers.mask), micro)
    ]
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def _whiten_over_processes(x, mask, ranks, places):
    """`whiten` with mean and deviation over the whole step."""
    if ranks == 1:
        return whiten(x, mask, places=places)
    counted = _counted(x, places)
    sums = torch.stack([counted.sum(), (counted**2).sum(), mask.sum().float()])
    total, squares, n = _over_processes(sums, "sum")
    mean = total / n
    spread = (squares / n - mean**2).clamp(min=0).sqrt()
    return torch.where(mask, (x - mean) / (spread + 1e-8), 0.0)


@torch.no_grad()
def _measured(
    tasks, texts, mask, places, scores, parts, functions, log_p, reference, entropy, value, returns
):
    """Means over the answers, each a tensor."""
    ratio = _counted(reference - log_p, places)
    left = _counted(returns - value, places).var(correction=0)
    copies = curation.copies([task["anchor"] for task in tasks], texts)
    shares = torch.from_numpy(np.array([copies, [not text for text in texts]])).float().mean(1)
    copies, blank = memory.moved(shares, mask.device)
    return {
        "reward": scores.mean(),
        **{f.__name__: part.mean() for f, part in zip(functions, parts, strict=True)},
        "kl": ((log_p - reference) * mask).sum(1).mean(),
        "kl_k3": (ratio.exp() - 1 - ratio).mean(),
        "entropy": _counted(entropy, places).mean(),
        "explained_variance": 1
        - left / _counted(returns, places).var(correction=0).clamp(min=1e-8),
        "length": mask.sum(1).float().mean(),
        "copies": copies,
        "blank": blank,
    }


def _drawn(tasks, step, batch_size, seed):
    """The tasks of a step: a new order for every pass, one pass running into the next."""
    drawn = []
    for place in range(step * batch_size, (step + 1) * batch_size):
        turn, at = divmod(place, len(tasks))
        drawn.append(tasks[_order(len(tasks), turn, seed)[at]])
    return drawn


@functools.lru_cache(maxsize=4)
def _order(n, turn, seed):
    return np.random.default_rng((seed, turn)).permutation(n)


def _padded(rows, pad, *, left):
    """Token ids [n, longest] and their mask."""
    size = max(map(len, rows))
    ids = torch.full((len(rows), size), pad)
    mask = torch.zeros(len(rows), size, dtype=torch.long)
    for i, row in enumerate(rows):
        place = slice(size - len(row), size) if left else slice(len(row))
        ids[i, place], mask[i, place] = row, 1
    return ids, mask


def _adapter(policy):
    """The weights that are trained, apart from the policy and in main memory."""
    return {
        name: p.detach().cpu().clone() for name, p in policy.named_parameters() if p.requires_grad
    }


def _restore(policy, weights):
    held = dict(policy.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            held[name].copy_(value)


def _precision_of(folder):
    """The precision of the run that a folder holds, or None."""
    record = None if folder is None else Path(folder) / "ppo.json"
    if record is None or not record.is_file():
        return None
    return json.loads(record.read_text("utf-8"))["settings"].get("precision")


class _State:
    """What a run needs to go on: the trained weights, the optimiser, the log, the best adapter."""

    def __init__(self, policy, optimizer, scaler, controller, folder, settings):
        self.policy, self.optimizer, self.controller = policy, optimizer, controller
        self.scaler = scaler
        self.folder = None if folder is None else Path(folder)
        self.settings = settings

    def last_good(self) -> str:
        if self.folder and (self.folder / "ppo.json").is_file():
            done = len(json.loads((self.folder / "ppo.json").read_text("utf-8"))["log"])
            return f"the last checkpoint, of step {done}, is in {self.folder}"
        return "no checkpoint was written (give output_dir)"

    def save(self, log, best) -> None:
        """The numbers last: a checkpoint counts once they name its tensors."""
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"policy/{k}": v for k, v in _adapter(self.policy).items()}
        tensors |= {f"best/{k}": v for k, v in best["adapter"].items()}
        for i, held in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{i}/{k}": v.cpu().contiguous() for k, v in held.items()}
        name = f"ppo-{len(log)}.safetensors"
        save_file(tensors, self.folder / name)
        about = {
            "settings": self.settings, "tensors": name, "log": log,
            "best": {k: v for k, v in best.items() if k != "adapter"},
            "beta": self.controller.coefficient if self.controller else None,
            "scaler": self.scaler.state_dict(),  # empty but in float16
        }  # fmt: skip
        unfinished = self.folder / "ppo.json.part"
        unfinished.write_text(json.dumps(about), encoding="utf-8")
        unfinished.replace(self.folder / "ppo.json")
        for old in self.folder.glob("ppo-*.safetensors"):
            if old.name != name:
                with contextlib.suppress(OSError):
                    old.unlink()

    def load(self):
        best = {"reward": -math.inf, "step": 0, "adapter": {}}
        record = None if self.folder is None else self.folder / "ppo.json"
        if record is None or not record.is_file():
            return [], best
        held = json.loads(record.read_text("utf-8"))
        other = [k for k, v in self.settings.items() if held["settings"].get(k) != v]
        if other:
            said = ", ".join(f"{k} {held['settings'].get(k)} → {self.settings[k]}" for k in other)
            raise ValueError(
                f"{self.folder} holds a run with other settings ({said}): give another folder, or "
                "delete it"
            )
        parts = {"policy": {}, "best": {}, "optimizer": {}}
        for name, value in load_file(self.folder / held["tensors"]).items():
            part, _, key = name.partition("/")
            parts[part][key] = value
        _restore(self.policy, parts["policy"])
        state = {}
        for name, value in parts["optimizer"].items():
            i, _, key = name.partition("/")
            state.setdefault(int(i), {})[key] = value
        whole = self.optimizer.state_dict()
        self.optimizer.load_state_dict(whole | {"state": state})
        self.scaler.load_state_dict(held["scaler"])
        if self.controller and held["beta"]:
            self.controller.coefficient = held["beta"]
        return held["log"], best | held["best"] | {"adapter": parts["best"]}


def _check(tasks, functions, weights, processes, kl, gamma, lam, **positive):
    decoding.check_positive(**{k: v for k, v in positive.items() if isinstance(v, int)})
    for name, value in positive.items():
        if not value > 0:
            raise ValueError(f"{name} must be above 0, got {value}")
    if not isinstance(kl, AdaptiveKL) and not 0 <= kl < math.inf:
        raise ValueError(f"kl must be 0 or more, or an AdaptiveKL, got {kl}")
    if not (0 <= gamma <= 1 and 0 <= lam <= 1):
        raise ValueError(f"gamma and lam must lie in [0, 1], got {gamma} and {lam}")
    if not tasks:
        raise ValueError("tasks is empty: give at least one mapping with prompt, anchor and kind")
    for i, task in enumerate(tasks):
        missing = [key for key in ("prompt", "anchor", "kind") if key not in task]
        if missing:
            raise ValueError(f"tasks[{i}] has no {', '.join(missing)}")
    if len(functions) != len(weights) or not functions:
        raise ValueError(
            f"{len(functions)} reward functions and {len(weights)} weights: one weight each"
        )
    batch_size, mini_batch_size = positive["batch_size"], positive["mini_batch_size"]
    if batch_size % mini_batch_size or mini_batch_size % processes:
        raise ValueError(
            f"batch_size {batch_size} must be a multiple of mini_batch_size {mini_batch_size}, and "
            f"that of the {processes} processes"
        )
