"""What examines an encoder: files in SentEval's layout, STS-B by its name, or the pocket sets.

The pocket world's sets ask about its own 600 words and are for its own models: a pocket encoder
(or one trained from it), or a run on its premises. Any other encoder is examined on sentences of
people, from a folder or, where none is given, on STS-B from the Hub.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path

import pandas as pd

from synthlib import data, evaluation, tiers
from synthlib.paths import POCKET

FILES, BY_NAME, TOYS = "files", "by name", "pocket"

GIVE_DATA = (
    "give --data FOLDER: SentEval's downstream folder, with STS/, SICK/ … in it (senteval.tar of "
    "princeton-nlp/datasets-for-simcse on the Hub holds it)"
)
_SPLITS = {"test": "test", "dev": "validation"}


def kind(encoder, folder=None, source=None) -> str:
    """Which sets examine an encoder.

    Parameters
    ----------
    encoder : str or path
        Pocket name, folder or hub id.
    folder : path, optional
        SentEval's files, if they were given.
    source : optional
        What a run starts from; "pocket" are the pocket world's premises.

    Returns
    -------
    "files", "pocket" or "by name"
    """
    if folder is not None:
        return FILES
    return TOYS if source == "pocket" or is_pocket(encoder) else BY_NAME


def is_pocket(encoder) -> bool:
    """Whether an encoder is of the pocket world, by its name or by the words that it knows."""
    if str(encoder).startswith("pocket/"):
        return True
    folder = Path(encoder).expanduser()
    files = sorted(folder.rglob("tokenizer.json")) if folder.is_dir() else []
    words = _words(files[0]) if files else set()
    own = _words(POCKET / "mlm-bert" / "tokenizer.json")
    return len(words & own) > len(words) / 2


def _words(file) -> set:
    try:
        words = json.loads(file.read_text("utf-8"))["model"]["vocab"]
    except (OSError, ValueError, LookupError, TypeError):  # loading the model will say more
        return set()
    return {word if isinstance(word, str) else word[0] for word in words}


# ------------------------------------------------------------------ STS
def sts(which, folder=None, *, split="test", tasks=None) -> dict:
    """STS pairs by task, as `evaluation.score_sts` takes them.

    Parameters
    ----------
    which : str
        Of `kind`.
    folder : path, optional
        SentEval's, for "files".
    split : "test" or "dev"
    tasks : sequence of str, optional
        Of the folder.

    Raises
    ------
    OSError
        If STS-B cannot be had by name; the message says what to give.
    """
    if which == FILES:
        return evaluation.load_sts(folder, tasks, split=split)
    if which == BY_NAME:
        return {"STS-B": _by_name(split)}
    from synthlib.world import corpora

    return {name: corpora.sts(name, split) for name in corpora.STS_KINDS}


def _by_name(split) -> pd.DataFrame:
    corpus = dataclasses.replace(tiers.STS_B, split=_SPLITS[split])
    return data.load_scored_pairs(
        corpus, instead=f"{GIVE_DATA}; the pocket sets are for pocket encoders"
    )


def development(which, folder=None, tasks=("STS-B",)):
    """dev(encode) -> mean Spearman on the pairs that select weights.

    Parameters
    ----------
    which, folder
        As of `sts`. By name it is STS-B dev, of the pocket world the natural pairs.
    tasks : sequence of str
        Of the folder: STS-B, SICK-R.
    """
    frames = sts(which, folder, split="dev", tasks=tasks)
    if which == TOYS:
        frames = {"natural": frames["natural"]}
    return lambda encode: float(evaluation.score_sts(encode, frames)["spearman"].mean())


def selects(which, folder=None) -> bool:
    """Whether there are pairs that can select weights."""
    return which != FILES or (Path(folder) / "STS" / "STSBenchmark" / "sts-dev.csv").is_file()


def said(which, folder=None) -> str:
    """The sets of `sts` in words, without fetching any."""
    if which == BY_NAME:
        return f"STS-B ({tiers.STS_B.name}, from the Hub; the rest with --data)"
    return ", ".join(sts(which, folder))


# ------------------------------------------------------------------ reranking and transfer
def pocket_reranking() -> dict:
    """The pocket world's two reranking sets: which sentences answer, which say the same.

    Returns
    -------
    dict
        "questions" and "duplicates" to DataFrame with query, candidate, relevance, query_id; 400
        queries each.
    """
    from synthlib.world import corpora

    return {
        name: corpora.reranking(name, 400).rename(columns={"label": "relevance"})
        for name in ("questions", "duplicates")
    }


def pocket_transfer() -> dict:
    """The pocket world's seven transfer tasks, each with a train, dev and test part."""
    from synthlib.world import corpora

    return {
        task: {
            "train": corpora.transfer(task, 1500, 0), "dev": corpora.transfer(task, 500, 1),
            "test": corpora.transfer(task, 1000, 2),
        }
        for task in corpora.TRANSFER
    }  # fmt: skip


def everything(which, folder=None, rerank=None) -> dict:
    """STS, reranking and transfer sets, as `examine` takes them, as far as there are such.

    Parameters
    ----------
    which, folder
        As of `sts`.
    rerank : path, optional
        Of `evaluation.load_reranking`, in place of the pocket world's.
    """
    frames = {"STS": sts(which, folder)}
    if rerank is not None:
        frames["reranking"] = evaluation.load_reranking(rerank)
    elif which == TOYS:
        frames["reranking"] = pocket_reranking()
    if which == TOYS:
        frames["transfer"] = pocket_transfer()
    elif which == FILES:
        with contextlib.suppress(FileNotFoundError):  # a folder with STS alone
            frames["transfer"] = evaluation.load_transfer(folder)
    return frames


def examine(encode, frames, *, progress=False) -> pd.DataFrame:
    """STS, reranking and transfer of an encoder in one table.

    Parameters
    ----------
    encode : callable
        List of n strings to an (n, d) array.
    frames : dict
        Any of "STS", "reranking", "transfer" to the data that `evaluation.score_sts`,
        `score_reranking` and `score_transfer` take.
    progress : bool

    Returns
    -------
    DataFrame
        measure, task, mark: Spearman × 100, mean average precision or accuracy in percent.
    """
    kinds = {
        "STS": (evaluation.score_sts, "spearman"),
        "reranking": (evaluation.score_reranking, "map"),
        "transfer": (evaluation.score_transfer, "accuracy"),
    }
    parts = []
    for measure, sets in frames.items():
        score, column = kinds[measure]
        found = score(encode, sets, batch_size=1024, progress=progress)
        parts.append(
            pd.DataFrame({"measure": measure, "task": found["task"], "mark": found[column]})
        )
    return pd.concat(parts, ignore_index=True)
