"""Frames of each venue's shape: what opens a session of two markets, and a stream of changes that all venues tell alike."""

from typing import Any

from producers.feeds.protocol import VenueProtocol
from producers.kalshi.protocol import KalshiProtocol
from producers.polymarket.protocol import PolymarketProtocol
from tests.builders.plugin.acme import AcmeProtocol, listing
from tests.builders.producers.listings import make_listing

MS = 1_000_000
START_MS = 1_790_000_000_000
YES, NO = "1" * 70, "2" * 70
YES_2, NO_2 = "3" * 70, "4" * 70
CONDITION, CONDITION_2 = "0x" + "a" * 64, "0x" + "b" * 64
TICKER, TICKER_2 = "KXONE-26-A", "KXTWO-26-B"


class PolymarketDriver:
    """Frames of the venue's shape."""

    def __init__(self) -> None:
        self.protocol: VenueProtocol = PolymarketProtocol()
        self.listings = [
            make_listing("polymarket", CONDITION, yes_token=YES, no_token=NO),
            make_listing("polymarket", CONDITION_2, yes_token=YES_2, no_token=NO_2),
        ]

    def opening(self) -> list[Any]:
        return [[self.book(YES, CONDITION), self.book(YES_2, CONDITION_2)]]

    @staticmethod
    def book(token: str, condition: str, at_ms: int = START_MS) -> dict[str, Any]:
        return {
            "market": condition,
            "asset_id": token,
            "timestamp": str(at_ms),
            "hash": "00",
            "bids": [{"price": "0.44", "size": "70"}, {"price": "0.45", "size": "100.5"}],
            "asks": [{"price": "0.5", "size": "12"}, {"price": "0.47", "size": "30"}],
            "tick_size": "0.01",
            "event_type": "book",
            "last_trade_price": "",
        }

    def stream(self) -> list[Any]:
        def change(price: str, size: str, side: str, bid: str, ask: str, n: int) -> dict[str, Any]:
            other = {"BUY": "SELL", "SELL": "BUY"}[side]
            mirrored = f"{1 - float(price):.2f}"
            return {
                "market": CONDITION,
                "price_changes": [
                    {
                        "asset_id": YES,
                        "price": price,
                        "size": size,
                        "side": side,
                        "hash": "",
                        "best_bid": bid,
                        "best_ask": ask,
                    },
                    {
                        "asset_id": NO,
                        "price": mirrored,
                        "size": size,
                        "side": other,
                        "hash": "",
                        "best_bid": "",
                        "best_ask": "",
                    },
                ],
                "timestamp": str(START_MS + n),
                "event_type": "price_change",
            }

        trade = {
            "market": CONDITION, "asset_id": NO, "price": "0.54", "size": "5", "fee_rate_bps": "0", "side": "BUY",
            "timestamp": str(START_MS + 3), "event_type": "last_trade_price", "transaction_hash": "0x1",
        }  # fmt: skip
        tick = {
            "market": CONDITION, "asset_id": YES, "old_tick_size": "0.01", "new_tick_size": "0.001",
            "timestamp": str(START_MS + 6), "event_type": "tick_size_change",
        }  # fmt: skip
        fine = self.book(YES, CONDITION, START_MS + 7) | {"tick_size": "0.001"}
        return [
            change("0.46", "20", "BUY", "0.46", "0.47", 1),
            change("0.47", "0", "SELL", "0.46", "0.5", 2),
            trade,
            change("0.46", "0", "BUY", "0.45", "0.5", 4),
            self.book(YES, CONDITION, START_MS + 5),
            tick,
            fine,
            change("0.44", "0", "BUY", "0.45", "0.47", 8),
        ]


class KalshiDriver:
    """Frames of the venue's shape."""

    def __init__(self) -> None:
        self.protocol: VenueProtocol = KalshiProtocol()
        self.listings = [make_listing("kalshi", TICKER), make_listing("kalshi", TICKER_2)]

    def opening(self) -> list[Any]:
        return [
            {"id": 1, "type": "subscribed", "msg": {"channel": "orderbook_delta", "sid": 1}},
            {"id": 1, "type": "subscribed", "msg": {"channel": "trade", "sid": 2}},
            self.snapshot(TICKER, 1),
            self.snapshot(TICKER_2, 2),
        ]

    @staticmethod
    def snapshot(ticker: str, seq: int) -> dict[str, Any]:
        msg = {
            "market_ticker": ticker,
            "market_id": "m",
            "yes_dollars_fp": [["0.4400", "70.00"], ["0.4500", "100.50"]],
            "no_dollars_fp": [["0.4700", "30.00"], ["0.5000", "12.00"]],
        }
        return {"type": "orderbook_snapshot", "sid": 1, "seq": seq, "msg": msg}

    def stream(self) -> list[Any]:
        def delta(seq: int, side: str, price: str, change: str) -> dict[str, Any]:
            msg = {
                "market_ticker": TICKER, "market_id": "m", "price_dollars": price, "delta_fp": change, "side": side,
                "ts": "2026-09-21T00:00:00Z", "ts_ms": START_MS + seq,
            }  # fmt: skip
            return {"type": "orderbook_delta", "sid": 1, "seq": seq, "msg": msg}

        trade = {
            "trade_id": "t", "market_ticker": TICKER, "yes_price_dollars": "0.4600", "no_price_dollars": "0.5400",
            "count_fp": "5.00", "taker_side": "no", "taker_outcome_side": "no", "taker_book_side": "ask",
            "ts": 1, "ts_ms": START_MS + 4,
        }  # fmt: skip
        return [
            delta(3, "yes", "0.4600", "20.00"),
            delta(4, "no", "0.4700", "-30.00"),
            {"type": "trade", "sid": 2, "seq": 1, "msg": trade},
            delta(5, "yes", "0.4600", "-20.00"),
            {"type": "ok", "id": 7, "sid": 1, "seq": 6, "msg": {"market_tickers": [TICKER, TICKER_2]}},
            self.snapshot(TICKER, 7),
            delta(8, "no", "0.5000", "0.01"),
        ]


class AcmeDriver:
    """Frames of the plug-in's shape."""

    def __init__(self) -> None:
        self.protocol: VenueProtocol = AcmeProtocol()
        self.listings = [listing("ONE", START_MS * MS), listing("TWO", START_MS * MS)]

    def opening(self) -> list[Any]:
        return [self.book("ONE"), self.book("TWO")]

    @staticmethod
    def book(symbol: str) -> dict[str, Any]:
        return {"book": symbol, "bids": [["0.44", "100"], ["0.42", "70"]], "asks": [["0.48", "30"], ["0.5", "12"]]}

    def stream(self) -> list[Any]:
        def level(side: str, price: str, size: str) -> dict[str, Any]:
            return {"level": "ONE", "side": side, "price": price, "size": size}

        return [
            level("bid", "0.46", "20"),
            level("ask", "0.48", "0"),
            {"trade": "ONE", "id": "t", "price": "0.46", "size": "5", "side": "sell"},
            level("bid", "0.46", "0"),
            self.book("ONE"),
            level("ask", "0.5", "0.01"),
        ]


DRIVERS = {"polymarket": PolymarketDriver, "kalshi": KalshiDriver, "acme": AcmeDriver}
