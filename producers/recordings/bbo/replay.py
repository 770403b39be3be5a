"""The stage `import`: a recording of polled best prices becomes a `market` log.

Decides the records of that log from the files, the fee file and the settings alone, so that any two imports are equal byte for
byte whatever their speed, and an import that was killed goes on where the log ends. Each row is one refreshed, polled book of
one level; a row that names another pair than the recording's, comes twice, or contradicts an earlier one of the same moment is dropped and
counted. Both feeds say that they are live every 500 ms of the recording's own time, also where it has no rows. It must never
read a clock for a record, and never take a place in a log that holds something else.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from crossbook.domain.errors import SymbolError
from crossbook.domain.grid import PriceGrid
from crossbook.domain.names import KALSHI, POLYMARKET, instrument_id
from crossbook.market.configuration import Configuration
from crossbook.runtime.settings import Settings
from crossbook.venues.policies import POLICIES
from producers.errors import RecordingError
from producers.kalshi.catalog import minimums as kalshi_minimums
from producers.polymarket.catalog import minimums as polymarket_minimums
from producers.recordings import frame
from producers.recordings.bbo.rows import (
    ReadFile,
    Row,
    Survey,
    digest_file,
    read_rows,
    survey,
    without_strays,
)
from producers.recordings.clocks import HOUR_MS, STRAY_ROWS_MAX, possible
from producers.recordings.fees import FeeFile, MarketFees, day_ns, load_fee_file
from producers.recordings.frame import (
    ANNOUNCE_TIMEOUT_S,
    STATUS_NS,
    TAIL_NS,
    ImportReport,
    Placed,
    everywhere,
    keyed,
)
from producers.recordings.repeats import REPEATED
from schemas.records import (
    BookSnapshot,
    FeedState,
    FeedStatus,
    InstrumentListed,
    OrderMinimum,
    PairListed,
    PayoutCell,
    Venue,
)

#: A hole in the recording longer than this is said as one (feeds down, then live again), not filled with statuses.
HOLE_NS = 600 * 1_000_000_000
#: A row alone is astray when it is so many of the longest usual intervals from every other one, and an hour at least.
STRAY_CADENCES = 8
OTHER_PAIR = "names another pair than the recording's"
CONTRADICTING = "rows that contradict an earlier one of the same moment"
STEP_MICROS = 10_000
POLYMARKET_SHARES_MICROS = 5_000_000
MICROS_PER_1E4 = 100
MICROS_PER_1E2 = 10_000
APPROVED_BY = "fee file of the recording"
FEEDS: tuple[Venue, ...] = (POLYMARKET, KALSHI)


class Habits(NamedTuple):
    """What the rows do not say of a venue's markets. `names_token`: a market is named by the token of its YES."""

    minimums: tuple[OrderMinimum, ...]
    exchange_version: str
    names_token: bool


HABITS: Final[Mapping[Venue, Habits]] = {
    POLYMARKET: Habits(polymarket_minimums(POLYMARKET_SHARES_MICROS), "v1", names_token=True),
    KALSHI: Habits(kalshi_minimums(), "trade-api-v2", names_token=False),
}


class _Once:
    """Rows of one moment: each market is polled once in it."""

    def __init__(self) -> None:
        self._fetch_ms: int | None = None
        self._seen: dict[tuple[str | None, str], tuple[int | None, ...]] = {}

    def refusal(self, row: Row) -> str:
        """Why a row was seen before, or contradicts one that was; empty when it is new."""
        if row.fetch_ms != self._fetch_ms:
            self._fetch_ms = row.fetch_ms
            self._seen.clear()
        content = row.bid_1e4, row.ask_1e4, row.bid_size_1e2, row.ask_size_1e2, row.venue_ms
        before = self._seen.setdefault((row.venue, row.name), content)
        if before is content:
            return ""
        return REPEATED if before == content else CONTRADICTING


def _counted(rows: Iterator[Row], report: ImportReport) -> Iterator[Row]:
    for row in rows:
        report.rows += 1
        yield row


