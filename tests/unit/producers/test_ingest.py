"""The composition, without sockets: where records go, what `control` does, and what a full buffer leaves behind."""

import asyncio
from types import SimpleNamespace

import pytest
import structlog

from crossbook.runtime.errors import SettingsError
from crossbook.runtime.settings import CatalogSettings, Settings
from producers.ingest import DEAD_LETTERS_PER_S, Ingest
from producers.market_writer import LogHead, MarketWriter
from producers.relay import Word
from producers.stamp import ReceiveStamp
from schemas.records import BookDelta, BookSnapshot, DeadLetter, DecideConfigured, FeedStatus, PairListed, PairRevoked
from tests.builders.producers.announced import ANNOUNCED
from tests.builders.producers.listings import make_listing
from tests.builders.producers.senders import MemorySender
from tests.builders.producers.universes import approved

A, B = make_listing("polymarket", "0xa"), make_listing("kalshi", "KXB")


class EmptyCatalog:
    """A venue that lists nothing."""

    async def discover(self, volume_min_micros, limit, ts_ns, refused):
        return []

    async def find(self, symbol, ts_ns, refused):
        return None

    async def settlements(self, listed, ts_ns, refused):
        return []


def ingest(sender: MemorySender, partitions: int = 2, **settings) -> Ingest:
    writer = MarketWriter(sender, partitions, 100)
    head = LogHead(log_id="", opened=frozenset(range(partitions)))
    writer.open(head, 1)
    log = structlog.wrap_logger(structlog.ReturnLogger())
    return Ingest(Settings(**settings), writer, head, ReceiveStamp(), log)


def status() -> FeedStatus:
    return FeedStatus(
        ts_received_ns=1, feed="kalshi", venue="kalshi", session=1, state="live", reason="", instruments=()
    )


def delta(instrument_id: str) -> BookDelta:
    return BookDelta(
        ts_received_ns=1, instrument_id=instrument_id, feed="kalshi", session=1, sequence=2, previous_sequence=1,
        bid_prices=(), bid_sizes=(), ask_prices=(), ask_sizes=(),
    )  # fmt: skip


def test_book_events_go_to_their_group_and_status_to_every_partition() -> None:
    sender = MemorySender()
    one = ingest(sender)
    one.accept(delta("kalshi:KXB"))  # not listed: nowhere to go
    assert sender.sent == []
    one.accept(B)
    one.accept(delta("kalshi:KXB"))
    one.accept(status())
    assert [(p, k) for _, p, k, _ in sender.sent] == [(-1, B.event_id), (-1, B.event_id), (0, None), (1, None)]


def test_a_book_too_large_to_write_is_distrusted() -> None:
    """The log does not hold it, so nobody may go on believing the book that it was to replace."""
    sender = MemorySender()
    one = ingest(sender)
    one.accept(B)
    distrusted: list[str] = []
    one._feed_of[B.instrument_id] = SimpleNamespace(
        distrust=lambda name, reason: distrusted.append(f"{name}: {reason}")
    )
    many = tuple(range(1, 500_000))
    one.accept(
        BookSnapshot(
            ts_received_ns=2, instrument_id=B.instrument_id, feed="kalshi", session=1, sequence=1, delivery="streaming",
            cadence_ms=0, keyframe=False, bid_prices=many, bid_sizes=many, ask_prices=(), ask_sizes=(),
        )
    )  # fmt: skip
    assert distrusted == ["kalshi:KXB: a BookSnapshot was larger than a record of the log"]
    assert not one.writer.blocked
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
    one = ingest(sender)
    one.listings.catalogs |= {"polymarket": Surprising(), "kalshi": Listing()}
    one.follow = lambda listed: None  # type: ignore[method-assign]  # no feed runs here
    asyncio.run(one.listings.refresh())
    assert B.instrument_id in one.universe.instruments
    assert ["KeyError" in letter.error for letter in sender.records("deadletter")] == [True]


def test_announcements_reach_every_partition_once() -> None:
    sender = MemorySender()
    one = ingest(sender)
    one.hear([Word(0, ANNOUNCED, b""), Word(1, ANNOUNCED, b"")])
    one.hear([Word(2, ANNOUNCED, b"")])
    configured = [r for r in sender.records() if isinstance(r, DecideConfigured)]
    assert [r.control_offset for r in configured] == [1, 1]  # the last of a batch counts, in both partitions


def test_an_announcement_that_found_the_buffer_full_is_said_later() -> None:
    sender = MemorySender(room=0)
    one = ingest(sender)
    one.hear([Word(0, ANNOUNCED, b"")])
    assert sender.records() == []
    sender.room = 100
    one.configure()
    assert sender.records() == []  # still blocked: nothing may enter before the recovery
    assert one.writer.poll()
    one.configure()
    assert len(sender.records()) == 2


def test_pairs_follow_control() -> None:
    sender = MemorySender()
    one = ingest(sender)
    one.accept(A)
    one.accept(B)
    one.hear([Word(0, approved("polymarket:0xa", "kalshi:KXB"), b"")])
    assert [r.pair_id for r in sender.records() if isinstance(r, PairListed)] == ["p"]
    one.hear([Word(1, PairRevoked(ts_ns=1, operator="o", pair_id="p", reason="r"), b"")])
    assert type(sender.records()[-1]).__name__ == "PairDelisted"


def test_bytes_that_are_no_record_are_dead_lettered() -> None:
    sender = MemorySender()
    one = ingest(sender)
    one.hear([Word(4, None, b"\x01junk")])
    (letter,) = sender.records("deadletter")
    assert isinstance(letter, DeadLetter)
    assert (letter.offset, letter.payload) == (4, b"\x01junk")


def test_dead_letters_are_bounded_and_counted() -> None:
    sender = MemorySender()
    one = ingest(sender)
    letter = DeadLetter(ts_ns=10**18, stage="producers", source="kalshi", error="e", payload=b"")
    for _ in range(3 * DEAD_LETTERS_PER_S):
        one.accept(letter)
    assert len(sender.records("deadletter")) == DEAD_LETTERS_PER_S
    assert one.counters["deadletters"] == 3 * DEAD_LETTERS_PER_S


def test_an_approval_of_no_instrument_is_refused_loudly_and_once() -> None:
    sender = MemorySender()
    one = ingest(sender)
    one.listings.catalogs["kalshi"] = EmptyCatalog()
    one.hear([Word(0, approved("nonsense", "kalshi:KXB"), b"")])
    for _ in range(2):
        asyncio.run(one.listings.refresh())
    errors = sorted(r.error for r in sender.records("deadletter"))
    assert len(errors) == 2
    assert "nonsense" in errors[0]
    assert "KXB" in errors[1]


def test_a_bad_pairs_file_is_a_setting_that_cannot_work(tmp_path) -> None:
    file = tmp_path / "pairs.yaml"
    file.write_text("pairs: 3")
    for name in (file, tmp_path / "absent.yaml"):
        one = ingest(MemorySender(), catalog=CatalogSettings(pairs_file=str(name)))
        with pytest.raises(SettingsError, match=r"catalog\.pairs_file"):
            one.read_pairs_file()
