"""What the REST of each venue answers about one open market, by httpx's own fake transport; no address leads anywhere."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import httpx

CONDITION = "0x" + "a" * 64
GAMMA = {
    "conditionId": CONDITION, "slug": "s", "question": "Q?", "description": "rules", "resolutionSource": "src",
    "endDate": "2026-10-05T23:15:00Z", "clobTokenIds": '["11", "22"]', "version": "v1", "active": True, "closed": False,
    "acceptingOrders": True, "enableOrderBook": True, "volumeNum": 2_000_000.5, "feesEnabled": True,
    "outcomes": '["Up", "Down"]', "category": "Crypto", "events": [{"id": "77", "seriesSlug": "btc"}],
}  # fmt: skip
CLOB = {
    "c": CONDITION, "t": [{"t": "11", "o": "Up"}, {"t": "22", "o": "Down"}], "mos": 5, "mts": 0.01, "ao": True,
    "fd": {"r": 0.07, "e": 1, "to": True}, "v": "v1",
}  # fmt: skip
SERIES = {"ticker": "KXS", "fee_type": "quadratic", "fee_multiplier": 1, "category": "Sports"}
EVENT = {"event_ticker": "KXS-1", "series_ticker": "KXS", "title": "E", "category": "Sports"}
MARKET = {
    "ticker": "KXS-1-A", "event_ticker": "KXS-1", "market_type": "binary", "title": "T", "status": "active", "result": "",
    "price_ranges": [{"start": "0.0000", "end": "1.0000", "step": "0.0100"}], "close_time": "2027-06-25T16:00:00Z",
    "expected_expiration_time": "2027-06-11T19:00:00Z", "volume_fp": "2000000.00", "rules_primary": "p",
    "rules_secondary": "s",
}  # fmt: skip
ACME = [{"symbol": "ONE", "open": True, "payout": None}]


def polymarket(request: httpx.Request) -> httpx.Response:
    """Gamma and the CLOB."""
    if "/clob-markets/" in request.url.path:
        return httpx.Response(200, json=CLOB)
    wanted = request.url.params.get("closed") == "false"
    return httpx.Response(200, json={"markets": [GAMMA] if wanted else []})


def kalshi(request: httpx.Request) -> httpx.Response:
    """Events, series, markets and announced fee changes."""
    path = request.url.path.rpartition("/trade-api/v2")[2]
    bodies: dict[str, Any] = {
        "/events": {"events": [EVENT | {"markets": [MARKET]}], "cursor": ""},
        "/events/KXS-1": {"event": EVENT},
        "/events/fee_changes": {"event_fee_changes": []},
        "/series/KXS": {"series": SERIES},
        "/series/fee_changes": {"series_fee_change_arr": []},
        "/markets": {"markets": [MARKET]},
        "/markets/KXS-1-A": {"market": MARKET},
    }
    return httpx.Response(200, json=bodies[path]) if path in bodies else httpx.Response(404)


def acme(request: httpx.Request) -> httpx.Response:
    """The plug-in's markets."""
    return httpx.Response(200, json=ACME)


ANSWERS: Final[Mapping[str, Callable[[httpx.Request], httpx.Response]]] = {
    "polymarket": polymarket, "kalshi": kalshi, "acme": acme,
}  # fmt: skip
