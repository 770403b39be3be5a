"""A backtest in a few figures: what a sweep compares, what ClickHouse keeps of a run, what the command prints.

Decides only which figures those are; they are computed in `deploy.lab.analysis.analysis`, which every report shares. Pure.
"""

from typing import Any

from deploy.lab.analysis.analysis import Analysis, analyse
from deploy.lab.outcome.outcome import Outcome
from deploy.lab.report.words import LATE


def summarise(outcome: Outcome, analysis: Analysis | None = None) -> dict[str, Any]:
    """The figures of a run, ready for JSON. Amounts are int micros, times stream time in Unix ns."""
    analysis = analysis or analyse(outcome)
    totals, counts = analysis.totals, analysis.counts
    return {
        "name": outcome.name,
        "source": outcome.source,
        "log_id": outcome.log_id,
        "positions": outcome.positions,
        "seed": outcome.seed,
        "code_digest": outcome.code_digest,
        "ts_first_ns": outcome.ts_first_ns,
        "ts_last_ns": outcome.ts_last_ns,
        "events": outcome.events,
        "settings": dict(outcome.settings),
        "changed": dict(outcome.changed),
        "models": [model._asdict() for model in outcome.models],
        "gross_micros": totals.gross_micros,
        "fee_micros": totals.fee_micros,
        "net_micros": totals.net_micros,
        "locked_micros": totals.locked_micros,
        "marked_micros": totals.marked_micros,
        "unwound_micros": totals.unwound_micros,
        "hedged_contracts_micros": totals.hedged_contracts_micros,
        "unwound_contracts_micros": totals.unwound_contracts_micros,
        "unmatched_contracts_micros": totals.unmatched_contracts_micros,
        "slippage_micros": totals.slippage_micros,
        "edge_planned_micros": totals.edge_planned_micros,
        "edge_realised_micros": totals.edge_realised_micros,
        "drawdown_micros": 0 if analysis.drawdown is None else analysis.drawdown.depth_micros,
        "intents": counts.intents,
        "trades": counts.executed,
        "hedged": counts.hedged,
        "unwound": counts.unwound,
        "unfilled": counts.unfilled,
        "declined": counts.declined,
        "declined_late": sum(one.trades for one in analysis.declines if one.reason == LATE),
        "breaker_ns": sum(one.held_ns for one in analysis.venue_times if one.state == "breaker"),
        "stuck": counts.stuck,
        "open": counts.open,
        "fills": counts.fills,
        "hit_rate": analysis.hit_rate,
        "comparisons": [comparison._asdict() for comparison in outcome.comparisons],
        "warnings": list(outcome.warnings),
        "elapsed_s": round(outcome.elapsed_s, 3),
        "rss_mb": round(outcome.rss_mb, 1),
    }
