"""Post-training on ranking lists: the loss that runs is `losses.list_mle`, and runs resume."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny_models
import torch
from scipy.stats import spearmanr
from tolerance import after_training

from synthlib import losses, models, prompts
from synthlib.training import post_train_ranking

RNG = np.random.default_rng(1)


def sentence():
    return " ".join(RNG.choice(tiny_models.WORDS, RNG.integers(3, 9)))


LISTS = [[sentence() for _ in range(n)] for n in (5, 7, 5, 2, 6, 9, 4, 7)]
SENTENCES = [text for sentences in LISTS for text in sentences]


def order(n):
    """The order of a list alone: nearer in the list is nearer."""
    return -np.abs(np.arange(n)[:, None] - np.arange(n)).astype(float)


TARGETS = [order(len(sentences)) for sentences in LISTS]
QUICK = dict(learning_rate=1e-3, progress=False)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("encoders")
    return {
        dropout: tiny_models.save(root / f"bert{dropout}", "bert", dropout=dropout)
        for dropout in (0.0, 0.1)
    }


@pytest.fixture
def fresh(folders):
    return lambda dropout=0.1: models.load_encoder(folders[dropout], pooling="mean")


def weights(encoder):
    return torch.cat([p.detach().flatten() for p in encoder.parameters()])


# ---------------------------------------------------------------- the loss and its gradient


def plackett_luce(scores, target, own):
    """Minus the mean over rows of log P(order of the target | scores), item by item."""
    rows = []
    for i in range(len(scores)):
        left = [k for k in np.argsort(-target[i], kind="stable") if own or k != i]
        total = 0.0
        while left:
            total = total + torch.logsumexp(scores[i, left], 0) - scores[i, left[0]]
            left = left[1:]
        rows.append(total)
    return sum(rows) / len(rows)


def plain_run(encoder, steps, per_step, lr, tau, own):
    """A hand-written loop: each list for itself, AdamW with linear decay, no trainer."""
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=lr, weight_decay=0.0)
    encoder.train()
    seen = []
    order = torch.randperm(len(LISTS), generator=torch.Generator().manual_seed(0)).tolist()
    for step in range(steps):
        loss = 0.0
        for number in order[step * per_step : (step + 1) * per_step]:
            tokens = encoder.tokenizer(LISTS[number], padding=True, return_tensors="pt")
            vectors = encoder(dict(tokens))["sentence_embedding"]
            vectors = vectors / vectors.norm(dim=1, keepdim=True)
            loss = loss + plackett_luce(vectors @ vectors.T / tau, TARGETS[number], own) / per_step
        optimiser.param_groups[0]["lr"] = lr * (1 - step / steps)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimiser.step()
        seen.append(loss.item())
    return encoder.eval(), seen


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("per_step, tau", [(1, 0.05), (3, 0.2)])
def test_equals_a_hand_written_loop(fresh, own, per_step, tau):
    (single, first), (double, seen) = (
        plain_run(encoder, 2, per_step, 1e-3, tau, own)
        for encoder in (fresh(0.0), fresh(0.0).double())
    )
    single, want = single.encode(SENTENCES), double.encode(SENTENCES)
    atol = after_training(single, want)
    options = dict(max_steps=2, lists_per_step=per_step, tau=tau, **QUICK)
    got = post_train_ranking(fresh(0.0), LISTS, TARGETS, own=own, **options)
    losses_seen = [entry["loss"] for entry in got.training_history if "loss" in entry]
    assert losses_seen == pytest.approx(seen, abs=after_training(np.array(first), np.array(seen)))
    assert np.allclose(got.encode(SENTENCES), want, atol=atol, rtol=0)
    other = post_train_ranking(fresh(0.0), LISTS, TARGETS, own=not own, **options)
    assert other.training_history[0]["loss"] != pytest.approx(seen[0], rel=1e-2)
    assert np.abs(other.encode(SENTENCES) - want).max() > 10 * atol


def test_in_chunks_it_is_the_same(fresh):
    options = dict(max_steps=3, lists_per_step=2, **QUICK)
    want = post_train_ranking(fresh(0.0), LISTS, TARGETS, **options)
    got = post_train_ranking(fresh(0.0), LISTS, TARGETS, mini_batch_size=4, **options)
    assert np.allclose(got.encode(SENTENCES), want.encode(SENTENCES), atol=1e-3)
    for one, other in zip(got.training_history, want.training_history, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)


def test_only_the_loss_of_the_book_runs(fresh, monkeypatch):
    calls = []
    real = losses.list_mle
    monkeypatch.setattr(losses, "list_mle", lambda *a, **k: calls.append(a) or real(*a, **k))
    post_train_ranking(fresh(), LISTS, TARGETS, **QUICK)
    assert sorted(len(scores) for scores, _ in calls) == sorted(map(len, LISTS))
    for scores, target in calls:
        assert torch.allclose(scores.diagonal(), torch.tensor(20.0), atol=1e-3)
        assert np.array_equal(target, order(len(scores)))


def test_the_encoder_learns_the_order(fresh):
    def agreement(encoder):
        found = []
        for sentences in LISTS:
            vectors = encoder.encode(sentences)
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
            if len(sentences) > 3:
                found.append(spearmanr((vectors @ vectors[0])[1:], -np.arange(1, len(vectors)))[0])
        return np.mean(found)

    encoder = fresh()
    before = agreement(encoder)
    post_train_ranking(encoder, LISTS, TARGETS, epochs=15, **QUICK)
    assert agreement(encoder) > before + 0.5
    curve = [entry["loss"] for entry in encoder.training_history if "loss" in entry]
    assert np.mean(curve[-5:]) < np.mean(curve[:5]) and not encoder.training


def test_any_pooling(folders, fresh, monkeypatch):
    monkeypatch.setattr(prompts, "PROMPT_POOLING", {"paper": "the {sentence} in {mask} park"})
    for pooling in ("mean", "cls", "prompt"):
        encoder = models.load_encoder(folders[0.1], pooling=pooling)
        first = encoder.encode(SENTENCES)
        post_train_ranking(encoder, LISTS, TARGETS, epochs=4, **QUICK)
        assert np.abs(encoder.encode(SENTENCES) - first).max() > 1e-3
        curve = [entry["loss"] for entry in encoder.training_history if "loss" in entry]
        assert np.mean(curve[-8:]) < np.mean(curve[:8])  # the last and the first epoch


def test_bfloat16(fresh):
    want = post_train_ranking(fresh(0.0), LISTS, TARGETS, **QUICK).encode(SENTENCES)
    options = dict(precision="bf16", **QUICK)
    got = post_train_ranking(fresh(0.0), LISTS, TARGETS, **options).encode(SENTENCES)
    assert np.allclose(got, want, atol=0.1) and not np.allclose(got, want, atol=1e-4)


def test_targets_of_any_kind(fresh):
    asked = [order(len(sentences)) for sentences in LISTS]
    runs = [
        post_train_ranking(fresh(0.0), LISTS, given, max_steps=2, **QUICK).encode(SENTENCES)
        for given in (asked, [torch.tensor(a) for a in asked], [a.tolist() for a in asked])
    ]
    assert np.array_equal(runs[0], runs[1]) and np.array_equal(runs[0], runs[2])


# ---------------------------------------------------------------- seeds, selection, resuming


def test_same_seed_same_weights(fresh):
    runs = [
        weights(post_train_ranking(fresh(), LISTS, TARGETS, seed=seed, **QUICK))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_the_best_weights_on_dev_are_kept(fresh):
    scores, vectors = iter([0.1, 0.9, 0.9, 0.3]), []

    def dev(encode):
        vectors.append(encode(SENTENCES[:4]))
        return next(scores)

    encoder = post_train_ranking(
        fresh(), LISTS, TARGETS, max_steps=7, eval_steps=2, dev=dev, **QUICK
    )
    got = [(e["step"], e["dev"]) for e in encoder.training_history if "dev" in e]
    assert got == [(2, 0.1), (4, 0.9), (6, 0.9), (7, 0.3)]
    assert np.array_equal(encoder.encode(SENTENCES[:4]), vectors[1])


class Stopped(Exception):
    pass


@pytest.mark.parametrize("stop_at", [5, 11])  # in the first and in the second epoch
def test_an_interrupted_run_resumes_to_the_same_weights(fresh, tmp_path, stop_at):
    calls = []

    def dev(encode, stop=None):
        calls.append(1)
        if len(calls) == stop:
            raise Stopped
        return float(encode(SENTENCES[:8]).std())

    options = dict(epochs=2, eval_steps=1, save_steps=3, **QUICK)
    straight = post_train_ranking(fresh(), LISTS, TARGETS, dev=dev, **options)
    calls.clear()
    encoder = fresh()
    before = weights(encoder)
    with pytest.raises(Stopped):
        post_train_ranking(
            encoder, LISTS, TARGETS, dev=lambda e: dev(e, stop_at), output_dir=tmp_path, **options
        )
    assert torch.equal(weights(encoder), before) and not encoder.training
    calls.clear()
    resumed = post_train_ranking(encoder, LISTS, TARGETS, dev=dev, output_dir=tmp_path, **options)
    assert len(calls) == 16 - (stop_at - 1) // 3 * 3
    assert torch.equal(weights(resumed), weights(straight))
    assert resumed.training_history == straight.training_history
    calls.clear()
    again = post_train_ranking(fresh(), LISTS, TARGETS, dev=dev, output_dir=tmp_path, **options)
    assert not calls and torch.equal(weights(again), weights(straight))


@pytest.mark.parametrize(
    "change, word",
    [
        (dict(seed=1), "seed 0 → 1"),
        (dict(lists=LISTS[::-1], targets=TARGETS[::-1]), "data"),
        (dict(targets=[2 * target for target in TARGETS]), "targets"),
        (dict(own=False), "own True → False"),
    ],
)
def test_a_folder_with_another_run_is_refused(fresh, tmp_path, change, word):
    options = dict(lists=LISTS, targets=TARGETS, max_steps=2, output_dir=tmp_path, **QUICK)
    post_train_ranking(fresh(), **options)
    with pytest.raises(ValueError, match=f"holds a run with other settings .*{word}"):
        post_train_ranking(fresh(), **(options | change))


PROGRAM = """
import os, sys
sys.path.insert(0, {tests!r})
import numpy as np
import torch
from test_post_training import LISTS, SENTENCES, TARGETS
from synthlib import models, training
for spare in "", "spare":  # a layer that no vector passes, as a pooler that is not asked
    encoder = models.load_encoder({folder!r}, pooling="mean")
    if spare:
        encoder[0].spare = torch.nn.Linear(4, 4)
    training.post_train_ranking(
        encoder, LISTS, TARGETS, max_steps=3, lists_per_step=2, learning_rate=1e-3, progress=False
    )
    np.save({out!r} + os.environ.get("RANK", "0") + spare + ".npy", encoder.encode(SENTENCES))
