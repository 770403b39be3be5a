"""Rows of the recording `xv_fed_dec2025`: one contract on both venues, summed up about every half hour, as CSV.

Decides only how a line becomes two polls of best prices, Polymarket's first, both at the line's one stamp. The file names no
market, so this does. A cell that holds no number is None, which the importer judges. Depth below the best level is known as sums
only and is left out: an edge is quoted for what stands at the best prices.
"""

import csv
import datetime as dt
import gzip
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TextIO
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from producers.errors import RecordingError
from producers.recordings.bbo.rows import Row
from producers.recordings.columns import reading

#: No time, price or size of a recording is this large.
NUMBER_MAX = 10**18
#: The contract: no change of the Fed's rates at its meeting of December 2025.
KALSHI_TICKER = "KXFEDDECISION-25DEC-H0"
POLYMARKET_NAME = "no-change-in-fed-rates-december-2025"
VENUES = (("polymarket", "poly"), ("kalshi", "kalshi"))
NEEDED = (
    "timestamp_ms",
    *(
        f"{word}_{column}"
        for _, word in VENUES
        for column in ("best_bid_yes", "best_bid_no", "depth_best_yes", "depth_best_no")
    ),
)


def fed_rows(file: Path) -> Iterator[Row]:
    """Two rows a line: Polymarket, Kalshi; the ask of YES is one dollar less the best bid of NO.

    Raises:
        RecordingError: the file cannot be read, is no such CSV, or lacks a column.
    """
    with reading(file, "CSV file"), _open_text(file) as text:
        lines = csv.DictReader(text)
        missing = [name for name in NEEDED if name not in (lines.fieldnames or ())]
        if missing:
            raise RecordingError(f"{file} has not the columns of xv-fed; missing: {', '.join(missing)}")
        for line in lines:
            yield from _two_rows(line)


def _open_text(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8", newline="")
    return file.open(encoding="utf-8", newline="")


def _two_rows(line: dict[str, str]) -> Iterator[Row]:
    cut = None in line or None in line.values()
    stamp = None if cut else _whole(line["timestamp_ms"], 1)
    for venue, word in VENUES:
        problem = "line cut, or with too many cells" if cut else ""
        cells: list[int | None] = [None, None, None, None]
        if not cut:
            names = ("best_bid_yes", "best_bid_no", "depth_best_yes", "depth_best_no")
            texts = [line[f"{word}_{name}"] for name in names]
            cells = [_whole(text, units) for text, units in zip(texts, (10_000, 10_000, 100, 100), strict=True)]
            if any(cell is None and text.strip() for cell, text in zip(cells, texts, strict=True)):
                problem = "cell that is no number"
        bid_no = cells[1]
        yield Row(
            fetch_ms=stamp,
            venue=venue,
            kalshi_ticker=KALSHI_TICKER,
            polymarket_token=POLYMARKET_NAME,
            bid_1e4=cells[0],
            ask_1e4=None if bid_no is None else 10_000 - bid_no,
            bid_size_1e2=cells[2],
            ask_size_1e2=cells[3],
            venue_ms=None,
            cycle_ms=None if cut else _new_york_ms(line.get("timestamp_et") or ""),
            problem=problem,
        )


def _new_york_ms(text: str) -> int | None:
    """Unix ms of a time in New York; None for one that is none, or that the clocks showed twice."""
    try:
        when, zone = dt.datetime.fromisoformat(text), ZoneInfo("America/New_York")
    except (ValueError, ZoneInfoNotFoundError):
        return None
    first, second = (int(when.replace(tzinfo=when.tzinfo or zone, fold=fold).timestamp()) for fold in (0, 1))
    return first * 1_000 if first == second else None


def _whole(cell: str, units: int) -> int | None:
    """A decimal in whole units; more digits than the unit has are cut off. None for a cell that holds no number."""
    try:
        value = Decimal(cell) * units
    except InvalidOperation:
        return None
    return int(value) if value.is_finite() and abs(value) < NUMBER_MAX else None
