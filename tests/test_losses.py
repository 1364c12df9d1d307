"""InfoNCE and the false-negative mask against loops written from the equations."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from synthlib import losses
from synthlib.experiments.cost import peak_bytes
from synthlib.losses import false_negative_keep, info_nce, rank_distillation, unit


def cosine(u, v):
    return float(np.dot(u, v) / (np.linalg.norm(u) * np.linalg.norm(v)))


def loop_paper(a, p, n, tau, keep):
    """Eqs. 5 and 7, term by term."""
    total = 0.0
    for i in range(len(a)):
        below = 0.0
        for k in range(len(a)):
            if keep is None or keep[i, k]:
                below += math.exp(cosine(a[i], p[k]) / tau)
            if n is not None and (keep is None or keep[i, len(a) + k]):
                below += math.exp(cosine(a[i], n[k]) / tau)
        total -= math.log(math.exp(cosine(a[i], p[i]) / tau) / below)
    return total / len(a)


def loop_released(a, p, n, tau, keep):
    """Masked logits set to 0, softmax, element-wise binary cross-entropy, mean over N × 2N."""
    rows, terms = len(a), []
    for i in range(rows):
        logits = [cosine(a[i], p[k]) / tau for k in range(rows)]
        if n is not None:
            logits += [cosine(a[i], n[k]) / tau for k in range(rows)]
        if keep is not None:
            logits = [x if keep[i, j] else 0.0 for j, x in enumerate(logits)]
        total = sum(math.exp(x) for x in logits)
        for j, x in enumerate(logits):
            q = math.exp(x) / total
            terms.append(-math.log(q) if j == i else -math.log(1 - q))
    return sum(terms) / len(terms)


def batch(n, d, seed=0, hard=True):
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=(n, d)) for _ in range(3 if hard else 2)]
    return parts if hard else [*parts, None]


def random_keep(n, blocks, seed=0):
    keep = np.random.default_rng(seed).random((n, blocks * n)) < 0.6
    for block in range(blocks):
        np.fill_diagonal(keep[:, block * n : (block + 1) * n], True)
    return keep


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("variant, loop", [("paper", loop_paper), ("released", loop_released)])
def test_equals_the_loop(hard, masked, variant, loop):
    a, p, n = batch(7, 5, seed=3, hard=hard)
    keep = random_keep(7, 2 if hard else 1) if masked else None
    got = info_nce(a, p, n, tau=0.3, keep=keep, variant=variant)
    assert got.item() == pytest.approx(loop(a, p, n, 0.3, keep), rel=1e-12)


@pytest.mark.parametrize("variant", ["paper", "released"])
def test_gradient_equals_finite_differences(variant):
    a, p, n = (torch.tensor(x, requires_grad=True) for x in batch(4, 3, seed=1))
    keep = torch.tensor(random_keep(4, 2, seed=2))
    assert torch.autograd.gradcheck(
        lambda *x: info_nce(*x, tau=0.2, keep=keep, variant=variant), (a, p, n)
    )


def test_released_gradient_is_about_n_times_smaller():
    n = 64
    a, p, m = (torch.tensor(x, requires_grad=True) for x in batch(n, 32))
    sizes = {}
    for variant in ("paper", "released"):
        a.grad = None
        info_nce(a, p, m, variant=variant).backward()
        sizes[variant] = a.grad.norm().item()
    assert n / 3 < sizes["paper"] / sizes["released"] < 6 * n


def test_one_row():
    a, p, n = batch(1, 4)
    assert info_nce(a, p).item() == 0.0
    assert info_nce(a, p, n).item() == pytest.approx(loop_paper(a, p, n, 0.05, None))


def test_scale_of_the_embeddings_does_not_matter_and_nothing_overflows():
    a, p, n = (torch.tensor(x, dtype=torch.float32) for x in batch(6, 8))
    small = info_nce(a, p, n, tau=0.01)
    large = info_nce(a * 1e15, p * 1e-8, n * 1e12, tau=0.01)
    assert large.item() == pytest.approx(small.item(), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    a, p, n = (torch.tensor(x).to(dtype) for x in batch(8, 16))
    got = info_nce(a, p, n)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(
        info_nce(a.double(), p.double(), n.double()).item(), rel=1e-5
    )


def test_autocast_does_not_round_the_similarities():
    a, p, n = (torch.tensor(x, dtype=torch.float32) for x in batch(8, 16))
    outside = info_nce(a, p, n, variant="released")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = info_nce(a, p, n, variant="released")
    assert inside.item() == outside.item()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 7), st.integers(0, 10_000), st.sampled_from(["paper", "released"]))
def test_order_of_the_rows_does_not_matter(n, seed, variant):
    a, p, m = batch(n, 4, seed=seed)
    keep = random_keep(n, 2, seed=seed)
    order = np.random.default_rng(seed).permutation(n)
    columns = np.concatenate([order, n + order])
    before = info_nce(a, p, m, keep=keep, variant=variant, tau=0.5)
    after = info_nce(
        a[order], p[order], m[order], keep=keep[order][:, columns], variant=variant, tau=0.5
    )
    assert after.item() == pytest.approx(before.item(), rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10_000))
def test_masking_only_lowers_the_paper_loss(n, seed):
    a, p, m = batch(n, 4, seed=seed)
    assert info_nce(a, p, m, keep=random_keep(n, 2, seed)) <= info_nce(a, p, m) + 1e-12


def test_numpy_and_torch_agree():
    a, p, n = batch(5, 6)
    tensors = [torch.tensor(x) for x in (a, p, n)]
    assert info_nce(a, p, n).item() == info_nce(*tensors).item()


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(tau=0.0), "tau"),
        (dict(tau=float("nan")), "tau"),
        (dict(variant="printed"), "variant"),
        (dict(positive=np.ones((3, 4))), "one shape"),
        (dict(negative=np.ones((4, 3))), "one shape"),
        (dict(anchor=np.ones(4)), "matrix"),
        (dict(anchor=np.ones((0, 4)), positive=np.ones((0, 4)), negative=None), "at least one row"),
        (dict(anchor=np.full((4, 4), np.nan)), "NaN or infinite"),
        (dict(negative=np.full((4, 4), np.inf)), "NaN or infinite"),
        (dict(keep=np.ones((4, 4), bool)), r"\[4, 8\]"),
        (dict(keep=np.ones((4, 8))), "bool"),
        (dict(keep=~np.eye(4, 8, dtype=bool)), "own positive"),
        (dict(keep=~np.eye(4, 8, k=4, dtype=bool)), "own hard negative"),
        (dict(keep=~np.eye(4, 8, dtype=bool), variant="released"), "own positive"),
    ],
)
def test_bad_input_is_refused(change, words):
    a, p, n = batch(4, 4)
    given = dict(anchor=a, positive=p, negative=n) | change
    with pytest.raises(ValueError, match=words):
        info_nce(given.pop("anchor"), given.pop("positive"), given.pop("negative"), **given)


def test_released_does_not_protect_the_own_hard_negative():
    a, p, n = batch(4, 4)
    keep = ~np.eye(4, 8, k=4, dtype=bool)
    got = info_nce(a, p, n, tau=0.3, keep=keep, variant="released")
    assert got.item() == pytest.approx(loop_released(a, p, n, 0.3, keep), rel=1e-12)


# ---------------------------------------------------------------- the mask of Eq. 6


def loop_keep(a, p, n, sigma, texts=None):
    rows = len(a)
    keep = np.ones((rows, 2 * rows), bool)
    for i in range(rows):
        for k in range(rows):
            if k == i:
                continue
            for column, other, part in ((k, p[k], 1), (rows + k, n[k], 2)):
                if cosine(a[i], other) >= sigma:
                    keep[i, column] = False
                if texts and texts[part][k] in (texts[0][i], texts[1][i]):
                    keep[i, column] = False
    return keep


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 7), st.integers(0, 10_000), st.floats(-1, 1))
def test_mask_equals_the_loop(n, seed, sigma):
    a, p, m = batch(n, 3, seed=seed)
    assert (false_negative_keep(a, p, m, sigma=sigma).numpy() == loop_keep(a, p, m, sigma)).all()


def test_mask_never_takes_the_own_pair():
    same = np.ones((4, 3))
    keep = false_negative_keep(same, same, same, sigma=0.9)
    assert keep.dtype == torch.bool and keep.shape == (4, 8)
    assert (keep.numpy() == np.tile(np.eye(4, dtype=bool), 2)).all()
    assert torch.isfinite(info_nce(*batch(4, 4), keep=keep))


def test_the_threshold_itself_is_masked():
    a, p = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[1.0, 0.0], [1.0, 0.0]])
    assert not false_negative_keep(a, p, p, sigma=1.0)[0, 1]  # Eq. 6: ≥, not >


def test_duplicates_are_masked_by_text_where_the_guide_is_blind():
    a, p, n = batch(3, 6, seed=5)  # random directions: the guide sees nothing alike
    texts = (["x", "x", "z"], ["y", "y", "x"], ["no", "no", "y"])
    plain = false_negative_keep(a, p, n, sigma=0.99)
    keep = false_negative_keep(a, p, n, sigma=0.99, texts=texts)
    assert plain.all()
    assert (keep.numpy() == loop_keep(a, p, n, 0.99, texts)).all()
    assert not keep[0, 1] and not keep[1, 0]  # the duplicate's positive is the own positive
    assert keep[0, 4] and keep[1, 3]  # its hard negative stays a negative
    assert not keep[0, 2] and not keep[0, 5]  # the anchor itself, the own positive elsewhere


def test_mask_without_hard_negatives():
    a, p, _ = batch(3, 6)
    keep = false_negative_keep(a, p, None, texts=(["a", "b", "c"], ["d", "d", "e"], None))
    assert keep.shape == (3, 3) and not keep[0, 1] and keep.diagonal().all()


def test_mask_carries_no_gradient():
    a, p, n = (torch.tensor(x, requires_grad=True) for x in batch(3, 4))
    assert not false_negative_keep(a, p, n).requires_grad


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(sigma=1.5), "sigma"),
        (dict(sigma=float("nan")), "sigma"),
        (dict(texts=(["a"], ["b"], ["c"])), "3 lists of 4"),
        (dict(texts=(list("abcd"), list("abcd"))), "3 lists of 4"),
    ],
)
def test_bad_mask_input_is_refused(change, words):
    with pytest.raises(ValueError, match=words):
        false_negative_keep(*batch(4, 4), **change)


# ---------------------------------------------------------------- ranking distillation


def loop_ranking(a, p, ta, tp, tau, teacher_tau):
    """RankCSE's ListNet, one row and one candidate at a time."""
    total = 0.0
    for i in range(len(a)):
        others = [j for j in range(len(a)) if j != i]
        student = [np.exp(cosine(a[i], p[j]) / tau) for j in others]
        teacher = [np.exp(cosine(ta[i], tp[j]) / teacher_tau) for j in others]
        for s, t in zip(student, teacher, strict=True):
            total -= t / sum(teacher) * np.log(s / sum(student))
    return total / len(a)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 9), seed=st.integers(0, 999), tau=st.sampled_from([0.05, 0.2, 1.0]))
