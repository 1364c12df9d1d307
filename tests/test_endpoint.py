"""A model behind an API: what a server that fails at random is asked, paid and held to."""

import email.utils
import errno
import json
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings

import api_server
import numpy as np
import pandas as pd
import pytest
import tiny_models
from api_server import Server

from synthlib import endpoint, judging, models, prompts, reporting, spending
from synthlib.__main__ import main
from synthlib.methods import multicsr, ranking, served
from synthlib.runs import shards

KEY = "sk-never-to-be-written-4711"
EVERY_WAY = {"429": 0.06, "500": 0.06, "cut": 0.05, "half": 0.04, "json": 0.04, "html": 0.04}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Short waits, a key, and no address but the one that is given."""
    monkeypatch.setattr(endpoint, "WAITS", (0.01, 0.1))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def connect(server, file=None, **more):
    budget = spending.Budget(*more.pop("budget", ()))
    answers = spending.Answers(file, budget)
    more = dict(parallel=8, timeout=5.0) | more
    return endpoint.connect("api:test", base_url=server.address, answers=answers, **more)


def asks(count, words="a red dog sleeps"):
    form = prompts.Form("chat", endpoint.Messages())
    instruction = prompts.ENTAILMENT["paper"][0]
    return [prompts.generation(instruction, f"{words} n{i}", form=form) for i in range(count)]


# ------------------------------------------------------------------ what is sent
def test_what_is_sent_are_the_turns_of_the_form_chat():
    generator = (None, endpoint.Messages())
    form = prompts.Form("chat", generator[1], shots=2, seed=3)
    sentence = 'She said "no", the <|im_end|> of it.\nNew line'
    with Server() as server:
        model, _ = connect(server, examples=dict(shots=2, seed=3))
        assert prompts.form_of(model, generator[1]) == "chat"
        model.complete([prompts.generation(prompts.ENTAILMENT["paper"][1], sentence, form=form)],
                       max_new_tokens=7)  # fmt: skip
    (body,) = server.books.bodies.values()
    (key,) = server.books.keys
    assert key == f"Bearer {KEY}"
    turns = [turn["role"] for turn in body["messages"]]
    assert turns == ["system", "user", "assistant", "user", "assistant", "user"]
    assert body["messages"][0]["content"] == prompts.ONE_SENTENCE
    last = body["messages"][-1]["content"]
    assert last == (
        f'{prompts.ENTAILMENT["paper"][1]}\nInput: She said "no", the < |im_end|> of it.\nNew line'
    )
    shown = prompts.worked_examples("entailment", sentence, 2, 3)
    assert [turn["content"] for turn in body["messages"][2:5:2]] == [y for _, y in shown]
    assert {k: body[k] for k in ("model", "max_tokens", "temperature")} == {
        "model": "test", "max_tokens": 7, "temperature": 0.0,
    }  # fmt: skip
    assert "seed" not in body and "logprobs" not in body


def test_a_seed_goes_with_sampling_alone_and_makes_another_request():
    with Server() as server:
        model, _ = connect(server)
        (ask,) = asks(1)
        how = dict(max_new_tokens=5, temperature=0.7)
        texts = [one.text for one in model.complete([ask] * 3, seeds=[(0, 1), (0, 2), (0, 1)],
                                                    **how)]  # fmt: skip
    assert texts[0] == texts[2] != texts[1]
    seeds = {body["seed"] for body in server.books.bodies.values()}
    assert len(seeds) == 2 and all(0 <= seed < 2**31 for seed in seeds)
    assert sum(server.books.asked.values()) == 2


def test_a_server_that_wants_another_name_for_the_room():
    def status(body):
        if "max_tokens" in body:
            said = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return 400, {"error": {"message": said}}, {}
        return None

    with Server(status=status) as server:
        model, _ = connect(server)
        assert all(one.text for one in model.complete(asks(5), max_new_tokens=5))
    assert sum(server.books.paid.values()) == 5 and sum(server.books.asked.values()) <= 6


# ------------------------------------------------------------------ failures
def test_two_thousand_requests_nothing_lost_or_paid_twice(tmp_path):
    file = tmp_path / "answers.jsonl"
    # A busy machine must not be taken for a slow server.
    with Server(EVERY_WAY | {"slow": 0.0015}, seed=1, slow=8.0) as server:
        model, _ = connect(server, file, parallel=32, timeout=6.0)
        asked = asks(2000)
        found = model.complete(asked, max_new_tokens=20)
    books, budget = server.books, model.answers.budget
    assert all(books.failed[kind] for kind in api_server.FAILURES)  # each was met
    assert [one.text for one in found] == [
        api_server.rewritten({
            "messages": json.loads(ask), "model": "test", "temperature": 0.0,
        }) for ask in asked
    ]  # fmt: skip
    assert len(books.paid) == 2000 and set(books.paid.values()) == {1}
    assert budget.tokens == books.tokens and budget.answered == 2000
    # What came to nothing may have been paid for, and no more than that is said to be.
    maybe = books.failed["cut"] + books.failed["html"] + books.failed["json"]
    maybe += books.failed["half"] + books.failed["slow"]
    assert budget.attempts_lost == maybe and sum(books.asked.values()) == (
        2000 + maybe + books.failed["429"] + books.failed["500"]
    )
    # A second process reads all of it, and asks nothing.
    with Server() as server:
        again, _ = connect(server, file)
        assert again.complete(asked, max_new_tokens=20) == found
        assert not server.books.asked
        mine, theirs = (x.answers.budget for x in (again, model))
        assert (mine.tokens, mine.lost, mine.answered) == (theirs.tokens, theirs.lost, 2000)


def test_so_many_at_a_time_and_the_first_one_alone():
    with Server(latency=0.03) as server:
        model, _ = connect(server, parallel=6)
        model.complete(asks(1), max_new_tokens=5)
        assert server.books.most == 1
        model.complete(asks(60), max_new_tokens=5)
    assert 3 < server.books.most <= 6


@pytest.mark.parametrize("raw", [b"[]", b"null", b"3", b'"x"', b"{}", b'{"choices": []}', b"",
                                 b'{"choices": [{"message": {}}]}', b'{"choices": "no"}',
                                 b'{"error": {"message": "no"}}', b"\xff\xfe"])  # fmt: skip
def test_what_is_no_answer_is_asked_again(raw, monkeypatch):
    sent, own = [], Server.reply

    def reply(self, handler, body, content, attempt):
        if not sent:
            sent.append(raw)
            return self.raw(handler, 200, raw, "application/json")
        return own(self, handler, body, content, attempt)

    monkeypatch.setattr(Server, "reply", reply)
    with Server() as server:
        model, _ = connect(server)
        (found,) = model.complete(asks(1), max_new_tokens=9)
    assert sent and found.text and sum(server.books.paid.values()) == 1


def test_the_wait_is_the_one_that_the_endpoint_asks_for():
    times, later = [], email.utils.formatdate(time.time() + 3, usegmt=True)
    headers = [{"Retry-After": "0.4"}, {"Retry-After-Ms": "300"}, {"Retry-After": later}]

    def status(body):
        times.append(time.monotonic())
        return (429, {}, headers[len(times) - 1]) if len(times) <= 3 else None

    with Server(status=status) as server:
        model, _ = connect(server)
        model.complete(asks(1), max_new_tokens=5)
    waits = np.diff(times)
    assert 0.4 <= waits[0] < 1 and 0.3 <= waits[1] < 0.9 and 1 < waits[2] < 4


def test_a_wait_that_is_too_long_ends_in_one_line(tmp_path):
    busy = 429, {"error": {"message": "come back tomorrow"}}, {"Retry-After": "9000"}
    with Server(status=lambda body: busy) as server:
        model, _ = connect(server, tmp_path / "a.jsonl")
        with pytest.raises(endpoint.Unavailable, match="asks to wait 9,000 seconds .*tomorrow"):
            model.complete(asks(3), max_new_tokens=5)
    assert sum(server.books.asked.values()) == 1


def test_an_address_where_nobody_answers_and_a_web_page(monkeypatch):
    monkeypatch.setattr(endpoint, "FIRST_PATIENCE", 0.3)
    with Server({"html": 1.0}) as server:
        model, _ = connect(server)
        with pytest.raises(endpoint.Unavailable, match="(?s)no JSON .*Bad gateway.*--base-url"):
            model.complete(asks(20), max_new_tokens=5)
    assert len(server.books.asked) == 1
    assert model.answers.budget.attempts_lost == sum(server.books.asked.values())
    model, _ = connect(server)
    with pytest.raises(endpoint.Unavailable, match="nobody answers there"):
        model.complete(asks(20), max_new_tokens=5)
    assert model.answers.budget.attempts_lost == 0


def test_a_request_that_is_refused_costs_its_text_alone():
    def status(body):
        if "n3" in body["messages"][-1]["content"]:
            return 400, {"error": {"message": f"context length exceeded, {KEY}"}}, {}
        return None

    with Server(status=status) as server:
        model, _ = connect(server)
        with pytest.warns(UserWarning, match="refuses a request.*context length") as said:
            found = model.complete(asks(8), max_new_tokens=5)
    assert [i for i, one in enumerate(found) if not one.text] == [3]
    assert KEY not in str(said[0].message) + found[3].refused
    assert model.answers.budget.answered == 7


def test_all_refused_is_an_error_after_three():
    with Server(status=lambda b: (400, {"error": {"message": "no temperature"}}, {})) as server:
        model, _ = connect(server)
        with pytest.warns(UserWarning), pytest.raises(endpoint.Unavailable, match="no temperature"):
            model.complete(asks(50), max_new_tokens=5)
    assert sum(server.books.asked.values()) == 3


def test_an_error_stops_all_and_what_is_on_its_way_is_kept(tmp_path):
    gone, done = threading.Event(), []

    def status(body):
        if gone.is_set():
            return 401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, {}
        if body["messages"][-1]["content"].endswith("n20") and not done:
            done.append(gone.set())
        return None

    with Server(status=status, latency=0.02) as server:
        model, _ = connect(server, tmp_path / "a.jsonl")
        with pytest.raises(endpoint.Unavailable) as error:
            model.complete(asks(500), max_new_tokens=5)
        assert "does not accept the key (HTTP 401): set OPENAI_API_KEY" in str(error.value)
        assert error.value.__context__ is None  # nor where a traceback shows what was before
        assert KEY not in str(error.value) and sum(server.books.asked.values()) < 60
        gone.clear()
        model.answers.close()
        model, _ = connect(server, tmp_path / "a.jsonl")
        model.complete(asks(500), max_new_tokens=5)
    assert set(server.books.paid.values()) == {1} and len(server.books.paid) == 500
    assert KEY not in (tmp_path / "a.jsonl").read_text()


# ------------------------------------------------------------------ the file of answers
def test_a_line_that_was_cut_off_or_damaged_is_asked_again(tmp_path):
    file = tmp_path / "a.jsonl"
    with Server() as server:
        model, _ = connect(server, file, parallel=1)
        found = model.complete(asks(6), max_new_tokens=5)
        model.answers.close()
        lines = file.read_bytes().split(b"\n")
        kept = [i for i, line in enumerate(lines) if line.startswith(b'{"key"')]
        lines[kept[1]] = b"\x00\xff{["
        file.write_bytes(b"\n".join(lines[: kept[-1] + 1])[:-9])  # two answers are gone
        model, _ = connect(server, file)
        assert model.answers.budget.answered == 4 and model.answers.budget.attempts_lost == 2
        assert model.complete(asks(6), max_new_tokens=5) == found
        assert sorted(server.books.paid.values()) == [1, 1, 1, 1, 2, 2]
        model.answers.close()
        model, _ = connect(server, file)
        assert model.answers.budget.answered == 6
        assert model.complete(asks(6), max_new_tokens=5) == found
    assert sum(server.books.paid.values()) == 8


def test_the_same_question_at_the_same_time_is_asked_once():
    with Server(latency=0.05) as server:
        model, _ = connect(server)
        model.complete(asks(1), max_new_tokens=5)
        found = model.map(lambda _: model.ask(asks(2)[1], max_new_tokens=5), range(8))
    assert len(set(found)) == 1 and sum(server.books.asked.values()) == 2


# ------------------------------------------------------------------ budget
def test_a_budget_is_never_overspent_and_a_larger_one_goes_on(tmp_path):
    file, fail = tmp_path / "a.jsonl", {"429": 0.1, "cut": 0.05, "half": 0.05}
    asked = asks(150)
    with Server(fail, latency=0.005) as server:
        for most in (3_000, 8_000, 1e6):
            model, _ = connect(server, file, budget=(most,))
            if most < 1e6:
                with pytest.raises(spending.BudgetSpent, match="larger --budget") as error:
                    model.complete(asked, max_new_tokens=20)
                assert f"the budget of {most:,} tokens is spent" in str(error.value)
            else:
                model.complete(asked, max_new_tokens=20)
            budget = model.answers.budget
            # The server's own count, with what it did and could not deliver.
            assert sum(server.books.tokens) == sum(budget.tokens)
            assert budget.spent <= most
            if most < 1e6:  # no request that would have fitted was left
                mosts = [sum(json.loads(x)["most"]) for x in file.open() if '"most"' in x]
                assert budget.spent + max(mosts) > most
            model.answers.close()
    assert set(server.books.paid.values()) == {1} and len(server.books.paid) == 150


def test_money_is_tokens_by_their_prices_by_hand():
    budget = spending.Budget(1.0, 2.0, 8.0)
    budget.settle((0, 0), (250_000, 50_000)) if budget.reserve((0, 0)) else None
    assert budget.spent == pytest.approx(0.5 + 0.4)
    assert budget.reserve((10_000, 10_000))  # exactly what is left
    with pytest.raises(ValueError, match="go together"):
        spending.Budget(1.0, price_in=2.0)
    budget.settle((10_000, 10_000), lost=True)
    with pytest.raises(spending.BudgetSpent, match="the budget of 1 is spent: 1 for 1 answers"):
        budget.reserve((1, 1))
    assert "1 attempts without an answer may have been paid for, at most 0.1" in budget.said()


def test_the_most_of_a_request_is_no_less_than_any_tokenizer_makes_of_it(here):
    tokenizer = models.load_generator(here / "llama", device="cpu")[1]
    for text in ("a red dog", "ein großer Hund läuft", "狗在跑 🐕", "x" * 300):
        with Server() as server:
            model, _ = connect(server)
            model.complete([json.dumps([{"role": "user", "content": text}])], max_new_tokens=5)
        (line,) = [5]
        most = len(text.encode()) + line
        assert len(tokenizer(text)["input_ids"]) <= most
        assert model.answers.budget.tokens[0] <= most


def test_a_server_that_does_not_say_what_was_used_counts_at_its_most():
    with Server(usage=False) as server:
        model, _ = connect(server)
        with pytest.warns(UserWarning, match="says nothing of tokens used"):
            model.complete(asks(3), max_new_tokens=20)
    used = model.answers.budget.tokens
    assert used[1] == 60 and used[0] > sum(
        len(m["content"]) for body in server.books.bodies.values() for m in body["messages"]
    )


# ------------------------------------------------------------------ scores
def by_hand(tops):
    """Σ s·p / Σ p over the tokens that are scores: a loop over words."""
    above = below = 0.0
    for token, p in tops:
        for score in ("0", "1", "2", "3", "4", "5", *(f"{i}.5" for i in range(5)),
                      *(f"{i}.0" for i in range(6))):  # fmt: skip
            if token.strip() == score:
                above, below = above + p * float(score), below + p
    return above / below


def test_expected_scores_are_those_of_a_loop():
    pairs = [("a red dog", "a red cat"), ("two men", "the park"), ("a b", "c d"), ("e", "f")]
    with Server(EVERY_WAY) as server:
        found = served.score_similarity(connect(server), pairs, method="expected")
    form = prompts.Form("chat", endpoint.Messages())
    for pair, score in zip(pairs, found, strict=True):
        body = {"messages": json.loads(prompts.similarity(*pair, form=form))}
        assert score == pytest.approx(by_hand(api_server.scores_of(body)), abs=1e-9)
    assert len(set(found)) > 1
    sent = next(iter(server.books.bodies.values()))
    assert sent["logprobs"] is True and sent["top_logprobs"] == 20


@pytest.mark.parametrize(("tops", "score"), [
    ([("Score", 0.95), ("4", 0.05)], None), ([("Score", 0.6), ("4", 0.1), (" 5", 0.1)], 4.5),
    ([("4.5", 0.5), ("▁3", 0.5)], 3.75), ([("6", 0.9), ("-1", 0.05)], None), ([], None),
])  # fmt: skip
def test_tokens_that_are_no_scores_do_not_count(tops, score):
    found = served.expected_score([(token, math.log(p)) for token, p in tops])
    assert found == (score if score is None else pytest.approx(score))


def test_an_endpoint_without_logprobs_says_so_by_silence_or_by_refusing():
    refuse = lambda b: (400, {"error": {"message": "no logprobs"}}, {}) if b.get("logprobs") else None  # noqa: E501, E731
    for more, asked in ((dict(tops=None), 1), (dict(status=refuse), 2)):
        with Server(**more) as server:
            generator = connect(server)
            with pytest.raises(endpoint.NoLogprobs, match="take --scoring text"):
                served.score_similarity(generator, [("a", "b")], method="expected")
            assert sum(server.books.asked.values()) == asked
            with pytest.raises(endpoint.NoLogprobs):  # it is remembered
                served.score_similarity(generator, [("a", "b")], method="expected")
            assert sum(server.books.asked.values()) == asked


def test_an_endpoint_that_gives_five_tokens():
    many = lambda b: (400, {"error": {"message": "at most 5"}}, {}) if b.get("top_logprobs", 0) > 5 else None  # noqa: E501, E731
    with Server(status=many) as server:
        found = served.score_similarity(connect(server), [("a", "b"), ("c", "d")])
    assert None not in found and sum(server.books.asked.values()) == 3


def test_a_discriminator_gives_probabilities_where_an_nli_model_does():
    tops = [("ent", 0.5), ("neutral", 0.2), (" Entailment", 0.1), ("contra", 0.1), ("The", 0.1)]
    pairs = [("a dog", "an animal"), ("a dog", "a cat")]
    with Server(tops=lambda body: tops) as server:
        found = judging.nli_probabilities(*served.discriminator(connect(server)), pairs)
    np.testing.assert_allclose(found, [[0.6 / 0.9, 0.2 / 0.9, 0.1 / 0.9]] * 2, atol=1e-4)
    assert 'Premise: a dog\nHypothesis: a cat\n' in json.dumps(
        [b["messages"] for b in server.books.bodies.values()]
    ).replace("\\n", "\n")
    words = {"a cat": "Contradiction.", "an animal": "entailment", "a pet": "I do not know"}

    def word(body):
        return next(w for k, w in words.items() if k in body["messages"][-1]["content"])

    with Server(tops=None, text=word) as server, pytest.warns(UserWarning, match="no log-prob"):
        found = judging.nli_probabilities(
            *served.discriminator(connect(server)), [("a dog", other) for other in words]
        )
    assert found.argmax(1).tolist() == [2, 0, 1] and (found.max(1) > 0.99).all()


# ------------------------------------------------------------------ the stages
def test_stages_give_what_the_server_says_of_each_row():
    premises = ["a red dog sleeps", "two men run", "the cat eats"]
    said = 'Sure, here is a paraphrase: "{}"'
    with Server(text=lambda b: said.format(api_server.rewritten(b))) as server:
        generator = connect(server)
        form = prompts.form_of(*generator)
        asked = multicsr.ask(premises, seed=0, form=form)
        table = served.write(generator, asked, max_new_tokens=20)
        with pytest.raises(ValueError, match="take --omega 0"):
            served.write(generator, asked, omega=0.3, max_new_tokens=20)
    assert list(table["anchor"]) == premises and set(table.attrs["taken"]) >= {"preamble", "quotes"}
    for name, kind in (("positive", "entailment"), ("negative", "contradiction")):
        assert list(table[name]) == [
            api_server.rewritten({"messages": json.loads(prompt), "model": "test",
                                  "temperature": 0.0})
            for prompt in asked[f"{kind}_prompt"]
        ]  # fmt: skip
    with Server() as server:
        judged = served.judge(connect(server), table.assign(negative=["", "x y", "z"]))
    assert np.isnan(judged["b"][0]) and len(server.books.paid) == 5


def test_lists_are_chains_of_requests_each_from_the_sentence_before():
    with Server(EVERY_WAY, text=lambda b: f"{api_server.rewritten(b)} more") as server:
        generator = connect(server)
        anchors = ["a red dog", "two men run", "the cat"]
        lists = served.write_lists(generator, anchors, steps=4, max_new_tokens=9)
        form = prompts.form_of(*generator)
        with pytest.raises(ValueError, match="take --lam 0"):
            served.write_lists(generator, anchors, lam=0.5)
    for row in lists:
        for before, text in zip(row, row[1:], strict=False):
            ask = prompts.rewriting_by_example(before, form=form)
            body = {"messages": json.loads(ask), "model": "test", "temperature": 0.0}
            assert text == api_server.rewritten(body) + " more"
    assert [row[0] for row in lists] == anchors and {len(row) for row in lists} == {5}
    with Server(text=lambda b: "1. one\n2. two\n3. three") as server:
        rows = served.write_lists(connect(server), anchors, "at_once", lam=0.5, steps=2)
    assert rows == [[anchor, "one", "two"] for anchor in anchors]
    assert set(ranking.METHODS) == {"directional", "step", "at_once"}


# ------------------------------------------------------------------ whole runs
SENTENCES = list(dict.fromkeys(
    " ".join(np.random.default_rng(i).choice(tiny_models.WORDS, 5)) for i in range(40)
))  # fmt: skip
OPTIONS = {
    "multicsr": dict(encoder="bert", guide="encoder", pooling="mean", alpha=0, beta=5, gamma="-",
                     omega=0, max_new_tokens=12, batch_size=4, max_steps=1,
                     generator="api:test"),
    "ranking": dict(base="encoder", teacher="encoder", rerank="rerank.csv", anchors=8, clusters=4,
                    steps=3, lam=0, max_new_tokens=9, epochs=1, lists_per_step=2,
                    generator="api:test"),
    "art": dict(generator="llama", discriminator="api:test", encoder="encoder", rounds=1,
                anchors=12, ppo_steps=1, ppo_batch_size=8, ppo_mini_batch_size=4, ppo_epochs=1,
                lower_bound=0.5, positive_bound=0.3, negative_bound=0.9, max_new_tokens=5,
                temperature=1.0, encoder_batch_size=2, until=1),
}  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    root = tmp_path_factory.mktemp("here")
    tiny_models.save(root / "llama", "llama", initializer_range=0.3)
    tiny_models.save(root / "bert", "bert")
    with models.quiet():
        models.load_encoder(root / "bert", pooling="mean").save_pretrained(str(root / "encoder"))
    (root / "premises.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    tiny_models.examined_on(root, SENTENCES)
    return root


def words_of(method, out, *more, **changes):
    options = dict(tier="paper", premises="premises.txt", data="data", device="cpu")
    options |= OPTIONS[method] | changes
    argv = ["run", method, "--out", str(out), *more]
    for name, value in options.items():
        argv += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
    return argv


@pytest.fixture
def command(here, tmp_path, monkeypatch, capsys):
    """command(method, server, out, **options) -> exit code, all that was printed."""
    monkeypatch.chdir(here)

    def run(method, server, out="run", *more, **changes):
        changes = dict(base_url=server.address) | changes
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            code = main(words_of(method, tmp_path / out, *more, **changes))
        printed, said = capsys.readouterr()
        return code, "".join([*(f"{one.message}\n" for one in warned), printed, said])

    return run


def files_of(folder):
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name not in (".lock", "journal.jsonl", "answers.jsonl")
    }


def test_a_run_from_end_to_end_without_its_key_anywhere(command, tmp_path):
    with Server(EVERY_WAY) as server:
        code, said = command("multicsr", server, scoring="expected", price_in=1, price_out=2)
        assert code == 0 and "API        " in said and "tokens in" in said, said
        paid = sum(server.books.paid.values())
        assert set(server.books.paid.values()) == {1}
        table = pd.read_parquet(tmp_path / "run" / "triplets.parquet")
        assert len(table) == len(SENTENCES) and table["a"].notna().all()
        before = files_of(tmp_path / "run")
        assert command("multicsr", server, scoring="expected", parallel=3)[0] == 0
        assert sum(server.books.paid.values()) == paid and files_of(tmp_path / "run") == before
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["generator"] == "api:test" and run["endpoint"] == "127.0.0.1"
    everything = {f: f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}
    assert len(everything) > 10 and KEY not in said
    assert [f for f, content in everything.items() if KEY.encode() in content] == []
    code, said = command("multicsr", server, scoring="expected",
                         base_url="http://localhost:9/v1")  # fmt: skip
    assert code == 2 and "endpoint 127.0.0.1 → localhost" in said


def test_killed_in_the_middle_it_goes_on_and_pays_nothing_twice(command, here, tmp_path):
    with Server({"429": 0.05, "500": 0.05}, latency=0.03) as server:
        argv = words_of("multicsr", tmp_path / "run", "--quiet", base_url=server.address,
                        parallel=4, until="judged", scoring="expected")  # fmt: skip
        process = subprocess.Popen([sys.executable, "-m", "synthlib", *argv], cwd=here,
                                   env=os.environ | {"OPENAI_API_KEY": KEY})  # fmt: skip
        until = time.monotonic() + 120
        while sum(server.books.paid.values()) < 30 and time.monotonic() < until:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        time.sleep(0.2)
        first = dict(server.books.paid)
        assert 30 <= len(first) < 2 * len(SENTENCES)
        code, said = command("multicsr", server, until="judged", scoring="expected")
        assert code == 0, said
    twice = [content for content, times in server.books.paid.items() if times > 1]
    # Only what was on its way when it was killed, and the run says that it may have been paid.
    assert len(twice) <= 4
    lines = [json.loads(x) for x in (tmp_path / "run" / "answers.jsonl").open(encoding="utf-8")]
    asked = [x["asked"] for x in lines if "asked" in x]
    open_ = len(asked) - sum("key" in x or "unpaid" in x for x in lines)
    assert len(twice) <= open_ <= 4
    kept = [x for x in lines if "key" in x]
    assert len({x["key"] for x in kept}) == len(kept) == len(server.books.paid)
    straight = tmp_path / "straight"
    with Server() as other:
        assert command("multicsr", other, "straight", until="judged", scoring="expected")[0] == 0
    for step in ("written", "judged"):
        assert files_of(straight / step) == files_of(tmp_path / "run" / step)


def test_a_judge_behind_an_api_of_what_a_local_model_wrote(command, tmp_path):
    how = dict(generator="llama", scoring="nli", judge="api:test", until="judged")
    tops = [("entailment", 0.6), ("neutral", 0.2), ("contradiction", 0.2)]
    with Server(EVERY_WAY, tops=lambda body: tops) as server:
        code, said = command("multicsr", server, "run", "--dry-run", **how | dict(until=None))
        assert code == 0 and "80 requests, which send" in said and not server.books.asked
        code, said = command("multicsr", server, **how)
        assert code == 0, said
    parts = sorted((tmp_path / "run" / "judged").glob("*.parquet"))
    table = pd.concat([pd.read_parquet(part) for part in parts])
    scores = table[["a", "b"]].stack()
    np.testing.assert_allclose(scores, 5 * (0.6 + 0.1), atol=1e-4)
    assert len(scores) > 40 and set(server.books.paid.values()) == {1}


def test_ranking_and_art(command, tmp_path):
    longer = lambda body: f"{api_server.rewritten(body)} {api_server.digest(str(body)) % 97}"  # noqa: E731
    with Server(EVERY_WAY, text=longer) as server:
        code, said = command("ranking", server)
        assert code == 0 and "API        " in said, said
    kept = pd.read_parquet(tmp_path / "run" / "kept.parquet")
    assert len(kept) == 8 and set(server.books.paid.values()) == {1}

    def label(body):
        first = ("entailment", "neutral", "contra")[
            api_server.digest(body["messages"][-1]["content"]) % 3]  # fmt: skip
        return [(first, 0.8), ("ent", 0.1), ("neu", 0.05)]

    with Server(EVERY_WAY, tops=label) as server:
        code, said = command("art", server, "art")
        assert code == 0 and "API        " in said, said
        paid = sum(server.books.paid.values())
        assert command("art", server, "art")[0] == 0
        assert sum(server.books.paid.values()) == paid and set(server.books.paid.values()) == {1}


def test_a_dry_run_asks_nothing_and_says_what_would_be_sent(command):
    with Server() as server:
        for method in ("multicsr", "ranking", "art"):
            code, said = command(method, server, "run", "--dry-run", price_in=1, price_out=10)
            assert code == 0 and "no estimate: a trial would ask api:test" in said, said
            assert "requests, which send the sentences to 127.0.0.1" in said
            assert re.search(r"some [\d.]+ at most", said), said
        assert not server.books.asked


def test_a_wrong_key_a_spent_budget_and_no_logprobs_lose_nothing(command, tmp_path, monkeypatch):
    bad = []

    def status(body):
        return (401, {"error": {"message": f"Incorrect: {KEY}"}}, {}) if bad else None

    with Server(status=status, tops=None) as server:
        bad.append(True)
        code, said = command("multicsr", server)
        assert code == 2 and said.strip().splitlines()[-1].startswith(
            "error: 127.0.0.1 does not accept the key (HTTP 401): set OPENAI_API_KEY to a key for"
        ), said
        assert KEY not in said and not (tmp_path / "run").exists()
        assert sum(server.books.asked.values()) == 1
        bad.clear()
        code, said = command("multicsr", server, budget=6_000)
        assert code == 2 and "give the same command with a larger --budget" in said
        paid = sum(server.books.paid.values())
        assert paid > 20 and sum(server.books.tokens) < 6_000
        code, said = command("multicsr", server, "other", scoring="expected")
        assert code == 2 and "gives no log-probabilities" in said and "--scoring text" in said
        code, said = command("multicsr", server, budget=1e6)  # of the tier: text scores
        assert code == 0, said
    assert set(server.books.paid.values()) <= {1, 2}  # of two runs: the probe


def test_scores_as_text_where_nobody_asked_for_others(command, tmp_path):
    def text(body):
        return "3.5" if "Scoring the" in body["messages"][-1]["content"] else (
            api_server.rewritten(body)
        )  # fmt: skip

    with Server(tops=None, text=text) as server:
        code, said = command("multicsr", server, tier="colab", until="kept")
        assert code == 0, said
    assert said.count("gives no log-probabilities") == 1 and "a score is the number" in said
    table = pd.read_parquet(tmp_path / "run" / "triplets.parquet")
    assert (table[["a", "b"]] == 3.5).all(axis=None)


# ------------------------------------------------------------------ what messages name, done
TWO_IN_ONE = "http://me:secret@127.0.0.1/v1"


@pytest.mark.parametrize(("method", "changes", "line", "remedy"), [
    ("multicsr", dict(omega=0.3), "take --omega 0, which is plain", dict(omega=0)),
    ("ranking", dict(lam=0.5), "take --lam 0, which is plain", dict(lam=0)),
    ("multicsr", dict(scoring="likelihood"), "take --scoring expected or text",
     dict(scoring="expected")),
    ("multicsr", dict(form="paper"), "leave --form out", {}),
    ("multicsr", dict(generator="llama", base_url=None, budget=3),
     "budget is for a model behind an API, and none is named: give its name as api:NAME",
     dict(budget=1e6)),
    ("multicsr", dict(generator="llama"), "or leave it out",
     dict(generator="llama", base_url=None)),
    ("multicsr", dict(base_url="localhost:80"), "must be an address such as", {}),
    ("multicsr", dict(base_url=TWO_IN_ONE), "hold no key or password: put the key into", {}),
    ("multicsr", dict(price_in=3), "give both, or none", dict(price_in=3, price_out=4)),
    ("multicsr", dict(encoder="api:x"), "its weights are needed: give a folder", {}),
    ("multicsr", dict(shots=400), "shots must be from 0 to", dict(shots=2)),
    ("art", dict(generator="api:x"), "PPO tunes weights: give a folder or a hub id",
     dict(until=0)),
])  # fmt: skip
def test_bad_input_is_one_line_asks_nothing_and_ends_by_its_remedy(
    command, tmp_path, method, changes, line, remedy
):
    with Server() as server:
        code, said = command(method, server, **changes)
        assert code == 2 and line in said, said
        assert not server.books.asked and not (tmp_path / "run").exists()
        assert "secret" not in said
        short = {} if method == "art" else dict(until="written")
        code, said = command(method, server, **short | remedy)
        assert code == 0, said


def says(status, message="", code=None):
    return status, {"error": {"message": message, "code": code}}, {}


@pytest.mark.parametrize(("wrong", "line", "remedy"), [
    (says(402, "pay"), "has no money left (HTTP 402): put some in", {}),
    (says(429, "pay", "insufficient_quota"), "has no money left (HTTP 429)", {}),
    (says(403, "no"), "does not accept the key (HTTP 403): set OPENAI_API_KEY to a key", {}),
    (says(404, "what?"), "(what?): give another --generator api:NAME or --base-url",
     dict(generator="api:other")),
    (says(422, "no temperature"), "refuses all that it is asked (HTTP 422, no temperature): take "
     "another --generator, in another folder", dict(generator="api:other", out="other")),
    (says(405, "no"), "refuses (HTTP 405, no)", {}),
    (says(500, "oops"), "(HTTP 500, oops): look at --base-url and at the server", {}),
])  # fmt: skip
def test_what_a_server_refuses_and_the_same_command_once_it_does_not(
    command, monkeypatch, wrong, line, remedy
):
    monkeypatch.setattr(endpoint, "FIRST_PATIENCE", 0.2)
    now = [wrong]
    with Server(status=lambda body: now[0]) as server:
        code, said = command("multicsr", server, until="written")
        assert code == 2 and line in said, said
        now[0] = None
        code, said = command("multicsr", server, until="written", **remedy)
        assert code == 0, said


def test_no_logprobs_and_scores_as_text_in_the_same_folder(command):
    three = lambda body: "a b 3"  # noqa: E731
    with Server(tops=None, text=three) as server:
        code, said = command("multicsr", server, scoring="expected", until="kept")
        assert code == 2 and "so there are no expected values: take --scoring text" in said
        code, said = command("multicsr", server, scoring="text", until="kept")
        assert code == 0, said


def test_a_key_and_a_client(command, monkeypatch):
    with Server() as server:
        monkeypatch.delenv("OPENAI_API_KEY")
        code, said = command("multicsr", server, "first", until="written")
        assert code == 0, said  # on this machine none is wanted
        monkeypatch.setattr(endpoint, "HERE", ())
        code, said = command("multicsr", server, until="written")
        assert code == 2 and "no key for 127.0.0.1: set OPENAI_API_KEY in the" in said
        code, said = command("multicsr", server, until="written", key_variable="OTHER_KEY")
        assert code == 2 and "no key for 127.0.0.1: set OTHER_KEY in the" in said
        monkeypatch.setenv("OTHER_KEY", "two\nlines ü")
        code, said = command("multicsr", server, until="written", key_variable="OTHER_KEY")
        assert code == 2 and "what OTHER_KEY holds is no key: set it to the key alone" in said
        assert "lines" not in said
        monkeypatch.setenv("OTHER_KEY", "any")
        with monkeypatch.context() as without:
            without.setitem(sys.modules, "openai", None)
            code, said = command("multicsr", server, until="written", key_variable="OTHER_KEY")
            assert code == 2 and "pip install 'synthlib[api]'" in said
        code, said = command("multicsr", server, until="written", key_variable="OTHER_KEY")
        assert code == 0 and "Bearer any" in server.books.keys, said


class Two(shards.Processes):
    """The first of two processes, which waits for nobody."""

    def wait(self):
        pass


def test_one_process_asks_and_all_go_on(command, monkeypatch):
    with Server() as server:
        with monkeypatch.context() as several:
            several.setattr(shards, "processes", lambda: Two(0, 2))
            code, said = command("multicsr", server, until="kept")
            assert code == 2 and "write and judge with one alone (--until kept" in said, said
        assert command("multicsr", server, until="kept")[0] == 0
        asked = sum(server.books.asked.values())
        monkeypatch.setattr(shards, "processes", lambda: Two(0, 2))
        code, said = command("multicsr", server, until="kept")
        assert code == 0 and sum(server.books.asked.values()) == asked, said


def test_a_full_disk_and_room(command, monkeypatch, tmp_path):
    own, written = os.write, []

    def write(descriptor, content):
        written.append(content)
        if len(written) == 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return own(descriptor, content)

    with Server() as server:
        with monkeypatch.context() as full:
            full.setattr(os, "write", write)
            code, said = command("multicsr", server, until="written")
        assert code == 2 and "make room and run the same command again" in said, said
        before = sum(server.books.paid.values())
        code, said = command("multicsr", server, until="written")
        assert code == 0, said
        assert sum(server.books.paid.values()) <= 2 * len(SENTENCES) + 1 + 8 and before >= 15


def test_the_report_names_the_command_with_its_address(command, tmp_path):
    with Server() as server:
        assert command("multicsr", server, until="written")[0] == 0
    words = reporting.Run(tmp_path / "run").command()
    assert "--generator api:test" in words and f"--base-url {server.address} --out" in words
