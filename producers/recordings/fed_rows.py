"""Rows of the recording `xv_fed_dec2025`: one contract on both venues, summed up about every half hour, as CSV.

Decides only how a line becomes two polls of best prices, Polymarket's first, both at the line's one stamp. The file names no
market, so this does. A cell that holds no number is None, which the importer judges. Depth below the best level is known as sums
only and is left out: an edge is quoted for what stands at the best prices.
"""

import csv
import gzip
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TextIO

from producers.errors import RecordingError
from producers.recordings.rows import Row

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
    try:
        with _open_text(file) as text:
            lines = csv.DictReader(text)
            missing = [name for name in NEEDED if name not in (lines.fieldnames or ())]
            if missing:
                raise RecordingError(f"{file} has not the columns of xv-fed; missing: {', '.join(missing)}")
            for line in lines:
                yield from _two_rows(line)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise RecordingError(f"{file} cannot be read as CSV: {error}") from error


def _open_text(file: Path) -> TextIO:
    if file.suffix == ".gz":
        return gzip.open(file, "rt", encoding="utf-8", newline="")
    return file.open(encoding="utf-8", newline="")


def _two_rows(line: dict[str, str]) -> Iterator[Row]:
    stamp = _whole(line["timestamp_ms"], 1)
    for venue, word in VENUES:
        bid_no = _whole(line[f"{word}_best_bid_no"], 10_000)
        yield Row(
            fetch_ms=stamp,
            venue=venue,
            kalshi_ticker=KALSHI_TICKER,
            polymarket_token=POLYMARKET_NAME,
            bid_1e4=_whole(line[f"{word}_best_bid_yes"], 10_000),
            ask_1e4=None if bid_no is None else 10_000 - bid_no,
            bid_size_1e2=_whole(line[f"{word}_depth_best_yes"], 100),
            ask_size_1e2=_whole(line[f"{word}_depth_best_no"], 100),
            venue_ms=None,
        )


def _whole(cell: str | None, units: int) -> int | None:
    """A decimal in whole units; more digits than the unit has are cut off. None for a cell that holds no number."""
    try:
        value = Decimal(cell or "") * units
    except InvalidOperation:
        return None
    return int(value) if value.is_finite() else None
