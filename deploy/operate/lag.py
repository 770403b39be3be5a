"""Consumer lag of every group, exactly: data records that are committed on the log and not yet read, and how old the first is.

Decides what counts as lag. Transaction markers take offsets but are not lag, so a small gap is counted by reading it; an open
transaction hides what stands behind it from every reader, and is told apart with its age. It must never join a group or commit
anything: looking at lag changes nothing.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Self

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from rich.table import Table

from crossbook.log.errors import LogError
from crossbook.runtime.clock import now_ns
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import client_config, committed_offsets, offset_range, open_consumer, wait_for_broker
from crossbook.runtime.settings import KafkaSettings
from schemas.topics import GROUPS, PORTFOLIOS, TOPICS, group_of, read_by

#: Which group reads which topics.
READ_BY: dict[str, tuple[str, ...]] = {group: read_by(group) for group in GROUPS}
#: A gap of at most this many offsets is read and counted; a larger one is told as the difference of offsets, an upper bound.
COUNTED_MAX = 10_000
#: Between the two samples of the trend: longer than a batch of the projection, which commits in steps.
SAMPLE_S = 1.0
#: The broker has this long to hand over what it says it has: a second usually, more where the machine is busy.
READ_S = 60.0
BROKER_S = 5.0


class LagRow(NamedTuple):
    """Lag of a group on one partition of a topic (named without the prefix).

    `committed` is the group's offset, None when it has none (everything is unread then). `end_stable` is the last stable offset:
    nothing from there on is readable yet. `lag_messages` counts unread data records below it, exactly if `exact`, else it is the
    difference of offsets. `lag_seconds` is the age of the first of them by the broker's append time, 0.0 if there is none.
    `open_transaction_s` is the age of the oldest record that an open transaction hides, None if there is none. `consumed_per_s` and
    `appended_per_s` are offsets a second between two samples; `catch_up_s` is 0.0 without lag, None if it is not shrinking.
    """

    group: str
    topic: str
    partition: int
    committed: int | None
    end_stable: int
    lag_messages: int
    exact: bool
    lag_seconds: float
    open_transaction_s: float | None
    consumed_per_s: float
    appended_per_s: float
    catch_up_s: float | None


class _Sample(NamedTuple):
    at_s: float
    committed: dict[tuple[str, int], int]
    ends: dict[tuple[str, int], tuple[int, int]]


class _Unread(NamedTuple):
    messages: int
    exact: bool
    first_append_ms: int | None


def every_group() -> dict[str, tuple[str, ...]]:
    """The groups of the stages, and one for the executor of each portfolio."""
    return READ_BY | {group_of(portfolio): READ_BY["execute"] for portfolio in PORTFOLIOS}


def lag_rows(
    kafka: KafkaSettings,
    groups: Mapping[str, Sequence[str]] | None = None,
    *,
    sample_s: float = SAMPLE_S,
    wait: Callable[[float], None] = time.sleep,
) -> list[LagRow]:
    """Lag of each group on each partition that it reads; takes a little more than `sample_s`, which `wait` lets pass.

    Raises:
        BrokerAwayError: no broker answers.
        LogError: a topic does not exist.
    """
    wait_for_broker(kafka, BROKER_S)
    if groups is None:
        groups = every_group()
    _require_topics(kafka, {topic for topics in groups.values() for topic in topics})
    consumers = {group: open_consumer(kafka, group) for group in groups}
    try:
        before = {group: _sample(kafka, consumer, groups[group]) for group, consumer in consumers.items()}
        wait(sample_s)
        after = {group: _sample(kafka, consumer, groups[group]) for group, consumer in consumers.items()}
    finally:
        for consumer in consumers.values():
            consumer.close()
    hidden = _open_transactions(kafka, {key for sample in after.values() for key in sample.ends}, after)
    rows: list[LagRow] = []
    for group in groups:
        unread = _count_unread(kafka, group, after[group])
        rows += [_row(kafka, group, key, before[group], after[group], unread, hidden) for key in after[group].ends]
    return rows


def _partitions(kafka: KafkaSettings, topics: Sequence[str]) -> list[TopicPartition]:
    return [
        TopicPartition(TOPICS[topic].full_name(kafka.prefix), partition)
        for topic in topics
        for partition in range(TOPICS[topic].partition_count(kafka.partitions))
    ]


def _require_topics(kafka: KafkaSettings, topics: set[str]) -> None:
    consumer = open_consumer(kafka, "lag")
    try:
        existing = consumer.list_topics(timeout=BROKER_S).topics
    finally:
        consumer.close()
    missing = sorted(topic for topic in topics if TOPICS[topic].full_name(kafka.prefix) not in existing)
    if missing:
        raise LogError(
            f"no topics {', '.join(missing)} under the prefix {kafka.prefix}; create them with: crossbook topics --create"
        )


def _sample(kafka: KafkaSettings, consumer: Consumer, topics: Sequence[str]) -> _Sample:
    partitions = _partitions(kafka, topics)
    committed = committed_offsets(consumer, partitions)
    ends = {(tp.topic, tp.partition): offset_range(consumer, tp.topic, tp.partition) for tp in partitions}
    return _Sample(time.monotonic(), {key: offset for key, offset in committed.items() if offset >= 0}, ends)


def _next(sample: _Sample, key: tuple[str, int]) -> int:
    """First offset that the group has not read and that still exists."""
    low, _ = sample.ends[key]
    return max(low, sample.committed.get(key, low))


def _count_unread(kafka: KafkaSettings, group: str, sample: _Sample) -> dict[tuple[str, int], _Unread]:
    starts = {key: _next(sample, key) for key, (_, end) in sample.ends.items() if end > _next(sample, key)}
    found: dict[tuple[str, int], _Unread] = {}
    with _Reader(kafka, group, starts, read_committed=True) as reader:
        pending = dict(starts)
        while pending and (message := reader.next()) is not None:
            key = (str(message.topic()), int(message.partition() or 0))
            if key not in pending:
                continue
            end = sample.ends[key][1]
            so_far = found.get(key, _Unread(0, exact=True, first_append_ms=None))
            if message.error() is not None or int(message.offset() or 0) >= end:
                found[key] = so_far  # all below the stable end is read: the rest were markers
                del pending[key]
                continue
            first = so_far.first_append_ms or message.timestamp()[1]
            found[key] = _Unread(so_far.messages + 1, exact=True, first_append_ms=first)
            if end - starts[key] > COUNTED_MAX:
                found[key] = _Unread(end - starts[key], exact=False, first_append_ms=first)
                reader.drop(key)
                del pending[key]
            elif message.offset() == end - 1:
                del pending[key]
        if pending:
            raise BrokerAwayError(
                f"the broker did not hand over {', '.join(topic for topic, _ in pending)} in time; try again"
            )
    return found


def _open_transactions(
    kafka: KafkaSettings, keys: set[tuple[str, int]], samples: dict[str, _Sample]
) -> dict[tuple[str, int], int]:
    """Append time (ms) of the first record of the oldest open transaction, per partition that has one."""
    stable = {key: max(sample.ends[key][1] for sample in samples.values() if key in sample.ends) for key in keys}
    consumer = open_consumer(kafka, "lag", read_committed=False)
    try:
        starts = {key: end for key, end in stable.items() if offset_range(consumer, *key)[1] > end}
    finally:
        consumer.close()
    found: dict[tuple[str, int], int] = {}
    suspects: dict[tuple[str, int], int] = {}
    with _Reader(kafka, "lag", starts, read_committed=False) as reader:
        pending = dict(starts)
        while pending and (message := reader.next()) is not None:
            key = (str(message.topic()), int(message.partition() or 0))
            if key in pending:
                if message.error() is None:
                    suspects[key] = message.timestamp()[1]
                reader.drop(key)
                del pending[key]
    if suspects:
        # Between the two looks the log may simply have grown: open is only what is still not stable.
        consumer = open_consumer(kafka, "lag")
        try:
            found = {key: ms for key, ms in suspects.items() if offset_range(consumer, *key)[1] <= stable[key]}
        finally:
            consumer.close()
    return found


class _Reader:
    """Reads partitions from given offsets; the end of a partition comes as a message with an error."""

    def __init__(
        self, kafka: KafkaSettings, group: str, starts: dict[tuple[str, int], int], *, read_committed: bool
    ) -> None:
        self._starts = starts
        self._deadline_s = time.monotonic() + READ_S
        self._consumer = Consumer(
            client_config(kafka, "lag")
            | {
                "group.id": f"{kafka.prefix}{group}",
                "isolation.level": "read_committed" if read_committed else "read_uncommitted",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
            }
        )

    def __enter__(self) -> Self:
        if self._starts:
            self._consumer.assign([TopicPartition(*key, offset) for key, offset in self._starts.items()])
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def drop(self, key: tuple[str, int]) -> None:
        """Read no more of a partition."""
        self._consumer.pause([TopicPartition(*key)])

    def next(self) -> Message | None:
        """Next record or end of partition; None when the time is up."""
        while time.monotonic() < self._deadline_s:
            message = self._consumer.poll(0.1)
            if message is None:
                continue
            error = message.error()
            if error is None or error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - librdkafka's own codes begin so
                return message
        return None


def _row(
    kafka: KafkaSettings,
    group: str,
    key: tuple[str, int],
    before: _Sample,
    after: _Sample,
    unread: dict[tuple[str, int], _Unread],
    hidden: dict[tuple[str, int], int],
) -> LagRow:
    now_ms = now_ns() / 1e6
    lag = unread.get(key, _Unread(0, exact=True, first_append_ms=None))
    elapsed_s = max(after.at_s - before.at_s, 1e-9)
    consumed = (_next(after, key) - _next(before, key)) / elapsed_s
    appended = (after.ends[key][1] - before.ends[key][1]) / elapsed_s
    gaining = consumed - appended
    catch_up = 0.0 if lag.messages == 0 else lag.messages / gaining if gaining > 0 else None
    open_ms = hidden.get(key)
    return LagRow(
        group=group,
        topic=key[0].removeprefix(kafka.prefix),
        partition=key[1],
        committed=after.committed.get(key),
        end_stable=after.ends[key][1],
        lag_messages=lag.messages,
        exact=lag.exact,
        lag_seconds=0.0 if lag.first_append_ms is None else round(max(0.0, (now_ms - lag.first_append_ms) / 1e3), 3),
        open_transaction_s=None if open_ms is None else round(max(0.0, (now_ms - open_ms) / 1e3), 3),
        consumed_per_s=round(consumed, 1),
        appended_per_s=round(appended, 1),
        catch_up_s=None if catch_up is None else round(catch_up, 3),
    )


def render_lag(rows: Sequence[LagRow], limit_s: float) -> Table:
    """A table for people; what is over the limit is red, an estimate has a ~ before it.

    `end` is the last stable offset, `txn s` the age of an open transaction, `done in` the time to catch up at this pace.
    """
    table = Table(box=None, pad_edge=False)
    for column in ("group", "topic"):
        table.add_column(column, no_wrap=True)
    for column in ("p", "committed", "end", "records", "seconds", "txn s", "read/s", "new/s", "done in"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        cells: list[Any] = [
            row.group,
            row.topic,
            row.partition,
            "-" if row.committed is None else row.committed,
            row.end_stable,
            f"{row.lag_messages}" if row.exact else f"~{row.lag_messages}",
            f"{row.lag_seconds:.3f}",
            "" if row.open_transaction_s is None else f"{row.open_transaction_s:.1f}",
            f"{row.consumed_per_s:.0f}",
            f"{row.appended_per_s:.0f}",
            "never" if row.catch_up_s is None else f"{row.catch_up_s:.1f} s",
        ]
        table.add_row(*(str(cell) for cell in cells), style="red" if row.lag_seconds > limit_s else None)
    return table
