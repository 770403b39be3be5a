"""The Kafka runtime against a real broker: bounded, transactional, fenced, and never silent about a log that is not right."""

import itertools
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import ConfigResource, NewTopic, ResourceType

from crossbook.domain.errors import StageError
from crossbook.log.errors import LogError
from crossbook.runtime.errors import BrokerAwayError, BufferFullError, FencedError, RecordTooLargeError
from crossbook.runtime.kafka import (
    RECORD_BYTES_MAX,
    Outgoing,
    RecordProducer,
    TransactionalProducer,
    admin_client,
    committed_offsets,
    create_topics,
    offset_range,
    open_consumer,
    poll_batch,
    wait_for_broker,
)
from crossbook.runtime.settings import KafkaSettings
from deploy.stack.kafka.child import KafkaServer
from schemas.codec import load_codec
from schemas.records import PairRevoked, RawFrame
from schemas.topics import TOPICS

PREFIXES = itertools.count()
REVOKED = PairRevoked(ts_ns=1, operator="o", pair_id="p", reason="r")


@pytest.fixture
def settings(kafka: KafkaServer) -> KafkaSettings:
    """Settings of a prefix that no other test uses, without topics."""
    return KafkaSettings(bootstrap=kafka.bootstrap, prefix=f"runtime-{next(PREFIXES)}.", partitions=2)


@pytest.fixture
def log(settings: KafkaSettings) -> KafkaSettings:
    """The same, with topics."""
    create_topics(settings)
    return settings