"""


def test_two_processes_train_as_one(fresh, folders, tmp_path):
    one = post_train_ranking(fresh(0.0), LISTS, TARGETS, max_steps=3, lists_per_step=2, **QUICK)
    tests = os.path.dirname(__file__)
    program = PROGRAM.format(tests=tests, folder=str(folders[0.0]), out=str(tmp_path / "rank"))
    (tmp_path / "program.py").write_text(program)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = os.environ | {"PYTHONPATH": os.path.dirname(tests), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*launch, str(tmp_path / "program.py")], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert "unused" not in run.stderr  # of DDP, which is told whether to look for such
    for rank in ("0", "1", "0spare", "1spare"):
        vectors = np.load(tmp_path / f"rank{rank}.npy")
        assert np.allclose(vectors, one.encode(SENTENCES), atol=1e-4)


def test_the_folder_says_what_was_run(fresh, tmp_path):
    post_train_ranking(fresh(), LISTS, TARGETS, max_steps=1, output_dir=tmp_path, **QUICK)
    held = json.loads((tmp_path / "synthlib_run.json").read_text())
    assert held["batch_size"] == 1 and held["own"] is True and held["steps"] == 1


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "lists, targets, words",
    [
        ([], [], "lists is empty"),
        ("one string", [], "got one string"),
        (["one string"], [order(2)], r"lists\[0\] must be a list of strings"),
        ([["a dog"]], [order(1)], r"lists\[0\] has one sentence"),
        ([["a dog", "a cat"], ["a dog", " "]], [order(2)] * 2, r"lists\[1\]\[1\] is blank"),
        ([["a dog", None]], [order(2)], r"lists\[0\]\[1\] is a NoneType"),
        (LISTS, TARGETS[:-1], "7 targets for 8 lists"),
        ([["a dog", "a cat"]], [order(3)], r"targets\[0\] has shape \(3, 3\); its list of 2"),
        ([["a", "b", "c"]], [np.full((3, 3), np.nan)], r"targets\[0\] has NaN"),
        ([["a", "b", "c"]], [0.5 + 0.5 * np.eye(3)], r"targets\[0\] are all equal"),
    ],
)
def test_bad_lists_and_targets(fresh, lists, targets, words):
    with pytest.raises(ValueError, match=words):
        post_train_ranking(fresh(), lists, targets, max_steps=1, **QUICK)


@pytest.mark.parametrize(
    "option, words",
    [
        (dict(tau=0), "tau must be positive"),
        (dict(learning_rate=0), "learning_rate must be positive"),
        (dict(lists_per_step=0), "lists_per_step must be at least 1"),
        (dict(lists_per_step=9), "8 rows are fewer than one batch of 9"),
        (dict(max_steps=1, epochs=1), "either epochs or max_steps"),
        (dict(dev=lambda encode: float("nan"), eval_steps=1), "dev gave nan at step 1"),
    ],
)
def test_bad_options(fresh, option, words):
    with pytest.raises(ValueError, match=words):
        post_train_ranking(fresh(), LISTS, TARGETS, **(QUICK | option))


def test_not_an_encoder():
    with pytest.raises(ValueError, match="load_encoder"):
        post_train_ranking("pocket/mlm-bert", LISTS, TARGETS)
