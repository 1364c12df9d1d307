"""Refined similarity and ListMLE against loops written from the equations."""

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import kendalltau

from synthlib.losses import REFINEMENTS, adaptive_omega, list_mle, refine_similarity

# ------------------------------------------------------------------ refined similarity


def places(values):
    """Each entry's place in descending order; equal values keep their order."""
    order = sorted(range(len(values)), key=lambda k: -values[k])
    return [order.index(k) for k in range(len(values))]


def loop_eq6(phi, omega):
    """Eqs. 6 and 7 sentence by sentence, with the case distinction that the paper prints."""
    n = len(phi)
    refined = np.array(phi, dtype=float)
    for i in range(n):
        suffix = [float(x) for x in phi[i][i:]]
        held, in_order = places(suffix), sorted(suffix, reverse=True)
        for j in range(i, n):
            r, r_hat = j - i, held[j - i]  # the rank that the list gives, and the similarity's
            m = math.log(omega * abs(phi[i][j] - in_order[r]) + 1)
            if r < r_hat:
                refined[i, j] = phi[i][j] + m
            elif r > r_hat:
                refined[i, j] = phi[i][j] - m
            refined[j, i] = refined[i, j]
    return refined


def loop_printed(phi, omega):
    """Algorithm 1, lines 1 to 12, with j′ counted from i in the row as it stands."""
    n = len(phi)
    delta = np.zeros((n, n))
    for i in range(n):
        held = places([float(x) for x in phi[i][i:]])
        for j in range(i, n):
            delta[i, j] = phi[i][j] - phi[i][i + held[j - i]]
    return _add(phi, delta, omega)


def loop_released(phi, omega):
    """The released rule: distance from the sorted value, sign by place (from i) < j (from 0)."""
    n = len(phi)
    delta = np.zeros((n, n))
    for i in range(n):
        suffix = [float(x) for x in phi[i][i:]]
        held, in_order = places(suffix), sorted(suffix, reverse=True)
        for j in range(i, n):
            size = abs(phi[i][j] - in_order[j - i])
            delta[i, j] = -size if held[j - i] < j else size
    return _add(phi, delta, omega)


def _add(phi, delta, omega):
    n = len(phi)
    refined = np.array(phi, dtype=float)
    for i in range(n):
        for j in range(i, n):
            size = abs(delta[i, j])
            refined[i, j] += np.sign(delta[i, j]) * math.log(omega * size + 1)
            refined[j, i] = refined[i, j]
    return refined


LOOPS = {"paper": loop_eq6, "printed": loop_printed, "released": loop_released}


def cosines(n, seed=0, drift=0.15, width=24):
    """Similarities of a list that drifts away from its first sentence, as generated lists do."""
    rng = np.random.default_rng(seed)
    vectors = np.cumsum(rng.normal(size=(n, width)) * drift, axis=0) + rng.normal(size=width)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


def test_all_variants_are_tested():
    assert set(LOOPS) == set(REFINEMENTS)


@pytest.mark.parametrize("variant", REFINEMENTS)
@pytest.mark.parametrize("n", range(1, 34))
def test_equals_the_loop(variant, n):
    for omega in (0.0, 0.5, 1.7):
        phi = cosines(n, seed=n)
        got = refine_similarity(phi, omega, variant=variant)
        assert got.dtype == torch.float64
        assert np.allclose(got, LOOPS[variant](phi, omega), atol=1e-12)


@pytest.mark.parametrize("variant", REFINEMENTS)
def test_ties_and_constant_rows(variant):
    rng = np.random.default_rng(4)
    for _ in range(30):
        half = np.round(rng.uniform(-1, 1, (9, 9)), 0)  # -1, 0 and 1 only
        phi = np.triu(half) + np.triu(half, 1).T
        assert np.allclose(
            refine_similarity(phi, 0.7, variant=variant), LOOPS[variant](phi, 0.7), atol=1e-12
        )
    constant = np.full((6, 6), 0.3)
    assert np.array_equal(refine_similarity(constant, 0.7, variant=variant).numpy(), constant)


