"""One door to every model: a pocket name, a local folder or a hub id.

Weights are read from safetensors files only, and code that travels with a model is never run.
Whatever stands in the way (no network, a gated or misspelt name, damaged files, too little memory)
is said in one line, before minutes are lost.
"""

import contextlib
import difflib
import functools
import inspect
import json
import math
import re
import struct
import time
import warnings
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path

import torch

from synthlib import weights, windows
from synthlib.memory import free_bytes, ran_out
from synthlib.paths import POCKET

#: The small models that are trained in this repository (`make pocket`) and travel with it.
POCKET_MODELS = (
    "pocket/generator-t5",
    "pocket/generator-llama",
    "pocket/nli",
    "pocket/mlm-bert",
    "pocket/mlm-roberta",
    "pocket/simcse-unsup-bert",
    "pocket/simcse-unsup-roberta",
    "pocket/simcse-sup-bert",
    "pocket/simcse-sup-roberta",
)

NLI_LABELS = ("entailment", "neutral", "contradiction")

#: How a sentence vector is made of token vectors. "cls" is the first token's vector as it is, what
#: SimCSE's code calls `cls_before_pooler`; "cls_mlp" sends it through the checkpoint's own dense
#: layer and tanh (BERT's pooler, SimCSE's `cls`). "prompt" is the hidden state at the mask of a
#: template around the sentence (PromptBERT), see `prompt_pooling`.
POOLINGS = (
    "mean", "cls", "cls_mlp", "max", "mean_sqrt_len_tokens", "weightedmean", "lasttoken", "prompt",
)  # fmt: skip

# Public checkpoints without a sentence-transformers pooling file, by the beginning of their names,
# with the pooling that their authors' README prescribes for evaluation.
_POOLING_BY_README = {
    "princeton-nlp/unsup-simcse-": "cls",  # SimCSE README: `--pooler_type cls_before_pooler`
    "princeton-nlp/sup-simcse-": "cls_mlp",  # SimCSE README: `--pooler_type cls`, pooler_output
    "voidism/diffcse-": "cls",  # DiffCSE README: `--pooler_type cls_before_pooler`
    "pocket/mlm-": "mean",  # never trained as encoders: the usual default, changed by `pooling=`
}
_POOLING_IS_A_DEFAULT = ("pocket/mlm-",)

# T5 was trained in bfloat16: its feed-forward activations overflow float16 and generate nonsense.
_OVERFLOWS_FLOAT16 = {"t5", "mt5", "umt5", "longt5"}


_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "vocab.txt",
    "vocab.json",
)


_ADAPTER = "adapter_model.safetensors"

_NOT_BROUGHT = "not on this machine yet: python -m synthlib models get laptop"

# Our own module, by the name that a saved encoder's modules.json has for it.
_PROMPT_MODULE = "synthlib.prompt_pooling.PromptTransformer"


class UnknownPooling(ValueError):
    """A folder does not say how its encoder makes one vector of a sentence's tokens."""


class ModelUnavailable(OSError):
    """A model cannot be had here; the message says why and what to do."""


# ---------------------------------------------------------------- device and dtype


def pick_device(device=None):
    """The device to work on: the one asked for, else CUDA, else Apple's MPS, else the CPU.

    Raises ValueError where the device asked for is not there.
    """
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device {device!r} is not known; take 'cuda', 'mps' or 'cpu'") from None
    there = {"cpu": True, "cuda": torch.cuda.is_available()}
    there["mps"] = torch.backends.mps.is_available()
    if not there.get(device.type, True):
        raise ValueError(f"this machine has no {device.type} device; leave device=None or 'cpu'")
    return device


def pick_dtype(device, dtype=None, *, model_type=""):
    """The number format to load weights in: the one asked for, else the device's best.

    bfloat16 on CUDA from compute capability 8 on, float16 on older CUDA (a T4 has 7.5) except for
    T5, which overflows float16 and takes float32 there; float32 on MPS and on the CPU.

    Parameters
    ----------
    device : torch.device
    dtype : torch.dtype or its name ("float32"), optional
    model_type : str
        `model_type` of the model's config.json.
    """
    if dtype is not None:
        named = getattr(torch, str(dtype).removeprefix("torch."), None)
        if named not in (torch.float32, torch.float16, torch.bfloat16):
            raise ValueError(f"dtype must be float32, float16 or bfloat16, got {dtype!r}")
        return named
    if device.type != "cuda":
        return torch.float32
    if torch.cuda.get_device_capability(device)[0] >= 8:
        return torch.bfloat16
    return torch.float32 if model_type in _OVERFLOWS_FLOAT16 else torch.float16


#: Precisions of a training: what its passes compute in. Weights and optimiser stay in float32.
PRECISIONS = ("fp32", "bf16", "fp16")

# From this speed-up of the products on, bfloat16 is worth it on a CPU. Half of a small encoder's
# step is not products, and casts come in: on a core with AVX-512's bfloat16 the products are twice
# as fast (1.7 to 2.4, on a busy machine too) and a step of the pocket encoders 1.3 times, which is
# not worth numbers of its own; with AVX2 alone they are 10 times slower, and a step 7 times.
CLEARLY_FASTER = 3.0


