"""Kafka, as every stage uses it: a plain producer with a bounded buffer, a transactional one, and assigned consumers.

The settings are those that a prototype on a real broker needed: `poll` before `consume` (consume alone waits its whole time-out
unless n records arrive), a 2 ms retry back-off on transactions (100 ms by default is the price of CONCURRENT_TRANSACTIONS), and
a linger of 1 ms. Errors of the client library leave this module as `crossbook.runtime.errors`.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # re-exported without __all__

from crossbook.domain.errors import StageError
from crossbook.log.errors import LogError
from crossbook.runtime.caller import Caller
from crossbook.runtime.errors import BrokerAwayError, BufferFullError
from crossbook.runtime.kafka_errors import ABSENT, absent, passes, translate
from crossbook.runtime.metrics import stage_metrics
from crossbook.runtime.settings import KafkaSettings
from schemas.codec import Codec
from schemas.records import Record
from schemas.topics import TOPICS

TRANSACTION_TIMEOUT_MS = 10_000
#: How long one call to the broker may take before it is reported as away; calls are repeated where that is safe.
CALL_TIMEOUT_S = 10.0
#: How long `send_offsets_to_transaction` may take, and after how long it is given up: the client forgets its time-out when the
#: group's coordinator goes away meanwhile, and blocks for ever (librdkafka issues 5456 and 5511, seen with 2.16 after `kill -9` of
#: the broker). A broker that was killed is back within these seconds; a stage that gives up starts over from its log.
OFFSETS_TIMEOUT_S = 4.0
OFFSETS_LOST_S = 5.0
#: Largest record a producer takes: what the topics take (librdkafka's own 1 MB would refuse a large frame that the broker takes).
RECORD_BYTES_MAX = 2_097_152 - 16_384
#: A topic that was just created may be unknown to a broker for this long, and every topic to one that stood still and is back.
PROPAGATION_S = 5.0
#: A transaction that is open or half committed is ended by its coordinator within the transaction's time-out; a broker that was
#: killed meanwhile needs as long again to come back and finish its markers.
SETTLED_S = 3 * TRANSACTION_TIMEOUT_MS / 1000
#: librdkafka stops fetching when its queue holds `queued.min.messages` and by default looks again only after a second: a reader
#: that catches up is then capped at 20 to 30 thousand records/s. Measured with 5 ms instead: over a million.
FAST_FETCH: dict[str, Any] = {"queued.min.messages": 50_000, "fetch.queue.backoff.ms": 5}


class Outgoing(NamedTuple):
    """An encoded record on its way to a topic partition."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes


