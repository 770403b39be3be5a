"""What a trade is made of: its orders, their executions, its timers and the tops it has seen. Values, frozen.

Decides only what follows from them: what is held, what may be sold, what is unmatched. A trade has two legs, named by their
duty: the *leader* is bought first, the *hedge* second, equal contracts of each. Quantities are micros of a contract.
"""

import math
from typing import Final, NamedTuple

import msgspec

from crossbook.domain.money import MICROS, cost_micros
from executors.terms import ExecuteTerms
from schemas.records import (
    IntentLeg,
    ListingSeen,
    OrderReport,
    OrderStatus,
    Outcome,
    Role,
    Side,
    TimerKind,
    TopSeen,
    TradeIntent,
    TradePlan,
    TradeState,
)

#: A hedge has a leader and a hedge.
HEDGE_LEGS: Final = 2
#: Order states after which the venue does nothing more with it.
TERMINAL: Final = frozenset[OrderStatus]({"filled", "canceled", "rejected", "expired"})
#: Trade states in which an order may be at a venue or may still be sent.
WORKING: Final = frozenset[TradeState]({"leading", "hedging", "unwinding"})
#: Trade states in which something was sent and nothing is meant to be sent any more.
SETTLED: Final = frozenset[TradeState]({"hedged", "flat", "closed", "stuck"})


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One fill of an order; `reversed` ones count for nothing."""

    fill_id: str
    price_micros: int
    quantity_micros: int
    fee_micros: int
    final: bool
    reversed: bool = False


class Unbooked(NamedTuple):
    """Cash that a report moves at a leg before the ledger has it: paid for a purchase, or (negative) back for a reversed one."""

    lead: bool
    cash_micros: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order of a trade; `lead` says that it is for the leader's leg."""

    order_id: str
    role: Role
    attempt: int
    lead: bool
    side: Side
    quantity_micros: int
    price_limit_micros: int
    status: OrderStatus
    ts_ns: int
    executions: tuple[Execution, ...] = ()

    @property
    def live(self) -> bool:
        """Whether the venue may still fill it, as far as is known."""
        return self.status not in TERMINAL


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """A moment of stream time at which the trade wants to be told; `order_id` is empty for a timer of the trade."""

    due_ns: int
    kind: TimerKind
    order_id: str


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """One hedge in two legs.

    `intent`: as decide wrote it, with the rules of its legs (grid, steps, minimums, fees) as they are listed now; `terms`: those in force when it was planned, which it keeps; `give_up`: why no further hedge is to be tried; `held_back`: an
    order waits until the operator resumes.
    """

    intent: TradeIntent
    plan: TradePlan
    leader_is_a: bool
    state: TradeState
    terms: ExecuteTerms = ExecuteTerms()
    reason: str = ""
    orders: tuple[Order, ...] = ()
    timers: tuple[Timer, ...] = ()
    top_leader: TopSeen | None = None
    top_hedge: TopSeen | None = None
    give_up: str = ""
    held_back: bool = False

    @property
    def trade_id(self) -> str:
        """Its id: that of the intent."""
        return self.plan.trade_id

    def leg(self, lead: bool) -> IntentLeg:
        """The leader's leg, or the hedge's."""
        return self.intent.legs[0 if lead == self.leader_is_a else 1]

    def gone(self, lead: bool) -> bool:
        """Whether a leg's instrument moved away from the partition in which the trade was opened."""
        top = self.top(lead)
        return top is not None and not top.listed

    def top(self, lead: bool) -> TopSeen | None:
        """The last top seen of a leg."""
        return self.top_leader if lead else self.top_hedge

    def held(self, lead: bool) -> int:
        """Bought minus sold in a leg."""
        return self._count(lead, final_only=False)

    def sellable(self, lead: bool) -> int:
        """What a venue lets us sell of a leg: final purchases minus all sales."""
        return self._count(lead, final_only=True)

    def _count(self, lead: bool, *, final_only: bool) -> int:
        total = 0
        for order in self.orders:
            if order.lead == lead:
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
        return self.held(True) - self.held(False)

    def purchasable(self, lead: bool) -> int:
        """How much of a leg may be bought to match the other: in its steps, and never past the plan's quantity."""
        missing = -self.residual if lead else self.residual
        room = self.plan.quantity_micros - self.held(lead)
        return floor_step(max(min(missing, room), 0), self.leg(lead).quantity_step_micros)

    @property
    def dust(self) -> int:
        """The coarser quantity step: a smaller residual cannot be traded away."""
        return max(leg.quantity_step_micros for leg in self.intent.legs)

    @property
    def final(self) -> bool:
        """Whether no execution can be reversed any more."""
        return all(one.final or one.reversed for order in self.orders for one in order.executions)

    @property
    def live_order(self) -> Order | None:
        """The order that the venue may still fill; there is at most one unless a dead one came back."""
        return next((order for order in self.orders if order.live), None)

    def order(self, order_id: str) -> Order | None:
        """An order by its id."""
        return next((order for order in self.orders if order.order_id == order_id), None)

    def timer(self, kind: TimerKind, order_id: str = "") -> Timer | None:
        """An armed timer."""
        return next((t for t in self.timers if t.kind == kind and t.order_id == order_id), None)

    def quantities_ab(self) -> tuple[int, int]:
        """Held at leg a and at leg b."""
        lead, hedge = self.held(True), self.held(False)
        return (lead, hedge) if self.leader_is_a else (hedge, lead)

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

    def cost_of(self, lead: bool, quantity: int) -> int:
        """What a quantity of a leg cost on average, incl. fees, micros of a dollar, rounded up."""
        cost = bought = 0
        for order in self.orders:
            if order.lead == lead and order.side == "buy":
                for one in order.executions:
                    if not one.reversed:
                        bought += one.quantity_micros
                        cost += cost_micros(one.price_micros, one.quantity_micros) + one.fee_micros
        return -(-cost * quantity // bought) if bought else 0


def unattended(trade: Trade) -> str:
    """What of a trade nobody will ever speak of again, or empty: the law that every state but an end is attended.

    An order that the venue may still fill has its time-out, or the horizon of an unknown one. A trade that still works and has
    no such order has a timer of its own, or waits for the operator's resume.
    """
    if trade.state not in WORKING | SETTLED:
        return ""  # nothing was ever sent
    for order in trade.orders:
        if order.live and all(trade.timer(kind, order.order_id) is None for kind in ("order_timeout", "finality")):
            return f"order {order.order_id} is {order.status} and no timer is armed for it"
    if trade.state in WORKING and trade.live_order is None and not trade.held_back and not trade.timers:
        return f"{trade.state} with {trade.residual} unmatched, no order, no timer and no halt to wait for"
    return ""


def money_of(execution: Execution) -> int:
    """What a purchase paid, fee included, micros of a dollar, rounded up."""
    return cost_micros(execution.price_micros, execution.quantity_micros) + execution.fee_micros


def unbooked_purchase(trade: Trade, report: OrderReport) -> Unbooked | None:
    """What a report is about to book as a purchase, or to take back; None for everything else."""
    order = trade.order(report.order_id)
    if order is None or order.side != "buy" or not report.fill_id:
        return None
    known = next((one for one in order.executions if one.fill_id == report.fill_id), None)
    if report.reversed:
        return None if known is None or known.reversed else Unbooked(order.lead, -money_of(known))
    told = known is not None and (known.quantity_micros > 0 or known.reversed)  # else only what became of it was told
    if told or report.last_quantity_micros <= 0:
        return None
    paid = cost_micros(report.last_price_micros, report.last_quantity_micros) + report.last_fee_micros
    return Unbooked(order.lead, paid)


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
