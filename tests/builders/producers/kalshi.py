"""A Kalshi session on frames made here."""

import json
from typing import Any

from producers.feeds.protocol import ProbeBooks
from producers.kalshi.protocol import KalshiProtocol
from tests.builders.producers.listings import make_listing

MS = 1_000_000
AT = 1_790_000_000_000
A, B = "KXA-1", "KXB-1"


class Session:
    def __init__(self, *tickers: str, open_books: bool = True) -> None:
        self.now = AT * MS
        self.seq = 0
        self.protocol = KalshiProtocol()
        for ticker in tickers or (A, B):
            self.protocol.follow(make_listing("kalshi", ticker), self.now)
        self.protocol.connect(self.now, self.now)
        self.protocol.to_send()
        self.give({"id": 1, "type": "subscribed", "msg": {"channel": "orderbook_delta", "sid": 1}})
        self.give({"id": 1, "type": "subscribed", "msg": {"channel": "trade", "sid": 2}})
        if open_books:
            for ticker in tickers or (A, B):
                self.snapshot(ticker)

    def give(self, frame: Any) -> list[Any]:
        self.now += MS
        return self.protocol.receive(json.dumps(frame), self.now)

    def book_frame(self, kind: str, msg: dict, seq: int | None = None) -> list[Any]:
        self.seq = self.seq + 1 if seq is None else seq
        return self.give({"type": kind, "sid": 1, "seq": self.seq, "msg": msg})

    def snapshot(self, ticker: str = A, **more: Any) -> list[Any]:
        msg = {
            "market_ticker": ticker, "market_id": "m", "yes_dollars_fp": [["0.4500", "10.00"]],
            "no_dollars_fp": [["0.4700", "20.00"]],
        } | more  # fmt: skip
        return self.book_frame("orderbook_snapshot", {k: v for k, v in msg.items() if v is not None})

    def delta(
        self, price: str, change: str, side: str = "yes", ticker: str = A, seq: int | None = None, **more: Any
    ) -> list[Any]:
        msg = {
            "market_ticker": ticker,
            "market_id": "m",
            "price_dollars": price,
            "delta_fp": change,
            "side": side,
            "ts_ms": AT,
        }
        return self.book_frame("orderbook_delta", msg | more, seq)

    def tick(self, after_ns: int) -> list[Any]:
        """What time alone decides; what it wants to know of books by REST is tested with the watch."""
        self.now += after_ns
        return [o for o in self.protocol.tick(self.now) if not isinstance(o, ProbeBooks)]

    def sent(self) -> list[dict]:
        return [json.loads(text) for text in self.protocol.to_send()]

    def valid(self, ticker: str = A) -> bool:
        return self.protocol.followed[f"kalshi:{ticker}"].valid

    def levels(self, ticker: str = A) -> tuple:
        return self.protocol.followed[f"kalshi:{ticker}"].mirror.levels()
