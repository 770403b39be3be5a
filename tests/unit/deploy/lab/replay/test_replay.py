"""What a replay writes: the range as it stood, or a new log that begins with the state; the pace; what came out compared."""

import msgspec
import pytest

from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import write_archive
from crossbook.log.errors import LogError
from crossbook.market.market_state import MarketState
from crossbook.runtime.errors import BufferFullError
from crossbook.runtime.settings import Settings
from deploy.errors import UsageError
from deploy.lab.replay.replay import (
    ReplayOptions,
    check_comparable,
    compare_outputs,
    full_prefix,
    run_replay,
    send_entries,
)
from deploy.lab.replay.source import Entry, ReplaySource
from processors.errors import CodeDigestError
from processors.verify.verify import Positions
from schemas.codec import load_codec
from schemas.records import (
    BookSnapshot,
    FeedStatus,
    FrictionPack,
    InstrumentListed,
    LogOpened,
    MarketConfigured,
    PairListed,
    ReferencePrice,
    ReferenceStatus,
    StrategyConfigured,
    VenueStatus,
)
from tests.builders import market_records as mr
from tests.builders.logs.memory import MemoryLog
from tests.builders.logs.whole import market_of, whole_log, write_decisions

CODEC = load_codec()


@pytest.fixture(scope="module")
def log():
    return whole_log(events=300)


def written(source, already=None, *, timed=False):
    return list(source.entries(already or {}, timed=timed))


def decoded(entries):
    return [CODEC.decode(entry.value) for entry in entries]


def repeated(log, partition):
    """The lines of a partition as another log repeats them: their stamps are no wall clock's any more."""
    head, *lines = [line.value for line in log.lines["market", partition]]
    opened = CODEC.decode(head)
    assert opened.clock == "wall"
    return [CODEC.encode(msgspec.structs.replace(opened, clock="recorded")), *lines]


def test_a_range_from_zero_is_the_log_itself(log):
    source = ReplaySource(log)
    entries = written(source)
    assert source.whole
    assert source.log_id == mr.LOG_ID
    assert [entry.value for entry in entries] == repeated(log, 0)
    assert [entry.value for entry in written(source, timed=True)] == [entry.value for entry in entries]
    cut = ReplaySource(log, {0: Positions(0, 100)})
    assert (cut.log_id, written(cut)) == (source.log_id, entries[:100])


def test_a_log_that_began_later_begins_at_zero(log):
    later = MemoryLog({("market", 0): [line._replace(offset=line.offset + 9) for line in log.lines["market", 0]]})
    head = msgspec.structs.replace(CODEC.decode(later.lines["market", 0][0].value), base_offset=9)
    later.lines["market", 0][0] = later.lines["market", 0][0]._replace(value=CODEC.encode(head))
    assert [entry.value for entry in written(ReplaySource(later))] == [
        entry.value for entry in written(ReplaySource(log))
    ]


@pytest.mark.parametrize("positions", [Positions(), Positions(150), Positions(150, 250)])
@pytest.mark.parametrize("held", [0, 1, 5, 17, 60, 99])
def test_a_replay_goes_on_where_the_target_ends(log, positions, held):
    source = ReplaySource(log, {0: positions})
    whole = written(source)
    assert [e.value for e in written(source, {0: held})] == [e.value for e in whole[held:]]


def test_partitions_are_merged_by_time_or_written_by_turns():
    log = whole_log(events=200, partitions=2)
    source = ReplaySource(log)
    timed = written(source, timed=True)
    assert [entry.ts_ns for entry in timed] == sorted(entry.ts_ns for entry in timed)
    for partition in (0, 1):
        lines = repeated(log, partition)
        assert [entry.value for entry in timed if entry.partition == partition] == lines
        assert [entry.value for entry in written(source) if entry.partition == partition] == lines


