"""Two executors of two portfolios on one prefix: each acts on every intent, in its own journal, and neither's death touches the other."""

import signal
import time

import msgspec
import pytest
from confluent_kafka import TopicPartition

from crossbook.runtime.kafka import (
    Outgoing,
    RecordProducer,
    TransactionalProducer,
    committed_offsets,
    create_topics,
    open_consumer,
)
from crossbook.runtime.kafka_log import KafkaLog, read_partition
from crossbook.runtime.settings import KafkaSettings
from executors.journal import comparable, topic_of
from executors.recovery.verify import verify_executions
from executors.terms import ExecuteTerms, PaperTerms, Terms
from schemas.codec import load_codec
from schemas.records import ControlApplied, TradePlan, TradingStateChanged
from schemas.topics import PORTFOLIOS, group_of
from tests.builders.executors.worlds import T0, make_world, run_world
from tests.integration.child_stages import Stage, stopped_at_the_end

DEADLINE_S = 240
CODEC = load_codec()
EXECUTE = {"pairs_open_max": 20, "cost_per_leg_micros": 2_500_000_000}
PAPER = {"vanish_ppm": 150_000, "partial_ppm": 150_000, "reject_ppm": 50_000, "late_ppm": 100_000}
TERMS = Terms(execute=ExecuteTerms(**EXECUTE), paper=PaperTerms(**PAPER))
#: The twin's limits are its own, and come to the same.
SETTINGS = {
    "PORTFOLIOS__TWIN__PARTITION": 1,
    "PORTFOLIOS__TWIN__STRATEGIES": '["cross_venue"]',
    "PORTFOLIOS__TWIN__LIMITS": msgspec.json.encode(EXECUTE).decode(),
} | {f"PAPER__{name.upper()}": value for name, value in PAPER.items()}

stages = pytest.fixture(stopped_at_the_end)


@pytest.fixture
def kafka_of_two(kafka, monkeypatch):
    monkeypatch.setitem(PORTFOLIOS, "twin", 1)
    settings = KafkaSettings(bootstrap=kafka.bootstrap, prefix="portfolios.")
    create_topics(settings)
    return settings


def write(kafka, world, start, end):
    """Play producers and decide for a stretch of positions."""
    records, intents, marks = world
    plain = RecordProducer(kafka, CODEC, "test")
    for record in records[start:end]:
        plain.send("market", record, partition=0)
    plain.flush()
    said = [("signals", one) for one in marks if start <= one.position < end]
    said += [("intents", one) for one in intents if start <= one.position < end]
    said.sort(key=lambda row: (row[1].position, row[0]))
    decide = TransactionalProducer(kafka, "decide")
    decide.init()
    decide.commit([Outgoing(kafka.prefix + topic, 0, None, CODEC.encode(one)) for topic, one in said], [], None)


def wait(what, condition):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen in {DEADLINE_S} s"
        time.sleep(0.2)


def folded(kafka, portfolio):
    consumer = open_consumer(kafka, group_of(portfolio))
    market = TopicPartition(f"{kafka.prefix}market", 0)
    try:
        at = committed_offsets(consumer, [market])[market.topic, 0]
        return at == consumer.get_watermark_offsets(market, 5)[1]
    finally:
        consumer.close()


def read(kafka, topic, portfolio):
    return [CODEC.decode(line.value) for line in read_partition(kafka, topic, PORTFOLIOS[portfolio])]


def plain(records, portfolio):
    """Records without what the wall clock wrote, as those of the main portfolio."""
    kept = [one for one in map(comparable, records) if one is not None]
    return [msgspec.json.encode(one).decode().replace(portfolio, "main") for one in kept]


def test_two_portfolios_act_on_the_same_intents_and_one_killed_is_no_matter_to_the_other(
    kafka_of_two, stages, tmp_path
):
    kafka, world = kafka_of_two, make_world(5, 1_500)

    def start(portfolio):
        own = {f"EXECUTE__{name.upper()}": value for name, value in EXECUTE.items()} if portfolio == "main" else {}
        stages.append(Stage("execute", kafka, tmp_path, **SETTINGS, **own, EXECUTE__PORTFOLIO=portfolio))
        return stages[-1]

    main, twin = start("main"), start("twin")
    write(kafka, world, 0, 700)
    log = KafkaLog(kafka)
    wait("both journals", lambda: all(log.extent("orders", number)[1] > 20 for number in (0, 1)))
    assert twin.stop(signal.SIGKILL) == -signal.SIGKILL
    write(kafka, world, 700, len(world[0]))
    wait("all of it in the other", lambda: folded(kafka, "main"))
    twin = start("twin")
    wait("all of it in the one that was killed", lambda: folded(kafka, "twin"))
    halt = TradingStateChanged(
        ts_ns=T0, operator="me", state="halted", scope="portfolio", scope_value="twin", reason=""
    )
    control = RecordProducer(kafka, CODEC, "operator")
    control.send("control", halt, partition=0)
    control.flush()
    for portfolio in PORTFOLIOS:
        wait("the word", lambda portfolio=portfolio: isinstance(read(kafka, "orders", portfolio)[-1], ControlApplied))
    assert main.stop() == 0, main.said
    assert twin.stop() == 0, twin.said
    result = verify_executions(log)
    assert result.mismatches == 0, result.first_difference.describe()
    assert set(result.digests) == {"orders", "fills", "orders/1", "fills/1"}
    written = run_world(world, TERMS)[1]
    for topic in ("orders", "fills"):
        expected = plain([one for one in written if topic_of(one) == topic], "main")
        for portfolio in PORTFOLIOS:
            records = [one for one in read(kafka, topic, portfolio) if not isinstance(one, ControlApplied)]
            assert {one.portfolio for one in records} == {portfolio}
            assert plain(records, portfolio)[topic == "orders" :] == expected[topic == "orders" :]
    plans = [{one.trade_id for one in read(kafka, "orders", name) if isinstance(one, TradePlan)} for name in PORTFOLIOS]
    assert len(plans[0]) > 5 and not plans[0] & plans[1]
