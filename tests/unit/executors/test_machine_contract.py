"""The law of machines, for every implementation: steps are pure, nothing is left unattended, a word told twice sends nothing.

And of the core around them: engine and lane, refold, checkpoints and verify work with a machine that no product module knows.
"""

import random

import msgspec
import pytest

from executors.alarms import Alarms
from executors.engine import Engine, refold
from executors.errors import CheckpointError
from executors.fold import ExecutorState
from executors.journal import FILLS
from executors.machines import MACHINES
from executors.orders.machine import Context, Resume
from executors.orders.work import SEEN, WORKING, unattended
from executors.recovery.checkpoint import Checkpoints, freeze, start_lanes, start_state, thaw
from executors.recovery.image import StateImage, restore_state, state_image
from executors.terms import ExecuteTerms, PaperTerms, Terms
from schemas.records import (
    Fill,
    ListingSeen,
    OrderReport,
    QuoteIntent,
    TakeIntent,
    TimerFired,
    TradeIntent,
    TradeUpdate,
)
from tests.builders.executors.desk import Desk
from tests.builders.executors.journals import journal_of, verified
from tests.builders.executors.quoting import BOTH, Quote, quote, quoting_world, run_quotes, take
from tests.builders.executors.worlds import GRID, KA, KA_FEES, LOT, MS, T0, TERMS, feed_all, intent, top

STATUSES = ("accepted", "delayed", "unknown", "canceled", "rejected", "expired")
CLUMSY = Terms(
    execute=ExecuteTerms(pairs_open_max=20),
    paper=PaperTerms(reject_ppm=200_000, partial_ppm=300_000, vanish_ppm=200_000, late_ppm=300_000, late_ms=700),
)


def open_hedge(desk):
    desk.open(intent(valid_until_ns=T0 + 900 * MS))
    return desk.trade("main-i1")


def open_quote(desk):
    listing = ListingSeen(
        sequence=-1, ts_ns=T0, partition=0, position=10, trade_id="", instrument_id=KA, quantity_step_micros=LOT, quantity_minimum_micros=LOT,
        notional_minimum_micros=0, taker_delay_ms=0, grid=GRID, fee_schedule=KA_FEES,
    )  # fmt: skip
    desk.quote(quote(), listing, top(KA, 440_000, 450_000))
    return desk.trade("main-q1")


OPENERS = pytest.mark.parametrize("begin", [open_hedge, open_quote], ids=["hedge", "quote"])
SEEDS = pytest.mark.parametrize("seed", range(12))


