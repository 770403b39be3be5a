"""Finds out which log a partition of `market` holds, also after retention dropped its head.

Decides what counts as proof: LogOpened where it is still there, else the newest whole checkpoint of decide that stands at or behind the
first offset kept and not behind the end. Must never guess: without either the partition has no identity, nothing in it a position, and
whoever needs one has to refuse (`head_dropped`). It reads what every checkpoint of decide says of the market, whatever code wrote it;
whether its decisions may be gone on with is decide's own question.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from crossbook.log.chunks import joined, whole_checkpoints
from crossbook.log.errors import LogError
from crossbook.log.reading import Log
from crossbook.market.image import MarketImage
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import Checkpoint, LogOpened

#: Where the first records are gone, so many of the rest are looked at for LogOpened: a restored log may begin at any offset.
HEAD_RECORDS: Final = 1_000
#: How many records from the end of a topic of checkpoints are looked at first, and at most: doubled until one serves. 256 chunks are
#: dozens of checkpoints; if none of those serves, the older ones were written by other code too, or for another log.
TAIL_RECORDS: Final = 16
TAIL_RECORDS_MAX: Final = 256


class _Known(msgspec.Struct):
    """What matters here of the payload of a checkpoint of decide."""

    market: MarketImage


_DECODER: Final = msgspec.json.Decoder(_Known)


def log_opened(log: Log, codec: Codec, partition: int) -> LogOpened | None:
    """The head of a partition, None when it is not there (yet, or no more)."""
    low, _ = log.extent("market", partition)
    for line in log.read("market", partition, end=None if low == 0 else low + HEAD_RECORDS):
        try:
            record = codec.decode(line.value)
        except SchemaError:
            continue
        if isinstance(record, LogOpened):
            return record
    return None


def known_market(log: Log, codec: Codec, partition: int) -> MarketImage | None:
    """What the newest fitting checkpoint of decide knows of a partition: `log_id`, `base_offset`, sessions, and all the rest."""
    low, high = log.extent("market", partition)
    for start, last in checkpoint_tails(log, "checkpoints.decide", partition):
        for pieces in reversed(whole_checkpoints(checkpoints(log, codec, "checkpoints.decide", partition, start))):
            try:
                market = _DECODER.decode(joined(pieces)).market
            except msgspec.DecodeError:
                continue  # damaged, or of a format that this code does not know
            ours = (market.log_id, market.partition) == (pieces[0].log_id, partition) and bool(market.log_id)
            if ours and low <= market.base_offset + market.position + 1 <= high:
                return market
        if last:
            break
    return None


def checkpoint_tails(log: Log, topic: str, partition: int) -> Iterator[tuple[int, bool]]:
    """Offsets to read a topic of checkpoints from, ever further back, and whether one is the furthest."""
    low, high = log.extent(topic, partition)
    tail = TAIL_RECORDS
    while low < high:
        start = max(low, high - tail)
        last = start == low or tail >= TAIL_RECORDS_MAX
        yield start, last
        if last:
            return
        tail *= 2


def checkpoints(log: Log, codec: Codec, topic: str, partition: int, start: int) -> Iterator[Checkpoint]:
    """Chunks of checkpoints from an offset on; what cannot be read is passed over."""
    for line in log.read(topic, partition, start=start):
        try:
            record = codec.decode(line.value)
        except SchemaError:
            continue
        if isinstance(record, Checkpoint):
            yield record


def head_dropped(log: Log, partition: int, needs: str) -> LogError:
    """The refusal of a stage that cannot tell the positions of a partition; `needs` says what it would have needed."""
    low, _ = log.extent("market", partition)
    return LogError(
        f"{log.name}: market partition {partition} begins at offset {low}, its head was dropped, and there is {needs}; restore the "
        "archive under another kafka.prefix and go on there: crossbook archive restore FOLDER (docs/archive.md)"
    )
