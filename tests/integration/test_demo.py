"""`crossbook demo` from an empty folder, once, and everything that its summary and its kept state must say.

The run is left alone (what is killed is `test_faults.py`); the figures are held against an audit of the topics.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crossbook.runtime.settings import KafkaSettings
from deploy.demo.demo import PREFIX
from deploy.stack.kafka.child import KafkaServer
from tests.integration.audit import Audit
from tests.integration.whole_stack import TEST_S, Log, answer, crossbook, patient, processes_of

pytestmark = [pytest.mark.alone, pytest.mark.stack, pytest.mark.timeout(TEST_S)]
SECONDS = "22"
KEYS = {
    "updates", "evaluations", "gross_positive", "net_positive", "edges", "edges_at_threshold", "intents", "trades", "fills",
    "residual_contracts_micros", "contracts_micros", "declines", "venue_holds", "pnl_micros", "planted", "latency_ms", "lag", "verified", "first_hedged_fill_s",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty working directory."""
    return patient(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def summary(folder: Path) -> dict[str, Any]:
    """The JSON object that the demo printed."""
    done = crossbook(folder, "demo", "--seconds", SECONDS, "--json", timeout_s=TEST_S)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout[-500:] + done.stderr[-2000:]
    assert done.stdout.count("\n") == 1, "one JSON object and nothing else"
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.fixture(scope="module")
def audit(folder: Path, summary: dict[str, Any]) -> Iterator[Audit]:
    """The kept log, read a second time."""
    kept = folder / ".crossbook" / "demo"
    with KafkaServer(folder=kept / "kafka") as server:
        yield Audit(Log(KafkaSettings(bootstrap=server.bootstrap, prefix=PREFIX)))


def test_it_says_what_it_promises(summary: dict[str, Any]) -> None:
    assert set(summary) >= KEYS
    assert set(summary["trades"]) >= {"hedged", "unwound", "declined", "stuck"}
    assert set(summary["pnl_micros"]) == {"gross", "fees", "net", "locked", "marked", "unwound"}
    assert set(summary["latency_ms"]) == {"tick_to_signal", "tick_to_plan", "hedge"}
    for figures in summary["latency_ms"].values():
        assert 0 < figures["p50"] <= figures["p95"] <= figures["p99"] <= figures["max"]
        assert figures["n"] > 0
    assert summary["lag"] == {"messages": 0, "seconds": 0.0}


def test_it_trades_and_proves_it(summary: dict[str, Any]) -> None:
    assert summary["verified"]["mismatches"] == 0
    assert summary["verified"]["decisions"] > 500
    assert summary["verified"]["executions"] > 10
    assert summary["trades"]["hedged"] >= 1
    assert summary["trades"]["open"] == 0
    assert summary["first_hedged_fill_s"] > 0


def test_nothing_of_it_still_runs_and_its_tables_are_kept(folder: Path, summary: dict[str, Any]) -> None:
    assert processes_of(folder) == []
    (row,) = answer(folder, "sql", "SELECT net_micros, fees_micros FROM pnl_total")
    assert row == {"net_micros": summary["pnl_micros"]["net"], "fees_micros": summary["pnl_micros"]["fees"]}
    assert processes_of(folder) == [], "what the query started is gone"


def test_the_planted_edges_are_found_and_no_others(summary: dict[str, Any]) -> None:
    planted = summary["planted"]
    assert planted["edges"] >= 3
    assert planted["found"] >= 0.9 * planted["edges"]
    assert planted["false"] == 0


def test_its_counts_are_those_of_the_topics(summary: dict[str, Any], audit: Audit) -> None:
    counted = audit.counts()
    assert {name: summary[name] for name in counted} == counted
    assert summary["verified"]["decisions"] == len(audit.signals) + len(audit.intents)


def test_its_pnl_is_that_of_the_fills(summary: dict[str, Any], audit: Audit) -> None:
    computed = audit.pnl()
    said = summary["pnl_micros"]
    assert {name: said[name] for name in computed} == computed
    assert said["locked"] + said["marked"] == said["net"]
    assert said["fees"] > 0


def test_the_log_holds(audit: Audit) -> None:
    audit.check()
