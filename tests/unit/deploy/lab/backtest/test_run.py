"""A backtest in logged positions is the live run: intents, journal and fills byte for byte, whatever the live batches were."""

from collections import Counter
from functools import cache

import msgspec
import pytest

from crossbook.log.reading import LogLine
from deploy.lab.backtest.errors import BacktestError, ChangeError, LookAheadError
from deploy.lab.backtest.options import BacktestOptions, Range
from deploy.lab.backtest.run import run_backtest
from deploy.lab.compare.bytes import compare_executions
from deploy.lab.log_range import parse_bound
from executors.journal import comparable, topic_of
from schemas.records import (
    ControlApplied,
    EdgeUpdate,
    ExecutorConfigured,
    Fill,
    IntentSeen,
    LogOpened,
    OrderRequested,
    OrderSent,
    TradeUpdate,
)
from tests.builders.executors.backtests import WIDE
from tests.builders.logs.live import (
    CALM,
    CODEC,
    ROUGH,
    T0,
    decided,
    executed,
    executed_all,
    lines,
    live_log,
    market,
    market_log,
)
from tests.builders.logs.memory import MemoryLog
from tests.contract.record_strategies import sample

RECORDS = market()
STEPS = decided(RECORDS)


@cache
def _live(terms, batch):
    return live_log(RECORDS, terms, steps=STEPS, batch=batch)


def live(terms=CALM, batch=50):
    """The log of a live run over the market, to be changed at will."""
    return _live(terms, batch).copy()


@cache
def plain():
    """The backtest of the calm run, with nothing changed."""
    return run_backtest(_live(CALM, 50), BacktestOptions())


def differences(outcome):
    return {c.topic: (c.different, c.missing, c.extra) for c in outcome.comparisons}


def timeless(outcome):
    return msgspec.structs.replace(outcome, elapsed_s=0.0, rss_mb=0.0, source="")


@pytest.mark.parametrize("batch", [1, 7, 500])
@pytest.mark.parametrize("terms", [CALM, ROUGH], ids=["calm", "rough"])
def test_logged_positions_give_the_live_bytes(terms, batch):
    outcome = run_backtest(live(terms, batch), BacktestOptions())
    assert differences(outcome) == dict.fromkeys(("intents", "orders", "fills"), (0, 0, 0))
    assert {c.topic: c.equal for c in outcome.comparisons}["orders"] == len(outcome.journal)
    assert sum(isinstance(r, Fill) for r in outcome.fills) > 60
    assert outcome.warnings == ()


def test_the_journal_is_that_of_the_live_engine_record_by_record():
    written = executed(STEPS, ROUGH)
    outcome = run_backtest(live(ROUGH), BacktestOptions())
    assert list(map(comparable, outcome.journal)) == [comparable(r) for r in written if topic_of(r) == "orders"]
    assert list(outcome.fills) == [r for r in written if topic_of(r) == "fills"]
    assert {"hedged", "closed", "flat", "unwinding", "declined"} <= {
        r.state for r in outcome.journal if isinstance(r, TradeUpdate)
    }


def test_halts_take_effect_where_they_did_even_in_the_middle_of_trades():
    halts = [(at, state) for at in range(400, 4_000, 700) for state in ("halted",)]
    halts = sorted(halts + [(at + 260, "running") for at, _ in halts])
    outcome = run_backtest(live_log(RECORDS, ROUGH, steps=STEPS, batch=33, halts=halts), BacktestOptions())
    assert sum(isinstance(r, ControlApplied) for r in outcome.journal) >= len(halts)
    assert differences(outcome) == dict.fromkeys(("intents", "orders", "fills"), (0, 0, 0))


