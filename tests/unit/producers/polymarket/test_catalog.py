"""Gamma and CLOB rows to listings: what is read from where, and what is left out by name."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from crossbook.domain.grid import PriceGrid
from crossbook.runtime.settings import PolymarketSettings
from producers.errors import ListingError
from producers.polymarket.catalog import ITODE_DELAY_MS, PolymarketCatalog, listing, settled
from producers.reading import parse_json, time_ns
from tests.unit.producers.conftest import make_listing

CONDITION = "0x" + "a" * 64


def gamma(**more: Any) -> dict[str, Any]:
    row = {
        "conditionId": CONDITION, "slug": "s", "question": "Q?", "description": "rules", "resolutionSource": "src",
        "endDate": "2026-10-05T23:15:00Z", "clobTokenIds": '["11", "22"]', "version": "v1", "active": True,
        "closed": False, "acceptingOrders": True, "enableOrderBook": True, "volumeNum": 2000000.5, "feesEnabled": True,
        "category": "Crypto", "events": [{"id": "77", "seriesSlug": "btc"}],
    } | more  # fmt: skip
    return parse_json(json.dumps(row).encode(), "test")


def clob(**more: Any) -> dict[str, Any]:
    row = {
        "c": CONDITION, "t": [{"t": "11", "o": "Up"}, {"t": "22", "o": "Down"}], "mos": 5, "mts": 0.01, "ao": True,
        "fd": {"r": 0.07, "e": 1, "to": True}, "v": "v1",
    } | more  # fmt: skip
    return parse_json(json.dumps({k: v for k, v in row.items() if v is not ...}).encode(), "test")


def test_a_listing() -> None:
    one = listing(gamma(), clob(itode=True), "floor", 9)
    assert one.instrument_id == f"polymarket:{CONDITION}"
    assert (one.yes_token, one.no_token, one.event_id, one.series_id) == ("11", "22", "polymarket:77", "btc")
    assert one.grid == PriceGrid.linear(10_000).ranges
    assert (one.category, one.status, one.volume_micros) == ("crypto", "active", 2_000_000_500_000)
    assert one.taker_delay_ms == ITODE_DELAY_MS
    assert one.ts_close_ns == time_ns("2026-10-05T23:15:00+00:00")
    fees = one.fee_schedule
    assert (fees.model, fees.taker_rate_ppm, fees.maker_rate_ppm, fees.rounding) == (
        "polymarket_curve",
        70_000,
        0,
        "floor",
    )
    minimums = {(m.order_type, m.side): (m.quantity_micros, m.notional_micros) for m in one.minimums}
    assert minimums[("marketable", "buy")] == (5_000_000, 1_000_000)
    assert minimums[("resting", "sell")] == (5_000_000, 0)


def test_a_game_has_no_known_close_and_its_own_delay() -> None:
    one = listing(
        gamma(gameStartTime="2026-10-05 23:15:00+00", secondsDelay=3),
        clob(itode=True, mts=0.0025, nr=True),
        "half_up",
        9,
    )
    assert (one.ts_close_ns, one.ts_game_start_ns) == (None, time_ns("2026-10-05T23:15:00Z"))
    assert one.taker_delay_ms == 3_000
    assert one.neg_risk
    assert one.grid[0].tick_micros == 2_500


def test_v2_uses_position_ids_and_the_padded_condition() -> None:
    short = "0x" + "b" * 62
    one = listing(
        gamma(version="v2", conditionId=short, clobTokenIds=None, positionIds=["33", "34"]),
        clob(t=[{"t": "33"}, {"t": "34"}], v="v2"), "half_up", 9,
    )  # fmt: skip
    assert one.symbol == short + "00"
    assert (one.yes_token, one.exchange_version) == ("33", "v2")


def test_a_v1_market_with_position_ids_uses_its_tokens() -> None:
    assert listing(gamma(positionIds=["33", "34"]), clob(), "half_up", 9).yes_token == "11"


def test_no_fd_is_free_only_where_gamma_agrees() -> None:
    assert listing(gamma(feesEnabled=False), clob(fd=...), "half_up", 9).fee_schedule.model == "free"
    with pytest.raises(ListingError, match="unknown fee"):
        listing(gamma(), clob(fd=...), "half_up", 9)


@pytest.mark.parametrize(
    ("row", "details", "says"),
    [
        ({"version": "v3"}, {}, "version"),
        ({"clobTokenIds": '["11"]'}, {}, "two ids"),
        ({"clobTokenIds": "x"}, {}, "two ids"),
        ({}, {"t": [{"t": "22"}, {"t": "11"}]}, "different tokens"),
        ({}, {"mts": 0.002}, "tick"),
        ({}, {"mts": ...}, "mts"),
        ({}, {"mos": ...}, "mos"),
        ({}, {"fd": {"r": 0.07, "e": 1, "to": False}}, "unknown fee"),
        ({}, {"fd": {"r": 0.07, "e": 1.5, "to": True}}, "unknown fee"),
        ({}, {"fd": {"e": 1, "to": True}}, "fd.r"),
        ({}, {"fd": {"r": 1e-9, "e": 1, "to": True}}, "whole number of micros"),
    ],
)
def test_what_is_left_out(row: dict, details: dict, says: str) -> None:
    with pytest.raises(ListingError, match=says):
        listing(gamma(**row), clob(**details), "half_up", 9)


@pytest.mark.parametrize(
    ("more", "status"), [({}, "active"), ({"acceptingOrders": False}, "paused"), ({"closed": True}, "closed")]
)
def test_status(more: dict, status: str) -> None:
    assert listing(gamma(**more), clob(), "half_up", 9).status == status


@pytest.mark.parametrize(
    ("more", "payout"),
    [
        ({"closed": True, "umaResolutionStatus": "resolved", "outcomePrices": '["1", "0"]'}, 1_000_000),
        ({"closed": True, "resolutionStatus": "resolved", "outcomePrices": '["0.5", "0.5"]'}, 500_000),
        ({"closed": True, "umaResolutionStatus": "proposed", "outcomePrices": '["1", "0"]'}, None),
        ({"closed": False, "umaResolutionStatus": "resolved", "outcomePrices": '["1", "0"]'}, None),
        ({"closed": True, "umaResolutionStatus": "resolved", "outcomePrices": '["0.99", "0.02"]'}, None),
        ({"closed": True, "umaResolutionStatus": "resolved", "outcomePrices": "x"}, None),
    ],
)
def test_settlement(more: dict, payout: int | None) -> None:
    found = settled(make_listing("polymarket", CONDITION), gamma(**more), 9)
    assert (found.payout_yes_micros if found else None) == payout


class Venue:
    """A Gamma and CLOB of a few markets, by httpx's own fake transport."""

    def __init__(self, markets: dict[str, float], page: int) -> None:
        self.names = [(f"0x{i:064x}", volume) for i, volume in enumerate(markets.values(), 1)]
        self.page = page
        self.broken: set[str] = set()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/gamma/markets/keyset":
            start = int(request.url.params.get("after_cursor", "0"))
            rows = [
                json.loads(json.dumps(gamma(conditionId=c))) | {"volumeNum": v, "slug": c[-3:]} for c, v in self.names
            ]
            body: dict[str, Any] = {"markets": rows[start : start + self.page]}
            if start + self.page < len(rows):
                body["next_cursor"] = str(start + self.page)
            return httpx.Response(200, json=body)
        condition = request.url.path.rsplit("/", 1)[1]
        if condition in self.broken:
            return httpx.Response(404, json={"error": "market not found"})
        return httpx.Response(
            200, json=json.loads(json.dumps(clob() | {"mos": 5, "mts": 0.01})) | {"fd": {"r": 0.07, "e": 1, "to": True}}
        )


