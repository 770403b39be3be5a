"""The stage `project`: reads every topic that people ask about, and writes what it says to a sink.

Decides when a batch is written and where reading resumes. Order of one batch: dead letters, tables with positions, group offsets; so a
kill anywhere delivers records twice and never not at all, and twice counts once. It must never stop for the store: it waits, the log
keeps everything, and trading does not notice. Group offsets are for the tools that show lag; it resumes from the sink's own.
"""

import signal
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition

from crossbook.domain.dead_letters import dead_letter
from crossbook.log.errors import LogError
from crossbook.log.head import head_dropped, known_market, log_opened
from crossbook.runtime.clock import now_ns
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import RecordProducer, offset_range, open_consumer, poll_batch, wait_for_broker
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import KafkaSettings, Settings
from projections.activity import block_start
from projections.batch import Batch, Unusable
from projections.errors import SinkAwayError
from projections.port import Position, Rows, Sink
from projections.rows import TABLE_COLUMNS, Coordinates, to_row
from schemas.codec import Codec, load_codec
from schemas.errors import SchemaError
from schemas.records import LogOpened
from schemas.topics import TOPICS, read_by

GROUP = "project"
#: Few, large fetches: with small ones its flushes were half of the slow events of the money path (FIELD.md, prototype).
FETCH_MIN_BYTES = 2_000_000
FETCH_WAIT_MS = 400
POLL_S = 0.1
#: Unusable records of one batch: their dead letters, 64 KiB each, must fit the producer's buffer and memory.
UNUSABLE_MAX = 500
BACKOFF_FIRST_S = 0.1
BACKOFF_MAX_S = 5.0
#: `market` opens with LogOpened; this many records without one mean that it is no log of ours.
HEAD_RECORDS = 1_000
#: A rebuild is caught up when the broker has had nothing more for this long; several fetch waits.
QUIET_S = 2.5

Result = TypeVar("Result")
Progress = Callable[[int, int], None]


class _Opened(NamedTuple):
    """The log, its row, and whether that is LogOpened's own or what is known of it since the head of `market` was dropped."""

    log_id: str
    row: tuple[Any, ...]
    original: bool = True


