"""Decoding from a mixture of contexts, against a loop without cache, padding or batches."""

import itertools
import math
from random import Random

import numpy as np
import pytest
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from synthlib import decoding, models
from synthlib.decoding import (
    contrastive_generate,
    directional_generate,
    draw,
    generate_lists_at_once,
    generate_mixture,
    generate_ranking_lists,
    mix_logits,
    next_token_logprobs,
    prompt_ids,
)

SPECIAL = ["<pad>", "</s>", "<unk>", "<mask>", "<cls>", "<sep>"]
WORDS = (
    "red blue green big small old young man woman child dog cat bird runs sits eats sleeps the a "
    "in on park house tree not and :"
).split()
PAD, END, BANNED = 0, 1, [0, 2, 3, 4, 5]
KINDS = ["t5", "llama", "gpt2", "qwen2", "qwen3"]
WEIGHTS = [(1.0, -0.3), (1.5, -0.5), (1.0, 0.0)]
THREE = (1.0, -0.3, 0.4)


def make_tokenizer(kind, template=None, window=80):
    if template is None and kind == "t5":
        template = "$A </s>"
    base = Tokenizer(WordLevel({w: i for i, w in enumerate(SPECIAL + WORDS)}, unk_token="<unk>"))
    base.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if template:
        special = [(word, SPECIAL.index(word)) for word in ("</s>", "<cls>")]
        base.post_processor = processors.TemplateProcessing(template, special_tokens=special)
    return PreTrainedTokenizerFast(
        tokenizer_object=base, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        mask_token="<mask>", cls_token="<cls>", sep_token="<sep>", model_max_length=window,
    )  # fmt: skip


def make_model(kind, unused=0):
    """Random weights whose texts differ, end at different steps and depend on the whole prompt."""
    torch.manual_seed(3)
    common = dict(
        vocab_size=len(SPECIAL + WORDS) + unused, pad_token_id=PAD, eos_token_id=END,
        bos_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    rope = dict(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=80, initializer_range=0.4,
    )  # fmt: skip
    if kind == "t5":
        config = T5Config(
            **common, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
            decoder_start_token_id=PAD, initializer_factor=2.0,
        )  # fmt: skip
        model = T5ForConditionalGeneration(config)
        # Attention and positions must outweigh the last word, else every text repeats one word.
        model.shared.weight.data *= 0.2
        for stack in (model.encoder, model.decoder):
            stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight.data *= 10
    elif kind == "llama":
        model = LlamaForCausalLM(LlamaConfig(**common, **rope))
    elif kind == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(**common, **rope))
    elif kind == "qwen3":
        model = Qwen3ForCausalLM(Qwen3Config(**common, **rope, head_dim=8))
    else:
        config = GPT2Config(
            **common, n_embd=32, n_layer=2, n_head=4, n_positions=80, initializer_range=0.4
        )
        model = GPT2LMHeadModel(config)
    model.lm_head.weight.data[END] *= 2
    return model.eval()


@pytest.fixture(scope="module")
def lab():
    """Model and tokenizer of a kind, made once."""
    made = {}

    def get(kind):
        if kind not in made:
            made[kind] = make_model(kind), make_tokenizer(kind)
        return made[kind]

    return get


def make_prompts(n, seed, longest=12):
    rng = Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) + " :" for _ in range(n)]


@torch.no_grad()
def naive_logprobs(model, tokenizer, prompt, written):
    """Next-token log-probabilities [V]: one sequence, everything computed again."""
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    if model.config.is_encoder_decoder:
        output = model(input_ids=ids, decoder_input_ids=torch.tensor([[PAD, *written]]))
    else:
        output = model(input_ids=torch.cat([ids, torch.tensor([written], dtype=torch.long)], 1))
    return output.logits[0, -1].double().log_softmax(-1)


def naive_text(model, tokenizer, prompts, weights, room, plausibility=0.0, uniform=None, heat=1.0):
    """One text written from its K prompts, the equations step by step."""
    written = []
    for step in range(room):
        logp = [naive_logprobs(model, tokenizer, p, written) for p in prompts]
        main = logp[0].exp()
        main[BANNED] = 0
        mixed = sum(w * x for w, x in zip(weights, logp, strict=True))
        mixed[(main == 0) | (main < plausibility * main.max())] = -math.inf
        if uniform is None:
            token = int(mixed.argmax())
        else:
            p, total, token = (mixed / heat).softmax(-1), 0.0, -1
            while total <= uniform[step]:
                token += 1
                total += float(p[token])
        if token == END:
            break
        written.append(token)
    return " ".join((SPECIAL + WORDS)[t] for t in written)


# ------------------------------------------------------------------ the kernel against the loop


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("weights", [*WEIGHTS, THREE, (1.0,)])
def test_equals_the_naive_loop_row_for_row(lab, kind, weights):
    model, tokenizer = lab(kind)
    contexts = [make_prompts(13, seed=k) for k in range(1, 1 + len(weights))]
    expected = [
        naive_text(model, tokenizer, row, weights, room=14) for row in zip(*contexts, strict=True)
    ]
    got = generate_mixture(model, tokenizer, contexts, weights, max_new_tokens=14, batch_size=5)
    assert got == expected
    lengths = {len(text.split()) for text in got}
    assert len(set(got)) >= 9 and len(lengths) >= 3, f"too little variety for a test: {got}"