def training_precision(device=None, precision=None, *, model_type=""):
    """The precision that a training's passes compute in: the one asked for, else what is fast here.

    On CUDA bfloat16 from compute capability 8 on and float16 below (a T4 has 7.5: it only emulates
    bfloat16), except for T5, which overflows float16 and takes float32 there. On MPS float32. On a
    CPU float32, so that the same numbers come out on every processor, except where a trial
    (`bf16_speedup`) finds bfloat16 clearly faster.

    Parameters
    ----------
    device : str or torch.device, optional
    precision : "fp32", "bf16" or "fp16", optional
    model_type : str
        `model_type` of the model's config.json.

    Returns
    -------
    str
        One of `PRECISIONS`, by the names that Accelerate has for them.

    Raises
    ------
    ValueError
        For an unknown precision, or float16 on a CPU, which computes it slowly.
    """
    device = pick_device(device)
    if precision is not None:
        if precision not in PRECISIONS:
            wanted = ", ".join(PRECISIONS)
            raise ValueError(f"precision must be one of {wanted}, got {precision!r}")
        if precision == "fp16" and device.type == "cpu":
            raise ValueError("a CPU does not train in fp16; take precision 'fp32' or 'bf16'")
        return precision
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device)[0] >= 8:
            return "bf16"
        return "fp32" if model_type in _OVERFLOWS_FLOAT16 else "fp16"
    return "bf16" if device.type == "cpu" and bf16_speedup() >= CLEARLY_FASTER else "fp32"


@functools.cache
def bf16_speedup():
    """How many times as fast as in float32 this CPU multiplies matrices in bfloat16.

    A trial of some milliseconds, once a process: the product of a pocket encoder's feed-forward
    layer. The shortest of several times counts, and both kinds take turns, so that a busy
    machine gives the same answer.
    """
    x, weight = torch.ones(256, 128), torch.ones(128, 512)
    pairs = [(x, weight), (x.bfloat16(), weight.bfloat16())]
    best = [float("inf"), float("inf")]
    for turn in range(6):
        for kind, (left, right) in enumerate(pairs):
            start = time.perf_counter()
            left @ right
            if turn:  # the first time chooses and compiles a kernel
                best[kind] = min(best[kind], time.perf_counter() - start)
    return best[0] / best[1]


def autocast(device, precision):
    """The context in which passes compute in a precision of `training_precision`."""
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(torch.device(device).type, dtype=dtype, enabled=precision != "fp32")


# ---------------------------------------------------------------- the three loaders


def load_encoder(name, *, pooling=None, device=None, dtype=None):
    """A sentence encoder; its `.encode(list of n strings)` gives an array (n, d).

    Parameters
    ----------
    name : str or Path
        Pocket name ("pocket/simcse-unsup-bert"), local folder, or hub id. A folder in
        sentence-transformers' format carries its pooling (`1_Pooling/config.json`); a plain
        transformers folder does not, so `pooling` is needed, save for SimCSE's and DiffCSE's
        public checkpoints, whose pooling is known, and "pocket/mlm-*", which default to "mean".
        "prompt" makes an encoder of a plain masked language model, whose wording of the template
        follows its configuration's `synthlib_form` (see `prompts`).
    pooling : str, optional
        One of `POOLINGS`. Asking for another pooling than the one a model carries is refused:
        an encoder trained with one and evaluated with another gives plausible, wrong numbers.
    device : str or torch.device, optional
    dtype : torch.dtype or str, optional
        Default float32 on every device: encoders are small, they are trained on from here, and
        STS ranks pairs whose similarities differ by less than half precision can tell apart.

    Returns
    -------
    sentence_transformers.SentenceTransformer, in eval mode

    Raises
    ------
    ValueError
        For an unknown name, pooling or device, a pooling that contradicts the model's.
    FileNotFoundError
        For a folder that is not there.
    ModelUnavailable
        When the model cannot be had (offline, gated, damaged, too large, own code).
    """
    from sentence_transformers import SentenceTransformer

    from synthlib.encoder import Encoder

    if pooling is not None and pooling not in POOLINGS:
        raise ValueError(f"pooling must be one of {', '.join(POOLINGS)}, got {pooling!r}")
    device, dtype = pick_device(device), pick_dtype(torch.device("cpu"), dtype)
    folder, config = resolve(name, device, dtype)
    _check_memory(name, number_count(folder), device, dtype)
    carried = _carried_pooling(folder)
    if carried is None:
        pooling = known_pooling(str(name), pooling)
    elif pooling not in (None, carried):
        raise ValueError(
            f"{name} was trained with pooling={carried!r}; {pooling!r} would give wrong vectors. "
            f"Leave pooling out, or train an encoder with {pooling!r}"
        )
    mlp = _pooler_weights(folder) if carried is None and pooling == "cls_mlp" else None
    options = _model_options(config, dtype)
    with quiet(), _one_line(name):
        if pooling == "prompt" or carried == "prompt":
            encoder = _prompt_encoder(folder, config, options, device, new=carried is None)
        elif carried is None:
            modules = _modules_of_plain_folder(folder, pooling, mlp, options)
            encoder = SentenceTransformer(modules=modules, device=str(device))
        else:
            encoder = SentenceTransformer(
                str(folder), device=str(device), model_kwargs=options, local_files_only=True
            )
        encoder = encoder.to(dtype).eval()
        encoder.__class__ = Encoder
        _check_body(name, encoder[0].model)
        check_finite(name, encoder)
        fit_tokenizer(name, encoder.tokenizer, encoder[0].model)
    return encoder


