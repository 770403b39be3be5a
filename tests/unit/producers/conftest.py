"""Listings, frames of the venues' shape, and a sender in memory."""

import hashlib
import json
from typing import Any

import pytest

from crossbook.domain.fees import make_schedule
from crossbook.domain.grid import PriceGrid
from crossbook.runtime.errors import BufferFullError, RecordTooLargeError
from crossbook.runtime.kafka import RECORD_BYTES_MAX
from schemas.codec import load_codec
from schemas.records import InstrumentListed, Record, Venue
from tests.builders.places import SAMPLES


class MemorySender:
    """A sender that keeps what it is given; `room` bounds it like librdkafka's buffer, and no record is larger than a topic takes."""

    def __init__(self, room: int = 1_000_000) -> None:
        self.room = room
        self.sent: list[tuple[str, int, str | None, Record]] = []
        self.waiting = 0
        self._codec = load_codec()
        self._digest = hashlib.sha256()

    def send(self, topic: str, record: Record, *, key: str | None = None, partition: int = -1) -> None:
        if self.waiting >= self.room:
            raise BufferFullError("full")
        value = self._codec.encode(record)
        if len(value) > RECORD_BYTES_MAX:
            raise RecordTooLargeError(f"a record of {len(value)} bytes for {topic} is too large")
        self.waiting += 1
        self.sent.append((topic, partition, key, record))
        self._digest.update(repr((topic, partition, key)).encode() + value)

    def poll(self, timeout_s: float = 0.0) -> None:
        pass

    def flush(self, timeout_s: float = 10.0) -> None:
        self.waiting = 0

    def digest(self) -> str:
        return self._digest.hexdigest()

    def records(self, topic: str = "market") -> list[Record]:
        return [record for name, _, _, record in self.sent if name == topic]


@pytest.fixture
def memory_sender():
    return MemorySender


def make_listing(venue: Venue, symbol: str, **more: Any) -> InstrumentListed:
    fields: dict[str, Any] = {
        "ts_received_ns": 1,
        "instrument_id": f"{venue}:{symbol}",
        "venue": venue,
        "symbol": symbol,
        "event_id": f"{venue}:event-{symbol}",
        "group": "",
        "title": symbol,
        "category": "other",
        "rules_hash": "",
        "resolution_source": "",
        "grid": PriceGrid.linear(10_000).ranges,
        "quantity_step_micros": 10_000,
        "minimums": (),
        "taker_delay_ms": 0,
        "neg_risk": False,
        "exchange_version": "v1",
        "shard": 0,
        "status": "active",
        "fee_schedule": make_schedule(model="free", ts_effective_ns=0, source="test"),
        "keyframe": False,
    }
    return InstrumentListed(**(fields | more))


@pytest.fixture
def listing():
    return make_listing


@pytest.fixture
def samples():
    """Reader of the real frames beside the checkout."""
    if not SAMPLES.is_dir():
        pytest.skip("the real samples are not beside the checkout")

    def read(name: str) -> Any:
        return json.loads((SAMPLES / name).read_text())

    return read
