"""The engine: batches never show, the journal refolds, verify finds what was tampered with, operators are obeyed."""

import random
from itertools import count, repeat

import msgspec
import pytest

from crossbook.log.reading import LogLine
from executors.engine import Engine, refold
from executors.errors import JournalError, LaneError
from executors.journal import INPUTS, comparable, key_of
from executors.portfolio.risk import BREAKER_NS
from executors.recovery.verify import compare_executions
from executors.terms import PaperTerms, Terms, cash_at
from schemas.records import (
    ControlApplied,
    ExecutorConfigured,
    Fill,
    HaltedByFile,
    InstrumentSettled,
    IntentSeen,
    LagWatched,
    LimitsChanged,
    OrderReport,
    OrderRequested,
    PairApproved,
    PairRevoked,
    PayoutBooked,
    TradePlan,
    TradeRecord,
    TradeUpdate,
    TradingStateChanged,
)
from tests.builders.executors.journals import CODEC, journal_of, lines, venue_holds, verified
from tests.builders.executors.terms import CALM, ROUGH, WIDE
from tests.builders.executors.worlds import (
    CONTRACT,
    KA,
    LOT,
    MICROS,
    MS,
    PM,
    T0,
    feed_all,
    head,
    intent,
    make_world,
    run_world,
    snapshot,
    status,
    watermark,
)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("terms", [CALM, ROUGH], ids=["calm", "rough"])
def test_batches_of_1_7_and_500_write_the_same(seed, terms):
    world = make_world(seed, 900)
    whole = run_world(world, terms)[1]
    assert sum(isinstance(r, Fill) for r in whole) >= 3
    for batch in (1, 7, 500):
        assert run_world(world, terms, batch)[1] == whole


def test_the_order_in_which_topics_arrive_does_not_show():
    world = make_world(11, 900)
    records, intents, marks = world
    whole = run_world(world, ROUGH)[1]
    for seed in range(5):
        rng = random.Random(seed)
        engine = Engine([0])
        engine.configure(ROUGH, portfolio="main", code_digest="d")
        queues = {
            "m": [(engine.lanes[0].put_record, (i, r)) for i, r in enumerate(records)],
            "i": [(engine.lanes[0].put_intent, (one, n, 0)) for n, one in enumerate(intents)],
            "w": [(engine.lanes[0].put_watermark, (mark, n)) for n, mark in enumerate(marks)],
        }
        written = []
        while any(queues.values()):
            queue = queues[rng.choice([name for name, queue in queues.items() if queue])]
            for put, arguments in queue[: (n := rng.randrange(1, 60))]:
                put(*arguments)
            del queue[:n]
            while engine.advance():
                written += engine.take_and_send()
            written += engine.take_and_send()
        assert written == whole


def test_every_kind_of_end_happens_and_every_trade_ends_as_it_may():
    updates, residuals = set(), []
    for seed in range(6):
        engine, written = run_world(make_world(seed, 1_200), ROUGH)
        updates |= {r.state for r in written if isinstance(r, TradeUpdate)}
        residuals += [
            (t.state, t.residual, t.dust)
            for t in engine.state.trades.values()
            if t.state in {"closed", "hedged", "flat"}
        ]
    assert {"declined", "hedged", "closed", "flat", "unwinding", "hedging"} <= updates
    assert residuals and all(abs(residual) < dust for _, residual, dust in residuals)


@pytest.mark.parametrize("terms", [CALM, ROUGH], ids=["calm", "rough"])
def test_the_journal_refolds_to_the_same_state(terms):
    engine, written = run_world(make_world(3, 900), terms)
    state, journaled = refold(journal_of(written))
    old = engine.state
    assert state.trades == old.trades and state.next_sequence == old.next_sequence
    assert state.working == old.working and state.timed == old.timed
    assert list(state.timed.get(0, ())) == list(old.timed.get(0, ())), "timers of one moment fire in the same order"
    assert state.standing.ledger.reservations == old.standing.ledger.reservations
    assert {k: (p.quantity_micros, p.cost_micros) for k, p in state.standing.ledger.positions.items()} == {
        k: (p.quantity_micros, p.cost_micros) for k, p in old.standing.ledger.positions.items()
    }
    assert state.standing.changes == old.standing.changes
    assert [r.sequence for r in journal_of(written)] == list(range(state.next_sequence))
    assert len(journaled[0]) == sum(isinstance(r, (OrderRequested, OrderReport)) for r in written)


