"""The recording `polymarket_btc5m_l2`: Polymarket's whole books of five-minute markets, message by message, become a `market` log.

Decides what each recorded message is worth: the first whole book of a market becomes a BookSnapshot, each message that changed levels
one BookDelta with its new sizes, one that changed nothing no record. The instrument is the market's token 0 (its YES; by all signs
"Down"). Messages of token 1 are dropped: both tokens are one mirrored book, and counting it twice invents liquidity. Rows after the
window's end are dropped: nobody trades there. It must never show a payout before the end, nor as more than the inference that it is.

Messages follow each other by `ts_ms`, the venue's stamp, in the order of their numbers; the recorder's clock drifted below it. Steps
back are clamped and counted. A silence of ten seconds inside a market is a hole: the feed was down, and the next message brings the
book whole, for that is what the venue sent.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from crossbook.domain.grid import PriceGrid
from crossbook.domain.money import MICROS
from crossbook.domain.venues import POLYMARKET, instrument_id
from crossbook.runtime.settings import Settings
from producers.errors import RecordingError
from producers.partition import partition_of
from producers.polymarket.catalog import minimums
from producers.recordings import frame
from producers.recordings.columns import (
    NULL,
    Columns,
    Layout,
    Names,
    Span,
    cut,
    find_files,
    in_time,
    joined,
    read_spans,
    read_table,
    survey_blocks,
)
from producers.recordings.fees import FeeFile, MarketFees, load_fee_file
from producers.recordings.frame import MS_NS, ImportReport, Placed
from producers.recordings.kalshi_markets import time_ns
from producers.recordings.rows import digest_file
from producers.recordings.timeline import HOLE_NS, Timeline, resync
from schemas.records import (
    BookDelta,
    BookSnapshot,
    DecideConfigured,
    InstrumentListed,
    InstrumentSettled,
    InstrumentStatus,
    Record,
)

NAME: Final = "polymarket_btc5m_l2"
LAYOUT: Final = Layout(("market_start", "token_ix", "seq", "ts_ms", "recv_ms", "kind", "side", "price_1e3", "size_1e2"))
COLUMNS: Final = (
    "slug", "start_utc", "end_utc", "condition_id", "token0_id", "token1_id", "token0_settle_inferred",
)  # fmt: skip
SLUG: Final = "btc-updown-5m-"
SERIES: Final = "btc-updown-5m"
S_NS: Final = 1_000_000_000
MICROS_PER_1E3: Final = 1_000
MICROS_PER_1E2: Final = 10_000
STEP_MICROS: Final = 10_000
RESTING_MICROS: Final = 5_000_000
#: When the venue paid was not recorded; a minute after the end is assumed, and said.
SETTLED_AFTER_NS: Final = 60 * S_NS
SETTLED_SOURCE: Final = "inferred from the last book within 15 s of the end; its time assumed: 60 s after the end"
SNAPSHOT, CHANGE, UNCHANGED = range(3)


class Known(NamedTuple):
    """What is known of a market beside its rows; `payout_yes_micros` of token 0, None when unclear."""

    slug: str
    condition: str
    tokens: tuple[str, str]
    end_ns: int
    payout_yes_micros: int | None
    fees: MarketFees
    grid: PriceGrid


class PolymarketL2:
    """A recording with its fees: the pure part of the import."""

    def __init__(self, files: Sequence[Path], fees_file: Path | None, partitions: int) -> None:
        """Check everything that can be refused before a byte is written; `files` are a folder or its files.

        Raises:
            RecordingError: files are missing or of another layout, or the fee file does not cover a market or a day.
        """
        self._fees: FeeFile = load_fee_file(fees_file)
        self.partitions = partitions
        found = find_files(files, {"books": "l2_*.parquet", "markets": "markets*.csv"}, frozenset())
        names = Names()
        blocks = [
            block
            for path in found["books"]
            for block in survey_blocks(path, LAYOUT, ("market_start",), "ts_ms", "recv_ms", names)
        ]
        if not blocks:
            raise RecordingError(f"{', '.join(str(path) for path in found['books'])}: there is no row")
        self.spans: list[Span]
        self.spans, self._moved = in_time(blocks)
        self._ts_first_ns = min(block.first_ms for block in blocks) * MS_NS
        days: dict[int, tuple[int, int]] = {}
        for block in blocks:
            first, last = days.get(block.key[0], (block.first_ms, block.last_ms))
            days[block.key[0]] = min(first, block.first_ms), max(last, block.last_ms)
        self.markets = self._read_markets(found["markets"], days)
        assert fees_file is not None, "load_fee_file refused it"
        read = [path for paths in found.values() for path in paths]
        self._digests = [digest_file(path) for path in (*read, fees_file)]
        given = {path for folder in files if folder.is_dir() for path in folder.iterdir() if path.is_file()}
        self._ignored = sorted(path.name for path in given - set(read))

    @property
    def ts_first_ns(self) -> int:
        """Stamp of the first record, Unix ns."""
        return self._ts_first_ns

    def log_id(self, settings: Settings) -> str:
        """Id of the log: format, files, fees, and the settings that reach the log."""
        said: dict[str, object] = {"format": NAME, "files": self._digests, "partitions": self.partitions}
        return frame.log_id_of(said, settings)

    def log(self, log_id: str, decide: DecideConfigured, report: ImportReport) -> Iterator[Placed]:
        """Every record of the log, in order."""
        report.ignored = list(self._ignored)
        if self._moved:
            report.counted["blocks of rows out of order, sorted"] = self._moved
        yield from frame.log_head(log_id, decide, self._fees, self.partitions, self._ts_first_ns)
        yield from _Replay(self, report).log()

    def _read_markets(self, paths: Sequence[Path], days: dict[int, tuple[int, int]]) -> dict[int, Known]:
        """Markets of the rows by the start of their window (Unix s)."""
        found: dict[int, Known] = {}
        for path in paths:
            for number, row in enumerate(read_table(path, COLUMNS), start=2):
                try:
                    start = time_ns(row["start_utc"]) // S_NS
                    end_ns = time_ns(row["end_utc"])
                    paid = {"": None, "0": 0, "1": MICROS}[row["token0_settle_inferred"]]
                except (KeyError, ValueError) as error:
                    raise RecordingError(f"{path} line {number} cannot be read: {error!r}") from error
                if start in days:
                    fees = self._covering(row["slug"], days[start])
                    tokens = row["token0_id"], row["token1_id"]
                    found[start] = Known(
                        row["slug"], row["condition_id"], tokens, end_ns, paid, fees, fees.price_grid()
                    )
        return found

    def _covering(self, slug: str, span_ms: tuple[int, int]) -> MarketFees:
        fees = self._fees.market(POLYMARKET, slug)
        if fees is None:
            raise RecordingError(
                f"fee file: no schedule for polymarket {slug}; one entry with the id {SLUG}* covers the series"
            )
        if not fees.holds(span_ms[0] * MS_NS, span_ms[1] * MS_NS):
            raise RecordingError(
                f"fee file: the schedule of polymarket {fees.id} holds from {fees.effective} until {fees.until}, {slug} has "
                "rows outside; give the schedule of its days"
            )
        return fees


class _Market:
    """One market while it is replayed. `state`: no_snapshot, ready, silent (a hole, then whole again), or why it is not trusted."""

    __slots__ = (
        "asks", "bids", "group", "id", "known", "listed", "partition", "prices", "schedule", "seq", "sequence", "state"
    )  # fmt: skip

    def __init__(self, known: Known, partitions: int) -> None:
        self.known = known
        self.id = instrument_id(POLYMARKET, known.condition)
        self.group = instrument_id(POLYMARKET, known.slug)
        self.partition = partition_of(self.group, partitions)
        self.schedule = known.fees.schedule()
        self.listed: InstrumentListed | None = None
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.prices = frozenset(p * MICROS_PER_1E3 for p in range(1, 1_000) if known.grid.contains(p * MICROS_PER_1E3))
        self.seq = NULL
        self.sequence = 0
        self.state = "no_snapshot"


class _Message(NamedTuple):
    """One recorded message of token 0: levels in micros."""

    ts_ns: int
    venue_ns: int | None
    seq: int
    kind: int
    bid_prices: tuple[int, ...]
    bid_sizes: tuple[int, ...]
    ask_prices: tuple[int, ...]
    ask_sizes: tuple[int, ...]


class _Replay:
    """One pass over the messages."""

    def __init__(self, recording: PolymarketL2, report: ImportReport) -> None:
        self._recording = recording
        self._report = report
        self._timeline = Timeline(recording.partitions)
        self._voice = self._timeline.voice(POLYMARKET, POLYMARKET)
        self._markets: dict[int, _Market] = {}
        self._current: _Market | None = None
        self._now = 0

    def log(self) -> Iterator[Placed]:
        """Everything after the head."""
        carry: Columns | None = None
        for columns in read_spans(self._recording.spans, LAYOUT, Names()):
            batch = joined(carry, columns)
            starts = _starts(batch)
            end = int(starts[-1])  # the last message may go on in the next batch
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
                known = self._recording.markets.get(number)
                if known is None:
                    self._report.dropped["market not in markets.csv"] += end - first
                    continue
                market = self._markets[number] = _Market(known, self._recording.partitions)
            yield from self._run(market, cut(columns, first, end))

    def _run(self, market: _Market, columns: Columns) -> Iterator[Placed]:
        """Messages of one market: those of token 0 before the end of its window."""
        report, starts = self._report, _starts(columns)
        rows = len(columns["kind"])
        stamps = columns["ts_ms"][starts]
        stamps = np.where(stamps == NULL, columns["recv_ms"][starts], stamps) * MS_NS
        moved = np.maximum.accumulate(np.maximum(stamps, self._now))
        seq, token = columns["seq"][starts], columns["token_ix"][starts]
        missing = np.diff(seq, prepend=seq[0] - 1 if market.seq == NULL else market.seq) != 1
        market.seq = int(seq[-1])
        ends = np.append(starts[1:], rows)
        over = (moved >= market.known.end_ns) & (token == 0)
        mirrored = token != 0
        for why, mask in (("token 1: the mirror of token 0", mirrored), ("after the end of the window", over)):
            if mask.any():
                report.dropped[why] += int((ends - starts)[mask].sum())
        kept = np.flatnonzero(~over & ~mirrored)
        report.counted["steps of time back, clamped"] += int((stamps < moved)[kept].sum())
        # A message that is missing may have been of either token: the next kept one stands behind the gap.
        gaps = np.cumsum(missing)[kept]
        gaps = np.diff(gaps, prepend=0) > 0
        for index, message in zip(gaps.tolist(), _messages(columns, starts, ends, moved, kept), strict=True):
            yield from self._message(market, message, behind_gap=index)

    def _message(self, market: _Market, message: _Message, *, behind_gap: bool) -> Iterator[Placed]:
        ts_ns, report = message.ts_ns, self._report
        if market is not self._current:
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
        why = _refusal(market, message)
        if behind_gap and message.kind != SNAPSHOT:
            why = "gap in the numbers of a market"
        if why:
            report.dropped[why] += len(message.bid_prices) + len(message.ask_prices)
            if market.state != "broken":
                market.state = "broken"
                report.counted["books declared invalid"] += 1
                yield Placed(market.partition, None, resync(self._voice, market.id, why, ts_ns), ts_ns)
            return
        if message.kind == SNAPSHOT:
            market.bids, market.asks = {}, {}
        elif market.state in {"no_snapshot", "broken"}:
            before = market.state == "no_snapshot"
            what = "change before a snapshot" if before else "change of a book that is not trusted"
            report.dropped[what] += len(message.bid_prices) + len(message.ask_prices)
            return
        market.bids.update(zip(message.bid_prices, message.bid_sizes, strict=True))
        market.asks.update(zip(message.ask_prices, message.ask_sizes, strict=True))
        if message.kind == SNAPSHOT or market.state == "silent":
            market.state = "ready"
            report.books += 1
            yield self._placed(market, self._whole(market, message), ts_ns)
        elif message.kind == CHANGE:
            report.books += 1
            yield self._placed(market, self._delta(market, message), ts_ns)
        else:
            report.counted["messages that changed nothing"] += 1

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
        if market.listed is None:
            market.listed = _listing(market, ts_ns, "active")
            yield self._placed(market, market.listed, ts_ns)
            self._appoint(market)

    def _hole(self, ts_ns: int, reason: str) -> Iterator[Placed]:
        self._voice.data_ns = self._now
        yield from self._timeline.hole(self._voice, self._now, ts_ns, reason)

    def _appoint(self, market: _Market) -> None:
        """Its end, and its payout where one could be inferred."""
        payout = market.known.payout_yes_micros

        def close(ts_ns: int) -> Iterator[Placed]:
            yield self._placed(market, _listing(market, ts_ns, "closed"), ts_ns)

        def settle(ts_ns: int) -> Iterator[Placed]:
            assert payout is not None, "appointed only with a payout"
            self._report.counted["markets settled, inferred"] += 1
            settled = InstrumentSettled(
                ts_received_ns=ts_ns, instrument_id=market.id, payout_yes_micros=payout, source=SETTLED_SOURCE
            )
            yield self._placed(market, settled, ts_ns)

        self._timeline.appoint(market.known.end_ns, close)
        if payout is None:
            self._report.counted["markets without a result"] += 1
        else:
            self._timeline.appoint(market.known.end_ns + SETTLED_AFTER_NS, settle)

    def _placed(self, market: _Market, record: Record, ts_ns: int) -> Placed:
        return Placed(market.partition, market.group, record, ts_ns)


def _starts(columns: Columns) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Where each message begins; a batch has at least one row."""
    change = np.zeros(len(columns["seq"]), dtype=np.bool_)
    change[0] = True
    for name in ("market_start", "seq", "token_ix"):
        change[1:] |= columns[name][1:] != columns[name][:-1]
    return np.flatnonzero(change).astype(np.int64)


