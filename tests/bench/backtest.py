"""Backtest one book pair in one process: decide and the paper executor over a generated market, from bytes and from records.

`decide alone` is the fold without an executor over the same records, in the same run: what the execution costs on top.
"""

import gc
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from crossbook.domain.limits import CASH_MICROS
from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import write_archive
from crossbook.log.reading import LogLine
from crossbook.runtime.settings import DecideSettings, ExecuteSettings
from deploy.lab.backtest.options import BacktestOptions
from deploy.lab.backtest.run import run_backtest
from deploy.lab.outcome.outcome import Outcome
from processors.decide.code_digest import decision_digest
from processors.decide.fold import step
from processors.decide.state import DecideState
from schemas.codec import load_codec
from schemas.records import Fill, Record, TradePlan
from tests.bench.market import MIXED, MS_NS, World
from tests.bench.report import Row

EVENTS = 1_000_000
#: From bytes the stream is shorter: all of it stands in memory, and the rate is what is asked for.
BYTES_EVENTS = 200_000
GAP_NS = 200_000
PLANT_EVERY = 5_000
DWELL = 1_500
T0 = 1_780_000_000_000_000_000
GOAL = 120_000.0
#: Limits out of the way: what is measured is work, not refusals.
WIDE = ExecuteSettings(
    cash_micros=dict.fromkeys(CASH_MICROS, 10**15),
    cost_per_leg_micros=10**14,
    category_cost_micros=10**15,
    pairs_open_max=10_000,
    daily_stop_ppm=1_000_000,
    weekly_stop_ppm=1_000_000,
    monthly_stop_ppm=1_000_000,
)
Result = TypeVar("Result")


class GeneratedLog:
    """A log that makes its records while they are read, as an archive does; other topics are empty."""

    name = "a generated market"
    partitions = 1

    def __init__(self, events: int, pairs: int = 1) -> None:
        self._events, self._pairs = events, pairs

    def extent(self, topic: str, _partition: int) -> tuple[int, int]:
        """Where the topic begins and ends."""
        return (0, self._events) if topic == "market" else (0, 0)

    def decided_end(self, _partition: int) -> int:
        """Nothing was decided."""
        return 0

    def read(
        self, topic: str, partition: int, *, start: int | None = None, end: int | None = None
    ) -> Iterator[LogLine]:
        """Lines in the wire format."""
        encode = load_codec().encode
        for offset, record in self.records(topic, partition, start, end):
            yield LogLine(offset, 0, None, encode(record))

    def records(
        self, topic: str, _partition: int, start: int | None = None, end: int | None = None
    ) -> Iterator[tuple[int, Record]]:
        """Records by offset."""
        del start, end
        if topic == "market":
            yield from enumerate(stream(self._events, self._pairs))


class HeldLog(GeneratedLog):
    """The same, held in memory, as bytes or as records: reading costs what decoding costs, or nothing."""

    def __init__(self, events: int, *, as_bytes: bool) -> None:
        super().__init__(events)
        found = list(super().records("market", 0))
        self._held = found
        if as_bytes:
            encode = load_codec().encode
            self._lines = [LogLine(offset, 0, None, encode(record)) for offset, record in found]
            self.records = None  # type: ignore[method-assign,assignment]  # a log without the fast path

    def read(
        self, topic: str, partition: int, *, start: int | None = None, end: int | None = None
    ) -> Iterator[LogLine]:
        """Lines as they were made."""
        del partition, start, end
        yield from self._lines if topic == "market" else ()

    def records(
        self, topic: str, _partition: int, start: int | None = None, end: int | None = None
    ) -> Iterator[tuple[int, Record]]:
        """Records as they were made."""
        del start, end
        yield from self._held if topic == "market" else ()


def stream(events: int, pairs: int) -> Iterator[Record]:
    """Head, updates of which one in ten changes a best level, and a planted edge every second."""
    world = World(pairs, MIXED)
    yield from world.head(T0, DecideSettings(cooldown_ms=100))
    yield from world.planted_stream(T0 + MS_NS, events, GAP_NS, PLANT_EVERY, DWELL)


class Took(NamedTuple):
    """Seconds of the wall clock and of this process's CPU; they part when others use the machine."""

    wall_s: float
    cpu_s: float


def timed(work: Callable[[], Result]) -> tuple[Took, Result]:
    """What something took, and what it gave."""
    gc.collect()
    gc.freeze()  # what the bench holds is not the measured program's garbage
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return Took(time.perf_counter() - wall, time.process_time() - cpu), result


def run() -> list[Row]:
    """Backtest from records beside decide alone, then from bytes."""
    return [*_from_records(), *_from_bytes()]


def _from_records() -> list[Row]:
    log = HeldLog(EVENTS, as_bytes=False)
    alone, _ = timed(lambda: _decide_alone(log))
    took, outcome = timed(lambda: run_backtest(log, BacktestOptions(execute=WIDE)))
    return [
        _row("from records: decide, machine, paper venue", took, outcome, goals={"per s": ("≥", GOAL)}),
        _row("decide alone, same records", alone, outcome),
    ]


def _from_bytes() -> list[Row]:
    log = HeldLog(BYTES_EVENTS, as_bytes=True)
    with tempfile.TemporaryDirectory() as folder:
        write_archive(log, Path(folder), topics=("market",))
        took, outcome = timed(lambda: run_backtest(ArchiveLog(Path(folder)), BacktestOptions(execute=WIDE)))
        rows = [_row("from an archive", took, outcome)]
    took, outcome = timed(lambda: run_backtest(log, BacktestOptions(execute=WIDE)))
    return [*rows, _row("from bytes: decode each", took, outcome)]


def _decide_alone(log: GeneratedLog) -> None:
    state = DecideState(decision_digest())
    for position, record in log.records("market", 0):
        step(state, position, record)


def _row(what: str, took: Took, outcome: Outcome, **more: Any) -> Row:
    plans = sum(isinstance(record, TradePlan) for record in outcome.journal)
    fills = sum(isinstance(record, Fill) for record in outcome.fills)
    return Row(
        what=what,
        figures={"per s": outcome.events / took.wall_s, "per CPU s": outcome.events / took.cpu_s},
        unit="events/s",
        n=outcome.events,
        note=f"{plans:,} trades, {fills:,} fills, {len(outcome.quotes):,} quotes; peak RSS {outcome.rss_mb:,.0f} MB with the held stream",
        **more,
    )
