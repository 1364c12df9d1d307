"""What a tier needs, tried in small: `synthlib.preflight` says which of it fails here.

A list of versions cannot tell whether a machine will do: two libraries may refuse each other, a
driver may be too old for its card, a folder read-only. So each need is tried once, with a model of
a few thousand numbers, and a trial raises what the real thing would raise an hour later.
"""

import os
import tempfile
from pathlib import Path

import torch

from synthlib import models, paths, weights


def failures(tier, device):
    """Try what a tier needs.

    Parameters
    ----------
    tier : tiers.Tier
    device : torch.device

    Yields
    ------
    str
        One line for each need that fails: what was tried, what went wrong, what to do.
    """
    session = "restart the session (kernel), so that no other program holds its memory"
    driver = "install the torch build for this device, or hide it: CUDA_VISIBLE_DEVICES=''"
    precision = models.training_precision(device)
    needs = [
        ("a LoRA step", lambda: lora_step(device), "pip install -U peft transformers"),
        (f"a {precision} step on {device}", lambda: training_step(device, precision), driver),
        *(
            (f"writing in {folder}", lambda folder=folder: write(folder), remedy)
            for folder, remedy in folders()
        ),
    ]
    if tier.name == "pocket":
        again = "`git checkout -- data/pocket` in a clone, else reinstall synthlib"
        needs += [
            (f"loading {name}", lambda name=name: load(name, device), again)
            for name in models.POCKET_MODELS
            if (models.POCKET / name.removeprefix("pocket/") / "config.json").is_file()
        ]
    if tier.name == "laptop":
        again = "remove its folder, and `python -m synthlib models get laptop`"
        needs += [
            (f"loading {name}", lambda name=name, roles=roles: load(name, device, roles[0]), again)
            for name, roles in weights.needed(tier.name).items()
            if models.place(name)[0] is not None
        ]
    for need, trial, remedy in needs:
        try:
            # The session's own random numbers go on as if nothing had been drawn.
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                trial()
        except Exception as error:  # whatever it is, it would stop a chapter
            said = " ".join(str(error).split()) or type(error).__name__
            if "out of memory" in said:
                remedy = session
            # Some errors name their remedy already.
            known = isinstance(error, models.ModelUnavailable)
            yield f"{need} failed: {said}" + ("" if known else f": {remedy}")


def two_layers(device, dtype=None):
    """A Llama of two layers with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=32,
    )  # fmt: skip
    with models.quiet():
        return LlamaForCausalLM(config).to(device, dtype)


def _step(model, device, precision="fp32"):
    """One forward and backward pass; the loss and the gradients have to be numbers."""
    ids = torch.arange(16, device=device).reshape(2, 8)
    with models.autocast(device, precision):
        loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    gradients = [w.grad for w in model.parameters() if w.requires_grad and w.grad is not None]
    finite = [bool(x.isfinite().all()) for x in (loss, *gradients)]
    if not gradients or not all(finite):
        raise ArithmeticError("the loss or its gradient is not a number")


def lora_step(device):
    """A LoRA adapter on a model of two layers, forward and backward."""
    from peft import LoraConfig, get_peft_model

    model = two_layers(device, models.pick_dtype(device))
    with models.adapting():
        policy = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2))
    _step(policy, device)


def training_step(device, precision):
    """A step of training in the precision that trainings have on this device."""
    _step(two_layers(device), device, precision)


def folders():
    """Where chapters and runs write, each with what to do where it cannot be written."""
    from huggingface_hub.constants import HF_HOME

    start = "start the notebook or the command in a folder that you may write to"
    yield Path.cwd(), start
    if paths.BUILD.parent != Path.cwd():
        yield paths.BUILD, start
    yield Path(HF_HOME), "set HF_HOME to a folder that you may write to"


def write(folder):
    """Write a small file in a folder, or where the folder would be made, and remove it."""
    folder = Path(folder)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".synthlib-") as file:
        file.write(bytes(1 << 16))
        file.flush()
        os.fsync(file.fileno())


def load(name, device, role=""):
    """Load one of the models that are on this machine; `role` is what a laptop model is for."""
    kind = role.partition(" ")[0] or name.removeprefix("pocket/").partition("-")[0]
    loader = {"generator": models.load_generator}
    loader |= dict.fromkeys(("nli", "judge", "discriminator"), models.load_nli)
    loader.get(kind, models.load_encoder)(name, device=device)
