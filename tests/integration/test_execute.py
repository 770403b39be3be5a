"""The stage execute on a real broker: killed, restarted, fenced, halted; its journal is what the pure engine writes."""

import json
import signal
import time
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from confluent_kafka import TopicPartition

from crossbook.runtime.kafka import (
    Outgoing,
    RecordProducer,
    TransactionalProducer,
    admin_client,
    committed_offsets,
    create_topics,
    open_consumer,
)
from crossbook.runtime.kafka_log import KafkaLog, read_partition
from crossbook.runtime.settings import KafkaSettings
from executors.engine import refold
from executors.journal import comparable, topic_of
from executors.recovery.code_digest import execution_digest
from executors.recovery.verify import verify_executions
from executors.terms import ExecuteTerms, PaperTerms, Terms
from schemas.codec import load_codec
from schemas.records import (
    ControlApplied,
    DeadLetter,
    ExecutorConfigured,
    HaltedByFile,
    IntentSeen,
    LagWatched,
    LatencyObserved,
    LeadLag,
    TradePlan,
    TradeUpdate,
    TradingStateChanged,
)
from tests.builders.executors.worlds import KA, PM, T0, make_world, opened, run_world
from tests.builders.older import older_code
from tests.integration.child_stages import Stage, stopped_at_the_end

DEADLINE_S = 240
END = 1_000_000  # beyond every world
EXECUTE = {"pairs_open_max": 20, "cost_per_leg_micros": 2_500_000_000}
PAPER = {"vanish_ppm": 150_000, "partial_ppm": 150_000, "reject_ppm": 50_000, "late_ppm": 100_000}
TERMS = Terms(execute=ExecuteTerms(**EXECUTE), paper=PaperTerms(**PAPER))


SETTINGS = {f"EXECUTE__{k.upper()}": v for k, v in EXECUTE.items()} | {
    f"PAPER__{k.upper()}": v for k, v in PAPER.items()
}

stages = pytest.fixture(stopped_at_the_end)


def execute(kafka, folder, **changes):
    """The stage with the settings of this module, and changes of them."""
    return Stage("execute", kafka, folder, **(SETTINGS | changes))


@pytest.fixture
def log(kafka, request):
    name = request.node.name.replace("test_", "").replace("_", "-")[:30]
    settings = KafkaSettings(bootstrap=kafka.bootstrap, prefix=f"ex-{name}.")
    create_topics(settings)
    return Log(settings)


class Log:
    """Plays producers and decide: writes a world in pieces."""

    def __init__(self, kafka):
        self.kafka = kafka
        self.codec = load_codec()
        self.plain = RecordProducer(kafka, self.codec, "test")
        self.decide = TransactionalProducer(kafka, "decide")
        self.decide.init()

    def write(self, world, start, end):
        records, intents, marks = world
        for record in records[start:end]:
            self.plain.send("market", record, partition=0)
        self.plain.flush()
        outputs = sorted(
            [(m.position, 1, m) for m in marks if start <= m.position < end]
            + [(i.position, 0, i) for i in intents if start <= i.position < end],
            key=lambda row: row[:2],
        )
        for chunk in range(0, len(outputs), 7):
            self.decide.commit(
                [
                    Outgoing(self.kafka.prefix + ("signals" if kind else "intents"), 0, None, self.codec.encode(record))
                    for _, kind, record in outputs[chunk : chunk + 7]
                ],
                [],
                None,
            )

    def read(self, topic):
        return [self.codec.decode(line.value) for line in read_partition(self.kafka, topic, 0)]

    def end(self, topic):
        """Last stable offset of a topic."""
        return KafkaLog(self.kafka).extent(topic, 0)[1]

    def grown(self, topic, offset):
        """How many records were committed from an offset on: a wait asks often, and what a killed executor left is none."""
        return sum(1 for _ in read_partition(self.kafka, topic, 0, start=offset))

    def lag(self):
        """(committed, end) of `market` for the group execute."""
        consumer = open_consumer(self.kafka, "execute")
        name = self.kafka.prefix + "market"
        try:
            at = committed_offsets(consumer, [TopicPartition(name, 0)])[name, 0]
            return at, consumer.get_watermark_offsets(TopicPartition(name, 0), 5)[1]
        finally:
            consumer.close()

    def wait(self, what, condition):
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"{what} did not happen in {DEADLINE_S} s"
            time.sleep(0.1)

    def wait_folded(self):
        self.wait("everything folded", lambda: (lambda at, end: at == end)(*self.lag()))


