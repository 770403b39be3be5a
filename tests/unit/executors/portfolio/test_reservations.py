"""Cash that a plan may still need is nobody else's until its trade is done, and is given back to the micro then."""

import pytest

from executors.orders.work import WORKING
from executors.terms import ExecuteTerms, Terms, cash_at
from tests.builders.executors.books import Books
from tests.builders.executors.terms import CALM, ROUGH, cash
from tests.builders.executors.worlds import CONTRACT, KA, MICROS, PM, intent, leg, make_world, run_world, top

DOLLAR = MICROS
#: Just enough cash at each venue for one trade of 200 contracts and its accepted loss.
TIGHT = Terms(execute=ExecuteTerms(cash_micros=cash(115 * DOLLAR), daily_stop_ppm=1_000_000))


def opened(quantity=200 * CONTRACT):
    books = Books(TIGHT)
    one = intent(1, quantity, leg_a=leg(PM, "yes", 400_000, quantity), leg_b=leg(KA, "no", 500_000, quantity))
    books.open(one, top(PM, size=quantity), top(KA, 500_000, 510_000, size=quantity))
    return books


def reserved(books, venue="kalshi"):
    return books.state.standing.ledger.reserved(venue)


def test_between_two_attempts_of_a_hedge_its_cash_waits_for_it():
    books = opened()
    books.fill(books.order())
    held_back = reserved(books)
    books.fill(books.order(), 0, status="canceled")
    assert reserved(books) == held_back, "nothing was bought, and the plan still needs all of it"
    assert books.tries(2) == "cash"
    books.fire("main-i1", "retry")
    hedge = books.order()
    assert (hedge.role, hedge.attempt) == ("hedge", 2)
    assert reserved(books) == held_back
    books.fill(hedge)
    assert reserved(books) == 0 and not books.state.standing.ledger.reservations


def test_what_a_partial_hedge_left_over_waits_for_the_next_attempt():
    books = opened()
    books.fill(books.order())
    held_back, hedge = reserved(books), books.order()
    books.fill(hedge, 50 * CONTRACT, 500_000, 875_000, status="canceled")
    assert reserved(books) == held_back - 25 * DOLLAR - 875_000
    books.fire("main-i1", "retry")
    assert books.order().quantity_micros == 150 * CONTRACT


def test_the_cash_of_a_reversed_purchase_waits_until_it_is_bought_again():
    books = opened()
    books.fill(books.order(), provisional=True)
    leader = books.state.trades["main-i1"].orders[0]
    free = books.state.standing.ledger.free("polymarket", cash_at(TIGHT.execute, "polymarket"))
    books.fill(books.order())
    undone = leader.executions[0]
    books.fill(books.sent[0], undone.quantity_micros, undone.price_micros, undone.fee_micros, undo=undone.fill_id)
    again = books.order()
    assert (again.role, again.instrument_id, again.side) == ("hedge", PM, "buy")
    assert reserved(books, "polymarket") >= again.reserved_micros
    assert books.state.standing.ledger.free("polymarket", cash_at(TIGHT.execute, "polymarket")) <= free + 1 * DOLLAR


@pytest.mark.parametrize("terms", [CALM, ROUGH], ids=["calm", "rough"])
@pytest.mark.parametrize("seed", range(4))
def test_nothing_stays_reserved_for_trades_that_are_done(terms, seed):
    engine, _ = run_world(make_world(seed, 900), terms)
    state = engine.state
    alive = {name for name, trade in state.trades.items() if trade.state in WORKING or trade.live_order is not None}
    for key in state.standing.ledger.reservations:
        assert any(key.startswith(name) for name in alive), key
