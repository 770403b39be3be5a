"""The two-leg hedge machine: what a trade does next, from what it is told.

Decides, purely: `advance(trade, event, context) -> Step(trade, sends, moves, effect)`. The leader's final fill is hedged in
equal contracts; whether to complete or to unwind is an economic choice on the tops seen, sunk cost ignored but for the cap on a
trade's loss. Must never send while an order of the trade may still fill, never re-send what it has lost sight of, never send
outside the bounds of the committed plan, and never buy a leg past the plan's quantity: what is too much of a leg is sold. The states
are those of `executors.hedge.tables`; only this module moves a trade through them.

Losing sight: an order that is silent past its expected match + time-out becomes `unknown`. It is asked for (the paper venue
answers late by itself) until UNKNOWN_HORIZON_NS has passed, then declared dead; a fill that shows up under a dead id is booked
and hedged or unwound like any other. An order that shows a sign of life is waited for as if it had just been sent.

What the machine cannot work out, whatever the reason, is a trade for a person: it becomes `stuck`, with the error as its reason,
after what the input said of fills is booked. No input can end the executor through a trade.
"""

from collections.abc import Callable
from typing import Final

from executors.hedge.choice import completion_limit, displayed_price, unwind_choice, weigh_completion, within
from executors.hedge.plan import UNWIND_WAYS, bound_of, minimum_quantity
from executors.hedge.run import Run
from executors.hedge.tables import FAILED, TRADE_TABLE, Handler, InputKind
from executors.hedge.trade import LegName, Trade, amended, planned_price, price_to_buy
from executors.orders.machine import Context, Event, Move, Resume, Step, reason_of
from executors.orders.order import with_status
from executors.orders.work import INSTRUMENT_MOVED, unattended
from executors.terms import NS_PER_MS, NS_PER_S
from schemas.records import ListingSeen, OrderReport, OrderSent, PlanBound, TimerFired, TopSeen, TradeIntent, TradePlan

#: How long an unwind waits for a purchase to become final before a person is called. A block takes about 2 s.
FINALITY_WAIT_NS: Final = 60 * NS_PER_S
#: Words of the gate that say how much is too much, not that nothing may be bought.
CAPS: Final = frozenset({"cash", "leg_limit", "category_limit"})


def open_trade(
    intent: TradeIntent,
    plan: TradePlan,
    *,
    leader_is_a: bool,
    tops: tuple[TopSeen | None, TopSeen | None],
    context: Context,
) -> Step[Trade]:
    """Start a planned trade: send the leader. `tops` are those of leader and hedge. It keeps the terms of this moment."""
    trade = Trade(
        intent=intent,
        plan=plan,
        leader_is_a=leader_is_a,
        state="proposed",
        terms=context.terms.execute,
        top_leader=tops[0],
        top_hedge=tops[1],
    )
    run = Run(trade, context, TRADE_TABLE["proposed"]["intent"])
    run.move("leading", "")
    refusal = run.send(plan.leader, 1, price=plan.leader.price_worst_micros, quantity=plan.quantity_micros)
    if refusal:
        run.move("flat", refusal)
    return run.result()


def advance(trade: Trade, event: Event, context: Context) -> Step[Trade]:
    """Tell a trade something that happened."""
    run = Run(trade, context)
    booked = trade
    try:
        kind = _take(run, event)
        booked = run.trade
        if kind is not None:
            run.answer = TRADE_TABLE[trade.state][kind]
            _HANDLERS[run.answer.handler](run)
        missing = unattended(run.trade)
        assert not missing, missing
    except Exception as error:  # noqa: BLE001 - whatever it is, the trade is a person's and the executor goes on
        return give_in(booked, error, context)._replace(effect=run.effect)
    return run.result()


def give_in(trade: Trade, error: Exception, context: Context) -> Step[Trade]:
    """The trade as one that a person must look at, because of an error. What is at a venue is still waited for."""
    run = Run(trade, context, FAILED)
    for order in trade.orders:
        run.put_order(order)
    reason = reason_of(error)
    if trade.state == "stuck":
        run.moves.append(Move("stuck", reason, run.trade))
    _get_stuck(run, reason)
    return run.result()._replace(failed=True)