def test_ranking_equals_the_loop(n, seed, tau):
    a, p, _ = batch(n, 8, seed)
    ta, tp, _ = batch(n, 5, seed + 1)
    got = rank_distillation(a, p, ta, tp, tau=tau)
    assert np.isclose(got, loop_ranking(a, p, ta, tp, tau, tau), rtol=1e-6)
    got = rank_distillation(a, p, ta, tp, tau=tau, teacher_tau=0.3)
    assert np.isclose(got, loop_ranking(a, p, ta, tp, tau, 0.3), rtol=1e-6)


def test_ranking_gradient_equals_finite_differences():
    a, p, _ = batch(5, 4)
    ta, tp, _ = (torch.tensor(x, requires_grad=True) for x in batch(5, 6, seed=1))
    a, p = (torch.tensor(x, requires_grad=True) for x in (a, p))
    assert torch.autograd.gradcheck(lambda a, p: rank_distillation(a, p, ta, tp, tau=0.5), (a, p))
    rank_distillation(a, p, ta, tp).backward()
    assert ta.grad is None and tp.grad is None and a.grad.isfinite().all()


def test_ranking_is_least_where_the_lists_agree():
    a, p, _ = batch(6, 4)
    agree = rank_distillation(a, p, 3 * a, p, tau=0.1, teacher_tau=0.1)
    off = ~np.eye(6, dtype=bool)
    cosines = np.array([[cosine(u, v) for v in p] for u in a])[off].reshape(6, 5) / 0.1
    teacher = np.exp(cosines) / np.exp(cosines).sum(1, keepdims=True)
    assert np.isclose(agree, -(teacher * np.log(teacher)).sum(1).mean())
    for seed in range(5):
        other, same, _ = batch(6, 4, seed=seed + 10)
        assert rank_distillation(other, same, a, p, tau=0.1, teacher_tau=0.1) > agree


