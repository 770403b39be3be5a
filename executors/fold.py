"""The executor's state as a fold of its journal: `step(state, input) -> outputs`.

Decides, from the inputs in their journal order alone, every plan, request, update and fill. Must never read a clock, a setting
or a venue: what is not in the journal does not exist here. So a refold gives the same state and, byte for byte, the same
outputs, which `executors.recovery.verify` and every start of the stage check.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from crossbook.domain.limits import refusal_of_limit
from executors.errors import JournalError
from executors.journal import JournalInput, Output, trade_id_of
from executors.orders.machine import (
    Command,
    Context,
    Desk,
    Event,
    Machine,
    Move,
    Resume,
    Send,
    Step,
    Summary,
    Withdraw,
    reason_of,
)
from executors.orders.order import Order, Unbooked, unbooked_purchase
from executors.orders.work import INSTRUMENT_MOVED, WORKING, Intent, Seen, Work
from executors.portfolio.booking import book, plan_key
from executors.portfolio.risk import gate_order, place_of, purchase_bound
from executors.state import ExecutorState
from executors.terms import NS_PER_MS, Terms, with_limit
from schemas.records import (
    CancelRequested,
    ControlApplied,
    ExecutorConfigured,
    Fill,
    HaltedByFile,
    IntentSeen,
    LagWatched,
    LatencyObserved,
    ListingSeen,
    OrderReport,
    OrderRequested,
    OrderSent,
    PairApproved,
    PairRevoked,
    PayoutBooked,
    PlanBound,
    QuoteSeen,
    TakeSeen,
    TimerFired,
    TopSeen,
    TradeState,
    TradeUpdate,
    Venue,
    VenueHeld,
)

REVOKED_ACTION: Final = PairRevoked.__name__
APPROVED_ACTION: Final = PairApproved.__name__
#: Why an intent is declined whose strategy is another portfolio's.
NOT_FOLLOWED: Final = "strategy_not_followed"
#: Why an intent is declined for whose kind no machine is given.
NO_MACHINE: Final = "no_machine"


class Place(NamedTuple):
    """Where an output stands: stream time, partition, and the position journaled last."""

    ts_ns: int
    partition: int
    position: int


def step(state: ExecutorState, record: JournalInput) -> list[Output]:
    """Fold one input and return what follows from it, in order.

    Raises JournalError when the input is out of its number, or of another portfolio or life: then it is no journal of ours. No
    other input can end the executor, or it would end again at every start: an error is the trade's that was told, which becomes
    stuck, or is kept as a fault of `Halts`, and then nothing new opens until the operator resumes. Either way all else goes on.
    """
    if record.sequence != state.next_sequence:
        raise JournalError(
            f"{type(record).__name__} has number {record.sequence}, the journal is at {state.next_sequence}"
        )
    if (record.portfolio, record.life) != (state.portfolio, state.life) and not isinstance(record, ExecutorConfigured):
        raise JournalError(
            f"{type(record).__name__} {record.sequence} is of portfolio {record.portfolio!r}, life {record.life}; the journal is of "
            f"portfolio {state.portfolio!r}, life {state.life}"
        )
    state.next_sequence += 1
    try:
        return _FOLDERS[type(record)](state, record)
    except JournalError:
        raise
    except Exception as error:  # noqa: BLE001 - deterministic, and the alternative is an executor that never starts again
        state.next_sequence = record.sequence + 1
        state.standing.halts.fail(f"{type(record).__name__} {record.sequence}: {reason_of(error)}")
        return []


def _configured(state: ExecutorState, record: ExecutorConfigured) -> list[Output]:
    if state.configured is not None and record.portfolio != state.portfolio:
        raise JournalError(
            f"the journal is that of portfolio {state.portfolio!r}, not of {record.portfolio!r}: choose another prefix, or the name that it has"
        )
    terms = Terms(execute=record.execute, paper=record.paper)
    for name, value in state.overrides.items():
        terms = with_limit(terms, name, value)
    state.configured = record
    state.standing.portfolio = record.portfolio
    state.terms = terms
    return []


def _latency(_state: ExecutorState, _record: LatencyObserved) -> list[Output]:
    return []


def _intent_seen(state: ExecutorState, record: Seen) -> list[Output]:
    intent = record.intent
    state.intents_seen[record.partition] = intent.number
    state.positions[record.partition] = record.position
    trade_id = trade_id_of(state.portfolio, intent.intent_id)
    tops = state.tops_before.pop(trade_id, {})
    listings = state.listings_before.pop(trade_id, ())
    followed = () if state.configured is None else state.configured.strategies
    if followed and intent.strategy not in followed:
        return [_declined(state, record, NOT_FOLLOWED)]
    machine = state.machines.get(type(intent))
    if machine is None:
        return [_declined(state, record, NO_MACHINE)]
    number = state.next_sequence
    try:
        assert trade_id not in state.trades, "an intent is seen once"
        context = _context(state, record.ts_ns)
        desk = Desk(state.standing, context, state.lagging, tops, listings, state.life, state.take_sequence)
        opened = machine.open(record, desk)
        if isinstance(opened, str):
            return [_declined(state, record, opened)]
        return [opened.plan, *_adopt(state, opened.step, record.ts_ns)]
    except Exception as error:  # noqa: BLE001 - an intent that cannot be planned is declined, whatever is wrong with it
        state.next_sequence = number
        if trade_id not in state.trades:
            for name in machine.legs:
                state.standing.ledger.release(plan_key(trade_id, name))
        return [_declined(state, record, reason_of(error))]


def _declined(state: ExecutorState, record: Seen, reason: str) -> TradeUpdate:
    intent = record.intent
    machine = state.machines.get(type(intent))
    said = Summary("", "yes_a_no_b") if machine is None else machine.declined(intent)
    at = Place(record.ts_ns, record.partition, record.position)
    return _told(state, intent, at, "declined", reason, said)


def _told(
    state: ExecutorState, intent: Intent, at: Place, state_told: TradeState, reason: str, said: Summary
) -> TradeUpdate:
    return TradeUpdate(
        sequence=state.take_sequence(),
        ts_ns=at.ts_ns,
        portfolio=state.portfolio,
        life=state.life,
        strategy=intent.strategy,
        partition=at.partition,
        position=at.position,
        trade_id=trade_id_of(state.portfolio, intent.intent_id),
        intent_id=intent.intent_id,
        pair_id=said.pair_id,
        package=said.package,
        state=state_told,
        reason=reason,
        quantity_a_micros=said.quantity_a,
        quantity_b_micros=said.quantity_b,
        residual_micros=said.quantity_a - said.quantity_b,
        cost_micros=said.cost,
        fee_micros=said.fees,
        edge_micros=said.edge,
    )


def _top_seen(state: ExecutorState, record: TopSeen) -> list[Output]:
    state.positions[record.partition] = record.position
    state.standing.note_equity(record.ts_ns, state.standing.equity.see(record))
    trade = state.trades.get(record.trade_id)
    if trade is None:
        state.tops_before.setdefault(record.trade_id, {})[record.instrument_id] = record
        return []
    return _tell(state, trade, record, record.ts_ns)


def _listing_seen(state: ExecutorState, record: ListingSeen) -> list[Output]:
    state.positions[record.partition] = record.position
    trade = state.trades.get(record.trade_id)
    if trade is None:
        before = state.listings_before.get(record.trade_id, ())
        state.listings_before[record.trade_id] = (*before, record)
        return []
    return _tell(state, trade, record, record.ts_ns)


def _timer_fired(state: ExecutorState, record: TimerFired) -> list[Output]:
    state.positions[record.partition] = record.position
    trade = state.trades.get(record.trade_id)
    return [] if trade is None else _tell(state, trade, record, record.ts_ns)


def _order_sent(state: ExecutorState, record: OrderSent) -> list[Output]:
    state.positions[record.partition] = record.position
    trade = state.trades.get(record.trade_id)
    if trade is None or trade.order(record.order_id) is None:
        raise JournalError(f"order {record.order_id} left, which the journal never requested")
    return _tell(state, trade, record, record.ts_ns)


def _order_report(state: ExecutorState, record: OrderReport) -> list[Output]:
    state.positions[record.partition] = record.position
    trade = state.trades.get(record.trade_id)
    order = None if trade is None else trade.order(record.order_id)
    if trade is None or order is None:
        return []  # of no order of ours: it stays in the journal, the shell says so, and there is nothing to tell
    outputs = _tell(state, trade, record, record.ts_ns, report=record)
    return outputs + _note_answer(state, record, order, outputs)


def _note_answer(state: ExecutorState, report: OrderReport, before: Order, outputs: list[Output]) -> list[Output]:
    """A rejection lengthens the row of its venue's, an acceptance or an execution ends it; what else is said does neither."""
    trade = state.trades[report.trade_id]
    after = trade.order(report.order_id)
    assert after is not None, "no order is ever taken off a trade"
    rejected = after.status == "rejected" != before.status
    accepted = after.status == "accepted" != before.status
    if not rejected and not accepted and not any(isinstance(one, Fill) for one in outputs):
        return []
    venue, errors_max = trade.leg(before.leg).venue, state.terms.execute.venue_errors_max
    if not state.standing.note_answer(venue, report.ts_ns, rejected=rejected, errors_max=errors_max):
        return []
    until_ns = state.standing.breaker_until_ns[venue]
    reason = f"{errors_max} orders rejected in a row, the last: {report.reason or 'no reason given'}"
    return [_venue_held(state, trade, venue, report.ts_ns, state_held="breaker", until_ns=until_ns, reason=reason)]


