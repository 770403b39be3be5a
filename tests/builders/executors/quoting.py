"""A second machine, for QuoteIntent, made of the port alone: one immediate purchase of YES at the fair value less half the spread."""

import msgspec

from crossbook.domain.fees import payout_unit
from crossbook.domain.grid import PriceGrid
from executors.engine import Engine
from executors.journal import trade_id_of
from executors.machines import MACHINES
from executors.orders.machine import Book, Move, Opened, Resume, Send, Step, Summary, reason_of
from executors.orders.order import Order, answer_due_ns, attend, order_id_of, take_report, with_status
from executors.orders.work import Work, unattended
from executors.portfolio.equity import TradeTerms
from schemas.records import (
    IntentLeg,
    ListingSeen,
    OrderReport,
    OrderSent,
    PlanBound,
    QuoteIntent,
    TakeIntent,
    TimerFired,
    TopSeen,
    TradePlan,
)
from tests.builders.executors.worlds import KA, LOG, MS, T0, TERMS, feed_all, make_world

LEG = "quote"


class Quote(Work, frozen=True, kw_only=True):
    """One purchase for a QuoteIntent."""

    intent: QuoteIntent
    rules: ListingSeen
    top: TopSeen | None = None

    @property
    def bound(self):
        return self.plan.leader

    def leg(self, name):
        assert name == LEG
        return IntentLeg(
            instrument_id=self.intent.instrument_id,
            venue=self.bound.venue,
            outcome="yes",
            price_limit_micros=self.bound.price_worst_micros,
            cost_micros=0,
            fee_micros=0,
            depth_micros=0,
            quantity_step_micros=self.rules.quantity_step_micros,
            quantity_minimum_micros=self.rules.quantity_minimum_micros,
            notional_minimum_micros=self.rules.notional_minimum_micros,
            taker_delay_ms=self.rules.taker_delay_ms,
            grid=self.rules.grid,
            fee_schedule=self.rules.fee_schedule,
            category="",
            shard=0,
            lead_rank=0,
        )

    def gone(self, name):
        return self.top is not None and not self.top.listed

    @property
    def held(self):
        return sum(e.quantity_micros for o in self.orders for e in o.executions if not e.reversed)


class Quoting:
    """Machine of QuoteIntent: leading → closed with what it bought, or flat."""

    work = Quote
    legs = (LEG,)

    def open(self, seen, desk):
        intent = seen.intent
        if not desk.listings:
            return "not_listed"
        rules = desk.listings[-1]
        if seen.ts_ns > intent.valid_until_ns:
            return "expired"
        price = PriceGrid.from_ranges(rules.grid).floor(intent.fair_value_micros - intent.half_spread_micros)
        bound = PlanBound(
            role="leader",
            leg=LEG,
            instrument_id=intent.instrument_id,
            venue=intent.instrument_id.partition(":")[0],
            outcome="yes",
            side="buy",
            price_worst_micros=price,
            quantity_max_micros=intent.size_micros,
            time_in_force="immediate_or_cancel",
            attempt_first=1,
            attempts_max=1,
            ts_deadline_ns=intent.valid_until_ns,
        )
        plan = TradePlan(
            sequence=desk.take_sequence(),
            ts_ns=seen.ts_ns,
            portfolio=desk.standing.portfolio,
            life=desk.life,
            strategy=intent.strategy,
            partition=intent.partition,
            position=seen.position,
            trade_id=trade_id_of(desk.standing.portfolio, intent.intent_id),
            intent_id=intent.intent_id,
            pair_id="",
            quantity_micros=intent.size_micros,
            leader=bound,
            bounds=(),
        )
        work = Quote(
            intent=intent,
            state="proposed",
            terms=desk.context.terms.execute,
            plan=plan,
            rules=rules,
            top=desk.tops.get(intent.instrument_id),
        )
        return Opened(plan, self._send(work, desk.context))

    def _send(self, work, context):
        bound = work.bound
        refusal = context.permits(work, bound, bound.price_worst_micros, bound.quantity_max_micros)
        leading = msgspec.structs.replace(work, state="leading")
        if refusal:
            flat = msgspec.structs.replace(work, state="flat", reason=refusal)
            return Step(flat, (), (Move("leading", "", leading), Move("flat", refusal, flat)), None)
        order = Order(
            order_id=order_id_of(work.trade_id, bound.role, 1),
            role=bound.role,
            attempt=1,
            leg=LEG,
            side="buy",
            quantity_micros=bound.quantity_max_micros,
            price_limit_micros=bound.price_worst_micros,
            status="requested",
            ts_ns=context.now_ns,
        )
        leading = msgspec.structs.replace(leading, orders=(order,))
        leading = self._put(leading, order, context)
        return Step(leading, (Send(order, bound),), (Move("leading", "", leading),), None)

    def _put(self, work, order, context):
        def due_ns():
            return answer_due_ns(
                order,
                context.now_ns,
                taker_delay_ms=work.rules.taker_delay_ms,
                paper=context.terms.paper,
                timeout_ms=work.terms.hedge_timeout_ms,
            )

        return msgspec.structs.replace(work, orders=(order,), timers=attend(work.timers, order, context.now_ns, due_ns))

    def advance(self, work, event, context):
        try:
            step = self._advance(work, event, context)
            assert not unattended(step.work)
        except Exception as error:  # noqa: BLE001 - whatever it is, the work is a person's
            return self.give_in(work, error, context)
        return step

    def _advance(self, work, event, context):
        effect = None
        match event:
            case OrderReport():
                order = work.order(event.order_id)
                if order is not None:
                    told = take_report(order, event)
                    effect, after = told.effect, self._put(work, told.order, context)
                    return self._moved(after, effect)
            case TimerFired():
                armed = work.timer(event.timer, event.order_id)
                if armed is not None:
                    kept = tuple(timer for timer in work.timers if timer != armed)
                    left = msgspec.structs.replace(work, timers=kept)
                    status = "unknown" if event.timer == "order_timeout" else "expired"
                    return self._moved(self._put(left, with_status(left.orders[0], status), context), None)
            case OrderSent():
                late = msgspec.structs.replace(work.orders[0], ts_ns=event.ts_ns)
                return Step(self._put(work, late, context), (), (), None)
            case TopSeen():
                return Step(msgspec.structs.replace(work, top=event), (), (), None)
            case ListingSeen():
                return Step(msgspec.structs.replace(work, rules=event), (), (), None)
            case Resume():
                pass
        return Step(work, (), (), effect)

    def _moved(self, work, effect):
        """Where a work stands once its order can fill no more; what it holds is told again when an execution changed it."""
        if work.state == "stuck" or work.live_order is not None:
            return Step(work, (), (), effect)
        state = "closed" if work.held else "flat"
        if state == work.state and (effect is None or effect.kind == "confirmed"):
            return Step(work, (), (), effect)
        after = msgspec.structs.replace(work, state=state)
        return Step(after, (), (Move(state, "", after),), effect)

    def give_in(self, work, error, context):
        stuck = msgspec.structs.replace(work, state="stuck", reason=reason_of(error))
        return Step(stuck, (), (Move("stuck", stuck.reason, stuck),), None, failed=True)

    def summary(self, work):
        cash = fees = 0
        for one in (e for o in work.orders for e in o.executions if not e.reversed):
            cash += one.price_micros * one.quantity_micros // 10**6
            fees += one.fee_micros
        return Summary("", "yes_a_no_b", work.held, 0, cash, fees)

    def declined(self, intent):
        return Summary("", "yes_a_no_b")

    def planned_price(self, work, name):
        return work.bound.price_worst_micros

    def valued(self, work):
        unit = payout_unit(work.rules.fee_schedule)
        return TradeTerms(
            partition=work.intent.partition,
            instruments=(work.intent.instrument_id, ""),
            outcomes=("yes", "no"),
            payout_units=(unit, unit),
            payout_micros=0,
            quantity_micros=work.intent.size_micros,
        )

    def stuck_with(self, step):
        return (LEG,) if step.failed else ()

    def books_of(self, intent):
        return (Book(intent.instrument_id, None, None),)

    def advised(self, intent):
        return None

    def books(self, work):
        return (Book(work.intent.instrument_id, work.rules, work.top),)

    def watches(self, work):
        return False

    def watched(self, work, changed):
        return None

    def turns(self, work, top):
        return False

    def reopens(self, work):
        return work.state == "leading"

    def unmatched(self, work):
        return work.state != "leading" and work.held > 0


