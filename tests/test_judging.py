"""Scores of pairs: reading numbers, similarity by a model, NLI probabilities, cosine."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE, WordLevel
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from synthlib import discriminator, prompts
from synthlib.judging import (
    cosine,
    nli_logits,
    nli_probabilities,
    parse_score,
    score_similarity,
)

SPECIAL = ["<pad>", "</s>", "<unk>", "<cls>", "<sep>"]
HALVES = [f"{s / 2:.1f}" for s in range(11)]
WORDS = (
    "score the semantic similarity of following sentences between and : (a) (b) red blue dog cat "
    "man woman runs sits . a in park"
).split()
VOCABULARY = SPECIAL + HALVES + WORDS
PAIRS = [
    ("a red dog runs .", "a blue dog runs ."),
    ("a man sits", "a woman sits in the park ."),
    ("a cat", "the cat in the park sits ."),
    ("a red dog runs .", "a blue dog runs ."),
    ("a blue dog runs .", "a red dog runs ."),
]


def make_tokenizer(template=None, vocabulary=VOCABULARY, window=60):
    base = Tokenizer(WordLevel({w: i for i, w in enumerate(vocabulary)}, unk_token="<unk>"))
    base.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if template:
        special = [(word, vocabulary.index(word)) for word in ("</s>", "<cls>", "<sep>")]
        base.post_processor = processors.TemplateProcessing(
            single=template[0], pair=template[1], special_tokens=special
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=base, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        cls_token="<cls>", sep_token="<sep>", model_max_length=window,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["t5", "llama"])
def judge(request):
    """A random pocket generator: not a good judge, but one with opinions."""
    torch.manual_seed(0)
    common = dict(vocab_size=len(VOCABULARY), pad_token_id=0, eos_token_id=1, bos_token_id=None,
                  tie_word_embeddings=False, synthlib_form="pocket")  # fmt: skip
    if request.param == "t5":
        config = T5Config(**common, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
                          decoder_start_token_id=0, initializer_factor=2.0)  # fmt: skip
        model, tokenizer = (
            T5ForConditionalGeneration(config),
            make_tokenizer(["$A </s>", "$A $B </s>"]),
        )
        model.lm_head.weight.data *= 0.5
    else:
        config = LlamaConfig(
            **common, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=4, max_position_embeddings=80, initializer_range=0.4,
        )  # fmt: skip
        model, tokenizer = LlamaForCausalLM(config), make_tokenizer()
    return model.eval(), tokenizer


# ------------------------------------------------------------------ parse_score


def scan(text, low=0.0, high=5.0):
    """The grammar, character by character."""
    for i, ch in enumerate(text):
        digit = ch in "0123456789"
        if not digit and not (ch == "." and text[i + 1 : i + 2] and text[i + 1] in "0123456789"):
            continue
        j = i
        while j < len(text) and text[j] in "0123456789":
            j += 1
        if j + 1 < len(text) and text[j] == "." and text[j + 1] in "0123456789":
            j += 1
            while j < len(text) and text[j] in "0123456789":
                j += 1
        value = float(text[i:j])
        if i and text[i - 1] in "-−–":
            value = -value
        return value if low <= value <= high else None
    return None


@given(st.text(alphabet="0123456789.-+−– /,:a", max_size=12))
def test_parse_score_equals_a_scanner(text):
    assert parse_score(text) == scan(text)


@given(st.integers(0, 500), st.sampled_from(["", "score: ", "(", "about ", "\n"]))
def test_every_score_of_the_scale_is_read(hundredths, before):
    for written in (f"{hundredths / 100:.2f}", f"+{hundredths / 100:.2f}"):
        assert parse_score(f"{before}{written} of 5") == hundredths / 100
    assert parse_score(f"{before}-{(hundredths + 1) / 100:.2f}") is None
    assert parse_score(f"{before}{(hundredths + 501) / 100:.2f}") is None


@pytest.mark.parametrize(
    "text, score",
    [
        ("4", 4.0), ("4.5/5", 4.5), ("Score: 3.5.", 3.5), ("3.", 3.0), (".5", 0.5), ("0.0", 0.0),
        ("5.0", 5.0), ("-1", None), ("5.9", None), ("10", None), ("", None), ("none", None),
        ("−2", None), ("–2", None), ("– 2", 2.0), ("-0", 0.0), ("4,5", 4.0), ("(a) 2 (b) 9", 2.0),
        ("9, or 2", None), (None, None), ("+3", 3.0), ("...", None),
    ],
)  # fmt: skip
def test_parse_score_examples(text, score):
    assert parse_score(text) == score


def test_parse_score_takes_another_scale_and_refuses_what_is_no_text():
    assert parse_score("-1", low=-2, high=2) == -1.0
    assert parse_score("70", high=100) == 70.0
    with pytest.raises(ValueError, match="must not be empty"):
        parse_score("1", low=5, high=0)
    with pytest.raises(ValueError, match="reads a text, got float"):
        parse_score(4.0)


# ------------------------------------------------------------------ score_similarity


@torch.no_grad()
def first_token(model, tokenizer, prompt):
    """Distribution of the first token written after one prompt, nothing batched."""
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    if model.config.is_encoder_decoder:
        logits = model(input_ids=ids, decoder_input_ids=torch.tensor([[0]])).logits
    else:
        logits = model(input_ids=ids).logits
    return logits[0, -1].double().softmax(-1)


def test_expected_score_is_the_mean_over_score_tokens(judge):
    model, tokenizer = judge
    got = score_similarity(model, tokenizer, PAIRS, batch_size=2, min_mass=0.0)
    for (a, b), score in zip(PAIRS, got, strict=True):
        p = first_token(model, tokenizer, prompts.similarity(a, b, form="pocket"))
        weights = {s: float(p[VOCABULARY.index(s)]) for s in HALVES}
        expected = sum(float(s) * w for s, w in weights.items()) / sum(weights.values())
        assert score == pytest.approx(expected, abs=1e-4)
    assert len({round(score, 3) for score in got}) == 4 and got[0] == got[3]


def test_a_pair_whose_score_tokens_are_improbable_is_unread(judge):
    model, tokenizer = judge
    mass = [
        float(
            first_token(model, tokenizer, prompts.similarity(a, b, form="pocket"))[
                len(SPECIAL) : len(SPECIAL) + len(HALVES)
            ].sum()
        )
        for a, b in PAIRS
    ]
    limit = sorted(set(mass))[1] + 1e-6
    got = score_similarity(model, tokenizer, PAIRS, min_mass=limit)
    assert [score is None for score in got] == [m < limit for m in mass]
    assert None in got and set(got) != {None}


def test_text_scores_are_what_the_model_writes(judge):
    model, tokenizer = judge

    def push(_, __, output):  # a judge that likes to write scores
        output[..., len(SPECIAL) : len(SPECIAL) + len(HALVES)] += 3.0

    handle = model.lm_head.register_forward_hook(push)
    try:
        got = score_similarity(model, tokenizer, PAIRS, method="text")
        for (a, b), score in zip(PAIRS, got, strict=True):
            prompt = prompts.similarity(a, b, form="pocket")
            ids = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
            out = model.generate(
                **ids, max_new_tokens=8, do_sample=False, suppress_tokens=[0, 2, 3, 4]
            )
            start = 0 if model.config.is_encoder_decoder else ids["input_ids"].shape[1]
            assert score == parse_score(tokenizer.decode(out[0, start:], skip_special_tokens=True))
        assert any(score is not None for score in got)
    finally:
        handle.remove()


@pytest.mark.parametrize("method", ["expected", "text"])
def test_each_distinct_pair_is_scored_once(judge, method):
    model, tokenizer = judge
    asked = []

    def template(a, b):
        asked.append((a, b))
        return prompts.similarity(a, b, form="pocket")

    many = PAIRS * 3
    got = score_similarity(model, tokenizer, many, method=method, template=template, min_mass=0)
    assert sorted(asked) == sorted(set(PAIRS))
    assert got == got[: len(PAIRS)] * 3
    assert score_similarity(model, tokenizer, [], method=method) == []


def test_the_prompt_form_is_the_models(judge, monkeypatch):
    model, tokenizer = judge
    forms = []

    def record(a, b, *, form):
        forms.append(form)
        return "a dog :"

    monkeypatch.setattr(prompts, "similarity", record)
    score_similarity(model, tokenizer, PAIRS[:1])
    monkeypatch.delattr(model.config, "synthlib_form")
    score_similarity(model, tokenizer, PAIRS[:1])
    assert forms == ["pocket", "paper"]


def byte_level_tokenizer(merges=()):
    """One token a character, as in GPT-2; ``merges`` join two."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *("".join(pair) for pair in merges), "<pad>"]
    base = Tokenizer(BPE({w: i for i, w in enumerate(words)}, merges=list(merges)))
    base.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    base.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=base, pad_token="<pad>", eos_token="<pad>")


