"""Training: the kernel that runs is the kernel of `losses`, and runs resume to the same weights."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch
from datasets import Dataset
from tolerance import after_training, rounding

from synthlib import losses, models, prompts, training
from synthlib.training import train_supervised_simcse, train_unsupervised_simcse

RNG = np.random.default_rng(0)
SENTENCES = [" ".join(RNG.choice(tiny_models.WORDS, RNG.integers(3, 9))) for _ in range(48)]
TRIPLETS = [tuple(SENTENCES[3 * i : 3 * i + 3]) for i in range(16)]


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


QUICK = dict(batch_size=8, learning_rate=1e-3, progress=False)


# ---------------------------------------------------------------- the loss and its gradient


def plain_run(
    encoder, views, steps, batch_size, lr, tau=0.05, keep=None, variant="paper", teacher=None
):
    """A hand-written loop: AdamW with linear decay, one stacked pass, no trainer."""
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=lr, weight_decay=0.0)
    encoder.train()
    order = torch.randperm(len(views[0]), generator=torch.Generator().manual_seed(0)).tolist()
    for step in range(steps):
        rows = order[step * batch_size : (step + 1) * batch_size]
        tokens = encoder.tokenizer(
            [view[row] for view in views for row in rows], padding=True, truncation=True,
            max_length=32, return_tensors="pt",
        )  # fmt: skip
        vectors = encoder(dict(tokens))["sentence_embedding"].view(len(views), len(rows), -1)
        mask = None if keep is None else keep(torch.tensor(rows))
        loss = losses.info_nce(*vectors, tau=tau, keep=mask, variant=variant)
        if teacher is not None:
            known = [torch.tensor(vectors_of[rows]) for vectors_of in teacher]
            loss = loss + 0.5 * losses.rank_distillation(*vectors[:2], *known, tau=tau)
        optimiser.param_groups[0]["lr"] = lr * (1 - step / steps)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
        optimiser.step()
    return encoder.eval()


def plain_vectors(fresh, views, *how, **options):
    """Vectors after `plain_run` in float64, and how far those of float32 may lie from them."""
    single, double = (
        plain_run(encoder, views, *how, **options).encode(SENTENCES)
        for encoder in (fresh(0.0), fresh(0.0).double())
    )
    assert double.dtype == np.float64
    return double, after_training(single, double)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_supervised_equals_a_hand_written_loop(fresh, variant):
    def keep(rows):
        mask = (rows[:, None] + torch.cat([rows, rows])[None]) % 3 > 0
        own = torch.eye(len(rows), dtype=torch.bool).repeat(1, 2)
        return mask | own

    views = list(zip(*TRIPLETS, strict=True))
    want, atol = plain_vectors(fresh, views, 2, 8, 1e-3, keep=keep, variant=variant)
    got = train_supervised_simcse(
        fresh(0.0), TRIPLETS, max_steps=2, keep=keep, variant=variant, **QUICK
    )
    assert np.allclose(got.encode(SENTENCES), want, atol=atol, rtol=0)
    other = train_supervised_simcse(fresh(0.0), TRIPLETS, max_steps=2, variant=variant, **QUICK)
    assert np.abs(other.encode(SENTENCES) - want).max() > 10 * atol


def test_a_teachers_ranking_equals_a_hand_written_loop(fresh):
    teacher = [RNG.normal(size=(len(TRIPLETS), 7)) for _ in range(2)]
    views = list(zip(*TRIPLETS, strict=True))
    want, atol = plain_vectors(fresh, views, 2, 8, 1e-3, teacher=teacher)
    got = train_supervised_simcse(
        fresh(0.0), TRIPLETS, max_steps=2, distill_weight=0.5,
        distill=lambda rows: [vectors_of[rows] for vectors_of in teacher], **QUICK,
    )  # fmt: skip
    assert np.allclose(got.encode(SENTENCES), want, atol=atol, rtol=0)
    other = plain_run(fresh(0.0), views, 2, 8, 1e-3)
    assert np.abs(other.encode(SENTENCES) - want).max() > 10 * atol


@pytest.mark.filterwarnings("ignore:the encoder has no dropout")
def test_unsupervised_equals_a_hand_written_loop(fresh):
    first = fresh(0.0).encode(SENTENCES)
    want, atol = plain_vectors(fresh, [SENTENCES, SENTENCES], 3, 8, 1e-3)
    got = train_unsupervised_simcse(fresh(0.0), SENTENCES, max_steps=3, projection=None, **QUICK)
    assert np.allclose(got.encode(SENTENCES), want, atol=atol, rtol=0)
    assert np.abs(first - want).max() > 10 * atol


@pytest.mark.parametrize("projection", ["mlp_train_only", None])
def test_the_two_views_differ_by_dropout_alone(fresh, monkeypatch, projection):
    seen = []
    real = losses.info_nce
    monkeypatch.setattr(losses, "info_nce", lambda *a, **k: seen.append(a) or real(*a, **k))
    train_unsupervised_simcse(fresh(), SENTENCES, max_steps=1, projection=projection, **QUICK)
    anchor, positive = seen[0]
    assert anchor.shape == positive.shape == (8, 16)
    assert not torch.allclose(anchor, positive, atol=1e-3)
    alike = torch.cosine_similarity(anchor, positive).mean()
    apart = torch.cosine_similarity(anchor, positive.roll(1, 0)).mean()
    assert alike > apart


def test_training_lowers_the_loss_and_the_projection_leaves_no_trace(fresh):
    encoder = fresh()
    names = set(encoder.state_dict())
    train_unsupervised_simcse(encoder, SENTENCES, epochs=10, **QUICK)
    assert set(encoder.state_dict()) == names and not encoder.training
    curve = [entry["loss"] for entry in encoder.training_history if "loss" in entry]
    assert len(curve) > 10 and np.mean(curve[-5:]) < np.mean(curve[:5])


def test_only_the_loss_of_the_book_runs(fresh, monkeypatch):
    calls = []
    real = losses.info_nce
    monkeypatch.setattr(losses, "info_nce", lambda *a, **k: calls.append(k) or real(*a, **k))
    train_supervised_simcse(fresh(), TRIPLETS, max_steps=3, tau=0.07, **QUICK)
    assert len(calls) == 3 and all(call["tau"] == 0.07 for call in calls)


def test_every_row_is_seen_once_an_epoch(fresh):
    seen = []
    train_supervised_simcse(
        fresh(), TRIPLETS, epochs=2,
        keep=lambda rows: seen.append(rows) or torch.ones(8, 16, dtype=torch.bool), **QUICK,
    )  # fmt: skip
    first, second = torch.cat(seen[:2]).tolist(), torch.cat(seen[2:]).tolist()
    assert sorted(first) == sorted(second) == list(range(16)) and first != second


def test_batches_are_padded_to_their_own_longest_and_cut(fresh):
    collate = training.Collator(fresh(), ("anchor", "anchor"), max_length=6)
    short = collate([{"anchor": "a dog", "row": 3}, {"anchor": "the cat", "row": 1}])
    assert short["sentence_input_ids"].shape == (4, 4) and short["label"].tolist() == [3, 1]
    assert collate([{"anchor": "dog " * 50, "row": 0}])["sentence_input_ids"].shape == (2, 6)


def test_half_precision_weights_are_trained_in_float32(folders):
    encoder = models.load_encoder(folders[0.1], pooling="mean", dtype="bfloat16")
    train_unsupervised_simcse(encoder, SENTENCES, max_steps=1, **QUICK)
    assert encoder[0].model.dtype == torch.float32


def test_training_reads_sentences_in_their_template(folders, monkeypatch, tmp_path):
    monkeypatch.setattr(prompts, "PROMPT_POOLING", {"paper": "the {sentence} in {mask} park"})
    encoder = models.load_encoder(folders[0.1], pooling="prompt")
    collate = training.Collator(encoder, ("anchor",), max_length=6)
    tokens = collate([{"anchor": "dog " * 50, "row": 0}, {"anchor": "cat", "row": 1}])
    rows = encoder.tokenizer.batch_decode(tokens["sentence_input_ids"])
    # max_length counts the sentence and its two ends: four words of it, as without a template.
    assert rows[0] == "<cls> the dog dog dog dog in <mask> park <sep>"
    assert rows[1] == "<cls> the cat in <mask> park <sep> <pad> <pad> <pad>"
    assert encoder.max_seq_length == 40
    first = encoder.encode(SENTENCES)
    train_unsupervised_simcse(encoder, SENTENCES, epochs=5, **QUICK)
    curve = [entry["loss"] for entry in encoder.training_history if "loss" in entry]
    assert np.mean(curve[-5:]) < np.mean(curve[:5])
    assert not np.allclose(encoder.encode(SENTENCES), first, atol=1e-2)
    encoder.save_pretrained(str(tmp_path / "saved"))
    again = models.load_encoder(tmp_path / "saved")
    assert np.allclose(again.encode(SENTENCES), encoder.encode(SENTENCES), atol=1e-5)


# ---------------------------------------------------------------- batches in chunks


def loss_and_gradient(encoder, embed, variant="paper"):
    """Loss of one batch of triplets with a mask, a teacher and a projection, and its gradient, in
    the encoder's own float32 or float64."""
    torch.manual_seed(5)
    head = torch.nn.Linear(16, 16).to(encoder.dtype)
    tokens = dict(
        encoder.preprocess([text for view in zip(*TRIPLETS, strict=True) for text in view])
    )
    tokens = {key: value for key, value in tokens.items() if isinstance(value, torch.Tensor)}
    encoder.train().zero_grad()
    torch.manual_seed(7)
    vectors = head(embed(encoder, tokens).to(encoder.dtype).view(3, len(TRIPLETS), -1))
    n = len(TRIPLETS)
    keep = (torch.arange(2 * n) + torch.arange(n)[:, None]) % 3 > 0
    keep |= torch.eye(n, dtype=torch.bool).repeat(1, 2)
    loss = losses.info_nce(*vectors, keep=keep, variant=variant)
    teacher = torch.randn(2, n, 5, generator=torch.Generator().manual_seed(1))
    loss = loss + losses.rank_distillation(*vectors[:2], *teacher, teacher_tau=0.025)
    loss.backward()
    named = dict(encoder.named_parameters())
    gradient = torch.cat([p.grad.flatten() for name, p in named.items() if p.grad is not None])
    return loss.item(), gradient, torch.rand(1)


