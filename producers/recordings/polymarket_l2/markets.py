"""Polymarket's five-minute markets as a recording's `markets.csv` knows them.

Decides nothing but what a row says. It must never take one of two rows that contradict each other.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from crossbook.domain.errors import SymbolError
from crossbook.domain.grid import PriceGrid
from crossbook.domain.money import MICROS
from crossbook.domain.names import POLYMARKET, instrument_id
from producers.errors import RecordingError
from producers.recordings.columns import read_table
from producers.recordings.fees import MarketFees
from producers.recordings.kalshi_l2.markets import time_ns

S_NS: Final = 1_000_000_000
COLUMNS: Final = (
    "slug", "start_utc", "end_utc", "condition_id", "token0_id", "token1_id", "token0_settle_inferred",
)  # fmt: skip


class Facts(NamedTuple):
    """A market as `markets.csv` knows it; `payout_yes_micros` of token 0, None when unclear."""

    slug: str
    condition: str
    tokens: tuple[str, str]
    start_ns: int
    end_ns: int
    payout_yes_micros: int | None


class Known(NamedTuple):
    """What is known of a market beside its rows."""

    facts: Facts
    fees: MarketFees
    grid: PriceGrid


def read_markets(paths: Sequence[Path]) -> dict[int, Facts]:
    """Markets by the start of their window (Unix s).

    Raises:
        RecordingError: a row cannot be read, or two contradict each other; it is named.
    """
    found: dict[int, Facts] = {}
    conditions: dict[str, int] = {}
    for path in paths:
        for number, row in enumerate(read_table(path, COLUMNS), start=2):
            try:
                start = time_ns(row["start_utc"]) // S_NS
                paid = {"": None, "0": 0, "1": MICROS}[row["token0_settle_inferred"]]
                end_ns = time_ns(row["end_utc"])
                one = Facts(
                    row["slug"], row["condition_id"], (row["token0_id"], row["token1_id"]), start * S_NS, end_ns, paid
                )
                instrument_id(POLYMARKET, one.condition)
                instrument_id(POLYMARKET, one.slug)
            except (KeyError, ValueError, OverflowError, SymbolError) as error:
                raise RecordingError(f"{path} line {number} cannot be read: {error!r}") from error
            if found.setdefault(start, one) != one or conditions.setdefault(one.condition, start) != start:
                raise RecordingError(f"{path} line {number} says of {one.slug} what contradicts an earlier line")
    return found
