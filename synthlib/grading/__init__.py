"""Grade a class: ``python -m synthlib grade FOLDER --out results.csv``.

Each submission's cells run in a kernel of its own, in a box (`start`). The verdict is not made
there: the checks run in another process (`mark`), which asks the kernel for values of the
student's functions and reads them as data (`wire`). What is checked stands in the notebooks that
were handed out (`handouts`), and what checks it in this package; from a submission come functions
alone. So a submission may redefine or overwrite in its kernel what it likes: it can change what
its own functions give, and nothing else.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from synthlib import __version__, commands

#: Minutes beyond those of a submission after which the process that marks it is ended.
GRACE = 2.0
#: Folders that hold no student.
_NO_STUDENT = {"__MACOSX", ".ipynb_checkpoints"}


def submissions(folder):
    """The notebooks of each student.

    Parameters
    ----------
    folder : path
        With notebooks, or a folder a student, or both.

    Returns
    -------
    students : dict of str to list of Path
        By the name of the file, without its ending, or of the folder.
    rest : list of Path
        What is neither.

    Raises
    ------
    OSError
        There is no such folder, or nothing in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"there is no folder {folder}: give the one with the submissions")
    students, rest = {}, []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name in _NO_STUDENT:
            continue
        if path.is_dir():
            held = [p for p in sorted(path.rglob("*.ipynb")) if p.is_file()
                    and not any(part.startswith(".") or part in _NO_STUDENT
                                for part in p.relative_to(path).parts)]  # fmt: skip
            students.setdefault(path.name, []).extend(held)
        elif path.suffix.lower() == ".ipynb":
            students.setdefault(path.stem, []).append(path)
        else:
            rest.append(path)
    if not students:
        raise FileNotFoundError(
            f"{folder} holds no notebook (.ipynb) and no folder of a student: give the one with "
            "the submissions"
        )
    return students, rest


def _digest(files):
    digest = hashlib.sha256(__version__.encode())
    for file in sorted(files):
        digest.update(f"\0{Path(file).name}\0".encode() + Path(file).read_bytes())
    return digest.hexdigest()


class Journal:
    """What is marked already, a line each; of a submission that has changed nothing holds."""

    def __init__(self, path, again=False):
        self.path, self.found, self._lock = Path(path), {}, threading.Lock()
        if again:
            self.path.unlink(missing_ok=True)
        if self.path.is_file():
            for line in self.path.read_text("utf-8", "replace").splitlines():
                try:
                    entry = json.loads(line)
                    self.found[entry["key"]] = entry["found"]
                except (ValueError, KeyError, TypeError):
                    continue  # the end of an interrupted write

    def add(self, key, found):
        """Keep what was found."""
        with self._lock:
            self.found[key] = found
            line = json.dumps({"key": key, "found": found}) + "\n"
            whole = not self.path.is_file() or self.path.read_bytes()[-1:] in (b"", b"\n")
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(line if whole else f"\n{line}")
                stream.flush()
                os.fsync(stream.fileno())


