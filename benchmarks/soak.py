"""A long run watched from outside: its memory, its open files and its rows, every few seconds.

`run multicsr` by the tier pocket from premises to the evaluated encoder, in one thread, as a user
gives it. Half-way through the writing it is killed by the signal that no program can catch, and the
same command goes on. Rows are counted by `status`, which looks at what lies on the disk; steps of
the training are read off its progress bar. Samples go into a CSV file, a summary is printed.

The tier trains 150 steps, too few to see memory grow: here it is 1,000.

    python benchmarks/soak.py [--rows 20000] [--every 2] [--out data/soak/soak.csv]
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil

from synthlib.experiments import soak
from synthlib.runs import status

STEPS = re.compile(r"training: .*?(\d+)/\d+ \[")


def command(rows, folder) -> list[str]:
    asked = ["--tier", "pocket", "--sentences", str(rows), "--max-steps", "1000"]
    return [sys.executable, "-m", "synthlib", "run", "multicsr", *asked, "--out", str(folder)]


def sample(process, folder, log) -> dict | None:
    """One look from outside; None before the run has begun and after it has ended."""
    try:
        mine = psutil.Process(process.pid)
        tree = [mine, *mine.children(recursive=True)]
        found = {
            "memory": round(sum(one.memory_info().rss for one in tree) / 1e6, 1),
            "files": sum(one.num_fds() for one in tree),
            "processor": round(sum(sum(one.cpu_times()[:2]) for one in tree), 1),
        }  # fmt: skip
        seen = status.look(folder)
    except (psutil.Error, ValueError, OSError):
        return None
    if not found["files"] or found["memory"] <= 1:  # in this moment it begins, or has ended
        return None
    at = next((step for step in seen["steps"] if step["state"] in ("open", "begun")), None)
    if at is None:
        return None
    now, done = seen["under_way"], 0
    if now and now["step"] == at["name"]:
        done = now["done"]
    if at["name"] == "trained":  # checkpoints are too few
        steps = STEPS.findall(log.read_bytes()[-2000:].decode("utf-8", "replace"))
        done = int(steps[-1]) if steps else 0
    return {"stage": at["name"], "done": done} | found


def watch(options, folder) -> pd.DataFrame:
    found, begun, log = [], time.monotonic(), folder.with_name("log")
    for call in (1, 2):
        with log.open("ab") as stream:
            process = subprocess.Popen(
                command(options.rows, folder), stdout=stream, stderr=stream,
                env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
            )  # fmt: skip
        while process.poll() is None:
            if seen := sample(process, folder, log):
                found.append({"seconds": round(time.monotonic() - begun, 1), "call": call} | seen)
                if call == 1 and (seen["stage"] != "written" or 2 * seen["done"] >= options.rows):
                    process.kill()
            time.sleep(options.every)
        print(f"call {call} ended with {process.wait()}", flush=True)
    if process.returncode:
        raise SystemExit(log.read_text("utf-8")[-2000:])
    return pd.DataFrame(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--every", type=float, default=2, help="seconds between two looks")
    parser.add_argument("--out", type=Path, default=soak.FILE)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        found = watch(options, Path(place) / "run")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    found.to_csv(options.out, index=False, lineterminator="\n")
    print(soak.summary(found).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