@pytest.fixture
def away() -> KafkaSettings:
    """Settings whose broker is a closed port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return KafkaSettings(bootstrap=f"127.0.0.1:{port}", prefix="away.", buffer_records=1_000)


class Answer(Message):
    """A message as librdkafka hands it out, with or without an error."""

    def __new__(cls, code: int | None) -> Self:
        return super().__new__(cls)

    def __init__(self, code: int | None) -> None:
        super().__init__("t", 0, error=None if code is None else KafkaError(code))


class Answering(Consumer):
    """A consumer of no broker that hands out what it was given; `absent` times its broker knows no topic."""

    def __new__(cls, *answers: Message, absent: int = 0) -> Self:
        return super().__new__(cls)

    def __init__(self, *answers: Message, absent: int = 0) -> None:
        self.answers = list(answers)
        self.absent = absent

    def get_watermark_offsets(self, *_args: Any, **_options: Any) -> tuple[int, int]:
        if self.absent:
            self.absent -= 1
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))
        return 0, 7

    def poll(self, timeout: float = -1) -> Message | None:
        return self.answers.pop(0)

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        return self.answers[:num_messages]


class Refusing(Consumer):
    """A consumer of no broker whose group may not be read."""

    def __new__(cls) -> Self:
        return super().__new__(cls)

    def __init__(self) -> None: ...

    def committed(self, partitions: list[TopicPartition], timeout: float = -1) -> list[TopicPartition]:
        found = [TopicPartition(tp.topic, tp.partition) for tp in partitions]
        raise KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED, found[0].topic))


OpenConsumer = Callable[..., Consumer]


@pytest.fixture
def reader() -> Iterator[OpenConsumer]:
    """Opens consumers that are closed after the test: (settings, topic, partition=0, **options)."""
    opened: list[Consumer] = []

    def open_at_start(kafka: KafkaSettings, topic: str, partition: int = 0, **options: bool) -> Consumer:
        consumer = open_consumer(kafka, "test", **options)
        consumer.assign([TopicPartition(kafka.prefix + topic, partition, OFFSET_BEGINNING)])
        opened.append(consumer)
        return consumer

    yield open_at_start
    for consumer in opened:
        consumer.close()


def read(consumer: Consumer, count: int, within_s: float = 120.0) -> list[Message]:
    """Poll until `count` records are there."""
    found: list[Message] = []
    end = time.monotonic() + within_s
    while len(found) < count and time.monotonic() < end:
        found += poll_batch(consumer, count - len(found), 0.2)
    return found


def nothing_within(consumer: Consumer, seconds: float) -> bool:
    end = time.monotonic() + seconds
    return not any(poll_batch(consumer, 10, 0.1) for _ in iter(lambda: time.monotonic() < end, False))


class TestTopics:
    def test_every_declared_topic_is_created_once_with_its_settings(self, settings: KafkaSettings) -> None:
        names = {topic.full_name(settings.prefix): topic for topic in TOPICS.values()}
        assert set(create_topics(settings)) == set(names)
        assert create_topics(settings) == [], "a second call changes nothing"
        admin = admin_client(settings)
        there = admin.list_topics(timeout=10).topics
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        for resource, future in admin.describe_configs(resources).items():
            topic, config = names[resource.name], future.result(10)
            assert {key: config[key].value for key in topic.config()} == topic.config()
            assert len(there[resource.name].partitions) == topic.partition_count(2)

    def test_another_number_of_partitions_is_refused(self, log: KafkaSettings) -> None:
        more = log.model_copy(update={"partitions": 3})
        with pytest.raises(LogError, match=r"has 2 partitions, the settings say 3.*another prefix"):
            create_topics(more)

    def test_only_what_is_missing_is_created(self, settings: KafkaSettings) -> None:
        name = settings.prefix + "tape"
        admin = admin_client(settings)
        admin.create_topics([NewTopic(name, 1)])[name].result(10)
        created = create_topics(settings)
        assert name not in created
        assert len(created) == len(TOPICS) - 1

    def test_a_broker_that_is_away_is_named(self, away: KafkaSettings) -> None:
        with pytest.raises(BrokerAwayError, match=r"127\.0\.0\.1"):
            wait_for_broker(away, deadline_s=0.1)

    def test_a_broker_that_is_there_is_found(self, settings: KafkaSettings) -> None:
        wait_for_broker(settings, deadline_s=10)


def fill(producer: RecordProducer) -> int:
    """Send until the buffer is full; how many it took."""
    for taken in range(5_000):
        try:
            producer.send("tape", REVOKED)
        except BufferFullError:
            return taken
    raise AssertionError("the buffer has no bound")


class TestRecordProducer:
    def test_a_record_arrives_with_key_partition_and_append_time(
        self, log: KafkaSettings, reader: OpenConsumer
    ) -> None:
        producer = RecordProducer(log, load_codec(), "test")
        producer.send("market", REVOKED, key="group", partition=1)
        producer.flush()
        assert (producer.waiting, producer.delivered) == (0, 1)
        (message,) = read(reader(log, "market", 1), 1)
        assert load_codec().decode(message.value() or b"") == REVOKED
        assert message.key() == b"group"
        assert message.timestamp()[1] > 1_600_000_000_000, "the broker's time, not the record's"

    def test_equal_keys_meet_in_one_partition(self, log: KafkaSettings, reader: OpenConsumer) -> None:
        producer = RecordProducer(log, load_codec(), "test")
        for number in range(40):
            producer.send("market", REVOKED, key=f"group-{number % 4}")
        producer.flush()
        keys = [
            {message.key() for message in read(reader(log, "market", partition), 40, within_s=2)}
            for partition in (0, 1)
        ]
        assert not keys[0] & keys[1]
        assert len(keys[0] | keys[1]) == 4

    def test_a_full_buffer_refuses_at_once_and_never_blocks(self, away: KafkaSettings) -> None:
        producer = RecordProducer(away, load_codec(), "test")
        before = time.monotonic()
        assert fill(producer) == 1_000
        with pytest.raises(BufferFullError, match="wait for the broker"):
            producer.send("tape", REVOKED)
        assert time.monotonic() - before < 60, "a thousand and two calls, none of which waited"
        with pytest.raises(BrokerAwayError, match="were not taken by the broker"):
            producer.flush(0.2)
        assert producer.delivered == 0

    def test_what_waited_is_delivered_when_there_is_room_again(self, log: KafkaSettings) -> None:
        small = log.model_copy(update={"buffer_records": 1_000})
        producer = RecordProducer(small, load_codec(), "test", linger_ms=2_000)
        assert fill(producer) == 1_000
        producer.flush()
        producer.send("tape", REVOKED)
        producer.flush()
        assert producer.delivered == 1_001

    def test_a_large_frame_passes_and_a_too_large_one_is_refused_before_it_is_queued(
        self, log: KafkaSettings, reader: OpenConsumer
    ) -> None:
        producer = RecordProducer(log, load_codec(), "test")
        frame = RawFrame(
            ts_received_ns=1, feed="f", connection="c", session=1, direction="received", payload=b"\x00" * 1_900_000
        )
        producer.send("tape", frame, key="f")
        producer.flush()
        (message,) = read(reader(log, "tape"), 1)
        assert load_codec().decode(message.value() or b"") == frame
        with pytest.raises(RecordTooLargeError, match="bytes for tape"):
            producer.send_bytes("tape", b"\x00" * (RECORD_BYTES_MAX + 1))
        producer.send("tape", REVOKED)
        producer.flush()
        assert producer.delivered == 2, "a refused record leaves the producer usable"

    def test_a_record_that_the_broker_refuses_makes_the_next_call_raise(self, log: KafkaSettings) -> None:
        name = log.prefix + "tiny"
        admin = admin_client(log)
        admin.create_topics([NewTopic(name, 1, config={"max.message.bytes": "200"})])[name].result(10)
        producer = RecordProducer(log, load_codec(), "test")
        producer.send_bytes("tiny", bytes(range(256)) * 40)
        with pytest.raises(StageError, match="refused a record"):
            producer.flush()
        with pytest.raises(StageError, match="refused a record"):
            producer.send("tape", REVOKED)


def transactional(kafka: KafkaSettings, name: str = "decide") -> TransactionalProducer:
    producer = TransactionalProducer(kafka, name)
    producer.init()
    return producer


def outgoing(kafka: KafkaSettings, *values: bytes, topic: str = "signals", partition: int = 0) -> list[Outgoing]:
    return [Outgoing(kafka.prefix + topic, partition, b"k", value) for value in values]


class TestTransactionalProducer:
    def test_outputs_and_offsets_are_visible_only_when_committed(
        self, log: KafkaSettings, reader: OpenConsumer
    ) -> None:
        producer = transactional(log)
        committed, dirty = reader(log, "signals"), reader(log, "signals", read_committed=False)
        inputs = [TopicPartition(log.prefix + "market", 0, 17)]
        during: list[bool] = []

        def outputs() -> Iterator[Outgoing]:
            yield from outgoing(log, b"one", b"two")
            producer._producer.flush(10)
            assert [m.value() for m in read(dirty, 2)] == [b"one", b"two"], "they are on the log"
            during.append(nothing_within(committed, 1.0))
            before = committed_offsets(committed, [TopicPartition(log.prefix + "market", 0)])
            during.append(before == {(log.prefix + "market", 0): OFFSET_BEGINNING})

        producer.commit(outputs(), inputs, committed)
        assert during == [True, True]
        assert [m.value() for m in read(committed, 2)] == [b"one", b"two"]
        assert committed_offsets(committed, inputs) == {(log.prefix + "market", 0): 17}

    def test_the_end_for_a_committed_reader_is_the_last_stable_offset(
        self, log: KafkaSettings, reader: OpenConsumer
    ) -> None:
        producer = transactional(log)
        committed, dirty = reader(log, "signals"), reader(log, "signals", read_committed=False)
        topic = log.prefix + "signals"
        ends: list[tuple[int, int]] = []

        def outputs() -> Iterator[Outgoing]:
            yield from outgoing(log, b"one", b"two")
            producer._producer.flush(10)
            read(dirty, 2)
            ends.append(offset_range(committed, topic, 0))
            ends.append(offset_range(dirty, topic, 0))

        producer.commit(outputs(), [], committed)
        assert ends == [(0, 0), (0, 2)]
        assert offset_range(committed, topic, 0) == (0, 3), "two records and the marker"

    def test_an_output_that_cannot_be_made_aborts_and_the_next_batch_goes_on(
        self, log: KafkaSettings, reader: OpenConsumer
    ) -> None:
        producer, consumer = transactional(log), reader(log, "signals")

        def outputs() -> Iterator[Outgoing]:
            yield from outgoing(log, b"never")
            raise ValueError("no such field")

        with pytest.raises(ValueError, match="no such field"):
            producer.commit(outputs(), [TopicPartition(log.prefix + "market", 0, 3)], consumer)
        with pytest.raises(StageError):
            producer.commit(outgoing(log, b"x" * (RECORD_BYTES_MAX + 1)), [], consumer)
        producer.commit(outgoing(log, b"after"), [], consumer)
        assert [m.value() for m in read(consumer, 1)] == [b"after"]
        at = committed_offsets(consumer, [TopicPartition(log.prefix + "market", 0)])
        assert at == {(log.prefix + "market", 0): OFFSET_BEGINNING}

    def test_a_successor_fences_and_what_the_first_left_open_never_shows(
        self, log: KafkaSettings, reader: OpenConsumer
    ) -> None:
        first, consumer = transactional(log), reader(log, "signals")

        def outputs() -> Iterator[Outgoing]:
            yield from outgoing(log, b"left open")
            first._producer.flush(10)
            before = time.monotonic()
            second = transactional(log)
            second.commit(outgoing(log, b"second"), [TopicPartition(log.prefix + "market", 0, 5)], consumer)
            assert [m.value() for m in read(consumer, 1)] == [b"second"]
            assert time.monotonic() - before < 8, "nobody waits for the time-out of what was left open"

        with pytest.raises(FencedError, match="another instance took over"):
            first.commit(outputs(), [TopicPartition(log.prefix + "market", 0, 99)], consumer)
        assert nothing_within(consumer, 0.5)
        at = committed_offsets(consumer, [TopicPartition(log.prefix + "market", 0)])
        assert at == {(log.prefix + "market", 0): 5}

    def test_a_fenced_instance_learns_it_from_commit(self, log: KafkaSettings, reader: OpenConsumer) -> None:
        first, consumer = transactional(log), reader(log, "signals")
        first.commit(outgoing(log, b"first"), [], consumer)
        second = transactional(log)
        with pytest.raises(FencedError, match="decide: another instance took over"):
            first.commit(outgoing(log, b"too late"), [TopicPartition(log.prefix + "market", 0, 9)], consumer)
        second.commit(outgoing(log, b"second"), [], consumer)
        assert [m.value() for m in read(consumer, 2)] == [b"first", b"second"]
        at = committed_offsets(consumer, [TopicPartition(log.prefix + "market", 0)])
        assert at == {(log.prefix + "market", 0): OFFSET_BEGINNING}

    def test_ids_under_another_prefix_do_not_fence(self, log: KafkaSettings, reader: OpenConsumer) -> None:
        first, consumer = transactional(log), reader(log, "signals")
        other = log.model_copy(update={"prefix": f"runtime-{next(PREFIXES)}."})
        transactional(other)
        first.commit(outgoing(log, b"mine"), [], consumer)
        assert first.transactional_id == f"{log.prefix}decide"

    def test_a_broker_that_is_away_is_named_by_the_deadline(self, away: KafkaSettings) -> None:
        producer = TransactionalProducer(away, "decide")
        # One call's time-out is 10 s; a shorter one is set here so that the test does not wait for it.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("crossbook.runtime.kafka.CALL_TIMEOUT_S", 0.3)
            with pytest.raises(BrokerAwayError, match=r"away\.decide"):
                producer.init(deadline_s=0.5)


class TestReading:
    def test_poll_batch_returns_what_is_there_up_to_the_limit(self, log: KafkaSettings, reader: OpenConsumer) -> None:
        producer = RecordProducer(log, load_codec(), "test")
        for number in range(50):
            producer.send_bytes("control", str(number).encode())
        producer.flush()
        consumer = reader(log, "control")
        sizes, values = [], []
        end = time.monotonic() + 20
        while len(values) < 50 and time.monotonic() < end:
            batch = poll_batch(consumer, 7, 0.5)
            sizes.append(len(batch))
            values += [int(message.value() or b"") for message in batch]
        assert values == list(range(50))
        assert max(sizes) <= 7

    def test_poll_batch_waits_no_longer_than_it_was_told(self, log: KafkaSettings, reader: OpenConsumer) -> None:
        consumer = reader(log, "control")
        before = time.monotonic()
        assert poll_batch(consumer, 500, 0.3) == []
        assert time.monotonic() - before < 3

    @pytest.mark.parametrize("code", [KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION])
    def test_a_topic_that_is_gone_is_named(self, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("crossbook.runtime.kafka.PROPAGATION_S", 0.1)
        with pytest.raises(LogError, match=r"t does not exist; create the topics"):
            poll_batch(Answering(Answer(code), absent=10**9), 10, 0.1)

    def test_a_broker_that_stood_still_and_knows_its_topics_again_stops_nobody(self) -> None:
        good = Answer(None)
        assert poll_batch(Answering(Answer(KafkaError.UNKNOWN_TOPIC_OR_PART), good, absent=2), 10, 0.1) == [good]

    @pytest.mark.parametrize(
        "code", [KafkaError._TRANSPORT, KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError._TIMED_OUT]
    )
    def test_what_passes_by_itself_is_passed_over(self, code: int) -> None:
        good = Answer(None)
        assert poll_batch(Answering(Answer(code), good), 10, 0.1) == [good]

    @pytest.mark.parametrize(
        "code", [KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError._FATAL, KafkaError.INVALID_RECORD]
    )
    def test_what_does_not_pass_stops_the_stage(self, code: int) -> None:
        with pytest.raises(StageError):
            poll_batch(Answering(Answer(None), Answer(code)), 10, 0.1)

    def test_the_end_of_a_topic_that_does_not_exist_is_not_guessed(
        self, log: KafkaSettings, reader: OpenConsumer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("crossbook.runtime.kafka.PROPAGATION_S", 0.2)
        with pytest.raises(LogError, match="nowhere does not exist"):
            offset_range(reader(log, "market"), log.prefix + "nowhere", 0)

    def test_stored_offsets_are_never_guessed(self) -> None:
        with pytest.raises(StageError, match="committed offsets"):
            committed_offsets(Refusing(), [TopicPartition("t", 0)])

    def test_partitions_without_a_stored_offset_start_at_the_beginning(
        self, log: KafkaSettings, reader: OpenConsumer
    ) -> None:
        consumer = reader(log, "market")
        topic = log.prefix + "market"
        consumer.commit(offsets=[TopicPartition(topic, 1, 42)], asynchronous=False)
        both = [TopicPartition(topic, 0), TopicPartition(topic, 1)]
        assert committed_offsets(consumer, both) == {(topic, 0): OFFSET_BEGINNING, (topic, 1): 42}

    def test_an_empty_partition_ends_where_it_starts(self, log: KafkaSettings, reader: OpenConsumer) -> None:
        assert offset_range(reader(log, "market"), log.prefix + "market", 1) == (0, 0)
