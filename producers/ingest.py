"""What the stage `producers` holds while it runs, put together: venues and references, router, relay, keyframes.

Decides what runs beside what, in one asyncio loop. Must never let one venue's trouble stop the other. Only a StageError ends it: the broker
is away for good or fenced us, or the log is somebody else's. Whatever else goes wrong in a feed or a catalogue costs that feed its
connection, or that catalogue one reading.
"""

import asyncio
from typing import Any

import httpx
import structlog

from crossbook.runtime.settings import Settings
from producers.binance.feed import reference_feeds
from producers.catalogue.moves import GroupMoves
from producers.connections.connection import SocketFeed
from producers.keyframes import Keyframes
from producers.market_writer import LogHead, MarketWriter
from producers.relay import ControlReader, Relay
from producers.router import Router
from producers.stamp import ReceiveStamp
from producers.subscriptions import Subscriptions
from producers.universe.universe import Universe
from producers.venues import Adapters, OpenVenue, StatusDesk

POLL_S = 0.02
RENEWED = "the producer's buffer overflowed while the broker was away"


class Ingest:
    """The parts of the stage, over a table that `check_adapters` let pass."""

    def __init__(
        self,
        settings: Settings,
        adapters: Adapters,
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
        self.subscriptions = Subscriptions(settings.feed, stamp, head.sessions, log)
        self.router = Router(settings.catalog, writer, self.universe, self.subscriptions, stamp, log)
        self.relay = Relay(writer, self.universe, self.router, head.configured, stamp, log)
        self.references = reference_feeds(settings, self.router, stamp, head.sessions, log)
        self._adapters = adapters

    async def run(self, control: ControlReader, stop: asyncio.Event) -> None:
        """Run until told to stop. Raises SettingsError for a venue that cannot be opened."""
        limits = httpx.Limits(max_connections=32)
        async with httpx.AsyncClient(timeout=httpx.Timeout(5.0), limits=limits) as client:
            desk = StatusDesk(client, self.writer.broadcast, self.stamp, self.log)
            opened = [adapter.open(self.settings, desk) for adapter in self._adapters]
            venues = [one for one in opened if one is not None]
            try:
                async with asyncio.TaskGroup() as group:
                    self._start(venues, control, group)
                    group.create_task(_until(stop))
            except* _StopError:
                pass
            for feed in self.all_feeds():
                feed.stop()

    def all_feeds(self) -> list[SocketFeed[Any]]:
        """Every feed: references and venues."""
        return [*self.references, *self.subscriptions.all()]

    def _start(self, venues: list[OpenVenue], control: ControlReader, group: asyncio.TaskGroup) -> None:
        listings, universe = self.router.listings, self.universe
        listings.catalogs |= {one.venue: one.catalogue for one in venues}
        statuses = [one.status for one in venues if one.status is not None]
        keyframes = Keyframes(
            self.settings.friction, self.writer, universe, self.router, self.relay, statuses, self.stamp
        )
        moves = GroupMoves(self.settings, universe, self.writer, self.router.do, self.stamp, self.log)
        for loop in (
            self._poll(keyframes),
            self.relay.run(control),
            keyframes.run(self.settings.feed.keyframe_interval_s),
            listings.run(group),
            moves.run(),
            *(status.run() for status in statuses),
        ):
            group.create_task(loop)
        self.subscriptions.open(venues, self.router, group)
        for reference in self.references:
            group.create_task(reference.run())

    async def _poll(self, keyframes: Keyframes) -> None:
        """Serve the Kafka client; after a block, make the log whole again."""
        while True:
            if self.writer.poll():
                self.log.warning("buffer.recovered", counters=dict(self.writer.counters))
                keyframes.whole()
                for feed in self.all_feeds():
                    feed.renew(RENEWED)
                self.relay.configure()
            await asyncio.sleep(POLL_S)


class _StopError(Exception):
    """Ends the task group."""


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
    raise _StopError
