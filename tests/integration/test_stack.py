"""`crossbook up` as people use it: interrupted while it starts, killed, started again over the same log, asked and told things.

One state folder for the whole module: what the interrupted starts leave behind is what the next start must cope with. Two portfolios trade
in it, `main` and `twin`.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest
from confluent_kafka import Consumer, DeserializingConsumer, Producer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer

from crossbook.domain.dead_letters import PAYLOAD_BYTES_MAX
from crossbook.runtime.kafka import RECORD_BYTES_MAX
from schemas.records import ControlApplied, DeadLetter, IntentSeen, OrderRequested, PairDelisted, Record
from schemas.topics import TOPICS
from tests.integration.audit import Audit
from tests.integration.whole_stack import (
    AWAIT_S,
    COMMAND_S,
    TEST_S,
    Log,
    Stack,
    answer,
    crossbook,
    patient,
    processes_of,
    refused,
    started,
    wait_until,
)

pytestmark = [pytest.mark.alone, pytest.mark.stack, pytest.mark.timeout(TEST_S)]
PREFIX = "crossbook."
CHILDREN = {
    *("kafka", "clickhouse", "registry", "sandbox"),
    *("project", "execute", "execute.twin", "decide", "leadlag", "producers"),
}
#: Partition of `orders` and `fills` of each portfolio.
JOURNALS = {"main": 0, "twin": 1}


class Interrupted(NamedTuple):
    """How a start that was interrupted ended."""

    code: int
    errors: str
    seconds: float
    left: list[str]


def interrupt(folder: Path, number: signal.Signals, moment: Callable[[Stack], Any]) -> Interrupted:
    """`crossbook up`, a signal at that moment (Ctrl-C goes to the whole process group, as a terminal sends it), its end."""
    stack = Stack(folder / ".crossbook")
    with started(folder, "up") as process:
        wait_until("the moment", lambda: moment(stack) or process.poll() is not None, pause_s=0.01)
        at = time.monotonic()
        if number is signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        _, errors = process.communicate(timeout=COMMAND_S)
        return Interrupted(process.returncode, errors, time.monotonic() - at, processes_of(folder))


def killed(folder: Path) -> list[str]:
    """A start that runs, and `kill -9` of the supervisor; what does not end by itself."""
    stack = Stack(folder / ".crossbook")
    with started(folder, "up") as process:
        wait_until("the feeds", lambda: stack.pid("producers"))
        log = Log(stack.kafka(PREFIX))
        wait_until("decisions", lambda: log.end("signals") > 50, pause_s=0.2)
        process.kill()
        process.wait()
        wait_until("the end of the children", lambda: not processes_of(folder))
        return processes_of(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory whose settings name a second portfolio."""
    found = patient(tmp_path_factory.mktemp("stack"))
    with (found / "crossbook.toml").open("a") as file:
        file.write("[portfolios.twin]\npartition = 1\n")
    return found


@pytest.fixture(scope="module")
def interrupted(folder: Path) -> dict[str, Interrupted]:
    """Starts that were interrupted, each later than the one before, all in one state folder."""
    names = lambda stack: {child["name"] for child in stack.description().get("children", ())}  # noqa: E731 - three words
    return {
        "at once": interrupt(folder, signal.SIGINT, lambda stack: (stack.folder / "lock").is_file()),
        "Kafka starts": interrupt(folder, signal.SIGTERM, lambda stack: (stack.folder / "logs/kafka.log").is_file()),
        "the venues run": interrupt(folder, signal.SIGINT, lambda stack: "sandbox" in names(stack)),
        "stages start": interrupt(folder, signal.SIGTERM, lambda stack: (stack.folder / "logs/decide.log").is_file()),
    }


@pytest.fixture(scope="module")
def survivors(folder: Path, interrupted: dict[str, Interrupted]) -> list[str]:
    """What is left of a stack whose supervisor was killed."""
    assert interrupted
    return killed(folder)


