"""The hedge machine: every cell of both tables, and random histories that must end where a trade may end."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executors.hedge.machine import advance
from executors.hedge.plan import order_ids
from executors.hedge.tables import INPUTS, STATES, TRADE_TABLE
from executors.orders.machine import Resume
from executors.orders.order import UNKNOWN_HORIZON_NS, Timer
from executors.orders.table import ORDER_TABLE, REFUSED, STALE, STATUSES
from executors.orders.work import WORKING
from tests.builders.executors.machines import DEAR, context, report, start, timer
from tests.builders.executors.worlds import CONTRACT, KA, LOT, MS, PM, T0, intent, top

Q = 10 * CONTRACT


def feed(trade, event, now_ns=T0, **more):
    return advance(trade, event, context(now_ns, **more)).work


def filled(trade, finality="final", order=None, **more):
    order = order or trade.live_order
    return feed(trade, report(order, "filled", fill=order.quantity_micros, finality=finality), **more)


def trade_in(state):
    """A trade that got to the state by its own history; the leader's fill is provisional where that matters."""
    leading = start().work
    if state == "leading":
        return leading
    if state in {"proposed", "declined"}:
        return msgspec.structs.replace(leading, state=state)
    if state == "flat":
        return feed(leading, report(leading.orders[0], "canceled"))
    if state in {"unwinding", "stuck"}:
        trade = filled(start(ka_top=top(KA, **DEAR)).work)
        while state == "stuck" and trade.state != "stuck":
            if trade.live_order:
                trade = feed(trade, report(trade.live_order, "canceled"))
            else:
                trade = feed(trade, timer("retry"))
        return trade
    hedging = filled(leading, "final" if state == "closed" else "provisional")
    return hedging if state == "hedging" else filled(hedging)


@pytest.mark.parametrize("state", STATES)
def test_histories_reach_every_state(state):
    assert trade_in(state).state == state


def test_the_table_of_orders_is_whole():
    assert set(ORDER_TABLE) == set(STATUSES) and all(set(row) == set(STATUSES) for row in ORDER_TABLE.values())


#: {state: {input: state after}}; a cell that is not named stays as it is.
AFTER = {
    "leading": {"done": "flat", "finality": "flat"},
    "hedging": {"adverse": "hedging"},
    "hedged": {"confirmed": "closed", "reversed": "hedging"},
    "closed": {"reversed": "hedging"},
    "unwinding": {"reversed": "unwinding"},
}


