"""The local book of one symbol, folded from depth frames only to check a recording: are they whole, and do they agree with the quotes?

Decides whether each depth frame continues the one before (spot: `U` is the id after the last `u`; futures: `pu` is it), after the
venue's own procedure: frames before the snapshot wait, those it covers are dropped, the first kept must bracket it. After a hole
nothing more is said, for only a new snapshot would mend it. The top of each whole book is held against the quote that was in force
at the same update id. It must never feed the log: the quotes do.
"""

from collections import Counter, deque

from crossbook.domain.money import parse_micros
from producers.binance.wire import BookTicker, DepthSnapshot, DepthUpdate, Levels

#: Frames that wait for the snapshot, and quotes kept to compare with; about a minute of a busy symbol.
WAITING_MAX = 2_000
QUOTES_MAX = 20_000
#: Distinct price texts whose numbers are remembered; forgotten all at once.
PRICES_MAX = 100_000
#: Best bid, its size, best ask, its size.
Top = tuple[str, str, str, str]


class DepthCheck:
    """One symbol. `counters` says what was found; tops are compared as numbers, exactly. `waited`: frames no snapshot was found for."""

    def __init__(self, counters: Counter[str], *, futures: bool) -> None:
        self.counters = counters
        self._futures = futures
        self._last_id: int | None = None  # None: no snapshot yet, or a hole after it
        self._covered_id = -1  # id of the snapshot until the first frame is kept
        self._broken = False
        self.waited = 0
        self._waiting: deque[DepthUpdate] = deque(maxlen=WAITING_MAX)
        self._bids, self._asks = _Side(), _Side()
        self._quotes: deque[tuple[int, Top]] = deque(maxlen=QUOTES_MAX)
        self._tops: deque[tuple[int, Top]] = deque(maxlen=QUOTES_MAX)

    def snapshot(self, snapshot: DepthSnapshot) -> None:
        """Take a whole book. Raises MoneyError for a level that is none."""
        self.counters["depth.snapshots"] += 1
        self._bids, self._asks = _Side(), _Side()
        self._bids.set(snapshot.bids, sign=1)
        self._asks.set(snapshot.asks, sign=-1)
        self._last_id = self._covered_id = snapshot.last_update_id
        self._broken = False
        self.waited = 0
        waiting, self._waiting = self._waiting, deque(maxlen=WAITING_MAX)
        for update in waiting:
            self.update(update)

    def update(self, update: DepthUpdate) -> None:
        """Take changed levels. Raises MoneyError for a level that is none."""
        if self._last_id is None:
            if self._broken:
                self.counters["depth.after_a_hole"] += 1
            else:
                self.waited += 1
                self._waiting.append(update)
            return
        if update.u < self._last_id or (update.u == self._last_id and not self._futures):
            self.counters["depth.covered"] += 1
            return
        if not self._continues(update):
            self.counters["depth.holes"] += 1
            self._last_id, self._broken = None, True
            return
        self._last_id, self._covered_id = update.u, -1
        self.counters["depth.frames"] += 1
        self.counters["depth.levels"] += len(update.b) + len(update.a)
        self._bids.set(update.b, sign=1)
        self._asks.set(update.a, sign=-1)
        bid, ask = self._bids.best(), self._asks.best()
        if bid is not None and ask is not None:
            self._tops.append((update.u, (*bid, *ask)))

    def quote(self, quote: BookTicker) -> None:
        """Take a quote, and compare the tops that it settles: those of smaller update ids. Raises MoneyError."""
        while self._tops and self._tops[0][0] < quote.u:
            book_id, top = self._tops.popleft()
            while len(self._quotes) > 1 and self._quotes[1][0] <= book_id:
                self._quotes.popleft()
            if self._quotes and self._quotes[0][0] <= book_id:
                self.counters["tops.equal" if _equal(self._quotes[0][1], top) else "tops.differ"] += 1
        self._quotes.append((quote.u, (quote.b, quote.B, quote.a, quote.A)))

    def _continues(self, update: DepthUpdate) -> bool:
        assert self._last_id is not None, "the caller has a book"
        if self._covered_id >= 0:
            first = self._covered_id if self._futures else self._covered_id + 1
            return update.U <= first <= update.u
        if self._futures:
            return update.pu == self._last_id
        return update.U == self._last_id + 1  # noqa: SIM300 - a field in capitals is no constant


class _Side:
    """One side of a book: its texts by price; the best price is kept, for most changes lie behind it."""

    __slots__ = ("_best", "_levels", "_prices")

    def __init__(self) -> None:
        self._levels: dict[int, tuple[str, str]] = {}  # signed price, so that the best is the largest
        self._prices: dict[str, int] = {}
        self._best: int | None = None

    def set(self, levels: Levels, *, sign: int) -> None:
        """Put absolute sizes; zero takes a level away."""
        known, prices, best = self._levels, self._prices, self._best
        for level in levels:
            text, size = level
            price = prices.get(text)
            if price is None:
                if len(prices) >= PRICES_MAX:
                    prices.clear()
                price = prices[text] = sign * parse_micros(text)
            if size.strip("0."):
                known[price] = level
                if best is None or price > best:
                    best = price
            elif known.pop(price, None) is not None and price == best:
                best = max(known, default=None)
        self._best = best

    def best(self) -> tuple[str, str] | None:
        """Price and size of the best level; None on an empty side."""
        return None if self._best is None else self._levels[self._best]


def _equal(one: Top, other: Top) -> bool:
    return one == other or all(parse_micros(a) == parse_micros(b) for a, b in zip(one, other, strict=True))
