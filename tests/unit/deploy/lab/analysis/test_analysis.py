"""The figures of a report: a small run summed on paper, parts that sum to the whole, and a real run that adds up."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.lab.analysis.analysis import analyse
from deploy.lab.analysis.distribution import Sharpe
from schemas.records import LatencyObserved, TopSeen
from tests.builders.logs.projected import like
from tests.builders.outcomes import (
    CONTRACT,
    DAY,
    MS,
    T0,
    A,
    B,
    S,
    blank,
    fill_of,
    golden,
    numbered,
    paid_out,
    simulated,
)


@pytest.fixture(scope="module")
def paper():
    return analyse(golden())


def test_totals_are_those_summed_on_paper(paper):
    totals = paper.totals
    # i1: 10 pairs pay 10.00 at worst - 9.10; i2: 2.05 - 2.10
    assert totals.gross_micros == 900_000 - 50_000
    assert totals.fee_micros == 104_000 + 60_000
    assert totals.net_micros == totals.locked_micros == 686_000
    assert (totals.marked_micros, totals.unwound_micros) == (0, -110_000)
    contracts = (totals.hedged_contracts_micros, totals.unwound_contracts_micros, totals.unmatched_contracts_micros)
    assert contracts == (10 * CONTRACT, 5 * CONTRACT, 0)
    assert totals.slippage_micros == 100_000 + 50_000
    assert (totals.edge_planned_micros, totals.edge_realised_micros) == (850_000, 746_000)


def test_counts_say_what_came_of_each_intent(paper):
    counts = paper.counts
    assert (counts.intents, counts.hedged, counts.unwound, counts.declined, counts.executed, counts.fills) == (
        3,
        1,
        1,
        1,
        2,
        4,
    )
    assert (counts.unfilled, counts.stuck, counts.open, counts.unseen) == (0, 0, 0, 0)
    assert [(one.reason, one.trades, one.edge_micros) for one in paper.declines] == [("pairs_open", 1, 325_000)]


def test_a_hedged_trade_is_the_view_s(paper):
    trade = paper.trades[0]
    assert trade.locked_micros == 10_000_000 - 9_100_000 - 104_000
    assert trade.edge_realised_micros == 796_000 - 20_000 - 30_000
    assert trade.capital_micros == 9_204_000
    assert trade.lockup_ns == DAY - S - 150 * MS
    # what is left after friction, on what was paid, over the day until the payout
    assert trade.annualised == pytest.approx(776_000 / 9_204_000 * 365 * DAY / trade.lockup_ns)
    assert paper.capital.annualised == pytest.approx(trade.annualised)
    assert paper.capital.peak_micros == 9_204_000
    assert [
        (leg.role, leg.price_planned_micros, leg.price_average_micros, leg.slippage_micros) for leg in trade.legs
    ] == [
        ("leader", 400_000, 400_000, 0),
        ("hedge", 500_000, 510_000, 100_000),
    ]
    assert trade.states == ("leading", "hedged")


def test_an_unwound_trade_holds_nothing(paper):
    trade = paper.trades[1]
    assert (trade.state, trade.reason, trade.net_micros, trade.unwound_micros) == (
        "flat",
        "adverse",
        -110_000,
        -110_000,
    )
    assert (trade.matched_micros, trade.unwound_contracts_micros) == (0, 5 * CONTRACT)
    assert (trade.edge_realised_micros, trade.capital_micros, trade.annualised) == (None, 0, None)


def test_equity_follows_what_was_known(paper):
    assert [(point.ts_ns - T0, point.equity_micros) for point in paper.equity] == [
        (0, 0),
        (S + 70 * MS, -160_000),  # ten at 40 that would bring 39, and the fee
        (S + 150 * MS, 796_000),  # both legs: they pay ten dollars at worst
        (20 * S + 70 * MS, 616_000),  # five at 42 that would bring 39, and the fee
        (20 * S + 90 * MS, 1_165_000),  # an execution that is reversed 5 ms later
        (20 * S + 95 * MS, 616_000),
        (22 * S, 686_000),  # sold at 41
        (60 * S, 686_000),  # neither a higher bid nor the first payout changes what is locked in
    ]
    fall = paper.drawdown
    assert (fall.depth_micros, fall.ts_peak_ns - T0, fall.ts_trough_ns - T0) == (
        549_000,
        20 * S + 90 * MS,
        20 * S + 95 * MS,
    )
    assert fall.ts_recovered_ns is None


def test_edges_live_until_price_ends_them(paper):
    assert [(one.life_ns, one.ending, one.fate, one.net_per_contract_micros) for one in paper.episodes] == [
        (1_500 * MS, "closed", "traded", 85_000),
        (250 * MS, "closed", "below_threshold", 20_000),
        (11 * S, "suspended", "traded", 65_000),
    ]
    assert paper.fates == {"traded": 2, "declined": 0, "below_threshold": 1, "no_intent": 0}
    assert (paper.life_ns.n, paper.life_ns.maximum) == (2, 1_500 * MS)


def test_the_near_miss_waterfall_adds_up(paper):
    missed = paper.waterfalls[0]
    assert (missed.count, missed.gross_micros, missed.fees_micros) == (
        1,
        1_000_000,
        {"polymarket": 700_000, "kalshi": 50_000},
    )
    assert (missed.friction_micros, missed.lockup_micros, missed.net_micros, missed.threshold_micros) == (
        20_000,
        30_000,
        200_000,
        25_000,
    )
    for one in paper.waterfalls[:2]:
        left = one.gross_micros - sum(one.fees_micros.values()) - one.friction_micros - one.lockup_micros
        assert left == one.net_micros


def test_breakdowns_and_rates(paper):
    assert [(one.key, one.net_micros, one.trades) for one in paper.by_venue] == [
        ("kalshi + polymarket", 796_000, 1),
        ("polymarket", -110_000, 1),
    ]
    assert [(one.key, one.net_micros) for one in paper.by_hour] == [("20", 686_000)]
    assert paper.hit_rate == 0.5
    assert paper.independent_trades == 2
    assert paper.sharpe is None  # of two results nothing can be said


def test_latency_by_stream_time_and_by_the_wall():
    observed = like(LatencyObserved, kind="tick_to_plan", latency_ns=4 * MS, trade_id="i1")
    outcome = golden(journal=(*golden().journal, observed))
    rows = {(row.clock, row.name): (row.ns.n, row.ns.p50) for row in analyse(outcome).latencies}
    assert rows == {
        ("stream", "intent → plan"): (2, 0),
        ("stream", "plan → first fill"): (2, 70 * MS),
        ("stream", "plan → both legs held"): (1, 150 * MS),
        ("stream", "request → first report, polymarket"): (1, 70 * MS),
        ("stream", "request → first report, kalshi"): (1, 80 * MS),
        ("wall", "tick → plan committed"): (1, 4 * MS),
    }


def test_nothing_happened():
    found = analyse(blank())
    assert found.totals.net_micros == found.counts.intents == found.independent_trades == 0
    assert (found.hit_rate, found.sharpe, found.life_ns, found.drawdown) == (None, None, None, None)
    assert [point.equity_micros for point in found.equity] == [0, 0]


def test_a_real_run_adds_up():
    found = analyse(simulated(seed=3, seconds=900))
    assert found.counts.hedged >= 3
    ended = found.counts.declined + found.counts.executed + found.counts.unfilled
    assert ended == found.counts.intents
    assert found.equity[-1].equity_micros == found.totals.net_micros
    assert sum(trade.net_micros for trade in found.trades) == found.totals.net_micros
    assert sum(found.fates.values()) == len(found.episodes) > 10
    assert isinstance(found.sharpe, Sharpe)
    assert found.independent_trades <= found.counts.executed


FILL = st.builds(
    fill_of,
    number=st.integers(0, 10**6),
    trade=st.sampled_from(("t1", "t2", "t3")),
    instrument_id=st.sampled_from((A, B, "kalshi:C")),
    outcome=st.sampled_from(("yes", "no")),
    side=st.sampled_from(("buy", "sell")),
    price=st.integers(1_000, 999_000),
    quantity=st.integers(1, 10**9),
    fee=st.integers(-1_000, 10**6),
    ts_ns=st.integers(T0, T0 + DAY),
)
TOP = st.builds(
    lambda ts_ns, name, bid, ask, usable: like(
        TopSeen,
        sequence=0,
        ts_ns=ts_ns,
        partition=0,
        instrument_id=name,
        usable=usable,
        bid_price_micros=bid,
        ask_price_micros=ask,
    ),
    st.integers(T0, T0 + DAY),
    st.sampled_from((A, B, "kalshi:C")),
    st.none() | st.integers(0, 10**6),
    st.none() | st.integers(0, 10**6),
    st.booleans(),
)
PAID = st.builds(paid_out, st.sampled_from((A, B)), st.integers(0, 10**6), st.integers(T0, T0 + 2 * DAY))


@settings(max_examples=150)
@given(
    fills=st.lists(FILL, max_size=25, unique_by=lambda fill: fill.fill_id),
    tops=st.lists(TOP, max_size=25),
    paid=st.lists(PAID, max_size=3),
)
def test_parts_sum_to_the_whole_and_the_curve_ends_at_it(fills, tops, paid):
    journal, numbered_fills = numbered((*tops, *paid), fills)
    found = analyse(blank(fills=numbered_fills, journal=journal, ts_last_ns=T0 + DAY))
    net = found.totals.net_micros
    for part in (found.by_pair, found.by_venue, found.by_category, found.by_hour):
        assert sum(one.net_micros for one in part) == net
        assert all(one.gross_micros - one.fee_micros == one.net_micros for one in part)
    assert found.equity[-1].equity_micros == net
    assert found.totals.locked_micros + found.totals.marked_micros == net
    stamps = [point.ts_ns for point in found.equity]
    assert stamps == sorted(set(stamps))
    assert all(point.drawdown_micros >= 0 for point in found.equity)
