"""Caps hold for whoever asks, what is too much of a leg is sold, and only an answer that says so ends a row of rejections."""

import msgspec
import pytest

from crossbook.domain.fees import taker_fee
from executors.terms import ExecuteTerms, Terms, cash_at
from tests.builders.executors.desk import Desk
from tests.builders.executors.terms import cash
from tests.builders.executors.worlds import CONTRACT, KA, KA_FEES, MICROS, PM, intent, top


def doubled(quantity, **limits):
    """A desk whose first hedge was declared dead, whose second filled, and whose first then filled as well."""
    desk = Desk(Terms(execute=ExecuteTerms(pairs_open_max=20, **limits)))
    size = 10 * quantity
    desk.intent(intent(1, quantity), top(PM, 390_000, 400_000, size=size), top(KA, 500_000, 510_000, size=size))
    desk.report(desk.sent[0], "filled", quantity)
    first = desk.sent[1]
    desk.fire("order_timeout", first.order_id)
    desk.fire("finality", first.order_id)
    desk.fire("retry")
    desk.report(desk.sent[2], "filled", quantity)
    desk.report(first, "filled", quantity)
    return desk


@pytest.mark.parametrize("quantity", [10 * CONTRACT, 398 * CONTRACT])
def test_a_late_fill_of_a_dead_hedge_is_sold_and_no_leg_is_bought_past_the_plan(quantity):
    desk = doubled(quantity)
    sale = desk.sent[3]
    assert (sale.instrument_id, sale.side, sale.quantity_micros) == (KA, "sell", quantity)
    assert desk.reasons("unwinding") == ["more_than_planned"]
    desk.report(sale, "filled", quantity)
    assert (desk.trade().held("leader"), desk.trade().held("hedge")) == (quantity, quantity)
    assert desk.trade().state == "closed" and len(desk.sent) == 4


def test_a_reversed_leader_is_bought_again_only_as_far_as_the_plan_goes():
    """Leader reversed and hedge doubled: what the plan holds is bought, the rest is sold."""
    desk = Desk()
    desk.open(intent())
    quantity = 10 * CONTRACT
    desk.report(desk.sent[0], "filled", quantity, fill_id="f", final=False)
    first = desk.sent[1]
    desk.fire("order_timeout", first.order_id)
    desk.fire("finality", first.order_id)
    desk.fire("retry")
    desk.report(desk.sent[2], "filled", quantity)
    desk.report(desk.sent[0], "filled", quantity, fill_id="f", reversed_=True)
    again = desk.sent[3]
    assert (again.instrument_id, again.side, again.quantity_micros) == (PM, "buy", quantity)
    desk.report(first, "filled", quantity)
    desk.report(again, "filled", quantity)
    assert (desk.sent[4].instrument_id, desk.sent[4].side, desk.sent[4].quantity_micros) == (KA, "sell", quantity)
    assert len(desk.sent) == 5


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"cost_per_leg_micros": 56 * MICROS}, "leg_limit"),
        ({"category_cost_micros": 93 * MICROS}, "category_limit"),
        ({"cash_micros": cash(66 * MICROS)}, "cash"),
    ],
)
def test_a_hedge_that_became_dearer_buys_what_its_cap_allows_and_sells_the_rest(limits, reason):
    """A hundred contracts at .40 and .50; the hedge is displayed at .65 when it is sent."""
    quantity = 100 * CONTRACT
    desk = Desk(Terms(execute=ExecuteTerms(pairs_open_max=20, **limits)))
    desk.intent(intent(1, quantity), top(PM, 390_000, 400_000), top(KA, 500_000, 510_000))
    planned = desk.trade().plan.quantity_micros
    desk.top(PM, 300_000, 310_000)
    desk.top(KA, 350_000, 360_000)
    desk.report(desk.sent[0], "filled", planned)
    ledger, terms = desk.state.standing.ledger, desk.state.terms.execute
    hedge = desk.sent[1]
    assert hedge.role == "hedge" and planned * 3 // 4 < hedge.quantity_micros < planned, "as much as fits"
    while desk.sent[-1].side == "buy":
        if desk.trade().live_order is None:
            desk.fire("retry")
        else:
            bought = desk.sent[-1]
            fee = taker_fee(KA_FEES, 650_000, bought.quantity_micros)
            desk.report(bought, "filled", bought.quantity_micros, price=650_000, fee=fee)
        out = sum(r.amount_micros for key, r in ledger.reservations.items() if key in {o.order_id for o in desk.sent})
        costs = {p.place.instrument_id: p.cost_micros for p in ledger.positions.values()}
        assert costs.get(KA, 0) + out <= terms.cost_per_leg_micros
        assert sum(costs.values()) + out <= terms.category_cost_micros
        assert ledger.free("kalshi", cash_at(terms, "kalshi")) >= 0
    assert desk.reasons("unwinding") == [reason]
    assert (desk.sent[-1].instrument_id, desk.sent[-1].side) == (PM, "sell")
    assert desk.sent[-1].quantity_micros == desk.trade().residual


