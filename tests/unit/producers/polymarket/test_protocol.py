"""Polymarket's own rules: mirrored tokens, absolute sizes, stamps for order, ticks, lasting disagreement, resolution."""

import json
from typing import Any

import pytest

from crossbook.domain.grid import PriceGrid
from producers.feeds.protocol import ConfirmSettlement, FetchBook, RefreshListing
from producers.polymarket.protocol import PolymarketProtocol
from schemas.records import BookDelta, BookSnapshot, DeadLetter, FeedStatus, InstrumentListed, PublicTrade
from tests.builders.producers.listings import make_listing
from tests.builders.producers.polymarket import AT, CONDITION, ID, MS, NO, YES, Session, book


def change(*entries: tuple[str, str, str, str], at: int = AT + 1, bid: str = "", ask: str = "") -> dict:
    rows = [
        {"asset_id": token, "price": price, "size": size, "side": side, "hash": "", "best_bid": bid, "best_ask": ask}
        for token, price, size, side in entries
    ]
    return {"market": CONDITION, "price_changes": rows, "timestamp": str(at), "event_type": "price_change"}


def test_subscribes_the_yes_token_only() -> None:
    frame = json.loads(Session().protocol.to_send()[0])
    assert frame == {"assets_ids": [YES], "type": "market", "custom_feature_enabled": True}


def test_wire_order_of_levels_does_not_matter() -> None:
    session = Session(book(bids=[("0.41", "1"), ("0.45", "2"), ("0.43", "3")], asks=[("0.6", "4"), ("0.5", "5")]))
    assert session.levels == (
        (450_000, 430_000, 410_000),
        (2_000_000, 3_000_000, 1_000_000),
        (500_000, 600_000),
        (5_000_000, 4_000_000),
    )


def test_a_no_book_alone_is_mirrored() -> None:
    session = Session(book(NO, bids=[("0.53", "20")], asks=[("0.55", "10")]))
    assert session.levels == ((450_000,), (10_000_000,), (470_000,), (20_000_000,))


def test_a_no_book_beside_a_valid_yes_book_is_not_counted_again() -> None:
    session = Session(book())
    assert session.give(book(NO, at=AT + 1, bids=[("0.53", "99")], asks=[])) == []
    assert session.levels[3] == (20_000_000,)


def test_both_tokens_in_one_change_are_one_level() -> None:
    session = Session(book())
    (delta,) = session.give(change((YES, "0.46", "7", "BUY"), (NO, "0.54", "7", "SELL")))
    assert isinstance(delta, BookDelta)
    assert (delta.bid_prices, delta.bid_sizes, delta.ask_prices) == ((460_000,), (7_000_000,), ())


def test_a_no_change_alone_is_mirrored_and_yes_has_the_last_word() -> None:
    session = Session(book())
    (delta,) = session.give(change((NO, "0.54", "7", "SELL")))
    assert (delta.bid_prices, delta.bid_sizes) == ((460_000,), (7_000_000,))
    (delta,) = session.give(change((NO, "0.54", "0", "SELL"), (YES, "0.46", "9", "BUY"), at=AT + 2))
    assert (delta.bid_prices, delta.bid_sizes) == ((460_000,), (9_000_000,))


def test_sizes_are_absolute_and_zero_removes() -> None:
    session = Session(book())
    session.give(change((YES, "0.45", "3", "BUY")))
    assert session.levels[1] == (3_000_000,)
    session.give(change((YES, "0.45", "0", "BUY"), at=AT + 2))
    assert session.levels[0] == ()


def test_changes_older_than_the_snapshot_are_dropped() -> None:
    session = Session(book())
    assert session.give(change((YES, "0.45", "3", "BUY"), at=AT - 1)) == []
    assert session.levels[1] == (10_000_000,)


def test_a_late_change_does_not_overwrite_a_later_one_of_its_level() -> None:
    session = Session(book())
    session.give(change((YES, "0.45", "5", "BUY"), at=AT + 5))
    assert session.give(change((YES, "0.45", "4", "BUY"), at=AT + 4)) == []
    (delta,) = session.give(change((YES, "0.44", "4", "BUY"), at=AT + 4))
    assert delta.bid_prices == (440_000,)


def test_disagreement_with_the_best_prices_for_a_second_fetches_the_book() -> None:
    session = Session(book())
    session.give(change((YES, "0.44", "1", "BUY"), bid="0.46", ask="0.47"))  # we missed the bid at 0.46
    assert session.tick(900) == []
    assert session.valid
    outputs = session.tick(200)
    assert [type(o) for o in outputs] == [FeedStatus, FetchBook]
    assert outputs[0].state == "resync"
    assert outputs[0].instruments == (ID,)
    assert not session.valid
    (snapshot,) = session.protocol.rest_book(
        ID, json.dumps(book(at=AT + 9, bids=[("0.46", "1")])).encode(), session.now
    )
    assert isinstance(snapshot, BookSnapshot)
    assert session.valid


