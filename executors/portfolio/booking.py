"""What an execution does to the books: cash and lots of the ledger, the plan's reservations, equity, and the records that tell everyone.

Decides no trade. Must never book an execution twice or take back one that was not booked: the machine's `Effect` says which.
"""

from executors.orders.order import Effect, money_of
from executors.orders.work import Work
from executors.portfolio.equity import TradeTerms
from executors.portfolio.risk import Standing, place_of
from schemas.records import Fill, FillConfirmed, FillReversed, OrderReport


def book(
    standing: Standing, trade: Work, effect: Effect, report: OrderReport, *, valued: TradeTerms, planned: int
) -> Fill | FillConfirmed | FillReversed:
    """Book what a report did to an execution of a trade; the record that says so.

    `valued`: what the trade is valued by; `planned`: price at which the leg was meant to trade, micros.
    """
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
    standing.equity.open(trade.trade_id, valued)
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
    return _fill(common, trade, effect, report, planned)


def _fill(common: dict[str, object], trade: Work, effect: Effect, report: OrderReport, planned: int) -> Fill:
    order, execution = effect.order, effect.execution
    leg = trade.leg(order.leg)
    return Fill(
        **common,  # type: ignore[arg-type]  # the fields that all fill records share
        order_id=order.order_id,
        intent_id=trade.intent.intent_id,
        pair_id=trade.pair_id,
        category=leg.category,
        role=order.role,
        instrument_id=leg.instrument_id,
        venue=leg.venue,
        outcome=leg.outcome,
        side=order.side,
        price_micros=execution.price_micros,
        price_planned_micros=planned,
        quantity_micros=execution.quantity_micros,
        fee_micros=execution.fee_micros,
        liquidity=report.liquidity,
        schedule_hash=report.schedule_hash or leg.fee_schedule.hash,
        finality=report.finality,
    )


def plan_key(trade_id: str, leg: str) -> str:
    """What a plan holds back for purchases of a leg beside those that are out."""
    return f"{trade_id}/plan/{leg}"
