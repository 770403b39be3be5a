"""Cost growth of a backtest: time and memory over events (0.1, 1, 10 M, one pair) and over instruments (1, 100, 1,000, equal events).

Each case runs alone, in a process of its own. The market is made while it is read, in blocks; the clock stands still while a block is
made, so generation is out of every figure and no stream is held. Small cases run several times and the best run counts; the largest
runs once, which is against us. Also writes a page with the curves. CROSSBOOK_BENCH_EVENTS_MAX caps the events of a case,
CROSSBOOK_BENCH_PAGE names the page.
"""

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from deploy.lab.backtest.options import BacktestOptions
from deploy.lab.backtest.run import run_backtest
from deploy.lab.memory import peak_rss_mb, rss_mb
from deploy.lab.report.drawing.charts import Bar, Series, bar_chart, line_chart
from deploy.lab.report.drawing.layout import Chart, Page, Section, Table, Text, Tile, write_page
from schemas.records import Fill, Record
from tests.bench.backtest import WIDE, GeneratedLog
from tests.bench.report import Row
from tests.builders.places import REPOSITORY

EVENTS = (100_000, 1_000_000, 10_000_000)
INSTRUMENTS = (1, 100, 1_000)
#: Events of each case of INSTRUMENTS.
EQUAL_EVENTS = 200_000
#: Runs of a case with fewer events than this; a longer one runs once.
RUNS = 3
LONG_EVENTS = 2_000_000
#: A cost that grows with the logarithm of the events would be 1.4 between 0.1 and 10 M; this is less.
LINEAR_MAX = 1.3
#: "About flat" leaves room for caches that hold one pair's books and not those of a thousand instruments; the calls are as many. A cost
#: linear in instruments would be 500 (one pair has two), a logarithmic one 10.
FLAT_MAX = 2.0
BLOCK = 10_000
#: Points of a curve.
POINTS = 200
PAGE = REPOSITORY / "build" / "bench-growth.html"

#: What a child says: events, seconds (wall, without generation), cpu_s, made_s, rss_mb, fills, curve of [events, seconds, MB].
Case: TypeAlias = dict[str, Any]
T = TypeVar("T")


class PausedLog(GeneratedLog):
    """Makes blocks of records while its clock stands still; `curve` holds (records, seconds, MB) at each block's end."""

    def __init__(self, events: int, pairs: int) -> None:
        super().__init__(events, pairs)
        self.made_s = 0.0
        self.made_cpu_s = 0.0
        self.curve: list[tuple[int, float, float]] = []

    def records(
        self, topic: str, _partition: int, start: int | None = None, end: int | None = None
    ) -> Iterator[tuple[int, Record]]:
        """Records by offset, a block at a time."""
        source = super().records(topic, _partition, start, end)
        self.curve = []
        began, before, count = time.perf_counter(), self.made_s, 0
        while True:
            started, cpu_started = time.perf_counter(), time.process_time()
            gc.disable()  # collecting is the backtest's cost: it is put off until the clock goes on
            block = list(islice(source, BLOCK))
            gc.enable()
            self.made_s += time.perf_counter() - started
            self.made_cpu_s += time.process_time() - cpu_started
            yield from block
            count += len(block)
            self.curve.append((count, time.perf_counter() - began - (self.made_s - before), rss_mb()))
            if len(block) < BLOCK:
                return


