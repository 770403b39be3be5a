"""A stage's state as records of its topic of checkpoints: cut into chunks, and put together again.

Decides which records make a whole checkpoint, and whether a stage's code wrote one; what is in it is the stage's own affair. Must never
join chunks that do not follow each other.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from schemas.records import Checkpoint

#: A record must stay below 1 MB on the broker; this leaves room for its other fields.
CHUNK_BYTES: Final = 900_000


def cut(
    payload: bytes, *, stage: str, log_id: str, partition: int, position: int, format_version: int, code_digest: str
) -> list[Checkpoint]:
    """A payload as records, to be written in this order."""
    pieces = [payload[start : start + CHUNK_BYTES] for start in range(0, len(payload), CHUNK_BYTES)]
    return [
        Checkpoint(
            stage=stage,
            log_id=log_id,
            partition=partition,
            position=position,
            format_version=format_version,
            code_digest=code_digest,
            chunk=number,
            chunks=len(pieces),
            payload=piece,
        )
        for number, piece in enumerate(pieces)
    ]


def whole_checkpoints(records: Iterable[Checkpoint]) -> list[Sequence[Checkpoint]]:
    """The checkpoints all of whose chunks follow each other, in the order in which they were written."""
    found: list[Sequence[Checkpoint]] = []
    pieces: list[Checkpoint] = []
    for record in records:
        follows = bool(pieces) and (pieces[-1].position, pieces[-1].chunk + 1) == (record.position, record.chunk)
        pieces = [record] if record.chunk == 0 else [*pieces, record] if follows else []
        if pieces and len(pieces) == record.chunks:
            found.append(pieces)
            pieces = []
    return found


def joined(pieces: Sequence[Checkpoint]) -> bytes:
    """The payload of a whole checkpoint."""
    return b"".join(piece.payload for piece in pieces)


def of_other_code(record: Checkpoint, format_version: int, code_digest: str) -> str:
    """Why code of this format and digest cannot go on from a checkpoint; empty when it can."""
    if record.format_version != format_version:
        return f"its format is {record.format_version}, this code's is {format_version}"
    if record.code_digest != code_digest:
        return f"it was written by code {record.code_digest[:12]}…, this is {code_digest[:12]}…"
    return ""
