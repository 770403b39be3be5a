"""What a replay writes: the records of a range of `market`, as they stood.

Decides the bytes of the target's log from the source alone, so that a replay that was killed goes on where the target ends. A range
that begins at zero keeps the log's id and positions: its LogOpened alone is written anew, because its offset is another one. A range
that begins later is a new log, whose id follows from the source's and the range: it begins with the state at that point, written as
keyframes. Must never change, leave out or reorder a record of the range, and never pass a gap or other decision code in silence.
"""

import hashlib
import heapq
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple

from crossbook.domain.names import VENUES
from crossbook.log.errors import LogError
from crossbook.log.head import log_opened
from crossbook.log.reading import Log
from crossbook.market.book_state import BookState, FeedHealth
from crossbook.market.feed_clock import RECORDED
from crossbook.market.market_state import MarketState
from processors.decide.checkpoint import thaw
from processors.decide.code_digest import decision_digest
from processors.errors import CheckpointError, CodeDigestError
from processors.strategies.base import Strategies
from processors.strategies.table import STRATEGIES
from processors.verify.checkpoints import read_payload, stored_checkpoints
from processors.verify.verify import Positions
from schemas.codec import HEADER, Codec, load_codec
from schemas.errors import SchemaError
from schemas.records import (
    BookSnapshot,
    FeedStatus,
    InstrumentSettled,
    LogOpened,
    MarketConfigured,
    Record,
    ReferencePrice,
    ReferenceStatus,
    StrategyConfigured,
)
from schemas.registry import load_registry

#: Records of one partition written before the next one's, where time does not say the order.
TURN_RECORDS: Final = 500
STALE_REASON: Final = "stale where the replay begins"


class Entry(NamedTuple):
    """A record of the target: bytes as they are written, and its stamp (Unix ns; 0 where nobody asked)."""

    partition: int
    key: bytes | None
    value: bytes
    ts_ns: int


class ReplaySource:
    """A range of a log, ready to be written again."""

    def __init__(
        self, log: Log, ranges: Mapping[int, Positions] | None = None, strategies: Strategies = STRATEGIES
    ) -> None:
        """Look at the head of each partition; `strategies` are those that may have decided.

        Raises:
            LogError: a partition has no readable LogOpened.
        """
        self.log = log
        self._codec: Codec = load_codec()
        self._strategies = strategies
        self._digest = decision_digest(strategies)
        self._heads: dict[int, LogOpened] = {}
        self._settings_ids = {
            HEADER.pack(0, schema.id)
            for schema in load_registry().by_id.values()
            if schema.record in {"MarketConfigured", "StrategyConfigured"}
        }
        self.ranges = {number: (ranges or {}).get(number, Positions()) for number in range(log.partitions)}
        for number in self.ranges:
            head = log_opened(log, self._codec, number)
            if head is None:
                raise LogError(
                    f"{log.name}: market partition {number} has no readable LogOpened; there is nothing to replay"
                )
            self._heads[number] = head
        self.whole = all(one.begin <= 0 for one in self.ranges.values())
        self.log_id = self._heads[0].log_id if self.whole else self._derived_id()

    def _derived_id(self) -> str:
        said = [self._heads[0].log_id, *(f"{n}:{one.begin}:{one.end}" for n, one in sorted(self.ranges.items()))]
        return hashlib.sha256("\n".join(said).encode()).hexdigest()[:32]

    def base_offset(self, partition: int) -> int:
        """Offset of a partition's LogOpened in the source."""
        return self._heads[partition].base_offset

    def records(self, partition: int) -> int:
        """How many records of a partition lie in the range, at most."""
        wanted = self.ranges[partition]
        low, high = self.base_offset(partition), self.log.extent("market", partition)[1]
        end = high if wanted.end is None else min(high, low + wanted.end)
        return max(0, end - low - wanted.begin)

    def entries(self, already: Mapping[int, int], *, timed: bool) -> Iterator[Entry]:
        """Every record that the target does not hold yet; ordered by time where that is asked for, else partition by turns."""
        streams = [self._stream(number, already.get(number, 0), timed=timed) for number in self.ranges]
        if timed:
            yield from heapq.merge(*streams, key=lambda entry: entry.ts_ns)
            return
        while streams:
            for stream in list(streams):
                turn = list(islice(stream, TURN_RECORDS))
                yield from turn
                if len(turn) < TURN_RECORDS:
                    streams.remove(stream)

    def _stream(self, partition: int, already: int, *, timed: bool) -> Iterator[Entry]:
        head = self._heads[partition]
        wanted = self.ranges[partition]
        base = head.base_offset
        opened = LogOpened(
            ts_received_ns=head.ts_received_ns,
            log_id=self.log_id,
            partition=partition,
            partitions=self.log.partitions,
            base_offset=0,
            clock=RECORDED,
        )
        first: list[tuple[str | None, Record]] = [(None, opened)]
        begin = 1
        if wanted.begin > 0:
            begin = wanted.begin
            market = self._state_at(partition, begin)
            first += keyframes(market)
        ts_ns = head.ts_received_ns
        for key, record in first[already:]:
            yield Entry(partition, None if key is None else key.encode(), self._codec.encode(record), ts_ns)
        start = base + begin + max(0, already - len(first))
        end = None if wanted.end is None else base + wanted.end
        expected = start
        for line in self.log.read("market", partition, start=start, end=end):
            if line.offset != expected:
                raise LogError(
                    f"{self.log.name}: market partition {partition} has a gap before offset {line.offset}; `crossbook verify` names it"
                )
            expected += 1
            if line.value[: HEADER.size] in self._settings_ids:
                self._check_code(partition, line.offset - base, line.value)
            if timed:
                ts_ns = self._stamp(line.value, ts_ns)
            yield Entry(partition, line.key, line.value, ts_ns)

    def _check_code(self, partition: int, position: int, value: bytes) -> None:
        try:
            record = self._codec.decode(value)
        except SchemaError:
            return
        if isinstance(record, MarketConfigured | StrategyConfigured) and record.code_digest != self._digest:
            raise CodeDigestError(
                partition=partition, position=position, configured=record.code_digest, running=self._digest
            )

    def _stamp(self, value: bytes, before_ns: int) -> int:
        try:
            return max(before_ns, getattr(self._codec.decode(value), "ts_received_ns", before_ns))
        except SchemaError:
            return before_ns

    def _state_at(self, partition: int, begin: int) -> MarketState:
        """The market just before a position: from the newest checkpoint that lies before it, else from zero."""
        head = self._heads[partition]
        market = MarketState()
        start = head.base_offset
        stored = stored_checkpoints(self.log, self._codec, partition, log_id=head.log_id, code_digest=self._digest)
        for one in reversed([one for one in stored if one.position < begin]):
            payload = read_payload(self.log, self._codec, partition, one, log_id=head.log_id, code_digest=self._digest)
            try:
                market = thaw(payload, self._digest, self._strategies).market
            except CheckpointError:
                continue
            start = head.base_offset + one.position + 1
            break
        for line in self.log.read("market", partition, start=start, end=head.base_offset + begin):
            position = line.offset - head.base_offset
            try:
                market.apply(position, self._codec.decode(line.value))
            except SchemaError:
                market.skip(position)
        return market