def plainly(encoder, tokens):
    return encoder(dict(tokens))["sentence_embedding"]


def chunked(size):
    """Chunk by chunk, with everything kept for the backward pass."""

    def embed(encoder, tokens):
        parts = [{k: v[i : i + size] for k, v in tokens.items()} for i in range(0, 48, size)]
        return torch.cat([plainly(encoder, part) for part in parts])

    return embed


def cached(size):
    return lambda encoder, tokens: training.embed_in_chunks(encoder, tokens, size)


@pytest.mark.parametrize("size", [1, 7, 16, 48, 100])
def test_chunks_give_the_loss_and_gradient_of_the_whole_batch(fresh, size):
    want = loss_and_gradient(fresh(0.0).double(), plainly)
    got = loss_and_gradient(fresh(0.0).double(), cached(size))
    assert got[0] == pytest.approx(want[0], rel=1e-12)
    assert torch.allclose(got[1], want[1], rtol=1e-9, atol=1e-12)
    # A weight's gradient is a sum over all tokens of the batch, the loss one over its rows.
    tokens = sum(len(text.split()) + 2 for row in TRIPLETS for text in row)
    single = loss_and_gradient(fresh(0.0), cached(size))
    assert single[0] == pytest.approx(want[0], abs=rounding(want[0], 2 * len(TRIPLETS)))
    assert torch.allclose(single[1].double(), want[1], atol=rounding(want[1], tokens), rtol=0)


