"""Which feed follows which instrument.

Decides it: the feed that has an instrument keeps it; else the first of its venue with room takes it, or a new one. Must never let two feeds
follow one instrument.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping

import structlog

from crossbook.runtime.settings import FeedSettings
from producers.connections.connection import Feed, Sink
from producers.venues import OpenVenue
from schemas.records import BookSnapshot, InstrumentListed, Venue

MS = 1_000_000


class Subscriptions:
    """The feeds of all venues that are open. `session_floors` are the last sessions that the log knows, by feed."""

    def __init__(
        self,
        settings: FeedSettings,
        stamp: Callable[[], int],
        session_floors: Mapping[str, int],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.feeds: dict[Venue, list[Feed]] = {}
        self._feed_of: dict[str, Feed] = {}
        self._venues: dict[Venue, OpenVenue] = {}
        self._settings = settings
        self._stamp = stamp
        self._session_floors = session_floors
        self._log = log
        self._sink: Sink | None = None
        self._group: asyncio.TaskGroup | None = None

    def open(self, venues: Iterable[OpenVenue], sink: Sink, group: asyncio.TaskGroup) -> None:
        """Start a feed of each venue. Duty of the caller, once, before anything is followed."""
        self._venues = {one.venue: one for one in venues}
        self._sink, self._group = sink, group
        for one in self._venues.values():
            self._new_feed(one)

    def all(self) -> list[Feed]:
        """Every feed."""
        return [feed for feeds in self.feeds.values() for feed in feeds]

    def follow(self, listed: InstrumentListed) -> None:
        """Hand an instrument to the feed that has it, or to the first of its venue with room, or to a new one."""
        feed = self._feed_of.get(listed.instrument_id)
        if feed is None:
            feed = self._feed_of[listed.instrument_id] = self._feed_with_room(self._venues[listed.venue])
        feed.follow(listed)

    def unfollow(self, instrument_id: str) -> None:
        """Drop an instrument."""
        feed = self._feed_of.pop(instrument_id, None)
        if feed is not None:
            feed.unfollow(instrument_id)

    def distrust(self, instrument_id: str, reason: str) -> None:
        """Fail one book closed and ask for it anew."""
        feed = self._feed_of.get(instrument_id)
        if feed is not None:
            feed.distrust(instrument_id, reason)

    def book(self, instrument_id: str, *, keyframe: bool) -> BookSnapshot | None:
        """The book as it stands; None when it is not valid or nobody follows it."""
        feed = self._feed_of.get(instrument_id)
        return None if feed is None else feed.book(instrument_id, keyframe=keyframe)

    def _feed_with_room(self, venue: OpenVenue) -> Feed:
        most = venue.instruments_max
        feeds = self.feeds[venue.venue]
        found = next((feed for feed in feeds if most is None or len(feed.protocol.followed) < most), None)
        return self._new_feed(venue) if found is None else found

    def _new_feed(self, venue: OpenVenue) -> Feed:
        assert self._sink is not None, "a feed is started after `open`"
        assert self._group is not None, "a feed is started after `open`"
        feeds = self.feeds.setdefault(venue.venue, [])
        name = venue.venue if not feeds else f"{venue.venue}-{len(feeds) + 1}"
        times = self._settings
        feed = Feed(
            protocol=venue.protocol(
                name,
                silence_ns=times.silence_ms * MS,
                answer_ns=times.answer_ms * MS,
                check_ns=times.crosscheck_interval_s * 1_000 * MS,
            ),
            venue=venue.connection,
            settings=times,
            sink=self._sink,
            stamp=self._stamp,
            session_floor=self._session_floors.get(name, 0),
            log=self._log,
            rng=random.Random(),
            budget=venue.budget,
        )
        feeds.append(feed)
        self._group.create_task(feed.run())
        return feed
