"""A hedge machine step by step: its terms, its start, reports and timers."""

from executors.hedge.machine import open_trade
from executors.hedge.plan import make_plan
from executors.orders.machine import Context, Resume
from executors.orders.work import WORKING
from executors.terms import Terms
from schemas.records import OrderReport, TimerFired
from tests.builders.executors.worlds import CONTRACT, KA, LOT, PM, T0, intent, top

TERMS = Terms()
HALF = 5 * CONTRACT


def context(now_ns=T0, permits=lambda *_: "", terms=TERMS):
    return Context(now_ns=now_ns, terms=terms, permits=permits)


def start(an_intent=None, ka_top=None, ctx=None):
    an_intent = an_intent or intent()
    plan = make_plan(
        an_intent,
        leader_is_a=True,
        quantity_micros=an_intent.quantity_micros,
        terms=TERMS.execute,
        ts_ns=T0,
        position=10,
        sequence=0,
        portfolio="main",
        life=0,
    )
    tops = (top(PM, 390_000, 400_000), ka_top or top(KA, 500_000, 510_000))
    return open_trade(an_intent, plan, leader_is_a=True, tops=tops, context=ctx or context())


def report(order, status, *, fill=0, price=None, fill_id="", finality="final", reversed_=False, number=1):
    return OrderReport(
        sequence=0,
        ts_ns=T0,
        partition=0,
        position=10,
        report_id=f"{order.order_id}-r{number}",
        order_id=order.order_id,
        venue_order_id="v",
        trade_id="main-i1",
        order_status=status,
        cumulative_quantity_micros=fill,
        leaves_quantity_micros=0,
        last_quantity_micros=fill,
        last_price_micros=price or order.price_limit_micros if fill else 0,
        last_fee_micros=100 if fill else 0,
        fill_id=fill_id or (f"{order.order_id}-f{number}" if fill else ""),
        liquidity="taker",
        finality=finality,
        reversed=reversed_,
        reason="",
    )


def timer(kind, order_id=""):
    return TimerFired(sequence=0, ts_ns=T0, partition=0, position=10, trade_id="main-i1", timer=kind, order_id=order_id)


DEAR = {"bid": 280_000, "ask": 290_000}  # NO at 0.72: completing is worse than selling YES at 0.39


def events_of(trade):
    """What the world can say next: any word about any order, dead ones included, any timer, two books, a reversal, a resume."""
    for order in trade.orders:
        yield report(order, "accepted")
        yield report(order, "canceled")
        filled = sum(e.quantity_micros for e in order.executions)
        left = order.quantity_micros - filled
        finality = "provisional" if order.leg == "leader" and order.side == "buy" else "final"
        number = len(order.executions) + 1
        if order.side == "sell":
            left = min(left, trade.sellable(order.leg))
        if left >= LOT:
            yield report(order, "filled", fill=left, finality=finality, number=number)
        if left > HALF:
            yield report(order, "partially_filled", fill=HALF, finality=finality, number=number)
        for one in order.executions:
            if not one.final and not one.reversed:
                yield report(order, "filled", fill_id=one.fill_id, reversed_=True)
                yield report(order, "filled", fill_id=one.fill_id)
    for armed in trade.timers:
        yield timer(armed.kind, armed.order_id)
    if trade.state in WORKING:
        yield top(KA, 500_000, 510_000)
        yield top(KA, **DEAR)
    if trade.held_back:
        yield Resume()