def _control_applied(state: ExecutorState, record: ControlApplied) -> list[Output]:
    halts = state.standing.halts
    state.controls_applied = max(state.controls_applied, record.control_offset + 1)
    if record.name and not refusal_of_limit(record.name, record.value_micros):
        state.overrides[record.name] = record.value_micros
        state.terms = with_limit(state.terms, record.name, record.value_micros)
    elif record.action == REVOKED_ACTION:
        halts.revoke(record.scope_value)
    elif record.action == APPROVED_ACTION:
        halts.approve(record.scope_value)
    elif record.state is not None:
        halts.say(record.scope, record.scope_value, record.state)
        if record.state == "running":
            held_back = [trade for trade in state.trades.values() if trade.held_back]
            return [output for trade in held_back for output in _tell(state, trade, Resume(), record.ts_ns)]
    return []


def _halted_by_file(state: ExecutorState, _record: HaltedByFile) -> list[Output]:
    state.standing.halts.kill()
    return []


def _lag_watched(state: ExecutorState, record: LagWatched) -> list[Output]:
    state.lagging = record.lagging  # no word of an operator's is touched: neither may undo the other
    return []


def _payout_booked(state: ExecutorState, record: PayoutBooked) -> list[Output]:
    state.positions[record.partition] = record.position
    standing = state.standing
    standing.ledger.settle(record.instrument_id, record.payout_yes_micros)
    standing.note_equity(record.ts_ns, standing.equity.settle(record.instrument_id, record.payout_yes_micros))
    return []


