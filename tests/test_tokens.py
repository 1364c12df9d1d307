"""Special tokens that a text spells are text, to every kind of tokenizer."""

import numpy as np
import pytest
import tiny_models
import torch
import transformers
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers import models as cores

from synthlib import models, tokens

TEXTS = [
    "The <s>old</s> price is 5.", "plain text", "</s>", "a <mask> b <pad>", "1 < 5 > s",
    "<s><s></s>", "two </s> of </s> them",
]  # fmt: skip
NAMES = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
LETTERS = sorted(set("".join(TEXTS)) - {" "})


def tokenizer_of(kind):
    if kind == "unigram":  # its vocabulary holds the special tokens as words, and finds them
        words = [(name, 0.0) for name in NAMES] + [(c, -3.0) for c in ["▁", *LETTERS]]
        core = Tokenizer(cores.Unigram(words, unk_id=3))
        core.pre_tokenizer = pre_tokenizers.Metaspace()
    elif kind == "bpe":
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        core = Tokenizer(cores.BPE({c: i for i, c in enumerate(NAMES + letters)}, []))
        core.pre_tokenizer = pre_tokenizers.ByteLevel(False)
    else:
        words = {c: i for i, c in enumerate([*NAMES, *LETTERS, *("##" + c for c in LETTERS)])}
        core = Tokenizer(cores.WordPiece(words, unk_token="<unk>"))
        core.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    core.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="<pad>", mask_token="<mask>",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["unigram", "bpe", "wordpiece"])
def test_only_the_templates_own_special_tokens_are_read(kind):
    tokenizer = tokenizer_of(kind)
    rows = tokens.encode(tokenizer, TEXTS)["input_ids"]
    for row, text in zip(rows, TEXTS, strict=True):
        assert (row[0], row[-1]) == (0, 2) and not {0, 1, 2, 4} & set(row[1:-1])
        if kind == "bpe":  # read as it is, to the letter
            read = tokenizer.convert_ids_to_tokens(row[1:-1])
            assert "".join(read).replace("Ġ", " ") == text
    # A text's tokens do not depend on its neighbours, and the tokenizer is left as it was.
    alone = [tokens.encode(tokenizer, [text])["input_ids"][0] for text in TEXTS]
    assert alone == rows and rows[1] == tokenizer(TEXTS[1])["input_ids"]
    assert 2 in tokenizer(TEXTS[0])["input_ids"][1:-1]
    pairs = tokens.padded(tokenizer, TEXTS, TEXTS[::-1])
    for i, (ids, mask) in enumerate(zip(pairs["input_ids"], pairs["attention_mask"], strict=True)):
        assert ids[mask == 1].tolist() == [*rows[i], *rows[::-1][i][1:]]


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_places_in_a_prompt_stay(kind):
    tokenizer = tokenizer_of(kind)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<extra_id_0>", "<|user|>"]})
    gap, user = tokenizer.convert_tokens_to_ids(["<extra_id_0>", "<|user|>"])
    found = tokens.encode(
        tokenizer, ["a <mask> <extra_id_0>", "a <|user|>", "<|user|> a"], prompts=True
    )["input_ids"]
    assert {4, gap} <= set(found[0]) and user not in found[1] and user in found[2]
    found = tokens.encode(tokenizer, ["a <mask> <extra_id_0>", "<|user|> a"])["input_ids"]
    assert not {4, gap, user} & set(found[0] + found[1])


def test_a_special_token_that_cannot_be_text_is_refused():
    tokenizer = tokenizer_of("unigram")
    tokenizer.add_special_tokens({"extra_special_tokens": ["5"]})
    with pytest.raises(ValueError, match="price is 5.* spells .*5.* take it out of the text"):
        tokens.encode(tokenizer, TEXTS)


@pytest.mark.parametrize("pooling", ["mean", "cls", "prompt"])
def test_an_encoder_reads_them_as_text_too(tmp_path, pooling):
    folder = tiny_models.save(tmp_path / "bert", "bert", synthlib_form="pocket")
    config = dict(pooling=pooling, device="cpu")
    if pooling == "prompt":
        vocabulary = transformers.AutoTokenizer.from_pretrained(folder)
        vocabulary.add_tokens(list('this sentence : " means .'.split()))
        vocabulary.save_pretrained(folder)
        body = transformers.AutoModelForMaskedLM.from_pretrained(folder)
        body.resize_token_embeddings(len(vocabulary))
        body.save_pretrained(folder)
    encoder = models.load_encoder(folder, **config)
    rows = encoder.preprocess(["the <sep> dog </s> <mask>", "the dog"])["input_ids"].tolist()
    special = [i for i in rows[0] if i in (0, 1, 3, 4, 5)]
    assert special == ([4, 3, 5] if pooling == "prompt" else [4, 5])
    with torch.no_grad():
        got = encoder.encode(["the <sep> dog", "the dog"])
        expected = encoder.encode(["the < sep> dog", "the dog"])
    np.testing.assert_allclose(got, expected, atol=1e-6)
