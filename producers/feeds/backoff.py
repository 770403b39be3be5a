"""When a connection may be dialled again: a growing wait for each feed, and a budget of dials for each venue.

Decides waits only; the shell sleeps. A dial that brought data and lasted starts the row of waits anew; one that failed, brought
nothing of what was asked for or was cut soon makes the next wait longer, whatever an earlier dial brought. Must never read a
clock or draw: now and the jitter are arguments.
"""

from collections import deque

SECOND_NS = 1_000_000_000
#: A connection that served for this long was a good one. Shorter ones are a row of failures with data in them: a venue that
#: answers and cuts at once would otherwise be dialled several times a second.
LASTED_NS = 10 * SECOND_NS
WINDOW_NS = 300 * SECOND_NS
#: Dials in five minutes, all connections to a venue together, unless its row says otherwise. Binance bans an address at 300; Kalshi
#: and Polymarket publish no number. A fifth of Binance's leaves room for whoever else dials from here.
DIALS_MAX = 60
_SHIFT_MAX = 40


class DialBudget:
    """Dials of all connections to one venue, within a sliding window. All times are on one monotonic clock, ns."""

    def __init__(self, dials_max: int = DIALS_MAX, window_ns: int = WINDOW_NS) -> None:
        assert dials_max > 0, "a venue that may never be dialled is not enabled"
        self._dials: deque[int] = deque(maxlen=dials_max)
        self._window_ns = window_ns
        self._refused_until_ns = 0

    def wait_ns(self, now_ns: int) -> int:
        """How long until the next dial is allowed; 0: now."""
        free_ns = self._refused_until_ns
        if len(self._dials) == self._dials.maxlen:
            free_ns = max(free_ns, self._dials[0] + self._window_ns)
        return max(0, free_ns - now_ns)

    def dialled(self, now_ns: int) -> None:
        """Note a dial; the caller waited for `wait_ns` first."""
        assert self.wait_ns(now_ns) == 0, "a dial beyond the budget"
        self._dials.append(now_ns)

    def refused(self, now_ns: int, for_ns: int) -> None:
        """The venue asked not to be dialled for a while."""
        self._refused_until_ns = max(self._refused_until_ns, now_ns + for_ns)


class Redial:
    """The waits of one feed: exponential from `first_ns`, at most `most_ns`, each jittered between half and the whole."""

    def __init__(self, first_ns: int, most_ns: int, lasted_ns: int = LASTED_NS) -> None:
        self._first_ns = first_ns
        self._most_ns = most_ns
        self._lasted_ns = lasted_ns
        self.attempt = 0

    def wait_ns(self, *, brought_data: bool, open_ns: int, jitter: float) -> int:
        """The wait after a dial: whether it brought data that was wanted, how long it was open, and a number in [0, 1)."""
        good = brought_data and open_ns >= self._lasted_ns
        self.attempt = 0 if good else self.attempt + 1
        whole_ns = min(self._most_ns, self._first_ns << min(self.attempt, _SHIFT_MAX))
        return whole_ns - int(whole_ns * jitter / 2)
