"""The stage `project` on a real broker and a real ClickHouse: killed, doubled, cut off, and held against the log itself."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid

import clickhouse_connect
import pytest

from crossbook.runtime.kafka import Outgoing, RecordProducer, TransactionalProducer, create_topics, open_consumer
from crossbook.runtime.settings import ClickHouseSettings, KafkaSettings, ProjectSettings, Settings
from deploy.operate.lag import lag_rows
from deploy.stack.clickhouse.child import ClickHouseServer
from deploy.stack.ports import free_ports
from deploy.stages.project import rebuild
from projections.clickhouse import queries
from projections.clickhouse.sink import ClickHouseSink
from projections.rows import TABLE_COLUMNS
from projections.stage import Projector
from schemas.codec import load_codec
from tests.builders.logs.projected import KINDS, SyntheticLog, fills_that_stand
from tests.builders.oracles.pnl import pnl
from tests.builders.sinks.memory import MemorySink

CODEC = load_codec()
TRANSACTIONAL = ("signals", "intents", "orders", "fills")


def settings_for(kafka, clickhouse, **project):
    prefix = f"p{uuid.uuid4().hex[:12]}."
    return Settings(
        kafka=KafkaSettings(bootstrap=kafka.bootstrap, prefix=prefix),
        clickhouse=ClickHouseSettings(port=clickhouse.port, password=clickhouse.password),
        project=ProjectSettings(**({"batch_records": 500, "interval_ms": 50} | project)),
    )


@pytest.fixture
def settings(kafka, clickhouse):
    made = settings_for(kafka, clickhouse)
    create_topics(made.kafka)
    yield made
    sink = ClickHouseSink(made.clickhouse, made.kafka.prefix)
    sink.drop()
    sink.close()


@pytest.fixture
def stages():
    running = []
    yield running
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()


def write(kafka, placed, *, batch=40):
    """Write records as their stages do: plain to market and control, in transactions elsewhere (so that markers take offsets)."""
    plain = RecordProducer(kafka, CODEC, "test")
    for topic, partition, record in placed:
        if topic not in TRANSACTIONAL:
            plain.send(topic, record, partition=partition)
    plain.flush()
    outputs = [
        Outgoing(kafka.prefix + topic, partition, None, CODEC.encode(record))
        for topic, partition, record in placed
        if topic in TRANSACTIONAL
    ]
    producer = TransactionalProducer(kafka, f"test-{uuid.uuid4().hex}")
    producer.init()
    consumer = open_consumer(kafka, "nobody")
    for start in range(0, len(outputs), batch):
        producer.commit(outputs[start : start + batch], [], consumer)
    consumer.close()


def start_stage(settings, tmp_path, stages):
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("CROSSBOOK_")},
        "CROSSBOOK_KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
        "CROSSBOOK_KAFKA__PREFIX": settings.kafka.prefix,
        "CROSSBOOK_CLICKHOUSE__PORT": str(settings.clickhouse.port),
        "CROSSBOOK_CLICKHOUSE__PASSWORD": settings.clickhouse.password,
        "CROSSBOOK_PROJECT__BATCH_RECORDS": str(settings.project.batch_records),
        "CROSSBOOK_PROJECT__INTERVAL_MS": str(settings.project.interval_ms),
    }
    with (tmp_path / "stage.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.stage", "project"], cwd=tmp_path, env=environment, stderr=log
        )
    stages.append(process)
    return process


def until(condition, timeout_s=180.0):
    """Poll for a condition of another process; returns its value."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_s:g} s: {condition}")


def caught_up(settings):
    groups = {"project": ("market", "signals", "intents", "orders", "fills", "control", "deadletter")}
    return all(row.lag_messages == 0 for row in lag_rows(settings.kafka, groups, sample_s=0.05))


def project_here(settings, stop=None):
    """One run of the projection in this process, until everything is read; returns the records read."""
    sink = ClickHouseSink(settings.clickhouse, settings.kafka.prefix)
    projector = Projector(settings, sink, stop or threading.Event())
    projector.run(until_quiet=True)
    sink.close()
    return projector.projected


@pytest.fixture
def client(clickhouse):
    with clickhouse_connect.get_client(
        host=clickhouse.host, port=clickhouse.port, username="reader", password=clickhouse.reader_password
    ) as each:
        yield each


def database(settings):
    return ClickHouseSettings.database(settings.kafka.prefix)


