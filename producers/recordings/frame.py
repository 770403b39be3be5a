"""What every importer shares: how the records of a recording's log reach a topic, or a file, and what is said of it.

Decides how a log begins, in which pace it is sent, and where an interrupted import goes on. What a log holds is decided by a
`Recording` alone, from files, fee file and settings, so that any two imports are equal byte for byte. It must never take a
place in a log that holds something else, and never let a clock reach a record.
"""

import hashlib
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Protocol, TypeAlias

import structlog

from crossbook.domain.errors import StageError
from crossbook.log.errors import LogError
from crossbook.log.reading import LogLine
from crossbook.market.configuration import Configuration
from crossbook.market.feed_clock import RECORDED
from crossbook.runtime.errors import BufferFullError
from crossbook.runtime.kafka import RecordProducer, create_topics, wait_for_broker
from crossbook.runtime.settings import FrictionSettings, Settings
from producers.market_writer import Sender, friction_pack, read_log_head
from producers.recordings.fees import FeeFile
from producers.relay import ControlReader, Word
from producers.universe.partition import partition_of
from schemas.codec import load_codec
from schemas.records import DecideAnnounced, LogOpened, Record

STATUS_NS = 500_000_000
#: Time goes on this long after the last row, so that what is open can end by its timers.
TAIL_NS = 10 * 1_000_000_000
ANNOUNCE_TIMEOUT_S = 120.0
BROKER_DEADLINE_S = 60.0
MS_NS = 1_000_000
#: Records that are encoded together.
BLOCK_RECORDS = 4_096


#: Value bytes of records, in their order.
EncodeMany: TypeAlias = Callable[[Sequence[Record]], Sequence[bytes]]


class Placed(NamedTuple):
    """A record and where it goes."""

    partition: int
    key: str | None
    record: Record
    ts_ns: int


@dataclass(slots=True, kw_only=True)
class ImportReport:
    """What an import did: rows read, used and dropped by reason, records of the log, and how many of them were there before.

    Every row was used or dropped: `rows` is the sum of `used` and `dropped`. `books` are book records written, `counted` is what was
    noticed and mended or kept, `ignored` names files that were not read.
    """

    log_id: str
    rows: int = 0
    books: int = 0
    used: Counter[str] = field(default_factory=Counter)
    dropped: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    ignored: list[str] = field(default_factory=list)
    records: int = 0
    resumed_at: int = 0
    complete: bool = False

    def drop(self, reason: str, rows: int) -> None:
        """Count rows that were left out, if there are any."""
        if rows:
            self.dropped[reason] += rows

    def notice(self, what: str, times: int) -> None:
        """Count what was mended or kept, if there is any."""
        if times:
            self.counted[what] += times


class Recording(Protocol):
    """A recording with its fees: the pure part of an import. Whatever can be refused was refused when it was opened."""

    @property
    def ts_first_ns(self) -> int:
        """Stamp of its first record, Unix ns."""

    def log_id(self, settings: Settings) -> str:
        """Id of the log that it makes: of the files, the fees, and the settings that reach the log."""

    def log(self, log_id: str, decide: Configuration, report: ImportReport) -> Iterator[Placed]:
        """Every record of the log, in order; `report` grows on the way. May be called again: the records are the same."""


def log_id_of(said: dict[str, object], settings: Settings) -> str:
    """An id that changes with whatever is said (JSON values) and with the settings of decide."""
    decide = settings.decide.model_dump(mode="json")
    if not decide["strategies"]:
        del decide[
            "strategies"
        ]  # none beside the one that the section is of: the id is that of before there could be any
    everything = said | {"decide": decide}
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:32]


def log_head(log_id: str, decide: Configuration, fees: FeeFile, partitions: int, ts_ns: int) -> Iterator[Placed]:
    """What every partition begins with: LogOpened, the frictions, the settings of decide."""
    for partition in range(partitions):
        opened = LogOpened(
            ts_received_ns=ts_ns,
            log_id=log_id,
            partition=partition,
            partitions=partitions,
            base_offset=0,
            clock=RECORDED,
        )
        yield Placed(partition, None, opened, ts_ns)
    friction = FrictionSettings(**fees.friction.model_dump())
    yield from everywhere(friction_pack(friction, ts_ns), partitions, ts_ns)
    for record in decide.records:
        yield from everywhere(record, partitions, ts_ns)


def everywhere(record: Record, partitions: int, ts_ns: int) -> Iterator[Placed]:
    """A record that every partition gets."""
    for partition in range(partitions):
        yield Placed(partition, None, record, ts_ns)


def keyed(record: Record, group: str, partitions: int, ts_ns: int) -> Placed:
    """A record of a group."""
    return Placed(partition_of(group, partitions), group, record, ts_ns)


def recording_lines(
    recording: Recording,
    settings: Settings,
    encode: EncodeMany,
    decide: Configuration,
    report: ImportReport | None = None,
) -> Iterator[tuple[int, LogLine]]:
    """The whole `market` log of a recording with no broker: (partition, line), offsets from 0 in each partition.

    `decide` are the settings that decide is to work under, its `ts_received_ns` that of `recording.ts_first_ns`. Lines are
    stamped with the recording's own time. A few thousand records are held in memory, no more.
    """
    if report is None:
        report = ImportReport(log_id=recording.log_id(settings))
    ends: Counter[int] = Counter()
    keys: dict[str | None, bytes | None] = {None: None}
    log = recording.log(report.log_id, decide, report)
    while block := list(islice(log, BLOCK_RECORDS)):
        report.records += len(block)
        for (partition, key, _, ts_ns), value in zip(block, encode([placed.record for placed in block]), strict=True):
            offset = ends[partition]
            ends[partition] = offset + 1
            raw = keys.get(key)
            if raw is None and key is not None:
                raw = keys[key] = key.encode()
            yield partition, LogLine(offset, ts_ns // MS_NS, raw, value)
    report.complete = True


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
    recording: Recording,
    speed: float = 0.0,
    *,
    announce_timeout_s: float = ANNOUNCE_TIMEOUT_S,
) -> ImportReport:
    """Import a recording into the log of the settings' prefix, under the settings that decide announced on `control`.

    Raises:
        RecordingError: a row cannot be read.
        LogError: the prefix holds another log.
        StageError: decide announced nothing in time, or the broker refused.
    """
    log = structlog.get_logger().bind(stage="import")
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
    decide = _await_decide(settings, recording.ts_first_ns, announce_timeout_s, stop)
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
        used=dict(report.used),
        dropped=dict(report.dropped),
        counted=dict(report.counted),
        ignored=report.ignored,
        records=report.records,
        resumed_at=report.resumed_at,
        complete=report.complete,
    )
    return report


def _await_decide(settings: Settings, ts_ns: int, timeout_s: float, stop: threading.Event) -> Configuration | None:
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
    return Configuration.of(announced, ts_received_ns=ts_ns, control_offset=-1)


def _newest(words: Sequence[Word]) -> DecideAnnounced | None:
    found = [word.record for word in words if isinstance(word.record, DecideAnnounced)]
    return found[-1] if found else None
