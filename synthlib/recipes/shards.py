"""Long work in shards: interrupt it at any moment, start it again, get the same result.

A run has a folder. `open_run` locks it and refuses it where it holds another run; `rows` divides
a step's rows into shards, which the processes of a run share out; each shard is written whole or
not at all, and carries the digest of its bytes in its name, so that a damaged one is noticed and
made again. A step must give the same rows for a shard whatever was done before it.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import io
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from synthlib.data import to_parquet, write_bytes

_RUN = "run.json"  # of a run's folder: what the run in it was asked to do


@dataclass(frozen=True)
class World:
    """The processes that share a run (`torchrun` or `accelerate launch` starts several)."""

    rank: int = 0
    size: int = 1

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.size > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


def world() -> World:
    """This process among those of its run."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return World()
    import torch
    from accelerate import PartialState

    # Shards take unequal time: who is done waits for the others, however long.
    state = PartialState(
        cpu=not torch.cuda.is_available(), timeout=datetime.timedelta(days=7)
    )  # fmt: skip
    return World(state.process_index, state.num_processes)


@contextlib.contextmanager
def open_run(folder, settings: dict, *, everyone: World = World()):
    """Hold a run's folder for the time of the work; make it where it is not there.

    Parameters
    ----------
    folder : path
    settings : dict
        All that decides the result, as JSON can hold it.
    everyone : World

    Raises
    ------
    ValueError
        If the folder holds a run with other settings (the message says which), or is no folder of
        a run, or another process is at work in it.
    """
    folder = Path(folder)
    with contextlib.ExitStack() as stack:
        if everyone.rank == 0:
            check_settings(folder, settings)
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_locked(folder))
            for unfinished in folder.rglob(".*.part"):
                unfinished.unlink()
            if not (folder / _RUN).is_file():
                content = json.dumps(settings, indent=1, sort_keys=True, ensure_ascii=False)
                write_bytes(folder / _RUN, content.encode())
        everyone.wait()
        check_settings(folder, settings)
        yield folder


@contextlib.contextmanager
def _locked(folder):
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")  # the system lifts it when the process ends, however it ends
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ValueError(
            f"another process is at work in {folder}: wait for it, or give another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def _refuse_foreign(folder):
    """A file, or a folder with things in it that no run of ours has put there."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; the name of a folder is wanted")
    if folder.is_dir() and not (folder / _RUN).is_file():
        found = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
        if found:
            raise ValueError(f"{folder} holds {found[0]} and no run: give a new or an empty folder")


def check_settings(folder, settings: dict) -> None:
    """Raise ValueError where a folder holds a run with other settings, naming them."""
    folder = Path(folder)
    _refuse_foreign(folder)
    if not (folder / _RUN).is_file():
        return
    try:
        held = json.loads((folder / _RUN).read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{folder / _RUN} is damaged: give another folder") from None
    wanted = json.loads(json.dumps(settings))
    other = [key for key in {**held, **wanted} if held.get(key) != wanted.get(key)]
    if other:
        said = ", ".join(f"{key} {held.get(key)} → {wanted.get(key)}" for key in other[:4])
        more = f" and {len(other) - 4} more" if len(other) > 4 else ""
        raise ValueError(
            f"{folder} holds a run with other settings ({said}{more}): give another folder, or "
            "delete this one"
        )


def rows(
    folder: Path,
    count: int,
    make: Callable[[int, int], pd.DataFrame],
    *,
    size: int,
    everyone: World = World(),
    progress: bool = True,
    unit: str = "row",
    say: Callable[[str], None] = tqdm.write,
) -> pd.DataFrame:
    """The rows of one step, made where they are not there yet.

    Parameters
    ----------
    folder : Path
        Of the step; its name is the step's name.
    count : int
        Rows of the step.
    make : function (start, stop) -> DataFrame
        Rows `start` to `stop` of the step; the same whatever was made before.
    size : int
        Rows of the input in a shard.
    everyone : World
        Each process makes every so many-th shard, and all of them return all rows.
    progress : bool
    unit : str
        Of the progress bar.
    say : function of str
        Gets a line for each damaged shard.

    Returns
    -------
    DataFrame
        The shards behind one another.
    """
    folder.mkdir(exist_ok=True)
    starts = range(0, count, size)
    mine = range(everyone.rank, len(starts), everyone.size)
    bar = tqdm(
        total=sum(min(size, count - starts[i]) for i in mine), desc=folder.name, unit=unit,
        disable=not progress,
    )  # fmt: skip
    with bar:
        for number in mine:
            stop = min(starts[number] + size, count)
            if _read(folder, number, say) is None:
                _write(folder, number, make(starts[number], stop))
            bar.update(stop - starts[number])
    everyone.wait()
    frames = [_read(folder, number, say) for number in range(len(starts))]
    absent = [number for number, frame in enumerate(frames) if frame is None]
    if absent:
        raise OSError(f"{folder}: shard {absent[0]} cannot be read back; run the command again")
    return pd.concat(frames, ignore_index=True)


def whole(folder: Path, count: int, size: int) -> bool:
    """Whether every shard of a step is there (not whether it is sound)."""
    numbers = {int(file.name.partition("-")[0]) for file in folder.glob("*.parquet")}
    return numbers >= set(range(len(range(0, count, size))))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def _write(folder, number, frame):
    content = to_parquet(frame)
    write_bytes(folder / f"{number:05d}-{_digest(content)}.parquet", content)


def _read(folder, number, say) -> pd.DataFrame | None:
    """A shard's rows, or None where there is no sound one."""
    for file in sorted(folder.glob(f"{number:05d}-*.parquet")):
        content = file.read_bytes()
        if f"{number:05d}-{_digest(content)}.parquet" == file.name:
            return pd.read_parquet(io.BytesIO(content))
        say(f"{file} is damaged and is made again")
        file.unlink()
    return None
