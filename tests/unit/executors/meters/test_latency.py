"""What is measured: tick to plan from the tick where it is fresh, a hedge by our own time alone."""

from executors.journal import key_of
from executors.meters.latency import LatencyWatch
from schemas.records import Fill, TradePlan, TradeUpdate
from tests.builders.executors.worlds import T0, S, make_world, run_world


def batches():
    engine, written = run_world(make_world(4, 600))
    trade = next(r.trade_id for r in written if isinstance(r, TradeUpdate) and r.state == "hedged")
    own = [r for r in written if key_of(r) == trade]
    plan = next(n for n, r in enumerate(own) if isinstance(r, TradePlan))
    first = next(n for n, r in enumerate(own) if isinstance(r, Fill))
    hedged = next(n for n, r in enumerate(own) if isinstance(r, TradeUpdate) and r.state == "hedged")
    return engine, trade, own[: plan + 1], own[plan + 1 : first + 4], own[first + 4 : hedged + 1]


def test_recorded_ticks_are_measured_from_when_the_intent_was_read_and_hedges_by_own_time():
    engine, trade, opening, middle, end = batches()
    watch = LatencyWatch()
    now = T0 + 10**18
    (plan,) = watch.committed(opening, engine.state, now, now + 5, recorded={0})
    assert (plan.trade_id, plan.kind, plan.start_ns) == (trade, "tick_to_plan", 0)
    assert watch.committed(middle, engine.state, now + 100, now + 107) == []
    (hedge,) = watch.committed(end, engine.state, now + 900, now + 911)
    assert (hedge.kind, hedge.start_ns, hedge.end_ns, hedge.latency_ns) == ("hedge", now + 100, now + 911, 18)


def test_a_live_tick_is_measured_from_its_receipt():
    engine, trade, opening, _, _ = batches()
    tick = engine.state.trades[trade].intent.ts_received_ns
    (plan,) = LatencyWatch().committed(opening, engine.state, tick + 5, tick + 9)
    assert (plan.start_ns, plan.latency_ns) == (tick, 9)
    (plan,) = LatencyWatch().committed(opening, engine.state, tick + 61 * S, tick + 62 * S)
    assert plan.latency_ns == 62 * S, "an executor that is far behind is late, its log is no recording"