def load_generator(name, *, device=None, dtype=None, form=None, examples=None):
    """A text generator: encoder-decoder (T5) or causal (Llama, GPT-2, Qwen).

    Parameters
    ----------
    name : str or Path
        Pocket name ("pocket/generator-t5", "pocket/generator-llama"), local folder, or hub id.
    device : str or torch.device, optional
    dtype : torch.dtype or str, optional
        Default: see `pick_dtype`.
    form : one of `prompts.ALL_FORMS`, optional
        How it is to be asked, in place of `prompts.form_of`'s choice.
    examples : dict, optional
        Which worked examples its prompts have: shots, register, seed of `prompts.Form`.

    Returns
    -------
    model : transformers.PreTrainedModel, in eval mode
        `model.config.is_encoder_decoder` tells the two kinds apart.
    tokenizer : transformers.PreTrainedTokenizerBase
        With a pad token; a causal model's pads on the left, so that every prompt of a batch ends
        where generation starts.

    Raises
    ------
    As `load_encoder`; ValueError too for a model that is not a generator.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    from synthlib import prompts

    device = pick_device(device)
    folder, config = find(name, "generator", device=device, dtype=dtype)
    seq2seq = config["architectures"][0].endswith("ForConditionalGeneration")
    auto = AutoModelForSeq2SeqLM if seq2seq else AutoModelForCausalLM
    model, tokenizer = _load(auto, name, folder, config, device, dtype)
    tokenizer.padding_side = "right" if seq2seq else "left"
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    if form is not None:
        model.config.synthlib_form = str(prompts.Form(form, tokenizer))
    if examples:
        prompts.form_of(model, tokenizer, **examples)  # raises for examples that there are not
        model.config.synthlib_examples = dict(examples)
    return model, tokenizer


def load_nli(name, *, device=None, dtype=None):
    """A cross-encoder that tells entailment, neutral and contradiction apart.

    Parameters
    ----------
    name : str or Path
        Pocket name ("pocket/nli"), "laptop/judge" or "laptop/examiner", local folder, or hub id. A
        folder may hold an adapter (PEFT's LoRA for sequence classification), which is put into the
        model that it names; its labels are those of a config.json beside it, else that model's.
    device : str or torch.device, optional
    dtype : torch.dtype or str, optional
        Default: see `pick_dtype`.

    Returns
    -------
    model : transformers.PreTrainedModel for sequence classification, in eval mode
        Its label order is its own: read it from `nli_columns(model.config.id2label)`.
    tokenizer : transformers.PreTrainedTokenizerBase

    Raises
    ------
    As `load_encoder`; ValueError too for a model without exactly the three NLI labels.
    """
    from transformers import AutoModelForSequenceClassification

    device = pick_device(device)
    folder, config = find(name, "nli", device=device, dtype=dtype)
    load = _load_adapted if is_adapter(folder) else _load
    model, tokenizer = load(AutoModelForSequenceClassification, name, folder, config, device, dtype)
    # A causal classifier reads its answer at the last token that is no padding.
    model.config.get_text_config().pad_token_id = model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


_ENDINGS = {
    "generator": ("ForConditionalGeneration", "ForCausalLM", "LMHeadModel"),
    "nli": ("ForSequenceClassification",),
}


def find(name, kind, *, device=None, dtype=None):
    """Where a generator or an NLI model lies, and its config; nothing is loaded into memory.

    A long run calls it first, so that a wrong model costs no minutes.

    Parameters
    ----------
    name : str or Path
        Pocket name, local folder or hub id, which is downloaded.
    kind : "generator" or "nli"
    device, dtype : optional
        They decide whether a model of the hub is too large for this machine.

    Returns
    -------
    folder : Path
    config : dict

    Raises
    ------
    As `load_generator` and `load_nli`.
    """
    folder, config = resolve(name, pick_device(device), dtype, adapters=kind == "nli")
    _check_kind(name, config, _ENDINGS[kind])
    if kind == "nli":
        try:
            labels = config.get("id2label")
            nli_columns(labels if isinstance(labels, dict) else {})
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return folder, config


def nli_columns(id2label):
    """Columns of entailment, neutral and contradiction in a model's logits.

    Parameters
    ----------
    id2label : dict of int (or str) to str
        From the model's config; the order differs from model to model, so it is never assumed.

    Returns
    -------
    tuple of three ints

    Raises
    ------
    ValueError
        When the labels are not exactly these three (in any case); names what is found.
    """
    columns = {str(label).lower(): int(column) for column, label in id2label.items()}
    if set(columns) != set(NLI_LABELS) or len(id2label) != len(NLI_LABELS):
        found = ", ".join(map(str, id2label.values())) or "none"
        raise ValueError(f"an NLI model has the labels {', '.join(NLI_LABELS)}; found {found}")
    return tuple(columns[label] for label in NLI_LABELS)


def pooling_of(encoder):
    """The pooling that an encoder carries: one of `POOLINGS` (or a tuple of modes), else None."""
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling

    from synthlib.prompt_pooling import PromptTransformer

    modules = list(encoder)
    if isinstance(modules[0], PromptTransformer):
        return "prompt"
    for place, module in enumerate(modules):
        if isinstance(module, Pooling):
            after = modules[place + 1] if place + 1 < len(modules) else None
            return _with_mlp(_pooling_mode(module.get_config_dict()), isinstance(after, Dense))
    return None


# ---------------------------------------------------------------- from a name to a folder


def resolve(name, device, dtype, *, adapters=False):
    """Folder with the model's files, and its config.json as a dict; an adapter is refused, or its
    base is looked at too and the config is that of both together."""
    folder = _locate(name, device, dtype)
    if adapters and is_adapter(folder):
        return folder, _adapted_config(str(name), folder, device, dtype)
    return folder, _check_folder(str(name), folder)


def _locate(name, device, dtype):
    """Folder that a name stands for."""
    if not isinstance(name, str | Path):
        raise ValueError(f"a model is given by its name or its folder, got {name!r}")
    text = str(name)
    if text.startswith("pocket/"):
        return _pocket_folder(text)
    if text in weights.JUDGES:
        return _judge_folder(text)
    if text.startswith("laptop/"):
        folder = weights.folder(text)
        if folder is None:
            raise ModelUnavailable(
                f"{text} is {_NOT_BROUGHT}"
            )
        return folder
    if Path(name).expanduser().is_dir():
        return Path(name).expanduser()
    if Path(name).expanduser().is_file():
        raise ValueError(f"{text} is a file; give the folder of a saved model")
    if isinstance(name, Path) or text.startswith((".", "/", "~")) or text.count("/") > 1:
        raise FileNotFoundError(
            f"no folder {text}{_near(text)}; give a model folder, {_names()} or a hub id"
        )
    with quiet():
        return _from_hub(text, device, dtype)


def _near(name):
    """Folders, and pocket models, whose names are almost this one, as a question."""
    path = Path(name).expanduser()
    parents = [path.parent]
    if not path.parent.is_dir():
        near = difflib.get_close_matches(path.parent.name, _folders(path.parent.parent))
        parents = [path.parent.with_name(found) for found in near]
    known = [str(parent / entry) for parent in parents for entry in _folders(parent)]
    found = difflib.get_close_matches(str(path), [*known, *POCKET_MODELS], n=3, cutoff=0.75)
    return f" (did you mean {' or '.join(found)}?)" if found else ""


def _folders(path):
    with contextlib.suppress(OSError):
        return [entry.name for entry in path.iterdir() if entry.is_dir()]
    return []


def _names():
    return "a pocket name (" + ", ".join(POCKET_MODELS) + ")"


def _pocket_folder(name):
    if name not in POCKET_MODELS:
        near = difflib.get_close_matches(name, POCKET_MODELS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"no pocket model {name!r}: there are {', '.join(POCKET_MODELS)}{hint}")
    folder = POCKET / name.removeprefix("pocket/")
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"the weights of {name} are not at {folder}; `make pocket` trains them, "
            "`git checkout -- data/pocket` brings back the committed ones"
        )
    return folder


def _judge_folder(name):
    folder = weights.JUDGES[name]
    if not (folder / "adapter_config.json").is_file():
        raise FileNotFoundError(
            f"the adapter of {name} is not at {folder}: train it (make field-judges DATA=DIR), or "
            "name another NLI model (--judge; for ART --discriminator)"
        )
    return folder


def _from_hub(name, device, dtype):
    """Folder in the local Hugging Face cache; downloads what is missing there, if it will fit."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )

    api = HfApi()
    try:
        info, files = _revision_with_safetensors(api, name)
        if info.safetensors is not None:
            model_type = (info.config or {}).get("model_type", "")
            wanted = pick_dtype(device, dtype, model_type=model_type)
            _check_memory(name, info.safetensors.total, device, wanted)
        return Path(api.snapshot_download(name, revision=info.sha, allow_patterns=files))
    except HFValidationError:
        raise ValueError(
            f"{name!r} is not a model name: give {_names()}, a folder, or a hub id 'owner/name'"
        ) from None
    except GatedRepoError:
        raise ModelUnavailable(
            f"{name} is gated: accept its terms at {api.endpoint}/{name} and log in with "
            "`hf auth login`, or take an ungated model (all of the pocket and colab tiers are)"
        ) from None
    except RepositoryNotFoundError:
        raise ModelUnavailable(
            f"there is no model {name!r}{_near(name)}: no folder of that name here, and the "
            "Hugging Face Hub knows none (misspelt, removed, or private: then log in with "
            "`hf auth login`)"
        ) from None
    except (ConnectionError, TimeoutError, LocalEntryNotFoundError, *_transport_errors()):
        folder = cached(name)
        if folder is None:
            raise ModelUnavailable(
                f"there is no folder {name}{_near(name)}, no model of that name in the local "
                "cache, and the Hugging Face Hub cannot be reached: go online once (and unset "
                f"HF_HUB_OFFLINE), or take {_names()}"
            ) from None
        return folder
    except HfHubHTTPError as error:
        raise ModelUnavailable(
            f"the Hugging Face Hub did not give out {name}: {_in_a_line(error)}; try again later"
        ) from None


def _transport_errors():
    """What the HTTP library raises when no answer comes (its name differs between Hub versions)."""
    found = [find_spec(name) and import_module(name) for name in ("httpx2", "httpx")]
    return tuple(module.TransportError for module in found if module)


def _revision_with_safetensors(api, name):
    """What the Hub says of the revision to download, and the names of its files that we read.

    Older checkpoints (SimCSE's among them) have pickled weights on their main branch, and the same
    weights as safetensors in a pull request that the Hub's own conversion robot left open.
    """
    revisions = ["main"]
    for revision in revisions:
        info = api.model_info(name, revision=revision)
        files = [entry.rfilename for entry in info.siblings]
        wanted = [file for file in files if _is_read(file)]
        if any(re.fullmatch(r"(adapter_)?model.*\.safetensors", file) for file in wanted):
            return info, wanted
        if revision == "main":
            found = api.get_repo_discussions(
                name, author="SFconvertbot", discussion_type="pull_request"
            )
            revisions += [f"refs/pr/{request.num}" for request in found]
    raise ModelUnavailable(
        f"{name} has no safetensors weights, and pickled weights can run code when they are read; "
        "take a model that has them, or convert it on a machine that you trust"
    )


def _is_read(file):
    """Whether a repository's file is one that we load: weights, config, tokenizer, ST modules."""
    folder, _, leaf = file.rpartition("/")
    if folder and not re.fullmatch(r"\d+_\w+", folder):  # onnx/, openvino/, coreml/ …
        return False
    return bool(
        re.fullmatch(r"(adapter_)?model.*\.safetensors", leaf)
        or leaf.endswith((".json", ".txt", ".model", ".jinja"))
    )


def place(name):
    """The folder of a named model on this machine, or None, and in words where it is found."""
    if name.startswith("pocket/"):
        return POCKET / name.removeprefix("pocket/"), "travels with the book"
    if name in weights.JUDGES:
        folder = weights.JUDGES[name]
        there = is_adapter(folder)
        return (folder, "travels with the book") if there else (None, "make field-judges")
    if name.startswith("laptop/"):
        folder = weights.folder(name)
        return folder, str(folder or _NOT_BROUGHT)
    folder = cached(name)
    return folder, str(folder or "comes from the Hub when it is first used")


def cached(name):
    """A complete snapshot of a hub model in the local cache, or None."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = repo_folder_name(repo_id=name, repo_type="model")
    for snapshot in sorted((Path(constants.HF_HUB_CACHE) / folder / "snapshots").glob("*")):
        if is_adapter(snapshot):
            whole = (snapshot / _ADAPTER).is_file()
        else:
            whole = all(file.is_file() for file in weight_files(snapshot))
            whole = whole and (snapshot / "config.json").is_file()
        if whole:
            return snapshot
    return None


# ---------------------------------------------------------------- what a folder holds


def _body(folder):
    """Where the transformer lies: the first module's folder in sentence-transformers' format."""
    modules = _modules(folder)
    return folder if modules is None else folder / modules[0]["path"]


def _modules(folder):
    """The modules of a folder in sentence-transformers' format, else None."""
    listing = folder / "modules.json"
    if not listing.is_file():
        return None
    modules = _read_json(folder, listing, list)
    if not modules or not all(
        isinstance(module, dict) and isinstance(module.get("type"), str)
        and isinstance(module.get("path"), str) for module in modules
    ):  # fmt: skip
        raise ModelUnavailable(f"{listing} is damaged (no list of modules); get it again")
    return modules


def weight_files(folder):
    """The safetensors files of a folder's model (those of its index when there is one).

    Raises
    ------
    ModelUnavailable
        For a damaged index.
    """
    folder = _body(folder)
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = _read_json(folder, index).get("weight_map")
        # Names of files beside it: a path could lead anywhere.
        if not isinstance(shards, dict) or not shards or not all(
            isinstance(shard, str) and Path(shard).name == shard for shard in shards.values()
        ):  # fmt: skip
            raise ModelUnavailable(f"{index} is damaged (no map of weights); get it again")
        return [folder / shard for shard in sorted(set(shards.values()))]
    return [folder / "model.safetensors"]


def _check_folder(name, folder):
    """config.json of a folder that is sound: readable, known architecture, whole weights."""
    from transformers import CONFIG_MAPPING

    if is_adapter(folder):
        base = _read_json(name, folder / "adapter_config.json").get("base_model_name_or_path")
        raise ModelUnavailable(
            f"{name} holds an adapter for {base}, no model: put it into that model with peft's "
            "`merge_and_unload`, save the result with `save_pretrained`, and give its folder"
        )
    config = _read_json(name, _body(folder) / "config.json")
    if not isinstance(config.get("model_type"), str):
        raise ModelUnavailable(
            f"{name}: config.json names no architecture (model_type is "
            f"{config.get('model_type')!r}); get it again"
        )
    if config["model_type"] not in CONFIG_MAPPING:
        own = "brings its own code, which is never run here" if "auto_map" in config else "is new"
        raise ModelUnavailable(
            f"{name}: transformers does not know the architecture {config.get('model_type')!r} "
            f"(it {own}); take another model"
        )
    for file in weight_files(folder):
        if not file.is_file():
            pickled = any(folder.glob("*.bin"))
            raise ModelUnavailable(
                f"{name} has no {file.name} in {folder}: "
                + (
                    "its weights are pickled (.bin), which can run code when they are read; save "
                    "it again with save_pretrained, which writes safetensors"
                    if pickled
                    else "the copy is incomplete; get it again"
                )
            )
        _header(file)
    if number_count(folder) == 0:
        raise ModelUnavailable(f"{name} has no weights in {weight_files(folder)[0]}; get it again")
    with quiet(), _one_line(name):
        CONFIG_MAPPING[config["model_type"]].from_dict(dict(config))  # of the right types?
    # Damaged, the first would be passed over, and the others said in a library's words.
    for file in ("generation_config.json", "tokenizer_config.json", "tokenizer.json"):
        if (_body(folder) / file).is_file():
            _read_json(name, _body(folder) / file)
    # Without one of these transformers would make up an empty tokenizer and say nothing.
    if not any((_body(folder) / file).is_file() for file in _TOKENIZER_FILES):
        raise ModelUnavailable(f"{name} has no tokenizer in {_body(folder)}; get it again")
    return config


def _read_json(name, file, kind=dict):
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, kind):
            raise ValueError(f"it holds a {type(found).__name__}, wanted a {kind.__name__}")
        return found
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{file.parent} holds no {file.name}: it is not the folder of a saved model"
        ) from None
    except ValueError as error:
        raise ModelUnavailable(
            f"{name}: {file} is damaged ({_in_a_line(error)}); get it again"
        ) from None


