"""Start a submission's kernel in a box: ``python -P -m synthlib.grading.start SETTINGS FILE``.

On Linux, where a user may make namespaces, the box is the system's: no network, other processes
out of sight, all files read-only but a working folder, checks and solutions covered, and no way
back. Elsewhere there are limits, and what Python can withhold.
"""

import ctypes
import json
import os
import signal
import sys
from pathlib import Path

# From <linux/sched.h>, <sys/mount.h>, <linux/prctl.h>, <linux/capability.h>, <linux/mount.h>.
_SPACES = 0x00020000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000  # mount ipc user pid net
_BIND, _RECURSIVE, _PRIVATE, _SAFE = 1 << 12, 1 << 14, 1 << 18, 2 | 4 | 8
_MOUNT_SETATTR, _HERE, _ALL_BELOW, _READ_ONLY = 442, -100, 0x8000, 1
_DEATH, _DROP, _NO_NEW, _VERSION = 1, 24, 38, 0x20080522
#: Bytes of one file that a submission may write.
LARGEST_FILE = 1 << 30


def _must(done, what):
    if done != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), what)


def _words(*numbers, of=ctypes.c_uint64):
    return (of * len(numbers))(*numbers)


def seal(hidden, writable):
    """Put this process into namespaces of its own; returns in a child, the first process there.

    Parameters
    ----------
    hidden : dict of str to str
        What is covered by what: a folder by an empty one, a file by ``/dev/null``.
    writable : dict of str to str
        Folders that may be written to, and what stands in their place.

    Raises
    ------
    OSError
        The system does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    ids = os.getuid(), os.getgid()
    _must(libc.unshare(_SPACES), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    for name, number in zip(("uid_map", "gid_map"), ids, strict=True):
        Path(f"/proc/self/{name}").write_text(f"{number} {number} 1")
    libc.prctl(_DEATH, signal.SIGKILL, 0, 0, 0)  # dies with the grader
    child = os.fork()
    if child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        _, status = os.waitpid(child, 0)
        os._exit(abs(os.waitstatus_to_exitcode(status)) % 256)

    def mount(source, target, kind=None, flags=0, data=None):
        given = [None if x is None else os.fsencode(x) for x in (source, target, kind, data)]
        done = libc.mount(*given[:3], ctypes.c_ulong(flags), given[3])
        _must(done, f"mount {target}")

    def attributes(path, add, take, flags=0):
        wanted = _words(add, take, 0, 0)
        size = ctypes.c_size_t(ctypes.sizeof(wanted))
        done = libc.syscall(_MOUNT_SETATTR, _HERE, os.fsencode(path), flags, wanted, size)
        _must(done, f"mount_setattr {path}")

    mount(None, "/", None, _RECURSIVE | _PRIVATE)
    mount("proc", "/proc", "proc", _SAFE)
    for target, source in {**hidden, **writable}.items():
        mount(source, target, None, _BIND)
    written = list(writable)
    if os.path.isdir("/dev/shm"):
        mount("tmpfs", "/dev/shm", "tmpfs", _SAFE, "size=256m")
        written.append("/dev/shm")
    attributes("/", _READ_ONLY, 0, _ALL_BELOW)
    for target in written:
        attributes(target, 0, _READ_ONLY)
    # No way back: what was mounted here cannot be taken off without these.
    number = 0
    while libc.prctl(_DROP, number, 0, 0, 0) == 0:
        number += 1
    libc.prctl(_NO_NEW, 1, 0, 0, 0)
    none = _words(*[0] * 6, of=ctypes.c_uint32)
    _must(libc.capset(_words(_VERSION, 0, of=ctypes.c_uint32), none), "capset")
    libc.prctl(_DEATH, signal.SIGKILL, 0, 0, 0)


def limit(memory):
    """The most memory of this process, in bytes, and sizes of files, where the system knows it.

    Twice what the grader's watch allows: IPython hangs where none is left for a traceback.
    """
    try:
        import resource
    except ImportError:  # Windows: the grader's own watch is all there is
        return
    wanted = {"RLIMIT_DATA": 2 * memory, "RLIMIT_FSIZE": LARGEST_FILE, "RLIMIT_CORE": 0}
    for name, value in wanted.items():
        if hasattr(resource, name):
            hard = resource.getrlimit(getattr(resource, name))[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            try:
                resource.setrlimit(getattr(resource, name), (value, value))
            except (ValueError, OSError):  # macOS refuses some
                pass


def main(argv):
    """Start the kernel; with a settings file alone, only try the box."""
    settings = json.loads(Path(argv[0]).read_text("utf-8"))
    if settings["sealed"]:
        seal(settings["hidden"], settings["writable"])
    if len(argv) == 1:
        return
    limit(settings["memory"])
    os.chdir(settings["folder"])
    from synthlib.grading import inside

    inside.prepare(settings["sealed"])
    from ipykernel import kernelapp

    sys.path.insert(0, "")  # as in a notebook: what lies beside it
    kernelapp.launch_new_instance(argv=["-f", argv[1]])


if __name__ == "__main__":
    main(sys.argv[1:])
