"""Drops records from the broker, and only such as a verified archive holds.

Decides up to which offset a topic may be dropped. Must never drop a record that is not in a file whose sha256 was just checked,
none of another log than the archived one, and none of `market` that decide or a prefix's executor would need: checkpoints of the
running code must stand at or behind the end of what is dropped. All partitions are judged before the first one is touched.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from confluent_kafka import KafkaException, TopicPartition

from crossbook.log.archive.errors import RetentionError
from crossbook.log.archive.manifest import Manifest, PartitionEntry, check_file
from crossbook.log.archive.read import ArchiveLog
from crossbook.log.chunks import joined, whole_checkpoints
from crossbook.log.head import checkpoint_tails, checkpoints
from crossbook.log.reading import Log
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import CALL_TIMEOUT_S, admin_client
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import KafkaSettings
from executors.recovery.checkpoint import FORMAT_VERSION, STAGE
from executors.recovery.code_digest import execution_digest
from processors.decide.code_digest import decision_digest
from processors.decide.resume import newest_checkpoint
from schemas.codec import load_codec
from schemas.records import Checkpoint
from schemas.topics import PORTFOLIOS, TOPICS

#: The topics whose table in docs says that they are kept for a time only.
DROPPABLE: Final = ("market", "tape", "signals")


class _Market(msgspec.Struct):
    base_offset: int
    position: int


class _Lane(msgspec.Struct):
    partition: int
    market: _Market


class _Reach(msgspec.Struct):
    """How far the executor has come in `market`, as its checkpoint says."""

    log_id: str
    offsets: dict[str, dict[int, int]]
    lanes: tuple[_Lane, ...]

    def offset(self, partition: int) -> int:
        """The first offset of a partition that it would read again."""
        reached = [one.market.base_offset + one.market.position + 1 for one in self.lanes if one.partition == partition]
        return min([*reached, self.offsets.get("market", {}).get(partition, 0)])


class Dropped(NamedTuple):
    """Offsets of a topic partition from `first` up to and without `end` that were (or would be) deleted on the broker."""

    topic: str
    partition: int
    first: int
    end: int


def droppable(log: Log, folder: Path, topic: str, *, before: int | None = None) -> list[Dropped]:
    """What of a topic may be dropped, per partition; nothing is touched.

    `before` leaves records at and behind this offset where they are.

    Raises:
        RetentionError: a record that would be dropped is not archived, or decide would need it.
        ArchiveDamagedError: a file of the archive is gone or changed.
    """
    if topic not in DROPPABLE:
        raise RetentionError(f"{topic} is kept for ever; only {', '.join(DROPPABLE)} may be dropped")
    archive = ArchiveLog(folder)
    found: list[Dropped] = []
    for partition in sorted(archive.manifest.topics.get(topic, {})):
        entry = archive.manifest.topics[topic][partition]
        low, high = log.extent(topic, partition)
        end = min(entry.end, high if before is None else min(before, high))
        if end <= low:
            continue
        _check_archived(log, archive.manifest, folder, topic, partition, entry, low)
        if topic == "market":
            _check_checkpoint(log, archive.manifest, partition, end)
            for portfolio, journal in PORTFOLIOS.items():
                _check_executor(log, archive.manifest, partition, end, portfolio, journal)
        found.append(Dropped(topic, partition, low, end))
    if topic not in archive.manifest.topics:
        raise RetentionError(f"{folder} holds nothing of {topic}; archive it first: crossbook archive write {folder}")
    return found


def drop(kafka: KafkaSettings, folder: Path, topic: str, *, before: int | None = None) -> list[Dropped]:
    """Delete on the broker what `droppable` allows; return what was deleted.

    Raises as `droppable`, and BrokerAwayError when the broker does not answer.
    """
    wanted = droppable(KafkaLog(kafka), folder, topic, before=before)
    if not wanted:
        return []
    name = TOPICS[topic].full_name(kafka.prefix)
    admin = admin_client(kafka)
    offsets = [TopicPartition(name, one.partition, one.end) for one in wanted]
    for place, future in admin.delete_records(offsets).items():
        try:
            future.result(CALL_TIMEOUT_S)
        except KafkaException as error:
            raise BrokerAwayError(f"{name} partition {place.partition}: {error.args[0].str()}; run it again") from error
    return wanted


def _check_archived(
    log: Log, manifest: Manifest, folder: Path, topic: str, partition: int, entry: PartitionEntry, low: int
) -> None:
    place = f"{topic} partition {partition}"
    if entry.first > low:
        raise RetentionError(
            f"{place}: offsets {low} to {entry.first - 1} are not archived; archive them first, into a folder of their own"
        )
    for chunk in entry.chunks:
        for file in chunk.files:
            check_file(folder, topic, partition, file)
    last = entry.chunks[-1] if entry.chunks else None
    if last is None or last.last_offset < low:
        return
    found = next(iter(log.read(topic, partition, start=last.last_offset, end=last.last_offset + 1)), None)
    if found is None or hashlib.sha256(found.value).hexdigest() != last.last_sha256:
        raise RetentionError(
            f"{place}: the record at offset {last.last_offset} is not the archived one: {folder} holds another log "
            f"({manifest.log_id}); name the archive of this prefix"
        )


def _check_checkpoint(log: Log, manifest: Manifest, partition: int, end: int) -> None:
    if partition not in manifest.base_offsets:
        raise RetentionError(
            f"market partition {partition}: the archive holds no LogOpened, so no checkpoint can be compared with it; "
            "archive the topic from its head"
        )
    wanted = end - 1 - manifest.base_offsets[partition]
    newest = _newest_position(log, manifest.log_id, partition)
    if newest < wanted:
        told = "there is none" if newest < 0 else f"the newest stands at {newest}"
        raise RetentionError(
            f"market partition {partition}: decide needs a checkpoint at position {wanted} or behind it to do without these records, "
            f"{told}; stop decide cleanly (it writes one), or drop less with --before"
        )


def _newest_position(log: Log, log_id: str, partition: int) -> int:
    """Position of the newest checkpoint that decide with this code would go on from; -1: there is none."""
    found = newest_checkpoint(
        log,
        load_codec(),
        partition,
        log_id=log_id,
        position_max=log.extent("market", partition)[1],
        code_digest=decision_digest(),
    )
    return -1 if found is None else found.market.position


def _check_executor(log: Log, manifest: Manifest, partition: int, end: int, portfolio: str, journal: int) -> None:
    first, last = log.extent("orders", journal)
    if first == last:
        return  # no executor of this portfolio has ever worked under this prefix
    reached = _executor_reach(log, manifest.log_id, partition, journal)
    if reached < end:
        told = "there is none" if reached < 0 else f"the newest goes on at {reached}"
        raise RetentionError(
            f"market partition {partition}: execute needs a checkpoint of portfolio {portfolio} that goes on at offset {end} or behind it, {told}; "
            f"stop execute cleanly (it writes one), or drop less with --before{f' {reached}' if reached > 0 else ''}"
        )


def _executor_reach(log: Log, log_id: str, partition: int, journal: int) -> int:
    """Offset at which the executor of a journal goes on by its newest checkpoint of this code; -1: there is none."""
    codec, digest = load_codec(), execution_digest()
    for start, _ in checkpoint_tails(log, "checkpoints.execute", journal):
        written = checkpoints(log, codec, "checkpoints.execute", journal, start)
        for pieces in reversed(whole_checkpoints(one for one in written if _of_execute(one, digest))):
            try:
                image = msgspec.json.decode(joined(pieces), type=_Reach)
            except msgspec.DecodeError:
                continue  # damaged: the executor would pass it over too
            if image.log_id == log_id:
                return image.offset(partition)
    return -1


def _of_execute(record: Checkpoint, digest: str) -> bool:
    return (record.stage, record.format_version, record.code_digest) == (STAGE, FORMAT_VERSION, digest)


def describe(dropped: Sequence[Dropped]) -> list[dict[str, int | str]]:
    """For a table or JSON."""
    return [one._asdict() | {"records": one.end - one.first} for one in dropped]
