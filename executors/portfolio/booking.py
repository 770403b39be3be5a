"""What an execution does to the books: cash and lots of the ledger, the plan's reservations, equity, and the records that tell everyone.

Decides no trade. Must never book an execution twice or take back one that was not booked: the machine's `Effect` says which.
"""

from executors.hedge.trade import Trade, planned_price
from executors.orders.order import Effect, money_of
from executors.portfolio.risk import Standing, place_of
from schemas.records import Fill, FillConfirmed, FillReversed, OrderReport, TradeIntent


def book(standing: Standing, trade: Trade, effect: Effect, report: OrderReport) -> Fill | FillConfirmed | FillReversed:
    """Book what a report did to an execution of a trade; the record that says so."""
    order, execution = effect.order, effect.execution
    leg = trade.leg(order.leg)
    place = place_of(leg)
    ledger = standing.ledger
    common = {
        "sequence": report.sequence,
        "ts_ns": report.ts_ns,
        "portfolio": report.portfolio,
        "life": report.life,
        "strategy": trade.intent.strategy,
        "fill_id": execution.fill_id,
        "trade_id": trade.trade_id,
    }
    terms = (execution.price_micros, execution.quantity_micros, execution.fee_micros)
    if effect.kind == "confirmed":
        return FillConfirmed(**common)  # type: ignore[arg-type]  # the fields that all fill records share
    undo = effect.kind == "reversed"
    standing.equity.open(trade.trade_id, trade.intent)
    execution_of = (trade.trade_id, place, leg.outcome, order.side, *terms)
    change = standing.equity.execute(trade.trade_id, leg.instrument_id, leg.outcome, order.side, *terms, undo=undo)
    standing.note_equity(report.ts_ns, change)
    if undo:
        ledger.reverse(*execution_of)
        if order.side == "buy":  # buying it again may need what comes back
            ledger.add_to(plan_key(trade.trade_id, order.leg), place, money_of(execution))
        return FillReversed(**common, reason=report.reason)  # type: ignore[arg-type]  # as above
    ledger.fill(*execution_of)
    if order.side == "buy":
        ledger.consume(order.order_id, money_of(execution))
    return _fill(common, trade, effect, report)


def _fill(common: dict[str, object], trade: Trade, effect: Effect, report: OrderReport) -> Fill:
    order, execution = effect.order, effect.execution
    leg = trade.leg(order.leg)
    intent: TradeIntent = trade.intent
    return Fill(
        **common,  # type: ignore[arg-type]  # the fields that all fill records share
        order_id=order.order_id,
        intent_id=intent.intent_id,
        pair_id=intent.pair_id,
        category=leg.category,
        role=order.role,
        instrument_id=leg.instrument_id,
        venue=leg.venue,
        outcome=leg.outcome,
        side=order.side,
        price_micros=execution.price_micros,
        price_planned_micros=planned_price(intent, leg),
        quantity_micros=execution.quantity_micros,
        fee_micros=execution.fee_micros,
        liquidity=report.liquidity,
        schedule_hash=report.schedule_hash or leg.fee_schedule.hash,
        finality=report.finality,
    )


def plan_key(trade_id: str, leg: str) -> str:
    """What a plan holds back for purchases of a leg beside those that are out."""
    return f"{trade_id}/plan/{leg}"
