"""Importer `binance_wire_2024_08`: Binance's socket lines as they were received, spot or futures, to reference prices.

Each line is `<local Unix ns> <frame>`; each file is one connection and becomes one reference feed. The frames go through the live
protocol, so what it conflates, drops or refuses is so here too. Depth frames and the REST snapshot between them make no record:
they are folded to check that nothing is missing and that the book's top equals the quote of the same update id, and counted.

Receive stamps are kept as recorded, also where that clock was wrong; the feed's status tells its offset. A line that comes twice counts
once, and one whose stamp is hours from the lines around it is dropped: raised or not, it would move the time of all. Nothing is traded, so no
fee file is asked for; one that is given states the frictions. It must never hold a file in memory, nor read a clock.
"""

import hashlib
import heapq
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
from pydantic import ValidationError

from crossbook.domain.errors import DomainError
from crossbook.market.configuration import Configuration
from crossbook.runtime.settings import Settings
from producers.binance import wire
from producers.binance.protocol import BinanceProtocol
from producers.errors import RecordingError, WireDriftError
from producers.feeds.protocol import Output, Reconnect, decode_json
from producers.recordings import frame
from producers.recordings.bbo.rows import digest_file
from producers.recordings.binance.depth import DepthCheck
from producers.recordings.clocks import HOUR_MS, UnitCheck, possible, without_strays
from producers.recordings.columns import reading
from producers.recordings.fees import FeeFile, FrictionFees, load_fee_file
from producers.recordings.frame import STATUS_NS, ImportReport, Placed, everywhere
from schemas.records import DeadLetter, Record, ReferencePrice

Market = Literal["spot", "usdm"]
#: A frame is at most this long; a longer line is no frame.
LINE_MAX = 16 * 1024 * 1024
STAMP_DIGITS = 19
#: A hole in the recording longer than this is not filled with statuses.
HOLE_NS = 600 * 1_000_000_000
QUOTE_INTERVAL_MS = 20
SUFFIXES = (".ndjson", ".ndjson.zst", ".ndjson.gz")
_STREAM = re.compile(rb'"stream":"([a-z0-9]{1,40})@([A-Za-z]+)')
_UNUSABLE = (ValidationError, DomainError, WireDriftError)


HOUR_NS = HOUR_MS * 1_000_000
REPEATED_LINE = "repeated lines, equal to an earlier one"
STRAY_LINE = "stamp hours from the lines around it"


class Line(NamedTuple):
    """One line of a file: when it was received, and the frame."""

    ts_ns: int
    connection: int
    payload: bytes


class Connection(NamedTuple):
    """What a survey found in one file."""

    path: Path
    market: Market
    symbols: tuple[str, ...]
    ts_first_ns: int
    late: frozenset[int]  # stamps of lines that stand behind a later one: where a repeat may be
    digest: str

    @property
    def feed(self) -> str:
        """Name of its feed, such as binance-spot-btcusdt."""
        return "-".join(("binance", self.market, *(symbol.lower() for symbol in self.symbols)))[:80]


class Recording:
    """Files of socket lines; see `producers.recordings.frame.Recording`."""

    def __init__(
        self,
        files: Sequence[Path],
        fees_file: Path | None,
        partitions: int,
        *,
        quote_interval_ms: int = QUOTE_INTERVAL_MS,
    ) -> None:
        """Read every file once, to know its market, symbols and span; a folder stands for the files of lines in it.

        Raises:
            RecordingError: a file cannot be read or holds no frame, two hold the same symbol, or the fee file is none.
        """
        paths = [path for file in files for path in _expand(file)]
        if not paths:
            raise RecordingError("no file was named; give one or more .ndjson or .ndjson.zst files of socket lines")
        self._partitions = partitions
        self._quote_interval_ms = quote_interval_ms
        if fees_file is None:
            # Nothing is traded here: no market, and no friction that could cost anything.
            friction = FrictionFees(source="none: the recording holds reference prices only")
            self.fees = FeeFile.model_construct(version=1, friction=friction, markets=[])
        else:
            self.fees = load_fee_file(fees_file)
        self._ignored = [other.name for file in files if file.is_dir() for other in _others(file)]
        self._fees_digest = "" if fees_file is None else digest_file(fees_file)
        self.connections = [survey(path) for path in paths]
        names = [one.feed for one in self.connections]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise RecordingError(f"two files hold the same market and symbols ({', '.join(twice)}); import them apart")

    @property
    def ts_first_ns(self) -> int:
        """Stamp of its first record, Unix ns."""
        return min(one.ts_first_ns for one in self.connections)

    def log_id(self, settings: Settings) -> str:
        """Id of the log that it makes."""
        said: dict[str, object] = {
            "files": [*(one.digest for one in self.connections), self._fees_digest],
            "partitions": self._partitions,
            "quote_interval_ms": self._quote_interval_ms,
        }
        return frame.log_id_of(said, settings)

    def log(self, log_id: str, decide: Configuration, report: ImportReport) -> Iterator[Placed]:
        """Every record of the log, in order."""
        report.ignored += self._ignored
        yield from frame.log_head(log_id, decide, self.fees, self._partitions, self.ts_first_ns)
        replay = _Replay(self.connections, self._quote_interval_ms, report)
        for record in replay.records():
            stamp: int = record.ts_received_ns  # type: ignore[attr-defined]  # both kinds of record have it
            yield from everywhere(record, self._partitions, stamp)