def test_a_model_with_a_sliding_window_equals_the_naive_loop():
    """A window counts places of the cache: padding between a row's own tokens would narrow it."""
    torch.manual_seed(3)
    config = MistralConfig(
        vocab_size=len(SPECIAL + WORDS), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=80,
        initializer_range=0.4, sliding_window=9, pad_token_id=PAD, eos_token_id=END,
        bos_token_id=None, tie_word_embeddings=False,
    )  # fmt: skip
    model, tokenizer = MistralForCausalLM(config).eval(), make_tokenizer("llama")
    prompts = ["the old man and the dog in the park " + p for p in make_prompts(20, 29, longest=8)]
    got = generate_mixture(model, tokenizer, [prompts], [1.0], max_new_tokens=6)
    assert got == [naive_text(model, tokenizer, [p], [1.0], 6) for p in prompts]
    # Lists: what was read for another round cannot be put beside new prompts, so all is read.
    options = dict(steps=3, lam=0.5, prompt="{sentence} :", max_new_tokens=12)
    lists = generate_ranking_lists(model, tokenizer, prompts[:6], **options)
    assert lists == lists_read_afresh(model, tokenizer, prompts[:6], **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sample", [False, True])
def test_a_batch_equals_its_rows_one_by_one(lab, kind, sample):
    model, tokenizer = lab(kind)
    contexts = [make_prompts(11, seed=3), make_prompts(11, seed=4)]
    options = dict(max_new_tokens=12, do_sample=sample)
    seeds = [(5, i) for i in range(11)]
    whole = generate_mixture(model, tokenizer, contexts, (1.0, -0.3), seed=5, **options)
    small = generate_mixture(
        model, tokenizer, contexts, (1.0, -0.3), seed=5, batch_size=4, **options
    )
    single = [
        generate_mixture(
            model, tokenizer, [[c[i]] for c in contexts], (1.0, -0.3), seed=[seeds[i]], **options
        )[0]
        for i in range(11)
    ]
    assert whole == small == single
    assert whole == generate_mixture(model, tokenizer, contexts, (1.0, -0.3), seed=seeds, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_sampling_equals_the_naive_loop_on_the_documented_stream(lab, kind):
    model, tokenizer = lab(kind)
    contexts = [make_prompts(6, seed=5), make_prompts(6, seed=6)]
    expected = [
        naive_text(
            model, tokenizer, row, (1.5, -0.5), 8,
            uniform=np.random.default_rng((9, i)).random(8), heat=2.0,
        )
        for i, row in enumerate(zip(*contexts, strict=True))
    ]  # fmt: skip
    got = generate_mixture(
        model, tokenizer, contexts, (1.5, -0.5), max_new_tokens=8, do_sample=True,
        temperature=2.0, seed=9,
    )  # fmt: skip
    assert got == expected
    assert got != generate_mixture(
        model, tokenizer, contexts, (1.5, -0.5), max_new_tokens=8, do_sample=True,
        temperature=2.0, seed=10,
    )  # fmt: skip


def test_samples_follow_the_mixed_distribution(lab):
    model, tokenizer = lab("llama")
    rows, prompts = 4000, ("the red dog :", "a young child :")
    got = generate_mixture(
        model, tokenizer, [[p] * rows for p in prompts], (1.0, -0.3), max_new_tokens=1,
        do_sample=True, temperature=1.5, batch_size=1000, seed=0,
    )  # fmt: skip
    first, second = (naive_logprobs(model, tokenizer, p, []) for p in prompts)
    mixed = first - 0.3 * second
    mixed[BANNED] = -math.inf
    p = (mixed / 1.5).softmax(-1).numpy()
    words = [""] + WORDS  # the end token writes nothing
    p = np.concatenate([p[END : END + 1], p[len(SPECIAL) :]])
    counts = np.array([got.count(word) for word in words])
    assert counts.sum() == rows
    assert 0.5 * np.abs(counts / rows - p).sum() < 0.03  # total variation; sampling alone gives .02
    assert (p > 0.02).sum() >= 4, "the case must have several likely tokens"


def test_a_draw_at_the_very_edge_is_a_possible_token():
    logits = torch.tensor([[-math.inf, 0.0, 0.0, -math.inf]] * 3)
    assert draw(logits, [0.0, 0.5, np.nextafter(1, 0)]).tolist() == [1, 2, 2]


def test_a_fresh_seed_comes_from_torch(lab):
    model, tokenizer = lab("llama")
    prompts = make_prompts(4, seed=7)

    def sample():
        return generate_mixture(
            model, tokenizer, [prompts], [1.0], max_new_tokens=10, do_sample=True, temperature=3.0
        )

    torch.manual_seed(1)
    first, second = sample(), sample()
    torch.manual_seed(1)
    assert sample() == first != second


@pytest.mark.parametrize("kind", ["t5", "llama", "gpt2"])
def test_plausibility_equals_the_naive_loop(lab, kind):
    model, tokenizer = lab(kind)
    contexts = [make_prompts(8, seed=8), make_prompts(8, seed=9)]
    weights = (1.0, -0.9)
    free = generate_mixture(model, tokenizer, contexts, weights, max_new_tokens=8)
    bound = generate_mixture(
        model, tokenizer, contexts, weights, max_new_tokens=8, plausibility=0.3
    )
    expected = [
        naive_text(model, tokenizer, row, weights, 8, plausibility=0.3)
        for row in zip(*contexts, strict=True)
    ]
    assert bound == expected != free
    # 1 leaves only the main context's most probable token, whatever the weights are.
    plain = generate_mixture(model, tokenizer, [contexts[0]], [1.0], max_new_tokens=8)
    for weights in ((0.4, -2.0), (0.0, 1.0)):
        assert plain == generate_mixture(
            model, tokenizer, contexts, weights, max_new_tokens=8, plausibility=1.0
        )


@pytest.mark.parametrize("kind", ["t5", "llama", "gpt2"])
def test_three_contexts_sampled_under_plausibility_equal_the_naive_loop(lab, kind):
    """The plausible tokens are those at temperature 1, whatever temperature draws among them."""
    model, tokenizer = lab(kind)
    contexts = [make_prompts(6, seed=k) for k in (30, 31, 32)]
    rows = list(zip(*contexts, strict=True))

    def naive(limit):
        streams = [np.random.default_rng((2, i)).random(8) for i in range(len(rows))]
        return [
            naive_text(model, tokenizer, row, THREE, 8, limit, uniform, heat=3.0)
            for row, uniform in zip(rows, streams, strict=True)
        ]

    got = generate_mixture(
        model, tokenizer, contexts, THREE, max_new_tokens=8, plausibility=0.2, do_sample=True,
        temperature=3.0, seed=2,
    )  # fmt: skip
    assert got == naive(0.2) != naive(0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_one_context_is_plain_generation(lab, kind):
    """Against the library's own decoder, one prompt at a time."""
    model, tokenizer = lab(kind)
    prompts = make_prompts(6, seed=10)
    got = contrastive_generate(model, tokenizer, prompts, prompts, omega=0.0, max_new_tokens=10)
    for prompt, text in zip(prompts, got, strict=True):
        ids = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        out = model.generate(**ids, max_new_tokens=10, do_sample=False, suppress_tokens=BANNED)[0]
        out = out[1:] if kind == "t5" else out[ids["input_ids"].shape[1] :]
        assert text == tokenizer.decode(out, skip_special_tokens=True)


@pytest.mark.parametrize("omega", [0.1, 0.3, 0.6])
def test_omega_is_guidance_at_one_over_one_minus_omega(lab, omega):
    """l − ω·l̂ = (1−ω)·[g·l + (1−g)·l̂], so greedy tokens agree with guidance at g = 1/(1−ω)."""
    guidance = 1 / (1 - omega)
    for kind in ("t5", "llama"):
        model, tokenizer = lab(kind)
        prompts, noisy = make_prompts(10, seed=11), make_prompts(10, seed=12)
        ours = contrastive_generate(
            model, tokenizer, prompts, noisy, omega=omega, max_new_tokens=10
        )
        assert ours == generate_mixture(
            model, tokenizer, [prompts, noisy], (guidance, 1 - guidance), max_new_tokens=10
        )
        # Sampling differs by the temperature 1/(1−ω) alone.
        sampled = [
            generate_mixture(
                model, tokenizer, [prompts, noisy], weights, max_new_tokens=10, do_sample=True,
                temperature=heat, seed=1,
            )
            for weights, heat in (((1, -omega), 1.0), ((guidance, 1 - guidance), guidance))
        ]  # fmt: skip
        assert sampled[0] == sampled[1]


def test_guidance_of_the_library_gives_the_same_tokens(lab):
    """Rows of one length: the library gives the second context no positions of its own."""
    model, tokenizer = lab("llama")
    rng = Random(0)
    prompts = [" ".join(rng.choices(WORDS, k=7)) for _ in range(16)]
    noisy = prompts[8:] + prompts[:8]
    positive, negative = (
        tokenizer(p, return_tensors="pt", return_token_type_ids=False) for p in (prompts, noisy)
    )
    out = model.generate(
        **positive, negative_prompt_ids=negative["input_ids"],
        negative_prompt_attention_mask=negative["attention_mask"], guidance_scale=1 / 0.7,
        max_new_tokens=10, do_sample=False, suppress_tokens=BANNED,
    )  # fmt: skip
    theirs = [tokenizer.decode(row[7:], skip_special_tokens=True) for row in out]
    ours = contrastive_generate(model, tokenizer, prompts, noisy, omega=0.3, max_new_tokens=10)
    assert ours == theirs


def test_directional_weights(lab):
    model, tokenizer = lab("t5")
    prompts, previous = make_prompts(6, seed=13), make_prompts(6, seed=14)
    got = directional_generate(model, tokenizer, prompts, previous, lam=0.5, max_new_tokens=8)
    rows = zip(prompts, previous, strict=True)
    assert got == [naive_text(model, tokenizer, row, (1.5, -0.5), 8) for row in rows]


# ------------------------------------------------------------------ what is computed


def count_rows(module, run):
    """Batch sizes of a module's forward passes during ``run()``."""
    sizes = []

    def note(_, args, kwargs):
        ids = kwargs.get("decoder_input_ids", kwargs.get("input_ids"))
        sizes.append(len(ids))

    handle = module.register_forward_pre_hook(note, with_kwargs=True)
    try:
        run()
    finally:
        handle.remove()
    return sizes


@pytest.mark.parametrize("kind", ["t5", "llama", "gpt2"])
def test_prompts_shared_by_two_rows_are_read_once(lab, kind):
    model, tokenizer = lab(kind)
    entail, contra = make_prompts(4, seed=15), make_prompts(4, seed=16)

    def both():
        contrastive_generate(
            model, tokenizer, entail + contra, contra + entail, max_new_tokens=3, batch_size=4
        )

    both()  # the first call also tries how the model can be read
    # 8 rows of 2 contexts in batches of 4 rows: twins share a batch, 8 prompts in all, not 16.
    if kind == "t5":
        assert count_rows(model.get_encoder(), both) == [4, 4]
    read = []

    def note(_, args, kwargs):
        ids = kwargs.get("encoder_outputs", (kwargs.get("input_ids"),))[0]
        if kwargs["past_key_values"] is None:  # the first pass of a batch
            read.append(len(ids))

    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    both()
    handle.remove()
    assert read == [4, 4]


@pytest.mark.parametrize("kind", ["t5", "gpt2"])
def test_one_pass_a_step_and_finished_rows_leave(lab, kind):
    model, tokenizer = lab(kind)
    contexts = [make_prompts(12, seed=1), make_prompts(12, seed=2)]
    texts = []

    def run():
        texts.extend(generate_mixture(model, tokenizer, contexts, (1, -0.3), max_new_tokens=12))

    sizes = count_rows(model, run)
    lengths = [len(text.split()) for text in texts]
    # Before step s, rows with at least s tokens are still running; each has two contexts.
    steps = [2 * sum(length >= s for length in lengths) for s in range(1, 12)]
    assert sizes[1:] == [size for size in steps if size]
    assert min(lengths) < 11, "a row must end early for this test to say anything"


def plan_cost(prompts, begins):
    """Tokens of the passes that a plan asks for, and the price of a second one."""
    distinct = {tuple(p[:n]) for p, n in zip(prompts, begins, strict=True) if n}
    rest = max(len(p) - n for p, n in zip(prompts, begins, strict=True))
    first = len(distinct) * max(begins) + decoding.PASS if distinct else 0
    return len(prompts) * rest + first


def test_no_plan_reads_fewer_tokens(monkeypatch):
    """Against all plans of small cases: words of two letters, which share much."""
    rng, planned, kinds = Random(0), 0, set()
    for _ in range(800):
        monkeypatch.setattr(decoding, "PASS", rng.choice([0, 1, 3]))
        rows = rng.randint(1, 5)
        prompts = [[rng.randrange(2) for _ in range(rng.randint(1, 7))] for _ in range(rows)]
        begins = decoding.beginnings(prompts)
        every = itertools.product(*(range(len(p)) for p in prompts))
        assert plan_cost(prompts, begins) == min(plan_cost(prompts, plan) for plan in every)
        planned += any(begins)
        kinds.add(len({tuple(p[:n]) for p, n in zip(prompts, begins, strict=True) if n}))
    assert planned > 300 and kinds >= {0, 1, 2, 3}


def test_beginnings_of_several_kinds_and_lone_prompts():
    """What a plan says where one can see it: 20 tokens of each kind, a lone prompt, a short one."""
    kinds = [[k] * 20 for k in (1, 2)]
    prompts = [kinds[i % 2] + [9 + i] * (5 + i % 3) for i in range(20)]
    lone, short, whole = [7] * 25, [8] * 4, kinds[0]
    assert decoding.beginnings([*prompts, lone, short]) == [*[20] * 20, 18, 0]
    # A prompt that is a beginning itself keeps its last token: so do all who share it.
    assert decoding.beginnings([*prompts, lone, short, whole]) == [*[19] * 20, 17, 0, 19]
    assert not any(decoding.beginnings(prompts[:4]))  # too few for a pass to pay
    assert decoding.beginnings([lone]) == [0]


def begun_prompts():
    """Rows of two contexts with beginnings of 30 and 23 words, some of them unlike the others."""
    rng = Random(1)
    first, second = (" ".join(rng.choices(WORDS, k=k)) for k in (30, 23))
    own = make_prompts(12, seed=27, longest=9)
    right = [f"{first} {p}" for p in own]
    noisy = [f"{second} {p}" for p in own]
    right += [first, second, right[3], own[5]]  # whole prompts, a twin of row 3, a short one
    noisy += [noisy[0], right[1], noisy[3], right[2]]
    return right, noisy


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("price", [128, 0])
def test_each_distinct_beginning_is_read_once_and_changes_no_text(lab, kind, price, monkeypatch):
    """Batches of 16, 3 and 1 rows; with a second pass for nothing every common token is shared."""
    monkeypatch.setattr(decoding, "PASS", price)
    model, tokenizer = lab(kind)
    contexts = begun_prompts()
    rows = list(zip(*contexts, strict=True))
    expected = [naive_text(model, tokenizer, row, (1.0, -0.3), 8) for row in rows]
    for size in (16, 3, 1):
        got = generate_mixture(
            model, tokenizer, contexts, (1.0, -0.3), max_new_tokens=8, batch_size=size
        )
        assert got == expected
    assert len(set(expected)) >= 8
    prompts = list(dict.fromkeys(contexts[0] + contexts[1]))
    got = next_token_logprobs(model, tokenizer, prompts, [6, 9, 12])
    wanted = [naive_logprobs(model, tokenizer, p, [])[[6, 9, 12]].numpy() for p in prompts]
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "qwen3", "t5"])
def test_what_prompts_begin_with_is_read_once(lab, kind):
    """Two contexts: both beginnings in one pass, then the rests, the padding before them."""
    model, tokenizer = lab(kind)
    rng = Random(1)
    contexts = [
        [f"{begin} {' '.join(rng.choices(WORDS, k=6))}" for _ in range(9)]
        for begin in (" ".join(rng.choices(WORDS, k=k)) for k in (25, 19))
    ]
    generate_mixture(model, tokenizer, contexts, (1.0, -0.3), max_new_tokens=2)  # the trial
    read = []

    def note(_, args, kwargs):
        read.append(tuple(kwargs["input_ids"].shape))

    target = model.get_encoder() if kind == "t5" else model
    handle = target.register_forward_pre_hook(note, with_kwargs=True)
    try:
        generate_mixture(model, tokenizer, contexts, (1.0, -0.3), max_new_tokens=2)
        next_token_logprobs(model, tokenizer, contexts[0][:2], [6])  # too few for a pass to pay
    finally:
        handle.remove()
    if kind == "t5":  # an encoder reads whole prompts, here with an end token
        assert read == [(18, 32), (2, 32)]
    else:
        assert read[:2] == [(2, 25), (18, 6)] and read[-1] == (2, 31)


def test_beginnings_that_begin_alike_are_read_as_a_tree(lab):
    """A word of the system for all, a request for each kind behind it, then the premises."""
    model, tokenizer = lab("llama")
    rng = Random(2)
    system, *requests = (" ".join(rng.choices(WORDS, k=k)) for k in (30, *[10] * 6))
    prompts = [f"{system} {r} {' '.join(rng.choices(WORDS, k=5))}" for r in requests * 6]
    read = []

    def note(_, args, kwargs):
        read.append(tuple(kwargs["input_ids"].shape))

    expected = [naive_text(model, tokenizer, [p], [1.0], 4) for p in prompts]
    options = dict(max_new_tokens=4, batch_size=36)
    generate_mixture(model, tokenizer, [prompts], [1.0], **options)  # the trial
    handle = model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        got = generate_mixture(model, tokenizer, [prompts], [1.0], **options)
    finally:
        handle.remove()
    assert got == expected
    assert read[:3] == [(1, 30), (6, 10), (36, 5)]


@pytest.mark.parametrize("kind", ["t5", "llama", "gpt2"])
def test_tiny_folders_share_beginnings_too(kind, tmp_path):
    """Models as they are loaded, in float32: the logits of 16 rows, and their texts."""
    folder = tiny_models.save(tmp_path / kind, kind, dropout=0.0)
    model, tokenizer = models.load_generator(folder, device="cpu")
    rng = Random(0)
    words = tiny_models.WORDS
    begins = [" ".join(rng.choices(words, k=k)) for k in (20, 16)]
    own = [" ".join(rng.choices(words, k=rng.randint(1, 8))) for _ in range(16)]
    contexts = [[f"{begin} {text}" for text in own] for begin in begins]
    got = contrastive_generate(model, tokenizer, *contexts, omega=0.3, max_new_tokens=6)
    alone = [
        contrastive_generate(model, tokenizer, [p], [q], omega=0.3, max_new_tokens=6)[0]
        for p, q in zip(*contexts, strict=True)
    ]
    assert got == alone
    ids = list(range(len(tokenizer)))
    found = next_token_logprobs(model, tokenizer, contexts[0] + contexts[1], ids)
    for prompt, row in zip(contexts[0] + contexts[1], found, strict=True):
        np.testing.assert_allclose(row, naive_logprobs(model, tokenizer, prompt, []), atol=1e-4)


def test_a_context_of_weight_zero_is_not_computed(lab):
    model, tokenizer = lab("llama")
    contexts = [make_prompts(5, seed=17), make_prompts(5, seed=18)]

    def run():
        generate_mixture(model, tokenizer, contexts, (1, 0), max_new_tokens=2)

    assert count_rows(model, run)[0] == 5


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_special_tokens_are_never_written(lab, kind):
    """A model that wants nothing but special tokens and unused rows of its output layer."""
    tokenizer = make_tokenizer(kind)
    model = make_model(kind, unused=7)
    unused = list(range(len(SPECIAL + WORDS), len(SPECIAL + WORDS) + 7))

    def push(_, __, output):
        output[..., BANNED + unused] += 1000.0

    model.lm_head.register_forward_hook(push)
    prompts = make_prompts(6, seed=19)
    for options in ({}, {"do_sample": True, "seed": 0}, {"plausibility": 0.1}):
        got = generate_mixture(
            model, tokenizer, [prompts, prompts[::-1]], (1, -0.3), max_new_tokens=6, **options
        )
        assert any(got)
        assert {word for text in got for word in text.split()} <= set(WORDS)


def test_an_end_token_that_also_pads_still_ends_a_text(lab):
    model, _ = lab("gpt2")
    tokenizer = make_tokenizer("gpt2")
    tokenizer.pad_token = tokenizer.unk_token = "</s>"  # as GPT-2's own tokenizer
    texts = generate_mixture(model, tokenizer, [make_prompts(8, seed=1)], [1.0], max_new_tokens=12)
    assert min(len(text.split()) for text in texts) < 11


def test_every_end_token_of_the_generation_config_ends_a_text(lab):
    model, tokenizer = lab("llama")
    prompts = make_prompts(6, seed=20)
    before = generate_mixture(model, tokenizer, [prompts], [1.0], max_new_tokens=8)
    word = next(text for text in before if len(text.split()) > 4).split()[3]
    token, old = tokenizer.convert_tokens_to_ids(word), model.generation_config.eos_token_id
    model.generation_config.eos_token_id = [END, token]
    try:
        after = generate_mixture(model, tokenizer, [prompts], [1.0], max_new_tokens=8)
    finally:
        model.generation_config.eos_token_id = old
    assert after == [text.split(word)[0].strip() for text in before] != before


NEUTRAL = {
    "repetition_penalty": 1.5, "top_k": 2, "top_p": 0.3, "temperature": 0.2, "min_p": 0.5,
    "typical_p": 0.3, "epsilon_cutoff": 0.1, "eta_cutoff": 0.1, "no_repeat_ngram_size": 1,
    "encoder_repetition_penalty": 2.0, "num_beams": 4, "length_penalty": 3.0, "do_sample": True,
    "max_length": 5, "max_new_tokens": 2,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_a_samplers_defaults_do_not_shape_the_mixture(kind):
    model, tokenizer, prompts = make_model(kind), make_tokenizer(kind), make_prompts(6, seed=40)

    def texts():
        return [
            generate_mixture(
                model, tokenizer, [prompts], [1.0], max_new_tokens=9, do_sample=sample, seed=1
            )
            for sample in (False, True)
        ]

    expected = texts()
    for name, value in NEUTRAL.items():
        setattr(model.generation_config, name, value)
    assert texts() == expected


OBEYED = [
    {"suppress_tokens": [6, 7, 8, 9, 10, 11]},
    {"begin_suppress_tokens": [6, 9, 12, 15, 18, 21, 24, 27, END]},
    {"bad_words_ids": [[7], [9], [11], [13], [15], [25]]},
    {"forced_eos_token_id": END},
    {"forced_bos_token_id": 4},
    {"forced_bos_token_id": 12},
    {"forced_bos_token_id": 4, "forced_eos_token_id": END, "suppress_tokens": [9, 10]},
    {"decoder_start_token_id": 9},
    {"eos_token_id": [END, 6, 9]},
]


@pytest.mark.parametrize("kind", ["t5", "llama"])
@pytest.mark.parametrize("settings", OBEYED, ids=str)
def test_what_a_model_says_of_its_tokens_is_obeyed(kind, settings):
    """Against the library's own decoder, one prompt at a time."""
    model, tokenizer, prompts = make_model(kind), make_tokenizer(kind), make_prompts(6, seed=41)
    rooms = (1, 2, 9)
    before = [generate_mixture(model, tokenizer, [prompts], [1.0], max_new_tokens=n) for n in rooms]
    for name, value in settings.items():
        setattr(model.generation_config, name, value)
    got = [generate_mixture(model, tokenizer, [prompts], [1.0], max_new_tokens=n) for n in rooms]
    # The library counts an encoder–decoder's own beginning among the first tokens that it forces.
    banned = BANNED + settings.get("suppress_tokens", [])
    if settings.get("forced_bos_token_id") in banned:
        banned.remove(settings["forced_bos_token_id"])
    for room, texts in zip(rooms, got, strict=True):
        for prompt, text in zip(prompts, texts, strict=True):
            ids = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
            out = model.generate(
                **ids, max_new_tokens=room, do_sample=False, suppress_tokens=banned
            )[0, 1 if kind == "t5" else ids["input_ids"].shape[1] :]
            out = [t for t in out.tolist() if t not in settings.get("eos_token_id", [])]
            expected = tokenizer.decode(out, skip_special_tokens=True)
            if kind == "t5" and settings.get("forced_bos_token_id") == 12:
                expected = expected.removeprefix((SPECIAL + WORDS)[12]).strip()
            assert text == expected
    # Only an encoder–decoder's texts have a beginning of their own.
    beginning = settings.keys() <= {"forced_bos_token_id", "decoder_start_token_id"}
    assert (got == before) == (kind == "llama" and beginning)


@pytest.mark.parametrize("name, value", [
    ("sequence_bias", [[[6], 5.0]]), ("min_length", 5), ("min_new_tokens", 2),
    ("bad_words_ids", [[6], [7, 8]]), ("guidance_scale", 1.5), ("stop_strings", ["."]),
    ("exponential_decay_length_penalty", [2, 1.5]), ("penalty_alpha", 0.6),
    ("watermarking_config", {"bias": 2.0}), ("forced_decoder_ids", [[1, 7]]),
])  # fmt: skip
def test_what_the_mixture_does_not_do_is_refused_by_name(name, value):
    model, tokenizer = make_model("llama"), make_tokenizer("llama")
    setattr(model.generation_config, name, value)
    options = dict(max_new_tokens=3)

    def lists():
        generate_ranking_lists(model, tokenizer, ["the dog"], prompt="{sentence}", **options)

    def texts():
        return generate_mixture(model, tokenizer, [["the dog"]], [1.0], **options)

    for run in (texts, lists):
        with pytest.raises(ValueError, match=f"{name}.* set model.generation_config.{name} = None"):
            run()
    setattr(model.generation_config, name, None)  # the remedy that the message names
    assert len(texts()) == 1


def test_an_end_token_that_only_the_generation_config_names_is_taken_off_a_prompt():
    """As a GPT-2 whose tokenizer is WordPiece: [CLS] prompt [SEP], and no eos_token."""
    model, plain = make_model("gpt2"), make_tokenizer("gpt2", template="<cls> $A")
    tokenizer = make_tokenizer("gpt2", template="<cls> $A </s>")
    for either in (tokenizer, plain):
        either.eos_token, either.sep_token = None, "</s>"
    prompts = make_prompts(6, seed=42)
    for ends in (END, [31, END]):
        model.generation_config.eos_token_id = ends
        got, expected = (
            generate_mixture(model, t, [prompts], [1.0], max_new_tokens=8)
            for t in (tokenizer, plain)
        )
        assert got == expected and len(set(got)) > 3
    ids = prompt_ids(model, tokenizer, prompts)
    assert all(row[-1] != END for row in ids.values())
    t5, own = make_model("t5"), make_tokenizer("t5")  # an encoder is to see the end of its text
    assert all(row[-1] == END for row in prompt_ids(t5, own, prompts).values())


def test_a_training_model_decodes_without_dropout_and_stays_in_training(lab):
    model, tokenizer = lab("t5")
    prompts = make_prompts(6, seed=21)
    expected = generate_mixture(model, tokenizer, [prompts], [1.0], max_new_tokens=8)
    model.train()
    try:
        assert generate_mixture(model, tokenizer, [prompts], [1.0], max_new_tokens=8) == expected
        assert model.training and torch.is_grad_enabled()
    finally:
        model.eval()


def test_an_end_token_that_the_tokenizer_appends_is_taken_off(lab):
    model, tokenizer = lab("llama")
    prompts = make_prompts(6, seed=22)
    expected = generate_mixture(model, tokenizer, [prompts], [1.0], max_new_tokens=8)
    appending = make_tokenizer("llama", template="$A </s>")
    assert generate_mixture(model, appending, [prompts], [1.0], max_new_tokens=8) == expected


def test_a_beginning_token_is_not_doubled(lab):
    model, _ = lab("llama")
    tokenizer = make_tokenizer("llama", template="<cls> $A")
    tokenizer.bos_token = "<cls>"
    prompts = make_prompts(8, seed=26)
    plain = generate_mixture(model, tokenizer, [prompts], [1.0], max_new_tokens=8)
    begun = [f"<cls> {prompt}" for prompt in prompts]
    assert plain == generate_mixture(model, tokenizer, [begun], [1.0], max_new_tokens=8)


def test_a_peft_policy_decodes(lab):
    from peft import LoraConfig, get_peft_model

    prompts = make_prompts(5, seed=23)
    for kind, targets in (("t5", ["q", "v"]), ("llama", ["q_proj", "v_proj"])):
        base, tokenizer = lab(kind)
        expected = generate_mixture(base, tokenizer, [prompts], [1.0], max_new_tokens=6)
        task = "SEQ_2_SEQ_LM" if kind == "t5" else "CAUSAL_LM"
        policy = get_peft_model(
            make_model(kind), LoraConfig(task_type=task, target_modules=targets)
        )  # a new adapter changes nothing
        assert generate_mixture(policy, tokenizer, [prompts], [1.0], max_new_tokens=6) == expected


def test_next_token_logprobs_equal_single_prompts(lab):
    for kind in KINDS:
        model, tokenizer = lab(kind)
        prompts = make_prompts(7, seed=24)
        prompts += prompts[:2]
        got = next_token_logprobs(model, tokenizer, prompts, [6, 9, 12], batch_size=3)
        expected = [naive_logprobs(model, tokenizer, p, [])[[6, 9, 12]].numpy() for p in prompts]
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)
    assert next_token_logprobs(model, tokenizer, [], [6, 9]).shape == (0, 2)


# ------------------------------------------------------------------ mix_logits


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 6)),
    plausibility=st.none() | st.floats(0.01, 1.0),
    seed=st.integers(0, 10**6),
)
def test_mix_logits_equals_a_loop(shape, plausibility, seed):
    rng = np.random.default_rng(seed)
    logits, weights = 3 * rng.normal(size=shape), rng.normal(size=shape[0])
    weights[rng.random(shape[0]) < 0.2] = 0
    weights[0] += 1.0
    got = mix_logits(logits, weights, plausibility=plausibility)
    contexts, rows, size = shape
    for b in range(rows):
        p = [math.exp(x) for x in logits[0, b]]
        for v in range(size):
            expected = sum(weights[k] * logits[k, b, v] for k in range(contexts))
            limit = None if plausibility is None else plausibility * max(p)
            if limit is not None and math.isclose(p[v], limit, rel_tol=1e-9):
                continue
            if limit is not None and p[v] < limit:
                expected = -math.inf
            assert float(got[b, v]) == pytest.approx(expected, abs=1e-9)


