"""What the whole pipeline keeps up with: lag in seconds sampled while it runs, CPU and memory of every process.

Lag is what `crossbook lag` says (DESIGN 9). It is flat when the last third of the samples is no higher than the first third.
"""

import time
from collections.abc import Callable, Mapping

from deploy.operate.lag import lag_rows
from deploy.stack.stack import LocalStack, SandboxOptions
from tests.bench.report import Row, quantile
from tests.bench.sockets_latency import market_end
from tests.bench.stack import CpuWatch, Generator, bench_stack, pids_of, usage

KAFKA_RATE = 10_000
SOCKETS_RATE = 3_000
WARM_UP_S = 20.0
MEASURED_S = 32.0
SAMPLE_S = 2.0
#: Half a second is one batch of the projection; more than that between the thirds is growth.
GROWTH_MAX_S = 0.5
LAG_MAX_S = 5.0
MEMORY_MAX_MB = 2_048.0
GROUPS = {"decide": ("market",), "execute": ("market",), "project": ("market",)}


def run() -> list[Row]:
    """First through Kafka alone, then through the sandbox's sockets; about 150 s."""
    return _through_kafka() + _through_sockets()


def _through_kafka() -> list[Row]:
    with bench_stack(decide={"cooldown_ms": 500}) as stack:
        stack.start_stages()
        with Generator(stack, rate=KAFKA_RATE, seconds=WARM_UP_S + MEASURED_S + 30, plants=10) as generator:
            return _measure(stack, "market", KAFKA_RATE, {"generator": generator.pid}, generator.finish)


def _through_sockets() -> list[Row]:
    with bench_stack() as stack:
        stack.start_sandbox(SandboxOptions(preset="eventful", seed=7, rate=SOCKETS_RATE))
        stack.start_stages()
        stack.start_feed("producers")
        return _measure(stack, "sandbox sockets", SOCKETS_RATE, {}, dict)


def _measure(
    stack: LocalStack, source: str, rate: int, others: Mapping[str, int], finish: Callable[[], object]
) -> list[Row]:
    time.sleep(WARM_UP_S)
    pids = pids_of(stack, **others)
    cpu = CpuWatch(pids)
    lags: dict[str, list[float]] = {group: [] for group in GROUPS}
    committed: dict[str, list[int]] = {group: [] for group in GROUPS}
    memory: list[float] = []
    kafka = stack.settings.kafka
    started, first = time.monotonic(), market_end(kafka)
    stamps: list[float] = []
    while time.monotonic() - started < MEASURED_S:
        tick = time.monotonic()
        stamps.append(tick)
        for row in lag_rows(kafka, GROUPS, sample_s=0.0):
            lags[row.group].append(row.lag_seconds)
            committed[row.group].append(row.committed or 0)
        memory.append(sum(one.rss_bytes for one in usage(pids).values()) / 2**20)
        time.sleep(max(0.0, SAMPLE_S - (time.monotonic() - tick)))
    written = (market_end(kafka) - first) / (time.monotonic() - started)
    cpu_text = cpu.text()
    each = usage(pids)
    rss = ", ".join(f"{name} {one.rss_bytes / 2**20:.0f}" for name, one in each.items() if name not in others)
    finish()
    rates = {
        group: (ends[-1] - ends[0]) / (stamps[-1] - stamps[0]) if len(ends) > 1 else 0.0
        for group, ends in committed.items()
    }
    flat = {group: _growth(values) <= GROWTH_MAX_S and max(values) <= LAG_MAX_S for group, values in lags.items()}
    trend = "; ".join(f"{group} lag s: {' '.join(f'{one:.1f}' for one in values)}" for group, values in lags.items())
    common = {"rate": f"{rate:,}/s, {source}", "warm_up": f"{WARM_UP_S:.0f} s", "n": len(stamps)}
    return [
        Row(
            what=f"written to market, then read by each stage, {source}",
            figures={"written": written, **rates},
            unit="records/s",
            goals={"written": ("≥", 0.97 * rate)} | dict.fromkeys(GROUPS, ("≥", 0.97 * rate)),
            holds=all(flat.values()),
            against="seed 004: 1,000; prototype 40,000",
            note=f"{'lag flat' if all(flat.values()) else 'LAG GROWS: ' + ', '.join(g for g, ok in flat.items() if not ok)}; {cpu_text}",
            **common,
        ),
        Row(
            what=f"lag in seconds, worst sample by stage, {source}",
            figures={group: max(values) for group, values in lags.items()},
            unit="s",
            note=trend,
            **common,
        ),
        Row(
            what=f"memory of the whole stack (sum of RSS, shared pages counted each time), {source}",
            figures={"max": max(memory)},
            unit="MB",
            goals={"max": ("≤", MEMORY_MAX_MB)} if source != "market" else {},
            note=f"MB: {rss}",
            **common,
        ),
    ]


def _growth(values: list[float]) -> float:
    """Median of the last third less that of the first."""
    third = max(1, len(values) // 3)
    return quantile(sorted(values[-third:]), 0.5) - quantile(sorted(values[:third]), 0.5)
