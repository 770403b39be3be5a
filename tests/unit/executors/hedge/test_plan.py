"""Leader and slots: who goes first, and that everything that may be sent is in the plan and on the grid."""

import pytest

from executors.hedge.plan import UNWIND_WAYS, choose_leader, leader_time_in_force, make_plan, outcome_grid, slot_of
from executors.hedge.trade import LEGS
from executors.terms import ExecuteTerms
from tests.builders.executors.desk import Desk
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


def test_slots_are_found_by_arithmetic_and_lie_on_the_grid():
    plan = make_plan(
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
    assert (plan.sequence, plan.portfolio, plan.life, plan.strategy) == (4, "twin", 3, "cross_venue")
    assert (plan.trade_id, plan.intent_id, plan.leader.order_id) == ("twin-i1", "i1", "twin-i1-l1")
    assert len(plan.slots) == 2 * 3 + 4 * 2
    ids = {plan.leader.order_id, *(s.order_id for s in plan.slots)}
    assert len(ids) == len(plan.slots) + 1
    for name in LEGS:
        for attempt in (1, 2, 3):
            slot = slot_of(plan, "hedge", name=name, side="buy", attempt=attempt)
            assert (slot.instrument_id == PM, slot.side, slot.role) == (name == "leader", "buy", "hedge")
        assert slot_of(plan, "hedge", name=name, side="buy", attempt=4) is None
    for name, side in UNWIND_WAYS:
        for attempt in (1, 2):
            slot = slot_of(plan, "unwind", name=name, side=side, attempt=attempt)
            assert (slot.instrument_id == PM, slot.side, slot.role) == (name == "leader", side, "unwind")
        assert slot_of(plan, "unwind", name=name, side=side, attempt=3) is None
    one = intent()
    for slot in (plan.leader, *plan.slots):
        source = one.legs[0] if slot.instrument_id == PM else one.legs[1]
        assert outcome_grid(source).contains(slot.price_worst_micros)
        assert 0 < slot.price_worst_micros < MICROS