def test_mix_logits_of_log_probabilities_is_the_same_distribution():
    logits = torch.randn(2, 5, 9, generator=torch.Generator().manual_seed(0)) * 4
    for weights in WEIGHTS:
        raw, logp = mix_logits(logits, weights), mix_logits(logits.log_softmax(-1), weights)
        torch.testing.assert_close(raw.softmax(-1), logp.softmax(-1))


def test_mix_logits_keeps_excluded_tokens_excluded():
    logits = torch.tensor([[[0.0, -math.inf, 1.0]], [[0.0, -math.inf, -math.inf]]])
    assert mix_logits(logits, (1, -0.3))[0, 1] == -math.inf
    torch.testing.assert_close(mix_logits(logits, (1, 0)), logits[0])


@pytest.mark.parametrize(
    "logits, weights, options, fragment",
    [
        (torch.zeros(2, 3, 4), (1.0,), {}, "[1, B, V]"),
        (torch.zeros(3, 4), (1.0, 1.0), {}, "[3, 4]"),
        (torch.zeros(2, 3, 4), (0.0, 0.0), {}, "all zero"),
        (torch.zeros(2, 3, 4), (1.0, math.nan), {}, "finite"),
        (torch.zeros(2, 3, 4), (1.0, 1.0), {"plausibility": 0.0}, "(0, 1]"),
        (torch.zeros(2, 3, 4), (1.0, 1.0), {"plausibility": 1.5}, "(0, 1]"),
    ],
)
def test_mix_logits_refuses(logits, weights, options, fragment):
    with pytest.raises(ValueError) as error:
        mix_logits(logits, weights, **options)
    assert fragment in str(error.value)