def test_chunks_with_dropout_draw_the_same_masks_twice(fresh, folders, monkeypatch):
    # Same lengths everywhere: cutting a chunk's padding off would change what dropout draws.
    monkeypatch.setattr(sys.modules[__name__], "TRIPLETS", [("a dog", "two red", "the cat")] * 16)
    for size in (5, 16):
        want = loss_and_gradient(fresh().double(), chunked(size))
        got = loss_and_gradient(fresh().double(), cached(size))
        assert got[0] == pytest.approx(want[0], rel=1e-12)
        assert torch.allclose(got[1], want[1], rtol=1e-9, atol=1e-12)
        assert torch.equal(got[2], want[2])  # later random numbers are not touched either
    without = loss_and_gradient(fresh(0.0).double(), plainly)
    assert not torch.allclose(got[1], without[1], atol=1e-3)


def test_chunks_in_bfloat16(fresh):
    def under_autocast(embed):
        def run(encoder, tokens):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                return embed(encoder, tokens)

        return run

    want = loss_and_gradient(fresh(0.0), under_autocast(chunked(16)))
    got = loss_and_gradient(fresh(0.0), under_autocast(cached(16)))
    assert got[0] == pytest.approx(want[0], rel=0.02)
    assert torch.cosine_similarity(got[1], want[1], dim=0) > 0.995
    full = loss_and_gradient(fresh(0.0), plainly)
    assert not torch.allclose(got[1], full[1], atol=1e-4)  # both passes ran in bfloat16
    assert torch.allclose(got[1], want[1], atol=0.1 * float(want[1].abs().max()))


