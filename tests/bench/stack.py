"""A local stack for a bench: real servers and stages in a temporary folder, gone afterwards whatever happens.

Decides the limits that a bench lifts and how CPU and memory are read. Must never signal a process that it did not start.
"""

import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

import psutil

from crossbook.domain.limits import CASH_MICROS
from crossbook.runtime.settings import Settings
from deploy.stack.child import Child, spawn
from deploy.stack.stack import LocalStack
from deploy.stack.state import StateFolder

PREFIX = "bench."
#: Limits out of the way: a bench of speed must not measure refusals.
UNLIMITED: dict[str, Any] = {
    "cash_micros": dict.fromkeys(CASH_MICROS, 10**15),
    "cost_per_leg_micros": 10**14,
    "category_cost_micros": 10**15,
    "pairs_open_max": 10_000,
    "daily_stop_ppm": 1_000_000,
    "weekly_stop_ppm": 1_000_000,
    "monthly_stop_ppm": 1_000_000,
}


@contextlib.contextmanager
def bench_stack(**overrides: Mapping[str, Any]) -> Iterator[LocalStack]:
    """A stack with its servers running; sections of settings are overridden by keyword."""
    path = Path(tempfile.mkdtemp(prefix="crossbook-bench-"))
    merged = {"execute": UNLIMITED, **overrides, "kafka": {"prefix": PREFIX, **overrides.get("kafka", {})}}
    try:
        with StateFolder(path) as folder:
            stack = LocalStack(folder, Settings(), merged)
            try:
                stack.start_servers()
                yield stack
                failures = stack.failures()
                assert not failures, f"a stage gave up: {'; '.join(failures)}"
            finally:
                stack.stop()
    finally:
        shutil.rmtree(path, ignore_errors=True)


class Generator:
    """The generator as a child of this process; see tests.bench.generator."""

    def __init__(
        self, stack: LocalStack, *, rate: float, seconds: float, plants: float = 0.0, top_share: float = 0.1
    ) -> None:
        self._result = stack.folder.path / "generator.json"
        self._log = stack.folder.log_path("generator")
        argv = [
            sys.executable, "-m", "tests.bench.generator", "--settings", str(stack.settings_file), "--rate", str(rate),
            "--seconds", str(seconds), "--plants", str(plants), "--top-share", str(top_share), "--result", str(self._result),
        ]  # fmt: skip
        self._child: Child = spawn("generator", argv, log_path=self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.stop(10.0)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._child.pid

    def finish(self) -> dict[str, Any]:
        """Stop it and read what it did."""
        code = self._child.stop(40.0)
        assert code == 0, f"the generator ended with {code}: {self._child.last_line()}"
        result: dict[str, Any] = json.loads(self._result.read_text())
        assert not result["refused"], (
            f"the broker fell behind: {result['refused']} events did not fit the generator's buffer"
        )
        return result


class Usage(NamedTuple):
    """CPU time so far, s, and resident memory, bytes, of one process."""

    cpu_s: float
    rss_bytes: int


def usage(pids: Mapping[str, int]) -> dict[str, Usage]:
    """What each process has used; those that are gone are left out."""
    found = {}
    for name, pid in pids.items():
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            times = process.cpu_times()
            found[name] = Usage(times.user + times.system, process.memory_info().rss)
    return found


def pids_of(stack: LocalStack, **others: int) -> dict[str, int]:
    """Every child of a stack that runs, and others by name."""
    return {row["name"]: row["pid"] for row in stack.status() if row["pid"]} | others


class CpuWatch:
    """CPU between its making and `text`, in percent of a core."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._before = usage(pids)
        self._started = time.monotonic()
        self._busy = _busy_s()

    def percent(self) -> dict[str, float]:
        """By process."""
        elapsed = time.monotonic() - self._started
        after = usage(self._pids)
        return {
            name: 100 * (one.cpu_s - self._before[name].cpu_s) / elapsed
            for name, one in after.items()
            if name in self._before
        }

    def text(self) -> str:
        """One line, largest first, with what the whole machine did meanwhile."""
        elapsed = time.monotonic() - self._started
        shares = sorted(self.percent().items(), key=lambda item: -item[1])
        whole = 100 * (_busy_s() - self._busy) / elapsed
        ours = sum(share for _, share in shares)
        parts = ", ".join(f"{name} {share:.0f}" for name, share in shares if share >= 0.5)
        return f"CPU % of a core: {parts}; ours {ours:.0f}, others on the machine {max(0.0, whole - ours):.0f}"


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))
