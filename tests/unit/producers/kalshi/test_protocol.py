"""Kalshi's own rules: one sequence for all tickers of a sid, YES prices, exact accumulation, one get_snapshot a hole."""

import json
from typing import Any

import pytest

from producers.feeds.protocol import ConfirmSettlement, Reconnect
from producers.kalshi.protocol import ANSWER_NS, KalshiProtocol
from schemas.records import BookDelta, BookSnapshot, DeadLetter, FeedStatus, PublicTrade
from tests.builders.producers.kalshi import AT, MS, A, B, Session
from tests.builders.producers.listings import make_listing

SECOND = 1_000 * MS


def test_subscribes_books_and_trades_in_yes_prices_explicitly() -> None:
    protocol = KalshiProtocol()
    protocol.follow(make_listing("kalshi", A), 1)
    protocol.connect(1, 1)
    command, lifecycle = (json.loads(text) for text in protocol.to_send())
    assert command["cmd"] == lifecycle["cmd"] == "subscribe"
    assert lifecycle["params"] == {"channels": ["market_lifecycle_v2"]}  # it takes no tickers
    assert command["params"] == {"channels": ["orderbook_delta", "trade"], "market_tickers": [A], "use_yes_price": True}


def test_no_levels_are_asks_and_not_flipped_twice() -> None:
    assert Session().levels() == ((450_000,), (10_000_000,), (470_000,), (20_000_000,))


def test_absent_sides_are_empty() -> None:
    session = Session()
    (book,) = session.snapshot(yes_dollars_fp=None, no_dollars_fp=None)
    assert (book.bid_prices, book.ask_prices) == ((), ())


def test_a_renamed_side_is_drift_not_an_empty_one() -> None:
    session = Session()
    outputs = session.snapshot(yes_dollars_fp=None, yes_dollars=[["0.4500", "10.00"]])
    assert isinstance(outputs[0], DeadLetter)
    assert not session.valid()


def test_deltas_accumulate_exactly_and_leave_as_absolute_sizes() -> None:
    session = Session()
    (one,) = session.delta("0.4500", "0.01")
    (two,) = session.delta("0.4500", "-10.01")
    (three,) = session.delta("0.4600", "5.00", side="no")
    assert (one.bid_sizes, two.bid_sizes) == ((10_010_000,), (0,))
    assert (three.ask_prices, three.ask_sizes) == ((460_000,), (5_000_000,))
    assert session.levels()[0] == ()


def test_below_zero_is_corrupt() -> None:
    session = Session()
    outputs = session.delta("0.4500", "-10.01")
    assert [type(o) for o in outputs] == [DeadLetter, FeedStatus]
    assert outputs[1].instruments == (f"kalshi:{A}",)
    assert session.valid(B)
    (command,) = session.sent()
    assert command["params"] == {"sids": [1], "action": "get_snapshot", "market_tickers": [A]}
    session.snapshot()
    assert session.valid()


def test_a_crossed_book_resyncs_at_once() -> None:
    session = Session()
    (status,) = session.delta("0.4700", "1.00")
    assert status.state == "resync"
    assert session.sent()[0]["params"]["action"] == "get_snapshot"


def test_a_hole_invalidates_every_book_of_the_sid_and_asks_once() -> None:
    session = Session()
    outputs = session.delta("0.4400", "1.00", seq=9)
    assert [type(o) for o in outputs] == [FeedStatus]
    assert outputs[0].instruments == (f"kalshi:{A}", f"kalshi:{B}")
    (command,) = session.sent()
    assert command["params"] == {"sids": [1], "action": "get_snapshot", "market_tickers": [A, B]}
    assert session.delta("0.4400", "1.00") == []  # stale until its snapshot
    session.snapshot(A)
    assert session.valid(A)
    assert not session.valid(B)
    session.snapshot(B)
    assert session.valid(B)
    assert not any(isinstance(o, Reconnect) for o in session.tick(ANSWER_NS))


def test_a_second_hole_while_waiting_reconnects() -> None:
    session = Session()
    session.delta("0.4400", "1.00", seq=9)
    outputs = session.delta("0.4400", "1.00", seq=12)
    assert [type(o) for o in outputs] == [Reconnect]


def test_no_answer_to_get_snapshot_reconnects() -> None:
    session = Session()
    session.delta("0.4400", "1.00", seq=9)
    assert [type(o) for o in session.tick(ANSWER_NS + MS)] == [Reconnect]


