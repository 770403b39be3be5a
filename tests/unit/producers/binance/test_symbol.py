"""A symbol's quotes are vouched for by its own quotes: not by its trades, and not by another symbol."""

import json

from schemas.records import ReferencePrice
from tests.builders.producers.binance import BTC, ETH, MS, Run, quote, trade


def flowing(run: Run, steps: int, *, quotes: tuple[str, ...], trades: bool = True) -> None:
    """Let a tenth of a second pass, so many times, with these quotes and BTC's trades."""
    for _ in range(steps):
        for symbol in quotes:
            run.give(quote(run.now_ns, symbol=symbol))
        if trades:
            at_ms = run.now_ns // MS
            run.give(trade(at_ms, at_ms=at_ms))
        run.tick(100 - len(quotes) - trades)


def test_quotes_alone_vouch_for_quotes() -> None:
    """One symbol's quotes stop while its trades and the other symbol go on: it is withdrawn, and subscribed to anew once."""
    run = Run((BTC, ETH), watch_quotes=True)
    flowing(run, 30, quotes=(BTC, ETH))
    run.protocol.to_send()
    seen = len(run.outputs)
    flowing(run, 19, quotes=(ETH,))
    assert all(
        p.bid_price_micros for p in run.outputs[seen:] if isinstance(p, ReferencePrice) and p.trade_price_micros is None
    )
    flowing(run, 5, quotes=(ETH,))
    gone = [p for p in run.outputs[seen:] if isinstance(p, ReferencePrice) and p.sequence == 0]
    assert [p.reference_id for p in gone] == ["binance:BTCUSDT"]
    sent = [json.loads(text) for text in run.protocol.to_send()]
    assert [(f["method"], f["params"]) for f in sent] == [
        ("UNSUBSCRIBE", ["btcusdt@bookTicker"]), ("SUBSCRIBE", ["btcusdt@bookTicker"])
    ]  # fmt: skip
    flowing(run, 100, quotes=(ETH,))
    assert run.protocol.to_send() == []
    assert run.reasons() == []
    flowing(run, 1, quotes=(BTC, ETH))
    assert run.state.references.prices["binance:BTCUSDT"].bid_price == 60_000_000_000


def test_trades_make_no_feed_live_where_quotes_are_watched() -> None:
    run = Run(watch_quotes=True)
    flowing(run, 10, quotes=())
    assert run.protocol.status(run.now_ns).state == "down"
    flowing(run, 10, quotes=(BTC,))
    assert run.protocol.status(run.now_ns).state == "live"
    flowing(run, 30, quotes=())
    assert run.reasons() == ["silent"]
