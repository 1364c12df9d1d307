"""Training of sentence encoders with the kernels of `losses`.

The loop is sentence-transformers' trainer (Hugging Face's underneath): checkpoints, mixed
precision, any number of processes (`accelerate launch` or `torchrun` starts them). What this
module adds is the loss that the book describes, one stacked forward pass a step, the choice of the
best weights on a development score, and runs that resume to the same result.
"""

import contextlib
import hashlib
import json
import math
import os
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.util import batch_to_device
from torch import nn
from transformers import PrinterCallback, TrainerCallback, set_seed

from synthlib import losses, memory, models

PROJECTIONS = ("mlp_train_only", None)
_STATE = "synthlib_state.safetensors"  # of a checkpoint: encoder, projection, best weights so far
LARGE, CHUNK = 2048, 128  # from so many rows on the loss is computed so many rows at a time
_ROWS, _ENDS = "data_rows", "sentence_ends"  # of a batch, as numbers
_RUN = "synthlib_run.json"  # of an output folder: what the run in it was asked to do


def train_unsupervised_simcse(
    encoder,
    sentences,
    *,
    batch_size=64,
    learning_rate=3e-5,
    epochs=None,
    projection="mlp_train_only",
    **options,
):
    """Unsupervised SimCSE: a sentence's positive is itself, seen through another dropout mask.

    Parameters
    ----------
    encoder : sentence_transformers.SentenceTransformer
        Trained in place, in float32 (half-precision weights are converted first; the passes
        themselves run in half precision on a GPU). It needs dropout in its configuration.
    sentences : sequence of str
        Non-empty; at least `batch_size` of them.
    batch_size : int ≥ 2
        Rows N that contrast with each other in a step, all processes together. A last, smaller
        batch of an epoch is left out.
    learning_rate : float
        Of AdamW at the start; it falls linearly to 0. Gradients are clipped at norm 1.
    epochs : float, optional
        Passes over the data; default 1 (3 when supervised). Give this or `max_steps`, not both.
    projection : {"mlp_train_only", None}
        "mlp_train_only" puts a dense layer with tanh between pooling and loss and drops it after
        training, SimCSE's choice for unsupervised training (§6.3). Default None when supervised,
        so that the vectors that are trained are the ones that are used.
    max_steps : int, optional
        Optimiser steps, instead of `epochs`.
    tau : float
        Temperature of the loss, default 0.05.
    seed : int
        Of the order of the data, of dropout and of the projection; also sets the global random
        generators of Python, NumPy and PyTorch. Same seed and machine, same weights.
    max_length : int
        Longest sentence in tokens, default 32 (SimCSE); batches are padded to their own longest.
    dev : callable, optional
        `dev(encode) -> float`, larger is better, where `encode` maps a list of n strings to an
        (n, d) array. Called every `eval_steps` steps and after the last; the weights with the best
        score are the ones that the encoder ends with.
    eval_steps : int, optional
        Default: a tenth of the run, at most 250 (SimCSE Appendix A).
    output_dir : str or Path, optional
        Folder for checkpoints, one every `save_steps` (default: `eval_steps`). The same call with
        the same folder goes on where an interrupted one stopped and ends with the same weights.
    precision : {"fp32", "bf16", "fp16"}, optional
        Of the passes. Default: what this device computes fast, `models.training_precision`; a run
        that goes on keeps the one it began with.
    distill : callable, optional
        `distill(rows [N]) -> (teacher's anchors [N, t], positives [N, t])`, called at every step
        with the numbers of the batch's rows; adds `losses.rank_distillation` (RankCSE) between
        them and the batch's own anchors and positives, both at temperature `tau`.
    distill_weight : float
        Its weight beside InfoNCE, default 0.1, as in RankCSE's public reimplementation.
    mini_batch_size : int, optional
        Sentences that the encoder reads at once, for batches that do not fit into memory: same
        loss and gradient for more time (`embed_in_chunks`). A row is two sentences here, three
        when supervised. Default: all of a process's sentences. Where a single process runs out
        of memory it is halved, and a warning says so.
    progress : bool
        Show a progress bar, default True.

    Returns
    -------
    encoder, in eval mode, with `encoder.training_history`: list of {"step", "loss",
    "learning_rate"} and {"step", "dev"}.
    If training ends by an error or an interrupt, the encoder has its first weights again.

    Raises
    ------
    ValueError
        For an option out of range, an empty, blank or non-text sentence, fewer sentences than one
        batch, NaN in the embeddings or the development score, an output folder with another run.

    Source: SimCSE (Gao et al. 2021) §3, Eq. 4; Appendix A for batch size and learning rate.
    """
    _check_encoder(encoder)
    if not any(isinstance(module, nn.Dropout) and module.p > 0 for module in encoder.modules()):
        warnings.warn(
            "the encoder has no dropout, so a sentence and its positive get the same vector and "
            "nothing but the negatives is learned; load it with dropout > 0 in its config",
            stacklevel=2,
        )
    sentences = _checked_texts(sentences, "sentences")
    return _train(
        encoder,
        {"anchor": sentences},
        views=("anchor", "anchor"),
        batch_size=batch_size,
        learning_rate=learning_rate,
        epochs=1 if epochs is None and options.get("max_steps") is None else epochs,
        projection=projection,
        **options,
    )


