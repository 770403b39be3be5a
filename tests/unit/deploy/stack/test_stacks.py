"""Which stack a command means: never a guess where something is changed, never the files of a dead process."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.document import commands
from deploy.errors import StackError, UsageError
from deploy.stack.processes import process_start_s
from deploy.stack.stacks import (
    ADDRESS,
    COMMANDS,
    SETTINGS_FILE,
    UP,
    FoundStack,
    choose,
    choose_stack,
    current_folder,
    find_stacks,
    own_settings,
    point_current,
)
from deploy.stack.state import Stack, StateFolder

ROOT = Path("/somewhere/.crossbook")


def stack(name, state="kept", since_s=0.0):
    folder = ROOT if name in {UP, ADDRESS} else ROOT / name
    return FoundStack(name=name, folder=folder, state=state, prefix=f"{name}.", feeds="sandbox", since_s=since_s, pid=7)


UP_RUNS, UP_KEPT, UP_STARTS = stack(UP, "running", 5), stack(UP, "kept", 5), stack(UP, "starting", 5)
DEMO_RUNS, DEMO_KEPT = stack("demo", "running", 9), stack("demo", "kept", 9)
JUNE_KEPT = stack("june", "kept", 7)
BROKER = stack(ADDRESS, "by address")


@pytest.mark.parametrize(
    ("found", "use", "wanted", "meant"),
    [
        # One that runs is the one; what is only kept is not meant by a command that changes something.
        ((UP_RUNS,), "operates", "", UP),
        ((UP_RUNS, DEMO_KEPT), "operates", "", UP),
        ((UP_RUNS, DEMO_KEPT, JUNE_KEPT), "writes", "", UP),
        ((UP_KEPT, DEMO_RUNS), "operates", "", "demo"),
        # Several that run, or one that runs and one that starts: no guess.
        ((UP_RUNS, DEMO_RUNS), "operates", "", UsageError),
        ((UP_RUNS, DEMO_RUNS), "writes", "", UsageError),
        ((UP_STARTS, DEMO_RUNS), "operates", "", UsageError),
        ((UP_RUNS, BROKER), "operates", "", UsageError),
        ((UP_RUNS, DEMO_RUNS), "operates", UP, UP),
        ((UP_RUNS, DEMO_RUNS), "operates", "demo", "demo"),
        ((UP_RUNS, DEMO_RUNS), "operates", str(ROOT / "demo"), "demo"),
        ((UP_RUNS, DEMO_KEPT), "operates", "demo", "demo"),
        ((UP_RUNS, BROKER), "operates", ADDRESS, ADDRESS),
        # None runs: the only one that is kept, else no guess.
        ((DEMO_KEPT,), "writes", "", "demo"),
        ((UP_KEPT, DEMO_KEPT), "writes", "", UsageError),
        ((UP_KEPT, DEMO_KEPT), "operates", "", UsageError),
        ((UP_KEPT, BROKER), "operates", "", ADDRESS),
        # Reading chooses: what runs, then what is current, then what is newest.
        ((UP_RUNS, DEMO_KEPT), "reads", "", UP),
        ((UP_KEPT, DEMO_KEPT), "reads", "", "demo"),
        ((UP_KEPT, JUNE_KEPT), "reads", "", "june"),
        ((UP_RUNS, DEMO_RUNS), "reads", "", "demo"),
        ((UP_RUNS, DEMO_RUNS), "reads", UP, UP),
        ((UP_STARTS, DEMO_KEPT), "reads", "", "demo"),
        # Nothing there, or not that.
        ((), "reads", "", StackError),
        ((), "operates", "", StackError),
        ((), "operates", "demo", UsageError),
        ((UP_RUNS,), "operates", "demo", UsageError),
        ((UP_RUNS,), "reads", "demo", UsageError),
    ],
)
def test_choice(found, use, wanted, meant):
    if isinstance(meant, str):
        assert choose(found, use, wanted, current=ROOT / "demo").stack.name == meant
        return
    with pytest.raises(meant) as refused:
        choose(found, use, wanted, current=ROOT / "demo")
    assert "\n" not in str(refused.value)
    if meant is UsageError:
        for one in found:
            assert one.describe() in str(refused.value)


def test_a_command_that_chose_says_what_it_reads():
    assert choose((UP_RUNS,), "reads").note == ""
    assert choose((UP_RUNS, DEMO_KEPT), "operates").note == ""
    note = choose((UP_RUNS, DEMO_KEPT), "reads").note
    assert UP_RUNS.describe() in note
    assert "--stack names another: demo" in note


def test_a_stack_is_described_by_all_that_tells_it_from_another():
    said = DEMO_RUNS.describe()
    for part in (
        "demo",
        str(ROOT / "demo"),
        "paper on sandbox",
        "prefix demo.",
        "running, pid 7",
        "1970-01-01 00:00:09",
    ):
        assert part in said
    assert "kept" in DEMO_KEPT.describe()


def test_every_command_is_in_the_table_and_can_be_told_the_stack():
    there = {" ".join(one.words): one.command for one in commands()}
    bare = {name for name in COMMANDS if " --" not in name}
    assert bare == set(there)
    for name in set(COMMANDS) - bare:
        command, _, option = name.partition(" --")
        assert any(f"--{option}" in one.opts for one in there[command].params), name
    with_option = {name for name, one in there.items() if any("--stack" in param.opts for param in one.params)}
    assert with_option == {name for name in bare if COMMANDS[name] != "nothing"}


def settled(folder, prefix="crossbook."):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SETTINGS_FILE).write_text(
        f'state_dir = "{folder}"\n[kafka]\nprefix = "{prefix}"\nbootstrap = "127.0.0.1:1"\n'
    )
    return folder


@contextlib.contextmanager
def running(folder, pid=None, started_s=None):
    """A stack's folder as its supervisor holds it; this process, if no other is named."""
    pid = os.getpid() if pid is None else pid
    started_s = process_start_s(pid) if started_s is None else started_s
    with StateFolder(settled(folder)) as held:
        held.write_stack(Stack(pid=pid, started_s=started_s, addresses={}))
        yield


