"""Parse a frame: from the bytes of a socket to records, both venues' own protocols on frames made here.

The frames have the venues' documented shape and a consistent story (sequence, best prices, levels on the grid), so that every
one is taken; the run fails if one was not.
"""

import json
import random
from collections.abc import Callable

from crossbook.domain.names import instrument_id
from producers.feeds.protocol import VenueProtocol
from producers.kalshi.protocol import KalshiProtocol
from producers.polymarket.protocol import PolymarketProtocol
from schemas.records import BookDelta, BookSnapshot, PublicTrade
from tests.bench.market import listed
from tests.bench.report import Row, distribution
from tests.bench.timing import time_calls

CALLS = 25_000
WARM_UP = 5_000
MARKETS = 20
T0 = 1_780_000_000_000_000_000
T0_MS = T0 // 1_000_000
GOAL_US = 50.0


def run() -> list[Row]:
    """Time `receive` of both protocols."""
    return [
        _measure("Polymarket price_change, both tokens named", PolymarketProtocol(), _polymarket_frames, 0),
        _measure("Kalshi orderbook_delta and trade", KalshiProtocol(), _kalshi_frames, 1),
    ]


def _measure(
    what: str,
    protocol: VenueProtocol,
    frames_of: Callable[[list[str], list[str]], tuple[list[bytes], list[bytes]]],
    offset: int,
) -> Row:
    symbols = [f"0x{number:064x}" if offset == 0 else f"KXBENCH-{number:03d}" for number in range(MARKETS)]
    tokens = []
    for number, symbol in enumerate(symbols):
        listing = listed(2 * number + offset, instrument_id(protocol.venue, symbol), T0)
        tokens.append(f"{listing.yes_token} {listing.no_token}")
        protocol.follow(listing, T0)
    protocol.connect(1, T0)
    protocol.to_send()
    first, frames = frames_of(symbols, tokens)
    for frame in first:
        protocol.receive(frame, T0)
    taken = [0]

    def receive(frame: bytes) -> None:
        outputs = protocol.receive(frame, T0)
        taken[0] += len(outputs) == 1 and isinstance(outputs[0], (BookDelta, BookSnapshot, PublicTrade))

    samples = time_calls(receive, frames, warm_up=WARM_UP)
    assert taken[0] == len(frames), f"{len(frames) - taken[0]} frames were not taken: {protocol.counters}"
    return Row(
        what=f"{what} ({sum(map(len, frames)) // len(frames)} bytes)",
        figures=distribution(samples, 1e3),
        unit="µs",
        goals={"p50": ("<", GOAL_US)},
        n=len(samples),
        warm_up=f"{WARM_UP:,} frames",
        against="seed 000: deserialise < 50 µs",
    )


def _polymarket_frames(symbols: list[str], tokens: list[str]) -> tuple[list[bytes], list[bytes]]:
    rng = random.Random(3)
    books = []
    for symbol, pair in zip(symbols, tokens, strict=True):
        bids = [{"price": f"0.{price}", "size": f"{rng.randrange(50, 5000)}.25"} for price in range(40, 50)]
        asks = [{"price": f"0.{price}", "size": f"{rng.randrange(50, 5000)}.5"} for price in range(60, 50, -1)]
        books.append(
            {
                "event_type": "book", "market": symbol, "asset_id": pair.split()[0], "timestamp": str(T0_MS),
                "hash": "0" * 40, "bids": bids, "asks": asks, "tick_size": "0.001", "last_trade_price": "0.500",
            }
        )  # fmt: skip
    frames = []
    for number in range(CALLS + WARM_UP):
        market = rng.randrange(MARKETS)
        yes, no = tokens[market].split()
        buys = rng.random() < 0.5
        price = rng.randrange(40, 50) if buys else rng.randrange(51, 61)
        # A running number makes every size news: a change that changes nothing gives no event.
        size = f"{rng.randrange(50, 5000)}.{number % 10_000:04d}1"
        changes = [
            (yes, f"0.{price}", "BUY" if buys else "SELL", "0.49", "0.51"),
            (no, f"0.{100 - price}", "SELL" if buys else "BUY", "0.49", "0.51"),
        ]
        frames.append(
            {
                "event_type": "price_change", "market": symbols[market], "timestamp": str(T0_MS + number // 5),
                "price_changes": [
                    {
                        "asset_id": token, "price": text, "size": size, "side": side, "hash": f"{number:040x}",
                        "best_bid": bid, "best_ask": ask,
                    }
                    for token, text, side, bid, ask in changes
                ],
            }
        )  # fmt: skip
    return _encode(books), _encode(frames)


def _kalshi_frames(symbols: list[str], tokens: list[str]) -> tuple[list[bytes], list[bytes]]:
    del tokens
    rng = random.Random(3)
    first: list[object] = [
        {"type": "subscribed", "id": 1, "msg": {"channel": "orderbook_delta", "sid": 1}},
        {"type": "subscribed", "id": 1, "msg": {"channel": "trade", "sid": 2}},
    ]
    for number, symbol in enumerate(symbols, start=1):
        message = {
            "market_ticker": symbol, "market_id": f"{number:08d}-bench",
            "yes_dollars_fp": [[f"0.{price}00", "100000.00"] for price in range(40, 50)],
            "no_dollars_fp": [[f"0.{price}00", "100000.00"] for price in range(51, 61)],
        }  # fmt: skip
        first.append({"type": "orderbook_snapshot", "sid": 1, "seq": number, "msg": message})
    frames: list[object] = []
    sequences = {1: MARKETS, 2: 0}
    for number in range(CALLS + WARM_UP):
        symbol = symbols[rng.randrange(MARKETS)]
        yes = rng.random() < 0.5
        is_trade = rng.random() < 0.03
        sid = 2 if is_trade else 1
        sequences[sid] += 1
        stamp = T0_MS + number // 5
        if is_trade:
            kind = "trade"
            message = {
                "trade_id": f"{number:032x}", "market_ticker": symbol, "yes_price_dollars": "0.5000",
                "no_price_dollars": "0.5000", "count_fp": f"{rng.randrange(1, 300)}.00",
                "taker_outcome_side": "yes" if yes else "no", "ts": stamp // 1000, "ts_ms": stamp,
            }  # fmt: skip
        else:
            kind = "orderbook_delta"
            price = rng.randrange(40, 50) if yes else rng.randrange(51, 61)
            message = {
                "market_ticker": symbol, "market_id": "bench", "price_dollars": f"0.{price}00",
                "delta_fp": f"{rng.choice(('', '-'))}{rng.randrange(1, 40)}.00", "side": "yes" if yes else "no",
                "ts_ms": stamp,
            }  # fmt: skip
        frames.append({"type": kind, "sid": sid, "seq": sequences[sid], "msg": message})
    return _encode(first), _encode(frames)


def _encode(frames: list[object] | list[dict[str, object]]) -> list[bytes]:
    return [json.dumps(frame, separators=(",", ":")).encode() for frame in frames]
