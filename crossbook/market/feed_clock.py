"""Stream time of one `market` partition: the stamps of its events, made monotone and guarded against a jump.

Decides what "now" is for every fold of the partition. Must never read a clock.

- Only events of a feed (books, trades, feed statuses) set, clamp or jump the clock. The first of them sets it; before it, now is 0.
- A stamp behind now is clamped and counted. A stamp at most `jump_ns` ahead is taken.
- A stamp further ahead is a claim. While one stands, the clock is suspect and stays within its old course. A second feed
  whose stamp is also beyond now + jump_ns and within jump_ns of the claim confirms it: now becomes the later of the two. The
  claim falls when its own feed speaks in the old course again, or when the old course has come within jump_ns of it.
- Records without a feed (settings, instruments, pairs) advance the clock by at most jump_ns and are otherwise ignored by it:
  the one who relays them may stand on another clock, and is no second witness.
"""

from typing import Final

#: What LogOpened says of a log whose stamps are not those of a wall clock; anything else is one, so that nothing late passes for new.
RECORDED: Final = "recorded"


class FeedClock:
    """Monotone now of one partition, all values Unix ns.

    `claims` holds the unconfirmed stamp of each feed that claims a jump, `clamped` how many events were behind.
    """

    __slots__ = ("claims", "clamped", "now_ns")

    def __init__(self) -> None:
        self.now_ns = 0
        self.clamped = 0
        self.claims: dict[str, int] = {}

    @property
    def suspect(self) -> bool:
        """Whether a jump is claimed and not confirmed."""
        return bool(self.claims)

    def advance(self, ts_ns: int, feed: str | None, jump_ns: int) -> None:
        """Take the stamp of the next event; `feed` is None for a record that no feed wrote."""
        now = self.now_ns
        if feed is None:
            if now < ts_ns <= now + jump_ns and now:
                self.now_ns = ts_ns
            if self.claims:
                self._drop_reached(jump_ns)
            return
        if not now:
            self.now_ns = ts_ns
            return
        if ts_ns <= now + jump_ns:
            if ts_ns > now:
                self.now_ns = ts_ns
            elif ts_ns < now:
                self.clamped += 1
            if self.claims:
                self.claims.pop(feed, None)
                self._drop_reached(jump_ns)
            return
        self._claim(ts_ns, feed, jump_ns)

    def reach(self, ts_ns: int, feed: str | None, jump_ns: int) -> int:
        """What `advance` with the same stamp would make of now; it changes nothing."""
        now = self.now_ns
        if feed is None:
            return ts_ns if now and now < ts_ns <= now + jump_ns else now
        if not now:
            return ts_ns
        if ts_ns <= now + jump_ns:
            return max(now, ts_ns)
        for other, claimed_ns in self.claims.items():
            if other != feed and abs(claimed_ns - ts_ns) <= jump_ns:
                return max(claimed_ns, ts_ns)
        return now

    def _claim(self, ts_ns: int, feed: str, jump_ns: int) -> None:
        for other, claimed_ns in self.claims.items():
            if other != feed and abs(claimed_ns - ts_ns) <= jump_ns:
                self.now_ns = max(claimed_ns, ts_ns)
                self.claims.pop(feed, None)
                self._drop_reached(jump_ns)
                return
        self.claims[feed] = ts_ns

    def _drop_reached(self, jump_ns: int) -> None:
        reach = self.now_ns + jump_ns
        for feed in [feed for feed, claimed_ns in self.claims.items() if claimed_ns <= reach]:
            del self.claims[feed]
