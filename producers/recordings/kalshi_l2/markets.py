"""Kalshi's 15-minute markets as a recording's `markets.csv` knows them: when they close, what they ask, how they paid.

Decides when a payout becomes known: at the venue's own stamp where there is one, else a fixed time after the close. It must never
let a payout be known before its market has closed.
"""

import datetime as dt
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from crossbook.domain.errors import DomainError
from crossbook.domain.grid import PriceGrid
from crossbook.domain.money import MICROS, parse_price
from crossbook.domain.names import KALSHI, instrument_id
from crossbook.venues.policies import POLICIES
from producers.errors import RecordingError
from producers.kalshi.catalog import minimums
from producers.recordings.clocks import possible
from producers.recordings.columns import NULL, read_table
from producers.recordings.fees import MarketFees
from producers.recordings.kalshi_l2.ladders import Ladders, prices_on
from producers.universe.partition import partition_of
from schemas.records import InstrumentListed, InstrumentStatus

S_NS: Final = 1_000_000_000
STEP_MICROS: Final = 10_000
WINDOW_NS: Final = 900 * S_NS
#: The venue settles these markets about six seconds after the close; ten is never earlier.
SETTLED_AFTER_NS: Final = 10 * S_NS
_PAID: Final = {"yes": MICROS, "no": 0}


class MarketFacts(NamedTuple):
    """One market; times Unix ns, `payout_yes_micros` None when the result is not known."""

    ticker: str
    event: str
    series: str
    title: str
    strike: str
    ts_open_ns: int
    ts_close_ns: int
    ts_settled_ns: int
    ts_settled_venue_ns: int | None
    payout_yes_micros: int | None
    source: str
    rules_hash: str

    @property
    def ts_payout_expected_ns(self) -> int:
        """When one would have expected the payout beforehand."""
        return self.ts_close_ns + SETTLED_AFTER_NS


def read_markets(paths: Sequence[Path]) -> dict[str, MarketFacts]:
    """Markets by ticker, from either of two layouts: `market, close_time, strike, result`, or that of the venue's own answer.

    Raises:
        RecordingError: a file lacks a column, a row cannot be read, or two rows contradict each other; it is named.
    """
    found: dict[str, MarketFacts] = {}
    for path in paths:
        for number, row in enumerate(read_table(path, ("close_time", "result")), start=2):
            try:
                one = _full(row) if "ticker" in row else _short(row)
                instrument_id(KALSHI, one.ticker)
                instrument_id(KALSHI, one.event)
            except (KeyError, ValueError, OverflowError, DomainError) as error:
                raise RecordingError(f"{path} line {number} cannot be read: {error!r}") from error
            if found.setdefault(one.ticker, one) != one:
                raise RecordingError(f"{path} line {number} says of {one.ticker} what contradicts an earlier line")
    return found


def _short(row: dict[str, str]) -> MarketFacts:
    ticker = row["market"]
    close_ns = time_ns(row["close_time"])
    return MarketFacts(
        ticker=ticker,
        event=ticker.rpartition("-")[0],
        series=ticker.partition("-")[0],
        title="",
        strike=row["strike"],
        ts_open_ns=close_ns - WINDOW_NS,
        ts_close_ns=close_ns,
        ts_settled_ns=close_ns + SETTLED_AFTER_NS,
        ts_settled_venue_ns=None,
        payout_yes_micros=_PAID.get(row["result"]),
        source="result in markets.csv, its time assumed: 10 s after the close",
        rules_hash="",
    )


