"""One pass over Polymarket's recorded books: messages become records.

Decides what each recorded message is worth: the first whole book of a market becomes a BookSnapshot, each message that changed levels
one BookDelta with its new sizes, one that changed nothing no record. The instrument is the market's token 0 (its YES; by all signs
"Down"). Messages of token 1 are dropped: both tokens are one mirrored book, and counting it twice invents liquidity. Rows after the
window's end are dropped: nobody trades there. It must never show a payout before the end, nor as more than the inference that it is.

Messages follow each other by `ts_ms`, the venue's stamp, in the order of their numbers; the recorder's clock drifted below it. Steps
back are clamped and counted; where the two clocks are ten minutes apart the earlier counts, and a message hours off its market's window
is dropped. A message that comes twice counts once. A silence of ten seconds inside a market is a hole: the feed was down, and the next
message brings the book whole, for that is what the venue sent. A crossed book is passed on and counted: the fold suspends it until it
uncrosses. How many rows are read together must never show.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from crossbook.domain.names import POLYMARKET, instrument_id
from crossbook.venues.policies import POLICIES
from producers.polymarket.catalog import minimums
from producers.recordings.columns import (
    NULL,
    Column,
    Columns,
    Layout,
    Names,
    Span,
    cut,
    effective,
    inside_window,
    joined,
    kept,
    known_stamps,
    read_spans,
)
from producers.recordings.frame import MS_NS, ImportReport, Placed
from producers.recordings.kalshi_l2.ladders import SIZE_MAX
from producers.recordings.polymarket_l2.markets import S_NS, Known
from producers.recordings.repeats import CONTRADICTING, REPEATED, Repeats, fingerprints
from producers.recordings.timeline import HOLE_NS, Timeline, resync
from producers.universe.partition import partition_of
from schemas.records import (
    BookDelta,
    BookSnapshot,
    InstrumentListed,
    InstrumentSettled,
    InstrumentStatus,
    Record,
)

Flags: TypeAlias = NDArray[np.bool_]
INTEGERS: Final = ("market_start", "token_ix", "seq", "ts_ms", "recv_ms", "kind", "side", "price_1e3", "size_1e2")
LAYOUT: Final = Layout(INTEGERS, (), (("market_start", "s"), ("ts_ms", "ms"), ("recv_ms", "ms")))
SERIES: Final = "btc-updown-5m"
MICROS_PER_1E3: Final = 1_000
MICROS_PER_1E2: Final = 10_000
STEP_MICROS: Final = 10_000
RESTING_MICROS: Final = 5_000_000
#: When the venue paid was not recorded; a minute after the end is assumed, and said.
SETTLED_AFTER_NS: Final = 60 * S_NS
SETTLED_SOURCE: Final = "inferred from the last book within 15 s of the end; its time assumed: 60 s after the end"
DOLLAR: Final = 1_000_000
SNAPSHOT, CHANGE, UNCHANGED = range(3)
#: What can be wrong with a row, the gravest last; the place in here is its number.
ROW_FAULTS: Final = (
    "", "size below zero", "price off the grid", "side unknown", "size out of range", "rows of one message disagree",
    "kind of row unknown",
)  # fmt: skip


class Source(NamedTuple):
    """A recording that was opened and found importable."""

    partitions: int
    markets: dict[int, Known]
    spans: list[Span]
    ts_first_ns: int


class _Market:
    """One market while it is replayed. `state`: no_snapshot, ready, silent (a hole, then whole again), or why it is not trusted."""

    __slots__ = (
        "asks", "best_ask", "best_bid", "bids", "gap", "group", "id", "known", "listed", "on_grid", "over", "partition", "repeats",
        "schedule", "seq", "seq_row", "sequence", "state", "token_row",
    )  # fmt: skip

    def __init__(self, known: Known, partitions: int) -> None:
        self.known = known
        self.id = instrument_id(POLYMARKET, known.facts.condition)
        self.group = instrument_id(POLYMARKET, known.facts.slug)
        self.partition = partition_of(self.group, partitions)
        self.schedule = known.fees.schedule()
        self.listed: InstrumentListed | None = None
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.best_bid, self.best_ask = 0, DOLLAR
        self.on_grid = np.array([0 < p < 1_000 and known.grid.contains(p * MICROS_PER_1E3) for p in range(1_001)])
        self.repeats = Repeats()
        self.seq = self.seq_row = self.token_row = NULL
        self.gap = False  # a message is missing before the next one of token 0
        self.over = False  # a message at or after the end was seen: whatever comes now is later
        self.sequence = 0
        self.state = "no_snapshot"

    def change(self, message: "_Message") -> None:
        """Take new sizes, zeros too; keep the best prices, so that a crossing is seen."""
        if message.bid_prices:
            bids = self.bids
            bids.update(zip(message.bid_prices, message.bid_sizes, strict=True))
            top = max(message.bid_prices)
            if top >= self.best_bid:
                self.best_bid = top if bids[top] else max((price for price, size in bids.items() if size), default=0)
        if message.ask_prices:
            asks = self.asks
            asks.update(zip(message.ask_prices, message.ask_sizes, strict=True))
            top = min(message.ask_prices)
            if top <= self.best_ask:
                self.best_ask = (
                    top if asks[top] else min((price for price, size in asks.items() if size), default=DOLLAR)
                )


class _Message(NamedTuple):
    """One recorded message of token 0: levels in micros, how many rows it had, and what is wrong with one of them."""

    ts_ns: int
    venue_ns: int | None
    kind: int
    rows: int
    fault: str
    bid_prices: tuple[int, ...]
    bid_sizes: tuple[int, ...]
    ask_prices: tuple[int, ...]
    ask_sizes: tuple[int, ...]


class Replay:
    """One pass over the messages."""

    def __init__(self, source: Source, report: ImportReport) -> None:
        self._source = source
        self._report = report
        self._timeline = Timeline(source.partitions)
        self._voice = self._timeline.voice(POLYMARKET, POLYMARKET)
        self._markets: dict[int, _Market] = {}
        self._current: _Market | None = None
        self._now = source.ts_first_ns

    def log(self) -> Iterator[Placed]:
        """Everything after the head."""
        carry: Columns | None = None
        for columns in read_spans(self._source.spans, LAYOUT, Names()):
            batch = joined(carry, columns)
            end = int(_starts(batch)[-1])  # the last message may go on in the next batch
            carry = cut(batch, end, len(batch["kind"]))
            yield from self._batch(cut(batch, 0, end))
        if carry is not None:
            yield from self._batch(carry)
        yield from self._timeline.end(self._now)

    def _batch(self, columns: Columns) -> Iterator[Placed]:
        """Rows, by runs of one market."""
        rows = len(columns["kind"])
        self._report.rows += rows
        if not rows:
            return
        start = columns["market_start"]
        for first, end in pairwise([0, *(np.flatnonzero(start[1:] != start[:-1]) + 1).tolist(), rows]):
            number = int(start[first])
            market = self._markets.get(number)
            if market is None:
                known = self._source.markets.get(number)
                if known is None:
                    self._report.dropped["market not in markets.csv"] += end - first
                    continue
                market = self._markets[number] = _Market(known, self._source.partitions)
            columns_once, doubt = self._once(market, cut(columns, first, end))
            if len(columns_once["kind"]):
                yield from self._run(market, columns_once, doubt)

    def _once(self, market: _Market, columns: Columns) -> tuple[Columns, Column]:
        """Rows that have a number and did not come before, and how many of those that contradict one stand before each."""
        report = self._report
        named = columns["seq"] != NULL
        report.drop("row without a number", int((~named).sum()))
        columns = kept(columns, named)
        seq, token = columns["seq"], columns["token_ix"]
        if not len(seq):
            return columns, seq
        follows = (seq == np.append(market.seq_row, seq[:-1])) & (token == np.append(market.token_row, token[:-1]))
        market.seq_row, market.token_row = int(seq[-1]), int(token[-1])
        judged = market.repeats.judge(seq, fingerprints(columns, INTEGERS), follows)
        if judged is None:
            return columns, np.zeros(len(seq), dtype=np.int64)
        wrong = judged.contradicting
        report.drop(REPEATED, int(judged.repeated.sum()))
        report.drop(CONTRADICTING, int(wrong.sum()))
        good = ~(judged.repeated | wrong)
        doubts = np.cumsum(wrong.astype(np.int64))
        market.gap |= bool(wrong[int(np.flatnonzero(good)[-1]) if good.any() else 0 :].any())
        return kept(columns, good), doubts[good]

    def _run(self, market: _Market, columns: Columns, doubts: Column) -> Iterator[Placed]:
        """Messages of one market: those of token 0 before the end of its window."""
        report, facts, starts = self._report, market.known.facts, _starts(columns)
        lengths = np.diff(starts, append=len(columns["kind"]))
        clocks = {name: columns[name][starts] for name in ("ts_ms", "recv_ms")}
        window_ns = facts.start_ns, facts.end_ns
        stamps, astray = inside_window(self._stamps(clocks), clocks, LAYOUT, ("recv_ms", "ts_ms"), window_ns)
        seq, token = columns["seq"][starts], columns["token_ix"][starts]
        missing = np.diff(seq, prepend=seq[0] - 1 if market.seq == NULL else market.seq) != 1
        missing |= np.diff(doubts[starts], prepend=0) > 0
        market.seq = int(seq[-1])
        for why, mask in (
            ("token unknown", (token != 0) & (token != 1)),
            ("token 1: the mirror of token 0", token == 1),
            ("stamp hours off its market", astray & (token == 0)),
        ):
            report.drop(why, int(lengths[mask].sum()))
        own = np.flatnonzero((token == 0) & ~astray)
        missing |= astray & (token == 0)
        moved = np.maximum.accumulate(np.maximum(stamps[own], self._now))
        timely = 0 if market.over else int(np.searchsorted(moved, facts.end_ns))
        market.over |= timely < len(own)
        report.drop("after the end of the window", int(lengths[own[timely:]].sum()))
        own, moved = own[:timely], moved[:timely]
        report.notice("steps of time back, clamped", int((stamps[own] < moved).sum()))
        # A message that is missing may have been of either token: the next one of token 0 stands behind the gap.
        gaps = np.cumsum(missing)
        behind = np.diff(gaps[own], prepend=0) > 0
        if len(own):
            behind[0] |= market.gap
            market.gap = bool(gaps[-1] > gaps[own[-1]])
        else:
            market.gap |= bool(gaps[-1])
        for is_behind, message in zip(
            behind.tolist(), _messages(columns, starts, lengths, moved, own, market.on_grid), strict=True
        ):
            yield from self._message(market, message, behind_gap=is_behind)

    def _stamps(self, columns: Columns) -> Column:
        """Stamps of messages, ns, 0 where there is none."""
        own = known_stamps(columns, LAYOUT, "ts_ms")
        stamps = effective(columns, LAYOUT, "ts_ms", "recv_ms")
        never = sum(
            int(((columns[n] != NULL) & (known_stamps(columns, LAYOUT, n) == NULL)).sum()) for n in ("ts_ms", "recv_ms")
        )
        self._report.notice("stamps that are no moment", never)
        self._report.notice("clocks ten minutes apart, the earlier counts", int((stamps < own).sum()))
        return np.asarray(np.where(stamps == NULL, 0, stamps) * MS_NS, dtype=np.int64)

    def _message(self, market: _Market, message: _Message, *, behind_gap: bool) -> Iterator[Placed]:
        ts_ns, report = message.ts_ns, self._report
        if market is not self._current:
            self._voice.data_ns = self._now if self._voice.session >= 0 else None
            yield from self._begin(market, ts_ns)
        elif ts_ns - self._now > HOLE_NS:
            report.counted["holes inside a market"] += 1
            yield from self._hole(ts_ns, "no message for 10 s")
            if market.state == "ready":
                market.state = "silent"
        elif ts_ns >= self._timeline.due_ns:
            self._voice.data_ns = self._now
            yield from self._timeline.until(ts_ns)
        self._now = ts_ns
        if len(set(message.bid_prices)) < len(message.bid_prices) or len(set(message.ask_prices)) < len(
            message.ask_prices
        ):
            message = self._each_once(message)
        why = "gap in the numbers of a market" if behind_gap and message.kind != SNAPSHOT else message.fault
        if why:
            report.dropped[why] += message.rows
            if market.state != "broken":
                market.state = "broken"
                report.counted["books declared invalid"] += 1
                self._voice.data_ns = ts_ns
                yield Placed(market.partition, None, resync(self._voice, market.id, why, ts_ns), ts_ns)
            return
        if message.kind == SNAPSHOT:
            market.bids, market.asks = {}, {}
            market.best_bid, market.best_ask = 0, DOLLAR
        elif market.state in {"no_snapshot", "broken"}:
            before = market.state == "no_snapshot"
            report.dropped["change before a snapshot" if before else "change of a book that is not trusted"] += (
                message.rows
            )
            return
        if message.kind == UNCHANGED:
            report.used["messages that changed nothing"] += message.rows
        else:
            market.change(message)
            report.used["levels"] += message.rows
            if market.best_bid >= market.best_ask:
                report.counted["crossed states"] += 1
        if message.kind == SNAPSHOT or market.state == "silent":
            market.state = "ready"
            report.books += 1
            yield self._placed(market, self._whole(market, message), ts_ns)
        elif message.kind == CHANGE:
            report.books += 1
            yield self._placed(market, self._delta(market, message), ts_ns)

    def _each_once(self, message: _Message) -> _Message:
        """The message with each of its levels once; a price that stays twice contradicts itself."""
        bids = dict.fromkeys(zip(message.bid_prices, message.bid_sizes, strict=True))
        asks = dict.fromkeys(zip(message.ask_prices, message.ask_sizes, strict=True))
        again = len(message.bid_prices) + len(message.ask_prices) - len(bids) - len(asks)
        self._report.drop(REPEATED, again)
        twice = len({price for price, _ in bids}) < len(bids) or len({price for price, _ in asks}) < len(asks)
        return message._replace(
            rows=message.rows - again,
            fault="a price twice in one message" if twice else message.fault,
            bid_prices=tuple(price for price, _ in bids),
            bid_sizes=tuple(size for _, size in bids),
            ask_prices=tuple(price for price, _ in asks),
            ask_sizes=tuple(size for _, size in asks),
        )

    def _delta(self, market: _Market, message: _Message) -> BookDelta:
        number = market.sequence
        market.sequence = number + 1
        return BookDelta(
            ts_received_ns=message.ts_ns,
            ts_venue_ns=message.venue_ns,
            instrument_id=market.id,
            feed=POLYMARKET,
            session=self._voice.session,
            sequence=number + 1,
            previous_sequence=number,
            bid_prices=message.bid_prices,
            bid_sizes=message.bid_sizes,
            ask_prices=message.ask_prices,
            ask_sizes=message.ask_sizes,
        )

    def _whole(self, market: _Market, message: _Message) -> BookSnapshot:
        bids = sorted(((price, size) for price, size in market.bids.items() if size), reverse=True)
        asks = sorted((price, size) for price, size in market.asks.items() if size)
        market.sequence += 1
        return BookSnapshot(
            ts_received_ns=message.ts_ns,
            ts_venue_ns=message.venue_ns,
            instrument_id=market.id,
            feed=POLYMARKET,
            session=self._voice.session,
            sequence=market.sequence,
            delivery="streaming",
            cadence_ms=0,
            keyframe=False,
            bid_prices=tuple(price for price, _ in bids),
            bid_sizes=tuple(size for _, size in bids),
            ask_prices=tuple(price for price, _ in asks),
            ask_sizes=tuple(size for _, size in asks),
        )

    def _begin(self, market: _Market, ts_ns: int) -> Iterator[Placed]:
        """Another market: say a hole where there is one, and list it at its first message."""
        self._current = market
        if self._voice.session < 0:
            yield from self._timeline.resume(self._voice, ts_ns)
        elif ts_ns - self._now > HOLE_NS:
            self._report.counted["holes between markets"] += 1
            yield from self._hole(ts_ns, "a hole in the recording")
        else:
            yield from self._timeline.until(ts_ns)
        for other in self._markets.values():
            if other.known.facts.end_ns <= ts_ns:
                other.repeats = Repeats()  # whatever comes of it now is after its end
        if market.listed is None:
            market.listed = _listing(market, ts_ns, "active")
            yield self._placed(market, market.listed, ts_ns)
            self._appoint(market)

    def _hole(self, ts_ns: int, reason: str) -> Iterator[Placed]:
        self._voice.data_ns = self._now
        yield from self._timeline.hole(self._voice, self._now, ts_ns, reason)

    def _appoint(self, market: _Market) -> None:
        """Its end, and its payout where one could be inferred."""
        payout = market.known.facts.payout_yes_micros

        def close(ts_ns: int) -> Iterator[Placed]:
            yield self._placed(market, _listing(market, ts_ns, "closed"), ts_ns)

        def settle(ts_ns: int) -> Iterator[Placed]:
            assert payout is not None, "appointed only with a payout"
            self._report.counted["markets settled, inferred"] += 1
            settled = InstrumentSettled(
                ts_received_ns=ts_ns, instrument_id=market.id, payout_yes_micros=payout, source=SETTLED_SOURCE
            )
            yield self._placed(market, settled, ts_ns)

        self._timeline.appoint(market.known.facts.end_ns, close)
        if payout is None:
            self._report.counted["markets without a result"] += 1
        else:
            self._timeline.appoint(market.known.facts.end_ns + SETTLED_AFTER_NS, settle)

    def _placed(self, market: _Market, record: Record, ts_ns: int) -> Placed:
        return Placed(market.partition, market.group, record, ts_ns)


def _starts(columns: Columns) -> Column:
    """Where each message begins; a batch has at least one row."""
    change = np.zeros(len(columns["seq"]), dtype=np.bool_)
    change[0] = True
    for name in ("market_start", "seq", "token_ix"):
        change[1:] |= columns[name][1:] != columns[name][:-1]
    return np.flatnonzero(change).astype(np.int64)


def _messages(
    columns: Columns, starts: Column, lengths: Column, times: Column, own: Column, on_grid: Flags
) -> Iterator[_Message]:
    """The messages of token 0 in time, bids before asks in each, in the order of rows on a side."""
    is_ask = columns["side"] != 0
    order = np.lexsort((is_ask, np.repeat(np.arange(len(starts)), lengths)))
    price, size = columns["price_1e3"], columns["size_1e2"]
    # A product beyond 63 bits would come back as another price; the fault of its row says that it is none.
    prices, sizes = (price * MICROS_PER_1E3)[order].tolist(), (size * MICROS_PER_1E2)[order].tolist()
    middles = starts + np.add.reduceat((~is_ask).astype(np.int64), starts)
    stamps, faults = known_stamps(columns, LAYOUT, "ts_ms")[starts] * MS_NS, _faults(columns, starts, lengths, on_grid)
    rows = zip(
        starts[own].tolist(), middles[own].tolist(), (starts + lengths)[own].tolist(), times.tolist(), stamps[own].tolist(),
        columns["kind"][starts][own].tolist(), faults[own].tolist(), strict=True,
    )  # fmt: skip
    for start, middle, end, ts_ns, stamp, kind, fault in rows:
        venue_ns = stamp if stamp > 0 else None
        if kind == UNCHANGED:
            yield _Message(ts_ns, venue_ns, kind, end - start, ROW_FAULTS[fault], (), (), (), ())
            continue
        yield _Message(
            ts_ns, venue_ns, kind, end - start, ROW_FAULTS[fault],
            tuple(prices[start:middle]), tuple(sizes[start:middle]), tuple(prices[middle:end]), tuple(sizes[middle:end]),
        )  # fmt: skip


def _faults(columns: Columns, starts: Column, lengths: Column, on_grid: Flags) -> Column:
    """For each message the gravest fault of its rows, as a number of ROW_FAULTS."""
    kind, side, price, size = (columns[name] for name in ("kind", "side", "price_1e3", "size_1e2"))
    first = np.repeat(kind[starts], lengths)
    levels = kind != UNCHANGED
    faults = (
        levels & (size < (kind == SNAPSHOT)),
        levels & ~on_grid[np.clip(price, 0, 1_000)],
        levels & (side != 0) & (side != 1),
        levels & ((size > SIZE_MAX) | (size == NULL)),
        kind != first,
        (kind < SNAPSHOT) | (kind > UNCHANGED),
    )
    if not any(fault.any() for fault in faults):
        return np.zeros(len(starts), dtype=np.int64)
    code = np.zeros(len(kind), dtype=np.int64)
    for number, fault in enumerate(faults, start=1):
        code[fault] = number
    return np.maximum.reduceat(code, starts)


def _listing(market: _Market, ts_ns: int, status: InstrumentStatus) -> InstrumentListed:
    known, facts = market.known, market.known.facts
    return InstrumentListed(
        ts_received_ns=ts_ns,
        instrument_id=market.id,
        venue=POLYMARKET,
        symbol=facts.condition,
        yes_token=facts.tokens[0],
        no_token=facts.tokens[1],
        event_id=market.group,
        series_id=SERIES,
        group=market.group,
        title=f"Bitcoin Up or Down - 5 minutes, {facts.slug}: token 0 (inferred: Down)",
        category=known.fees.category,
        rules_hash="",
        resolution_source="",
        grid=known.grid.ranges,
        quantity_step_micros=STEP_MICROS,
        minimums=minimums(RESTING_MICROS),
        taker_delay_ms=known.fees.taker_delay_ms,
        ts_close_ns=facts.end_ns,
        ts_payout_expected_ns=facts.end_ns + SETTLED_AFTER_NS,
        ts_game_start_ns=None,
        neg_risk=False,
        exchange_version="v1",
        shard=0,
        volume_micros=None,
        status=status,
        fee_schedule=market.schedule,
        policy=POLICIES[POLYMARKET],
        keyframe=False,
    )