# ------------------------------------------------------------------ ranking lists


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_ranking_lists_equal_the_naive_loop(lab, kind):
    model, tokenizer = lab(kind)
    anchors = [p.removesuffix(" :") for p in make_prompts(5, seed=25, longest=8)]
    template = "big {sentence} :"
    got = generate_ranking_lists(
        model, tokenizer, anchors, steps=4, lam=0.5, prompt=template, max_new_tokens=7
    )
    for anchor, sentences in zip(anchors, got, strict=True):
        expected = [anchor]
        for step in range(1, 5):
            rows = [f"big {expected[-1]} :", f"big {expected[max(0, step - 2)]} :"]
            text = naive_text(model, tokenizer, rows, (1.5, -0.5) if step > 1 else (1, 0), 7)
            if not text:
                break
            expected.append(text)
        assert sentences == expected
    assert any(len(sentences) == 5 for sentences in got)
    as_function = generate_ranking_lists(
        model, tokenizer, anchors, steps=4, prompt=lambda s: f"big {s} :", max_new_tokens=7
    )
    assert as_function == got


def lists_read_afresh(model, tokenizer, anchors, *, steps, lam, prompt, seed=None, **options):
    """The rounds of § 3.1 with every prompt read again: what cache reuse must not change."""
    lists = [[anchor] for anchor in anchors]
    going = list(range(len(anchors)))
    for step in range(1, steps + 1):
        last = [prompt.format(sentence=lists[j][-1]) for j in going]
        before = [prompt.format(sentence=lists[j][max(0, step - 2)]) for j in going]
        texts = directional_generate(
            model, tokenizer, last, before, lam=lam if step > 1 else 0.0,
            seed=[(seed, j, step) for j in going], **options,
        )  # fmt: skip
        for j, text in zip(going, texts, strict=True):
            lists[j] += [text] if text else []
        going = [j for j, text in zip(going, texts, strict=True) if text]
    return lists


