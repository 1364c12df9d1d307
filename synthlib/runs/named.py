"""Models by their names: where they lie, which version it is, and whether they can be had."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import time
import weakref
from pathlib import Path

import numpy as np

from synthlib import endpoint, models
from synthlib.runs import shards

KINDS = {"generator": "generator", "discriminator": "nli", "judge": "nli"}  # by role; else encoders

_MODEL = ("config.json", "modules.json", "adapter_config.json")  # every saved folder has one
_OWN, _NEW = "synthlib-", 60  # a folder's name; seconds in which its lock may not be held yet


def folder_of(name) -> Path | None:
    """Folder of a model that is on this machine under its own name."""
    name = str(name)
    if name.startswith(("pocket/", "laptop/")):
        return models.place(name)[0]
    folder = Path(name).expanduser()
    return folder if folder.is_dir() else None


def knows_sentences(name) -> bool:
    """Whether an encoder on this machine was saved as a sentence encoder, with its pooling."""
    folder = at_hand(name)
    return folder is not None and (folder / "modules.json").is_file()


def fingerprint(name) -> str:
    """Tells two versions of a local model apart: sizes, beginnings and ends of its weights."""
    folder = folder_of(name)
    if folder is None or not any((folder / mark).is_file() for mark in _MODEL):
        return ""  # no model: loading it will say so, and its folders may be many
    digest = hashlib.blake2b(digest_size=4)
    files = sorted(folder.rglob("*.safetensors"))
    if models.is_adapter(folder) and (base := folder_of(models.base_of(folder))):
        files += sorted(base.rglob("*.safetensors"))
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as stream:
            digest.update(str(size).encode() + stream.read(2**20))
            stream.seek(max(0, size - 2**20))
            digest.update(stream.read())
    return f" ({digest.hexdigest()})"


def files_of(folder) -> dict:
    """Name in a folder to a file's bytes, as arrays: many processes of a machine can share them."""
    return {
        file.relative_to(folder).as_posix(): np.fromfile(file, np.uint8)
        for file in sorted(folder.rglob("*")) if file.is_file()
    }  # fmt: skip


def check_same(prints: dict) -> None:
    """Raise where this machine lacks a model that another one has, or has another.

    Parameters
    ----------
    prints : dict of str to str
        Name of a model to its `fingerprint` there; "" where it comes from the Hub.
    """
    for name, there in prints.items():
        if there and (here := fingerprint(name)) != there:
            what = "another model" if here else "no model"
            raise ValueError(
                f"there is {what} at {name}: put the same files there, on every machine under the "
                "same path, and give the same command again"
            )


def at_hand(name) -> Path | None:
    """Folder of a model that needs no download: of that name, or in the local cache.

    Raises
    ------
    ValueError, OSError
        For a path at which there is no model, and for what can be no name of one.
    """
    folder, text = folder_of(name), str(name)
    if folder is not None or endpoint.is_served(name):
        return folder
    with contextlib.suppress(ValueError):
        never = text.startswith((".", "/", "~", "laptop/")) or text.count("/") > 1
        if not never and not Path(text).is_file():
            return models.cached(text)
    return Path(models.find(name, "encoder")[0])  # raises: it says what is wrong with the name


def check_models(wanted: dict) -> None:
    """Raise where there is no sound model at a path; nothing is loaded and nothing downloaded.

    Parameters
    ----------
    wanted : dict of str to str
        Role to the name of its model.
    """
    for role, name in wanted.items():
        at_hand(name)
        if endpoint.is_served(name) and role not in KINDS:
            raise ValueError(
                f"the {role} {name} is behind an API, and its weights are needed: give a folder or "
                "a hub id"
            )
        if folder_of(name) is None:
            continue
        if role in KINDS:
            models.find(name, KINDS[role])
        else:
            models.resolve(name, models.pick_device(), None)


def size_of(name) -> str:
    """How large a model's files are, in brackets, or that it comes from the Hub."""
    if endpoint.is_served(name):
        return ""
    folder = at_hand(name)
    if folder is None:
        return " (from the Hub)"
    return f" ({sum(file.stat().st_size for file in folder.rglob('*.safetensors')) / 1e6:,.1f} MB)"


def own_folder(owner) -> Path:
    """An empty folder among the system's temporary ones, for as long as an object lives.

    Whoever is killed leaves its folder behind. A lock in it, which the system lifts then, tells
    that it is nobody's any more, and the next process of this machine that asks puts it away.
    """
    from filelock import FileLock

    for left in Path(tempfile.gettempdir()).glob(f"{_OWN}*"):
        with contextlib.suppress(OSError):  # somebody else's, or gone this moment
            age = time.time() - (left / ".lock").stat().st_mtime
            if age > _NEW and shards.holder(left)[0] is False:
                shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_OWN))
    lock = FileLock(folder / ".lock")
    lock.acquire()
    weakref.finalize(owner, _put_away, lock, folder)
    return folder


def _put_away(lock, folder):
    lock.release()
    shutil.rmtree(folder, ignore_errors=True)
