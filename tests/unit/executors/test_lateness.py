"""An executor that is behind: what it sees too late is declined, what it sends late arrives late, and a recording knows no lateness."""

import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.runtime.settings import DecideSettings, ExecuteSettings, Settings
from executors.engine import Engine, refold
from executors.fold import step
from executors.journal import comparable, key_of, topic_of
from executors.recovery.checkpoint import Checkpoints, freeze, start_lanes, start_state, thaw
from executors.recovery.verify import compare_executions
from executors.stage import lag_limit_problem
from executors.terms import PaperTerms, Terms
from schemas.codec import load_codec
from schemas.records import Fill, IntentSeen, OrderReport, OrderRequested, OrderSent, TradePlan, TradeUpdate
from tests.builders.executors.journals import lines
from tests.builders.executors.worlds import MS, TERMS, S, make_world, opened

CODEC = load_codec()
ROUGH = Terms(
    execute=TERMS.execute,
    paper=PaperTerms(vanish_ppm=250_000, partial_ppm=200_000, reject_ppm=80_000, late_ppm=150_000, reverse_ppm=100_000),
)
WIRE_NS = ROUGH.paper.wire_latency_ms * MS
DECIDE_NS = ROUGH.paper.decide_latency_ms * MS
VALID_NS = 500 * MS


def world_of(seed, clock="wall", events=900):
    records, intents, marks = make_world(seed, events)
    return [opened(clock=clock), *records[1:]], intents, marks


def run(world, lag_of, *, batch=100, terms=ROUGH, engine=None, commit_ns=0):
    """A live engine: the wall clock is `lag_of()` ns past stream time, and a commit takes `commit_ns`."""
    records, intents, marks = world
    engine = engine or Engine([0])
    engine.configure(terms, portfolio="main", code_digest="d")
    written, lane = engine.take_and_send(), engine.lanes[0]
    for start in range(0, len(records), batch):
        end = start + batch
        for position in range(start, min(end, len(records))):
            lane.put_record(position, records[position])
        for one in (i for i in intents if start <= i.position < end):
            lane.put_intent(one, one.number, 0)
        for offset, mark in enumerate(marks):
            if start <= mark.position < end:
                lane.put_watermark(mark, offset)
        more = True
        while more:
            more = engine.advance(1, wall_ns=engine.now_ns + lag_of())
            taken = engine.take_and_send()
            engine.sent(taken, engine.now_ns + lag_of() + commit_ns)
            written += taken
    return written


def of(kind, written):
    return [record for record in written if isinstance(record, kind)]


def reasons(written):
    return Counter(r.reason for r in of(TradeUpdate, written) if r.state == "declined")


def test_in_a_recording_no_lag_counts_and_the_bytes_are_those_of_any_speed():
    world = world_of(4, "recorded")
    plain = run(world, lambda: 0)
    late = run(world, lambda: 10**18, batch=7, commit_ns=S)
    assert late == plain
    assert not of(OrderSent, late) and {r.lag_ns for r in of(IntentSeen, late)} == {0}
    assert len(of(Fill, plain)) > 10


@pytest.mark.parametrize("lag_ns", [VALID_NS + 1, 61 * S, 11 * S])
def test_what_is_seen_after_its_validity_is_declined_as_late_however_far_behind(lag_ns):
    written = run(world_of(4), lambda: lag_ns)
    assert not of(TradePlan, written) and not of(Fill, written)
    assert set(reasons(written)) == {"late"}
    assert {r.lag_ns for r in of(IntentSeen, written)} == {lag_ns}
    assert verified(written) == 0


def test_within_its_validity_it_is_traded_and_stream_time_still_says_expired():
    assert of(TradePlan, run(world_of(4), lambda: VALID_NS - MS))
    records, intents, marks = world_of(4)
    old = [msgspec.structs.replace(one, valid_until_ns=one.ts_ns) for one in intents]
    assert set(reasons(run((records, old, marks), lambda: 2 * S))) == {"expired"}


@given(st.integers(0, 400), st.sampled_from((MS, 9 * MS, 11 * MS, 200 * MS, 2 * S, 20 * S)))
@settings(max_examples=12)
def test_no_order_is_matched_before_it_could_have_left(seed, worst_ns):
    """Leaders, hedges and unwinds alike; and no trade opens that decide's validity no longer covers when its leader leaves."""
    rng = random.Random(seed)
    written = run(world_of(seed % 5, events=500), lambda: rng.randrange(worst_ns), commit_ns=rng.randrange(worst_ns))
    requests = {r.order_id: r for r in of(OrderRequested, written)}
    sent = {r.order_id: r for r in of(OrderSent, written)}
    intents = {key_of(r): r.intent for r in of(IntentSeen, written)}
    for one in sent.values():
        request = requests[one.order_id]
        assert one.lag_ns == one.ts_ns - request.ts_ns > DECIDE_NS
        assert one.withheld == (request.role == "leader" and one.ts_ns > intents[one.trade_id].valid_until_ns)
    for report in of(OrderReport, written):
        request = requests[report.order_id]
        left = sent.get(report.order_id)
        leaves_ns = request.ts_ns + DECIDE_NS if left is None else left.ts_ns
        if left is not None and left.withheld:
            assert (report.order_status, report.reason, report.ts_venue_ns) == ("expired", "late", left.ts_ns)
        else:
            assert report.ts_venue_ns >= leaves_ns + WIRE_NS
    for plan in of(TradePlan, written):
        order_id = f"{plan.trade_id}-l1"
        leader = sent.get(order_id)
        filled = [f for f in of(Fill, written) if f.order_id == order_id]
        if filled and leader is not None:
            assert leader.ts_ns <= intents[plan.trade_id].valid_until_ns
    assert verified(written) == 0


