"""The contract that both venues' protocols pass, judged by the fold that decide uses.

The law: whatever frames come, in whatever state, `receive` raises nothing; every frame ends in records, a known counter or a
dead letter; and a book that the protocol holds valid is, in the fold of its records, valid and level for level the same.
"""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.market.market_state import MarketState
from producers.feeds.protocol import FetchBook, Reconnect, VenueProtocol
from producers.kalshi.protocol import KalshiProtocol
from producers.polymarket.protocol import PolymarketProtocol
from schemas.records import BookDelta, BookSnapshot, DeadLetter, FeedStatus, PublicTrade, Record
from tests.builders.producers.damaged import mutated
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


DRIVERS = {"polymarket": PolymarketDriver, "kalshi": KalshiDriver}


class Run:
    """A protocol and the fold of everything that it said."""

    def __init__(self, venue: str) -> None:
        self.driver = DRIVERS[venue]()
        self.protocol = self.driver.protocol
        self.state = MarketState()
        self.outputs: list[object] = []
        self.now_ns = START_MS * MS
        for listed in self.driver.listings:
            self.fold(listed)
            assert self.protocol.follow(listed, self.now_ns) == []
        self.take(self.protocol.connect(self.now_ns, self.now_ns))

    def fold(self, record: Record) -> None:
        self.state.apply(self.state.position + 1, record)

    def take(self, outputs: list[Any]) -> list[Any]:
        self.outputs += outputs
        for output in outputs:
            if isinstance(output, Record) and not isinstance(output, DeadLetter):
                self.fold(output)
        return outputs

    def give(self, frame: Any, after_ms: int = 1) -> list[Any]:
        self.now_ns += after_ms * MS
        raw = frame if isinstance(frame, bytes | str) else json.dumps(frame, separators=(",", ":")).encode()
        return self.take(self.protocol.receive(raw, self.now_ns))

    def check(self) -> None:
        """The fold agrees with the mirrors."""
        for one in self.protocol.followed.values():
            known = self.state.books.get(one.id)
            if one.valid:
                assert known is not None
                assert not known.broken
                levels = known.book.levels()
                assert (levels.bid_prices, levels.bid_sizes, levels.ask_prices, levels.ask_sizes) == one.mirror.levels()
            else:
                assert known is None or known.broken
        for output in self.outputs:
            if isinstance(output, BookSnapshot):
                assert all((*output.bid_sizes, *output.ask_sizes))


@pytest.fixture(params=sorted(DRIVERS))
def run(request) -> Run:
    return Run(request.param)


def opened(run: Run) -> Run:
    for frame in run.driver.opening():
        run.give(frame)
    return run


def test_subscription_is_queued_once_and_first(run: Run) -> None:
    first, *beside = run.protocol.to_send()
    assert first
    assert [text for text in beside if "market_lifecycle_v2" not in text] == []  # what is told of every market
    assert run.protocol.to_send() == []


def test_live_is_said_before_the_first_snapshot(run: Run) -> None:
    opened(run)
    kinds = [type(o) for o in run.outputs]
    assert kinds[0] is FeedStatus
    assert run.outputs[0].state == "down"
    assert kinds[1] is FeedStatus
    assert run.outputs[1].state == "live"
    assert kinds.count(BookSnapshot) == 2
    assert all(run.state.usable(listed.instrument_id) for listed in run.driver.listings)
    run.check()


def test_stream_folds_to_the_mirror(run: Run) -> None:
    opened(run)
    for frame in run.driver.stream():
        run.give(frame)
        run.check()
    trades = [o for o in run.outputs if isinstance(o, PublicTrade)]
    assert [(t.price_micros, t.quantity_micros, t.taker_side) for t in trades] == [(460_000, 5_000_000, "sell")]
    assert run.protocol.counters["dead.drift"] == 0


def test_text_and_bytes_are_the_same(run: Run) -> None:
    frame = json.dumps(run.driver.opening()[0])
    other = Run(run.protocol.venue)
    assert run.give(frame) == other.give(frame.encode())


def test_deltas_chain_within_the_session(run: Run) -> None:
    opened(run)
    for frame in run.driver.stream():
        run.give(frame)
    last: dict[str, int] = {}
    for output in run.outputs:
        if isinstance(output, BookDelta | BookSnapshot):
            if isinstance(output, BookDelta):
                assert output.previous_sequence == last[output.instrument_id]
            assert output.sequence == last.get(output.instrument_id, 0) + 1
            last[output.instrument_id] = output.sequence


