"""What was asked of an API, answered and paid: one append-only file, and a budget.

A line of the file is one JSON object:

    {"asked": KEY, "most": [IN, OUT]}                 before an attempt, with its most tokens
    {"unpaid": KEY}                                   the endpoint said no, so it costs nothing
    {"key": KEY, "text": …, "in": N, "out": N}        an answer, with the tokens that it took

An attempt of which only the first line is there (a connection that was cut, a run that was killed)
may have been paid for: it counts at its most. An answer is written before it is used; a line that
a stop has cut off is none.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections import Counter
from pathlib import Path


class BudgetSpent(ValueError):
    """The next request might cost more than is left."""


class Budget:
    """Tokens, their price, and how much of it may be spent.

    Parameters
    ----------
    most : float, optional
        In the currency of the prices, or in tokens where there are none.
    price_in, price_out : float, optional
        Of a million tokens.
    """

    def __init__(self, most=None, price_in=None, price_out=None):
        if (price_in is None) != (price_out is None):
            raise ValueError("price_in and price_out go together: give both, or none")
        self.most, self.prices = most, None
        if price_in is not None:
            self.prices = (price_in / 1e6, price_out / 1e6)
        self.tokens, self.lost = [0, 0], [0, 0]  # in and out: answered, and perhaps paid for
        self.answered = self.attempts_lost = 0
        self._flying, self._many, self._changed = [0, 0], 0, threading.Condition()

    def cost(self, tokens) -> float:
        """Of (tokens in, tokens out): money, or tokens where there is no price."""
        prices = self.prices or (1, 1)
        return tokens[0] * prices[0] + tokens[1] * prices[1]

    @property
    def spent(self) -> float:
        """What is paid, or may be."""
        return self.cost(self.tokens) + self.cost(self.lost)

    def reserve(self, most, stop=None) -> bool:
        """Take a request's most out of what is left; wait where others in flight hold it.

        Returns
        -------
        bool
            False where the event `stop` is set: then nothing is taken.

        Raises
        ------
        BudgetSpent
            Where nothing is in flight and it does not fit.
        """
        with self._changed:
            while not (stop and stop.is_set()):
                held = _sum(self._flying, most)
                if self.most is None or self.spent + self.cost(held) <= self.most:
                    self._flying, self._many = held, self._many + 1
                    return True
                if not self._many:
                    raise BudgetSpent(self._over(most))
                self._changed.wait()
            return False

    def settle(self, most, used=None, *, lost=False) -> None:
        """Give back a reservation; count what was used, or the most where the answer was lost."""
        with self._changed:
            self._flying, self._many = _sum(self._flying, (-most[0], -most[1])), self._many - 1
            self.count(used, most if lost else None)
            self._changed.notify_all()

    def count(self, used=None, lost=None) -> None:
        """Add an answer's tokens, or those of an attempt that may have been paid for."""
        if used is not None:
            self.tokens = _sum(self.tokens, used)
            self.answered += 1
        if lost is not None:
            self.lost = _sum(self.lost, lost)
            self.attempts_lost += 1

    def wake(self) -> None:
        """Let those who wait look again."""
        with self._changed:
            self._changed.notify_all()

    def _over(self, most):
        unit = "" if self.prices else " tokens"
        return (
            f"the budget of {_number(self.most)}{unit} is spent: {_number(self.spent)}{unit} for "
            f"{self.answered:,} answers, which are kept, and the next may cost "
            f"{_number(self.cost(most))}: give the same command with a larger --budget"
        )

    def said(self) -> str:
        """One line: answers, tokens, money."""
        text = f"{self.answered:,} answers, {self.tokens[0]:,} tokens in, {self.tokens[1]:,} out"
        if self.prices:
            text += f": {_number(self.cost(self.tokens))}"
        if self.attempts_lost:
            text += (
                f"; {self.attempts_lost:,} attempts without an answer may have been paid for, at "
                f"most {_number(self.cost(self.lost))}" + ("" if self.prices else " tokens")
            )
        return text