def test_late_orders_are_of_every_role_and_expected_by_as_much_later():
    """Half a second late is beyond the time-out of a hedge (320 ms): expected from when they left, none of them is lost sight of."""
    calm = Terms(execute=TERMS.execute, paper=PaperTerms(vanish_ppm=300_000))
    roles = Counter()
    for seed in range(3):
        written = run(world_of(seed), lambda: 0, commit_ns=VALID_NS - 50 * MS, terms=calm)
        requests = {r.order_id: r.role for r in of(OrderRequested, written)}
        roles.update(requests[r.order_id] for r in of(OrderSent, written))
        assert not any(r.withheld for r in of(OrderSent, written))
        assert [r for r in written if getattr(r, "timer", "") == "order_timeout"] == []
    assert set(roles) == {"leader", "hedge", "unwind"}, roles


def test_a_leader_whose_commit_took_too_long_never_leaves_but_hedges_do():
    written = run(world_of(4), lambda: 0, commit_ns=2 * S)
    assert of(TradePlan, written) and not of(Fill, written)
    assert {(r.state, r.reason) for r in of(TradeUpdate, written)} >= {("flat", "leader_expired")}
    assert verified(written) == 0
    rng = random.Random(1)
    written = run(world_of(4), lambda: 0 if rng.random() < 0.7 else 3 * S)
    withheld = {r.order_id for r in of(OrderSent, written) if r.withheld}
    roles = {r.order_id: r.role for r in of(OrderRequested, written)}
    assert withheld and {roles[name] for name in withheld} == {"leader"}
    assert any(r.lag_ns > S and not r.withheld for r in of(OrderSent, written))


def verified(written):
    journal = lines([r for r in written if topic_of(r) == "orders"])
    fills = lines([r for r in written if topic_of(r) == "fills"])
    return compare_executions(journal, iter(fills), CODEC).mismatches


def replayed(world, written, *, until):
    """An engine restored from the journal alone, its lane folded again up to a position."""
    state, journaled = refold([r for r in written if topic_of(r) == "orders"])
    engine = Engine([0], state)
    for position in range(until + 1):
        engine.lanes[0].replay(position, world[0][position], journaled.get(0, ()))
    assert not journaled.get(0)
    return engine


def cut_lags(seed):
    rng = random.Random(seed)
    return lambda: rng.choice((0, 0, 30 * MS, 300 * MS, 2 * S))


@pytest.mark.parametrize("cut", [150, 333, 512, 700])
def test_a_restart_from_the_journal_stands_where_the_live_engine_stood(cut):
    world = world_of(2)
    live = Engine([0])
    written = run((world[0][:cut], *world[1:]), cut_lags(1), engine=live)
    assert any(r.lag_ns for r in of(OrderSent, written))
    at = live.lanes[0].position
    live.advance()  # the last words about what left
    written += live.take_and_send()
    again = replayed(world, written, until=at)
    one, other = (Checkpoints(engine, "main", "d").image() for engine in (live, again))
    assert freeze(one) == freeze(other)
    restored = thaw(freeze(one))
    third = Engine([0], start_state(restored))
    start_lanes(third, restored)
    assert freeze(Checkpoints(third, "main", "d").image()) == freeze(one)


def test_an_order_of_a_dead_life_leaves_when_the_next_one_begins():
    """Killed between the commit of a request and its word: nobody knows whether it left, so that it leaves at the restart."""
    world = world_of(4)
    written = run(world, lambda: 0)
    first = next(n for n, r in enumerate(written) if isinstance(r, OrderRequested))
    request = written[first]
    kept = written[: first + 1]
    again = replayed(world, kept, until=request.position)
    again.resume(request.ts_ns + 200 * MS)
    again.advance(0)
    (word,) = again.take_and_send()
    assert (word.order_id, word.lag_ns, word.withheld) == (request.order_id, 200 * MS, False)
    again = replayed(world, kept, until=request.position)
    again.resume(request.ts_ns + 5 * S)
    again.advance(0)
    (word,) = again.take_and_send()
    assert word.withheld
    again = replayed(world_of(4, "recorded"), kept, until=request.position)
    again.resume(request.ts_ns + 5 * S)
    again.advance(0)
    assert again.take_and_send() == []


def test_what_the_wall_clock_wrote_is_masked():
    written = run(world_of(2), cut_lags(1))
    kept = [c for c in map(comparable, written) if c is not None]
    assert not of(OrderSent, kept) and {r.lag_ns for r in of(IntentSeen, kept)} == {0}


def test_an_order_that_nobody_requested_cannot_leave():
    engine = Engine([0])
    word = OrderSent(sequence=0, ts_ns=1, partition=0, position=0, trade_id="t", order_id="o", lag_ns=1, withheld=False)
    with pytest.raises(Exception, match="never requested"):
        step(engine.state, word)


@pytest.mark.parametrize(
    ("limit", "valid", "said"), [(500, 500, ""), (250, 500, ""), (501, 500, "above"), (0, 500, "nobody watches")]
)
def test_the_watchdogs_limit_is_held_against_the_validity_of_intents(limit, valid, said):
    given_ = Settings(execute=ExecuteSettings(lag_limit_ms=limit), decide=DecideSettings(intent_valid_ms=valid))
    text = lag_limit_problem(given_)
    assert (said in text) if said else text == ""
    assert "\n" not in text


def test_by_default_the_watchdog_fits_the_validity_of_intents():
    assert lag_limit_problem(Settings()) == ""
    assert Settings().execute.lag_limit_ms == Settings().decide.intent_valid_ms
