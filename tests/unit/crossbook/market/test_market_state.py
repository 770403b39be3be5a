"""Which book events count, and which books may be used. Each row of the table is one history of instrument A."""

import msgspec
import pytest

from crossbook.market.market_state import MarketState
from crossbook.venues.policies import POLICIES
from schemas.records import InstrumentMoved, InstrumentSettled, PriceRange, PublicTrade, TopOfBook
from tests.builders import market_records as mr
from tests.builders.market_records import CONTRACT, MS, T0, A, B

BID, ASK = [(400_000, 5 * CONTRACT)], [(410_000, 5 * CONTRACT)]
START = [
    mr.opened(),
    *mr.settings(),
    mr.instrument(A),
    mr.instrument(B),
    mr.status("kalshi", T0),
    mr.status("polymarket", T0),
]


def snap(sequence=1, *, bids=BID, asks=ASK, ts_ns=T0, instrument_id=A, **changes):
    return mr.snapshot(instrument_id, ts_ns, sequence, bids=bids, asks=asks, **changes)


def change(sequence, price=400_000, size=7 * CONTRACT, *, ts_ns=T0, **changes):
    return mr.delta(A, ts_ns, sequence, bids=[(price, size)], **changes)


def fold(records, market=None):
    market = MarketState() if market is None else market
    return market, [market.apply(market.position + 1, record) for record in records]


