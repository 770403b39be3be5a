"""What the venues are told to say about trading: status, lifecycle frames, fees, outcomes, as the wire has them."""

import asyncio
import json
from typing import Any

import pytest

from deploy.sandbox.engine import Engine
from deploy.sandbox.errors import UnknownFaultError
from deploy.sandbox.faults import parse_fault
from deploy.sandbox.kalshi import wire as kalshi_wire
from deploy.sandbox.polymarket import wire as polymarket_wire
from deploy.sandbox.standing import Exchange, Standing
from deploy.sandbox.words import say
from tests.builders.sandbox_sockets import Ear, ear, tell

SECOND = 10**9


def told(engine: Engine, socket: Ear, **body: Any) -> list[dict[str, Any]]:
    """Say it of the first pair; what the lifecycle channel heard."""
    venue = body.setdefault("venue", "kalshi")
    market = engine.world.pairs[0][0 if venue == "polymarket" else 1]

    async def go() -> None:
        later: set[asyncio.TimerHandle] = set()
        say(engine, market, parse_fault(body), later)
        for handle in later:
            handle.cancel()

    asyncio.run(go())
    return socket.take()


@pytest.fixture
def hearing(engine: Engine) -> Ear:
    socket = ear(engine)
    (answer,) = tell(engine, socket, "subscribe", channels=["market_lifecycle_v2"])
    assert answer["msg"]["channel"] == "market_lifecycle_v2"
    return socket


def test_lifecycle_frames_have_a_sequence_and_the_fields_of_their_kind(engine: Engine, hearing: Ear) -> None:
    ticker = engine.world.pairs[0][1].key
    (paused,) = told(engine, hearing, fault="deactivate")
    assert (paused["seq"], paused["msg"]) == (1, {"market_ticker": ticker, "event_type": "deactivated"})
    (closes,) = told(engine, hearing, fault="close", seconds=9)
    assert closes["msg"]["event_type"] == "close_date_updated" and closes["msg"]["close_ts"] > 10**9
    determined, settled = told(engine, hearing, fault="settle", kind="no")
    assert (determined["msg"]["result"], determined["msg"]["settlement_value"]) == ("no", "0.0000")
    assert settled["msg"]["event_type"] == "settled" and settled["seq"] == 4
    (fees,) = told(engine, hearing, fault="fee_override", count=15)
    assert fees["type"] == "event_fee_update" and fees["msg"]["fee_multiplier_override"] == 1.5


def test_rest_says_what_the_socket_says(engine: Engine, hearing: Ear) -> None:
    polymarket, kalshi = engine.world.pairs[0]
    row = kalshi_wire.market_row(kalshi, opened_s=engine.opened_s, wall_ns=1)
    assert (row["status"], row["result"]) == ("active", "")
    told(engine, hearing, fault="settle", kind="half")
    told(engine, hearing, venue="polymarket", fault="settle", kind="yes")
    row = kalshi_wire.market_row(kalshi, opened_s=engine.opened_s, wall_ns=1)
    assert (row["status"], row["result"], row["settlement_value_dollars"]) == ("finalized", "scalar", "0.5000")
    gamma = polymarket_wire.gamma_market(polymarket, opened_s=engine.opened_s, wall_ns=1)
    assert (gamma["closed"], json.loads(str(gamma["outcomePrices"]))) == (True, ["1", "0"])


def test_a_market_stands_by_the_clock() -> None:
    one = Standing()
    one.inactive_until_ns, one.closes_ns = 50, 90
    assert [one.status(at) for at in (0, 49, 50, 89, 90)] == ["inactive", "inactive", "active", "active", "closed"]
    one.fee_changes = [(10, 5), (20, 20)]
    assert [one.tenths(10, at) for at in (0, 10, 19, 20)] == [10, 5, 5, 20]


def test_the_exchange_pauses_whole_or_by_shard() -> None:
    exchange = Exchange()
    shards = [0, 2]

    def active(at: int) -> tuple[Any, ...]:
        body: Any = exchange.body(shards, at)
        rows = body["exchange_index_statuses"]
        return body["exchange_active"], body["trading_active"], [one["trading_active"] for one in rows]

    assert active(1) == (True, True, [True, True])
    for kind, expected in (
        ("trading", (True, False, [False, False])),
        ("exchange", (False, False, [False, False])),
        ("shard", (True, True, [True, False])),
    ):
        exchange.pause(kind, 10)
        assert active(9) == expected
        assert active(10) == (True, True, [True, True])


@pytest.mark.parametrize(
    "body",
    [
        {"venue": "polymarket", "fault": "pause"},
        {"venue": "polymarket", "fault": "fee_change"},
        {"venue": "binance", "fault": "close"},
        {"venue": "kalshi", "fault": "settle", "kind": "maybe"},
        {"venue": "kalshi", "fault": "pause", "kind": "non_json"},
    ],
)
def test_words_that_no_venue_says(body: dict[str, Any]) -> None:
    with pytest.raises(UnknownFaultError):
        parse_fault(body)
