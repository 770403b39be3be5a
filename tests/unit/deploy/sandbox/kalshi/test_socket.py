"""The Kalshi socket's bookkeeping: sids, one sequence for tickers and acks, merging, both price readings."""

from typing import Any

import pytest

from deploy.sandbox.engine import Engine
from deploy.sandbox.faults import parse_fault
from deploy.sandbox.world.happenings import LevelSet
from tests.builders.sandbox_sockets import Ear, ear, tell


def books(engine: Engine, socket: Ear, *tickers: str, **more: object) -> list[dict[str, Any]]:
    return tell(engine, socket, "subscribe", channels=["orderbook_delta"], market_tickers=list(tickers), **more)


def move(engine: Engine, ticker: str, *, is_bid: bool = True) -> None:
    market = engine.tickers[ticker]
    engine.publish([LevelSet(1, market.index, is_bid, 430_000, 5_000_000, -1_500_000, 430_000, 450_000)])


def test_one_sequence_for_snapshots_deltas_and_acks(engine: Engine) -> None:
    socket, (a, b, c, *_) = ear(engine), engine.tickers
    first = books(engine, socket, a, b)
    assert first[0] == {"id": 1, "type": "subscribed", "msg": {"channel": "orderbook_delta", "sid": 1}}
    move(engine, b)
    added = tell(engine, socket, "update_subscription", 2, sids=[1], action="add_markets", market_tickers=[c])
    again = books(engine, socket, a, b)
    snapshot = tell(engine, socket, "update_subscription", 3, sid=1, action="get_snapshot", market_tickers=[a])
    dropped = tell(engine, socket, "update_subscription", 4, sid=1, action="delete_markets", market_tickers=[b])
    move(engine, b)
    gone = tell(engine, socket, "unsubscribe", 5, sids=[1])
    frames = [*first, *added, *again, *snapshot, *dropped, *gone]
    assert [(f["type"], f.get("seq")) for f in frames] == [
        ("subscribed", None),
        ("orderbook_snapshot", 1),
        ("orderbook_snapshot", 2),
        ("orderbook_delta", 3),
        ("ok", 4),
        ("orderbook_snapshot", 5),
        ("ok", 6),  # merged: no snapshot for tickers already held
        ("orderbook_snapshot", 7),
        ("ok", 8),
        ("unsubscribed", 9),
    ]
    assert added[1]["msg"] == {"market_tickers": [a, b, c]}
    assert dropped[0]["msg"] == {"market_tickers": [a, c]}
    fresh = books(engine, socket, a)
    assert (fresh[0]["msg"]["sid"], fresh[1]["seq"]) == (2, 1), "a new sid starts again at 1"


def test_two_connections_have_their_own_sequences(engine: Engine) -> None:
    first, second, (a, *_) = ear(engine), ear(engine), engine.tickers
    books(engine, first, a)
    move(engine, a)
    books(engine, second, a)
    move(engine, a)
    assert [f["seq"] for f in first.take()] == [2, 3]
    assert [f["seq"] for f in second.take()] == [2]


def test_no_levels_arrive_in_no_price_unless_yes_price_is_asked(engine: Engine) -> None:
    plain, turned, (a, *_) = ear(engine), ear(engine), engine.tickers
    own, yes = books(engine, plain, a)[1]["msg"], books(engine, turned, a, use_yes_price=True)[1]["msg"]
    assert own["yes_dollars_fp"] == yes["yes_dollars_fp"]
    assert [size for _, size in own["no_dollars_fp"]] == [size for _, size in yes["no_dollars_fp"]]
    for (mine, _), (theirs, _) in zip(own["no_dollars_fp"], yes["no_dollars_fp"], strict=True):
        assert round(float(mine) + float(theirs), 6) == 1
    move(engine, a, is_bid=False)
    (own_delta,), (yes_delta,) = plain.take(), turned.take()
    assert (own_delta["msg"]["price_dollars"], yes_delta["msg"]["price_dollars"]) == ("0.5700", "0.4300")
    assert own_delta["msg"]["side"] == yes_delta["msg"]["side"] == "no"
    assert own_delta["msg"]["delta_fp"] == "-1.50"


def test_an_empty_side_has_no_key_and_an_unknown_ticker_no_id(engine: Engine) -> None:
    socket, (a, *_) = ear(engine), engine.tickers
    engine.tickers[a].book.asks.clear()
    known, unknown = books(engine, socket, a, "KXNOSUCH")[1:]
    assert "no_dollars_fp" not in known["msg"]
    assert unknown["msg"] == {"market_ticker": "KXNOSUCH", "market_id": ""}


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("no json", 1),
        ('{"id":9,"cmd":"dance","params":{}}', 5),
        ('{"id":9,"cmd":"subscribe"}', 2),
        ('{"id":9,"cmd":"subscribe","params":{}}', 3),
        ('{"id":9,"cmd":"subscribe","params":{"channels":["weather"]}}', 8),
        ('{"id":9,"cmd":"subscribe","params":{"channels":["orderbook_delta"]}}', 14),
        ('{"id":9,"cmd":"subscribe","params":{"channels":["orderbook_delta"],"market_tickers":[4]}}', 11),
        ('{"id":9,"cmd":"unsubscribe","params":{}}', 4),
        ('{"id":9,"cmd":"unsubscribe","params":{"sids":[9]}}', 7),
        ('{"id":9,"cmd":"unsubscribe","params":{"sids":[[]]}}', 7),
        ('{"id":9,"cmd":"update_subscription","params":{"sids":[1,2]}}', 12),
        ('{"id":9,"cmd":"update_subscription","params":{"sids":[[1]]}}', 7),
        ('{"id":9,"cmd":"update_subscription","params":{"sid":9}}', 7),
    ],
)
def test_errors_by_code(engine: Engine, command: str, code: int) -> None:
    socket = ear(engine)
    engine.kalshi.receive(socket, command)
    (frame,) = socket.take()
    assert (frame["type"], frame["msg"]["code"]) == ("error", code)
    assert "seq" not in frame


def test_a_dropped_delta_has_consumed_its_number(engine: Engine) -> None:
    socket, (a, *_) = ear(engine), engine.tickers
    books(engine, socket, a)
    engine.boards["kalshi"].arm(parse_fault({"venue": "kalshi", "fault": "drop_delta"}), None, 0)
    move(engine, a)
    move(engine, a)
    assert [f["seq"] for f in socket.take()] == [3]


def test_a_slow_consumer_gets_error_25_and_loses_its_subscriptions(engine: Engine) -> None:
    socket, (a, *_) = ear(engine), engine.tickers
    books(engine, socket, a)
    engine.kalshi.overflow(socket)
    (frame,) = socket.take()
    assert frame == {"sid": 1, "type": "error", "msg": {"code": 25, "msg": "Subscription buffer overflow"}}
    assert socket.closed
    move(engine, a)
    assert not socket.take()


def test_leaving_forgets_the_connection(engine: Engine) -> None:
    socket, (a, *_) = ear(engine), engine.tickers
    books(engine, socket, a)
    assert engine.kalshi.subscribed
    engine.kalshi.leave(socket)
    engine.kalshi.leave(socket)
    assert not engine.kalshi.subscribed
