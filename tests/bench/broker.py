"""The anchor of a run: what this broker and this codec can do here and now, with nothing of the pipeline around them."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import TopicPartition

from crossbook.runtime.kafka import (
    Outgoing,
    RecordProducer,
    TransactionalProducer,
    create_topics,
    open_consumer,
    poll_batch,
)
from crossbook.runtime.settings import KafkaSettings
from deploy.stack.kafka.child import KafkaServer
from schemas.codec import load_codec
from schemas.topics import TOPICS
from tests.bench.market import MIXED, World
from tests.bench.report import Row, distribution
from tests.bench.stack import PREFIX

MESSAGES = 200_000
WARM_UP = 50_000
TRANSACTIONS = 1_500
WARM_UP_TRANSACTIONS = 1_500
T0 = 1_780_000_000_000_000_000


def run() -> list[Row]:
    """Produce, consume and transact on a broker of one's own; about 40 s."""
    codec = load_codec()
    world = World(40, MIXED)
    records = [world.update(T0 + number * 200_000) for number in range(20_000)]
    encoded = [codec.encode(record) for record in records]
    with tempfile.TemporaryDirectory(prefix="crossbook-bench-") as folder, KafkaServer(folder=Path(folder)) as server:
        kafka = KafkaSettings(bootstrap=server.bootstrap, prefix=PREFIX, buffer_records=100_000)
        create_topics(kafka)
        producer = RecordProducer(kafka, codec, "bench")
        _produce(producer, encoded, WARM_UP)
        rows = [_row("produce encoded, idempotent, lz4", lambda: _produce(producer, encoded, MESSAGES), "180–190k/s")]
        again = lambda: sum(len(codec.encode(record)) > 0 for _ in range(5) for record in records)  # noqa: E731 - one count
        rows.append(_row("encode a BookDelta, one process", again, "fastavro alone 199k/s"))
        rows.append(_row("consume in batches of 500", lambda: _consume(kafka), "consume(1000) 287k/s"))
        rows += [_transactions(kafka, encoded[0], offsets=offsets) for offsets in (False, True)]
    return rows


def _row(what: str, action: Callable[[], int], against: str) -> Row:
    start = time.perf_counter()
    done = action()
    rate = done / (time.perf_counter() - start)
    return Row(
        what=what,
        figures={"rate": rate},
        unit="messages/s",
        n=done,
        warm_up="broker 50,000 messages",
        against=f"FIELD 4: {against}",
    )


def _produce(producer: RecordProducer, encoded: list[bytes], count: int) -> int:
    for number in range(count):
        while producer.waiting > 80_000:
            producer.poll(0.001)
        producer.send_bytes("market", encoded[number % len(encoded)], partition=0)
    producer.flush(60)
    return count


def _consume(kafka: KafkaSettings) -> int:
    consumer = open_consumer(kafka, "bench")
    try:
        consumer.assign([TopicPartition(TOPICS["market"].full_name(kafka.prefix), 0, 0)])
        seen = 0
        while seen < MESSAGES:
            seen += len(poll_batch(consumer, 500, 5.0))
        return seen
    finally:
        consumer.close()


def _transactions(kafka: KafkaSettings, value: bytes, *, offsets: bool) -> Row:
    """One output a transaction, back to back, as the order path makes them."""
    producer = TransactionalProducer(kafka, f"bench.{offsets}")
    producer.init()
    consumer = open_consumer(kafka, "bench")
    try:
        samples: list[int] = []
        market = TOPICS["market"].full_name(kafka.prefix)
        orders = TOPICS["orders"].full_name(kafka.prefix)
        for number in range(WARM_UP_TRANSACTIONS + TRANSACTIONS):
            start = time.perf_counter_ns()
            moved = [TopicPartition(market, 0, number + 1)] if offsets else []
            producer.commit([Outgoing(orders, 0, b"bench", value)], moved, consumer)
            samples.append(time.perf_counter_ns() - start)
    finally:
        consumer.close()
    measured = samples[WARM_UP_TRANSACTIONS:]
    return Row(
        what=f"transaction of one output {'and input offsets' if offsets else 'alone'}",
        figures=distribution(measured, 1e6),
        unit="ms",
        n=len(measured),
        warm_up=f"{WARM_UP_TRANSACTIONS:,} transactions",
        against="FIELD 4: transactional write-ahead 3.0, with offsets to a consumer 3.5 ms",
    )