def test_digits_are_the_scores_of_other_tokenizers():
    """ "4" and " 4" are two spellings of one score; the probability of both counts."""
    tokenizer = byte_level_tokenizer(merges=[("Ġ", str(d)) for d in range(6)])
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=4, max_position_embeddings=400, initializer_range=0.4,
        pad_token_id=None, eos_token_id=None, bos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    (got,) = score_similarity(model, tokenizer, PAIRS[:1], min_mass=0.0)
    p = first_token(model, tokenizer, prompts.similarity(*PAIRS[0], form="paper"))
    weight = {
        d: sum(float(p[tokenizer.convert_tokens_to_ids(t)]) for t in (str(d), f"Ġ{d}"))
        for d in range(6)
    }
    expected = sum(d * w for d, w in weight.items()) / sum(weight.values())
    assert got == pytest.approx(expected, abs=1e-4)


def test_a_tokenizer_without_score_tokens_is_refused(judge):
    model, _ = judge
    scoreless = make_tokenizer(vocabulary=SPECIAL + WORDS)
    with pytest.raises(ValueError, match='method="text"'):
        score_similarity(model, scoreless, PAIRS)


@pytest.mark.parametrize(
    "pairs, options, fragment",
    [
        (PAIRS, {"method": "mean"}, "'mean'"),
        (PAIRS, {"min_mass": 2.0}, "min_mass"),
        (PAIRS, {"batch_size": 0}, "batch_size"),
        ([("a", "")], {}, "pair 0"),
        ([("a", "b"), ("a", "b", "c")], {}, "pair 1"),
        (["ab"], {}, "pair 0"),
        ([("a", None)], {}, "pair 0"),
    ],
)
def test_score_similarity_refuses(judge, pairs, options, fragment):
    with pytest.raises(ValueError) as error:
        score_similarity(*judge, pairs, **options)
    assert fragment in str(error.value)