def keyframes(market: MarketState) -> list[tuple[str | None, Record]]:
    """The state of a market as records, keys first, behind its LogOpened; folded, they make what may be traded the same.

    Broken books and feeds that were silent are not made whole: a broken book is left out and waits for its snapshot, a stale feed
    is written as down. What contradicted itself is left out, so that it is not tradable there either. Counters of the fold (clamped stamps, crossings) begin anew.
    """
    found: list[tuple[str | None, Record]] = []
    if market.friction is not None:
        found.append((None, market.friction))
    found += [(None, configured) for configured in market.strategies.values()]
    if market.configured is not None:
        found.append((None, market.configured))
    found += [(None, status) for status in market.venues.values()]
    contradicted = market.identities.instruments
    found += [(one.group, one) for one in market.instruments.values() if one.instrument_id not in contradicted]
    found += [
        (_group(market, instrument_id), _settled(market, instrument_id, payout))
        for instrument_id, payout in market.settled.items()
    ]
    found += [(pair.group, pair) for pair in market.pairs.values() if pair.pair_id not in market.identities.pairs]
    found += [(None, status) for status in _feeds(market)]
    found += [
        (_group(market, book.instrument_id), _snapshot(book)) for book in market.books.values() if not book.broken
    ]
    found += [(None, record) for record in _references(market)]
    return found


def _group(market: MarketState, instrument_id: str) -> str | None:
    listed = market.instruments.get(instrument_id)
    return None if listed is None else listed.group


def _settled(market: MarketState, instrument_id: str, payout: int) -> InstrumentSettled:
    return InstrumentSettled(
        ts_received_ns=market.now_ns, instrument_id=instrument_id, payout_yes_micros=payout, source="replay"
    )


def _feeds(market: MarketState) -> list[FeedStatus]:
    """Fresh feeds first, each with the stamp of its last word, so that freshness ends when it would have."""

    def fresh(health: FeedHealth) -> bool:
        return health.state == "live" and market.now_ns - health.last_status_now <= market.feed_stale_ns

    ordered = sorted(market.feeds.items(), key=lambda item: (not fresh(item[1]), item[1].last_status_now))
    found = []
    for feed, health in ordered:
        venue = next((one.instrument_id.partition(":")[0] for one in market.books.values() if one.feed == feed), feed)
        if venue not in VENUES:
            continue
        stale = health.state == "live" and not fresh(health)
        found.append(
            FeedStatus(
                ts_received_ns=health.last_status_now if fresh(health) else market.now_ns,
                feed=feed,
                venue=venue,
                session=health.session,
                state="down" if stale else health.state,
                reason=STALE_REASON if stale else "",
                instruments=(),
            )
        )
    return found


def _snapshot(state: BookState) -> BookSnapshot:
    levels = state.book.levels()
    return BookSnapshot(
        ts_received_ns=state.ts_received_ns,
        instrument_id=state.instrument_id,
        feed=state.feed,
        session=state.session,
        sequence=state.sequence,
        delivery=state.delivery,
        cadence_ms=0,
        keyframe=True,
        **levels._asdict(),
    )


def _references(market: MarketState) -> Iterator[Record]:
    for feed, health in market.references.feeds.items():
        stale = health.state == "live" and market.now_ns - health.last_status_now > market.feed_stale_ns
        yield ReferenceStatus(
            ts_received_ns=market.now_ns,
            feed=feed,
            session=health.session,
            state="down" if stale else health.state,
            reason=STALE_REASON if stale else "",
        )
    for one in market.references.prices.values():
        traded = not one.quoted
        yield ReferencePrice(
            ts_received_ns=one.ts_received_ns,
            reference_id=one.reference_id,
            feed=one.feed,
            session=one.session,
            sequence=one.sequence_trade if traded else one.sequence_quote,
            bid_price_micros=None if traded else one.bid_price,
            bid_size_micros=None if traded else one.bid_size,
            ask_price_micros=None if traded else one.ask_price,
            ask_size_micros=None if traded else one.ask_size,
            trade_price_micros=one.bid_price if traded else None,
            trade_size_micros=one.bid_size if traded else None,
        )
