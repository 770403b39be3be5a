"""Pairs that the universe approved, and instruments that join them."""

from typing import Any

from schemas.records import PairApproved, PayoutCell
from tests.builders.producers.listings import make_listing

A, B, C = (make_listing("polymarket", "0xa"), make_listing("kalshi", "KXB"), make_listing("kalshi", "KXC"))
CELL = PayoutCell(outcome="yes", payout_a_micros=1_000_000, payout_b_micros=1_000_000, admissible=True, evidence="e")


def approved(a: str, b: str, name: str = "p", **more: Any) -> PairApproved:
    fields: dict[str, Any] = {
        "ts_ns": 1, "operator": "o", "pair_id": name, "relation": "identity", "instrument_a": a, "instrument_b": b,
        "payouts": (CELL,), "haircut_micros": 0, "evidence": "e",
    }  # fmt: skip
    return PairApproved(**(fields | more))


LOW = make_listing("kalshi", "KXA0", event_id="kalshi:aaa")
PAIR = approved("polymarket:0xa", "kalshi:KXB")
JOINING = approved("polymarket:0xa", "kalshi:KXA0", "q")