def _take(run: Run, event: Event) -> InputKind | None:
    match event:
        case OrderReport():
            return run.take_report(event)
        case TimerFired():
            return run.take_timer(event)
        case TopSeen():
            return run.take_top(event)
        case ListingSeen():
            run.set(intent=amended(run.trade.intent, event))
            return None
        case OrderSent():
            run.take_sent(event)
            return None
        case Resume():
            run.set(held_back=False)
            return "resume"


# Handlers, by their names in the table


def _wait(_run: Run) -> None:
    """Nothing to do, or nothing that could be meant."""


def _leader_done(run: Run) -> None:
    trade = run.trade
    if trade.live_order is not None:
        return
    if abs(trade.residual) < trade.dust:
        _finish(run, "leader_" + trade.orders[0].status)
        return
    run.move("hedging", "" if trade.orders[0].status == "filled" else "leader_partial")
    _settle(run)


def _settle(run: Run, *, go: bool = False) -> None:
    """Hedge what is unmatched, once no order of the trade can fill any more."""
    trade = run.trade
    if trade.live_order is not None:
        return
    if abs(trade.residual) < trade.dust:
        _finish(run, "")
        return
    short = trade.short
    made = run.attempts("hedge", ((short, "buy"),))
    if trade.give_up:
        _begin_unwind(run, trade.give_up)
        return
    if trade.gone(short):
        _begin_unwind(run, INSTRUMENT_MOVED)
        return
    if trade.purchasable(short) <= 0:
        _begin_unwind(run, "more_than_planned")
        return
    if made >= run.terms.hedge_attempts_max:
        _begin_unwind(run, "hedge_attempts")
        return
    if made and not go:
        if trade.timer("retry") is None:
            run.arm("retry", run.context.now_ns + run.backoff_ns(made))
        _watch(run)
        return
    _send_hedge(run, short, made + 1)


def _send_hedge(run: Run, name: LegName, attempt: int) -> None:
    trade = run.trade
    bound = bound_of(trade.plan, "hedge", name=name, side="buy")
    limit, reason = _hedge_limit(run, bound, name, trade.purchasable(name))
    if limit is None:
        _begin_unwind(run, reason)
        return
    refusal = _send_within_caps(run, bound, attempt, name=name, price=limit, quantity=trade.purchasable(name))
    if refusal == "halted":
        run.set(held_back=True)
    elif refusal:
        _begin_unwind(run, refusal)
    else:
        _watch(run)


def _hedge_limit(run: Run, bound: PlanBound, name: LegName, quantity: int) -> tuple[int | None, str]:
    """Price to hedge at; None, and why, where unwinding is better or a hedge could only miss."""
    trade = run.trade
    completion = weigh_completion(trade, name, quantity, run.terms.max_loss_per_trade_micros)
    if completion.refusal:
        return None, completion.refusal
    limit = completion_limit(trade, name, quantity, completion.threshold_micros, bound.price_worst_micros)
    if limit is None:
        return None, "completion_costs_more"
    shown = displayed_price(trade, name, "buy")
    if shown is not None and limit < shown:
        return None, "worst_price"
    return limit, ""


def _send_within_caps(run: Run, bound: PlanBound, attempt: int, *, name: LegName, price: int, quantity: int) -> str:
    """Send as much of a purchase as cash and caps allow; empty, or why the gate refused.

    A cap asks for the worst case, so what does not fit at the limit is asked for at the price that is displayed.
    """
    refusal = run.send(bound, attempt, price=price, quantity=quantity)
    if refusal not in CAPS:
        return refusal
    leg, trade, shown = run.trade.leg(name), run.trade, displayed_price(run.trade, name, "buy")
    price = price if shown is None else within(bound, leg, min(price, shown))
    step = leg.quantity_step_micros
    low, high = 0, quantity // step
    while low < high:  # what is refused in full is refused in every larger quantity
        middle = (low + high + 1) // 2
        if run.context.permits(trade, bound, price, middle * step):
            high = middle - 1
        else:
            low = middle
    if low * step < max(minimum_quantity(leg, price), 1):
        return refusal
    return run.send(bound, attempt, price=price, quantity=low * step)


def _watch(run: Run) -> None:
    """Keep the adverse timer as the top of the short leg says."""
    trade = run.trade
    if abs(trade.residual) < trade.dust or not is_adverse(trade, run.terms.adverse_micros):
        run.disarm("adverse")
    elif trade.timer("adverse") is None:
        run.arm("adverse", run.context.now_ns + run.terms.adverse_ms * NS_PER_MS)