_FOLDERS: Final[dict[type, Callable[[ExecutorState, Any], list[Output]]]] = {
    ExecutorConfigured: _configured,
    IntentSeen: _intent_seen,
    QuoteSeen: _intent_seen,
    TakeSeen: _intent_seen,
    ControlApplied: _control_applied,
    HaltedByFile: _halted_by_file,
    LagWatched: _lag_watched,
    PayoutBooked: _payout_booked,
    TimerFired: _timer_fired,
    TopSeen: _top_seen,
    ListingSeen: _listing_seen,
    OrderSent: _order_sent,
    OrderReport: _order_report,
    LatencyObserved: _latency,
}


# The machine's answer into the ledger and into records


def _context(state: ExecutorState, now_ns: int, unbooked: Unbooked | None = None) -> Context:
    ledger = state.standing.ledger

    def permits(trade: Work, bound: PlanBound, price: int, quantity: int) -> str:
        name = bound.leg
        if trade.gone(name):
            return INSTRUMENT_MOVED
        ended = [order.order_id for order in trade.orders if order.leg == name and not order.live]
        spare = sum(map(ledger.reserved_under, (plan_key(trade.trade_id, name), *ended)))
        if unbooked is not None and unbooked.leg == name:
            spare -= unbooked.cash_micros
        return gate_order(
            state.standing,
            bound,
            trade.leg(name),
            price,
            quantity,
            pair_id=trade.pair_id,
            strategy=trade.intent.strategy,
            spare=spare,
            terms=trade.terms,
        )

    return Context(now_ns=now_ns, terms=state.terms, permits=permits)