@pytest.fixture(scope="module")
def stack(folder: Path, survivors: list[str]) -> Iterator[Stack]:
    """The stack in the background, over the log that the killed one left; `crossbook down` at the end."""
    assert survivors == []
    done = crossbook(folder, "up", "--detach")
    assert (done.returncode, done.stderr) == (0, ""), done
    yield Stack(folder / ".crossbook")
    crossbook(folder, "down")


@pytest.fixture(scope="module")
def log(stack: Stack) -> Log:
    """Its log."""
    return Log(stack.kafka(PREFIX))


def test_a_start_can_be_interrupted_at_any_moment(interrupted: dict[str, Interrupted]) -> None:
    print({moment: round(end.seconds, 1) for moment, end in interrupted.items()})
    for moment, end in interrupted.items():
        assert end.code == 0, (moment, end)
        assert end.errors == "", (moment, end)
        assert end.left == [], moment


def test_a_killed_supervisor_leaves_nothing_behind(survivors: list[str]) -> None:
    assert survivors == []


def test_status_names_what_runs(folder: Path, stack: Stack) -> None:
    wait_until("the views", lambda: "pnl_total" in crossbook(folder, "sql").stdout, pause_s=0.3)
    (entry,) = answer(folder, "status")
    assert (entry["stack"], entry["state"], entry["feeds"], entry["prefix"]) == ("up", "running", "sandbox", PREFIX)
    assert [(one["portfolio"], one["trading"]["state"]) for one in entry["portfolios"]] == [
        (name, "running") for name in JOURNALS
    ]
    assert all({"positions", "pnl_micros", "trades"} <= set(one["holdings"]) for one in entry["portfolios"])
    screen = crossbook(folder, "status").stdout
    assert all(name in screen for name in CHILDREN)
    rows = {row["name"]: row for row in entry["processes"]}
    assert set(rows) == CHILDREN
    for row in rows.values():
        assert row["state"] == "running"
        assert str(folder) in " ".join(psutil.Process(row["pid"]).cmdline())


def test_a_second_stack_in_the_same_folder_is_refused(folder: Path, stack: Stack) -> None:
    before = stack.description()
    holder = before["pid"]
    for arguments in (("up",), ("up", "--detach")):
        refused(folder, *arguments, code=1, says=f"in use by pid {holder}")
    assert stack.description()["pid"] == holder


def test_a_stranger_decodes_every_topic(stack: Stack, log: Log) -> None:
    """Confluent's own deserializer, knowing the addresses of `stack.json` alone."""
    addresses = stack.description()["addresses"]
    wait_until("an intent", lambda: log.end("intents") > 0, pause_s=0.2)
    filled = {topic.name: topic.full_name(PREFIX) for topic in TOPICS.values() if log.end(topic.name) > 0}
    assert set(filled) >= {"tape", "market", "signals", "intents", "orders", "control"}
    decoded: dict[str, int] = dict.fromkeys(filled.values(), 0)
    with SchemaRegistryClient({"url": addresses["registry"]}) as registry:
        settings = {
            "bootstrap.servers": addresses["kafka"],
            "group.id": "a-stranger",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "value.deserializer": AvroDeserializer(registry),
        }
        for name in decoded:
            consumer = DeserializingConsumer(settings)
            consumer.assign([TopicPartition(name, 0, 0)])
            while decoded[name] < 200:
                message = consumer.poll(AWAIT_S if decoded[name] == 0 else 0.5)
                if message is None:
                    break
                assert message.error() is None
                assert isinstance(message.value(), dict)
                decoded[name] += 1
            consumer.close()
    assert all(decoded.values()), decoded


def test_lag_is_the_brokers_own(folder: Path, stack: Stack, log: Log) -> None:
    """Offsets only grow, so what the command says must lie between what the broker says before and after."""
    before = broker_offsets(log)
    rows = answer(folder, "lag", "--limit", "3600")  # the exit code is asked for below
    after = broker_offsets(log)
    assert {(row["group"], row["topic"], row["partition"]) for row in rows} == set(before)
    for row in rows:
        key = (row["group"], row["topic"], row["partition"])
        assert before[key][0] <= (row["committed"] or 0) <= after[key][0], row
        assert before[key][1] <= row["end_stable"] <= after[key][1], row
        assert row["lag_messages"] <= row["end_stable"] - max(row["committed"] or 0, 0), row
        if row["topic"] == "market" and row["exact"]:  # no transaction writes there: each offset is a record
            assert row["lag_messages"] == max(0, row["end_stable"] - row["committed"]), row
    assert crossbook(folder, "lag", "--limit", "-1").returncode == 1


