"""How far two correct computations of one value may lie apart."""

import numpy as np
import torch


def rounding(reference, terms):
    """A bound on the rounding error of a float32 sum, for `atol`.

    Whatever the order in which a processor adds `terms` summands, each addition rounds by at most
    half a unit in the last place of the largest value that it meets: the error of a sum is at most
    `terms` such units.

    Parameters
    ----------
    reference : array or tensor
        The values as float64 gives them; the largest of them is the scale.
    terms : int
        Summands of one value.
    """
    largest = float(np.abs(np.asarray(torch.as_tensor(reference).detach(), np.float64)).max())
    return terms * float(torch.finfo(torch.float32).eps) * largest


def after_training(plain, reference):
    """A bound for vectors of an encoder after some steps of Adam in float32, for `atol`.

    Adam divides a gradient by its size, so where a gradient is little more than rounding, its error
    counts as much as its value, and no sum tells how much. What a plain float32 loop does here,
    beside the same loop in float64, tells.

    Parameters
    ----------
    plain, reference : arrays
        Vectors after the same loop in float32 and in float64.
    """
    return 10 * float(np.abs(plain - reference).max()) + rounding(reference, 10)


def same_weights(encoder, other):
    """Whether two encoders have the same weights, but for rounding.

    Their vectors may differ all the same: an encoder that was trained in place in half precision,
    where a processor is faster in it, goes on to compute in it, and one that was loaded does not.
    """
    one, two = encoder.state_dict(), other.state_dict()
    return one.keys() == two.keys() and all(
        torch.allclose(weights, two[name], rtol=0, atol=1e-6) for name, weights in one.items()
    )
