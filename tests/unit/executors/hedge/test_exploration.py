"""Random lives of the executor, against a small model of its own: a venue that is late, repeats itself, changes the order of what it
says and lets the dead rise; operators who halt, resume and change limits; restarts from the journal with other settings.

EXPLORE_LIVES sets how many lives (`make explore` takes many more than `make test`).
"""

import os
from collections import defaultdict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.domain.limits import bounds_of, limit_names
from crossbook.domain.money import MICROS
from executors.engine import refold
from executors.hedge.plan import order_ids
from executors.hedge.trade import LEGS
from executors.journal import FILLS
from executors.orders.work import WORKING, unattended
from executors.recovery.image import restore_state, state_image
from executors.state import ExecutorState
from executors.terms import ExecuteTerms, Terms
from schemas.records import ListingSeen, OrderRequested, PriceRange, TradePlan
from tests.builders.executors.desk import Desk
from tests.builders.executors.worlds import CONTRACT, GRID, KA, KA_FEES, LOT, MS, PM, PM_FEES, intent, leg, top

LIVES = int(os.environ.get("EXPLORE_LIVES", "300"))
DEAD = {"filled", "canceled", "rejected", "expired"}
QUANTITIES = (10 * CONTRACT, 3 * CONTRACT + 7 * LOT, 200 * CONTRACT, 500 * CONTRACT)
TRADES_MAX = 3
RESTARTS_MAX = 2
GRIDS = (
    GRID,
    (PriceRange(start_micros=1_000, end_micros=999_000, tick_micros=1_000),),
    (PriceRange(start_micros=50_000, end_micros=950_000, tick_micros=50_000),),
)


class Account:
    """What the venue really did for one order, and what it has said of it."""

    def __init__(self, request):
        self.request = request
        self.left = request.quantity_micros
        self.open = True


