"""Tiny random models in the hub's folder format, for tests."""

import torch
import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = "a the man woman dog cat red blue runs sleeps eats not in park house two".split()
SPECIAL = ["<pad>", "</s>", "<unk>", "<mask>", "<cls>", "<sep>"]
SIZES = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32)


def tokenizer(kind="encoder"):
    """A word-level tokenizer: "encoder" adds <cls> and <sep>, "t5" </s>, "causal" nothing."""
    vocabulary = {word: i for i, word in enumerate(SPECIAL + WORDS)}
    fast = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    fast.normalizer = normalizers.Lowercase()
    fast.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if kind == "encoder":
        fast.post_processor = processors.TemplateProcessing(
            single="<cls> $A <sep>",
            pair="<cls> $A <sep> $B:1 <sep>:1",
            special_tokens=[("<cls>", 4), ("<sep>", 5)],
        )
    if kind == "t5":
        fast.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", 1)]
        )
    names = dict(pad_token="<pad>", eos_token="</s>", unk_token="<unk>", mask_token="<mask>")
    if kind == "causal":
        del names["pad_token"]
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, cls_token="<cls>", sep_token="<sep>", **names
    )


def save(folder, kind, *, seed=0, dropout=0.1, **changes):
    """Write a tiny random model of a kind to a folder and return the folder."""
    torch.manual_seed(seed)
    size = len(SPECIAL) + len(WORDS)
    encoder = dict(
        vocab_size=size, max_position_embeddings=40, pad_token_id=0,
        hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout, **SIZES,
    )  # fmt: skip
    decoder = dict(vocab_size=size, bos_token_id=None, eos_token_id=1, pad_token_id=None)
    three = {0: "contradiction", 1: "entailment", 2: "neutral"}
    make = {
        "bert": lambda: transformers.BertForMaskedLM(transformers.BertConfig(**encoder | changes)),
        "bert-pooler": lambda: transformers.BertModel(transformers.BertConfig(**encoder | changes)),
        "roberta": lambda: transformers.RobertaForMaskedLM(
            transformers.RobertaConfig(**encoder | changes)
        ),
        "nli": lambda: transformers.BertForSequenceClassification(
            transformers.BertConfig(**encoder | dict(id2label=three) | changes)
        ),
        "t5": lambda: transformers.T5ForConditionalGeneration(
            transformers.T5Config(
                vocab_size=size,
                d_model=16,
                d_kv=8,
                d_ff=32,
                num_layers=2,
                num_heads=2,
                pad_token_id=0,
                eos_token_id=1,
                decoder_start_token_id=0,
                **changes,
            )  # fmt: skip
        ),
        "llama": lambda: transformers.LlamaForCausalLM(
            transformers.LlamaConfig(max_position_embeddings=64, **decoder, **SIZES | changes)
        ),
        "gpt2": lambda: transformers.GPT2LMHeadModel(
            transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=64, **decoder)
        ),
    }
    make[kind]().save_pretrained(folder)
    kinds = {"t5": "t5", "llama": "causal", "gpt2": "causal"}
    tokenizer(kinds.get(kind, "encoder")).save_pretrained(folder)
    return folder


def examined_on(root, sentences):
    """Data of an examination below a folder: one STS set of 12 pairs, and lists to rerank."""
    year = root / "data" / "STS" / "STS12-en-test"
    year.mkdir(parents=True)
    pairs = [f"{a}\t{b}\n" for a, b in zip(sentences[:12], sentences[12:24], strict=True)]
    (year / "STS.input.a.txt").write_text("".join(pairs))
    (year / "STS.gs.a.txt").write_text("".join(f"{i % 5}\n" for i in range(12)))
    rows = [f"{sentences[i % 3]},{int(i % 4 == 0)},{sentences[i]}\n" for i in range(24)]
    (root / "rerank.csv").write_text("question,label,candidate\n" + "".join(rows))
