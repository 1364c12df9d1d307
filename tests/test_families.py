"""Families of models: batches, shared beginnings and caches give each row's own text.

The reference is one row, without cache, padding and batch, everything computed again at each step.
"""

import gc
import math
import warnings
import weakref
from random import Random

import numpy as np
import pytest
import torch
import transformers
from test_decoding import BANNED, END, PAD, SPECIAL, WORDS, make_tokenizer

from synthlib import decoding, ppo

SIZE = len(SPECIAL + WORDS)
COMMON = dict(vocab_size=SIZE, pad_token_id=PAD, bos_token_id=None, eos_token_id=END)
LARGE = dict(initializer_range=0.4)
HF = dict(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
    max_position_embeddings=256, tie_word_embeddings=False,
) | LARGE  # fmt: skip
GPT = dict(n_embd=32, n_layer=2, n_head=4, n_positions=256, tie_word_embeddings=False) | LARGE
BART = dict(
    d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
    decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, init_std=0.4,
    max_position_embeddings=256, decoder_start_token_id=PAD, forced_eos_token_id=None,
)  # fmt: skip
T5 = dict(
    d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, decoder_start_token_id=PAD,
    initializer_factor=2.0, tie_word_embeddings=False,
)  # fmt: skip
KV = dict(num_key_value_heads=2)
CAUSAL = {
    "Llama": HF, "GPT2": GPT,
    "Mpt": dict(d_model=32, n_heads=4, n_layers=2, max_seq_len=256) | LARGE,
    "GPTNeo": dict(
        hidden_size=32, num_layers=2, num_heads=4, max_position_embeddings=256,
        attention_types=[[["global", "local"], 1]], window_size=256,
    ) | LARGE,
    "Bloom": dict(hidden_size=32, n_layer=2, n_head=4) | LARGE,
    "Falcon": HF, "GPTJ": GPT | dict(rotary_dim=4), "CodeGen": GPT | dict(rotary_dim=4, n_ctx=256),
    "OPT": HF | dict(ffn_dim=64, word_embed_proj_dim=32, init_std=0.4), "BioGpt": HF,
    "XGLM": dict(
        d_model=32, ffn_dim=64, num_layers=2, attention_heads=4, max_position_embeddings=256,
        init_std=0.4,
    ),
    "GPTBigCode": GPT, "StableLm": HF | KV, "Gemma": HF | KV | dict(head_dim=8),
    "Gemma2": HF | KV | dict(head_dim=8, sliding_window=16),
    "Gemma3": HF | KV | dict(head_dim=8, sliding_window=16),
    "Mistral": HF | KV | dict(sliding_window=16), "Phi": HF, "Phi3": HF | KV, "Qwen2": HF | KV,
    "Qwen3": HF | KV | dict(head_dim=8), "GPTNeoX": HF, "Cohere": HF | KV,
    "Cohere2": HF | KV | dict(sliding_window=16), "Olmo2": HF | KV, "Granite": HF | KV,
    "Starcoder2": HF | KV, "Persimmon": HF, "CTRL": dict(n_embd=32, n_layer=2, n_head=4, dff=64),
    "OpenAIGPT": GPT, "Mixtral": HF | KV | dict(num_local_experts=4),
    "Mamba": dict(hidden_size=32, num_hidden_layers=2, state_size=8, initializer_range=0.4),
    "Mamba2": dict(
        hidden_size=32, num_hidden_layers=2, state_size=8, num_heads=8, head_dim=8, n_groups=1,
        chunk_size=8, initializer_range=0.4,
    ),
    "FalconMamba": dict(hidden_size=32, num_hidden_layers=2, state_size=8, initializer_range=0.4),
    "Rwkv": dict(hidden_size=32, attention_hidden_size=32, num_hidden_layers=2, context_length=256),
    "Jamba": HF | KV | dict(
        num_experts=2, num_experts_per_tok=1, attn_layer_period=2, attn_layer_offset=1,
        expert_layer_period=2, expert_layer_offset=1, mamba_d_state=8, use_mamba_kernels=False,
    ),
    "RecurrentGemma": dict(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        lru_width=32, attention_window_size=16, w_init_variance_scale=1.0,
    ),
    "Lfm2": HF | KV,
}  # fmt: skip
SEQ2SEQ = {
    "T5": T5, "MT5": T5, "UMT5": T5, "LongT5": T5 | dict(local_radius=4),
    "Bart": BART, "MBart": BART, "Pegasus": BART, "BlenderbotSmall": BART, "Marian": BART,
    "M2M100": BART, "LED": BART | dict(
        max_encoder_position_embeddings=256, max_decoder_position_embeddings=256,
        attention_window=[8, 8],
    ),
    "ProphetNet": dict(
        hidden_size=32, num_encoder_layers=2, num_decoder_layers=2, num_encoder_attention_heads=4,
        num_decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, init_std=0.4,
        max_position_embeddings=256, decoder_start_token_id=PAD,
    ),
    "SwitchTransformers": T5 | dict(num_experts=2, num_sparse_encoder_layers=1,
                                    num_sparse_decoder_layers=1),
}  # fmt: skip
REFUSED = ("SwitchTransformers",)
VARIANTS = {
    **{f"GPTNeo window {w}": ("GPTNeo", dict(window_size=w)) for w in (4, 16, 70, 90)},
    "Falcon alibi": ("Falcon", dict(alibi=True)),
    "Falcon old": ("Falcon", dict(alibi=True, new_decoder_architecture=False, multi_query=False)),
}


