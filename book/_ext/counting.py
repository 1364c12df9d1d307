"""Execution of notebooks that counts the processor's time and looks at the memory.

The clock on the wall counts a busy neighbour too; what a chapter costs is the time that its kernel
and the processes that the kernel waited for spent on a processor.
"""

import os
import threading
from pathlib import Path

import psutil
from jupyter_cache.executors.basic import ExecutionWorkerLocalMProc, JupyterExecutorLocalMproc
from jupyter_cache.executors.utils import single_nb_execution


def children() -> float:
    """Processor seconds of all processes that this one has started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def file_of(cache_folder, uri) -> Path:
    """Where the seconds of a notebook stand."""
    return Path(cache_folder) / "processor" / Path(uri).stem


def _kept(cache_folder, uri, place) -> float:
    file = file_of(cache_folder, uri)
    kept = file.read_text(encoding="utf-8").split() if file.is_file() else []
    return float(kept[place]) if place < len(kept) else float("nan")


def seconds(cache_folder, uri) -> float:
    """Processor seconds of a notebook's last execution; NaN where nobody counted."""
    return _kept(cache_folder, uri, 0)


def peak_memory(cache_folder, uri) -> float:
    """The most MB (10⁶ bytes) that a notebook's processes held at once; NaN where nobody looked."""
    return _kept(cache_folder, uri, 1)


class Watch(threading.Thread):
    """Looks every `pause` seconds how much memory this process's children hold together.

    Resident memory; pages that two of them share count twice. What comes and goes between two
    looks is not seen.
    """

    def __init__(self, pause=0.5):
        super().__init__(daemon=True)
        self.pause, self.peak, self.over = pause, 0, threading.Event()

    def run(self):
        while not self.over.wait(self.pause):
            held = 0
            for child in psutil.Process().children(recursive=True):
                try:
                    held += child.memory_info().rss
                except psutil.Error:  # it has just ended
                    continue
            self.peak = max(self.peak, held)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.join()


class Worker(ExecutionWorkerLocalMProc):
    """Executes one notebook after another; each has a kernel of its own, which ends with it."""

    @staticmethod
    def execute(project_nb, data):
        before = children()
        with Watch() as watch:
            result = single_nb_execution(
                project_nb.nb, cwd=str(Path(project_nb.uri).parent), timeout=data.timeout,
                allow_errors=data.allow_errors, startup_timeout=data.timeout,
            )  # fmt: skip
        file = file_of(data.cache.path, project_nb.uri)
        file.parent.mkdir(exist_ok=True)
        spent = children() - before
        file.write_text(f"{spent:.1f} {watch.peak / 1e6:.0f}", encoding="utf-8")
        return result


class Executor(JupyterExecutorLocalMproc):
    """jupyter-cache's executor, all cores side by side."""

    _EXECUTION_WORKER = Worker
