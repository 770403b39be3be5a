"""How far a feed runs behind its own best.

Decides from two stamps of each change, the venue's and ours. A venue's stamp never proves that a book is fresh (its clock may be
ahead), but it can disprove it: when changes come much later after their stamp than the fastest of the last minutes did, they wait
somewhere between the venue and us. Must never read a clock, and never look at the stamps of whole books: those say when a book last
changed, which may be long ago.
"""

from collections import deque

SECOND_NS = 1_000_000_000
#: So much later than the best, and the books are of another time.
BEHIND_NS = 2 * SECOND_NS
#: The best is that of so many stretches of this length: ten minutes, after which a clock that was set counts as what it is.
BUCKET_NS = 30 * SECOND_NS
BUCKETS = 20
#: More than this between two clocks is taken for lateness. With BEHIND_NS: nothing later than five seconds is ever timely.
CLOCK_ERROR_MAX_NS = 3 * SECOND_NS
#: One late change among timely ones is the venue's slip: it counts only when no timely one came for this long, or after another.
#: The feed is on time again when a timely change comes and none was late for as long.
SLIP_NS = SECOND_NS
#: A feed that stays behind dials anew after this; the wait doubles while that does not help.
PATIENCE_FIRST_NS = 10 * SECOND_NS
PATIENCE_MOST_NS = 300 * SECOND_NS


class Lateness:
    """One feed. `behind_ns` is how far it is behind its best, 0 while it is on time.

    The best outlives a connection, and so does being behind: what delays changes delays the first books of the next connection too,
    so only a change that is timely ends it.
    """

    __slots__ = ("_best", "_bucket", "_buckets", "_late_ns", "_patience_ns", "_since_ns", "_timely_ns", "behind_ns")

    def __init__(self) -> None:
        self._buckets: deque[int] = deque(maxlen=BUCKETS)  # least delay of each stretch; the last is the present one
        self._bucket = 0
        self._best = CLOCK_ERROR_MAX_NS
        self._patience_ns = PATIENCE_FIRST_NS
        self.behind_ns = 0
        self.begin()

    def begin(self) -> None:
        """A new connection: no change came on it yet."""
        self._late_ns = 0  # when the last late change came; 0: none did on this connection
        self._timely_ns = 0
        self._since_ns = 0  # since when changes of this connection are late; 0: they are not

    def take(self, delay_ns: int, ts_ns: int) -> bool:
        """Take how long after its venue stamp a change came; whether the feed fell behind or is on time again."""
        if ts_ns // BUCKET_NS != self._bucket:
            self._next_bucket(ts_ns // BUCKET_NS)
        if delay_ns < self._buckets[-1]:
            self._buckets[-1] = delay_ns
            self._best = min(self._best, delay_ns)
        over_ns = delay_ns - self._best
        if over_ns <= BEHIND_NS:
            self._timely_ns = ts_ns
            if not self.behind_ns or ts_ns - self._late_ns < SLIP_NS:
                return False
            self.behind_ns = self._since_ns = 0
            self._patience_ns = PATIENCE_FIRST_NS
            return True
        slip = self._late_ns <= self._timely_ns and ts_ns - self._timely_ns < SLIP_NS
        self._late_ns = ts_ns
        if self.behind_ns:
            self.behind_ns = over_ns
            self._since_ns = self._since_ns or ts_ns
            return False
        if slip:
            return False
        self.behind_ns = over_ns
        self._since_ns = ts_ns
        return True

    @property
    def late_here(self) -> bool:
        """Whether changes of this very connection are late."""
        return bool(self._since_ns)

    def gives_up(self, ts_ns: int) -> bool:
        """Whether the feed was behind for so long that a new connection is to be tried; counts as done when it is."""
        if not self._since_ns or ts_ns - self._since_ns < self._patience_ns:
            return False
        self._patience_ns = min(PATIENCE_MOST_NS, 2 * self._patience_ns)
        self._since_ns = ts_ns
        return True

    def _next_bucket(self, bucket: int) -> None:
        passed = bucket - self._bucket
        if passed < 0 or passed >= BUCKETS:
            self._buckets.clear()
        else:
            self._buckets.extend([CLOCK_ERROR_MAX_NS] * (passed - 1))
        self._buckets.append(CLOCK_ERROR_MAX_NS)
        self._bucket = bucket
        self._best = min(self._buckets)
