"""An operator's word, and the executors' answer to it.

Decides when a word is in force: every executor of the prefix has journaled it. An executor answers in its partition of `orders` with
a ControlApplied that names the word's offset on `control`; a word that it cannot apply it puts aside with a reason. Must never take
another word's answer for this one's, and never wait without a bound.
"""

import time
from collections.abc import Mapping
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import CALL_TIMEOUT_S, client_config, offset_range, open_consumer, poll_batch
from crossbook.runtime.settings import KafkaSettings, Settings
from deploy.errors import UsageError
from schemas.codec import load_codec
from schemas.errors import SchemaError
from schemas.records import ControlApplied, DeadLetter, Record
from schemas.topics import TOPICS, partition_of

METADATA_S = 10.0


class Acknowledgement(NamedTuple):
    """The word at this offset of `control` is in force: journal number of each executor's answer, by its partition of `orders`."""

    control_offset: int
    sequences: Mapping[int, int]
    waited_s: float


class Unanswered(NamedTuple):
    """The word stands at this offset of `control`; these partitions of `orders` hold no answer to it."""

    control_offset: int
    silent: tuple[int, ...]
    waited_s: float


def say(kafka: KafkaSettings, record: Record) -> int:
    """Write one record to `control`, wait until the broker has it, and return its offset there.

    Raises:
        BrokerAwayError: the broker did not take it in time; it is not said and will not be.
    """
    told: list[tuple[KafkaError | None, Message]] = []
    producer = Producer(
        client_config(kafka, "operator")
        | {"enable.idempotence": True, "linger.ms": 0, "message.timeout.ms": round(CALL_TIMEOUT_S * 1_000)}
    )
    producer.produce(
        TOPICS["control"].full_name(kafka.prefix),
        load_codec().encode(record),
        partition=0,
        on_delivery=lambda error, message: told.append((error, message)),
    )
    producer.flush(CALL_TIMEOUT_S + 1)
    if not told or told[0][0] is not None:
        why = told[0][0].str() if told and told[0][0] is not None else "no answer"
        raise BrokerAwayError(
            f"the broker at {kafka.bootstrap} did not take the word within {CALL_TIMEOUT_S:g} s ({why})"
        )
    offset = told[0][1].offset()
    assert offset is not None, "a delivered record has an offset"
    return offset


def say_and_wait(settings: Settings, record: Record, *, wait_s: float) -> Acknowledgement | Unanswered:
    """Write a word to `control` and wait until every executor of the prefix has journaled it.

    Raises:
        BrokerAwayError: the broker did not take it; nothing was said.
        UsageError: an executor cannot apply it; the reason is its own.
    """
    kafka = settings.kafka
    consumer = open_consumer(kafka, "operator")
    try:
        journals = _journals(consumer, settings)
        letters = TOPICS["deadletter"].full_name(kafka.prefix)
        ends = {
            number: offset_range(consumer, TOPICS["orders"].full_name(kafka.prefix), number)[1] for number in journals
        }
        letters_end = offset_range(consumer, letters, 0)[1]
        offset = say(kafka, record)
        started = time.monotonic()
        consumer.assign(
            [TopicPartition(TOPICS["orders"].full_name(kafka.prefix), number, end) for number, end in ends.items()]
            + [TopicPartition(letters, 0, letters_end)]
        )
        answers: dict[int, int] = {}
        while set(answers) < set(journals):
            if time.monotonic() - started > wait_s:
                silent = tuple(sorted(set(journals) - set(answers)))
                return Unanswered(offset, silent, time.monotonic() - started)
            for message in poll_batch(consumer, 500, 0.1):
                _hear(message, kafka, offset, answers)
        return Acknowledgement(offset, answers, time.monotonic() - started)
    finally:
        consumer.close()


def _hear(message: Message, kafka: KafkaSettings, offset: int, answers: dict[int, int]) -> None:
    try:
        record = load_codec().decode(message.value() or b"")
    except SchemaError:
        return
    partition = message.partition()
    assert partition is not None, "a record without error has a partition"
    if isinstance(record, ControlApplied) and record.control_offset == offset:
        answers[partition] = record.sequence
    elif isinstance(record, DeadLetter) and (record.stage, record.source, record.offset) == (
        "execute",
        TOPICS["control"].full_name(kafka.prefix),
        offset,
    ):
        raise UsageError(f"the executor does not apply it: {record.error}")


def _journals(consumer: Consumer, settings: Settings) -> tuple[int, ...]:
    """Partitions of `orders` whose executor must answer: those of the settings' portfolios, and every one that something stands in.

    One that has just been started has journaled nothing yet, and must not be passed over for it.
    """
    name = TOPICS["orders"].full_name(settings.kafka.prefix)
    found = consumer.list_topics(name, METADATA_S).topics[name].partitions
    ours = {partition_of(portfolio) for portfolio in settings.portfolio_names}
    return tuple(number for number in sorted(found) if number in ours or offset_range(consumer, name, number)[1])