def _tell(
    state: ExecutorState, trade: Work, event: Event, ts_ns: int, report: OrderReport | None = None
) -> list[Output]:
    unbooked = None if report is None else unbooked_purchase(trade.orders, report)
    context = _context(state, ts_ns, unbooked)
    machine = state.machines[type(trade.intent)]
    done = machine.advance(trade, event, context)
    outputs: list[Output] = []
    number = state.next_sequence
    try:
        if done.effect is not None and report is not None:
            planned = machine.planned_price(done.work, done.effect.order.leg)
            valued = machine.valued(done.work)
            outputs.append(book(state.standing, done.work, done.effect, report, valued=valued, planned=planned))
        return outputs + _adopt(state, done, ts_ns)
    except Exception as error:  # noqa: BLE001 - an error in the books of a trade makes it a person's, and ends nobody else
        state.next_sequence = number
        unsent = {one.order.order_id for one in done.commands if isinstance(one, Send)}
        for order_id in unsent:
            state.standing.ledger.release(order_id)
        kept = tuple(order for order in done.work.orders if order.order_id not in unsent)
        timers = tuple(timer for timer in done.work.timers if timer.order_id not in unsent)
        left = msgspec.structs.replace(done.work, orders=kept, timers=timers)
        return outputs + _adopt(state, machine.give_in(left, error, context), ts_ns)


def _adopt(state: ExecutorState, done: Step[Any], ts_ns: int) -> list[Output]:
    """Take the machine's step into the state: reservations, indexes, records."""
    trade = done.work
    machine = state.machines[type(trade.intent)]
    before = state.trades.get(trade.trade_id)
    state.trades[trade.trade_id] = trade
    _index(state, trade, None if before is None else before.state)
    ledger = state.standing.ledger
    working = trade.state in WORKING
    for order in trade.orders:
        if not order.live:
            left = ledger.release(order.order_id)
            if working and order.role != "leader":  # a further attempt may need it
                ledger.add_to(plan_key(trade.trade_id, order.leg), place_of(trade.leg(order.leg)), left)
    outputs: list[Output] = [_update(state, machine, move, ts_ns) for move in done.moves]
    outputs += [_command(state, trade, command, ts_ns) for command in done.commands]
    if not working:
        for name in machine.legs:
            ledger.release(plan_key(trade.trade_id, name))
    return outputs + _hold_venues(state, trade, machine.stuck_with(done), ts_ns)


def _index(state: ExecutorState, trade: Work, before: TradeState | None) -> None:
    partition, trade_id = trade.intent.partition, trade.trade_id
    was, now = before in WORKING, trade.state in WORKING
    if was != now:
        pair_id, working = trade.pair_id, state.standing.working_pairs
        working[pair_id] = working.get(pair_id, 0) + (1 if now else -1)
        if now:
            state.working.setdefault(partition, {})[trade_id] = None
        else:
            state.working[partition].pop(trade_id, None)
    if trade.timers:
        state.timed.setdefault(partition, {})[trade_id] = None
    else:
        state.timed.get(partition, {}).pop(trade_id, None)


