"""Gamma and CLOB rows to listings: what is read from where, and what is left out by name."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from crossbook.domain.grid import PriceGrid
from crossbook.runtime.settings import PolymarketSettings
from producers.errors import ListingError
from producers.feeds.fields import parse_json, time_ns
from producers.polymarket.catalog import CONDITIONS, ITODE_DELAY_MS, PolymarketCatalog, listing, settled

CONDITION = "0x" + "a" * 64


def gamma(**more: Any) -> dict[str, Any]:
    row = {
        "conditionId": CONDITION, "slug": "s", "question": "Q?", "description": "rules", "resolutionSource": "src",
        "endDate": "2026-10-05T23:15:00Z", "clobTokenIds": '["11", "22"]', "version": "v1", "active": True,
        "closed": False, "acceptingOrders": True, "enableOrderBook": True, "volumeNum": 2000000.5, "feesEnabled": True,
        "outcomes": '["Up", "Down"]',
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
        ({"negRiskOther": True}, {}, "placeholder"),
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


RESOLVED = {"closed": True, "umaResolutionStatus": "resolved", "outcomes": '["Up", "Down"]'}
#: name: (what the row says, what YES is paid, why it is not believed)
PAYOUTS = {
    "yes": ({"outcomePrices": '["1", "0"]'}, 1_000_000, ""),
    "no": ({"outcomePrices": '["0", "1"]'}, 0, ""),
    "a half each": ({"outcomePrices": '["0.5", "0.5"]'}, 500_000, ""),
    "a list of numbers": ({"outcomePrices": [1.0, 0.0]}, 1_000_000, ""),
    "numbers in a string": ({"outcomePrices": "[1, 0]"}, 1_000_000, ""),
    "by the word of protocol v2": (
        {"umaResolutionStatus": None, "resolutionStatus": "resolved", "outcomePrices": '["1", "0"]'},
        1_000_000,
        "",
    ),
    "disputed before": (
        {"umaResolutionStatuses": '["proposed", "disputed"]', "outcomePrices": '["1", "0"]'},
        1_000_000,
        "",
    ),
    "names of teams": ({"outcomes": '["Lakers", "Celtics"]', "outcomePrices": '["0", "1"]'}, 0, ""),
    "no outcomes, the tokens as listed": ({"outcomes": None, "outcomePrices": '["1", "0"]'}, 1_000_000, ""),
    "proposed": ({"umaResolutionStatus": "proposed", "outcomePrices": '["1", "0"]'}, None, ""),
    "disputed": ({"umaResolutionStatus": "disputed", "outcomePrices": '["1", "0"]'}, None, ""),
    "no status": ({"umaResolutionStatus": None, "outcomePrices": '["1", "0"]'}, None, ""),
    "still open": ({"closed": False, "outcomePrices": '["1", "0"]'}, None, ""),
    "two statuses": (
        {"umaResolutionStatus": "disputed", "resolutionStatus": "resolved", "outcomePrices": '["1", "0"]'},
        None,
        "contradict",
    ),
    "quotes": ({"outcomePrices": '["0.905", "0.095"]'}, None, "no payout"),
    "nearly one": ({"outcomePrices": '["0.9995", "0.0005"]'}, None, "no payout"),
    "nearly a half": ({"outcomePrices": '["0.505", "0.495"]'}, None, "no payout"),
    "nothing": ({"outcomePrices": '["0", "0"]'}, None, "no payout"),
    "twice": ({"outcomePrices": '["1", "1"]'}, None, "no payout"),
    "more than a dollar": ({"outcomePrices": '["0.99", "0.02"]'}, None, "no payout"),
    "negative": ({"outcomePrices": '["2", "-1"]'}, None, "no payout"),
    "one price": ({"outcomePrices": '["1"]'}, None, "no payout"),
    "three prices": ({"outcomePrices": '["1", "0", "0"]'}, None, "no payout"),
    "no prices": ({"outcomePrices": None}, None, "no payout"),
    "no array": ({"outcomePrices": "x"}, None, "no payout"),
    "no numbers": ({"outcomePrices": '["yes", "no"]'}, None, "no number"),
    "null prices": ({"outcomePrices": "[null, null]"}, None, "no number"),
    "three outcomes": ({"outcomes": '["A", "B", "C"]', "outcomePrices": '["1", "0"]'}, None, "not two names"),
    "outcomes the other way": ({"outcomes": '["No", "Yes"]', "outcomePrices": '["1", "0"]'}, None, "other order"),
    "tokens the other way": ({"clobTokenIds": '["22", "11"]', "outcomePrices": '["1", "0"]'}, None, "other tokens"),
    "other tokens": ({"clobTokenIds": '["11", "33"]', "outcomePrices": '["1", "0"]'}, None, "other tokens"),
    "no tokens": ({"clobTokenIds": None, "outcomePrices": '["1", "0"]'}, None, "two ids"),
}


@pytest.mark.parametrize("name", PAYOUTS)
def test_a_payout_is_believed_only_where_the_row_states_what_a_binary_market_can_pay(name: str) -> None:
    row, payout, why = PAYOUTS[name]
    refused: list[str] = []
    found = settled(listing(gamma(), clob(), "half_up", 9), gamma(**(RESOLVED | row)), 9, refused)
    assert (found.payout_yes_micros if found else None) == payout
    assert [why in one for one in refused] == ([True] if why else [])


#: name: (Gamma's outcomes, the CLOB's words, why they are refused)
OUTCOMES = {
    "yes and no": (["Yes", "No"], ["Yes", "No"], ""),
    "other letters": (["YES", "no "], ["Yes", "No"], ""),
    "teams": (["Lakers", "Celtics"], ["Lakers", "Celtics"], ""),
    "over and under": (["Over 2.5", "Under 2.5"], ["Over 2.5", "Under 2.5"], ""),
    "Gamma says nothing": (None, ["Up", "Down"], ""),
    "the CLOB says nothing": (["Up", "Down"], [None, None], ""),
    "nobody says anything": (None, [None, None], "nobody names"),
    "the other order": (["No", "Yes"], ["No", "Yes"], "other order"),
    "down first": (["Down", "Up"], ["Down", "Up"], "other order"),
    "under first": (["Under", "Over"], ["Under", "Over"], "other order"),
    "the other order, only at the CLOB": (None, ["No", "Yes"], "other order"),
    "no first, then another word": (["No", "Lakers"], ["No", "Lakers"], "other order"),
    "the CLOB's are reversed": (["Yes", "No"], ["No", "Yes"], "the CLOB"),
    "the CLOB's teams are reversed": (["Lakers", "Celtics"], ["Celtics", "Lakers"], "the CLOB"),
    "three": (["A", "B", "C"], ["A", "B"], "not two names"),
    "one": (["Yes"], ["Yes", "No"], "not two names"),
    "twice the same": (["Yes", "yes"], ["Yes", "yes"], "both outcomes"),
    "no text": ([1, 2], ["Yes", "No"], "the CLOB"),
    "no text, and the CLOB silent": ([None, 2], [None, None], "not two names"),
    "empty": (["", "No"], ["", "No"], "not two names"),
}


@pytest.mark.parametrize("name", OUTCOMES)
@pytest.mark.parametrize("as_text", [True, False])
def test_outcomes_stand_in_the_order_of_their_tokens(name: str, as_text: bool) -> None:
    words, on_clob, why = OUTCOMES[name]
    row = gamma(outcomes=json.dumps(words) if as_text and words is not None else words)
    details = clob(t=[{"t": "11", "o": on_clob[0]}, {"t": "22", "o": on_clob[1]}])
    if not why:
        assert listing(row, details, "half_up", 9).yes_token == "11"
        return
    with pytest.raises(ListingError, match=why):
        listing(row, details, "half_up", 9)


def test_settlements_are_read_in_pages_by_both_forms_of_the_id() -> None:
    asked: list[list[str]] = []
    known = [listing(gamma(conditionId=f"0x{number:064x}"), clob(), "half_up", 9) for number in range(CONDITIONS + 1)]

    def answer(request: httpx.Request) -> httpx.Response:
        names = request.url.params.get_list("condition_ids")
        asked.append(names)
        assert request.url.params["closed"] == "true"
        rows = [gamma(conditionId=one, outcomePrices='["0", "1"]', **RESOLVED) for one in names if len(one) == 66]
        return httpx.Response(200, json={"markets": rows})

    async def go() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            settings = PolymarketSettings(gamma_url="http://x/gamma", clob_url="http://x/clob")
            return [one.instrument_id for one in await PolymarketCatalog(settings, client).settlements(known, 9, [])]

    assert asyncio.run(go()) == [one.instrument_id for one in known]
    assert [len(one) for one in asked] == [2 * CONDITIONS, 2]


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
