"""How many planted edges were found, and how many edges at the threshold were found where none was planted.

Pure: two lists of intervals in, counts out. An edge quote counts for a planted edge of the same pair and package while the plant
stands and shortly after its end (the venue's last frame needs its way through the log).
"""

from collections.abc import Iterable
from typing import NamedTuple

#: What a frame may take from the venue's socket to a fold: a quote this much after the plant's end is still of it.
SLACK_NS = 1_000_000_000


class Planted(NamedTuple):
    """One planted edge: where, when (wall clock, Unix ns) and how large (micros a contract)."""

    pair: str
    package: str
    ts_start_ns: int
    ts_end_ns: int


class Seen(NamedTuple):
    """One edge quote at or above the threshold."""

    pair: str
    package: str
    ts_ns: int


class Score(NamedTuple):
    """The verdict: `false` counts quotes at the threshold outside of every plant."""

    edges: int
    found: int
    false: int


def score(planted: Iterable[Planted], seen: Iterable[Seen], *, ts_first_ns: int, ts_last_ns: int) -> Score:
    """Compare what was planted, wholly inside [first, last], with what was seen."""
    plants = list(planted)
    quotes = list(seen)
    whole = [p for p in plants if p.ts_start_ns >= ts_first_ns and p.ts_end_ns <= ts_last_ns]
    found = sum(any(_belongs(q, p) for q in quotes) for p in whole)
    false = sum(not any(_belongs(q, p) for p in plants) for q in quotes)
    return Score(len(whole), found, false)


def _belongs(quote: Seen, plant: Planted) -> bool:
    return (
        quote.pair == plant.pair
        and quote.package == plant.package
        and plant.ts_start_ns <= quote.ts_ns <= plant.ts_end_ns + SLACK_NS
    )
