"""The composition over real sockets of the loopback: a venue that only a plug-in knows is followed from its catalogue to the log."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from producers.ingest import Ingest
from producers.relay import Word
from producers.venues import BUILT_IN
from schemas.records import BookDelta, BookSnapshot, FeedStatus, InstrumentListed, InstrumentSettled
from tests.builders.plugin.acme import ADAPTER, plugged_in
from tests.builders.producers.senders import MemorySender
from tests.builders.producers.stages import ingest

OFF = {"polymarket": {"enabled": False}, "kalshi": {"enabled": False}}
MARKETS = [{"symbol": name, "open": True, "payout": None} for name in ("ONE", "TWO", "SIX")]


class SilentControl:
    """Nobody says anything."""

    def read(self, timeout_s: float = 0.0) -> list[Word]:
        return []


class AcmeExchange:
    """The venue itself: a socket that answers subscriptions with books, and REST."""

    def __init__(self) -> None:
        self.markets = [dict(one) for one in MARKETS]
        self.subscribed: list[list[str]] = []
        self.requests: list[str] = []

    async def socket(self, connection: ServerConnection) -> None:
        mine: list[str] = []
        self.subscribed.append(mine)
        async for text in connection:
            for symbol in json.loads(text).get("subscribe", []):
                mine.append(symbol)
                await connection.send(json.dumps(self.book(symbol)))
                await connection.send(json.dumps({"level": symbol, "side": "bid", "price": "0.46", "size": "3"}))

    @staticmethod
    def book(symbol: str) -> dict:
        return {"book": symbol, "bids": [["0.44", "10"]], "asks": [["0.48", "20"]]}

    async def rest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        self.requests.append(path)
        body = json.dumps(self.markets if path == "/markets" else self.book(path.rpartition("/")[2])).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def exchange() -> AsyncIterator[tuple[AcmeExchange, dict[str, object]]]:
    """The venue, and the settings that reach it."""
    venue = AcmeExchange()
    async with serve(venue.socket, "127.0.0.1", 0) as sockets:
        rest = await asyncio.start_server(venue.rest, "127.0.0.1", 0)
        port, rest_port = (one.sockets[0].getsockname()[1] for one in (sockets, rest))
        section = {"url": f"http://127.0.0.1:{rest_port}", "socket_url": f"ws://127.0.0.1:{port}"}
        async with rest:
            yield venue, {"acme": section}


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
    async with exchange() as (venue, venues):
        one = ingest(sender, adapters=(*BUILT_IN, ADAPTER), venues=venues, catalog={"refresh_s": 1}, **OFF)
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
