"""Leader and bounds: who goes first, and that everything that may be sent is in the plan and on the grid."""

import pytest

from executors.errors import PlanError
from executors.hedge.plan import (
    TRADE_HORIZON_NS,
    UNWIND_WAYS,
    bound_of,
    choose_leader,
    leader_time_in_force,
    make_plan,
    order_ids,
    outcome_grid,
)
from executors.hedge.run import Run
from executors.hedge.trade import LEGS
from executors.terms import ExecuteTerms
from tests.builders.executors.desk import Desk
from tests.builders.executors.machines import context, start
from tests.builders.executors.worlds import CONTRACT, KA, LOT, MICROS, PM, T0, intent, leg, top

TERMS = ExecuteTerms(hedge_attempts_max=3, unwind_attempts_max=2)


@pytest.mark.parametrize("legs", [(leg(PM),), (leg(PM), leg(KA, "no"), leg("kalshi:B", "no"))])
def test_an_intent_that_has_not_two_legs_is_declined_and_holds_nothing(legs):
    desk = Desk()
    (update,) = desk.intent(intent(1, legs=legs), *(top(one.instrument_id) for one in legs))
    assert (update.state, update.reason, update.trade_id) == ("declined", "not_two_legs", "main-i1")
    assert not desk.state.trades
    assert not desk.state.tops_before
    desk.open(intent(2))
    assert desk.sent, "the next one is acted on"


def legs(a, b, **changes):
    return intent(leg_a=a, leg_b=b, **changes)


@pytest.mark.parametrize(
    ("a", "b", "leader_is_a"),
    [
        (leg(PM), leg(KA, "no"), True),
        (leg(KA), leg(PM, "no"), False),
        (leg(KA, taker_delay_ms=3_000), leg(PM, "no"), True),
        (leg(PM), leg(KA, "no", taker_delay_ms=1), False),
        (leg(PM, taker_delay_ms=1), leg(KA, "no", taker_delay_ms=1), None),
        (leg(PM, lead_rank=2), leg(KA, "no"), False),
        (leg(PM, lead_rank=7, depth_micros=9), leg(KA, "no", lead_rank=7, depth_micros=5), False),
        (leg(KA, depth_micros=5), leg("kalshi:B", "no", depth_micros=9), True),
        (leg(KA, depth_micros=9), leg("kalshi:B", "no", depth_micros=5), False),
    ],
)
def test_who_leads(a, b, leader_is_a):
    assert choose_leader(legs(a, b)) is leader_is_a


KALSHI = {"depth_micros": 5}


@pytest.mark.parametrize(
    ("a", "b", "advised", "leader_is_a"),
    [
        # a taker delay before everything
        (leg(KA, taker_delay_ms=3_000), leg(PM, "no"), PM, True),
        (leg(PM, taker_delay_ms=1), leg(KA, "no", taker_delay_ms=1), PM, None),
        (leg(KA, **KALSHI), leg("kalshi:B", "no", depth_micros=9, taker_delay_ms=1), KA, False),
        # then the venue's rank before advice
        (leg(PM), leg(KA, "no"), KA, True),
        (leg(KA), leg(PM, "no"), KA, False),
        # then advice before the thinner book
        (leg(KA, **KALSHI), leg("kalshi:B", "no", depth_micros=9), "kalshi:B", False),
        (leg(KA, depth_micros=9), leg("kalshi:B", "no", depth_micros=5), KA, True),
        (leg(PM, depth_micros=9), leg("polymarket:0xdef", "no", depth_micros=5), PM, True),
        # advice about neither leg, or none
        (leg(KA, **KALSHI), leg("kalshi:B", "no", depth_micros=9), "kalshi:C", True),
        (leg(KA, depth_micros=9), leg("kalshi:B", "no", depth_micros=5), None, False),
        # both outcomes of one instrument: advice tells nothing
        (leg(KA, depth_micros=9), leg(KA, "no", depth_micros=5), KA, False),
    ],
)
def test_venue_constraints_then_advice_then_the_thinner_book(a, b, advised, leader_is_a):
    assert choose_leader(legs(a, b), advised) is leader_is_a