def test_keyframe_changes_nothing_and_the_next_delta_still_counts(run: Run) -> None:
    opened(run)
    first = run.driver.listings[0].instrument_id
    book = run.protocol.keyframe(first, run.now_ns)
    assert book is not None
    assert book.keyframe
    assert run.state.apply(run.state.position + 1, book).kind == "none"
    run.give(run.driver.stream()[0])
    run.check()
    assert run.protocol.keyframe("nobody", run.now_ns) is None


def test_disconnect_invalidates_everything_and_the_next_session_is_larger(run: Run) -> None:
    opened(run)
    session = run.protocol.session
    run.take(run.protocol.disconnect("gone", run.now_ns))
    run.check()
    assert not any(one.valid for one in run.protocol.followed.values())
    with pytest.raises(AssertionError, match="sessions of a feed grow"):
        run.protocol.connect(session, run.now_ns)
    run.take(run.protocol.connect(session + 1, run.now_ns))
    for frame in run.driver.opening():
        run.give(frame)
    run.check()
    assert all(run.state.usable(listed.instrument_id) for listed in run.driver.listings)


def test_renewed_session_shows_whole_books(run: Run) -> None:
    opened(run)
    run.take(run.protocol.renew(run.protocol.session + 1, "buffer", run.now_ns))
    run.check()
    assert all(run.state.usable(listed.instrument_id) for listed in run.driver.listings)
    run.give(run.driver.stream()[0])
    run.check()


def test_duplicates_change_nothing(run: Run) -> None:
    opened(run)
    for frame in run.driver.stream():
        run.give(frame)
        before = run.state.position
        again = [o for o in run.give(frame) if isinstance(o, BookDelta)]
        assert again == [] or run.state.position == before
        run.check()


@pytest.mark.parametrize(
    "frame",
    [b"", b"{", b"null", b"[]", b"[1,null]", b'"x"', b"\xff\xfe", b"1e400", b'{"type":1e400}', b"[" * 5_000, b"{}",
     b'{"event_type":"mood"}', b'{"type":"mood"}', b'{"event_type":["book"]}', b'{"type":null}',
     b'{"type":"orderbook_delta","sid":9,"seq":1,"msg":{}}', b'{"type":"orderbook_delta"}', b"9" * 5_000],
)  # fmt: skip
def test_garbage_is_dead_lettered_and_hurts_no_book(run: Run, frame: bytes) -> None:
    opened(run)
    outputs = run.give(frame)
    assert (
        frame == b"[]"
        or any(isinstance(o, DeadLetter) and o.payload == frame[:65_536] for o in outputs)
        or (frame.startswith(b"[") and any(isinstance(o, DeadLetter) for o in outputs))
    )
    run.check()
    assert all(run.state.usable(listed.instrument_id) for listed in run.driver.listings)


# -- mutation


@pytest.mark.parametrize("venue", sorted(DRIVERS))
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_mutated_streams_never_raise_and_never_show_another_book(venue: str, data: st.DataObject) -> None:
    run = Run(venue)
    frames = data.draw(mutated(run.driver.opening() + run.driver.stream()))
    for frame in frames:
        before = dict(run.protocol.counters)
        outputs = run.give(frame, after_ms=data.draw(st.sampled_from([1, 700])))
        counted = {k for k, v in run.protocol.counters.items() if before.get(k) != v} - {"frames"}
        is_list = isinstance(frame, list)
        told = bool(outputs or counted or run.protocol.to_send() or is_list)
        assert told or (isinstance(frame, dict) and frame.get("type") in {"subscribed", "ok", "unsubscribed"})
        run.check()
        run.take(run.protocol.tick(run.now_ns))
        run.check()


@pytest.mark.parametrize("venue", sorted(DRIVERS))
@settings(max_examples=300, deadline=None)
@given(junk=st.lists(st.binary(max_size=80) | st.text(max_size=40), max_size=5))
def test_junk_never_raises(venue: str, junk: list[bytes | str]) -> None:
    run = opened(Run(venue))
    for frame in junk:
        run.give(frame)
    run.check()


def test_distrust_is_said_once_and_asked_for_without_a_storm(run: Run) -> None:
    opened(run)
    run.protocol.to_send()
    first = run.driver.listings[0].instrument_id
    asked = 0
    for _ in range(100):
        outputs = run.take(run.protocol.distrust(first, "test", run.now_ns))
        asked += sum(isinstance(o, FetchBook) for o in outputs) + len(run.protocol.to_send())
        run.now_ns += 10 * MS
    assert sum(isinstance(o, FeedStatus) and o.state == "resync" for o in run.outputs) == 1
    assert asked == 1
    assert not any(isinstance(o, Reconnect) for o in run.outputs)
    run.check()