LIST_PROMPTS = {"short": "{sentence} :", "long": " ".join(WORDS[:20]) + " {sentence} :"}


@pytest.mark.parametrize("kind", ["t5", "llama", "gpt2"])
@pytest.mark.parametrize("prompt", LIST_PROMPTS.values(), ids=LIST_PROMPTS)
@pytest.mark.parametrize(
    "options",
    [
        {"lam": 0.5},
        {"lam": -1.0},
        {"lam": 1.5, "plausibility": 0.05},
        {"lam": 0.5, "do_sample": True, "temperature": 2.0, "seed": 8},
    ],
    ids=lambda options: "-".join(f"{k}{v}" for k, v in options.items()),
)
def test_what_was_read_before_gives_the_same_lists(lab, kind, prompt, options):
    """Ragged lengths, lists that end at different rounds, batches of 4 and of 1."""
    model, tokenizer = lab(kind)
    anchors = [p.removesuffix(" :") for p in make_prompts(7, seed=34, longest=9)]
    anchors[5] = anchors[2]  # two lists that share all their prompts, greedily
    options = dict(steps=5, prompt=prompt, max_new_tokens=8, **options)

    def end(_, args, kwargs, output):
        """End texts before their first word where the first token's logits say so."""
        first = (output.past_key_values.get_seq_length() == 1) if kind == "t5" else (
            kwargs["input_ids"].shape[1] > 1)  # fmt: skip
        if first:
            best = output.logits[:, -1].argmax(-1)
            output.logits[best % 6 == 1, -1, END] += 1000.0
        return output

    handle = model.register_forward_hook(end, with_kwargs=True)
    try:
        expected = lists_read_afresh(model, tokenizer, anchors, **options)
        for size in (4, 1):
            got = generate_ranking_lists(model, tokenizer, anchors, batch_size=size, **options)
            assert got == expected
    finally:
        handle.remove()
    assert len({len(sentences) for sentences in got}) >= 2, "some lists must end early"
    assert len({len(s.split()) for sentences in got for s in sentences}) >= 4


