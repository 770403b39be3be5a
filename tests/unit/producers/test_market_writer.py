"""The writer heads partitions, never lets a stamp fall, blocks whole, and lives through records too large to write."""

import hashlib

import pytest

from crossbook.runtime.kafka import RECORD_BYTES_MAX
from crossbook.runtime.settings import FrictionSettings
from producers.market_writer import TAPE_PAYLOAD_MAX, LogHead, MarketWriter, draw_log_id, friction_pack
from schemas.codec import load_codec
from schemas.records import DeadLetter, FrictionPack, LogOpened, PublicTrade, RawFrame


def pack(ts_ns: int) -> FrictionPack:
    return friction_pack(FrictionSettings(), ts_ns)


def test_every_empty_partition_is_headed_once(memory_sender) -> None:
    sender = memory_sender()
    writer = MarketWriter(sender, 3, 1_000)
    writer.open(LogHead(log_id="ab" * 16, opened=frozenset({1})), 7)
    heads = [(partition, record) for _, partition, _, record in sender.sent]
    assert [partition for partition, _ in heads] == [0, 2]
    assert all(isinstance(r, LogOpened) and r.log_id == "ab" * 16 and r.partitions == 3 for _, r in heads)


def test_nothing_is_written_before_the_head(memory_sender) -> None:
    with pytest.raises(AssertionError, match="heads the partitions first"):
        MarketWriter(memory_sender(), 1, 1_000).broadcast(pack(1))


def test_stamps_never_fall(memory_sender) -> None:
    sender = memory_sender()
    writer = MarketWriter(sender, 2, 1_000)
    writer.open(LogHead(log_id="", opened=frozenset({0, 1}), ts_last_ns=50), 1)
    for stamp in (40, 60, 55, 61):
        writer.broadcast(pack(stamp))
    assert [r.ts_received_ns for r in sender.records()] == [50, 50, 60, 60, 60, 60, 61, 61]
    assert writer.counters["clamped"] == 4  # two partitions each


def test_a_full_buffer_blocks_everything_until_it_has_drained(memory_sender) -> None:
    sender = memory_sender(room=100)
    writer = MarketWriter(sender, 1, 100)
    writer.open(LogHead(log_id="", opened=frozenset({0})), 1)
    taken = [writer.write(pack(i), "g") for i in range(1, 121)]
    assert taken == [True] * 100 + [False] * 20
    assert writer.blocked
    sender.waiting = 60
    assert not writer.poll()
    assert not writer.write(pack(200), "g")  # no island of records in a hole
    sender.waiting = 25
    assert writer.poll()
    assert not writer.poll()
    assert writer.write(pack(201), "g")
    assert writer.counters["market.dropped"] == 21


def test_tape_and_dead_letters_are_dropped_not_waited_for(memory_sender) -> None:
    writer = MarketWriter(memory_sender(room=0), 1, 100)
    frame = RawFrame(ts_received_ns=1, feed="f", connection="f", session=1, direction="received", payload=b"")
    writer.tape(frame)
    writer.tape(frame)
    writer.dead(DeadLetter(ts_ns=1, stage="s", source="f", error="e", payload=b""))
    assert writer.blocked
    assert writer.counters == {"blocked": 1, "tape.dropped": 1, "deadletter.dropped": 1}


def frame_of(payload: bytes) -> RawFrame:
    return RawFrame(ts_received_ns=1, feed="f", connection="f", session=1, direction="received", payload=payload)


@pytest.mark.parametrize("length", [0, TAPE_PAYLOAD_MAX, TAPE_PAYLOAD_MAX + 1, 3 * RECORD_BYTES_MAX])
def test_a_frame_larger_than_a_record_is_cut_on_tape_with_its_length_and_hash(memory_sender, length: int) -> None:
    sender = memory_sender()
    writer = MarketWriter(sender, 1, 100)
    whole = bytes(range(251)) * (length // 251 + 1)
    whole = whole[:length]
    writer.tape(frame_of(whole))
    (taped,) = sender.records("tape")
    assert len(load_codec().encode(taped)) < RECORD_BYTES_MAX
    if length <= TAPE_PAYLOAD_MAX:
        assert taped == frame_of(whole)
        return
    assert (taped.payload, taped.payload_bytes) == (whole[:TAPE_PAYLOAD_MAX], length)
    assert taped.payload_sha256 == hashlib.sha256(whole).hexdigest()
    assert writer.counters["tape.cut"] == 1


def test_a_record_too_large_for_the_log_is_counted_and_said_and_the_writer_goes_on(memory_sender) -> None:
    sender = memory_sender()
    writer = MarketWriter(sender, 1, 100)
    writer.open(LogHead(log_id="", opened=frozenset({0})), 1)
    trade = PublicTrade(
        ts_received_ns=2, instrument_id="kalshi:A", feed="kalshi", session=1, trade_id="x" * RECORD_BYTES_MAX,
        price_micros=1, quantity_micros=1, taker_side="buy",
    )  # fmt: skip
    assert not writer.write(trade, "g")
    assert not writer.blocked
    writer.dead(DeadLetter(ts_ns=1, stage="s", source="f", error="e", payload=b"x" * RECORD_BYTES_MAX))
    assert writer.write(pack(3), "g")
    (letter,) = sender.records("deadletter")
    assert (letter.source, letter.error.split(":")[0]) == ("kalshi", "PublicTrade")
    assert writer.counters["market.too_large"] == writer.counters["deadletter.too_large"] == 1


def test_friction_hash_names_the_numbers_alone() -> None:
    assert pack(1).hash == pack(2).hash
    assert friction_pack(FrictionSettings(gas_micros=1), 1).hash != pack(1).hash


def test_log_ids_are_drawn_anew() -> None:
    assert draw_log_id() != draw_log_id()
    assert len(draw_log_id()) == 32
