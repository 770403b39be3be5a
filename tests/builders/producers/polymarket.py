"""A Polymarket session on frames made here."""

import json
from typing import Any

from crossbook.domain.grid import PriceGrid
from producers.feeds.protocol import ProbeBooks
from producers.polymarket.protocol import PolymarketProtocol
from tests.builders.producers.listings import make_listing

MS = 1_000_000
SECOND = 1_000 * MS
AT = 1_790_000_000_000
YES, NO, CONDITION = "7" * 70, "8" * 70, "0x" + "c" * 64
ID = f"polymarket:{CONDITION}"


def book(
    token: str = YES, at: int = AT, bids: Any = (("0.45", "10"),), asks: Any = (("0.47", "20"),), **more: Any
) -> dict:
    rows = [[{"price": p, "size": s} for p, s in side] for side in (bids, asks)]
    return {
        "market": CONDITION, "asset_id": token, "timestamp": str(at), "hash": "", "bids": rows[0], "asks": rows[1],
        "event_type": "book",
    } | more  # fmt: skip


class Session:
    def __init__(self, first: dict | None = None, tick: int = 10_000, **times: int) -> None:
        self.now = AT * MS
        self.protocol = PolymarketProtocol(**times)
        grid = PriceGrid.linear(tick).ranges
        self.protocol.follow(make_listing("polymarket", CONDITION, yes_token=YES, no_token=NO, grid=grid), self.now)
        self.protocol.connect(self.now, self.now)
        if first is not None:
            self.give([first])

    def give(self, frame: Any, after_ms: int = 1) -> list[Any]:
        self.now += after_ms * MS
        raw = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
        return self.protocol.receive(raw, self.now)

    def tick(self, after_ms: int) -> list[Any]:
        """What time alone decides; what it wants to know of books by REST is tested with the watch."""
        self.now += after_ms * MS
        return [o for o in self.protocol.tick(self.now) if not isinstance(o, ProbeBooks)]

    def sent(self) -> list[dict]:
        return [json.loads(text) for text in self.protocol.to_send()]

    @property
    def valid(self) -> bool:
        return self.protocol.followed[ID].valid

    @property
    def levels(self) -> tuple:
        return self.protocol.followed[ID].mirror.levels()
