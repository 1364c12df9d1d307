"""What fits into memory: batches that are halved, and what is counted as free."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_models
import torch

from synthlib import decoding, discriminator, judging, memory, models, ppo, training

TEXTS = ["a dog runs", "the man eats", "red house", "two cat sleeps in the park", "a blue dog",
         "woman runs in the house", "the cat", "a man sleeps"]  # fmt: skip
PAIRS = list(zip(TEXTS, TEXTS[::-1], strict=True))

#: How devices and drivers say it.
WORDS = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB, max allowed: 9 GB)."),
    RuntimeError("Invalid buffer size: 12.50 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't "
                 "allocate memory: you tried to allocate 1 bytes. Error code 12"),
    RuntimeError("[enforce fail] data. DefaultCPUAllocator: not enough memory: you tried to "
                 "allocate 1 bytes."),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    MemoryError("Unable to allocate 3.1 GiB for an array"),
]  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    kinds = ("bert", "nli", "t5", "llama")
    return {kind: tiny_models.save(root / kind, kind, dropout=0.0) for kind in kinds}


def row_tensors(values):
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, tuple | list | dict) or hasattr(value, "keys"):
            yield from row_tensors(value.values() if hasattr(value, "keys") else value)


def narrow(module, most, error=WORDS[0]):
    """Let a module's forward pass fail above so many rows; returns the sizes that were tried."""
    forward, sizes = module.forward, []

    def tight(*args, **options):
        first = next(row_tensors([*args, *options.values()]))
        sizes.append(len(first))
        if len(first) > most:
            raise error
        return forward(*args, **options)

    module.forward = tight
    return sizes


def said(record):
    return [str(w.message) for w in record if "out of memory" in str(w.message)]


# ---------------------------------------------------------------- the helper


@pytest.mark.parametrize("error", WORDS, ids=lambda e: f"{type(e).__name__} {str(e)[:12]}")
def test_every_device_is_understood(error):
    def work(size):
        if size > 3:
            raise error
        return size * 10

    with pytest.warns(UserWarning, match="from here 2 rows at a time"):
        assert memory.fitting(work, 8, "rows at a time") == (20, 2)


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("out of memory")])
def test_other_errors_stay_what_they_are(error):
    def work(size):
        raise error

    with pytest.raises(type(error)) as caught:
        memory.fitting(work, 8, "rows")
    assert caught.value is error


def test_one_row_that_does_not_fit_is_one_line():
    def work(size):
        raise torch.OutOfMemoryError("CUDA out of memory.\nmany lines")

    with pytest.raises(memory.OutOfMemory, match="even with 1 of the rows.*device='cpu'") as caught:
        memory.fitting(work, 8, "rows")
    assert "\n" not in str(caught.value) and isinstance(caught.value, OSError)


def test_batches_cover_every_row_once_in_order():
    def work(batch):
        if sum(batch) > 20:
            raise MemoryError
        return [2 * x for x in batch]

    rows = list(range(17, 0, -1))
    with pytest.warns(UserWarning, match="out of memory"):
        found = list(memory.batches(work, rows, 8, "rows"))
    assert [x for batch, _ in found for x in batch] == rows
    assert [x for _, result in found for x in result] == [2 * x for x in rows]
    assert max(len(batch) for batch, _ in found) == 1
    assert list(memory.batches(work, [], 8, "rows")) == []


def test_a_smaller_last_batch_is_no_shrinking():
    sizes = [len(batch) for batch, _ in memory.batches(len, list(range(10)), 4, "rows")]
    assert sizes == [4, 4, 2]


def test_a_retry_draws_the_same_random_numbers():
    def work(size):
        drawn = torch.rand(3)
        if size > 2:
            raise torch.OutOfMemoryError
        return drawn

    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with pytest.warns(UserWarning):
        found, _ = memory.fitting(work, 16, "rows")
    assert torch.equal(found, expected)


# ---------------------------------------------------------------- writing and judging


@pytest.mark.parametrize("kind", ["t5", "llama"])
@pytest.mark.parametrize("sample", [False, True])
def test_texts_do_not_depend_on_memory(folders, kind, sample):
    options = dict(max_new_tokens=6, batch_size=8, do_sample=sample, seed=3)
    calls = [
        lambda m, t: decoding.contrastive_generate(m, t, TEXTS, TEXTS[::-1], **options),
        lambda m, t: decoding.generate_ranking_lists(
            m, t, TEXTS, steps=3, prompt="the {sentence}", **options
        ),
    ]
    for call in calls:
        model, tokenizer = models.load_generator(folders[kind])
        expected = call(model, tokenizer)
        tight, _ = models.load_generator(folders[kind])
        sizes = narrow(tight, 4)
        with pytest.warns(UserWarning) as record:
            assert call(tight, tokenizer) == expected
        assert len(said(record)) == 1 and max(sizes) > 4
        failed = sum(size > 4 for size in sizes)
        with warnings.catch_warnings():  # what fitted is remembered, and not said again
            warnings.simplefilter("error")
            assert call(tight, tokenizer) == expected
        assert sum(size > 4 for size in sizes) == failed


