"""`status`: a run from outside, against counts by hand; a run at work, a killed one, mistakes."""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import test_reporting as made

import synthlib
from synthlib import __main__ as cli
from synthlib.runs import folder as run_folder
from synthlib.runs import journal, shards, status

HOLD = (
    "import sys, time; from filelock import FileLock\n"
    "lock = FileLock(sys.argv[1]); lock.acquire(); print('held', flush=True); time.sleep(600)"
)


@contextlib.contextmanager
def held(folder):
    """A process that is at work in a folder, as a run is; killed at the end."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder / ".lock")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout.readline() == "held\n"
        yield other.pid
    finally:
        other.kill()
        other.communicate()


def dated(folder, name, *ages):
    """Shards of a step, written so many seconds ago."""
    now = time.time()
    files = shards.shards_of(folder / name)
    for file, age in zip(files, ages, strict=True):
        os.utime(file, (now - age, now - age))


def everything(folder):
    """Names, bytes and times of all that lies in a folder."""
    return {
        file: (file.stat().st_mtime_ns, file.read_bytes() if file.is_file() else None)
        for file in sorted(folder.rglob("*"))
    }


def begun(folder):
    """A run of 90 premises in shards of 10, five of which are written."""
    made.begin(folder, "multicsr", n=90, shard_size=10, batch_size=8)
    table = made.triplets().drop(columns=["a", "b"])
    made.save(table[:50], folder, "written", 10)
    held = json.loads((folder / "run.json").read_text())
    held["made_with"]["sentences"] = 90
    (folder / "run.json").write_text(json.dumps(held))
    return folder


# ------------------------------------------------------------------ counts and rates by hand
def test_rate_and_time_left_are_those_of_the_last_minutes(tmp_path):
    folder = begun(tmp_path / "run")
    dated(folder, "written", 5000, 95, 65, 35, 5)  # the first one of an hour ago does not count
    found = status.look(folder)
    now = found["under_way"]
    assert (now["step"], now["done"], now["of"]) == ("written", 50, 90)
    assert now["a_minute"] == pytest.approx(20, rel=0.01)  # 30 rows in 90 seconds
    assert now["over_seconds"] == pytest.approx(90, abs=1)
    assert now["seconds_left"] == pytest.approx(120, rel=0.01)  # 40 rows
    assert found["steps"][0]["shards"] == {"done": 5, "of": 9}
    assert found["rows"] == {"written": 50, "judged": 0, "kept": None, "rejected": None}
    text = status.said(found)
    assert "written    begun     5 of 9 shards" in text
    assert "written: 50 of 90 sentences; 20 a minute over" in text
    assert "; at that rate 2 min left in this step" in text


def test_one_shard_is_timed_from_the_beginning_of_its_step(tmp_path):
    folder = begun(tmp_path / "run")
    for file in shards.shards_of(folder / "written")[1:]:
        file.unlink()
    dated(folder, "written", 0)
    assert status.look(folder)["under_way"]["a_minute"] is None
    journal.add(folder, begins="written")
    line = json.loads((folder / "journal.jsonl").read_text())
    at = pd.Timestamp(line["at"]) - pd.Timedelta(seconds=30)
    (folder / "journal.jsonl").write_text(json.dumps(line | {"at": at.isoformat()}) + "\n")
    now = status.look(folder)["under_way"]
    assert now["a_minute"] == pytest.approx(20, rel=0.1)  # 10 rows in 30 to 31 seconds


def test_an_interruption_between_shards_is_no_slow_shard(tmp_path):
    folder = begun(tmp_path / "run")
    dated(folder, "written", 400, 390, 40, 30, 20)
    entry = {"at": pd.Timestamp(time.time() - 60, unit="s", tz="UTC").isoformat()}
    (folder / "journal.jsonl").write_text(json.dumps(entry | {"begins": "written"}) + "\n")
    now = status.look(folder)["under_way"]
    assert now["a_minute"] == pytest.approx(60, rel=0.01)  # 20 rows in the last 20 seconds


def test_training_counts_steps_between_its_checkpoints(tmp_path):
    folder = made.multicsr(tmp_path / "run", "kept")
    now = time.time()
    (folder / "training" / "checkpoint-30").rmdir()
    for step, age in ((100, 60), (200, 0)):
        file = folder / "training" / f"checkpoint-{step}" / "trainer_state.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"global_step": step, "max_steps": 450}))
        os.utime(file, (now - age, now - age))
    found = status.look(folder)["under_way"]
    assert (found["step"], found["done"], found["of"]) == ("trained", 200, 450)
    assert found["a_minute"] == pytest.approx(100) and found["seconds_left"] == pytest.approx(150)
    file.write_text("{")  # it is being written
    assert status.look(folder)["under_way"]["of"] is None


def test_tuning_counts_the_steps_of_this_call(tmp_path):
    folder = made.begin(tmp_path / "run", "art", n=60, rounds=2, anchors=12, candidates=4,
                        shard_size=5, ppo_steps=40)  # fmt: skip
    file, now = folder / "round-1" / "ppo" / "ppo.json", time.time()
    file.parent.mkdir(parents=True)
    under_way = lambda: status.look(folder)["under_way"]  # noqa: E731
    assert (under_way()["done"], under_way()["a_minute"]) == (0, None)  # no checkpoint yet
    file.write_text(json.dumps({"log": [{"step": i} for i in range(30)]}))
    os.utime(file, (now, now))
    assert (under_way()["done"], under_way()["a_minute"]) == (30, None)  # of a quiet run
    # An earlier call has made 24 of them; this one 6 in two minutes.
    for ago, done in ((5000, 0), (120, 24)):
        at = pd.Timestamp(now - ago, unit="s", tz="UTC").isoformat()
        with (folder / "journal.jsonl").open("a") as stream:
            entry = {"at": at, "begins": "round-1/ppo", "done": done}
            stream.write(json.dumps(entry) + "\n")
    found = under_way()
    assert (found["step"], found["of"], found["unit"]) == ("round 1: tuned", 40, "steps of PPO")
    assert found["a_minute"] == pytest.approx(3) and found["seconds_left"] == pytest.approx(200)
    said = status.said(status.look(folder))
    assert "30 of 40 steps of PPO; 3.0 a minute over 2 min; at that rate 3 min left" in said
    os.utime(file, (now - 200, now - 200))  # this call has written none
    assert under_way()["a_minute"] is None


@pytest.mark.parametrize(("method", "until"), made.STATES)
def test_every_run_fits_a_screen_and_stays_as_it_was(tmp_path, capsys, method, until):
    folder = made.MAKE[method](tmp_path / "run", until)
    before = everything(folder)
    assert cli.main(["status", str(folder)]) == 0
    text = capsys.readouterr().out
    assert len(text.splitlines()) < 25
    assert all(len(line) <= 100 for line in text.splitlines() if not line.startswith("goes on"))
    assert cli.main(["status", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert everything(folder) == before
    assert found["state"] == ("finished" if until == "evaluated" else "stopped")
    assert ("goes on" in text) == (until != "evaluated") and found["held"] is False
    # the report counts the same steps
    page = made.reporting.build_findings(made.Run(folder))
    assert [(s["name"], s["state"]) for s in found["steps"]] == [
        (s.name, s.state) for s in page.steps
    ]
    kept = {"multicsr": page.funnel[-1][1], "ranking": page.funnel[-1][1]}.get(method)
    if found["rows"]["kept"] is not None and kept is not None:
        assert found["rows"]["kept"] == kept


def test_rejected_lines_and_what_was_said_last(tmp_path):
    folder = made.multicsr(tmp_path / "run")
    found = status.look(folder)
    assert found["rows"]["rejected"] == 3
    assert found["last"]["said"] == f"a note about {made.EVIL}"
    journal.add(folder, step="trained", seconds=75.0, stopped=True)
    assert status.look(folder)["last"]["said"] == "trained was stopped after 75 s"


# ------------------------------------------------------------------ at work, killed
def test_a_process_that_holds_the_folder_is_seen_and_one_that_was_killed_is_not(tmp_path):
    folder = begun(tmp_path / "run")
    with held(folder) as pid:
        before = everything(folder)
        found = status.look(folder)
        assert found["state"] == "running" and found["pid"] in (pid, None)
        assert found["pid"] == pid or not shards.LOCKS.is_file()
        assert "is at work in it" in status.said(found) and "goes on" not in status.said(found)
        assert everything(folder) == before
    found = status.look(folder)
    assert found["state"] == "stopped" and found["pid"] is None


def test_without_a_list_of_locks_the_lock_itself_is_tried(tmp_path, monkeypatch):
    folder = begun(tmp_path / "run")
    monkeypatch.setattr(shards, "LOCKS", tmp_path / "none")
    assert shards.holder(folder) == (False, None)
    with held(folder):
        assert shards.holder(folder) == (True, None)
    monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    assert shards.holder(folder) == (None, None) or not (folder / ".lock").exists()
    assert "this system does not say" in status.said(status.look(folder))


def test_who_looks_keeps_no_run_from_its_folder(tmp_path):
    """However often somebody looks, a run finds the lock free."""
    folder = begun(tmp_path / "run")
    (folder / ".lock").touch()
    settings = json.loads((folder / "run.json").read_text())
    del settings["made_with"]
    code = (
        "import sys, pathlib; from synthlib.runs import shards; print('go', flush=True)\n"
        "shards.LOCKS = pathlib.Path('none')\n"
        "while True: shards.holder(sys.argv[1])"
    )
    other = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE)
    try:
        other.stdout.readline()
        for _ in range(20):
            with shards.open_run(folder, settings):
                pass
    finally:
        other.kill()
        other.communicate()


def test_a_real_run_is_watched_killed_and_goes_on_by_the_command_that_is_named(tmp_path):
    folder, straight = tmp_path / "run", tmp_path / "straight"
    words = ["run", "multicsr", "--tier", "pocket", "--sentences", "64", "--shard-size", "4",
             "--until", "judged"]  # fmt: skip
    start = [sys.executable, "-m", "synthlib", *words, "--out"]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    child = subprocess.Popen([*start, str(folder)], **quiet)
    try:
        deadline = time.monotonic() + 300
        while len(shards.shards_of(folder / "written")) < 2 and child.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        child.send_signal(signal.SIGSTOP)  # so that it is at work while it is looked at
        found = status.look(folder)
    finally:
        child.kill()
        child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert found["state"] == "running" and found["under_way"]["step"] == "written"
    assert found["steps"][0]["shards"]["of"] == 16 and found["under_way"]["of"] == 64
    assert 0 < found["steps"][0]["shards"]["done"] < 16
    assert found["last"]["said"] == "begins written"
    stopped = status.look(folder)
    assert stopped["state"] == "stopped"
    again = shlex.split(stopped["command"])
    assert again[:3] == ["python", "-m", "synthlib"]
    subprocess.run([sys.executable, *again[1:], "--until", "judged"], check=True, **quiet)
    subprocess.run([*start, str(straight)], check=True, **quiet)
    for name in ("written", "judged"):
        of = [[file.name for file in shards.shards_of(one / name)] for one in (folder, straight)]
        assert of[0] == of[1] and len(of[0]) == 16  # names carry the digests of the bytes
    assert status.look(folder)["state"] == "ended"


# ------------------------------------------------------------------ mistakes, speed
@pytest.mark.parametrize("case", "absent file empty lock other damaged newer lacks".split())
def test_a_mistake_is_one_line(tmp_path, capsys, case):
    folder = tmp_path / "run"
    if case == "file":
        folder.write_text("x")
    elif case in ("empty", "lock", "other"):
        folder.mkdir()
        if case != "empty":
            (folder / (".lock" if case == "lock" else "thesis.tex")).touch()
    elif case != "absent":
        begun(folder)
        held = json.loads((folder / "run.json").read_text())
        if case in ("newer", "lacks"):
            del held["thresholds" if case == "newer" else "stages"]
        if case == "newer":
            held["made_with"]["calls"][0]["versions"]["synthlib"] = "9.1.0"
        (folder / "run.json").write_text("{" if case == "damaged" else json.dumps(held))
    wanted = {
        "absent": "there is no run", "file": "is a file: give the folder of a run",
        "empty": "is empty: no run has begun in it", "lock": "is empty: no run has begun in it",
        "other": "holds no run (no run.json)", "damaged": "run.json is damaged",
        "newer": f"synthlib 9.1.0 has made it, and this is {synthlib.__version__}: install",
        "lacks": "lacks 'stages', which a run of multicsr leaves: another version",
    }[case]  # fmt: skip
    assert cli.main(["status", str(folder)]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and said.err.count("\n") == 1 and not said.out
    assert wanted in said.err


def test_the_version_that_a_message_names_reads_the_run(tmp_path, monkeypatch):
    folder = begun(tmp_path / "run")
    held = json.loads((folder / "run.json").read_text())
    held["made_with"]["calls"][0]["versions"]["synthlib"] = "9.1.0"
    held["rule"] = held.pop("thresholds")  # as if it were called so from then on
    (folder / "run.json").write_text(json.dumps(held))
    with pytest.raises(ValueError, match="synthlib 9.1.0 has made it, and this is .*: install"):
        status.look(folder)
    monkeypatch.setattr(run_folder, "__version__", "9.1.0")
    monkeypatch.setitem(run_folder.MARKS, "multicsr", "rule")
    assert status.look(folder)["rows"]["written"] == 50


def test_it_answers_in_a_second_without_a_models_library(tmp_path):
    folder = begun(tmp_path / "run")
    code = (
        "import sys, time; from synthlib.__main__ import main\n"
        "assert main(sys.argv[1:]) == 0\n"
        "heavy = {'torch', 'transformers', 'matplotlib', 'datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy\nassert time.process_time() < 1, time.process_time()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "status", str(folder)], capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"rate +written: 50 of 90 sentences", done.stdout)