class Projector:
    """One run of the projection over an opened log."""

    def __init__(self, settings: Settings, sink: Sink, stop: threading.Event) -> None:
        self._kafka = settings.kafka
        self._batch_records = settings.project.batch_records
        self._interval_s = settings.project.interval_ms / 1000
        self._sink = sink
        self._stop = stop
        self._log = structlog.get_logger().bind(stage="project")
        self._codec = load_codec()
        self._names = {TOPICS[topic].full_name(settings.kafka.prefix): topic for topic in read_by(GROUP)}
        self._letters = RecordProducer(settings.kafka, self._codec, "project")
        self._resumed: dict[tuple[str, int], int] = {}
        self.projected = 0

    def run(self, *, until_quiet: bool = False, progress: Progress | None = None) -> None:
        """Project until told to stop, or until nothing more comes."""
        opened = self._headless() or self._until_opened()
        if opened is None:
            return
        self._log_id = opened.log_id
        if self._patiently(self._sink.prepare):
            self._log.warning("project.rebuilt", why="another definition made the tables")
        self._resumed = self._patiently(lambda: self._sink.positions(self._log_id)) or {}
        if opened.original or not self._resumed:  # what LogOpened itself said stays
            head = Rows("logs", TABLE_COLUMNS["logs"], [opened.row])
            self._patiently(lambda: self._sink.write(self._log_id, [head], []))
        if self._stop.is_set():
            return
        consumer = open_consumer(self._kafka, GROUP, fetch_wait_ms=FETCH_WAIT_MS, fetch_min_bytes=FETCH_MIN_BYTES)
        try:
            total = self._assign(consumer)
            self._log.info("project.started", log_id=self._log_id, resumed=sum(self._resumed.values()), behind=total)
            self._consume(consumer, until_quiet=until_quiet, progress=progress, total=total)
        finally:
            consumer.close()

    def _headless(self) -> _Opened | None:
        """The log by decide's newest checkpoint, where its head was dropped. Raises LogError when there is none."""
        log = KafkaLog(self._kafka)
        low, _ = log.extent("market", 0)
        if low == 0 or log_opened(log, self._codec, 0) is not None:
            return None
        market = known_market(log, self._codec, 0)
        if market is None:
            raise head_dropped(log, 0, "no checkpoint of decide that says whose log it is")
        self._log.warning("project.head_dropped", log_id=market.log_id, first_offset=low)
        opened = LogOpened(
            ts_received_ns=market.now_ns,
            log_id=market.log_id,
            partition=0,
            partitions=market.partitions,
            base_offset=market.base_offset,
        )
        row = to_row(opened, Coordinates(market.log_id, "market", 0, market.base_offset, market.now_ns // 1_000_000))
        assert row is not None, "LogOpened has a table"
        return _Opened(market.log_id, row[1], original=False)

    def _until_opened(self) -> _Opened | None:
        consumer = open_consumer(self._kafka, GROUP)
        try:
            consumer.assign([TopicPartition(TOPICS["market"].full_name(self._kafka.prefix), 0, 0)])
            seen = 0
            while not self._stop.is_set():
                for message in poll_batch(consumer, 100, POLL_S):
                    seen += 1
                    opened = _opened(self._codec, message)
                    if opened is not None:
                        return opened
                if seen > HEAD_RECORDS:
                    raise LogError("market does not open with LogOpened: only `producers` or `import` may write it")
        finally:
            consumer.close()
        return None

    def _assign(self, consumer: Consumer) -> int:
        behind = 0
        partitions = []
        for name, topic in self._names.items():
            for partition in range(TOPICS[topic].partition_count(self._kafka.partitions)):
                resumed = self._resumed.get((topic, partition), 0)
                low, high = offset_range(consumer, name, partition)
                # Whole blocks are read again: the counts of `market_activity` start at a block's first offset.
                start = max(low, block_start(resumed))
                behind += max(0, high - start)
                partitions.append(TopicPartition(name, partition, start))
        consumer.assign(partitions)
        return behind

    def _consume(self, consumer: Consumer, *, until_quiet: bool, progress: Progress | None, total: int) -> None:
        batch = Batch(self._log_id, self._codec)
        written_at = heard_at = time.monotonic()
        while not self._stop.is_set():
            room = self._batch_records - batch.records
            messages = poll_batch(consumer, room, POLL_S)
            now = time.monotonic()
            for message in messages:
                topic, partition, offset = message.topic(), message.partition(), message.offset()
                assert topic is not None and partition is not None and offset is not None  # noqa: PT018 - a record has all three
                batch.add(self._names[topic], partition, offset, message.timestamp()[1], message.value() or b"")
            if messages:
                heard_at = now
            full = batch.records >= self._batch_records or len(batch.unusable) >= UNUSABLE_MAX
            due = full or now - written_at >= self._interval_s
            if batch.records and due:
                self._write(consumer, batch)
                written_at = time.monotonic()
                if progress is not None:
                    progress(min(self.projected, total), total)
            elif until_quiet and not batch.records and now - heard_at > QUIET_S:
                return

    def _write(self, consumer: Consumer, batch: Batch) -> None:
        self._put_aside(batch.unusable)
        tables = batch.tables()
        positions = [Position(topic, partition, offset) for (topic, partition), offset in batch.positions.items()]
        self._patiently(lambda: self._sink.write(self._log_id, tables, positions))
        if self._stop.is_set():
            return  # perhaps not all of it is written: it is read again
        self.projected += batch.records
        prefix = self._kafka.prefix
        offsets = [TopicPartition(TOPICS[p.topic].full_name(prefix), p.partition, p.next_offset) for p in positions]
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            self._log.warning("project.offsets_not_committed", error=str(error))
        batch.clear()

    def _put_aside(self, unusable: list[Unusable]) -> None:
        fresh = [u for u in unusable if u.offset >= self._resumed.get((u.topic, u.partition), 0)]
        for record in fresh:
            self._log.error("project.unusable", topic=record.topic, offset=record.offset, error=record.error)
            if record.topic == "deadletter":
                continue  # a dead letter about a dead letter would never end
            letter = dead_letter(
                ts_ns=now_ns(),
                stage="project",
                source=record.topic,
                partition=record.partition,
                offset=record.offset,
                error=record.error,
                payload=record.payload,
            )
            self._until_taken(lambda letter=letter: self._letters.send_patiently("deadletter", letter, key="project"))  # type: ignore[misc]  # bound now
        self._until_taken(lambda: self._letters.flush(1.0))

    def _until_taken(self, action: Callable[[], None]) -> None:
        """Repeat until the broker took it, or until told to stop: what is not taken then is read again."""
        while not self._stop.is_set():
            try:
                action()
            except BrokerAwayError:
                self._log.warning("project.broker_away", waiting=self._letters.waiting)
            else:
                return

    def _patiently(self, action: Callable[[], Result]) -> Result | None:
        """Repeat until the store did it; None when told to stop before."""
        delay_s = BACKOFF_FIRST_S
        while not self._stop.is_set():
            try:
                return action()
            except SinkAwayError as error:
                self._log.warning("project.sink_away", error=str(error), again_in_s=delay_s)
                self._stop.wait(delay_s)
                delay_s = min(2 * delay_s, BACKOFF_MAX_S)
        return None


def _opened(codec: Codec, message: Any) -> _Opened | None:
    try:
        record = codec.decode(message.value() or b"")
    except SchemaError:
        return None
    if not isinstance(record, LogOpened):
        return None
    at = Coordinates(record.log_id, "market", message.partition(), message.offset(), message.timestamp()[1])
    row = to_row(record, at)
    assert row is not None
    return _Opened(record.log_id, row[1])


def run(settings: Settings, sink: Sink) -> None:
    """Project into `sink` until SIGTERM or SIGINT.

    Raises:
        StageError: something that a restart or an operator must mend; nothing that was read is lost.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if _until_broker(settings.kafka, stop):
        Projector(settings, sink, stop).run()


def rebuild(settings: Settings, sink: Sink, progress: Progress, stop: threading.Event | None = None) -> int:
    """Drop what the sink holds and make it again from the topics; `progress(done, total)` counts offsets. Return the records read.

    A running stage `project` notices that its tables are gone, restarts and helps; nothing counts twice.

    Raises:
        StageError: Kafka or the store refuse; call it again, or start the stage, to finish.
    """
    stop = stop or threading.Event()
    wait_for_broker(settings.kafka, 10)
    sink.drop()
    projector = Projector(settings, sink, stop)
    projector.run(until_quiet=True, progress=progress)
    progress(projector.projected, projector.projected)  # transaction markers were in the total, but are no records
    return projector.projected


def _until_broker(kafka: KafkaSettings, stop: threading.Event) -> bool:
    while not stop.is_set():
        try:
            wait_for_broker(kafka, 0)
        except BrokerAwayError:
            stop.wait(0.2)
        else:
            return True
    return False
