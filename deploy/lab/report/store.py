"""Store backtests in ClickHouse: makes the tables of `tables.sql` and inserts rows.

Decides nothing about what a row holds (`rows.py`). Storing a run again replaces it.
"""

from pathlib import Path
from typing import Any

from deploy.lab.analysis.analysis import Analysis
from deploy.lab.outcome.outcome import Outcome
from deploy.lab.report.rows import clickhouse_rows, run_id_of
from deploy.stack.attach import sql_errors
from projections.clickhouse.ddl import quoted

TABLES = Path(__file__).with_name("tables.sql")


def table_statements(database: str) -> list[str]:
    """Statements that make the tables; all may be repeated."""
    code = "\n".join(line for line in TABLES.read_text(encoding="utf-8").splitlines() if not line.startswith("--"))
    return [part.strip().replace("{db}", quoted(database)) for part in code.split("\n;") if part.strip()]


def store(client: Any, database: str, outcome: Outcome, analysis: Analysis | None = None, *, run_id: str = "") -> str:
    """Store trades and equity of a backtest and return its run id.

    `client` is clickhouse_connect's, of a user who may write; `run_id` replaces the one that `rows.run_id_of` derives.

    Raises:
        StackError: what ClickHouse says.
    """
    run = run_id or run_id_of(outcome)
    with sql_errors():
        client.command(f"CREATE DATABASE IF NOT EXISTS {quoted(database)}")
        for statement in table_statements(database):
            client.command(statement)
        for table, columns, values in clickhouse_rows(outcome, analysis, run_id=run):
            if values:
                client.insert(table, [list(row) for row in values], column_names=list(columns), database=database)
    return run
