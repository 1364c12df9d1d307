"""How many tokens a model reads: every family up to its last position, and one line beyond."""

import warnings

import numpy as np
import pytest
import tiny_models
import torch
import transformers as tf

from synthlib import decoding, judging, models, windows

SIZE = len(tiny_models.SPECIAL + tiny_models.WORDS)
SMALL = dict(vocab_size=SIZE, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
             intermediate_size=32)  # fmt: skip
# Positions begin at padding_idx + 1, which differs from model to model: 22 rows, 20 or 21 tokens.
OFFSET = SMALL | dict(max_position_embeddings=22, pad_token_id=1)
PLAIN = SMALL | dict(max_position_embeddings=20, pad_token_id=0)
XLNET = dict(vocab_size=SIZE, d_model=16, n_layer=2, n_head=2, d_inner=32)
CAUSAL = dict(vocab_size=SIZE, pad_token_id=0, eos_token_id=1, bos_token_id=None)
ROPE = PLAIN | CAUSAL
BART = CAUSAL | dict(
    d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
    decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=20,
    decoder_start_token_id=1, forced_eos_token_id=None,
)  # fmt: skip

#: Family → (model, most tokens; None: as many as one likes).
ENCODERS = {
    "bert": (lambda: tf.BertModel(tf.BertConfig(**PLAIN)), 20),
    "roberta": (lambda: tf.RobertaModel(tf.RobertaConfig(**OFFSET)), 20),
    "roberta, pad 0": (lambda: tf.RobertaModel(tf.RobertaConfig(**OFFSET | {"pad_token_id": 0})),
                       21),
    "xlm-roberta": (lambda: tf.XLMRobertaModel(tf.XLMRobertaConfig(**OFFSET)), 20),
    "xlm-roberta-xl": (lambda: tf.XLMRobertaXLModel(tf.XLMRobertaXLConfig(**OFFSET)), 20),
    "roberta-prelayernorm": (
        lambda: tf.RobertaPreLayerNormModel(tf.RobertaPreLayerNormConfig(**OFFSET)), 20,
    ),
    "data2vec-text": (lambda: tf.Data2VecTextModel(tf.Data2VecTextConfig(**OFFSET)), 20),
    "xmod": (
        lambda: tf.XmodModel(
            tf.XmodConfig(**OFFSET, languages=["en_XX"], default_language="en_XX")
        ), 20,
    ),
    "ibert": (lambda: tf.IBertModel(tf.IBertConfig(**OFFSET)), 20),
    "esm": (lambda: tf.EsmModel(tf.EsmConfig(**OFFSET, mask_token_id=3)), 20),
    "mpnet": (lambda: tf.MPNetModel(tf.MPNetConfig(**OFFSET)), 20),
    "camembert": (lambda: tf.CamembertModel(tf.CamembertConfig(**OFFSET)), 20),
    "longformer": (lambda: tf.LongformerModel(tf.LongformerConfig(**OFFSET, attention_window=4)),
                   20),
    "roformer": (lambda: tf.RoFormerModel(tf.RoFormerConfig(**PLAIN, embedding_size=16)), 20),
    "distilbert": (
        lambda: tf.DistilBertModel(
            tf.DistilBertConfig(
                vocab_size=SIZE, dim=16, n_layers=2, n_heads=2, hidden_dim=32,
                max_position_embeddings=20,
            )
        ), 20,
    ),
    "modernbert": (
        lambda: tf.ModernBertModel(
            tf.ModernBertConfig(**PLAIN, bos_token_id=1, eos_token_id=1, cls_token_id=4,
                                sep_token_id=5)
        ), 20,
    ),
    "gpt2": (
        lambda: tf.GPT2Model(tf.GPT2Config(**CAUSAL, n_embd=16, n_layer=2, n_head=2,
                                           n_positions=20)), 20,
    ),
    "xlnet": (lambda: tf.XLNetModel(tf.XLNetConfig(**XLNET)), None),
    "t5": (
        lambda: tf.T5EncoderModel(
            tf.T5Config(vocab_size=SIZE, d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2)
        ), None,
    ),
}  # fmt: skip

