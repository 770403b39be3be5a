"""Kalshi's recorded books: each named defect in a small file."""

from collections import Counter
from itertools import pairwise

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossbook.market.market_state import MarketState
from crossbook.runtime.settings import Settings
from producers.errors import RecordingError
from producers.recordings import columns
from producers.recordings.kalshi_l2.open import BTC15M, GOLD15M, KalshiL2
from producers.recordings.timeline import WITNESS
from schemas.codec import load_codec
from schemas.records import (
    BookDelta,
    BookSnapshot,
    FeedStatus,
    InstrumentListed,
    InstrumentSettled,
    LogOpened,
    PublicTrade,
    ReferencePrice,
    ReferenceStatus,
)
from tests.builders.recordings.l2_files import (
    CLOSE_MS,
    DAY_MS,
    EMPTY,
    LATER,
    MS,
    TICKER,
    TRADE,
    book,
    change,
    event,
    folded,
    of_kind,
    run,
    write_events,
    write_fees,
)

ID = f"kalshi:{TICKER}"
START = book(0, 0, 1, (0, 4_000, 1_000), (0, 3_900, 500), (1, 5_500, 700))


def opened(tmp_path, rows, style=BTC15M, partitions=1, markets=(), **fees):
    folder = write_events(tmp_path / "recording", rows, markets)
    return KalshiL2(style, [folder], write_fees(tmp_path, **fees), partitions)


def imported(tmp_path, rows, **more):
    placed, report = run(opened(tmp_path, rows, **more))
    return placed, report, folded(placed)


def levels(state, instrument_id=ID):
    return state.books[instrument_id].book.levels()


def test_a_book_and_its_changes_in_yes_terms(tmp_path):
    rows = [
        *START,
        change(100, 1, 2, 0, 4_000, 250),
        change(200, 2, 3, 0, 3_900, -500),
        change(300, 3, 4, 1, 5_600, 300),
    ]
    placed, report, state = imported(tmp_path, rows)
    assert [type(one.record).__name__ for one in placed[:4]] == [
        "LogOpened", "FrictionPack", "StrategyConfigured", "MarketConfigured",
    ]  # fmt: skip
    assert of_kind(placed, LogOpened)[0].log_id == report.log_id
    (snapshot,) = of_kind(placed, BookSnapshot)
    assert (snapshot.bid_prices, snapshot.ask_prices) == ((400_000, 390_000), (450_000,))
    assert snapshot.ts_received_ns == DAY_MS * MS
    first, second, third = of_kind(placed, BookDelta)
    assert (first.bid_prices, first.bid_sizes) == ((400_000,), (12_500_000,))
    assert (first.ts_received_ns, first.ts_venue_ns) == ((DAY_MS + 100) * MS, (DAY_MS + 90) * MS)
    assert (second.bid_sizes, third.ask_prices, third.ask_sizes) == ((0,), (440_000,), (3_000_000,))
    assert [(d.previous_sequence, d.sequence) for d in (first, second, third)] == [(1, 2), (2, 3), (3, 4)]
    assert levels(state) == ((400_000,), (12_500_000,), (440_000, 450_000), (3_000_000, 7_000_000))
    assert (report.rows, report.books, report.dropped) == (6, 4, Counter())


def test_the_listing_says_close_strike_and_fees_and_the_payout_comes_after_the_close(tmp_path):
    placed, report, state = imported(tmp_path, START)
    active, closed = of_kind(placed, InstrumentListed)
    assert (active.status, closed.status) == ("active", "closed")
    assert active.ts_close_ns == CLOSE_MS * MS == closed.ts_received_ns
    assert "100.5" in active.title
    assert active.group == active.event_id == "kalshi:KXTEST15M-26MAY112015"
    assert active.fee_schedule.taker_rate_ppm == 70_000
    (settled,) = of_kind(placed, InstrumentSettled)
    assert settled.ts_received_ns > CLOSE_MS * MS
    assert "assumed" in settled.source
    assert state.settled == {ID: 1_000_000}
    assert report.counted["markets settled"] == 1
    states = [s.state for s in of_kind(placed, FeedStatus)]
    assert states[0] == "live"
    assert states[-1] == "ended"
    assert set(states[2:-1]) == {"down"}, "time goes on for the payout, but nobody claims that the feed lives"


