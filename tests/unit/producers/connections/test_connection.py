"""The shell on real sockets of the loopback: it dials ever more slowly, and one feed's trouble is nobody else's."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx
import pytest
import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from crossbook.domain.errors import StageError
from crossbook.domain.grid import PriceGrid
from crossbook.runtime.errors import FencedError
from crossbook.runtime.kafka import RECORD_BYTES_MAX
from crossbook.runtime.settings import FeedSettings
from producers.connections.connection import Feed
from producers.feeds.backoff import DialBudget
from producers.market_writer import LogHead, MarketWriter
from producers.polymarket.protocol import PolymarketProtocol
from producers.stamp import ReceiveStamp
from schemas.records import BookSnapshot, DeadLetter, FeedStatus, InstrumentListed, RawFrame, Record
from tests.builders.producers.listings import make_listing
from tests.builders.producers.polymarket import CONDITION, ID, NO, YES, book
from tests.builders.producers.senders import MemorySender

Serving = Callable[[ServerConnection], Awaitable[None]]


class LoopbackVenue:
    """A venue of one market on a socket of this machine; its REST shows what `rest` says."""

    heartbeat: str | None = None

    def __init__(self, port: int) -> None:
        self.port = port
        self.rest: dict[str, Any] | None = None

    def connect(self) -> AbstractAsyncContextManager[ClientConnection]:
        return connect(f"ws://127.0.0.1:{self.port}", compression=None, max_size=2**26)

    async def fetch_book(self, listed: InstrumentListed) -> bytes:
        if self.rest is None:
            raise httpx.ConnectError("nobody answers")
        return json.dumps(self.rest).encode()

    async def fetch_books(self, listed: Sequence[InstrumentListed]) -> dict[str, bytes]:
        return {one.instrument_id: await self.fetch_book(one) for one in listed}


class MemorySink:
    """Keeps what a feed says; `refuse` makes the log refuse."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.frames: list[RawFrame] = []
        self.refuse: StageError | None = None

    def accept(self, record: Record) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.records.append(record)

    def tape(self, frame: RawFrame) -> None:
        self.frames.append(frame)

    def resolved(self, instrument_id: str) -> None:
        raise AssertionError(f"{instrument_id} did not resolve")

    def of(self, kind: type) -> list[Any]:
        return [record for record in self.records if isinstance(record, kind)]


def make_feed(port: int, sink: MemorySink, protocol: PolymarketProtocol | None = None, **settings: Any) -> Feed:
    feed = Feed(
        protocol=protocol or PolymarketProtocol(),
        venue=LoopbackVenue(port),
        settings=FeedSettings(**({"backoff_first_ms": 1, "status_interval_ms": 50} | settings)),
        sink=sink,
        stamp=ReceiveStamp(),
        session_floor=0,
        log=structlog.wrap_logger(structlog.ReturnLogger()),
        rng=random.Random(7),
        budget=DialBudget(1_000),
    )
    feed.follow(make_listing("polymarket", CONDITION, yes_token=YES, no_token=NO))
    return feed


