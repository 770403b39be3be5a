"""What is still there for us of the depth that a recorded book displays.

Decides how much of a level may be taken after we took from it: a recording shows our share as if nobody had taken it. Nothing comes
back unless more is displayed than ever since we first took (only what is above that largest size is new), or the level has been empty;
what the level loses others took or withdrew, and that leaves us no more than it displays less what we took. So all that a level
ever grants between two moments of emptiness is at most the largest size that it displayed meanwhile. Must never know an order, nor time.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from crossbook.market.book import BookSide

#: A level in YES terms.
Level: TypeAlias = tuple[BookSide, int]


class TakenLevel(NamedTuple):
    """A level that we took from: `left` for us, the `largest` size displayed since the first time, and what was `taken` in all."""

    left: int
    largest: int
    taken: int

    def displays(self, size: int) -> "TakenLevel":
        """The level after it displayed this size, which is not 0."""
        left = self.left
        if size > self.largest:
            left += size - self.largest
        return TakenLevel(min(left, max(0, size - self.taken)), max(self.largest, size), self.taken)


class TakenDepth:
    """Levels that we took from, by instrument. It contains the instruments that have one."""

    def __init__(self) -> None:
        self._levels: dict[str, dict[Level, TakenLevel]] = {}

    def __contains__(self, instrument_id: object) -> bool:
        return instrument_id in self._levels

    def __iter__(self) -> Iterator[tuple[str, Level, TakenLevel]]:
        for instrument_id, levels in self._levels.items():
            for level, known in levels.items():
                yield instrument_id, level, known

    def restore(self, instrument_id: str, level: Level, known: TakenLevel) -> None:
        """Put a level back as it was."""
        self._levels.setdefault(instrument_id, {})[level] = known

    def left(self, instrument_id: str, level: Level, size: int) -> int:
        """How much of a level that displays this size is there for us."""
        known = self._levels.get(instrument_id, {}).get(level)
        return size if known is None else min(known.left, size)

    def first_left(
        self, instrument_id: str, side: BookSide, levels: Iterable[tuple[int, int]]
    ) -> tuple[int, int] | None:
        """The first of these levels (price, size) of which something is there for us, and how much."""
        for price, size in levels:
            left = self.left(instrument_id, (side, price), size)
            if left > 0:
                return price, left
        return None

    def take(self, instrument_id: str, level: Level, quantity: int, size: int) -> None:
        """We took a quantity of a level that displays this size."""
        levels = self._levels.setdefault(instrument_id, {})
        known = levels.get(level, TakenLevel(size, size, 0))
        assert quantity <= known.left, "what is gone cannot be taken"
        levels[level] = TakenLevel(known.left - quantity, known.largest, known.taken + quantity)

    def recall(self, instrument_id: str, size_at: Callable[[BookSide, int], int]) -> None:
        """The book of an instrument displays something else now: bring its levels up to that."""
        levels = self._levels.get(instrument_id)
        if levels is None:
            return
        for level, known in list(levels.items()):
            size = size_at(*level)
            if size:
                levels[level] = known.displays(size)
            else:
                del levels[level]
        if not levels:
            del self._levels[instrument_id]
