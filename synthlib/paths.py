"""Where the package finds its data and puts what it makes, and how a file is written whole.

In a checkout the data are the repository's ``data/`` folder and generated things go to
``_build/`` beside it; in an installed wheel the same data travel inside the package as
``synthlib/_data`` and generated things go to ``_build/`` of the working directory.
"""

import errno
import os
import threading
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_PACKAGED_DATA = _PACKAGE / "_data"

#: Repository root in a checkout, ``None`` in an installed wheel.
ROOT = None if _PACKAGED_DATA.is_dir() else _PACKAGE.parent

#: All data: ``papers/``, ``pocket/``, ``ledger/``, ``examples/``.
DATA = _PACKAGED_DATA if ROOT is None else ROOT / "data"

#: Weights of the small models that are trained in this repository.
POCKET = DATA / "pocket"

#: Where checkpoints, saved figures and the built book go.
BUILD = (ROOT if ROOT is not None else Path.cwd()) / "_build"


def write_bytes(path, content: bytes) -> None:
    """Write all of a file or nothing: to a temporary name first, then rename.

    Raises
    ------
    OSError
        On a full disk with a line that says what to do.
    """
    path = Path(path)
    mine = f"{os.getpid()}-{threading.get_ident()}"
    unfinished = path.with_name(f".{path.name}.{mine}.part")
    try:
        with unfinished.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(
                f"the disk is full: {path} could not be written. What was written before is whole; "
                "make room and run the same command again"
            ) from None
        raise
    finally:
        unfinished.unlink(missing_ok=True)
