"""Finds where the executor goes on: the newest checkpoint that stands in this journal and log, else the beginning.

Decides whether a checkpoint is proved: the journal must hold its last record and reach at least as far, and each of its lanes must stand
where the journal or the group's offsets have been. Reads `checkpoints.execute`, `orders` and the heads of `market`; writes
nothing. Every checkpoint passed over is told in a line. The beginning is no place to go on from once retention dropped it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import structlog
from confluent_kafka import KafkaException

from crossbook.log.errors import LogError
from crossbook.log.head import checkpoint_tails, checkpoints, head_dropped, log_opened
from crossbook.log.reading import Log, LogLine
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import admin_client
from crossbook.runtime.settings import KafkaSettings
from executors.engine import refold
from executors.errors import CheckpointError, ExecutorError
from executors.machines import MACHINES
from executors.market_lane import Journaled
from executors.orders.machine import MachineTable
from executors.recovery.checkpoint import STAGE, ExecuteImage, anchor_of, candidates, open_image, start_state
from executors.state import ExecutorState
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import Checkpoint, LogOpened, Record
from schemas.topics import TOPICS, partition_of

#: How far before a checkpoint's offset in the journal its last record is looked for: a batch and its markers.
BACK_OFFSETS = 64
METADATA_S = 10.0

#: Hears of checkpoints that are passed over: journal number, reason, how many.
Told = Callable[[int, str, int], None]

_log = structlog.get_logger(stage=STAGE)


class Start(NamedTuple):
    """A place to go on from. `journaled`: per partition, what the venue was told and said after it; `image` None: the beginning.

    `anchor` names the journal's last record, empty in an empty journal.
    """

    state: ExecutorState
    journaled: dict[int, deque[Journaled]]
    image: ExecuteImage | None
    anchor: str


class _Journal:
    """Records of `orders` in order. Keeps the last line that was read."""

    def __init__(self, lines: Iterator[LogLine], codec: Codec) -> None:
        self._lines = lines
        self._codec = codec
        self.last: LogLine | None = None

    def __iter__(self) -> Iterator[Record]:
        for line in self._lines:
            self.last = line
            try:
                yield self._codec.decode(line.value)
            except SchemaError as error:
                raise LogError(
                    f"`orders` holds a record that cannot be read ({error}); only execute may write there"
                ) from error

    @property
    def anchor(self) -> str:
        return "" if self.last is None else anchor_of(self.last.value)


def existing_topics(kafka: KafkaSettings) -> set[str]:
    """Names, without the prefix, of the declared topics that are there. Raises BrokerAwayError when the broker does not answer."""
    try:
        there = admin_client(kafka).list_topics(timeout=METADATA_S).topics
    except KafkaException as error:
        raise BrokerAwayError(f"{kafka.bootstrap} does not tell its topics: {error}") from error
    return {name for name, topic in TOPICS.items() if topic.full_name(kafka.prefix) in there}


def starts(
    log: Log,
    codec: Codec,
    *,
    portfolio: str,
    code_digest: str,
    committed: Mapping[int, int],
    checkpoints: bool = True,
    told: Told | None = None,
    machines: MachineTable = MACHINES,
) -> Iterator[Start]:
    """Places to go on from, the nearest first, the beginning last: take the first that works.

    `committed`: offset of `market` per partition that the group has reached. `checkpoints`: whether their topic is there. `told` hears
    of every checkpoint that is passed over; by default it is logged. Raises LogError when the journal cannot be read or the beginning is
    gone, JournalError when its outputs do not follow from its inputs.
    """
    told = told or ignore
    for image in _images(log, codec, portfolio, code_digest, told) if checkpoints else ():
        try:
            yield _on_from(log, codec, partition_of(portfolio), image, committed, machines)
        except ExecutorError as error:
            told(image.state.next_sequence - 1, str(error), 1)
    _require_heads(log, codec)
    journal = _Journal(log.read("orders", partition_of(portfolio)), codec)
    state, journaled = refold(journal, machines=machines)
    yield Start(state, journaled, None, journal.anchor)


def _require_heads(log: Log, codec: Codec) -> None:
    """Raise LogError when `market` no longer holds its beginning: books and positions cannot be folded from anywhere else."""
    for number in range(log.partitions):
        if log.extent("market", number)[0] > 0 and log_opened(log, codec, number) is None:
            raise head_dropped(log, number, "no checkpoint of execute that this code and this portfolio can go on from")


def ignore(position: int, reason: str, count: int = 1) -> None:
    """Tell that a checkpoint was passed over."""
    _log.warning("execute.checkpoint_ignored", journal=position, reason=reason, checkpoints=count)


def _images(log: Log, codec: Codec, portfolio: str, code_digest: str, told: Told) -> Iterator[ExecuteImage]:
    found: list[tuple[Checkpoint, ...]] = []
    place = "checkpoints.execute", partition_of(portfolio)
    for start, last in checkpoint_tails(log, *place):
        found, ignored = candidates(checkpoints(log, codec, *place, start), code_digest)
        if found or last:
            counts: dict[str, tuple[int, int]] = {}
            for one in ignored:
                counts[one.reason] = (one.position, counts.get(one.reason, (0, 0))[1] + 1)
            for reason, (position, count) in counts.items():
                told(position, reason, count)
            break
    for pieces in found:
        try:
            yield open_image(pieces, portfolio=portfolio, partitions=log.partitions)
        except CheckpointError as error:
            told(pieces[0].position, str(error), 1)


def _on_from(
    log: Log,
    codec: Codec,
    partition: int,
    image: ExecuteImage,
    committed: Mapping[int, int],
    machines: MachineTable,
) -> Start:
    """Fold the journal on from an image. Raises CheckpointError when the image is not proved, JournalError when it does not fit."""
    journal = _Journal(_lines_after(log, codec, partition, image), codec)
    state, journaled = refold(journal, start_state(image, machines))
    for lane in image.lanes:
        market, number = lane.market, lane.partition
        if not market.log_id:
            continue
        reached = market.base_offset + market.position + 1
        low, high = log.extent("market", number)
        if reached > committed[number] and market.position > state.positions.get(number, -1):
            raise CheckpointError(
                f"it stands at position {market.position} of market partition {number}, which neither the group's offset "
                f"{committed[number]} nor the journal has reached"
            )
        if not low <= reached <= high:
            raise CheckpointError(
                f"it goes on at offset {reached} of market partition {number}, which holds {low} to {high}"
            )
        if low <= market.base_offset and _log_id(log, codec, number, market.base_offset) != market.log_id:
            raise CheckpointError(f"it is of log {market.log_id}, market partition {number} is of another")
    return Start(state, journaled, image, journal.anchor or image.anchor)


def _lines_after(log: Log, codec: Codec, partition: int, image: ExecuteImage) -> Iterator[LogLine]:
    """Lines of `orders` behind the last one in an image. Raises CheckpointError when the journal does not hold that one."""
    low, _ = log.extent("orders", partition)
    wanted, back = image.state.next_sequence - 1, BACK_OFFSETS
    while True:
        start = max(low, image.journal_offset - back)
        lines = log.read("orders", partition, start=start)
        for line in lines:
            try:
                number = getattr(codec.decode(line.value), "sequence", -1)
            except SchemaError:
                continue
            if number == wanted:
                if anchor_of(line.value) != image.anchor:
                    raise CheckpointError(f"journal record {wanted} is another one than the one it stands on")
                return lines
            if number > wanted:
                break
        if start == low:
            raise CheckpointError(f"the journal does not hold record {wanted}, which it stands on")
        back *= 8


def _log_id(log: Log, codec: Codec, partition: int, offset: int) -> str:
    for line in log.read("market", partition, start=offset, end=offset + 1):
        try:
            record = codec.decode(line.value)
        except SchemaError:
            return ""
        return record.log_id if isinstance(record, LogOpened) and record.base_offset == line.offset else ""
    return ""
