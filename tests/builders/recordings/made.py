"""One small valid recording of every format, as rows that a test may damage before they are written."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from producers.recordings.bbo.fed_rows import NEEDED
from producers.recordings.formats import open_recording
from producers.recordings.frame import ImportReport, Placed
from tests.builders.recordings import bbo, binance, fed, polymarket
from tests.builders.recordings.l2_files import (
    DAY_MS,
    EMPTY,
    LATER,
    TRADE,
    book,
    change,
    event,
    run,
    write_events,
    write_fees,
)

Rows = list[dict[str, Any]]
SPOT_FIRST = DAY_MS * 1_000 + 40_000


class Format(NamedTuple):
    """A format: its rows, what writes them into a folder and names the files to import, its fee file, and the columns of its stamps."""

    name: str
    rows: Callable[[], Rows]
    write: Callable[[Path, Rows], list[Path]]
    fees: Callable[[Path], Path | None]
    stamps: tuple[str, ...]


def imported(made: Format, folder: Path, rows: Rows, partitions: int = 2) -> tuple[list[Placed], ImportReport]:
    """Write the rows and import them."""
    folder.mkdir(parents=True, exist_ok=True)
    return run(open_recording(made.name, made.write(folder, rows), made.fees(folder), partitions))


def kalshi_rows(*, gold: bool) -> Rows:
    """Two markets with a snapshot each, changes, an empty snapshot, a crossing, a gap with a new snapshot, and (gold) trades."""
    rows: Rows = []
    evt = seq = 0
    for market, at in (("", 0), (LATER, 20_000)):
        more = {"market": market} if market else {}
        evt = 0 if market else evt
        rows += book(at, evt, seq + 1, (0, 4_000, 1_000), (0, 3_900, 500), (1, 5_500, 700), (1, 5_400, 70), **more)
        seq += 1
        for number in range(1, 40):
            evt, seq = evt + 1, seq + 1
            offset = at + 137 * number - (90 if number % 11 == 0 else 0)
            if number == 20:
                rows.append(event(EMPTY, offset, evt=evt, seq=seq, **more))
            elif number in {7, 21}:
                rows += book(offset, evt, seq, (0, 4_000, 900 + number), (0, 3_800, 5), (1, 5_500, 700), **more)
            elif gold and number % 9 == 4:
                rows.append(
                    event(
                        TRADE,
                        offset,
                        evt=evt,
                        seq=number,
                        sid=1,
                        size_1e2=100 + number,
                        price_1e4=4_500,
                        taker=number % 2,
                        **more,
                    )
                )
                seq -= 1
            else:
                rows.append(change(offset, evt, seq, number % 2, 5_500 if number % 2 else 4_000, 10 + number, **more))
        evt, seq = evt + 3, seq + 2  # two messages are missing
        rows.append(change(at + 6_000, evt, seq, 0, 4_000, 5, **more))
        rows += book(at + 6_100, evt + 1, seq + 1, (0, 4_200, 900), (1, 5_000, 1), **more)
        seq += 1
    return rows


def write_kalshi(folder: Path, rows: Rows, *, spot: bool) -> list[Path]:
    """Events, markets and, for bitcoin, spot prices; rows with the column `recv_us` are prices."""
    write_events(folder, [row for row in rows if "recv_us" not in row])
    prices = [row for row in rows if "recv_us" in row]
    if spot and prices:
        schema = pa.schema([(name, pa.int64()) for name in prices[0]])
        pq.write_table(
            pa.Table.from_pylist(prices, schema=schema), folder / "spot_coinbase_btcusd.parquet", row_group_size=7
        )
    return [folder]


def spot_rows() -> Rows:
    """Prices every 0.4 s, some out of the order of their numbers."""
    return [
        {"recv_us": SPOT_FIRST + 400_000 * n, "ts_us": SPOT_FIRST + 400_000 * n - 9_000, "price_1e2": 8_000_000 + n, "trade_id": 500 + (n ^ 1)}
        for n in range(60)
    ]  # fmt: skip


def polymarket_rows() -> Rows:
    """Two markets of both tokens with steps of time back, a silence and rows after the end."""
    rows: Rows = []
    for market in (0, 1):
        rows += polymarket.message(
            0, 100, polymarket.WHOLE, (0, 400, 1_000), (0, 390, 500), (1, 450, 700), market=market
        )
        for seq in range(1, 40):
            token = int(seq % 3 == 0)
            offset = (
                100 + 150 * seq - (400 if seq % 7 == 0 else 0) + (400 if token else 0) + (15_000 if seq > 30 else 0)
            )
            if seq > 36:
                offset += 300_000
            kind = polymarket.SAME if seq % 5 == 0 else polymarket.CHANGED
            levels = () if kind == polymarket.SAME else ((0, 400 - seq % 4, 10 * seq), (1, 450 + seq % 3, 7 * seq))
            rows += polymarket.message(seq, offset, kind, *levels, token=token, market=market)
    return rows


def write_polymarket(folder: Path, rows: Rows) -> list[Path]:
    """Books and markets."""
    return [polymarket.write(folder, rows)]


def bbo_rows() -> Rows:
    """Both venues by turns, with empty sides and a silence."""
    return [
        bbo.row(3_700 * (n // 2) + 200 * (n % 2) + (50_000 if n > 60 else 0), ("kalshi", "polymarket")[n % 2],
                bid=None if n % 13 == 5 else 540 + n % 7 * 10, ask=700 + n % 5 * 10)
        for n in range(100)
    ]  # fmt: skip


def write_bbo(folder: Path, rows: Rows) -> list[Path]:
    """One Parquet file."""
    return [bbo.write(folder, rows)]


def fed_lines() -> Rows:
    """A line each half hour."""
    cells = dict(zip(NEEDED, fed.line(fed.STAMP), strict=True))
    return [
        cells | {"timestamp_ms": str(fed.STAMP + 1_800_000 * n), "kalshi_depth_best_yes": str(100 + n)}
        for n in range(40)
    ]


def write_fed(folder: Path, rows: Rows) -> list[Path]:
    """One CSV file."""
    return [fed.write_csv(folder / "fed.csv", *([str(row[name]) for name in NEEDED] for row in rows))]


def binance_rows() -> Rows:
    """Lines of one connection."""
    rows = [{"ts": binance.START_NS + after * binance.MS, "frame": frame} for after, frame in binance.SPOT]
    for n in range(40):
        at = 720 + 20 * n
        frame = binance.trade(10 + n, at) if n % 3 == 0 else binance.quote(30 + n, bid=f"99.{n:02}")
        rows.append({"ts": binance.START_NS + at * binance.MS, "frame": frame})
    return rows


def write_binance(folder: Path, rows: Rows) -> list[Path]:
    """Plain lines."""
    file = folder / "spot.ndjson"
    frames = ((row["ts"], row["frame"]) for row in rows)
    file.write_text("".join(f"{ts} {json.dumps(frame, separators=(',', ':'))}\n" for ts, frame in frames))
    return [file]


FORMATS: Sequence[Format] = (
    Format("bbo-pairs", bbo_rows, write_bbo, bbo.fees, ("fetch_ms", "venue_ms")),
    Format("xv-fed-dec2025", fed_lines, write_fed, lambda _: fed.FEES, ("timestamp_ms",)),
    Format("polymarket-btc5m-l2", polymarket_rows, write_polymarket, polymarket.write_fees, ("market_start", "ts_ms", "recv_ms")),
    Format(
        "kalshi-btc15m-l2-spot", lambda: kalshi_rows(gold=False) + spot_rows(), lambda f, r: write_kalshi(f, r, spot=True), write_fees,
        ("recv_ms", "ts_ms", "recv_us", "ts_us"),
    ),
    Format(
        "kalshi-gold15m-l2", lambda: kalshi_rows(gold=True), lambda f, r: write_kalshi(f, r, spot=False), write_fees, ("recv_ms", "ts_ms")
    ),
    Format("binance-wire-2024-08", binance_rows, write_binance, lambda _: None, ("ts",)),
)  # fmt: skip