@pytest.mark.parametrize("kind", ["t5", "llama", "gpt2"])
def test_a_round_reads_its_new_prompts_only(lab, kind):
    model, tokenizer = lab(kind)
    anchors = ["the red dog", "a child", "old man in the park", "a child"]
    read, lists = [], []

    def note(_, args, kwargs):
        rows, length = kwargs["input_ids"].shape
        if kind == "t5" or length > 1:
            read.append(rows)

    def run():
        options = dict(steps=5, prompt="{sentence} :", max_new_tokens=4)
        lists.extend(generate_ranking_lists(model, tokenizer, anchors, **options))

    target = model.get_encoder() if kind == "t5" else model
    handle = target.register_forward_pre_hook(note, with_kwargs=True)
    run()
    handle.remove()
    rounds = [[s[i] for s in lists if len(s) > i] for i in range(5)]
    new = [
        len(set(here) - {t for s in lists for t in s[i - 1 : i] if i and len(s) > i})
        for i, here in enumerate(rounds)
    ]
    assert read == [n for n in new if n] and read[0] == 3


def test_the_first_sentence_of_a_ranking_list_has_one_context(lab):
    model, tokenizer = lab("llama")
    anchors = [p.removesuffix(" :") for p in make_prompts(12, seed=35)]

    def largest(steps):
        options = dict(steps=steps, prompt="{sentence} :", max_new_tokens=6)
        return max(
            count_rows(model, lambda: generate_ranking_lists(model, tokenizer, anchors, **options))
        )

    assert largest(steps=1) == 12 < largest(steps=2)


