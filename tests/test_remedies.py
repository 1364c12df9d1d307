"""Each remedy that a message names, done: what was refused before goes on to its end.

`TABLE` has a row for every message of the package that tells somebody what to do. A message that
is new fails `test_every_remedy_has_a_row` until it has one, with the test that follows it.
"""

import ast
import dataclasses
import errno
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from test_remedies_of_parts import damage

from synthlib import (
    data,
    decoding,
    evaluation,
    judging,
    memory,
    models,
    ppo,
    tiers,
)
from synthlib.__main__ import main
from synthlib.evaluation import examination
from synthlib.methods import art, multicsr, ranking
from synthlib.runs import frame, shards

# ------------------------------------------------------------------ what counts as a message
#: Rooms whose messages are of the laboratory's own making: its world, its figures and chapters,
#: the ledger. The hints of exercises (`checks`) have tests of their own, one a hint.
ELSEWHERE = {"world", "viz", "experiments", "ledger", "checks"}
#: Prompts are texts for models, and these two describe what there is.
NO_MESSAGES = {"prompts.py", "tiers.py", "options.py"}
#: What describes an option or a command.
DESCRIBING = {"add", "add_argument", "add_parser", "Parser", "_run", "option", "_of_tier"}
VERBS = (
    "accept ask call choose close convert download export free get give go hide install leave load "
    "log loosen lower make move name pass pip put raise rename restart run save say set split "
    "start take try unpack unset use wait write"
).split()
REMEDY = re.compile(
    rf"--[a-z]|(^|[:;,.(] |\b(or|and|then|that|else) )`?({'|'.join(VERBS)}|git)\b", re.IGNORECASE
)


