"""The table of a trade and the code say the same: whatever a history does is named, and whatever is named is done by some history."""

import random
from collections import Counter

import msgspec
import pytest

from executors.hedge.machine import advance
from executors.hedge.run import Run
from executors.hedge.tables import INPUTS, ONWARD, STATES, TRADE_TABLE
from executors.orders.machine import Resume
from executors.orders.table import REFUSED
from executors.terms import ExecuteTerms
from schemas.records import ListingSeen, OrderReport, TimerFired, TopSeen
from tests.builders.executors.machines import DEAR, context, events_of, report, start, timer
from tests.builders.executors.worlds import CONTRACT, GRID, KA, KA_FEES, LOT, PM, PM_FEES, T0, S, top

WALKS, STEPS = 250, 10
#: Attempts end sooner.
FEW = ExecuteTerms(hedge_attempts_max=1, unwind_attempts_max=1)
AT_ONCE = "at once"
#: The gate declines in the fold, before there is a trade.
BY_THE_GATE = {("proposed", "intent", "declined"), ("proposed", "intent", "leading")}


def kind_of(trade, event):
    """What kind of input an event is to a trade; None when it is none."""
    run = Run(trade, context())
    match event:
        case OrderReport():
            return run.take_report(event)
        case TimerFired():
            return run.take_timer(event)
        case TopSeen():
            return run.take_top(event)
        case Resume():
            return "resume"
        case _:
            return None


def listing(instrument_id, step):
    return ListingSeen(
        sequence=0,
        ts_ns=T0,
        partition=0,
        position=10,
        trade_id="i1",
        instrument_id=instrument_id,
        quantity_step_micros=step,
        quantity_minimum_micros=step,
        notional_minimum_micros=0,
        taker_delay_ms=0,
        grid=GRID,
        fee_schedule=PM_FEES if instrument_id == PM else KA_FEES,
    )


def gone(instrument_id):
    return msgspec.structs.replace(top(instrument_id, usable=False), listed=False)


def words_of(trade, rng):
    """What the world can say next, lawful or not."""
    yield from events_of(trade)
    yield from events_of(trade)
    for order in trade.orders:
        yield report(order, rng.choice(("unknown", "rejected", "expired")))
        for one in order.executions:
            yield report(order, rng.choice(("filled", "canceled")), fill=one.quantity_micros, fill_id=one.fill_id)
            if not one.reversed:
                yield report(order, "filled", fill_id=one.fill_id, reversed_=True)
    for instrument_id in (PM, KA):
        yield listing(instrument_id, rng.choice((LOT, LOT, CONTRACT, 20 * CONTRACT)))
        yield gone(instrument_id)


def step_on(trade, event, found, now=T0, word=""):
    """Tell a trade something, and note the moves that it makes."""
    kind, before = kind_of(trade, event), trade.state
    step = advance(trade, event, context(now, permits=lambda *_: word))
    assert not step.failed, step.work.reason
    note(before, kind, step, found)
    return step.work


def note(before, kind, step, found):
    for number, move in enumerate(step.moves):
        if move.state != before:
            found[before, AT_ONCE if number else kind, move.state] += 1
        before = move.state


def told(trade, *events, found=None):
    """The trade after events, each made of the trade as it is then; one in a pair with a word is told while the gate says that word."""
    for one in events:
        event, word = one if isinstance(one, tuple) else (one, "")
        trade = step_on(trade, event(trade), Counter() if found is None else found, word=word)
    return trade


def fill(number, quantity=None, finality="final", fill_number=1):
    def event(trade):
        order = trade.orders[number]
        done = sum(e.quantity_micros for e in order.executions) + (quantity or order.quantity_micros)
        status = "filled" if done == order.quantity_micros else "partially_filled"
        return report(order, status, fill=quantity or done, finality=finality, number=fill_number)

    return event


def says(number, status):
    return lambda trade: report(trade.orders[number], status)


def undone(number, fill_number):
    return lambda t: report(
        t.orders[number], "filled", fill_id=f"{t.orders[number].order_id}-f{fill_number}", reversed_=True
    )


def mined(number):
    return lambda t: report(t.orders[number], "filled", fill_id=f"{t.orders[number].order_id}-f1")


def runs_out(kind, number=None):
    return lambda trade: timer(kind, "" if number is None else trade.orders[number].order_id)


def dear(_trade):
    return top(KA, **DEAR)


def resume(_trade):
    return Resume()


def step_of(contracts):
    """What cannot be traded away becomes this much."""
    return lambda _trade: listing(PM, contracts * CONTRACT or LOT)


def dead(number):
    return runs_out("order_timeout", number), runs_out("finality", number)


