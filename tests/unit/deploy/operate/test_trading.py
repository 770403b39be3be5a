"""What status says of an executor: every source that binds it, by the journal's own fold."""

import pytest

from deploy.operate.trading import KILL_SOURCE, trading_of
from executors.fold import step
from executors.journal import INPUTS
from executors.state import ExecutorState
from schemas.records import TradingState
from tests.builders.executors.worlds import make_world, run_world

S = 1_000_000_000


def kill(state):
    state.standing.halts.kill()


def halt(scope, value="", said="halted"):
    return lambda state: state.standing.halts.say(scope, value, said)


def revoke(state):
    state.standing.halts.revoke("fed")


def stuck(state):
    state.standing.halts.hold("kalshi", "t1")


def breaker(state):
    state.standing.breaker_until_ns["polymarket"] = 20 * S


def lagging(state):
    state.lagging = True


@pytest.mark.parametrize(
    ("events", "state", "told"),
    [
        ((), "running", []),
        ((kill,), "halted", [("all", "halted")]),
        ((halt("all"),), "halted", [("all", "halted")]),
        ((halt("all", said="reduce_only"),), "reduce_only", [("all", "reduce_only")]),
        ((halt("all", said="reduce_only"), kill), "halted", [("all", "halted"), ("all", "reduce_only")]),
        ((halt("venue", "kalshi"),), "running", [("venue kalshi", "halted")]),
        ((halt("pair", "fed"), revoke), "running", [("pair fed", "halted"), ("pair fed", "reduce_only")]),
        ((halt("category", "Economics"),), "running", [("category Economics", "halted")]),
        ((halt("portfolio", "main"),), "halted", [("portfolio main", "halted")]),
        ((halt("portfolio", "twin"),), "running", []),
        ((stuck,), "running", [("venue kalshi", "reduce_only")]),
        ((breaker,), "running", [("venue polymarket", "reduce_only")]),
        ((lagging,), "reduce_only", [("all", "reduce_only")]),
        (
            (stuck, revoke, breaker, lagging, kill),
            "halted",
            [("all", "halted"), ("pair fed", "reduce_only"), ("venue kalshi", "reduce_only"), ("venue polymarket", "reduce_only"), ("all", "reduce_only")],
        ),
        ((halt("all"), lambda state: state.standing.halts.say("all", "", "running")), "running", []),
    ],
)  # fmt: skip
def test_every_source_that_binds_is_told(events, state: TradingState, told):
    folded = ExecutorState()
    for event in events:
        event(folded)
    trading = trading_of(folded, "main", 10 * S)
    assert trading.state == state
    assert [(bind.what, bind.state) for bind in trading.binds] == told
    assert trading.killed == (kill in events)
    assert all(bind.source for bind in trading.binds)


def test_a_breaker_that_closed_binds_nothing():
    state = ExecutorState()
    breaker(state)
    assert trading_of(state, "main", 20 * S).binds == ()
    assert trading_of(state, "main", 20 * S - 1).binds[0].ts_until_ns == 20 * S


def test_a_kill_is_told_from_a_halt():
    state = ExecutorState()
    halt("all")(state)
    assert not trading_of(state, "main", 0).killed
    kill(state)
    assert trading_of(state, "main", 0).binds[0].source == KILL_SOURCE


def test_trades_at_work_are_told_step_by_step():
    engine, written = run_world(make_world(7))
    state, seen = ExecutorState(), set()
    for record in written:
        if isinstance(record, INPUTS):
            step(state, record)
            seen |= set(trading_of(state, "main", 0).work)
    assert trading_of(state, "main", 0).work == trading_of(engine.state, "main", 0).work
    assert {name for _, name, _ in seen} >= {"leading", "hedging"}
    assert trading_of(state, "main", 0).open_trades == len(trading_of(state, "main", 0).work)