def left(folder, pid, started_s):
    """What a supervisor leaves in its folder when it is killed."""
    with running(folder, pid, started_s):
        kept = (folder / "stack.json").read_bytes()
    (folder / "stack.json").write_bytes(kept)


def test_found_are_the_state_folder_itself_and_the_folders_in_it(tmp_path):
    root = tmp_path / ".crossbook"
    assert find_stacks(root) == []
    settled(root)
    settled(root / "demo", "demo.")
    (root / "logs").mkdir()
    found = find_stacks(root)
    assert [(one.name, one.state, one.prefix) for one in found] == [
        (UP, "kept", "crossbook."),
        ("demo", "kept", "demo."),
    ]


def test_files_of_a_dead_process_do_not_run(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    started_s = process_start_s(ended.pid) or 0.0
    ended.wait()
    left(tmp_path / "dead", ended.pid, started_s)
    left(tmp_path / "another", os.getpid(), 1.0)  # its pid is another process's by now
    with running(tmp_path / "alive"), running(tmp_path / "held by another", os.getpid(), 1.0):
        found = {one.name: one.state for one in find_stacks(tmp_path)}
    assert found == {"another": "kept", "alive": "running", "dead": "kept", "held by another": "starting"}


def test_a_folder_that_is_held_without_a_stack_is_starting(tmp_path):
    settled(tmp_path / "kafka")
    with StateFolder(tmp_path):
        (found,) = [one for one in find_stacks(tmp_path) if one.name == UP]
        assert (found.state, found.pid) == ("starting", os.getpid())


def test_the_lock_of_a_broker_makes_its_folder_no_stack(tmp_path):
    with StateFolder(tmp_path / "kafka"):
        assert find_stacks(tmp_path) == []


def test_a_demo_never_becomes_current_while_another_stack_runs(tmp_path):
    settled(tmp_path)
    settled(tmp_path / "demo")
    point_current(tmp_path, tmp_path / "demo")
    assert current_folder(tmp_path) == tmp_path / "demo"
    with running(tmp_path):
        point_current(tmp_path, tmp_path)
        point_current(tmp_path, tmp_path / "demo")
        assert current_folder(tmp_path) == tmp_path
    point_current(tmp_path, tmp_path / "demo")
    assert current_folder(tmp_path) == tmp_path / "demo"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a state folder, and no setting of another one."""
    for name in [name for name in os.environ if name.startswith("CROSSBOOK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_any_stack_it_is_the_broker_of_the_settings(here):
    assert choose_stack("halt").stack.state == "by address"
    with pytest.raises(UsageError, match="no stack 'demo'"):
        choose_stack("halt", "demo")


def test_an_address_and_a_stack_that_runs_are_two(here, monkeypatch):
    with running(here / ".crossbook"):
        assert choose_stack("halt").stack.name == UP
        monkeypatch.setenv("CROSSBOOK_KAFKA__BOOTSTRAP", "127.0.0.1:2")
        with pytest.raises(UsageError, match="2 stacks could be meant"):
            choose_stack("halt")
        assert choose_stack("halt", UP).stack.name == UP
        assert choose_stack("halt", ADDRESS).stack.state == "by address"
        reading = choose_stack("lag")
    assert (reading.stack.state, [one.name for one in reading.others]) == ("by address", [UP])


def test_a_folder_anywhere_can_be_named(here, tmp_path_factory):
    elsewhere = settled(tmp_path_factory.mktemp("elsewhere"), "other.")
    with pytest.raises(UsageError, match="no stack"):  # a file of settings alone makes no stack
        choose_stack("halt", str(elsewhere))
    StateFolder(elsewhere).kafka.mkdir()
    assert choose_stack("halt", str(elsewhere)).stack.prefix == "other."
    settled(here / ".crossbook")
    assert choose_stack("halt", ".crossbook").stack.name == UP


def test_what_operates_a_stack_reads_its_own_settings_alone(here, monkeypatch):
    folder = settled(here / ".crossbook")
    monkeypatch.setenv("CROSSBOOK_KAFKA__PREFIX", "another.")
    monkeypatch.setenv("CROSSBOOK_STATE_DIR", "/nowhere")
    settings = own_settings(folder)
    assert (settings.kafka.prefix, settings.state_dir) == ("crossbook.", str(folder))
    with pytest.raises(StackError, match="cannot be read"):
        own_settings(here)
