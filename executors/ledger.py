"""The executor's books: cash by venue and shard, what is reserved for orders, what is held and at which cost.

Decides nothing; it remembers. Reserved is kept apart from held: an order that may still fill is never spent twice. The cost of
a position includes its fees, and profit is realised only when a position shrinks. Law, kept by a property test:
`free + reserved + cost of positions = capital + realised` at every venue, and no reservation is ever negative.
Must never round in our favour: money out is rounded up, money in is rounded down.
"""

from collections.abc import Iterator
from typing import NamedTuple

from crossbook.domain.money import MICROS, cost_micros
from schemas.records import Outcome, Side, Venue


class Account(NamedTuple):
    """Where cash lies: a venue and its collateral shard."""

    venue: Venue
    shard: int


class Place(NamedTuple):
    """What a position or a reservation belongs to."""

    account: Account
    instrument_id: str
    category: str


class Position:
    """A holding of one outcome of one instrument: quantity and cost incl. fees, both micros."""

    __slots__ = ("cost_micros", "place", "quantity_micros", "realised_micros")

    def __init__(self, place: Place) -> None:
        self.place = place
        self.quantity_micros = 0
        self.cost_micros = 0
        self.realised_micros = 0


class Reservation(NamedTuple):
    """Cash held back for what may still be bought."""

    place: Place
    amount_micros: int


class Ledger:
    """Cash, reservations and positions of one portfolio. Mutable; owned by the fold."""

    __slots__ = ("_spent", "positions", "realised_by_venue", "reservations")

    def __init__(self) -> None:
        self._spent: dict[Account, int] = {}
        self.positions: dict[tuple[str, Outcome], Position] = {}
        self.reservations: dict[str, Reservation] = {}
        self.realised_by_venue: dict[Venue, int] = {}

    def reserve(self, key: str, place: Place, amount_micros: int) -> None:
        """Hold cash back under a key, which must be new."""
        assert amount_micros >= 0, "a reservation is never negative"
        assert key not in self.reservations, f"reserved twice: {key}"
        if amount_micros:
            self.reservations[key] = Reservation(place, amount_micros)

    def release(self, key: str) -> int:
        """Give back what is left under a key; the amount, 0 when there is none."""
        found = self.reservations.pop(key, None)
        return 0 if found is None else found.amount_micros

    def consume(self, key: str, amount_micros: int) -> None:
        """Turn a part of a reservation into a payment (the payment itself is booked by `fill`)."""
        found = self.reservations.get(key)
        if found is None:
            return
        left = found.amount_micros - min(found.amount_micros, max(amount_micros, 0))
        if left:
            self.reservations[key] = Reservation(found.place, left)
        else:
            del self.reservations[key]

    def fill(self, place: Place, outcome: Outcome, side: Side, price: int, quantity: int, fee: int) -> int:
        """Book one execution; the realised profit, micros (0 for a purchase)."""
        position = self.positions.get((place.instrument_id, outcome))
        if position is None:
            position = self.positions[place.instrument_id, outcome] = Position(place)
        if side == "buy":
            cost = cost_micros(price, quantity) + fee
            position.quantity_micros += quantity
            position.cost_micros += cost
            self._pay(place.account, cost)
            return 0
        received = price * quantity // MICROS - fee
        return self._shrink(position, quantity, received)

    def reverse(self, place: Place, outcome: Outcome, side: Side, price: int, quantity: int, fee: int) -> int:
        """Take one execution back; the change of realised profit, micros.

        A purchase that is no longer held as bought (part of it was sold since) gives back its cash; what then differs from the
        position's average cost is realised.
        """
        position = self.positions[place.instrument_id, outcome]
        if side == "buy":
            return self._shrink(position, quantity, cost_micros(price, quantity) + fee)
        received = price * quantity // MICROS - fee
        position.quantity_micros += quantity
        position.cost_micros += received
        self._pay(place.account, received)
        return 0

    def settle(self, instrument_id: str, payout_yes_micros: int) -> int:
        """Pay out every position in an instrument; the realised profit, micros."""
        realised = 0
        for (held_id, outcome), position in self.positions.items():
            if held_id == instrument_id and position.quantity_micros:
                payout = payout_yes_micros if outcome == "yes" else MICROS - payout_yes_micros
                received = payout * position.quantity_micros // MICROS
                realised += self._shrink(position, position.quantity_micros, received)
        return realised

    def quantity(self, instrument_id: str, outcome: Outcome) -> int:
        """Held quantity, micros of a contract."""
        position = self.positions.get((instrument_id, outcome))
        return 0 if position is None else position.quantity_micros

    def spent(self, venue: Venue) -> int:
        """Cash paid minus cash received at a venue, over its shards, micros."""
        return sum(amount for account, amount in self._spent.items() if account.venue == venue)

    def reserved(self, venue: Venue) -> int:
        """Cash held back at a venue, micros."""
        return sum(r.amount_micros for r in self.reservations.values() if r.place.account.venue == venue)

    def free(self, venue: Venue, capital_micros: int) -> int:
        """Cash of a venue that is neither spent nor reserved, micros; negative only after the capital was lowered."""
        return capital_micros - self.spent(venue) - self.reserved(venue)

    def instrument_cost(self, instrument_id: str) -> int:
        """Cost held and reserved in one instrument, micros."""
        return sum(amount for place, amount in self._committed() if place.instrument_id == instrument_id)

    def category_cost(self, category: str) -> int:
        """Cost held and reserved in one category, micros."""
        return sum(amount for place, amount in self._committed() if place.category == category)

    @property
    def realised_micros(self) -> int:
        """Profit realised so far, all venues, micros."""
        return sum(self.realised_by_venue.values())

    def _committed(self) -> Iterator[tuple[Place, int]]:
        for position in self.positions.values():
            yield position.place, position.cost_micros
        for reservation in self.reservations.values():
            yield reservation.place, reservation.amount_micros

    def _pay(self, account: Account, amount: int) -> None:
        self._spent[account] = self._spent.get(account, 0) + amount

    def _shrink(self, position: Position, quantity: int, received: int) -> int:
        """Remove a quantity at its share of the cost (rounded up, so that no cost outlives its position).

        More than is held can only be told after a settlement took the rest away: the cash is booked, nothing is held below 0.
        """
        quantity = min(quantity, position.quantity_micros)
        if quantity < position.quantity_micros:
            share = -(-position.cost_micros * quantity // position.quantity_micros)
        else:
            share = position.cost_micros
        position.quantity_micros -= quantity
        position.cost_micros -= share
        realised = received - share
        position.realised_micros += realised
        venue = position.place.account.venue
        self.realised_by_venue[venue] = self.realised_by_venue.get(venue, 0) + realised
        self._pay(position.place.account, -received)
        return realised
