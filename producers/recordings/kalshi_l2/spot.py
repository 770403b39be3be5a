"""Spot prices of a recording, on the clock of the books: trades of Coinbase's BTC-USD as ReferencePrice.

Decides when the reference feed lives: a silence of ten seconds is a hole, said as one; and which rows are prices: a trade counts once,
and one that stands hours from the others does not. That none is of the time of the books is said. It must never hold more than a batch,
and never move a price to another time than that at which it was received. The size of a trade was not recorded and stays null.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from producers.recordings.clocks import HOUR_MS, LEAD_ROWS, without_strays
from producers.recordings.columns import (
    NULL,
    Block,
    Columns,
    Layout,
    Names,
    Span,
    effective,
    kept,
    known_stamps,
    read_spans,
    survey_blocks,
)
from producers.recordings.frame import STATUS_NS, ImportReport, Placed, everywhere
from producers.recordings.repeats import CONTRADICTING, REPEATED, Repeats, fingerprints
from producers.recordings.timeline import HOLE_NS, Timeline
from schemas.records import ReferencePrice

INTEGERS: Final = ("recv_us", "ts_us", "price_1e2", "trade_id")
SPOT_LAYOUT: Final = Layout(INTEGERS, (), (("recv_us", "µs"), ("ts_us", "µs")))
FEED: Final = "coinbase"
REFERENCE_ID: Final = "coinbase:BTC-USD"
US_NS: Final = 1_000
HOUR_US: Final = HOUR_MS * 1_000
MICROS_PER_1E2: Final = 10_000
#: Dollars × 100: a price above a hundred million dollars is none.
PRICE_MAX: Final = 10**10


class _Trade(NamedTuple):
    ts_ns: int
    venue_ns: int | None
    price_micros: int
    number: int


def survey_spot(paths: Sequence[Path], names: Names) -> list[Block]:
    """Blocks of the files, µs; each begins where its first rows do, whatever a later one says.

    Raises:
        RecordingError: a file has another layout, or its stamps another unit.
    """
    found = []
    for path in paths:
        for block in survey_blocks(path, SPOT_LAYOUT, (), "recv_us", "ts_us", names, reach_ms=None):
            lead = read_spans([Span(path, 0, min(LEAD_ROWS, block.end))], SPOT_LAYOUT, names)
            stamps = np.sort(np.concatenate([effective(part, SPOT_LAYOUT, "recv_us", "ts_us") for part in lead]))
            stamps = stamps[stamps != NULL]
            near = stamps[np.abs(stamps - stamps[len(stamps) // 2]) <= HOUR_US] if len(stamps) else [block.first_ms]
            found.append(block._replace(first_ms=int(near[0])))
    return found


class SpotFeed:
    """The reference feed of one pass; its rows are appointments of the timeline."""

    def __init__(
        self,
        timeline: Timeline,
        partitions: int,
        blocks: Sequence[Block],
        report: ImportReport,
        books_ms: tuple[int, int],
    ) -> None:
        self._timeline = timeline
        self._partitions = partitions
        self._report = report
        self._voice = timeline.voice(FEED, None)
        spans = [Span(block.file, block.start, block.end) for block in sorted(blocks, key=lambda block: block.first_ms)]
        self._books_us = books_ms[0] * 1_000, books_ms[1] * 1_000
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
        report, first_us, last_us = self._report, *self._books_us
        now = 0
        beside = False  # whether a price is of the time of the books
        rows = without_strays(
            self._each(spans), HOUR_US, lambda rows: report.drop("reference price hours from the others", rows)
        )
        for recv_us, (ts_us, price, number) in rows:
            assert recv_us is not None, "rows without a time were dropped"
            ts_ns = recv_us * US_NS
            beside = beside or first_us <= recv_us <= last_us
            report.used["reference prices"] += 1
            if ts_ns < now:
                report.counted["steps of time back, clamped"] += 1
                ts_ns = now
            now = ts_ns
            yield _Trade(ts_ns, ts_us * US_NS if ts_us != NULL else None, price * MICROS_PER_1E2, max(number, 0))
        report.notice("no reference price is of the time of the books", int(not beside))

    def _each(self, spans: Sequence[Span]) -> Iterator[tuple[int, tuple[int, int, int]]]:
        """Each usable row once: when it was received, and the rest."""
        repeats = Repeats()
        for batch in read_spans(spans, SPOT_LAYOUT, Names()):
            self._report.rows += len(batch["recv_us"])
            columns = self._once(self._usable(batch), repeats)
            stamps, *rest = (columns[name].tolist() for name in INTEGERS)
            yield from zip(stamps, zip(*rest, strict=True), strict=True)

    def _usable(self, batch: Columns) -> Columns:
        """Rows with a price and a time."""
        batch["recv_us"] = effective(batch, SPOT_LAYOUT, "recv_us", "ts_us")
        batch["ts_us"] = known_stamps(batch, SPOT_LAYOUT, "ts_us")
        recv, price = batch["recv_us"], batch["price_1e2"]
        good = (recv != NULL) & (price > 0) & (price < PRICE_MAX)
        self._report.drop("reference price without time or price", int((~good).sum()))
        return kept(batch, good)

    def _once(self, columns: Columns, repeats: Repeats) -> Columns:
        """Trades that did not come before; without a number, its moment is one."""
        number = columns["trade_id"]
        numbers = np.where(number < 0, columns["recv_us"], number)
        if not len(number):
            return columns
        judged = repeats.judge(numbers, fingerprints(columns, INTEGERS), np.zeros(len(number), dtype=np.bool_))
        if judged is None:
            return columns
        clash = judged.contradicting & (number >= 0)
        self._report.drop(REPEATED, int(judged.repeated.sum()))
        self._report.drop(CONTRADICTING, int(clash.sum()))
        return kept(columns, ~(judged.repeated | clash))