GENERATORS = {
    "gpt2": (
        lambda: tf.GPT2LMHeadModel(
            tf.GPT2Config(**CAUSAL, n_embd=16, n_layer=2, n_head=2, n_positions=20)
        ), 20,
    ),
    "opt": (lambda: tf.OPTForCausalLM(tf.OPTConfig(**ROPE, ffn_dim=32, word_embed_proj_dim=16)),
            20),
    "gptj": (
        lambda: tf.GPTJForCausalLM(
            tf.GPTJConfig(**CAUSAL, n_embd=16, n_layer=2, n_head=2, n_positions=20, rotary_dim=4)
        ), 20,
    ),
    "biogpt": (lambda: tf.BioGptForCausalLM(tf.BioGptConfig(**ROPE)), 20),
    "llama": (lambda: tf.LlamaForCausalLM(tf.LlamaConfig(**ROPE)), 20),
    "mpt": (
        lambda: tf.MptForCausalLM(
            tf.MptConfig(**CAUSAL, d_model=16, n_heads=2, n_layers=2, max_seq_len=20)
        ), 20,
    ),
    "bloom": (
        lambda: tf.BloomForCausalLM(tf.BloomConfig(**CAUSAL, hidden_size=16, n_layer=2, n_head=2)),
        None,
    ),
    "bart": (lambda: tf.BartForConditionalGeneration(tf.BartConfig(**BART)), 20),
    "mbart": (lambda: tf.MBartForConditionalGeneration(tf.MBartConfig(**BART)), 20),
    "pegasus": (lambda: tf.PegasusForConditionalGeneration(tf.PegasusConfig(**BART)), 20),
    "led": (
        lambda: tf.LEDForConditionalGeneration(
            tf.LEDConfig(
                **{k: v for k, v in BART.items() if k != "max_position_embeddings"},
                max_encoder_position_embeddings=20, max_decoder_position_embeddings=16,
                attention_window=4,
            )
        ), 20,
    ),
}  # fmt: skip


def words(count, seed=0):
    return " ".join(np.random.default_rng(seed).choice(tiny_models.WORDS, count))


def saved(model, folder, kind):
    torch.manual_seed(0)
    model.save_pretrained(folder)
    tiny_models.tokenizer(kind).save_pretrained(folder)  # without a limit: it says 1e30
    return folder


@pytest.mark.parametrize("family", ENCODERS)
def test_a_sentence_beyond_the_window_is_cut_and_counted(family, tmp_path):
    make, limit = ENCODERS[family]
    encoder = models.load_encoder(saved(make(), tmp_path, "encoder"), pooling="mean")
    long = words(70)
    texts = ["a dog", long, "the red house"]
    assert windows.of(encoder[0].model).reads == limit
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", UserWarning)
        found = encoder.encode(texts)
        encoder.encode(texts)
    cut = [str(w.message) for w in said if "cut off" in str(w.message)]
    assert np.isfinite(found).all()
    alone = np.stack([encoder.encode(text) for text in texts])
    np.testing.assert_allclose(found, alone, atol=1e-5)
    if limit is None:
        assert not cut
        assert not np.allclose(found[1], encoder.encode(" ".join(long.split()[:-3])), atol=1e-4)
    else:
        assert len(cut) == 1 and cut[0].startswith(f"1 of 3 sentences are longer than the {limit}")
        kept = " ".join(long.split()[: limit - 2])  # beside <cls> and <sep>
        np.testing.assert_allclose(found[1], encoder.encode(kept), atol=1e-5)
        fewer = " ".join(long.split()[: limit - 3])
        assert not np.allclose(found[1], encoder.encode(fewer), atol=1e-5)


@pytest.mark.parametrize("family", GENERATORS)
def test_generators_go_to_their_last_position_and_no_further(family, tmp_path):
    make, limit = GENERATORS[family]
    model, tokenizer = models.load_generator(saved(make(), tmp_path, "causal"))
    encdec, room = model.config.is_encoder_decoder, 3
    assert decoding.window(model, tokenizer) == limit
    fits = 70 if limit is None else limit if encdec else limit - room
    options = dict(max_new_tokens=room)
    decoding.generate_mixture(model, tokenizer, [[words(fits), "a dog"]], [1.0], **options)
    if limit is not None:
        with pytest.raises(ValueError, match=f"row 1 of context 0 has .* window holds {limit}"):
            decoding.generate_mixture(
                model, tokenizer, [["a dog", words(fits + 1)]], [1.0], **options
            )


@pytest.mark.parametrize("family", ["bart", "mbart", "pegasus", "led"])
def test_a_decoder_writes_as_much_as_its_table_holds(family, tmp_path):
    model, tokenizer = models.load_generator(saved(GENERATORS[family][0](), tmp_path, "causal"))
    most = 16 if family == "led" else 20
    assert windows.of(model).writes == most
    model.generation_config.eos_token_id = None
    tokenizer.eos_token = None
    decoding.generate_mixture(model, tokenizer, [["a dog"]], [1.0], max_new_tokens=most)
    with pytest.raises(ValueError, match=f"asks for 300 tokens, .* decoder holds {most}"):
        decoding.generate_mixture(model, tokenizer, [["a dog"]], [1.0], max_new_tokens=300)


