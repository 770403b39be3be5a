"""Events, markets and series to listings; fee overrides; settlement."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from crossbook.domain.errors import GridError
from crossbook.runtime.settings import KalshiSettings
from producers.errors import ListingError
from producers.kalshi.catalog import KalshiCatalog, fee, listing, settled
from producers.reading import parse_json
from tests.unit.producers.conftest import make_listing

SERIES = {
    "ticker": "KXS",
    "fee_type": "quadratic",
    "fee_multiplier": 1,
    "settlement_sources": [{"name": "AP"}],
    "category": "Sports",
}
EVENT = {"event_ticker": "KXS-1", "series_ticker": "KXS", "title": "E", "category": "Sports"}
MARKET = {
    "ticker": "KXS-1-A", "event_ticker": "KXS-1", "market_type": "binary", "title": "T", "status": "active", "result": "",
    "price_ranges": [{"start": "0.0000", "end": "0.1000", "step": "0.0010"}, {"start": "0.1000", "end": "1.0000", "step": "0.0100"}],
    "close_time": "2026-06-25T16:00:00Z", "expected_expiration_time": "2026-06-11T19:00:00Z", "settlement_timer_seconds": 60,
    "volume_fp": "2000000.00", "rules_primary": "p", "rules_secondary": "s", "exchange_index": 2,
}  # fmt: skip


def text(row: dict[str, Any]) -> dict[str, Any]:
    return parse_json(json.dumps(row).encode(), "test")


def make(event: dict = EVENT, market: dict = MARKET, series: dict = SERIES, member: Any = "direct"):
    return listing(text(event), text(market), text(series), member, 9)


def test_a_listing() -> None:
    one = make()
    assert (one.instrument_id, one.event_id, one.series_id) == ("kalshi:KXS-1-A", "kalshi:KXS-1", "KXS")
    assert [r.tick_micros for r in one.grid] == [1_000, 10_000]
    assert (one.shard, one.category, one.resolution_source, one.status) == (2, "sports", "AP", "active")
    assert one.ts_payout_expected_ns is not None
    assert {m.quantity_micros for m in one.minimums} == {10_000}
    assert one.fee_schedule.member_precision_micros == 100
    assert make(member="fcm").fee_schedule.member_precision_micros == 10_000


@pytest.mark.parametrize(
    ("series", "event", "taker", "maker"),
    [
        ({}, {}, 70_000, 0),
        ({"fee_multiplier": 0.5}, {}, 35_000, 0),
        ({"fee_multiplier": 0}, {}, 0, 0),
        ({"fee_type": "quadratic_with_maker_fees"}, {}, 70_000, 17_500),
        ({"fee_type": "quadratic_with_maker_fees", "fee_multiplier": 0.5}, {}, 35_000, 17_500),
        ({"fee_type": "quadratic_with_combo_maker_fees"}, {}, 70_000, 35_000),
        ({}, {"fee_type_override": "quadratic_with_maker_fees"}, 70_000, 17_500),
        ({"fee_multiplier": 0.5}, {"fee_multiplier_override": 1}, 70_000, 0),
    ],
)
def test_fees(series: dict, event: dict, taker: int, maker: int) -> None:
    schedule = fee(text(EVENT | event), text(SERIES | series), "direct")
    assert (schedule.taker_rate_ppm, schedule.maker_rate_ppm) == (taker, maker)


@pytest.mark.parametrize(
    "series", [{"fee_type": "flat"}, {"fee_type": ""}, {"fee_multiplier": None}, {"fee_multiplier": -1}]
)
def test_unknown_fees_leave_the_market_out(series: dict) -> None:
    with pytest.raises(ListingError, match="fee"):
        make(series=SERIES | series)


@pytest.mark.parametrize(
    "market", [{"price_ranges": None}, {"market_type": "scalar"}, {"price_ranges": []}, {"price_ranges": [{}]}]
)
def test_unsafe_markets_are_left_out(market: dict) -> None:
    with pytest.raises((ListingError, GridError)):
        make(market=MARKET | market)


@pytest.mark.parametrize(
    ("market", "payout"),
    [
        ({"status": "finalized", "result": "yes"}, 1_000_000),
        ({"status": "finalized", "result": "no"}, 0),
        ({"status": "finalized", "result": "scalar", "settlement_value_dollars": "0.3060"}, 306_000),
        ({"status": "finalized", "result": "scalar"}, None),
        ({"status": "determined", "result": "yes"}, None),
        ({"status": "finalized", "result": "yes", "settlement_value_dollars": "7"}, None),
    ],
)
def test_settlement(market: dict, payout: int | None) -> None:
    found = settled(make_listing("kalshi", "KXS-1-A"), text(MARKET | market), 9)
    assert (found.payout_yes_micros if found else None) == payout


def test_discovery_follows_cursors_and_reads_each_series_once() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path.endswith("/events"):
            cursor = request.url.params.get("cursor", "")
            market = MARKET | {
                "ticker": f"KXS-1-{cursor or 'A'}",
                "volume_fp": "1000000.00" if cursor else "5000000.00",
            }
            quiet = MARKET | {"ticker": "KXS-1-Q", "volume_fp": "10.00"}
            return httpx.Response(
                200, json={"events": [EVENT | {"markets": [market, quiet]}], "cursor": "" if cursor else "B"}
            )
        return httpx.Response(200, json={"series": SERIES})

    async def go() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            catalog = KalshiCatalog(KalshiSettings(rest_url="http://x"), client)
            return [one.symbol for one in await catalog.discover(10**12, 10, 9, [])]

    assert asyncio.run(go()) == ["KXS-1-A", "KXS-1-B"]
    assert asked.count("/series/KXS") == 1


def test_a_real_market(samples) -> None:
    market = samples("kalshi/rest_market.json")["response_body"]["market"]
    one = make(market=market)
    assert one.grid[0].tick_micros == 10_000
    assert one.status == "active"
