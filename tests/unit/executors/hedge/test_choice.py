"""The price of completing: where the displayed price is worth taking the limit reaches it, and it is never worth less than the way out."""

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crossbook.domain.fees import make_schedule, taker_fee
from crossbook.domain.money import cost_micros
from executors.hedge.choice import completed_value, completion_limit, displayed_price, weigh_completion
from executors.hedge.plan import bound_of, make_plan, outcome_grid
from executors.hedge.trade import LEGS, OTHER, Trade
from executors.orders.order import Execution, Order
from executors.terms import ExecuteTerms, Terms
from schemas.records import PriceRange
from tests.builders.executors.desk import Desk
from tests.builders.executors.worlds import CONTRACT, GRID, KA, KA_FEES, LOT, MICROS, PM, PM_FEES, T0, intent, leg, top


def _grid(*ranges):
    return tuple(PriceRange(start_micros=a, end_micros=b, tick_micros=tick) for a, b, tick in ranges)


GRIDS = {
    "cent": GRID,
    "deci-cent": _grid((1_000, 999_000, 1_000)),
    "centi-cent": _grid((100, 999_900, 100)),
    "tapered": _grid((1_000, 100_000, 1_000), (100_000, 900_000, 10_000), (900_000, 999_000, 1_000)),
}
SCHEDULES = {
    "kalshi direct": KA_FEES,
    "kalshi through a broker": make_schedule(
        model="kalshi_quadratic",
        taker_rate_ppm=70_000,
        member_precision_micros=10_000,
        ts_effective_ns=0,
        source="test",
    ),
    "polymarket": PM_FEES,
    "polymarket floored": make_schedule(
        model="polymarket_curve", taker_rate_ppm=70_000, rounding="floor", ts_effective_ns=0, source="test"
    ),
    "polymarket squared": make_schedule(
        model="polymarket_curve", taker_rate_ppm=250_000, exponent=2, ts_effective_ns=0, source="test"
    ),
    "free": make_schedule(model="free", ts_effective_ns=0, source="test"),
}