def test_a_strike_is_not_told_before_the_window_opens(tmp_path):
    placed, *_ = imported(tmp_path, [{**row, "market": LATER} for row in START])
    assert all("100.5" not in listed.title for listed in of_kind(placed, InstrumentListed))


def test_rows_at_and_after_the_close_are_dropped(tmp_path):
    rows = [
        *START,
        change(899_999, 1, 2, 0, 4_000, 5),
        change(900_000, 2, 3, 0, 4_000, 5),
        event(EMPTY, 900_500, evt=3),
    ]
    placed, report, state = imported(tmp_path, rows)
    assert report.dropped == {"after the close": 2}
    assert len(of_kind(placed, BookDelta)) == 1
    assert not state.usable(ID)


def test_a_market_without_a_result_is_not_settled(tmp_path):
    placed, report, _ = imported(tmp_path, START, markets=[(TICKER, CLOSE_MS, "")])
    assert of_kind(placed, InstrumentSettled) == []
    assert report.counted["markets without a result"] == 1


def test_changes_before_a_snapshot_are_dropped(tmp_path):
    rows = [change(0, 0, 1, 0, 4_000, 5), change(1, 1, 2, 0, 4_000, 5), *book(5, 2, 3, (0, 100, 7))]
    _, report, state = imported(tmp_path, rows)
    assert report.dropped == {"change before a snapshot": 2}
    assert levels(state).bid_prices == (10_000,)


@pytest.mark.parametrize("gap", [{"evt": 3, "seq": 3}, {"evt": 2, "seq": 4}])
def test_a_gap_breaks_the_book_until_the_next_snapshot(tmp_path, gap):
    rows = [
        *START,
        change(10, 1, 2, 0, 4_000, 1),
        change(20, **gap, side=0, price=4_000, size=1),
        change(30, gap["evt"] + 1, gap["seq"] + 1, 0, 4_000, 1),
        *book(40, gap["evt"] + 2, gap["seq"] + 2, (0, 4_100, 900)),
        change(50, gap["evt"] + 3, gap["seq"] + 3, 0, 4_100, 100),
    ]
    placed, report, state = imported(tmp_path, rows)
    assert report.dropped == {"change of a book that is not trusted": 2}
    assert report.counted["gaps in the numbers of a market"] == 1
    (resync,) = [s for s in of_kind(placed, FeedStatus) if s.state == "resync"]
    assert (resync.instruments, resync.ts_received_ns) == ((ID,), (DAY_MS + 20) * MS)
    assert levels(state).bid_sizes == (10_000_000,)


def test_shared_numbers_may_jump_but_not_step_back(tmp_path):
    rows = [
        *START,
        change(10, 1, 20, 0, 4_000, 1),
        event(TRADE, 15, evt=2, seq=3, sid=2, size_1e2=100, taker=1),
        change(20, 3, 500, 0, 4_000, 1),
        change(30, 4, 499, 0, 4_000, 1),
    ]
    placed, report, _ = imported(tmp_path, rows, style=GOLD15M)
    assert len(of_kind(placed, BookDelta)) == 2
    assert report.dropped == {"change of a book that is not trusted": 1}


