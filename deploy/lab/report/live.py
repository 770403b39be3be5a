"""Reads a log that live stages wrote as an Outcome, so that a live run can be reported on and compared like a backtest.

Decides which records of which topics an Outcome is made of. Reads `orders`, `fills`, `intents`, `signals` and, of `market`, only what
lists, pairs, settles and configures: books are not folded again. Must never fill a hole with a guess: a topic that is not there
leaves its part empty and a warning.
"""

from collections.abc import Iterator

import msgspec

from crossbook.log.errors import LogError
from crossbook.log.reading import Log
from crossbook.market.configuration import settings_of
from deploy.lab.journals import journal_of
from deploy.lab.outcome.outcome import Model, Outcome
from processors.strategies.cross_venue.settings import NAME as CROSS_VENUE
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.records import (
    EdgeStatistics,
    EdgeUpdate,
    ExecutorConfigured,
    InstrumentListed,
    InstrumentSettled,
    LogOpened,
    MarketConfigured,
    PairListed,
    Record,
    StrategyConfigured,
    TradeIntent,
)
from schemas.registry import load_registry
from schemas.topics import MAIN

_MARKET = ("LogOpened", "MarketConfigured", "StrategyConfigured", "InstrumentListed", "PairListed", "InstrumentSettled")
_SIGNALS = ("EdgeUpdate", "EdgeStatistics")
LIVE = (
    Model(
        "live",
        "the venue that execute was connected to",
        "nothing was modelled by the report: these are the records of the run",
    ),
)


class _Reading:
    """What was found so far."""

    def __init__(self) -> None:
        self.log_id = self.code_digest = ""
        self.settings: dict[str, object] = {}
        self.instruments: dict[str, InstrumentListed] = {}
        self.pairs: dict[str, PairListed] = {}
        self.settled: dict[str, tuple[int, int]] = {}
        self.intents: list[TradeIntent] = []
        self.quotes: list[EdgeUpdate] = []
        self.statistics: dict[tuple[int, str, str], EdgeStatistics] = {}
        self.first_ns, self.last_ns = 0, 0

    def take(self, record: Record) -> None:
        """Keep what belongs into an Outcome."""
        match record:
            case LogOpened():
                self.log_id = record.log_id
            case MarketConfigured():
                self.code_digest = record.code_digest
            case StrategyConfigured(strategy=strategy) if strategy == CROSS_VENUE:
                given = settings_of(record)
                self.settings["decide.min_edge_micros"] = int(given["min_edge_micros"])
                self.settings["decide.cooldown_ms"] = int(given["cooldown_ns"]) // 1_000_000
            case InstrumentListed():
                self.instruments[record.instrument_id] = record
            case PairListed():
                self.pairs[record.pair_id] = record
            case InstrumentSettled():
                self.settled[record.instrument_id] = (record.payout_yes_micros, record.ts_received_ns)
            case ExecutorConfigured():
                for section, terms in (("execute", record.execute), ("paper", record.paper)):
                    values = msgspec.structs.asdict(terms).items()
                    self.settings |= {f"{section}.{name}": value for name, value in values if isinstance(value, int)}
            case TradeIntent():
                self.intents.append(record)
            case EdgeUpdate():
                self.quotes.append(record)
            case EdgeStatistics():
                self.statistics[record.partition, record.pair_id, record.package] = record
            case _:
                pass
        ts_ns = getattr(record, "ts_ns", 0)
        if ts_ns and not isinstance(record, ExecutorConfigured):
            self.first_ns = min(self.first_ns or ts_ns, ts_ns)
            self.last_ns = max(self.last_ns, ts_ns)


def read_outcome(log: Log, codec: Codec, *, name: str = "", portfolio: str = MAIN) -> Outcome:
    """Read a whole log, with the journal of one portfolio.

    Raises:
        BrokerAwayError: the broker went away.
        UsageError: no portfolio of that name has journaled anything there.
        LogError: `market` or `orders` is not there: nothing ran under that prefix.
    """
    found = _Reading()
    own = journal_of(log, codec, portfolio)
    assert own is not None, "a name that is not settled has a journal"
    warnings: list[str] = []
    events = 0
    for partition in range(log.partitions):
        low, high = log.extent("market", partition)
        events += high - low
        for record in _records(log, codec, "market", partition, _MARKET):
            found.take(record)
        for topic, wanted in (("intents", ("TradeIntent",)), ("signals", _SIGNALS)):
            for record in _present(log, codec, topic, partition, wanted, warnings):
                found.take(record)
    journal = list(_records(log, codec, "orders", own))
    for record in journal:
        found.take(record)
    fills = tuple(_present(log, codec, "fills", own, (), warnings))
    return Outcome(
        name=name or f"Live run of {log.name}",
        source=log.name,
        portfolio=portfolio,
        log_id=found.log_id,
        positions="logged",
        seed=0,
        code_digest=found.code_digest,
        ts_first_ns=found.first_ns,
        ts_last_ns=found.last_ns,
        events=events,
        settings=found.settings,
        changed={},
        models=LIVE,
        journal=tuple(journal),
        fills=fills,
        intents=tuple(found.intents),
        quotes=tuple(found.quotes),
        statistics=tuple(found.statistics.values()),
        instruments=found.instruments,
        pairs=found.pairs,
        settled=found.settled,
        comparisons=(),
        warnings=tuple(dict.fromkeys(warnings)),
        elapsed_s=0.0,
        rss_mb=0.0,
    )


def _present(
    log: Log, codec: Codec, topic: str, partition: int, wanted: tuple[str, ...], warnings: list[str]
) -> Iterator[Record]:
    try:
        yield from _records(log, codec, topic, partition, wanted)
    except LogError as error:
        warnings.append(f"{log.name} has no {topic} ({error}): what rests on it is missing here.")


def _records(log: Log, codec: Codec, topic: str, partition: int, wanted: tuple[str, ...] = ()) -> Iterator[Record]:
    """Records of a partition; with `wanted` only those are decoded, which is what makes a long `market` bearable."""
    ids = {schema.id.to_bytes(4, "big") for schema in load_registry().by_id.values() if schema.record in wanted}
    low, high = log.extent(topic, partition)
    if low >= high:
        return
    for line in log.read(topic, partition):
        if wanted and line.value[1:5] not in ids:
            continue
        try:
            yield codec.decode(line.value)
        except SchemaError:
            continue  # verify names it; a report goes on without it
