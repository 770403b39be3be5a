"""Listings of instruments."""

from typing import Any

from crossbook.domain.fees import make_schedule
from crossbook.domain.grid import PriceGrid
from crossbook.venues.policies import POLICIES
from schemas.records import InstrumentListed, Venue


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
        "policy": POLICIES[venue],
        "keyframe": False,
    }
    return InstrumentListed(**(fields | more))
