"""An operator's word reaches the stack that is meant, and no other, while a second one runs beside it.

One `crossbook up` and one `crossbook demo` in one state folder, both trading: the commands of the first must never land in the second.
"""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crossbook.domain.errors import StageError
from executors.stage import KILL_FILE
from schemas.records import ControlApplied, HaltedByFile, OrderRequested, Record
from tests.integration.whole_stack import (
    COMMAND_S,
    TEST_S,
    Log,
    Stack,
    answer,
    crossbook,
    patient,
    refused,
    started,
    wait_until,
)

pytestmark = [pytest.mark.alone, pytest.mark.stack, pytest.mark.timeout(TEST_S)]
#: Slow worlds: two stacks share the machine.
RATE = "60"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory."""
    return patient(tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[Stack]:
    """The stack that an operator means."""
    done = crossbook(folder, "up", "--detach", "--rate", RATE)
    assert (done.returncode, done.stderr) == (0, ""), done
    yield Stack(folder / ".crossbook")
    crossbook(folder, "down", "--stack", "up")


@pytest.fixture(scope="module")
def demo(folder: Path, up: Stack) -> Iterator[tuple[Stack, subprocess.Popen[str]]]:
    """The stack that runs beside it, started later."""
    stack = Stack(folder / ".crossbook" / "demo")
    with started(folder, "demo", "--seconds", "3600", "--rate", RATE) as process:
        wait_until("the demo's feeds", lambda: stack.pid("producers") or process.poll() is not None)
        assert process.poll() is None
        yield stack, process
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=COMMAND_S)


def records(stack: Stack, prefix: str) -> list[Record]:
    return Log(stack.kafka(prefix)).records("orders")


def words(stack: Stack, prefix: str) -> list[ControlApplied | HaltedByFile]:
    """What operators told an executor, as its journal has it."""
    return [record for record in records(stack, prefix) if isinstance(record, (ControlApplied, HaltedByFile))]


def kill_files(*stacks: Stack) -> list[Path]:
    return [file for stack in stacks if (file := stack.folder / KILL_FILE).exists()]


def by_name(folder: Path) -> dict[str, dict[str, Any]]:
    return {entry["stack"]: entry for entry in answer(folder, "status")}


def trading(entry: dict[str, Any]) -> str | None:
    """Trading state of a stack's only portfolio, None where it cannot be read."""
    (portfolio,) = entry["portfolios"]
    return portfolio["trading"].get("state")


def test_both_are_listed_and_the_first_stays_the_one_that_is_read(folder: Path, up: Stack, demo: Any) -> None:
    listed = by_name(folder)
    assert {name: (one["state"], one["feeds"], one["prefix"]) for name, one in listed.items()} == {
        "up": ("running", "sandbox", "crossbook."),
        "demo": ("running", "sandbox", "demo."),
    }
    assert [name for name, one in listed.items() if one["current"]] == ["up"]
    for one in listed.values():
        assert trading(one) == "running", one
        assert {"kafka", "execute", "decide"} <= {row["name"] for row in one["processes"]}
    done = crossbook(folder, "tail", "control", "-n", "1")
    assert "reading up" in done.stderr
    assert "--stack names another: demo" in done.stderr


def test_a_halt_does_not_guess(folder: Path, up: Stack, demo: Any) -> None:
    for command in (("halt",), ("halt", "--kill"), ("resume",), ("down",), ("pairs", "revoke", "any")):
        refused(folder, *command, code=2, says="2 stacks could be meant; name one with --stack: up (")
    assert words(up, "crossbook.") == words(demo[0], "demo.") == []
    assert kill_files(up, demo[0]) == []


