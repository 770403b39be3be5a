"""Which reference feeds the settings ask for, and where the router puts what they say."""

from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from pydantic import ValidationError

from crossbook.runtime.settings import BinanceSettings, Settings
from producers.binance.feed import BinanceVenue, reference_feeds
from producers.ingest import Ingest
from producers.stamp import ReceiveStamp
from schemas.records import RawFrame, ReferencePrice, ReferenceStatus
from tests.builders.producers.senders import MemorySender
from tests.builders.producers.stages import ingest

LOG = structlog.wrap_logger(structlog.ReturnLogger())


def feeds(**binance: Any) -> list[Any]:
    settings = Settings(binance=BinanceSettings(**binance))
    return reference_feeds(settings, SimpleNamespace(), ReceiveStamp(), {"binance": 10**19}, LOG)


def test_no_symbols_no_feed() -> None:
    assert Settings().binance.symbols == ()
    assert feeds() == []


def test_one_feed_for_all_symbols_after_every_earlier_session() -> None:
    (feed,) = feeds(symbols=("BTCUSDT", "ETHUSDT"), trades="none", quote_interval_ms=20)
    assert feed.protocol.streams() == ["btcusdt@bookTicker", "ethusdt@bookTicker"]
    assert feed._next_session() == 10**19 + 1
    assert feed._timer_s == 0.01
    assert BinanceVenue.heartbeat is None


@pytest.mark.parametrize("symbols", [("btcusdt",), ("BTC/USDT",), ("BTCUSDT", "BTCUSDT"), ("X",), ("",)])
def test_symbols_that_are_none_are_refused(symbols: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError, match="symbol"):
        BinanceSettings(symbols=symbols)


def ingest_with_bitcoin(sender: MemorySender, partitions: int) -> Ingest:
    return ingest(sender, partitions, binance=BinanceSettings(symbols=("BTCUSDT",)))


def test_prices_and_statuses_go_to_every_partition_and_frames_to_the_tape() -> None:
    sender = MemorySender()
    one = ingest_with_bitcoin(sender, 3)
    price = ReferencePrice(ts_received_ns=1, reference_id="binance:BTCUSDT", feed="binance", session=1, sequence=1)
    status = ReferenceStatus(ts_received_ns=1, feed="binance", session=1, state="live", reason="")
    frame = RawFrame(
        ts_received_ns=1, feed="binance", connection="binance", session=1, direction="received", payload=b"{}"
    )
    one.router.accept(price)
    one.router.accept(status)
    one.router.tape(frame)
    assert [(t, p) for t, p, _, _ in sender.sent] == [("market", n) for n in (0, 1, 2, 0, 1, 2)] + [("tape", -1)]


def test_references_say_their_end_before_the_venues() -> None:
    """The last word of a log is then a venue's: decide answers that with a watermark at once, and whoever waits for one goes on."""
    (first,) = ingest_with_bitcoin(MemorySender(), 1).all_feeds()
    assert first.protocol.feed == "binance"
