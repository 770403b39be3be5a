"""Folds the bytes of one `market` partition, from LogOpened or a checkpoint on.

Decides the position of a record: its offset less the offset of LogOpened. Must never give one to what stands before LogOpened,
and never let a record that cannot be decoded stop the fold: it counts as an event that changes nothing. decide and verify share
this, so that both mean the same by "the log".
"""

from collections.abc import Callable, Sequence

from crossbook.market.configuration import Configuration
from processors.decide.fold import skip, step
from processors.decide.state import DecideState, Output
from processors.errors import InputError
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import LogOpened, Record


class PartitionFold:
    """State of one partition and the offset that its log begins at (None before LogOpened was seen).

    `intents_before` says how many intents the log holds of causes before a position: when our settings come into force after those of
    other code, intents are numbered on from there. Without it the fold goes on from its own count.
    """

    __slots__ = ("_codec", "_intents_before", "base_offset", "last_record", "partition", "state")

    def __init__(
        self,
        partition: int,
        codec: Codec,
        state: DecideState,
        base_offset: int | None = None,
        *,
        intents_before: Callable[[int], int] | None = None,
    ) -> None:
        self._codec = codec
        self._intents_before = intents_before
        self.partition = partition
        self.state = state
        self.base_offset = base_offset
        self.last_record: Record | None = None

    @property
    def next_offset(self) -> int | None:
        """Offset of the first record not folded; None before LogOpened was seen."""
        return None if self.base_offset is None else self.base_offset + self.state.market.position + 1

    def take(self, offset: int, value: bytes | None) -> Sequence[Output]:
        """Fold the record at an offset; return what it causes.

        Raises SchemaError when it cannot be decoded: it is passed, and the caller dead-letters it. Raises InputError when the
        log begins elsewhere than it says or belongs to another partition, and StrategySettingsError as `step` does.
        """
        self.last_record = None
        try:
            record = self._codec.decode(value or b"")
        except SchemaError:
            if self.base_offset is not None:
                skip(self.state, offset - self.base_offset)
            raise
        self.last_record = record
        if self.base_offset is None:
            if not isinstance(record, LogOpened):
                return ()  # before the log begins nothing has a position
            if record.base_offset != offset or record.partition != self.partition:
                raise InputError(
                    f"LogOpened at offset {offset} of market partition {self.partition} names offset {record.base_offset} of "
                    f"partition {record.partition}; restore a log at its own offsets, or open a new one under another prefix"
                )
            self.base_offset = offset
        position = offset - self.base_offset
        if self._intents_before is not None and self.state.begins_with(record):
            self.state.intents = self._intents_before(position)
        return step(self.state, position, record)

    def runs_under(self, wanted: Configuration) -> bool:
        """Whether the newest settings in the log are the wanted ones."""
        market = self.state.market
        return wanted.is_in_force(market.configured, market.strategies)