def test_a_halt_reaches_the_stack_that_is_named_and_is_acknowledged(folder: Path, up: Stack, demo: Any) -> None:
    done = crossbook(folder, "halt", "--stack", "up", "--reason", "a test")
    assert (done.returncode, done.stderr) == (0, "")
    halt = words(up, "crossbook.")[-1]
    assert (halt.state, halt.scope) == ("halted", "all")
    assert f"journal number {halt.sequence}" in done.stdout
    assert words(demo[0], "demo.") == []
    listed = by_name(folder)
    assert (trading(listed["up"]), trading(listed["demo"])) == ("halted", "running")
    assert "an operator's halt" in crossbook(folder, "status").stdout
    assert crossbook(folder, "resume", "--stack", "up").returncode == 0
    assert trading(by_name(folder)["up"]) == "running"


def test_a_kill_reaches_the_stack_that_is_named(folder: Path, up: Stack, demo: Any) -> None:
    done = crossbook(folder, "halt", "--kill", "--stack", "up")
    assert (done.returncode, done.stderr) == (0, "")
    assert kill_files(up, demo[0]) == [up.folder / KILL_FILE]
    kill = words(up, "crossbook.")[-1]
    assert isinstance(kill, HaltedByFile)
    again = crossbook(folder, "halt", "--kill", "--stack", "up")
    assert again.returncode == 0, "it is in force already"
    assert not requested_after(up, kill.sequence)
    assert words(demo[0], "demo.") == []
    assert crossbook(folder, "resume", "--stack", "up").returncode == 0
    assert not (up.folder / KILL_FILE).exists()


def requested_after(stack: Stack, sequence: int) -> list[OrderRequested]:
    found = (record for record in records(stack, "crossbook.") if isinstance(record, OrderRequested))
    return [one for one in found if one.sequence > sequence]


def test_a_kill_works_while_kafka_does_not(folder: Path, up: Stack, demo: Any) -> None:
    pid = up.pid("kafka")
    assert pid is not None
    before = len(words(up, "crossbook."))
    os.kill(pid, signal.SIGSTOP)
    try:
        refused(folder, "halt", "--kill", "--stack", "up", code=1, says=f"wrote {up.folder / KILL_FILE}")
        assert (up.folder / KILL_FILE).is_file()
    finally:
        os.kill(pid, signal.SIGCONT)

    def journaled() -> bool:
        with contextlib.suppress(StageError):  # a broker that stood still is not whole at once
            return len(words(up, "crossbook.")) > before
        return False

    wait_until("the kill in the journal", journaled, pause_s=0.5)
    kill = words(up, "crossbook.")[-1]
    assert isinstance(kill, HaltedByFile)
    assert not requested_after(up, kill.sequence)
    assert crossbook(folder, "resume", "--stack", "up").returncode == 0


def test_an_executor_that_does_not_answer_is_named(folder: Path, up: Stack, demo: Any) -> None:
    pid = up.pid("execute")
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        refused(
            folder, "halt", "--stack", "up", code=1, says=f"(pid {pid}, journal crossbook.orders/0) has not answered"
        )
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until("the word to be applied", lambda: words(up, "crossbook.")[-1].state == "halted", pause_s=0.5)


def test_a_demo_ends_in_order_beside_another_stack(folder: Path, up: Stack, demo: Any) -> None:
    _, process = demo
    os.killpg(process.pid, signal.SIGINT)
    said, errors = process.communicate(timeout=COMMAND_S)
    assert (process.returncode, errors) == (0, ""), said[-2_000:]
    assert "--stack demo" in said
    assert by_name(folder)["demo"]["state"] == "kept"
    resumed = crossbook(folder, "resume")  # one stack runs: no guess any more
    assert (resumed.returncode, resumed.stderr) == (0, "")


def test_without_an_executor_the_word_stands_for_the_next_one(folder: Path, up: Stack, demo: Any) -> None:
    assert crossbook(folder, "down").returncode == 0
    refused(folder, "halt", code=2, says="2 stacks could be meant")
    refused(folder, "halt", "--stack", "up", code=1, says="no executor runs in the stack up")
    done = crossbook(folder, "up", "--detach", "--rate", RATE)
    assert (done.returncode, done.stderr) == (0, "")
    wait_until("the halt", lambda: trading(by_name(folder)["up"]) == "halted", pause_s=0.5)
