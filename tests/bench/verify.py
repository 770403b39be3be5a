"""Verify: decode, fold, encode and compare a whole log: held in memory, from a broker and from an archive of the same log.

The log on the broker has two partitions, and so has its archive: each is verified in one process and in two, in turns, and the better
run of each counts (beside a broker they run once). From the archive nothing but verify works; beside a broker its own work stands on the same cores.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from confluent_kafka import TopicPartition

from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import write_archive
from crossbook.log.reading import Log, LogLine
from crossbook.runtime.kafka import RecordProducer, create_topics, open_consumer
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import KafkaSettings
from deploy.lab.verify.verify import verify_log
from deploy.stack.kafka.child import KafkaServer
from processors.decide.code_digest import decision_digest
from processors.decide.partition import PartitionFold
from processors.decide.state import DecideState
from processors.verify.verify import OUTPUT_TOPICS, TopicCheck, compare
from schemas.codec import load_codec
from schemas.records import LogOpened
from tests.bench.decide import MIXES, make_stream
from tests.bench.report import Row
from tests.bench.timing import rate_of

EVENTS = {"quiet": 150_000, "mixed": 60_000, "busy": 20_000}
#: Events a partition of the log on the broker and in the archive: long enough that the start of two processes (about a second, a fifth
#: of the run at 250,000) does not rule.
BROKER_EVENTS = 500_000
PARTITIONS = 2
BROKER_ROUNDS, ARCHIVE_ROUNDS = 1, 2
GOAL_PER_S = 60_000.0
GOAL_TWO = 1.7


def run() -> list[Row]:
    """Write a log by folding it once, then time the comparison."""
    return [_verify(name) for name in EVENTS] + _of_partitions()


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


def _of_partitions() -> list[Row]:
    """One log of two partitions, on a broker and then as an archive."""
    with TemporaryDirectory() as name:
        folder, archive = Path(name), Path(name) / "archive"
        with KafkaServer(folder=folder / "kafka") as server:
            kafka = KafkaSettings(bootstrap=server.bootstrap, prefix="bench.", partitions=PARTITIONS)
            create_topics(kafka)
            for partition in range(PARTITIONS):
                _write(kafka, partition)
            log = KafkaLog(kafka)
            rows = _one_and_two("a broker", log, BROKER_ROUNDS, "the broker works on the same cores")
            write_archive(log, archive, prefix=kafka.prefix)
        return rows + _one_and_two("an archive", ArchiveLog(archive), ARCHIVE_ROUNDS, "no broker runs")


def _one_and_two(source: str, log: Log, rounds: int, beside: str) -> list[Row]:
    timed: dict[int, list[float]] = {1: [], 2: []}
    cpu: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for jobs, seconds in timed.items():
            started, cpu_started = time.perf_counter(), _cpu_s()
            result = verify_log(log, jobs=jobs)
            seconds.append(time.perf_counter() - started)
            cpu[jobs].append(_cpu_s() - cpu_started)
            assert not result.mismatches, result.first_differences
            assert result.events >= PARTITIONS * BROKER_EVENTS, f"only {result.events} events were verified"
    events = result.events
    one, two = (min(timed[jobs]) for jobs in (1, 2))
    taken = {
        jobs: " and ".join(
            f"{wall:.1f} s ({used:.1f} s of CPU)" for wall, used in zip(timed[jobs], cpu[jobs], strict=True)
        )
        for jobs in timed
    }
    return [
        Row(
            what=f"verify from {source}, quiet, {PARTITIONS} partitions, one process",
            figures={"rate": events / one},
            unit="events/s",
            goals={"rate": ("≥", GOAL_PER_S)},
            n=events,
            against="stretch 100k/s",
            note=f"{taken[1]}; {beside}",
        ),
        Row(
            what=f"verify from {source}, two processes, incl. their start",
            figures={"rate": events / two, "times": one / two},
            unit="events/s, ratio",
            goals={"times": ("≥", GOAL_TWO)},
            n=events,
            against="one process, same log",
            note=f"{taken[2]}; {beside}",
        ),
    ]


def _cpu_s() -> float:
    """CPU of this process and of those that it has waited for: beside the wall clock it says whether each had a core."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


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
