"""Spot prices of a recording, on the clock of the books: trades of Coinbase's BTC-USD as ReferencePrice.

Decides when the reference feed lives: a silence of ten seconds is a hole, said as one. It must never hold more than a batch, and
never move a price to another time than that at which it was received. The size of a trade was not recorded and stays null.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from producers.recordings.columns import NULL, Block, Layout, Names, Span, read_spans
from producers.recordings.frame import STATUS_NS, ImportReport, Placed, everywhere
from producers.recordings.timeline import HOLE_NS, Timeline
from schemas.records import ReferencePrice

SPOT_LAYOUT: Final = Layout(("recv_us", "ts_us", "price_1e2", "trade_id"))
FEED: Final = "coinbase"
REFERENCE_ID: Final = "coinbase:BTC-USD"
US_NS: Final = 1_000
MICROS_PER_1E2: Final = 10_000


class _Trade(NamedTuple):
    ts_ns: int
    venue_ns: int | None
    price_micros: int
    number: int


class SpotFeed:
    """The reference feed of one pass; its rows are appointments of the timeline."""

    def __init__(self, timeline: Timeline, partitions: int, blocks: Sequence[Block], report: ImportReport) -> None:
        self._timeline = timeline
        self._partitions = partitions
        self._report = report
        self._voice = timeline.voice(FEED, None)
        spans = [Span(block.file, block.start, block.end) for block in sorted(blocks, key=lambda block: block.first_ms)]
        self._rows = self._read(spans)

    def start(self) -> None:
        """Put the first trade on the timeline; each calls the next."""
        first = next(self._rows, None)
        if first is not None:
            self._timeline.at(first.ts_ns, lambda ts_ns: self._begin(first, ts_ns))

    def _begin(self, trade: _Trade, ts_ns: int) -> Iterator[Placed]:
        yield from self._timeline.resume(self._voice, ts_ns)
        yield from self._trade(trade, ts_ns)

    def _trade(self, trade: _Trade, ts_ns: int) -> Iterator[Placed]:
        voice, timeline = self._voice, self._timeline
        voice.data_ns = ts_ns
        self._report.counted["reference prices"] += 1
        price = ReferencePrice(
            ts_received_ns=ts_ns,
            ts_venue_ns=trade.venue_ns,
            reference_id=REFERENCE_ID,
            feed=FEED,
            session=voice.session,
            sequence=trade.number,
            trade_price_micros=trade.price_micros,
        )
        yield from everywhere(price, self._partitions, ts_ns)
        following = next(self._rows, None)
        if following is None:
            timeline.at(ts_ns + STATUS_NS, lambda at_ns: timeline.pause(voice, at_ns, "the recording is over"))
        elif following.ts_ns - ts_ns > HOLE_NS:
            self._report.counted["holes in the reference prices"] += 1
            timeline.at(ts_ns + STATUS_NS, lambda at_ns: timeline.pause(voice, at_ns, "a hole in the recording"))
            timeline.at(following.ts_ns, lambda at_ns: self._begin(following, at_ns))
        else:
            timeline.at(following.ts_ns, lambda at_ns: self._trade(following, at_ns))

    def _read(self, spans: Sequence[Span]) -> Iterator[_Trade]:
        now = 0
        for columns in read_spans(spans, SPOT_LAYOUT, Names()):
            rows = zip(*(columns[name].tolist() for name in SPOT_LAYOUT.integers), strict=True)
            for recv_us, ts_us, price, number in rows:
                self._report.rows += 1
                if recv_us <= 0 or price <= 0:
                    self._report.dropped["reference price without time or price"] += 1
                    continue
                ts_ns = recv_us * US_NS
                if ts_ns < now:
                    self._report.counted["steps of time back, clamped"] += 1
                    ts_ns = now
                now = ts_ns
                venue_ns = ts_us * US_NS if ts_us != NULL else None
                yield _Trade(ts_ns, venue_ns, price * MICROS_PER_1E2, max(number, 0))