def broker_offsets(log: Log) -> dict[tuple[str, str, int], tuple[int, int]]:
    """Committed offset and last stable offset of each group on each partition of each topic, asked by a client of our own."""
    followed = ("market", "signals", "intents", "leadlag", "control")
    groups = {
        "decide": ("market",),
        "leadlag": ("signals",),
        "execute": followed,
        "execute.twin": followed,
        "project": ("market", "signals", "intents", "leadlag", "orders", "fills", "control", "deadletter"),
    }
    found = {}
    for group, topics in groups.items():
        consumer = Consumer({"bootstrap.servers": log.kafka.bootstrap, "group.id": f"{PREFIX}{group}"})
        for topic, number in (
            (t, n) for t in topics for n in (JOURNALS.values() if t in {"orders", "fills"} else (0,))
        ):
            place = TopicPartition(f"{PREFIX}{topic}", number)
            (committed,) = consumer.committed([place], 10)
            found[group, topic, number] = (max(committed.offset, 0), consumer.get_watermark_offsets(place, 10)[1])
        consumer.close()
    return found


def test_the_log_goes_on_over_kills_and_starts_and_is_verified(folder: Path, stack: Stack) -> None:
    verified = answer(folder, "verify")
    assert verified["mismatches"] == 0, verified["first_differences"]
    assert verified["decisions"] > 100


def test_what_can_be_asked(folder: Path, stack: Stack) -> None:
    done = crossbook(folder, "tail", "signals", "-n", "3", "--json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, len(lines)) == (0, 3)
    assert {"topic", "partition", "offset", "record", "fields"} <= set(lines[0])
    assert answer(folder, "sql", "SELECT 1 AS one, 'a' AS letter") == [{"one": 1, "letter": "a"}]
    assert {"trades", "pnl_total", "tops"} <= {row["name"] for row in answer(folder, "sql")}
    assert {row["topic"] for row in answer(folder, "topics")} == {t.full_name(PREFIX) for t in TOPICS.values()}
    assert {row["record"] for row in answer(folder, "schemas")} == {n for t in TOPICS.values() for n in t.records}
    assert json.loads(crossbook(folder, "schemas", "Fill").stdout)["name"] == "Fill"
    findings = answer(folder, "doctor")
    assert all(finding["good"] for finding in findings), findings
    assert {"kafka", "clickhouse", "registry", "topics", "schemas"} <= {finding["check"] for finding in findings}


def test_what_is_wrong_is_refused_in_one_line(folder: Path, stack: Stack) -> None:
    calls: list[tuple[tuple[str, ...], int, str]] = [
        (("tail", "nonsense"), 2, "no topic 'nonsense'"),
        (("sql", "SELECT FROM WHERE"), 1, "ClickHouse: "),
        (("sql", "DROP TABLE trades_nowhere"), 1, "ClickHouse: "),
        (("schemas", "Nonsense"), 2, "no record 'Nonsense'"),
        (("halt", "--scope", "everything"), 2, "scope was 'everything'"),
        (("halt", "--scope", "venue:"), 2, "venue"),
        (("pairs", "approve", "nowhere.yaml"), 2, "nowhere.yaml"),
        (("pairs", "revoke", "nobody"), 2, "no pair 'nobody'"),
        (("demo", "--recording", "nowhere.parquet"), 2, "--recording and --fees go together"),
        (("demo", "--recording", "nowhere.parquet", "--fees", "nowhere.yaml"), 2, "nowhere.parquet is no file"),
    ]
    with ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(refused, folder, *call, code=code, says=says) for call, code, says in calls]:
            done.result()
    for command in ("demo", "up"):  # what the parser refuses, it refuses in its own form
        wrong = crossbook(folder, command, "--preset", "nonsense")
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "'nonsense'" in wrong.stderr.splitlines()[-1]


