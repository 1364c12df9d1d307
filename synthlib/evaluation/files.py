"""Finding the data files of the evaluations: the tasks by name, the folder that holds them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["STS_TASKS", "TRANSFER_TASKS", "data_folder", "pick_tasks"]

#: The tasks in the order of the papers' tables.
STS_TASKS = ("STS12", "STS13", "STS14", "STS15", "STS16", "STS-B", "SICK-R")
TRANSFER_TASKS = ("MR", "CR", "SUBJ", "MPQA", "SST2", "TREC", "MRPC")

_ALIASES = {
    "stsb": "STS-B",
    "stsbenchmark": "STS-B",
    "sts-benchmark": "STS-B",
    "sick": "SICK-R",
    "sickr": "SICK-R",
    "sickrelatedness": "SICK-R",
    "sst": "SST2",
    "sst-2": "SST2",
}


def data_folder(data_dir, marks: Iterable[str]) -> Path:
    """The folder ``data_dir``, if it exists and looks like SentEval's ``downstream`` folder.

    ``marks`` are relative paths of which one present is enough. Where none is, the error says
    whether a neighbouring folder is the one that was meant.
    """
    folder = Path(data_dir).expanduser()
    if folder.is_file():
        raise ValueError(f"{folder} is a file; SentEval's downstream folder is wanted")
    if not folder.is_dir():
        raise FileNotFoundError(f"data folder not found: {folder}")
    marks = list(marks)
    if any((folder / mark).exists() for mark in marks):
        return folder
    near = [folder / "downstream", folder / "data" / "downstream", folder.parent,
            folder.parent.parent]  # fmt: skip
    for other in near:
        if any((other / mark).exists() for mark in marks):
            raise FileNotFoundError(
                f"{folder} holds none of the evaluation sets, {other} does: give that folder"
            )
    raise FileNotFoundError(
        f"{folder} holds none of the evaluation sets; SentEval's downstream folder is wanted, "
        f"with {', '.join(marks)} in it"
    )


def pick_tasks(tasks, names: Sequence[str] = STS_TASKS + TRANSFER_TASKS) -> list[str]:
    """The tasks asked for under their proper names, each once; case is free.

    Parameters
    ----------
    tasks : str or list of str
        ``STSBenchmark``, ``SICK`` and the like are understood too.
    names : sequence of str
        The names that are allowed.

    Raises
    ------
    ValueError
        For an unknown name, listing the allowed ones, and for an empty list.
    """
    tasks = [tasks] if isinstance(tasks, str) else [str(task) for task in tasks]
    if not tasks:
        raise ValueError(f"no task given; choose from {', '.join(names)}")
    proper = {name.lower(): name for name in names}
    found = [proper.get(_ALIASES.get(task.lower(), task).lower()) for task in tasks]
    if None in found:
        unknown = ", ".join(task for task, name in zip(tasks, found, strict=True) if not name)
        raise ValueError(f"unknown task {unknown}; choose from {', '.join(names)}")
    return list(dict.fromkeys(found))
