"""Counts of market events per instrument and second, made so that a record counted twice counts once. Pure.

Events are counted in blocks of `BLOCK` offsets, always from a block's first offset on. Each row carries how many records it has
seen, and the row that has seen the most replaces the others; so whoever resumes must start at `block_start`, never inside a block.
"""

from schemas.records import BookDelta, BookSnapshot, PublicTrade, Record, ReferencePrice

BLOCK = 4096
NS_PER_S = 1_000_000_000

TABLE = "market_activity"
COLUMNS = (
    "log_id",
    "topic",
    "partition",
    "block_offset",
    "instrument_id",
    "second",
    "records",
    "updates",
    "keyframes",
    "trades",
    "traded_micros",
    "prices",
)
Key = tuple[int, int, str, int]
ActivityRow = tuple[str, str, int, int, str, int, int, int, int, int, int, int]


def block_start(offset: int) -> int:
    """First offset of the block that an offset is in."""
    return offset - offset % BLOCK


class ActivityCounter:
    """Running counts of the blocks that are still being read. Feed it every record of a partition in order."""

    def __init__(self, log_id: str) -> None:
        self._log_id = log_id
        self._counts: dict[Key, list[int]] = {}
        self._changed: set[Key] = set()
        self._block: dict[int, int] = {}

    def add(self, record: BookSnapshot | BookDelta | PublicTrade | ReferencePrice, partition: int, offset: int) -> None:
        """Count one event; a reference stands under its own id."""
        block = block_start(offset)
        self._block[partition] = block
        name = record.reference_id if isinstance(record, ReferencePrice) else record.instrument_id
        key = (partition, block, name, record.ts_received_ns // NS_PER_S)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = [0] * 6
        counts[0] += 1
        if isinstance(record, PublicTrade):
            counts[3] += 1
            counts[4] += record.quantity_micros
        elif isinstance(record, ReferencePrice):
            counts[5] += 1
        elif isinstance(record, BookSnapshot) and record.keyframe:
            counts[2] += 1
        else:
            counts[1] += 1
        self._changed.add(key)

    def take(self) -> list[ActivityRow]:
        """Rows that changed since the last call; finished blocks are forgotten."""
        rows = [(self._log_id, "market", *key, *self._counts[key]) for key in sorted(self._changed)]
        self._changed.clear()
        self._counts = {key: counts for key, counts in self._counts.items() if key[1] == self._block[key[0]]}
        return rows  # type: ignore[return-value]  # the lists have six counters


def is_activity(record: Record) -> bool:
    """Whether a record is counted here."""
    return isinstance(record, BookSnapshot | BookDelta | PublicTrade | ReferencePrice)