def train_supervised_simcse(
    encoder,
    triplets,
    *,
    keep=None,
    variant="paper",
    batch_size=128,
    learning_rate=5e-5,
    epochs=None,
    projection=None,
    **options,
):
    """Supervised SimCSE: triplets of anchor, positive and hard negative, with in-batch negatives.

    Parameters
    ----------
    encoder : sentence_transformers.SentenceTransformer
    triplets : sequence of (anchor, positive, hard negative), DataFrame, or datasets.Dataset
        A table has the columns anchor, positive, negative; others are not read.
    keep : callable, optional
        `keep(rows [N]) -> bool [N, 2N]`, the mask for `losses.info_nce`, or what else that takes
        as `keep`, such as `losses.false_negative_rows`: called at every step with
        the numbers of the batch's rows in `triplets`, so that it can look up what was computed
        once, e.g. a guide's embeddings for `losses.false_negative_keep` (MultiCSR stage 3).
    variant : {"paper", "released"}
        Of `losses.info_nce`.
    batch_size, learning_rate, epochs, projection, **options
        As in `train_unsupervised_simcse`; `epochs` is 3 by default.

    Returns
    -------
    encoder, as `train_unsupervised_simcse`

    Raises
    ------
    ValueError
        As `train_unsupervised_simcse`, and for a row that is not three sentences.

    Source: SimCSE §4, Eq. 5; MultiCSR §3.3, Eqs. 5 to 7; ART §3.3, Eq. 5.
    """
    _check_encoder(encoder)
    return _train(
        encoder,
        _checked_triplets(triplets),
        views=("anchor", "positive", "negative"),
        keep=keep,
        variant=variant,
        batch_size=batch_size,
        learning_rate=learning_rate,
        epochs=3 if epochs is None and options.get("max_steps") is None else epochs,
        projection=projection,
        **options,
    )


def post_train_ranking(
    encoder,
    lists,
    targets,
    *,
    tau=0.05,
    learning_rate=3e-6,
    lists_per_step=1,
    epochs=None,
    own=True,
    **options,
):
    """Post-training on ranking lists: the encoder learns how similar the sentences of a list are
    to each other, as an order.

    Every sentence of a list ranks the list by cosine / `tau`; `losses.list_mle` compares each of
    these rankings with the one that its row of the target matrix gives. A list's loss is the mean
    over its rows, a step's the mean over its lists. (Eq. 8 sums the rows; Adam does not see the
    factor.)

    Parameters
    ----------
    encoder : sentence_transformers.SentenceTransformer
        Any, with any pooling; trained in place.
    lists : sequence of lists of str
        Ranking lists of two or more sentences; their lengths may differ.
    targets : sequence of float arrays [n, n]
        One for each list, n as many as its sentences: similarities, or anything that is larger
        where two sentences should be nearer (`losses.refine_similarity`).
    tau : float
        Temperature, default 0.05.
    learning_rate : float
        Default 3e-6, as in the released code; small encoders bear more.
    lists_per_step : int ≥ 1
        Lists of a step, all processes together.
    epochs : float, optional
        Passes over the lists, default 1. Give this or `max_steps`, not both.
    own : bool
        Whether a sentence stands in its own ranking, as in Eq. 8. It is always first there, so
        this part of the loss moves it away from all others of its list.
    **options
        As in `train_unsupervised_simcse`: max_steps, seed, max_length, dev, eval_steps,
        output_dir, save_steps, precision, mini_batch_size (sentences), progress.

    Returns
    -------
    encoder, as `train_unsupervised_simcse`

    Raises
    ------
    ValueError
        As `train_unsupervised_simcse`, and for as many targets as there are no lists, a list of
        one sentence, a target of another shape, with NaN, or with all similarities equal.

    Source: ranking sentences § 3.2, Eq. 8; Appendix C; learning rate, one list a step and one
    epoch: the released code.
    """
    _check_encoder(encoder)
    lists = _checked_lists(lists)
    targets = _checked_targets(targets, lists)
    return _train(
        encoder,
        {"sentences": lists},
        batch_size=lists_per_step,
        learning_rate=learning_rate,
        epochs=1 if epochs is None and options.get("max_steps") is None else epochs,
        projection=None,
        tau=tau,
        ranking=(targets, own),
        **options,
    )