def test_chunks_keep_what_one_of_them_keeps(fresh):
    def kept(embed):
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda tensor: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor
        ):
            assert embed(encoder, tokens).requires_grad
        return sum(sizes)

    encoder = fresh()
    tokens = {k: v for k, v in encoder.preprocess(SENTENCES).items() if k != "modality"}
    longest = tokens["attention_mask"].sum(1).argsort(stable=True)[-8:]
    one = kept(lambda encoder, tokens: plainly(encoder, {k: v[longest] for k, v in tokens.items()}))
    assert one <= kept(cached(8)) <= one + len(SENTENCES)  # and the order of the rows
    assert kept(plainly) > 3 * one


def test_training_in_chunks_equals_training_at_once(fresh):
    teacher = RNG.normal(size=(2, len(TRIPLETS), 7))
    options = dict(
        max_steps=3, projection="mlp_train_only", distill=lambda rows: teacher[:, rows],
        keep=lambda rows: torch.ones(8, 16, dtype=torch.bool), **QUICK,
    )  # fmt: skip
    want = train_supervised_simcse(fresh(0.0), TRIPLETS, **options)
    got = train_supervised_simcse(fresh(0.0), TRIPLETS, mini_batch_size=5, **options)
    assert np.allclose(got.encode(SENTENCES), want.encode(SENTENCES), atol=1e-5)
    with_bf16 = train_supervised_simcse(
        fresh(0.0), TRIPLETS, mini_batch_size=5, precision="bf16", **options
    )
    assert np.allclose(with_bf16.encode(SENTENCES), want.encode(SENTENCES), atol=0.1)


def test_a_run_in_chunks_resumes_to_the_same_weights(fresh, tmp_path):
    def dev(encode, stop=None):
        calls.append(1)
        if len(calls) == stop:
            raise Stopped
        return len(calls)  # the last weights are the best

    calls = []
    options = dict(max_steps=4, eval_steps=1, save_steps=2, mini_batch_size=6, **QUICK)
    straight = train_unsupervised_simcse(fresh(), SENTENCES, **options)
    encoder = fresh()
    with pytest.raises(Stopped):
        train_unsupervised_simcse(
            encoder, SENTENCES, dev=lambda e: dev(e, 3), output_dir=tmp_path, **options
        )
    resumed = train_unsupervised_simcse(
        encoder, SENTENCES, dev=dev, output_dir=tmp_path, **options
    )  # fmt: skip
    assert torch.equal(weights(resumed), weights(straight))


# ---------------------------------------------------------------- seeds, selection, resuming


def test_same_seed_same_weights(fresh):
    runs = [
        weights(train_unsupervised_simcse(fresh(), SENTENCES, max_steps=4, seed=seed, **QUICK))
        for seed in (1, 1, 2)
    ]
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])


