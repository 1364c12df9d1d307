"""Kernels that turn embeddings into a training signal.

Contrastive learning with in-batch negatives and hard negatives (SimCSE; MultiCSR Eqs. 5 and 7;
ART Eq. 5), the mask that takes false negatives out of it (MultiCSR Eq. 6), and a teacher's ranking
of the batch (RankCSE). Similarities that agree with the order of a list, and the loss that learns a
ranking from them (ranking sentences, Eqs. 6 to 8).
"""

import contextlib
import contextvars
import math
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

VARIANTS = ("paper", "released")
REFINEMENTS = ("paper", "printed", "released")
_LOOKS = contextvars.ContextVar("whether values are looked at", default=True)


@contextlib.contextmanager
def unchecked():
    """Inside of it the kernels of this module look at shapes and types, and at no value.

    To ask whether a tensor on a GPU is finite, the program waits until the GPU has computed it. A
    training loop that has checked its first step can do without. NaN goes through then, and a mask
    that hides a row's own pair is taken as if it kept it, as Eq. 6 says.
    """
    before = _LOOKS.set(False)
    try:
        yield
    finally:
        _LOOKS.reset(before)


def info_nce(
    anchor, positive, negative=None, *, tau=0.05, keep=None, variant="paper", chunk_size=None
):
    """InfoNCE with in-batch negatives, optional hard negatives and an optional mask.

    Row i is asked to find its own positive among all positives and all hard negatives of the
    batch, by cosine similarity at temperature `tau`; the result is the mean over rows of

        -log( exp(cos(h_i, h_i⁺)/τ) / Σ_k Σ_± keep[i, k±] · exp(cos(h_i, h_k±)/τ) )

    Parameters
    ----------
    anchor, positive : float array or tensor [N, d]
        Embeddings, of any length (`unit`); half precision is computed in float32.
    negative : float array or tensor [N, d], optional
        Hard negatives. Without them only the positives of the other rows are negatives.
    tau : float > 0
        Temperature (0.05 in all three papers).
    keep : bool array or tensor [N, 2N], or [N, N] without `negative`, or callable, optional
        False takes a candidate out of a row's denominator. Columns: the N positives, then the N
        hard negatives. A row's own positive and own hard negative must be kept (Eq. 6: x^k ≠ x).
        A callable gets a slice of the rows and returns their mask [rows, 2N].
    variant : {"paper", "released"}
        "paper": Eq. 7, a masked term is removed from the sum. "released": what MultiCSR's code
        does: a masked logit becomes 0 (so exp(0) = 1 stays in the sum; only the own positive is
        protected), and the loss is the binary cross-entropy of each softmax probability, averaged
        over all N × 2N entries. Without a mask its gradient is 2N - 1 times smaller where all
        cosines are equal, and N times where every row finds its positive. It is computed from the
        logits, so it stays finite where float32 knows no probability but 0 and 1 (and where the
        library under the released code cuts each logarithm off at -100).
    chunk_size : int, optional
        So many rows at a time, for batches so large that [N, 2N] numbers are too many: same loss,
        same gradient, in no more time. `keep` should be a callable then, for instance
        `false_negative_rows`. The gradient is computed together with the loss, for the embeddings
        that want one and not under `torch.no_grad`; so there is one backward pass for a loss,
        whatever factor it brings. Default: all rows at once.

    Returns
    -------
    scalar tensor, float32 or float64

    Raises
    ------
    ValueError
        For shapes that do not fit, an empty batch, NaN or infinite embeddings, `tau` ≤ 0, an own
        pair that `keep` masks, an unknown variant, `chunk_size` < 1.

    Source: SimCSE (Gao et al. 2021) Eqs. 4 and 5; MultiCSR §3.3, Eqs. 5 and 7; ART §3.3, Eq. 5.
    """
    anchor, candidates = _checked(anchor, positive, negative, tau, variant)
    if chunk_size is not None:
        return _in_chunks(anchor, candidates, tau, keep, variant, chunk_size)
    n = len(anchor)
    keep = _mask(keep, slice(0, n), n, len(candidates), variant, anchor.device)
    parts, lengths = zip(*map(_measured, (anchor, *candidates)), strict=True)
    # Autocast would compute the similarities in half precision: at τ = 0.05 that is ± 0.1 a logit.
    with torch.autocast(anchor.device.type, enabled=False):
        logits = _Cosines.apply(lengths, *parts) / tau  # [N, 2N]
        own = torch.arange(n, device=anchor.device)
        return contrast(logits, own, keep, variant) / n


