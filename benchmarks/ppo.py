"""A step of PPO: the adapter as reference against a frozen copy; ours against TRL's RLOO.

- ``reference``: steps of `ppo.train` where the reference is the policy with its adapter off, and
  where it is a second copy of the model, in turn, from the same weights; the logs must agree.
- ``memory``: what the two ways hold at the shape of Qwen2.5-0.5B in bfloat16 with a LoRA adapter
  (r = 16 on queries and values) and AdamW. Weights, gradients and moments are *computed* from the
  shapes, on torch's meta device; nothing is measured and no activations are counted. On a GPU the
  step itself is run and its peak memory measured.
- ``rloo``: our PPO and TRL's RLOO with the same rewards on the pocket Llama, as many answers a
  step, in turn; answers a second.
"""

import argparse
import contextlib
import copy
import dataclasses
import json
import time
from statistics import median

import torch

from synthlib import models, ppo, tiers
from synthlib.methods import art
from synthlib.rewards import Bounds
from synthlib.world import corpora

BOUNDS = Bounds(0.9, 0.8, 0.98)
QWEN = dict(
    vocab_size=151_936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24,
    num_attention_heads=14, num_key_value_heads=2, tie_word_embeddings=True,
)  # fmt: skip


class WithCopy(ppo.Policy):
    """A policy whose reference is a second, frozen model, as RLHF is usually set up."""

    def __init__(self, model, tokenizer, **options):
        frozen = copy.deepcopy(model).requires_grad_(False).eval()
        super().__init__(model, tokenizer, **options)
        self.frozen = frozen

    @contextlib.contextmanager
    def adapter_off(self):
        held, self.model = self.model, self.frozen
        try:
            yield
        finally:
            self.model = held


def judges():
    encoder = models.load_encoder("pocket/simcse-sup-bert", device="cpu")
    return models.load_nli("pocket/nli", device="cpu"), lambda texts: encoder.encode(
        texts, batch_size=128, show_progress_bar=False
    )


def settings(options):
    return dataclasses.replace(
        tiers.get("pocket").art, ppo_steps=1, ppo_batch_size=options.answers,
        ppo_mini_batch_size=options.answers // 4, lora_targets=("q_proj", "v_proj"),
    )  # fmt: skip


def bench_reference(options):
    discriminator, encode = judges()
    s, anchors = settings(options), corpora.premises(options.answers // 2, 5)
    seconds = {"adapter off": [], "frozen copy": []}
    for turn in range(options.steps + 1):
        logs = {}
        for way, kind in (("adapter off", ppo.Policy), ("frozen copy", WithCopy)):
            generator = models.load_generator("pocket/generator-llama", device="cpu")
            torch.manual_seed(0)
            policy = kind(*generator, r=s.lora_r, alpha=s.lora_alpha, targets=s.lora_targets)
            started = time.process_time()
            logs[way] = art.tune(
                policy, anchors, discriminator, encode, BOUNDS, s, seed=turn, progress=False
            )[0]
            seconds[way].append(time.process_time() - started)
        for key in ("reward", "kl", "policy_loss"):
            assert abs(logs["adapter off"][key] - logs["frozen copy"][key]) < 1e-4, (key, logs)
    print("| reference | ms a step | parameters held |\n|---|---:|---:|")
    fresh = models.load_generator("pocket/generator-llama", device="cpu")[0]
    count = sum(p.numel() for p in fresh.parameters())
    for way, times in seconds.items():
        held = count * (2 if way == "frozen copy" else 1)
        print(f"| {way} | {1000 * median(times[1:]):.0f} | {held:,} and the adapter |")


def bench_memory(options):
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen2Config, Qwen2ForCausalLM

    device = "cuda" if torch.cuda.is_available() else "meta"
    with torch.device(device):
        model = Qwen2ForCausalLM(Qwen2Config(**QWEN)).to(torch.bfloat16)
    base = sum(p.numel() * p.element_size() for p in model.parameters())
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32,
                                             target_modules=["q_proj", "v_proj"]))  # fmt: skip
    adapter = sum(p.numel() for p in model.parameters() if p.requires_grad)
    trained = 16 * adapter  # weights, gradients and two moments, all in float32
    print("| computed, without activations | GB | against the adapter |\n|---|---:|---:|")
    for way, copies in (("adapter off", 1), ("frozen copy", 2)):
        total = copies * base + trained
        print(f"| {way} | {total / 1e9:.2f} | {total / (base + trained):.2f} |")
    if device == "cuda":
        print(json.dumps(_on_gpu(model, options)))


def _on_gpu(model, options):
    """Peak memory and seconds of forward, reference and one update on random tokens."""
    ids = torch.randint(0, 1000, (options.answers // 4, 96), device="cuda")
    found = {}
    for way in ("adapter off", "frozen copy"):
        reference = None
        if way == "frozen copy":
            reference = copy.deepcopy(model).requires_grad_(False)
        torch.cuda.reset_peak_memory_stats()
        for _ in range(3):
            torch.cuda.synchronize()
            started = time.perf_counter()
            with torch.no_grad(), torch.autocast("cuda", dtype=torch.bfloat16):
                if reference is None:
                    with model.disable_adapter():
                        model(ids)
                else:
                    reference(ids)
            with torch.autocast("cuda", dtype=torch.bfloat16):
                model(ids).logits.float().log_softmax(-1)[..., 0].mean().backward()
            torch.cuda.synchronize()
            spent = time.perf_counter() - started
        found[way] = dict(seconds=spent, peak_gb=torch.cuda.max_memory_allocated() / 1e9)
        del reference
    return found


def bench_rloo(options):
    discriminator, encode = judges()
    s, anchors = settings(options), corpora.premises(options.answers, 5)
    s = dataclasses.replace(s, ppo_steps=options.steps)
    seconds = {"PPO, 1 epoch": [], f"PPO, {s.ppo_epochs} epochs": [], "TRL's RLOO, 1 update": []}
    for turn in range(2):
        for way, epochs in list(zip(seconds, (1, s.ppo_epochs, None), strict=True)):
            generator = models.load_generator("pocket/generator-llama", device="cpu")
            arguments = (anchors, discriminator, encode, BOUNDS, s)
            started = time.process_time()
            if epochs is None:
                art.tune_with_trl(generator, *arguments, seed=turn)
            else:
                art.tune(art.policy(generator, s), *arguments, seed=turn, epochs=epochs,
                         progress=False)  # fmt: skip
            seconds[way].append((time.process_time() - started) / options.steps)
    print(f"| way | ms a step of {options.answers} answers | answers a second |\n|---|---:|---:|")
    for way, times in seconds.items():
        print(f"| {way} | {1000 * min(times):.0f} | {options.answers / min(times):.0f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["reference", "memory", "rloo"])
    parser.add_argument("--answers", type=int, default=64, help="of a step")
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    for part in options.parts:
        print(f"\n## {part}\n")
        dict(reference=bench_reference, memory=bench_memory, rloo=bench_rloo)[part](options)


if __name__ == "__main__":
    main()
