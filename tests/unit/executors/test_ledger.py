"""The ledger conserves: free + reserved + cost of positions = capital + realised, whatever happens in whatever order."""

from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.domain.money import MICROS
from executors.ledger import Account, Ledger, Place

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
    st.tuples(st.just("consume"), st.integers(0, 9), QUANTITY, st.just(0)),
    st.tuples(st.just("release"), st.integers(0, 9), st.just(0), st.just(0)),
    st.tuples(st.just("settle"), st.integers(0, MICROS), st.just(0), st.just(0)),
)


def conserves(ledger):
    cost = sum(p.cost_micros for p in ledger.positions.values())
    free = ledger.free("kalshi", CAPITAL)
    assert free + ledger.reserved("kalshi") + cost == CAPITAL + ledger.realised_micros
    assert all(r.amount_micros > 0 for r in ledger.reservations.values())
    assert all(p.quantity_micros >= 0 and p.cost_micros >= 0 for p in ledger.positions.values())
    assert all(p.quantity_micros or not p.cost_micros for p in ledger.positions.values()), "no cost without a position"
    assert sum(ledger.instrument_cost(p.instrument_id) for p in PLACES) == cost + ledger.reserved("kalshi")
    assert sum(ledger.category_cost(p.category) for p in PLACES) == cost + ledger.reserved("kalshi")


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), ACTION), max_size=40))
def test_it_conserves(actions):
    ledger, bought, reserved = Ledger(), [], 0
    for which, (name, first, second, third) in actions:
        place = PLACES[which]
        if name == "buy":
            assert ledger.fill(place, "yes", "buy", first, second, third) == 0
            bought.append((place, "yes", "buy", first, second, third))
        elif name == "sell":
            quantity = min(second, ledger.quantity(place.instrument_id, "yes"))
            if quantity:
                ledger.fill(place, "yes", "sell", first, quantity, min(third, first * quantity // MICROS))
        elif name == "undo" and bought:
            undone = bought.pop(first % len(bought))
            if undone[4] <= ledger.quantity(undone[0].instrument_id, "yes"):
                ledger.reverse(*undone)
        elif name == "reserve":
            ledger.reserve(f"r{reserved}", place, first)
            reserved += 1
        elif name == "consume":
            ledger.consume(f"r{first}", second)
        elif name == "release":
            ledger.release(f"r{first}")
        elif name == "settle":
            ledger.settle(place.instrument_id, first)
        conserves(ledger)


def test_profit_is_realised_after_fees_and_only_when_a_position_shrinks():
    ledger, place = Ledger(), PLACES[0]
    assert ledger.fill(place, "no", "buy", 400_000, 10 * MICROS, 20_000) == 0
    assert ledger.fill(place, "no", "sell", 500_000, 5 * MICROS, 10_000) == 2_490_000 - 2_010_000
    assert ledger.settle("kalshi:A", 0) == 5 * MICROS - 2_010_000
    assert ledger.realised_micros == 480_000 + 2_990_000
    assert ledger.spent("kalshi") == -ledger.realised_micros


def test_a_reservation_is_kept_apart_and_given_back():
    ledger, place = Ledger(), PLACES[1]
    ledger.reserve("o1", place, 1_000)
    ledger.consume("o1", 400)
    assert (ledger.reserved("kalshi"), ledger.free("kalshi", 5_000)) == (600, 4_400)
    ledger.consume("o1", 9_999)
    assert ledger.release("o1") == 0 and ledger.release("never") == 0
