"""Trades and equity of a backtest as rows of ClickHouse. Pure.

Decides the identity of a run: what it was run on and with, never when or how fast, so that the same run stored twice counts once.
The columns are those of `tables.sql`.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from deploy.lab.analysis.analysis import Analysis, analyse
from deploy.lab.outcome.outcome import Outcome

#: Hex digits of a run's id.
RUN_ID_DIGITS = 24


class Rows(NamedTuple):
    """Rows for one table."""

    table: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


_TRADE_COLUMNS = (
    "trade_id", "intent_id", "pair_id", "package", "category", "state", "reason", "ts_intent_ns", "ts_opened_ns", "ts_first_fill_ns",
    "ts_hedged_ns", "matched_micros", "residual_micros", "edge_planned_micros", "edge_realised_micros", "slippage_micros", "cash_micros",
    "fee_micros", "net_micros", "locked_micros", "marked_micros", "unwound_micros", "unwound_contracts_micros", "unmatched_micros", "capital_micros", "lockup_ns", "annualised",
)  # fmt: skip


def run_id_of(outcome: Outcome) -> str:
    """Identity of a run: a digest over log, range, code, seed, positions, settings and models."""
    identity = [
        outcome.log_id,
        outcome.ts_first_ns,
        outcome.ts_last_ns,
        outcome.events,
        outcome.code_digest,
        outcome.seed,
        outcome.positions,
        sorted((name, str(value)) for name, value in outcome.settings.items()),
        [list(model) for model in outcome.models],
    ]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:RUN_ID_DIGITS]


def clickhouse_rows(outcome: Outcome, analysis: Analysis | None = None, *, run_id: str = "") -> tuple[Rows, ...]:
    """Rows of `backtest_trades` and `backtest_equity`; `run_id` in place of the one derived here."""
    found = analysis or analyse(outcome)
    run = run_id or run_id_of(outcome)
    trades = [(run, *(getattr(trade, name) for name in _TRADE_COLUMNS)) for trade in found.trades]
    equity = [(run, point.ts_ns, point.equity_micros, point.drawdown_micros) for point in found.equity]
    return (
        Rows("backtest_trades", ("run_id", *_TRADE_COLUMNS), trades),
        Rows("backtest_equity", ("run_id", "ts_ns", "equity_micros", "drawdown_micros"), equity),
    )
