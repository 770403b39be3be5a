"""What the venues are told to say about trading: pauses, inactive markets, closes, outcomes, fees.

Decides which frame goes out beside the change, and when a passing word is taken back. The books go on: only what is said changes.
"""

import asyncio
import time

from deploy.sandbox.engine import Engine
from deploy.sandbox.faults import FaultRequest
from deploy.sandbox.kalshi import wire as kalshi_wire
from deploy.sandbox.kalshi.socket import LIFECYCLE
from deploy.sandbox.polymarket import wire as polymarket_wire
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.pricing import KALSHI

SECOND_NS = 1_000_000_000
#: A pause or an inactive market lasts this long unless told.
SECONDS = 30.0


def say(engine: Engine, market: Market, wanted: FaultRequest, later: set[asyncio.TimerHandle]) -> int:
    """Change what stands, tell the subscribers; returns how many were told."""
    standing = market.standing
    now_ns = time.time_ns()
    match wanted.fault:
        case "pause":
            engine.exchange.pause(wanted.kind, now_ns + int((wanted.seconds or SECONDS) * 1e9))
            return 0
        case "deactivate":
            seconds = wanted.seconds or SECONDS
            standing.inactive_until_ns = now_ns + int(seconds * 1e9)
            _later(seconds, later, lambda: _lifecycle(engine, market, "activated"))
            return _lifecycle(engine, market, "deactivated")
        case "close":
            # The wire counts closes in whole seconds.
            standing.closes_ns = (now_ns + int(wanted.seconds * 1e9)) // SECOND_NS * SECOND_NS
            return _lifecycle(engine, market, "close_date_updated")
        case "settle":
            standing.outcome = wanted.kind
            if market.venue != KALSHI:
                if wanted.kind == "half":
                    return 0
                return engine.polymarket.inject(market, polymarket_wire.market_resolved(market, now_ns // 1_000_000))
            _lifecycle(engine, market, "determined")
            return _lifecycle(engine, market, "settled")
        case "fee_change":
            standing.fee_changes.append((now_ns + int(wanted.seconds * 1e9), wanted.count))
            standing.fee_changes.sort()
            return 0
        case _:
            standing.override_tenths = wanted.count
            return engine.kalshi.publish_lifecycle("event_fee_update", kalshi_wire.fee_msg(market))


def _lifecycle(engine: Engine, market: Market, event_type: str) -> int:
    if market.venue != KALSHI:
        return 0  # this venue announces none of them
    msg = kalshi_wire.lifecycle_msg(market, event_type, time.time_ns() // SECOND_NS)
    return engine.kalshi.publish_lifecycle(LIFECYCLE, msg)


def _later(seconds: float, later: set[asyncio.TimerHandle], act: object) -> None:
    def run() -> None:
        later.discard(handle)
        assert callable(act)
        act()

    handle = asyncio.get_running_loop().call_later(seconds, run)
    later.add(handle)
