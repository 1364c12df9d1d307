"""Rows a second by who makes them: one process, two under torchrun, two actors of Ray.

Stages 1 and 2 of MultiCSR by the tier pocket, each way a command of its own as a user gives it, in
turn, several times. *Whole* is the command from its start to its end, *start* the same with one
shard's rows, so the rate is of what lies between: loading and starting are no part of it. *Resume*
is the same command once more, where all is made. What a shard costs beside its rows is told by the
same rows in many shards. Files of all ways are compared byte by byte.

    python benchmarks/engines.py [--rows 512] [--shard-size 32] [--repeats 3] [--ways one ray]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

SYNTHLIB = ["-m", "synthlib", "run", "multicsr", "--tier", "pocket", "--until", "judged", "--quiet"]
WAYS = {
    "one": [sys.executable, *SYNTHLIB],
    "torchrun": [sys.executable, "-m", "torch.distributed.run", "--standalone",
                 "--nproc_per_node=2", *SYNTHLIB],
    "ray": [sys.executable, *SYNTHLIB, "--engine", "ray", "--actors", "2"],
}  # fmt: skip


def seconds(way, folder, rows, size) -> float:
    """Of a command, from its start to its end."""
    argv = ["--sentences", rows, "--batch-size", 2, "--shard-size", size, "--out", folder]
    threads = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    started = time.perf_counter()
    subprocess.run([*WAYS[way], *map(str, argv)], env=os.environ | threads, check=True)
    return time.perf_counter() - started


def shards(folder) -> dict[str, bytes]:
    return {f"{f.parent.name}/{f.name}": f.read_bytes() for f in Path(folder).glob("*/*.parquet")}


def measure(ways, rows, size, place) -> dict[str, tuple[float, ...]]:
    """Whole, start, resume, and whole in shards a quarter as large, of each way."""
    found, made = {}, {}
    for way in ways:
        home = Path(place) / way
        whole = seconds(way, home / "whole", rows, size)
        resume = seconds(way, home / "whole", rows, size)
        start = seconds(way, home / "start", size, size)
        small = seconds(way, home / "small", rows, max(1, size // 4))
        found[way], made[way] = (whole, start, resume, small), shards(home / "whole")
    first = next(iter(made))
    for way in ways:
        if made[way] != made[first]:
            raise SystemExit(f"{way} has made other files than {first}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--shard-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    options = parser.parse_args()
    rows, size = options.rows, options.shard_size
    if rows < 2 * size:
        parser.error(f"--rows {rows} must be two shards of {size} at least")
    times = {way: [] for way in options.ways}
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as place:
            for way, found in measure(options.ways, rows, size, place).items():
                times[way].append(found)
    more = -(-rows // max(1, size // 4)) - -(-rows // size)
    print("| way | rows a second | whole, s | start, s | resume, s | ms for another shard |")
    print("|---|---:|---:|---:|---:|---:|")
    for way, all_of in times.items():
        whole, start, resume, small = (median(column) for column in zip(*all_of, strict=True))
        rate = (rows - size) / (whole - start) if whole > start else float("nan")
        each = 1000 * (small - whole) / (2 * more)  # in both stages
        print(f"| {way} | {rate:.1f} | {whole:.1f} | {start:.1f} | {resume:.1f} | {each:.0f} |")


if __name__ == "__main__":
    main()
