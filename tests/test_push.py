"""A push to the Hub, against a server of the test's own: what arrives, and what never leaves."""

import base64
import hashlib
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections import Counter

import huggingface_hub
import pyarrow.parquet
import pytest
import test_reporting as made

from synthlib import __main__ as cli
from synthlib import data
from synthlib.reporting import card, hub

TOKEN = "hf_thisIsATokenOfTheTest"
HOME = "/private/me/my project"


# ---------------------------------------------------------------- a Hub
class Hub(http.server.ThreadingHTTPServer):
    """Speaks what the client uses to make a repository and commit to it by LFS."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked, self.tokens, self.bodies = [], {}, []
        self.repositories, self.stored, self.fail = {}, {}, {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def do(self):
        on, path = self.server, self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        step = re.sub(r".*(create|validate-yaml|preupload|batch|stored|commit)\b.*", r"\1", path)
        if step == path:  # a repository; or the client asks on its own account, of nobody
            step = "info" if re.match("/api/(model|dataset)s/", path) else "elsewhere"
        on.asked.append(step)
        on.bodies.append(path.encode() + body)
        on.tokens.setdefault(step, set()).add(self.headers.get("Authorization"))
        if (failure := on.fail.get(step)) == "gone":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        failure = 404 if step == "elsewhere" else failure
        status, found = (failure, {"error": f"no: {TOKEN}"}) if failure else self.answer(step, body)
        content = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 404:
            self.send_header("X-Error-Code", "RepoNotFound")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do

    def answer(self, step, body):
        on = self.server
        if step == "stored":
            name = self.path.rpartition("/")[2]
            assert hashlib.sha256(body).hexdigest() == name
            on.stored[name] = body
            return 200, {}
        held = json.loads(body) if body and step != "commit" else {}
        if step == "create":
            name = f"{held['type']}s/{held['organization']}/{held['name']}"
            on.repositories[name] = {"private": held["visibility"] == "private", "files": {}}
            return 200, {"url": f"{on.address}/{held['organization']}/{held['name']}"}
        if step == "validate-yaml":
            head = huggingface_hub.DatasetCard(held["content"]).data.to_dict()
            bad = head.get("license", "mit") != "mit"
            return (400 if bad else 200), {"errors": [{"message": '"license" must be one of mit'}]}
        if step == "batch":
            return 200, {"objects": [one | self.upload(one["oid"]) for one in held["objects"]]}
        kind, *name = re.search(r"/api/(\w+)/([^/?]+)/([^/?]+)", self.path).groups()
        files = on.repositories.get("/".join([kind, *name]))
        if files is None:
            return 404, {"error": "Repository not found"}
        private, files = files["private"], files["files"]
        if step == "info":
            siblings = [self.described(*one) for one in {".gitattributes": b"", **files}.items()]
            return 200, {"id": "/".join(name), "private": private, "sha": "0" * 40,
                         "siblings": siblings, "tags": [], "downloads": 0, "likes": 0}  # fmt: skip
        if step == "preupload":
            return 200, {"files": [
                {"path": one["path"], "uploadMode": mode(one["path"]), "shouldIgnore": False,
                 "oid": self.oid(one["path"], files)} for one in held["files"]
            ]}  # fmt: skip
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = on.stored[value["oid"]]
        on.bodies.append(b"".join(files.values()))
        return 200, {"commitUrl": f"{on.address}/{'/'.join(name)}/commit/{'1' * 40}",
                     "commitOid": "1" * 40}  # fmt: skip

    def upload(self, oid):
        if oid in self.server.stored:
            return {}
        return {"actions": {"upload": {"href": f"{self.server.address}/stored/{oid}"}}}

    def oid(self, path, files):
        return self.described(path, files[path])["oid"] if path in files else None

    def described(self, path, content):
        """As the Hub lists a file: by Git's sum, and by SHA-256 where it is a large one."""
        git = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
        one = {"rfilename": path, "size": len(content), "blobId": git, "oid": git}
        if mode(path) == "lfs":
            large = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
            one |= {"lfs": large | {"pointerSize": 130}, "oid": large["sha256"]}
        return one


