"""The walk against naive ones, and the laws of a package."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.domain.fees import FeeAccumulator, make_schedule
from processors.strategies.edges import (
    OUTCOMES,
    PACKAGES,
    YEAR_NS,
    Refused,
    cap_quantity,
    evaluate,
    leaves_in_whole,
    make_terms,
    price_at,
    worst_payout,
)
from schemas.records import PayoutCell
from tests.builders import market_records as mr
from tests.builders.market_records import CONTRACT, LOT, T0, A, B

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


#: Dust, round lots and odd sizes mixed: rounding by fill shows most where a level holds next to nothing.
sizes = st.one_of(st.integers(1, 9), st.integers(1, 300), st.sampled_from([100, 200, 300])).map(lambda lots: lots * LOT)
rough_levels = st.dictionaries(st.integers(30, 60).map(lambda tick: tick * 10_000), sizes, min_size=1, max_size=4).map(
    ladder
)
fine_levels = st.dictionaries(st.integers(300, 600).map(lambda tick: tick * 1_000), sizes, min_size=1, max_size=4).map(
    ladder
)


def kalshi(rate_ppm, precision_micros):
    return make_schedule(
        model="kalshi_quadratic",
        taker_rate_ppm=rate_ppm,
        member_precision_micros=precision_micros,
        ts_effective_ns=0,
        source="test",
    )


def polymarket(rate_ppm, rounding, exponent=1):
    return make_schedule(
        model="polymarket_curve",
        taker_rate_ppm=rate_ppm,
        rounding=rounding,
        exponent=exponent,
        ts_effective_ns=0,
        source="test",
    )


DIRECT, BROKER = 100, 10_000
SCHEDULES = [
    *(kalshi(rate, precision) for rate in (70_000, 35_000, 0) for precision in (DIRECT, BROKER)),
    *(polymarket(rate, rounding) for rate in (50_000, 0) for rounding in ("half_up", "floor", "ceil")),
    polymarket(250_000, "half_up", exponent=2),
    FREE,
]


@st.composite
def packages(draw):
    """(terms, levels of a, levels of b): any two fee rules, both packages, several grids and steps."""
    outcome = draw(st.sampled_from(PACKAGES["identity"]))
    step_a, step_b = draw(st.sampled_from([(LOT, LOT), (LOT, 2 * LOT), (CONTRACT, LOT), (4 * LOT, 6 * LOT)]))
    terms = terms_of(
        outcome,
        a={
            "fee_schedule": draw(st.sampled_from(SCHEDULES)),
            "quantity_step_micros": step_a,
            "ts_payout_expected_ns": T0 + YEAR_NS // 10,
        },
        b={
            "fee_schedule": draw(st.sampled_from(SCHEDULES)),
            "quantity_step_micros": step_b,
            "ts_payout_expected_ns": T0 + YEAR_NS // 9,
        },
        gas_micros=draw(st.sampled_from([0, 5_000])),
        fx_ppm=draw(st.sampled_from([0, 500])),
        lockup_ppm_per_year=draw(st.sampled_from([0, 40_000])),
    )
    book = st.one_of(rough_levels, fine_levels)
    return terms, draw(book), draw(book)


def every_net(terms, levels_a, levels_b):
    """Net before gas of every quantity on the step that both depths hold."""
    depth = min(sum(size for _, size in levels_a), sum(size for _, size in levels_b))
    step = terms.step_micros
    return {q: naive(terms, levels_a, levels_b, q) + terms.gas_micros for q in range(step, depth + 1, step)}


@given(packages(), st.sampled_from([0, 5_000, 25_000]))
@settings(max_examples=200)
def test_no_quantity_leaves_more_than_the_one_walked_to(package, least):
    terms, levels_a, levels_b = package
    found = evaluate(terms, levels_a, levels_b, T0, marginal_micros=least)
    nets = every_net(terms, levels_a, levels_b)
    if not nets:
        assert found == Refused("no_depth")
        return
    assert found.net_micros + terms.gas_micros == nets[found.quantity_micros]
    left = {quantity: net * CONTRACT - least * quantity for quantity, net in nets.items()}
    best = max(left.values())
    equals = [quantity for quantity, value in left.items() if value == best]
    if best > 0 or (least and not best):
        assert found.quantity_micros == (max(equals) if least else min(equals))
    else:
        assert left[found.quantity_micros] <= 0, "what shows why nothing is taken"


@given(packages())
@settings(max_examples=150)
def test_an_edge_counts_where_levels_taken_whole_leave_something(package):
    terms, levels_a, levels_b = package
    found = evaluate(terms, levels_a, levels_b, T0)
    if isinstance(found, Refused) or found.net_micros <= 0:
        return
    ends = {sum(size for _, size in side[: n + 1]) for side in (levels_a, levels_b) for n in range(len(side))}
    depth = min(sum(size for _, size in levels_a), sum(size for _, size in levels_b))
    whole = {end - end % terms.step_micros for end in ends if end <= depth} - {0}
    left = any(naive(terms, levels_a, levels_b, quantity) > 0 for quantity in whole)
    assert leaves_in_whole(terms, levels_a, levels_b, T0, found) == left


def test_what_only_rounding_wins_in_a_part_of_a_level_is_no_edge():
    """Ten contracts at .84 and .15 leave nothing after a fee rounded up to the cent; 9.43 of them leave half a cent."""
    terms = terms_of(a={"fee_schedule": FREE}, b={"fee_schedule": kalshi(70_000, BROKER)})
    levels_a, levels_b = [(150_000, 10 * CONTRACT)], [(840_000, 10 * CONTRACT)]
    found = evaluate(terms, levels_a, levels_b, T0)
    assert found.net_micros > 0
    assert found.quantity_micros < 10 * CONTRACT
    assert not leaves_in_whole(terms, levels_a, levels_b, T0, found)


@given(packages(), st.integers(1, 120))
@settings(max_examples=150)
def test_a_capped_quantity_leaves_the_most_of_those_that_the_cap_pays_for(package, percent):
    terms, levels_a, levels_b = package
    found = evaluate(terms, levels_a, levels_b, T0)
    if isinstance(found, Refused) or found.net_micros + terms.gas_micros <= 0:
        return
    dearest = max(found.cost_a_micros + found.fee_a_micros, found.cost_b_micros + found.fee_b_micros)
    cap = dearest * percent // 100
    capped = cap_quantity(terms, levels_a, levels_b, T0, found, cap)
    payable = {}
    for quantity, net in every_net(terms, levels_a, levels_b).items():
        priced = price_at(terms, levels_a, levels_b, T0, quantity)
        cost = max(priced.cost_a_micros + priced.fee_a_micros, priced.cost_b_micros + priced.fee_b_micros)
        if quantity <= found.quantity_micros and cost <= cap and net > 0:
            payable[quantity] = net
    if not payable:
        assert capped == Refused("cost_cap")
        return
    best = max(payable.values())
    assert capped.quantity_micros == min(quantity for quantity, net in payable.items() if net == best)


@pytest.mark.parametrize("precision", [DIRECT, BROKER])
@pytest.mark.parametrize("dust", [0, 1, 3, 10])
@pytest.mark.parametrize("side", ["a", "b"])
def test_dust_before_a_deep_level_does_not_hide_it(precision, dust, side):
    terms = terms_of(a={"fee_schedule": polymarket(40_000, "half_up")}, b={"fee_schedule": kalshi(70_000, precision)})
    levels = {"a": [(450_000, 100 * CONTRACT)], "b": [(440_000, 100 * CONTRACT)]}
    without = evaluate(terms, levels["a"], levels["b"], T0)
    if dust:
        levels[side].insert(0, (levels[side][0][0] - 1_000, dust * LOT))
    found = evaluate(terms, levels["a"], levels["b"], T0)
    assert found.quantity_micros == 100 * CONTRACT
    assert found.net_micros >= without.net_micros - precision > 8 * CONTRACT


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
