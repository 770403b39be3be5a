"""An order and its executions, and what a report makes of them: the part that every machine shares.

Decides, from the table of `executors.orders.table`, the status after a report, whether an execution is new, final or never
happened, and which kind of input the report is to whoever sent the order. A report carries its result, so that the same one twice,
or one that comes late, is recognised and books nothing again. Values, frozen; quantities are micros of a contract.
"""

from collections.abc import Callable, Iterable
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

from crossbook.domain.money import cost_micros
from executors.orders.table import ORDER_TABLE, REFUSED, STALE, TERMINAL
from executors.terms import NS_PER_MS, NS_PER_S, PaperTerms, report_ns, request_ns
from schemas.records import OrderReport, OrderStatus, Role, Side, TimerKind

#: How long an order may stay unknown: the window in which a request may still leave (0.3 s), the stamp windows of the venues'
#: signatures, the lag of their order queries and the paper venue's patience with a polled book (12 s) stay below it.
UNKNOWN_HORIZON_NS: Final = 15 * NS_PER_S
#: What a report is to the one who sent the order.
OrderInput: TypeAlias = Literal[
    "open",  # an order is at the venue, possibly filled in part
    "done",  # an order came to its end
    "unknown",  # nobody knows what an order is
    "reversed",  # an execution never happened after all
    "confirmed",  # an execution became final
]
EffectKind: TypeAlias = Literal["booked", "confirmed", "reversed"]


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """One fill of an order; `reversed` ones count for nothing."""

    fill_id: str
    price_micros: int
    quantity_micros: int
    fee_micros: int
    final: bool
    reversed: bool = False


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """One order. `leg` is the name that its machine gives to what it is for; the hedge's legs are `leader` and `hedge`."""

    order_id: str
    role: Role
    attempt: int
    leg: str
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
    """A moment of stream time at which its owner wants to be told; `order_id` is empty for one that is about no order."""

    due_ns: int
    kind: TimerKind
    order_id: str


class Effect(NamedTuple):
    """What a report did to an execution."""

    kind: EffectKind
    order: Order
    execution: Execution


class Told(NamedTuple):
    """An order after a report; `kind` is None when the report says nothing that anybody waits for."""

    order: Order
    kind: OrderInput | None
    effect: Effect | None = None


class Unbooked(NamedTuple):
    """Cash that a report moves at a leg before the ledger has it: paid for a purchase, or (negative) back for a reversed one."""

    leg: str
    cash_micros: int


def order_id_of(trade_id: str, role: Role, attempt: int) -> str:
    """Our id of an order, derived: the same attempt has the same id whoever computes it."""
    return f"{trade_id}-{role[0]}{attempt}"


def take_report(order: Order, report: OrderReport) -> Told:
    """Book what a report says of an order."""
    known = next((e for e in order.executions if e.fill_id == report.fill_id), None) if report.fill_id else None
    if report.reversed:
        return _reverse(order, known, report)
    told = known is not None and known.quantity_micros > 0
    if known is not None and (told or not report.last_quantity_micros):
        return _confirm(order, known, report)
    if report.fill_id and not report.last_quantity_micros and report.finality == "final":
        # Mined before it was matched, as far as we were told: the fill is final when it comes.
        return Told(_with_execution(order, _execution(report, final=True)), None)
    effect = None
    if report.last_quantity_micros > 0:
        gone = known is not None and known.reversed
        execution = _execution(report, final=report.finality == "final" or known is not None, reversed_=gone)
        order = _with_execution(order, execution)
        effect = None if gone else Effect("booked", order, execution)
    order = with_status(order, report.order_status)
    return Told(order, _kind_of(order.status), effect)


def with_status(order: Order, status: OrderStatus) -> Order:
    """The order after a word about its status; what is stale or cannot be meant leaves it as it is."""
    following = ORDER_TABLE[order.status][status]
    if following in (STALE, REFUSED):
        return order
    return msgspec.structs.replace(order, status=following)


def _reverse(order: Order, known: Execution | None, report: OrderReport) -> Told:
    if report.fill_id and (known is None or not known.quantity_micros):
        # Failed before it was matched, as far as we were told: the fill counts for nothing when it comes.
        untold = msgspec.structs.replace(_execution(report, final=True, reversed_=True), quantity_micros=0)
        return Told(_with_execution(order, untold), None)
    if known is None or known.reversed:
        return Told(order, None)
    gone = msgspec.structs.replace(known, reversed=True)
    order = _with_execution(order, gone)
    return Told(order, "reversed", Effect("reversed", order, gone))


