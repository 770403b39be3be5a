"""What is due before a record sees the books before it: tops, matches and timers stand at their own moment, at any batch."""

import bisect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.market.feed_clock import FeedClock
from crossbook.market.market_state import MarketState
from executors.engine import Engine
from executors.terms import ExecuteTerms, PaperTerms, Terms
from schemas.records import OrderReport, OrderRequested, TimerFired, TopSeen, TradePlan
from tests.builders.executors.worlds import (
    CONTRACT,
    KA,
    MS,
    PM,
    T0,
    S,
    delta,
    feed_all,
    head,
    intent,
    leg,
    make_world,
    run_world,
    snapshot,
    status,
    watermark,
)

ROUGH = Terms(
    execute=ExecuteTerms(pairs_open_max=20, cost_per_leg_micros=2_500_000_000),
    paper=PaperTerms(vanish_ppm=250_000, partial_ppm=200_000, reject_ppm=80_000, late_ppm=150_000, reverse_ppm=100_000),
)


def moments(records):
    """Stream time after each position, and the levels of every book then."""
    market, found = MarketState(), []
    for position, record in enumerate(records):
        reach_ns = market.reach_ns(record)
        market.apply(position, record)
        assert market.now_ns == reach_ns, "what a record will reach is what it reaches"
        found.append((market.now_ns, {name: state.book.levels() for name, state in market.books.items()}))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_everything_happens_between_the_record_before_and_the_record_after_it(seed):
    world = make_world(seed, 900)
    stream = moments(world[0])
    written = run_world(world, ROUGH)[1]
    kinds = (TopSeen, TimerFired, OrderReport)
    for one in (r for r in written if isinstance(r, kinds)):
        assert stream[one.position][0] <= one.ts_ns, "the books shown are no younger than the moment"
        assert one.position + 1 == len(stream) or one.ts_ns <= stream[one.position + 1][0], (
            "nor older than they must be"
        )
    assert any(isinstance(r, kinds) and r.ts_ns > stream[r.position][0] for r in written), (
        "some fell between two records"
    )


@pytest.mark.parametrize("seed", range(4))
def test_a_match_takes_levels_of_the_book_that_stood_when_the_order_arrived(seed):
    world = make_world(seed, 900)
    stream = moments(world[0])
    times = [now_ns for now_ns, _ in stream]
    written = run_world(world, ROUGH)[1]
    requests = {r.order_id: r for r in written if isinstance(r, OrderRequested)}
    fills = [r for r in written if isinstance(r, OrderReport) and r.last_quantity_micros and not r.reversed]
    for fill in fills:
        request = requests[fill.order_id]
        after = bisect.bisect_right(times, fill.ts_venue_ns) - 1
        yes = fill.last_price_micros if request.outcome == "yes" else 1_000_000 - fill.last_price_micros
        books = [stream[n][1][request.instrument_id] for n in {bisect.bisect_left(times, fill.ts_venue_ns) - 1, after}]
        asks = (request.side == "buy") == (request.outcome == "yes")
        assert any(yes in (book.ask_prices if asks else book.bid_prices) for book in books)
    assert len(fills) > 5


def between(later_ns):
    """An intent at T0 whose leader arrives 50 ms later; the next record takes its level away `later_ns` after T0."""
    book = ([(390_000, 50 * CONTRACT)], [(400_000, 50 * CONTRACT)])
    records = [
        *head(),
        snapshot(PM, T0, *book),
        snapshot(KA, T0, [(500_000, 50 * CONTRACT)], [(510_000, 50 * CONTRACT)]),
    ]
    at = len(records) - 1
    gone = delta(PM, T0 + later_ns, 2, asks=[(400_000, 0), (450_000, 50 * CONTRACT)])
    records += [gone, status("kalshi", T0 + 400 * MS), status("polymarket", T0 + 400 * MS)]
    wanted = intent(leg_a=leg(PM, "yes", 400_000), leg_b=leg(KA, "no", 500_000), position=at)
    engine = Engine([0])
    engine.configure(Terms(), portfolio="main", code_digest="d")
    written = feed_all(engine, records, [wanted], [watermark(len(records) - 1, 1)], batch=1)
    assert any(isinstance(r, TradePlan) for r in written)
    reports = [
        r for r in written if isinstance(r, OrderReport) and r.order_id == "main-i1-l1" and r.order_status != "delayed"
    ]
    return at, reports[0]


def test_an_order_that_arrives_before_a_record_meets_the_book_before_it():
    at, report = between(51 * MS)
    assert (report.order_status, report.ts_venue_ns, report.ts_ns) == ("filled", T0 + 50 * MS, T0 + 70 * MS)
    assert report.position == at + 1, "and its report comes after that record, at its own time"
    assert between(50 * MS)[1].order_status == "canceled", "at the same moment the record comes first"
    assert between(49 * MS)[1].order_status == "canceled"


def test_a_feed_that_fell_silent_before_a_moment_is_stale_at_that_moment():
    """Nothing is folded for three seconds; what is due within them must not take the last heartbeat for a fresh one."""
    market = MarketState()
    for position, record in enumerate([*head(), snapshot(PM, T0, [], [(400_000, CONTRACT)])]):
        market.apply(position, record)
    assert market.usable(PM) and market.usable(PM, T0 + 2 * S)
    assert not market.usable(PM, T0 + 2 * S + 1)
    assert market.usable(PM, T0 - S), "never before what was folded"


STAMPS = st.lists(st.tuples(st.sampled_from(("a", "b", "c", None)), st.integers(-3_000, 6_000)), max_size=40)


@given(STAMPS)
def test_the_clock_says_beforehand_what_a_stamp_will_make_of_it(stamps):
    clock, at = FeedClock(), 10_000
    for feed, step in stamps:
        stamp = at + step
        said = clock.reach(stamp, feed, 2_000)
        clock.advance(stamp, feed, 2_000)
        assert clock.now_ns == said
        at = max(at, stamp - 1_000)


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_batches_do_not_show_in_what_falls_between_records(batch):
    world = make_world(11, 900)
    assert run_world(world, ROUGH, batch)[1] == run_world(world, ROUGH, 33)[1]