QUOTING = Quoting()
BOTH = {**MACHINES, QuoteIntent: QUOTING}


def quote(number=1, *, position=10, ts_ns=T0, fair=460_000, **changes):
    values = {
        "intent_id": f"q{number}",
        "strategy": "maker",
        "ts_ns": ts_ns,
        "ts_received_ns": ts_ns,
        "log_id": LOG,
        "partition": 0,
        "position": position,
        "index": 0,
        "number": number,
        "instrument_id": KA,
        "fair_value_micros": fair,
        "half_spread_micros": 10_000,
        "step_micros": 10_000,
        "levels": 1,
        "size_micros": 5_000_000,
        "skew_micros": 0,
        "inventory_limit_micros": 50_000_000,
        "mode": "both",
        "valid_until_ns": ts_ns + 500 * MS,
    }
    return QuoteIntent(**(values | changes))


def take(number=1, *, position=10, ts_ns=T0, **changes):
    """An intent to take, of a kind for which there is no machine anywhere."""
    values = {
        "intent_id": f"t{number}",
        "strategy": "taker",
        "ts_ns": ts_ns,
        "ts_received_ns": ts_ns,
        "log_id": LOG,
        "partition": 0,
        "position": position,
        "index": 0,
        "number": number,
        "instrument_id": KA,
        "outcome": "yes",
        "side": "buy",
        "value_micros": 500_000,
        "price_limit_micros": 500_000,
        "sizing": "fixed",
        "quantity_micros": 1_000_000,
        "kelly_ppm": 0,
        "valid_until_ns": ts_ns + 500 * MS,
    }
    return TakeIntent(**(values | changes))


def quoting_world(seed, events=600):
    """A seeded market in which every second intent is one of quotes, at a price that the book may meet."""
    records, intents, marks = make_world(seed, events)
    mixed = [
        one
        if one.number % 2
        else quote(
            one.number,
            position=one.position,
            ts_ns=one.ts_ns,
            fair=max(one.legs[1].price_limit_micros, 30_000) if one.legs[1].outcome == "yes" else 500_000,
        )
        for one in intents
    ]
    return records, mixed, marks


def run_quotes(world, terms=TERMS, batch=None):
    """The engine with both machines, and everything that it wrote."""
    engine = Engine([0], machines=BOTH)
    engine.configure(terms, portfolio="main", code_digest="d")
    return engine, feed_all(engine, *world, batch=batch)