@st.composite
def unmatched_trades(draw):
    """A trade whose leader (or, after a reversal, hedge) is filled at its limit, on books that may have moved since."""
    name = draw(st.sampled_from(LEGS))
    grid, other_grid = GRIDS[draw(st.sampled_from(sorted(GRIDS)))], GRIDS[draw(st.sampled_from(sorted(GRIDS)))]
    fees, other_fees = (SCHEDULES[draw(st.sampled_from(sorted(SCHEDULES)))] for _ in range(2))
    planned = draw(
        st.one_of(st.integers(1, 300).map(lambda n: n * CONTRACT), st.integers(1, 30_000).map(lambda n: n * LOT))
    )
    filled = planned if draw(st.booleans()) else max(LOT, planned * draw(st.integers(1, 99)) // 100 // LOT * LOT)
    outcome = draw(st.sampled_from(("yes", "no")))
    short = leg(KA, outcome, 500_000, planned, grid=grid, fee_schedule=fees)
    held = leg(PM, "no" if outcome == "yes" else "yes", 400_000, planned, grid=other_grid, fee_schedule=other_fees)
    short_grid, held_grid = outcome_grid(short), outcome_grid(held)
    at = short_grid.floor(draw(st.integers(20_000, 950_000)))
    edge = draw(st.integers(-20_000, 100_000))
    paid = held_grid.floor(min(max(MICROS - at - edge, held_grid.lowest_micros), held_grid.highest_micros))
    short = msgspec.structs.replace(short, price_limit_micros=at, cost_micros=at * planned // MICROS)
    held = msgspec.structs.replace(
        held, price_limit_micros=paid, cost_micros=paid * planned // MICROS, notional_minimum_micros=0
    )
    a, b = (short, held) if name == "leader" else (held, short)
    one = intent(1, planned, leg_a=a, leg_b=b)
    terms = ExecuteTerms(max_loss_per_trade_micros=draw(st.sampled_from((0, MICROS, 10 * MICROS, 500 * MICROS))))
    plan = make_plan(
        one, leader_is_a=True, quantity_micros=planned, terms=terms, ts_ns=T0, position=1, sequence=0, portfolio="main", life=0,
    )  # fmt: skip
    fill = Execution(
        fill_id="f",
        price_micros=paid,
        quantity_micros=filled,
        fee_micros=taker_fee(other_fees, paid, filled),
        final=True,
    )
    order = Order(
        order_id="o",
        role="leader",
        attempt=1,
        leg=OTHER[name],
        side="buy",
        quantity_micros=planned,
        price_limit_micros=paid,
        status="canceled",
        ts_ns=T0,
        executions=(fill,),
    )
    moved = at + draw(st.one_of(st.integers(-30_000, 60_000), st.integers(-300_000, 300_000)))
    shown = short_grid.floor(min(max(moved, short_grid.lowest_micros), short_grid.highest_micros))
    way_out = held_grid.floor(
        min(max(paid - draw(st.integers(0, 200_000)), held_grid.lowest_micros), held_grid.highest_micros)
    )
    trade = Trade(
        intent=one,
        plan=plan,
        leader_is_a=True,
        state="hedging",
        terms=terms,
        orders=(order,),
        **{
            f"top_{name}": _top_of(short, shown, buying=True),
            f"top_{OTHER[name]}": _top_of(held, way_out, buying=False),
        },
    )
    return trade, name, filled


def _top_of(one, price, *, buying):
    """A book that offers (or bids) the leg's outcome at a price."""
    ask = buying == (one.outcome == "yes")
    yes = price if one.outcome == "yes" else MICROS - price
    return top(one.instrument_id, None if ask else yes, yes if ask else None)


@settings(max_examples=400)
@given(unmatched_trades())
def test_the_limit_reaches_what_is_worth_taking_and_is_worth_no_less(case):
    trade, name, quantity = case
    one = trade.leg(name)
    completion = weigh_completion(trade, name, quantity, trade.terms.max_loss_per_trade_micros)
    assume(not completion.refusal)
    bound = bound_of(trade.plan, "hedge", name=name, side="buy")
    limit = completion_limit(trade, name, quantity, completion.threshold_micros, bound.price_worst_micros)
    shown = displayed_price(trade, name, "buy")
    assert shown is not None
    if shown <= bound.price_worst_micros:
        assert limit is not None and limit >= shown
    if limit is not None:
        assert outcome_grid(one).contains(limit) and limit <= bound.price_worst_micros
        assert completed_value(trade, one, limit, quantity) >= completion.threshold_micros
        above = [p for p in _next_prices(outcome_grid(one), limit, 3) if p <= bound.price_worst_micros]
        tiny = quantity * outcome_grid(one).tick_min_micros < 20 * MICROS  # where one rounding unit outweighs a tick
        assert tiny or all(completed_value(trade, one, p, quantity) < completion.threshold_micros for p in above)


def _next_prices(grid, price, count):
    found = []
    while len(found) < count and price < grid.highest_micros:
        price = grid.ceil(price + 1)
        found.append(price)
    return found


@settings(max_examples=200)
@given(unmatched_trades())
def test_the_plan_lets_a_hedge_cost_what_may_be_lost_and_no_more(case):
    trade, name, _ = case
    one, other, quantity = trade.leg(name), trade.leg(OTHER[name]), trade.plan.quantity_micros
    worst = bound_of(trade.plan, "hedge", name=name, side="buy").price_worst_micros
    payout = trade.intent.payout_micros * quantity // trade.intent.quantity_micros

    def left(price):
        spent = sum(
            cost_micros(p, quantity) + taker_fee(each.fee_schedule, p, quantity)
            for each, p in ((one, price), (other, other.price_limit_micros))
        )
        return payout - spent + trade.terms.max_loss_per_trade_micros

    assert worst >= one.price_limit_micros
    assert worst == one.price_limit_micros or left(worst) >= 0


@pytest.mark.parametrize(
    ("quantity", "price_a", "price_b", "moved"),
    [
        (460 * CONTRACT, 450_000, 500_000, 510_000),
        (460 * CONTRACT, 450_000, 500_000, 530_000),
        (257 * CONTRACT, 810_000, 160_000, 180_000),
        (100 * CONTRACT, 450_000, 500_000, 500_000),
    ],
)
def test_a_hedge_that_is_dearer_and_worth_it_is_sent_at_what_is_displayed(quantity, price_a, price_b, moved):
    terms = Terms(execute=ExecuteTerms(pairs_open_max=20, cost_per_leg_micros=500 * MICROS))
    desk = Desk(terms)
    one = intent(1, quantity, price_a=price_a, price_b=price_b)
    size = 10 * quantity
    desk.intent(
        one,
        top(PM, price_a - 30_000, price_a, size=size),
        top(KA, MICROS - price_b, MICROS - price_b + 10_000, size=size),
    )
    desk.top(KA, MICROS - moved, MICROS - moved + 10_000)
    desk.report(desk.sent[0], "filled", quantity)
    (hedge,) = desk.sent[1:]
    assert (hedge.role, hedge.quantity_micros) == ("hedge", quantity)
    assert hedge.price_limit_micros >= moved
    desk.report(hedge, "filled", quantity, price=moved)
    assert desk.trade().state == "closed"


def test_a_hedge_that_could_only_miss_is_not_sent():
    """A few contracts of a large plan: completing is worth it far above the plan's worst price, and is bought as a way out."""
    desk = Desk()
    desk.open(intent(1, 200 * CONTRACT))
    worst = desk.trade().plan.bounds[0].price_worst_micros
    desk.top(KA, MICROS - worst - 20_000, MICROS - worst - 10_000)
    desk.top(PM, 200_000, 400_000)
    desk.report(desk.sent[0], "canceled", 3 * CONTRACT)
    (bought,) = desk.sent[1:]
    assert (bought.role, bought.side, bought.instrument_id) == ("unwind", "buy", KA)
    assert bought.price_limit_micros >= worst + 20_000
    assert desk.reasons("unwinding") == ["worst_price"]
