"""The walk against naive ones, and the laws of a package."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.domain.fees import FeeAccumulator, make_schedule
from processors.edges import (
    OUTCOMES,
    PACKAGES,
    YEAR_NS,
    Refused,
    cap_quantity,
    evaluate,
    make_terms,
    price_at,
    worst_payout,
)
from schemas.records import PayoutCell
from tests.unit.processors import market_records as mr
from tests.unit.processors.market_records import CONTRACT, LOT, T0, A, B

FREE = make_schedule(model="free", ts_effective_ns=0, source="test")


def terms_of(package="yes_a_no_b", *, free=False, a=None, b=None, pair=None, **friction):
    listed_a = mr.instrument(A, **({"fee_schedule": FREE} if free else {}) | (a or {}))
    listed_b = mr.instrument(B, **({"fee_schedule": FREE} if free else {}) | (b or {}))
    return make_terms(mr.pair(**(pair or {})), package, listed_a, listed_b, mr.friction(**friction))


def ladder(draw_prices):
    return sorted(draw_prices.items())


levels = st.dictionaries(
    st.integers(300, 600).map(lambda tick: tick * 1_000),
    st.integers(1, 400).map(lambda lots: lots * LOT),
    min_size=1,
    max_size=4,
).map(ladder)


def naive(terms, levels_a, levels_b, quantity, now_ns=T0):
    """Net of a quantity, leg by leg, level by level."""
    costs, fees = [], []
    for side, schedule in ((levels_a, terms.schedule_a), (levels_b, terms.schedule_b)):
        accumulator, left, cost, fee = FeeAccumulator(schedule), quantity, 0, 0
        for price, size in side:
            take = min(left, size)
            if take:
                cost += -(-price * take // CONTRACT)
                fee += accumulator.fill(price, take, "buy", "taker").net_micros
            left -= take
        assert not left
        costs.append(cost)
        fees.append(fee)
    cost = sum(costs)
    friction = terms.gas_micros - (-cost * terms.currency_ppm // CONTRACT)
    lockup = -(-cost * terms.lockup_ppm_per_year * max(terms.ts_payout_ns - now_ns, 0) // (CONTRACT * YEAR_NS))
    return terms.payout_micros * quantity // CONTRACT - cost - sum(fees) - friction - lockup


@given(levels, levels)
@settings(max_examples=100, deadline=None)
def test_without_fees_the_walk_takes_every_lot_that_pays(levels_a, levels_b):
    terms = terms_of(free=True)
    depth = min(sum(size for _, size in levels_a), sum(size for _, size in levels_b))
    best, before = 0, 0
    for quantity in range(LOT, depth + 1, LOT):
        net = naive(terms, levels_a, levels_b, quantity)
        if net <= before:
            break
        best, before = quantity, net
    found = evaluate(terms, levels_a, levels_b, T0)
    if best:
        assert (found.quantity_micros, found.net_micros) == (best, before)
    else:
        assert found.net_micros <= 0


@given(levels, levels, st.integers(0, 5_000), st.integers(0, 500), st.sampled_from([0, 25_000]))
@settings(max_examples=100, deadline=None)
def test_with_fees_each_stretch_adds_and_the_next_does_not(levels_a, levels_b, gas, fx, least):
    terms = terms_of(
        gas_micros=gas,
        fx_ppm=fx,
        lockup_ppm_per_year=40_000,
        a={"ts_payout_expected_ns": T0 + YEAR_NS // 10},
        b={"ts_payout_expected_ns": T0 + YEAR_NS // 9},
    )
    found = evaluate(terms, levels_a, levels_b, T0, marginal_micros=least)
    assert found.net_micros == naive(terms, levels_a, levels_b, found.quantity_micros)
    ends = {0}
    for side in (levels_a, levels_b):
        total = 0
        for _, size in side:
            total += size
            ends.add(total)
    depth = min(sum(size for _, size in levels_a), sum(size for _, size in levels_b))
    cuts = sorted(end for end in ends if end <= depth)
    nets = {cut: naive(terms, levels_a, levels_b, cut) if cut else terms_of().gas_micros - gas for cut in cuts}
    taken = 0
    for low, high in itertools.pairwise(cuts):
        added = nets[high] - nets[low]
        if added <= 0 or added * CONTRACT < least * (high - low):
            break
        taken = high
    assert found.quantity_micros == (taken or cuts[1])


@given(levels, levels, st.integers(1, 100).map(lambda dollars: dollars * CONTRACT // 20))
def test_the_cap_is_the_largest_quantity_within(levels_a, levels_b, cap):
    terms = terms_of()
    found = evaluate(terms, levels_a, levels_b, T0)
    capped = cap_quantity(terms, levels_a, levels_b, T0, found, cap)

    def within(evaluation):
        return (
            max(evaluation.cost_a_micros + evaluation.fee_a_micros, evaluation.cost_b_micros + evaluation.fee_b_micros)
            <= cap
        )

    quantity = 0 if isinstance(capped, Refused) else capped.quantity_micros
    if quantity:
        assert within(capped)
    if quantity < found.quantity_micros:
        assert not within(price_at(terms, levels_a, levels_b, T0, quantity + LOT))


@given(
    st.dictionaries(st.integers(10, 490), st.integers(1, 50), min_size=1, max_size=4),
    st.dictionaries(st.integers(500, 990), st.integers(1, 50), min_size=1, max_size=4),
)
def test_equal_books_at_both_venues_have_no_edge(bids, asks):
    to_buy_yes = [(tick * 1_000, size * LOT) for tick, size in sorted(asks.items())]
    to_buy_no = [(CONTRACT - tick * 1_000, size * LOT) for tick, size in sorted(bids.items(), reverse=True)]
    for package in PACKAGES["identity"]:
        outcome_a, outcome_b = OUTCOMES[package]
        sides = {"yes": to_buy_yes, "no": to_buy_no}
        assert evaluate(terms_of(package), sides[outcome_a], sides[outcome_b], T0).net_micros <= 0


def test_the_worst_admissible_payout_counts():
    void = PayoutCell(outcome="void", payout_a_micros=500_000, payout_b_micros=0, admissible=True, evidence="rule 7")
    cells = (*mr.cells()[:2], void, *mr.cells()[3:])
    pair = mr.pair(payouts=cells, haircut_micros=1_000)
    assert worst_payout(pair, "yes_a_no_b") == 1_000_000 - 1_000  # void: 0.5 + 1
    assert worst_payout(pair, "no_a_yes_b") == 500_000 - 1_000  # void: 0.5 + 0
    assert worst_payout(mr.pair(relation="complement"), "no_a_no_b") == CONTRACT
    assert worst_payout(mr.pair(payouts=()), "yes_a_no_b") == Refused("payout_missing_yes")


def test_the_quantity_is_a_multiple_of_both_steps():
    terms = terms_of(free=True, a={"quantity_step_micros": CONTRACT}, b={"quantity_step_micros": LOT})
    found = evaluate(terms, [(400_000, 5_330_000)], [(500_000, 5_120_000)], T0)
    assert found.quantity_micros == 5 * CONTRACT
    assert found.gross_top_micros == 500_000
    assert evaluate(terms, [(400_000, LOT)], [(500_000, CONTRACT)], T0) == Refused("no_depth")


def test_a_fill_that_a_venue_does_not_know_is_refused():
    levels_a = [(400_000, 1_234_567), (410_000, CONTRACT)]
    found = evaluate(
        terms_of(a={"quantity_step_micros": 1}, b={"quantity_step_micros": 1}), levels_a, [(500_000, 7)], T0
    )
    assert isinstance(found, Refused)
    assert found.reason.startswith("fee: ")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pair": {"b": A}}, "same_instrument"),
        ({"a": {"quantity_step_micros": 0}}, "no_quantity_step"),
        ({"lockup_ppm_per_year": 1}, "payout_time_unknown"),
    ],
)
def test_what_cannot_be_priced_is_refused_by_name(changes, reason):
    assert terms_of(**changes) == Refused(reason)


def test_lock_up_runs_to_the_later_payout():
    terms = terms_of(
        free=True,
        lockup_ppm_per_year=40_000,
        a={"ts_payout_expected_ns": T0 + YEAR_NS // 4},
        b={"ts_payout_expected_ns": T0 + YEAR_NS // 2},
    )
    found = evaluate(terms, [(400_000, CONTRACT)], [(500_000, CONTRACT)], T0)
    assert found.lockup_micros == 900_000 * 4 // 100 // 2
    assert evaluate(terms, [(400_000, CONTRACT)], [(500_000, CONTRACT)], T0 + YEAR_NS).lockup_micros == 0
