"""The local stack as a whole: servers, stages and feeds, started in order, stopped in order, described in the state folder.

Three supervisors, because an orderly end has an order: first the feeds fall silent, then the stages read the log to its end,
then the servers go. Whoever runs a stack holds its folder; `current` in the state folder names the stack that the commands
(`sql`, `lag`, `tail`, …) read by default.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import tomli_w
import yaml

from crossbook.runtime.kafka import create_topics
from crossbook.runtime.settings import Settings, load_settings
from deploy.errors import StackError
from deploy.stack.child import ChildSpec
from deploy.stack.clickhouse.child import ClickHouseServer
from deploy.stack.errors import StartError
from deploy.stack.kafka.child import KafkaServer
from deploy.stack.ports import free_ports
from deploy.stack.processes import process_start_s
from deploy.stack.stacks import (
    ABOUT_FILE,
    SETTINGS_FILE,
    STATUS_FILE,
    About,
    choose_stack,
    find_stacks,
    point_current,
    state_root,
)
from deploy.stack.state import Stack, StateFolder
from deploy.stack.supervisor import Supervisor, interrupted_by_signals
from schemas.topics import group_of

DETACHED_START_S = 180.0
#: Stages that only advise: no run fails because of them.
ADVISERS = frozenset({"leadlag"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """Which world the sandbox plays."""

    preset: str
    seed: int
    rate: float


def write_settings(settings: Settings, file: Path) -> None:
    """Write the settings as TOML, readable by the owner only (they hold the loopback servers' tokens)."""
    partial = file.with_suffix(".tmp")
    partial.touch(mode=0o600)
    partial.write_bytes(tomli_w.dumps(settings.model_dump(mode="json")).encode())
    partial.replace(file)


class LocalStack:
    """A stack in a folder that the caller holds (`StateFolder.acquire`). Call `stop` whatever happens."""

    def __init__(self, folder: StateFolder, base: Settings, overrides: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder = folder
        self.settings_file = folder.path / SETTINGS_FILE
        self._base = base
        self._overrides = {section: dict(values) for section, values in overrides.items()}
        self._supervisors: list[tuple[str, Supervisor]] = []
        self._status_lock = threading.Lock()
        self._kafka: KafkaServer | None = None  # holds the lock of the broker's folder
        self._silent: list[str] = []
        self._about = About(feeds="none", started_s=process_start_s(os.getpid()) or 0.0)
        self.settings = base

    def start_servers(self) -> None:
        """Start Kafka, ClickHouse and the registry, write the settings that name them, create the topics."""
        kafka = self._kafka = KafkaServer(folder=self.folder.kafka, log_path=self.folder.log_path("kafka"))
        clickhouse = ClickHouseServer(folder=self.folder.clickhouse, log_path=self.folder.log_path("clickhouse"))
        specs = [kafka.child_spec(), clickhouse.child_spec()]
        (registry_port,) = free_ports(1)
        self._merge("kafka", bootstrap=kafka.bootstrap)
        self._merge(
            "clickhouse",
            host=clickhouse.host,
            port=clickhouse.port,
            username=clickhouse.username,
            password=clickhouse.password,
        )
        self._merge("registry", host="127.0.0.1", port=registry_port)
        self._write_settings()
        self._tell_feeds("none")
        specs.append(self._stage("registry"))
        self._supervise("servers", specs)
        create_topics(self.settings.kafka)

    def start_sandbox(self, options: SandboxOptions) -> dict[str, Any]:
        """Start the sandbox venues and point the settings at them; return what the sandbox says of itself."""
        self._tell_feeds("sandbox")
        addresses = self.folder.path / "sandbox.json"
        addresses.unlink(missing_ok=True)
        (port,) = free_ports(1)
        argv = [
            sys.executable, "-m", "deploy.sandbox",
            "--preset", options.preset, "--seed", str(options.seed), "--rate", str(round(options.rate)),
            "--port", str(port), "--address-file", str(addresses), "--truth-file", str(self.folder.path / "truth.jsonl"),
        ]  # fmt: skip
        spec = ChildSpec(name="sandbox", argv=argv, ready=addresses.is_file, ready_timeout_s=30)
        self._supervise("venues", [spec])
        described: dict[str, Any] = json.loads(addresses.read_text())
        key_file = self.folder.path / "sandbox-key.pem"
        key_file.touch(mode=0o600)
        key_file.write_text(described["kalshi"]["private_key_pem"])
        pairs_file = self.folder.path / "pairs.yaml"
        pairs_file.write_text(yaml.safe_dump(sandbox_pairs(described), sort_keys=False))
        self._merge(
            "polymarket",
            gamma_url=described["polymarket"]["gamma_url"],
            clob_url=described["polymarket"]["clob_url"],
            ws_url=described["polymarket"]["market_socket_url"],
        )
        self._merge(
            "kalshi",
            rest_url=described["kalshi"]["rest_url"],
            ws_url=described["kalshi"]["socket_url"],
            key_id=described["kalshi"]["key_id"],
            key_file=str(key_file),
        )
        self._merge("catalog", pairs_file=str(pairs_file))
        spot = described["binance"]
        self._merge("binance", ws_url=spot["socket_url"], symbols=tuple(spot["symbols"]))
        led = [pair["kalshi"]["ticker"] for pair in described["pairs"] if pair["pair"] == spot["leads"]]
        if led:
            self._merge("leadlag", references={f"binance:{spot['symbols'][0]}": f"kalshi:{led[0]}"})
        self._write_settings()
        return described

    def start_stages(self) -> None:
        """Start decide, an executor for each portfolio and the projection, and leadlag where the settings want it."""
        executors = [self._executor(portfolio) for portfolio in self.settings.portfolio_names]
        self._supervise("stages", [self._stage("project"), *executors, self._stage("decide")])
        if self.settings.leadlag.enabled:
            try:
                self._supervise("stages", [self._stage("leadlag")])
            except StartError as error:  # advice never stops what it advises
                self._silent.append(str(error))

    def start_feed(self, stage: str) -> Supervisor:
        """Start the stage that writes `market`: `producers`, or `import` for a recording."""
        if self._about.feeds == "none":
            self._tell_feeds("recording" if stage == "import" else "venues")
        return self._supervise("feeds", [self._stage(stage, finishes=stage == "import", stop_timeout_s=8)])

    def stop_group(self, name: str) -> None:
        """Stop one group (feeds, stages, venues or servers), if it runs."""
        for entry in [entry for entry in self._supervisors if entry[0] == name]:
            entry[1].stop()
            self._supervisors.remove(entry)
        self.write_status()

    def stop(self) -> None:
        """Stop everything that still runs, newest first. A Ctrl-C meanwhile makes it faster, not incomplete."""
        while self._supervisors:
            _, supervisor = self._supervisors[-1]
            try:
                supervisor.stop()
            except KeyboardInterrupt:
                continue
            self._supervisors.pop()
        if self._kafka is not None:
            self._kafka.stop()

    def status(self) -> list[dict[str, Any]]:
        """One row a child process."""
        return [
            {
                "group": group,
                "name": status.name,
                "pid": status.pid,
                "state": status.state,
                "restarts": status.restarts,
                "uptime_s": round(status.uptime_s, 1),
                "rss_mb": round(status.rss_bytes / 2**20),
                "last_exit": status.last_exit,
                "last_line": status.last_line,
            }
            for group, supervisor in self._supervisors
            for status in supervisor.status()
        ]

    def failures(self) -> list[str]:
        """One line for each child that will not be started again and that the stack needs."""
        return [f"{name}: {line}" for name, line in self._failed() if name not in ADVISERS]

    def silent_advisers(self) -> list[str]:
        """One line for each adviser that will not be started again: the stack goes on without its advice."""
        return self._silent + [f"{name}: {line}" for name, line in self._failed() if name in ADVISERS]

    def _failed(self) -> list[tuple[str, str]]:
        return [(s.name, s.last_line) for _, supervisor in self._supervisors for s in supervisor.failed()]

    def write_status(self) -> None:
        """Describe the running stack for other commands."""
        with self._status_lock:
            records = tuple(record for _, supervisor in self._supervisors for record in supervisor.records())
            addresses = {
                "kafka": self.settings.kafka.bootstrap,
                "clickhouse": f"{self.settings.clickhouse.host}:{self.settings.clickhouse.port}",
                "registry": f"http://{self.settings.registry.host}:{self.settings.registry.port}",
            }
            self.folder.write_stack(
                Stack(
                    pid=os.getpid(),
                    started_s=process_start_s(os.getpid()) or 0.0,
                    addresses=addresses,
                    children=records,
                )
            )
            partial = self.folder.path / f"{STATUS_FILE}.tmp"
            partial.write_text(json.dumps(self.status()))
            partial.replace(self.folder.path / STATUS_FILE)

    def override(self, section: str, **values: Any) -> None:
        """Change settings of stages that are started from now on."""
        self._merge(section, **values)
        self._write_settings()

    def _tell_feeds(self, feeds: str) -> None:
        self._about = msgspec.structs.replace(self._about, feeds=feeds)
        partial = self.folder.path / f"{ABOUT_FILE}.tmp"
        partial.write_bytes(msgspec.json.encode(self._about))
        partial.replace(self.folder.path / ABOUT_FILE)

    def _merge(self, section: str, **values: Any) -> None:
        self._overrides.setdefault(section, {}).update(values)

    def _write_settings(self) -> None:
        merged = self._base.model_dump()
        for section, values in self._overrides.items():
            merged[section] = merged[section] | values
        merged["state_dir"] = str(self.folder.path)
        self.settings = Settings(**merged)
        write_settings(self.settings, self.settings_file)

    def _executor(self, portfolio: str) -> ChildSpec:
        return self._stage("execute", "--portfolio", portfolio, child=group_of(portfolio))

    def _stage(self, name: str, *arguments: str, child: str = "", **options: Any) -> ChildSpec:
        argv = [sys.executable, "-m", "deploy.stage", name, "--settings", str(self.settings_file), *arguments]
        return ChildSpec(name=child or name, argv=argv, **options)

    def _supervise(self, group: str, specs: Sequence[ChildSpec]) -> Supervisor:
        supervisor = Supervisor(specs, self.folder.logs, on_change=self._changed)
        self._supervisors.append((group, supervisor))
        supervisor.start()
        self.write_status()
        return supervisor

    def _changed(self) -> None:
        # Called from a supervisor's threads, also while the stack is still being put together.
        with contextlib.suppress(OSError):
            self.write_status()


def sandbox_pairs(described: Mapping[str, Any]) -> dict[str, Any]:
    """A pairs file for the sandbox's world, in which both venues state the same rule for each subject."""
    evidence = "sandbox: both venues state the same rule for this subject"
    payouts = {
        outcome: {"polymarket": amount, "kalshi": amount, "evidence": evidence}
        for outcome, amount in (
            ("yes", "1"),
            ("no", "0"),
            *((other, "0.5") for other in ("void", "tie", "cancelled", "postponed")),
        )
    }
    return {
        "pairs": [
            {
                "pair_id": pair["pair"],
                "relation": pair["relation"],
                "polymarket": {"condition_id": pair["polymarket"]["condition_id"]},
                "kalshi": pair["kalshi"]["ticker"],
                "payouts": payouts,
                "evidence": evidence,
            }
            for pair in described["pairs"]
        ]
    }


@contextlib.contextmanager
def held_folder(path: Path) -> Iterator[StateFolder]:
    """Hold a stack's folder; SIGTERM unwinds like Ctrl-C."""
    folder = StateFolder(path)
    with interrupted_by_signals(), folder:
        yield folder


@contextlib.contextmanager
def fresh_servers(name: str, *, prefix: str, partitions: int) -> Iterator[Settings]:
    """Servers of a new local stack without any stage, in a folder of its own; stopped afterwards, kept as the current stack.

    Raises:
        StackError: there is a stack of that name already.
    """
    base = load_settings()
    root = state_root(base)
    path = root / name
    if path.exists():
        raise StackError(f"{path} is there already; choose another name, or remove it")
    with held_folder(path) as folder:
        stack = LocalStack(folder, base, {"kafka": {"prefix": prefix, "partitions": partitions}})
        try:
            stack.start_servers()
            point_current(root, path)
            yield stack.settings
        finally:
            stack.stop()


def run_up(feeds: str, sandbox: SandboxOptions, *, detach: bool) -> int:
    """Run the stack until Ctrl-C, SIGTERM or `crossbook down`; return the exit code."""
    if detach:
        return _detach(feeds, sandbox)
    try:
        _run_until_interrupted(feeds, sandbox)
    except KeyboardInterrupt:  # at any moment, also before the folder is held or while it is given back
        sys.stdout.write("stopping\n")
    return 0


def _run_until_interrupted(feeds: str, sandbox: SandboxOptions) -> None:
    base = load_settings()
    root = state_root(base)
    with held_folder(root) as folder:
        point_current(root, folder.path)
        stack = LocalStack(folder, base, {})
        try:
            stack.start_servers()
            if feeds == "sandbox":
                stack.start_sandbox(sandbox)
            stack.start_stages()
            if feeds != "none":
                stack.start_feed("producers")
            sys.stdout.write(f"crossbook is up: {stack.folder.path} (Ctrl-C or `crossbook down` stops it)\n")
            sys.stdout.flush()
            while not (failures := stack.failures()):
                stack.write_status()
                time.sleep(1)
            raise StackError("; ".join(failures))
        finally:
            stack.stop()


def _detach(feeds: str, sandbox: SandboxOptions) -> int:
    root = state_root(load_settings())
    folder = StateFolder(root)
    if (pid := folder.holder_pid()) is not None:
        raise StackError(f"the state folder {root} is in use by pid {pid}: stop it with `crossbook down`")
    root.mkdir(parents=True, exist_ok=True)
    argv = [
        sys.executable, "-m", "deploy.cli", "up", "--feeds", feeds,
        "--preset", sandbox.preset, "--seed", str(sandbox.seed), "--rate", str(sandbox.rate),
    ]  # fmt: skip
    with (root / "up.log").open("wb") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + DETACHED_START_S
    while time.monotonic() < deadline:
        text = (root / "up.log").read_text(errors="replace")
        if "crossbook is up" in text:
            sys.stdout.write(f"crossbook is up in the background, pid {process.pid}; `crossbook down` stops it\n")
            return 0
        if process.poll() is not None:
            raise StackError((text.strip().splitlines() or ["up ended without a word"])[-1])
        time.sleep(0.1)
    process.terminate()
    raise StackError(f"the stack was not up within {DETACHED_START_S:.0f} s; see {root / 'up.log'}")


def stop_running(wanted: str = "") -> str:
    """Stop the stack that runs, wherever it was started.

    Raises:
        UsageError: several run; it names them.
        StackError: it did not stop.
    """
    root = state_root(load_settings())
    if not wanted and not any(one.lives for one in find_stacks(root)):
        return f"no stack runs in {root}"
    found = choose_stack("down", wanted).stack
    folder = StateFolder(found.folder)
    if found.state == "by address":
        raise StackError(f"{found.describe()} was not started here, and is not stopped from here")
    if folder.holder_pid() is None:
        return f"no stack runs in {found.folder}"
    if not folder.stop_holder():
        raise StackError(
            f"pid {folder.holder_pid()} did not stop within 30 s; end it with: kill -9 {folder.holder_pid()}"
        )
    return f"stopped the stack in {found.folder}"


def wipe(folder: StateFolder) -> None:
    """Forget an earlier run in a folder that the caller holds: data of servers, logs, settings."""
    for part in (folder.kafka, folder.clickhouse, folder.logs, folder.checkpoints):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True, exist_ok=True)
    for name in (
        SETTINGS_FILE,
        STATUS_FILE,
        ABOUT_FILE,
        "truth.jsonl",
        "sandbox.json",
        "pairs.yaml",
        "demo.json",
        "KILL",
    ):
        (folder.path / name).unlink(missing_ok=True)