def test_the_own_pair_has_no_part_in_the_ranking():
    a, p, _ = batch(2, 6)
    ta, tp, _ = batch(2, 6, seed=1)
    assert float(rank_distillation(a, p, ta, tp)) == 0.0  # one other row: it comes first


def test_ranking_in_half_precision_and_under_autocast():
    a, p, _ = (torch.tensor(x, dtype=torch.float32) for x in batch(8, 16))
    ta, tp, _ = batch(8, 16, seed=1)
    want = rank_distillation(a, p, ta, tp)
    assert want.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(rank_distillation(a, p, ta, tp), want)
    half = rank_distillation(a.half(), p.half(), ta, tp)
    assert half.dtype == torch.float32 and torch.isclose(half, want, rtol=0.02)


@pytest.mark.parametrize(
    "change, words",
    [
        (dict(anchor=np.ones((1, 3)), positive=np.ones((1, 3))), "two rows or more"),
        (dict(teacher_anchor=np.ones((3, 2)), teacher_positive=np.ones((3, 2))), "3 of the teach"),
        (dict(positive=np.ones((4, 2))), "positive has shape"),
        (dict(teacher_positive=np.full((4, 3), np.nan)), "NaN"),
        (dict(tau=0.0), "tau must be a positive"),
        (dict(teacher_tau=-1.0), "tau must be a positive"),
    ],
)
def test_bad_ranking_input_is_refused(change, words):
    names = ("anchor", "positive", "teacher_anchor", "teacher_positive")
    with pytest.raises(ValueError, match=words):
        rank_distillation(**{name: np.ones((4, 3)) for name in names} | change)