RETRY = runs_out("retry")
LED = start().work
#: Leader and second hedge filled, the first hedge declared dead; then dead orders come back.
MATCHED = (fill(0), *dead(1), RETRY, fill(2))
PROVISIONAL = (fill(0, finality="provisional"), *MATCHED[1:])
MOSTLY_FINAL = (fill(0, 9 * CONTRACT), fill(0, CONTRACT, "provisional", 2), *dead(1), RETRY, fill(2))
HALF_HEDGED = (fill(0), fill(1, 5 * CONTRACT), says(1, "canceled"))
GIVEN_UP = (*HALF_HEDGED, dear, runs_out("adverse"))
#: Moves that walks rarely make: quantity steps that changed, dead orders that came back, executions that failed late.
HISTORIES = {
    ("hedged", "done", "closed"): (*MOSTLY_FINAL, says(1, "accepted"), step_of(5), undone(0, 2), says(1, "canceled")),
    ("hedged", "reversed", "closed"): (*MOSTLY_FINAL, step_of(5), undone(0, 2)),
    ("hedged", "finality", "closed"): (*MOSTLY_FINAL, says(1, "accepted"), step_of(5), undone(0, 2), *dead(1)),
    ("hedged", "finality", "flat"): (*PROVISIONAL, says(1, "accepted"), step_of(20), *dead(1)),
    ("hedged", "finality", "hedging"): (
        *PROVISIONAL, step_of(9), fill(1, 5 * CONTRACT), runs_out("order_timeout", 1), step_of(0), runs_out("finality", 1),
    ),
    ("closed", "finality", "flat"): (*MATCHED, says(1, "accepted"), step_of(20), *dead(1)),
    ("closed", "finality", "hedging"): (
        *MATCHED, step_of(9), fill(1, 5 * CONTRACT), runs_out("order_timeout", 1), step_of(0), runs_out("finality", 1),
    ),
    ("flat", "finality", "hedging"): (
        *dead(0), step_of(9), fill(0, 5 * CONTRACT), runs_out("order_timeout", 0), step_of(0), runs_out("finality", 0),
    ),
    ("hedging", "adverse", "hedged"): (*HALF_HEDGED, dear, step_of(9), runs_out("adverse")),
    ("hedging", "adverse", "flat"): (*HALF_HEDGED, dear, step_of(20), runs_out("adverse")),
    ("hedging", "retry", "hedged"): (*HALF_HEDGED, step_of(9), RETRY),
    ("hedging", "resume", "hedged"): (*HALF_HEDGED, (RETRY, "halted"), step_of(9), resume),
    ("hedging", "resume", "flat"): (*HALF_HEDGED, (RETRY, "halted"), step_of(20), resume),
    ("hedging", "finality", "hedged"): (
        fill(0), fill(1, 5 * CONTRACT), runs_out("order_timeout", 1), step_of(9), runs_out("finality", 1),
    ),
    ("unwinding", "confirmed", "hedged"): (fill(0, finality="provisional"), *GIVEN_UP[1:], step_of(9), mined(0)),
    ("unwinding", "retry", "hedged"): (*GIVEN_UP, says(2, "canceled"), step_of(9), RETRY),
    ("unwinding", "resume", "hedged"): (*GIVEN_UP, says(2, "canceled"), (RETRY, "halted"), step_of(9), resume),
    ("unwinding", "resume", "flat"): (*GIVEN_UP, says(2, "canceled"), (RETRY, "halted"), step_of(20), resume),
}  # fmt: skip


def beginnings():
    """Trades from which walks begin."""
    yield LED
    yield told(LED, *dead(0))
    yield told(LED, *MATCHED)
    yield told(LED, *PROVISIONAL)
    yield told(LED, *HALF_HEDGED)
    yield told(LED, fill(0), says(1, "canceled"))
    yield told(start(ka_top=top(KA, **DEAR)).work, fill(0, finality="provisional"))
    yield told(start(ka_top=top(KA, **DEAR)).work, fill(0), *dead(1))


def walk(trade, rng, steps, found):
    now = T0
    trade = msgspec.structs.replace(trade, terms=rng.choice((trade.terms, FEW)))
    for _ in range(steps):
        now += rng.choice((0, 0, S, 40 * S, 700 * S))
        event = rng.choice(list(words_of(trade, rng)))
        trade = step_on(trade, event, found, now, rng.choice(("", "", "", "", "halted", "cash")))


@pytest.fixture(scope="module")
def reached():
    found = Counter()
    note("proposed", "intent", start(ctx=context(permits=lambda *_: "halted")), found)
    rng = random.Random(1)
    for begun in beginnings():
        for _ in range(WALKS):
            walk(begun, rng, STEPS, found)
    for history in HISTORIES.values():
        told(LED, *history, found=found)
    return set(found)


def named():
    by_input = {
        (state, kind, after) for state in STATES for kind in INPUTS for after in TRADE_TABLE[state][kind].following
    }
    return by_input | {(state, AT_ONCE, after) for state in STATES for after in ONWARD[state]}


def test_every_cell_is_answered_and_what_is_refused_goes_nowhere():
    assert set(TRADE_TABLE) == set(ONWARD) == set(STATES)
    for state, row in TRADE_TABLE.items():
        assert set(row) == set(INPUTS)
        for answer in row.values():
            assert state not in answer.following and len(set(answer.following)) == len(answer.following)
            assert answer.handler not in {REFUSED, "wait", "lose_sight", "watch"} or not answer.following


@pytest.mark.parametrize("move", HISTORIES, ids="-".join)
def test_a_history_makes_the_move(move):
    found = Counter()
    told(LED, *HISTORIES[move], found=found)
    assert move in found


def test_whatever_is_reached_is_named_and_whatever_is_named_is_reached(reached):
    assert reached - named() == set()
    assert named() - reached - BY_THE_GATE == set()


def test_a_move_that_the_table_does_not_name_is_refused():
    run = Run(LED, context(), TRADE_TABLE["leading"]["done"])
    with pytest.raises(AssertionError, match="leading goes to closed"):
        run.move("closed", "")
    run.move("hedging", "")
    with pytest.raises(AssertionError, match="hedging goes to closed"):
        run.move("closed", "")
