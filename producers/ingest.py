"""What the stage `producers` holds while it runs: the feeds of both venues and of references, the catalogue, the relay of `control`.

Decides where each record goes and which feed follows what. Everything runs in one asyncio loop, and whatever writes does so
without waiting. It must never let one venue's trouble stop the other, and never write a book event of an instrument before its
listing. Only a StageError ends it: the broker is away for good or fenced us, or the log is somebody else's. Whatever else goes
wrong in a feed or a catalogue costs that feed its connection, or that catalogue one reading.
"""

import asyncio
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import msgspec
import structlog

from crossbook.domain.dead_letters import dead_letter
from crossbook.domain.names import KALSHI, POLYMARKET
from crossbook.runtime.clock import now_ns
from crossbook.runtime.errors import SettingsError
from crossbook.runtime.settings import Settings
from crossbook.venues.kalshi_auth import RequestSigner
from producers.binance.feed import reference_feeds
from producers.catalogue.listings import Listings
from producers.catalogue.moves import GroupMoves
from producers.connections.connection import Feed, SocketFeed, Venue
from producers.feeds.backoff import DialBudget
from producers.feeds.protocol import STAGE, VenueProtocol
from producers.kalshi.catalog import KalshiCatalog
from producers.kalshi.exchange import ExchangePoll
from producers.kalshi.feed import KalshiVenue
from producers.kalshi.protocol import KalshiProtocol
from producers.market_writer import LogHead, MarketWriter, friction_pack
from producers.polymarket.catalog import PolymarketCatalog
from producers.polymarket.feed import PolymarketVenue
from producers.polymarket.protocol import PolymarketProtocol
from producers.relay import ControlReader, Word, configured, in_force_already
from producers.stamp import ReceiveStamp
from producers.universe.pairs import PairsFileError, load_pairs_file
from producers.universe.universe import ShowBook, Step, Universe
from schemas.records import (
    BookDelta,
    BookSnapshot,
    DeadLetter,
    DecideAnnounced,
    DecideConfigured,
    FeedStatus,
    InstrumentListed,
    InstrumentSettled,
    PairApproved,
    PairRevoked,
    PublicTrade,
    RawFrame,
    Record,
    ReferencePrice,
    ReferenceStatus,
)
from schemas.records import Venue as VenueName

POLL_S = 0.02
RELAY_S = 0.05
KEYFRAME_TICK_S = 0.1
MS = 1_000_000
#: Dead letters beyond this many a second are counted, not written: a venue that drifts wholly must not fill the log.
DEAD_LETTERS_PER_S = 100
PAIRS_FILE_OPERATOR = "pairs file"


