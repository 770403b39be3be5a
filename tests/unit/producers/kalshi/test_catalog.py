"""Events, markets and series to listings; fee overrides; settlement."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from crossbook.domain.errors import GridError
from crossbook.domain.fees import check_changes
from crossbook.runtime.settings import KalshiSettings
from producers.errors import ListingError
from producers.feeds.fields import parse_json, time_ns
from producers.kalshi.catalog import TICKERS, KalshiCatalog, listing, settled
from producers.kalshi.fees import FeeChanges, fee, overridden_fee
from tests.builders.producers.listings import make_listing

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


#: name: (what the row says beside its ticker, what YES is paid, why it is not believed)
PAYOUTS = {
    "yes": ({"result": "yes", "settlement_value_dollars": "1.0000"}, 1_000_000, ""),
    "no": ({"result": "no", "settlement_value_dollars": "0.0000"}, 0, ""),
    "a number instead of text": ({"result": "yes", "settlement_value_dollars": 1}, 1_000_000, ""),
    "yes, no value": ({"result": "yes"}, 1_000_000, ""),
    "no, value null": ({"result": "no", "settlement_value_dollars": None}, 0, ""),
    "scalar": ({"result": "scalar", "settlement_value_dollars": "0.3060"}, 306_000, ""),
    "scalar at an end": ({"result": "scalar", "settlement_value_dollars": "0.0000"}, 0, ""),
    "scalar without value": ({"result": "scalar"}, None, "no settlement value"),
    "not final": ({"status": "determined", "result": "yes", "settlement_value_dollars": "1.0000"}, None, ""),
    "disputed": ({"status": "disputed", "result": "yes", "settlement_value_dollars": "1.0000"}, None, ""),
    "amended": ({"status": "amended", "result": "no", "settlement_value_dollars": "0.0000"}, None, ""),
    "active with a value": ({"status": "active", "result": "yes", "settlement_value_dollars": "1.0000"}, None, ""),
    "no pays one": ({"result": "no", "settlement_value_dollars": "1.0000"}, None, "contradict"),
    "yes pays nothing": ({"result": "yes", "settlement_value_dollars": "0.0000"}, None, "contradict"),
    "yes pays a part": ({"result": "yes", "settlement_value_dollars": "0.9995"}, None, "contradict"),
    "no result, value 0": ({"result": "", "settlement_value_dollars": "0.0000"}, None, "finalized with result ''"),
    "no result at all": ({"result": None, "settlement_value_dollars": "1.0000"}, None, "finalized with result None"),
    "nothing": ({"result": ""}, None, "finalized with result ''"),
    "an unknown result": (
        {"result": "void", "settlement_value_dollars": "0.5000"},
        None,
        "finalized with result 'void'",
    ),
    "no string": ({"result": ["yes"], "settlement_value_dollars": "1.0000"}, None, "finalized with result"),
    "another case": ({"result": "YES", "settlement_value_dollars": "1.0000"}, None, "finalized with result 'YES'"),
    "value out of bounds": ({"result": "yes", "settlement_value_dollars": "7"}, None, "no price"),
    "value below zero": ({"result": "scalar", "settlement_value_dollars": "-0.1"}, None, "no price"),
    "value no number": ({"result": "yes", "settlement_value_dollars": "one"}, None, "no number"),
    "value empty": ({"result": "yes", "settlement_value_dollars": ""}, None, "no number"),
    "value too fine": ({"result": "scalar", "settlement_value_dollars": "0.12345678"}, None, "whole number"),
}


@pytest.mark.parametrize("name", PAYOUTS)
def test_a_payout_is_believed_only_where_result_and_value_say_the_same(name: str) -> None:
    row, payout, why = PAYOUTS[name]
    refused: list[str] = []
    found = settled(make_listing("kalshi", "KXS-1-A"), text(MARKET | {"status": "finalized"} | row), 9, refused)
    assert (found.payout_yes_micros if found else None) == payout
    assert [why in one for one in refused] == ([True] if why else [])


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({}, "active"),
        ({"status": "inactive"}, "paused"),
        ({"status": "initialized"}, "active"),
        ({"status": "closed"}, "closed"),
        ({"status": "determined"}, "closed"),
        ({"status": "something new"}, "closed"),
        ({"status": None}, "closed"),
    ],
)
def test_a_market_opens_and_closes_by_the_clock(row: dict, status: str) -> None:
    one = make(market=MARKET | {"open_time": "2026-06-11T05:39:29Z"} | row)
    assert (one.status, one.ts_open_ns, one.ts_close_ns) == (
        status,
        time_ns("2026-06-11T05:39:29Z"),
        time_ns("2026-06-25T16:00:00Z"),
    )


@pytest.mark.parametrize("row", [{"close_time": None}, {"close_time": "soon"}, {"status": "initialized"}])
def test_a_market_of_unknown_hours_is_left_out(row: dict) -> None:
    with pytest.raises(ListingError, match="nobody knows"):
        make(market=MARKET | row)


SERIES_CHANGE = {"series_ticker": "KXS", "fee_type": "quadratic", "fee_multiplier": 0.5}
EVENT_CHANGE = {"event_ticker": "KXS-1", "fee_type_override": "quadratic", "fee_multiplier_override": 2}
NOW = time_ns("2026-06-12T00:00:00Z")


@pytest.mark.parametrize(
    ("of_series", "of_events", "rates"),
    [
        ([], [], []),
        ([{"scheduled_ts": "2026-06-13T00:00:00Z"}], [], [35_000]),
        ([{"scheduled_ts": 1_781_308_800}], [], [35_000]),
        ([{"scheduled_ts": "2026-06-11T00:00:00Z"}], [], []),
        ([{"scheduled_ts": "2026-06-13T00:00:00Z", "fee_multiplier": 1}], [], []),
        ([{"scheduled_ts": "2026-06-13T00:00:00Z", "series_ticker": "KXOTHER"}], [], []),
        ([], [{"scheduled_ts": "2026-06-13T00:00:00Z"}], [140_000]),
        (
            [{"scheduled_ts": "2026-06-15T00:00:00Z"}],
            [
                {"scheduled_ts": "2026-06-13T00:00:00Z"},
                {"scheduled_ts": "2026-06-16T00:00:00Z", "fee_type_override": None, "fee_multiplier_override": None},
            ],
            [140_000, 35_000],
        ),
    ],
)
def test_announced_fees_take_effect_at_their_moment(of_series: list, of_events: list, rates: list) -> None:
    changes = FeeChanges(
        [text(SERIES_CHANGE | one) for one in of_series], [text(EVENT_CHANGE | one) for one in of_events]
    )
    one = listing(text(EVENT), text(MARKET), text(SERIES), "direct", NOW, changes)
    assert [change.taker_rate_ppm for change in one.fee_changes] == rates
    assert all(change.ts_effective_ns > NOW for change in one.fee_changes)
    check_changes(one.fee_schedule, one.fee_changes)


@pytest.mark.parametrize(
    "change", [{"scheduled_ts": None}, {"scheduled_ts": "2026-06-13T00:00:00Z", "fee_type": "flat"}]
)
def test_an_announced_fee_that_cannot_be_priced_leaves_the_market_out(change: dict) -> None:
    with pytest.raises(ListingError, match="unknown fee"):
        listing(text(EVENT), text(MARKET), text(SERIES), "direct", NOW, FeeChanges([text(SERIES_CHANGE | change)], []))


@pytest.mark.parametrize(
    ("override", "rate"),
    [
        ({"fee_type_override": "quadratic", "fee_multiplier_override": 2}, 140_000),
        ({"fee_type_override": "quadratic", "fee_multiplier_override": 0}, 0),
        ({"fee_type_override": None, "fee_multiplier_override": None}, None),
        ({"fee_type_override": "quadratic"}, None),
        ({"fee_type_override": "flat", "fee_multiplier_override": 1}, None),
    ],
)
def test_an_override_told_by_the_socket(override: dict, rate: int | None) -> None:
    before = fee(text(EVENT), text(SERIES), "fcm")
    found = overridden_fee(before, text(override), NOW)
    assert (found.taker_rate_ppm if found else None) == rate
    if found is not None:
        assert (found.ts_effective_ns, found.member_precision_micros) == (NOW, 10_000)


def test_settlements_are_read_in_pages_by_ticker() -> None:
    asked: list[list[str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        tickers = request.url.params["tickers"].split(",")
        asked.append(tickers)
        rows = [MARKET | {"ticker": one, "status": "finalized", "result": "no"} for one in tickers if one != "KX-7"]
        return httpx.Response(200, json={"markets": [*rows, MARKET | {"ticker": "KX-OTHER", "status": "finalized"}]})

    async def go() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            catalog = KalshiCatalog(KalshiSettings(rest_url="http://x"), client)
            known = [make_listing("kalshi", f"KX-{number}") for number in range(2 * TICKERS + 5)]
            return [one.instrument_id for one in await catalog.settlements(known, 9, [])]

    found = asyncio.run(go())
    assert [len(one) for one in asked] == [TICKERS, TICKERS, 5]
    assert len(found) == 2 * TICKERS + 4 and "kalshi:KX-7" not in found


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
