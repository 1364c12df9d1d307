"""Shards made by the actors of a Ray cluster: the same bytes, whatever dies on the way."""

import contextlib
import gc
import importlib
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import tiny_models

from synthlib import models
from synthlib.__main__ import main
from synthlib.runs import foreseen, named, ray_engine, shards
from synthlib.runs import multicsr as multicsr_run

ray = pytest.importorskip("ray")
cloudpickle = ray.cloudpickle
RNG = np.random.default_rng(0)
SENTENCES = [" ".join(RNG.choice(tiny_models.WORDS, RNG.integers(3, 7))) for _ in range(24)]
SCORES = [f"{s / 2:.1f}" for s in range(11)]  # a judge's words
PATIENCE = 600  # seconds for what takes a few on an idle machine


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Tiny random models, a text file and an examination."""
    root = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny_models, "WORDS", [*tiny_models.WORDS, *SCORES])
        tiny_models.save(root / "t5", "t5", seed=3)
    tiny_models.save(root / "bert", "bert")
    tiny_models.save(root / "llama", "llama", initializer_range=0.3)
    tiny_models.save(root / "nli", "nli", initializer_range=1.0, dropout=0.0, seed=3)
    with models.quiet():
        plain = tiny_models.save(root / "plain", "bert", seed=5)
        models.load_encoder(plain, pooling="mean").save_pretrained(str(root / "encoder"))
    tiny_models.examined_on(root, list(dict.fromkeys(SENTENCES)))
    (root / "premises.txt").write_text("\n".join(SENTENCES), encoding="utf-8")
    return root


@pytest.fixture
def options(here):
    return dict(
        tier="paper", premises=str(here / "premises.txt"), generator=str(here / "t5"),
        encoder=str(here / "bert"), pooling="mean", scoring="expected", stages=(1, 2), omega=0.5,
        max_new_tokens=6, batch_size=4, shard_size=3, device="cpu", until="judged", quiet=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def finished():
    return {}


@pytest.fixture
def straight(here, options, finished):
    """The folder that one process makes, without Ray."""
    if "made" not in finished:
        multicsr_run.run(here / "straight", **options)
        finished["made"] = shards_in(here / "straight")
    assert len(finished["made"]) == 16
    return here / "straight", finished["made"]


def shards_in(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*-*.parquet")}


def made_in(folder):
    """All that a run has made, but what tells of its calls."""
    files = [f for f in folder.rglob("*") if f.is_file() and f.name not in ("run.json", ".lock")]
    return {str(f.relative_to(folder)): f.read_bytes() for f in files}


OF = {  # what each method makes of the tiny models, in seconds
    "multicsr": dict(
        generator="t5", encoder="encoder", scoring="nli", judge="nli", stages=(1, 2),
        omega=0.5, max_new_tokens=6, batch_size=4, temperature=1.0, until="judged",
        shard_size=7,
    ),
    "ranking": dict(
        generator="t5", base="encoder", teacher="encoder", anchors=12, clusters=4, steps=3,
        temperature=2.0, max_new_tokens=6, lists_per_step=2, until="kept", shard_size=2,
    ),
    "art": dict(
        generator="llama", discriminator="nli", encoder="encoder", rounds=1, anchors=12,
        ppo_steps=1, ppo_batch_size=8, ppo_mini_batch_size=4, ppo_epochs=1, lower_bound=0.5,
        positive_bound=0.3, negative_bound=0.9, max_new_tokens=5, temperature=1.0,
        encoder_batch_size=2, shard_size=2,
    ),
}  # fmt: skip


def run_of(method):
    return importlib.import_module(f"synthlib.runs.{method}").run


@pytest.fixture
def of(here, monkeypatch):
    """Options of a method, among the models' names."""
    monkeypatch.chdir(here)
    return lambda method: OF[method] | dict(
        tier="paper", premises="premises.txt", device="cpu", quiet=True, data="data"
    )


@pytest.fixture
def alone(here, of, finished):
    """The folder that one process makes of a method, without Ray, and what is in it."""

    def made(method):
        home = here / f"{method}-alone"
        if method not in finished:
            run_of(method)(home, **of(method))
            finished[method] = made_in(home)
        return home, finished[method]

    return made


def below():
    return set(psutil.Process().children(recursive=True))


def actors():
    """Processes of Ray below this one that make shards."""
    found = []
    for process in below():
        try:
            if "ray::MapWorker" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            pass
    return found


def until(done):
    """Wait for what must come."""
    for _ in range(10 * PATIENCE):
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it has never come")


def node(**more):
    """Of a cluster: small, and with ports of its own, else Ray gives its helpers 15 seconds."""
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(socket.socket()) for _ in range(4)]
        for one in free:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in free]
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port",
             "runtime_env_agent_port")  # fmt: skip
    return dict(zip(names, ports, strict=True), object_store_memory=2**27, **more)


