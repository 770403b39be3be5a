"""Tables of prices and what they lead to: the ways out of an unmatched trade, whether completing pays, and up to which price.

YES of the leader was bought at 40 cents, NO of the hedge is missing (or the other way round); a pair pays a dollar, fees are none.
All prices are cents in the outcome's own terms: what is bid for what we have too much of, what is asked for what we lack.
"""

from typing import NamedTuple

import msgspec
import pytest

from crossbook.domain.fees import make_schedule
from executors.hedge.choice import (
    completion_limit,
    displayed_price,
    unwind_choice,
    weigh_completion,
    within,
)
from executors.hedge.plan import bound_of, make_plan
from executors.hedge.trade import Trade
from executors.orders.order import Execution, Order
from executors.terms import ExecuteTerms
from tests.builders.executors.worlds import CONTRACT, KA, LOT, MICROS, PM, T0, intent, leg, top

CENT = 10_000
FREE = make_schedule(model="free", ts_effective_ns=0, source="test")
DOLLAR = MICROS


class Book(NamedTuple):
    """One price of a book, cents; None: nothing is displayed. Stale: the book is not usable."""

    cents: int | None
    stale: bool = False


NOTHING = Book(None)


def stale(cents):
    return Book(cents, stale=True)


def seen(one, price, *, buying):
    """The top that shows a price of a leg's outcome."""
    book = price if isinstance(price, Book) else Book(price)
    if book.cents is None:
        return top(one.instrument_id, None, None, usable=not book.stale)
    yes = (book.cents if one.outcome == "yes" else 100 - book.cents) * CENT
    bid, ask = (None, yes) if buying == (one.outcome == "yes") else (yes, None)
    return top(one.instrument_id, bid, ask, usable=not book.stale)


def unmatched(bid, ask, quantity=100 * CONTRACT, *, excess="leader", final=True, step=LOT):
    """A trade of 200 contracts of which a quantity of one leg is bought at 40 cents, and nothing of the other."""
    a = leg(PM, "yes", 40 * CENT, 200 * CONTRACT, fee_schedule=FREE)
    b = leg(KA, "no", 50 * CENT, 200 * CONTRACT, fee_schedule=FREE, quantity_step_micros=step)
    one = intent(1, 200 * CONTRACT, leg_a=a, leg_b=b)
    terms = ExecuteTerms()
    plan = make_plan(
        one,
        leader_is_a=True,
        quantity_micros=200 * CONTRACT,
        terms=terms,
        ts_ns=T0,
        position=1,
        sequence=0,
        portfolio="main",
        life=0,
    )
    lead = excess == "leader"
    fill = Execution(fill_id="f", price_micros=40 * CENT, quantity_micros=quantity, fee_micros=0, final=final)
    order = Order(
        order_id="o", role="leader", attempt=1, leg=excess, side="buy", quantity_micros=quantity, price_limit_micros=40 * CENT,
        status="canceled", ts_ns=T0, executions=(fill,),
    )  # fmt: skip
    too_much, missing = (a, b) if lead else (b, a)
    tops = {"leader": seen(too_much, bid, buying=False), "hedge": seen(missing, ask, buying=True)}
    return Trade(
        intent=one, plan=plan, leader_is_a=True, state="unwinding", terms=terms, orders=(order,),
        top_leader=tops["leader" if lead else "hedge"], top_hedge=tops["hedge" if lead else "leader"],
    )  # fmt: skip


def said(way):
    """`sell leader 100 @ 38`"""
    return f"{way.side} {way.leg} {way.quantity_micros / CONTRACT:g} @ {way.price_micros / CENT:g}"


BUY, SELL = "buy hedge 100 @", "sell leader 100 @"


