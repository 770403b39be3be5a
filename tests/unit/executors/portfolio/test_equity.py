"""Equity by trade: what is known counts at once and only once, whatever pays first; the loss stops see nothing else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executors.portfolio.equity import EquityBook, TradeEquity, TradeTerms
from executors.portfolio.risk import Standing, periods_of
from executors.terms import ExecuteTerms, Terms
from schemas.records import (
    Fill,
    FillReversed,
    TradePlan,
)
from tests.builders.executors.books import DAY_NS, Books
from tests.builders.executors.worlds import CONTRACT, KA, KA_FEES, MICROS, PM, T0, intent, leg, top
from tests.builders.oracles.equity import Bought, worth_of
from tests.builders.oracles.equity import Terms as OracleTerms

DOLLAR = MICROS


def adopted(book, trade_id, terms):
    book.adopt(trade_id, TradeEquity(terms))


def hedged(quantity=500 * CONTRACT, prices=(450_000, 490_000), terms=None):
    """Both legs of one trade held: $500 of contracts at 94 cents a pair unless told otherwise."""
    books = Books(terms)
    a, b = prices
    one = intent(1, quantity, leg_a=leg(PM, "yes", a, quantity), leg_b=leg(KA, "no", b, quantity))
    deep = 2 * quantity
    books.open(one, top(PM, a - 10_000, a, size=deep), top(KA, MICROS - b, MICROS - b + 10_000, size=deep))
    books.fill(books.order(), price=a)
    books.fill(books.order(), price=b)
    return books


ROOMY = Terms(execute=ExecuteTerms(cost_per_leg_micros=1_000 * DOLLAR, pairs_open_max=99))


def test_what_is_matched_counts_at_its_worst_payout_from_the_moment_it_is_held():
    assert hedged(terms=ROOMY).today() == 30 * DOLLAR


@pytest.mark.parametrize("first", [PM, KA], ids=["the winner pays first", "the loser pays first"])
@pytest.mark.parametrize("payout", [0, MICROS])
def test_no_venue_s_payout_changes_what_was_known(first, payout):
    books = hedged(terms=ROOMY)
    books.now += DAY_NS
    for instrument_id in (first, KA if first == PM else PM):
        books.settle(instrument_id, payout)
        assert books.today() == 0, "the pair pays what was locked in yesterday, whoever pays first"
        assert books.tries(books.reports + books.state.next_sequence) == "opened"
    assert books.state.standing.equity.trades["main-i1"].equity_micros == 30 * DOLLAR
    assert books.state.standing.ledger.realised_micros == 30 * DOLLAR


def test_a_winner_that_pays_first_does_not_hide_a_loss():
    books = hedged(terms=ROOMY)
    books.now += DAY_NS
    books.settle(PM, MICROS)  # +$275 in cash, nothing new
    quantity = 500 * CONTRACT
    one = intent(2, quantity, pair_id="p2", leg_a=leg(PM + "2", "yes", 450_000, quantity),
                 leg_b=leg(KA + "2", "no", 490_000, quantity), valid_until_ns=books.now + DAY_NS)  # fmt: skip
    books.open(one, top(PM + "2", 240_000, 450_000, size=quantity), top(KA + "2", 510_000, 520_000, size=quantity))
    books.fill(books.order())
    assert books.today() == -105 * DOLLAR, "a naked leg counts at its bid"
    assert books.tries(3) == "daily_stop"


def test_a_completion_at_a_loss_counts_as_that_loss_at_once():
    books = Books(ROOMY)
    quantity = 100 * CONTRACT
    for number in range(1, 13):
        a, b = f"{PM}-{number}", f"{KA}-{number}"
        one = intent(number, quantity, pair_id=f"p{number}", leg_a=leg(a, "yes", 450_000, quantity, category=str(number)),
                     leg_b=leg(b, "no", 500_000, quantity, category=str(number)), valid_until_ns=T0 + DAY_NS)  # fmt: skip
        books.open(one, top(a, 440_000, 450_000, size=quantity), top(b, 500_000, 510_000, size=quantity))
        order = books.order()
        books.fill(order)
        books.fill(books.order(), price=610_000)
        assert books.today() == -6 * DOLLAR * number
    assert books.today() == -72 * DOLLAR


def test_an_unwind_s_loss_is_that_of_its_trade_and_not_of_the_pooled_instrument():
    books = Books(ROOMY)
    book = books.state.standing.equity
    terms = {"cheap": 200_000, "dear": 600_000}
    for name in terms:
        adopted(book, name, TradeTerms(0, (PM, f"{KA}{name}"), ("yes", "no"), (1, 100), 100 * CONTRACT, 100 * CONTRACT))
        book.execute(name, PM, "yes", "buy", terms[name], 100 * CONTRACT, 0)
    book.execute("dear", PM, "yes", "sell", 550_000, 100 * CONTRACT, 0)
    assert book.trades["dear"].equity_micros == -5 * DOLLAR
    assert book.worth("dear").unwound_micros == -5 * DOLLAR


def test_a_late_event_of_yesterday_books_into_yesterday_and_leaves_today_alone():
    standing = Standing()
    midnight = T0 // DAY_NS * DAY_NS + DAY_NS
    standing.note_equity(midnight + 1, -150 * DOLLAR)
    standing.note_equity(midnight - 1, -1)
    standing.note_equity(midnight + 2, -1)
    assert standing.equity_in("day", midnight) == -150 * DOLLAR - 1
    assert standing.equity_in("day", midnight - 1) == -1
    assert periods_of(midnight)["day"] == periods_of(midnight - 1)["day"] + 1


@pytest.mark.parametrize(
    ("seen", "worth"),
    [
        (top(PM, 440_000, 450_000), 44 * DOLLAR),
        (top(PM, 300_000, 450_000), 30 * DOLLAR),
        (top(PM, 440_000, 450_000, usable=False), 0),
        (top(PM, None, 450_000), 0),
    ],
)
def test_unmatched_contracts_are_worth_what_the_last_top_would_pay_and_nothing_without_one(seen, worth):
    book = EquityBook()
    adopted(book, "t", TradeTerms(0, (PM, KA), ("yes", "no"), (1, 100), 100 * CONTRACT, 100 * CONTRACT))
    assert book.execute("t", PM, "yes", "buy", 450_000, 100 * CONTRACT, 0) == -45 * DOLLAR
    assert book.see(seen) == worth
    assert book.worth("t").marked_micros == worth - 45 * DOLLAR
    assert book.worth("t").locked_micros == 0


@pytest.mark.parametrize(
    ("payouts", "difference"),
    [((500_000, 500_000), 0), ((500_000, MICROS), -50), ((500_000, 0), 50), ((306_000, 306_000), 0)],
    ids=["both void", "a void, b pays YES", "a void, b pays NO", "scalar on both"],
)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_difference_to_the_worst_payout_counts_when_both_payouts_are_known(payouts, difference, order):
    """100 pairs of YES at a and NO at b; the worst payout was thought to be a dollar."""
    book = EquityBook()
    adopted(book, "t", TradeTerms(0, (PM, KA), ("yes", "no"), (1, 1), 100 * CONTRACT, 100 * CONTRACT))
    book.execute("t", PM, "yes", "buy", 450_000, 100 * CONTRACT, 0)
    book.execute("t", KA, "no", "buy", 490_000, 100 * CONTRACT, 0)
    names = (PM, KA)
    assert book.settle(names[order[0]], payouts[order[0]]) == 0
    assert book.settle(names[order[1]], payouts[order[1]]) == difference * DOLLAR


def test_a_second_word_on_a_payout_changes_nothing():
    books = hedged(terms=ROOMY)
    books.settle(PM, MICROS)
    books.settle(KA, MICROS)
    was = books.state.standing.ledger.spent("polymarket"), books.today()
    books.settle(PM, 0)
    assert (books.state.standing.ledger.spent("polymarket"), books.today()) == was


# Any history: the book, the ledger and the oracle agree

QUANTITY = st.integers(1, 300).map(lambda lots: lots * 10_000)
PRICE = st.integers(1, 999).map(lambda mills: mills * 1_000)
SIDE = st.none() | PRICE
EVENT = st.one_of(
    st.tuples(st.just("buy"), st.integers(0, 1), st.integers(0, 1), PRICE, QUANTITY, st.integers(-50, 30_000)),
    st.tuples(st.just("sell"), st.integers(0, 1), st.integers(0, 1), PRICE, QUANTITY, st.integers(0, 30_000)),
    st.tuples(st.just("undo"), st.integers(0, 30)),
    st.tuples(st.just("see"), st.integers(0, 1), SIDE, SIDE, st.booleans()),
    st.tuples(st.just("settle"), st.integers(0, 1), st.sampled_from([0, 306_001, 500_000, MICROS])),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(EVENT, max_size=40), st.sampled_from([1, 100, 10_000]), st.integers(900_000, 1_000_000))
def test_every_history_comes_to_what_the_oracle_says(events, unit, payout):
    """Two trades share both instruments: executions, reversals, marks and payouts in any order."""
    book, total = EquityBook(), 0
    outcomes, quantity = ("yes", "no"), 7 * CONTRACT
    names = (PM, KA)
    for trade in ("t0", "t1"):
        adopted(book, trade, TradeTerms(0, names, outcomes, (1, unit), payout, quantity))
    standing = {"t0": [], "t1": []}
    marks, payouts = [(None, None), (None, None)], [None, None]
    for name, *args in events:
        if name in {"buy", "sell"}:
            number, which, price, amount, fee = args
            trade = f"t{number}"
            standing[trade].append(Bought(which, name, price, amount, fee))
            total += book.execute(trade, names[which], outcomes[which], name, price, amount, fee)
        elif name == "undo":
            trade = f"t{args[0] % 2}"
            if standing[trade]:
                gone = standing[trade].pop(args[0] % len(standing[trade]))
                total += book.execute(trade, names[gone.leg], outcomes[gone.leg], *gone[1:], undo=True)
        elif name == "see":
            which, bid, ask, usable = args
            if payouts[which] is None:
                marks[which] = (bid, ask) if usable else (None, None)
            total += book.see(top(names[which], bid, ask, usable=usable))
        elif payouts[args[0]] is None:
            payouts[args[0]] = args[1]
            total += book.settle(names[args[0]], args[1])
    terms = OracleTerms(outcomes, (1, unit), payout, quantity)
    sums = 0
    for trade, executions in standing.items():
        worth = book.worth(trade)
        expected = worth_of(terms, executions, marks, payouts)
        assert (worth.equity_micros, worth.locked_micros, worth.marked_micros, worth.unwound_micros) == expected
        assert book.trades[trade].equity_micros == expected[0]
        sums += expected[0]
    assert total == sums, "the changes that the stops add up are the equity there is"


def test_ledger_equity_and_fills_agree_when_all_is_paid_out():
    books = hedged(quantity=500 * CONTRACT + 10_000, terms=ROOMY)
    books.settle(KA, 306_000)
    books.settle(PM, 306_000)
    fills = [record for record in books.out if isinstance(record, (Fill, FillReversed, TradePlan))]
    assert not fills
    standing = books.state.standing
    assert standing.equity.trades["main-i1"].equity_micros == standing.ledger.realised_micros == books.today()
    unit = KA_FEES.member_precision_micros
    assert unit == 100 and (standing.ledger.positions[KA, "no"].lots["main-i1"].paid_micros % unit) == 0
