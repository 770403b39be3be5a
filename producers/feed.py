"""The shells around sans-I/O protocols: one connection, kept alive; a venue's also watched and resynchronised.

Decides when to connect, how long to wait before the next try, when an open socket counts as silent, and when a book is held
against REST. Frames go to the tape before they are parsed and are processed where they are read, so the reader never waits for
anything but the socket. It must never hide a loss of continuity: every end of a connection is a FeedStatus at once, and every
new one a larger session.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, Protocol, TypeVar, assert_never

import httpx
import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import WebSocketException

from crossbook.runtime.settings import FeedSettings
from producers.protocol import (
    Command,
    ConfirmSettlement,
    FetchBook,
    Output,
    Reconnect,
    SocketProtocol,
    VenueProtocol,
)
from schemas.records import InstrumentListed, RawFrame, Record

#: Both venues answer a ping, or send one, every ten seconds.
HEARTBEAT_S = 10.0
TIMER_S = 0.05
#: The reader lets other tasks run after this many frames in a row.
FRAMES_IN_A_ROW = 64
FRAME_MAX = 16 * 1024 * 1024
FRAMES_QUEUED_MAX = 4_096
#: A book by REST is judged only after frames that were under way have had this long to arrive.
SETTLE_S = 0.3
#: Books probed when a socket has gone quiet.
PROBES = 2
MS = 1_000_000
P = TypeVar("P", bound=SocketProtocol)


class Dialer(Protocol):
    """What a shell needs to open a socket and to keep it."""

    heartbeat: str | None

    def connect(self) -> AbstractAsyncContextManager[ClientConnection]:
        """Open the socket."""


class Venue(Dialer, Protocol):
    """What the shell of a venue needs to know of it."""

    async def fetch_book(self, listed: InstrumentListed) -> bytes:
        """Read one book by REST; raises httpx.HTTPError."""


class Sink(Protocol):
    """Where a feed's records go."""

    def accept(self, record: Record) -> None:
        """Take a record of the protocol, in order; must not block."""

    def tape(self, frame: RawFrame) -> None:
        """Take a raw frame; must not block."""

    def resolved(self, instrument_id: str) -> None:
        """The socket says that the market resolved; to be confirmed elsewhere."""


