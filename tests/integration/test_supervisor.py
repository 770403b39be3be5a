"""The supervisor on real processes: restarts, order of stopping, and nobody left behind however it ends."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from deploy.stack.child import GUARD, ChildSpec, spawn
from deploy.stack.errors import StartError
from deploy.stack.processes import process_start_s
from deploy.stack.supervisor import Supervisor, backoff_s

# A child that says when it starts and when it is asked to stop, in a file that all share.
CHILD = """
import os, signal, sys, time
name, journal = sys.argv[1:3]
def note(what):
    with open(journal, 'a') as file:
        file.write(f'{name} {what} {os.getpid()}\\n')
def stop(*_):
    note('stopped')
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
note('started')
print(name, 'runs', flush=True)
while True:
    time.sleep(0.05)
"""


#: Guards, not expectations: a machine that is busy with other things takes long to start a process.
WAIT_S = 120.0


def until(condition, timeout_s=WAIT_S):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def alive(pid):
    return process_start_s(pid) is not None


class Journal:
    def __init__(self, path):
        self.path = path
        path.touch()

    def lines(self):
        return [line.split() for line in self.path.read_text().splitlines()]

    def said(self, what):
        return [name for name, said, _ in self.lines() if said == what]

    def pids(self):
        return [int(pid) for _, said, pid in self.lines() if said == "started"]

    def spec(self, name, **rest):
        ready = rest.pop("ready", lambda: name in self.said("started"))
        return ChildSpec(name=name, argv=(sys.executable, "-c", CHILD, name, str(self.path)), ready=ready, **rest)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


def states(supervisor):
    return {status.name: status.state for status in supervisor.status()}


def test_starts_in_order_and_stops_in_reverse(journal, tmp_path):
    changes = []
    specs = [journal.spec("c", depends_on=["b"]), journal.spec("b", depends_on=["a"]), journal.spec("a")]
    supervisor = Supervisor(specs, tmp_path / "logs", on_change=lambda: changes.append(1))
    with supervisor:
        assert journal.said("started") == ["a", "b", "c"]
        status = supervisor.status()
        assert [(each.name, each.state, each.restarts, each.last_exit) for each in status] == [
            (name, "running", 0, None) for name in "abc"
        ]
        assert all(each.rss_bytes > 1_000_000 and each.uptime_s > 0 for each in status)
        assert [record.pid for record in supervisor.records()] == journal.pids()
        assert (tmp_path / "logs" / "b.log").read_text() == "b runs\n"
        assert len(changes) >= 6
    assert journal.said("stopped") == ["c", "b", "a"]
    assert states(supervisor) == {"a": "stopped", "b": "stopped", "c": "stopped"}
    assert not any(alive(pid) for pid in journal.pids())
    supervisor.stop()


def test_a_killed_child_is_started_again_and_the_others_run_on(journal, tmp_path):
    with Supervisor([journal.spec("a"), journal.spec("b", depends_on=["a"])], tmp_path) as supervisor:
        first, other = journal.pids()
        os.kill(first, signal.SIGKILL)
        until(lambda: journal.said("started").count("a") == 2)
        until(lambda: states(supervisor)["a"] == "running")
        status = supervisor.status()[0]
        assert (status.restarts, status.last_exit) == (1, -signal.SIGKILL)
        assert alive(other)
        assert journal.said("started").count("b") == 1


def test_a_child_that_keeps_dying_is_not_started_in_a_whirl(tmp_path):
    dying = ("sh", "-c", "sleep 0.3; echo no luck; exit 3")
    spec = ChildSpec(name="a", argv=dying, ready=lambda: supervisor.status()[0].restarts >= 3, ready_timeout_s=WAIT_S)
    supervisor = Supervisor([spec], tmp_path)
    began = time.monotonic()
    with supervisor:
        assert time.monotonic() - began >= sum(backoff_s(deaths) for deaths in (1, 2, 3)), "each start waited longer"
    assert states(supervisor) == {"a": "stopped"}


def test_a_child_that_is_never_ready_is_told_with_how_it_ended(tmp_path):
    spec = ChildSpec(name="a", argv=("sh", "-c", "echo no luck; exit 3"), ready=lambda: False, ready_timeout_s=1)
    # Where the machine is busy it may not have died yet.
    said = r"a was not ready within 1 s(, ended \d+ times, last with code 3: no luck|: its log is empty|: no luck)"
    with pytest.raises(StartError, match=said):
        Supervisor([spec], tmp_path).start()


def test_wrong_settings_are_reported_and_not_tried_again(journal, tmp_path):
    wrong = ChildSpec(
        name="decide",
        argv=(sys.executable, "-S", "-c", "print('fee file fees.toml is missing: name one'); raise SystemExit(78)"),
        ready=lambda: False,
        depends_on=["a"],
    )
    never = journal.spec("never", depends_on=["decide"])
    with pytest.raises(
        StartError, match=r"decide cannot run as it is set up: fee file fees\.toml is missing: name one"
    ):
        Supervisor([journal.spec("a"), wrong, never], tmp_path).start()
    assert journal.said("started") == ["a"]
    assert not any(alive(pid) for pid in journal.pids())


def test_wrong_settings_later_leave_the_others_running(journal, tmp_path):
    go = tmp_path / "go"
    wrong_then = f"while [ ! -e {go} ]; do sleep 0.05; done; echo key gone; exit 78"
    with Supervisor([journal.spec("a"), ChildSpec(name="late", argv=("sh", "-c", wrong_then))], tmp_path) as supervisor:
        go.touch()
        until(lambda: supervisor.failed() != [])
        assert [(each.name, each.last_exit, each.last_line, each.restarts) for each in supervisor.failed()] == [
            ("late", 78, "key gone", 0)
        ]
        assert states(supervisor)["a"] == "running"


def test_a_child_that_finishes_is_left_finished(tmp_path):
    with Supervisor([ChildSpec(name="import", argv=("sh", "-c", "exit 0"), finishes=True)], tmp_path) as supervisor:
        assert supervisor.wait_finished("import", WAIT_S)
        assert states(supervisor) == {"import": "finished"}


def test_a_program_that_does_not_exist_is_one_line(tmp_path):
    child = spawn("x", ("no-such-program",), log_path=tmp_path / "log")
    until(lambda: child.exit_code() is not None)
    assert "cannot start no-such-program: No such file or directory" in child.last_line()


def test_a_child_that_does_not_listen_is_killed_within_its_bound(tmp_path):
    deaf = "trap '' TERM; echo deaf; while :; do sleep 0.1; done"
    log = tmp_path / "deaf.log"
    spec = ChildSpec(
        name="deaf",
        argv=("sh", "-c", deaf),
        ready=lambda: log.exists() and b"deaf" in log.read_bytes(),
        stop_timeout_s=0.3,
    )
    supervisor = Supervisor([spec], tmp_path)
    supervisor.start()
    pid = supervisor.status()[0].pid
    supervisor.stop()
    assert not alive(pid)
    assert supervisor.status()[0].last_exit == -signal.SIGKILL


def test_what_a_dead_child_left_in_its_group_ends_with_it(tmp_path):
    child = spawn("parent", ("sh", "-c", "sleep 61 & echo $!; exec sleep 60"), log_path=tmp_path / "log")
    until(lambda: (tmp_path / "log").read_text().strip().isdecimal())
    grandchild = int((tmp_path / "log").read_text())
    os.kill(child.pid, signal.SIGKILL)
    until(lambda: child.exit_code() is not None)
    until(lambda: not alive(grandchild))


def test_the_watching_guard_ends_a_child_whose_parent_died(tmp_path):
    """What guards children where the kernel does not: the same guard, told to watch."""
    guard = str(GUARD)
    code = f"import os, subprocess, sys, time; subprocess.Popen([sys.executable, '-I', '-S', {guard!r}, '--watch', str(os.getpid()), '--', 'sh', '-c', 'echo $$; exec sleep 60'], start_new_session=True); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    child = int(parent.stdout.readline())
    parent.stdout.close()
    assert alive(child)
    parent.kill()
    parent.wait()
    until(lambda: not alive(child))


SUPERVISOR = """
import json, sys
from pathlib import Path
from deploy.stack.child import ChildSpec
from deploy.stack.supervisor import Supervisor, interrupted_by_signals
folder, journal, child, slow = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4] == 'slow'
def spec(name, after=()):
    ready = (lambda: False) if slow and name == 'b' else (lambda: f'{name} started' in journal.read_text())
    return ChildSpec(name=name, argv=(sys.executable, '-c', child, name, str(journal)), ready=ready, depends_on=after)
