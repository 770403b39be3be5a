"""The stream: positions, changed records, and what a feed latency does to order and time."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.market.configuration import settings_of
from crossbook.runtime.settings import BacktestSettings
from deploy.lab.backtest.feed import Delayed, Preparation, market_records
from deploy.lab.backtest.models import make_feed_latency
from processors.decide.settings import in_ns
from processors.errors import InputError
from schemas.records import InstrumentListed, LogOpened
from tests.builders.logs.live import CODEC, lines, market
from tests.builders.logs.memory import MemoryLog

MS = 1_000_000
RECORDS = market(600, 2)


def delayed(text, stamp="received", seed=7, records=RECORDS):
    latency = make_feed_latency(BacktestSettings(feed_latency=text, feed_stamp=stamp), seed)
    stream = Delayed(iter(enumerate(records)), latency)
    return list(stream), stream


def by_feed(records):
    found = {}
    for record in records:
        if (feed := getattr(record, "feed", None)) is not None:
            found.setdefault(feed, []).append(record)
    return found


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6), stamp=st.sampled_from(["received", "venue"]),
    text=st.sampled_from(["constant:30", "lognormal:30/400", "lognormal:polymarket=100/900,kalshi=1/2"]),
)  # fmt: skip
def test_nothing_is_lost_the_order_within_a_feed_stays_and_time_is_monotone(seed, stamp, text):
    placed, stream = delayed(text, stamp, seed)
    assert [position for position, _ in placed] == list(range(len(RECORDS)))
    assert isinstance(placed[0][1], LogOpened)
    for feed, records in by_feed([r for _, r in placed]).items():
        originals = by_feed(RECORDS)[feed]
        assert [msgspec.structs.replace(r, ts_received_ns=0) for r in records] == [
            msgspec.structs.replace(r, ts_received_ns=0) for r in originals
        ]
        stamps = [r.ts_received_ns for r in records]
        assert stamps == sorted(stamps)
    stamps = [r.ts_received_ns for _, r in placed if getattr(r, "feed", None)]
    assert stamps == sorted(stamps) and not stream.late


def test_a_constant_latency_moves_every_stamp_by_it():
    placed, _ = delayed("constant:kalshi=40")
    moved = by_feed([r for _, r in placed])["kalshi"]
    assert [r.ts_received_ns for r in moved] == [r.ts_received_ns + 40 * MS for r in by_feed(RECORDS)["kalshi"]]
    assert by_feed([r for _, r in placed])["polymarket"] == by_feed(RECORDS)["polymarket"]


def test_another_latency_is_another_log():
    logs = {delayed(text)[0][0][1].log_id for text in ("constant:1", "constant:2", "lognormal:1/2")}
    assert len(logs | {RECORDS[0].log_id}) == 4


def test_records_that_no_feed_wrote_keep_stamp_and_place():
    placed, _ = delayed("constant:500")
    names = [r.instrument_id for _, r in placed if isinstance(r, InstrumentListed)]
    assert names == [r.instrument_id for r in RECORDS if isinstance(r, InstrumentListed)]
    assert {r.ts_received_ns for _, r in placed if isinstance(r, InstrumentListed)} == {RECORDS[0].ts_received_ns}


def test_positions_begin_with_log_opened():
    head = msgspec.structs.replace(RECORDS[0], base_offset=2)
    log = MemoryLog({("market", 0): lines([*RECORDS[1:3], head, *RECORDS[1:20]])})
    found = list(market_records(log, CODEC, 0))
    assert found[0] == (0, head) and found[-1][0] == 19
    with pytest.raises(InputError, match="names offset 2"):
        list(market_records(MemoryLog({("market", 0): lines([head])}), CODEC, 0))


def test_preparation_changes_what_it_is_told_and_nothing_else():
    fields = in_ns({"cooldown_ms": 5, "close_window_s": 2, "min_edge_micros": 9, "jump_ms": 3})
    assert fields == {"cooldown_ns": 5 * MS, "close_window_ns": 2_000 * MS, "min_edge_micros": 9, "jump_ns": 3 * MS}
    prepare = Preparation(decide=fields, digest="d", taker_delay_ms=7)
    pair, market = prepare(RECORDS[1]), prepare(RECORDS[2])
    before, after = settings_of(RECORDS[1]), settings_of(pair)
    assert {name: value for name, value in after.items() if value != before[name]} == {
        "cooldown_ns": str(5 * MS), "close_window_ns": str(2_000 * MS), "min_edge_micros": "9",
    }  # fmt: skip
    assert market == msgspec.structs.replace(RECORDS[2], code_digest="d", jump_ns=3 * MS)
    assert (prepare.market, prepare.pair, pair.code_digest) == (market, after, "d")
    assert prepare.others == {RECORDS[2].code_digest}
    listing = next(r for r in RECORDS if isinstance(r, InstrumentListed))
    assert prepare(listing).taker_delay_ms == 7
    assert prepare(RECORDS[-1]) is RECORDS[-1]
