"""Rows of a `bbo_pairs` recording: best bid and ask of one contract on both venues, polled in turn.

Decides which files have the layout, which markets are a pair, and in which order rows are read: by `fetch_ms`, ties in file order.
A pair is what the rows agree on, or what the fee file declares: twice as many rows must name it as name one of its two markets with
another partner; then those others are wrong and dropped one by one. It must never hold a file in memory, unless the file is
out of order and has to be sorted. Prices are dollars × 10,000, sizes × 100, times ms.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from crossbook.domain.names import KALSHI, POLYMARKET
from producers.errors import RecordingError
from producers.recordings.clocks import APART_MS, UnitCheck, bounds, possible
from producers.recordings.columns import is_text, reading

INTEGERS = ("cycle_ms", "fetch_ms", "bid_1e4", "ask_1e4", "bid_size_1e2", "ask_size_1e2", "venue_ms")
TEXTS = ("venue", "kalshi_ticker", "polymarket_token")
BATCH_ROWS = 4_096
#: The field that names a row's market, by its venue.
NAMED_BY: Final = {KALSHI: "kalshi_ticker", POLYMARKET: "polymarket_token"}
STRAY = "hours from every other row"


class Row(NamedTuple):
    """One poll of one venue; anything may be None or nonsense, the importer judges. `problem`: what its reader could not make of it."""

    fetch_ms: int | None
    venue: str | None
    kalshi_ticker: str | None
    polymarket_token: str | None
    bid_1e4: int | None
    ask_1e4: int | None
    bid_size_1e2: int | None
    ask_size_1e2: int | None
    venue_ms: int | None
    cycle_ms: int | None = None
    problem: str = ""

    @property
    def refusal(self) -> str:
        """Why it does not say which market it is of, or when it was read; empty when it does."""
        if self.problem:
            return self.problem
        if (
            not possible(self.fetch_ms, "ms")
            or self.venue not in NAMED_BY
            or not self.kalshi_ticker
            or not self.polymarket_token
        ):
            return "no market or time"
        assert self.fetch_ms is not None, "it is possible"
        if (
            self.cycle_ms is not None
            and possible(self.cycle_ms, "ms")
            and abs(self.fetch_ms - self.cycle_ms) > APART_MS
        ):
            return "clocks of a row ten minutes apart"
        return ""

    @property
    def usable(self) -> bool:
        """Whether it says which market it is of, and when it was read."""
        return not self.refusal

    @property
    def pair(self) -> tuple[str, str]:
        """Kalshi ticker and Polymarket token."""
        return self.kalshi_ticker or "", self.polymarket_token or ""

    @property
    def name(self) -> str:
        """The market of a usable row, as its venue names it."""
        name: str | None = getattr(self, NAMED_BY[self.venue or ""])
        return name or ""


class Survey(NamedTuple):
    """What a first pass over the files says."""

    ts_first_ns: int
    ts_last_ns: int
    pairs: tuple[tuple[str, str], ...]  # (Kalshi ticker, Polymarket token) that hold, in the order of appearance
    cadence_ms: dict[tuple[str, str], int]  # (venue, name) → median interval of its polls
    in_order: tuple[bool, ...]
    rows: int


#: Reads the rows of one file, in its own order.
ReadFile: TypeAlias = Callable[[Path], Iterator[Row]]


def survey(
    files: Sequence[Path], read: ReadFile | None = None, declared: Sequence[tuple[str, str]] | None = None
) -> Survey:
    """Check the layout of every file and learn what it holds; `read` knows the layout, Parquet columns without one.

    Raises:
        RecordingError: no file, no Parquet, columns missing or of the wrong type or unit, no usable row, or pairs that contradict
            each other.
    """
    if not files:
        raise RecordingError("name at least one recording")
    read = parquet_rows if read is None else read
    pairs: Counter[tuple[str, str]] = Counter()
    intervals: dict[tuple[str, str], Counter[int]] = {}
    before: dict[tuple[str, str], int] = {}
    in_order: list[bool] = []
    first, last, count = bounds("ms")[1], 0, 0
    for file in files:
        at, ordered = 0, True
        units = [UnitCheck(file, name, "ms") for name in ("fetch_ms", "venue_ms", "cycle_ms")]
        for row in read(file):
            count += 1
            for unit, stamp in zip(units, (row.fetch_ms, row.venue_ms, row.cycle_ms), strict=True):
                unit.see_one(stamp)
            if not row.usable:
                continue
            assert row.fetch_ms is not None, "usable rows have a time"
            ordered = ordered and row.fetch_ms >= at
            at = row.fetch_ms
            first, last = min(first, at), max(last, at)
            pairs[row.pair] += 1
            key = (row.venue or "", row.name)
            if key in before and at > before[key]:
                intervals.setdefault(key, Counter())[at - before[key]] += 1
            before[key] = at
        in_order.append(ordered)
        for unit in units:
            unit.judge(strict=unit is units[0])
    if not pairs:
        raise RecordingError(f"{', '.join(str(file) for file in files)}: no row names a market and a time")
    cadence = {key: _median(intervals.get(key, Counter())) for key in before}
    held = agreed(pairs) if declared is None else tuple(declared)
    return Survey(first * 1_000_000, last * 1_000_000, held, cadence, tuple(in_order), count)


def agreed(pairs: Counter[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The pairs that the rows agree on, in the order of appearance: each market has one partner, the one most rows name.

    Raises:
        RecordingError: fewer than twice as many rows name a pair as name one of its markets with another partner.
    """
    tickers: dict[str, tuple[str, str]] = {}
    tokens: dict[str, tuple[str, str]] = {}
    for pair, _ in pairs.most_common():
        if pair[0] not in tickers and pair[1] not in tokens:
            tickers[pair[0]] = tokens[pair[1]] = pair
    for pair, rows in pairs.items():
        for held in (tickers.get(pair[0], pair), tokens.get(pair[1], pair)):
            if held != pair and pairs[held] < 2 * rows:
                raise RecordingError(
                    f"rows pair {' with '.join(held)} ({pairs[held]:,} rows) and {' with '.join(pair)} ({rows:,} rows); which of them "
                    "holds is for the fee file to say (pairing.pairs)"
                )
    return tuple(pair for pair in pairs if tickers.get(pair[0]) == pair)


