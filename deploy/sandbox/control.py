"""The sandbox's own endpoints: arm a fault, read the truth, read the status. Loopback only, like everything here.

Decides how a fault request becomes bytes on the wire. It must never change the world, the tick change excepted (which
the venue then announces).
"""

import asyncio
import json
import time

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deploy.sandbox import garbage, words
from deploy.sandbox.binance.socket import BinanceHub
from deploy.sandbox.engine import Engine
from deploy.sandbox.errors import SandboxError, UnknownInstrumentError
from deploy.sandbox.faults import FRAME_FAULTS, WORDS, FaultRequest, parse_fault
from deploy.sandbox.kalshi.socket import KalshiHub
from deploy.sandbox.polymarket.socket import PolymarketHub
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.pricing import BINANCE, KALSHI, POLYMARKET

CROSSED_SECONDS = 2.0
SHUTDOWN_SECONDS = 2.0


def routes(engine: Engine) -> list[Route]:
    """Routes under ``/sandbox``."""
    later: set[asyncio.TimerHandle] = set()

    async def arm(request: Request) -> Response:
        try:
            wanted = parse_fault(json.loads(await request.body() or b"null"))
            applied = _apply(engine, wanted, later)
        except ValueError:
            return JSONResponse({"error": "the body is no JSON"}, status_code=400)
        except SandboxError as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        return JSONResponse({"venue": wanted.venue, "fault": wanted.fault, **applied})

    async def truth(request: Request) -> Response:
        del request
        return JSONResponse(truth_body(engine))

    async def status(request: Request) -> Response:
        del request
        return JSONResponse(status_body(engine))

    return [
        Route("/faults", arm, methods=["POST"]),
        Route("/truth", truth),
        Route("/status", status),
    ]


def truth_body(engine: Engine) -> dict[str, object]:
    """Planted edges so far (newest state of each), their density, and the latent probabilities."""
    world = engine.world
    elapsed_ns = world.floor.now_ns
    planted = [truth.row() for truth in engine.truths.values()]
    return {
        "preset": world.preset.name,
        "seed": world.seed,
        "rate": world.rate,
        "ts_started_ns": engine.started_wall_ns or None,
        "elapsed_ns": elapsed_ns,
        "planted": planted,
        "planted_per_minute": round(len(planted) * 60e9 / elapsed_ns, 3) if elapsed_ns else 0.0,
        "net_cap_micros": world.preset.net_cap_micros,
        "references": [] if world.lead is None else [world.lead.truth() | {"maker_lag_ns": _lags(engine)}],
        "probabilities_micros": {subject.key: world.probability_of(subject.key) for subject in world.subjects},
    }


def status_body(engine: Engine) -> dict[str, object]:
    now_ns = time.monotonic_ns()
    hubs: dict[str, PolymarketHub | KalshiHub | BinanceHub] = {
        POLYMARKET: engine.polymarket,
        KALSHI: engine.kalshi,
        BINANCE: engine.binance,
    }
    return {
        "started": engine.started,
        "elapsed_ns": engine.world.floor.now_ns,
        "updates": engine.world.updates,
        "trades": engine.world.floor.trades,
        "behind_ns_max": engine.behind_ns_max,
        "connections": {venue: len(hub.sockets) for venue, hub in hubs.items()},
        "overflows": {venue: hub.overflows for venue, hub in hubs.items()},
        "faults": {venue: board.describe(now_ns) for venue, board in engine.boards.items()},
        "spoiled": {venue: board.spoiled for venue, board in engine.boards.items()},
    }


def market_named(engine: Engine, venue: str, instrument: str | None) -> Market:
    """The instrument by Kalshi ticker, Polymarket condition id or token id; the first pair's when None."""
    if instrument is None:
        return engine.world.pairs[0][0 if venue == POLYMARKET else 1]
    found = engine.tickers.get(instrument) if venue == KALSHI else engine.conditions.get(instrument)
    if found is None and venue == POLYMARKET and instrument in engine.tokens:
        found = engine.tokens[instrument][0]
    if found is None:
        raise UnknownInstrumentError(f"{venue} does not list {instrument!r}: see the pairs in the address file")
    return found


def _apply(engine: Engine, wanted: FaultRequest, later: set[asyncio.TimerHandle]) -> dict[str, object]:
    if wanted.fault == "clear":
        for board in engine.boards.values():
            board.clear()
        return {"cleared": True}
    if wanted.venue == BINANCE:
        return _apply_binance(engine, wanted, later)
    market = market_named(engine, wanted.venue, wanted.instrument)
    board = engine.boards[wanted.venue]
    if wanted.fault == "silence" or wanted.fault in FRAME_FAULTS:
        board.arm(wanted, market.index if wanted.instrument else None, time.monotonic_ns())
        return {"instrument": market.key if wanted.instrument else None}
    board.count(wanted.fault)
    if wanted.fault == "disconnect":
        sockets = engine.kalshi.sockets if wanted.venue == KALSHI else engine.polymarket.sockets
        for socket in sockets:
            socket.abort()
        return {"receivers": len(sockets)}
    if wanted.fault in WORDS:
        return {"instrument": market.key, "receivers": words.say(engine, market, wanted, later)}
    if wanted.fault == "tick_change":
        engine.change_tick(market, 1_000 if market.tick == 10_000 else 10_000)
        return {"instrument": market.key, "tick_micros": market.tick}
    if wanted.fault == "crossed":
        return {"instrument": market.key, "receivers": _cross(engine, market, wanted, later)}
    receivers = 0
    for _ in range(min(wanted.count, 1_000)):
        receivers = garbage.send(engine, market, wanted.kind)
    return {"instrument": market.key, "kind": wanted.kind, "receivers": receivers}


def _apply_binance(engine: Engine, wanted: FaultRequest, later: set[asyncio.TimerHandle]) -> dict[str, object]:
    hub, board = engine.binance, engine.boards[BINANCE]
    if wanted.fault == "silence" or wanted.fault in FRAME_FAULTS:
        board.arm(wanted, None, time.monotonic_ns())
        return {"instrument": None}
    board.count(wanted.fault)
    if wanted.fault == "disconnect":
        sockets = hub.sockets
        for socket in sockets:
            socket.abort()
        return {"receivers": len(sockets)}
    if wanted.fault == "shutdown":
        leaving = hub.sockets

        def close() -> None:
            later.discard(handle)
            for socket in leaving:
                socket.close()

        handle = asyncio.get_running_loop().call_later(wanted.seconds or SHUTDOWN_SECONDS, close)
        later.add(handle)
        return {"receivers": hub.announce_shutdown()}
    receivers = 0
    for _ in range(min(wanted.count, 1_000)):
        receivers = hub.bad_frame(wanted.kind)
    return {"kind": wanted.kind, "receivers": receivers}


def _lags(engine: Engine) -> dict[str, list[int]]:
    """How late each maker of the led market looks, by venue: it comes on top of the lead."""
    lead = engine.world.lead
    assert lead is not None, "the caller has asked"
    markets = [market for market in engine.world.markets if market.subject.key == lead.subject]
    return {market.venue: sorted(maker.lag_ns for maker in market.makers) for market in markets}


def _cross(engine: Engine, market: Market, wanted: FaultRequest, later: set[asyncio.TimerHandle]) -> int:
    """A bid above the best ask on the wire, taken back after the given seconds; the true book never crosses."""
    give, take_back = garbage.crossing(engine, market)
    receivers = give()

    def undo() -> None:
        later.discard(handle)
        take_back()

    handle = asyncio.get_running_loop().call_later(wanted.seconds or CROSSED_SECONDS, undo)
    later.add(handle)
    return receivers