def is_adverse(trade: Trade, adverse_micros: int) -> bool:
    """Whether completing is displayed this much dearer than planned; a book that is stale or empty counts as adverse."""
    leg, top = trade.leg(trade.short), trade.top(trade.short)
    price = price_to_buy(top, leg.outcome) if top is not None and top.usable else None
    return price is None or price >= planned_price(trade.intent, leg) + adverse_micros


def _give_up(run: Run) -> None:
    run.set(give_up="adverse_price")
    _settle(run)


def _begin_unwind(run: Run, reason: str) -> None:
    run.disarm("retry")
    run.disarm("adverse")
    run.move("unwinding", reason)
    _unwind(run)


def _unwind(run: Run, *, go: bool = False) -> None:
    """Get rid of what is unmatched, the cheaper way, once no order of the trade can fill any more."""
    trade = run.trade
    if trade.live_order is not None:
        return
    if abs(trade.residual) < trade.dust:
        _finish(run, "unwound")
        return
    if trade.gone("leader") and trade.gone("hedge"):
        _get_stuck(run, INSTRUMENT_MOVED)
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


def _send_unwind(run: Run, made: int) -> None:
    trade = run.trade
    refusals: list[str] = []
    for choice in unwind_choice(trade, made, run.terms.adverse_micros, run.terms.max_loss_per_trade_micros):
        way = run.attempts("unwind", ((choice.leg, choice.side),)) + 1
        bound = bound_of(trade.plan, "unwind", name=choice.leg, side=choice.side)
        quantity = min(choice.quantity_micros, bound.quantity_max_micros)
        price = within(bound, trade.leg(choice.leg), choice.price_micros)
        if choice.side == "sell":
            refusal = run.send(bound, way, price=price, quantity=quantity)
        else:
            refusal = _send_within_caps(run, bound, way, name=choice.leg, price=price, quantity=quantity)
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


def _get_stuck(run: Run, reason: str) -> None:
    run.set(timers=tuple(t for t in run.trade.timers if t.order_id), held_back=False)
    run.move("stuck", reason)


def _finish(run: Run, reason: str) -> None:
    """Nothing is unmatched: hedged, or flat when nothing is held."""
    trade = run.trade
    run.set(timers=tuple(t for t in trade.timers if t.order_id), held_back=False)
    if max(trade.held("leader"), trade.held("hedge")) < trade.dust:
        run.move("flat", reason)
        return
    run.move("hedged", reason)
    _confirm(run)


def _confirm(run: Run) -> None:
    if run.trade.state == "hedged" and run.trade.final:
        run.move("closed", "")


def _reopen(run: Run) -> None:
    """A fill was reversed, or one came late: what is unmatched now is hedged again, once no order can fill any more."""
    trade = run.trade
    if abs(trade.residual) < trade.dust:
        if trade.live_order is not None:
            return
        if max(trade.held("leader"), trade.held("hedge")) < trade.dust:
            run.move("flat", "fill_reversed")
        else:
            _confirm(run)
        return
    reversed_ = any(e.reversed for o in trade.orders for e in o.executions)
    run.set(give_up="")
    run.move("hedging", "fill_reversed" if reversed_ else "late_fill")
    _settle(run, go=True)


def _lose_sight(run: Run) -> None:
    order = run.trade.order(run.order_id)
    if order is not None and order.live:
        run.put_order(with_status(order, "unknown"))


def _declare_dead(run: Run) -> None:
    """The windows in which an unknown order could still show up have passed; or a purchase never became final."""
    if not run.order_id:
        if run.trade.state == "unwinding":
            _get_stuck(run, "not_final")
        return
    order = run.trade.order(run.order_id)
    if order is None or not order.live:
        return
    if order.status != "unknown":
        run.put_order(order)  # it was heard of since, and is waited for again
        return
    run.put_order(with_status(order, "expired"))
    _HANDLERS[TRADE_TABLE[run.trade.state]["done"].handler](run)


#: All but `open`, which is `open_trade`: there is no trade yet that could be told.
_HANDLERS: Final[dict[Handler, Callable[[Run], None]]] = {
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