def event_for(trade, kind):
    """An input of a kind as it could reach the trade; the trade is prepared for it where it needs to be."""
    order = trade.live_order or trade.orders[-1]
    fills = [e for o in trade.orders for e in o.executions]
    match kind:
        case "open":
            return trade, report(order, "accepted")
        case "done":
            return trade, report(order, "canceled")
        case "unknown":
            return trade, report(order, "unknown")
        case "reversed" | "confirmed":
            if not fills:
                trade = feed(trade, report(order, "partially_filled", fill=LOT // 2, finality="provisional", number=9))
            owner = next(o for o in trade.orders if o.executions)
            found = report(owner, owner.status, fill_id=owner.executions[0].fill_id, reversed_=kind == "reversed")
            return trade, found
        case "top":
            return trade, top(KA, 400_000, 410_000)
        case "resume":
            return trade, Resume()
        case "finality":
            if trade.live_order:
                trade = feed(trade, timer("order_timeout", order.order_id))
            return trade, timer("finality", order.order_id)
        case "order_timeout":
            return trade, timer("order_timeout", order.order_id)
        case _:
            armed = (*trade.timers, *(t for t in [_timer_of(kind)] if trade.timer(kind) is None))
            return msgspec.structs.replace(trade, timers=armed), timer(kind)


def _timer_of(kind):
    return Timer(due_ns=T0, kind=kind, order_id="")


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", [kind for kind in INPUTS if kind != "intent"])
def test_every_cell_ends_where_its_table_says(state, kind):
    trade, event = event_for(trade_in(state), kind)
    assert trade.state == state
    step = advance(trade, event, context(T0 + 10_000 * MS))
    assert step.work.state == AFTER.get(state, {}).get(kind, state)
    if TRADE_TABLE[state][kind].handler in {"wait", REFUSED}:
        assert not step.commands and {move.state for move in step.moves} <= {state}


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("reported", STATUSES)
def test_every_order_cell(status, reported):
    trade = trade_in("leading")
    order = msgspec.structs.replace(trade.orders[0], status=status)
    trade = msgspec.structs.replace(trade, orders=(order,))
    after = feed(trade, report(order, reported)).orders[0].status
    cell = ORDER_TABLE[status][reported]
    assert after == (status if cell in {STALE, REFUSED} else cell)


def test_a_hedge_is_sent_with_the_leaders_final_fill_in_equal_contracts():
    trade = start().work
    part = feed(trade, report(trade.orders[0], "partially_filled", fill=3 * CONTRACT, finality="provisional"))
    assert part.state == "leading" and len(part.orders) == 1
    done = feed(part, report(part.orders[0], "canceled", number=2))
    assert done.state == "hedging"
    assert (done.orders[1].quantity_micros, done.orders[1].side, done.orders[1].leg) == (3 * CONTRACT, "buy", "hedge")


def test_attempts_back_off_and_end_in_the_cheaper_way_out():
    trade = filled(start().work)
    waits, now = [], T0
    while trade.state == "hedging":
        trade = feed(trade, report(trade.live_order, "canceled"), now)
        retry = trade.timer("retry")
        if retry:
            waits.append((retry.due_ns - now) // MS)
            trade = feed(trade, timer("retry"), now := retry.due_ns)
    assert waits == [100, 200]
    assert trade.state == "unwinding" and trade.reason == "hedge_attempts"
    # Completing at the displayed price is still worth more than selling: the complement is bought, under an unwind's slot.
    assert (trade.live_order.order_id, trade.live_order.leg, trade.live_order.side) == ("main-i1-u4", "hedge", "buy")


def test_completing_within_reason_beats_selling_and_a_limit_never_costs_more_than_the_way_out():
    trade = filled(start(ka_top=top(KA, 460_000, 470_000)).work)  # NO offered at 0.54
    order = trade.live_order
    assert order.role == "hedge"
    assert 540_000 <= order.price_limit_micros < 610_000  # 1 - 0.39 bid, less fees


def test_a_position_that_is_not_final_is_not_sold_but_waited_for():
    trade = filled(start(ka_top=top(KA, **DEAR)).work, "provisional")
    assert trade.state == "unwinding" and trade.live_order is None
    assert trade.timer("finality") is not None
    fill = trade.orders[0].executions[0]
    trade = feed(trade, report(trade.orders[0], "filled", fill_id=fill.fill_id))
    assert (trade.live_order.side, trade.live_order.leg, trade.live_order.role) == ("sell", "leader", "unwind")
    assert filled(trade).state == "flat"


def test_silence_is_unknown_then_dead_and_a_fill_under_a_dead_id_is_hedged():
    trade = start().work
    silent = feed(trade, timer("order_timeout", "main-i1-l1"), T0 + 400 * MS)
    assert silent.orders[0].status == "unknown" and silent.state == "leading"
    assert silent.timer("finality", "main-i1-l1").due_ns == T0 + 400 * MS + UNKNOWN_HORIZON_NS
    dead = feed(silent, timer("finality", "main-i1-l1"), T0 + 6_000 * MS)
    assert dead.orders[0].status == "expired" and dead.state == "flat"
    late = feed(dead, report(dead.orders[0], "filled", fill=Q), T0 + 7_000 * MS)
    assert late.state == "hedging" and late.reason == "late_fill" and late.live_order.role == "hedge"


def test_a_reversed_leader_is_bought_again_or_the_hedge_is_sold():
    hedged = trade_in("hedged")
    fill = hedged.orders[0].executions[0]
    again = feed(hedged, report(hedged.orders[0], "filled", fill=Q, fill_id=fill.fill_id, reversed_=True))
    assert again.state == "hedging" and again.residual == -Q
    assert (again.live_order.order_id, again.live_order.leg, again.live_order.side) == ("main-i1-h4", "leader", "buy")


def test_duplicates_change_nothing():
    trade = start().work
    once = feed(trade, report(trade.orders[0], "partially_filled", fill=LOT, finality="provisional"))
    twice = feed(once, report(trade.orders[0], "partially_filled", fill=LOT, finality="provisional"))
    assert once == twice


def test_adverse_for_long_enough_gives_up():
    trade = filled(start().work)
    trade = feed(trade, report(trade.live_order, "canceled"))
    trade = feed(trade, top(KA, 470_000, 480_000))
    due = trade.timer("adverse").due_ns
    assert due == T0 + 5_000 * MS
    calm = feed(trade, top(KA, 500_000, 510_000))
    assert calm.timer("adverse") is None
    gone = feed(trade, timer("adverse"), due)
    assert gone.state == "unwinding" and gone.reason == "adverse_price"


def test_no_order_leaves_while_halted_and_it_leaves_on_resume():
    trade = start().work
    held = filled(trade, permits=lambda *_: "halted")
    assert held.state == "hedging" and held.held_back and held.live_order is None
    assert feed(held, Resume()).live_order.order_id == "main-i1-h1"


# Random histories

TOPS = st.builds(
    lambda venue, middle, usable, empty: top(
        venue, None if empty == "bid" else middle, None if empty == "ask" else middle + 10_000, usable=usable
    ),
    st.sampled_from((PM, KA)),
    st.integers(20, 95).map(lambda cents: cents * 10_000),
    st.sampled_from((True, True, True, False)),
    st.sampled_from(("", "", "", "bid", "ask")),
)
MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("report"), st.integers(0, 9), st.integers(1, 100)),
        st.tuples(st.just("late"), st.integers(0, 9), st.integers(1, 100)),
        st.tuples(st.sampled_from(("reverse", "confirm", "timer")), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("top"), TOPS, st.just(0)),
    ),
    max_size=40,
)


