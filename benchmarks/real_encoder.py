"""A sentence encoder made from nothing on real text, in a few minutes of one processor core.

From the raw sentences of a data folder (Wikipedia, SNLI and MNLI, their labels unread) it makes a
lower-case BPE vocabulary, a BERT of two layers, a short masked-LM phase and unsupervised
SimCSE by `synthlib.training`; the weights with the best Spearman on STS-B dev are kept. It is made
to try the evaluation on real files, not to compete. `--baseline` also writes averaged random
embeddings: the same tokenizer, one random vector a word piece, no layer.

    python benchmarks/real_encoder.py --data DATA --out FOLDER [--baseline FOLDER] [--minutes 5]
    python -m synthlib evaluate --encoder FOLDER --data DATA

DATA holds ``unlabeled/wiki1m*.txt``, ``nli/snli/s1.dev``, ``nli/snli/s2.dev``,
``nli/mnli/dev.csv`` and ``STS/STSBenchmark/sts-dev.csv``.
"""

import argparse
import csv
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_NUM_THREADS", "1")  # models this small lose on more
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from torch import nn
from torch.nn import functional as F

from synthlib import evaluation as ev
from synthlib import models, training
from synthlib.reading import read_lines

SPECIAL = {
    "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}  # fmt: skip
MAX_LENGTH = 32
WIDTH = 128

# Optimiser steps in one minute of one core; fixed numbers, so that the same minutes give the same
# weights on every machine.
MLM_STEPS, SIMCSE_STEPS = 600, 300
MLM_SHARE = 0.5


# ---------------------------------------------------------------- text
def read_sentences(folder):
    """Distinct sentences of three words and more of a data folder, in the order of its files.

    Raises FileNotFoundError for an absent file, ValueError for a damaged one, naming it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"data folder not found: {folder}")
    wiki = sorted((folder / "unlabeled").glob("wiki1m*.txt"))
    if not wiki:
        raise FileNotFoundError(
            f"no wiki1m*.txt in {folder / 'unlabeled'}: SimCSE's Wikipedia sentences, or the "
            "first lines of them, are wanted there"
        )
    lines = []
    for file in wiki:
        found = read_lines(file)
        cut = not file.read_bytes().endswith(b"\n")  # an excerpt ends in the middle of a sentence
        lines += found[:-1] if cut else found
    for name in ("s1.dev", "s2.dev"):
        lines += read_lines(folder / "nli" / "snli" / name)
    lines += _csv_sentences(folder / "nli" / "mnli" / "dev.csv")
    sentences = dict.fromkeys(" ".join(line.split()) for line in lines)
    return [s for s in sentences if s.count(" ") >= 2]


def _csv_sentences(file):
    rows = csv.reader((line + "\n" for line in read_lines(file)), strict=True)
    try:
        if next(rows)[:2] != ["premise", "hypothesis"]:
            raise ValueError("the header premise,hypothesis,label is wanted")
        for row in rows:
            if len(row) != 3:
                raise ValueError(f"three columns are wanted, found {len(row)}")
            yield from row[:2]
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{file}, line {rows.line_num}: {error}") from None


# ---------------------------------------------------------------- tokenizer and models
def make_tokenizer(sentences, size):
    """A lower-case BPE tokenizer with BERT's frame, learnt from the sentences.

    Not WordPiece: its trainer numbers the pieces in another order every time, and the same seed
    would give other weights.
    """
    from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors, trainers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(BPE(unk_token="[UNK]"))
    core.normalizer = normalizers.BertNormalizer(lowercase=True)
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Metaspace()]
    )
    core.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, special_tokens=list(SPECIAL.values()),
        show_progress=False,
    )  # fmt: skip
    core.train_from_iterator(sentences, trainer)
    frame = [(token, core.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    core.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=frame
    )
    return PreTrainedTokenizerFast(tokenizer_object=core, model_max_length=MAX_LENGTH, **SPECIAL)


def _config(tokenizer, layers, dropout):
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=layers,
        num_attention_heads=4, intermediate_size=4 * WIDTH, pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=MAX_LENGTH, hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )  # fmt: skip


class _MaskedOnly(nn.Module):
    """Masked-LM loss; the vocabulary's large matrix is applied at the masked places only."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask, labels):
        hidden = self.model.bert(input_ids, attention_mask=attention_mask).last_hidden_state
        masked = labels != -100
        logits = self.model.cls(hidden[masked]).float()
        return {"loss": F.cross_entropy(logits, labels[masked])}


def _batches(rows, size, steps, seed):
    """`steps` batches of rows of similar length, going over the rows as often as needed."""
    rng, ready = Random(seed), []
    while len(ready) < steps:
        order = rng.sample(range(len(rows)), len(rows))
        for start in range(0, len(order), 20 * size):  # sorted in pools, so that all lengths mix
            pool = sorted(order[start : start + 20 * size], key=lambda i: len(rows[i]))
            ready += [[rows[i] for i in pool[at : at + size]] for at in range(0, len(pool), size)]
    return ready[:steps]


def train_masked_lm(tokenizer, sentences, *, steps, seed, batch_size=64, progress=True):
    """A BERT of two layers that has learnt to fill gaps (BERT §3.1)."""
    from transformers import (
        BertForMaskedLM,
        DataCollatorForLanguageModeling,
        PrinterCallback,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    class Log(TrainerCallback):
        def on_log(self, args, state, control, logs=None, **_):
            if progress and logs and "loss" in logs:
                print(f"masked LM: step {state.global_step} of {steps}, loss "
                      f"{float(logs['loss']):.2f}", flush=True)  # fmt: skip

    torch.manual_seed(seed)
    model = BertForMaskedLM(_config(tokenizer, 2, 0.0))  # so short a training needs no dropout
    model.set_attn_implementation("eager")  # at this size faster than the fused kernel
    nn.init.zeros_(model.bert.embeddings.position_embeddings.weight)  # words first, then places
    rows = tokenizer(sentences, truncation=True)["input_ids"]
    mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.2, pad_to_multiple_of=8)

    def collate(one):
        batch = mask([{"input_ids": row} for row in one[0]])
        batch["attention_mask"] = (batch["input_ids"] != tokenizer.pad_token_id).long()
        return batch

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, per_device_train_batch_size=1, max_steps=steps, learning_rate=2e-3,
            lr_scheduler_type="linear", warmup_steps=max(1, steps // 20), weight_decay=0.01,
            seed=seed, use_cpu=True, save_strategy="no", report_to=[], remove_unused_columns=False,
            logging_steps=max(1, steps // 10), disable_tqdm=True,
            dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = Trainer(
            model=_MaskedOnly(model), args=arguments, data_collator=collate,
            train_dataset=_batches(rows, batch_size, steps, seed), callbacks=[Log()],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.2  # for SimCSE
    return model.eval()


def as_encoder(model, tokenizer):
    """A BERT and its tokenizer as a mean-pooled encoder."""
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return models.load_encoder(folder, pooling="mean", device="cpu")


def make_encoder(tokenizer, sentences, data, *, mlm_steps, simcse_steps, seed=0, progress=True):
    """Masked-LM training, then unsupervised SimCSE with the best weights on STS-B dev kept."""
    stsb = ev.load_sts(data, ["STS-B"], split="dev")
    model = train_masked_lm(tokenizer, sentences, steps=mlm_steps, seed=seed, progress=progress)
    encoder = as_encoder(model, tokenizer)
    return training.train_unsupervised_simcse(
        encoder, sentences, batch_size=min(64, len(sentences)), learning_rate=1e-4,
        max_steps=simcse_steps, projection=None, seed=seed, max_length=MAX_LENGTH,
        dev=lambda encode: float(ev.score_sts(encode, stsb)["spearman"].iloc[0]),
        eval_steps=max(1, simcse_steps // 6), progress=progress,
    )  # fmt: skip


def make_baseline(tokenizer, *, seed=0):
    """Averaged random embeddings: a BERT without layers, positions and segments at zero.

    The frame's vectors are zero too, so that the mean points where the words' mean points.
    """
    from transformers import BertModel

    torch.manual_seed(seed)
    model = BertModel(_config(tokenizer, 0, 0.0), add_pooling_layer=False)
    with torch.no_grad():
        table = model.embeddings
        table.position_embeddings.weight.zero_()
        table.token_type_embeddings.weight.zero_()
        table.word_embeddings.weight[tokenizer.all_special_ids] = 0.0
    return as_encoder(model, tokenizer)


# ---------------------------------------------------------------- command
def save(encoder, folder):
    """Write an encoder's folder whole: under a temporary name, then rename."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        encoder.save(str(temporary), create_model_card=False)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _free(folder):
    folder = folder.expanduser()
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(f"{folder} exists already: give another name or delete it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def run(options):
    folders = [_free(f) for f in (options.out, options.baseline) if f is not None]
    if len(set(folders)) < len(folders):
        raise ValueError("--out and --baseline must be two folders")
    if not 0 < options.minutes <= 600:
        raise ValueError(f"--minutes must lie between 0 and 600, given {options.minutes}")
    if options.vocab < 200:
        raise ValueError(f"--vocab must be at least 200, given {options.vocab}")
    sentences = read_sentences(options.data)
    tokenizer = make_tokenizer(sentences, options.vocab)
    print(f"{len(sentences):,} sentences, {len(tokenizer):,} word pieces, seed {options.seed}",
          flush=True)  # fmt: skip
    start, clock = time.process_time(), time.time()
    encoder = make_encoder(
        tokenizer, sentences, options.data, seed=options.seed, progress=not options.quiet,
        mlm_steps=max(2, round(options.minutes * MLM_SHARE * MLM_STEPS)),
        simcse_steps=max(2, round(options.minutes * (1 - MLM_SHARE) * SIMCSE_STEPS)),
    )  # fmt: skip
    save(encoder, folders[0])
    scores = [f"{e['dev']:.1f} at {e['step']}" for e in encoder.training_history if "dev" in e]
    print(f"STS-B dev at SimCSE's steps: {', '.join(scores)}")
    print(f"{(time.process_time() - start) / 60:.1f} minutes of processor time, "
          f"{(time.time() - clock) / 60:.1f} by the clock: {folders[0]}")  # fmt: skip
    if options.baseline is not None:
        save(make_baseline(tokenizer, seed=options.seed), folders[1])
        print(f"averaged random embeddings: {folders[1]}", flush=True)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the real text")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the encoder")
    parser.add_argument("--baseline", type=Path, help="new folder for averaged random embeddings")
    parser.add_argument("--minutes", type=float, default=5.0,
                        help="sets the numbers of steps (default: 5)")  # fmt: skip
    parser.add_argument("--vocab", type=int, default=10_000, help="word pieces (default: 10000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(argv)
    try:
        with models.quiet():
            run(options)
    except (ValueError, OSError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
