"""The relay of `control` into `market`: what operators and a starting decide say takes effect at a position of the log.

Decides which words of `control` concern the producers and how they follow each other: DecideAnnounced becomes DecideConfigured
in every partition, unless it says what is in force already; PairApproved and PairRevoked change the universe. It must never
reorder words, and never take a word twice: the caller tells it which were written.
"""

from typing import NamedTuple

import msgspec
from confluent_kafka import Consumer, TopicPartition

from crossbook.runtime.kafka import offset_range, open_consumer, poll_batch
from crossbook.runtime.settings import KafkaSettings
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import DecideAnnounced, DecideConfigured, Record
from schemas.topics import TOPICS

BATCH = 200
#: Fields of DecideConfigured that say what is in force.
_SETTINGS = tuple(
    name for name in DecideConfigured.__struct_fields__ if name not in {"ts_received_ns", "control_offset"}
)


class Word(NamedTuple):
    """One record of `control`; None for bytes that are none."""

    offset: int
    record: Record | None
    payload: bytes


class ControlReader:
    """Reads `control` from its beginning, in order."""

    def __init__(self, kafka: KafkaSettings, codec: Codec) -> None:
        self._codec = codec
        self._name = TOPICS["control"].full_name(kafka.prefix)
        self._consumer: Consumer = open_consumer(kafka, "relay")
        self._consumer.assign([TopicPartition(self._name, 0, 0)])
        self.end = offset_range(self._consumer, self._name, 0)[1]
        self.position = 0

    def read(self, timeout_s: float = 0.0) -> list[Word]:
        """Words that are there, at most a batch."""
        words: list[Word] = []
        for message in poll_batch(self._consumer, BATCH, timeout_s):
            payload = message.value() or b""
            offset = message.offset()
            assert offset is not None, "a consumed record has an offset"
            self.position = offset + 1
            try:
                words.append(Word(offset, self._codec.decode(payload), payload))
            except SchemaError:
                words.append(Word(offset, None, payload))
        return words

    def read_to_end(self) -> list[Word]:
        """Every word that was there when the reader was opened."""
        words: list[Word] = []
        while self.position < self.end:
            words += self.read(1.0)
        return words

    def close(self) -> None:
        """Leave."""
        self._consumer.close()


def configured(announced: DecideAnnounced, control_offset: int, ts_ns: int) -> DecideConfigured:
    """The record that puts an announcement in force."""
    return DecideConfigured(
        ts_received_ns=ts_ns,
        control_offset=control_offset,
        **{name: getattr(announced, name) for name in _SETTINGS},
    )


def in_force_already(known: DecideConfigured | None, new: DecideConfigured) -> bool:
    """Whether `new` says nothing that `known` does not."""
    if known is None:
        return False
    return known == msgspec.structs.replace(
        new, ts_received_ns=known.ts_received_ns, control_offset=known.control_offset
    )
