"""Where the whole executor stands, as records of `checkpoints.execute`, and back.

Decides which checkpoints are ours. One of another portfolio, log, format or code, or one that is damaged, is ignored with a reason,
never adapted: an older one, or zero, serves as well. Must never be taken while something is journaled and not committed.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from crossbook.log.chunks import cut, joined, of_other_code, whole_checkpoints
from executors.engine import Engine
from executors.errors import CheckpointError
from executors.machines import MACHINES
from executors.orders.machine import MachineTable
from executors.recovery.image import (
    LaneImage,
    StateImage,
    is_at_rest,
    lane_image,
    restore_lane,
    restore_state,
    state_image,
)
from executors.state import ExecutorState
from schemas.records import Checkpoint
from schemas.topics import partition_of

STAGE: Final = "execute"
FORMAT_VERSION: Final = 12


class ExecuteImage(msgspec.Struct, frozen=True):
    """An Engine and where it stands.

    `anchor` names the last journal record in the state (see `anchor_of`): the journal must hold it. `journal_offset` is one of
    `orders` at or before which everything in the state stands. `offsets`: topic → partition → offset at which the inputs go on; what
    waits between those and the lanes is read again.
    """

    portfolio: str
    log_id: str
    anchor: str
    journal_offset: int
    offsets: dict[str, dict[int, int]]
    state: StateImage
    lanes: tuple[LaneImage, ...]


class Ignored(NamedTuple):
    """A checkpoint that is not for us, and why. `position` is the last journal number in it."""

    position: int
    reason: str


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(ExecuteImage)


def anchor_of(value: bytes) -> str:
    """Name of a journal record: SHA-256 of its bytes, hex."""
    return hashlib.sha256(value).hexdigest()


class Checkpoints:
    """Makes the images of one engine. Remembers which trades came to rest, because they are most and never wake."""

    def __init__(self, engine: Engine, portfolio: str, code_digest: str) -> None:
        self._engine = engine
        self._portfolio = portfolio
        self._digest = code_digest
        self._rested: set[str] = set()

    def image(
        self, *, anchor: str = "", journal_offset: int = 0, offsets: Mapping[str, Mapping[int, int]] | None = None
    ) -> ExecuteImage:
        """The image of the engine as it stands. Everything that it journaled must be committed."""
        engine = self._engine
        assert engine.drained, "a checkpoint holds only what is committed"
        lanes = tuple(lane_image(lane) for lane in engine.lanes.values())
        busy = frozenset().union(*(lane.venue.busy_trades() for lane in engine.lanes.values()))
        active: list[str] = []
        for trade_id, trade in engine.state.trades.items():
            if trade_id not in self._rested:
                if is_at_rest(trade, busy):
                    self._rested.add(trade_id)
                else:
                    active.append(trade_id)
        return ExecuteImage(
            portfolio=self._portfolio,
            log_id=next((lane.market.log_id for lane in lanes if lane.market.log_id), ""),
            anchor=anchor,
            journal_offset=journal_offset,
            offsets={topic: dict(partitions) for topic, partitions in (offsets or {}).items()},
            state=state_image(engine.state, active),
            lanes=lanes,
        )

    def records(self, image: ExecuteImage) -> list[Checkpoint]:
        """An image as records, to be written in this order; `position` is the last journal number in it."""
        return cut(
            freeze(image),
            stage=STAGE,
            log_id=image.log_id,
            partition=partition_of(self._portfolio),
            position=image.state.next_sequence - 1,
            format_version=FORMAT_VERSION,
            code_digest=self._digest,
        )


def freeze(image: ExecuteImage) -> bytes:
    """The image as UTF-8 JSON."""
    return _ENCODER.encode(image)


def thaw(payload: bytes) -> ExecuteImage:
    """The image that `freeze` wrote. Raises CheckpointError when the bytes are none."""
    try:
        return _DECODER.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"it cannot be read: {error}") from error


def start_state(image: ExecuteImage, machines: MachineTable = MACHINES) -> ExecutorState:
    """The state to fold the rest of the journal with. Raises CheckpointError when a work in it has no machine here."""
    return restore_state(image.state, machines)


def start_lanes(engine: Engine, image: ExecuteImage) -> None:
    """Bring an engine's fresh lanes to where the image stands."""
    for lane in image.lanes:
        restore_lane(engine.lanes[lane.partition], lane)


def candidates(records: Iterable[Checkpoint], code_digest: str) -> tuple[list[tuple[Checkpoint, ...]], list[Ignored]]:
    """Whole checkpoints that this code wrote, in chunks, furthest in the journal first; and what was passed over, oldest first.

    Chunks of one checkpoint follow each other, perhaps with a broken-off attempt before them. `open_image` looks into them; whether
    they stand in this log and journal is for the caller to see.
    """
    found = list(records)
    ignored = [
        Ignored(record.position, reason)
        for record in found
        if record.chunk == 0 and (reason := _not_ours(record, code_digest))
    ]
    whole = [
        tuple(pieces)
        for pieces in whole_checkpoints(found)
        if not any(_not_ours(piece, code_digest) for piece in pieces)
    ]
    whole.reverse()  # of two at one number the later one first; a superseded executor may have written late
    whole.sort(key=lambda pieces: -pieces[0].position)
    return whole, ignored


def open_image(pieces: Sequence[Checkpoint], *, portfolio: str, partitions: int) -> ExecuteImage:
    """The image of a whole checkpoint. Raises CheckpointError when it is damaged or of another portfolio or layout."""
    image = thaw(joined(pieces))
    if image.portfolio != portfolio:
        raise CheckpointError(f"it is of portfolio {image.portfolio!r}, this is {portfolio!r}")
    if [lane.partition for lane in image.lanes] != list(range(partitions)):
        raise CheckpointError(f"it has {len(image.lanes)} partitions, kafka.partitions is {partitions}")
    if (image.log_id, image.state.next_sequence - 1) != (pieces[0].log_id, pieces[0].position):
        raise CheckpointError("its records name another log or journal number than its image")
    return image


def _not_ours(record: Checkpoint, code_digest: str) -> str:
    if record.stage != STAGE:
        return f"it is of stage {record.stage}"
    return of_other_code(record, FORMAT_VERSION, code_digest)
