"""Lag against the broker's own offsets: markers are no lag, an open transaction is told apart, a large gap is an estimate."""

import time
import uuid

import pytest
from confluent_kafka import Producer, TopicPartition

from crossbook.log.errors import LogError
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import (
    Outgoing,
    RecordProducer,
    TransactionalProducer,
    client_config,
    create_topics,
    offset_range,
    open_consumer,
)
from crossbook.runtime.settings import KafkaSettings
from deploy.operate import lag
from deploy.operate.lag import lag_rows, render_lag
from schemas.codec import load_codec
from tests.contract.record_strategies import sample

CODEC = load_codec()
#: Append times are whole milliseconds, and told ages are rounded to them.
GRAIN_S = 0.002
GROUPS = {"project": ("signals", "control")}


@pytest.fixture
def settings(kafka):
    made = KafkaSettings(bootstrap=kafka.bootstrap, prefix=f"lag-{uuid.uuid4().hex[:10]}.")
    create_topics(made)
    return made


@pytest.fixture
def consumer(settings):
    opened = open_consumer(settings, "project")
    yield opened
    opened.close()


def one(settings, topic="signals", **options):
    (row,) = [row for row in lag_rows(settings, GROUPS, sample_s=0.05, **options) if row.topic == topic]
    return row


def commit(consumer, settings, offset, topic="signals"):
    consumer.commit(offsets=[TopicPartition(settings.prefix + topic, 0, offset)], asynchronous=False)


def transactions(settings, consumer, *sizes):
    """One transaction a size, each with that many records; each leaves a marker as well."""
    producer = TransactionalProducer(settings, "test")
    producer.init()
    value = CODEC.encode(sample("TopOfBook"))
    for size in sizes:
        producer.commit([Outgoing(settings.prefix + "signals", 0, None, value)] * size, [], consumer)


def test_an_empty_topic_has_no_lag(settings):
    row = one(settings)
    assert (row.committed, row.end_stable, row.lag_messages, row.lag_seconds, row.open_transaction_s) == (
        None,
        0,
        0,
        0.0,
        None,
    )
    assert row.catch_up_s == 0.0


def test_markers_take_offsets_and_are_no_lag(settings, consumer):
    before = time.time()
    transactions(settings, consumer, 3, 2, 1)
    row = one(settings)
    assert row.end_stable == offset_range(consumer, settings.prefix + "signals", 0)[1] == 9
    assert (row.lag_messages, row.exact) == (6, True)
    assert 0 < row.lag_seconds <= time.time() - before + GRAIN_S
    commit(consumer, settings, 4)  # the first transaction and its marker
    assert (one(settings).committed, one(settings).lag_messages) == (4, 3)
    commit(consumer, settings, 8)  # everything but the last marker
    row = one(settings)
    assert (row.lag_messages, row.lag_seconds, row.committed, row.end_stable) == (0, 0.0, 8, 9)


def test_lag_in_seconds_is_the_age_of_the_first_unread_record(settings, consumer):
    producer = RecordProducer(settings, CODEC, "test")
    between = []  # when each record was appended: not before it was sent, not after it was confirmed
    for _ in range(2):
        sent = time.time()
        producer.send("control", sample("TradingStateChanged"), partition=0)
        producer.flush()
        between.append((sent, time.time()))
    for read, (sent, confirmed) in enumerate(between):
        commit(consumer, settings, read, "control")
        asked = time.time()
        age = one(settings, "control").lag_seconds
        assert asked - confirmed - GRAIN_S <= age <= time.time() - sent + GRAIN_S


def test_an_open_transaction_is_told_apart(settings, consumer):
    transactions(settings, consumer, 2)
    producer = Producer(
        client_config(settings, "open")
        | {"transactional.id": f"{settings.prefix}open", "transaction.timeout.ms": 60_000}
    )
    producer.init_transactions(10)
    producer.begin_transaction()
    began = time.time()
    producer.produce(settings.prefix + "signals", CODEC.encode(sample("TopOfBook")), partition=0)
    producer.flush(10)
    row = one(settings)
    assert (row.end_stable, row.lag_messages) == (3, 2)
    assert row.open_transaction_s is not None
    assert 0 <= row.open_transaction_s <= time.time() - began + GRAIN_S
    producer.commit_transaction(10)
    row = one(settings)
    assert (row.open_transaction_s, row.lag_messages) == (None, 3)


def test_an_aborted_transaction_is_no_lag(settings, consumer):
    producer = Producer(client_config(settings, "abort") | {"transactional.id": f"{settings.prefix}abort"})
    producer.init_transactions(10)
    producer.begin_transaction()
    producer.produce(settings.prefix + "signals", CODEC.encode(sample("TopOfBook")), partition=0)
    producer.flush(10)
    producer.abort_transaction(10)
    row = one(settings)
    assert (row.lag_messages, row.lag_seconds, row.open_transaction_s) == (0, 0.0, None)
    assert row.end_stable == 2


def test_a_large_gap_is_an_estimate_that_is_said_to_be_one(settings, consumer):
    transactions(settings, consumer, lag.COUNTED_MAX, 4)
    row = one(settings)
    assert (row.lag_messages, row.exact) == (lag.COUNTED_MAX + 6, False)
    assert row.lag_seconds > 0


def test_catching_up_has_a_forecast_and_growing_has_none(settings, consumer):
    transactions(settings, consumer, 10)
    # Between the two samples the group reads on, or somebody writes.
    row = one(settings, wait=lambda _: commit(consumer, settings, 5))
    assert row.consumed_per_s > 0 == row.appended_per_s
    assert row.catch_up_s is not None
    assert row.catch_up_s > 0

    def written(_seconds: float) -> None:
        before = one(settings).end_stable
        transactions(settings, consumer, 3)
        while one(settings).end_stable == before:  # a commit returns before its marker stands
            pass

    row = one(settings, wait=written)
    assert row.appended_per_s > 0 == row.consumed_per_s
    assert row.catch_up_s is None


def test_looking_changes_no_offset_and_every_group_is_there(settings, consumer):
    transactions(settings, consumer, 2)
    commit(consumer, settings, 1)
    rows = lag_rows(settings, sample_s=0.05)
    assert {(row.group, row.topic) for row in rows} == {
        (group, topic) for group, topics in lag.READ_BY.items() for topic in topics
    }
    assert consumer.committed([TopicPartition(settings.prefix + "signals", 0)], 10)[0].offset == 1
    assert render_lag(rows, 0.0).row_count == len(rows)


def test_missing_topics_and_a_missing_broker_say_what_to_do(kafka):
    with pytest.raises(LogError, match="crossbook topics --create"):
        lag_rows(KafkaSettings(bootstrap=kafka.bootstrap, prefix="nothing-here."))
    with pytest.raises(BrokerAwayError, match="crossbook up"):
        lag_rows(KafkaSettings(bootstrap="127.0.0.1:1", prefix="nothing-here."))
