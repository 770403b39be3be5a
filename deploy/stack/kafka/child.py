"""An Apache Kafka broker of one's own: KRaft mode, one node, loopback only, as a child JVM.

Decides the broker's settings, formats its storage, and says when it answers. It must never listen anywhere but on
127.0.0.1 and never touch data outside the folder it was given. Nobody but `deploy/stack` may know that a broker is
embedded: everything else is handed `bootstrap`.
"""

import base64
import contextlib
import fcntl
import re
import shutil
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from deploy.stack.child import Child, ChildSpec, log_tail, spawn
from deploy.stack.errors import LocalStackError, PortInUseError, StartError
from deploy.stack.kafka.jars import ensure_jars, find_java
from deploy.stack.ports import LOOPBACK, free_ports, require_free
from deploy.stack.state import unusable

# 2 cores and ≤ 2 GB for the whole stack. A young generation of 200 MB collects every 3-12 s instead of every 0.7 s.
HEAP = ("-Xms384m", "-Xmx384m", "-Xmn200m")
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 10.0  # an orderly stop takes 0.5 s; a disk that hangs is not waited for longer
PORT_ATTEMPTS = 3  # a free port is not reserved: somebody may take it between the look and the bind
FREE_BYTES_MIN = 256 * 1024 * 1024
LOG_BYTES_MAX = 16 * 1024 * 1024

SETTINGS: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "BROKER",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",  # topics are declared once, in schemas/topics.py
    # One node: what Kafka replicates threefold by default exists once.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "group.initial.rebalance.delay.ms": "0",
    "offsets.retention.minutes": "2147483647",  # a state folder may rest for months: never
    # Every transaction.timeout.ms is 10 s (DESIGN 2.2). Expired ones are looked for every second, not every ten.
    "transaction.max.timeout.ms": "60000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # A broker that was killed is refused until its old session is over: 9 s by default, so 12.7 s until it answers.
    # 2 s is far above any pause of a 384 MB heap.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "400",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "2",
    "log.cleaner.dedupe.buffer.size": "16777216",  # 128 MB by default: a third of the heap
}