class Recording:
    """A recording with its fees: the pure part of the import."""

    def __init__(
        self, files: Sequence[Path], fees_file: Path | None, partitions: int, *, read: ReadFile | None = None
    ) -> None:
        """Check everything that can be refused before a byte is written; `read` knows another layout of the same rows.

        Raises:
            RecordingError: see `survey`, `load_fee_file`; or a market or a day that the fee file does not cover.
        """
        self._files = tuple(files)
        self._partitions = partitions
        self._read = read
        self.fees: FeeFile = load_fee_file(fees_file)
        if self.fees.pairing is None:
            raise RecordingError(
                f"fee file {fees_file} has no pairing: each row pairs two markets, say why they resolve alike (pairing.evidence)"
            )
        declared = self.fees.pairing.pairs
        self.survey: Survey = survey(
            self._files, read, None if declared is None else [(one.kalshi, one.polymarket) for one in declared]
        )
        self._pairs = frozenset(self.survey.pairs)
        self._listed: dict[tuple[str, str], InstrumentListed] = {}
        self._grids: dict[tuple[str, str], PriceGrid] = {}
        self._check_covered()
        assert fees_file is not None, "load_fee_file refused it"
        self._digests = [digest_file(file) for file in (*self._files, fees_file)]

    def log_id(self, settings: Settings) -> str:
        """Id of the log that this import writes: files, fees, and the settings that reach the log."""
        return frame.log_id_of({"files": self._digests, "partitions": self._partitions}, settings)

    @property
    def ts_first_ns(self) -> int:
        """Stamp of the first row, Unix ns."""
        return self.survey.ts_first_ns

    def log(self, log_id: str, decide: Configuration, report: ImportReport) -> Iterator[Placed]:
        """Every record of the log, in order."""
        start_ns = self.survey.ts_first_ns
        yield from frame.log_head(log_id, decide, self.fees, self._partitions, start_ns)
        for ticker, token in self.survey.pairs:
            yield from self._pair(ticker, token)
        yield from self._stream(report)

    # -- head

    def _check_covered(self) -> None:
        missing: list[str] = []
        for ticker, token in self.survey.pairs:
            try:
                group = instrument_id(KALSHI, ticker)
                instrument_id(POLYMARKET, token)
            except SymbolError as error:
                raise RecordingError(f"pair {ticker!r} with {token!r}: {error}") from error
            legs: tuple[tuple[Venue, str], ...] = ((KALSHI, ticker), (POLYMARKET, token))
            for venue, name in legs:
                fees = self.fees.market(venue, name)
                if fees is None:
                    missing.append(f"{venue} {name}")
                    continue
                if not fees.holds(self.survey.ts_first_ns, self.survey.ts_last_ns):
                    raise RecordingError(
                        f"fee file: the schedule of {venue} {name} holds from {fees.effective} until {fees.until}, "
                        "the recording has rows outside; give the schedule of its days"
                    )
                listed = self._listing(fees, group)
                self._listed[venue, name] = listed
                self._grids[venue, name] = PriceGrid.from_ranges(listed.grid)
        if missing:
            raise RecordingError(f"fee file: no schedule for {', '.join(missing)}; add an entry for each")

    def _listing(self, fees: MarketFees, group: str) -> InstrumentListed:
        habits = HABITS[fees.venue]
        payout = fees.payout_expected
        return InstrumentListed(
            ts_received_ns=self.survey.ts_first_ns,
            instrument_id=instrument_id(fees.venue, fees.id),
            venue=fees.venue,
            symbol=fees.id,
            yes_token=fees.id if habits.names_token else None,
            no_token=None,
            event_id=group,
            series_id=None,
            group=group,
            title=fees.title or fees.id,
            category=fees.category,
            rules_hash="",
            resolution_source="",
            grid=fees.price_grid().ranges,
            quantity_step_micros=STEP_MICROS,
            minimums=habits.minimums,
            taker_delay_ms=fees.taker_delay_ms,
            ts_close_ns=None,
            ts_payout_expected_ns=None if payout is None else day_ns(payout),
            ts_game_start_ns=None,
            neg_risk=False,
            exchange_version=habits.exchange_version,
            shard=0,
            volume_micros=None,
            status="active",
            fee_schedule=fees.schedule(),
            policy=POLICIES[fees.venue],
            keyframe=False,
        )

    def _pair(self, ticker: str, token: str) -> Iterator[Placed]:
        start_ns = self.survey.ts_first_ns
        polymarket, kalshi = self._listed[POLYMARKET, token], self._listed[KALSHI, ticker]
        pairing = self.fees.pairing
        assert pairing is not None, "refused when the recording was opened"
        evidence = pairing.evidence
        cells = [
            PayoutCell(
                outcome="yes", payout_a_micros=1_000_000, payout_b_micros=1_000_000, admissible=True, evidence=evidence
            ),
            PayoutCell(outcome="no", payout_a_micros=0, payout_b_micros=0, admissible=True, evidence=evidence),
        ]
        cells += [
            PayoutCell(outcome=outcome, payout_a_micros=None, payout_b_micros=None, admissible=False, evidence=evidence)
            for outcome in ("void", "tie", "cancelled", "postponed")
        ]
        pair = PairListed(
            ts_received_ns=start_ns,
            group=kalshi.group,
            pair_id=ticker,
            relation="identity",
            instrument_a=polymarket.instrument_id,
            instrument_b=kalshi.instrument_id,
            payouts=tuple(cells),
            haircut_micros=pairing.haircut_micros,
            evidence=evidence,
            approved_by=APPROVED_BY,
            keyframe=False,
        )
        for record in (polymarket, kalshi, pair):
            yield keyed(record, kalshi.group, self._partitions, start_ns)

    # -- stream

    def _stream(self, report: ImportReport) -> Iterator[Placed]:
        at_ns = self.survey.ts_first_ns
        status_ns = at_ns
        data_ns: dict[Venue, int | None] = dict.fromkeys(FEEDS)
        sequences: Counter[str] = Counter()
        once = _Once()
        polled_ms: dict[str, int] = {}
        # So many rows alone, hours from every other one, may be dropped for it.
        limit = min(self.survey.rows // 100, STRAY_ROWS_MAX)
        gap_ms = max(HOUR_MS, STRAY_CADENCES * max(self.survey.cadence_ms.values()))
        rows = _counted(read_rows(self._files, self.survey.in_order, self._read), report)
        for row in without_strays(rows, limit, gap_ms, report.drop):
            why = (
                row.refusal
                or ("" if row.pair in self._pairs else OTHER_PAIR)
                or once.refusal(row)
                or self._refusal(row)
            )
            if why:
                report.dropped[why] += 1
                continue
            assert row.fetch_ms is not None, "refused above"
            row_ns = row.fetch_ms * 1_000_000
            if row_ns - at_ns > HOLE_NS:
                report.counted["holes in the recording"] += 1
                yield from self._status(status_ns, "down", "a hole in the recording", data_ns)
                status_ns = row_ns
            while status_ns <= row_ns:
                yield from self._status(status_ns, "live", "", data_ns)
                status_ns += STATUS_NS
            at_ns = row_ns
            listed = self._listed[row.venue or "", row.name]
            data_ns[listed.venue] = row_ns
            sequences[listed.instrument_id] += 1
            report.books += 1
            report.used["polls"] += 1
            silence_ms = row.fetch_ms - polled_ms.get(listed.instrument_id, row.fetch_ms)
            report.notice("silences of a market, ten polls or more", int(silence_ms > self._silence_ms(row)))
            polled_ms[listed.instrument_id] = row.fetch_ms
            book = self._book(row, listed, sequences[listed.instrument_id])
            yield keyed(book, listed.group, self._partitions, row_ns)
        end_ns = at_ns + TAIL_NS
        while status_ns < end_ns:
            yield from self._status(status_ns, "live", "", data_ns)
            status_ns += STATUS_NS
        yield from self._status(end_ns, "ended", "the recording is over", data_ns)

    def _refusal(self, row: Row) -> str:
        """Why a row cannot be a book; empty when it can."""
        grid = self._grids[row.venue or "", row.name]
        for price, size in ((row.bid_1e4, row.bid_size_1e2), (row.ask_1e4, row.ask_size_1e2)):
            if price is None:
                if size:
                    return "size without a price"
                continue
            if not grid.contains(price * MICROS_PER_1E4):
                return "price off the grid"
            if size is None or not 0 < size < 10**14:
                return "size missing or not positive"
        if row.bid_1e4 is not None and row.ask_1e4 is not None and row.bid_1e4 >= row.ask_1e4:
            return "crossed book"
        return ""

    def _silence_ms(self, row: Row) -> int:
        """A market that was not polled for so long was silent: ten of its usual intervals, and never less than ten seconds."""
        return max(10 * self.survey.cadence_ms[row.venue or "", row.name], 10_000)

    def _book(self, row: Row, listed: InstrumentListed, sequence: int) -> BookSnapshot:
        assert row.fetch_ms is not None, "refused before"
        bids = [] if row.bid_1e4 is None else [(row.bid_1e4 * MICROS_PER_1E4, (row.bid_size_1e2 or 0) * MICROS_PER_1E2)]
        asks = [] if row.ask_1e4 is None else [(row.ask_1e4 * MICROS_PER_1E4, (row.ask_size_1e2 or 0) * MICROS_PER_1E2)]
        stamp = row.venue_ms
        return BookSnapshot(
            ts_received_ns=row.fetch_ms * 1_000_000,
            ts_venue_ns=stamp * 1_000_000 if stamp is not None and possible(stamp, "ms") else None,
            instrument_id=listed.instrument_id,
            feed=listed.venue,
            session=self.survey.ts_first_ns,
            sequence=sequence,
            delivery="polled",
            cadence_ms=self.survey.cadence_ms[listed.venue, row.name],
            keyframe=False,
            bid_prices=tuple(price for price, _ in bids),
            bid_sizes=tuple(size for _, size in bids),
            ask_prices=tuple(price for price, _ in asks),
            ask_sizes=tuple(size for _, size in asks),
        )

    def _status(self, ts_ns: int, state: FeedState, reason: str, data_ns: dict[Venue, int | None]) -> Iterator[Placed]:
        for venue in FEEDS:
            status = FeedStatus(
                ts_received_ns=ts_ns,
                feed=venue,
                venue=venue,
                session=self.survey.ts_first_ns,
                state=state,
                reason=reason,
                instruments=(),
                ts_data_ns=data_ns[venue],
                clock_offset_ns=None,
            )
            yield from everywhere(status, self._partitions, ts_ns)


def run_import(
    settings: Settings,
    files: Sequence[Path],
    fees_file: Path | None,
    speed: float = 0.0,
    *,
    announce_timeout_s: float = ANNOUNCE_TIMEOUT_S,
) -> ImportReport:
    """Open recordings of this format and import them; see `frame.run_import`.

    Raises:
        RecordingError: the files or the fee file cannot be imported; nothing was written.
    """
    recording = Recording(files, fees_file, settings.kafka.partitions)
    return frame.run_import(settings, recording, speed, announce_timeout_s=announce_timeout_s)