def text_of(node) -> str:
    """A string of the source, with {} where a value stands."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(text_of(v) if isinstance(v, ast.Constant) else "{}" for v in node.values)


def remedies(tree):
    """The strings of a module that tell somebody what to do."""
    if isinstance(tree, ast.Expr) and isinstance(tree.value, ast.Constant):
        return  # a docstring
    if isinstance(tree, ast.Call):
        name = getattr(tree.func, "id", getattr(tree.func, "attr", ""))
        if name in DESCRIBING:
            return
    if isinstance(tree, ast.Constant | ast.JoinedStr):
        text = " ".join(text_of(tree).split())
        if " " in text and REMEDY.search(text):
            yield text
    if isinstance(tree, ast.JoinedStr):
        values = [part.value for part in tree.values if isinstance(part, ast.FormattedValue)]
    else:
        values = ast.iter_child_nodes(tree)
    for value in values:
        yield from remedies(value)


def messages(root):
    package = root / "synthlib"
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package)
        if name.parts[0] in ELSEWHERE or file.name in NO_MESSAGES:
            continue
        for text in remedies(ast.parse(file.read_text("utf-8"))):
            yield name.as_posix(), text


# ------------------------------------------------------------------ tiny models and short runs
RNG = np.random.default_rng(0)
SENTENCES = list(dict.fromkeys(
    " ".join(RNG.choice(tiny_models.WORDS, RNG.integers(3, 6))) for _ in range(40)
))  # fmt: skip
SCORES = [f"{s / 2:.1f}" for s in range(11)]  # a judge's words
pytestmark = pytest.mark.filterwarnings("ignore:.*left out, absent", "ignore:.*does not know")
OPTIONS = {
    "multicsr": dict(
        generator="t5", encoder="bert", guide="encoder", pooling="mean", scoring="expected",
        alpha=0, beta=5, gamma="-", omega=0.5, max_new_tokens=6, batch_size=4, max_steps=1,
    ),
    "ranking": dict(
        generator="t5", base="encoder", teacher="encoder", rerank="rerank.csv", anchors=12,
        clusters=4, steps=3, temperature=2.0, max_new_tokens=6, epochs=0.2,
    ),
    "art": dict(
        generator="llama", discriminator="nli", encoder="encoder", rounds=1, anchors=12,
        ppo_steps=1, ppo_batch_size=8, ppo_mini_batch_size=4, ppo_epochs=1, lower_bound=0.5,
        positive_bound=0.3, negative_bound=0.9, max_new_tokens=5, temperature=1.0,
        encoder_batch_size=2, until=1,
    ),
}  # fmt: skip
ROLES = ("generator", "encoder", "guide", "base", "teacher", "discriminator")


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Tiny random models, a text file and a data folder."""
    root = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "WORDS", [*tiny_models.WORDS, *SCORES])
        tiny_models.save(root / "t5", "t5", seed=3)
    tiny_models.save(root / "other", "t5", seed=4)
    tiny_models.save(root / "llama", "llama", initializer_range=0.3)
    tiny_models.save(root / "nli", "nli", initializer_range=1.0, dropout=0.0, seed=3)
    tiny_models.save(root / "bert", "bert")
    with models.quiet():
        models.load_encoder(root / "bert", pooling="mean").save_pretrained(str(root / "encoder"))
    (root / "premises.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    tiny_models.examined_on(root, SENTENCES)
    return root


def of_the_pocket_world(name):
    """By its name: our models know too few words to be told apart by them."""
    return str(name).startswith("pocket/")


@pytest.fixture
def command(here, tmp_path, monkeypatch, capsys):
    """command(method, out, **options) -> exit code, what was printed, the line of the error."""
    monkeypatch.chdir(here)
    monkeypatch.setattr(examination, "is_pocket", of_the_pocket_world)

    def run(method, out="run", *more, **changes):
        options = dict(tier="paper", premises="premises.txt", data="data", device="cpu")
        options |= OPTIONS[method] | changes
        argv = ["run", method, "--out", str(tmp_path / out), *more]
        for name, value in options.items():
            if value is not None:
                argv += [f"--{name.replace('_', '-')}", str(value)]
        code = main([*argv, *["--quiet"] * ("--dry-run" not in more)])
        printed, said = capsys.readouterr()
        return code, printed, (said.strip().splitlines() or [""])[-1]

    return run


@pytest.fixture
def refused(command):
    """The message of a command that ends in one."""

    def run(*arguments, **options):
        code, _, said = command(*arguments, **options)
        assert code == 2 and said.startswith("error: "), (code, said)
        return said

    return run


@pytest.fixture
def done(command):
    """A command that goes on to its end."""

    def run(*arguments, **options):
        code, printed, said = command(*arguments, **options)
        assert code == 0, said
        return printed

    return run


def raising(error):
    """A function that raises, whatever it is given."""

    def raise_it(*arguments, **options):
        raise error

    return raise_it


# ------------------------------------------------------------------ multicsr
def answers(monkeypatch, make):
    """A generator that answers as make(premise, kind, omega, room) says, of the t5 alone."""
    real = decoding.contrastive_generate

    def generate(model, tokenizer, asked, noisy, *, omega, max_new_tokens, **more):
        if model.config.vocab_size != len(tiny_models.SPECIAL + tiny_models.WORDS + SCORES):
            return real(
                model, tokenizer, asked, noisy, omega=omega, max_new_tokens=max_new_tokens, **more
            )
        denied = tuple(multicsr.prompts.CONTRADICTION["paper"])
        return [
            make(text.rpartition("Input: ")[2].partition("\n")[0], text.startswith(denied), omega,
                 max_new_tokens)
            for text in asked
        ]  # fmt: skip

    monkeypatch.setattr(decoding, "contrastive_generate", generate)


def test_repeats_end_with_another_generator_or_a_larger_omega(refused, done, monkeypatch):
    answers(monkeypatch, lambda premise, kind, omega, room: premise if omega < 1 else "a dog")
    said = refused("multicsr")
    assert "Take a --generator that follows instructions, or a larger --omega, in another" in said
    done("multicsr", "one", until="kept", generator="other", scoring="text", stages="1,3")
    done("multicsr", "two", until="kept", omega=1.5)


@pytest.mark.parametrize("half", [False, True])
def test_blanks_end_with_another_generator_or_more_tokens(refused, done, monkeypatch, half):
    def make(premise, denied, omega, room):
        return "a dog" if room > 6 or (half and denied) else " "

    answers(monkeypatch, make)
    said = refused("multicsr")
    assert ("one of its two texts is blank" if half else "nothing but blanks") in said
    assert "take another --generator or a larger --max-new-tokens, in another folder" in said
    done("multicsr", "one", until="kept", generator="other", scoring="text", stages="1,3")
    done("multicsr", "two", until="kept", max_new_tokens=7)


def test_fewer_premises_than_a_batch(refused, done, tmp_path):
    few, one = tmp_path / "few.txt", tmp_path / "one.txt"
    few.write_text("\n".join(SENTENCES[:12]))
    one.write_text(SENTENCES[0])
    said = refused("multicsr", premises=few, batch_size=None)
    number = re.search(r"--sentences (\d+) makes the batch fit, --batch-size sets it", said)[1]
    done("multicsr", "one", premises=few, batch_size=None, sentences=number)
    done("multicsr", "two", premises=few, batch_size=number)
    said = refused("multicsr", "three", premises=one)
    assert said.endswith("give more sentences") and "--sentences" not in said
    done("multicsr", "three", premises=few)


def test_fewer_kept_than_a_batch_start_from_more_premises(refused, done, tmp_path):
    few = tmp_path / "few.txt"
    few.write_text("\n".join(SENTENCES[:14]))
    options = dict(gamma=0, batch_size=14)
    said = refused("multicsr", premises=few, **options)
    assert "start from more premises in another folder" in said
    done("multicsr", "more", **options)


def test_a_judge_that_writes_no_numbers_and_another_generator(refused, done, monkeypatch):
    real = judging.score_similarity

    def silent(model, tokenizer, pairs, **more):
        known = model.config.vocab_size == len(tiny_models.SPECIAL + tiny_models.WORDS + SCORES)
        scores = real(model, tokenizer, pairs, **more) if known else [None] * len(pairs)
        return scores

    monkeypatch.setattr(judging, "score_similarity", silent)
    said = refused("multicsr", generator="other", scoring="text")
    assert "take --scoring expected in the same folder, or another --generator in another" in said
    done("multicsr", "another", until="kept")


def test_a_judge_that_keeps_nothing_and_a_better_one(refused, done, monkeypatch):
    real = judging.score_similarity

    def score(model, tokenizer, pairs, **more):
        better = model.config.vocab_size != len(tiny_models.SPECIAL + tiny_models.WORDS + SCORES)
        if not better:
            return real(model, tokenizer, pairs, **more)
        half = len(pairs) // 2  # the positives, then the negatives
        return [5.0] * half + [0.0] * (len(pairs) - half)

    monkeypatch.setattr(judging, "score_similarity", score)
    said = refused("multicsr", until="kept", gamma=5)
    assert "or take a --generator that judges better, in another" in said
    done("multicsr", "better", until="kept", gamma=5, generator="other", scoring="text", beta=5)


def test_scores_as_words_where_there_are_no_tokens_for_them(refused, done, monkeypatch):
    said = refused("multicsr", generator="other")
    assert "no single tokens for the scores" in said and "--scoring text" in said
    monkeypatch.setattr(judging, "parse_score", lambda *a, **k: 4.0)
    done("multicsr", until="kept", generator="other", scoring="text")  # the same folder


def test_one_of_two_options(refused, done, tmp_path):
    rows = [dict(anchor=a, positive=b, negative=c, a=4, b=1)
            for a, b, c in zip(SENTENCES, SENTENCES[1:], SENTENCES[2:], strict=False)]  # fmt: skip
    file = tmp_path / "t.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    said = refused("multicsr", no_logits=file)
    assert "give premises to write from or a file with triplets, not both" in said
    done("multicsr", "one", no_logits=file, premises=None, until="kept")
    done("multicsr", "two", until="kept")
    assert "give epochs or max_steps, not both" in refused("multicsr", epochs=1)
    done("multicsr", "three", "--dry-run", epochs=1, max_steps=None)
    done("multicsr", "three", "--dry-run")
    assert "supervised training or demonstrations: ask for one" in refused("multicsr", nli=file)
    done("multicsr", "four", "--dry-run", "--supervised", nli=file)
    done("multicsr", "four", "--dry-run", nli=file, demonstrations=1)


def test_an_examination_that_cannot_be_had_by_name(refused, done, monkeypatch):
    monkeypatch.setattr(tiers, "STS_B", dataclasses.replace(tiers.STS_B, name="nobody/nothing"))
    assert examination.GIVE_DATA in refused("multicsr", data=None, until="trained")
    done("multicsr", until="trained")
    done("multicsr", "kept", data=None, until="kept")  # as troubleshooting says


# ------------------------------------------------------------------ ranking
def test_more_clusters_than_sentences(refused, done, tmp_path):
    few = tmp_path / "few.txt"
    few.write_text("\n".join(SENTENCES[:6]))
    plain = dict(clusters=None, anchors=None, until="written")
    said = refused("ranking", premises=few, **plain)
    number = re.search(r"--sentences (\d+) makes them fit", said)[1]
    assert number == "6" and "fewer clusters (--clusters) or anchors (--anchors)" in said
    done("ranking", "one", premises=few, **plain | dict(sentences=number))
    done("ranking", "two", premises=few, **plain | dict(clusters=3))
    done("ranking", "three", premises=few, **plain | dict(anchors=3))
    done("ranking", "four", **plain | dict(clusters=7))  # more sentences


def test_sentences_too_long_for_the_clusters(refused, done, tmp_path):
    long = tmp_path / "long.txt"
    long.write_text("\n".join([*SENTENCES[:5], *(" ".join([s] * 9) for s in SENTENCES[5:20])]))
    options = dict(generator="llama", premises=long, until="written", anchors=6, clusters=6)
    said = refused("ranking", **options)
    assert "give shorter sentences, or lower --max-new-tokens or --clusters" in said
    done("ranking", "one", **options | dict(premises="premises.txt"))
    done("ranking", "two", **options | dict(clusters=2))
    room = dict(max_new_tokens=40, clusters=4, anchors=4)
    assert "lower --max-new-tokens" in refused("ranking", "three", **options | room)
    done("ranking", "three", **options | room | dict(max_new_tokens=6))  # nothing was made there


def test_fewer_lists_than_a_step(refused, done):
    said = refused("ranking", "new", "--dry-run", lists_per_step=13)
    assert "lower --lists-per-step, or start from more --anchors" in said
    done("ranking", "new", "--dry-run", lists_per_step=12)
    done("ranking", "new", "--dry-run", lists_per_step=13, anchors=13)
    few = dict(anchors=4, lists_per_step=4, steps=12, max_new_tokens=2)
    code_said = refused("ranking", lists_per_step=13)
    assert "start from more --anchors in another" in code_said
    done("ranking", "more", lists_per_step=13, anchors=30)
    assert few


def test_lists_and_their_anchors_are_one_of_two(refused, done, tmp_path):
    file = tmp_path / "lists.jsonl"
    rows = [dict(anchor=SENTENCES[i], sentences=SENTENCES[i + 1 : i + 4]) for i in range(8)]
    file.write_text("\n".join(map(json.dumps, rows)))
    said = refused("ranking", lists=file, anchors=None)
    assert "give premises to start lists from or a file with lists, not both" in said
    done("ranking", "one", lists=file, anchors=None, premises=None, until="kept")
    done("ranking", "two", until="kept")


def test_lists_of_a_step_for_each_process(refused, done, monkeypatch):
    class Two(shards.Processes):
        def wait(self):
            pass

    done("ranking", until="kept")  # the other process has done its share before
    monkeypatch.setattr(shards, "processes", lambda: Two(0, 2))
    said = refused("ranking", lists_per_step=1)
    each = re.search(r"take --lists-per-step (\d+)$", said)[1]
    done("ranking", lists_per_step=each, until="trained")


def test_lists_that_are_dropped_and_what_the_book_says_of_them(refused, done, monkeypatch):
    """As troubleshooting has it: incomplete → fewer --steps, a tail that loops → --temperature."""
    real = ranking.write

    def early(generator, anchors, method, *, steps, temperature=0, **more):
        lists = real(generator, anchors, method, steps=steps, temperature=temperature, **more)
        if not temperature:
            return [[row[0], *["a dog"] * steps] for row in lists]
        return [row[:4] for row in lists]

    monkeypatch.setattr(ranking, "write", early)
    assert "incomplete" in refused("ranking", steps=5)
    done("ranking", "shorter", steps=3, until="kept")
    assert "degenerate tail" in refused("ranking", "greedy", temperature=0)
    done("ranking", "sampled", temperature=2, until="kept")


# ------------------------------------------------------------------ art
def test_fewer_sentences_than_rounds(refused, done):
    said = refused("art", sentences=2, rounds=3, until=0, anchors=None)
    rounds = re.search(r"--rounds (\d+)$", said)[1]
    done("art", sentences=2, rounds=rounds, until=0, anchors=None, encoder_batch_size=1)


def test_fewer_sentences_than_anchors(refused, done, tmp_path):
    few = tmp_path / "few.txt"
    few.write_text("\n".join(SENTENCES[:10]))
    options = dict(premises=few, rounds=2, until=0, anchors=None, encoder_batch_size=None)
    said = refused("art", **options)
    number = re.search(r"--sentences (\d+) makes all fit; or give more, or lower --anch", said)[1]
    done("art", "one", **options | dict(sentences=number))
    options |= dict(encoder_batch_size=2)
    done("art", "two", **options | dict(anchors=5))
    said = refused("art", "three", **options | dict(anchors=8))
    assert "or lower --anchors or --rounds" in said
    done("art", "three", **options | dict(anchors=8, rounds=1))
    done("art", "four", **options | dict(anchors=8, premises="premises.txt"))  # more sentences


def test_fewer_anchors_than_a_batch(refused, done):
    said = refused("art", encoder_batch_size=13, until=0)
    assert "lower --encoder-batch-size, or take more --anchors" in said
    done("art", "one", encoder_batch_size=12, until=0)
    done("art", "two", encoder_batch_size=13, anchors=13, until=0)


def test_fewer_triplets_than_a_batch_start_from_more_anchors(refused, done, tmp_path):
    said = refused("art", encoder_batch_size=12)
    kept = int(re.search(r"error: (\d+) triplets of round 1 are fewer", said)[1])
    assert 2 <= kept < 12 and "start from more --anchors in another folder" in said
    assert f"lower --encoder-batch-size to {kept} in the same folder" in said
    done("art", encoder_batch_size=kept)
    done("art", "more", encoder_batch_size=kept + 1, anchors=36)


@pytest.fixture
def harsh(monkeypatch):
    """An NLI model that believes nobody, by the name that it has in its folder."""
    real = judging.nli_probabilities
    strict = set()

    def probabilities(model, *arguments, **options):
        found = real(model, *arguments, **options)
        if model.config.name_or_path.rstrip("/").endswith("harsh") or "all" in strict:
            found = np.tile([0.0, 1.0, 0.0], (len(found), 1))
        return found

    monkeypatch.setattr(judging, "nli_probabilities", probabilities)
    return strict


def test_nothing_accepted_and_another_discriminator_or_generator(
    refused, done, here, tmp_path, monkeypatch
):
    shutil.copytree(here / "nli", tmp_path / "harsh")
    real = art.judge

    def judge(table, discriminator, *more, **options):
        judged = real(table, discriminator, *more, **options)
        where = discriminator[0].config.name_or_path
        dull = bool((table["text"].str.len() < 2).all())
        return judged.assign(accepted=False) if "harsh" in where or dull else judged

    monkeypatch.setattr(art, "judge", judge)
    said = refused("art", discriminator=tmp_path / "harsh")
    assert "take another --generator or --discriminator, in another folder" in said
    done("art", "gentle")
    write = art.write
    monkeypatch.setattr(
        art, "write", lambda generator, *a, **k: write(generator, *a, **k).assign(text="a")
        if generator[0].config.model_type == "llama" else write(generator, *a, **k),
    )  # fmt: skip
    assert "another --generator" in refused("art", "dull")
    done("art", "bright", generator="other")


def test_bounds_that_the_rule_cannot_choose(refused, done, here, tmp_path, monkeypatch):
    judge, choose = art.judge, art.choose_bounds

    def accepting(p):
        return lambda table, *a, **k: judge(table, *a, **k).assign(p=p)

    def of_many(generator, anchors, *a, **k):  # answers to few sentences are not accepted
        with monkeypatch.context() as patch:
            patch.setattr(art, "judge", accepting(0.9 if len(anchors) >= 30 else 0.1))
            return choose(generator, anchors, *a, **k)

    monkeypatch.setattr(art, "judge", accepting(0.9))
    monkeypatch.setattr(art, "choose_bounds", of_many)
    names = ("lower_bound", "positive_bound", "negative_bound")
    given = tiers.get("pocket").art
    assert all(getattr(given, name) is None for name in names)  # so the rule chooses
    rule = dict.fromkeys(names) | dict(tier="pocket")
    said = refused("art", **rule, sentences=24)
    assert "look at more outputs, or give the bounds (--lower-bound, --positive-bound" in said
    assert said.endswith("or take another --generator or --discriminator, in another folder")
    done("art", "given", tier="pocket", sentences=24)
    done("art", "more", **rule, ppo_steps=8)


def test_a_generator_that_only_copies_or_says_nothing(refused, done, monkeypatch):
    real = art.write

    def write(generator, anchors, *, max_new_tokens, **more):
        table = real(generator, anchors, max_new_tokens=max_new_tokens, **more)
        if generator[0].config.model_type != "llama" or max_new_tokens > 5:
            return table
        return table.assign(text=table["anchor"] if copying else "")

    monkeypatch.setattr(art, "write", write)
    for copying in (True, False):
        said = refused("art", f"bad{copying}")
        assert "take one that follows instructions" in said and said.endswith("in another folder")
        assert ("larger max_new_tokens" in said) != copying
        done("art", f"other{copying}", generator="other")
    done("art", "longer", max_new_tokens=8)


def test_all_sentences_too_long_for_a_trial(refused, done, tmp_path):
    long = tmp_path / "long.txt"
    long.write_text("\n".join(" ".join([s] * 20) for s in SENTENCES))
    said = refused("art", "run", "--dry-run", premises=long)
    assert said.endswith("give shorter ones")
    assert "estimate" in done("art", "run", "--dry-run")


def test_layers_that_the_message_names(refused, done, tmp_path):
    said = refused("art", targets="qkv_proj")
    named = re.search(r"give names among (\w+), (\w+)", said)
    assert "or all-linear (on the command line --targets)" in said
    done("art", "one", "--targets", *named.groups())
    done("art", "two", targets="all-linear")
    # peft holds their names in a set, whose order follows the process' hash seed
    saved = (tmp_path / "two" / "round-1" / "adapter" / "adapter_config.json").read_text()
    layers = json.loads(saved)["target_modules"]
    assert len(layers) > 5 and layers == sorted(layers)


def test_a_policy_that_goes_away_stays_with_a_larger_kl_or_a_smaller_rate(here):
    def dogs(completions, **_):
        return [float("dog" in text) for text in completions]

    def tune(**options):
        torch.manual_seed(1)
        policy = ppo.Policy(*models.load_generator(here / "llama", device="cpu"), r=4, alpha=8)
        tasks = [{"prompt": s, "anchor": s, "kind": "positive"} for s in SENTENCES[:4]]
        chosen = dict(kl=0.0, learning_rate=0.1, kl_limit=0.2, steps=6, batch_size=4) | options
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            log = ppo.train(
                policy, tasks, [dogs], [1.0],
                mini_batch_size=4, max_new_tokens=4, progress=False, seed=0, **chosen,
            )  # fmt: skip
        return len(log), [str(one.message) for one in caught if "stopped at" in str(one.message)]

    steps, (said,) = tune()
    assert steps < 6 and "raise kl or lower learning_rate" in said
    assert tune(learning_rate=1e-5) == (6, [])
    assert tune(kl=1e3, learning_rate=1e-3)[1] == []


# ------------------------------------------------------------------ a run's folder and machine
def test_a_folder_that_will_not_do_and_another_one(refused, done, tmp_path, monkeypatch):
    """Give another folder, and what else each message offers."""
    step = dict(until="written")
    done("multicsr", "run", **step)
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "file").write_text("x")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    shutil.copytree(tmp_path / "run", tmp_path / "damaged")
    (tmp_path / "damaged" / "run.json").write_text("{")
    cases = [
        ("link", {}, "give another folder"),
        ("file/below", {}, "give another folder"),
        ("mine", {}, "give a new or an empty folder"),
        ("damaged", {}, "is damaged: give another folder"),
        ("run", dict(omega=0.4), "give another folder, or delete this one"),
    ]
    for out, change, words in cases:
        assert words in refused("multicsr", out, **step | change)
    done("multicsr", "another", **step, omega=0.4)
    shutil.rmtree(tmp_path / "run")
    done("multicsr", "run", **step, omega=0.4)
    (tmp_path / "empty").mkdir()
    done("multicsr", "empty", **step)
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *a: False)
        assert "give another folder than" in refused("multicsr", "closed/run", **step)
    done("multicsr", "open/run", **step)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", raising(OSError(5, 'I/O error')))
        with pytest.raises(OSError, match="cannot be made .I/O error.: give another"):
            shards.open_run(tmp_path / "ill", {}).__enter__()
    with shards.open_run(tmp_path / "well", {}):
        pass


