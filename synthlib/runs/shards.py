"""Long work in shards: interrupt it at any moment, start it again, get the same result.

A run has a folder. `open_run` locks it, refuses it where it holds another run, and puts aside what
no longer holds where only later settings have changed; `rows` divides
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
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from tqdm.auto import tqdm

from synthlib.paths import write_bytes
from synthlib.runs import journal

_RUN = "run.json"  # of a run's folder: what the run in it was asked to do
_MADE = "made_with"  # in it: what decides no run, and is noted
LOCKS = Path("/proc/locks")  # where Linux lists who holds a file


@dataclass(frozen=True)
class Processes:
    """The processes that share a run (`torchrun` or `accelerate launch` starts several)."""

    rank: int = 0
    size: int = 1

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.size > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


def processes() -> Processes:
    """This process among those of its run."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes()
    import torch
    from accelerate import PartialState

    # Shards take unequal time: who is done waits for the others, however long.
    state = PartialState(
        cpu=not torch.cuda.is_available(), timeout=datetime.timedelta(days=7)
    )  # fmt: skip
    return Processes(state.process_index, state.num_processes)


@contextlib.contextmanager
def open_run(folder, settings: dict, *, stale=None, call=None, everyone: Processes = Processes(),
             sentences=None):  # fmt: skip
    """Hold a run's folder for the time of the work; make it where it is not there.

    Parameters
    ----------
    folder : path
    settings : dict
        All that decides the result, as JSON can hold it.
    stale : function, optional
        stale({name: (old, new)} of the settings that differ from those of the run in the folder)
        -> names in the folder of what they make wrong, or None where that is all of it. The rest
        is read; what is wrong goes into a folder ``earlier-1`` (…) with the old ``run.json``.
    call : dict, optional
        How this call works (processes, versions …), which makes it no other run: noted in
        ``run.json``, each kind of call once.
    everyone : Processes
    sentences : int, optional
        That the run begins with, noted likewise for who looks at it from outside.

    Raises
    ------
    ValueError
        If the folder holds a run with other settings (the message says which), or is no folder of
        a run, or another process is at work in it.
    """
    folder = Path(folder)
    with contextlib.ExitStack() as stack:
        if everyone.rank == 0:
            changed, wrong = check_settings(folder, settings, stale)
            _make(folder)
            stack.enter_context(_locked(folder))
            for unfinished in folder.rglob(".*.part"):
                unfinished.unlink()
            if changed:
                aside = _put_aside(folder, wrong)
                tqdm.write(said_of(folder, changed, aside))
            made = _held(folder).get(_MADE, {})
            calls = made.get("calls", [])
            made["calls"] = calls if call is None or call in calls else [*calls, call]
            made |= {} if sentences is None else {"sentences": sentences}
            if _held(folder) != (content := settings | {_MADE: made}):
                _write_run(folder, content)
        everyone.wait()
        check_settings(folder, settings)
        yield folder


def remove_unused(folders) -> None:
    """Remove a run's folder, and those above it, where the run has made nothing in it.

    Parameters
    ----------
    folders : sequence of Path
        What was not there before: the run's folder, then the one that holds it …
    """
    for number, folder in enumerate(folders):
        left = [file.name for file in folder.rglob("*") if file.is_file()]
        if set(left) - {_RUN, ".lock", journal.FILE} or (number and left):
            return
        shutil.rmtree(folder, ignore_errors=True)


def _make(folder):
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        said = error.strerror or error
        raise OSError(f"the folder {folder} cannot be made ({said}): give another") from None


@contextlib.contextmanager
def _locked(folder):
    from filelock import FileLock, Timeout

    lock = FileLock(folder / ".lock")  # the system lifts it when the process ends, however it ends
    try:
        lock.acquire(timeout=0.2)  # `holder` may be looking at it
    except Timeout:
        raise ValueError(
            f"another process is at work in {folder}: wait for it, or give another folder"
        ) from None
    try:
        yield
    finally:
        lock.release()


def holder(folder) -> tuple[bool | None, int | None]:
    """Whether a process of this machine is at work in a run's folder; nothing is changed.

    Parameters
    ----------
    folder : path

    Returns
    -------
    held : bool or None
        None where this system does not say.
    pid : int or None
        Number of that process, where the system says it.
    """
    try:
        stream = (Path(folder) / ".lock").open("rb")
    except FileNotFoundError:
        return False, None
    except OSError:  # somebody else's
        return None, None
    with stream:
        if (pid := _locking(os.fstat(stream.fileno()).st_ino)) is not None:
            return True, pid or None
        try:
            import fcntl
        except ImportError:  # Windows
            return None, None
        try:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)  # until it is closed
        except BlockingIOError:
            return True, None
        except OSError:  # a file system without locks
            return None, None
        return False, None


