"""Kernels of the book Synthetic Contrast: training data for sentence embeddings, written by
language models.

Submodules load on first use: `import synthlib` is quick, `synthlib.losses` brings in torch.
"""

import importlib as _importlib
import importlib.util as _util
import os as _os
import platform as _platform
import shutil as _shutil
from dataclasses import dataclass as _dataclass

__version__ = "0.7.1"

#: Packages whose versions decide whether numbers can be compared.
_PACKAGES = ("torch", "transformers", "sentence-transformers", "datasets", "accelerate", "numpy")


def __getattr__(name):
    """Import a submodule when it is first asked for."""
    if not name.startswith("_") and _util.find_spec(f"{__name__}.{name}"):
        return _importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"synthlib has no {name!r}")


@_dataclass(frozen=True)
class Preflight:
    """What `preflight` found. True when nothing stands in the way."""

    tier: str
    device: str
    dtype: str
    free_memory_gb: float
    free_disk_gb: float
    versions: dict
    pocket_missing: tuple
    problems: tuple

    def __bool__(self):
        return not self.problems

    def _ipython_display_(self):
        """Nothing: the report is printed already."""


def preflight(tier=None):
    """Print where the book runs and what stands in the way, each with its remedy.

    What the tier needs is tried in small (see `trials`): a LoRA step, a step of training in this
    device's precision, writing, the pocket models. That takes some seconds, most of them for
    loading libraries that the chapters use, and leaves random states as they were.

    Parameters
    ----------
    tier : str, optional
        "pocket", "laptop", "colab" or "paper"; default: the environment variable SYNTHLIB_TIER,
        else pocket.

    Returns
    -------
    Preflight
        With tier, device, dtype (of generators), free memory and disk in GB, versions, the pocket
        models that are missing, and the problems as printed. Problems do not raise.

    Raises
    ------
    ValueError
        For an unknown tier; names the choices.
    """
    from synthlib import models, tiers, trials, weights

    tier = tiers.get(tier)
    device = models.pick_device()
    dtype = str(models.pick_dtype(device)).removeprefix("torch.")
    free = models.free_bytes(device) / 1e9
    disk = _shutil.disk_usage(_os.getcwd()).free / 1e9
    versions = {"python": _platform.python_version()} | _versions()
    missing = tuple(
        name for name in models.POCKET_MODELS
        if not (models.POCKET / name.removeprefix("pocket/") / "config.json").is_file()
    )  # fmt: skip
    laptop = weights.needed(tier.name) if tier.name == "laptop" else ()
    places = {name: models.place(name) for name in laptop}
    absent = [f"{name} ({where})" for name, (folder, where) in places.items() if folder is None]
    problems = (
        *_problems(tier, device, free, disk, versions, missing, absent),
        *trials.failures(tier, device),
    )

    kind, wanted, away = "pocket", models.POCKET_MODELS, missing
    if laptop:
        kind, wanted, away = "laptop", laptop, absent
    print(f"synthlib {__version__} · tier {tier.name} ({tier.needs})")
    print(f"device   {_device_name(device)} · {dtype} · {free:.1f} GB of memory free")
    present = f"{len(wanted) - len(away)} of {len(wanted)}"
    print(f"disk     {disk:.1f} GB free · {kind} models {present}")
    print("versions " + " · ".join(f"{name} {version}" for name, version in versions.items()))
    for problem in problems:
        print(f"!        {problem}")
    print("ready" if not problems else f"{len(problems)} to mend before you go on")
    return Preflight(
        tier.name, str(device), dtype, round(free, 1), round(disk, 1), versions, missing, problems
    )


def _versions():
    from importlib import metadata

    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def _device_name(device):
    import torch

    if device.type == "cuda":
        count = torch.cuda.device_count()
        return f"{torch.cuda.get_device_name(device)}" + (f" (1 of {count})" if count > 1 else "")
    return f"{device.type} ({_os.cpu_count()} cores, {torch.get_num_threads()} threads)"


def _problems(tier, device, free, disk, versions, missing, absent):
    """One line for each thing that is wrong, with its remedy."""
    for name, version in versions.items():
        if version == "missing":
            yield f"{name} is not installed: pip install {name}"
    yield from _too_old()
    if tier.name == "pocket" and missing:
        names = ", ".join(name.removeprefix("pocket/") for name in missing)
        yield f"pocket models missing ({names}): `git checkout -- data/pocket`, or `make pocket`"
    if absent:
        yield f"laptop models missing: {', '.join(absent)}"
    if tier.gpu and device.type == "cpu":
        yield (
            f"the {tier.name} tier needs a GPU: in Colab, Runtime → Change runtime type → T4 GPU; "
            "else set SYNTHLIB_TIER=pocket"
        )
    elif free < tier.memory_gb:
        smaller = "" if tier.name == "pocket" else ", or set SYNTHLIB_TIER=pocket"
        yield (
            f"{free:.1f} GB of memory are free, the {tier.name} tier needs {tier.memory_gb:g}: "
            f"close other programs or notebooks{smaller}"
        )
    if tier.downloads and _os.environ.get("HF_HUB_OFFLINE", "").upper() in (
        "1",
        "TRUE",
        "YES",
        "ON",
    ):
        yield (
            f"HF_HUB_OFFLINE is set and the {tier.name} tier downloads models: unset it, "
            "unless they are in the cache already"
        )
    if disk < (20 if tier.downloads else 1):
        yield f"only {disk:.1f} GB of disk are free: make room for checkpoints and downloads"


def _too_old():
    """Installed packages outside the ranges that synthlib was installed with."""
    from importlib import metadata

    from packaging.requirements import Requirement

    try:
        wanted = metadata.requires("synthlib") or []
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        return
    for requirement in map(Requirement, wanted):
        if requirement.marker is None:
            try:
                version = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                if requirement.name not in _PACKAGES:
                    yield f"{requirement.name} is not installed: pip install '{requirement}'"
                continue
            if not requirement.specifier.contains(version, prereleases=True):
                yield f"{requirement.name} is {version}: pip install '{requirement}'"
