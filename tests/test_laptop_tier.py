"""The tier laptop in all three runs, how a generator is asked, and what is said of answers."""

import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import tiny_models
from test_prompt_forms import PLAIN, ROWS

from synthlib import answers, judging, models, options, ppo, prompts, rewards, tiers, weights
from synthlib.__main__ import main
from synthlib.methods import art, ranking
from synthlib.runs import art as art_run
from synthlib.runs import frame, plans, shards
from synthlib.runs import multicsr as multicsr_run
from synthlib.runs import ranking as ranking_run

RUNS = {"multicsr": multicsr_run, "ranking": ranking_run, "art": art_run}


# ------------------------------------------------------------------ the plan
@pytest.mark.parametrize("run", RUNS)
def test_a_run_takes_the_tiers_models_and_sentences_and_real_sets(run):
    plan = RUNS[run].make_plan(tier="laptop")
    own = getattr(tiers.get("laptop"), run)
    assert (plan.form, plan.shots, plan.register) == (own.form, own.shots, own.register)
    assert own.register == {"ranking": None}.get(run, "plain")  # lists are shown rewritings
    assert own.form in ("chat", "examples") and plan.source == tiers.CAPTIONS
    assert plan.examination == "by name" and getattr(plan, "select", "dev") == "dev"
    held = plans.identity(plan)
    assert held["form"] == own.form and held["source"] == held["corpus"] == tiers.CAPTIONS.name
    pocket = plans.identity(RUNS[run].make_plan(tier="pocket"))
    assert not {"form", "shots", "register"} & set(pocket)


@pytest.mark.parametrize("run", RUNS)
def test_a_tiers_form_is_for_its_own_generator(run):
    make = RUNS[run].make_plan
    other = make(tier="laptop", generator="owner/chat")
    assert (other.form, other.shots, other.register) == (None, None, None)
    own = make(tier="laptop")
    for form in set(prompts.ALL_FORMS[1:]) - {own.form}:
        asked = make(tier="laptop", form=form)
        assert (asked.form, asked.shots, asked.register) == (form, None, None)
    assert make(tier="laptop", form=own.form).shots == own.shots
    assert make(tier="laptop", generator="owner/chat", form="chat").form == "chat"
    assert make(tier="laptop", form="paper").form == "paper"
    assert make(tier="pocket").form is None


@pytest.mark.parametrize("run", RUNS)
def test_an_interruption_of_a_slow_tier_loses_little(run):
    make = RUNS[run].make_plan
    sizes = {tier: make(tier=tier).shard_size for tier in tiers.NAMES}
    assert sizes["laptop"] <= 8 < sizes["pocket"] == sizes["colab"] == sizes["paper"]
    assert make(tier="laptop", shard_size=3).shard_size == 3
    assert plans.identity(make(tier="laptop"))["shard_size"] == sizes["laptop"]


def test_an_nli_model_judges_on_laptop():
    plan = multicsr_run.make_plan(tier="laptop")
    assert (plan.scoring, plan.judge) == ("nli", "laptop/judge")
    steps = options.steps_of(options.MultiCSR)
    assert steps["judge"] == "judged" and "form" not in steps and "shots" not in steps


@pytest.mark.parametrize("dry", [["--dry-run"], []])
@pytest.mark.parametrize("run", RUNS)
def test_models_that_are_not_here_are_one_line_and_no_folder(
    run, dry, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("SYNTHLIB_CACHE", str(tmp_path / "empty"))
    out = tmp_path / "run"
    assert main(["run", run, "--tier", "laptop", "--sentences", "8", "--out", str(out), *dry]) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1 and said.startswith("error: ") and "laptop" in said
    assert not out.exists()
    assert {one for one in weights.needed("laptop")} >= {one.name for one in weights.LAPTOP}


# ------------------------------------------------------------------ worked examples of a run
def test_registers_are_those_of_the_file():
    assert set(prompts.REGISTERS) == {row["register"] for row in ROWS} | {"plain"}
    plain = prompts.worked_examples("entailment", "A cat.", 99, register="plain")
    others = prompts.worked_examples("entailment", "A cat.", 99)
    assert len(plain) == 6 and len(others) == len(ROWS) and not set(plain) & set(others)


def test_a_generator_is_asked_with_the_examples_that_a_run_names(tmp_path):
    folder = tiny_models.save(tmp_path / "llama", "llama")
    form = prompts.form_of(*models.load_generator(
        folder, device="cpu", form="examples", examples=dict(shots=2, register="news", seed=5)
    ))  # fmt: skip
    assert (form, form.shots, form.register, form.seed) == ("examples", 2, "news", 5)
    news = {row["anchor"] for row in ROWS if row["register"] == "news"}
    asked = prompts.variation("A cat.", "positive", form=form)
    assert sum(anchor in asked for anchor in news) == 2 == asked.count("Original:") - 1
    plain = models.load_generator(folder, device="cpu", examples=dict(seed=5))
    assert prompts.form_of(*plain).shots == 0
    with pytest.raises(ValueError, match="the form paper has no worked examples"):
        models.load_generator(folder, device="cpu", examples=dict(shots=2))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (dict(shots=7, register="plain"), "there are 6 worked examples of register plain: shots"),
        (dict(shots=21, form="the other"), "there are 20 worked examples of data/field"),
        (dict(shots=9, register="caption"), "there are 8 worked examples of register caption"),
        (dict(register="question"), "register must be one of caption, news"),
        (dict(shots=2, form="paper"), "the form paper has no worked examples"),
        (dict(shots=-1), "shots must be a whole number from 0 up"),
    ],
)
@pytest.mark.parametrize("run", RUNS)
def test_examples_that_there_are_not_are_refused_before_anything_is_loaded(run, given, said):
    if given.get("form") == "the other":
        (other,) = {"chat", "examples"} - {getattr(tiers.get("laptop"), run).form}
        given = given | dict(form=other)
    with pytest.raises(ValueError, match=said):
        RUNS[run].make_plan(**dict(tier="laptop") | given)


