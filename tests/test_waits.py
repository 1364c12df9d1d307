"""How often a training step waits for the device that computes it, counted without a GPU.

The device `meta` stands in for one: its tensors have shapes and no numbers. Whoever asks for a
number there (`item`, `tolist`, `cpu`, a mask as an index) gets an error, and copies to it are seen
by modes of PyTorch: one that is not said to be `non_blocking` waits on a GPU.

Not seen: what a kernel of CUDA does inside, whether memory was pinned (which needs CUDA), and the
trainer's loop around `training_step`; in a backward pass operators are seen and `torch.tensor` is
not. Not ours: transformers asks in every forward pass whether its mask hides anything; that
question is answered here, and counted apart.
"""

import contextlib
import itertools
import sys

import numpy as np
import pytest
import tiny_models
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from synthlib import losses, models, ppo, training
from synthlib.methods import multicsr

META = torch.device("meta")
RNG = np.random.default_rng(3)
SENTENCES = [" ".join(RNG.choice(tiny_models.WORDS, RNG.integers(3, 9))) for _ in range(48)]
TRIPLETS = [tuple(SENTENCES[3 * i : 3 * i + 3]) for i in range(16)]
LISTS = [SENTENCES[3 * i : 3 * i + n] for i, n in enumerate((3, 5, 4, 3, 2, 5, 4, 3))]
TARGETS = [RNG.normal(size=(len(part), len(part))) for part in LISTS]


class Copies(TorchFunctionMode):
    """Counts the copies from main memory to the device that wait for it, while it is entered."""

    def __init__(self):
        super().__init__()
        self.waiting, self.operators = 0, _Operators(self)

    def __enter__(self):
        self.operators.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.operators.__exit__(*error)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ("tensor", "as_tensor", "new_tensor"):  # of numbers; meta shows no operator
            to = torch.device(kwargs.get("device") or "cpu")
            self.waiting += on_meta(args[0]) if name == "new_tensor" else to == META
        elif name in ("__getitem__", "__setitem__") and on_meta(args[0]):  # places as a list
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            self.waiting += any(isinstance(i, list | np.ndarray) for i in index)
        return func(*args, **kwargs)


class _Operators(TorchDispatchMode):
    def __init__(self, counter):
        super().__init__()
        self.counter = counter

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs, waits = kwargs or {}, False
        name = func.overloadpacket.__name__
        if name == "_to_copy":
            there = torch.device(kwargs.get("device") or "cpu") == META
            waits = there and not on_meta(args[0]) and not kwargs.get("non_blocking")
        elif name == "copy_" and on_meta(args[0]) and not on_meta(args[1]):
            waits = not (args[2] if len(args) > 2 else kwargs.get("non_blocking"))
        elif name in ("index", "index_put_", "_index_put_impl_") and on_meta(args[0]):
            waits = any(i is not None and not on_meta(i) for i in args[1])
        self.counter.waiting += waits
        return func(*args, **kwargs)


def on_meta(tensor):
    return tensor.device == META


# ---------------------------------------------------------------- the counter itself
X, MASK = torch.ones(4, 3, device=META), torch.ones(4, 3, device=META) > 0


@pytest.mark.parametrize("ask", [
    lambda: X.sum().item(), lambda: X.tolist(), lambda: X.cpu(), lambda: bool(MASK.all()),
    lambda: X[MASK], lambda: MASK.nonzero(), lambda: X[: X.long().max()], lambda: X.numpy(),
    lambda: losses.info_nce(X, X), lambda: torch.masked_select(X, MASK),
])  # fmt: skip
def test_whoever_asks_the_device_for_a_number_gets_an_error(ask):
    with pytest.raises((RuntimeError, NotImplementedError, TypeError, ValueError)):
        ask()


