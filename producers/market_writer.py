"""The only writer of `market`.

Decides the order in which records enter each partition and heads every empty partition with LogOpened. Its buffer is bounded:
when the broker is away for so long that a record does not fit, that record and all that follow are dropped until the backlog
has drained, and the owner must then say that the books are invalid and write them whole in new sessions (`recovered`). It must
never block (the socket readers run in its thread), never write a stamp below an earlier one, and never write `market` before
the head of its partition.
"""

import hashlib
import json
import uuid
from collections import Counter
from typing import Protocol, TypeVar

import msgspec
from confluent_kafka import Consumer, TopicPartition

from crossbook.domain.dead_letters import dead_letter
from crossbook.log.errors import LogError
from crossbook.log.head import head_dropped, known_market
from crossbook.market.configuration import Configuration, said_with
from crossbook.market.image import MarketImage
from crossbook.runtime.errors import BufferFullError, RecordTooLargeError
from crossbook.runtime.kafka import RECORD_BYTES_MAX, offset_range, open_consumer, poll_batch
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import FrictionSettings, KafkaSettings
from producers.universe.placement import Placement
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import (
    DeadLetter,
    FeedStatus,
    FrictionPack,
    LogOpened,
    MarketConfigured,
    PairListed,
    RawFrame,
    Record,
    ReferenceStatus,
    StrategyConfigured,
)
from schemas.topics import TOPICS

MARKET = "market"
#: Records at the end of a partition that are read at start, to find the last session and settings.
TAIL_RECORDS = 20_000
READ_TIMEOUT_S = 10.0
#: A longer frame is cut on tape: a record of the broker's largest size, less room for its other fields.
TAPE_PAYLOAD_MAX = RECORD_BYTES_MAX - 65_536
R = TypeVar("R", bound=Record)


class Sender(Protocol):
    """What the writer needs of `crossbook.runtime.kafka.RecordProducer`."""

    def send(self, topic: str, record: Record, *, key: str | None = None, partition: int = -1) -> None:
        """Queue a record, or raise BufferFullError or RecordTooLargeError."""

    def poll(self, timeout_s: float = 0.0) -> None:
        """Serve delivery reports."""

    @property
    def waiting(self) -> int:
        """Records not yet confirmed."""

    def flush(self, timeout_s: float = 10.0) -> None:
        """Wait until everything is confirmed."""


class LogHead(msgspec.Struct, frozen=True, kw_only=True):
    """What a log says of itself when its writer starts."""

    log_id: str
    opened: frozenset[int]
    ends: dict[int, int] = {}
    ts_last_ns: int = 0
    sessions: dict[str, int] = {}
    configured: Configuration | None = None
    friction: FrictionPack | None = None
    placements: dict[str, str] = {}
    pairs_listed: dict[str, PairListed] = {}


