"""Backtest one book pair from an archive, and the same deltas in NautilusTrader: events a second, memory, and the ratio.

Ours decides, executes on paper and journals; theirs runs a callback that reads best bid and ask. Each runs alone, in a process of its
own, one after the other, and twice: the better run counts for both. What is timed is the run: ours reads and decodes its archive
meanwhile, theirs has its objects in memory already.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import ArchiveWriter
from crossbook.log.reading import LogLine
from deploy.lab.backtest.options import BacktestOptions
from deploy.lab.backtest.run import run_backtest
from schemas.codec import load_codec
from schemas.records import BookDelta, BookSnapshot, Fill
from tests.bench.backtest import WIDE, stream
from tests.bench.market import MIXED, World
from tests.bench.nautilus import VERSION, NautilusAbsentError, run_nautilus, write_deltas
from tests.bench.report import Row
from tests.builders.places import REPOSITORY

EVENTS = 1_000_000
RUNS = 2
GOAL = 0.5
LINES = 10_000


def run() -> list[Row]:
    """Write the market once, run both over it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive, deltas = folder / "archive", folder / "deltas.npz"
        _write(archive, deltas)
        ours = [_ours(archive) for _ in range(RUNS)]
        best = min(ours, key=lambda one: one["run_s"])
        rate = best["events"] / best["run_s"]
        rows = [
            Row(
                what="backtest from an archive: decide, machine, paper venue",
                figures={"per s": rate},
                unit="events/s",
                n=int(best["events"]),
                note=f"{best['fills']:,.0f} fills; peak RSS {best['rss_mb']:,.0f} MB",
            )
        ]
        try:
            theirs = min((run_nautilus(deltas) for _ in range(RUNS)), key=lambda one: one["run_s"])
        except NautilusAbsentError as error:
            return [*rows, Row(what="beside NautilusTrader", figures={}, unit="ratio", n=0, note=str(error))]
    their_rate = theirs["deltas"] / theirs["run_s"]
    rows.append(
        Row(
            what=f"NautilusTrader {VERSION}, callback that reads best bid and ask, same deltas",
            figures={"per s": their_rate},
            unit="events/s",
            n=int(theirs["deltas"]),
            note=f"objects built before, in {theirs['load_s']:.1f} s; peak RSS {theirs['rss_mb']:,.0f} MB",
        )
    )
    rows.append(
        Row(
            what="ratio, ours to theirs",
            figures={"ratio": rate / their_rate},
            unit="×",
            goals={"ratio": ("≥", GOAL)},
            n=RUNS,
            against="stretch 1.0",
        )
    )
    return rows


def _write(archive: Path, deltas: Path) -> None:
    codec = load_codec()
    writer = ArchiveWriter(archive, source="bench", prefix="bench.", partitions=1)
    lines: list[LogLine] = []
    books: list[BookSnapshot | BookDelta] = []
    for offset, record in enumerate(stream(EVENTS, 1)):
        lines.append(LogLine(offset, 0, None, codec.encode(record)))
        if isinstance(record, BookSnapshot | BookDelta):
            books.append(record)
        if len(lines) == LINES:
            writer.extend("market", 0, lines)
            lines = []
    writer.extend("market", 0, lines)
    writer.close()
    numbers = {name: number for number, name in enumerate(World(1, MIXED).groups)}
    write_deltas(books, numbers, deltas)


def _ours(archive: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.beside", str(archive)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPOSITORY)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> None:
    """Backtest the archive that is named, and say what it took."""
    started = time.perf_counter()
    outcome = run_backtest(ArchiveLog(Path(sys.argv[1])), BacktestOptions(execute=WIDE))
    took = time.perf_counter() - started
    fills = sum(isinstance(record, Fill) for record in outcome.fills)
    print(json.dumps({"events": outcome.events, "run_s": took, "rss_mb": outcome.rss_mb, "fills": fills}))


if __name__ == "__main__":
    main()
