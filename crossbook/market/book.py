"""The order book of one instrument, in YES terms: absolute sizes at prices, kept sorted, with its two best levels at hand.

Decides nothing but what the levels are. Must never guess: an impossible level raises BookError, and its holder declares the
book invalid until a whole one comes. Mutable, because the fold that owns it applies thousands of changes a second; nobody
outside that fold may keep it or change it.

Prices are micros of a dollar, sizes micros of a contract. A bid for NO at q is an ask of YES at 1 - q, so one book holds both
outcomes of an instrument.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

from crossbook.domain.errors import BookError
from crossbook.domain.money import MICROS
from schemas.records import Outcome

Level: TypeAlias = tuple[int, int]


#: The two sides of a book, in YES terms.
BookSide: TypeAlias = Literal["bid", "ask"]


class Levels(NamedTuple):
    """All levels of a book as its record holds them: best first."""

    bid_prices: tuple[int, ...]
    bid_sizes: tuple[int, ...]
    ask_prices: tuple[int, ...]
    ask_sizes: tuple[int, ...]


class OrderBook:
    """Bids and asks of YES.

    `best_bid` and `best_ask` are (price, size) or None; `crossed` says that the best bid is at or above the best ask. All
    three are to be read only.
    """

    __slots__ = ("_ask_prices", "_asks", "_bid_prices", "_bids", "best_ask", "best_bid", "crossed")

    best_bid: Level | None
    best_ask: Level | None
    crossed: bool

    def __init__(self) -> None:
        self._bids: dict[int, int] = {}
        self._asks: dict[int, int] = {}
        self._bid_prices: list[int] = []  # ascending: the best is the last
        self._ask_prices: list[int] = []  # ascending: the best is the first
        self.best_bid = None
        self.best_ask = None
        self.crossed = False

    def replace(
        self,
        bid_prices: Sequence[int],
        bid_sizes: Sequence[int],
        ask_prices: Sequence[int],
        ask_sizes: Sequence[int],
    ) -> bool:
        """Take these levels and no others; return whether a best level changed.

        Raises BookError, with the book as it was, for lists of unequal length, a price twice on a side, a price that is
        not between 0 and 1, and a size that is not positive.
        """
        bids = _whole_side("bid", bid_prices, bid_sizes)
        asks = _whole_side("ask", ask_prices, ask_sizes)
        self._bids = bids
        self._asks = asks
        self._bid_prices = sorted(bids)
        self._ask_prices = sorted(asks)
        return self._find_best()

    def set_levels(
        self,
        bid_prices: Sequence[int],
        bid_sizes: Sequence[int],
        ask_prices: Sequence[int],
        ask_sizes: Sequence[int],
    ) -> bool:
        """Set these levels to absolute sizes, 0 removes one; return whether a best level changed.

        Raises BookError for lists of unequal length, a price that is not between 0 and 1, and a negative size. The book
        may then hold a part of the change: it is not to be used until `replace`.
        """
        if bid_prices or bid_sizes:
            _set_side("bid", self._bids, self._bid_prices, bid_prices, bid_sizes)
        if ask_prices or ask_sizes:
            _set_side("ask", self._asks, self._ask_prices, ask_prices, ask_sizes)
        return self._find_best()

    def size_at(self, side: BookSide, price: int) -> int:
        """Size displayed at a YES price of one side, micros of a contract; 0: no such level."""
        return (self._bids if side == "bid" else self._asks).get(price, 0)

    def levels(self) -> Levels:
        """All levels, best first."""
        bids, asks = self._bids, self._asks
        bid_prices = tuple(reversed(self._bid_prices))
        ask_prices = tuple(self._ask_prices)
        return Levels(
            bid_prices,
            tuple(bids[price] for price in bid_prices),
            ask_prices,
            tuple(asks[price] for price in ask_prices),
        )

    def levels_to_buy(self, outcome: Outcome) -> list[Level]:
        """What is offered to a buyer of the outcome, best first, prices in the outcome's own terms."""
        if outcome == "yes":
            asks = self._asks
            return [(price, asks[price]) for price in self._ask_prices]
        bids = self._bids
        return [(MICROS - price, bids[price]) for price in reversed(self._bid_prices)]

    def levels_to_sell(self, outcome: Outcome) -> list[Level]:
        """What is bid to a seller of the outcome, best first, prices in the outcome's own terms."""
        if outcome == "yes":
            bids = self._bids
            return [(price, bids[price]) for price in reversed(self._bid_prices)]
        asks = self._asks
        return [(MICROS - price, asks[price]) for price in self._ask_prices]

    def best_to_buy(self, outcome: Outcome) -> Level | None:
        """First of `levels_to_buy`, or None."""
        if outcome == "yes":
            return self.best_ask
        best = self.best_bid
        return None if best is None else (MICROS - best[0], best[1])

    def _find_best(self) -> bool:
        bid_prices, ask_prices = self._bid_prices, self._ask_prices
        bid: Level | None = None
        ask: Level | None = None
        if bid_prices:
            price = bid_prices[-1]
            bid = (price, self._bids[price])
        if ask_prices:
            price = ask_prices[0]
            ask = (price, self._asks[price])
        if bid == self.best_bid and ask == self.best_ask:
            return False
        self.best_bid = bid
        self.best_ask = ask
        self.crossed = bid is not None and ask is not None and bid[0] >= ask[0]
        return True


def _whole_side(name: str, prices: Sequence[int], sizes: Sequence[int]) -> dict[int, int]:
    if len(prices) != len(sizes):
        raise BookError(f"{len(prices)} {name} prices came with {len(sizes)} sizes; each level has both")
    side = dict(zip(prices, sizes, strict=True))
    if len(side) != len(prices):
        raise BookError(f"a {name} price came twice in one book")
    if side:
        if min(side) <= 0 or max(side) >= MICROS:
            raise BookError(f"a {name} price was outside 0..1 dollar (exclusive)")
        if min(sizes) <= 0:
            raise BookError(f"a {name} size was {min(sizes)}; a whole book holds positive sizes")
    return side


def _set_side(
    name: str, side: dict[int, int], sorted_prices: list[int], prices: Sequence[int], sizes: Sequence[int]
) -> None:
    if len(prices) != len(sizes):
        raise BookError(f"{len(prices)} {name} prices came with {len(sizes)} sizes; each level has both")
    for price, size in zip(prices, sizes, strict=True):
        if size > 0:
            if price not in side:
                if not 0 < price < MICROS:
                    raise BookError(f"a {name} price was {price} micros; prices are between 0 and 1 dollar")
                insort(sorted_prices, price)
            side[price] = size
        elif size == 0:
            if price in side:
                del side[price]
                del sorted_prices[bisect_left(sorted_prices, price)]
        else:
            raise BookError(f"a {name} size was {size}; sizes are absolute, 0 removes the level")