class MarketWriter:
    """Writes `market`, `tape` and `deadletter`; one a prefix."""

    def __init__(self, sender: Sender, partitions: int, buffer_records: int) -> None:
        self._sender = sender
        self._partitions = partitions
        self._drained = buffer_records // 4
        self._opened: set[int] = set()
        self._ts_last_ns = 0
        self.blocked = False
        self.counters: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """Records that the broker has not confirmed."""
        return self._sender.waiting

    def open(self, head: LogHead, ts_ns: int) -> None:
        """Head every partition that has none; must come before any other record.

        Raises:
            BufferFullError: the buffer is full already, so the stage cannot start.
        """
        for partition in range(self._partitions):
            if partition not in head.opened:
                record = LogOpened(
                    ts_received_ns=self._stamp(ts_ns),
                    log_id=head.log_id,
                    partition=partition,
                    partitions=self._partitions,
                    base_offset=0,
                )
                self._sender.send(MARKET, record, partition=partition)
            self._opened.add(partition)
        self._ts_last_ns = max(self._ts_last_ns, head.ts_last_ns)

    def write(self, record: Record, group: str) -> bool:
        """Write a record of a group; whether it was taken (false while blocked, and for a record too large to write)."""
        return self._send(record, key=group, partition=-1)

    def place(self, record: Record, partition: int, group: str | None = None) -> bool:
        """Write to a partition that the caller has worked out; whether it was taken."""
        return self._send(record, key=group, partition=partition)

    def broadcast(self, record: Record) -> bool:
        """Write a record to every partition; whether all took it."""
        taken = True
        for partition in range(self._partitions):
            taken = self._send(record, key=None, partition=partition) and taken
        return taken

    def tape(self, frame: RawFrame) -> None:
        """Write a raw frame, cut if it is larger than a record; dropped and counted when the buffer is full.

        No decision rests on the tape, so it never stops a feed.
        """
        if self.blocked:
            self.counters["tape.dropped"] += 1
            return
        if len(frame.payload) > TAPE_PAYLOAD_MAX:
            self.counters["tape.cut"] += 1
            frame = _cut(frame)
        try:
            self._sender.send("tape", frame, key=frame.feed)
        except BufferFullError:
            self._block()
        except RecordTooLargeError:
            self.counters["tape.too_large"] += 1

    def dead(self, letter: DeadLetter) -> None:
        """Write a dead letter; dropped and counted when the buffer is full."""
        if self.blocked:
            self.counters["deadletter.dropped"] += 1
            return
        try:
            self._sender.send("deadletter", letter, key=letter.stage)
        except BufferFullError:
            self._block()
        except RecordTooLargeError:
            self.counters["deadletter.too_large"] += 1

    def poll(self) -> bool:
        """Serve the client library; true once after a block, when the backlog is small enough to go on.

        The caller must then renew the session of every feed and repeat what it holds.
        """
        self._sender.poll(0.0)
        if self.blocked and self._sender.waiting <= self._drained:
            self.blocked = False
            self.counters["recovered"] += 1
            return True
        return False

    def flush(self) -> None:
        """Wait until everything is confirmed.

        Raises:
            BrokerAwayError: it was not in time.
        """
        self._sender.flush()

    def _send(self, record: Record, *, key: str | None, partition: int) -> bool:
        assert len(self._opened) == self._partitions, "open() heads the partitions first"
        if self.blocked:
            self.counters["market.dropped"] += 1
            return False
        stamp: int = record.ts_received_ns  # type: ignore[attr-defined]  # every record of market has it
        if stamp < self._ts_last_ns:
            record = msgspec.structs.replace(record, ts_received_ns=self._ts_last_ns)
            self.counters["clamped"] += 1
        else:
            self._ts_last_ns = stamp
        try:
            self._sender.send(MARKET, record, key=key, partition=partition)
        except BufferFullError:
            self._block()
            self.counters["market.dropped"] += 1
            return False
        except RecordTooLargeError as error:
            self.counters["market.too_large"] += 1
            self.dead(
                dead_letter(
                    ts_ns=self._ts_last_ns,
                    stage="producers",
                    source=str(getattr(record, "feed", type(record).__name__)),
                    error=f"{type(record).__name__}: {error}",
                )
            )
            return False
        self.counters["market"] += 1
        return True

    def _block(self) -> None:
        self.blocked = True
        self.counters["blocked"] += 1

    def _stamp(self, ts_ns: int) -> int:
        self._ts_last_ns = max(self._ts_last_ns, ts_ns)
        return self._ts_last_ns


def _cut(frame: RawFrame) -> RawFrame:
    """What of a frame fits a record, with the length and hash of the whole."""
    return msgspec.structs.replace(
        frame,
        payload=frame.payload[:TAPE_PAYLOAD_MAX],
        payload_bytes=len(frame.payload),
        payload_sha256=hashlib.sha256(frame.payload).hexdigest(),
    )


def draw_log_id() -> str:
    """A new log's id, 32 hex digits; drawn once a prefix."""
    return uuid.uuid4().hex


def friction_pack(friction: FrictionSettings, ts_ns: int) -> FrictionPack:
    """The friction record of the settings, with its hash."""
    fields: dict[str, int | str] = {
        "gas_micros": friction.gas_micros,
        "fx_ppm": friction.fx_ppm,
        "on_ramp_ppm": friction.on_ramp_ppm,
        "lockup_ppm_per_year": friction.lockup_ppm_per_year,
        "source": friction.source,
    }
    digest = hashlib.sha256(json.dumps(fields, separators=(",", ":"), ensure_ascii=True).encode()).hexdigest()
    return FrictionPack(
        ts_received_ns=ts_ns,
        gas_micros=friction.gas_micros,
        fx_ppm=friction.fx_ppm,
        on_ramp_ppm=friction.on_ramp_ppm,
        lockup_ppm_per_year=friction.lockup_ppm_per_year,
        source=friction.source,
        hash=digest,
    )


