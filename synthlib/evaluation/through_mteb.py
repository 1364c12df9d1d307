"""The Massive Text Embedding Benchmark through its own program, `mteb`, where it is installed.

Its tasks come from the Hub. On what both have, the seven STS tasks, its figure is this package's
"all": the Spearman correlation of all pairs of a task put together (SICK-R: MTEB has all of its
pairs, SentEval the test part).

Source: Muennighoff et al. (2023), MTEB: Massive Text Embedding Benchmark.
"""

from __future__ import annotations

import contextlib
import warnings

import pandas as pd

from synthlib import data

#: MTEB's names of the seven tasks, and this package's.
STS = {
    "STS12": "STS12", "STS13": "STS13", "STS14": "STS14", "STS15": "STS15", "STS16": "STS16",
    "STSBenchmark": "STS-B", "SICK-R": "SICK-R",
}  # fmt: skip


def score_mteb(model, tasks=tuple(STS), *, batch_size=64, progress=True) -> pd.DataFrame:
    """Evaluate an encoder on tasks of MTEB.

    Parameters
    ----------
    model : SentenceTransformer
    tasks : sequence of str or of mteb tasks
        By their names in MTEB; by default the seven STS tasks.
    batch_size : int ≥ 1
    progress : bool

    Returns
    -------
    DataFrame
        task, split, subset (a language, mostly "default"), mark (the task's main score, percent).
        A task that MTEB has none of is absent from it.

    Raises
    ------
    ImportError
        Where mteb is not installed.
    ValueError
        For a name that MTEB has not.
    OSError
        Where a task's data cannot be had.
    """
    mteb = installed()
    chosen = [_task(mteb, task) if isinstance(task, str) else task for task in tasks]
    rows = []
    with warnings.catch_warnings():  # of names that mteb itself no longer uses
        warnings.simplefilter("ignore")
        for task in chosen:
            name = task.metadata.name
            source = data.offline_without_an_answer(task.metadata.dataset["path"])
            try:
                with contextlib.nullcontext() if task.data_loaded else source:
                    found = mteb.evaluate(
                        model, [task], cache=None, co2_tracker=False, show_progress_bar=progress,
                        encode_kwargs={"batch_size": batch_size},
                    )  # fmt: skip
            except (OSError, ValueError) as error:
                if task.data_loaded:
                    raise
                said = str(error).partition("\n")[0]
                raise OSError(
                    f"MTEB's {name} cannot be had from the Hub ({said}): without the network give "
                    "--data FOLDER, SentEval's files, in place of --mteb"
                ) from error
            rows += [
                {"task": name, "split": split, "subset": of["hf_subset"],
                 "mark": 100 * float(of["main_score"])}
                for result in found.task_results
                for split, parts in result.scores.items() for of in parts
            ]  # fmt: skip
    return pd.DataFrame(rows, columns=["task", "split", "subset", "mark"])


def check(tasks) -> None:
    """Raise what `score_mteb` would for these names, before a model is loaded."""
    mteb = installed()
    for task in tasks:
        _task(mteb, task)


def installed():
    """The package mteb, or an ImportError that says how to get it."""
    try:
        import mteb
    except ImportError:
        raise ImportError("mteb is not installed: pip install 'synthlib[mteb]'") from None
    return mteb


def _task(mteb, name):
    try:
        return mteb.get_task(name)
    except KeyError as error:
        raise ValueError(f"MTEB has no task {name}: {str(error.args[0]).strip()}") from None