@pytest.fixture(scope="module")
def cluster():
    """Two nodes that work, of a core each, and one that holds the cluster together."""
    from ray.cluster_utils import Cluster

    before = below()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else it waits for whoever else is at work
        patch.setenv("RAY_raylet_start_wait_time_s", "300")
        for attempt in range(4):  # on a machine with much else to do
            made = Cluster()
            try:
                made.add_node(**node(num_cpus=0, include_dashboard=False, no_monitor=True))
                made.workers = [made.add_node(**node(num_cpus=1)) for _ in range(2)]
                break
            except Exception as error:
                made.shutdown()
                for process in below() - before:  # what Ray leaves of a node that did not start
                    with contextlib.suppress(psutil.Error):
                        process.kill()
                        process.wait()
                if attempt == 3:
                    pytest.skip(f"Ray starts no cluster on this machine: {error}")
        yield made
        ray.shutdown()
        made.shutdown()
    until(lambda: below() <= before)


@pytest.fixture(autouse=True)
def no_waiting_for_ever():
    """A cluster that has stopped must not stop all tests."""

    def late(*_):
        raise AssertionError(f"not done after {PATIENCE} seconds")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(PATIENCE)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


# ---------------------------------------------------------------- with a cluster
def test_shards_are_the_same_when_a_process_dies_and_machines_come_and_go(
    cluster, options, straight, tmp_path, monkeypatch
):
    folder, (alone, wanted) = tmp_path / "run", straight
    shutil.copytree(alone, folder)  # begun by one process …
    for file in [*folder.glob("judged/*"), *sorted(folder.glob("written/*"))[1:]]:
        file.unlink()
    own, happened = ray_engine.Ray.make, []

    def disturbed(self, *arguments):
        for number, (which, content) in enumerate(own(self, *arguments)):
            yield which, content
            if happened or number:
                continue
            victim = actors()[0]
            victim.send_signal(signal.SIGKILL)
            cluster.remove_node(cluster.workers.pop())
            cluster.workers.append(cluster.add_node(**node(num_cpus=1)))
            happened.append(which)

    monkeypatch.setattr(ray_engine.Ray, "make", disturbed)
    multicsr_run.run(folder, **options, engine="ray", address=cluster.address)  # … goes on with Ray
    assert happened and shards_in(folder) == wanted
    assert not ray.is_initialized()