@pytest.mark.parametrize("run", RUNS)
def test_other_examples_are_another_run(run):
    make = RUNS[run].make_plan
    held = [
        plans.identity(make(tier="laptop", **given))
        for given in ({}, dict(shots=2), dict(register="caption"), dict(seed=1))
    ]
    assert all(one != held[0] for one in held[1:])
    assert held[1]["shots"] == 2 and held[2]["register"] == "caption"
    assert held[0].get("shots") == getattr(tiers.get("laptop"), run).shots
    register = {} if run == "ranking" else dict(register="plain")
    assert plans.examples_of(held[1]) == dict(shots=2, seed=0) | register


# ------------------------------------------------------------------ what was taken off
def test_shards_keep_what_their_tables_count(tmp_path):
    def make(start, stop):
        frame = pd.DataFrame({"row": range(start, stop)})
        frame.attrs = {"taken": {"quotes": start + 1, "rest": 1}}
        return frame

    first = shards.rows(tmp_path / "step", 5, make, size=2, progress=False)
    assert first.attrs == {"taken": {"quotes": 1 + 3 + 5, "rest": 3}}
    again = shards.rows(tmp_path / "step", 5, None, size=2, progress=False)
    assert again.attrs == first.attrs and list(again["row"]) == [0, 1, 2, 3, 4]
    plain = shards.rows(
        tmp_path / "plain", 3, lambda a, b: pd.DataFrame({"row": range(a, b)}), size=2,
        progress=False,
    )  # fmt: skip
    assert plain.attrs == {}


def test_a_reader_counts_in_how_many_answers(monkeypatch):
    taken = Counter()
    read = answers.reader(prompts.Form("examples"), taken)
    assert [read(x) for x in ('"A."', "B.", 'Output: "C."')] == ["A.", "B.", "C."]
    assert taken == {"quotes": 2, "preamble": 1}
    assert answers.reader("paper", taken) is None


@pytest.fixture
def wordy(tmp_path, monkeypatch):
    """A folder of a model of random weights with a chat template; each answer is in quotes."""
    model, tokenizer = tiny_models.instruct("qwen")
    with models.quiet():
        model.save_pretrained(tmp_path / "qwen")
        tokenizer.save_pretrained(tmp_path / "qwen")
    real, number = answers.read, iter(range(10**6))

    def read(text, prefix=""):
        return real(f'"Sentence number {next(number)} is here."')

    monkeypatch.setattr(answers, "read", read)
    return str(tmp_path / "qwen")