def _header(file):
    """The table of contents of a safetensors file; refuses a cut-off or foreign file."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        try:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > size:
                raise ValueError("its header does not fit")
            header = json.loads(stream.read(length))
            header.pop("__metadata__", None)
            end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
            sum(math.prod(entry["shape"]) for entry in header.values())
            if size != 8 + length + end:
                raise ValueError(f"{size} bytes, where its header speaks of {8 + length + end}")
        except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelUnavailable(
                f"{file} is damaged ({_in_a_line(error)}): get it again "
                "(a small text file in its place is a Git LFS pointer: run `git lfs pull`)"
            ) from None
    return header


def _check_kind(name, config, endings):
    """Refuse a model whose head is another than the one asked for."""
    heads = config.get("architectures")
    if not isinstance(heads, list) or not heads or not isinstance(heads[0], str):
        heads = ["model without a head"]
    if not heads[0].endswith(endings):
        raise ValueError(f"{name} is a {heads[0]}; wanted one that ends in {' or '.join(endings)}")


def number_count(folder):
    """How many numbers a folder's weight files hold."""
    entries = [entry for file in weight_files(folder) for entry in _header(file).values()]
    return sum(math.prod(entry["shape"]) for entry in entries)


def _check_memory(name, numbers, device, dtype, config=None):
    """Refuse a model whose weights do not fit, before loading takes the machine down.

    With the config of a generator what it remembers of one text counts too.
    """
    weights = 1.1 * numbers * dtype.itemsize  # a tenth for buffers and the numbers of one layer
    kept = 0 if config is None else _cache_bytes(config, dtype)
    free = free_bytes(device)
    if weights + kept > free:
        raise ModelUnavailable(
            f"{name} needs about {(weights + kept) / 1e9:.1f} GB as "
            f"{str(dtype).removeprefix('torch.')}"
            + (f" ({kept / 1e9:.1f} of them for the keys and values of one text)" if kept else "")
            + f", {free / 1e9:.1f} GB are free on {device}: take a smaller model, free memory"
            + (", or pass dtype='bfloat16'" if dtype.itemsize == 4 else "")
        )


