"""Tiny random models in the hub's folder format, for tests."""

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

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


LABELS = {0: "Contradiction", 1: "ENTAILMENT", 2: "neutral"}


def save_adapter(folder, base, *, seed=0, labels=LABELS, beside=True, **changes):
    """A PEFT folder of random weights for sequence classification, as PEFT itself saves it."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(base, id2label=labels)
    about = dict(task_type="SEQ_CLS", r=4, lora_alpha=8, target_modules=["query", "dense"])
    model = get_peft_model(model, LoraConfig(**about | changes))
    for parameter in model.parameters():
        if parameter.requires_grad:  # B is zero at first, and the adapter without effect
            torch.nn.init.normal_(parameter, std=0.5)
    with torch.no_grad():  # logits of mean 0 and deviation 1: it has opinions
        logits = model.eval()(torch.randint(6, 22, (64, 8))).logits
        head = model.get_base_model().classifier.modules_to_save.default
        head.weight.div_(logits.std(0)[:, None])
        head.bias.sub_(logits.mean(0)).div_(logits.std(0))
    model.save_pretrained(str(folder), save_embedding_layers=False)
    if beside:
        model.config.save_pretrained(str(folder))
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


# ------------------------------------------------------------------ instruct models
# Chat templates of the kinds in use, written for these tests: begin token in the template or left
# to the tokenizer, a system turn or none, today's date, thinking.
TEMPLATES = {
    "llama": (
        "{{ bos_token }}{% for m in messages %}{% if loop.first %}[date]"
        "{{ strftime_now('%d %b %Y') }}\n{% endif %}<|head|>{{ m['role'] }}\n{{ m['content'] }}"
        "<|eot|>{% endfor %}{% if add_generation_prompt %}<|head|>assistant\n{% endif %}"
    ),
    "qwen": (
        "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nBe kind.<|im_end|>\n"
        "{% endif %}"
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n"
        "{% endif %}{% endif %}"
    ),
    "gemma": (
        "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
        "{{ raise_exception('no system role') }}{% endif %}{% for m in messages %}<start_of_turn>"
        "{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n{{ m['content'] }}<end_of_turn>"
        "\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
    ),
    "zephyr": (
        "{% for m in messages %}<|{{ m['role'] }}|>\n{{ m['content'] }}{{ eos_token }}\n"
        "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
    ),
    "t5": None,
}
_MARKS = {
    "llama": ["<|begin|>", "<|end|>", "<|head|>", "<|eot|>"],
    "qwen": [None, "<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "gemma": ["<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"],
    "zephyr": ["<s>", "</s>"],
    "t5": [None, "</s>"],
}


def instruct_tokenizer(family):
    """One token a byte, and ".⏎" as one too; special tokens and chat template of a family."""
    merges = [(".", "Ċ")]
    alphabet = [*sorted(pre_tokenizers.ByteLevel.alphabet()), ".Ċ"]
    begin, end, *marks = _MARKS[family]
    special = [x for x in ("<pad>", begin, end, *marks) if x]
    words = {word: i for i, word in enumerate([*special, *alphabet])}
    fast = Tokenizer(models.BPE(words, merges=merges))
    fast.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    fast.decoder = decoders.ByteLevel()
    if begin or family == "t5":
        single, token = ("$A </s>", end) if family == "t5" else (f"{begin} $A", begin)
        fast.post_processor = processors.TemplateProcessing(
            single=single, special_tokens=[(token, words[token])]
        )
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=fast, pad_token="<pad>", bos_token=begin, eos_token=end,
        additional_special_tokens=marks, padding_side="right" if family == "t5" else "left",
    )  # fmt: skip
    made.chat_template = TEMPLATES[family]
    return made


def instruct(family, *, seed=0):
    """A random-weight model in the shape of a family, and its tokenizer."""
    torch.manual_seed(seed)
    held = instruct_tokenizer(family)
    sizes = SIZES | dict(
        vocab_size=len(held), num_key_value_heads=1, head_dim=8, max_position_embeddings=2048,
        initializer_range=0.3, bos_token_id=held.bos_token_id, eos_token_id=held.eos_token_id,
        pad_token_id=held.pad_token_id,
    )  # fmt: skip
    make = {
        "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)),
        "zephyr": lambda: transformers.MistralForCausalLM(
            transformers.MistralConfig(**sizes, sliding_window=None)
        ),
        "qwen": lambda: transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**sizes)),
        "gemma": lambda: transformers.Gemma2ForCausalLM(
            transformers.Gemma2Config(**sizes, sliding_window=16, query_pre_attn_scalar=8)
        ),
        "t5": lambda: transformers.T5ForConditionalGeneration(
            transformers.T5Config(
                vocab_size=len(held), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2,
                feed_forward_proj="gated-gelu", tie_word_embeddings=False, pad_token_id=0,
                eos_token_id=held.eos_token_id, decoder_start_token_id=0,
            )  # fmt: skip
        ),
    }
    return make[family]().eval(), held