# ------------------------------------------------------------------ nli_probabilities

ORDERS = [
    ("entailment", "neutral", "contradiction"),
    ("contradiction", "entailment", "neutral"),
    ("NEUTRAL", "CONTRADICTION", "ENTAILMENT"),
]


def make_nli(labels):
    torch.manual_seed(2)
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=64, max_position_embeddings=60, initializer_range=0.5,
        num_labels=len(labels), id2label=dict(enumerate(labels)),
    )  # fmt: skip
    tokenizer = make_tokenizer(["<cls> $A <sep>", "<cls> $A <sep> $B:1 <sep>:1"])
    return BertForSequenceClassification(config).eval(), tokenizer


@pytest.mark.parametrize("labels", ORDERS)
def test_nli_probabilities_read_the_label_order(labels):
    model, tokenizer = make_nli(labels)
    got = nli_probabilities(model, tokenizer, PAIRS, batch_size=2)
    for (a, b), row in zip(PAIRS, got, strict=True):
        with torch.no_grad():
            p = model(**tokenizer(a, b, return_tensors="pt")).logits[0].softmax(-1)
        by_name = {name.lower(): float(value) for name, value in zip(labels, p, strict=True)}
        expected = [by_name[n] for n in ("entailment", "neutral", "contradiction")]
        np.testing.assert_allclose(row, expected, atol=1e-5)
    assert got.shape == (5, 3) and np.ptp(got, axis=0).max() > 0.05
    np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-6)
    assert (got[0] == got[3]).all() and not np.allclose(got[0], got[4])  # direction matters