def contrast(logits, own, keep=None, variant="paper"):
    """The losses of some rows, added up: the heart of `info_nce`, without its checks.

    Parameters
    ----------
    logits : float tensor [rows, candidates]
        Cosines / τ.
    own : int tensor [rows]
        The column of each row's positive.
    keep : bool tensor [rows, candidates], optional
        False = masked.
    variant : {"paper", "released"}

    Returns
    -------
    scalar tensor

    Source: MultiCSR § 3.3, Eqs. 5 and 7.
    """
    if variant == "released":
        return _released(logits if keep is None else logits * keep, own)
    if keep is not None:
        logits = torch.where(keep, logits, -torch.inf)
    return F.cross_entropy(logits, own, reduction="sum")


def _released(logits, own):
    """Binary cross-entropy of every softmax probability q: mean over columns, sum over rows.

    log(1 - q) would be -∞ where q rounds to 1. Only a row's largest can; for it 1 - q is what all
    others have together.
    """
    log_q = logits.log_softmax(dim=-1)
    own, top = own[:, None], log_q.argmax(dim=-1, keepdim=True)
    others = log_q.scatter(-1, top, torch.finfo(log_q.dtype).min).logsumexp(dim=-1, keepdim=True)
    log_not = torch.log1p(-log_q.exp().scatter(-1, top, 0.0)).scatter(-1, top, others)
    total = log_q.gather(-1, own).sum() + log_not.scatter(-1, own, 0.0).sum()
    return -total / logits.shape[1]


def unit(x):
    """Rows at length 1.

    A row of zeros has no direction: it stays, its cosine with everything is 0, and no gradient
    reaches it. (So it is with a row whose numbers are all below the least normal one of their type,
    10⁻³⁸ in float32.)

    Parameters
    ----------
    x : float tensor [..., d]
        Of any length: the power of two in a row's largest number is divided out first, which rounds
        nothing and keeps the squares from overflow and underflow.

    Returns
    -------
    tensor [..., d]
    """
    return _Unit.apply(x)


class _Unit(torch.autograd.Function):
    """PyTorch's `normalize` for any length, with a faster gradient."""

    @staticmethod
    def forward(ctx, x):
        power = _power(x)
        scaled = x / power
        length = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
        length.masked_fill_(power.isinf(), 1.0)
        scaled.div_(length)
        ctx.save_for_backward(scaled, length, power)
        return scaled

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        x, length, power = ctx.saved_tensors
        along = (gradient * x).sum(dim=-1, keepdim=True)  # a longer row is no nearer to anything
        return torch.addcmul(gradient, x, along, value=-1).div_(length).div_(power)


def _power(x):
    """[..., 1]: the power of two at or below a row's largest number; ∞ for a row of zeros."""
    largest = x.detach().abs().amax(dim=-1, keepdim=True)
    power = largest / (2 * largest.frexp().mantissa)
    return power.masked_fill(largest < torch.finfo(x.dtype).tiny, torch.inf)


def _in_chunks(anchor, candidates, tau, keep, variant, size):
    """`info_nce`, `size` rows at a time."""
    if int(size) != size or size < 1:
        raise ValueError(f"chunk_size must be a whole number of rows from 1 up, got {size}")
    parts, lengths = zip(*map(_measured, (anchor, *candidates)), strict=True)
    learns = torch.is_grad_enabled() and any(part.requires_grad for part in parts)
    with torch.autocast(anchor.device.type, enabled=False):
        return _Chunks.apply(lengths, tau, keep, variant, int(size), learns, *parts)