@pytest.mark.parametrize("kind", ["t5", "llama"])
def test_a_policy_writes_on_with_fewer_answers_at_a_time(folders, kind):
    policy = ppo.Policy(*models.load_generator(folders[kind]))
    torch.manual_seed(1)
    whole = policy.write(TEXTS, max_new_tokens=6)
    written = []
    sizes = narrow(policy.model.get_base_model(), 3)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        for _ in range(2):
            torch.manual_seed(1)
            written.append(policy.write(TEXTS, max_new_tokens=6))
    assert len(said(record)) == 1 and max(sizes) > 3
    for first, again, roomy in zip(*written, whole, strict=True):
        assert torch.equal(first, again) and len(first) == len(roomy) == len(TEXTS)
    assert torch.equal(written[0].prompt, whole.prompt)
    assert written[0].mask[:, 0].all() and (written[0].answer[~written[0].mask] == policy.pad).all()


def test_a_text_that_does_not_fit_alone(folders):
    model, tokenizer = models.load_generator(folders["llama"])
    narrow(model, 0)
    with pytest.raises(memory.OutOfMemory, match="take a smaller model"):
        decoding.generate_mixture(model, tokenizer, [TEXTS], [1.0], max_new_tokens=3)


def test_judgements_do_not_depend_on_memory(folders):
    model, tokenizer = models.load_nli(folders["nli"])
    expected = judging.nli_probabilities(model, tokenizer, PAIRS)
    narrow(model, 3)
    with pytest.warns(UserWarning, match="from here 2 pairs at a time"):
        found = judging.nli_probabilities(model, tokenizer, PAIRS)
    np.testing.assert_allclose(found, expected, atol=1e-6)

    model, tokenizer = models.load_generator(folders["llama"])
    tokens = [7, 8, 9]
    expected = decoding.next_token_logprobs(model, tokenizer, TEXTS, tokens)
    narrow(model, 3)
    with pytest.warns(UserWarning, match="from here 2 prompts at a time"):
        found = decoding.next_token_logprobs(model, tokenizer, TEXTS, tokens)
    np.testing.assert_allclose(found, expected, atol=1e-5)


# ---------------------------------------------------------------- embedding and training


def test_embeddings_do_not_depend_on_memory(folders):
    encoder = models.load_encoder(folders["bert"], pooling="mean")
    expected = encoder.encode(TEXTS)
    narrow(encoder[0], 3)
    with pytest.warns(UserWarning, match="from here 2 sentences at a time"):
        np.testing.assert_allclose(encoder.encode(TEXTS, batch_size=8), expected, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder.encode(TEXTS, batch_size=8)
        assert encoder.encode(sentences=TEXTS[0]).shape == (16,)
    narrow(encoder[0], 0)
    with pytest.raises(memory.OutOfMemory, match="even with 1"):
        encoder.encode(TEXTS)


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.parametrize("kind", ["unsupervised", "supervised", "ranking"])
def test_training_does_not_depend_on_memory(folders, monkeypatch, kind, where):
    """Without dropout a step in parts has the loss and the gradient of the whole one."""
    options = dict(learning_rate=1e-3, max_steps=3, progress=False)
    target = np.array([[1.0, 0.5, 0.1, 0.2]] * 4)

    def train(encoder):
        if kind == "unsupervised":
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "the encoder has no dropout")
                training.train_unsupervised_simcse(encoder, TEXTS, batch_size=8, **options)
        elif kind == "supervised":
            rows = [(a, b, c) for a, b, c in zip(TEXTS, TEXTS[1:], TEXTS[2:], strict=False)]
            training.train_supervised_simcse(encoder, rows, batch_size=6, **options)
        else:
            lists = [TEXTS[:4], TEXTS[4:]]
            training.post_train_ranking(
                encoder, lists, [target] * 2, lists_per_step=2, **options
            )
        losses = [e["loss"] for e in encoder.training_history if "loss" in e]
        return losses, torch.cat([p.detach().flatten() for p in encoder.parameters()])

    def load():
        return models.load_encoder(folders["bert"], pooling="mean")

    expected, weights = train(load())
    encoder = load()
    if where == "forward":
        sizes = narrow(encoder[0], 4)
    else:
        sizes, backward = [], torch.Tensor.backward

        def tight(self, *args, **kwargs):
            sizes.append(1)
            backward(self, *args, **kwargs)  # the gradients of a failed pass must go
            if len(sizes) == 1:
                raise torch.OutOfMemoryError("CUDA out of memory.")

        monkeypatch.setattr(torch.Tensor, "backward", tight)
    with pytest.warns(UserWarning) as record:
        losses, found = train(encoder)
    assert len(said(record)) == 1 and len(sizes) > 3
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    torch.testing.assert_close(found, weights, atol=2e-5, rtol=1e-3)


