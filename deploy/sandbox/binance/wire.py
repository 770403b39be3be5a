"""Binance's wire text in the sandbox: frames of quotes and trades, the shutdown notice, and frames that nobody should send.

Decides bytes only: prices with eight places, sizes with eight, times in ms, keys in the venue's order. Spot quotes carry neither
event type nor time.
"""

from deploy.sandbox.binance.price import SYMBOL, SpotQuote, SpotTrade

QUOTES = "bookTicker"
TRADES = "trade"
AGG_TRADES = "aggTrade"
_NAME = SYMBOL.lower()


def price_text(cents: int) -> str:
    """Eight places, as the venue pads."""
    return f"{cents // 100}.{cents % 100:02d}000000"


def size_text(micros: int) -> str:
    """Eight places."""
    return f"{micros // 1_000_000}.{micros % 1_000_000:06d}00"


def quote(event: SpotQuote) -> str:
    """The payload of `bookTicker`."""
    return (
        f'{{"u":{event.update_id},"s":"{SYMBOL}","b":"{price_text(event.bid)}","B":"{size_text(event.bid_size)}",'
        f'"a":"{price_text(event.ask)}","A":"{size_text(event.ask_size)}"}}'
    )


def trade(event: SpotTrade, wall_ns: int) -> str:
    """The payload of `trade`."""
    ms = wall_ns // 1_000_000
    return (
        f'{{"e":"trade","E":{ms},"s":"{SYMBOL}","t":{event.trade_id},"p":"{price_text(event.price)}",'
        f'"q":"{size_text(event.size)}","T":{ms},"m":{_bool(event.buyer_is_maker)},"M":true}}'
    )


def agg_trade(event: SpotTrade, wall_ns: int) -> str:
    """The payload of `aggTrade`; every taker order here fills once, so each trade is its own."""
    ms = wall_ns // 1_000_000
    return (
        f'{{"e":"aggTrade","E":{ms},"s":"{SYMBOL}","a":{event.trade_id},"p":"{price_text(event.price)}",'
        f'"q":"{size_text(event.size)}","f":{event.trade_id},"l":{event.trade_id},"T":{ms},'
        f'"m":{_bool(event.buyer_is_maker)},"M":true}}'
    )


def shutdown(wall_ns: int) -> str:
    """The notice that the connection will be closed."""
    return f'{{"e":"serverShutdown","E":{wall_ns // 1_000_000}}}'


def combined(stream: str, payload: str) -> str:
    """A payload as a combined stream wraps it."""
    return f'{{"stream":"{stream}","data":{payload}}}'


def stream_of(kind: str) -> str:
    """Name of a stream of the one symbol."""
    return f"{_NAME}@{kind}"


def garbage(kind: str, newest: SpotQuote) -> str:
    """A bad quote of a kind, as its stream would carry it; `off_grid` is a bid above its ask, for a spot price has no grid here."""
    fields = {
        "u": str(newest.update_id + 1),
        "s": f'"{SYMBOL}"',
        "b": f'"{price_text(newest.bid)}"',
        "B": '"1.00000000"',
        "a": f'"{price_text(newest.ask)}"',
        "A": '"1.00000000"',
    }
    if kind == "non_json":
        return '{"stream":"' + stream_of(QUOTES) + '","data":{'
    if kind == "unknown_type":
        return combined(stream_of("orderMood"), '{"e":"orderMood"}')
    if kind == "missing_field":
        del fields["b"]
    elif kind == "off_grid":
        fields["b"] = f'"{price_text(newest.ask + 1)}"'
    elif kind == "huge_number":
        fields["b"] = '"1e400"'
    elif kind == "negative_size":
        fields["B"] = '"-1.00000000"'
    else:
        fields["s"] = '"NOSUCHUSDT"'
    payload = "{" + ",".join(f'"{name}":{value}' for name, value in fields.items()) + "}"
    return combined(stream_of(QUOTES), payload)


def _bool(value: bool) -> str:
    return "true" if value else "false"