class SocketFeed(Generic[P]):
    """One connection of one protocol, over its life; what is watched beyond the protocol's own time is a subclass's."""

    def __init__(
        self,
        *,
        protocol: P,
        dialer: Dialer,
        settings: FeedSettings,
        sink: Sink,
        stamp: Callable[[], int],
        session_floor: int,
        log: structlog.stdlib.BoundLogger,
        rng: random.Random,
        timer_s: float = TIMER_S,
    ) -> None:
        self.protocol = protocol
        self._dialer = dialer
        self._settings = settings
        self._sink = sink
        self._stamp = stamp
        self._session_floor = session_floor
        self._log = log.bind(feed=protocol.feed)
        self._rng = rng
        self._timer_s = timer_s
        self._send_now = asyncio.Event()
        self._end: asyncio.Future[str] | None = None

    # -- what ingest calls

    async def run(self) -> None:
        """Connect again and again until cancelled."""
        attempt = 0
        async with asyncio.TaskGroup() as group:
            group.create_task(self._say_status())
            while True:
                reason = await self._one_connection()
                fruitful = self.protocol.ts_data_ns is not None
                self._emit(self.protocol.disconnect(reason, self._stamp()))
                attempt = 0 if fruitful else attempt + 1
                delay_s = self._delay_s(attempt)
                self._log.warning("feed.disconnected", reason=reason, retry_in_s=round(delay_s, 3))
                await asyncio.sleep(delay_s)

    def renew(self, reason: str) -> None:
        """The log missed events: new session, whole books."""
        self._emit(self.protocol.renew(self._next_session(), reason, self._stamp()))

    def stop(self) -> None:
        """Say that the feed is down, as the last thing."""
        self._emit(self.protocol.disconnect("stopped", self._stamp()))

    # -- what a subclass fills in

    def _watchers(self) -> list[Coroutine[Any, Any, str]]:
        """What runs beside a connection; the first to return ends it, for the reason that it returns."""
        return []

    def _ended(self) -> None:
        """A connection is over."""

    def _do(self, command: Command) -> None:
        """Carry out a command of the protocol other than Reconnect."""
        raise AssertionError(f"a {type(command).__name__} is no command for this feed")

    # -- one connection

    async def _one_connection(self) -> str:
        """Serve one connection; return why it ended."""
        loop = asyncio.get_running_loop()
        self._end = loop.create_future()
        try:
            async with self._dialer.connect() as socket:
                self._emit(self.protocol.connect(self._next_session(), self._stamp()))
                self._log.info("feed.connected", session=self.protocol.session)
                return await self._serve(socket)
        except (OSError, WebSocketException, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"[:200]
        finally:
            self._ended()

    async def _serve(self, socket: ClientConnection) -> str:
        assert self._end is not None
        tasks: list[asyncio.Future[str] | asyncio.Task[str]] = [
            asyncio.ensure_future(self._read(socket)),
            asyncio.ensure_future(self._write(socket)),
            asyncio.ensure_future(self._watch_time()),
            *(asyncio.ensure_future(watcher) for watcher in self._watchers()),
            self._end,
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self, socket: ClientConnection) -> str:
        count = 0
        while True:
            frame = await socket.recv(decode=False)
            ts_ns = self._stamp()
            self._tape("received", frame, ts_ns)
            outputs = self.protocol.receive(frame, ts_ns)
            if outputs or self.protocol.pending:
                self._emit(outputs)
            count += 1
            if count % FRAMES_IN_A_ROW == 0:
                await asyncio.sleep(0)

    async def _write(self, socket: ClientConnection) -> str:
        """Send what the protocol queued, and the heartbeat."""
        while True:
            for text in self.protocol.to_send():
                self._tape("sent", text.encode(), self._stamp())
                await socket.send(text)
            self._send_now.clear()
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._send_now.wait()
            except TimeoutError:
                if self._dialer.heartbeat is not None:
                    await socket.send(self._dialer.heartbeat)

    async def _watch_time(self) -> str:
        while True:
            await asyncio.sleep(self._timer_s)
            outputs = self.protocol.tick(self._stamp())
            if outputs or self.protocol.pending:
                self._emit(outputs)

    # -- outputs

    def _emit(self, outputs: list[Output]) -> None:
        for output in outputs:
            match output:
                case Record():
                    self._sink.accept(output)
                case Reconnect():
                    if self._end is not None and not self._end.done():
                        self._end.set_result(output.reason)
                case _:
                    self._do(output)
        if self.protocol.pending:
            self._send_now.set()

    def _tape(self, direction: str, payload: bytes, ts_ns: int, suffix: str = "") -> None:
        if not self._settings.tape:
            return
        self._sink.tape(
            RawFrame(
                ts_received_ns=ts_ns,
                feed=self.protocol.feed,
                connection=f"{self.protocol.feed}{suffix}",
                session=self.protocol.session,
                direction="received" if direction == "received" else "sent",
                payload=payload,
            )
        )

    async def _say_status(self) -> None:
        interval_s = self._settings.status_interval_ms / 1_000
        while True:
            self._emit([self.protocol.status(self._stamp())])
            await asyncio.sleep(interval_s)

    def _next_session(self) -> int:
        """Wall time at connect, and larger than every session before, also those of earlier processes."""
        session = max(self._stamp(), self._session_floor + 1, self.protocol.session + 1)
        self._session_floor = session
        return session

    def _delay_s(self, attempt: int) -> float:
        """Exponential back-off with full-to-half jitter."""
        first_s, most_s = self._settings.backoff_first_ms / 1_000, self._settings.backoff_max_ms / 1_000
        return float(min(most_s, first_s * 2 ** min(attempt, 20)) * self._rng.uniform(0.5, 1.0))


class Feed(SocketFeed[VenueProtocol]):
    """A venue's connection: its books are held against REST, and a silence is told from a quiet market."""

    def __init__(
        self,
        *,
        protocol: VenueProtocol,
        venue: Venue,
        settings: FeedSettings,
        sink: Sink,
        stamp: Callable[[], int],
        session_floor: int,
        log: structlog.stdlib.BoundLogger,
        rng: random.Random,
    ) -> None:
        super().__init__(
            protocol=protocol,
            dialer=venue,
            settings=settings,
            sink=sink,
            stamp=stamp,
            session_floor=session_floor,
            log=log,
            rng=rng,
        )
        self._venue = venue
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._crosscheck_next = 0

    # -- what ingest calls

    def follow(self, listed: InstrumentListed) -> None:
        """Follow an instrument, or take its new listing."""
        self._emit(self.protocol.follow(listed, self._stamp()))

    def unfollow(self, instrument_id: str) -> None:
        """Drop an instrument."""
        self.protocol.unfollow(instrument_id)
        self._emit([])

    # -- what the shell calls

    def _watchers(self) -> list[Coroutine[Any, Any, str]]:
        return [self._watch_silence(), self._cross_check()]

    def _ended(self) -> None:
        for task in self._fetching.values():
            task.cancel()
        self._fetching.clear()

    def _do(self, command: Command) -> None:
        match command:
            case FetchBook():
                self._fetch(command)
            case ConfirmSettlement():
                self._sink.resolved(command.instrument_id)
            case Reconnect():
                raise AssertionError("every shell reconnects by itself")
            case _:
                assert_never(command)

    async def _watch_silence(self) -> str:
        """End a connection that is open and answers pings, but gives no data while the books move on without it.

        Markets may be truly quiet, so after half the limit books are probed by REST; only a book that differs, still differs
        after frames under way have had their time, and still no data frame, is silence. REST out of reach at the limit counts
        as silence too: nothing then says that the books are right.
        """
        half_ns = self._settings.silence_ms * MS // 2
        opened_ns = self._stamp()
        while True:
            await asyncio.sleep(TIMER_S)
            quiet_since_ns = max(self.protocol.ts_data_ns or opened_ns, opened_ns)
            if self._stamp() - quiet_since_ns < half_ns or not self.protocol.followed:
                continue
            moved = await self._moved_without_us()
            data_ns = self.protocol.ts_data_ns or opened_ns
            if data_ns > quiet_since_ns:
                continue
            if moved:
                return "silent"
            if moved is None and self._stamp() - quiet_since_ns >= self._settings.silence_ms * MS:
                return "silent, and REST does not answer"
            if moved is False:
                opened_ns = self._stamp()  # quiet, not silent: look again after the same time

    async def _moved_without_us(self) -> bool | None:
        """Whether a book moved on at the venue while nothing came; None when REST does not say."""
        books = sorted(self.protocol.followed.values(), key=lambda one: -one.ts_event_ns)
        probed = [one.listed for one in books[:PROBES]]
        first = await asyncio.gather(*(self._differs(listed) for listed in probed))
        if all(answer is None for answer in first):
            return None
        suspects = [listed for listed, answer in zip(probed, first, strict=True) if answer]
        if not suspects:
            return False
        await asyncio.sleep(min(SETTLE_S, self._settings.silence_ms / 8_000))
        again = await asyncio.gather(*(self._differs(listed) for listed in suspects))
        return any(again)

    async def _cross_check(self) -> str:
        """Hold one book after another against REST; two differences in a row of an unmoved book fail it closed."""
        while True:
            await asyncio.sleep(self._settings.crosscheck_interval_s)
            ids = [key for key, one in self.protocol.followed.items() if one.valid]
            if not ids:
                continue
            self._crosscheck_next = (self._crosscheck_next + 1) % len(ids)
            instrument_id = ids[self._crosscheck_next]
            strikes = 0
            for _ in range(6):  # a busy book may move under every comparison; then this round says nothing
                verdict = await self._unmoved_and_different(instrument_id)
                strikes = strikes + 1 if verdict else 0
                if verdict is False or strikes == 2:
                    break
            if strikes == 2:
                self._log.warning("feed.book_differs", instrument=instrument_id)
                reason = "the book differs from the venue's own by REST"
                self._emit(self.protocol.distrust(instrument_id, reason, self._stamp()))

    async def _unmoved_and_different(self, instrument_id: str) -> bool | None:
        """Compare one book; None when it moved meanwhile or REST said nothing."""
        one = self.protocol.followed.get(instrument_id)
        if one is None:
            return False
        before = one.ts_event_ns
        try:
            body = await self._venue.fetch_book(one.listed)
        except httpx.HTTPError:
            return None
        await asyncio.sleep(SETTLE_S)
        if one.ts_event_ns != before or not one.valid:
            return None
        return self.protocol.rest_differs(instrument_id, body)

    async def _differs(self, listed: InstrumentListed) -> bool | None:
        try:
            body = await self._venue.fetch_book(listed)
        except httpx.HTTPError:
            return None
        return self.protocol.rest_differs(listed.instrument_id, body)

    def _fetch(self, command: FetchBook) -> None:
        if command.instrument_id in self._fetching or command.instrument_id not in self.protocol.followed:
            return
        self._log.info("feed.fetch_book", instrument=command.instrument_id, reason=command.reason)
        task = asyncio.ensure_future(self._fetch_book(self.protocol.followed[command.instrument_id].listed))
        self._fetching[command.instrument_id] = task

    async def _fetch_book(self, listed: InstrumentListed) -> None:
        try:
            body = await self._venue.fetch_book(listed)
        except httpx.HTTPError as error:
            self._log.warning("feed.fetch_failed", instrument=listed.instrument_id, error=str(error)[:200])
        else:
            ts_ns = self._stamp()
            self._tape("received", body, ts_ns, suffix=".rest")
            self._emit(self.protocol.rest_book(listed.instrument_id, body, ts_ns))
        finally:
            self._fetching.pop(listed.instrument_id, None)
