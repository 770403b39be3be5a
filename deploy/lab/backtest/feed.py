"""The market stream of a backtest: read from a log, changed where a setting or a model says so, and delayed where one simulates.

Decides which position a record has, and, with a feed latency, its new stamp and place. Must never change a record of a book, nor
the order within a feed.
"""

import hashlib
import heapq
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from crossbook.log.reading import Log
from crossbook.market.configuration import MARKET_TERMS, as_settings, settings_of
from deploy.lab.backtest.models import FeedLatency
from executors.terms import NS_PER_S
from processors.errors import InputError
from processors.strategies.cross_venue.settings import NAME as CROSS_VENUE
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import InstrumentListed, LogOpened, MarketConfigured, Record, StrategyConfigured

#: (position, record), None for one that could not be decoded.
Placed: TypeAlias = tuple[int, Record | None]
#: How far received stamps of feeds may stand behind each other before a delayed event counts as too late for its place.
HORIZON_NS: Final = 2 * NS_PER_S
#: The same for venue stamps, which stand on the venues' clocks.
VENUE_HORIZON_NS: Final = 10 * NS_PER_S


def market_records(log: Log, codec: Codec, partition: int) -> Iterator[Placed]:
    """Records of a partition of `market` from LogOpened on, by position.

    Raises InputError when the log begins elsewhere than it says.
    """
    stream = _offsets(log, codec, partition)
    for offset, record in stream:
        if not isinstance(record, LogOpened):
            continue
        if record.base_offset != offset or record.partition != partition:
            raise InputError(
                f"LogOpened at offset {offset} of market partition {partition} names offset {record.base_offset} of partition "
                f"{record.partition}: the head of the log is gone; restore it at its own offsets"
            )
        yield 0, record
        for later, following in stream:
            yield later - offset, following


def _offsets(log: Log, codec: Codec, partition: int) -> Iterator[tuple[int, Record | None]]:
    # An archive holds columns: it makes records without the detour over their bytes.
    records: Callable[..., Iterator[tuple[int, Record | None]]] | None = getattr(log, "records", None)
    if records is not None:
        return records("market", partition, *log.extent("market", partition))
    return _decoded(log, codec, partition)


def _decoded(log: Log, codec: Codec, partition: int) -> Iterator[tuple[int, Record | None]]:
    decode = codec.decode
    for line in log.read("market", partition):
        try:
            yield line.offset, decode(line.value)
        except SchemaError:
            yield line.offset, None


class Preparation:
    """Changes of records that are no books, in place of what the log says.

    `decide` are settings by their names in MarketConfigured or in the settings of the cross-venue pair; `digest` the code that runs. `others` collects digests that the log
    was decided by and that are not it.
    """

    def __init__(self, *, decide: Mapping[str, int], digest: str, taker_delay_ms: int) -> None:
        self._decide = dict(decide)
        self.digest = digest
        self._taker_delay_ms = taker_delay_ms
        self.market: MarketConfigured | None = None
        self.pair: dict[str, str] = {}
        self.others: set[str] = set()

    def __call__(self, record: Record) -> Record:
        """The record as the backtest's stages get it."""
        if isinstance(record, MarketConfigured | StrategyConfigured):
            if record.code_digest != self.digest:
                self.others.add(record.code_digest)
            record = self._configured(msgspec.structs.replace(record, code_digest=self.digest))
        elif isinstance(record, InstrumentListed) and self._taker_delay_ms >= 0:
            record = msgspec.structs.replace(record, taker_delay_ms=self._taker_delay_ms)
        return record

    def _configured(self, record: MarketConfigured | StrategyConfigured) -> Record:
        if isinstance(record, MarketConfigured):
            changes = {name: value for name, value in self._decide.items() if name in MARKET_TERMS}
            self.market = msgspec.structs.replace(record, **changes)
            return self.market
        if record.strategy != CROSS_VENUE:
            return record
        given = settings_of(record)
        self.pair = given | {name: str(value) for name, value in self._decide.items() if name in given}
        return msgspec.structs.replace(record, settings=as_settings(self.pair))


class Delayed:
    """A stream stamped and ordered anew by a feed latency; `late` counts events that came too late even for their new place."""

    def __init__(self, records: Iterator[Placed], latency: FeedLatency) -> None:
        self._records = records
        self._latency = latency
        self._horizon_ns = VENUE_HORIZON_NS if latency.by_venue_stamp else HORIZON_NS
        self._last: dict[str, int] = {}
        self._reach_ns = 0
        self._released_ns = 0
        self.late = 0

    def __iter__(self) -> Iterator[Placed]:
        heap: list[tuple[int, int, Record | None]] = []
        position = 0
        for order, record in self._records:
            heapq.heappush(heap, (self._stamp(order, record), order, record))
            while heap and heap[0][0] <= self._reach_ns - self._horizon_ns:
                yield position, self._release(*heapq.heappop(heap))
                position += 1
        while heap:
            yield position, self._release(*heapq.heappop(heap))
            position += 1

    def _stamp(self, order: int, record: Record | None) -> int:
        feed: str | None = getattr(record, "feed", None)
        if feed is None:  # who relays it stands on another clock: it keeps its place among what was known then
            return self._reach_ns
        received_ns: int = record.ts_received_ns  # type: ignore[union-attr]  # a record with a feed is one of `market`
        self._reach_ns = max(self._reach_ns, received_ns)
        base_ns = received_ns
        if self._latency.by_venue_stamp:
            base_ns = min(getattr(record, "ts_venue_ns", None) or received_ns, received_ns)
        stamp = max(base_ns + self._latency.draw_ns(feed, order), self._last.get(feed, 0))
        self._last[feed] = stamp
        return stamp

    def _release(self, stamp: int, _order: int, record: Record | None) -> Record | None:
        if isinstance(record, LogOpened):
            # Derived ids name the log that they come from, and this is another one.
            name = hashlib.sha256(f"{record.log_id}:{self._latency!r}".encode()).hexdigest()[: len(record.log_id)]
            return msgspec.structs.replace(record, log_id=name)
        if getattr(record, "feed", None) is None:
            return record
        if stamp < self._released_ns:
            self.late += 1
        self._released_ns = max(self._released_ns, stamp)
        return msgspec.structs.replace(record, ts_received_ns=stamp)  # type: ignore[type-var]  # not None: it has a feed