def test_a_list_at_once_asks_for_as_much_as_a_decoder_holds(tmp_path, monkeypatch):
    config = tf.BartConfig(**BART | {"max_position_embeddings": 150})
    folder = saved(tf.BartForConditionalGeneration(config), tmp_path, "causal")
    model, tokenizer = models.load_generator(folder)
    asked, generate = [], decoding.generate_mixture

    def watched(*args, max_new_tokens, **options):
        asked.append(max_new_tokens)
        return generate(*args, max_new_tokens=max_new_tokens, **options)

    monkeypatch.setattr(decoding, "generate_mixture", watched)
    decoding.generate_lists_at_once(model, tokenizer, ["a"], steps=30, max_new_tokens=9)
    assert asked == [150]  # 390 for every sentence and its number


@pytest.mark.parametrize("family", ["bart", "roberta", "xlnet", "gpt2"])
def test_judges_go_to_their_last_position_and_no_further(family, tmp_path):
    labels = dict(id2label=dict(enumerate(models.NLI_LABELS)))
    model = {
        "bart": lambda: tf.BartForSequenceClassification(
            tf.BartConfig(**BART | {"eos_token_id": 5}, **labels)
        ),
        "roberta": lambda: tf.RobertaForSequenceClassification(
            tf.RobertaConfig(**OFFSET, **labels)
        ),
        "xlnet": lambda: tf.XLNetForSequenceClassification(tf.XLNetConfig(**XLNET, **labels)),
        "gpt2": lambda: tf.GPT2ForSequenceClassification(
            tf.GPT2Config(**CAUSAL | {"pad_token_id": None}, n_embd=16, n_layer=2, n_head=2,
                          n_positions=20, **labels)
        ),
    }[family]()  # fmt: skip
    folder = saved(model, tmp_path, "causal" if family == "gpt2" else "encoder")
    model, tokenizer = models.load_nli(folder)
    if family == "xlnet":
        tokenizer.padding_side = "left"  # as its own does: the last token answers
    around = len(tokenizer("a", "a")["input_ids"]) - 2
    fits = 60 if family == "xlnet" else 20 - around
    if family == "bart":
        pairs = [(words(fits - 2), "a dog")]  # it wants as many end tokens in every row
    else:
        pairs = [(words(fits - 2), "a dog"), ("a", "a red dog"), ("the man", "red")]
    found = judging.nli_probabilities(model, tokenizer, pairs)
    alone = np.concatenate([judging.nli_probabilities(model, tokenizer, [p]) for p in pairs])
    np.testing.assert_allclose(found, alone, atol=1e-5)
    if family != "xlnet":
        with pytest.raises(ValueError, match="pair 0 has 21 tokens.*window holds 20"):
            judging.nli_probabilities(model, tokenizer, [(words(fits - 1), "a dog")])


def test_a_trial_leaves_no_trace():
    model = GENERATORS["bart"][0]()
    model.train()
    model.lm_head.eval()
    calls = []
    for module in model.modules():
        module.register_forward_pre_hook(lambda *_: calls.append(1))
    state = torch.get_rng_state()
    assert windows.of(model) == windows.Window(20, 20)
    assert not calls and torch.equal(torch.get_rng_state(), state)
    assert model.training and not model.lm_head.training
    model.base_model(torch.tensor([[7, 8]]))
    assert calls  # whoever watches the model still does


def test_where_a_trial_fails_the_tables_are_read():
    """Without a default language X-MOD wants one in every call, so no pass over tokens alone."""
    model = tf.XmodModel(tf.XmodConfig(**OFFSET))
    with pytest.raises(ValueError):
        model(torch.tensor([[7, 8]]))
    assert windows.of(model).reads == 20


def test_a_tokenizers_own_limit_counts_where_it_is_smaller():
    model, tokenizer = GENERATORS["gpt2"][0](), tiny_models.tokenizer("causal")
    for own, limit in ((12, 12), (int(1e30), 20), (500, 20)):
        tokenizer.model_max_length = own
        assert windows.size(model, tokenizer) == limit
        windows.cap(tokenizer, model)
        assert tokenizer.model_max_length == limit
