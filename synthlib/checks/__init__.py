"""Checks of the exercises: an independent reference, random and edge inputs, named mistakes.

Each chapter has a module ``chNN`` with one function an exercise: it takes the student's function
and returns a `Result`; nothing is raised. `run` does the work, so that a chapter's module holds
only references, inputs and mistakes. A mistake is a wrong answer that students do give; when the
student's results are surely those of a mistake, the message is its hint, else it shows the smallest
input that fails.

The inputs are drawn from all that the task leaves open: what lies on a boundary, ties, extreme
values, one element or none. What the task does not settle is no input. They are given by position:
the names of the parameters are the student's own.
"""

import contextlib
import copy
import html
import importlib
import inspect
import io
import linecache
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd

NOT_YET = "not done yet"
#: On so many inputs at least a wrong result must be a mistake's before its hint is given.
SEVERAL = 2
_ALIKE = "What you return agrees with the expected result"


def __getattr__(name):
    """Import what is first used: ``checks.ch01``, ``checks.all()``, ``checks.progress(1)``."""
    if name.startswith("ch") and name[2:].isdigit():
        try:
            return importlib.import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    if name in ("all", "progress"):
        registry = importlib.import_module(f"{__name__}.registry")
        return registry.every if name == "all" else registry.progress
    raise AttributeError(f"synthlib.checks has no attribute {name!r}")