def test_the_command_is_killed_and_one_process_ends_what_ray_began(
    cluster, options, straight, tmp_path
):
    folder, (_, wanted) = tmp_path / "run", straight
    argv = ["--out", str(folder), "--engine", "ray", "--address", cluster.address, "--quiet"]
    for name, value in options.items():
        if name not in ("quiet", "stages"):
            argv += [f"--{name.replace('_', '-')}", str(value)]
    root = os.path.dirname(os.path.dirname(__file__))
    child = subprocess.Popen(
        [sys.executable, "-m", "synthlib", "run", "multicsr", *argv, "--stages", "1,2"],
        env=os.environ | {"PYTHONPATH": root}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    until(lambda: any(folder.glob("written/*.parquet")) or child.poll() is not None)
    child.kill()
    said = child.communicate()[1]
    begun = shards_in(folder)
    assert 0 < len(begun) < 16, said
    until(lambda: not actors())  # Ray ends those of a command that is no more
    multicsr_run.run(folder, **options)
    assert shards_in(folder) == wanted and begun.items() <= wanted.items()


# What ranking and ART share out, and what they go on to from there.
PLACES = {"ranking": ("written", ["compared"]), "art": ("round-1/candidates", [])}
LATER = {"ranking": ["kept.parquet"], "art": ["round-1/triplets.parquet", "round-1/encoder",
                                              "round-1/sts.csv", "raw", "results.csv"]}  # fmt: skip


@pytest.mark.parametrize("method", PLACES)
def test_lists_and_candidates_are_the_same_when_an_actor_dies(
    method, cluster, alone, of, tmp_path, monkeypatch
):
    (home, wanted), folder = alone(method), tmp_path / "run"
    shutil.copytree(home, folder)
    there = shards.shards_of(folder / PLACES[method][0])
    assert len(there) == 6
    for file in there[1:]:
        file.unlink()
    own, killed = ray_engine.Ray.make, []

    def disturbed(self, *arguments):
        for made in own(self, *arguments):
            yield made
            if not killed:
                killed.append(actors()[0])
                killed[0].send_signal(signal.SIGKILL)

    monkeypatch.setattr(ray_engine.Ray, "make", disturbed)
    ray_options = dict(engine="ray", address=cluster.address, actors=1)
    run_of(method)(folder, **of(method), **ray_options)
    assert killed and made_in(folder) == wanted


KILLED_COMMAND = """
import os, signal, sys
from synthlib.__main__ import main
from synthlib.runs import ray_engine
own = ray_engine.Ray.make
def make(self, *arguments):
    for number, made in enumerate(own(self, *arguments)):
        if number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        yield made
ray_engine.Ray.make = make
main(sys.argv[1:])
"""


@pytest.mark.parametrize("method", PLACES)
def test_one_process_ends_lists_and_candidates_that_ray_began(
    method, cluster, alone, of, tmp_path
):
    (home, wanted), folder = alone(method), tmp_path / "run"
    shutil.copytree(home, folder)
    shared, more = PLACES[method]
    for name in [more[-1] if more else shared, *LATER[method]]:
        place = folder / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    begun = made_in(folder)
    argv = ["run", method, "--out", str(folder), "--engine", "ray", "--address", cluster.address,
            "--actors", "1"]  # fmt: skip
    for name, value in of(method).items():
        said = [] if name == "quiet" else [str(value)]
        argv += [f"--{name.replace('_', '-')}", *said]
    root = os.path.dirname(os.path.dirname(__file__))
    child = subprocess.run(
        [sys.executable, "-c", KILLED_COMMAND, *argv], env=os.environ | {"PYTHONPATH": root},
        capture_output=True, text=True,
    )  # fmt: skip
    assert child.returncode == -signal.SIGKILL, child.stderr
    new = shards_in(folder).keys() - begun.keys()
    assert len(new) == 2 and new <= wanted.keys()
    until(lambda: not actors())
    run_of(method)(folder, **of(method))
    assert made_in(folder) == wanted


@pytest.mark.parametrize("what", ["versions", "model"])
def test_a_machine_that_differs_is_named(cluster, here, options, tmp_path, monkeypatch, what):
    if what == "versions":
        own = importlib.metadata.version
        monkeypatch.setattr(
            importlib.metadata, "version", lambda name: "0.1" if name == "pandas" else own(name)
        )
        said = rf"the Ray node [\d.]+ \(\w+\) has pandas {own('pandas')}, not 0.1: install the same"
    else:
        monkeypatch.setenv("HOME", str(here))  # of this process alone
        options["generator"] = "~/t5"
        said = r"the Ray node [\d.]+ \(\w+\): there is no model at ~/t5: put the same files there"
    ray_options = dict(engine="ray", address=cluster.address, actors=1)
    with pytest.raises(ValueError, match=said):
        multicsr_run.run(tmp_path / "run", **options, **ray_options)
    assert not (tmp_path / "run").exists() and not ray.is_initialized()


# ---------------------------------------------------------------- without one
class Elsewhere:
    """In Ray's place: nothing reaches the shards but what can be sent, and the last comes first.

    Neither does the run's folder: another machine may not see it.
    """

    made = 0

    def __init__(self, *arguments):
        pass

    def close(self):
        pass

    def make(self, make, check, parts):
        work = check.func.__self__
        assert not vars(work).keys() & {*work.held}  # a GPU has no room for both
        home, away = work.out, work.out.with_name("away")
        sent, made = cloudpickle.dumps((make, check)), []
        home.rename(away)
        try:
            for number in reversed(parts):
                there, checked = cloudpickle.loads(sent)
                checked()
                made.append((number, shards.content(there(*parts[number]))))
        finally:
            away.rename(home)
        Elsewhere.made += len(made)
        return iter(made)


@pytest.mark.parametrize("method", OF)
def test_what_is_sent_is_all_that_a_shard_needs(method, here, alone, of, tmp_path, monkeypatch):
    _, wanted = alone(method)
    (tmp_path / "unpacked").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "unpacked"))
    monkeypatch.setattr(ray_engine, "Ray", Elsewhere)
    before = Elsewhere.made
    run_of(method)(tmp_path / "sent", **of(method), engine="ray")
    assert Elsewhere.made - before >= 5
    assert made_in(tmp_path / "sent") == wanted
    gc.collect()
    assert not list((tmp_path / "unpacked").glob("synthlib-*"))  # gone with who made shards


KILLED = """
import os, signal, sys, tempfile
from synthlib.runs import named

class Actor: ...

tempfile.tempdir = sys.argv[1]
actor = Actor()
folder = named.own_folder(actor)
(folder / "encoder").mkdir()
(folder / "encoder" / "model.safetensors").write_bytes(bytes(100))
print(folder, flush=True)
sys.stdin.read()  # until it is told
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="nobody can be asked there whether a lock is held")
def test_the_folder_of_a_killed_actor_is_put_away_by_the_next(tmp_path, monkeypatch):
    """Not one that is in use, or just made, or has no lock of ours: that may be somebody's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    actor = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # fmt: skip
    left = Path(actor.stdout.readline().strip())
    assert left.parent == tmp_path
    others = tmp_path / "synthlib-notes"
    others.mkdir()
    os.utime(left / ".lock", (0, 0))

    class Maker:
        pass

    first = Maker()
    mine = named.own_folder(first)
    assert (left / "encoder").is_dir(), "its process is at work"
    actor.communicate()  # which kills it
    new = tmp_path / "synthlib-new"
    new.mkdir()
    (new / ".lock").touch()
    second = Maker()
    named.own_folder(second)
    assert not left.exists()
    assert mine.is_dir() and others.is_dir() and new.is_dir()
    del first
    gc.collect()
    assert not mine.exists(), "gone with who made shards"