def test_no_answer_to_subscribe_reconnects() -> None:
    protocol = KalshiProtocol()
    protocol.follow(make_listing("kalshi", A), 1)
    protocol.connect(1, 1)
    assert protocol.tick(ANSWER_NS) == []
    assert [type(o) for o in protocol.tick(ANSWER_NS + 2)] == [Reconnect]


def test_replays_are_dropped() -> None:
    session = Session()
    (delta,) = session.delta("0.4500", "1.00")
    assert isinstance(delta, BookDelta)
    assert session.delta("0.4500", "1.00", seq=session.seq) == []
    assert session.levels()[1] == (11_000_000,)
    assert session.protocol.counters["replay"] == 1


def test_a_snapshot_behind_a_hole_counts() -> None:
    session = Session()
    session.seq = 20
    outputs = session.snapshot(A)
    assert [type(o) for o in outputs] == [FeedStatus, BookSnapshot]
    assert session.valid(A)
    assert not session.valid(B)


def test_a_hole_of_the_trade_channel_leaves_books_alone() -> None:
    session = Session()
    msg = {
        "trade_id": "t",
        "market_ticker": A,
        "yes_price_dollars": "0.4600",
        "count_fp": "82.12",
        "taker_outcome_side": "no",
    }
    (trade,) = session.give({"type": "trade", "sid": 2, "seq": 40, "msg": msg})
    assert isinstance(trade, PublicTrade)
    assert (trade.price_micros, trade.quantity_micros, trade.taker_side) == (460_000, 82_120_000, "sell")
    assert session.valid()


@pytest.mark.parametrize("channel", ["orderbook_delta", "trade"])
@pytest.mark.parametrize(
    "frame", [{"type": "unsubscribed"}, {"type": "error", "msg": {"code": 7, "msg": "Unknown sid"}}]
)
def test_a_subscription_that_the_venue_ends_is_asked_for_anew_and_again_soon_ends_the_connection(
    channel: str, frame: dict
) -> None:
    session = Session()
    sid = {"orderbook_delta": 1, "trade": 2}[channel]
    outputs = session.give(frame | {"sid": sid, "seq": 3 if sid == 1 else 1})
    (command,) = session.sent()
    assert command["cmd"] == "subscribe"
    assert command["params"] == {"channels": [channel], "market_tickers": [A, B], "use_yes_price": True}
    statuses = [o for o in outputs if isinstance(o, FeedStatus)]
    assert [s.instruments for s in statuses] == ([(f"kalshi:{A}", f"kalshi:{B}")] if sid == 1 else [])
    assert session.valid() is (sid == 2), "the trades' subscription is no book's"
    session.give({"id": command["id"], "type": "subscribed", "msg": {"channel": channel, "sid": 3}})
    if sid == 1:
        msg = {"market_ticker": A, "market_id": "m", "yes_dollars_fp": [["0.4500", "10.00"]]}
        assert session.give({"type": "orderbook_snapshot", "sid": 3, "seq": 1, "msg": msg})
        assert session.valid(A)
        assert not session.valid(B)
    outputs = session.give({"type": "unsubscribed", "sid": 3, "seq": 2})
    assert isinstance(outputs[-1], Reconnect)


def test_a_lost_subscription_that_is_not_answered_ends_the_connection() -> None:
    session = Session()
    session.give({"type": "unsubscribed", "sid": 1, "seq": 3})
    assert not session.valid()
    assert [type(o) for o in session.tick(ANSWER_NS + MS)] == [Reconnect]


def test_a_refused_subscription_ends_the_connection_at_once() -> None:
    protocol = KalshiProtocol()
    protocol.follow(make_listing("kalshi", A), 1)
    protocol.connect(1, 1)
    outputs = protocol.receive('{"id":1,"type":"error","msg":{"code":26,"msg":"market subscription limit"}}', 2)
    assert [type(o) for o in outputs] == [DeadLetter, Reconnect]


def test_trades_make_no_feed_live_and_vouch_for_no_book() -> None:
    session = Session(open_books=False)
    msg = {
        "trade_id": "t",
        "market_ticker": A,
        "yes_price_dollars": "0.4600",
        "count_fp": "1.00",
        "taker_outcome_side": "no",
    }
    session.give({"type": "trade", "sid": 2, "seq": 1, "msg": msg})
    assert session.protocol.status(session.now).state == "down"
    session.snapshot(A)
    heard = session.protocol.ts_data_ns
    session.give({"type": "trade", "sid": 2, "seq": 2, "msg": msg | {"trade_id": "u"}})
    assert session.protocol.ts_data_ns == heard
    assert session.protocol.followed[f"kalshi:{A}"].silence.assured_ns == heard