@dataclass(frozen=True)
class Result:
    """Outcome of a check.

    Attributes
    ----------
    passed : bool
    message : str
        What was found, in a sentence or two; begins with "not done yet" for a stub.
    exercise : str
        Name of the exercise.
    """

    passed: bool
    message: str
    exercise: str

    @property
    def _verdict(self):
        if self.passed:
            return "✓", "passed", "#018753"
        if self.message.startswith(NOT_YET):
            return "○", "open", "#60646b"
        return "✗", "try again", "#c53200"

    def to_dict(self):
        """The three fields, as JSON can hold them."""
        return asdict(self)

    def __repr__(self):
        return f"{self.verdict}: {self.message}"

    @property
    def verdict(self):
        """The exercise and how it stands, without the message: "✓ The mask, passed"."""
        symbol, word, _ = self._verdict
        return f"{symbol} {self.exercise}, {word}"

    def _repr_html_(self):
        """Symbol, word and colour; every text is escaped."""
        symbol, word, colour = self._verdict
        exercise, message = html.escape(self.exercise), html.escape(self.message)
        # The text keeps the page's own colour: only the bar has ours, in light and dark alike.
        return (
            f'<div class="exercise-check" role="status" style="border-left:0.35rem solid {colour};'
            f'padding:0.3rem 0.8rem;margin:0.3rem 0;overflow-wrap:anywhere">'
            f'<strong><span aria-hidden="true">{symbol}</span> {exercise}, {word}</strong>'
            f'<br><span style="white-space:pre-line">{message}</span></div>'
        )


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that students give.

    Parameters
    ----------
    name : str
        Short name, for the author.
    function : callable
        The wrong answer itself, called as the student's function is.
    hint : str
        What the student is told: the mistake and what to do about it, not the solution.
    """

    name: str
    function: Callable
    hint: str


@dataclass(frozen=True)
class Case:
    """Arguments of one call; ``note`` says in words what is special about them.

    ``atol`` is the absolute tolerance on this input where that of the check is too narrow: single
    precision is a right answer's right, and with large numbers it has few digits after the point.
    """

    args: tuple = ()
    kwargs: Mapping = field(default_factory=dict)
    note: str = ""
    atol: float = 0.0


def wrong_answers(mistakes):
    """Pairs (wrong function, the message it must get) of a sequence of mistakes, for ``WRONG``."""
    return [(mistake.function, mistake.hint) for mistake in mistakes]


# ------------------------------------------------------------------ one call
class Late(BaseException):
    """Raised in a function that runs too long; no ``except Exception`` of its can catch it."""


@contextlib.contextmanager
def _time_limit(seconds):
    """Interrupt what runs longer, where the platform and the thread allow it."""
    if (
        seconds is None
        or not hasattr(signal, "setitimer")
        or threading.current_thread() is not threading.main_thread()
    ):
        yield
        return

    def stop(number, frame):
        raise Late

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass
class Outcome:
    """What one call gave: a value or an error, what it printed and did to its arguments.

    Attributes
    ----------
    value : object
    error : exception or None
    where : str
        The place of the error in the function's own code, in words.
    printed : str
    changed : str or None
        Name of the argument that the call has changed.
    """

    value: object = None
    error: BaseException | None = None
    where: str = ""
    printed: str = ""
    changed: str | None = None


class Elsewhere:
    """A student's function that runs in another process, where nothing of a check is in reach.

    `run` takes one in place of the function. It may have ``__signature__``, and has these methods.
    """

    def outcomes(self, cases, seconds):
        """`Outcome` of each `Case`, as `answers` gives them."""
        raise NotImplementedError

    def calls_outside(self, *args):
        """As the function `calls_outside` gives it."""
        raise NotImplementedError

    def __call__(self, *args, **kwargs):
        """The result of one call; raises what the function raises."""
        (outcome,) = self.outcomes([Case(args, kwargs)], None)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value


def call(function, case, seconds=None):
    """Call with copies of the arguments; nothing is raised, nothing printed.

    Returns
    -------
    Outcome
    """
    args, kwargs = copy.deepcopy((case.args, dict(case.kwargs)))
    outcome, printed = Outcome(), io.StringIO()
    try:
        with (
            contextlib.redirect_stdout(printed),
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
            _time_limit(seconds),
        ):
            warnings.simplefilter("ignore")
            outcome.value = function(*args, **kwargs)
    except (Exception, Late, SystemExit) as error:
        outcome.error, outcome.where = error, _where(error, function)
    outcome.printed = printed.getvalue()
    with contextlib.suppress(Exception):
        # A result that shares memory with an argument must not change with it later.
        value = outcome.value
        outcome.value = value.detach() if hasattr(value, "detach") else value
        outcome.value = copy.deepcopy(outcome.value)
    for name, given, left in [
        *((_parameter(function, i), a, b) for i, (a, b) in enumerate(zip(case.args, args))),  # noqa: B905
        *((name, value, kwargs.get(name)) for name, value in case.kwargs.items()),
    ]:
        if outcome.changed is None and _data(given) and difference(given, left, exact=True):
            outcome.changed = name
    return outcome


def _data(value):
    """Whether an argument is data that a function could change in place."""
    if isinstance(value, list | tuple | set):
        return all(_data(item) or isinstance(item, str | int | float | None) for item in value)
    if isinstance(value, dict):
        return _data(list(value.values()))
    return isinstance(value, np.ndarray | pd.DataFrame | pd.Series) or hasattr(value, "detach")


def _parameter(function, position):
    """Name of a positional parameter, as well as it can be known."""
    with contextlib.suppress(ValueError, TypeError):
        names = list(inspect.signature(function).parameters.values())
        if position < len(names) and names[position].kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ):
            return names[position].name
    return f"argument {position + 1}"


# ------------------------------------------------------------------ comparing
def _kind(value):
    """Plain-English kind of a value; kinds that may stand for each other have one name."""
    if value is None:
        return "None"
    if isinstance(value, bool | np.bool_):
        return "a truth value"
    if isinstance(value, int | float | np.integer | np.floating):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, np.ndarray) or hasattr(value, "detach"):
        return "an array"
    if isinstance(value, pd.DataFrame):
        return "a DataFrame"
    if isinstance(value, pd.Series):
        return "an array"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, Mapping):
        return "a dict"
    if isinstance(value, Set):
        return "a set"
    return f"an object of type {type(value).__name__}"


def _array(value):
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
        return value.numpy()
    return np.asarray(value)


def _is_array(value):
    return isinstance(value, np.ndarray | pd.Series) or hasattr(value, "detach")


def _numbers(value):
    """Array of a list or tuple of numbers, else None."""
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return None
    return array if array.dtype.kind in "biuf" else None


def difference(expected, got, *, rtol=1e-5, atol=1e-8, exact=False):
    """What distinguishes a result from the expected one.

    Numbers agree within ``atol + rtol * |expected|``; NaN agrees with NaN. An array, a tensor and a
    list of numbers stand for each other, as do a number and an array of no dimension; other kinds
    do not.

    Returns
    -------
    str or None
        A clause like "the shape is (3,) instead of (3, 1)"; None when they agree. "value" says
        that kind and shape are right.
    """
    if exact:
        rtol = atol = 0.0
    if expected is None or got is None:
        return None if expected is got else f"you return {_kind(got)}, wanted is {_kind(expected)}"
    wanted_kind, given_kind = _kind(expected), _kind(got)
    if _is_array(expected) or wanted_kind in _SCALARS:
        return _difference_of_arrays(expected, got, rtol, atol)
    if wanted_kind == "a list" and _is_array(got):
        got, given_kind = _array(got).tolist(), "a list"
    if wanted_kind != given_kind:
        return f"you return {given_kind}, wanted is {wanted_kind}"
    if wanted_kind in ("text", "a set"):
        plain = str if wanted_kind == "text" else set
        return None if plain(expected) == plain(got) else "value"
    if wanted_kind == "a DataFrame":
        if list(expected.columns) != list(got.columns):
            return f"the columns are {list(got.columns)} instead of {list(expected.columns)}"
        if len(expected) != len(got):
            return f"there are {len(got)} rows instead of {len(expected)}"
        expected = {name: expected[name].tolist() for name in expected.columns}
        got = {name: got[name].tolist() for name in got.columns}
    if wanted_kind == "a list":
        if len(expected) != len(got):
            return f"the length is {len(got)} instead of {len(expected)}"
        pairs = zip(expected, got, strict=True)
    elif isinstance(expected, Mapping):
        if set(expected) != set(got):
            return f"the keys are {sorted(map(str, got))} instead of {sorted(map(str, expected))}"
        pairs = ((expected[key], got[key]) for key in expected)
    else:
        # Only the reference's own type may say what is equal; the student's must not.
        same = type(got) is type(expected) and bool(expected == got)
        return None if same else "value"
    for a, b in pairs:
        found = difference(a, b, rtol=rtol, atol=atol)
        if found:
            return found if found == "value" else f"in an element, {found}"
    return None


_SCALARS = "a number", "a truth value"


def _difference_of_arrays(expected, got, rtol, atol):
    """`difference` from an array, or from a number, which is an array of no dimension."""
    wanted_kind, given_kind = _kind(expected), _kind(got)
    if _is_array(got) or given_kind in _SCALARS:
        given = _array(got)
    elif given_kind == "a list" and wanted_kind == "an array":
        given = _numbers(got)
    else:
        given = None
    wanted = _array(expected)
    if given is None:
        return f"you return {given_kind}, wanted is {wanted_kind}"
    if wanted.shape != given.shape:
        return f"the shape is {given.shape} instead of {wanted.shape}"
    if wanted.dtype.kind in "OUS" or given.dtype.kind not in "biuf":
        if given.dtype.kind in "OUS" and wanted.dtype.kind in "OUS":
            return difference(wanted.tolist(), given.tolist(), rtol=rtol, atol=atol)
        return f"the elements are of type {given.dtype} instead of {wanted.dtype}"
    if (wanted.dtype.kind == "b") != (given.dtype.kind == "b"):
        names = {True: "truth values", False: "numbers"}
        is_bool = wanted.dtype.kind == "b"
        return f"you return {names[not is_bool]}, wanted are {names[is_bool]}"
    alike = np.isclose(
        given.astype(float), wanted.astype(float), rtol=rtol, atol=atol, equal_nan=True
    )
    return None if alike.all() else "value"


# ------------------------------------------------------------------ wording
def _short(value, limit=90, digits=5):
    """A value in one short line."""
    if hasattr(value, "detach"):
        value = _array(value)
    if isinstance(value, np.ndarray):
        threshold, edge = (12, 2) if limit < 100 else (40, 6)
        text = np.array2string(
            value, precision=digits - 1, threshold=threshold, edgeitems=edge, separator=", "
        )
    elif isinstance(value, float | np.floating):
        text = f"{float(value):.{digits}g}"
    elif isinstance(value, np.generic):
        text = repr(value.item())
    elif isinstance(value, pd.DataFrame):
        text = f"DataFrame {value.shape} with columns {list(value.columns)}"
    elif isinstance(value, list | tuple) and len(value):
        most = 8 if limit < 100 else 30
        inner = ", ".join(_short(item, max(limit // 2, 40), digits) for item in value[:most]) + (
            ", …" if len(value) > most else ""
        )
        text = f"[{inner}]" if isinstance(value, list) else f"({inner})"
    elif isinstance(value, Mapping) and len(value):
        text = ", ".join(f"{k!r}: {_short(v, 40, digits)}" for k, v in value.items())
        text = "{" + text + "}"
    elif callable(value):
        text = f"<{getattr(value, '__name__', type(value).__name__)}>"
    else:
        text = repr(value)
        limit = min(limit, 150)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


#: Characters of one value in a message that shows an input in full.
_FULL = 400


def _both(expected, got):
    """Two values in full, with as many digits as it takes to see that they differ."""
    for digits in (5, 9, 17):
        texts = _short(expected, _FULL, digits), _short(got, _FULL, digits)
        if texts[0] != texts[1]:
            break
    return texts


def _inputs(case, function, limit=90):
    """The arguments of a case in words."""
    named = [f"{_parameter(function, i)} = {_short(a, limit)}" for i, a in enumerate(case.args)]
    named += [f"{name} = {_short(value, limit)}" for name, value in case.kwargs.items()]
    text = "; ".join(named) or "no arguments"
    return f"{text} ({case.note})" if case.note else text


def _size(case):
    """How much a reader has to look at in a case."""

    def count(value):
        if _is_array(value) or isinstance(value, pd.DataFrame):
            return int(np.size(value)) if not hasattr(value, "numel") else int(value.numel())
        if isinstance(value, Mapping):
            return sum(map(count, value.values())) + 1
        if isinstance(value, list | tuple | set):
            return sum(map(count, value)) + 1
        return 1 + len(value) // 20 if isinstance(value, str) else 1

    return sum(map(count, case.args)) + sum(map(count, case.kwargs.values()))


def _where(error, function):
    """Line of the student's code at which an error arose."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    trace, found = error.__traceback__, None
    while trace is not None:
        frame = trace.tb_frame
        if code is not None and frame.f_code.co_filename == code.co_filename:
            # Lambdas and inner functions of the same cell are the student's code, too.
            found = trace.tb_lineno
        trace = trace.tb_next
    if found is None:
        return ""
    line = linecache.getline(code.co_filename, found).strip()
    number = found - code.co_firstlineno + 1
    place = f" in line {number} of your function" if number > 0 else " in your code"
    return f"{place} (`{line}`)" if line else place