@pytest.mark.parametrize(
    ("bid", "ask", "made", "ways"),
    [
        pytest.param(38, 51, 0, [f"{BUY} 51", f"{SELL} 38"], id="completing brings 49 cents and selling 38"),
        pytest.param(50, 51, 0, [f"{SELL} 50", f"{BUY} 51"], id="selling brings a cent more"),
        pytest.param(49, 51, 0, [f"{SELL} 49", f"{BUY} 51"], id="both bring the same: the position shrinks"),
        pytest.param(38, 51, 2, [f"{BUY} 54", f"{SELL} 35"], id="each attempt accepts a cent more"),
        pytest.param(2, 98, 5, [f"{SELL} 1", f"{BUY} 99"], id="no limit leaves the grid"),
        pytest.param(NOTHING, 51, 0, [f"{BUY} 51", f"{SELL} 40"], id="nothing bid: the planned price bounds the sale"),
        pytest.param(stale(38), 51, 0, [f"{BUY} 51", f"{SELL} 38"], id="a stale bid is no worth, but the last price seen"),
        pytest.param(38, NOTHING, 0, [f"{SELL} 38"], id="nothing asked: nothing to buy"),
        pytest.param(38, stale(51), 0, [f"{SELL} 38"], id="a stale ask is no price"),
        pytest.param(NOTHING, NOTHING, 0, [f"{SELL} 40"], id="two empty books"),
    ],
)  # fmt: skip
def test_what_is_too_much_is_sold_or_completed_whichever_brings_more(bid, ask, made, ways):
    assert [said(way) for way in unwind_choice(unmatched(bid, ask), made, CENT if made else 0, 10 * DOLLAR)] == ways


@pytest.mark.parametrize(
    ("bid", "ask", "ways"),
    [
        pytest.param(38, 51, [f"{BUY} 51"], id="completing is better anyway"),
        pytest.param(49, 51, [f"{BUY} 51"], id="as good: why wait"),
        pytest.param(60, 51, [], id="selling is better: wait until it is possible"),
        pytest.param(NOTHING, 51, [f"{BUY} 51"], id="nothing is bid"),
        pytest.param(stale(60), 51, [f"{BUY} 51"], id="a stale bid is nothing to wait for"),
        pytest.param(5, 70, [f"{BUY} 70"], id="it loses the ten dollars that a trade may lose"),
        pytest.param(5, 71, [], id="it loses a cent a contract more"),
        pytest.param(38, NOTHING, [], id="nothing can be done"),
    ],
)
def test_what_is_not_final_cannot_be_sold_and_is_completed_unless_waiting_is_better(bid, ask, ways):
    trade = unmatched(bid, ask, final=False)
    assert [said(way) for way in unwind_choice(trade, 0, 0, 10 * DOLLAR)] == ways


