"""Trades and equity of a backtest in a real ClickHouse: the sums are the report's, and storing twice counts once."""

import clickhouse_connect

from deploy.lab.analysis.analysis import analyse
from deploy.lab.report.rows import run_id_of
from deploy.lab.report.store import store
from tests.builders.outcomes import golden, simulated


def test_stored_twice_it_counts_once(clickhouse):
    client = clickhouse_connect.get_client(
        host=clickhouse.host, port=clickhouse.port, username=clickhouse.username, password=clickhouse.password, autogenerate_session_id=False
    )  # fmt: skip
    outcome = simulated(seed=3, seconds=300)
    found, paper = analyse(outcome), analyse(golden())
    try:
        assert (
            store(client, "report_store", outcome, found)
            == store(client, "report_store", outcome)
            == run_id_of(outcome)
        )
        store(client, "report_store", golden(), run_id="paper")
        trades = client.query(
            "SELECT run_id, count(), sum(net_micros), sum(fee_micros) FROM report_store.backtest_trades FINAL GROUP BY run_id ORDER BY run_id"
        ).result_rows
        totals = found.totals
        assert sorted(trades) == sorted(
            [
                (run_id_of(outcome), len(found.trades), totals.net_micros, totals.fee_micros),
                ("paper", len(paper.trades), paper.totals.net_micros, paper.totals.fee_micros),
            ]
        )
        last = client.query(
            "SELECT argMax(equity_micros, ts_ns), count(), max(drawdown_micros) FROM report_store.backtest_equity FINAL WHERE run_id = 'paper'"
        ).result_rows
        assert paper.drawdown is not None
        assert list(last) == [(paper.equity[-1].equity_micros, paper.equity_points, paper.drawdown.depth_micros)]
    finally:
        client.close()