def test_the_ledger_holds_what_the_fills_say():
    engine, written = run_world(make_world(2, 1_200), CALM)
    held = {}
    for fill in (r for r in written if isinstance(r, Fill)):
        key = (fill.instrument_id, fill.outcome)
        held[key] = held.get(key, 0) + (fill.quantity_micros if fill.side == "buy" else -fill.quantity_micros)
    ledger = engine.state.standing.ledger
    assert {k: p.quantity_micros for k, p in ledger.positions.items()} == held
    for venue in ("kalshi", "polymarket"):
        cost = sum(p.cost_micros for p in ledger.positions.values() if p.place.account.venue == venue)
        capital = cash_at(CALM.execute, venue)
        free = ledger.free(venue, capital)
        assert free + ledger.reserved(venue) + cost == capital + ledger.realised_by_venue.get(venue, 0)


@pytest.mark.parametrize("cut", [50, 300, 555, 800])
def test_a_restart_anywhere_goes_on_as_if_nothing_had_been(cut):
    world = make_world(9, 900)
    records, intents, marks = world
    whole = run_world(world, ROUGH)[1]
    first = Engine([0])
    first.configure(ROUGH, portfolio="main", code_digest="d")
    part = (records[:cut], [i for i in intents if i.position < cut], [m for m in marks if m.position < cut])
    written = feed_all(first, *part)
    state, journaled = refold(journal_of(written))
    second = Engine([0], state)
    folded = first.lanes[0].position
    for position in range(folded + 1):
        second.lanes[0].replay(position, records[position], journaled.get(0, []))
    assert not journaled.get(0)
    second.configure(ROUGH, portfolio="main", code_digest="d")
    for position in range(folded + 1, len(records)):
        second.lanes[0].put_record(position, records[position])
    for one in intents:
        second.lanes[0].put_intent(one, one.number, 0)
    for offset, mark in enumerate(marks):
        second.lanes[0].put_watermark(mark, offset)
    while second.advance():
        written += second.take_and_send()
    assert written + second.take_and_send() == whole


def test_a_journal_that_the_venue_did_not_give_is_refused_by_name():
    world = make_world(9, 600)
    written = run_world(world, CALM)[1]
    _, journaled = refold(journal_of(written))
    entries = journaled[0]
    at = next(n for n, (e, _) in enumerate(entries) if isinstance(e, OrderReport) and e.last_quantity_micros)
    entries[at] = (msgspec.structs.replace(entries[at][0], last_fee_micros=0), entries[at][1])
    engine = Engine([0])
    with pytest.raises(JournalError, match="the journal holds"):
        list(map(engine.lanes[0].replay, count(), world[0], repeat(entries)))


def test_every_record_names_its_portfolio_and_what_belongs_to_a_trade_its_strategy():
    written = run_world(make_world(4, 900), ROUGH)[1]
    assert {record.portfolio for record in written} == {"main"} and {record.life for record in written} == {0}
    of_trades = [record for record in written if isinstance(record, TradeRecord)]
    assert {record.strategy for record in of_trades} == {"cross_venue"}
    assert {type(record).__name__ for record in of_trades} > {
        "TopSeen",
        "TradePlan",
        "OrderReport",
        "Fill",
        "FillConfirmed",
    }
    assert all(key_of(record).startswith("main-") for record in of_trades)


@pytest.mark.parametrize("change", [{"portfolio": "twin"}, {"life": 1}])
def test_a_record_of_another_portfolio_or_life_is_no_part_of_the_journal(change):
    journal = journal_of(run_world(make_world(4, 300), CALM)[1])
    at = next(n for n, record in enumerate(journal) if isinstance(record, IntentSeen))
    journal[at] = msgspec.structs.replace(journal[at], **change)
    with pytest.raises(JournalError, match="the journal is of portfolio 'main', life 0"):
        refold(journal)


def test_an_executor_cannot_take_over_the_journal_of_another_portfolio():
    engine = Engine([0])
    engine.configure(CALM, portfolio="main", code_digest="d")
    with pytest.raises(JournalError, match="that of portfolio 'main', not of 'twin'"):
        engine.configure(CALM, portfolio="twin", code_digest="d")


def test_verify_passes_what_was_written():
    written = run_world(make_world(4, 900), ROUGH)[1]
    result = verified(written)
    assert result.mismatches == 0 and result.first_difference is None
    assert result.executions == sum(not isinstance(r, INPUTS) for r in written)


