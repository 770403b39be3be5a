"""The sandbox's Kalshi REST: events, markets, order books, series with fee schedules, exchange status.

Decides answers and refusals, in the venue's error shapes. Public endpoints only; no authentication is asked of them.
"""

import base64
import binascii
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.sandbox.engine import Engine
from deploy.sandbox.kalshi import wire
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.pricing import contracts, dollars

EVENTS_LIMIT_MAX = 200
MARKETS_LIMIT_MAX = 1000
BOOKS_MAX = 100
#: Statuses behind a value of the parameter ``status``; without it every market is shown.
_FILTERS = {
    "open": frozenset({"active"}),
    "paused": frozenset({"inactive"}),
    "closed": frozenset({"closed"}),
    "settled": frozenset({"finalized"}),
}


def _not_found() -> Response:
    return JSONResponse({"error": {"code": "not_found", "message": "not found"}}, status_code=404)


def _invalid(call: str, field: str, tag: str) -> Response:
    text = f"Key: '{call}Params.{field}' Error:Field validation for '{field}' failed on the '{tag}' tag"
    return JSONResponse({"msg": f"Parameter validation failed for {call}: {text}"}, status_code=400)


class _Rest:
    """The endpoints, over one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._markets = engine.tickers
        self._by_event = {wire.listing_of(m).event_ticker: m for m in self._markets.values()}
        self._by_series = {wire.listing_of(m).series_ticker: m for m in self._markets.values()}

    async def list_events(self, request: Request) -> Response:
        query = request.query_params
        wall_ns = time.time_ns()
        wanted_open = query.get("status", "open") == "open"
        rows = [m for m in self._markets.values() if m.standing.closed(wall_ns) is not wanted_open]
        if "series_ticker" in query:
            rows = [m for m in rows if wire.listing_of(m).series_ticker == query["series_ticker"]]
        nested = query.get("with_nested_markets", "false") == "true"
        page = _page(request, rows, "GetEvents", EVENTS_LIMIT_MAX)
        if isinstance(page, Response):
            return page
        found, cursor = page
        events = [wire.event_row(m, opened_s=self._engine.opened_s, nested=nested, wall_ns=wall_ns) for m in found]
        return JSONResponse({"events": events, "cursor": cursor})

    async def one_event(self, request: Request) -> Response:
        market = self._by_event.get(request.path_params["event"])
        if market is None:
            return _not_found()
        nested = request.query_params.get("with_nested_markets", "false") == "true"
        opened_s, wall_ns = self._engine.opened_s, time.time_ns()
        row = wire.event_row(market, opened_s=opened_s, nested=nested, wall_ns=wall_ns)
        body: dict[str, object] = {"event": row}
        if not nested:
            body["markets"] = [wire.market_row(market, opened_s=opened_s, wall_ns=wall_ns)]
        return JSONResponse(body)

    async def list_markets(self, request: Request) -> Response:
        query = request.query_params
        wall_ns = time.time_ns()
        rows = list(self._markets.values())
        if "status" in query:
            words = _FILTERS.get(query["status"], frozenset())
            rows = [m for m in rows if m.standing.status(wall_ns) in words]
        if query.get("tickers"):
            wanted = set(query["tickers"].split(","))
            rows = [m for m in rows if wire.listing_of(m).ticker in wanted]
        for name in ("event_ticker", "series_ticker"):
            if name in query:
                rows = [m for m in rows if getattr(wire.listing_of(m), name) == query[name]]
        page = _page(request, rows, "GetMarkets", MARKETS_LIMIT_MAX)
        if isinstance(page, Response):
            return page
        found, cursor = page
        return JSONResponse(
            {
                "markets": [wire.market_row(m, opened_s=self._engine.opened_s, wall_ns=wall_ns) for m in found],
                "cursor": cursor,
            }
        )

    async def one_market(self, request: Request) -> Response:
        market = self._markets.get(request.path_params["ticker"])
        if market is None:
            return _not_found()
        row = wire.market_row(market, opened_s=self._engine.opened_s, wall_ns=time.time_ns())
        return JSONResponse({"market": row})

    async def orderbook(self, request: Request) -> Response:
        market = self._markets.get(request.path_params["ticker"])
        if market is None:
            return _not_found()
        try:
            depth = int(request.query_params.get("depth", 0))
        except ValueError:
            depth = -1
        if not 0 <= depth <= 100:
            return _invalid("GetMarketOrderbook", "Depth", "lte")
        return JSONResponse({"orderbook_fp": _book(market, depth)})

    async def orderbooks(self, request: Request) -> Response:
        tickers = request.query_params.getlist("tickers")  # repeated, never comma-joined
        if not 1 <= len(tickers) <= BOOKS_MAX:
            return _invalid("GetMarketOrderbooks", "Tickers", "lte" if tickers else "required")
        found = [(t, self._markets[t]) for t in tickers if t in self._markets]
        return JSONResponse({"orderbooks": [{"ticker": t, "orderbook_fp": _book(m, 0)} for t, m in found]})

    async def one_series(self, request: Request) -> Response:
        market = self._by_series.get(request.path_params["series"])
        if market is None:
            return _not_found()
        return JSONResponse({"series": wire.series_row(market, wall_ns=time.time_ns())})

    async def series_fee_changes(self, request: Request) -> Response:
        del request
        rows = wire.fee_change_rows(list(self._markets.values()), time.time_ns())
        return JSONResponse({"series_fee_change_arr": rows})

    async def event_fee_changes(self, request: Request) -> Response:
        del request
        return JSONResponse({"event_fee_changes": [], "cursor": ""})

    async def status(self, request: Request) -> Response:
        del request
        shards = sorted({wire.listing_of(m).exchange_index for m in self._markets.values()})
        return JSONResponse(self._engine.exchange.body(shards, time.time_ns()))

    async def schedule(self, request: Request) -> Response:
        del request
        return JSONResponse({"schedule": {"standard_hours": [], "maintenance_windows": []}})


def routes(engine: Engine) -> list[Route]:
    """Routes under ``/trade-api/v2``."""
    rest = _Rest(engine)
    return [
        Route("/events", rest.list_events),
        Route("/events/fee_changes", rest.event_fee_changes),
        Route("/events/{event}", rest.one_event),
        Route("/markets", rest.list_markets),
        Route("/markets/orderbooks", rest.orderbooks),
        Route("/markets/{ticker}/orderbook", rest.orderbook),
        Route("/markets/{ticker}", rest.one_market),
        Route("/series/fee_changes", rest.series_fee_changes),
        Route("/series/{series}", rest.one_series),
        Route("/exchange/status", rest.status),
        Route("/exchange/schedule", rest.schedule),
    ]


def _book(market: Market, depth: int) -> dict[str, object]:
    """Both sides ascending, best last; ``depth`` keeps the best ones, 0 all."""
    yes, no = wire.sides(market, yes_price=False)
    return {
        "yes_dollars": [[dollars(p), contracts(s)] for p, s in yes[-depth:]],
        "no_dollars": [[dollars(p), contracts(s)] for p, s in no[-depth:]],
    }


def _page(request: Request, rows: list[Market], call: str, limit_max: int) -> tuple[list[Market], str] | Response:
    """Cursor paging; an unreadable cursor is taken for the first page, as the venue does."""
    try:
        limit = int(request.query_params.get("limit", 100))
    except ValueError:
        limit = 0
    if not 1 <= limit <= limit_max:
        return _invalid(call, "Limit", "lte" if limit > limit_max else "gte")
    try:
        start = int(base64.urlsafe_b64decode(request.query_params.get("cursor", "") or "MA=="))
    except (ValueError, binascii.Error):
        start = 0
    following = start + limit
    cursor = base64.urlsafe_b64encode(str(following).encode()).decode() if following < len(rows) else ""
    return rows[start:following], cursor