class Model:
    """Drives a desk by choices and holds it to what an account book kept by hand says."""

    def __init__(self, quantity, flipped):
        self.desk = Desk(Terms(execute=ExecuteTerms(pairs_open_max=20)))
        self.quantity, self.flipped = quantity, flipped
        self.accounts, self.known, self.plans, self.caps = {}, {}, {}, {}
        self.pending, self.said = [], []  # reports on their way, and reports that were delivered
        self.fills = {}  # fill id: [request, quantity, price, fee, final, reversed], as told
        self.truth = {}  # fill id: [request, quantity, provisional]
        self.words, self.trades, self.restarts = {}, 0, 0
        self.steps = []
        self.listed = {}  # (trade, instrument): grid and step that it was told of
        self.next_fill = 0

    # What can happen

    def actions(self):
        found = [("top", None)] * 3 + [("wait", None)]
        if self.trades < TRADES_MAX:
            found.append(("intent", None))
        found += [("venue", one) for one in self.accounts.values() if one.open] * 3
        found += [("deliver", number) for number in range(len(self.pending))]
        found += [("repeat", number) for number in range(min(len(self.said), 3))]
        found += [("final", fill_id) for fill_id, (*_, provisional) in self.truth.items() if provisional]
        found += [("timer", None)] * 3 if self.timers() else []
        found += [("word", None), ("kill", None), ("limit", None), ("listing", None)]
        found += [("restart", None)] if self.restarts < RESTARTS_MAX else []
        return found

    def timers(self):
        armed = ((t.due_ns, one.trade_id, t) for one in self.desk.state.trades.values() for t in one.timers)
        return sorted(armed, key=lambda entry: entry[0])

    def choose(self, draw):
        kind, what = draw(self.actions())
        getattr(self, f"do_{kind}")(what, draw)
        self.check()

    def do_wait(self, _what, draw):
        self.desk.now += draw((1, 40, 700, 16_000)) * MS
        while (due := self.timers()) and due[0][0] <= self.desk.now:
            self.fire(due[0])

    def fire(self, entry):
        _, trade_id, timer = entry
        if timer.kind == "finality" and timer.order_id:
            self.known[timer.order_id] = "dead"
        self.put(lambda: self.desk.fire(timer.kind, timer.order_id, trade_id))

    def do_timer(self, _what, _draw):
        self.fire(self.timers()[0])

    def do_intent(self, _what, draw):
        self.trades += 1
        quantity = draw((self.quantity, 40 * CONTRACT))
        yes, no = ("no", "yes") if self.flipped else ("yes", "no")
        one = intent(
            self.trades,
            quantity,
            pair_id=f"p{self.trades}",
            leg_a=leg(PM, yes, 400_000, quantity, quantity_minimum_micros=draw((LOT, 5 * CONTRACT))),
            leg_b=leg(KA, no, 500_000, quantity),
            valid_until_ns=self.desk.now + 500 * MS,
        )
        calm = (390_000, 400_000, 500_000, 510_000) if not self.flipped else (600_000, 610_000, 490_000, 500_000)
        size = 10 * quantity
        books = (top(PM, *calm[:2], size=size), top(KA, *calm[2:], size=size))
        self.put(lambda: self.desk.intent(one, *books))

    def do_top(self, _what, draw):
        trade_id = f"main-i{draw(range(1, max(self.trades, 1) + 1))}"
        if trade_id not in self.desk.state.trades:
            return
        middle = draw(range(5, 96, 3)) * 10_000
        bid = None if draw(range(9)) == 0 else middle
        ask = None if draw(range(9)) == 1 else middle + 10_000
        usable = draw(range(6)) != 0
        self.put(lambda: self.desk.top(draw((PM, KA)), bid, ask, trade_id, usable=usable))

    def do_venue(self, account, draw):
        """The venue does something with an order and reports it, now or later."""
        order = account.request
        what = draw(("accepted", "delayed", "unknown", "canceled", "rejected", "expired", *["part"] * 4, *["all"] * 4))
        if what in {"part", "all"}:
            self.execute(account, draw, whole=what == "all")
        else:
            if what in {"canceled", "rejected", "expired"}:
                if what == "rejected" and account.left < order.quantity_micros:
                    what = "canceled"
                account.open = False
            self.pending.append((order, what, 0, 0, 0, "", True, False))
        if draw(range(3)):
            self.do_deliver(len(self.pending) - 1, draw)

    def execute(self, account, draw, *, whole):
        order = account.request
        quantity = account.left
        if order.side == "sell":  # reduce only
            quantity = min(quantity, self.held_really(order))
        if not whole:
            quantity = quantity * draw(range(1, 100)) // 100 // LOT * LOT
        if quantity <= 0:
            account.open = False
            self.pending.append((order, "canceled", 0, 0, 0, "", True, False))
            return
        account.left -= quantity
        account.open = account.left > 0
        better = draw(range(3)) * 10_000
        price = max(order.price_limit_micros - better, 10_000) if order.side == "buy" else order.price_limit_micros
        fee = draw(range(5)) * quantity // (100 * 5 * 20)
        self.next_fill += 1
        fill_id, provisional = f"x{self.next_fill}", order.venue == "polymarket"
        self.truth[fill_id] = [order, quantity, provisional]
        status = "partially_filled" if account.open else "filled"
        self.pending.append((order, status, quantity, price, fee, fill_id, not provisional, False))

    def held_really(self, order):
        """What the venue holds for us that is final, minus what was sold."""
        mine = [
            (o, q, p)
            for o, q, p in self.truth.values()
            if (o.instrument_id, o.outcome) == (order.instrument_id, order.outcome)
        ]
        return sum(q if o.side == "buy" and not p else 0 if o.side == "buy" else -q for o, q, p in mine)

    def do_final(self, fill_id, draw):
        """A provisional fill is mined, or fails."""
        order, quantity, _ = self.truth[fill_id]
        failed = order.side == "buy" and draw(range(4)) == 0
        self.truth[fill_id][2] = False
        if failed:
            del self.truth[fill_id]
        self.pending.append((order, "filled", quantity if failed else 0, 0, 0, fill_id, True, failed))
        if draw(range(3)):
            self.do_deliver(len(self.pending) - 1, draw)

    def do_deliver(self, number, _draw):
        report = self.pending.pop(number)
        self.said.insert(0, report)
        self.tell(report)

    def do_repeat(self, number, _draw):
        self.tell(self.said[number])

    def tell(self, report):
        order, status, quantity, price, fee, fill_id, final, reversed_ = report
        self.note(order, status, quantity, price, fee, fill_id, final, reversed_)
        self.put(
            lambda: self.desk.report(
                order, status, quantity, price=price, fee=fee, final=final, fill_id=fill_id, reversed_=reversed_
            )
        )

    def note(self, order, status, quantity, price, fee, fill_id, final, reversed_):
        """Keep the books by hand."""
        known = self.known[order.order_id]
        entry = self.fills.get(fill_id) if fill_id else None
        if fill_id and entry is None:
            entry = self.fills[fill_id] = [order, 0, 0, 0, False, False]
        if reversed_:
            entry[5] = True
            return
        if entry is not None:
            entry[4] = entry[4] or final
            fresh = not entry[1]
            if quantity and fresh:
                entry[1:4] = quantity, price, fee
            elif quantity and status not in DEAD:
                return  # told again: no sign of life
            if not quantity:
                return  # about the fill alone
        if known == "ended":
            return
        if known == "rejected" and status not in {"partially_filled", "filled", "canceled"}:
            return
        if status == "unknown" and known == "dead":
            return
        if status in DEAD:
            self.known[order.order_id] = (
                "rejected" if status == "rejected" else "dead" if status == "expired" else "ended"
            )
        elif status != "unknown":
            self.known[order.order_id] = "live"

    def do_word(self, _what, draw):
        scope, value = draw((("all", ""), ("venue", "kalshi"), ("venue", "polymarket"), ("pair", "p1")))
        state = draw(("halted", "reduce_only", "running", "running"))
        if state == "running":
            if scope == "all":
                self.words = {key: word for key, word in self.words.items() if key[0] == "pair"}
            self.words.pop((scope, value), None)
        elif self.words.get((scope, value)) != "halted":
            self.words[scope, value] = state
        self.put(lambda: self.desk.say(scope=scope, scope_value=value, state=state))

    def do_kill(self, _what, draw):
        if draw(range(3)) == 0:
            self.words["kill", ""] = "halted"
            self.put(self.desk.kill)

    def do_listing(self, _what, draw):
        """A venue takes other prices and quantities from here on."""
        trade_id, instrument_id = f"main-i{draw(range(1, self.trades + 1))}", draw((PM, KA))
        grid, step = draw(GRIDS), draw((LOT, LOT, LOT, CONTRACT))
        if trade_id not in self.desk.state.trades:
            return
        self.listed[trade_id, instrument_id] = grid, step
        self.steps.append(((trade_id, instrument_id), (grid, step)))
        self.put(
            lambda: self.desk.put(
                ListingSeen(
                    sequence=-1,
                    ts_ns=self.desk.now,
                    partition=0,
                    position=10,
                    trade_id=trade_id,
                    instrument_id=instrument_id,
                    quantity_step_micros=step,
                    quantity_minimum_micros=step,
                    notional_minimum_micros=0,
                    taker_delay_ms=0,
                    grid=grid,
                    fee_schedule=PM_FEES if instrument_id == PM else KA_FEES,
                )
            )
        )

    def do_limit(self, _what, draw):
        name = draw(limit_names())
        bounds = bounds_of(name)
        value = draw((bounds.lowest, bounds.highest, bounds.default, bounds.highest + 1, -1))
        self.put(lambda: self.desk.limit(name, value))

    def do_restart(self, _what, draw):
        """A new life: the state is folded again from the journal, or from a checkpoint, and the settings may be others."""
        self.restarts += 1
        again = self.refolded()
        if draw(range(2)):
            again = restore_state(state_image(again, again.trades))
        assert image(again) == image(self.desk.state)
        self.desk.state = again
        if draw(range(2)):
            execute = ExecuteTerms(
                pairs_open_max=20,
                hedge_attempts_max=draw((1, 3, 10)),
                unwind_attempts_max=draw((1, 3, 10)),
                cost_per_leg_micros=draw((0, 250 * MICROS, 10**15)),
                max_loss_per_trade_micros=draw((0, 10 * MICROS)),
            )
            self.put(lambda: self.desk.configure(Terms(execute=execute)))

    def refolded(self):
        kept = [one for one in self.desk.outputs if not isinstance(one, FILLS)]
        return refold(sorted([*self.desk.inputs, *kept], key=lambda one: one.sequence))[0]

    # What must hold

    def put(self, act):
        before = {trade_id: trade.terms for trade_id, trade in self.desk.state.trades.items()}
        outputs = act()
        for one in outputs:
            if isinstance(one, TradePlan):
                self.plans[one.trade_id] = one
                self.caps[one.trade_id] = self.desk.state.terms.execute
            elif isinstance(one, OrderRequested):
                self.check_order(one)
                self.known[one.order_id] = "live"
                self.accounts[one.order_id] = Account(one)
        for trade_id, terms in before.items():
            assert self.desk.state.trades[trade_id].terms == terms, "an open plan keeps what it was given"

    def told(self, trade_id, instrument_id, *, final=False):
        total = 0
        for order, quantity, _, _, is_final, reversed_ in self.fills.values():
            if order.trade_id == trade_id and order.instrument_id == instrument_id and not reversed_:
                if order.side == "sell":
                    total -= quantity
                elif is_final or not final:
                    total += quantity
        return total

    def check_order(self, order):
        plan = self.plans[order.trade_id]
        bound = order_ids(plan)[order.order_id]
        assert order.order_id not in self.accounts, "an id is used once"
        others = [o for o, account in self.accounts.items() if account.request.trade_id == order.trade_id]
        live = [o for o in others if self.known[o] == "live"]
        assert not live, f"{order.order_id} was sent while {live} may fill"
        halted = {key for key, word in self.words.items() if word == "halted"}
        mine = {("kill", ""), ("all", ""), ("venue", order.venue), ("pair", plan.pair_id)}
        assert not halted & mine, "nothing is sent while halted"
        assert 0 < order.quantity_micros <= bound.quantity_max_micros
        (grid,), step = self.listed.get((order.trade_id, order.instrument_id), (GRID, LOT))
        yes = order.price_limit_micros if order.outcome == "yes" else MICROS - order.price_limit_micros
        assert grid.start_micros <= yes <= grid.end_micros and yes % grid.tick_micros == 0, "on the grid in force"
        assert order.quantity_micros % step == 0, "in the step in force"
        if order.side == "sell":
            assert order.price_limit_micros >= bound.price_worst_micros
            assert order.quantity_micros <= self.told(order.trade_id, order.instrument_id, final=True), "no oversell"
            return
        assert order.price_limit_micros <= bound.price_worst_micros
        held = self.told(order.trade_id, order.instrument_id)
        assert held + order.quantity_micros <= plan.quantity_micros, "never more than planned"
        if order.role != "leader":
            cost = order.price_limit_micros * order.quantity_micros // MICROS
            caps = self.caps[order.trade_id]
            spent = sum(
                p.cost_micros
                for p in self.desk.state.standing.ledger.positions.values()
                if p.place.instrument_id == order.instrument_id
            )
            assert cost + spent <= caps.cost_per_leg_micros, "no cap is passed"

    def check(self):
        state = self.desk.state
        assert state.standing.halts.fault == ""
        for trade in state.trades.values():
            assert unattended(trade) == ""
            assert ": " not in trade.reason, trade.reason
            if trade.held_back:
                venues = {("venue", "kalshi"), ("venue", "polymarket")}
                mine = {("kill", ""), ("all", ""), ("pair", trade.intent.pair_id), *venues}
                assert any(self.words.get(key) == "halted" for key in mine), "held back only while halted"
        self.check_ledger()

    def check_ledger(self):
        ledger = self.desk.state.standing.ledger
        held, spent = defaultdict(int), defaultdict(int)
        for order, quantity, price, fee, _, reversed_ in self.fills.values():
            if not quantity or reversed_:
                continue
            sign = 1 if order.side == "buy" else -1
            held[order.instrument_id, order.outcome] += sign * quantity
            amount = -(-price * quantity // MICROS) + fee if sign > 0 else -(price * quantity // MICROS - fee)
            spent[order.venue] += amount
        for (instrument_id, outcome), quantity in held.items():
            assert ledger.quantity(instrument_id, outcome) == quantity
        for venue, amount in spent.items():
            assert ledger.spent(venue) == amount, "ledger = fills, to the micro"
        assert all(r.amount_micros >= 0 for r in ledger.reservations.values())
        for trade_id, trade in self.desk.state.trades.items():
            for name in LEGS:
                assert trade.held(name) == self.told(trade_id, trade.leg(name).instrument_id)

    # The end

    def drain(self):
        """Everything is resumed, everything is said, timers run out."""
        self.words = {}
        for scope, value in (("all", ""), ("pair", "p1"), ("venue", "kalshi"), ("venue", "polymarket")):
            self.put(lambda s=scope, v=value: self.desk.say(scope=s, scope_value=v, state="running"))
        for _ in range(400):
            open_ = next((one for one in self.accounts.values() if one.open), None)
            provisional = next((f for f, (*_, p) in self.truth.items() if p), None)
            if self.pending:
                self.do_deliver(0, first)
            elif provisional is not None:
                self.do_final(provisional, last)
            elif open_ is not None:
                self.execute(open_, last, whole=True)
            elif self.timers():
                self.do_timer(None, first)
            else:
                break
            self.check()
        else:
            pytest.fail("the executor never rests")
        state = self.desk.state
        assert state.standing.ledger.reservations == {}, "nothing is reserved at the end"
        for trade in state.trades.values():
            assert trade.state not in WORKING and not trade.held_back
            coarsest = max([trade.dust, *(step for (of, _), (_, step) in self.steps if of == trade.trade_id)])
            assert abs(trade.residual) < coarsest or trade.state == "stuck"
        assert image(self.refolded()) == image(state)


def first(options):
    return options[0]


def last(options):
    return options[-1]


def image(state: ExecutorState):
    """A state as values that compare."""
    return msgspec.to_builtins(state_image(state, state.trades), str_keys=True)


@settings(max_examples=LIVES)
@given(st.sampled_from(QUANTITIES), st.booleans(), st.lists(st.integers(0, 2**32 - 1), min_size=10, max_size=60))
def test_no_life_breaks_a_law(quantity, flipped, choices):
    """No oversell, no second order beside one that may fill, no more than planned, no cap passed, nothing unattended; books true."""
    model = Model(quantity, flipped)
    model.do_intent(None, first)
    for seed in choices:
        model.choose(_Draw(seed))
    model.drain()


class _Draw:
    """Choices of one step, all out of one number, so that a failing life shrinks."""

    def __init__(self, seed):
        self.seed = seed

    def __call__(self, options):
        options = list(options)
        self.seed, number = divmod(self.seed, len(options))
        if not self.seed:
            self.seed = (number * 2_654_435_761 + 12_345) % 2**32
        return options[number]