def _tampered(name):
    written = run_world(make_world(4, 900), ROUGH)[1]
    at = {kind: next(n for n, r in enumerate(written) if type(r).__name__ == kind) for kind in
          ("TradePlan", "OrderRequested", "TradeUpdate", "Fill", "OrderReport", "IntentSeen")}  # fmt: skip
    match name:
        case "changed request":
            number = at["OrderRequested"]
            written[number] = msgspec.structs.replace(written[number], quantity_micros=10_000)
        case "missing update":
            del written[at["TradeUpdate"]]
        case "missing plan":
            del written[at["TradePlan"]]
        case "extra request":
            written.insert(at["OrderRequested"], written[at["OrderRequested"]])
        case "changed fill":
            written[at["Fill"]] = msgspec.structs.replace(written[at["Fill"]], fee_micros=1)
        case "missing fill":
            del written[at["Fill"]]
        case "extra fill":
            written.append(written[at["Fill"]])
        case "doubled report":
            written.insert(at["OrderReport"], written[at["OrderReport"]])
    return written


@pytest.mark.parametrize(
    "name",
    [
        "changed request",
        "missing update",
        "missing plan",
        "extra request",
        "changed fill",
        "missing fill",
        "extra fill",
        "doubled report",
    ],
)
def test_verify_finds(name):
    result = verified(_tampered(name))
    assert result.mismatches > 0
    assert result.first_difference.describe()


def test_garbage_in_the_journal_is_a_difference():
    journal = lines(journal_of(run_world(make_world(4, 300), CALM)[1]))
    journal.insert(3, LogLine(3, 0, None, b"\x00\x00\x00\x00\x01"))
    assert compare_executions(journal, iter(()), CODEC).first_difference.note == "unreadable"


def test_what_the_wall_clock_wrote_is_masked_and_nothing_else():
    written = run_world(make_world(4, 900), ROUGH)[1]
    other = [msgspec.structs.replace(r, ts_seen_ns=5) if isinstance(r, IntentSeen) else r for r in written]
    assert other != written
    assert list(map(comparable, other)) == list(map(comparable, written))


def test_a_measurement_is_journaled_and_changes_no_outcome():
    world = make_world(4, 600)
    whole = run_world(world, CALM)[1]
    engine = Engine([0])
    engine.configure(CALM, portfolio="main", code_digest="d")
    engine.observe("main-i1", "hedge", start_ns=1, end_ns=3, latency_ns=2)
    written = engine.take_and_send() + feed_all(engine, *world)
    assert [c for c in map(comparable, written) if c] == list(map(comparable, whole))
    assert verified(written).mismatches == 0


# Control


class Desk:
    """An engine in the middle of a world, and an operator."""

    def __init__(self, seed=4):
        self.world, self.offsets = make_world(seed, 900), count()
        self.engine = Engine([0])
        self.engine.configure(CALM, portfolio="main", code_digest="d")
        self.engine.take_and_send()
        self.cut = 0

    def say(self, cls, **fields):
        refusal = self.engine.control(cls(ts_ns=T0, operator="me", reason="test", **fields), next(self.offsets))
        return refusal or self.engine.take_and_send()

    def trade_on(self, until):
        records, intents, marks = self.world
        start, self.cut = self.cut, until
        for position in range(start, until):
            self.engine.lanes[0].put_record(position, records[position])
        for one in (i for i in intents if start <= i.position < until):
            self.engine.lanes[0].put_intent(one, one.number, 0)
        for offset, mark in enumerate(marks):
            if start <= mark.position < until:
                self.engine.lanes[0].put_watermark(mark, offset)
        written = []
        while self.engine.advance():
            written += self.engine.take_and_send()
        return written + self.engine.take_and_send()


def test_halt_is_acknowledged_and_lets_no_order_out_until_resumed():
    desk = Desk()
    assert any(isinstance(r, OrderRequested) for r in desk.trade_on(301))
    said = desk.say(TradingStateChanged, state="halted", scope="all", scope_value="")
    assert [type(r) for r in said] == [ControlApplied]
    halted = desk.trade_on(601)
    assert {r.reason for r in halted if isinstance(r, TradeUpdate) and r.state == "declined"} == {"halted"}
    assert not any(isinstance(r, (OrderRequested, TradePlan)) for r in halted)
    desk.say(TradingStateChanged, state="running", scope="all", scope_value="")
    assert any(isinstance(r, TradePlan) for r in desk.trade_on(900))


def test_words_from_before_are_passed_over():
    desk = Desk()
    word = TradingStateChanged(ts_ns=T0, operator="me", state="halted", scope="all", scope_value="", reason="")
    assert desk.engine.control(word, 7) == ""
    assert len(desk.engine.take_and_send()) == 1
    assert desk.engine.control(word, 7) == "" and desk.engine.take_and_send() == []