def test_a_frame_of_the_books_whose_number_cannot_be_read_may_have_been_any_change() -> None:
    session = Session()
    outputs = session.give({"type": "orderbook_delta", "sid": 1, "seq": "3", "msg": {}})
    assert [type(o) for o in outputs] == [DeadLetter, FeedStatus]
    assert not session.valid(A)
    assert not session.valid(B)
    assert session.sent()[0]["params"]["market_tickers"] == [A, B]


@pytest.mark.parametrize(
    "sides",
    [
        {"yes_dollars_fp": [["0.45", "10.00"], ["0.4500", "7.00"]]},
        {"no_dollars_fp": [["0.4700", "10.00"], ["0.4800", "7.00"], ["0.4700", "10.00"]]},
    ],
)
def test_a_price_twice_in_a_whole_book_is_drift_and_asked_for_again(sides: dict) -> None:
    session = Session()
    outputs = session.snapshot(**sides)
    assert [type(o) for o in outputs] == [DeadLetter, FeedStatus]
    assert not session.valid()
    assert session.sent()[0]["params"] == {"sids": [1], "action": "get_snapshot", "market_tickers": [A]}
    first = Session(open_books=False)
    first.snapshot(**sides)
    assert first.protocol.status(first.now).state == "down"


def test_nothing_is_asked_without_a_ticker() -> None:
    session = Session(A)
    session.protocol.unfollow(f"kalshi:{A}")
    session.sent()
    session.delta("0.4500", "1.00", ticker=A, seq=40)  # a hole in a subscription that nobody is left of
    session.tick(60 * SECOND)
    assert session.sent() == []


def test_acknowledgements_take_numbers() -> None:
    session = Session()
    session.seq += 1
    session.give({"id": 3, "type": "ok", "sid": 1, "seq": session.seq, "msg": {"market_tickers": [A]}})
    (delta,) = session.delta("0.4500", "1.00")
    assert isinstance(delta, BookDelta)


@pytest.mark.parametrize("code", [10, 25])
def test_terminal_errors_end_the_connection(code: int) -> None:
    session = Session()
    outputs = session.give({"type": "error", "sid": 1, "seq": 9, "msg": {"code": code, "msg": "x"}})
    assert [type(o) for o in outputs] == [DeadLetter, FeedStatus, Reconnect]
    assert not session.valid()


def test_other_errors_are_told_and_survived() -> None:
    session = Session()
    assert [type(o) for o in session.give({"type": "error", "id": 3, "msg": {"code": 8, "msg": "x"}})] == [DeadLetter]
    assert session.valid()