class Marker:
    """Marks submissions, each in a process; all are ended with this one."""

    def __init__(self, job, minutes):
        self.job, self.minutes = job, minutes
        self._running, self._lock, self._stopped = set(), threading.Lock(), False

    def mark(self, **more):
        """What `mark.mark` finds."""
        with self._lock:
            if self._stopped:
                raise InterruptedError
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "synthlib.grading.mark"], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment(),
                start_new_session=True,
            )  # fmt: skip
            self._running.add(process)
        complaints = []
        reader = threading.Thread(target=lambda: complaints.append(process.stderr.read()))
        reader.daemon = True
        reader.start()
        late = threading.Timer(60 * (self.minutes + GRACE), process.kill)
        late.start()
        try:
            process.stdin.write((json.dumps({**self.job, **more}) + "\n").encode())
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        finally:
            late.cancel()
            process.kill()
            process.wait()
            with self._lock:
                self._running.discard(process)
        if self._stopped:
            raise InterruptedError
        try:
            return json.loads(answer)
        except ValueError:
            reader.join(5)
            last = b"".join(complaints).decode("utf-8", "replace").strip().splitlines()[-1:]
            state = "could not be marked: " + (last[0][:200] if last else "its process ended")
            return {"chapter": None, "state": state, "notes": [], "exercises": {}}

    def stop(self):
        """End what runs; nothing new begins."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.kill()


def _environment():
    package = str(Path(__file__).resolve().parents[2])
    path = [package, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    path = os.pathsep.join(os.path.abspath(p) for p in path if p)
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def grade(folder, out, *, weights=None, notebooks=None, chapter=None, jobs=2, seconds=120.0,
          minutes=10.0, memory=4.0, whole=False, again=False, quiet=False, say=print):  # fmt: skip
    """Grade a folder of submitted notebooks.

    Parameters
    ----------
    folder : path
        With a notebook a student, or a folder a student.
    out : path
        A name that ends in ``.csv`` or ``.json``. Beside it ``NAME.journal.jsonl`` keeps what is
        marked: interrupted, the same call goes on.
    weights : path, optional
        A CSV file of exercises and points.
    notebooks : path, optional
        Folder of the notebooks that were handed out; default: those of this repository.
    chapter : int, optional
        That was set; default: what each submission is of.
    jobs : int
        Submissions at a time.
    seconds : float
        That one cell, or one exercise, may take.
    minutes : float
        That a submission may take.
    memory : float
        GB that a submission may take.
    whole : bool
        Run every cell, not only what the functions need.
    again : bool
        Forget what is marked already.
    quiet : bool
        No progress bar.
    say : callable
        Gets lines for the reader.

    Returns
    -------
    list of dict
        As `results.table` gives it.

    Raises
    ------
    ValueError, OSError
        A value out of its range, no submissions, no notebooks that were handed out, or something
        that running notebooks needs is not installed.
    """
    from synthlib.grading import handouts, results

    kernel = _kernel()
    out, folder = Path(out), Path(folder)
    limits = {"seconds": seconds, "minutes": minutes, "memory": memory}
    least = {"jobs": 1, "seconds": 1, "minutes": 0.1, "memory": 0.5}
    for name, value in {"jobs": jobs, **limits}.items():
        if not value >= least[name]:
            raise ValueError(f"--{name} must be at least {least[name]}, got {value:g}")
    if out.suffix.lower() not in (".csv", ".json"):
        raise ValueError(f"--out {out} ends in neither .csv nor .json: give such a name")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"--out {out}: the folder {out.parent} does not exist; make it")
    points, known = results.weights(weights), handouts.find(notebooks)
    if chapter is not None and chapter not in known:
        raise ValueError(f"there is no chapter {chapter}: choose from {', '.join(map(str, known))}")
    students, rest = submissions(folder)
    if rest:
        say(f"not looked at: {', '.join(p.name for p in rest[:5])}{' …' if len(rest) > 5 else ''}")
    version = _digest(check_files())
    journal = Journal(out.with_name(f"{out.stem}.journal.jsonl"), again)
    state = [version, limits, chapter, whole, [handout.digest for handout in known.values()]]
    place = kernel.new_place()
    try:
        sealed = kernel.can_seal(place)
        say(_about_the_box(sealed))
        job = {"handouts": notebooks and str(Path(notebooks).resolve()), "limits": limits,
               "chapter": chapter, "whole": whole, "sealed": sealed, "place": place,
               "hidden": [str(p.resolve()) for p in (folder, out, journal.path)]}  # fmt: skip
        keys = {}
        for file in (file for files in students.values() for file in files):
            beside = file.parent if file.parent != folder else None
            companions = [p for p in beside.rglob("*") if p.is_file()] if beside else []
            raw = json.dumps([state, _digest([file, *companions])])
            keys[file] = hashlib.sha256(raw.encode()).hexdigest()[:24], beside
        _mark_all(keys, journal, Marker(job, minutes), int(jobs), quiet, say)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    marked = {
        student: [{**journal.found[keys[file][0]], "file": file.relative_to(folder).as_posix()}
                  for file in files]
        for student, files in students.items()
    }  # fmt: skip
    entries = results.table(marked, known, points, chapter)
    about = {"synthlib": __version__, "checks": version[:16], "sealed": sealed, "limits": limits}
    results.write(out, entries, about)
    return entries


def _kernel():
    """The module that runs notebooks, where what it needs is installed."""
    try:
        if importlib.util.find_spec("ipykernel") is None:
            raise ModuleNotFoundError(name="ipykernel")
        from synthlib.grading import kernel
    except ModuleNotFoundError as error:
        raise ValueError(
            f"grading runs notebooks and needs {error.name}: pip install ipykernel nbclient"
        ) from None
    return kernel


def check_files():
    """The files of the checks: what they were at the beginning must stand there to the end."""
    return (Path(__file__).resolve().parents[1] / "checks").glob("*.py")


def _mark_all(keys, journal, marker, jobs, quiet, say):
    """Mark what the journal does not hold."""
    from tqdm.auto import tqdm

    version, todo = _digest(check_files()), {}
    for file, (key, beside) in keys.items():
        if key not in journal.found:
            todo.setdefault(key, (file, beside))
    if ready := sum(key in journal.found for key, _ in keys.values()):
        say(f"{ready} of {len(keys)} notebooks are marked already")
    pool = ThreadPoolExecutor(jobs)
    try:
        running = {
            pool.submit(marker.mark, path=str(file.resolve()),
                        beside=str(beside.resolve()) if beside else None): (key, file)
            for key, (file, beside) in todo.items()
        }  # fmt: skip
        for done in tqdm(as_completed(running), total=len(running), unit="notebook", disable=quiet):
            key, file = running[done]
            if _digest(check_files()) != version:
                raise OSError(
                    f"the package's checks have changed on disk while {file.name} was marked: "
                    "install it again, and start again with --again"
                )
            journal.add(key, done.result())
    finally:
        marker.stop()
        pool.shutdown(wait=True, cancel_futures=True)


def _about_the_box(sealed):
    if sealed:
        return (
            "each notebook runs without a network, sees no other process and writes to no file of "
            "yours"
        )
    return (
        "note: this system makes no box for a notebook: it runs with your rights, and of the "
        "network Python alone is told that there is none. Grade what you do not trust in a virtual "
        "machine"
    )


def main(argv=None):
    """Command line."""
    options = commands.grade().parse_args(argv)
    if options.list:
        from synthlib.grading import handouts, results

        print(results.listed(handouts.find(options.notebooks)), end="")
        return 0
    if options.folder is None or options.out is None:
        raise ValueError("a folder and --out are wanted: grade FOLDER --out results.csv")
    settings = {k: v for k, v in vars(options).items() if k != "list"}
    entries = grade(**settings)
    counts = Counter(f"{e['points']:g}" for e in entries)
    shown = ", ".join(f"{n} × {p}" for p, n in sorted(counts.items(), key=lambda x: -float(x[0])))
    most = max((e["out_of"] for e in entries), default=0)
    print(f"{len(entries)} students; points of {most:g}: {shown}")
    print(f"written: {options.out}")
    return 0
