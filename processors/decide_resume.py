"""Finds where decide goes on in a partition: the newest checkpoint at or before what is committed, else the head of the log.

Reads `market` (its head) and `checkpoints.decide`; writes nothing. Must never go on from a checkpoint of another log or other code.
"""

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from confluent_kafka import Consumer

from crossbook.runtime.errors import LogError
from crossbook.runtime.kafka import offset_range, open_consumer
from crossbook.runtime.reading import read_partition
from crossbook.runtime.settings import KafkaSettings
from processors.checkpoint import newest_state
from processors.decide_partition import PartitionFold
from processors.decide_state import DecideState
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import Checkpoint, LogOpened, Record
from schemas.topics import TOPICS

#: How many records from the end of `checkpoints.decide` are looked at first; doubled until a checkpoint is found.
TAIL_RECORDS = 32


class Resumed(NamedTuple):
    """A partition to go on with: outputs of offsets below `committed_offset` are written already."""

    fold: PartitionFold
    offset: int
    committed_offset: int


def resume(kafka: KafkaSettings, codec: Codec, code_digest: str, partition: int, committed_offset: int) -> Resumed:
    """Restore one partition; `committed_offset` is negative where the group has none.

    Raises LogError when the group has committed more than the log holds, BrokerAwayError when the log cannot be read.
    """
    reader = open_consumer(kafka, "decide.resume", read_committed=False)
    try:
        market = TOPICS["market"].full_name(kafka.prefix)
        low, high = offset_range(reader, market, partition)
        if committed_offset > high:
            raise LogError(
                f"group decide has committed offset {committed_offset} of {market} partition {partition}, which ends at {high}: "
                "the log was cut or recreated; restore it or use another kafka.prefix"
            )
        fresh = PartitionFold(partition, codec, DecideState(code_digest))
        head = _log_opened(kafka, codec, partition)
        if head is None or committed_offset <= low:
            return Resumed(fresh, low, max(committed_offset, low))
        state = _newest(reader, codec, kafka, head, code_digest, committed_offset - 1 - head.base_offset)
        if state is None:
            return Resumed(fresh, low, committed_offset)
        fold = PartitionFold(partition, codec, state, head.base_offset)
        return Resumed(fold, head.base_offset + state.market.position + 1, committed_offset)
    finally:
        reader.close()


def _log_opened(kafka: KafkaSettings, codec: Codec, partition: int) -> LogOpened | None:
    for line in read_partition(kafka, "market", partition):
        try:
            record = codec.decode(line.value)
        except SchemaError:
            continue
        if isinstance(record, LogOpened):
            return record
    return None


def _newest(
    reader: Consumer, codec: Codec, kafka: KafkaSettings, head: LogOpened, code_digest: str, position_max: int
) -> DecideState | None:
    topic = TOPICS["checkpoints.decide"].full_name(kafka.prefix)
    low, high = offset_range(reader, topic, head.partition)
    tail = TAIL_RECORDS
    while low < high:
        start = max(low, high - tail)
        records = _checkpoints(kafka, codec, head.partition, start)
        state = newest_state(
            records, log_id=head.log_id, partition=head.partition, position_max=position_max, code_digest=code_digest
        )
        if state is not None or start == low:
            return state
        tail *= 2
    return None


def _checkpoints(kafka: KafkaSettings, codec: Codec, partition: int, start: int) -> Iterator[Checkpoint]:
    for line in read_partition(kafka, "checkpoints.decide", partition, start=start):
        try:
            record = codec.decode(line.value)
        except SchemaError:
            continue
        if isinstance(record, Checkpoint):
            yield record


def place_of(record: Record) -> tuple[int, int]:
    """Where an output stands among all outputs of its partition: position of its cause and index; (-1, -1) for no output."""
    return getattr(record, "position", -1), getattr(record, "index", -1)


def last_written(kafka: KafkaSettings, codec: Codec, topic: str, partition: int) -> tuple[int, int]:
    """Place of the last committed output on a topic partition, (-1, -1) when there is none."""
    reader = open_consumer(kafka, "decide.resume")
    try:
        low, high = offset_range(reader, TOPICS[topic].full_name(kafka.prefix), partition)
    finally:
        reader.close()
    tail = TAIL_RECORDS
    while low < high:
        start = max(low, high - tail)
        last = (-1, -1)
        for line in read_partition(kafka, topic, partition, start=start):
            with contextlib.suppress(SchemaError):
                last = max(last, place_of(codec.decode(line.value)))
        if last >= (0, 0) or start == low:
            return last
        tail *= 2
    return -1, -1