# ---------------------------------------------------------------- the run


def _train(
    encoder,
    columns,
    *,
    batch_size,
    learning_rate,
    epochs,
    projection,
    views=None,
    ranking=None,
    keep=None,
    variant="paper",
    distill=None,
    distill_weight=0.1,
    mini_batch_size=None,
    tau=0.05,
    max_steps=None,
    seed=0,
    max_length=32,
    dev=None,
    eval_steps=None,
    output_dir=None,
    save_steps=None,
    precision=None,
    progress=True,
):
    """Train on `columns` (name → texts); `views` are the columns that a row's loss compares. With
    `ranking` (targets, own) a row is a list instead."""
    from datasets import Dataset

    rows = len(next(iter(columns.values())))
    _check_options(
        rows, batch_size, 2 if ranking is None else 1, learning_rate, epochs, max_steps, tau,
        max_length, projection, eval_steps, save_steps, distill_weight, mini_batch_size,
    )  # fmt: skip
    if precision is None and output_dir:
        precision = _precision_of(output_dir)
    precision = models.training_precision(
        encoder.device, precision, model_type=_model_type(encoder)
    )
    steps = max_steps or math.ceil(epochs * (rows // batch_size))
    eval_steps = min(eval_steps or min(250, max(1, steps // 10)), steps)
    settings = dict(
        views=views, batch_size=batch_size, learning_rate=learning_rate, steps=steps, tau=tau,
        seed=seed, max_length=max_length, projection=projection, variant=variant,
        eval_steps=eval_steps, dev=dev is not None, keep=keep is not None,
        distill=distill is not None and distill_weight, mini_batch_size=mini_batch_size,
        precision=precision,
        data=_fingerprint(columns.values() if ranking is None else columns["sentences"]),
    )  # fmt: skip
    if ranking is not None:
        targets = {str(i): target for i, target in enumerate(ranking[0])}
        settings |= dict(own=ranking[1], targets=_fingerprint_weights(targets))
    encoder.float()
    settings["encoder"] = _fingerprint_weights(_copy(encoder))

    with contextlib.ExitStack() as stack:
        stack.enter_context(models.quiet())
        folder = output_dir or stack.enter_context(tempfile.TemporaryDirectory())
        arguments = _arguments(
            encoder, folder, batch_size, learning_rate, steps, seed, precision,
            save_steps=(save_steps or eval_steps) if output_dir else None,
        )  # fmt: skip
        set_seed(seed)
        width = _width(encoder)
        head = nn.Sequential(nn.Linear(width, width), nn.Tanh()) if projection else nn.Identity()
        if ranking is None:
            loss = InBatchLoss(
                encoder, head, len(views), tau, keep, variant, distill, distill_weight,
                mini_batch_size,
            )  # fmt: skip
        else:
            loss = RankingLoss(encoder, head, *ranking, tau, mini_batch_size)
        trainer = _Trainer(
            model=encoder,
            args=arguments,
            train_dataset=Dataset.from_dict({**columns, "row": range(rows)}),
            data_collator=Collator(encoder, views, max_length),
            loss=loss,
        )
        trainer.watch(_Selection(encoder, dev, eval_steps), progress)
        _go_on(trainer, settings if output_dir else None)
    if trainer.selection.best_weights is not None:
        encoder.load_state_dict(trainer.selection.best_weights)
    encoder.training_history = _history(trainer)
    return encoder.eval()


def _go_on(trainer, settings):
    """Train to the last step, from the newest checkpoint of the run with these settings, if any.

    Where it ends by an error or an interrupt the encoder has its first weights again: half-trained
    ones would pass for a model.
    """
    encoder, first, folder = trainer.model, _copy(trainer.model), trainer.args.output_dir
    try:
        checkpoint = _start_or_resume(folder, settings, trainer) if settings else None
        if checkpoint is not None and _step_of(checkpoint) >= trainer.args.max_steps:
            trainer.restore(checkpoint)
        else:
            trainer.train(resume_from_checkpoint=checkpoint)
    except BaseException:
        encoder.load_state_dict(first)
        encoder.eval()
        raise


def _arguments(encoder, folder, batch_size, learning_rate, steps, seed, precision, save_steps):
    """Arguments for the trainer, on the device where the encoder is."""
    device = encoder.device
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        learning_rate=learning_rate,
        lr_scheduler_type="linear",
        seed=seed,
        use_cpu=device.type == "cpu",
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        dataloader_drop_last=True,
        dataloader_pin_memory=device.type == "cuda",
        # A batch takes its turn on the GPU, and the program does not wait for it.
        accelerator_config={"non_blocking": device.type == "cuda"},
        logging_steps=max(1, steps // 50),
        logging_nan_inf_filter=False,  # it asks for the loss in every step; `_Selection` sees NaN
        log_level_replica="passive",  # as quiet as the first process
        save_strategy="no" if save_steps is None else "steps",
        save_steps=save_steps or steps,
        save_total_limit=2,  # the one before the last stays until the last is whole
        report_to="none",
        disable_tqdm=True,
    )
    processes = arguments.world_size
    if batch_size % processes:
        raise ValueError(f"batch_size {batch_size} cannot be shared by {processes} processes")
    arguments.per_device_train_batch_size = batch_size // processes
    if processes > 1:  # DDP looks for them in each step, and warns where there are none
        arguments.ddp_find_unused_parameters = _some_unused(encoder)
    arguments._n_gpu = min(arguments.n_gpu, 1)  # several GPUs: one process each, not threads
    return arguments


def _some_unused(encoder):
    """Whether a parameter to train, as of a pooler that is not asked, has no part in a vector."""
    training = encoder.training
    encoder.eval()  # no dropout: nothing is drawn
    tokens = batch_to_device(encoder.preprocess(["a b"]), encoder.device)
    encoder(tokens)["sentence_embedding"].sum().backward()
    unused = any(p.requires_grad and p.grad is None for p in encoder.parameters())
    encoder.zero_grad(set_to_none=True)
    encoder.train(training)
    return unused


def _model_type(encoder):
    """`model_type` of the transformer in an encoder, "" where there is none."""
    configs = (getattr(module, "config", None) for module in encoder.modules())
    return next((c.model_type for c in configs if hasattr(c, "model_type")), "")


def _width(encoder):
    """Length of the encoder's vectors (the method was renamed in sentence-transformers 6)."""
    name = "get_embedding_dimension"
    return (getattr(encoder, name, None) or encoder.get_sentence_embedding_dimension)()


def _history(trainer):
    wanted = ("step", "loss", "learning_rate", "dev")
    logged = [{key: e[key] for key in wanted if key in e} for e in trainer.state.log_history]
    return [entry for entry in logged if "loss" in entry or "dev" in entry]


class Collator:
    """Tokenise the views of a batch as one stack [views · N, longest], and say which rows it is.

    Parameters
    ----------
    encoder : SentenceTransformer
    views : sequence of str, or None
        Columns of the rows; without them the rows' ``sentences``, one list behind the other.
    max_length : int
        In tokens, a template's not counted.
    """

    valid_label_columns = ()

    def __init__(self, encoder, views, max_length):
        self.encoder = encoder
        self.views = views
        # The words of a template, where the encoder has one, are no part of the sentence.
        max_length += getattr(encoder[0], "template_length", 2) - 2
        self.max_length = min(max_length, encoder.max_seq_length or max_length)

    def __call__(self, rows):
        if self.views is None:
            texts = [text for row in rows for text in row["sentences"]]
        else:
            texts = [row[view] for view in self.views for row in rows]
        longest, self.encoder.max_seq_length = self.encoder.max_seq_length, self.max_length
        try:
            tokens = self.encoder.preprocess(texts)
        finally:
            self.encoder.max_seq_length = longest
        batch = {key: value for key, value in tokens.items() if isinstance(value, torch.Tensor)}
        numbers = [row["row"] for row in rows]
        # What the loss has to know as numbers stays in main memory, so that no GPU is asked for it.
        batch |= {_ROWS: tuple(numbers), _ENDS: tuple(_ends(batch["attention_mask"]).tolist())}
        named = {f"sentence_{key}": value for key, value in batch.items()}
        return named | {"label": torch.tensor(numbers)}


class _Loss(nn.Module):
    """Sentences to a loss: `value(vectors, rows)` of a subclass, for vectors [sentences, d]."""

    def __init__(self, model, head, tau, mini_batch_size):
        super().__init__()
        self.model, self.head = model, head
        self.tau, self.mini_batch_size = tau, mini_batch_size
        self.waits = model.device.type != "cpu"  # to look at a value stops the program there
        self.looked = False
        self.numbers = None  # the batch's rows in main memory, where the collator gave them

    def forward(self, features, rows):
        features = dict(features[0])
        self.numbers, ends = features.pop(_ROWS, None), features.pop(_ENDS, None)
        vectors = _embed(self.model, features, self.mini_batch_size, ends)
        with losses.unchecked() if self.waits and self.looked else contextlib.nullcontext():
            value = self.value(vectors, rows)
        self.looked = True
        return value


class InBatchLoss(_Loss):
    """`losses.info_nce` over the batch of all processes, and what a teacher adds to it.

    Parameters
    ----------
    model : SentenceTransformer
    head : module
        Of the vectors [views, N, d], in training alone.
    views : int
        Two, or three with hard negatives.
    tau, variant
        As in `losses.info_nce`.
    keep, distill : callables or None
        Of the batch's rows: the mask [N, 2N], a teacher's similarities.
    distill_weight : float
    mini_batch_size : int, optional
        As in `embed_in_chunks`.
    """

    def __init__(
        self, model, head, views, tau, keep, variant, distill=None, distill_weight=0.1,
        mini_batch_size=None,
    ):  # fmt: skip
        super().__init__(model, head, tau, mini_batch_size)
        self.views, self.keep, self.variant = views, keep, variant
        self.distill, self.distill_weight = distill, distill_weight

    def value(self, vectors, rows):
        vectors = vectors.view(self.views, len(rows), -1)  # [views, N, d]
        vectors, rows = _gather(vectors, rows)
        # The head sees the whole batch in every process, so its copies get the same gradient.
        vectors = self.head(vectors)
        keep = None if self.keep is None else self.keep(rows)
        loss = losses.info_nce(
            *vectors, tau=self.tau, keep=keep, variant=self.variant,
            chunk_size=CHUNK if len(rows) >= LARGE else None,
        )  # fmt: skip
        if self.distill is None:
            return loss
        ranking = losses.rank_distillation(*vectors[:2], *self.distill(rows), tau=self.tau)
        return loss + self.distill_weight * ranking


class RankingLoss(_Loss):
    """`losses.list_mle` over the lists of a step.

    Parameters
    ----------
    model, head, tau, mini_batch_size
        As in `InBatchLoss`; the vectors go through no head.
    targets : sequence of tensors [n]
        Of each list, by its row.
    own : bool
        Whether a sentence's similarity to itself takes part.
    """

    def __init__(self, model, head, targets, own, tau, mini_batch_size):
        super().__init__(model, head, tau, mini_batch_size)
        self.targets, self.own = targets, own

    def value(self, vectors, rows):
        vectors = losses.unit(vectors)
        numbers = rows.tolist() if self.numbers is None else self.numbers
        wanted = [memory.moved(self.targets[row], vectors.device) for row in numbers]
        each = []
        for held, target in zip(vectors.split([len(t) for t in wanted]), wanted, strict=True):
            with torch.autocast(held.device.type, enabled=False):
                scores = held @ held.T / self.tau  # [n, n]
            mask = None
            if not self.own:
                mask = ~torch.eye(len(target), dtype=torch.bool, device=held.device)
            each.append(losses.list_mle(scores, target, mask=mask, reduction="mean"))
        return torch.stack(each).mean()


def _embed(model, features, mini_batch_size, ends):
    """Vectors [sentences, d] in float32."""
    if mini_batch_size is None:
        return model(features)["sentence_embedding"].float()
    return embed_in_chunks(model, features, mini_batch_size, ends=ends).float()


def _ends(attention_mask):
    """Tokens of each row up to its last one, behind which there is only padding."""
    return attention_mask.cumsum(dim=1).argmax(dim=1) + 1


def embed_in_chunks(model, features, size, *, ends=None):
    """Embeddings of a batch with the memory of `size` sentences, gradients included (GradCache).

    A contrastive loss needs all vectors of a batch at once, but not all that the encoder keeps for
    its backward pass. So the encoder runs twice: first chunk by chunk without that memory, for the
    vectors alone; then, when the gradient of the loss with respect to the vectors is known, chunk
    by chunk again, each with its own part of it. Loss and gradient are those of the whole batch.
    (The last chunk runs once: the memory of one chunk is there.)

    Parameters
    ----------
    model : callable
        `model(features)["sentence_embedding"]`, e.g. an encoder, also inside of
        `DistributedDataParallel`.
    features : dict of tensors [rows, longest]
        From a tokenizer.
    size : int ≥ 1
        Rows of a chunk.
    ends : sequence of int, optional
        Tokens of each row up to its last one; where they are not known a GPU is asked for them.

    Returns
    -------
    tensor [rows, d]
        `backward` of whatever is computed from it reaches the parameters of `model`.

    Source: GradCache (Gao et al. 2021b, Scaling Deep Contrastive Learning Batch Size), § 3.
    """
    device = features["attention_mask"].device
    ends = _ends(features["attention_mask"]).cpu() if ends is None else torch.tensor(ends)
    order = ends.argsort(stable=True)  # alike lengths together: little is padding in a chunk
    back = memory.moved(order.argsort(), device)
    chunks = []
    for rows in order.split(size):
        last, rows = int(ends[rows].max()), memory.moved(rows, device)
        chunks.append({key: value[rows, :last] for key, value in features.items()})
    if len(chunks) == 1:
        return model(chunks[0])["sentence_embedding"][back]
    start = torch.zeros((), device=device, requires_grad=True)  # so that backward is called
    early = GradientCache.apply(start, model, chunks[:-1])
    with _alone(model):
        late = model(chunks[-1])["sentence_embedding"]
    return torch.cat([early, late])[back]


def _alone(model):
    """Several processes add up their gradients once a step: not for what runs in here."""
    return getattr(model, "no_sync", contextlib.nullcontext)()


class GradientCache(torch.autograd.Function):
    """The two passes of `embed_in_chunks` (Gao et al. 2021b)."""

    @staticmethod
    def forward(ctx, start, model, chunks):
        ctx.model, ctx.chunks, ctx.device = model, chunks, start.device
        kind = start.device.type
        ctx.precision = dict(
            device_type=kind, dtype=torch.get_autocast_dtype(kind),
            enabled=torch.is_autocast_enabled(kind), cache_enabled=False,
        )  # fmt: skip
        ctx.random, vectors = [], []
        with torch.autocast(**ctx.precision):
            for chunk in chunks:  # PyTorch records no gradient inside of this function
                ctx.random.append(_random_state(start.device))
                vectors.append(model(dict(chunk))["sentence_embedding"])
        return torch.cat(vectors)

    @staticmethod
    def backward(ctx, gradient):
        after = _random_state(ctx.device)
        parts = gradient.split([len(chunk["input_ids"]) for chunk in ctx.chunks])
        last = len(parts) - 1
        for place, (chunk, random) in enumerate(zip(ctx.chunks, ctx.random, strict=True)):
            _random_state(ctx.device, random)  # the same dropout as in the first pass
            with _alone(ctx.model) if place < last else contextlib.nullcontext():
                with torch.enable_grad(), torch.autocast(**ctx.precision):
                    vectors = ctx.model(dict(chunk))["sentence_embedding"]
                vectors.backward(parts[place])
        _random_state(ctx.device, after)
        return None, None, None


def _random_state(device, state=None):
    """The random generators' states of the CPU and of a device; set them where `state` is given."""
    kinds = [torch] + ([torch.get_device_module(device)] if device.type != "cpu" else [])
    if state is None:
        return [kind.get_rng_state() for kind in kinds]
    for kind, held in zip(kinds, state, strict=True):
        kind.set_rng_state(held)


def _gather(vectors, rows):
    """The batches of all processes behind one another, with gradients through all of them."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return vectors, rows
    from torch.distributed.nn.functional import all_gather

    every_row = [torch.empty_like(rows) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(every_row, rows)
    return torch.cat(all_gather(vectors), dim=1), torch.cat(every_row)


class _Batches:
    """Shuffled row numbers in batches. The order depends on seed and epoch alone, so that a
    resumed run sees what an uninterrupted one would have seen."""

    drop_last = True

    def __init__(self, rows, batch_size, seed, state):
        self.rows, self.batch_size, self.seed, self.state = rows, batch_size, seed, state

    def __len__(self):
        return self.rows // self.batch_size

    def __iter__(self):
        epoch = int(self.state().epoch or 0)
        generator = torch.Generator().manual_seed(self.seed + epoch)
        order = torch.randperm(self.rows, generator=generator).tolist()
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield order[start : start + self.batch_size]


class _Trainer(SentenceTransformerTrainer):
    """The trainer with our order of the data and with checkpoints that hold the whole state."""

    def watch(self, selection, progress):
        """Score the encoder while it is trained, and show a bar where `progress` asks for it."""
        self.selection = selection
        self.remove_callback(PrinterCallback)  # a line of numbers every few steps
        self.add_callback(selection)
        if progress:
            self.add_callback(_Bar())

    def get_batch_sampler(self, dataset, batch_size, drop_last, seed=0, **_):
        return _Batches(len(dataset), batch_size, seed, lambda: self.state)

    def training_step(self, model, inputs, num_items_in_batch=None):
        """A step; where memory runs out the encoder reads fewer sentences at once."""
        step = super().training_step
        if self.args.world_size > 1:  # the others would wait for a pass that is done again
            return step(model, inputs, num_items_in_batch)
        read = len(inputs["sentence_input_ids"])
        asked = min(self.loss.mini_batch_size or read, read)

        def attempt(size):
            if size < asked:
                self.loss.mini_batch_size = size
                self.loss.zero_grad()
            return step(model, dict(inputs), num_items_in_batch)

        return memory.fitting(attempt, asked, "sentences a forward pass")[0]

    def add_model_card_callback(self, default_args_dict):
        """No model card: it reads the data set through and writes a page at every checkpoint."""

    def _save(self, output_dir=None, state_dict=None):
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        parts = {"encoder": _copy(self.model), "head": _copy(self.loss.head)}
        parts["best"] = self.selection.best_weights or {}
        tensors = {f"{part}/{key}": v for part, held in parts.items() for key, v in held.items()}
        save_file(tensors, folder / _STATE)

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        parts = {"encoder": {}, "head": {}, "best": {}}
        for name, value in load_file(Path(resume_from_checkpoint) / _STATE).items():
            part, _, key = name.partition("/")
            parts[part][key] = value
        self.model.load_state_dict(parts["encoder"])
        self.loss.head.load_state_dict(parts["head"])
        self.selection.best_weights = parts["best"] or None

    def restore(self, checkpoint):
        """State and weights of a run that is already complete."""
        self.state = self.state.load_from_json(str(Path(checkpoint) / "trainer_state.json"))
        self._load_from_checkpoint(checkpoint)


class _Selection(TrainerCallback):
    """Score the encoder every so many steps and remember the best weights."""

    def __init__(self, encoder, dev, every):
        self.encoder, self.dev, self.every = encoder, dev, every
        self.best_weights = None

    def on_log(self, args, state, control, logs=None, **kwargs):
        if not math.isfinite(float((logs or {}).get("loss", 0.0))):
            raise ValueError(
                f"the loss is {logs['loss']} by step {state.global_step}: lower the learning rate, "
                "or train with precision='fp32'"
            )

    def on_step_end(self, args, state, control, **kwargs):
        step = state.global_step
        if self.dev is None or (step % self.every and step != state.max_steps):
            return
        self.encoder.eval()
        score = float(self.dev(lambda texts: self.encoder.encode(texts, show_progress_bar=False)))
        self.encoder.train()
        if not math.isfinite(score):
            raise ValueError(f"dev gave {score} at step {step}; it must be a finite number")
        scores = [entry["dev"] for entry in state.log_history if "dev" in entry]
        if score > max(scores, default=-math.inf):
            self.best_weights = _copy(self.encoder)
        state.log_history.append({"step": step, "dev": score})


class _Bar(TrainerCallback):
    """One line: steps, loss, development score."""

    def on_train_begin(self, args, state, control, **kwargs):
        from tqdm import tqdm

        self.bar = tqdm(
            total=state.max_steps, initial=state.global_step, desc="training", unit="step",
            disable=not state.is_local_process_zero,
        )  # fmt: skip

    def on_step_end(self, args, state, control, **kwargs):
        self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if logs and "loss" in logs:
            scores = [entry["dev"] for entry in state.log_history if "dev" in entry]
            shown = {"dev": f"{scores[-1]:.4g}"} if scores else {}
            self.bar.set_postfix(loss=f"{float(logs['loss']):.4g}", **shown)

    def on_train_end(self, args, state, control, **kwargs):
        self.bar.close()


# ---------------------------------------------------------------- resuming


def _start_or_resume(folder, settings, trainer):
    """The checkpoint to go on from, or None; refuses a folder that holds another run."""
    folder = Path(folder)
    settings = json.loads(json.dumps(settings))
    record = folder / _RUN
    if record.is_file():
        held = json.loads(record.read_text(encoding="utf-8"))
        other = [key for key in settings if held.get(key) != settings[key]]
        if other:
            said = ", ".join(f"{key} {held.get(key)} → {settings[key]}" for key in other[:3])
            raise ValueError(
                f"{folder} holds a run with other settings ({said}): give another output_dir, or "
                "delete it (an encoder that was trained meanwhile must be loaded anew)"
            )
    elif trainer.is_world_process_zero():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = record.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(settings, indent=1), encoding="utf-8")
        unfinished.replace(record)
    return last_checkpoint(folder, _STATE)


def _precision_of(folder):
    """The precision of the run that a folder holds, or None."""
    record = Path(folder) / _RUN
    if not record.is_file():
        return None
    return json.loads(record.read_text(encoding="utf-8")).get("precision")


def _step_of(checkpoint):
    return int(str(checkpoint).rpartition("-")[2])


def last_checkpoint(folder, *files):
    """The newest checkpoint in a folder that was written to its end.

    Parameters
    ----------
    folder : str or Path
    *files : str
        Files that it must hold, beside the trainer's state, which is the last to be written.

    Returns
    -------
    str or None
        Its path; None where there is no such checkpoint, or no such folder.
    """
    for checkpoint in sorted(Path(folder).glob("checkpoint-*"), key=_step_of, reverse=True):
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if all((checkpoint / name).is_file() for name in files):
            return str(checkpoint)
    return None


def _copy(module):
    """A module's weights, apart from it and in main memory."""
    return {key: value.detach().cpu().clone() for key, value in module.state_dict().items()}


def _fingerprint(columns):
    digest = hashlib.blake2b(digest_size=8)
    for texts in columns:
        for text in texts:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
    return digest.hexdigest()


def _fingerprint_weights(weights):
    digest = hashlib.blake2b(digest_size=8)
    for key in sorted(weights):
        digest.update(key.encode())
        digest.update(weights[key].contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


# ---------------------------------------------------------------- what is refused


def _check_encoder(encoder):
    if not isinstance(encoder, SentenceTransformer):
        raise ValueError(
            f"encoder must be what models.load_encoder gives, got {type(encoder).__name__}"
        )


def _checked_texts(texts, name):
    """A list of non-blank strings."""
    if isinstance(texts, str):
        raise ValueError(f"{name} must be a list of strings, got one string")
    texts = list(texts)
    if not texts:
        raise ValueError(f"{name} is empty")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"{name}[{number}] is a {type(text).__name__}, wanted a string")
        if not text.strip():
            raise ValueError(f"{name}[{number}] is blank; leave empty sentences out")
    return texts


def _checked_triplets(triplets):
    """Columns anchor, positive, negative as lists of non-blank strings."""
    names = ("anchor", "positive", "negative")
    if hasattr(triplets, "columns") or hasattr(triplets, "column_names"):
        table = hasattr(triplets, "columns")
        has = list(triplets.columns if table else triplets.column_names)
        missing = [name for name in names if name not in has]
        if missing:
            raise ValueError(
                f"triplets has the columns {', '.join(map(str, has))}; {', '.join(missing)} "
                f"missing: rename them with {'rename' if table else 'rename_columns'}"
            )
        columns = [triplets[name] for name in names]
    else:
        rows = list(triplets)
        for number, row in enumerate(rows):
            if isinstance(row, str) or len(row) != 3:
                raise ValueError(
                    f"triplets[{number}] must be (anchor, positive, hard negative), got {row!r}"
                )
        columns = [[row[place] for row in rows] for place in range(3)]
    return {
        name: _checked_texts(column, f"triplets' {name}")
        for name, column in zip(names, columns, strict=True)
    }


def _checked_lists(lists):
    """Lists of two or more non-blank strings each."""
    if isinstance(lists, str):
        raise ValueError("lists must be lists of sentences, got one string")
    lists = [
        _checked_texts(sentences, f"lists[{number}]") for number, sentences in enumerate(lists)
    ]
    if not lists:
        raise ValueError("lists is empty")
    for number, sentences in enumerate(lists):
        if len(sentences) < 2:
            raise ValueError(f"lists[{number}] has one sentence; a ranking needs two or more")
    return lists


def _checked_targets(targets, lists):
    """Float tensors [n, n], one a list."""
    targets = [torch.as_tensor(np.asarray(target), dtype=torch.float32) for target in targets]
    if len(targets) != len(lists):
        raise ValueError(f"{len(targets)} targets for {len(lists)} lists; wanted one for each")
    for number, (target, sentences) in enumerate(zip(targets, lists, strict=True)):
        n = len(sentences)
        if target.shape != (n, n):
            raise ValueError(
                f"targets[{number}] has shape {tuple(target.shape)}; its list of {n} sentences "
                f"needs ({n}, {n})"
            )
        if not torch.isfinite(target).all():
            raise ValueError(f"targets[{number}] has NaN or infinite values")
        others = target[~torch.eye(n, dtype=torch.bool)]
        if n > 2 and (others == others[0]).all():
            raise ValueError(
                f"targets[{number}] are all equal, so they rank nothing; leave the list out"
            )
    return targets


def _check_options(
    rows, batch_size, least, learning_rate, epochs, max_steps, tau, max_length, projection,
    eval_steps, save_steps, distill_weight, mini_batch_size,
):  # fmt: skip
    if (epochs is None) == (max_steps is None):
        raise ValueError("give either epochs or max_steps")
    counts = dict(
        max_steps=max_steps, eval_steps=eval_steps, save_steps=save_steps,
        mini_batch_size=mini_batch_size,
    )  # fmt: skip
    for name, value in counts.items():
        if value is not None and (int(value) != value or value < 1):
            raise ValueError(f"{name} must be a whole number from 1 up, got {value}")
    positive = dict(
        learning_rate=learning_rate, tau=tau, epochs=epochs, distill_weight=distill_weight
    )
    for name, value in positive.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive, got {value}")
    if batch_size < least:
        wanted = "batch_size must be at least 2 to contrast rows"
        wanted = "lists_per_step must be at least 1" if least == 1 else wanted
        raise ValueError(f"{wanted}, got {batch_size}")
    if rows < batch_size:
        raise ValueError(f"{rows} rows are fewer than one batch of {batch_size}")
    if max_length < 3:
        raise ValueError(f"max_length must leave room for a word, got {max_length}")
    if projection not in PROJECTIONS:
        raise ValueError(f"projection must be one of {PROJECTIONS}, got {projection!r}")
