"""Writes an archive into the fresh topics of a prefix.

Decides which offsets a restored topic must keep: those of `market`, because a position is an offset less that of LogOpened, and
those of `control`, which records name. Where such an archive begins behind offset 0, the topic is filled up to there with empty
records, which are deleted again, so that every record stands at its own offset. Must never write to a topic that holds anything,
and never restore a file whose sha256 is not the manifest's. The broker stamps anew (LogAppendTime): `append_ms` stays in the
archive alone. decide's committed offset is restored, so that verify knows how far it had come; those of the executor follow from
its journal.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from crossbook.log.archive.errors import RestoreError
from crossbook.log.archive.manifest import Manifest
from crossbook.log.archive.read import ArchiveLog
from crossbook.log.reading import LogLine
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import (
    CALL_TIMEOUT_S,
    RECORD_BYTES_MAX,
    admin_client,
    client_config,
    create_topics,
    offset_range,
    open_consumer,
)
from crossbook.runtime.settings import KafkaSettings
from schemas.topics import TOPICS

#: Topics whose records must stand at their own offsets.
SAME_OFFSETS: Final = ("market", "control")
#: Filling up costs about a second a million records.
FILL_MAX: Final = 50_000_000
FLUSH_S: Final = 60.0
#: Called with topic, partition, records done and records to do.
Progress = Callable[[str, int, int, int], None]


class Restored(NamedTuple):
    """Records written, topics written to, and records that were written and deleted again so that offsets are kept."""

    records: int
    topics: tuple[str, ...]
    filled: int


def restore_archive(
    folder: Path, kafka: KafkaSettings, *, topics: Sequence[str] | None = None, progress: Progress | None = None
) -> Restored:
    """Write the archive's topics (all by default) into the prefix, whose topics are created when missing.

    Raises:
        RestoreError: a topic is not empty, the partitions differ, or the archive cannot keep its positions.
        ArchiveDamagedError: a file was changed; nothing was written.
    """
    log = ArchiveLog(folder)
    manifest = log.manifest
    chosen = tuple(manifest.topics) if topics is None else tuple(topics)
    places = [(topic, partition) for topic in chosen for partition in manifest.topics.get(topic, {})]
    if manifest.partitions != kafka.partitions:
        raise RestoreError(
            f"{folder} has {manifest.partitions} partitions of market, prefix {kafka.prefix!r} {kafka.partitions}; "
            f"set kafka.partitions = {manifest.partitions}"
        )
    for topic, partition in places:
        _check_positions(manifest, topic, partition)
    log.check()
    create_topics(kafka)
    _check_empty(kafka, places)
    writer = _Writer(kafka)
    filled = sum(_fill(kafka, writer, log, topic, partition) for topic, partition in places if topic in SAME_OFFSETS)
    for topic, partition in places:
        entry = manifest.topics[topic][partition]
        writer.write(topic, partition, log.read(topic, partition), entry.rows, progress)
    writer.flush()
    for topic, partition in places:
        if topic in SAME_OFFSETS:
            _check_end(kafka, log, topic, partition)
    if "market" in chosen:
        _commit_decided(kafka, manifest)
    return Restored(writer.written - filled, chosen, filled)


def _check_positions(manifest: Manifest, topic: str, partition: int) -> None:
    if topic not in SAME_OFFSETS:
        return
    entry = manifest.topics[topic][partition]
    if entry.rows != entry.end - entry.first:
        raise RestoreError(
            f"{topic} partition {partition} holds {entry.rows} records at {entry.end - entry.first} offsets: with holes no record "
            "would stand at its own offset; archive the topic again from its first offset"
        )
    if topic == "market" and entry.rows and partition not in manifest.base_offsets:
        raise RestoreError(
            f"the archive of market partition {partition} begins at offset {entry.first} and holds no LogOpened, so nothing in it "
            "has a position; restore the archive that holds its head"
        )
    if entry.first > FILL_MAX:
        raise RestoreError(
            f"the archive of {topic} partition {partition} begins at offset {entry.first}; filling up to there is limited to "
            f"{FILL_MAX:,} records; read the archive as it is instead (verify and backtest do)"
        )


def _check_empty(kafka: KafkaSettings, places: Sequence[tuple[str, int]]) -> None:
    reader = open_consumer(kafka, "restore", read_committed=False)
    try:
        for topic, partition in places:
            name = TOPICS[topic].full_name(kafka.prefix)
            if offset_range(reader, name, partition) != (0, 0):
                raise RestoreError(
                    f"{name} partition {partition} is not empty; restore into a prefix of its own (kafka.prefix)"
                )
    finally:
        reader.close()


class _Writer:
    """Plain idempotent producer that waits where a stage would refuse: nobody else waits for it."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._prefix = kafka.prefix
        self._failure: KafkaError | None = None
        self.written = 0
        self._producer = Producer(
            client_config(kafka, "restore")
            | {
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 20,
                "message.max.bytes": RECORD_BYTES_MAX,
                "queue.buffering.max.messages": 200_000,
            }
        )

    def write(
        self, topic: str, partition: int, lines: Iterable[LogLine], total: int, progress: Progress | None = None
    ) -> None:
        name = TOPICS[topic].full_name(self._prefix)
        for number, line in enumerate(lines, 1):
            while True:
                try:
                    self._producer.produce(
                        name, line.value, key=line.key, partition=partition, on_delivery=self._on_delivery
                    )
                except BufferError:
                    self._producer.poll(0.05)
                else:
                    break
            self.written += 1
            if number % 5_000 == 0 or number == total:
                self._producer.poll(0)
                self._raise_failure()
                if progress is not None:
                    progress(topic, partition, number, total)

    def flush(self) -> None:
        left = self._producer.flush(FLUSH_S)
        self._raise_failure()
        if left:
            raise BrokerAwayError(f"{left} records were not taken by the broker within {FLUSH_S:g} s; is it up?")

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise RestoreError(
                f"the broker refused a record: {self._failure.str()}; what was restored is incomplete, use another prefix"
            )


