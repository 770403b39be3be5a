"""Runs of backtests as rows of one ClickHouse table, `backtests`, in a database beside that of the prefix.

Decides the table and what a row says. A run has one row: the same run again replaces it. The table belongs to no topic: it cannot be
rebuilt from the log, only by running again, and the projection does not touch it. Must never fail a backtest: a ClickHouse that is away is a
word in the result, no error.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

from crossbook.runtime.settings import ClickHouseSettings, Settings
from deploy.errors import StackError
from deploy.lab.outcome.outcome import Outcome

TABLE: Final = "backtests"
#: Column → (type, comment). Amounts are micros.
COLUMNS: Final[dict[str, tuple[str, str]]] = {
    "run_id": ("String", "digest of log, settings, seed and code"),
    "sweep_id": ("String", "sweep that it belongs to; empty for a single run"),
    "name": ("String", "what it changes, or the name it was given"),
    "source": ("String", "log or archive"),
    "log_id": ("String", "identity of the log"),
    "positions": ("LowCardinality(String)", "logged or simulated"),
    "seed": ("Int64", "seed of the models"),
    "code_digest": ("String", "decision code / execution code"),
    "settings": ("String", "settings in force, JSON"),
    "changed": ("String", "settings that were changed, JSON"),
    "ts_first_ns": ("Int64", "stream time of the first event, Unix ns"),
    "ts_last_ns": ("Int64", "stream time of the last event, Unix ns"),
    "events": ("UInt64", "market events"),
    "net_micros": ("Int64", "net PnL: locked in and at mark"),
    "gross_micros": ("Int64", "PnL before fees"),
    "fee_micros": ("Int64", "fees paid"),
    "locked_micros": ("Int64", "PnL locked in: matched at worst payout, sold, paid out"),
    "marked_micros": ("Int64", "unmatched contracts at mark, less their cost"),
    "unwound_micros": ("Int64", "part of what is locked in that sales made or lost"),
    "hedged_contracts_micros": ("Int64", "contracts held on both legs"),
    "unwound_contracts_micros": ("Int64", "contracts sold again"),
    "unmatched_contracts_micros": ("Int64", "contracts held on one leg only"),
    "slippage_micros": ("Int64", "slippage against the planned prices"),
    "drawdown_micros": ("Int64", "deepest fall of equity"),
    "intents": ("UInt32", "intents"),
    "trades": ("UInt32", "trades with a fill"),
    "hedged": ("UInt32", "trades hedged"),
    "unwound": ("UInt32", "trades unwound"),
    "unfilled": ("UInt32", "trades that ended without a fill"),
    "declined": ("UInt32", "intents declined"),
    "declined_late": ("UInt32", "of these, seen too late by the wall clock"),
    "breaker_ns": ("Int64", "time for which breakers held venues"),
    "stuck": ("UInt32", "trades stuck"),
    "open": ("UInt32", "trades still open at the end"),
    "fills": ("UInt32", "executions"),
    "ts_started_ns": ("Int64", "when the run began, Unix ns"),
    "elapsed_s": ("Float64", "how long it took"),
    "rss_mb": ("Float64", "peak memory of its process"),
}


def create_statements(database: str) -> tuple[str, ...]:
    """SQL that makes database and table where they are not there."""
    columns = ",\n    ".join(f"{name} {kind} COMMENT '{comment}'" for name, (kind, comment) in COLUMNS.items())
    table = (
        f"CREATE TABLE IF NOT EXISTS `{database}`.{TABLE} (\n    {columns}\n)\n"
        "ENGINE = ReplacingMergeTree(ts_started_ns) ORDER BY (sweep_id, run_id)\n"
        "COMMENT 'Backtests: one row a run'"
    )
    # Runs of earlier versions stay: their rows have zeros in the columns that came later.
    added = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} {kind}" for name, (kind, _) in COLUMNS.items())
    return f"CREATE DATABASE IF NOT EXISTS `{database}`", table, f"ALTER TABLE `{database}`.{TABLE} {added}"


def database_of(settings: Settings) -> str:
    """Database of a prefix's backtests; not that of its projection, which is dropped and made anew when its SQL changes."""
    return f"{ClickHouseSettings.database(settings.kafka.prefix)}_{TABLE}"


def row_of(summary: Mapping[str, Any], sweep_id: str) -> list[Any]:
    """A summary as a row, in the order of COLUMNS."""
    special = {
        "run_id": summary.get("key", ""),
        "sweep_id": sweep_id,
        "settings": json.dumps(summary["settings"], sort_keys=True, default=str),
        "changed": json.dumps(summary["changed"], sort_keys=True, default=str),
    }
    return [special[name] if name in special else summary[name] for name in COLUMNS]


def store(
    settings: Settings, summaries: Sequence[Mapping[str, Any]], sweep_id: str = "", detail: Outcome | None = None
) -> str:
    """Write rows; return why that could not be done, or empty. `detail` has the trades and the equity of a single run stored too."""
    import clickhouse_connect
    from clickhouse_connect.driver.exceptions import Error

    from deploy.lab.report.store import store as store_detail

    place = settings.clickhouse
    database = database_of(settings)
    # It logs each refused connection before it raises; the error says it all.
    logging.getLogger("clickhouse_connect").setLevel(logging.CRITICAL)
    try:
        client = clickhouse_connect.get_client(
            host=place.host,
            port=place.port,
            username=place.username,
            password=place.password,
            connect_timeout=3,
            query_retries=0,
            autogenerate_session_id=False,
        )
        try:
            for statement in create_statements(database):
                client.command(statement)
            rows = [row_of(summary, sweep_id) for summary in summaries]
            client.insert(TABLE, rows, column_names=list(COLUMNS), database=database)
            if detail is not None:
                store_detail(client, database, detail, run_id=str(summaries[0]["key"]))
        finally:
            client.close()
    except (Error, StackError) as error:
        return f"no row in ClickHouse at {place.host}:{place.port}: {str(error).splitlines()[0]}"
    return ""
