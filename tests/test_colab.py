"""Colab, as far as it can be had at home: its versions, its kernel, what its first cell mends.

These tests belong to the environment of `constraints-colab.txt` (`make test-colab`) and are skipped
in any other. The environment gets Colab's torchao and loses it again, so nothing else may run in it
meanwhile.
"""

import os
import subprocess
import sys
from importlib import metadata

import nbformat
import pytest
from packaging.requirements import Requirement

#: What ipywidgets' and anywidget's figures ask of Colab.
OUTPUT = """\
from types import SimpleNamespace

_widgets = SimpleNamespace(_installed_url="https://example.org/manager.js")


def enable_custom_widget_manager():
    pass
"""


def pins(root):
    """Versions by name, as Colab has them."""
    lines = (root / "tests/constraints-colab.txt").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith("#")]
    return {r.name: next(iter(r.specifier)).version for r in wanted}


@pytest.fixture
def colab(root, tmp_path):
    """Environment of a kernel in which `google.colab` can be imported."""
    versions = pins(root)
    for name in ("torch", "ipython"):
        if metadata.version(name).partition("+")[0] != versions[name]:
            pytest.skip("not Colab's versions: make test-colab")
    package = tmp_path / "google" / "colab"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "output.py").write_text(OUTPUT)
    path = os.pathsep.join(filter(None, [str(tmp_path), str(root), os.environ.get("PYTHONPATH")]))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps"]
    subprocess.run([*pip, f"torchao=={versions['torchao']}"], check=True, timeout=300)
    return os.environ | {"PYTHONPATH": path, "JUPYTER_PREFER_ENV_PATH": "1"}


def run(root, name, environment, cells=None):
    """Execute the first cells of a notebook, or all, in a kernel that is like Colab's."""
    from nbclient import NotebookClient

    nb = nbformat.read(root / "notebooks" / f"{name}.ipynb", as_version=4)
    if cells is not None:
        nb.cells = [cell for cell in nb.cells if cell.cell_type == "code"][:cells]
    # Colab's own kernel has it loaded.
    nb.cells.insert(0, nbformat.v4.new_code_cell("import google.colab"))
    resources = {"metadata": {"path": str(root / "notebooks")}}
    # nbclient stops at the first cell that raises.
    NotebookClient(nb, timeout=3600, kernel_name="python3", resources=resources).execute(
        env=environment
    )
    return nb


def printed(cell):
    """What a cell wrote."""
    return "".join(o.get("text", "") for o in cell.outputs if o.output_type == "stream")


def test_versions_are_those_of_colab(root, colab):
    found = {}
    for name in pins(root):
        try:
            found[name] = metadata.version(name).partition("+")[0]
        except metadata.PackageNotFoundError:  # a build of torch without CUDA has no nvidia-…
            continue
    assert len(found) > 60 and "torch" in found
    assert found == {name: version for name, version in pins(root).items() if name in found}


def test_the_first_cell_mends_what_colab_breaks(root, colab):
    code = "import synthlib; print(synthlib.preflight().problems)"
    before = subprocess.run(
        [sys.executable, "-c", code], env=colab, capture_output=True, text=True, check=True
    )
    assert "pip uninstall -y torchao" in before.stdout
    *_, preflight = run(root, "00_run_the_laboratory", colab, cells=2).cells
    assert printed(preflight).endswith("ready\n"), printed(preflight)
    with pytest.raises(metadata.PackageNotFoundError):
        metadata.version("torchao")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "00_run_the_laboratory",
        "03_contrastive_generation",
        "08_ppo_with_lora",
        "10_directional_decoding",
        "13_multicsr_in_the_field",
    ],
)
def test_a_notebook_runs_to_its_end(root, colab, name):
    nb = run(root, name, colab)
    shown = [o.data for c in nb.cells for o in c.get("outputs", []) if "data" in o]
    widgets = [data for data in shown if "application/vnd.jupyter.widget-view+json" in data]
    assert len(widgets) >= 3, "figures are widgets in Colab"