@pytest.mark.parametrize("copy, waits", [
    (lambda: torch.ones(3).to(META), 1),
    (lambda: torch.ones(3).to(META, non_blocking=True), 0),
    (lambda: X[0].copy_(torch.ones(3)), 1),
    (lambda: X[0].copy_(torch.ones(3), non_blocking=True), 0),
    (lambda: X[torch.tensor([0, 2])], 1),
    (lambda: X[[0, 2]], 1),
    (lambda: torch.tensor([0, 2], device=META), 1),
    (lambda: torch.as_tensor(np.ones(3), device=META), 2),  # the call and its operator
    (lambda: X.new_tensor([1.0]), 1),
    (lambda: X.__setitem__(0, torch.ones(3)), 1),
    (lambda: X[0], 0), (lambda: X + 2.5, 0), (lambda: torch.zeros(3, device=META), 0),
])  # fmt: skip
def test_a_copy_that_waits_is_counted(copy, waits):
    with Copies() as copies:
        copy()
    assert copies.waiting == waits


@pytest.fixture(autouse=True)
def library(monkeypatch):
    """Answer what transformers asks itself, and give the list of its questions."""
    asked, ask = [], torch.Tensor.__bool__

    def answer(tensor):
        name = sys._getframe(1).f_globals["__name__"]
        if not (on_meta(tensor) and name == "transformers.masking_utils"):
            return ask(tensor)
        asked.append(name)
        return False

    monkeypatch.setattr(torch.Tensor, "__bool__", answer)
    # What PyTorch has for every device but this one: half precision and random states.
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda kind: torch.bfloat16)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: False)
    monkeypatch.setattr(torch, "get_device_module", lambda device: torch)
    return asked


# ---------------------------------------------------------------- training of encoders
def guide(texts):
    return np.random.default_rng(0).normal(size=(len(texts), 6))


def supervised(encoder, **options):
    options = dict(keep=multicsr.false_negative_mask(guide, TRIPLETS, sigma=0.3)) | options
    return training.train_supervised_simcse(encoder, TRIPLETS, **options)


def distilled(encoder, **options):
    table = torch.randn(2, len(SENTENCES), 6, device=META)
    return training.train_unsupervised_simcse(
        encoder, SENTENCES, distill=lambda rows: table[:, rows].unbind(0), **options
    )


def ranked(encoder, batch_size, **options):
    return training.post_train_ranking(encoder, LISTS, TARGETS, lists_per_step=3, **options)


STEPS = {
    "info_nce": lambda e, **o: training.train_unsupervised_simcse(e, SENTENCES, **o),
    "masked": supervised,
    "masked, released": lambda e, **o: supervised(e, variant="released", **o),
    "no mask": lambda e, **o: supervised(e, keep=None, **o),
    "gradient cache": lambda e, **o: supervised(e, mini_batch_size=5, **o),
    "distilled": distilled,
    "ranking": ranked,
    "ranking, own pair left out": lambda e, **o: ranked(e, own=False, **o),
    "ranking, gradient cache": lambda e, **o: ranked(e, mini_batch_size=4, **o),
}


@pytest.fixture
def encoder(tmp_path):
    folder = tiny_models.save(tmp_path / "bert", "bert")
    return models.load_encoder(folder, pooling="mean", device="cpu")


def on_the_device(monkeypatch, looked):
    """Let the trainer take two steps on the device instead of its loop; return the copies seen."""
    copies = Copies()

    def steps(trainer, resume_from_checkpoint=None):
        batches = list(itertools.islice(trainer.get_train_dataloader(), 2))
        monkeypatch.setattr(type(trainer.args), "device", META)
        trainer.model.to(META), trainer.loss.to(META)
        trainer.loss.waits, trainer.loss.looked = True, looked
        trainer.current_gradient_accumulation_steps = 1
        optimizer = torch.optim.AdamW(trainer.loss.parameters(), foreach=False)
        for batch in batches:
            on = {  # as accelerate brings it there, with `non_blocking`
                key: value.to(META) if isinstance(value, torch.Tensor) else value
                for key, value in batch.items()
            }
            copies.waiting = 0  # what the first step brings to the device stays there
            with copies:
                trainer.training_step(trainer.model, on)
                torch.nn.utils.clip_grad_norm_(trainer.loss.parameters(), 1.0, foreach=False)
                optimizer.step()
                optimizer.zero_grad()
    monkeypatch.setattr(training._Trainer, "train", steps)
    return copies


QUICK = dict(max_steps=2, batch_size=8, progress=False)