# ---------------------------------------------------------------- any length


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("factor", [1e20, 1e-20, 1e30, 1e-30, 1e38, 1e-37])
@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("chunk_size", [None, 4])
def test_embeddings_of_any_length(dtype, factor, variant, chunk_size):
    parts = [torch.tensor(x).clamp(-3, 3).to(dtype) for x in batch(12, 8, seed=4)]
    scaled = [(part.double() * factor).to(dtype) for part in parts]
    assert all(part.isfinite().all() for part in scaled)
    want = info_nce(*(part.double() / factor for part in scaled), variant=variant)
    for part in scaled:
        part.requires_grad_()
    got = info_nce(*scaled, variant=variant, chunk_size=chunk_size)
    assert got.item() == pytest.approx(want.item(), rel=1e-4)
    got.backward()
    assert all(part.grad.isfinite().all() for part in scaled)
    keep = false_negative_keep(*scaled, sigma=0.3)
    assert torch.equal(keep, false_negative_keep(*(x.double() / factor for x in scaled), sigma=0.3))
    a, p, n = (part.detach() for part in scaled)
    ranked = rank_distillation(a, p, p, n)
    assert ranked.item() == pytest.approx(
        rank_distillation(*(x.double() / factor for x in (a, p, p, n))).item(), rel=1e-4
    )


def test_the_smallest_float16():
    parts = [torch.tensor(x).half() for x in batch(12, 8, seed=4)]
    tiny = [part * 2.0**-14 for part in parts]  # partly below the least normal float16
    want = info_nce(*(part.double() for part in tiny))
    assert info_nce(*tiny).item() == pytest.approx(want.item(), rel=1e-4)


def test_rows_of_very_different_lengths():
    a, p, n = (torch.tensor(x, dtype=torch.float32) for x in batch(6, 8))
    want = info_nce(a, p, n)
    lengths = 10.0 ** torch.tensor([-35, -20, 0, 3, 20, 36])[:, None]
    for chunk_size in (None, 4):
        got = info_nce(a * lengths, p / lengths.flip(0), n * lengths, chunk_size=chunk_size)
        assert got.item() == pytest.approx(want.item(), rel=1e-5)


@pytest.mark.parametrize("chunk_size", [None, 2])
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_a_zero_vector_is_unlike_everything_and_has_no_gradient(variant, chunk_size):
    a, p, n = (torch.tensor(x, dtype=torch.float32) for x in batch(5, 8))
    a[1] = p[2] = n[3] = 0.0
    parts = [part.requires_grad_() for part in (a, p, n)]
    loss = info_nce(*parts, variant=variant, chunk_size=chunk_size)
    loss.backward()
    aside = [F.pad(part.detach().double(), (0, 3)) for part in parts]  # a direction of its own
    aside[0][1, 8] = aside[1][2, 9] = aside[2][3, 10] = 1.0
    assert loss.item() == pytest.approx(info_nce(*aside, variant=variant).item(), rel=1e-5)
    for part, row in zip(parts, (1, 2, 3), strict=True):
        assert (part.grad[row] == 0).all() and part.grad.isfinite().all()
        assert part.grad.abs().max() < 100 and part.grad[0].abs().sum() > 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10_000))
