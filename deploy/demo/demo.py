"""`crossbook demo`: a whole run in one command, from an empty folder to a verified summary.

Start everything, show it live, and at the end of the time (or of the recording, or on Ctrl-C) end in order: no new trades, open
ones settled, the feeds stopped, the log read to its end, verified and summed up. The folder stays for `crossbook sql`.
"""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from crossbook.domain.errors import StageError
from crossbook.runtime.clock import now_ns
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import Settings, load_settings
from deploy.demo.summary import Summary, read_summary
from deploy.demo.view import plain_line, read_page, render_page, render_summary
from deploy.errors import StackError, UsageError
from deploy.lab.verify.verify import render_verification, verify_log
from deploy.operate.control import change_trading_state
from deploy.operate.lag import LagRow, lag_rows
from deploy.operate.trading import read_every_trading
from deploy.stack.attach import reader_client, sql_errors
from deploy.stack.progress import Progress
from deploy.stack.stack import ADVISERS, LocalStack, SandboxOptions, held_folder, wipe
from deploy.stack.stacks import current_folder, point_current, state_root
from deploy.stack.state import StateFolder
from executors.errors import ExecutorError
from producers.recordings.bbo.replay import Recording
from projections.clickhouse import queries

FOLDER = "demo"
PREFIX = "demo."
REFRESH_S = 1.0
PLAIN_REFRESH_S = 5.0
#: Demos that may run at once, each in a folder of its own.
DEMOS_MAX = 9
#: The executor hears of the end within a batch; on a machine that is busy that may take a while.
HEARD_S = 120.0
#: Faults of the paper venue that show every way a trade can end. Shares of orders, parts per million.
PAPER_FAULTS = {
    "reject_ppm": 40_000,
    "partial_ppm": 120_000,
    "vanish_ppm": 180_000,
    "late_ppm": 40_000,
    "wire_latency_ms": 80,
}
#: With these faults one unwind order in three misses: after the usual three attempts one trade in thirty would be stuck, and a
#: stuck trade halts its venue until a human comes.
UNWIND_ATTEMPTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """What `crossbook demo` was asked for."""

    seconds: float
    seed: int
    rate: float
    preset: str
    recording: tuple[Path, ...]
    fees: Path | None
    min_edge_cents: float | None
    speed: float
    json: bool


class Screen:
    """Where a run is shown: a live page on a terminal, plain lines elsewhere, nothing but errors with `--json`."""

    def __init__(self, options: DemoOptions) -> None:
        self.quiet = options.json
        self.console = Console(stderr=options.json, highlight=False)
        self.live = self.console.is_terminal and not options.json

    def say(self, text: str) -> None:
        """One line of progress."""
        if not self.quiet:
            self.console.print(Text(text, style="bright_black"), soft_wrap=True)

    @contextlib.contextmanager
    def updating(self) -> Iterator[Callable[[Any, str], None]]:
        """Yield what shows a refresh: (page, plain line)."""
        if self.live:
            with Live(console=self.console, refresh_per_second=4, screen=False) as live:
                yield lambda page, _line: live.update(page)
        else:
            yield lambda _page, line: None if self.quiet else self.console.print(line, soft_wrap=True)


def run_demo(options: DemoOptions) -> int:
    """Run the demo; return 0 when it verified without a mismatch.

    Raises:
        StackError: something could not be started, or a stage gave up.
        UsageError: a recording or fee file does not exist.
        RecordingError: they cannot be imported; nothing was started.
    """
    for file in (*options.recording, *([options.fees] if options.fees else [])):
        if not file.is_file():
            raise UsageError(f"{file} is no file")
    base = load_settings()
    if options.recording:
        Recording(
            options.recording, options.fees, base.kafka.partitions
        )  # refuses here what `import` would refuse later
    root = state_root(base)
    screen = Screen(options)
    ts_start_ns = now_ns()
    with _own_folder(root) as folder:
        wipe(folder)
        stack = LocalStack(folder, base, _overrides(base, options))
        try:
            _start(stack, options, screen)
            point_current(root, folder.path)
            with contextlib.suppress(KeyboardInterrupt):
                _watch(stack, options, screen)
            return _finish(stack, options, screen, ts_start_ns)
        finally:
            stack.stop()
            named = "" if current_folder(root) == folder.path.resolve() else f" --stack {folder.path.name}"
            screen.say(
                f"stopped; the log and the tables stay in {folder.path} (crossbook sql{named}, tail{named}, verify{named})"
            )