def plain(records):
    return [c for c in map(comparable, records) if c is not None]


def test_killed_again_and_again_it_writes_what_the_pure_engine_writes(log, stages, tmp_path):
    world = make_world(5, 1_500)
    cuts = [0, 400, 800, 1_100, END]
    for number, (start, end) in enumerate(pairwise(cuts)):
        before = log.end("orders")
        stages.append(execute(log.kafka, tmp_path))
        log.write(world, start, end)
        if end < END:
            log.wait("journal", lambda before=before: log.grown("orders", before) > 10)
            assert stages[-1].stop(signal.SIGKILL) == -signal.SIGKILL, number
    log.wait_folded()
    assert stages[-1].stop() == 0, stages[-1].said
    result = verify_executions(KafkaLog(log.kafka))
    assert result.mismatches == 0, result.first_difference.describe()
    written = run_world(world, TERMS)[1]
    for topic in ("orders", "fills"):
        expected = [r for r in written if topic_of(r) == topic]
        found = log.read(topic)
        assert plain(found)[1:] == plain(expected)[1:] if topic == "orders" else plain(found) == plain(expected)
    assert result.executions > 100
    assert [r.sequence for r in log.read("orders")] == list(range(len(log.read("orders"))))
    kinds = {r.kind for r in log.read("orders") if isinstance(r, LatencyObserved)}
    assert kinds == {"tick_to_plan", "hedge"}