def test_a_folder_in_use_after_a_while_and_another_one(tmp_path):
    with shards.open_run(tmp_path / "a", {}):
        with pytest.raises(ValueError, match="wait for it, or give another folder"):
            shards.open_run(tmp_path / "a", {}).__enter__()
        with shards.open_run(tmp_path / "b", {}):
            pass
    with shards.open_run(tmp_path / "a", {}):
        pass


def test_a_shard_that_is_gone_is_made_by_the_same_command(tmp_path, monkeypatch):
    def make(start, stop):
        return pd.DataFrame({"x": range(start, stop)})

    def work():
        return shards.rows(tmp_path / "step", 6, make, size=2, progress=False)

    with monkeypatch.context() as patch:
        patch.setattr(shards, "write_bytes", lambda path, content: None)
        with pytest.raises(OSError, match="shard 0 cannot be read back; run the command again"):
            work()
    assert work()["x"].tolist() == list(range(6))


@pytest.mark.parametrize("method", OPTIONS)
def test_texts_without_control_tokens(refused, done, here, tmp_path, method):
    """A tokenizer that reads </s> as the end of a text however it is spelled."""
    folder = shutil.copytree(here / OPTIONS[method]["generator"], tmp_path / "generator")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"]["/s>"] = tokenizer["model"]["vocab"]["</s>"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    mine, some = tmp_path / "mine.txt", SENTENCES[:24]
    mine.write_text("\n".join(text.replace(" ", " </s> ", 1) for text in some))
    said = refused(method, premises=mine, generator=folder)
    assert "spells </s>, which" in said and "take it out of the text" in said
    mine.write_text("\n".join(some))
    done(method, "again", premises=mine, generator=folder)