def happen(desk, trade, rng):
    """Something that venue, clock or operator can say of a trade: its record."""
    order = rng.choice(trade.orders)
    request = next(one for one in desk.sent if one.order_id == order.order_id)
    left = order.quantity_micros - sum(e.quantity_micros for e in order.executions)
    chance = rng.random()
    if trade.timers and chance < 0.35:
        timer = min(trade.timers, key=lambda one: one.due_ns)
        return lambda: desk.fire(timer.kind, timer.order_id, trade.trade_id)
    if left > 0 and chance < 0.7:
        quantity = left if rng.random() < 0.5 else max(LOT, left // 2 // LOT * LOT)
        status = "filled" if quantity == left else "partially_filled"
        return lambda: desk.report(request, status, quantity)
    if chance < 0.8:
        return lambda: desk.say(state=rng.choice(("halted", "running")))
    return lambda: desk.report(request, rng.choice(STATUSES))


def image(state):
    return msgspec.to_builtins(state_image(state, state.trades), str_keys=True)


def live(begin, seed, steps=14):
    """A desk after a random life of one work; every law is asked after each step."""
    rng, desk = random.Random(seed), Desk(machines=BOTH)
    trade_id = begin(desk).trade_id
    for _ in range(steps):
        before = desk.trade(trade_id)
        happen(desk, before, rng)()
        after = desk.trade(trade_id)
        assert unattended(after) == "" and ": " not in after.reason, after.reason
        if after.state in WORKING:
            assert after.live_order is not None or after.timers or after.held_back
        ids = [order.order_id for order in desk.sent]
        assert len(ids) == len(set(ids)) and ids == [order.order_id for order in after.orders]
    return desk, trade_id


@OPENERS
@SEEDS
def test_no_life_leaves_a_work_unattended_and_a_refold_gives_it_again(begin, seed):
    desk, _ = live(begin, seed)
    kept = [one for one in desk.outputs if not isinstance(one, FILLS)]
    again, _ = refold(sorted([*desk.inputs, *kept], key=lambda one: one.sequence), machines=BOTH)
    assert again.trades == desk.state.trades and image(again) == image(desk.state)
    assert all(one.amount_micros >= 0 for one in again.standing.ledger.reservations.values())


@OPENERS
@SEEDS
def test_steps_are_pure(begin, seed):
    """The same work told the same twice gives the same step, and is itself as it was."""
    desk, trade_id = live(begin, seed, 6)
    trade = desk.trade(trade_id)
    machine = BOTH[type(trade.intent)]
    frozen = msgspec.json.encode(trade)
    events = [one for one in desk.inputs if isinstance(one, (OrderReport, TimerFired, ListingSeen))]
    for event in (*events, Resume()):
        context = desk_context(desk)
        assert machine.advance(trade, event, context) == machine.advance(trade, event, context)
        assert msgspec.json.encode(trade) == frozen


def desk_context(desk):
    return Context(now_ns=desk.now, terms=desk.state.terms, permits=lambda *_: "")


@OPENERS
@SEEDS
def test_a_report_that_comes_twice_sends_and_books_nothing(begin, seed):
    rng, desk = random.Random(seed), Desk(machines=BOTH)
    trade_id = begin(desk).trade_id
    for _ in range(10):
        happen(desk, desk.trade(trade_id), rng)()
        told = desk.inputs[-1]
        if isinstance(told, OrderReport) and told.fill_id:
            sent, held = len(desk.sent), desk.trade(trade_id).orders
            fills = [one for one in desk.put(told) if isinstance(one, FILLS)]
            assert fills == [] and len(desk.sent) == sent
            counted = [sum(e.quantity_micros for e in order.executions) for order in desk.trade(trade_id).orders]
            assert counted == [sum(e.quantity_micros for e in order.executions) for order in held]


@OPENERS
@SEEDS
def test_a_work_goes_on_from_its_image_as_if_nothing_had_been(begin, seed):
    desk, trade_id = live(begin, seed, 5)
    other = Desk(machines=BOTH)
    frozen = msgspec.json.encode(state_image(desk.state, desk.state.trades))
    other.state = restore_state(msgspec.json.decode(frozen, type=StateImage), BOTH)
    other.now, other.number, other.sent = desk.now, desk.number, list(desk.sent)
    assert other.state.trades == desk.state.trades
    for step in range(6):
        one, two = (happen(d, d.trade(trade_id), random.Random(100 * seed + step)) for d in (desk, other))
        assert one() == two()
    assert image(other.state) == image(desk.state)


@OPENERS
def test_what_a_machine_looks_at_has_a_name_and_a_place(begin):
    desk = Desk(machines=BOTH)
    trade = begin(desk)
    machine = BOTH[type(trade.intent)]
    assert isinstance(trade, machine.work) and trade.state in WORKING and machine.reopens(trade)
    instruments = [book.instrument_id for book in machine.books(trade)]
    assert sorted(book.instrument_id for book in machine.books_of(trade.intent)) == sorted(instruments)
    for name in machine.legs:
        assert trade.leg(name).instrument_id in instruments and not trade.gone(name)
        assert machine.planned_price(trade, name) > 0
    assert set(machine.valued(trade).instruments) - {""} == set(instruments)
    if machine.watches(trade):
        assert machine.watched(trade, None) in instruments
    assert machine.watched(trade, "kalshi:other") is None
    assert machine.declined(trade.intent).pair_id == machine.summary(trade).pair_id == trade.pair_id


@pytest.mark.parametrize("terms", [Terms(), CLUMSY], ids=["calm", "clumsy"])
@pytest.mark.parametrize("seed", range(3))
def test_engine_and_lane_run_two_machines_side_by_side(terms, seed):
    world = quoting_world(seed)
    engine, written = run_quotes(world, terms)
    states = {type(one).__name__: one.state for one in engine.state.trades.values()}
    assert {"Trade", "Quote"} <= set(states) and engine.state.standing.halts.fault == ""
    quotes = [one for one in engine.state.trades.values() if isinstance(one, Quote)]
    assert {one.state for one in quotes} <= {"closed", "flat", "leading"} and any(one.held for one in quotes)
    assert refold(journal_of(written), machines=BOTH)[0].trades == engine.state.trades
    assert verified(written, BOTH).mismatches == 0
    assert run_quotes(world, terms, batch=37)[1] == written, "equal with any batches"
    ledger = engine.state.standing.ledger
    for position in ledger.positions.values():
        own = [one for one in quotes if one.trade_id in position.lots and position.outcome == "yes"]
        assert all(position.lots[one.trade_id].quantity_micros == one.held for one in own)


def test_an_engine_with_two_machines_goes_on_from_a_checkpoint():
    records, intents, marks = quoting_world(1)
    engine, _ = run_quotes(
        (records[:400], [one for one in intents if one.position < 400], [m for m in marks if m.position < 400]), CLUMSY
    )
    frozen = thaw(freeze(Checkpoints(engine, "main", "d").image()))
    state = start_state(frozen, BOTH)
    again = Engine([0], state, machines=BOTH)
    start_lanes(again, frozen)
    assert {one.trade_id for one in state.trades.values() if isinstance(one, Quote)} <= set(engine.state.trades)
    assert freeze(Checkpoints(again, "main", "d").image()) == freeze(frozen)


@pytest.mark.parametrize("batch", [None, 37])
def test_an_intent_without_a_machine_is_declined_and_work_goes_on(batch):
    records, intents, marks = quoting_world(3)
    mixed = [take(one.number, position=one.position) if one.number % 4 == 0 else one for one in intents]
    engine = Engine([0])
    engine.configure(TERMS, portfolio="main", code_digest="d")
    written = feed_all(engine, records, mixed, marks, batch=batch)
    assert {type(one) for one in mixed} == {TradeIntent, QuoteIntent, TakeIntent}
    seen = [one for one in written if isinstance(one, SEEN)]
    assert [one.intent for one in seen] == mixed, "each is journaled, in the order of its number"
    told = {one.intent_id: one.reason for one in written if isinstance(one, TradeUpdate) and one.state == "declined"}
    for one in mixed:
        assert (told.get(one.intent_id) == "no_machine") == (type(one) is not TradeIntent)
    assert any(isinstance(one, Fill) for one in written) and engine.state.standing.halts.fault == ""
    assert refold(journal_of(written))[0].intents_seen == {0: mixed[-1].number}
    assert verified(written).mismatches == 0
    alarms = [one for one in Alarms(engine.state).of(written) if one.event == "execute.no_machine"]
    assert len(alarms) == sum(type(one) is not TradeIntent for one in mixed)


def test_a_work_in_a_checkpoint_needs_its_machine():
    desk = Desk(machines=BOTH)
    open_quote(desk)
    taken = state_image(desk.state, desk.state.trades)
    with pytest.raises(CheckpointError, match="a work of QuoteIntent, for which there is no machine here"):
        restore_state(taken)
    assert set(BOTH) == {TradeIntent, QuoteIntent} and set(MACHINES) == {TradeIntent}
    assert ExecutorState().machines is MACHINES


def test_a_quote_that_no_listing_was_seen_for_is_declined():
    desk = Desk(machines=BOTH)
    (update,) = desk.quote(quote())
    assert isinstance(update, TradeUpdate) and (update.state, update.reason) == ("declined", "not_listed")
    assert desk.state.trades == {}
