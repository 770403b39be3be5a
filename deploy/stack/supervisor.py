"""Starts children in the order of their dependencies, restarts those that die, stops all in reverse.

Decides only about processes: when to start, when to restart, when to give up. It must never know what a child does,
and never leave one behind: children die with this process even when it is killed (`guard.py`).

    waiting ──▶ starting ──▶ running ──▶ backing_off ──▶ starting …
                   │            ├──▶ finished   (exit code 0 of a child that finishes)
                   │            └──▶ failed     (exit code 78: its settings are wrong, a restart mends nothing)
                   └──▶ backing_off │ failed │ finished
    every state ──▶ stopped
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from deploy.stack.child import Child, ChildSpec, spawn
from deploy.stack.errors import LocalStackError, SpecError, StartError
from deploy.stack.processes import process_start_s
from deploy.stack.state import ChildRecord

BACKOFF_MIN_S = 0.2
BACKOFF_MAX_S = 5.0
HEALTHY_AFTER_S = 10.0  # a child that ran this long begins its back-off anew
POLL_S = 0.05
JOIN_TIMEOUT_S = 2.0  # longer than a readiness probe may block
EX_CONFIG = 78  # <sysexits.h>: what a stage says when its settings are wrong


class ChildState(Enum):
    """Where a child stands; see the diagram above."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    BACKING_OFF = "backing_off"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


TRANSITIONS: dict[ChildState, frozenset[ChildState]] = {
    ChildState.WAITING: frozenset({ChildState.STARTING, ChildState.STOPPED}),
    ChildState.STARTING: frozenset(
        {ChildState.RUNNING, ChildState.BACKING_OFF, ChildState.FINISHED, ChildState.FAILED, ChildState.STOPPED}
    ),
    ChildState.RUNNING: frozenset({ChildState.BACKING_OFF, ChildState.FINISHED, ChildState.FAILED, ChildState.STOPPED}),
    ChildState.BACKING_OFF: frozenset({ChildState.STARTING, ChildState.STOPPED}),
    ChildState.FINISHED: frozenset({ChildState.STOPPED}),
    ChildState.FAILED: frozenset({ChildState.STOPPED}),
    ChildState.STOPPED: frozenset(),
}
SETTLED = frozenset({ChildState.RUNNING, ChildState.FINISHED})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStatus:
    """A child now.

    `uptime_s` of the present run, 0 when it does not run; `last_exit` of the run before (negative: the signal that
    ended it); `last_line` of its log, filled in after a death.
    """

    name: str
    pid: int | None
    state: str
    restarts: int
    uptime_s: float
    rss_bytes: int
    last_exit: int | None
    last_line: str = ""


def start_order(specs: Sequence[ChildSpec]) -> tuple[ChildSpec, ...]:
    """The children, each after all that it depends on, else in the given order. Raises `SpecError`."""
    by_name = {spec.name: spec for spec in specs}
    if len(by_name) != len(specs):
        raise SpecError(f"two children have the same name among {[spec.name for spec in specs]}: rename one")
    ordered: dict[str, ChildSpec] = {}
    while len(ordered) < len(specs):
        ready = [
            spec for spec in specs if spec.name not in ordered and all(name in ordered for name in spec.depends_on)
        ]
        if not ready:
            rest = [spec for spec in specs if spec.name not in ordered]
            unknown = {name for spec in rest for name in spec.depends_on if name not in by_name}
            what = f"depend on unknown {sorted(unknown)}" if unknown else "depend on each other in a circle"
            raise SpecError(f"the children {[spec.name for spec in rest]} {what}: mend depends_on")
        ordered.update((spec.name, spec) for spec in ready)
    return tuple(ordered.values())


def backoff_s(deaths_in_a_row: int) -> float:
    """How long to wait before the next start after so many deaths in a row: 0.2 s doubling to 5 s."""
    assert deaths_in_a_row >= 1, "no death, no back-off"
    return float(min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(deaths_in_a_row - 1, 16)))


def state_after_exit(code: int, *, finishes: bool) -> ChildState:
    """What an exit code makes of a child that nobody asked to stop."""
    if code == EX_CONFIG:
        return ChildState.FAILED
    if code == 0 and finishes:
        return ChildState.FINISHED
    return ChildState.BACKING_OFF


