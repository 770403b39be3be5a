"""The sandbox's Polymarket REST: Gamma's catalogue and the public part of the CLOB.

Decides answers and refusals. Never prices from anything but the world's books; no private endpoint is served.
"""

import json
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.sandbox.engine import Engine
from deploy.sandbox.listing import Subject
from deploy.sandbox.polymarket import wire
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.pricing import MICROS, NO_ASK, NO_BID, plain

LIMIT_DEFAULT, LIMIT_MAX = 20, 100
BATCH_MAX = 500


def gamma_routes(engine: Engine) -> list[Route]:
    """Routes under ``/gamma``."""
    markets = list(engine.conditions.values())

    def row(market: Market) -> dict[str, object]:
        row = wire.gamma_market(market, opened_s=engine.opened_s, wall_ns=time.time_ns())
        return {**row, "events": [wire.gamma_event(market.subject, [], opened_s=engine.opened_s)]}

    async def list_markets(request: Request) -> Response:
        query = request.query_params
        if "offset" in query:
            return JSONResponse({"type": "validation error", "error": "offset is not supported"}, status_code=422)
        wanted = [m for m in markets if _wanted(request, m)]
        return _page(request, "markets", [row(m) for m in wanted])

    async def list_events(request: Request) -> Response:
        if "offset" in request.query_params:
            return JSONResponse({"type": "validation error", "error": "offset is not supported"}, status_code=422)
        nested = request.query_params.get("include_markets", "true") != "false"
        rows = [_event(engine, m.subject, m, nested=nested) for m in markets if _wanted(request, m)]
        return _page(request, "events", rows)

    async def one_market(request: Request) -> Response:
        wanted = request.path_params["id"]
        for market in markets:
            listing = wire.listing_of(market)
            if wanted in (str(listing.number), listing.slug):
                return JSONResponse(row(market))
        return JSONResponse({"type": "not found error", "error": "id not found"}, status_code=404)

    return [
        Route("/markets/keyset", list_markets),
        Route("/events/keyset", list_events),
        Route("/markets/slug/{id}", one_market),
        Route("/markets/{id}", one_market),
    ]


def _wanted(request: Request, market: Market) -> bool:
    query, listing = request.query_params, wire.listing_of(market)
    if (query.get("closed", "false") == "true") is not market.standing.closed(time.time_ns()):
        return False
    if "version" in query and query["version"] != listing.version:
        return False
    conditions = query.getlist("condition_ids")
    if conditions and not {listing.condition_id, listing.gamma_condition_id} & set(conditions):
        return False
    tokens = query.getlist("clob_token_ids") + query.getlist("position_ids")
    return not tokens or bool({listing.token_yes, listing.token_no} & set(tokens))


def _event(engine: Engine, subject: Subject, market: Market, *, nested: bool) -> dict[str, object]:
    rows = [wire.gamma_market(market, opened_s=engine.opened_s, wall_ns=time.time_ns())] if nested else []
    return wire.gamma_event(subject, rows, opened_s=engine.opened_s)


def _page(request: Request, name: str, rows: list[dict[str, object]]) -> Response:
    """Keyset paging; the cursor is opaque, absent on the last page, and the limit is clamped in silence."""
    try:
        limit = max(1, min(LIMIT_MAX, int(request.query_params.get("limit", LIMIT_DEFAULT))))
        cursor = request.query_params.get("after_cursor", "")
        start = int(bytes.fromhex(cursor).decode().removeprefix("after:")) if cursor else 0
    except ValueError:
        return JSONResponse({"type": "validation error", "error": "invalid limit or cursor"}, status_code=422)
    body: dict[str, object] = {name: rows[start : start + limit]}
    if start + limit < len(rows):
        body["next_cursor"] = f"after:{start + limit}".encode().hex()
    return JSONResponse(body)


class _Clob:
    """The endpoints of the CLOB, over one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def _asset(self, request: Request) -> tuple[Market, bool] | None:
        return self._engine.tokens.get(request.query_params.get("token_id", ""))

    def _book_text(self, market: Market, *, yes: bool) -> str:
        return wire.rest_book(market, yes=yes, wall_ms=self._engine.stamp_ns() // 1_000_000)

    async def book(self, request: Request) -> Response:
        found = self._asset(request)
        if found is None:
            return JSONResponse({"error": "No orderbook exists for the requested token id"}, status_code=404)
        return Response(self._book_text(found[0], yes=found[1]), media_type="application/json")

    async def books(self, request: Request) -> Response:
        try:
            wanted = json.loads(await request.body())
            tokens = [str(item["token_id"]) for item in wanted]
        except (ValueError, TypeError, KeyError):
            return JSONResponse({"error": "Invalid payload"}, status_code=400)
        if len(tokens) > BATCH_MAX:
            return JSONResponse({"error": "Payload exceeds the limit"}, status_code=400)
        found = [self._engine.tokens[token] for token in tokens if token in self._engine.tokens]
        text = ",".join(self._book_text(market, yes=yes) for market, yes in found)
        return Response(f"[{text}]", media_type="application/json")

    async def tick_size(self, request: Request) -> Response:
        found = self._asset(request)
        if found is None:
            return JSONResponse({"error": "market not found"}, status_code=404)
        return JSONResponse({"minimum_tick_size": found[0].tick / MICROS})

    async def neg_risk(self, request: Request) -> Response:
        found = self._asset(request)
        if found is None:
            return JSONResponse({"error": "market not found"}, status_code=404)
        return JSONResponse({"neg_risk": wire.listing_of(found[0]).neg_risk})

    async def midpoint(self, request: Request) -> Response:
        found = self._asset(request)
        if found is None:
            return JSONResponse({"error": "No orderbook exists for the requested token id"}, status_code=404)
        bid, ask = found[0].book.best_bid, found[0].book.best_ask
        if bid == NO_BID or ask == NO_ASK:
            return JSONResponse({"error": "No orderbook exists for the requested token id"}, status_code=404)
        middle = (bid + ask) // 2
        return JSONResponse({"mid": plain(middle if found[1] else MICROS - middle)})

    async def clob_market(self, request: Request) -> Response:
        market = self._engine.conditions.get(request.path_params["condition_id"])
        if market is None:
            return JSONResponse({"error": "market not found"}, status_code=404)
        return JSONResponse(wire.clob_market(market, opened_s=self._engine.opened_s, wall_ns=time.time_ns()))

    async def clock(self, request: Request) -> Response:
        del request
        return Response(str(int(time.time())), media_type="application/json")

    async def version(self, request: Request) -> Response:
        del request
        return JSONResponse({"version": 2})

    async def healthy(self, request: Request) -> Response:
        del request
        return JSONResponse("OK")


def clob_routes(engine: Engine) -> list[Route]:
    """Routes under ``/clob``."""
    clob = _Clob(engine)
    return [
        Route("/ok", clob.healthy),
        Route("/time", clob.clock),
        Route("/version", clob.version),
        Route("/book", clob.book),
        Route("/books", clob.books, methods=["POST"]),
        Route("/tick-size", clob.tick_size),
        Route("/neg-risk", clob.neg_risk),
        Route("/midpoint", clob.midpoint),
        Route("/clob-markets/{condition_id}", clob.clob_market),
    ]