def _cache_bytes(config, dtype, *, tokens=1024):
    """Bytes of the keys and values of one text of `tokens`, in two contexts; 0 where a config
    does not say how many there are."""
    from transformers import CONFIG_MAPPING

    config = CONFIG_MAPPING[config["model_type"]].from_dict(config).get_text_config(decoder=True)
    heads = getattr(config, "num_attention_heads", 0) or 0
    width = getattr(config, "hidden_size", 0) or 0
    size = getattr(config, "head_dim", None) or getattr(config, "d_kv", None)
    size = size or width // max(heads, 1)
    layers = getattr(config, "num_decoder_layers", None) or getattr(config, "num_hidden_layers", 0)
    heads = getattr(config, "num_key_value_heads", None) or heads
    if not all(isinstance(n, int) for n in (layers, heads, size)):
        return 0
    sides = 2 if getattr(config, "is_encoder_decoder", False) else 1  # its own, and the encoder's
    return 2 * sides * 2 * layers * heads * size * tokens * dtype.itemsize


# ---------------------------------------------------------------- adapters


def is_adapter(folder):
    """Whether a folder holds an adapter (PEFT's format) and no whole model."""
    folder = Path(folder)
    if not (folder / "adapter_config.json").is_file():
        return False
    whole = any(folder.glob("model*.safetensors*")) and (folder / "config.json").is_file()
    return not whole and not (folder / "modules.json").is_file()


