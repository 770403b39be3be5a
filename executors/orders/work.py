"""What every machine keeps of an intent: its orders, its timers, and where it stands. A value, frozen."""

from typing import Final, TypeAlias

import msgspec

from executors.orders.order import Order, Timer
from executors.terms import ExecuteTerms
from schemas.records import (
    IntentLeg,
    IntentSeen,
    QuoteIntent,
    QuoteSeen,
    TakeIntent,
    TakeSeen,
    TimerKind,
    TradeIntent,
    TradePlan,
    TradeState,
)

#: What a machine can be made for.
Intent: TypeAlias = TradeIntent | QuoteIntent | TakeIntent
INTENTS: Final = (TradeIntent, QuoteIntent, TakeIntent)
#: The inputs that say that an intent is here.
Seen: TypeAlias = IntentSeen | QuoteSeen | TakeSeen
SEEN: Final = (IntentSeen, QuoteSeen, TakeSeen)
#: States in which an order may be at a venue or may still be sent.
WORKING: Final = frozenset[TradeState]({"leading", "hedging", "unwinding"})
#: Why no order for a leg may leave: its instrument is in another partition now, and this lane sees no book of it any more.
INSTRUMENT_MOVED: Final = "instrument_moved"


#: States in which something was sent and nothing is meant to be sent any more.
SETTLED: Final = frozenset[TradeState]({"hedged", "flat", "closed", "stuck"})


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What every machine keeps of an intent; each adds what it needs. It becomes a part of checkpoints, so JSON must hold it.

    `terms`: those in force when it was opened, which it keeps; `held_back`: an order waits until the operator resumes.
    """

    intent: Intent
    plan: TradePlan
    state: TradeState
    terms: ExecuteTerms = ExecuteTerms()
    reason: str = ""
    orders: tuple[Order, ...] = ()
    timers: tuple[Timer, ...] = ()
    held_back: bool = False

    @property
    def trade_id(self) -> str:
        """Its id: that of its plan, which every portfolio gives its own."""
        return self.plan.trade_id

    @property
    def pair_id(self) -> str:
        """The pair that it trades; empty for a work on one instrument."""
        return ""

    def leg(self, name: str) -> IntentLeg:
        """What is known of a leg, by the name that its orders have."""
        raise NotImplementedError

    def gone(self, name: str) -> bool:
        """Whether a leg's instrument moved away from the partition in which the work was opened."""
        raise NotImplementedError

    @property
    def live_order(self) -> Order | None:
        """The first order that the venue may still fill."""
        return next((order for order in self.orders if order.live), None)

    @property
    def final(self) -> bool:
        """Whether no execution can be reversed any more."""
        return all(one.final or one.reversed for order in self.orders for one in order.executions)

    def order(self, order_id: str) -> Order | None:
        """An order by its id."""
        return next((order for order in self.orders if order.order_id == order_id), None)

    def timer(self, kind: TimerKind, order_id: str = "") -> Timer | None:
        """An armed timer."""
        return next((t for t in self.timers if t.kind == kind and t.order_id == order_id), None)


def unattended(work: Work) -> str:
    """What of a work nobody will ever speak of again, or empty: the law that every state but an end is attended.

    An order that the venue may still fill has its time-out, or the horizon of an unknown one. A work that still works and has
    no such order has a timer of its own, or waits for the operator's resume.
    """
    if work.state not in WORKING | SETTLED:
        return ""  # nothing was ever sent
    for order in work.orders:
        if order.live and all(work.timer(kind, order.order_id) is None for kind in ("order_timeout", "finality")):
            return f"order {order.order_id} is {order.status} and no timer is armed for it"
    if work.state in WORKING and work.live_order is None and not work.held_back and not work.timers:
        return f"{work.state}, no order, no timer and no halt to wait for"
    return ""