def test_ranking_lists_sampled_do_not_depend_on_the_batch(lab):
    model, tokenizer = lab("t5")
    anchors = ["the red dog", "a child", "old man in the park"]
    options = dict(steps=3, prompt="{sentence} :", max_new_tokens=6, do_sample=True, seed=4,
                   temperature=2.0)  # fmt: skip
    whole = generate_ranking_lists(model, tokenizer, anchors, **options)
    assert whole == generate_ranking_lists(model, tokenizer, anchors, batch_size=1, **options)
    assert whole[:2] == generate_ranking_lists(model, tokenizer, anchors[:2], **options)
    assert whole != generate_ranking_lists(model, tokenizer, anchors, **{**options, "seed": 5})
    for seeds in ([(4, 0), (4, 1), (4, 2)], [(4, 1), (4, 1), (4, 2)], [7, 8, 9]):
        own = generate_ranking_lists(model, tokenizer, anchors, **{**options, "seed": seeds})
        assert (own == whole) == (seeds[0] == (4, 0))
        assert (own[2] == whole[2]) == (seeds[2] == (4, 2))


def test_a_ranking_list_ends_where_the_model_writes_nothing(lab):
    model, tokenizer = make_model("llama"), make_tokenizer("llama")

    def push(module, args, output):
        output[..., END] += 1000.0

    handle = model.lm_head.register_forward_hook(push)
    options = dict(steps=3, prompt="{sentence} :", max_new_tokens=4)
    assert generate_ranking_lists(model, tokenizer, ["the dog"], **options) == [["the dog"]]
    handle.remove()
    assert len(generate_ranking_lists(model, tokenizer, ["the dog"], **options)[0]) > 1
    assert generate_ranking_lists(model, tokenizer, [], **options) == []


def test_the_default_ranking_prompt_is_that_of_the_models_form(lab, monkeypatch):
    from synthlib import decoding, prompts

    model, tokenizer = lab("llama")
    seen = []

    real = decoding.tokenize

    def record(model, tokenizer, rows, *rest):
        seen.append(rows[0][0])
        return real(model, tokenizer, rows, *rest)

    monkeypatch.setattr(decoding, "tokenize", record)
    generate_ranking_lists(model, tokenizer, ["a {dog}"], steps=1, max_new_tokens=4)
    monkeypatch.setattr(model.config, "synthlib_form", "pocket", raising=False)
    generate_ranking_lists(model, tokenizer, ["a {dog}"], steps=1, max_new_tokens=4)
    forms = ("paper", "pocket")
    assert seen == [prompts.RANKING[f].replace("{sentence}", "a {dog}") for f in forms]


@pytest.mark.parametrize("form, texts", [
    ("paper", ["1. a dog\n2. a cat\n3. a man", "no list", "1. a dog"]),
    ("pocket", ["a dog ; a cat ; a man", "", "a dog ;"]),
])  # fmt: skip
def test_lists_at_once_are_asked_for_and_read(lab, monkeypatch, form, texts):
    from synthlib import decoding

    model, tokenizer = lab("llama")
    monkeypatch.setattr(model.config, "synthlib_form", form, raising=False)
    seen = {}

    def record(model, tokenizer, contexts, weights, **options):
        seen.update(options, asked=contexts[0], weights=weights)
        return texts

    monkeypatch.setattr(decoding, "generate_mixture", record)
    monkeypatch.setattr(decoding, "window", lambda *_: None)
    got = generate_lists_at_once(
        model, tokenizer, ["the {dog}", "b", "c"], steps=2, max_new_tokens=9, seed=3
    )
    assert got == [["the {dog}", "a dog", "a cat"], ["b"], ["c", "a dog"]]
    assert "the {dog}" in seen["asked"][0] and " 2 sentences" in seen["asked"][0]
    assert seen["weights"] == [1.0] and seen["seed"] == 3 and seen["max_new_tokens"] >= 2 * 10
    monkeypatch.undo()
    monkeypatch.setattr(model.config, "synthlib_form", "pocket", raising=False)
    # The window of this model holds 80 tokens: a list gets what the prompt leaves.
    lists = generate_lists_at_once(model, tokenizer, ["the dog"], steps=9, max_new_tokens=30)
    assert lists[0][0] == "the dog"
    assert generate_lists_at_once(model, tokenizer, [], steps=9, max_new_tokens=30) == []


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    "contexts, weights, options, fragment",
    [
        ([["a"], ["a", "b"]], (1, 1), {}, "context 1 has 2 rows and context 0 has 1"),
        ([["a"]], (1, 1), {}, "1 contexts and 2 weights"),
        ([], (), {}, "0 contexts"),
        (["the dog"], (1,), {}, "context 0 is one text"),
        ([["a"], ["  "]], (1, 1), {}, "row 0 of context 1"),
        ([["a", None]], (1,), {}, "row 1 of context 0"),
        ([["a"], ["a"]], (0, 0), {}, "all zero"),
        ([["a"]], (1,), {"max_new_tokens": 0}, "max_new_tokens"),
        ([["a"]], (1,), {"batch_size": 0}, "batch_size"),
        ([["a"]], (1,), {"do_sample": True, "temperature": 0.0}, "temperature"),
        ([["a"]], (1,), {"plausibility": 2.0}, "plausibility"),
        ([["a"]], (1,), {"do_sample": True, "seed": [1, 2]}, "2 seeds for 1 rows"),
        ([["a"]], (1,), {"do_sample": True, "seed": -1}, "negative"),
    ],
)
def test_generate_mixture_refuses(lab, contexts, weights, options, fragment):
    model, tokenizer = lab("llama")
    with pytest.raises(ValueError) as error:
        generate_mixture(model, tokenizer, contexts, weights, **{"max_new_tokens": 3, **options})
    assert fragment in str(error.value)


