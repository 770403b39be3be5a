"""Catch up from zero: decide, then the projection, over a log that is there already; then verify it and ask the demo's questions."""

import time
from collections.abc import Callable
from typing import Any

from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import Settings
from deploy.operate.lag import lag_rows
from deploy.stack.attach import reader_client
from deploy.stages.project import rebuild
from processors.verify.verify import verify_decide
from projections.clickhouse import queries
from tests.bench.generator import fill
from tests.bench.market import MIXED, World
from tests.bench.report import Row, distribution
from tests.bench.stack import bench_stack

EVENTS = 320_000
GAP_NS = 200_000
CALLS = 12
GOAL_ROWS_PER_S = 50_000.0
GOAL_QUERY_MS = 100.0
#: Every question that the demo's page and summary ask.
QUESTIONS: dict[str, Callable[[Any, str], object]] = {
    "market_counts": queries.market_counts,
    "edge_counts": queries.edge_counts,
    "edge_totals": queries.edge_totals,
    "edges_seen": queries.edges_seen,
    "trade_counts": queries.trade_counts,
    "pnl_totals": queries.pnl_totals,
    "latencies": queries.latencies,
    "positions": queries.positions,
    "recent_trades": queries.recent_trades,
    "declined": queries.declined,
    "pair_board": queries.pair_board,
    "best_edges": queries.best_edges,
    "stream_range": queries.stream_range,
}


def run() -> list[Row]:
    """Fill the log, decide it, project it, verify it, query it; about 60 s."""
    with bench_stack() as stack:
        settings = stack.settings
        written = fill(settings, World(40, MIXED), EVENTS, GAP_NS)
        started = time.monotonic()
        stack.start_stages()
        decided = _until_read(settings, "decide", started)
        executed = _until_read(settings, "execute", started)
        stack.stop_group("stages")
        projected, took_s, stopped = _rebuild(settings)
        check_started = time.monotonic()
        verified = verify_decide(KafkaLog(settings.kafka))
        verify_s = time.monotonic() - check_started
        samples = _query(settings)
    assert not verified.mismatches, f"{verified.mismatches} mismatches: {verified.first_difference}"
    common = {"unit": "records/s", "warm_up": "none"}
    slowest = sorted(samples.items(), key=lambda item: -max(item[1]))[:4]
    flat = [one for values in samples.values() for one in values]
    return [
        Row(
            what="decide caught up from zero, incl. its start", figures={"rate": written / decided}, n=written, **common
        ),
        Row(
            what="execute caught up from zero, incl. its start, beside decide",
            figures={"rate": written / executed},
            n=written,
            **common,
        ),
        Row(
            what="projection caught up from zero (all topics), incl. the making of its tables",
            figures={"rate": projected / took_s},
            goals={"rate": ("≥", GOAL_ROWS_PER_S)},
            n=projected,
            against="chdb 1 M rows in 0.43 s",
            note=f"{took_s:.1f} s until the last batch was written; it stopped by itself {stopped - took_s:.1f} s later",
            **common,
        ),
        Row(
            what="verify_decide from the broker",
            figures={"rate": verified.events / verify_s},
            goals={"rate": ("≥", 60_000.0)},
            n=verified.events,
            against="stretch 100k/s",
            note=f"{verified.decisions:,} decisions compared, {verified.mismatches} mismatches",
            **common,
        ),
        Row(
            what=f"the demo's {len(QUESTIONS)} queries, each {CALLS} times, over HTTP",
            figures=distribution(flat, 1e6),
            unit="ms",
            goals={"p95": ("≤", GOAL_QUERY_MS)},
            n=len(flat),
            warm_up="one call each",
            note="slowest: "
            + ", ".join(f"{name} p50 {sorted(v)[len(v) // 2] / 1e6:.1f} max {max(v) / 1e6:.1f}" for name, v in slowest),
        ),
    ]


def _until_read(settings: Settings, group: str, started: float) -> float:
    """Seconds from the start until a group has read `market` to its end."""
    deadline = time.monotonic() + 90
    while any(row.lag_messages for row in lag_rows(settings.kafka, {group: ("market",)}, sample_s=0.0)):
        assert time.monotonic() < deadline, f"{group} did not catch up within 90 s"
        time.sleep(0.2)
    return time.monotonic() - started


def _rebuild(settings: Settings) -> tuple[int, float, float]:
    """Records projected, seconds until the last batch, seconds until it was sure that there is no more."""
    started = time.monotonic()
    last = [started]

    def progress(_done: int, _total: int) -> None:
        last[0] = time.monotonic()

    records = rebuild(settings, progress)
    return records, last[0] - started, time.monotonic() - started


def _query(settings: Settings) -> dict[str, list[int]]:
    client, database = reader_client(settings)
    samples: dict[str, list[int]] = {name: [] for name in QUESTIONS}
    for question in QUESTIONS.values():
        question(client, database)
    for _ in range(CALLS):
        for name, question in QUESTIONS.items():
            start = time.perf_counter_ns()
            question(client, database)
            samples[name].append(time.perf_counter_ns() - start)
    return samples