def test_nli_computes_distinct_pairs_once_and_leaves_the_model_as_it_was():
    model, tokenizer = make_nli(ORDERS[0])
    expected = nli_probabilities(model, tokenizer, PAIRS)
    rows = []
    model.register_forward_pre_hook(
        lambda _, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    model.train()
    got = nli_probabilities(model, tokenizer, PAIRS * 4, batch_size=3)
    assert rows == [3, 1] and model.training
    np.testing.assert_allclose(got, np.tile(expected, (4, 1)), atol=1e-5)
    assert nli_probabilities(model, tokenizer, []).shape == (0, 3)


@pytest.mark.parametrize("labels", [("LABEL_0", "LABEL_1", "LABEL_2"), ("entailment", "neutral")])
def test_unnamed_labels_are_refused(labels):
    with pytest.raises(ValueError, match=labels[0]):
        nli_probabilities(*make_nli(labels), PAIRS)


def test_nli_refuses_what_does_not_fit_and_logits_that_are_not_numbers():
    model, tokenizer = make_nli(ORDERS[0])
    with pytest.raises(ValueError, match="pair 1 has 66 tokens.* 60"):
        nli_probabilities(model, tokenizer, [PAIRS[0], ("a " * 60, "a red dog")])
    with pytest.raises(ValueError, match="refuse, skip, cut"):
        nli_probabilities(model, tokenizer, PAIRS, long="fold")
    with pytest.raises(ValueError, match="batch_size"):
        nli_probabilities(model, tokenizer, PAIRS, batch_size=0)
    model.classifier.weight.data[0] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        nli_probabilities(model, tokenizer, PAIRS)


@pytest.mark.parametrize("read", [nli_probabilities, nli_logits])
def test_what_nli_does_with_a_pair_that_is_too_long_is_said(read):
    """By hand: what is read of the long pair is the pair that just fits."""
    model, tokenizer = make_nli(ORDERS[0])
    model.double()  # so that what padding changes is far below what is compared
    room = 60 - len(tokenizer("", "a red dog")["input_ids"])
    long, fits = ("a " * 60, "a red dog"), ("a " * room, "a red dog")
    assert len(tokenizer(*fits)["input_ids"]) == 60
    expected = read(model, tokenizer, [*PAIRS, fits])
    with pytest.warns(UserWarning, match=r"pair 5 has 66 tokens.* 60: it is cut \(2 of 7 are\)"):
        got = read(model, tokenizer, [*PAIRS, long, long], long="cut")
    np.testing.assert_allclose(got[:6], expected, rtol=1e-6)
    np.testing.assert_array_equal(got[6], got[5])
    skipped = read(model, tokenizer, [*PAIRS, long], long="skip")
    np.testing.assert_allclose(skipped[:5], expected[:5], rtol=1e-6)
    nothing = 0.0 if read is nli_probabilities else math.nan
    np.testing.assert_array_equal(skipped[5], [nothing] * 3)


# ------------------------------------------------------------------ cosine


@pytest.mark.parametrize("wrap", [np.asarray, torch.tensor, list])
def test_cosine_of_each_pair(wrap):
    table = {"a": [1.0, 0.0], "b": [1.0, 1.0], "c": [-3.0, 0.0]}
    asked = []

    def encode(texts):
        asked.append(list(texts))
        return wrap([table[t] for t in texts])

    pairs = [("a", "b"), ("a", "c"), ("b", "b"), ("a", "b")]
    got = cosine(encode, pairs)
    np.testing.assert_allclose(got, [math.sqrt(0.5), -1, 1, math.sqrt(0.5)])
    assert asked == [["a", "b", "c"]]
    assert cosine(encode, []).shape == (0,)


@pytest.mark.parametrize(
    "vectors, fragment",
    [
        ([[0.0, 0.0], [1.0, 0.0]], "zero or not finite"),
        ([[1.0, math.nan], [1.0, 0.0]], "zero or not finite"),
        ([[1.0, 0.0]], "shape (1, 2)"),
        ([1.0, 0.0], "shape (2,)"),
    ],
)
def test_cosine_refuses(vectors, fragment):
    with pytest.raises(ValueError) as error:
        cosine(lambda texts: np.array(vectors), [("a", "b")])
    assert fragment in str(error.value)


# ------------------------------------------------------------------ special tokens in a text
def bart_nli():
    """A BART for NLI: it reads at `</s>`, and stops where rows have unequal numbers of it."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    vocabulary = {c: i for i, c in enumerate(names + letters)}
    core = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(False)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )  # fmt: skip
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", cls_token="<s>",
        sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>",
    )  # fmt: skip
    torch.manual_seed(0)
    config = transformers.BartConfig(
        vocab_size=len(vocabulary), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, max_position_embeddings=120, init_std=0.3,
        id2label={0: "contradiction", 1: "neutral", 2: "entailment"},
    )  # fmt: skip
    return transformers.BartForSequenceClassification(config).eval(), tokenizer


def test_special_tokens_in_a_pair_are_text():
    """By hand: every token of the text spelled letter by letter, a row on its own."""
    model, tokenizer = bart_nli()
    pairs = [
        ("The <s>old</s> price is 5.", "A price."), ("A dog.", "No</s>dog <pad> here."),
        ("A dog sleeps.", "A cat."), ("<s>", "</s></s>"), ("a <mask> b", "c"),
    ]  # fmt: skip
    letters = tokenizer.get_vocab()
    expected, rows = [], []
    for pair in pairs:
        a, b = ([letters[c] for c in text.replace(" ", "Ġ")] for text in pair)
        rows.append([0, *a, 2, 2, *b, 2])
        with torch.no_grad():
            expected.append(model(input_ids=torch.tensor([rows[-1]])).logits[0].softmax(-1).numpy())
    got = nli_probabilities(model, tokenizer, pairs, batch_size=3)
    np.testing.assert_allclose(got[:, [2, 1, 0]], expected, atol=1e-5)
    raw = nli_logits(model, tokenizer, pairs, batch_size=3)
    np.testing.assert_allclose(torch.tensor(raw).softmax(-1)[:, [2, 1, 0]], expected, atol=1e-5)
    labelled = [(*pair, "neutral") for pair in pairs]
    batch = discriminator.collate(tokenizer, {"neutral": 1}, 60, labelled)
    for row, ids, mask in zip(rows, batch["input_ids"], batch["attention_mask"], strict=False):
        assert ids[mask == 1].tolist() == row
