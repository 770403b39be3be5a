"""The stage `import`: a recording of polled best prices becomes a `market` log.

Decides the records of that log from the files, the fee file and the settings alone, so that any two imports are equal byte for
byte whatever their speed, and an import that was killed goes on where the log ends. Each row is one refreshed, polled book of
one level; both feeds say that they are live every 500 ms of the recording's own time, also where it has no rows. It must never
read a clock for a record, and never take a place in a log that holds something else.
"""

import hashlib
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import structlog

from crossbook.domain.grid import PriceGrid
from crossbook.domain.money import parse_micros
from crossbook.domain.venues import KALSHI, POLYMARKET, instrument_id
from crossbook.runtime.errors import BufferFullError, LogError, StageError
from crossbook.runtime.kafka import RecordProducer, create_topics, wait_for_broker
from crossbook.runtime.settings import FrictionSettings, Settings
from producers.errors import RecordingError
from producers.kalshi.catalog import minimums as kalshi_minimums
from producers.market_writer import Sender, friction_pack, read_log_head
from producers.partition import partition_of
from producers.polymarket.catalog import minimums as polymarket_minimums
from producers.recordings.fees import FeeFile, MarketFees, day_ns, load_fee_file
from producers.recordings.rows import Row, Survey, digest_file, read_rows, survey
from producers.relay import ControlReader, Word, configured
from schemas.codec import load_codec
from schemas.records import (
    BookSnapshot,
    DecideAnnounced,
    DecideConfigured,
    FeedState,
    FeedStatus,
    InstrumentListed,
    LogOpened,
    PairListed,
    PayoutCell,
    Record,
    Venue,
)

STATUS_NS = 500_000_000
#: A hole in the recording longer than this is said as one (feeds down, then live again), not filled with statuses.
HOLE_NS = 600 * 1_000_000_000
#: Time goes on this long after the last row, so that what is open can end by its timers.
TAIL_NS = 10 * 1_000_000_000
STEP_MICROS = 10_000
POLYMARKET_SHARES_MICROS = 5_000_000
MICROS_PER_1E4 = 100
MICROS_PER_1E2 = 10_000
ANNOUNCE_TIMEOUT_S = 120.0
BROKER_DEADLINE_S = 60.0
APPROVED_BY = "fee file of the recording"
FEEDS: tuple[Venue, ...] = (POLYMARKET, KALSHI)


class Placed(NamedTuple):
    """A record and where it goes."""

    partition: int
    key: str | None
    record: Record
    ts_ns: int


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """What an import did: rows read, rows dropped by reason, records of the log, and how many of them were there before."""

    log_id: str
    rows: int = 0
    books: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    records: int = 0
    resumed_at: int = 0
    complete: bool = False