@pytest.mark.parametrize("variant", REFINEMENTS)
def test_scaled_similarities_equal_the_loop(variant):
    phi = cosines(12) / 0.05  # the released code refines cosines / τ
    assert np.allclose(
        refine_similarity(phi, 0.5, variant=variant), LOOPS[variant](phi, 0.5), atol=1e-10
    )


@pytest.mark.parametrize("variant", REFINEMENTS)
def test_a_batch_equals_its_lists_one_by_one(variant):
    phi = torch.tensor(np.stack([cosines(11, seed) for seed in range(6)]), dtype=torch.float32)
    whole = refine_similarity(phi.view(2, 3, 11, 11), 0.5, variant=variant)
    for one, row in zip(whole.view(6, 11, 11), phi, strict=True):
        assert torch.equal(one, refine_similarity(row, 0.5, variant=variant))


@pytest.mark.parametrize("variant", REFINEMENTS)
def test_omega_0_changes_nothing(variant):
    phi = cosines(17)
    assert np.array_equal(refine_similarity(phi, 0, variant=variant).numpy(), phi)


def test_a_sorted_list_stays():
    n = 8
    phi = np.array([[1 - abs(i - j) / n for j in range(n)] for i in range(n)])
    for variant in REFINEMENTS:
        assert np.array_equal(refine_similarity(phi, 0.9, variant=variant).numpy(), phi)


def test_two_exchanged_neighbours():
    """The case that tells the readings apart: sentence 3 is nearer to sentence 1 than 2 is."""
    phi = np.array([[1.0, 0.5, 0.8], [0.5, 1.0, 0.9], [0.8, 0.9, 1.0]])
    step = math.log(0.5 * 0.3 + 1)
    paper = refine_similarity(phi, 0.5)
    assert paper[0, 1].item() == pytest.approx(0.5 + step)  # up, towards .8
    assert paper[0, 2].item() == pytest.approx(0.8 - step)  # down, towards .5
    printed = refine_similarity(phi, 0.5, variant="printed")
    assert printed[0, 1].item() == pytest.approx(0.5 - step)
    assert printed[0, 2].item() == pytest.approx(0.8 + step)
    # In row 1 the released rule is right; further down it compares unlike counts.
    assert np.allclose(refine_similarity(phi, 0.5, variant="released"), paper)


