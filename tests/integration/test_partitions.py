"""Three partitions of `market` through decide and execute on a broker, both killed on the way: one book of money, nothing lost."""

import signal
import time
from collections import Counter

import msgspec
import pytest
from confluent_kafka import TopicPartition

from crossbook.runtime.kafka import RecordProducer, committed_offsets, create_topics, offset_range, open_consumer
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import KafkaSettings
from executors.journal import trade_id_of
from executors.recovery.verify import verify_executions
from processors.verify.verify import verify_decide
from schemas.codec import load_codec
from schemas.records import IntentSeen, LogOpened, OrderRequested, TradeIntent, TradePlan, TradeUpdate
from schemas.topics import MAIN, partition_of
from tests.builders.logs.live import market
from tests.integration.child_stages import Stage, stopped_at_the_end

PARTITIONS = 3
PAIRS = 2
DEADLINE_S = 240
CODEC = load_codec()
EXECUTE = {"EXECUTE__PAIRS_OPEN_MAX": 20, "EXECUTE__COST_PER_LEG_MICROS": 2_500_000_000}

stages = pytest.fixture(stopped_at_the_end)


def markets():
    """Records by partition: pairs of its own in each."""
    found = {}
    for partition in range(PARTITIONS):
        records = market(1_200, PAIRS, seed=partition + 1, settle=False, first=PAIRS * partition)
        head = msgspec.structs.replace(records[0], partition=partition, partitions=PARTITIONS)
        assert isinstance(head, LogOpened)
        found[partition] = [head, *records[1:]]
    return found


@pytest.fixture
def kafka_settings(kafka):
    settings = KafkaSettings(bootstrap=kafka.bootstrap, prefix="partitions.", partitions=PARTITIONS)
    create_topics(settings)
    return settings


def wait(what, condition):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen in {DEADLINE_S} s"
        time.sleep(0.1)


def at_end(kafka, group):
    """Whether a group has folded every partition of `market`."""
    consumer = open_consumer(kafka, group)
    name = f"{kafka.prefix}market"
    try:
        stored = committed_offsets(consumer, [TopicPartition(name, number) for number in range(PARTITIONS)])
        return all(stored[name, number] == offset_range(consumer, name, number)[1] for number in range(PARTITIONS))
    finally:
        consumer.close()


def records_of(log, topic, partition):
    return [CODEC.decode(line.value) for line in log.read(topic, partition)]


def test_three_partitions_are_traded_by_one_executor_and_a_kill_of_both_stages_loses_nothing(kafka_settings, stages, tmp_path):  # fmt: skip
    kafka, by_partition, log = kafka_settings, markets(), KafkaLog(kafka_settings)
    producer = RecordProducer(kafka, CODEC, "test")
    journal = "orders", partition_of(MAIN)
    for cut in (slice(None, 600), slice(600, None)):
        for name, changes in (("decide", {}), ("execute", EXECUTE)):
            stages.append(Stage(name, kafka, tmp_path, **changes))
        for partition, records in by_partition.items():
            for record in records[cut]:
                producer.send("market", record, key="group", partition=partition)
        producer.flush()
        if cut.start is None:
            wait("trades in every partition", lambda: _traded(log, journal) == set(range(PARTITIONS)))
            assert [one.stop(signal.SIGKILL) for one in stages] == [-signal.SIGKILL] * 2
    wait("everything decided and executed", lambda: at_end(kafka, "decide") and at_end(kafka, "execute"))
    assert [one.stop() for one in stages[2:]] == [0, 0], [one.said for one in stages[2:]]

    decided, executed = verify_decide(log), verify_executions(log)
    assert (decided.mismatches, executed.mismatches) == (0, 0), (decided.first_difference, executed.first_difference)
    assert decided.events == sum(map(len, by_partition.values()))
    intents = {p: [r for r in records_of(log, "intents", p) if isinstance(r, TradeIntent)] for p in by_partition}
    written = records_of(log, *journal)
    seen = [r.intent for r in written if isinstance(r, IntentSeen)]
    assert Counter(one.partition for one in seen) == {p: len(given) for p, given in intents.items()}
    for partition, given in intents.items():
        assert [one for one in seen if one.partition == partition] == given, (
            "each once, in its order, as decide wrote it"
        )
        assert [one.number for one in given] == list(range(1, len(given) + 1))
    last = {r.trade_id: r for r in written if isinstance(r, TradeUpdate)}
    planned = Counter(r.partition for r in written if isinstance(r, TradePlan))
    assert set(last) == {trade_id_of(MAIN, one.intent_id) for one in seen}
    assert set(planned) == set(by_partition) and sum(planned.values()) > 20
    ends = Counter(r.state for r in last.values())
    assert set(ends) <= {"closed", "declined"}, ends
    assert ends["closed"] == sum(planned.values())
    assert all(r.residual_micros == 0 for r in last.values())
    assert all(log.extent(topic, 0)[1] > 0 for topic in ("orders", "fills", "checkpoints.execute"))


def _traded(log, journal):
    """Partitions of `market` that an order was sent for."""
    return {r.partition for r in records_of(log, *journal) if isinstance(r, OrderRequested)}
