"""A group that moves away under a trade: no producer of today does that, and an executor that reads an old log must not guess."""

import pytest

from executors.engine import refold
from schemas.records import InstrumentMoved, OrderReport, OrderRequested, TopSeen
from tests.builders.executors.journals import journal_of, venue_holds, verified
from tests.builders.executors.worlds import (
    CONTRACT,
    KA,
    MS,
    PM,
    T0,
    head,
    intent,
    listed,
    run_world,
    snapshot,
    status,
    watermark,
)


def moved(instrument_id, ts_ns):
    return InstrumentMoved(ts_received_ns=ts_ns, instrument_id=instrument_id, group_from="g", group_to="a")


def moved_under_a_trade(*then, until=80):
    """An engine that opened a trade at T0; `then` come in the log at their own stamps, between heartbeats."""
    start = [*head(), snapshot(PM, T0, [(390_000, 100 * CONTRACT)], [(400_000, 100 * CONTRACT)])]
    start.append(snapshot(KA, T0, [(500_000, 100 * CONTRACT)], [(510_000, 100 * CONTRACT)]))
    ticks = [status(venue, T0 + n * 10 * MS + MS) for n in range(1, until * 100) for venue in ("polymarket", "kalshi")]
    rest = sorted([*then, *ticks], key=lambda r: r.ts_received_ns)
    records = [*start, *rest]
    world = (
        records,
        [intent(1, position=len(start) - 1, valid_until_ns=T0 + 500 * MS)],
        [watermark(len(records) - 1, 1)],
    )
    return run_world(world)


def rejected_orders(written):
    return [r.order_id for r in written if isinstance(r, OrderReport) and r.order_status == "rejected"]


@pytest.mark.parametrize("after_ms", [20, 45, 60, 70, 75, 95, 300])
def test_both_instruments_that_move_away_leave_a_trade_stuck_or_done_and_nothing_is_sent_for_them(after_ms):
    at = T0 + after_ms * MS
    engine, written = moved_under_a_trade(moved(PM, at), moved(KA, at))
    trade = engine.state.trades["main-i1"]
    gone = set()
    for record in written:
        if isinstance(record, TopSeen) and not record.listed:
            gone.add(record.instrument_id)
        assert not (isinstance(record, OrderRequested) and record.instrument_id in gone)
    if trade.state == "stuck":
        assert trade.reason == "instrument_moved" and trade.residual and gone == {PM, KA}
        assert [r.reason for r in venue_holds(written)] == ["instrument_moved"]
    else:
        assert trade.state in {"closed", "flat"} and abs(trade.residual) < trade.dust
    assert len(rejected_orders(written)) <= 1, "what was on its way"
    assert verified(written).mismatches == 0
    assert refold(journal_of(written))[0].trades == engine.state.trades


@pytest.mark.parametrize("after_ms", [55, 60, 65])
def test_one_instrument_that_moves_away_has_the_other_leg_sold(after_ms):
    engine, written = moved_under_a_trade(moved(KA, T0 + after_ms * MS))
    trade = engine.state.trades["main-i1"]
    assert (trade.state, trade.reason) == ("flat", "unwound")
    assert rejected_orders(written) == []
    assert verified(written).mismatches == 0


def test_a_move_within_the_partition_goes_on():
    at = T0 + 60 * MS
    back = snapshot(KA, at, [(500_000, 100 * CONTRACT)], [(510_000, 100 * CONTRACT)], sequence=2)
    engine, written = moved_under_a_trade(moved(KA, at), listed(KA, at, group="a"), back)
    assert engine.state.trades["main-i1"].state == "closed"
    assert rejected_orders(written) == []