def _error_text(outcome, function, case):
    error = outcome.error
    if isinstance(error, Late):
        return "your function runs too long: does each of its loops end?"
    text = " ".join(str(error).split())[:200]
    kind = type(error).__name__
    return (
        f"{kind}{outcome.where}: {text or 'no message'}. Input: {_inputs(case, function)}"
    )


# ------------------------------------------------------------------ the check
def _cases(cases, seed):
    given = cases(np.random.default_rng(seed)) if callable(cases) else cases
    out = []
    for case in given:
        if isinstance(case, Case):
            out.append(case)
        elif isinstance(case, dict):
            out.append(Case(kwargs=case))
        else:
            out.append(Case(args=case if isinstance(case, tuple) else (case,)))
    if not out:
        raise ValueError("a check needs cases: give at least one input")
    return sorted(out, key=_size)


def _differs(expected, got, compare, case):
    """What distinguishes the outcome of a call from the reference's; None when they agree."""
    if expected.error is not None:
        wanted = type(expected.error).__name__
        if got.error is None:
            return f"you return {_kind(got.value)}, wanted is a {wanted}"
        # A more special error than the reference's is as good.
        alike = isinstance(got.error, type(expected.error))
        return None if alike else f"you raise {type(got.error).__name__}, wanted is {wanted}"
    if got.error is not None:
        return "error"
    try:
        return compare(expected.value, got.value, **({"atol": case.atol} if case.atol else {}))
    except Exception as error:
        # A comparison of the chapter's own may expect a well-formed value.
        return f"you return {_kind(got.value)} that cannot be read ({type(error).__name__})"