def test_the_best_weights_on_dev_are_kept(fresh):
    scores, vectors = iter([0.1, 0.9, 0.9, 0.3]), []

    def dev(encode):
        vectors.append(encode(SENTENCES[:4]))
        return next(scores)

    encoder = train_unsupervised_simcse(
        fresh(), SENTENCES, max_steps=7, eval_steps=2, dev=dev, **QUICK
    )
    got = [(e["step"], e["dev"]) for e in encoder.training_history if "dev" in e]
    assert got == [(2, 0.1), (4, 0.9), (6, 0.9), (7, 0.3)]
    assert np.array_equal(encoder.encode(SENTENCES[:4]), vectors[1])  # the first of equals
    assert not np.array_equal(vectors[1], vectors[2])


class Stopped(Exception):
    pass


@pytest.mark.parametrize("stop_at", [5, 9])  # in the first and in the second epoch of 6 steps
@pytest.mark.parametrize("train, data", [
    (train_unsupervised_simcse, SENTENCES),
    (train_supervised_simcse, TRIPLETS * 3),
])  # fmt: skip
def test_an_interrupted_run_resumes_to_the_same_weights(fresh, tmp_path, train, data, stop_at):
    calls = []

    def dev(encode, stop=None):
        calls.append(1)
        if len(calls) == stop:
            raise Stopped
        return float(encode(SENTENCES[:8]).std())

    options = dict(max_steps=12, eval_steps=1, save_steps=3, projection="mlp_train_only", **QUICK)
    straight = train(fresh(), data, dev=dev, **options)
    calls.clear()
    encoder = fresh()
    before = weights(encoder)
    with pytest.raises(Stopped):
        train(encoder, data, dev=lambda e: dev(e, stop_at), output_dir=tmp_path, **options)
    assert torch.equal(weights(encoder), before) and not encoder.training
    calls.clear()
    resumed = train(encoder, data, dev=dev, output_dir=tmp_path, **options)
    assert len(calls) == 12 - (stop_at - 1) // 3 * 3  # it went on from the last checkpoint
    assert torch.equal(weights(resumed), weights(straight))
    assert resumed.training_history == straight.training_history
    calls.clear()
    again = train(fresh(), data, dev=dev, output_dir=tmp_path, **options)
    assert not calls and torch.equal(weights(again), weights(straight))
    assert again.training_history == straight.training_history


def test_a_checkpoint_cut_off_in_writing_is_passed_over(fresh, tmp_path):
    options = dict(max_steps=6, save_steps=2, output_dir=tmp_path, **QUICK)
    done = train_unsupervised_simcse(fresh(), SENTENCES, **options)
    state = tmp_path / "checkpoint-6" / "trainer_state.json"
    state.write_text(state.read_text()[:50])
    again = train_unsupervised_simcse(fresh(), SENTENCES, **options)
    assert torch.equal(weights(again), weights(done))


@pytest.mark.parametrize(
    "change, word",
    [(dict(seed=1), "seed 0 → 1"), (dict(data=SENTENCES[::-1]), "data"), (dict(tau=0.1), "tau")],
)
def test_a_folder_with_another_run_is_refused(fresh, tmp_path, change, word):
    options = dict(max_steps=2, output_dir=tmp_path, data=SENTENCES, **QUICK)
    train_unsupervised_simcse(fresh(), options.pop("data"), **options)
    options |= change
    with pytest.raises(ValueError, match=f"holds a run with other settings .*{word}"):
        train_unsupervised_simcse(fresh(), options.pop("data", SENTENCES), **options)


def test_another_first_encoder_is_refused(fresh, tmp_path):
    options = dict(max_steps=2, output_dir=tmp_path, **QUICK)
    encoder = train_unsupervised_simcse(fresh(), SENTENCES, **options)
    with pytest.raises(ValueError, match="encoder"):
        train_unsupervised_simcse(encoder, SENTENCES, **options)