def test_unit_rows_and_their_gradient(n, seed):
    x = torch.tensor(np.random.default_rng(seed).normal(size=(n, 5)), requires_grad=True)
    assert torch.allclose(unit(x), F.normalize(x, dim=-1), atol=1e-15)
    assert torch.autograd.gradcheck(unit, (x,))


# ---------------------------------------------------------------- in chunks


def value_and_gradients(parts, **options):
    parts = [None if part is None else torch.tensor(part, requires_grad=True) for part in parts]
    loss = info_nce(*parts, **options)
    (3 * loss).backward()
    return loss.item(), [part.grad for part in parts if part is not None]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 12), st.integers(0, 10_000), st.booleans(), st.booleans(),
    st.sampled_from(["paper", "released"]), st.sampled_from([0.05, 0.3]),
)  # fmt: skip
def test_chunks_equal_the_whole(n, size, seed, hard, masked, variant, tau):
    parts = batch(n, 4, seed=seed, hard=hard)
    keep = random_keep(n, 2 if hard else 1, seed=seed) if masked else None
    want, gradients = value_and_gradients(parts, tau=tau, keep=keep, variant=variant)
    asked = []

    def by_rows(rows):
        asked.append(rows)
        return keep[rows]

    for mask in (keep, by_rows) if masked else (None,):
        got, found = value_and_gradients(
            parts, tau=tau, keep=mask, variant=variant, chunk_size=size
        )
        assert got == pytest.approx(want, rel=1e-10, abs=1e-12)
        for one, other in zip(found, gradients, strict=True):
            assert torch.allclose(one, other, rtol=1e-8, atol=1e-11)
    if masked:
        assert [r.stop - r.start for r in asked] == [min(size, n - s) for s in range(0, n, size)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 10_000), st.floats(-1, 1), st.booleans())
def test_the_mask_in_chunks_equals_the_loop(n, seed, sigma, hard):
    a, p, m = batch(n, 3, seed=seed)
    rng = np.random.default_rng(seed)
    texts = [[str(word) for word in rng.integers(0, 6, size=n)] for _ in range(3)]
    want = loop_keep(a, p, m, sigma, texts)
    if not hard:
        m, texts[2], want = None, None, want[:, :n]
    keep = losses.false_negative_rows(a, p, m, sigma=sigma, texts=texts)
    for start in range(n):
        rows = slice(start, min(n, start + 3))
        assert (keep(rows).numpy() == want[rows]).all()


def test_a_loss_in_chunks_has_its_gradient_once():
    parts = [torch.tensor(x, requires_grad=True) for x in batch(4, 3)]
    loss = info_nce(*parts, chunk_size=2)
    loss.backward()
    with pytest.raises(RuntimeError, match="once"):
        loss.backward()
    with torch.no_grad():
        assert not info_nce(*parts, chunk_size=2).requires_grad
    assert info_nce(*batch(4, 3), chunk_size=3).item() == pytest.approx(
        info_nce(*batch(4, 3)).item()
    )