def test_several_partitions_take_the_turns_that_the_journal_has():
    halves = {}
    for partition in (0, 1):
        records = market(2_500, 3, seed=partition + 1)
        head = msgspec.structs.replace(records[0], partition=partition, partitions=2)
        assert isinstance(head, LogOpened)
        halves[partition] = [head, *records[1:]]
    steps = {partition: decided(records) for partition, records in halves.items()}
    written = executed_all(steps, ROUGH, lambda partition: 170 - 60 * partition, [(900, "halted"), (1_300, "running")])
    topics = {("market", p): lines(records) for p, records in halves.items()}
    for p, given in steps.items():
        topics["intents", p] = lines([o.record for _, _, out in given for o in out if o.topic == "intents"])
    topics["orders", 0] = lines([r for r in written if topic_of(r) == "orders"])
    topics["fills", 0] = lines([r for r in written if topic_of(r) == "fills"])
    ends = {p: len(records) for p, records in halves.items()}
    outcome = run_backtest(MemoryLog(topics, partitions=2, decided=ends), BacktestOptions())
    assert differences(outcome) == dict.fromkeys(("intents", "orders", "fills"), (0, 0, 0))
    assert len({r.partition for r in outcome.journal if isinstance(r, OrderRequested)}) == 2


def test_advice_is_that_of_the_journal():
    pairs = {r.pair_id: r for r in RECORDS if type(r).__name__ == "PairListed"}
    advice = [
        msgspec.structs.replace(
            sample("LeadLag"), ts_ns=T0, ts_window_end_ns=T0, instrument_a=one.instrument_a, instrument_b=one.instrument_b,
            leader=one.instrument_b, lead_lag_id=f"said-{name}",
        )
        for name, one in pairs.items()
    ]  # fmt: skip
    outcome = run_backtest(live_log(RECORDS, CALM, steps=STEPS, advice=advice), BacktestOptions())
    assert differences(outcome) == dict.fromkeys(("intents", "orders", "fills"), (0, 0, 0))
    assert all(r.advice_id.startswith("said-") for r in outcome.journal if isinstance(r, IntentSeen))


