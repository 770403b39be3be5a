"""What silence of one instrument is unlike it, and when its book is held against REST.

Decides from the stamps of the instrument's own book frames alone: another instrument's, another channel's or a ping proves nothing
about it. A book is `assured` by a frame of its own, or by a REST book equal to it, as of when that was asked for. After half of the
silence that its habit allows it is due to be held against REST, and beyond all of it, not yet held, it is doubtful. Two
comparisons in a row that differ while no frame came prove that the instrument is mute. Must never read a clock.
"""

from collections import deque
from enum import Enum, auto

SECOND_NS = 1_000_000_000
#: The habit's bounds. Below two seconds silence is told from no jitter; beyond fifteen no book stands without proof, however quiet
#: its market: 200 such books are one batch of REST books every few seconds.
LIMIT_LEAST_NS = 2 * SECOND_NS
LIMIT_MOST_NS = 15 * SECOND_NS
#: Until the habit is known.
LIMIT_FIRST_NS = 5 * SECOND_NS
#: Gaps remembered, and how many of them make a habit.
GAPS = 32
GAPS_KNOWN = 8
#: A gap is noted at most this often, so that a burst of frames is one moment and not forty.
SAMPLE_NS = SECOND_NS // 10
#: The silence allowed, in 90th percentiles of the gaps. For arrivals at random (exponential gaps) one gap in a thousand is longer.
PERCENTILES = 3
#: A comparison that differs is believed only after frames that were under way have had this long to arrive.
SETTLE_NS = 300_000_000
RETRY_FIRST_NS = SECOND_NS
RETRY_MOST_NS = 30 * SECOND_NS
#: An instrument that stayed mute ends its connection at most this often; the wait doubles while it does not mend.
PATIENCE_FIRST_NS = 60 * SECOND_NS
PATIENCE_MOST_NS = 900 * SECOND_NS


class Verdict(Enum):
    """What a comparison with REST says."""

    NOTHING = auto()  # REST did not answer, or the book moved meanwhile
    EQUAL = auto()
    DIFFERS = auto()  # once: frames may be under way
    MUTE = auto()  # twice, and no frame came between


class Silence:
    """One instrument of one feed. The habit outlives a connection; the rest starts over with it."""

    __slots__ = (
        "_check_at_ns", "_gaps", "_limit_ns", "_not_before_ns", "_patience_ns", "_patient_until_ns", "_quiet_ns", "_retry_ns",
        "_sampled_ns", "_strikes", "asked_ns", "assured_ns", "heard_ns", "urgent",
    )  # fmt: skip

    def __init__(self) -> None:
        self._gaps: deque[int] = deque(maxlen=GAPS)
        self._limit_ns = 0  # 0: to be worked out
        self._quiet_ns = 0  # longest silence of late that REST confirmed to be a quiet market
        self._patience_ns = PATIENCE_FIRST_NS
        self._patient_until_ns = 0
        self.begin(0)

    def begin(self, ts_ns: int) -> None:
        """A new connection: nothing was heard on it yet."""
        self.heard_ns = 0  # 0: not on this connection
        self.assured_ns = ts_ns
        self.asked_ns = 0  # 0: no comparison is under way
        self.urgent = False
        self._sampled_ns = 0
        self._strikes = 0
        self._check_at_ns = 0  # 0: not set
        self._not_before_ns = 0
        self._retry_ns = RETRY_FIRST_NS

    # -- what came

    def heard(self, ts_ns: int) -> None:
        """A book frame of this instrument came by itself."""
        before = self.heard_ns
        if before and ts_ns - self._sampled_ns >= SAMPLE_NS:
            self._sampled_ns = ts_ns
            self._gaps.append(ts_ns - before)
            self._limit_ns = 0
        self.heard_ns = self.assured_ns = ts_ns
        self._strikes = 0

    def answered(self, ts_ns: int) -> None:
        """A whole book came because it was asked for: proof of the book, but no part of the habit."""
        self.heard_ns = self.assured_ns = ts_ns
        self._strikes = 0

    def vouched(self, ts_ns: int) -> None:
        """A whole book was read aside: proof of the book, none that its stream lives."""
        self.assured_ns = max(self.assured_ns, ts_ns)
        self._strikes = 0

    # -- what time decides

    @property
    def limit_ns(self) -> int:
        """How long the instrument may be silent before its book is doubted."""
        if not self._limit_ns:
            if len(self._gaps) < GAPS_KNOWN:
                limit_ns = max(LIMIT_FIRST_NS, 2 * self._quiet_ns)
            else:
                limit_ns = PERCENTILES * sorted(self._gaps)[len(self._gaps) * 9 // 10]
            self._limit_ns = min(LIMIT_MOST_NS, max(LIMIT_LEAST_NS, limit_ns))
        return self._limit_ns

    def doubtful(self, ts_ns: int) -> bool:
        """Whether it was silent for longer than its habit and nobody has looked."""
        return ts_ns - self.assured_ns > self.limit_ns

    def due(self, ts_ns: int, check_ns: int) -> bool:
        """Whether its book is to be held against REST now: silent, differed once, urgent, or not looked at for `check_ns`."""
        if self.asked_ns:
            return False
        if not self._check_at_ns:
            self._check_at_ns = ts_ns + check_ns
        if self._strikes or ts_ns < self._not_before_ns:
            return ts_ns >= self._not_before_ns
        return self.urgent or 2 * (ts_ns - self.assured_ns) >= self.limit_ns or ts_ns >= self._check_at_ns

    # -- comparisons

    def ask(self, ts_ns: int) -> None:
        """A REST book is being read."""
        self.asked_ns = ts_ns
        self.urgent = False

    def judge(self, *, differs: bool | None, ts_ns: int, check_ns: int, settle_ns: int = SETTLE_NS) -> Verdict:
        """Take the answer to `ask`: whether the book differs, None when REST says nothing."""
        asked_ns, self.asked_ns = self.asked_ns, 0
        moved = self.heard_ns >= asked_ns
        if differs is None:
            self._not_before_ns = ts_ns + self._retry_ns
            self._retry_ns = min(RETRY_MOST_NS, 2 * self._retry_ns)
            return Verdict.NOTHING
        self._retry_ns = RETRY_FIRST_NS
        self._not_before_ns = 0
        if not differs:
            self.assured_ns = max(self.assured_ns, asked_ns)
            self._check_at_ns = ts_ns + check_ns
            self._strikes = 0
            if self.heard_ns and asked_ns - self.heard_ns > self._quiet_ns:
                self._quiet_ns = min(LIMIT_MOST_NS, asked_ns - self.heard_ns)
                self._limit_ns = 0
            return Verdict.EQUAL
        if moved:  # the two were never the same moment: look again before long
            self._check_at_ns = ts_ns + check_ns // 4
            return Verdict.NOTHING
        self._strikes += 1
        if self._strikes == 1:
            self._not_before_ns = ts_ns + settle_ns
            return Verdict.DIFFERS
        self._strikes = 0
        self._check_at_ns = ts_ns + check_ns
        return Verdict.MUTE

    # -- patience

    def may_end(self, ts_ns: int) -> bool:
        """Whether this instrument may end the connection now; counts as done when it may."""
        if ts_ns < self._patient_until_ns:
            return False
        self._patient_until_ns = ts_ns + self._patience_ns
        self._patience_ns = min(PATIENCE_MOST_NS, 2 * self._patience_ns)
        return True

    def mended(self) -> None:
        """It speaks again by itself."""
        self._patience_ns = PATIENCE_FIRST_NS
        self._patient_until_ns = 0
