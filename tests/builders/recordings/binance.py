"""Frames of a recorded Binance connection."""

from typing import Any

MS = 1_000_000
START_NS = 1_790_000_000_000 * MS
OFFSET_MS = 1_250


def quote(u: int, bid: str = "100.00", ask: str = "100.01", symbol: str = "btcusdt", **more: Any) -> dict[str, Any]:
    data = {"u": u, "s": symbol.upper(), "b": bid, "B": "1.0", "a": ask, "A": "2.0", **more}
    return {"stream": f"{symbol}@bookTicker", "data": data}


def trade(t: int, after_ms: int) -> dict[str, Any]:
    at = START_NS // MS + after_ms + OFFSET_MS
    data = {"e": "trade", "E": at, "s": "BTCUSDT", "t": t, "p": "100.01", "q": "0.5", "T": at, "m": True, "M": True}
    return {"stream": "btcusdt@trade", "data": data}


def depth(first: int, last: int, bids: list[list[str]], asks: list[list[str]]) -> dict[str, Any]:
    data = {"e": "depthUpdate", "E": 1, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}
    return {"stream": "btcusdt@depth@100ms", "data": data}


SNAPSHOT = {"lastUpdateId": 9, "bids": [["100.00", "1.0"], ["99.00", "5.0"]], "asks": [["100.01", "2.0"]]}
SPOT: list[tuple[int, Any]] = [
    (0, depth(7, 9, [], [])),
    (1, quote(9)),
    (2, SNAPSHOT),
    (5, trade(1, 5)),
    (6, quote(10, bid="100.005")),
    (9, quote(12, bid="99.00", B="5.0")),
    (100, depth(10, 12, [["100.00", "0.0"]], [])),
    (300, quote(15, bid="99.50", B="7.0")),
    (400, depth(13, 15, [["99.50", "7.0"]], [])),
    (700, trade(4, 700)),
    (710, quote(16, bid="99.75")),
]