def base_of(folder):
    """Name of the model that the adapter in a folder stands on.

    Raises
    ------
    ModelUnavailable
        Where it names none.
    """
    about = Path(folder) / "adapter_config.json"
    base = _read_json(folder, about).get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelUnavailable(f"{about} names no model that the adapter stands on; get it again")
    return base


def _adapted_config(name, folder, device, dtype):
    """Config of a classifier that an adapter makes of its base, with the adapter's labels."""
    from transformers import CONFIG_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

    about, base = _read_json(name, folder / "adapter_config.json"), base_of(folder)
    if (about.get("peft_type"), about.get("task_type")) != ("LORA", "SEQ_CLS"):
        raise ValueError(
            f"{name} is an adapter of kind {about.get('peft_type')} for {about.get('task_type')}, "
            "wanted LORA for SEQ_CLS: put it into its model with peft's `merge_and_unload`, and "
            "give the folder that `save_pretrained` writes"
        )
    if not (folder / _ADAPTER).is_file():
        raise ModelUnavailable(
            f"{name} has no {_ADAPTER} in {folder}: save it again with save_pretrained, which "
            "writes safetensors, or get it again"
        )
    _header(folder / _ADAPTER)
    try:
        _, config = resolve(base, device, dtype)
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{name} is an adapter for {base}: {error}") from None
    kind = CONFIG_MAPPING[config["model_type"]]
    if kind not in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        raise ValueError(f"{name} is an adapter for {base}, of which no classifier can be made")
    beside = folder / "config.json"
    labels = (_read_json(name, beside) if beside.is_file() else config).get("id2label")
    try:
        nli_columns(labels if isinstance(labels, dict) else {})
    except ValueError as error:
        raise ValueError(
            f"{name}: {error}; put the config.json of its training, with id2label, beside the "
            "adapter"
        ) from None
    head = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[kind].__name__
    return config | {"id2label": labels, "architectures": [head]}