def test_passing_disagreement_and_crossing_are_left_alone() -> None:
    session = Session(book())
    session.give(change((YES, "0.48", "1", "BUY"), bid="0.48", ask="0.49"))  # crossed within a burst
    assert session.tick(500) == []
    session.give(change((YES, "0.47", "0", "SELL"), at=AT + 2, bid="0.48", ask=""))
    assert session.tick(2_000) == []
    assert session.valid


def test_a_book_that_stays_crossed_is_fetched() -> None:
    session = Session(book())
    session.give(change((YES, "0.48", "1", "BUY")))
    outputs = session.tick(1_100)
    assert [type(o) for o in outputs] == [FeedStatus, FetchBook]


def test_best_bid_ask_is_a_cross_check_only() -> None:
    session = Session(book())
    event = {"market": CONDITION, "asset_id": YES, "best_bid": "0.44", "best_ask": "0.47", "event_type": "best_bid_ask"}
    assert session.give(event) == []
    assert [type(o) for o in session.tick(1_100)] == [FeedStatus, FetchBook]


@pytest.mark.parametrize(
    "body",
    [b"{", b'{"error":"x"}', json.dumps(book("9" * 70)).encode(), json.dumps(book(bids=[("0.6", "1")])).encode()],
)
def test_unusable_rest_books_are_dead_lettered(body: bytes) -> None:
    session = Session(book())
    session.protocol.distrust(ID, "test", session.now)
    (letter,) = session.protocol.rest_book(ID, body, session.now)
    assert isinstance(letter, DeadLetter)
    assert not session.valid


def test_a_rest_book_older_than_the_socket_is_not_adopted_and_asked_for_again() -> None:
    session = Session(book())
    session.give(change((YES, "0.45", "3", "BUY"), at=AT + 50))
    session.protocol.distrust(ID, "test", session.now)
    assert session.protocol.rest_book(ID, json.dumps(book(at=AT + 49)).encode(), session.now) == []
    assert [type(o) for o in session.tick(1_100)] == [FetchBook]


def test_rest_comparison() -> None:
    session = Session(book())
    same = json.dumps(book(at=AT + 5)).encode()
    assert session.protocol.rest_differs(ID, same) is False
    assert session.protocol.rest_differs(ID, json.dumps(book(at=AT + 5, bids=[])).encode()) is True
    assert session.protocol.rest_differs(ID, json.dumps(book(at=AT - 5, bids=[])).encode()) is None
    assert session.protocol.rest_differs(ID, b"{}") is None


def test_a_tick_change_lists_anew_and_waits_for_a_fresh_book() -> None:
    session = Session(book())
    event = {
        "event_type": "tick_size_change", "asset_id": YES, "market": CONDITION, "old_tick_size": "0.01",
        "new_tick_size": "0.001", "timestamp": "100000000",
    }  # fmt: skip
    outputs = session.give(event)
    assert [type(o) for o in outputs] == [InstrumentListed, FeedStatus, FetchBook]
    assert outputs[0].grid == PriceGrid.linear(1_000).ranges
    assert not session.valid
    assert session.give(event) == []
    (snapshot,) = session.give(book(at=AT + 9, bids=[("0.455", "1")]))
    assert snapshot.bid_prices == (455_000,)


def test_a_book_with_another_tick_is_a_tick_change() -> None:
    session = Session()
    outputs = session.give(book(tick_size="0.001", bids=[("0.455", "1")]))
    assert any(isinstance(o, InstrumentListed) for o in outputs)
    assert isinstance(outputs[-1], BookSnapshot)


def test_an_unknown_tick_fails_closed() -> None:
    session = Session(book())
    outputs = session.give(
        {"event_type": "tick_size_change", "asset_id": YES, "market": CONDITION, "old_tick_size": "0.01",
         "new_tick_size": "0.002", "timestamp": "1"}
    )  # fmt: skip
    assert isinstance(outputs[0], DeadLetter)
    assert not session.valid


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("price", "0.455"),
        ("price", "0"),
        ("price", "1.5"),
        ("size", "-1"),
        ("size", "1e400"),
        ("size", None),
        ("side", "HOLD"),
    ],
)
def test_drift_in_a_change_fails_the_instrument_closed_and_the_feed_lives(field: str, value: Any) -> None:
    session = Session(book())
    frame = change((YES, "0.46", "7", "BUY"))
    frame["price_changes"][0][field] = value
    outputs = session.give(frame)
    assert [type(o) for o in outputs] == [DeadLetter, FeedStatus, FetchBook]
    assert outputs[1].state == "resync"
    assert json.loads(outputs[0].payload) == frame
    assert session.protocol.status(session.now).state == "live"
    assert session.levels[0] == (450_000,)  # nothing of the frame was applied