def test_the_report_of_multicsr_says_what_was_taken_off(wordy, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("\n".join(PLAIN[:6]))
    given = dict(
        tier="pocket", premises=str(tmp_path / "mine.txt"), generator=wordy, form="chat",
        until="written", max_new_tokens=3, stages=(1, 3), shard_size=4, batch_size=2,
        device="cpu", omega=0,
    )  # fmt: skip
    result = multicsr_run.run(tmp_path / "run", **given)
    assert result.counts["taken"] == {"quotes": 12}
    assert "taken off  answers: quotes of 12\n" in capsys.readouterr().out
    report = (tmp_path / "run" / "report.json").read_bytes()
    assert json.loads(report)["taken"] == {"quotes": 12}
    assert multicsr_run.run(tmp_path / "run", **given).counts == result.counts
    assert (tmp_path / "run" / "report.json").read_bytes() == report


def test_the_report_of_ranking_says_what_was_taken_off(wordy, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("\n".join(PLAIN[:6]))
    result = ranking_run.run(
        tmp_path / "run", tier="pocket", premises=str(tmp_path / "mine.txt"), generator=wordy,
        form="chat", until="written", max_new_tokens=3, clusters=2, steps=3, temperature=0,
        device="cpu",
    )  # fmt: skip
    assert result.counts["taken"] == {"quotes": result.counts["anchors"] * 3}
    assert "answers: quotes of" in capsys.readouterr().out


def test_arts_counts_hold_what_was_taken_off(wordy):
    held = models.load_generator(wordy, device="cpu", form="chat")
    table = art.write(held, ["A cat.", "A dog."], candidates=1, max_new_tokens=3)
    table = art.judge(table, models.load_nli("pocket/nli", device="cpu"))
    assert table.attrs == {"taken": {"quotes": 4}}
    lines = frame.said_taken(table.attrs, "round 1")
    assert lines == ["round 1    taken off answers: quotes of 4"]
    assert frame.said_taken({"taken": {}}) == ["taken off  answers: nothing"]
    assert frame.said_taken({}) == []


def test_lists_count_each_sentence(wordy):
    held, taken = models.load_generator(wordy, device="cpu", form="chat"), Counter()
    lists = ranking.write(held, ["A cat."], lam=0.5, steps=3, max_new_tokens=3, taken=taken)
    assert taken == {"quotes": len(lists[0]) - 1}


# ------------------------------------------------------------------ what a reward is given
@pytest.mark.parametrize("form", ["chat", "examples", "paper"])
def test_ppo_judges_the_sentence_of_an_answer(form):
    model, tokenizer = tiny_models.instruct("qwen")
    model.config.synthlib_form = form
    policy = ppo.Policy(model, tokenizer, r=2)
    text = 'Sure, here is a paraphrase:\n"A cat."\nNote: I changed the verb.'
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    given = ppo.Answers(ids, ids, ids, ids >= 0)
    assert policy.texts(given) == ([text] if form == "paper" else ["A cat."])


def test_trls_trainer_gives_the_rewards_the_sentence_alone(monkeypatch):
    trl, seen = pytest.importorskip("trl"), {}

    def record(*, reward_funcs, **more):
        seen["functions"] = reward_funcs
        raise InterruptedError

    monkeypatch.setattr(trl, "RLOOTrainer", record)
    held = tiny_models.instruct("qwen")
    encode, given = lambda texts: np.ones((len(texts), 2)), []
    monkeypatch.setattr(
        judging, "nli_probabilities",
        lambda model, tokenizer, pairs, **more: given.extend(pairs) or np.full((len(pairs), 3), 1),
    )  # fmt: skip
    for form, wanted in (("examples", "A cat."), ("paper", "A cat.\nOriginal: B.")):
        held[0].config.synthlib_form = form
        with pytest.raises(InterruptedError):
            art.tune_with_trl(
                held, ["x"], (None, None), encode, rewards.Bounds(0.5, 0.5, 0.5),
                tiers.get("pocket").art,
            )  # fmt: skip
        correct, difficult = seen["functions"]
        assert (correct.__name__, difficult.__name__) == ("correctness", "difficulty")
        given.clear()
        text = "A cat.\nOriginal: B."
        correct(completions=[text], anchor=["x"], kind=["positive"], prompts=["p"])
        assert given == [("x", wanted)]


# ------------------------------------------------------------------ bounds from few sentences
def test_bounds_of_few_sentences_come_from_more_answers_to_each(monkeypatch):
    asked = []

    def write(generator, anchors, *, candidates, **more):
        asked.append(candidates)
        rows = [(a, k) for a in anchors for k in art.KINDS for _ in range(candidates)]
        return pd.DataFrame(rows, columns=["anchor", "kind"]).assign(text="Said.")

    def judge(table, discriminator, encode, **more):
        right = np.arange(len(table)) % 5 < 2  # four of ten
        similarity = np.linspace(0, 1, len(table))
        return table.assign(p=np.where(right, 0.9, 0.1), similarity=similarity)

    monkeypatch.setattr(art, "write", write)
    monkeypatch.setattr(art, "judge", judge)
    few, enough = [f"Sentence {i}." for i in range(30)], [f"Sentence {i}." for i in range(60)]
    bounds = art.choose_bounds(None, few, None, None, max_new_tokens=4)
    assert asked == [1, 7] and bounds.lower_bound == 0.9
    asked.clear()
    art.choose_bounds(None, enough, None, None, max_new_tokens=4)
    assert asked == [1]
    with pytest.raises(ValueError, match="the discriminator accepts 0 of 210 negatives"):
        monkeypatch.setattr(
            art, "judge", lambda table, *a, **b: judge(table, *a).assign(
                p=np.where(table["kind"] == "positive", 0.9, 0.1))
        )  # fmt: skip
        art.choose_bounds(None, few, None, None, max_new_tokens=4)


# ------------------------------------------------------------------ a judge that rarely counts
def test_the_report_says_how_many_answers_begin_with_a_number(wordy, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(judging, "LEAST_NUMBER", 1e-9)
    (tmp_path / "mine.txt").write_text("\n".join(PLAIN[:4]))
    result = multicsr_run.run(
        tmp_path / "run", tier="pocket", premises=str(tmp_path / "mine.txt"), generator=wordy,
        form="chat", until="judged", max_new_tokens=3, scoring="likelihood", batch_size=2,
        shard_size=3, device="cpu", omega=0,
    )  # fmt: skip
    numbers = result.counts["numbers"]
    assert numbers["asked"] == 8 and 0 <= numbers["numbers"] <= 8
    assert f"of 8 answers {numbers['numbers']} begin with a number" in capsys.readouterr().out