def test_a_rolling_upgrade_takes_over_open_trades_and_the_journal_goes_on(log, stages, tmp_path):
    (tmp_path / "older").mkdir()
    old = older_code(tmp_path / "older", "execute")
    assert old != execution_digest()
    world = make_world(6, 1_000)
    written = run_world(world, TERMS)[1]
    plans = [one for one in written if isinstance(one, TradePlan)]
    open_trade = plans[len(plans) // 2]
    cut = open_trade.position + 1  # the market ends at its cause: what it sent is not answered
    stages.append(execute(log.kafka, tmp_path, code=tmp_path / "older"))
    log.write(world, 0, cut)
    log.wait("its plan", lambda: any(getattr(one, "trade_id", "") == open_trade.trade_id for one in log.read("orders")))
    assert stages[-1].stop(signal.SIGKILL) == -signal.SIGKILL
    state, _ = refold(log.read("orders"))
    assert open_trade.trade_id in state.working[0], "nothing is open: the upgrade proves nothing"
    stages.append(execute(log.kafka, tmp_path))
    log.write(world, cut, END)
    log.wait_folded()
    assert stages[-1].stop() == 0, stages[-1].said
    journal = log.read("orders")
    assert [one.code_digest for one in journal if isinstance(one, ExecutorConfigured)] == [old, execution_digest()]
    result = verify_executions(KafkaLog(log.kafka))
    assert result.mismatches == 0, result.first_difference.describe()
    for topic in ("orders", "fills"):
        expected, found = ([r for r in one if topic_of(r) == topic] for one in (written, log.read(topic)))
        assert plain(unconfigured(found)) == plain(unconfigured(expected))


def unconfigured(records):
    return [one for one in records if not isinstance(one, ExecutorConfigured)]


def said(stage, event):
    """What a stage logged under a name."""
    lines = [json.loads(line) for line in stage.said.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def forge(log):
    """Write checkpoints that must not be used behind the newest: of other code, of another portfolio, on another journal."""
    newest = [
        one for one in log.read("checkpoints.execute") if one.position == log.read("checkpoints.execute")[-1].position
    ][-1]
    assert newest.chunks == 1
    image = msgspec.json.decode(newest.payload)
    for changes in (
        {"code_digest": "e" * 64},
        {"format_version": 99},
        {"payload": msgspec.json.encode(image | {"portfolio": "other"})},
        {"payload": msgspec.json.encode(image | {"anchor": "f" * 64})},
        {"payload": newest.payload[:-9]},
    ):
        log.plain.send("checkpoints.execute", msgspec.structs.replace(newest, **changes), key="main", partition=0)
    log.plain.flush()


def test_from_checkpoints_it_writes_what_the_pure_engine_writes(log, stages, tmp_path):
    world = make_world(5, 1_500)
    advice = LeadLag(
        lead_lag_id="said", ts_ns=T0, log_id="", partition=0, group="g", instrument_a=KA, instrument_b=PM,
        ts_window_start_ns=0, ts_window_end_ns=T0, bar_ns=1, bars=1, votes=3, leader=KA,
    )  # fmt: skip
    log.plain.send("leadlag", advice, key="g", partition=0)
    log.plain.flush()
    cuts = [0, 350, 600, 850, 1_150, END]
    for number, (start, end) in enumerate(pairwise(cuts)):
        before = log.end("orders")
        if number == 2:
            forge(log)
        if number == 4:
            admin = admin_client(log.kafka)
            gone = [log.kafka.prefix + topic for topic in ("checkpoints.execute", "leadlag")]
            for future in admin.delete_topics(gone).values():
                future.result(10)
            advised = [r for r in log.read("orders") if isinstance(r, IntentSeen)]
        stages.append(execute(log.kafka, tmp_path, EXECUTE__CHECKPOINT_EVENTS=100))
        log.write(world, start, end)
        if end < END:
            log.wait("journal", lambda before=before: log.grown("orders", before) > 10)
            if number < 4:
                log.wait("a checkpoint", lambda: log.grown("checkpoints.execute", 0))
            stages[-1].stop(signal.SIGKILL)
    log.wait_folded()
    assert stages[-1].stop() == 0, stages[-1].said
    result = verify_executions(KafkaLog(log.kafka))
    assert result.mismatches == 0, result.first_difference.describe()
    written = run_world(world, TERMS)[1]
    journal = log.read("orders")
    assert plain(journal)[1:] == plain([r for r in written if topic_of(r) == "orders"])[1:]
    assert plain(log.read("fills")) == plain([r for r in written if topic_of(r) == "fills"])
    assert [r.sequence for r in journal] == list(range(len(journal)))
    restored = [line["checkpoint"] for stage in stages for line in said(stage, "execute.restored")]
    assert restored[0] is None and restored[4] is None, "nothing to go on from, or its topic is gone"
    assert all(restored[1:4]) and restored[1:4] == sorted(restored[1:4])
    reasons = " ".join(line["reason"] for line in said(stages[2], "execute.checkpoint_ignored"))
    for expected in ("by code eeee", "format is 99", "portfolio 'other'", "is another one than", "cannot be read"):
        assert expected in reasons
    seen = [(r.leader_advised, r.advice_id) for r in journal if isinstance(r, IntentSeen)]
    assert set(seen[len(advised) // 2 : len(advised)]) == {(KA, "said")}
    assert set(seen[len(advised) :]) == {(None, None)}


def test_a_second_executor_fences_the_first(log, stages, tmp_path):
    world = make_world(6, 600)
    stages.append(execute(log.kafka, tmp_path))
    log.write(world, 0, 300)
    log.wait("journal", lambda: len(log.read("orders")) > 10)
    stages.append(execute(log.kafka, tmp_path))
    log.wait("the second one", lambda: "execute.started" in Path(stages[1].log.name).read_text())
    log.write(world, 300, END)  # an idle executor has nothing to commit and would not learn that it is fenced
    log.wait("the first one to stop", lambda: stages[0].process.poll() is not None)
    log.wait_folded()
    assert stages[0].process.returncode == 1
    assert stages[1].stop() == 0
    assert verify_executions(KafkaLog(log.kafka)).mismatches == 0


def test_halt_kill_and_garbage(log, stages, tmp_path):
    world = make_world(7, 600)
    log.plain.send_bytes("intents", b"\x00garbage", partition=0)
    log.plain.send_bytes("control", b"no avro at all", partition=0)
    log.plain.send_bytes("signals", b"", partition=0)
    log.plain.flush()
    stages.append(execute(log.kafka, tmp_path))
    log.write(world, 0, 301)  # ends with a watermark
    log.wait_folded()
    halt = TradingStateChanged(ts_ns=T0, operator="me", state="halted", scope="all", scope_value="", reason="test")
    log.plain.send("control", halt, partition=0)
    log.plain.flush()
    log.wait("the acknowledgement", lambda: any(isinstance(r, ControlApplied) for r in log.read("orders")))
    log.write(world, 301, 441)
    log.wait_folded()
    (tmp_path / "KILL").touch()
    log.wait("the kill", lambda: any(isinstance(r, HaltedByFile) for r in log.read("orders")))
    log.write(world, 441, END)
    log.wait_folded()
    assert stages[-1].stop() == 0
    journal = log.read("orders")
    at = next(i for i, r in enumerate(journal) if isinstance(r, ControlApplied))
    reasons = {r.reason for r in journal[at:] if isinstance(r, TradeUpdate) and r.state == "declined"}
    assert reasons == {"halted"}
    assert not any(type(r).__name__ == "OrderRequested" for r in journal[at:])
    letters = log.read("deadletter")
    assert len(letters) == 3 and all(isinstance(one, DeadLetter) and one.stage == "execute" for one in letters)
    assert verify_executions(KafkaLog(log.kafka)).mismatches == 0


LONG_NS = 600 * 10**9


def lived_now(world):
    """The world as if it were received from now on; its intents stay good however slow the machine is."""
    shift = time.time_ns() - T0

    def moved(record, *names):
        return msgspec.structs.replace(record, **{name: getattr(record, name) + shift for name in names})

    records, intents, marks = world
    records = [opened(clock="wall"), *records[1:]]
    return (
        [moved(one, "ts_received_ns") for one in records],
        [
            msgspec.structs.replace(
                moved(one, "ts_ns", "ts_received_ns"), valid_until_ns=one.valid_until_ns + shift + LONG_NS
            )
            for one in intents
        ],
        [moved(one, "ts_ns") for one in marks],
    )


def test_the_watchdog_lets_no_trade_open_on_a_market_that_is_too_old(log, stages, tmp_path):
    world = lived_now(make_world(7, 600))
    log.write(world, 0, 301)  # ends with a watermark
    time.sleep(2.0)
    stages.append(execute(log.kafka, tmp_path, EXECUTE__LAG_LIMIT_MS=2_000))
    log.wait_folded()
    log.write(world, 301, END)
    log.wait_folded()
    assert stages[-1].stop() == 0
    journal = log.read("orders")
    watched = {n: r.lagging for n, r in enumerate(journal) if isinstance(r, LagWatched)}
    assert list(watched.values()) == [True, False]
    back = max(watched)
    assert "lagging" in {r.reason for r in journal[:back] if isinstance(r, TradeUpdate)}
    assert not any(isinstance(r, TradePlan) for r in journal[:back])
    assert any(isinstance(r, TradePlan) for r in journal[back:])
    assert [line["event"] for line in said(stages[-1], "execute.lagging") + said(stages[-1], "execute.caught_up")]
    assert verify_executions(KafkaLog(log.kafka)).mismatches == 0


def test_market_is_not_folded_past_the_proof(log, stages, tmp_path):
    records, intents, marks = make_world(8, 400)
    log.write((records, intents, [m for m in marks if m.position <= 200]), 0, END)
    stages.append(execute(log.kafka, tmp_path))
    proved = max([m.position for m in marks if m.position <= 200] + [i.position for i in intents])
    log.wait("the proof's end", lambda: log.lag()[0] == proved + 1)
    time.sleep(1.5)
    assert log.lag()[0] == proved + 1
    assert stages[-1].stop() == 0
