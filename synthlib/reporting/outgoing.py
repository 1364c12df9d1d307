"""What of a run's folder may leave this machine, and how: the files of a push, by their names.

Nothing goes out but what is named here. Paths of this machine, which a run notes in its data's
metadata, go out as the last part of them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from synthlib.runs.folder import Run

# An encoder as sentence-transformers writes it: weights, configuration, tokenizer; at the top or
# in the folder of a module, as 1_Pooling. Optimisers, logs and pickles have other names.
_ENCODER = re.compile(
    r"(\d+_\w+/)?(?P<leaf>"
    r"model(-\d+-of-\d+)?\.safetensors|model\.safetensors\.index\.json|modules\.json"
    r"|((\w+_)?config|config_sentence_transformers)\.json"
    r"|(tokenizer|special_tokens_map|added_tokens|vocab)\.json"
    r"|(vocab|merges)\.txt|[\w.]+\.model|chat_template\.jinja)"
)
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_TABLES = {".txt", ".csv", ".tsv", ".json", ".jsonl", ".parquet", ".arrow", ".gguf", ".gz"}


def names(run: Run, of) -> list[str]:
    """The data sets, or the encoder's folder, by names in the run's folder."""
    name = "encoder" if of == "encoder" else "triplets.parquet"
    if run.method != "art":
        name = name if of == "encoder" else "kept.parquet"
        return [name] if run.has(name) else []
    rounds = [one for one in run.folder.glob(f"round-*/{name}")]
    rounds.sort(key=lambda one: int(one.parent.name.rpartition("-")[2]))
    rounds = rounds[-1:] if of == "encoder" else rounds
    return [one.relative_to(run.folder).as_posix() for one in rounds]


def public(run: Run, value):
    """A value without this machine's folders: of a path that the run names, its last part."""
    if isinstance(value, dict):
        return {key: public(run, one) for key, one in value.items()}
    if isinstance(value, list):
        return [public(run, one) for one in value]
    if not isinstance(value, str):
        return value
    named = [_local(v) for v in run.asked.values() if isinstance(v, str)]
    for path in sorted(filter(None, named), key=len, reverse=True):
        value = value.replace(path, Path(path).name)
    return Path(value).name if Path(value).is_absolute() else value


def _local(name) -> str:
    """The path in a name that a run notes; nothing where it is the Hub's or the book's own."""
    name, marked = re.subn(r" \([0-9a-f]{8}\)$", "", name)  # the sum of a model on this machine
    marked = marked and not name.startswith(("pocket/", "laptop/"))
    path = Path(name)
    local = path.is_absolute() or name.startswith((".", "~")) or path.suffix.lower() in _TABLES
    return name if (local or marked) and path.name else ""


def files(run: Run, of, room) -> dict[str, Path]:
    """What goes out beside the card: name in the repository to the file.

    Parameters
    ----------
    run : Run
    of : {"data", "encoder"}
    room : Path
        Folder for copies of those files in which a folder of this machine is named.

    Raises
    ------
    ValueError
        Where the encoder has no weights.
    """
    if of == "data":
        return {name: _noted(run, name, room) for name in names(run, of)}
    sent = {}
    for home in names(run, of):
        folder = run.folder / home
        for file in sorted(folder.rglob("*")):
            name = file.relative_to(folder).as_posix()
            found = _ENCODER.fullmatch(name)
            if found and file.is_file():
                config = "config" in found["leaf"]
                sent[name] = _configured(run, file, room / name) if config else file
        if not any(map(_WEIGHTS.fullmatch, sent)):
            raise ValueError(
                f"{folder} holds no weights (model.safetensors): put them there again, or delete "
                "it and give the run's own command again"
            )
    return sent


def _noted(run, name, room) -> Path:
    """A data set, its note of origin without this machine's folders and hosts."""
    from synthlib import data  # seconds

    rows = data.load(run.folder / name)
    note = data.provenance(rows)
    clean = public(run, note)
    clean.get("settings", {}).pop("endpoint", None)
    if clean == note:
        return run.folder / name
    (room / name).parent.mkdir(parents=True, exist_ok=True)
    return data.save(rows, room / name, origin=clean)


def _configured(run, file, copy) -> Path:
    """A module's configuration; some versions write the folder into it that it was loaded from."""
    held = json.loads(file.read_text("utf-8"))
    if (clean := public(run, held)) == held:
        return file
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(json.dumps(clean, indent=2, ensure_ascii=False), "utf-8")
    return copy


def stays(run: Run, of, sent) -> list[str]:
    """What of the folder does not go out, a whole folder as one."""
    homes = names(run, of) if of == "encoder" else [""]
    out = {run.folder / home / name for home in homes for name in sent}

    def left(folder):
        for one in sorted(folder.iterdir()):
            if one.is_dir() and any(one in file.parents for file in out):
                yield from left(one)
            elif one not in out:
                yield one.relative_to(run.folder).as_posix() + "/" * one.is_dir()

    return list(left(run.folder))