class _Chunks(torch.autograd.Function):
    """The loss and its gradients in one go, so that no [N, 2N] numbers wait for a second pass."""

    @staticmethod
    def forward(ctx, lengths, tau, keep, variant, size, learns, anchor, *candidates):
        n, loss = len(anchor), anchor.new_zeros(())
        length, *lengths = lengths
        wanted = [learns and asked for asked in ctx.needs_input_grad[6:]]
        ctx.gradients = [
            torch.zeros_like(part) if asked else None
            for part, asked in zip((anchor, *candidates), wanted, strict=True)
        ]
        pulls = [its.new_zeros(n) for its in lengths]  # Σ slope · cosine of each candidate
        for start in range(0, n, size):
            rows = slice(start, min(start + size, n))
            kept = _mask(keep, rows, n, len(candidates), variant, anchor.device)
            own = torch.arange(rows.start, rows.stop, device=anchor.device)
            ours = anchor[rows] / length[rows]
            logits = _cosines(ours, candidates, lengths).div_(tau)  # [rows, 2N]
            part, slopes = _sloped(logits, own, kept, variant, any(wanted))
            del kept
            loss += part / n
            if any(wanted):
                pull, slopes = logits.mul_(slopes).div_(n), slopes.div_(tau * n)
                for block, columns in enumerate(slopes.split(n, dim=1)):
                    if wanted[1 + block]:
                        ctx.gradients[1 + block].addmm_(columns.T, ours)
                        pulls[block] += pull[:, block * n : (block + 1) * n].sum(dim=0)
                if wanted[0]:
                    ctx.gradients[0][rows] = _pulled(
                        ours, length[rows], pull, slopes, candidates, lengths
                    )
            del logits, slopes
        for gradient, part, its, pull in zip(
            ctx.gradients[1:], candidates, lengths, pulls, strict=True
        ):
            if gradient is not None:
                _turned(gradient, part, its, pull)
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slope):
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("a loss in chunks has its gradient once: compute the loss again")
        return *[None] * 6, *(None if g is None else g.mul_(slope) for g in gradients)


def _sloped(logits, own, keep, variant, learns):
    """The losses of some rows, added up, and their slopes along the logits if it `learns`."""
    if not learns:
        return contrast(logits, own, keep, variant), None
    if variant == "released":
        with torch.enable_grad():
            logits = logits.detach().requires_grad_()
            loss = contrast(logits, own, keep, variant)
        return loss.detach(), *torch.autograd.grad(loss, logits)
    log_q = logits if keep is None else torch.where(keep, logits, -torch.inf)
    log_q, own = log_q.log_softmax(dim=-1), own[:, None]
    loss = -log_q.gather(-1, own).sum()
    slopes = log_q.exp_()  # in place: a chunk holds few numbers at a time
    return loss, slopes.scatter_add_(-1, own, slopes.new_full(own.shape, -1.0))


class _Cosines(torch.autograd.Function):
    """[N, 2N] cosines of the anchors with all candidates; no vector is copied to length 1 for it.

    The cosine c of two vectors x and y has the gradient (y / |y| - c · x / |x|) / |x| along x: all
    that is needed are products with the slopes of the loss along the cosines, and their sums.
    """

    @staticmethod
    def forward(ctx, lengths, anchor, *candidates):
        ours = anchor / lengths[0]
        cosines = _cosines(ours, candidates, lengths[1:])
        ctx.save_for_backward(ours, cosines, *lengths, *candidates)
        return cosines

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, slopes):
        ours, cosines, length, *rest = ctx.saved_tensors
        lengths, candidates = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        n, pull, gradients = len(ours), slopes * cosines, [None]
        for part, its, near, along, asked in zip(
            candidates, lengths, slopes.split(n, dim=1), pull.split(n, dim=1),
            ctx.needs_input_grad[2:], strict=True,
        ):  # fmt: skip
            gradients.append(_turned(near.T @ ours, part, its, along.sum(dim=0)) if asked else None)
        if ctx.needs_input_grad[1]:
            gradients[0] = _pulled(ours, length, pull, slopes, candidates, lengths)
        return None, *gradients


def _cosines(ours, candidates, lengths):
    """[rows, 2N]: unit vectors [rows, d] against candidates of known lengths, without a copy."""
    n = len(candidates[0])
    found = ours.new_empty(len(ours), n * len(candidates))
    for block, candidate, length in zip(found.split(n, dim=1), candidates, lengths, strict=True):
        torch.mm(ours, candidate.T, out=block).div_(length.T)
    return found


