"""What keeps crossbook from running here, found before it does: each finding says how to mend it."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil
import yaml

from crossbook.domain.errors import StageError
from crossbook.runtime.kafka import admin_client, wait_for_broker
from crossbook.runtime.settings import Settings, load_settings
from deploy.errors import DeployError
from deploy.stack.attach import reader_client, settings_of
from deploy.stack.errors import LocalStackError
from deploy.stack.kafka.jars import ensure_jars, find_java
from deploy.stack.stacks import choose_stack, state_root
from deploy.stack.state import FREE_BYTES_MIN
from producers.universe.pairs import load_pairs_file
from schemas.codec import load_codec
from schemas.errors import SchemaError
from schemas.registry import load_registry, read_avsc, subject
from schemas.topics import TOPICS

MEMORY_BYTES_MIN = 2 * 2**30
CLOCK_OFFSET_MAX_S = 5.0


class Finding(NamedTuple):
    """One check: whether it is good, what was found, and how to mend it (empty when good)."""

    check: str
    good: bool
    finding: str
    mend: str


def examine(stack: str = "") -> list[Finding]:
    """Run every check that makes sense here; a check that cannot run is a finding, never an exception."""
    findings = [_python(), _memory()]
    try:
        settings = load_settings()
    except StageError as error:
        return [*findings, Finding("settings", False, str(error), "mend the setting that is named")]
    try:
        choice = choose_stack("doctor", stack)
    except DeployError as error:
        return [*findings, Finding("stack", False, str(error), "name another with --stack")]
    running = choice.stack.state == "running"
    if running:
        settings = settings_of(choice.stack.folder)
    if choice.note:
        findings.append(Finding("stack", True, choice.note, ""))
    findings.append(Finding("settings", True, f"mode {settings.mode}, prefix {settings.kafka.prefix}", ""))
    findings += [_disk(settings), _java(), _jars(), _schemas()]
    if settings.catalog.pairs_file:
        findings.append(_pairs(Path(settings.catalog.pairs_file)))
    if settings.kalshi.key_file or settings.kalshi.key_id:
        findings.append(_kalshi_key(settings))
    if not running and "bootstrap" not in settings.kafka.model_fields_set:
        return [*findings, Finding("stack", True, "none runs; `crossbook up` or `crossbook demo` starts one", "")]
    checks: list[Callable[[Settings], Iterator[Finding]]] = [_broker, _clickhouse, _registry, _venue_clocks]
    for check in checks:
        findings.extend(check(settings))
    return findings


def _python() -> Finding:
    found = f"{platform.python_implementation()} {platform.python_version()}, {os.cpu_count()} cores"
    good = sys.version_info >= (3, 11)
    return Finding("python", good, found, "" if good else "install Python 3.11 or newer")


def _memory() -> Finding:
    available = psutil.virtual_memory().available
    good = available >= MEMORY_BYTES_MIN
    return Finding(
        "memory", good, f"{available / 2**30:.1f} GiB available", "" if good else "the local stack needs 2 GiB"
    )


def _disk(settings: Settings) -> Finding:
    root = state_root(settings)
    existing = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    good = free >= FREE_BYTES_MIN and os.access(existing, os.W_OK)
    return Finding(
        "disk",
        good,
        f"{free / 2**30:.1f} GiB free for {root}",
        "" if good else "free some space or set CROSSBOOK_STATE_DIR",
    )


def _java() -> Finding:
    try:
        return Finding("java", True, str(find_java()), "")
    except LocalStackError as error:
        return Finding("java", False, str(error), "run `make install` again")


def _jars() -> Finding:
    try:
        jars = ensure_jars(None)
    except LocalStackError as error:
        return Finding("kafka jars", False, str(error), "reach the Maven repository once; the jars stay in the cache")
    return Finding("kafka jars", True, f"{len(jars)} jars, each with its pinned sha256", "")


def _schemas() -> Finding:
    try:
        load_codec()
        registry = load_registry()
        changed = [name for name, pinned in registry.newest.items() if read_avsc(name) != pinned.schema]
    except (SchemaError, OSError, ValueError) as error:
        return Finding("schemas", False, str(error), "restore schemas/ from the repository")
    if changed:
        return Finding(
            "schemas", False, f"changed and not pinned: {', '.join(changed)}", "pin them with `python -m schemas.pin`"
        )
    return Finding("schemas", True, f"{len(registry.by_id)} pinned", "")


def _pairs(file: Path) -> Finding:
    try:
        pairs = load_pairs_file(file)
    except (OSError, ValueError, yaml.YAMLError, StageError) as error:
        return Finding("pairs file", False, str(error), f"mend {file}")
    return Finding("pairs file", True, f"{len(pairs)} pairs in {file}", "")


def _kalshi_key(settings: Settings) -> Finding:
    file = Path(settings.kalshi.key_file)
    if not settings.kalshi.key_id or not file.is_file():
        return Finding(
            "kalshi key", False, "its socket needs both kalshi.key_id and kalshi.key_file", "set both, or none"
        )
    if file.stat().st_mode & 0o077:
        return Finding("kalshi key", False, f"{file} can be read by others", f"chmod 600 {file}")
    return Finding("kalshi key", True, str(file), "")


def _broker(settings: Settings) -> Iterator[Finding]:
    kafka = settings.kafka
    try:
        wait_for_broker(kafka, 3)
        existing = admin_client(kafka).list_topics(timeout=5).topics
    except StageError as error:
        yield Finding("kafka", False, str(error), "start it, or mend kafka.bootstrap")
        return
    yield Finding("kafka", True, f"answers at {kafka.bootstrap}", "")
    missing = [
        topic.full_name(kafka.prefix) for topic in TOPICS.values() if topic.full_name(kafka.prefix) not in existing
    ]
    if missing:
        yield Finding("topics", False, f"missing: {', '.join(missing)}", "crossbook topics --create")
    else:
        yield Finding("topics", True, f"all {len(TOPICS)} under {kafka.prefix}", "")


def _clickhouse(settings: Settings) -> Iterator[Finding]:
    try:
        client, database = reader_client(settings)
        version = client.command("SELECT version()")
    except DeployError as error:
        yield Finding("clickhouse", False, str(error), "start it, or mend clickhouse.host and .port")
        return
    yield Finding("clickhouse", True, f"{version}, database {database}", "")


def _registry(settings: Settings) -> Iterator[Finding]:
    place = f"http://{settings.registry.host}:{settings.registry.port}"
    registry = load_registry()
    try:
        with httpx.Client(base_url=place, timeout=5) as client:
            for topic in TOPICS.values():
                for record in topic.records:
                    name = subject(topic.full_name(settings.kafka.prefix), record)
                    answer = client.get(f"/subjects/{name}/versions/latest")
                    wanted = registry.newest[record].id
                    if answer.status_code != httpx.codes.OK or answer.json()["id"] != wanted:
                        yield Finding(
                            "registry",
                            False,
                            f"{name}: {answer.text[:80]}",
                            f"fill it: crossbook schemas --fill {place}",
                        )
                        return
    except httpx.HTTPError as error:
        yield Finding("registry", False, f"{place}: {error}", "start it, or set registry.port")
        return
    yield Finding("registry", True, f"{place} serves the pinned ids", "")


def _venue_clocks(settings: Settings) -> Iterator[Finding]:
    if not settings.polymarket.enabled:
        return
    try:
        answer = httpx.get(f"{settings.polymarket.clob_url}/time", timeout=5)
        offset = float(answer.text) - time.time()
    except (httpx.HTTPError, ValueError) as error:
        yield Finding(
            "polymarket", False, f"{settings.polymarket.clob_url}: {error}", "mend polymarket.clob_url or the network"
        )
        return
    good = abs(offset) <= CLOCK_OFFSET_MAX_S
    yield Finding(
        "clock", good, f"{offset:+.1f} s against Polymarket", "" if good else "synchronise this machine's clock"
    )
