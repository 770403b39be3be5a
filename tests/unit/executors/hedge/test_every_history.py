"""Every history of one trade up to a depth, without chance: no state is left unattended, nothing is sent beside an order that may fill,
no leg is bought past the plan, and what is sold is held and final."""

import os

from executors.hedge.machine import advance
from executors.orders.table import TERMINAL
from executors.orders.work import unattended
from tests.builders.executors.machines import context, events_of, start

DEPTH = int(os.environ.get("EXPLORE_DEPTH", "8"))


def check(before, step):
    trade = step.work
    assert unattended(trade) == "" and not step.failed, trade.reason
    ended = {o.order_id for o in trade.orders if o.status in TERMINAL}
    for order, bound, _ in step.commands:
        others = [o.order_id for o in before.orders if o.order_id not in ended]
        assert not others, f"{order.order_id} was sent while {others} may fill"
        assert order.quantity_micros <= bound.quantity_max_micros
        if order.side == "buy":
            assert trade.held(order.leg) + order.quantity_micros <= trade.plan.quantity_micros
        else:
            assert order.quantity_micros <= trade.sellable(order.leg)


def walk(depth, permits):
    """Every state that is reached in so many events, each once."""
    level = {start(ctx=context()).work: None}
    seen = dict(level)
    for _ in range(depth):
        following = {}
        for trade in level:
            for event in events_of(trade):
                step = advance(trade, event, context(permits=permits))
                check(trade, step)
                if step.work not in seen:
                    seen[step.work] = following[step.work] = None
        level = following
    return seen


def test_every_history_up_to_a_depth_is_attended_and_lawful():
    reached = walk(DEPTH, lambda *_: "")
    assert {trade.state for trade in reached} >= {"leading", "hedging", "hedged", "flat", "unwinding"}
    assert len(reached) > 1_000, "the walk goes somewhere"


def test_the_same_while_the_gate_refuses():
    for word in ("halted", "cash"):
        walk(DEPTH - 1, lambda *_, word=word: word)
