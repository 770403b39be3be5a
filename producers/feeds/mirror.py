"""The producer's own copy of a book: levels in YES terms, absolute sizes, best prices at hand.

Decides nothing; a protocol asks it whether the book is crossed and which levels really changed. It must never hold a level of
size zero. Prices and sizes are micros.
"""

from collections.abc import Mapping

Levels = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]


class BookMirror:
    """One book. `best_bid` and `best_ask` are None on an empty side."""

    __slots__ = ("asks", "best_ask", "best_bid", "bids")

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.best_bid: int | None = None
        self.best_ask: int | None = None

    def replace(self, bids: Mapping[int, int], asks: Mapping[int, int]) -> None:
        """Take a whole book."""
        self.bids = dict(bids)
        self.asks = dict(asks)
        self.best_bid = max(self.bids, default=None)
        self.best_ask = min(self.asks, default=None)

    def clear(self) -> None:
        """Forget every level."""
        self.replace({}, {})

    def set(self, price: int, size: int, *, is_bid: bool) -> bool:
        """Give a level its absolute size, 0 removes it; whether that changed anything."""
        side = self.bids if is_bid else self.asks
        before = side.get(price, 0)
        if before == size:
            return False
        if size:
            side[price] = size
        else:
            del side[price]
        if is_bid:
            if size and (self.best_bid is None or price > self.best_bid):
                self.best_bid = price
            elif not size and price == self.best_bid:
                self.best_bid = max(side, default=None)
        elif size and (self.best_ask is None or price < self.best_ask):
            self.best_ask = price
        elif not size and price == self.best_ask:
            self.best_ask = min(side, default=None)
        return True

    @property
    def crossed(self) -> bool:
        """Whether the best bid is at or above the best ask: no book of one venue can rest so."""
        return self.best_bid is not None and self.best_ask is not None and self.best_bid >= self.best_ask

    def levels(self) -> Levels:
        """Bid prices, bid sizes, ask prices, ask sizes, each side best first."""
        bids = sorted(self.bids, reverse=True)
        asks = sorted(self.asks)
        return tuple(bids), tuple(self.bids[p] for p in bids), tuple(asks), tuple(self.asks[p] for p in asks)
