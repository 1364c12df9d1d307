"""``make pocket``: train every small model of the pocket laboratory from nothing, in one clean run.

The models, in standard Hugging Face folders under ``data/pocket``:

=====================  =====================================================================
generator-t5           instruction-following encoder–decoder (the book's "Flan-T5")
generator-llama        instruction-following decoder-only model (the book's "LLaMA", "WizardLM")
nli                    cross-encoder that labels entailment, neutral, contradiction
mlm-bert, mlm-roberta  masked language models of two shapes (the tables' two backbones)
simcse-unsup-*         unsupervised SimCSE on each of them, on premises
simcse-sup-*           supervised SimCSE on each of them, on a labelled NLI corpus
=====================  =====================================================================

Two processes with one thread each do the work, in an order that keeps both busy. The same command
goes on where it was interrupted: a job keeps its last state in a folder of its own until it ends.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sys
import threading
import time
from itertools import count, islice
from pathlib import Path
from random import Random

from .. import commands
from . import corpora, pretraining

SPECIAL = {
    "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>",
    "cls_token": "<cls>", "sep_token": "<sep>",
}
PAD, EOS, UNK, MASK, CLS, SEP = range(6)

# Budgets of the committed weights: optimiser steps at these batch sizes.
BUDGET = {
    "generator-t5": dict(steps=12_000, batch=96, lr=2e-3, second_steps=5000, second_lr=1.2e-3),
    "generator-llama": dict(steps=6000, batch=96, lr=2e-3, second_steps=3000, second_lr=1.2e-3),
    "mlm": dict(steps=2200, batch=128, lr=1.5e-3),
    "nli": dict(steps=5500, batch=96, lr=7e-4, pair_steps=800),
    "simcse-unsup": dict(steps=300, batch=128, lr=3e-4, sentences=30_000),
    "simcse-sup": dict(steps=300, batch=128, lr=5e-4, triplets=6_000),
}
STATE_STEPS = 500  # what an interruption can lose

# ------------------------------------------------------------------ tokenizers
def tokenizer(kind: str):
    """The word-level tokenizer for a kind of model: "seq2seq", "causal" or "encoder".

    All kinds share one vocabulary. They differ in what frames a text: an end token for the
    encoder–decoder, nothing for a prompt that is to be continued, ``<cls> … <sep>`` for encoders.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [*SPECIAL.values(), *pretraining.vocabulary()]
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.WhitespaceSplit(),
        # "sleeping." and "park," as readers type them; "0.5" and "(a)" stay whole.
        pre_tokenizers.Split(Regex(r"[.,:;?!]$"), "isolated"),
    ])
    frames = {
        "seq2seq": ("$A </s>", "$A </s> $B:1 </s>:1"),
        "encoder": ("<cls> $A <sep>", "<cls> $A <sep> $B:1 <sep>:1"),
    }
    if kind in frames:
        single, pair = frames[kind]
        core.post_processor = processors.TemplateProcessing(
            single=single, pair=pair,
            special_tokens=[("</s>", EOS), ("<cls>", CLS), ("<sep>", SEP)],
        )
    names = ["input_ids", "attention_mask"]
    if kind == "encoder":
        names.insert(1, "token_type_ids")
    return PreTrainedTokenizerFast(
        tokenizer_object=core, model_max_length=512 if kind != "encoder" else 96,
        padding_side="left" if kind == "causal" else "right", model_input_names=names,
        clean_up_tokenization_spaces=False, **SPECIAL,
    )


# ------------------------------------------------------------------ models, untrained
def new_generator(kind: str, vocab: int):
    """An untrained generator of about a million parameters: "t5" or "llama"."""
    from transformers import (
        LlamaConfig,
        LlamaForCausalLM,
        T5Config,
        T5ForConditionalGeneration,
    )

    if kind == "t5":
        return T5ForConditionalGeneration(T5Config(
            vocab_size=vocab, d_model=128, d_kv=32, d_ff=512, num_layers=2, num_decoder_layers=2,
            num_heads=4, dropout_rate=0.0, feed_forward_proj="relu", pad_token_id=PAD,
            eos_token_id=EOS, decoder_start_token_id=PAD, relative_attention_num_buckets=32,
            relative_attention_max_distance=128, synthlib_form="pocket",
        ))
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=vocab, hidden_size=128, intermediate_size=344, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=512,
        rope_theta=10_000.0, tie_word_embeddings=True, pad_token_id=PAD, eos_token_id=EOS,
        bos_token_id=None, synthlib_form="pocket",
    ))