@contextlib.contextmanager
def _own_folder(root: Path) -> Iterator[StateFolder]:
    """Hold the first demo folder that no other demo holds."""
    names = [FOLDER, *(f"{FOLDER}-{number}" for number in range(2, DEMOS_MAX + 1))]
    free = next((name for name in names if StateFolder(root / name).holder_pid() is None), FOLDER)
    with held_folder(root / free) as folder:
        yield folder


def _overrides(base: Settings, options: DemoOptions) -> dict[str, dict[str, Any]]:
    overrides: dict[str, dict[str, Any]] = {"kafka": {"prefix": PREFIX}}
    if options.min_edge_cents is not None:
        overrides["decide"] = {"min_edge_micros": round(options.min_edge_cents * 10_000)}
    if options.recording:
        assert options.fees is not None
        overrides["recording"] = {
            "files": [str(file.absolute()) for file in options.recording],
            "fees_file": str(options.fees.absolute()),
            "speed": options.speed,
        }
    else:
        untouched = [name for name in PAPER_FAULTS if name not in base.paper.model_fields_set]
        overrides["paper"] = {"seed": options.seed} | {name: PAPER_FAULTS[name] for name in untouched}
        if "unwind_attempts_max" not in base.execute.model_fields_set:
            overrides["execute"] = {"unwind_attempts_max": UNWIND_ATTEMPTS}
    return overrides


def _start(stack: LocalStack, options: DemoOptions, screen: Screen) -> None:
    screen.say("starting Kafka and ClickHouse on loopback")
    stack.start_servers()
    if options.recording:
        screen.say("starting decide, execute and the projection")
        stack.start_stages()
        names = ", ".join(file.name for file in options.recording)
        screen.say(f"importing {names} at " + (f"×{options.speed:g}" if options.speed else "full speed"))
        stack.start_feed("import")
        return
    screen.say(f"starting the sandbox venues: {options.preset}, seed {options.seed}, {options.rate:g} updates/s")
    stack.start_sandbox(SandboxOptions(preset=options.preset, seed=options.seed, rate=options.rate))
    screen.say("starting decide, execute, the projection and both feeds")
    stack.start_stages()
    stack.start_feed("producers")


def _watch(stack: LocalStack, options: DemoOptions, screen: Screen) -> None:
    """Show the run until its time is up or its recording is over."""
    started = time.monotonic()
    seconds = 0.0 if options.recording else options.seconds
    source = "recording" if options.recording else f"sandbox {options.preset}"
    pause = REFRESH_S if screen.live else PLAIN_REFRESH_S
    with screen.updating() as show:
        while True:
            if failures := stack.failures():
                raise StackError("; ".join(failures))
            elapsed = time.monotonic() - started
            if options.recording and _finished(stack):
                return
            if seconds and elapsed >= seconds:
                return
            stack.write_status()
            if not screen.quiet:
                with contextlib.suppress(StackError, StageError), sql_errors():
                    client, database = reader_client(stack.settings)
                    if queries.stream_range(client, database)[1]:
                        page = read_page(
                            client, database, stack.settings, elapsed_s=elapsed, seconds=seconds, source=source
                        )
                        show(render_page(page), plain_line(page))
            left = seconds - (time.monotonic() - started) if seconds else pause
            time.sleep(max(0.05, min(pause, left)))


def _finished(stack: LocalStack) -> bool:
    return any(row["name"] == "import" and row["state"] == "finished" for row in stack.status())


