"""A desk that folds journal inputs one by one and plays the venue by hand: reports in any order, timers, tops, operators' words."""

import msgspec

from executors.fold import step
from executors.journal import trade_id_of
from executors.machines import MACHINES
from executors.state import ExecutorState
from schemas.records import (
    ControlApplied,
    ExecutorConfigured,
    HaltedByFile,
    IntentSeen,
    OrderReport,
    OrderRequested,
    PayoutBooked,
    QuoteSeen,
    TimerFired,
    TradeUpdate,
)
from tests.builders.executors.books import stamp_of
from tests.builders.executors.worlds import KA, PM, T0, TERMS, top


class Desk:
    """`sent`: orders requested so far; `inputs` and `outputs`: the journal, as two lists; `now`: stream time."""

    def __init__(self, terms=TERMS, machines=MACHINES):
        self.state, self.now, self.number = ExecutorState(machines), T0, 0
        self.inputs, self.outputs, self.sent = [], [], []
        self.configure(terms)

    def put(self, record):
        record = msgspec.structs.replace(record, **stamp_of(self.state, record))
        self.inputs.append(record)
        outputs = step(self.state, record)
        self.outputs += outputs
        self.sent += [one for one in outputs if isinstance(one, OrderRequested)]
        return outputs

    def configure(self, terms):
        return self.put(
            ExecutorConfigured(
                sequence=-1, ts_ns=self.now, portfolio="main", code_digest="d", execute=terms.execute, paper=terms.paper
            )
        )

    def intent(self, one, *tops):
        for seen in tops:
            self.put(msgspec.structs.replace(seen, trade_id=trade_id_of("main", one.intent_id), ts_ns=self.now))
        return self.put(IntentSeen(sequence=-1, ts_ns=self.now, partition=0, position=10, ts_seen_ns=0, intent=one))

    def quote(self, one, *seen):
        """Open a quote on what was seen of its instrument."""
        for record in seen:
            self.put(msgspec.structs.replace(record, trade_id=trade_id_of("main", one.intent_id), ts_ns=self.now))
        return self.put(QuoteSeen(sequence=-1, ts_ns=self.now, partition=0, position=10, ts_seen_ns=0, intent=one))

    def open(self, one, bid_a=390_000, bid_b=500_000):
        """Open a trade on calm books, YES of Polymarket and NO of Kalshi."""
        return self.intent(one, top(PM, bid_a, bid_a + 10_000), top(KA, bid_b, bid_b + 10_000))

    def top(self, instrument_id, bid, ask, trade_id="main-i1", **changes):
        return self.put(top(instrument_id, bid, ask, trade_id=trade_id, ts_ns=self.now, **changes))

    def report(self, order, status, quantity=0, *, price=None, fee=0, final=True, fill_id="", reversed_=False):
        self.number += 1
        return self.put(
            OrderReport(
                sequence=-1,
                ts_ns=self.now,
                partition=0,
                position=10,
                report_id=f"r{self.number}",
                order_id=order.order_id,
                venue_order_id="v",
                trade_id=order.trade_id,
                order_status=status,
                cumulative_quantity_micros=quantity,
                leaves_quantity_micros=0,
                last_quantity_micros=quantity,
                last_price_micros=(order.price_limit_micros if price is None else price) if quantity else 0,
                last_fee_micros=fee,
                fill_id=fill_id or (f"f{self.number}" if quantity else ""),
                liquidity="taker",
                finality="final" if final else "provisional",
                reversed=reversed_,
                reason="",
            )
        )

    def say(self, **fields):
        values = {"action": "TradingStateChanged", "scope": "all", "scope_value": "", "name": "", "value_micros": 0}
        return self.put(
            ControlApplied(sequence=-1, ts_ns=self.now, control_offset=0, operator="me", **(values | fields))
        )

    def kill(self):
        """The KILL file is there."""
        return self.put(HaltedByFile(sequence=-1, ts_ns=self.now, file="KILL"))

    def pay_out(self, instrument_id, payout):
        return self.put(
            PayoutBooked(
                sequence=-1,
                ts_ns=self.now,
                partition=0,
                position=10,
                instrument_id=instrument_id,
                payout_yes_micros=payout,
            )
        )

    def limit(self, name, value):
        return self.say(action="LimitsChanged", name=name, value_micros=value)

    def fire(self, kind, order_id="", trade_id="main-i1"):
        """Let a timer run out that must be armed."""
        timer = self.state.trades[trade_id].timer(kind, order_id)
        assert timer is not None, f"no timer {kind} {order_id}: {self.state.trades[trade_id].timers}"
        self.now = max(self.now, timer.due_ns)
        return self.put(
            TimerFired(
                sequence=-1, ts_ns=self.now, partition=0, position=10, trade_id=trade_id, timer=kind, order_id=order_id
            )
        )

    def trade(self, trade_id="main-i1"):
        return self.state.trades[trade_id]

    def reasons(self, state):
        """Reasons of the updates to a state, in order."""
        return [one.reason for one in self.outputs if isinstance(one, TradeUpdate) and one.state == state]