def late_now_and_then(now_ns):
    return (0, 30, 200, 700, 3_000)[now_ns // 100_000_000 % 5] * 1_000_000


def wall_market():
    return [msgspec.structs.replace(RECORDS[0], clock="wall"), *RECORDS[1:]]


@pytest.mark.parametrize("batch", [1, 7, 500])
def test_a_live_run_that_was_late_is_late_here_too_by_its_journal(batch):
    log = live_log(wall_market(), ROUGH, batch=batch, lag_of=late_now_and_then)
    outcome = run_backtest(log, BacktestOptions())
    assert differences(outcome) == dict.fromkeys(("intents", "orders", "fills"), (0, 0, 0))
    declined = Counter(r.reason for r in outcome.journal if isinstance(r, TradeUpdate) and r.state == "declined")
    assert declined["late"] > 3 and sum(isinstance(r, OrderSent) for r in outcome.journal) > 10
    assert any(isinstance(r, Fill) for r in outcome.fills)
    (text,) = outcome.warnings
    assert "the live executor was late for" in text and "so it is here" in text


def test_a_changed_backtest_is_never_late_and_sets_apart_where_the_live_run_was():
    log = live_log(wall_market(), CALM, lag_of=late_now_and_then)
    outcome = run_backtest(log, BacktestOptions(changes={"execute.hedge_timeout_ms": 251}))
    assert not any(isinstance(r, OrderSent) or getattr(r, "reason", "") == "late" for r in outcome.journal)
    found = {c.topic: c for c in outcome.comparisons}
    assert found["orders"].late > 3 and found["fills"].late > 0
    (line,) = [text for text in outcome.warnings if "late" in text]
    assert "set apart" in line
    before = compare_executions("orders", list(log_records(log, "orders")), list(outcome.journal))
    apart = lambda one: one.different + one.missing + one.extra  # noqa: E731
    assert apart(found["orders"]) < apart(before), "without that they would be taken for mismatches"


def log_records(log, topic):
    return (CODEC.decode(line.value) for line in log.read(topic, 0))


def test_what_decide_had_not_done_yet_is_not_held_against_anybody():
    log = live_log(RECORDS[:2_000])
    for record in RECORDS[2_000:2_400]:
        log.append("market", 0, record)
    log.decided = {0: 2_000}
    outcome = run_backtest(log, BacktestOptions())
    found = {c.topic: c for c in outcome.comparisons}
    assert found["intents"].extra == 0 < found["intents"].equal < len(outcome.intents)
    assert (found["orders"].different, found["orders"].missing) == (0, 0)


def test_a_changed_byte_in_a_live_topic_is_found_and_named():
    log = live()
    line = log.lines["intents", 0][3]
    intent = CODEC.decode(line.value)
    log.lines["intents", 0][3] = line._replace(
        value=CODEC.encode(msgspec.structs.replace(intent, net_micros=intent.net_micros + 1))
    )
    del log.lines["fills", 0][-1]
    found = {c.topic: c for c in run_backtest(log, BacktestOptions()).comparisons}
    assert found["intents"].different == 1 and "net_micros" in found["intents"].first_difference
    assert (found["fills"].different, found["fills"].extra) == (0, 1)


def test_without_a_live_run_the_settings_are_those_given_and_nothing_is_compared():
    outcome = run_backtest(market_log(RECORDS), BacktestOptions(execute=WIDE))
    assert outcome.comparisons == ()
    assert sum(isinstance(r, ExecutorConfigured) for r in outcome.journal) == 1
    assert outcome.settings["execute.pairs_open_max"] == 100
    assert list(outcome.fills) == [r for r in executed(STEPS) if topic_of(r) == "fills"]


def test_a_log_that_gives_records_gives_the_same_as_one_that_gives_bytes():
    class Fast(MemoryLog):
        def records(self, topic, partition, start=None, end=None):
            for line in self.read(topic, partition, start=start, end=end):
                yield line.offset, CODEC.decode(line.value)

    log = live()
    fast = Fast(log.lines, decided=log.decided)
    assert timeless(run_backtest(fast, BacktestOptions())) == timeless(plain())


def test_changed_settings_are_in_force_and_said():
    log = live()
    changes = {"decide.cooldown_ms": 60_000, "execute.cost_per_leg_micros": 2_000_000}
    outcome = run_backtest(log, BacktestOptions(changes=changes))
    assert outcome.settings["decide.cooldown_ms"] == 60_000
    assert outcome.settings["execute.cost_per_leg_micros"] == 2_000_000
    assert outcome.changed == changes
    assert 0 < len(outcome.intents) < len(plain().intents)
    assert any("decide.cooldown_ms" in warning for warning in outcome.warnings)
    assert {c.topic: c.missing > 0 for c in outcome.comparisons}["intents"]


def test_a_seed_changes_faults_and_nothing_of_decide():
    log = live(ROUGH)
    plain, other = (run_backtest(log, BacktestOptions(seed=seed)) for seed in (None, 12345))
    assert plain.intents == other.intents and plain.fills != other.fills
    assert (plain.seed, other.seed) == (7, 12345)


def test_a_range_trades_within_it_and_decides_from_the_beginning():
    log = live()
    whole = plain()
    span = Range(begin=parse_bound("@1500"), end=parse_bound("@3000"))
    part = run_backtest(log, BacktestOptions(range=span))
    assert part.intents == tuple(i for i in whole.intents if 1_500 <= i.position < 3_000)
    assert part.quotes == tuple(q for q in whole.quotes if 1_500 <= q.position < 3_000)
    assert part.events == 1_500
    assert {c.topic: (c.different, c.missing, c.extra) for c in part.comparisons}["intents"] == (0, 0, 0)
    assert any("flat" in warning for warning in part.warnings)
    begin_ns = next(q.ts_ns for q in whole.quotes if q.position >= 1_500)
    by_time = run_backtest(log, BacktestOptions(range=Range(begin=parse_bound(str(begin_ns)))))
    assert by_time.quotes == tuple(q for q in whole.quotes if q.ts_ns >= begin_ns)


def test_settlements_listings_and_counters_are_kept():
    outcome = plain()
    assert len(outcome.settled) == 2 and all(payout == 1_000_000 for payout, _ in outcome.settled.values())
    assert len(outcome.instruments) == 8 and len(outcome.pairs) == 4
    counted = Counter(q.state for q in outcome.quotes)
    assert counted["opened"] and all(isinstance(q, EdgeUpdate) for q in outcome.quotes)
    assert len({(s.pair_id, s.package) for s in outcome.statistics}) == len(outcome.statistics)
    assert T0 <= outcome.ts_first_ns < outcome.ts_last_ns


def test_garbage_in_the_market_is_an_event_that_changes_nothing():
    records = [*RECORDS]
    log = market_log(records)
    junk = next(n for n, r in enumerate(records) if n > 100 and type(r).__name__ == "FeedStatus")
    log.lines["market", 0][junk] = LogLine(junk, 0, None, b"junk")
    assert run_backtest(log, BacktestOptions(execute=WIDE)).events == len(records)


def test_what_cannot_be_run_is_refused_by_name():
    with pytest.raises(BacktestError, match="LogOpened"):
        run_backtest(MemoryLog({}), BacktestOptions())
    with pytest.raises(ChangeError, match="order_latency"):
        run_backtest(market_log(RECORDS[:50]), BacktestOptions(changes={"backtest.order_latency": "fast"}))


def test_other_code_is_said_and_run_under():
    records = [
        msgspec.structs.replace(r, code_digest="e" * 64)
        if type(r).__name__ in {"MarketConfigured", "StrategyConfigured"}
        else r
        for r in RECORDS
    ]
    outcome = run_backtest(market_log(records), BacktestOptions(execute=WIDE))
    assert any("eeeeeeeeeeee" in warning for warning in outcome.warnings)
    assert outcome.fills


# Models


@pytest.mark.parametrize("model", ["lognormal:40/300", "lognormal:120"])
def test_drawn_latencies_change_trades_and_are_equal_each_time(model):
    log = market_log(RECORDS)
    options = BacktestOptions(execute=WIDE, changes={"backtest.order_latency": model})
    one, two = run_backtest(log, options), run_backtest(log, options)
    assert timeless(one) == timeless(two)
    assert one.fills != run_backtest(log, BacktestOptions(execute=WIDE)).fills
    assert next(m for m in one.models if m.name == "order_latency").value.startswith(model)


def test_a_taker_delay_delays():
    outcome = run_backtest(
        market_log(RECORDS), BacktestOptions(execute=WIDE, changes={"backtest.taker_delay_ms": 1_000})
    )
    assert {i.legs[0].taker_delay_ms for i in outcome.intents} == {1_000}
    assert {r.reason for r in outcome.journal if isinstance(r, TradeUpdate)} == {"two_delayed_legs"}


def test_simulated_positions_are_reported_as_differences():
    log = live()
    changes = {"backtest.feed_latency": "lognormal:polymarket=60/200,kalshi=5/20"}
    outcome = run_backtest(log, BacktestOptions(positions="simulated", changes=changes))
    found = {c.topic: c for c in outcome.comparisons}
    assert set(found) == {"intents"} and found["intents"].equal + found["intents"].different > 0
    assert outcome.intents[0].log_id != outcome.log_id
    assert timeless(outcome) == timeless(run_backtest(log, BacktestOptions(positions="simulated", changes=changes)))
    none = run_backtest(log, BacktestOptions(positions="simulated"))
    assert [i.position for i in none.intents] == [i.position for i in plain().intents], "no latency, no difference"


def test_a_look_ahead_stops_the_run_or_is_counted():
    at = next(n for n, r in enumerate(RECORDS) if n > 2_000 and type(r).__name__ == "BookDelta")
    future = msgspec.structs.replace(RECORDS[at], ts_received_ns=RECORDS[at].ts_received_ns + 60 * 10**9)
    log = market_log([*RECORDS[:at], future, *RECORDS[at + 1 :]])
    with pytest.raises(LookAheadError, match=f"position {at} "):
        run_backtest(log, BacktestOptions(execute=WIDE))
    outcome = run_backtest(log, BacktestOptions(execute=WIDE, guards="warn"))
    assert any(f"position {at} " in warning for warning in outcome.warnings)
