"""Training of an NLI discriminator: a cross-encoder that reads two sentences at once (ART § 3.1).

The model is a pre-trained encoder with one hidden layer and a softmax over entailment, neutral and
contradiction on top; the loop is transformers' Trainer. `rewards` and `methods.art` take any such
model, this one or a public one by name (`models.load_nli`); the pocket tier's is ``pocket/nli``.
In place of all weights an adapter can be trained: some megabytes that stand on a public encoder.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import math
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from torch.utils.data import SequentialSampler

from synthlib import decoding, memory, models, tokens, training
from synthlib.models import NLI_LABELS

COLUMNS = ("premise", "hypothesis", "label")
_PRECISION = "precision.txt"  # of an output folder: what its run computes in


def train_nli(
    name,
    examples,
    *,
    dev=None,
    batch_size=32,
    learning_rate=2e-5,
    epochs=None,
    max_steps=None,
    max_length=128,
    eval_steps=None,
    warmup=0.06,
    seed=0,
    output_dir=None,
    precision=None,
    device=None,
    progress=True,
    lora=None,
    by_length=False,
):
    """Fine-tune an encoder to tell entailment, neutral and contradiction apart.

    Parameters
    ----------
    name : str or Path
        Pocket name, local folder or hub id of a pre-trained encoder (BERT, RoBERTa, DeBERTa, …),
        or of an NLI model that is to be trained further; then its own order of labels stays.
    examples : DataFrame, or sequence of (premise, hypothesis, label)
        Labels are the three names. A row without a label ("-", None), which SNLI has, is left out.
    dev : DataFrame or sequence, optional
        Pairs whose accuracy picks the weights; without it the last ones are kept.
    batch_size, learning_rate, epochs, max_steps, warmup
        AdamW with a linear decay; epochs is 3 where max_steps is not given. Warm-up is a share of
        the steps. Where memory runs out a batch is read in parts, whose gradients add up.
    max_length : int
        Tokens of a pair; longer ones are cut.
    eval_steps : int, optional
        Default: a tenth of the run.
    seed : int
    output_dir : folder, optional
        For checkpoints, one every `eval_steps`; the same call goes on from the last.
    precision : {"fp32", "bf16", "fp16"}, optional
        Of the passes. Default: what this device computes fast, `models.training_precision`; a run
        that goes on keeps the one it began with.
    device : optional
    progress : bool
    lora : int, optional
        Rank of an adapter (LoRA on all matrices of the encoder, with a new head), which is trained
        in place of the weights.
    by_length : bool
        Put pairs of similar length into a batch (`arranged`), so that little of it is padding.

    Returns
    -------
    model, tokenizer
        As `models.load_nli` gives them; with `lora` the model is a `peft.PeftModel`, to be saved by
        `save_adapter`. ``model.training_history``: list of {"step", "accuracy"}
        (percent of the development pairs).

    Raises
    ------
    ValueError
        For unknown labels, fewer examples than a batch, options out of range.

    Source: ART § 3.1 (RoBERTa-large with an MLP of one hidden layer); the classification heads of
    BERT and RoBERTa in transformers are exactly that.
    """
    from transformers import TrainingArguments, set_seed
    from transformers.trainer_callback import PrinterCallback

    if epochs is not None and max_steps is not None:
        raise ValueError("give epochs or max_steps, not both")
    decoding.check_positive(
        batch_size=batch_size, max_length=max_length, max_steps=max_steps or 1,
        eval_steps=eval_steps or 1,
    )  # fmt: skip
    if not learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, got {learning_rate}")
    rows = checked(examples)
    if len(rows) < batch_size:
        raise ValueError(f"{len(rows)} examples are fewer than one batch of {batch_size}")
    held_out = None if dev is None else checked(dev)
    set_seed(seed)
    device = models.pick_device(device)
    model, tokenizer = _fresh(name, device)
    if lora is not None:
        model = _adapted(model, lora)
    label2id = {str(label).lower(): int(i) for i, label in model.config.id2label.items()}
    batch = functools.partial(collate, tokenizer, label2id, max_length)
    if precision is None and output_dir:
        precision = _precision_of(output_dir)
    precision = models.training_precision(
        device, precision, model_type=model.config.model_type
    )
    steps = max_steps or int(np.ceil((3 if epochs is None else epochs) * len(rows) / batch_size))
    every = min(eval_steps or max(1, steps // 10), steps)
    if by_length:
        rows = arranged(rows, batch_size, steps, seed)
    on_gpu = device.type == "cuda"
    with contextlib.ExitStack() as stack:
        stack.enter_context(models.quiet())
        folder = output_dir or stack.enter_context(tempfile.TemporaryDirectory())
        watched = {}
        if held_out is not None:
            watched = dict(
                eval_strategy="steps", eval_steps=every, load_best_model_at_end=True,
                metric_for_best_model="accuracy",
            )  # fmt: skip
        arguments = TrainingArguments(
            output_dir=str(folder), max_steps=steps, learning_rate=learning_rate, seed=seed,
            per_device_train_batch_size=batch_size, per_device_eval_batch_size=4 * batch_size,
            warmup_steps=int(warmup * steps), use_cpu=device.type == "cpu",
            bf16=precision == "bf16", fp16=precision == "fp16",
            save_strategy="steps" if output_dir or watched else "no", save_steps=every,
            save_total_limit=2, logging_steps=every, report_to="none",
            disable_tqdm=not progress, remove_unused_columns=False,
            dataloader_pin_memory=on_gpu, accelerator_config={"non_blocking": on_gpu},
            logging_nan_inf_filter=False,  # it asks a GPU for the loss in every step
            log_level_replica="passive",  # as quiet as the first process
            label_names=["labels"], **watched,
        )  # fmt: skip
        trainer = _trainer(in_order=by_length)(
            model=model, args=arguments, train_dataset=rows, eval_dataset=held_out,
            data_collator=batch, compute_metrics=_accuracy,
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        if output_dir:
            (Path(folder) / _PRECISION).write_text(precision, encoding="utf-8")
        trainer.train(resume_from_checkpoint=training.last_checkpoint(folder))
    model.training_history = [
        {"step": entry["step"], "accuracy": entry["eval_accuracy"]}
        for entry in trainer.state.log_history
        if "eval_accuracy" in entry
    ]
    return model.eval(), tokenizer


def _precision_of(folder):
    """The precision of the run that a folder holds, or None."""
    record = Path(folder) / _PRECISION
    return record.read_text(encoding="utf-8") if record.is_file() else None


def checked(examples) -> list[tuple[str, str, str]]:
    """Examples as (premise, hypothesis, label) with lower-case labels, the unlabelled left out.

    Raises
    ------
    ValueError
        For a row that is not two texts with words and one of the three labels.
    """
    if isinstance(examples, pd.DataFrame):
        missing = [name for name in COLUMNS if name not in examples]
        if missing:
            raise ValueError(
                f"NLI examples have the columns {', '.join(COLUMNS)}; {', '.join(missing)} missing"
            )
        examples = examples[list(COLUMNS)].itertuples(index=False, name=None)
    rows = []
    for i, row in enumerate(examples):
        if isinstance(row, str) or len(row) != 3:
            raise ValueError(f"example {i} is {row!r}: a premise, a hypothesis and a label")
        premise, hypothesis, label = row
        if label is None or label == "-" or label != label:
            continue  # the annotators did not agree
        if str(label).lower() not in NLI_LABELS:
            raise ValueError(
                f"example {i} has the label {label!r}; labels are {', '.join(NLI_LABELS)} (numbers "
                "mean another thing in every corpus, so they are not guessed)"
            )
        if not all(isinstance(text, str) and text.strip() for text in (premise, hypothesis)):
            raise ValueError(f"example {i} is {row!r}: both must be texts with words in them")
        rows.append((premise, hypothesis, str(label).lower()))
    return rows


def _fresh(name, device):
    """A classifier on a pre-trained encoder, or an NLI model as it is; with its tokenizer."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder, config = models.resolve(name, device, None)
    labels = {str(i): label for i, label in (config.get("id2label") or {}).items()}
    if {label.lower() for label in labels.values()} == set(NLI_LABELS):
        return models.load_nli(name, device=device)
    with models.quiet():
        model = AutoModelForSequenceClassification.from_pretrained(
            folder, id2label=dict(enumerate(NLI_LABELS)), use_safetensors=True,
            label2id={label: i for i, label in enumerate(NLI_LABELS)},
        )  # fmt: skip
        model, tokenizer = model.to(device), AutoTokenizer.from_pretrained(folder)
        models.check_finite(name, model)
        models.fit_tokenizer(name, tokenizer, model)
    model.config.get_text_config().pad_token_id = model.config.pad_token_id = tokenizer.pad_token_id
    return model, tokenizer


