"""Memory: how much of it is free, smaller batches where it runs out, and the way to a device.

Texts are written, judged and embedded row by row, whatever stands beside a row, so a smaller batch
changes the time that they take and nothing else.
"""

import contextlib
import functools
import gc
import sys
import warnings
import weakref
from pathlib import Path

import torch

# Devices, drivers and the libraries between them each have words of their own.
_WORDS = (
    "out of memory",  # CUDA, HIP, XPU, MPS
    "Invalid buffer size",  # MPS: one tensor alone is larger than its memory
    "can't allocate memory",  # CPU, Linux
    "not enough memory: you tried to allocate",  # CPU, Windows
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)

# Model → kind of work → the batch that fitted: a run calls the same kernel for every shard.
_fitted = weakref.WeakKeyDictionary()


class OutOfMemory(torch.OutOfMemoryError, OSError):
    """Not even one row fits; the message says what to do."""


def ran_out(error) -> bool:
    """Whether an exception says that memory ran out, on whatever device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)


def fitting(work, size, what, *, model=None):
    """``work(size)``, or with half of the size until memory suffices.

    Parameters
    ----------
    work : callable
        From a batch size to a result; it is called again from its beginning, with the random
        numbers that it began with.
    size : int ≥ 1
    what : str
        What a batch is counted in, for the one warning: "texts at a time".
    model : optional
        Remembers what fitted, so that later work of this kind starts there.

    Returns
    -------
    result
    size : int
        The one that did.

    Raises
    ------
    OutOfMemory
        When not even 1 fits.
    """
    known = {} if model is None else _fitted.setdefault(model, {})
    fits = size = min(size, known.get(what, size))
    random = _random_states()
    while True:
        try:
            found = work(fits)
            break
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            if fits == 1:
                raise OutOfMemory(
                    f"out of memory, even with 1 of the {what}: free memory, take a smaller model, "
                    "half precision (dtype='bfloat16'), shorter texts, or device='cpu'"
                ) from error
        fits //= 2
        _release()  # after the except block, which holds the failed pass' tensors
        _random_states(random)
    if fits < size:
        known[what] = fits
        warnings.warn(f"out of memory: from here {fits} {what}", stacklevel=2)
    return found, fits


def batches(work, rows, size, what, *, model=None):
    """``work(batch)`` over rows in batches, whose size is halved when memory runs out.

    Yields
    ------
    batch, result
        In order; a batch that failed is cut in half and done again.
    """
    start = 0
    while start < len(rows):
        left = min(size, len(rows) - start)
        found, fits = fitting(
            lambda n, at=start: work(rows[at : at + n]), left, what, model=model
        )  # fmt: skip
        yield rows[start : start + fits], found
        start += fits
        size = fits if fits < left else size


def _release():
    """Give back what a failed pass has left behind."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _random_states(states=None):
    """States of PyTorch's generators on all devices; set them where `states` are given."""
    devices = [torch]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        devices.append(torch.cuda)  # the current device's
    if torch.backends.mps.is_available():
        devices.append(torch.mps)
    if states is None:
        return [device.get_rng_state() for device in devices]
    for device, state in zip(devices, states, strict=False):
        device.set_rng_state(state)


def moved(tensor, device):
    """A tensor of main memory on a device, without waiting until it is there.

    A plain copy to a GPU waits until the GPU has done all that it was asked before; one from
    pinned memory takes its turn.

    Parameters
    ----------
    tensor : tensor
        In main memory; one that is on a device already may be given too.
    device : torch.device

    Returns
    -------
    tensor on `device`
    """
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def beside(*tensors):
    """Where to look up rows of tensors in every step of a training.

    Parameters
    ----------
    tensors : tensors in main memory

    Returns
    -------
    callable
        ``at(device)``: the tensors, copied to the device once where they take no more than an
        eighth of what is free there. Else they stay in main memory: then the rows that are looked
        up must be known there, for which a GPU is waited for in each step.
    """
    size = sum(tensor.nbytes for tensor in tensors)

    @functools.lru_cache(maxsize=1)
    def at(device):
        fits = device.type == "cpu" or 8 * size <= free_bytes(device)
        return tuple(tensor.to(device if fits else "cpu") for tensor in tensors)

    return at


# ---------------------------------------------------------------- how much is free


def free_bytes(device):
    """Bytes of memory that are free on a device.

    What PyTorch holds back without using it counts as free on a GPU, and what the system keeps of
    files (the page cache) in main memory. In a container its limit counts, not the machine.
    """
    if device.type == "cuda":
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + held
    import psutil

    free = [psutil.virtual_memory().available, *container_free()]
    if device.type == "mps":
        free.append(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return max(0, min(free))


def container_free(root="/sys/fs/cgroup", listing="/proc/self/cgroup"):
    """Free bytes within each memory limit that Linux' control groups set to this process.

    Parameters
    ----------
    root, listing : path
        Where the groups are mounted, and the file that names this process' groups.

    Returns
    -------
    list of int
        Empty without a limit, and on other systems.
    """
    root, free = Path(root), []
    try:
        lines = Path(listing).read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, kinds, path = line.split(":", 2)
        if not kinds:  # version 2: one tree for everything
            base, names = root, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in kinds.split(","):
            base = root / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # A container may see its own group as the root, under the name that it has outside.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts), -1, -1):
            free += _left_in(base.joinpath(*parts[:depth]), *names)
    return free


def _left_in(group, limit, used, cache):
    """Free bytes of one group, in a list; an empty one where it has no limit."""
    try:
        most = (group / limit).read_text().strip()
        if most == "max" or int(most) >= 2**60:
            return []
        about = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return [int(most) - int((group / used).read_text()) + int(about.get(cache, 0))]
    except (OSError, ValueError):
        return []


# ------------------------------------------------------------------ what was needed
def peak(device=None, *, anew=False) -> dict:
    """The most memory that this process has held, and that it has asked of a GPU.

    Parameters
    ----------
    device : torch.device, optional
    anew : bool
        Count the GPU's from here on. The process's own is of its whole life.

    Returns
    -------
    dict of str to int
        Bytes: process (where the system tells), device (CUDA alone).
    """
    found = {}
    with contextlib.suppress(ImportError):
        import resource

        held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found["process"] = held if sys.platform == "darwin" else 1024 * held
    if device is not None and torch.device(device).type == "cuda":
        found["device"] = torch.cuda.max_memory_allocated(device)
        if anew:
            torch.cuda.reset_peak_memory_stats(device)
    return found