def test_a_subscription_made_anew_is_a_hole(tmp_path):
    rows = [
        *START,
        change(100, 1, 200, 0, 4_000, 1),
        *book(12_000, 2, 22, (0, 4_200, 900), (1, 5_000, 1)),
        change(12_100, 3, 30, 0, 4_200, -900),
    ]
    placed, report, state = imported(tmp_path, rows, style=GOLD15M)
    assert report.counted["subscriptions made anew"] == 1
    assert report.dropped == {}
    said = [(s.feed, s.state) for s in of_kind(placed, FeedStatus) if s.ts_received_ns < (DAY_MS + 12_000) * MS]
    assert ("kalshi", "down") in said
    assert levels(state)[:2] == ((), ())
    first, second = of_kind(placed, BookSnapshot)
    assert second.session > first.session


def test_sizes_below_zero_are_refused(tmp_path):
    rows = [*START, change(10, 1, 2, 0, 4_000, -1_001), change(20, 2, 3, 0, 4_000, 1), *book(30, 3, 4, (0, 100, 1))]
    placed, report, _ = imported(tmp_path, rows)
    assert report.dropped == {"size below zero": 1, "change of a book that is not trusted": 1}
    assert of_kind(placed, BookDelta) == []
    assert valid_after_books(placed) == [True, True]


def valid_after_books(placed):
    """After each book record: whether its book may be used."""
    state = MarketState()
    found = []
    for position, one in enumerate(placed):
        state.apply(position, one.record)
        if isinstance(one.record, BookSnapshot | BookDelta):
            found.append(state.usable(one.record.instrument_id))
    return found


def test_prices_off_the_grid_are_refused(tmp_path):
    rows = [*START, change(10, 1, 2, 0, 4_050, 10)]
    assert imported(tmp_path, rows)[1].dropped == {"price off the grid": 1}
    assert imported(tmp_path, rows, tick="0.001")[1].dropped == {}


@pytest.mark.parametrize(
    ("levels_", "why"),
    [
        ([(0, 4_000, 0)], "a snapshot with a size that is not positive"),
        ([(0, 4_000, 1), (0, 4_000, 2)], "a snapshot with a price twice"),
        ([(0, 4_000, 2**62)], "a snapshot with a size out of range"),
        ([(3, 4_000, 1)], "a snapshot with an unknown side"),
        ([(1, 10_000, 1)], "a snapshot with a price off the grid"),
    ],
)
def test_snapshots_that_are_no_book_are_refused(tmp_path, levels_, why):
    placed, report, _ = imported(tmp_path, [*book(0, 0, 1, *levels_), change(10, 1, 2, 0, 4_000, 1)])
    assert report.dropped == {why: len(levels_), "change of a book that is not trusted": 1}
    assert of_kind(placed, BookSnapshot) == []


def test_a_crossed_book_is_invalid_and_comes_back_whole(tmp_path):
    rows = [
        *START,
        change(10, 1, 2, 0, 4_500, 100),  # bid 0.45 meets the ask at 0.45
        change(20, 2, 3, 0, 4_600, 100),
        change(30, 3, 4, 0, 4_600, -100),
        change(40, 4, 5, 1, 5_500, -700),
        change(50, 5, 6, 0, 4_500, 50),
    ]
    placed, report, state = imported(tmp_path, rows)
    assert report.counted["crossed states"] == 3
    assert report.counted["books declared invalid"] == 1
    assert report.dropped == {}
    first, whole = of_kind(placed, BookSnapshot)
    assert whole.ts_received_ns == (DAY_MS + 40) * MS
    assert (whole.session, whole.sequence) == (first.session, first.sequence + 1)
    assert whole.bid_prices == (450_000, 400_000, 390_000)
    assert levels(state).bid_sizes[0] == 1_500_000
    assert valid_after_books(placed) == [True, True, True]


