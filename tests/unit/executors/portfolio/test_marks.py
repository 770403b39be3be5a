"""Marks of unmatched contracts: what the loss stops see of them is never old."""

import msgspec

from executors.engine import refold
from executors.hedge.trade import OTHER
from executors.terms import PaperTerms
from tests.builders.executors.journals import journal_of
from tests.builders.executors.terms import CALM
from tests.builders.executors.worlds import make_world, run_world


def test_unmatched_contracts_that_nobody_trades_keep_a_fresh_mark():
    """Nothing else would journal the book of a stuck trade, and the loss stops would go on seeing what it was worth long ago."""
    clumsy = msgspec.structs.replace(
        CALM,
        execute=msgspec.structs.replace(CALM.execute, hedge_attempts_max=1, unwind_attempts_max=1, adverse_micros=0),
        paper=PaperTerms(vanish_ppm=500_000),
    )
    looked_at = 0
    for seed in range(6):
        engine, written = run_world(make_world(seed, 900), clumsy)
        standing, lane = engine.state.standing, engine.lanes[0]
        stuck = [t for t in engine.state.trades.values() if t.state == "stuck" and abs(t.residual) >= t.dust]
        for trade in stuck:
            instrument_id = trade.leg(OTHER[trade.short]).instrument_id
            for known, shown in zip(
                standing.equity.marks[0, instrument_id], lane.venue.top(instrument_id), strict=True
            ):
                assert lane.market.usable(instrument_id), "the world ends with live feeds"
                assert (known is None) == (shown is None)
                assert known is None or abs(known - shown[0]) < 10_000
            looked_at += 1
        state, _ = refold(journal_of(written))
        assert state.standing.changes == standing.changes
    assert looked_at > 3
