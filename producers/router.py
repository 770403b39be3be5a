"""Where each record of a feed, a catalogue or the universe goes.

Decides the partition of a record by its instrument's group, and which dead letters are written. Everything that writes does so without
waiting. Must never write a book event of an instrument before its listing.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

import structlog

from crossbook.domain.dead_letters import dead_letter
from crossbook.runtime.settings import CatalogSettings
from producers.catalogue.listings import Listings
from producers.feeds.protocol import STAGE
from producers.market_writer import MarketWriter
from producers.universe.universe import ShowBook, Step, Universe
from schemas.records import (
    BookDelta,
    BookSnapshot,
    DeadLetter,
    FeedStatus,
    InstrumentListed,
    InstrumentSettled,
    PublicTrade,
    RawFrame,
    Record,
    ReferencePrice,
    ReferenceStatus,
)

#: Dead letters beyond this many a second are counted, not written: a venue that drifts wholly must not fill the log.
DEAD_LETTERS_PER_S = 100


class Feeds(Protocol):
    """Who follows which instrument."""

    def follow(self, listed: InstrumentListed) -> None:
        """Have a feed follow the instrument, or take its new listing."""

    def unfollow(self, instrument_id: str) -> None:
        """Drop an instrument."""

    def distrust(self, instrument_id: str, reason: str) -> None:
        """Fail one book closed and ask for it anew."""

    def book(self, instrument_id: str, *, keyframe: bool) -> BookSnapshot | None:
        """The book as it stands; None when it is not valid or nobody follows it."""


class Router:
    """The sink of every feed and the desk of every catalogue; `listings` reads the catalogues and puts what it read here."""

    def __init__(
        self,
        settings: CatalogSettings,
        writer: MarketWriter,
        universe: Universe,
        feeds: Feeds,
        stamp: Callable[[], int],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.counters: Counter[str] = Counter()
        self.listings = Listings(settings, universe, self, stamp, self.counters, log)
        self._writer = writer
        self._universe = universe
        self._feeds = feeds
        self._stamp = stamp
        self._log = log
        self._refused: set[str] = set()
        self._dead_second = 0
        self._dead_count = 0

    # -- the sink of every feed

    def accept(self, record: Record) -> None:
        """Write a record of a feed where it belongs."""
        match record:
            case BookDelta() | BookSnapshot() | PublicTrade():
                listed = self._universe.instruments.get(record.instrument_id)
                if listed is not None and not self._writer.write(record, listed.group) and not self._writer.blocked:
                    self._distrust(record)
            case FeedStatus() | ReferencePrice() | ReferenceStatus():
                self._writer.broadcast(record)
            case DeadLetter():
                self.dead(record)
            case InstrumentListed():
                self.do(self._universe.tell(record, self._stamp()))
            case _:
                raise AssertionError(f"a feed gave a {type(record).__name__}")

    def _distrust(self, record: BookDelta | BookSnapshot | PublicTrade) -> None:
        """A record too large for the log was not written: the book that it belongs to is not what the log says."""
        if not isinstance(record, PublicTrade):
            what = f"a {type(record).__name__} was larger than a record of the log"
            self._feeds.distrust(record.instrument_id, what)

    def tape(self, frame: RawFrame) -> None:
        """Write a raw frame."""
        self._writer.tape(frame)

    def resolved(self, instrument_id: str) -> None:
        """Ask the catalogue whether the market really resolved, until it says so."""
        self.listings.resolved(instrument_id)

    def refresh_listing(self, instrument_id: str | None) -> None:
        """Read a market anew that its feed says has changed."""
        self.listings.changed(instrument_id)

    def dead(self, letter: DeadLetter) -> None:
        """Write a dead letter, or count it where too many come."""
        self.counters["deadletters"] += 1
        second = letter.ts_ns // 1_000_000_000
        if second != self._dead_second:
            self._dead_second, self._dead_count = second, 0
        self._dead_count += 1
        if self._dead_count <= DEAD_LETTERS_PER_S:
            self._writer.dead(letter)
            self._log.warning("frame.dead", source=letter.source, error=letter.error)

    # -- the desk of every catalogue

    def do(self, steps: Iterable[Step]) -> None:
        """Write what the universe wants written, and say loudly what it refused."""
        for step in steps:
            if isinstance(step, ShowBook):
                self.show(step.instrument_id, keyframe=False)
            else:
                self._writer.write(step.record, step.group)
        for refusal in self._universe.refusals:
            self.refuse(refusal, self._stamp())

    def show(self, instrument_id: str, *, keyframe: bool) -> None:
        """Write the book of an instrument as it stands, where it is valid."""
        book = self._feeds.book(instrument_id, keyframe=keyframe)
        if book is not None:
            self._writer.write(book, self._universe.group_of(instrument_id))

    def follow(self, listed: InstrumentListed) -> None:
        """Hand a listing to the feed that follows it."""
        self._feeds.follow(listed)

    def settle(self, settled: InstrumentSettled) -> None:
        """Take a payout; nobody follows the instrument any more."""
        self.do(self._universe.settle(settled))
        self._feeds.unfollow(settled.instrument_id)

    def refuse(self, refusal: str, ts_ns: int) -> None:
        """A market left out is said loudly, once."""
        if refusal in self._refused:
            return
        self._refused.add(refusal)
        self.dead(dead_letter(ts_ns=ts_ns, stage=STAGE, source="catalog", error=refusal))