def test_a_prompt_longer_than_the_window_is_named(lab):
    model, tokenizer = lab("gpt2")
    prompts = ["the dog", " ".join(["dog"] * 75)]
    fits = generate_mixture(model, tokenizer, [prompts], [1.0], max_new_tokens=5)
    assert len(fits) == 2
    with pytest.raises(ValueError, match=r"row 1 of context 1 has 75 tokens.* 6 more.* 80"):
        generate_mixture(model, tokenizer, [["a", "b"], prompts], (1.0, -0.3), max_new_tokens=6)
    model, tokenizer = lab("t5")
    with pytest.raises(ValueError, match=r"row 0 of context 0 has 81 tokens.*80"):
        generate_mixture(model, tokenizer, [["dog " * 80]], [1.0], max_new_tokens=50)


def test_logits_that_are_not_numbers_are_refused():
    model, tokenizer = make_model("llama"), make_tokenizer("llama")
    model.lm_head.weight.data[3] = math.nan
    with pytest.raises(ValueError, match="NaN.*float32"):
        generate_mixture(model, tokenizer, [["the dog"]], [1.0], max_new_tokens=3)


def test_logits_that_stop_being_numbers_are_refused_too():
    model, tokenizer = make_model("gpt2"), make_tokenizer("gpt2")
    passes = []

    def spoil(_, __, output):
        passes.append(len(output))
        return output * math.nan if len(passes) == 3 else output

    model.lm_head.register_forward_hook(spoil)
    with pytest.raises(ValueError, match="NaN.*float32"):
        generate_mixture(model, tokenizer, [make_prompts(4, seed=1)], [1.0], max_new_tokens=9)
    assert len(passes) == 3


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_a_model_that_only_repeats_itself_ends_at_max_new_tokens(kind):
    """Nothing but one word in every context: no end token comes, and no step is added."""
    model, tokenizer = make_model(kind), make_tokenizer(kind)

    def push(_, __, output):
        output[..., END + 8] += 1000.0

    model.lm_head.register_forward_hook(push)
    prompts = make_prompts(6, seed=33)
    for sample in (False, True):
        texts = []

        def run(sample=sample, texts=texts):
            texts += contrastive_generate(
                model, tokenizer, prompts, prompts[::-1], max_new_tokens=9, do_sample=sample, seed=0
            )

        assert len(count_rows(model, run)) == 9
        assert texts == [" ".join([(SPECIAL + WORDS)[END + 8]] * 9)] * 6


def test_no_rows_no_texts(lab):
    model, tokenizer = lab("llama")
    assert generate_mixture(model, tokenizer, [[], []], (1, -0.3), max_new_tokens=3) == []


@pytest.mark.parametrize(
    "anchors, options, fragment",
    [
        (["a", " "], {}, "anchor 1"),
        (["a"], {"steps": 0}, "steps"),
        (["a"], {"prompt": "no place"}, "{sentence}"),
        (["a"], {"lam": math.nan, "steps": 2}, "finite"),
    ],
)
def test_ranking_lists_refuse(lab, anchors, options, fragment):
    model, tokenizer = lab("llama")
    with pytest.raises(ValueError) as error:
        generate_ranking_lists(model, tokenizer, anchors, max_new_tokens=3,
                               **{"prompt": "{sentence} :", **options})  # fmt: skip
    assert fragment in str(error.value)


# ------------------------------------------------------------------ special tokens in a text
def llama_like(tmp_path=None):
    """Byte-level BPE with <s>, </s> and the marks of a chat, which merges never make."""
    from tokenizers import decoders
    from tokenizers.models import BPE

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = ["<unk>", "<s>", "</s>", "<|user|>", "<|end|>"]
    base = Tokenizer(BPE({c: i for i, c in enumerate(names + letters)}, [], unk_token="<unk>"))
    base.pre_tokenizer, base.decoder = pre_tokenizers.ByteLevel(False), decoders.ByteLevel()
    base.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=base, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="</s>", extra_special_tokens=["<|user|>", "<|end|>"], model_max_length=300,
    )  # fmt: skip


def test_special_tokens_that_a_text_spells_are_text():
    tokenizer, model = llama_like(), make_model("llama")
    texts = [
        "The <s>old</s> price is 5.", "It ends.</s>", "A <|end|> and <|user|> too", "plain",
        " <s>", "x</s></s>",
    ]  # fmt: skip
    ids = prompt_ids(model, tokenizer, texts)
    for text in texts[:4] + texts[5:]:
        assert ids[text][0] == 1 and not set(ids[text][1:]) & {0, 1, 2, 3, 4}
        assert tokenizer.decode(ids[text][1:]) == text
    # Who begins with one means the ones that he writes: a chat template.
    chat = "<|user|>The dog<|end|>"
    assert prompt_ids(model, tokenizer, [chat])[chat][1] == 3
    assert prompt_ids(model, tokenizer, [chat])[chat][-1] == 4
    begun = prompt_ids(model, tokenizer, ["<s>The dog", "The dog"])
    assert begun["<s>The dog"] == begun["The dog"]


def test_words_of_a_vocabulary_that_are_special_tokens_are_parted():
    """A word-level (or unigram) vocabulary holds `</s>` as a word: a blank makes it another."""
    for kind in ("llama", "t5"):
        model, tokenizer = make_model(kind), make_tokenizer(kind)
        text = "the red </s> dog <mask> :"
        ids = prompt_ids(model, tokenizer, [text])[text]
        words = ["the", "red", "<unk>", "<unk>", "dog", "<mask>", ":"]
        assert tokenizer.convert_ids_to_tokens(ids) == words + ["</s>"] * (kind == "t5")
        (got,) = generate_mixture(model, tokenizer, [[text]], [1.0], max_new_tokens=5)
        parted = text.replace("</s>", "< /s>")
        assert [got] == generate_mixture(model, tokenizer, [[parted]], [1.0], max_new_tokens=5)
