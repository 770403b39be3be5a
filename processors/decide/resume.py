"""Finds where decide goes on in a partition: the newest checkpoint at or before what is committed, else the head of the log.

Reads `market` (its head) and `checkpoints.decide`; writes nothing. Must never go on from a checkpoint of another log or other code,
and tells in a line why it passed one over. Where retention dropped the head, a checkpoint says what the log is, and without one to go
on from it refuses: a fold that begins anywhere else would give nothing a position.
"""

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import structlog

from crossbook.log.errors import LogError
from crossbook.log.head import checkpoint_tails, checkpoints, head_dropped, known_market, log_opened
from crossbook.log.reading import Log
from crossbook.runtime.kafka import await_settled, offset_range, open_consumer
from crossbook.runtime.kafka_log import KafkaLog, read_partition
from crossbook.runtime.settings import KafkaSettings
from processors.decide.checkpoint import STAGE, newest_state
from processors.decide.partition import PartitionFold
from processors.decide.state import DecideState
from processors.strategies.base import Strategies
from processors.strategies.table import STRATEGIES
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import Record
from schemas.topics import TOPICS

#: How many records from the end of an output topic are looked at first; doubled until an output is found.
TAIL_RECORDS = 32

Told = Callable[[Mapping[str, list[int]]], None]

_log = structlog.get_logger(stage=STAGE)


class Resumed(NamedTuple):
    """A partition to go on with: outputs of offsets below `committed_offset` are written already."""

    fold: PartitionFold
    offset: int
    committed_offset: int


def resume(
    kafka: KafkaSettings,
    codec: Codec,
    code_digest: str,
    partition: int,
    committed_offset: int,
    makers: Strategies = STRATEGIES,
) -> Resumed:
    """Restore one partition; `committed_offset` is negative where the group has none.

    Raises LogError when the group has committed more than the log holds, or the head of the log is gone and no checkpoint stands for
    it; BrokerAwayError when the log cannot be read.
    """
    return resume_log(KafkaLog(kafka), codec, code_digest, partition, committed_offset, makers)


def resume_log(
    log: Log,
    codec: Codec,
    code_digest: str,
    partition: int,
    committed_offset: int,
    makers: Strategies = STRATEGIES,
) -> Resumed:
    """As `resume`, on any log."""
    low, high = log.extent("market", partition)
    if committed_offset > high:
        raise LogError(
            f"group decide has committed offset {committed_offset} of market partition {partition} of {log.name}, which ends at {high}: "
            "the log was cut or recreated; restore it or use another kafka.prefix"
        )
    head = log_opened(log, codec, partition)
    if head is None and low > 0:
        return _resume_headless(log, codec, code_digest, partition, committed_offset, makers)
    counted = partial(intents_before, log, codec, partition)
    fresh = PartitionFold(partition, codec, DecideState(code_digest, makers), intents_before=counted)
    if head is None or committed_offset <= low:
        return Resumed(fresh, low, max(committed_offset, low))
    position_max = committed_offset - 1 - head.base_offset
    state = _newest(log, codec, partition, head.log_id, position_max, code_digest, makers)
    if state is None:
        return Resumed(fresh, low, committed_offset)
    fold = PartitionFold(partition, codec, state, head.base_offset, intents_before=counted)
    return Resumed(fold, head.base_offset + state.market.position + 1, committed_offset)


def _resume_headless(
    log: Log, codec: Codec, code_digest: str, partition: int, committed_offset: int, makers: Strategies
) -> Resumed:
    low, _ = log.extent("market", partition)
    if committed_offset < low:
        told = "no offset" if committed_offset < 0 else f"offset {committed_offset}"
        raise head_dropped(log, partition, f"{told} in group decide, which says what is written already")
    market = known_market(log, codec, partition)
    if market is None:
        raise head_dropped(log, partition, f"no checkpoint of decide at or behind offset {low}")
    base = market.base_offset
    state = _newest(log, codec, partition, market.log_id, committed_offset - 1 - base, code_digest, makers)
    if state is None or (offset := base + state.market.position + 1) < low:
        raise head_dropped(
            log,
            partition,
            f"no checkpoint of decide by this code ({code_digest[:12]}…) from offset {low} to {committed_offset}",
        )
    fold = PartitionFold(partition, codec, state, base, intents_before=partial(intents_before, log, codec, partition))
    return Resumed(fold, offset, committed_offset)


def newest_checkpoint(
    log: Log,
    codec: Codec,
    partition: int,
    *,
    log_id: str,
    position_max: int,
    code_digest: str,
    makers: Strategies = STRATEGIES,
    told: Told = lambda _: None,
) -> DecideState | None:
    """The newest state that this code can go on from, looked for from the end back to a bound.

    `told` is called with what was passed over: positions by reason.
    """
    ignored: dict[str, list[int]] = {}

    def note(position: int, reason: str) -> None:
        ignored.setdefault(reason, []).append(position)

    for start, last in checkpoint_tails(log, "checkpoints.decide", partition):
        ignored.clear()
        state = newest_state(
            checkpoints(log, codec, "checkpoints.decide", partition, start),
            log_id=log_id,
            partition=partition,
            position_max=position_max,
            code_digest=code_digest,
            makers=makers,
            on_ignored=note,
        )
        if state is not None or last:
            told(ignored)
            return state
    return None


def _newest(
    log: Log, codec: Codec, partition: int, log_id: str, position_max: int, digest: str, makers: Strategies
) -> DecideState | None:
    def tell(ignored: Mapping[str, list[int]]) -> None:
        _tell(partition, ignored)

    return newest_checkpoint(
        log,
        codec,
        partition,
        log_id=log_id,
        position_max=position_max,
        code_digest=digest,
        makers=makers,
        told=tell,
    )


def _tell(partition: int, ignored: Mapping[str, list[int]]) -> None:
    for reason, positions in ignored.items():
        _log.warning(
            "decide.checkpoint_ignored",
            partition=partition,
            position=max(positions),
            reason=reason,
            checkpoints=len(positions),
        )


def intents_before(log: Log, codec: Codec, partition: int, position: int) -> int:
    """How many intents a partition of a log holds whose causes stand before a position: the number of the last of them."""
    low, high = log.extent("intents", partition)
    tail = TAIL_RECORDS
    while low < high:
        start = max(low, high - tail)
        found = -1
        for line in log.read("intents", partition, start=start, end=high):
            with contextlib.suppress(SchemaError):
                record = codec.decode(line.value)
                if place_of(record)[0] < position:
                    found = max(found, getattr(record, "number", 0))
        if found >= 0 or start == low:
            return max(found, 0)
        tail *= 2
    return 0


def place_of(record: Record) -> tuple[int, int]:
    """Where an output stands among all outputs of its partition: position of its cause and index; (-1, -1) for no output."""
    return getattr(record, "position", -1), getattr(record, "index", -1)


def last_written(kafka: KafkaSettings, codec: Codec, topic: str, partition: int) -> tuple[int, int]:
    """Place of the last committed output on a topic partition, (-1, -1) when there is none.

    Waits for what an earlier instance is still committing.
    """
    await_settled(kafka, [topic], partition)
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
