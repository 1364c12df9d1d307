"""How many tokens a model reads at once.

Configurations do not say it reliably: some have no entry, or −1, or count rows of a table whose
first rows are never a position. So it is tried, once a model: a pass over a few tokens shows which
rows of which table serve as their positions, and so how many rows are left. Models without such a
table (rotary, relative, ALiBi) are taken at their configuration's word.
"""

import re
import weakref
from collections import OrderedDict
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

# In a configuration, most tokens of models that keep no table of positions.
_IN_CONFIG = (
    "max_position_embeddings", "n_positions", "max_seq_len", "max_encoder_position_embeddings",
)  # fmt: skip
_SANE = 10**9  # tokenizers without a limit say 1e30

_READ, _WRITTEN = 7, 4  # tokens of the trial, so that encoder and decoder are told apart
_known = weakref.WeakKeyDictionary()


class Window(NamedTuple):
    """Most tokens that a model reads, and most that an encoder–decoder writes (None: no limit)."""

    reads: int | None
    writes: int | None


def of(model) -> Window:
    """The window of a loaded model (transformers, with or without an adapter around it)."""
    model = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not isinstance(model, torch.nn.Module):
        return _by_config(model.config)
    if model not in _known:
        said, tried = _by_config(model.config), _tried(model)
        reads = said.reads if tried.reads is None else tried.reads
        _known[model] = Window(reads, said.writes if tried.writes is None else tried.writes)
    return _known[model]


def size(model, tokenizer) -> int | None:
    """Most tokens that a model reads at once, its tokenizer's own limit included, or None."""
    limits = (of(model).reads, getattr(tokenizer, "model_max_length", None))
    return min((int(n) for n in limits if n and n < _SANE), default=None)


def cap(tokenizer, model) -> None:
    """Let a tokenizer cut where its model ends; what is no limit stays none."""
    reads = of(model).reads
    if reads is not None:
        tokenizer.model_max_length = min(tokenizer.model_max_length, reads)


def _by_config(config) -> Window:
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    found = [getattr(held, name, None) for held in (config, text) for name in _IN_CONFIG]
    reads = min((n for n in found if isinstance(n, int) and 0 < n < _SANE), default=None)
    if not getattr(config, "is_encoder_decoder", False):
        return Window(reads, None)
    # Relative positions (T5) go on as long as one likes; a decoder with a table is tried.
    writes = getattr(config, "max_decoder_position_embeddings", None)
    return Window(reads, writes)


class _Lookups(TorchFunctionMode):
    """Notes what is looked up in which table: (indices, rows of the table)."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function is F.embedding and len(args) > 1:
            self.seen.append((args[0].detach(), args[1].shape[0]))
        return function(*args, **(kwargs or {}))


def _tried(model) -> Window:
    """Rows of the position tables that a pass over a few equal tokens leaves to be used."""
    body = model.base_model
    options = dict(input_ids=_same_token(model, _READ))
    options["attention_mask"] = torch.ones_like(options["input_ids"])
    if getattr(model.config, "is_encoder_decoder", False):
        options["decoder_input_ids"] = _same_token(model, _WRITTEN)
    try:
        with _undisturbed(model), torch.no_grad(), _Lookups() as lookups:
            body(**options)
    except Exception:  # it wants more than tokens: what its modules are called has to do
        return Window(_by_name(model), None)
    reads, writes = [], []
    for indices, rows in lookups.seen:
        first = _first_position(indices)
        if first is not None:
            (writes if indices.shape[-1] == _WRITTEN else reads).append(rows - first)
    return Window(min(reads, default=None), min(writes, default=None))


@contextmanager
def _undisturbed(model):
    """A trial is no work of the model's: nobody who watches it hears of it, and dropout and random
    numbers are left as they were."""
    modules = list(model.modules())
    before = [(m.training, m._forward_pre_hooks, m._forward_hooks) for m in modules]
    try:
        for module in modules:
            module.training = False
            module._forward_pre_hooks, module._forward_hooks = OrderedDict(), OrderedDict()
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        for m, held in zip(modules, before, strict=True):
            m.training, m._forward_pre_hooks, m._forward_hooks = held


def _same_token(model, count):
    """A row of one token that stands for nothing else, least of all for padding."""
    special = {
        value for name, value in model.config.to_dict().items() if name.endswith("_token_id")
        and isinstance(value, int)
    }  # fmt: skip
    token = next(i for i in range(len(special) + 1) if i not in special)
    return torch.full((1, count), token, device=model.device)


def _first_position(indices) -> int | None:
    """The first of consecutive ascending indices, or None where they are no positions.

    Behind the tokens there may be padding, to a multiple of a local window.
    """
    count = _WRITTEN if indices.shape[-1:] == (_WRITTEN,) else _READ
    if indices.is_floating_point() or indices.ndim == 0 or indices.shape[-1] < count:
        return None
    rows = indices.reshape(-1, indices.shape[-1])[:, :count].cpu()
    first = int(rows[0, 0])
    return first if (rows == torch.arange(first, first + count)).all() else None


def _by_name(model) -> int | None:
    """As `_tried`, from the tables that are called positions."""
    found = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding) and re.search(r"position\w*$|wpe$", name):
            padding = -1 if module.padding_idx is None else module.padding_idx
            found.append(module.num_embeddings - getattr(module, "offset", padding + 1))
    return min(found, default=None)
