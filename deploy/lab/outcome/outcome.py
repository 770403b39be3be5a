"""What a backtest leaves: the records that the live stages would have written, and under which assumptions they came about.

Holds data only. Reports, comparisons and ClickHouse rows are derived from it and from nothing else.
"""

from typing import Any, Literal, NamedTuple

import msgspec

from schemas.records import EdgeStatistics, EdgeUpdate, InstrumentListed, PairListed, Record, TradeIntent
from schemas.topics import MAIN

Positions = Literal["logged", "simulated"]


class Model(NamedTuple):
    """An assumption by name (latency, queue, ...), what it is set to, and what that means in words."""

    name: str
    value: str
    meaning: str


class Comparison(NamedTuple):
    """Records of a kind against those that the live run wrote: byte-equal, other, missing here, extra here.

    `late`: trades set apart, because the live executor was late for them and this one never is.
    """

    topic: str
    equal: int
    different: int
    missing: int
    extra: int
    first_difference: str
    late: int = 0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """One backtest. Times Unix ns of the stream, amounts micros.

    `settings` are all that were in force, flat (`decide.min_edge_micros`); `changed` those that `--set` or a sweep changed.
    `journal` and `fills` are the executor's records in order, `quotes` every EdgeUpdate in order, `statistics` the last counters of
    each (pair, package),
    `settled` payouts of YES that the range holds (micros) with the stream time at which they became known.
    """

    name: str
    source: str
    portfolio: str = MAIN
    log_id: str
    positions: Positions
    seed: int
    code_digest: str
    ts_first_ns: int
    ts_last_ns: int
    events: int
    settings: dict[str, Any]
    changed: dict[str, Any]
    models: tuple[Model, ...]
    journal: tuple[Record, ...]
    fills: tuple[Record, ...]
    intents: tuple[TradeIntent, ...]
    quotes: tuple[EdgeUpdate, ...]
    statistics: tuple[EdgeStatistics, ...]
    instruments: dict[str, InstrumentListed]
    pairs: dict[str, PairListed]
    settled: dict[str, tuple[int, int]]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]
    elapsed_s: float
    rss_mb: float