def test_no_files_without_an_output_folder(fresh, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train_unsupervised_simcse(fresh(), SENTENCES, max_steps=2, **QUICK)
    assert not list(tmp_path.iterdir())


def test_progress_bar(fresh, capfd):
    options = {**QUICK, "progress": True}
    train_unsupervised_simcse(fresh(), SENTENCES, max_steps=2, dev=lambda e: 1.0, **options)
    shown = capfd.readouterr()
    assert "2/2" in shown.err and "loss=" in shown.err and not shown.out
    train_unsupervised_simcse(fresh(), SENTENCES, max_steps=2, **QUICK)
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------- several processes

PROGRAM = """
import json, sys
sys.path.insert(0, {tests!r})
import numpy as np
from test_training import SENTENCES, TRIPLETS
from synthlib import models, training
encoder = models.load_encoder({folder!r}, pooling="mean")
seen = []
def keep(rows):
    import torch
    seen.append(rows.tolist())
    return torch.ones(len(rows), 2 * len(rows), dtype=torch.bool)
training.train_supervised_simcse(
    encoder, TRIPLETS, max_steps=3, batch_size=8, learning_rate=1e-3, progress=False, keep=keep,
    projection="mlp_train_only", mini_batch_size={chunk},
)
import os
rank = os.environ.get("RANK", "0")
np.save({out!r} + rank + ".npy", encoder.encode(SENTENCES))
json.dump(seen, open({out!r} + rank + ".json", "w"))
"""


@pytest.mark.parametrize("chunk", [None, 5])
def test_two_processes_train_as_one(fresh, folders, tmp_path, chunk):
    seen = []

    def keep(rows):
        seen.append(rows.tolist())
        return torch.ones(len(rows), 2 * len(rows), dtype=torch.bool)

    one = train_supervised_simcse(
        fresh(0.0), TRIPLETS, max_steps=3, keep=keep, projection="mlp_train_only", **QUICK
    )
    tests = os.path.dirname(__file__)
    program = PROGRAM.format(
        tests=tests, folder=str(folders[0.0]), out=str(tmp_path / "rank"), chunk=chunk
    )
    (tmp_path / "program.py").write_text(program)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = os.environ | {"PYTHONPATH": os.path.dirname(tests), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*launch, str(tmp_path / "program.py")], env=environment, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert "PAD/BOS/EOS" not in run.stderr, "each process is as quiet as one"
    for rank in "01":
        # Vectors, not weights: a key's bias has no effect, and Adam moves it by rounding errors.
        vectors = np.load(tmp_path / f"rank{rank}.npy")
        assert np.allclose(vectors, one.encode(SENTENCES), atol=1e-4)
        assert json.loads((tmp_path / f"rank{rank}.json").read_text()) == seen


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "sentences, words",
    [
        ([], "is empty"),
        ("one string", "got one string"),
        (["a dog", "  "] * 8, r"sentences\[1\] is blank"),
        (["a dog", None] * 8, r"sentences\[1\] is a NoneType"),
        (["a dog"] * 7, "7 rows are fewer than one batch of 8"),
    ],
)
def test_bad_sentences(fresh, sentences, words):
    with pytest.raises(ValueError, match=words):
        train_unsupervised_simcse(fresh(), sentences, max_steps=1, **QUICK)


@pytest.mark.parametrize(
    "triplets, words",
    [
        ([("a", "b", "c"), ("a", "b")] * 8, r"triplets\[1\] must be"),
        ([("a", "b", "")] * 8, "negative.* is blank"),
        (["abc"] * 8, "must be"),
        (Dataset.from_dict({"anchor": ["a"] * 8, "pos": ["b"] * 8}), "positive, negative missing"),
        (pd.DataFrame({"anchor": ["a"] * 8, "pos": ["b"] * 8}), "them with rename$"),
    ],
)
def test_bad_triplets(fresh, triplets, words):
    with pytest.raises(ValueError, match=words):
        train_supervised_simcse(fresh(), triplets, max_steps=1, **QUICK)


def test_triplets_as_a_table(fresh):
    columns = dict(
        zip(("anchor", "positive", "negative"), zip(*TRIPLETS, strict=True), strict=True)
    )
    columns = {"note": list(range(16)), **columns}
    rows, *tables = [
        train_supervised_simcse(fresh(), triplets, max_steps=2, **QUICK)
        for triplets in (TRIPLETS, Dataset.from_dict(columns), pd.DataFrame(columns)[::-1][::-1])
    ]
    assert all(torch.equal(weights(one), weights(rows)) for one in tables)


