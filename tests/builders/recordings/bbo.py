"""A small recording of best bids and offers, its fee file, and its import."""

from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from crossbook.market.configuration import Configuration
from crossbook.runtime.settings import Settings
from producers.recordings.bbo.replay import Recording
from producers.recordings.frame import TAIL_NS, ImportReport, send_log
from tests.builders.producers.announced import ANNOUNCED as ANY_SETTINGS
from tests.builders.producers.senders import MemorySender

FIRST_MS = 1_783_200_000_000
WINDOW_NS = 2_000_000_000
ANNOUNCED = msgspec.structs.replace(ANY_SETTINGS, jump_ns=WINDOW_NS, polled_fresh_ns=WINDOW_NS, feed_stale_ns=WINDOW_NS)


def configured(ts_ns):
    """What an importer writes of it."""
    return Configuration.of(ANNOUNCED, ts_received_ns=ts_ns, control_offset=-1)


TOKEN = "12345"
TICKER = "KXCUP-26-X"
FEES: dict[str, Any] = {
    "version": 1,
    "pairing": {"evidence": "same contract"},
    "markets": [
        {"venue": "kalshi", "id": TICKER, "model": "kalshi_quadratic", "taker_rate": "0.07", "effective": "2026-05-28",
         "evidence": "e", "source": "s"},
        {"venue": "polymarket", "id": TOKEN, "model": "polymarket_curve", "taker_rate": "0.03", "effective": "2026-07-02",
         "until": "2026-07-10", "evidence": "e", "source": "s"},
    ],
}  # fmt: skip


def row(offset_ms: int, venue: str, bid: int | None = 540, ask: int | None = 590, **more: Any) -> dict[str, Any]:
    return {
        "cycle_ms": FIRST_MS + offset_ms - 300, "fetch_ms": FIRST_MS + offset_ms, "venue": venue, "kalshi_ticker": TICKER,
        "polymarket_token": TOKEN, "bid_1e4": bid, "ask_1e4": ask, "bid_size_1e2": None if bid is None else 1_000,
        "ask_size_1e2": None if ask is None else 2_000, "venue_ms": FIRST_MS if venue == "polymarket" else None,
    } | more  # fmt: skip


ROWS = [row(0, "kalshi"), row(200, "polymarket"), row(3_700, "kalshi", bid=None), row(3_900, "polymarket", 550)]


def write(tmp_path: Path, rows: list[dict], name: str = "a.parquet") -> Path:
    schema = pa.schema(
        [(n, pa.string() if n in {"venue", "kalshi_ticker", "polymarket_token"} else pa.int64()) for n in ROWS[0]]
    )
    file = tmp_path / name
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, row_group_size=2)
    return file


def fees(tmp_path: Path, content: Any = FEES) -> Path:
    file = tmp_path / "fees.yaml"
    # Dates are plain YAML dates, not text.
    file.write_text(
        yaml.safe_dump(content)
        .replace("'2026", "2026")
        .replace("-28'", "-28")
        .replace("-02'", "-02")
        .replace("-10'", "-10")
    )
    return file


def imported(
    recording: Recording, *, speed: float = 0, already: dict[int, int] | None = None
) -> tuple[MemorySender, ImportReport]:
    sender = MemorySender()
    report = ImportReport(log_id=recording.log_id(Settings()))
    decide = configured(recording.survey.ts_first_ns)
    clock = {"now": 0.0}

    def pause(seconds: float) -> None:
        clock["now"] += seconds

    log = recording.log(report.log_id, decide, report)
    send_log(log, sender, report, already=already or {}, speed=speed, stopped=lambda: False, pause=pause,
             monotonic=lambda: clock["now"])  # fmt: skip
    if speed:
        assert clock["now"] == pytest.approx((3_900_000_000 + TAIL_NS) / 1e9 / speed, abs=0.01)
    return sender, report
