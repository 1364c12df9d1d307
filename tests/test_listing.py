"""What a chapter prints of a kernel: it computes as the kernel does, and shows no check."""

import ast
import re

import pytest

from synthlib import listing, losses, ppo, rewards


def sample(x, n):
    """What it is for.

    Several lines.
    """

    unknown = set(x) - {1}  # for the check alone
    if unknown:
        raise ValueError(unknown)
    # of the length
    if n < 1:
        raise ValueError("n")
    _check_it(x)
    if x is None:
        x = 0  # this is work, no check
    elif n > 9:
        raise ValueError("x")
    try:
        y = [
            x
        ]
    except TypeError:
        raise ValueError("x") from None
    for i in range(n):
        if i > 5:
            raise RuntimeError("inside of a loop it is no check of the input")
        # said why
        x += i  # fmt: skip
    return x, y


def _check_it(x):
    pass


def test_what_only_refuses_is_left_out():
    assert listing.essential(sample) == (
        "def sample(x, n):\n"
        "    if x is None:\n"
        "        x = 0  # this is work, no check\n"
        "    elif n > 9:\n"
        '        raise ValueError("x")\n'
        "    y = [\n        x\n    ]\n"
        "    for i in range(n):\n"
        "        if i > 5:\n"
        '            raise RuntimeError("inside of a loop it is no check of the input")\n'
        "        # said why\n"
        "        x += i\n"
        "    return x, y"
    )
    assert "_check_it(x)" in listing.essential(sample, checks=True)


def test_what_is_printed_computes_the_same():
    import torch

    space = dict(vars(losses))
    exec(listing.essential(losses.refine_similarity), space)
    phi = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    phi = (phi + phi.mT) / 2
    assert torch.equal(space["refine_similarity"](phi, 0.5), losses.refine_similarity(phi, 0.5))
    space = dict(vars(rewards))
    exec(listing.essential(rewards.difficulty_reward), space)
    told = ([0.2, 0.9, 0.5], ["positive", "negative", "negative"], [0.1, 0.8, 0.8])
    assert (space["difficulty_reward"](*told) == rewards.difficulty_reward(*told)).all()
    assert "try" not in listing.essential(rewards.difficulty_reward)
    space = dict(vars(ppo))
    exec(listing.essential(ppo.gae), space)
    x = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(1))
    mask = torch.ones(3, 5, dtype=torch.bool)
    for ours, kernel in zip(space["gae"](*x, mask), ppo.gae(*x, mask), strict=True):
        assert torch.equal(ours, kernel)


def printed(root):
    """Chapter and what it prints of the package's source, by the syntax of its cells."""
    for path in sorted((root / "book" / "chapters").glob("[0-9][0-9]_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("getsource"):
                yield path.stem, ast.unparse(node)


def test_chapters_print_kernels_by_their_essential_lines(root):
    assert not list(printed(root))


@pytest.mark.parametrize("kernel", [losses.info_nce, losses.refine_similarity, ppo.ppo_loss])
def test_no_print_of_a_kernel_begins_with_a_check(kernel):
    body = listing.essential(kernel).split("\n")
    assert body[0].startswith(f"def {kernel.__name__}(")
    assert not any(re.match(r" {4}(raise|_?check)", line) for line in body)
