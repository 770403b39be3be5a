"""Archive: write and read deltas as columns, lines and records; bytes an event, synthetic and on a real recording.

The real one is read from `../shared` where that exists; its book events become records as an importer makes them.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pyarrow import parquet

from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import BATCH_LINES, ArchiveWriter
from crossbook.log.reading import LogLine
from schemas.codec import load_codec
from schemas.records import BookDelta, BookSnapshot, PublicTrade, Record
from tests.bench.market import MIXED, World
from tests.bench.report import Row
from tests.builders.places import SHARED

RECORDING = SHARED / "data" / "kalshi_gold15m_l2" / "events.parquet"
EVENTS = 1_000_000
T0 = 1_780_000_000_000_000_000
MS_NS = 1_000_000
#: The recording has prices in 10^-4 of a dollar and sizes in 10^-2 of a contract.
PRICE, SIZE = 100, 10_000
DOLLAR = 1_000_000
SNAPSHOT_LEVEL, DELTA, TRADE, EMPTY_SNAPSHOT = 0, 1, 2, 3
WRITE_GOAL, READ_GOAL, BYTES_GOAL = 300_000.0, 1_000_000.0, 12.0


def run() -> list[Row]:
    """Both sources, one after the other."""
    rows = _measure("synthetic deltas of 80 books", _synthetic(EVENTS), goal_bytes=None)
    if RECORDING.is_file():
        rows += _measure("recorded Kalshi L2 (gold, 15 min)", _recorded(EVENTS), goal_bytes=BYTES_GOAL)
    return rows


def _synthetic(events: int) -> Iterator[Record]:
    world = World(40, MIXED)
    for number in range(events):
        yield world.update(T0 + number * 200_000)


def _recorded(events: int) -> Iterator[Record]:
    """The recording's rows as records: absolute sizes, YES terms, numbered per instrument."""
    books: dict[str, tuple[dict[int, int], dict[int, int]]] = {}
    numbers: dict[str, int] = {}
    for market, rows in islice(_messages(), events):
        head = rows[0]
        kind = head["kind"]
        stamps = {
            "ts_received_ns": head["recv_ms"] * MS_NS,
            "ts_venue_ns": None if head["ts_ms"] is None else head["ts_ms"] * MS_NS,
            "instrument_id": f"kalshi:{market}",
            "feed": "kalshi",
            "session": 1,
        }
        if kind == TRADE:
            yield PublicTrade(
                **stamps, trade_id="", price_micros=head["price_1e4"] * PRICE, quantity_micros=head["size_1e2"] * SIZE,
                taker_side="buy" if head["taker"] == 0 else "sell",
            )  # fmt: skip
        else:
            number = numbers[market] = numbers.get(market, 0) + 1
            yield _book_event(books, market, rows, stamps | {"sequence": number})


def _book_event(
    books: dict[str, tuple[dict[int, int], dict[int, int]]], market: str, rows: Sequence[Any], common: dict[str, Any]
) -> Record:
    kind = rows[0]["kind"]
    if kind != DELTA:
        books[market] = ({}, {})
    book = books.setdefault(market, ({}, {}))
    changed: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for row in rows if kind != EMPTY_SNAPSHOT else ():
        price, size = row["price_1e4"] * PRICE, row["size_1e2"] * SIZE
        side = row["side"]
        at = price if side == 0 else DOLLAR - price
        book[side][at] = changed[side][at] = size if kind == SNAPSHOT_LEVEL else book[side].get(at, 0) + size
    bids, asks = sorted(changed[0].items(), reverse=True), sorted(changed[1].items())
    levels = {
        "bid_prices": tuple(price for price, _ in bids),
        "bid_sizes": tuple(size for _, size in bids),
        "ask_prices": tuple(price for price, _ in asks),
        "ask_sizes": tuple(size for _, size in asks),
    }
    if kind == DELTA:
        return BookDelta(**common, previous_sequence=common["sequence"] - 1, **levels)
    return BookSnapshot(**common, delivery="streaming", cadence_ms=0, keyframe=False, **levels)


def _messages() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Rows that were one message: those of one market and message number."""
    rows: list[dict[str, Any]] = []
    for batch in parquet.ParquetFile(RECORDING).iter_batches(8_192):
        for row in batch.to_pylist():
            if rows and (row["market"], row["evt"]) != (rows[0]["market"], rows[0]["evt"]):
                yield rows[0]["market"], rows
                rows = []
            rows.append(row)
    if rows:
        yield rows[0]["market"], rows


def _lines(records: Iterator[Record]) -> list[LogLine]:
    codec = load_codec()
    return [
        LogLine(offset, getattr(record, "ts_received_ns", 0) // MS_NS, b"kalshi", codec.encode(record))
        for offset, record in enumerate(records)
    ]


def _measure(what: str, records: Iterator[Record], goal_bytes: float | None) -> list[Row]:
    lines = _lines(records)
    raw = sum(len(line.value) for line in lines) / len(lines)
    folder = Path(tempfile.mkdtemp(prefix="archive-bench-"))
    try:
        started, cpu_started = time.perf_counter(), time.process_time()
        with ArchiveWriter(folder, source="bench", prefix="bench.", partitions=1) as writer:
            for at in range(0, len(lines), BATCH_LINES):
                writer.extend("market", 0, lines[at : at + BATCH_LINES])
        write_rate = len(lines) / (time.perf_counter() - started)
        write_cpu_rate = len(lines) / (time.process_time() - cpu_started)
        log = ArchiveLog(folder)
        log.check()
        kinds = sorted({file.record for _, _, file in log.manifest.files()})
        columns, columns_cpu = _rate(lambda: sum(b.num_rows for kind in kinds for b in log.columns("market", 0, kind)))
        read, read_cpu = _rate(lambda: sum(len(block) for block in log.line_blocks("market", 0)))
        made, made_cpu = _rate(lambda: sum(1 for _ in log.records("market", 0)))
        assert all(a == b for a, b in zip(lines, log.read("market", 0), strict=True)), (
            "what was read is not what was written"
        )
        size = log.manifest.bytes / len(lines)
    finally:
        shutil.rmtree(folder)
    common: dict[str, Any] = {"n": len(lines), "warm_up": "none"}
    return [
        Row(
            what=f"archive write: {what}", figures={"rate": write_rate}, unit="events/s",
            goals={"rate": ("≥", WRITE_GOAL)}, note=f"each value encoded again and compared; {write_cpu_rate:,.0f} per second of CPU", **common,
        ),
        Row(
            what=f"archive read: {what}", figures={"columns": columns, "lines": read, "records": made}, unit="events/s",
            goals={"columns": ("≥", READ_GOAL)},
            note="columns: Arrow; lines: the bytes of the log again; records: record objects; "
            f"per second of CPU {columns_cpu:,.0f}, {read_cpu:,.0f}, {made_cpu:,.0f}", **common,
        ),
        Row(
            what=f"archive size: {what}", figures={"size": size}, unit="bytes/event",
            goals={} if goal_bytes is None else {"size": ("≤", goal_bytes)},
            against=f"{raw:.0f} bytes on the wire", **common,
        ),
    ]  # fmt: skip


def _rate(action: Callable[[], int]) -> tuple[float, float]:
    """Things a second, and a second of CPU: on a machine that others use, only the second one says what the work costs."""
    started, cpu_started = time.perf_counter(), time.process_time()
    done = action()
    return done / (time.perf_counter() - started), done / (time.process_time() - cpu_started)