def test_kill_halts_once_until_resume():
    desk = Desk()
    desk.engine.kill("KILL")
    desk.engine.kill("KILL")
    assert [(type(r), r.file) for r in desk.engine.take_and_send()] == [(HaltedByFile, "KILL")]
    assert desk.engine.state.standing.state_for(("kalshi",), "", "") == "halted"
    desk.say(TradingStateChanged, state="running", scope="all", scope_value="")
    desk.engine.kill("KILL")
    assert len(desk.engine.take_and_send()) == 1


def test_a_revoked_pair_opens_nothing_and_an_approved_one_does():
    desk = Desk()
    desk.say(PairRevoked, pair_id="pair")
    assert {r.reason for r in desk.trade_on(301) if isinstance(r, TradeUpdate)} == {"reduce_only"}
    approved = PairApproved(
        ts_ns=T0,
        operator="me",
        pair_id="pair",
        relation="identity",
        instrument_a=PM,
        instrument_b=KA,
        payouts=(),
        haircut_micros=0,
        evidence="",
    )
    assert desk.engine.control(approved, 9) == ""
    assert any(isinstance(r, TradePlan) for r in desk.trade_on(900))


def test_limits_change_and_survive_a_refold_but_a_misspelt_one_is_refused():
    desk = Desk()
    assert "no limit is called" in desk.say(LimitsChanged, name="pairs_open", value_micros=1)
    assert "lies between 0 and 10000" in desk.say(LimitsChanged, name="pairs_open_max", value_micros=-1)
    said = desk.say(LimitsChanged, name="pairs_open_max", value_micros=0)
    assert [r.value_micros for r in said] == [0]
    assert {r.reason for r in desk.trade_on(900) if isinstance(r, TradeUpdate)} == {"pairs_open"}
    assert desk.engine.state.terms.execute.pairs_open_max == 0