def _full(row: dict[str, str]) -> MarketFacts:
    close_ns = time_ns(row["close_time"])
    venue_ns = time_ns(row["settlement_ts"]) if row["settlement_ts"] else None
    payout = _PAID.get(row["result"])
    if payout is None and row["settlement_value_dollars"] and row["result"] == "scalar":
        payout = parse_price(row["settlement_value_dollars"])
    rules = f"{row['rules_primary']}\n{row['rules_secondary']}"
    return MarketFacts(
        ticker=row["ticker"],
        event=row["event_ticker"],
        series=row["ticker"].partition("-")[0],
        title=row["title"],
        strike=row["floor_strike"],
        ts_open_ns=time_ns(row["open_time"]),
        ts_close_ns=close_ns,
        ts_settled_ns=max(close_ns, close_ns + SETTLED_AFTER_NS if venue_ns is None else venue_ns),
        ts_settled_venue_ns=venue_ns,
        payout_yes_micros=payout,
        source="result and settlement_ts in markets.csv",
        rules_hash=hashlib.sha256(rules.encode()).hexdigest(),
    )


def time_ns(text: str) -> int:
    """Unix ns of an ISO time with its zone. Raises ValueError for one that is none."""
    when = dt.datetime.fromisoformat(text)
    if when.tzinfo is None:
        raise ValueError(f"time {text!r} has no zone")
    # Whole numbers: a float of seconds would lose the ns.
    since = when - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    ns = ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1_000
    if not possible(ns, "ns"):
        raise ValueError(f"time {text!r} is not between 2010 and 2100")
    return ns


class Known(NamedTuple):
    """What is known of a market beside its rows."""

    facts: MarketFacts
    fees: MarketFees
    grid: PriceGrid


class Market:
    """One market while it is replayed. `state`: no_snapshot, ready, crossed, or why its book is not trusted."""

    __slots__ = ("close_ns", "doubt", "evt", "facts", "fees", "grid", "group", "id", "ladders", "listed", "over", "partition", "prices", "schedule", "seq", "sequence", "state")  # fmt: skip

    def __init__(self, known: Known, partitions: int) -> None:
        facts = known.facts
        self.facts = facts
        self.fees = known.fees
        self.schedule = known.fees.schedule()
        self.grid = known.grid
        self.id = instrument_id(KALSHI, facts.ticker)
        self.group = instrument_id(KALSHI, facts.event)
        self.partition = partition_of(self.group, partitions)
        self.close_ns = facts.ts_close_ns
        self.listed: InstrumentListed | None = None
        self.ladders = Ladders()
        self.prices = prices_on(known.grid)
        self.sequence = 0
        self.state = "no_snapshot"
        self.evt = self.seq = NULL
        self.doubt = False  # a row contradicted an earlier one; the next change finds the book in doubt
        self.over = False  # a row at or after the close was seen: whatever comes now is later


def listing(market: Market, ts_ns: int, status: InstrumentStatus) -> InstrumentListed:
    """A market as it may be traded from a time on."""
    facts = market.facts
    if market.listed is not None:
        title = market.listed.title
    else:
        # The strike is fixed when the window opens; before, nobody knew it.
        strike = f", strike {facts.strike}" if facts.strike and ts_ns >= facts.ts_open_ns else ""
        title = f"{facts.title or facts.series} {facts.ticker}{strike}"
    return InstrumentListed(
        ts_received_ns=ts_ns,
        instrument_id=market.id,
        venue=KALSHI,
        symbol=facts.ticker,
        yes_token=None,
        no_token=None,
        event_id=market.group,
        series_id=facts.series,
        group=market.group,
        title=title,
        category=market.fees.category,
        rules_hash=facts.rules_hash,
        resolution_source="",
        grid=market.grid.ranges,
        quantity_step_micros=STEP_MICROS,
        minimums=minimums(),
        taker_delay_ms=market.fees.taker_delay_ms,
        ts_close_ns=facts.ts_close_ns,
        # Known beforehand: how long after its close the venue pays; the real moment is not.
        ts_payout_expected_ns=facts.ts_payout_expected_ns,
        ts_game_start_ns=None,
        neg_risk=False,
        exchange_version="trade-api-v2",
        shard=0,
        volume_micros=None,
        status=status,
        fee_schedule=market.schedule,
        policy=POLICIES[KALSHI],
        keyframe=False,
    )
