"""The log on a broker: reads a topic partition from some offset to its present end, as committed, for verify, refolds, resumes and people.

Decides nothing and commits nothing. Must never stop early in silence: a broker that gives nothing is an error.
"""

from collections.abc import Iterator

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from crossbook.log.errors import LogError
from crossbook.log.reading import LogLine
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import FAST_FETCH, client_config, committed_offsets, offset_range, open_consumer
from crossbook.runtime.settings import KafkaSettings
from schemas.topics import TOPICS

READ_RECORDS = 1_000
SILENCE_S = 30.0


class KafkaLog:
    """The topics of a prefix on a broker."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    @property
    def name(self) -> str:
        """The prefix."""
        return f"prefix {self._kafka.prefix!r}"

    @property
    def partitions(self) -> int:
        """How many partitions `market` has, by the settings."""
        return self._kafka.partitions

    def extent(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and last stable offset. Raises LogError when the topic is not there, BrokerAwayError without a broker."""
        reader = open_consumer(self._kafka, "reader")
        try:
            return offset_range(reader, TOPICS[topic].full_name(self._kafka.prefix), partition)
        finally:
            reader.close()

    def read(
        self, topic: str, partition: int, *, start: int | None = None, end: int | None = None
    ) -> Iterator[LogLine]:
        """See `read_partition`."""
        return read_partition(self._kafka, topic, partition, start=start, end=end)

    def decided_end(self, partition: int) -> int:
        """Offset that the group `decide` has committed, or the first offset of the partition."""
        name = TOPICS["market"].full_name(self._kafka.prefix)
        reader = open_consumer(self._kafka, "decide", read_committed=False)
        try:
            committed = committed_offsets(reader, [TopicPartition(name, partition)])[name, partition]
            return max(committed, offset_range(reader, name, partition)[0])
        finally:
            reader.close()


def read_partition(
    kafka: KafkaSettings, topic: str, partition: int, *, start: int | None = None, end: int | None = None
) -> Iterator[LogLine]:
    """Committed records of a topic (named without the prefix) from offset `start` or its first, up to `end` or its present end.

    Raises:
        BrokerAwayError: the broker gives nothing for 30 s.
        LogError: the topic or partition cannot be read.
    """
    name = TOPICS[topic].full_name(kafka.prefix)
    settings = client_config(kafka, "reader") | {
        "group.id": f"{kafka.prefix}reader",
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 20,  # behind the last transaction's marker the broker would wait half a second for more
        **FAST_FETCH,
    }
    consumer = Consumer(settings)
    try:
        low, high = offset_range(consumer, name, partition)
        first = low if start is None else max(low, start)
        stop = high if end is None else min(end, high)
        if first >= stop:
            return
        consumer.assign([TopicPartition(name, partition, first)])
        while True:
            head = consumer.poll(SILENCE_S)  # consume alone would wait until all that it may take is there
            if head is None:
                raise BrokerAwayError(
                    f"{name} partition {partition} gave nothing for {SILENCE_S:g} s; is the broker up?"
                )
            for message in (head, *consumer.consume(READ_RECORDS, 0)):
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's name for the end
                        return
                    if error.retriable():
                        continue
                    raise LogError(f"{name} partition {partition}: {error.str()}")
                offset = message.offset()
                assert offset is not None, "a record without error has an offset"
                if offset >= stop:
                    return
                key = message.key()
                raw = key.encode() if isinstance(key, str) else key
                yield LogLine(offset, message.timestamp()[1], raw, message.value() or b"")
                if offset + 1 >= stop:
                    return
    except KafkaException as error:
        raise BrokerAwayError(f"{name} partition {partition}: {error}") from error
    finally:
        consumer.close()
