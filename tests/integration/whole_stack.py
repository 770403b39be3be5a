"""The whole stack as a user has it: the command `crossbook` in a folder of its own, and what it left in its log.

Commands run as child processes without the environment's CROSSBOOK_*; conditions are awaited, never slept for.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Consumer, TopicPartition

from crossbook.log.reading import LogLine
from crossbook.runtime.kafka import committed_offsets, offset_range, open_consumer
from crossbook.runtime.kafka_log import read_partition
from crossbook.runtime.settings import KafkaSettings
from schemas.codec import load_codec
from schemas.errors import SchemaError
from schemas.records import Record
from schemas.topics import TOPICS
from tests.builders.places import REPOSITORY

COMMAND = (sys.executable, "-m", "deploy.cli")
#: Guards, not expectations: a machine that is busy with other things takes minutes for what usually takes a second.
COMMAND_S = 300.0
AWAIT_S = 300.0
#: One test of a whole stack, its fixtures included.
TEST_S = 1_500


def environment() -> dict[str, str]:
    """The environment without settings of crossbook, and with the project importable."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CROSSBOOK_")}
    return kept | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200"}


def patient(folder: Path) -> Path:
    """The working directory, with settings under which nothing comes too late to be traded: a busy machine must not decide what a test sees."""
    (folder / "crossbook.toml").write_text("[decide]\nintent_valid_ms = 60000\n[execute]\nlag_limit_ms = 60000\n")
    return folder


def crossbook(cwd: Path, *arguments: str, timeout_s: float = COMMAND_S) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


def answer(cwd: Path, *arguments: str, code: int = 0) -> Any:
    """What a command with `--json` prints, parsed; its exit code must be `code` and its stderr empty."""
    done = crossbook(cwd, *arguments, "--json")
    assert (done.returncode, done.stderr) == (code, ""), f"{arguments}: {done.stdout[:3000]}{done.stderr[-2000:]}"
    return json.loads(done.stdout)


def refused(cwd: Path, *arguments: str, code: int, says: str) -> None:
    """The command must end with `code` and one line on stderr that contains `says`."""
    done = crossbook(cwd, *arguments)
    assert (done.returncode, done.stdout) == (code, ""), f"{arguments}: {done}"
    assert done.stderr.startswith("crossbook: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr, done.stderr


@contextlib.contextmanager
def started(cwd: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on, in a process group of its own, as a terminal has it; killed at the end if it still runs."""
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_until(what: str, condition: Callable[[], Any], timeout_s: float = AWAIT_S, pause_s: float = 0.2) -> Any:
    """What the condition returns as soon as it is true; asking the broker costs the stack that is watched a part of its two cores."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, f"{what} did not happen within {timeout_s:g} s"
        time.sleep(pause_s)
    return value


def processes_of(cwd: Path) -> list[str]:
    """Processes that name the folder in their command line, zombies left out."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        line = " ".join(process.info["cmdline"] or ())
        if f"{cwd}/" in line and process.info["status"] != psutil.STATUS_ZOMBIE and process.pid != os.getpid():
            found.append(f"{process.pid} {line[:200]}")
    return found


class Log:
    """The log of a stack, by the address and the prefix that its state folder names."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.kafka = kafka
        self.codec = load_codec()

    def lines(self, topic: str, partition: int = 0) -> list[LogLine]:
        return list(read_partition(self.kafka, topic, partition))

    def records(self, topic: str, partition: int = 0) -> list[Record]:
        return [self.codec.decode(line.value) for line in self.lines(topic, partition)]

    def readable(self, topic: str) -> list[Record]:
        """The records of a topic without what cannot be decoded."""
        found = []
        for line in self.lines(topic):
            with contextlib.suppress(SchemaError):
                found.append(self.codec.decode(line.value))
        return found

    def end(self, topic: str) -> int:
        with self._consumer("observer") as consumer:
            return offset_range(consumer, TOPICS[topic].full_name(self.kafka.prefix), 0)[1]

    def committed(self, group: str, topic: str = "market") -> int:
        name = TOPICS[topic].full_name(self.kafka.prefix)
        with self._consumer(group) as consumer:
            return committed_offsets(consumer, [TopicPartition(name, 0)])[name, 0]

    @contextlib.contextmanager
    def _consumer(self, group: str) -> Iterator[Consumer]:
        consumer = open_consumer(self.kafka, group)
        try:
            yield consumer
        finally:
            consumer.close()


class Stack:
    """A stack that runs: its pids and addresses, read from its state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def description(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            described: dict[str, Any] = json.loads((self.folder / "stack.json").read_bytes())
            return described
        return {}

    def status(self) -> dict[str, dict[str, Any]]:
        with contextlib.suppress(OSError, ValueError):
            return {row["name"]: row for row in json.loads((self.folder / "status.json").read_bytes())}
        return {}

    def pid(self, name: str) -> int | None:
        """Pid of a child that runs."""
        row = self.status().get(name, {})
        return row["pid"] if row.get("state") == "running" else None

    def kill(self, name: str) -> int:
        """`kill -9` of a child; its pid."""
        pid = wait_until(f"{name} to run", lambda: self.pid(name))
        os.kill(pid, signal.SIGKILL)
        return int(pid)

    def kafka(self, prefix: str) -> KafkaSettings:
        return KafkaSettings(bootstrap=self.description()["addresses"]["kafka"], prefix=prefix)

    def await_back(self, name: str, killed: int) -> None:
        """Wait until a child that was killed runs again."""
        wait_until(f"{name} to be back", lambda: self.pid(name) not in {None, killed})