def run() -> list[Row]:
    """All cases, then the page."""
    cap = int(os.environ.get("CROSSBOOK_BENCH_EVENTS_MAX", "0")) or EVENTS[-1]
    path = Path(os.environ.get("CROSSBOOK_BENCH_PAGE", str(PAGE)))
    events = {wanted: _best(wanted, 1) for wanted in sorted({min(one, cap) for one in EVENTS})}
    wide = {wanted: _best(min(EQUAL_EVENTS, cap), max(1, wanted // 2)) for wanted in INSTRUMENTS}
    size = write_page(_page(events, wide), path)
    shown = path.relative_to(REPOSITORY) if path.is_relative_to(REPOSITORY) else path
    return [*_event_rows(events, f"curves: {shown} ({size / 1e3:,.0f} kB)"), *_instrument_rows(wide)]


def _best(events: int, pairs: int) -> Case:
    runs = [_child(events, pairs) for _ in range(RUNS if events < LONG_EVENTS else 1)]
    return min(runs, key=lambda one: float(one["seconds"])) | {"runs": len(runs)}


def _child(events: int, pairs: int) -> Case:
    command = [sys.executable, "-m", "tests.bench.growth", str(events), str(pairs)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    result: Case = json.loads(done.stdout.splitlines()[-1])
    return result


def _per_million(case: Case) -> float:
    return float(case["seconds"]) / case["events"] * 1e6


def _ends(items: Sequence[T]) -> tuple[T, T]:
    return items[0], items[-1]


def _growth(cases: dict[int, Case], *, per_event: bool) -> float:
    """The last case against the first."""
    first, last = _ends(list(cases.values()))
    return _per_million(last) / _per_million(first) if per_event else float(last["seconds"]) / float(first["seconds"])


def _event_rows(cases: dict[int, Case], page: str) -> list[Row]:
    rows = [
        Row(
            what=f"backtest of {wanted / 1e6:g} M events, one pair",
            figures={
                "per s": case["events"] / case["seconds"],
                "s a million": _per_million(case),
                "peak RSS MB": case["rss_mb"],
            },
            unit="events/s, s, MB",
            n=case["events"],
            note=_note(case),
        )
        for wanted, case in cases.items()
    ]
    if len(cases) < 2:
        return [*rows, Row(what="time linear in events", figures={}, unit="×", n=len(cases), note=f"capped; {page}")]
    sizes = list(cases)
    rows.append(
        Row(
            what=f"time linear in events: s a million at {sizes[-1] / 1e6:g} M against {sizes[0] / 1e6:g} M",
            figures={"growth": _growth(cases, per_event=True)},
            unit="×",
            goals={"growth": ("≤", LINEAR_MAX)},
            n=len(cases),
            against="1.0: proportional",
            note=page,
        )
    )
    return rows


def _instrument_rows(cases: dict[int, Case]) -> list[Row]:
    rows = [
        Row(
            what=f"backtest of {case['asked']:,} events, {_instruments(wanted)}",
            figures={"wall": case["seconds"], "peak RSS MB": case["rss_mb"]},
            unit="s, MB",
            n=case["events"],
            note=_note(case),
        )
        for wanted, case in cases.items()
    ]
    last = list(cases)[-1]
    rows.append(
        Row(
            what=f"time about flat in instruments: {last:,} against one pair, equal events",
            figures={"growth": _growth(cases, per_event=False)},
            unit="×",
            goals={"growth": ("≤", FLAT_MAX)},
            n=len(cases),
            against="1.0: flat",
            note=f"about flat: no more than {FLAT_MAX} × from one pair to {last:,} instruments",
        )
    )
    return rows


def _instruments(wanted: int) -> str:
    return f"{wanted:,} instruments" if wanted > 1 else "one pair (two instruments)"


def _note(case: Case) -> str:
    runs = f"best of {case['runs']}" if case["runs"] > 1 else "one run"
    return (
        f"{runs}; {case['cpu_s']:.1f} s of CPU; generation, {case['made_s']:.1f} s, taken out; "
        f"{case['fills']:,} fills, {case['quotes']:,} quotes"
    )


def _page(events: dict[int, Case], wide: dict[int, Case]) -> Page:
    longest = list(events.values())[-1]
    first = next(iter(events.values()))
    curve = longest["curve"]
    straight = [(0.0, 0.0), (float(longest["events"]), _per_million(first) * longest["events"] / 1e6)]
    time_figure = line_chart(
        [
            Series("measured", [(0.0, 0.0), *((at, s) for at, s, _ in curve)]),
            Series(f"as at {first['asked'] / 1e6:g} M", straight, dashed=True),
        ],
        title="Seconds over events, within the longest run",
        description="Time that the backtest took so far, without generation; the dashed line is proportional",
        x_kind="number", y_unit=" s", zero=True,
    )  # fmt: skip
    memory_figure = line_chart(
        [Series("resident", [(at, mb) for at, _, mb in curve])],
        title="Resident memory over events", description="MB of the process while it runs",
        x_kind="number", y_unit=" MB", zero=True,
    )  # fmt: skip
    return Page(
        title="Cost growth of a backtest",
        subtitle="decide, machine and paper venue in one process, over a generated market; generation is taken out",
        verdict=f"{_growth(events, per_event=True):.2f} × the time an event at {longest['asked'] / 1e6:g} M events, "
        f"{_growth(wide, per_event=False):.2f} × the time at {list(wide)[-1]:,} instruments.",
        tiles=[Tile(f"{n / 1e6:g} M events", f"{_per_million(case):.2f} s", "a million") for n, case in events.items()],
        sections=[
            Section("events", "Events", [Chart([time_figure, memory_figure]), _table("#events", events)]),
            Section("instruments", "Instruments", [Chart(_bars(wide)), _table("#instruments", wide), Text("The first case is one pair, which has two instruments.")]),
        ],
        foot="python -m tests.bench growth",
    )  # fmt: skip


def _bars(wide: dict[int, Case]) -> list[str]:
    bars = [
        Bar("one pair" if wanted == 1 else f"{wanted:,} instruments", case["seconds"], f"{case['seconds']:.2f} s")
        for wanted, case in wide.items()
    ]
    events = next(iter(wide.values()))["asked"]
    return [bar_chart(bars, title=f"Seconds for {events:,} events", description="By instruments, at equal events")]


def _table(name: str, cases: dict[int, Case]) -> Table:
    rows = [
        [
            f"{wanted:,}", f"{case['seconds']:.2f}", f"{case['events'] / case['seconds']:,.0f}", f"{case['cpu_s']:.2f}",
            f"{case['rss_mb']:,.0f}", f"{case['fills']:,}",
        ]
        for wanted, case in cases.items()
    ]  # fmt: skip
    return Table([name, "#seconds", "#events/s", "#CPU s", "#peak RSS MB", "#fills"], rows)


def main() -> None:
    """Run one case and say what it took."""
    events, pairs = int(sys.argv[1]), int(sys.argv[2])
    log = PausedLog(events, pairs)
    started, cpu_started = time.perf_counter(), time.process_time()
    outcome = run_backtest(log, BacktestOptions(execute=WIDE))
    seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
    every = max(1, len(log.curve) // POINTS)
    result = {
        "asked": events,
        "events": outcome.events,
        "seconds": seconds - log.made_s,
        "cpu_s": cpu_s - log.made_cpu_s,
        "made_s": log.made_s,
        "rss_mb": peak_rss_mb(),
        "fills": sum(isinstance(record, Fill) for record in outcome.fills),
        "quotes": len(outcome.quotes),
        "curve": log.curve[::-every][::-1],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
