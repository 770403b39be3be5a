"""The ledger conserves: free + reserved + cost of positions = capital + realised, whatever happens in whatever order."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.domain.money import MICROS
from executors.portfolio.ledger import Account, Ledger, Place, Reservation

CAPITAL = 5_000 * MICROS
PLACES = (Place(Account("kalshi", 0), "kalshi:A", "sports"), Place(Account("kalshi", 1), "kalshi:B", "politics"))
QUANTITY = st.integers(1, 500).map(lambda lots: lots * 10_000)
PRICE = st.integers(1, 99).map(lambda cents: cents * 10_000)
FEE = st.integers(0, 30_000)
ACTION = st.one_of(
    st.tuples(st.just("buy"), PRICE, QUANTITY, FEE),
    st.tuples(st.just("sell"), PRICE, QUANTITY, FEE),
    st.tuples(st.just("undo"), st.integers(0, 9), st.just(0), st.just(0)),
    st.tuples(st.just("reserve"), QUANTITY, st.just(0), st.just(0)),
    st.tuples(st.just("add"), st.integers(0, 9), QUANTITY, st.just(0)),
    st.tuples(st.just("consume"), st.integers(0, 9), QUANTITY, st.just(0)),
    st.tuples(st.just("release"), st.integers(0, 9), st.just(0), st.just(0)),
    st.tuples(st.just("settle"), st.sampled_from([0, 306_001, 500_000, MICROS]), st.just(0), st.just(0)),
)


TRADES = ("t0", "t1")


def conserves(ledger):
    cost = sum(p.cost_micros for p in ledger.positions.values())
    free = ledger.free("kalshi", CAPITAL)
    assert free + ledger.reserved("kalshi") + cost == CAPITAL + ledger.realised_micros
    assert ledger.reserved("kalshi") == sum(r.amount_micros for r in ledger.reservations.values())
    assert all(r.amount_micros > 0 for r in ledger.reservations.values())
    for position in ledger.positions.values():
        lots = position.lots.values()
        assert position.quantity_micros == sum(lot.quantity_micros for lot in lots)
        assert position.cost_micros == sum(lot.cost_micros for lot in lots)
        assert all(lot.cost_micros >= 0 for lot in lots)
        assert all(lot.quantity_micros > 0 or not lot.cost_micros for lot in lots), "no cost without contracts"
    assert sum(ledger.instrument_cost(p.instrument_id) for p in PLACES) == cost + ledger.reserved("kalshi")
    assert sum(ledger.category_cost(p.category) for p in PLACES) == cost + ledger.reserved("kalshi")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TRADES), st.integers(0, 1), ACTION), max_size=40))
def test_it_conserves(actions):
    ledger, bought, reserved = Ledger(), [], 0
    for trade, which, (name, first, second, third) in actions:
        place = PLACES[which]
        if name == "buy":
            ledger.fill(trade, place, "yes", "buy", first, second, third)
            bought.append((trade, place, "yes", "buy", first, second, third))
        elif name == "sell":
            ledger.fill(trade, place, "yes", "sell", first, second, min(third, first * second // MICROS))
        elif name == "undo" and bought:
            ledger.reverse(*bought.pop(first % len(bought)))
        elif name == "reserve":
            ledger.reserve(f"r{reserved}", place, first)
            reserved += 1
        elif name == "add":
            ledger.add_to(f"r{first}", ledger.reservations.get(f"r{first}", Reservation(place, 0)).place, second)
            reserved = max(reserved, first + 1)
        elif name == "consume":
            ledger.consume(f"r{first}", second)
        elif name == "release":
            ledger.release(f"r{first}")
        elif name == "settle":
            ledger.settle(place.instrument_id, first)
        conserves(ledger)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(PRICE, QUANTITY, FEE), min_size=1, max_size=6), st.integers(0, MICROS), st.data())
def test_a_reversal_after_the_payout_leaves_what_a_reversal_before_it_leaves(purchases, payout, data):
    """No phantom: the cash of a purchase that never was comes back, and what was paid out for it goes."""
    gone = data.draw(st.sets(st.integers(0, len(purchases) - 1)))
    place = PLACES[0]._replace(payout_unit_micros=100)
    before, after = Ledger(), Ledger()
    for number, (price, quantity, fee) in enumerate(purchases):
        one = ("t0", place, "yes", "buy", price, quantity, fee)
        after.fill(*one)
        if number not in gone:
            before.fill(*one)
    before.settle("kalshi:A", payout)
    after.settle("kalshi:A", payout)
    for number in gone:
        price, quantity, fee = purchases[number]
        after.reverse("t0", place, "yes", "buy", price, quantity, fee)
    assert after.spent("kalshi") == before.spent("kalshi")
    assert after.realised_micros == before.realised_micros
    assert after.quantity("kalshi:A", "yes") == 0 and not after.holds("kalshi:A")


def test_a_sale_reported_after_the_payout_gives_back_what_was_paid_for_it():
    ledger, place = Ledger(), PLACES[0]
    ledger.fill("t0", place, "yes", "buy", 400_000, 100 * MICROS, 0)
    ledger.settle("kalshi:A", MICROS)
    ledger.fill("t0", place, "yes", "sell", 700_000, 40 * MICROS, 0)
    assert ledger.realised_micros == 60 * MICROS + 28 * MICROS - 40 * MICROS
    assert ledger.quantity("kalshi:A", "yes") == 0


def test_profit_is_realised_after_fees_and_only_when_a_position_shrinks():
    ledger, place = Ledger(), PLACES[0]
    ledger.fill("t0", place, "no", "buy", 400_000, 10 * MICROS, 20_000)
    assert ledger.realised_micros == 0
    ledger.fill("t0", place, "no", "sell", 500_000, 5 * MICROS, 10_000)
    assert ledger.realised_micros == 2_490_000 - 2_010_000
    ledger.settle("kalshi:A", 0)
    assert ledger.realised_micros == 480_000 + 2_990_000
    assert ledger.spent("kalshi") == -ledger.realised_micros


def test_a_sale_costs_what_its_own_trade_paid():
    ledger, place = Ledger(), PLACES[0]
    ledger.fill("cheap", place, "yes", "buy", 200_000, 400 * MICROS, 0)
    ledger.fill("dear", place, "yes", "buy", 600_000, 100 * MICROS, 0)
    ledger.fill("dear", place, "yes", "sell", 550_000, 100 * MICROS, 0)
    assert ledger.realised_micros == -5 * MICROS
    assert ledger.instrument_cost("kalshi:A") == 80 * MICROS


@pytest.mark.parametrize(
    ("unit", "payout", "quantity", "paid"),
    [
        (100, 306_000, 100_010_000, 30_603_000),  # 30.60306: a direct member gets 30.6030
        (10_000, 306_000, 100_010_000, 30_600_000),  # through a broker 30.60
        (1, 306_000, 100_010_000, 30_603_060),
        (100, MICROS, 100_010_000, 100_010_000),
    ],
)
def test_a_scalar_payout_is_floored_to_the_precision_of_the_member(unit, payout, quantity, paid):
    ledger, place = Ledger(), PLACES[0]._replace(payout_unit_micros=unit)
    ledger.fill("t0", place, "yes", "buy", 0, quantity, 0)
    ledger.settle("kalshi:A", payout)
    assert ledger.spent("kalshi") == -paid


def test_a_reservation_is_kept_apart_and_given_back():
    ledger, place = Ledger(), PLACES[1]
    ledger.reserve("o1", place, 1_000)
    ledger.consume("o1", 400)
    assert (ledger.reserved("kalshi"), ledger.free("kalshi", 5_000)) == (600, 4_400)
    ledger.consume("o1", 9_999)
    assert ledger.release("o1") == 0 and ledger.release("never") == 0
