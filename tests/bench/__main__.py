"""`python -m tests.bench [NAME...] [--json FILE] [--list]`: run benches, print one table.

Decides only which bench runs and in what order. A bench that cannot run is reported with the reason and does not stop the
others; the exit code is 0 unless one of them failed to run. A missed goal is a figure, not a failure.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

from crossbook.runtime.logging import configure_log
from deploy.stack.supervisor import interrupted_by_signals
from tests.bench.report import Row, describe_machine, machine, render, to_json

#: Name → (module below tests.bench, what it measures). The pure ones first: they need nothing.
BENCHES: dict[str, tuple[str, str]] = {
    "codec": ("codec", "encode and decode a BookDelta, price a fee"),
    "frames": ("frames", "parse a frame of each venue"),
    "decide": ("decide", "decide an event"),
    "execution": ("execution", "step the executor: journal, machine, paper venue"),
    "backtest": ("backtest", "backtest one book pair in one process"),
    "growth": (
        "growth",
        "backtest: time and memory over 0.1 to 10 M events and 1 to 1,000 instruments, with a page of curves",
    ),
    "verify": ("verify", "verify a log in memory, from a broker and from an archive, in one process and in two"),
    "archive": ("archive", "write an archive, read it as columns, lines and records; bytes an event"),
    "importers": ("importers", "import recordings of whole books: changes a second, memory"),
    "leadlag": ("leadlag", "false and found leaders of known worlds, beside Huth and Abergel's table"),
    "beside": ("beside", "backtest from an archive beside NautilusTrader, same deltas"),
    "codec_and_broker": ("broker", "the anchor: codec and a real broker, produce, consume, transact"),
    "market_latency": ("market_latency", "tick to plan from `market`, 5,000 updates/s"),
    "sockets_latency": ("sockets_latency", "tick to plan with sandbox sockets, 1,000 updates/s"),
    "sustained": ("sustained", "10,000 updates/s through Kafka, 3,000 through sockets; CPU and memory"),
    "recovery": ("recovery", "kill -9 of decide and execute under load"),
    "projection": ("projection", "catch up from zero, then verify and query"),
}


def main() -> int:
    """Run what was asked for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Run benches; all of them by default.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(BENCHES)}")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the figures there")
    parser.add_argument("--list", action="store_true", help="list the benches and stop")
    options = parser.parse_args()
    if options.list:
        for name, (_, what) in BENCHES.items():
            print(f"{name:18} {what}")
        return 0
    if unknown := [name for name in options.names if name not in BENCHES]:
        parser.error(f"no bench is called {unknown[0]!r}; known are {', '.join(BENCHES)}")
    configure_log("bench", "error")
    found = machine()
    print(describe_machine(found), flush=True)
    results: list[tuple[str, list[Row]]] = []
    failed = False
    try:
        with interrupted_by_signals():
            for name in options.names or BENCHES:
                failed = not _run(name, results) or failed
    except KeyboardInterrupt:
        print("interrupted; what was measured so far:", file=sys.stderr)
        failed = True
    print(render(results))
    if options.json is not None:
        options.json.write_text(to_json(found, results))
    return 1 if failed else 0


def _run(name: str, results: list[tuple[str, list[Row]]]) -> bool:
    started = time.monotonic()
    try:
        results.append((name, importlib.import_module(f"tests.bench.{BENCHES[name][0]}").run()))
    except Exception as error:  # noqa: BLE001 - one bench that cannot run must not cost the figures of the others
        print(f"{name}: could not be measured: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return False
    print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