def _pulled(ours, length, pull, slopes, candidates, lengths):
    """The gradient along some anchors, whose unit vectors are `ours`."""
    found = ours * -pull.sum(dim=1, keepdim=True)
    for near, part, its in zip(
        slopes.split(len(candidates[0]), dim=1), candidates, lengths, strict=True
    ):
        found.addmm_(near / its.T, part)
    return found.div_(length)


def _turned(gradient, part, length, pull):
    """The gradient along candidates, from Σ slope · anchor [N, d] and Σ slope · cosine [N]."""
    return gradient.addcmul_(part, pull[:, None] / length, value=-1).div_(length)


def _measured(x):
    """`x` [N, d] and the lengths of its rows [N, 1], ∞ for zeros, so that what it divides is 0.

    Rows so long or short that products of theirs leave the range of their type come back scaled.
    """
    limit = 2.0 ** (50 if x.dtype == torch.float32 else 500)
    if _LOOKS.get():
        length = torch.linalg.vector_norm(x.detach(), dim=-1, keepdim=True)
        least, most = torch.aminmax(length)
        if 1 / limit < least and most < limit:
            return x, length
    power, limit = _power(x), limit**2
    if _LOOKS.get():
        far = (power < 1 / limit) | ((power > limit) & power.isfinite())
        if far.any():
            scale = power.masked_fill(~far, 1.0)
            x, power = x / scale, power / scale
    length = torch.linalg.vector_norm(x.detach() / power, dim=-1, keepdim=True) * power
    return x, length.masked_fill_(power.isinf(), torch.inf)


def false_negative_keep(guide_anchor, guide_positive, guide_negative, *, sigma=0.9, texts=None):
    """Which in-batch candidates stay in the loss: the complement of the false negatives.

    A candidate of another row that the guide P_η finds as similar to the anchor as `sigma` or
    more is taken for a false negative. A row's own positive and own hard negative are exempt by
    index, so they are never masked.

    Parameters
    ----------
    guide_anchor, guide_positive : float array or tensor [N, d]
        The guide's embeddings of the batch; no gradient flows through them.
    guide_negative : float array or tensor [N, d] or None
        None for a batch without hard negatives.
    sigma : float in [-1, 1]
        Threshold on the cosine similarity (0.9 in the paper).
    texts : (anchors, positives, negatives), each a list of N strings, optional
        The sentences. Another row's candidate that is, word for word, the row's anchor or its
        own positive is masked too, whatever the guide says. (Eq. 6 exempts x^k = x; read by text
        that would spare the very duplicates of Fig. 4.) Without hard negatives the third is None.
        Instead of strings: an integer tensor [N], one number for each distinct sentence.

    Returns
    -------
    bool tensor [N, 2N] ([N, N] without hard negatives), True = keep; for `info_nce(keep=…)`.

    Raises
    ------
    ValueError
        For shapes that do not fit, NaN or infinite embeddings, `sigma` outside [-1, 1], or
        `texts` that are not N strings each.

    Source: MultiCSR §3.3, Eq. 6; σ = 0.9 in §4.1, swept in Appendix E.
    """
    return false_negative_rows(
        guide_anchor, guide_positive, guide_negative, sigma=sigma, texts=texts
    )(slice(None))


def false_negative_rows(guide_anchor, guide_positive, guide_negative, *, sigma=0.9, texts=None):
    """`false_negative_keep` for a few rows at a time, where [N, 2N] would not fit.

    Parameters
    ----------
    guide_anchor, guide_positive, guide_negative, sigma, texts
        As in `false_negative_keep`.

    Returns
    -------
    callable
        ``keep(rows: slice) -> bool tensor [rows, 2N]``, for ``info_nce(keep=…, chunk_size=…)``.

    Raises
    ------
    ValueError
        As `false_negative_keep`.

    Source: MultiCSR §3.3, Eq. 6.
    """
    if not -1 <= sigma <= 1:
        raise ValueError(f"sigma is a cosine similarity in [-1, 1], got {sigma}")
    anchor, candidates = _checked(guide_anchor, guide_positive, guide_negative, 1.0, "paper")
    n = len(anchor)
    anchor, length = _measured(anchor.detach())
    candidates, lengths = zip(*(_measured(part.detach()) for part in candidates), strict=True)
    numbers = None if texts is None else _numbered(texts, n, len(candidates), anchor.device)

    def keep(rows):
        with torch.autocast(anchor.device.type, enabled=False):  # half precision has no 0.9
            kept = _cosines(anchor[rows] / length[rows], candidates, lengths) < sigma  # [rows, 2N]
        start, stop, _ = rows.indices(n)
        for place, block in enumerate(kept.split(n, dim=1)):
            if numbers is not None:
                for said in numbers[:2]:  # the row's anchor, the row's positive
                    block &= numbers[1 + place] != said[rows, None]
            block[:, start:stop].fill_diagonal_(True)  # the own pair
        return kept

    return keep


