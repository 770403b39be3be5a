"""Rows that come twice: a recording that was joined with itself, or written by two recorders.

Decides whether a numbered row was seen before: an equal one is a repeat and dropped, another one under the same number contradicts it
and is dropped as well; the caller then trusts its book no more. An unchanged state under a new number or at a later time is neither. A row is
compared by a 64-bit fingerprint of all its columns. What is kept is 16 bytes a row of what is open, never the rows.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from producers.recordings.columns import Column, Columns

Flags = NDArray[np.bool_]
Prints = NDArray[np.uint64]
REPEATED: Final = "repeated rows, equal to an earlier one"
CONTRADICTING: Final = "rows that contradict an earlier one of the same number"
#: Odd numbers with no pattern (the fraction of the golden ratio and its powers), one a column.
_GOLDEN: Final = 0x9E3779B97F4A7C15


def fingerprints(columns: Columns, names: Sequence[str]) -> Prints:
    """A number a row that two different rows share with a chance of 2^-64."""
    found = np.zeros(len(columns[names[0]]), dtype=np.uint64)
    factor = _GOLDEN
    for name in names:
        found += columns[name].view(np.uint64) * np.uint64(factor)
        factor = (factor * _GOLDEN | 1) & (2**64 - 1)
    return found


class Judged(NamedTuple):
    """Rows that repeat an earlier one, and rows that contradict one."""

    repeated: Flags
    contradicting: Flags


class Repeats:
    """Rows of one market in the order of their numbers.

    Rows of one message share a number: `follows` says that a row belongs to the message of the row before it.
    """

    __slots__ = ("_late", "_message_late", "_numbers", "_print", "_prints", "_top", "_verdict")

    def __init__(self) -> None:
        self._top = -(2**63)
        self._numbers: list[Column] = []
        self._prints: list[Prints] = []
        self._late: dict[int, set[int]] = {}  # numbers that came after greater ones, for the first time
        self._verdict = False  # whether the row before was dropped
        self._message_late = False
        self._print = np.uint64(0)  # of the row before

    def judge(self, numbers: Column, prints: Prints, follows: Flags) -> Judged | None:
        """Judge the next rows; None where all of them are new, which is the rule."""
        rows = len(numbers)
        before = np.empty(rows, dtype=np.int64)
        before[0] = self._top
        np.maximum.accumulate(numbers[:-1], out=before[1:])
        np.maximum(before, self._top, out=before)
        late = (numbers < before) | ((numbers == before) & ~follows)
        # A row of a message that came late is late as well, and so is one that says again what the row before it said.
        begins = np.maximum.accumulate(np.where(follows, -1, np.arange(rows)))
        late |= follows & np.where(begins >= 0, late[begins], self._message_late)
        late |= follows & (prints == np.append(self._print, prints[:-1]))
        self._message_late = bool(late[begins[-1]]) if begins[-1] >= 0 else self._message_late
        self._print = prints[-1]
        self._top = max(self._top, int(before[-1]), int(numbers[-1]))
        if not late.any():
            self._keep(numbers, prints)
            self._verdict = False
            return None
        self._keep(numbers[~late], prints[~late])
        repeated, contradicting = np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.bool_)
        known, marks = np.concatenate(self._numbers), np.concatenate(self._prints)
        self._numbers, self._prints = [known], [marks]
        numbers_of, prints_of = known.tolist(), marks
        for row in range(rows):
            if not late[row]:
                self._verdict = False
                continue
            number, mark = int(numbers[row]), int(prints[row])
            first, last = bisect_left(numbers_of, number), bisect_right(numbers_of, number)
            seen = self._late.get(number, set())
            if mark in seen or mark in prints_of[first:last].tolist():
                repeated[row] = self._verdict = True
            elif (first == last and not seen) or (follows[row] and not self._verdict):
                self._late.setdefault(number, set()).add(mark)
                self._verdict = False
            else:
                contradicting[row] = self._verdict = True
        return Judged(repeated, contradicting)

    def _keep(self, numbers: Column, prints: Prints) -> None:
        if len(numbers):
            self._numbers.append(numbers.copy())
            self._prints.append(prints.copy())
