"""One pass over Kalshi's recorded books: rows become records.

Decides what each recorded row is worth. A change of a level becomes one BookDelta with the size that it leaves behind; a
change that cannot be trusted (before a snapshot, after a gap, off the grid, below zero) is dropped, counted, and its book is
declared invalid until the next snapshot. A crossed book is invalid as well, as at the venue's own feed; once it has uncrossed it is
written whole. Rows after the close are dropped: nobody trades there. It must never let a book go on over a session's end, never
show a payout before it was known, and never hold more than a batch of the file.

Two clocks were recorded. With spot prices on the recorder's clock, `recv_ms` orders everything; without, `ts_ms`, the venue's own,
because the recorder was up to seconds late; a snapshot has no `ts_ms` and takes that of the row after it. Steps back are clamped
and counted; where the two are ten minutes apart the earlier counts, and a row hours off its market's window is dropped. A row that
comes twice counts once. How many rows are read together must never show.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crossbook.domain.names import KALSHI
from producers.recordings.clocks import bounds, possible
from producers.recordings.columns import NULL, Block, Columns, Names, Span, cut, joined, read_spans
from producers.recordings.frame import MS_NS, ImportReport, Placed
from producers.recordings.kalshi_l2.ladders import DOLLAR_1E4, MICROS_PER_1E2, MICROS_PER_1E4, NO, SIZE_MAX, YES
from producers.recordings.kalshi_l2.markets import Known, Market, listing
from producers.recordings.kalshi_l2.rows import DELTA, EMPTY, LAYOUT, SNAPSHOT, TRADE, Rows, Style, settled
from producers.recordings.kalshi_l2.spot import SpotFeed
from producers.recordings.repeats import REPEATED
from producers.recordings.timeline import HOLE_NS, Timeline, resync
from schemas.records import (
    BookDelta,
    BookSnapshot,
    InstrumentSettled,
    PublicTrade,
    Record,
)

Flags: TypeAlias = NDArray[np.bool_]
FIRST_MS, LAST_MS = bounds("ms")


class Source(NamedTuple):
    """A recording that was opened and found importable."""

    style: Style
    partitions: int
    names: Names
    markets: dict[str, Known]
    spans: list[Span]
    spot: list[Block]
    span_ms: tuple[int, int]
    ts_first_ns: int


class Replay:
    """One pass over the rows."""

    def __init__(self, source: Source, report: ImportReport) -> None:
        self._source = source
        self._style = source.style
        self._report = report
        self._timeline = Timeline(source.partitions)
        self._voice = self._timeline.voice(KALSHI, KALSHI)
        self._markets: dict[int, Market] = {}
        self._rows = Rows(source.style, report)
        self._key = (NULL, NULL)
        self._now = source.ts_first_ns

    def log(self) -> Iterator[Placed]:
        """Everything after the head."""
        source = self._source
        if source.spot:
            SpotFeed(self._timeline, source.partitions, source.spot, self._report, source.span_ms).start()
        carry: Columns | None = None
        for columns in read_spans(source.spans, LAYOUT, source.names):
            batch = joined(carry, columns)
            start = 0
            for end in settled(batch, self._style.clock):
                yield from self._batch(cut(batch, start, end))
                start = end
            carry = cut(batch, start, len(batch["kind"]))
        if carry is not None:
            yield from self._batch(carry)
        yield from self._timeline.end(self._now)

    def _batch(self, columns: Columns) -> Iterator[Placed]:
        """Rows, by runs of one market (and session)."""
        rows = len(columns["kind"])
        if not rows:
            return
        market, sid = columns["market"], columns["sid"]
        change = market[1:] != market[:-1]
        if self._style.by_session:
            change |= sid[1:] != sid[:-1]
        cuts = [0, *(np.flatnonzero(change) + 1).tolist(), rows]
        for start, end in pairwise(cuts):
            key = int(market[start]), int(sid[start]) if self._style.by_session else 0
            yield from self._run(key, cut(columns, start, end))

    def _run(self, key: tuple[int, int], columns: Columns) -> Iterator[Placed]:
        report = self._report
        rows = len(columns["kind"])
        report.rows += rows
        market = self._market(key[0])
        if market is None:
            report.dropped["market not in markets.csv"] += rows
            return
        columns = self._rows.once(key, market, columns)
        columns, stamps = self._rows.timely(market, columns)
        rows = len(stamps)
        if not rows:
            return
        times = np.maximum.accumulate(np.maximum(stamps, self._now))
        end = 0 if market.over else int(np.searchsorted(times, market.close_ns))
        if end < rows:
            market.over = True
            report.dropped["after the close"] += rows - end
        if not end:
            return
        back = int((stamps[:end] < times[:end]).sum())
        if back:
            report.counted["steps of time back, clamped"] += back
        columns = cut(columns, 0, end)
        columns["time"] = times = times[:end]
        if key != self._key:
            yield from self._begin(key, market, int(times[0]))
        else:
            report.counted["silences of 10 s inside a market"] += int(
                (np.diff(times, prepend=self._now) > HOLE_NS).sum()
            )
        before = market.seq
        broken = self._broken(market, columns)
        yield from self._segments(market, columns, broken, before)
        self._now = int(times[-1])

    def _market(self, number: int) -> Market | None:
        market = self._markets.get(number)
        if market is None and number != NULL:
            known = self._source.markets.get(self._source.names.texts[number])
            if known is not None:
                market = self._markets[number] = Market(known, self._source.partitions)
        return market

    def _begin(self, key: tuple[int, int], market: Market, ts_ns: int) -> Iterator[Placed]:
        """Another market, or another session: say a hole where there is one, and list the market at its first row."""
        before, self._key = self._key, key
        voice, timeline = self._voice, self._timeline
        if voice.session < 0:
            yield from timeline.resume(voice, ts_ns)
        elif self._style.by_session and before[1] != key[1]:
            self._report.counted["sessions that ended"] += 1
            yield from self._hole(ts_ns, "the recording session ended")
        elif ts_ns - self._now > HOLE_NS:
            self._report.counted["holes between markets"] += 1
            yield from self._hole(ts_ns, "a hole in the recording")
        else:
            yield from timeline.until(ts_ns)
        if market.listed is None:
            market.listed = listing(market, ts_ns, "active")
            yield self._placed(market, market.listed, ts_ns)
            self._appoint(market)
        market.evt = market.seq = NULL
        market.state = "no_snapshot"

    def _hole(self, ts_ns: int, reason: str) -> Iterator[Placed]:
        self._voice.data_ns = self._now
        yield from self._timeline.hole(self._voice, self._now, ts_ns, reason)
        for market in self._markets.values():
            market.state = "no_snapshot"

    def _appoint(self, market: Market) -> None:
        """Its close, and its payout when it will be known."""
        facts = market.facts

        def close(ts_ns: int) -> Iterator[Placed]:
            yield self._placed(market, listing(market, ts_ns, "closed"), ts_ns)

        def settle(ts_ns: int) -> Iterator[Placed]:
            assert facts.payout_yes_micros is not None, "appointed only with a payout"
            self._report.counted["markets settled"] += 1
            settled = InstrumentSettled(
                ts_received_ns=ts_ns,
                ts_venue_ns=facts.ts_settled_venue_ns,
                instrument_id=market.id,
                payout_yes_micros=facts.payout_yes_micros,
                source=facts.source,
            )
            yield self._placed(market, settled, ts_ns)

        self._timeline.appoint(facts.ts_close_ns, close)
        if facts.payout_yes_micros is None:
            self._report.counted["markets without a result"] += 1
        else:
            self._timeline.appoint(facts.ts_settled_ns, settle)

    def _broken(self, market: Market, columns: Columns) -> Flags:
        """Rows before which something is missing, or that cannot be a change. `seq` counts book rows alone where trades have their own."""
        kind, evt, seq = columns["kind"], columns["evt"], columns["seq"]
        step = np.diff(evt, prepend=evt[0] if market.evt == NULL else market.evt)
        broken: Flags = step != 1
        is_book = np.ones(len(kind), dtype=np.bool_) if self._style.by_session else kind != TRADE
        numbers = seq[is_book]
        if len(numbers):
            order = np.diff(numbers, prepend=numbers[0] if market.seq == NULL else market.seq)
            broken[is_book] |= (order != 1) if self._style.by_session else (order <= 0)
            market.seq = int(numbers[-1])
        if market.evt == NULL:
            broken[0] = False  # nothing was there before it
        if "doubt" in columns:
            broken |= columns["doubt"] != 0
        if market.doubt:
            broken[0], market.doubt = True, False
        side = columns["side"]
        broken |= (kind == DELTA) & (side != YES) & (side != NO)
        market.evt = int(evt[-1])
        return broken

    def _segments(self, market: Market, columns: Columns, broken: Flags, seq_before: int) -> Iterator[Placed]:
        """Whole snapshots, and stretches of other rows."""
        kind, evt = columns["kind"], columns["evt"]
        whole = kind == SNAPSHOT
        change = (whole[1:] != whole[:-1]) | (whole[1:] & (evt[1:] != evt[:-1]))
        seq = columns["seq"]
        for start, end in pairwise([0, *(np.flatnonzero(change) + 1).tolist(), len(kind)]):
            part = cut(columns, start, end)
            if whole[start]:
                earlier = seq[:start][kind[:start] != TRADE]
                renewed = int(seq[start]) <= (int(earlier[-1]) if len(earlier) else seq_before)
                yield from self._snapshot(market, part, renewed=renewed)
            else:
                yield from self._changes(market, part, broken[start:end].tolist())

    def _snapshot(self, market: Market, columns: Columns, *, renewed: bool) -> Iterator[Placed]:
        ts_ns = int(columns["time"][0])
        if renewed and market.state != "no_snapshot":
            self._report.counted["subscriptions made anew"] += 1
            yield from self._hole(ts_ns, "the subscription was lost")
        elif ts_ns >= self._timeline.due_ns:
            yield from self._timeline.until(ts_ns)
        self._now = ts_ns
        rows = list(
            zip(columns["side"].tolist(), columns["price_1e4"].tolist(), columns["size_1e2"].tolist(), strict=True)
        )
        levels = list(dict.fromkeys(rows))
        if len(levels) < len(rows):
            self._report.dropped[REPEATED] += len(rows) - len(levels)
        why = market.ladders.replace(levels)
        if not why and any(price not in market.prices[side] for side, price, _ in levels):
            why = "a snapshot with a price off the grid"
        if why:
            self._report.dropped[why] += len(levels)
            yield from self._distrust(market, why, ts_ns)
            return
        self._report.used["levels of snapshots"] += len(levels)
        yield from self._whole(market, ts_ns)

    def _whole(self, market: Market, ts_ns: int) -> Iterator[Placed]:
        """The book as it stands, if it may be shown."""
        if market.ladders.crossed:
            self._report.counted["crossed states"] += 1
            if market.state != "crossed":
                yield from self._distrust(market, "crossed", ts_ns)
            return
        bid_prices, bid_sizes, ask_prices, ask_sizes = market.ladders.yes_levels()
        market.sequence += 1
        market.state = "ready"
        self._report.books += 1
        snapshot = BookSnapshot(
            ts_received_ns=ts_ns,
            instrument_id=market.id,
            feed=KALSHI,
            session=self._voice.session,
            sequence=market.sequence,
            delivery="streaming",
            cadence_ms=0,
            keyframe=False,
            bid_prices=bid_prices,
            bid_sizes=bid_sizes,
            ask_prices=ask_prices,
            ask_sizes=ask_sizes,
        )
        yield self._placed(market, snapshot, ts_ns)

    def _changes(self, market: Market, columns: Columns, broken: list[bool]) -> Iterator[Placed]:
        """The hot path: one change, one record. Whatever is not an ordinary change goes to `_unusual`."""
        names = ("time", "ts_ms", "kind", "side", "price_1e4", "size_1e2", "taker")
        timeline, voice, prices, best = self._timeline, self._voice, market.prices, market.ladders.best
        change: Callable[[int, int, int], int] = market.ladders.change
        partition, group, name, session = market.partition, market.group, market.id, voice.session
        books, ts_ns = self._report.books, self._now
        others = 0
        rows = zip(*(columns[column].tolist() for column in names), broken, strict=True)
        for time_ns, venue_ms, kind, side, price, size, taker, is_broken in rows:
            if time_ns >= timeline.due_ns:
                voice.data_ns = ts_ns
                yield from timeline.until(time_ns)
            ts_ns = time_ns
            if kind != DELTA or is_broken or market.state != "ready":
                others += 1
                self._report.books, self._now = books, ts_ns
                row = _Row(ts_ns, venue_ms, kind, side, price, size, taker, is_broken)
                yield from self._unusual(market, row)
                books, best, change = self._report.books, market.ladders.best, market.ladders.change
                continue
            micros = prices[side].get(price)
            left = -1 if micros is None else change(side, price, size)
            if not 0 <= left <= SIZE_MAX or best[0] + best[1] >= DOLLAR_1E4:
                others += 1
                self._report.books, self._now = books, ts_ns
                yield from self._odd_change(market, "price off the grid" if micros is None else "", left, ts_ns)
                books = self._report.books
                continue
            assert micros is not None, "left is below zero without one"
            number = market.sequence
            market.sequence = number + 1
            books += 1
            sizes = (left * MICROS_PER_1E2,)
            delta = BookDelta(
                ts_received_ns=ts_ns,
                ts_venue_ns=venue_ms * MS_NS if FIRST_MS <= venue_ms < LAST_MS else None,
                instrument_id=name,
                feed=KALSHI,
                session=session,
                sequence=number + 1,
                previous_sequence=number,
                bid_prices=() if side else micros,
                bid_sizes=() if side else sizes,
                ask_prices=micros if side else (),
                ask_sizes=sizes if side else (),
            )
            yield Placed(partition, group, delta, ts_ns)
        self._report.books, self._now = books, ts_ns
        self._report.used["changes of levels"] += len(broken) - others
        voice.data_ns = ts_ns

    def _odd_change(self, market: Market, reason: str, left: int, ts_ns: int) -> Iterator[Placed]:
        """A change that makes no book: refused, or it crosses the ladders."""
        if 0 <= left <= SIZE_MAX:
            self._report.used["changes of levels"] += 1
            yield from self._whole(market, ts_ns)
            return
        reason = reason or ("size below zero" if left < 0 else "size out of range")
        self._report.dropped[reason] += 1
        yield from self._distrust(market, reason, ts_ns)

    def _unusual(self, market: Market, row: "_Row") -> Iterator[Placed]:
        report, ts_ns = self._report, row.ts_ns
        why = ""
        if row.kind not in {DELTA, TRADE, EMPTY}:
            why = "kind of row unknown"
        elif row.kind == DELTA and row.side not in {YES, NO}:
            why = "side unknown"
        if why:
            report.dropped[why] += 1
            if market.state not in {"no_snapshot", why}:
                yield from self._distrust(market, why, ts_ns)
            return
        if row.is_broken and row.kind != EMPTY and market.state not in {"no_snapshot", "gap"}:
            report.counted["gaps in the numbers of a market"] += 1
            yield from self._distrust(market, "gap", ts_ns)
        if row.kind == TRADE:
            yield from self._trade(market, row)
        elif row.kind == EMPTY:
            market.ladders.replace([])
            report.used["empty snapshots"] += 1
            yield from self._whole(market, ts_ns)
        elif market.state == "crossed":
            micros = market.prices[row.side].get(row.price)
            left = -1 if micros is None else market.ladders.change(row.side, row.price, row.size)
            yield from self._odd_change(market, "price off the grid" if micros is None else "", left, ts_ns)
        else:
            before = market.state == "no_snapshot"
            report.dropped["change before a snapshot" if before else "change of a book that is not trusted"] += 1

    def _trade(self, market: Market, row: "_Row") -> Iterator[Placed]:
        if not 0 < row.price < DOLLAR_1E4 or not 0 < row.size <= SIZE_MAX or row.taker not in {YES, NO}:
            self._report.dropped["trade without price, size or side"] += 1
            return
        self._report.used["trades"] += 1
        trade = PublicTrade(
            ts_received_ns=row.ts_ns,
            ts_venue_ns=row.venue_ms * MS_NS if possible(row.venue_ms, "ms") else None,
            instrument_id=market.id,
            feed=KALSHI,
            session=self._voice.session,
            trade_id="",
            price_micros=row.price * MICROS_PER_1E4,
            quantity_micros=row.size * MICROS_PER_1E2,
            taker_side="buy" if row.taker == YES else "sell",
        )
        yield self._placed(market, trade, row.ts_ns)

    def _distrust(self, market: Market, reason: str, ts_ns: int) -> Iterator[Placed]:
        """The book is invalid until its next snapshot."""
        market.state = reason
        self._voice.data_ns = ts_ns
        self._report.counted["books declared invalid"] += 1
        yield Placed(market.partition, None, resync(self._voice, market.id, reason, ts_ns), ts_ns)

    def _placed(self, market: Market, record: Record, ts_ns: int) -> Placed:
        return Placed(market.partition, market.group, record, ts_ns)


class _Row(NamedTuple):
    """A row that is no ordinary change."""

    ts_ns: int
    venue_ms: int
    kind: int
    side: int
    price: int
    size: int
    taker: int
    is_broken: bool