#: name: (records, kind and reason of the last change, valid, reason, best bid size in contracts)
TABLE = {
    "a delta follows its snapshot": ([snap(), change(2)], "book", "", True, "", 7),
    "a delta without a book": ([change(2)], "none", "no_snapshot", None, None, None),
    "a duplicate": ([snap(), change(2), change(2, size=9 * CONTRACT)], "none", "duplicate", True, "", 7),
    "reordered: the later one first": ([snap(), change(3), change(2)], "none", "hole", False, "hole", 5),
    "a hole": ([snap(), change(3)], "book", "hole", False, "hole", 5),
    "a hole is mended by a snapshot": ([snap(), change(3), snap(4)], "book", "", True, "", 5),
    "a hole is not mended by an old snapshot": ([snap(2), change(4), snap(1)], "none", "duplicate", False, "hole", 5),
    "an older session's delta": ([snap(session=2), change(2)], "none", "old_session", True, "", 5),
    "an older session's snapshot": ([snap(session=2), snap(9)], "none", "old_session", True, "", 5),
    "a newer session's delta": ([snap(), change(2, session=2)], "book", "session", False, "session", 5),
    "a newer session's snapshot": ([snap(9), snap(1, session=2), change(2, session=2)], "book", "", True, "", 7),
    "another feed's delta": ([snap(), change(2, feed="rest")], "none", "other_feed", True, "", 5),
    "another feed's snapshot": ([snap(), snap(7, feed="rest"), change(8, feed="rest")], "book", "", True, "", 7),
    "a second producer of the same feed": (
        [snap(), mr.status("kalshi", T0, session=2), snap(1, session=2), change(2), mr.status("kalshi", T0)],
        "none",
        "old_session",
        True,
        "",
        5,
    ),
    "the feed's newer session ends the older one's books": (
        [snap(), mr.status("kalshi", T0, session=2)],
        "feed",
        "live",
        False,
        "session",
        5,
    ),
    "the feed's newer session forbids older snapshots": (
        [mr.status("kalshi", T0, session=2), snap()],
        "none",
        "old_session",
        None,
        None,
        None,
    ),
    "an equal keyframe": ([snap(), snap(1, keyframe=True)], "none", "keyframe", True, "", 5),
    "a keyframe that took a number": ([snap(), snap(2, keyframe=True), change(3)], "book", "", True, "", 7),
    "a different keyframe": ([snap(), snap(1, bids=[(390_000, CONTRACT)], keyframe=True)], "book", "", True, "", 1),
    "a keyframe starts a book": ([snap(4, keyframe=True), change(5)], "book", "", True, "", 7),
    "crossed": ([snap(), change(2, 410_000)], "book", "", False, "crossed", 7),
    "crossed, then uncrossed by a delta": (
        [snap(), change(2, 410_000), change(3, 410_000, 0)],
        "none",
        "crossed",
        False,
        "crossed",
        7,
    ),
    "crossed, then a snapshot": ([snap(), change(2, 410_000), snap(3)], "book", "", True, "", 5),
    "off the grid": ([snap(), change(2, 400_500)], "book", "off_grid", False, "off_grid", 5),
    "off the grid in a snapshot": ([snap(bids=[(400_500, 1)])], "none", "off_grid", False, "off_grid", None),
    "a negative size": ([snap(), change(2, size=-1)], "book", "malformed", False, "malformed", None),
    "size 0 in a snapshot": ([snap(), snap(2, bids=[(400_000, 0)])], "book", "malformed", False, "malformed", 5),
    "a price twice": ([snap(bids=BID + BID)], "none", "malformed", False, "malformed", None),
    "down": ([snap(), mr.status("kalshi", T0, state="down")], "feed", "down", False, "feed_down", 5),
    "resync": (
        [snap(), mr.status("kalshi", T0, state="resync", instruments=(A,))],
        "feed",
        "resync",
        False,
        "resync",
        5,
    ),
    "resync of others": (
        [snap(), mr.status("kalshi", T0, state="resync", instruments=(B,))],
        "feed",
        "resync",
        True,
        "",
        5,
    ),
    "ended": ([snap(), mr.status("kalshi", T0, state="ended")], "feed", "ended", True, "", 5),
    "a coarser grid": (
        [
            snap(bids=[(401_000, CONTRACT)]),
            mr.instrument(A, grid=(PriceRange(start_micros=10_000, end_micros=990_000, tick_micros=10_000),)),
        ],
        "instrument",
        "",
        False,
        "off_grid",
        1,
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_books(name):
    records, kind, why, valid, reason, size = TABLE[name]
    market, changes = fold(START + records)
    assert (changes[-1].kind, changes[-1].reason) == (kind, why)
    state = market.books.get(A)
    if valid is None:
        assert state is None
        return
    assert (state.valid, state.reason) == (valid, reason)
    best = state.book.best_bid
    assert (None if best is None else best[1] // CONTRACT) == size


@pytest.mark.parametrize(
    ("name", "crossed_book", "after"),
    [
        (A, "suspended", (True, "")),
        (A, "broken", (False, "crossed")),
        (B, "suspended", (True, "")),
        (B, "broken", (False, "crossed")),
        (A, "a word of later", (False, "crossed")),
    ],
)
def test_what_a_crossing_means_is_the_listing_s_word(name, crossed_book, after):
    policy = msgspec.structs.replace(POLICIES["kalshi"], crossed_book=crossed_book)
    crossed = mr.delta(name, T0, 2, bids=[(410_000, CONTRACT)])
    uncrossed = mr.delta(name, T0, 3, bids=[(410_000, 0)])
    records = [*START, snap(instrument_id=name), mr.instrument(name, policy=policy), crossed]
    market, _ = fold(records)
    assert (market.books[name].valid, market.books[name].reason) == (False, "crossed")
    fold([uncrossed], market)
    assert (market.books[name].valid, market.books[name].reason) == after


def test_a_crossing_before_its_listing_needs_a_snapshot():
    market, _ = fold([mr.opened(), mr.configured(), snap(instrument_id=B, bids=[(420_000, CONTRACT)])])
    fold([mr.instrument(B), mr.delta(B, T0, 2, bids=[(420_000, 0)])], market)
    assert (market.books[B].valid, market.books[B].reason) == (False, "crossed")
    fold([snap(3, instrument_id=B, bids=[(420_000, CONTRACT)]), mr.delta(B, T0, 4, bids=[(420_000, 0)])], market)
    assert market.books[B].valid


def test_a_crossed_polymarket_book_is_suspended_only_while_it_is_crossed():
    cross = mr.delta(B, T0, 2, bids=[(410_000, CONTRACT)])
    uncross = mr.delta(B, T0, 3, bids=[(410_000, 0)])
    market, _ = fold([*START, snap(instrument_id=B), cross])
    assert (market.books[B].valid, market.books[B].reason, market.usable(B)) == (False, "crossed", False)
    assert market.books[B].crossings == 1
    _, (change_,) = fold([uncross], market)
    assert (market.usable(B), change_.top_changed) == (True, True)


def test_a_streaming_book_is_fresh_as_long_as_its_feed_speaks():
    market, _ = fold([*START, snap()])
    fold([mr.status("polymarket", T0 + 2_000 * MS)], market)
    assert market.usable(A)
    fold([mr.status("polymarket", T0 + 2_001 * MS)], market)
    assert not market.usable(A)
    fold([mr.status("kalshi", T0 + 2_500 * MS)], market)
    assert market.usable(A)
    fold([mr.status("kalshi", T0 + 2_600 * MS, state="ended")], market)
    assert not market.usable(A)


def test_a_polled_book_is_fresh_by_its_own_age():
    market, changes = fold([*START, snap(delivery="polled")])
    assert changes[-1].refreshed
    fold([mr.status("polymarket", T0 + 2_000 * MS), mr.status("kalshi", T0 + 2_000 * MS, state="ended")], market)
    assert market.usable(A)
    fold([mr.status("polymarket", T0 + 2_001 * MS)], market)
    assert not market.usable(A)
    _, (keyframe, poll) = fold(
        [
            snap(ts_ns=T0 + 2_100 * MS, delivery="polled", keyframe=True),
            snap(2, ts_ns=T0 + 2_100 * MS, delivery="polled"),
        ],
        market,
    )
    assert (keyframe.kind, poll.refreshed, poll.top_changed, market.usable(A)) == ("none", True, False, True)


def test_a_polled_book_from_the_future_is_not_fresh_for_ever():
    market, _ = fold([*START, snap(ts_ns=T0 + 90_000 * MS, delivery="polled")])
    assert market.suspect
    fold([mr.status(feed, T0 + n * 1_000 * MS) for n in range(1, 5) for feed in ("kalshi", "polymarket")], market)
    assert not market.suspect
    assert not market.usable(A)


@pytest.mark.parametrize(
    "record",
    [
        mr.instrument(A, status="closed"),
        InstrumentSettled(ts_received_ns=T0, instrument_id=A, payout_yes_micros=0, source=""),
        InstrumentMoved(ts_received_ns=T0, instrument_id=A, group_from="group", group_to="other"),
        mr.instrument(A, grid=()),
        mr.instrument(A, fee_schedule=msgspec.structs.replace(mr.KALSHI_FEES, taker_rate_ppm=1)),
    ],
    ids=["closed", "settled", "moved", "no grid", "a fee schedule that is not its hash"],
)
def test_what_makes_an_instrument_unusable(record):
    market, _ = fold([*START, snap()])
    assert market.usable(A)
    fold([record], market)
    assert not market.usable(A)


def at(ms):
    return mr.status("kalshi", T0 + ms * MS)


def test_the_clock_opens_and_closes_a_market_whatever_its_status_says():
    market, _ = fold([*START, mr.instrument(A, ts_open_ns=T0 + 100 * MS, ts_close_ns=T0 + 300 * MS), snap()])
    seen = {ms: (fold([at(ms)], market) and market.usable(A)) for ms in (0, 99, 100, 299, 300, 900)}
    assert seen == {0: False, 99: False, 100: True, 299: True, 300: False, 900: False}
    assert market.hours(A).shut == "after_close"
    fold([mr.instrument(A, T0 + 900 * MS, ts_close_ns=T0 + 2_000 * MS)], market)
    assert market.usable(A)


def test_a_venue_that_does_not_trade_shuts_its_own_markets_alone():
    market, _ = fold([*START, snap(), snap(instrument_id=B)])
    _, changes = fold([mr.venue(trading=False), mr.venue(trading=False, keyframe=True)], market)
    assert [one.kind for one in changes] == ["venue", "none"]
    assert (market.usable(A), market.usable(B)) == (False, True)
    fold([mr.venue()], market)
    assert market.usable(A)
    fold([mr.venue(shards=(3,))], market)
    assert market.usable(A)
    fold([mr.instrument(A, shard=3)], market)
    assert not market.usable(A)


def test_a_payout_is_never_replaced_by_another():
    def settled(payout):
        return InstrumentSettled(ts_received_ns=T0, instrument_id=A, payout_yes_micros=payout, source="")

    market, changes = fold([*START, settled(CONTRACT), settled(CONTRACT), settled(0)])
    assert [(one.kind, one.reason) for one in changes[-3:]] == [
        ("settled", ""),
        ("none", "keyframe"),
        ("none", "settled_otherwise"),
    ]
    assert (market.settled, market.contradicted) == ({A: CONTRACT}, {A: 0})


def test_the_fee_schedule_in_force_is_a_question_of_time():
    changes_ = tuple(mr.fees_from(T0 + ms * MS, mr.KALSHI_FEES, taker_rate_ppm=ms) for ms in (100, 200))
    market, _ = fold([*START, mr.instrument(A, fee_changes=changes_)])
    rates = [market.schedule(A, T0 + ms * MS).taker_rate_ppm for ms in (0, 99, 100, 199, 200, 10**6)]
    assert rates == [70_000, 70_000, 100, 100, 200, 200]
    assert A not in market.refused
    backwards, _ = fold([*START, mr.instrument(A, fee_changes=changes_[::-1])])
    assert "not after" in backwards.refused[A]
    unknown = msgspec.structs.replace(changes_[0], hash="")
    assert A in fold([*START, mr.instrument(A, fee_changes=(unknown,))])[0].refused


def test_unchanged_listings_are_no_change():
    market, _ = fold([*START, mr.pair(), mr.friction()])
    later = T0 + 100 * MS
    again = [
        mr.instrument(A, later, volume_micros=9, keyframe=True),
        mr.pair(later, keyframe=True),
        mr.friction(later),
        *mr.settings(later, control_offset=7),
        mr.opened(later),
    ]
    _, changes = fold(again, market)
    assert {one.kind for one in changes} == {"none"}
    assert market.log_id == mr.LOG_ID


def test_what_does_not_belong_to_market_changes_nothing():
    stray = TopOfBook(
        ts_ns=T0,
        log_id="",
        partition=0,
        position=0,
        index=0,
        instrument_id=A,
        valid=True,
        fresh=True,
        ts_received_ns=T0,
    )
    trade = PublicTrade(
        ts_received_ns=T0,
        instrument_id=A,
        feed="kalshi",
        session=1,
        trade_id="",
        price_micros=1,
        quantity_micros=1,
        taker_side="buy",
    )
    _, changes = fold([*START, stray, trade, msgspec.structs.replace(trade, session=0)])
    assert [one.kind for one in changes[-3:]] == ["none", "trade", "none"]