def test_no_stack_is_said_in_one_line(tmp_path: Path) -> None:
    with ThreadPoolExecutor(3) as pool:
        calls = [(("status",), "no stack runs"), (("topics",), "no Kafka broker answers"), (("sql",), "crossbook up")]
        for done in [pool.submit(refused, tmp_path, *call, code=1, says=says) for call, says in calls]:
            done.result()


def test_after_a_halt_nothing_is_requested(folder: Path, stack: Stack, log: Log) -> None:
    done = crossbook(folder, "halt", "--reason", "a test")
    assert (done.returncode, done.stderr) == (0, "")
    assert "acknowledged by the executor" in done.stdout
    for journal in JOURNALS.values():  # as soon as the command returns
        halt = next(r for r in reversed(log.records("orders", journal)) if isinstance(r, ControlApplied))
        assert (halt.state, halt.scope) == ("halted", "all")
    halt = next(r for r in reversed(log.records("orders")) if isinstance(r, ControlApplied))

    def later() -> list[Record]:
        return [r for r in log.records("orders") if getattr(r, "sequence", 0) > halt.sequence]

    wait_until(
        "intents that come to nothing", lambda: sum(isinstance(r, IntentSeen) for r in later()) >= 2, pause_s=0.3
    )
    assert not [r for r in later() if isinstance(r, OrderRequested)]
    resumed = crossbook(folder, "resume")
    assert (resumed.returncode, resumed.stderr) == (0, "")
    wait_until("orders again", lambda: any(isinstance(r, OrderRequested) for r in later()), pause_s=0.3)


def trades(log: Log, journal: int, kind: type[IntentSeen | OrderRequested]) -> list[Any]:
    """What a portfolio's executor saw, or requested."""
    return [one for one in log.records("orders", journal) if isinstance(one, kind)]


def test_both_portfolios_act_on_the_same_intents_and_a_halt_stops_one(folder: Path, stack: Stack, log: Log) -> None:
    main, twin = JOURNALS.values()
    wait_until("orders of both", lambda: all(trades(log, one, OrderRequested) for one in (main, twin)), pause_s=0.3)
    seen = [[one.intent for one in trades(log, journal, IntentSeen)] for journal in (main, twin)]
    both = min(map(len, seen))
    assert both > 0 and seen[0][:both] == seen[1][:both]
    for name, journal in JOURNALS.items():
        assert all(one.order_id.startswith(f"{name}-") for one in trades(log, journal, OrderRequested))
    refused(folder, "halt", "--portfolio", "nobody", code=2, says="no portfolio 'nobody'")
    assert crossbook(folder, "halt", "--portfolio", "twin").returncode == 0
    (entry,) = answer(folder, "status")
    states = {one["portfolio"]: one["trading"]["state"] for one in entry["portfolios"]}
    assert states == {"main": "running", "twin": "halted"}
    before = [len(trades(log, journal, OrderRequested)) for journal in (main, twin)]
    seen_before = len(trades(log, twin, IntentSeen))
    wait_until(
        "the other one to go on",
        lambda: (
            len(trades(log, main, OrderRequested)) > before[0] and len(trades(log, twin, IntentSeen)) > seen_before + 1
        ),
        pause_s=0.3,
    )
    assert len(trades(log, twin, OrderRequested)) == before[1]
    assert crossbook(folder, "resume", "--portfolio", "twin").returncode == 0
    wait_until("orders again", lambda: len(trades(log, twin, OrderRequested)) > before[1], pause_s=0.3)


def test_a_killed_executor_leaves_the_other_one_alone(folder: Path, stack: Stack, log: Log) -> None:
    before = stack.status()["execute"]
    pid = stack.kill("execute.twin")
    seen = len(trades(log, JOURNALS["main"], IntentSeen))
    wait_until("main to go on", lambda: len(trades(log, JOURNALS["main"], IntentSeen)) > seen, pause_s=0.3)
    stack.await_back("execute.twin", pid)
    seen = len(trades(log, JOURNALS["twin"], IntentSeen))
    wait_until("twin to go on", lambda: len(trades(log, JOURNALS["twin"], IntentSeen)) > seen, pause_s=0.3)
    after = stack.status()["execute"]
    assert (after["pid"], after["restarts"]) == (before["pid"], before["restarts"])
    verified = answer(folder, "verify")
    assert verified["mismatches"] == 0, verified["first_differences"]
    tail = crossbook(folder, "tail", "orders", "-n", "1", "--json")
    assert [json.loads(line)["fields"]["portfolio"] for line in tail.stdout.splitlines()] == list(JOURNALS)


