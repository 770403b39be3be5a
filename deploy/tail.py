"""Read a topic as people do: from the end or the beginning, decoded, one record a line."""

import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from confluent_kafka import OFFSET_BEGINNING, TopicPartition

from crossbook.runtime.kafka import offset_range, open_consumer, poll_batch
from crossbook.runtime.settings import KafkaSettings
from deploy.errors import UsageError
from schemas.codec import load_codec
from schemas.errors import SchemaError
from schemas.records import Record
from schemas.topics import TOPICS, Spread


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


def topic_partitions(kafka: KafkaSettings, topic: str) -> int:
    """Partitions of a declared topic under these settings."""
    return kafka.partitions if TOPICS[topic].spread is Spread.BY_GROUP else 1


def read_topic(
    kafka: KafkaSettings, topic: str, *, last: int | None, follow: bool, idle_s: float = 5.0
) -> Iterator[Line]:
    """Yield committed records of a topic, the last n of each partition or all, and new ones when following.

    Raises:
        UsageError: no such topic.
    """
    if topic not in TOPICS:
        raise UsageError(f"no topic {topic!r}; the topics are: {', '.join(TOPICS)}")
    name = TOPICS[topic].full_name(kafka.prefix)
    consumer = open_consumer(kafka, f"tail-{time.time_ns()}")
    codec = load_codec()
    try:
        ends = {p: offset_range(consumer, name, p) for p in range(topic_partitions(kafka, topic))}
        starts = {p: OFFSET_BEGINNING if last is None else max(low, high - last) for p, (low, high) in ends.items()}
        consumer.assign([TopicPartition(name, p, start) for p, start in starts.items()])
        waiting = {p for p, (low, high) in ends.items() if high > low}
        quiet_since = time.monotonic()
        while waiting or follow:
            batch: list[Any] = poll_batch(consumer, 500, 0.2)
            if batch:
                quiet_since = time.monotonic()
            for message in batch:
                if message.offset() >= ends[message.partition()][1] - 1:
                    waiting.discard(message.partition())
                yield _line(topic, message, codec)
            if not follow:
                # Transaction markers take offsets at the end that no record will ever have.
                waiting = {p for p in waiting if _position(consumer, name, p) < ends[p][1]}
                if time.monotonic() - quiet_since > idle_s:
                    return
    finally:
        consumer.close()


def _position(consumer: Any, name: str, partition: int) -> int:
    return int(consumer.position([TopicPartition(name, partition)])[0].offset)


def _line(topic: str, message: Any, codec: Any) -> Line:
    key = message.key()
    record, error = None, ""
    try:
        record = codec.decode(message.value() or b"")
    except SchemaError as problem:
        error = str(problem)
    return Line(
        topic,
        message.partition(),
        message.offset(),
        message.timestamp()[1],
        None if key is None else key.decode(errors="replace"),
        record,
        error,
    )
