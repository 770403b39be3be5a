"""Many books by REST against a venue in memory: batches, what is left out, and singles where there are no batches."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from crossbook.runtime.settings import KalshiSettings, PolymarketSettings
from producers.connections.connection import Venue
from producers.kalshi import feed as kalshi_feed
from producers.kalshi.feed import KalshiVenue
from producers.polymarket.feed import PolymarketVenue
from tests.builders.producers.listings import make_listing

Answer = Callable[[httpx.Request], httpx.Response]


def polymarket(client: httpx.AsyncClient) -> Venue:
    return PolymarketVenue(PolymarketSettings(clob_url="http://venue"), client)


def kalshi(client: httpx.AsyncClient) -> Venue:
    return KalshiVenue(KalshiSettings(rest_url="http://venue"), client, None, int)  # type: ignore[arg-type]  # REST is not signed


LISTED = {
    "polymarket": [make_listing("polymarket", f"0x{n}", yes_token=str(n), no_token=f"9{n}") for n in range(3)],
    "kalshi": [make_listing("kalshi", f"KX{n}") for n in range(3)],
}
VENUES: dict[str, Callable[[httpx.AsyncClient], Venue]] = {"polymarket": polymarket, "kalshi": kalshi}


def rows(venue: str, names: list[int]) -> Any:
    if venue == "polymarket":
        return [{"asset_id": str(n), "bids": []} for n in names]
    return {"orderbooks": [{"ticker": f"KX{n}", "orderbook_fp": {}} for n in names]}


def read(venue: str, answer: Answer, times: int = 1) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            made = VENUES[venue](client)
            for _ in range(times):
                found = await made.fetch_books(LISTED[venue])
        return {one: json.loads(body) for one, body in found.items()}

    return asyncio.run(run())


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_one_request_brings_all_books_and_what_is_left_out_is_missing(venue: str) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json=rows(venue, [2, 0, 7]))  # 7 was not asked for, 1 is not known

    found = read(venue, answer)
    assert sorted(found) == [LISTED[venue][0].instrument_id, LISTED[venue][2].instrument_id]
    (request,) = asked
    if venue == "polymarket":
        assert (request.method, request.url.path) == ("POST", "/books")
        assert json.loads(request.content) == [{"token_id": "0"}, {"token_id": "1"}, {"token_id": "2"}]
    else:
        assert str(request.url) == "http://venue/markets/orderbooks?tickers=KX0&tickers=KX1&tickers=KX2"


@pytest.mark.parametrize("venue", sorted(VENUES))
@pytest.mark.parametrize("body", [b"", b"<html>", b"{}", b"[1]", b'{"orderbooks":[1]}', b"[[]]"])
def test_an_answer_that_is_none_says_nothing(venue: str, body: bytes) -> None:
    assert read(venue, lambda _: httpx.Response(200, content=body)) == {}


@pytest.mark.parametrize("venue", sorted(VENUES))
def test_a_venue_without_batches_is_asked_for_single_books_and_for_batches_once(venue: str, monkeypatch) -> None:
    monkeypatch.setattr(kalshi_feed, "SINGLES_SPACING_S", 0.0)
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path.endswith(("/books", "/orderbooks")):
            return httpx.Response(405)
        if request.url.params.get("token_id") == "1" or "KX1" in request.url.path:
            return httpx.Response(404)
        return httpx.Response(
            200, json={"of": request.url.params.get("token_id") or request.url.path.split("/")[2][2:]}
        )

    found = read(venue, answer, times=2)
    assert found == {LISTED[venue][n].instrument_id: {"of": str(n)} for n in (0, 2)}
    assert sum(path.endswith(("/books", "/orderbooks")) for path in asked) == 1
    assert len(asked) == 7


@pytest.mark.parametrize("venue", sorted(VENUES))
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_refusal_is_an_error_and_not_an_empty_answer(venue: str, status: int) -> None:
    with pytest.raises(httpx.HTTPStatusError):
        read(venue, lambda _: httpx.Response(status))