def encoder_config(shape: str, vocab: int, **more):
    """Configuration of an encoder: "bert" (2 wide layers) or "roberta" (3 narrower ones)."""
    from transformers import BertConfig, RobertaConfig

    if shape == "bert":
        return BertConfig(
            vocab_size=vocab, hidden_size=128, num_hidden_layers=2, num_attention_heads=4,
            intermediate_size=512, max_position_embeddings=96, pad_token_id=PAD, **more,
        )
    return RobertaConfig(
        vocab_size=vocab, hidden_size=96, num_hidden_layers=3, num_attention_heads=4,
        intermediate_size=384, max_position_embeddings=98, type_vocab_size=2, pad_token_id=PAD,
        bos_token_id=CLS, eos_token_id=SEP, **more,
    )


# ------------------------------------------------------------------ training
def _stream(batches):
    """An endless source of ready batches, as the Trainer's data set of one-item batches."""
    from torch.utils.data import IterableDataset

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(batches())

    return Stream()


def _fit(
    model, batches, collate, folder: Path, *, steps, lr, seed, precision, loss=None, warmup=200
):
    """Train on a stream of batches with transformers' Trainer, one thread.

    `folder` keeps the last state of this training; one that is there already is gone on from.
    """
    from safetensors.torch import load_model
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    from .. import models, training

    class Log(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            if logs and "loss" in logs:
                print(
                    f"{folder.name}: step {state.global_step}/{steps} loss "
                    f"{float(logs['loss']):.3f} ({time.time() - start:.0f} s)", flush=True,
                )

    last = training.last_checkpoint(folder)
    if last == str(folder / f"checkpoint-{steps}"):  # ended: no need to draw its batches again
        load_model(model, Path(last, "model.safetensors"))
        return model.eval()
    model.set_attn_implementation("eager")  # at this size twice as fast as the fused kernel
    start = time.time()
    args = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=1, max_steps=steps, learning_rate=lr,
        lr_scheduler_type="cosine_with_min_lr", lr_scheduler_kwargs={"min_lr_rate": 0.03},
        warmup_steps=warmup, weight_decay=0.01, adam_beta2=0.98, max_grad_norm=1.0, seed=seed,
        data_seed=seed, use_cpu=True, bf16=models.training_precision("cpu", precision) == "bf16",
        save_strategy="steps", save_steps=min(STATE_STEPS, steps), save_total_limit=1,
        report_to=[], logging_steps=250, disable_tqdm=True, remove_unused_columns=False,
        dataloader_pin_memory=False, accelerator_config={"dispatch_batches": False},
    )
    trainer = Trainer(
        model=model, args=args, train_dataset=_stream(batches),
        data_collator=lambda one: collate(one[0]), compute_loss_func=loss, callbacks=[Log()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=last)
    return model.eval()


def _save(folder: Path, *parts):
    """Save model and tokenizer under a temporary name, then rename: never half a model."""
    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for part in parts:
        part.save_pretrained(str(temporary))
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def _pad(rows, value):
    """Rows of unequal length as one tensor, its width rounded up to a multiple of 8.

    Each new shape costs the CPU kernels a compilation, so few shapes are three times as fast.
    """
    import torch

    width = -(-max(map(len, rows)) // 8) * 8
    return torch.tensor([r + [value] * (width - len(r)) for r in rows])


def _bucketed(rows, size: int, rng: Random, pool: int = 6):
    """Endless rows as batches of similar length, so that little of a batch is padding."""
    def length(row):
        return sum(len(part.split()) for part in (row if isinstance(row, tuple) else (row,)))

    while True:
        drawn = sorted(islice(rows, pool * size), key=length)
        slices = [drawn[i : i + size] for i in range(0, len(drawn), size)]
        rng.shuffle(slices)
        yield from slices


def train_generator(
    kind: str, out: Path, run: Path, seed: int, *, steps, batch, lr, second_steps, second_lr,
    precision=None,
):
    """Train a generator twice: to follow instructions, then its habits (see `pretraining`)."""
    import torch
    from torch.nn import functional as F

    torch.manual_seed(seed)
    tok = tokenizer("seq2seq" if kind == "t5" else "causal")
    model = new_generator(kind, len(tok))
    # Token by token, a one-word score would drown among the words of sentences and the judge
    # would learn nothing, so score tokens weigh ten times.
    weight = torch.ones(len(tok))
    weight[tok.convert_tokens_to_ids(list(pretraining.SCORES))] = 10.0

    def loss(outputs, labels, num_items_in_batch=None):
        logits = outputs["logits"].float()
        if kind != "t5":  # a causal model predicts the next token
            logits, labels = logits[:, :-1], labels[:, 1:]
        return F.cross_entropy(logits.transpose(1, 2), labels, weight=weight, ignore_index=-100)

    def ids(texts):
        return tok(texts, add_special_tokens=False)["input_ids"]

    def collate(examples):
        prompts, targets = ids([e.prompt for e in examples]), ids([e.target for e in examples])
        if kind == "t5":
            x, y = _pad([p + [EOS] for p in prompts], PAD), _pad([t + [EOS] for t in targets], -100)
            previous = _pad([[PAD] + t for t in targets], PAD)  # the decoder starts with <pad>
            return {
                "input_ids": x, "attention_mask": (x != PAD).long(),
                "decoder_input_ids": previous, "labels": y,
            }
        pairs = list(zip(prompts, targets, strict=True))
        x = _pad([p + t + [EOS] for p, t in pairs], PAD)
        y = _pad([[-100] * len(p) + t + [EOS] for p, t in pairs], -100)
        return {"input_ids": x, "attention_mask": (x != PAD).long(), "labels": y}

    trainings = (
        ("first", seed, steps, lr, pretraining.FIRST),
        ("second", seed + 1000, second_steps, second_lr, pretraining.SECOND),
    )
    for name, draw, n, rate, mixtures in trainings:
        def batches(draw=draw, n=n, mixtures=mixtures):
            return pretraining.batches(draw, batch, n, mixtures)

        _fit(
            model, batches, collate, run / f"{out.name}-{name}", steps=n, lr=rate, seed=seed,
            precision=precision, loss=loss, warmup=300,
        )
    _save(out, model, tok)


def _mlm(model, tok, rows, folder: Path, seed: int, *, steps, batch, lr, precision):
    """Masked language modelling on rows of sentences or of pairs."""
    from transformers import DataCollatorForLanguageModeling

    mask = DataCollatorForLanguageModeling(tok, mlm_probability=0.2, pad_to_multiple_of=8)

    def collate(texts):
        return mask([tok(*t) if isinstance(t, tuple) else tok(t) for t in texts])

    _fit(
        model, lambda: _bucketed(rows, batch, Random(seed)), collate, folder, steps=steps, lr=lr,
        seed=seed, precision=precision, warmup=100,
    )


def train_mlm(shape: str, out: Path, run: Path, seed: int, *, steps, batch, lr, precision=None):
    """Pre-train a masked language model on sentences of both languages (BERT, § 3.1)."""
    import torch
    from transformers import AutoModelForMaskedLM

    torch.manual_seed(seed)
    tok = tokenizer("encoder")
    config = encoder_config(
        shape, len(tok), hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    model = AutoModelForMaskedLM.from_config(config)
    _mlm(
        model, tok, corpora.mlm_stream(seed), run / out.name, seed, steps=steps, batch=batch, lr=lr,
        precision=precision,
    )
    # Training ran without dropout (a small model underfits); SimCSE's two views need it.
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.1
    _save(out, model, tok)


def train_nli(
    mlm: Path, out: Path, run: Path, seed: int, *, steps, batch, lr, pair_steps, precision=None
):
    """Train the NLI cross-encoder: an encoder and a classifier with one hidden layer.

    The masked LM has hardly seen two sentences side by side, so it first goes on for `pair_steps`
    with pairs of captions, which teaches it to compare. The learning rate of the classification
    is restarted half-way: a second warm phase takes the model further than one long one.
    """
    import torch
    from transformers import (
        AutoModelForMaskedLM,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    torch.manual_seed(seed)
    tok = AutoTokenizer.from_pretrained(mlm)
    no_dropout = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    warm = AutoModelForMaskedLM.from_pretrained(mlm, use_safetensors=True, **no_dropout)
    _mlm(
        warm, tok, corpora.caption_pairs(seed), run / f"{out.name}-pairs", seed, steps=pair_steps,
        batch=batch, lr=lr, precision=precision,
    )
    labels = ("contradiction", "entailment", "neutral")  # an order of its own: read id2label
    model = AutoModelForSequenceClassification.from_pretrained(
        mlm, id2label=dict(enumerate(labels)), label2id={n: i for i, n in enumerate(labels)},
        use_safetensors=True, **no_dropout,
    )
    model.base_model.load_state_dict(warm.base_model.state_dict(), strict=False)  # no pooler there

    def batches(start):
        def draw():
            rng = Random(start)
            return _bucketed((corpora.nli_example(rng) for _ in count()), batch, Random(start))
        return draw

    def collate(rows):
        x = tok(
            [r[0] for r in rows], [r[1] for r in rows], padding=True, pad_to_multiple_of=8,
            return_tensors="pt",
        )
        return {**x, "labels": torch.tensor([labels.index(r[2]) for r in rows])}

    half = steps // 2
    for part, part_steps in enumerate((half, steps - half)):
        _fit(
            model, batches(1000 * seed + part), collate, run / f"{out.name}-{part + 1}",
            steps=part_steps, lr=lr, seed=seed, precision=precision, warmup=100,
        )
    _save(out, model, tok)


def train_simcse(mlm: Path, out: Path, seed: int, supervised: bool, *, steps, batch, lr, **size):
    """SimCSE on a masked language model, mean-pooled, with the book's own training code."""
    from .. import models, training

    encoder = models.load_encoder(str(mlm), pooling="mean", device="cpu")
    options = dict(
        batch_size=batch, learning_rate=lr, max_steps=steps, seed=seed, progress=False,
        precision="fp32",  # two minutes of the whole: in float32 in every run
    )
    if supervised:
        rows = corpora.triplets(size["triplets"], seed=seed)
        training.train_supervised_simcse(encoder, rows, projection=None, **options)
    else:
        sentences = corpora.premises(size["sentences"], seed=seed)
        training.train_unsupervised_simcse(encoder, sentences, projection=None, **options)
    temporary = out.with_name(f".{out.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    encoder.save(str(temporary), create_model_card=False)
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)


# ------------------------------------------------------------------ the whole
def _budget(name: str, scale: float) -> dict:
    return {
        key: max(2, round(value * scale)) if key.endswith("steps") else value
        for key, value in BUDGET[name].items()
    }


def _encoders(shape: str, out: Path, run: Path, seed: int, scale: float, precision):
    def budget(name):
        return _budget(name, scale)

    mlm = out / f"mlm-{shape}"
    train_mlm(shape, mlm, run, seed, precision=precision, **budget("mlm"))
    for name in ("unsup", "sup"):
        train_simcse(
            mlm, out / f"simcse-{name}-{shape}", seed, name == "sup", **budget(f"simcse-{name}")
        )
    if shape == "bert":
        train_nli(mlm, out / "nli", run, seed, precision=precision, **budget("nli"))


def _generator(kind: str, out: Path, run: Path, seed: int, scale: float, precision):
    train_generator(
        kind, out / f"generator-{kind}", run, seed, precision=precision,
        **_budget(f"generator-{kind}", scale),
    )


JOBS = {  # longest first, so that two workers finish together
    "generator-t5": (_generator, "t5"),
    "generator-llama": (_generator, "llama"),
    "encoders-bert": (_encoders, "bert"),
    "encoders-roberta": (_encoders, "roberta"),
}


def run_job(job: str, out: str, seed: int, scale: float, precision) -> tuple[str, float, float]:
    import torch
    import transformers

    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    start, worked = time.time(), time.process_time()
    run = _state_of(job, Path(out), {"seed": seed, "scale": scale, "precision": precision})
    work, argument = JOBS[job]
    work(argument, Path(out), run, seed, scale, precision)
    shutil.rmtree(run)
    return job, time.time() - start, time.process_time() - worked


def end_with_parent() -> None:
    """In a worker: end at once where the process that has started it is gone, however that ended.

    The pipe to the parent closes with it, be it by SIGKILL, and a thread waits for that. What a
    worker was at is not lost, or not more than `STATE_STEPS`: its states are in its folder.
    """
    def wait():
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _state_of(job: str, out: Path, settings: dict) -> Path:
    """The folder of a job's states; one that another run left behind is emptied first."""
    settings = json.dumps(settings | {"budget": BUDGET}, indent=1)
    run = out / f".{job}.run"
    record = run / "settings.json"
    if not record.is_file() or record.read_text(encoding="utf-8") != settings:
        shutil.rmtree(run, ignore_errors=True)
        run.mkdir(parents=True)
        record.write_text(settings, encoding="utf-8")
    return run


def build(
    out: Path, *, seed: int = 0, only=None, scale: float = 1.0, workers: int = 2, precision=None
) -> dict:
    """Train the small models.

    Parameters
    ----------
    out : Path
        Where the folders go (``data/pocket`` for the committed weights).
    seed : int
    only : sequence of str, optional
        Some of `JOBS`; all by default.
    scale : float
        Factor on all numbers of steps (a smoke test takes 0.001).
    workers : int
        Processes, one thread each.
    precision : {"fp32", "bf16"}, optional
        Of the generators, masked language models and the NLI model. Default: what this processor
        computes fast, `models.training_precision`. "bf16" made the committed weights.

    Returns
    -------
    dict
        Seconds by job, also written to ``build.json`` in `out`, with the processor's seconds.

    Raises
    ------
    ValueError
        For an unknown job, a number out of its range, and a file in the folder's place.
    """
    from concurrent.futures import ProcessPoolExecutor, as_completed

    from .. import models

    jobs = list(only or JOBS)
    unknown = [j for j in jobs if j not in JOBS]
    if unknown:
        raise ValueError(f"unknown job {unknown[0]!r}: the jobs are {', '.join(JOBS)}")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed must lie between 0 and {2**31 - 1}, got {seed}")
    if not 0 < scale <= 1000:
        raise ValueError(f"scale, a factor on the steps, must lie in (0, 1000], got {scale}")
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    out = Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"{out} is a file; the name of a folder is wanted")
    precision = models.training_precision("cpu", precision)
    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the workers: tiny models lose on more
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    seconds, processor = {}, {}
    most = min(workers, len(jobs))
    with ProcessPoolExecutor(most, mp_context=context, initializer=end_with_parent) as pool:
        futures = [pool.submit(run_job, job, str(out), seed, scale, precision) for job in jobs]
        for done in as_completed(futures):
            job, took, worked = done.result()
            seconds[job], processor[job] = round(took), round(worked)
            print(f"{job}: done in {took / 60:.1f} min ({worked / 60:.1f} of the processor)",
                  flush=True)
    record = out / "build.json"
    known = json.loads(record.read_text()) if record.exists() else {}
    about = {"seed": seed, "scale": scale, "precision": precision}
    if any(known.get(name) != value for name, value in about.items()):
        known = {}
    known = about | {
        "seconds": known.get("seconds", {}) | seconds,
        "processor_seconds": known.get("processor_seconds", {}) | processor,
    }
    temporary = record.with_suffix(".json.new")
    temporary.write_text(json.dumps(known, indent=1) + "\n")
    temporary.replace(record)
    return seconds


def main(argv=None) -> int:
    """Entry of ``python -m synthlib pocket``."""
    args = commands.pocket().parse_args(argv)
    start = time.time()
    build(
        args.out, seed=args.seed, only=args.only, scale=args.scale, workers=args.workers,
        precision=args.precision,
    )
    print(f"all done in {(time.time() - start) / 60:.1f} min: {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
