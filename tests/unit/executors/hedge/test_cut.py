"""How much of a cut quantity is worth trading, against brute force over real books and both memberships of Kalshi."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.domain.fees import FeeAccumulator, make_schedule
from crossbook.domain.money import MICROS
from executors.portfolio.risk import Grant, Refusal, Standing, best_cut, edge_at, gate_trade
from executors.terms import ExecuteTerms
from processors.strategies.edges import Refused, Terms, evaluate
from tests.builders.executors.worlds import CONTRACT, KA, LOT, MS, PM, T0, intent, leg, top

POLYMARKET = [
    make_schedule(model="polymarket_curve", taker_rate_ppm=rate, rounding=rounding, ts_effective_ns=0, source="test")
    for rate in (0, 50_000)
    for rounding in ("half_up", "ceil")
]
DIRECT, BROKER = (
    make_schedule(
        model="kalshi_quadratic",
        taker_rate_ppm=70_000,
        member_precision_micros=precision,
        ts_effective_ns=0,
        source="test",
    )
    for precision in (100, 10_000)
)


@st.composite
def worlds(draw, levels_max=1):
    """(intent, its terms, levels of both legs): what decide would want of two books."""
    legs = []
    price = draw(st.integers(10, 80))
    for start in (price, 99 - price - draw(st.integers(0, 6))):
        count = draw(st.integers(1, levels_max))
        sizes = draw(st.lists(st.integers(1, 3_000), min_size=count, max_size=count))
        legs.append([((max(start, 1) + number) * 10_000, size * LOT) for number, size in enumerate(sizes)])
    gas, fx = draw(st.sampled_from([0, 5_000, 200_000])), draw(st.sampled_from([0, 500]))
    schedules = draw(st.sampled_from(POLYMARKET)), draw(st.sampled_from([DIRECT, BROKER]))
    terms = Terms("yes", "no", MICROS, LOT, *schedules, gas, fx, 0, 0)
    found = evaluate(terms, *legs, T0)
    if isinstance(found, Refused) or found.net_micros <= 0:
        return None
    parts = [
        leg(
            name,
            outcome,
            price_limit,
            found.quantity_micros,
            cost_micros=cost,
            fee_micros=fee,
            fee_schedule=schedule,
            notional_minimum_micros=0,
        )
        for name, outcome, price_limit, cost, fee, schedule in (
            (PM, "yes", found.price_a_micros, found.cost_a_micros, found.fee_a_micros, schedules[0]),
            (KA, "no", found.price_b_micros, found.cost_b_micros, found.fee_b_micros, schedules[1]),
        )
    ]
    one = intent(
        1,
        found.quantity_micros,
        leg_a=parts[0],
        leg_b=parts[1],
        payout_micros=found.payout_micros,
        gross_micros=found.gross_micros,
        friction_micros=found.friction_micros,
        net_micros=found.net_micros,
        friction_fixed_micros=gas,
    )
    return one, terms, legs


def true_net(terms, legs, quantity):
    """Net of a quantity, level by level."""
    cost = fees = 0
    for levels, schedule in zip(legs, (terms.schedule_a, terms.schedule_b), strict=True):
        accumulator, left = FeeAccumulator(schedule), quantity
        for price, size in levels:
            take = min(left, size)
            if take:
                cost += -(-price * take // MICROS)
                fees += accumulator.fill(price, take, "buy", "taker").net_micros
            left -= take
    return quantity - cost - fees - terms.gas_micros + (-cost * terms.currency_ppm // MICROS)


def cut_of(one, percent):
    return one.quantity_micros * percent // 100 // LOT * LOT


@given(worlds(), st.integers(1, 100))
@settings(max_examples=150)
def test_of_one_level_no_smaller_quantity_leaves_more_than_the_cut(world, percent):
    if world is None or not (limit := cut_of(world[0], percent)):
        return
    one, terms, legs = world
    found = best_cut(one, limit, LOT)
    quantities = range(LOT, limit + 1, LOT)
    assert edge_at(one, found) == max(edge_at(one, quantity) for quantity in quantities)
    precisions = terms.schedule_a.member_precision_micros + terms.schedule_b.member_precision_micros
    assert (
        true_net(terms, legs, found) >= max(true_net(terms, legs, quantity) for quantity in quantities) - precisions - 4
    )
    assert true_net(terms, legs, found) >= edge_at(one, found) - 2, "it is never valued above what it leaves"


@given(worlds(levels_max=3), st.integers(1, 100))
@settings(max_examples=150)
def test_of_many_levels_a_cut_is_valued_at_no_more_than_it_leaves_but_for_one_rounding_a_leg(world, percent):
    if world is None or not (limit := cut_of(world[0], percent)):
        return
    one, terms, legs = world
    found = best_cut(one, limit, LOT)
    precisions = terms.schedule_a.member_precision_micros + terms.schedule_b.member_precision_micros
    assert true_net(terms, legs, found) >= edge_at(one, found) - 2 * precisions - 4


def gated(one, cap):
    tops = {PM: top(PM, 440_000, 450_000), KA: top(KA, 560_000, 570_000)}
    terms = msgspec.structs.replace(ExecuteTerms(), cost_per_leg_micros=cap)
    return gate_trade(Standing(), one, tops, terms, now_ns=T0, decide_ns=10 * MS)


def deep(schedule, gas=0):
    """100 contracts at .45 and .44 of a broker's member, or a direct one."""
    legs = [[(450_000, 100 * CONTRACT)], [(440_000, 100 * CONTRACT)]]
    terms = Terms("yes", "no", MICROS, LOT, POLYMARKET[2], schedule, gas, 0, 0, 0)
    found = evaluate(terms, *legs, T0)
    quantity = found.quantity_micros
    parts = [
        leg(PM, "yes", 450_000, quantity, cost_micros=found.cost_a_micros, fee_schedule=terms.schedule_a, notional_minimum_micros=0),
        leg(KA, "no", 440_000, quantity, cost_micros=found.cost_b_micros, fee_schedule=terms.schedule_b),
    ]  # fmt: skip
    return intent(
        1, quantity, leg_a=parts[0], leg_b=parts[1], payout_micros=quantity, friction_micros=gas, friction_fixed_micros=gas,
        net_micros=found.net_micros,
    )  # fmt: skip


@pytest.mark.parametrize(("schedule", "gas"), [(BROKER, 0), (DIRECT, 200_000), (BROKER, 200_000)])
def test_a_remainder_that_its_fixed_costs_eat_is_declined_by_name(schedule, gas):
    one = deep(schedule, gas)
    assert gated(one, 1_000 * MICROS) == Grant(one.quantity_micros)
    refused = {gated(one, cap) for cap in range(10_000, 3 * MICROS, 5_000)}
    assert Refusal("edge_of_cut") in refused
    for verdict in (gated(one, cap) for cap in range(10_000, 5 * MICROS, 70_000)):
        if isinstance(verdict, Grant):
            assert edge_at(one, verdict.quantity_micros) > 0
