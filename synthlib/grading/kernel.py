"""A submission's kernel: started in a box, watched, asked for values, and started again."""

import contextlib
import inspect
import json
import os
import secrets
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbclient.util import run_sync
from nbformat import v4

from synthlib import paths, weights
from synthlib.checks import Elsewhere
from synthlib.grading import wire

STARTUP = 120  # seconds in which a kernel must be there
LARGEST_ANSWER = 64 << 20  # bytes
MOST_PROCESSES = 64  # of one submission
_LOOK_EVERY = 0.2
#: What of the grader's environment a submission sees.
_KEPT = ("PATH", "LANG", "TZ", "SYSTEMROOT", "COMSPEC", "PATHEXT", "WINDIR", "LD_LIBRARY_PATH",
         "VIRTUAL_ENV", "NUMBER_OF_PROCESSORS", "OMP_NUM_THREADS")  # fmt: skip


class Lost(Exception):
    """The kernel is gone, or had to be stopped; says why."""


@dataclass(frozen=True)
class Limits:
    """What a submission may take: seconds of a cell or an exercise, minutes, GB."""

    seconds: float = 120.0
    minutes: float = 10.0
    memory: float = 4.0


def new_place():
    """A folder for the boxes of a class."""
    short = None if os.name == "nt" else "/tmp"  # sockets have short names
    return tempfile.mkdtemp(prefix="grade-", dir=short)


