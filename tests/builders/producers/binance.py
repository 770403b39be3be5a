"""Frames of Binance, and a protocol run on them."""

import json
from typing import Any

from crossbook.market.market_state import MarketState
from producers.binance.protocol import (
    BinanceProtocol,
)
from producers.feeds.protocol import Reconnect
from schemas.records import DeadLetter, Record, ReferencePrice

MS = 1_000_000
START_MS = 1_790_000_000_000
BTC, ETH = "BTCUSDT", "ETHUSDT"


def quote(u: int, bid: str = "60000.00000000", ask: str = "60000.01000000", symbol: str = BTC, **more: Any) -> Any:
    data = {"u": u, "s": symbol, "b": bid, "B": "1.50000000", "a": ask, "A": "0.00010000", **more}
    return {"stream": f"{symbol.lower()}@bookTicker", "data": data}


def trade(t: int, price: str = "60000.01000000", kind: str = "aggTrade", at_ms: int = START_MS, **more: Any) -> Any:
    number = {"a": t, "f": t, "l": t} if kind == "aggTrade" else {"t": t}
    data = {
        "e": kind,
        "E": at_ms,
        "s": BTC,
        **number,
        "p": price,
        "q": "0.00200000",
        "T": at_ms - 1,
        "m": True,
        "M": True,
    }
    return {"stream": f"btcusdt@{kind}", "data": data | more}


class Run:
    """A connected protocol, and the fold of what it said."""

    def __init__(self, symbols: tuple[str, ...] = (BTC,), *, answered: bool = True, **options: Any) -> None:
        self.protocol = BinanceProtocol(symbols, **options)
        self.state = MarketState()
        self.outputs: list[Any] = []
        self.now_ns = START_MS * MS
        self.take(self.protocol.connect(self.now_ns, self.now_ns))
        self.sent = self.protocol.to_send()
        if answered:
            self.give({"result": None, "id": 1}, after_ms=0)

    def take(self, outputs: list[Any]) -> list[Any]:
        self.outputs += outputs
        for output in outputs:
            if isinstance(output, Record) and not isinstance(output, DeadLetter):
                self.state.apply(self.state.position + 1, output)
        return outputs

    def give(self, frame: Any, after_ms: int = 1) -> list[Any]:
        self.now_ns += after_ms * MS
        raw = frame if isinstance(frame, bytes | str) else json.dumps(frame, separators=(",", ":")).encode()
        return self.take(self.protocol.receive(raw, self.now_ns))

    def tick(self, after_ms: int) -> list[Any]:
        self.now_ns += after_ms * MS
        return self.take(self.protocol.tick(self.now_ns))

    def prices(self) -> list[ReferencePrice]:
        return [o for o in self.outputs if isinstance(o, ReferencePrice)]

    def dead(self) -> list[str]:
        return [o.error for o in self.outputs if isinstance(o, DeadLetter)]

    def reasons(self) -> list[str]:
        return [o.reason for o in self.outputs if isinstance(o, Reconnect)]

    def believed(self, reference: str = f"binance:{BTC}") -> tuple[int | None, int | None]:
        state = self.state.references.prices[reference]
        return state.bid_price, state.ask_price