def rank_distillation(
    anchor, positive, teacher_anchor, teacher_positive, *, tau=0.05, teacher_tau=None
):
    """ListNet between a teacher's and a student's ranking of the batch.

    For row i every other row's positive has a similarity to the anchor. A softmax makes these N - 1
    numbers the probabilities of being ranked first; the result is the mean over rows of

        -Σ_{j≠i} softmax_j(cos(t_i, t_j⁺)/τ_T) · log softmax_j(cos(h_i, h_j⁺)/τ)

    The own pair is left out: it comes first in both lists, and would hide the order of the others.

    Parameters
    ----------
    anchor, positive : float array or tensor [N, d]
        The student's embeddings, N ≥ 2.
    teacher_anchor, teacher_positive : float array or tensor [N, t]
        The teacher's embeddings of the same sentences; no gradient flows through them.
    tau, teacher_tau : float > 0
        Temperatures of student and teacher, by default the same: the public reimplementation of
        RankCSE divides both by 0.05. (It speaks of half of that for the teacher, and never uses
        it.)

    Returns
    -------
    scalar tensor, float32 or float64. Its minimum is the mean entropy of the teacher's lists.

    Raises
    ------
    ValueError
        For shapes that do not fit, fewer than two rows, NaN or infinite embeddings, a temperature
        that is not positive.

    Source: RankCSE (Liu et al. 2023), ranking distillation with ListNet (Cao et al. 2007).
    """
    teacher_tau = tau if teacher_tau is None else teacher_tau
    anchor, (positive,) = _checked(anchor, positive, None, tau, "paper")
    known, (ranked,) = _checked(teacher_anchor, teacher_positive, None, teacher_tau, "paper")
    n = len(anchor)
    if len(known) != n or n < 2:
        raise ValueError(
            f"a ranking of the others needs two rows or more of both, got {n} of the student and "
            f"{len(known)} of the teacher"
        )
    own = torch.eye(n, dtype=torch.bool, device=anchor.device)
    with torch.autocast(anchor.device.type, enabled=False):
        with torch.no_grad():
            wanted = unit(known) @ unit(ranked).T / teacher_tau
            wanted = wanted.to(anchor).masked_fill(own, -torch.inf).softmax(dim=-1)  # [N, N]
        given = unit(anchor) @ unit(positive).T / tau
        given = given.masked_fill(own, -torch.inf).log_softmax(dim=-1)
        return -(wanted * given.masked_fill(own, 0.0)).sum(dim=-1).mean()


