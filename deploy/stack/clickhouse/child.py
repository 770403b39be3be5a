"""The embedded ClickHouse as a child process, seen from the process that wants one.

Decides its port and its tokens, and says when it answers. It must never load the engine into this process: a crash of
the engine must cost one child. Everybody else is handed host, port, user and password, as for any ClickHouse server.
"""

import contextlib
import http.client
import os
import secrets
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from deploy.stack.child import Child, ChildSpec, log_tail, spawn
from deploy.stack.errors import PortInUseError, StartError
from deploy.stack.ports import LOOPBACK, free_ports, require_free
from deploy.stack.state import unusable

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 8.0
PORT_ATTEMPTS = 3
POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Tokens of both users of one folder."""

    default: str
    reader: str


@dataclass(kw_only=True)
class ClickHouseServer:
    """A ClickHouse with its data in `folder`, behind HTTP on 127.0.0.1.

    `start()` or `with` runs it here and now; `child_spec()` gives it to a `Supervisor`. Tokens are drawn once a folder
    and stay. User `default` may do everything, `reader` only read, within limits. Raises `PortInUseError`,
    `StateFolderUnusableError`, `StartError`.
    """

    folder: Path
    port: int = 0
    log_path: Path | None = None
    memory_mib: int = 768

    host = LOOPBACK
    username = "default"
    reader_username = "reader"

    def __post_init__(self) -> None:
        self.folder = Path(self.folder).absolute()
        self.log_path = self.log_path or self.folder / "clickhouse.log"
        self._port_wanted = self.port
        self._child: Child | None = None
        self._access: Access | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def password(self) -> str:
        """Token of the user `default`."""
        return self._tokens().default

    @property
    def reader_password(self) -> str:
        """Token of the user `reader`."""
        return self._tokens().reader

    @property
    def pid(self) -> int | None:
        """Pid of the server that `start()` started."""
        return self._child.pid if self._child else None

    def rss_bytes(self) -> int:
        """Resident memory of the server that `start()` started, 0 when none runs."""
        return self._child.rss_bytes() if self._child else 0

    def prepare(self) -> None:
        """Choose the port, make the folder and its tokens."""
        if self._port_wanted:
            require_free(self._port_wanted, "ClickHouse")
        else:
            (self.port,) = free_ports(1)
        self._tokens()

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Run the server; returns when it answers, warmed up. You must call `stop()` afterwards."""
        assert self._child is None, "start() was called twice"
        for attempts_left in reversed(range(PORT_ATTEMPTS)):
            self.prepare()
            try:
                self._run(timeout_s)
            except PortInUseError:
                self.stop()
                if self._port_wanted or attempts_left == 0:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Orderly stop within the bound, then SIGKILL. Does nothing when none runs."""
        if self._child is not None:
            self._child.stop(timeout_s)
            self._child = None

    def child_spec(self, name: str = "clickhouse") -> ChildSpec:
        """Prepare, and say how a supervisor runs the server: on the same port at every restart."""
        self.prepare()
        return ChildSpec(
            name=name,
            argv=self._argv(),
            ready=self.answers,
            ready_timeout_s=START_TIMEOUT_S,
            stop_timeout_s=STOP_TIMEOUT_S,
        )

    def answers(self) -> bool:
        """Whether `/ping` is answered (it is only after the warm-up)."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=1.0)
        try:
            connection.request("GET", "/ping")
            return connection.getresponse().read() == b"Ok.\n"
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _argv(self) -> tuple[str, ...]:
        module = "deploy.stack.clickhouse.server"
        return (
            sys.executable,
            "-m",
            module,
            "--folder",
            str(self.folder),
            "--port",
            str(self.port),
            "--memory-mib",
            str(self.memory_mib),
        )

    def _tokens(self) -> Access:
        if self._access is None:
            path = self.folder / "tokens.json"
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
                    self._access = msgspec.json.decode(path.read_bytes(), type=Access)
                if self._access is None:
                    self._access = Access(default=secrets.token_urlsafe(18), reader=secrets.token_urlsafe(18))
                    new = path.with_suffix(".tmp")
                    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                        file.write(msgspec.json.encode(self._access))
                    new.replace(path)
            except OSError as error:
                raise unusable(self.folder, error) from error
        return self._access

    def _run(self, timeout_s: float) -> None:
        assert self.log_path is not None

        def register(child: Child) -> None:
            self._child = child

        log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        child = spawn("clickhouse", self._argv(), log_path=self.log_path, on_started=register)
        deadline = time.monotonic() + timeout_s
        while not self.answers():
            code = child.exit_code()
            if code is None and time.monotonic() < deadline:
                time.sleep(POLL_S)
                continue
            lines = log_tail(self.log_path) if self.log_path.stat().st_size > log_start else []
            raise self._failure(code, lines, timeout_s)

    def _failure(self, code: int | None, lines: list[str], timeout_s: float) -> PortInUseError | StartError:
        why = lines[-1].strip() if lines else "its log is empty"
        if "Address already in use" in why:
            return PortInUseError(
                f"port {self.port} on {self.host} was taken while ClickHouse started: run again or choose another port"
            )
        if code is None:
            return StartError(
                f"ClickHouse did not answer on {self.host}:{self.port} within {timeout_s:.0f} s: {why} (log: {self.log_path})"
            )
        return StartError(f"ClickHouse ended with code {code} while it was started: {why} (log: {self.log_path})")
