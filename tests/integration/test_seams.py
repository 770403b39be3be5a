"""The seams: a package beside the product adds a venue, a strategy, a machine, a gateway, a portfolio and a sink, and all of it runs.

Nothing of the product is edited for it: words and a fee model are added, and each stage, a process of its own, is given its table
(`tests/builders/plugin/stage.py`). The venue is on the loopback, the broker is a real one.
"""

import json
import signal
import threading
import time
from collections import Counter

import pytest

from crossbook.runtime.clock import now_ns
from crossbook.runtime.kafka import RecordProducer, create_topics
from crossbook.runtime.kafka_log import KafkaLog, read_partition
from crossbook.runtime.settings import KafkaSettings, Settings
from executors.orders.work import SEEN
from executors.recovery.verify import verify_executions
from processors.verify.verify import verify_decide
from projections.rows import TABLE_COLUMNS
from projections.stage import Projector
from schemas.codec import load_codec
from schemas.records import (
    BookSnapshot,
    DeadLetter,
    Fill,
    OrderReport,
    PairApproved,
    QuoteIntent,
    QuoteSeen,
    TakeIntent,
    TakeSeen,
    TradeIntent,
    TradeUpdate,
)
from schemas.topics import PORTFOLIOS
from tests.builders.executors.quoting import BOTH as MACHINES
from tests.builders.market_records import cells
from tests.builders.plugin.acme import ACME, plugged_in
from tests.builders.plugin.exchange import exchange_in_a_thread
from tests.builders.plugin.strategy import NAME, TABLE
from tests.builders.sinks.memory import MemorySink
from tests.integration.child_stages import Stage, stopped_at_the_end

DEADLINE_S = 240
CODEC = load_codec()
SECOND = "quotes"
MODULE = "tests.builders.plugin.stage"
PACE_S = 0.5
#: What the plug-in's fee model charges a contract, micros.
FEE_MICROS = 20_000
#: Every time is long: what is proved is who is asked, not how fast a busy machine is. The venue tells no time of payout: no lock-up.
SETTINGS = {
    "POLYMARKET__ENABLED": "false",
    "KALSHI__ENABLED": "false",
    "CATALOG__REFRESH_S": 1,
    "FEED__SILENCE_MS": 60_000,
    "FEED__CROSSCHECK_INTERVAL_S": 600,
    "FRICTION__LOCKUP_PPM_PER_YEAR": 0,
    "DECIDE__INTENT_VALID_MS": 60_000,
    "DECIDE__FEED_STALE_MS": 60_000,
    "DECIDE__JUMP_MS": 60_000,
    "DECIDE__STRATEGIES": json.dumps({NAME: {"intent_valid_ns": 60_000_000_000}}),
    "EXECUTE__LAG_LIMIT_MS": 0,
    "EXECUTE__CASH_MICROS": json.dumps({ACME: 50_000_000_000}),
    "PORTFOLIOS": json.dumps({SECOND: {"partition": 1, "strategies": [NAME]}}),
}
PAIR = {"pair_id": "one-two", "relation": "identity", "instrument_a": f"{ACME}:ONE", "instrument_b": f"{ACME}:TWO"}

stages = pytest.fixture(stopped_at_the_end)


@pytest.fixture
def plugged():
    with plugged_in():
        yield


@pytest.fixture
def own_kafka(kafka, monkeypatch):
    monkeypatch.setitem(PORTFOLIOS, SECOND, 1)
    settings = KafkaSettings(bootstrap=kafka.bootstrap, prefix="seams.")
    create_topics(settings)
    return settings


def approve(kafka):
    said = PairApproved(
        ts_ns=now_ns(), operator="me", payouts=cells("identity"), haircut_micros=0, evidence="both are made up", **PAIR
    )
    control = RecordProducer(kafka, CODEC, "operator")
    control.send("control", said, partition=0)
    control.flush()


def read(kafka, topic, partition=0):
    return [CODEC.decode(line.value) for line in read_partition(kafka, topic, partition)]


def updates(kafka):
    """What became of the trades of each portfolio, counted."""
    journals = {name: read(kafka, "orders", number) for name, number in PORTFOLIOS.items()}
    return {
        name: Counter((one.strategy, one.state, one.reason) for one in journal if isinstance(one, TradeUpdate))
        for name, journal in journals.items()
    }


def wait(what, condition, running, kafka):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert all(stage.process.poll() is None for stage in running), f"a stage ended before {what}"
        assert time.monotonic() < end, f"{what} did not happen in {DEADLINE_S} s: {updates(kafka)}"
        time.sleep(1.0)


def filled(kafka, portfolio, strategy):
    return sum(
        isinstance(one, Fill) and one.strategy == strategy for one in read(kafka, "fills", PORTFOLIOS[portfolio])
    )