def _fill(kafka: KafkaSettings, writer: _Writer, log: ArchiveLog, topic: str, partition: int) -> int:
    """Let a topic partition begin at the archive's first offset; return how many records that took."""
    first, _ = log.extent(topic, partition)
    if not first:
        return 0
    writer.write(topic, partition, _empty(first), first)
    writer.flush()
    name = TOPICS[topic].full_name(kafka.prefix)
    admin = admin_client(kafka)
    for future in admin.delete_records([TopicPartition(name, partition, first)]).values():
        try:
            future.result(CALL_TIMEOUT_S)
        except KafkaException as error:
            raise RestoreError(f"{name} partition {partition}: {error.args[0].str()}; use another prefix") from error
    return first


def _empty(count: int) -> Iterator[LogLine]:
    return (LogLine(offset, 0, None, b"") for offset in range(count))


def _check_end(kafka: KafkaSettings, log: ArchiveLog, topic: str, partition: int) -> None:
    reader = open_consumer(kafka, "restore", read_committed=False)
    try:
        name = TOPICS[topic].full_name(kafka.prefix)
        found, wanted = offset_range(reader, name, partition), log.extent(topic, partition)
    finally:
        reader.close()
    if found != wanted:
        raise RestoreError(
            f"{name} partition {partition} holds offsets {found[0]} to {found[1]}, the archive {wanted[0]} to {wanted[1]}: somebody "
            "else wrote to it; stop the stages of this prefix and use another one"
        )


def _commit_decided(kafka: KafkaSettings, manifest: Manifest) -> None:
    name = TOPICS["market"].full_name(kafka.prefix)
    offsets = [TopicPartition(name, partition, end) for partition, end in manifest.decided_ends.items()]
    if not offsets:
        return
    reader = open_consumer(kafka, "decide", read_committed=False)
    try:
        reader.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        raise RestoreError(
            f"decide's offsets could not be committed: {error.args[0].str()}; use another prefix"
        ) from error
    finally:
        reader.close()