def _confirm(order: Order, known: Execution, report: OrderReport) -> Told:
    # The fill is told again; with it may come that the order has ended since.
    ended = order.live and report.last_quantity_micros > 0 and report.order_status in TERMINAL
    after = with_status(order, report.order_status) if ended else order
    effect = None
    if not (known.final or known.reversed or report.finality != "final"):
        final = msgspec.structs.replace(known, final=True)
        after = _with_execution(after, final)
        effect = Effect("confirmed", after, final)
    if after.status != order.status:
        return Told(after, "done", effect)
    return Told(after, None if effect is None else "confirmed", effect)


def _kind_of(status: OrderStatus) -> OrderInput:
    if status == "unknown":
        return "unknown"
    return "done" if status in TERMINAL else "open"


def _execution(report: OrderReport, *, final: bool, reversed_: bool = False) -> Execution:
    return Execution(
        fill_id=report.fill_id,
        price_micros=report.last_price_micros,
        quantity_micros=report.last_quantity_micros,
        fee_micros=report.last_fee_micros,
        final=final,
        reversed=reversed_,
    )


def _with_execution(order: Order, changed: Execution) -> Order:
    """The order with an execution put in the place of the one of its id, or behind all others."""
    if any(e.fill_id == changed.fill_id for e in order.executions if changed.fill_id):
        executions = tuple(changed if e.fill_id == changed.fill_id else e for e in order.executions)
    else:
        executions = (*order.executions, changed)
    return msgspec.structs.replace(order, executions=executions)


def money_of(execution: Execution) -> int:
    """What a purchase paid, fee included, micros of a dollar, rounded up."""
    return cost_micros(execution.price_micros, execution.quantity_micros) + execution.fee_micros


def unbooked_purchase(orders: Iterable[Order], report: OrderReport) -> Unbooked | None:
    """What a report is about to book as a purchase, or to take back; None for everything else."""
    order = next((order for order in orders if order.order_id == report.order_id), None)
    if order is None or order.side != "buy" or not report.fill_id:
        return None
    known = next((one for one in order.executions if one.fill_id == report.fill_id), None)
    if report.reversed:
        return None if known is None or known.reversed else Unbooked(order.leg, -money_of(known))
    told = known is not None and (known.quantity_micros > 0 or known.reversed)  # else only what became of it was told
    if told or report.last_quantity_micros <= 0:
        return None
    paid = cost_micros(report.last_price_micros, report.last_quantity_micros) + report.last_fee_micros
    return Unbooked(order.leg, paid)


# Timers


def arm(timers: tuple[Timer, ...], kind: TimerKind, due_ns: int, order_id: str = "") -> tuple[Timer, ...]:
    """The timers with one more; an earlier one of the same name is replaced."""
    return (*disarm(timers, kind, order_id), Timer(due_ns=due_ns, kind=kind, order_id=order_id))


def disarm(timers: tuple[Timer, ...], kind: TimerKind, order_id: str = "") -> tuple[Timer, ...]:
    """The timers without one."""
    return tuple(t for t in timers if (t.kind, t.order_id) != (kind, order_id))


def attend(timers: tuple[Timer, ...], order: Order, now_ns: int, due_ns: Callable[[], int]) -> tuple[Timer, ...]:
    """The timers with those that an order needs as it is now.

    One that the venue may still fill has its time-out (`due_ns`), or the horizon when nobody knows what it is; an ended one has none.
    """
    name = order.order_id
    armed = {t.kind for t in timers if t.order_id == name}
    if not order.live:
        return tuple(t for t in timers if t.order_id != name)
    if order.status == "unknown":
        if "finality" not in armed:
            timers = arm(timers, "finality", now_ns + UNKNOWN_HORIZON_NS, name)
        return disarm(timers, "order_timeout", name)
    timers = disarm(timers, "finality", name)
    return timers if "order_timeout" in armed else arm(timers, "order_timeout", due_ns(), name)


def answer_due_ns(order: Order, now_ns: int, *, taker_delay_ms: int, paper: PaperTerms, timeout_ms: int) -> int:
    """When an order that is on its way or at its venue counts as silent: expected match and report + time-out, Unix ns."""
    match_ns = order.ts_ns + request_ns(paper) + taker_delay_ms * NS_PER_MS + report_ns(paper)
    return max(match_ns, now_ns) + timeout_ms * NS_PER_MS