def _locking(inode) -> int | None:
    """The process that holds a file, as Linux lists them; 0 for one of another container."""
    with contextlib.suppress(OSError):
        for line in LOCKS.read_text().splitlines():
            words = line.split()  # 6: FLOCK ADVISORY WRITE 1234 fe:00:2507835 0 EOF
            if words[1:2] == ["FLOCK"] and words[5].rpartition(":")[2] == str(inode):
                return max(0, int(words[4]))
    return None


def _refuse_foreign(folder):
    """A file, or a folder with things in it that no run of ours has put there.

    Or a folder that cannot be made: this is found out before models are loaded.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; the name of a folder is wanted")
    if folder.is_symlink() and not folder.exists():
        raise ValueError(f"{folder} is a link to nothing that is there: give another folder")
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise ValueError(f"{folder} cannot be made, for {there} is a file: give another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ValueError(f"{there} cannot be written to: give another folder than {folder}")
    if folder.is_dir() and not (folder / _RUN).is_file():
        found = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
        if found:
            raise ValueError(f"{folder} holds {found[0]} and no run: give a new or an empty folder")


def check_settings(folder, settings: dict, stale=None) -> tuple[dict, list[str]]:
    """What differs from the run in a folder, and what of it is therefore wrong.

    Returns
    -------
    changed : dict
        Name of a setting to (old, new); empty where the run is the same, or there is none.
    wrong : list of str
        Names in the folder, there or not, as `stale` of `open_run` gives them.

    Raises
    ------
    ValueError
        Where all that was made would be wrong, naming the settings.
    """
    folder = Path(folder)
    _refuse_foreign(folder)
    held, wanted = _held(folder), json.loads(json.dumps(settings))
    if not held:
        return {}, []
    held.pop(_MADE, None)
    changed = {
        key: (held.get(key), wanted.get(key))
        for key in {**held, **wanted} if held.get(key) != wanted.get(key)
    }  # fmt: skip
    if not changed:
        return {}, []
    wrong = stale(changed) if stale else None
    if wrong is not None:
        return changed, list(wrong)
    nothing = {_RUN, ".lock", "rejects.jsonl", journal.FILE}
    if not any(file.is_file() and file.name not in nothing for file in folder.rglob("*")):
        return changed, []  # nothing has been made yet
    raise ValueError(
        f"{folder} holds a run with other settings ({_said(changed)}): give another folder, or "
        "delete this one"
    )


def said_of(folder, changed, aside=None) -> str:
    """One line on a run whose later settings have changed."""
    kept = f"; what it replaces is in {aside}" if aside else ""
    return f"{folder}: {_said(changed)}; what was made before that holds and is read{kept}"


def _said(changed) -> str:
    plain = {key: pair for key, pair in changed.items() if not isinstance(pair[0], dict)} or changed
    said = ", ".join(f"{key} {old} → {new}" for key, (old, new) in list(plain.items())[:4])
    return said + (f" and {len(plain) - 4} more" if len(plain) > 4 else "")


def _held(folder) -> dict:
    """What a folder's run was asked to do; empty where there is no run."""
    if not (folder / _RUN).is_file():
        return {}
    try:
        held = json.loads((folder / _RUN).read_text(encoding="utf-8"))
    except ValueError:
        held = None
    if not isinstance(held, dict):
        raise ValueError(f"{folder / _RUN} is damaged: give another folder")
    return held


def _write_run(folder, content: dict) -> None:
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    write_bytes(folder / _RUN, text.encode())


def _put_aside(folder, wrong) -> Path | None:
    """Move what is wrong out of the way. Stopped at any moment, the next call goes on with it.

    Only what took time is kept (folders, tables of results); a list of what was kept of a former
    step is made again in seconds.
    """
    whole_first = sorted(dict.fromkeys(wrong), key=lambda name: name.count("/"))
    there = [folder / name for name in whole_first if (folder / name).exists()]
    number = 1
    while (folder / f"earlier-{number}" / _RUN).is_file():  # its last file, so it is whole
        number += 1
    aside = folder / f"earlier-{number}"
    if not aside.is_dir() and not any(path.is_dir() or path.suffix == ".csv" for path in there):
        for path in there:
            path.unlink()
        return None
    for path in filter(Path.exists, there):
        target = aside / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():  # of a call that was stopped here
            shutil.rmtree(target)
        os.replace(path, target)
    write_bytes(aside / _RUN, (folder / _RUN).read_bytes())
    return aside


