"""Remedies that messages of files, models, preflight and the kernels name, each of them done.

The table of all messages is in `test_remedies`.
"""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from importlib import metadata

import numpy as np
import pandas as pd
import pytest
import tiny_models
import torch

import synthlib
from synthlib import (
    data,
    decoding,
    evaluation,
    judging,
    models,
    ppo,
    reading,
    rewards,
    tiers,
    training,
    trials,
)
from synthlib.methods import art, ranking

RNG = np.random.default_rng(0)
SENTENCES = [" ".join(RNG.choice(tiny_models.WORDS, RNG.integers(3, 6))) for _ in range(40)]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Tiny random models."""
    root = tmp_path_factory.mktemp("here")
    tiny_models.save(root / "t5", "t5", seed=3)
    tiny_models.save(root / "llama", "llama", initializer_range=0.3)
    tiny_models.save(root / "nli", "nli", initializer_range=1.0, dropout=0.0, seed=3)
    tiny_models.save(root / "bert", "bert")
    with models.quiet():
        models.load_encoder(root / "bert", pooling="mean").save_pretrained(str(root / "encoder"))
    (root / "premises.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    return root


def sentences(source, **options):
    """What `data.load_premises` reads, without its rejects."""
    return data.load_premises(source, **options)[0]


def raising(error):
    """A function that raises, whatever it is given."""

    def raise_it(*arguments, **options):
        raise error

    return raise_it


# ------------------------------------------------------------------ files
def packed(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("p.csv", "text\na dog\n")


FILES = [
    (lambda p: packed(p), "save the sheet as CSV, or unpack it"),
    (lambda p: p.write_bytes(b"\xd0\xcf\x11\xe0 office"), "save it as CSV or text"),
    (lambda p: p.write_bytes(b"%PDF-1.7"), "a PDF: save its text"),
    (lambda p: p.write_bytes(b"SQLite format 3\0"), "export the table as CSV"),
    (lambda p: np.save(p.open("wb"), np.array(["a dog"])), "save its texts one a line"),
    (lambda p: p.write_bytes(b"\x28\xb5\x2f\xfd x"), "packed by zstd: unpack it"),
    (lambda p: p.write_bytes(b"7z\xbc\xaf x"), "a 7z archive: unpack it"),
    (lambda p: p.write_bytes(b"Rar! x"), "a rar archive: unpack it"),
    (lambda p: p.write_bytes(b"\0" * 257 + b"ustar" + b"\0" * 99), "a tar archive: unpack it"),
    (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\n"), "run git lfs pull"),
    (lambda p: p.write_text("<!doctype html><p>404"), "download the file itself"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), FILES)
def test_a_file_of_another_format_saved_as_the_message_says(tmp_path, make, words):
    file = tmp_path / "p.txt"
    make(file)
    with pytest.raises(ValueError, match=re.escape(words)):
        sentences(file)
    file.write_text("a dog\na cat\n")
    table = tmp_path / "p.csv"
    table.write_text("text\na dog\na cat\n")
    assert sentences(file) == sentences(table) == ["a dog", "a cat"]


@pytest.mark.parametrize(
    ("name", "wrong", "words", "right"),
    [
        ("p.xls", "a\tdog\n", "save it as CSV", ("p.csv", "text\na dog\n")),
        ("p.txt", "one\ta dog\ntwo\ta cat\n", "name it .tsv or .csv, with the names of its col",
         ("p.tsv", "id\ttext\none\ta dog\n")),
        ("p.csv", "text,text\na,b\n", "the column text is there twice; rename one",
         ("p.csv", "text,n\na dog,1\n")),
        ("p.csv", "a dog sleeps,1\na cat,2\n", "put a line with names, such as text, above",
         ("p.csv", "text,n\na dog sleeps,1\n")),
        ("p.json", '{"a": [{"text": "x"}], "b": [{"text": "y"}]}', "give a file with one",
         ("p.json", '{"a": [{"text": "a dog"}]}')),
    ],
)  # fmt: skip
def test_a_table_as_the_message_wants_it(tmp_path, name, wrong, words, right):
    (tmp_path / name).write_text(wrong)
    with pytest.raises(ValueError, match=re.escape(words)):
        sentences(tmp_path / name)
    (tmp_path / right[0]).write_text(right[1])
    found = sentences(tmp_path / right[0], column="text")
    assert found and all(text.startswith("a dog") for text in found)


def test_columns_that_are_there_twice_or_are_several(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = tmp_path / "p.parquet"
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["u", "u"]), file)
    for read in (data.load, sentences):
        with pytest.raises(ValueError, match="the column u is there twice; rename one"):
            read(file)
    pq.write_table(pa.table([pa.array(["a"]), pa.array(["b"])], names=["u", "v"]), file)
    assert data.load(file).column_names == ["u", "v"]
    with pytest.raises(ValueError, match="say which one holds the sentences .--column NAME."):
        sentences(file)
    assert sentences(file, column="v") == ["b"]
    frame_ = pd.DataFrame([["a", "b"]], columns=["u", "u"])
    with pytest.raises(ValueError, match="the premises have the column u twice; rename one"):
        reading.texts_in(frame_)
    assert reading.texts_in(frame_.set_axis(["u", "n"], axis=1), "u") == ["a"]


def test_sources_in_memory_and_pipes(tmp_path):
    from datasets import Dataset, DatasetDict

    part = Dataset.from_dict({"text": ["a dog"]})
    several = DatasetDict(dev=part, test=part)
    with pytest.raises(ValueError, match="give one of the splits dev, test"):
        reading.texts_in(several)
    assert reading.texts_in(several["dev"]) == ["a dog"]
    with pytest.raises(ValueError, match="a set has no order.*: give a list"):
        reading.texts_in({"a dog"})
    assert reading.texts_in(["a dog"]) == ["a dog"]
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(ValueError, match="write what comes from it into a file, and give that"):
        sentences(tmp_path / "pipe.txt")
    (tmp_path / "file.txt").write_text("a dog\n")
    assert sentences(tmp_path / "file.txt") == ["a dog"]


def test_folders_of_texts(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("a dog\n")
    (tmp_path / "b.csv").write_text("text\na cat\n")
    with pytest.raises(ValueError, match="several formats .csv, text.: give one of them"):
        sentences(tmp_path)
    assert sentences(tmp_path / "a.txt") == ["a dog"]
    (tmp_path / "b.csv").unlink()
    for number in range(30):
        (tmp_path / "below").mkdir(exist_ok=True)
        (tmp_path / "below" / f"{number}.bin").write_text("")
    monkeypatch.setattr(data, "MOST_FILES", 20)
    with pytest.raises(ValueError, match="give the folder of the texts, or one file"):
        sentences(tmp_path)
    shutil.rmtree(tmp_path / "below")
    assert sentences(tmp_path) == sentences(tmp_path / "a.txt") == ["a dog"]
    with pytest.raises(FileNotFoundError, match="does not exist; make it"):
        data.save(data.triplets([("a", "b", "c")]), tmp_path / "new" / "t.parquet")
    (tmp_path / "new").mkdir()
    data.save(data.triplets([("a", "b", "c")]), tmp_path / "new" / "t.parquet")


def test_a_data_set_that_cannot_be_had(tmp_path):
    with pytest.raises(OSError, match="give a text or Parquet file, or take the pocket tier"):
        sentences("nobody/nothing")
    (tmp_path / "p.txt").write_text("a dog\n")
    assert sentences(tmp_path / "p.txt") and sentences("pocket", n=2)
    corpus = dataclasses.replace(tiers.STS_B, name="nobody/nothing")
    with pytest.raises(OSError, match="give the pairs in a folder"):
        data.load_scored_pairs(corpus)
    pd.DataFrame({"sentence1": ["a"], "sentence2": ["b"], "score": [1.0]}).to_parquet(
        tmp_path / "test-00000.parquet"
    )
    (tmp_path / "p.txt").unlink()
    corpus = dataclasses.replace(corpus, name=str(tmp_path), split="test", file=None)
    assert len(data.load_scored_pairs(corpus)) == 1


def test_clusters_of_embeddings():
    settings = tiers.get("pocket").ranking

    def cluster(clusters, n):
        return data.kmeans_sample(np.eye(n), clusters=clusters, per_cluster=1)

    def anchors(clusters, n):
        few = dataclasses.replace(settings, clusters=clusters, per_cluster=1)
        return ranking.anchors(
            few, None, 0, sentences=SENTENCES[:n], encode=lambda texts: np.eye(n)[: len(texts)]
        )

    for find in (cluster, anchors):
        with pytest.raises(ValueError, match="take fewer clusters or more sentences"):
            find(5, 4)
        assert len(find(3, 4)) == 3 and len(find(5, 5)) == 5


# ------------------------------------------------------------------ models
def damage(folder, how):
    file, config = folder / "model.safetensors", folder / "config.json"
    if how == "cut":
        file.write_bytes(file.read_bytes()[:-9])
    elif how == "gone":
        file.unlink()
    elif how == "empty":
        from safetensors.torch import save_file

        save_file({}, file, metadata={"format": "pt"})
    elif how == "one gone":
        from safetensors.torch import load_file, save_file

        held = load_file(file)
        del held[sorted(held)[-1]]
        save_file(held, file, metadata={"format": "pt"})
    elif how in ("NaN", "one infinite"):
        from safetensors.torch import load_file, save_file

        held = load_file(file)
        first = held[sorted(held)[0]].view(-1)  # the last may be of a head that an encoder drops
        first[-1 if how == "one infinite" else slice(None)] = float(how.split()[-1][:3])
        save_file(held, file, metadata={"format": "pt"})
    elif how == "config":
        config.write_text("{")
    elif how == "other shapes":
        held = json.loads(config.read_text())
        config.write_text(json.dumps(held | {name: 32 for name in ("hidden_size", "d_model")}))
    elif how == "tokenizer":
        (folder / "tokenizer.json").write_text("{")
    elif how == "nameless":
        config.write_text("{}")
    elif how == "no tokenizer":
        for entry in folder.glob("tokenizer*"):
            entry.unlink()
    elif how == "modules":
        (folder / "modules.json").write_text("[1]")
    elif how == "index":
        (folder / "model.safetensors.index.json").write_text("{}")
    elif how == "other's tokenizer":
        tokenizer = json.loads((folder / "tokenizer.json").read_text())
        vocabulary = tokenizer["model"]["vocab"]
        vocabulary |= {f"new{i}": len(vocabulary) + i for i in range(30)}
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))


@pytest.mark.parametrize(
    "how", ["cut", "gone", "empty", "one gone", "config", "nameless", "no tokenizer", "modules",
            "index", "other's tokenizer", "tokenizer", "NaN", "one infinite"],
)  # fmt: skip
def test_a_damaged_model_that_is_got_again(here, tmp_path, how):
    folder = shutil.copytree(here / "llama", tmp_path / "model")
    damage(folder, how)
    with pytest.raises(OSError, match="get (it|both) again"):
        models.load_generator(folder)
    shutil.rmtree(folder)
    shutil.copytree(here / "llama", folder)
    models.load_generator(folder)


def test_other_ways_to_give_a_model(here, tmp_path, monkeypatch):
    monkeypatch.chdir(here)
    for name, words in [
        ("premises.txt", "is a file; give the folder of a saved model"),
        ("./nowhere", "give a model folder, a pocket name .pocket/generator-t5.* or a hub id"),
        ("two words", "give a pocket name .pocket/generator-t5.*, a folder, or a hub id"),
        ("nobody/nothing", "or take a pocket name .pocket/generator-t5"),
    ]:
        with pytest.raises((OSError, ValueError), match=words):
            models.load_generator(name)
    for name in ("t5", "./t5", here / "t5", "pocket/generator-t5"):
        models.load_generator(name)
    device = {}
    for wrong, words in [("abacus", "take 'cuda', 'mps' or 'cpu'"), ("cuda", "leave device=None")]:
        if wrong == "cuda" and torch.cuda.is_available():
            continue
        with pytest.raises(ValueError, match=words):
            models.pick_device(wrong)
    assert {models.pick_device("cpu").type, models.pick_device(None).type} >= {"cpu"} | set(device)
    with pytest.raises(ValueError, match="take precision 'fp32' or 'bf16'"):
        models.training_precision("cpu", "fp16")
    assert [models.training_precision("cpu", p) for p in ("fp32", "bf16")] == ["fp32", "bf16"]


def test_pickled_weights_saved_again(here, tmp_path):
    from transformers import AutoModelForCausalLM

    folder = shutil.copytree(here / "llama", tmp_path / "model")
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(OSError, match="save it again with save_pretrained"):
        models.load_generator(folder)
    model.save_pretrained(folder)
    models.load_generator(folder)


def test_an_adapter_merged_into_its_model(here, tmp_path):
    from peft import LoraConfig, PeftModel, get_peft_model

    base, tokenizer = models.load_generator(here / "llama", device="cpu")
    with models.adapting():
        get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=2)).save_pretrained(
            str(tmp_path / "adapter")
        )
        with pytest.raises(OSError, match="put it into that model with peft's `merge_and_unload`"):
            models.load_generator(tmp_path / "adapter")
        base, tokenizer = models.load_generator(here / "llama", device="cpu")
        merged = PeftModel.from_pretrained(base, str(tmp_path / "adapter")).merge_and_unload()
    merged.save_pretrained(str(tmp_path / "merged"))
    tokenizer.save_pretrained(str(tmp_path / "merged"))
    models.load_generator(tmp_path / "merged")


def test_a_new_architecture_and_another_model(here, tmp_path):
    folder = shutil.copytree(here / "llama", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    for more, words in [({}, "it is new"), ({"auto_map": {"a": "b"}}, "brings its own code")]:
        (folder / "config.json").write_text(json.dumps(config | {"model_type": "moth"} | more))
        with pytest.raises(OSError, match=f"{words}.*take another model"):
            models.load_generator(folder)
    models.load_generator(here / "llama")


def test_a_model_too_large_and_what_makes_room(here, monkeypatch):
    weights = 4 * models.number_count(here / "encoder")
    for free, more in [(0.9 * weights, {}), (0.9 * weights, dict(dtype="bfloat16"))]:
        monkeypatch.setattr(models, "free_bytes", lambda device, free=free: free)
        if more:
            models.load_encoder(here / "encoder", **more)
            continue
        with pytest.raises(OSError, match="take a smaller model, free memory, or pass dtype='bfl"):
            models.load_encoder(here / "encoder")
    monkeypatch.setattr(models, "free_bytes", lambda device: 1e12)
    models.load_encoder(here / "encoder")
    with monkeypatch.context() as patch:
        import sentence_transformers

        def full(*a, **k):
            raise MemoryError

        patch.setattr(sentence_transformers, "SentenceTransformer", full)
        with pytest.raises(OSError, match="memory that is left: take a smaller model"):
            models.load_encoder(here / "encoder")
    models.load_encoder(here / "encoder")


def test_what_the_hub_refuses_and_what_helps(here, tmp_path, monkeypatch):
    """A hub in this process: gated until one logs in, away for a while, not to be reached."""
    import huggingface_hub
    from huggingface_hub import errors

    state = {}

    class Answer:
        status_code, headers, url, request = 403, {}, "http://hub", None
        text = reason = "busy"

    def model_info(self, name, revision=None):
        kinds = dict(
            gated=errors.GatedRepoError, private=errors.RepositoryNotFoundError,
            busy=errors.HfHubHTTPError,
        )  # fmt: skip
        if state["is"] in kinds:
            raise kinds[state["is"]]("no", response=Answer())
        if state["is"] == "away":
            raise ConnectionError("no route")
        files = ["config.json", "tokenizer.json"]
        files.append("pytorch_model.bin" if state["is"] == "pickled" else "model.safetensors")
        siblings = [type("", (), dict(rfilename=file)) for file in files]
        return type("", (), dict(siblings=siblings, safetensors=None, sha="x", config={}))

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    monkeypatch.setattr(huggingface_hub.HfApi, "get_repo_discussions", lambda *a, **k: [])
    monkeypatch.setattr(
        huggingface_hub.HfApi, "snapshot_download", lambda *a, **k: str(here / "llama")
    )
    monkeypatch.setattr(models, "cached", lambda name: None)
    for what, words in [
        ("gated", "accept its terms at .* and log in with `hf auth login`, or take an ungated"),
        ("private", "or private: then log in with `hf auth login`"),
        ("busy", "try again later"),
        ("away", "go online once .and unset HF_HUB_OFFLINE., or take"),
        ("pickled", "take a model that has them, or convert it on a machine that you trust"),
    ]:
        state["is"] = what
        with pytest.raises(OSError, match=words):
            models.load_generator("someone/tiny")
        state["is"] = "well"  # logged in, later, online, converted
        models.load_generator("someone/tiny")


def test_pocket_weights_that_git_or_make_brings_back(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "POCKET", tmp_path / "data" / "pocket")
    monkeypatch.setattr(models, "POCKET_MODELS", ("pocket/nli",))
    shutil.copytree(synthlib.paths.POCKET / "nli", tmp_path / "data" / "pocket" / "nli")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@x.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True, capture_output=True)
    shutil.rmtree(models.POCKET)
    with pytest.raises(FileNotFoundError, match="`make pocket` trains them, `git checkout -- da"):
        models.load_nli("pocket/nli")
    tier = tiers.get("pocket")
    cpu = torch.device("cpu")
    with monkeypatch.context() as patch:
        patch.setattr(trials, "failures", lambda *a: [])
        patch.setattr(metadata, "requires", lambda name: [])
        patch.setattr(models, "free_bytes", lambda device: 9e10)
        (said,) = synthlib.preflight("pocket").problems
    command = re.search(r"`(git checkout -- data/pocket)`, or `make pocket`", said)[1]
    subprocess.run([*git, *command.split()[1:]], check=True, capture_output=True)
    models.load_nli("pocket/nli")
    (models.POCKET / "nli" / "model.safetensors").write_bytes(b"x")
    monkeypatch.setattr(trials, "lora_step", lambda device: None)
    (said,) = trials.failures(tier, cpu)
    assert "get it again" in said
    subprocess.run([*git, *command.split()[1:]], check=True, capture_output=True)
    assert not list(trials.failures(tier, cpu))
    shutil.rmtree(models.POCKET / "nli")
    from synthlib.world import build

    # make pocket, shortened
    build.build(models.POCKET, only=["encoders-bert"], scale=0.0005, workers=1)
    models.load_nli("pocket/nli")


# ------------------------------------------------------------------ preflight
@pytest.fixture
def problems(monkeypatch):
    """problems(tier, …) -> what preflight says of such a machine."""
    monkeypatch.setattr(metadata, "requires", lambda name: [])
    monkeypatch.setattr(trials, "failures", lambda tier, device: [])
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def run(tier=None, device="cpu", free=99, disk=99):
        monkeypatch.setattr(models, "pick_device", lambda name=None: torch.device(device))
        monkeypatch.setattr(models, "free_bytes", lambda device: free * 1e9)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: type("", (), {"free": disk * 1e9}))
        return synthlib.preflight(tier).problems

    return run


def test_what_preflight_names_and_how_it_ends(problems, monkeypatch):
    real = metadata.version

    def version(name):
        if name == "datasets":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    with monkeypatch.context() as patch:
        patch.setattr(metadata, "version", version)
        (said,) = problems("pocket")
        assert said.endswith("pip install datasets")
    assert problems("pocket") == ()
    assert "else set SYNTHLIB_TIER=pocket" in problems("colab")[0]
    monkeypatch.setenv("SYNTHLIB_TIER", "pocket")
    assert problems() == ()
    (said,) = problems("pocket", free=0.1)
    assert "close other programs" in said and "SYNTHLIB_TIER" not in said  # none is smaller
    (said,) = problems("colab", "mps", free=0.1)
    assert said.endswith("or set SYNTHLIB_TIER=pocket") and problems("colab", "mps") == ()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (said,) = problems("colab", "mps")
    assert "unset it, unless they are in the cache" in said
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert problems("colab", "mps") == ()
    (said,) = problems("pocket", disk=0.1)
    assert "make room" in said


def test_what_pip_installs_is_no_problem_any_more(problems, monkeypatch):
    wanted = ["numpy>=99", "nope"]
    monkeypatch.setattr(metadata, "requires", lambda name: wanted)
    lines = [re.search(r"pip install '(.*)'$", said)[1] for said in problems("pocket")]
    assert lines == wanted
    real = metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda name: {"numpy": "99.1", "nope": "1"}.get(name) or real(name)
    )
    assert problems("pocket") == ()


def test_what_a_trial_names(tmp_path, monkeypatch):
    from huggingface_hub import constants

    colab, cpu = tiers.get("colab"), torch.device("cpu")
    monkeypatch.setattr(synthlib.paths, "BUILD", tmp_path / "_build")
    with monkeypatch.context() as patch:
        patch.setattr(trials, "lora_step", raising(ImportError("old peft")))
        patch.setattr(trials, "training_step", raising(RuntimeError("no kernel")))
        lora, step = trials.failures(colab, cpu)
        assert lora.endswith("pip install -U peft transformers")
        assert "hide it: CUDA_VISIBLE_DEVICES=''" in step
        patch.setattr(
            trials, "training_step", raising(RuntimeError("out of memory"))
        )
        assert "restart the session (kernel)" in list(trials.failures(colab, cpu))[1]
    assert list(trials.failures(colab, cpu)) == []  # a newer peft, another session
    (tmp_path / "file").write_text("")
    with monkeypatch.context() as patch:
        patch.setattr(constants, "HF_HOME", str(tmp_path / "file" / "cache"))
        patch.setattr(synthlib.paths, "BUILD", tmp_path / "file" / "_build")
        start, home = trials.failures(colab, cpu)
        assert "in a folder that you may write to" in start and "set HF_HOME" in home
    monkeypatch.setattr(constants, "HF_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    assert list(trials.failures(colab, cpu)) == []
    code = "from synthlib import models; print(models.pick_device())"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert shown.stdout.strip() in ("cpu", "mps")


# ------------------------------------------------------------------ kernels
def test_decoding_as_its_messages_say(here, monkeypatch):
    t5, llama = (models.load_generator(here / name, device="cpu") for name in ("t5", "llama"))

    def write(held=llama, texts=("a dog",), room=3, **more):
        return decoding.generate_mixture(*held, [list(texts)], [1.0], max_new_tokens=room, **more)

    with pytest.raises(ValueError, match="give one int, or one each"):
        write(do_sample=True, seed=[1, 2])
    assert write(do_sample=True, seed=[1]) and write(do_sample=True, seed=1)
    model, start = t5[0], t5[0].generation_config.decoder_start_token_id
    model.generation_config.decoder_start_token_id = model.config.decoder_start_token_id = None
    with pytest.raises(ValueError, match="names no decoder_start_token_id: set it"):
        write(t5)
    model.config.decoder_start_token_id = start
    assert write(t5)
    lost = [p.data.clone() for p in llama[0].parameters()]
    for p in llama[0].parameters():
        p.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="load it with dtype=torch.float32 or torch.bfloat16"):
        write()
    assert write(models.load_generator(here / "llama", device="cpu", dtype=torch.float32))
    assert write(models.load_generator(here / "llama", device="cpu", dtype=torch.bfloat16))
    assert lost


def test_more_tokens_than_a_decoder_holds(tmp_path):
    import transformers

    torch.manual_seed(0)
    held = tiny_models.tokenizer("t5")
    config = transformers.BartConfig(
        vocab_size=len(held), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_ffn_dim=32, max_position_embeddings=20, pad_token_id=0, bos_token_id=1,
        eos_token_id=1, decoder_start_token_id=1, forced_eos_token_id=None,
    )  # fmt: skip
    model = transformers.BartForConditionalGeneration(config).eval()

    def write(room):
        return decoding.generate_mixture(model, held, [["a dog"]], [1.0], max_new_tokens=room)

    with pytest.raises(ValueError, match="decoder holds .*: lower max_new_tokens") as said:
        write(30)
    assert write(int(re.search(r"holds (\d+)", str(said.value))[1]))


def test_a_model_that_cannot_be_read_and_another(here, monkeypatch):
    model, tokenizer = models.load_generator(here / "llama", device="cpu")

    def write(model):
        return decoding.generate_mixture(model, tokenizer, [["a dog"]], [1.0], max_new_tokens=2)

    with monkeypatch.context() as patch:
        patch.setattr(decoding, "WAYS", decoding.WAYS[-1:])  # all others fail its trial
        with pytest.warns(UserWarning, match="take a model with a key/value cache"):
            assert write(model)
    other, _ = models.load_generator(here / "llama", device="cpu")
    monkeypatch.setattr(other, "forward", raising(IndexError("no such position")))
    with pytest.raises(ValueError, match="cannot be read token by token.*: take another model"):
        write(other)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert write(models.load_generator(here / "llama", device="cpu")[0])


def test_the_substitute_once_it_is_installed(here, monkeypatch):
    """Whether TRL trains, `test_art_recipe` tries where it is there."""
    held = models.load_generator(here / "llama", device="cpu")
    monkeypatch.setitem(sys.modules, "trl", None)
    with pytest.raises(ImportError, match=r"pip install 'synthlib\[rl\]'"):
        art.tune_with_trl(held, SENTENCES, None, None, None, tiers.get("pocket").art)
    extras = metadata.metadata("synthlib").get_all("Provides-Extra")
    assert "rl" in extras
    monkeypatch.undo()


def test_judges_as_their_messages_say(here):
    model, tokenizer = models.load_nli(here / "nli", device="cpu")
    pairs = [("a dog", "a cat")]
    with torch.no_grad():
        model.classifier.bias.fill_(torch.nan)
    with pytest.raises(ValueError, match="load it in torch.float32"):
        judging.nli_probabilities(model, tokenizer, pairs)
    held = models.load_nli(here / "nli", device="cpu", dtype=torch.float32)
    assert len(judging.nli_probabilities(*held, pairs)) == 1


def test_a_policy_that_only_copies_and_a_smaller_rate(here):
    def tune(rate, kl):
        torch.manual_seed(1)
        policy = ppo.Policy(*models.load_generator(here / "llama", device="cpu"), r=4, alpha=8)
        tasks = [{"prompt": s, "anchor": "a dog", "kind": "positive"} for s in SENTENCES[:4]]
        read = policy.texts

        def texts(answers):  # a large rate without a bound has taught it to copy
            return ["a dog"] * len(read(answers)) if rate > 1e-3 and kl < 1 else read(answers)

        policy.texts = texts
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            log = ppo.train(
                policy, tasks, [lambda completions, **_: [1.0] * len(completions)], [1.0], kl=kl,
                learning_rate=rate, steps=4, patience=2, batch_size=4, mini_batch_size=4,
                max_new_tokens=3, progress=False,
            )  # fmt: skip
        return len(log), [str(one.message) for one in caught if "stopped at" in str(one.message)]

    steps, (said,) = tune(1e-2, 0.0)
    assert steps == 2 and "lower learning_rate, or raise kl" in said
    assert tune(1e-4, 0.0) == (4, []) and tune(1e-2, 2.0)[0] == 4


def test_embeddings_as_their_message_says():
    bad = np.full((2, 3), np.nan, np.float16)
    with pytest.raises(ValueError, match="or use float32 if it ran in half precision"):
        evaluation.uniformity(bad)
    assert np.isfinite(evaluation.uniformity(np.eye(3, dtype=np.float32)))


def test_bounds_from_more_outputs():
    rng = np.random.default_rng(0)

    def choose(n):
        kinds = ["positive", "negative"] * n
        return rewards.choose_bounds(np.full(2 * n, 0.9), rng.uniform(0, 1, 2 * n), kinds)

    with pytest.raises(ValueError, match="look at more outputs, or give the bounds"):
        choose(5)
    assert choose(50).lower_bound == pytest.approx(0.9)


def test_training_as_its_messages_say(here, tmp_path):
    rows = [tuple(SENTENCES[i : i + 3]) for i in range(8)]

    def fresh(**more):
        return models.load_encoder(here / "encoder", device="cpu")

    def supervised(rows=rows, encoder=None, **more):
        options = dict(max_steps=1, batch_size=4, progress=False, learning_rate=1e-3) | more
        return training.train_supervised_simcse(encoder or fresh(), rows, **options)

    with pytest.raises(ValueError, match="give either epochs or max_steps"):
        supervised(epochs=1)
    supervised(epochs=1, max_steps=None)
    with pytest.raises(ValueError, match="is blank; leave empty sentences out"):
        supervised([*rows, ("a dog", " ", "a cat")])
    table = pd.DataFrame(rows, columns=["anchor", "positive", "hard"])
    from datasets import Dataset

    with pytest.raises(ValueError, match="missing: rename them with rename_columns"):
        supervised(Dataset.from_pandas(table))
    supervised(Dataset.from_pandas(table).rename_columns({"hard": "negative"}))
    supervised(output_dir=tmp_path / "a")
    with pytest.raises(ValueError, match="give another output_dir, or delete it"):
        supervised(output_dir=tmp_path / "a", seed=1)
    supervised(output_dir=tmp_path / "b", seed=1)
    shutil.rmtree(tmp_path / "a")
    supervised(output_dir=tmp_path / "a", seed=1)
    lists, flat = [SENTENCES[:3], SENTENCES[3:6]], np.ones((3, 3))
    steep = np.array([[1, 0.9, 0.2], [0.9, 1, 0.5], [0.2, 0.5, 1]])

    def rank(lists, targets):
        return training.post_train_ranking(
            fresh(), lists, targets, max_steps=1, progress=False, learning_rate=1e-3
        )

    with pytest.raises(ValueError, match="rank nothing; leave the list out"):
        rank(lists, [steep, flat])
    rank(lists[:1], [steep])


def test_dropout_and_precision_of_a_training(here, tmp_path):
    tiny_models.save(tmp_path / "dry", "bert", dropout=0.0)
    tiny_models.save(tmp_path / "wet", "bert", dropout=0.1)
    for name, warned in (("dry", True), ("wet", False)):
        encoder = models.load_encoder(tmp_path / name, pooling="mean", device="cpu")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            training.train_unsupervised_simcse(
                encoder, SENTENCES[:8], max_steps=1, batch_size=4, progress=False
            )
        assert any("load it with dropout > 0" in str(one.message) for one in caught) == warned


def test_a_training_that_breaks_down_at_a_lower_rate(here, monkeypatch):
    rows = [tuple(SENTENCES[i : i + 3]) for i in range(8)]
    value = training.InBatchLoss.value

    def train(rate):
        monkeypatch.setattr(
            training.InBatchLoss, "value",
            lambda self, v, rows: value(self, v, rows) * (torch.nan if rate > 1e-2 else 1),
        )  # fmt: skip
        training.train_supervised_simcse(
            models.load_encoder(here / "encoder", device="cpu"), rows, max_steps=2, batch_size=4,
            learning_rate=rate, progress=False, precision="fp32",
        )  # fmt: skip

    with pytest.raises(ValueError, match="lower the learning rate, or train with precision='fp32'"):
        train(0.5)
    train(1e-3)


def test_tasks_for_ppo(here, tmp_path):
    policy = ppo.Policy(*models.load_generator(here / "llama", device="cpu"), r=2, alpha=4)
    task = {"prompt": "a dog", "anchor": "a dog", "kind": "positive"}
    reward = [lambda completions, **_: [1.0] * len(completions)]

    def train(tasks, folder="a", **more):
        options = dict(steps=1, batch_size=2, mini_batch_size=2, max_new_tokens=2, progress=False)
        return ppo.train(policy, tasks, reward, [1.0], output_dir=tmp_path / folder,
                         **options | more)  # fmt: skip

    with pytest.raises(ValueError, match="give at least one mapping with prompt, anchor and kind"):
        train([])
    train([task])
    with pytest.raises(ValueError, match="give another folder, or delete it"):
        train([task], seed=3)
    train([task], "b", seed=3)
    shutil.rmtree(tmp_path / "a")
    train([task], seed=3)