class _Replay:
    """One pass over the files: the protocols that the lines go through, and the time between the lines."""

    def __init__(self, connections: Sequence[Connection], quote_interval_ms: int, report: ImportReport) -> None:
        self._connections = connections
        self._report = report
        self._protocols = [
            BinanceProtocol(
                one.symbols,
                feed=one.feed,
                market=one.market,
                trades="trade",
                interval_ns=quote_interval_ms * 1_000_000,
            )
            for one in connections
        ]
        self._checks = [
            {symbol: DepthCheck(report.counted, futures=one.market == "usdm") for symbol in one.symbols}
            for one in connections
        ]
        self._last_ns = 0

    def records(self) -> Iterator[Record]:
        """Prices and statuses, by the recording's time."""
        at_ns = status_ns = min(one.ts_first_ns for one in self._connections)
        for line in read_lines(self._connections, self._report):
            if line.ts_ns - at_ns > HOLE_NS:
                self._report.counted["holes in the recording"] += 1
                status_ns = line.ts_ns
            while status_ns <= line.ts_ns:
                yield from self._let_go(status_ns)
                yield from self._status(status_ns)
                status_ns += STATUS_NS
            yield from self._let_go(line.ts_ns)
            at_ns = line.ts_ns
            yield from self._line(line)
        end_ns = max([at_ns, *(due for protocol in self._protocols if (due := protocol.next_due_ns) is not None)])
        yield from self._let_go(end_ns)
        for checks in self._checks:
            for check in checks.values():
                self._report.notice("depth.without_a_snapshot", check.waited)
        for protocol in self._protocols:
            yield protocol.ended(max(end_ns, self._last_ns))
            self._report.counted.update({f"{protocol.feed}.{name}": n for name, n in protocol.counters.items()})

    def _line(self, line: Line) -> Iterator[Record]:
        one, protocol = self._connections[line.connection], self._protocols[line.connection]
        found = _STREAM.search(line.payload[:120])
        kind = b"snapshot" if found is None and b'"lastUpdateId"' in line.payload[:120] else found[2] if found else b""
        if not protocol.connected:
            yield from self._take(line.connection, protocol.connect(max(line.ts_ns, protocol.session + 1), line.ts_ns))
            protocol.assume_subscribed()
        if kind in {b"depth", b"snapshot"}:
            try:
                self._depth(line, self._checks[line.connection], one.symbols)
            except _UNUSABLE:
                self._report.dropped["depth frame that cannot be read"] += 1
            else:
                self._report.used["depth frames"] += 1
            return
        before = protocol.newest_quote
        outputs = protocol.receive(line.payload, line.ts_ns)
        quote = protocol.newest_quote
        if quote is not None and quote is not before:
            self._checks[line.connection][quote.s].quote(quote)
        dead = next((output.error for output in outputs if isinstance(output, DeadLetter)), None)
        if dead is None:
            self._report.used["frames"] += 1
        else:
            self._report.dropped[dead[:80]] += 1
        yield from self._take(line.connection, [output for output in outputs if not isinstance(output, DeadLetter)])

    def _take(self, connection: int, outputs: list[Output]) -> Iterator[Record]:
        """Pass on records for the log; do what the live shell would do with the rest."""
        for output in outputs:
            match output:
                case DeadLetter():  # of the connection, not of a line
                    self._report.counted[output.error[:80]] += 1
                case ReferencePrice():
                    self._report.books += 1
                    yield self._stamped(output)
                case Record():
                    yield self._stamped(output)
                case Reconnect():
                    self._report.counted["reconnects"] += 1
                    protocol = self._protocols[connection]
                    yield from self._take(connection, protocol.disconnect(output.reason, self._last_ns))
                case _:
                    raise AssertionError(f"a reference protocol gave a {type(output).__name__}")

    def _stamped(self, record: Record) -> Record:
        stamp: int = record.ts_received_ns  # type: ignore[attr-defined]  # both kinds of record have it
        assert stamp >= self._last_ns, "lines and what is held are given in the order of time"
        self._last_ns = stamp
        return record

    def _let_go(self, ts_ns: int) -> Iterator[Record]:
        """Give what was held and is due up to a moment, each at its own time, and judge silence."""
        while True:
            due = [(at, i) for i, p in enumerate(self._protocols) if (at := p.next_due_ns) is not None and at <= ts_ns]
            if not due:
                break
            at_ns, connection = min(due)
            yield from self._take(connection, self._protocols[connection].tick(at_ns))
        for connection, protocol in enumerate(self._protocols):
            if protocol.connected and protocol.ts_data_ns is not None:
                self._last_ns = max(self._last_ns, ts_ns)
                yield from self._take(connection, protocol.tick(ts_ns))

    def _status(self, ts_ns: int) -> Iterator[Record]:
        for protocol in self._protocols:
            yield self._stamped(protocol.status(ts_ns))

    # -- depth

    def _depth(self, line: Line, checks: dict[str, DepthCheck], symbols: tuple[str, ...]) -> None:
        content = decode_json(line.payload)
        if "lastUpdateId" in content:
            if len(symbols) != 1:
                raise WireDriftError("a snapshot names no symbol, and the file holds more than one")
            checks[symbols[0]].snapshot(wire.DepthSnapshot.model_validate(_pairs(content, "bids", "asks")))
            return
        data = wire.Combined.model_validate(content).data
        update = wire.DepthUpdate.model_validate(_pairs(data, "b", "a"))
        checks[update.s].update(update)


