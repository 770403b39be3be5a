"""One step of a trade in the making: its timers, its orders, and what an input says of them.

Decides what a report does to an order and its executions, and which timers stand afterwards; what the trade does about it is
decided by `executors.hedge.machine`. Must never leave an order that the venue may still fill without a timer, and never send
more, or at a worse price, than the bound of the committed plan says.
"""

import msgspec

from executors.errors import PlanError
from executors.hedge.tables import ONWARD, TIMER_INPUTS, WAIT, Answer, InputKind
from executors.hedge.trade import LEGS, LegName, Trade
from executors.orders.machine import Context, Move, Send, Step
from executors.orders.order import Effect, Order, answer_due_ns, arm, attend, disarm, order_id_of, take_report
from executors.orders.work import SETTLED
from executors.terms import NS_PER_MS
from schemas.records import (
    OrderReport,
    OrderSent,
    PlanBound,
    Role,
    Side,
    TimerFired,
    TimerKind,
    TopSeen,
    TradeState,
)


class Run:
    """One step in the making. `answer`: the cell of the table that it goes by; `terms`: those that the trade was opened under."""

    def __init__(self, trade: Trade, context: Context, answer: Answer = WAIT) -> None:
        self.trade = trade
        self.context = context
        self.answer = answer
        self.terms = trade.terms
        self.sends: list[Send] = []
        self.moves: list[Move[Trade]] = []
        self.effect: Effect | None = None
        self.order_id = ""  # of the order that the input was about

    def result(self) -> Step[Trade]:
        """The step; what a settled trade holds is told again when an execution changed it."""
        trade = self.trade
        changed = self.effect is not None and self.effect.kind != "confirmed"
        if changed and not self.moves and trade.state in SETTLED:
            self.moves.append(Move(trade.state, trade.reason, trade))
        return Step(trade, tuple(self.sends), tuple(self.moves), self.effect)

    def set(self, **changes: object) -> None:
        """Change fields of the trade."""
        self.trade = msgspec.structs.replace(self.trade, **changes)

    def move(self, state: TradeState, reason: str) -> None:
        """Take the trade to another state, and say why. The table must name it."""
        before = self.trade.state
        if state != before:
            named = ONWARD[before] if self.moves else self.answer.following
            assert state in named, f"{before} goes to {state}, which the table does not name for {self.answer.handler}"
            self.set(state=state, reason=reason)
            self.moves.append(Move(state, reason, self.trade))

    # Timers

    def arm(self, kind: TimerKind, due_ns: int, order_id: str = "") -> None:
        """Have the trade told at a moment; an earlier timer of the same name is replaced."""
        self.set(timers=arm(self.trade.timers, kind, due_ns, order_id))

    def disarm(self, kind: TimerKind, order_id: str = "") -> None:
        """Take a timer away."""
        self.set(timers=disarm(self.trade.timers, kind, order_id))

    # Orders

    def put_order(self, order: Order) -> None:
        """Take an order as it is now, with the timers that belong to it."""
        orders = tuple(order if o.order_id == order.order_id else o for o in self.trade.orders)
        timers = attend(self.trade.timers, order, self.context.now_ns, lambda: self._due_ns(order))
        self.set(orders=orders, timers=timers)

    def expect(self, order: Order) -> None:
        """Arm the time-out of an order that is now at its venue: expected match + time-out."""
        self.arm("order_timeout", self._due_ns(order), order.order_id)

    def _due_ns(self, order: Order) -> int:
        return answer_due_ns(
            order,
            self.context.now_ns,
            taker_delay_ms=self.trade.leg(order.leg).taker_delay_ms,
            paper=self.context.terms.paper,
            timeout_ms=self.terms.hedge_timeout_ms,
        )

    def send(self, bound: PlanBound, attempt: int, *, price: int, quantity: int) -> str:
        """Send an attempt (from 1) under a bound of the plan; empty, or why the risk gate refused. Raises PlanError outside of it."""
        trade, now = self.trade, self.context.now_ns
        number = bound.attempt_first + attempt - 1
        order_id = order_id_of(trade.trade_id, bound.role, number)
        if not 1 <= attempt <= bound.attempts_max:
            raise PlanError(f"{order_id}: attempt {attempt} of {bound.attempts_max}")
        if quantity <= 0 or quantity > bound.quantity_max_micros:
            raise PlanError(f"{order_id}: quantity {quantity} is outside its bound of {bound.quantity_max_micros}")
        worst = bound.price_worst_micros
        if price > worst if bound.side == "buy" else price < worst:
            raise PlanError(f"{order_id}: price {price} is worse than its bound's {worst}")
        refusal = "deadline" if now > bound.ts_deadline_ns else self.context.permits(trade, bound, price, quantity)
        if refusal:
            return refusal
        order = Order(
            order_id=order_id,
            role=bound.role,
            attempt=number,
            leg=bound.leg,
            side=bound.side,
            quantity_micros=quantity,
            price_limit_micros=price,
            status="requested",
            ts_ns=now,
        )
        self.set(orders=(*trade.orders, order), held_back=False)
        self.expect(order)
        self.sends.append(Send(order, bound))
        return ""

    def attempts(self, role: Role, ways: tuple[tuple[LegName, Side], ...]) -> int:
        """Orders sent so far in a role and any of these ways."""
        return sum(1 for o in self.trade.orders if o.role == role and (o.leg, o.side) in ways)

    def backoff_ns(self, attempts: int) -> int:
        """Capped exponential wait after so many attempts."""
        first, cap = self.terms.backoff_first_ms, self.terms.backoff_max_ms
        return min(first << min(attempts - 1, 20), cap) * NS_PER_MS

    # Inputs

    def take_report(self, report: OrderReport) -> InputKind | None:
        """Book what a report says of an order; the kind of input that it is, None when it says nothing new."""
        order = self.trade.order(report.order_id)
        if order is None:
            return None
        self.order_id = order.order_id
        told = take_report(order, report)
        if told.order is not order or told.kind is not None:
            self.put_order(told.order)
        self.effect = told.effect
        return told.kind

    def take_timer(self, fired: TimerFired) -> InputKind | None:
        """Take a timer that ran out; None when it is not armed any more."""
        if self.trade.timer(fired.timer, fired.order_id) is None:
            return None
        self.disarm(fired.timer, fired.order_id)
        self.order_id = fired.order_id
        return TIMER_INPUTS[fired.timer]

    def take_sent(self, sent: OrderSent) -> None:
        """An order left later than was assumed: it is expected by as much later."""
        order = self.trade.order(sent.order_id)
        if order is not None and order.status == "requested":
            late = msgspec.structs.replace(order, ts_ns=sent.ts_ns)
            self.put_order(late)
            self.expect(late)

    def take_top(self, top: TopSeen) -> InputKind | None:
        """See a top of one of the legs; None for an instrument that is none of them."""
        for name in LEGS:
            if self.trade.leg(name).instrument_id == top.instrument_id:
                self.set(**{f"top_{name}": top})
                return "top"
        return None