@pytest.mark.parametrize("field", ["price", "size", "side", "asset_id", "best_bid", "best_ask"])
def test_a_vanished_field_is_drift(field: str) -> None:
    session = Session(book())
    frame = change((YES, "0.46", "7", "BUY"), (NO, "0.54", "7", "SELL"))
    del frame["price_changes"][0][field]
    assert isinstance(session.give(frame)[0], DeadLetter)
    assert not session.valid


@pytest.mark.parametrize("stamp", ["0", "", "x", "99999999999999999", str(AT + 4_000_000)])
def test_impossible_stamps_are_drift(stamp: str) -> None:
    session = Session(book())
    assert isinstance(session.give(change((YES, "0.46", "7", "BUY")) | {"timestamp": stamp})[0], DeadLetter)


@pytest.mark.parametrize(
    ("stamp", "unit"),
    [(AT // 1_000, "seconds"), (AT * 1_000, "microseconds"), (AT - 3_601_000, "an hour ago"), (0, "none")],
)
@pytest.mark.parametrize("kind", ["change", "trade", "book"])
def test_stamps_of_another_unit_or_time_are_drift(kind: str, stamp: int, unit: str) -> None:
    """Whole books are stamped with their last change, which may be long ago; nothing else may."""
    session = Session(book())
    trade = {
        "market": CONDITION,
        "asset_id": YES,
        "price": "0.46",
        "size": "3",
        "side": "BUY",
        "event_type": "last_trade_price",
    }
    frame = {"change": change((YES, "0.46", "7", "BUY")), "trade": trade, "book": book()}[kind] | {
        "timestamp": str(stamp)
    }
    outputs = session.give(frame)
    if (kind, unit) == ("book", "an hour ago"):
        assert session.valid
        return
    assert [type(o) for o in outputs] == [DeadLetter, FeedStatus, FetchBook]
    assert "timestamp" in outputs[0].error
    assert not session.valid


@pytest.mark.parametrize(
    "levels",
    [
        {"bids": [("0.45", "0")]},
        {"bids": [("0.45", "10"), ("0.450", "7")]},
        {"asks": [("0.47", "10"), ("0.48", "1"), ("0.47", "10")]},
    ],
)
def test_a_level_of_no_size_or_a_price_twice_in_a_whole_book_is_drift_and_asked_for_again(levels: dict) -> None:
    session = Session(book())
    outputs = session.give(book(at=AT + 1, **levels))
    assert [type(o) for o in outputs] == [DeadLetter, FeedStatus, FetchBook]
    assert not session.valid
    (letter,) = session.protocol.rest_book(ID, json.dumps(book(at=AT + 2, **levels)).encode(), session.now)
    assert isinstance(letter, DeadLetter)
    assert session.protocol.rest_differs(ID, json.dumps(book(at=AT + 2, **levels)).encode()) is None


def test_a_first_book_that_is_none_makes_no_feed_live() -> None:
    session = Session(book(bids=[("0.45", "10"), ("0.450", "7")]))
    assert session.protocol.status(session.now).state == "down"


def test_unknown_markets_are_dead_lettered_and_counted() -> None:
    session = Session(book())
    assert [type(o) for o in session.give(change(("5" * 70, "0.46", "7", "BUY")))] == [DeadLetter]
    assert session.protocol.counters["unknown_market"] == 1
    assert session.valid


def test_new_markets_are_only_counted() -> None:
    session = Session(book())
    assert session.give({"event_type": "new_market", "assets_ids": [YES], "market": "0x1"}) == []
    assert session.protocol.counters["new_market"] == 1


def test_a_resolution_is_only_a_question() -> None:
    session = Session(book())
    frame = {"event_type": "market_resolved", "market": CONDITION, "assets_ids": [YES, NO], "winning_asset_id": YES}
    listed, *commands = session.give(frame)
    assert (listed.instrument_id, listed.status) == (ID, "closed")  # it trades no more until the catalogue has said
    assert commands == [RefreshListing(instrument_id=ID), ConfirmSettlement(instrument_id=ID)]
    assert session.give(frame) == [ConfirmSettlement(instrument_id=ID)]


def test_pongs_and_trailing_newlines() -> None:
    session = Session(book())
    assert session.give(b"PONG") == []
    assert session.give(b"PONG\n") == []
    (delta,) = session.give(json.dumps(change((YES, "0.46", "7", "BUY"))).encode() + b"\n")
    assert isinstance(delta, BookDelta)


EVENT = {"market": CONDITION, "asset_id": YES, "timestamp": str(AT)}


@pytest.mark.parametrize(
    "frame",
    [
        b"PONG",
        EVENT | {"event_type": "last_trade_price", "price": "0.46", "size": "3", "side": "BUY"},
        EVENT | {"event_type": "best_bid_ask", "best_bid": "0.45", "best_ask": "0.47"},
        EVENT | {"event_type": "tick_size_change", "old_tick_size": "0.01", "new_tick_size": "0.01"},
        EVENT | {"event_type": "new_market"},
    ],
)
def test_only_books_and_changes_vouch_for_a_book(frame: Any) -> None:
    session = Session()
    session.give(frame)
    assert session.protocol.status(session.now).state == "down"
    session.give(book())
    heard = session.protocol.ts_data_ns
    session.give(frame)
    assert session.protocol.ts_data_ns == heard
    assert session.protocol.followed[ID].silence.assured_ns == heard


def test_a_no_trade_is_mirrored() -> None:
    session = Session(book())
    (trade,) = session.give(
        {"market": CONDITION, "asset_id": NO, "price": "0.53", "size": "2.46", "side": "BUY", "timestamp": str(AT),
         "event_type": "last_trade_price", "fee_rate_bps": "0", "transaction_hash": "0xab"}
    )  # fmt: skip
    assert isinstance(trade, PublicTrade)
    assert (trade.price_micros, trade.quantity_micros, trade.taker_side, trade.trade_id) == (
        470_000,
        2_460_000,
        "sell",
        "0xab",
    )


def test_follow_and_unfollow_while_connected() -> None:
    session = Session(book())
    session.protocol.to_send()
    session.protocol.follow(
        make_listing("polymarket", "0x" + "d" * 64, yes_token="5" * 70, no_token="6" * 70), session.now
    )
    assert json.loads(session.protocol.to_send()[0]) == {
        "operation": "subscribe", "assets_ids": ["5" * 70], "custom_feature_enabled": True
    }  # fmt: skip
    session.protocol.unfollow(ID)
    assert json.loads(session.protocol.to_send()[0]) == {"operation": "unsubscribe", "assets_ids": [YES]}
    assert isinstance(session.give(book(at=AT + 5))[0], DeadLetter)


# -- real frames


def followed(market: str, yes: str, no: str, tick: int, now: int) -> PolymarketProtocol:
    protocol = PolymarketProtocol()
    grid = PriceGrid.linear(tick).ranges
    protocol.follow(make_listing("polymarket", market, yes_token=yes, no_token=no, grid=grid), now)
    protocol.connect(now, now)
    return protocol


@pytest.mark.parametrize("name", ["ws_market_book_initial_v1", "ws_market_book_initial_v2", "rest_book_v1"])
def test_real_books(samples, name: str) -> None:
    content = samples(f"polymarket/{name}.json")
    event = content[0] if isinstance(content, list) else content | {"event_type": "book"}
    now = int(event["timestamp"]) * MS
    protocol = followed(event["market"], event["asset_id"], "1", 10_000, now)
    outputs = protocol.receive(json.dumps(content if isinstance(content, list) else event), now)
    snapshot = outputs[-1]
    assert isinstance(snapshot, BookSnapshot)
    assert len(snapshot.bid_prices) == len(event["bids"])
    assert len(snapshot.ask_prices) == len(event["asks"])
    assert protocol.counters["dead.drift"] == 0


def test_real_changes_trades_and_notices(samples) -> None:
    frame = samples("polymarket/ws_market_price_change.json")
    yes, no = (entry["asset_id"] for entry in frame["price_changes"])
    now = int(frame["timestamp"]) * MS
    protocol = followed(frame["market"], yes, no, 10_000, now)
    start = book(yes, at=int(frame["timestamp"]) - 1, bids=[("0.07", "5")], asks=[("0.08", "5")])
    protocol.receive(json.dumps([start]), now)
    (delta,) = protocol.receive(json.dumps(frame), now)
    assert (delta.bid_prices, delta.bid_sizes) == ((60_000,), (374_340_000,))
    for name in ("last_trade_price", "best_bid_ask", "tick_size_change", "resolved", "new_market"):
        event = samples(f"polymarket/ws_market_{name}.json")
        asset = event.get("asset_id", "1")
        stamp = max(int(event["timestamp"]), 1) * MS
        protocol = followed(event["market"], asset, "2", 10_000, stamp)
        protocol.receive(json.dumps(event), stamp)
        assert protocol.counters["dead.drift"] == 0, name
