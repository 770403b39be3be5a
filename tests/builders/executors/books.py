"""The executor's fold, driven by hand: intents, and a venue that fills what it is told to."""

import msgspec

from executors.fold import step
from executors.journal import trade_id_of
from executors.state import ExecutorState
from executors.terms import Terms
from schemas.records import (
    ExecutorConfigured,
    IntentSeen,
    OrderReport,
    OrderRequested,
    PayoutBooked,
    TimerFired,
    TradeUpdate,
)
from tests.builders.executors.worlds import KA, PM, T0, intent, leg, top

DAY_NS = 86_400 * 10**9


def stamp_of(state, record):
    """What the engine stamps a journal's input with."""
    portfolio = record.portfolio if isinstance(record, ExecutorConfigured) else state.portfolio
    return {"sequence": state.next_sequence, "portfolio": portfolio, "life": state.life}


class Books:
    """A fold with a venue that fills what it is told to."""

    def __init__(self, terms=None):
        terms = terms or Terms()
        self.state = ExecutorState()
        self.now, self.reports, self.sent = T0, 0, []
        self.put(
            ExecutorConfigured(
                sequence=-1, ts_ns=T0, portfolio="main", code_digest="d", execute=terms.execute, paper=terms.paper
            )
        )

    def put(self, record):
        self.out = step(self.state, msgspec.structs.replace(record, ts_ns=self.now, **stamp_of(self.state, record)))
        self.sent += [record for record in self.out if isinstance(record, OrderRequested)]
        return self.out

    def open(self, one, *tops):
        for seen in tops:
            self.put(msgspec.structs.replace(seen, trade_id=trade_id_of("main", one.intent_id)))
        self.put(IntentSeen(sequence=-1, ts_ns=0, partition=0, position=9, ts_seen_ns=0, intent=one))
        return self.out[0]

    def order(self):
        """The last order sent."""
        return self.sent[-1]

    def fill(
        self, order, quantity=None, price=None, fee=0, *, status="filled", provisional=False, undo="", schedule=""
    ):
        self.reports += 1
        quantity = order.quantity_micros if quantity is None else quantity
        report = OrderReport(
            sequence=-1, ts_ns=0, partition=0, position=9, report_id=f"r{self.reports}", order_id=order.order_id, venue_order_id="v",
            trade_id=order.trade_id, order_status=status, cumulative_quantity_micros=quantity, leaves_quantity_micros=0,
            last_quantity_micros=quantity, last_price_micros=order.price_limit_micros if price is None else price,
            last_fee_micros=fee, fill_id=undo or (f"f{self.reports}" if quantity else ""), liquidity="taker",
            finality="provisional" if provisional else "final", reversed=bool(undo), reason="", schedule_hash=schedule,
        )  # fmt: skip
        return self.put(report)

    def settle(self, instrument_id, payout):
        return self.put(
            PayoutBooked(
                sequence=-1, ts_ns=0, partition=0, position=9, instrument_id=instrument_id, payout_yes_micros=payout
            )
        )

    def today(self):
        return self.state.standing.equity_in("day", self.now)

    def tries(self, number):
        """What becomes of one more intent on instruments of its own."""
        one = intent(
            number, pair_id=f"p{number}", leg_a=leg(f"{PM}{number}"), leg_b=leg(f"{KA}{number}", "no", 500_000),
            valid_until_ns=self.now + DAY_NS,
        )  # fmt: skip
        first = self.open(one, top(f"{PM}{number}"), top(f"{KA}{number}", 500_000, 510_000))
        return first.reason if isinstance(first, TradeUpdate) else "opened"

    def fire(self, trade_id, kind):
        """The timer of a trade is due."""
        timer = self.state.trades[trade_id].timer(kind)
        self.now = max(self.now, timer.due_ns)
        return self.put(
            TimerFired(
                sequence=-1,
                ts_ns=0,
                partition=0,
                position=9,
                trade_id=trade_id,
                timer=timer.kind,
                order_id=timer.order_id,
            )
        )
