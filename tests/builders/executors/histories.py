"""Random histories of the executor's fold: every kind of execution, reversal, mark and payout, in two partitions.

`History(seed)` folds one and keeps everything that was journaled, so that whoever reads the journal can be held against the fold.
"""

import random

import msgspec

from executors.journal import trade_id_of
from executors.terms import ExecuteTerms, PaperTerms, Terms
from schemas.records import Fill, FillConfirmed, FillReversed, OrderReport, PayoutBooked, TimerFired
from tests.builders.executors.books import DAY_NS, Books, stamp_of
from tests.builders.executors.terms import cash
from tests.builders.executors.worlds import CONTRACT, MICROS, MS, intent, leg, top

PAYOUTS = (0, MICROS, MICROS // 2, 306_001)
TERMS = Terms(
    execute=ExecuteTerms(
        cash_micros=cash(500_000 * MICROS), cost_per_leg_micros=1_000 * MICROS, category_cost_micros=500_000 * MICROS,
        pairs_open_max=999, daily_stop_ppm=10**9, weekly_stop_ppm=10**9, monthly_stop_ppm=10**9,
    ),
    paper=PaperTerms(),
)  # fmt: skip


class History(Books):
    """`journal` holds inputs and outputs, `fills` the records of fills, `intents` those that were seen; all in order."""

    def __init__(self, seed, trades=12, name=""):
        self.journal, self.fills, self.intents = [], [], []
        super().__init__(TERMS)
        self.rng, self.name, self.all_paid = random.Random(seed), name, seed % 3 == 0
        for number in range(1, trades + 1):
            self.begin(number)
            for _ in range(self.rng.randrange(1, 9)):
                self.happen()
        for _ in range(4 * trades):
            self.happen()
        self.pay()

    def put(self, record):
        numbered = msgspec.structs.replace(record, ts_ns=self.now, **stamp_of(self.state, record))
        out = super().put(record)
        self.journal.append(numbered)
        kinds = (Fill, FillReversed, FillConfirmed)
        self.journal += [record for record in out if not isinstance(record, kinds)]
        self.fills += [record for record in out if isinstance(record, kinds)]
        return out

    def begin(self, number):
        """An intent in one of the partitions; now and then on instruments that another trade has as well."""
        rng, partition = self.rng, number % 2
        shared = number - 2 if number > 2 and rng.random() < 0.3 else number
        a, b = f"polymarket:{self.name}{shared}", f"kalshi:{self.name}{shared}"
        outcomes = rng.choice((("yes", "no"), ("no", "yes")))
        quantity = rng.randrange(500, 5_000) * 10_000
        prices = [rng.randrange(20, 60) * 10_000 for _ in range(2)]
        legs = [
            leg(name, outcome, price, quantity, category=f"c{number}")
            for name, outcome, price in zip((a, b), outcomes, prices, strict=True)
        ]
        one = intent(
            number, quantity, leg_a=legs[0], leg_b=legs[1], intent_id=f"{self.name}i{number}", pair_id=f"{self.name}p{number}", partition=partition,
            valid_until_ns=self.now + DAY_NS, payout_micros=quantity * rng.randrange(97, 101) // 100,
            package="yes_a_no_b" if outcomes[0] == "yes" else "no_a_yes_b",
        )  # fmt: skip
        self.intents.append(one)
        for name, outcome, price in zip((a, b), outcomes, prices, strict=True):
            self.see(
                trade_id_of("main", one.intent_id),
                partition,
                name,
                price if outcome == "yes" else MICROS - price + 10_000,
                spread=10_000,
            )
        self.open(one)

    def see(self, trade_id, partition, instrument_id, ask, *, spread=None, usable=True):
        """A top with this ask; without a given spread its bid may be missing."""
        bid = ask - (spread or self.rng.randrange(1, 4) * 10_000)
        if spread is None and self.rng.random() < 0.1:
            bid = None
        seen = top(instrument_id, bid, ask, trade_id=trade_id, size=99_999 * CONTRACT, usable=usable)
        self.put(msgspec.structs.replace(seen, partition=partition))

    def happen(self):
        """Something that a venue, the clock or the market can do."""
        rng = self.rng
        self.now += rng.randrange(1, 5_000) * MS
        trade = rng.choice(list(self.state.trades.values()) or [None])
        if trade is None:
            return
        live = [order for order in trade.orders if order.live]
        standing = [
            (order, one) for order in trade.orders for one in order.executions if not one.final and not one.reversed
        ]
        chance = rng.random()
        if live and chance < 0.6:
            self.answer(trade, rng.choice(live))
        elif standing and chance < 0.75:
            self.finish(trade, *rng.choice(standing))
        elif trade.timers and chance < 0.9:
            timer = rng.choice(trade.timers)
            self.now = max(self.now, timer.due_ns)
            self.put(
                TimerFired(
                    sequence=-1, ts_ns=0, partition=trade.intent.partition, position=9, trade_id=trade.trade_id, timer=timer.kind,
                    order_id=timer.order_id,
                )
            )  # fmt: skip
        else:
            one = rng.choice(trade.intent.legs)
            ask = rng.randrange(5, 96) * 10_000
            self.see(trade.trade_id, trade.intent.partition, one.instrument_id, ask, usable=rng.random() < 0.85)

    def answer(self, trade, order):
        """A report about an order that is out: all of it, a part, or nothing."""
        rng, lots = self.rng, order.quantity_micros // 10_000
        done = sum(one.quantity_micros for one in order.executions) // 10_000
        part = rng.choice((lots - done, rng.randrange(0, lots - done + 1), 0)) * 10_000
        status = "filled" if part and done * 10_000 + part == order.quantity_micros else "canceled"
        provisional = trade.leg(order.leg).venue == "polymarket" and part
        self.tell(
            trade, order, part, status, f"{order.order_id}-f{len(order.executions)}" if part else "", bool(provisional)
        )

    def finish(self, trade, order, one):
        """A provisional execution becomes final, or never happened."""
        gone = self.rng.random() < 0.4
        self.tell(trade, order, one.quantity_micros if gone else 0, order.status, one.fill_id, False, gone, one)

    def tell(self, trade, order, quantity, status, fill_id, provisional, undo=False, known=None):
        self.reports += 1
        better = self.rng.randrange(0, 3) * 10_000
        price = (
            max(10_000, order.price_limit_micros - better) if order.side == "buy" else order.price_limit_micros + better
        )
        self.put(
            OrderReport(
                sequence=-1, ts_ns=0, partition=trade.intent.partition, position=9, report_id=f"{self.name}r{self.reports}",
                order_id=order.order_id, venue_order_id="v", trade_id=trade.trade_id, order_status=status,
                cumulative_quantity_micros=quantity, leaves_quantity_micros=0, last_quantity_micros=quantity,
                last_price_micros=known.price_micros if known else min(price, 990_000) if quantity else 0,
                last_fee_micros=known.fee_micros if known else self.rng.randrange(0, 30_000) if quantity else 0, fill_id=fill_id,
                liquidity="taker", finality="provisional" if provisional else "final", reversed=undo, reason="FAILED" if undo else "",
            )
        )  # fmt: skip

    def pay(self):
        """Most instruments pay out, legs in any order: whole, void, a tie, a scalar; often some never do."""
        names = sorted({one.instrument_id for t in self.state.trades.values() for one in t.intent.legs})
        self.rng.shuffle(names)
        for name in names if self.all_paid else names[: len(names) * 4 // 5]:
            self.now += self.rng.randrange(1, 20_000) * MS
            if self.state.standing.ledger.holds(name):
                self.settle(name, self.rng.choice(PAYOUTS))
            if self.rng.random() < 0.3:
                self.happen()
        for name in names if self.all_paid else ():
            if self.state.standing.ledger.holds(name):  # a fill came after the payout
                self.settle(name, self.rng.choice(PAYOUTS))

    @property
    def payouts(self):
        """Payout of YES by instrument, the first word."""
        found = {}
        for record in self.journal:
            if isinstance(record, PayoutBooked):
                found.setdefault(record.instrument_id, record.payout_yes_micros)
        return found