def declined(kafka, portfolio):
    """Reasons of what a portfolio did not act on."""
    journal = read(kafka, "orders", PORTFOLIOS[portfolio])
    return {one.reason for one in journal if isinstance(one, TradeUpdate) and one.state == "declined"}


def run_pipeline(kafka, stages, folder):
    """Run until both portfolios were filled and heard of every kind of intent; the second one's executor is killed on the way."""
    with exchange_in_a_thread(PACE_S) as section:
        settings = SETTINGS | {"VENUES": json.dumps({ACME: section})}

        def start(name, *options):
            stages.append(Stage(name, kafka, folder, module=MODULE, options=options, **settings))
            return stages[-1]

        approve(kafka)
        producers, decide, main = (start(name) for name in ("producers", "decide", "execute"))
        second = start("execute", "--portfolio", SECOND)
        running = [producers, decide, main, second]
        wait("a hedge in main", lambda: filled(kafka, "main", "cross_venue") >= 2, running, kafka)
        wait("quotes in main", lambda: filled(kafka, "main", NAME) >= 3, running, kafka)
        wait("quotes in the second", lambda: filled(kafka, SECOND, NAME) >= 3, running, kafka)
        wait("a kind that nobody trades", lambda: "no_machine" in declined(kafka, "main"), running, kafka)
        assert second.stop(signal.SIGKILL) == -signal.SIGKILL
        before = filled(kafka, SECOND, NAME)
        running[3] = start("execute", "--portfolio", SECOND)
        wait("more quotes after a kill", lambda: filled(kafka, SECOND, NAME) >= before + 3, running, kafka)
        for stage in running:
            assert stage.stop() == 0, stage.said
    return main


def projected(kafka):
    """A sink in memory that read the whole log."""
    sink = MemorySink()
    settings = Settings(
        kafka=kafka, portfolios={SECOND: {"partition": 1, "strategies": [NAME]}}, venues={ACME: {"url": ""}}
    )
    Projector(settings, sink, threading.Event()).run(until_quiet=True)
    return sink


def rows_of(sink, table):
    """How many rows each portfolio has."""
    portfolio = TABLE_COLUMNS[table].index("portfolio")
    return Counter(row[portfolio] for row in sink.rows(table))


@pytest.mark.timeout(900)
def test_a_package_adds_to_every_seam_and_no_module_is_edited(own_kafka, plugged, stages, tmp_path):
    main = run_pipeline(own_kafka, stages, tmp_path)

    market = read(own_kafka, "market")
    assert {one.instrument_id for one in market if isinstance(one, BookSnapshot)} == {
        f"{ACME}:{name}" for name in ("ONE", "TWO", "SIX")
    }
    intents = read(own_kafka, "intents")
    assert {type(one) for one in intents} == {TradeIntent, QuoteIntent, TakeIntent}
    assert [one.number for one in intents] == list(range(1, len(intents) + 1)), "one row of numbers for every kind"

    for portfolio, number in PORTFOLIOS.items():
        journal, fills = (read(own_kafka, topic, number) for topic in ("orders", "fills"))
        assert {one.portfolio for one in journal + fills} == {portfolio}
        seen = [one for one in journal if isinstance(one, SEEN)]
        assert [one.intent for one in seen] == intents[: len(seen)], "no intent is passed over"
        assert {QuoteSeen, TakeSeen} < {type(one) for one in seen}
        reports = [one for one in journal if isinstance(one, OrderReport)]
        assert all(one.report_id.startswith(f"{ACME}-") for one in reports), "the plug-in's gateway reports"
        trades = [one for one in fills if isinstance(one, Fill)]
        assert {one.venue for one in trades} == {ACME}
        assert all(one.fee_micros == FEE_MICROS * one.quantity_micros // 10**6 for one in trades)
        assert {one.strategy for one in trades} == ({NAME, "cross_venue"} if portfolio == "main" else {NAME})
    assert "strategy_not_followed" in declined(own_kafka, SECOND)
    assert "execute.no_machine" in main.said
    assert [one for one in read(own_kafka, "deadletter") if isinstance(one, DeadLetter)] == []

    sink = projected(own_kafka)
    for table in ("order_requests", "fills"):
        assert set(rows_of(sink, table)) == set(PORTFOLIOS)
        topic, kind = ("fills", "Fill") if table == "fills" else ("orders", "OrderRequested")
        for portfolio, number in PORTFOLIOS.items():
            wanted = sum(type(one).__name__ == kind for one in read(own_kafka, topic, number))
            assert rows_of(sink, table)[portfolio] == wanted

    log = KafkaLog(own_kafka)
    decided, executed = verify_decide(log, strategies=TABLE), verify_executions(log, MACHINES)
    assert decided.mismatches == 0, decided
    assert executed.mismatches == 0, executed.first_difference.describe()
    assert set(executed.digests) == {"orders", "fills", "orders/1", "fills/1"}
