"""Finds the states of decide's fold that stand in `checkpoints.decide`, for verify.

Decides which of them belong to a log and to the code that runs. Reads only; keeps places, not states, so that a month of
checkpoints costs no memory.
"""

from typing import NamedTuple

from crossbook.log.errors import LogError
from crossbook.log.reading import Log
from processors.decide.checkpoint import FORMAT_VERSION, STAGE
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import Checkpoint

TOPIC = "checkpoints.decide"


class Stored(NamedTuple):
    """A whole checkpoint: the position it stands at, and the offsets of its first chunk and of its last."""

    position: int
    offset_first: int
    offset_last: int


def stored_checkpoints(log: Log, codec: Codec, partition: int, *, log_id: str, code_digest: str) -> list[Stored]:
    """Every whole checkpoint of the log, written by this code in this format, in order of position; of two at one the later one."""
    found: dict[int, Stored] = {}
    begun: tuple[int, int, int] | None = None  # position, offset of chunk 0, last chunk seen
    try:
        for line in log.read(TOPIC, partition):
            try:
                record = codec.decode(line.value)
            except SchemaError:
                continue
            if not _ours(record, partition, log_id, code_digest):
                continue
            assert isinstance(record, Checkpoint), "checked"
            if record.chunk == 0:
                begun = record.position, line.offset, 0
            elif begun is not None and begun[::2] == (record.position, record.chunk - 1):
                begun = record.position, begun[1], record.chunk
            else:
                begun = None
            if begun is not None and record.chunk == record.chunks - 1:
                found[record.position] = Stored(record.position, begun[1], line.offset)
                begun = None
    except LogError:
        return []  # an archive or a prefix without that topic: every fold begins at zero
    return [found[position] for position in sorted(found)]


def read_payload(log: Log, codec: Codec, partition: int, stored: Stored, *, log_id: str, code_digest: str) -> bytes:
    """The state's bytes."""
    pieces: list[bytes] = []
    for line in log.read(TOPIC, partition, start=stored.offset_first, end=stored.offset_last + 1):
        try:
            record = codec.decode(line.value)
        except SchemaError:
            continue
        if (
            isinstance(record, Checkpoint)
            and record.position == stored.position
            and _ours(record, partition, log_id, code_digest)
        ):
            pieces.append(record.payload)
    return b"".join(pieces)


def _ours(record: object, partition: int, log_id: str, code_digest: str) -> bool:
    return (
        isinstance(record, Checkpoint)
        and record.stage == STAGE
        and record.log_id == log_id
        and record.partition == partition
        and record.format_version == FORMAT_VERSION
        and record.code_digest == code_digest
    )