def test_the_watchdog_lets_no_trade_open_while_it_lags_and_leaves_the_operator_alone():
    desk = Desk()
    limit = 30_000_000_000
    assert not desk.engine.watch_lag(limit, limit)
    assert desk.engine.watch_lag(limit + 1, limit)
    assert not desk.engine.watch_lag(limit * 9, limit), "once"
    (said,) = desk.engine.take_and_send()
    assert (type(said), said.lagging, said.lag_ns, said.limit_ns) == (LagWatched, True, limit + 1, limit)
    late = desk.trade_on(301)
    reasons = [r.reason for r in late if isinstance(r, TradeUpdate)]
    assert "lagging" in reasons and set(reasons) <= {"lagging", "below_minimum"}, "the gate's own reasons come first"
    assert not any(isinstance(r, (TradePlan, OrderRequested)) for r in late)
    desk.say(TradingStateChanged, state="running", scope="all", scope_value="")  # no word about our lag
    assert desk.engine.state.lagging
    desk.say(TradingStateChanged, state="halted", scope="all", scope_value="")
    assert not desk.engine.watch_lag(limit // 2 + 1, limit)
    assert desk.engine.watch_lag(limit // 2, limit)
    assert [(type(r), r.lagging) for r in desk.engine.take_and_send()] == [(LagWatched, False)]
    assert {r.reason for r in desk.trade_on(601) if isinstance(r, TradeUpdate) and r.state == "declined"} == {"halted"}
    desk.say(TradingStateChanged, state="running", scope="all", scope_value="")
    assert any(isinstance(r, TradePlan) for r in desk.trade_on(900))
    assert not desk.engine.watch_lag(limit * 9, 0), "nobody watches"


def test_a_limit_taken_away_ends_the_watch():
    desk = Desk()
    assert desk.engine.watch_lag(9, 1)
    assert desk.engine.watch_lag(9, 0) and not desk.engine.state.lagging


def test_a_settlement_pays_out_what_is_held_once():
    desk = Desk()
    desk.trade_on(301)
    ledger = desk.engine.state.standing.ledger
    yes, no = ledger.quantity(KA, "yes"), ledger.quantity(KA, "no")
    assert yes or no
    lane = desk.engine.lanes[0]
    position = lane.position + 1
    settled = InstrumentSettled(
        ts_received_ns=lane.market.now_ns, instrument_id=KA, payout_yes_micros=MICROS, source="t"
    )
    lane.put_record(position, settled)
    lane._proved = position
    before = ledger.realised_micros
    while desk.engine.advance():
        pass
    (booked,) = desk.engine.take_and_send()
    assert (type(booked), booked.instrument_id, booked.payout_yes_micros) == (PayoutBooked, KA, MICROS)
    assert (booked.partition, booked.position) == (0, position)
    assert ledger.quantity(KA, "yes") == ledger.quantity(KA, "no") == 0
    assert ledger.realised_micros != before
    assert not any(p.cost_micros for (held, _), p in ledger.positions.items() if held == KA)


# Lanes


def test_a_gap_in_intents_stops_the_executor():
    engine = Engine([0])
    intents = make_world(1, 300)[1]
    engine.lanes[0].put_intent(intents[0], 0, 0)
    engine.lanes[0].put_intent(intents[0], 0, 0)  # read again: passed over
    with pytest.raises(LaneError, match="number 3 came after 1"):
        engine.lanes[0].put_intent(intents[2], 2, 0)


def test_positions_of_inputs_say_where_to_read_on():
    records, intents, marks = make_world(1, 300)
    lane = Engine([0]).lanes[0]
    lane.put_watermark(marks[3], 33)
    assert (lane.watermark_needed, lane.first_unprocessed_intent) == (33, None)
    lane.put_intent(intents[0], 4, 0)
    assert lane.first_unprocessed_intent == 4
    del records


def test_an_undecodable_record_keeps_its_position():
    records, intents, marks = make_world(1, 300)
    whole = run_world((records, intents, marks), CALM)[1]
    junk = next(n for n, r in enumerate(records) if n > 8 and type(r).__name__ == "FeedStatus")
    changed = [None if n == junk else r for n, r in enumerate(records)]
    assert len(run_world((changed, intents, marks), CALM)[1]) > 0
    assert whole


def test_terms_round_trip_and_none_outside_its_bounds_is_written_or_read():
    (configured,) = (r for r in run_world(make_world(4, 60), ROUGH)[1] if isinstance(r, ExecutorConfigured))
    assert Terms(execute=configured.execute, paper=configured.paper) == ROUGH
    assert CODEC.decode(CODEC.encode(configured)) == configured
    greedy = msgspec.structs.replace(ROUGH.execute, pairs_open_max=10_001)
    with pytest.raises(msgspec.ValidationError, match="pairs_open_max"):
        CODEC.encode(msgspec.structs.replace(configured, execute=greedy))


def test_a_breaker_that_opens_is_told_and_follows_from_the_journal():
    rejecting = Terms(execute=msgspec.structs.replace(WIDE, venue_errors_max=3), paper=PaperTerms(reject_ppm=1_000_000))
    engine, written = run_world(make_world(4, 900), rejecting)
    first = venue_holds(written)[0]
    rejected = [r for r in written if isinstance(r, OrderReport) and r.order_status == "rejected"]
    assert (first.state, first.venue, first.trade_id) == ("breaker", "polymarket", rejected[2].trade_id)
    assert first.ts_until_ns == rejected[2].ts_ns + BREAKER_NS
    assert first.reason.startswith("3 orders rejected in a row")
    declined = {r.reason for r in written if isinstance(r, TradeUpdate) and r.sequence > first.sequence}
    assert "venue_errors" in declined
    assert refold(journal_of(written))[0].next_sequence == engine.state.next_sequence
    assert verified(written).mismatches == 0


def test_a_stuck_trade_tells_which_venue_it_holds_and_why():
    start = [*head(), snapshot(PM, T0, [(390_000, 100 * CONTRACT)], [(400_000, 100 * CONTRACT)])]
    start.append(snapshot(KA, T0, [(500_000, 100 * CONTRACT)], [(510_000, 100 * CONTRACT)]))
    at = T0 + 70 * MS
    calm = [status(venue, T0 + n * 10 * MS) for n in range(1, 7) for venue in ("polymarket", "kalshi")]
    empty = [snapshot(name, at, [], [(990_000, LOT)], sequence=2) for name in (PM, KA)]
    ticks = [status(venue, T0 + n * 100 * MS) for n in range(1, 200) for venue in ("polymarket", "kalshi")]
    records = [*start, *calm, *empty, *ticks]
    engine, written = run_world((records, [intent(1, position=len(start) - 1)], [watermark(len(records) - 1, 1)]))
    assert engine.state.trades["main-i1"].state == "stuck"
    (held,) = venue_holds(written)
    assert (held.venue, held.state, held.ts_until_ns, held.trade_id) == ("polymarket", "reduce_only", 0, "main-i1")
    assert held.reason == engine.state.trades["main-i1"].reason
    assert engine.state.standing.state_for(("polymarket",), "sports", "another") == "reduce_only"
    assert engine.state.standing.state_for(("kalshi",), "sports", "another") == "running"
    assert verified(written).mismatches == 0
    assert key_of(held) == "main-i1"