def without_strays(rows: Iterable[Row], limit: int, gap_ms: int, drop: Callable[[str, int], None]) -> Iterator[Row]:
    """Rows in the order of time, but for a few that stand alone, hours from every other one; they are counted."""
    held: list[Row] = []  # of a stretch that is still short enough to be astray
    at: int | None = None
    short = True
    for row in rows:
        if row.usable:
            assert row.fetch_ms is not None, "usable rows have a time"
            if at is not None and row.fetch_ms - at > gap_ms:
                if short and held:
                    drop(STRAY, len(held))
                held, short = [], True
            at = row.fetch_ms
        if not short:
            yield row
            continue
        held.append(row)
        if len(held) > limit:
            yield from held
            held, short = [], False
    if short and held:
        drop(STRAY, len(held))


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
    with reading(file), pq.ParquetFile(file) as parquet:
        _check_columns(file, parquet.schema_arrow)
        columns = [name for name in Row._fields if name != "problem"]
        for batch in parquet.iter_batches(batch_size=BATCH_ROWS, columns=columns):
            lists: list[list[Any]] = [batch.column(name).to_pylist() for name in columns]
            for values in zip(*lists, strict=True):
                yield Row(*values)


def _check_columns(file: Path, schema: pa.Schema) -> None:
    missing = [name for name in (*INTEGERS, *TEXTS) if name not in schema.names]
    wrong = [n for n in INTEGERS if n in schema.names and not pa.types.is_integer(schema.field(n).type)]
    wrong += [n for n in TEXTS if n in schema.names and not is_text(schema.field(n).type)]
    if missing or wrong:
        said = [f"missing: {', '.join(missing)}"] if missing else []
        said += [f"of the wrong type: {', '.join(f'{n} ({schema.field(n).type})' for n in wrong)}"] if wrong else []
        raise RecordingError(
            f"{file} has not the columns of bbo-pairs; {'; '.join(said)}. "
            f"Integers: {', '.join(INTEGERS)}. Text: {', '.join(TEXTS)}."
        )


def _median(intervals: Counter[int]) -> int:
    """Lower median; 0 when a market was polled once."""
    half = (intervals.total() + 1) // 2
    seen = 0
    for interval in sorted(intervals):
        seen += intervals[interval]
        if seen >= half:
            return interval
    return 0
