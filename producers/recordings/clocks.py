"""Clocks of a recording: in which unit a stamp is, and whether two clocks of one row can both be right.

Decides what a stamp can be: a moment between 2010 and 2100, which tells s, ms, µs and ns apart by their size alone. A column of which
most stamps are in another unit is refused by name, for its rows would be moments of 1970 or of the year 58000; a single one of them
counts as no stamp. Two clocks of one row may differ by ten minutes, whatever a recorder's or a venue's clock was worth; beyond that
one of them is wrong, and the earlier one counts: a stamp that is too early is clamped where it stands, one that is too late would
push every row behind it. Must never read a clock of this machine.
"""

from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Final, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from producers.errors import RecordingError

Unit: TypeAlias = Literal["s", "ms", "µs", "ns"]
PER_SECOND: Final[dict[Unit, int]] = {"s": 1, "ms": 1_000, "µs": 1_000_000, "ns": 1_000_000_000}
#: 2010-01-01 and 2100-01-01, Unix s: a thousand times the first lies beyond the second, so no stamp fits two units.
FIRST_S: Final = 1_262_304_000
LAST_S: Final = 4_102_444_800
HOUR_MS: Final = 3_600_000
#: How far two clocks of one row may be apart, ms: the worst seen in a recording is 138 s.
APART_MS: Final = 600_000
#: How long before its window a market's rows may begin, and after its end still come; the worst seen is 15 minutes.
EARLY_MS: Final = 2 * HOUR_MS
LATE_MS: Final = HOUR_MS
#: First rows whose middle says where a recording begins, and rows that stand hours ahead of all others until they count as its time.
LEAD_ROWS: Final = 9
STRAY_ROWS_MAX: Final = 64
T = TypeVar("T")

Stamps: TypeAlias = NDArray[np.int64]
Mask: TypeAlias = NDArray[np.bool_]


def bounds(unit: Unit) -> tuple[int, int]:
    """First stamp that a unit can have, and the first that it cannot have any more."""
    return FIRST_S * PER_SECOND[unit], LAST_S * PER_SECOND[unit]


def possible(stamp: int | None, unit: Unit) -> bool:
    """Whether a stamp can be a moment in this unit."""
    first, last = bounds(unit)
    return stamp is not None and first <= stamp < last


def possible_ones(stamps: Stamps, unit: Unit) -> Mask:
    """The same of a column."""
    first, last = bounds(unit)
    found: Mask = (stamps >= first) & (stamps < last)
    return found


class UnitCheck:
    """Counts the stamps of one column by the unit that their size speaks of; `judge` refuses a column in another unit."""

    __slots__ = ("_column", "_counts", "_example", "_file", "_rows", "_unit")

    def __init__(self, file: Path, column: str, unit: Unit) -> None:
        self._file = file
        self._column = column
        self._unit: Unit = unit
        self._counts: dict[Unit, int] = dict.fromkeys(PER_SECOND, 0)
        self._example: dict[Unit, int] = {}
        self._rows = 0

    def see(self, stamps: Stamps) -> None:
        """Stamps that are there (no nulls)."""
        self._rows += len(stamps)
        right = possible_ones(stamps, self._unit)
        self._counts[self._unit] += int(right.sum())
        if right.all():
            return
        for unit in PER_SECOND:
            fits = possible_ones(stamps, unit)
            if unit != self._unit and fits.any():
                self._counts[unit] += int(fits.sum())
                self._example.setdefault(unit, int(stamps[int(fits.argmax())]))

    def see_one(self, stamp: int | None) -> None:
        """One stamp, if it is there."""
        if stamp is None:
            return
        self._rows += 1
        for unit in PER_SECOND:
            if possible(stamp, unit):
                self._counts[unit] += 1
                self._example.setdefault(unit, stamp)

    def judge(self, *, strict: bool = True) -> None:
        """Refuse a column most of whose stamps are in another unit, or, if `strict`, no moment at all.

        Raises:
            RecordingError: it names the likely unit.
        """
        for unit, count in self._counts.items():
            if unit != self._unit and 2 * count > self._rows:
                raise RecordingError(
                    f"{self._file}: {self._column} should be Unix {self._unit}, but {self._example[unit]} looks like {unit} "
                    f"(so do {count:,} of {self._rows:,} rows); convert it"
                )
        if strict and self._rows and 2 * self._counts[self._unit] <= self._rows:
            raise RecordingError(
                f"{self._file}: {self._column} should be Unix {self._unit}, but {self._rows - self._counts[self._unit]:,} of "
                f"{self._rows:,} rows hold no moment between 2010 and 2100"
            )


def without_strays(
    rows: Iterator[tuple[int | None, T]], hour: int, drop: Callable[[int], None]
) -> Iterator[tuple[int | None, T]]:
    """Rows (stamp, anything) but for those whose stamp is more than an hour behind the newest, or ahead of it for only a few rows.

    `hour` is one in the unit of the stamps; a row without a stamp passes. Those that are dropped are counted.
    """
    lead = list(islice(rows, LEAD_ROWS))
    begins = sorted(stamp for stamp, _ in lead if stamp is not None)
    top = begins[len(begins) // 2] if begins else 0
    near = [row for row in lead if row[0] is None or abs(row[0] - top) <= hour]
    if len(near) < len(lead):
        drop(len(lead) - len(near))
    ahead: list[tuple[int | None, T]] = []
    for row in chain(near, rows):
        stamp = row[0]
        if stamp is None:
            yield row
        elif stamp - top > hour:
            ahead.append(row)
            if len(ahead) > STRAY_ROWS_MAX:
                top = max(one for one, _ in ahead if one is not None)
                yield from ahead
                ahead.clear()
        else:
            if ahead:
                drop(len(ahead))
                ahead.clear()
            if top - stamp > hour:
                drop(1)
                continue
            top = max(top, stamp)
            yield row
    if ahead:
        drop(len(ahead))


def span_text(apart_ms: int) -> str:
    """A span of time for people."""
    if abs(apart_ms) < HOUR_MS:
        return f"{abs(apart_ms) / 60_000:.0f} minutes"
    return f"{abs(apart_ms) / HOUR_MS:.1f} hours"