def discover(venue: Venue, limit: int = 10) -> tuple[list[str], list[str]]:
    async def go() -> tuple[list[str], list[str]]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(venue)) as client:
            settings = PolymarketSettings(gamma_url="http://x/gamma", clob_url="http://x/clob")
            refused: list[str] = []
            found = await PolymarketCatalog(settings, client).discover(1_000_000 * 10**6, limit, 9, refused)
            return [one.symbol for one in found], refused

    return asyncio.run(go())


def test_discovery_pages_filters_by_volume_and_takes_the_most_traded() -> None:
    venue = Venue({"a": 1_500_000, "b": 900_000, "c": 3_000_000, "d": 2_000_000}, page=1)
    assert discover(venue, limit=2) == ([venue.names[2][0], venue.names[3][0]], [])


def test_a_market_without_details_is_refused_by_name_and_the_rest_goes_on() -> None:
    venue = Venue({"a": 1_500_000, "b": 1_600_000}, page=5)
    venue.broken = {venue.names[0][0]}
    found, refused = discover(venue)
    assert found == [venue.names[1][0]]
    assert len(refused) == 1
    assert "404" in refused[0]


def test_real_rows(samples) -> None:
    row = parse_json(json.dumps(samples("polymarket/gamma_market_v1.json")).encode(), "x")
    details = parse_json(json.dumps(samples("polymarket/rest_clob_markets_v1.json")).encode(), "x")
    one = listing(row, details, "half_up", 9)
    assert one.fee_schedule.taker_rate_ppm == 70_000
    assert one.status == "active"
