"""Summaries as rows: one a run, replaced by the same run, in a database that the projection leaves alone."""

import clickhouse_connect

from crossbook.runtime.settings import ClickHouseSettings, KafkaSettings, Settings
from deploy.lab.analysis.summary import summarise
from deploy.lab.backtest.options import BacktestOptions
from deploy.lab.backtest.run import run_backtest
from deploy.lab.backtest.store import COLUMNS, create_statements, database_of, row_of, store
from tests.builders.logs.live import market, market_log

OUTCOME = run_backtest(market_log(market(900)), BacktestOptions(changes={"decide.cooldown_ms": 100}))
SUMMARY = summarise(OUTCOME) | {"key": "k1", "ts_started_ns": 5}


def test_a_summary_has_every_column():
    row = dict(zip(COLUMNS, row_of(SUMMARY, "s"), strict=True))
    assert (row["run_id"], row["sweep_id"], row["ts_started_ns"]) == ("k1", "s", 5)
    assert row["changed"] == '{"decide.cooldown_ms": 100}'
    assert row["net_micros"] == row["gross_micros"] - row["fee_micros"] == row["locked_micros"] + row["marked_micros"]
    assert row["intents"] == sum(row[name] for name in ("hedged", "unwound", "unfilled", "declined", "stuck", "open"))
    assert all(comment for _, comment in COLUMNS.values())
    assert len(create_statements("x")) == 3


def test_rows_are_stored_once_a_run(clickhouse):
    place = ClickHouseSettings(
        host=clickhouse.host, port=clickhouse.port, username=clickhouse.username, password=clickhouse.password
    )
    settings = Settings(kafka=KafkaSettings(prefix="bt-store."), clickhouse=place)
    assert database_of(settings) == "bt_store_backtests"
    for started_ns in (5, 6):
        summaries = [SUMMARY | {"ts_started_ns": started_ns}, SUMMARY | {"key": "k2"}]
        assert store(settings, summaries, "sweep", OUTCOME) == ""
    client = clickhouse_connect.get_client(
        host=place.host,
        port=place.port,
        username=place.username,
        password=place.password,
        autogenerate_session_id=False,
    )
    try:
        query = "SELECT run_id, ts_started_ns, net_micros FROM bt_store_backtests.backtests FINAL ORDER BY run_id"
        rows = client.query(query).result_rows
    finally:
        client.close()
    assert [tuple(row) for row in rows] == [("k1", 6, SUMMARY["net_micros"]), ("k2", 5, SUMMARY["net_micros"])]


def test_a_clickhouse_that_is_away_costs_nothing_but_the_row():
    place = ClickHouseSettings(host="127.0.0.1", port=1)
    said = store(Settings(clickhouse=place), [SUMMARY])
    assert said.startswith("no row in ClickHouse at 127.0.0.1:1")