def test_a_hole_of_hours_is_said_as_one_and_time_goes_on_behind_it(tmp_path):
    later = [{**row, "market": LATER} for row in [*START, change(10, 1, 2, 0, 4_000, 1)]]
    rows = [*START, *({**row, "recv_ms": row["recv_ms"] + 7_200_000} for row in later)]
    markets = [(TICKER, CLOSE_MS, "yes"), (LATER, CLOSE_MS + 7_200_000, "no")]
    placed, report, state = imported(tmp_path, rows, markets=markets)
    assert report.counted["holes between markets"] == 1
    said = [(s.feed, s.state) for s in of_kind(placed, FeedStatus) if s.ts_received_ns == (DAY_MS + 7_200_000) * MS]
    assert said == [(WITNESS, "live"), ("kalshi", "live")], "a fold believes a jump of time only from two feeds"
    assert valid_after_books(placed) == [True, True, True]
    assert state.settled == {ID: 1_000_000, f"kalshi:{LATER}": 0}
    quiet = [one.ts_ns // MS - DAY_MS for one in placed if 911_000 < one.ts_ns // MS - DAY_MS < 7_200_000]
    assert quiet == [], "nothing is filled in"


def test_an_empty_snapshot_empties_the_book(tmp_path):
    rows = [*START, event(EMPTY, 10, evt=1, seq=2), change(20, 2, 3, 0, 4_000, 5)]
    placed, _, state = imported(tmp_path, rows)
    assert of_kind(placed, BookSnapshot)[1].bid_prices == ()
    assert levels(state) == ((400_000,), (50_000,), (), ())


def test_trades_say_who_took(tmp_path):
    more = {"sid": 2, "size_1e2": 150, "price_1e4": 4_500}
    rows = [
        *START,
        event(TRADE, 10, evt=1, seq=2, taker=0, **more),
        event(TRADE, 20, evt=2, seq=3, taker=1, **more),
        event(TRADE, 30, evt=3, seq=4, taker=-1, **more),
    ]
    placed, report, _ = imported(tmp_path, rows, style=GOLD15M)
    assert [(t.taker_side, t.price_micros, t.quantity_micros) for t in of_kind(placed, PublicTrade)] == [
        ("buy", 450_000, 1_500_000),
        ("sell", 450_000, 1_500_000),
    ]
    assert report.dropped == {"trade without price, size or side": 1}


def test_books_do_not_carry_over_between_sessions(tmp_path):
    rows = [
        *START,
        change(10, 1, 2, 0, 4_000, 1),
        change(60_000, 2, 1, 0, 4_000, 1, sid=1),
        *book(60_010, 3, 2, (0, 4_100, 900), sid=1),
    ]
    placed, report, state = imported(tmp_path, rows)
    assert report.dropped == {"change before a snapshot": 1}
    assert report.counted["sessions that ended"] == 1
    assert levels(state).bid_prices == (410_000,)
    kalshi = [s for s in of_kind(placed, FeedStatus) if s.feed == "kalshi"]
    down = [s.ts_received_ns for s in kalshi if s.state == "down" and s.ts_received_ns < (DAY_MS + 60_000) * MS]
    assert down[0] == (DAY_MS + 10 + 500) * MS
    assert len({s.session for s in kalshi}) == 2


def test_sessions_that_stand_out_of_order_are_sorted(tmp_path):
    early = [*START, change(10, 1, 2, 0, 4_000, 1)]
    late = [{**row, "sid": 1, "recv_ms": row["recv_ms"] + 60_000, "evt": row["evt"] + 2} for row in early]
    straight, _, _ = imported(tmp_path / "a", [*early, *late])
    turned, report, _ = imported(tmp_path / "b", [*late, *early])
    assert report.counted["blocks of rows out of order, sorted"] == 1
    assert [p.record for p in straight[1:]] == [p.record for p in turned[1:]]


def test_steps_of_time_back_are_clamped_and_counted(tmp_path):
    rows = [*START, change(500, 1, 2, 0, 4_000, 1), change(450, 2, 3, 0, 4_000, 1), change(600, 3, 4, 0, 4_000, 1)]
    placed, report, _ = imported(tmp_path, rows)
    assert [d.ts_received_ns // MS - DAY_MS for d in of_kind(placed, BookDelta)] == [500, 500, 600]
    assert report.counted["steps of time back, clamped"] == 1


def test_gold_replays_on_the_venues_clock_and_snapshots_take_the_next_stamp(tmp_path):
    rows = [
        *START,
        change(2_400, 1, 2, 0, 4_000, 1, ts_ms=DAY_MS - 5),
        change(2_500, 2, 3, 0, 4_000, 1, ts_ms=DAY_MS + 7),
    ]
    placed, _, _ = imported(tmp_path, rows, style=GOLD15M)
    assert of_kind(placed, BookSnapshot)[0].ts_received_ns == (DAY_MS - 5) * MS
    assert [d.ts_received_ns for d in of_kind(placed, BookDelta)] == [(DAY_MS - 5) * MS, (DAY_MS + 7) * MS]


def test_heartbeats_stand_every_half_second(tmp_path):
    rows = [*START, change(4_900, 1, 2, 0, 4_000, 1)]
    placed, *_ = imported(tmp_path, rows)
    live = [s.ts_received_ns for s in of_kind(placed, FeedStatus) if s.state == "live"]
    assert {b - a for a, b in pairwise(live)} == {500 * MS}
    assert len(live) == 11


def spot(folder, rows):
    names = ("recv_us", "ts_us", "price_1e2", "trade_id")
    pq.write_table(pa.table({n: pa.array(c, pa.int64()) for n, c in zip(names, zip(*rows, strict=True), strict=True)}),
                   folder / "spot_coinbase_btcusd.parquet")  # fmt: skip


def test_spot_trades_stand_on_the_same_clock(tmp_path):
    rows = [*START, change(100, 1, 2, 0, 4_000, 1), change(300, 2, 3, 0, 4_000, 1)]
    folder = write_events(tmp_path / "recording", rows)
    at = DAY_MS * 1_000
    spot(folder, [(at + 50_000, at, 8_000_000, 7), (at + 200_500, None, 8_000_001, 9), (at + 200_500, at, -1, 8),
                  (at + 30_000_000, at, 8_000_002, 10)])  # fmt: skip
    placed, report = run(KalshiL2(BTC15M, [folder], write_fees(tmp_path), 2))
    folded(placed, 0)
    folded(placed, 1)
    prices = [p.record for p in placed if isinstance(p.record, ReferencePrice) and p.partition == 1]
    assert [(p.trade_price_micros, p.sequence) for p in prices] == [
        (80_000_000_000, 7),
        (80_000_010_000, 9),
        (80_000_020_000, 10),
    ]
    assert prices[1].ts_received_ns == (DAY_MS * 1_000 + 200_500) * 1_000
    assert prices[2].session > prices[1].session
    order = [type(p.record).__name__ for p in placed if type(p.record) in {BookDelta, BookSnapshot, ReferencePrice}
             and p.partition == placed[[isinstance(q.record, BookSnapshot) for q in placed].index(True)].partition]  # fmt: skip
    assert order[:5] == ["BookSnapshot", "ReferencePrice", "BookDelta", "ReferencePrice", "BookDelta"]
    states = [s.state for s in of_kind(placed, ReferenceStatus)]
    assert states.count("down") == 4, "a hole and the end, in two partitions"
    assert report.counted["holes in the reference prices"] == 1
    assert report.dropped == {"reference price without time or price": 1}


def test_several_partitions_hold_one_log(tmp_path):
    rows = [*START, *book(1_000, 0, 1, (0, 4_000, 5), market=LATER), change(1_100, 1, 2, 0, 4_000, 5, market=LATER)]
    placed, _ = run(opened(tmp_path, rows, partitions=3))
    states = [folded(placed, partition) for partition in range(3)]
    assert sorted(name for state in states for name in state.books) == sorted([ID, f"kalshi:{LATER}"])


def test_batches_do_not_show(tmp_path, monkeypatch):
    rows = [
        *START,
        change(10, 1, 2, 0, 4_000, 1),
        *book(20, 2, 3, (0, 4_000, 9), (1, 5_000, 8)),
        change(30, 3, 4, 0, 4_000, 1),
    ]
    whole, _, _ = imported(tmp_path, rows)
    for size in (1, 2, 3, 5):
        monkeypatch.setattr(columns, "BATCH_ROWS", size)
        assert imported(tmp_path, rows)[0] == whole


def test_the_log_id_follows_files_fees_and_settings(tmp_path):
    base = opened(tmp_path, START)
    assert base.log_id(Settings()) == opened(tmp_path, START).log_id(Settings())
    assert base.log_id(Settings()) != base.log_id(Settings(decide={"min_edge_micros": 0}))
    assert base.log_id(Settings()) != opened(tmp_path, START, taker_rate="0.06").log_id(Settings())
    assert base.log_id(Settings()) != opened(tmp_path, START, style=GOLD15M).log_id(Settings())


def test_what_cannot_be_imported_is_refused_by_name(tmp_path):
    with pytest.raises(
        RecordingError, match=r"no schedule for kalshi KXTEST15M-26MAY112015-15 \(1 markets\).*KXTEST15M-\*"
    ):
        opened(tmp_path, START, id="KXOTHER-*")
    late, month = [{**row, "recv_ms": row["recv_ms"] + 30 * 86_400_000} for row in START], 30 * 86_400_000
    with pytest.raises(RecordingError, match="rows outside"):
        opened(tmp_path, late, markets=[(TICKER, CLOSE_MS + month, "yes")], until="2026-05-28")
    with pytest.raises(RecordingError, match=r"720\.0 hours from the windows"):
        opened(tmp_path, late)
    with pytest.raises(RecordingError, match="--fees FILE"):
        KalshiL2(BTC15M, [tmp_path / "recording"], None, 1)
    fees = write_fees(tmp_path)
    with pytest.raises(RecordingError, match="there is no such file"):
        KalshiL2(BTC15M, [tmp_path / "absent"], fees, 1)
    with pytest.raises(RecordingError, match="name the folder"):
        KalshiL2(BTC15M, [], fees, 1)
    (tmp_path / "recording" / "markets.csv").unlink()
    with pytest.raises(RecordingError, match=r"markets\*\.csv is missing"):
        KalshiL2(BTC15M, [tmp_path / "recording"], fees, 1)
    (tmp_path / "recording" / "markets.csv").write_text("market,close_time,result\nA,yesterday,yes\n")
    with pytest.raises(RecordingError, match="line 2"):
        KalshiL2(BTC15M, [tmp_path / "recording"], fees, 1)
    pq.write_table(pa.table({"evt": ["a"], "market": ["b"]}), tmp_path / "recording" / "events.parquet")
    (tmp_path / "recording" / "markets.csv").write_text("market,close_time,strike,result\n")
    with pytest.raises(RecordingError, match=r"missing: recv_ms.*evt \(string\)"):
        KalshiL2(BTC15M, [tmp_path / "recording"], fees, 1)


def test_rows_of_a_market_that_markets_csv_does_not_know_are_dropped(tmp_path):
    _, report, _ = imported(tmp_path, [*START, change(10, 1, 2, 0, 4_000, 1, market="KXTEST15M-X"), change(11, 9, 9, 0, 1, 1, market=None)])  # fmt: skip
    assert report.dropped == {"market not in markets.csv": 2}


def test_records_have_an_encoding(tmp_path):
    codec = load_codec()
    placed, *_ = imported(
        tmp_path, [*START, change(10, 1, 2, 0, 4_000, 1), event(TRADE, 20, evt=2, seq=3, size_1e2=5, taker=0)]
    )
    for one in placed:
        assert codec.decode(codec.encode(one.record)) == one.record