async def until(fits: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not fits():  # noqa: ASYNC110 - what it waits for is what real sockets bring
            await asyncio.sleep(0.005)


async def served(serving: Serving, body: Callable[[int], Awaitable[None]]) -> None:
    async with serve(serving, "127.0.0.1", 0, compression=None) as server:
        await body(server.sockets[0].getsockname()[1])


async def running(feeds: list[Feed], fits: Callable[[], bool]) -> None:
    """Run feeds in one group, as the stage does, until the condition fits."""
    tasks: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as group:
        tasks += [group.create_task(feed.run()) for feed in feeds]
        await until(fits)
        for task in tasks:
            task.cancel()


def now_ms() -> int:
    return ReceiveStamp()() // 1_000_000


def test_a_server_that_answers_and_cuts_at_once_is_dialled_ever_more_slowly() -> None:
    """Each dial brings a book, so data alone must not start the row of waits anew."""
    waits: list[float] = []

    async def one_frame(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(json.dumps([book(at=now_ms())]))

    async def body(port: int) -> None:
        sink = MemorySink()
        feed = make_feed(port, sink)
        said = feed._redial.wait_ns
        feed._redial.wait_ns = lambda **known: waits.append(said(**known)) or waits[-1]  # type: ignore[method-assign]
        await running([feed], lambda: len(waits) >= 8)
        assert len(sink.of(BookSnapshot)) >= 8, "every dial brought a book"

    asyncio.run(served(one_frame, body))
    for attempt, wait in enumerate(waits, start=1):
        assert 2**attempt // 2 <= wait / 1e6 <= 2**attempt


class SurprisingProtocol(PolymarketProtocol):
    """A defect: some frames raise what no protocol may raise."""

    def receive(self, frame, ts_ns):
        if b"surprise" in frame:
            raise KeyError("surprise")
        return super().receive(frame, ts_ns)


async def surprise_once(socket: ServerConnection) -> None:
    """A book; on the first connection then a frame that nobody foresaw."""
    await socket.recv()
    await socket.send(json.dumps([book(at=now_ms())]))
    await socket.send(b'"surprise"')
    await socket.wait_closed()


def test_what_one_feed_did_not_foresee_costs_it_the_connection_and_no_other_feed_anything() -> None:
    async def body(port: int) -> None:
        bad, good = MemorySink(), MemorySink()
        feeds = [make_feed(port, bad, SurprisingProtocol()), make_feed(port, good)]
        await running(feeds, lambda: len(bad.of(DeadLetter)) >= 2 and len(good.of(FeedStatus)) >= 6)
        letter = bad.of(DeadLetter)[0]
        assert letter.payload == b'"surprise"'
        assert "KeyError" in letter.error
        states = [status.state for status in bad.of(FeedStatus)]
        assert states.count("live") >= 2, "it came back"
        down = [s for s in bad.of(FeedStatus) if "a frame failed" in s.reason]
        assert {s.state for s in down} == {"down"}
        assert {s.session for s in good.of(FeedStatus) if s.state == "live"} == {feeds[1].protocol.session}
        assert feeds[0].counters["failed"] >= 2

    asyncio.run(served(surprise_once, body))


@pytest.mark.parametrize("call", ["follow", "unfollow", "renew", "book", "distrust", "stop"])
def test_no_call_from_outside_lets_a_defect_of_a_feed_out(call: str) -> None:
    class Broken(PolymarketProtocol):
        def __getattribute__(self, name: str) -> Any:
            names = {"follow", "unfollow", "renew", "keyframe", "distrust", "disconnect"}
            if name in names and super().__getattribute__("broken"):
                raise ZeroDivisionError(name)
            return super().__getattribute__(name)

        broken = False

    sink = MemorySink()
    feed = make_feed(1, sink, Broken())
    feed.protocol.broken = True  # type: ignore[attr-defined]
    listed = make_listing("polymarket", CONDITION, yes_token=YES, no_token=NO)
    calls: dict[str, Callable[[], object]] = {
        "follow": lambda: feed.follow(listed),
        "unfollow": lambda: feed.unfollow(ID),
        "renew": lambda: feed.renew("the buffer was full"),
        "book": lambda: feed.book(ID, keyframe=True),
        "distrust": lambda: feed.distrust(ID, "test"),
        "stop": feed.stop,
    }
    assert calls[call]() is None
    assert "ZeroDivisionError" in sink.of(DeadLetter)[0].error


def test_a_first_frame_larger_than_a_record_is_cut_on_tape_and_still_parsed() -> None:
    """Seventy books of nine hundred levels in one array, as after a reconnect."""
    prices = [f"0.{price:03d}" for price in range(1, 450)]
    asks = [f"0.{price:03d}" for price in range(551, 1_000)]
    count = 70
    conditions = [f"0x{index:064x}" for index in range(count)]
    tokens = [f"1{index:060d}" for index in range(count)]

    async def serving(socket: ServerConnection) -> None:
        await socket.recv()
        sides = {"bids": [(p, f"{100 + n}.25") for n, p in enumerate(prices)], "asks": [(p, "7.75") for p in asks]}
        books = [book(token, at=now_ms(), market=c, **sides) for c, token in zip(conditions, tokens, strict=True)]
        await socket.send(json.dumps(books))
        await socket.wait_closed()

    async def body(port: int) -> None:
        sender = MemorySender()
        writer = MarketWriter(sender, 1, 1_000)
        writer.open(LogHead(log_id="", opened=frozenset({0})), 1)
        sink = MemorySink()
        sink.tape = writer.tape  # type: ignore[method-assign]
        feed = make_feed(port, sink)
        feed.unfollow(ID)
        for condition, token in zip(conditions, tokens, strict=True):
            grid = PriceGrid.linear(1_000).ranges
            feed.follow(make_listing("polymarket", condition, yes_token=token, no_token="9" + token, grid=grid))
        await running([feed], lambda: len(sink.of(BookSnapshot)) == count)
        assert all(len(snapshot.bid_prices) == len(prices) for snapshot in sink.of(BookSnapshot))
        (frame,) = [f for f in sender.records("tape") if f.direction == "received"]
        assert frame.payload_bytes > RECORD_BYTES_MAX > len(frame.payload)
        assert writer.counters["tape.cut"] == 1
        for snapshot in sink.of(BookSnapshot):
            assert writer.write(snapshot, "g"), "a whole book of any grid fits a record"

    asyncio.run(served(serving, body))


def test_an_error_of_the_log_ends_the_stage() -> None:
    async def serving(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(json.dumps([book(at=now_ms())]))
        await socket.wait_closed()

    async def body(port: int) -> None:
        sink = MemorySink()
        sink.refuse = FencedError("another instance took over")
        with pytest.raises(ExceptionGroup) as caught:
            await running([make_feed(port, sink)], lambda: False)
        assert caught.group_contains(FencedError)

    asyncio.run(served(serving, body))
