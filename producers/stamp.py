"""The receive stamp of the producers: wall time that never steps back.

Decides `ts_received_ns` of everything that a process writes. A wall clock that steps back by more than a moment is ignored
and the stamp goes on at the pace of the monotonic clock; a step ahead is adopted (the folds ask a second feed before they
believe it). It must never give a stamp below an earlier one.
"""

import time
from collections.abc import Callable

#: A wall clock behind by less than this is waited for; NTP slews by less.
STEP_NS = 50_000_000


class ReceiveStamp:
    """Callable: the stamp of now, Unix ns, at least as large as every stamp before it."""

    __slots__ = ("_last_ns", "_monotonic", "_monotonic_ns", "_wall")

    def __init__(
        self, *, wall: Callable[[], int] = time.time_ns, monotonic: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._last_ns = 0
        self._monotonic_ns = monotonic()

    def __call__(self) -> int:
        """The stamp of now."""
        wall_ns, monotonic_ns = self._wall(), self._monotonic()
        if wall_ns < self._last_ns:
            passed_ns = monotonic_ns - self._monotonic_ns
            wall_ns = self._last_ns + (passed_ns if self._last_ns - wall_ns > STEP_NS else 0)
        self._last_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        return wall_ns

    def raise_to(self, floor_ns: int) -> None:
        """Never stamp below this: the last stamp that an earlier process wrote, if it lies in the near past or future."""
        self._last_ns = max(self._last_ns, floor_ns)
