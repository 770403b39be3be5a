"""Verify: decode, fold, encode and compare a whole log; held in memory, and from a broker in one process and in two."""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from confluent_kafka import TopicPartition

from crossbook.runtime.kafka import RecordProducer, create_topics, open_consumer
from crossbook.runtime.reading import KafkaLog, LogLine
from crossbook.runtime.settings import KafkaSettings
from deploy.local.kafka import KafkaServer
from deploy.verify import verify_log
from processors.code_digest import decision_digest
from processors.decide_partition import PartitionFold
from processors.decide_state import DecideState
from processors.verify import OUTPUT_TOPICS, TopicCheck, compare
from schemas.codec import load_codec
from schemas.records import LogOpened
from tests.bench.decide import MIXES, make_stream
from tests.bench.report import Row
from tests.bench.timing import rate_of

EVENTS = {"quiet": 200_000, "mixed": 100_000, "busy": 60_000}
#: Events a partition of the log on the broker: long enough that the start of two processes (about a second) does not rule.
BROKER_EVENTS = 250_000
PARTITIONS = 2
GOAL_PER_S = 60_000.0
GOAL_TWO = 1.7


def run() -> list[Row]:
    """Write a log by folding it once, then time the comparison."""
    return [_verify(name) for name in EVENTS] + _from_broker()


def written_by(market: list[LogLine], partition: int) -> dict[str, list[LogLine]]:
    """What decide makes of a partition."""
    codec = load_codec()
    written: dict[str, list[LogLine]] = {topic: [] for topic in OUTPUT_TOPICS}
    fold = PartitionFold(partition, codec, DecideState(decision_digest()))
    for line in market:
        for topic, key, record in fold.take(line.offset, line.value):
            written[topic].append(LogLine(line.offset, 0, None if key is None else key.encode(), codec.encode(record)))
    return written


def _market(name: str, events: int, partition: int = 0) -> list[LogLine]:
    head, stream = make_stream(MIXES[name], events)
    codec = load_codec()
    records = [
        msgspec.structs.replace(record, partition=partition, partitions=PARTITIONS)
        if isinstance(record, LogOpened)
        else record
        for record in head
    ]
    return [LogLine(offset, 0, b"group", codec.encode(record)) for offset, record in enumerate([*records, *stream])]


def _verify(name: str) -> Row:
    codec = load_codec()
    market = _market(name, EVENTS[name])
    written = written_by(market, 0)

    def lines(topic: str) -> Iterator[LogLine]:
        return iter(written[topic])

    checks = {topic: TopicCheck(topic, 0, lines(topic), codec) for topic in OUTPUT_TOPICS}
    again = PartitionFold(0, codec, DecideState(decision_digest()))
    cpu = time.process_time()
    rate, events_done = rate_of(lambda: compare(again, iter(market), checks, codec))
    cpu = time.process_time() - cpu
    mismatches = sum(check.mismatches for check in checks.values())
    assert not mismatches, f"{mismatches} mismatches in a log that this very code wrote"
    outputs = sum(map(len, written.values()))
    share = 100 * outputs / events_done
    return Row(
        what=f"verify in memory, {name}: {share:.1f} outputs per 100 events",
        figures={"rate": rate},
        unit="events/s",
        goals={"rate": ("≥", GOAL_PER_S)} if name == "quiet" else {},
        n=events_done,
        against="FIELD: decode and frozen objects and a dict book 78k/s; stretch 100k/s",
        note=f"{events_done / cpu:,.0f} a second of processor time",
    )


def _from_broker() -> list[Row]:
    """One log of two partitions on a broker, verified by one process and by two."""
    with TemporaryDirectory() as folder, KafkaServer(folder=Path(folder)) as server:
        kafka = KafkaSettings(bootstrap=server.bootstrap, prefix="bench.", partitions=PARTITIONS)
        create_topics(kafka)
        for partition in range(PARTITIONS):
            _write(kafka, partition)
        log = KafkaLog(kafka)
        timed: dict[int, float] = {}
        for jobs in (1, 2):
            started = time.perf_counter()
            result = verify_log(log, jobs=jobs)
            timed[jobs] = time.perf_counter() - started
            assert not result.mismatches, result.first_differences
    events = result.events
    return [
        Row(
            what=f"verify from a broker, quiet, {PARTITIONS} partitions, one process",
            figures={"rate": events / timed[1]},
            unit="events/s",
            goals={"rate": ("≥", GOAL_PER_S)},
            n=events,
            against="stretch 100k/s",
        ),
        Row(
            what=f"the same, two processes, incl. their start; {timed[1] / timed[2]:.2f} × one",
            figures={"rate": events / timed[2], "times": timed[1] / timed[2]},
            unit="events/s, ratio",
            goals={"times": ("≥", GOAL_TWO)},
            n=events,
            note="the broker works on the same cores",
        ),
    ]


def _write(kafka: KafkaSettings, partition: int) -> None:
    """Write a partition of `market`, its outputs, and decide's offset."""
    market = _market("quiet", BROKER_EVENTS, partition)
    producer = RecordProducer(kafka, load_codec(), "bench", linger_ms=20)
    for topic, lines in {"market": market, **written_by(market, partition)}.items():
        for number, line in enumerate(lines):
            key = None if line.key is None else line.key.decode()
            producer.send_bytes(topic, line.value, key=key, partition=partition)
            if number % 20_000 == 0:
                producer.flush(60)
    producer.flush(60)
    consumer = open_consumer(kafka, "decide")
    place = TopicPartition(f"{kafka.prefix}market", partition, len(market))
    consumer.commit(offsets=[place], asynchronous=False)
    consumer.close()