def _finish(stack: LocalStack, options: DemoOptions, screen: Screen, ts_start_ns: int) -> int:
    """End in order and report; a second Ctrl-C goes straight to the stop."""
    settings = stack.settings
    if not options.recording:
        screen.say("no new trades; settling those that are open")
        # Not "halted": that would hold back the hedges and unwinds of open trades as well.
        if not change_trading_state(settings, "reduce_only", "all", "", "end of the demo", wait_s=HEARD_S):
            raise StackError(f"the executor has not heard of the demo's end within {HEARD_S:g} s; see its log")
        _await_settled(settings, screen)
    screen.say("stopping the feeds; reading the log to its end")
    stack.stop_group("feeds")
    stack.stop_group("venues")
    _await_drained(settings, screen)
    stack.stop_group("stages")
    screen.say("folding the log again")
    verification = verify_log(KafkaLog(settings.kafka))
    truth = None if options.recording else stack.folder.path / "truth.jsonl"
    summary = read_summary(settings, verification, truth_file=truth, ts_start_ns=ts_start_ns)
    (stack.folder.path / "demo.json").write_text(json.dumps(summary.as_dict()))
    _report(summary, settings, options, screen)
    for line in stack.silent_advisers():
        screen.say(f"without its advice: {line}")
    if verification.mismatches:
        screen.console.print(render_verification(verification))
    return 1 if verification.mismatches or stack.failures() else 0


def _report(summary: Summary, settings: Settings, options: DemoOptions, screen: Screen) -> None:
    if options.json:
        sys.stdout.write(json.dumps(summary.as_dict()) + "\n")
        sys.stdout.flush()
        return
    client, database = reader_client(settings)
    threshold = settings.decide.min_edge_micros
    screen.console.print(render_summary(summary, queries.best_edges(client, database), threshold))
    if not summary.intents:
        best = summary.best_net_micros
        why = (
            "no package ever cost less than its payout"
            if best is None
            else f"the best package kept {best / 10_000:.4f}¢ after fees"
        )
        screen.console.print(
            f"nothing was traded: {why}, an intent needs {threshold / 10_000:g}¢ (--min-edge changes that)"
        )


def _await_settled(settings: Settings, screen: Screen) -> None:
    """Wait until no trade is at work, as long as any of them still takes steps; what is open then is reported as it is."""
    progress = Progress(time.monotonic())
    while True:
        work: tuple[Any, ...] = ("the journal cannot be read",)
        with contextlib.suppress(StageError, ExecutorError):  # the executor or the broker is just being started again
            work = tuple(one for trading in read_every_trading(settings, now_ns()) for one in trading.work)
        if not work:
            return
        verdict = progress.look(time.monotonic(), work)
        if verdict != "moves":
            screen.say(f"{len(work)} trades are still open and {verdict}: they are reported as they are")
            return
        time.sleep(0.5)


def _await_drained(settings: Settings, screen: Screen) -> None:
    """Wait until every stage that a result rests on has read everything, however long that takes while it moves.

    Advice is not waited for: what it has not read is said.

    Raises:
        StackError: nothing moves any more; it says who stands still.
    """
    progress = Progress(time.monotonic())
    while True:
        rows: list[LagRow] | None = None
        with contextlib.suppress(BrokerAwayError):  # it hands over late on a machine that is busy
            rows = lag_rows(settings.kafka, sample_s=0.0)
        behind = [row for row in rows or () if row.lag_messages and row.group not in ADVISERS]
        if rows is not None and not behind:
            for row in rows:
                if row.lag_messages:
                    screen.say(
                        f"{row.group} is {row.lag_messages:,} records behind on {row.topic}; advice is not waited for"
                    )
            return
        position = frozenset((row.group, row.topic, row.partition, row.committed) for row in behind)
        verdict = progress.look(time.monotonic(), position)
        if verdict != "moves":
            who = "; ".join(f"{row.group} is {row.lag_messages:,} records behind on {row.topic}" for row in behind)
            raise StackError(f"{who or 'the broker does not tell how far the stages are'}, and {verdict}; see its log")
        time.sleep(0.3)