def test_training_of_a_discriminator_does_not_depend_on_memory(folders):
    rows = [(a, b, ("entailment", "neutral", "contradiction")[i % 3])
            for i, (a, b) in enumerate(PAIRS)]  # fmt: skip
    options = dict(batch_size=8, learning_rate=1e-3, max_steps=2, progress=False)
    expected, _ = discriminator.train_nli(folders["nli"], rows, **options)
    load = models.load_nli

    def tight(*args, **kwargs):
        model, tokenizer = load(*args, **kwargs)
        narrow(model.bert, 3)
        return model, tokenizer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "load_nli", tight)
        with pytest.warns(UserWarning, match="from here 2 pairs a forward pass") as record:
            found, _ = discriminator.train_nli(folders["nli"], rows, **options)
    assert len(said(record)) == 1
    for a, b in zip(found.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-3)


# ---------------------------------------------------------------- what is free


def group(folder, limit, used, cache, *, version=2):
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {cache}\n")


def listing(tmp_path, *lines):
    file = tmp_path / "cgroup"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def test_a_containers_limit_counts(tmp_path):
    root = tmp_path / "fs"
    group(root / "jobs", 1000, 700, 100)
    group(root / "jobs" / "mine", "max", 650, 90)
    file = listing(tmp_path, "0::/jobs/mine")
    assert memory.container_free(root, file) == [400]  # files in the cache can go
    group(root / "jobs" / "mine", 800, 650, 90)
    assert sorted(memory.container_free(root, file)) == [240, 400]


def test_a_container_that_sees_itself_as_the_root(tmp_path):
    group(tmp_path / "fs", 500, 100, 0)
    for line in ("0::/", "0::/../../outer", "0::/docker/0123"):
        assert memory.container_free(tmp_path / "fs", listing(tmp_path, line)) == [400]


def test_limits_of_the_first_version(tmp_path):
    root = tmp_path / "fs"
    group(root / "memory" / "docker", 900, 300, 50, version=1)
    group(root / "memory", 2**63 - 4096, 5000, 0, version=1)  # its way to say none
    lines = ["5:cpu,cpuacct:/docker", "4:memory:/docker", "0::/"]
    assert memory.container_free(root, listing(tmp_path, *lines)) == [650]


def test_no_groups_no_limit(tmp_path):
    assert memory.container_free(tmp_path, tmp_path / "absent") == []
    (tmp_path / "memory.max").write_text("nonsense")
    assert memory.container_free(tmp_path, listing(tmp_path, "0::/")) == []


def test_free_is_the_least_of_machine_and_container(monkeypatch):
    import psutil

    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**9))
    for limits, free in (([], 10**9), ([3 * 10**9], 10**9), ([10**6, 10**9], 10**6), ([-5], 0)):
        monkeypatch.setattr(memory, "container_free", lambda limits=limits: limits)
        assert memory.free_bytes(torch.device("cpu")) == free


def test_what_pytorch_holds_back_is_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (100, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 80)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 50)
    assert memory.free_bytes(torch.device("cuda")) == 130


def test_keys_and_values_count_for_a_generator(folders, monkeypatch):
    numbers = models.number_count(folders["llama"])
    # two layers, two heads of 8 numbers: keys and values of 1,024 tokens in two contexts
    kept = 2 * 2 * 2 * 2 * 8 * 1024 * 4
    enough = 1.1 * 4 * numbers + kept
    monkeypatch.setattr(models, "free_bytes", lambda device: enough + 1)
    models.load_generator(folders["llama"])
    monkeypatch.setattr(models, "free_bytes", lambda device: enough - 1)
    with pytest.raises(models.ModelUnavailable, match="for the keys and values of one text"):
        models.load_generator(folders["llama"])


def test_this_machine_has_free_memory():
    assert memory.free_bytes(torch.device("cpu")) > 0


@pytest.mark.parametrize("free, there", [(8 * 48, True), (8 * 48 - 1, False)])
def test_tensors_stand_beside_the_model_where_there_is_room(monkeypatch, free, there):
    device, tensors = torch.device("meta"), (torch.zeros(4, 2), torch.zeros(2, dtype=torch.long))
    monkeypatch.setattr(memory, "free_bytes", lambda device: free)
    at = memory.beside(*tensors)
    found = at(device)
    assert {tensor.device.type for tensor in found} == {"meta" if there else "cpu"}
    assert at(device) is found  # copied once
    assert all(a is b for a, b in zip(at(torch.device("cpu")), tensors, strict=True))