def refused(options, folder, **more):
    with pytest.raises(ValueError) as error:
        multicsr_run.run(folder, **options, **more)
    assert not folder.exists()
    return str(error.value)


def test_without_ray_one_line_names_the_extra(options, tmp_path, monkeypatch):
    own = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "ray" else own(name, *a)
    )
    said = refused(options, tmp_path / "run", engine="ray")
    assert "pip install 'synthlib[scale]', or leave --engine out" in said


def test_an_address_that_nobody_answers(options, tmp_path, capsys):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    said = refused(options, tmp_path / "run", engine="ray", address=address)
    assert said.startswith(f"no Ray cluster answers at {address} (") and "ray start --head" in said
    for wrong in ("nowhere", "ray://127.0.0.1:10001", "host:port"):
        said = refused(options, tmp_path / "run", engine="ray", address=wrong)
        assert f"is HOST:PORT, or auto on one of its machines, got {wrong}" in said


def test_what_does_not_go_with_ray_is_refused(options, tmp_path, monkeypatch):
    assert "give --engine ray too" in refused(options, tmp_path / "run", address="auto")
    assert "give --engine ray too" in refused(options, tmp_path / "run", actors=2)
    served = options | dict(generator="api:x", omega=0, base_url="http://127.0.0.1:1/v1")
    said = refused(served, tmp_path / "run", engine="ray")
    assert said == "api:x is asked by one process: leave --engine out; --parallel asks side by side"
    with pytest.raises(SystemExit):
        main(["run", "multicsr", "--out", str(tmp_path / "run"), "--engine", "spark"])


@pytest.mark.parametrize(("method", "does"), [
    ("multicsr", "trains and examines"), ("art", "tunes, trains and examines"),
    ("ranking", "draws the anchors, trains and examines"),
])  # fmt: skip
def test_a_dry_run_says_what_stays_here_and_what_is_missing(
    method, does, of, tmp_path, monkeypatch
):
    module, asked = importlib.import_module(f"synthlib.runs.{method}"), of(method)
    del asked["quiet"]
    monkeypatch.setattr(foreseen, "no_estimate", lambda wanted: ["no estimate"])
    said = module.describe(tmp_path / "run", **asked, engine="ray").splitlines()
    assert [" ".join(line.split()) for line in said if line.startswith("engine")] == [
        f"engine Ray makes the shards; this process {does}"
    ]
    own = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "ray" else own(name, *a)
    )
    for how in (module.describe, module.run):  # before a model is looked for
        with pytest.raises(ValueError, match="needs Ray, which is not installed"):
            how(tmp_path / "run", **asked | dict(generator="nowhere/at-all"), engine="ray")
    assert not (tmp_path / "run").exists()


def test_under_torchrun_ray_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ValueError, match="give the command without torchrun, or leave --engine"):
        ray_engine.Ray()


@pytest.mark.parametrize(
    ("address", "raised", "said"),
    [
        ("auto", ConnectionError("Could not find any\nrunning Ray instance."),
         "no Ray cluster is found at auto (Could not find any running Ray instance.): start one"),
        ("auto", RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.55.0\n"
                              "    Python: 3.12.1\nThis process on node 1 was started with:\n"
                              "    Ray: 2.60.0\n    Python: 3.11.4\n"),
         "has another version than this process (Ray: 2.55.0; Python: 3.12.1; Ray: 2.60.0; Python: "
         "3.11.4; the cluster's first): install the same on all machines"),
        (None, Exception("The current node timed out during startup."),
         "Ray has not started on this machine (The current node timed out during startup.): give "),
    ],
)  # fmt: skip
def test_what_ray_says_at_its_start_is_one_line(monkeypatch, address, raised, said):
    def init(*a, **k):
        raise raised

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises((ValueError, OSError)) as error:
        ray_engine.Ray(address)
    assert said in str(error.value) and "\n" not in str(error.value)


def test_one_process_needs_no_ray():
    code = (
        "import sys; from synthlib.runs import art, multicsr, ranking\n"
        "assert not {m for m in sys.modules if m.partition('.')[0] == 'ray'}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
