"""Values between the grader and a submission's kernel, as JSON: data only, nothing is executed.

What comes back from a kernel may be anything, so no pickle is read. A value of a kind that no
exercise returns becomes a stand-in that tells only its type and how it shows itself.
"""

import base64
import builtins
import inspect
import math
from collections.abc import Mapping, Set

import numpy as np
import pandas as pd

from synthlib.checks import Case, Late, Outcome

#: Kinds of numpy arrays whose bytes may travel: truth values, numbers, text.
PLAIN = "biufcUS"
#: Characters of a stand-in's text, and of what a function has printed.
TEXT = 2000
DEEP = 40


def encode(value, depth=0):
    """A value as JSON can hold it."""
    if depth > DEEP:
        return {"kind": "object", "type": type(value).__name__, "text": "…"}
    inner = depth + 1
    if value is None or isinstance(value, bool) or type(value) is str:
        return value
    if type(value) is int:
        return {"kind": "int", "is": hex(value)}
    if type(value) is float:
        return value if math.isfinite(value) else {"kind": "float", "is": repr(value)}
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    if isinstance(value, np.ndarray | np.generic):
        return _array(value, inner)
    if isinstance(value, pd.DataFrame):
        columns = [encode(value.iloc[:, i].tolist(), inner) for i in range(value.shape[1])]
        return {"kind": "frame", "names": encode(list(value.columns), inner), "is": columns}
    if isinstance(value, pd.Series):
        return {"kind": "series", "is": encode(value.tolist(), inner)}
    for kind, of in (("list", list), ("tuple", tuple), ("set", Set)):
        if isinstance(value, of):
            return {"kind": kind, "is": [encode(item, inner) for item in value]}
    if isinstance(value, Mapping):
        pairs = [[encode(k, inner), encode(v, inner)] for k, v in value.items()]
        return {"kind": "dict", "is": pairs}
    if inspect.isgenerator(value) or isinstance(value, map | filter | zip):
        return {"kind": "generator"}
    for plain in (str, int, float):  # of a class of the student's own
        if isinstance(value, plain):
            return encode(plain(value), inner)
    try:
        text = repr(value)[:TEXT]
    except Exception:
        text = f"<{type(value).__name__}>"
    return {"kind": "object", "type": type(value).__name__, "text": text}


def _array(value, depth):
    array, scalar = np.asarray(value), isinstance(value, np.generic)
    if array.dtype.kind not in PLAIN:
        items = encode(array.ravel().tolist(), depth)
        return {"kind": "objects", "shape": array.shape, "is": items, "scalar": scalar}
    if array.dtype.itemsize > 8 and array.dtype.kind == "f":  # of another size elsewhere
        array = array.astype(float)
    data = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")
    about = {"dtype": array.dtype.str, "shape": array.shape, "scalar": scalar}
    return {"kind": "array", "is": data, **about}


def decode(raw):
    """The value that `encode` has written.

    Raises
    ------
    ValueError
        It is not of that form.
    """
    try:
        return _decoded(raw)
    except (KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise ValueError(f"a value that cannot be read ({type(error).__name__})") from None


def _decoded(raw):
    if not isinstance(raw, dict):
        return raw
    kind, held = raw["kind"], raw.get("is")
    if kind == "int":
        return int(held, 16)
    if kind == "float":
        return float(held)
    if kind == "array":
        dtype = np.dtype(str(raw["dtype"]))
        if dtype.kind not in PLAIN:
            raise ValueError(f"an array of {dtype}")
        array = np.frombuffer(base64.b64decode(held), dtype).reshape(raw["shape"]).copy()
        return array[()] if raw["scalar"] else array
    if kind == "objects":
        array = np.empty(len(held["is"]), dtype=object)
        array[:] = _decoded(held)
        array = array.reshape(raw["shape"])
        return array[()] if raw["scalar"] else array
    if kind == "frame":
        frame = pd.DataFrame(dict(enumerate(map(_decoded, held))))
        frame.columns = _decoded(raw["names"])
        return frame
    if kind == "series":
        return pd.Series(_decoded(held))
    if kind in ("list", "tuple", "set"):
        return {"list": list, "tuple": tuple, "set": set}[kind](map(_decoded, held))
    if kind == "dict":
        return {_decoded(k): _decoded(v) for k, v in held}
    if kind == "generator":
        return (item for item in ())
    if kind == "object":
        return _stand_in(str(raw["type"]), (), str(raw["text"])[:TEXT])
    raise ValueError(f"a value of kind {kind!r}")


def _stand_in(name, bases, text):
    """An object of a class made for it, which shows itself as `text`."""
    show = {"__repr__": lambda self: text, "__str__": lambda self: text}
    made = type(name[:80] or "object", bases, show)
    return made.__new__(made)


def encode_case(case):
    """The arguments of a call."""
    return {"args": encode(list(case.args)), "kwargs": encode(dict(case.kwargs))}


def decode_case(raw):
    """The arguments of a call, as `encode_case` has written them."""
    return Case(tuple(decode(raw["args"])), decode(raw["kwargs"]))


def encode_outcome(outcome):
    """What a call gave."""
    error = outcome.error
    try:
        text = str(error)
    except Exception:
        text = ""
    return {
        "value": encode(outcome.value),
        "error": None if error is None else [c.__name__ for c in type(error).__mro__],
        "text": text[:TEXT],
        "late": isinstance(error, Late),
        "where": outcome.where,
        "printed": outcome.printed[:TEXT],
        "changed": outcome.changed,
    }


def decode_outcome(raw):
    """What a call gave. An error is of the first built-in kind that it belongs to.

    Raises
    ------
    ValueError
        It is not of that form.
    """
    try:
        error = None
        if raw["late"]:
            error = Late()
        elif raw["error"]:
            named = [getattr(builtins, str(name), None) for name in raw["error"]]
            kinds = [k for k in named if isinstance(k, type) and issubclass(k, BaseException)]
            kind = next((k for k in kinds if issubclass(k, Exception | SystemExit)), Exception)
            error = _stand_in(str(raw["error"][0]), (kind,), str(raw["text"])[:TEXT])
        changed = None if raw["changed"] is None else str(raw["changed"])[:80]
        return Outcome(
            decode(raw["value"]), error, str(raw["where"])[:TEXT], str(raw["printed"])[:TEXT],
            changed,
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(f"an answer that cannot be read ({type(error).__name__})") from None
