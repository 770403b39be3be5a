"""PnL from `fills` by an independent road: money in, money out, and what is left at its price; no SQL, no shared code."""

from collections import defaultdict
from fractions import Fraction
from math import ceil, floor

from schemas.records import Fill

MICROS = 1_000_000


def pnl(
    fills: list[Fill], marks: dict[str, int], settled: frozenset[str] = frozenset()
) -> tuple[int, int, int, int, int]:
    """(gross, fees, net, realised, unrealised) in micros; `marks` price one YES of each instrument."""
    heaps: dict[tuple[str, str], list[Fill]] = defaultdict(list)
    for fill in fills:
        heaps[fill.trade_id, fill.instrument_id].append(fill)
    gross = realised = 0
    for (_, instrument), heap in heaps.items():
        long, short = _sides(heap)
        cash = sum(-paid(f) if f.side == "buy" else paid(f) for f in heap)
        held = {
            o: sum(f.quantity_micros if f.side == "buy" else -f.quantity_micros for f in heap if f.outcome == o)
            for o in ("yes", "no")
        }
        mark = marks[instrument]
        worth = cash + (held["yes"] * mark + held["no"] * (MICROS - mark)) // MICROS
        gross += worth
        if instrument in settled:
            realised += worth - sum(f.fee_micros for f in heap)
            continue
        closed = min(sum(f.quantity_micros for f in long), sum(f.quantity_micros for f in short))
        realised += _share(short, closed, value_yes) - _share(long, closed, value_yes)
        realised -= _share(short, closed, lambda f: f.fee_micros) + _share(long, closed, lambda f: f.fee_micros)
    fees = sum(f.fee_micros for f in fills)
    return gross, fees, gross - fees, realised, gross - fees - realised


def paid(fill: Fill) -> int:
    """Cash of an execution: a purchase rounds up, a sale down."""
    exact = Fraction(fill.price_micros * fill.quantity_micros, MICROS)
    return ceil(exact) if fill.side == "buy" else floor(exact)


def value_yes(fill: Fill) -> int:
    """What an execution was worth as a trade in YES."""
    return paid(fill) if fill.outcome == "yes" else fill.quantity_micros - paid(fill)


def _sides(heap: list[Fill]) -> tuple[list[Fill], list[Fill]]:
    long = [f for f in heap if (f.outcome, f.side) in {("yes", "buy"), ("no", "sell")}]
    return long, [f for f in heap if f not in long]


def _share(side: list[Fill], closed: int, of: object) -> int:
    total = sum(f.quantity_micros for f in side)
    return int(Fraction(sum(of(f) for f in side) * closed, total)) if total else 0