@dataclass(kw_only=True)
class KafkaServer:
    """A broker with its data in `folder`.

    `start()` or `with` runs it here and now; `child_spec()` gives it to a `Supervisor` instead (which restarts it).
    `port` None: a free one. Afterwards `bootstrap` is the address. Raises `KafkaJarsError`, `JavaUnusableError`,
    `PortInUseError`, `StateFolderUnusableError`, `StartError`.
    """

    folder: Path
    port: int | None = None
    log_path: Path | None = None
    cache: Path | None = None
    repositories: Mapping[str, str] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder).absolute()
        self.log_path = self.log_path or self.folder / "kafka.log"
        self._port_wanted = self.port
        self._controller_port = 0
        self._child: Child | None = None
        self._argv: tuple[str, ...] = ()
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:port`; known after `prepare()`, `start()` or `child_spec()`."""
        assert self.port is not None, "the port is chosen by prepare(), start() or child_spec()"
        return f"{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Pid of the JVM that `start()` started."""
        return self._child.pid if self._child else None

    def rss_bytes(self) -> int:
        """Resident memory of the JVM that `start()` started, 0 when none runs."""
        return self._child.rss_bytes() if self._child else 0

    def prepare(self) -> None:
        """Fetch the jars (once a user), choose ports, write the settings, format the storage (once a folder).

        Takes 0.1 s when all is there; jars about 7 s, formatting 1 s.
        """
        classpath = ":".join(str(jar) for jar in ensure_jars(self.cache, repositories=self.repositories))
        java = str(find_java())
        self._take_folder()
        try:
            self._settle(java, classpath)
        except BaseException:
            self.stop()
            raise

    def _settle(self, java: str, classpath: str) -> None:
        if self._port_wanted is None:
            self.port, self._controller_port = self._ports_before() or free_ports(2)
        else:
            require_free(self._port_wanted, "Kafka")
            self.port, (self._controller_port,) = self._port_wanted, free_ports(1)
        try:
            if (free_bytes := shutil.disk_usage(self.folder).free) < FREE_BYTES_MIN:
                raise StartError(
                    f"Kafka needs {FREE_BYTES_MIN >> 20} MiB on the disk of {self.folder}, {free_bytes >> 20} MiB are free: make room and run again"
                )
            self._settings_path.write_text(self._properties())
            self._roll_log()
        except OSError as error:
            raise unusable(self.folder, error) from error
        if not (self._data / "meta.properties").exists():
            self._format(java, classpath)
        self._argv = (java, *HEAP, *_jvm_options(), "-cp", classpath, "kafka.Kafka", str(self._settings_path))

    def _ports_before(self) -> tuple[int, int] | None:
        """Ports of the last start, if they are free again.

        A broker that was killed in the middle of a commit sends the commit's markers, when it starts again, to the address that
        it had. If nobody answers there, Kafka 4.1 to 4.3 call the transaction complete without them (KAFKA-20734): its outputs
        show up with the next transaction of the same producer, its offsets do not, and outputs are written twice.
        """
        with contextlib.suppress(OSError, PortInUseError):
            found = re.search(
                r"^listeners=BROKER://[^:]+:(\d+),CONTROLLER://[^:]+:(\d+)$", self._settings_path.read_text(), re.M
            )
            if found:
                broker, controller = int(found[1]), int(found[2])
                require_free(broker, "Kafka")
                require_free(controller, "Kafka")
                return broker, controller
        return None

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Prepare and run the broker; returns when it answers. You must call `stop()` afterwards."""
        assert self._child is None, "start() was called twice"
        for attempts_left in reversed(range(PORT_ATTEMPTS)):
            self.prepare()
            try:
                self._run(timeout_s)
            except PortInUseError:
                self.stop()
                if self._port_wanted is not None or attempts_left == 0:
                    raise
            except BaseException:
                self.stop()
                raise
            else:
                return

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Orderly stop within the bound, then SIGKILL (which the log survives); the folder is free afterwards."""
        if self._child is not None:
            self._child.stop(timeout_s)
            self._child = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def child_spec(self, name: str = "kafka") -> ChildSpec:
        """Prepare, and say how a supervisor runs the broker: on the same port at every restart.

        Keep this object while it runs (it holds the folder), and call `stop()` when the supervisor has stopped.
        """
        self.prepare()
        return ChildSpec(
            name=name,
            argv=self._argv,
            ready=self.answers,
            ready_timeout_s=START_TIMEOUT_S,
            stop_timeout_s=STOP_TIMEOUT_S,
        )

    def answers(self) -> bool:
        """Whether the broker lists its topics and has unfenced itself; waits half a second for it at most."""
        try:
            client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "socket.timeout.ms": 1000})
            return bool(client.list_topics(timeout=0.5).brokers)
        except KafkaException:
            return False

    def _take_folder(self) -> None:
        # Kafka locks its folder too late: a second broker writes into the first one's metadata log before it notices.
        if self._lock is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("ab")
        except OSError as error:
            raise unusable(self.folder, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise StartError(
                f"another broker uses the folder {self.folder}: stop it or choose another state folder"
            ) from None
        self._lock = lock

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _settings_path(self) -> Path:
        return self.folder / "server.properties"

    def _properties(self) -> str:
        addresses = {
            # The voters are named here and not in the log, so that a restart may choose other ports.
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            "listeners": f"BROKER://{LOOPBACK}:{self.port},CONTROLLER://{LOOPBACK}:{self._controller_port}",
            "advertised.listeners": f"BROKER://{LOOPBACK}:{self.port}",
            "log.dirs": str(self._data),
        }
        return "".join(f"{name}={value}\n" for name, value in {**SETTINGS, **addresses, **self.settings}.items())

    def _roll_log(self) -> None:
        assert self.log_path is not None
        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        if self.log_path.exists() and self.log_path.stat().st_size > LOG_BYTES_MAX:
            self.log_path.replace(self.log_path.with_suffix(".log.1"))

    def _format(self, java: str, classpath: str) -> None:
        options = (
            "-Xmx128m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
        )
        shutil.rmtree(self._data, ignore_errors=True)  # what an interrupted format left
        command = (
            java,
            *options,
            "-cp",
            classpath,
            "kafka.tools.StorageTool",
            "format",
            "-t",
            cluster_id(uuid.uuid4().bytes),
            "-c",
            str(self._settings_path),
        )
        try:
            answer = subprocess.run(
                command, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired as error:
            raise StartError(
                f"formatting Kafka's storage in {self._data} took more than 60 s: the machine is overloaded, run again"
            ) from error
        if answer.returncode != 0:
            shutil.rmtree(self._data, ignore_errors=True)  # half a format would be taken for a whole one
            raise StartError(
                f"Kafka's storage in {self._data} cannot be formatted: {_why(answer.stderr.splitlines() + answer.stdout.splitlines())}"
            )

    def _run(self, timeout_s: float) -> None:
        assert self.log_path is not None

        def register(child: Child) -> None:
            self._child = child

        with contextlib.suppress(OSError):
            self.log_path.open("ab").close()
        log_start = self.log_path.stat().st_size
        child = spawn("kafka", self._argv, log_path=self.log_path, on_started=register)
        deadline = time.monotonic() + timeout_s
        while not self.answers():
            code = child.exit_code()
            if code is None and time.monotonic() < deadline:
                continue
            lines = log_tail(self.log_path) if self.log_path.stat().st_size > log_start else []
            raise self._failure(code, lines, timeout_s)
        if child.exit_code() is not None:  # somebody else answers on our port
            raise PortInUseError(f"another broker answers on {self.bootstrap}: stop it or choose another port")

    def _failure(self, code: int | None, lines: list[str], timeout_s: float) -> LocalStackError:
        why = _why(lines)
        if "Address already in use" in "\n".join(lines):
            return PortInUseError(
                f"port {self.port} or {self._controller_port} on {LOOPBACK} was taken while Kafka started: run again or choose another port"
            )
        if code is None:
            return StartError(
                f"Kafka did not answer on {self.bootstrap} within {timeout_s:.0f} s: {why} (log: {self.log_path})"
            )
        return StartError(f"Kafka ended with code {code} while it was started: {why} (log: {self.log_path})")


def cluster_id(drawn: bytes) -> str:
    """A cluster id of 16 drawn bytes. It never begins with "-": the format tool would take that for an option."""
    assert len(drawn) == 16, "Kafka's ids have 16 bytes"
    return base64.urlsafe_b64encode(bytes([drawn[0] & 0x7F]) + drawn[1:]).rstrip(b"=").decode()


def _jvm_options() -> tuple[str, ...]:
    logger = "-Dorg.slf4j.simpleLogger."
    return (
        "-XX:+UseG1GC",
        "-XX:MaxGCPauseMillis=20",
        "-XX:+ExitOnOutOfMemoryError",  # a broker without memory is restarted, not nursed
        "-Djava.awt.headless=true",
        "-Djava.net.preferIPv4Stack=true",
        f"{logger}defaultLogLevel=warn",
        f"{logger}showDateTime=true",
        f"{logger}dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    )


def _why(lines: list[str]) -> str:
    """The line of a Java log that says what went wrong: the deepest cause, else an exception, else the last line."""
    if any("No space left on device" in line for line in lines):
        return "the disk is full: make room and run again"
    if any("Failed to acquire lock on file .lock" in line for line in lines):
        return "another broker uses the same folder: stop it or choose another state folder"
    causes = [line.strip() for line in lines if line.startswith("Caused by:")]
    thrown = [line.strip() for line in lines if re.match(r"[\w.$]*(Exception|Error)\b", line)]
    errors = [line.strip() for line in lines if " ERROR " in line or " FATAL " in line]
    chosen = causes[-1:] or thrown[-1:] or errors[-1:] or [line.strip() for line in lines[-1:]]
    return chosen[0] if chosen else "its log is empty"