def totals(client, settings):
    """Everything that people are shown."""
    name = database(settings)
    views = [
        row[0]
        for row in client.query(
            f"SELECT name FROM system.tables WHERE database = '{name}' AND engine = 'View' ORDER BY name"
        ).result_rows
    ]
    shown = {view: sorted(map(repr, client.query(f"SELECT * FROM {name}.{view}").result_rows)) for view in views}
    return shown | {
        "queries": [
            queries.market_counts(client, name), queries.edge_counts(client, name), queries.edge_totals(client, name),
            queries.edges_seen(client, name), queries.trade_counts(client, name), queries.pnl_totals(client, name), queries.contract_counts(client, name), queries.venue_holds(client, name),
            queries.latencies(client, name), queries.positions(client, name), queries.recent_trades(client, name, 100),
            queries.declined(client, name), queries.pair_board(client, name), queries.best_edges(client, name),
        ]
    }  # fmt: skip


@pytest.mark.parametrize("settle", [False, True])
def test_pnl_and_counts_equal_what_the_log_says(settings, client, settle):
    log = SyntheticLog(trades=28, ticks=120, settle=settle, seed=3)
    write(settings.kafka, log.records)
    assert project_here(settings) == len(log.records)
    name = database(settings)
    expected = pnl(log.records)
    assert tuple(queries.pnl_totals(client, name)) == expected
    assert (expected[4] == 0) == settle
    counts = queries.market_counts(client, name)
    assert counts == (log.updates, log.keyframes, log.public_trades)
    trades = queries.trade_counts(client, name)
    rounds = 28 // len(KINDS)
    assert (trades.intents, trades.hedged, trades.unwound, trades.unfilled, trades.declined, trades.stuck, trades.open) == (
        28, rounds, 2 * rounds, rounds, rounds, 2 * rounds, 0,
    )  # fmt: skip
    assert trades.fills == len(fills_that_stand(log.records))
    assert trades.partial_orders == rounds
    assert queries.edge_totals(client, name).evaluations == 2 * 120
    assert queries.latencies(client, name)["hedge"].n == rounds
    (board,) = queries.pair_board(client, name)
    assert {quote.package for quote in board.packages} == {"yes_a_no_b", "no_a_yes_b"}
    assert board.top_a.title == "Will polymarket:0xA?"


def test_it_fills_any_sink(settings):
    log = SyntheticLog(trades=7, ticks=60)
    write(settings.kafka, log.records)
    sink = MemorySink()
    for _ in range(2):
        Projector(settings, sink, threading.Event()).run(until_quiet=True)
    fills, finality = TABLE_COLUMNS["fills"], TABLE_COLUMNS["fill_finality"]
    ids = {row[fills.index("fill_id")] for row in sink.rows("fills")}
    gone = {row[finality.index("fill_id")] for row in sink.rows("fill_finality") if "reversed" in row}
    assert ids - gone == {fill.fill_id for fill in fills_that_stand(log.records)}
    assert len(sink.rows("intents")) == 7
    assert all(position > 0 for position in sink.positions(log.log_id).values())


def test_delivered_twice_counts_once(settings, client):
    log = SyntheticLog(trades=14, ticks=60)
    write(settings.kafka, log.records)
    project_here(settings)
    before = totals(client, settings)
    sink = ClickHouseSink(settings.clickhouse, settings.kafka.prefix)
    sink.command(f"TRUNCATE TABLE {database(settings)}.projection_position")
    project_here(settings)
    # And with other cuts, so that other rows meet in one insert.
    project_here(settings.model_copy(update={"project": ProjectSettings(batch_records=37, interval_ms=10)}))
    assert totals(client, settings) == before
    sink.close()


def test_kill_anywhere_and_the_totals_are_equal(settings, client, tmp_path, stages):
    log = SyntheticLog(trades=21, ticks=1_500, seed=5)
    write(settings.kafka, log.records)
    sink = ClickHouseSink(settings.clickhouse, settings.kafka.prefix)

    def written():
        try:
            (found,) = sink.query(f"SELECT sum(next_offset) FROM {database(settings)}.projection_position FINAL")
        except Exception:  # noqa: BLE001 - the tables are not there yet
            return 0
        return found[0]

    seen = 0
    for _ in range(3):
        stage = start_stage(settings, tmp_path, stages)
        floor = seen
        seen = until(lambda floor=floor: (now := written()) > floor and now)
        stage.kill()
        stage.wait()
    stage = start_stage(settings, tmp_path, stages)
    until(lambda: caught_up(settings))
    stage.send_signal(signal.SIGTERM)
    assert stage.wait(120) == 0
    after_kills = totals(client, settings)
    rebuild(settings, lambda done, total: None)
    assert totals(client, settings) == after_kills
    assert tuple(queries.pnl_totals(client, database(settings))) == pnl(log.records)
    sink.close()