def test_a_later_range_begins_with_the_state(log):
    source = ReplaySource(log, {0: Positions(180)})
    records = decoded(written(source))
    kinds = list(dict.fromkeys(type(record) for record in records))
    assert kinds[:9] == [
        LogOpened,
        FrictionPack,
        StrategyConfigured,
        MarketConfigured,
        VenueStatus,
        InstrumentListed,
        PairListed,
        FeedStatus,
        BookSnapshot,
    ]
    assert records[0].log_id == source.log_id != mr.LOG_ID
    assert ReplaySource(log, {0: Positions(181)}).log_id != source.log_id
    assert [entry.value for entry in written(source)][-1] == log.lines["market", 0][-1].value


@pytest.mark.parametrize("begin", [40, 120, 201, 290])
@pytest.mark.parametrize("checkpoints", [True, False])
def test_the_state_is_the_one_that_the_source_had(log, begin, checkpoints):
    copy = log.copy()
    if not checkpoints:
        del copy.lines["checkpoints.decide", 0]
    there = MarketState()
    for position, line in enumerate(copy.lines["market", 0][:begin]):
        there.apply(position, CODEC.decode(line.value))
    here = MarketState()
    entries = written(ReplaySource(copy, {0: Positions(begin, begin)}))
    for position, record in enumerate(decoded(entries)):
        here.apply(position, record)
    assert abs(here.now_ns - there.now_ns) <= there.jump_ns
    for instrument_id, state in there.books.items():
        if state.broken:
            assert instrument_id not in here.books
            continue
        assert here.books[instrument_id].book.levels() == state.book.levels()
        assert (here.books[instrument_id].sequence, here.books[instrument_id].session) == (
            state.sequence,
            state.session,
        )
        assert here.books[instrument_id].valid == state.valid
    assert here.instruments == there.instruments
    assert here.pairs == there.pairs
    assert (here.friction, here.configured, here.strategies) == (there.friction, there.configured, there.strategies)


def test_references_and_payouts_are_a_part_of_the_state():
    log = MemoryLog({})
    common = {"feed": "binance", "session": 3}
    for record in (
        *market_of(0),
        mr.snapshot(mr.A, mr.T0, 1, bids=[(400_000, 10**6)], asks=[(420_000, 10**6)]),
        ReferenceStatus(ts_received_ns=mr.T0, state="live", reason="", **common),
        ReferencePrice(
            ts_received_ns=mr.T0, reference_id="btc", sequence=4, bid_price_micros=5, ask_price_micros=6, **common
        ),
        ReferencePrice(ts_received_ns=mr.T0, reference_id="eth", sequence=4, trade_price_micros=7, **common),
    ):
        log.append("market", 0, record)
    market = MarketState()
    entries = written(ReplaySource(log, {0: Positions(len(log.lines["market", 0]))}))
    for position, record in enumerate(decoded(entries)):
        market.apply(position, record)
    prices = market.references.prices
    assert (prices["btc"].bid_price, prices["btc"].ask_price, prices["btc"].quoted) == (5, 6, True)
    assert (prices["eth"].bid_price, prices["eth"].ask_price, prices["eth"].quoted) == (7, 7, False)
    assert market.references.fresh(prices["btc"], market.now_ns, market.feed_stale_ns)


def test_what_contradicts_itself_is_not_a_part_of_the_state():
    log = MemoryLog({})
    rival = mr.instrument("polymarket:0xrival")
    for record in (
        *market_of(0),
        mr.instrument(mr.A),
        mr.instrument(mr.B),
        mr.pair(),
        rival,
        mr.pair(b=rival.instrument_id),
    ):
        log.append("market", 0, record)
    there = MarketState()
    for position, line in enumerate(log.lines["market", 0]):
        there.apply(position, CODEC.decode(line.value))
    source = ReplaySource(log, {0: Positions(len(log.lines["market", 0]))})
    records = decoded(written(source))
    assert list(there.identities.pairs) == ["pair"]
    assert "pair" not in {record.pair_id for record in records if isinstance(record, PairListed)}


