"""The executor's books: cash by venue and shard, what is reserved for orders, what is held and at which cost.

Decides nothing; it remembers. Reserved is kept apart from held: an order that may still fill is never spent twice. The cost of
a position includes its fees. What a trade holds is a lot of its own: a sale takes from the lot of its trade, at what that trade
paid. Law, kept by a property test: `free + reserved + cost of positions = capital + realised` at every venue, and no reservation
is ever negative. Profit for the loss stops is not counted here but in `equity.py`: cash says little while one venue has paid and
the other has not. Must never round in our favour: money out is rounded up, money in is rounded down.
"""

from typing import Final, NamedTuple

from crossbook.domain.fees import payout_micros
from crossbook.domain.money import MICROS, cost_micros
from schemas.records import Outcome, Side, Venue

_OUTCOMES: Final[tuple[Outcome, Outcome]] = ("yes", "no")


class Account(NamedTuple):
    """Where cash lies: a venue and its collateral shard."""

    venue: Venue
    shard: int


class Place(NamedTuple):
    """What a position or a reservation belongs to; `payout_unit_micros` is what the venue floors a payout to."""

    account: Account
    instrument_id: str
    category: str
    payout_unit_micros: int = 1


class Lot:
    """What one trade holds of an outcome, at cost incl. fees, and what of it was paid out already. All micros.

    A quantity below zero was sold, or paid out, without being held: a purchase was reversed after it.
    """

    __slots__ = ("cost_micros", "paid_micros", "paid_quantity_micros", "quantity_micros")

    def __init__(self) -> None:
        self.quantity_micros = 0
        self.cost_micros = 0
        self.paid_quantity_micros = 0
        self.paid_micros = 0


class Position:
    """A holding of one outcome of one instrument: the sum of its lots, and the lots by trade."""

    __slots__ = ("cost_micros", "lots", "outcome", "place", "quantity_micros")

    def __init__(self, place: Place, outcome: Outcome) -> None:
        self.place = place
        self.outcome: Outcome = outcome
        self.quantity_micros = 0
        self.cost_micros = 0
        self.lots: dict[str, Lot] = {}


class Reservation(NamedTuple):
    """Cash held back for what may still be bought."""

    place: Place
    amount_micros: int


