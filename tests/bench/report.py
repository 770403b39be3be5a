"""Rows of a benchmark report: figures, goals, the verdict, and the table that shows them.

Decides only how a figure is shown and judged. Must never drop a missed goal, and never show a p99 of fewer than 1,000 samples.
"""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal, TypeAlias

#: A tail percentile needs this many samples (100 for each percent that is left above it would be 10,000; this is the floor).
P99_SAMPLES_MIN = 1_000
Verdict: TypeAlias = Literal["met", "missed", "unproven", "–"]
Bound: TypeAlias = tuple[Literal["≤", "≥", "<"], float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measured thing. `figures` and `goals` are in `unit`, a figure of None could not be proven with the samples there were."""

    what: str
    figures: Mapping[str, float | None]
    unit: str
    goals: Mapping[str, Bound] = field(default_factory=dict)
    n: int
    rate: str = "back to back"
    warm_up: str = "none"
    against: str = "–"
    note: str = ""
    #: What the goals cannot say of themselves: a condition that must hold beside them.
    holds: bool = True

    @property
    def verdict(self) -> Verdict:
        """Whether every goal is met; unproven when a goal's figure needs more samples and none is missed."""
        if not self.goals:
            return "–"
        results = [_meets(self.figures[name], bound) for name, bound in self.goals.items()]
        if not self.holds or any(result is False for result in results):
            return "missed"
        return "unproven" if any(result is None for result in results) else "met"

    @property
    def goal(self) -> str:
        """The goals as text."""
        return ", ".join(f"{name} {sign} {_number(limit)}" for name, (sign, limit) in self.goals.items()) or "–"

    @property
    def shown(self) -> str:
        """The figures as text."""
        return "  ".join(f"{name} {_number(value)}" for name, value in self.figures.items())


def _meets(value: float | None, bound: Bound) -> bool | None:
    sign, limit = bound
    if value is None:
        return None
    if sign == "≥":
        return value >= limit
    return value <= limit if sign == "≤" else value < limit


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if value == int(value) or abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def quantile(ordered: Sequence[float], share: float) -> float:
    """The sample at or above a share of all; `ordered` ascends and is not empty."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def distribution(samples: Sequence[float], scale: float = 1.0, *, worst: bool = True) -> dict[str, float | None]:
    """p50, p95, p99 and max, divided by `scale`; what the number of samples cannot carry is None."""
    ordered = sorted(samples)
    if not ordered:
        return dict.fromkeys(("p50", "p95", "p99", "max") if worst else ("p50", "p95", "p99"))
    figures: dict[str, float | None] = {
        "p50": quantile(ordered, 0.5) / scale,
        "p95": quantile(ordered, 0.95) / scale if len(ordered) >= 100 else None,
        "p99": quantile(ordered, 0.99) / scale if len(ordered) >= P99_SAMPLES_MIN else None,
    }
    if worst:
        figures["max"] = ordered[-1] / scale
    return figures


def machine() -> dict[str, str | int | float]:
    """Where the figures come from."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    return {
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_before": round(load, 2),
    }


def describe_machine(found: Mapping[str, str | int | float]) -> str:
    """One line about the machine, and that it is noisy."""
    return (
        f"{found['cores']} cores, {found['system']}, Python {found['python']}, load {found['load_before']} before the start; "
        "a shared, noisy machine: compare figures of one run, not of two"
    )


_COLUMNS = ("bench", "what", "figures", "unit", "goal", "verdict", "n", "rate", "warm-up", "held against")


def render(results: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """An aligned table, a note below the row that it belongs to."""
    lines: list[tuple[str, ...] | str] = [_COLUMNS]
    for bench, rows in results:
        for row in rows:
            lines.append(
                (
                    bench, row.what, row.shown, row.unit, row.goal, row.verdict,
                    f"{row.n:,}", row.rate, row.warm_up, row.against,
                )
            )  # fmt: skip
            if row.note:
                lines.append(f"    {row.note}")
    cells = [line for line in lines if isinstance(line, tuple)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS))]
    return "\n".join(
        line
        if isinstance(line, str)
        else "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def to_json(found: Mapping[str, str | int | float], results: Sequence[tuple[str, Sequence[Row]]]) -> str:
    """Everything, for tools."""
    rows = [
        {"bench": bench, **{k: v for k, v in asdict(row).items() if k != "holds"}, "verdict": row.verdict}
        for bench, rows in results
        for row in rows
    ]
    return json.dumps({"machine": dict(found), "rows": rows}, ensure_ascii=False, indent=2)
