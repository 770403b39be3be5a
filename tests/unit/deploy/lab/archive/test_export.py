"""An instrument's events in hftbacktest's words: folded by its rules they give our book."""

import numpy as np
import pytest

from crossbook.log.archive.errors import ExportError
from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import ArchiveWriter
from crossbook.market.book import OrderBook
from deploy.lab.archive.export import (
    BUY,
    CLEAR,
    EVENT_DTYPE,
    EXCHANGE,
    LOCAL,
    SELL,
    TRADE,
    book_events,
    export_hftbacktest,
    export_nautilus,
)
from schemas.records import BookDelta, BookSnapshot
from tests.bench.market import MIXED
from tests.builders.logs.archived import T0, World, changed, lines_of, opened
from tests.contract.record_strategies import sample

TRADE_OF = {"price_micros": 440_000, "quantity_micros": 2_000_000}


@pytest.fixture
def market(tmp_path):
    """An archive, an instrument, and its records in order."""
    world = World(1, MIXED)
    (name, *_) = world.groups
    records = [opened(), *[world._snapshot(number, T0) for number in range(2)]]
    records += [world.update(T0 + (number + 1) * 1_000) for number in range(300)]
    trade = changed(
        sample("PublicTrade"), instrument_id=name, ts_received_ns=T0 + 400_000, ts_venue_ns=None, **TRADE_OF
    )
    ahead = changed(world._snapshot(0, T0 + 400_001), ts_venue_ns=T0 + 10**12)  # the venue's clock is ahead
    back = changed(world.update(T0 + 5), instrument_id=name, ts_venue_ns=T0 - 9)  # a step back of both
    records += [trade, ahead, back]
    with ArchiveWriter(tmp_path / "archive", source="s", prefix="p.", partitions=1) as writer:
        writer.extend("market", 0, lines_of(records))
    return ArchiveLog(tmp_path / "archive"), name, [one for one in records if getattr(one, "instrument_id", "") == name]


def book_of(records):
    book = OrderBook()
    for record in records:
        sides = (
            (record.bid_prices, record.bid_sizes, record.ask_prices, record.ask_sizes)
            if isinstance(record, BookDelta | BookSnapshot)
            else None
        )
        if isinstance(record, BookSnapshot):
            book.replace(*sides)
        elif isinstance(record, BookDelta):
            book.set_levels(*sides)
    levels = book.levels()
    return dict(zip(levels.bid_prices, levels.bid_sizes, strict=True)), dict(
        zip(levels.ask_prices, levels.ask_sizes, strict=True)
    )


def test_hftbacktest_gives_the_same_book(market, tmp_path):
    log, name, records = market
    path = tmp_path / "events.npz"
    count = export_hftbacktest(log, name, path)
    data = np.load(path)["data"]
    assert data.dtype == EVENT_DTYPE
    assert data.size == count
    assert (data["ev"] & (EXCHANGE | LOCAL) == EXCHANGE | LOCAL).all()
    assert (np.diff(data["local_ts"]) >= 0).all()
    assert (np.diff(data["exch_ts"]) >= 0).all()
    assert (data["exch_ts"] <= data["local_ts"]).all()
    bids, asks = {}, {}
    for event in data:
        kind = int(event["ev"]) & 7
        if kind == CLEAR:
            bids, asks = {}, {}
        elif kind != TRADE:
            side = bids if int(event["ev"]) & BUY else asks
            price, size = round(event["px"] * 1e6), round(event["qty"] * 1e6)
            side[price] = size
            if not size:
                del side[price]
    assert (bids, asks) == book_of(records)
    (trade,) = data[data["ev"] & 7 == TRADE]
    assert (trade["px"], trade["qty"], int(trade["ev"]) & (BUY | SELL)) == (0.44, 2.0, BUY)


def test_events_of_a_record_stay_together(market):
    log, name, records = market
    events = book_events(log, name)
    assert events.record[-1] + 1 == len(records)
    assert (np.diff(events.record) >= 0).all()


def test_an_unknown_instrument_is_refused(market, tmp_path):
    log, _, _ = market
    with pytest.raises(ExportError, match="no book event of 'kalshi:NO'"):
        export_hftbacktest(log, "kalshi:NO", tmp_path / "x.npz")


def test_nautilus_is_needed_for_its_catalogue(market, tmp_path):
    log, name, _ = market
    with pytest.raises(ExportError, match="nautilus_trader cannot be used here"):
        export_nautilus(log, name, tmp_path / "catalog")