def note(folder, name, value) -> None:
    """Note in a run's ``run.json`` how something in it was made, which makes it no other run."""
    held = _held(folder)
    made = held.get(_MADE, {})
    if made.get(name) != value:
        _write_run(folder, held | {_MADE: made | {name: value}})


def rows(
    folder: Path,
    count: int,
    make: Callable[[int, int], pd.DataFrame],
    *,
    size: int,
    everyone: Processes = Processes(),
    progress: bool = True,
    unit: str = "row",
    elsewhere: Callable[[dict], Iterable[tuple[int, bytes]]] | None = None,
) -> pd.DataFrame:
    """The rows of one step, made where they are not there yet.

    Parameters
    ----------
    folder : Path
        Of the step; its name is the step's name.
    count : int
        Rows of the step.
    make : function (start, stop) -> DataFrame
        Rows `start` to `stop` of the step; the same whatever was made before. What its ``attrs``
        count is kept with it (`added`).
    size : int
        Rows of the input in a shard.
    everyone : Processes
        Each process makes every so many-th shard, and all of them return all rows.
    progress : bool
    unit : str
        Of the progress bar.
    elsewhere : function, optional
        elsewhere({number: (start, stop)}) -> the numbers and bytes (`content`) of these shards, as
        they are done: others make them, in place of `make` here.

    Returns
    -------
    DataFrame
        The shards behind one another; its ``attrs`` are `added` theirs.
    """
    folder.mkdir(exist_ok=True)
    starts = range(0, count, size)
    mine = range(everyone.rank, len(starts), everyone.size)
    bar = tqdm(
        total=sum(min(size, count - starts[i]) for i in mine), desc=folder.name, unit=unit,
        disable=not progress,
    )  # fmt: skip
    places = {number: (starts[number], min(starts[number] + size, count)) for number in mine}

    def done(number):
        start, stop = places[number]
        bar.update(stop - start)

    with bar:
        absent = {}
        for number, place in places.items():
            if _read(folder, number) is not None:
                done(number)
            elif elsewhere is not None:
                absent[number] = place
            else:
                _write(folder, number, content(make(*place)))
                done(number)
        for number, made in elsewhere(absent) if absent else ():
            _write(folder, number, made)
            done(number)
    everyone.wait()
    frames = [_read(folder, number) for number in range(len(starts))]
    absent = [number for number, frame in enumerate(frames) if frame is None]
    if absent:
        raise OSError(f"{folder}: shard {absent[0]} cannot be read back; run the command again")
    table = pd.concat(frames, ignore_index=True)
    table.attrs = added(frames)
    return table


def added(frames: Sequence[pd.DataFrame]) -> dict[str, dict[str, int]]:
    """What the ``attrs`` of tables count together: ``{"taken": {"quotes": 3}}``, say."""
    total = {}
    for frame in frames:
        for name, counts in frame.attrs.items():
            total.setdefault(name, Counter()).update(counts)
    return {name: dict(sorted(counts.items())) for name, counts in total.items()}


def whole(folder: Path, count: int, size: int) -> bool:
    """Whether every shard of a step is there (not whether it is sound)."""
    numbers = {_number(file) for file in shards_of(folder)}
    return numbers >= set(range(len(range(0, count, size))))


def shards_of(folder) -> list[Path]:
    """Files of a step's shards that are there, in their order."""
    return sorted(Path(folder).glob("*-*.parquet"), key=_number)


def _number(file) -> int:
    return int(file.name.partition("-")[0])


def frames(folder):
    """A step's rows as far as they are there, one shard after another; nothing is made.

    Parameters
    ----------
    folder : path
        Of the step.

    Yields
    ------
    number : int
        Of the shard; what several processes make may have gaps.
    DataFrame

    Raises
    ------
    OSError
        For a damaged shard, which the run's own command would make again.
    """
    for file in shards_of(folder):
        content = file.read_bytes()
        if file.name.partition("-")[2] != f"{_digest(content)}.parquet":
            raise OSError(f"{file} is damaged: the run's own command makes it again")
        yield _number(file), pd.read_parquet(io.BytesIO(content))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()


def content(frame) -> bytes:
    """The bytes of a shard."""
    return frame.to_parquet(index=False)


def _write(folder, number, content):
    write_bytes(folder / f"{number:05d}-{_digest(content)}.parquet", content)


def _read(folder, number) -> pd.DataFrame | None:
    """A shard's rows, or None where there is no sound one."""
    for file in sorted(folder.glob(f"{number:05d}-*.parquet")):
        content = file.read_bytes()
        if f"{number:05d}-{_digest(content)}.parquet" == file.name:
            return pd.read_parquet(io.BytesIO(content))
        tqdm.write(f"{file} is damaged and is made again")
        file.unlink()
    return None