def made(name):
    """A model of a family with random weights whose texts depend on the whole prompt."""
    family, changes = VARIANTS.get(name, (name, {}))
    options = CAUSAL.get(family) or SEQ2SEQ[family]
    suffix = "ForConditionalGeneration" if family in SEQ2SEQ else "ForCausalLM"
    kind = getattr(transformers, family + suffix, None)
    kind = kind or getattr(transformers, family + "LMHeadModel", None)
    kind = kind or getattr(transformers, family + "MTModel", None)
    config = getattr(transformers, family + ("TextConfig" if family == "Gemma3" else "Config"))
    torch.manual_seed(3)
    return kind(config(**COMMON | options | changes)).eval()


@torch.no_grad()
def last_logits(model, tokenizer, prompt, written):
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    if model.config.is_encoder_decoder:
        start = torch.tensor([[model.config.decoder_start_token_id, *written]])
        logits = model(input_ids=ids, decoder_input_ids=start).logits
    else:
        own = torch.tensor([written], dtype=torch.long)
        logits = model(input_ids=torch.cat([ids, own], 1)).logits
    return logits[0, -1].double()


def naive(model, tokenizer, prompt, room, against=None, weights=(1.0, -0.3)):
    """One text, from its prompt alone or from the mixture with another one."""
    written = []
    for _ in range(room):
        logits = last_logits(model, tokenizer, prompt, written)
        if against is not None:
            logits = weights[0] * logits + weights[1] * last_logits(
                model, tokenizer, against, written
            )
        logits[BANNED] = -math.inf
        token = int(logits.argmax())
        if token == END:
            break
        written.append(token)
    return " ".join((SPECIAL + WORDS)[t] for t in written)


def six_prompts(seed=0):
    """A beginning of 60 tokens (300 are saved), behind it 2 to 20 words."""
    rng = Random(seed)
    begin = " ".join(rng.choices(WORDS, k=60))
    return [f"{begin} {' '.join(rng.choices(WORDS, k=k))}" for k in (2, 20, 7, 7, 12, 3)]