class History:
    """Drives one trade by choices and checks what must hold after every step."""

    def __init__(self, an_intent):
        self.now, self.number = T0, 0
        self.trade = start(an_intent).work
        self.bounds = order_ids(self.trade.plan)

    def tell(self, event):
        before = self.trade
        step = advance(before, event, context(self.now))
        self.trade = step.work
        for order, bound, _ in step.commands:
            assert self.bounds[order.order_id] == bound
            assert order.quantity_micros <= bound.quantity_max_micros
            if order.side == "sell":
                assert order.quantity_micros <= self.trade.sellable(order.leg), "only what is held and final is sold"
                assert (self.trade.residual > 0) == (order.leg == "leader"), (
                    "the leg unwound is the one that is too much"
                )
            else:
                assert order.price_limit_micros <= bound.price_worst_micros
            assert sum(o.live for o in before.orders if o.order_id != getattr(event, "order_id", "")) == 0
        ids = [o.order_id for o in self.trade.orders]
        assert len(ids) == len(set(ids)) and set(ids) <= set(self.bounds)
        assert self.trade.held("leader") >= 0 and self.trade.held("hedge") >= 0

    def fill(self, order, share, *, end):
        self.number += 1
        left = order.quantity_micros - sum(e.quantity_micros for e in order.executions)
        quantity = max(LOT, left * share // 100 // LOT * LOT)
        if order.side == "sell":
            quantity = min(quantity, self.trade.held(order.leg))
        if left < LOT or quantity <= 0:
            return self.tell(report(order, "canceled"))
        quantity = min(quantity, left)
        status = "filled" if quantity == left else "partially_filled"
        finality = "provisional" if order.leg == "leader" and order.side == "buy" else "final"
        self.tell(report(order, status, fill=quantity, finality=finality, number=self.number))
        if end and quantity < left:
            self.tell(report(order, "canceled", number=self.number))
        return None

    def choose(self, move, pick, share):
        live = [o for o in self.trade.orders if o.live]
        if move == "top":
            self.tell(pick)
        elif move == "report" and live:
            order = live[0]
            outcomes = ("accepted", "delayed", "unknown", "rejected", "canceled", "expired")
            if pick < len(outcomes):
                self.tell(report(order, outcomes[pick]))
            else:
                self.fill(order, share, end=pick % 2 == 0)
        elif move == "late":
            dead = [o for o in self.trade.orders if o.status == "expired"]
            if dead:
                self.fill(dead[pick % len(dead)], share, end=True)
        elif move in {"reverse", "confirm"}:
            # A venue reverses only what has not been sold on.
            open_ = [(o, e) for o in self.trade.orders for e in o.executions if not e.final and not e.reversed]
            if open_:
                order, fill = open_[pick % len(open_)]
                self.tell(report(order, "filled", fill_id=fill.fill_id, reversed_=move == "reverse"))
        elif move == "timer" and self.trade.timers:
            self.fire()

    def fire(self):
        due = min(self.trade.timers, key=lambda t: t.due_ns)
        self.now = max(self.now, due.due_ns)
        self.tell(timer(due.kind, due.order_id))

    def drain(self):
        """The venue answers everything from here on, timers run out, nothing else happens."""
        for _ in range(200):
            live = self.trade.live_order
            provisional = [(o, e) for o in self.trade.orders for e in o.executions if not e.final and not e.reversed]
            if live:
                self.fill(live, 100, end=True)
            elif provisional:
                self.tell(report(provisional[0][0], "filled", fill_id=provisional[0][1].fill_id))
            elif self.trade.timers:
                self.fire()
            else:
                return
        pytest.fail(f"the trade never rests: {self.trade}")


@settings(max_examples=400, deadline=None)
@given(MOVES, st.sampled_from((intent(), intent(2, 3 * CONTRACT, intent_id="i1"))))
def test_every_history_ends_hedged_flat_or_stuck(moves, an_intent):
    history = History(an_intent)
    for move, pick, share in moves:
        history.choose(move, pick, share)
    history.drain()
    trade = history.trade
    assert trade.state in {"hedged", "closed", "flat", "stuck"} and trade.state not in WORKING
    assert abs(trade.residual) < trade.dust or trade.state == "stuck"
    if trade.state == "flat":
        assert max(trade.held("leader"), trade.held("hedge")) < trade.dust