def _adapted(model, rank):
    """The model with an adapter, whose numbers alone are trained, and with its head."""
    from peft import LoraConfig, get_peft_model

    if not isinstance(rank, int) or rank < 1:
        raise ValueError(f"lora is the rank of an adapter, a whole number from 1 up, got {rank!r}")
    with models.adapting():
        return get_peft_model(
            model,
            LoraConfig(
                task_type="SEQ_CLS", r=rank, lora_alpha=2 * rank, lora_dropout=0.05,
                target_modules="all-linear",
            ),
        )  # fmt: skip


def save_adapter(model, base, folder) -> None:
    """Write an adapter in the Hub's format, its numbers in float16.

    Parameters
    ----------
    model : peft.PeftModel
        From `train_nli` with `lora`.
    base : str
        Name of the model that it stands on, for `models.load_nli`.
    folder : path
        Gets adapter_config.json, adapter_model.safetensors, and config.json with the labels.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    numbers = get_peft_model_state_dict(model, save_embedding_layers=False)
    halves = {key: value.detach().cpu().half().contiguous() for key, value in numbers.items()}
    save_file(halves, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    about = copy.deepcopy(model.active_peft_config)
    about.base_model_name_or_path, about.inference_mode = base, True
    about.save_pretrained(str(folder))
    model.config.save_pretrained(str(folder))


def arranged(rows, batch_size, steps, seed=0, *, pool=50) -> list:
    """Rows in the order of a whole training, so that the pairs of a batch are of similar length.

    Each pass over the rows is shuffled and cut into pools of so many batches; a pool is sorted by
    length and cut into batches; these are shuffled again.

    Parameters
    ----------
    rows : n of (premise, hypothesis, label)
    batch_size, steps : int
    seed : int
    pool : int
        Batches that are sorted together.

    Returns
    -------
    list of batch_size · steps rows

    Raises
    ------
    ValueError
        Where there are fewer rows than a batch.
    """
    if len(rows) < batch_size:
        raise ValueError(f"{len(rows)} examples are fewer than one batch of {batch_size}")
    rng = np.random.default_rng(seed)
    length = np.array([len(premise) + len(hypothesis) for premise, hypothesis, _ in rows])
    order = []
    while len(order) < steps:
        drawn, batches = rng.permutation(len(rows)), []
        for start in range(0, len(rows), pool * batch_size):
            part = drawn[start : start + pool * batch_size]
            part = part[np.argsort(length[part], kind="stable")]
            whole = len(part) // batch_size * batch_size
            batches += list(part[:whole].reshape(-1, batch_size))
        order += [batches[i] for i in rng.permutation(len(batches))]
    return [rows[i] for batch in order[:steps] for i in batch]


def _trainer(in_order):
    """transformers' Trainer, which reads a batch in parts where memory runs out.

    in_order: whether it takes the rows as they lie.
    """
    from transformers import Trainer

    class InParts(Trainer):
        part = None

        def _get_train_sampler(self, train_dataset=None):
            if in_order:
                return SequentialSampler(self.train_dataset)
            return super()._get_train_sampler(train_dataset)

        def training_step(self, model, inputs, num_items_in_batch=None):
            step, rows = super().training_step, len(inputs["labels"])
            if self.args.world_size > 1:  # the others would wait for a pass that is done again
                return step(model, inputs, num_items_in_batch)

            def attempt(size):
                if size == rows:
                    return step(model, dict(inputs), num_items_in_batch)
                model.train()
                model.zero_grad()
                total = 0.0
                for start in range(0, rows, size):
                    part = {key: value[start : start + size] for key, value in inputs.items()}
                    share = len(part["labels"]) / rows
                    with self.compute_loss_context_manager():
                        loss = share * self.compute_loss(model, self._prepare_inputs(part))
                    self.accelerator.backward(loss)
                    total = total + loss.detach()
                return total

            asked = min(self.part or rows, rows)
            loss, size = memory.fitting(attempt, asked, "pairs a forward pass")
            self.part = size if size < asked else self.part
            return loss

        def log(self, logs, *args, **kwargs):
            if not math.isfinite(float(logs.get("loss", 0.0))):
                raise ValueError(
                    f"the loss is {logs['loss']} by step {self.state.global_step}: lower the "
                    "learning rate, or train with precision='fp32'"
                )
            super().log(logs, *args, **kwargs)

    return InParts


def collate(tokenizer, label2id, max_length, rows):
    """A batch for the classifier: token ids and masks [n, longest], and labels [n].

    Parameters
    ----------
    tokenizer
    label2id : dict
        Name of a label, in lower case, to its number.
    max_length : int
        Tokens of a pair; longer ones are cut.
    rows : n of (premise, hypothesis, label)

    Returns
    -------
    BatchEncoding of tensors
    """
    import torch

    premises, hypotheses, labels = map(list, zip(*rows, strict=True))
    batch = tokens.padded(
        tokenizer, premises, hypotheses, truncation=True,
        max_length=min(max_length, tokenizer.model_max_length),
    )  # fmt: skip
    batch["labels"] = torch.tensor([label2id[label] for label in labels])
    return batch


def _accuracy(prediction) -> dict:
    right = prediction.predictions.argmax(-1) == prediction.label_ids
    return {"accuracy": 100 * float(right.mean())}