class Products(TorchDispatchMode):
    """Counts matrix products."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func.__name__.split(".")[0] in ("mm", "addmm", "addmm_")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("chunk_size", [None, 4])
@pytest.mark.parametrize("variant", ["paper", "released"])
def test_only_gradients_that_are_wanted_are_computed(chunk_size, variant):
    whole = [torch.tensor(x, requires_grad=True) for x in batch(8, 5)]
    info_nce(*whole, variant=variant).backward()
    chunks = 1 if chunk_size is None else 2
    for wanted in ((), (0,), (1,), (0, 2), (0, 1, 2)):
        parts = [torch.tensor(x, requires_grad=i in wanted) for i, x in enumerate(batch(8, 5))]
        with Products() as products:
            loss = info_nce(*parts, variant=variant, chunk_size=chunk_size)
            if wanted:
                loss.backward()
        # forward 2 products; 2 for the anchor, which both kinds of candidates pull, 1 for each kind
        assert products.count == chunks * (2 + 2 * (0 in wanted) + sum(i > 0 for i in wanted))
        for i, (part, full) in enumerate(zip(parts, whole, strict=True)):
            assert (part.grad is not None) == (i in wanted)
            assert part.grad is None or torch.allclose(part.grad, full.grad, atol=1e-12)
    with torch.no_grad(), Products() as products:
        info_nce(*whole, variant=variant, chunk_size=chunk_size)
    assert products.count == 2 * chunks


def test_the_whole_loss_has_its_gradient_as_often_as_asked():
    parts = [torch.tensor(x, requires_grad=True) for x in batch(6, 4)]
    loss = info_nce(*parts)
    first = torch.autograd.grad(loss, parts, retain_graph=True)
    second = torch.autograd.grad(2 * loss, parts)
    for one, two in zip(first, second, strict=True):
        assert torch.allclose(2 * one, two)


def test_chunks_hold_no_square():
    """Twice the rows, twice the memory; at once it is four times."""
    parts = {n: [torch.randn(n, 16) for _ in range(3)] for n in (512, 1024)}

    def most(n, **options):
        leaves = [part.clone().requires_grad_() for part in parts[n]]
        keep = losses.false_negative_rows(*parts[n]) if options else (
            lambda rows: false_negative_keep(*parts[n])
        )  # fmt: skip
        return peak_bytes(
            lambda: info_nce(*leaves, keep=keep, **options).backward(), torch.device("cpu")
        )

    assert most(1024, chunk_size=16) < 2.5 * most(512, chunk_size=16)
    assert most(1024) > 3.5 * most(512) and most(1024) > 20 * most(1024, chunk_size=16)


@pytest.mark.parametrize("chunk_size", [0, -3, 1.5])
def test_a_chunk_is_a_whole_number_of_rows(chunk_size):
    with pytest.raises(ValueError, match="chunk_size"):
        info_nce(*batch(4, 4), chunk_size=chunk_size)


def test_a_callable_mask_is_checked_too():
    for wrong, words in (
        (lambda rows: np.ones((4, 8), bool), r"\[2, 8\]"),
        (lambda rows: ~np.eye(4, 8, dtype=bool)[rows], "own positive"),
        (lambda rows: ~np.eye(4, 8, k=4, dtype=bool)[rows], "own hard negative"),
    ):
        with pytest.raises(ValueError, match=words):
            info_nce(*batch(4, 4), keep=wrong, chunk_size=2)


def test_the_mask_is_not_rounded_under_autocast():
    a, p, n = (torch.tensor(x, dtype=torch.float32) for x in batch(64, 8))
    want = false_negative_keep(a, p, n, sigma=0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(false_negative_keep(a, p, n, sigma=0.5), want)
        inside = info_nce(a, p, n, chunk_size=16)
    assert inside.item() == info_nce(a, p, n, chunk_size=16).item()


# ---------------------------------------------------------------- the released loss


def gradient(variant, parts, **options):
    anchor = torch.tensor(parts[0], requires_grad=True)
    info_nce(anchor, *parts[1:], variant=variant, **options).backward()
    return anchor.grad


@pytest.mark.parametrize("n", [2, 16, 64])
def test_how_much_smaller_the_released_gradient_is(n):
    """2N - 1 times where all cosines are nearly equal, N times where every row is right."""
    base = np.random.default_rng(0).normal(size=8)
    near = [base + 1e-5 * x for x in batch(n, 8)]
    paper, released = (gradient(variant, near) for variant in ("paper", "released"))
    assert torch.allclose(paper, (2 * n - 1) * released, rtol=1e-2, atol=1e-3 * paper.abs().max())
    a, _, m = batch(n, n + 8, seed=1)
    right = [a, a + 0.05 * m, m]
    paper, released = (gradient(variant, right) for variant in ("paper", "released"))
    assert paper.norm() / released.norm() == pytest.approx(n, rel=0.02)


def test_the_released_loss_where_float32_saturates():
    a, p, n = (torch.tensor(x, dtype=torch.float32) for x in batch(6, 8))
    for tau in (0.05, 0.005, 0.001):
        for hard in (n, a.clone()):  # a hard negative that is the anchor takes all probability
            parts = [part.clone().requires_grad_() for part in (a, p, hard)]
            loss = info_nce(*parts, tau=tau, variant="released")
            loss.backward()
            exact = [part.detach().double().requires_grad_() for part in parts]
            want = info_nce(*exact, tau=tau, variant="released")
            want.backward()
            assert loss.item() == pytest.approx(want.item(), rel=1e-4)
            for part, true in zip(parts, exact, strict=True):
                assert torch.allclose(part.grad.double(), true.grad, rtol=1e-2, atol=1e-2)
    mild = [x / 40 for x in batch(6, 8)]  # and there it is the definition, term by term
    assert info_nce(*mild, tau=0.2, variant="released").item() == pytest.approx(
        loop_released(*mild, 0.2, None), rel=1e-10
    )


# ---------------------------------------------------------------- without looking


class Looks(TorchDispatchMode):
    """Counts what makes a program wait for a GPU: values that are asked for."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if "_local_scalar_dense" in str(func) or "nonzero" in str(func):
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


