"""What verify says of its inputs: one partition of `market`, and the stored states that a fold of it passes.

Decides what is a fault of an input and what is only named (decide passes what nobody can decode). Must never write, and never go on
from a state that the fold reached where a stored one is to be proven.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from crossbook.log.comparing import Difference, LineDigest
from crossbook.log.reading import Log
from processors.decide.checkpoint import freeze, thaw
from processors.decide.partition import PartitionFold
from processors.errors import CheckpointError
from processors.verify.checkpoints import TOPIC, Stored, read_payload
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import Record

#: Unreadable inputs that are named; the rest is counted.
UNREADABLE_MAX: Final = 20
#: Bytes shown around the first difference of two states.
EXCERPT_BYTES: Final = 60


class Unreadable(NamedTuple):
    """A record of `market` that cannot be decoded: decide dead-letters it, it changes nothing."""

    partition: int
    offset: int
    error: str

    def __str__(self) -> str:
        return f"market partition {self.partition}, offset {self.offset}: unreadable: {self.error}"


class MarketCheck:
    """One partition of `market`: its content's digest, gaps, unreadable records, and where a fold of it ended before its end."""

    def __init__(self, partition: int) -> None:
        self._partition = partition
        self._number = 0
        self.digest = LineDigest()
        self.mismatches = 0
        self.first_difference: Difference | None = None
        self.unreadable: list[Unreadable] = []
        self.unreadable_count = 0

    def unread(self, offset: int, error: SchemaError) -> None:
        """Name a record that cannot be decoded."""
        self.unreadable_count += 1
        if len(self.unreadable) < UNREADABLE_MAX:
            self.unreadable.append(Unreadable(self._partition, offset, str(error)))

    def fault(
        self,
        note: str,
        *,
        offset: int,
        position: int,
        topic: str = "market",
        expected: str | None = None,
        found: Record | str | None = None,
    ) -> None:
        """Count what is wrong with the input itself."""
        self.mismatches += 1
        if self.first_difference is None:
            self.first_difference = Difference(
                topic=topic,
                partition=self._partition,
                number=position,
                expected=expected,
                found=found,
                key_expected=None,
                key_found=None,
                offset_found=offset,
                cause_position=position,
                cause=None,
                note=note,
            )


class CheckpointMarks:
    """The checkpoints that a fold passes, in order."""

    def __init__(
        self, log: Log, codec: Codec, fold: PartitionFold, market: MarketCheck, stored: Sequence[Stored]
    ) -> None:
        self._log = log
        self._codec = codec
        self._fold = fold
        self._market = market
        self._left = list(reversed(stored))
        self.compared = 0

    @property
    def next_position(self) -> int:
        """Where the next one stands; -1: there is none."""
        return self._left[-1].position if self._left else -1

    def pass_one(self) -> None:
        """Compare the fold's state with the stored one and go on from the stored bytes."""
        stored = self._left.pop()
        fold = self._fold
        state = fold.state
        payload = read_payload(
            self._log, self._codec, fold.partition, stored, log_id=state.market.log_id, code_digest=state.code_digest
        )
        reached = freeze(state)
        self.compared += 1
        if reached != payload:
            at = next(
                (n for n, (a, b) in enumerate(zip(reached, payload, strict=False)) if a != b),
                min(len(reached), len(payload)),
            )
            begin = max(0, at - EXCERPT_BYTES)
            self._market.fault(
                f"the state differs from byte {at} on",
                topic=TOPIC,
                offset=stored.offset_first,
                position=stored.position,
                expected=reached[begin : at + EXCERPT_BYTES].decode("utf-8", "replace"),
                found=payload[begin : at + EXCERPT_BYTES].decode("utf-8", "replace"),
            )
        try:
            fold.state = thaw(payload, state.code_digest, state.makers)
        except CheckpointError as error:
            self._market.fault(
                str(error),
                topic=TOPIC,
                offset=stored.offset_first,
                position=stored.position,
                found="damaged",
            )
