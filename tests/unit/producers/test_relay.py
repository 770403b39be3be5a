"""What is said on `control` takes effect in the log, in order, and an announcement in force is not said again."""

import pytest

from crossbook.runtime.errors import SettingsError
from producers.relay import Word
from schemas.records import DeadLetter, MarketConfigured, PairListed, PairRevoked, StrategyConfigured
from tests.builders.producers.announced import ANNOUNCED
from tests.builders.producers.listings import make_listing
from tests.builders.producers.senders import MemorySender
from tests.builders.producers.stages import ingest
from tests.builders.producers.universes import approved

A, B = make_listing("polymarket", "0xa"), make_listing("kalshi", "KXB")


def test_announcements_reach_every_partition_once() -> None:
    sender = MemorySender()
    one = ingest(sender)
    one.relay.hear([Word(0, ANNOUNCED, b""), Word(1, ANNOUNCED, b"")])
    one.relay.hear([Word(2, ANNOUNCED, b"")])
    configured = [r for r in sender.records() if isinstance(r, MarketConfigured)]
    assert [r.control_offset for r in configured] == [1, 1]  # the last of a batch counts, in both partitions


def test_an_announcement_that_found_the_buffer_full_is_said_later() -> None:
    sender = MemorySender(room=0)
    one = ingest(sender)
    one.relay.hear([Word(0, ANNOUNCED, b"")])
    assert sender.records() == []
    sender.room = 100
    one.relay.configure()
    assert sender.records() == []  # still blocked: nothing may enter before the recovery
    assert one.writer.poll()
    one.relay.configure()
    both = [StrategyConfigured, StrategyConfigured, MarketConfigured, MarketConfigured]
    assert [type(record) for record in sender.records()] == both  # in both partitions, the market's last


def test_pairs_follow_control() -> None:
    sender = MemorySender()
    one = ingest(sender)
    one.router.accept(A)
    one.router.accept(B)
    one.relay.hear([Word(0, approved("polymarket:0xa", "kalshi:KXB"), b"")])
    assert [r.pair_id for r in sender.records() if isinstance(r, PairListed)] == ["p"]
    one.relay.hear([Word(1, PairRevoked(ts_ns=1, operator="o", pair_id="p", reason="r"), b"")])
    assert type(sender.records()[-1]).__name__ == "PairDelisted"


def test_bytes_that_are_no_record_are_dead_lettered() -> None:
    sender = MemorySender()
    one = ingest(sender)
    one.relay.hear([Word(4, None, b"\x01junk")])
    (letter,) = sender.records("deadletter")
    assert isinstance(letter, DeadLetter)
    assert (letter.offset, letter.payload) == (4, b"\x01junk")


def test_a_bad_pairs_file_is_a_setting_that_cannot_work(tmp_path) -> None:
    file = tmp_path / "pairs.yaml"
    file.write_text("pairs: 3")
    one = ingest(MemorySender())
    one.relay.approve_file("")
    for name in (file, tmp_path / "absent.yaml"):
        with pytest.raises(SettingsError, match=r"catalog\.pairs_file"):
            one.relay.approve_file(str(name))