def test_released_only_lowers_in_the_second_half():
    n = 20
    phi = cosines(n, seed=2)
    change = refine_similarity(phi, 0.5, variant="released").numpy() - phi
    below = change[n // 2 :, n // 2 :]
    assert (below <= 1e-12).all() and (below < -1e-6).any()
    right = refine_similarity(phi, 0.5).numpy() - phi
    assert (right[n // 2 :, n // 2 :] > 1e-6).any()


def test_omega_for_each_row():
    phi = cosines(7)
    omega = np.linspace(0, 1, 7)[:, None]
    got = refine_similarity(phi, omega)
    for i in range(7):
        assert torch.allclose(got[i, i:], refine_similarity(phi, float(omega[i, 0]))[i, i:])


SQUARES = st.integers(1, 9).flatmap(
    lambda n: hnp.arrays(np.float64, (n, n), elements=st.floats(-20, 20, width=32))
)


@settings(max_examples=150, deadline=None)
@given(SQUARES, st.floats(0, 1))
def test_values_move_towards_the_order_and_never_past_it(phi, omega):
    """What the paper's reading promises, for ω ≤ 1: log(1 + ω|D|) ≤ |D|."""
    refined = refine_similarity(phi, omega).numpy()
    assert np.array_equal(refined, refined.T)
    for i in range(len(phi)):
        goal = np.sort(phi[i, i:])[::-1]
        before, after = phi[i, i:], refined[i, i:]
        low, high = np.minimum(before, goal), np.maximum(before, goal)
        assert (after >= low - 1e-9).all() and (after <= high + 1e-9).all()


@settings(max_examples=60, deadline=None)
@given(SQUARES, st.floats(0.1, 3), st.sampled_from(REFINEMENTS))
def test_random_matrices_equal_the_loop(phi, omega, variant):
    assert np.allclose(
        refine_similarity(phi, omega, variant=variant), LOOPS[variant](phi, omega), atol=1e-9
    )


def test_types():
    phi = cosines(5)
    assert refine_similarity(torch.tensor(phi, dtype=torch.float16), 0.5).dtype == torch.float32
    assert refine_similarity(phi.tolist(), 0.5).dtype == torch.float64
    assert refine_similarity([[1]], 0.5).tolist() == [[1.0]]


@pytest.mark.parametrize(
    "phi, omega, variant, words",
    [
        (np.ones((3, 4)), 0.5, "paper", r"square, \[..., n, n\], got shape \(3, 4\)"),
        (np.ones(3), 0.5, "paper", r"phi must be \[..., n, n\]"),
        (np.ones((0, 0)), 0.5, "paper", "n ≥ 1"),
        (np.full((2, 2), np.nan), 0.5, "paper", "phi has NaN or infinite values in 4 of 4"),
        (np.full((2, 2), np.inf), 0.5, "paper", "NaN or infinite"),
        (np.ones((2, 2)), -0.1, "paper", "omega must be 0 or more, got -0.1"),
        (np.ones((2, 2)), float("nan"), "paper", "omega must be 0 or more, got nan"),
        (np.ones((2, 2)), [[0.5], [-1.0]], "paper", "omega must be 0 or more, got -1"),
        (np.ones((2, 2)), float("inf"), "paper", "omega must be 0 or more, got inf"),
        (np.ones((2, 2)), 0.5, "eq6", "variant must be one of"),
    ],
)
def test_refine_similarity_refuses(phi, omega, variant, words):
    with pytest.raises(ValueError, match=words):
        refine_similarity(phi, omega, variant=variant)


# ------------------------------------------------------------------ adaptive ω


@pytest.mark.parametrize("n", [1, 2, 3, 4, 12, 33])
def test_adaptive_omega_is_kendalls_correlation(n):
    phi = np.stack([cosines(n, seed, drift=0.4) for seed in range(4)])
    got = adaptive_omega(phi)
    assert got.shape == (4, n, 1)
    for one, omega in zip(phi, got, strict=True):
        for i in range(n):
            want = 0.0
            if n - 1 - i >= 2:
                want = max(0.0, kendalltau(one[i, i + 1 :], -np.arange(i + 1, n)).statistic)
            assert omega[i, 0].item() == pytest.approx(want, abs=1e-12)


def test_adaptive_omega_of_known_lists():
    n = 6
    gap = np.abs(np.arange(n)[:, None] - np.arange(n))
    assert adaptive_omega(1 - gap / n)[:, 0].tolist() == [1, 1, 1, 1, 0, 0]
    assert adaptive_omega(gap / n).abs().max() == 0  # a teacher that sees the opposite order
    assert adaptive_omega(np.ones((n, n))).abs().max() == 0  # or none
    refined = refine_similarity(cosines(n), adaptive_omega(cosines(n)))
    assert torch.isfinite(refined).all()


@pytest.mark.parametrize("phi", [np.ones((3, 4)), np.full((2, 2), np.nan), np.ones(3)])
def test_adaptive_omega_refuses(phi):
    with pytest.raises(ValueError, match="phi"):
        adaptive_omega(phi)


# ------------------------------------------------------------------ ListMLE


def loop_mle(scores, targets, mask=None):
    """Eq. 8 by drawing one item after another, in exact order of the targets, for each row."""
    rows = []
    mask = np.ones(np.shape(scores), dtype=bool) if mask is None else mask
    for s, t, m in zip(scores, targets, mask, strict=True):
        items = [k for k in range(len(s)) if m[k]]
        items.sort(key=lambda k: -t[k])
        loss = 0.0
        for k in range(len(items)):
            left = [float(s[item]) for item in items[k:]]
            top = max(left)
            loss += top + math.log(sum(math.exp(x - top) for x in left)) - left[0]
        rows.append(loss)
    return np.array(rows)


def lists(rows, n, seed=0, scale=3.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(rows, n)) * scale, rng.normal(size=(rows, n))


@pytest.mark.parametrize("n", [1, 2, 3, 8, 33])
def test_list_mle_equals_the_loop(n):
    scores, targets = lists(9, n, seed=n)
    want = loop_mle(scores, targets)
    assert np.allclose(list_mle(scores, targets, reduction="none"), want, atol=1e-10)
    assert list_mle(scores, targets).item() == pytest.approx(want.sum(), rel=1e-12, abs=1e-12)
    mean = list_mle(scores, targets, reduction="mean")
    assert mean.item() == pytest.approx(want.mean(), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_it_is_a_probability_over_rankings(n):
    """exp(-loss) over all n! orders sums to 1."""
    scores = np.random.default_rng(n).normal(size=n) * 2
    orders = np.array([[-order.index(k) for k in range(n)] for order in permutations(range(n))])
    loss = list_mle(np.tile(scores, (len(orders), 1)), orders, reduction="none")
    assert torch.exp(-loss).sum().item() == pytest.approx(1.0, rel=1e-10)


def test_padding_takes_no_part():
    scores, targets = lists(6, 8)
    mask = np.arange(8) < np.array([8, 5, 3, 1, 0, 7])[:, None]
    want = loop_mle(scores, targets, mask)
    for hole in (0.0, 1e4, -np.inf, np.nan, -1.0):
        got = list_mle(
            np.where(mask, scores, hole), np.where(mask, targets, hole), mask=mask,
            reduction="none",
        )  # fmt: skip
        assert np.allclose(got, want, atol=1e-10)
    assert want[4] == 0
    # Wherever the padding stands, and whatever the scores' size.
    move = np.random.default_rng(1).permutation(8)
    for factor in (1, 100, 1e4):
        got = list_mle(
            factor * scores[:, move], targets[:, move], mask=mask[:, move], reduction="none"
        )
        assert np.allclose(got, loop_mle(factor * scores, targets, mask), rtol=1e-10)


def test_padding_gets_no_gradient():
    scores, targets = (torch.tensor(x) for x in lists(4, 6))
    mask = torch.arange(6) < torch.tensor([6, 4, 1, 0])[:, None]
    for factor in (1.0, 1e3):
        holes = (factor * scores).masked_fill(~mask, torch.nan).requires_grad_()
        list_mle(holes, targets, mask=mask).backward()
        assert torch.isfinite(holes.grad).all() and (holes.grad[~mask] == 0).all()
        assert holes.grad[0].abs().sum() > 0


@pytest.mark.parametrize("scale", [1.0, 30.0])  # the second takes the exact path
@pytest.mark.parametrize("masked", [False, True])
def test_gradients(scale, masked):
    scores, targets = lists(3, 5, scale=scale)
    scores = torch.tensor(scores, requires_grad=True)
    mask = torch.arange(5) < torch.tensor([5, 4, 2])[:, None] if masked else None
    assert torch.autograd.gradcheck(
        lambda s: list_mle(s, targets, mask=mask, reduction="none"), scores
    )
    goal = torch.tensor(targets, requires_grad=True)
    list_mle(scores, goal).backward()
    assert goal.grad is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_overflows(dtype):
    rng = np.random.default_rng(3)
    targets = rng.normal(size=(4, 20))
    for scale in (1e1, 1e2, 1e4, 1e6):
        scores = torch.tensor(rng.normal(size=(4, 20)) * scale, dtype=dtype, requires_grad=True)
        loss = list_mle(scores, targets)
        loss.backward()
        assert loss.item() == pytest.approx(loop_mle(scores.detach(), targets).sum(), rel=1e-5)
        assert torch.isfinite(scores.grad).all() and loss > 0
        if dtype == torch.float64:  # a shift of all scores changes nothing
            assert scores.grad.sum(dim=1).abs().max() < 1e-6


def test_the_last_items_count_where_they_are_tiny():
    """A sum from the front minus what is gone would lose them; so would adding 10⁻⁷ to each."""
    scores = torch.tensor([[0.0, -38.0, -40.0, -39.0]])
    targets = torch.tensor([[4.0, 3.0, 2.0, 1.0]])
    want = loop_mle(scores, targets)[0]
    assert list_mle(scores, targets).item() == pytest.approx(want, rel=1e-5)
    assert want > 1.5


def test_equal_targets_keep_their_order():
    scores = np.array([[0.1, 2.0, -1.0, 0.7]])
    tied = list_mle(scores, [[1.0, 0.0, 0.0, 0.0]])
    assert tied.item() == list_mle(scores, [[4.0, 3.0, 2.0, 1.0]]).item()


def test_a_minus_one_is_a_value_like_any_other():
    """The released loss takes targets of exactly -1 for padding."""
    scores, targets = lists(1, 5)
    targets[0, 2] = -1.0
    assert list_mle(scores, targets).item() == pytest.approx(loop_mle(scores, targets)[0])


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 8), st.integers(0, 10**6), st.floats(0.01, 100), st.floats(-50, 50))
def test_properties(n, seed, scale, shift):
    scores, targets = lists(3, n, seed)
    loss = list_mle(scores, targets, reduction="none")
    assert (loss >= -1e-9).all()
    # Only the order of the targets counts, and only differences of scores.
    assert torch.allclose(list_mle(scores, scale * targets + shift, reduction="none"), loss)
    assert torch.allclose(list_mle(scores + shift, targets, reduction="none"), loss, atol=1e-8)
    move = np.random.default_rng(seed).permutation(n)
    assert torch.allclose(
        list_mle(scores[:, move], targets[:, move], reduction="none"), loss, atol=1e-9
    )
    # The best order for given scores is their own.
    assert (list_mle(scores, scores, reduction="none") <= loss + 1e-9).all()


def test_rows_of_any_number_of_dimensions():
    scores, targets = lists(6, 5)
    want = list_mle(scores, targets, reduction="none")
    got = list_mle(scores.reshape(2, 3, 5), targets.reshape(2, 3, 5), reduction="none")
    assert torch.equal(got.flatten(), want)
    assert list_mle(scores[0], targets[0]).item() == pytest.approx(want[0].item())


def test_half_precision_is_computed_in_float32():
    scores, targets = lists(3, 9)
    half = torch.tensor(scores, dtype=torch.bfloat16)
    got = list_mle(half, targets)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(list_mle(half.double(), targets).item(), rel=1e-5)


@pytest.mark.parametrize(
    "scores, targets, options, words",
    [
        (np.ones((2, 3)), np.ones((2, 4)), {}, r"targets must have the shape of scores \(2, 3\)"),
        (np.ones((2, 0)), np.ones((2, 0)), {}, "n ≥ 1"),
        (1.0, 1.0, {}, r"scores must be \[..., n\]"),
        (np.full(3, np.nan), np.ones(3), {}, "scores has NaN or infinite values in 3 of 3"),
        (np.ones(3), [1, np.inf, 0], {}, "targets has NaN or infinite values in 1 of 3"),
        (np.ones(3), np.ones(3), {"mask": np.ones(3)}, "mask must be bool"),
        (np.ones(3), np.ones(3), {"mask": [True]}, "mask must have the shape"),
        (np.ones(3), np.ones(3), {"reduction": "max"}, "reduction must be"),
    ],
)
def test_list_mle_refuses(scores, targets, options, words):
    with pytest.raises(ValueError, match=words):
        list_mle(scores, targets, **options)
