"""A lane that follows decide on one fold writes what a lane with a fold of its own writes, at any batch."""

from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.lab.backtest.lanes import FollowingEngine, WatchedMarket
from executors.engine import Engine
from executors.terms import ExecuteTerms, PaperTerms, Terms
from executors.venues.port import NEVER_NS
from tests.builders.executors.worlds import feed_all, make_world

WIDE = ExecuteTerms(pairs_open_max=20, cost_per_leg_micros=2_500_000_000)


def followed(world, terms, *, always):
    """Every record folded once; the lane steps at each, or only where its wake time, a book or an intent says so."""
    records, intents, _ = world
    market = WatchedMarket()
    engine = FollowingEngine({0: market})
    engine.configure(terms, portfolio="main", code_digest="d")
    lane, waiting, stepped, written = engine.following[0], list(intents), 0, []
    for position, record in enumerate(records):
        reach_ns = market.reach_ns(record)
        while (due_ns := lane.due_ns) < reach_ns:
            lane.pass_time(due_ns)
            written += engine.take_and_send()
        market.apply(position, record)
        while waiting and waiting[0].position == position:
            lane.put_intent(waiting[0], waiting.pop(0).number, 0)
        if (
            always
            or lane.intents
            or market.now_ns >= lane.wake_ns
            or market.change.instrument_id in lane.venue.consumed
        ):
            stepped += 1
            lane.follow_on(record)
            written += engine.take_and_send()
            while lane.intents:
                lane.take_intent()
                written += engine.take_and_send()
    return written + engine.take_and_send(), stepped


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6), batch=st.sampled_from([1, 7, 500]), wire_ms=st.sampled_from([0, 1, 40, 400]),
    rough=st.booleans(),
)  # fmt: skip
def test_one_fold_for_both_changes_no_byte_and_neither_do_the_steps_left_out(seed, batch, wire_ms, rough):
    faults = (
        {"vanish_ppm": 150_000, "partial_ppm": 200_000, "reverse_ppm": 60_000, "late_ppm": 100_000} if rough else {}
    )
    terms = Terms(execute=WIDE, paper=PaperTerms(wire_latency_ms=wire_ms, **faults))
    world = make_world(seed, 500)
    engine = Engine([0])
    engine.configure(terms, portfolio="main", code_digest="d")
    live = feed_all(engine, *world, batch=batch)
    every, _ = followed(world, terms, always=True)
    needed, stepped = followed(world, terms, always=False)
    assert every == live and needed == live
    assert stepped < len(world[0])


def test_an_idle_lane_wakes_for_nothing():
    lane = FollowingEngine({0: WatchedMarket()}).following[0]
    assert lane.wake_ns == NEVER_NS and not lane.intents
    assert "kalshi:X" not in lane.venue.consumed
