"""Bounds of the limits that the executor trades under: one table for settings files and for operators.

Decides which value a limit may take, as `schemas/records/terms.py` defines it. The settings section `execute` and `LimitsChanged` both ask here, so that nothing can be
said to a running executor that its settings would refuse. Must never hold a limit that only a shell reads.
"""

from types import MappingProxyType
from typing import Final, NamedTuple

from crossbook.domain.names import VENUES
from schemas.records import ExecuteTerms, VenueCash
from schemas.records.definitions import definitions


class Bounds(NamedTuple):
    """Default of a limit, and the smallest and largest value that it may take."""

    default: int
    lowest: int
    highest: int


LIMITS: Final = MappingProxyType(
    {
        name: Bounds(one.default, one.lowest, one.highest)
        for name, one in definitions(ExecuteTerms).items()
        if one.lowest is not None and one.highest is not None
    }
)

#: Name of the capital at the venues; that of one venue, as a limit, is `cash_micros.VENUE`.
CASH: Final = "cash_micros"
#: Venues that have capital unless the settings say otherwise. A venue that is not named has none, and nothing is bought there.
CASH_MICROS: Final = MappingProxyType({one.venue: one.cash_micros for one in ExecuteTerms().cash_micros})
_CASH: Final = definitions(VenueCash)[CASH]
assert _CASH.lowest is not None, "capital has a smallest value"
assert _CASH.highest is not None, "capital has a largest value"
CASH_BOUNDS: Final = Bounds(next(iter(CASH_MICROS.values())), _CASH.lowest, _CASH.highest)


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