class Recording:
    """A recording with its fees: the pure part of the import."""

    def __init__(self, files: Sequence[Path], fees_file: Path | None, partitions: int) -> None:
        """Check everything that can be refused before a byte is written.

        Raises:
            RecordingError: see `survey`, `load_fee_file`; or a market or a day that the fee file does not cover.
        """
        self._files = tuple(files)
        self._partitions = partitions
        self.fees: FeeFile = load_fee_file(fees_file)
        self.survey: Survey = survey(self._files)
        self._listed: dict[tuple[str, str], InstrumentListed] = {}
        self._grids: dict[tuple[str, str], PriceGrid] = {}
        self._check_covered()
        assert fees_file is not None, "load_fee_file refused it"
        self._digests = [digest_file(file) for file in (*self._files, fees_file)]

    def log_id(self, settings: Settings) -> str:
        """Id of the log that this import writes: files, fees, and the settings that reach the log."""
        said = {
            "files": self._digests,
            "partitions": self._partitions,
            "decide": settings.decide.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]

    def log(self, log_id: str, decide: DecideConfigured, report: ImportReport) -> Iterator[Placed]:
        """Every record of the log, in order."""
        start_ns = self.survey.ts_first_ns
        for partition in range(self._partitions):
            opened = LogOpened(
                ts_received_ns=start_ns,
                log_id=log_id,
                partition=partition,
                partitions=self._partitions,
                base_offset=0,
            )
            yield Placed(partition, None, opened, start_ns)
        friction = FrictionSettings(**self.fees.friction.model_dump())
        yield from self._everywhere(friction_pack(friction, start_ns), start_ns)
        yield from self._everywhere(decide, start_ns)
        for ticker, token in self.survey.pairs:
            yield from self._pair(ticker, token)
        yield from self._stream(report)

    # -- head

    def _check_covered(self) -> None:
        missing: list[str] = []
        for ticker, token in self.survey.pairs:
            group = instrument_id(KALSHI, ticker)
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
        is_kalshi = fees.venue == KALSHI
        payout = fees.payout_expected
        return InstrumentListed(
            ts_received_ns=self.survey.ts_first_ns,
            instrument_id=instrument_id(fees.venue, fees.id),
            venue=fees.venue,
            symbol=fees.id,
            yes_token=None if is_kalshi else fees.id,
            no_token=None,
            event_id=group,
            series_id=None,
            group=group,
            title=fees.title or fees.id,
            category=fees.category,
            rules_hash="",
            resolution_source="",
            grid=PriceGrid.linear(parse_micros(fees.tick)).ranges,
            quantity_step_micros=STEP_MICROS,
            minimums=kalshi_minimums() if is_kalshi else polymarket_minimums(POLYMARKET_SHARES_MICROS),
            taker_delay_ms=fees.taker_delay_ms,
            ts_close_ns=None,
            ts_payout_expected_ns=None if payout is None else day_ns(payout),
            ts_game_start_ns=None,
            neg_risk=False,
            exchange_version="trade-api-v2" if is_kalshi else "v1",
            shard=0,
            volume_micros=None,
            status="active",
            fee_schedule=fees.schedule(),
            keyframe=False,
        )

    def _pair(self, ticker: str, token: str) -> Iterator[Placed]:
        start_ns = self.survey.ts_first_ns
        polymarket, kalshi = self._listed[POLYMARKET, token], self._listed[KALSHI, ticker]
        evidence = self.fees.pairing.evidence
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
            haircut_micros=self.fees.pairing.haircut_micros,
            evidence=evidence,
            approved_by=APPROVED_BY,
            keyframe=False,
        )
        for record in (polymarket, kalshi, pair):
            yield self._keyed(record, kalshi.group, start_ns)

    # -- stream

    def _stream(self, report: ImportReport) -> Iterator[Placed]:
        at_ns = self.survey.ts_first_ns
        status_ns = at_ns
        data_ns: dict[Venue, int | None] = dict.fromkeys(FEEDS)
        sequences: Counter[str] = Counter()
        for row in read_rows(self._files, self.survey.in_order):
            report.rows += 1
            why = self._refusal(row)
            if why:
                report.dropped[why] += 1
                continue
            assert row.fetch_ms is not None, "refused above"
            row_ns = row.fetch_ms * 1_000_000
            if row_ns - at_ns > HOLE_NS:
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
            yield self._keyed(self._book(row, listed, sequences[listed.instrument_id]), listed.group, row_ns)
        end_ns = at_ns + TAIL_NS
        while status_ns < end_ns:
            yield from self._status(status_ns, "live", "", data_ns)
            status_ns += STATUS_NS
        yield from self._status(end_ns, "ended", "the recording is over", data_ns)

    def _refusal(self, row: Row) -> str:
        """Why a row cannot be a book; empty when it can."""
        if not row.usable:
            return "no market or time"
        grid = self._grids[row.venue or "", row.name]
        for price, size in ((row.bid_1e4, row.bid_size_1e2), (row.ask_1e4, row.ask_size_1e2)):
            if price is None:
                continue
            if not grid.contains(price * MICROS_PER_1E4):
                return "price off the grid"
            if size is None or not 0 < size < 10**14:
                return "size missing or not positive"
        if row.bid_1e4 is not None and row.ask_1e4 is not None and row.bid_1e4 >= row.ask_1e4:
            return "crossed book"
        return ""

    def _book(self, row: Row, listed: InstrumentListed, sequence: int) -> BookSnapshot:
        assert row.fetch_ms is not None, "refused before"
        bids = [] if row.bid_1e4 is None else [(row.bid_1e4 * MICROS_PER_1E4, (row.bid_size_1e2 or 0) * MICROS_PER_1E2)]
        asks = [] if row.ask_1e4 is None else [(row.ask_1e4 * MICROS_PER_1E4, (row.ask_size_1e2 or 0) * MICROS_PER_1E2)]
        stamp = row.venue_ms
        return BookSnapshot(
            ts_received_ns=row.fetch_ms * 1_000_000,
            ts_venue_ns=stamp * 1_000_000 if stamp is not None and 0 < stamp < 10**13 else None,
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
            yield from self._everywhere(status, ts_ns)

    def _everywhere(self, record: Record, ts_ns: int) -> Iterator[Placed]:
        for partition in range(self._partitions):
            yield Placed(partition, None, record, ts_ns)

    def _keyed(self, record: Record, group: str, ts_ns: int) -> Placed:
        return Placed(partition_of(group, self._partitions), group, record, ts_ns)


def send_log(
    log: Iterator[Placed],
    sender: Sender,
    report: ImportReport,
    *,
    already: dict[int, int],
    speed: float,
    stopped: Callable[[], bool],
    pause: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> None:
    """Send the log, but for the records that each partition has already; `speed` times real time, 0 as fast as possible.

    Waits where the broker does not keep up: a recording, unlike a socket, can wait.
    """
    skip = dict(already)
    origin: tuple[int, float] | None = None
    for placed in log:
        if stopped():
            return
        report.records += 1
        if skip.get(placed.partition, 0) > 0:
            skip[placed.partition] -= 1
            report.resumed_at += 1
            continue
        if speed > 0:
            if origin is None:
                origin = (placed.ts_ns, monotonic())
            due = origin[1] + (placed.ts_ns - origin[0]) / 1e9 / speed
            while (wait_s := due - monotonic()) > 0 and not stopped():
                sender.poll(0.0)
                pause(min(wait_s, 0.2))
        while True:
            try:
                sender.send("market", placed.record, key=placed.key, partition=placed.partition)
            except BufferFullError:
                sender.poll(0.1)
                if stopped():
                    return
            else:
                break
        if report.records % 256 == 0:
            sender.poll(0.0)
    report.complete = True


def run_import(
    settings: Settings,
    files: Sequence[Path],
    fees_file: Path | None,
    speed: float = 0.0,
    *,
    announce_timeout_s: float = ANNOUNCE_TIMEOUT_S,
) -> ImportReport:
    """Import recordings into the log of the settings' prefix, under the settings that decide announced on `control`.

    Raises:
        RecordingError: the files or the fee file cannot be imported; nothing was written.
        LogError: the prefix holds another log.
        StageError: decide announced nothing in time, or the broker refused.
    """
    log = structlog.get_logger().bind(stage="import")
    recording = Recording(files, fees_file, settings.kafka.partitions)
    stop = threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    wait_for_broker(settings.kafka, BROKER_DEADLINE_S)
    create_topics(settings.kafka)
    codec = load_codec()
    report = ImportReport(log_id=recording.log_id(settings))
    head = read_log_head(settings.kafka, codec, report.log_id)
    if head.log_id != report.log_id:
        raise LogError(
            f"prefix {settings.kafka.prefix!r} holds another log ({head.log_id}); import into a prefix of its own"
        )
    decide = _await_decide(settings, recording.survey.ts_first_ns, announce_timeout_s, stop)
    if decide is None:
        return report
    sender = RecordProducer(settings.kafka, codec, "import", linger_ms=5)
    entries = recording.log(report.log_id, decide, report)
    send_log(entries, sender, report, already=head.ends, speed=speed, stopped=stop.is_set)
    sender.flush()
    log.info(
        "import.done",
        rows=report.rows,
        books=report.books,
        dropped=dict(report.dropped),
        records=report.records,
        resumed_at=report.resumed_at,
        complete=report.complete,
    )
    return report


def _await_decide(settings: Settings, ts_ns: int, timeout_s: float, stop: threading.Event) -> DecideConfigured | None:
    """The newest announcement on `control`, waited for; None when told to stop."""
    reader = ControlReader(settings.kafka, load_codec())
    end = time.monotonic() + timeout_s
    try:
        announced = _newest(reader.read_to_end())
        while announced is None:
            if stop.is_set():
                return None
            if time.monotonic() > end:
                raise StageError(
                    f"no decide announced itself on {settings.kafka.prefix}control within {timeout_s:g} s; start the stage decide"
                )
            announced = _newest(reader.read(0.2))
    finally:
        reader.close()
    return configured(announced, -1, ts_ns)


def _newest(words: Sequence[Word]) -> DecideAnnounced | None:
    found = [word.record for word in words if isinstance(word.record, DecideAnnounced)]
    return found[-1] if found else None
