"""Settings and fixtures that all tests share."""

import os
import sys
from pathlib import Path

# One thread a process: the tests run several processes side by side, and the models are tiny.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Trainings compute in float32 on every processor, as the references do that they are compared with:
# with these instructions bfloat16 is never the faster. tests/test_precision.py tries the others.
os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX512_CORE")
# No test may depend on the network: a model that is not here must give its error at once.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest

ROOT = Path(__file__).resolve().parents[1]
# The build's own modules, and the driver of the browser, are no part of the package.
sys.path[:0] = [str(ROOT / "book" / "_ext"), str(ROOT / "tests" / "browser")]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root folder."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder with the public data sets (STS, SICK, …) that are not part of the repository.

    Found through ``SYNTHLIB_SHARED_DATA``, else ``../shared/data`` beside the repository;
    a test that needs it is skipped where it is absent.
    """
    given = os.environ.get("SYNTHLIB_SHARED_DATA")
    folder = Path(given) if given else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no public data sets at {folder}; set SYNTHLIB_SHARED_DATA to their folder")
    return folder