@pytest.mark.parametrize(
    ("field", "value"),
    [("price_dollars", "0.4550"), ("price_dollars", None), ("delta_fp", "1e400"), ("delta_fp", "0.00"), ("side", "maybe"),
     ("ts_ms", 0), ("ts_ms", "1"), ("ts_ms", AT // 1_000), ("ts_ms", AT * 1_000), ("ts_ms", AT - 3_601_000), ("delta_fp", 5)],
)  # fmt: skip
def test_drift_fails_the_instrument_closed_and_keeps_the_sequence(field: str, value: Any) -> None:
    session = Session()
    outputs = session.delta("0.4500", "1.00", **{field: value})
    assert [type(o) for o in outputs] == [DeadLetter, FeedStatus]
    assert not session.valid(A)
    assert session.valid(B)
    (delta,) = session.delta("0.4500", "1.00", ticker=B)
    assert isinstance(delta, BookDelta)


def test_a_missing_seq_stales_the_sid() -> None:
    session = Session()
    msg = {"market_ticker": A, "market_id": "m", "price_dollars": "0.4500", "delta_fp": "1.00", "side": "yes"}
    outputs = session.give({"type": "orderbook_delta", "sid": 1, "msg": msg})
    assert {type(o) for o in outputs} == {FeedStatus, DeadLetter}
    assert not session.valid(A)
    assert not session.valid(B)


def test_an_unknown_market_is_dead_lettered() -> None:
    session = Session()
    assert [type(o) for o in session.delta("0.4500", "1.00", ticker="KXNO")] == [DeadLetter]
    assert session.valid()


def test_a_settled_ticker_stays_invalid_and_is_asked_about() -> None:
    session = Session(open_books=False)
    outputs = session.snapshot(A, market_id="", yes_dollars_fp=None, no_dollars_fp=None)
    assert ConfirmSettlement(instrument_id=f"kalshi:{A}") in outputs
    assert not session.valid(A)


def test_joining_and_leaving_use_the_sids() -> None:
    session = Session()
    session.protocol.follow(make_listing("kalshi", "KXC-1"), session.now)
    assert [c["params"] for c in session.sent()] == [
        {"sids": [sid], "action": "add_markets", "market_tickers": ["KXC-1"]} for sid in (1, 2)
    ]
    session.protocol.unfollow("kalshi:KXC-1")
    assert [c["params"]["action"] for c in session.sent()] == ["delete_markets", "delete_markets"]


def test_joining_before_the_acknowledgement_waits_for_the_sid() -> None:
    protocol = KalshiProtocol()
    protocol.follow(make_listing("kalshi", A), 1)
    protocol.connect(1, 1)
    protocol.to_send()
    protocol.follow(make_listing("kalshi", B), 1)
    assert protocol.to_send() == []
    protocol.receive('{"id":1,"type":"subscribed","msg":{"channel":"orderbook_delta","sid":5}}', 2)
    assert json.loads(protocol.to_send()[0])["params"] == {"sids": [5], "action": "add_markets", "market_tickers": [B]}


def test_a_first_instrument_subscribes_later() -> None:
    protocol = KalshiProtocol()
    protocol.connect(1, 1)
    assert protocol.to_send() == []
    protocol.follow(make_listing("kalshi", A), 1)
    assert json.loads(protocol.to_send()[0])["cmd"] == "subscribe"


def test_rest_books_are_compared_in_yes_prices() -> None:
    session = Session()
    same = {"orderbook_fp": {"yes_dollars": [["0.4500", "10.00"]], "no_dollars": [["0.5300", "20.00"]]}}
    assert session.protocol.rest_differs(f"kalshi:{A}", json.dumps(same).encode()) is False
    same["orderbook_fp"]["no_dollars"] = []
    assert session.protocol.rest_differs(f"kalshi:{A}", json.dumps(same).encode()) is True
    assert session.protocol.rest_differs(f"kalshi:{A}", b"x") is None


# -- real frames


def test_the_real_session_in_yes_prices(samples) -> None:
    """The same moments were captured in both price conventions; ours is the YES one."""
    frames = samples("kalshi/ws_sequence_use_yes_price.json")
    ticker = frames[2]["msg"]["market_ticker"]
    now = max(frame["msg"].get("ts_ms", 0) for frame in frames) * MS
    protocol = KalshiProtocol()
    protocol.follow(make_listing("kalshi", ticker), now)
    protocol.connect(now, now)
    outputs = [o for frame in frames for o in protocol.receive(json.dumps(frame), now)]
    assert protocol.counters["dead.drift"] == 0
    books = [o for o in outputs if isinstance(o, BookSnapshot | BookDelta)]
    assert [(b.bid_prices, b.ask_prices, b.ask_sizes) for b in books] == [
        ((470_000,), (520_000,), (1_000_000,)),
        ((), (520_000,), (0,)),
        ((), (520_000,), (2_000_000,)),
    ]
    assert [b.sequence for b in books] == [1, 2, 3]


def test_a_real_snapshot_in_no_prices_is_refused(samples) -> None:
    """Captured without use_yes_price: read as YES prices it is crossed, and that is seen."""
    frame = samples("kalshi/ws_orderbook_snapshot.json")
    session = Session(frame["msg"]["market_ticker"], open_books=False)
    assert isinstance(session.give(frame)[-1], DeadLetter)
    assert not session.valid(frame["msg"]["market_ticker"])


@pytest.mark.parametrize("name", ["ws_orderbook_snapshot_empty", "ws_trade", "ws_ticker",
                                  "ws_ok_update_subscription", "ws_error_unknown_channel", "ws_market_lifecycle_determined",
                                  "doc_ws_unsubscribed", "doc_ws_price_level_structure_updated"])  # fmt: skip
def test_real_frames_are_understood(samples, name: str) -> None:
    frame = samples(f"kalshi/{name}.json")
    msg = frame.get("msg")
    ticker = msg.get("market_ticker", A) if isinstance(msg, dict) else A
    session = Session(ticker, open_books=False)
    if "sid" in frame:
        frame["sid"] = 2 if frame["type"] == "trade" else 1
    if isinstance(msg, dict) and "ts_ms" in msg:
        session.now = msg["ts_ms"] * MS
    session.give(frame)
    assert session.protocol.counters["dead.drift"] == 0
