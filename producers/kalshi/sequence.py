"""The sequence of one Kalshi subscription (sid) on one connection.

Decides whether a number is the next one, a replay or behind a hole. Acknowledgements were measured to consume numbers of the
data's own counter; should production count them apart, a data frame that continues the data's numbers exactly proves it, and
acknowledgements are ignored from then on. It must never take a hole for a replay.
"""

from enum import Enum, auto


class Verdict(Enum):
    """What a number says."""

    NEXT = auto()
    REPLAY = auto()
    HOLE = auto()


class Sequence:
    """Numbers of one sid, from its acknowledgement on."""

    __slots__ = ("_apart", "_data", "_last")

    def __init__(self) -> None:
        self._last = 0  # last number of any frame
        self._data = 0  # last number of a data frame
        self._apart = False  # acknowledgements are counted apart

    def take(self, seq: int, *, is_data: bool) -> Verdict:
        """Judge a number and stand at it, unless it is a replay."""
        if not is_data:
            if self._apart or seq <= self._last:
                return Verdict.REPLAY
            verdict = Verdict.NEXT if seq == self._last + 1 else Verdict.HOLE
            self._last = seq
            return verdict
        if seq == self._last + 1:
            verdict = Verdict.NEXT
        elif seq <= self._last:
            if seq != self._data + 1:
                return Verdict.REPLAY
            self._apart = True
            verdict = Verdict.NEXT
        else:
            verdict = Verdict.HOLE
        self._last = self._data = seq
        return verdict
