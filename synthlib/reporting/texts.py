"""What a selection does to texts, counted in one pass over rows of any number.

Sums, words and a small sample are kept, and of each text a number of eight bytes, never the texts
themselves: a hundred thousand rows take megabytes.
"""

from __future__ import annotations

import hashlib
import heapq
import math
import re
from collections import Counter
from dataclasses import dataclass, field

from synthlib import curation

LEAST = 5  # sentences that a word stands in, to be compared
CLEAR = 2.0  # standard errors from which a word's log odds are shown
# A run of letters; of scripts that part no words, each sign.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+(?:['’]\w+)*")

RULE = (
    f"For each word that stands in at least {LEAST} of the starting sentences, the odds that a "
    "kept one holds it are divided by the odds that one left out does (½ added to each of the "
    f"four counts). Words whose logarithm lies {CLEAR:g} standard errors or more from 0 are "
    "shown, the clearest first; of a hundred words some five lie so far out by chance."
)


def words(text) -> list[str]:
    """The words of a text, in lower case."""
    return _WORD.findall(str(text).casefold())


def seen_as(text) -> bytes:
    """Eight bytes that tell a text from others, by the rule of `curation.folded`."""
    return hashlib.blake2b(curation.folded(text).encode("utf-8", "replace"), digest_size=8).digest()


class Sample:
    """The rows that a seed draws, whatever order they come in.

    Parameters
    ----------
    size, seed : int
    """

    def __init__(self, size, seed):
        self.size, self.seed, self.held = size, seed, []

    def offer(self, number, row) -> None:
        """A row and its number."""
        key = f"{self.seed}:{number}".encode()
        place = -int.from_bytes(hashlib.blake2b(key, digest_size=8).digest())
        if len(self.held) < self.size:
            heapq.heappush(self.held, (place, number, row))
        elif self.held and place > self.held[0][0]:
            heapq.heapreplace(self.held, (place, number, row))

    def rows(self) -> list:
        """What was drawn, in the order of the numbers."""
        return [row for _, _, row in sorted(self.held, key=lambda one: one[1])]


@dataclass
class Column:
    """Of one kind of text among rows."""

    texts: int = 0
    words: int = 0
    blank: int = 0
    copies: int = 0
    seen: set = field(default_factory=set)

    @property
    def repeated(self) -> int:
        """Texts that another one was equal to before; blanks are counted apart."""
        return self.texts - self.blank - len(self.seen)


class Texts:
    """Rows of an anchor and the texts that were written for it: kept, left out, or undecided.

    Attributes
    ----------
    columns : dict of (bool or None, str) to Column
        By whether the row was kept (None: that is not decided yet), and the kind of text.
    vocabulary : dict of bool or None to set
        Of all texts.
    holding : dict of bool or None to Counter
        Word to the number of anchors that hold it.
    anchors : dict of bool or None to int
    """

    def __init__(self, kinds):
        self.kinds = ("anchor", *kinds)
        states = (True, False, None)
        self.columns = {(keep, kind): Column() for keep in states for kind in self.kinds}
        self.vocabulary = {keep: set() for keep in states}
        self.holding = {keep: Counter() for keep in states}
        self.anchors = dict.fromkeys(states, 0)

    def add(self, keep, anchor, **written) -> None:
        """A row; `written`: kind to a text, or to several."""
        found = words(anchor)
        self.anchors[keep] += 1
        self.holding[keep].update(set(found))
        self._count(keep, "anchor", anchor, found, None)
        for kind, texts in written.items():
            for text in [texts] if isinstance(texts, str) else texts:
                self.add_text(keep, kind, text, anchor)

    def add_text(self, keep, kind, text, anchor) -> None:
        """A text that was written for an anchor, and kept or left out by itself."""
        self._count(keep, kind, text, words(text), anchor)

    def _count(self, keep, kind, text, found, anchor):
        column = self.columns[keep, kind]
        column.texts += 1
        column.words += len(found)
        self.vocabulary[keep].update(found)
        if not text.strip():
            column.blank += 1
            return
        column.seen.add(seen_as(text))
        column.copies += anchor is not None and seen_as(anchor) == seen_as(text)

    def whole(self, kind) -> Column:
        """Of all rows together."""
        parts = [self.columns[keep, kind] for keep in (True, False, None)]
        counts = [sum(getattr(part, name) for part in parts)
                  for name in ("texts", "words", "blank", "copies")]  # fmt: skip
        return Column(*counts, set().union(*(part.seen for part in parts)))

    def contrast(self) -> list[tuple]:
        """Words by how much more often kept anchors hold them: (word, kept, left out, z)."""
        kept, left = self.holding[True], self.holding[False]
        found = []
        for word in kept.keys() | left.keys():
            if kept[word] + left[word] < LEAST:
                continue
            cells = [
                kept[word] + 0.5, self.anchors[True] - kept[word] + 0.5,
                left[word] + 0.5, self.anchors[False] - left[word] + 0.5,
            ]  # fmt: skip
            odds = math.log(cells[0] * cells[3] / (cells[1] * cells[2]))
            z = odds / math.sqrt(sum(1 / cell for cell in cells))
            found.append((word, kept[word], left[word], z))
        return sorted(found, key=lambda one: (-one[3], one[0]))