def _hold_venues(state: ExecutorState, trade: Work, legs: Sequence[str], ts_ns: int) -> list[Output]:
    """A stuck trade lets nothing new open at the venues of what it is stuck with; open trades may still shrink there."""
    return [
        _venue_held(state, trade, venue, ts_ns, state_held="reduce_only", until_ns=0, reason=trade.reason)
        for venue in [trade.leg(name).venue for name in legs]
        if state.standing.halts.hold(venue, trade.trade_id)
    ]


def _venue_held(
    state: ExecutorState, trade: Work, venue: Venue, ts_ns: int, *, state_held: str, until_ns: int, reason: str
) -> VenueHeld:
    partition = trade.intent.partition
    return VenueHeld(
        sequence=state.take_sequence(),
        ts_ns=ts_ns,
        portfolio=state.portfolio,
        life=state.life,
        strategy=trade.intent.strategy,
        partition=partition,
        position=state.positions[partition],
        venue=venue,
        state=state_held,
        ts_until_ns=until_ns,
        trade_id=trade.trade_id,
        reason=reason,
    )


def _command(state: ExecutorState, trade: Work, command: Command, ts_ns: int) -> OrderRequested | CancelRequested:
    return (
        _request(state, trade, command, ts_ns) if isinstance(command, Send) else _cancel(state, trade, command, ts_ns)
    )


def _cancel(state: ExecutorState, trade: Work, withdraw: Withdraw, ts_ns: int) -> CancelRequested:
    order = trade.order(withdraw.order_id)
    assert order is not None, "a work takes back only its own orders"
    return CancelRequested(
        sequence=state.take_sequence(),
        ts_ns=ts_ns,
        portfolio=state.portfolio,
        life=state.life,
        strategy=trade.intent.strategy,
        partition=trade.intent.partition,
        position=state.positions[trade.intent.partition],
        trade_id=trade.trade_id,
        order_id=order.order_id,
        venue=trade.leg(order.leg).venue,
        reason=withdraw.reason,
        send_before_ns=ts_ns + trade.terms.send_window_ms * NS_PER_MS,
    )


def _request(state: ExecutorState, trade: Work, send: Send, ts_ns: int) -> OrderRequested:
    order, bound, replaces = send
    leg = trade.leg(order.leg)
    ledger = state.standing.ledger
    reserved = 0
    if order.side == "buy":
        reserved = purchase_bound(leg, order.price_limit_micros, order.quantity_micros)
        if order.role != "leader":
            ledger.consume(plan_key(trade.trade_id, order.leg), reserved)
        ledger.reserve(order.order_id, place_of(leg), reserved)
    return OrderRequested(
        sequence=state.take_sequence(),
        ts_ns=ts_ns,
        portfolio=state.portfolio,
        life=state.life,
        strategy=trade.intent.strategy,
        partition=trade.intent.partition,
        position=state.positions[trade.intent.partition],
        order_id=order.order_id,
        trade_id=trade.trade_id,
        role=order.role,
        attempt=order.attempt,
        instrument_id=bound.instrument_id,
        venue=bound.venue,
        outcome=bound.outcome,
        side=order.side,
        price_limit_micros=order.price_limit_micros,
        quantity_micros=order.quantity_micros,
        time_in_force=bound.time_in_force,
        reduce_only=order.side == "sell",
        send_before_ns=ts_ns + trade.terms.send_window_ms * NS_PER_MS,
        reserved_micros=reserved,
        replaces=replaces,
    )


def _update(state: ExecutorState, machine: Machine[Any], move: Move[Any], ts_ns: int) -> TradeUpdate:
    partition = move.work.intent.partition
    at = Place(ts_ns, partition, state.positions[partition])
    return _told(state, move.work.intent, at, move.state, move.reason, machine.summary(move.work))