def mode(path):
    return "lfs" if path.endswith((".parquet", ".safetensors")) else "regular"


@pytest.fixture
def there(monkeypatch):
    """A Hub that the client in this process asks, without waiting between its retries."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    server = Hub()
    monkeypatch.setattr(constants, "ENDPOINT", server.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(_http.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    yield server
    server.shutdown()
    server.server_close()


# ---------------------------------------------------------------- a run
def run_of(folder, method="multicsr"):
    """A run with an encoder, paths of its machine, and all that must not go out."""
    getattr(made, method)(folder)
    held = json.loads((folder / "run.json").read_text())
    held |= {"source": f"{HOME}/mine.txt", "encoder": "near/base (0a1b2c3d)", "device": "owner/x"}
    (folder / "run.json").write_text(json.dumps(held))
    for file in [*folder.glob("kept.parquet"), *folder.glob("round-*/triplets.parquet")]:
        note = {name: held[name] for name in ("source", "encoder", "device")}
        note["endpoint"] = "gpu7.within"
        data.save(data.load(file), file, origin=data.origin_of(method, settings=note))
    homes = sorted(folder.glob("round-*")) or [folder]
    for number, home in enumerate(homes):
        (home / "encoder" / "1_Pooling").mkdir(parents=True, exist_ok=True)
        for name, text in {
            "model.safetensors": f"weights {number}" * 40, "modules.json": "[]",
            "config.json": json.dumps({"_name_or_path": f"{HOME}/base", "hidden_size": 8}),
            "1_Pooling/config.json": '{"pooling_mode": "mean"}', "vocab.txt": "[PAD]\n/private",
            "optimizer.pt": "state", "training_args.bin": "args", "notes.md": HOME, ".env": "key",
        }.items():  # fmt: skip
            (home / "encoder" / name).write_text(text)
    (folder / "training").mkdir(exist_ok=True)
    (folder / "training" / "log.txt").write_text(HOME)
    return folder


def command(folder, *more):
    return ["card", str(folder), "--push", "you/mine", *more]


def failed(capsys, arguments) -> str:
    """What a command says that fails: one line."""
    assert cli.main(arguments) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and TOKEN not in err, err
    return err


# ---------------------------------------------------------------- dry
def test_without_yes_nothing_is_asked_and_all_is_said(tmp_path, there, capsys, monkeypatch):
    monkeypatch.delenv("HF_TOKEN")
    folder = run_of(tmp_path / "run")
    assert cli.main(command(folder, "--private")) == 0
    out = capsys.readouterr().out
    assert "To you/mine (a dataset; private if it is made now)" in out
    sizes = {name: int(n.replace(",", "")) for n, name in re.findall(r"([\d,]+) bytes  (.+)", out)}
    assert set(sizes) == {"README.md", "kept.parquet"}
    assert sizes["README.md"] == len(card.card(card.Run(folder)).encode())
    stays = re.search("Stays here: (.+)", out)[1].split(", ")
    assert {"encoder/", "run.json", "training/", "triplets.parquet", "written/"} <= set(stays)
    assert "task_categories" in out and out.endswith("sent: give --yes too, and it is.\n")
    assert cli.main(command(folder, "--of", "encoder")) == 0
    out = capsys.readouterr().out
    stays = set(re.search("Stays here: (.+)", out)[1].split(", "))
    beside = ("optimizer.pt", "notes.md", ".env", "training_args.bin")
    assert {f"encoder/{name}" for name in beside} < stays
    assert "encoder/" not in stays and "kept.parquet" in stays and "public if" in out
    assert not there.asked and not list(tmp_path.glob("**/README.md"))


# ---------------------------------------------------------------- what arrives
def test_the_encoder_arrives_byte_by_byte_and_the_token_in_headers_alone(tmp_path):
    folder, server = run_of(tmp_path / "run"), Hub()
    call = command(folder, "--of", "encoder", "--private", "--yes")
    done = subprocess.run(
        [sys.executable, "-m", "synthlib", *call],
        env=os.environ | {"HF_ENDPOINT": server.address, "HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "0",
                          "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    server.shutdown()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"{server.address}/you/mine"
    (found,) = server.repositories.values()
    assert list(server.repositories) == ["models/you/mine"] and found["private"]
    files, encoder = dict(found["files"]), folder / "encoder"
    assert files.pop("README.md").decode() == card.card(card.Run(folder), of="encoder")
    assert json.loads(files.pop("config.json")) == {"_name_or_path": "base", "hidden_size": 8}
    names = ("1_Pooling/config.json", "model.safetensors", "modules.json", "vocab.txt")
    assert files == {name: (encoder / name).read_bytes() for name in names}
    assert server.asked.count("commit") == 1
    # The store of large files is another's: it gets none. All else knows whose request it is.
    assert server.tokens.pop("stored") == {None} == server.tokens.pop("elsewhere", {None})
    assert set().union(*server.tokens.values()) == {f"Bearer {TOKEN}"}
    spread = b"".join(server.bodies) + (done.stdout + done.stderr).encode()
    assert TOKEN.encode() not in spread and base64.b64encode(TOKEN.encode()) not in spread
    assert HOME.encode() not in spread
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or TOKEN.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("method", ["multicsr", "ranking", "art"])
def test_the_data_arrive_without_a_folder_or_host_of_this_machine(tmp_path, there, method):
    folder = run_of(tmp_path / "run", method)
    assert cli.main(command(folder, "--yes")) == 0
    files = dict(there.repositories["datasets/you/mine"]["files"])
    head = huggingface_hub.DatasetCard(files.pop("README.md").decode()).data.to_dict()
    assert head["configs"][0]["data_files"] == list(files) and files
    for name, content in files.items():
        assert b"private" not in content and b"gpu7" not in content and b"near" not in content
        (tmp_path / "back.parquet").write_bytes(content)
        back, kept = (pyarrow.parquet.read_table(one) for one in (tmp_path / "back.parquet",
                                                                  folder / name))  # fmt: skip
        assert back.equals(kept)
        note = data.provenance(data.load(tmp_path / "back.parquet"))
        assert note["settings"] == {
            "source": "mine.txt", "encoder": "base (0a1b2c3d)", "device": "owner/x"
        }  # fmt: skip
        assert b"private" in (folder / name).read_bytes()  # the run's own stays as it is


def test_of_arts_encoders_the_last_goes_out(tmp_path, there):
    folder = run_of(tmp_path / "run", "art")
    last = sorted(folder.glob("round-*"))[-1] / "encoder" / "model.safetensors"
    assert cli.main(command(folder, "--of", "encoder", "--yes")) == 0
    assert there.repositories["models/you/mine"]["files"]["model.safetensors"] == last.read_bytes()


def test_a_card_that_was_filled_in_goes_out_as_it_is(tmp_path, there, capsys):
    folder, out = run_of(tmp_path / "run"), str(tmp_path / "card")
    assert cli.main(command(folder, "--out", out)) == 0  # written, nothing sent
    assert not there.asked
    mine = (tmp_path / "card" / "README.md").read_text() + "\nWe read a hundred of them.\n"
    (tmp_path / "card" / "README.md").write_text(mine)
    said = failed(capsys, command(folder, "--out", out, "--license", "mit", "--yes"))
    assert "is sent as it is: write licence and language into it, or leave --out out" in said
    assert cli.main(command(folder, "--out", out, "--yes")) == 0
    assert there.repositories["datasets/you/mine"]["files"]["README.md"].decode() == mine
    more = ["--license", "mit", "--update", "--yes"]
    assert cli.main(command(folder, *more)) == 0
    content = there.repositories["datasets/you/mine"]["files"]["README.md"].decode()
    assert 'license: "mit"' in content and "hundred" not in content


def test_an_encoder_that_pools_by_a_prompt_says_how_it_is_loaded(tmp_path):
    folder = run_of(tmp_path / "run")
    assert "load_encoder" not in card.card(card.Run(folder), of="encoder")
    module = [{"type": "synthlib.prompt_pooling.PromptTransformer"}]
    (folder / "encoder" / "modules.json").write_text(json.dumps(module))
    assert "`synthlib.models.load_encoder`" in card.card(card.Run(folder), of="encoder")


# ---------------------------------------------------------------- what goes wrong
def test_a_name_that_the_hub_does_not_allow(tmp_path, there, capsys):
    folder = run_of(tmp_path / "run")
    for name in ("mine", "a/b/c", "you/../mine", "you/", "/mine", "you/mine.git", "you/my mine"):
        said = failed(capsys, ["card", str(folder), "--push", name, "--yes"])
        assert f"--push wants NAMESPACE/NAME, as you/encoder, got {name!r}: " in said
    assert not there.asked


def test_options_of_a_push_want_one(tmp_path, capsys):
    folder = made.multicsr(tmp_path / "run")
    for more, said in (
        ([], "--out or --push is wanted"),
        (["--out", str(tmp_path / "c"), "--yes"], "--private, --update and --yes belong to --push"),
    ):
        with pytest.raises(SystemExit):
            cli.main(["card", str(folder), *more])
        assert said in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
    assert cli.main(["card", str(folder), "--out", str(tmp_path / "c")]) == 0
    assert cli.main(command(folder)) == 0


def test_no_encoder_yet_and_one_without_weights(tmp_path, there, capsys):
    early = made.multicsr(tmp_path / "early", "kept")
    said = failed(capsys, command(early, "--of", "encoder", "--yes"))
    assert "has not come as far as the encoder" in said
    folder = run_of(tmp_path / "run")
    weights = folder / "encoder" / "model.safetensors"
    kept = weights.read_bytes()
    weights.unlink()
    assert "holds no weights" in failed(capsys, command(folder, "--of", "encoder", "--yes"))
    assert not there.asked
    weights.write_bytes(kept)
    assert cli.main(command(folder, "--of", "encoder", "--yes")) == 0


@pytest.mark.parametrize("token", [None, "", "two words", "hf_…"])
def test_no_token(tmp_path, there, capsys, monkeypatch, token):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.delenv("HF_TOKEN")
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    folder = run_of(tmp_path / "run")
    said = failed(capsys, command(folder, "--yes"))
    assert "set HF_TOKEN to one with the right to write, or log in" in said
    assert "two words" not in said and not there.asked
    # Each of the two that it names: the login's file, and the variable.
    monkeypatch.delenv("HF_TOKEN", raising=False)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    assert cli.main(command(folder, "--yes")) == 0
    assert set().union(*there.tokens.values()) == {f"Bearer {TOKEN}", None}


@pytest.mark.parametrize(
    ("step", "status", "said"),
    [
        ("info", 401, "the Hub does not know the token (401): make one with the right to write"),
        ("create", 401, "the Hub does not know the token (401)"),
        ("create", 403, "the token may not write to you/mine (403): give one with the right"),
        ("preupload", 403, "the token may not write to you/mine (403)"),
        ("commit", 403, "the token may not write to you/mine (403)"),
        ("batch", 500, "the Hub refuses (500: "),
        ("stored", 503, "the Hub refuses (503: "),
        ("commit", 429, "the Hub refuses (429: "),
        ("info", "gone", "cannot be reached ("),
        ("create", "gone", "cannot be reached ("),
        ("preupload", "gone", "cannot be reached ("),
        ("stored", "gone", "cannot be reached ("),
        ("commit", "gone", "cannot be reached ("),
    ],
)
def test_what_the_hub_refuses_is_a_line_and_the_same_command_goes_on(
    tmp_path, there, capsys, step, status, said
):
    folder = run_of(tmp_path / "run")
    there.fail[step] = status
    assert said in failed(capsys, command(folder, "--yes"))
    assert not any(one["files"] for one in there.repositories.values())
    there.fail.clear()
    assert cli.main(command(folder, "--yes")) == 0
    assert set(there.repositories["datasets/you/mine"]["files"]) == {"README.md", "kept.parquet"}
    uploads = Counter(there.asked)["stored"]
    assert uploads == 1 or step == "stored"  # what had arrived is not sent again


def test_no_network_is_one_line_at_once(tmp_path, there, capsys, monkeypatch):
    from huggingface_hub import constants

    folder = run_of(tmp_path / "run")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
        monkeypatch.setattr(constants, "ENDPOINT", nobody)
        said = failed(capsys, command(folder, "--yes"))
    assert f"{nobody} cannot be reached (ConnectError" in said and "go online (and unset" in said
    monkeypatch.setattr(constants, "ENDPOINT", there.address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "cannot be reached (OfflineMode" in failed(capsys, command(folder, "--yes"))
    assert not there.asked
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert cli.main(command(folder, "--yes")) == 0


def test_a_card_that_the_hub_does_not_take(tmp_path, there, capsys):
    folder = run_of(tmp_path / "run")
    said = failed(capsys, command(folder, "--license", "mine", "--yes"))
    assert 'must be one of mit): mend its head, or give --license and --language as the' in said
    assert cli.main(command(folder, "--license", "mit", "--yes")) == 0


def test_a_repository_with_other_files_is_written_over_by_a_word_alone(tmp_path, there, capsys):
    folder = run_of(tmp_path / "run")
    assert cli.main(command(folder, "--yes")) == 0
    files = there.repositories["datasets/you/mine"]["files"]
    assert cli.main(command(folder, "--yes")) == 0  # the same again: nothing to do
    assert there.asked.count("commit") == there.asked.count("stored") == 1
    for name in ("README.md", "kept.parquet", "theirs.txt"):
        was = files.get(name)
        files[name] = b"theirs"
        capsys.readouterr()
        said = failed(capsys, command(folder, "--yes"))
        assert f"you/mine is there already and holds other files ({name}): give anothe" in said
        assert files[name] == b"theirs" and there.asked.count("commit") == 1
        if was:
            files[name] = was
    assert cli.main(["card", str(folder), "--push", "you/other", "--yes"]) == 0
    files["README.md"] = b"theirs"
    assert cli.main(command(folder, "--update", "--yes")) == 0
    assert files["theirs.txt"] == b"theirs" and b"MultiCSR" in files["README.md"]


def test_what_shall_be_private_does_not_go_where_all_can_read(tmp_path, there, capsys):
    folder = run_of(tmp_path / "run")
    there.repositories["datasets/you/mine"] = {"private": False, "files": {}}
    said = failed(capsys, command(folder, "--private", "--yes"))
    assert "is there already and public: make it private in its settings on the Hub" in said
    assert set(there.asked) <= {"info", "elsewhere"}
    there.repositories["datasets/you/mine"]["private"] = True
    assert cli.main(command(folder, "--private", "--yes")) == 0


def test_the_files_that_go_out_are_named_one_by_one(tmp_path):
    """A table of its own: the names that save_pretrained gives, and what lies beside them."""
    folder = made.multicsr(tmp_path / "run")
    goes = (
        "model-00001-of-00002.safetensors model.safetensors.index.json tokenizer.json merges.txt "
        "config_sentence_transformers.json sentence_bert_config.json special_tokens_map.json "
        "sentencepiece.bpe.model 2_Dense/model.safetensors 2_Dense/config.json chat_template.jinja "
        "tokenizer_config.json vocab.json added_tokens.json"
    ).split()
    stays = (
        "pytorch_model.bin optimizer.pt scheduler.pt rng_state.pth trainer_state.json log.txt "
        "checkpoint-5/model.safetensors .cache/config.json README.md onnx/model.onnx secret.json "
        "runs/events.out a/1_Pooling/config.json model.safetensors.part"
    ).split()
    for name in goes + stays:
        file = folder / "encoder" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    run = card.Run(folder)
    sent = card.outgoing.files(run, "encoder", tmp_path / "room")
    assert set(sent) == set(goes)


def test_push_from_python_says_where_it_went(there):
    address = hub.push("you/mine", {"a.txt": b"a"}, kind="model")
    assert address == f"{there.address}/you/mine"
    assert there.repositories["models/you/mine"] == {"private": False, "files": {"a.txt": b"a"}}
