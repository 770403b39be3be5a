"""Which prices a venue takes for an instrument.

A grid is a list of ranges, each with its tick; it may be replaced while the instrument lives, so whoever holds a price asks
the current grid. Decides whether a price is on the grid and which neighbour is. Must never guess a grid from a name, never
move a price in the wrong direction, and never admit 0 or 1: tradable prices lie between the smallest tick and one minus it.

All prices and ticks are micros of a dollar.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Self

from crossbook.domain.errors import GridError, MoneyError
from crossbook.domain.money import MICROS, format_micros, parse_price
from schemas.records import PriceRange

#: Every tick that Polymarket uses; any other one is drift of the wire.
POLYMARKET_TICKS_MICROS = frozenset({100_000, 10_000, 5_000, 2_500, 1_000, 100})


def complement(price_micros: int) -> int:
    """Price of the other outcome: 1 - p. A bid for NO at q is an ask of YES at `complement(q)`."""
    return MICROS - price_micros


class PriceGrid:
    """Valid prices of one instrument. Immutable, compared by value.

    `ranges` holds the given ranges trimmed to tradable prices (first and last price of each on its grid), which is the form
    for records: a grid built from them is equal. Where two ranges touch, the shared price belongs to the upper one.
    Raises GridError for no range, a tick below 1, ranges out of order or overlapping, and a range without a tradable price.
    """

    __slots__ = ("_rows", "_starts", "highest_micros", "lowest_micros", "ranges", "tick_min_micros")

    ranges: tuple[PriceRange, ...]
    lowest_micros: int
    highest_micros: int
    tick_min_micros: int

    def __init__(self, ranges: Iterable[PriceRange]) -> None:
        given = tuple(ranges)
        if not given:
            raise GridError("a price grid had no ranges; list the instrument without a grid as closed")
        tick_min = min(one.tick_micros for one in given)
        if tick_min < 1:
            raise GridError(f"a tick was {tick_min} micros; ticks are positive")
        rows: list[tuple[int, int, int]] = []
        end_before = 0
        for one in given:
            if not (end_before <= one.start_micros <= one.end_micros <= MICROS):
                raise GridError(f"range {_show(one)} was out of order, overlapping or outside 0..1; ranges ascend")
            end_before = one.end_micros
            rows.append(_trimmed(one, tick_min))
        self._rows = tuple(rows)
        self._starts = tuple(start for start, _, _ in rows)
        self.ranges = tuple(
            PriceRange(start_micros=start, end_micros=end, tick_micros=tick) for start, end, tick in rows
        )
        self.lowest_micros = rows[0][0]
        self.highest_micros = rows[-1][1]
        self.tick_min_micros = tick_min

    @classmethod
    def linear(cls, tick_micros: int) -> Self:
        """One tick everywhere, prices from tick to 1 - tick (Polymarket). Raises GridError unless it divides a dollar."""
        if tick_micros < 1 or MICROS % tick_micros:
            raise GridError(f"tick {tick_micros} micros does not divide a dollar; expected e.g. 10000 for a cent")
        return cls((PriceRange(start_micros=0, end_micros=MICROS, tick_micros=tick_micros),))

    @classmethod
    def from_ranges(cls, ranges: Iterable[PriceRange]) -> Self:
        """Grid of the ranges in a record."""
        return cls(ranges)

    @classmethod
    def from_decimal_ranges(cls, rows: Iterable[Mapping[str, str]]) -> Self:
        """Grid of Kalshi's `price_ranges`: rows of decimal strings `start`, `end`, `step`. Raises GridError if one is amiss."""
        ranges: list[PriceRange] = []
        for row in rows:
            try:
                start, end, tick = parse_price(row["start"]), parse_price(row["end"]), parse_price(row["step"])
            except (KeyError, MoneyError) as error:
                raise GridError(
                    f"price range {dict(row)!r} needs decimal strings start, end and step: {error}"
                ) from error
            ranges.append(PriceRange(start_micros=start, end_micros=end, tick_micros=tick))
        return cls(ranges)

    def contains(self, price_micros: int) -> bool:
        """Whether an order may carry this price."""
        index = bisect_right(self._starts, price_micros) - 1
        if index < 0:
            return False
        start, end, tick = self._rows[index]
        return price_micros <= end and (price_micros - start) % tick == 0

    def floor(self, price_micros: int) -> int:
        """Highest valid price at or below. Raises GridError below the lowest price."""
        index = bisect_right(self._starts, price_micros) - 1
        if index < 0:
            raise GridError(
                f"no valid price at or below {format_micros(price_micros)}; lowest is {format_micros(self.lowest_micros)}"
            )
        start, end, tick = self._rows[index]
        return end if price_micros >= end else price_micros - (price_micros - start) % tick

    def ceil(self, price_micros: int) -> int:
        """Lowest valid price at or above. Raises GridError above the highest price."""
        index = bisect_right(self._starts, price_micros) - 1
        if index >= 0:
            start, end, tick = self._rows[index]
            if price_micros <= end:
                return price_micros + (start - price_micros) % tick
        if index + 1 == len(self._rows):
            raise GridError(
                f"no valid price at or above {format_micros(price_micros)}; highest is {format_micros(self.highest_micros)}"
            )
        return self._starts[index + 1]

    def tick_at(self, price_micros: int) -> int:
        """Tick of the range that holds the price (on the grid or not); the upper one where two touch.

        Raises GridError outside every range.
        """
        index = bisect_right(self._starts, price_micros) - 1
        if index < 0 or price_micros > self._rows[index][1]:
            raise GridError(f"price {format_micros(price_micros)} was in no range of the grid {self!r}")
        return self._rows[index][2]

    def mirrored(self) -> Self:
        """Grid of the other outcome: p is valid here exactly if 1 - p is valid there."""
        return type(self)(
            PriceRange(start_micros=MICROS - end, end_micros=MICROS - start, tick_micros=tick)
            for start, end, tick in reversed(self._rows)
        )

    def __eq__(self, other: object) -> bool:
        return self._rows == other._rows if isinstance(other, PriceGrid) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._rows)

    def __repr__(self) -> str:
        return f"PriceGrid({', '.join(_show(one) for one in self.ranges)})"


def _trimmed(one: PriceRange, tick_min_micros: int) -> tuple[int, int, int]:
    """First and last tradable price of a range, both on its own grid."""
    tick = one.tick_micros
    start = one.start_micros
    if start < tick_min_micros:
        start += -((start - tick_min_micros) // tick) * tick
    end = min(one.end_micros, MICROS - tick_min_micros)
    end -= (end - start) % tick
    if start > end:
        raise GridError(
            f"range {_show(one)} held no price between {tick_min_micros} micros and a dollar less that; drop it"
        )
    return start, end, tick


def _show(one: PriceRange) -> str:
    return f"{format_micros(one.start_micros)}..{format_micros(one.end_micros)} by {format_micros(one.tick_micros)}"