def test_what_cannot_be_replayed_is_refused(log):
    with pytest.raises(LogError, match="no readable LogOpened"):
        ReplaySource(MemoryLog({}))
    gap = log.copy()
    del gap.lines["market", 0][50]
    with pytest.raises(LogError, match="has a gap before offset 51"):
        written(ReplaySource(gap))
    foreign = MemoryLog({})
    for record in market_of(20, digest="e" * 64):
        foreign.append("market", 0, record)
    with pytest.raises(CodeDigestError, match="decided by code eeeeeeeeeeee"):
        written(ReplaySource(foreign))


class Sink:
    """A producer that is full now and then."""

    def __init__(self, full_at=()):
        self.full_at = set(full_at)
        self.sent = []
        self.polls = 0

    def send_bytes(self, topic, value, *, key=None, partition=-1):
        assert topic == "market"
        if len(self.sent) in self.full_at:
            self.full_at.discard(len(self.sent))
            raise BufferFullError("full")
        self.sent.append((partition, key, value))

    def poll(self, timeout_s=0.0):
        self.polls += 1


def test_a_full_buffer_is_waited_for():
    entries = [Entry(0, b"k", bytes([n]), 0) for n in range(5)]
    sink = Sink(full_at=(0, 3))
    assert send_entries(iter(entries), sink, speed=0) == 5
    assert sink.sent == [(0, "k", bytes([n])) for n in range(5)]
    assert sink.polls == 2


@pytest.mark.parametrize(("speed", "took_s"), [(1, 4.0), (8, 0.5)])
def test_the_pace_is_the_records_own_time(speed, took_s):
    now = [100.0]
    entries = [Entry(0, None, b"", mr.T0 + n * 1_000_000_000) for n in range(5)]

    def pause(seconds):
        now[0] += seconds

    assert send_entries(iter(entries), Sink(), speed=speed, pause=pause, monotonic=lambda: now[0]) == 5
    assert now[0] == pytest.approx(100 + took_s)


def test_outputs_are_compared_with_the_source(log):
    target = MemoryLog({("market", 0): log.lines["market", 0]})
    write_decisions(target)
    source = ReplaySource(log)
    same = compare_outputs(source, target)
    assert [(one.topic, one.mismatches) for one in same] == [("signals", 0), ("intents", 0)]
    assert [one.compared for one in same] == [len(log.lines[topic, 0]) for topic in ("signals", "intents")]
    del target.lines["signals", 0][10]
    assert [one.mismatches for one in compare_outputs(source, target)] == [1, 0]
    target.decided[0] = 100  # as far as both have decided
    assert sum(one.compared for one in compare_outputs(source, target)) < sum(one.compared for one in same)


def test_what_was_never_decided_is_said_before_anything_starts(log, tmp_path):
    check_comparable(log)
    undecided = MemoryLog({("market", 0): log.lines["market", 0]})
    with pytest.raises(UsageError, match=r"holds no signals.*--no-compare"):
        check_comparable(undecided)
    quiet = log.copy()
    quiet.lines.pop(("intents", 0), None)
    check_comparable(quiet)  # a market in which nothing was worth an intent
    write_archive(log, tmp_path / "half", topics=["market", "signals"])
    with pytest.raises(UsageError, match=r"holds no intents.*--no-compare"):
        check_comparable(ArchiveLog(tmp_path / "half"))


def test_an_undecided_source_is_refused_with_nothing_there_to_start(log, tmp_path):
    source = ReplaySource(MemoryLog({("market", 0): log.lines["market", 0]}))
    settings = Settings(state_dir=str(tmp_path / "state"))
    with pytest.raises(UsageError, match="--no-compare"):
        run_replay(source, settings, ReplayOptions("again"))
    assert not (tmp_path / "state").exists()


def test_a_prefix_gets_its_dot():
    assert full_prefix("again") == full_prefix("again.") == "again."
    with pytest.raises(UsageError, match="is no prefix"):
        full_prefix("A gain")
