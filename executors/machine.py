"""The two-leg hedge machine: what a trade does next, from what it is told.

Decides, purely: `advance(trade, event, context) -> Step(trade, sends, moves, effect)`. The leader's final fill is hedged in
equal contracts; whether to complete or to unwind is an economic choice on the tops seen, sunk cost ignored but for the cap on a
trade's loss. Must never send while an order of the trade may still fill, never re-send what it has lost sight of, never send
without a slot of the committed plan. The states are those of `executors.tables`; only this module moves a trade through them.

Losing sight: an order that is silent past its expected match + time-out becomes `unknown`. It is asked for (the paper venue
answers late by itself) until UNKNOWN_HORIZON_NS has passed, then declared dead; a fill that shows up under a dead id is booked
and hedged or unwound like any other.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from executors.choice import completion_limit, unwind_choice, weigh_completion
from executors.errors import PlanError
from executors.plan import UNWIND_WAYS, slot_of
from executors.steps import Context, Effect, Event, Move, Resume, Send, Step
from executors.tables import ORDER_TABLE, REFUSED, STALE, TRADE_TABLE, Handler, InputKind
from executors.terms import NS_PER_MS, NS_PER_S
from executors.trade import (
    Execution,
    Order,
    Timer,
    Trade,
    floor_step,
    planned_price,
    price_to_buy,
)
from schemas.records import (
    OrderReport,
    OrderStatus,
    PlanSlot,
    Role,
    Side,
    TimerFired,
    TimerKind,
    TopSeen,
    TradeIntent,
    TradePlan,
    TradeState,
)

#: How long an order may stay unknown: the window in which a request may still leave (0.3 s), the stamp windows of the venues'
#: signatures, the lag of their order queries and the paper venue's patience with a polled book (12 s) stay below it.
UNKNOWN_HORIZON_NS: Final = 15 * NS_PER_S
#: How long an unwind waits for a purchase to become final before a person is called. A block takes about 2 s.
FINALITY_WAIT_NS: Final = 60 * NS_PER_S


def open_trade(
    intent: TradeIntent,
    plan: TradePlan,
    *,
    leader_is_a: bool,
    tops: tuple[TopSeen | None, TopSeen | None],
    context: Context,
) -> Step:
    """Start a planned trade: send the leader. `tops` are those of leader and hedge."""
    trade = Trade(
        intent=intent,
        plan=plan,
        leader_is_a=leader_is_a,
        state="proposed",
        top_leader=tops[0],
        top_hedge=tops[1],
    )
    run = _Run(trade, context)
    run.move("leading", "")
    run.send(plan.leader, lead=True, price=plan.leader.price_worst_micros, quantity=plan.quantity_micros)
    return run.result()


def advance(trade: Trade, event: Event, context: Context) -> Step:
    """Tell a trade something that happened."""
    run = _Run(trade, context)
    match event:
        case OrderReport():
            kind = run.take_report(event)
        case TimerFired():
            kind = run.take_timer(event)
        case TopSeen():
            kind = run.take_top(event)
        case Resume():
            run.set(held_back=False)
            kind = "resume"
    if kind is not None:
        _HANDLERS[TRADE_TABLE[run.trade.state][kind]](run)
    return run.result()


class _Run:
    """One step in the making."""

    def __init__(self, trade: Trade, context: Context) -> None:
        self.trade = trade
        self.context = context
        self.terms = context.terms.execute
        self.sends: list[Send] = []
        self.moves: list[Move] = []
        self.effect: Effect | None = None
        self.order_id = ""  # of the order that the input was about

    def result(self) -> Step:
        return Step(self.trade, tuple(self.sends), tuple(self.moves), self.effect)

    def set(self, **changes: object) -> None:
        self.trade = msgspec.structs.replace(self.trade, **changes)

    def move(self, state: TradeState, reason: str) -> None:
        if state != self.trade.state:
            self.set(state=state, reason=reason)
            self.moves.append(Move(state, reason, self.trade))

    # Timers

    def arm(self, kind: TimerKind, due_ns: int, order_id: str = "") -> None:
        self.disarm(kind, order_id)
        self.set(timers=(*self.trade.timers, Timer(due_ns=due_ns, kind=kind, order_id=order_id)))

    def disarm(self, kind: TimerKind, order_id: str = "") -> None:
        self.set(timers=tuple(t for t in self.trade.timers if (t.kind, t.order_id) != (kind, order_id)))

    # Orders

    def put_order(self, order: Order) -> None:
        orders = tuple(order if o.order_id == order.order_id else o for o in self.trade.orders)
        self.set(orders=orders)
        if not order.live:
            self.set(timers=tuple(t for t in self.trade.timers if t.order_id != order.order_id))

    def expect(self, order: Order) -> None:
        """Arm the time-out of an order that is now at its venue: expected match + time-out."""
        paper = self.context.terms.paper
        delay_ns = self.trade.leg(order.lead).taker_delay_ms * NS_PER_MS
        match_ns = order.ts_ns + paper.request_ns + delay_ns + paper.report_ns
        due = max(match_ns, self.context.now_ns) + self.terms.hedge_timeout_ms * NS_PER_MS
        self.arm("order_timeout", due, order.order_id)

    def send(self, slot: PlanSlot, *, lead: bool, price: int, quantity: int) -> str:
        """Send under a slot; empty, or why the risk gate refused."""
        trade, now = self.trade, self.context.now_ns
        if quantity <= 0 or quantity > slot.quantity_max_micros:
            raise PlanError(f"{slot.order_id}: quantity {quantity} is outside its slot of {slot.quantity_max_micros}")
        refusal = "deadline" if now > slot.ts_deadline_ns else self.context.permits(trade, slot, price, quantity)
        if refusal:
            return refusal
        order = Order(
            order_id=slot.order_id,
            role=slot.role,
            attempt=slot.attempt,
            lead=lead,
            side=slot.side,
            quantity_micros=quantity,
            price_limit_micros=price,
            status="requested",
            ts_ns=now,
        )
        self.set(orders=(*trade.orders, order))
        self.expect(order)
        self.sends.append(Send(order, slot))
        return ""

    def attempts(self, role: Role, ways: tuple[tuple[bool, Side], ...]) -> int:
        """Orders sent so far in a role and any of these ways."""
        return sum(1 for o in self.trade.orders if o.role == role and (o.lead, o.side) in ways)

    def backoff_ns(self, attempts: int) -> int:
        """Capped exponential wait after so many attempts."""
        first, cap = self.terms.backoff_first_ms, self.terms.backoff_max_ms
        return min(first << min(attempts - 1, 20), cap) * NS_PER_MS

    # Inputs

    def take_report(self, report: OrderReport) -> InputKind | None:
        order = self.trade.order(report.order_id)
        if order is None:
            return None
        self.order_id = order.order_id
        known = next((e for e in order.executions if e.fill_id == report.fill_id), None) if report.fill_id else None
        if report.reversed:
            return self._reverse(order, known)
        if known is not None:
            return self._confirm(order, known, report)
        was_live = order.live
        if report.last_quantity_micros > 0:
            execution = Execution(
                fill_id=report.fill_id,
                price_micros=report.last_price_micros,
                quantity_micros=report.last_quantity_micros,
                fee_micros=report.last_fee_micros,
                final=report.finality == "final",
            )
            order = msgspec.structs.replace(order, executions=(*order.executions, execution))
            self.effect = Effect("booked", order, execution)
        following = ORDER_TABLE[order.status][report.order_status]
        if following not in (STALE, REFUSED):
            order = msgspec.structs.replace(order, status=following)
        self.put_order(order)
        if order.live and (order.status != "unknown" and not was_live):
            self.expect(order)
        return _kind_of(order.status)

    def _reverse(self, order: Order, known: Execution | None) -> InputKind | None:
        if known is None or known.reversed:
            return None
        gone = msgspec.structs.replace(known, reversed=True)
        order = _with_execution(order, gone)
        self.put_order(order)
        self.effect = Effect("reversed", order, gone)
        return "reversed"

    def _confirm(self, order: Order, known: Execution, report: OrderReport) -> InputKind | None:
        if known.final or known.reversed or report.finality != "final":
            return None
        final = msgspec.structs.replace(known, final=True)
        order = _with_execution(order, final)
        self.put_order(order)
        self.effect = Effect("confirmed", order, final)
        return "confirmed"

    def take_timer(self, fired: TimerFired) -> InputKind | None:
        if self.trade.timer(fired.timer, fired.order_id) is None:
            return None
        self.disarm(fired.timer, fired.order_id)
        self.order_id = fired.order_id
        return fired.timer

    def take_top(self, top: TopSeen) -> InputKind | None:
        for lead in (True, False):
            if self.trade.leg(lead).instrument_id == top.instrument_id:
                if lead:
                    self.set(top_leader=top)
                else:
                    self.set(top_hedge=top)
                return "top"
        return None


def _kind_of(status: OrderStatus) -> InputKind:
    if status == "unknown":
        return "unknown"
    return "done" if status in {"filled", "canceled", "rejected", "expired"} else "open"


def _with_execution(order: Order, changed: Execution) -> Order:
    executions = tuple(changed if e.fill_id == changed.fill_id else e for e in order.executions)
    return msgspec.structs.replace(order, executions=executions)


# Handlers, by their names in the table


def _wait(_run: _Run) -> None:
    """Nothing to do, or nothing that could be meant."""


def _leader_done(run: _Run) -> None:
    trade = run.trade
    if trade.live_order is not None:
        return
    if abs(trade.residual) < trade.dust:
        _finish(run, "leader_" + trade.orders[0].status)
        return
    run.move("hedging", "" if trade.orders[0].status == "filled" else "leader_partial")
    _settle(run)


def _settle(run: _Run, *, go: bool = False) -> None:
    """Hedge what is unmatched, once no order of the trade can fill any more."""
    trade = run.trade
    if trade.live_order is not None:
        return
    if abs(trade.residual) < trade.dust:
        _finish(run, "")
        return
    lead = trade.residual < 0  # the leg that is short
    made = run.attempts("hedge", ((lead, "buy"),))
    if trade.give_up:
        _begin_unwind(run, trade.give_up)
        return
    if made >= run.terms.hedge_attempts_max:
        _begin_unwind(run, "hedge_attempts")
        return
    if made and not go:
        if trade.timer("retry") is None:
            run.arm("retry", run.context.now_ns + run.backoff_ns(made))
        _watch(run)
        return
    _send_hedge(run, lead, made + 1)


def _send_hedge(run: _Run, lead: bool, attempt: int) -> None:
    trade = run.trade
    leg = trade.leg(lead)
    slot = slot_of(trade.plan, "hedge", lead=lead, side="buy", attempt=attempt)
    assert slot is not None, "attempts are counted against the plan"
    quantity = floor_step(min(abs(trade.residual), slot.quantity_max_micros), leg.quantity_step_micros)
    completion = weigh_completion(trade, lead, quantity, run.terms.max_loss_per_trade_micros)
    if completion.refusal:
        _begin_unwind(run, completion.refusal)
        return
    limit = completion_limit(trade, lead, quantity, completion.threshold_micros, slot.price_worst_micros)
    if limit is None:
        _begin_unwind(run, "completion_costs_more")
        return
    refusal = run.send(slot, lead=lead, price=limit, quantity=quantity)
    if refusal == "halted":
        run.set(held_back=True)
    elif refusal:
        _begin_unwind(run, refusal)
    else:
        _watch(run)


def _watch(run: _Run) -> None:
    """Keep the adverse timer as the top of the short leg says."""
    trade = run.trade
    if abs(trade.residual) < trade.dust or not is_adverse(trade, run.terms.adverse_micros):
        run.disarm("adverse")
    elif trade.timer("adverse") is None:
        run.arm("adverse", run.context.now_ns + run.terms.adverse_ms * NS_PER_MS)


def is_adverse(trade: Trade, adverse_micros: int) -> bool:
    """Whether completing is displayed this much dearer than planned; a book that is stale or empty counts as adverse."""
    lead = trade.residual < 0
    leg, top = trade.leg(lead), trade.top(lead)
    price = price_to_buy(top, leg.outcome) if top is not None and top.usable else None
    return price is None or price >= planned_price(trade.intent, leg) + adverse_micros


def _give_up(run: _Run) -> None:
    run.set(give_up="adverse_price")
    _settle(run)


def _begin_unwind(run: _Run, reason: str) -> None:
    run.disarm("retry")
    run.disarm("adverse")
    run.move("unwinding", reason)
    _unwind(run)


def _unwind(run: _Run, *, go: bool = False) -> None:
    """Get rid of what is unmatched, the cheaper way, once no order of the trade can fill any more."""
    trade = run.trade
    if trade.live_order is not None:
        return
    if abs(trade.residual) < trade.dust:
        _finish(run, "unwound")
        return
    ways = UNWIND_WAYS[:2] if trade.residual > 0 else UNWIND_WAYS[2:]
    made = run.attempts("unwind", ways)
    if made >= run.terms.unwind_attempts_max:
        _get_stuck(run, "unwind_attempts")
        return
    if made and not go:
        if trade.timer("retry") is None:
            run.arm("retry", run.context.now_ns + run.backoff_ns(made))
        return
    _send_unwind(run, made)


def _send_unwind(run: _Run, made: int) -> None:
    trade = run.trade
    refusals: list[str] = []
    for choice in unwind_choice(trade, made, run.terms.adverse_micros, run.terms.max_loss_per_trade_micros):
        way = run.attempts("unwind", ((choice.lead, choice.side),)) + 1
        slot = slot_of(trade.plan, "unwind", lead=choice.lead, side=choice.side, attempt=way)
        assert slot is not None, "attempts are counted against the plan"
        quantity = min(choice.quantity_micros, slot.quantity_max_micros)
        refusal = run.send(slot, lead=choice.lead, price=choice.price_micros, quantity=quantity)
        if not refusal:
            run.disarm("finality")
            return
        refusals.append(refusal)
    if "halted" in refusals:
        run.set(held_back=True)
    elif "deadline" in refusals:
        _get_stuck(run, "deadline")
    elif trade.timer("finality") is None:  # what is held cannot be sold before it is final
        run.arm("finality", run.context.now_ns + FINALITY_WAIT_NS)


def _get_stuck(run: _Run, reason: str) -> None:
    run.set(timers=tuple(t for t in run.trade.timers if t.order_id))
    run.move("stuck", reason)


def _finish(run: _Run, reason: str) -> None:
    """Nothing is unmatched: hedged, or flat when nothing is held."""
    trade = run.trade
    run.set(timers=tuple(t for t in trade.timers if t.order_id), held_back=False)
    if max(trade.held(True), trade.held(False)) < trade.dust:
        run.move("flat", reason)
        return
    run.move("hedged", reason)
    _confirm(run)


def _confirm(run: _Run) -> None:
    if run.trade.state == "hedged" and run.trade.final:
        run.move("closed", "")


def _reopen(run: _Run) -> None:
    """A fill was reversed, or one came late: what is unmatched now is hedged again."""
    trade = run.trade
    if trade.live_order is not None:
        return
    if abs(trade.residual) < trade.dust:
        if max(trade.held(True), trade.held(False)) < trade.dust:
            run.move("flat", "fill_reversed")
        else:
            _confirm(run)
        return
    reversed_ = any(e.reversed for o in trade.orders for e in o.executions)
    run.set(give_up="")
    run.move("hedging", "fill_reversed" if reversed_ else "late_fill")
    _settle(run, go=True)


def _lose_sight(run: _Run) -> None:
    order = run.trade.order(run.order_id)
    if order is None or not order.live:
        return
    run.put_order(msgspec.structs.replace(order, status="unknown"))
    run.arm("finality", run.context.now_ns + UNKNOWN_HORIZON_NS, order.order_id)


def _declare_dead(run: _Run) -> None:
    """The windows in which an unknown order could still show up have passed; or a purchase never became final."""
    if not run.order_id:
        if run.trade.state == "unwinding":
            _get_stuck(run, "not_final")
        return
    order = run.trade.order(run.order_id)
    if order is None or order.status != "unknown":
        return
    run.put_order(msgspec.structs.replace(order, status="expired"))
    _HANDLERS[TRADE_TABLE[run.trade.state]["done"]](run)


_HANDLERS: Final[dict[Handler, Callable[[_Run], None]]] = {
    "wait": _wait,
    "refused": _wait,
    "leader_done": _leader_done,
    "settle": _settle,
    "proceed": lambda run: _settle(run, go=True),
    "unwind": _unwind,
    "unwind_on": lambda run: _unwind(run, go=True),
    "reopen": _reopen,
    "confirm": _confirm,
    "lose_sight": _lose_sight,
    "declare_dead": _declare_dead,
    "give_up": _give_up,
    "watch": _watch,
}