class Ingest:
    """Everything that the stage holds while it runs."""

    def __init__(
        self,
        settings: Settings,
        writer: MarketWriter,
        head: LogHead,
        stamp: ReceiveStamp,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.settings = settings
        self.writer = writer
        self.stamp = stamp
        self.log = log
        self.universe = Universe(head.placements, head.pairs_listed)
        self.counters: Counter[str] = Counter()
        self._head = head
        self._feeds: dict[VenueName, list[Feed]] = {}
        self._references = reference_feeds(settings, self, stamp, head.sessions, log)
        self._feed_of: dict[str, Feed] = {}
        self.listings = Listings(settings.catalog, self.universe, self, stamp, self.counters, log)
        self._exchange: ExchangePoll | None = None
        self._venues: dict[VenueName, Venue] = {}
        self._budgets = {venue: DialBudget.of(venue) for venue in (KALSHI, POLYMARKET)}
        self._group: asyncio.TaskGroup | None = None
        self._configured = head.configured
        self._wanted_configured: DecideConfigured | None = None
        self._refused: set[str] = set()
        self._dead_second = 0
        self._dead_count = 0
        self._keyframe_next = 0

    # -- the sink of every feed

    def accept(self, record: Record) -> None:
        """Write a record of a feed where it belongs."""
        match record:
            case BookDelta() | BookSnapshot() | PublicTrade():
                listed = self.universe.instruments.get(record.instrument_id)
                if listed is not None and not self.writer.write(record, listed.group) and not self.writer.blocked:
                    self._distrust(record)
            case FeedStatus() | ReferencePrice() | ReferenceStatus():
                self.writer.broadcast(record)
            case DeadLetter():
                self._dead(record)
            case InstrumentListed():
                self.do(self.universe.tell(record, self.stamp()))
            case _:
                raise AssertionError(f"a feed gave a {type(record).__name__}")

    def _distrust(self, record: BookDelta | BookSnapshot | PublicTrade) -> None:
        """A record too large for the log was not written: the book that it belongs to is not what the log says."""
        feed = self._feed_of.get(record.instrument_id)
        if feed is not None and not isinstance(record, PublicTrade):
            feed.distrust(record.instrument_id, f"a {type(record).__name__} was larger than a record of the log")

    def tape(self, frame: RawFrame) -> None:
        """Write a raw frame."""
        self.writer.tape(frame)

    def resolved(self, instrument_id: str) -> None:
        """Ask the catalogue whether the market really resolved, until it says so."""
        self.listings.resolved(instrument_id)

    def refresh_listing(self, instrument_id: str | None) -> None:
        """Read a market anew that its feed says has changed."""
        self.listings.changed(instrument_id)

    def _dead(self, letter: DeadLetter) -> None:
        self.counters["deadletters"] += 1
        second = letter.ts_ns // 1_000_000_000
        if second != self._dead_second:
            self._dead_second, self._dead_count = second, 0
        self._dead_count += 1
        if self._dead_count <= DEAD_LETTERS_PER_S:
            self.writer.dead(letter)
            self.log.warning("frame.dead", source=letter.source, error=letter.error)

    # -- the universe

    def do(self, steps: list[Step]) -> None:
        for step in steps:
            if isinstance(step, ShowBook):
                feed = self._feed_of.get(step.instrument_id)
                book = feed.book(step.instrument_id, keyframe=False) if feed else None
                if book is not None:
                    self.writer.write(book, self.universe.group_of(step.instrument_id))
            else:
                self.writer.write(step.record, step.group)
        for refusal in self.universe.refusals:
            self.refuse(refusal, self.stamp())

    def follow(self, listed: InstrumentListed) -> None:
        """Hand an instrument to the feed that has it, or to the first of its venue with room, or to a new one."""
        feed = self._feed_of.get(listed.instrument_id)
        if feed is None:
            feeds = self._feeds.setdefault(listed.venue, [])
            room = self.settings.polymarket.assets_per_connection
            feed = next((f for f in feeds if listed.venue == KALSHI or len(f.protocol.followed) < room), None)
            if feed is None:
                feed = self._new_feed(listed.venue)
            self._feed_of[listed.instrument_id] = feed
        feed.follow(listed)

    def _new_feed(self, venue: VenueName) -> Feed:
        feeds = self._feeds.setdefault(venue, [])
        name = venue if not feeds else f"{venue}-{len(feeds) + 1}"
        times = self.settings.feed
        make: type[PolymarketProtocol | KalshiProtocol] = PolymarketProtocol if venue == POLYMARKET else KalshiProtocol
        protocol: VenueProtocol = make(
            name,
            silence_ns=times.silence_ms * MS,
            answer_ns=times.answer_ms * MS,
            check_ns=times.crosscheck_interval_s * 1_000 * MS,
        )
        feed = Feed(
            protocol=protocol,
            venue=self._venues[venue],
            settings=self.settings.feed,
            sink=self,
            stamp=self.stamp,
            session_floor=self._head.sessions.get(name, 0),
            log=self.log,
            rng=random.Random(),
            budget=self._budgets[venue],
        )
        feeds.append(feed)
        assert self._group is not None
        self._group.create_task(feed.run())
        return feed

    def settle(self, settled: InstrumentSettled) -> None:
        self.do(self.universe.settle(settled))
        feed = self._feed_of.pop(settled.instrument_id, None)
        if feed is not None:
            feed.unfollow(settled.instrument_id)

    def refuse(self, refusal: str, ts_ns: int) -> None:
        """A market left out is said loudly, once."""
        if refusal in self._refused:
            return
        self._refused.add(refusal)
        self._dead(dead_letter(ts_ns=ts_ns, stage=STAGE, source="catalog", error=refusal))

    # -- control

    def hear(self, words: list[Word]) -> None:
        """Take words of `control`, in order."""
        for word in words:
            match word.record:
                case DecideAnnounced():
                    self._wanted_configured = configured(word.record, word.offset, self.stamp())
                case PairApproved():
                    self.do(self.universe.approve(word.record, self.stamp()))
                    if self.universe.wanted():
                        self.listings.soon()
                case PairRevoked():
                    self.do(self.universe.revoke(word.record.pair_id, word.record.reason, self.stamp()))
                case None:
                    letter = dead_letter(
                        ts_ns=self.stamp(),
                        stage=STAGE,
                        source="control",
                        partition=0,
                        offset=word.offset,
                        error="no record of the contract",
                        payload=word.payload,
                    )
                    self._dead(letter)
                case _:
                    continue  # for the executor
        self.configure()

    def configure(self) -> None:
        """Put the newest announcement in force, unless it is; tried again while the buffer is full."""
        wanted = self._wanted_configured
        if wanted is None or in_force_already(self._configured, wanted):
            return
        if self.writer.broadcast(wanted):
            self._configured = wanted
            self.log.info("decide.configured", control_offset=wanted.control_offset)

    def read_pairs_file(self) -> None:
        """Approve the pairs of the pairs file.

        Raises:
            SettingsError: it cannot be read or is none.
        """
        name = self.settings.catalog.pairs_file
        if not name:
            return
        try:
            pairs = load_pairs_file(Path(name))
        except (OSError, PairsFileError) as error:
            raise SettingsError(f"catalog.pairs_file {name}: {error}") from error
        for pair in pairs:
            self.do(self.universe.approve(pair.approval(self.stamp(), PAIRS_FILE_OPERATOR), self.stamp()))

    # -- loops

    async def run(self, control: ControlReader, stop: asyncio.Event) -> None:
        """Run until told to stop."""
        limits = httpx.Limits(max_connections=32)
        async with httpx.AsyncClient(timeout=httpx.Timeout(5.0), limits=limits) as client:
            self._connect_venues(client)
            try:
                async with asyncio.TaskGroup() as group:
                    self._group = group
                    moves = GroupMoves(self.settings, self.universe, self.writer, self.do, self.stamp, self.log)
                    loops = (
                        self._poll(),
                        self._relay(control),
                        self._keyframes(),
                        self.listings.run(group),
                        moves.run(),
                    )
                    for loop in loops:
                        group.create_task(loop)
                    if self._exchange is not None:
                        group.create_task(self._exchange.run())
                    for venue in self.listings.catalogs:
                        self._new_feed(venue)
                    for reference in self._references:
                        group.create_task(reference.run())
                    group.create_task(_until(stop))
            except* _StopError:
                pass
            for feed in self._all_feeds():
                feed.stop()

    def _all_feeds(self) -> list[SocketFeed[Any]]:
        return [*self._references, *(feed for feeds in self._feeds.values() for feed in feeds)]

    def _connect_venues(self, client: httpx.AsyncClient) -> None:
        if self.settings.polymarket.enabled:
            self.listings.catalogs[POLYMARKET] = PolymarketCatalog(self.settings.polymarket, client)
            self._venues[POLYMARKET] = PolymarketVenue(self.settings.polymarket, client)
        if self.settings.kalshi.enabled:
            signer = RequestSigner.from_file(self.settings.kalshi.key_id, self.settings.kalshi.key_file)
            self.listings.catalogs[KALSHI] = KalshiCatalog(self.settings.kalshi, client)
            self._exchange = ExchangePoll(self.settings.kalshi, client, self.writer.broadcast, self.stamp, self.log)
            self._venues[KALSHI] = KalshiVenue(self.settings.kalshi, client, signer, now_ns)
        if not self.listings.catalogs:
            raise SettingsError("polymarket.enabled and kalshi.enabled are both false; enable at least one")

    async def _poll(self) -> None:
        """Serve the Kafka client; after a block, make the log whole again."""
        while True:
            if self.writer.poll():
                self.log.warning("buffer.recovered", counters=dict(self.writer.counters))
                self._repeat_settings()
                if self._exchange is not None:
                    self._exchange.keyframe(whole=True)
                for write in self.universe.repeat(self.stamp()):
                    self.writer.write(write.record, write.group)
                for feed in self._all_feeds():
                    feed.renew("the producer's buffer overflowed while the broker was away")
                self.configure()
            await asyncio.sleep(POLL_S)

    async def _relay(self, control: ControlReader) -> None:
        while True:
            words = control.read()
            if words:
                self.hear(words)
            else:
                self.configure()
                await asyncio.sleep(RELAY_S)

    async def _keyframes(self) -> None:
        """Repeat every instrument, its pairs and its book once an interval, spread evenly."""
        owed = settings_owed = 0.0
        interval_s = self.settings.feed.keyframe_interval_s
        while True:
            await asyncio.sleep(KEYFRAME_TICK_S)
            settings_owed += KEYFRAME_TICK_S
            if settings_owed >= interval_s:
                settings_owed = 0.0
                self._repeat_settings()
                if self._exchange is not None:
                    self._exchange.keyframe()
            ids = [listed.instrument_id for listed in self.universe.open_instruments()]
            owed += len(ids) * KEYFRAME_TICK_S / interval_s
            while owed >= 1 and ids:
                owed -= 1
                self._keyframe_next = (self._keyframe_next + 1) % len(ids)
                self._keyframe(ids[self._keyframe_next])

    def _repeat_settings(self) -> None:
        ts_ns = self.stamp()
        self.writer.broadcast(friction_pack(self.settings.friction, ts_ns))
        if self._configured is not None:
            self.writer.broadcast(msgspec.structs.replace(self._configured, ts_received_ns=ts_ns))

    def _keyframe(self, instrument_id: str) -> None:
        ts_ns = self.stamp()
        for write in self.universe.keyframes(instrument_id, ts_ns):
            self.writer.write(write.record, write.group)
        feed = self._feed_of.get(instrument_id)
        book = feed.book(instrument_id, keyframe=True) if feed is not None else None
        if book is not None:
            self.writer.write(book, self.universe.group_of(instrument_id))


class _StopError(Exception):
    """Ends the task group."""


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
    raise _StopError
