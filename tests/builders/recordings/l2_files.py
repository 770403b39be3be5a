"""Small L2 recordings with chosen defects, in the layouts of the real ones, and how tests run an importer."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from crossbook.market.market_state import MarketState
from crossbook.runtime.settings import Settings
from producers.recordings.frame import ImportReport, Placed, Recording
from schemas.records import Record
from tests.builders.recordings.bbo import configured

MS = 1_000_000
#: 2026-05-12 00:00:00 UTC, ms.
DAY_MS = 1_778_544_000_000
CLOSE_MS = DAY_MS + 900_000
TICKER = "KXTEST15M-26MAY112015-15"
LATER = "KXTEST15M-26MAY112030-30"
SNAPSHOT, DELTA, TRADE, EMPTY = range(4)
R = TypeVar("R", bound=Record)


def event(kind: int, offset_ms: int, **more: Any) -> dict[str, Any]:
    """A row of `events.parquet`, `offset_ms` after midnight; snapshots have no `ts_ms`."""
    received = DAY_MS + offset_ms
    row = {
        "market": TICKER, "evt": 0, "recv_ms": received, "ts_ms": None if kind in {SNAPSHOT, EMPTY} else received - 10,
        "sid": 0, "seq": 1, "kind": kind, "side": -1 if kind == EMPTY else 0, "price_1e4": -1 if kind == EMPTY else 5_000,
        "size_1e2": 0, "taker": -1,
    }  # fmt: skip
    return row | more


def book(offset_ms: int, evt: int, seq: int, *levels: tuple[int, int, int], **more: Any) -> list[dict[str, Any]]:
    """Rows of one snapshot: (side, price, size)."""
    return [event(SNAPSHOT, offset_ms, evt=evt, seq=seq, side=s, price_1e4=p, size_1e2=q, **more) for s, p, q in levels]


def change(offset_ms: int, evt: int, seq: int, side: int, price: int, size: int, **more: Any) -> dict[str, Any]:
    """A row of one signed change."""
    return event(DELTA, offset_ms, evt=evt, seq=seq, side=side, price_1e4=price, size_1e2=size, **more)


def write_events(folder: Path, rows: Sequence[dict[str, Any]], markets: Sequence[tuple[str, int, str]] = ()) -> Path:
    """A folder like that of a Kalshi recording; markets are (ticker, close ms, result)."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = [(name, pa.string() if name == "market" else pa.int64()) for name in event(DELTA, 0)]
    table = pa.Table.from_pylist(list(rows), schema=pa.schema(fields))
    pq.write_table(table, folder / "events.parquet", row_group_size=5, use_dictionary=["market"])
    lines = ["market,close_time,strike,result,expiration_value"]
    for ticker, close_ms, result in markets or ((TICKER, CLOSE_MS, "yes"), (LATER, CLOSE_MS + 900_000, "no")):
        lines.append(f"{ticker},{iso(close_ms)},100.5,{result},")
    (folder / "markets.csv").write_text("\n".join(lines) + "\n")
    return folder


def iso(ms: int) -> str:
    """A time as the recordings write it."""
    return dt.datetime.fromtimestamp(ms // 1_000, dt.UTC).isoformat().replace("+00:00", "Z")


def write_fees(folder: Path, **more: Any) -> Path:
    """A fee file of one entry for a series."""
    entry = {
        "venue": "kalshi", "id": "KXTEST15M-*", "model": "kalshi_quadratic", "taker_rate": "0.07", "member": "fcm",
        "effective": "2026-05-01", "evidence": "e", "source": "s", "tick": "0.01",
    } | more  # fmt: skip
    text = yaml.safe_dump({"version": 1, "markets": [{k: v for k, v in entry.items() if v is not None}]})
    file = folder / "fees.yaml"
    file.write_text(text.replace("'2026-05-01'", "2026-05-01").replace("'2026-05-28'", "2026-05-28"))
    return file


def run(recording: Recording) -> tuple[list[Placed], ImportReport]:
    """Everything that an importer makes."""
    report = ImportReport(log_id=recording.log_id(Settings()))
    placed = list(recording.log(report.log_id, configured(recording.ts_first_ns), report))
    return placed, report


def adds_up(report: ImportReport) -> bool:
    """Whether every row that was read was used or dropped, by a reason."""
    return report.rows == report.used.total() + report.dropped.total() and all(report.dropped.values())


def of_kind(placed: Sequence[Placed], kind: type[R]) -> list[R]:
    """Records of one class, in order."""
    return [one.record for one in placed if isinstance(one.record, kind)]


def folded(placed: Sequence[Placed], partition: int = 0) -> MarketState:
    """The state after a partition; no two stamps go back, and no jump of time stays unconfirmed."""
    state = MarketState()
    before = 0
    records = [one for one in placed if one.partition == partition]
    for position, one in enumerate(records):
        assert one.ts_ns >= before
        assert one.record.ts_received_ns == one.ts_ns  # type: ignore[attr-defined]  # every record of market has it
        before = one.ts_ns
        state.apply(position, one.record)
    assert not state.suspect
    assert state.clamped == 0
    return state


def same_without_stamps(one: Record, other: Record) -> bool:
    """Equal but for the time of receipt."""
    return msgspec.structs.replace(one, ts_received_ns=0) == msgspec.structs.replace(other, ts_received_ns=0)