def run(
    exercise: str,
    student: Callable,
    reference: Callable,
    cases: Callable | Iterable,
    mistakes: Iterable[Mistake] = (),
    *,
    rtol: float = 1e-5,
    atol: float = 1e-6,
    compare: Callable | None = None,
    seconds: float | None = 20.0,
    seed: int = 0,
) -> Result:
    """Check a student's function against an independent reference.

    Parameters
    ----------
    exercise : str
        Name for the reader.
    student : callable
        The answer; anything else is told apart with a message.
    reference : callable
        Computes the expected result from the equation, by another way than the solution. Where it
        raises, the student's function must raise the same type.
    cases : callable or iterable
        Function of a numpy Generator that gives the inputs, or the inputs: a tuple of positional
        arguments, a dict of keyword arguments, a `Case`; anything else is the only argument. Edge
        inputs belong among them.
    mistakes : iterable of Mistake
        When the student's results are a mistake's, several wrong ones among them, its hint is the
        message.
    rtol, atol : float
        Tolerance of `difference`, wide enough for what is computed in single precision.
    compare : callable, optional
        ``compare(expected, got)`` returns None or what differs, in place of `difference`: for a
        task with several right results. Then the reference's is not shown.
    seconds : float or None
        Time limit of one call (on the main thread of Linux and macOS; None: no limit).
    seed : int
        Seed of the generator that `cases` gets.

    Returns
    -------
    Result
        Every error of the student's function becomes a message.

    Raises
    ------
    ValueError
        There are no cases.
    """
    inputs = _cases(cases, seed)
    shown = compare is None
    if shown:

        def compare(expected, got, atol=atol):
            return difference(expected, got, rtol=rtol, atol=atol)

    def say(passed, message):
        return Result(passed, message, exercise)

    if not callable(student):
        given = _kind(student)
        return say(False, f"Give the function itself, without calling it; you gave {given}.")
    # The expected values are there before the student's function sees any input.
    expected = [call(reference, case) for case in inputs]
    outcomes = answers(student, inputs, seconds)
    if isinstance(outcomes[-1].error, NotImplementedError):
        text = str(outcomes[-1].error).strip()
        return say(False, text if text.startswith(NOT_YET) else NOT_YET)
    failing = {
        i: found
        for i, got in enumerate(outcomes)
        if (found := _differs(expected[i], got, compare, inputs[i]))
    }
    if failing:
        hint = _known_mistake(mistakes, inputs, outcomes, failing, compare)
        return say(False, hint or _complaint(student, inputs, expected, outcomes, failing, shown))
    if changed := _changed(outcomes):
        return say(
            False,
            f"The result is right, but your function changes its input {changed}: work on a copy.",
        )
    number = len(inputs)
    return say(True, f"{_ALIKE} on {'the one input' if number == 1 else f'all {number} inputs'}.")


