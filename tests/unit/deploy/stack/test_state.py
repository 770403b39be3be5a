"""The state folder: one holder, a stack.json that is whole or absent, one clear line when it cannot be used."""

import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from deploy.stack.errors import StateFolderBusyError, StateFolderUnusableError
from deploy.stack.processes import process_start_s, same_process
from deploy.stack.state import ChildRecord, Stack, StateFolder, free_ports, unusable

STACK = Stack(
    pid=os.getpid(),
    started_s=process_start_s(os.getpid()),
    addresses={"kafka": "127.0.0.1:9092"},
    children=(ChildRecord(name="decide", pid=7, started_s=2.5),),
)
HOLD = "import sys, time; from deploy.stack.state import StateFolder; f = StateFolder(sys.argv[1]); f.acquire(); print('held', flush=True); time.sleep(60)"


def holder(path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    process.stdout.close()
    return process


def end(process):
    process.kill()
    process.wait()


def test_layout(tmp_path):
    with StateFolder(tmp_path / "a" / ".crossbook") as folder:
        assert {each.name for each in folder.path.iterdir()} == {
            "lock",
            "logs",
            "kafka",
            "clickhouse",
            "checkpoints",
            ".gitignore",
        }
        assert folder.log_path("decide") == folder.path / "logs" / "decide.log"
        assert folder.lock_path.read_text() == f"{os.getpid()}\n"


def test_second_holder_is_refused_by_name(tmp_path):
    process = holder(tmp_path)
    try:
        with pytest.raises(
            StateFolderBusyError, match=rf"in use by pid {process.pid}: stop it with `crossbook down`"
        ) as refused:
            StateFolder(tmp_path).acquire()
        assert refused.value.pid == process.pid
        assert "\n" not in str(refused.value)
        assert StateFolder(tmp_path).holder_pid() == process.pid
    finally:
        end(process)


def test_folder_of_a_killed_holder_is_free(tmp_path):
    end(holder(tmp_path))
    folder = StateFolder(tmp_path)
    assert folder.holder_pid() is None
    with folder:
        assert folder.holder_pid() == os.getpid()
    assert folder.holder_pid() is None


def test_strays_of_a_killed_holder_are_ended_and_strangers_are_not(tmp_path):
    stray = subprocess.Popen(["sleep", "60"], start_new_session=True)
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        with StateFolder(tmp_path) as folder:
            children = (
                ChildRecord(name="stray", pid=stray.pid, started_s=process_start_s(stray.pid)),
                ChildRecord(name="reused", pid=stranger.pid, started_s=process_start_s(stranger.pid) - 100),
            )
            folder.write_stack(Stack(pid=1, started_s=0.0, addresses={}, children=children))
            kept = folder.stack_path.read_bytes()
        (tmp_path / "stack.json").write_bytes(kept)
        with StateFolder(tmp_path):
            assert stray.wait(timeout=60) == -signal.SIGKILL
            assert stranger.poll() is None
    finally:
        end(stray)
        end(stranger)


def test_stack_round_trip_is_private_and_gone_after_release(tmp_path):
    folder = StateFolder(tmp_path)
    with folder:
        assert folder.stack() is None
        folder.write_stack(STACK)
        assert StateFolder(tmp_path).stack() == STACK
        assert stat.S_IMODE(folder.stack_path.stat().st_mode) == 0o600
        assert not folder.stack_path.with_suffix(".json.tmp").exists()
    assert folder.stack() is None


def test_stack_of_a_dead_holder_does_not_run(tmp_path):
    with StateFolder(tmp_path) as folder:
        folder.write_stack(STACK)
        kept = folder.stack_path.read_bytes()
    folder.stack_path.write_bytes(kept)
    assert folder.stack() is None
    folder.stack_path.write_bytes(kept[: len(kept) // 2])
    assert folder.stack() is None


def test_only_the_holder_writes(tmp_path):
    with pytest.raises(AssertionError, match="acquire"):
        StateFolder(tmp_path).write_stack(STACK)


def test_stop_holder(tmp_path):
    process = holder(tmp_path)
    try:
        assert StateFolder(tmp_path).stop_holder(timeout_s=60)
        assert process.wait(timeout=60) == -signal.SIGTERM
        assert StateFolder(tmp_path).stop_holder(timeout_s=0)
    finally:
        end(process)


def test_too_little_room_is_said_before_anything_runs(tmp_path):
    folder = StateFolder(tmp_path, free_bytes_min=1 << 60)
    with pytest.raises(StateFolderUnusableError, match="MiB are needed: free some space"):
        folder.acquire()
    assert folder.holder_pid() is None


def test_a_full_disk_is_one_line(tmp_path):
    with StateFolder(tmp_path) as folder:
        folder.stack_path.with_suffix(".json.tmp").symlink_to("/dev/full")
        with pytest.raises(
            StateFolderUnusableError, match=r"^the disk of .* is full: free some space or choose another folder$"
        ):
            folder.write_stack(STACK)


@pytest.mark.parametrize(
    ("number", "words"),
    [("ENOSPC", "is full"), ("EACCES", "cannot be written"), ("ENOTDIR", "is not a folder"), ("EIO", "cannot be used")],
)
def test_errors_of_the_disk_say_how_to_mend(tmp_path, number, words):
    import errno

    code = getattr(errno, number)
    assert words in str(unusable(tmp_path, OSError(code, os.strerror(code))))


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(StateFolderUnusableError, match="is not a folder"):
        StateFolder(tmp_path / "x").acquire()


def test_free_ports_differ_and_can_be_bound():
    ports = free_ports(20)
    assert len(set(ports)) == 20
    assert all(1024 <= port < 65536 for port in ports)


def test_same_process():
    mine_s = process_start_s(os.getpid())
    assert same_process(os.getpid(), mine_s)
    assert not same_process(os.getpid(), mine_s - 60)
    ended = subprocess.Popen(["true"])
    started_s = process_start_s(ended.pid) or time.time()
    ended.wait()
    assert not same_process(ended.pid, started_s)
