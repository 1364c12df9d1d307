"""Shards made by the machines of a Ray cluster: ``--engine ray``.

A shard is the unit of work. The process that gave the command holds the run's folder: it sends the
rows of the shards that are absent through Ray Data, to a pool of actors that hold the models, and
writes what comes back as it writes its own. An actor makes a shard's bytes by the same function and
writes nothing, so that an actor, a machine or the command itself may die at any moment.
"""

from __future__ import annotations

import contextlib
import gc
import importlib.metadata
import importlib.util
import logging
import os
import re
import socket
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping

from synthlib import memory
from synthlib.runs import shards

_SAME = ("numpy", "pandas", "pyarrow", "sentence-transformers", "torch", "transformers")
_SETTINGS = {  # nobody is told of a cluster that we start, and it is as nice as the command
    "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_raylet_start_wait_time_s": "120",
}  # fmt: skip
_ANSWERS = 10  # seconds for a cluster's address to answer


def check(address=None) -> None:
    """Raise ValueError where there can be no connection: in an instant, before anything is loaded.

    Parameters
    ----------
    address : str, optional
        Of `Ray`.
    """
    if importlib.util.find_spec("ray") is None:
        raise ValueError(
            "the engine ray needs Ray, which is not installed: pip install 'synthlib[scale]', "
            "or leave --engine out"
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            "the engine ray shares out the work itself: give the command without torchrun, or "
            "leave --engine out"
        )
    if address not in (None, "auto"):
        _refuse_silent(address)


class Ray:
    """A connection to a cluster, for the time of a run.

    Parameters
    ----------
    address : str, optional
        Of the cluster, "auto" for the one that this machine is part of; None: one of this machine
        alone, for the time of the run.
    actors : int, optional
        Most actors at work; None: as many as the cluster has room for.
    device : str, optional
        That the run asks for: without one, an actor has a GPU where the cluster has any.

    Raises
    ------
    ValueError
        Without Ray, under torchrun, for an address that nobody answers, and for a cluster with
        other versions of Ray or Python.
    OSError
        Where no cluster of this machine alone can be started.
    """

    def __init__(self, address=None, actors=None, device=None):
        check(address)
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        import ray

        self.actors, self.device, self.own = actors, device, not ray.is_initialized()
        if not self.own:  # somebody's who works in Python
            return
        quiet = dict(log_to_driver=False, logging_level=logging.ERROR)
        try:
            with _unheard():
                if address is None:
                    ray.init("local", include_dashboard=False, **quiet)
                else:
                    ray.init(address, **quiet)
        except Exception as error:  # of many kinds, a plain one among them
            said = " ".join(str(error).split())
            if "ersion mismatch" in said:
                said = "; ".join(re.findall(r"(?:Ray|Python): [\w.]+", said))
                raise ValueError(
                    f"the Ray cluster at {address} has another version than this process ({said}; "
                    "the cluster's first): install the same on all machines"
                ) from None
            if address is None:
                raise OSError(
                    f"Ray has not started on this machine ({said[:200]}): give the same command "
                    "again, where less is at work, or leave --engine out"
                ) from None
            raise ValueError(
                f"no Ray cluster is found at {address} ({said[:200]}): start one (ray start "
                "--head), give its address (--address HOST:6379), or leave --address out"
            ) from None

    def close(self) -> None:
        """Part from the cluster; one of this machine alone ends."""
        import ray

        if self.own:
            ray.shutdown()

    def make(
        self, make: Callable, check: Callable[[], None], parts: Mapping[int, tuple]
    ) -> Iterator[tuple[int, bytes]]:
        """Shards as they are done, in any order.

        Parameters
        ----------
        make : function (rows, start) -> DataFrame
            Of a shard.
        check : function () -> None
            Called first by every actor: raises where its machine lacks something.
        parts : dict of int to tuple
            A shard's number to its rows and the number of its first one.

        Yields
        ------
        number : int
        bytes
            The shard's file.

        Raises
        ------
        ValueError, OSError, …
            What `make` or `check` raises, or where Ray gives up. What was yielded is whole.
        """
        import ray
        import torch
        from ray import data

        if torch.cuda.is_initialized():  # an actor may have the same GPU
            gc.collect()
            torch.cuda.empty_cache()
        context = data.DataContext.get_current().copy()
        context.enable_progress_bars = context.print_on_execution_start = False
        # An actor gets a shard when it is free, and there is another actor while all are at work.
        context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        there = ray.cluster_resources()
        gpu = there.get("GPU", 0) > 0 and str(self.device or "cuda").startswith("cuda")
        room = int(there.get("GPU" if gpu else "CPU", 1))
        most = min(self.actors or len(parts), len(parts))
        held = {number: ray.put(part) for number, part in parts.items()}
        how = ray.put((make, check))
        with data.DataContext.current(context):
            rows = data.from_items([{"number": n} for n in held], override_num_blocks=len(held))
            made = rows.map(
                _Maker, fn_constructor_args=([how], held, _versions(), os.getcwd()),
                compute=data.ActorPoolStrategy(
                    min_size=1, max_size=most, initial_size=max(1, min(room, most)),
                    max_tasks_in_flight_per_actor=1,
                ),
                num_gpus=1 if gpu else 0, num_cpus=1,
            )  # fmt: skip
        said = set()
        try:
            for batch in made.iter_batches(
                batch_size=None, prefetch_batches=0, batch_format="pyarrow"
            ):
                for one in batch.to_pylist():
                    number, shard, notes, kind, error = map(one.get, _MADE)
                    for note in filter(None, notes.split("\n")):
                        if note not in said:
                            said.add(note)
                            warnings.warn(note, stacklevel=2)
                    if kind:
                        raise _KINDS[kind](error)
                    yield number, shard
        except ray.exceptions.RayError as error:
            raise OSError(
                f"Ray has given up ({_reason(error)}): what was written is whole; the same "
                "command goes on from there, with --engine ray or without"
            ) from error