def answers(student, inputs, seconds):
    """Outcomes of the student's function, up to one that is not written yet or too slow."""
    if isinstance(student, Elsewhere):
        return student.outcomes(inputs, seconds)
    outcomes = []
    for case in inputs:
        outcomes.append(call(student, case, seconds))
        if isinstance(outcomes[-1].error, (NotImplementedError, Late)):
            break
    return outcomes


def _changed(outcomes):
    """The first input that the student's function changed, or None."""
    return next((o.changed for o in outcomes if o.changed), None)


def _complaint(student, inputs, expected, outcomes, failing, shown):
    """What is wrong, in words; `failing` says for each input that fails how it differs.

    Without `shown` there are several right results, and the reference's is not shown.
    """

    def told_apart(i):
        return len(set(_both(expected[i].value, outcomes[i].value))) == 2

    # What should work and does not comes first, by an input at which one sees it; then what should
    # be refused and is not.
    first = min(failing, key=lambda i: (expected[i].error is not None, not told_apart(i), i))
    if isinstance(outcomes[-1].error, Late):
        first = max(failing)
    found, case, got, want = failing[first], inputs[first], outcomes[first], expected[first]
    if got.error is not None and (want.error is None or isinstance(got.error, Late)):
        text = _error_text(got, student, case)
        return text[0].upper() + text[1:]
    told = [(o, e) for o, e in zip(outcomes, expected, strict=False) if e.error is None]
    # Where None is an answer, too, to return it throughout need not be a forgotten return.
    if all(o.value is None and o.error is None and e.value is not None for o, e in told):
        how = (
            "prints its result: return it instead"
            if got.printed
            else "returns nothing: does it end with return?"
        )
        return f"Your function {how}"
    if inspect.isgenerator(got.value) or isinstance(got.value, map | filter | zip):
        return "Your function returns a generator: make a list or an array of it."
    changed = _changed(outcomes)
    also = f" (It also changes its input {changed}: work on a copy.)" if changed else ""
    if want.error is not None:
        return f"{found[0].upper()}{found[1:]}. Input: {_inputs(case, student)}.{also}"
    what = "" if found == "value" else f"{found[0].upper()}{found[1:]}. "
    count = f"{len(failing)} of {len(inputs)} inputs fail. " if len(inputs) > 1 else ""
    wanted, given = _both(want.value, got.value)
    told = f"Expected {wanted}, got {given}" if shown else f"Got {given}"
    return f"{what}{count}Smallest input: {_inputs(case, student, _FULL)}. {told}.{also}"