def refine_similarity(phi, omega, *, variant="paper"):
    """Move a teacher's similarities towards the order in which the sentences of a list stand.

    Sentence i of a list should be nearest to sentence i + 1, then to i + 2, and so on. Row i of the
    refined matrix, from its diagonal on, is

        φ̂[i, j] = φ[i, j] + sign(D) · log(ω |D| + 1),   D = sorted[j - i] - φ[i, j],

    where `sorted` holds φ[i, i:] in descending order: D leads from the value that stands in place j
    to the value that belongs there. The upper triangle is mirrored into the lower one.

    Parameters
    ----------
    phi : float array or tensor [..., n, n]
        Similarities of the n sentences in the order of the list; the upper triangle is read.
    omega : float ≥ 0, or float array or tensor that broadcasts to phi
        ω, the weight of the order; 0 leaves the similarities as they are. One number for all in the
        paper (0.5; 0.7 for SynCSE).
    variant : {"paper", "printed", "released"}
        "paper": as above, the reading in which Eq. 6, Eq. 7 and the order of the list agree.
        "printed": Algorithm 1 to the letter, D = φ[i, j] - φ[i, i + p], with p the place of
        φ[i, j] in `sorted` but φ unsorted: for two exchanged neighbours the sign is wrong.
        "released": the authors' code, |D| as above but its sign negative where p < j: p is counted
        from i and j from the start of the list, so later rows are only ever lowered.

    Returns
    -------
    tensor [..., n, n], float32 or float64, symmetric

    Raises
    ------
    ValueError
        For a shape that is not [..., n, n] with n ≥ 1, NaN or infinite similarities, ω that is
        negative or not finite, an unknown variant.

    Source: ranking sentences § 3.2, Eqs. 6 and 7; Appendix D, Algorithm 1. Equal values keep the
    order of the list.
    """
    if variant not in REFINEMENTS:
        raise ValueError(f"variant must be one of {REFINEMENTS}, got {variant!r}")
    phi = _square(phi)
    n = phi.shape[-1]
    if not isinstance(omega, (int, float)):
        omega = _finite(omega, "omega", 0).to(phi)
    if isinstance(omega, (int, float)) or _LOOKS.get():
        lowest = float(omega if isinstance(omega, (int, float)) else omega.min())
        if not 0 <= lowest < float("inf"):
            raise ValueError(f"omega must be 0 or more, got {lowest:g}")
    before, rank = _upper(n, phi.device)
    value, order = phi.masked_fill(before, -torch.inf).sort(dim=-1, descending=True, stable=True)
    if variant == "printed":
        place = order.argsort(dim=-1)  # p, where φ[i, j] stands in its sorted suffix
        row = torch.arange(n, device=phi.device)[:, None]
        distance = phi - phi.gather(-1, (row + place).clamp(max=n - 1))
    else:
        distance = value.gather(-1, rank.expand_as(phi)) - phi
    if variant == "released":  # p is counted from i, j from 0
        lower = order.argsort(dim=-1) < torch.arange(n, device=phi.device)
        distance = torch.where(lower, -distance.abs(), distance.abs())
    refined = phi + torch.log1p(omega * distance.abs()).copysign(distance)
    return torch.where(before, refined.mT, refined)


def adaptive_omega(phi):
    """An ω for each row that asks how far teacher and list agree there, instead of one for all.

    ω of row i is Kendall's rank correlation between the similarities φ[i, i + 1:] and the order of
    the list, and 0 where it is negative: where the teacher sees the same order, the list is
    believed in the places that remain; where it sees none, the teacher's similarities stay. There
    is no parameter. (An extension: the paper leaves ω's choice open, § 7.)

    Parameters
    ----------
    phi : float array or tensor [..., n, n]
        As in `refine_similarity`; the diagonal is not read.

    Returns
    -------
    tensor [..., n, 1], in [0, 1], for `refine_similarity`'s `omega`. A row with fewer than two
    later sentences has no order and gets 0; equal similarities count as no agreement.

    Raises
    ------
    ValueError
        As `refine_similarity`.
    """
    phi = _square(phi)
    n = phi.shape[-1]
    place = torch.arange(n, device=phi.device)
    later = place[:, None] < place  # [j, k]: k is further from the row's sentence than j
    both = later & (place[:, None, None] < place[:, None])  # [i, j, k]: i < j < k
    agreed = ((phi[..., :, None] - phi[..., None, :]).sign() * both).sum(dim=(-2, -1))
    pairs = both.sum(dim=(-2, -1)).clamp(min=1)
    return (agreed / pairs).clamp(min=0.0)[..., None]


@lru_cache(maxsize=64)
def _upper(n, device):
    """[n, n] twice: what stands before the diagonal, and the rank j - i of an entry in its suffix
    (0 before the diagonal). Kept, because a list is small and its masks take a third of the time.
    """
    with torch.inference_mode(False):
        place = torch.arange(n, device=device)
        along = place - place[:, None]
        return along < 0, along.clamp(min=0)