@pytest.mark.parametrize(
    "option, words",
    [
        (dict(tau=0), "tau must be positive"),
        (dict(distill_weight=0), "distill_weight must be positive"),
        (dict(learning_rate=-1), "learning_rate must be positive"),
        (dict(epochs=0, max_steps=None), "epochs must be positive"),
        (dict(epochs=1), "either epochs or max_steps"),
        (dict(max_steps=0), "max_steps must be a whole number"),
        (dict(mini_batch_size=0), "mini_batch_size must be a whole number"),
        (dict(max_steps=2.5), "max_steps must be a whole number"),
        (dict(batch_size=1), "at least 2"),
        (dict(max_length=2), "max_length"),
        (dict(projection="mlp"), "projection must be one of"),
        (dict(dev=lambda encode: float("nan")), "dev gave nan at step 1"),
    ],
)
def test_bad_options(fresh, option, words):
    with pytest.raises(ValueError, match=words):
        train_unsupervised_simcse(fresh(), SENTENCES, **{"max_steps": 1, **QUICK, **option})


def test_not_an_encoder():
    with pytest.raises(ValueError, match="load_encoder"):
        train_unsupervised_simcse("pocket/mlm-bert", SENTENCES, max_steps=1)


def test_unsupervised_without_dropout_warns(fresh):
    with pytest.warns(UserWarning, match="no dropout"):
        train_unsupervised_simcse(fresh(0.0), SENTENCES, max_steps=1, **QUICK)


def test_diverged_training_says_so(fresh):
    with pytest.raises(ValueError, match="NaN or infinite"):
        encoder = fresh()
        torch.nn.init.constant_(next(encoder.parameters()), float("nan"))
        train_unsupervised_simcse(encoder, SENTENCES, max_steps=1, **QUICK)


def test_large_batches_are_computed_in_chunks_and_give_the_same_encoder(fresh, monkeypatch):
    guide = [RNG.normal(size=(len(TRIPLETS), 6)) for _ in range(3)]
    asked = []

    def keep(rows):
        by_rows = losses.false_negative_rows(*(part[rows] for part in guide), sigma=0.3)
        return lambda part: asked.append(part) or by_rows(part)

    options = dict(max_steps=3, keep=keep) | QUICK
    want = train_supervised_simcse(fresh(0.0), TRIPLETS, **options)
    assert {part.stop - part.start for part in asked} == {QUICK["batch_size"]}
    monkeypatch.setattr(training, "LARGE", 4)
    monkeypatch.setattr(training, "CHUNK", 3)
    got = train_supervised_simcse(fresh(0.0), TRIPLETS, **options)
    assert asked[-1].stop - asked[-1].start < 4
    assert np.allclose(got.encode(SENTENCES), want.encode(SENTENCES), atol=1e-5)


def test_on_a_gpu_only_the_first_step_looks_at_values(fresh):
    encoder, (x, y, z) = fresh(0.0), torch.randn(3, 6, 8)
    rows = torch.arange(6)
    in_batch = training.InBatchLoss(encoder, torch.nn.Identity(), 3, 0.05, None, "paper")
    targets = [torch.rand(3, 3), torch.rand(3, 3)]
    ranking = training.RankingLoss(encoder, torch.nn.Identity(), targets, True, 0.05, None)
    for loss, given in ((in_batch, torch.cat([x, y, z])), (ranking, x)):
        assert not loss.waits  # a CPU has nothing to wait for
        encoder.forward = lambda features, given=given: {"sentence_embedding": given}
        numbers = rows if loss is in_batch else torch.arange(2)
        first = loss([{}], numbers)
        loss.waits = True
        assert loss([{}], numbers).item() == pytest.approx(first.item(), rel=1e-5)
        given[0, 0] = torch.nan
        assert torch.isnan(loss([{}], numbers))
        loss.waits = False
        with pytest.raises(ValueError, match="NaN"):
            loss([{}], numbers)


def test_a_loss_that_is_nan_is_seen_where_it_is_written_down(fresh, monkeypatch):
    monkeypatch.setattr(training.InBatchLoss, "value", lambda self, v, rows: v.sum() * np.nan)
    with pytest.raises(ValueError, match="the loss is nan"):
        train_supervised_simcse(fresh(0.0), TRIPLETS, max_steps=2, **QUICK)