class _Runner:
    """Keeps one child running, on a thread of its own."""

    def __init__(
        self, spec: ChildSpec, log_path: Path, needs: "Sequence[_Runner]", changed: Callable[[], None]
    ) -> None:
        self.spec = spec
        self.log_path = log_path
        self.state = ChildState.WAITING
        self.restarts = 0
        self.last_exit: int | None = None
        self.last_line = ""
        self.settled = threading.Event()  # was ready once, or never will be
        self._needs = needs
        self._changed = changed
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._child: Child | None = None
        self._ready_since_s: float | None = None
        self._deaths_in_a_row = 0
        self.thread = threading.Thread(target=self._run, name=f"runner-{spec.name}", daemon=True)

    def status(self) -> ChildStatus:
        child = self._child
        runs = child is not None and child.exit_code() is None
        return ChildStatus(
            name=self.spec.name,
            pid=child.pid if child and runs else None,
            state=self.state.value,
            restarts=self.restarts,
            uptime_s=time.monotonic() - child.started_s if child and runs else 0.0,
            rss_bytes=child.rss_bytes() if child and runs else 0,
            last_exit=self.last_exit,
            last_line=self.last_line,
        )

    def ask_to_stop(self) -> None:
        """No further start; the child that runs is left to `stop()`."""
        self._stopping.set()

    def stop(self, *, at_once: bool = False) -> None:
        """Stop the child within its bound; afterwards none runs and none will."""
        self._stopping.set()
        child = self._registered()
        if child is not None:
            self.last_exit = child.stop(0.0 if at_once else self.spec.stop_timeout_s)
        if self.state is not ChildState.STOPPED:
            self._move(ChildState.STOPPED)
        self.settled.set()

    def join(self) -> None:
        """Wait until the thread has seen the stop: afterwards nothing of it calls `changed`."""
        if self.thread.is_alive():
            self.thread.join(JOIN_TIMEOUT_S)

    def _registered(self) -> Child | None:
        with self._lock:
            return self._child

    def _register(self, child: Child) -> None:
        with self._lock:
            self._child = child
            stopping = self._stopping.is_set()
        if stopping:  # stop() may have looked before we were there
            child.kill()

    def _run(self) -> None:
        while not all(runner.settled.is_set() for runner in self._needs):
            if self._stopping.wait(POLL_S):
                return
        if any(runner.state is ChildState.FAILED for runner in self._needs):
            return
        while not self._stopping.is_set():
            self._move(ChildState.STARTING)
            code = self._one_run()
            if code is None:
                return
            self.last_exit = code
            if self._child is not None:
                self.last_line = self._child.last_line()
            self._move(state_after_exit(code, finishes=self.spec.finishes))
            if self.state is not ChildState.BACKING_OFF:
                self.settled.set()
                return
            if self._stopping.wait(backoff_s(self._deaths_in_a_row)):
                return
            self.restarts += 1

    def _one_run(self) -> int | None:
        """Start the child and wait for its end. None: we are stopping, and `stop()` sees to the child."""
        self._ready_since_s = None
        try:
            child = spawn(
                self.spec.name, self.spec.argv, log_path=self.log_path, env=self.spec.env, on_started=self._register
            )
        except OSError as error:
            self.last_line = f"its log {self.log_path} cannot be written: {error.strerror}"
            self._deaths_in_a_row += 1
            return 1
        while not self._stopping.is_set():
            code = child.exit_code()
            if code is not None:
                ready_s = time.monotonic() - self._ready_since_s if self._ready_since_s else 0.0
                self._deaths_in_a_row = 1 if ready_s >= HEALTHY_AFTER_S else self._deaths_in_a_row + 1
                return code
            if self._ready_since_s is None and self._is_ready():
                self._ready_since_s = time.monotonic()
                self.last_line = ""
                self._move(ChildState.RUNNING)
                self.settled.set()
            self._stopping.wait(POLL_S)
        return None

    def _is_ready(self) -> bool:
        try:
            return self.spec.ready is None or self.spec.ready()
        except Exception as error:  # noqa: BLE001 - whatever a probe raises, the child is not ready
            self.last_line = f"its readiness probe raised {error!r}"
            return False

    def _move(self, state: ChildState) -> None:
        with self._lock:
            if self.state is ChildState.STOPPED:
                return
            assert state in TRANSITIONS[self.state], f"{self.spec.name}: {self.state} cannot become {state}"
            self.state = state
        with contextlib.suppress(LocalStackError):  # a full disk under stack.json must not end the supervision
            self._changed()


