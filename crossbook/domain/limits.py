"""Bounds of the limits that the executor trades under: one table for settings files and for operators.

Decides which value a limit may take. The settings section `execute` and `LimitsChanged` both ask here, so that nothing can be
said to a running executor that its settings would refuse. Must never hold a limit that only a shell reads.
"""

from types import MappingProxyType
from typing import Final, NamedTuple

from crossbook.domain.money import MICROS
from crossbook.domain.names import KALSHI, POLYMARKET, VENUES

_NONE_OR_MORE: Final = 0
#: A billion dollars: above every capital that this executor will see, and far below where sums could leave 64 bits.
_MONEY_MAX: Final = 10**9 * MICROS
#: Until when a trade may send orders: no time of the machine makes sense above it.
_TRADE_MS_MAX: Final = 600_000


class Bounds(NamedTuple):
    """Default of a limit, and the smallest and largest value that it may take."""

    default: int
    lowest: int
    highest: int


LIMITS: Final = MappingProxyType(
    {
        "cost_per_leg_micros": Bounds(250 * MICROS, _NONE_OR_MORE, _MONEY_MAX),
        "pairs_open_max": Bounds(8, _NONE_OR_MORE, 10_000),
        "category_cost_micros": Bounds(2_500 * MICROS, _NONE_OR_MORE, _MONEY_MAX),
        "daily_stop_ppm": Bounds(10_000, _NONE_OR_MORE, MICROS),
        "weekly_stop_ppm": Bounds(30_000, _NONE_OR_MORE, MICROS),
        "monthly_stop_ppm": Bounds(50_000, _NONE_OR_MORE, MICROS),
        "hedge_timeout_ms": Bounds(250, 1, _TRADE_MS_MAX),
        # A plan covers every order that may follow: two directions of a hedge attempt, four ways of an unwind.
        "hedge_attempts_max": Bounds(3, 1, 10),
        "unwind_attempts_max": Bounds(3, 1, 10),
        "backoff_first_ms": Bounds(100, 1, _TRADE_MS_MAX),
        "backoff_max_ms": Bounds(800, 1, _TRADE_MS_MAX),
        "adverse_micros": Bounds(15_000, _NONE_OR_MORE, MICROS),
        "adverse_ms": Bounds(5_000, 1, _TRADE_MS_MAX),
        "max_loss_per_trade_micros": Bounds(10 * MICROS, _NONE_OR_MORE, _MONEY_MAX),
        "mismatch_max_micros": Bounds(MICROS, _NONE_OR_MORE, 10**6 * MICROS),
        # With the paper venue's patience (12 s) it stays within the horizon after which a silent order counts as dead (15 s).
        "send_window_ms": Bounds(300, 1, 3_000),
        "venue_errors_max": Bounds(5, 1, 1_000),
    }
)

#: Name of the capital at the venues; that of one venue, as a limit, is `cash_micros.VENUE`.
CASH: Final = "cash_micros"
CASH_BOUNDS: Final = Bounds(5_000 * MICROS, _NONE_OR_MORE, _MONEY_MAX)
#: Venues that have capital unless the settings say otherwise. A venue that is not named has none, and nothing is bought there.
CASH_MICROS: Final = MappingProxyType({POLYMARKET: CASH_BOUNDS.default, KALSHI: CASH_BOUNDS.default})


def bounds_of(name: str) -> Bounds | None:
    """Bounds of a limit by its name; None when no limit is called so."""
    limit, dot, venue = name.partition(".")
    if dot:
        return CASH_BOUNDS if limit == CASH and venue in VENUES else None
    return LIMITS.get(name)


def limit_names() -> tuple[str, ...]:
    """Every name that a limit may have, sorted: one for the capital at each known venue."""
    return tuple(sorted([*LIMITS, *(f"{CASH}.{venue}" for venue in VENUES)]))


def refusal_of_limit(name: str, value: object) -> str:
    """Why a limit cannot take a value, in one line for the operator; empty when it can."""
    bounds = bounds_of(name)
    if bounds is None:
        return f"no limit is called {name!r}; known are {', '.join(limit_names())}"
    if not isinstance(value, int) or isinstance(value, bool):
        return f"limit {name} was {value!r}; it is a whole number from {bounds.lowest} to {bounds.highest}"
    if not bounds.lowest <= value <= bounds.highest:
        return f"limit {name} was {value}; it lies between {bounds.lowest} and {bounds.highest}"
    return ""
