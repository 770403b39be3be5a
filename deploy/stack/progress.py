"""Whether something that is waited for still comes nearer: the end of a wait is decided by progress, not by a clock alone.

Decides when to give up: nothing moved for a while, or a bound that no working machine reaches. A slow machine that works is waited
for. Must never read a clock: the time is handed in.
"""

from collections.abc import Hashable
from typing import Final, Literal, TypeAlias

#: Longer than anything that a stage does without moving: its restart, a rebalance, a batch on a machine that is busy.
STILL_S: Final = 90.0
#: A wait that moves goes on for so long at most.
BOUND_S: Final = 3_600.0

Verdict: TypeAlias = Literal["moves", "stands still", "takes too long"]


class Progress:
    """Looks at a position again and again."""

    def __init__(self, now_s: float, *, still_s: float = STILL_S, bound_s: float = BOUND_S) -> None:
        self._began_s = self._moved_s = now_s
        self._still_s, self._bound_s = still_s, bound_s
        self._last: Hashable = None

    def look(self, now_s: float, position: Hashable) -> Verdict:
        """What to make of the position at this time: any value that differs from the one before is a move."""
        if position != self._last:
            self._last, self._moved_s = position, now_s
        if now_s - self._began_s > self._bound_s:
            return "takes too long"
        return "stands still" if now_s - self._moved_s > self._still_s else "moves"
