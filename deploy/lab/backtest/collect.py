"""What a backtest keeps of a run: quotes, counters, fills, settlements.

Decides what is kept. Must never look at a book: prices come from the tops that decide writes. Pure.
"""

from deploy.lab.backtest.guard import LookAheadGuard
from executors.journal import FILLS
from executors.terms import PaperTerms
from schemas.records import (
    EdgeStatistics,
    EdgeUpdate,
    InstrumentListed,
    InstrumentSettled,
    OrderReport,
    OrderRequested,
    Package,
    PairListed,
    Record,
    TopSeen,
    TradeIntent,
)


class Collection:
    """Records of all partitions, in the order in which they came about."""

    def __init__(self) -> None:
        self.journal: list[Record] = []
        self.fills: list[Record] = []
        self.intents: list[TradeIntent] = []
        self.quotes: list[EdgeUpdate] = []
        self.statistics: dict[tuple[str, Package], EdgeStatistics] = {}
        self.instruments: dict[str, InstrumentListed] = {}
        self.pairs: dict[str, PairListed] = {}
        self.settled: dict[str, tuple[int, int]] = {}

    def signal(self, record: Record) -> None:
        """A record that decide writes to `signals`."""
        if isinstance(record, EdgeUpdate):
            self.quotes.append(record)
        elif isinstance(record, EdgeStatistics):
            self.statistics[record.pair_id, record.package] = record

    def listing(self, record: Record, now_ns: int) -> None:
        """A record of `market` that is no book."""
        if isinstance(record, InstrumentListed):
            self.instruments[record.instrument_id] = record
        elif isinstance(record, PairListed):
            self.pairs[record.pair_id] = record
        elif isinstance(record, InstrumentSettled):
            self.settled[record.instrument_id] = (record.payout_yes_micros, now_ns)

    def executed(self, records: list[Record], guard: LookAheadGuard, terms: PaperTerms) -> None:
        """What the engine wrote on one record of `market`."""
        for record in records:
            if not isinstance(record, FILLS):
                self.journal.append(record)
                if isinstance(record, OrderRequested):
                    guard.requested(record, terms)
                elif isinstance(record, TopSeen):
                    guard.top(record)
                elif isinstance(record, OrderReport):
                    guard.reported(record)
                continue
            self.fills.append(record)
