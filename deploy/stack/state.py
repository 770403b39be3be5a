"""The state folder: one place on disk for one local stack, held by one process at a time.

Decides the layout, who holds the folder, and what is left of a holder that died. It must never start or stop a server,
and never follow a pid without checking that it is still the same process.

    .crossbook/
      lock            held with flock by the running `up` or `demo`; says whose pid
      stack.json      where everything listens and which children run; replaced atomically, readable by the owner only
      logs/NAME.log   one for each child
      kafka/ clickhouse/ checkpoints/
"""

import contextlib
import errno
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec

from deploy.stack.errors import StateFolderBusyError, StateFolderUnusableError
from deploy.stack.ports import free_ports
from deploy.stack.processes import same_process

__all__ = ["ChildRecord", "Stack", "StateFolder", "free_ports"]

DEFAULT_FOLDER = Path(".crossbook")
# Kafka's indexes, one segment each of a few topics and ClickHouse's parts fit in a third of this.
FREE_BYTES_MIN = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildRecord:
    """A child as `stack.json` remembers it: `started_s` is the kernel's start time (seconds since the epoch)."""

    name: str
    pid: int
    started_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A running stack: who supervises it, since when (seconds since the epoch), where its parts listen, its children.

    `addresses` may hold credentials of the loopback servers; the file is readable by its owner only.
    """

    pid: int
    started_s: float
    addresses: Mapping[str, str]
    children: tuple[ChildRecord, ...] = ()


class StateFolder:
    """The folder of one local stack.

    Reading (`stack`, `holder_pid`) needs nothing. Writing needs `acquire()` (or `with`), which makes the folder, takes
    the lock, and ends children that a dead predecessor left behind. Raises `StateFolderBusyError`, `StateFolderUnusableError`.
    """

    def __init__(self, path: Path | str = DEFAULT_FOLDER, *, free_bytes_min: int = FREE_BYTES_MIN) -> None:
        self.path = Path(path).absolute()
        self.logs = self.path / "logs"
        self.kafka = self.path / "kafka"
        self.clickhouse = self.path / "clickhouse"
        self.checkpoints = self.path / "checkpoints"
        self.stack_path = self.path / "stack.json"
        self.lock_path = self.path / "lock"
        self._free_bytes_min = free_bytes_min
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def log_path(self, name: str) -> Path:
        """Log file of the child `name`."""
        return self.logs / f"{name}.log"

    def acquire(self) -> None:
        """Make the folder, take its lock, end a dead predecessor's children. You must call `release()` afterwards."""
        assert self._lock is None, "acquire() was called twice"
        with self._translated():
            for folder in (self.path, self.logs, self.kafka, self.clickhouse, self.checkpoints):
                folder.mkdir(parents=True, exist_ok=True)
            (self.path / ".gitignore").write_text("*\n")
            self._lock = self._locked()
        try:
            self._require_space()
            self._end_strays()
            self.stack_path.unlink(missing_ok=True)
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Give the lock back and forget the running stack; the data stay. Does nothing when not held."""
        if self._lock is None:
            return
        with contextlib.suppress(OSError):
            self.stack_path.unlink(missing_ok=True)
            self._lock.truncate(0)
        self._lock.close()
        self._lock = None

    def holder_pid(self) -> int | None:
        """Pid of the live process that holds the folder (0 when its lock file does not say); None when nobody does."""
        try:
            with self.lock_path.open("r+") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return _pid_in(lock)
                return None
        except OSError:
            return None

    def stack(self) -> Stack | None:
        """The running stack; None when none runs, also when its supervisor died without taking leave and its pid is another's."""
        stack = self._read_stack()
        if stack is None or self.holder_pid() is None or not same_process(stack.pid, stack.started_s):
            return None
        return stack

    def write_stack(self, stack: Stack) -> None:
        """Replace `stack.json` atomically. Only the holder may."""
        assert self._lock is not None, "acquire() the state folder before writing to it"
        new = self.stack_path.with_suffix(".json.tmp")
        with self._translated():
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(stack), indent=2) + b"\n")
            new.replace(self.stack_path)

    def stop_holder(self, timeout_s: float = 30.0) -> bool:
        """Ask the holder to stop (SIGTERM) and wait. True when the folder is free, False when it is still held."""
        pid = self.holder_pid()
        if pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + timeout_s
        while self.holder_pid() is not None:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.05)
        return True

    def _locked(self) -> IO[str]:
        lock = self.lock_path.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _pid_in(lock)
            lock.close()
            raise StateFolderBusyError(
                f"the state folder {self.path} is in use by {f'pid {pid}' if pid else 'another process'}: "
                "stop it with `crossbook down`, or choose another folder",
                pid,
            ) from None
        except OSError:
            lock.close()
            raise
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return lock

    def _require_space(self) -> None:
        free_bytes = shutil.disk_usage(self.path).free
        if free_bytes < self._free_bytes_min:
            raise StateFolderUnusableError(
                f"only {free_bytes // 2**20} MiB are free on the disk of {self.path}, {self._free_bytes_min // 2**20} MiB are needed: "
                "free some space or choose another folder"
            )

    def _read_stack(self) -> Stack | None:
        try:
            return msgspec.json.decode(self.stack_path.read_bytes(), type=Stack)
        except (OSError, msgspec.DecodeError):
            return None

    def _end_strays(self) -> None:
        stack = self._read_stack()
        for child in stack.children if stack else ():
            if same_process(child.pid, child.started_s):
                with contextlib.suppress(OSError):
                    os.killpg(child.pid, signal.SIGKILL)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise unusable(self.path, error) from error


def unusable(path: Path, error: OSError) -> StateFolderUnusableError:
    """The one line that says why `path` cannot be written."""
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return StateFolderUnusableError(f"the disk of {path} is full: free some space or choose another folder")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return StateFolderUnusableError(
                f"{path} cannot be written ({error.strerror}): choose a folder that you own"
            )
        case errno.EEXIST | errno.ENOTDIR:
            return StateFolderUnusableError(f"{path} is not a folder: choose another one")
        case _:
            return StateFolderUnusableError(f"{path} cannot be used ({error.strerror}): choose another folder")


def _pid_in(lock: IO[str]) -> int:
    lock.seek(0)
    text = lock.read().strip()
    return int(text) if text.isdecimal() else 0