def _messages(
    columns: Columns,
    starts: np.ndarray[tuple[int], np.dtype[np.int64]],
    ends: np.ndarray[tuple[int], np.dtype[np.int64]],
    times: np.ndarray[tuple[int], np.dtype[np.int64]],
    kept: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> Iterator[_Message]:
    """The kept messages, bids before asks in each, in the order of rows on a side."""
    lengths = ends - starts
    is_ask = columns["side"] != 0
    order = np.lexsort((is_ask, np.repeat(np.arange(len(starts)), lengths)))
    prices = (columns["price_1e3"] * MICROS_PER_1E3)[order].tolist()
    sizes = (columns["size_1e2"] * MICROS_PER_1E2)[order].tolist()
    middles = starts + np.add.reduceat((~is_ask).astype(np.int64), starts)
    stamps = columns["ts_ms"][starts]
    rows = zip(
        starts[kept].tolist(), middles[kept].tolist(), ends[kept].tolist(), times[kept].tolist(), stamps[kept].tolist(),
        columns["seq"][starts][kept].tolist(), columns["kind"][starts][kept].tolist(), strict=True,
    )  # fmt: skip
    for start, middle, end, ts_ns, stamp, seq, kind in rows:
        venue_ns = stamp * MS_NS if stamp > 0 else None
        if kind == UNCHANGED:
            yield _Message(ts_ns, venue_ns, seq, kind, (), (), (), ())
            continue
        yield _Message(
            ts_ns, venue_ns, seq, kind,
            tuple(prices[start:middle]), tuple(sizes[start:middle]), tuple(prices[middle:end]), tuple(sizes[middle:end]),
        )  # fmt: skip


def _refusal(market: _Market, message: _Message) -> str:
    """Why a message cannot be taken; empty when it can."""
    if message.kind not in {SNAPSHOT, CHANGE, UNCHANGED}:
        return "kind of row unknown"
    known = market.prices
    if not (known.issuperset(message.bid_prices) and known.issuperset(message.ask_prices)):
        return "price off the grid"
    least = 1 if message.kind == SNAPSHOT else 0
    if min(message.bid_sizes, default=least) < least or min(message.ask_sizes, default=least) < least:
        return "size below zero"
    return ""


def _listing(market: _Market, ts_ns: int, status: InstrumentStatus) -> InstrumentListed:
    known = market.known
    return InstrumentListed(
        ts_received_ns=ts_ns,
        instrument_id=market.id,
        venue=POLYMARKET,
        symbol=known.condition,
        yes_token=known.tokens[0],
        no_token=known.tokens[1],
        event_id=market.group,
        series_id=SERIES,
        group=market.group,
        title=f"Bitcoin Up or Down - 5 minutes, {known.slug}: token 0 (inferred: Down)",
        category=known.fees.category,
        rules_hash="",
        resolution_source="",
        grid=known.grid.ranges,
        quantity_step_micros=STEP_MICROS,
        minimums=minimums(RESTING_MICROS),
        taker_delay_ms=known.fees.taker_delay_ms,
        ts_close_ns=known.end_ns,
        ts_payout_expected_ns=known.end_ns + SETTLED_AFTER_NS,
        ts_game_start_ns=None,
        neg_risk=False,
        exchange_version="v1",
        shard=0,
        volume_micros=None,
        status=status,
        fee_schedule=market.schedule,
        keyframe=False,
    )
