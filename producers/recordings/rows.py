"""Rows of a `bbo_pairs` recording: best bid and ask of one contract on both venues, polled in turn.

Decides which files have the layout and in which order rows are read: by `fetch_ms`, ties in file order. It must never hold a
file in memory, unless the file is out of order and has to be sorted. Prices are dollars × 10,000, sizes × 100, times ms.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from producers.errors import RecordingError

INTEGERS = ("cycle_ms", "fetch_ms", "bid_1e4", "ask_1e4", "bid_size_1e2", "ask_size_1e2", "venue_ms")
TEXTS = ("venue", "kalshi_ticker", "polymarket_token")
BATCH_ROWS = 4_096
#: Ten digits of seconds and three of ms, up to the year 2286: ns still fit 63 bits.
FETCH_MS_MAX = 9_223_372_036_854


class Row(NamedTuple):
    """One poll of one venue; anything may be None or nonsense, the importer judges."""

    fetch_ms: int | None
    venue: str | None
    kalshi_ticker: str | None
    polymarket_token: str | None
    bid_1e4: int | None
    ask_1e4: int | None
    bid_size_1e2: int | None
    ask_size_1e2: int | None
    venue_ms: int | None

    @property
    def usable(self) -> bool:
        """Whether it says which market it is of, and when it was read."""
        return (
            self.fetch_ms is not None
            and 0 < self.fetch_ms < FETCH_MS_MAX
            and self.venue in {"kalshi", "polymarket"}
            and bool(self.kalshi_ticker)
            and bool(self.polymarket_token)
        )

    @property
    def name(self) -> str:
        """The row's market, as its venue names it."""
        return (self.kalshi_ticker if self.venue == "kalshi" else self.polymarket_token) or ""


class Survey(NamedTuple):
    """What a first pass over the files says."""

    ts_first_ns: int
    ts_last_ns: int
    pairs: tuple[tuple[str, str], ...]  # (Kalshi ticker, Polymarket token), in the order of appearance
    cadence_ms: dict[tuple[str, str], int]  # (venue, name) → median interval of its polls
    in_order: tuple[bool, ...]
    rows: int


#: Reads the rows of one file, in its own order.
ReadFile: TypeAlias = Callable[[Path], Iterator[Row]]


def survey(files: Sequence[Path], read: ReadFile | None = None) -> Survey:
    """Check the layout of every file and learn what it holds; `read` knows the layout, Parquet columns without one.

    Raises:
        RecordingError: no file, no Parquet, columns missing or of the wrong type, no usable row.
    """
    if not files:
        raise RecordingError("name at least one recording")
    read = parquet_rows if read is None else read
    pairs: dict[tuple[str, str], None] = {}
    intervals: dict[tuple[str, str], Counter[int]] = {}
    before: dict[tuple[str, str], int] = {}
    in_order: list[bool] = []
    first, last, count = FETCH_MS_MAX, 0, 0
    for file in files:
        at, ordered = 0, True
        for row in read(file):
            count += 1
            if not row.usable:
                continue
            assert row.fetch_ms is not None, "usable rows have a time"
            ordered = ordered and row.fetch_ms >= at
            at = row.fetch_ms
            first, last = min(first, at), max(last, at)
            pairs[row.kalshi_ticker or "", row.polymarket_token or ""] = None
            key = (row.venue or "", row.name)
            if key in before and at > before[key]:
                intervals.setdefault(key, Counter())[at - before[key]] += 1
            before[key] = at
        in_order.append(ordered)
    if not pairs:
        raise RecordingError(f"{', '.join(str(file) for file in files)}: no row names a market and a time")
    cadence = {key: _median(intervals.get(key, Counter())) for key in before}
    return Survey(first * 1_000_000, last * 1_000_000, tuple(pairs), cadence, tuple(in_order), count)


def read_rows(files: Sequence[Path], in_order: Sequence[bool], read: ReadFile | None = None) -> Iterator[Row]:
    """Every row of every file, by fetch_ms; rows without one come where they stand."""
    reader = parquet_rows if read is None else read
    streams = [_keyed(file, ordered, reader) for file, ordered in zip(files, in_order, strict=True)]
    for _, _, row in heapq.merge(*(_numbered(i, stream) for i, stream in enumerate(streams)), key=lambda e: e[:2]):
        yield row


def digest_file(path: Path) -> str:
    """SHA-256 hex of a file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise RecordingError(f"{path} cannot be read: {error.strerror}") from error


def _numbered(index: int, stream: Iterator[tuple[int, Row]]) -> Iterator[tuple[int, int, Row]]:
    for at, row in stream:
        yield at, index, row


def _keyed(file: Path, ordered: bool, read: ReadFile) -> Iterator[tuple[int, Row]]:
    """Rows with the time that they sort by: an unusable row sorts with the one before it."""
    at = 0
    rows = read(file) if ordered else iter(_sorted_rows(read(file)))
    for row in rows:
        at = row.fetch_ms if row.usable and row.fetch_ms is not None else at
        yield at, row


def _sorted_rows(rows: Iterator[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row.fetch_ms if row.fetch_ms is not None else 0)


def parquet_rows(file: Path) -> Iterator[Row]:
    """Rows of a Parquet file with the columns of bbo-pairs. Raises RecordingError for any other file."""
    try:
        parquet = pq.ParquetFile(file)
    except OSError as error:
        raise RecordingError(f"{file} cannot be read: {error}") from error
    except pa.ArrowInvalid as error:
        raise RecordingError(f"{file} is no Parquet file: {error}") from error
    with parquet:
        _check_columns(file, parquet.schema_arrow)
        columns = list(Row._fields)
        for batch in parquet.iter_batches(batch_size=BATCH_ROWS, columns=columns):
            lists: list[list[Any]] = [batch.column(name).to_pylist() for name in columns]
            for values in zip(*lists, strict=True):
                yield Row(*values)


def _check_columns(file: Path, schema: pa.Schema) -> None:
    missing = [name for name in (*INTEGERS, *TEXTS) if name not in schema.names]
    wrong = [n for n in INTEGERS if n in schema.names and not pa.types.is_integer(schema.field(n).type)]
    wrong += [n for n in TEXTS if n in schema.names and not _is_text(schema.field(n).type)]
    if missing or wrong:
        said = [f"missing: {', '.join(missing)}"] if missing else []
        said += [f"of the wrong type: {', '.join(f'{n} ({schema.field(n).type})' for n in wrong)}"] if wrong else []
        raise RecordingError(
            f"{file} has not the columns of bbo-pairs; {'; '.join(said)}. "
            f"Integers: {', '.join(INTEGERS)}. Text: {', '.join(TEXTS)}."
        )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _median(intervals: Counter[int]) -> int:
    """Lower median; 0 when a market was polled once."""
    half = (intervals.total() + 1) // 2
    seen = 0
    for interval in sorted(intervals):
        seen += intervals[interval]
        if seen >= half:
            return interval
    return 0
