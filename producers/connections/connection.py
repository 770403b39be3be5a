"""The shells around sans-I/O protocols: one connection, kept alive; a venue's also reads books by REST for its protocol.

Decides when to connect and how long to wait before the next try; whatever else there is to decide, the protocol does. Frames go to the tape before they are parsed and are processed where they are read, so the reader never waits for
anything but the socket. It must never hide a loss of continuity: every end of a connection is a FeedStatus at once, and every
new one a larger session.

A feed never ends another, or the process: whatever it did not foresee is logged, dead-lettered with its bytes, and costs it the
connection. What passes through, and ends the process, is a StageError: the broker refused a record for good or fenced us, or the
log is somebody else's.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Generic, Protocol, TypeVar, assert_never

import httpx
import structlog
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus, WebSocketException

from crossbook.domain.dead_letters import dead_letter
from crossbook.domain.errors import StageError
from crossbook.runtime.settings import FeedSettings
from producers.feeds.backoff import DialBudget, Redial
from producers.feeds.protocol import (
    STAGE,
    Command,
    ConfirmSettlement,
    FetchBook,
    Output,
    ProbeBooks,
    Reconnect,
    RefreshListing,
    SocketProtocol,
    VenueProtocol,
)
from schemas.records import BookSnapshot, InstrumentListed, RawFrame, Record

#: Both venues answer a ping, or send one, every ten seconds.
HEARTBEAT_S = 10.0
TIMER_S = 0.05
#: The reader lets other tasks run after this many frames in a row.
FRAMES_IN_A_ROW = 64
#: 500 assets with a thousand levels each come as one frame of some 18 MB.
FRAME_MAX = 64 * 1024 * 1024
FRAMES_QUEUED_MAX = 4_096
#: A venue that refuses a dial with one of these statuses is left alone, for as long as it says or for this long.
REFUSED_S = {418: 120.0, 429: 30.0, 503: 5.0}
REFUSED_MAX_S = 3_600.0
#: A reading of books is given up after this.
PROBE_S = 10.0
MS = 1_000_000
#: Venue stamps this far from our clock are told to people: one of the two clocks is wrong, or the feed is late.
CLOCK_OFFSET_MAX_NS = 5_000 * MS
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

    async def fetch_books(self, listed: Sequence[InstrumentListed]) -> dict[str, bytes]:
        """Read some books by REST, by instrument; one that the venue left out is missing. Raises httpx.HTTPError."""


class Sink(Protocol):
    """Where a feed's records go."""

    def accept(self, record: Record) -> None:
        """Take a record of the protocol, in order; must not block."""

    def tape(self, frame: RawFrame) -> None:
        """Take a raw frame; must not block."""

    def resolved(self, instrument_id: str) -> None:
        """The socket says that the market resolved; to be confirmed elsewhere."""

    def refresh_listing(self, instrument_id: str | None) -> None:
        """The socket says that the market (None: any market) may have changed; the catalogue says how."""


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
        budget: DialBudget,
        timer_s: float = TIMER_S,
    ) -> None:
        self.protocol = protocol
        self.counters: Counter[str] = Counter()
        self._dialer = dialer
        self._settings = settings
        self._sink = sink
        self._stamp = stamp
        self._session_floor = session_floor
        self._log = log.bind(feed=protocol.feed)
        self._rng = rng
        self._timer_s = timer_s
        self._budget = budget
        self._redial = Redial(settings.backoff_first_ms * MS, settings.backoff_max_ms * MS)
        self._clock_differs = False
        self._opened_s: float | None = None  # None: this dial brought no connection
        self._send_now = asyncio.Event()
        self._end: asyncio.Future[str] | None = None

    # -- what the stage calls

    async def run(self) -> None:
        """Connect again and again until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._say_status())
            while True:
                await self._wait_for_budget()
                reason = await self._one_connection()
                wait_s = self._wait_s()
                with self._guarded("the end of a connection"):
                    self._emit(self.protocol.disconnect(reason, self._stamp()))
                self._log.warning("feed.disconnected", reason=reason, retry_in_s=round(wait_s, 3))
                await asyncio.sleep(wait_s)

    def renew(self, reason: str) -> None:
        """The log missed events: new session, whole books."""
        with self._guarded("a new session"):
            self._emit(self.protocol.renew(self._next_session(), reason, self._stamp()))

    def stop(self) -> None:
        """Say that the feed is down, as the last thing."""
        with self._guarded("the end"):
            self._emit(self.protocol.disconnect("stopped", self._stamp()))

    # -- dialling

    async def _wait_for_budget(self) -> None:
        """Wait until the venue may be dialled, and note the dial."""
        while wait_ns := self._budget.wait_ns(_loop_ns()):
            self._log.warning("feed.budget", wait_s=round(wait_ns / 1e9, 3))
            await asyncio.sleep(wait_ns / 1e9)
        self._budget.dialled(_loop_ns())

    def _wait_s(self) -> float:
        """How long to wait after the dial that just ended."""
        open_ns = 0 if self._opened_s is None else _loop_ns() - int(self._opened_s * 1e9)
        brought_data = self._opened_s is not None and self.protocol.ts_data_ns is not None
        return self._redial.wait_ns(brought_data=brought_data, open_ns=open_ns, jitter=self._rng.random()) / 1e9

    def _refused(self, error: InvalidStatus) -> None:
        """The venue answered the dial with a status: some of them ask to be left alone."""
        status = error.response.status_code
        if status not in REFUSED_S:
            return
        said = error.response.headers.get("Retry-After", "")
        for_s = min(REFUSED_MAX_S, float(said)) if said.isascii() and said.isdigit() else REFUSED_S[status]
        self._budget.refused(_loop_ns(), int(for_s * 1e9))
        self._log.warning("feed.refused", status=status, for_s=for_s)

    # -- what nobody foresaw

    @contextmanager
    def _guarded(self, what: str, payload: bytes = b"") -> Iterator[None]:
        """Whatever goes wrong here costs this feed its connection and nobody else anything; a StageError passes."""
        try:
            yield
        except StageError:
            raise
        except Exception as error:  # noqa: BLE001 - the law of this module: a feed ends nobody else
            self._failed(what, error, payload)

    def _failed(self, what: str, error: Exception, payload: bytes) -> None:
        self.counters["failed"] += 1
        said = f"{what} failed: {type(error).__name__}: {error}"[:400]
        self._log.exception("feed.failed", what=what)
        self._sink.accept(
            dead_letter(ts_ns=self._stamp(), stage=STAGE, source=self.protocol.feed, error=said, payload=payload)
        )
        self._give_up(said)

    def _give_up(self, reason: str) -> None:
        """End the connection, if there is one."""
        if self._end is not None and not self._end.done():
            self._end.set_result(reason)

    # -- what a subclass fills in

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
        self._opened_s = None
        try:
            async with self._dialer.connect() as socket:
                self._opened_s = loop.time()
                self._emit(self.protocol.connect(self._next_session(), self._stamp()))
                self._log.info("feed.connected", session=self.protocol.session)
                return await self._serve(socket)
        except InvalidStatus as error:
            self._refused(error)
            return f"{type(error).__name__}: {error}"[:200]
        except (OSError, WebSocketException, TimeoutError) as error:
            return f"{type(error).__name__}: {error}"[:200]
        except StageError:
            raise
        except Exception as error:  # noqa: BLE001 - the law of this module: a feed ends nobody else
            self._failed("a connection", error, b"")
            return f"{type(error).__name__}: {error}"[:200]
        finally:
            self._ended()

    async def _serve(self, socket: ClientConnection) -> str:
        assert self._end is not None
        tasks: list[asyncio.Future[str] | asyncio.Task[str]] = [
            asyncio.ensure_future(self._read(socket)),
            asyncio.ensure_future(self._write(socket)),
            asyncio.ensure_future(self._watch_time()),
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
            with self._guarded("a frame", frame):
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
            with self._guarded("the timer"):
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
                    self._give_up(output.reason)
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
            with self._guarded("a status"):
                self._emit([self.protocol.status(self._stamp())])
                self._look_at_clock()
            await asyncio.sleep(interval_s)

    def _look_at_clock(self) -> None:
        """Say once when the venue's clock and ours differ by more than anybody may rely on, and when that is over."""
        offset_ns = self.protocol.clock_offset_ns or 0
        if self._clock_differs != (abs(offset_ns) > CLOCK_OFFSET_MAX_NS):
            self._clock_differs = not self._clock_differs
            self._log.warning("feed.clock_offset", offset_ms=offset_ns // MS, differs=self._clock_differs)

    def _next_session(self) -> int:
        """Wall time at connect, and larger than every session before, also those of earlier processes."""
        session = max(self._stamp(), self._session_floor + 1, self.protocol.session + 1)
        self._session_floor = session
        return session


def _loop_ns() -> int:
    """The loop's monotonic time: waits do not depend on the wall."""
    return int(asyncio.get_running_loop().time() * 1e9)


class Feed(SocketFeed[VenueProtocol]):
    """A venue's connection: what its protocol wants to know of books by REST is read beside it."""

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
        budget: DialBudget,
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
            budget=budget,
        )
        self._venue = venue
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._probing: asyncio.Task[None] | None = None

    # -- what the stage calls

    def follow(self, listed: InstrumentListed) -> None:
        """Follow an instrument, or take its new listing."""
        with self._guarded("a listing"):
            self._emit(self.protocol.follow(listed, self._stamp()))

    def unfollow(self, instrument_id: str) -> None:
        """Drop an instrument."""
        with self._guarded("the end of a listing"):
            self.protocol.unfollow(instrument_id)
            self._emit([])

    def distrust(self, instrument_id: str, reason: str) -> None:
        """Fail one book closed and ask for it anew."""
        with self._guarded("a distrusted book"):
            self._emit(self.protocol.distrust(instrument_id, reason, self._stamp()))

    def book(self, instrument_id: str, *, keyframe: bool) -> BookSnapshot | None:
        """The book as it stands; None when it is not valid or not followed."""
        found: BookSnapshot | None = None
        with self._guarded("a keyframe"):
            found = self.protocol.keyframe(instrument_id, self._stamp(), keyframe=keyframe)
        return found  # noqa: RET504 - after a defect nothing is found, and the guard goes on here

    # -- what the shell calls

    def _ended(self) -> None:
        for task in self._fetching.values():
            task.cancel()
        self._fetching.clear()
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None

    def _do(self, command: Command) -> None:
        match command:
            case FetchBook():
                self._fetch(command)
            case ProbeBooks():
                self._probing = asyncio.ensure_future(self._probe(command))
            case ConfirmSettlement():
                self._sink.resolved(command.instrument_id)
            case RefreshListing():
                self._sink.refresh_listing(command.instrument_id)
            case Reconnect():
                raise AssertionError("every shell reconnects by itself")
            case _:
                assert_never(command)

    async def _probe(self, command: ProbeBooks) -> None:
        """Read some books and hand them to the protocol; none when REST does not answer."""
        followed = [self.protocol.followed.get(instrument_id) for instrument_id in command.instrument_ids]
        bodies: dict[str, bytes] = {}
        try:
            async with asyncio.timeout(PROBE_S):
                bodies = await self._venue.fetch_books([one.listed for one in followed if one is not None])
        except (httpx.HTTPError, TimeoutError) as error:
            self._log.warning("feed.probe_failed", books=len(followed), error=str(error)[:200])
        except Exception as error:  # noqa: BLE001 - the law of this module: a feed ends nobody else
            self._failed("a reading of books", error, b"")
        for instrument_id, body in bodies.items():
            ts_ns = self._stamp()
            with self._guarded("a reading of books", body):
                outputs = self.protocol.probed(instrument_id, body, ts_ns)
                if outputs:  # equal books are no news; what led to a word is kept
                    self._tape("received", body, ts_ns, suffix=".rest")
                self._emit(outputs)
            await asyncio.sleep(0)  # a hundred large books must not keep the socket's reader waiting
        with self._guarded("the end of a reading of books"):
            self._emit(self.protocol.probes_over(self._stamp()))

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
        except Exception as error:  # noqa: BLE001 - the law of this module: a feed ends nobody else
            self._failed("a reading of a book", error, b"")
        else:
            ts_ns = self._stamp()
            self._tape("received", body, ts_ns, suffix=".rest")
            with self._guarded("a book by REST", body):
                self._emit(self.protocol.rest_book(listed.instrument_id, body, ts_ns))
        finally:
            self._fetching.pop(listed.instrument_id, None)