def test_a_guide_that_does_not_pool_and_one_that_was_saved_with_it(refused, done, here, tmp_path):
    said = refused("multicsr", guide="bert", until="kept")
    assert "take an encoder that was saved with its pooling" in said
    with models.quiet():
        models.load_encoder(here / "bert", pooling="mean").save_pretrained(str(tmp_path / "saved"))
    done("multicsr", guide=tmp_path / "saved", until="kept")


def test_a_plain_encoder_and_its_pooling(refused, done, monkeypatch, here):
    said = refused("ranking", base="bert", until="written")
    for pooling in ("mean", "cls"):
        assert f"--pooling {pooling}" in said
        done("ranking", pooling, base="bert", until="written", pooling=pooling)
        models.load_encoder("bert", pooling=pooling)
    with pytest.raises(ValueError, match="was trained with pooling='mean'.*Leave pooling out"):
        models.load_encoder("encoder", pooling="cls")
    models.load_encoder("encoder")


def test_memory_that_two_processes_lack(refused, done, tmp_path, monkeypatch):
    class Two(shards.Processes):
        def wait(self):
            pass

    real = multicsr.train

    def train(encoder, rows, settings, **more):
        if settings.batch_size > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(encoder, rows, settings, **more)

    monkeypatch.setattr(multicsr, "train", train)
    monkeypatch.setattr(shards, "processes", lambda: Two(0, 2))
    said = refused("multicsr", batch_size=8, until="trained")
    assert "lower --batch-size in the same folder, or give the same command to one process" in said
    written = sorted((tmp_path / "run" / "written").iterdir())
    shutil.copytree(tmp_path / "run", tmp_path / "alone")
    done("multicsr", batch_size=4, until="trained")
    assert sorted((tmp_path / "run" / "written").iterdir()) == written
    monkeypatch.setattr(multicsr, "train", real)  # alone it is halved, as `memory` tests
    monkeypatch.setattr(shards, "processes", shards.Processes)
    done("multicsr", "alone", batch_size=8, until="trained")


def test_a_model_that_knows_the_words(here):
    def noted(name):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            frame.note_unknown_words(SENTENCES, set(), name, models.load_generator(name)[1])
        return [str(one.message) for one in caught]

    (said,) = noted("pocket/generator-t5") or ["none"]
    if said != "none":
        assert "take a model that does (--generator, --encoder, or --tier)" in said
    strange = ["quantum chromodynamics perturbs lattices"] * 8
    with pytest.warns(UserWarning, match="take a model that does"):
        held = models.load_generator(here / "t5")[1]
        frame.note_unknown_words(strange, set(), "t5", held)
    assert noted(here / "t5") == []


@pytest.mark.parametrize(
    "how", ["cut", "other shapes", "other's tokenizer", "tokenizer", "NaN", "one infinite"]
)
@pytest.mark.parametrize(
    ("method", "role"),
    [(method, role) for method, options in OPTIONS.items() for role in ROLES if role in options],
)
def test_a_model_that_cannot_be_loaded_leaves_no_folder(
    refused, here, tmp_path, method, role, how
):
    folder = shutil.copytree(here / OPTIONS[method][role], tmp_path / "models" / "bad")
    damage(folder, how)
    said = refused(method, "new/run", **{role: folder})
    assert "bad" in said and not (tmp_path / "new").exists()