class Supervisor:
    """Runs children until it is told to stop. Use with `with`, or call `start()` and, whatever happens, `stop()`.

    Logs go to `logs/NAME.log`. `on_change` is called (from threads of the supervisor) whenever a child changes its
    state: the place to rewrite `stack.json`.
    """

    def __init__(self, specs: Sequence[ChildSpec], logs: Path, *, on_change: Callable[[], None] | None = None) -> None:
        self._on_change = on_change or (lambda: None)
        self._runners: dict[str, _Runner] = {}
        for spec in start_order(specs):
            needs = [self._runners[name] for name in spec.depends_on]
            self._runners[spec.name] = _Runner(spec, logs / f"{spec.name}.log", needs, self._on_change)
        self._started = False
        self._stopped = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start all; returns when each child was ready once. A Ctrl-C or a failure on the way stops what was started.

        Raises `StartError` when a child fails for good (exit code 78), or is not ready within its time.
        """
        assert not self._started, "a supervisor runs once: make another"
        self._started = True
        try:
            for runner in self._runners.values():
                runner.thread.start()
            for runner in self._runners.values():
                self._await(runner)
        except BaseException:
            self.stop()
            raise

    def _await(self, runner: _Runner) -> None:
        # In the order of dependencies: when we come to a child, all that it needs is ready and it is being started.
        deadline = time.monotonic() + runner.spec.ready_timeout_s
        while not runner.settled.wait(POLL_S):
            self._raise_failed()
            if time.monotonic() > deadline:
                status = runner.status()
                line = runner.last_line or "its log is empty"
                died = (
                    f", ended {status.restarts + 1} times, last with code {status.last_exit}"
                    if status.last_exit is not None
                    else ""
                )
                raise StartError(
                    f"{runner.spec.name} was not ready within {runner.spec.ready_timeout_s:.0f} s{died}: {line} (log: {runner.log_path})"
                )
        self._raise_failed()

    def _raise_failed(self) -> None:
        for runner in self._runners.values():
            if runner.state is ChildState.FAILED:
                raise StartError(
                    f"{runner.spec.name} cannot run as it is set up: {runner.last_line} (log: {runner.log_path})"
                )

    def stop(self) -> None:
        """Stop all in reverse order, each within its bound. Ctrl-C meanwhile kills those that are left. May be repeated."""
        if self._stopped:
            return
        for runner in self._runners.values():
            runner.ask_to_stop()
        at_once = False
        for runner in reversed(self._runners.values()):
            try:
                runner.stop(at_once=at_once)
            except KeyboardInterrupt:
                at_once = True
                runner.stop(at_once=True)
        for runner in self._runners.values():
            runner.join()
        self._stopped = True

    def status(self) -> list[ChildStatus]:
        """All children, in the order of their start."""
        return [runner.status() for runner in self._runners.values()]

    def records(self) -> tuple[ChildRecord, ...]:
        """Those that run, as `stack.json` keeps them."""
        pairs = [(status.name, status.pid) for status in self.status() if status.pid is not None]
        starts = [(name, pid, process_start_s(pid)) for name, pid in pairs]
        return tuple(
            ChildRecord(name=name, pid=pid, started_s=started_s)
            for name, pid, started_s in starts
            if started_s is not None
        )

    def failed(self) -> list[ChildStatus]:
        """Children that will not be started again because their settings are wrong."""
        return [status for status in self.status() if status.state == ChildState.FAILED.value]

    def wait_finished(self, name: str, timeout_s: float) -> bool:
        """Whether the child `name` has finished (or failed for good) within the time."""
        deadline = time.monotonic() + timeout_s
        while self._runners[name].state not in (ChildState.FINISHED, ChildState.FAILED, ChildState.STOPPED):
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_S)
        return True


@contextlib.contextmanager
def interrupted_by_signals(*numbers: signal.Signals) -> Iterator[None]:
    """Make SIGTERM and SIGHUP (or `numbers`) raise KeyboardInterrupt in the main thread, so that `with` blocks unwind.

    Main thread only. Wrap the whole life of the stack in it: `crossbook down` sends SIGTERM.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    chosen = numbers or (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in chosen}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
