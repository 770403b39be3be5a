"""NautilusTrader beside us: the same deltas, its backtest engine, its own environment.

Decides nothing of ours. The environment is made once in the user cache and never mixes with the project's: the two want other
versions of the same libraries. Without a package index the bench says so and compares nothing.
"""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np

from schemas.records import BookDelta, BookSnapshot

#: The newest release for the interpreter that runs the bench.
VERSION = "1.221.0" if sys.version_info < (3, 12) else "1.231.0"
SCRIPT = Path(__file__).with_name("nautilus_deltas.py")


class NautilusAbsentError(Exception):
    """It could not be installed here; the text says why."""


def environment() -> Path:
    """Interpreter of an environment that has NautilusTrader; made when it is not there yet.

    Raises NautilusAbsentError when it cannot be installed.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "crossbook" / f"nautilus-{VERSION}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if not (folder / ".installed").exists():
        venv.create(folder, with_pip=True, clear=True)
        done = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"nautilus_trader=={VERSION}"],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise NautilusAbsentError(f"nautilus_trader {VERSION} could not be installed: {last}")
        (folder / ".installed").touch()
    return python


def write_deltas(records: list[BookSnapshot | BookDelta], numbers: dict[str, int], file: Path) -> int:
    """Write every level of the records, in order, as the script reads them; return how many. `numbers` numbers the instruments."""
    rows: list[tuple[int, int, int, int, int]] = []
    for one in records:
        number, ts = numbers[one.instrument_id], one.ts_received_ns
        rows += [(number, 1, price, size, ts) for price, size in zip(one.bid_prices, one.bid_sizes, strict=True)]
        rows += [(number, 0, price, size, ts) for price, size in zip(one.ask_prices, one.ask_sizes, strict=True)]
    columns = np.array(rows, dtype=np.int64).T
    names = ("instrument", "is_bid", "price_micros", "size_micros", "ts_ns")
    np.savez(file, **dict(zip(names, columns, strict=True)))
    return len(rows)


def run_nautilus(file: Path) -> dict[str, float]:
    """Run the deltas of a file: deltas, calls, load_s, run_s, rss_mb.

    Raises NautilusAbsentError when it is not there or fails.
    """
    bare = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run([environment(), SCRIPT, file], capture_output=True, text=True, check=False, env=bare)
    if done.returncode:
        raise NautilusAbsentError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result
