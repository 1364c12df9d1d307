"""Weights of the pocket generators for pages that run them (`viz/js/model.js`).

A page that was opened as a file may neither fetch nor import; a classic script it may load. So a
model is a script: its settings, its vocabulary, and its weights as base64. None is in git: it is
made from ``data/pocket`` when the book is built, when a figure is saved, or by
``python -m synthlib page-model``.

Single precision would weigh 5.4 MB, and half precision (2.7 MB) changes the greedy text of about
one prompt in some hundreds. So a weight is a whole number of 20 bits times the scale of its row:
3.4 MB, and the texts are those of the Python kernel (`tests/test_page_model.py` has the proof).
"""

from __future__ import annotations

import base64
import functools
import json
from pathlib import Path

import numpy as np

from synthlib import commands, paths

#: The models that a page can run.
NAMES = ("generator-t5", "generator-llama")
#: Bytes that a model's script may weigh.
LIMIT = 4_000_000


def _settings(config) -> dict:
    """What the forward pass needs to know, by the names that model.js uses."""
    if config["model_type"] == "t5":
        wanted = {
            "feed_forward_proj": "relu", "tie_word_embeddings": True,
        }  # fmt: skip
        found = {
            "width": config["d_model"], "heads": config["num_heads"], "size": config["d_kv"],
            "layers": config["num_layers"], "decoderLayers": config["num_decoder_layers"],
            "epsilon": config["layer_norm_epsilon"],
            "buckets": config["relative_attention_num_buckets"],
            "farthest": config["relative_attention_max_distance"],
            "scaled": config["scale_decoder_outputs"],
        }  # fmt: skip
    else:
        wanted = {
            "model_type": "llama", "hidden_act": "silu", "tie_word_embeddings": True,
            "attention_bias": False, "mlp_bias": False,
            "num_key_value_heads": config.get("num_attention_heads"),
        }  # fmt: skip
        rope = config.get("rope_parameters", {})
        if rope.get("rope_type") != "default":
            raise ValueError(f"only the default rotary positions are written in JS, got {rope}")
        found = {
            "width": config["hidden_size"], "heads": config["num_attention_heads"],
            "size": config["head_dim"], "layers": config["num_hidden_layers"],
            "epsilon": config["rms_norm_eps"], "theta": rope["rope_theta"],
        }  # fmt: skip
    for name, value in wanted.items():
        if config.get(name) != value:
            got = config.get(name)
            raise ValueError(f"a page runs models with {name} = {value!r}, got {got!r}")
    return found


def _packed(tensors, precision) -> tuple[bytes, bytes]:
    """Weights and, for whole numbers, the scale of each row."""
    if precision != "q20":
        flat = np.concatenate([tensor.ravel() for tensor in tensors])
        if abs(flat).max() > np.finfo(f"<{precision}").max:
            raise ValueError(f"there are weights that {precision} cannot hold")
        return flat.astype(f"<{precision}").tobytes(), b""
    scales = [abs(tensor).max(-1).ravel() / (2**19 - 1) for tensor in tensors]
    whole = np.concatenate([
        np.rint(tensor.reshape(len(scale), -1) / np.where(scale > 0, scale, 1)[:, None]).ravel()
        for tensor, scale in zip(tensors, scales, strict=True)
    ])  # fmt: skip
    first, second = (whole.astype(np.int64) + 2**19).reshape(-1, 2).T  # five bytes for two
    five = np.stack([(first | second << 20) >> 8 * byte & 255 for byte in range(5)], axis=-1)
    return five.astype(np.uint8).tobytes(), np.concatenate(scales).astype("<f4").tobytes()


def payload(name: str, *, precision: str = "q20", folder=None) -> dict:
    """A model as plain JSON types.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    precision : "q20", "f2" or "f4"
        Whole numbers of 20 bits with a scale a row (what pages get); half or single precision.
    folder : path, optional
        Where the models lie; default ``data/pocket``.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        A name or precision that there is not, or a model of another build.
    """
    from safetensors.numpy import load_file

    if name not in NAMES:
        raise ValueError(f"no model {name!r} for pages: there are {', '.join(NAMES)}")
    if precision not in ("q20", "f2", "f4"):
        raise ValueError(f"precision must be 'q20', 'f2' or 'f4', got {precision!r}")
    home = Path(folder or paths.POCKET) / name
    config, generation, tokens, core = (
        json.loads((home / f"{part}.json").read_text(encoding="utf-8"))
        for part in ("config", "generation_config", "tokenizer_config", "tokenizer")
    )
    words = sorted(core["model"]["vocab"], key=core["model"]["vocab"].get)
    ids = {word: i for i, word in enumerate(words)}
    special = {k: ids[tokens[f"{k}_token"]] for k in ("pad", "unk", "mask", "cls", "sep")}
    end = ids[tokens["eos_token"]]
    tensors = load_file(home / "model.safetensors")
    weights, scales = _packed(list(tensors.values()), precision)
    return {
        "name": name,
        "kind": config["model_type"],
        "config": _settings(config),
        "words": words,
        "special": [token["content"] for token in core["added_tokens"]],
        "unknown": special["unk"],
        "ends": sorted({end, generation["eos_token_id"]}),
        "banned": sorted(set(special.values()) - {end}),
        "start": generation.get("decoder_start_token_id"),
        # What the tokenizer puts after a prompt: the T5's has an end token.
        "appends": end if core["post_processor"]["special_tokens"] else None,
        "window": tokens["model_max_length"],
        "format": precision,
        "tensors": [[key, tensor.size, tensor.shape[-1]] for key, tensor in tensors.items()],
        "weights": base64.b64encode(weights).decode("ascii"),
        "scales": base64.b64encode(scales).decode("ascii"),
    }


@functools.lru_cache(maxsize=4)
def script(name: str) -> str:
    """A model as a classic script that gives it to the page (`SC.provide` of `viz/js/core.js`).

    Raises
    ------
    ValueError
        As `payload`, or if the script would weigh more than `LIMIT` bytes.
    """
    content = json.dumps(payload(name), ensure_ascii=True, separators=(",", ":"))
    content = content.replace("<", "\\u003c")
    text = f'SC.provide("{name}.js", {content});\n'
    if len(text) > LIMIT:
        raise ValueError(f"the script of {name} has {len(text)} bytes; a page may load {LIMIT}")
    return text


def write(folder, names=NAMES) -> list[Path]:
    """Write models as ``<folder>/<name>.js``, each file complete or not at all.

    Parameters
    ----------
    folder : path
        Made where it is absent.
    names : sequence of str
        Of `NAMES`.

    Returns
    -------
    list of Path
    """
    for name in set(names) - set(NAMES):
        raise ValueError(f"no model {name!r} for pages: there are {', '.join(NAMES)}")
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; the name of a folder is wanted")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in names:
        text, target = script(name), folder / f"{name}.js"
        paths.write_bytes(target, text.encode())
        written.append(target)
    return written


def main(argv) -> int:
    """Command line: ``python -m synthlib page-model --out DIR [--only NAME …]``."""
    options = commands.page_model().parse_args(argv)
    for path in write(options.out, options.only or NAMES):
        print(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    return 0
