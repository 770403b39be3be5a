"""Read a topic as people do: from the end or the beginning, decoded, one record a line."""

import json
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from crossbook.log.reading import LogLine
from crossbook.runtime.kafka import offset_range, open_consumer, poll_batch
from crossbook.runtime.kafka_log import read_partition
from crossbook.runtime.settings import KafkaSettings
from deploy.errors import UsageError
from schemas.codec import Codec, load_codec
from schemas.errors import SchemaError
from schemas.records import Record
from schemas.topics import TOPICS


class Line(NamedTuple):
    """One record with its coordinates; `record` is None and `error` set when it cannot be decoded."""

    topic: str
    partition: int
    offset: int
    append_ms: int
    key: str | None
    record: Record | None
    error: str

    def as_dict(self) -> dict[str, Any]:
        """Coordinates and fields, ready for JSON; bytes become hex."""
        head = {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "append_ms": self.append_ms,
            "key": self.key,
        }
        if self.record is None:
            return head | {"error": self.error}
        fields = msgspec.to_builtins(self.record, builtin_types=(bytes,))
        return head | {"record": type(self.record).__name__, "fields": fields}

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps(self.as_dict(), default=lambda value: value.hex() if isinstance(value, bytes) else str(value))


def read_topic(kafka: KafkaSettings, topic: str, *, last: int | None, follow: bool) -> Iterator[Line]:
    """Yield committed records of a topic, the last n of each partition or all, and new ones when following.

    Raises:
        UsageError: no such topic.
    """
    if topic not in TOPICS:
        raise UsageError(f"no topic {topic!r}; the topics are: {', '.join(TOPICS)}")
    codec = load_codec()
    follow_from: dict[int, int] = {}
    for partition in range(TOPICS[topic].partition_count(kafka.partitions)):
        start = None if last is None else _start_of_last(kafka, topic, partition, last)
        lines: Iterable[LogLine] = read_partition(kafka, topic, partition, start=start)
        for line in lines if last is None else deque(lines, maxlen=last):
            follow_from[partition] = line.offset + 1
            yield _line(topic, partition, line, codec)
    if follow:
        yield from _follow(kafka, topic, follow_from, codec)


def _start_of_last(kafka: KafkaSettings, topic: str, partition: int, last: int) -> int:
    consumer = open_consumer(kafka, "tail")
    try:
        low, high = offset_range(consumer, TOPICS[topic].full_name(kafka.prefix), partition)
    finally:
        consumer.close()
    # Transaction markers take offsets too, at most one a record: looking twice as far back finds enough records.
    return max(low, high - 2 * last)


def _follow(kafka: KafkaSettings, topic: str, starts: dict[int, int], codec: Codec) -> Iterator[Line]:
    consumer = open_consumer(kafka, "tail")
    name = TOPICS[topic].full_name(kafka.prefix)
    try:
        partitions = range(TOPICS[topic].partition_count(kafka.partitions))
        consumer.assign([TopicPartition(name, number, starts.get(number, OFFSET_BEGINNING)) for number in partitions])
        while True:
            for message in poll_batch(consumer, 500, 0.2):
                offset, number, key = message.offset(), message.partition(), message.key()
                assert offset is not None, "a record without error has an offset"
                assert number is not None, "a record without error has a partition"
                raw = key.encode() if isinstance(key, str) else key
                yield _line(topic, number, LogLine(offset, message.timestamp()[1], raw, message.value() or b""), codec)
    finally:
        consumer.close()


def _line(topic: str, partition: int, line: LogLine, codec: Codec) -> Line:
    record, error = None, ""
    try:
        record = codec.decode(line.value)
    except SchemaError as problem:
        error = str(problem)
    key = None if line.key is None else line.key.decode(errors="replace")
    return Line(topic, partition, line.offset, line.append_ms, key, record, error)


def describe_topics(kafka: KafkaSettings) -> list[dict[str, Any]]:
    """One row a declared topic: what it is and what is in it (offsets, markers of transactions included)."""
    consumer = open_consumer(kafka, f"describe-{time.time_ns()}")
    rows: list[dict[str, Any]] = []
    try:
        existing = consumer.list_topics(timeout=10).topics
        for topic in TOPICS.values():
            name = topic.full_name(kafka.prefix)
            count = len(existing[name].partitions) if name in existing else 0
            ends = [offset_range(consumer, name, partition) for partition in range(count)]
            rows.append(
                {
                    "topic": name,
                    "exists": name in existing,
                    "partitions": count,
                    "offsets": sum(high - low for low, high in ends),
                    "writer": topic.writer,
                    "key": topic.key,
                    "kept": "for ever" if topic.retention_ms < 0 else f"{topic.retention_ms // 86_400_000} days",
                    "records": ", ".join(topic.records),
                }
            )
    finally:
        consumer.close()
    return rows
