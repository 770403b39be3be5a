"""Tick to plan from `market`: an open-loop Poisson generator writes book updates straight to the log, with edges planted."""

import time

from tests.bench.observer import Observer, within
from tests.bench.report import Row, distribution
from tests.bench.stack import CpuWatch, Generator, bench_stack, pids_of

RATE = 5_000
PLANTS_PER_S = 22
WARM_UP_S = 22.0
MEASURED_S = 62.0
TAIL_S = 2.0


def run() -> list[Row]:
    """Servers, stages, generator and an outside observer; about 100 s."""
    with bench_stack(decide={"cooldown_ms": 500}) as stack:
        stack.start_stages()
        total = WARM_UP_S + MEASURED_S + TAIL_S
        observer = Observer(stack.settings.kafka)
        try:
            with Generator(stack, rate=RATE, seconds=total + 5, plants=PLANTS_PER_S) as generator:
                observer.watch(WARM_UP_S)
                cpu = CpuWatch(pids_of(stack, generator=generator.pid))
                start_ns = time.time_ns()
                observer.watch(MEASURED_S)
                end_ns, cpu_text = time.time_ns(), cpu.text()
                observer.watch(TAIL_S)
                result = generator.finish()
        finally:
            observer.close()
    late = ", ".join(f"{name} {value:.2f} ms" for name, value in result["lateness_ms"].items())
    return latency_rows(
        observer,
        start_ns,
        end_ns,
        rate=f"{RATE:,}/s open loop, {PLANTS_PER_S} edges/s",
        warm_up=f"{WARM_UP_S:.0f} s",
        note=f"{cpu_text}; generator late by {late}",
        goals=(10.0, 25.0),
        against="prototype p50 7.9, p99 11–16",
        tick="scheduled arrival",
    )


def latency_rows(
    observer: Observer, start_ns: int, end_ns: int, *, rate: str, warm_up: str, note: str, goals: tuple[float, float],
    against: str, tick: str,
) -> list[Row]:  # fmt: skip
    """What the observer saw between two moments."""
    plans = within(observer.plans, start_ns, end_ns)
    committed = within(observer.committed, start_ns, end_ns)
    intents = within(observer.intents, start_ns, end_ns)
    hedges = within(observer.hedges, start_ns, end_ns)
    common = {"unit": "ms", "rate": rate, "warm_up": warm_up}
    return [
        Row(
            what=f"{tick} → plan seen by a read_committed consumer",
            figures=distribution(plans, 1e6),
            goals={"p50": ("≤", goals[0]), "p99": ("≤", goals[1])},
            n=len(plans),
            against=against,
            note=f"{note}; trades {observer.ends}",
            **common,
        ),
        Row(
            what=f"{tick} → plan committed, by the executor's own stamp (LatencyObserved)",
            figures=distribution(committed, 1e6),
            goals={"p50": ("≤", goals[0]), "p99": ("≤", goals[1])},
            n=len(committed),
            against=against,
            **common,
        ),
        Row(
            what=f"{tick} → intent seen by a read_committed consumer",
            figures=distribution(intents, 1e6),
            n=len(intents),
            **common,
        ),
        Row(
            what="hedge: first fill → both legs final, own time (LatencyObserved)",
            figures=distribution(hedges, 1e6),
            goals={"p95": ("≤", 40.0)},
            n=len(hedges),
            against="seed 004: 250 ms",
            **common,
        ),
    ]
