"""How far two correct float32 computations of one value may lie apart."""

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
