"""Execution of notebooks that counts the processor's time.

The clock on the wall counts a busy neighbour too; what a chapter costs is the time that its kernel
and the processes that the kernel waited for spent on a processor.
"""

import os
from pathlib import Path

from jupyter_cache.executors.basic import ExecutionWorkerLocalMProc, JupyterExecutorLocalMproc
from jupyter_cache.executors.utils import single_nb_execution


def children() -> float:
    """Processor seconds of all processes that this one has started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def file_of(cache_folder, uri) -> Path:
    """Where the seconds of a notebook stand."""
    return Path(cache_folder) / "processor" / Path(uri).stem


def seconds(cache_folder, uri) -> float:
    """Processor seconds of a notebook's last execution; NaN where nobody counted."""
    file = file_of(cache_folder, uri)
    return float(file.read_text(encoding="utf-8")) if file.is_file() else float("nan")


class Worker(ExecutionWorkerLocalMProc):
    """Executes one notebook after another; each has a kernel of its own, which ends with it."""

    @staticmethod
    def execute(project_nb, data):
        before = children()
        result = single_nb_execution(
            project_nb.nb, cwd=str(Path(project_nb.uri).parent), timeout=data.timeout,
            allow_errors=data.allow_errors, startup_timeout=data.timeout,
        )  # fmt: skip
        file = file_of(data.cache.path, project_nb.uri)
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{children() - before:.1f}", encoding="utf-8")
        return result


class Executor(JupyterExecutorLocalMproc):
    """jupyter-cache's executor, all cores side by side."""

    _EXECUTION_WORKER = Worker