_MADE = ("number", "shard", "notes", "kind", "error")
_KINDS = {"ValueError": ValueError, "OSError": OSError, "RuntimeError": RuntimeError}


class _Maker:
    """An actor: holds what makes shards, and its models once the first one is asked for.

    What is wrong here is sent back as a value: Ray would start the actor again and again.
    """

    def __init__(self, how: list, held: dict, versions: dict, place: str):
        import ray

        self.how, self.held, self.versions, self.place = how, held, versions, place
        self.make = None
        self.again = ray.get_runtime_context().was_current_actor_reconstructed

    def __call__(self, row):
        import ray

        found = dict(number=row["number"], shard=b"", notes="", kind="", error="")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            try:
                if self.make is None:
                    self.make = self._ready()
                found["shard"] = shards.content(self.make(*ray.get(self.held[row["number"]])))
            except (ValueError, OSError) as error:
                kind = ValueError if isinstance(error, ValueError) else OSError
                found |= {"kind": kind.__name__, "error": str(error)}
            except Exception as error:  # a fault, or memory that has run out
                said = traceback.format_exc() if not memory.ran_out(error) else str(error)
                found |= {"kind": "RuntimeError", "error": said}
        notes = [str(one.message) for one in caught if one.category is UserWarning]
        if self.again:
            notes.append(f"{_node()} lost a process, and its shard is made by another; where that "
                         "goes on, memory may be short: lower --generation-batch")  # fmt: skip
        return found | {"notes": "\n".join(notes)}

    def _ready(self):
        import ray

        if os.path.isdir(self.place):
            os.chdir(self.place)  # a relative path means the same here
        here = _versions()
        other = [
            f"{name} {here[name]}, not {version}"
            for name, version in self.versions.items() if here[name] != version
        ]  # fmt: skip
        if other:
            raise ValueError(
                f"{_node()} has {'; '.join(other)}: install the same versions on every machine, "
                "and give the same command again"
            )
        make, check = ray.get(self.how[0])
        try:
            check()
        except (ValueError, OSError) as error:
            raise type(error)(f"{_node()}: {error}") from None
        return make


def _versions() -> dict[str, str]:
    """Of what decides a shard's bytes."""
    import synthlib

    found = {"synthlib": synthlib.__version__}
    for name in _SAME:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return {name: found.get(name, "none") for name in ("synthlib", *_SAME)}


def _node() -> str:
    """This machine among the cluster's."""
    import ray

    context = ray.get_runtime_context()
    return f"the Ray node {ray.util.get_node_ip_address()} ({context.get_node_id()[:8]})"


def _refuse_silent(address) -> None:
    """Raise where nobody listens at an address: Ray itself would try for minutes."""
    host, _, port = str(address).rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise ValueError(
            f"the address of a Ray cluster is HOST:PORT, or auto on one of its machines, got "
            f"{address}"
        )
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWERS).close()
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"no Ray cluster answers at {address} ({error}): start one (ray start --head), give "
            "its address, or leave --address out"
        ) from None


@contextlib.contextmanager
def _unheard():
    """Without what Ray's core writes to standard error, past Python; what it raises is said."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def _reason(error) -> str:
    """The line of Ray's many that says something."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if not re.match(r"(Traceback|File |The actor is dead)", line)]
    return (told or lines or [type(error).__name__])[0][:200]