def test_clickhouse_away_at_start_and_later_loses_nothing(kafka, tmp_path, stages):
    (port,) = free_ports(1)
    server = ClickHouseServer(folder=tmp_path / "clickhouse", port=port)
    settings = settings_for(kafka, server)
    create_topics(settings.kafka)
    log = SyntheticLog(trades=7, ticks=60)
    half = len(log.records) // 2
    write(settings.kafka, log.records[:half])
    stage = start_stage(settings, tmp_path, stages)
    until(lambda: b"sink_away" in (tmp_path / "stage.log").read_bytes())
    server.start()
    try:
        until(lambda: caught_up(settings))
        server.stop()
        write(settings.kafka, log.records[half:])
        size = (tmp_path / "stage.log").stat().st_size
        until(lambda: b"sink_away" in (tmp_path / "stage.log").read_bytes()[size:])
        assert stage.poll() is None
        server.start()
        until(lambda: caught_up(settings))
        with clickhouse_connect.get_client(
            host=server.host, port=port, username="default", password=server.password
        ) as client:
            found = queries.pnl_totals(client, database(settings))
            assert queries.market_counts(client, database(settings)).updates == log.updates
        assert tuple(found) == pnl(log.records)
        stage.terminate()
        assert stage.wait(120) == 0
    finally:
        server.stop()


def test_sigterm_while_clickhouse_is_away_stops_at_once(kafka, tmp_path, stages):
    (port,) = free_ports(1)
    settings = settings_for(kafka, ClickHouseServer(folder=tmp_path / "clickhouse", port=port))
    create_topics(settings.kafka)
    write(settings.kafka, SyntheticLog(trades=0, ticks=3).records)
    stage = start_stage(settings, tmp_path, stages)
    until(lambda: b"sink_away" in (tmp_path / "stage.log").read_bytes())
    stage.terminate()
    assert stage.wait(120) == 0


def test_what_cannot_be_used_is_put_aside_once(settings, client):
    log = SyntheticLog(trades=7, ticks=20)
    write(settings.kafka, log.records)
    plain = RecordProducer(settings.kafka, CODEC, "test")
    plain.send_bytes("market", b"\x00\x00\x00\xff\xffnonsense", partition=0)
    plain.send_bytes("control", b"not avro at all", partition=0)
    plain.send_bytes("deadletter", b"not avro at all", partition=0)
    plain.send("control", next(p.record for p in log.records if p.topic == "fills"), partition=0)
    plain.flush()
    project_here(settings)
    project_here(settings)
    name = database(settings)
    rows = client.query(f"SELECT source, error FROM {name}.dead_letters FINAL ORDER BY offset").result_rows
    assert sorted(source for source, _ in rows) == ["control", "control", "market"]
    assert any("has no business on control" in error for _, error in rows)
    assert queries.trade_counts(client, name).fills == len(fills_that_stand(log.records))


def test_tables_of_other_sql_are_rebuilt_and_a_new_log_hides_the_old_one(settings, client):
    write(settings.kafka, SyntheticLog(trades=7, ticks=30).records)
    project_here(settings)
    name = database(settings)
    before = totals(client, settings)
    sink = ClickHouseSink(settings.clickhouse, settings.kafka.prefix)
    sink.command(f"INSERT INTO {name}.projection_definition VALUES ('other')")
    sink.command(f"DROP TABLE {name}.fills")
    project_here(settings)
    assert totals(client, settings) == before
    columns = ("log_id", "topic", "partition", "offset", "ts_append_ms", "ts_ns", "partitions", "base_offset")
    sink.insert("logs", columns, [("f" * 32, "market", 0, 0, 2**42, 0, 1, 0)])
    assert queries.trade_counts(client, name).fills == 0
    assert queries.market_counts(client, name) == (0, 0, 0)
    sink.close()
