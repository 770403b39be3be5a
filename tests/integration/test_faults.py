"""One demo in which everything is killed in turn and bytes that are no record stand on `market`; a Ctrl-C ends it.

Nothing may be missing or doubled afterwards, whatever was killed at whatever instruction.
"""

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from crossbook.runtime.settings import KafkaSettings
from deploy.demo.demo import PREFIX
from deploy.stack.kafka.child import KafkaServer
from schemas.records import DeadLetter, FeedStatus, IntentSeen
from tests.integration.audit import Audit
from tests.integration.whole_stack import (
    COMMAND_S,
    TEST_S,
    Log,
    Stack,
    answer,
    patient,
    processes_of,
    started,
    wait_until,
)

pytestmark = [pytest.mark.alone, pytest.mark.stack, pytest.mark.timeout(TEST_S)]
GARBAGE = (b"no record at all", b"", b"\x00\x00\x0f\xff\xff" + b"of an unknown schema", b"\x00\x00\x00\x00\x0c\xff")
READERS = ("decide", "execute", "project")


class Run:
    """A demo that goes on, seen from outside."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.log = Log(stack.kafka(PREFIX))
        self.back_s: dict[str, float] = {}

    def await_read(self) -> None:
        """Wait until every stage has committed what stands on `market` now."""
        end = self.log.end("market")
        for group in READERS:
            wait_until(f"{group} to read on", lambda group=group: self.log.committed(group) >= end)

    def await_written(self) -> None:
        """Wait until the feeds have written more than they had in their buffers."""
        end = self.log.end("market") + 150
        wait_until("the feeds to write on", lambda: self.log.end("market") >= end)

    def kill(self, name: str) -> None:
        """`kill -9`; returns when the stack works on as before."""
        killed = self.stack.kill(name)
        at = time.monotonic()
        self.stack.await_back(name, killed)
        self.await_written()
        self.await_read()
        self.back_s[name] = round(time.monotonic() - at, 1)

    def write_garbage(self) -> None:
        """Bytes that nobody can read, on `market`."""
        producer = Producer({"bootstrap.servers": self.log.kafka.bootstrap})
        for value in GARBAGE:
            producer.produce(f"{PREFIX}market", value, partition=0)
        assert producer.flush(10) == 0

    def intents_seen(self) -> int:
        return sum(isinstance(r, IntentSeen) for r in self.log.records("orders"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty working directory."""
    return patient(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, Any]:
    """What the demo says after all that was done to it."""
    with started(folder, "demo", "--seconds", "3600", "--json") as process:
        stack = Stack(folder / ".crossbook" / "demo")
        wait_until("the feeds to start", lambda: stack.pid("producers") or process.poll() is not None)
        run = Run(stack)
        wait_until("trades", lambda: process.poll() is not None or len(run.log.records("orders")) > 10, pause_s=0.3)
        run.write_garbage()
        for name in ("producers", "decide", "execute", "project", "clickhouse", "kafka"):
            run.kill(name)
        before = run.intents_seen()
        wait_until("an intent to reach the executor after all this", lambda: run.intents_seen() > before, pause_s=0.3)
        restarts = {name: row["restarts"] for name, row in stack.status().items()}
        process.send_signal(signal.SIGINT)
        said, errors = process.communicate(timeout=COMMAND_S)
    assert (process.returncode, errors) == (0, ""), said[-500:] + errors[-2000:]
    summary: dict[str, Any] = json.loads(said)
    return summary | {"restarts": restarts, "back_s": run.back_s}


@pytest.fixture(scope="module")
def audit(folder: Path, summary: dict[str, Any]) -> Audit:
    """The kept log, read a second time."""
    assert processes_of(folder) == [], "nothing of the run is left"
    with KafkaServer(folder=folder / ".crossbook" / "demo" / "kafka") as server:
        found = Audit(Log(KafkaSettings(bootstrap=server.bootstrap, prefix=PREFIX)))
        found.check()
        return found


def test_everything_was_started_again_and_nothing_differs(summary: dict[str, Any]) -> None:
    killed = {"producers", "decide", "execute", "project", "clickhouse", "kafka"}
    assert killed <= {name for name, restarts in summary["restarts"].items() if restarts}
    assert summary["verified"]["mismatches"] == 0
    assert summary["trades"]["open"] == 0
    assert summary["lag"]["messages"] == 0
    print(summary["back_s"])


def test_the_log_holds(audit: Audit) -> None:
    """Every trade ended, nothing is doubled, the journal is whole and refolds, decide and execute are verified."""
    assert audit.intents


def test_what_is_counted_is_what_stands_in_the_topics(summary: dict[str, Any], audit: Audit) -> None:
    counted = audit.counts()
    assert {name: summary[name] for name in counted} == counted
    computed = audit.pnl()
    assert {name: summary["pnl_micros"][name] for name in computed} == computed


def test_garbage_is_dead_lettered_once_and_changes_nothing(audit: Audit) -> None:
    assert len(audit.log_lines["market"]) == len(audit.market) + len(GARBAGE)
    letters = [r for r in audit.letters if isinstance(r, DeadLetter) and r.source == f"{PREFIX}market"]
    assert [r.payload for r in letters if r.stage == "decide"] == list(GARBAGE)


def test_the_producers_took_their_place_again(audit: Audit) -> None:
    """Each life of a feed is a later session."""
    for venue in ("polymarket", "kalshi"):
        live = [r for r in audit.market if isinstance(r, FeedStatus) and r.feed == venue and r.state == "live"]
        sessions = [r.session for r in live]
        assert sessions == sorted(sessions)
        assert len(set(sessions)) >= 2


def test_the_kept_tables_say_the_same(folder: Path, summary: dict[str, Any], audit: Audit) -> None:
    del audit
    (row,) = answer(folder, "sql", "SELECT net_micros FROM pnl_total")
    assert row["net_micros"] == summary["pnl_micros"]["net"]
