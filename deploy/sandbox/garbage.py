"""Frames that no venue should send: the bad input a feed must survive, one function a kind.

Decides bytes only; the true book is untouched. Where a kind has a well-formed Kalshi envelope it consumes a sequence
number, so that only the content is wrong.
"""

from collections.abc import Callable

from deploy.sandbox.engine import Engine
from deploy.sandbox.kalshi import wire as kalshi_wire
from deploy.sandbox.polymarket import wire as polymarket_wire
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.happenings import LevelSet
from deploy.sandbox.world.pricing import KALSHI, MICROS, NO_ASK, contracts, dollars

_NON_JSON = b'{"event_type":"book","market":'
_UNKNOWN_TYPE = {
    KALSHI: b'{"type":"order_mood","sid":1,"msg":{"market_ticker":"KXMOOD"}}',
    "polymarket": b'{"event_type":"order_mood","market":"0x00","timestamp":"1"}',
}


def send(engine: Engine, market: Market, kind: str) -> int:
    """Send one bad frame of ``kind`` on the market's venue; returns how many connections got it."""
    if kind in ("non_json", "unknown_type"):
        payload = _NON_JSON if kind == "non_json" else _UNKNOWN_TYPE[market.venue]
        hub = engine.kalshi if market.venue == KALSHI else engine.polymarket
        return hub.inject_raw(payload)
    if market.venue == KALSHI:
        return engine.kalshi.inject(market, lambda yes_price: _kalshi(market, kind, yes_price=yes_price))
    return engine.polymarket.inject(market, _polymarket(market, kind, engine.stamp_ns() // 1_000_000))


def _kalshi(market: Market, kind: str, *, yes_price: bool) -> str:
    del yes_price  # every bad delta is on the YES side
    listing = kalshi_wire.listing_of(market)
    fields = {
        "market_ticker": f'"{listing.ticker}"',
        "market_id": f'"{listing.market_id}"',
        "price_dollars": '"0.5000"',
        "delta_fp": '"1.00"',
        "side": '"yes"',
        "ts_ms": "1",
    }
    if kind == "missing_field":
        del fields["price_dollars"]
    elif kind == "off_grid":
        fields["price_dollars"] = '"0.50505"'
    elif kind == "huge_number":
        fields["delta_fp"] = '"1e400"'
    elif kind == "negative_size":
        price = market.book.best_bid
        fields["price_dollars"] = f'"{dollars(price)}"'
        fields["delta_fp"] = f'"{contracts(-market.book.bids.get(price, 0) - MICROS)}"'
    else:
        fields["market_ticker"] = '"KXNOSUCH-SBX-Y"'
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"


def _polymarket(market: Market, kind: str, wall_ms: int) -> bytes:
    listing = polymarket_wire.listing_of(market)
    condition, token = listing.condition_id, listing.token_yes
    fields = {
        "asset_id": f'"{token}"',
        "price": '"0.5"',
        "size": '"1"',
        "side": '"BUY"',
        "hash": '"00"',
        "best_bid": '"0.5"',
        "best_ask": '"0.51"',
    }
    if kind == "missing_field":
        del fields["price"]
    elif kind == "off_grid":
        fields["price"] = '"0.50505"'
    elif kind == "huge_number":
        fields["size"] = '"1e400"'
    elif kind == "negative_size":
        fields["size"] = '"-1"'
    else:
        condition, fields["asset_id"] = "0x" + "0" * 64, '"1"'
    change = "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
    return (
        f'{{"market":"{condition}","price_changes":[{change}],"timestamp":"{wall_ms}","event_type":"price_change"}}'
    ).encode()


def crossing(engine: Engine, market: Market) -> tuple[Callable[[], int], Callable[[], int]]:
    """Two calls: put a bid over the best ask on the wire, and take it back. Both return the number of receivers."""
    ask = market.book.best_ask if market.book.best_ask != NO_ASK else market.grid.highest
    price, size = market.grid.above(ask) if ask < market.grid.highest else ask, 50 * MICROS

    def level(size_now: int, delta: int) -> LevelSet:
        top = price if size_now else market.book.best_bid
        return LevelSet(
            engine.world.floor.now_ns, market.index, True, price, size_now, delta, top, market.book.best_ask
        )

    def put(event: LevelSet) -> int:
        wall_ns = engine.stamp_ns()
        if market.venue == KALSHI:
            return engine.kalshi.inject(
                market, lambda way: kalshi_wire.delta_msg(market, event, yes_price=way, wall_ns=wall_ns)
            )
        return engine.polymarket.inject(market, polymarket_wire.price_change(market, event, wall_ns // 1_000_000))

    # Taking back sets the level to what the true book holds there (nothing, unless it has moved up meanwhile).
    return lambda: put(level(size, size)), lambda: put(level(market.book.bids.get(price, 0), -size))