@pytest.mark.parametrize(
    "name, chunks",
    [(name, False) for name in STEPS] + [(name, True) for name in STEPS if "rank" not in name],
)
def test_a_step_after_the_first_waits_for_nothing(encoder, monkeypatch, library, name, chunks):
    if chunks:
        monkeypatch.setattr(training, "LARGE", 4)
        monkeypatch.setattr(training, "CHUNK", 3)
    copies, passes = on_the_device(monkeypatch, looked=True), []
    encoder.register_forward_hook(lambda *_: passes.append(encoder.device == META))
    STEPS[name](encoder, **QUICK)
    assert len(passes) >= 2 and all(passes)  # the steps were taken there
    assert copies.waiting == 0
    assert len(library) <= len(passes)


@pytest.mark.parametrize("name", STEPS)
def test_the_first_step_looks(encoder, monkeypatch, name):
    on_the_device(monkeypatch, looked=False)
    with pytest.raises(Exception, match="meta"):
        STEPS[name](encoder, **QUICK)


# ---------------------------------------------------------------- PPO
class Read(Exception):
    pass


@pytest.mark.parametrize("micro", [None, 1])
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_a_step_of_ppo_reads_twice_beside_writing(tmp_path, monkeypatch, kind, micro):
    """Writing and texts aside, which are numbers by their nature: a step on the device, with
    answers of known lengths; what `ppo` reads there goes through one function."""
    folder = tiny_models.save(tmp_path / kind, kind)
    policy = ppo.Policy(*models.load_generator(folder, device="cpu"), r=4, alpha=8)
    tasks = [dict(prompt=text, anchor=text, kind="positive") for text in SENTENCES[:8]]
    lengths, reads, copies = [3, 1, 4, 2], [], Copies()
    answers = policy.write([task["prompt"] for task in tasks[:4]], max_new_tokens=4)
    mask = torch.arange(4) < torch.tensor(lengths)[:, None]
    answers = answers._replace(answer=torch.ones(4, 4, dtype=torch.long), mask=mask)

    def write(self, prompts, **options):
        copies.__enter__()
        return ppo.Answers(*(part.to(META, non_blocking=True) for part in answers))

    def read(tensor):
        reads.append(tensor)
        if len(reads) == 1:
            return [*lengths, 0, 0]  # and all is a number
        copies.__exit__(None, None, None)
        raise Read  # the step's work is given to the device by now

    policy.to(META)
    monkeypatch.setattr(ppo, "_adapter", lambda policy: {})  # kept in main memory, at the start
    monkeypatch.setattr(ppo.Policy, "write", write)
    monkeypatch.setattr(ppo.Policy, "texts", lambda self, answers: ["a man"] * 4)
    monkeypatch.setattr(ppo, "_read", read)
    pay = lambda completions, **_: [0.5, 1.0, 0.0, 0.2]  # noqa: E731
    with pytest.raises(Read):
        ppo.train(
            policy, tasks, [pay], [1.0], steps=1, batch_size=4, mini_batch_size=2, epochs=2,
            micro_batch_size=micro, max_new_tokens=4, precision="fp32", progress=False,
        )  # fmt: skip
    assert all(tensor.device == META for tensor in reads) and len(reads) == 2
    assert copies.waiting == 0


def test_writing_waits_for_every_token(tmp_path):
    """Whether its logits are numbers, and whether an answer goes on."""
    folder = tiny_models.save(tmp_path / "llama", "llama")
    policy = ppo.Policy(*models.load_generator(folder, device="cpu"), r=4, alpha=8)
    policy.write(SENTENCES[:4], max_new_tokens=5)  # how the model can be read is tried here

    class Asked(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func.overloadpacket.__name__ in ("_local_scalar_dense", "nonzero"):
                frame = sys._getframe(1)
                while not frame.f_globals["__name__"].startswith(("synthlib.", "transformers.")):
                    frame = frame.f_back
                asked.append(frame.f_globals["__name__"])
            return func(*args, **(kwargs or {}))

    asked = []
    with Asked():
        answers = policy.write(SENTENCES[:4], max_new_tokens=5)
    tokens = answers.answer.shape[1]
    assert asked.count("synthlib.decoding") == asked.count("synthlib.ppo") == tokens
    assert asked.count("transformers.masking_utils") <= tokens + 1
    assert not set(asked) - {"synthlib.decoding", "synthlib.ppo", "transformers.masking_utils"}
