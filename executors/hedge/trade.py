"""A trade in two legs: its orders, its timers and the tops it has seen. A value, frozen.

Decides only what follows from them: what is held, what may be sold, what is unmatched. A trade has two legs, named by their
duty: the *leader* is bought first, the *hedge* second, equal contracts of each. Quantities are micros of a contract.
"""

import math
from typing import Final, Literal, TypeAlias

import msgspec

from crossbook.domain.money import MICROS, cost_micros
from executors.orders.work import Work
from schemas.records import IntentLeg, ListingSeen, Outcome, TopSeen, TradeIntent

#: A hedge has a leader and a hedge.
HEDGE_LEGS: Final = 2
#: The legs of a trade, by their duty, and the other one of each.
LegName: TypeAlias = Literal["leader", "hedge"]
LEGS: Final[tuple[LegName, LegName]] = ("leader", "hedge")
OTHER: Final[dict[str, LegName]] = {"leader": "hedge", "hedge": "leader"}


class Trade(Work, frozen=True, kw_only=True):
    """One hedge in two legs.

    `intent`: as decide wrote it, with the rules of its legs (grid, steps, minimums, fees) as they are listed now; `terms`: those in force when it was planned, which it keeps; `give_up`: why no further hedge is to be tried; `held_back`: an
    order waits until the operator resumes.
    """

    intent: TradeIntent
    leader_is_a: bool
    top_leader: TopSeen | None = None
    top_hedge: TopSeen | None = None
    give_up: str = ""

    @property
    def pair_id(self) -> str:
        """The pair that it trades."""
        return self.intent.pair_id

    def leg(self, name: str) -> IntentLeg:
        """The leader's leg, or the hedge's."""
        assert name in LEGS, name
        return self.intent.legs[0 if (name == "leader") == self.leader_is_a else 1]

    def gone(self, name: str) -> bool:
        """Whether a leg's instrument moved away from the partition in which the trade was opened."""
        top = self.top(name)
        return top is not None and not top.listed

    def top(self, name: str) -> TopSeen | None:
        """The last top seen of a leg."""
        return self.top_leader if name == "leader" else self.top_hedge

    def held(self, name: str) -> int:
        """Bought minus sold in a leg."""
        return self._count(name, final_only=False)

    def sellable(self, name: str) -> int:
        """What a venue lets us sell of a leg: final purchases minus all sales."""
        return self._count(name, final_only=True)

    def _count(self, name: str, *, final_only: bool) -> int:
        total = 0
        for order in self.orders:
            if order.leg == name:
                for one in order.executions:
                    if one.reversed:
                        continue
                    if order.side == "sell":
                        total -= one.quantity_micros
                    elif one.final or not final_only:
                        total += one.quantity_micros
        return total

    @property
    def residual(self) -> int:
        """Unmatched contracts: leader minus hedge."""
        return self.held("leader") - self.held("hedge")

    @property
    def short(self) -> LegName:
        """The leg of which there is too little; `OTHER` of it is the one of which there is too much."""
        return "leader" if self.residual < 0 else "hedge"

    def purchasable(self, name: str) -> int:
        """How much of a leg may be bought to match the other: in its steps, and never past the plan's quantity."""
        missing = -self.residual if name == "leader" else self.residual
        room = self.plan.quantity_micros - self.held(name)
        return floor_step(max(min(missing, room), 0), self.leg(name).quantity_step_micros)

    @property
    def dust(self) -> int:
        """The coarser quantity step: a smaller residual cannot be traded away."""
        return max(leg.quantity_step_micros for leg in self.intent.legs)

    def quantities_ab(self) -> tuple[int, int]:
        """Held at leg a and at leg b."""
        leader, hedge = self.held("leader"), self.held("hedge")
        return (leader, hedge) if self.leader_is_a else (hedge, leader)

    def cash_and_fees(self) -> tuple[int, int]:
        """Cash paid minus received without fees, and fees, micros of a dollar, over all executions that stand."""
        cash = fees = 0
        for order in self.orders:
            for one in order.executions:
                if not one.reversed:
                    fees += one.fee_micros
                    if order.side == "buy":
                        cash += cost_micros(one.price_micros, one.quantity_micros)
                    else:
                        cash -= one.price_micros * one.quantity_micros // MICROS
        return cash, fees

    def cost_of(self, name: str, quantity: int) -> int:
        """What a quantity of a leg cost on average, incl. fees, micros of a dollar, rounded up."""
        cost = bought = 0
        for order in self.orders:
            if order.leg == name and order.side == "buy":
                for one in order.executions:
                    if not one.reversed:
                        bought += one.quantity_micros
                        cost += cost_micros(one.price_micros, one.quantity_micros) + one.fee_micros
        return -(-cost * quantity // bought) if bought else 0


def price_to_buy(top: TopSeen | None, outcome: Outcome) -> int | None:
    """Price at which the outcome is offered, in its own terms; None: no offer, or no top seen."""
    if top is None:
        return None
    if outcome == "yes":
        return top.ask_price_micros
    return None if top.bid_price_micros is None else MICROS - top.bid_price_micros


def size_to_buy(top: TopSeen, outcome: Outcome) -> int:
    """Quantity offered at `price_to_buy`, micros; 0: no offer."""
    return (top.ask_size_micros if outcome == "yes" else top.bid_size_micros) or 0


def price_to_sell(top: TopSeen | None, outcome: Outcome) -> int | None:
    """Price that is bid for the outcome, in its own terms; None: no bid, or no top seen."""
    if top is None:
        return None
    if outcome == "yes":
        return top.bid_price_micros
    return None if top.ask_price_micros is None else MICROS - top.ask_price_micros


def floor_step(quantity: int, step: int) -> int:
    """Largest multiple of a step at or below a quantity."""
    return quantity - quantity % step


def common_step(intent: TradeIntent) -> int:
    """Smallest quantity that is whole in the steps of all legs."""
    return math.lcm(*(leg.quantity_step_micros for leg in intent.legs))


def amended(intent: TradeIntent, listing: ListingSeen) -> TradeIntent:
    """The intent with what the venue asks of an order now; prices and quantities that were planned stay as they were."""
    changes = {
        name: getattr(listing, name)
        for name in (
            "quantity_step_micros",
            "quantity_minimum_micros",
            "notional_minimum_micros",
            "taker_delay_ms",
            "grid",
            "fee_schedule",
        )
    }
    legs = tuple(
        msgspec.structs.replace(leg, **changes) if leg.instrument_id == listing.instrument_id else leg
        for leg in intent.legs
    )
    return msgspec.structs.replace(intent, legs=legs)


def planned_price(intent: TradeIntent, leg: IntentLeg) -> int:
    """Displayed average price of a leg at the intent, in the outcome's terms, micros."""
    return leg.cost_micros * MICROS // intent.quantity_micros