# The breaker

NEUTRAL = ("delayed", "canceled", "expired", "unknown")


def rejected_times(count, before="", after=None):
    """A desk on which so many leaders were rejected, each after a word of its own; `after`: said of the last but one."""
    desk = Desk()
    for number in range(1, count + 1):
        desk.intent(intent(number, pair_id=f"p{number}"), top(PM, 390_000, 400_000), top(KA, 500_000, 510_000))
        if before:
            desk.report(desk.sent[-1], before)
        if after is not None and number == count:
            after(desk)
        desk.report(desk.sent[-1], "rejected")
        desk.report(desk.sent[-1], "rejected")  # told twice, counted once
    return desk


@pytest.mark.parametrize("before", ["", "delayed"])
def test_a_row_of_rejections_opens_the_breaker_also_where_takers_are_delayed(before):
    assert rejected_times(4, before).state.standing.breaker_until_ns == {}
    desk = rejected_times(5, before)
    assert desk.state.standing.breaker_until_ns.keys() == {"polymarket"}
    desk.open(intent(6))
    assert desk.reasons("declined") == ["venue_errors"]


def _with_an_open_trade(said):
    def tell(desk):
        order = desk.sent[-1]
        desk.state.trades["old"] = msgspec.structs.replace(
            desk.trade(order.trade_id),
            intent=msgspec.structs.replace(desk.trade(order.trade_id).intent, intent_id="old"),
            plan=msgspec.structs.replace(desk.trade(order.trade_id).plan, trade_id="old"),
            orders=(msgspec.structs.replace(desk.trade(order.trade_id).orders[0], order_id="old-l1"),),
        )
        said(desk, msgspec.structs.replace(order, order_id="old-l1", trade_id="old"))

    return tell


ENDS = {
    "accepted": (lambda d, o: d.report(o, "accepted"), True),
    "filled": (lambda d, o: d.report(o, "filled", 10 * CONTRACT), True),
    "partially_filled": (lambda d, o: d.report(o, "partially_filled", CONTRACT), True),
    **{status: (lambda d, o, s=status: d.report(o, s), False) for status in NEUTRAL},
}


@pytest.mark.parametrize("said", ENDS)
def test_only_an_acceptance_or_a_fill_ends_a_row(said):
    tell, ends = ENDS[said]
    desk = rejected_times(5, after=_with_an_open_trade(tell))
    assert bool(desk.state.standing.breaker_until_ns) is not ends


def test_a_fill_told_again_and_its_confirmation_end_no_row():
    desk = Desk()
    desk.open(intent(1))
    leader = desk.sent[0]
    desk.report(leader, "filled", 10 * CONTRACT, fill_id="f", final=False)
    for number in range(2, 7):
        desk.intent(intent(number, pair_id=f"p{number}"), top(PM, 390_000, 400_000), top(KA, 500_000, 510_000))
        desk.report(desk.sent[-1], "rejected")
        desk.report(leader, "filled", 10 * CONTRACT, fill_id="f", final=False)
        desk.report(leader, "filled", fill_id="f")  # mined
    assert desk.state.standing.breaker_until_ns.keys() == {"polymarket"}