def _sum(a, b) -> list[int]:
    return [a[0] + b[0], a[1] + b[1]]


def _number(value) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:.4g}"


class Answers:
    """The answers of a run by what was asked, kept in a file or in memory.

    Parameters
    ----------
    file : path, optional
    budget : Budget
        Gets what the file says was paid.
    """

    def __init__(self, file=None, budget=None):
        self.file, self.budget = file and Path(file), budget or Budget()
        self._lock, self._place, self._held, self._most = threading.Lock(), {}, {}, {}
        self._descriptor, self._end = None, 0
        if self.file:
            self._open()

    @staticmethod
    def key(request: dict) -> str:
        """Of a request: a digest of its content."""
        text = json.dumps(request, sort_keys=True, ensure_ascii=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def _open(self):
        open_ = Counter()  # attempts without an end
        mosts, end = {}, 0
        if self.file.is_file():
            with self.file.open("rb") as stream:
                for line in stream:
                    at, end = end, end + len(line)
                    try:
                        entry = json.loads(line)
                        kind, key = next(iter(entry.items()))
                        if kind == "asked":
                            open_[key] += 1
                            mosts[key] = tuple(entry["most"])
                        elif kind == "unpaid":
                            open_[key] -= 1
                        elif kind == "key":
                            used = entry["in"], entry["out"]
                            self._place[key] = (at, len(line))
                            if not entry.get("refused"):
                                open_[key] -= 1
                                self.budget.count(used)
                    except (ValueError, TypeError, KeyError, AttributeError, StopIteration):
                        continue  # cut off, or damaged: asked again
        for key, many in open_.items():
            for _ in range(max(many, 0)):
                self.budget.count(lost=mosts[key])
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(self.file, flags, 0o666)
        self._end = end
        if end:
            os.lseek(self._descriptor, end - 1, os.SEEK_SET)
            if os.read(self._descriptor, 1) != b"\n":
                self._append(b"\n")

    def get(self, key) -> dict | None:
        """The answer to a request, or None."""
        if key in self._held:
            return self._held[key]
        if key not in self._place:
            return None
        at, size = self._place[key]
        with self._lock:
            os.lseek(self._descriptor, at, os.SEEK_SET)
            return json.loads(os.read(self._descriptor, size))

    def before(self, key, most, stop=None) -> bool:
        """Note an attempt before it is made; as `Budget.reserve`, for which it may wait."""
        if not self.budget.reserve(most, stop):
            return False
        self._most[key] = most
        self._write({"asked": key, "most": list(most)})
        return True

    def unpaid(self, key) -> None:
        """The attempt costs nothing."""
        self._write({"unpaid": key})
        self.budget.settle(self._most[key])

    def lost(self, key) -> None:
        """Nobody knows whether the attempt is paid for."""
        self.budget.settle(self._most[key], lost=True)

    def keep(self, key, used, **answer) -> None:
        """Keep an answer."""
        entry = {"key": key, **answer, "in": used[0], "out": used[1]}
        place = self._write(entry)
        if place is None:
            self._held[key] = entry
        else:
            self._place[key] = place
        if not answer.get("refused"):
            self.budget.settle(self._most.pop(key), used)

    def _write(self, entry):
        if self._descriptor is None:
            return None
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        return self._append(line)

    def _append(self, line):
        with self._lock:
            try:
                # One system call: each lets other threads run, and they wait for the lock.
                left, at = line[os.write(self._descriptor, line) :], self._end
                while left:
                    left = left[os.write(self._descriptor, left) :]
                self._end += len(line)
            except OSError as error:
                self._end = os.fstat(self._descriptor).st_size  # a part of it may be there
                if error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise OSError(
                        f"the disk is full: {self.file} could not be written. What was answered "
                        "before is kept; make room and run the same command again"
                    ) from None
                raise
            return at, len(line)

    def close(self) -> None:
        """Onto the disk, and closed; a file in which nothing was answered or lost is removed."""
        if self._descriptor is not None:
            os.fsync(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None
            if not self._place and not self.budget.attempts_lost:
                self.file.unlink(missing_ok=True)