class Box:
    """Folders of one submission, and how its kernel is started; removed at the end."""

    def __init__(self, memory, sealed, hidden=(), place=None):
        self.base = Path(tempfile.mkdtemp(prefix="s", dir=place or new_place())).resolve()
        self.folder, self.empty = self.base / "w", self.base / "e"
        for folder in (self.folder, self.folder / "tmp", self.folder / "home", self.empty):
            folder.mkdir()
        self.sealed, self._memory = sealed, int(memory * 2**30)
        settings = {"sealed": sealed, "folder": str(self.folder), "memory": self._memory,
                    "hidden": self._covers(hidden), "writable": self._places()}  # fmt: skip
        self.settings = self.base / "settings.json"
        self.settings.write_text(json.dumps(settings), "utf-8")

    def _covers(self, hidden):
        """Checks, solutions, other submissions: each with what covers it."""
        package = Path(wire.__file__).resolve().parents[1]
        found = [*(package / "checks").glob("ch[0-9][0-9].py"), package / "checks" / "__pycache__"]
        if paths.ROOT is not None:
            found += [paths.ROOT / name for name in ("notebooks", "book", "tests", ".git")]
        # Sockets of services that run here; others' answers.
        found += [Path("/run"), *map(Path, hidden)]
        found = [path.resolve() for path in found if path.exists()]
        kept = (self.base, package, Path(sys.prefix), Path(sys.base_prefix))
        return {
            str(path): str(self.empty) if path.is_dir() else "/dev/null"
            for path in found
            if not any(folder.is_relative_to(path) for folder in kept)
        }

    def _places(self):
        """The working folder, and empty ones where chapters keep what they make."""
        places = {str(self.folder): str(self.folder)}
        live = paths.DATA / "ledger" / "live"
        for number, path in enumerate((paths.BUILD, live)):
            if path.is_dir():
                (self.base / f"p{number}").mkdir()
                places[str(path.resolve())] = str(self.base / f"p{number}")
        return places

    @property
    def environment(self):
        """Of the kernel."""
        kept = {k: v for k, v in os.environ.items()
                if k in _KEPT or k.startswith(("LC_", "SYNTHLIB_"))}  # fmt: skip
        package = str(Path(wire.__file__).resolve().parents[2])
        path = [package, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        home, temporary = str(self.folder / "home"), str(self.folder / "tmp")
        nowhere = "http://127.0.0.1:9"
        return {
            "OMP_NUM_THREADS": "1", **kept,
            "PYTHONPATH": os.pathsep.join(os.path.abspath(p) for p in path if p),
            "PYTHONDONTWRITEBYTECODE": "1", "HOME": home, "USERPROFILE": home, "TMPDIR": temporary,
            "TEMP": temporary, "TMP": temporary, "IPYTHONDIR": home, "MPLCONFIGDIR": home,
            "JUPYTER_CONFIG_DIR": home, "SYNTHLIB_CACHE": str(weights.cache()),
            "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
            "MPLBACKEND": "module://matplotlib_inline.backend_inline", "http_proxy": nowhere,
            "https_proxy": nowhere, "HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere,
        }  # fmt: skip

    def command(self, *more):
        """That starts the kernel."""
        start = "synthlib.grading.start"
        return [sys.executable, "-P", "-m", start, str(self.settings), *more]

    def remove(self):
        """Take it away with all that a submission has left."""
        shutil.rmtree(self.base, ignore_errors=True)


def can_seal(place):
    """Whether this system lets a user make namespaces of the kind that `start.seal` makes.

    It is tried, in a box at `place`.
    """
    if not sys.platform.startswith("linux"):
        return False
    box = Box(1, sealed=True, place=place)
    try:
        done = subprocess.run(box.command(), env=box.environment, capture_output=True, timeout=60)
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False
    finally:
        box.remove()


class _Manager(AsyncKernelManager):
    """Starts a kernel by the command of a box."""

    command = None

    @property
    def kernel_spec(self):
        """The one kind of kernel that there is."""
        return KernelSpec(argv=self.command, display_name="graded", language="python")


class _Client(NotebookClient):
    """Keeps no output: nobody reads it, and there may be very much."""

    def output(self, outs, msg, display_id, cell_index):
        """Drop one."""
        return None


class Session:
    """A kernel in which the cells of a submission have run.

    A cell at which the kernel ends, or has to be stopped, is left out when it is started again.

    Parameters
    ----------
    cells : list of (int, str)
        Number and source.
    box : Box
    limits : Limits
    """

    def __init__(self, cells, box, limits):
        self.cells, self.box, self.limits = cells, box, limits
        self.notes, self.left_out, self.ended = [], set(), time.monotonic() + 60 * limits.minutes
        self._stack, self._client, self._why = None, None, ""

    # -------------------------------------------------------------- the kernel
    def _start(self):
        self.stop()
        self._stack, self._why = contextlib.ExitStack(), ""
        for old in self.box.folder.glob("k*"):
            old.unlink(missing_ok=True)
        manager = _Manager(
            transport="tcp" if os.name == "nt" else "ipc",
            connection_file=str(self.box.folder / f"k{secrets.token_hex(3)}.json"),
        )
        manager.command = self.box.command("{connection_file}")
        self._client = _Client(
            v4.new_notebook(), km=manager, timeout=int(self.limits.seconds), startup_timeout=STARTUP
        )
        self._stack.callback(self._end, manager)
        try:
            self._stack.enter_context(
                self._client.setup_kernel(env=self.box.environment, cwd=str(self.box.folder))
            )
        except (RuntimeError, DeadKernelError, OSError) as error:
            self.stop()
            raise Lost(f"its kernel did not start ({error})") from None
        done = threading.Event()
        self._stack.callback(done.set)
        watch = threading.Thread(target=self._watch, args=(manager.provisioner.pid, done))
        watch.daemon = True
        watch.start()

    @staticmethod
    def _end(manager):
        with contextlib.suppress(Exception):
            _kill(manager.provisioner.pid)
        with contextlib.suppress(Exception):
            run_sync(manager.shutdown_kernel)(now=True)

    def _watch(self, pid, done):
        """Stop the kernel where it, with its processes, takes too much memory, or too many."""
        most = self.limits.memory * 2**30
        while not done.wait(_LOOK_EVERY):
            size, processes = 0, _processes(pid)
            for process in processes:
                with contextlib.suppress(psutil.Error):
                    size += process.memory_info().rss
            if size > most or len(processes) > MOST_PROCESSES:
                self._why = (
                    f"it took more than {self.limits.memory:g} GB of memory" if size > most
                    else f"it started more than {MOST_PROCESSES} processes"
                )  # fmt: skip
                _kill(pid)
                return

    def stop(self):
        """End the kernel and all that it has started."""
        if self._stack is not None:
            stack, self._stack, self._client = self._stack, None, None
            with contextlib.suppress(Exception):
                stack.close()

    def _run(self, source, what):
        """Run some lines; the error that they end in, in words, or None.

        Raises
        ------
        Lost
            The kernel ended, or ran too long and was stopped.
        """
        left = self.ended - time.monotonic()
        if left <= 0:
            self.stop()
            raise Lost(f"the {self.limits.minutes:g} minutes of a submission are over")
        self._client.timeout = max(1, int(min(self.limits.seconds, left)))
        cell = v4.new_code_cell(source)
        self._client.nb.cells = [cell]
        try:
            self._client.execute_cell(cell, 0, store_history=True)
        except CellExecutionError as error:
            return f"{error.ename}: {' '.join(str(error.evalue).split())[:200]}"
        except (CellTimeoutError, DeadKernelError, RuntimeError, OSError) as error:
            late = isinstance(error, CellTimeoutError) and not self._why
            said = f"{what} ended the kernel" + (f": {self._why}" if self._why else "")
            if late:
                said = f"{what} ran for more than {self._client.timeout} seconds and was stopped"
        else:
            return None
        self.stop()
        raise Lost(said)

    def ready(self):
        """Have a kernel in which the cells have run.

        Raises
        ------
        Lost
            There is no having one.
        """
        if self._client is not None:
            return
        for _ in range(len(self.cells) + 1):
            self._start()
            try:
                for number, source in self.cells:
                    if number in self.left_out:
                        continue
                    error = self._run(source, f"code cell {number}")
                    note = f"code cell {number}: {error}"
                    if error and note not in self.notes:
                        self.notes.append(note)
                return
            except Lost as lost:
                if time.monotonic() >= self.ended:
                    raise
                self.left_out.add(number)
                self.notes.append(f"{lost}; it was left out")

    # -------------------------------------------------------------- asking it
    def ask(self, function, what, cases=(), seconds=None):
        """What `inside.answer` says about a function of the notebook.

        Raises
        ------
        Lost
            No answer came.
        """
        self.ready()
        stem = secrets.token_hex(8)
        request, reply = (self.box.folder / f"{stem}.{end}" for end in ("ask", "say"))
        asked = {"function": function, "what": what, "seconds": seconds,
                 "cases": [wire.encode_case(case) for case in cases]}  # fmt: skip
        request.write_text(json.dumps(asked), "utf-8")
        source = f"""import importlib as _i
_i.import_module("synthlib.grading.inside").answer({str(request)!r}, {str(reply)!r})"""
        try:
            error = self._run(source, f"`{function}`")
            return _read(reply, error)
        finally:
            request.unlink(missing_ok=True)
            reply.unlink(missing_ok=True)


def _read(reply, error):
    """An answer: a plain file of no more than so many bytes, and JSON."""
    try:
        about = reply.lstat()
        if not stat.S_ISREG(about.st_mode) or about.st_size > LARGEST_ANSWER:
            raise Lost("its function gave back more than can be compared")
        said = json.loads(reply.read_text("utf-8"))
    except FileNotFoundError:
        raise Lost(f"its kernel gave no answer ({error or 'none was written'})") from None
    except (ValueError, OSError, RecursionError):
        raise Lost("its kernel gave an answer that cannot be read") from None
    if not isinstance(said, dict):
        raise Lost("its kernel gave an answer that cannot be read")
    return said


def _processes(pid):
    """A process and all below it."""
    try:
        first = psutil.Process(pid)
        return [first, *first.children(recursive=True)]
    except psutil.Error:
        return []


def _kill(pid):
    for process in reversed(_processes(pid)):
        with contextlib.suppress(psutil.Error):
            process.kill()


class Remote(Elsewhere):
    """A function of a submission, which runs in the submission's kernel.

    Parameters
    ----------
    session : Session
    name : str
        Of the function.
    """

    def __init__(self, session, name):
        self.session, self.__name__ = session, name

    @cached_property
    def _about(self):
        return self.session.ask(self.__name__, "look")

    @property
    def missing(self):
        """Whether the notebook has nothing of this name."""
        return bool(self._about.get("missing"))

    @property
    def is_function(self):
        """Whether what has this name can be called."""
        return bool(self._about.get("callable"))

    @property
    def __signature__(self):
        try:
            kinds = type(inspect.Parameter.POSITIONAL_ONLY)
            return inspect.Signature(
                [inspect.Parameter(name, kinds(kind)) for name, kind in self._about["parameters"]]
            )
        except (ValueError, TypeError, KeyError):
            return inspect.Signature()

    def outcomes(self, cases, seconds):
        """What the function gives, case by case; `Lost` where no answer comes."""
        said = self.session.ask(self.__name__, "outcomes", cases, seconds)
        try:
            found = [wire.decode_outcome(raw) for raw in said["outcomes"]]
        except (ValueError, KeyError, TypeError) as error:
            raise Lost(f"its function gave back {error}") from None
        ended = found and isinstance(found[-1].error, NotImplementedError | wire.Late)
        if len(found) != len(cases) and not ended:
            raise Lost("its kernel gave an answer that cannot be read")
        return found[: len(cases)]

    def calls_outside(self, *args):
        """Names of what the function calls outside of its notebook."""
        said = self.session.ask(self.__name__, "calls", [wire.Case(args)])
        return [str(name) for name in said.get("calls", [])]
