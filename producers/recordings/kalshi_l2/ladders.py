"""Kalshi's book as it is recorded: two ladders of bids, one for YES and one for NO, changed by signed amounts.

Decides the size that a change leaves behind and whether the ladders cross. It must never keep a size below zero: the caller drops
the book then. Prices are dollars × 10,000, sizes contracts × 100, as recorded; records are in YES terms, micros.
"""

from typing import Final

from crossbook.domain.grid import PriceGrid

DOLLAR_1E4: Final = 10_000
MICROS_PER_1E4: Final = 100
MICROS_PER_1E2: Final = 10_000
#: Contracts × 100 that a level or a trade can hold: a million million; its micros fit 63 bits with room.
SIZE_MAX: Final = 10**14
YES: Final = 0
NO: Final = 1


class Ladders:
    """One market. `crossed`: what is bid for YES and for NO together reaches a dollar; `best` holds the two best bids."""

    __slots__ = ("best", "sides")

    def __init__(self) -> None:
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.best = [0, 0]

    @property
    def crossed(self) -> bool:
        """Whether the best bids together reach a dollar; an empty ladder never does."""
        return self.best[YES] + self.best[NO] >= DOLLAR_1E4

    def replace(self, levels: list[tuple[int, int, int]]) -> str:
        """Take these levels (side, price, size) and no others; say why not, or nothing."""
        sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for side, price, size in levels:
            if side not in {YES, NO}:
                return "a snapshot with an unknown side"
            if size <= 0:
                return "a snapshot with a size that is not positive"
            if size > SIZE_MAX:
                return "a snapshot with a size out of range"
            if price in sides[side]:
                return "a snapshot with a price twice"
            sides[side][price] = size
        self.sides = sides
        self.best = [max(side, default=0) for side in sides]
        return ""

    def change(self, side: int, price: int, change: int) -> int:
        """Add to a level and return what is left there; below zero, the ladder is unchanged."""
        sizes = self.sides[side]
        size = sizes.get(price, 0) + change
        best = self.best
        if size > 0:
            sizes[price] = size
            if price > best[side]:  # noqa: PLR1730 - a call of max on every change is a tenth of the import
                best[side] = price
        elif size == 0:
            sizes.pop(price, None)
            if price == best[side]:
                best[side] = max(sizes, default=0)
        return size

    def yes_levels(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Bid prices and sizes, ask prices and sizes of YES in micros, best first."""
        yes, no = self.sides
        bids = sorted(yes, reverse=True)
        asks = sorted(no, reverse=True)
        return (
            tuple([price * MICROS_PER_1E4 for price in bids]),
            tuple([yes[price] * MICROS_PER_1E2 for price in bids]),
            tuple([(DOLLAR_1E4 - price) * MICROS_PER_1E4 for price in asks]),
            tuple([no[price] * MICROS_PER_1E2 for price in asks]),
        )


def prices_on(grid: PriceGrid) -> tuple[dict[int, tuple[int]], dict[int, tuple[int]]]:
    """For each ladder: recorded price → its YES price in micros, as the one price of a record. Others are off the grid."""
    yes = {p: (p * MICROS_PER_1E4,) for p in range(1, DOLLAR_1E4) if grid.contains(p * MICROS_PER_1E4)}
    return yes, {DOLLAR_1E4 - price: micros for price, micros in yes.items()}