def _known_mistake(mistakes, inputs, outcomes, failing, compare):
    """Hint of the mistake that is surely the student's; None when none is.

    Sure means that the student's results are the mistake's on every input, and wrong on several.
    Where the student's function ends in an error or in no finite number there may be a second
    mistake: when no mistake explains these inputs, the others decide.
    """
    second = None
    for mistake in mistakes:
        shared, plain, every = 0, 0, True
        for i, got in enumerate(outcomes):
            theirs = call(mistake.function, inputs[i])
            if theirs.error is not None and got.error is not None:
                alike = type(theirs.error) is type(got.error)
            else:
                alike = _differs(theirs, got, compare, inputs[i]) is None
            wrong = i in failing
            if alike:
                shared += wrong and got.error is None
                plain += wrong and not _astray(got)
            elif wrong and _astray(got):
                every = False
            else:
                break
        else:
            if every and shared >= SEVERAL:
                return mistake.hint
            if plain >= SEVERAL:
                second = second or mistake.hint
    return second


def _astray(outcome):
    """Whether a call ended in an error, or in numbers of which one is not finite."""
    if outcome.error is not None:
        return True
    numbers = _array(outcome.value) if _is_array(outcome.value) else _numbers(outcome.value)
    return numbers is not None and numbers.dtype.kind == "f" and not np.isfinite(numbers).all()


def calls_outside(function, *args):
    """What a function calls that is not of its own notebook: code's name and argument `method`.

    Parameters
    ----------
    function : callable
    *args
        It is called with them.

    Returns
    -------
    list of str
    """
    if isinstance(function, Elsewhere):
        return function.calls_outside(*args)
    own = getattr(inspect.unwrap(function), "__globals__", None)
    found = []

    def look(frame, event, argument):
        # A helper in another cell of the notebook shares the student's names.
        if event == "call" and own is not None and frame.f_globals is not own:
            found.append(f"{frame.f_code.co_name} {frame.f_locals.get('method', '')}")

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        function(*args)
    finally:
        sys.setprofile(before)
    return found


def result(exercise, passed, message):
    """A `Result` where `run` does not fit, e.g. of a choice that is judged by its effect."""
    return Result(bool(passed), message, exercise)