def _load_adapted(auto, name, folder, config, device, dtype):
    """As `_load`, of an adapter: its base with the adapter put into the weights.

    They are added in float32, for half precision would round small changes away.
    """
    from peft import LoraConfig, PeftModel, get_peft_model_state_dict
    from transformers import AutoTokenizer

    base = base_of(folder)
    below = _body(resolve(base, device, dtype)[0])
    labels = {int(column): label for column, label in config["id2label"].items()}
    given = {key.removeprefix("base_model.model.") for key in _header(folder / _ADAPTER)}
    with _one_line(name):
        _check_memory(name, number_count(below), device, torch.float32)
    # A new head and an adapter begin with random numbers, which are then replaced: what others
    # draw must not depend on them.
    with adapting(), _one_line(name), torch.random.fork_rng(devices=[]):
        model, report = auto.from_pretrained(
            below, dtype=torch.float32, use_safetensors=True, local_files_only=True,
            id2label=labels, label2id={label: column for column, label in labels.items()},
            output_loading_info=True,
        )  # fmt: skip
        _check_missing(name, set(report["missing_keys"]) - given)
        about = LoraConfig.from_pretrained(str(folder))
        about.megatron_config = None  # else it names a module to import
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of what is missing, which is said below
            model = PeftModel.from_pretrained(model, str(folder), config=about, torch_device="cpu")
        wanted = get_peft_model_state_dict(model, save_embedding_layers=False)
        wanted = {key.removeprefix("base_model.model.") for key in wanted}
        _check_missing(name, wanted - given)
        if given - wanted:
            raise ModelUnavailable(
                f"{name} holds {len(given - wanted)} weights that {base} has no place for "
                f"({min(given - wanted)}, …): it is another model's adapter"
            )
        kind = pick_dtype(device, dtype, model_type=config["model_type"])
        model = model.merge_and_unload().to(device, kind).eval()
        check_finite(name, model)
        own = any((folder / file).is_file() for file in _TOKENIZER_FILES)
        tokenizer = AutoTokenizer.from_pretrained(folder if own else below, local_files_only=True)
        fit_tokenizer(name, tokenizer, model)
    return model, tokenizer


# ---------------------------------------------------------------- pooling


def _carried_pooling(folder):
    """Pooling that a sentence-transformers folder carries; None for a plain folder."""
    modules = _modules(folder)
    if modules is None:
        return None
    if [module["type"] for module in modules] == [_PROMPT_MODULE]:
        return "prompt"  # our own module: load_encoder builds it without looking at its name
    for module in modules:
        if not module["type"].startswith("sentence_transformers."):
            raise ModelUnavailable(
                f"{folder} brings its own code ({module['type']}), which is never run here"
            )
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    if "Pooling" not in kinds:
        raise ValueError(f"{folder} has no Pooling among its modules ({', '.join(kinds)})")
    place = kinds.index("Pooling")
    settings = _read_json(folder, folder / modules[place]["path"] / "config.json")
    return _with_mlp(_pooling_mode(settings), kinds[place + 1 : place + 2] == ["Dense"])


def _pooling_mode(settings):
    """Mode(s) in a Pooling module's settings, in its present form or the one of older versions."""
    if "pooling_mode" in settings:
        mode = settings["pooling_mode"]
        return mode if isinstance(mode, str) else tuple(mode)
    old = {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens": "weightedmean",
        "pooling_mode_lasttoken": "lasttoken",
    }
    modes = tuple(mode for key, mode in old.items() if settings.get(key))
    return modes[0] if len(modes) == 1 else modes


def _with_mlp(mode, dense_follows):
    return "cls_mlp" if mode == "cls" and dense_follows else mode


def known_pooling(name, pooling):
    """The pooling of a checkpoint that does not say it: its model card's, or the one asked for.

    Raises
    ------
    ValueError
        Where the two differ, or nobody says one.
    """
    for beginning, known in _POOLING_BY_README.items():
        if name.startswith(beginning):
            if pooling in (None, known) or beginning in _POOLING_IS_A_DEFAULT:
                return pooling or known
            raise ValueError(
                f"{name} was trained with pooling={known!r}; {pooling!r} would give wrong vectors"
            )
    if pooling is None:
        raise UnknownPooling(
            f"{name} does not say how it pools tokens into a sentence vector: pass the pooling "
            "that it was trained with, pooling='mean' or pooling='cls' (on the command line "
            "--pooling mean or --pooling cls; for a model that was never trained as a sentence "
            "encoder, mean)"
        )
    return pooling


def _model_options(config, dtype):
    """Arguments for from_pretrained. The unused pooler layer, random in most checkpoints, stays
    out: it would be saved, and trained by nothing."""
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    options = {"dtype": dtype, "use_safetensors": True}
    model_class = MODEL_MAPPING[CONFIG_MAPPING[config["model_type"]]]
    if "add_pooling_layer" in inspect.signature(model_class.__init__).parameters:
        options["add_pooling_layer"] = False
    return options


def _modules_of_plain_folder(folder, pooling, mlp, options):
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer

    body = Transformer(str(folder), model_kwargs=options)
    width = body.model.config.hidden_size
    if mlp is None:
        return [body, Pooling(width, pooling)]
    layer = Dense(width, width, activation_function=torch.nn.Tanh())
    layer.linear.load_state_dict(mlp)
    return [body, Pooling(width, "cls"), layer]


def _prompt_encoder(folder, config, options, device, *, new):
    """An encoder that reads sentences in a template: the folder's own, or one for a plain model."""
    from sentence_transformers import SentenceTransformer

    from synthlib import prompts
    from synthlib.prompt_pooling import PromptTransformer

    if new:
        ours = POCKET.resolve() in folder.resolve().parents
        form = config.get("synthlib_form") or ("pocket" if ours else "paper")
        template = prompts.PROMPT_POOLING["pocket" if form == "pocket" else "paper"]
        body = PromptTransformer(str(folder), model_kwargs=options, template=template)
    else:
        body = PromptTransformer.load(str(folder), model_kwargs=options, local_files_only=True)
    return SentenceTransformer(modules=[body], device=str(device))


def _pooler_weights(folder):
    """Weight and bias of the dense layer after [CLS] in a BERT or RoBERTa checkpoint."""
    from safetensors import safe_open

    found = {}
    for file in weight_files(folder):
        with safe_open(str(file), framework="pt") as tensors:
            for key in tensors.keys():
                match = re.fullmatch(r"(?:\w+\.)?pooler\.dense\.(weight|bias)", key)
                if match:
                    found[match[1]] = tensors.get_tensor(key).float()
    if len(found) != 2:
        raise ValueError(f"{folder} has no pooler layer, so pooling='cls_mlp' cannot be had")
    return found