@pytest.mark.parametrize(
    ("trade", "ways"),
    [
        pytest.param(unmatched(38, 51, excess="hedge"), ["buy leader 100 @ 51", "sell hedge 100 @ 38"], id="too much of the hedge"),
        pytest.param(unmatched(38, 51, 2 * CONTRACT, excess="hedge"), ["buy leader 2 @ 51", "sell hedge 2 @ 38"], id="two contracts cost a dollar"),
        pytest.param(unmatched(38, 49, 2 * CONTRACT, excess="hedge"), ["sell hedge 2 @ 38"], id="and below a dollar the venue takes no order"),
        pytest.param(unmatched(38, 51, 5 * CONTRACT // 2, step=CONTRACT), ["buy hedge 2 @ 51", "sell leader 2.5 @ 38"], id="each in the steps of its leg"),
        pytest.param(unmatched(38, 51, CONTRACT // 2, step=CONTRACT), ["sell leader 0.5 @ 38"], id="less than a step cannot be bought"),
        pytest.param(unmatched(38, 51, CONTRACT // 2, excess="hedge", step=CONTRACT), [], id="nor sold"),
    ],
)  # fmt: skip
def test_steps_and_minimums_of_the_venues_decide_what_can_be_done(trade, ways):
    assert [said(way) for way in unwind_choice(trade, 0, 0, 10 * DOLLAR)] == ways


@pytest.mark.parametrize(
    ("bid", "ask", "loss", "refusal", "threshold"),
    [
        pytest.param(38, 51, 0, "", 40, id="worth 49 cents, which cost 40"),
        pytest.param(38, 51, 10, "", 38, id="with ten cents to lose, selling is the bound"),
        pytest.param(20, 51, 10, "", 30, id="what was paid less what may be lost is the bound"),
        pytest.param(50, 51, 10, "completion_costs_more", 50, id="selling brings more"),
        pytest.param(49, 51, 10, "", 49, id="as much is enough"),
        pytest.param(20, 75, 10, "max_loss", 30, id="25 cents lose fifteen"),
        pytest.param(NOTHING, 75, 10, "max_loss", 30, id="without a way out, too"),
        pytest.param(NOTHING, 70, 10, "", 30, id="thirty lose ten"),
        pytest.param(20, NOTHING, 10, "depth_collapsed", 30, id="nothing is asked"),
        pytest.param(20, stale(75), 10, "", 30, id="a stale book is not weighed"),
    ],
)
def test_completing_pays_when_it_beats_the_way_out_and_loses_no_more_than_may_be_lost(bid, ask, loss, refusal, threshold):  # fmt: skip
    completion = weigh_completion(unmatched(bid, ask), "hedge", 100 * CONTRACT, loss * DOLLAR)  # a cent a contract
    assert completion == (refusal, threshold * DOLLAR)


@pytest.mark.parametrize("ask", [49, NOTHING, stale(49)])
def test_what_the_venue_would_not_take_is_no_completion(ask):
    trade = unmatched(38, ask, 2 * CONTRACT, excess="hedge")
    assert weigh_completion(trade, "leader", 2 * CONTRACT, 0).refusal == "below_minimum"


@pytest.mark.parametrize(
    ("ask", "threshold", "worst", "limit"),
    [
        pytest.param(51, 38, 70, 62, id="up to where it is worth no more than the threshold"),
        pytest.param(51, 38, 55, 55, id="and no dearer than the plan"),
        pytest.param(62, 38, 70, 62, id="what is displayed is reached"),
        pytest.param(70, 38, 90, 62, id="what is displayed too dear is not"),
        pytest.param(70, 100, 90, None, id="no price is worth a dollar"),
        pytest.param(51, 38, 0, None, id="the plan allows no price of the grid"),
        pytest.param(stale(51), 38, 70, 50, id="blind: the limit of the intent"),
        pytest.param(stale(51), 38, 45, 45, id="blind: the plan"),
        pytest.param(NOTHING, 99, 70, 50, id="blind: nothing is weighed"),
    ],
)
def test_the_limit_of_completing_is_the_highest_price_that_pays(ask, threshold, worst, limit):
    found = completion_limit(unmatched(38, ask), "hedge", 100 * CONTRACT, threshold * DOLLAR, worst * CENT)
    assert found == (None if limit is None else limit * CENT)


@pytest.mark.parametrize(
    ("side", "worst", "price", "found"),
    [
        ("buy", 55 * CENT, 52 * CENT, 52 * CENT),
        ("buy", 55 * CENT, 52 * CENT + 1, 52 * CENT),
        ("buy", 55 * CENT, 60 * CENT, 55 * CENT),
        ("buy", 55 * CENT + 5, 60 * CENT, 55 * CENT),
        ("buy", 55 * CENT, 5, 1 * CENT),
        ("sell", 30 * CENT, 35 * CENT, 35 * CENT),
        ("sell", 30 * CENT, 20 * CENT, 30 * CENT),
        ("sell", 30 * CENT + 5, 20 * CENT, 31 * CENT),
    ],
)
def test_a_price_stays_on_the_grid_and_no_worse_than_its_bound(side, worst, price, found):
    trade = unmatched(38, 51)
    bound = msgspec.structs.replace(
        bound_of(trade.plan, "hedge", name="hedge", side="buy"), side=side, price_worst_micros=worst
    )
    assert within(bound, trade.leg("hedge"), price) == found


@pytest.mark.parametrize(("book", "cents"), [(38, 38), (NOTHING, None), (stale(38), None)])
def test_only_a_usable_book_displays_a_price(book, cents):
    trade = unmatched(book, 51)
    assert displayed_price(trade, "leader", "sell") == (None if cents is None else cents * CENT)
    assert displayed_price(msgspec.structs.replace(trade, top_leader=None), "leader", "sell") is None
    assert (displayed_price(trade, "leader", "buy"), displayed_price(trade, "hedge", "buy")) == (None, 51 * CENT)