def client_config(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Settings that every client shares."""
    return {
        "bootstrap.servers": kafka.bootstrap,
        "client.id": f"{kafka.prefix}{client_id}",
        "broker.address.family": "v4",
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 1_000,
        "log_level": 2,  # connection failures are reported by the stages, in their own words
    }


class RecordProducer:
    """Plain idempotent producer that never blocks: what does not fit its buffer is refused.

    Delivery is confirmed in the background; a record that the broker refused for good makes the next call raise.
    """

    def __init__(self, kafka: KafkaSettings, codec: Codec, client_id: str, *, linger_ms: int = 1) -> None:
        self._codec = codec
        self._prefix = kafka.prefix
        self._failure: KafkaError | None = None
        self.delivered = 0
        self._metrics = stage_metrics()
        self._producer = Producer(
            client_config(kafka, client_id)
            | {
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": linger_ms,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": kafka.buffer_records,
                "queue.buffering.max.kbytes": 262_144,
                "message.max.bytes": RECORD_BYTES_MAX,
                "message.timeout.ms": 0,  # as long as the buffer holds it; the bound is the buffer
            }
        )

    def send(self, topic: str, record: Record, *, key: str | None = None, partition: int = -1) -> None:
        """Queue a record for a topic (named without the prefix); partition -1 is chosen by the key.

        Raises:
            BufferFullError: the buffer is full; nothing was queued.
            RecordTooLargeError: the topic takes no record of that size; nothing was queued.
            StageError: an earlier record was refused by the broker.
        """
        self.send_bytes(topic, self._codec.encode(record), key=key, partition=partition)

    def send_bytes(self, topic: str, value: bytes, *, key: str | None = None, partition: int = -1) -> None:
        """Queue an encoded record; see `send`."""
        if self._failure is not None:
            raise StageError(f"the broker refused a record for {topic}: {self._failure}")
        try:
            self._producer.produce(
                self._prefix + topic,
                value,
                key=None if key is None else key.encode(),
                partition=partition,
                on_delivery=self._on_delivery,
            )
        except BufferError as error:
            self._metrics.refused.inc()
            raise BufferFullError(f"{len(self._producer)} records wait for the broker; the buffer is full") from error
        except KafkaException as error:  # too large, or no such partition: known before anything is sent
            raise translate(error, f"a record of {len(value)} bytes for {topic}") from error
        self._metrics.produced.labels(topic).inc()

    def send_patiently(self, topic: str, record: Record, *, key: str | None = None, partition: int = -1) -> None:
        """Queue a record; when the buffer is full, wait until the broker has taken what is in it.

        Raises:
            BrokerAwayError: it did not within the time of a call; the record was not queued.
            StageError: an earlier record was refused by the broker.
        """
        try:
            self.send(topic, record, key=key, partition=partition)
        except BufferFullError:
            self.flush()
            self.send(topic, record, key=key, partition=partition)

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.delivered += 1
        else:
            self._failure = error

    def poll(self, timeout_s: float = 0.0) -> None:
        """Serve delivery reports; call it regularly."""
        self._producer.poll(timeout_s)
        self._metrics.waiting.set(len(self._producer))

    @property
    def waiting(self) -> int:
        """Records not yet confirmed."""
        return len(self._producer)

    def flush(self, timeout_s: float = CALL_TIMEOUT_S) -> None:
        """Wait until everything is confirmed.

        Raises:
            BrokerAwayError: records still wait after the time-out.
            StageError: the broker refused a record.
        """
        left = self._producer.flush(timeout_s)
        if self._failure is not None:
            raise StageError(f"the broker refused a record: {self._failure}")
        if left:
            raise BrokerAwayError(f"{left} records were not taken by the broker within {timeout_s:g} s; is it up?")


class TransactionalProducer:
    """Writes batches of outputs together with the input offsets that they stand for, all or nothing.

    `begin` comes from `commit` itself; a batch that fails is aborted and raises, and the stage restarts from its log.
    """

    def __init__(self, kafka: KafkaSettings, name: str) -> None:
        self.transactional_id = f"{kafka.prefix}{name}"
        self._caller = Caller()
        self._producer = Producer(
            client_config(kafka, name)
            | {
                "transactional.id": self.transactional_id,
                "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
                "message.max.bytes": RECORD_BYTES_MAX,
                "retry.backoff.ms": 2,
                "retry.backoff.max.ms": 50,
                "compression.type": "lz4",
                "linger.ms": 0,
            }
        )

    def init(self, deadline_s: float = 60.0) -> None:
        """Fence every earlier instance and finish or abort what it left. Call it before any position is read.

        Raises:
            BrokerAwayError: the broker did not answer by the deadline.
            FencedError: a later instance exists.
        """
        end = time.monotonic() + deadline_s
        while True:
            try:
                self._producer.init_transactions(CALL_TIMEOUT_S)
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > end:
                    raise translate(error, self.transactional_id) from error
            else:
                return

    def commit(self, outputs: Iterable[Outgoing], offsets: Sequence[TopicPartition], consumer: Consumer) -> None:
        """Write outputs and input offsets in one transaction and wait until it is committed.

        Raises:
            FencedError: a later instance took over; stop at once.
            BrokerAwayError: the outcome is not known; restart from the log.
            StageError: the transaction was aborted; restart from the log.
        """
        metrics = stage_metrics()
        try:
            with metrics.transactions.time():
                self._producer.begin_transaction()
                for topic, partition, key, value in outputs:
                    self._produce(topic, partition, key, value)
                    metrics.produced.labels(topic).inc()
                if offsets:
                    self._retry(lambda: self._send_offsets(offsets, consumer))
                self._retry(lambda: self._producer.commit_transaction(CALL_TIMEOUT_S))
        except KafkaException as error:
            self._abort()
            raise translate(error, self.transactional_id) from error
        except Exception:
            self._abort()  # an output that cannot be made must not leave a transaction open
            raise

    def _send_offsets(self, offsets: Sequence[TopicPartition], consumer: Consumer) -> None:
        group = consumer.consumer_group_metadata()

        def send() -> None:
            self._producer.send_offsets_to_transaction(list(offsets), group, OFFSETS_TIMEOUT_S)

        try:
            self._caller.call(send, OFFSETS_LOST_S)
        except TimeoutError as error:
            raise BrokerAwayError(
                f"{self.transactional_id}: the broker went away while offsets were sent; starting over from the log"
            ) from error

    def _produce(self, topic: str, partition: int, key: bytes | None, value: bytes) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key=key, partition=partition)
            except BufferError:
                self._producer.poll(0.01)
            else:
                return

    def _retry(self, call: Any) -> None:
        end = time.monotonic() + 2 * TRANSACTION_TIMEOUT_MS / 1000
        while True:
            try:
                call()
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > end:
                    raise
            else:
                return

    def _abort(self) -> None:
        stage_metrics().aborted.inc()
        try:
            self._producer.abort_transaction(CALL_TIMEOUT_S)
        except KafkaException:
            return  # nothing to abort, or fenced, or the broker does it by its time-out; the caller's error matters


def open_consumer(
    kafka: KafkaSettings, group: str, *, read_committed: bool = True, fetch_wait_ms: int = 50, fetch_min_bytes: int = 1
) -> Consumer:
    """Build a consumer whose partitions are assigned by hand and whose offsets are stored by transactions or `commit`.

    The group's name gets the prefix. Nothing is assigned yet.
    """
    return Consumer(
        client_config(kafka, group)
        | {
            "group.id": f"{kafka.prefix}{group}",
            "isolation.level": "read_committed" if read_committed else "read_uncommitted",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": fetch_wait_ms,
            "fetch.min.bytes": fetch_min_bytes,
            **FAST_FETCH,
            "enable.partition.eof": False,
        }
    )


def poll_batch(consumer: Consumer, limit: int, timeout_s: float) -> list[Message]:
    """Return up to `limit` records: the first as soon as it is there, the rest only if they are there already.

    Raises:
        LogError: a topic or partition is gone.
        StageError: another error of the broker that does not pass by itself.
    """
    first = consumer.poll(timeout_s)
    if first is None:
        return []
    batch = [first, *consumer.consume(limit - 1, 0)] if limit > 1 else [first]
    good: list[Message] = []
    for message in batch:
        error = message.error()
        if error is None:
            good.append(message)
        elif error.code() in ABSENT:
            offset_range(consumer, str(message.topic()), message.partition() or 0)
        elif not passes(KafkaException(error)):
            raise StageError(f"{message.topic()}: {error.str()}")
    for topic, count in Counter(message.topic() for message in good).items():
        stage_metrics().consumed.labels(topic).inc(count)
    return good


def committed_offsets(consumer: Consumer, partitions: Sequence[TopicPartition]) -> dict[tuple[str, int], int]:
    """Read the group's stored offsets; partitions without one start at the beginning.

    Raises:
        BrokerAwayError: the broker does not answer.
    """
    end = time.monotonic() + 60
    while True:
        try:
            found = consumer.committed(list(partitions), CALL_TIMEOUT_S)
        except KafkaException as error:
            failed = error
        else:
            # An error here must never be taken for "none stored": that would start at the beginning.
            errors = [tp.error for tp in found if tp.error is not None]
            if not errors:
                return {(tp.topic, tp.partition): (tp.offset if tp.offset >= 0 else OFFSET_BEGINNING) for tp in found}
            failed = KafkaException(errors[0])
        if time.monotonic() > end or not passes(failed):
            raise translate(failed, "committed offsets") from failed
        time.sleep(0.05)


def offset_range(consumer: Consumer, topic: str, partition: int) -> tuple[int, int]:
    """First offset kept and the end: after the last record, or the last stable offset when reading committed.

    Raises:
        BrokerAwayError: the broker does not answer.
        LogError: there is no such topic or partition.
    """
    start, absent_since = time.monotonic(), 0.0
    while True:
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), CALL_TIMEOUT_S)
        except KafkaException as error:
            now = time.monotonic()
            if error.args[0].code() in ABSENT:
                absent_since = absent_since or now
                if now - absent_since > PROPAGATION_S:
                    raise absent(topic) from error
            elif now - start > 60 or not passes(error):
                raise translate(error, topic) from error
            time.sleep(0.05)
        else:
            return low, high


def await_settled(kafka: KafkaSettings, topics: Iterable[str], partition: int) -> None:
    """Wait until no transaction is under way on a partition of some topics (named without the prefix): all that stands there is readable.

    A transaction can be decided and yet invisible: its markers are written after the decision, one partition after another, and a broker
    that was killed in between writes them when it is back. Who reads a topic's end meanwhile misses what the transaction wrote.

    Raises:
        BrokerAwayError: the broker does not answer, or a transaction is still under way after its time-out.
        LogError: there is no such topic or partition.
    """
    stable, all_of_it = (open_consumer(kafka, "settled", read_committed=committed) for committed in (True, False))
    end = time.monotonic() + SETTLED_S
    try:
        for topic in topics:
            name = TOPICS[topic].full_name(kafka.prefix)
            _, wanted = offset_range(all_of_it, name, partition)
            while offset_range(stable, name, partition)[1] < wanted:
                if time.monotonic() > end:
                    raise BrokerAwayError(
                        f"a transaction on {name} partition {partition} is still under way; starting over from the log"
                    )
                time.sleep(0.05)
    finally:
        stable.close()
        all_of_it.close()


def admin_client(kafka: KafkaSettings) -> AdminClient:
    """Open an administrative client."""
    return AdminClient(client_config(kafka, "admin"))


def wait_for_broker(kafka: KafkaSettings, deadline_s: float) -> None:
    """Wait until the broker answers.

    Raises:
        BrokerAwayError: it did not by the deadline.
    """
    admin = admin_client(kafka)
    end = time.monotonic() + deadline_s
    while True:
        try:
            admin.list_topics(timeout=2)
        except KafkaException as error:
            if time.monotonic() > end:
                raise BrokerAwayError(
                    f"no Kafka broker answers at {kafka.bootstrap}; start one with `crossbook up` or set CROSSBOOK_KAFKA__BOOTSTRAP"
                ) from error
        else:
            return


def create_topics(kafka: KafkaSettings) -> list[str]:
    """Create the declared topics that do not exist yet; return the names of those created.

    Raises:
        LogError: a topic exists with another number of partitions than the settings say.
        BrokerAwayError: the broker does not answer.
    """
    admin = admin_client(kafka)
    try:
        existing = admin.list_topics(timeout=CALL_TIMEOUT_S).topics
    except KafkaException as error:
        raise translate(error, "topics") from error
    counts = {topic.full_name(kafka.prefix): topic.partition_count(kafka.partitions) for topic in TOPICS.values()}
    configs = {topic.full_name(kafka.prefix): topic.config() for topic in TOPICS.values()}
    missing = [
        NewTopic(name, num_partitions=count, replication_factor=-1, config=configs[name])
        for name, count in counts.items()
        if name not in existing
    ]
    _check_partitions(existing, counts)
    created: list[str] = []
    for name, future in admin.create_topics(missing).items() if missing else ():
        try:
            future.result(CALL_TIMEOUT_S)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise translate(error, name) from error
        else:
            created.append(name)
    _check_partitions(_wait_for_leaders(admin, list(counts)), counts)
    return created


def _check_partitions(existing: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        if name in existing and len(existing[name].partitions) != count:
            raise LogError(
                f"topic {name} has {len(existing[name].partitions)} partitions, the settings say {count}; "
                "partitions are fixed for a prefix: choose another prefix"
            )


def _wait_for_leaders(admin: AdminClient, names: Sequence[str]) -> Mapping[str, Any]:
    """Wait until the broker knows a leader of each partition: "created" alone means that the controller has noted it."""
    end = time.monotonic() + CALL_TIMEOUT_S
    while True:
        try:
            there: Mapping[str, Any] = admin.list_topics(timeout=CALL_TIMEOUT_S).topics
        except KafkaException as error:
            raise translate(error, "topics") from error
        waiting = [
            name
            for name in names
            if name not in there or any(found.leader < 0 for found in there[name].partitions.values())
        ]
        if not waiting:
            return there
        if time.monotonic() > end:
            raise BrokerAwayError(f"{waiting[0]} was created, but no broker leads it; are enough brokers up?")
        time.sleep(0.05)
