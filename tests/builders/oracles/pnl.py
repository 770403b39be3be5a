"""PnL of a synthetic log by an independent road: each trade's executions in a list, `equity_oracle` for what they are worth; no SQL."""

from collections import defaultdict

from schemas.records import Fill, PayoutBooked, TopSeen, TradeIntent
from tests.builders.logs.projected import MICROS, Placed, fills_that_stand
from tests.builders.oracles.equity import Bought, Terms, worth_of


def pnl(records: list[Placed]) -> tuple[int, int, int, int, int, int]:
    """(gross, fees, net, locked, marked, unwound) of all trades, micros."""
    intents = {p.record.intent_id: p.record for p in records if isinstance(p.record, TradeIntent)}
    tops = [p.record for p in records if isinstance(p.record, TopSeen)]
    # One that was not usable is no price: what is held there counts at its worst, nothing.
    marks = {
        top.instrument_id: (top.bid_price_micros, top.ask_price_micros) if top.usable else (None, None) for top in tops
    }
    payouts = {
        p.record.instrument_id: p.record.payout_yes_micros
        for p in reversed(records)
        if isinstance(p.record, PayoutBooked)
    }
    executions = defaultdict(list)
    fees = 0
    for fill in fills_that_stand(records):
        fees += fill.fee_micros
        executions[fill.intent_id].append(as_leg(intents[fill.intent_id], fill))
    sums = [0, 0, 0, 0]
    for intent_id, own in executions.items():
        legs = intents[intent_id].legs
        schedules = [leg.fee_schedule for leg in legs]
        units = tuple(s.member_precision_micros if s.model == "kalshi_quadratic" else 1 for s in schedules)
        intent = intents[intent_id]
        terms = Terms(tuple(leg.outcome for leg in legs), units, intent.payout_micros, intent.quantity_micros)
        names = [leg.instrument_id for leg in legs]
        worth = worth_of(terms, own, [marks.get(n, (None, None)) for n in names], [payouts.get(n) for n in names])
        sums = [total + one for total, one in zip(sums, worth, strict=True)]
    net, locked, marked, unwound = sums
    return net + fees, fees, net, locked, marked, unwound


def as_leg(intent: TradeIntent, fill: Fill) -> Bought:
    """An execution in its leg's outcome: buying NO at p is selling YES at 1 - p."""
    which = 0 if fill.instrument_id == intent.legs[0].instrument_id else 1
    if fill.outcome == intent.legs[which].outcome:
        return Bought(which, fill.side, fill.price_micros, fill.quantity_micros, fill.fee_micros)
    other = "sell" if fill.side == "buy" else "buy"
    return Bought(which, other, MICROS - fill.price_micros, fill.quantity_micros, fill.fee_micros)