def write(model, tokenizer, prompts, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* reads its whole text again")
        return decoding.generate_mixture(model, tokenizer, [prompts], [1.0], **options)


def tokenizer_of(name):
    return make_tokenizer("t5" if name in SEQ2SEQ else "llama", window=256)


@pytest.mark.parametrize("name", [n for n in [*CAUSAL, *SEQ2SEQ, *VARIANTS] if n not in REFUSED])
def test_every_row_is_its_own_text(name):
    model, tokenizer, prompts = made(name), tokenizer_of(name), six_prompts()
    expected = [naive(model, tokenizer, prompt, 10) for prompt in prompts]
    assert write(model, tokenizer, prompts, max_new_tokens=10, batch_size=4) == expected
    if name not in ("MT5", "Marian", "ProphetNet", "Falcon old"):
        assert len(set(expected)) >= 3, "the texts must tell prompts apart"


@pytest.mark.parametrize("name", [n for n in [*CAUSAL, *SEQ2SEQ, *VARIANTS] if n not in REFUSED])
def test_contexts_with_beginnings_of_their_own(name):
    """Two contexts of 16 rows, a whole prompt that others begin with, a short one, twins."""
    model, tokenizer, rng = made(name), tokenizer_of(name), Random(4)
    first, second = (" ".join(rng.choices(WORDS, k=k)) for k in (40, 31))
    own = [" ".join(rng.choices(WORDS, k=k)) for k in (2, 14, 6, 9)]
    right = [*(f"{first} {p}" for p in own), first, own[1]]
    noisy = [*(f"{second} {p}" for p in own), f"{second} {own[0]}", f"{first} {own[2]}"]
    expected = [naive(model, tokenizer, p, 5, against=q) for p, q in zip(right, noisy, strict=True)]
    rows = [i % 6 for i in range(16)]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* reads its whole text again")
        for size in (16, 3, 1):
            chosen = rows if size > 1 else rows[:6]
            got = decoding.contrastive_generate(
                model, tokenizer, [right[i] for i in chosen], [noisy[i] for i in chosen],
                omega=0.3, max_new_tokens=5, batch_size=size,
            )  # fmt: skip
            assert got == [expected[i] for i in chosen]
    if name not in ("MT5", "Marian", "ProphetNet", "Falcon old"):
        assert len(set(expected)) >= 3, "the texts must tell prompts apart"


def test_what_a_trial_finds():
    """The fastest way that each of these has; none of them by its name."""
    ways = {
        "Llama": "SPBC", "Bloom": "SPBC", "Falcon alibi": "SPBC", "Mpt": "-PBC",
        "GPTNeo": "SPBC", "GPTNeo window 16": "-PBC", "Mistral": "-PBC", "Gemma2": "-PBC",
        "Mamba": "--BC", "OpenAIGPT": "--B-", "Rwkv": "--B-", "T5": "SPBC", "Bart": "SPBC",
    }  # fmt: skip
    for name, expected in ways.items():
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            way = decoding.way_of(made(name), tokenizer_of(name), [[6] * 90], 10)
        assert "".join(c if on else "-" for c, on in zip("SPBC", way, strict=True)) == expected, (
            name
        )
        slow = [w for w in said if "reads its whole text again: slow" in str(w.message)]
        assert bool(slow) == (not way.cached)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("window", [4, 30, 64, 100, 127, 128, 160, 200])
def test_a_window_that_a_text_can_reach_is_seen(window, dtype):
    VARIANTS["tried"] = ("GPTNeo", dict(window_size=window))
    model = made("tried").to(dtype)
    assert not decoding.way_of(model, tokenizer_of("tried"), [[6] * 150], 50).shared


def test_a_trial_is_made_once_a_model_and_length_and_leaves_no_trace():
    name, prompts = "GPT2", six_prompts()
    model, tokenizer, rows = made(name), tokenizer_of(name), []
    handle = model.lm_head.register_forward_pre_hook(lambda _, args: rows.append(len(args[0])))
    state = torch.get_rng_state()
    model.train()
    write(model, tokenizer, prompts[:1], max_new_tokens=3)
    assert model.training and all(module.training for module in model.modules())
    assert len(rows) > 3 and torch.equal(torch.get_rng_state(), state)
    for _ in range(2):  # as short ones again
        rows.clear()
        write(model, tokenizer, prompts[:1], max_new_tokens=3)
        assert len(rows) == 3
    handle.remove()
    kept = weakref.ref(model)  # what was tried of a model does not keep it in memory
    del model, handle
    gc.collect()
    assert kept() is None


def test_longer_texts_than_were_tried_are_tried_again():
    VARIANTS["tried"] = ("GPTNeo", dict(window_size=140))
    model, tokenizer = made("tried"), tokenizer_of("tried")
    assert decoding.way_of(model, tokenizer, [[6] * 40], 10).shared
    assert not decoding.way_of(model, tokenizer, [[6] * 170], 10).shared
    assert not decoding.way_of(model, tokenizer, [[6] * 120], 10).shared


@pytest.mark.parametrize("name", ["Mpt", "Mamba", "OpenAIGPT", "M2M100"])
def test_first_tokens_and_mixtures_too(name):
    model, tokenizer, prompts = made(name), tokenizer_of(name), six_prompts()
    other = six_prompts(seed=1)
    ids = [tokenizer(p)["input_ids"] for p in prompts]
    expected, first = [], []
    for p, q in zip(prompts, other, strict=True):
        logits = [last_logits(model, tokenizer, x, []) for x in (p, q)]
        first.append(logits[0].log_softmax(-1)[[7, 9]].numpy())
        expected.append(naive(model, tokenizer, p, 6, against=q))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = decoding.next_token_logprobs(model, tokenizer, prompts, [7, 9], batch_size=4)
        texts = decoding.contrastive_generate(
            model, tokenizer, prompts, other, omega=0.3, max_new_tokens=6, batch_size=4
        )
    np.testing.assert_allclose(found, first, atol=1e-4)
    assert texts == expected and len(ids) == 6


@pytest.mark.parametrize("name", ["Mpt", "GPTNeo window 16", "Mamba", "M2M100"])
def test_ranking_lists_too(name):
    model, tokenizer = made(name), tokenizer_of(name)
    prompt = " ".join(Random(5).choices(WORDS, k=40)) + " {sentence} :"
    anchors = ["a dog runs", "the old man in the park", "a cat", "blue house and tree"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lists = decoding.generate_ranking_lists(
            model, tokenizer, anchors, steps=3, lam=0.5, prompt=prompt, max_new_tokens=5
        )
    for anchor, found in zip(anchors, lists, strict=True):
        expected = [anchor]
        for step in (1, 2, 3):
            last = prompt.format(sentence=expected[-1])
            before = prompt.format(sentence=expected[max(0, step - 2)])
            weights = (1.5, -0.5) if step > 1 else (1.0, 0.0)
            text = naive(model, tokenizer, last, 5, against=before, weights=weights)
            if not text:
                break
            expected.append(text)
        assert found == expected


@pytest.mark.parametrize("name", ["Mpt", "Mamba", "Bloom"])
def test_a_policy_scores_each_answer_as_if_it_stood_alone(name):
    model, tokenizer = made(name), tokenizer_of(name)
    targets = ("in_proj", "x_proj") if name == "Mamba" else "all-linear"
    policy = ppo.Policy(model, tokenizer, r=2, targets=targets)
    prompts = [p.split(" ", 50)[-1] for p in six_prompts()]
    torch.manual_seed(0)
    answers = policy.write(prompts, max_new_tokens=5)
    with torch.no_grad():
        log_p, _, value = policy(answers)
    for i, prompt in enumerate(prompts):
        said = answers.answer[i][answers.mask[i]].tolist()
        for t, token in enumerate(said):
            expected = last_logits(model, tokenizer, prompt, said[:t]).log_softmax(-1)[token]
            assert log_p[i, t].item() == pytest.approx(expected.item(), abs=1e-4)
    assert value.shape == answers.mask.shape
    log_p = policy(answers)[0]
    log_p[answers.mask].sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in policy.parameters())


@pytest.mark.parametrize(
    ("name", "shares"),
    [("Llama", True), ("GPT2", True), ("Qwen3", True), ("Mixtral", True), ("Falcon alibi", True),
     ("Gemma2", False), ("Gemma3", False), ("Mistral", False), ("Bloom", False), ("Jamba", False),
     ("Lfm2", True), ("Mamba", False)],
)  # fmt: skip
def test_a_policy_that_shares_beginnings_scores_each_answer_as_if_it_stood_alone(
    name, shares, monkeypatch
):
    monkeypatch.setattr(decoding, "PASS", 0)  # tiny windows: short beginnings are shared, too
    model, tokenizer = made(name), tokenizer_of(name)
    targets = ("in_proj", "x_proj") if name == "Mamba" else "all-linear"
    policy = ppo.SharedPolicy(model, tokenizer, r=2, targets=targets)
    with torch.no_grad():  # an adapter that does something, a value head that is not 0
        for key, p in policy.named_parameters():
            if "lora_B" in key or key.startswith("value"):
                torch.nn.init.normal_(p, std=0.2)
    # Two beginnings of several lengths, prompts of several lengths behind them, and one alone.
    heads = [" ".join(six_prompts(seed)[0].split()[:n]) for seed, n in ((0, 24), (1, 30))]
    rests = ["the red dog", "a", "two cats sleep in the park", "it", "the red dog runs"]
    prompts = [f"{heads[i % 2]} {rest}" for i, rest in enumerate(rests)] + ["a cat"]
    torch.manual_seed(0)
    answers = policy.write(prompts, max_new_tokens=5)
    weight = torch.rand(answers.mask.shape) * answers.mask

    def scored(parts):
        policy.zero_grad()
        found = [policy(part, 0.8) for part in parts]
        found = [torch.cat(column) for column in zip(*found, strict=True)]
        sum((weight * column).sum() for column in found).backward()
        grads = {k: p.grad.clone() for k, p in policy.named_parameters() if p.grad is not None}
        return [column.detach() for column in found], grads

    passes, whole = [], policy.model.forward

    def counted(*args, **options):
        passes.append(options["input_ids"].shape)
        return whole(*args, **options)

    expected, theirs = scored([answers.rows([i]) for i in range(len(prompts))])
    monkeypatch.setattr(policy.model, "forward", counted)
    found, own = scored([answers])
    assert (len(passes) == 2 and passes[0][0] == 2) == shares
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a[answers.mask], b[answers.mask], atol=1e-4)
    assert set(own) == set(theirs)
    for key, grad in own.items():
        assert torch.allclose(grad, theirs[key], atol=1e-4 * max(1, theirs[key].abs().max())), key


def test_a_model_that_cannot_be_read_is_refused_at_once():
    model = made("SwitchTransformers")
    with pytest.raises(ValueError, match="SwitchTransformers.* cannot be read token by token here"):
        write(model, tokenizer_of("T5"), ["the dog"], max_new_tokens=3)
