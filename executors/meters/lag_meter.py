"""How far the executor is behind one partition of `market`, by the broker's append times and the wall clock that it is handed.

Decides what counts as lag: how old a record was when it was read, and how much of the log lies between the newest record read and the
first that still waits for decide's proof. A market that says nothing is no lag, and neither is a recording, whose records are not
measured. Must never read a clock.
"""

from collections import deque


class LagMeter:
    """Measures one partition. All times are Unix ns. Nothing is `known` before the first record: after a restart, 0 would be a guess."""

    def __init__(self) -> None:
        self.known = False
        self._age_ns = 0
        self._newest_ns = 0
        self._waiting: deque[tuple[int, int]] = deque()  # (position, append time): the last record of each append time

    def read(self, position: int, append_ns: int, now_ns: int, *, recorded: bool = False) -> None:
        """A record was read; `recorded`: its log repeats a recording, at whatever pace."""
        self.known = True
        if recorded:
            return
        self._age_ns = max(0, now_ns - append_ns)
        self._newest_ns = append_ns
        if self._waiting and self._waiting[-1][1] == append_ns:
            self._waiting.pop()
        self._waiting.append((position, append_ns))

    def lag_ns(self, folded: int, now_ns: int, *, paused: bool) -> int:
        """The lag when the lane has folded a position; `paused`: reading waits for the lane, so that only time tells how long."""
        while self._waiting and self._waiting[0][0] <= folded:
            self._waiting.popleft()
        if not self._waiting:
            return self._age_ns
        return max(self._age_ns, (now_ns if paused else self._newest_ns) - self._waiting[0][1])