supervisor = Supervisor([spec('a'), spec('b', ['a']), spec('c', ['b'])], folder)
with interrupted_by_signals():
    try:
        with supervisor:
            print('up', flush=True)
            import time
            time.sleep(60)
    except KeyboardInterrupt:
        supervisor.stop()
        print('interrupted', json.dumps([each.state for each in supervisor.status()]), flush=True)
        sys.exit(130)
"""


def supervising(journal, tmp_path, how="quick"):
    argv = [sys.executable, "-c", textwrap.dedent(SUPERVISOR), str(tmp_path / "logs"), str(journal.path), CHILD, how]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, start_new_session=True)


def finish(process):
    process.kill()
    process.wait()
    process.stdout.close()


def test_no_orphan_after_the_supervisor_is_killed(journal, tmp_path):
    process = supervising(journal, tmp_path)
    try:
        assert process.stdout.readline() == "up\n"
        pids = journal.pids()
        assert len(pids) == 3
        assert all(alive(pid) for pid in pids)
        process.kill()
        until(lambda: not any(alive(pid) for pid in pids))
    finally:
        finish(process)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_running_stops_all_in_order(journal, tmp_path, number):
    process = supervising(journal, tmp_path)
    try:
        assert process.stdout.readline() == "up\n"
        os.killpg(process.pid, number)  # as a terminal does: to the whole group
        assert process.wait(WAIT_S) == 130
        assert journal.said("stopped") == ["c", "b", "a"]
    finally:
        finish(process)


def test_an_interrupt_while_starting_stops_what_was_started(journal, tmp_path):
    process = supervising(journal, tmp_path, "slow")
    try:
        until(lambda: journal.said("started") == ["a", "b"])
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(WAIT_S) == 130
        said = process.stdout.readline().split(" ", 1)
        assert (said[0], json.loads(said[1])) == ("interrupted", ["stopped"] * 3)
        assert journal.said("stopped") == ["b", "a"]
        assert "c" not in journal.said("started")
        assert not any(alive(pid) for pid in journal.pids())
    finally:
        finish(process)


@pytest.mark.parametrize("delay_ms", [0, 40, 90, 160, 250, 400])
def test_an_interrupt_at_any_moment_leaves_nobody(journal, tmp_path, delay_ms):
    process = supervising(journal, tmp_path)
    try:
        time.sleep(0.12 + delay_ms / 1000)
        os.killpg(process.pid, signal.SIGINT)
        process.wait(WAIT_S)
        until(lambda: not any(alive(pid) for pid in journal.pids()))
    finally:
        finish(process)


def test_the_terminals_interrupt_does_not_reach_children(tmp_path):
    ignored = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, flush=True)"
    child = spawn("x", (sys.executable, "-c", ignored), log_path=tmp_path / "log")
    assert child.wait(WAIT_S) == 0
    assert (tmp_path / "log").read_text() == "True\n"
    assert os.getpgid(0) != child.pid