def list_mle(scores, targets, *, mask=None, reduction="sum"):
    """ListMLE: the negative log-probability of the targets' order under the scores.

    The probability of a ranking is that of drawing its items one after another without putting
    back, each with a chance proportional to exp(score) (Plackett and Luce). With the items of a row
    in descending order of their targets,

        loss = Σ_k ( log Σ_{l ≥ k} exp(s_l) - s_k )

    Only the order of the targets matters, not their size; equal targets keep their order.

    Parameters
    ----------
    scores : float array or tensor [..., n]
        What is trained, e.g. cosines / τ.
    targets : float array or tensor [..., n]
        Larger is to be ranked higher; no gradient flows through them.
    mask : bool array or tensor [..., n], optional
        True = an item, False = padding, which takes no part, whatever it holds.
    reduction : {"sum", "mean", "none"}
        Over the rows: the paper sums (Eq. 8), the released code takes the mean.

    Returns
    -------
    scalar tensor, or [...] with "none"; float32 or float64

    Raises
    ------
    ValueError
        For shapes that differ, an empty row, NaN or infinite values, an unknown reduction.

    Source: ranking sentences § 3.2, Eq. 8; Xia et al. (2008), Listwise approach to learning to
    rank.
    """
    if reduction not in ("sum", "mean", "none"):
        raise ValueError(f'reduction must be "sum", "mean" or "none", got {reduction!r}')
    if mask is not None:
        mask = mask if isinstance(mask, torch.Tensor) else torch.as_tensor(np.asarray(mask))
        if mask.dtype != torch.bool:
            raise ValueError(f"mask must be bool, True for an item, got {mask.dtype}")
    scores = _finite(scores, "scores", 1, mask)
    targets = _finite(targets, "targets", 1, mask).to(scores.device)
    for name, other in (("targets", targets), ("mask", mask)):
        if other is not None and other.shape != scores.shape:
            raise ValueError(
                f"{name} must have the shape of scores {tuple(scores.shape)}, "
                f"got {tuple(other.shape)}"
            )
    order = targets if mask is None else targets.masked_fill(~mask.to(targets.device), -torch.inf)
    order = order.detach().sort(dim=-1, descending=True, stable=True).indices  # padding last
    ranked = scores.gather(-1, order)
    padding = None if mask is None else ~mask.to(scores.device).gather(-1, order)
    loss = plackett_luce(ranked, padding).sum(dim=-1)
    return loss if reduction == "none" else getattr(loss, reduction)()


def plackett_luce(scores, padding=None):
    """The loss of each place of a ranking: the heart of `list_mle`, without its checks.

    Parameters
    ----------
    scores : float tensor [..., n]
        In the order of the targets, the best first.
    padding : bool tensor [..., n], optional
        True = no item: it takes no part, and its loss is 0.

    Returns
    -------
    tensor [..., n]
        log Σ_{l ≥ k} exp(s_l) - s_k for every place k.

    Source: ranking sentences § 3.2, Eq. 8.
    """
    if padding is not None:
        scores = scores.masked_fill(padding, 0.0)  # whatever it held, no gradient passes
    scores = scores - scores.detach().amax(dim=-1, keepdim=True)
    # Sums from the end, where the small terms are. Beyond e^60 the smallest might be lost; what is
    # exact then, torch.logcumsumexp, takes several times as long.
    if _LOOKS.get() and scores.min() > -60:
        terms = scores.exp() if padding is None else scores.exp().masked_fill(padding, 0.0)
        below = terms.flip(-1).cumsum(dim=-1).flip(-1)
        below = below.log() if padding is None else below.masked_fill(padding, 1.0).log()
    else:
        low = torch.finfo(scores.dtype).min
        kept = scores if padding is None else scores.masked_fill(padding, low)
        below = kept.flip(-1).logcumsumexp(dim=-1).flip(-1)
    loss = below - scores
    return loss if padding is None else loss.masked_fill(padding, 0.0)


def _numbered(texts, n, blocks, device):
    """Anchors, positives and, with hard negatives, these: a number [N] for each distinct text."""
    lists = [part for part in texts if part is not None]
    if len(lists) != 1 + blocks or any(len(part) != n for part in lists):
        sizes = [None if part is None else len(part) for part in texts]
        raise ValueError(f"texts must be {1 + blocks} lists of {n} sentences, got lists of {sizes}")
    if all(isinstance(part, torch.Tensor) for part in lists):
        return [part.to(device) for part in lists]
    number = {}
    return [
        torch.tensor([number.setdefault(text, len(number)) for text in part], device=device)
        for part in lists
    ]