class Ledger:
    """Cash, reservations and positions of one portfolio. Mutable; owned by the fold. Sums are kept, not added up when asked."""

    __slots__ = (
        "_by_category",
        "_by_instrument",
        "_reserved",
        "_spent",
        "payouts",
        "positions",
        "realised_by_venue",
        "reservations",
    )

    def __init__(self) -> None:
        self._spent: dict[Account, int] = {}
        self._reserved: dict[Venue, int] = {}
        self._by_instrument: dict[str, int] = {}
        self._by_category: dict[str, int] = {}
        self.positions: dict[tuple[str, Outcome], Position] = {}
        self.reservations: dict[str, Reservation] = {}
        self.realised_by_venue: dict[Venue, int] = {}
        self.payouts: dict[str, int] = {}

    # Reservations

    def reserve(self, key: str, place: Place, amount_micros: int) -> None:
        """Hold cash back under a key, which must be new."""
        assert amount_micros >= 0, "a reservation is never negative"
        assert key not in self.reservations, f"reserved twice: {key}"
        if amount_micros:
            self._set_reservation(key, Reservation(place, amount_micros))

    def add_to(self, key: str, place: Place, amount_micros: int) -> None:
        """Hold more cash back under a key, which may be new."""
        found = self.reservations.get(key)
        if amount_micros > 0:
            kept = 0 if found is None else found.amount_micros
            self._set_reservation(key, Reservation(place if found is None else found.place, kept + amount_micros))

    def release(self, key: str) -> int:
        """Give back what is left under a key; the amount, 0 when there is none."""
        found = self.reservations.get(key)
        if found is None:
            return 0
        self._set_reservation(key, None)
        return found.amount_micros

    def consume(self, key: str, amount_micros: int) -> None:
        """Turn a part of a reservation into a payment (the payment itself is booked by `fill`)."""
        found = self.reservations.get(key)
        if found is not None:
            left = found.amount_micros - min(found.amount_micros, max(amount_micros, 0))
            self._set_reservation(key, Reservation(found.place, left) if left else None)

    def reserved_under(self, key: str) -> int:
        """Cash held back under a key, micros."""
        found = self.reservations.get(key)
        return 0 if found is None else found.amount_micros

    # Executions and payouts

    def fill(
        self, trade_id: str, place: Place, outcome: Outcome, side: Side, price: int, quantity: int, fee: int
    ) -> None:
        """Book one execution of a trade."""
        position, lot = self._lot(trade_id, place, outcome)
        if side == "buy":
            self._add(position, lot, quantity, cost_micros(price, quantity) + fee)
        else:
            self._remove(position, lot, quantity, price * quantity // MICROS - fee)

    def reverse(
        self, trade_id: str, place: Place, outcome: Outcome, side: Side, price: int, quantity: int, fee: int
    ) -> None:
        """Take one execution of a trade back.

        A reversed purchase gives back its cash and takes away its contracts; what was paid out for them goes back as well.
        """
        position = self.positions[place.instrument_id, outcome]
        lot = position.lots[trade_id]
        if side == "buy":
            self._remove(position, lot, quantity, cost_micros(price, quantity) + fee)
        else:
            self._add(position, lot, quantity, price * quantity // MICROS - fee)

    def settle(self, instrument_id: str, payout_yes_micros: int) -> None:
        """Pay out what is held of an instrument, each lot floored to the venue's unit. The first payout that was said stands."""
        payout = self.payouts.setdefault(instrument_id, payout_yes_micros)
        for position, lot in self._lots_of(instrument_id):
            total = lot.paid_quantity_micros + lot.quantity_micros
            paid = payout_micros(payout, position.outcome, total, position.place.payout_unit_micros)
            self._change(position, lot, -lot.quantity_micros, -lot.cost_micros, paid - lot.paid_micros)
            lot.paid_quantity_micros, lot.paid_micros = total, paid

    def holds(self, instrument_id: str) -> bool:
        """Whether any trade holds something of an instrument that was not paid out."""
        return any(lot.quantity_micros for _, lot in self._lots_of(instrument_id))

    # Sums

    def quantity(self, instrument_id: str, outcome: Outcome) -> int:
        """Held quantity, micros of a contract."""
        position = self.positions.get((instrument_id, outcome))
        return 0 if position is None else position.quantity_micros

    def spent(self, venue: Venue) -> int:
        """Cash paid minus cash received at a venue, over its shards, micros."""
        return sum(amount for account, amount in self._spent.items() if account.venue == venue)

    def reserved(self, venue: Venue) -> int:
        """Cash held back at a venue, micros."""
        return self._reserved.get(venue, 0)

    def free(self, venue: Venue, capital_micros: int) -> int:
        """Cash of a venue that is neither spent nor reserved, micros; negative only after the capital was lowered."""
        return capital_micros - self.spent(venue) - self.reserved(venue)

    def instrument_cost(self, instrument_id: str) -> int:
        """Cost held and reserved in one instrument, micros."""
        return self._by_instrument.get(instrument_id, 0)

    def category_cost(self, category: str) -> int:
        """Cost held and reserved in one category, micros."""
        return self._by_category.get(category, 0)

    @property
    def realised_micros(self) -> int:
        """Money received beyond the cost of what it was received for, all venues, micros."""
        return sum(self.realised_by_venue.values())

    def restore_sums(self, position: Position) -> None:
        """Add up a position whose lots were put there from an image."""
        position.quantity_micros = sum(lot.quantity_micros for lot in position.lots.values())
        position.cost_micros = sum(lot.cost_micros for lot in position.lots.values())
        self._commit(position.place, position.cost_micros)

    # How a lot changes

    def _lots_of(self, instrument_id: str) -> list[tuple[Position, Lot]]:
        found = [self.positions.get((instrument_id, outcome)) for outcome in _OUTCOMES]
        return [(position, lot) for position in found if position is not None for lot in position.lots.values()]

    def _lot(self, trade_id: str, place: Place, outcome: Outcome) -> tuple[Position, Lot]:
        position = self.positions.get((place.instrument_id, outcome))
        if position is None:
            position = self.positions[place.instrument_id, outcome] = Position(place, outcome)
        lot = position.lots.get(trade_id)
        if lot is None:
            lot = position.lots[trade_id] = Lot()
        return position, lot

    def _add(self, position: Position, lot: Lot, quantity: int, cost: int) -> None:
        """More contracts at a cost; those that only cover what was sold without being held leave no cost behind."""
        covering = min(quantity, max(-lot.quantity_micros, 0))
        gone = -(-cost * covering // quantity)
        self._change(position, lot, quantity, cost - gone, -cost)

    def _remove(self, position: Position, lot: Lot, quantity: int, received: int) -> None:
        """Fewer contracts, at their share of the cost (rounded up, so that no cost outlives its contracts).

        More than is held was paid out meanwhile: that payout is given back.
        """
        held = max(lot.quantity_micros, 0)
        part = min(quantity, held)
        share = lot.cost_micros if part == held else -(-lot.cost_micros * part // held)
        back = min(quantity - part, max(lot.paid_quantity_micros, 0))
        if back:
            place, total = position.place, lot.paid_quantity_micros - back
            paid = payout_micros(self.payouts[place.instrument_id], position.outcome, total, place.payout_unit_micros)
            received -= lot.paid_micros - paid
            lot.paid_quantity_micros, lot.paid_micros = total, paid
        self._change(position, lot, back - quantity, -share, received)

    def _change(self, position: Position, lot: Lot, quantity: int, cost: int, received: int) -> None:
        """Contracts, their cost and cash move together; what does not go into cost is realised."""
        lot.quantity_micros += quantity
        lot.cost_micros += cost
        position.quantity_micros += quantity
        position.cost_micros += cost
        account = position.place.account
        self._commit(position.place, cost)
        self._spent[account] = self._spent.get(account, 0) - received
        realised = received + cost
        self.realised_by_venue[account.venue] = self.realised_by_venue.get(account.venue, 0) + realised

    def _set_reservation(self, key: str, wanted: Reservation | None) -> None:
        found = self.reservations.pop(key, None)
        for reservation, sign in ((found, -1), (wanted, 1)):
            if reservation is not None:
                venue, amount = reservation.place.account.venue, sign * reservation.amount_micros
                self._reserved[venue] = self._reserved.get(venue, 0) + amount
                self._commit(reservation.place, amount)
        if wanted is not None:
            self.reservations[key] = wanted

    def _commit(self, place: Place, amount: int) -> None:
        if amount:
            self._by_instrument[place.instrument_id] = self._by_instrument.get(place.instrument_id, 0) + amount
            self._by_category[place.category] = self._by_category.get(place.category, 0) + amount
