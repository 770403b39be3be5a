"""One child process: started so that it cannot outlive us, stopped within a bound.

Decides how a child is started (own session, no terminal input, output to a log file, `guard.py` in front) and how it
is stopped (SIGTERM to its group, a bound, SIGKILL). It must never decide *when*: that is `supervisor.py`.
"""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from deploy.stack import processes

GUARD = Path(__file__).with_name("guard.py")
LOG_TAIL_BYTES = 8192  # enough for a Java stack trace's first lines; read whenever a child dies
POLL_S = 0.02


class _Spawner:
    """The thread that starts all children.

    The kernel ties "the parent died" to the *thread* that forked. A child started from a pool thread would be killed
    when that thread ends, so one thread that lives as long as the process starts them all. It also never receives
    KeyboardInterrupt: a child that was started is always registered.
    """

    def __init__(self) -> None:
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.owner_pid = os.getpid()
        threading.Thread(target=self._run, name="spawner", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._requests.get()()

    def submit(self, start: Callable[[], "Child"]) -> "Future[Child]":
        future: Future[Child] = Future()

        def answer() -> None:
            try:
                future.set_result(start())
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                future.set_exception(error)

        self._requests.put(answer)
        return future


_spawner_lock = threading.Lock()
_spawner: _Spawner | None = None


def _the_spawner() -> _Spawner:
    global _spawner  # noqa: PLW0603 - one a process: the thread is the point
    with _spawner_lock:
        if _spawner is None or _spawner.owner_pid != os.getpid():
            _spawner = _Spawner()
        return _spawner


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """What to run.

    `ready` says whether the child does its work yet (None: as soon as it runs); it is asked every 50 ms from a thread
    of the supervisor and may block for a second or so. `depends_on` names children that must be ready before this one
    is started. `finishes`: exit code 0 is an end, not a death. `env` is added to the supervisor's environment.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    ready: Callable[[], bool] | None = None
    ready_timeout_s: float = 60.0
    stop_timeout_s: float = 5.0
    depends_on: Sequence[str] = ()
    finishes: bool = False


class Child:
    """A running (or ended) child process. Made by `spawn`."""

    def __init__(self, name: str, process: "subprocess.Popen[bytes]", log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self.started_s = time.monotonic()
        self._process = process

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its process group."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs, else the exit code (negative: the signal that ended it).

        Whoever sees the end first also ends what the child left behind in its group, while the dead child still
        holds the group's id: afterwards the number may belong to somebody else.
        """
        if self._process.returncode is None and hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    return None
                self._signal(signal.SIGKILL)
        return self._process.poll()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def rss_bytes(self) -> int:
        """Resident memory of this process, 0 when it is gone."""
        return processes.rss_bytes(self.pid)

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the whole group of the child, if it still runs."""
        if self.exit_code() is None:
            self._signal(number)

    def stop(self, timeout_s: float) -> int:
        """SIGTERM, wait at most `timeout_s`, SIGKILL. Returns the exit code. A Ctrl-C while waiting kills at once."""
        try:
            self.signal_group(signal.SIGTERM)
            self.wait(timeout_s)
        finally:
            self.kill()
        return self._process.wait()

    def kill(self) -> None:
        """SIGKILL to the group, grandchildren included; waits for the child's end."""
        self.signal_group(signal.SIGKILL)
        while self.exit_code() is None:
            time.sleep(POLL_S)

    def wait(self, timeout_s: float) -> int | None:
        """Exit code, or None when it still runs after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        while (code := self.exit_code()) is None and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return code

    def last_line(self) -> str:
        """Last line of the log that is not empty, "" when there is none."""
        lines = self.log_tail()
        return lines[-1] if lines else ""

    def log_tail(self) -> list[str]:
        """The end of the log, without empty lines."""
        return log_tail(self.log_path)


def log_tail(path: Path) -> list[str]:
    """The lines in the last 8 KiB of a log file that are not empty; [] when it cannot be read."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - LOG_TAIL_BYTES))
            text = log.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def spawn(
    name: str,
    argv: Sequence[str],
    *,
    log_path: Path,
    env: Mapping[str, str] | None = None,
    on_started: Callable[[Child], None] | None = None,
) -> Child:
    """Start `argv` with its output appended to `log_path`.

    `on_started` is called on the starting thread before this returns: what it registers is registered even if the
    caller is interrupted. Raises OSError when the log cannot be opened; a program that cannot be executed ends with
    exit code 127 and one line in the log.
    """

    def start() -> Child:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        guarded = [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), "--", *argv]
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                guarded,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        child = Child(name, process, log_path)
        if on_started is not None:
            on_started(child)
        return child

    return _the_spawner().submit(start).result()