KERNELS = {
    "info_nce": lambda x: info_nce(*x),
    "masked": lambda x: info_nce(*x, keep=losses.false_negative_keep(*x)),
    "released": lambda x: info_nce(*x, variant="released"),
    "in chunks": lambda x: info_nce(*x, keep=losses.false_negative_rows(*x), chunk_size=3),
    "texts": lambda x: losses.false_negative_keep(*x, texts=[list("abcdefgh")] * 3),
    "rank": lambda x: rank_distillation(*x[:2], *x[1:]),
    "refine": lambda x: losses.refine_similarity(x[0] @ x[0].T, torch.tensor(0.5)),
    "list_mle": lambda x: losses.list_mle(x[0], x[1]),
    "list_mle with padding": lambda x: losses.list_mle(x[0], x[1], mask=x[2] > -1),
}


@pytest.mark.parametrize("name", KERNELS)
def test_unchecked_asks_for_no_value(name):
    x = [torch.tensor(part, dtype=torch.float32) for part in batch(8, 6)]
    leaves = [part.clone().requires_grad_() for part in x]
    with losses.unchecked(), Looks() as looks:
        found = KERNELS[name](leaves)
        if found.requires_grad:
            found.sum().backward()
    assert looks.seen == []
    assert torch.allclose(found.float(), KERNELS[name](x).float(), atol=1e-6)
    with Looks() as looks:
        KERNELS[name](x)
    assert looks.seen  # outside of it the kernel does look, and refuses
    x[0][0] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        KERNELS[name](x)
    with losses.unchecked():
        KERNELS[name](x)


@pytest.mark.parametrize("chunk_size", [None, 1, 3, 8])
@pytest.mark.parametrize("variant", ["paper", "released"])
@pytest.mark.parametrize("hard", [True, False])
def test_unchecked_keeps_own_pairs_whatever_a_mask_says(hard, variant, chunk_size):
    """Eq. 6 exempts x^k = x: the loss and its gradient are those of the mask that keeps them."""
    parts, blocks = batch(7, 5, hard=hard), 2 if hard else 1
    right = random_keep(7, blocks)
    hides = right.copy()
    hides[:, :7][np.eye(7, dtype=bool)] = np.arange(7) % 2 == 0
    if variant == "paper":  # released, a row's own hard negative may be masked
        hides[:, -7:][np.eye(7, dtype=bool)] = False
    given = torch.as_tensor(hides)
    options = dict(variant=variant, tau=0.3)
    want, gradients = value_and_gradients(parts, keep=right, **options)
    with losses.unchecked():
        got, found = value_and_gradients(parts, keep=given, chunk_size=chunk_size, **options)
    assert math.isfinite(want) and got == pytest.approx(want, rel=1e-10)
    for one, other in zip(found, gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-8, atol=1e-11)
    assert np.array_equal(given.numpy(), hides)  # the caller's mask stays as it was
    with pytest.raises(ValueError, match="masks a row's own"):
        value_and_gradients(parts, keep=given, chunk_size=chunk_size, **options)


def test_numbers_of_sentences_stand_for_the_sentences():
    rng = np.random.default_rng(2)
    numbers = torch.as_tensor(rng.integers(0, 5, size=(3, 12)))
    texts = [[f"sentence {i}" for i in part] for part in numbers.tolist()]
    parts = batch(12, 4)
    want = false_negative_keep(*parts, texts=texts)
    assert torch.equal(false_negative_keep(*parts, texts=numbers), want)
    assert (~want).sum() > (~false_negative_keep(*parts)).sum()
    with pytest.raises(ValueError, match="3 lists of 12"):
        false_negative_keep(*parts, texts=numbers[:, :4])
