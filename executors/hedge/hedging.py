"""The two-leg hedge as a machine of the executor: its steps are `executors.hedge.machine`'s, what a trade looks at is said here.

Decides, of an intent, whether the gate lets it open and who leads; of a trade, which books it waits for. Must never send an order: that
is the machine's.
"""

from functools import reduce
from typing import Final

import msgspec

from executors.hedge import machine
from executors.hedge.plan import choose_leader, make_plan
from executors.hedge.trade import HEDGE_LEGS, LEGS, OTHER, Trade, amended, planned_price
from executors.orders.machine import Book, Context, Desk, Event, Opened, Step, Summary
from executors.orders.work import WORKING
from executors.portfolio.booking import plan_key
from executors.portfolio.equity import TradeTerms, terms_of
from executors.portfolio.risk import Refusal, gate_trade, hedge_reserve, place_of
from executors.terms import NS_PER_MS
from schemas.records import IntentSeen, TopSeen, TradeIntent

#: Why no trade opens while our own lag is over its limit.
LAGGING: Final = "lagging"
#: Why an intent is declined that a hedge cannot act on.
NOT_TWO_LEGS: Final = "not_two_legs"


class Hedging:
    """Machine of TradeIntent."""

    work = Trade
    legs: tuple[str, ...] = LEGS

    def open(self, seen: IntentSeen, desk: Desk) -> Opened[Trade] | str:
        """As Machine."""
        standing, terms = desk.standing, desk.context.terms
        if len(seen.intent.legs) != HEDGE_LEGS:
            return NOT_TWO_LEGS
        one, other = seen.intent.legs
        standing.pairs[seen.intent.pair_id] = (one.instrument_id, other.instrument_id)
        intent = reduce(amended, desk.listings, seen.intent)
        decide_ns = terms.paper.decide_latency_ms * NS_PER_MS
        verdict = gate_trade(
            standing, intent, desk.tops, terms.execute, now_ns=seen.ts_ns, decide_ns=decide_ns, lag_ns=seen.lag_ns
        )
        if isinstance(verdict, Refusal):
            return verdict.reason
        leader_is_a = choose_leader(intent, seen.leader_advised)
        if leader_is_a is None:
            return "two_delayed_legs"
        if desk.lagging:
            return LAGGING
        plan = make_plan(
            intent,
            leader_is_a=leader_is_a,
            quantity_micros=verdict.quantity_micros,
            terms=terms.execute,
            ts_ns=seen.ts_ns,
            position=seen.position,
            sequence=desk.take_sequence(),
            portfolio=standing.portfolio,
            life=desk.life,
        )
        leader, hedge = intent.legs if leader_is_a else reversed(intent.legs)
        reserve = hedge_reserve(hedge, plan.quantity_micros, terms.execute)
        standing.ledger.reserve(plan_key(plan.trade_id, "hedge"), place_of(hedge), reserve)
        step = machine.open_trade(
            intent,
            plan,
            leader_is_a=leader_is_a,
            tops=(desk.tops.get(leader.instrument_id), desk.tops.get(hedge.instrument_id)),
            context=desk.context,
        )
        return Opened(plan, step)

    def advance(self, work: Trade, event: Event, context: Context) -> Step[Trade]:
        """As Machine."""
        return machine.advance(work, event, context)

    def give_in(self, work: Trade, error: Exception, context: Context) -> Step[Trade]:
        """As Machine."""
        return machine.give_in(work, error, context)

    # What is said of a trade

    def summary(self, work: Trade) -> Summary:
        """As Machine."""
        intent = work.intent
        edge = intent.net_micros * work.plan.quantity_micros // intent.quantity_micros
        return Summary(intent.pair_id, intent.package, *work.quantities_ab(), *work.cash_and_fees(), edge)

    def declined(self, intent: TradeIntent) -> Summary:
        """As Machine."""
        return Summary(intent.pair_id, intent.package, edge=intent.net_micros)

    def planned_price(self, work: Trade, name: str) -> int:
        """As Machine."""
        return planned_price(work.intent, work.leg(name))

    def valued(self, work: Trade) -> TradeTerms:
        """As Machine."""
        return terms_of(work.intent)

    def stuck_with(self, step: Step[Trade]) -> tuple[str, ...]:
        """The leg that it cannot get rid of; both where nothing is unmatched, or an order is still out."""
        trade = step.work
        naked = abs(trade.residual) > trade.terms.mismatch_max_micros
        if trade.state != "stuck" or not (step.failed or (step.moves and naked)):
            return ()
        return LEGS if trade.live_order is not None or not trade.residual else (OTHER[trade.short],)

    # What it looks at

    def books_of(self, intent: TradeIntent) -> tuple[Book, ...]:
        """As Machine."""
        return tuple(Book(leg.instrument_id, leg, None) for leg in intent.legs)

    def advised(self, intent: TradeIntent) -> tuple[str, ...]:
        """As Machine."""
        return tuple(leg.instrument_id for leg in intent.legs)

    def books(self, work: Trade) -> tuple[Book, ...]:
        """As Machine."""
        return tuple(Book(leg.instrument_id, leg, work.top(name)) for name in LEGS for leg in (work.leg(name),))

    def watches(self, work: Trade) -> bool:
        """As Machine."""
        return work.state == "hedging"

    def watched(self, work: Trade, changed: str | None) -> str | None:
        """The short leg's: most books are another trade's, so what is unmatched is worked out only for those of this one."""
        one, other = work.intent.legs
        if changed is not None and changed not in (one.instrument_id, other.instrument_id):
            return None
        instrument_id = work.leg(work.short).instrument_id
        return instrument_id if changed in (None, instrument_id) else None

    def turns(self, work: Trade, top: TopSeen) -> bool:
        """Whether the price of what is missing turns adverse by it, or back, under the terms that the trade was opened with."""
        seen = msgspec.structs.replace(work, **{f"top_{work.short}": top})
        limit = work.terms.adverse_micros
        return machine.is_adverse(seen, limit) != machine.is_adverse(work, limit)

    def reopens(self, work: Trade) -> bool:
        """A hedged trade is hedged again when a fill is reversed."""
        return work.state in WORKING or work.state == "hedged"

    def unmatched(self, work: Trade) -> bool:
        """What is about to be hedged is looked at anyway."""
        waits = work.held_back or work.state not in {"leading", "hedging"}
        return waits and abs(work.residual) >= work.dust


HEDGING: Final = Hedging()