def survey(path: Path) -> Connection:
    """Read a file once for its market, symbols and span.

    Raises:
        RecordingError: it cannot be read, its stamps are in another unit, or it holds no quote or trade.
    """
    symbols: dict[str, None] = {}
    market: Market = "spot"
    first = top = before = 0
    late: set[int] = set()
    unit = UnitCheck(path, "the stamp of a line", "ns")
    for ts_ns, payload in without_strays(_lines(path, unit), HOUR_NS, lambda _: None):
        if ts_ns is None:
            continue
        first = first or ts_ns
        if ts_ns < top or (ts_ns == top and ts_ns != before):
            late.add(ts_ns)
        before, top = ts_ns, max(top, ts_ns)
        found = _STREAM.search(payload[:120])
        if found is None:
            continue
        symbols.setdefault(found[1].decode().upper())
        # Spot's best bid and ask name neither event nor time.
        if found[2] == b"bookTicker" and b'"e":"bookTicker"' in payload:
            market = "usdm"
    unit.judge(strict=False)
    if not symbols:
        raise RecordingError(f"{path} holds no line of `<Unix ns> <combined-stream frame>`; is it a wire recording?")
    return Connection(path, market, tuple(symbols), first, frozenset(late), digest_file(path))


def read_lines(connections: Sequence[Connection], report: ImportReport) -> Iterator[Line]:
    """Lines of all files in the order of their stamps; a stamp that steps back is raised to the one before it, and counted."""

    def of(connection: int) -> Iterator[Line]:
        last = 0
        for ts_ns, payload in _once(connections[connection], report):
            if ts_ns < last:
                report.counted["stamps raised"] += 1
            last = max(last, ts_ns)
            yield Line(last, connection, payload)

    yield from heapq.merge(*(of(i) for i in range(len(connections))), key=lambda line: line.ts_ns)


def _once(connection: Connection, report: ImportReport) -> Iterator[tuple[int, bytes]]:
    """Lines with a stamp, each once. Only a line behind a later one, or at the moment of the one before, can be a repeat."""

    def counted() -> Iterator[tuple[int | None, bytes]]:
        moment, there = 0, set[bytes]()
        seen: dict[int, set[bytes]] = {}
        for ts_ns, payload in _lines(connection.path):
            report.rows += 1
            if ts_ns is None:
                report.dropped["line without a stamp in ns"] += 1
                continue
            if ts_ns != moment:
                moment, there = ts_ns, seen.setdefault(ts_ns, set()) if ts_ns in connection.late else set()
            mark = hashlib.blake2b(payload, digest_size=8).digest()
            if mark in there:
                report.dropped[REPEATED_LINE] += 1
                continue
            there.add(mark)
            yield ts_ns, payload

    for ts_ns, payload in without_strays(counted(), HOUR_NS, lambda lines: report.drop(STRAY_LINE, lines)):
        assert ts_ns is not None, "counted gives none without"
        yield ts_ns, payload


def _lines(path: Path, unit: UnitCheck | None = None) -> Iterator[tuple[int | None, bytes]]:
    """Lines that are not empty: the stamp, None for one that is none, and the frame."""
    with reading(path, "file of lines"), pa.input_stream(str(path), compression="detect") as stream:
        lines = io.BufferedReader(stream)
        while line := lines.readline(LINE_MAX):
            text, _, payload = line.rstrip(b"\r\n").partition(b" ")
            stamp = int(text) if text.isdigit() and len(text) <= STAMP_DIGITS else None
            if unit is not None:
                unit.see_one(stamp)
            if payload and possible(stamp, "ns"):
                yield stamp, payload
            elif line.strip():
                yield None, line


def _expand(path: Path) -> list[Path]:
    """The files of a folder that hold lines, by name; anything else as it is."""
    return sorted(one for one in path.iterdir() if one.name.endswith(SUFFIXES)) if path.is_dir() else [path]


def _others(folder: Path) -> list[Path]:
    return sorted(one for one in folder.iterdir() if one.is_file() and not one.name.endswith(SUFFIXES))


def _pairs(content: dict[str, object], *names: str) -> dict[str, object]:
    """Levels as tuples, which the strict model asks for; JSON has only lists."""
    changed = dict(content)
    for name in names:
        rows = content.get(name)
        if isinstance(rows, list):
            changed[name] = [tuple(row) if isinstance(row, list) else row for row in rows]
    return changed