def test_the_leader_is_all_or_nothing_where_a_partial_could_not_be_hedged():
    pm, ka = leg(PM), leg(KA, "no")
    assert leader_time_in_force(legs(pm, ka), pm, ka) == "immediate_or_cancel"
    assert leader_time_in_force(legs(ka, pm), ka, pm) == "fill_or_kill"  # Polymarket takes no purchase below $1
    whole = leg(KA, "no", quantity_step_micros=LOT, quantity_minimum_micros=CONTRACT)
    assert leader_time_in_force(legs(pm, whole), pm, whole) == "fill_or_kill"


def test_bounds_name_every_order_once_and_lie_on_the_grid():
    plan = planned()
    assert (plan.sequence, plan.portfolio, plan.life, plan.strategy) == (4, "twin", 3, "cross_venue")
    assert (plan.trade_id, plan.intent_id) == ("twin-i1", "i1")
    ids = order_ids(plan)
    assert list(ids) == [
        f"twin-i1-{one}" for one in ("l1", *(f"h{n}" for n in range(1, 7)), *(f"u{n}" for n in range(1, 9)))
    ]
    for name in LEGS:
        hedge = bound_of(plan, "hedge", name=name, side="buy")
        assert (hedge.instrument_id == PM, hedge.side, hedge.role, hedge.attempts_max) == (
            name == "leader",
            "buy",
            "hedge",
            3,
        )
    numbers = []
    for name, side in UNWIND_WAYS:
        unwind = bound_of(plan, "unwind", name=name, side=side)
        assert (unwind.instrument_id == PM, unwind.side, unwind.attempts_max) == (name == "leader", side, 2)
        numbers.append(unwind.attempt_first)
    assert numbers == [1, 3, 5, 7]
    one = intent()
    for bound in (plan.leader, *plan.bounds):
        source = one.legs[0] if bound.instrument_id == PM else one.legs[1]
        assert outcome_grid(source).contains(bound.price_worst_micros)
        assert 0 < bound.price_worst_micros < MICROS
        assert (bound.quantity_max_micros, bound.ts_deadline_ns) == (CONTRACT, T0 + TRADE_HORIZON_NS)


def planned():
    return make_plan(
        intent(),
        leader_is_a=True,
        quantity_micros=CONTRACT,
        terms=TERMS,
        ts_ns=T0,
        position=1,
        sequence=4,
        portfolio="twin",
        life=3,
    )


def test_no_plan_covers_what_it_has_no_bound_for():
    with pytest.raises(PlanError, match="no hedge may sell its leader"):
        bound_of(planned(), "hedge", name="leader", side="sell")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attempt": 0}, "attempt 0 of 3"),
        ({"attempt": 4}, "attempt 4 of 3"),
        ({"quantity": 0}, "quantity 0 is outside"),
        ({"quantity": CONTRACT + LOT}, "is outside its bound"),
        ({"price": 990_001}, "is worse than its bound"),
    ],
)
def test_nothing_is_sent_outside_a_bound(change, said):
    run = Run(start().work, context())
    asked = {"attempt": 1, "price": 400_000, "quantity": CONTRACT} | change
    bound = bound_of(planned(), "hedge", name="hedge", side="buy")
    with pytest.raises(PlanError, match=said):
        run.send(bound, asked.pop("attempt"), **asked)
    assert run.sends == []


def test_a_bound_ends_at_its_deadline():
    run = Run(start().work, context(T0 + TRADE_HORIZON_NS + 1))
    bound = bound_of(planned(), "unwind", name="leader", side="sell")
    assert run.send(bound, 1, price=400_000, quantity=CONTRACT) == "deadline"
    assert run.sends == []
