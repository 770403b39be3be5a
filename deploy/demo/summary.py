"""The summary of a run: every figure is read back from ClickHouse or Kafka, none is kept from the run itself."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from crossbook.runtime.settings import Settings
from deploy.demo.truth import Planted, Score, Seen, score
from deploy.lab.verify.verify import Verification
from deploy.operate.lag import every_group, lag_rows
from deploy.stack.attach import reader_client
from deploy.stack.stack import ADVISERS
from projections.clickhouse import queries

#: The sandbox names packages by venue; a pair's first instrument is Polymarket's.
PACKAGES = {"yes_kalshi_no_polymarket": "no_a_yes_b", "no_kalshi_yes_polymarket": "yes_a_no_b"}
#: A fold's first and last moments are no fair test of it: plants must lie wholly inside.
MARGIN_NS = 1_000_000_000


class Summary(NamedTuple):
    """Figures of a run, under the names that `--json` prints."""

    updates: int
    evaluations: int
    gross_positive: int
    net_positive: int
    edges: int
    edges_at_threshold: int
    intents: int
    trades: dict[str, int]
    fills: int
    partial_fills: int
    residual_contracts_micros: int
    contracts_micros: dict[str, int]
    declines: dict[str, int]
    venue_holds: list[dict[str, Any]]
    pnl_micros: dict[str, int]
    planted: dict[str, int]
    latency_ms: dict[str, dict[str, float]]
    lag: dict[str, float]
    verified: dict[str, int]
    first_hedged_fill_s: float | None
    best_net_micros: int | None

    def as_dict(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        return self._asdict()


def read_summary(
    settings: Settings, verification: Verification, *, truth_file: Path | None, ts_start_ns: int
) -> Summary:
    """Read every figure of the log that stands under the settings' prefix."""
    client, database = reader_client(settings)
    totals = queries.edge_totals(client, database)
    trades = queries.trade_counts(client, database)
    first_ms = trades.first_hedged_append_ms
    lags = lag_rows(settings.kafka, {group: topics for group, topics in every_group().items() if group not in ADVISERS})
    return Summary(
        updates=queries.market_counts(client, database).updates,
        evaluations=totals.evaluations,
        gross_positive=totals.gross_positive,
        net_positive=totals.net_positive,
        edges=totals.edges,
        edges_at_threshold=totals.edges_at_threshold,
        intents=trades.intents,
        trades={
            "hedged": trades.hedged,
            "unwound": trades.unwound,
            "unfilled": trades.unfilled,
            "declined": trades.declined,
            "stuck": trades.stuck,
            "open": trades.open,
        },
        fills=trades.fills,
        partial_fills=trades.partial_orders,
        residual_contracts_micros=trades.residual_micros,
        contracts_micros=queries.contract_counts(client, database)._asdict(),
        declines={row.reason: row.trades for row in queries.declined(client, database)},
        venue_holds=[row._asdict() for row in queries.venue_holds(client, database)],
        pnl_micros=queries.pnl_totals(client, database)._asdict(),
        planted=_planted(client, database, truth_file)._asdict(),
        latency_ms={
            stage: {
                name: round(value, 3) if isinstance(value, float) else value
                for name, value in figures._asdict().items()
            }
            for stage, figures in queries.latencies(client, database).items()
        },
        lag={
            "messages": sum(row.lag_messages for row in lags),
            "seconds": max((row.lag_seconds for row in lags), default=0.0),
        },
        verified={
            "decisions": verification.decisions,
            "executions": verification.executions,
            "mismatches": verification.mismatches,
        },
        first_hedged_fill_s=None if first_ms is None else round((first_ms * 1_000_000 - ts_start_ns) / 1e9, 3),
        best_net_micros=totals.net_best_micros,
    )


def _planted(client: Any, database: str, truth_file: Path | None) -> Score:
    if truth_file is None or not truth_file.is_file():
        return Score(0, 0, 0)
    newest = {row["id"]: row for row in map(json.loads, truth_file.read_text().splitlines())}
    first, last = queries.stream_range(client, database)
    plants = [
        Planted(row["pair"], PACKAGES[row["package"]], row["ts_start_ns"], row["ts_end_ns"] or last)
        for row in newest.values()
    ]
    seen = [Seen(*edge) for edge in queries.edges_seen(client, database)]
    return score(plants, seen, ts_first_ns=first + MARGIN_NS, ts_last_ns=last - MARGIN_NS)
