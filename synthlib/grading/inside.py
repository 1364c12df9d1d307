"""What runs in a submission's kernel besides the submission: it is asked, and it answers.

Nothing here decides anything: a kernel gives values of its functions, and what they are worth is
decided where no line of the submission runs.
"""

import importlib.abc
import importlib.machinery
import inspect
import json
import os
import re
import socket
import sys
import types
from pathlib import Path

HIDDEN = re.compile(r"synthlib\.checks\.(ch\d\d)$")
LATER = "graded when the notebook has run"


class _NoChecks(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """The checks of the chapters are not here, so nobody can ask their references."""

    def find_spec(self, name, path=None, target=None):
        found = HIDDEN.match(name)
        return importlib.machinery.ModuleSpec(name, self) if found else None

    def create_module(self, spec):
        return types.ModuleType(spec.name)

    def exec_module(self, module):
        from synthlib import checks

        def check(name):
            if name.startswith("_"):
                raise AttributeError(name)
            return lambda function=None: checks.result(name, False, LATER)

        module.__getattr__ = check


def prepare(sealed):
    """Before the first cell: no checks, and where the system does not see to it no network."""
    sys.meta_path.insert(0, _NoChecks())
    if not sealed:
        connect = socket.socket.connect

        def refuse(self, address, *more):
            if self.family == getattr(socket, "AF_UNIX", None):
                return connect(self, address, *more)
            raise OSError("there is no network while a notebook is graded")

        socket.socket.connect = socket.socket.connect_ex = refuse
        socket.getaddrinfo = lambda *arguments, **more: refuse(types.SimpleNamespace(family=0), "")


def _look(function):
    """Whether it can be called, and its parameters."""
    try:
        found = inspect.signature(function).parameters.values()
        parameters = [(p.name, int(p.kind)) for p in found]
    except (ValueError, TypeError):
        parameters = None
    return {"callable": callable(function), "parameters": parameters}


def answer(request, reply):
    """Do what a request asks for with a function of the notebook, and write down what came of it.

    Parameters
    ----------
    request, reply : str
        Files: the question, and where the answer goes.
    """
    from synthlib import checks
    from synthlib.grading import wire

    asked = json.loads(Path(request).read_text("utf-8"))
    space = get_ipython().user_ns  # noqa: F821  IPython's own
    if asked["function"] not in space:
        said = {"missing": True}
    else:
        function, what = space[asked["function"]], asked["what"]
        if what == "look":
            said = _look(function)
        elif what == "outcomes":
            cases = [wire.decode_case(raw) for raw in asked["cases"]]
            outcomes = checks.answers(function, cases, asked["seconds"])
            said = {"outcomes": [wire.encode_outcome(outcome) for outcome in outcomes]}
        else:
            case = wire.decode_case(asked["cases"][0])
            said = {"calls": checks.calls_outside(function, *case.args)[:1000]}
    Path(f"{reply}.part").write_text(json.dumps(said), "utf-8")
    os.replace(f"{reply}.part", reply)
