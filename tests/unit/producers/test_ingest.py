"""The composition over real sockets of the loopback: a venue that only a plug-in knows is followed from its catalogue to the log."""

import asyncio

import pytest

from producers.ingest import Ingest
from producers.relay import Word
from producers.venues import BUILT_IN
from schemas.records import BookDelta, BookSnapshot, FeedStatus, InstrumentListed, InstrumentSettled
from tests.builders.plugin.acme import ADAPTER, plugged_in
from tests.builders.plugin.exchange import AcmeExchange, exchange
from tests.builders.producers.senders import MemorySender
from tests.builders.producers.stages import ingest

OFF = {"polymarket": {"enabled": False}, "kalshi": {"enabled": False}}


class SilentControl:
    """Nobody says anything."""

    def read(self, timeout_s: float = 0.0) -> list[Word]:
        return []


async def until(condition, timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for is in a list, not in an event
            await asyncio.sleep(0.01)


@pytest.fixture(autouse=True)
def plug_in():
    with plugged_in():
        yield


async def follow_acme(sender: MemorySender) -> tuple[Ingest, AcmeExchange]:
    """Run until every book is in the log and a market has paid, then stop."""
    async with exchange() as (venue, section):
        one = ingest(sender, adapters=(*BUILT_IN, ADAPTER), venues={"acme": section}, catalog={"refresh_s": 1}, **OFF)
        stop = asyncio.Event()
        running = asyncio.create_task(one.run(SilentControl(), stop))

        def of(kind: type) -> set[str]:
            return {record.instrument_id for record in sender.records() if isinstance(record, kind)}

        await until(lambda: len(of(BookDelta)) == 3 or running.done())
        venue.markets[0] |= {"open": False, "payout": "1"}
        await until(lambda: of(InstrumentSettled) or running.done())
        stop.set()
        await running
    return one, venue


def test_a_third_venue_is_followed_without_a_change_of_the_product() -> None:
    sender = MemorySender()
    one, venue = asyncio.run(follow_acme(sender))
    records = sender.records()
    listed = {record.instrument_id: record for record in records if isinstance(record, InstrumentListed)}
    assert set(listed) == {"acme:ONE", "acme:TWO", "acme:SIX"}
    assert {record.fee_schedule.model for record in listed.values()} == {"acme_flat"}
    first_book = next(n for n, record in enumerate(records) if isinstance(record, BookSnapshot))
    assert any(isinstance(record, InstrumentListed) for record in records[:first_book])
    # two instruments a connection: the third one has a connection of its own
    assert sorted(map(len, venue.subscribed)) == [1, 2]
    assert {record.feed for record in records if isinstance(record, BookDelta)} == {"acme", "acme-2"}
    settled = {
        record.instrument_id: record.payout_yes_micros for record in records if isinstance(record, InstrumentSettled)
    }
    assert settled == {"acme:ONE": 1_000_000}
    last = {record.feed: record.state for record in records if isinstance(record, FeedStatus)}
    assert last == {"acme": "down", "acme-2": "down"}
    assert sender.records("deadletter") == []
    assert one.subscriptions.book("acme:ONE", keyframe=False) is None