def test_a_pair_is_approved_and_revoked(folder: Path, stack: Stack, log: Log) -> None:
    approved = crossbook(folder, "pairs", "approve", str(stack.folder / "pairs.yaml"))
    assert (approved.returncode, approved.stderr) == (0, "")
    pairs = [row["pair"] for row in answer(folder, "pairs", "list")]
    assert len(pairs) >= 2
    revoked = crossbook(folder, "pairs", "revoke", pairs[0])
    assert (revoked.returncode, revoked.stderr) == (0, "")
    assert [row["pair"] for row in answer(folder, "pairs", "list")] == pairs[1:]
    wait_until(
        "the pair to leave the market",
        lambda: any(isinstance(r, PairDelisted) and r.pair_id == pairs[0] for r in log.records("market")),
        pause_s=0.3,
    )


def test_garbage_of_strangers_is_dead_lettered_and_life_goes_on(folder: Path, stack: Stack, log: Log) -> None:
    """On `market` it is an event that changes nothing. On topics that decide writes alone it is told as what it is: too much.

    The last is as large as a record may be: what is said of it must be smaller, or it would stop whoever says it.
    """
    producer = Producer({"bootstrap.servers": log.kafka.bootstrap, "message.max.bytes": RECORD_BYTES_MAX})
    values = (b"no record", b"\x00\x00\x0f\xff\xff\x02", b"\x00" * (RECORD_BYTES_MAX - 1_024))
    kept = [value[:PAYLOAD_BYTES_MAX] for value in values]
    before = {name: (row["pid"], row["restarts"]) for name, row in stack.status().items()}

    def letters(source: str, stage: str) -> list[bytes]:
        found = (r for r in log.records("deadletter") if isinstance(r, DeadLetter))
        return [r.payload for r in found if (r.source, r.stage) == (source, stage)]

    def write(topic: str) -> None:
        for value in values:
            producer.produce(PREFIX + topic, value, partition=0)
        assert producer.flush(10) == 0

    def told(source: str, stage: str, tellers: int = 1) -> None:
        told = sorted(kept * tellers)
        wait_until(f"letters of {stage}", lambda: sorted(letters(source, stage)) == told, pause_s=0.2)

    write("market")
    told(f"{PREFIX}market", "decide")
    told("market", "project")
    assert answer(folder, "verify")["mismatches"] == 0
    for topic in ("signals", "intents", "leadlag", "control"):
        write(topic)
        told(f"{PREFIX}{topic}", "execute", tellers=2)  # an executor a portfolio, each reads for itself
        told(topic, "project")
    told("control", "producers")
    signals = log.end("signals")
    wait_until("leadlag to read on", lambda: log.committed("leadlag", "signals") > signals, pause_s=0.2)
    assert {name: (row["pid"], row["restarts"]) for name, row in stack.status().items()} == before
    seen = sum(isinstance(r, IntentSeen) for r in log.records("orders"))
    wait_until(
        "an intent to reach the executor", lambda: sum(isinstance(r, IntentSeen) for r in log.records("orders")) > seen
    )
    verified = answer(folder, "verify", code=1)
    assert "unreadable" in verified["first_differences"][0]


def test_down_leaves_a_whole_journal_and_nothing_running(folder: Path, stack: Stack, log: Log) -> None:
    """Last: it ends the stack that the others use."""
    for journal in JOURNALS.values():
        Audit(log, journal).check_journal()
    done = crossbook(folder, "down")
    assert (done.returncode, done.stderr) == (0, ""), done
    assert "stopped the stack" in done.stdout.replace("\n", " ")
    assert processes_of(folder) == []
    assert "no stack runs" in crossbook(folder, "down").stdout