# ---------------------------------------------------------------- loading


def _load(auto, name, folder, config, device, dtype):
    """Model (eval mode, on its device) and tokenizer of a checked folder."""
    from transformers import AutoTokenizer

    dtype = pick_dtype(device, dtype, model_type=config["model_type"])
    with _one_line(name):
        generates = config["architectures"][0].endswith(_ENDINGS["generator"])
        _check_memory(name, number_count(folder), device, dtype, config if generates else None)
    with quiet(), _one_line(name):
        # To a GPU directly: a whole copy in main memory first is more than small machines have.
        straight = {"device_map": {"": device}} if device.type == "cuda" else {}
        model, report = auto.from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True,
            output_loading_info=True, **straight,
        )  # fmt: skip
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        _check_missing(name, report["missing_keys"])
        model = model.to(device).eval()
        check_finite(name, model)
        fit_tokenizer(name, tokenizer, model)
    return model, tokenizer


def _check_missing(name, missing):
    if missing:
        missing = sorted(missing)
        raise ModelUnavailable(
            f"{name} lacks {len(missing)} of its weights ({missing[0]}, …) and would answer at "
            "random; get it again"
        )


def _check_body(name, body):
    """As `_check_missing`, where a library between reports nothing: transformers marks what it
    has read from a file."""
    read = {key: getattr(p, "_is_hf_initialized", False) for key, p in body.named_parameters()}
    _check_missing(name, [key for key, was in read.items() if not was])


def check_finite(name, model):
    """Raise ModelUnavailable where weights are not numbers: whatever reads them could only say
    that it got NaN."""
    bad = [
        key for key, weights in model.named_parameters()
        if not math.isfinite(weights.detach().sum(dtype=torch.float32))  # or a very large sum
        and not torch.isfinite(weights).all()
    ]  # fmt: skip
    if bad:
        raise ModelUnavailable(
            f"{name} holds NaN or infinity in {len(bad)} of its weights ({bad[0]}, …): get it "
            "again, or take another model"
        )


def fit_tokenizer(name, tokenizer, model):
    """Make a tokenizer pad, and cut where its model ends.

    Raises
    ------
    ModelUnavailable
        When it knows more tokens than the model: it is another model's.
    ValueError
        When it has nothing to pad with.
    """
    try:
        rows = model.get_input_embeddings().weight.shape[0]
    except (NotImplementedError, AttributeError):  # characters, hashed: no table
        rows = math.inf
    longest = tokenizer.model_max_length
    if not isinstance(longest, int | float) or longest < 1:
        raise ModelUnavailable(f"{name}: its tokenizer's model_max_length is {longest!r}")
    vocabulary = tokenizer.get_vocab()
    special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
    beyond = sum(place >= rows for token, place in vocabulary.items() if token not in special)
    if beyond:
        raise ModelUnavailable(
            f"{name}: its tokenizer knows {len(vocabulary):,} tokens and the model {rows:,}, so it "
            "is another model's; get both again"
        )
    if tokenizer.pad_token is None or tokenizer.pad_token_id >= rows:
        # Padding that a text itself ends in would hide the text's end from a classifier.
        used = tokenizer("a")["input_ids"]
        tokens = (tokenizer.eos_token, tokenizer.unk_token, tokenizer.bos_token)
        found = [token for token in tokens if token is not None and vocabulary[token] < rows]
        free = [token for token in found if vocabulary[token] not in used]
        if not found:
            raise ValueError(f"{name} has no padding, end or unknown token to pad batches with")
        tokenizer.pad_token = (free or found)[0]
    windows.cap(tokenizer, model)


@contextlib.contextmanager
def quiet():
    """No progress bars and reports from transformers for the moment, no retries that the Hub's
    library counts, nor what one library says to another about its future; errors still come."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    of_hub = hub_logging.get_verbosity()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(level)
        hub_logging.set_verbosity(of_hub)
        if bar:
            logging.enable_progress_bar()


@contextlib.contextmanager
def adapting():
    """Within it peft puts an adapter on a model; a torchao that peft refuses is one line.

    peft looks for torchao with every adapter, needed or not, and raises where that is older than
    it wants, as in Colab.
    """
    try:
        with quiet():
            yield
    except ImportError as error:
        if "torchao" not in str(error):
            raise
        raise ModelUnavailable(
            f"peft refuses the torchao that is installed here, {metadata.version('torchao')}: "
            "pip uninstall -y torchao (synthlib does without it), or pip install -U torchao"
        ) from None


@contextlib.contextmanager
def _one_line(name):
    """Turn whatever a library says about unreadable files into one line.

    Damaged settings fail as anything: AttributeError, TypeError, IndexError, the library's own.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, ModelUnavailable | ValueError) and str(error).startswith(str(name)):
            raise  # one of our own lines
        if ran_out(error):
            raise ModelUnavailable(
                f"{name} does not fit into the memory that is left: take a smaller model"
            ) from None
        raise ModelUnavailable(f"{name} cannot be loaded: {_in_a_line(error)}") from error


def _in_a_line(error):
    said = " ".join(str(error).split())[:300] or type(error).__name__
    if "ignore_mismatched_sizes" in said:  # what transformers would rather have switched off
        return "its weights have other shapes than its config.json says, so one is another model's"
    # On its own a missing key is a word, and says not what is the matter with it.
    return f"{type(error).__name__} {said}" if isinstance(error, LookupError) else said