def read_log_head(kafka: KafkaSettings, codec: Codec, log_id_if_new: str) -> LogHead:
    """Read who the log is, which partitions are headed, and where its last writer stood.

    Of a partition whose head was dropped, decide's newest checkpoint tells all that.

    Raises:
        LogError: a partition starts with something else, or with another log or number of partitions, or lost its head and no
            checkpoint says whose it was.
        BrokerAwayError: the broker does not answer.
    """
    name = TOPICS[MARKET].full_name(kafka.prefix)
    consumer = open_consumer(kafka, "producers.head")
    try:
        log_id = ""
        opened: set[int] = set()
        ends: dict[int, int] = {}
        tail: list[Record | None] = []
        placement = Placement()
        known: list[MarketImage] = []
        for partition in range(kafka.partitions):
            low, high = offset_range(consumer, name, partition)
            ends[partition] = high
            if high == 0:
                continue
            head = _read(consumer, name, partition, low, 1, codec)[0] if low < high else None
            if isinstance(head, LogOpened):
                belongs = head.log_id, head.partitions
            elif low > 0:
                market = known_market(KafkaLog(kafka), codec, partition)
                if market is None:
                    raise head_dropped(KafkaLog(kafka), partition, "no checkpoint of decide that says whose log it is")
                known.append(market)
                belongs = market.log_id, market.partitions
            else:
                what = "what cannot be read" if head is None else type(head).__name__
                raise LogError(f"{name}/{partition} does not start with LogOpened but {what}; choose another prefix")
            if belongs[1] != kafka.partitions or (log_id and belongs[0] != log_id):
                raise LogError(f"{name}/{partition} belongs to another log; partitions are fixed for a prefix")
            log_id = belongs[0]
            opened.add(partition)
            start = max(low, high - TAIL_RECORDS)
            records = _read(consumer, name, partition, start, high - start, codec)
            tail += records
            placement.take(known_market(KafkaLog(kafka), codec, partition) if start > 0 else None, records)
    finally:
        consumer.close()
    found = _log_head(log_id or log_id_if_new, opened, ends, tail, known)
    return msgspec.structs.replace(found, placements=placement.groups, pairs_listed=placement.pairs)


def _log_head(
    log_id: str, opened: set[int], ends: dict[int, int], tail: list[Record | None], known: list[MarketImage]
) -> LogHead:
    """Where the last writer stood, by the ends of the partitions and by what was known before them."""
    sessions: dict[str, int] = {}
    for market in known:
        for feed, health in (*market.feeds.items(), *market.reference_feeds.items()):
            sessions[feed] = max(sessions.get(feed, 0), health.session)
    for record in tail:
        if isinstance(record, FeedStatus | ReferenceStatus):
            sessions[record.feed] = max(sessions.get(record.feed, 0), record.session)
    stamps = [market.now_ns for market in known] + [getattr(record, "ts_received_ns", 0) for record in tail]
    strategies = {one.strategy: one for market in known for one in market.strategies}
    strategies |= {one.strategy: one for one in tail if isinstance(one, StrategyConfigured)}
    settings = [market.configured for market in known if market.configured is not None]
    configured = _last(tail, MarketConfigured) or (settings[-1] if settings else None)
    friction = [market.friction for market in known if market.friction is not None]
    return LogHead(
        log_id=log_id,
        opened=frozenset(opened),
        ends=ends,
        ts_last_ns=max(stamps, default=0),
        sessions=sessions,
        configured=None
        if configured is None
        else Configuration(configured, tuple(said_with(configured, strategies.values()).values())),
        friction=_last(tail, FrictionPack) or (friction[-1] if friction else None),
    )


def _last(records: list[Record | None], cls: type[R]) -> R | None:
    return next((record for record in reversed(records) if isinstance(record, cls)), None)


def _read(consumer: Consumer, topic: str, partition: int, start: int, count: int, codec: Codec) -> list[Record | None]:
    """Records as they stand; None for one that cannot be decoded, which decide dead-letters and no fold looks at."""
    consumer.assign([TopicPartition(topic, partition, start)])
    found: list[Record | None] = []
    while len(found) < count:
        batch = poll_batch(consumer, count - len(found), READ_TIMEOUT_S)
        if not batch:
            raise LogError(f"{topic}/{partition} gave no record at offset {start + len(found)}; is the broker healthy?")
        for message in batch:
            try:
                found.append(codec.decode(message.value() or b""))
            except SchemaError:
                found.append(None)
    return found