def _checked(anchor, positive, negative, tau, variant):
    """Anchor and candidates of `info_nce` as tensors of one floating type; refuse what is none."""
    if variant not in VARIANTS:
        raise ValueError(f"variant must be one of {VARIANTS}, got {variant!r}")
    if not 0 < tau < float("inf"):
        raise ValueError(f"tau must be a positive temperature such as 0.05, got {tau}")
    named = {"anchor": anchor, "positive": positive, "negative": negative}
    parts = {name: _matrix(name, value) for name, value in named.items() if value is not None}
    shape = parts["anchor"].shape
    for name, part in parts.items():
        if part.shape != shape:
            raise ValueError(
                f"{name} has shape {tuple(part.shape)}, anchor {tuple(shape)}: "
                "all embeddings of a batch must have one shape [N, d]"
            )
    dtype = torch.promote_types(parts["anchor"].dtype, parts["positive"].dtype)
    anchor, *candidates = (part.to(dtype) for part in parts.values())
    return anchor, candidates


def _matrix(name, value):
    """A finite float tensor [N, d] with N ≥ 1 and d ≥ 1, at least float32."""
    tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value))
    if tensor.ndim != 2 or 0 in tensor.shape:
        raise ValueError(
            f"{name} must be a matrix [N, d] with at least one row, got shape {tuple(tensor.shape)}"
        )
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    if _LOOKS.get() and not math.isfinite(tensor.detach().sum()):  # or a very large sum
        bad = int((~torch.isfinite(tensor)).any(dim=1).sum())
        if bad:
            raise ValueError(f"{name} has NaN or infinite values in {bad} of {len(tensor)} rows")
    return tensor


def _square(phi):
    phi = _finite(phi, "phi", 2)
    if phi.shape[-2] != phi.shape[-1]:
        raise ValueError(f"phi must be square, [..., n, n], got shape {tuple(phi.shape)}")
    return phi


def _finite(value, name, dims, mask=None):
    """A finite float tensor of at least `dims` dimensions, at least float32; masked values may be
    anything."""
    tensor = value if isinstance(value, torch.Tensor) else torch.as_tensor(np.asarray(value))
    if tensor.ndim < dims or 0 in tensor.shape:
        shape = "[..., n, n]" if dims == 2 else "[..., n]"
        raise ValueError(f"{name} must be {shape} with n ≥ 1, got shape {tuple(tensor.shape)}")
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    if _LOOKS.get() and not math.isfinite(tensor.detach().sum()):  # or a very large sum
        finite = torch.isfinite(tensor)
        if mask is not None and mask.shape == tensor.shape:
            finite = finite | ~mask.to(tensor.device)
        if not finite.all():
            bad = int((~finite).sum())
            raise ValueError(
                f"{name} has NaN or infinite values in {bad} of {finite.numel()} places"
            )
    return tensor


def _mask(keep, rows, n, blocks, variant, device):
    """`keep` for some rows, as a bool tensor [rows, blocks·N] that keeps their own pairs."""
    if keep is None:
        return None
    if callable(keep):
        keep = keep(rows)
        wanted = (rows.stop - rows.start, blocks * n)
    else:
        wanted = (n, blocks * n)
    keep = keep if isinstance(keep, torch.Tensor) else torch.as_tensor(np.asarray(keep))
    if keep.dtype != torch.bool or keep.shape != wanted:
        raise ValueError(
            f"keep must be a bool mask [{wanted[0]}, {wanted[1]}], "
            f"got {keep.dtype} with shape {tuple(keep.shape)}"
        )
    keep = (keep if len(keep) < n else keep[rows]).to(device)
    if not _LOOKS.get():
        keep = keep.clone()  # the caller's own mask stays as it is
    for block, role in enumerate(("positive", "hard negative")[:blocks]):
        if role == "hard negative" and variant == "released":
            continue
        own = keep[:, block * n + rows.start : block * n + rows.stop].diagonal()
        if not _LOOKS.get():
            own.fill_(True)
        elif not own.all():
            raise ValueError(f"keep masks a row's own {role}; its diagonal must be True")
    return keep
