"""Where records go, without sockets: books by their group, health everywhere, dead letters within a bound."""

import asyncio

from crossbook.runtime.settings import CatalogSettings
from producers.market_writer import LogHead, MarketWriter
from producers.relay import Word
from producers.router import DEAD_LETTERS_PER_S, Router
from producers.stamp import ReceiveStamp
from producers.universe.universe import Universe
from schemas.records import BookDelta, BookSnapshot, DeadLetter, FeedStatus
from tests.builders.producers.listings import make_listing
from tests.builders.producers.senders import MemorySender
from tests.builders.producers.stages import LOG, EmptyCatalog, ingest
from tests.builders.producers.universes import approved

B = make_listing("kalshi", "KXB")


class NobodyFollows:
    """Feeds that only say what they were asked to distrust."""

    def __init__(self) -> None:
        self.distrusted: list[str] = []

    def follow(self, listed):
        pass

    def unfollow(self, instrument_id):
        pass

    def distrust(self, instrument_id, reason):
        self.distrusted.append(f"{instrument_id}: {reason}")

    def book(self, instrument_id, *, keyframe):
        return None


def status() -> FeedStatus:
    return FeedStatus(
        ts_received_ns=1, feed="kalshi", venue="kalshi", session=1, state="live", reason="", instruments=()
    )


def delta(instrument_id: str) -> BookDelta:
    return BookDelta(
        ts_received_ns=1, instrument_id=instrument_id, feed="kalshi", session=1, sequence=2, previous_sequence=1,
        bid_prices=(), bid_sizes=(), ask_prices=(), ask_sizes=(),
    )  # fmt: skip


def alone(sender, universe, feeds):
    """A router whose feeds follow nobody."""
    writer = MarketWriter(sender, 2, 100)
    writer.open(LogHead(log_id="", opened=frozenset(range(2))), 1)
    return Router(CatalogSettings(), writer, universe, feeds, ReceiveStamp(), LOG)


def test_book_events_go_to_their_group_and_status_to_every_partition() -> None:
    sender = MemorySender()
    one = ingest(sender)
    one.router.accept(delta("kalshi:KXB"))  # not listed: nowhere to go
    assert sender.sent == []
    one.router.accept(B)
    one.router.accept(delta("kalshi:KXB"))
    one.router.accept(status())
    assert [(p, k) for _, p, k, _ in sender.sent] == [(-1, B.event_id), (-1, B.event_id), (0, None), (1, None)]


def test_a_book_too_large_to_write_is_distrusted() -> None:
    """The log does not hold it, so nobody may go on believing the book that it was to replace."""
    sender = MemorySender()
    router = alone(sender, Universe({}, {}), feeds := NobodyFollows())
    router.accept(B)
    many = tuple(range(1, 500_000))
    router.accept(
        BookSnapshot(
            ts_received_ns=2, instrument_id=B.instrument_id, feed="kalshi", session=1, sequence=1, delivery="streaming",
            cadence_ms=0, keyframe=False, bid_prices=many, bid_sizes=many, ask_prices=(), ask_sizes=(),
        )
    )  # fmt: skip
    assert feeds.distrusted == ["kalshi:KXB: a BookSnapshot was larger than a record of the log"]
    (letter,) = sender.records("deadletter")
    assert letter.source == "kalshi"


def test_one_catalogue_s_surprise_is_its_own() -> None:
    class Surprising(EmptyCatalog):
        async def discover(self, volume_min_micros, limit, ts_ns, refused):
            raise KeyError("a page that nobody foresaw")

    class Listing(EmptyCatalog):
        async def discover(self, volume_min_micros, limit, ts_ns, refused):
            return [B]

    sender = MemorySender()
    router = alone(sender, universe := Universe({}, {}), NobodyFollows())
    router.listings.catalogs |= {"polymarket": Surprising(), "kalshi": Listing()}
    asyncio.run(router.listings.refresh())
    assert B.instrument_id in universe.instruments
    assert ["KeyError" in letter.error for letter in sender.records("deadletter")] == [True]


def test_dead_letters_are_bounded_and_counted() -> None:
    sender = MemorySender()
    one = ingest(sender)
    letter = DeadLetter(ts_ns=10**18, stage="producers", source="kalshi", error="e", payload=b"")
    for _ in range(3 * DEAD_LETTERS_PER_S):
        one.router.accept(letter)
    assert len(sender.records("deadletter")) == DEAD_LETTERS_PER_S
    assert one.router.counters["deadletters"] == 3 * DEAD_LETTERS_PER_S


def test_an_approval_of_no_instrument_is_refused_loudly_and_once() -> None:
    sender = MemorySender()
    one = ingest(sender)
    one.router.listings.catalogs["kalshi"] = EmptyCatalog()
    one.relay.hear([Word(0, approved("nonsense", "kalshi:KXB"), b"")])
    for _ in range(2):
        asyncio.run(one.router.listings.refresh())
    errors = sorted(r.error for r in sender.records("deadletter"))
    assert len(errors) == 2
    assert "nonsense" in errors[0]
    assert "KXB" in errors[1]