# ------------------------------------------------------------------ the command line's own
def out_of_room(number, words):
    return OSError(number, os.strerror(number), "runs/x"), words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        out_of_room(errno.ENOSPC, "make room, and give the same command again"),
        out_of_room(errno.EDQUOT, "make room, and give the same command again"),
        out_of_room(errno.EFBIG, "raise the limit of a file's size (ulimit -f), and give the same"),
        out_of_room(errno.EACCES, "a place that you may write to, or a file that you may read"),
        out_of_room(errno.EPERM, "a place that you may write to, or a file that you may read"),
        out_of_room(errno.EROFS, "give a place that can be written to"),
    ],
)
def test_what_the_system_refused_once_goes_on(refused, done, monkeypatch, error, words):
    real = data.write_bytes

    def write(path, content):
        if "run" in Path(path).parts:
            raise error
        real(path, content)

    with monkeypatch.context() as patch:
        for module in (data, shards):
            patch.setattr(module, "write_bytes", write)
        assert words in refused("multicsr", until="written")
    done("multicsr", "elsewhere", until="written")
    done("multicsr", until="written")


def test_paths_that_the_system_refuses_and_another_path(capsys, here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("x")
    (tmp_path / "loop").symlink_to("loop")
    for path, words in [
        ("file/x.csv", "does not exist; make it"),
        ("loop/x.csv", "make it|give another path"),
        ("x" * 300 + ".csv", "give a shorter one"),
        (".", "is a folder; the name of a CSV file is wanted"),
        ("new/x.csv", "the folder new does not exist; make it"),
    ]:
        argv = ["evaluate", "--encoder", str(here / "encoder"), "--data", str(here / "data"),
                "--quiet", "--out"]  # fmt: skip
        assert main([*argv, path]) == 2
        assert re.search(words, capsys.readouterr().err), path
    (tmp_path / "new").mkdir()
    for path in ("new/x.csv", "shorter.csv"):
        assert main([*argv, path]) == 0 and (tmp_path / path).is_file()
    for number, words in [(errno.ENOTDIR, "give another path"), (errno.ELOOP, "give another path")]:
        error = OSError(number, os.strerror(number), "runs/x")
        with monkeypatch.context() as patch:
            patch.setattr(models, "load_encoder", raising(error))
            assert main([*argv, "x.csv"]) == 2 and words in capsys.readouterr().err


def test_evaluate_with_what_its_messages_name(capsys, here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(examination, "is_pocket", of_the_pocket_world)
    plain = ["evaluate", "--encoder", str(here / "encoder"), "--quiet"]
    given = [*plain, "--data", str(here / "data"), "--tasks", "STS12"]

    def said(*argv):
        assert main([*map(str, argv)]) == 2
        return capsys.readouterr().err

    def good(*argv):
        assert main([*map(str, argv)]) == 0, capsys.readouterr().err
        capsys.readouterr()

    assert "--batch-size must be at least 1" in said(*given, "--batch-size", 0)
    good(*given, "--batch-size", 1)
    assert "give --rerank FILE" in said(*given, "--rerank")
    good(*given, "--rerank", here / "rerank.csv")
    natural = said(*plain, "--tasks", "natural")
    assert "is a set of the pocket world" in natural and "give --data FOLDER" in natural
    assert "--tasks STS13 is not to be had by name" in said(*plain, "--tasks", "STS13")
    assert "--transfer is not to be had by name" in said(*plain, "--transfer")
    monkeypatch.setattr(tiers, "STS_B", dataclasses.replace(tiers.STS_B, name="nobody/nothing"))
    assert "give --data FOLDER" in said(*plain)
    good(*given)
    pocket = ["evaluate", "--encoder", "pocket/simcse-sup-bert", "--quiet", "--tasks"]
    names = said(*pocket, "STS12").partition("choose from ")[2].split()
    assert names[:2] == ["natural,", "hard,"]
    unknown = said(*given[:-1], "STS99")
    assert "unknown task STS99; choose from STS12" in unknown
    nested = said(*plain, "--data", here / "data" / "STS")
    good(*plain, "--data", re.search(r", (\S+) does: give that folder", nested)[1])
    for wrong, message in [
        (dict(tasks=[]), "no task given; choose from STS12"),
        (dict(tasks=["STS12"], split="train"), "unknown split 'train'; choose from test"),
    ]:
        with pytest.raises(ValueError, match=message):
            evaluation.evaluate_sts(None, here / "data", **wrong)
    encode = models.load_encoder(here / "encoder", device="cpu").encode
    assert len(evaluation.evaluate_sts(encode, here / "data", tasks=["STS12"], split="test")) == 1


def test_a_batch_that_memory_lacks_and_a_smaller_one(capsys, here, tmp_path, monkeypatch):
    """On the command line, and of what `memory` halves: even one text does not fit."""
    monkeypatch.chdir(tmp_path)
    real = models.load_encoder

    def load(*a, **k):
        encoder = real(*a, **k)
        encode = encoder.encode

        def hungry(texts, *, batch_size, **more):
            if batch_size > 8:
                raise RuntimeError("CUDA out of memory. Tried to allocate")
            return encode(texts, batch_size=batch_size, **more)

        encoder.encode = hungry
        return encoder

    monkeypatch.setattr(models, "load_encoder", load)
    argv = ["evaluate", "--encoder", str(here / "encoder"), "--data", str(here / "data"), "--quiet"]
    assert main(argv) == 2
    assert "lower --batch-size or take --device cpu" in capsys.readouterr().err
    assert main([*argv, "--batch-size", "8", "--device", "cpu"]) == 0

    def work(length):
        def one(size):
            if length > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return size

        return one

    with pytest.raises(memory.OutOfMemory, match="even with 1 of the texts.*shorter texts"):
        memory.fitting(work(4), 1, "texts")
    assert memory.fitting(work(3), 1, "texts") == (1, 1)


def test_names_and_arguments(capsys, refused, done, here, tmp_path, monkeypatch):
    with pytest.raises(SystemExit):
        main(["evalute"])
    said = capsys.readouterr().err
    command = re.search(r"\((python -m synthlib --help) shows all\)", said)[1]
    shown = subprocess.run([sys.executable, *command.split()[1:]], capture_output=True, text=True)
    assert shown.returncode == 0 and "evaluate" in shown.stdout
    with pytest.raises(SystemExit):
        main(["run", "art"])
    assert "(python -m synthlib run art --help shows all)" in capsys.readouterr().err
    with pytest.raises(SystemExit) as left:
        main(["run", "art", "--help"])
    assert left.value.code == 0 and "--generation-batch" in capsys.readouterr().out  # batch sizes
    said = refused("multicsr", premises="caf\udce9.txt")
    assert said.endswith("is not UTF-8 text: rename that file")
    shutil.copy(here / "premises.txt", tmp_path / "café.txt")
    done("multicsr", premises=tmp_path / "café.txt", until="written")
    assert "leave the option out, or give a value" in refused("multicsr", "a", column=" ")
    done("multicsr", "a", until="written")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    for wrong, words in [
        ("https://x.org/p.txt", "download what is there, and give the file or folder"),
        ("~no.such.user/p.txt", "write it out, or put ./ before a name that begins so"),
    ]:
        with pytest.raises(SystemExit):
            main(["run", "multicsr", "--out", "x", f"--premises={wrong}"])
        assert words in capsys.readouterr().err
    shutil.copy(here / "premises.txt", tmp_path / "p.txt")
    done("multicsr", "b", premises=tmp_path / "p.txt", until="written")
    odd = tmp_path / "~no.such.user"
    odd.mkdir()
    shutil.copy(here / "premises.txt", odd / "p.txt")
    for name in ("t5", "bert", "encoder"):
        (tmp_path / name).symlink_to(here / name)
    monkeypatch.chdir(tmp_path)
    argv = ["run", "multicsr", "--out", "odd", "--premises=./~no.such.user/p.txt", "--quiet"]
    models_ = ["--generator", "t5", "--encoder", "bert", "--guide", "encoder", "--pooling", "mean"]
    assert main([*argv, *models_, "--sentences", "20", "--until", "written"]) == 0


# ------------------------------------------------------------------ the table
#: Test → module → pieces of the messages that it follows. A test of another file than this one
#: and `test_remedies_of_parts` has its file's name before it.
TABLE = {
    "test_mteb.test_a_pocket_encoder_without_mteb": {
        "__main__.py": ["a pocket encoder knows its own 600 words: leave it out"],
    },
    "test_mteb.test_data_that_cannot_be_had_and_files_in_their_place": {
        "evaluation/through_mteb.py": ["give --data FOLDER, SentEval's files, in place of --mteb"],
    },
    "test_mteb.test_without_mteb_the_remedy_is_named": {
        "evaluation/through_mteb.py": ["pip install 'synthlib[mteb]'"],
    },
    "test_ray_engine.test_without_ray_one_line_names_the_extra": {
        "runs/ray_engine.py": ["pip install 'synthlib[scale]', or leave --engine out"],
    },
    "test_ray_engine.test_what_ray_says_at_its_start_is_one_line": {
        "runs/ray_engine.py": [
            "no Ray cluster is found at {}", "another version than this process",
            "Ray has not started on this machine",
        ],
    },
    "test_ray_engine.test_shards_are_the_same_when_a_process_dies_and_machines_come_and_go": {
        "runs/ray_engine.py": ["Ray has given up", "lost a process"],
    },
    "test_ray_engine.test_under_torchrun_ray_is_refused": {
        "runs/ray_engine.py": ["give the command without torchrun"],
    },
    "test_ray_engine.test_an_address_that_nobody_answers": {
        "runs/ray_engine.py": ["no Ray cluster answers at {} ({}): start one"],
    },
    "test_ray_engine.test_a_machine_that_differs_is_named": {
        "runs/ray_engine.py": ["install the same versions on every machine"],
        "runs/named.py": ["there is {} at {}: put the same files there"],
    },
    "test_ray_engine.test_what_does_not_go_with_ray_is_refused": {
        "runs/plans.py": ["give --engine ray too", "leave --engine out; --parallel"],
    },
    "test_card.test_a_card_says_what_is_wrong_and_overwrites_none": {
        "reporting/card.py": ["move it, or give another --out", "give the run's own command again"],
    },
    "test_push.test_options_of_a_push_want_one": {
        "reporting/card.py": ["--out or --push is wanted", "belong to --push"],
    },
    "test_push.test_a_card_that_was_filled_in_goes_out_as_it_is": {
        "reporting/card.py": ["Nothing was sent: give --yes too", "or leave --out out"],
    },
    "test_push.test_an_encoder_that_pools_by_a_prompt_says_how_it_is_loaded": {
        "reporting/card.py": ["load it with `synthlib.models.load_encoder`"],
    },
    "test_push.test_a_name_that_the_hub_does_not_allow": {
        "reporting/hub.py": ["--push wants NAMESPACE/NAME"],
    },
    "test_push.test_no_token": {
        "reporting/hub.py": ["there is no token for the Hub"],
    },
    "test_push.test_what_the_hub_refuses_is_a_line_and_the_same_command_goes_on": {
        "reporting/hub.py": [
            "the Hub does not know the token", "the token may not write to {}", "the Hub refuses",
        ],
    },
    "test_push.test_no_network_is_one_line_at_once": {
        "reporting/hub.py": ["cannot be reached ({}: {}): go online"],
    },
    "test_push.test_a_card_that_the_hub_does_not_take": {
        "reporting/hub.py": ["the Hub does not take the card"],
    },
    "test_push.test_a_repository_with_other_files_is_written_over_by_a_word_alone": {
        "reporting/hub.py": ["holds other files ({}): give another name"],
    },
    "test_push.test_what_shall_be_private_does_not_go_where_all_can_read": {
        "reporting/hub.py": ["is there already and public: make it private"],
    },
    "test_push.test_no_encoder_yet_and_one_without_weights": {
        "reporting/outgoing.py": ["holds no weights (model.safetensors): put them there again"],
    },
    "test_st_losses.test_info_nce_says_what_is_wrong": {
        "st_losses.py": ["choose them with select_columns"],
    },
    "test_grading.test_what_a_message_names_works": {
        "grading/__init__.py": [
            "there is no folder {}: give the one", "holds no notebook (.ipynb)",
            "ends in neither .csv nor .json", "the folder {} does not exist; make it",
            "there is no chapter {}: choose from", "a folder and --out are wanted",
        ],
        "grading/handouts.py": ["with --notebooks"],
        "grading/results.py": ["does not begin with exercise,points", "there is no exercise {}"],
    },
    "test_otter.test_editions_that_do_not_belong_together_are_refused": {
        "grading/otter.py": ["different numbers of cells: run `make notebooks`"],
    },
    "test_otter.test_one_chapter_by_the_command_and_none_that_there_is_not": {
        "grading/otter.py": ["there is no chapter {}: choose from"],
    },
    "test_grading.test_what_pip_installs_runs_notebooks": {
        "grading/__init__.py": ["pip install ipykernel nbclient"],
    },
    "test_grading.test_checks_that_change_on_disk_end_it": {
        "grading/__init__.py": ["start again with --again"],
    },
    "test_weights.test_what_a_message_names_brings_the_model": {
        "weights.py": [
            "came damaged: give the same", "`--source hub` takes", "without --source the package"
        ],
    },
    "test_discriminator.test_a_loss_that_is_no_number_is_said": {
        "discriminator.py": ["lower the learning rate"],
    },
    "test_what_preflight_names_and_how_it_ends": {
        "__init__.py": [
            "{} is not installed: pip install {}", "tier needs a GPU",
            ", or set SYNTHLIB_TIER=pocket", "GB of memory are free", "HF_HUB_OFFLINE is set",
            "GB of disk are free",
        ],
    },
    "test_pocket_weights_that_git_or_make_brings_back": {
        "__init__.py": ["pocket models missing"],
        "models.py": ["`make pocket` trains them"],
        "trials.py": ["`git checkout -- data/pocket`"],
    },
    "test_what_pip_installs_is_no_problem_any_more": {
        "__init__.py": ["{} is not installed: pip install '{}'", "{} is {}: pip install '{}'"],
    },
    "test_names_and_arguments": {
        "__main__.py": [
            "a batch size (--help names them)", "error: there is no {}",
            "is not UTF-8 text: rename that file", "is empty: leave the option out",
        ],
        "commands.py": [
            "error: {} ({} --help shows all)", "is an address: download what is there",
            "begins with ~, and no home folder",
        ],
    },
    "test_a_batch_that_memory_lacks_and_a_smaller_one": {
        "__main__.py": ["error: out of memory; lower {}"],
        "memory.py": ["even with 1 of the"],
    },
    "test_what_the_system_refused_once_goes_on": {
        "__main__.py": [
            "make room, and give the same", "give a place that you may write to",
            "give a place that can be written to", "raise the limit of a file's size",
        ],
    },
    "test_paths_that_the_system_refuses_and_another_path": {
        "__main__.py": [
            "a part of it is a file", "its links lead in a circle", "give a shorter one",
            "--out {} is a folder", "--out {}: the folder {} does",
        ],
    },
    "test_evaluate_with_what_its_messages_name": {
        "__main__.py": [
            "--batch-size must be at least 1", "--rerank without a file",
            "unknown task {}: without --data", "--tasks {} is a set of the pocket world",
            "--tasks {}",
        ],
        "evaluation/examination.py": ["the rest with --data"],
        "evaluation/files.py": [
            "does: give that folder", "no task given; choose from",
            "unknown task {}; choose from",
        ],
        "evaluation/sts.py": ["unknown {} {}; choose from"],
    },
    "test_folders_of_texts": {
        "data.py": [
            "does not exist; make it", "files of several formats",
            "give the folder of the texts, or one file",
        ],
    },
    "test_columns_that_are_there_twice_or_are_several": {
        "data.py": ["is there twice; rename one"],
        "reading.py": ["is there twice; rename one", "twice; rename one", "(--column NAME)"],
    },
    "test_multicsr_recipe.test_a_full_disk_ends_in_one_line_and_loses_nothing": {
        "paths.py": ["the disk is full"],
        "runs/frame.py": ["the disk is full"],
    },
    "test_a_data_set_that_cannot_be_had": {
        "data.py": ["give the pairs in a folder", "or take the pocket tier"],
    },
    "test_clusters_of_embeddings": {
        "data.py": ["clusters are more than"],
        "methods/ranking.py": ["clusters are more than"],
    },
    "test_prompt_forms.test_a_template_that_refuses_and_another_form": {
        "chats.py": ["template refuses a question"],
    },
    "test_prompt_forms.test_scores_that_cannot_be_spelled_and_their_text": {
        "judging.py": ["cannot spell the scores"],
    },
    "test_reporting.test_what_a_message_names_works": {
        "reporting/__init__.py": ["is a folder: give the name of a file"],
        "runs/folder.py": [
            "there is no run {}: give", "is a file: give the folder", "give the folder that --out",
            "or delete it first",
        ],
    },
    "test_status.test_the_version_that_a_message_names_reads_the_run": {
        "runs/folder.py": ["and this is {}: install that one"],
    },
    "test_reporting.test_the_command_that_is_named_makes_the_same_run": {
        "reporting/__init__.py": ["(with another --out)"],
    },
    "test_reporting.test_other_texts_by_the_options_that_the_page_names": {
        "reporting/__init__.py": ["--sample and --seed show others"],
    },
    "test_decoding_as_its_messages_say": {
        "decoding.py": [
            "logits are not numbers", "names no decoder_start_token_id",
            "give one int, or one each",
        ],
    },
    "test_a_model_that_cannot_be_read_and_another": {
        "decoding.py": ["cannot be read token by token", "keeps no state that a text"],
    },
    "test_more_tokens_than_a_decoder_holds": {
        "decoding.py": ["lower max_new_tokens"],
    },
    "test_decoding.test_what_the_mixture_does_not_do_is_refused_by_name": {
        "decoding.py": ["generation_config asks for"],
    },
    "test_training_as_its_messages_say": {
        "discriminator.py": ["give epochs or max_steps"],
        "training.py": [
            "give another output_dir", "leave empty sentences out", "rename them with",
            "leave the list out", "give either epochs or",
        ],
    },
    "test_embeddings_as_their_message_says": {
        "evaluation/embedding.py": ["rows hold NaN or infinity"],
    },
    "test_an_examination_that_cannot_be_had_by_name": {
        "evaluation/examination.py": ["give --data FOLDER"],
    },
    "test_judges_as_their_messages_say": {
        "judging.py": ["NLI model's logits are not numbers"],
    },
    "test_scores_as_words_where_there_are_no_tokens_for_them": {
        "judging.py": ["no single tokens for the scores"],
    },
    "test_bounds_that_the_rule_cannot_choose": {
        "runs/art.py": ["(--lower-bound, --positive-bound and"],
    },
    "test_a_generator_that_only_copies_or_says_nothing": {
        "methods/art.py": ["the generator wrote nothing", "the generator only copies"],
    },
    "test_the_substitute_once_it_is_installed": {
        "methods/art.py": ["TRL is not installed"],
    },
    "test_other_ways_to_give_a_model": {
        "models.py": [
            "take 'cuda', 'mps' or 'cpu'", "leave device=None or 'cpu'",
            "take precision 'fp32' or 'bf16'", "give the folder of a saved model",
            "give a model folder", "is not a model name",
        ],
    },
    "test_a_plain_encoder_and_its_pooling": {
        "models.py": ["Leave pooling out", "pass the pooling that it was trained"],
    },
    "test_what_the_hub_refuses_and_what_helps": {
        "models.py": [
            "is gated", "there is no model", "go online once", "try again later",
            "or convert it on a machine",
        ],
    },
    "test_a_damaged_model_that_is_got_again": {
        "models.py": ["get it again", "get both again"],
    },
    "test_an_adapter_merged_into_its_model": {
        "models.py": ["merge_and_unload"],
    },
    "test_nli_judges.test_the_laptops_judges_by_name": {
        "models.py": ["make field-judges"],
    },
    "test_nli_judges.test_labels_beside_an_adapter": {
        "models.py": ["put the config.json of its training"],
    },
    "test_nli_judges.test_who_is_not_asked_makes_no_other_run": {
        "runs/multicsr.py": ["give --scoring nli too"],
    },
    "test_nli_judges.test_no_pair_fits_the_judge": {
        "runs/multicsr.py": ["take a --judge with a larger one"],
    },
    "test_field_judges.test_an_interrupted_training_ends_with_the_same_bytes": {
        "field/judges.py": ["delete it, or give another --out"],
    },
    "test_field_judges.test_the_command_trains_measures_and_leaves_alone_what_is_there": {
        "field/judges.py": ["--again trains it anew"],
        "field/examiner.py": ["make field-judges"],
    },
    "test_a_new_architecture_and_another_model": {
        "models.py": ["take another model"],
    },
    "test_pickled_weights_saved_again": {
        "models.py": ["save it again with save_pretrained"],
    },
    "test_a_model_too_large_and_what_makes_room": {
        "models.py": [
            "take a smaller model, free memory", ", or pass dtype='bfloat16'",
            "that is left: take a smaller model",
        ],
    },
    "test_preflight.test_a_torchao_that_peft_refuses_is_named_until_it_is_gone": {
        "models.py": ["pip uninstall -y torchao"],
    },
    "test_layers_that_the_message_names": {
        "ppo.py": ["give names among"],
    },
    "test_a_policy_that_goes_away_stays_with_a_larger_kl_or_a_smaller_rate": {
        "ppo.py": ["raise kl or lower"],
    },
    "test_a_policy_that_only_copies_and_a_smaller_rate": {
        "ppo.py": ["lower learning_rate, or raise kl"],
    },
    "test_tasks_for_ppo": {
        "ppo.py": ["give another folder, or delete it", "give at least one mapping"],
    },
    "test_a_file_of_another_format_saved_as_the_message_says": {
        "reading.py": [
            "save the sheet as CSV", "save it as CSV or text", "a PDF: save", "export the table",
            "save its texts one a line", ": unpack it", "run git lfs pull",
            "download the file itself",
        ],
    },
    "test_sources_in_memory_and_pipes": {
        "reading.py": ["write what comes from it", "give one of the splits", "a set has no order"],
    },
    "test_a_table_as_the_message_wants_it": {
        "reading.py": [
            "that can be read: save it as CSV", "name it .tsv or .csv", "put a line with names",
            "give a file with one",
        ],
    },
    "test_bounds_from_more_outputs": {
        "rewards.py": ["look at more outputs"],
    },
    "test_endpoint.test_bad_input_is_one_line_asks_nothing_and_ends_by_its_remedy": {
        "endpoint.py": ["hold no key or password: put the key"],
        "methods/served.py": ["or a --generator with weights"],
        "runs/art.py": ["is behind an API, and PPO tunes weights"],
        "runs/named.py": ["its weights are needed"],
        "runs/plans.py": ["give its name as api:NAME", "leave --form out"],
        "runs/multicsr.py": ["take --scoring expected or text"],
        "spending.py": ["give both, or none"],
    },
    "test_endpoint.test_what_a_server_refuses_and_the_same_command_once_it_does_not": {
        "endpoint.py": [
            "has no money left", "does not accept the key", "knows no model",
            "refuses all that it is asked", "look at --base-url",
        ],
    },
    "test_endpoint.test_no_logprobs_and_scores_as_text_in_the_same_folder": {
        "methods/served.py": ["take --scoring text"],
    },
    "test_endpoint.test_a_key_and_a_client": {
        "endpoint.py": ["no key for", "holds is no key", "pip install 'synthlib[api]'"],
    },
    "test_endpoint.test_one_process_asks_and_all_go_on": {
        "runs/frame.py": ["is asked by one process"],
    },
    "test_endpoint.test_a_full_disk_and_room": {
        "spending.py": ["make room"],
    },
    "test_endpoint.test_a_wrong_key_a_spent_budget_and_no_logprobs_lose_nothing": {
        "spending.py": ["with a larger --budget"],
    },
    "test_fewer_sentences_than_rounds": {
        "runs/art.py": ["sentences are fewer than {} rounds"],
    },
    "test_fewer_sentences_than_anchors": {
        "runs/art.py": ["fresh anchors need"],
    },
    "test_fewer_anchors_than_a_batch": {
        "runs/art.py": ["or take more --anchors"],
    },
    "test_nothing_accepted_and_another_discriminator_or_generator": {
        "runs/art.py": ["take another --generator"],
    },
    "test_fewer_triplets_than_a_batch_start_from_more_anchors": {
        "runs/art.py": ["lower --encoder-batch-size to", "start from more --anchors"],
    },
    "test_all_sentences_too_long_for_a_trial": {
        "runs/art.py": ["give shorter ones"],
    },
    "test_a_guide_that_does_not_pool_and_one_that_was_saved_with_it": {
        "runs/frame.py": ["saved with its pooling"],
    },
    "test_memory_that_two_processes_lack": {
        "runs/frame.py": ["or give the same command to one process"],
    },
    "test_a_model_that_knows_the_words": {
        "runs/frame.py": ["take a model that does"],
    },
    "test_one_of_two_options": {
        "runs/multicsr.py": [
            "give premises to write from", "give epochs or max_steps", "ask for one",
        ],
    },
    "test_fewer_premises_than_a_batch": {
        "runs/multicsr.py": ["--sentences {} makes the batch fit", "give more sentences"],
    },
    "test_blanks_end_with_another_generator_or_more_tokens": {
        "runs/multicsr.py": ["nothing but blanks", "is blank in all of"],
    },
    "test_repeats_end_with_another_generator_or_a_larger_omega": {
        "runs/multicsr.py": ["only repeats"],
    },
    "test_multicsr_recipe.test_what_a_message_names_works": {
        "runs/multicsr.py": ["lower --batch-size to", "loosen --alpha, --beta or"],
    },
    "test_fewer_kept_than_a_batch_start_from_more_premises": {
        "runs/multicsr.py": ["start from more premises"],
    },
    "test_a_judge_that_writes_no_numbers_and_another_generator": {
        "runs/multicsr.py": ["the judge writes no numbers"],
    },
    "test_multicsr_recipe.test_the_threshold_that_a_message_names_keeps_something": {
        "runs/multicsr.py": ["--alpha {}", "--beta {}", "--gamma {}"],
    },
    "test_a_judge_that_keeps_nothing_and_a_better_one": {
        "runs/multicsr.py": ["the best of them needs"],
    },
    "test_lists_and_their_anchors_are_one_of_two": {
        "runs/ranking.py": ["give premises to start lists from"],
    },
    "test_more_clusters_than_sentences": {
        "runs/ranking.py": ["clusters are more than"],
    },
    "test_lists_of_a_step_for_each_process": {
        "runs/ranking.py": ["cannot be shared by"],
    },
    "test_sentences_too_long_for_the_clusters": {
        "runs/ranking.py": ["others are fewer than the clusters"],
    },
    "test_fewer_lists_than_a_step": {
        "runs/ranking.py": ["lower --lists-per-step to", "are fewer than the {} of one step"],
    },
    "test_a_folder_that_will_not_do_and_another_one": {
        "runs/shards.py": [
            "cannot be made ({})", "is a link to nothing", "cannot be made, for",
            "cannot be written to", "and no run", "or delete this one",
            "is damaged: give another",
        ],
    },
    "test_a_folder_in_use_after_a_while_and_another_one": {
        "runs/shards.py": ["another process is at work"],
    },
    "test_questions.test_a_sheet_has_answers_only_where_they_are_asked_for": {
        "questions.py": ["--answers belongs to md"],
    },
    "test_a_shard_that_is_gone_is_made_by_the_same_command": {
        "runs/shards.py": ["run the command again"],
    },
    "test_texts_without_control_tokens": {
        "tokens.py": ["take it out of the text"],
    },
    "test_dropout_and_precision_of_a_training": {
        "training.py": ["load it with dropout"],
    },
    "test_a_training_that_breaks_down_at_a_lower_rate": {
        "training.py": ["lower the learning rate"],
    },
    "test_what_a_trial_names": {
        "trials.py": [
            "restart the session", "CUDA_VISIBLE_DEVICES=''", "pip install -U peft",
            "in a folder that you may write to", "set HF_HOME",
        ],
    },
}  # fmt: skip
#: What begins like a request and is none.
NONE = {
    "write the book's figures with their data", "write the models that a page of the book runs",
    "write ranking lists, post-train, evaluate",
    "judged {}; put out (a triplet may break several rules):", "pip did not find it",
    "write a page of what a run has done, to be read by anybody",
    "write the questions to the chapters, for Moodle, Canvas, paper",
    "write a run's card for the Hugging Face Hub",
}  # fmt: skip


def test_every_remedy_has_a_row_and_every_row_a_message(root):
    found = [(name, text) for name, text in messages(root) if text not in NONE]
    rows = {
        (name, piece) for modules in TABLE.values()
        for name, pieces in modules.items() for piece in pieces
    }  # fmt: skip
    without = [one for one in found if not any(one[0] == n and p in one[1] for n, p in rows)]
    assert not without, f"no test follows what these messages name: {without}"
    idle = [row for row in rows if not any(row[0] == name and row[1] in text
                                           for name, text in found)]  # fmt: skip
    assert not idle, f"no message says this any more: {idle}"


def test_every_row_names_a_test(root):
    tests = {
        f"{file.stem}.{node.name}"
        for file in (root / "tests").glob("test_*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    here = {name.partition(".")[2] for name in tests if name.startswith("test_remedies")}
    assert set(TABLE) <= tests | here, set(TABLE) - tests - here


def test_a_remedy_is_found_however_it_is_said():
    source = """
def f(x):
    '''Give it another name.'''
    raise ValueError(f"{x} is odd: take {x + 1}" if x else "take none")
    warn("too large, or use --small")
    parser.add_argument("--take", help="take it")
    y = "nothing to do"
"""
    assert list(remedies(ast.parse(source))) == [
        "{} is odd: take {}", "take none", "too large, or use --small"
    ]  # fmt: skip
